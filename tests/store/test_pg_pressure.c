/* How others fare: what the throttle is told, and what it is not told without the privilege. */
#include "pg_fixture.h"

#include "base/time.h"

#include <libpq-fe.h>

#define RULE "{ data = \"Events\"; keep = \"1 year\"; basis = \"b\"; targets = ( { table = \"events\"; tenant = \"tenant\"; since = \"at\"; } ); }"

static struct acts open_world_of_events(void) {
    pg_schema("CREATE TABLE events (id bigint PRIMARY KEY, tenant bigint, at timestamptz); CREATE INDEX ON events (tenant, at)");
    return acts_open(RULE);
}

static struct pressure pressure(struct acts *acts, const char *query) {
    struct err err;
    struct pressure pressure;
    ck_assert_msg(pg_driver.pressure(acts->store, query, &pressure, &err) == 0, "%s", err.text);
    return pressure;
}

START_TEST(a_plain_role_cannot_see_the_oldest_snapshot) {
    struct acts acts = open_world_of_events();
    ck_assert_int_eq(pressure(&acts, NULL).snapshot_age_us, PRESSURE_UNREADABLE);
    ck_assert_int_eq(pressure(&acts, NULL).replica_lag_us, PRESSURE_NONE);
    acts_close(&acts);
}
END_TEST

START_TEST(the_oldest_snapshot_has_an_age) {
    struct acts acts = open_world_of_events();
    pg_sql("GRANT pg_read_all_stats TO lapsed");
    int64_t without_us = pressure(&acts, NULL).snapshot_age_us;
    ck_assert_str_eq(pg_elsewhere("BEGIN ISOLATION LEVEL REPEATABLE READ"), "");
    ck_assert_str_eq(pg_elsewhere("SELECT count(*) FROM events"), "");
    pg_sql("SELECT pg_sleep(0.3)");
    int64_t with_us = pressure(&acts, NULL).snapshot_age_us;
    ck_assert_str_eq(pg_elsewhere("COMMIT"), "");
    pg_sql("REVOKE pg_read_all_stats FROM lapsed");
    ck_assert_int_ge(without_us, 0);
    ck_assert_int_ge(with_us, 300000);
    acts_close(&acts);
}
END_TEST

START_TEST(sessions_that_wait_for_a_lock_are_counted) {
    struct acts acts = open_world_of_events();
    ck_assert_int_eq(pressure(&acts, NULL).lock_waits, 0);
    pg_sql("BEGIN; LOCK TABLE events");
    PGconn *waits = PQconnectdb(getenv("LAPSED_TEST_POSTGRESQL_ADMIN"));
    ck_assert_int_eq(PQsendQuery(waits, "BEGIN; LOCK TABLE acts.events"), 1);
    ck_assert_int_eq(PQflush(waits), 0);
    int64_t until_us = time_monotonic_us() + 20 * TIME_SECOND_US;
    while (!pressure(&acts, NULL).lock_waits) ck_assert_int_lt(time_monotonic_us(), until_us);
    ck_assert_int_eq(pressure(&acts, NULL).lock_waits, 1);
    pg_sql("COMMIT");
    PQfinish(waits);
    acts_close(&acts);
}
END_TEST

START_TEST(a_query_of_the_schedule_may_say_wait) {
    struct acts acts = open_world_of_events();
    ck_assert(!pressure(&acts, NULL).query_says_wait);
    ck_assert(!pressure(&acts, "SELECT count(*) > 3 FROM events").query_says_wait);
    ck_assert(pressure(&acts, "SELECT count(*) < 3 FROM events -- few").query_says_wait);
    acts_close(&acts);
}
END_TEST

static void refuses(struct acts *acts, const char *query) {
    struct err err;
    struct pressure ignored;
    ck_assert_int_eq(pg_driver.pressure(acts->store, query, &ignored, &err), -1);
    ck_assert_msg(err.code == ERR_CONFIG, "%s: %s", query, err.text);
}

START_TEST(a_query_that_is_no_truth_value_is_refused) {
    struct acts acts = open_world_of_events();
    refuses(&acts, "SELECT 1");
    refuses(&acts, "SELECT NULL::boolean");
    refuses(&acts, "SELECT true, true");
    refuses(&acts, "SELECT true FROM generate_series(1, 2)");
    refuses(&acts, "SELECT true WHERE false");
    refuses(&acts, "SELECT nothing FROM nowhere");
    /* The connection goes on. */
    ck_assert(pressure(&acts, "SELECT true").query_says_wait);
    acts_close(&acts);
}
END_TEST

START_TEST(a_query_cannot_write) {
    struct acts acts = open_world_of_events();
    pg_sql("INSERT INTO events VALUES (1, 1, '2020-01-01'); CREATE FUNCTION wipe() RETURNS boolean LANGUAGE sql AS 'DELETE FROM acts.events RETURNING true'");
    struct err err;
    struct pressure ignored;
    ck_assert_int_eq(pg_driver.pressure(acts.store, "SELECT wipe()", &ignored, &err), -1);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM events"), 1);
    acts_close(&acts);
}
END_TEST

UNIT_MAIN("PostgreSQL: pressure", a_plain_role_cannot_see_the_oldest_snapshot, the_oldest_snapshot_has_an_age,
          sessions_that_wait_for_a_lock_are_counted, a_query_of_the_schedule_may_say_wait, a_query_that_is_no_truth_value_is_refused, a_query_cannot_write)
