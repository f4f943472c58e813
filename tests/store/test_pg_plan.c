/* The plan's numbers are the sweep's: count asks what will be blocked when the sweep is over, where what blocks may go in the
 * same sweep. Each test counts all orders together, sweeps as the daemon does and compares. */
#include "pg_fixture.h"

#include <stdio.h>

#define RULE(name, target) "{ data = \"" name "\"; keep = \"1 year\"; basis = \"b\"; targets = ( { " target " } ); }"
#define TABLE(name) "table = \"" name "\"; tenant = \"customer_id\"; since = \"at\";"
#define CUTOFF "2026-01-01"
#define DUE "'2025-01-01'"
#define LIVE "'2026-06-01'"

enum { MOST_ORDERS = 4 };

struct plan_of {
    struct order orders[MOST_ORDERS];
    const struct order *list[MOST_ORDERS];
    size_t count;
    struct tally tallies[MOST_ORDERS];
    struct sum sums[MOST_ORDERS];
};

static void add_order(struct plan_of *plan, struct order order) {
    plan->orders[plan->count] = order;
    plan->list[plan->count] = &plan->orders[plan->count];
    plan->count++;
}

static void count(struct acts *acts, struct plan_of *plan) {
    struct err err;
    ck_assert_msg(pg_driver.count(acts->store, plan->list, plan->count, acts->arena, plan->tallies, &err) == 0, "%s", err.text);
}

/* Pass after pass until nothing goes; what is blocked after that has a round of its own. */
static void carry_out(struct acts *acts, struct plan_of *plan, bool blocked_only) {
    for (int64_t done = -1; done;) {
        done = 0;
        for (size_t i = 0; i < plan->count; i++) {
            if (plan->orders[i].blocked_only != blocked_only) continue;
            struct sum sum = acts_pass(acts, plan->list[i], 7);
            plan->sums[i].records += sum.records;
            plan->sums[i].dependents += sum.dependents;
            done += sum.records + sum.dependents;
        }
    }
}

/* The plan counted before is what goes, order by order, and what it calls blocked is blocked after it. */
static void sweep_as_planned(struct acts *acts, struct plan_of *plan) {
    struct plan_of after = *plan;
    count(acts, plan);
    carry_out(acts, plan, false);
    carry_out(acts, plan, true);
    count(acts, &after);
    for (size_t i = 0; i < plan->count; i++) {
        ck_assert_int_eq(plan->sums[i].records, plan->tallies[i].records);
        ck_assert_int_eq(plan->sums[i].dependents, plan->tallies[i].dependents);
        ck_assert_int_eq(after.tallies[i].records, 0);
        ck_assert_int_eq(after.tallies[i].n_blocked_records, plan->tallies[i].n_blocked_records);
        ck_assert_uint_eq(after.tallies[i].n_blocked, plan->tallies[i].n_blocked);
    }
}

static struct plan_of *planned(struct acts *acts, size_t n_targets) {
    struct plan_of *plan = ARENA_NEW(acts->arena, struct plan_of);
    for (size_t i = 0; i < n_targets; i++) add_order(plan, order_by_age(acts_target(acts, i), ACTION_PURGE, CUTOFF));
    return plan;
}

#define A_B_C \
    "CREATE TABLE a (id bigint PRIMARY KEY, customer_id bigint, at timestamptz, name text);" \
    "CREATE TABLE b (id bigint PRIMARY KEY, customer_id bigint, at timestamptz, a_id bigint REFERENCES a);" \
    "CREATE TABLE c (id bigint PRIMARY KEY, customer_id bigint, at timestamptz, b_id bigint REFERENCES b);" \
    "CREATE INDEX ON a (customer_id, at); CREATE INDEX ON b (customer_id, at); CREATE INDEX ON c (customer_id, at);" \
    "GRANT ALL ON a, b, c TO lapsed;"
#define RULES_A_B_C RULE("A", TABLE("a")) ", " RULE("B", TABLE("b")) ", " RULE("C", TABLE("c"))

START_TEST(a_blocker_that_is_due_itself_does_not_block) {
    pg_schema(A_B_C);
    pg_sql("INSERT INTO a VALUES (1, 1, " DUE "), (2, 1, " DUE "), (3, 1, " DUE ");"
           "INSERT INTO b VALUES (1, 1, " DUE ", 1), (2, 1, " DUE ", 2), (3, 1, " LIVE ", 2)");
    struct acts acts = acts_open(RULES_A_B_C);
    struct plan_of *plan = planned(&acts, 3);
    sweep_as_planned(&acts, plan);
    ck_assert_int_eq(plan->tallies[0].records, 2);
    ck_assert_int_eq(plan->tallies[0].n_blocked_records, 1);
    ck_assert_uint_eq(plan->tallies[0].n_blocked, 1);
    ck_assert_str_eq(plan->tallies[0].blocked[0].by, "b");
    ck_assert_int_eq(plan->tallies[0].blocked[0].count, 1);
    ck_assert_int_eq(plan->tallies[1].records, 2);
    acts_close(&acts);
}
END_TEST

START_TEST(a_blocker_that_is_due_but_blocked_itself_blocks) {
    pg_schema(A_B_C);
    pg_sql("INSERT INTO a VALUES (1, 1, " DUE "), (2, 1, " DUE "); INSERT INTO b VALUES (1, 1, " DUE ", 1), (2, 1, " DUE ", 2);"
           "INSERT INTO c VALUES (1, 1, " DUE ", 1), (2, 1, " LIVE ", 2)");
    struct acts acts = acts_open(RULES_A_B_C);
    struct plan_of *plan = planned(&acts, 3);
    sweep_as_planned(&acts, plan);
    for (size_t i = 0; i < 3; i++) ck_assert_int_eq(plan->tallies[i].records, 1);
    ck_assert_int_eq(plan->tallies[0].n_blocked_records, 1);
    ck_assert_int_eq(plan->tallies[1].n_blocked_records, 1);
    ck_assert_int_eq(pg_number("SELECT sum(id) FROM a"), 2);
    acts_close(&acts);
}
END_TEST

START_TEST(a_blocker_alone_in_the_call_blocks) {
    pg_schema(A_B_C);
    pg_sql("INSERT INTO a VALUES (1, 1, " DUE "); INSERT INTO b VALUES (1, 1, " DUE ", 1)");
    struct acts acts = acts_open(RULES_A_B_C);
    struct order order = order_by_age(acts_target(&acts, 0), ACTION_PURGE, CUTOFF);
    ck_assert_int_eq(acts_count(&acts, &order).n_blocked_records, 1);
    acts_close(&acts);
}
END_TEST

START_TEST(a_dependent_of_a_due_row_does_not_block) {
    pg_schema(A_B_C "CREATE TABLE notes (id bigint PRIMARY KEY, b_id bigint REFERENCES b, reply_to bigint REFERENCES notes, a_id bigint REFERENCES a);"
                    "GRANT ALL ON notes TO lapsed;");
    /* a1 is referred to by a note below b1, a2 by an answer to it, a3 by a note below b2, which stays. */
    pg_sql("INSERT INTO a SELECT n, 1, " DUE " FROM generate_series(1, 3) n; INSERT INTO b VALUES (1, 1, " DUE ", NULL), (2, 1, " LIVE ", NULL);"
           "INSERT INTO notes VALUES (1, 1, NULL, 1), (2, NULL, 1, 2), (3, 2, NULL, 3), (4, 1, 1, NULL)");
    struct acts acts = acts_open(RULE("A", TABLE("a")) ", " RULE("B", TABLE("b") "dependents = [ \"notes.b_id\", \"notes.reply_to = notes.id\" ];"));
    struct plan_of *plan = planned(&acts, 2);
    sweep_as_planned(&acts, plan);
    ck_assert_int_eq(plan->tallies[0].records, 2);
    ck_assert_int_eq(plan->tallies[0].n_blocked_records, 1);
    ck_assert_int_eq(plan->tallies[1].dependents, 3); /* the fourth note hangs on it in two ways */
    acts_close(&acts);
}
END_TEST

START_TEST(a_dependent_that_is_a_target_and_due_does_not_block) {
    pg_schema(A_B_C);
    pg_sql("INSERT INTO a VALUES (1, 1, " DUE "), (2, 1, " DUE "); INSERT INTO b VALUES (1, 1, " DUE ", 1), (2, 1, " LIVE ", 2)");
    struct acts acts = acts_open(RULE("A", TABLE("a") "dependents = [ \"b.a_id\" ];") ", " RULE("B", TABLE("b")));
    struct plan_of *plan = planned(&acts, 2);
    sweep_as_planned(&acts, plan);
    ck_assert_int_eq(plan->tallies[0].records, 1);
    ck_assert_int_eq(plan->tallies[0].dependents, 0);
    ck_assert_int_eq(plan->tallies[0].n_blocked_records, 1);
    acts_close(&acts);
}
END_TEST

START_TEST(a_dependent_of_two_targets_is_counted_once) {
    pg_schema(A_B_C "CREATE TABLE notes (id bigint PRIMARY KEY, a_id bigint REFERENCES a, b_id bigint REFERENCES b); GRANT ALL ON notes TO lapsed;");
    pg_sql("INSERT INTO a VALUES (1, 1, " DUE "); INSERT INTO b VALUES (1, 1, " DUE ", NULL);"
           "INSERT INTO notes VALUES (1, 1, NULL), (2, NULL, 1)");
    struct acts acts = acts_open(RULE("A", TABLE("a") "dependents = [ \"notes.a_id\" ];") ", " RULE("B", TABLE("b") "dependents = [ \"notes.b_id\" ];"));
    pg_sql("INSERT INTO notes VALUES (3, 1, 1)");
    struct plan_of *plan = planned(&acts, 2);
    count(&acts, plan);
    ck_assert_int_eq(plan->tallies[0].dependents, 2);
    ck_assert_int_eq(plan->tallies[1].dependents, 1);
    sweep_as_planned(&acts, plan);
    acts_close(&acts);
}
END_TEST

#define NODES \
    "CREATE TABLE nodes (id bigint PRIMARY KEY, customer_id bigint, at timestamptz, parent_id bigint REFERENCES nodes, name text);" \
    "CREATE INDEX ON nodes (customer_id, at); GRANT ALL ON nodes TO lapsed;"

START_TEST(a_chain_in_one_table_goes_from_its_end) {
    pg_schema(NODES "CREATE TABLE bills (id bigint PRIMARY KEY, node_id bigint REFERENCES nodes); GRANT ALL ON bills TO lapsed;");
    /* 1 <- 2 <- … <- 20 all due; 21 <- 22 <- 23 where 23 lives; 31 <- 32 <- 33 where 33 has a bill; 41 refers to itself. */
    pg_sql("INSERT INTO nodes SELECT n, n % 3, " DUE ", nullif(n - 1, 0) FROM generate_series(1, 20) n;"
           "INSERT INTO nodes VALUES (21, 1, " DUE ", NULL), (22, 1, " DUE ", 21), (23, 1, " LIVE ", 22),"
           " (31, 2, " DUE ", NULL), (32, 2, " DUE ", 31), (33, 2, " DUE ", 32), (34, 2, " DUE ", 31), (41, 1, " DUE ", 41);"
           "INSERT INTO bills VALUES (1, 33)");
    struct acts acts = acts_open(RULE("Nodes", TABLE("nodes")));
    struct plan_of *plan = planned(&acts, 1);
    sweep_as_planned(&acts, plan);
    ck_assert_int_eq(plan->tallies[0].records, 22);
    ck_assert_int_eq(plan->tallies[0].n_blocked_records, 5);
    ck_assert_uint_eq(plan->tallies[0].n_blocked, 2);
    acts_close(&acts);
}
END_TEST

START_TEST(a_circle_blocks) {
    pg_schema(NODES A_B_C "ALTER TABLE a ADD last_b bigint REFERENCES b;");
    pg_sql("INSERT INTO nodes VALUES (1, 1, " DUE ", NULL), (2, 1, " DUE ", 1), (3, 1, " DUE ", 2), (4, 1, " DUE ", 3); UPDATE nodes SET parent_id = 3 WHERE id = 1;"
           "INSERT INTO a VALUES (1, 1, " DUE "); INSERT INTO b VALUES (1, 1, " DUE ", 1); UPDATE a SET last_b = 1");
    struct acts acts = acts_open(RULE("Nodes", TABLE("nodes")) ", " RULE("A", TABLE("a")) ", " RULE("B", TABLE("b")));
    struct plan_of *plan = planned(&acts, 3);
    sweep_as_planned(&acts, plan);
    ck_assert_int_eq(plan->tallies[0].records, 1);
    ck_assert_int_eq(plan->tallies[0].n_blocked_records, 3);
    ck_assert_int_eq(plan->tallies[1].n_blocked_records, 1);
    ck_assert_int_eq(plan->tallies[2].n_blocked_records, 1);
    acts_close(&acts);
}
END_TEST

/* Trees of several levels, circles, rows that live, rows with a bill: what the sweep leaves is what the count said. */
START_TEST(any_shape_within_one_table_is_counted_as_it_goes) {
    for (int seed = 1; seed <= 4; seed++) {
        char sql[1000];
        pg_schema(NODES "CREATE INDEX ON nodes (parent_id); CREATE TABLE bills (id bigint PRIMARY KEY, node_id bigint REFERENCES nodes); GRANT ALL ON bills TO lapsed;");
        (void)snprintf(sql, sizeof sql,
                       "SELECT setseed(0.%d); INSERT INTO nodes SELECT n, n %% 5, CASE WHEN random() < 0.93 THEN " DUE " ELSE " LIVE " END::timestamptz"
                       " FROM generate_series(1, 400) n; UPDATE nodes SET parent_id = 1 + floor(random() * id) WHERE random() < 0.7;"
                       "UPDATE nodes SET parent_id = 1 + floor(random() * 400) WHERE random() < 0.02;"
                       "INSERT INTO bills SELECT n, n * 37 %% 400 + 1 FROM generate_series(1, 6) n", seed);
        pg_sql(sql);
        struct acts acts = acts_open("{ data = \"N\"; keep = \"1 year\"; if_blocked = \"anonymize\"; basis = \"b\";"
                                     "targets = ( { " TABLE("nodes") " columns = ( \"null: name\", \"as-is: parent_id\" ); } ); }");
        struct plan_of *plan = planned(&acts, 1);
        sweep_as_planned(&acts, plan);
        ck_assert_int_gt(plan->tallies[0].records, 20);
        ck_assert_int_gt(plan->tallies[0].n_blocked_records, 20);
        acts_close(&acts);
    }
}
END_TEST

START_TEST(a_blocker_that_only_or_at_least_keeps_blocks) {
    pg_schema(A_B_C);
    pg_sql("ALTER TABLE b ADD kept boolean; INSERT INTO a VALUES (1, 1, " DUE "), (2, 1, " DUE "), (3, 1, '2020-01-01');"
           "INSERT INTO b VALUES (1, 1, " DUE ", 1, false), (2, 1, " DUE ", 2, true)");
    struct acts acts = acts_open(RULE("A", TABLE("a")) ", " RULE("B", TABLE("b") "only = \"NOT kept\";"));
    struct plan_of *plan = planned(&acts, 2);
    count(&acts, plan);
    ck_assert_int_eq(plan->tallies[0].records, 2);
    ck_assert_int_eq(plan->tallies[0].n_blocked_records, 1);
    struct order *b = &plan->orders[1];
    struct scope *floor = ARENA_NEW(acts.arena, struct scope);
    *floor = b->due;
    floor->cutoff_us = order_by_age(b->target, ACTION_PURGE, "2024-01-01").due.cutoff_us;
    b->floors = floor;
    b->n_floors = 1;
    sweep_as_planned(&acts, plan);
    ck_assert_int_eq(plan->tallies[0].records, 1);
    ck_assert_int_eq(plan->tallies[0].n_blocked_records, 2);
    acts_close(&acts);
}
END_TEST

START_TEST(only_what_stays_blocked_is_anonymized) {
    pg_schema(A_B_C);
    pg_sql("INSERT INTO a VALUES (1, 1, " DUE ", 'x'), (2, 1, " DUE ", 'x'), (3, 1, " DUE ", 'x');"
           "INSERT INTO b VALUES (1, 1, " DUE ", 1), (2, 1, " LIVE ", 2)");
    struct acts acts = acts_open("{ data = \"A\"; keep = \"1 year\"; if_blocked = \"anonymize\"; basis = \"b\";"
                                 "targets = ( { " TABLE("a") " columns = ( \"null: name\" ); } ); }, " RULE("B", TABLE("b")));
    struct plan_of *plan = planned(&acts, 2);
    struct order blocked = order_by_age(acts_target(&acts, 0), ACTION_ANONYMIZE, CUTOFF);
    blocked.blocked_only = true;
    add_order(plan, blocked);
    sweep_as_planned(&acts, plan);
    ck_assert_int_eq(plan->tallies[0].records, 2);
    ck_assert_int_eq(plan->tallies[2].records, 1);
    acts_close(&acts);
}
END_TEST

START_TEST(the_tenants_own_records_go_too_late_for_others) {
    pg_schema(A_B_C);
    pg_sql("INSERT INTO a VALUES (1, 1, " DUE "); INSERT INTO b VALUES (1, 1, " DUE ", 1)");
    struct acts acts = acts_open(RULE("A", TABLE("a")) ", " RULE("B", TABLE("b")));
    struct plan_of *plan = planned(&acts, 2);
    plan->orders[1].own = true;
    count(&acts, plan);
    ck_assert_int_eq(plan->tallies[0].n_blocked_records, 1);
    plan->orders[0].own = true;
    count(&acts, plan);
    ck_assert_int_eq(plan->tallies[0].records, 1);
    acts_close(&acts);
}
END_TEST

START_TEST(blockers_in_partitions_and_behind_joins_may_go_too) {
    pg_schema("CREATE TABLE a (id bigint PRIMARY KEY, customer_id bigint, at timestamptz); CREATE INDEX ON a (customer_id, at);"
              "CREATE TABLE b (id bigint, at timestamptz, a_id bigint REFERENCES a, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);"
              "CREATE TABLE b_old PARTITION OF b FOR VALUES FROM ('2000-01-01') TO ('2026-01-01');"
              "CREATE TABLE b_new PARTITION OF b FOR VALUES FROM ('2026-01-01') TO ('2030-01-01'); GRANT ALL ON a, b, b_old, b_new TO lapsed;"
              "INSERT INTO a VALUES (1, 1, " DUE "), (2, 1, " DUE "); INSERT INTO b VALUES (1, " DUE ", 1), (2, " LIVE ", 2)");
    struct acts acts = acts_open(RULE("A", TABLE("a")) ", " RULE("B", "table = \"b\"; via = \"a_id = a.id\"; tenant = \"customer_id\"; since = \"at\";"));
    struct plan_of *plan = planned(&acts, 2);
    sweep_as_planned(&acts, plan);
    ck_assert_int_eq(plan->tallies[0].records, 1);
    ck_assert_int_eq(plan->tallies[0].n_blocked_records, 1);
    acts_close(&acts);
}
END_TEST

UNIT_MAIN("PostgreSQL: plan", a_blocker_that_is_due_itself_does_not_block, a_blocker_that_is_due_but_blocked_itself_blocks,
          a_blocker_alone_in_the_call_blocks, a_dependent_of_a_due_row_does_not_block, a_dependent_that_is_a_target_and_due_does_not_block,
          a_dependent_of_two_targets_is_counted_once, a_chain_in_one_table_goes_from_its_end, a_circle_blocks,
          any_shape_within_one_table_is_counted_as_it_goes, a_blocker_that_only_or_at_least_keeps_blocks, only_what_stays_blocked_is_anonymized, the_tenants_own_records_go_too_late_for_others,
          blockers_in_partitions_and_behind_joins_may_go_too)
