/* How others fare while we destroy: what the throttle asks for. Each answer is one look at the server's own statistics. */
#include "store/pg_internal.h"

#include <stdlib.h>
#include <string.h>

/* What a role that may not read them is shown of others' statistics is NULL. A standby that has caught up shows no lag.
 * Vacuum's own snapshots are in nobody's way. */
static const char statistics[] =
    "WITH may AS (SELECT pg_has_role('pg_read_all_stats', 'USAGE') AS yes)"
    " SELECT (SELECT CASE WHEN count(*) = 0 THEN -1 WHEN NOT may.yes THEN -2"
    " ELSE coalesce((extract(epoch FROM max(replay_lag)) * 1000000)::bigint, 0) END FROM pg_stat_replication),"
    " CASE WHEN may.yes THEN coalesce((SELECT (extract(epoch FROM clock_timestamp() - min(began)) * 1000000)::bigint FROM ("
    "SELECT xact_start AS began FROM pg_stat_activity WHERE (backend_xid IS NOT NULL OR backend_xmin IS NOT NULL)"
    " AND backend_type <> 'autovacuum worker' AND usename IS DISTINCT FROM current_user"
    " UNION ALL SELECT prepared FROM pg_prepared_xacts) AS s), 0) ELSE -2 END,"
    " (SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted) FROM may";

static int64_t measured(const PGresult *result, int column) {
    int64_t value = strtoll(PQgetvalue(result, 0, column), NULL, 10);
    return value < PRESSURE_UNREADABLE ? 0 : value; /* the clock was put back */
}

static int ask_query(struct pg_store *store, const char *query, bool *ret_wait, struct err *err) {
    enum { OID_BOOL = 16 };
    struct buf sql __attribute__((cleanup(buf_free))) = {0};
    buf_printf(&sql, "SELECT * FROM (%s\n) AS q LIMIT 2", query);
    PG_RESULT result = NULL;
    if (pg_query(store, buf_text(&sql), 0, NULL, &result, err) < 0) {
        if (err->code == ERR_REFUSED) err->code = ERR_CONFIG;
        return err_within(err, "the throttle's query");
    }
    if (PQntuples(result) != 1 || PQnfields(result) != 1 || PQftype(result, 0) != OID_BOOL || PQgetisnull(result, 0, 0))
        return err_set(err, ERR_CONFIG, "the throttle's query must give one row of one boolean: true where a sweep should wait");
    *ret_wait = *PQgetvalue(result, 0, 0) == 't';
    return 0;
}

int pg_pressure(struct store *base, const char *query, struct pressure *ret_pressure, struct err *err) {
    struct pg_store *store = (struct pg_store *)(void *)base;
    struct pressure pressure = {0};
    PG_RESULT result = NULL;
    if (pg_begin_with(store, "SET TRANSACTION READ ONLY;", err) < 0) return -1;
    int failed = pg_query(store, statistics, 0, NULL, &result, err);
    if (!failed && query) failed = ask_query(store, query, &pressure.query_says_wait, err);
    struct err ignored;
    if (pg_rollback(store, failed ? &ignored : err) < 0 || failed) return -1;
    pressure.replica_lag_us = measured(result, 0);
    pressure.snapshot_age_us = measured(result, 1);
    pressure.lock_waits = measured(result, 2);
    *ret_pressure = pressure;
    return 0;
}
