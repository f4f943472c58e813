/* The MongoDB driver against a replica set of one. */
#include "store/mongo_fixture.h"

#include <signal.h>

static const char *const anna[] = {"anna", NULL};

/* Documents at 2025-12-31 (due before New Year) and 2026-01-02 (not due). */
#define OLD "{'$date': '2025-12-31T00:00:00Z'}"
#define YOUNG "{'$date': '2026-01-02T00:00:00Z'}"

START_TEST(only_dates_before_the_cutoff_are_due) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    fixture_insert(&fixture, "logs", "{'_id': 1, 't': 'anna', 'at': " OLD "}");
    fixture_insert(&fixture, "logs", "{'_id': 2, 't': 'anna', 'at': " YOUNG "}");
    fixture_insert(&fixture, "logs", "{'_id': 3, 't': 'anna', 'at': '2020-01-01'}");
    fixture_insert(&fixture, "logs", "{'_id': 4, 't': 'anna'}");
    fixture_insert(&fixture, "logs", "{'_id': 5, 't': 'anna', 'at': null}");
    fixture_insert(&fixture, "logs", "{'_id': 6, 't': 'anna', 'at': 12}");
    fixture_insert(&fixture, "logs", "{'_id': 7, 't': 'anna', 'at': [" OLD ", " YOUNG "]}");
    fixture_insert(&fixture, "logs", "{'_id': 8, 't': 'anna', 'at': {'$date': '2026-01-01T00:00:00Z'}}");
    fixture_insert(&fixture, "logs", "{'_id': 9, 't': 'anna', 'at': {'$oid': '000000000000000000000000'}}");
    fixture_insert(&fixture, "logs", "{'_id': 10, 't': 'bert', 'at': " OLD "}");
    fixture_insert(&fixture, "logs", "{'_id': 11, 't': ['anna', 'bert'], 'at': " OLD "}");
    struct target *target = fixture_target(&fixture, "logs", "t", "at");
    fixture_start(&fixture);
    struct order order = fixture_purge(&fixture, target, fixture_listed(&fixture, "at", NEW_YEAR_US, anna));
    struct tally tally = fixture_tally(&fixture, &order);
    ck_assert_uint_eq(tally.n_tenants, 1);
    ck_assert_str_eq(tally.tenants[0].tenant, "anna");
    ck_assert_int_eq(tally.tenants[0].cutoff_us, NEW_YEAR_US);
    /* The sample shows an ObjectId in `at`: such an anchor counts as its time. */
    ck_assert_int_eq(tally.records, 2);
    ck_assert_int_eq(tally.tenants[0].oldest_us, 0);
    struct outcome outcome = fixture_sweep(&fixture, &order, 100);
    ck_assert_int_eq(outcome.records, 2);
    ck_assert_int_eq(fixture_count(&fixture, "logs", "{'_id': {'$in': [1, 9]}}"), 0);
    ck_assert_int_eq(fixture_count(&fixture, "logs", "{}"), 9);
    ck_assert_int_eq(fixture_sweep(&fixture, &order, 100).records, 0);
    fixture_close(&fixture);
}
END_TEST

START_TEST(a_tenant_is_found_in_every_type_it_can_have) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    fixture_insert(&fixture, "logs", "{'_id': 1, 't': '7', 'at': " OLD "}");
    fixture_insert(&fixture, "logs", "{'_id': 2, 't': 7, 'at': " OLD "}");
    fixture_insert(&fixture, "logs", "{'_id': 3, 't': {'$numberLong': '7'}, 'at': " OLD "}");
    fixture_insert(&fixture, "logs", "{'_id': 4, 't': 7.0, 'at': " OLD "}");
    fixture_insert(&fixture, "logs", "{'_id': 5, 't': 7.5, 'at': " OLD "}");
    fixture_insert(&fixture, "logs", "{'_id': 6, 't': '07', 'at': " OLD "}");
    fixture_insert(&fixture, "logs", "{'_id': 7, 't': {'$oid': '507f1f77bcf86cd799439011'}, 'at': " OLD "}");
    fixture_insert(&fixture, "logs", "{'_id': 8, 't': {'$binary': {'base64': 'AAECAwQFBgcICQoLDA0ODw==', 'subType': '04'}}, 'at': " OLD "}");
    fixture_insert(&fixture, "logs", "{'_id': 9, 't': '', 'at': " OLD "}");
    fixture_insert(&fixture, "logs", "{'_id': 10, 'at': " OLD "}");
    struct target *target = fixture_target(&fixture, "logs", "t", "at");
    fixture_start(&fixture);
    struct order rest = fixture_purge(&fixture, target, fixture_rest(&fixture, "at", NEW_YEAR_US));
    struct tally tally = fixture_tally(&fixture, &rest);
    const char *const expected[] = {"00010203-0405-0607-0809-0a0b0c0d0e0f", "07", "507f1f77bcf86cd799439011", "7"};
    ck_assert_uint_eq(tally.n_tenants, 4);
    for (size_t i = 0; i < 4; i++) ck_assert_str_eq(tally.tenants[i].tenant, expected[i]);
    ck_assert_int_eq(tally.tenants[3].count, 4);
    const char *const seven[] = {"7", NULL};
    struct order listed = fixture_purge(&fixture, target, fixture_listed(&fixture, "at", NEW_YEAR_US, seven));
    ck_assert_int_eq(fixture_sweep(&fixture, &listed, 3).records, 4);
    ck_assert_int_eq(fixture_count(&fixture, "logs", "{'_id': {'$lte': 4}}"), 0);
    /* The same through an index. */
    fixture_command(&fixture, "{'createIndexes': 'logs', 'indexes': [{'name': 'both', 'key': {'t': 1, 'at': 1}}]}");
    fixture_start(&fixture);
    ck_assert_int_eq(fixture_sweep(&fixture, &rest, 100).records, 3);
    ck_assert_int_eq(fixture_count(&fixture, "logs", "{}"), 3);
    fixture_close(&fixture);
}
END_TEST

START_TEST(exceptions_have_their_own_cutoff) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    const char *const tenants[] = {"anna", "bert", "carl"};
    for (size_t i = 0; i < 3; i++)
        for (int day = -10; day < 10; day++)
            fixture_insert(&fixture, "logs", arena_printf(fixture.arena, "{'t': '%s', 'at': {'$date': {'$numberLong': '%lld'}}}", tenants[i],
                                                          (long long)(DAY(day) / 1000)));
    struct target *target = fixture_target(&fixture, "logs", "t", "at");
    fixture_start(&fixture);
    struct scope_tenant exceptions[] = {{"anna", DAY(-5), TIME_FOREVER}, {"bert", TIME_NEVER, TIME_FOREVER}};
    struct scope rest = fixture_rest(&fixture, "at", NEW_YEAR_US);
    rest.tenants = exceptions;
    rest.n_tenants = 2;
    struct order order = fixture_purge(&fixture, target, rest);
    struct scope floor = fixture_rest(&fixture, "at", DAY(-2));
    order.floors = &floor;
    order.n_floors = 1;
    struct tally tally = fixture_tally(&fixture, &order);
    ck_assert_uint_eq(tally.n_tenants, 2);
    ck_assert_int_eq(tally.tenants[0].count, 5);
    ck_assert_int_eq(tally.tenants[0].oldest_us, DAY(-10));
    ck_assert_int_eq(tally.tenants[1].count, 8);
    ck_assert_int_eq(tally.tenants[1].cutoff_us, DAY(-2));
    /* What an earlier order takes is not this one's. */
    struct scope before = fixture_rest(&fixture, "at", DAY(-8));
    order.before = &before;
    order.n_before = 1;
    ck_assert_int_eq(fixture_tally(&fixture, &order).records, 3 + 6);
    ck_assert_int_eq(fixture_sweep(&fixture, &order, 4).records, 9);
    ck_assert_int_eq(fixture_count(&fixture, "logs", "{'t': 'bert'}"), 20);
    fixture_close(&fixture);
}
END_TEST

/* The tenants query writes an id otherwise than the documents do: what protects holds all the same, what destroys does not. */
START_TEST(exceptions_hold_however_the_id_is_written) {
    static const char *const spellings[][2] = {{"{'$numberLong': '7'}", "007"},
                                               {"{'$oid': '507f1f77bcf86cd799439011'}", "507F1F77BCF86CD799439011"},
                                               {"{'$binary': {'base64': 'AAECAwQFBgcICQoLDA0ODw==', 'subType': '04'}}", "{00010203-0405-0607-0809-0A0B0C0D0E0F}"}};
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++) {
        struct fixture fixture;
        fixture_open(&fixture, REPLICA_SET);
        fixture_insert(&fixture, "logs", arena_printf(fixture.arena, "{'_id': 1, 't': %s, 'at': " OLD "}", spellings[i][0]));
        fixture_insert(&fixture, "logs", "{'_id': 2, 't': 'bert', 'at': " OLD "}");
        struct target *target = fixture_target(&fixture, "logs", "t", "at");
        fixture_start(&fixture);
        const struct scope_tenant kept[] = {{spellings[i][1], TIME_NEVER, TIME_FOREVER}}, asked[] = {{spellings[i][1], TIME_FOREVER, TIME_FOREVER}};
        struct scope rest = fixture_rest(&fixture, "at", NEW_YEAR_US);
        rest.tenants = kept;
        rest.n_tenants = 1;
        struct order order = fixture_purge(&fixture, target, rest);
        ck_assert_int_eq(fixture_tally(&fixture, &order).records, 1);
        ck_assert_int_eq(fixture_sweep(&fixture, &order, 100).records, 1);
        ck_assert_int_eq(fixture_count(&fixture, "logs", "{'_id': 1}"), 1);
        struct order any = order_any(target, asked, 1);
        struct tally left = fixture_tally(&fixture, &any);
        ck_assert_uint_eq(left.n_tenants, 1);
        ck_assert_str_eq(left.tenants[0].tenant, spellings[i][1]);
        const char *const ended[] = {spellings[i][1], NULL};
        order = fixture_purge(&fixture, target, fixture_listed(&fixture, NULL, TIME_FOREVER, ended));
        ck_assert_int_eq(fixture_sweep(&fixture, &order, 100).records, 0);
        fixture_close(&fixture);
    }
}
END_TEST

START_TEST(a_filter_cannot_break_out) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    fixture_insert(&fixture, "logs", "{'_id': 1, 't': 'anna', 'kind': 'a', 'at': " OLD "}");
    fixture_insert(&fixture, "logs", "{'_id': 2, 't': 'anna', 'kind': 'b', 'at': " OLD "}");
    fixture_insert(&fixture, "logs", "{'_id': 3, 't': 'bert', 'kind': 'a', 'at': " OLD "}");
    struct target *target = fixture_target(&fixture, "logs", "t", "at");
    target->only = "{\"$or\": [{\"kind\": \"a\"}, {\"t\": \"bert\"}]}";
    fixture_start(&fixture);
    struct order order = fixture_purge(&fixture, target, fixture_listed(&fixture, "at", NEW_YEAR_US, anna));
    ck_assert_int_eq(fixture_sweep(&fixture, &order, 10).records, 1);
    ck_assert_int_eq(fixture_count(&fixture, "logs", "{'_id': {'$in': [2, 3]}}"), 2);
    fixture_close(&fixture);
}
END_TEST

START_TEST(numbers_with_a_unit_are_anchors) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    fixture_insert(&fixture, "logs", "{'_id': 1, 'at': 1767225599}");
    fixture_insert(&fixture, "logs", "{'_id': 2, 'at': 1767225600}");
    fixture_insert(&fixture, "logs", "{'_id': 3, 'at': 1767225599.5}");
    fixture_insert(&fixture, "logs", "{'_id': 4, 'at': 0}");
    fixture_insert(&fixture, "logs", "{'_id': 5, 'at': {'$numberDouble': 'NaN'}}");
    fixture_insert(&fixture, "logs", "{'_id': 6, 'at': {'$numberDouble': '-Infinity'}}");
    fixture_insert(&fixture, "logs", "{'_id': 7, 'at': " OLD "}");
    fixture_insert(&fixture, "logs", "{'_id': 8, 'at': -5}");
    struct target *target = fixture_target(&fixture, "logs", NULL, "at");
    target->unit = UNIT_SECONDS;
    fixture_start(&fixture);
    struct order order = fixture_purge(&fixture, target, fixture_whole("at", NEW_YEAR_US));
    struct tally tally = fixture_tally(&fixture, &order);
    ck_assert_uint_eq(tally.n_tenants, 1);
    ck_assert_str_eq(tally.tenants[0].tenant, "");
    ck_assert_int_eq(tally.tenants[0].oldest_us, NEW_YEAR_US - TIME_SECOND_US);
    ck_assert_int_eq(fixture_sweep(&fixture, &order, 1).records, 2);
    ck_assert_int_eq(fixture_count(&fixture, "logs", "{'_id': {'$in': [1, 3]}}"), 0);
    fixture_close(&fixture);
}
END_TEST

START_TEST(the_time_of_an_object_id_is_an_anchor) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    fixture_insert(&fixture, "logs", "{'_id': {'$oid': '6955b8ffffffffffffffffff'}}"); /* 2025-12-31T23:59:59Z */
    fixture_insert(&fixture, "logs", "{'_id': {'$oid': '6955b9000000000000000000'}}"); /* 2026-01-01T00:00:00Z */
    struct target *target = fixture_target(&fixture, "logs", NULL, "_id");
    fixture_start(&fixture);
    struct order order = fixture_purge(&fixture, target, fixture_whole("_id", NEW_YEAR_US));
    ck_assert_int_eq(fixture_tally(&fixture, &order).tenants[0].oldest_us, NEW_YEAR_US - TIME_SECOND_US);
    ck_assert_int_eq(fixture_sweep(&fixture, &order, 10).records, 1);
    ck_assert_int_eq(fixture_count(&fixture, "logs", "{'_id': {'$oid': '6955b9000000000000000000'}}"), 1);
    fixture_close(&fixture);
}
END_TEST

START_TEST(an_updated_document_survives_and_the_batch_is_tried_again) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    for (int i = 0; i < 5; i++) fixture_insert(&fixture, "logs", arena_printf(fixture.arena, "{'_id': %d, 't': 'anna', 'at': " OLD "}", i));
    struct target *target = fixture_target(&fixture, "logs", "t", "at");
    fixture_start(&fixture);
    struct order order = fixture_purge(&fixture, target, fixture_listed(&fixture, "at", NEW_YEAR_US, anna));
    const struct order *orders[] = {&order};
    struct pass *pass;
    const struct batch *batch;
    struct outcome outcome;
    ck_assert(!mongo_driver.begin(fixture.store, orders, 1, NULL, &pass, &fixture.err));
    ck_assert(!mongo_driver.prepare(fixture.store, pass, 10, fixture.arena, &batch, NULL, &fixture.err));
    ck_assert(!batch->irrevocable);
    ck_assert_int_eq(batch->records, 5);
    ck_assert_int_eq(fixture_count(&fixture, "logs", "{}"), 5); /* nothing is seen before the commit */
    ck_assert(!mongo_driver.finish(fixture.store, pass, false, &outcome, &fixture.err));
    ck_assert_int_eq(outcome.records, 0);
    fixture_command(&fixture, "{'update': 'logs', 'updates': [{'q': {'_id': 3}, 'u': {'$set': {'at': " YOUNG "}}}]}");
    ck_assert(!mongo_driver.prepare(fixture.store, pass, 10, fixture.arena, &batch, NULL, &fixture.err));
    ck_assert_int_eq(batch->records, 4);
    ck_assert(!mongo_driver.finish(fixture.store, pass, true, &outcome, &fixture.err));
    ck_assert_int_eq(outcome.records, 4);
    ck_assert(!mongo_driver.prepare(fixture.store, pass, 10, fixture.arena, &batch, NULL, &fixture.err));
    ck_assert_ptr_null(batch);
    mongo_driver.end(fixture.store, pass);
    ck_assert_int_eq(fixture_count(&fixture, "logs", "{'_id': 3}"), 1);
    fixture_close(&fixture);
}
END_TEST

START_TEST(tenants_share_the_batches) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    for (int i = 0; i < 25; i++) fixture_insert(&fixture, "logs", "{'t': 'large', 'at': " OLD "}");
    for (int i = 0; i < 12; i++) fixture_insert(&fixture, "logs", arena_printf(fixture.arena, "{'t': 'small%02d', 'at': " OLD "}", i));
    struct target *target = fixture_target(&fixture, "logs", "t", "at");
    fixture_start(&fixture);
    struct order order = fixture_purge(&fixture, target, fixture_rest(&fixture, "at", NEW_YEAR_US));
    const struct order *orders[] = {&order};
    struct pass *pass;
    const struct batch *batch;
    struct outcome outcome;
    int large = 0, small = 0, batches = 0, last_small = 0, last_large = 0;
    ck_assert(!mongo_driver.begin(fixture.store, orders, 1, NULL, &pass, &fixture.err));
    for (;; batches++) {
        ck_assert(!mongo_driver.prepare(fixture.store, pass, 10, fixture.arena, &batch, NULL, &fixture.err));
        if (!batch) break;
        ck_assert_int_le(batch->records, 10);
        for (size_t i = 0; i < batch->n_tenants; i++) {
            bool is_large = !strcmp(batch->tenants[i].tenant, "large");
            *(is_large ? &large : &small) += (int)batch->tenants[i].count;
            *(is_large ? &last_large : &last_small) = batches;
        }
        ck_assert(!mongo_driver.finish(fixture.store, pass, true, &outcome, &fixture.err));
    }
    mongo_driver.end(fixture.store, pass);
    ck_assert_int_eq(large, 25);
    ck_assert_int_eq(small, 12);
    ck_assert_int_le(last_small, last_large);
    ck_assert_int_eq(batches, 4); /* all of them full, but for the last */
    fixture_close(&fixture);
}
END_TEST

START_TEST(an_excluded_tenant_is_left_alone) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    fixture_insert(&fixture, "logs", "{'t': 'anna', 'at': " OLD "}");
    fixture_insert(&fixture, "logs", "{'t': 'bert', 'at': " OLD "}");
    struct target *target = fixture_target(&fixture, "logs", "t", "at");
    fixture_start(&fixture);
    const char *const both[] = {"anna", "bert", NULL};
    struct order order = fixture_purge(&fixture, target, fixture_listed(&fixture, NULL, 0, both));
    const struct order *orders[] = {&order};
    struct pass *pass;
    const struct batch *batch;
    struct outcome outcome;
    ck_assert(!mongo_driver.begin(fixture.store, orders, 1, NULL, &pass, &fixture.err));
    ck_assert(!mongo_driver.prepare(fixture.store, pass, 10, fixture.arena, &batch, NULL, &fixture.err));
    ck_assert_int_eq(batch->records, 2);
    ck_assert_int_eq(batch->tenants[0].cutoff_us, TIME_FOREVER);
    ck_assert(!mongo_driver.finish(fixture.store, pass, false, &outcome, &fixture.err));
    mongo_driver.exclude(fixture.store, pass, &order, "anna");
    ck_assert(!mongo_driver.prepare(fixture.store, pass, 10, fixture.arena, &batch, NULL, &fixture.err));
    ck_assert_int_eq(batch->records, 1);
    ck_assert_str_eq(batch->tenants[0].tenant, "bert");
    ck_assert(!mongo_driver.finish(fixture.store, pass, true, &outcome, &fixture.err));
    mongo_driver.end(fixture.store, pass);
    ck_assert_int_eq(fixture_count(&fixture, "logs", "{'t': 'anna'}"), 1);
    fixture_close(&fixture);
}
END_TEST

struct seen {
    int rows;
    struct tenant_row last;
    char id[64], parent[64], period[64];
};

static int note_row(void *context, const struct tenant_row *row, struct err *err) {
    (void)err;
    struct seen *seen = context;
    seen->rows++;
    seen->last = *row;
    (void)text_copy(seen->id, sizeof seen->id, row->id);
    (void)text_copy(seen->parent, sizeof seen->parent, row->parent ? row->parent : "-");
    (void)text_copy(seen->period, sizeof seen->period, row->periods[0] ? row->periods[0] : "-");
    return 0;
}

START_TEST(the_pipeline_gives_tenants) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    fixture_insert(&fixture, "accounts", "{'_id': 7, 'closed': " OLD ", 'reseller': {'$oid': '507f1f77bcf86cd799439011'}, 'logs': '3 years'}");
    fixture_insert(&fixture, "accounts", "{'_id': 8}");
    fixture_insert(&fixture, "accounts", "{'_id': 9, 'closed': 'yes', 'logs': 5}");
    struct tenants_conf *conf = &fixture.schedule.tenants;
    conf->collection = "accounts";
    conf->pipeline = "[{\"$project\": {\"_id\": 0, \"tenant\": \"$_id\", \"parent\": \"$reseller\", \"account\": \"$closed\", \"logs\": 1}}]";
    conf->ends[0] = "account";
    conf->n_ends = 1;
    conf->period_columns[0] = "logs";
    conf->n_period_columns = 1;
    fixture_start(&fixture);
    struct seen seen = {0};
    const char *const seven[] = {"7"}, *const nine[] = {"9"};
    ck_assert(!mongo_driver.tenants(fixture.store, NULL, 0, note_row, &seen, &fixture.err));
    ck_assert_int_eq(seen.rows, 3);
    ck_assert(!mongo_driver.tenants(fixture.store, seven, 1, note_row, &seen, &fixture.err));
    ck_assert_int_eq(seen.rows, 4);
    ck_assert_str_eq(seen.id, "7");
    ck_assert_str_eq(seen.parent, "507f1f77bcf86cd799439011");
    ck_assert_str_eq(seen.period, "3 years");
    ck_assert_int_eq(seen.last.ends[0], DAY(-1));
    ck_assert(!mongo_driver.tenants(fixture.store, nine, 1, note_row, &seen, &fixture.err));
    ck_assert(seen.last.bad_ends[0]);
    ck_assert_int_eq(seen.last.ends[0], TIME_FOREVER);
    fixture_insert(&fixture, "accounts", "{'_id': ''}");
    ck_assert(mongo_driver.tenants(fixture.store, NULL, 0, note_row, &seen, &fixture.err));
    ck_assert_int_eq(fixture.err.code, ERR_REFUSED);
    fixture_close(&fixture);
}
END_TEST

START_TEST(a_server_that_is_not_there_is_unavailable) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    struct store_conf nowhere = {.name = "docs", .kind = STORE_MONGODB, .url = "mongodb://127.0.0.1:9/x"};
    fixture.schedule.settings.statement_timeout_us = TIME_SECOND_US;
    const struct store_settings settings = {.conf = &nowhere, .schedule = &fixture.schedule};
    int64_t now_us;
    ck_assert(!mongo_driver.open(&settings, &fixture.store, &fixture.err));
    ck_assert(mongo_driver.ping(fixture.store, &now_us, &fixture.err));
    ck_assert_int_eq(fixture.err.code, ERR_UNAVAILABLE);
    fixture_close(&fixture);
}
END_TEST

START_TEST(the_server_tells_its_clock) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    fixture_start(&fixture);
    int64_t now_us;
    ck_assert(!mongo_driver.ping(fixture.store, &now_us, &fixture.err));
    ck_assert_int_lt(llabs(now_us - time_now_us()), 5 * TIME_SECOND_US);
    fixture_close(&fixture);
}
END_TEST

UNIT_MAIN("mongo", only_dates_before_the_cutoff_are_due, a_tenant_is_found_in_every_type_it_can_have, exceptions_have_their_own_cutoff,
          exceptions_hold_however_the_id_is_written,
          a_filter_cannot_break_out, numbers_with_a_unit_are_anchors, the_time_of_an_object_id_is_an_anchor,
          an_updated_document_survives_and_the_batch_is_tried_again, tenants_share_the_batches, an_excluded_tenant_is_left_alone,
          the_pipeline_gives_tenants, a_server_that_is_not_there_is_unavailable, the_server_tells_its_clock)
