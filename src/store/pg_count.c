/* Who has anything due, and how much: the same predicate as the one that destroys, asked for all tenants at once. */
#include "store/pg_anonymize.h"
#include "store/pg_drop.h"
#include "store/pg_going.h"
#include "store/spelling.h"

#include "base/time.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t number_at(const PGresult *result, int row, int column) { return strtoll(PQgetvalue(result, row, column), NULL, 10); }

static int64_t instant_at(const PGresult *result, int row, int column) {
    return PQgetisnull(result, row, column) ? TIME_FOREVER : number_at(result, row, column);
}

/* ---- candidates ---- */

struct candidates {
    struct arena *arena;
    const struct pg_due *due;
    const struct portion *portion; /* NULL: all of them */
    struct pg_candidate *items;
    size_t count;
};

static const struct scope_tenant *listed(const struct scope *scope, const char *tenant) {
    size_t from = 0, to = scope->n_tenants;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        int order = strcmp(scope->tenants[middle].id, tenant);
        if (order == 0) return &scope->tenants[middle];
        if (order < 0) from = middle + 1;
        else to = middle;
    }
    return NULL;
}

/* oldest_us is TIME_FOREVER where there is no anchor. */
static void add_candidate(struct candidates *to, const char *tenant, int64_t oldest_us) {
    if (to->portion && !portion_has(to->portion, tenant)) return;
    const struct scope *scope = &to->due->order->due;
    const struct scope_tenant *known = listed(scope, tenant);
    *ARENA_APPEND(to->arena, to->items, to->count) =
        (struct pg_candidate){.tenant = arena_strdup(to->arena, tenant),
                              .cutoff_us = scope_cutoff(scope, tenant),
                              .oldest_us = oldest_us == TIME_FOREVER && known ? known->end_us : oldest_us,
                              .end_us = known ? known->end_us : TIME_FOREVER};
}

static bool indexed(const struct pg_due *due) {
    return due->bound->index_tenant_since && !due->bound->n_via && !due->tenant.as_text && (!due->anchor || due->anchor == due->bound->since);
}

static void add_anchor(struct pg_sql *sql, const struct pg_due *due, const char *before, const char *after) {
    struct buf value __attribute__((cleanup(buf_free))) = {0};
    buf_printf(&value, "%st.%s%s", before, due->anchor ? due->anchor->quoted : "", after);
    pg_add_instant(sql, due, due->anchor ? buf_text(&value) : "NULL");
}

/* One question for a group of tenants with the same cutoff, by the index on tenant and anchor. */
static int ask_group(struct pg_store *store, struct candidates *to, const struct pg_group *group, enum pg_blocked blocked, struct err *err) {
    const struct pg_due *due = to->due;
    PG_SQL sql = {.arena = to->arena};
    PG_RESULT result = NULL;
    buf_add(&sql.text, "SELECT u.tenant::text, x.instant FROM unnest(");
    pg_add_parameter(&sql, group->ids, arena_printf(to->arena, "%s[]", due->tenant.element));
    buf_add(&sql.text, ") AS u(tenant) CROSS JOIN LATERAL (SELECT ");
    add_anchor(&sql, due, "", "");
    buf_add(&sql.text, " AS instant FROM ");
    pg_add_source(&sql, due);
    buf_add(&sql.text, " WHERE ");
    pg_add_tenant(&sql, due);
    buf_add(&sql.text, " = u.tenant AND ");
    pg_add_before(&sql, due, due->anchor, group->cutoff_us);
    buf_add(&sql.text, " AND ");
    pg_add_rest(&sql, due, blocked);
    if (due->anchor) buf_printf(&sql.text, " ORDER BY t.%s", due->anchor->quoted);
    buf_add(&sql.text, " LIMIT 1) AS x");
    if (pg_run(store, &sql, &result, err) < 0) return -1;
    for (int i = 0; i < PQntuples(result); i++) add_candidate(to, PQgetvalue(result, i, 0), instant_at(result, i, 1));
    return 0;
}

static int ask_groups(struct pg_store *store, struct candidates *to, const struct scope_tenant *tenants, size_t n_tenants,
                      enum pg_blocked blocked, struct err *err) {
    size_t n_groups;
    const struct pg_group *groups = pg_groups(to->arena, &to->due->tenant, tenants, n_tenants, &n_groups);
    for (size_t i = 0; i < n_groups; i++)
        if (ask_group(store, to, &groups[i], blocked, err) < 0) return -1;
    return 0;
}

static int64_t latest_cutoff(const struct scope *scope) {
    int64_t latest = scope->cutoff_us;
    for (size_t i = 0; i < scope->n_tenants; i++)
        if (scope->tenants[i].cutoff_us > latest) latest = scope->tenants[i].cutoff_us;
    return latest;
}

static const char no_index[] = "SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off; SET LOCAL enable_bitmapscan = off";
/* The index on tenant and anchor from one end to the other, which is many times smaller than the table; what of the table it leads to is read once,
 * in order. */
static const char by_bitmap[] = "SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off";
static const char by_index[] = "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off";
static const char as_before[] = "RESET enable_indexscan; RESET enable_indexonlyscan; RESET enable_bitmapscan; RESET enable_seqscan; RESET enable_sort";

/* Nothing else is asked for each row, for which an index is needed. */
static bool is_bare(const struct pg_due *due, enum pg_blocked blocked) {
    bool asks_others = blocked != PG_BLOCKED_EITHER && (due->bound->n_blockers || due->bound->n_dependents);
    return !asks_others && !due->bound->n_via && !due->order->target->only && due->order->action == ACTION_PURGE;
}

/* One pass over the table. */
static int ask_all(struct pg_store *store, struct candidates *to, enum pg_blocked blocked, struct err *err) {
    const struct pg_due *due = to->due;
    int64_t latest_us = latest_cutoff(&due->order->due);
    if (due->anchor && latest_us == TIME_NEVER) return 0;
    PG_SQL sql = {.arena = to->arena};
    PG_RESULT result = NULL;
    buf_add(&sql.text, "SELECT (");
    pg_add_tenant(&sql, due);
    buf_add(&sql.text, ")::text, ");
    add_anchor(&sql, due, "min(", ")");
    buf_add(&sql.text, " FROM ");
    pg_add_source(&sql, due);
    buf_add(&sql.text, " WHERE ");
    if (due->anchor) { /* so that an index on it serves, whatever the exceptions are */
        pg_add_before(&sql, due, due->anchor, latest_us);
        buf_add(&sql.text, " AND ");
    }
    pg_add_scope(&sql, due, &due->order->due);
    buf_add(&sql.text, " AND ");
    pg_add_rest(&sql, due, blocked);
    buf_add(&sql.text, " GROUP BY 1");
    if (pg_run(store, &sql, &result, err) < 0) return -1;
    for (int i = 0; i < PQntuples(result); i++) add_candidate(to, PQgetvalue(result, i, 0), instant_at(result, i, 1));
    return 0;
}

static int ask_whole(struct pg_store *store, struct candidates *to, enum pg_blocked blocked, struct err *err) {
    const struct pg_due *due = to->due;
    PG_SQL sql = {.arena = to->arena};
    PG_RESULT result = NULL;
    buf_add(&sql.text, "SELECT ");
    add_anchor(&sql, due, "", "");
    buf_add(&sql.text, " FROM ");
    pg_add_source(&sql, due);
    buf_add(&sql.text, " WHERE ");
    pg_add_scope(&sql, due, &due->order->due);
    buf_add(&sql.text, " AND ");
    pg_add_rest(&sql, due, blocked);
    buf_printf(&sql.text, " ORDER BY t.%s LIMIT 1", due->anchor->quoted);
    if (pg_run(store, &sql, &result, err) < 0) return -1;
    if (PQntuples(result)) add_candidate(to, "", instant_at(result, 0, 0));
    return 0;
}

/* Every tenant that the table holds, known or gone, with its oldest anchor: from index entry to index entry. An anchor that is no
 * instant may come first: refine asks again. */
static int skip_scan(struct pg_store *store, struct candidates *to, struct err *err) {
    const struct pg_due *due = to->due;
    const char *tenant = due->bound->tenant->quoted, *since = due->anchor->quoted, *table = due->leaf->quoted;
    int64_t latest_us = latest_cutoff(&due->order->due);
    if (latest_us == TIME_NEVER) return 0;
    PG_SQL sql = {.arena = to->arena};
    PG_RESULT result = NULL;
    buf_printf(&sql.text,
               "WITH RECURSIVE w(tenant, oldest) AS ((SELECT t.%s, t.%s FROM ONLY %s AS t WHERE t.%s IS NOT NULL ORDER BY t.%s, t.%s LIMIT 1) UNION ALL"
               " SELECT s.* FROM w CROSS JOIN LATERAL (SELECT t.%s, t.%s FROM ONLY %s AS t WHERE t.%s > w.tenant ORDER BY t.%s, t.%s LIMIT 1) AS s)"
               " SELECT t.tenant::text FROM (SELECT w.tenant, w.oldest AS %s FROM w) AS t WHERE ",
               tenant, since, table, tenant, tenant, since, tenant, since, table, tenant, tenant, since, since);
    buf_printf(&sql.text, "t.%s < ", since);
    pg_add_cutoff(&sql, due, latest_us);
    if (pg_run(store, &sql, &result, err) < 0) return -1;
    for (int i = 0; i < PQntuples(result); i++) {
        const char *id = PQgetvalue(result, i, 0);
        if (*id && scope_cutoff(&due->order->due, id) != TIME_NEVER) add_candidate(to, id, TIME_FOREVER);
    }
    return 0;
}

/* The tenants of a skip scan that have a record due by the whole predicate. Their oldest anchor may belong to a record
 * that `only`, another order or a blocker keeps, or lie after the tenant's own cutoff. */
static int refine(struct pg_store *store, struct candidates *to, enum pg_blocked blocked, struct err *err) {
    struct scope_tenant *tenants = ARENA_ARRAY(to->arena, struct scope_tenant, to->count);
    for (size_t i = 0; i < to->count; i++)
        tenants[i] = (struct scope_tenant){.id = to->items[i].tenant, .cutoff_us = to->items[i].cutoff_us, .end_us = to->items[i].end_us};
    size_t count = to->count;
    to->items = NULL;
    to->count = 0;
    return ask_groups(store, to, tenants, count, blocked, err);
}

static int by_tenant(const void *a, const void *b) {
    return strcmp(((const struct pg_candidate *)a)->tenant, ((const struct pg_candidate *)b)->tenant);
}

/* One pass over the table is cheaper than asking for each tenant by the index: there are few rows of each, or most of what the index
 * leads to is gone. */
static int read_at_once(struct pg_store *store, const struct pg_due *due, bool *ret_at_once, struct err *err) {
    enum { FEW_TENANTS = 500, TENANT_COST = 2, BLOCK_COST = 8 /* microseconds, roughly */ };
    const struct scope *scope = &due->order->due;
    size_t known = store->known ? tenants_count(store->known) : 0, n_tenants = scope->kind == SCOPE_REST && known > scope->n_tenants ? known : scope->n_tenants;
    *ret_at_once = pg_is_emptied(store, due->leaf);
    if (*ret_at_once || scope->kind == SCOPE_WHOLE || !indexed(due) || n_tenants < FEW_TENANTS) return 0;
    PG_RESULT result = NULL;
    char oid[16];
    const char *const parameters[] = {oid};
    (void)snprintf(oid, sizeof oid, "%u", due->leaf->oid);
    if (pg_query(store, "SELECT pg_relation_size($1::oid) / current_setting('block_size')::bigint", 1, parameters, &result, err) < 0) return -1;
    *ret_at_once = number_at(result, 0, 0) * BLOCK_COST < (int64_t)n_tenants * TENANT_COST;
    return 0;
}

int pg_candidates(struct pg_store *store, const struct pg_due *due, enum pg_blocked blocked, const struct portion *portion, struct arena *arena,
                  struct pg_candidate **ret_candidates, size_t *ret_count, struct err *err) {
    struct candidates found = {.arena = arena, .due = due, .portion = portion};
    const struct scope *scope = &due->order->due;
    int result;
    bool whole = scope->kind == SCOPE_WHOLE, at_once;
    if (read_at_once(store, due, &at_once, err) < 0) return -1;
    /* Left free, the planner may read the table once for every tenant, where it has no statistics or old ones. */
    const char *pins = !at_once && !whole && indexed(due) ? by_index : at_once && is_bare(due, blocked) ? no_index : NULL;
    if (pins == no_index && due->anchor && indexed(due) && !pg_is_emptied(store, due->leaf)) pins = by_bitmap;
    if (pins && pg_script(store, pins, err) < 0) return -1;
    if (whole) result = ask_whole(store, &found, blocked, err);
    else if (!indexed(due) || at_once) result = ask_all(store, &found, blocked, err);
    else if (scope->kind == SCOPE_LISTED) result = ask_groups(store, &found, scope->tenants, scope->n_tenants, blocked, err);
    else {
        result = skip_scan(store, &found, err);
        if (result == 0) result = refine(store, &found, blocked, err);
    }
    if (result < 0 || (pins && pg_script(store, as_before, err) < 0)) return -1;
    if (found.count) qsort(found.items, found.count, sizeof *found.items, by_tenant);
    *ret_candidates = found.items;
    *ret_count = found.count;
    return 0;
}

/* ---- tallies ---- */

/* Gathers the answers of several leaves; tenants of a leaf come sorted. */
struct gathering {
    struct arena *arena;
    struct tenant_counts {
        struct tenant_count *items;
        size_t count;
    } tenants, blocked_tenants;
    struct blocked_count *blocked;
    size_t n_blocked;
    int64_t dependents;
};

static void gather_tenant(struct arena *arena, struct tenant_counts *to, const char *tenant, int64_t count, int64_t cutoff_us, int64_t oldest_us) {
    *ARENA_APPEND(arena, to->items, to->count) =
        (struct tenant_count){.tenant = arena_strdup(arena, tenant), .count = count, .cutoff_us = cutoff_us, .oldest_us = oldest_us};
}

static int by_id(const void *a, const void *b) {
    return strcmp(((const struct tenant_count *)a)->tenant, ((const struct tenant_count *)b)->tenant);
}

/* Makes one of a tenant's several; returns the sum of the counts. */
static int64_t merge_tenants(struct tenant_counts *counts, bool counting) {
    size_t kept = 0;
    int64_t sum = 0;
    if (counts->count) qsort(counts->items, counts->count, sizeof *counts->items, by_id);
    for (size_t i = 0; i < counts->count; i++) {
        struct tenant_count *next = &counts->items[i], *last = kept ? &counts->items[kept - 1] : NULL;
        if (!last || strcmp(last->tenant, next->tenant) != 0) {
            counts->items[kept++] = *next;
            continue;
        }
        last->count = counting ? last->count + next->count : 1;
        if (next->oldest_us < last->oldest_us) last->oldest_us = next->oldest_us;
    }
    counts->count = kept;
    for (size_t i = 0; i < kept; i++) sum += counts->items[i].count;
    return sum;
}

static void finish_tally(struct gathering *from, bool counting, struct tally *ret_tally) {
    int64_t records = merge_tenants(&from->tenants, counting), blocked_records = merge_tenants(&from->blocked_tenants, counting);
    *ret_tally = (struct tally){.tenants = from->tenants.items,
                                .n_tenants = from->tenants.count,
                                .records = records,
                                .dependents = counting ? from->dependents : -1,
                                .blocked = from->blocked,
                                .n_blocked = from->n_blocked,
                                .n_blocked_records = blocked_records,
                                .blocked_tenants = from->blocked_tenants.items,
                                .n_blocked_tenants = from->blocked_tenants.count};
}

static int probe_leaf(struct pg_store *store, const struct pg_due *due, struct gathering *to, struct err *err) {
    struct pg_candidate *candidates;
    size_t count;
    if (pg_candidates(store, due, pg_blocked_of(due->order), NULL, to->arena, &candidates, &count, err) < 0) return -1;
    for (size_t i = 0; i < count; i++)
        gather_tenant(to->arena, &to->tenants, candidates[i].tenant, 1, candidates[i].cutoff_us, candidates[i].oldest_us);
    return 0;
}

/* The order narrowed to tenants that have something due at all. */
static struct order narrowed(struct arena *arena, const struct order *order, const struct pg_candidate *candidates, size_t count) {
    if (order->due.kind == SCOPE_WHOLE) return *order;
    struct scope_tenant *tenants = ARENA_ARRAY(arena, struct scope_tenant, count);
    for (size_t i = 0; i < count; i++)
        tenants[i] =
            (struct scope_tenant){.id = candidates[i].tenant, .cutoff_us = candidates[i].cutoff_us, .end_us = candidates[i].end_us};
    return order_for(order, tenants, count);
}

static int count_by_tenant(struct pg_store *store, const struct pg_due *due, enum pg_blocked blocked, struct arena *arena,
                           struct tenant_counts *to, struct err *err) {
    PG_SQL sql = {.arena = arena};
    PG_RESULT result = NULL;
    buf_add(&sql.text, "SELECT (");
    pg_add_tenant(&sql, due);
    buf_add(&sql.text, ")::text, count(*), ");
    add_anchor(&sql, due, "min(", ")");
    buf_add(&sql.text, " FROM ");
    pg_add_source(&sql, due);
    buf_add(&sql.text, " WHERE ");
    pg_add_scope(&sql, due, &due->order->due);
    buf_add(&sql.text, " AND ");
    pg_add_rest(&sql, due, blocked);
    buf_add(&sql.text, " GROUP BY 1");
    if (pg_run(store, &sql, &result, err) < 0) return -1;
    for (int i = 0; i < PQntuples(result); i++) {
        const char *tenant = PQgetvalue(result, i, 0);
        const struct scope_tenant *known = listed(&due->order->due, tenant);
        int64_t oldest_us = instant_at(result, i, 2);
        gather_tenant(arena, to, tenant, number_at(result, i, 1), scope_cutoff(&due->order->due, tenant),
                      oldest_us == TIME_FOREVER && known ? known->end_us : oldest_us);
    }
    return 0;
}

/* How many due records, blocked or not, meet one more condition, written by `add`. */
typedef void add_condition(struct pg_sql *sql, const struct pg_due *due, const void *what);

static void add_that_blocks(struct pg_sql *sql, const struct pg_due *due, const void *what) { pg_add_blocker(sql, due, what); }
static void add_left(struct pg_sql *sql, const struct pg_due *due, const void *what) { pg_add_dependent_left(sql, due, what); }

static int count_with(struct pg_store *store, const struct pg_due *due, add_condition *add, const void *what, struct arena *arena,
                      int64_t *ret_count, struct err *err) {
    PG_SQL sql = {.arena = arena};
    PG_RESULT result = NULL;
    buf_add(&sql.text, "SELECT count(*) FROM ");
    pg_add_source(&sql, due);
    buf_add(&sql.text, " WHERE ");
    pg_add_scope(&sql, due, &due->order->due);
    buf_add(&sql.text, " AND ");
    pg_add_rest(&sql, due, PG_BLOCKED_EITHER);
    buf_add(&sql.text, " AND ");
    add(&sql, due, what);
    if (pg_run(store, &sql, &result, err) < 0) return -1;
    *ret_count = number_at(result, 0, 0);
    return 0;
}

static void gather_blocked(struct gathering *to, const char *by, int64_t count) {
    if (!count) return;
    for (size_t i = 0; i < to->n_blocked; i++)
        if (!strcmp(to->blocked[i].by, by)) {
            to->blocked[i].count += count;
            return;
        }
    *ARENA_APPEND(to->arena, to->blocked, to->n_blocked) = (struct blocked_count){.by = by, .count = count};
}

static int count_blocked(struct pg_store *store, const struct pg_due *due, struct gathering *to, struct err *err) {
    const struct pg_bound *bound = due->bound;
    int64_t count;
    size_t before = to->blocked_tenants.count;
    if (count_by_tenant(store, due, PG_BLOCKED_ONLY, to->arena, &to->blocked_tenants, err) < 0) return -1;
    if (to->blocked_tenants.count == before) return 0;
    for (size_t i = 0; i < bound->n_blockers; i++) {
        const struct pg_blocker *blocker = &bound->blockers[i];
        if (count_with(store, due, add_that_blocks, blocker, to->arena, &count, err) < 0) return -1;
        gather_blocked(to, blocker->link.child->name, count);
    }
    for (size_t i = 0; i < bound->n_dependents; i++) {
        const struct pg_dependent *dependent = &bound->dependents[i];
        if (!dependent->own_target) continue;
        if (count_with(store, due, add_left, dependent, to->arena, &count, err) < 0) return -1;
        gather_blocked(to, dependent->table->name, count);
    }
    return 0;
}

static int count_leaf(struct pg_store *store, const struct pg_due *due, struct gathering *to, struct err *err) {
    struct pg_candidate *candidates;
    size_t count;
    if (pg_candidates(store, due, PG_BLOCKED_EITHER, NULL, to->arena, &candidates, &count, err) < 0) return -1;
    if (!count) return 0;
    struct order order = narrowed(to->arena, due->order, candidates, count);
    struct pg_due narrow = *due;
    narrow.order = &order;
    if (count_by_tenant(store, &narrow, pg_blocked_of(&order), to->arena, &to->tenants, err) < 0) return -1;
    if (order_is_any(&order)) return 0;
    if (pg_blocked_of(&order) == PG_BLOCKED_NOT && count_blocked(store, &narrow, to, err) < 0) return -1;
    int64_t dependents;
    if (pg_count_dependents(store, &narrow, to->arena, &dependents, err) < 0) return -1;
    to->dependents += dependents;
    return 0;
}

typedef int ask_leaf(struct pg_store *store, const struct pg_due *due, struct gathering *to, struct err *err);

static int ask_order(struct pg_store *store, const struct order *const *orders, size_t n_orders, const struct order *order, ask_leaf *ask,
                     struct arena *arena, struct tally *ret_tally, struct err *err) {
    struct gathering gathering = {.arena = arena};
    const struct pg_bound *bound = pg_bound_of(store, order->target);
    size_t n_leaves = bound && bound->table ? bound->table->n_leaves : 0;
    struct pg_going going = {.store = store, .orders = orders, .n_orders = n_orders, .table = bound ? bound->table : NULL};
    struct pg_due due;
    if (!n_leaves && pg_due_of(store, arena, order, NULL, &due, err) < 0) return -1; /* a partitioned table without partitions is empty */
    for (size_t i = 0; i < n_leaves; i++) {
        bool there;
        if (pg_due_of(store, arena, order, bound->table->leaves[i], &due, err) < 0 || pg_leaf_is_there(store, bound, bound->table->leaves[i], &there, err) < 0)
            return -1;
        if (!there) continue;
        if (ask == count_leaf) due.going = &going;
        if (ask(store, &due, &gathering, err) < 0) return err_within(err, "table \"%s\"", order->target->name);
    }
    finish_tally(&gathering, ask == count_leaf, ret_tally);
    if (order_is_any(order) && n_leaves) spelling_answer(arena, order, pg_tenant_spelling, &due.tenant, ret_tally);
    return 0;
}

static int ask_orders(struct store *base, const struct order *const *orders, size_t n_orders, ask_leaf *ask, struct arena *arena,
                      struct tally *tallies, struct err *err) {
    struct pg_store *store = (struct pg_store *)(void *)base;
    assert(!store->prepared);
    /* Of rows that stay the planner expects one: it would keep them in a list and look through all of it for every record. */
    if (pg_begin_with(store, "SET LOCAL enable_material = off;", err) < 0) return -1;
    int result = 0;
    for (size_t i = 0; i < n_orders && result == 0; i++) result = ask_order(store, orders, n_orders, orders[i], ask, arena, &tallies[i], err);
    struct err ignored;
    if (pg_rollback(store, result < 0 ? &ignored : err) < 0) return -1;
    return result;
}

int pg_probe(struct store *store, const struct order *const *orders, size_t n_orders, struct arena *arena, struct tally *tallies,
             struct err *err) {
    return ask_orders(store, orders, n_orders, probe_leaf, arena, tallies, err);
}

int pg_count(struct store *store, const struct order *const *orders, size_t n_orders, struct arena *arena, struct tally *tallies,
             struct err *err) {
    return ask_orders(store, orders, n_orders, count_leaf, arena, tallies, err);
}
