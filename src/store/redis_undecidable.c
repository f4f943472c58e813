#include "store/redis_internal.h"

#include "base/time.h"

#include <string.h>

enum reason { TENANT_EMPTY, TENANT_UNKNOWN, TENANT_AMBIGUOUS, SINCE_EMPTY, SINCE_FUTURE, SINCE_TYPE, FIELD_UNLISTED, N_REASONS };
static const char *const CODES[N_REASONS] = {"tenant-empty", "tenant-unknown", "tenant-ambiguous", "since-empty", "since-future", "since-type", "field-unlisted"};

struct survey {
    struct redis_store *store;
    const struct redis_bound *bound;
    int64_t now_us;
    struct arena *page;
    int64_t counts[N_REASONS];
};

/* False: the key's tenant cannot be told, and it is counted so. */
static bool tenant_is_plain(struct survey *survey, const struct redis_owner *owner) {
    switch (owner->kind) {
    case REDIS_OWNER_NO_MATCH: return false;
    case REDIS_OWNER_EMPTY: survey->counts[TENANT_EMPTY]++; return false;
    case REDIS_OWNER_AMBIGUOUS: survey->counts[TENANT_AMBIGUOUS]++; return false;
    case REDIS_OWNER_UNREADABLE: survey->counts[TENANT_UNKNOWN]++; return false;
    case REDIS_OWNER_OK: break;
    }
    /* An orphan: the end that would decide is nobody's. */
    if (survey->bound->only_by_tenant_end && survey->bound->pattern.has_tenant && survey->store->tenants && !owner->known) {
        survey->counts[TENANT_UNKNOWN]++;
        return false;
    }
    return true;
}

static int ask_members(struct survey *survey, const redisReply *key, const char *lower, const char *upper, struct err *err) {
    struct redis_command command = {.arena = survey->page};
    redis_words_eval(&command, REDIS_MEMBERS_LOOK, 1);
    redis_word_n(&command, key->str, key->len);
    redis_word(&command, survey->bound->since.kind == REDIS_ANCHOR_SCORE ? "zset" : "stream");
    redis_word(&command, lower);
    redis_word(&command, upper);
    redis_word_number(&command, 1000);
    return redis_send(survey->store, &command, err);
}

/* How many commands ask_anchor sends for a key: the scores that lie ahead, and those that are not set. */
static size_t commands_a_key(const struct survey *survey) {
    bool whole = survey->bound->target->n_columns > 0;
    return survey->bound->since.kind == REDIS_ANCHOR_SCORE && !whole ? 2 : 1;
}

/* Asks for the anchor of the key, unless its name is all there is to it; look_at reads the answer. */
static int ask_anchor(struct survey *survey, const redisReply *key, bool *ret_asked, struct err *err) {
    struct redis_command command = {.arena = survey->page};
    enum redis_anchor_kind kind = survey->bound->since.kind;
    bool whole = survey->bound->target->n_columns > 0;
    *ret_asked = whole || kind == REDIS_ANCHOR_FIELD || kind == REDIS_ANCHOR_SCORE || kind == REDIS_ANCHOR_STREAM;
    if (!*ret_asked) return 0;
    if (whole) {
        redis_words_eval(&command, REDIS_HASH_LOOK, 1);
        redis_word_n(&command, key->str, key->len);
        redis_word_number(&command, (int64_t)redis_most_fields(survey->bound));
        return redis_send(survey->store, &command, err);
    }
    if (kind == REDIS_ANCHOR_FIELD) {
        redis_word(&command, "HMGET");
        redis_word_n(&command, key->str, key->len);
        redis_word(&command, survey->bound->since.field);
        return redis_send(survey->store, &command, err);
    }
    const char *bound = kind == REDIS_ANCHOR_SCORE ? redis_score_text(survey->page, survey->now_us, survey->bound->since.unit)
                                                   : arena_printf(survey->page, "%lld", (long long)(survey->now_us / 1000));
    const char *ahead = arena_printf(survey->page, "(%s", bound);
    if (kind == REDIS_ANCHOR_STREAM) return ask_members(survey, key, ahead, "+", err);
    return ask_members(survey, key, ahead, "+inf", err) < 0 ? -1 : ask_members(survey, key, "-inf", "0", err);
}

static void look_at_field(struct survey *survey, const struct redis_value *value) {
    int64_t us;
    if (redis_not_set(value->bytes, value->length, survey->bound->since.unit)) survey->counts[SINCE_EMPTY]++;
    else if (!redis_instant(value->bytes, value->length, survey->bound->since.unit, &us)) survey->counts[SINCE_TYPE]++;
    else if (us > survey->now_us) survey->counts[SINCE_FUTURE]++;
}

static void look_at_hash(struct survey *survey, const redisReply *reply) {
    enum redis_hash kind = redis_hash_kind(survey->bound, reply);
    if (kind == REDIS_HASH_UNLISTED) survey->counts[FIELD_UNLISTED]++;
    if (kind == REDIS_HASH_OTHER_TYPE) survey->counts[SINCE_TYPE]++;
    if (kind != REDIS_HASH_WHOLE || survey->bound->since.kind != REDIS_ANCHOR_FIELD) return;
    const struct redis_value value = redis_hash_field(reply, survey->bound->since.field);
    look_at_field(survey, &value);
}

/* The second answer of a sorted set. */
static int look_at_not_set(struct survey *survey, const redisReply *reply, struct err *err) {
    if (reply->type == REDIS_REPLY_ERROR) return redis_refusal(survey->store, reply, err);
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 4) return redis_misshapen(survey->store, "EVAL", err);
    survey->counts[SINCE_EMPTY] += reply->element[1]->integer; /* 0 of a key of another type */
    return 0;
}

static int look_at(struct survey *survey, const redisReply *reply, struct err *err) {
    if (redis_is_error(reply, "WRONGTYPE")) {
        survey->counts[SINCE_TYPE]++;
        return 0;
    }
    if (reply->type == REDIS_REPLY_ERROR) return redis_refusal(survey->store, reply, err);
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 1) return redis_misshapen(survey->store, "HMGET or EVAL", err);
    if (survey->bound->target->n_columns > 0) {
        look_at_hash(survey, reply);
        return 0;
    }
    if (survey->bound->since.kind == REDIS_ANCHOR_FIELD) {
        const redisReply *field = reply->element[0];
        look_at_field(survey, &(struct redis_value){.bytes = field->str, .length = field->type == REDIS_REPLY_STRING ? field->len : 0});
        return 0;
    }
    const char *type = reply->element[0]->str;
    if (reply->elements != 4 || !type) return redis_misshapen(survey->store, "EVAL", err);
    if (text_equal(type, "none")) return 0;
    if (!text_equal(type, survey->bound->since.kind == REDIS_ANCHOR_SCORE ? "zset" : "stream")) survey->counts[SINCE_TYPE]++;
    else survey->counts[SINCE_FUTURE] += reply->element[1]->integer;
    return 0;
}

static int survey_page(struct survey *survey, const redisReply *keys, struct err *err) {
    size_t asked = 0;
    for (size_t i = 0; i < keys->elements; i++) {
        struct redis_owner owner = redis_owner_of(survey->store, survey->page, survey->bound, NULL, 0, keys->element[i]->str, keys->element[i]->len);
        bool sent = false;
        if (!tenant_is_plain(survey, &owner)) continue;
        if (ask_anchor(survey, keys->element[i], &sent, err) < 0) return -1;
        if (sent) asked += commands_a_key(survey);
    }
    int result = 0;
    for (size_t i = 0; i < asked; i++) {
        REDIS_REPLY reply = NULL;
        struct err own;
        if (redis_receive(survey->store, &reply, err) < 0) return -1;
        /* All answers are read, so that the pipeline stays in step; the first error is told. */
        bool second = i % commands_a_key(survey) == 1;
        if ((second ? look_at_not_set(survey, reply, &own) : look_at(survey, reply, &own)) < 0 && result == 0) {
            *err = own;
            result = -1;
        }
    }
    return result;
}

int redis_undecidable(struct store *base, const struct target *target, int64_t now_us, struct arena *arena, const struct undecidable **ret_items,
                      size_t *ret_count, struct err *err) {
    struct redis_store *store = redis_of(base);
    struct redis_order order = {.bound = redis_bound_of(store, target)};
    if (!order.bound)
        return err_set(err, ERR_CONFIG, "store \"%s\": keys \"%s\" have faults; run lapsectl check", store->base.settings.conf->name, target->name);
    struct survey survey = {.store = store, .bound = order.bound, .now_us = now_us};
    struct redis_scan scan;
    redis_scan_begin(&scan, store, arena, &order, 1);
    survey.page = scan.page;
    int result = 0;
    while (result == 0 && !scan.over) {
        REDIS_REPLY keys = NULL;
        result = redis_scan_keys(&scan, &keys, err);
        if (result == 0) result = survey_page(&survey, keys->element[1], err);
    }
    redis_scan_end(&scan);
    if (result < 0) return -1;
    struct undecidable *items = NULL;
    size_t n_items = 0;
    for (size_t i = 0; i < N_REASONS; i++) {
        if (survey.counts[i] == 0) continue;
        *ARENA_APPEND(arena, items, n_items) =
            (struct undecidable){.code = CODES[i], .column = i < SINCE_EMPTY ? "{tenant}" : i < FIELD_UNLISTED ? target->since : NULL, .count = survey.counts[i]};
    }
    *ret_items = items;
    *ret_count = n_items;
    return 0;
}
