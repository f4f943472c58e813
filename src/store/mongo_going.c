/* What goes in the same sweep: a document that refers to another one but is itself due under an order of the same count, and not
 * blocked for good, will have gone when the sweep is over. What cannot be shown to go stays. */
#include "store/mongo_internal.h"
#include "store/mongo_map.h"

#include <stdlib.h>
#include <string.h>

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* A purge of this collection that the sweep carries out in time: the tenants' own records go last. */
static bool is_in_time(const struct order *order, const struct order *asking, const char *collection) {
    if (order_is_any(order) || order->action != ACTION_PURGE || order->target->tenant_in_name) return false;
    return (!order->own || asking->own) && !strcmp(order->target->name, collection);
}

/* Whose the documents are, each tenant once. */
static const char **tenants_of(struct arena *arena, const struct target *target, const bson_t *const *documents, size_t count, size_t *ret_count) {
    const char **ids = ARENA_ARRAY(arena, const char *, count);
    size_t n_ids = 0, kept = 0;
    for (size_t i = 0; target->tenant && i < count; i++) {
        bson_iter_t value;
        const char *id = mongo_scalar_at(documents[i], target->tenant, &value) ? mongo_text(arena, &value) : NULL;
        if (id && *id) ids[n_ids++] = id;
    }
    if (n_ids) qsort(ids, n_ids, sizeof *ids, by_text);
    for (size_t i = 0; i < n_ids; i++)
        if (!kept || strcmp(ids[kept - 1], ids[i]) != 0) ids[kept++] = ids[i];
    *ret_count = kept;
    return ids;
}

/* {$and: [filter, {_id: {$in: …}}]} */
static bson_t *filter_among(const bson_t *filter, const bson_t *const *documents, size_t count) {
    bson_t keys = BSON_INITIALIZER;
    for (size_t i = 0; i < count; i++) {
        char room[16];
        const char *name;
        bson_iter_t id;
        (void)bson_uint32_to_string((uint32_t)i, &name, room, sizeof room);
        if (bson_iter_init_find(&id, documents[i], "_id")) bson_append_iter(&keys, name, -1, &id);
    }
    bson_t *both = BCON_NEW("$and", "[", BCON_DOCUMENT(filter), "{", "_id", "{", "$in", BCON_ARRAY(&keys), "}", "}", "]");
    bson_destroy(&keys);
    return both;
}

static int ask_order(struct mongo_store *store, const struct mongo_work *asking, const struct order *order, const bson_t *const *documents,
                     size_t count, bool *stays, struct err *err) {
    const struct mongo_bound *bound;
    struct err unusable; /* the count of that order says why */
    if (mongo_usable(store, order->target, &bound, &unusable)) return 0;
    struct arena *arena = asking->arena;
    size_t n_ids;
    const char **ids = tenants_of(arena, order->target, documents, count, &n_ids);
    MONGO_BSON due = mongo_compile(bound, order, ids, n_ids);
    if (!due) return 0;
    MONGO_BSON filter = filter_among(due, documents, count);
    const struct mongo_going level = {.orders = asking->going->orders, .n_orders = asking->going->n_orders, .collection = order->target->name,
                                      .above = asking->going};
    struct mongo_work work = {.arena = arena, .bound = bound, .order = order, .filter = filter, .going = &level};
    const struct mongo_find find = {.filter = filter};
    int64_t dependents;
    if (mongo_work_choose(store, NULL, &work, &find, err) || mongo_walk_count(store, &work, &dependents, err)) return -1;
    struct mongo_map free_ones = {.arena = arena};
    for (size_t i = 0; i < work.n_documents; i++) {
        const bson_t *key = mongo_key_of(arena, work.documents[i].found);
        (void)mongo_map_put(&free_ones, bson_get_data(key), key->len, 0);
    }
    for (size_t i = 0; i < count; i++) {
        const bson_t *key = mongo_key_of(arena, documents[i]);
        size_t ignored;
        if (mongo_map_get(&free_ones, bson_get_data(key), key->len, &ignored)) stays[i] = false;
    }
    return 0;
}

int mongo_going_ask(struct mongo_store *store, const struct mongo_work *asking, const char *collection, const bson_t *const *documents, size_t count,
                    bool *stays, struct err *err) {
    for (size_t i = 0; i < count; i++) stays[i] = true;
    for (const struct mongo_going *level = asking->going; level; level = level->above)
        if (!strcmp(level->collection, collection)) return 0; /* a circle */
    for (size_t i = 0; i < asking->going->n_orders; i++)
        if (is_in_time(asking->going->orders[i], asking->order, collection) &&
            ask_order(store, asking, asking->going->orders[i], documents, count, stays, err))
            return -1;
    return 0;
}
