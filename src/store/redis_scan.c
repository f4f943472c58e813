#include "store/redis_internal.h"

#include "base/time.h"

#include <string.h>
#include <time.h>

enum { PAGE_KEYS = 500, STREAM_CHUNK = 1000 };

/* A key that an order may want, in the sequence in which the lookups were sent. */
struct candidate {
    size_t key, order;
    struct redis_owner owner;
    struct redis_item item;
};

struct page {
    struct redis_scan *scan;
    const redisReply *keys;
    struct candidate *candidates;
    size_t n_candidates;
    bool *taken; /* by key: an earlier order has the whole key */
};

void redis_scan_begin(struct redis_scan *scan, struct redis_store *store, struct arena *arena, struct redis_order *orders, size_t n_orders,
                      struct redis_surveys *surveys) {
    *scan = (struct redis_scan){.store = store, .orders = orders, .n_orders = n_orders, .cursor = "0", .page = arena_new(), .surveys = surveys};
    const struct keypattern **patterns = ARENA_ARRAY(arena, const struct keypattern *, n_orders + store->base.settings.schedule->n_targets + 1);
    size_t n_patterns = 0;
    for (size_t i = 0; i < n_orders; i++) {
        if (n_patterns > 0 && patterns[n_patterns - 1] == &orders[i].bound->pattern) continue;
        patterns[n_patterns++] = &orders[i].bound->pattern;
    }
    if (surveys) n_patterns = redis_surveys_patterns(surveys, patterns, n_patterns);
    scan->over = n_patterns == 0;
    scan->glob = n_patterns > 0 ? keypattern_common_glob(arena, patterns, n_patterns) : "*";
}

void redis_scan_end(struct redis_scan *scan) {
    redis_reply_free(&scan->ahead);
    arena_free(scan->page);
    scan->page = NULL;
}

/* --- which keys, and what is asked about them ---------------------------------------------------------------------- */

static int send_look(struct page *page, const struct candidate *candidate, struct err *err) {
    const struct redis_order *order = &page->scan->orders[candidate->order];
    const redisReply *key = page->keys->element[candidate->key];
    struct redis_command command = {.arena = page->scan->page};
    if (order->look == REDIS_LOOK_NONE) return 0;
    if (order->look == REDIS_LOOK_FIELDS) {
        redis_word(&command, "HMGET");
        redis_word_n(&command, key->str, key->len);
        for (size_t i = 0; i < order->n_fields; i++) redis_word(&command, order->fields[i]);
        return redis_send(page->scan->store, &command, err);
    }
    redis_words_eval(&command, order->look == REDIS_LOOK_HASH ? REDIS_HASH_LOOK : REDIS_MEMBERS_LOOK, 1);
    redis_word_n(&command, key->str, key->len);
    if (order->look == REDIS_LOOK_HASH) {
        redis_word_number(&command, (int64_t)redis_most_fields(order->bound));
        return redis_send(page->scan->store, &command, err);
    }
    redis_word(&command, order->member_type);
    redis_word(&command, candidate->item.lower);
    redis_word(&command, candidate->item.upper);
    redis_word_number(&command, STREAM_CHUNK);
    return redis_send(page->scan->store, &command, err);
}

/* Adds the key to the page's candidates unless it is plain already that the order does not want it. */
static int consider(struct page *page, size_t key, size_t order_number, const struct redis_owner *owner, struct err *err) {
    const struct redis_order *order = &page->scan->orders[order_number];
    int64_t cutoff_us = redis_cutoff(&order->due, owner->tenant);
    if (cutoff_us == TIME_NEVER) return 0;
    struct candidate candidate = {.key = key, .order = order_number, .owner = *owner};
    if (order->look == REDIS_LOOK_MEMBERS && !redis_members_due(page->scan->page, order, owner, &candidate.item)) return 0;
    if (order->look == REDIS_LOOK_NONE && !redis_key_due(order, owner, NULL, &candidate.item.anchor_us)) return 0;
    candidate.item.key = page->keys->element[key]->str;
    candidate.item.key_length = page->keys->element[key]->len;
    candidate.item.tenant = owner->tenant;
    candidate.item.cutoff_us = cutoff_us;
    *ARENA_APPEND(page->scan->page, page->candidates, page->n_candidates) = candidate;
    return send_look(page, &candidate, err);
}

static int consider_key(struct page *page, size_t key, struct err *err) {
    const struct redis_scan *scan = page->scan;
    const struct redis_bound *bound = NULL;
    struct redis_owner owner = {0};
    for (size_t i = 0; i < scan->n_orders; i++) {
        if (scan->orders[i].out) continue;
        if (scan->orders[i].bound != bound) {
            bound = scan->orders[i].bound;
            owner = redis_owner_of(scan->store, scan->page, bound, scan->orders, scan->n_orders, page->keys->element[key]->str,
                                   page->keys->element[key]->len);
            if (scan->matched && scan->orders[i].first && owner.kind != REDIS_OWNER_NO_MATCH) scan->matched[bound->target->number]++;
        }
        if (owner.kind == REDIS_OWNER_OK && consider(page, key, i, &owner, err) < 0) return -1;
    }
    return 0;
}

/* --- what the answers mean ----------------------------------------------------------------------------------------- */

static struct redis_value *values_of(struct arena *arena, const redisReply *reply) {
    struct redis_value *values = ARENA_ARRAY(arena, struct redis_value, reply->elements);
    for (size_t i = 0; i < reply->elements; i++) {
        if (reply->element[i]->type != REDIS_REPLY_STRING) continue;
        char *bytes = arena_alloc(arena, reply->element[i]->len + 1);
        memcpy(bytes, reply->element[i]->str, reply->element[i]->len);
        values[i] = (struct redis_value){.bytes = bytes, .length = reply->element[i]->len};
    }
    return values;
}

static int fields_answer(struct page *page, struct candidate *candidate, const redisReply *reply, bool *ret_due, struct err *err) {
    const struct redis_order *order = &page->scan->orders[candidate->order];
    if (redis_is_error(reply, "WRONGTYPE")) {
        /* Not a hash: only a rule that reads no field of it can want it. */
        candidate->item.act = REDIS_ACT_UNLINK;
        *ret_due = order->n_fields == 0 || (order->due.anchor.kind != REDIS_ANCHOR_FIELD && redis_key_due(order, &candidate->owner, NULL, &candidate->item.anchor_us));
        return 0;
    }
    if (reply->type == REDIS_REPLY_ERROR) return redis_refusal(page->scan->store, reply, err);
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != order->n_fields) return redis_misshapen(page->scan->store, "HMGET", err);
    candidate->item.act = REDIS_ACT_UNLINK_IF;
    candidate->item.values = values_of(page->scan->page, reply);
    candidate->item.n_values = reply->elements;
    *ret_due = redis_key_due(order, &candidate->owner, candidate->item.values, &candidate->item.anchor_us);
    return 0;
}

/* The oldest one's instant: a score as text, or the id of an entry. */
static int64_t oldest_instant(const struct redis_order *order, const redisReply *text) {
    char number[64];
    int64_t us;
    if (text->type != REDIS_REPLY_STRING || text->len == 0) return TIME_FOREVER;
    size_t length = 0;
    while (length < text->len && text->str[length] != (order->member_type[0] == 's' ? '-' : '\0')) length++;
    if (length >= sizeof number) return TIME_FOREVER;
    memcpy(number, text->str, length);
    enum since_unit unit = order->member_type[0] == 's' ? UNIT_MILLISECONDS : order->order->target->unit;
    return redis_instant(number, length, unit, &us) ? us : TIME_FOREVER;
}

/* {type, how many, the oldest, the last id}. */
static int members_answer(struct page *page, struct candidate *candidate, const redisReply *reply, bool *ret_due, struct err *err) {
    const struct redis_order *order = &page->scan->orders[candidate->order];
    if (reply->type == REDIS_REPLY_ERROR) return redis_refusal(page->scan->store, reply, err);
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 4 || reply->element[0]->type != REDIS_REPLY_STRING)
        return redis_misshapen(page->scan->store, "EVAL", err);
    *ret_due = false;
    if (text_equal(reply->element[0]->str, "none")) return 0;
    if (!text_equal(reply->element[0]->str, order->member_type)) {
        /* Of another type: a whole record of its tenant's, undecidable under a rule by age. */
        candidate->item.act = REDIS_ACT_UNLINK;
        *ret_due = !order->order->due.anchor && redis_key_due(order, &candidate->owner, NULL, &candidate->item.anchor_us);
        candidate->item.count = 1;
        return 0;
    }
    candidate->item.count = reply->element[1]->integer;
    candidate->item.anchor_us = order->order->due.anchor ? oldest_instant(order, reply->element[2]) : TIME_FOREVER;
    *ret_due = candidate->item.count > 0;
    return 0;
}

static int hash_answer(struct page *page, struct candidate *candidate, const redisReply *reply, bool *ret_due, struct err *err) {
    if (reply->type == REDIS_REPLY_ERROR) return redis_refusal(page->scan->store, reply, err);
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 1 || reply->element[0]->type != REDIS_REPLY_STRING)
        return redis_misshapen(page->scan->store, "EVAL", err);
    *ret_due = redis_hash_due(page->scan->page, &page->scan->orders[candidate->order], &candidate->owner, reply, &candidate->item);
    return 0;
}

/* The rest of a stream that has more due entries than one look shows. */
static int count_stream(struct page *page, struct candidate *candidate, const redisReply *first_look, struct err *err) {
    struct redis_item *item = &candidate->item;
    char *last = arena_strndup(page->scan->page, first_look->element[3]->str, first_look->element[3]->len);
    for (int64_t found = item->count; found == STREAM_CHUNK;) {
        struct redis_command command = {.arena = page->scan->page};
        redis_words_eval(&command, REDIS_MEMBERS_LOOK, 1);
        redis_word_n(&command, item->key, item->key_length);
        redis_word(&command, "stream");
        redis_word(&command, arena_printf(page->scan->page, "(%s", last));
        redis_word(&command, item->upper);
        redis_word_number(&command, STREAM_CHUNK);
        REDIS_REPLY reply = NULL;
        if (redis_ask(page->scan->store, &command, &reply, err) < 0) return -1;
        if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 4) return redis_misshapen(page->scan->store, "EVAL", err);
        found = reply->element[1]->integer;
        item->count += found;
        last = arena_strndup(page->scan->page, reply->element[3]->str, reply->element[3]->len);
    }
    return 0;
}

static int judge(struct page *page, struct candidate *candidate, const redisReply *reply, bool *ret_due, struct err *err) {
    candidate->item.count = 1;
    switch (page->scan->orders[candidate->order].look) {
    case REDIS_LOOK_NONE: *ret_due = true; return 0;
    case REDIS_LOOK_FIELDS: return fields_answer(page, candidate, reply, ret_due, err);
    case REDIS_LOOK_MEMBERS: return members_answer(page, candidate, reply, ret_due, err);
    case REDIS_LOOK_HASH: return hash_answer(page, candidate, reply, ret_due, err);
    }
    return err_set(err, ERR_BUG, "a look at a key has no meaning");
}

/* --- a page -------------------------------------------------------------------------------------------------------- */

static int send_scan(struct redis_scan *scan, const char *cursor, struct err *err) {
    struct redis_command command = {.arena = scan->page};
    redis_word(&command, "SCAN");
    redis_word(&command, cursor);
    redis_word(&command, "MATCH");
    redis_word(&command, scan->glob);
    redis_word(&command, "COUNT");
    redis_word_number(&command, PAGE_KEYS);
    return redis_send(scan->store, &command, err);
}

/* A cursor means nothing to a server that was started anew, as one may have been whose connection broke: from the beginning. */
static int reconnect(struct redis_scan *scan, struct err *err) {
    if (redis_connect(scan->store, err) < 0) return -1;
    if (scan->connection == scan->store->connections) return 0;
    redis_reply_free(&scan->ahead);
    scan->ahead = NULL;
    scan->connection = scan->store->connections;
    memcpy(scan->cursor, "0", 2);
    return 0;
}

int redis_scan_next(struct redis_scan *scan, redisReply **ret_reply, struct err *err) {
    arena_clear(scan->page);
    if (reconnect(scan, err) < 0) return -1;
    REDIS_REPLY reply = scan->ahead;
    scan->ahead = NULL;
    scan->asked = false;
    if (!reply && (send_scan(scan, scan->cursor, err) < 0 || redis_receive(scan->store, &reply, err) < 0)) return -1;
    if (reply->type == REDIS_REPLY_ERROR) return redis_refusal(scan->store, reply, err);
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[1]->type != REDIS_REPLY_ARRAY || reply->element[0]->len >= sizeof scan->next)
        return redis_misshapen(scan->store, "SCAN", err);
    memcpy(scan->next, reply->element[0]->str, reply->element[0]->len + 1);
    if (!text_equal(scan->next, "0")) {
        if (send_scan(scan, scan->next, err) < 0 || redis_flush(scan->store, err) < 0) return -1;
        scan->asked = true;
    }
    *ret_reply = reply;
    reply = NULL;
    return 0;
}

int redis_scan_await(struct redis_scan *scan, struct err *err) {
    if (!scan->asked) return 0;
    scan->asked = false;
    return redis_receive(scan->store, &scan->ahead, err);
}

void redis_scan_advance(struct redis_scan *scan) {
    memcpy(scan->cursor, scan->next, sizeof scan->cursor);
    scan->over = text_equal(scan->cursor, "0");
}

/* Reads the answers to all lookups, so that the pipeline is in step whatever they say. */
static int receive_all(struct page *page, redisReply **replies, struct err *err) {
    for (size_t i = 0; i < page->n_candidates; i++) {
        if (page->scan->orders[page->candidates[i].order].look == REDIS_LOOK_NONE) continue;
        if (redis_receive(page->scan->store, &replies[i], err) < 0) return -1;
    }
    return 0;
}

static int emit(struct page *page, redisReply *const *replies, redis_item_sink *sink, void *context, const struct order **ret_failed, struct err *err) {
    int result = 0;
    for (size_t i = 0; i < page->n_candidates; i++) {
        struct candidate *candidate = &page->candidates[i];
        struct redis_order *order = &page->scan->orders[candidate->order];
        bool due = false;
        if (order->out || page->taken[candidate->key]) continue;
        if (judge(page, candidate, replies[i], &due, err) < 0) {
            if (err->code == ERR_UNAVAILABLE) return -1;
            order->out = true;
            *ret_failed = order->order;
            result = -1;
            continue;
        }
        if (!due) continue;
        if (candidate->item.act == REDIS_ACT_MEMBERS) {
            if (!page->scan->brief && order->member_type[0] == 's' && count_stream(page, candidate, replies[i], err) < 0) return -1;
        } else page->taken[candidate->key] = true;
        if (sink(context, candidate->order, &candidate->item, err) < 0) return -1;
    }
    return result;
}

static int work_on(struct page *page, redis_item_sink *sink, void *context, const struct order **ret_failed, struct err *err) {
    page->taken = ARENA_ARRAY(page->scan->page, bool, page->keys->elements);
    for (size_t i = 0; i < page->keys->elements; i++) {
        if (consider_key(page, i, err) < 0) return -1;
    }
    struct redis_surveys *surveys = page->scan->surveys;
    if (surveys && redis_surveys_ask(surveys, page->scan->page, page->keys, err) < 0) return -1;
    if (redis_scan_await(page->scan, err) < 0) return -1;
    redisReply **replies = ARENA_ARRAY(page->scan->page, redisReply *, page->n_candidates);
    int result = receive_all(page, replies, err);
    if (result == 0 && surveys) result = redis_surveys_read(surveys, err);
    if (result == 0) result = emit(page, replies, sink, context, ret_failed, err);
    for (size_t i = 0; i < page->n_candidates; i++) redis_reply_free(&replies[i]);
    return result;
}

/* --- keys that were found before ------------------------------------------------------------------------------------ */

static int send_exists(struct redis_scan *scan, redisReply *const *keys, size_t n_keys, struct err *err) {
    struct redis_command command = {.arena = scan->page};
    redis_word(&command, "EXISTS");
    for (size_t i = 0; i < n_keys; i++) redis_word_n(&command, keys[i]->str, keys[i]->len);
    return redis_send(scan->store, &command, err);
}

static int receive_exists(struct redis_scan *scan, int64_t *ret_count, struct err *err) {
    REDIS_REPLY reply = NULL;
    if (redis_receive(scan->store, &reply, err) < 0) return -1;
    if (reply->type == REDIS_REPLY_ERROR) return redis_refusal(scan->store, reply, err);
    if (reply->type != REDIS_REPLY_INTEGER) return redis_misshapen(scan->store, "EXISTS", err);
    *ret_count = reply->integer;
    return 0;
}

/* Asked one by one; all answers are read, so that the pipeline stays in step. */
static int keep_those_there(struct redis_scan *scan, redisReply *keys, struct err *err) {
    size_t kept = 0;
    int result = 0;
    for (size_t i = 0; i < keys->elements; i++)
        if (send_exists(scan, &keys->element[i], 1, err) < 0) return -1;
    for (size_t i = 0; i < keys->elements; i++) {
        int64_t there = 0;
        if (receive_exists(scan, &there, err) < 0) result = -1;
        if (result < 0 && err->code == ERR_UNAVAILABLE) return -1;
        if (there > 0) keys->element[kept++] = keys->element[i];
    }
    keys->elements = kept;
    return result;
}

/* What expired or was deleted since is no record any more: nobody shall read that it was destroyed here. */
static int drop_those_gone(struct redis_scan *scan, redisReply *keys, struct err *err) {
    int64_t there;
    if (keys->elements == 0) return 0;
    if (send_exists(scan, keys->element, keys->elements, err) < 0 || receive_exists(scan, &there, err) < 0) return -1;
    return there == (int64_t)keys->elements ? 0 : keep_those_there(scan, keys, err);
}

static int found_page(struct redis_scan *scan, redis_item_sink *sink, void *context, const struct order **ret_failed, struct err *err) {
    arena_clear(scan->page);
    if (redis_connect(scan->store, err) < 0) return -1;
    const redisReply *keys = redis_found_page(scan->found, scan->page, PAGE_KEYS);
    redisReply there = {.elements = keys->elements, .element = ARENA_ARRAY(scan->page, redisReply *, keys->elements)};
    for (size_t i = 0; i < keys->elements; i++) there.element[i] = keys->element[i];
    if (drop_those_gone(scan, &there, err) < 0) return -1;
    struct page page = {.scan = scan, .keys = &there};
    int result = work_on(&page, sink, context, ret_failed, err);
    if (result < 0 && !*ret_failed) return -1;
    redis_found_advance(scan->found, keys);
    scan->over = redis_found_is_over(scan->found);
    return result;
}

/* The server does one thing at a time: a question that reads all keys is work for it as a batch is. */
int64_t redis_scan_pause_us(enum load load, int64_t took_us) {
    static const int64_t pauses[] = {[LOAD_GENTLE] = 3, [LOAD_NORMAL] = 1, [LOAD_FULL] = 0};
    static const int64_t longest_us = 100000; /* whoever stops us waits for it */
    int64_t pause_us = took_us * pauses[load];
    return pause_us < longest_us ? pause_us : longest_us;
}

static void let_others(const struct redis_scan *scan, int64_t began_us) {
    int64_t pause_us = redis_scan_pause_us(scan->store->base.settings.schedule->settings.load, time_monotonic_us() - began_us);
    const struct timespec pause = {.tv_sec = pause_us / TIME_SECOND_US, .tv_nsec = pause_us % TIME_SECOND_US * 1000};
    if (scan->paced && !scan->over && pause_us > 0) (void)nanosleep(&pause, NULL);
}

int redis_scan_page(struct redis_scan *scan, redis_item_sink *sink, void *context, const struct order **ret_failed, struct err *err) {
    REDIS_REPLY reply = NULL;
    *ret_failed = NULL;
    if (scan->found) return found_page(scan, sink, context, ret_failed, err);
    int64_t began_us = time_monotonic_us();
    if (redis_scan_next(scan, &reply, err) < 0) return -1;
    struct page page = {.scan = scan, .keys = reply->element[1]};
    int result = work_on(&page, sink, context, ret_failed, err);
    if (result == 0 || *ret_failed) {
        redis_scan_advance(scan);
        let_others(scan, began_us);
        return result;
    }
    /* Only a page that was worked on is behind us: this one comes again. */
    redis_reply_free(&scan->ahead);
    scan->ahead = NULL;
    return -1;
}
