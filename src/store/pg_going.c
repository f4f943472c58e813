#include "store/pg_going.h"

#include "store/pg_anonymize.h"

#include <string.h>

enum {
    MOST_CHAIN = 100,        /* a longer chain of rows of one table blocks */
    MOST_TEXT = 512 * 1024,  /* a schema so entangled that the statement grows beyond: the rest blocks */
};

/* ---- which orders come in time ---- */

/* The tenants' own records go last, and what is anonymized because it is blocked, after everything else of its stage. */
static bool in_time(const struct order *order, const struct order *asking) {
    if (order_is_any(order)) return false;
    if (order->own && !asking->own) return false;
    return !order->blocked_only || (asking->own && !order->own);
}

static bool share_rows(const struct pg_table *a, const struct pg_table *b) {
    for (size_t i = 0; i < a->n_leaves; i++)
        for (size_t j = 0; j < b->n_leaves; j++)
            if (a->leaves[i]->oid == b->leaves[j]->oid) return true;
    return false;
}

static bool is_above(const struct pg_going *going, const struct pg_table *table) {
    for (; going; going = going->above)
        if (share_rows(going->table, table)) return true;
    return false;
}

/* ---- ways to go ---- */

/* Writes "FROM source WHERE tie AND the whole predicate", asked for the end of the sweep, with `before` between FROM and the
 * source. A nested statement has its own t and b; those outside are not seen but for the b that the tie names. */
struct way {
    struct pg_sql *sql;
    const struct pg_due *asking;
    const struct pg_table *child;
    const struct pg_link *followed;
};

static void add_predicate(struct pg_sql *sql, const struct pg_due *due) {
    pg_add_scope(sql, due, &due->order->due);
    buf_add(&sql->text, " AND ");
    pg_add_rest(sql, due, pg_blocked_of(due->order) == PG_BLOCKED_NOT ? PG_BLOCKED_NOT : PG_BLOCKED_EITHER);
}

static void add_goes_itself(const struct way *way, const struct pg_due *due) {
    struct pg_sql *sql = way->sql;
    buf_add(&sql->text, " AND NOT EXISTS (SELECT FROM ");
    pg_add_source(sql, due);
    buf_add(&sql->text, " WHERE t.ctid = b.ctid AND t.tableoid = b.tableoid AND ");
    add_predicate(sql, due);
    buf_add_char(&sql->text, ')');
}

static void add_goes_along(const struct way *way, const struct pg_due *due, const struct pg_dependent *dependent) {
    struct pg_sql *sql = way->sql;
    if (dependent->tree == dependent->n_path) {
        buf_add(&sql->text, " AND NOT EXISTS (SELECT FROM ");
        pg_add_source(sql, due);
        buf_add(&sql->text, ", ");
        pg_add_path(sql, dependent, 0);
        buf_add(&sql->text, " WHERE d0.ctid = b.ctid AND d0.tableoid = b.tableoid AND ");
        pg_add_path_tie(sql, dependent);
        buf_add(&sql->text, " AND ");
        add_predicate(sql, due);
        buf_add_char(&sql->text, ')');
        return;
    }
    /* A tree, and what hangs on it, is found once for all, from the records that go down. */
    PG_SQL source = {.arena = sql->arena};
    PG_SQL condition = {.arena = sql->arena, .parameters = sql->parameters, .n_parameters = sql->n_parameters};
    pg_add_source(&source, due);
    add_predicate(&condition, due);
    sql->parameters = condition.parameters;
    sql->n_parameters = condition.n_parameters;
    buf_add(&sql->text, " AND (b.tableoid, b.ctid::text) NOT IN (");
    pg_add_dependents(sql, dependent, "d0.tableoid, d0.ctid::text", buf_text(&source.text), buf_text(&condition.text));
    buf_add_char(&sql->text, ')');
}

static void add_ways_of_leaf(const struct way *way, const struct pg_due *due) {
    const struct pg_bound *bound = due->bound;
    bool purge = due->order->action == ACTION_PURGE, above = is_above(way->asking->going, bound->table);
    bool itself = purge && share_rows(due->leaf, way->child) && (way->followed || !above);
    if (itself) add_goes_itself(way, due);
    for (size_t i = 0; i < bound->n_dependents; i++) {
        const struct pg_dependent *dependent = &bound->dependents[i];
        if (pg_fate_of(due->order, dependent) != PG_PURGED || !share_rows(dependent->table, way->child)) continue;
        if (!above) add_goes_along(way, due, dependent);
    }
}

static void add_ways(const struct way *way) {
    const struct pg_going *going = way->asking->going;
    for (size_t i = 0; i < going->n_orders; i++) {
        const struct order *order = going->orders[i];
        if (!in_time(order, way->asking->order)) continue;
        const struct pg_bound *bound = pg_bound_of(going->store, order->target);
        if (!bound || !bound->table) continue;
        const struct pg_going level = {.store = going->store, .orders = going->orders, .n_orders = going->n_orders, .table = bound->table,
                                       .above = going, .followed = way->followed};
        for (size_t leaf = 0; leaf < bound->table->n_leaves && way->sql->text.length < MOST_TEXT; leaf++) {
            struct pg_due due;
            struct err unusable; /* the count of that order says why */
            if (pg_due_of(going->store, way->sql->arena, order, bound->table->leaves[leaf], &due, &unusable) < 0) break;
            due.going = &level;
            add_ways_of_leaf(way, &due);
        }
    }
}

void pg_add_stays(struct pg_sql *sql, const struct pg_due *due, const struct pg_table *child) {
    add_ways(&(struct way){.sql = sql, .asking = due, .child = child});
}

/* ---- chains within one table ---- */

static void add_columns(struct pg_sql *sql, const char *alias, const struct pg_link *link, bool of_parent) {
    const struct pg_table *table = of_parent ? link->parent : link->child;
    for (size_t i = 0; i < link->n_columns; i++) {
        buf_add(&sql->text, i ? ", " : "");
        pg_add_column(sql, alias, &table->columns[of_parent ? link->parent_columns[i] : link->child_columns[i]]);
    }
}

/* " FROM table AS b WHERE …": those that refer to another row. */
static void add_referring(struct pg_sql *sql, const struct pg_link *link) {
    buf_printf(&sql->text, " FROM %s AS b WHERE (", link->child->quoted);
    pg_add_link(sql, link, "b", "b");
    buf_add(&sql->text, ") IS NOT TRUE");
    for (size_t i = 0; i < link->n_columns; i++) {
        buf_add(&sql->text, " AND ");
        pg_add_column(sql, "b", &link->child->columns[link->child_columns[i]]);
        buf_add(&sql->text, " IS NOT NULL");
    }
}

/* All that are below others are asked once, not a record's own by and by: up from each row that refers, to the keys k above it, n
 * rows away. What is below a row that stays, or that far, has the greatest n at once and hands it on; so that a circle ends, too. */
void pg_add_chain_stays(struct pg_sql *sql, const struct pg_due *due, const struct pg_link *link) {
    buf_add_char(&sql->text, '(');
    if (link->n_columns > 1) buf_add_char(&sql->text, '(');
    add_columns(sql, "t", link, true);
    if (link->n_columns > 1) buf_add_char(&sql->text, ')');
    buf_add(&sql->text, " IN (WITH RECURSIVE chain(n");
    for (size_t i = 0; i < link->n_columns; i++) buf_printf(&sql->text, ", k%zu", i);
    buf_add(&sql->text, ") AS (SELECT 1, ");
    add_columns(sql, "b", link, false);
    add_referring(sql, link);
    buf_printf(&sql->text, " UNION ALL SELECT %d, ", MOST_CHAIN);
    add_columns(sql, "b", link, false);
    add_referring(sql, link);
    add_ways(&(struct way){.sql = sql, .asking = due, .child = link->child, .followed = link});
    buf_printf(&sql->text, " UNION SELECT least(chain.n + 1, %d), ", MOST_CHAIN);
    add_columns(sql, "b", link, false);
    buf_add(&sql->text, " FROM chain CROSS JOIN LATERAL (SELECT b.*");
    add_referring(sql, link);
    buf_add(&sql->text, ") AS b WHERE true");
    for (size_t i = 0; i < link->n_columns; i++) {
        buf_add(&sql->text, " AND ");
        pg_add_column(sql, "b", &link->parent->columns[link->parent_columns[i]]);
        buf_printf(&sql->text, " = chain.k%zu", i);
    }
    buf_add(&sql->text, ") SELECT ");
    for (size_t i = 0; i < link->n_columns; i++) buf_printf(&sql->text, "%sk%zu", i ? ", " : "", i);
    buf_printf(&sql->text, " FROM chain WHERE n = %d)) IS TRUE", MOST_CHAIN);
}
