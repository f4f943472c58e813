#include "store/pg_run.h"

#include "base/time.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_WINDOW = 16,
    FIRST_BLOCKS = 1024,
    LEAST_BLOCKS = 16,
    MOST_BLOCKS = 65536,
    MOST_LOOKED_AT = 8192,
    LEAST_ROW_BYTES = 28, /* on a page: its pointer and its header */
    MOST_NEW_ROWS = 20000, /* due ones that an application may add while a run is under way: more, and the next sweep goes on */
};

/* ---- the queue of tenants ---- */

static void append(struct pg_run *run, struct pg_waiting *waiting) {
    waiting->next = NULL;
    if (run->last) run->last->next = waiting;
    else run->first = waiting;
    run->last = waiting;
}

static void prepend(struct pg_run *run, struct pg_waiting *waiting) {
    waiting->next = run->first;
    run->first = waiting;
    if (!run->last) run->last = waiting;
}

/* The first tenants that share a cutoff, so that one comparison serves them all. */
static void take_window(struct pg_run *run) {
    struct pg_waiting **link = &run->first, *before = NULL;
    int64_t cutoff_us = run->first ? run->first->tenant.cutoff_us : 0;
    run->n_window = 0;
    for (int looked = 0; *link && run->n_window < run->window_size && looked < MOST_LOOKED_AT; looked++) {
        struct pg_waiting *waiting = *link;
        if (waiting->tenant.cutoff_us != cutoff_us) {
            before = waiting;
            link = &waiting->next;
            continue;
        }
        *link = waiting->next;
        if (run->last == waiting) run->last = before;
        run->window[run->n_window++] = waiting;
    }
}

void pg_run_put_back(struct pg_run *run) {
    for (size_t i = run->n_window; i-- > 0;) prepend(run, run->window[i]);
    run->n_window = 0;
}

static int by_age(const void *a, const void *b) {
    const struct pg_candidate *x = a, *y = b;
    if (x->oldest_us != y->oldest_us) return x->oldest_us < y->oldest_us ? -1 : 1;
    return strcmp(x->tenant, y->tenant);
}

/* ---- opening ---- */

/* The blocks of the table, and from its size and its dependents' the most rows that there can be. */
static int measure(struct pg_store *store, struct pg_run *run, struct err *err) {
    PG_RESULT result = NULL;
    const struct pg_bound *bound = run->due.bound;
    struct buf oids __attribute__((cleanup(buf_free))) = {0};
    buf_printf(&oids, "{%u", run->due.leaf->oid);
    for (size_t i = 0; i < bound->n_dependents; i++)
        for (size_t j = 0; j < bound->dependents[i].table->n_leaves; j++) buf_printf(&oids, ",%u", bound->dependents[i].table->leaves[j]->oid);
    buf_add_char(&oids, '}');
    const char *parameters[] = {arena_printf(run->arena, "%u", run->due.leaf->oid), buf_text(&oids)};
    if (pg_query(store, "SELECT pg_relation_size($1::oid) / current_setting('block_size')::bigint,"
                 " (SELECT sum(pg_relation_size(o))::bigint FROM unnest($2::oid[]) AS o)", 2, parameters, &result, err) < 0)
        return -1;
    run->n_blocks = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    run->n_blocks_window = FIRST_BLOCKS;
    run->end_block = run->n_blocks;
    run->most = strtoll(PQgetvalue(result, 0, 1), NULL, 10) / LEAST_ROW_BYTES + MOST_NEW_ROWS;
    return 0;
}

bool pg_run_is_endless(const struct pg_run *run) { return run->taken > run->most; }

/* What each of its batches names all tenants for is written once. */
static void list_tenants(struct pg_run *run) {
    const struct scope *scope = &run->order.due;
    struct pg_listed listed = {.tenants = scope->tenants, .n_tenants = scope->n_tenants};
    listed.groups = pg_groups(run->arena, &run->due.tenant, scope->tenants, scope->n_tenants, &listed.n_groups);
    run->due.listed = listed;
}

int pg_run_open(struct pg_store *store, struct pg_run *run, const struct order *order, const struct pg_table *leaf, const struct portion *portion,
                struct arena *arena, struct err *err) {
    struct pg_candidate *candidates;
    size_t count;
    *run = (struct pg_run){.arena = arena};
    if (pg_due_of(store, arena, order, leaf, &run->due, err) < 0) return -1;
    run->order = *run->due.order;
    if (pg_candidates(store, &run->due, pg_blocked_of(order), portion, arena, &candidates, &count, err) < 0) return -1;
    run->over = !count;
    run->window_size = FIRST_WINDOW;
    if (!count) return 0;
    run->careful = order->action != ACTION_PURGE || run->due.bound->n_dependents || run->due.bound->n_blockers;
    if (order->due.kind != SCOPE_WHOLE) {
        struct scope_tenant *tenants = ARENA_ARRAY(arena, struct scope_tenant, count);
        struct pg_waiting *waiting = ARENA_ARRAY(arena, struct pg_waiting, count);
        for (size_t i = 0; i < count; i++)
            tenants[i] =
                (struct scope_tenant){.id = candidates[i].tenant, .cutoff_us = candidates[i].cutoff_us, .end_us = candidates[i].end_us};
        run->order = order_for(&run->order, tenants, count);
        qsort(candidates, count, sizeof *candidates, by_age);
        for (size_t i = 0; i < count; i++) {
            waiting[i].tenant = (struct scope_tenant){
                .id = candidates[i].tenant, .cutoff_us = candidates[i].cutoff_us, .end_us = candidates[i].end_us};
            append(run, &waiting[i]);
        }
    }
    run->due.order = &run->order;
    if (measure(store, run, err) < 0 || pg_run_shape(store, run, err) < 0) return -1;
    if (run->shape != PG_BY_TENANT && run->order.due.kind != SCOPE_WHOLE) list_tenants(run);
    return 0;
}

/* Nothing but the table itself is asked to choose: no join, no condition of others. */
static bool is_bare(const struct pg_run *run) { return !run->careful && !run->due.bound->n_via && !run->due.order->target->only; }

const char *pg_run_pins(const struct pg_run *run) {
    if (run->shape == PG_BY_BLOCK)
        return is_bare(run) ? "SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off;"
                              "SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off;"
                            : "";
    /* Left free, the planner sorts all of a tenant's due rows or reads the whole table. An anti-join against what
     * blocks may need its hash. */
    bool joins = run->due.bound->n_blockers || run->due.bound->n_dependents;
    return joins ? "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off;"
                   "SET LOCAL enable_mergejoin = off;"
                 : "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off;"
                   "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off;";
}

/* ---- choosing ---- */

/* The next batch may choose more records than the last: as many more blocks. */
static void widen_blocks(struct pg_run *run, size_t most) {
    int64_t fit = run->n_blocks_fit, wanted = (int64_t)most;
    if (!fit || wanted <= fit) return;
    int64_t blocks = (int64_t)((double)run->n_blocks_window * (double)wanted / (double)fit);
    run->n_blocks_window = blocks < MOST_BLOCKS ? blocks : MOST_BLOCKS;
    run->n_blocks_fit = wanted;
}

bool pg_run_next(struct pg_run *run, size_t most) {
    if (run->over) return false;
    run->scope = run->order.due;
    if (run->shape == PG_BY_BLOCK) {
        widen_blocks(run, most);
        return run->block < run->end_block && (run->scope.kind == SCOPE_WHOLE || run->scope.n_tenants);
    }
    if (run->shape == PG_BY_SINCE) return true;
    take_window(run);
    if (!run->n_window) return false;
    struct scope_tenant *tenants = ARENA_ARRAY(run->arena, struct scope_tenant, run->n_window);
    for (size_t i = 0; i < run->n_window; i++) tenants[i] = run->window[i]->tenant;
    qsort(tenants, run->n_window, sizeof *tenants, scope_tenant_by_id);
    run->scope.tenants = tenants;
    run->scope.n_tenants = run->n_window;
    return true;
}

static const char *anchor_type(const struct pg_column *anchor) {
    switch (anchor->time) {
    case PG_TIME_TIMESTAMPTZ: return "timestamptz";
    case PG_TIME_TIMESTAMP: return "timestamp";
    case PG_TIME_DATE: return "date";
    case PG_TIME_INTEGER:
    case PG_TIME_NONE: break;
    }
    return "bigint";
}

static const char *anchor_least(const struct pg_column *anchor) {
    return anchor->time == PG_TIME_INTEGER ? "-9223372036854775808" : "-infinity";
}

static void add_by_tenant(struct pg_sql *sql, const struct pg_run *run, const char *columns, size_t limit, bool lock) {
    const struct pg_due *due = &run->due;
    struct buf ids __attribute__((cleanup(buf_free))) = {0};
    struct buf lasts __attribute__((cleanup(buf_free))) = {0};
    buf_add_char(&ids, '{');
    buf_add_char(&lasts, '{');
    for (size_t i = 0; i < run->n_window; i++) {
        pg_add_array_item(&ids, run->window[i]->tenant.id);
        if (due->anchor) pg_add_array_item(&lasts, run->window[i]->last ? run->window[i]->last : anchor_least(due->anchor));
    }
    buf_add_char(&ids, '}');
    buf_add_char(&lasts, '}');
    buf_add(&sql->text, "SELECT e.* FROM unnest(");
    pg_add_parameter(sql, arena_strdup(sql->arena, buf_text(&ids)), arena_printf(sql->arena, "%s[]", due->tenant.element));
    if (due->anchor) {
        buf_add(&sql->text, ", ");
        pg_add_parameter(sql, arena_strdup(sql->arena, buf_text(&lasts)), arena_printf(sql->arena, "%s[]", anchor_type(due->anchor)));
    }
    buf_printf(&sql->text, ") AS u(tenant%s) CROSS JOIN LATERAL (SELECT %s FROM ", due->anchor ? ", last" : "", columns);
    pg_add_source(sql, due);
    buf_add(&sql->text, " WHERE ");
    pg_add_tenant(sql, due);
    buf_add(&sql->text, " = u.tenant AND ");
    pg_add_before(sql, due, due->anchor, run->scope.tenants[0].cutoff_us);
    if (due->anchor) buf_printf(&sql->text, " AND t.%s >= u.last", due->anchor->quoted);
    buf_add(&sql->text, " AND ");
    pg_add_rest(sql, due, pg_blocked_of(&run->order));
    if (due->anchor) buf_printf(&sql->text, " ORDER BY t.%s", due->anchor->quoted);
    buf_printf(&sql->text, " LIMIT %zu%s) AS e LIMIT %zu", limit, lock ? " FOR UPDATE OF t SKIP LOCKED" : "", limit);
}

static void add_by_since(struct pg_sql *sql, const struct pg_run *run, const char *columns, size_t limit, bool lock) {
    const struct pg_due *due = &run->due;
    buf_printf(&sql->text, "SELECT %s FROM ", columns);
    pg_add_source(sql, due);
    buf_add(&sql->text, " WHERE ");
    pg_add_scope(sql, due, &run->scope);
    if (run->since) {
        buf_printf(&sql->text, " AND t.%s >= ", due->anchor->quoted);
        pg_add_parameter(sql, run->since, anchor_type(due->anchor));
    }
    buf_add(&sql->text, " AND ");
    pg_add_rest(sql, due, pg_blocked_of(&run->order));
    buf_printf(&sql->text, " ORDER BY t.%s LIMIT %zu%s", due->anchor->quoted, limit, lock ? " FOR UPDATE OF t SKIP LOCKED" : "");
}

static int64_t range_end(const struct pg_run *run) {
    return run->block + run->n_blocks_window < run->end_block ? run->block + run->n_blocks_window : run->end_block;
}

static void add_by_block(struct pg_sql *sql, const struct pg_run *run, const char *columns, size_t limit, bool lock) {
    const struct pg_due *due = &run->due;
    buf_printf(&sql->text, "SELECT %s FROM ", columns);
    pg_add_source(sql, due);
    buf_printf(&sql->text, " WHERE t.ctid > '(%" PRId64 ",%d)'::tid AND t.ctid < '(%" PRId64 ",0)'::tid", run->block,
               run->is_after ? run->after.item : 0, range_end(run));
    buf_add(&sql->text, " AND ");
    pg_add_scope(sql, due, &run->scope);
    buf_add(&sql->text, " AND ");
    pg_add_rest(sql, due, pg_blocked_of(&run->order));
    /* The order is that of the scan; where a join may mix it up, it has to be sorted, or the cursor would jump. */
    buf_printf(&sql->text, "%s LIMIT %zu%s", is_bare(run) ? "" : " ORDER BY t.ctid", limit, lock ? " FOR UPDATE OF t SKIP LOCKED" : "");
}

void pg_run_add_choice(struct pg_sql *sql, const struct pg_run *run, const char *columns, size_t limit, bool lock) {
    switch (run->shape) {
    case PG_BY_TENANT: add_by_tenant(sql, run, columns, limit, lock); return;
    case PG_BY_SINCE: add_by_since(sql, run, columns, limit, lock); return;
    case PG_BY_BLOCK: add_by_block(sql, run, columns, limit, lock); return;
    }
}

/* ---- records ---- */

void pg_run_add_record(struct pg_sql *sql, const struct pg_run *run) {
    const struct pg_column *anchor = run->due.anchor, *tenant = run->due.bound->tenant;
    bool plain = tenant && !run->due.tenant.as_text && pg_value_is_plain(tenant->type_oid);
    sql->binary = true;
    buf_add_char(&sql->text, '(');
    pg_add_tenant(sql, &run->due);
    buf_add(&sql->text, plain ? "), " : ")::text, ");
    pg_add_moment(sql, &run->due, anchor ? arena_printf(sql->arena, "t.%s", anchor->quoted) : "NULL");
    /* The text of a timestamptz follows from the instant. */
    if (anchor && anchor->time != PG_TIME_TIMESTAMPTZ) buf_printf(&sql->text, ", t.%s::text", anchor->quoted);
    else buf_add(&sql->text, ", NULL::text");
    buf_add(&sql->text, ", t.ctid");
}

struct pg_record pg_run_record(const PGresult *result, int row, char room[PG_VALUE_ROOM]) {
    return (struct pg_record){.tenant = pg_value_text(result, row, 0, room),
                              .instant_us = pg_value_instant(result, row, 1),
                              .anchor = PQgetisnull(result, row, 2) ? NULL : PQgetvalue(result, row, 2),
                              .ctid = pg_value_ctid(result, row, 3)};
}

/* ---- going on ---- */

#define YEAR_ONE_US INT64_C(-62135596800000000)

/* As text; NULL: none, or one that cannot be written. */
static const char *latest_anchor(const struct pg_run *run, const struct pg_tenant_taken *taken) {
    if (!taken || taken->latest_us == INT64_MIN) return NULL;
    if (*taken->latest) return arena_strdup(run->arena, taken->latest);
    if (taken->latest_us < YEAR_ONE_US) return NULL; /* PostgreSQL writes years before Christ otherwise */
    return arena_strdup(run->arena, time_format(taken->latest_us).text);
}

/* The tenants up to the last one that had its turn are exhausted, that one goes to the back of the queue, the others keep
 * their place: so a large tenant alternates with the small ones. */
static void advance_tenants(struct pg_run *run, const struct pg_taken *chosen, bool full, bool progress) {
    size_t n = run->n_window, last = n;
    run->n_window = 0;
    if (!full) {
        if (run->window_size < PG_MOST_WINDOW) run->window_size *= 2;
        return;
    }
    for (size_t i = n; i-- > 0 && last == n;)
        if (pg_taken_of(chosen, run->window[i]->tenant.id)) last = i;
    if (last == n) return;
    for (size_t i = n; i-- > last + 1;) prepend(run, run->window[i]);
    if (last < n / 2) run->window_size = n / 2;
    struct pg_waiting *partly = run->window[last];
    const char *anchor = latest_anchor(run, pg_taken_of(chosen, partly->tenant.id));
    if (anchor) partly->last = anchor;
    if (progress) append(run, partly);
}

/* The last row that was chosen in the range: one that was changed meanwhile tells where it is now, and that may be anywhere. */
static struct pg_ctid last_in_range(const struct pg_run *run, struct pg_ctid last) {
    const struct pg_ctid first = {.block = (uint32_t)run->block, .item = run->is_after ? run->after.item : 0};
    const struct pg_ctid end = {.block = (uint32_t)range_end(run) - 1, .item = UINT16_MAX};
    if (pg_ctid_compare(last, first) < 0) return first;
    return pg_ctid_compare(last, end) > 0 ? end : last;
}

/* A range holds about a batch: where its rows have to be sorted they are not read again and again. */
static void advance_blocks(struct pg_run *run, const struct pg_taken *chosen, bool full) {
    if (full) {
        const struct pg_ctid last = last_in_range(run, chosen->last);
        const int64_t used = (int64_t)last.block - run->block + 1, blocks = used > LEAST_BLOCKS ? used : LEAST_BLOCKS;
        run->block = last.block;
        run->after = last;
        run->is_after = true;
        run->n_blocks_window = blocks + blocks / 4;
        run->n_blocks_fit = (int64_t)chosen->records * blocks / used;
        return;
    }
    run->block += run->n_blocks_window;
    run->n_blocks_fit = 0;
    run->is_after = false;
    run->n_blocks_window = 2 * run->n_blocks_window < MOST_BLOCKS ? 2 * run->n_blocks_window : MOST_BLOCKS;
}

void pg_run_narrow(struct pg_run *run) {
    run->n_blocks_fit = 0;
    run->n_blocks_window = run->n_blocks_window / 2 > LEAST_BLOCKS ? run->n_blocks_window / 2 : LEAST_BLOCKS;
}

void pg_run_advance(struct pg_run *run, const struct pg_taken *chosen, bool full, bool progress) {
    switch (run->shape) {
    case PG_BY_TENANT: advance_tenants(run, chosen, full, progress); return;
    case PG_BY_SINCE: {
        const char *anchor = latest_anchor(run, pg_taken_latest(chosen));
        if (anchor) run->since = anchor;
        run->over = !full || !progress;
        return;
    }
    case PG_BY_BLOCK: advance_blocks(run, chosen, full); return;
    }
}

static struct pg_waiting *take_out(struct pg_run *run, const char *tenant) {
    struct pg_waiting *before = NULL;
    for (struct pg_waiting *waiting = run->first; waiting; before = waiting, waiting = waiting->next) {
        if (strcmp(waiting->tenant.id, tenant) != 0) continue;
        if (before) before->next = waiting->next;
        else run->first = waiting->next;
        if (run->last == waiting) run->last = before;
        return waiting;
    }
    return NULL;
}

void pg_run_defer(struct pg_run *run, const char *tenant) {
    struct pg_waiting *waiting = take_out(run, tenant);
    if (waiting) append(run, waiting);
}

void pg_run_exclude(struct pg_run *run, const char *tenant) {
    (void)take_out(run, tenant);
    struct scope *scope = &run->order.due;
    struct scope_tenant *left = ARENA_ARRAY(run->arena, struct scope_tenant, scope->n_tenants);
    size_t count = 0;
    for (size_t i = 0; i < scope->n_tenants; i++)
        if (strcmp(scope->tenants[i].id, tenant) != 0) left[count++] = scope->tenants[i];
    scope->tenants = left;
    scope->n_tenants = count;
    if (run->due.listed.groups) list_tenants(run);
}
