/* MongoDB: what goes with a document, what keeps it back, and anonymization. */
#include "store/mongo_fixture.h"

#define OLD "{'$date': '2025-12-31T00:00:00Z'}"
#define YOUNG "{'$date': '2026-01-02T00:00:00Z'}"

static const char *const anna[] = {"anna", NULL};

static const struct dependent comments = {.join = {.child_table = "comments", .child_columns = {"ticketId"}, .n_columns = 1}};

START_TEST(dependents_go_with_their_document) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    fixture_insert(&fixture, "tickets", "{'_id': 1, 't': 'anna', 'at': " OLD "}");
    fixture_insert(&fixture, "tickets", "{'_id': 2, 't': 'anna', 'at': " YOUNG "}");
    fixture_insert(&fixture, "tickets", "{'_id': 3, 't': 'anna', 'at': " OLD ", 'ref': 'x'}");
    fixture_insert(&fixture, "comments", "{'_id': 11, 'ticketId': 1}");
    fixture_insert(&fixture, "comments", "{'_id': 12, 'ticketId': 1.0}");
    fixture_insert(&fixture, "comments", "{'_id': 13, 'ticketId': 2}");
    fixture_insert(&fixture, "comments", "{'_id': 14, 'ticketId': null}");
    fixture_insert(&fixture, "comments", "{'_id': 15}");
    fixture_insert(&fixture, "files", "{'_id': 21, 'comment': 11}");
    fixture_insert(&fixture, "files", "{'_id': 22, 'comment': 13}");
    fixture_insert(&fixture, "votes", "{'_id': 31, 'r': 'x', 'n': 3}");
    fixture_insert(&fixture, "votes", "{'_id': 32, 'r': 'x', 'n': 4}");
    const struct dependent dependents[] = {
        comments,
        {.join = {.child_table = "files", .parent_table = "comments", .child_columns = {"comment"}, .parent_columns = {"_id"}, .n_columns = 1}},
        {.join = {.child_table = "votes", .parent_table = "tickets", .child_columns = {"r", "n"}, .parent_columns = {"ref", "_id"}, .n_columns = 2}}};
    struct target *target = fixture_target(&fixture, "tickets", "t", "at");
    target->dependents = dependents;
    target->n_dependents = 3;
    fixture_start(&fixture);
    struct order order = fixture_purge(&fixture, target, fixture_listed(&fixture, "at", NEW_YEAR_US, anna));
    struct tally tally = fixture_tally(&fixture, &order);
    ck_assert_int_eq(tally.records, 2);
    ck_assert_int_eq(tally.dependents, 4);
    struct outcome outcome = fixture_sweep(&fixture, &order, 100);
    ck_assert_int_eq(outcome.records, 2);
    ck_assert_int_eq(outcome.dependents, 4);
    ck_assert_int_eq(fixture_count(&fixture, "comments", "{'_id': {'$in': [13, 14, 15]}}"), 3);
    ck_assert_int_eq(fixture_count(&fixture, "comments", "{}"), 3);
    ck_assert_int_eq(fixture_count(&fixture, "files", "{'_id': 22}"), 1);
    ck_assert_int_eq(fixture_count(&fixture, "votes", "{'_id': 32}"), 1);
    ck_assert_int_eq(fixture_count(&fixture, "votes", "{}"), 1);
    fixture_close(&fixture);
}
END_TEST

START_TEST(a_document_with_more_dependents_than_a_batch_is_drained_first) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    for (int i = 0; i < 4; i++) fixture_insert(&fixture, "tickets", arena_printf(fixture.arena, "{'_id': %d, 't': 'anna', 'at': " OLD "}", i));
    for (int i = 0; i < 35; i++) fixture_insert(&fixture, "comments", "{'ticketId': 2}");
    for (int i = 0; i < 3; i++) fixture_insert(&fixture, "comments", "{'ticketId': 3}");
    struct target *target = fixture_target(&fixture, "tickets", "t", "at");
    target->dependents = &comments;
    target->n_dependents = 1;
    fixture_start(&fixture);
    struct order order = fixture_purge(&fixture, target, fixture_listed(&fixture, "at", NEW_YEAR_US, anna));
    const struct order *orders[] = {&order};
    struct pass *pass;
    const struct batch *batch;
    struct outcome outcome;
    int64_t records = 0, dependents = 0;
    ck_assert(!mongo_driver.begin(fixture.store, orders, 1, NULL, &pass, &fixture.err));
    for (int batches = 0;; batches++) {
        ck_assert_int_lt(batches, 20);
        ck_assert(!mongo_driver.prepare(fixture.store, pass, 10, fixture.arena, &batch, NULL, &fixture.err));
        if (!batch) break;
        ck_assert_int_le(batch->records + batch->dependents, 10);
        ck_assert(batch->n_tenants || !batch->records);
        ck_assert(!mongo_driver.finish(fixture.store, pass, true, &outcome, &fixture.err));
        records += outcome.records;
        dependents += outcome.dependents;
        /* Never a comment without its ticket. */
        if (!fixture_count(&fixture, "tickets", "{'_id': 2}")) ck_assert_int_eq(fixture_count(&fixture, "comments", "{'ticketId': 2}"), 0);
    }
    mongo_driver.end(fixture.store, pass);
    ck_assert_int_eq(records, 4);
    ck_assert_int_eq(dependents, 38);
    fixture_close(&fixture);
}
END_TEST

START_TEST(a_tree_goes_with_its_root) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    fixture_insert(&fixture, "notes", "{'_id': 1, 't': 'anna', 'at': " OLD "}");
    fixture_insert(&fixture, "notes", "{'_id': 2, 't': 'anna', 'at': " YOUNG ", 'parent': 1}");
    fixture_insert(&fixture, "notes", "{'_id': 3, 't': 'anna', 'at': " OLD ", 'parent': 2}");
    fixture_insert(&fixture, "notes", "{'_id': 4, 't': 'anna', 'at': " YOUNG ", 'parent': 4}");
    const struct dependent tree = {.join = {.child_table = "notes", .child_columns = {"parent"}, .n_columns = 1}};
    struct target *target = fixture_target(&fixture, "notes", "t", "at");
    target->dependents = &tree;
    target->n_dependents = 1;
    fixture_start(&fixture);
    struct order order = fixture_purge(&fixture, target, fixture_listed(&fixture, "at", NEW_YEAR_US, anna));
    struct outcome outcome = fixture_sweep(&fixture, &order, 100);
    ck_assert_int_eq(outcome.records, 2);
    ck_assert_int_eq(outcome.dependents, 1);
    ck_assert_int_eq(fixture_count(&fixture, "notes", "{'_id': 4}"), 1);
    fixture_close(&fixture);
}
END_TEST

START_TEST(a_dependent_with_a_rule_of_its_own_blocks) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    for (int i = 0; i < 30; i++) fixture_insert(&fixture, "tickets", arena_printf(fixture.arena, "{'_id': %d, 't': 'anna', 'at': " OLD "}", i));
    for (int i = 0; i < 25; i++) fixture_insert(&fixture, "comments", arena_printf(fixture.arena, "{'ticketId': %d, 'at': " YOUNG "}", i));
    /* One that belongs to two tickets cannot go with one of them. */
    fixture_insert(&fixture, "labels", "{'refs': [{'ticket': 28}, {'ticket': 99}]}");
    const struct dependent dependents[] = {comments, {.join = {.child_table = "labels", .child_columns = {"refs.ticket"}, .n_columns = 1}}};
    struct target *target = fixture_target(&fixture, "tickets", "t", "at");
    target->dependents = dependents;
    target->n_dependents = 2;
    (void)fixture_target(&fixture, "comments", NULL, "at");
    fixture_start(&fixture);
    struct order order = fixture_purge(&fixture, target, fixture_listed(&fixture, "at", NEW_YEAR_US, anna));
    struct tally tally = fixture_tally(&fixture, &order);
    ck_assert_int_eq(tally.records, 4);
    ck_assert_int_eq(tally.n_blocked_records, 26);
    ck_assert_uint_eq(tally.n_blocked, 2);
    ck_assert_int_eq(tally.blocked[0].count + tally.blocked[1].count, 26);
    ck_assert_int_eq(tally.dependents, 0);
    ck_assert_int_eq(fixture_sweep(&fixture, &order, 4).records, 4);
    ck_assert_int_eq(fixture_count(&fixture, "tickets", "{}"), 26);
    ck_assert_int_eq(fixture_count(&fixture, "comments", "{}"), 25);
    ck_assert_int_eq(fixture_sweep(&fixture, &order, 4).records, 0);
    fixture_close(&fixture);
}
END_TEST

/* Tickets <- comments <- votes, each with a rule of its own: what goes in the same sweep does not block, what stays does, over two
 * steps as well; a count that is asked for the tickets alone knows nothing of the other rules. */
START_TEST(a_dependent_that_is_due_itself_does_not_block_the_plan) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    for (int i = 1; i <= 4; i++) {
        fixture_insert(&fixture, "tickets", arena_printf(fixture.arena, "{'_id': %d, 't': 'anna', 'at': " OLD "}", i));
        fixture_insert(&fixture, "comments", arena_printf(fixture.arena, "{'_id': %d, 't': 'anna', 'ticketId': %d, 'at': %s}", i, i, i == 2 ? YOUNG : OLD));
    }
    fixture_insert(&fixture, "votes", "{'_id': 3, 'commentId': 3, 'at': " YOUNG "}");
    fixture_insert(&fixture, "votes", "{'_id': 4, 'commentId': 4, 'at': " OLD "}");
    const struct dependent votes = {.join = {.child_table = "votes", .child_columns = {"commentId"}, .n_columns = 1}};
    struct target *targets[] = {fixture_target(&fixture, "tickets", "t", "at"), fixture_target(&fixture, "comments", "t", "at"),
                                fixture_target(&fixture, "votes", NULL, "at")};
    targets[0]->dependents = &comments;
    targets[1]->dependents = &votes;
    targets[0]->n_dependents = targets[1]->n_dependents = 1;
    fixture_start(&fixture);
    struct order orders[] = {fixture_purge(&fixture, targets[0], fixture_listed(&fixture, "at", NEW_YEAR_US, anna)),
                             fixture_purge(&fixture, targets[1], fixture_rest(&fixture, "at", NEW_YEAR_US)),
                             fixture_purge(&fixture, targets[2], fixture_whole("at", NEW_YEAR_US))};
    const struct order *all[] = {&orders[0], &orders[1], &orders[2]};
    struct tally tallies[3];
    ck_assert_int_eq(fixture_tally(&fixture, all[0]).n_blocked_records, 4);
    ck_assert_msg(!mongo_driver.count(fixture.store, all, 3, fixture.arena, tallies, &fixture.err), "%s", fixture.err.text);
    ck_assert_int_eq(tallies[0].records, 2);
    ck_assert_int_eq(tallies[0].n_blocked_records, 2);
    ck_assert_uint_eq(tallies[0].n_blocked, 1);
    ck_assert_str_eq(tallies[0].blocked[0].by, "comments");
    ck_assert_int_eq(tallies[1].records, 2);
    ck_assert_int_eq(tallies[1].n_blocked_records, 1);
    ck_assert_int_eq(tallies[2].records, 1);
    for (size_t i = 3; i-- > 0;) ck_assert_int_eq(fixture_sweep(&fixture, all[i], 3).records, tallies[i].records);
    ck_assert_msg(!mongo_driver.count(fixture.store, all, 3, fixture.arena, tallies, &fixture.err), "%s", fixture.err.text);
    ck_assert_int_eq(tallies[0].records + tallies[1].records + tallies[2].records, 0);
    ck_assert_int_eq(tallies[0].n_blocked_records, 2);
    fixture_close(&fixture);
}
END_TEST

static const struct column columns[] = {
    {.strategy = STRATEGY_NULL, .path = "name"},
    {.strategy = STRATEGY_FIXED, .path = "state", .argument = "closed"},
    {.strategy = STRATEGY_TRUNCATE_IP, .path = "contacts.ip"},
    {.strategy = STRATEGY_PSEUDONYMIZE, .path = "contacts.email"},
    {.strategy = STRATEGY_TRUNCATE_TIME, .path = "seen", .argument = "day"},
    {.strategy = STRATEGY_AS_IS, .path = "plan"},
};

static struct order anonymization(struct fixture *fixture, struct target *target) {
    target->columns = columns;
    target->n_columns = sizeof columns / sizeof *columns;
    return order_make(target, ACTION_ANONYMIZE, &fixture->keep, fixture_listed(fixture, "at", NEW_YEAR_US, anna));
}

static void insert_people(struct fixture *fixture) {
    fixture_insert(fixture, "people", "{'_id': 1, 't': 'anna', 'at': " OLD ", 'name': 'Canary One', 'state': 'open', 'plan': 'pro', "
                                      "'seen': {'$date': '2025-05-05T12:34:56Z'}, 'contacts': [{'email': 'canary@example.com', 'ip': '192.0.2.77', 'phone': 1}, "
                                      "{'email': null}, 'canary', [{'ip': '2001:db8:1:2::3'}]]}");
    fixture_insert(fixture, "people", "{'_id': 2, 't': 'anna', 'at': " YOUNG ", 'name': 'Young'}");
    fixture_insert(fixture, "people", "{'_id': 3, 't': 'anna', 'at': " OLD ", 'name': 'Unlisted', 'nick': 'u'}");
    fixture_insert(fixture, "people", "{'_id': 4, 't': 'bert', 'at': " OLD ", 'name': 'Neighbour'}");
}

static void check_people(struct fixture *fixture) {
    ck_assert_int_eq(fixture_count(fixture, "people", "{'_id': 1, 'name': null, 'state': 'closed', 'plan': 'pro', 'seen': {'$date': '2025-05-05T00:00:00Z'}}"), 1);
    ck_assert_int_eq(fixture_count(fixture, "people", "{'_id': 1, 'contacts.0.ip': '192.0.2.0', 'contacts.0.phone': 1, 'contacts.1.email': null, "
                                                      "'contacts.3.0.ip': '2001:db8:1::'}"), 1);
    ck_assert_int_eq(fixture_count(fixture, "people", "{'_id': 1, 'contacts.0.email': {'$regex': '^anon:[0-9a-f]{64}$'}}"), 1);
    ck_assert_int_eq(fixture_count(fixture, "people", "{'_id': 2, 'name': 'Young'}"), 1);
    ck_assert_int_eq(fixture_count(fixture, "people", "{'_id': 3, 'name': 'Unlisted', 'nick': 'u'}"), 1);
    ck_assert_int_eq(fixture_count(fixture, "people", "{'_id': 4, 'name': 'Neighbour'}"), 1);
}

START_TEST(anonymization_goes_through_paths_and_arrays_once) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    insert_people(&fixture);
    struct target *target = fixture_target(&fixture, "people", "t", "at");
    struct order order = anonymization(&fixture, target);
    fixture_start(&fixture);
    ck_assert_int_eq(fixture_tally(&fixture, &order).records, 1);
    ck_assert_int_eq(fixture_sweep(&fixture, &order, 10).records, 1);
    check_people(&fixture);
    ck_assert_int_eq(fixture_tally(&fixture, &order).records, 0);
    ck_assert_int_eq(fixture_sweep(&fixture, &order, 10).records, 0);
    fixture_close(&fixture);
}
END_TEST

START_TEST(a_marker_says_what_is_done) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    insert_people(&fixture);
    struct target *target = fixture_target(&fixture, "people", "t", "at");
    struct order order = anonymization(&fixture, target);
    target->marker = "meta.anonymized";
    fixture_start(&fixture);
    ck_assert_int_eq(fixture_sweep(&fixture, &order, 10).records, 1);
    check_people(&fixture);
    ck_assert_int_eq(fixture_count(&fixture, "people", "{'meta.anonymized': {'$gt': " YOUNG "}}"), 1);
    ck_assert_int_eq(fixture_tally(&fixture, &order).records, 0);
    ck_assert_int_eq(fixture_sweep(&fixture, &order, 10).records, 0);
    fixture_close(&fixture);
}
END_TEST

START_TEST(blocked_documents_are_anonymized_and_their_dependents_follow) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    insert_people(&fixture);
    fixture_insert(&fixture, "people", "{'_id': 5, 't': 'anna', 'at': " OLD ", 'name': 'Free'}");
    fixture_insert(&fixture, "invoices", "{'person': 1}");
    fixture_insert(&fixture, "keys", "{'_id': 1, 'person': 1}");
    fixture_insert(&fixture, "keys", "{'_id': 5, 'person': 5}");
    fixture_insert(&fixture, "mails", "{'_id': 1, 'person': 1, 'to': 'canary@example.com'}");
    static const struct column to[] = {{.strategy = STRATEGY_NULL, .path = "to"}};
    const struct dependent dependents[] = {
        {.join = {.child_table = "invoices", .child_columns = {"person"}, .n_columns = 1}, .when_anonymized = WHEN_ANONYMIZED_AS_IS},
        {.join = {.child_table = "keys", .child_columns = {"person"}, .n_columns = 1}, .when_anonymized = WHEN_ANONYMIZED_PURGE},
        {.join = {.child_table = "mails", .child_columns = {"person"}, .n_columns = 1}, .when_anonymized = WHEN_ANONYMIZED_COLUMNS, .columns = to, .n_columns = 1}};
    struct target *target = fixture_target(&fixture, "people", "t", "at");
    target->dependents = dependents;
    target->n_dependents = 3;
    (void)fixture_target(&fixture, "invoices", NULL, "at");
    struct order order = anonymization(&fixture, target);
    order.blocked_only = true;
    fixture_start(&fixture);
    ck_assert_int_eq(fixture_tally(&fixture, &order).records, 1);
    struct outcome outcome = fixture_sweep(&fixture, &order, 10);
    ck_assert_int_eq(outcome.records, 1);
    ck_assert_int_eq(outcome.dependents, 2);
    check_people(&fixture);
    ck_assert_int_eq(fixture_count(&fixture, "people", "{'_id': 5, 'name': 'Free'}"), 1);
    ck_assert_int_eq(fixture_count(&fixture, "keys", "{'_id': 5}"), 1);
    ck_assert_int_eq(fixture_count(&fixture, "keys", "{}"), 1);
    ck_assert_int_eq(fixture_count(&fixture, "mails", "{'to': null}"), 1);
    ck_assert_int_eq(fixture_count(&fixture, "invoices", "{}"), 1);
    outcome = fixture_sweep(&fixture, &order, 10);
    ck_assert_int_eq(outcome.records + outcome.dependents, 0);
    fixture_close(&fixture);
}
END_TEST

UNIT_MAIN("mongo_dependents", dependents_go_with_their_document, a_document_with_more_dependents_than_a_batch_is_drained_first, a_tree_goes_with_its_root,
          a_dependent_with_a_rule_of_its_own_blocks,
          a_dependent_that_is_due_itself_does_not_block_the_plan, anonymization_goes_through_paths_and_arrays_once, a_marker_says_what_is_done,
          blocked_documents_are_anonymized_and_their_dependents_follow)
