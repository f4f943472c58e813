/* MongoDB: documents that must live although a careless filter would take them, documents that are due although they are odd, and
 * counts that must not lie. */
#include "leaves.h"
#include "store/mongo_fixture.h"

#define OLD "{'$date': '2025-12-31T00:00:00Z'}"
#define YOUNG "{'$date': '2026-01-02T00:00:00Z'}"

static const char *const anna[] = {"anna", NULL};
static const struct dependent comments = {.join = {.child_table = "comments", .child_columns = {"ticketId"}, .n_columns = 1}};

/* Checks; the number of faults. */
static size_t check(struct fixture *fixture) {
    const struct store_settings settings = {.conf = &fixture->conf, .schedule = &fixture->schedule, .evidence_key = LEAVES_KEY};
    if (!fixture->store) ck_assert(!mongo_driver.open(&settings, &fixture->store, &fixture->err));
    ck_assert_msg(!mongo_driver.check(fixture->store, &fixture->faults, fixture->bad, &fixture->err), "%s", fixture->err.text);
    return fixture->faults.count;
}

/* The first batch of an order. */
struct running {
    const struct order *orders[1];
    struct pass *pass;
    const struct batch *batch;
    struct outcome outcome;
};

static void prepare(struct fixture *fixture, struct running *running, const struct order *order, size_t limit) {
    running->orders[0] = order;
    ck_assert(!mongo_driver.begin(fixture->store, running->orders, 1, NULL, &running->pass, &fixture->err));
    ck_assert_msg(!mongo_driver.prepare(fixture->store, running->pass, limit, fixture->arena, &running->batch, NULL, &fixture->err), "%s", fixture->err.text);
    ck_assert_ptr_nonnull(running->batch);
}

static int64_t undecidable(struct fixture *fixture, const struct target *target, const char *code) {
    const struct undecidable *items;
    size_t count;
    ck_assert_msg(!mongo_driver.undecidable(fixture->store, target, NEW_YEAR_US, fixture->arena, &items, &count, &fixture->err), "%s", fixture->err.text);
    int64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        if (!strcmp(items[i].code, code)) sum += items[i].count;
    return sum;
}

/* ---- documents that must live ---- */

START_TEST(a_collation_that_takes_anna_for_another_is_refused) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    fixture_command(&fixture, "{'create': 'logs', 'collation': {'locale': 'en', 'strength': 2}}");
    fixture_command(&fixture, "{'create': 'comments', 'collation': {'locale': 'en', 'strength': 2}}");
    fixture_insert(&fixture, "logs", "{'_id': 1, 't': 'ANNA', 'at': " OLD "}");
    (void)fixture_target(&fixture, "logs", "t", "at");
    struct target *target = fixture_target(&fixture, "tickets", "t", "at");
    target->dependents = &comments;
    target->n_dependents = 1;
    ck_assert_uint_eq(check(&fixture), 2);
    ck_assert(fixture.bad[0] && fixture.bad[1]);
    ck_assert_ptr_nonnull(strstr(fixture.faults.items[0].text, "collation"));
    fixture_close(&fixture);
}
END_TEST

START_TEST(a_floor_is_read_as_its_own_target_says) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    /* Closed long ago, issued three days after New Year: in seconds, and as a date. */
    fixture_insert(&fixture, "bills", "{'_id': 1, 't': 'anna', 'closedMs': {'$numberLong': '1000000000000'}, 'issued': 1767484800, 'paid': " OLD "}");
    fixture_insert(&fixture, "bills", "{'_id': 2, 't': 'anna', 'closedMs': {'$numberLong': '1000000000000'}, 'issued': 1000000000, 'paid': " YOUNG "}");
    fixture_insert(&fixture, "bills", "{'_id': 3, 't': 'anna', 'closedMs': {'$numberLong': '1000000000000'}, 'issued': 1000000000, 'paid': " OLD "}");
    struct target *closed = fixture_target(&fixture, "bills", "t", "closedMs");
    struct target *issued = fixture_target(&fixture, "bills", "t", "issued");
    struct target *paid = fixture_target(&fixture, "bills", NULL, "paid");
    closed->unit = UNIT_MILLISECONDS;
    issued->unit = UNIT_SECONDS;
    fixture_start(&fixture);
    struct order order = fixture_purge(&fixture, closed, fixture_listed(&fixture, "closedMs", NEW_YEAR_US, anna));
    struct scope floors[] = {fixture_rest(&fixture, "issued", NEW_YEAR_US), fixture_whole("paid", NEW_YEAR_US)};
    floors[0].of = issued;
    floors[1].of = paid;
    order.floors = floors;
    order.n_floors = 2;
    ck_assert_int_eq(fixture_tally(&fixture, &order).records, 1);
    ck_assert_int_eq(fixture_sweep(&fixture, &order, 10).records, 1);
    ck_assert_int_eq(fixture_count(&fixture, "bills", "{'_id': {'$in': [1, 2]}}"), 2);
    fixture_close(&fixture);
}
END_TEST

START_TEST(a_floor_without_an_anchor_lets_nothing_go) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    fixture_insert(&fixture, "bills", "{'_id': 1, 't': 'anna', 'at': " OLD "}");
    struct target *target = fixture_target(&fixture, "bills", "t", "at");
    fixture_start(&fixture);
    struct order order = fixture_purge(&fixture, target, fixture_listed(&fixture, "at", NEW_YEAR_US, anna));
    struct scope floor = {.kind = SCOPE_REST, .of = target, .anchor_is_since = true, .cutoff_us = NEW_YEAR_US};
    order.floors = &floor;
    order.n_floors = 1;
    ck_assert_int_eq(fixture_sweep(&fixture, &order, 10).records, 0);
    fixture_close(&fixture);
}
END_TEST

START_TEST(a_batch_of_dependents_alone_says_whose_they_are) {
    struct fixture fixture;
    struct running running;
    fixture_open(&fixture, REPLICA_SET);
    fixture_insert(&fixture, "tickets", "{'_id': 1, 't': 'anna', 'at': " OLD "}");
    for (int i = 0; i < 30; i++) fixture_insert(&fixture, "comments", "{'ticketId': 1}");
    struct target *target = fixture_target(&fixture, "tickets", "t", "at");
    target->dependents = &comments;
    target->n_dependents = 1;
    fixture_start(&fixture);
    /* The tenant's end is read again by the names in the batch: without one nobody would be asked. */
    struct order order = fixture_purge(&fixture, target, fixture_listed(&fixture, NULL, 0, anna));
    prepare(&fixture, &running, &order, 10);
    ck_assert_int_eq(running.batch->records, 0);
    ck_assert_int_gt(running.batch->dependents, 0);
    ck_assert_uint_eq(running.batch->n_tenants, 1);
    ck_assert_str_eq(running.batch->tenants[0].tenant, "anna");
    ck_assert_int_eq(running.batch->tenants[0].count, 0);
    ck_assert(!mongo_driver.finish(fixture.store, running.pass, false, &running.outcome, &fixture.err));
    /* And that it resumed is heard. */
    mongo_driver.exclude(fixture.store, running.pass, &order, "anna");
    ck_assert(!mongo_driver.prepare(fixture.store, running.pass, 10, fixture.arena, &running.batch, NULL, &fixture.err));
    ck_assert_ptr_null(running.batch);
    mongo_driver.end(fixture.store, running.pass);
    ck_assert_int_eq(fixture_count(&fixture, "comments", "{}"), 30);
    fixture_close(&fixture);
}
END_TEST

START_TEST(a_dependent_that_could_be_anothers_is_refused) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    /* Numbers begin anew with each tenant. */
    fixture_insert(&fixture, "tickets", "{'_id': 1, 't': 'anna', 'number': 17, 'at': " OLD "}");
    fixture_insert(&fixture, "tickets", "{'_id': 2, 't': 'bert', 'number': 17, 'at': " YOUNG "}");
    fixture_insert(&fixture, "comments", "{'_id': 12, 'ticket': 17, 't': 'bert'}");
    fixture_command(&fixture, "{'createIndexes': 'tickets', 'indexes': [{'name': 'n', 'key': {'t': 1, 'number': 1}, 'unique': true}]}");
    struct dependent dependent = {
        .join = {.child_table = "comments", .parent_table = "tickets", .child_columns = {"ticket"}, .parent_columns = {"number"}, .n_columns = 1}};
    struct target *target = fixture_target(&fixture, "tickets", "t", "at");
    target->dependents = &dependent;
    target->n_dependents = 1;
    ck_assert_uint_eq(check(&fixture), 1);
    ck_assert(fixture.bad[0]);
    ck_assert_ptr_nonnull(strstr(fixture.faults.items[0].text, "unique"));
    /* With the tenant it is one index of both. */
    dependent.join.child_columns[1] = "t";
    dependent.join.parent_columns[1] = "t";
    dependent.join.n_columns = 2;
    fixture.faults.count = 0;
    fixture_start(&fixture);
    struct order order = fixture_purge(&fixture, target, fixture_listed(&fixture, "at", NEW_YEAR_US, anna));
    ck_assert_int_eq(fixture_sweep(&fixture, &order, 10).dependents, 0);
    ck_assert_int_eq(fixture_count(&fixture, "comments", "{'_id': 12}"), 1);
    fixture_close(&fixture);
}
END_TEST

START_TEST(a_dependent_whose_reference_is_a_decimal_keeps_its_parent) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    fixture_insert(&fixture, "tickets", "{'_id': 7, 't': 'anna', 'at': " OLD "}");
    fixture_insert(&fixture, "comments", "{'ticketId': {'$numberDecimal': '7.0'}}");
    struct target *target = fixture_target(&fixture, "tickets", "t", "at");
    target->dependents = &comments;
    target->n_dependents = 1;
    fixture_start(&fixture);
    struct order order = fixture_purge(&fixture, target, fixture_listed(&fixture, "at", NEW_YEAR_US, anna));
    ck_assert_int_eq(fixture_tally(&fixture, &order).n_blocked_records, 1);
    ck_assert_int_eq(fixture_sweep(&fixture, &order, 10).records, 0);
    fixture_close(&fixture);
}
END_TEST

START_TEST(what_a_blocked_document_refers_to_is_blocked) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    fixture_insert(&fixture, "notes", "{'_id': 1, 't': 'anna', 'at': " OLD "}");
    fixture_insert(&fixture, "notes", "{'_id': 2, 't': 'anna', 'at': " OLD ", 'parent': 1}");
    fixture_insert(&fixture, "notes", "{'_id': 3, 't': 'anna', 'at': " OLD ", 'parent': 2}");
    fixture_insert(&fixture, "notes", "{'_id': 4, 't': 'anna', 'at': " OLD "}");
    fixture_insert(&fixture, "votes", "{'note': 3, 'at': " YOUNG "}");
    static const struct dependent dependents[] = {{.join = {.child_table = "notes", .child_columns = {"parent"}, .n_columns = 1}},
                                                  {.join = {.child_table = "votes", .child_columns = {"note"}, .n_columns = 1}}};
    struct target *target = fixture_target(&fixture, "notes", "t", "at");
    target->dependents = dependents;
    target->n_dependents = 2;
    (void)fixture_target(&fixture, "votes", NULL, "at");
    fixture_start(&fixture);
    struct order order = fixture_purge(&fixture, target, fixture_listed(&fixture, "at", NEW_YEAR_US, anna));
    ck_assert_int_eq(fixture_tally(&fixture, &order).records, 1);
    ck_assert_int_eq(fixture_tally(&fixture, &order).n_blocked_records, 3);
    ck_assert_int_eq(fixture_sweep(&fixture, &order, 10).records, 1);
    ck_assert_int_eq(fixture_count(&fixture, "notes", "{'_id': {'$in': [1, 2, 3]}}"), 3);
    fixture_close(&fixture);
}
END_TEST

/* ---- odd documents that must not stop the others ---- */

START_TEST(numbers_equal_to_an_id_but_not_its_text_are_nobodys) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    static const char *const ids[] = {"100000000000000000", "7", NULL};
    fixture_insert(&fixture, "logs", "{'_id': 1, 't': 7, 'at': " OLD "}");
    fixture_insert(&fixture, "logs", "{'_id': 2, 't': {'$numberDecimal': '7.0'}, 'at': " OLD "}");
    fixture_insert(&fixture, "logs", "{'_id': 3, 't': {'$numberLong': '100000000000000000'}, 'at': " OLD "}");
    fixture_insert(&fixture, "logs", "{'_id': 4, 't': {'$numberDouble': '100000000000000000'}, 'at': " OLD "}");
    fixture_insert(&fixture, "logs", "{'_id': 5, 't': 7.0, 'at': " OLD "}");
    struct target *target = fixture_target(&fixture, "logs", "t", "at");
    fixture_start(&fixture);
    struct order order = fixture_purge(&fixture, target, fixture_listed(&fixture, "at", NEW_YEAR_US, ids));
    ck_assert_int_eq(fixture_tally(&fixture, &order).records, 3);
    ck_assert_int_eq(fixture_sweep(&fixture, &order, 1).records, 3);
    ck_assert_int_eq(fixture_count(&fixture, "logs", "{'_id': {'$in': [2, 4]}}"), 2);
    ck_assert_int_eq(undecidable(&fixture, target, "tenant-unknown"), 1);
    fixture_close(&fixture);
}
END_TEST

/* The gate of the tenants' own records: asked of "logs". */
static struct tally who_has_something_left(struct fixture *fixture, const char *const *all) {
    struct target *target = fixture_target(fixture, "logs", "t", "at");
    fixture_start(fixture);
    struct scope scope = fixture_listed(fixture, NULL, 0, all);
    struct order order = order_any(target, scope.tenants, scope.n_tenants);
    const struct order *orders[] = {&order};
    struct tally tally;
    ck_assert(!mongo_driver.probe(fixture->store, orders, 1, fixture->arena, &tally, &fixture->err));
    return tally;
}

START_TEST(who_is_named_in_an_array_has_something_left) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    static const char *const all[] = {"anna", "bert", "carl", NULL};
    fixture_insert(&fixture, "logs", "{'_id': 1, 't': ['anna', 'carl'], 'at': " OLD "}");
    struct tally tally = who_has_something_left(&fixture, all);
    ck_assert_uint_eq(tally.n_tenants, 2);
    ck_assert_str_eq(tally.tenants[0].tenant, "anna");
    ck_assert_str_eq(tally.tenants[1].tenant, "carl");
    fixture_close(&fixture);
}
END_TEST

/* To the server it is the same value as theirs, and met first it would stand for them all. */
START_TEST(a_decimal_does_not_hide_what_a_tenant_has_left) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    static const char *const all[] = {"7", "8", "9", NULL};
    fixture_insert(&fixture, "logs", "{'_id': 1, 't': {'$numberDecimal': '7'}}");
    fixture_insert(&fixture, "logs", "{'_id': 2, 't': 7}");
    fixture_insert(&fixture, "logs", "{'_id': 3, 't': {'$numberDecimal': '8'}}");
    fixture_insert(&fixture, "logs", "{'_id': 4, 't': [{'$numberDecimal': '8'}, 9]}");
    struct tally tally = who_has_something_left(&fixture, all);
    ck_assert_uint_eq(tally.n_tenants, 2);
    ck_assert_str_eq(tally.tenants[0].tenant, "7");
    ck_assert_str_eq(tally.tenants[1].tenant, "9");
    fixture_close(&fixture);
}
END_TEST

START_TEST(a_tenants_own_collection_goes_capped_or_not) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    static const char *const both[] = {"anna", "bert", NULL};
    fixture_command(&fixture, "{'create': 'kb_anna', 'capped': true, 'size': 4096}");
    fixture_command(&fixture, "{'create': 'kb_bert', 'timeseries': {'timeField': 'at'}}");
    fixture_command(&fixture, "{'create': 'kb_carl', 'viewOn': 'kb_anna', 'pipeline': []}");
    fixture_insert(&fixture, "kb_anna", "{'x': 1}");
    fixture_insert(&fixture, "kb_bert", "{'at': " OLD "}");
    struct target *target = fixture_target(&fixture, "kb_{tenant}", NULL, NULL);
    target->no_tenant = false;
    target->tenant_in_name = target->drop = true;
    fixture_start(&fixture);
    struct order order = fixture_purge(&fixture, target, fixture_listed(&fixture, NULL, 0, both));
    ck_assert_int_eq(fixture_sweep(&fixture, &order, 10).records, 2);
    ck_assert_int_eq(fixture_count(&fixture, "kb_anna", "{}") + fixture_count(&fixture, "kb_bert", "{}"), 0);
    fixture_close(&fixture);
}
END_TEST

START_TEST(a_collection_of_two_tenants_is_told) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    static const char *const two[] = {"a", "a_x", NULL};
    fixture_insert(&fixture, "kb_a_x", "{'x': 1}");
    fixture_insert(&fixture, "kb_shared", "{'t': 'a', 'at': " YOUNG "}");
    struct target *target = fixture_target(&fixture, "kb_{tenant}", NULL, NULL), *other = fixture_target(&fixture, "kb_{tenant}_x", NULL, NULL);
    target->no_tenant = other->no_tenant = false;
    target->tenant_in_name = target->drop = other->tenant_in_name = other->drop = true;
    (void)fixture_target(&fixture, "kb_shared", "t", "at");
    fixture_start(&fixture);
    struct order order = fixture_purge(&fixture, target, fixture_listed(&fixture, NULL, 0, two));
    ck_assert_int_eq(fixture_sweep(&fixture, &order, 10).records, 0);
    ck_assert_int_eq(undecidable(&fixture, target, "tenant-ambiguous"), 1);
    fixture_close(&fixture);
}
END_TEST

/* ---- what the journal is told ---- */

START_TEST(what_went_in_part_is_not_called_nothing) {
    struct fixture fixture;
    struct running running;
    fixture_open(&fixture, STANDALONE);
    fixture_insert(&fixture, "tickets", "{'_id': 1, 't': 'anna', 'at': " OLD "}");
    fixture_insert(&fixture, "others", "{'_id': 1, 't': 'anna', 'at': " OLD "}");
    fixture_insert(&fixture, "comments", "{'ticketId': 1}");
    struct target *target = fixture_target(&fixture, "tickets", "t", "at");
    target->dependents = &comments;
    target->n_dependents = 1;
    fixture_start(&fixture);
    struct order order = fixture_purge(&fixture, target, fixture_listed(&fixture, "at", NEW_YEAR_US, anna));
    prepare(&fixture, &running, &order, 10);
    ck_assert(running.batch->irrevocable);
    /* It can be read, so that its comment goes, but not deleted from. */
    fixture_command(&fixture, "{'drop': 'tickets'}");
    fixture_command(&fixture, "{'create': 'tickets', 'viewOn': 'others', 'pipeline': []}");
    ck_assert_int_eq(mongo_driver.finish(fixture.store, running.pass, true, &running.outcome, &fixture.err), -1);
    ck_assert_int_eq(fixture_count(&fixture, "comments", "{}"), 0);
    ck_assert_int_eq(fixture.err.code, ERR_UNKNOWN);
    mongo_driver.end(fixture.store, running.pass);
    fixture_close(&fixture);
}
END_TEST

UNIT_MAIN("mongo_review", a_collation_that_takes_anna_for_another_is_refused, a_floor_is_read_as_its_own_target_says,
          a_floor_without_an_anchor_lets_nothing_go, a_batch_of_dependents_alone_says_whose_they_are,
          a_dependent_that_could_be_anothers_is_refused, a_dependent_whose_reference_is_a_decimal_keeps_its_parent,
          what_a_blocked_document_refers_to_is_blocked,
          numbers_equal_to_an_id_but_not_its_text_are_nobodys, who_is_named_in_an_array_has_something_left, a_decimal_does_not_hide_what_a_tenant_has_left,
          a_tenants_own_collection_goes_capped_or_not, a_collection_of_two_tenants_is_told, what_went_in_part_is_not_called_nothing)
