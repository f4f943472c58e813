#include "store/redis_internal.h"

#include <string.h>

/* A look at so many keys is enough to see how an application names them. */
enum { SAMPLE_KEYS = 10000, MOST_PREFIXES = 50, MOST_SHOWN = 20 };

struct prefix {
    const char *text; /* up to and with the first separator */
    size_t keys, deeper; /* deeper: those with a second separator */
};

struct sample {
    struct arena *arena;
    struct prefix prefixes[MOST_PREFIXES];
    size_t n_prefixes, n_keys;
};

static bool is_plain(const char *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)bytes[i] < ' ' || bytes[i] == '"' || bytes[i] == '\\' || bytes[i] == '*' || bytes[i] == '{') return false;
    }
    return text_is_utf8(bytes, length);
}

/* A key without a separator is not shown: it may be a person's name. */
static void add_key(struct sample *sample, const char *key, size_t length) {
    const char *separator = memchr(key, ':', length);
    sample->n_keys++;
    if (!separator) return;
    size_t prefix = (size_t)(separator - key) + 1;
    bool deeper = memchr(key + prefix, ':', length - prefix) != NULL;
    size_t at = 0;
    while (at < sample->n_prefixes && (strlen(sample->prefixes[at].text) != prefix || memcmp(sample->prefixes[at].text, key, prefix) != 0)) at++;
    if (at == sample->n_prefixes) {
        if (at == MOST_PREFIXES || !is_plain(key, prefix)) return;
        sample->prefixes[sample->n_prefixes++].text = arena_strndup(sample->arena, key, prefix);
    }
    sample->prefixes[at].keys++;
    if (deeper) sample->prefixes[at].deeper++;
}

static void print_prefixes(const struct sample *sample, const char *store, struct buf *to) {
    buf_printf(to, "# store \"%s\": %s keys were looked at, by the first part of their names\n", store, text_number((int64_t)sample->n_keys).text);
    for (size_t i = 0; i < sample->n_prefixes && i < MOST_SHOWN; i++) {
        const struct prefix *prefix = &sample->prefixes[i];
        if (prefix->keys < 2) continue;
        bool deeper = 2 * prefix->deeper > prefix->keys;
        buf_printf(to, "# { data    = \"%s\";                 # as your policy calls it\n", prefix->text);
        buf_add(to, "#   keep    = \"\";                   # \"END + PERIOD\", or \"PERIOD\" with `since`\n");
        buf_add(to, "#   basis   = \"\";\n");
        buf_printf(to, "#   targets = ( { store = \"%s\"; keys = \"%s{tenant}%s\"; } ); },  # %s keys\n", store, prefix->text, deeper ? ":*" : "",
                   text_number((int64_t)prefix->keys).text);
    }
}

int redis_draft(struct store *base, struct buf *to, struct err *err) {
    struct redis_store *store = redis_of(base);
    struct arena *arena = arena_new();
    struct redis_scan scan = {.store = store, .glob = "*", .cursor = "0", .page = arena_new()};
    struct sample sample = {.arena = arena};
    int result = 0;
    while (result == 0 && !scan.over && sample.n_keys < SAMPLE_KEYS) {
        REDIS_REPLY keys = NULL;
        result = redis_scan_next(&scan, &keys, err) < 0 || redis_scan_await(&scan, err) < 0 ? -1 : 0;
        for (size_t i = 0; result == 0 && i < keys->element[1]->elements; i++) add_key(&sample, keys->element[1]->element[i]->str, keys->element[1]->element[i]->len);
        redis_scan_advance(&scan);
    }
    if (result == 0) print_prefixes(&sample, store->base.settings.conf->name, to);
    redis_scan_end(&scan);
    arena_free(arena);
    return result;
}
