/* The tenants query: wrapped, never changed; all of it is streamed. */
#include "store/pg_compile.h"
#include "store/pg_internal.h"

#include "base/time.h"

#include <stdlib.h>
#include <string.h>

/* What the query's columns are, and where in the lines we ask for. */
struct shape {
    const struct tenants_conf *conf;
    struct pg_tenant_type tenant;
    bool has_parent;
};

struct reading {
    struct pg_store *store;
    const struct shape *shape;
    tenant_sink *sink;
    void *context;
};

enum { OID_TIMESTAMPTZ = 1184, OID_TIMESTAMP = 1114, OID_DATE = 1082 };

static int check_end(const char *name, Oid type, struct err *err) {
    if (type == OID_TIMESTAMPTZ) return 0;
    const char *remedy = type == OID_TIMESTAMP ? "write COLUMN AT TIME ZONE 'UTC' (or its zone) AS"
                         : type == OID_DATE    ? "a date is over at its end: write (COLUMN + 1)::timestamp AT TIME ZONE 'UTC' (or its zone) AS"
                                               : "convert it: … AS";
    return err_set(err, ERR_CONFIG, "the end \"%s\" of the tenants query is no timestamp with time zone; %s %s", name, remedy, name);
}

/* Asks the server for the query's columns and types; no row is read. */
static int describe(struct pg_store *store, const struct tenants_conf *conf, struct shape *ret_shape, struct err *err) {
    struct buf sql __attribute__((cleanup(buf_free))) = {0};
    buf_printf(&sql, "SELECT * FROM (%s\n) AS q LIMIT 0", conf->query);
    PG_RESULT result = NULL;
    if (pg_query(store, buf_text(&sql), 0, NULL, &result, err) < 0) {
        if (err->code == ERR_REFUSED) err->code = ERR_CONFIG;
        return err_within(err, "the tenants query");
    }
    int tenant = PQfnumber(result, "tenant");
    if (tenant < 0) return err_set(err, ERR_CONFIG, "the tenants query returns no column \"tenant\"; write … AS tenant");
    for (size_t i = 0; i < conf->n_ends; i++) {
        struct buf name __attribute__((cleanup(buf_free))) = {0};
        buf_printf(&name, "\"%s\"", conf->ends[i]);
        int column = PQfnumber(result, buf_text(&name));
        if (column < 0)
            return err_set(err, ERR_CONFIG, "the tenants query returns no column \"%s\", which ends names; write … AS %s", conf->ends[i],
                           conf->ends[i]);
        if (check_end(conf->ends[i], PQftype(result, column), err) < 0) return -1;
    }
    for (size_t i = 0; i < conf->n_period_columns; i++) {
        struct buf name __attribute__((cleanup(buf_free))) = {0};
        buf_printf(&name, "\"%s\"", conf->period_columns[i]);
        if (PQfnumber(result, buf_text(&name)) < 0)
            return err_set(err, ERR_CONFIG, "the tenants query returns no column \"%s\", which per_tenant names; write … AS %s",
                           conf->period_columns[i], conf->period_columns[i]);
    }
    *ret_shape = (struct shape){
        .conf = conf, .tenant = pg_tenant_type(PQftype(result, tenant)), .has_parent = PQfnumber(result, "parent") >= 0};
    return 0;
}

/* One line's columns: tenant, parent, the ends in microseconds ("running": never, "bad": not readable), the periods. */
static int build(const struct shape *shape, bool some, struct arena *arena, struct buf *sql, struct err *err) {
    const struct tenants_conf *conf = shape->conf;
    buf_printf(sql, "SELECT q.tenant::text, %s", shape->has_parent ? "q.parent::text" : "NULL");
    for (size_t i = 0; i < conf->n_ends + conf->n_period_columns; i++) {
        const char *name = i < conf->n_ends ? conf->ends[i] : conf->period_columns[i - conf->n_ends];
        const char *quoted = pg_quote(arena, name);
        if (!quoted) return err_set(err, ERR_CONFIG, "a column of the tenants query has an empty name");
        if (i < conf->n_ends)
            buf_printf(sql, ", CASE WHEN q.%s >= '9000-01-01Z' THEN 'running' WHEN q.%s < '0001-01-01Z' THEN 'bad'"
                            " ELSE (extract(epoch FROM q.%s) * 1000000)::bigint::text END", quoted, quoted, quoted);
        else
            buf_printf(sql, ", q.%s::text", quoted);
    }
    buf_printf(sql, " FROM (%s\n) AS q", conf->query);
    if (some) buf_printf(sql, " WHERE q.tenant%s = ANY($1::%s[])", shape->tenant.as_text ? "::text" : "", shape->tenant.element);
    return 0;
}

static const char *value(const PGresult *rows, int row, size_t column) {
    return PQgetisnull(rows, row, (int)column) ? NULL : PQgetvalue(rows, row, (int)column);
}

static int read_line(void *context, const PGresult *lines, int line, struct err *err) {
    const struct reading *reading = context;
    const struct tenants_conf *conf = reading->shape->conf;
    struct tenant_row row = {.id = value(lines, line, 0), .parent = value(lines, line, 1)};
    if (!row.id || !*row.id)
        return err_set(err, ERR_REFUSED, "the tenants query returned a line with an empty tenant; leave such lines out with WHERE");
    if (row.parent && !*row.parent) row.parent = NULL;
    for (size_t i = 0; i < conf->n_ends; i++) {
        const char *end = value(lines, line, 2 + i);
        row.bad_ends[i] = end && !strcmp(end, "bad");
        row.ends[i] = !end || row.bad_ends[i] || !strcmp(end, "running") ? TIME_FOREVER : strtoll(end, NULL, 10);
    }
    for (size_t i = 0; i < conf->n_period_columns; i++) row.periods[i] = value(lines, line, 2 + conf->n_ends + i);
    return reading->sink(reading->context, &row, err);
}

/* Those of a batch: few. */
static int read_some(struct reading *reading, const char *sql, const char *const *ids, size_t n_ids, struct err *err) {
    struct buf array __attribute__((cleanup(buf_free))) = {0};
    PG_RESULT lines = NULL;
    buf_add_char(&array, '{');
    for (size_t i = 0; i < n_ids; i++)
        if (pg_tenant_fits(&reading->shape->tenant, ids[i])) pg_add_array_item(&array, ids[i]);
    buf_add_char(&array, '}');
    const char *const parameters[] = {buf_text(&array)};
    if (pg_query(reading->store, sql, 1, parameters, &lines, err) < 0) return -1;
    for (int line = 0; line < PQntuples(lines); line++)
        if (read_line(reading, lines, line, err) < 0) return -1;
    return 0;
}

static int read_tenants(struct pg_store *store, const char *const *ids, size_t n_ids, tenant_sink *sink, void *context, struct err *err) {
    struct arena *arena __attribute__((cleanup(pg_arena_free))) = arena_new();
    struct buf sql __attribute__((cleanup(buf_free))) = {0};
    struct shape shape;
    if (describe(store, &store->base.settings.schedule->tenants, &shape, err) < 0) return -1;
    if (build(&shape, n_ids > 0, arena, &sql, err) < 0) return -1;
    struct reading reading = {.store = store, .shape = &shape, .sink = sink, .context = context};
    return n_ids ? read_some(&reading, buf_text(&sql), ids, n_ids, err) : pg_stream(store, buf_text(&sql), read_line, &reading, err);
}

int pg_tenants(struct store *base, const char *const *ids, size_t n_ids, tenant_sink *sink, void *context, struct err *err) {
    struct pg_store *store = (struct pg_store *)(void *)base;
    if (pg_begin(store, false, err) < 0) return -1;
    int result = read_tenants(store, ids, n_ids, sink, context, err);
    struct err ignored;
    if (pg_rollback(store, result < 0 ? &ignored : err) < 0) return -1;
    return result;
}
