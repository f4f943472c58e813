#include "store/pg_anonymize.h"

#include "store/pg_value.h"
#include "store/strategy.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { OID_BOOL = 16, OID_JSON = 114, OID_CIDR = 650, OID_INET = 869 };

/* What the server can change by itself; the rest is read, changed here and written back. */
static bool in_database(const struct column *column, const struct pg_column *bound) {
    switch (column->strategy) {
    case STRATEGY_NULL:
    case STRATEGY_FIXED:
    case STRATEGY_AS_IS: return true;
    case STRATEGY_TRUNCATE_IP: return bound->type_oid == OID_INET || bound->type_oid == OID_CIDR;
    case STRATEGY_TRUNCATE_TIME: return bound->time != PG_TIME_NONE && bound->time != PG_TIME_INTEGER;
    case STRATEGY_STRIP_URL:
    case STRATEGY_HOST:
    case STRATEGY_BROWSER_FAMILY:
    case STRATEGY_PSEUDONYMIZE: break;
    }
    return false;
}

/* ---- what is left to do ---- */

static const char *value_of(struct arena *arena, const char *alias, const struct pg_column *column) {
    return arena_printf(arena, "%s.%s", alias, column->quoted);
}

/* As strategy_apply does: an IPv4 address inside an IPv6 one is unwrapped first. */
static void add_truncated_ip(struct pg_sql *sql, const char *value, const struct pg_column *column) {
    buf_printf(&sql->text,
               "(CASE WHEN %s::inet <<= '::ffff:0:0/96' THEN network(set_masklen(split_part(host(%s::inet), '::ffff:', 2)::inet, 24))"
               " WHEN family(%s::inet) = 4 THEN network(set_masklen(%s::inet, 24)) ELSE network(set_masklen(%s::inet, 48)) END)::%s",
               value, value, value, value, value, column->type);
}

static void add_truncated_time(struct pg_sql *sql, const char *value, const struct pg_column *column, const char *unit) {
    if (!strategy_is_time_unit(unit)) buf_add(&sql->text, value); /* check has refused it */
    else if (column->time == PG_TIME_TIMESTAMPTZ) buf_printf(&sql->text, "date_trunc('%s', %s, 'UTC')", unit, value);
    else if (column->time == PG_TIME_DATE) buf_printf(&sql->text, "date_trunc('%s', %s::timestamp)::date", unit, value);
    else buf_printf(&sql->text, "date_trunc('%s', %s)", unit, value);
}

static void add_new_value(struct pg_sql *sql, const struct column *column, const struct pg_column *bound, const char *value) {
    switch (column->strategy) {
    case STRATEGY_NULL: buf_add(&sql->text, "NULL"); return;
    case STRATEGY_FIXED: pg_add_parameter(sql, column->argument, bound->type); return;
    case STRATEGY_TRUNCATE_IP: add_truncated_ip(sql, value, bound); return;
    case STRATEGY_TRUNCATE_TIME: add_truncated_time(sql, value, bound, column->argument); return;
    default: buf_add(&sql->text, value); return;
    }
}

static void add_column_left(struct pg_sql *sql, const struct column *column, const struct pg_column *bound, const char *value) {
    if (column->strategy == STRATEGY_NULL) {
        buf_printf(&sql->text, "%s IS NOT NULL", value);
    } else if (!in_database(column, bound)) {
        buf_printf(&sql->text, "(%s::text <> '' AND %s::text !~ '%s')", value, value, strategy_done_pattern(column));
    } else if (bound->type_oid == OID_JSON) { /* has no equality */
        buf_printf(&sql->text, "%s::text IS DISTINCT FROM ", value);
        pg_add_parameter(sql, column->argument, "text");
    } else {
        buf_printf(&sql->text, "%s IS DISTINCT FROM ", value);
        add_new_value(sql, column, bound, value);
    }
}

void pg_add_fields_left(struct pg_sql *sql, const struct pg_fields *fields, const char *alias) {
    bool first = true;
    buf_add_char(&sql->text, '(');
    for (size_t i = 0; i < fields->count; i++) {
        if (fields->columns[i].strategy == STRATEGY_AS_IS) continue;
        if (!first) buf_add(&sql->text, " OR ");
        add_column_left(sql, &fields->columns[i], fields->bound[i], value_of(sql->arena, alias, fields->bound[i]));
        first = false;
    }
    buf_add(&sql->text, first ? "false)" : ")");
}

static struct pg_fields fields_of(const struct pg_bound *bound) {
    return (struct pg_fields){.columns = bound->target->columns, .bound = bound->columns, .count = bound->target->n_columns};
}

static void add_unmarked(struct pg_sql *sql, const char *alias, const struct pg_column *marker) {
    pg_add_column(sql, alias, marker);
    buf_add(&sql->text, marker->type_oid == OID_BOOL ? " IS NOT TRUE" : " IS NULL");
}

void pg_add_not_done(struct pg_sql *sql, const struct pg_bound *bound) {
    struct pg_fields fields = fields_of(bound);
    if (bound->marker) add_unmarked(sql, "t", bound->marker);
    else pg_add_fields_left(sql, &fields, "t");
}

/* ---- what became of a change: a trigger may have written values back ---- */

/* The last column of RETURNING: is something left to do with the row as it is now? */
static void add_still_left(struct pg_sql *sql, const struct pg_fields *fields, const char *alias, const struct pg_column *marker) {
    pg_add_fields_left(sql, fields, alias);
    if (!marker) return;
    buf_add(&sql->text, " OR ");
    add_unmarked(sql, alias, marker);
}

/* Such rows would be changed again and again, and the journal would say of each time that they are anonymous now. */
static int check_kept(const PGresult *result, const struct pg_table *table, struct err *err) {
    for (int row = 0; row < PQntuples(result); row++)
        if (pg_value_is_true(result, row, PQnfields(result) - 1))
            return err_set(err, ERR_REFUSED, "table \"%s\" does not keep its rows as they were anonymized (a trigger?); nothing was changed",
                           table->name);
    return 0;
}

/* ---- values that are changed here ---- */

/* Rows with the old and the new text of each such column, as arrays for unnest. */
struct change {
    struct arena *arena;
    const struct pg_fields *fields;
    const unsigned char *key;
    struct buf *ids[2];           /* ctids; tableoids for a dependent */
    struct buf *old_values, *new_values; /* by field */
    size_t n_rows;
};

static struct buf *new_array(struct arena *arena) {
    struct buf *array = ARENA_NEW(arena, struct buf);
    array->maximum = (size_t)256 << 20;
    buf_add_char(array, '{');
    return array;
}

static void open_change(struct change *change) {
    change->ids[0] = new_array(change->arena);
    change->ids[1] = new_array(change->arena);
    change->old_values = ARENA_ARRAY(change->arena, struct buf, change->fields->count);
    change->new_values = ARENA_ARRAY(change->arena, struct buf, change->fields->count);
    for (size_t i = 0; i < change->fields->count; i++) {
        buf_add_char(&change->old_values[i], '{');
        buf_add_char(&change->new_values[i], '{');
    }
}

static void close_change(struct change *change) {
    for (size_t i = 0; change->old_values && i < change->fields->count; i++) {
        buf_free(&change->old_values[i]);
        buf_free(&change->new_values[i]);
    }
    for (size_t i = 0; i < 2; i++)
        if (change->ids[i]) buf_free(change->ids[i]);
}

/* What fits into the column: a pseudonym is cut, NULL becomes "" where the column must not be NULL. */
static const char *fitted(struct arena *arena, const struct column *column, const struct pg_column *bound, const char *value) {
    if (!value) return bound->not_null ? "" : NULL;
    if (column->strategy == STRATEGY_PSEUDONYMIZE && bound->length > 0 && (size_t)bound->length < strlen(value))
        return arena_strndup(arena, value, (size_t)bound->length);
    return value;
}

/* From column 2 of the result on: the old values of the fields that are changed here. */
static void add_rows(struct change *change, const PGresult *result) {
    struct arena *scratch __attribute__((cleanup(pg_arena_free))) = arena_new();
    for (int row = 0; row < PQntuples(result); row++) {
        int at = 2;
        pg_add_array_item(change->ids[0], PQgetvalue(result, row, 0));
        pg_add_array_item(change->ids[1], PQgetvalue(result, row, 1));
        for (size_t i = 0; i < change->fields->count; i++) {
            const struct column *column = &change->fields->columns[i];
            if (in_database(column, change->fields->bound[i])) continue;
            const char *old = PQgetisnull(result, row, at) ? NULL : PQgetvalue(result, row, at);
            at++;
            pg_add_array_item(&change->old_values[i], old);
            pg_add_array_item(&change->new_values[i],
                              fitted(scratch, column, change->fields->bound[i], strategy_apply(scratch, column, change->key, old)));
        }
        change->n_rows++;
        arena_clear(scratch);
    }
}

static void add_old_columns(struct pg_sql *sql, const struct pg_fields *fields, const char *alias) {
    for (size_t i = 0; i < fields->count; i++) {
        if (in_database(&fields->columns[i], fields->bound[i])) continue;
        buf_add(&sql->text, ", ");
        pg_add_column(sql, alias, fields->bound[i]);
        buf_add(&sql->text, "::text");
    }
}

static void add_array(struct pg_sql *sql, struct buf *array, const char *type) {
    buf_add_char(array, '}');
    pg_add_parameter(sql, buf_text(array), type);
}

/* "unnest(…) AS c(a, b, o0, n0, …)". */
static void add_values(struct pg_sql *sql, struct change *change) {
    PG_SQL names = {.arena = sql->arena};
    buf_add(&sql->text, "unnest(");
    add_array(sql, change->ids[0], "oid[]");
    buf_add(&sql->text, ", ");
    add_array(sql, change->ids[1], "tid[]");
    for (size_t i = 0; i < change->fields->count; i++) {
        if (in_database(&change->fields->columns[i], change->fields->bound[i])) continue;
        buf_add(&sql->text, ", ");
        add_array(sql, &change->old_values[i], "text[]");
        buf_add(&sql->text, ", ");
        add_array(sql, &change->new_values[i], "text[]");
        buf_printf(&names.text, ", o%zu, n%zu", i, i);
    }
    buf_printf(&sql->text, ") AS c(a, b%s)", buf_text(&names.text));
}

/* "column = value, …" of everything that changes, the marker included. */
static void add_sets(struct pg_sql *sql, const struct pg_fields *fields, const char *alias, const struct pg_column *marker) {
    const char *comma = "";
    for (size_t i = 0; i < fields->count; i++) {
        const struct pg_column *bound = fields->bound[i];
        if (fields->columns[i].strategy == STRATEGY_AS_IS) continue;
        buf_printf(&sql->text, "%s%s = ", comma, bound->quoted);
        if (in_database(&fields->columns[i], bound)) add_new_value(sql, &fields->columns[i], bound, value_of(sql->arena, alias, bound));
        else buf_printf(&sql->text, "c.n%zu::%s", i, bound->type);
        comma = ", ";
    }
    if (!marker) return;
    const char *now = marker->type_oid == OID_BOOL            ? "true"
                      : marker->time == PG_TIME_INTEGER ? "extract(epoch FROM now())"
                                                        : "now()";
    buf_printf(&sql->text, "%s%s = %s::%s", comma, marker->quoted, now, marker->type);
}

/* " AND old values are still there". */
static void add_unchanged(struct pg_sql *sql, const struct pg_fields *fields, const char *alias) {
    for (size_t i = 0; i < fields->count; i++) {
        if (in_database(&fields->columns[i], fields->bound[i])) continue;
        buf_add(&sql->text, " AND ");
        pg_add_column(sql, alias, fields->bound[i]);
        buf_printf(&sql->text, "::text IS NOT DISTINCT FROM c.o%zu", i);
    }
}

/* ---- the target's rows ---- */

static int read_rows(struct pg_store *store, const struct pg_due *due, const char *ctids, struct change *change, struct err *err) {
    PG_SQL sql = {.arena = change->arena};
    PG_RESULT result = NULL;
    buf_add(&sql.text, "SELECT t.tableoid, t.ctid");
    add_old_columns(&sql, change->fields, "t");
    buf_printf(&sql.text, " FROM ONLY %s AS t WHERE t.ctid = ANY(", due->leaf->quoted);
    pg_add_parameter(&sql, ctids, "tid[]");
    buf_add_char(&sql.text, ')');
    if (pg_run(store, &sql, &result, err) < 0) return -1;
    add_rows(change, result);
    return 0;
}

static int write_rows(struct pg_store *store, const struct pg_due *due, struct change *change, const struct scope *scope, const char *returning,
                      PGresult **ret_result, struct err *err) {
    /* Parameters are numbered in the order of writing: sets and values are written first, into the same list. */
    PG_SQL sql = {.arena = change->arena, .binary = true};
    add_sets(&sql, change->fields, "t", due->bound->marker);
    const char *sets = arena_strdup(change->arena, buf_text(&sql.text));
    buf_clear(&sql.text);
    add_values(&sql, change);
    const char *values = arena_strdup(change->arena, buf_text(&sql.text));
    buf_clear(&sql.text);
    pg_add_update(&sql, due, sets, values);
    buf_add(&sql.text, "t.ctid = c.b AND ");
    struct pg_due again = *due;
    again.by_place = true;
    pg_add_scope(&sql, &again, scope);
    buf_add(&sql.text, " AND ");
    pg_add_rest(&sql, &again, pg_blocked_of(due->order));
    add_unchanged(&sql, change->fields, "t");
    buf_printf(&sql.text, "%s, ", returning);
    add_still_left(&sql, change->fields, due->order->target->only ? "z" : "t", due->bound->marker);
    PG_RESULT result = NULL;
    if (pg_run(store, &sql, &result, err) < 0 || check_kept(result, due->bound->table, err) < 0) return -1;
    *ret_result = result;
    result = NULL;
    return 0;
}

int pg_anonymize_rows(struct pg_store *store, const struct pg_due *due, const char *ctids, const struct scope *scope, const char *returning,
                      struct arena *arena, PGresult **ret_result, struct err *err) {
    struct pg_fields fields = fields_of(due->bound);
    struct change change = {.arena = arena, .fields = &fields, .key = store->base.settings.pseudonym_key};
    open_change(&change);
    int result = read_rows(store, due, ctids, &change, err);
    if (result == 0) result = write_rows(store, due, &change, scope, returning, ret_result, err);
    close_change(&change);
    return result;
}

/* ---- rows of a dependent ---- */

static int fields_of_dependent(const struct pg_dependent *dependent, struct arena *arena, struct pg_fields *ret_fields, struct err *err) {
    const struct dependent *conf = dependent->conf;
    const struct pg_column **bound = ARENA_ARRAY(arena, const struct pg_column *, conf->n_columns);
    for (size_t i = 0; i < conf->n_columns; i++) {
        for (size_t j = 0; j < dependent->table->n_columns && !bound[i]; j++)
            if (!strcmp(dependent->table->columns[j].name, conf->columns[i].path)) bound[i] = &dependent->table->columns[j];
        if (!bound[i])
            return err_set(err, ERR_CONFIG, "table \"%s\" does not fit the schedule; lapsectl check says why", dependent->table->name);
    }
    *ret_fields = (struct pg_fields){.columns = conf->columns, .bound = bound, .count = conf->n_columns};
    return 0;
}

enum pg_fate pg_fate_of(const struct order *order, const struct pg_dependent *dependent) {
    if (order->action == ACTION_PURGE) return dependent->own_target ? PG_LEFT_ALONE : PG_PURGED;
    switch (dependent->conf->when_anonymized) {
    case WHEN_ANONYMIZED_PURGE: return dependent->own_target ? PG_LEFT_ALONE : PG_PURGED; /* its own rule takes it, not earlier */
    case WHEN_ANONYMIZED_COLUMNS: return PG_CHANGED;
    case WHEN_ANONYMIZED_UNSET:
    case WHEN_ANONYMIZED_AS_IS: break;
    }
    return PG_LEFT_ALONE;
}

static bool has_fate(const struct pg_due *due, const struct pg_table *table, enum pg_fate fate) {
    for (size_t i = 0; i < due->bound->n_dependents; i++)
        if (due->bound->dependents[i].table == table && pg_fate_of(due->order, &due->bound->dependents[i]) == fate) return true;
    return false;
}

bool pg_hangs_on_changed(const struct pg_due *due, const struct pg_dependent *dependent) {
    for (size_t i = 1; i < dependent->n_path && i <= dependent->tree; i++)
        if (has_fate(due, dependent->path[i].child, PG_CHANGED)) return true;
    return false;
}

void pg_add_locks(struct pg_sql *sql, const struct pg_due *due, const struct pg_dependent *dependent, bool itself) {
    const char *before = " FOR UPDATE OF ";
    for (size_t i = itself ? 0 : 1; i < dependent->n_path && i <= dependent->tree; i++) { /* above a tree there is no alias */
        const struct pg_table *table = dependent->path[i].child;
        if (i && !has_fate(due, table, PG_PURGED) && !has_fate(due, table, PG_CHANGED)) continue;
        buf_printf(&sql->text, "%sd%zu", before, i);
        before = ", ";
    }
}

int pg_add_dependent_due(struct pg_sql *sql, const struct pg_dependent *dependent, enum pg_fate fate, struct err *err) {
    struct pg_fields fields;
    if (fate != PG_CHANGED) return 0;
    if (fields_of_dependent(dependent, sql->arena, &fields, err) < 0) return -1;
    buf_add(&sql->text, " AND ");
    pg_add_fields_left(sql, &fields, "d0");
    return 0;
}

static int read_dependents(struct pg_store *store, const struct pg_due *due, const struct pg_dependent *dependent, const char *ctids,
                           size_t limit, struct change *change, struct err *err) {
    PG_SQL sql = {.arena = change->arena};
    PG_SQL columns = {.arena = change->arena};
    PG_RESULT result = NULL;
    const char *target = arena_printf(change->arena, "ONLY %s AS t", due->leaf->quoted);
    buf_add(&columns.text, "d0.tableoid, d0.ctid");
    add_old_columns(&columns, change->fields, "d0");
    *ARENA_APPEND(sql.arena, sql.parameters, sql.n_parameters) = ctids;
    pg_add_dependents(&sql, dependent, buf_text(&columns.text), target, "t.ctid = ANY($1::tid[])");
    if (pg_add_dependent_due(&sql, dependent, PG_CHANGED, err) < 0) return -1;
    buf_printf(&sql.text, " LIMIT %zu", limit);
    pg_add_locks(&sql, due, dependent, true);
    if (pg_run(store, &sql, &result, err) < 0) return -1;
    add_rows(change, result);
    return 0;
}

static int write_dependents(struct pg_store *store, const struct pg_dependent *dependent, struct change *change, PGresult **ret_result,
                            struct err *err) {
    PG_SQL sql = {.arena = change->arena, .binary = true};
    PG_RESULT result = NULL;
    buf_printf(&sql.text, "UPDATE %s AS d0 SET ", dependent->table->quoted);
    add_sets(&sql, change->fields, "d0", NULL);
    buf_add(&sql.text, " FROM ");
    add_values(&sql, change);
    buf_add(&sql.text, " WHERE d0.tableoid = c.a AND d0.ctid = c.b");
    add_unchanged(&sql, change->fields, "d0");
    buf_add(&sql.text, " RETURNING d0.tableoid");
    pg_add_key(&sql, dependent->table, "d0");
    buf_add(&sql.text, ", ");
    add_still_left(&sql, change->fields, "d0", NULL);
    if (pg_run(store, &sql, &result, err) < 0 || check_kept(result, dependent->table, err) < 0) return -1;
    *ret_result = result;
    result = NULL;
    return 0;
}

/* Then there is nothing to do, and the role may not even lock them. */
static bool all_stay(const struct pg_fields *fields) {
    for (size_t i = 0; i < fields->count; i++)
        if (fields->columns[i].strategy != STRATEGY_AS_IS) return false;
    return true;
}

int pg_anonymize_dependent(struct pg_store *store, const struct pg_due *due, const struct pg_dependent *dependent, const char *ctids,
                           size_t limit, struct arena *arena, PGresult **ret_result, struct err *err) {
    struct pg_fields fields;
    if (fields_of_dependent(dependent, arena, &fields, err) < 0) return -1;
    *ret_result = NULL;
    if (all_stay(&fields)) return 0;
    struct change change = {.arena = arena, .fields = &fields, .key = store->base.settings.pseudonym_key};
    open_change(&change);
    int result = read_dependents(store, due, dependent, ctids, limit, &change, err);
    if (result == 0 && change.n_rows) result = write_dependents(store, dependent, &change, ret_result, err);
    close_change(&change);
    return result;
}
