#include "store/redis_internal.h"

#include "base/time.h"

#include <string.h>

struct explaining {
    struct redis_store *store;
    const struct redis_bound *bound;
    struct arena *arena;
    const char *key;
    struct redis_owner owner;
    const char *type;
};

static int type_of(struct explaining *explaining, struct err *err) {
    struct redis_command command = {.arena = explaining->arena};
    redis_word(&command, "TYPE");
    redis_word(&command, explaining->key);
    REDIS_REPLY reply = NULL;
    if (redis_ask(explaining->store, &command, &reply, err) < 0) return -1;
    if (reply->type != REDIS_REPLY_STATUS) return redis_misshapen(explaining->store, "TYPE", err);
    explaining->type = arena_strndup(explaining->arena, reply->str, reply->len);
    return 0;
}

static int read_field(struct explaining *explaining, const struct redis_anchor *anchor, bool *ret_ok, int64_t *ret_us, struct err *err) {
    if (!text_equal(explaining->type, "hash")) return 0;
    struct redis_command command = {.arena = explaining->arena};
    redis_word(&command, "HMGET");
    redis_word(&command, explaining->key);
    redis_word(&command, anchor->field);
    REDIS_REPLY reply = NULL;
    if (redis_ask(explaining->store, &command, &reply, err) < 0) return -1;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 1) return redis_misshapen(explaining->store, "HMGET", err);
    const redisReply *field = reply->element[0];
    *ret_ok = field->type == REDIS_REPLY_STRING && redis_instant(field->str, field->len, anchor->unit, ret_us);
    return 0;
}

/* The oldest member stands for the key. */
static int read_members(struct explaining *explaining, const struct redis_anchor *anchor, bool *ret_ok, int64_t *ret_us, struct err *err) {
    const char *type = anchor->kind == REDIS_ANCHOR_SCORE ? "zset" : "stream";
    if (!text_equal(explaining->type, type)) return 0;
    struct redis_command command = {.arena = explaining->arena};
    redis_words_eval(&command, REDIS_MEMBERS_LOOK, 1);
    redis_word(&command, explaining->key);
    redis_word(&command, type);
    redis_word(&command, type[0] == 'z' ? "(-inf" : "-");
    redis_word(&command, type[0] == 'z' ? "+inf" : "+");
    redis_word(&command, "1");
    REDIS_REPLY reply = NULL;
    if (redis_ask(explaining->store, &command, &reply, err) < 0) return -1;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 4) return redis_misshapen(explaining->store, "EVAL", err);
    const redisReply *oldest = reply->element[2];
    size_t length = oldest->type != REDIS_REPLY_STRING ? 0 : type[0] == 's' ? strcspn(oldest->str, "-") : oldest->len;
    *ret_ok = redis_instant(oldest->str, length, anchor->unit, ret_us);
    return 0;
}

static int read_anchor(struct explaining *explaining, const struct redis_anchor *anchor, bool *ret_ok, int64_t *ret_us, struct err *err) {
    switch (anchor->kind) {
    case REDIS_ANCHOR_NONE: return 0;
    case REDIS_ANCHOR_DATE:
        *ret_ok = true;
        *ret_us = explaining->owner.date_end_us - 1;
        return 0;
    case REDIS_ANCHOR_FIELD: return read_field(explaining, anchor, ret_ok, ret_us, err);
    case REDIS_ANCHOR_SCORE:
    case REDIS_ANCHOR_STREAM: return read_members(explaining, anchor, ret_ok, ret_us, err);
    }
    return 0;
}

static int read_anonymized(struct explaining *explaining, bool *ret_anonymized, struct err *err) {
    if (explaining->bound->target->n_columns == 0) return 0;
    struct redis_command command = {.arena = explaining->arena};
    redis_words_eval(&command, REDIS_HASH_LOOK, 1);
    redis_word(&command, explaining->key);
    redis_word_number(&command, (int64_t)redis_most_fields(explaining->bound));
    REDIS_REPLY reply = NULL;
    if (redis_ask(explaining->store, &command, &reply, err) < 0) return -1;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 1) return redis_misshapen(explaining->store, "EVAL", err);
    *ret_anonymized = redis_hash_kind(explaining->bound, reply) == REDIS_HASH_WHOLE && redis_is_anonymized(explaining->bound, reply);
    return 0;
}

int redis_explain(struct store *base, const struct target *target, const char *key, struct arena *arena, struct record_facts *ret_facts, struct err *err) {
    struct redis_store *store = redis_of(base);
    struct explaining explaining = {.store = store, .bound = redis_bound_of(store, target), .arena = arena, .key = key};
    if (!explaining.bound)
        return err_set(err, ERR_CONFIG, "store \"%s\": keys \"%s\" have faults; run lapsectl check", store->base.settings.conf->name, target->name);
    struct record_facts facts = {.only_holds = true};
    explaining.owner = redis_owner_of(store, arena, explaining.bound, NULL, 0, key, strlen(key));
    if (explaining.owner.kind != REDIS_OWNER_NO_MATCH) {
        if (type_of(&explaining, err) < 0) return -1;
        facts.exists = !text_equal(explaining.type, "none");
    }
    if (facts.exists) {
        if (explaining.owner.kind == REDIS_OWNER_OK && explaining.bound->pattern.has_tenant) facts.tenant = explaining.owner.tenant;
        if (read_anchor(&explaining, &explaining.bound->since, &facts.anchor_ok[0], &facts.anchor_us[0], err) < 0) return -1;
        for (size_t i = 0; i < target->n_ends; i++) {
            if (read_anchor(&explaining, &explaining.bound->ends[i], &facts.anchor_ok[1 + i], &facts.anchor_us[1 + i], err) < 0) return -1;
        }
        if (read_anonymized(&explaining, &facts.anonymized, err) < 0) return -1;
    }
    *ret_facts = facts;
    return 0;
}
