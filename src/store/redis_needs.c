#include "store/redis_internal.h"

#include <string.h>

/* Commands, and for which targets they are needed. */
enum need_kind { FOR_ALL, FOR_FIELDS, FOR_SCORES, FOR_STREAMS, FOR_COLUMNS, N_NEED_KINDS };

static const struct {
    const char *command;
    unsigned kinds; /* bits of need_kind */
} NEEDS[] = {
    {"info", 1U << FOR_ALL},
    {"time", 1U << FOR_ALL},
    {"scan", 1U << FOR_ALL},
    {"type", 1U << FOR_ALL},
    {"exists", 1U << FOR_ALL},
    {"unlink", 1U << FOR_ALL},
    {"eval", 1U << FOR_ALL},
    {"pttl", 1U << FOR_ALL}, /* what expires by itself stays under a hold */
    {"persist", 1U << FOR_ALL},
    {"pexpireat", 1U << FOR_ALL},
    {"dump", 1U << FOR_ALL},
    {"hmget", 1U << FOR_FIELDS},
    {"zcount", 1U << FOR_SCORES},
    {"zrangebyscore", 1U << FOR_SCORES},
    {"zremrangebyscore", 1U << FOR_SCORES},
    {"zrem", 1U << FOR_SCORES},
    {"xrange", 1U << FOR_STREAMS},
    {"xtrim", 1U << FOR_STREAMS},
    {"xdel", 1U << FOR_STREAMS},
    {"xlen", 1U << FOR_STREAMS},
    {"hlen", 1U << FOR_COLUMNS},
    {"hgetall", 1U << FOR_COLUMNS},
    {"hget", 1U << FOR_COLUMNS},
    {"hset", 1U << FOR_COLUMNS},
    {"hdel", 1U << FOR_COLUMNS},
};

static unsigned kind_of_anchor(const struct redis_anchor *anchor) {
    switch (anchor->kind) {
    case REDIS_ANCHOR_FIELD: return 1U << FOR_FIELDS;
    case REDIS_ANCHOR_SCORE: return 1U << FOR_SCORES;
    case REDIS_ANCHOR_STREAM: return 1U << FOR_STREAMS;
    case REDIS_ANCHOR_NONE:
    case REDIS_ANCHOR_DATE: break;
    }
    return 0;
}

static unsigned kinds_of(const struct redis_bound *bound) {
    unsigned kinds = 1U << FOR_ALL | kind_of_anchor(&bound->since);
    for (size_t i = 0; i < bound->target->n_ends; i++) kinds |= kind_of_anchor(&bound->ends[i]);
    if (bound->target->n_columns > 0) kinds |= 1U << FOR_COLUMNS;
    return kinds;
}

size_t redis_needs(const struct redis_bound *bound, const char **ret_commands) {
    unsigned kinds = bound ? kinds_of(bound) : 1U << FOR_ALL;
    size_t count = 0;
    for (size_t i = 0; i < sizeof NEEDS / sizeof *NEEDS; i++) {
        if (NEEDS[i].kinds & kinds) ret_commands[count++] = NEEDS[i].command;
    }
    return count;
}

/* --- grants -------------------------------------------------------------------------------------------------------- */

/* A word as redis-cli reads it: in double quotes where it has to be. */
static void add_word(struct buf *to, const char *prefix, const char *text) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:*_.{}-/@|";
    bool quoted = strspn(text, plain) < strlen(text);
    buf_add(to, quoted ? " \"" : " ");
    buf_add(to, prefix);
    for (const char *at = text; *at; at++) {
        if (quoted && (*at == '"' || *at == '\\')) buf_add_char(to, '\\');
        if ((unsigned char)*at < ' ') buf_printf(to, "\\x%02x", (unsigned)(unsigned char)*at);
        else buf_add_char(to, *at);
    }
    if (quoted) buf_add_char(to, '"');
}

static void add_once(struct arena *arena, const char ***list, size_t *count, const char *text) {
    for (size_t i = 0; i < *count; i++) {
        if (text_equal((*list)[i], text)) return;
    }
    *ARENA_APPEND(arena, *list, *count) = text;
}

/* Needs no connection: the schedule alone says what it needs. */
int redis_grants(struct store *base, const char *role, struct buf *to, struct err *err) {
    (void)err;
    struct redis_store *store = redis_of(base);
    const struct schedule *schedule = store->base.settings.schedule;
    struct arena *arena = arena_new();
    struct faults faults = {.arena = arena};
    redis_bind(store, &faults, ARENA_ARRAY(arena, bool, schedule->n_targets));
    const char **keys = NULL, **commands = NULL, *needed[REDIS_MOST_NEEDS];
    size_t n_keys = 0, n_commands = 0;
    for (size_t i = 0; i < schedule->n_targets; i++) {
        const struct redis_bound *bound = redis_bound_of(store, schedule->targets[i]);
        if (!bound) continue;
        add_once(arena, &keys, &n_keys, bound->pattern.glob);
        size_t n_needed = redis_needs(bound, needed);
        for (size_t j = 0; j < n_needed; j++) add_once(arena, &commands, &n_commands, needed[j]);
    }
    add_once(arena, &keys, &n_keys, REDIS_KEPT_KEY);
    static const char *const of_kept[] = {"hset", "hget", "hdel", "hscan"};
    for (size_t i = 0; i < sizeof of_kept / sizeof *of_kept; i++) add_once(arena, &commands, &n_commands, of_kept[i]);
    if (store->address.database != 0) add_once(arena, &commands, &n_commands, "select");
    buf_printf(to, "# Redis, store \"%s\": for redis-cli as an administrator. PASSWORD: the same as in the credential \"%s\".\n",
               store->base.settings.conf->name, store->base.settings.conf->name);
    buf_add(to, "# Afterwards ACL SAVE, or CONFIG REWRITE where the server has no aclfile.\n");
    buf_add(to, "ACL SETUSER");
    add_word(to, "", role);
    buf_add(to, " reset on >PASSWORD");
    for (size_t i = 0; i < n_keys; i++) add_word(to, "~", keys[i]);
    for (size_t i = 0; i < n_commands; i++) add_word(to, "+", commands[i]);
    buf_add_char(to, '\n');
    arena_free(arena);
    return 0;
}
