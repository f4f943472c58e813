/* MongoDB: answers that are lost or refused at the worst moment, and a server without transactions. */
#include "store/mongo_fixture.h"
#include "store/mongo_internal.h"

#define OLD "{'$date': '2025-12-31T00:00:00Z'}"
#define YOUNG "{'$date': '2026-01-02T00:00:00Z'}"

static const char *const anna[] = {"anna", NULL};
static const struct dependent comments = {.join = {.child_table = "comments", .child_columns = {"ticketId"}, .n_columns = 1}};

/* The server fails the next commands of this name; its test commands are on. */
static void fail_next(struct fixture *fixture, const char *data) {
    bson_error_t error;
    char *text = arena_printf(fixture->arena, "{'configureFailPoint': 'failCommand', %s}", data);
    for (char *c = text; *c; c++)
        if (*c == '\'') *c = '"';
    bson_t *command = bson_new_from_json((const uint8_t *)text, -1, &error);
    ck_assert_ptr_nonnull(command);
    ck_assert_msg(mongoc_client_command_simple(fixture->client, "admin", command, NULL, NULL, &error), "%s", error.message);
    bson_destroy(command);
}

static struct target *tickets(struct fixture *fixture, int count) {
    for (int i = 0; i < count; i++) {
        fixture_insert(fixture, "tickets", arena_printf(fixture->arena, "{'_id': %d, 't': 'anna', 'at': " OLD "}", i));
        fixture_insert(fixture, "comments", arena_printf(fixture->arena, "{'ticketId': %d}", i));
    }
    struct target *target = fixture_target(fixture, "tickets", "t", "at");
    target->dependents = &comments;
    target->n_dependents = 1;
    return target;
}

struct running {
    struct order order;
    const struct order *orders[1];
    struct pass *pass;
    const struct batch *batch;
    struct outcome outcome;
};

static void prepare(struct fixture *fixture, struct running *running, const struct target *target) {
    running->order = fixture_purge(fixture, target, fixture_listed(fixture, "at", NEW_YEAR_US, anna));
    running->orders[0] = &running->order;
    ck_assert(!mongo_driver.begin(fixture->store, running->orders, 1, NULL, &running->pass, &fixture->err));
    ck_assert_msg(!mongo_driver.prepare(fixture->store, running->pass, 100, fixture->arena, &running->batch, NULL, &fixture->err), "%s", fixture->err.text);
}

START_TEST(a_lost_answer_is_asked_for_again_in_its_session) {
    struct fixture fixture;
    struct running running;
    fixture_open(&fixture, REPLICA_SET);
    struct target *target = tickets(&fixture, 3);
    fixture_start(&fixture);
    prepare(&fixture, &running, target);
    fail_next(&fixture, "'mode': {'times': 2}, 'data': {'failCommands': ['commitTransaction'], 'closeConnection': true}");
    int result = mongo_driver.finish(fixture.store, running.pass, true, &running.outcome, &fixture.err);
    fail_next(&fixture, "'mode': 'off'");
    ck_assert_msg(!result, "%s", fixture.err.text);
    ck_assert_int_eq(running.outcome.records, 3);
    ck_assert_int_eq(running.outcome.dependents, 3);
    mongo_driver.end(fixture.store, running.pass);
    ck_assert_int_eq(fixture_count(&fixture, "tickets", "{}"), 0);
    fixture_close(&fixture);
}
END_TEST

START_TEST(an_answer_that_never_comes_is_unknown) {
    struct fixture fixture;
    struct running running;
    fixture_open(&fixture, REPLICA_SET);
    fixture.schedule.settings.statement_timeout_us = TIME_SECOND_US;
    struct target *target = tickets(&fixture, 3);
    fixture_start(&fixture);
    prepare(&fixture, &running, target);
    fail_next(&fixture, "'mode': 'alwaysOn', 'data': {'failCommands': ['commitTransaction'], 'closeConnection': true, 'appName': 'lapsed'}");
    int result = mongo_driver.finish(fixture.store, running.pass, true, &running.outcome, &fixture.err);
    fail_next(&fixture, "'mode': 'off'");
    ck_assert_int_eq(result, -1);
    ck_assert_int_eq(fixture.err.code, ERR_UNKNOWN);
    mongo_driver.end(fixture.store, running.pass);
    enum settled settled;
    ck_assert(!mongo_driver.settle(fixture.store, "", "", &settled, &fixture.err));
    ck_assert_int_eq(settled, SETTLED_UNRESOLVED);
    fixture_close(&fixture);
}
END_TEST

START_TEST(a_transaction_that_the_server_ended_is_rolled_back) {
    struct fixture fixture;
    struct running running;
    fixture_open(&fixture, REPLICA_SET);
    struct target *target = tickets(&fixture, 3);
    fixture_start(&fixture);
    prepare(&fixture, &running, target);
    fixture_command(&fixture, "{'killAllSessions': []}");
    ck_assert(mongo_driver.finish(fixture.store, running.pass, true, &running.outcome, &fixture.err));
    ck_assert_msg(fixture.err.code == ERR_UNAVAILABLE, "%s", fixture.err.text);
    ck_assert_int_eq(fixture_count(&fixture, "tickets", "{}"), 3);
    ck_assert_int_eq(fixture_count(&fixture, "comments", "{}"), 3);
    /* The same pass goes on and does it. */
    ck_assert(!mongo_driver.prepare(fixture.store, running.pass, 100, fixture.arena, &running.batch, NULL, &fixture.err));
    ck_assert_int_eq(running.batch->records, 3);
    ck_assert(!mongo_driver.finish(fixture.store, running.pass, true, &running.outcome, &fixture.err));
    mongo_driver.end(fixture.store, running.pass);
    ck_assert_int_eq(fixture_count(&fixture, "comments", "{}"), 0);
    fixture_close(&fixture);
}
END_TEST

START_TEST(a_conflict_applies_nothing_and_is_tried_again) {
    struct fixture fixture;
    struct running running;
    fixture_open(&fixture, REPLICA_SET);
    struct target *target = tickets(&fixture, 3);
    fixture_start(&fixture);
    running.order = fixture_purge(&fixture, target, fixture_listed(&fixture, "at", NEW_YEAR_US, anna));
    running.orders[0] = &running.order;
    /* An application's own transaction holds one of the documents. */
    bson_error_t error;
    mongoc_client_session_t *session = mongoc_client_start_session(fixture.client, NULL, &error);
    ck_assert(mongoc_client_session_start_transaction(session, NULL, &error));
    mongoc_collection_t *collection = mongoc_client_get_collection(fixture.client, fixture.database, "tickets");
    bson_t *options = bson_new(), *one = BCON_NEW("_id", BCON_INT32(1)), *later = BCON_NEW("$set", "{", "at", BCON_DATE_TIME(DAY(1) / 1000), "}");
    ck_assert(mongoc_client_session_append(session, options, &error));
    ck_assert_msg(mongoc_collection_update_one(collection, one, later, options, NULL, &error), "%s", error.message);
    ck_assert(!mongo_driver.begin(fixture.store, running.orders, 1, NULL, &running.pass, &fixture.err));
    ck_assert(mongo_driver.prepare(fixture.store, running.pass, 100, fixture.arena, &running.batch, NULL, &fixture.err));
    ck_assert_msg(fixture.err.code == ERR_UNAVAILABLE, "%s", fixture.err.text);
    ck_assert_str_eq(fixture.err.detail, "112");
    ck_assert(mongoc_client_session_commit_transaction(session, NULL, &error));
    ck_assert(!mongo_driver.prepare(fixture.store, running.pass, 100, fixture.arena, &running.batch, NULL, &fixture.err));
    ck_assert_int_eq(running.batch->records, 2);
    ck_assert(!mongo_driver.finish(fixture.store, running.pass, true, &running.outcome, &fixture.err));
    mongo_driver.end(fixture.store, running.pass);
    ck_assert_int_eq(fixture_count(&fixture, "tickets", "{'_id': 1}"), 1);
    ck_assert_int_eq(fixture_count(&fixture, "comments", "{'ticketId': 1}"), 1);
    bson_destroy(options);
    bson_destroy(one);
    bson_destroy(later);
    mongoc_collection_destroy(collection);
    mongoc_client_session_destroy(session);
    fixture_close(&fixture);
}
END_TEST

START_TEST(a_reader_cannot_begin) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    struct target *target = tickets(&fixture, 1);
    const struct store_settings settings = {.conf = &fixture.conf, .schedule = &fixture.schedule, .read_only = true};
    ck_assert(!mongo_driver.open(&settings, &fixture.store, &fixture.err));
    fixture_start(&fixture);
    struct order order = fixture_purge(&fixture, target, fixture_listed(&fixture, "at", NEW_YEAR_US, anna));
    const struct order *orders[] = {&order};
    struct pass *pass;
    ck_assert(mongo_driver.begin(fixture.store, orders, 1, NULL, &pass, &fixture.err));
    ck_assert_int_eq(fixture_tally(&fixture, &order).dependents, 1);
    fixture_close(&fixture);
}
END_TEST

START_TEST(without_transactions_a_live_document_keeps_its_dependents) {
    struct fixture fixture;
    struct running running;
    fixture_open(&fixture, STANDALONE);
    struct target *target = tickets(&fixture, 3);
    fixture_start(&fixture);
    prepare(&fixture, &running, target);
    ck_assert(running.batch->irrevocable);
    ck_assert_int_eq(running.batch->records, 3);
    ck_assert_int_eq(running.batch->dependents, 3);
    fixture_command(&fixture, "{'update': 'tickets', 'updates': [{'q': {'_id': 1}, 'u': {'$set': {'at': " YOUNG "}}}]}");
    ck_assert(!mongo_driver.finish(fixture.store, running.pass, true, &running.outcome, &fixture.err));
    ck_assert_int_eq(running.outcome.records, 2);
    ck_assert_int_eq(running.outcome.dependents, 2);
    mongo_driver.end(fixture.store, running.pass);
    ck_assert_int_eq(fixture_count(&fixture, "tickets", "{'_id': 1}"), 1);
    ck_assert_int_eq(fixture_count(&fixture, "comments", "{'ticketId': 1}"), 1);
    ck_assert_int_eq(fixture_count(&fixture, "comments", "{}"), 1);
    fixture_close(&fixture);
}
END_TEST

/* Between reading what hangs on a document and destroying it, it becomes another's. */
static void move_before_deletion(const struct dependent *dependent, const char *child, const char *moved) {
    struct fixture fixture;
    fixture_open(&fixture, STANDALONE);
    fixture_insert(&fixture, "tickets", "{'_id': 1, 'area': 'a', 't': 'anna', 'at': " OLD "}");
    fixture_insert(&fixture, "comments", arena_printf(fixture.arena, "{'_id': 'moved', %s}", child));
    fixture_insert(&fixture, "comments", arena_printf(fixture.arena, "{'_id': 'stays', %s}", child));
    struct target *target = fixture_target(&fixture, "tickets", "t", "at");
    target->dependents = dependent;
    target->n_dependents = 1;
    fixture_start(&fixture);
    struct mongo_store *store = mongo_of(fixture.store);
    struct order order = fixture_purge(&fixture, target, fixture_listed(&fixture, "at", NEW_YEAR_US, anna));
    struct mongo_work work = {.arena = fixture.arena, .order = &order, .limit = 100};
    ck_assert(!mongo_usable(store, target, &work.bound, &fixture.err));
    MONGO_BSON filter = mongo_compile(work.bound, &order, anna, 1);
    work.filter = filter;
    const struct mongo_find find = {.filter = filter};
    struct outcome outcome;
    size_t taken;
    ck_assert(!mongo_work_choose(store, NULL, &work, &find, &fixture.err) && !mongo_work_complete(store, NULL, &work, &taken, &fixture.err));
    ck_assert_uint_eq(work.n_children, 1);
    ck_assert_uint_eq(work.children->count, 2);
    fixture_command(&fixture, arena_printf(fixture.arena, "{'update': 'comments', 'updates': [{'q': {'_id': 'moved'}, 'u': {'$set': {%s}}}]}", moved));
    ck_assert_msg(!mongo_work_apply(store, NULL, &work, &outcome, &fixture.err), "%s", fixture.err.text);
    ck_assert_int_eq(outcome.records, 1);
    ck_assert_int_eq(outcome.dependents, 1);
    ck_assert_int_eq(fixture_count(&fixture, "comments", "{'_id': 'moved'}"), 1);
    ck_assert_int_eq(fixture_count(&fixture, "comments", "{}"), 1);
    fixture_close(&fixture);
}

START_TEST(without_transactions_what_became_anothers_stays) {
    static const struct dependent by_two = {.join = {.child_table = "comments", .child_columns = {"ticketId", "in.area"}, .parent_table = "tickets",
                                                     .parent_columns = {"_id", "area"}, .n_columns = 2}};
    move_before_deletion(&comments, "'ticketId': 1", "'ticketId': 2");
    move_before_deletion(&by_two, "'ticketId': 1, 'in': {'area': 'a'}", "'in.area': 'b'");
}
END_TEST

START_TEST(without_transactions_a_large_document_is_drained_too) {
    struct fixture fixture;
    fixture_open(&fixture, STANDALONE);
    struct target *target = tickets(&fixture, 2);
    for (int i = 0; i < 25; i++) fixture_insert(&fixture, "comments", "{'ticketId': 1}");
    fixture_start(&fixture);
    struct order order = fixture_purge(&fixture, target, fixture_listed(&fixture, "at", NEW_YEAR_US, anna));
    struct outcome outcome = fixture_sweep(&fixture, &order, 10);
    ck_assert_int_eq(outcome.records, 2);
    ck_assert_int_eq(outcome.dependents, 27);
    fixture_close(&fixture);
}
END_TEST

START_TEST(without_transactions_a_changed_document_is_not_overwritten) {
    struct fixture fixture;
    struct running running;
    fixture_open(&fixture, STANDALONE);
    fixture_insert(&fixture, "people", "{'_id': 1, 't': 'anna', 'at': " OLD ", 'name': {'first': 'A'}}");
    fixture_insert(&fixture, "people", "{'_id': 2, 't': 'anna', 'at': " OLD ", 'name': {'first': 'B'}}");
    static const struct column columns[] = {{.strategy = STRATEGY_FIXED, .path = "name.first", .argument = "gone"}};
    struct target *target = fixture_target(&fixture, "people", "t", "at");
    target->columns = columns;
    target->n_columns = 1;
    fixture_start(&fixture);
    running.order = order_make(target, ACTION_ANONYMIZE, &fixture.keep, fixture_listed(&fixture, "at", NEW_YEAR_US, anna));
    running.orders[0] = &running.order;
    ck_assert(!mongo_driver.begin(fixture.store, running.orders, 1, NULL, &running.pass, &fixture.err));
    ck_assert(!mongo_driver.prepare(fixture.store, running.pass, 10, fixture.arena, &running.batch, NULL, &fixture.err));
    ck_assert_int_eq(running.batch->records, 2);
    fixture_command(&fixture, "{'update': 'people', 'updates': [{'q': {'_id': 2}, 'u': {'$set': {'at': " YOUNG ", 'name.last': 'L'}}}]}");
    fixture_command(&fixture, "{'update': 'people', 'updates': [{'q': {'_id': 1}, 'u': {'$set': {'name.last': 'K'}}}]}");
    ck_assert(!mongo_driver.finish(fixture.store, running.pass, true, &running.outcome, &fixture.err));
    ck_assert_int_eq(running.outcome.records, 1);
    mongo_driver.end(fixture.store, running.pass);
    ck_assert_int_eq(fixture_count(&fixture, "people", "{'_id': 1, 'name': {'first': 'gone', 'last': 'K'}}"), 1);
    ck_assert_int_eq(fixture_count(&fixture, "people", "{'_id': 2, 'name': {'first': 'B', 'last': 'L'}}"), 1);
    fixture_close(&fixture);
}
END_TEST

/* One target that the server never gets done must not keep the others of the store from their turn. */
START_TEST(a_question_that_takes_too_long_says_which_order_it_was) {
    struct fixture fixture;
    struct pass *pass;
    const struct batch *batch;
    const struct order *failed = NULL;
    fixture_open(&fixture, REPLICA_SET);
    struct target *target = tickets(&fixture, 1);
    fixture_start(&fixture);
    struct order order = fixture_purge(&fixture, target, fixture_listed(&fixture, "at", NEW_YEAR_US, anna));
    const struct order *orders[] = {&order};
    ck_assert(!mongo_driver.begin(fixture.store, orders, 1, NULL, &pass, &fixture.err));
    fail_next(&fixture, "'mode': {'times': 1}, 'data': {'failCommands': ['aggregate'], 'errorCode': 50}");
    int result = mongo_driver.prepare(fixture.store, pass, 10, fixture.arena, &batch, &failed, &fixture.err);
    fail_next(&fixture, "'mode': 'off'");
    ck_assert_int_eq(result, -1);
    ck_assert_int_eq(fixture.err.code, ERR_UNAVAILABLE);
    ck_assert_ptr_eq(failed, &order);
    /* And its turn is not over. */
    ck_assert(!mongo_driver.prepare(fixture.store, pass, 10, fixture.arena, &batch, &failed, &fixture.err));
    ck_assert_ptr_nonnull(batch);
    mongo_driver.end(fixture.store, pass);
    fixture_close(&fixture);
}
END_TEST

/* The first question takes too long; from then on a sample is asked, and it is said. */
START_TEST(what_takes_too_long_to_survey_is_sampled) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    fixture_insert(&fixture, "logs", "{'t': 'anna'}");
    struct target *target = fixture_target(&fixture, "logs", "t", "at");
    fixture_start(&fixture);
    fail_next(&fixture, "'mode': {'times': 1}, 'data': {'failCommands': ['aggregate'], 'errorCode': 50, 'appName': 'lapsed'}");
    const struct undecidable *items;
    size_t count;
    ck_assert_msg(!mongo_driver.undecidable(fixture.store, target, 0, fixture.arena, &items, &count, &fixture.err), "%s", fixture.err.text);
    ck_assert_uint_eq(count, 2);
    ck_assert_str_eq(items[0].code, "since-empty");
    ck_assert_int_eq(items[0].count, 1);
    ck_assert_str_eq(items[1].code, "survey-sampled");
    fixture_close(&fixture);
}
END_TEST

UNIT_MAIN("mongo_faults", without_transactions_what_became_anothers_stays, a_question_that_takes_too_long_says_which_order_it_was, a_lost_answer_is_asked_for_again_in_its_session, an_answer_that_never_comes_is_unknown,
          a_transaction_that_the_server_ended_is_rolled_back, a_conflict_applies_nothing_and_is_tried_again, a_reader_cannot_begin,
          without_transactions_a_live_document_keeps_its_dependents, without_transactions_a_large_document_is_drained_too,
          without_transactions_a_changed_document_is_not_overwritten, what_takes_too_long_to_survey_is_sampled)
