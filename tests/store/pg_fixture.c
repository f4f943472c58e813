#include "pg_fixture.h"

#include "leaves.h"

#include "contract.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <string.h>

static PGconn *admin, *other;

static PGconn *connect_admin(void) {
    PGconn *connection = PQconnectdb(contract_variable("LAPSED_TEST_POSTGRESQL_ADMIN"));
    ck_assert_msg(PQstatus(connection) == CONNECTION_OK, "%s", PQerrorMessage(connection));
    PQclear(PQexec(connection, "SET client_min_messages = error"));
    PQclear(PQexec(connection, "SET search_path = acts"));
    PQclear(PQexec(connection, "SET TimeZone = 'UTC'"));
    PQclear(PQexec(connection, "SET lock_timeout = '300ms'"));
    return connection;
}

static PGresult *run(PGconn *connection, const char *sql) {
    PGresult *result = PQexec(connection, sql);
    ck_assert_msg(PQresultStatus(result) == PGRES_COMMAND_OK || PQresultStatus(result) == PGRES_TUPLES_OK, "%s: %s", sql,
                  PQerrorMessage(connection));
    return result;
}

void pg_sql(const char *sql) { PQclear(run(admin, sql)); }

void pg_schema(const char *sql) {
    admin = connect_admin();
    pg_sql("DROP SCHEMA IF EXISTS acts CASCADE; CREATE SCHEMA acts; GRANT ALL ON SCHEMA acts TO lapsed;"
           "CREATE TABLE customers (id bigint PRIMARY KEY, ended_at timestamptz, months text)");
    pg_sql(sql);
    pg_sql("GRANT ALL ON ALL TABLES IN SCHEMA acts TO lapsed");
}

void pg_schema_again(void) { admin = connect_admin(); }

void pg_leave(void) {
    PQfinish(admin);
    admin = NULL;
}

char *pg_text(const char *sql) {
    PGresult *result = run(admin, sql);
    char *text = xstrdup(PQntuples(result) ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    return text;
}

long pg_number(const char *sql) {
    char *text = pg_text(sql);
    long number = strtol(text, NULL, 10);
    free(text);
    return number;
}

const char *pg_elsewhere(const char *sql) {
    static char state[8];
    if (!other) other = connect_admin();
    PGresult *result = PQexec(other, sql);
    const char *said = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    (void)text_copy(state, sizeof state, said ? said : "");
    PQclear(result);
    return state;
}

struct acts acts_open_with(const char *tenants, const char *rules, bool read_only) {
    struct buf text = {0};
    buf_printf(&text, "stores = { main = { url = \"%s%soptions=-csearch_path%%3Dacts\"; }; };\n", contract_variable("LAPSED_TEST_POSTGRESQL"),
               strchr(contract_variable("LAPSED_TEST_POSTGRESQL"), '?') ? "&" : "?");
    buf_printf(&text, "tenants = { store = \"main\"; %s };\nschedule = (%s);\n",
               tenants ? tenants : "ends = [ \"account\" ]; query = \"SELECT id AS tenant, ended_at AS account, months FROM customers\";", rules);
    struct acts acts = {.schedule = schedule_of(buf_text(&text)), .arena = arena_new()};
    buf_free(&text);
    static const unsigned char key[32] = "a key for tests, 32 bytes long.";
    const struct store_settings settings = {.conf = &acts.schedule->stores[0], .schedule = acts.schedule, .read_only = read_only,
                                            .password = contract_variable("LAPSED_TEST_PASSWORD"), .pseudonym_key = key,
                                            .evidence_key = read_only ? NULL : LEAVES_KEY};
    struct err err;
    struct faults faults = {.arena = acts.arena};
    bool bad[16] = {false};
    ck_assert_msg(pg_driver.open(&settings, &acts.store, &err) == 0, "%s", err.text);
    ck_assert_msg(pg_driver.check(acts.store, &faults, bad, &err) == 0, "%s", err.text);
    if (faults.count) faults_print(&faults, stderr);
    ck_assert_uint_eq(faults.count, 0);
    return acts;
}

struct acts acts_open(const char *rules) { return acts_open_with(NULL, rules, false); }

void acts_close(struct acts *acts) {
    pg_driver.close(acts->store);
    schedule_free(acts->schedule);
    arena_free(acts->arena);
    PQfinish(admin);
    PQfinish(other);
    admin = other = NULL;
}

const struct target *acts_target(const struct acts *acts, size_t number) { return acts->schedule->targets[number]; }

struct order order_by_age(const struct target *target, enum action action, const char *cutoff) {
    const struct scope scope = {.kind = target->no_tenant ? SCOPE_WHOLE : SCOPE_REST, .of = target, .anchor = target->since,
                                .anchor_is_since = true, .cutoff_us = at(cutoff)};
    return order_make(target, action, &target->rule->keep[0], scope);
}

struct order order_by_end(struct acts *acts, const struct target *target, enum action action, const char *const *tenants) {
    struct scope_tenant *listed = NULL;
    size_t count = 0;
    for (size_t i = 0; tenants[i]; i++)
        *ARENA_APPEND(acts->arena, listed, count) =
            (struct scope_tenant){.id = tenants[i], .cutoff_us = TIME_FOREVER, .end_us = at("2026-01-01")};
    const struct scope scope = {.kind = SCOPE_LISTED, .of = target, .tenants = listed, .n_tenants = count};
    return order_make(target, action, &target->rule->keep[0], scope);
}

struct tally acts_count(struct acts *acts, const struct order *order) {
    struct err err;
    struct tally tally;
    ck_assert_msg(pg_driver.count(acts->store, &order, 1, acts->arena, &tally, &err) == 0, "%s", err.text);
    return tally;
}

struct tally acts_probe(struct acts *acts, const struct order *order) {
    struct err err;
    struct tally tally;
    ck_assert_msg(pg_driver.probe(acts->store, &order, 1, acts->arena, &tally, &err) == 0, "%s", err.text);
    return tally;
}

struct sum acts_pass(struct acts *acts, const struct order *order, size_t limit) { return acts_pass_portion(acts, order, NULL, limit); }

struct sum acts_pass_portion(struct acts *acts, const struct order *order, const struct portion *portion, size_t limit) {
    struct sum sum = {0};
    struct pass *pass;
    leaves_clear();
    struct err err;
    ck_assert_msg(pg_driver.begin(acts->store, &order, 1, portion, &pass, &err) == 0, "%s", err.text);
    for (;;) {
        const struct batch *batch;
        const struct order *failed = NULL;
        struct outcome outcome;
        ck_assert_msg(pg_driver.prepare(acts->store, pass, limit, acts->arena, &batch, &failed, &err) == 0, "%s", err.text);
        if (!batch) break;
        ck_assert_int_le(batch->records + batch->dependents, (int64_t)limit);
        ck_assert_uint_gt(batch->n_tenants, 0);
        leaves_add(batch);
        ck_assert_msg(pg_driver.finish(acts->store, pass, true, &outcome, &err) == 0, "%s", err.text);
        sum.records += outcome.records;
        sum.dependents += outcome.dependents;
        ck_assert_uint_lt(++sum.batches, 10000);
    }
    pg_driver.end(acts->store, pass);
    return sum;
}

struct sum acts_sweep(struct acts *acts, const struct order *order, size_t limit) {
    struct tally planned = acts_count(acts, order);
    struct sum sum = acts_pass(acts, order, limit);
    ck_assert_int_eq(sum.records, planned.records);
    ck_assert_int_eq(sum.dependents, planned.dependents);
    ck_assert_uint_eq(acts_probe(acts, order).n_tenants, 0);
    return sum;
}
