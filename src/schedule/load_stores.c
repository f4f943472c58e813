#include "schedule/load.h"

#include <ctype.h>
#include <string.h>

static const struct {
    const char *prefix;
    enum store_kind kind;
} schemes[] = {
    {"postgresql://", STORE_POSTGRESQL}, {"postgres://", STORE_POSTGRESQL}, {"mongodb://", STORE_MONGODB},
    {"mongodb+srv://", STORE_MONGODB},   {"redis://", STORE_REDIS},         {"redis+unix://", STORE_REDIS},
};

const char *load_kind_name(enum store_kind kind) {
    static const char *const names[] = {
        [STORE_POSTGRESQL] = "PostgreSQL", [STORE_MONGODB] = "MongoDB", [STORE_REDIS] = "Redis", [STORE_SCRIPTED] = "scripted"};
    return names[kind];
}

bool load_is_end_name(const char *text) {
    if (!islower((unsigned char)*text)) return false;
    for (; *text; text++)
        if (!islower((unsigned char)*text) && !isdigit((unsigned char)*text) && *text != '_') return false;
    return true;
}

/* "user:password@" in the authority, or a parameter that is one. */
static bool has_password(const char *url) {
    const char *authority = strstr(url, "://") + 3;
    size_t length = strcspn(authority, "/?#");
    const char *at = memrchr(authority, '@', length);
    if (at && memchr(authority, ':', (size_t)(at - authority))) return true;
    static const char *const parameters[] = {"password=", "sslpassword=", "tlsCertificateKeyFilePassword="};
    const char *query = strchr(url, '?');
    for (; query && *query; query = strchr(query + 1, '&'))
        for (size_t i = 0; i < sizeof parameters / sizeof *parameters; i++)
            if (!strncasecmp(query + 1, parameters[i], strlen(parameters[i]))) return true;
    return false;
}

static void load_url(struct loader *loader, const config_setting_t *group, struct store_conf *store) {
    const char *url = load_required(loader, group, "url", "url = \"postgresql://user@host/database\";");
    if (!url) return;
    const config_setting_t *setting = config_setting_get_member(group, "url");
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        if (strncmp(url, schemes[i].prefix, strlen(schemes[i].prefix)) != 0) continue;
        store->kind = schemes[i].kind;
        if (has_password(url))
            load_fault(loader, setting, "the URL holds a password, and this file may be read by others; take it out and put it into "
                       "the credential \"%s\" (/etc/lapsed/credentials/%s)", store->name, store->name);
        store->url = url;
        return;
    }
    if (!strncmp(url, "rediss://", 9))
        load_fault(loader, setting, "the URL asks for TLS to Redis, which is not supported; write redis:// to a tunnel or a private network");
    else
        load_fault(loader, setting, "the URL has an unknown scheme; write postgresql://…, mongodb://… or redis://…");
}

void load_stores(struct loader *loader, const config_setting_t *root) {
    const config_setting_t *group = load_group(loader, root, "stores");
    if (!config_setting_get_member(root, "stores") || (group && !config_setting_length(group)))
        load_fault_at(loader, (struct place){loader->file, group ? source_line(group) : 0},
                      "no store is named; write stores = { main = { url = \"postgresql://user@host/database\"; }; };");
    if (!group) return;
    unsigned count = (unsigned)config_setting_length(group);
    struct store_conf *stores = ARENA_ARRAY(loader->arena, struct store_conf, count);
    for (unsigned i = 0; i < count; i++) {
        const config_setting_t *member = config_setting_get_elem(group, i);
        struct store_conf *store = &stores[i];
        *store = (struct store_conf){.name = arena_strdup(loader->arena, config_setting_name(member)), .place = load_place(loader, member)};
        loader->subject = arena_printf(loader->arena, "store \"%s\": ", store->name);
        if (!load_is_end_name(store->name)) load_fault(loader, member, "the name is also the name of its credential; write it in a-z, 0-9 and _");
        if (!config_setting_is_group(member)) load_fault(loader, member, "is not a group; write %s = { url = \"…\"; };", store->name);
        else {
            load_known(loader, member, (const char *const[]){"url", NULL});
            load_url(loader, member, store);
        }
        loader->subject = "";
    }
    loader->schedule->stores = stores;
    loader->schedule->n_stores = count;
}

static const struct store_conf *find_store(const struct schedule *schedule, const char *name) {
    for (size_t i = 0; i < schedule->n_stores; i++)
        if (!strcmp(schedule->stores[i].name, name)) return &schedule->stores[i];
    return NULL;
}

static const char *store_names(const struct loader *loader, enum store_kind kind, bool all) {
    const struct schedule *schedule = loader->schedule;
    const char **names = ARENA_ARRAY(loader->arena, const char *, schedule->n_stores);
    size_t count = 0;
    for (size_t i = 0; i < schedule->n_stores; i++)
        if (all || (schedule->stores[i].url && schedule->stores[i].kind == kind)) names[count++] = schedule->stores[i].name;
    return load_choices(loader, names, count);
}

const struct store_conf *load_store(const struct loader *loader, const config_setting_t *group, enum store_kind kind) {
    const struct schedule *schedule = loader->schedule;
    const config_setting_t *setting = config_setting_get_member(group, "store");
    const char *name = load_string(loader, group, "store");
    if (setting && !name) return NULL;
    if (name) {
        const struct store_conf *store = find_store(schedule, name);
        if (!store) load_fault(loader, setting, "store = \"%s\" is unknown; known are %s", name, store_names(loader, kind, true));
        else if (store->kind != kind && store->url)
            load_fault(loader, setting, "store = \"%s\" is %s, but this needs %s", name, load_kind_name(store->kind), load_kind_name(kind));
        else return store;
        return NULL;
    }
    const struct store_conf *found = NULL;
    size_t count = 0;
    bool faulty = false;
    for (size_t i = 0; i < schedule->n_stores; i++) {
        faulty |= !schedule->stores[i].url;
        if (!schedule->stores[i].url || schedule->stores[i].kind != kind) continue;
        found = &schedule->stores[i];
        count++;
    }
    if (count > 1) load_fault(loader, group, "there are several %s stores; name one: store = %s", load_kind_name(kind), store_names(loader, kind, false));
    else if (!count && !faulty && schedule->n_stores) load_fault(loader, group, "no %s store is configured; add one to stores in lapsed.conf", load_kind_name(kind));
    return count == 1 ? found : NULL;
}
