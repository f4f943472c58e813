/* The PostgreSQL driver destroys exactly what an order says, on a real server. What every store must do is in contract.c. */
#include "pg_fixture.h"

#include <stdio.h>

#define BY_AGE(target) "{ data = \"Logs\"; keep = \"1 year\"; basis = \"b\"; targets = ( { " target " } ); }"
#define BY_END(target) "{ data = \"Data\"; keep = \"account + 30 days\"; basis = \"b\"; targets = ( { " target " } ); }"
#define LOGS "table = \"logs\"; tenant = \"customer_id\"; since = \"at\";"
#define CUTOFF "2026-01-01"

static const char logs_sql[] = "CREATE TABLE logs (id bigint PRIMARY KEY, customer_id bigint, at timestamptz, text text);"
                               "CREATE INDEX ON logs (customer_id, at);";

/* ---- fairness, keyset, shapes ---- */

START_TEST(large_and_small_tenants_take_turns) {
    pg_schema(logs_sql);
    pg_sql("INSERT INTO logs SELECT n, 1, timestamptz '2025-01-01' + n * interval '1 second' FROM generate_series(1, 500) n");
    pg_sql("INSERT INTO logs SELECT 1000 + n, n, '2025-06-01' FROM generate_series(2, 20) n");
    struct acts acts = acts_open(BY_AGE(LOGS));
    struct order order = order_by_age(acts_target(&acts, 0), ACTION_PURGE, CUTOFF);
    const struct order *orders[] = {&order};
    struct pass *pass;
    struct err err;
    ck_assert_int_eq(pg_driver.begin(acts.store, orders, 1, NULL, &pass, &err), 0);
    size_t small_gone_after = 0, batches = 0;
    for (;;) {
        const struct batch *batch;
        struct outcome outcome;
        ck_assert_msg(pg_driver.prepare(acts.store, pass, 50, acts.arena, &batch, NULL, &err) == 0, "%s", err.text);
        if (!batch) break;
        ck_assert_int_eq(pg_driver.finish(acts.store, pass, true, &outcome, &err), 0);
        batches++;
        if (!small_gone_after && !pg_number("SELECT count(*) FROM logs WHERE customer_id <> 1")) small_gone_after = batches;
    }
    pg_driver.end(acts.store, pass);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM logs"), 0);
    ck_assert_uint_le(small_gone_after, 3); /* not behind the ten batches of the large one */
    acts_close(&acts);
}
END_TEST

/* Without an index that serves, the table is read in block ranges; the same records go. */
START_TEST(without_an_index_the_same_records_go) {
    pg_schema("CREATE TABLE logs (id bigint PRIMARY KEY, customer_id bigint, at timestamptz, text text)");
    pg_sql("INSERT INTO logs SELECT n, n % 7, timestamptz '2025-12-31' + n * interval '1 second', repeat('x', 1000) FROM generate_series(1, 3000) n");
    pg_sql("INSERT INTO logs SELECT 10000 + n, n % 7, '2026-01-01' FROM generate_series(1, 100) n");
    struct acts acts = acts_open(BY_AGE(LOGS));
    struct order order = order_by_age(acts_target(&acts, 0), ACTION_PURGE, CUTOFF);
    struct sum sum = acts_sweep(&acts, &order, 130);
    ck_assert_int_eq(sum.records, 3000);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM logs"), 100);
    acts_close(&acts);
}
END_TEST

START_TEST(without_tenants_the_index_on_since_is_followed) {
    pg_schema("CREATE TABLE views (id bigint PRIMARY KEY, at timestamptz); CREATE INDEX ON views (at)");
    pg_sql("INSERT INTO views SELECT n, timestamptz '2025-12-31 23:00+00' + n * interval '1 second' FROM generate_series(0, 7199) n");
    struct acts acts = acts_open(BY_AGE("table = \"views\"; tenant = \"none\"; since = \"at\";"));
    struct order order = order_by_age(acts_target(&acts, 0), ACTION_PURGE, CUTOFF);
    ck_assert_int_eq(acts_sweep(&acts, &order, 700).records, 3600);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM views WHERE at >= '2026-01-01'"), 3600);
    acts_close(&acts);
}
END_TEST

START_TEST(a_locked_record_does_not_hold_the_others_up) {
    pg_schema(logs_sql);
    pg_sql("INSERT INTO logs SELECT n, 1, '2025-01-01' FROM generate_series(1, 20) n");
    struct acts acts = acts_open(BY_AGE(LOGS));
    struct order order = order_by_age(acts_target(&acts, 0), ACTION_PURGE, CUTOFF);
    ck_assert_str_eq(pg_elsewhere("BEGIN; SELECT 1 FROM logs WHERE id = 7 FOR UPDATE"), "");
    ck_assert_int_eq(acts_pass(&acts, &order, 100).records, 19);
    ck_assert_str_eq(pg_elsewhere("UPDATE logs SET at = '2026-06-01' WHERE id = 7; COMMIT"), "");
    ck_assert_int_eq(acts_pass(&acts, &order, 100).records, 0);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM logs"), 1);
    acts_close(&acts);
}
END_TEST

/* ---- identity ---- */

START_TEST(composite_keys_ctid_and_nasty_names) {
    pg_schema("CREATE TABLE \"a \"\"b\"\" t\" (\"k 1\" int, \"select\" text, \"from\" text, \"t\" timestamptz, PRIMARY KEY (\"k 1\", \"select\"));"
              "CREATE INDEX ON \"a \"\"b\"\" t\" (\"from\", \"t\");"
              "CREATE TABLE heap (customer_id bigint, at timestamptz)");
    pg_sql("INSERT INTO \"a \"\"b\"\" t\" VALUES (1, 'x', 'o''b', '2025-01-01'), (1, 'y', 'o''b', '2026-01-01'), (2, 'x', 'q\"{}\\', '2025-01-01')");
    pg_sql("INSERT INTO heap VALUES (1, '2025-01-01'), (1, '2025-01-01'), (2, '2026-01-01')");
    struct acts acts = acts_open("{ data = \"Odd\"; keep = \"1 year\"; basis = \"b\"; targets = ("
                                 "{ table = \"a \\\"b\\\" t\"; tenant = \"from\"; since = \"t\"; only = \"\\\"k 1\\\" > 0\"; },"
                                 "{ table = \"heap\"; tenant = \"customer_id\"; since = \"at\"; key = \"ctid\"; } ); }");
    struct order odd = order_by_age(acts_target(&acts, 0), ACTION_PURGE, CUTOFF);
    struct order heap = order_by_age(acts_target(&acts, 1), ACTION_PURGE, CUTOFF);
    ck_assert_int_eq(acts_sweep(&acts, &odd, 1).records, 2);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM \"a \"\"b\"\" t\" WHERE \"select\" = 'y'"), 1);
    ck_assert_int_eq(acts_sweep(&acts, &heap, 10).records, 2);
    acts_close(&acts);
}
END_TEST

START_TEST(partitions_are_swept_one_by_one) {
    pg_schema("CREATE TABLE logs (id bigint, customer_id bigint, at timestamptz, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);"
              "CREATE TABLE logs_2025 PARTITION OF logs FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');"
              "CREATE TABLE logs_2026 PARTITION OF logs FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');"
              "CREATE TABLE logs_rest PARTITION OF logs DEFAULT; CREATE INDEX ON logs (customer_id, at)");
    /* The same ctids in every partition. */
    pg_sql("INSERT INTO logs SELECT n, n % 3, timestamptz '2025-06-01' + n * interval '1 second' FROM generate_series(1, 50) n");
    pg_sql("INSERT INTO logs SELECT n, n % 3, timestamptz '2026-06-01' + n * interval '1 second' FROM generate_series(1, 50) n");
    pg_sql("INSERT INTO logs SELECT n, n % 3, timestamptz '2020-06-01' + n * interval '1 second' FROM generate_series(1, 50) n");
    struct acts acts = acts_open(BY_AGE(LOGS "only = \"logs.id > 0\";"));
    struct order order = order_by_age(acts_target(&acts, 0), ACTION_PURGE, CUTOFF);
    struct tally tally = acts_count(&acts, &order);
    ck_assert_uint_eq(tally.n_tenants, 3);
    ck_assert_int_eq(tally.tenants[0].oldest_us, at("2020-06-01 00:00:03"));
    ck_assert_int_eq(acts_sweep(&acts, &order, 7).records, 100);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM logs_2026"), 50);
    acts_close(&acts);
}
END_TEST

/* ---- tenants ---- */

START_TEST(ids_of_another_type_match_nothing) {
    pg_schema(logs_sql);
    pg_sql("INSERT INTO logs VALUES (1, 7, '2025-01-01'), (2, 8, '2025-01-01'), (3, NULL, '2025-01-01')");
    struct acts acts = acts_open(BY_END(LOGS));
    const char *const tenants[] = {"", "007", "64b7c0ffee64b7c0ffee1234", "7", "9223372036854775808", "abc", "x'); DROP TABLE logs; --", NULL};
    struct order order = order_by_end(&acts, acts_target(&acts, 0), ACTION_PURGE, tenants + 1);
    ck_assert_int_eq(acts_sweep(&acts, &order, 10).records, 1);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM logs WHERE customer_id = 7"), 0);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM logs"), 2);
    acts_close(&acts);
}
END_TEST

START_TEST(tenants_that_are_gone_lapse_and_listed_ones_have_their_own_cutoff) {
    pg_schema("CREATE TABLE logs (id bigint PRIMARY KEY, customer_id text, at timestamptz); CREATE INDEX ON logs (customer_id, at)");
    pg_sql("INSERT INTO logs VALUES (1, 'gone', '2025-01-01'), (2, 'long', '2025-01-01'), (3, 'long', '2019-01-01'), (4, 'held', '2019-01-01'),"
           "(5, '', '2019-01-01'), (6, NULL, '2019-01-01'), (7, 'gone', NULL), (8, 'gone', 'infinity'), (9, 'gone', '-infinity'), (10, 'gone', '2026-01-01')");
    struct acts acts = acts_open(BY_AGE(LOGS));
    const struct scope_tenant listed[] = {{.id = "held", .cutoff_us = TIME_NEVER, .end_us = TIME_FOREVER},
                                          {.id = "long", .cutoff_us = at("2020-01-01"), .end_us = TIME_FOREVER}};
    struct order order = order_by_age(acts_target(&acts, 0), ACTION_PURGE, CUTOFF);
    order.due.tenants = listed;
    order.due.n_tenants = 2;
    struct tally tally = acts_probe(&acts, &order);
    ck_assert_uint_eq(tally.n_tenants, 2);
    ck_assert_str_eq(tally.tenants[0].tenant, "gone");
    ck_assert_int_eq(tally.tenants[0].oldest_us, at("2025-01-01"));
    ck_assert_str_eq(tally.tenants[1].tenant, "long");
    ck_assert_int_eq(tally.tenants[1].cutoff_us, at("2020-01-01"));
    ck_assert_int_eq(acts_sweep(&acts, &order, 10).records, 2);
    char *left = pg_text("SELECT string_agg(id::text, ' ' ORDER BY id) FROM logs");
    ck_assert_str_eq(left, "2 4 5 6 7 8 9 10");
    free(left);
    acts_close(&acts);
}
END_TEST

START_TEST(the_tenant_may_stand_in_another_table) {
    pg_schema("CREATE TABLE sites (id int PRIMARY KEY, customer_id bigint);"
              "CREATE TABLE views (id bigint PRIMARY KEY, site_id int, at timestamptz)");
    pg_sql("INSERT INTO sites VALUES (1, 10), (2, 20), (3, NULL)");
    pg_sql("INSERT INTO views SELECT n, 1 + n % 4, '2025-01-01' FROM generate_series(0, 39) n");
    struct acts acts = acts_open(BY_END("table = \"views\"; tenant = \"customer_id\"; via = \"site_id = sites.id\"; only = \"id >= 4\";"));
    const char *const tenants[] = {"10", NULL};
    struct order order = order_by_end(&acts, acts_target(&acts, 0), ACTION_PURGE, tenants);
    ck_assert_int_eq(acts_sweep(&acts, &order, 4).records, 9);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM views"), 31);
    acts_close(&acts);
}
END_TEST

START_TEST(only_sees_the_table_and_nothing_of_ours) {
    pg_schema("CREATE TABLE logs (id bigint PRIMARY KEY, customer_id bigint, at timestamptz, t int, u int); CREATE INDEX ON logs (customer_id, at)");
    pg_sql("INSERT INTO logs SELECT n, 1, '2025-01-01', n % 2, 5 FROM generate_series(1, 10) n");
    struct acts acts = acts_open(BY_AGE(LOGS "only = \"t = 1 OR u = 6\";"));
    struct order order = order_by_age(acts_target(&acts, 0), ACTION_PURGE, CUTOFF);
    ck_assert_int_eq(acts_sweep(&acts, &order, 3).records, 5);
    acts_close(&acts);
}
END_TEST

/* ---- other orders on the same table ---- */

START_TEST(records_of_an_earlier_order_and_under_at_least_stay) {
    pg_schema("CREATE TABLE logs (id bigint PRIMARY KEY, customer_id bigint, at timestamptz, booked date); CREATE INDEX ON logs (customer_id, at)");
    pg_sql("INSERT INTO logs VALUES (1, 1, '2025-01-01', '2018-01-01'), (2, 2, '2025-01-01', '2018-01-01'), (3, 1, '2025-01-01', '2024-01-01'), (4, 1, '2025-01-01', NULL)");
    struct acts acts = acts_open(BY_AGE(LOGS) ", { data = \"Books\"; keep = \"7 years\"; at_least = \"7 years\"; basis = \"b\"; targets = ("
                                 "{ table = \"logs\"; tenant = \"customer_id\"; since = \"booked\"; zone = \"UTC\"; } ); }");
    struct order order = order_by_age(acts_target(&acts, 0), ACTION_PURGE, CUTOFF);
    const struct scope_tenant second[] = {{.id = "2", .cutoff_us = TIME_FOREVER, .end_us = 0}};
    const struct scope before[] = {{.kind = SCOPE_LISTED, .of = acts_target(&acts, 0), .tenants = second, .n_tenants = 1}};
    const struct scope floors[] = {{.kind = SCOPE_REST, .of = acts_target(&acts, 1), .anchor = "booked", .anchor_is_since = true, .cutoff_us = at("2019-01-01")}};
    order.before = before;
    order.n_before = 1;
    order.floors = floors;
    order.n_floors = 1;
    ck_assert_int_eq(acts_sweep(&acts, &order, 10).records, 1);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM logs WHERE id = 1"), 0);
    acts_close(&acts);
}
END_TEST

/* ---- the tenants query ---- */

struct seen {
    char text[600];
};

static int see(void *context, const struct tenant_row *row, struct err *err) {
    struct seen *seen = context;
    size_t length = strlen(seen->text);
    (void)err;
    (void)snprintf(seen->text + length, sizeof seen->text - length, "%s/%s/%s/%s ", row->id, row->parent ? row->parent : "-",
                   row->ends[0] == TIME_FOREVER ? (row->bad_ends[0] ? "bad" : "running") : time_format_day(row->ends[0]).text,
                   row->periods[0] ? row->periods[0] : "-");
    return 0;
}

#define PERIODS "{ data = \"L\"; keep = \"1 year\"; per_tenant = { column = \"months\"; max = \"7 years\"; }; basis = \"b\"; targets = ( { " LOGS " } ); }"

START_TEST(the_tenants_query_is_read_as_it_stands) {
    pg_schema(logs_sql);
    pg_sql("INSERT INTO customers VALUES (1, '2026-01-02', '13 months'), (2, NULL, NULL), (3, 'infinity', ''), (4, '-infinity', NULL)");
    struct acts acts = acts_open_with("ends = [ \"account\" ]; query = \"SELECT id AS tenant, nullif(id - 1, 0) AS parent, ended_at AS account, months FROM customers ORDER BY id\";",
                                      PERIODS, false);
    struct seen seen = {{0}};
    struct err err;
    ck_assert_msg(pg_driver.tenants(acts.store, NULL, 0, see, &seen, &err) == 0, "%s", err.text);
    ck_assert_str_eq(seen.text, "1/-/2026-01-02/13 months 2/1/running/- 3/2/running/ 4/3/bad/- ");
    const char *const ids[] = {"3", "abc", "1"};
    seen = (struct seen){{0}};
    ck_assert_int_eq(pg_driver.tenants(acts.store, ids, 3, see, &seen, &err), 0);
    ck_assert_str_eq(seen.text, "1/-/2026-01-02/13 months 3/2/running/ ");
    seen = (struct seen){{0}};
    ck_assert_int_eq(pg_driver.tenants(acts.store, ids + 1, 1, see, &seen, &err), 0);
    ck_assert_str_eq(seen.text, "");
    acts_close(&acts);
}
END_TEST

static int number(void *context, const struct tenant_row *row, struct err *err) {
    (void)row;
    (void)err;
    ++*(size_t *)context;
    return 0;
}

/* The deadline is for an answer, not for all of a long one: a third of a second for a thousand tenants, nine times. */
START_TEST(a_long_list_of_tenants_has_its_time) {
    pg_schema(logs_sql);
    pg_sql("INSERT INTO customers SELECT n FROM generate_series(1, 9500) n");
    struct acts acts = acts_open_with("ends = [ \"account\" ]; query = \"SELECT id AS tenant, ended_at AS account, months FROM customers"
                                      " WHERE CASE WHEN id % 1000 = 1 THEN pg_sleep(0.3) IS NOT NULL ELSE true END\"; }; timeout = { statement = \"2 s\";",
                                      PERIODS, false);
    size_t count = 0;
    struct err err;
    ck_assert_msg(pg_driver.tenants(acts.store, NULL, 0, number, &count, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(count, 9500);
    acts_close(&acts);
}
END_TEST

static int number_a_few(void *context, const struct tenant_row *row, struct err *err) {
    (void)row;
    return ++*(size_t *)context < 1500 ? 0 : err_set(err, ERR_REFUSED, "enough");
}

/* More of it is under way when a line is refused. */
START_TEST(a_refused_line_ends_the_list_and_not_the_connection) {
    pg_schema(logs_sql);
    pg_sql("INSERT INTO customers SELECT n FROM generate_series(1, 3500) n");
    struct acts acts = acts_open(BY_END(LOGS));
    size_t count = 0;
    struct err err;
    ck_assert_int_eq(pg_driver.tenants(acts.store, NULL, 0, number_a_few, &count, &err), -1);
    ck_assert_uint_eq(count, 1500);
    ck_assert_str_eq(err.text, "enough");
    static const char session[] = "SELECT pid FROM pg_stat_activity WHERE usename = 'lapsed' AND application_name = 'lapsed'";
    long pid = pg_number(session);
    count = 0;
    ck_assert_msg(pg_driver.tenants(acts.store, NULL, 0, number, &count, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(count, 3500);
    ck_assert_int_eq(pg_number(session), pid);
    acts_close(&acts);
}
END_TEST

UNIT_MAIN("PostgreSQL: purge", large_and_small_tenants_take_turns, without_an_index_the_same_records_go,
          without_tenants_the_index_on_since_is_followed, a_locked_record_does_not_hold_the_others_up, composite_keys_ctid_and_nasty_names,
          partitions_are_swept_one_by_one, ids_of_another_type_match_nothing,
          tenants_that_are_gone_lapse_and_listed_ones_have_their_own_cutoff, the_tenant_may_stand_in_another_table,
          only_sees_the_table_and_nothing_of_ours, records_of_an_earlier_order_and_under_at_least_stay, the_tenants_query_is_read_as_it_stands,
          a_long_list_of_tenants_has_its_time, a_refused_line_ends_the_list_and_not_the_connection)
