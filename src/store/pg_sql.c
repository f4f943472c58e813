/* Statements under construction, and tenants as parameters. */
#include "store/pg_compile.h"

#include "base/time.h"
#include "store/pg_value.h"
#include "store/spelling.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- statements ---- */

void pg_sql_free(struct pg_sql *sql) { buf_free(&sql->text); }

void pg_sql_clear(struct pg_sql *sql) {
    buf_clear(&sql->text);
    sql->n_parameters = 0;
}

size_t pg_add_value(struct pg_sql *sql, const char *value) {
    *ARENA_APPEND(sql->arena, sql->parameters, sql->n_parameters) = value;
    return sql->n_parameters;
}

void pg_add_parameter(struct pg_sql *sql, const char *value, const char *type) {
    buf_printf(&sql->text, "$%zu::%s", pg_add_value(sql, value), type);
}

int pg_run(struct pg_store *store, const struct pg_sql *sql, PGresult **ret_result, struct err *err) {
    if (sql->text.overflow) return err_set(err, ERR_BUG, "a statement grew too long");
    return (sql->binary ? pg_query_binary : pg_query)(store, buf_text(&sql->text), (int)sql->n_parameters, sql->parameters, ret_result, err);
}

void pg_add_column(struct pg_sql *sql, const char *alias, const struct pg_column *column) {
    buf_printf(&sql->text, "%s.%s", alias, column->quoted);
}

void pg_add_at(struct pg_sql *sql, const char *alias, const char *place) {
    buf_printf(&sql->text, "%s.ctid = %s AND %s.ctid >= %s AND %s.ctid <= %s", alias, place, alias, place, alias, place);
}

/* ---- tenants ---- */

enum { OID_INT8 = 20, OID_INT2 = 21, OID_INT4 = 23, OID_TEXT = 25, OID_BPCHAR = 1042, OID_VARCHAR = 1043, OID_NUMERIC = 1700, OID_UUID = 2950 };

struct pg_tenant_type pg_tenant_type(Oid oid) {
    switch (oid) {
    case OID_INT2: return (struct pg_tenant_type){.oid = oid, .element = "smallint"};
    case OID_INT4: return (struct pg_tenant_type){.oid = oid, .element = "integer"};
    case OID_INT8: return (struct pg_tenant_type){.oid = oid, .element = "bigint"};
    case OID_UUID: return (struct pg_tenant_type){.oid = oid, .element = "uuid"};
    case OID_BPCHAR: return (struct pg_tenant_type){.oid = oid, .element = "bpchar"};
    case OID_TEXT:
    case OID_VARCHAR: return (struct pg_tenant_type){.oid = oid, .element = "text"};
    default: return (struct pg_tenant_type){.oid = oid, .element = "text", .as_text = true};
    }
}

/* The number as the server would write it, within the type's range. */
static bool is_canonical_integer(const char *id, int64_t least, int64_t most) {
    char again[24];
    char *end;
    if (strlen(id) >= sizeof again) return false;
    long long number = strtoll(id, &end, 10);
    (void)snprintf(again, sizeof again, "%lld", number);
    return !*end && !strcmp(again, id) && number >= least && number <= most;
}

static bool is_canonical_uuid(const char *id) {
    if (strlen(id) != 36) return false;
    for (size_t i = 0; i < 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? id[i] != '-' : !strchr("0123456789abcdef", id[i])) return false;
    }
    return true;
}

bool pg_tenant_fits(const struct pg_tenant_type *type, const char *id) {
    switch (type->oid) {
    case OID_INT2: return is_canonical_integer(id, INT16_MIN, INT16_MAX);
    case OID_INT4: return is_canonical_integer(id, INT32_MIN, INT32_MAX);
    case OID_INT8: return is_canonical_integer(id, INT64_MIN, INT64_MAX);
    case OID_UUID: return is_canonical_uuid(id);
    case OID_BPCHAR: return text_is_utf8(id, strlen(id)) && *id && id[strlen(id) - 1] != ' ';
    default: return text_is_utf8(id, strlen(id));
    }
}

/* Blanks at the end of a character(n) are none of its value. */
static const char *without_blanks(struct arena *arena, const char *id) {
    size_t length = strlen(id);
    while (length && id[length - 1] == ' ') length--;
    return id[length] ? arena_strndup(arena, id, length) : id;
}

const char *pg_tenant_spelling(const void *column, struct arena *arena, const char *id) {
    const struct pg_tenant_type *type = column;
    const char *text = id;
    switch (type->oid) {
    case OID_INT2:
    case OID_INT4:
    case OID_INT8:
    case OID_NUMERIC: text = spelling_of_integer(arena, id); break;
    case OID_UUID: text = spelling_of_uuid(arena, id); break;
    case OID_BPCHAR: text = without_blanks(arena, id); break;
    default: break;
    }
    return text && pg_tenant_fits(type, text) ? text : NULL;
}

static int by_cutoff(const void *a, const void *b) {
    const struct scope_tenant *x = a, *y = b;
    if (x->cutoff_us != y->cutoff_us) return x->cutoff_us < y->cutoff_us ? -1 : 1;
    return strcmp(x->id, y->id);
}

const struct pg_group *pg_groups(struct arena *arena, const struct pg_tenant_type *type, const struct scope_tenant *tenants,
                                 size_t n_tenants, size_t *ret_count) {
    struct scope_tenant *sorted = ARENA_ARRAY(arena, struct scope_tenant, n_tenants);
    size_t count = 0, n_groups = 0;
    for (size_t i = 0; i < n_tenants; i++)
        if (tenants[i].cutoff_us != TIME_NEVER && pg_tenant_fits(type, tenants[i].id)) sorted[count++] = tenants[i];
    qsort(sorted, count, sizeof *sorted, by_cutoff);
    struct pg_group *groups = NULL;
    struct buf array __attribute__((cleanup(buf_free))) = {0};
    for (size_t from = 0, to; from < count; from = to) {
        buf_clear(&array);
        buf_add_char(&array, '{');
        for (to = from; to < count && sorted[to].cutoff_us == sorted[from].cutoff_us; to++) pg_add_array_item(&array, sorted[to].id);
        buf_add_char(&array, '}');
        *ARENA_APPEND(arena, groups, n_groups) =
            (struct pg_group){.cutoff_us = sorted[from].cutoff_us, .ids = arena_strdup(arena, buf_text(&array)), .count = to - from};
    }
    *ret_count = n_groups;
    return groups;
}

void pg_add_key(struct pg_sql *sql, const struct pg_table *table, const char *alias) {
    for (size_t i = 0; i < table->n_key; i++) {
        buf_add(&sql->text, ", ");
        pg_add_column(sql, alias, &table->columns[table->key[i]]);
        if (!pg_value_is_plain(table->columns[table->key[i]].type_oid)) buf_add(&sql->text, "::text");
    }
}
