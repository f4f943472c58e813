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
    bool failed; /* with `err` */
    struct err err;
    bool told;   /* who asks for it again wants a new one */
};

/* An answer that is due: whose, and whether it is the second one of its key. */
struct question {
    struct survey *survey;
    bool second;
};

struct redis_surveys {
    int64_t now_us;
    struct survey *items; /* of every target that can be asked about */
    size_t count;
    struct question *questions; /* of the page under way, in the sequence of their answers */
    size_t n_questions;
    bool sampled; /* not all keys were read */
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

static int ask_about(struct redis_surveys *surveys, struct survey *survey, const redisReply *key, struct err *err) {
    bool sent = false;
    struct redis_owner owner = redis_owner_of(survey->store, survey->page, survey->bound, NULL, 0, key->str, key->len);
    if (!tenant_is_plain(survey, &owner)) return 0;
    if (ask_anchor(survey, key, &sent, err) < 0) return -1;
    for (size_t i = 0; sent && i < commands_a_key(survey); i++)
        *ARENA_APPEND(survey->page, surveys->questions, surveys->n_questions) = (struct question){.survey = survey, .second = i == 1};
    return 0;
}

int redis_surveys_ask(struct redis_surveys *surveys, struct arena *page, const redisReply *keys, struct err *err) {
    surveys->questions = NULL;
    surveys->n_questions = 0;
    for (size_t j = 0; j < surveys->count; j++) surveys->items[j].page = page;
    for (size_t i = 0; i < keys->elements; i++)
        for (size_t j = 0; j < surveys->count; j++)
            if (ask_about(surveys, &surveys->items[j], keys->element[i], err) < 0) return -1;
    return 0;
}

/* All answers are read, so that the pipeline stays in step; the first error about a target is kept. */
int redis_surveys_read(struct redis_surveys *surveys, struct err *err) {
    for (size_t i = 0; i < surveys->n_questions; i++) {
        REDIS_REPLY reply = NULL;
        struct survey *survey = surveys->questions[i].survey;
        struct err own;
        if (redis_receive(survey->store, &reply, err) < 0) return -1;
        if ((surveys->questions[i].second ? look_at_not_set(survey, reply, &own) : look_at(survey, reply, &own)) == 0 || survey->failed) continue;
        survey->err = own;
        survey->failed = true;
    }
    return 0;
}

struct redis_surveys *redis_surveys_new(struct redis_store *store, int64_t now_us) {
    const struct schedule *schedule = store->base.settings.schedule;
    struct redis_surveys *surveys = ARENA_NEW(store->catalog, struct redis_surveys);
    *surveys = (struct redis_surveys){.now_us = now_us, .items = ARENA_ARRAY(store->catalog, struct survey, schedule->n_targets)};
    for (size_t i = 0; i < schedule->n_targets; i++) {
        const struct redis_bound *bound = redis_bound_of(store, schedule->targets[i]);
        if (bound) surveys->items[surveys->count++] = (struct survey){.store = store, .bound = bound, .now_us = now_us};
    }
    return surveys;
}

size_t redis_surveys_patterns(const struct redis_surveys *surveys, const struct keypattern **patterns, size_t n_patterns) {
    for (size_t i = 0; i < surveys->count; i++) patterns[n_patterns++] = &surveys->items[i].bound->pattern;
    return n_patterns;
}

/* The keyspace is read once for all targets, as far as survey.budget reaches: SCAN shows keys in no order, so that those are a sample. */
static int survey_all(struct redis_store *store, struct redis_surveys *surveys, struct err *err) {
    struct arena *arena = arena_new();
    struct redis_scan scan;
    redis_scan_begin(&scan, store, arena, NULL, 0, surveys);
    scan.paced = true;
    int64_t budget_us = store->base.settings.schedule->settings.survey_budget_us, began_us = time_monotonic_us();
    int result = 0;
    while (result == 0 && !scan.over && !surveys->sampled) {
        const struct order *failed;
        result = redis_scan_page(&scan, NULL, NULL, &failed, err);
        surveys->sampled = !scan.over && budget_us > 0 && time_monotonic_us() - began_us >= budget_us;
    }
    redis_scan_end(&scan);
    arena_free(arena);
    return result;
}

void redis_foresee(struct store *base, int64_t now_us) { redis_of(base)->foreseen_us = now_us; }

static struct survey *survey_of(const struct redis_surveys *surveys, const struct redis_bound *bound, int64_t now_us) {
    if (!surveys || surveys->now_us != now_us) return NULL;
    for (size_t i = 0; i < surveys->count; i++)
        if (surveys->items[i].bound == bound && !surveys->items[i].told) return &surveys->items[i];
    return NULL;
}

/* One target is asked about after the other, but the first question was put for all of them. */
static struct survey *ask_once(struct redis_store *store, const struct redis_bound *bound, int64_t now_us, struct err *err) {
    struct survey *survey = survey_of(store->surveys, bound, now_us);
    if (survey) return survey;
    struct redis_surveys *surveys = redis_surveys_new(store, now_us);
    store->surveys = NULL;
    if (survey_all(store, surveys, err) < 0) return NULL;
    store->surveys = surveys;
    return survey_of(surveys, bound, now_us);
}

int redis_undecidable(struct store *base, const struct target *target, int64_t now_us, struct arena *arena, const struct undecidable **ret_items,
                      size_t *ret_count, struct err *err) {
    struct redis_store *store = redis_of(base);
    const struct redis_bound *bound = redis_bound_of(store, target);
    if (!bound)
        return err_set(err, ERR_CONFIG, "store \"%s\": keys \"%s\" have faults; run lapsectl check", store->base.settings.conf->name, target->name);
    struct survey *survey = ask_once(store, bound, now_us, err);
    if (!survey) return -1;
    survey->told = true;
    if (survey->failed) {
        *err = survey->err;
        return -1;
    }
    struct undecidable *items = NULL;
    size_t n_items = 0;
    for (size_t i = 0; i < N_REASONS; i++) {
        if (survey->counts[i] == 0) continue;
        *ARENA_APPEND(arena, items, n_items) =
            (struct undecidable){.code = CODES[i], .column = i < SINCE_EMPTY ? "{tenant}" : i < FIELD_UNLISTED ? target->since : NULL, .count = survey->counts[i]};
    }
    if (store->surveys->sampled) *ARENA_APPEND(arena, items, n_items) = (struct undecidable){.code = "survey-sampled", .count = 1};
    *ret_items = items;
    *ret_count = n_items;
    return 0;
}
