/* The contract suite against PostgreSQL. */
#include "contract.h"

#include "base/arena.h"
#include "base/time.h"
#include "store/pg.h"

#include <check.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *admin_url;

/* A connection of its own: Check runs every test in a process of its own. */
static PGconn *admin(void) {
    static PGconn *connection;
    if (connection) return connection;
    connection = PQconnectdb(admin_url);
    ck_assert_msg(PQstatus(connection) == CONNECTION_OK, "%s", PQerrorMessage(connection));
    PQclear(PQexec(connection, "SET client_min_messages = warning; SET lock_timeout = '250ms'"));
    return connection;
}

/* The first value of the answer as a number; -1: a lock was in the way. */
static long ask(const char *sql, int n_parameters, const char *const *parameters) {
    PGresult *result = PQexecParams(admin(), sql, n_parameters, NULL, parameters, NULL, NULL, 0);
    ExecStatusType status = PQresultStatus(result);
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    bool locked = state && strcmp(state, "55P03") == 0;
    ck_assert_msg(status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || locked, "%s", PQerrorMessage(admin()));
    long number = locked ? -1 : PQntuples(result) == 1 ? strtol(PQgetvalue(result, 0, 0), NULL, 10) : 0;
    PQclear(result);
    return number;
}

static void reset(void) {
    static const char *const statements[] = {
        "DROP TABLE IF EXISTS contract_records",
        "CREATE TABLE contract_records (id int PRIMARY KEY, tenant text NOT NULL, at timestamptz)",
        "CREATE INDEX ON contract_records (tenant, at)",
        "GRANT SELECT, UPDATE, DELETE ON contract_records TO lapsed",
    };
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) (void)ask(statements[i], 0, NULL);
}

static bool put(int number, const char *tenant, int64_t anchor_us) {
    struct time_text at = time_format(anchor_us);
    char id[16];
    snprintf(id, sizeof id, "%d", number);
    const char *const parameters[] = {id, tenant, anchor_us == ANCHOR_MISSING ? NULL : at.text};
    return ask("INSERT INTO contract_records VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET tenant = excluded.tenant, at = excluded.at", 3, parameters) >= 0;
}

static bool has(int number, const char *tenant) {
    char id[16];
    snprintf(id, sizeof id, "%d", number);
    const char *const parameters[] = {id, tenant};
    return ask("SELECT count(*) FROM contract_records WHERE id = $1 AND tenant = $2", 2, parameters) == 1;
}

static size_t size(void) { return (size_t)ask("SELECT count(*) FROM contract_records", 0, NULL); }

/* Each connection has a process of its own: those of the driver stop, ours goes on. */
static void stall(bool stalled) {
    static pid_t backends[16];
    static int n_backends;
    if (stalled) {
        PGresult *result = PQexec(admin(), "SELECT pid FROM pg_stat_activity WHERE usename = 'lapsed'");
        n_backends = PQntuples(result);
        ck_assert_int_gt(n_backends, 0);
        ck_assert_int_le(n_backends, 16);
        for (int i = 0; i < n_backends; i++) backends[i] = (pid_t)strtol(PQgetvalue(result, i, 0), NULL, 10);
        PQclear(result);
    }
    for (int i = 0; i < n_backends; i++) contract_stall(backends[i], stalled);
}

int main(void) {
    admin_url = contract_variable("LAPSED_TEST_POSTGRESQL_ADMIN");
    const struct fixture fixture = {
        .name = "contract: PostgreSQL",
        .driver = &pg_driver,
        .url = contract_variable("LAPSED_TEST_POSTGRESQL"),
        .password = contract_variable("LAPSED_TEST_PASSWORD"),
        .kind = TARGET_TABLE,
        .target = "contract_records",
        .tenant = "tenant",
        .since = "at",
        .grain_us = 1,
        .settles = true,
        .stall = stall,
        .interrupts_waits = true,
        .reset = reset,
        .put = put,
        .has = has,
        .size = size,
    };
    return contract_run(&fixture) ? EXIT_FAILURE : EXIT_SUCCESS;
}
