/* What the PostgreSQL driver tells people: the grants that a schedule needs, advice, the draft, undecidable records, one record. */
#include "base/time.h"
#include "pg_world.h"
#include "schedule/plan.h"

#include <stdio.h>

static void fresh_role(void) {
    run_sql("DO $$ BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'catalog_reader') THEN DROP OWNED BY catalog_reader; DROP ROLE "
            "catalog_reader; END IF; END $$;"
            "CREATE ROLE catalog_reader LOGIN PASSWORD 'reads'");
}

START_TEST(grants_are_enough_and_needed) {
    fresh_schema(BASE_SQL);
    fresh_role();
    run_sql("CREATE TABLE lines (id int PRIMARY KEY, log_id bigint REFERENCES logs, x text);"
            "CREATE TABLE cites (id int PRIMARY KEY, log_id bigint REFERENCES logs, secret text); INSERT INTO logs VALUES (1, 1, now(), 'x');");
    struct world world;
    open_world(&world, NULL, BY_AGE(LOGS "dependents = [ \"lines.log_id\" ];"), "catalog_reader", "reads");
    struct err err;
    struct buf grants = {0};
    ck_assert_msg(!pg_grants(base(&world), "catalog_reader", &grants, &err), "%s", err.text);
    check_world(&world);
    ck_assert_msg(strstr(world.text,
                         "the role \"catalog_reader\" lacks privileges on \"logs\": USAGE on schema \"catalog_test\", SELECT, DELETE, "
                         "UPDATE (id)"), "%s", world.text);
    ck_assert_msg(strstr(world.text, "lapsectl grants prints what is needed"), "%s", world.text);
    ck_assert_msg(world.bad[0], "a target without privileges may be swept");
    ck_assert_msg(strstr(buf_text(&grants), "GRANT SELECT (\"log_id\") ON \"catalog_test\".\"cites\" TO \"catalog_reader\";"), "%s",
                  buf_text(&grants));
    ck_assert_msg(strstr(buf_text(&grants), "GRANT SELECT, DELETE ON \"catalog_test\".\"lines\" TO \"catalog_reader\";"), "%s", buf_text(&grants));
    ck_assert_msg(strstr(buf_text(&grants), "GRANT SELECT ON \"catalog_test\".\"customers\" TO \"catalog_reader\";"), "%s", buf_text(&grants));
    run_sql(buf_text(&grants));
    close_world(&world);
    open_world(&world, NULL, BY_AGE(LOGS "dependents = [ \"lines.log_id\" ];"), "catalog_reader", "reads");
    check_world(&world);
    ck_assert_msg(!world.faults.count, "%s", world.text);
    PG_RESULT locked = NULL;
    ck_assert_msg(!pg_query(&world.store, "SELECT ctid FROM logs FOR UPDATE SKIP LOCKED", 0, NULL, &locked, &err), "%s", err.text);
    PG_RESULT refused = NULL;
    ck_assert_int_eq(pg_query(&world.store, "SELECT secret FROM cites", 0, NULL, &refused, &err), -1);
    ck_assert_str_eq(err.detail, "42501");
    run_sql("ALTER TABLE logs ENABLE ROW LEVEL SECURITY");
    world.faults.count = 0;
    free(world.text);
    check_world(&world);
    ck_assert_msg(strstr(world.text, "row-level security of \"logs\" hides rows from the role \"catalog_reader\""), "%s", world.text);
    buf_free(&grants);
    close_world(&world);
    run_sql("DROP OWNED BY catalog_reader; DROP ROLE catalog_reader");
    leave_schema();
}
END_TEST

static int add_tenant(void *context, const struct tenant_row *row, struct err *err) { return tenants_add(context, row, err); }

/* Carries out every order of a plan, as a sweep does, and counts what went. */
static int64_t carry_out(struct world *world, const struct plan *plan) {
    const struct store_driver *driver = &pg_driver;
    struct err err;
    int64_t total = 0;
    for (size_t i = 0; i < plan->n_orders; i++) {
        const struct order *order = &plan->orders[i];
        struct tally tally;
        ck_assert_msg(!driver->probe(base(world), &order, 1, world->arena, &tally, &err), "probe %s: %s", order->target->name, err.text);
        ck_assert_msg(!driver->count(base(world), &order, 1, world->arena, &tally, &err), "count %s: %s", order->target->name, err.text);
        struct pass *pass;
        ck_assert_msg(!driver->begin(base(world), &order, 1, NULL, &pass, &err), "begin %s: %s", order->target->name, err.text);
        for (;;) {
            const struct batch *batch = NULL;
            const struct order *failed = NULL;
            struct outcome outcome;
            ck_assert_msg(!driver->prepare(base(world), pass, 100, world->arena, &batch, &failed, &err), "prepare %s: %s",
                          order->target->name, err.text);
            if (!batch) break;
            ck_assert_msg(!driver->finish(base(world), pass, true, &outcome, &err), "finish %s: %s", order->target->name, err.text);
            total += outcome.records;
        }
        driver->end(base(world), pass);
        const struct undecidable *items;
        size_t n_items;
        ck_assert_msg(!driver->undecidable(base(world), order->target, plan->now_us, world->arena, &items, &n_items, &err), "%s", err.text);
    }
    return total;
}

static const char every_kind_sql[] =
    "CREATE TABLE website (id int PRIMARY KEY, customer_id bigint);"
    "CREATE TABLE hits (id int PRIMARY KEY, website_id int, at timestamptz, ip text, url text NOT NULL, visitor text, done timestamptz);"
    "CREATE TABLE p (id bigint, customer_id bigint, at date, note text, PRIMARY KEY (at, id)) PARTITION BY RANGE (at); CREATE TABLE p1 "
    "PARTITION OF p DEFAULT;"
    "CREATE TABLE lines (id int PRIMARY KEY, log_id bigint REFERENCES logs, above int REFERENCES lines); CREATE TABLE cites (id int "
    "PRIMARY KEY, log_id bigint REFERENCES logs, x text);"
    "CREATE TABLE invoices (id int PRIMARY KEY, customer_id bigint REFERENCES customers, at timestamptz);"
    "CREATE TABLE contacts (id int PRIMARY KEY, customer_id bigint REFERENCES customers, phone text); CREATE TABLE keys (id int PRIMARY "
    "KEY, contact_id int REFERENCES contacts);"
    "INSERT INTO customers VALUES (1, 'gone', 'a', '2020-01-01'), (2, 'gone too', 'b', '2020-01-01'), (3, 'here', 'c', NULL);"
    "INSERT INTO invoices VALUES (1, 2, now()); INSERT INTO contacts VALUES (1, 1, '5'), (2, 2, '6'), (3, 3, '7'); INSERT INTO keys VALUES "
    "(1, 1), (2, 2), (3, 3);"
    "INSERT INTO website VALUES (1, 1), (3, 3); INSERT INTO hits SELECT i, 1 + 2 * (i % 2), now() - i * interval '1 month', '192.0.2.77', "
    "'http://x/?q=1', 'v', NULL FROM generate_series(1, 30) i;"
    "INSERT INTO logs SELECT i, i % 4, now() - i * interval '1 month', 'x' FROM generate_series(1, 30) i; INSERT INTO lines SELECT i, i, "
    "NULL FROM generate_series(1, 30) i;"
    "INSERT INTO lines SELECT 100 + i, NULL, i FROM generate_series(1, 30) i; INSERT INTO cites VALUES (1, 29);"
    "INSERT INTO p SELECT i, i % 4, current_date - 40 * i, 'n' FROM generate_series(1, 20) i;";

static const char every_kind_rules[] =
    BY_AGE(LOGS "only = \"text = 'x'\"; dependents = [ \"lines.log_id\", \"lines.above = lines.id\" ];") ","
    "{ data = \"P\"; keep = \"1 year\"; basis = \"b\"; targets = ( { table = \"p\"; tenant = \"customer_id\"; since = \"at\"; zone = \"UTC\"; } ); },"
    "{ data = \"Hits\"; anonymize = \"3 months\"; keep = \"2 years\"; basis = \"b\"; targets = ( { table = \"hits\"; via = \"website_id = "
    "website.id\"; tenant = \"customer_id\";"
    " since = \"at\"; marker = \"done\"; columns = ( \"truncate-ip: ip\", \"strip-url: url\", \"pseudonymize: visitor\" ); } ); },"
    "{ data = \"Invoices\"; keep = \"7 years\"; at_least = \"7 years\"; basis = \"b\"; targets = ( { table = \"invoices\"; tenant = "
    "\"customer_id\"; since = \"at\"; } ); },"
    "{ data = \"Account\"; keep = \"account + 30 days\"; if_blocked = \"anonymize\"; basis = \"b\"; targets = ( { table = \"customers\"; "
    "tenant = \"id\";"
    " dependents = ( { join = \"contacts.customer_id\"; columns = ( \"null: phone\" ); }, { join = \"keys.contact_id = contacts.id\"; "
    "when_anonymized = \"purge\"; } );"
    " columns = ( \"fixed(closed): name\", \"null: email\", \"as-is: ended_at, months\" ); } ); }";

static void expect_value(const char *sql, const char *value) {
    char *got = ask_sql(sql);
    ck_assert_msg(!strcmp(got, value), "%s: %s instead of %s", sql, got, value);
    free(got);
}

/* The role gets what grants prints, and nothing else; every kind of work there is must run with it. */
START_TEST(everything_runs_with_the_grants) {
    fresh_schema(BASE_SQL);
    fresh_role();
    run_sql(every_kind_sql);
    struct world world;
    struct err err;
    open_world(&world, NULL, every_kind_rules, "catalog_reader", "reads");
    struct buf grants = {0};
    ck_assert_msg(!pg_grants(base(&world), "catalog_reader", &grants, &err), "%s", err.text);
    run_sql(buf_text(&grants));
    check_world(&world);
    ck_assert_msg(!world.faults.count, "%s", world.text);
    static const unsigned char key[32] = "a key for this month";
    world.store.base.settings.pseudonym_key = key;
    struct tenants *tenants = tenants_new(world.schedule);
    ck_assert_msg(!pg_tenants(base(&world), NULL, 0, add_tenant, tenants, &err), "%s", err.text);
    tenants_finish(tenants);
    const char *const *own;
    size_t n_own;
    ck_assert_msg(!pg_tenants_tables(base(&world), world.arena, &own, &n_own, &err), "%s", err.text);
    struct history *history;
    ck_assert_msg(!history_load("/nonexistent-folder", &history, &err), "%s", err.text);
    const struct plan *plan = plan_make(world.arena, world.schedule, tenants, history, own, n_own, NULL, time_now_us());
    ck_assert_int_gt(carry_out(&world, plan), 0);
    expect_value("SELECT string_agg(id || name, ' ' ORDER BY id) FROM customers", "2closed 3here");
    expect_value("SELECT string_agg(id || coalesce(phone, '-'), ' ' ORDER BY id) FROM contacts", "2- 37");
    expect_value("SELECT string_agg(id::text, ' ' ORDER BY id) FROM keys", "3");
    expect_value("SELECT count(*) FROM hits WHERE at < now() - interval '24 months 2 days'", "0");
    expect_value("SELECT count(*) FROM hits WHERE at < now() - interval '3 months 2 days' AND (done IS NULL OR ip <> '192.0.2.0' OR url <> "
                 "'http://x/')", "0");
    expect_value("SELECT count(*) FROM p WHERE at < now() - interval '1 year 2 days' AND customer_id IS NOT NULL", "0");
    expect_value("SELECT string_agg(id::text, ' ') FROM logs WHERE at < now() - interval '1 year 2 days'", "29");
    buf_free(&grants);
    history_free(history);
    tenants_free(tenants);
    close_world(&world);
    run_sql("DROP OWNED BY catalog_reader; DROP ROLE catalog_reader");
    leave_schema();
}
END_TEST

static bool is_advised(const char *sql, const char *rules, const char *code, const char *part) {
    fresh_schema(BASE_SQL);
    run_sql(sql);
    struct world world;
    open_world(&world, NULL, rules, NULL, NULL);
    const struct finding *findings;
    size_t count;
    struct err err;
    bool found = false;
    ck_assert_msg(!pg_advise(base(&world), world.arena, &findings, &count, &err), "%s", err.text);
    for (size_t i = 0; i < count; i++) found = found || (!strcmp(findings[i].code, code) && strstr(findings[i].text, part));
    close_world(&world);
    leave_schema();
    return found;
}

/* Whatever the statistics are worth: none, or those of a large table. */
START_TEST(advice_on_large_tables) {
    static const char filled[] = "INSERT INTO logs SELECT i, i % 10, now(), repeat('x', 200) FROM generate_series(1, 20000) i";
    static const char large[] = "UPDATE pg_class SET reltuples = 2000000 WHERE oid = 'logs'::regclass";
    static const char set[] = "ALTER TABLE logs SET (autovacuum_vacuum_scale_factor = 0.02); UPDATE pg_class SET reltuples = 2000000 WHERE oid = 'logs'::regclass";
    ck_assert(is_advised(filled, BY_AGE(LOGS), "index-missing", "(\"customer_id\", \"at\")"));
    ck_assert(!is_advised("SELECT", BY_AGE(LOGS), "index-missing", ""));
    ck_assert(is_advised(large, BY_AGE(LOGS), "space-stays", "SET (autovacuum_vacuum_scale_factor = 0.01)"));
    ck_assert(is_advised(set, BY_AGE(LOGS), "space-stays", "VACUUM FULL"));
    ck_assert(!is_advised(set, BY_AGE(LOGS), "space-stays", "ALTER TABLE"));
    ck_assert(!is_advised("SELECT", BY_AGE(LOGS), "space-stays", ""));
}
END_TEST

START_TEST(advice) {
    fresh_schema(BASE_SQL);
    run_sql("CREATE TABLE cites (id int PRIMARY KEY, log_id bigint REFERENCES logs); CREATE TABLE notes (id int PRIMARY KEY, log_id bigint);"
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'; CREATE TRIGGER g BEFORE DELETE ON logs FOR "
            "EACH ROW EXECUTE FUNCTION f();"
            "INSERT INTO logs SELECT i, i % 10, now(), 'x' FROM generate_series(1, 20000) i; INSERT INTO cites SELECT i, i FROM "
            "generate_series(1, 20000) i; ANALYZE;");
    struct world world;
    open_world(&world, "ends = [ \"account\" ]; query = \"SELECT id::text AS tenant, ended_at AS account FROM customers\";", BY_AGE(LOGS),
               NULL, NULL);
    const struct finding *findings;
    size_t count;
    struct err err;
    ck_assert_msg(!pg_advise(base(&world), world.arena, &findings, &count, &err), "%s", err.text);
    const struct {
        const char *code, *part;
    } expected[] = {
        {"index-missing", "CREATE INDEX CONCURRENTLY ON \"catalog_test\".\"logs\" (\"customer_id\", \"at\")"},
        {"index-missing", "CREATE INDEX CONCURRENTLY ON \"catalog_test\".\"cites\" (\"log_id\")"},
        {"dependent-undeclared", "add dependents = [ \"cites.log_id\" ]"},
        {"dependent-by-name", "add dependents = [ \"notes.log_id\" ]"},
        {"trigger", "\"logs\" has a trigger"},
        {"tenants-slow", "return the plain column AS tenant"},
        {"uncovered", "\"customers\" holds tenants' records (it is the tenants' own, and has \"name\")"},
        {"uncovered", "\"cites\" holds tenants' records (it refers to \"logs\")"},
        {"privileges-wide", "is a superuser"},
    };
    ck_assert_uint_eq(count, sizeof expected / sizeof *expected);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        bool found = false;
        for (size_t j = 0; j < count; j++) found = found || (!strcmp(findings[j].code, expected[i].code) && strstr(findings[j].text,
                expected[i].part));
        ck_assert_msg(found, "%s: %s", expected[i].code, expected[i].part);
    }
    close_world(&world);
    leave_schema();
}
END_TEST

START_TEST(a_draft) {
    fresh_schema(BASE_SQL);
    run_sql("CREATE TABLE events (id int PRIMARY KEY, owner bigint REFERENCES customers, day date); CREATE TABLE plans (id int PRIMARY "
            "KEY); CREATE TABLE parts (id int PRIMARY KEY, team_id int REFERENCES plans)");
    struct world world;
    open_world(&world, NULL, "", NULL, NULL);
    struct buf draft = {0};
    struct err err;
    ck_assert_msg(!pg_draft(base(&world), &draft, &err), "%s", err.text);
    const char *const parts[] = {"table = \"logs\"; tenant = \"customer_id\"; since = \"at\";",
                                 "table = \"events\"; tenant = \"owner\"; since = \"day\"; zone = \"UTC\";",
                                 "table = \"customers\"; tenant = \"id\";", "#   plans\n"};
    ck_assert_ptr_null(strstr(buf_text(&draft), "#   customers\n"));
    ck_assert_msg(strstr(buf_text(&draft), "table = \"parts\"") == NULL, "%s", buf_text(&draft));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) ck_assert_msg(strstr(buf_text(&draft), parts[i]), "%s\n%s", parts[i], buf_text(&draft));
    buf_free(&draft);
    close_world(&world);
    leave_schema();
}
END_TEST

START_TEST(what_the_tenants_query_reads) {
    fresh_schema(BASE_SQL);
    run_sql("CREATE TABLE subs (id int PRIMARY KEY, customer_id bigint, ended_at timestamptz); CREATE VIEW ended AS SELECT customer_id, "
            "max(ended_at) AS e FROM subs GROUP BY 1;"
            "CREATE TABLE account (id int)");
    struct world world;
    open_world(&world,
               "ends = [ \"account\" ]; query = \"SELECT c.id AS tenant, e.e AS account FROM customers c JOIN ended e ON e.customer_id = "
               "c.id\";", BY_AGE(LOGS), NULL,
               NULL);
    const char *const *names;
    size_t count;
    struct err err;
    ck_assert_msg(!pg_tenants_tables(base(&world), world.arena, &names, &count, &err), "%s", err.text);
    ck_assert_uint_eq(count, 2);
    bool customers = false, subs = false;
    for (size_t i = 0; i < count; i++) {
        customers = customers || !strcmp(names[i], "catalog_test.customers");
        subs = subs || !strcmp(names[i], "catalog_test.subs");
    }
    ck_assert(customers && subs);
    struct buf grants = {0};
    ck_assert_msg(!pg_grants(base(&world), "x", &grants, &err), "%s", err.text);
    ck_assert_msg(strstr(buf_text(&grants), "ON \"catalog_test\".\"ended\""), "%s", buf_text(&grants));
    ck_assert_msg(!strstr(buf_text(&grants), "ON \"catalog_test\".\"account\""), "%s", buf_text(&grants));
    buf_free(&grants);
    close_world(&world);
    leave_schema();
}
END_TEST

START_TEST(undecidable_records) {
    fresh_schema(BASE_SQL);
    run_sql("INSERT INTO logs VALUES (1, 1, now(), 'x'), (2, 1, NULL, 'x'), (3, 1, 'infinity', 'x'), (4, 1, now() + interval '1 day', "
            "'x'), (5, 1, '-infinity', 'x'),"
            "(6, NULL, now(), 'x'), (7, NULL, NULL, 'other')");
    struct world world;
    open_world(&world, NULL, BY_AGE(LOGS "only = \"text = 'x'\";"), NULL, NULL);
    check_world(&world);
    const struct undecidable *items;
    size_t count;
    struct err err;
    ck_assert_msg(!pg_undecidable(base(&world), world.schedule->targets[0], time_now_us(), world.arena, &items, &count, &err), "%s", err.text);
    static const struct undecidable expected[] = {{"since-empty", "at", 1}, {"since-future", "at", 2}, {"since-type", "at", 1},
                                                  {"tenant-empty", "customer_id", 1}, {"only-unreached", NULL, 1}};
    ck_assert_uint_eq(count, 5);
    for (size_t i = 0; i < count; i++) {
        ck_assert_str_eq(items[i].code, expected[i].code);
        ck_assert_pstr_eq(items[i].column, expected[i].column);
        ck_assert_int_eq(items[i].count, expected[i].count);
    }
    close_world(&world);
    leave_schema();
}
END_TEST

static int64_t undecidable_of(struct world *world, size_t target, const char *code) {
    const struct undecidable *items;
    size_t count;
    struct err err;
    ck_assert_msg(!pg_undecidable(base(world), world->schedule->targets[target], time_now_us(), world->arena, &items, &count, &err), "%s", err.text);
    for (size_t i = 0; i < count; i++)
        if (!strcmp(items[i].code, code)) return items[i].count;
    return 0;
}

START_TEST(an_index_changes_no_count_of_undecidable_records) {
    fresh_schema(BASE_SQL);
    run_sql("INSERT INTO logs SELECT n, nullif(n % 7, 0), CASE n % 11 WHEN 0 THEN NULL WHEN 1 THEN 'infinity' WHEN 2 THEN '-infinity' WHEN 3 THEN now() + interval '1 day' "
            "ELSE now() - n * interval '1 day' END, 'x' FROM generate_series(1, 7700) n");
    for (int indexed = 0; indexed < 2; indexed++) {
        if (indexed) run_sql("CREATE INDEX ON logs (customer_id, at)");
        struct world world;
        open_world(&world, NULL, BY_AGE(LOGS), NULL, NULL);
        check_world(&world);
        ck_assert_int_eq(pg_bound_of(&world.store, world.schedule->targets[0])->index_tenant_since, indexed);
        ck_assert_int_eq(undecidable_of(&world, 0, "since-empty"), 700);
        ck_assert_int_eq(undecidable_of(&world, 0, "since-future"), 1400);
        ck_assert_int_eq(undecidable_of(&world, 0, "since-type"), 700);
        ck_assert_int_eq(undecidable_of(&world, 0, "tenant-empty"), 1100);
        close_world(&world);
    }
    leave_schema();
}
END_TEST

START_TEST(rows_that_no_rule_lets_in) {
    fresh_schema(BASE_SQL);
    run_sql("INSERT INTO logs VALUES (1, 1, now(), 'x'), (2, 1, now(), 'y'), (3, 1, now(), 'z'), (4, 1, now(), NULL)");
    struct world world;
    open_world(&world, NULL, BY_AGE(LOGS "only = \"text = 'x'\";") ", " BY_END("table = \"logs\"; tenant = \"customer_id\"; only = \"text = 'y'\";"), NULL, NULL);
    check_world(&world);
    ck_assert_msg(!world.faults.count, "%s", world.text);
    ck_assert_int_eq(undecidable_of(&world, 0, "only-unreached"), 2);
    ck_assert_int_eq(undecidable_of(&world, 1, "only-unreached"), 0); /* asked once a table */
    close_world(&world);
    open_world(&world, NULL, BY_AGE(LOGS "only = \"text = 'x'\";") ", " BY_END("table = \"logs\"; tenant = \"customer_id\";"), NULL, NULL);
    check_world(&world);
    ck_assert_int_eq(undecidable_of(&world, 0, "only-unreached"), 0);
    close_world(&world);
    leave_schema();
}
END_TEST

START_TEST(orphans_along_via) {
    fresh_schema(BASE_SQL);
    run_sql("CREATE TABLE sites (id int PRIMARY KEY, customer_id bigint); CREATE TABLE t (id int PRIMARY KEY, site_id int, at timestamptz);"
            "INSERT INTO customers VALUES (1, 'n'); INSERT INTO sites VALUES (1, 1), (2, 77), (3, NULL); INSERT INTO t VALUES (1, 1), (2, 2), (3, 2), (4, 3), (5, 9)");
    struct world world;
    open_world(&world, NULL, BY_END("table = \"t\"; via = \"site_id = sites.id\"; tenant = \"customer_id\";"), NULL, NULL);
    check_world(&world);
    ck_assert_msg(!world.faults.count, "%s", world.text);
    struct tenants *tenants = tenants_new(world.schedule);
    const struct tenant_row row = {.id = "1", .ends = {TIME_FOREVER}};
    struct err err;
    ck_assert_int_eq(tenants_add(tenants, &row, &err), 0);
    tenants_finish(tenants);
    pg_know(base(&world), tenants);
    ck_assert_int_eq(undecidable_of(&world, 0, "tenant-unknown"), 2);
    ck_assert_int_eq(undecidable_of(&world, 0, "tenant-empty"), 2);
    tenants_free(tenants);
    close_world(&world);
    leave_schema();
}
END_TEST

/* The condition takes for ever unless a sample is asked for. */
START_TEST(what_takes_too_long_is_sampled) {
    fresh_schema(BASE_SQL);
    run_sql("CREATE FUNCTION is_slow() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN IF current_query() NOT LIKE '%TABLESAMPLE%' THEN PERFORM pg_sleep(60); END IF;"
            " RETURN true; END $$;"
            "INSERT INTO logs SELECT n, 1, NULL, 'x' FROM generate_series(1, 400000) n; ANALYZE logs");
    struct world world;
    open_world(&world, NULL, BY_AGE(LOGS "only = \"is_slow()\";"), NULL, NULL);
    check_world(&world);
    world.store.statement_timeout_us = 3 * TIME_SECOND_US;
    ck_assert_int_eq(undecidable_of(&world, 0, "survey-sampled"), 1);
    int64_t empty = undecidable_of(&world, 0, "since-empty");
    ck_assert_msg(empty > 20000 && empty < 400000, "%lld", (long long)empty);
    close_world(&world);
    leave_schema();
}
END_TEST

/* The server itself refuses: from the first statement on, in whatever transaction. */
START_TEST(a_store_that_only_looks_cannot_write) {
    fresh_schema(BASE_SQL);
    run_sql("INSERT INTO logs VALUES (1, 1, now(), 'x')");
    struct world world;
    open_world(&world, NULL, BY_AGE(LOGS), NULL, NULL);
    pg_disconnect(&world.store);
    world.store.base.settings.read_only = true;
    struct err err;
    ck_assert_msg(!pg_connect(&world.store, &err), "%s", err.text);
    static const char *const statements[] = {"DELETE FROM catalog_test.logs", "BEGIN; DELETE FROM catalog_test.logs; COMMIT", "CREATE TABLE catalog_test.more (x int)",
                                             "UPDATE catalog_test.logs SET text = 'y'"};
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        ck_assert_int_eq(pg_script(&world.store, statements[i], &err), -1);
        ck_assert_str_eq(err.detail, "25006");
        ck_assert_int_eq(pg_script(&world.store, "ROLLBACK", &err), 0);
    }
    expect_value("SELECT string_agg(text, ' ') FROM logs", "x");
    close_world(&world);
    leave_schema();
}
END_TEST

static void explain(struct world *world, const char *key, struct record_facts *facts) {
    struct err err;
    ck_assert_msg(!pg_explain(base(world), world->schedule->targets[0], key, world->arena, facts, &err), "%s", err.text);
}

START_TEST(one_record_explained) {
    fresh_schema(BASE_SQL);
    run_sql("CREATE TABLE cites (id int PRIMARY KEY, log_id bigint REFERENCES logs);"
            "INSERT INTO logs VALUES (1, 7, '2020-01-01 00:00:00.000001+00', 'x'), (2, NULL, NULL, 'y'), (3, 7, 'infinity', 'x'); INSERT "
            "INTO cites VALUES (1, 1)");
    struct world world;
    open_world(&world, NULL, BY_AGE(LOGS "only = \"logs.text = 'x'\";"), NULL, NULL);
    check_world(&world);
    struct record_facts facts;
    explain(&world, "1", &facts);
    ck_assert(facts.exists && facts.only_holds && facts.anchor_ok[0] && !facts.anonymized);
    ck_assert_str_eq(facts.tenant, "7");
    ck_assert_int_eq(facts.anchor_us[0], 1577836800000001);
    ck_assert_str_eq(facts.blocked_by, "cites");
    explain(&world, "2", &facts);
    ck_assert(facts.exists && !facts.only_holds && !facts.anchor_ok[0] && !facts.tenant && !facts.blocked_by);
    explain(&world, "3", &facts);
    ck_assert(facts.exists && !facts.anchor_ok[0]);
    explain(&world, "4", &facts);
    ck_assert(!facts.exists);
    struct err err;
    ck_assert_int_eq(pg_explain(base(&world), world.schedule->targets[0], "secret", world.arena, &facts, &err), -1);
    ck_assert_int_eq(err.code, ERR_USAGE);
    ck_assert_msg(strstr(err.text, "is \"id\" (bigint); the given one is not of that type") && !strstr(err.text, "secret"), "%s", err.text);
    close_world(&world);
    leave_schema();
}
END_TEST

START_TEST(anchors_explained) {
    fresh_schema(BASE_SQL);
    run_sql("CREATE TABLE website (id int PRIMARY KEY, owner text);"
            "CREATE TABLE t (a int, b varchar(5), website int, day date, gone timestamp, m timestamptz, x text, PRIMARY KEY (a, b)); "
            "INSERT INTO website VALUES (1, 'acme');"
            "INSERT INTO t VALUES (1, 'p,q', 1, '2020-06-01', '2020-10-25 02:30', now(), 'x'), (1, 'r', 2, '2020-06-01', NULL, NULL, 'x')");
    struct world world;
    open_world(&world, NULL,
               "{ data = \"A\"; anonymize = \"1 year\"; keep = [ \"2 years\", \"gone + 1 day\" ]; basis = \"b\"; targets = ( { table = "
               "\"t\"; via = \"website = website.id\";"
               " tenant = \"owner\"; since = \"day\"; zone = \"Europe/Berlin\"; ends = { gone = \"gone\"; }; marker = \"m\"; columns = ( "
               "\"null: x\" ); } ); }",
               NULL, NULL);
    check_world(&world);
    ck_assert_msg(!world.faults.count, "%s", world.text);
    struct record_facts facts;
    explain(&world, "[1, \"p,q\"]", &facts);
    ck_assert(facts.exists && facts.anonymized && facts.anchor_ok[0] && facts.anchor_ok[1]);
    ck_assert_str_eq(facts.tenant, "acme");
    int64_t day_end, autumn;
    ck_assert(time_parse("2020-06-01T22:00:00Z", &day_end) && time_parse("2020-10-25T00:30:00Z", &autumn));
    ck_assert_int_eq(facts.anchor_us[0], day_end);
    ck_assert_int_eq(facts.anchor_us[1], autumn); /* 02:30 came twice: the earlier one */
    explain(&world, "1,r", &facts);
    ck_assert(facts.exists && !facts.anonymized && !facts.anchor_ok[1] && !facts.tenant);
    explain(&world, "1,rrrrrr", &facts);
    ck_assert(!facts.exists);
    struct err err;
    ck_assert_int_eq(pg_explain(base(&world), world.schedule->targets[0], "1", world.arena, &facts, &err), -1);
    ck_assert_msg(strstr(err.text, "has 2 columns"), "%s", err.text);
    close_world(&world);
    leave_schema();
}
END_TEST

UNIT_MAIN("pg_facts", grants_are_enough_and_needed, everything_runs_with_the_grants, advice, advice_on_large_tables, a_draft, what_the_tenants_query_reads,
          undecidable_records, an_index_changes_no_count_of_undecidable_records, rows_that_no_rule_lets_in, orphans_along_via, a_store_that_only_looks_cannot_write, what_takes_too_long_is_sampled, one_record_explained,
          anchors_explained)
