#include "store/pg_compile.h"

#include "base/time.h"
#include "store/pg_anonymize.h"
#include "store/spelling.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the order's columns ---- */

static const struct pg_column *column_named(const struct pg_table *table, const char *name) {
    for (size_t i = 0; name && i < table->n_columns; i++)
        if (!strcmp(table->columns[i].name, name)) return &table->columns[i];
    return NULL;
}

static enum since_unit unit_of(const struct scope *scope) { return scope->anchor_is_since ? scope->of->unit : UNIT_NONE; }

/* An anchor must be there, be a time, and have what it takes to be compared with an instant. */
static bool anchor_usable(const struct pg_bound *bound, const struct scope *scope) {
    if (!scope->anchor) return true;
    const struct pg_column *column = column_named(bound->table, scope->anchor);
    if (!column) return false;
    switch (column->time) {
    case PG_TIME_TIMESTAMPTZ: return true;
    case PG_TIME_TIMESTAMP:
    case PG_TIME_DATE: return scope->of->zone != NULL;
    case PG_TIME_INTEGER: return unit_of(scope) != UNIT_NONE;
    case PG_TIME_NONE: break;
    }
    return false;
}

int pg_due_of(const struct pg_store *store, struct arena *arena, const struct order *order, const struct pg_table *leaf, struct pg_due *ret_due,
              struct err *err) {
    const struct pg_bound *bound = pg_bound_of(store, order->target);
    bool usable = bound && bound->table && !bound->bad && (order->target->no_tenant || bound->tenant);
    usable = usable && anchor_usable(bound, &order->due);
    for (size_t i = 0; usable && i < order->n_before; i++) usable = anchor_usable(bound, &order->before[i]);
    for (size_t i = 0; usable && i < order->n_floors; i++) usable = anchor_usable(bound, &order->floors[i]);
    if (!usable)
        return err_set(err, ERR_CONFIG, "table \"%s\" does not fit the schedule; lapsectl check says why", order->target->name);
    *ret_due = (struct pg_due){.order = order,
                               .bound = bound,
                               .leaf = leaf,
                               .anchor = column_named(bound->table, order->due.anchor),
                               .zone = order->target->zone};
    if (!bound->tenant) return 0;
    ret_due->tenant = pg_tenant_type(bound->tenant->type_oid);
    ret_due->order = spelling_spread(arena, order, pg_tenant_spelling, &ret_due->tenant);
    return 0;
}

enum pg_blocked pg_blocked_of(const struct order *order) {
    if (order_is_any(order)) return PG_BLOCKED_EITHER;
    if (order->blocked_only) return PG_BLOCKED_ONLY;
    return order->action == ACTION_PURGE ? PG_BLOCKED_NOT : PG_BLOCKED_EITHER;
}

/* ---- FROM ---- */

static void alias_of_via(char alias[24], size_t n) {
    if (n) (void)snprintf(alias, 24, "v%zu", n);
    else (void)snprintf(alias, 24, "t");
}

/* The user's condition sees the table by its own name, also in a partition. */
static void add_row(struct pg_sql *sql, const struct pg_due *due) {
    const char *only = due->order->target->only;
    if (!only) {
        buf_printf(&sql->text, "ONLY %s AS t", due->leaf->quoted);
        return;
    }
    buf_printf(&sql->text, "(SELECT ctid, tableoid, * FROM ONLY %s AS %s WHERE (%s\n)) AS t", due->leaf->quoted,
               pg_quote(sql->arena, due->bound->table->name), only);
}

static void add_via(struct pg_sql *sql, const struct pg_due *due, bool as_join) {
    for (size_t i = 0; i < due->bound->n_via; i++) {
        char child[24], parent[24];
        alias_of_via(child, i);
        alias_of_via(parent, i + 1);
        if (!as_join) {
            buf_printf(&sql->text, "%s%s AS %s", i ? ", " : "", due->bound->via[i].parent->quoted, parent);
            continue;
        }
        buf_printf(&sql->text, " JOIN %s AS %s ON ", due->bound->via[i].parent->quoted, parent);
        pg_add_link(sql, &due->bound->via[i], child, parent);
    }
}

void pg_add_source(struct pg_sql *sql, const struct pg_due *due) {
    add_row(sql, due);
    add_via(sql, due, true);
}

/* "… WHERE" and the joins as conditions: the changed table itself cannot take part in a JOIN. */
static void add_change(struct pg_sql *sql, const struct pg_due *due, const char *from, const char *values) {
    bool only = due->order->target->only != NULL;
    if (only || due->bound->n_via || values) buf_printf(&sql->text, " %s ", from);
    if (values) buf_printf(&sql->text, "%s%s", values, only || due->bound->n_via ? ", " : "");
    if (only) {
        pg_add_source(sql, due);
        buf_add(&sql->text, " WHERE ");
        pg_add_at(sql, "z", "t.ctid");
        buf_add(&sql->text, " AND ");
        return;
    }
    add_via(sql, due, false);
    buf_add(&sql->text, " WHERE ");
    for (size_t i = 0; i < due->bound->n_via; i++) {
        char child[24], parent[24];
        alias_of_via(child, i);
        alias_of_via(parent, i + 1);
        pg_add_link(sql, &due->bound->via[i], child, parent);
        buf_add(&sql->text, " AND ");
    }
}

void pg_add_delete(struct pg_sql *sql, const struct pg_due *due) {
    buf_printf(&sql->text, "DELETE FROM ONLY %s AS %s", due->leaf->quoted, due->order->target->only ? "z" : "t");
    add_change(sql, due, "USING", NULL);
}

void pg_add_update(struct pg_sql *sql, const struct pg_due *due, const char *sets, const char *values) {
    buf_printf(&sql->text, "UPDATE ONLY %s AS %s SET %s", due->leaf->quoted, due->order->target->only ? "z" : "t", sets);
    add_change(sql, due, "FROM", values);
}

void pg_add_tenant(struct pg_sql *sql, const struct pg_due *due) {
    char alias[24];
    if (!due->bound->tenant) {
        buf_add(&sql->text, "''");
        return;
    }
    alias_of_via(alias, due->bound->n_via);
    pg_add_column(sql, alias, due->bound->tenant);
    if (due->tenant.as_text) buf_add(&sql->text, "::text");
}

/* ---- anchors and cutoffs ---- */

/* The smallest local reading of any instant from `us` on: what lies before it is past for sure, also in an autumn hour
 * that is read twice. Clocks are put back by at most three hours, at a full minute. */
static void add_local(struct pg_sql *sql, const char *zone, int64_t us) {
    size_t n = pg_add_value(sql, arena_strdup(sql->arena, time_format(us).text));
    buf_printf(&sql->text,
               "(SELECT min(i AT TIME ZONE %s) FROM (SELECT $%zu::timestamptz AS i UNION ALL SELECT generate_series("
               "date_trunc('minute', $%zu::timestamptz) + interval '1 minute', $%zu::timestamptz + interval '3 hours', interval '1 minute')) AS s)",
               zone, n, n, n);
}

static int64_t ceiling_divide(int64_t a, int64_t b) { return a / b + (a % b > 0); }

static int64_t unit_us(enum since_unit unit) { return unit == UNIT_MILLISECONDS ? 1000 : TIME_SECOND_US; }

/* The zone as an SQL literal: a name that the schedule has checked; quotes are doubled all the same. */
static const char *zone_literal(struct arena *arena, const char *zone) {
    struct buf text __attribute__((cleanup(buf_free))) = {0};
    buf_add_char(&text, '\'');
    for (; *zone; zone++) {
        if (*zone == '\'') buf_add_char(&text, '\'');
        buf_add_char(&text, *zone);
    }
    buf_add_char(&text, '\'');
    return arena_strdup(arena, buf_text(&text));
}

/* The cutoff in the anchor's own terms: the parameter is converted, never the column. */
static void add_cutoff(struct pg_sql *sql, const struct pg_column *anchor, const struct target *of, enum since_unit unit, int64_t cutoff_us) {
    switch (anchor->time) {
    case PG_TIME_TIMESTAMPTZ: pg_add_parameter(sql, arena_strdup(sql->arena, time_format(cutoff_us).text), "timestamptz"); return;
    case PG_TIME_TIMESTAMP: add_local(sql, zone_literal(sql->arena, of->zone), cutoff_us); return;
    case PG_TIME_DATE: /* over at its end: every day before the one that the cutoff lies in */
        add_local(sql, zone_literal(sql->arena, of->zone), cutoff_us - 1);
        buf_add(&sql->text, "::date");
        return;
    case PG_TIME_INTEGER:
        pg_add_parameter(sql, arena_printf(sql->arena, "%" PRId64, ceiling_divide(cutoff_us, unit_us(unit))), "bigint");
        return;
    case PG_TIME_NONE: break;
    }
    assert(anchor->time != PG_TIME_NONE);
}

static void add_anchor_before(struct pg_sql *sql, const struct pg_column *anchor, const struct scope *scope, int64_t cutoff_us) {
    pg_add_column(sql, "t", anchor);
    buf_add(&sql->text, " < ");
    add_cutoff(sql, anchor, scope->of, unit_of(scope), cutoff_us);
    buf_add(&sql->text, " AND ");
    pg_add_column(sql, "t", anchor);
    /* 0 stands for "not set" in many schemas and is no instant. */
    buf_add(&sql->text, anchor->time == PG_TIME_INTEGER ? " > 0" : " > '-infinity'");
}

void pg_add_cutoff(struct pg_sql *sql, const struct pg_due *due, int64_t cutoff_us) {
    add_cutoff(sql, due->anchor, due->order->due.of, unit_of(&due->order->due), cutoff_us);
}

void pg_add_before(struct pg_sql *sql, const struct pg_due *due, const struct pg_column *anchor, int64_t cutoff_us) {
    if (anchor) add_anchor_before(sql, anchor, &due->order->due, cutoff_us);
    else buf_add(&sql->text, "true");
}

void pg_add_instant(struct pg_sql *sql, const struct pg_due *due, const char *value) {
    const struct scope *scope = &due->order->due;
    const char *zone = due->zone ? zone_literal(sql->arena, due->zone) : "'UTC'";
    switch (due->anchor ? due->anchor->time : PG_TIME_NONE) {
    case PG_TIME_TIMESTAMPTZ: buf_printf(&sql->text, "(extract(epoch FROM %s) * 1000000)::bigint", value); return;
    case PG_TIME_TIMESTAMP: buf_printf(&sql->text, "(extract(epoch FROM %s AT TIME ZONE %s) * 1000000)::bigint", value, zone); return;
    case PG_TIME_DATE:
        buf_printf(&sql->text, "(extract(epoch FROM (%s + 1)::timestamp AT TIME ZONE %s) * 1000000)::bigint", value, zone);
        return;
    case PG_TIME_INTEGER: { /* garbage far in the past must not overflow */
        int64_t factor = unit_us(unit_of(scope));
        buf_printf(&sql->text, "(greatest(%s::bigint, %" PRId64 ") * %" PRId64 ")", value, INT64_MIN / factor, factor);
        return;
    }
    case PG_TIME_NONE: buf_add(&sql->text, "NULL::bigint"); return;
    }
}

void pg_add_moment(struct pg_sql *sql, const struct pg_due *due, const char *value) {
    const char *zone = due->zone ? zone_literal(sql->arena, due->zone) : "'UTC'";
    switch (due->anchor ? due->anchor->time : PG_TIME_NONE) {
    case PG_TIME_TIMESTAMPTZ: buf_add(&sql->text, value); return;
    case PG_TIME_TIMESTAMP: buf_printf(&sql->text, "(%s AT TIME ZONE %s)", value, zone); return;
    case PG_TIME_DATE: buf_printf(&sql->text, "((%s + 1)::timestamp AT TIME ZONE %s)", value, zone); return;
    case PG_TIME_INTEGER:
    case PG_TIME_NONE: pg_add_instant(sql, due, value); return;
    }
}

/* ---- WHERE ---- */

static void add_listed(struct pg_sql *sql, const struct pg_due *due, const struct pg_column *anchor, const struct scope *scope) {
    const struct pg_listed *listed = &due->listed;
    bool known = listed->groups && listed->tenants == scope->tenants && listed->n_tenants == scope->n_tenants;
    size_t n_groups = listed->n_groups;
    const struct pg_group *groups = known ? listed->groups : pg_groups(sql->arena, &due->tenant, scope->tenants, scope->n_tenants, &n_groups);
    if (!n_groups) buf_add(&sql->text, "false");
    for (size_t i = 0; i < n_groups; i++) {
        buf_add(&sql->text, i ? " OR (" : "(");
        pg_add_tenant(sql, due);
        buf_add(&sql->text, " = ANY(");
        pg_add_parameter(sql, groups[i].ids, arena_printf(sql->arena, "%s[]", due->tenant.element));
        buf_add_char(&sql->text, ')');
        if (anchor) {
            buf_add(&sql->text, " AND ");
            add_anchor_before(sql, anchor, scope, groups[i].cutoff_us);
        }
        buf_add_char(&sql->text, ')');
    }
}

/* Every tenant that is not listed, by the scope's own cutoff. */
static void add_unlisted(struct pg_sql *sql, const struct pg_due *due, const struct pg_column *anchor, const struct scope *scope) {
    struct buf array __attribute__((cleanup(buf_free))) = {0};
    buf_add_char(&array, '{');
    for (size_t i = 0; i < scope->n_tenants; i++)
        if (pg_tenant_fits(&due->tenant, scope->tenants[i].id)) pg_add_array_item(&array, scope->tenants[i].id);
    buf_add_char(&array, '}');
    pg_add_tenant(sql, due);
    buf_add(&sql->text, " IS NOT NULL AND ");
    if (!strcmp(due->tenant.element, "text") || !strcmp(due->tenant.element, "bpchar")) {
        pg_add_tenant(sql, due);
        buf_add(&sql->text, " <> '' AND ");
    }
    if (array.length > 2) {
        pg_add_tenant(sql, due);
        buf_add(&sql->text, " <> ALL(");
        pg_add_parameter(sql, arena_strdup(sql->arena, buf_text(&array)), arena_printf(sql->arena, "%s[]", due->tenant.element));
        buf_add(&sql->text, ") AND ");
    }
    add_anchor_before(sql, anchor, scope, scope->cutoff_us);
}

void pg_add_scope(struct pg_sql *sql, const struct pg_due *due, const struct scope *scope) {
    const struct pg_column *anchor = column_named(due->bound->table, scope->anchor);
    buf_add(&sql->text, due->by_place ? "((" : "(");
    switch (scope->kind) {
    case SCOPE_WHOLE:
        if (scope->cutoff_us == TIME_NEVER) buf_add(&sql->text, "false");
        else add_anchor_before(sql, anchor, scope, scope->cutoff_us);
        break;
    case SCOPE_LISTED: add_listed(sql, due, anchor, scope); break;
    case SCOPE_REST:
        if (scope->cutoff_us != TIME_NEVER) {
            buf_add_char(&sql->text, '(');
            add_unlisted(sql, due, anchor, scope);
            buf_add(&sql->text, ") OR ");
        }
        add_listed(sql, due, anchor, scope);
        break;
    }
    buf_add(&sql->text, due->by_place ? ") IS TRUE)" : ")");
}

static void add_floor(struct pg_sql *sql, const struct pg_due *due, const struct scope *floor) {
    const struct pg_column *anchor = column_named(due->bound->table, floor->anchor);
    buf_add(&sql->text, due->by_place ? "((" : "(");
    if (!anchor || floor->cutoff_us == TIME_NEVER) buf_add(&sql->text, "false");
    else add_anchor_before(sql, anchor, floor, floor->cutoff_us);
    buf_add(&sql->text, due->by_place ? ") IS TRUE)" : ")");
}

void pg_add_rest(struct pg_sql *sql, const struct pg_due *due, enum pg_blocked blocked) {
    const struct order *order = due->order;
    buf_add(&sql->text, "true");
    for (size_t i = 0; i < order->n_floors; i++) {
        buf_add(&sql->text, " AND ");
        add_floor(sql, due, &order->floors[i]);
    }
    for (size_t i = 0; i < order->n_before; i++) {
        buf_add(&sql->text, " AND ");
        pg_add_scope(sql, due, &order->before[i]);
        buf_add(&sql->text, " IS NOT TRUE");
    }
    if (order->action == ACTION_ANONYMIZE && !order_is_any(order)) {
        buf_add(&sql->text, " AND ");
        pg_add_not_done(sql, due->bound);
    }
    if (order->action == ACTION_ANONYMIZE && !order_is_any(order)) pg_add_free_to_change(sql, due);
    if (blocked == PG_BLOCKED_NOT) pg_add_not_blocked(sql, due);
    if (blocked == PG_BLOCKED_ONLY) pg_add_blocked(sql, due);
}
