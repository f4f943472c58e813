/* Partitions that go whole: the same rows are left as if they had gone one by one, and what cannot go whole does not. */
#include "pg_fixture.h"
#include "pg_world.h"

#include <stdio.h>

#define CUTOFF "2025-05-01"
#define RULE_OF(more) "{ data = \"Events\"; keep = \"1 year\"; basis = \"b\"; targets = ( { table = \"events\"; tenant = \"tenant\"; since = \"at\"; " more " } ); }"
#define RULE RULE_OF("drop = true;")

static struct scope_tenant held[] = {{.id = "7", .cutoff_us = TIME_NEVER, .end_us = TIME_FOREVER}, {.id = "8", .end_us = TIME_FOREVER}};

static struct order make_order(const struct acts *acts) {
    const struct target *target = acts_target(acts, 0);
    held[1].cutoff_us = at("2025-04-01");
    const struct scope due = {.kind = SCOPE_REST, .of = target, .anchor = "at", .anchor_is_since = true, .cutoff_us = at(CUTOFF), .tenants = held, .n_tenants = 2};
    return order_make(target, ACTION_PURGE, &target->rule->keep[0], due);
}

/* Months from January to June of 2025 and a default; rows of tenants 1 to 5 in each. 7 is held, 8 has a month longer. */
static struct acts open_months_for(const char *rule, const char *more) {
    pg_schema("CREATE TABLE events (id bigint, tenant bigint, at timestamptz) PARTITION BY RANGE (at); CREATE TABLE rest PARTITION OF events DEFAULT;"
              "ALTER TABLE events ADD PRIMARY KEY (id, at); CREATE INDEX ON events (tenant, at);");
    for (int month = 1; month <= 6; month++) {
        char sql[400];
        (void)snprintf(sql, sizeof sql, "CREATE TABLE m%d PARTITION OF events FOR VALUES FROM ('2025-%02d-01') TO ('2025-%02d-01');"
                       "INSERT INTO events SELECT %d * 100 + n, 1 + n %% 5, timestamptz '2025-%02d-02' + n * interval '1 hour' FROM generate_series(1, 50) n",
                       month, month, month + 1, month, month);
        pg_sql(sql);
    }
    pg_sql("INSERT INTO events SELECT n, 1, '2024-06-01' FROM generate_series(1, 10) n");
    pg_sql("DO $$ DECLARE r text; BEGIN FOREACH r IN ARRAY ARRAY['m1','m2','m3','m4','m5','m6','rest','events'] LOOP"
           " EXECUTE format('ALTER TABLE acts.%I OWNER TO lapsed', r); END LOOP; END $$");
    if (*more) pg_sql(more);
    pg_sql("GRANT ALL ON ALL TABLES IN SCHEMA acts TO lapsed");
    return acts_open(rule);
}

static struct acts open_months(const char *more) { return open_months_for(RULE, more); }

static long count_tables(void) { return pg_number("SELECT count(*) FROM pg_class WHERE relnamespace = 'acts'::regnamespace AND relname ~ '^(m.|rest)$'"); }

/* Sweeps in so many portions, the last one first; what is left is what the plain statement leaves, in so many partitions. */
static void sweep(struct acts *acts, unsigned portions, long tables) {
    struct order order = make_order(acts);
    pg_sql("CREATE TEMP TABLE plain AS SELECT * FROM events; DELETE FROM plain WHERE tenant IS NOT NULL AND at > '-infinity'"
           " AND at < CASE tenant WHEN 7 THEN '-infinity' WHEN 8 THEN '2025-04-01' ELSE '" CUTOFF "' END::timestamptz");
    long gone = pg_number("SELECT (SELECT count(*) FROM events) - (SELECT count(*) FROM plain)"), taken = 0;
    ck_assert_int_eq(acts_count(acts, &order).records, gone);
    for (unsigned part = portions; part-- > 0;) {
        const struct portion portion = {.part = part, .parts = portions};
        taken += (long)acts_pass_portion(acts, &order, &portion, 1000).records;
    }
    ck_assert_int_eq(taken, gone);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM (TABLE plain EXCEPT TABLE events) s"), 0);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM (TABLE events EXCEPT TABLE plain) s"), 0);
    ck_assert_int_eq(count_tables(), tables);
    ck_assert_int_eq(acts_count(acts, &order).records, 0);
    const struct undecidable *items;
    size_t n_items;
    struct err err;
    ck_assert_msg(!pg_driver.undecidable(acts->store, order.target, at("2026-06-01"), acts->arena, &items, &n_items, &err), "%s", err.text);
}

/* April ends at the cutoff, but tenant 8 is not due in it: no row of it, yet one might come. */
START_TEST(whole_months_before_every_cutoff_are_dropped) {
    struct acts acts = open_months("");
    sweep(&acts, 1, 7 - 3);
    ck_assert_int_eq(pg_number("SELECT (to_regclass('acts.m4') IS NOT NULL)::int"), 1);
    acts_close(&acts);
    acts = open_months("");
    sweep(&acts, 3, 7 - 3);
    acts_close(&acts);
}
END_TEST

/* Held, without a tenant, not a time: the partition stays for one row. */
START_TEST(one_row_that_must_live_keeps_its_partition) {
    struct acts acts = open_months("INSERT INTO events VALUES (1001, 7, '2025-01-03'), (1002, NULL, '2025-02-03')");
    sweep(&acts, 2, 7 - 1);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM events WHERE id IN (1001, 1002)"), 2);
    acts_close(&acts);
}
END_TEST

/* -infinity is undecidable and no instant that could be told; the others go all the same. */
START_TEST(an_anchor_that_is_no_instant_keeps_its_partition_alone) {
    struct acts acts = open_months("CREATE TABLE m0 PARTITION OF events FOR VALUES FROM (MINVALUE) TO ('2024-01-01'); ALTER TABLE m0 OWNER TO lapsed;"
                                   "INSERT INTO events VALUES (1001, 1, '-infinity'), (1002, 1, '2023-01-01'), (1003, 2, '-infinity')");
    sweep(&acts, 1, 8 - 3);
    ck_assert_int_eq(pg_number("SELECT sum(id) FROM m0"), 1001 + 1003);
    acts_close(&acts);
}
END_TEST

START_TEST(a_floor_keeps_its_partition) {
    struct acts acts = open_months("");
    struct order order = make_order(&acts);
    const struct scope floor = {.kind = SCOPE_WHOLE, .of = order.target, .anchor = "at", .anchor_is_since = true, .cutoff_us = at("2025-02-15")};
    order.floors = &floor;
    order.n_floors = 1;
    (void)acts_pass(&acts, &order, 1000);
    ck_assert_int_eq(count_tables(), 7 - 1);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM events WHERE at < '2025-02-15'"), 0);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM events WHERE at >= '2025-02-15'"), 4 * 50);
    acts_close(&acts);
}
END_TEST

/* A batch that cannot be finished is tried again, as a sweep does. */
static void pass_with_refusals(struct acts *acts, const struct order *order) {
    struct pass *pass;
    struct err err;
    ck_assert_int_eq(pg_driver.begin(acts->store, &order, 1, NULL, &pass, &err), 0);
    for (;;) {
        const struct batch *batch;
        struct outcome outcome;
        ck_assert_msg(!pg_driver.prepare(acts->store, pass, 1000, acts->arena, &batch, NULL, &err), "%s", err.text);
        if (!batch) break;
        if (pg_driver.finish(acts->store, pass, true, &outcome, &err)) ck_assert_int_eq(err.code, ERR_UNAVAILABLE);
    }
    pg_driver.end(acts->store, pass);
}

/* What a DROP would pass over. */
START_TEST(what_a_drop_would_not_heed_goes_row_by_row) {
    static const char *const reasons[] = {
        "CREATE TABLE notes (id bigint PRIMARY KEY, event bigint, at timestamptz, FOREIGN KEY (event, at) REFERENCES events (id, at))",
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'; CREATE TRIGGER t AFTER DELETE ON events FOR EACH ROW EXECUTE FUNCTION f()",
        "CREATE PUBLICATION drop_test FOR TABLE events",
        "CREATE VIEW v1 AS SELECT * FROM m1; CREATE VIEW v2 AS SELECT * FROM m2; CREATE VIEW v3 AS SELECT * FROM m3",
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        struct acts acts = open_months(reasons[i]);
        struct order order = make_order(&acts);
        pass_with_refusals(&acts, &order);
        ck_assert_int_eq(count_tables(), 7);
        ck_assert_int_eq(pg_number("SELECT count(*) FROM events WHERE at < '" CUTOFF "'"), 0);
        pg_sql("DROP PUBLICATION IF EXISTS drop_test");
        acts_close(&acts);
    }
}
END_TEST

/* A writer has its row in the partition: it goes row by row, without the writer's. */
START_TEST(a_partition_that_is_written_to_is_not_waited_for) {
    struct acts acts = open_months("");
    struct order order = make_order(&acts);
    ck_assert_str_eq(pg_elsewhere("BEGIN"), "");
    ck_assert_str_eq(pg_elsewhere("INSERT INTO acts.events VALUES (5000, 1, '2025-01-05')"), "");
    pass_with_refusals(&acts, &order);
    ck_assert_int_eq(count_tables(), 7); /* the writer is in the way of every DROP */
    ck_assert_str_eq(pg_elsewhere("COMMIT"), "");
    ck_assert_int_eq(pg_number("SELECT count(*) FROM events WHERE at < '" CUTOFF "'"), 1);
    pass_with_refusals(&acts, &order);
    ck_assert_int_eq(count_tables(), 7 - 1); /* the others are empty by now */
    ck_assert_int_eq(pg_number("SELECT count(*) FROM events WHERE at < '" CUTOFF "'"), 0);
    acts_close(&acts);
}
END_TEST

static void assert_untouched(const char *swap, const char *table) {
    char sql[200];
    struct acts acts = open_months("");
    struct order order = make_order(&acts);
    pg_sql(swap);
    (void)snprintf(sql, sizeof sql, "GRANT ALL ON ALL TABLES IN SCHEMA acts TO lapsed; ALTER TABLE acts.%s OWNER TO lapsed", table);
    pg_sql(sql);
    pass_with_refusals(&acts, &order);
    (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM acts.%s", table);
    ck_assert_int_eq(pg_number(sql), 50);
    ck_assert_int_eq(count_tables(), 7 - 2); /* the others went */
    acts_close(&acts);
}

/* Whoever put another table in its place, or took it out to keep it, meant that one to stay. */
START_TEST(a_partition_that_was_swapped_is_left_alone) {
    assert_untouched("ALTER TABLE m1 RENAME TO old_m1; CREATE TABLE m1 AS SELECT * FROM old_m1", "m1");
    assert_untouched("ALTER TABLE m1 RENAME TO old_m1; CREATE TABLE m1 AS SELECT * FROM old_m1", "old_m1");
    assert_untouched("ALTER TABLE events DETACH PARTITION m1", "m1");
}
END_TEST

/* Without drop = true, while the pass is at m1: the next one, or m1 itself, after two batches of it. */
START_TEST(a_partition_that_went_is_passed_over) {
    static const struct {
        const char *sql, *left;
    } ways[] = {
        {"ALTER TABLE events DETACH PARTITION m2", "SELECT count(*) - 50 FROM m2"},
        {"ALTER TABLE events DETACH PARTITION m1", "SELECT count(*) - 10 FROM m1"},
        {"DROP TABLE m2", NULL},
        {"DROP TABLE m1", NULL},
    };
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        struct acts acts = open_months_for(RULE_OF(""), "");
        struct order order = make_order(&acts);
        const struct order *orders[] = {&order}, *failed = NULL;
        const struct batch *batch;
        struct outcome outcome;
        struct pass *pass;
        struct err err;
        ck_assert_int_eq(pg_driver.begin(acts.store, orders, 1, NULL, &pass, &err), 0);
        for (bool went = false;;) {
            ck_assert_msg(!pg_driver.prepare(acts.store, pass, 20, acts.arena, &batch, &failed, &err), "%s", err.text);
            if (!batch) break;
            ck_assert_msg(!pg_driver.finish(acts.store, pass, true, &outcome, &err), "%s", err.text);
            if (went || pg_number("SELECT count(*) FROM m1") != 10) continue;
            pg_sql(ways[i].sql);
            went = true;
        }
        pg_driver.end(acts.store, pass);
        ck_assert_int_eq(pg_number("SELECT count(*) FROM events WHERE at < '" CUTOFF "'"), 0);
        ck_assert_int_eq(count_tables(), ways[i].left ? 7 : 7 - 1);
        if (ways[i].left) ck_assert_int_eq(pg_number(ways[i].left), 0);
        ck_assert_int_eq(acts_count(&acts, &order).records, 0);
        acts_close(&acts);
    }
}
END_TEST

/* Elsewhere, as soon as somebody waits to lock it. */
static void drop_m2_when_waited_for(void) {
    struct buf sql = {0};
    buf_printf(&sql, "CREATE EXTENSION IF NOT EXISTS dblink SCHEMA public; SELECT public.dblink_connect('drop', '%s');"
               "SELECT public.dblink_exec('drop', 'BEGIN; LOCK TABLE acts.m2 IN SHARE MODE');"
               "SELECT public.dblink_send_query('drop', 'DO $$ BEGIN FOR i IN 1..5000 LOOP"
               " EXIT WHEN EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = %ld); PERFORM pg_sleep(0.002); END LOOP; END $$; DROP TABLE acts.m2; COMMIT')",
               getenv("LAPSED_TEST_POSTGRESQL_ADMIN"), pg_number("SELECT 'acts.m2'::regclass::oid::bigint"));
    pg_sql(buf_text(&sql));
    buf_free(&sql);
}

/* With drop = true: m2 is dropped by somebody else while its lock is waited for. */
START_TEST(a_partition_that_goes_as_it_is_locked_is_passed_over) {
    struct acts acts = open_months("");
    struct order order = make_order(&acts);
    const struct order *orders[] = {&order};
    struct pass *pass;
    const struct batch *batch;
    struct outcome outcome;
    struct err err;
    ck_assert_int_eq(pg_driver.begin(acts.store, orders, 1, NULL, &pass, &err), 0);
    while (pg_number("SELECT (to_regclass('acts.m1') IS NOT NULL)::int")) {
        ck_assert_msg(!pg_driver.prepare(acts.store, pass, 1000, acts.arena, &batch, NULL, &err), "%s", err.text);
        ck_assert_ptr_nonnull(batch);
        ck_assert_int_eq(pg_driver.finish(acts.store, pass, true, &outcome, &err), 0);
    }
    drop_m2_when_waited_for();
    for (;;) {
        ck_assert_msg(!pg_driver.prepare(acts.store, pass, 1000, acts.arena, &batch, NULL, &err), "%s", err.text);
        if (!batch) break;
        ck_assert_int_eq(pg_driver.finish(acts.store, pass, true, &outcome, &err), 0);
    }
    pg_driver.end(acts.store, pass);
    pg_sql("SELECT public.dblink_disconnect('drop')");
    ck_assert_int_eq(pg_number("SELECT (to_regclass('acts.m1') IS NULL AND to_regclass('acts.m2') IS NULL)::int"), 1);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM events WHERE at < '" CUTOFF "'"), 0);
    acts_close(&acts);
}
END_TEST

START_TEST(the_batch_says_what_goes_before_it_goes) {
    struct acts acts = open_months("");
    struct order order = make_order(&acts);
    const struct order *orders[] = {&order};
    struct pass *pass;
    const struct batch *batch;
    struct outcome outcome;
    struct err err;
    ck_assert_int_eq(pg_driver.begin(acts.store, orders, 1, NULL, &pass, &err), 0);
    for (;;) { /* the default partition goes row by row */
        ck_assert_msg(!pg_driver.prepare(acts.store, pass, 10, acts.arena, &batch, NULL, &err), "%s", err.text);
        ck_assert_ptr_nonnull(batch);
        if (batch->range) break;
        ck_assert_int_eq(pg_driver.finish(acts.store, pass, true, &outcome, &err), 0);
    }
    ck_assert(batch->range && *batch->transaction);
    ck_assert_int_eq(batch->records, 50);
    ck_assert_uint_eq(batch->n_tenants, 5);
    ck_assert_int_eq(batch->tenants[0].count, 10);
    ck_assert_int_eq(batch->tenants[0].oldest_us, at("2025-01-02T05:00:00Z"));
    ck_assert_uint_eq(batch->evidence.n_leaves, 0);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM m1"), 50);
    /* Not this time: a hold came. The tenant's rows stay, and the partition with them. */
    ck_assert_int_eq(pg_driver.finish(acts.store, pass, false, &outcome, &err), 0);
    pg_driver.exclude(acts.store, pass, &order, "1");
    for (;;) {
        ck_assert_msg(!pg_driver.prepare(acts.store, pass, 1000, acts.arena, &batch, NULL, &err), "%s", err.text);
        if (!batch) break;
        ck_assert_int_eq(pg_driver.finish(acts.store, pass, true, &outcome, &err), 0);
    }
    pg_driver.end(acts.store, pass);
    ck_assert_int_eq(count_tables(), 7);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM events WHERE at < '" CUTOFF "' AND tenant = 1"), 4 * 10);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM events WHERE at < '" CUTOFF "' AND tenant <> 1"), 0);
    acts_close(&acts);
}
END_TEST

static void faulty(const char *sql, const char *role, const char *fault) {
    fresh_schema("CREATE TABLE customers (id bigint PRIMARY KEY, ended_at timestamptz, months text);");
    run_sql(sql);
    run_sql("GRANT USAGE ON SCHEMA catalog_test TO lapsed; GRANT ALL ON ALL TABLES IN SCHEMA catalog_test TO lapsed");
    struct world world;
    open_world(&world, NULL, RULE, role, getenv("LAPSED_TEST_PASSWORD"));
    check_world(&world);
    ck_assert_msg(fault ? world.faults.count == 1 && strstr(world.text, fault) : !world.faults.count, "%s", world.text);
    close_world(&world);
    leave_schema();
}

START_TEST(check_says_what_a_drop_needs) {
    static const char parts[] = "CREATE TABLE events (id bigint, tenant bigint, at timestamptz, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);"
                                "CREATE TABLE m1 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2025-02-01');";
    faulty("CREATE TABLE events (id bigint PRIMARY KEY, tenant bigint, at timestamptz)", NULL, "drop = true is for a partitioned table");
    faulty(parts, NULL, NULL);
    faulty(parts, "lapsed", "does not own the partition \"m1\"");
    char owned[600];
    (void)snprintf(owned, sizeof owned, "%s ALTER TABLE m1 OWNER TO lapsed", parts);
    faulty(owned, "lapsed", NULL);
}
END_TEST

UNIT_MAIN("PostgreSQL: drop", a_partition_that_was_swapped_is_left_alone, whole_months_before_every_cutoff_are_dropped, one_row_that_must_live_keeps_its_partition,
          an_anchor_that_is_no_instant_keeps_its_partition_alone, a_floor_keeps_its_partition,
          what_a_drop_would_not_heed_goes_row_by_row, a_partition_that_is_written_to_is_not_waited_for, a_partition_that_went_is_passed_over,
          a_partition_that_goes_as_it_is_locked_is_passed_over, the_batch_says_what_goes_before_it_goes, check_says_what_a_drop_needs)
