/* The leaves of PostgreSQL's batches are exactly the rows that went or changed, dependents included. */
#include "pg_fixture.h"

#include "leaves.h"

#define BY_AGE(target) "{ data = \"Logs\"; keep = \"1 year\"; basis = \"b\"; targets = ( { " target " } ); }"
#define ANONYMIZE(target) "{ data = \"A\"; anonymize = \"1 year\"; keep = \"2 years\"; basis = \"b\"; targets = ( { " target " } ); }"
#define CUTOFF "2026-01-01"

static struct sum pass_over(struct acts *acts, enum action action, size_t limit) {
    struct order order = order_by_age(acts_target(acts, 0), action, CUTOFF);
    return acts_pass(acts, &order, limit);
}

START_TEST(keys_of_every_kind_have_their_text) {
    pg_schema("CREATE TABLE logs (day date, \"when\" timestamptz, who uuid, bytes bytea, name text, customer_id bigint, at timestamptz,"
              " PRIMARY KEY (name, day, \"when\", who, bytes)); CREATE INDEX ON logs (customer_id, at)");
    pg_sql("INSERT INTO logs VALUES ('2020-02-29', '2020-02-29 12:00:00.5+02', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '\\x00ff', E'a \"b\"\\n', 1, '2025-01-01'),"
           " ('2020-02-29', '2020-02-29 12:00:00.5+02', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '\\x00ff', 'kept', 1, '2026-01-01')");
    struct acts acts = acts_open(BY_AGE("table = \"logs\"; tenant = \"customer_id\"; since = \"at\";"));
    ck_assert_int_eq(pass_over(&acts, ACTION_PURGE, 10).records, 1);
    leaves_expect((const char *const[]){"[\"main\",\"logs\",\"a \\\"b\\\"\\n\",\"2020-02-29\",\"2020-02-29 10:00:00.5+00\",\"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\","
                                        "\"\\\\x00ff\"]", NULL});
    acts_close(&acts);
}
END_TEST

static const char orders_sql[] = "CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint, at timestamptz, note text); CREATE INDEX ON orders (customer_id, at);"
                                 "CREATE TABLE lines (a int, b int, order_id bigint REFERENCES orders, text text, PRIMARY KEY (b, a)); CREATE INDEX ON lines (order_id);"
                                 "CREATE TABLE marks (line text, order_id bigint REFERENCES orders); CREATE INDEX ON marks (order_id);";

START_TEST(dependents_have_leaves_under_their_own_table) {
    pg_schema(orders_sql);
    pg_sql("INSERT INTO orders SELECT n, 1, timestamptz '2025-12-30' + n * interval '1 day' FROM generate_series(1, 4) n");
    pg_sql("INSERT INTO lines SELECT n, 10 * n, 1 + n % 4, 'secret' FROM generate_series(1, 4) n");
    struct acts acts = acts_open(BY_AGE("table = \"orders\"; tenant = \"customer_id\"; since = \"at\"; dependents = [ \"lines.order_id\", \"marks.order_id\" ];"));
    struct sum sum = pass_over(&acts, ACTION_PURGE, 100);
    ck_assert_int_eq(sum.records, 1);
    ck_assert_int_eq(sum.dependents, 1);
    leaves_expect((const char *const[]){"[\"main\",\"orders\",\"1\"]", "[\"main\",\"lines\",\"40\",\"4\"]", NULL});
    acts_close(&acts);
}
END_TEST

START_TEST(rows_without_an_identity_make_a_range) {
    pg_schema(orders_sql);
    pg_sql("INSERT INTO orders VALUES (1, 1, '2025-01-01'); INSERT INTO marks VALUES ('x', 1), ('y', 1)");
    struct acts acts = acts_open(BY_AGE("table = \"orders\"; tenant = \"customer_id\"; since = \"at\"; dependents = [ \"lines.order_id\", \"marks.order_id\" ];"));
    struct order order = order_by_age(acts_target(&acts, 0), ACTION_PURGE, CUTOFF);
    const struct order *orders[] = {&order};
    struct pass *pass;
    const struct batch *batch;
    struct err err;
    ck_assert(!pg_driver.begin(acts.store, orders, 1, NULL, &pass, &err) && !pg_driver.prepare(acts.store, pass, 100, acts.arena, &batch, NULL, &err));
    leaves_clear();
    leaves_add(batch);
    ck_assert(batch->range && batch->dependents == 2);
    leaves_expect((const char *const[]){"[\"main\",\"orders\",\"1\"]", NULL});
    pg_driver.end(acts.store, pass);
    acts_close(&acts);
}
END_TEST

/* What a trigger removes is counted and called so; one that only writes down what happened changes nothing. */
START_TEST(rows_that_a_trigger_removed_make_a_range) {
    static const struct { const char *does; int64_t dependents; bool range; } triggers[] = {
        {"DELETE FROM tags WHERE order_id = OLD.id", 3, true},
        {"INSERT INTO tags VALUES (OLD.id, 'gone')", 1, false},
    };
    for (size_t i = 0; i < sizeof triggers / sizeof *triggers; i++) {
        pg_schema(orders_sql);
        pg_sql("CREATE TABLE tags (order_id bigint, tag text); INSERT INTO tags VALUES (1, 'a'), (1, 'b'), (2, 'c');"
               "INSERT INTO orders VALUES (1, 1, '2025-01-01'); INSERT INTO lines VALUES (1, 1, 1)");
        struct buf sql = {0};
        buf_printf(&sql, "CREATE FUNCTION of_order() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$ BEGIN %s; RETURN OLD; END $$;"
                   "CREATE TRIGGER of_order AFTER DELETE ON orders FOR EACH ROW EXECUTE FUNCTION of_order(); GRANT ALL ON tags TO PUBLIC", triggers[i].does);
        pg_sql(buf_text(&sql));
        buf_free(&sql);
        struct acts acts = acts_open(BY_AGE("table = \"orders\"; tenant = \"customer_id\"; since = \"at\"; dependents = [ \"lines.order_id\", \"marks.order_id\" ];"));
        struct order order = order_by_age(acts_target(&acts, 0), ACTION_PURGE, CUTOFF);
        const struct order *orders[] = {&order};
        struct pass *pass;
        const struct batch *batch;
        struct err err;
        ck_assert(!pg_driver.begin(acts.store, orders, 1, NULL, &pass, &err));
        ck_assert_msg(!pg_driver.prepare(acts.store, pass, 100, acts.arena, &batch, NULL, &err), "%s", err.text);
        leaves_clear();
        leaves_add(batch);
        ck_assert_msg(batch->range == triggers[i].range && batch->dependents == triggers[i].dependents, "%s: %d, %lld", triggers[i].does, batch->range,
                      (long long)batch->dependents);
        leaves_expect((const char *const[]){"[\"main\",\"orders\",\"1\"]", "[\"main\",\"lines\",\"1\",\"1\"]", NULL});
        pg_driver.end(acts.store, pass);
        acts_close(&acts);
    }
}
END_TEST

START_TEST(a_drained_record_has_its_dependents_leaves_first) {
    static const char *names[1 + 25 + 1];
    struct arena *arena = arena_new();
    pg_schema(orders_sql);
    pg_sql("INSERT INTO orders VALUES (7, 1, '2025-01-01'); INSERT INTO lines SELECT n, 1, 7 FROM generate_series(1, 25) n");
    for (int n = 1; n <= 25; n++) names[n - 1] = arena_printf(arena, "[\"main\",\"lines\",\"1\",\"%d\"]", n);
    names[25] = "[\"main\",\"orders\",\"7\"]";
    struct acts acts = acts_open(BY_AGE("table = \"orders\"; tenant = \"customer_id\"; since = \"at\"; dependents = [ \"lines.order_id\", \"marks.order_id\" ];"));
    ck_assert_uint_gt(pass_over(&acts, ACTION_PURGE, 10).batches, 2);
    leaves_expect(names);
    acts_close(&acts);
    arena_free(arena);
}
END_TEST

START_TEST(what_is_anonymized_has_leaves_too) {
    pg_schema(orders_sql);
    pg_sql("INSERT INTO orders VALUES (1, 1, '2025-01-01', 'secret'), (2, 1, '2025-01-01', NULL), (3, 1, '2026-02-01', 'young');"
           "INSERT INTO lines VALUES (1, 1, 1, 'secret'), (2, 1, 1, NULL), (3, 1, 3, 'young')");
    struct acts acts = acts_open(ANONYMIZE("table = \"orders\"; tenant = \"customer_id\"; since = \"at\"; columns = ( \"null: note\" );"
                                           "dependents = ( { join = \"lines.order_id\"; columns = ( \"null: text\", \"as-is: a, b\" ); },"
                                           "               { join = \"marks.order_id\"; when_anonymized = \"as-is\"; } );"));
    struct sum sum = pass_over(&acts, ACTION_ANONYMIZE, 100);
    ck_assert_int_eq(sum.records, 1);
    ck_assert_int_eq(sum.dependents, 1);
    leaves_expect((const char *const[]){"[\"main\",\"orders\",\"1\"]", "[\"main\",\"lines\",\"1\",\"1\"]", NULL});
    acts_close(&acts);
}
END_TEST

START_TEST(partitions_have_the_name_of_their_table) {
    pg_schema("CREATE TABLE logs (id bigint, customer_id bigint, at timestamptz, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);"
              "CREATE TABLE logs_2025 PARTITION OF logs FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');"
              "CREATE TABLE logs_2026 PARTITION OF logs FOR VALUES FROM ('2026-01-01') TO ('2027-01-01'); CREATE INDEX ON logs (customer_id, at)");
    pg_sql("INSERT INTO logs VALUES (1, 1, '2025-06-01'), (2, 1, '2026-06-01')");
    struct acts acts = acts_open(BY_AGE("table = \"logs\"; tenant = \"customer_id\"; since = \"at\";"));
    ck_assert_int_eq(pass_over(&acts, ACTION_PURGE, 10).records, 1);
    leaves_expect((const char *const[]){"[\"main\",\"logs\",\"1\",\"2025-06-01 00:00:00+00\"]", NULL});
    acts_close(&acts);
}
END_TEST

UNIT_MAIN("pg_evidence", keys_of_every_kind_have_their_text, dependents_have_leaves_under_their_own_table, rows_without_an_identity_make_a_range, rows_that_a_trigger_removed_make_a_range,
          a_drained_record_has_its_dependents_leaves_first, what_is_anonymized_has_leaves_too, partitions_have_the_name_of_their_table)
