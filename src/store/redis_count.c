#include "store/redis_internal.h"

#include "base/time.h"

#include <string.h>

struct counting {
    struct redis_tally **tallies; /* by order */
    struct redis_found *found;    /* NULL: nobody wants to know which keys they are */
};

static int count_item(void *context, size_t order_number, const struct redis_item *item, struct err *err) {
    (void)err;
    const struct counting *counting = context;
    redis_tally_add(counting->tallies[order_number], item->tenant, item->count, item->cutoff_us, item->anchor_us);
    if (counting->found) redis_found_add(counting->found, item->key, item->key_length);
    return 0;
}

/* The end of a tenant that an order lists, for records without an anchor of their own. */
static int64_t listed_end(const struct order *order, const char *tenant) {
    for (size_t low = 0, high = order->due.n_tenants; low < high;) {
        size_t middle = (low + high) / 2;
        int order_of = strcmp(order->due.tenants[middle].id, tenant);
        if (order_of == 0) return order->due.tenants[middle].end_us;
        if (order_of < 0) low = middle + 1;
        else high = middle;
    }
    return TIME_FOREVER;
}

void redis_fill_ends(const struct order *order, struct tenant_count *tenants, size_t n_tenants) {
    for (size_t i = 0; !order->due.anchor && i < n_tenants; i++) tenants[i].oldest_us = listed_end(order, tenants[i].tenant);
}

static void fill_tally(const struct order *order, const struct redis_tally *counts, struct arena *arena, bool probe, struct tally *ret_tally) {
    struct tally tally = {0};
    struct tenant_count *tenants = redis_tally_list(counts, arena, &tally.n_tenants);
    redis_fill_ends(order, tenants, tally.n_tenants);
    for (size_t i = 0; i < tally.n_tenants; i++) {
        if (probe) tenants[i].count = 1;
        else tally.records += tenants[i].count;
    }
    tally.tenants = tenants;
    *ret_tally = tally;
}

static void forget(struct redis_store *store) {
    redis_found_free(store->found);
    store->found = NULL;
}

void redis_remember(struct store *base, bool on) {
    redis_of(base)->remembers = on;
    forget(redis_of(base));
}

/* Probe and count are the same pass over the keyspace; prepare makes it too. */
static int count_all(struct redis_store *store, const struct order *const *orders, size_t n_orders, bool probe, struct arena *arena, struct tally *tallies,
                     struct err *err) {
    struct redis_order *compiled;
    if (redis_compile(store, arena, orders, n_orders, &compiled, err) < 0) return -1;
    struct redis_surveys *surveys = !probe && store->foreseen_us ? redis_surveys_new(store, store->foreseen_us) : NULL;
    struct redis_scan scan;
    redis_scan_begin(&scan, store, arena, compiled, n_orders, surveys);
    scan.brief = probe;
    scan.paced = true;
    forget(store);
    store->matched = NULL;
    if (!probe) scan.matched = ARENA_ARRAY(store->catalog, int64_t, store->base.settings.schedule->n_targets);
    struct counting counting = {.tallies = ARENA_ARRAY(arena, struct redis_tally *, n_orders)};
    if (!probe && store->remembers) counting.found = redis_found_new(orders, n_orders);
    for (size_t i = 0; i < n_orders; i++) counting.tallies[i] = redis_tally_new();
    int result = 0;
    while (result == 0 && !scan.over) {
        const struct order *failed;
        result = redis_scan_page(&scan, count_item, &counting, &failed, err);
    }
    for (size_t i = 0; i < n_orders; i++) {
        if (result == 0) fill_tally(orders[i], counting.tallies[i], arena, probe, &tallies[i]);
        redis_tally_free(counting.tallies[i]);
    }
    redis_scan_end(&scan);
    store->counted = store->connections;
    if (result == 0) store->matched = scan.matched;
    if (result == 0) store->found = counting.found;
    else redis_found_free(counting.found);
    if (surveys && result == 0) {
        store->surveys = surveys;
        store->foreseen_us = 0;
    }
    return result;
}

int redis_probe(struct store *store, const struct order *const *orders, size_t n_orders, struct arena *arena, struct tally *tallies, struct err *err) {
    return count_all(redis_of(store), orders, n_orders, true, arena, tallies, err);
}

int redis_count(struct store *store, const struct order *const *orders, size_t n_orders, struct arena *arena, struct tally *tallies, struct err *err) {
    return count_all(redis_of(store), orders, n_orders, false, arena, tallies, err);
}

/* All keys were met on the way of the count. How many members they have, nobody looked. */
int redis_size(struct store *base, const struct target *target, int64_t most, struct arena *arena, int64_t *ret_records, struct err *err) {
    (void)arena;
    (void)err;
    const struct redis_store *store = redis_of(base);
    const struct redis_bound *bound = redis_bound_of(store, target);
    *ret_records = -1;
    if (!store->matched || !bound || bound->since.kind == REDIS_ANCHOR_SCORE || bound->since.kind == REDIS_ANCHOR_STREAM) return 0;
    *ret_records = store->matched[target->number] < most ? store->matched[target->number] : most;
    return 0;
}
