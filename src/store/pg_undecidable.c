/* Counts the records that no rule can decide: an anchor that is empty, lies in the future or at no time at all, a tenant
 * that is empty, no rule that lets them in. One statement a leaf; conditions that an index serves are asked by themselves, the others together in one
 * reading of the table. Where records go by their tenant's end, another statement a leaf tells whose they are: those of a
 * tenant that nobody knows are left over for ever. A leaf that cannot be read within the statement's time is judged by a sample of it. */
#include "store/pg_drop.h"
#include "store/pg_bind.h"

#include "base/time.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_REASONS = 4, SAMPLE_ROWS = 100000 };

struct reason {
    const char *code, *column;
    const char *condition; /* on t */
    bool indexed;
    int64_t count;
};

/* What is to be asked, and the parameters that every statement gets: $1 = now, $2 = the zone. */
struct question {
    struct arena *arena;
    const struct pg_bound *bound;
    struct reason reasons[MOST_REASONS];
    size_t n_reasons;
    const char *parameters[2];
    int64_t unknown; /* records of tenants that nobody knows */
    const char *unreached_where; /* what no rule on this table lets in; NULL: nothing is kept out, or another target asks */
    int64_t unreached;
    bool sampled;    /* the leaf that is asked now is too large */
    int64_t n_sampled;
};

static void add_reason(struct question *question, const char *code, const char *column, bool indexed, const char *condition) {
    assert(question->n_reasons < MOST_REASONS);
    question->reasons[question->n_reasons++] = (struct reason){.code = code, .column = column, .condition = condition, .indexed = indexed};
}

/* `now` as the anchor's column would hold it; a date or time without a zone lies ahead only once it does so in its zone. */
static const char *now_for(const struct question *question, const struct pg_column *anchor) {
    switch (anchor->time) {
    case PG_TIME_TIMESTAMP: return "($1::timestamptz AT TIME ZONE $2)";
    case PG_TIME_DATE: return "($1::timestamptz AT TIME ZONE $2)::date";
    case PG_TIME_INTEGER:
        return question->bound->target->unit == UNIT_MILLISECONDS ? "(extract(epoch FROM $1::timestamptz) * 1000)::bigint"
                                                                  : "extract(epoch FROM $1::timestamptz)::bigint";
    case PG_TIME_TIMESTAMPTZ:
    case PG_TIME_NONE: break;
    }
    return "$1::timestamptz";
}

static void ask_since(struct question *question) {
    const struct pg_column *since = question->bound->since;
    if (!since) return;
    struct arena *arena = question->arena;
    bool indexed = question->bound->index_since;
    const char *empty = since->time != PG_TIME_INTEGER ? arena_printf(arena, "t.%s IS NULL", since->quoted)
                                                       : arena_printf(arena, "(t.%s IS NULL OR t.%s <= 0)", since->quoted, since->quoted);
    if (!since->not_null || since->time == PG_TIME_INTEGER) add_reason(question, "since-empty", since->name, indexed, empty);
    add_reason(question, "since-future", since->name, indexed, arena_printf(arena, "t.%s > %s", since->quoted, now_for(question, since)));
    if (since->time != PG_TIME_INTEGER)
        add_reason(question, "since-type", since->name, indexed, arena_printf(arena, "t.%s = '-infinity'", since->quoted));
}

static void ask_tenant(struct question *question) {
    const struct pg_bound *bound = question->bound;
    if (!bound->tenant) return;
    if (bound->n_via) {
        /* Along `via` a record also has no tenant where the chain breaks off. */
        add_reason(question, "tenant-empty", bound->tenant->name, false,
                   arena_printf(question->arena, "NOT EXISTS (SELECT %s AND v%zu.%s::text <> '')", pg_via_chain(question->arena, bound), bound->n_via,
                                bound->tenant->quoted));
        return;
    }
    const struct pg_column *tenant = bound->tenant;
    enum { TEXT = 25, BPCHAR = 1042, VARCHAR = 1043 };
    bool text = tenant->type_oid == TEXT || tenant->type_oid == BPCHAR || tenant->type_oid == VARCHAR;
    if (tenant->not_null && !text) return;
    add_reason(question, "tenant-empty", tenant->name, bound->index_tenant_since,
               text ? arena_printf(question->arena, "(t.%s IS NULL OR t.%s = '')", tenant->quoted, tenant->quoted)
                    : arena_printf(question->arena, "t.%s IS NULL", tenant->quoted));
}

static const char *sampling(const struct question *question, const struct pg_table *leaf) {
    double rows = pg_relation_of(leaf)->rows, share = rows > SAMPLE_ROWS ? 100. * SAMPLE_ROWS / rows : 1.;
    return question->sampled ? arena_printf(question->arena, " TABLESAMPLE SYSTEM (%.6f)", share) : "";
}

/* "t" is this leaf, restricted to what the target's `only` lets in. */
static void add_source(const struct question *question, const struct pg_table *leaf, struct buf *sql) {
    const char *only = question->bound->target->only, *sample = sampling(question, leaf);
    if (only) buf_printf(sql, "(SELECT * FROM ONLY %s%s WHERE (%s\n)) AS t", leaf->quoted, sample, only);
    else buf_printf(sql, "ONLY %s AS t%s", leaf->quoted, sample);
}

/* One reading for all reasons without an index. Hardly a row meets one, and the others are not worth being looked at once for each. */
static void add_together(const struct question *question, const struct pg_table *leaf, struct buf *sql) {
    __attribute__((cleanup(buf_free))) struct buf any = {0};
    buf_add(sql, " FROM (SELECT ");
    for (size_t i = 0; i < question->n_reasons; i++) {
        const struct reason *reason = &question->reasons[i];
        if (reason->indexed) continue;
        buf_printf(sql, "%scount(*) FILTER (WHERE %s) AS c%zu", any.length ? ", " : "", reason->condition, i);
        buf_printf(&any, "%s(%s)", any.length ? " OR " : "", reason->condition);
    }
    buf_add(sql, " FROM ");
    add_source(question, leaf, sql);
    buf_printf(sql, " WHERE %s) AS rest", buf_text(&any));
}

/* SELECT with one count for each reason, in their order. */
static void compile(const struct question *question, const struct pg_table *leaf, struct buf *sql) {
    bool together = false;
    buf_add(sql, "WITH given AS (SELECT $1::timestamptz, $2::text) SELECT ");
    for (size_t i = 0; i < question->n_reasons; i++) {
        const struct reason *reason = &question->reasons[i];
        if (i) buf_add(sql, ", ");
        if (!reason->indexed) {
            together = true;
            buf_printf(sql, "rest.c%zu", i);
            continue;
        }
        buf_add(sql, "(SELECT count(*) FROM ");
        add_source(question, leaf, sql);
        buf_printf(sql, " WHERE %s)", reason->condition);
    }
    if (together) add_together(question, leaf, sql);
}

/* Left free, the planner reads the table, which is many times larger than an index on tenant and anchor; what of the table that leads to,
 * hardly anything, is read once. */
static bool is_in_index(const struct question *question) {
    const struct pg_bound *bound = question->bound;
    return bound->index_tenant_since && bound->since && !bound->n_via && !bound->target->only && !question->sampled;
}

static int count_leaf(struct pg_store *store, struct question *question, const struct pg_table *leaf, struct err *err) {
    __attribute__((cleanup(buf_free))) struct buf sql = {0};
    bool pin = is_in_index(question);
    compile(question, leaf, &sql);
    PG_RESULT result = NULL;
    if (pin && pg_script(store, "SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off", err)) return -1;
    if (pg_query(store, buf_text(&sql), 2, question->parameters, &result, err)) return -1;
    for (size_t i = 0; i < question->n_reasons; i++) question->reasons[i].count += strtoll(PQgetvalue(result, 0, (int)i), NULL, 10);
    return pin ? pg_script(store, "RESET enable_seqscan; RESET enable_indexscan; RESET enable_indexonlyscan", err) : 0;
}

static bool asks_whose(const struct pg_store *store, const struct question *question) {
    const struct pg_bound *bound = question->bound;
    return store->known && bound->tenant && plan_is_bound(bound->target->rule);
}

static int count_unknown(struct pg_store *store, struct question *question, const struct pg_table *leaf, struct err *err) {
    if (!asks_whose(store, question)) return 0;
    const struct pg_bound *bound = question->bound;
    const char *tenant = bound->tenant->quoted;
    __attribute__((cleanup(buf_free))) struct buf sql = {0};
    if (bound->n_via) {
        buf_add(&sql, "SELECT whose.id, count(*) FROM ");
        add_source(question, leaf, &sql);
        buf_printf(&sql, " CROSS JOIN LATERAL (SELECT v%zu.%s::text AS id %s) AS whose WHERE whose.id IS NOT NULL GROUP BY whose.id", bound->n_via,
                   tenant, pg_via_chain(question->arena, bound));
    } else {
        buf_printf(&sql, "SELECT t.%s::text, count(*) FROM ", tenant);
        add_source(question, leaf, &sql);
        buf_printf(&sql, " WHERE t.%s IS NOT NULL GROUP BY t.%s", tenant, tenant);
    }
    PG_RESULT result = NULL;
    if (pg_query(store, buf_text(&sql), 0, NULL, &result, err)) return -1;
    for (int row = 0; row < PQntuples(result); row++) {
        const char *id = PQgetvalue(result, row, 0);
        if (*id && !tenants_find(store->known, id)) question->unknown += strtoll(PQgetvalue(result, row, 1), NULL, 10);
    }
    return 0;
}

/* ---- rows that no rule's `only` lets in ---- */

static bool is_dependent(const struct pg_store *store, const struct pg_table *table) {
    const struct schedule *schedule = store->base.settings.schedule;
    for (size_t i = 0; i < schedule->n_targets; i++)
        for (size_t j = 0; j < store->bound[i].n_dependents; j++)
            if (store->bound[i].dependents[j].table == table) return true;
    return false;
}

/* The first target of a table asks for all of them. What goes with a parent is reached by that. */
static void ask_unreached(const struct pg_store *store, struct question *question) {
    const struct schedule *schedule = store->base.settings.schedule;
    const struct pg_bound *bound = question->bound;
    const char *where = NULL;
    if (is_dependent(store, bound->table)) return;
    for (size_t i = 0; i < schedule->n_targets; i++) {
        const struct pg_bound *other = &store->bound[i];
        if (other->table != bound->table) continue;
        if (i < bound->target->number || !other->target->only) return;
        where = arena_printf(question->arena, "%s%s((%s\n) IS NOT TRUE)", where ? where : "", where ? " AND " : "", other->target->only);
    }
    question->unreached_where = where;
}

static int count_unreached(struct pg_store *store, struct question *question, const struct pg_table *leaf, struct err *err) {
    if (!question->unreached_where) return 0;
    const char *sql = arena_printf(question->arena, "SELECT count(*) FROM ONLY %s%s WHERE %s", leaf->quoted, sampling(question, leaf), question->unreached_where);
    PG_RESULT result = NULL;
    if (pg_query(store, sql, 0, NULL, &result, err)) return -1;
    question->unreached += strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    return 0;
}

/* ---- leaf by leaf ---- */

static int ask_leaf(struct pg_store *store, struct question *question, const struct pg_table *leaf, struct err *err) {
    if (pg_begin(store, false, err)) return -1;
    if ((!question->n_reasons || !count_leaf(store, question, leaf, err)) && !count_unknown(store, question, leaf, err) &&
        !count_unreached(store, question, leaf, err))
        return pg_rollback(store, err);
    struct err ignored;
    if (pg_rollback(store, &ignored)) pg_disconnect(store);
    return -1;
}

static int count_leaves(struct pg_store *store, struct question *question, struct err *err) {
    const struct pg_table *table = question->bound->table;
    for (size_t i = 0; i < table->n_leaves; i++) {
        const struct question before = *question;
        bool there;
        if (pg_leaf_is_there(store, question->bound, table->leaves[i], &there, err)) return -1;
        if (!there) continue;
        question->sampled = false;
        if (!ask_leaf(store, question, table->leaves[i], err)) continue;
        if (strcmp(err->detail, "57014") != 0) return -1; /* it did not take too long, it failed */
        *question = before;
        question->sampled = true;
        question->n_sampled++;
        if (ask_leaf(store, question, table->leaves[i], err)) return -1;
    }
    return 0;
}

int pg_undecidable(struct store *base, const struct target *target, int64_t now_us, struct arena *arena, const struct undecidable **ret_items,
                   size_t *ret_count, struct err *err) {
    struct pg_store *store = (struct pg_store *)(void *)base;
    const struct pg_bound *bound = pg_bound_of(store, target);
    if (!bound || !bound->table || bound->bad)
        return err_set(err, ERR_CONFIG, "table \"%s\" does not fit the schedule; lapsectl check says why", target->name);
    struct time_text now = time_format(now_us);
    struct question question = {.arena = arena, .bound = bound, .parameters = {now.text, target->zone ? target->zone : "UTC"}};
    ask_since(&question);
    ask_tenant(&question);
    ask_unreached(store, &question);
    if ((question.n_reasons || asks_whose(store, &question) || question.unreached_where) && count_leaves(store, &question, err)) return -1;
    struct undecidable *items = NULL;
    size_t count = 0;
    for (size_t i = 0; i < question.n_reasons; i++) {
        const struct reason *reason = &question.reasons[i];
        if (reason->count) *ARENA_APPEND(arena, items, count) = (struct undecidable){.code = reason->code, .column = reason->column,
                .count = reason->count};
    }
    if (question.unknown)
        *ARENA_APPEND(arena, items, count) = (struct undecidable){.code = "tenant-unknown", .column = bound->tenant->name, .count = question.unknown};
    if (question.unreached)
        *ARENA_APPEND(arena, items, count) = (struct undecidable){.code = "only-unreached", .count = question.unreached};
    if (question.n_sampled)
        *ARENA_APPEND(arena, items, count) = (struct undecidable){.code = "survey-sampled", .count = question.n_sampled};
    *ret_items = items;
    *ret_count = count;
    return 0;
}

void pg_know(struct store *base, const struct tenants *tenants) { ((struct pg_store *)(void *)base)->known = tenants; }
