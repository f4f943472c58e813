/* Keys that name a tenant and that no pattern covers, by a sample. What an application calls its keys may be a person's name:
 * the text before the tenant's id is told only where several tenants have it in common. */
#include "store/redis_internal.h"

#include "base/time.h"
#include "schedule/cover.h"

#include <string.h>

enum { SAMPLE_KEYS = 10000, MOST_PREFIXES = 100, LONGEST_PREFIX = 64 };

struct prefix {
    const char *text;
    const char *tenant; /* the first one that was met */
    bool several;
    int64_t keys;
};

struct covering {
    struct redis_store *store;
    struct arena *arena;
    struct prefix prefixes[MOST_PREFIXES];
    size_t n_prefixes;
    int64_t n_others; /* keys without a place in prefixes */
};

static bool is_covered(const struct covering *covering, struct arena *page, const char *key, size_t length) {
    const struct redis_store *store = covering->store;
    const struct schedule *schedule = store->base.settings.schedule;
    for (size_t i = 0; i < schedule->n_targets; i++) {
        const struct redis_bound *bound = redis_bound_of(store, schedule->targets[i]);
        if (bound && redis_owner_of(store, page, bound, NULL, 0, key, length).kind != REDIS_OWNER_NO_MATCH) return true;
    }
    return cover_exemption(schedule, store->base.settings.conf, TARGET_KEYS, key, length) != NULL;
}

static bool is_plain(const char *bytes, size_t length) {
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)bytes[i] < ' ' || strchr("\"\\*@", bytes[i])) return false;
    return length <= LONGEST_PREFIX && text_is_utf8(bytes, length);
}

static void note(struct covering *covering, const char *key, size_t prefix, const char *tenant) {
    size_t i = 0;
    while (i < covering->n_prefixes && (strlen(covering->prefixes[i].text) != prefix || memcmp(covering->prefixes[i].text, key, prefix) != 0)) i++;
    if (i == covering->n_prefixes) {
        if (i == MOST_PREFIXES || !is_plain(key, prefix)) {
            covering->n_others++;
            return;
        }
        covering->prefixes[covering->n_prefixes++] = (struct prefix){.text = arena_strndup(covering->arena, key, prefix), .tenant = tenant};
    }
    covering->prefixes[i].keys++;
    covering->prefixes[i].several |= strcmp(covering->prefixes[i].tenant, tenant) != 0;
}

/* The first part between separators that is a tenant's id. */
static void look_at(struct covering *covering, struct arena *page, const char *key, size_t length) {
    static const char separators[] = ":/|.";
    for (size_t from = 0; from < length;) {
        size_t to = from;
        while (to < length && !memchr(separators, key[to], sizeof separators - 1)) to++;
        const struct tenant *tenant = to > from ? tenants_find(covering->store->tenants, arena_strndup(page, key + from, to - from)) : NULL;
        if (tenant) {
            if (!is_covered(covering, page, key, length)) note(covering, key, from, tenant->id);
            return;
        }
        from = to + 1;
    }
}

static int look_at_keys(struct covering *covering, struct err *err) {
    struct redis_scan scan = {.store = covering->store, .glob = "*", .cursor = "0", .page = arena_new()};
    int64_t until_us = time_monotonic_us() + covering->store->base.settings.schedule->settings.statement_timeout_us;
    size_t seen = 0;
    int result = 0;
    while (result == 0 && !scan.over && seen < SAMPLE_KEYS && time_monotonic_us() < until_us) {
        REDIS_REPLY reply = NULL;
        result = redis_scan_next(&scan, &reply, err) < 0 || redis_scan_await(&scan, err) < 0 ? -1 : 0;
        for (size_t i = 0; result == 0 && i < reply->element[1]->elements; i++, seen++)
            look_at(covering, scan.page, reply->element[1]->element[i]->str, reply->element[1]->element[i]->len);
        redis_scan_advance(&scan);
    }
    redis_scan_end(&scan);
    return result;
}

int redis_cover(struct redis_store *store, struct arena *arena, struct finding **findings, size_t *n_findings, struct err *err) {
    const char *name = store->base.settings.conf->name;
    struct covering covering = {.store = store, .arena = arena};
    if (!store->tenants || !tenants_count(store->tenants)) return 0; /* nobody knows what a tenant's id looks like */
    if (look_at_keys(&covering, err) < 0) return -1;
    for (size_t i = 0; i < covering.n_prefixes; i++) {
        const struct prefix *prefix = &covering.prefixes[i];
        if (!prefix->several || !*prefix->text) {
            covering.n_others += prefix->keys;
            continue;
        }
        const char *place = arena_printf(arena, "%s{tenant}", prefix->text);
        *ARENA_APPEND(arena, *findings, *n_findings) = (struct finding){
            .code = "uncovered", .store = name, .place = place, .count = prefix->keys,
            .text = arena_printf(arena, "keys that begin with \"%s\" and a tenant's id are covered by no rule; make them a target, or add "
                                        "exempt = ( { keys = \"%s*\"; why = \"…\"; } )", prefix->text, prefix->text)};
    }
    if (covering.n_others)
        *ARENA_APPEND(arena, *findings, *n_findings) = (struct finding){
            .code = "uncovered", .store = name, .place = "{tenant}", .count = covering.n_others,
            .text = "keys with a tenant's id in their names are covered by no rule; redis-cli --scan shows them; make them a target, or add "
                    "exempt = ( { keys = \"…\"; why = \"…\"; } )"};
    return 0;
}
