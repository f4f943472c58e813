#include "mongo_contract.h"

#include "base/arena.h"
#include "contract.h"
#include "store/mongo.h"

#include <check.h>
#include <mongoc/mongoc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static const char *admin_url;
static pid_t server;

/* A connection of its own: Check runs every test in a process of its own. */
static mongoc_collection_t *records(void) {
    static mongoc_collection_t *collection;
    if (collection) return collection;
    mongoc_init();
    mongoc_client_t *client = mongoc_client_new(admin_url);
    ck_assert_ptr_nonnull(client);
    collection = mongoc_client_get_collection(client, "test", "contract");
    return collection;
}

static void reset(void) {
    bson_error_t error;
    (void)mongoc_collection_drop(records(), &error);
    bson_t *command = BCON_NEW("createIndexes", "contract", "indexes", "[", "{", "name", "tenant_at", "key", "{", "tenant", BCON_INT32(1), "at", BCON_INT32(1), "}", "}", "]");
    ck_assert_msg(mongoc_collection_command_simple(records(), command, NULL, NULL, &error), "%s", error.message);
    bson_destroy(command);
}

static bool put(int number, const char *tenant, int64_t anchor_us) {
    bson_t *key = BCON_NEW("_id", BCON_INT32(number));
    bson_t *document = BCON_NEW("_id", BCON_INT32(number), "tenant", BCON_UTF8(tenant));
    if (anchor_us != ANCHOR_MISSING) BSON_APPEND_DATE_TIME(document, "at", anchor_us / 1000);
    /* An update that meets a transaction waits for it, as an application's would, but not for ever. */
    bson_t *command = BCON_NEW("update", "contract", "maxTimeMS", BCON_INT32(250), "updates", "[", "{", "q", BCON_DOCUMENT(key), "u", BCON_DOCUMENT(document),
                               "upsert", BCON_BOOL(true), "}", "]");
    bson_error_t error;
    bool done = mongoc_collection_command_simple(records(), command, NULL, NULL, &error);
    ck_assert_msg(done || error.code == MONGOC_ERROR_MAX_TIME_MS_EXPIRED, "%s", error.message);
    bson_destroy(command);
    bson_destroy(document);
    bson_destroy(key);
    return done;
}

static int64_t count(const bson_t *filter) {
    bson_error_t error;
    int64_t found = mongoc_collection_count_documents(records(), filter, NULL, NULL, NULL, &error);
    ck_assert_msg(found >= 0, "%s", error.message);
    return found;
}

static bool has(int number, const char *tenant) {
    bson_t *filter = BCON_NEW("_id", BCON_INT32(number), "tenant", BCON_UTF8(tenant));
    bool found = count(filter) == 1;
    bson_destroy(filter);
    return found;
}

static size_t size(void) {
    bson_t everything = BSON_INITIALIZER;
    return (size_t)count(&everything);
}

static void stall(bool stalled) { ck_assert_int_eq(kill(server, stalled ? SIGSTOP : SIGCONT), 0); }

static const char *variable(const char *name, const char *suffix) {
    char text[100];
    (void)snprintf(text, sizeof text, "LAPSED_TEST_%s%s", name, suffix);
    return contract_variable(text);
}

int mongo_contract(const char *name, bool transactions) {
    server = (pid_t)strtol(variable(name, "_PID"), NULL, 10);
    admin_url = variable(name, "_ADMIN");
    const struct fixture fixture = {
        .name = transactions ? "contract: MongoDB, replica set" : "contract: MongoDB, standalone",
        .driver = &mongo_driver,
        .url = variable(name, ""),
        .password = contract_variable("LAPSED_TEST_PASSWORD"),
        .kind = TARGET_COLLECTION,
        .target = "contract",
        .tenant = "tenant",
        .since = "at",
        .grain_us = 1000,
        .irrevocable = !transactions,
        .stall = stall,
        .reset = reset,
        .put = put,
        .has = has,
        .size = size,
    };
    return contract_run(&fixture) ? EXIT_FAILURE : EXIT_SUCCESS;
}
