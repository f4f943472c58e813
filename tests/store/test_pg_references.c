/* Children before parents, what blocks, and what happens when someone else is at work meanwhile. */
#include "pg_fixture.h"

#include "base/time.h"

#include <libpq-fe.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define RULE(target) "{ data = \"Orders\"; keep = \"1 year\"; basis = \"b\"; targets = ( { " target " } ); }"
#define ORDERS "table = \"orders\"; tenant = \"customer_id\"; since = \"at\";"
#define CUTOFF "2026-01-01"

static const char orders_sql[] =
    "CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint, at timestamptz); CREATE INDEX ON orders (customer_id, at);"
    "CREATE TABLE lines (id bigint PRIMARY KEY, order_id bigint REFERENCES orders);"
    "CREATE TABLE notes (id bigint PRIMARY KEY, line_id bigint REFERENCES lines)";

static struct order due(struct acts *acts) { return order_by_age(acts_target(acts, 0), ACTION_PURGE, CUTOFF); }

START_TEST(dependents_go_first_and_count_in_the_batch) {
    pg_schema(orders_sql);
    pg_sql("INSERT INTO orders SELECT n, n % 4, CASE WHEN n <= 30 THEN '2025-01-01' ELSE '2026-01-01' END::timestamptz FROM generate_series(1, 40) n;"
           "INSERT INTO lines SELECT n, 1 + n % 40 FROM generate_series(0, 119) n; INSERT INTO notes SELECT n, n % 120 FROM generate_series(0, 239) n");
    struct acts acts = acts_open(RULE(ORDERS "dependents = [ \"lines.order_id\", \"notes.line_id = lines.id\" ];"));
    struct order order = due(&acts);
    struct sum sum = acts_sweep(&acts, &order, 25);
    ck_assert_int_eq(sum.records, 30);
    ck_assert_int_eq(sum.dependents, 90 + 180);
    ck_assert_uint_ge(sum.batches, 12);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM orders"), 10);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM lines"), 30);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM notes"), 60);
    acts_close(&acts);
}
END_TEST

START_TEST(a_record_with_more_dependents_than_a_batch_is_drained_first) {
    pg_schema(orders_sql);
    pg_sql("INSERT INTO orders VALUES (1, 1, '2025-01-01'), (2, 1, '2025-02-01'), (3, 2, '2025-01-01');"
           "INSERT INTO lines SELECT n, 1 FROM generate_series(1, 95) n; INSERT INTO lines VALUES (1000, 2);"
           "INSERT INTO notes SELECT n, n FROM generate_series(1, 50) n");
    struct acts acts = acts_open(RULE(ORDERS "dependents = [ \"lines.order_id\", \"notes.line_id = lines.id\" ];"));
    struct order order = due(&acts);
    struct sum sum = acts_sweep(&acts, &order, 10);
    ck_assert_int_eq(sum.records, 3);
    ck_assert_int_eq(sum.dependents, 146);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM lines"), 0);
    acts_close(&acts);
}
END_TEST

START_TEST(a_tree_goes_with_its_root) {
    pg_schema("CREATE TABLE posts (id bigint PRIMARY KEY, customer_id bigint, at timestamptz); CREATE INDEX ON posts (customer_id, at);"
              "CREATE TABLE comments (id bigint PRIMARY KEY, post_id bigint REFERENCES posts, parent_id bigint REFERENCES comments)");
    pg_sql("INSERT INTO posts VALUES (1, 1, '2025-01-01'), (2, 1, '2026-06-01');"
           "INSERT INTO comments VALUES (1, 1, NULL), (2, 2, NULL); INSERT INTO comments SELECT n, NULL, n - 2 FROM generate_series(3, 42) n");
    struct acts acts = acts_open(RULE("table = \"posts\"; tenant = \"customer_id\"; since = \"at\";"
                                      "dependents = [ \"comments.post_id\", \"comments.parent_id = comments.id\" ];"));
    struct order order = due(&acts);
    ck_assert_int_eq(acts_sweep(&acts, &order, 6).dependents, 21);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM posts"), 1);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM comments WHERE id % 2 = 0"), 21);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM comments"), 21);
    acts_close(&acts);
}
END_TEST

START_TEST(a_target_may_be_a_tree_of_its_own) {
    pg_schema("CREATE TABLE folders (id bigint PRIMARY KEY, customer_id bigint, at timestamptz, parent_id bigint REFERENCES folders);"
              "CREATE INDEX ON folders (customer_id, at)");
    /* 1 <- 2 <- 3, where 2 is due by itself, too, and 3 is not; 4 stands alone. */
    pg_sql("INSERT INTO folders VALUES (1, 1, '2025-01-01', NULL), (2, 1, '2025-01-02', 1), (3, 1, '2026-06-01', 2), (4, 1, '2025-01-01', 4), (5, 1, '2026-06-01', NULL)");
    struct acts acts = acts_open(RULE("table = \"folders\"; tenant = \"customer_id\"; since = \"at\"; dependents = [ \"folders.parent_id = folders.id\" ];"));
    struct order order = due(&acts);
    struct sum sum = acts_pass(&acts, &order, 100);
    ck_assert_int_eq(sum.records + sum.dependents, 4);
    ck_assert_int_eq(pg_number("SELECT id FROM folders"), 5);
    acts_close(&acts);
}
END_TEST

START_TEST(what_is_still_referred_to_is_blocked_and_counted) {
    pg_schema(orders_sql);
    pg_sql("CREATE TABLE invoices (id bigint PRIMARY KEY, order_id bigint REFERENCES orders DEFERRABLE INITIALLY DEFERRED);"
           "CREATE TABLE claims (id bigint PRIMARY KEY, line_id bigint REFERENCES lines); GRANT ALL ON invoices, claims TO lapsed;"
           "INSERT INTO orders SELECT n, 1, '2025-01-01' FROM generate_series(1, 10) n;"
           "INSERT INTO lines SELECT n, n FROM generate_series(1, 10) n; INSERT INTO invoices SELECT n, n FROM generate_series(1, 3) n;"
           "INSERT INTO claims VALUES (1, 3), (2, 4)");
    struct acts acts = acts_open(RULE(ORDERS "dependents = [ \"lines.order_id\", \"notes.line_id = lines.id\" ];"));
    struct order order = due(&acts);
    struct tally tally = acts_count(&acts, &order);
    ck_assert_int_eq(tally.records, 6);
    ck_assert_int_eq(tally.n_blocked_records, 4);
    ck_assert_uint_eq(tally.n_blocked, 2);
    for (size_t i = 0; i < 2; i++) ck_assert_int_eq(tally.blocked[i].count, strcmp(tally.blocked[i].by, "claims") ? 3 : 2);
    ck_assert_int_eq(acts_sweep(&acts, &order, 4).records, 6);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM lines"), 4);
    pg_sql("DELETE FROM invoices; DELETE FROM claims");
    ck_assert_int_eq(acts_sweep(&acts, &order, 4).records, 4);
    acts_close(&acts);
}
END_TEST

START_TEST(a_dependent_that_is_a_target_blocks_until_its_own_rule_took_it) {
    pg_schema("CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint, at timestamptz); CREATE INDEX ON orders (customer_id, at);"
              "CREATE TABLE lines (id bigint PRIMARY KEY, order_id bigint REFERENCES orders, customer_id bigint, at timestamptz)");
    pg_sql("INSERT INTO orders VALUES (1, 1, '2025-01-01'), (2, 1, '2025-01-01'); INSERT INTO lines VALUES (1, 1, 1, '2025-01-01'), (2, 2, 1, '2026-06-01')");
    struct acts acts = acts_open(RULE(ORDERS "dependents = [ \"lines.order_id\" ];") ", "
                                 "{ data = \"Lines\"; keep = \"1 year\"; basis = \"b\"; targets = ( { table = \"lines\"; tenant = \"customer_id\"; since = \"at\"; } ); }");
    struct order order = due(&acts), lines = order_by_age(acts_target(&acts, 1), ACTION_PURGE, CUTOFF);
    ck_assert_int_eq(acts_count(&acts, &order).n_blocked_records, 2);
    ck_assert_int_eq(acts_sweep(&acts, &order, 10).records, 0);
    ck_assert_int_eq(acts_sweep(&acts, &lines, 10).records, 1);
    ck_assert_int_eq(acts_sweep(&acts, &order, 10).records, 1);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM lines"), 1);
    acts_close(&acts);
}
END_TEST

/* ---- others at work ---- */

static int first_batch(struct acts *acts, const struct order *const *orders, struct pass **pass, const struct batch **batch, struct err *err) {
    const struct order *failed = NULL;
    ck_assert_msg(pg_driver.begin(acts->store, orders, 1, NULL, pass, err) == 0, "%s", err->text);
    return pg_driver.prepare(acts->store, *pass, 100, acts->arena, batch, &failed, err);
}

START_TEST(a_child_that_comes_in_mid_batch_waits_for_us) {
    pg_schema(orders_sql);
    pg_sql("INSERT INTO orders VALUES (1, 1, '2025-01-01')");
    struct acts acts = acts_open(RULE(ORDERS "dependents = [ \"lines.order_id\", \"notes.line_id = lines.id\" ];"));
    struct order order = due(&acts);
    const struct order *orders[] = {&order};
    struct pass *pass;
    const struct batch *batch;
    struct outcome outcome;
    struct err err;
    ck_assert_msg(first_batch(&acts, orders, &pass, &batch, &err) == 0, "%s", err.text);
    ck_assert_str_eq(pg_elsewhere("INSERT INTO lines VALUES (1, 1)"), "55P03");
    ck_assert_int_eq(pg_driver.finish(acts.store, pass, true, &outcome, &err), 0);
    ck_assert_str_eq(pg_elsewhere("INSERT INTO lines VALUES (1, 1)"), "23503");
    pg_driver.end(acts.store, pass);
    acts_close(&acts);
}
END_TEST

START_TEST(a_child_that_came_first_keeps_its_parent) {
    pg_schema(orders_sql);
    pg_sql("CREATE TABLE invoices (id bigint PRIMARY KEY, order_id bigint REFERENCES orders); GRANT ALL ON invoices TO lapsed;"
           "INSERT INTO orders VALUES (1, 1, '2025-01-01'), (2, 1, '2025-01-01')");
    struct acts acts = acts_open(RULE(ORDERS "dependents = [ \"lines.order_id\", \"notes.line_id = lines.id\" ];"));
    struct order order = due(&acts);
    ck_assert_str_eq(pg_elsewhere("BEGIN; INSERT INTO invoices VALUES (1, 1)"), "");
    ck_assert_int_eq(acts_pass(&acts, &order, 10).records, 1); /* the other one is locked by the foreign key */
    ck_assert_str_eq(pg_elsewhere("COMMIT"), "");
    ck_assert_int_eq(acts_pass(&acts, &order, 10).records, 0);
    ck_assert_int_eq(acts_count(&acts, &order).n_blocked_records, 1);
    acts_close(&acts);
}
END_TEST

/* A foreign key that was not there when the catalog was read: it strikes inside prepare, even a deferred one. */
START_TEST(an_unknown_deferred_foreign_key_is_refused_before_the_intent) {
    pg_schema(orders_sql);
    pg_sql("INSERT INTO orders VALUES (1, 1, '2025-01-01')");
    struct acts acts = acts_open(RULE(ORDERS "dependents = [ \"lines.order_id\", \"notes.line_id = lines.id\" ];"));
    pg_sql("CREATE TABLE later (order_id bigint REFERENCES orders DEFERRABLE INITIALLY DEFERRED); INSERT INTO later VALUES (1)");
    struct order order = due(&acts);
    const struct order *orders[] = {&order};
    struct pass *pass;
    const struct batch *batch;
    struct err err;
    ck_assert_int_eq(first_batch(&acts, orders, &pass, &batch, &err), -1);
    ck_assert_int_eq(err.code, ERR_REFUSED);
    ck_assert_str_eq(err.detail, "23503");
    ck_assert_ptr_nonnull(strstr(err.text, "\"later\""));
    ck_assert_int_eq(pg_driver.prepare(acts.store, pass, 100, acts.arena, &batch, NULL, &err), 0);
    ck_assert_ptr_null(batch);
    pg_driver.end(acts.store, pass);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM orders"), 1);
    acts_close(&acts);
}
END_TEST

START_TEST(a_trigger_that_keeps_records_is_refused_whole) {
    pg_schema(orders_sql);
    pg_sql("CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
           "INSERT INTO orders VALUES (1, 1, '2025-01-01'); INSERT INTO lines VALUES (1, 1)");
    struct acts acts = acts_open(RULE(ORDERS "dependents = [ \"lines.order_id\", \"notes.line_id = lines.id\" ];"));
    pg_sql("CREATE TRIGGER keep BEFORE DELETE ON orders FOR EACH ROW EXECUTE FUNCTION keep()");
    struct order order = due(&acts);
    const struct order *orders[] = {&order};
    struct pass *pass;
    const struct batch *batch;
    struct err err;
    ck_assert_int_eq(first_batch(&acts, orders, &pass, &batch, &err), -1);
    ck_assert_int_eq(err.code, ERR_REFUSED);
    pg_driver.end(acts.store, pass);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM lines"), 1);
    acts_close(&acts);
}
END_TEST

START_TEST(a_killed_backend_between_prepare_and_finish_is_unknown_and_settled) {
    pg_schema(orders_sql);
    pg_sql("INSERT INTO orders VALUES (1, 1, '2025-01-01')");
    struct acts acts = acts_open(RULE(ORDERS "dependents = [ \"lines.order_id\", \"notes.line_id = lines.id\" ];"));
    struct order order = due(&acts);
    const struct order *orders[] = {&order};
    struct pass *pass;
    const struct batch *batch;
    struct outcome outcome;
    enum settled settled;
    struct err err;
    ck_assert_msg(first_batch(&acts, orders, &pass, &batch, &err) == 0, "%s", err.text);
    pg_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lapsed'");
    ck_assert_int_eq(pg_driver.finish(acts.store, pass, true, &outcome, &err), -1);
    ck_assert_int_eq(err.code, ERR_UNKNOWN);
    ck_assert_msg(pg_driver.settle(acts.store, batch->transaction, batch->server, &settled, &err) == 0, "%s", err.text);
    ck_assert_int_eq(settled, SETTLED_ROLLED_BACK);
    ck_assert_int_eq(pg_driver.settle(acts.store, batch->transaction, "2001-01-01T00:00:00.000000Z", &settled, &err), 0);
    ck_assert_int_eq(settled, SETTLED_UNRESOLVED);
    pg_driver.end(acts.store, pass);
    ck_assert_int_eq(acts_sweep(&acts, &order, 10).records, 1);
    acts_close(&acts);
}
END_TEST

/* As the kernel does when memory is short: the server takes all of its backends down and recovers, and is the same process afterwards. */
static void crash_a_backend(void) {
    const char *url = getenv("LAPSED_TEST_POSTGRESQL_ADMIN");
    PGconn *victim = PQconnectdb(url), *witness = PQconnectdb(url);
    ck_assert_int_eq(PQstatus(witness), CONNECTION_OK);
    PQclear(PQexec(witness, "SET client_min_messages = error"));
    ck_assert_int_eq(kill(PQbackendPID(victim), SIGKILL), 0);
    PQclear(PQexec(witness, "SELECT pg_sleep(60)")); /* until it is taken down, too */
    ck_assert_int_eq(PQstatus(witness), CONNECTION_BAD);
    PQfinish(victim);
    PQfinish(witness);
    int64_t until_us = time_monotonic_us() + 60 * TIME_SECOND_US;
    while (PQping(url) != PQPING_OK) ck_assert_int_lt(time_monotonic_us(), until_us);
}

/* What was not yet on disk is forgotten, its transaction's number as well: another gets it, and may commit under it. */
START_TEST(a_transaction_from_before_a_crash_is_unresolved) {
    pg_schema(orders_sql);
    pg_sql("INSERT INTO orders VALUES (1, 1, '2025-01-01'); CHECKPOINT");
    struct acts acts = acts_open(RULE(ORDERS "dependents = [ \"lines.order_id\", \"notes.line_id = lines.id\" ];"));
    struct order order = due(&acts);
    const struct order *orders[] = {&order};
    struct pass *pass;
    const struct batch *batch;
    struct outcome outcome;
    enum settled settled;
    struct err err;
    ck_assert_msg(first_batch(&acts, orders, &pass, &batch, &err) == 0, "%s", err.text);
    crash_a_backend();
    pg_leave();
    pg_schema_again();
    for (int i = 0; i < 10; i++) pg_sql("SELECT pg_current_xact_id()");
    ck_assert_int_eq(pg_driver.finish(acts.store, pass, true, &outcome, &err), -1);
    ck_assert_int_eq(err.code, ERR_UNKNOWN);
    ck_assert_msg(pg_driver.settle(acts.store, batch->transaction, batch->server, &settled, &err) == 0, "%s", err.text);
    ck_assert_int_eq(settled, SETTLED_UNRESOLVED);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM orders"), 1);
    pg_driver.end(acts.store, pass);
    acts_close(&acts);
}
END_TEST

UNIT_MAIN("PostgreSQL: references", dependents_go_first_and_count_in_the_batch, a_record_with_more_dependents_than_a_batch_is_drained_first,
          a_tree_goes_with_its_root, a_target_may_be_a_tree_of_its_own, what_is_still_referred_to_is_blocked_and_counted,
          a_dependent_that_is_a_target_blocks_until_its_own_rule_took_it, a_child_that_comes_in_mid_batch_waits_for_us,
          a_child_that_came_first_keeps_its_parent, an_unknown_deferred_foreign_key_is_refused_before_the_intent,
          a_trigger_that_keeps_records_is_refused_whole, a_killed_backend_between_prepare_and_finish_is_unknown_and_settled,
          a_transaction_from_before_a_crash_is_unresolved)
