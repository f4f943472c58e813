/* Which way of choosing a run's records is the fast one: what the catalog and a look at the table itself say. The planner's
 * statistics have no part in it: a table may never have been analyzed, or long ago. */
#include "store/pg_run.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    LEAST_SAMPLED_BLOCKS = 1024, /* of a smaller table every way is fast */
    SAMPLES = 16,
    SAMPLE_BLOCKS = 16,
    MANY_DUE_PERCENT = 20, /* so many, and reading the table from one end to the other beats its indexes */
    MOST_CUTOFFS = 8,      /* one comparison each for every row read that way */
    MOST_TENANTS = 32768,  /* each statement names all of them that way: more, and that takes longer than a batch may */
};

static void add_sample(struct pg_sql *sql, int64_t block, const char *columns, const char *source, const char *condition) {
    buf_printf(&sql->text, "SELECT %s FROM %s WHERE t.ctid > '(%" PRId64 ",0)'::tid AND t.ctid < '(%" PRId64 ",0)'::tid AND %s", columns, source, block,
               block + SAMPLE_BLOCKS, condition);
}

/* Whether many of the table's records are due, by ranges of blocks spread evenly over it. */
static int many_due(struct pg_store *store, const struct pg_run *run, bool *ret_many, struct err *err) {
    const struct pg_due *due = &run->due;
    PG_SQL sql = {.arena = run->arena};
    PG_RESULT result = NULL;
    pg_add_source(&sql, due);
    const char *source = arena_strdup(run->arena, buf_text(&sql.text));
    buf_clear(&sql.text);
    pg_add_scope(&sql, due, &run->order.due);
    buf_add(&sql.text, " AND ");
    pg_add_rest(&sql, due, PG_BLOCKED_EITHER);
    const char *condition = arena_strdup(run->arena, buf_text(&sql.text));
    buf_clear(&sql.text);
    buf_add(&sql.text, "SELECT coalesce(sum(a), 0)::bigint, coalesce(sum(d), 0)::bigint FROM (");
    for (int i = 0; i < SAMPLES; i++) {
        int64_t block = (run->n_blocks - SAMPLE_BLOCKS) * i / (SAMPLES - 1);
        if (i) buf_add(&sql.text, " UNION ALL ");
        add_sample(&sql, block, "count(*) AS a, 0 AS d", arena_printf(run->arena, "ONLY %s AS t", due->leaf->quoted), "true");
        buf_add(&sql.text, " UNION ALL ");
        add_sample(&sql, block, "0, count(*)", source, condition);
    }
    buf_add(&sql.text, ") AS s");
    if (pg_run(store, &sql, &result, err) < 0) return -1;
    int64_t all = strtoll(PQgetvalue(result, 0, 0), NULL, 10), many = strtoll(PQgetvalue(result, 0, 1), NULL, 10);
    *ret_many = many * 100 >= all * MANY_DUE_PERCENT;
    return 0;
}

static size_t cutoffs_of(const struct pg_run *run) {
    size_t n_groups = 0;
    if (run->order.due.kind != SCOPE_WHOLE)
        (void)pg_groups(run->arena, &run->due.tenant, run->order.due.tenants, run->order.due.n_tenants, &n_groups);
    return n_groups;
}

int pg_run_shape(struct pg_store *store, struct pg_run *run, struct err *err) {
    const struct pg_due *due = &run->due;
    const struct pg_bound *bound = due->bound;
    bool whole = run->order.due.kind == SCOPE_WHOLE, by_since = due->anchor && due->anchor == bound->since;
    bool serves_tenants = !whole && bound->index_tenant_since && !bound->n_via && !due->tenant.as_text && (by_since || !due->anchor);
    bool serves_since = by_since && bound->index_since && !bound->n_via;
    run->shape = PG_BY_BLOCK;
    if (!serves_tenants && !serves_since) return 0;
    run->shape = PG_BY_TENANT;
    if (serves_tenants && run->order.due.n_tenants > MOST_TENANTS) return 0;
    run->shape = PG_BY_BLOCK;
    bool few_cutoffs = cutoffs_of(run) <= MOST_CUTOFFS, many = false;
    if (few_cutoffs && run->n_blocks >= LEAST_SAMPLED_BLOCKS && many_due(store, run, &many, err) < 0) return -1;
    if (many) return 0;
    /* The oldest of all tenants first, or, where the tenant leads the index, one after the other. */
    if (serves_since && (few_cutoffs || !serves_tenants) && (whole || run->n_blocks >= LEAST_SAMPLED_BLOCKS || !serves_tenants)) run->shape = PG_BY_SINCE;
    else run->shape = PG_BY_TENANT;
    return 0;
}

/* ---- what is gone ---- */

/* Microseconds, roughly, of memory that is cached: what an index scan costs for each entry whose record is gone and not yet cleaned up, and a
 * table's block read as a whole. */
enum { DEAD_ENTRY_COST = 1, BLOCK_COST = 8 };

void pg_note_gone(struct pg_store *store, const struct pg_table *leaf, int64_t records, int64_t n_blocks) {
    struct pg_gone *gone = NULL;
    for (size_t i = 0; i < store->n_gone && !gone; i++)
        if (store->gone[i].leaf == leaf) gone = &store->gone[i];
    if (!gone) gone = ARENA_APPEND(store->catalog, store->gone, store->n_gone);
    *gone = (struct pg_gone){.leaf = leaf, .records = gone->records + records, .n_blocks = n_blocks};
}

bool pg_is_emptied(const struct pg_store *store, const struct pg_table *leaf) {
    for (size_t i = 0; i < store->n_gone; i++)
        if (store->gone[i].leaf == leaf) return store->gone[i].records * DEAD_ENTRY_COST > store->gone[i].n_blocks * BLOCK_COST;
    return false;
}
