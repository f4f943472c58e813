/* What the PostgreSQL driver says about a catalog: every fault with its line and its remedy. */
#include "pg_world.h"

#include <stdio.h>

/* Checks this schedule on this schema; the faults must hold the text, and nothing else may be wrong. */
static void expect(const char *sql, const char *tenants, const char *rules, const char *fault) {
    fresh_schema(BASE_SQL);
    run_sql(sql);
    struct world world;
    open_world(&world, tenants, rules, NULL, NULL);
    check_world(&world);
    if (!fault) ck_assert_msg(!world.faults.count, "unexpected: %s", world.text);
    else ck_assert_msg(world.faults.count == 1 && strstr(world.text, fault), "expected: %s\ngot: %s", fault, world.text);
    close_world(&world);
    leave_schema();
}

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
    expect("CREATE MATERIALIZED VIEW v AS SELECT * FROM logs", NULL, BY_AGE("table = \"v\"; tenant = \"customer_id\"; since = \"at\";"),
           "is a materialized view");
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
    expect("", NULL,
           "{ data = \"D\"; keep = \"gone + 1 day\"; basis = \"b\"; targets = ( { table = \"logs\"; tenant = \"customer_id\"; ends = { "
           "gone = \"goneat\"; }; } ); }",
           "ends: table \"logs\" has no column \"goneat\"");
}
END_TEST

START_TEST(tenants_of_unusable_types) {
    expect("CREATE TABLE t (id int PRIMARY KEY, c double precision, at timestamptz)", NULL, BY_AGE("table = \"t\"; tenant = \"c\"; since = \"at\";"),
           "tenant: column \"c\" is of type double precision, which identifies nobody");
    expect("CREATE TABLE t (id int PRIMARY KEY, c jsonb, at timestamptz)", NULL, BY_AGE("table = \"t\"; tenant = \"c\"; since = \"at\";"),
           "is of type jsonb");
    expect("CREATE TABLE t (id int PRIMARY KEY, c bigint[], at timestamptz)", NULL,
           BY_AGE("table = \"t\"; tenant = \"c\"; since = \"at\";"), "is of type bigint[]");
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
           "{ data = \"D\"; keep = \"gone + 1 day\"; basis = \"b\"; targets = ( { table = \"t\"; tenant = \"customer_id\"; ends = { gone = "
           "\"gone\"; }; } ); }",
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
    expect_lines(", a text, b text, c int", "\"null: b\"",
                 "schedule.conf:2: \"A\": columns: nothing is said about a, c of table \"t\"; add them to a line, as in \"null: a, c\"");
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
    expect_lines(", a text UNIQUE); CREATE TABLE u (id int PRIMARY KEY, a text REFERENCES t (a)", "\"null: a\"",
                 "\"u\" refers to the column by a foreign key; use as-is");
}
END_TEST

START_TEST(columns_of_dependents) {
    const char sql[] = "CREATE TABLE t (id int PRIMARY KEY, customer_id bigint, at timestamptz, a text); CREATE TABLE d (id int PRIMARY KEY, t_id int REFERENCES t, b text, c text NOT NULL)";
    expect(sql, NULL, ANONYMIZE(TEXT "columns = ( \"null: a\" );\n dependents = ( { join = \"d.t_id\"; columns = ( \"null: b\" ); } );"),
           "schedule.conf:3: \"A\": columns: nothing is said about c of table \"d\"");
    expect(sql, NULL, ANONYMIZE(TEXT "columns = ( \"null: a\" );\n dependents = ( { join = \"d.t_id\"; columns = ( \"null: b, c\" ); } );"), "columns: null: c: the column may not be null");
    expect(sql, NULL, ANONYMIZE(TEXT "columns = ( \"null: a\" );\n dependents = ( { join = \"d.t_id\"; columns = ( \"null: b, x\", \"as-is: c\" ); } );"), "table \"d\" has no column \"x\"");
    expect(sql, NULL, ANONYMIZE(TEXT "columns = ( \"null: a\" );\n dependents = ( { join = \"d.t_id\"; columns = ( \"null: b\", \"as-is: c\" ); } );"), NULL);
    expect("CREATE TABLE t (id int PRIMARY KEY, customer_id bigint, at timestamptz, a text UNIQUE); CREATE TABLE d (id int PRIMARY KEY, t_a text)", NULL,
           ANONYMIZE(TEXT "columns = ( \"null: a\" );\n dependents = ( { join = \"d.t_a = t.a\"; when_anonymized = \"as-is\"; } );"), "the dependent \"d\" is joined by the column; use as-is");
}
END_TEST

START_TEST(markers) {
    expect("CREATE TABLE t (id int PRIMARY KEY, customer_id bigint, at timestamptz, a text, m text)", NULL,
           ANONYMIZE(TEXT "marker = \"m\"; columns = ( \"null: a\" );"), "marker: column \"m\" is of type text");
    expect("CREATE TABLE t (id int PRIMARY KEY, customer_id bigint, at timestamptz, a text, m timestamptz NOT NULL)", NULL,
           ANONYMIZE(TEXT "marker = \"m\"; columns = ( \"null: a\" );"), "may not be null");
}
END_TEST

START_TEST(chains_to_the_tenant) {
    const char sql[] = "CREATE TABLE website (id int, owner bigint, code text PRIMARY KEY); CREATE TABLE t (id int PRIMARY KEY, website "
                       "int, at timestamptz, w text);";
    expect(sql, NULL, BY_AGE("table = \"t\"; tenant = \"owner\"; via = \"website = website.id\"; since = \"at\";"),
           "via: \"website\" has no unique index on (id), so that a record could belong to two tenants");
    expect(sql, NULL, BY_AGE("table = \"t\"; tenant = \"owner\"; via = \"website = website.code\"; since = \"at\";"), "which cannot be compared");
    expect(sql, NULL, BY_AGE("table = \"t\"; tenant = \"owner\"; via = \"w = website.code\"; since = \"at\";"), NULL);
    expect(sql, NULL, BY_AGE("table = \"t\"; tenant = \"owner\"; via = \"w = website.cod\"; since = \"at\";"),
           "via: table \"website\" has no column \"cod\"; did you mean \"code\"?");
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
    expect("CREATE TABLE t (a int, b int, customer_id bigint, at timestamptz, PRIMARY KEY (a, b)); CREATE TABLE u (id int PRIMARY KEY, a "
           "int, b int);", NULL,
           BY_AGE(TEXT "dependents = [ \"u.a\" ];"), "the key of \"t\" has 2 columns, not 1");
    expect("CREATE TABLE t (a int, b int, customer_id bigint, at timestamptz, PRIMARY KEY (a, b)); CREATE TABLE u (id int PRIMARY KEY, a "
           "int, b int);", NULL,
           BY_AGE(TEXT "dependents = [ \"u.a = t.a, u.b = t.b\" ];"), NULL);
}
END_TEST

START_TEST(cascades_are_declared) {
    expect("CREATE TABLE a (id int PRIMARY KEY, log_id bigint REFERENCES logs ON DELETE CASCADE)", NULL, BY_AGE(LOGS),
           "\"a\" refers to \"logs\" by (log_id) with ON DELETE CASCADE: its rows would go unseen; declare it, dependents = [ \"a.log_id\" ]");
    expect("CREATE TABLE a (id int PRIMARY KEY, log_id bigint REFERENCES logs ON DELETE SET NULL)", NULL, BY_AGE(LOGS), "ON DELETE SET NULL");
    expect("CREATE TABLE a (id int PRIMARY KEY, log_id bigint DEFAULT 1 REFERENCES logs ON DELETE SET DEFAULT)", NULL, BY_AGE(LOGS),
           "ON DELETE SET DEFAULT");
    expect("CREATE TABLE a (id int PRIMARY KEY, log_id bigint REFERENCES logs ON DELETE CASCADE)", NULL,
           BY_AGE(LOGS "dependents = [ \"a.log_id\" ];"), NULL);
    expect("CREATE TABLE a (id int PRIMARY KEY, log_id bigint REFERENCES logs); CREATE TABLE b (id int PRIMARY KEY, a_id int REFERENCES a "
           "ON DELETE CASCADE)", NULL,
           BY_AGE(LOGS "dependents = [ \"a.log_id\" ];"), "declare it, dependents = [ \"b.a_id = a.id\" ]");
    expect("CREATE TABLE a (id int PRIMARY KEY, log_id bigint REFERENCES logs)", NULL, BY_AGE(LOGS), NULL);
}
END_TEST

START_TEST(a_table_under_at_least_is_no_dependent) {
    expect("CREATE TABLE a (id int PRIMARY KEY, log_id bigint REFERENCES logs, customer_id bigint, at timestamptz);"
           "CREATE TABLE inv (id int PRIMARY KEY, a_id int REFERENCES a, customer_id bigint, at timestamptz);",
           NULL,
           "\n{ data = \"Inv\"; keep = \"7 years\"; at_least = \"7 years\"; basis = \"b\"; targets = ( { table = \"inv\"; tenant = "
           "\"customer_id\"; since = \"at\"; } ); },"
           BY_AGE(LOGS "dependents = [ \"a.log_id\" ];"),
           "schedule.conf:3: \"Logs\": dependents: below \"a\" stands \"inv\", which is kept at least 7 years under \"Inv\"; take \"a\" "
           "out of the dependents");
}
END_TEST

START_TEST(row_security_and_rules) {
    expect("CREATE RULE r AS ON DELETE TO logs DO INSTEAD NOTHING", NULL, BY_AGE(LOGS), "does something else INSTEAD of an UPDATE or DELETE");
}
END_TEST

START_TEST(conditions) {
    expect("", NULL, BY_AGE(LOGS "only = \"txt = 'x'\";"),
           "only: the condition does not run on \"logs\": store \"main\": a column does not exist (SQLSTATE 42703)");
    expect("", NULL, BY_AGE(LOGS "only = \"text = 'x' OR text IS NULL\";"), NULL);
}
END_TEST

START_TEST(the_tenants_query) {
    expect("", "ends = [ \"account\" ]; query = \"SELECT idd AS tenant, ended_at AS account FROM customers\";", BY_AGE(LOGS),
           "lapsed.conf:2: tenants: the query does not run: store \"main\": a column does not exist");
    expect("", "ends = [ \"account\" ]; query = \"SELECT id, ended_at AS account FROM customers\";", BY_AGE(LOGS), "returns no column \"tenant\"");
    expect("", "ends = [ \"account\" ]; query = \"SELECT id AS tenant FROM customers\";", BY_AGE(LOGS), "returns no column \"account\"");
    expect("", "ends = [ \"account\" ]; query = \"SELECT id AS tenant, name AS account FROM customers\";", BY_AGE(LOGS),
           "has the wrong type for an end");
    expect("", "ends = [ \"account\" ]; query = \"SELECT id::float AS tenant, ended_at AS account FROM customers\";", BY_AGE(LOGS),
           "has the wrong type for the tenant's id");
    expect("", "ends = [ \"account\" ]; query = \"SELECT id AS tenant, ended_at AS account, 12 AS months FROM customers\";",
           "\n{ data = \"L\"; keep = \"1 year\"; per_tenant = { column = \"months\"; min = \"1 month\"; max = \"7 years\"; }; basis = "
           "\"b\"; targets = ( { " LOGS " } ); }",
           "has the wrong type for a period");
}
END_TEST

START_TEST(the_tenants_own_records) {
    const char subscriptions[] = "CREATE TABLE subscriptions (id int PRIMARY KEY, customer_id bigint, at timestamptz, ended_at timestamptz)";
    const char query[] = "ends = [ \"account\" ]; query = \"SELECT c.id AS tenant, s.ended_at AS account FROM customers c LEFT JOIN "
                         "subscriptions s ON s.customer_id = c.id\";";
    expect(subscriptions, query, BY_AGE("table = \"subscriptions\"; tenant = \"customer_id\"; since = \"at\";"),
           "bind it to an end of the tenant, as in keep = \"account + 90 days\"");
    expect(subscriptions, query, BY_END("table = \"customers\"; tenant = \"id\"; dependents = [ \"subscriptions.customer_id\" ];"), NULL);
    expect(subscriptions, query,
           BY_END("table = \"customers\"; tenant = \"id\"; }, { table = \"subscriptions\"; tenant = \"customer_id\";"),
           "must go in one transaction; make \"subscriptions\" a dependent of \"customers\"");
    expect(subscriptions, query,
           BY_AGE("table = \"logs\"; tenant = \"customer_id\"; since = \"at\"; dependents = [ \"subscriptions.id = logs.id\" ];"),
           "make it a dependent of the rule that purges the tenant's own record");
    expect(subscriptions, query,
           "\n{ data = \"Account\"; keep = \"account + 90 days\"; if_blocked = \"anonymize\"; basis = \"b\"; targets = ( { table = \"customers\"; tenant = \"id\";"
           " dependents = ( { join = \"subscriptions.customer_id\"; when_anonymized = \"purge\"; } ); columns = ( \"as-is: name, email, ended_at, months\" ); } ); }",
           "it cannot go while the tenant's record stays; write when_anonymized = \"as-is\"");
    expect("ALTER TABLE customers ADD reseller_id bigint", NULL, BY_END("table = \"customers\"; tenant = \"reseller_id\";"),
           "the tenants query takes a tenant's id from \"customers.id\"; write tenant = \"id\", not \"reseller_id\"");
    expect("", NULL,
           "\n{ data = \"Account\"; keep = \"account + 90 days\"; if_blocked = \"anonymize\"; basis = \"b\";\n targets = ( { table = "
           "\"customers\"; tenant = \"id\";\n"
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
        shape = arena_printf(world->arena, "%s %s>%s%s", shape, bound->blockers[i].link.child->name, bound->blockers[i].link.parent->name,
                             bound->blockers[i].through ? "+" : "");
    return shape;
}

START_TEST(children_come_before_their_parents) {
    fresh_schema(BASE_SQL);
    run_sql("CREATE TABLE a (id int PRIMARY KEY, log_id bigint REFERENCES logs, parent_id int REFERENCES a, customer_id bigint, at timestamptz);"
            "CREATE TABLE b (id int PRIMARY KEY, a_id int REFERENCES a, log_id bigint); CREATE TABLE c (id int PRIMARY KEY, b_id int);"
            "CREATE TABLE x (id int PRIMARY KEY, a_id int REFERENCES a); CREATE TABLE y (id int PRIMARY KEY, log_id bigint REFERENCES logs);");
    struct world world;
    open_world(&world, NULL,
               BY_AGE(LOGS "dependents = [ \"a.log_id\", \"c.b_id = b.id\", \"a.parent_id = a.id\", \"b.a_id = a.id\", \"b.log_id\" ];")
               ", { data = \"Parts\"; keep = \"2 years\"; basis = \"b\"; targets = ( { table = \"a\"; tenant = \"customer_id\"; since = "
               "\"at\"; dependents = [ \"b.a_id\" ]; } ); }",
               NULL, NULL);
    check_world(&world);
    const struct pg_bound *bound = pg_bound_of(&world.store, world.schedule->targets[0]);
    const char *shape = shape_of(&world, bound);
    ck_assert_str_eq(shape, "c>b>logs c>b>a>a>logs c>b>a>logs b>logs b>a>a>logs b>a>logs a*>a>logs(Parts) a>logs(Parts) | y>logs x>a+ x>a+");
    close_world(&world);
    leave_schema();
}
END_TEST

START_TEST(leaves_have_columns_of_their_own) {
    fresh_schema("CREATE TABLE customers (id bigint PRIMARY KEY, ended_at timestamptz, months text);"
                 "CREATE TABLE p (id bigint, customer_id bigint, at date, PRIMARY KEY (at, id)) PARTITION BY RANGE (at);"
                 "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('2020-01-01') TO ('2021-01-01') PARTITION BY LIST (id); CREATE TABLE p11 "
                 "PARTITION OF p1 DEFAULT;"
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
    leave_schema();
}
END_TEST

UNIT_MAIN("pg_catalog", a_good_schedule_has_no_fault, tables_that_cannot_be_swept, columns_that_are_not_there, tenants_of_unusable_types,
          anchors_of_unusable_types, identities,
          columns_of_anonymization, columns_of_dependents, markers, chains_to_the_tenant, dependents, cascades_are_declared, a_table_under_at_least_is_no_dependent, row_security_and_rules, conditions,
          the_tenants_query, the_tenants_own_records, children_come_before_their_parents, leaves_have_columns_of_their_own)
