#include "store/pg_drop.h"

#include "base/time.h"
#include "store/pg_catalog.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Others wait behind us for a lock that we wait for. */
#define SHORT_WAIT "SET LOCAL lock_timeout = 200;"

/* The earliest of all cutoffs that anything in the target could have; false: there is none. Who may not lose anything at all has none
 * here: whether a row of theirs is in the leaf is seen row by row. */
static bool earliest_cutoff(const struct order *order, int64_t *ret_us) {
    const struct scope *due = &order->due;
    if (due->kind == SCOPE_LISTED || due->cutoff_us == TIME_NEVER) return false;
    int64_t earliest_us = due->cutoff_us;
    for (size_t i = 0; i < due->n_tenants; i++)
        if (due->tenants[i].cutoff_us != TIME_NEVER && due->tenants[i].cutoff_us < earliest_us) earliest_us = due->tenants[i].cutoff_us;
    for (size_t i = 0; i < order->n_floors; i++) {
        if (!text_equal(order->floors[i].anchor, due->anchor) || order->floors[i].cutoff_us == TIME_NEVER) return false;
        if (order->floors[i].cutoff_us < earliest_us) earliest_us = order->floors[i].cutoff_us;
    }
    *ret_us = earliest_us;
    return true;
}

static bool in_table(const struct pg_table *one, const struct pg_table *table) {
    bool found = one == table;
    for (size_t i = 0; i < table->n_leaves; i++) found |= one == table->leaves[i];
    return found;
}

/* Something asks for rows of this table on its own account, and would ask a leaf that is gone. */
static bool is_asked_for(const struct pg_store *store, const struct pg_table *table) {
    const struct schedule *schedule = store->base.settings.schedule;
    for (size_t i = 0; i < schedule->n_targets; i++) {
        const struct pg_bound *bound = &store->bound[i];
        for (size_t j = 0; j < bound->n_dependents; j++)
            if (in_table(bound->dependents[j].table, table)) return true;
        for (size_t j = 0; j < bound->n_blockers; j++)
            if (in_table(bound->blockers[j].link.child, table)) return true;
        for (size_t j = 0; j < bound->n_via; j++)
            if (in_table(bound->via[j].parent, table)) return true;
    }
    return false;
}

/* DROP fires no trigger, heeds no condition and takes nothing along. */
static bool is_plain(const struct pg_store *store, const struct pg_due *due) {
    const struct pg_bound *bound = due->bound;
    const struct order *order = due->order;
    return bound->target->drop && bound->table->kind == 'p' && order->action == ACTION_PURGE && !order->blocked_only && due->anchor && due->anchor == bound->since &&
           !bound->n_via && !order->target->only && !bound->n_dependents && !bound->n_blockers && !pg_relation_of(due->leaf)->triggers &&
           !pg_relation_of(bound->table)->triggers && !is_asked_for(store, bound->table);
}

/* Under its name stands the leaf that was checked, and it is still one: another table there was made by somebody who means it to
 * stay, and so it is with one that was taken out, or is about to be. $1: its oid, $2: its name, $3: the oid of the partitioned table. */
#define IS_THERE "(SELECT to_regclass($2::text) = $1::oid AND $3::oid IN (SELECT relid FROM pg_partition_ancestors($1::oid)) AND NOT EXISTS (" \
                 "SELECT FROM pg_catalog.pg_inherits WHERE inhdetachpending AND inhrelid IN (SELECT relid FROM pg_partition_ancestors($1::oid))))"

struct identity {
    char oid[16], table[16];
};

static void identify(const struct pg_bound *bound, const struct pg_table *leaf, struct identity *ret_identity) {
    (void)snprintf(ret_identity->oid, sizeof ret_identity->oid, "%u", leaf->oid);
    (void)snprintf(ret_identity->table, sizeof ret_identity->table, "%u", bound->table->oid);
}

/* Partitioned by the anchor alone, with an end at or before the cutoff; ours to drop; nothing refers to it, and no subscriber would
 * keep what a DROP does not tell. */
static void add_question(struct pg_sql *sql, const struct pg_due *due, int64_t earliest_us) {
    struct identity is;
    identify(due->bound, due->leaf, &is);
    (void)pg_add_value(sql, arena_strdup(sql->arena, is.oid));
    (void)pg_add_value(sql, due->leaf->quoted);
    (void)pg_add_value(sql, arena_strdup(sql->arena, is.table));
    buf_add(&sql->text, "SELECT coalesce(" IS_THERE ", false), coalesce(c.relkind = 'r' AND p.partstrat = 'r' AND p.partnatts = 1 AND p.partattrs[0] = ("
                        "SELECT a.attnum FROM pg_catalog.pg_attribute a WHERE a.attrelid = i.inhparent AND a.attname = ");
    pg_add_parameter(sql, due->anchor->name, "text");
    buf_add(&sql->text, ") AND pg_has_role(c.relowner, 'USAGE') AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.contype = 'f'"
                        " AND k.confrelid IN (SELECT relid FROM pg_partition_ancestors(c.oid)))"
                        " AND NOT EXISTS (SELECT FROM pg_catalog.pg_publication_tables u JOIN pg_catalog.pg_namespace n ON n.nspname = u.schemaname"
                        " JOIN pg_catalog.pg_class r ON r.relnamespace = n.oid AND r.relname = u.tablename"
                        " WHERE r.oid IN (SELECT relid FROM pg_partition_ancestors(c.oid)))"
                        " AND CASE WHEN p.partstrat = 'r' AND p.partnatts = 1 THEN substring(pg_get_expr(c.relpartbound, c.oid)"
                        " FROM 'TO \\(''?(-?[0-9][^'']*)''?\\)$')");
    buf_printf(&sql->text, "::%s <= ", due->anchor->type);
    pg_add_cutoff(sql, due, earliest_us);
    buf_add(&sql->text, " END, false) FROM (SELECT $1::oid AS oid) AS x LEFT JOIN pg_catalog.pg_class c ON c.oid = x.oid LEFT JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid"
                        " LEFT JOIN pg_catalog.pg_partitioned_table p ON p.partrelid = i.inhparent");
}

int pg_leaf_is_there(struct pg_store *store, const struct pg_bound *bound, const struct pg_table *leaf, bool *ret_there, struct err *err) {
    *ret_there = true;
    if (bound->table->kind != 'p') return 0;
    struct identity is;
    identify(bound, leaf, &is);
    const char *const parameters[] = {is.oid, leaf->quoted, is.table};
    PG_RESULT result = NULL;
    if (pg_query(store, "SELECT coalesce(" IS_THERE ", false)", 3, parameters, &result, err) < 0) return -1;
    *ret_there = *PQgetvalue(result, 0, 0) == 't';
    return 0;
}

int pg_drop_ask(struct pg_store *store, const struct pg_due *due, enum pg_drop *ret_drop, struct err *err) {
    int64_t earliest_us;
    if (!is_plain(store, due) || !earliest_cutoff(due->order, &earliest_us)) {
        bool there;
        if (pg_leaf_is_there(store, due->bound, due->leaf, &there, err) < 0) return -1;
        *ret_drop = there ? PG_DROP_NEVER : PG_DROP_GONE;
        return 0;
    }
    struct arena *arena __attribute__((cleanup(pg_arena_free))) = arena_new();
    PG_SQL sql = {.arena = arena};
    PG_RESULT result = NULL;
    add_question(&sql, due, earliest_us);
    if (pg_run(store, &sql, &result, err) < 0) return -1;
    bool there = *PQgetvalue(result, 0, 0) == 't', may = *PQgetvalue(result, 0, 1) == 't';
    *ret_drop = !there ? PG_DROP_GONE : may ? PG_DROP_MAY : PG_DROP_NEVER;
    return 0;
}

/* Everything in the leaf by tenant, and whether all of it is due. */
static int look(struct pg_store *store, const struct pg_due *due, struct pg_taken *gone, bool *ret_all, struct err *err) {
    PG_SQL sql = {.arena = gone->arena};
    PG_RESULT result = NULL;
    buf_add(&sql.text, "SELECT (");
    pg_add_tenant(&sql, due);
    buf_add(&sql.text, ")::text, count(*), ");
    const char *anchor = due->anchor->quoted, *instants = due->anchor->time == PG_TIME_INTEGER ? "" : arena_printf(gone->arena, " FILTER (WHERE isfinite(t.%s))", anchor);
    pg_add_instant(&sql, due, arena_printf(gone->arena, "min(t.%s)%s", anchor, instants));
    buf_add(&sql.text, ", bool_and((");
    pg_add_scope(&sql, due, &due->order->due);
    buf_add(&sql.text, " AND ");
    pg_add_rest(&sql, due, PG_BLOCKED_NOT);
    buf_add(&sql.text, ") IS TRUE) FROM ");
    pg_add_source(&sql, due);
    buf_add(&sql.text, " GROUP BY 1");
    if (pg_run(store, &sql, &result, err) < 0) return -1;
    *ret_all = PQntuples(result) > 0;
    for (int i = 0; i < PQntuples(result); i++)
        *ret_all = *ret_all && *PQgetvalue(result, i, 3) == 't' && !PQgetisnull(result, i, 0) && !PQgetisnull(result, i, 2);
    for (int i = 0; *ret_all && i < PQntuples(result); i++)
        pg_taken_add_many(gone, PQgetvalue(result, i, 0), strtoll(PQgetvalue(result, i, 1), NULL, 10), strtoll(PQgetvalue(result, i, 2), NULL, 10));
    return 0;
}

int pg_drop_look(struct pg_store *store, const struct pg_due *due, struct pg_taken *gone, enum pg_drop *ret_drop, struct err *err) {
    struct buf lock __attribute__((cleanup(buf_free))) = {0};
    bool all = false;
    buf_printf(&lock, SHORT_WAIT "LOCK TABLE ONLY %s IN EXCLUSIVE MODE", due->leaf->quoted);
    if (pg_script(store, buf_text(&lock), err) < 0) return -1;
    if (pg_drop_ask(store, due, ret_drop, err) < 0) return -1; /* nothing of it can change any more, its name neither */
    if (*ret_drop != PG_DROP_MAY) return 0;
    if (look(store, due, gone, &all, err) < 0) return -1;
    if (!all) *ret_drop = PG_DROP_NEVER;
    return 0;
}

int pg_drop_now(struct pg_store *store, const struct pg_table *leaf, struct err *err) {
    struct buf sql __attribute__((cleanup(buf_free))) = {0};
    buf_printf(&sql, SHORT_WAIT "DROP TABLE %s", leaf->quoted);
    return pg_script(store, buf_text(&sql), err);
}
