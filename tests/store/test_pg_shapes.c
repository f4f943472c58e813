/* The ways of choosing a batch: each takes exactly what the plain statement takes, is chosen for what the table is like, and is
 * the way that the server goes, whatever its statistics say. */
#include "pg_fixture.h"

#include "base/time.h"
#include "store/pg_take.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CUTOFF "2026-01-01"
#define RULE(target) "{ data = \"Events\"; keep = \"1 year\"; basis = \"b\"; targets = ( { table = \"events\"; tenant = \"tenant\"; since = \"at\"; " target " } ); }"

/* One row a page: few rows make a table that is worth choosing for. */
#define WIDE "WITH (fillfactor = 10, autovacuum_enabled = off)"
#define NARROW "WITH (autovacuum_enabled = off)"
#define TENANT_AT "CREATE INDEX ON events (tenant, at);"
#define AT "CREATE INDEX ON events (at);"

static void make_events(const char *storage, const char *indexes) {
    struct buf sql = {0};
    buf_printf(&sql, "CREATE TABLE events (id bigint PRIMARY KEY, tenant bigint, at timestamptz, kind int, pad text) %s;%s", storage, indexes);
    pg_schema(buf_text(&sql));
    buf_free(&sql);
}

/* `due` of 100 are old; some have no tenant, no anchor, one in the future, or one at the edge. */
static void fill(int rows, int tenants, int due, unsigned seed) {
    struct buf sql = {0};
    buf_printf(&sql,
               "SELECT setseed(%u / 1000.0); INSERT INTO events SELECT n, CASE WHEN r[1] < 0.02 THEN NULL ELSE (r[2] * %d)::bigint END,"
               " CASE WHEN r[3] < 0.02 THEN NULL WHEN r[3] < 0.03 THEN '-infinity' WHEN r[3] < 0.04 THEN 'infinity' WHEN r[3] < 0.05 THEN '" CUTOFF "'"
               " WHEN r[4] * 100 < %d THEN timestamptz '" CUTOFF "' - interval '1 microsecond' - r[5] * interval '400 days'"
               " ELSE timestamptz '" CUTOFF "' + r[5] * interval '200 days' END, (r[6] * 3)::int, repeat('x', 700)"
               " FROM (SELECT n, ARRAY[random(), random(), random(), random(), random(), random()] AS r FROM generate_series(1, %d) n OFFSET 0) s",
               seed, tenants, due, rows);
    pg_sql(buf_text(&sql));
    buf_free(&sql);
}

static struct scope_tenant exceptions[] = {
    {.id = "1", .cutoff_us = TIME_NEVER, .end_us = TIME_FOREVER}, /* held */
    {.id = "2", .end_us = TIME_FOREVER},
    {.id = "3", .end_us = TIME_FOREVER},
    {.id = "nobody", .cutoff_us = TIME_NEVER, .end_us = TIME_FOREVER},
};

/* The default cutoff, four tenants with their own, and an at_least that is later than some. */
static struct order make_order(const struct acts *acts, struct scope *ret_floor) {
    const struct target *target = acts_target(acts, 0);
    exceptions[1].cutoff_us = at("2025-06-01");
    exceptions[2].cutoff_us = at("2026-02-01");
    const struct scope due = {.kind = SCOPE_REST, .of = target, .anchor = "at", .anchor_is_since = true, .cutoff_us = at(CUTOFF),
                              .tenants = exceptions, .n_tenants = sizeof exceptions / sizeof *exceptions};
    *ret_floor = (struct scope){.kind = SCOPE_WHOLE, .of = target, .anchor = "at", .anchor_is_since = true, .cutoff_us = at("2026-01-15")};
    struct order order = order_make(target, ACTION_PURGE, &target->rule->keep[0], due);
    order.floors = ret_floor;
    order.n_floors = 1;
    return order;
}

#define PLAINLY \
    "tenant IS NOT NULL AND at > '-infinity' AND at < '2026-01-15' AND at < CASE tenant WHEN 1 THEN '-infinity' WHEN 2 THEN '2025-06-01'" \
    " WHEN 3 THEN '2026-02-01' ELSE '" CUTOFF "' END::timestamptz"

/* Runs the pass in so many portions; the rows left are those that the plain statement leaves. */
static void same_as_plainly(struct acts *acts, unsigned portions, const char *more, size_t limit) {
    struct buf sql = {0};
    struct scope floor;
    struct order order = make_order(acts, &floor);
    buf_printf(&sql, "CREATE TEMP TABLE plain AS TABLE events; DELETE FROM plain WHERE " PLAINLY "%s", more);
    pg_sql(buf_text(&sql));
    long before = pg_number("SELECT count(*) FROM events"), gone = before - pg_number("SELECT count(*) FROM plain"), taken = 0;
    ck_assert_int_gt(gone, 0);
    for (unsigned part = 0; part < portions; part++) {
        const struct portion portion = {.part = part, .parts = portions};
        taken += (long)acts_pass_portion(acts, &order, &portion, limit).records;
    }
    ck_assert_int_eq(taken, gone);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM (TABLE plain EXCEPT TABLE events) s"), 0);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM (TABLE events EXCEPT TABLE plain) s"), 0);
    ck_assert_uint_eq(acts_probe(acts, &order).n_tenants, 0);
    ck_assert_int_eq(acts_count(acts, &order).records, 0);
    pg_sql("DROP TABLE plain");
    buf_free(&sql);
}

/* The server counts a session's scans when it ends. Then the administrator once more: pg_leave. */
static void wait_for_statistics(struct acts *acts) {
    acts_close(acts);
    pg_schema_again();
    int64_t until_us = time_monotonic_us() + 20 * TIME_SECOND_US;
    while (pg_number("SELECT count(*) FROM pg_stat_activity WHERE usename = 'lapsed'")) ck_assert_int_lt(time_monotonic_us(), until_us);
}

static enum pg_shape shape_of(struct acts *acts) {
    struct pg_store *store = (struct pg_store *)(void *)acts->store;
    struct scope floor;
    struct order order = make_order(acts, &floor);
    struct pg_run run;
    struct err err;
    ck_assert_msg(!pg_begin(store, false, &err), "%s", err.text);
    ck_assert_msg(!pg_run_open(store, &run, &order, pg_bound_of(store, order.target)->table->leaves[0], NULL, acts->arena, &err), "%s", err.text);
    ck_assert_int_eq(pg_rollback(store, &err), 0);
    ck_assert(!run.over);
    return run.shape;
}

static const struct {
    const char *name, *storage, *indexes;
    int rows, due;
    enum pg_shape shape;
} tables[] = {
    {"no index", NARROW, "", 3000, 50, PG_BY_BLOCK},
    {"small, by tenant", NARROW, TENANT_AT, 3000, 50, PG_BY_TENANT},
    {"few due, by tenant", WIDE, TENANT_AT, 2000, 8, PG_BY_TENANT},
    {"many due, by tenant", WIDE, TENANT_AT, 2000, 50, PG_BY_BLOCK},
    {"few due, by age", WIDE, AT, 2000, 8, PG_BY_SINCE},
    {"few due, both", WIDE, TENANT_AT AT, 2000, 8, PG_BY_SINCE},
    {"many due, by age", WIDE, AT, 2000, 50, PG_BY_BLOCK},
};
enum { N_TABLES = sizeof tables / sizeof *tables };

/* Twice each: once in one portion, once in three; batches smaller and larger than a tenant. */
START_TEST(every_way_takes_what_the_plain_statement_takes) {
    for (unsigned i = 0; i < N_TABLES; i++)
        for (unsigned round = 0; round < 2; round++) {
            make_events(tables[i].storage, tables[i].indexes);
            fill(tables[i].rows, 40, tables[i].due, i * 2 + round + 1);
            struct acts acts = acts_open(RULE(""));
            ck_assert_msg(shape_of(&acts) == tables[i].shape, "%s: another shape", tables[i].name);
            same_as_plainly(&acts, round ? 3 : 1, "", round ? 17 : 400);
            acts_close(&acts);
        }
}
END_TEST

static struct pass *begin_pass(struct acts *acts, const struct order *order) {
    const struct order **orders = ARENA_ARRAY(acts->arena, const struct order *, 1); /* outlives the pass */
    orders[0] = order;
    struct pass *pass;
    struct err err;
    ck_assert_msg(!pg_driver.begin(acts->store, orders, 1, NULL, &pass, &err), "%s", err.text);
    return pass;
}

static const struct batch *take_batch(struct acts *acts, struct pass *pass, size_t limit) {
    const struct batch *batch;
    const struct order *failed = NULL;
    struct outcome outcome;
    struct err err;
    ck_assert_msg(!pg_driver.prepare(acts->store, pass, limit, acts->arena, &batch, &failed, &err), "%s", err.text);
    ck_assert_ptr_nonnull(batch);
    ck_assert_msg(!pg_driver.finish(acts->store, pass, true, &outcome, &err), "%s", err.text);
    return batch;
}

/* Half of the rows are due, one a block: a batch that may have eight times as many as the last has them. */
START_TEST(a_range_of_blocks_holds_what_the_batch_may_have) {
    static const size_t limits[] = {10, 80, 640};
    make_events(WIDE, "");
    pg_sql("INSERT INTO events SELECT n, 10 + n % 20, CASE n % 2 WHEN 0 THEN timestamptz '2025-05-01' ELSE '2030-01-01' END, 1, repeat('x', 700) FROM generate_series(1, 3000) n");
    struct acts acts = acts_open(RULE(""));
    ck_assert_int_eq(shape_of(&acts), PG_BY_BLOCK);
    struct scope floor;
    struct order order = make_order(&acts, &floor);
    struct pass *pass = begin_pass(&acts, &order);
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        const struct batch *batch = take_batch(&acts, pass, limits[i]);
        ck_assert_int_eq(batch->records, (int64_t)limits[i]);
    }
    pg_driver.end(acts.store, pass);
    acts_close(&acts);
}
END_TEST

/* What takes the server too long is asked of half as many blocks, and of half of those. */
START_TEST(a_range_that_takes_too_long_is_halved) {
    enum { ROWS = 3000 };
    make_events(WIDE, "");
    pg_sql("INSERT INTO events SELECT n, 10 + n % 20, '2025-05-01', 1, repeat('x', 700) FROM generate_series(1, 3000) n;"
           "CREATE FUNCTION patient(id bigint) RETURNS boolean LANGUAGE plpgsql AS $$ DECLARE n int; BEGIN IF current_query() NOT LIKE 'DELETE%' THEN RETURN true; END IF;"
           " n := 1 + coalesce(nullif(current_setting('acts.n', true), ''), '0')::int; PERFORM set_config('acts.n', n::text, true);"
           " IF n > 600 THEN RAISE EXCEPTION USING ERRCODE = '57014'; END IF; RETURN true; END $$");
    struct acts acts = acts_open(RULE("only = \"patient(id)\";"));
    ck_assert_int_eq(shape_of(&acts), PG_BY_BLOCK);
    struct scope floor;
    struct order order = make_order(&acts, &floor);
    struct pass *pass = begin_pass(&acts, &order);
    const struct batch *batch = NULL;
    int64_t taken = 0;
    int refused = 0;
    do {
        struct outcome outcome;
        struct err err;
        if (pg_driver.prepare(acts.store, pass, 10000, acts.arena, &batch, NULL, &err) < 0) {
            ck_assert_str_eq(err.detail, "57014");
            ck_assert_int_lt(++refused, 30);
            continue;
        }
        if (batch) ck_assert_int_eq(pg_driver.finish(acts.store, pass, true, &outcome, &err), 0);
        if (batch) taken += outcome.records;
    } while (batch || taken < ROWS);
    ck_assert_int_gt(refused, 0);
    ck_assert_int_eq(taken, ROWS);
    pg_driver.end(acts.store, pass);
    acts_close(&acts);
}
END_TEST

/* With their dependents few records fill a batch, and the range is for as many: not all of a large table is sorted for each. */
START_TEST(a_range_of_blocks_is_for_the_records_that_are_chosen) {
    enum { EACH = 600, LIMIT = 1000, RECORDS = 12, BLOCKS = 2000 };
    make_events(NARROW, "");
    pg_sql("CREATE TABLE parts (id bigserial PRIMARY KEY, event_id bigint REFERENCES events); CREATE INDEX ON parts (event_id);"
           "GRANT ALL ON ALL TABLES IN SCHEMA acts TO lapsed;"
           "INSERT INTO events SELECT n, 10 + n % 20, '2025-05-01', 1, repeat('x', 700) FROM generate_series(1, 20000) n;"
           "INSERT INTO parts (event_id) SELECT id FROM events, generate_series(1, 600) WHERE id <= 12; ANALYZE; SELECT pg_stat_force_next_flush()");
    ck_assert_int_ge(pg_number("SELECT pg_relation_size('events') / 8192"), BLOCKS);
    long before = pg_number("SELECT heap_blks_hit + heap_blks_read FROM pg_statio_user_tables WHERE relid = 'events'::regclass");
    struct acts acts = acts_open(RULE("dependents = [ \"parts.event_id\" ];"));
    struct scope floor;
    struct order order = make_order(&acts, &floor);
    struct pass *pass = begin_pass(&acts, &order);
    for (int i = 0; i < RECORDS; i++) {
        const struct batch *batch = take_batch(&acts, pass, LIMIT);
        ck_assert_int_eq(batch->dependents, EACH);
        ck_assert_int_eq(batch->records, 1);
    }
    pg_driver.end(acts.store, pass);
    wait_for_statistics(&acts);
    /* Who has anything due is asked of all of it, then a first range is tried; that is less than four times the table. */
    long read = pg_number("SELECT heap_blks_hit + heap_blks_read FROM pg_statio_user_tables WHERE relid = 'events'::regclass") - before;
    ck_assert_int_ge(read, BLOCKS);
    ck_assert_int_lt(read, 4 * BLOCKS);
    pg_leave();
}
END_TEST

/* A statement that names tens of thousands of tenants takes longer than a batch may, however few records it is for. */
START_TEST(very_many_tenants_go_one_after_the_other) {
    make_events(NARROW, TENANT_AT);
    pg_sql("INSERT INTO events SELECT n, n, '2025-05-01', 1, repeat('x', 250) FROM generate_series(1, 33500) n");
    struct acts acts = acts_open(RULE(""));
    ck_assert_int_eq(shape_of(&acts), PG_BY_TENANT);
    same_as_plainly(&acts, 1, "", 20000);
    acts_close(&acts);
}
END_TEST

START_TEST(every_way_heeds_the_condition_of_the_target) {
    for (unsigned i = 0; i < N_TABLES; i++) {
        make_events(tables[i].storage, tables[i].indexes);
        fill(tables[i].rows, 40, tables[i].due, 100 + i);
        struct acts acts = acts_open(RULE("only = \"kind <> 1\";"));
        same_as_plainly(&acts, 2, " AND kind <> 1", 90);
        acts_close(&acts);
    }
}
END_TEST

/* What hangs on a record goes with it, what is referred to stays. */
START_TEST(every_way_takes_children_and_leaves_what_is_referred_to) {
    for (unsigned i = 0; i < N_TABLES; i++) {
        make_events(tables[i].storage, tables[i].indexes);
        pg_sql("CREATE TABLE parts (id bigserial PRIMARY KEY, event_id bigint REFERENCES events); CREATE INDEX ON parts (event_id);"
               "CREATE TABLE keeps (id bigserial PRIMARY KEY, event_id bigint REFERENCES events); CREATE INDEX ON keeps (event_id);"
               "GRANT ALL ON ALL TABLES IN SCHEMA acts TO lapsed");
        fill(tables[i].rows, 40, tables[i].due, 200 + i);
        pg_sql("INSERT INTO parts (event_id) SELECT id FROM events, generate_series(1, 2) WHERE id % 3 = 0;"
               "INSERT INTO keeps (event_id) SELECT id FROM events WHERE id % 7 = 0");
        struct acts acts = acts_open(RULE("dependents = [ \"parts.event_id\" ];"));
        same_as_plainly(&acts, 2, " AND NOT EXISTS (SELECT FROM keeps k WHERE k.event_id = plain.id)", 90);
        ck_assert_int_eq(pg_number("SELECT count(*) FROM parts p LEFT JOIN events e ON e.id = p.event_id WHERE e.id IS NULL"), 0);
        ck_assert_int_eq(pg_number("SELECT count(*) FROM events e WHERE id % 3 = 0 AND (SELECT count(*) FROM parts p WHERE p.event_id = e.id) <> 2"), 0);
        acts_close(&acts);
    }
}
END_TEST

/* ---- the way that the server goes ---- */

/* The node types of the statement of the first batch, one after the other. */
static char *plan_of(struct acts *acts) {
    struct pg_store *store = (struct pg_store *)(void *)acts->store;
    struct scope floor;
    struct order order = make_order(acts, &floor);
    struct pg_run run;
    struct err err;
    PG_SQL sql = {.arena = acts->arena};
    PG_RESULT result = NULL;
    ck_assert_msg(!pg_begin(store, false, &err), "%s", err.text);
    ck_assert_msg(!pg_run_open(store, &run, &order, pg_bound_of(store, order.target)->table->leaves[0], NULL, acts->arena, &err), "%s", err.text);
    ck_assert_msg(!pg_begin_with(store, pg_run_pins(&run), &err), "%s", err.text);
    ck_assert(pg_run_next(&run, 500));
    buf_add(&sql.text, "EXPLAIN (FORMAT JSON) ");
    pg_take_add(&sql, &run, 500);
    sql.binary = false;
    ck_assert_msg(!pg_run(store, &sql, &result, &err), "%s", err.text);
    struct buf nodes = {0};
    for (const char *node = PQgetvalue(result, 0, 0); (node = strstr(node, "\"Node Type\": \"")) != NULL;) {
        node += strlen("\"Node Type\": \"");
        buf_add_n(&nodes, node, strcspn(node, "\""));
        buf_add_char(&nodes, ';');
    }
    ck_assert_int_eq(pg_rollback(store, &err), 0);
    char *text = xstrdup(buf_text(&nodes));
    buf_free(&nodes);
    return text;
}

static void assert_plan(struct acts *acts, enum pg_shape shape, const char *table, const char *statistics) {
    static const char *const plans[] = {
        [PG_BY_TENANT] = "ModifyTable;Limit;Nested Loop;Function Scan;Limit;Index Scan;Tid Scan;",
        [PG_BY_SINCE] = "ModifyTable;Limit;Index Scan;Tid Scan;",
        [PG_BY_BLOCK] = "ModifyTable;Limit;Tid Range Scan;Tid Scan;",
    };
    char *plan = plan_of(acts);
    ck_assert_msg(!strcmp(plan, plans[shape]), "%s, %s: %s", table, statistics, plan);
    free(plan);
}

START_TEST(the_server_goes_that_way_whatever_its_statistics_say) {
    for (unsigned i = 0; i < N_TABLES; i++) {
        make_events(tables[i].storage, tables[i].indexes);
        fill(tables[i].rows, 40, tables[i].due, 300 + i);
        struct acts acts = acts_open(RULE(""));
        assert_plan(&acts, tables[i].shape, tables[i].name, "never analyzed");
        pg_sql("ANALYZE events");
        assert_plan(&acts, tables[i].shape, tables[i].name, "analyzed");
        acts_close(&acts);
        /* Analyzed when it had a few new rows of one tenant. */
        make_events(tables[i].storage, tables[i].indexes);
        pg_sql("INSERT INTO events SELECT -n, 0, '2030-01-01', 1, 'x' FROM generate_series(1, 10) n; ANALYZE events");
        fill(tables[i].rows, 40, tables[i].due, 400 + i);
        acts = acts_open(RULE(""));
        assert_plan(&acts, tables[i].shape, tables[i].name, "badly estimated");
        acts_close(&acts);
    }
}
END_TEST

/* Asking who has anything due must not read the table once a tenant, nor at all where an index leads there. */
START_TEST(the_probe_does_not_read_the_table) {
    static const char *const statistics[] = {"SELECT", "ANALYZE events"};
    for (unsigned i = 0; i < 2; i++) {
        make_events(WIDE, TENANT_AT);
        pg_sql("INSERT INTO events SELECT -n, 0, '2030-01-01', 1, 'x' FROM generate_series(1, 10) n");
        pg_sql(statistics[i]);
        fill(2000, 40, 8, 500 + i);
        struct acts acts = acts_open(RULE(""));
        struct scope floor;
        struct order order = make_order(&acts, &floor);
        pg_sql("SELECT pg_stat_force_next_flush()");
        long before = pg_number("SELECT seq_scan FROM pg_stat_user_tables WHERE relid = 'events'::regclass");
        ck_assert_uint_gt(acts_probe(&acts, &order).n_tenants, 30);
        wait_for_statistics(&acts);
        ck_assert_int_eq(pg_number("SELECT seq_scan FROM pg_stat_user_tables WHERE relid = 'events'::regclass"), before);
        ck_assert_int_gt(pg_number("SELECT idx_scan FROM pg_stat_user_tables WHERE relid = 'events'::regclass"), 40);
        pg_leave();
    }
}
END_TEST

enum { MANY = 701 };

static int by_id(const void *a, const void *b) { return strcmp(((const struct scope_tenant *)a)->id, ((const struct scope_tenant *)b)->id); }

/* Every tenant with a cutoff of its own, some of them held: more than it pays to ask for one by one. */
static struct order order_for_many(const struct acts *acts, struct scope_tenant tenants[MANY]) {
    const struct target *target = acts_target(acts, 0);
    for (int i = 0; i < MANY; i++)
        tenants[i] = (struct scope_tenant){.id = arena_printf(acts->arena, "%d", i), .end_us = TIME_FOREVER,
                                           .cutoff_us = i % 7 == 0 ? TIME_NEVER : i % 7 == 1 ? at("2025-06-01") : at(CUTOFF)};
    qsort(tenants, MANY, sizeof *tenants, by_id);
    return order_make(target, ACTION_PURGE, &target->rule->keep[0],
                      (struct scope){.kind = SCOPE_REST, .of = target, .anchor = "at", .anchor_is_since = true, .cutoff_us = TIME_NEVER, .tenants = tenants, .n_tenants = MANY});
}

#define MANY_PLAINLY \
    "FROM events WHERE at > '-infinity' AND at < CASE tenant % 7 WHEN 0 THEN '-infinity' WHEN 1 THEN '2025-06-01' ELSE '" CUTOFF "' END::timestamptz"

/* The same answers as the plain statement's, and by the index, whatever the statistics say. */
START_TEST(few_rows_of_many_tenants_are_found_by_the_index) {
    static const char *const statistics[] = {"SELECT", "ANALYZE events"};
    for (unsigned i = 0; i < 4; i++) {
        make_events(NARROW, TENANT_AT);
        fill(1200, MANY - 1, i < 2 ? 50 : 2, 600 + i);
        pg_sql(statistics[i % 2]);
        struct scope_tenant tenants[MANY];
        struct acts acts = acts_open(RULE(""));
        struct order order = order_for_many(&acts, tenants);
        long n_tenants = pg_number("SELECT count(DISTINCT tenant) " MANY_PLAINLY), before;
        pg_sql("SELECT pg_stat_force_next_flush()");
        before = pg_number("SELECT seq_scan FROM pg_stat_user_tables WHERE relid = 'events'::regclass");
        struct tally tally = acts_probe(&acts, &order);
        ck_assert_int_gt(n_tenants, 0);
        ck_assert_int_eq((long)tally.n_tenants, n_tenants);
        struct buf ids = {0};
        for (size_t t = 0; t < tally.n_tenants; t++) buf_printf(&ids, "%s%s", t ? "," : "", tally.tenants[t].tenant);
        wait_for_statistics(&acts);
        ck_assert_int_eq(pg_number("SELECT seq_scan FROM pg_stat_user_tables WHERE relid = 'events'::regclass"), before);
        struct buf others = {0};
        buf_printf(&others, "SELECT count(*) %s AND tenant NOT IN (%s)", MANY_PLAINLY, buf_text(&ids));
        ck_assert_int_eq(pg_number(buf_text(&others)), 0);
        buf_free(&others);
        buf_free(&ids);
        pg_leave();
    }
}
END_TEST

UNIT_MAIN("PostgreSQL: shapes", every_way_takes_what_the_plain_statement_takes, a_range_of_blocks_holds_what_the_batch_may_have, a_range_that_takes_too_long_is_halved,
          a_range_of_blocks_is_for_the_records_that_are_chosen, very_many_tenants_go_one_after_the_other,
          every_way_heeds_the_condition_of_the_target,
          every_way_takes_children_and_leaves_what_is_referred_to, the_server_goes_that_way_whatever_its_statistics_say, the_probe_does_not_read_the_table,
          few_rows_of_many_tenants_are_found_by_the_index)
