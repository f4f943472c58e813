/* Ways in which rows that must live could go, or rows that must go could stay, that the other tests do not take: what
 * hangs on the middle of a tree, what moves while a batch is at work, what the server does behind our back. */
#include "pg_fixture.h"
#include "pg_world.h"

#define RULE(target) "{ data = \"Orders\"; keep = \"1 year\"; basis = \"b\"; targets = ( { " target " } ); }"
#define CUTOFF "2026-01-01"

/* Runs one pass; ERR_REFUSED and the like fail the test. */
static struct sum purge(struct acts *acts, size_t target, size_t limit) {
    struct order order = order_by_age(acts_target(acts, target), ACTION_PURGE, CUTOFF);
    return acts_pass(acts, &order, limit);
}

/* ---- trees ---- */

#define COMMENTS_SQL \
    "CREATE TABLE comments (id bigint PRIMARY KEY, customer_id bigint, at timestamptz, parent_id bigint REFERENCES comments);" \
    "CREATE INDEX ON comments (customer_id, at);" \
    "CREATE TABLE likes (id bigint PRIMARY KEY, comment_id bigint REFERENCES comments);"
#define COMMENTS "table = \"comments\"; tenant = \"customer_id\"; since = \"at\";"

START_TEST(what_hangs_on_the_branches_of_a_tree_goes_with_it) {
    pg_schema(COMMENTS_SQL);
    /* 1 <- 2 <- 3: only the root is due; each has two likes. 10 lives. */
    pg_sql("INSERT INTO comments VALUES (1, 1, '2025-01-01', NULL), (2, 1, '2026-02-01', 1), (3, 1, '2026-03-01', 2), (10, 1, '2026-02-01', NULL);"
           "INSERT INTO likes SELECT n * 10 + i, n FROM unnest(ARRAY[1, 2, 3, 10]) n, generate_series(1, 2) i");
    struct acts acts = acts_open(RULE(COMMENTS "dependents = [ \"comments.parent_id = comments.id\", \"likes.comment_id\" ];"));
    struct order order = order_by_age(acts_target(&acts, 0), ACTION_PURGE, CUTOFF);
    struct sum sum = acts_sweep(&acts, &order, 100);
    ck_assert_int_eq(sum.records, 1);
    ck_assert_int_eq(sum.dependents, 2 + 6);
    ck_assert_int_eq(pg_number("SELECT id FROM comments"), 10);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM likes"), 2);
    acts_close(&acts);
}
END_TEST

START_TEST(what_hangs_on_a_tree_of_dependents_goes_with_it) {
    pg_schema("CREATE TABLE posts (id bigint PRIMARY KEY, customer_id bigint, at timestamptz);" COMMENTS_SQL
              "ALTER TABLE comments ADD post_id bigint REFERENCES posts");
    pg_sql("INSERT INTO posts VALUES (1, 1, '2025-01-01');"
           "INSERT INTO comments VALUES (1, 1, NULL, NULL, 1), (2, 1, NULL, 1, NULL), (3, 1, NULL, 2, NULL);"
           "INSERT INTO likes VALUES (1, 1), (2, 2), (3, 3)");
    struct acts acts = acts_open(RULE("table = \"posts\"; tenant = \"customer_id\"; since = \"at\"; dependents = [ \"comments.post_id\","
                                      "\"comments.parent_id = comments.id\", \"likes.comment_id = comments.id\" ];"));
    ck_assert_int_eq(purge(&acts, 0, 100).dependents, 6);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM likes"), 0);
    acts_close(&acts);
}
END_TEST

/* In batches smaller than the tree, a leaf may go only after what hangs on it. */
START_TEST(a_tree_larger_than_a_batch_goes_with_what_hangs_on_it) {
    pg_schema(COMMENTS_SQL);
    pg_sql("INSERT INTO comments SELECT n, 1, CASE n WHEN 1 THEN '2025-01-01' ELSE '2026-03-01' END::timestamptz, nullif(n / 2, 0) FROM generate_series(1, 40) n;"
           "INSERT INTO likes SELECT n * 10 + i, n FROM generate_series(1, 40) n, generate_series(1, 2) i");
    struct acts acts = acts_open(RULE(COMMENTS "dependents = [ \"comments.parent_id = comments.id\", \"likes.comment_id\" ];"));
    struct sum sum = purge(&acts, 0, 9);
    ck_assert_int_eq(sum.records, 1);
    ck_assert_int_eq(sum.dependents, 39 + 80);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM comments"), 0);
    acts_close(&acts);
}
END_TEST

START_TEST(a_branch_that_is_still_referred_to_blocks_its_root_alone) {
    pg_schema(COMMENTS_SQL);
    pg_sql("INSERT INTO comments VALUES (1, 1, '2025-01-01', NULL), (2, 1, '2026-02-01', 1), (3, 1, '2026-02-01', 2), (5, 1, '2025-01-01', NULL);"
           "INSERT INTO likes VALUES (1, 3)");
    struct acts acts = acts_open(RULE(COMMENTS "dependents = [ \"comments.parent_id = comments.id\" ];"));
    struct order order = order_by_age(acts_target(&acts, 0), ACTION_PURGE, CUTOFF);
    ck_assert_int_eq(acts_count(&acts, &order).n_blocked_records, 1);
    ck_assert_int_eq(acts_sweep(&acts, &order, 100).records, 1); /* 5 */
    ck_assert_int_eq(pg_number("SELECT count(*) FROM comments"), 3);
    acts_close(&acts);
}
END_TEST

/* ---- what must be kept for ever ---- */

START_TEST(a_dependent_that_is_kept_for_ever_keeps_its_parent) {
    pg_schema("CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint, at timestamptz);"
              "CREATE TABLE deeds (id bigint PRIMARY KEY, order_id bigint, customer_id bigint)");
    pg_sql("INSERT INTO orders VALUES (1, 1, '2025-01-01'), (2, 1, '2025-01-01'); INSERT INTO deeds VALUES (1, 1, 1)");
    struct acts acts = acts_open(RULE("table = \"orders\"; tenant = \"customer_id\"; since = \"at\"; dependents = [ \"deeds.order_id\" ];") ", "
                                 "{ data = \"Deeds\"; keep = \"forever\"; basis = \"b\"; targets = ( { table = \"deeds\"; tenant = \"customer_id\"; } ); }");
    ck_assert_int_eq(purge(&acts, 0, 10).records, 1);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM deeds"), 1);
    ck_assert_int_eq(pg_number("SELECT id FROM orders"), 1);
    acts_close(&acts);
}
END_TEST

/* ---- moves while a batch is at work ---- */

/* As the administrator, elsewhere, before the row 1 of that table is deleted or changed. */
static void meanwhile(const char *table, const char *sql) {
    struct buf trigger = {0};
    buf_printf(&trigger,
               "CREATE EXTENSION IF NOT EXISTS dblink SCHEMA public; CREATE FUNCTION meanwhile() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN"
               " IF OLD.id = 1 THEN PERFORM public.dblink_exec('%s', 'SET lock_timeout = 200; SET search_path = acts; %s'); END IF;"
               " RETURN coalesce(NEW, OLD); EXCEPTION WHEN lock_not_available THEN RETURN coalesce(NEW, OLD); END $$;"
               "CREATE TRIGGER meanwhile BEFORE DELETE OR UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION meanwhile()",
               getenv("LAPSED_TEST_POSTGRESQL_ADMIN"), sql, table);
    pg_sql(buf_text(&trigger));
    buf_free(&trigger);
}

/* A dependent in the middle goes over to a record that lives, just when what hangs on it was destroyed. */
START_TEST(what_hangs_on_a_dependent_that_moves_away_lives) {
    pg_schema("CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint, at timestamptz);"
              "CREATE TABLE lines (id bigint PRIMARY KEY, order_id bigint REFERENCES orders);"
              "CREATE TABLE notes (id bigint PRIMARY KEY, line_id bigint REFERENCES lines)");
    pg_sql("INSERT INTO orders VALUES (1, 1, '2025-01-01'), (2, 1, '2026-06-01'); INSERT INTO lines VALUES (1, 1), (2, 1); INSERT INTO notes VALUES (1, 1), (2, 2)");
    meanwhile("notes", "UPDATE lines SET order_id = 2 WHERE id = 1");
    struct acts acts = acts_open(RULE("table = \"orders\"; tenant = \"customer_id\"; since = \"at\"; dependents = [ \"lines.order_id\", \"notes.line_id = lines.id\" ];"));
    purge(&acts, 0, 10);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM lines l WHERE NOT EXISTS (SELECT FROM notes n WHERE n.line_id = l.id)"), 0);
    acts_close(&acts);
}
END_TEST

START_TEST(what_hangs_on_a_dependent_that_moves_away_is_not_anonymized) {
    pg_schema("CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint, at timestamptz, name text);"
              "CREATE TABLE lines (id bigint PRIMARY KEY, order_id bigint REFERENCES orders, name text);"
              "CREATE TABLE notes (id bigint PRIMARY KEY, line_id bigint REFERENCES lines, name text);"
              "INSERT INTO orders VALUES (1, 1, '2025-01-01', 'x'), (2, 1, '2026-06-01', 'x'); INSERT INTO lines VALUES (1, 1, 'x'), (2, 1, 'x'); INSERT INTO notes VALUES (1, 1, 'x'), (2, 2, 'x')");
    meanwhile("notes", "UPDATE lines SET order_id = 2 WHERE id = 1");
    struct acts acts = acts_open("{ data = \"O\"; anonymize = \"1 year\"; keep = \"9 years\"; basis = \"b\"; targets = ("
                                 "{ table = \"orders\"; tenant = \"customer_id\"; since = \"at\"; columns = [ \"null: name\" ];"
                                 "dependents = ( { join = \"lines.order_id\"; columns = [ \"null: name\" ]; },"
                                 "{ join = \"notes.line_id = lines.id\"; columns = [ \"null: name\" ]; } ); } ); }");
    struct order order = order_by_age(acts_target(&acts, 0), ACTION_ANONYMIZE, CUTOFF);
    ck_assert_int_eq(acts_pass(&acts, &order, 10).records, 1);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM lines l JOIN notes n ON n.line_id = l.id WHERE l.name IS NULL AND n.name IS NULL"), 2);
    acts_close(&acts);
}
END_TEST

/* The statement sees the second row as it was, and comes to it when it is no longer due. */
START_TEST(a_record_that_is_due_no_longer_lives) {
    static const char *const conditions[] = {"", "only = \"kind <> 1\";"};
    static const char *const changes[] = {"UPDATE logs SET at = ''2026-06-01'' WHERE id = 2", "UPDATE logs SET kind = 1 WHERE id = 2"};
    for (size_t i = 0; i < 2; i++) {
        pg_schema("CREATE TABLE logs (id bigint PRIMARY KEY, customer_id bigint, at timestamptz, kind int); CREATE INDEX ON logs (customer_id, at)");
        pg_sql("INSERT INTO logs SELECT n, 1, '2025-01-01', 0 FROM generate_series(1, 3) n");
        meanwhile("logs", changes[i]);
        char target[200];
        (void)snprintf(target, sizeof target, RULE("table = \"logs\"; tenant = \"customer_id\"; since = \"at\"; %s"), conditions[i]);
        struct acts acts = acts_open(target);
        ck_assert_int_eq(purge(&acts, 0, 10).records, 2);
        ck_assert_int_eq(pg_number("SELECT sum(id) FROM logs"), 2);
        acts_close(&acts);
    }
}
END_TEST

/* A dependent goes over to a record that lives, while more than a batch of them are deleted. */
START_TEST(a_dependent_that_moves_away_is_not_drained) {
    pg_schema("CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint, at timestamptz);"
              "CREATE TABLE lines (id bigint PRIMARY KEY, order_id bigint REFERENCES orders)");
    pg_sql("INSERT INTO orders VALUES (1, 1, '2025-01-01'), (2, 1, '2026-06-01'); INSERT INTO lines SELECT n, 1 FROM generate_series(1, 9) n");
    meanwhile("lines", "UPDATE lines SET order_id = 2 WHERE id = 2");
    struct acts acts = acts_open(RULE("table = \"orders\"; tenant = \"customer_id\"; since = \"at\"; dependents = [ \"lines.order_id\" ];"));
    struct sum sum = purge(&acts, 0, 5);
    ck_assert_int_eq(sum.records, 1);
    ck_assert_int_eq(sum.dependents, 8);
    ck_assert_int_eq(pg_number("SELECT id FROM lines"), 2);
    acts_close(&acts);
}
END_TEST

#define NINE_NOTES \
    "CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint, at timestamptz, name text); INSERT INTO orders VALUES (1, 1, '2025-01-01', 'x'), (2, 1, '2026-06-01', 'x');" \
    "CREATE TABLE lines (id bigint PRIMARY KEY, order_id bigint REFERENCES orders, name text); INSERT INTO lines VALUES (1, 1, 'x');" \
    "CREATE TABLE notes (id bigint PRIMARY KEY, line_id bigint REFERENCES lines, name text); INSERT INTO notes SELECT n, 1, 'x' FROM generate_series(1, 9) n;"
#define LINES_AND_NOTES "table = \"orders\"; tenant = \"customer_id\"; since = \"at\"; dependents = [ \"lines.order_id\", \"notes.line_id = lines.id\" ];"
#define LINES_AND_NOTES_CHANGE \
    "{ data = \"O\"; anonymize = \"1 year\"; keep = \"9 years\"; basis = \"b\"; targets = (" \
    "{ table = \"orders\"; tenant = \"customer_id\"; since = \"at\"; columns = [ \"null: name\" ];" \
    "dependents = ( { join = \"lines.order_id\"; columns = [ \"null: name\" ]; }, { join = \"notes.line_id = lines.id\"; columns = [ \"null: name\" ]; } ); } ); }"
#define NOTES_OF_THE_LIVING "notes n JOIN lines l ON l.id = n.line_id WHERE l.order_id = 2"

/* More than a batch hangs on a dependent, and it is to go over to a record that lives as they are drained: it must stay, or they. */
START_TEST(what_hangs_on_a_dependent_that_moves_away_is_not_drained) {
    pg_schema(NINE_NOTES);
    meanwhile("notes", "UPDATE lines SET order_id = 2 WHERE id = 1");
    struct acts acts = acts_open(RULE(LINES_AND_NOTES));
    struct sum sum = purge(&acts, 0, 5);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM lines"), 0);
    ck_assert_int_eq(sum.records, 1);
    ck_assert_int_eq(sum.dependents, 1 + 9);
    acts_close(&acts);
}
END_TEST

START_TEST(what_hangs_on_a_dependent_that_moves_away_is_not_drained_of_values) {
    pg_schema(NINE_NOTES);
    meanwhile("notes", "UPDATE lines SET order_id = 2 WHERE id = 1");
    struct acts acts = acts_open(LINES_AND_NOTES_CHANGE);
    struct order order = order_by_age(acts_target(&acts, 0), ACTION_ANONYMIZE, CUTOFF);
    struct sum sum = acts_pass(&acts, &order, 5);
    ck_assert_int_eq(pg_number("SELECT order_id FROM lines"), 1);
    ck_assert_int_eq(sum.records, 1);
    ck_assert_int_eq(sum.dependents, 1 + 9);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM notes WHERE name IS NULL"), 9);
    acts_close(&acts);
}
END_TEST

/* It went over before, by somebody who commits while it is waited for. */
START_TEST(what_hangs_on_a_dependent_that_has_just_moved_lives) {
    static const struct {
        const char *rule;
        enum action action;
    } ways[] = {{RULE(LINES_AND_NOTES), ACTION_PURGE}, {LINES_AND_NOTES_CHANGE, ACTION_ANONYMIZE}};
    for (size_t i = 0; i < 2; i++) {
        pg_schema(NINE_NOTES);
        struct acts acts = acts_open(ways[i].rule);
        struct buf sql = {0};
        buf_printf(&sql, "CREATE EXTENSION IF NOT EXISTS dblink SCHEMA public; SELECT public.dblink_connect('mover', '%s');"
                   "SELECT public.dblink_exec('mover', 'BEGIN; UPDATE acts.lines SET order_id = 2 WHERE id = 1');"
                   "SELECT public.dblink_send_query('mover', 'DO $$ BEGIN FOR i IN 1..5000 LOOP"
                   " EXIT WHEN EXISTS (SELECT FROM pg_locks WHERE NOT granted); PERFORM pg_sleep(0.002); END LOOP; END $$; COMMIT')",
                   getenv("LAPSED_TEST_POSTGRESQL_ADMIN"));
        pg_sql(buf_text(&sql));
        buf_free(&sql);
        struct order order = order_by_age(acts_target(&acts, 0), ways[i].action, CUTOFF);
        const struct order *orders[] = {&order};
        const struct batch *batch;
        struct outcome outcome;
        struct pass *pass;
        struct err err;
        ck_assert_int_eq(pg_driver.begin(acts.store, orders, 1, NULL, &pass, &err), 0);
        for (bool over = false; !over;) {
            if (pg_driver.prepare(acts.store, pass, 5, acts.arena, &batch, NULL, &err) < 0) {
                ck_assert_msg(err.code == ERR_UNAVAILABLE && *err.detail, "%s", err.text);
                continue;
            }
            over = !batch;
            if (batch) ck_assert_msg(!pg_driver.finish(acts.store, pass, true, &outcome, &err), "%s", err.text);
        }
        pg_driver.end(acts.store, pass);
        pg_sql("SELECT public.dblink_disconnect('mover')");
        ck_assert_int_eq(pg_number("SELECT count(*) FROM " NOTES_OF_THE_LIVING " AND n.name = 'x' AND l.name = 'x'"), 9);
        acts_close(&acts);
    }
}
END_TEST

/* Without a foreign key nothing would find it again: what hangs on it must not go before it. */
START_TEST(a_dependent_that_changes_as_it_is_drained_is_not_left_behind) {
    pg_schema("CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint, at timestamptz); INSERT INTO orders VALUES (1, 1, '2025-01-01');"
              "CREATE TABLE lines (id bigint PRIMARY KEY, order_id bigint); INSERT INTO lines SELECT n, 1 FROM generate_series(1, 9) n;"
              "CREATE TABLE notes (id bigint PRIMARY KEY, line_id bigint, changed boolean); INSERT INTO notes SELECT n, n FROM generate_series(1, 3) n");
    meanwhile("notes", "UPDATE notes SET changed = true WHERE id = 2");
    struct acts acts = acts_open(RULE(LINES_AND_NOTES));
    struct sum sum = purge(&acts, 0, 5);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM notes"), 0);
    ck_assert_int_eq(sum.records, 1);
    ck_assert_int_eq(sum.dependents, 9 + 3);
    acts_close(&acts);
}
END_TEST

/* What is locked is what goes with the batch: lines with nothing left to do are not, however many. */
START_TEST(no_more_dependents_are_locked_than_a_batch_takes) {
    pg_schema("CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint, at timestamptz, name text); INSERT INTO orders VALUES (1, 1, '2025-01-01', 'x');"
              "CREATE TABLE lines (id bigint PRIMARY KEY, order_id bigint REFERENCES orders, name text); INSERT INTO lines SELECT n, 1, NULL FROM generate_series(1, 300) n;"
              "CREATE TABLE notes (id bigint PRIMARY KEY, line_id bigint REFERENCES lines, name text); INSERT INTO notes SELECT n, n, 'x' FROM generate_series(1, 5) n");
    struct acts acts = acts_open(LINES_AND_NOTES_CHANGE);
    struct order order = order_by_age(acts_target(&acts, 0), ACTION_ANONYMIZE, CUTOFF);
    const struct order *orders[] = {&order};
    const struct batch *batch;
    struct outcome outcome;
    struct pass *pass;
    struct err err;
    ck_assert_int_eq(pg_driver.begin(acts.store, orders, 1, NULL, &pass, &err), 0);
    ck_assert_msg(!pg_driver.prepare(acts.store, pass, 100, acts.arena, &batch, NULL, &err), "%s", err.text);
    ck_assert_ptr_nonnull(batch);
    ck_assert_int_eq(batch->records, 1);
    ck_assert_int_eq(batch->dependents, 5);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM (SELECT FROM lines FOR UPDATE SKIP LOCKED) s"), 300 - 5);
    ck_assert_int_eq(pg_driver.finish(acts.store, pass, true, &outcome, &err), 0);
    pg_driver.end(acts.store, pass);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM notes WHERE name IS NULL"), 5);
    acts_close(&acts);
}
END_TEST

/* Lines stay and are changed, their notes go: a line that goes over to a record that lives as they go takes them with it, or waits. */
START_TEST(what_is_purged_below_a_changed_dependent_that_moves_away_lives) {
    pg_schema("CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint, at timestamptz, name text); INSERT INTO orders VALUES (1, 1, '2025-01-01', 'x'), (2, 1, '2026-06-01', 'x');"
              "CREATE TABLE lines (id bigint PRIMARY KEY, order_id bigint REFERENCES orders, name text); INSERT INTO lines VALUES (1, 1, 'x');"
              "CREATE TABLE notes (id bigint PRIMARY KEY, line_id bigint REFERENCES lines); INSERT INTO notes VALUES (1, 1), (2, 1)");
    meanwhile("notes", "UPDATE lines SET order_id = 2 WHERE id = 1");
    struct acts acts = acts_open("{ data = \"O\"; anonymize = \"1 year\"; keep = \"9 years\"; basis = \"b\"; targets = ("
                                 "{ table = \"orders\"; tenant = \"customer_id\"; since = \"at\"; columns = [ \"null: name\" ];"
                                 "dependents = ( { join = \"lines.order_id\"; columns = [ \"null: name\" ]; },"
                                 "{ join = \"notes.line_id = lines.id\"; when_anonymized = \"purge\"; } ); } ); }");
    struct order order = order_by_age(acts_target(&acts, 0), ACTION_ANONYMIZE, CUTOFF);
    ck_assert_int_eq(acts_pass(&acts, &order, 10).records, 1);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM lines WHERE order_id = 1 AND name IS NULL"), 1);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM notes"), 0);
    acts_close(&acts);
}
END_TEST

/* Runs one pass in which a batch fails because others were at work meanwhile; the driver says so, and takes all the same in the end. */
static void purge_again(struct acts *acts, size_t limit) {
    struct order order = order_by_age(acts_target(acts, 0), ACTION_PURGE, CUTOFF);
    const struct order *orders[] = {&order};
    const struct batch *batch;
    struct outcome outcome;
    struct pass *pass;
    struct err err;
    int failures = 0;
    ck_assert_int_eq(pg_driver.begin(acts->store, orders, 1, NULL, &pass, &err), 0);
    for (bool over = false; !over;) {
        if (pg_driver.prepare(acts->store, pass, limit, acts->arena, &batch, NULL, &err) < 0) {
            ck_assert_msg(err.code == ERR_UNAVAILABLE && *err.detail, "%s", err.text); /* the server answers: it is not down */
            ck_assert_int_eq(++failures, 1);
            continue;
        }
        over = !batch;
        if (batch) ck_assert_msg(!pg_driver.finish(acts->store, pass, true, &outcome, &err), "%s", err.text);
    }
    ck_assert_int_eq(failures, 1);
    pg_driver.end(acts->store, pass);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM orders"), 0);
}

#define ORDERS_LINES_NOTES \
    "CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint, at timestamptz); INSERT INTO orders VALUES (1, 1, '2025-01-01');" \
    "CREATE TABLE lines (id bigint PRIMARY KEY, order_id bigint REFERENCES orders, changed boolean); INSERT INTO lines SELECT n, 1 FROM generate_series(1, 9) n;" \
    "CREATE TABLE notes (id bigint PRIMARY KEY, line_id bigint REFERENCES lines);"

/* More dependents than a batch are not locked before: what comes to them is not called undeclared. */
START_TEST(what_comes_to_dependents_as_they_are_drained_goes_with_them) {
    pg_schema(ORDERS_LINES_NOTES "INSERT INTO notes VALUES (1, 1); CREATE TABLE once (id int PRIMARY KEY)");
    meanwhile("lines", "WITH first AS (INSERT INTO once VALUES (1) ON CONFLICT DO NOTHING RETURNING id)"
              " INSERT INTO notes SELECT 100 + l.id, l.id FROM first, lines l WHERE l.id > 1");
    struct acts acts = acts_open(RULE("table = \"orders\"; tenant = \"customer_id\"; since = \"at\"; dependents = [ \"lines.order_id\", \"notes.line_id = lines.id\" ];"));
    purge_again(&acts, 5);
    acts_close(&acts);
}
END_TEST

/* All of them were changed since the statement began: there is no circle. */
START_TEST(dependents_that_change_as_they_are_drained_go_the_next_time) {
    pg_schema(ORDERS_LINES_NOTES);
    meanwhile("notes", "UPDATE lines SET changed = true WHERE changed IS NULL");
    pg_sql("CREATE FUNCTION meanwhile_all() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO acts.notes VALUES (1, NULL) ON CONFLICT DO NOTHING;"
           " DELETE FROM acts.notes; RETURN NULL; END $$; CREATE TRIGGER meanwhile_all BEFORE DELETE ON lines FOR EACH STATEMENT EXECUTE FUNCTION meanwhile_all()");
    struct acts acts = acts_open(RULE("table = \"orders\"; tenant = \"customer_id\"; since = \"at\"; dependents = [ \"lines.order_id\" ];"));
    purge_again(&acts, 5);
    acts_close(&acts);
}
END_TEST

/* The first that fit into the batch stop being due as they are locked: the others were not even tried. In the first batch, and in one
 * that begins with as many as fitted the last time. */
START_TEST(what_was_not_tried_is_not_passed_over) {
    for (int first = 1; first <= 3; first += 2) {
        char sql[500];
        pg_schema("CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint, at timestamptz); CREATE INDEX ON orders (customer_id, at);"
                  "CREATE TABLE lines (id bigint PRIMARY KEY, order_id bigint REFERENCES orders); CREATE TABLE notes (id bigint PRIMARY KEY, line_id bigint REFERENCES lines);"
                  "INSERT INTO orders SELECT n, 1, timestamptz '2025-01-01' + n * interval '1 day' FROM generate_series(1, 10) n;"
                  "INSERT INTO lines SELECT n, 1 + n % 10 FROM generate_series(1, 20) n; INSERT INTO notes SELECT n, n FROM generate_series(1, 20) n");
        /* Asked for the third time in a transaction it says no. */
        (void)snprintf(sql, sizeof sql, "CREATE FUNCTION wanted(id bigint) RETURNS boolean LANGUAGE plpgsql AS $$ DECLARE name text := 'acts.asked' || id; n int; BEGIN"
                       " n := 1 + coalesce(nullif(current_setting(name, true), ''), '0')::int; PERFORM set_config(name, n::text, true);"
                       " RETURN id NOT BETWEEN %d AND %d OR n < 3; END $$", first, first + 1);
        pg_sql(sql);
        struct acts acts = acts_open(RULE("table = \"orders\"; tenant = \"customer_id\"; since = \"at\"; only = \"wanted(id)\";"
                                          "dependents = [ \"lines.order_id\", \"notes.line_id = lines.id\" ];"));
        struct sum sum = purge(&acts, 0, 10);
        ck_assert_int_eq(sum.records, 8);
        ck_assert_int_eq(sum.dependents, 8 * 4);
        ck_assert_int_eq(pg_number("SELECT sum(id) FROM orders"), 2 * first + 1);
        acts_close(&acts);
    }
}
END_TEST

/* Nothing goes of the few that fit, and it is not that they are due no longer: they must not be chosen for ever. */
START_TEST(a_trigger_that_keeps_everything_ends_the_pass) {
    pg_schema("CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint, at timestamptz, name text); CREATE INDEX ON orders (customer_id, at);"
              "CREATE TABLE lines (id bigint PRIMARY KEY, order_id bigint REFERENCES orders, name text);"
              "CREATE TABLE notes (id bigint PRIMARY KEY, line_id bigint REFERENCES lines, name text);"
              "INSERT INTO orders SELECT n, 1 + n % 3, '2025-01-01', 'x' FROM generate_series(1, 30) n; INSERT INTO lines SELECT n, 1 + n % 30, 'x' FROM generate_series(1, 120) n;"
              "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;"
              "CREATE TRIGGER keep BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION keep(); CREATE TRIGGER keep BEFORE UPDATE ON lines FOR EACH ROW EXECUTE FUNCTION keep()");
    struct acts acts = acts_open(LINES_AND_NOTES_CHANGE);
    struct order order = order_by_age(acts_target(&acts, 0), ACTION_ANONYMIZE, CUTOFF);
    struct sum sum = acts_pass(&acts, &order, 10);
    ck_assert_uint_eq(sum.batches, 0);
    ck_assert_int_eq(pg_number("SELECT (SELECT count(*) FROM orders WHERE name = 'x') + (SELECT count(*) FROM lines WHERE name = 'x')"), 30 + 120);
    acts_close(&acts);
}
END_TEST

/* ---- what the server does behind our back ---- */

START_TEST(a_trigger_that_writes_values_back_is_refused) {
    pg_schema("CREATE TABLE people (id bigint PRIMARY KEY, customer_id bigint, at timestamptz, name text); CREATE INDEX ON people (customer_id, at);"
              "CREATE FUNCTION back() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := coalesce(NEW.name, '-'); RETURN NEW; END $$;"
              "CREATE TRIGGER back BEFORE UPDATE ON people FOR EACH ROW EXECUTE FUNCTION back()");
    pg_sql("INSERT INTO people VALUES (1, 1, '2025-01-01', 'x')");
    struct acts acts = acts_open("{ data = \"P\"; anonymize = \"1 year\"; keep = \"9 years\"; basis = \"b\"; targets = ("
                                 "{ table = \"people\"; tenant = \"customer_id\"; since = \"at\"; columns = [ \"null: name\" ]; } ); }");
    struct order order = order_by_age(acts_target(&acts, 0), ACTION_ANONYMIZE, CUTOFF);
    const struct order *orders[] = {&order};
    const struct order *failed = NULL;
    const struct batch *batch;
    struct pass *pass;
    struct err err;
    ck_assert_int_eq(pg_driver.begin(acts.store, orders, 1, NULL, &pass, &err), 0);
    ck_assert_int_eq(pg_driver.prepare(acts.store, pass, 10, acts.arena, &batch, &failed, &err), -1);
    ck_assert_int_eq(err.code, ERR_REFUSED);
    ck_assert_ptr_eq(failed, &order);
    pg_driver.end(acts.store, pass);
    char *text = pg_text("SELECT name FROM people");
    ck_assert_str_eq(text, "x");
    free(text);
    acts_close(&acts);
}
END_TEST

/* What comes back as it is destroyed must not keep a pass busy for ever: the order fails and says so. */
static void never_ends(const char *schema, const char *rule) {
    struct buf sql = {0};
    buf_add(&sql, "CREATE TABLE orders (id bigint, customer_id bigint, at timestamptz); CREATE INDEX ON orders (customer_id, at);"
              "CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN"
              " EXECUTE format('INSERT INTO acts.%I SELECT ($1).*', TG_TABLE_NAME) USING OLD; RETURN OLD; END $$;");
    buf_add(&sql, schema);
    pg_schema(buf_text(&sql));
    buf_free(&sql);
    struct acts acts = acts_open(rule);
    struct order order = order_by_age(acts_target(&acts, 0), ACTION_PURGE, CUTOFF);
    const struct order *orders[] = {&order}, *failed = NULL;
    const struct batch *batch;
    struct outcome outcome;
    struct pass *pass;
    struct err err;
    int result;
    ck_assert_int_eq(pg_driver.begin(acts.store, orders, 1, NULL, &pass, &err), 0);
    for (size_t batches = 0; (result = pg_driver.prepare(acts.store, pass, 400, acts.arena, &batch, &failed, &err)) == 0 && batch; batches++) {
        ck_assert_uint_lt(batches, 200);
        ck_assert_msg(pg_driver.finish(acts.store, pass, true, &outcome, &err) == 0, "%s", err.text);
    }
    ck_assert_int_eq(result, -1);
    ck_assert_int_eq(err.code, ERR_REFUSED);
    ck_assert_msg(strstr(err.text, "come back") != NULL, "%s", err.text);
    ck_assert_ptr_eq(failed, &order);
    ck_assert_int_eq(pg_driver.prepare(acts.store, pass, 400, acts.arena, &batch, &failed, &err), 0);
    ck_assert_ptr_null(batch);
    pg_driver.end(acts.store, pass);
    acts_close(&acts);
}

START_TEST(records_that_come_back_end_the_pass) {
    never_ends("CREATE TRIGGER again AFTER DELETE ON orders FOR EACH ROW EXECUTE FUNCTION again();"
               "INSERT INTO orders SELECT n, 1, '2025-01-01' FROM generate_series(1, 400) n",
               RULE("table = \"orders\"; key = \"ctid\"; tenant = \"customer_id\"; since = \"at\";"));
}
END_TEST

START_TEST(dependents_that_come_back_end_the_pass) {
    never_ends("ALTER TABLE orders ADD PRIMARY KEY (id); CREATE TABLE lines (id bigint PRIMARY KEY, order_id bigint);"
               "CREATE TRIGGER again AFTER DELETE ON lines FOR EACH ROW EXECUTE FUNCTION again();"
               "INSERT INTO orders VALUES (1, 1, '2025-01-01'); INSERT INTO lines SELECT n, 1 FROM generate_series(1, 400) n",
               RULE("table = \"orders\"; tenant = \"customer_id\"; since = \"at\"; dependents = [ \"lines.order_id\" ];"));
}
END_TEST

/* Rows that a trigger removes elsewhere were never in the table or its dependents: however many, they did not come back. */
START_TEST(what_triggers_remove_elsewhere_does_not_come_back) {
    pg_schema("CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint, at timestamptz); CREATE INDEX ON orders (customer_id, at);"
              "CREATE TABLE trails (order_id bigint); CREATE FUNCTION trail() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN"
              " DELETE FROM acts.trails WHERE order_id = OLD.id; RETURN OLD; END $$;"
              "CREATE TRIGGER trail AFTER DELETE ON orders FOR EACH ROW EXECUTE FUNCTION trail();"
              "INSERT INTO orders SELECT n, 1, '2025-01-01' FROM generate_series(1, 4) n; INSERT INTO trails SELECT n FROM generate_series(1, 4) n, generate_series(1, 12000) i");
    struct acts acts = acts_open(RULE("table = \"orders\"; tenant = \"customer_id\"; since = \"at\";"));
    struct order order = order_by_age(acts_target(&acts, 0), ACTION_PURGE, CUTOFF);
    const struct order *orders[] = {&order};
    const struct batch *batch;
    struct outcome outcome;
    struct pass *pass;
    struct err err;
    ck_assert_int_eq(pg_driver.begin(acts.store, orders, 1, NULL, &pass, &err), 0);
    for (int i = 0; i < 4; i++) {
        ck_assert_msg(!pg_driver.prepare(acts.store, pass, 1, acts.arena, &batch, NULL, &err), "%s", err.text);
        ck_assert_ptr_nonnull(batch);
        ck_assert_int_eq(batch->dependents, 12000);
        ck_assert_int_eq(pg_driver.finish(acts.store, pass, true, &outcome, &err), 0);
    }
    pg_driver.end(acts.store, pass);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM orders"), 0);
    acts_close(&acts);
}
END_TEST

START_TEST(a_commit_is_on_disk_whatever_the_role_says) {
    pg_schema("CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint, at timestamptz); CREATE TABLE said (mode text);"
              "CREATE FUNCTION say() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN"
              " INSERT INTO acts.said VALUES (current_setting('synchronous_commit')); RETURN OLD; END $$;"
              "CREATE TRIGGER say BEFORE DELETE ON orders FOR EACH ROW EXECUTE FUNCTION say(); ALTER ROLE lapsed SET synchronous_commit = off");
    pg_sql("INSERT INTO orders VALUES (1, 1, '2025-01-01')");
    struct acts acts = acts_open(RULE("table = \"orders\"; tenant = \"customer_id\"; since = \"at\";"));
    ck_assert_int_eq(purge(&acts, 0, 10).records, 1);
    pg_sql("ALTER ROLE lapsed RESET synchronous_commit");
    char *text = pg_text("SELECT mode FROM said");
    ck_assert_str_eq(text, "on");
    free(text);
    acts_close(&acts);
}
END_TEST

/* ---- values ---- */

START_TEST(anchors_before_christ_do_not_stop_the_rest) {
    pg_schema("CREATE TABLE logs (id bigint PRIMARY KEY, customer_id bigint, at timestamptz); CREATE INDEX ON logs (customer_id, at);"
              "CREATE TABLE views (id bigint PRIMARY KEY, at timestamptz); CREATE INDEX ON views (at)");
    pg_sql("INSERT INTO logs SELECT n, 1, timestamptz '0001-12-31 23:53:28+00 BC' FROM generate_series(1, 20) n; INSERT INTO views SELECT id, at FROM logs");
    struct acts acts = acts_open(RULE("table = \"logs\"; tenant = \"customer_id\"; since = \"at\";") ","
                                 "{ data = \"Views\"; keep = \"1 year\"; basis = \"b\"; targets = ( { table = \"views\"; tenant = \"none\"; since = \"at\"; } ); }");
    ck_assert_int_eq(purge(&acts, 0, 7).records, 20);
    ck_assert_int_eq(purge(&acts, 1, 7).records, 20);
    acts_close(&acts);
}
END_TEST

/* ---- what the catalog's check must refuse ---- */

static void refused(const char *sql, const char *rules, const char *words) {
    fresh_schema(sql);
    struct world world;
    open_world(&world, NULL, rules, NULL, NULL);
    check_world(&world);
    ck_assert_msg(strstr(world.text, words) != NULL, "%s: %s", words, world.text);
    ck_assert(world.bad[0] || world.bad[1]);
    close_world(&world);
    leave_schema();
}

/* 'acme' = 'ACME' there: the end of one would be the end of the other. */
START_TEST(tenants_that_compare_equal_but_are_not) {
    refused(BASE_SQL "CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);"
            "CREATE TABLE t (id bigint PRIMARY KEY, customer_id text COLLATE nocase, at timestamptz)",
            BY_AGE(TEXT), "nondeterministic");
}
END_TEST

/* The floor of the whole would not hold for its part. */
START_TEST(a_partition_beside_its_whole) {
    refused(BASE_SQL "CREATE TABLE t (id bigint, customer_id bigint, at timestamptz, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);"
            "CREATE TABLE t_2025 PARTITION OF t FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')",
            "{ data = \"A\"; keep = \"7 years\"; at_least = \"7 years\"; basis = \"b\"; targets = ( { " TEXT " } ); },"
            "{ data = \"B\"; keep = \"1 year\"; basis = \"b\"; targets = ( { table = \"t_2025\"; tenant = \"customer_id\"; since = \"at\"; } ); }",
            "is a part of");
}
END_TEST

/* Ids of several tables in one column: those of the others would go, too. */
START_TEST(a_column_that_refers_to_several_tables) {
    refused(BASE_SQL "CREATE TABLE notes (id bigint PRIMARY KEY, about_id bigint, about_type text)",
            BY_AGE(LOGS "dependents = [ \"notes.about_id\" ];"), "about_type");
    refused(BASE_SQL "CREATE TABLE notes (id bigint PRIMARY KEY, about_id bigint, about_type text, at timestamptz)",
            BY_AGE("table = \"notes\"; via = \"about_id = logs.id\"; tenant = \"customer_id\"; since = \"at\";"), "about_type");
}
END_TEST

START_TEST(cascades_below_what_an_anonymization_purges) {
    refused(BASE_SQL "CREATE TABLE t (id bigint PRIMARY KEY, customer_id bigint, at timestamptz, name text);"
            "CREATE TABLE sessions (id bigint PRIMARY KEY, t_id bigint REFERENCES t);"
            "CREATE TABLE trails (id bigint PRIMARY KEY, session_id bigint REFERENCES sessions ON DELETE CASCADE)",
            "{ data = \"A\"; anonymize = \"1 year\"; keep = \"forever\"; basis = \"b\"; targets = ( { " TEXT
            "columns = ( \"null: name\" ); dependents = ( { join = \"sessions.t_id\"; when_anonymized = \"purge\"; } ); } ); }",
            "trails");
}
END_TEST

/* A single session that is referred to would make every anonymization of its batch fail. */
START_TEST(references_to_what_an_anonymization_purges) {
    refused(BASE_SQL "CREATE TABLE t (id bigint PRIMARY KEY, customer_id bigint, at timestamptz, name text);"
            "CREATE TABLE sessions (id bigint PRIMARY KEY, t_id bigint REFERENCES t);"
            "CREATE TABLE trails (id bigint PRIMARY KEY, session_id bigint REFERENCES sessions)",
            "{ data = \"A\"; anonymize = \"1 year\"; keep = \"2 years\"; basis = \"b\"; targets = ( { " TEXT
            "columns = ( \"null: name\" ); dependents = ( { join = \"sessions.t_id\"; when_anonymized = \"purge\"; } ); } ); }",
            "trails");
}
END_TEST

/* What refers to such a session, and goes by a rule of its own, is waited for; the others do not wait. */
START_TEST(an_anonymization_waits_for_what_refers_to_its_dependents) {
    pg_schema("CREATE TABLE people (id bigint PRIMARY KEY, customer_id bigint, at timestamptz, name text);"
              "CREATE TABLE sessions (id bigint PRIMARY KEY, person_id bigint REFERENCES people);"
              "CREATE TABLE trails (id bigint PRIMARY KEY, customer_id bigint, at timestamptz, session_id bigint REFERENCES sessions)");
    pg_sql("INSERT INTO people VALUES (1, 1, '2025-01-01', 'x'), (2, 1, '2025-01-01', 'y'); INSERT INTO sessions VALUES (1, 1), (2, 2);"
           "INSERT INTO trails VALUES (1, 1, '2026-06-01', 1)");
    struct acts acts = acts_open("{ data = \"P\"; anonymize = \"1 year\"; keep = \"9 years\"; basis = \"b\"; targets = ("
                                 "{ table = \"people\"; tenant = \"customer_id\"; since = \"at\"; columns = [ \"null: name\" ];"
                                 "dependents = ( { join = \"sessions.person_id\"; when_anonymized = \"purge\"; } ); } ); },"
                                 "{ data = \"T\"; keep = \"1 year\"; basis = \"b\"; targets = ( { table = \"trails\"; tenant = \"customer_id\"; since = \"at\"; } ); }");
    struct order order = order_by_age(acts_target(&acts, 0), ACTION_ANONYMIZE, CUTOFF);
    ck_assert_int_eq(acts_sweep(&acts, &order, 10).records, 1);
    ck_assert_int_eq(pg_number("SELECT id FROM people WHERE name IS NOT NULL"), 1);
    ck_assert_int_eq(pg_number("SELECT id FROM sessions"), 1);
    pg_sql("DELETE FROM trails");
    ck_assert_int_eq(acts_sweep(&acts, &order, 10).records, 1);
    acts_close(&acts);
}
END_TEST

UNIT_MAIN("PostgreSQL: review", what_hangs_on_the_branches_of_a_tree_goes_with_it, what_hangs_on_a_tree_of_dependents_goes_with_it,
          a_tree_larger_than_a_batch_goes_with_what_hangs_on_it, a_branch_that_is_still_referred_to_blocks_its_root_alone,
          a_dependent_that_is_kept_for_ever_keeps_its_parent, what_hangs_on_a_dependent_that_moves_away_lives,
          what_hangs_on_a_dependent_that_moves_away_is_not_anonymized, a_record_that_is_due_no_longer_lives, a_dependent_that_moves_away_is_not_drained,
          what_hangs_on_a_dependent_that_moves_away_is_not_drained, what_hangs_on_a_dependent_that_moves_away_is_not_drained_of_values,
          what_hangs_on_a_dependent_that_has_just_moved_lives,
          a_dependent_that_changes_as_it_is_drained_is_not_left_behind, no_more_dependents_are_locked_than_a_batch_takes,
          what_is_purged_below_a_changed_dependent_that_moves_away_lives,
          what_comes_to_dependents_as_they_are_drained_goes_with_them, dependents_that_change_as_they_are_drained_go_the_next_time,
          what_was_not_tried_is_not_passed_over, a_trigger_that_keeps_everything_ends_the_pass,
          a_trigger_that_writes_values_back_is_refused,
          records_that_come_back_end_the_pass, dependents_that_come_back_end_the_pass,
          what_triggers_remove_elsewhere_does_not_come_back, a_commit_is_on_disk_whatever_the_role_says, anchors_before_christ_do_not_stop_the_rest,
          tenants_that_compare_equal_but_are_not, a_partition_beside_its_whole, a_column_that_refers_to_several_tables,
          cascades_below_what_an_anonymization_purges, references_to_what_an_anonymization_purges,
          an_anonymization_waits_for_what_refers_to_its_dependents)
