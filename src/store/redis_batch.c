#include "store/redis_internal.h"

#include "base/time.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* The due records of one order that no batch has taken yet: at most a batch and a page of them. */
struct bucket {
    struct arena *arena;
    struct redis_item *items;
    size_t n_items;
    int64_t records;
    struct redis_tally *excluded; /* tenants that are no longer due; NULL: none */
};

struct pass {
    struct arena *arena;
    const struct order *const *orders;
    size_t n_orders;
    const struct portion *portion;
    struct redis_order *compiled;
    struct redis_scan scan;
    struct bucket *buckets; /* by order */
    struct evidence_batch hashing; /* each record when it is found, while the server gathers the next page */
    /* Between prepare and finish. */
    size_t prepared_order;
    struct redis_item *prepared;
    size_t n_prepared;
    struct arena *prepared_arena;
};

static void bucket_clear(struct bucket *bucket) {
    arena_free(bucket->arena);
    bucket->arena = arena_new();
    bucket->items = NULL;
    bucket->n_items = 0;
    bucket->records = 0;
}

static char *copy_bytes(struct arena *arena, const char *bytes, size_t length) {
    char *copy = arena_alloc(arena, length + 1);
    memcpy(copy, bytes, length);
    return copy;
}

static struct redis_value *copy_values(struct arena *arena, const struct redis_value *values, size_t count) {
    if (!values) return NULL;
    struct redis_value *copies = ARENA_ARRAY(arena, struct redis_value, count);
    for (size_t i = 0; i < count; i++) {
        if (values[i].bytes) copies[i] = (struct redis_value){copy_bytes(arena, values[i].bytes, values[i].length), values[i].length};
    }
    return copies;
}

static struct redis_item item_copy(struct arena *arena, const struct redis_item *item) {
    struct redis_item copy = *item;
    copy.key = copy_bytes(arena, item->key, item->key_length);
    copy.tenant = arena_strdup(arena, item->tenant);
    copy.values = copy_values(arena, item->values, item->n_values);
    copy.lower = arena_strdup(arena, item->lower);
    copy.upper = arena_strdup(arena, item->upper);
    return copy;
}

static void bucket_add(struct bucket *bucket, const struct redis_item *item) {
    *ARENA_APPEND(bucket->arena, bucket->items, bucket->n_items) = item_copy(bucket->arena, item);
    bucket->records += item->count;
}

static bool is_excluded(const struct bucket *bucket, const char *tenant) { return bucket->excluded && redis_tally_has(bucket->excluded, tenant); }

static int collect(void *context, size_t order_number, const struct redis_item *item, struct err *err) {
    (void)err;
    struct pass *pass = context;
    struct bucket *bucket = &pass->buckets[order_number];
    if (!portion_has(pass->portion, item->tenant) || is_excluded(bucket, item->tenant)) return 0;
    bucket_add(bucket, item);
    if (item->act == REDIS_ACT_MEMBERS) return 0;
    evidence_record(&pass->hashing, pass->orders[order_number]->target->name);
    evidence_bytes(&pass->hashing, item->key, item->key_length);
    bucket->items[bucket->n_items - 1].leaf = evidence_hash(&pass->hashing);
    return 0;
}

int redis_pass_begin(struct store *base, const struct order *const *orders, size_t n_orders, const struct portion *portion, struct pass **ret_pass,
                     struct err *err) {
    struct redis_store *store = redis_of(base);
    if (store->base.settings.read_only) return err_set(err, ERR_BUG, "store \"%s\": was opened to read only", store->base.settings.conf->name);
    struct arena *arena = arena_new();
    struct redis_order *compiled;
    for (size_t i = 0; i < n_orders; i++) assert(!order_is_any(orders[i]));
    if (redis_compile(store, arena, orders, n_orders, &compiled, err) < 0) {
        arena_free(arena);
        return -1;
    }
    struct pass *pass = ARENA_NEW(arena, struct pass);
    *pass = (struct pass){.arena = arena, .orders = orders, .n_orders = n_orders, .portion = portion, .compiled = compiled};
    pass->buckets = ARENA_ARRAY(arena, struct bucket, n_orders);
    for (size_t i = 0; i < n_orders; i++) bucket_clear(&pass->buckets[i]);
    redis_scan_begin(&pass->scan, store, arena, compiled, n_orders, NULL);
    if (redis_found_answers(store->found, orders, n_orders)) {
        pass->scan.found = store->found;
        pass->scan.over = redis_found_is_over(store->found);
        store->found = NULL;
    }
    evidence_begin(&pass->hashing, arena, store->base.settings.evidence_key, store->base.settings.conf->name);
    *ret_pass = pass;
    return 0;
}

/* A bucket that fills a batch; once the scan is over, any that holds something. n_orders: there is none. */
static size_t ready_bucket(const struct pass *pass, size_t limit) {
    size_t number = 0;
    while (number < pass->n_orders) {
        int64_t records = pass->buckets[number].records;
        if (records > 0 && (pass->scan.over || records >= (int64_t)portion_limit(pass->portion, pass->orders[number], limit))) break;
        number++;
    }
    return number;
}

static bool same_key(const struct redis_item *a, const struct redis_item *b) {
    return a->key_length == b->key_length && memcmp(a->key, b->key, a->key_length) == 0;
}

/* SCAN may show a key more than once while the server resizes its table, and pages come again after a lost connection: of each key
 * the first item stays. */
static void drop_doubles(struct bucket *bucket) {
    size_t n_slots = 16, kept = 0;
    while (n_slots < 2 * bucket->n_items) n_slots *= 2;
    const struct redis_item **slots = ARENA_ARRAY(bucket->arena, const struct redis_item *, n_slots);
    for (size_t i = 0; i < bucket->n_items; i++) {
        size_t at = text_hash(bucket->items[i].key, bucket->items[i].key_length) & (n_slots - 1);
        while (slots[at] && !same_key(slots[at], &bucket->items[i])) at = (at + 1) & (n_slots - 1);
        if (slots[at]) {
            bucket->records -= bucket->items[i].count;
            continue;
        }
        bucket->items[kept] = bucket->items[i];
        slots[at] = &bucket->items[kept++];
    }
    bucket->n_items = kept;
}

/* Moves at most `limit` records from the front of the bucket to pass.prepared. */
static void take(struct pass *pass, size_t number, size_t limit) {
    drop_doubles(&pass->buckets[number]);
    struct bucket old = pass->buckets[number], *bucket = &pass->buckets[number];
    int64_t room = (int64_t)limit;
    pass->prepared_order = number;
    pass->prepared_arena = old.arena;
    pass->prepared = old.items;
    pass->n_prepared = 0;
    bucket->arena = NULL;
    bucket_clear(bucket);
    for (size_t i = 0; i < old.n_items; i++) {
        struct redis_item *item = &old.items[i];
        struct redis_item rest = *item;
        if (room > 0) {
            item->count = item->count < room ? item->count : room;
            rest.count -= item->count;
            room -= item->count;
            pass->n_prepared++;
        }
        if (rest.count > 0) bucket_add(bucket, &rest);
    }
}

/* A leaf for each key that goes or changes whole; members of a key are a range. */
static struct evidence evidence_of(const struct redis_store *store, const struct pass *pass, struct arena *arena) {
    struct evidence_batch evidence __attribute__((cleanup(evidence_free))) = {0};
    evidence_begin(&evidence, arena, store->base.settings.evidence_key, store->base.settings.conf->name);
    for (size_t i = 0; i < pass->n_prepared; i++) {
        const struct redis_item *item = &pass->prepared[i];
        if (item->act != REDIS_ACT_MEMBERS) evidence_add_hash(&evidence, &item->leaf);
    }
    return evidence_end(&evidence);
}

static const struct batch *batch_of(const struct redis_store *store, const struct pass *pass, struct arena *arena) {
    struct batch *batch = ARENA_NEW(arena, struct batch);
    struct redis_tally *tally = redis_tally_new();
    batch->order = pass->orders[pass->prepared_order];
    batch->irrevocable = true;
    for (size_t i = 0; i < pass->n_prepared; i++) {
        const struct redis_item *item = &pass->prepared[i];
        redis_tally_add(tally, item->tenant, item->count, item->cutoff_us, item->anchor_us);
        batch->records += item->count;
        batch->range = batch->range || item->act == REDIS_ACT_MEMBERS;
    }
    struct tenant_count *tenants = redis_tally_list(tally, arena, &batch->n_tenants);
    redis_fill_ends(batch->order, tenants, batch->n_tenants);
    batch->tenants = tenants;
    redis_tally_free(tally);
    int64_t began_us = time_monotonic_us();
    batch->evidence = evidence_of(store, pass, arena);
    batch->evidence_us = time_monotonic_us() - began_us;
    return batch;
}

int redis_pass_prepare(struct store *base, struct pass *pass, size_t limit, struct arena *arena, const struct batch **ret_batch,
                       const struct order **ret_failed, struct err *err) {
    struct redis_store *store = redis_of(base);
    assert(!store->prepared && limit > 0);
    *ret_failed = NULL;
    while (!pass->scan.over && ready_bucket(pass, limit) == pass->n_orders) {
        if (redis_scan_page(&pass->scan, collect, pass, ret_failed, err) < 0) return -1;
    }
    size_t number = ready_bucket(pass, limit);
    if (number == pass->n_orders) {
        *ret_batch = NULL;
        return 0;
    }
    take(pass, number, portion_limit(pass->portion, pass->orders[number], limit));
    *ret_batch = batch_of(store, pass, arena);
    store->prepared = pass;
    return 0;
}

int redis_pass_finish(struct store *base, struct pass *pass, bool commit, struct outcome *ret_outcome, struct err *err) {
    struct redis_store *store = redis_of(base);
    assert(store->prepared == pass);
    struct outcome outcome = {0};
    int result = 0;
    if (commit) result = redis_destroy(store, &pass->compiled[pass->prepared_order], pass->prepared, pass->n_prepared, &outcome.records, err);
    /* Rolled back, or never sent, they come again, for the scan is past them: without those whose tenant is excluded meanwhile. */
    bool again = !commit || (result < 0 && err->code == ERR_UNAVAILABLE);
    for (size_t i = 0; again && i < pass->n_prepared; i++) bucket_add(&pass->buckets[pass->prepared_order], &pass->prepared[i]);
    arena_free(pass->prepared_arena);
    pass->prepared_arena = NULL;
    pass->prepared = NULL;
    pass->n_prepared = 0;
    store->prepared = NULL;
    outcome.doubtful = store->connections != store->counted;
    if (result == 0) *ret_outcome = outcome;
    return result;
}

void redis_pass_exclude(struct store *base, struct pass *pass, const struct order *order, const char *tenant) {
    (void)base;
    for (size_t number = 0; number < pass->n_orders; number++) {
        if (pass->orders[number] != order) continue;
        struct bucket *bucket = &pass->buckets[number], old = *bucket;
        if (!bucket->excluded) bucket->excluded = redis_tally_new();
        redis_tally_add(bucket->excluded, tenant, 0, TIME_NEVER, TIME_FOREVER);
        bucket->arena = NULL;
        bucket_clear(bucket);
        for (size_t i = 0; i < old.n_items; i++) {
            if (strcmp(old.items[i].tenant, tenant) != 0) bucket_add(bucket, &old.items[i]);
        }
        arena_free(old.arena);
    }
}

void redis_pass_end(struct store *base, struct pass *pass) {
    struct redis_store *store = redis_of(base);
    if (!pass) return;
    if (store->prepared == pass) store->prepared = NULL;
    for (size_t i = 0; i < pass->n_orders; i++) {
        arena_free(pass->buckets[i].arena);
        redis_tally_free(pass->buckets[i].excluded);
    }
    arena_free(pass->prepared_arena);
    redis_scan_end(&pass->scan);
    redis_found_free(pass->scan.found);
    evidence_free(&pass->hashing);
    struct arena *arena = pass->arena;
    arena_free(arena);
}
