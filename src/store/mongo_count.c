#include "base/time.h"
#include "store/mongo_internal.h"
#include "store/spelling.h"

#include <stdlib.h>
#include <string.h>

/* ---- one question ---- */

static int by_id(const void *a, const void *b) {
    return strcmp(((const struct tenant_count *)a)->tenant, ((const struct tenant_count *)b)->tenant);
}

/* [{$match}, {$group: {_id, n, oldest}}] */
static bson_t *group_pipeline(const struct mongo_bound *bound, const struct order *order, const bson_t *filter) {
    bson_t group = BSON_INITIALIZER;
    char path[1024];
    if (order->due.kind == SCOPE_WHOLE) BSON_APPEND_NULL(&group, "_id");
    else {
        (void)snprintf(path, sizeof path, "$%s", bound->target->tenant);
        mongo_append_utf8(&group, "_id", path);
    }
    BCON_APPEND(&group, "n", "{", "$sum", BCON_INT32(1), "}");
    if (order->due.anchor) {
        (void)snprintf(path, sizeof path, "$%s", order->due.anchor);
        if (mongo_forms(bound, order->due.anchor, order->due.anchor_is_since) == (MONGO_DATE | MONGO_ID_TIME))
            BCON_APPEND(&group, "oldest", "{", "$min", "{", "$toDate", BCON_UTF8(path), "}", "}");
        else
            BCON_APPEND(&group, "oldest", "{", "$min", BCON_UTF8(path), "}");
    }
    bson_t *pipeline = BCON_NEW("pipeline", "[", "{", "$match", BCON_DOCUMENT(filter), "}", "{", "$group", BCON_DOCUMENT(&group), "}", "]");
    bson_destroy(&group);
    return pipeline;
}

struct counting {
    struct mongo_store *store;
    const struct mongo_bound *bound;
    const struct order *order;
    struct arena *arena;
    bool by_index; /* the index on (tenant, anchor) tells whose records may be due, and the oldest of each, from tenant to tenant */
    struct tenant_count *items;
    size_t n_items;
};

/* Whoever is asked about and named in an array has something left. */
static void read_array(struct counting *counting, const bson_iter_t *array) {
    bson_iter_t child;
    if (!bson_iter_recurse(array, &child)) return;
    while (bson_iter_next(&child)) {
        if (BSON_ITER_HOLDS_ARRAY(&child)) {
            read_array(counting, &child);
            continue;
        }
        const char *id = mongo_text(counting->arena, &child);
        if (!id || scope_cutoff(&counting->order->due, id) == TIME_NEVER) continue;
        *ARENA_APPEND(counting->arena, counting->items, counting->n_items) =
            (struct tenant_count){.tenant = id, .count = 1, .cutoff_us = TIME_FOREVER, .oldest_us = scope_end(&counting->order->due, id)};
    }
}

static void read_group(struct counting *counting, const bson_t *document) {
    const struct order *order = counting->order;
    bson_iter_t iter;
    struct tenant_count entry = {.tenant = "", .oldest_us = TIME_FOREVER};
    if (order->due.kind != SCOPE_WHOLE) {
        if (!bson_iter_init_find(&iter, document, "_id")) return;
        if (order_is_any(order) && BSON_ITER_HOLDS_ARRAY(&iter)) read_array(counting, &iter);
        entry.tenant = mongo_text(counting->arena, &iter);
        if (!entry.tenant || !*entry.tenant) return; /* undecidable, never due; the filter does not match them */
        entry.cutoff_us = mongo_cutoff(order, entry.tenant);
    } else {
        entry.cutoff_us = order->due.cutoff_us;
    }
    if (bson_iter_init_find(&iter, document, "n")) entry.count = bson_iter_as_int64(&iter);
    enum since_unit unit = order->due.anchor_is_since ? counting->bound->target->unit : UNIT_NONE;
    if (!order->due.anchor) entry.oldest_us = scope_end(&order->due, entry.tenant);
    else if (bson_iter_init_find(&iter, document, "oldest")) (void)mongo_instant(&iter, unit, &entry.oldest_us);
    *ARENA_APPEND(counting->arena, counting->items, counting->n_items) = entry;
}

/* {$group: {_id: tenant, n, oldest}} of what a loose filter lets through, with its guards here: the values of an index are enough for
 * them. Whoever's a document cannot be is put aside under null. */
static bson_t *guarded_pipeline(const struct counting *counting, const bson_t *filter) {
    __attribute__((cleanup(buf_free))) struct buf tenant = {0}, anchor = {0};
    buf_printf(&tenant, "$%s", counting->bound->target->tenant);
    buf_printf(&anchor, "$%s", counting->order->due.anchor ? counting->order->due.anchor : counting->bound->target->tenant);
    const char *t = buf_text(&tenant), *at = buf_text(&anchor);
    MONGO_BSON vague = BCON_NEW("$or", "[", "{", "$eq", "[", "{", "$type", BCON_UTF8(t), "}", "decimal", "]", "}", "{", "$and", "[", "{", "$eq", "[", "{", "$type",
                                BCON_UTF8(t), "}", "double", "]", "}", "{", "$or", "[", "{", "$gt", "[", BCON_UTF8(t), BCON_DOUBLE(MONGO_MOST_EXACT_DOUBLE), "]",
                                "}", "{", "$lt", "[", BCON_UTF8(t), BCON_DOUBLE(-MONGO_MOST_EXACT_DOUBLE), "]", "}", "]", "}", "]", "}", "]");
    MONGO_BSON nobodys = order_is_any(counting->order)
                             ? bson_copy(vague) /* an array is read by who asks for anything */
                             : BCON_NEW("$or", "[", "{", "$isArray", "[", BCON_UTF8(t), "]", "}", "{", "$isArray", "[", BCON_UTF8(at), "]", "}",
                                        BCON_DOCUMENT(vague), "]");
    MONGO_BSON group = BCON_NEW("_id", "{", "$cond", "[", BCON_DOCUMENT(nobodys), BCON_NULL, BCON_UTF8(t), "]", "}", "n", "{", "$sum", BCON_INT32(1), "}");
    if (counting->order->due.anchor) BCON_APPEND(group, "oldest", "{", "$min", BCON_UTF8(at), "}");
    return BCON_NEW("pipeline", "[", "{", "$match", BCON_DOCUMENT(filter), "}", "{", "$group", BCON_DOCUMENT(group), "}", "]");
}

/* Without the documents where an index has all that decides. */
static bool needs_no_documents(const struct counting *counting) {
    return counting->by_index && mongo_due_is_all(counting->bound, counting->order);
}

static int ask(struct counting *counting, const char *const *ids, size_t n_ids, struct err *err) {
    bool loose = needs_no_documents(counting);
    MONGO_BSON filter = loose ? mongo_compile_loose(counting->bound, counting->order, ids, n_ids) : mongo_compile(counting->bound, counting->order, ids, n_ids);
    if (!filter) return 0;
    bool guarded = loose || order_is_any(counting->order); /* else the filter has the guards */
    MONGO_BSON pipeline = guarded ? guarded_pipeline(counting, filter) : group_pipeline(counting->bound, counting->order, filter);
    MONGO_CURSOR cursor = NULL;
    const char *hint = counting->order->due.kind == SCOPE_WHOLE ? NULL : counting->bound->index_tenant;
    if (mongo_aggregate(counting->store, NULL, counting->bound->target->name, pipeline, hint, &cursor, err)) return -1;
    for (const bson_t *document;;) {
        if (mongo_next(counting->store, cursor, "count", &document, err)) return -1;
        if (!document) return 0;
        read_group(counting, document);
    }
}

/* ---- all tenants ---- */

/* One cutoff and at most 10,000 tenants a question: then an index on (tenant, since) answers by itself. */
struct asked {
    const char *id;
    int64_t cutoff_us, oldest_us;
};

static int by_cutoff(const void *a, const void *b) {
    const struct asked *left = a, *right = b;
    if (left->cutoff_us != right->cutoff_us) return left->cutoff_us < right->cutoff_us ? -1 : 1;
    return strcmp(left->id, right->id);
}

/* A question about some of them. */
typedef int ask_some(struct counting *counting, const char *const *ids, size_t n_ids, void *context, struct err *err);

static int in_questions(struct counting *counting, struct asked *asked, size_t n_asked, ask_some *some, void *context, struct err *err) {
    if (!n_asked) return 0;
    qsort(asked, n_asked, sizeof *asked, by_cutoff);
    const char **ids = ARENA_ARRAY(counting->arena, const char *, MONGO_TENANTS_A_QUESTION);
    for (size_t from = 0; from < n_asked;) {
        size_t count = 0;
        for (; from + count < n_asked && count < MONGO_TENANTS_A_QUESTION && asked[from + count].cutoff_us == asked[from].cutoff_us; count++)
            ids[count] = asked[from + count].id;
        if (some(counting, ids, count, context, err)) return -1;
        from += count;
    }
    return 0;
}

static int ask_exactly(struct counting *counting, const char *const *ids, size_t n_ids, void *context, struct err *err) {
    (void)context;
    return ask(counting, ids, n_ids, err);
}

struct asking {
    struct asked *items;
    size_t count;
};

/* The oldest of each comes first in the index. The filter has let through what is of the anchor's type only, else what is null or a
 * number would come before it. */
static bson_t *candidates_pipeline(const struct counting *counting, const bson_t *filter) {
    __attribute__((cleanup(buf_free))) struct buf tenant = {0}, anchor = {0};
    const char *path = counting->bound->target->tenant, *since = counting->order->due.anchor;
    buf_printf(&tenant, "$%s", path);
    if (!counting->by_index || !since)
        return BCON_NEW("pipeline", "[", "{", "$match", BCON_DOCUMENT(filter), "}", "{", "$group", "{", "_id", BCON_UTF8(buf_text(&tenant)), "}", "}", "]");
    buf_printf(&anchor, "$%s", since);
    return BCON_NEW("pipeline", "[", "{", "$match", BCON_DOCUMENT(filter), "}", "{", "$sort", "{", path, BCON_INT32(1), since, BCON_INT32(1), "}", "}", "{",
                    "$group", "{", "_id", BCON_UTF8(buf_text(&tenant)), "oldest", "{", "$first", BCON_UTF8(buf_text(&anchor)), "}", "}", "}", "]");
}

/* False: the id is a number that is nobody's, and stands for those that are equal to it. */
static bool add_candidate(struct counting *counting, const bson_t *document, struct asking *asking) {
    bson_iter_t iter;
    if (!bson_iter_init_find(&iter, document, "_id")) return true;
    const char *id = mongo_text(counting->arena, &iter);
    if (!id || !*id) return !BSON_ITER_HOLDS_DECIMAL128(&iter) && !BSON_ITER_HOLDS_DOUBLE(&iter);
    struct asked asked = {.id = id, .cutoff_us = mongo_cutoff(counting->order, id), .oldest_us = TIME_FOREVER};
    enum since_unit unit = counting->order->due.anchor_is_since ? counting->bound->target->unit : UNIT_NONE;
    if (bson_iter_init_find(&iter, document, "oldest") && mongo_instant(&iter, unit, &asked.oldest_us) && asked.oldest_us >= asked.cutoff_us) return true;
    if (asked.cutoff_us != TIME_NEVER) *ARENA_APPEND(counting->arena, asking->items, asking->count) = asked;
    return true;
}

static int run_candidates(struct counting *counting, const bson_t *pipeline, const char *hint, struct asking *asking, bool *ret_hidden, struct err *err) {
    MONGO_CURSOR cursor = NULL;
    *ret_hidden = false;
    if (mongo_aggregate(counting->store, NULL, counting->bound->target->name, pipeline, hint, &cursor, err)) return -1;
    for (const bson_t *document;;) {
        if (mongo_next(counting->store, cursor, "ask for tenants", &document, err)) return -1;
        if (!document) return 0;
        if (!add_candidate(counting, document, asking)) *ret_hidden = true;
    }
}

static int add_candidates(struct counting *counting, const bson_t *filter, const char *hint, struct asking *asking, struct err *err) {
    bool hidden;
    if (!filter) return 0;
    MONGO_BSON quick = candidates_pipeline(counting, filter);
    if (run_candidates(counting, quick, hint, asking, &hidden, err)) return -1;
    if (!hidden) return 0;
    MONGO_BSON thorough = guarded_pipeline(counting, filter);
    return run_candidates(counting, thorough, hint, asking, &hidden, err);
}

static int add_listed(struct counting *counting, const char *const *ids, size_t n_ids, void *context, struct err *err) {
    MONGO_BSON filter = mongo_compile_loose(counting->bound, counting->order, ids, n_ids);
    return add_candidates(counting, filter, counting->bound->index_tenant, context, err);
}

static int add_all(struct counting *counting, enum mongo_types type, const char *hint, struct asking *asking, struct err *err) {
    MONGO_BSON filter = mongo_compile_candidates(counting->bound, counting->order, type);
    return add_candidates(counting, filter, hint, asking, err);
}

/* An index on the tenant is walked from tenant to tenant, type by type; else whatever the server finds best reads it all at once. */
static int candidates(struct counting *counting, struct asking *asking, struct err *err) {
    const struct mongo_bound *bound = counting->bound;
    if (!bound->index_tenant || (bound->index_since && !counting->by_index)) return add_all(counting, MONGO_ALL_TYPES, NULL, asking, err);
    for (unsigned type = MONGO_STRING; type <= MONGO_UUID; type *= 2)
        if (add_all(counting, (enum mongo_types)type, bound->index_tenant, asking, err)) return -1;
    return 0;
}

static int same_id(const void *a, const void *b) { return strcmp(((const struct asked *)a)->id, ((const struct asked *)b)->id); }

/* The integer 7 and "7" are one tenant. */
static size_t drop_doubles(struct asked *asked, size_t count) {
    if (!count) return 0;
    qsort(asked, count, sizeof *asked, same_id);
    size_t kept = 1;
    for (size_t i = 1; i < count; i++) {
        if (strcmp(asked[i].id, asked[kept - 1].id)) asked[kept++] = asked[i];
        else if (asked[i].oldest_us < asked[kept - 1].oldest_us) asked[kept - 1].oldest_us = asked[i].oldest_us;
    }
    return kept;
}

/* Whoever may have something due under a scope with tenants: all of those that have, and perhaps some more. */
static int find_candidates(struct counting *counting, struct asking *asking, struct err *err) {
    const struct scope *due = &counting->order->due;
    counting->by_index = mongo_index_tells(counting->bound, counting->order);
    if (due->kind == SCOPE_REST) {
        if (candidates(counting, asking, err)) return -1;
        asking->count = drop_doubles(asking->items, asking->count);
        return 0;
    }
    struct asked *asked = ARENA_ARRAY(counting->arena, struct asked, due->n_tenants);
    size_t n_asked = 0;
    for (size_t i = 0; i < due->n_tenants; i++) {
        int64_t cutoff_us = mongo_cutoff(counting->order, due->tenants[i].id);
        if (cutoff_us != TIME_NEVER) asked[n_asked++] = (struct asked){.id = due->tenants[i].id, .cutoff_us = cutoff_us, .oldest_us = TIME_FOREVER};
    }
    if (!counting->by_index) {
        *asking = (struct asking){.items = asked, .count = n_asked};
        return 0;
    }
    if (in_questions(counting, asked, n_asked, add_listed, asking, err)) return -1;
    asking->count = drop_doubles(asking->items, asking->count);
    return 0;
}

static int ask_order(struct counting *counting, struct err *err) {
    struct asking asking = {0};
    if (counting->order->due.kind == SCOPE_WHOLE) return ask(counting, NULL, 0, err);
    if (find_candidates(counting, &asking, err)) return -1;
    return in_questions(counting, asking.items, asking.count, ask_exactly, NULL, err);
}

int mongo_candidates(struct mongo_store *store, const struct mongo_bound *bound, const struct order *order, struct arena *arena, struct tally *ret_tally,
                     struct err *err) {
    struct counting counting = {.store = store, .bound = bound, .order = order, .arena = arena};
    struct asking asking = {0};
    if (find_candidates(&counting, &asking, err)) return err_within(err, "collection \"%s\"", bound->target->name);
    struct tenant_count *items = ARENA_ARRAY(arena, struct tenant_count, asking.count);
    for (size_t i = 0; i < asking.count; i++)
        items[i] = (struct tenant_count){.tenant = asking.items[i].id, .count = -1, .cutoff_us = asking.items[i].cutoff_us,
                                         .oldest_us = order->due.anchor ? asking.items[i].oldest_us : scope_end(&order->due, asking.items[i].id)};
    *ret_tally = (struct tally){.tenants = items, .n_tenants = asking.count};
    return 0;
}

/* Sorted by id, one entry a tenant. */
static void merge(struct counting *counting, struct tally *tally) {
    struct tenant_count *items = counting->items;
    size_t kept = 0;
    if (counting->n_items) qsort(items, counting->n_items, sizeof *items, by_id);
    for (size_t i = 0; i < counting->n_items; i++) {
        tally->records += items[i].count;
        if (kept && !strcmp(items[kept - 1].tenant, items[i].tenant)) {
            items[kept - 1].count += items[i].count;
            if (items[i].oldest_us < items[kept - 1].oldest_us) items[kept - 1].oldest_us = items[i].oldest_us;
        } else {
            items[kept++] = items[i];
        }
    }
    tally->tenants = items;
    tally->n_tenants = kept;
}

int mongo_tally(struct mongo_store *store, const struct mongo_bound *bound, const struct order *order, struct arena *arena,
                struct tally *ret_tally, struct err *err) {
    struct tally tally = {0};
    struct counting counting = {.store = store, .bound = bound, .order = order, .arena = arena};
    if (ask_order(&counting, err)) return err_within(err, "collection \"%s\"", bound->target->name);
    merge(&counting, &tally);
    *ret_tally = tally;
    return 0;
}

/* ---- with what the filter does not know ---- */

struct walking {
    struct mongo_store *store;
    const struct mongo_bound *bound;
    const struct order *order;
    const struct mongo_going *going; /* NULL: as if the sweep stopped here */
    const struct tally *candidates; /* by the filter alone */
    int64_t *left;                  /* of each candidate: what is free to go */
    struct blocked_count *blocked;
    size_t n_blocked;
    struct arena *arena;
    struct tally tally;
};

static void add_blocked(struct walking *walking, const char *by) {
    walking->tally.n_blocked_records++;
    for (size_t i = 0; i < walking->n_blocked; i++)
        if (!strcmp(walking->blocked[i].by, by)) {
            walking->blocked[i].count++;
            return;
        }
    *ARENA_APPEND(walking->arena, walking->blocked, walking->n_blocked) = (struct blocked_count){.by = by, .count = 1};
}

static void add_work(struct walking *walking, const struct mongo_work *work, int64_t dependents) {
    const struct tally *candidates = walking->candidates;
    walking->tally.dependents += dependents;
    walking->tally.records += (int64_t)work->n_documents;
    for (size_t i = 0; i < work->n_documents; i++) {
        const struct tenant_count key = {.tenant = work->documents[i].tenant};
        const struct tenant_count *found = bsearch(&key, candidates->tenants, candidates->n_tenants, sizeof key, by_id);
        if (found) walking->left[found - candidates->tenants]++;
    }
    for (size_t i = 0; i < work->n_kept; i++)
        if (work->kept[i].blocked_by) add_blocked(walking, work->kept[i].blocked_by);
}

/* The documents of some tenants, read in the order of their keys, some at a time. */
static int walk_tenants(struct walking *walking, const char *const *ids, size_t n_ids, struct err *err) {
    enum { STEP = 1000 };
    MONGO_BSON filter = mongo_compile(walking->bound, walking->order, ids, n_ids);
    if (!filter) return 0;
    struct arena *arenas[2] = {arena_new(), arena_new()}; /* the last key outlives its step */
    const bson_t *last = NULL;
    int result = 0;
    for (size_t step = 0, n_chosen = STEP; !result && n_chosen == STEP; step++) {
        struct mongo_work work = {.arena = arenas[step % 2], .bound = walking->bound, .order = walking->order, .filter = filter,
                                   .going = walking->going};
        int64_t dependents = 0;
        arena_clear(work.arena);
        result = mongo_work_choose_by_key(walking->store, NULL, &work, last, STEP, err);
        n_chosen = work.n_documents;
        if (!result && n_chosen) last = mongo_key_of(work.arena, work.documents[n_chosen - 1].found);
        if (!result) result = mongo_walk_count(walking->store, &work, &dependents, err);
        if (!result && walking->order->action == ACTION_ANONYMIZE) result = mongo_anonymize_plan(walking->store, &work, err);
        if (!result) add_work(walking, &work, dependents);
    }
    arena_free(arenas[0]);
    arena_free(arenas[1]);
    return result;
}

static int walk_all(struct walking *walking, struct err *err) {
    const struct tally *candidates = walking->candidates;
    const char **ids = ARENA_ARRAY(walking->arena, const char *, candidates->n_tenants);
    for (size_t i = 0; i < candidates->n_tenants; i++) ids[i] = candidates->tenants[i].tenant;
    for (size_t from = 0; from < candidates->n_tenants; from += MONGO_TENANTS_A_QUESTION) {
        size_t count = candidates->n_tenants - from;
        if (walk_tenants(walking, ids + from, count < MONGO_TENANTS_A_QUESTION ? count : MONGO_TENANTS_A_QUESTION, err)) return -1;
    }
    return 0;
}

static int tally_walked(struct mongo_store *store, const struct mongo_bound *bound, const struct order *order, const struct mongo_going *going,
                        struct arena *arena, struct tally *ret_tally, struct err *err) {
    struct tally candidates;
    if (mongo_tally(store, bound, order, arena, &candidates, err)) return -1;
    struct walking walking = {.store = store, .bound = bound, .order = order, .going = going, .candidates = &candidates, .arena = arena};
    walking.left = ARENA_ARRAY(arena, int64_t, candidates.n_tenants);
    if (walk_all(&walking, err)) return err_within(err, "collection \"%s\"", bound->target->name);
    struct tenant_count *items = ARENA_ARRAY(arena, struct tenant_count, candidates.n_tenants);
    for (size_t i = 0; i < candidates.n_tenants; i++) {
        if (!walking.left[i]) continue;
        items[walking.tally.n_tenants] = candidates.tenants[i];
        items[walking.tally.n_tenants++].count = walking.left[i];
    }
    walking.tally.tenants = items;
    walking.tally.blocked = walking.blocked;
    walking.tally.n_blocked = walking.n_blocked;
    *ret_tally = walking.tally;
    return 0;
}

/* ---- the verbs ---- */

/* Who has anything due can be told without looking at dependents, unless one of them could block. */
static bool may_keep_back(const struct mongo_store *store, const struct order *order) {
    for (size_t i = 0; i < order->target->n_dependents; i++)
        if (mongo_own_target(store, order->target, &order->target->dependents[i])) return true;
    return order->action == ACTION_ANONYMIZE;
}

/* going: what goes in the same sweep, for count; NULL for probe, which only asks who has anything due. */
static int tally_order(struct mongo_store *store, const struct mongo_bound *bound, const struct order *order, const struct mongo_going *going,
                       struct arena *arena, struct tally *ret_tally, struct err *err) {
    if (order->target->tenant_in_name) return mongo_drop_tally(store, order, arena, ret_tally, err);
    bool walked = !order_is_any(order) && mongo_is_walked(order) && (going || may_keep_back(store, order));
    return walked ? tally_walked(store, bound, order, going, arena, ret_tally, err) : mongo_tally(store, bound, order, arena, ret_tally, err);
}

static int tally_all(struct store *base, const struct order *const *orders, size_t n_orders, struct arena *arena, struct tally *tallies, bool numbers,
                     struct err *err) {
    struct mongo_store *store = mongo_of(base);
    if (mongo_connect(store, NULL, err)) return -1;
    const struct order **spread = ARENA_ARRAY(arena, const struct order *, n_orders);
    for (size_t i = 0; i < n_orders; i++) spread[i] = spelling_spread(arena, orders[i], mongo_spelling, NULL);
    for (size_t i = 0; i < n_orders; i++) {
        const struct mongo_bound *bound;
        const struct mongo_going going = {.orders = spread, .n_orders = n_orders, .collection = orders[i]->target->name};
        if (mongo_usable(store, orders[i]->target, &bound, err) ||
            tally_order(store, bound, spread[i], numbers ? &going : NULL, arena, &tallies[i], err))
            return -1;
        if (order_is_any(orders[i])) spelling_answer(arena, orders[i], mongo_spelling, NULL, &tallies[i]);
        if (numbers) continue;
        struct tenant_count *items = tallies[i].n_tenants ? ARENA_ARRAY(arena, struct tenant_count, tallies[i].n_tenants) : NULL;
        for (size_t j = 0; j < tallies[i].n_tenants; j++) {
            items[j] = tallies[i].tenants[j];
            items[j].count = 1;
        }
        tallies[i] = (struct tally){.tenants = items, .n_tenants = tallies[i].n_tenants};
    }
    return 0;
}

int mongo_probe(struct store *base, const struct order *const *orders, size_t n_orders, struct arena *arena, struct tally *tallies, struct err *err) {
    return tally_all(base, orders, n_orders, arena, tallies, false, err);
}

int mongo_count(struct store *base, const struct order *const *orders, size_t n_orders, struct arena *arena, struct tally *tallies, struct err *err) {
    return tally_all(base, orders, n_orders, arena, tallies, true, err);
}
