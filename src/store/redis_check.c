#include "store/redis_internal.h"

#include <inttypes.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

/* --- permissions --------------------------------------------------------------------------------------------------- */

/* A key of the pattern that nobody has: for commands that do nothing to a key that is not there. */
static int sample_key(struct arena *arena, const struct keypattern *pattern, struct redis_value *ret_key, struct err *err) {
    unsigned char random[32];
    char nonce[65];
    if (RAND_bytes(random, sizeof random) != 1) return err_set(err, ERR_IO, "no random bytes can be had");
    text_hex(nonce, random);
    __attribute__((cleanup(buf_free))) struct buf key = {0};
    for (size_t i = 0; i < pattern->n_parts; i++) {
        const struct keypart *part = &pattern->parts[i];
        if (part->kind == KEYPART_LITERAL) buf_add_n(&key, part->text, part->length);
        else if (part->kind == KEYPART_DATE) buf_add(&key, "19700101");
        else buf_add(&key, nonce);
    }
    char *bytes = arena_alloc(arena, key.length + 1);
    memcpy(bytes, buf_text(&key), key.length);
    *ret_key = (struct redis_value){.bytes = bytes, .length = key.length};
    return 0;
}

/* Asks the server whether the user may run this command on this key; nothing is run. *ret_answer: 1 yes, 0 no, -1: it
 * cannot say (Redis before 7.0, or EVAL itself is not permitted). */
static int may_run(struct redis_store *store, struct arena *arena, const char *command_name, const struct redis_value *key, int *ret_answer,
                   struct err *err) {
    static const char script[] = "if not redis.acl_check_cmd then return -1 end\n"
                                 "return redis.acl_check_cmd(unpack(ARGV)) and 1 or 0";
    static const struct {
        const char *command, *rest[3];
    } ARGUMENTS[] = {
        {"hmget", {"f"}}, {"zcount", {"0", "0"}}, {"zrangebyscore", {"0", "0"}}, {"zremrangebyscore", {"0", "0"}}, {"zrem", {"m"}},
        {"xrange", {"-", "+"}}, {"xtrim", {"MINID", "0"}}, {"xdel", {"0-1"}}, {"hget", {"f"}}, {"pexpireat", {"1"}}, {"hset", {"f", "v"}}, {"hdel", {"f"}}, {"hscan", {"0"}},
    };
    struct redis_command command = {.arena = arena};
    redis_words_eval(&command, script, 0); /* not on the key: that would be refused where the key is */
    redis_word(&command, command_name);
    redis_word_n(&command, key->bytes, key->length);
    for (size_t i = 0; i < sizeof ARGUMENTS / sizeof *ARGUMENTS; i++) {
        if (!text_equal(ARGUMENTS[i].command, command_name)) continue;
        for (size_t j = 0; j < 3 && ARGUMENTS[i].rest[j]; j++) redis_word(&command, ARGUMENTS[i].rest[j]);
    }
    REDIS_REPLY reply = NULL;
    if (redis_connect(store, err) < 0 || redis_send(store, &command, err) < 0 || redis_receive(store, &reply, err) < 0) return -1;
    *ret_answer = reply->type == REDIS_REPLY_INTEGER ? (int)reply->integer : -1;
    return 0;
}

/* Runs the command on a key that is not there. */
static int try_command(struct redis_store *store, struct arena *arena, const char *name, const struct redis_value *key, bool *ret_permitted, struct err *err) {
    struct redis_command command = {.arena = arena};
    if (text_equal(name, "eval")) redis_words_eval(&command, "return 0", 1);
    else redis_word(&command, name);
    if (text_equal(name, "scan")) redis_word(&command, "0");
    else if (key->bytes && !text_equal(name, "time")) redis_word_n(&command, key->bytes, key->length);
    REDIS_REPLY reply = NULL;
    if (redis_connect(store, err) < 0 || redis_send(store, &command, err) < 0 || redis_receive(store, &reply, err) < 0) return -1;
    *ret_permitted = !redis_is_error(reply, "NOPERM");
    return 0;
}

/* Those that change nothing whatever the key, and need no script to be asked about. */
static bool is_tried(const char *name) {
    return text_equal(name, "time") || text_equal(name, "scan") || text_equal(name, "type") || text_equal(name, "exists") || text_equal(name, "eval");
}

static int is_permitted(struct redis_store *store, struct arena *arena, const char *name, const struct redis_value *key, bool *ret_permitted, struct err *err) {
    int answer;
    *ret_permitted = true;
    if (text_equal(name, "info")) return 0; /* connecting has run it */
    if (is_tried(name)) return try_command(store, arena, name, key, ret_permitted, err);
    if (may_run(store, arena, name, key, &answer, err) < 0) return -1;
    /* Of a server that cannot say, the one that matters most is tried. */
    if (answer < 0 && text_equal(name, "unlink")) return try_command(store, arena, name, key, ret_permitted, err);
    *ret_permitted = answer != 0;
    return 0;
}

/* Adds those of the commands that are not permitted on this key. */
static int add_missing(struct redis_store *store, struct arena *arena, const char *const *needed, size_t n_needed, const struct redis_value *key,
                       struct buf *missing, struct err *err) {
    for (size_t i = 0; i < n_needed; i++) {
        bool permitted;
        if (is_permitted(store, arena, needed[i], key, &permitted, err) < 0) return -1;
        if (permitted) continue;
        if (missing->length > 0) buf_add(missing, ", ");
        buf_add(missing, needed[i]);
    }
    return 0;
}

/* Where expiries are kept while a hold stands. Nothing is destroyed by lapsed for want of it: by the server, in spite of a hold. */
static int check_kept(struct redis_store *store, struct arena *arena, struct faults *faults, struct err *err) {
    static const char *const needed[] = {"hget", "hset", "hdel", "hscan"};
    const struct store_conf *conf = store->base.settings.conf;
    const struct redis_value key = {.bytes = REDIS_KEPT_KEY, .length = sizeof REDIS_KEPT_KEY - 1};
    __attribute__((cleanup(buf_free))) struct buf missing = {0};
    if (add_missing(store, arena, needed, sizeof needed / sizeof *needed, &key, &missing, err) < 0) return -1;
    if (missing.length > 0)
        fault_add(faults, conf->place, "store \"%s\": %s is not permitted on \"%s\", so that keys under a hold would expire; lapsectl grants prints what is needed",
                  conf->name, buf_text(&missing), REDIS_KEPT_KEY);
    return 0;
}

static int check_permissions(struct redis_store *store, struct arena *arena, struct redis_bound *bound, struct faults *faults, struct err *err) {
    const char *needed[REDIS_MOST_NEEDS];
    struct redis_value key = {0};
    if (sample_key(arena, &bound->pattern, &key, err) < 0) return -1;
    __attribute__((cleanup(buf_free))) struct buf missing = {0};
    if (add_missing(store, arena, needed, redis_needs(bound, needed), &key, &missing, err) < 0) return -1;
    if (missing.length == 0) return 0;
    bound->bad = true;
    fault_add(faults, bound->target->place, "keys \"%s\": store \"%s\" does not permit %s on them; lapsectl grants prints what is needed",
              bound->target->name, store->base.settings.conf->name, buf_text(&missing));
    return 0;
}

/* privileges = "refuse": nothing of this store is swept with more than it needs. */
static int refuse_wide(struct redis_store *store, struct faults *faults, bool *bad, struct err *err) {
    const struct schedule *schedule = store->base.settings.schedule;
    const struct store_conf *conf = store->base.settings.conf;
    const char *text;
    if (schedule->settings.privileges != PRIVILEGES_REFUSE) return 0;
    if (redis_wide(store, faults->arena, &text, err) < 0) return -1;
    if (text) fault_add(faults, conf->place, "store \"%s\": %s", conf->name, text);
    for (size_t i = 0; text && i < schedule->n_targets; i++) {
        if (schedule->targets[i]->store != conf) continue;
        store->bound[i].bad = bad[i] = true;
    }
    return 0;
}

int redis_check(struct store *base, struct faults *faults, bool *bad, struct err *err) {
    struct redis_store *store = redis_of(base);
    const struct schedule *schedule = store->base.settings.schedule;
    redis_bind(store, faults, bad);
    if (redis_connect(store, err) < 0) return -1;
    struct arena *arena = arena_new();
    int result = 0;
    bool any = false;
    for (size_t i = 0; result == 0 && i < schedule->n_targets; i++) {
        if (!redis_bound_of(store, schedule->targets[i])) continue;
        any = true;
        result = check_permissions(store, arena, &store->bound[i], faults, err);
        bad[i] = bad[i] || store->bound[i].bad;
    }
    if (result == 0 && any) result = check_kept(store, arena, faults, err);
    if (result == 0) result = refuse_wide(store, faults, bad, err);
    arena_free(arena);
    return result;
}

/* --- advice -------------------------------------------------------------------------------------------------------- */

/* The line "name:value" of INFO, up to its end; NULL: there is none. */
static char *info_value(struct arena *arena, const char *info, const char *name) {
    size_t length = strlen(name);
    for (const char *line = info; line; line = strchr(line, '\n')) {
        if (*line == '\n') line++;
        if (strncmp(line, name, length) == 0 && line[length] == ':') return arena_strndup(arena, line + length + 1, strcspn(line + length + 1, "\r\n"));
    }
    return NULL;
}

int redis_advise(struct store *base, struct arena *arena, const struct finding **ret_findings, size_t *ret_count, struct err *err) {
    struct redis_store *store = redis_of(base);
    const char *name = store->base.settings.conf->name;
    struct finding *findings = NULL;
    size_t n_findings = 0;
    REDIS_REPLY reply = NULL;
    if (redis_ask_words(store, &reply, err, "INFO", NULL) < 0) return -1;
    if (reply->type != REDIS_REPLY_STRING) return redis_misshapen(store, "INFO", err);
    const char *maxmemory = info_value(arena, reply->str, "maxmemory"), *policy = info_value(arena, reply->str, "maxmemory_policy");
    if (policy && !text_equal(policy, "noeviction") && !text_equal(maxmemory, "0"))
        *ARENA_APPEND(arena, findings, n_findings) = (struct finding){
            .code = "eviction", .store = name, .count = 1,
            .text = arena_printf(arena, "maxmemory-policy is %s: the server drops keys by itself when memory is short, before they are due and under a hold", policy)};
    const char *keyspace = info_value(arena, reply->str, arena_printf(arena, "db%d", store->address.database));
    const char *expires = keyspace ? strstr(keyspace, "expires=") : NULL;
    int64_t n_expiring = expires ? strtoll(expires + strlen("expires="), NULL, 10) : 0;
    if (n_expiring > 0)
        *ARENA_APPEND(arena, findings, n_findings) = (struct finding){
            .code = "expiry", .grade = FINDING_NOTE, .store = name, .count = n_expiring,
            .text = arena_printf(arena, "%s keys of the database have a time to live: the server drops them by itself; under a hold they are made to stay",
                                 text_number(n_expiring).text)};
    if (redis_cover(store, arena, &findings, &n_findings, err) < 0) return -1;
    const char *wide = NULL;
    if (store->base.settings.schedule->settings.privileges == PRIVILEGES_WARN && redis_wide(store, arena, &wide, err) < 0) return -1;
    if (wide) *ARENA_APPEND(arena, findings, n_findings) = (struct finding){.code = "privileges-wide", .store = name, .count = 1, .text = wide};
    *ret_findings = findings;
    *ret_count = n_findings;
    return 0;
}
