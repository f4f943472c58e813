/* MongoDB: faults and advice, privileges, collections of one tenant, what nobody can decide, one document explained. */
#include "leaves.h"
#include "store/mongo_fixture.h"

#include <stdio.h>

#define OLD "{'$date': '2025-12-31T00:00:00Z'}"
#define YOUNG "{'$date': '2026-01-02T00:00:00Z'}"

static const char *const anna[] = {"anna", NULL};

/* Opens and checks; the faults are in the fixture. */
static void check(struct fixture *fixture) {
    const struct store_settings settings = {.conf = &fixture->conf, .schedule = &fixture->schedule};
    if (!fixture->store) ck_assert(!mongo_driver.open(&settings, &fixture->store, &fixture->err));
    fixture->faults.count = 0;
    memset(fixture->bad, 0, sizeof fixture->bad);
    ck_assert_msg(!mongo_driver.check(fixture->store, &fixture->faults, fixture->bad, &fixture->err), "%s", fixture->err.text);
}

static bool has_fault(const struct fixture *fixture, const char *part) {
    for (size_t i = 0; i < fixture->faults.count; i++)
        if (strstr(fixture->faults.items[i].text, part)) return true;
    return false;
}

START_TEST(what_cannot_be_swept_is_a_fault) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    fixture_command(&fixture, "{'create': 'ring', 'capped': true, 'size': 4096}");
    fixture_command(&fixture, "{'create': 'seen', 'viewOn': 'logs', 'pipeline': []}");
    fixture_command(&fixture, "{'create': 'series', 'timeseries': {'timeField': 'at'}}");
    (void)fixture_target(&fixture, "ring", "t", "at");
    (void)fixture_target(&fixture, "seen", "t", "at");
    (void)fixture_target(&fixture, "series", "t", "at");
    (void)fixture_target(&fixture, "later", "t", "a..b");
    struct target *whole = fixture_target(&fixture, "kb_{tenant}", NULL, "at");
    whole->tenant_in_name = true;
    whole->no_tenant = false;
    static const struct column columns[] = {{.strategy = STRATEGY_NULL, .path = "_id"}, {.strategy = STRATEGY_NULL, .path = "a"}, {.strategy = STRATEGY_NULL, .path = "a.b"}};
    struct target *fields = fixture_target(&fixture, "people", "t", "at");
    fields->columns = columns;
    fields->n_columns = 3;
    struct target *only = fixture_target(&fixture, "logs", "t", "at");
    only->only = "{\"a\": }";
    (void)fixture_target(&fixture, "fine", "t", "at");
    check(&fixture);
    ck_assert(has_fault(&fixture, "capped"));
    ck_assert(has_fault(&fixture, "is a view"));
    ck_assert(has_fault(&fixture, "time series"));
    ck_assert(has_fault(&fixture, "\"a..b\" is no path"));
    ck_assert(has_fault(&fixture, "dropped whole at the tenant's end"));
    ck_assert(has_fault(&fixture, "_id cannot be changed"));
    ck_assert(has_fault(&fixture, "lie within one another"));
    ck_assert(has_fault(&fixture, "no JSON filter"));
    for (size_t i = 0; i < 7; i++) ck_assert_msg(fixture.bad[i], "%zu", i);
    ck_assert(!fixture.bad[7]);
    struct order order = fixture_purge(&fixture, &fixture.targets[0], fixture_listed(&fixture, "at", NEW_YEAR_US, anna));
    const struct order *orders[] = {&order};
    struct tally tally;
    ck_assert(mongo_driver.count(fixture.store, orders, 1, fixture.arena, &tally, &fixture.err));
    ck_assert_int_eq(fixture.err.code, ERR_CONFIG);
    fixture_close(&fixture);
}
END_TEST

static bool has_finding(const struct finding *findings, size_t count, const char *code, const char *place) {
    for (size_t i = 0; i < count; i++)
        if (!strcmp(findings[i].code, code) && !strcmp(findings[i].place, place)) return true;
    return false;
}

START_TEST(advice_names_missing_and_dangerous_indexes) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    fixture_insert(&fixture, "misspelt", "{'t': 'anna', 'createdat': " OLD "}");
    for (int i = 0; i < 1100; i++) fixture_insert(&fixture, "large", "{'t': 'anna', 'at': " OLD "}");
    fixture_insert(&fixture, "fleeting", "{'t': 'anna', 'at': " OLD "}");
    fixture_command(&fixture, "{'createIndexes': 'fleeting', 'indexes': [{'name': 'ttl', 'key': {'at': 1}, 'expireAfterSeconds': 2000000000}]}");
    (void)fixture_target(&fixture, "misspelt", "t", "createdAt");
    (void)fixture_target(&fixture, "large", "t", "at");
    (void)fixture_target(&fixture, "fleeting", "t", "at");
    (void)fixture_target(&fixture, "nowhere", "t", "at");
    fixture_start(&fixture);
    const struct finding *findings;
    size_t count;
    ck_assert(!mongo_driver.advise(fixture.store, fixture.arena, &findings, &count, &fixture.err));
    ck_assert(has_finding(findings, count, "since-absent", "misspelt"));
    ck_assert(has_finding(findings, count, "index-missing", "large"));
    ck_assert(has_finding(findings, count, "ttl-index", "fleeting"));
    ck_assert(has_finding(findings, count, "collection-missing", "nowhere"));
    fixture_command(&fixture, "{'createIndexes': 'large', 'indexes': [{'name': 'both', 'key': {'t': 1, 'at': 1}}]}");
    fixture_start(&fixture);
    ck_assert(!mongo_driver.advise(fixture.store, fixture.arena, &findings, &count, &fixture.err));
    ck_assert(!has_finding(findings, count, "index-missing", "large"));
    fixture_close(&fixture);
}
END_TEST

/* The argument of db.NAME( … ); in the printed text, as a command. */
static bson_t *printed(const char *text, const char *function, const char *command, const char *name_field) {
    char start[64];
    (void)snprintf(start, sizeof start, "db.%s(", function);
    const char *from = strstr(text, start);
    ck_assert_msg(from != NULL, "%s", text);
    from += strlen(start);
    size_t length = (size_t)(strstr(from, ");\n") - from);
    char *json = malloc(length + 1);
    memcpy(json, from, length);
    json[length] = '\0';
    char *prompt = strstr(json, "passwordPrompt()");
    if (prompt) memcpy(prompt, "\"secret\"        ", strlen("passwordPrompt()"));
    bson_error_t error;
    bson_t *argument = bson_new_from_json((const uint8_t *)json, -1, &error);
    ck_assert_msg(argument != NULL, "%s: %s", json, error.message);
    free(json);
    bson_iter_t iter;
    ck_assert(bson_iter_init_find(&iter, argument, name_field));
    bson_t *result = BCON_NEW(command, BCON_UTF8(bson_iter_utf8(&iter, NULL)));
    bson_copy_to_excluding_noinit(argument, result, name_field, NULL);
    bson_destroy(argument);
    return result;
}

static void run(struct fixture *fixture, bson_t *command) {
    bson_error_t error;
    ck_assert_msg(mongoc_client_command_simple(fixture->client, fixture->database, command, NULL, NULL, &error), "%s", error.message);
    bson_destroy(command);
}

START_TEST(the_printed_grants_are_enough_and_no_more) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    fixture_insert(&fixture, "logs", "{'_id': 1, 't': 'anna', 'at': " OLD "}");
    fixture_insert(&fixture, "parts", "{'log': 1}");
    fixture_insert(&fixture, "other", "{'_id': 1, 't': 'anna', 'at': " OLD "}");
    static const struct dependent parts = {.join = {.child_table = "parts", .child_columns = {"log"}, .n_columns = 1}};
    struct target *target = fixture_target(&fixture, "logs", "t", "at");
    target->dependents = &parts;
    target->n_dependents = 1;
    fixture_start(&fixture);
    __attribute__((cleanup(buf_free))) struct buf text = {0};
    ck_assert(!mongo_driver.grants(fixture.store, "retention", &text, &fixture.err));
    run(&fixture, printed(buf_text(&text), "createRole", "createRole", "role"));
    run(&fixture, printed(buf_text(&text), "createUser", "createUser", "user"));
    /* As that user, whose password is the credential. */
    mongo_driver.close(fixture.store);
    fixture.store = NULL;
    const char *host = strchr(fixture.conf.url, '@') + 1;
    const int length = (int)strcspn(host, "/");
    const char *const urls[] = {arena_printf(fixture.arena, "mongodb://retention@%.*s/%s?authSource=%s", length, host, fixture.database, fixture.database)};
    fixture.conf.url = urls[0];
    struct store_settings settings = {.conf = &fixture.conf, .schedule = &fixture.schedule, .password = "secret", .evidence_key = LEAVES_KEY};
    ck_assert(!mongo_driver.open(&settings, &fixture.store, &fixture.err));
    check(&fixture);
    ck_assert_msg(!fixture.faults.count, "%s", fixture.faults.count ? fixture.faults.items[0].text : "");
    struct order order = fixture_purge(&fixture, target, fixture_listed(&fixture, "at", NEW_YEAR_US, anna));
    struct outcome outcome = fixture_sweep(&fixture, &order, 10);
    ck_assert_int_eq(outcome.records, 1);
    ck_assert_int_eq(outcome.dependents, 1);
    (void)fixture_target(&fixture, "other", "t", "at");
    check(&fixture);
    ck_assert(fixture.bad[1] && !fixture.bad[0]);
    ck_assert(has_fault(&fixture, "find, listIndexes, remove on \"other\""));
    /* A wrong password is no unreachable server. */
    struct store *stranger;
    int64_t now_us;
    settings.password = "wrong";
    ck_assert(!mongo_driver.open(&settings, &stranger, &fixture.err));
    ck_assert(mongo_driver.ping(stranger, &now_us, &fixture.err));
    ck_assert_int_eq(fixture.err.code, ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(fixture.err.text, "user or password"));
    ck_assert_ptr_null(strstr(fixture.err.text, "wrong"));
    mongo_driver.close(stranger);
    fixture_command(&fixture, "{'dropUser': 'retention'}");
    fixture_command(&fixture, "{'dropRole': 'retention'}");
    fixture_close(&fixture);
}
END_TEST

START_TEST(a_tenants_own_collection_is_dropped_whole) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    fixture_insert(&fixture, "kb_anna", "{'_id': 1}");
    fixture_insert(&fixture, "kb_anna", "{'_id': 2}");
    fixture_insert(&fixture, "kb_bert", "{'_id': 1}");
    fixture_insert(&fixture, "kb_anna_files", "{'_id': 1}");
    fixture_insert(&fixture, "kb_shared", "{'_id': 1}");
    fixture_command(&fixture, "{'create': 'kb_view', 'viewOn': 'kb_bert', 'pipeline': []}");
    struct target *target = fixture_target(&fixture, "kb_{tenant}", NULL, NULL);
    struct target *files = fixture_target(&fixture, "kb_{tenant}_files", NULL, NULL);
    (void)fixture_target(&fixture, "kb_shared", "t", "at");
    target->tenant_in_name = target->drop = files->tenant_in_name = files->drop = true;
    target->no_tenant = files->no_tenant = false;
    fixture_start(&fixture);
    /* "anna_files" and "shared" are names that the schedule uses otherwise; the view is no collection. */
    const char *const ended[] = {"anna", "anna_files", "shared", "view", "zoe", NULL};
    struct order order = fixture_purge(&fixture, target, fixture_listed(&fixture, NULL, 0, ended));
    struct tally tally = fixture_tally(&fixture, &order);
    ck_assert_uint_eq(tally.n_tenants, 1);
    ck_assert_str_eq(tally.tenants[0].tenant, "anna");
    ck_assert_int_eq(tally.tenants[0].oldest_us, DAY(-40));
    ck_assert_int_eq(tally.records, 2);
    const struct order *orders[] = {&order};
    struct pass *pass;
    const struct batch *batch;
    struct outcome outcome;
    ck_assert(!mongo_driver.begin(fixture.store, orders, 1, NULL, &pass, &fixture.err));
    ck_assert(!mongo_driver.prepare(fixture.store, pass, 1, fixture.arena, &batch, NULL, &fixture.err));
    ck_assert(batch->irrevocable && batch->range);
    ck_assert_int_eq(batch->records, 2);
    ck_assert_int_eq(fixture_count(&fixture, "kb_anna", "{}"), 2);
    fixture_insert(&fixture, "kb_anna", "{'_id': 3}");
    ck_assert(!mongo_driver.finish(fixture.store, pass, true, &outcome, &fixture.err));
    ck_assert_int_eq(outcome.records, 3);
    ck_assert(!mongo_driver.prepare(fixture.store, pass, 1, fixture.arena, &batch, NULL, &fixture.err));
    ck_assert_ptr_null(batch);
    mongo_driver.end(fixture.store, pass);
    ck_assert_int_eq(fixture_count(&fixture, "kb_anna", "{}"), 0);
    ck_assert_int_eq(fixture_count(&fixture, "kb_bert", "{}"), 1);
    ck_assert_int_eq(fixture_count(&fixture, "kb_shared", "{}"), 1);
    ck_assert_int_eq(fixture_count(&fixture, "kb_anna_files", "{}"), 1);
    fixture_close(&fixture);
}
END_TEST

START_TEST(undecidable_documents_are_counted_by_reason) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    fixture_insert(&fixture, "logs", "{'t': 'anna', 'm': {'at': " OLD "}}");
    fixture_insert(&fixture, "logs", "{'t': 'anna', 'm': {'at': " YOUNG "}}");
    fixture_insert(&fixture, "logs", "{'t': 'anna', 'm': {'at': '2025-01-01'}}");
    fixture_insert(&fixture, "logs", "{'t': 'anna', 'm': {'at': null}}");
    fixture_insert(&fixture, "logs", "{'t': 'anna'}");
    fixture_insert(&fixture, "logs", "{'t': 'anna', 'm': [{'at': " OLD "}]}");
    fixture_insert(&fixture, "logs", "{'m': {'at': " OLD "}}");
    fixture_insert(&fixture, "logs", "{'t': '', 'm': {'at': " OLD "}}");
    fixture_insert(&fixture, "logs", "{'t': true, 'm': {'at': " OLD "}}");
    fixture_insert(&fixture, "logs", "{'t': ['anna'], 'm': {'at': " OLD "}}");
    fixture_insert(&fixture, "logs", "{'t': 'anna', 'm': {'at': " OLD "}, 'new': 1}");
    static const struct column columns[] = {{.strategy = STRATEGY_NULL, .path = "name"}};
    struct target *target = fixture_target(&fixture, "logs", "t", "m.at");
    target->columns = columns;
    target->n_columns = 1;
    fixture.rule.anonymize_blocked = true;
    fixture_start(&fixture);
    const struct undecidable *items;
    size_t count;
    ck_assert_msg(!mongo_driver.undecidable(fixture.store, target, NEW_YEAR_US, fixture.arena, &items, &count, &fixture.err), "%s", fixture.err.text);
    int64_t empty = 0, type = 0, future = 0, tenant_empty = 0, unknown = 0, ambiguous = 0, unlisted = 0;
    for (size_t i = 0; i < count; i++) {
        if (!strcmp(items[i].code, "since-empty")) empty += items[i].count;
        if (!strcmp(items[i].code, "since-type")) type += items[i].count;
        if (!strcmp(items[i].code, "since-future")) future += items[i].count;
        if (!strcmp(items[i].code, "tenant-empty")) tenant_empty += items[i].count;
        if (!strcmp(items[i].code, "tenant-unknown")) unknown += items[i].count;
        if (!strcmp(items[i].code, "tenant-ambiguous")) ambiguous += items[i].count;
        if (!strcmp(items[i].code, "field-unlisted")) unlisted += items[i].count;
    }
    ck_assert_int_eq(empty, 2);
    ck_assert_int_eq(type, 2);
    ck_assert_int_eq(future, 1);
    ck_assert_int_eq(tenant_empty, 2);
    ck_assert_int_eq(unknown, 1);
    ck_assert_int_eq(ambiguous, 1);
    ck_assert_int_eq(unlisted, 1);
    fixture_close(&fixture);
}
END_TEST

static int64_t count_of(struct fixture *fixture, const struct target *target, const char *code) {
    const struct undecidable *items;
    size_t count;
    ck_assert_msg(!mongo_driver.undecidable(fixture->store, target, NEW_YEAR_US, fixture->arena, &items, &count, &fixture->err), "%s", fixture->err.text);
    for (size_t i = 0; i < count; i++)
        if (!strcmp(items[i].code, code)) return items[i].count;
    return 0;
}

/* One question decides whether any reason is asked for: it must see each of them where there is no other. */
START_TEST(one_odd_document_among_ordinary_ones_is_seen) {
    static const struct { const char *json, *code; } odd[] = {
        {"{'t': 'anna', 'm': {'at': null}}", "since-empty"},
        {"{'t': 'anna', 'm': {'at': '2025-01-01'}}", "since-type"},
        {"{'t': 'anna', 'm': {'at': {'$oid': '507f1f77bcf86cd799439011'}}}", "since-type"},
        {"{'t': 'anna', 'm': {'at': [" OLD "]}}", "since-type"},
        {"{'t': 'anna', 'm': [{'at': " OLD "}]}", "since-type"},
        {"{'t': 'anna', 'm': {'at': " YOUNG "}}", "since-future"},
        {"{'m': {'at': " OLD "}}", "tenant-empty"},
        {"{'t': '', 'm': {'at': " OLD "}}", "tenant-empty"},
        {"{'t': {'$numberDecimal': '7'}, 'm': {'at': " OLD "}}", "tenant-unknown"},
        {"{'t': {'$minKey': 1}, 'm': {'at': " OLD "}}", "tenant-unknown"},
        {"{'t': ['anna'], 'm': {'at': " OLD "}}", "tenant-ambiguous"},
    };
    static const char *const ordinary[] = {"'anna'", "7", "7.5", "{'$numberLong': '7'}", "{'$oid': '507f1f77bcf86cd799439011'}"};
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    for (size_t i = 0; i < sizeof ordinary / sizeof *ordinary; i++)
        fixture_insert(&fixture, "logs", arena_printf(fixture.arena, "{'t': %s, 'm': {'at': " OLD "}}", ordinary[i]));
    struct target *target = fixture_target(&fixture, "logs", "t", "m.at");
    fixture_start(&fixture);
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        ck_assert_int_eq(count_of(&fixture, target, odd[i].code), 0);
        fixture_insert(&fixture, "logs", arena_printf(fixture.arena, "{'_id': 'odd', %s", odd[i].json + 1));
        ck_assert_msg(count_of(&fixture, target, odd[i].code) == 1, "%s", odd[i].json);
        fixture_command(&fixture, "{'delete': 'logs', 'deletes': [{'q': {'_id': 'odd'}, 'limit': 1}]}");
    }
    fixture_close(&fixture);
}
END_TEST

START_TEST(one_odd_number_among_instants_is_seen) {
    static const struct { const char *since, *code; } odd[] = {{"null", "since-empty"}, {"0", "since-type"}, {"-1", "since-type"}, {"'1'", "since-type"},
                                                              {"{'$date': '2025-12-31T00:00:00Z'}", "since-type"}, {"[1]", "since-type"},
                                                              {"{'$numberLong': '1767225601'}", "since-future"}};
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    fixture_insert(&fixture, "logs", "{'t': 'anna', 'at': {'$numberLong': '1767225600'}}");
    struct target *target = fixture_target(&fixture, "logs", "t", "at");
    target->unit = UNIT_SECONDS;
    fixture_start(&fixture);
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        ck_assert_int_eq(count_of(&fixture, target, odd[i].code), 0);
        fixture_insert(&fixture, "logs", arena_printf(fixture.arena, "{'_id': 'odd', 't': 'anna', 'at': %s}", odd[i].since));
        ck_assert_msg(count_of(&fixture, target, odd[i].code) == 1, "%s", odd[i].since);
        fixture_command(&fixture, "{'delete': 'logs', 'deletes': [{'q': {'_id': 'odd'}, 'limit': 1}]}");
    }
    fixture_close(&fixture);
}
END_TEST

START_TEST(documents_that_no_rule_lets_in) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    for (int i = 0; i < 4; i++) fixture_insert(&fixture, "logs", i == 0 ? "{'t': 'anna', 'kind': 'a'}" : i == 1 ? "{'t': 'anna', 'kind': 'b'}" : "{'t': 'anna'}");
    struct target *first = fixture_target(&fixture, "logs", "t", "at"), *second = fixture_target(&fixture, "logs", "t", "at");
    first->only = "{\"kind\": \"a\"}";
    second->only = "{\"kind\": {\"$in\": [\"b\", \"c\"]}}";
    fixture_start(&fixture);
    ck_assert_int_eq(count_of(&fixture, first, "only-unreached"), 2);
    ck_assert_int_eq(count_of(&fixture, second, "only-unreached"), 0);
    fixture_close(&fixture);
}
END_TEST

START_TEST(one_document_is_explained) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    fixture_insert(&fixture, "tickets", "{'_id': 7, 't': 42, 'at': " OLD ", 'deleted': 'yes', 'kind': 'a'}");
    fixture_insert(&fixture, "tickets", "{'_id': 8, 't': 42, 'deleted': " YOUNG ", 'kind': 'b', 'done': " OLD "}");
    fixture_insert(&fixture, "comments", "{'ticket': 7}");
    static const struct dependent comments = {.join = {.child_table = "comments", .child_columns = {"ticket"}, .n_columns = 1}};
    static const struct record_end ends[] = {{"deletion", "deleted"}};
    struct target *target = fixture_target(&fixture, "tickets", "t", "at");
    target->dependents = &comments;
    target->n_dependents = 1;
    target->ends = ends;
    target->n_ends = 1;
    target->only = "{\"kind\": \"a\"}";
    target->marker = "done";
    (void)fixture_target(&fixture, "comments", NULL, "at");
    fixture_start(&fixture);
    struct record_facts facts;
    ck_assert(!mongo_driver.explain(fixture.store, target, "7", fixture.arena, &facts, &fixture.err));
    ck_assert(facts.exists && facts.only_holds && !facts.anonymized && facts.anchor_ok[0] && !facts.anchor_ok[1]);
    ck_assert_str_eq(facts.tenant, "42");
    ck_assert_int_eq(facts.anchor_us[0], DAY(-1));
    ck_assert_str_eq(facts.blocked_by, "comments");
    ck_assert(!mongo_driver.explain(fixture.store, target, "8", fixture.arena, &facts, &fixture.err));
    ck_assert(facts.exists && !facts.only_holds && facts.anonymized && !facts.anchor_ok[0] && facts.anchor_ok[1]);
    ck_assert_ptr_null(facts.blocked_by);
    ck_assert(!mongo_driver.explain(fixture.store, target, "9", fixture.arena, &facts, &fixture.err));
    ck_assert(!facts.exists);
    fixture_close(&fixture);
}
END_TEST

START_TEST(a_draft_names_collections_with_a_tenant) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    fixture_insert(&fixture, "content", "{'customerId': 7, 'editedAt': " OLD ", 'createdAt': " OLD "}");
    fixture_insert(&fixture, "settings", "{'name': 'x'}");
    fixture_start(&fixture);
    __attribute__((cleanup(buf_free))) struct buf text = {0};
    ck_assert(!mongo_driver.draft(fixture.store, &text, &fixture.err));
    ck_assert_ptr_nonnull(strstr(buf_text(&text), "{ collection = \"content\"; tenant = \"customerId\"; since = \"createdAt\"; }"));
    ck_assert_ptr_nonnull(strstr(buf_text(&text), "other times: editedAt"));
    ck_assert_ptr_nonnull(strstr(buf_text(&text), "#   settings\n"));
    fixture_close(&fixture);
}
END_TEST

static int64_t lag_seen_as(struct fixture *fixture, const char *user) {
    const char *host = strchr(fixture->conf.url, '@') + 1;
    struct store_conf conf = {.name = "watched", .kind = STORE_MONGODB};
    conf.url = arena_printf(fixture->arena, "mongodb://%s@%.*s/%s?authSource=%s", user, (int)strcspn(host, "/"), host, fixture->database, fixture->database);
    const struct store_settings settings = {.conf = &conf, .schedule = &fixture->schedule, .password = "secret"};
    struct store *store;
    struct pressure pressure;
    ck_assert(!mongo_driver.open(&settings, &store, &fixture->err));
    ck_assert_msg(!mongo_driver.pressure(store, NULL, &pressure, &fixture->err), "%s", fixture->err.text);
    mongo_driver.close(store);
    ck_assert_int_eq(pressure.snapshot_age_us, PRESSURE_NONE);
    ck_assert_int_eq(pressure.lock_waits, PRESSURE_NONE);
    return pressure.replica_lag_us;
}

/* The replica set of the tests has no replica: that is another answer than not being told. */
START_TEST(replicas_are_seen_by_those_who_may) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    fixture_start(&fixture);
    fixture_command(&fixture, "{'createUser': 'plain', 'pwd': 'secret', 'roles': []}");
    ck_assert_int_eq(lag_seen_as(&fixture, "plain"), PRESSURE_UNREADABLE);
    fixture_command(&fixture, "{'grantRolesToUser': 'plain', 'roles': [{'role': 'clusterMonitor', 'db': 'admin'}]}");
    ck_assert_int_eq(lag_seen_as(&fixture, "plain"), PRESSURE_NONE);
    fixture_command(&fixture, "{'dropUser': 'plain'}");
    fixture_close(&fixture);
}
END_TEST

UNIT_MAIN("mongo_check", one_odd_document_among_ordinary_ones_is_seen, one_odd_number_among_instants_is_seen, replicas_are_seen_by_those_who_may, what_cannot_be_swept_is_a_fault, advice_names_missing_and_dangerous_indexes, the_printed_grants_are_enough_and_no_more,
          a_tenants_own_collection_is_dropped_whole, undecidable_documents_are_counted_by_reason, documents_that_no_rule_lets_in, one_document_is_explained,
          a_draft_names_collections_with_a_tenant)
