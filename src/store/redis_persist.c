/* Under a hold nothing goes, not even what an application told the server to expire: such keys are persisted, and when they would have
 * expired is kept in the hash "lapsed:held" of the same database, field = key, value = "MILLISECONDS:SHA1 of the dumped value". When no
 * hold is on a key any more its expiry is given back, in the past if need be, but only where the value is still what it was and
 * nobody has given it a new one: an application that wrote it anew has decided anew.
 *
 * Whose a key is, is judged without the list of tenants: a key that could be of a held one counts as held. And what no target that could be
 * read speaks of any more keeps what it has until no hold stands at all. */
#include "store/redis_internal.h"

#include "base/time.h"

#include <string.h>

static const char KEPT[] = REDIS_KEPT_KEY;

static const char KEEP[] = "local left = redis.call('PTTL', KEYS[1])\n"
                           "if left < 0 then return 0 end\n"
                           "local now = redis.call('TIME')\n"
                           "local at = now[1] * 1000 + math.floor(now[2] / 1000) + left\n"
                           "redis.call('HSET', KEYS[2], KEYS[1], string.format('%.0f', at) .. ':' .. redis.sha1hex(redis.call('DUMP', KEYS[1])))\n"
                           "redis.call('PERSIST', KEYS[1])\n"
                           "return 1";

static const char GIVE_BACK[] = "local kept = redis.call('HGET', KEYS[2], KEYS[1])\n"
                                "if not kept then return 0 end\n"
                                "redis.call('HDEL', KEYS[2], KEYS[1])\n"
                                "if redis.call('PTTL', KEYS[1]) ~= -1 then return 0 end\n"
                                "local colon = string.find(kept, ':', 1, true)\n"
                                "if redis.sha1hex(redis.call('DUMP', KEYS[1])) ~= string.sub(kept, colon + 1) then return 0 end\n"
                                "redis.call('PEXPIREAT', KEYS[1], string.sub(kept, 1, colon - 1))\n"
                                "return 1";

struct keeping {
    struct redis_store *store;
    const struct holds *holds;
    struct arena *page;
};

enum keeping_of { NOT_SPOKEN_OF, FREE, HELD };

struct readings {
    const struct keeping *keeping;
    bool held;
};

/* Any of the tenants that the key could be of may be the held one. */
static void judge_reading(void *context, const struct keyfit *fit) {
    struct readings *readings = context;
    if (!fit->tenant_length) return;
    const char *id = arena_strndup(readings->keeping->page, fit->tenant, fit->tenant_length);
    readings->held = readings->held || holds_on_tenant(readings->keeping->holds, NULL, id, false);
}

/* A target that could not be bound may be one that has the key. */
static enum keeping_of judge(const struct keeping *keeping, const char *key, size_t length) {
    const struct schedule *schedule = keeping->store->base.settings.schedule;
    enum keeping_of found = NOT_SPOKEN_OF;
    bool all_known = true;
    for (size_t i = 0; i < schedule->n_targets; i++) {
        if (schedule->targets[i]->store != keeping->store->base.settings.conf) continue;
        const struct redis_bound *bound = redis_bound_of(keeping->store, schedule->targets[i]);
        all_known = all_known && bound;
        if (!bound) continue;
        struct readings readings = {.keeping = keeping};
        const struct redis_owner owner = redis_owner_of(keeping->store, keeping->page, bound, NULL, 0, key, length);
        if (owner.kind == REDIS_OWNER_NO_MATCH) continue;
        found = FREE;
        if (owner.kind != REDIS_OWNER_OK || holds_on_target(keeping->holds, schedule, bound->target)) return HELD;
        (void)keypattern_match(&bound->pattern, key, length, judge_reading, &readings);
        if (readings.held) return HELD;
    }
    return all_known ? found : NOT_SPOKEN_OF;
}

static bool any_hold(const struct keeping *keeping) { return keeping->holds && keeping->holds->count; }

static bool is_held(const struct keeping *keeping, const char *key, size_t length) {
    return any_hold(keeping) && judge(keeping, key, length) == HELD;
}

/* What was kept under a hold, while one stands, and the schedule does not speak of any more, or not for sure, stays. */
static bool may_expire(const struct keeping *keeping, const char *key, size_t length) {
    return !any_hold(keeping) || judge(keeping, key, length) == FREE;
}

static int send_script(struct keeping *keeping, const char *script, const redisReply *key, struct err *err) {
    struct redis_command command = {.arena = keeping->page};
    redis_words_eval(&command, script, 2);
    redis_word_n(&command, key->str, key->len);
    redis_word(&command, KEPT);
    return redis_send(keeping->store, &command, err);
}

/* The answers of so many commands, all of them read so that the pipeline stays in step; their sum. The first refusal is told. */
static int receive_numbers(struct keeping *keeping, size_t count, int64_t *numbers, int64_t *sum, struct err *err) {
    int result = 0;
    for (size_t i = 0; i < count; i++) {
        REDIS_REPLY reply = NULL;
        if (redis_receive(keeping->store, &reply, err) < 0) return -1;
        if (reply->type == REDIS_REPLY_ERROR && result == 0) result = redis_refusal(keeping->store, reply, err);
        int64_t number = reply->type == REDIS_REPLY_INTEGER ? reply->integer : 0;
        if (numbers) numbers[i] = number;
        if (sum) *sum += number;
    }
    return result;
}

/* ---- keep ---- */

/* Asks for the time to live of the held keys of a page; returns how many. */
static int ask_page(struct keeping *keeping, const redisReply *keys, const redisReply **held, size_t *ret_count, struct err *err) {
    size_t count = 0;
    for (size_t i = 0; i < keys->elements; i++) {
        if (!is_held(keeping, keys->element[i]->str, keys->element[i]->len)) continue;
        struct redis_command command = {.arena = keeping->page};
        redis_word(&command, "PTTL");
        redis_word_n(&command, keys->element[i]->str, keys->element[i]->len);
        if (redis_send(keeping->store, &command, err) < 0) return -1;
        held[count++] = keys->element[i];
    }
    *ret_count = count;
    return 0;
}

static int keep_page(struct keeping *keeping, struct redis_scan *scan, const redisReply *keys, int64_t *ret_kept, struct err *err) {
    const redisReply **held = ARENA_ARRAY(keeping->page, const redisReply *, keys->elements);
    size_t n_held = 0, n_expiring = 0;
    if (ask_page(keeping, keys, held, &n_held, err) < 0 || redis_scan_await(scan, err) < 0) return -1;
    int64_t *left = ARENA_ARRAY(keeping->page, int64_t, n_held);
    if (receive_numbers(keeping, n_held, left, NULL, err) < 0) return -1;
    for (size_t i = 0; i < n_held; i++) {
        if (left[i] < 0) continue;
        if (send_script(keeping, KEEP, held[i], err) < 0) return -1;
        n_expiring++;
    }
    return receive_numbers(keeping, n_expiring, NULL, ret_kept, err);
}

static int keep_all(struct keeping *keeping, int64_t *ret_kept, struct err *err) {
    struct redis_scan scan = {.store = keeping->store, .glob = "*", .cursor = "0", .page = keeping->page};
    int result = 0;
    while (result == 0 && !scan.over) {
        REDIS_REPLY reply = NULL;
        result = redis_scan_next(&scan, &reply, err);
        if (result == 0) result = keep_page(keeping, &scan, reply->element[1], ret_kept, err);
        redis_scan_advance(&scan);
    }
    keeping->page = arena_new();
    redis_scan_end(&scan); /* with its page */
    return result;
}

/* ---- give back ---- */

static int give_back_page(struct keeping *keeping, const redisReply *fields, int64_t *ret_given, struct err *err) {
    size_t n_asked = 0;
    for (size_t i = 0; i + 1 < fields->elements; i += 2) {
        if (!may_expire(keeping, fields->element[i]->str, fields->element[i]->len)) continue;
        if (send_script(keeping, GIVE_BACK, fields->element[i], err) < 0) return -1;
        n_asked++;
    }
    return receive_numbers(keeping, n_asked, NULL, ret_given, err);
}

static int give_back_all(struct keeping *keeping, int64_t *ret_given, struct err *err) {
    char cursor[32] = "0";
    do {
        REDIS_REPLY reply = NULL;
        arena_clear(keeping->page);
        if (redis_ask_words(keeping->store, &reply, err, "HSCAN", KEPT, cursor, "COUNT", "500", NULL) < 0) return -1;
        if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2) return redis_misshapen(keeping->store, "HSCAN", err);
        if (give_back_page(keeping, reply->element[1], ret_given, err) < 0) return -1;
        (void)text_copy(cursor, sizeof cursor, reply->element[0]->str);
    } while (strcmp(cursor, "0") != 0);
    return 0;
}

int redis_keep(struct store *base, const struct holds *holds, struct kept *ret_kept, struct err *err) {
    const struct store_settings *settings = &redis_of(base)->base.settings;
    if (settings->read_only) return err_set(err, ERR_BUG, "store \"%s\": was opened to read only", settings->conf->name);
    struct keeping keeping = {.store = redis_of(base), .holds = holds, .page = arena_new()};
    *ret_kept = (struct kept){0};
    int result = redis_connect(keeping.store, err);
    if (result == 0 && holds && holds->count) result = keep_all(&keeping, &ret_kept->kept, err);
    if (result == 0) result = give_back_all(&keeping, &ret_kept->given_back, err);
    arena_free(keeping.page);
    return result;
}
