#include "store/mongo_fixture.h"

#include "leaves.h"

#include <stdio.h>
#include <unistd.h>

static bson_t *from_json(const char *json) {
    char *text = strdup(json);
    for (char *c = text; *c; c++)
        if (*c == '\'') *c = '"';
    bson_error_t error;
    bson_t *bson = bson_new_from_json((const uint8_t *)text, -1, &error);
    ck_assert_msg(bson != NULL, "%s: %s", text, error.message);
    free(text);
    return bson;
}

void fixture_open(struct fixture *fixture, const char *variable) {
    const char *url = getenv(variable);
    ck_assert_msg(url != NULL, "%s is not set: it names the MongoDB server to test with", variable);
    memset(fixture, 0, sizeof *fixture);
    fixture->arena = arena_new();
    fixture->faults.arena = fixture->arena;
    mongoc_init();
    bson_error_t error;
    mongoc_uri_t *uri = mongoc_uri_new_with_error(url, &error);
    ck_assert_msg(uri != NULL, "%s: %s", variable, error.message);
    (void)snprintf(fixture->database, sizeof fixture->database, "lapsed_%d", (int)getpid());
    mongoc_uri_set_database(uri, fixture->database);
    fixture->client = mongoc_client_new_from_uri(uri);
    mongoc_uri_destroy(uri);
    /* As above, in text: "mongodb://USER@HOST" and what stands behind the database. */
    const char *query = strchr(url, '?');
    int hosts = (int)(strcspn(url + strlen("mongodb://"), "/?") + strlen("mongodb://"));
    fixture->conf = (struct store_conf){.name = "docs", .kind = STORE_MONGODB};
    fixture->conf.url = arena_printf(fixture->arena, "%.*s/%s%s", hosts, url, fixture->database, query ? query : "");
    fixture->conf.place = (struct place){"lapsed.conf", 1};
    fixture->keep = (struct keep){.kind = KEEP_AGE, .period = {1, PERIOD_YEARS}, .tenant_end = -1};
    fixture->rule = (struct rule){.data = "Tickets", .keep = &fixture->keep, .n_keep = 1, .targets = fixture->targets};
    fixture->schedule = (struct schedule){.stores = &fixture->conf, .n_stores = 1, .rules = &fixture->rule, .n_rules = 1, .targets = fixture->all};
    fixture->schedule.settings.statement_timeout_us = 10 * TIME_SECOND_US;
    fixture->schedule.tenants.store = &fixture->conf;
    fixture->schedule.tenants.place = (struct place){"lapsed.conf", 2};
}

void fixture_close(struct fixture *fixture) {
    if (fixture->store) mongo_driver.close(fixture->store);
    mongoc_database_t *database = mongoc_client_get_database(fixture->client, fixture->database);
    bson_error_t error;
    (void)mongoc_database_drop(database, &error);
    mongoc_database_destroy(database);
    mongoc_client_destroy(fixture->client);
    arena_free(fixture->arena);
}

struct target *fixture_target(struct fixture *fixture, const char *collection, const char *tenant, const char *since) {
    size_t number = fixture->schedule.n_targets++;
    ck_assert_uint_lt(number, MOST_TARGETS);
    struct target *target = &fixture->targets[number];
    *target = (struct target){.rule = &fixture->rule, .number = number, .store = &fixture->conf, .kind = TARGET_COLLECTION, .name = collection,
                              .tenant = tenant, .no_tenant = !tenant, .since = since, .place = {"schedule.conf", 10 + (unsigned)number}};
    fixture->all[number] = target;
    fixture->rule.n_targets = fixture->schedule.n_targets;
    return target;
}

void fixture_start(struct fixture *fixture) {
    const struct store_settings settings = {.conf = &fixture->conf, .schedule = &fixture->schedule,
                                            .pseudonym_key = (const unsigned char *)"0123456789abcdef0123456789abcdef",
                                            .evidence_key = LEAVES_KEY};
    if (!fixture->store) ck_assert_msg(!mongo_driver.open(&settings, &fixture->store, &fixture->err), "%s", fixture->err.text);
    ck_assert_msg(!mongo_driver.check(fixture->store, &fixture->faults, fixture->bad, &fixture->err), "%s", fixture->err.text);
    ck_assert_msg(!fixture->faults.count, "%s", fixture->faults.count ? fixture->faults.items[0].text : "");
}

void fixture_insert(struct fixture *fixture, const char *collection, const char *json) {
    bson_t *document = from_json(json);
    mongoc_collection_t *handle = mongoc_client_get_collection(fixture->client, fixture->database, collection);
    bson_error_t error;
    ck_assert_msg(mongoc_collection_insert_one(handle, document, NULL, NULL, &error), "%s", error.message);
    mongoc_collection_destroy(handle);
    bson_destroy(document);
}

int64_t fixture_count(struct fixture *fixture, const char *collection, const char *json) {
    bson_t *filter = from_json(json);
    mongoc_collection_t *handle = mongoc_client_get_collection(fixture->client, fixture->database, collection);
    bson_error_t error;
    int64_t count = mongoc_collection_count_documents(handle, filter, NULL, NULL, NULL, &error);
    ck_assert_msg(count >= 0, "%s", error.message);
    mongoc_collection_destroy(handle);
    bson_destroy(filter);
    return count;
}

void fixture_command(struct fixture *fixture, const char *json) {
    bson_t *command = from_json(json);
    bson_error_t error;
    ck_assert_msg(mongoc_client_command_simple(fixture->client, fixture->database, command, NULL, NULL, &error), "%s", error.message);
    bson_destroy(command);
}

struct scope fixture_listed(struct fixture *fixture, const char *anchor, int64_t cutoff_us, const char *const *ids) {
    struct scope scope = {.kind = SCOPE_LISTED, .anchor = anchor, .anchor_is_since = anchor != NULL};
    while (ids[scope.n_tenants]) scope.n_tenants++;
    struct scope_tenant *tenants = ARENA_ARRAY(fixture->arena, struct scope_tenant, scope.n_tenants);
    for (size_t i = 0; i < scope.n_tenants; i++)
        tenants[i] = (struct scope_tenant){.id = ids[i], .cutoff_us = anchor ? cutoff_us : TIME_FOREVER, .end_us = anchor ? TIME_FOREVER : DAY(-40)};
    scope.tenants = tenants;
    return scope;
}

struct scope fixture_rest(struct fixture *fixture, const char *anchor, int64_t cutoff_us) {
    (void)fixture;
    return (struct scope){.kind = SCOPE_REST, .anchor = anchor, .anchor_is_since = true, .cutoff_us = cutoff_us};
}

struct scope fixture_whole(const char *anchor, int64_t cutoff_us) {
    return (struct scope){.kind = SCOPE_WHOLE, .anchor = anchor, .anchor_is_since = true, .cutoff_us = cutoff_us};
}

struct order fixture_purge(struct fixture *fixture, const struct target *target, struct scope due) {
    return order_make(target, ACTION_PURGE, &fixture->keep, due);
}

struct tally fixture_tally(struct fixture *fixture, const struct order *order) {
    struct tally tally;
    ck_assert_msg(!mongo_driver.count(fixture->store, &order, 1, fixture->arena, &tally, &fixture->err), "%s", fixture->err.text);
    return tally;
}

struct outcome fixture_sweep(struct fixture *fixture, const struct order *order, size_t limit) {
    struct outcome total = {0}, outcome;
    struct pass *pass;
    const struct batch *batch;
    leaves_clear();
    ck_assert_msg(!mongo_driver.begin(fixture->store, &order, 1, NULL, &pass, &fixture->err), "%s", fixture->err.text);
    for (;;) {
        ck_assert_msg(!mongo_driver.prepare(fixture->store, pass, limit, fixture->arena, &batch, NULL, &fixture->err), "%s", fixture->err.text);
        if (!batch) break;
        leaves_add(batch);
        ck_assert_msg(!mongo_driver.finish(fixture->store, pass, true, &outcome, &fixture->err), "%s", fixture->err.text);
        ck_assert_int_eq(outcome.records, batch->records);
        total.records += outcome.records;
        total.dependents += outcome.dependents;
    }
    mongo_driver.end(fixture->store, pass);
    return total;
}
