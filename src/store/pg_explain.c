/* One record, by its key: what the rules see of it. */
#include "store/pg_anonymize.h"
#include "store/pg_bind.h"
#include "store/pg_check.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_KEY_COLUMNS = 32 /* INDEX_MAX_KEYS */, TEXT = 25, BPCHAR = 1042, VARCHAR = 1043, NUMERIC = 1700 };

static void free_json(json_t **json) { json_decref(*json); }

/* One value of a JSON array as the server reads it. */
static const char *json_value(struct arena *arena, const json_t *value) {
    if (json_is_string(value)) return arena_strdup(arena, json_string_value(value));
    if (json_is_integer(value)) return arena_printf(arena, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    return NULL;
}

/* KEY is the value itself, or, for a composite key, a JSON array or values with commas in between. Returns how many; 0:
 * it cannot be read. */
static size_t split_key(struct arena *arena, const char *key, size_t n_columns, const char **values) {
    if (n_columns == 1 && *key != '[') {
        values[0] = key;
        return 1;
    }
    json_error_t where;
    __attribute__((cleanup(free_json))) json_t *json = *key == '[' ? json_loads(key, 0, &where) : NULL;
    size_t count = 0;
    if (json) {
        if (json_array_size(json) > n_columns) return 0;
        for (; count < json_array_size(json); count++)
            if (!(values[count] = json_value(arena, json_array_get(json, count)))) return 0;
        return count;
    }
    for (const char *at = key; count < n_columns; at++) {
        size_t length = strcspn(at, ",");
        values[count++] = arena_strndup(arena, at, length);
        at += length;
        if (!*at) return count;
    }
    return 0;
}

/* The type that a value of the key is read as: never one with a length, which would cut it to fit. */
static const char *key_type(const struct pg_column *column) {
    switch (column->type_oid) {
    case TEXT:
    case VARCHAR: return "text";
    case BPCHAR: return "bpchar";
    case NUMERIC: return "numeric";
    default: return column->type;
    }
}

static void add_key(struct pg_sql *sql, const struct pg_table *table, const char *alias, const char *const *values) {
    for (size_t i = 0; i < table->n_key; i++) {
        const struct pg_column *column = &table->columns[table->key[i]];
        if (i) buf_add(&sql->text, " AND ");
        pg_add_column(sql, alias, column);
        buf_add(&sql->text, " = ");
        pg_add_parameter(sql, values[i], "text");
        buf_printf(&sql->text, "::%s", key_type(column));
    }
}

/* The earliest instant that the value may stand for, in microseconds; NULL where it stands for none. A local time that an
 * autumn night reads twice: PostgreSQL takes the later one, so the hour before is asked as well. */
static void add_anchor(struct pg_sql *sql, const struct pg_column *column, const struct target *target) {
    const char *value = arena_printf(sql->arena, "t.%s", column->quoted), *zone = target->zone ? target->zone : "UTC";
    if (column->time == PG_TIME_INTEGER) {
        int64_t factor = target->unit == UNIT_MILLISECONDS ? 1000 : 1000000;
        buf_printf(&sql->text, "CASE WHEN %s > 0 AND %s::numeric < %" PRId64 " THEN %s::bigint * %" PRId64 " END", value, value,
                   INT64_MAX / factor, value, factor);
        return;
    }
    buf_printf(&sql->text, "CASE WHEN isfinite(%s) THEN (extract(epoch FROM ", value);
    if (column->time == PG_TIME_TIMESTAMPTZ) {
        buf_add(&sql->text, value);
    } else {
        const char *local = column->time == PG_TIME_DATE ? arena_printf(sql->arena, "(%s + 1)::timestamp", value) : value;
        buf_printf(&sql->text, "least(%s AT TIME ZONE ", local);
        pg_add_parameter(sql, zone, "text");
        buf_printf(&sql->text, ", (%s - interval '1 hour') AT TIME ZONE ", local);
        pg_add_parameter(sql, zone, "text");
        buf_add(&sql->text, " + interval '1 hour')");
    }
    buf_add(&sql->text, ") * 1000000)::bigint END");
}

static void add_tenant(struct pg_sql *sql, const struct pg_bound *bound) {
    if (!bound->tenant) buf_add(&sql->text, "NULL");
    else if (!bound->n_via) buf_printf(&sql->text, "nullif(t.%s::text, '')", bound->tenant->quoted);
    else buf_printf(&sql->text, "(SELECT nullif(v%zu.%s::text, '') %s)", bound->n_via, bound->tenant->quoted, pg_via_chain(sql->arena, bound));
}

/* The user's condition is read where none of our names can be seen. */
static void add_only(struct pg_sql *sql, const struct pg_bound *bound, const char *const *values) {
    if (!bound->target->only) {
        buf_add(&sql->text, "true");
        return;
    }
    buf_printf(&sql->text,
               "EXISTS (SELECT FROM (SELECT ctid, tableoid, * FROM %s AS %s WHERE (%s\n)) AS o WHERE (o.tableoid, o.ctid) = (t.tableoid, "
               "t.ctid) AND ",
               bound->table->quoted, pg_quote(sql->arena, bound->table->name), bound->target->only);
    add_key(sql, bound->table, "o", values);
    buf_add_char(&sql->text, ')');
}

/* The name of the first table that still refers to the record, blockers before dependents that are targets themselves. */
static void add_blocked_by(struct pg_sql *sql, const struct pg_due *due) {
    const struct pg_bound *bound = due->bound;
    buf_add(&sql->text, "CASE");
    for (size_t i = 0; i < bound->n_blockers; i++) {
        buf_add(&sql->text, " WHEN ");
        pg_add_blocker(sql, due, &bound->blockers[i]);
        buf_add(&sql->text, " THEN ");
        pg_add_parameter(sql, bound->blockers[i].link.child->name, "text");
    }
    for (size_t i = 0; i < bound->n_dependents; i++) {
        if (!bound->dependents[i].own_target) continue;
        buf_add(&sql->text, " WHEN ");
        pg_add_dependent_left(sql, due, &bound->dependents[i]);
        buf_add(&sql->text, " THEN ");
        pg_add_parameter(sql, bound->dependents[i].table->name, "text");
    }
    buf_add(&sql->text, " WHEN false THEN '' END");
}

/* Columns: tenant, only, done, blocked by, then the anchors: since, and the ends in their order. */
static void compile(struct pg_sql *sql, const struct pg_bound *bound, const char *const *values) {
    const struct target *target = bound->target;
    struct pg_due due = {.bound = bound, .leaf = bound->table, .zone = target->zone};
    buf_add(&sql->text, "SELECT ");
    add_tenant(sql, bound);
    buf_add(&sql->text, ", ");
    add_only(sql, bound, values);
    buf_add(&sql->text, ", ");
    if (pg_rule_anonymizes(target->rule)) {
        buf_add(&sql->text, "NOT coalesce(");
        pg_add_not_done(sql, bound);
        buf_add(&sql->text, ", false), ");
    } else {
        buf_add(&sql->text, "false, ");
    }
    add_blocked_by(sql, &due);
    for (size_t i = 0; i <= target->n_ends; i++) {
        const struct pg_column *column = i ? bound->ends[i - 1] : bound->since;
        buf_add(&sql->text, ", ");
        if (column) add_anchor(sql, column, target);
        else buf_add(&sql->text, "NULL");
    }
    buf_printf(&sql->text, " FROM %s AS t WHERE ", bound->table->quoted);
    add_key(sql, bound->table, "t", values);
}

static const char *optional(struct arena *arena, const PGresult *result, int column) {
    return PQgetisnull(result, 0, column) ? NULL : arena_strdup(arena, PQgetvalue(result, 0, column));
}

static void read_facts(const PGresult *result, const struct target *target, struct arena *arena, struct record_facts *facts) {
    enum { TENANT, ONLY, DONE, BLOCKED_BY, FIRST_ANCHOR };
    facts->exists = true;
    facts->tenant = optional(arena, result, TENANT);
    facts->only_holds = pg_cell_true(result, 0, ONLY);
    facts->anonymized = pg_cell_true(result, 0, DONE);
    facts->blocked_by = optional(arena, result, BLOCKED_BY);
    for (size_t i = 0; i <= target->n_ends; i++) {
        int column = FIRST_ANCHOR + (int)i;
        facts->anchor_ok[i] = !PQgetisnull(result, 0, column);
        if (facts->anchor_ok[i]) facts->anchor_us[i] = strtoll(PQgetvalue(result, 0, column), NULL, 10);
    }
}

/* A value that is none of the key's type is the caller's mistake; which one is told without repeating it. */
static int explain_refusal(const struct pg_table *table, struct err *err) {
    if (err->code != ERR_REFUSED || strncmp(err->detail, "22", 2) != 0) return -1;
    char detail[sizeof err->detail], text[400] = "";
    (void)text_copy(detail, sizeof detail, err->detail);
    for (size_t i = 0; i < table->n_key; i++) {
        const struct pg_column *column = &table->columns[table->key[i]];
        size_t length = strlen(text);
        (void)snprintf(text + length, sizeof text - length, "%s\"%s\" (%s)", i ? ", " : "", column->name, column->type);
    }
    (void)err_set(err, ERR_USAGE, "the key of table \"%s\" is %s; the given one is not of that type", table->name, text);
    (void)text_copy(err->detail, sizeof err->detail, detail);
    return -1;
}

int pg_explain(struct store *base, const struct target *target, const char *key, struct arena *arena, struct record_facts *ret_facts,
               struct err *err) {
    struct pg_store *store = (struct pg_store *)(void *)base;
    const struct pg_bound *bound = pg_bound_of(store, target);
    if (!bound || !bound->table || bound->bad)
        return err_set(err, ERR_CONFIG, "table \"%s\" does not fit the schedule; lapsectl check says why", target->name);
    const struct pg_table *table = bound->table;
    if (!table->n_key || table->n_key > MOST_KEY_COLUMNS)
        return err_set(err, ERR_CONFIG, "the records of table \"%s\" have no key (key = \"ctid\"), so that none can be named", target->name);
    const char *values[MOST_KEY_COLUMNS];
    if (split_key(arena, key, table->n_key, values) != table->n_key)
        return err_set(err, ERR_USAGE,
                       "the key of table \"%s\" has %zu columns; write their values with commas in between, or as a JSON "
                       "array", target->name, table->n_key);
    PG_SQL sql = {.arena = arena};
    compile(&sql, bound, values);
    PG_RESULT result = NULL;
    if (pg_begin(store, false, err)) return -1;
    bool failed = pg_run(store, &sql, &result, err);
    struct err ignored;
    if (pg_rollback(store, failed ? &ignored : err)) return -1;
    if (failed) return explain_refusal(table, err);
    struct record_facts facts = {0};
    if (PQntuples(result)) read_facts(result, target, arena, &facts);
    *ret_facts = facts;
    return 0;
}
