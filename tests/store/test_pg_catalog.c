/* What the PostgreSQL driver says about a catalog: every fault with its line and its remedy, the grants that a schedule
 * needs, advice, the draft. Against the real server of $LAPSED_TEST_POSTGRESQL_ADMIN; each test has a schema of its own. */
#include "schedule/schedule.h"
#include "base/time.h"
#include "store/pg_bind.h"
#include "unit.h"

#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

static const char *environment(const char *name) {
    const char *value = getenv(name);
    ck_assert_msg(value != NULL, "%s is not set; run make check, which starts the servers", name);
    return value;
}

static PGconn *admin;

static void run_sql(const char *sql) {
    if (!*sql) return;
    PGresult *result = PQexec(admin, sql);
    ck_assert_msg(PQresultStatus(result) == PGRES_COMMAND_OK || PQresultStatus(result) == PGRES_TUPLES_OK, "%s: %s", sql, PQerrorMessage(admin));
    PQclear(result);
}

/* The schema that everything below lives in; foreign names of the role are dropped with it. */
static void fresh_schema(const char *sql) {
    admin = PQconnectdb(environment("LAPSED_TEST_POSTGRESQL_ADMIN"));
    ck_assert_msg(PQstatus(admin) == CONNECTION_OK, "%s", PQerrorMessage(admin));
    run_sql("SET client_min_messages = error; DROP SCHEMA IF EXISTS catalog_test CASCADE; CREATE SCHEMA catalog_test;"
            "SET search_path = catalog_test");
    run_sql(sql);
}

struct world {
    struct arena *arena;
    struct faults faults;
    struct schedule *schedule;
    struct pg_store store;
    bool bad[16];
    char *text; /* the faults, a line each */
};

/* `role`: NULL = the administrator. */
static char *url_of(struct arena *arena, const char *role) {
    const char *url = environment("LAPSED_TEST_POSTGRESQL_ADMIN");
    const char *at = strchr(url, '@'), *host = at ? at + 1 : strstr(url, "://") + 3;
    size_t user_length = at ? strcspn(strstr(url, "://") + 3, ":@") : 0;
    const char *user = role ? role : arena_strndup(arena, strstr(url, "://") + 3, user_length);
    return arena_printf(arena, "postgresql://%s@%s%soptions=-csearch_path%%3Dcatalog_test", user, host, strchr(host, '?') ? "&" : "?");
}

static char *password_of(struct arena *arena) {
    const char *url = environment("LAPSED_TEST_POSTGRESQL_ADMIN");
    const char *user = strstr(url, "://") + 3, *at = strchr(user, '@'), *colon = strchr(user, ':');
    return at && colon && colon < at ? arena_strndup(arena, colon + 1, (size_t)(at - colon - 1)) : NULL;
}

static const char ordinary_tenants[] = "ends = [ \"account\" ]; query = \"SELECT id AS tenant, ended_at AS account, months FROM customers\";";

/* The rules stand in schedule.conf: their first line is line 1. `tenants` NULL: the ordinary ones; `role` NULL: the administrator. */
static void open_world(struct world *world, const char *tenants, const char *rules, const char *role, const char *password) {
    char folder[] = "/tmp/lapsed-test-XXXXXX", path[64], rules_path[64];
    *world = (struct world){.arena = arena_new()};
    world->faults.arena = world->arena;
    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/lapsed.conf", folder);
    (void)snprintf(rules_path, sizeof rules_path, "%s/schedule.conf", folder);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    (void)fprintf(file, "stores = { main = { url = \"%s\"; }; };\ntenants = { store = \"main\"; %s };\nschedule = \"schedule.conf\";\n",
                  url_of(world->arena, role), tenants ? tenants : ordinary_tenants);
    ck_assert_int_eq(fclose(file), 0);
    file = fopen(rules_path, "w");
    ck_assert_ptr_nonnull(file);
    (void)fprintf(file, "schedule = (%s);\n", rules);
    ck_assert_int_eq(fclose(file), 0);
    struct err err;
    if (schedule_load(path, true, &world->schedule, &world->faults, &err)) {
        faults_print(&world->faults, stderr);
        ck_abort_msg("%s", err.text);
    }
    (void)unlink(path);
    (void)unlink(rules_path);
    (void)rmdir(folder);
    world->store.base.settings = (struct store_settings){.conf = &world->schedule->stores[0], .schedule = world->schedule};
    const char *secret = role ? password : password_of(world->arena);
    world->store.password = secret ? xstrdup(secret) : NULL;
    world->store.statement_timeout_us = 20000000;
    world->store.lock_timeout_us = 1000000;
    world->store.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

static struct store *base(struct world *world) { return (struct store *)(void *)&world->store; }

static void check_world(struct world *world) {
    struct err err;
    ck_assert_msg(!pg_check(base(world), &world->faults, world->bad, &err), "%s", err.text);
    faults_sort(&world->faults);
    size_t size;
    FILE *text = open_memstream(&world->text, &size);
    faults_print(&world->faults, text);
    ck_assert_int_eq(fclose(text), 0);
}

static void close_world(struct world *world) {
    pg_disconnect(&world->store);
    arena_free(world->store.catalog);
    free(world->store.password);
    free(world->text);
    (void)close(world->store.wake);
    schedule_free(world->schedule);
    arena_free(world->arena);
}

/* Two tables that any schedule below may use. */
static const char base_sql[] =
    "CREATE TABLE customers (id bigint PRIMARY KEY, name text NOT NULL, email text UNIQUE, ended_at timestamptz, months text);"
    "CREATE TABLE logs (id bigint PRIMARY KEY, customer_id bigint, at timestamptz, text text);";

/* Checks this schedule on this schema; the faults must hold the text, and nothing else may be wrong. */
static void expect(const char *sql, const char *tenants, const char *rules, const char *fault) {
    fresh_schema(base_sql);
    run_sql(sql);
    struct world world;
    open_world(&world, tenants, rules, NULL, NULL);
    check_world(&world);
    if (!fault) ck_assert_msg(!world.faults.count, "unexpected: %s", world.text);
    else ck_assert_msg(world.faults.count == 1 && strstr(world.text, fault), "expected: %s\ngot: %s", fault, world.text);
    close_world(&world);
    PQfinish(admin);
}

/* A rule by age on one target, in line 2. */
#define BY_AGE(target) "\n{ data = \"Logs\"; keep = \"1 year\"; basis = \"b\"; targets = ( { " target " } ); }\n"
#define BY_END(target) "\n{ data = \"Data\"; keep = \"account + 30 days\"; basis = \"b\"; targets = ( { " target " } ); }\n"
#define LOGS "table = \"logs\"; tenant = \"customer_id\"; since = \"at\"; "
#define TEXT "table = \"t\"; tenant = \"customer_id\"; since = \"at\"; "
#define ANONYMIZE(target) "\n{ data = \"A\"; anonymize = \"1 year\"; keep = \"2 years\"; basis = \"b\"; targets = ( { " target " } ); }\n"

START_TEST(a_good_schedule_has_no_fault) {
    expect("CREATE TABLE lines (id int PRIMARY KEY, log_id bigint REFERENCES logs);", NULL, BY_AGE(LOGS "dependents = [ \"lines.log_id\" ];"), NULL);
    expect("CREATE TABLE p (id bigint, customer_id bigint, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);"
           "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('2020-01-01') TO ('2021-01-01') PARTITION BY LIST (id);"
           "CREATE TABLE p11 PARTITION OF p1 DEFAULT;",
           NULL, BY_AGE("table = \"p\"; tenant = \"customer_id\"; since = \"at\"; zone = \"Europe/Berlin\";"), NULL);
}
END_TEST

START_TEST(tables_that_cannot_be_swept) {
    expect("", NULL, BY_AGE("table = \"lugs\"; tenant = \"customer_id\"; since = \"at\";"),
           "schedule.conf:2: \"Logs\": there is no table \"lugs\" in store \"main\"; did you mean \"logs\"?");
    expect("", NULL, BY_AGE("table = \"zzzzzz\"; tenant = \"customer_id\"; since = \"at\";"), "write the table's name, or \"schema.table\"");
    expect("CREATE VIEW v AS SELECT * FROM logs", NULL, BY_AGE("table = \"v\"; tenant = \"customer_id\"; since = \"at\";"),
           "\"v\" is a view; name the table that it reads");
    expect("CREATE MATERIALIZED VIEW v AS SELECT * FROM logs", NULL, BY_AGE("table = \"v\"; tenant = \"customer_id\"; since = \"at\";"), "is a materialized view");
    expect("", NULL, BY_AGE("table = \"pg_class\"; tenant = \"relname\"; since = \"at\";"), "belongs to the server's catalog");
    expect("CREATE TABLE old (x int) INHERITS (logs);", NULL, BY_AGE(LOGS), "old-style inheritance");
    expect("CREATE TABLE \"Logs\" (\"Id\" int PRIMARY KEY, \"a\"\"b\" int, at timestamptz);", NULL,
           BY_AGE("table = \"Logs\"; tenant = \"a\\\"b\"; since = \"at\";"), NULL);
}
END_TEST

START_TEST(columns_that_are_not_there) {
    expect("", NULL, BY_AGE("table = \"logs\"; tenant = \"custmer_id\"; since = \"at\";"),
           "schedule.conf:2: \"Logs\": tenant: table \"logs\" has no column \"custmer_id\"; did you mean \"customer_id\"?");
    expect("", NULL, BY_AGE("table = \"logs\"; tenant = \"customer_id\"; since = \"when\";"), "since: table \"logs\" has no column \"when\"");
    expect("", NULL, "{ data = \"D\"; keep = \"gone + 1 day\"; basis = \"b\"; targets = ( { table = \"logs\"; tenant = \"customer_id\"; ends = { gone = \"goneat\"; }; } ); }",
           "ends: table \"logs\" has no column \"goneat\"");
}
END_TEST

START_TEST(tenants_of_unusable_types) {
    expect("CREATE TABLE t (id int PRIMARY KEY, c double precision, at timestamptz)", NULL, BY_AGE("table = \"t\"; tenant = \"c\"; since = \"at\";"),
           "tenant: column \"c\" is of type double precision, which identifies nobody");
    expect("CREATE TABLE t (id int PRIMARY KEY, c jsonb, at timestamptz)", NULL, BY_AGE("table = \"t\"; tenant = \"c\"; since = \"at\";"), "is of type jsonb");
    expect("CREATE TABLE t (id int PRIMARY KEY, c bigint[], at timestamptz)", NULL, BY_AGE("table = \"t\"; tenant = \"c\"; since = \"at\";"), "is of type bigint[]");
    expect("CREATE DOMAIN code AS varchar(20); CREATE TABLE t (id int PRIMARY KEY, c code, at timestamptz)", NULL,
           BY_AGE("table = \"t\"; tenant = \"c\"; since = \"at\";"), NULL);
}
END_TEST

static void expect_since(const char *type, const char *more, const char *fault) {
    char sql[256], rule[512];
    (void)snprintf(sql, sizeof sql, "CREATE TABLE t (id int PRIMARY KEY, customer_id bigint, at %s)", type);
    (void)snprintf(rule, sizeof rule, BY_AGE("table = \"t\"; tenant = \"customer_id\"; since = \"at\"; %s"), more);
    expect(sql, NULL, rule, fault);
}

START_TEST(anchors_of_unusable_types) {
    expect_since("text", "", "since: column \"at\" is of type text; name a timestamp, date or integer column");
    expect_since("jsonb", "", "is of type jsonb");
    expect_since("time", "", "a time of day without its date");
    expect_since("timestamp", "", "has no zone; add zone = \"UTC\"");
    expect_since("date", "", "has no zone; add zone = \"UTC\"");
    expect_since("timestamp", "zone = \"UTC\";", NULL);
    expect_since("timestamp", "zone = \"Europe/Atlantis\";", "is no time zone that the server knows");
    expect_since("bigint", "", "add unit = \"s\" or unit = \"ms\"");
    expect_since("bigint", "unit = \"ms\";", NULL);
    expect_since("integer", "unit = \"ms\";", "too small for milliseconds");
    expect_since("timestamptz", "unit = \"s\";", "needs no unit");
    expect("CREATE TABLE t (id int PRIMARY KEY, customer_id bigint, gone bigint)", NULL,
           "{ data = \"D\"; keep = \"gone + 1 day\"; basis = \"b\"; targets = ( { table = \"t\"; tenant = \"customer_id\"; ends = { gone = \"gone\"; }; } ); }",
           "ends: column \"gone\" is of type bigint; name a timestamp or date column");
}
END_TEST

static void expect_key(const char *columns, const char *key, const char *fault) {
    char sql[512], rule[512];
    (void)snprintf(sql, sizeof sql, "CREATE TABLE t (code text, customer_id bigint NOT NULL, at timestamptz NOT NULL); %s", columns);
    (void)snprintf(rule, sizeof rule, BY_AGE("table = \"t\"; tenant = \"customer_id\"; since = \"at\"; %s"), key);
    expect(sql, NULL, rule, fault);
}

START_TEST(identities) {
    expect_key("", "", "table \"t\" has no primary key; write key = \"a unique index");
    expect_key("CREATE UNIQUE INDEX u ON t (customer_id, at)", "", "write key = \"u\", or key = \"ctid\"");
    expect_key("CREATE UNIQUE INDEX u ON t (customer_id, at)", "key = \"u\";", NULL);
    expect_key("", "key = \"ctid\";", NULL);
    expect_key("", "key = \"u\";", "key = \"u\": the index does not exist on this table");
    expect_key("CREATE INDEX u ON t (at)", "key = \"u\";", "is not unique");
    expect_key("CREATE UNIQUE INDEX u ON t (code)", "key = \"u\";", "has a column that may be null");
    expect_key("CREATE UNIQUE INDEX u ON t (at) WHERE code = ''", "key = \"u\";", "covers only a part of the table");
    expect_key("CREATE UNIQUE INDEX u ON t (lower(code))", "key = \"u\";", "is made of an expression");
}
END_TEST

static void expect_lines(const char *columns, const char *lines, const char *fault) {
    char sql[1024], rule[1024];
    (void)snprintf(sql, sizeof sql, "CREATE TABLE t (id int PRIMARY KEY, customer_id bigint, at timestamptz%s)", columns);
    (void)snprintf(rule, sizeof rule, ANONYMIZE("table = \"t\"; tenant = \"customer_id\"; since = \"at\";\n columns = ( %s );"), lines);
    expect(sql, NULL, rule, fault);
}

START_TEST(columns_of_anonymization) {
    expect_lines(", a text", "\"null: a\"", NULL);
    expect_lines(", a text, b text, c int", "\"null: b\"", "schedule.conf:2: \"A\": columns: nothing is said about a, c of table \"t\"; add them to a line, as in \"null: a, c\"");
    expect_lines(", a text", "\"null: a, x\"", "schedule.conf:3: \"A\": columns: table \"t\" has no column \"x\"");
    expect_lines(", a text NOT NULL", "\"null: a\"", "schedule.conf:3: \"A\": columns: null: a: the column may not be null; use fixed(VALUE)");
    expect_lines(", a text UNIQUE", "\"fixed(x): a\"", "would break the unique index \"t_a_key\"");
    expect_lines(", a text UNIQUE", "\"null: a\"", NULL);
    expect_lines(", a text UNIQUE", "\"pseudonymize: a\"", NULL);
    expect_lines(", a varchar(3)", "\"fixed(gone): a\"", "the value has 4 characters, the column holds 3");
    expect_lines(", a integer", "\"fixed(gone): a\"", "the value is not one of type integer (SQLSTATE 22P02)");
    expect_lines(", a integer", "\"fixed(0): a\"", NULL);
    expect_lines(", a varchar(20)", "\"pseudonymize: a\"", "the column holds 20 characters, a pseudonym takes at least");
    expect_lines(", a integer", "\"pseudonymize: a\"", "the column is of type integer, it must be text");
    expect_lines(", a bytea", "\"truncate-ip: a\"", "it must be inet, cidr or text");
    expect_lines(", a inet", "\"truncate-ip: a\"", NULL);
    expect_lines(", a text", "\"truncate-time(day): a\"", "it must be a timestamp or date");
    expect_lines(", a integer", "\"strip-url: a\"", "it must be text");
    expect_lines(", a text[]", "\"host: a\"", "it must be text");
    expect_lines(", a text, b text GENERATED ALWAYS AS (a || 'x') STORED", "\"null: a, b\"", "the server computes the column");
    expect_lines(", a bigint REFERENCES customers", "\"fixed(1): a\"", "refers to \"customers\" by a foreign key");
    expect_lines(", a bigint REFERENCES customers", "\"null: a\"", NULL);
    expect_lines(", a text UNIQUE); CREATE TABLE u (id int PRIMARY KEY, a text REFERENCES t (a)", "\"null: a\"", "\"u\" refers to the column by a foreign key; use as-is");
}
END_TEST

START_TEST(markers) {
    expect("CREATE TABLE t (id int PRIMARY KEY, customer_id bigint, at timestamptz, a text, m text)", NULL, ANONYMIZE(TEXT "marker = \"m\"; columns = ( \"null: a\" );"), "marker: column \"m\" is of type text");
    expect("CREATE TABLE t (id int PRIMARY KEY, customer_id bigint, at timestamptz, a text, m timestamptz NOT NULL)", NULL, ANONYMIZE(TEXT "marker = \"m\"; columns = ( \"null: a\" );"), "may not be null");
}
END_TEST

START_TEST(chains_to_the_tenant) {
    const char sql[] = "CREATE TABLE website (id int, owner bigint, code text PRIMARY KEY); CREATE TABLE t (id int PRIMARY KEY, website int, at timestamptz, w text);";
    expect(sql, NULL, BY_AGE("table = \"t\"; tenant = \"owner\"; via = \"website = website.id\"; since = \"at\";"),
           "via: \"website\" has no unique index on (id), so that a record could belong to two tenants");
    expect(sql, NULL, BY_AGE("table = \"t\"; tenant = \"owner\"; via = \"website = website.code\"; since = \"at\";"), "which cannot be compared");
    expect(sql, NULL, BY_AGE("table = \"t\"; tenant = \"owner\"; via = \"w = website.code\"; since = \"at\";"), NULL);
    expect(sql, NULL, BY_AGE("table = \"t\"; tenant = \"owner\"; via = \"w = website.cod\"; since = \"at\";"), "via: table \"website\" has no column \"cod\"; did you mean \"code\"?");
    expect(sql, NULL, BY_AGE("table = \"t\"; tenant = \"owner\"; via = \"w = website2.code\"; since = \"at\";"), "there is no table \"website2\"");
}
END_TEST

START_TEST(dependents) {
    const char sql[] = "CREATE TABLE a (id int PRIMARY KEY, log_id bigint, code text); CREATE TABLE b (id int PRIMARY KEY, a_id int, a_code text);";
    expect(sql, NULL, BY_AGE(LOGS "dependents = [ \"a.log_id\", \"b.a_id = a.id\" ];"), NULL);
    expect(sql, NULL, BY_AGE(LOGS "dependents = [ \"a.lo_id\" ];"), "dependents: table \"a\" has no column \"lo_id\"; did you mean \"log_id\"?");
    expect(sql, NULL, BY_AGE(LOGS "dependents = [ \"a.code\" ];"), "which cannot be compared");
    expect(sql, NULL, BY_AGE(LOGS "dependents = [ \"a.log_id\", \"b.a_code = a.code\" ];"), "could belong to several of its records");
    expect(sql, NULL, BY_AGE(LOGS "dependents = [ \"aa.log_id\" ];"), "there is no table \"aa\"");
    expect("CREATE TABLE t (a int, b int, customer_id bigint, at timestamptz, PRIMARY KEY (a, b)); CREATE TABLE u (id int PRIMARY KEY, a int, b int);", NULL,
           BY_AGE(TEXT "dependents = [ \"u.a\" ];"), "the key of \"t\" has 2 columns, not 1");
    expect("CREATE TABLE t (a int, b int, customer_id bigint, at timestamptz, PRIMARY KEY (a, b)); CREATE TABLE u (id int PRIMARY KEY, a int, b int);", NULL,
           BY_AGE(TEXT "dependents = [ \"u.a = t.a, u.b = t.b\" ];"), NULL);
}
END_TEST

START_TEST(cascades_are_declared) {
    expect("CREATE TABLE a (id int PRIMARY KEY, log_id bigint REFERENCES logs ON DELETE CASCADE)", NULL, BY_AGE(LOGS),
           "\"a\" refers to \"logs\" by (log_id) with ON DELETE CASCADE: its rows would go unseen; declare it, dependents = [ \"a.log_id\" ]");
    expect("CREATE TABLE a (id int PRIMARY KEY, log_id bigint REFERENCES logs ON DELETE SET NULL)", NULL, BY_AGE(LOGS), "ON DELETE SET NULL");
    expect("CREATE TABLE a (id int PRIMARY KEY, log_id bigint DEFAULT 1 REFERENCES logs ON DELETE SET DEFAULT)", NULL, BY_AGE(LOGS), "ON DELETE SET DEFAULT");
    expect("CREATE TABLE a (id int PRIMARY KEY, log_id bigint REFERENCES logs ON DELETE CASCADE)", NULL, BY_AGE(LOGS "dependents = [ \"a.log_id\" ];"), NULL);
    expect("CREATE TABLE a (id int PRIMARY KEY, log_id bigint REFERENCES logs); CREATE TABLE b (id int PRIMARY KEY, a_id int REFERENCES a ON DELETE CASCADE)", NULL,
           BY_AGE(LOGS "dependents = [ \"a.log_id\" ];"), "declare it, dependents = [ \"b.a_id = a.id\" ]");
    expect("CREATE TABLE a (id int PRIMARY KEY, log_id bigint REFERENCES logs)", NULL, BY_AGE(LOGS), NULL);
}
END_TEST

START_TEST(a_table_under_at_least_is_no_dependent) {
    expect("CREATE TABLE a (id int PRIMARY KEY, log_id bigint REFERENCES logs, customer_id bigint, at timestamptz);"
           "CREATE TABLE inv (id int PRIMARY KEY, a_id int REFERENCES a, customer_id bigint, at timestamptz);",
           NULL,
           "\n{ data = \"Inv\"; keep = \"7 years\"; at_least = \"7 years\"; basis = \"b\"; targets = ( { table = \"inv\"; tenant = \"customer_id\"; since = \"at\"; } ); },"
           BY_AGE(LOGS "dependents = [ \"a.log_id\" ];"),
           "schedule.conf:3: \"Logs\": dependents: below \"a\" stands \"inv\", which is kept at least 7 years under \"Inv\"; take \"a\" out of the dependents");
}
END_TEST

START_TEST(row_security_and_rules) {
    expect("CREATE RULE r AS ON DELETE TO logs DO INSTEAD NOTHING", NULL, BY_AGE(LOGS), "does something else INSTEAD of a DELETE");
}
END_TEST

START_TEST(conditions) {
    expect("", NULL, BY_AGE(LOGS "only = \"txt = 'x'\";"), "only: the condition does not run on \"logs\": store \"main\": a column does not exist (SQLSTATE 42703)");
    expect("", NULL, BY_AGE(LOGS "only = \"text = 'x' OR text IS NULL\";"), NULL);
}
END_TEST

START_TEST(the_tenants_query) {
    expect("", "ends = [ \"account\" ]; query = \"SELECT idd AS tenant, ended_at AS account FROM customers\";", BY_AGE(LOGS),
           "lapsed.conf:2: tenants: the query does not run: store \"main\": a column does not exist");
    expect("", "ends = [ \"account\" ]; query = \"SELECT id, ended_at AS account FROM customers\";", BY_AGE(LOGS), "returns no column \"tenant\"");
    expect("", "ends = [ \"account\" ]; query = \"SELECT id AS tenant FROM customers\";", BY_AGE(LOGS), "returns no column \"account\"");
    expect("", "ends = [ \"account\" ]; query = \"SELECT id AS tenant, name AS account FROM customers\";", BY_AGE(LOGS), "has the wrong type for an end");
    expect("", "ends = [ \"account\" ]; query = \"SELECT id::float AS tenant, ended_at AS account FROM customers\";", BY_AGE(LOGS), "has the wrong type for the tenant's id");
    expect("", "ends = [ \"account\" ]; query = \"SELECT id AS tenant, ended_at AS account, 12 AS months FROM customers\";",
           "\n{ data = \"L\"; keep = \"1 year\"; per_tenant = { column = \"months\"; min = \"1 month\"; max = \"7 years\"; }; basis = \"b\"; targets = ( { " LOGS " } ); }",
           "has the wrong type for a period");
}
END_TEST

START_TEST(the_tenants_own_records) {
    const char subscriptions[] = "CREATE TABLE subscriptions (id int PRIMARY KEY, customer_id bigint, at timestamptz, ended_at timestamptz)";
    const char query[] = "ends = [ \"account\" ]; query = \"SELECT c.id AS tenant, s.ended_at AS account FROM customers c LEFT JOIN subscriptions s ON s.customer_id = c.id\";";
    expect(subscriptions, query, BY_AGE("table = \"subscriptions\"; tenant = \"customer_id\"; since = \"at\";"), "bind it to an end of the tenant, as in keep = \"account + 90 days\"");
    expect(subscriptions, query, BY_END("table = \"customers\"; tenant = \"id\"; dependents = [ \"subscriptions.customer_id\" ];"), NULL);
    expect(subscriptions, query,
           BY_END("table = \"customers\"; tenant = \"id\"; }, { table = \"subscriptions\"; tenant = \"customer_id\";"),
           "must go in one transaction; make \"subscriptions\" a dependent of \"customers\"");
    expect(subscriptions, query, BY_AGE("table = \"logs\"; tenant = \"customer_id\"; since = \"at\"; dependents = [ \"subscriptions.id = logs.id\" ];"),
           "make it a dependent of the rule that purges the tenant's own record");
    expect("", NULL,
           "\n{ data = \"Account\"; keep = \"account + 90 days\"; if_blocked = \"anonymize\"; basis = \"b\";\n targets = ( { table = \"customers\"; tenant = \"id\";\n"
           " columns = ( \"fixed(x): name\", \"null: email, ended_at\", \"as-is: months\" ); } ); }",
           "schedule.conf:4: \"Account\": columns: the tenants query reads \"customers.ended_at\"; it must stay \"as-is: ended_at\"");
}
END_TEST

/* "child.column>parent" of each dependent in their order, then "|" and what blocks. */
static char *shape_of(const struct world *world, const struct pg_bound *bound) {
    char *shape = arena_strdup(world->arena, "");
    for (size_t i = 0; i < bound->n_dependents; i++) {
        const struct pg_dependent *dependent = &bound->dependents[i];
        shape = arena_printf(world->arena, "%s%s%s%s", shape, i ? " " : "", dependent->table->name, dependent->self ? "*" : "");
        for (size_t j = 0; j < dependent->n_path; j++) shape = arena_printf(world->arena, "%s>%s", shape, dependent->path[j].parent->name);
        if (dependent->own_target) shape = arena_printf(world->arena, "%s(%s)", shape, dependent->own_target->rule->data);
    }
    shape = arena_printf(world->arena, "%s |", shape);
    for (size_t i = 0; i < bound->n_blockers; i++)
        shape = arena_printf(world->arena, "%s %s>%s%s", shape, bound->blockers[i].link.child->name, bound->blockers[i].link.parent->name, bound->blockers[i].through ? "+" : "");
    return shape;
}

START_TEST(children_come_before_their_parents) {
    fresh_schema(base_sql);
    run_sql("CREATE TABLE a (id int PRIMARY KEY, log_id bigint REFERENCES logs, parent_id int REFERENCES a, customer_id bigint, at timestamptz);"
            "CREATE TABLE b (id int PRIMARY KEY, a_id int REFERENCES a, log_id bigint); CREATE TABLE c (id int PRIMARY KEY, b_id int);"
            "CREATE TABLE x (id int PRIMARY KEY, a_id int REFERENCES a); CREATE TABLE y (id int PRIMARY KEY, log_id bigint REFERENCES logs);");
    struct world world;
    open_world(&world, NULL,
               BY_AGE(LOGS "dependents = [ \"a.log_id\", \"c.b_id = b.id\", \"a.parent_id = a.id\", \"b.a_id = a.id\", \"b.log_id\" ];")
               ", { data = \"Parts\"; keep = \"2 years\"; basis = \"b\"; targets = ( { table = \"a\"; tenant = \"customer_id\"; since = \"at\"; dependents = [ \"b.a_id\" ]; } ); }",
               NULL, NULL);
    check_world(&world);
    const struct pg_bound *bound = pg_bound_of(&world.store, world.schedule->targets[0]);
    const char *shape = shape_of(&world, bound);
    ck_assert_str_eq(shape, "c>b>logs c>b>a>logs b>logs b>a>logs a*>a>logs(Parts) a>logs(Parts) | y>logs x>a+");
    close_world(&world);
    PQfinish(admin);
}
END_TEST

START_TEST(leaves_have_columns_of_their_own) {
    fresh_schema("CREATE TABLE customers (id bigint PRIMARY KEY, ended_at timestamptz, months text);"
                 "CREATE TABLE p (id bigint, customer_id bigint, at date, PRIMARY KEY (at, id)) PARTITION BY RANGE (at);"
                 "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('2020-01-01') TO ('2021-01-01') PARTITION BY LIST (id); CREATE TABLE p11 PARTITION OF p1 DEFAULT;"
                 "CREATE TABLE p2 (at date NOT NULL, gone int, id bigint NOT NULL, customer_id bigint); ALTER TABLE p2 DROP COLUMN gone;"
                 "ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM ('2021-01-01') TO ('2022-01-01'); CREATE INDEX ON p (customer_id, at);"
                 "CREATE TABLE child (at date, id bigint, FOREIGN KEY (at, id) REFERENCES p);");
    struct world world;
    open_world(&world, NULL, BY_AGE("table = \"p\"; tenant = \"customer_id\"; since = \"at\"; zone = \"UTC\";"), NULL, NULL);
    check_world(&world);
    ck_assert_msg(!world.faults.count, "%s", world.text);
    const struct pg_bound *bound = pg_bound_of(&world.store, world.schedule->targets[0]);
    ck_assert_uint_eq(bound->table->n_leaves, 2);
    for (size_t i = 0; i < 2; i++) {
        const struct pg_table *leaf = bound->table->leaves[i];
        ck_assert_uint_eq(leaf->n_key, 2);
        ck_assert_str_eq(leaf->columns[leaf->key[0]].name, "at");
        ck_assert_str_eq(leaf->columns[leaf->key[1]].name, "id");
    }
    ck_assert(bound->index_tenant_since);
    ck_assert_uint_eq(bound->n_blockers, 1);
    ck_assert_str_eq(bound->blockers[0].link.child->name, "child");
    close_world(&world);
    PQfinish(admin);
}
END_TEST

static void fresh_role(void) {
    run_sql("DO $$ BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'catalog_reader') THEN DROP OWNED BY catalog_reader; DROP ROLE catalog_reader; END IF; END $$;"
            "CREATE ROLE catalog_reader LOGIN PASSWORD 'reads'");
}

START_TEST(grants_are_enough_and_needed) {
    fresh_schema(base_sql);
    fresh_role();
    run_sql("CREATE TABLE lines (id int PRIMARY KEY, log_id bigint REFERENCES logs, x text);"
            "CREATE TABLE cites (id int PRIMARY KEY, log_id bigint REFERENCES logs, secret text); INSERT INTO logs VALUES (1, 1, now(), 'x');");
    struct world world;
    open_world(&world, NULL, BY_AGE(LOGS "dependents = [ \"lines.log_id\" ];"), "catalog_reader", "reads");
    struct err err;
    struct buf grants = {0};
    ck_assert_msg(!pg_grants(base(&world), "catalog_reader", &grants, &err), "%s", err.text);
    check_world(&world);
    ck_assert_msg(strstr(world.text, "the role \"catalog_reader\" lacks privileges on \"logs\": USAGE on schema \"catalog_test\", SELECT, DELETE, UPDATE (id)"), "%s", world.text);
    ck_assert_msg(strstr(world.text, "lapsectl grants prints what is needed"), "%s", world.text);
    ck_assert_msg(world.bad[0], "a target without privileges may be swept");
    ck_assert_msg(strstr(buf_text(&grants), "GRANT SELECT (\"log_id\") ON \"catalog_test\".\"cites\" TO \"catalog_reader\";"), "%s", buf_text(&grants));
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
    PQfinish(admin);
}
END_TEST

START_TEST(advice) {
    fresh_schema(base_sql);
    run_sql("CREATE TABLE cites (id int PRIMARY KEY, log_id bigint REFERENCES logs); CREATE TABLE notes (id int PRIMARY KEY, log_id bigint);"
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'; CREATE TRIGGER g BEFORE DELETE ON logs FOR EACH ROW EXECUTE FUNCTION f();"
            "INSERT INTO logs SELECT i, i % 10, now(), 'x' FROM generate_series(1, 20000) i; INSERT INTO cites SELECT i, i FROM generate_series(1, 20000) i; ANALYZE;");
    struct world world;
    open_world(&world, "ends = [ \"account\" ]; query = \"SELECT id::text AS tenant, ended_at AS account FROM customers\";", BY_AGE(LOGS), NULL, NULL);
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
    };
    ck_assert_uint_eq(count, sizeof expected / sizeof *expected);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        bool found = false;
        for (size_t j = 0; j < count; j++) found = found || (!strcmp(findings[j].code, expected[i].code) && strstr(findings[j].text, expected[i].part));
        ck_assert_msg(found, "%s: %s", expected[i].code, expected[i].part);
    }
    close_world(&world);
    PQfinish(admin);
}
END_TEST

START_TEST(a_draft) {
    fresh_schema(base_sql);
    run_sql("CREATE TABLE events (id int PRIMARY KEY, owner bigint REFERENCES customers, day date); CREATE TABLE plans (id int PRIMARY KEY); CREATE TABLE parts (id int PRIMARY KEY, team_id int REFERENCES plans)");
    struct world world;
    open_world(&world, NULL, "", NULL, NULL);
    struct buf draft = {0};
    struct err err;
    ck_assert_msg(!pg_draft(base(&world), &draft, &err), "%s", err.text);
    const char *const parts[] = {"table = \"logs\"; tenant = \"customer_id\"; since = \"at\";", "table = \"events\"; tenant = \"owner\"; since = \"day\"; zone = \"UTC\";",
                                 "table = \"customers\"; tenant = \"id\";", "#   plans\n"};
    ck_assert_ptr_null(strstr(buf_text(&draft), "#   customers\n"));
    ck_assert_msg(strstr(buf_text(&draft), "table = \"parts\"") == NULL, "%s", buf_text(&draft));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) ck_assert_msg(strstr(buf_text(&draft), parts[i]), "%s\n%s", parts[i], buf_text(&draft));
    buf_free(&draft);
    close_world(&world);
    PQfinish(admin);
}
END_TEST

START_TEST(what_the_tenants_query_reads) {
    fresh_schema(base_sql);
    run_sql("CREATE TABLE subs (id int PRIMARY KEY, customer_id bigint, ended_at timestamptz); CREATE VIEW ended AS SELECT customer_id, max(ended_at) AS e FROM subs GROUP BY 1;"
            "CREATE TABLE account (id int)");
    struct world world;
    open_world(&world, "ends = [ \"account\" ]; query = \"SELECT c.id AS tenant, e.e AS account FROM customers c JOIN ended e ON e.customer_id = c.id\";", BY_AGE(LOGS), NULL,
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
    PQfinish(admin);
}
END_TEST

START_TEST(undecidable_records) {
    fresh_schema(base_sql);
    run_sql("INSERT INTO logs VALUES (1, 1, now(), 'x'), (2, 1, NULL, 'x'), (3, 1, 'infinity', 'x'), (4, 1, now() + interval '1 day', 'x'), (5, 1, '-infinity', 'x'),"
            "(6, NULL, now(), 'x'), (7, NULL, NULL, 'other')");
    struct world world;
    open_world(&world, NULL, BY_AGE(LOGS "only = \"text = 'x'\";"), NULL, NULL);
    check_world(&world);
    const struct undecidable *items;
    size_t count;
    struct err err;
    ck_assert_msg(!pg_undecidable(base(&world), world.schedule->targets[0], time_now_us(), world.arena, &items, &count, &err), "%s", err.text);
    static const struct undecidable expected[] = {{"since-empty", "at", 1}, {"since-future", "at", 2}, {"since-type", "at", 1}, {"tenant-empty", "customer_id", 1}};
    ck_assert_uint_eq(count, 4);
    for (size_t i = 0; i < count; i++) {
        ck_assert_str_eq(items[i].code, expected[i].code);
        ck_assert_str_eq(items[i].column, expected[i].column);
        ck_assert_int_eq(items[i].count, expected[i].count);
    }
    close_world(&world);
    PQfinish(admin);
}
END_TEST

static void explain(struct world *world, const char *key, struct record_facts *facts) {
    struct err err;
    ck_assert_msg(!pg_explain(base(world), world->schedule->targets[0], key, world->arena, facts, &err), "%s", err.text);
}

START_TEST(one_record_explained) {
    fresh_schema(base_sql);
    run_sql("CREATE TABLE cites (id int PRIMARY KEY, log_id bigint REFERENCES logs);"
            "INSERT INTO logs VALUES (1, 7, '2020-01-01 00:00:00.000001+00', 'x'), (2, NULL, NULL, 'y'), (3, 7, 'infinity', 'x'); INSERT INTO cites VALUES (1, 1)");
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
    ck_assert_int_eq(err.code, ERR_CONFIG);
    ck_assert_msg(strstr(err.text, "is \"id\" (bigint); the given one is not of that type") && !strstr(err.text, "secret"), "%s", err.text);
    close_world(&world);
    PQfinish(admin);
}
END_TEST

START_TEST(anchors_explained) {
    fresh_schema(base_sql);
    run_sql("CREATE TABLE website (id int PRIMARY KEY, owner text);"
            "CREATE TABLE t (a int, b varchar(5), website int, day date, gone timestamp, m timestamptz, x text, PRIMARY KEY (a, b)); INSERT INTO website VALUES (1, 'acme');"
            "INSERT INTO t VALUES (1, 'p,q', 1, '2020-06-01', '2020-10-25 02:30', now(), 'x'), (1, 'r', 2, '2020-06-01', NULL, NULL, 'x')");
    struct world world;
    open_world(&world, NULL,
               "{ data = \"A\"; anonymize = \"1 year\"; keep = [ \"2 years\", \"gone + 1 day\" ]; basis = \"b\"; targets = ( { table = \"t\"; via = \"website = website.id\";"
               " tenant = \"owner\"; since = \"day\"; zone = \"Europe/Berlin\"; ends = { gone = \"gone\"; }; marker = \"m\"; columns = ( \"null: x\" ); } ); }",
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
    PQfinish(admin);
}
END_TEST

UNIT_MAIN("pg_catalog", a_good_schedule_has_no_fault, tables_that_cannot_be_swept, columns_that_are_not_there, tenants_of_unusable_types, anchors_of_unusable_types, identities,
          columns_of_anonymization, markers, chains_to_the_tenant, dependents, cascades_are_declared, a_table_under_at_least_is_no_dependent, row_security_and_rules, conditions,
          the_tenants_query, the_tenants_own_records, children_come_before_their_parents, leaves_have_columns_of_their_own,
          grants_are_enough_and_needed, advice, a_draft, what_the_tenants_query_reads, undecidable_records,
          one_record_explained, anchors_explained)
