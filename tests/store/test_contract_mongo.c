/* The contract suite against MongoDB: a replica set, where batches are transactions, and a standalone server, where they
 * are not. */
#include "contract.h"

#include "base/time.h"
#include "store/mongo.h"

#include <check.h>
#include <mongoc/mongoc.h>
#include <stdlib.h>
#include <unistd.h>

static const char *admin_url;
static pid_t server;

/* Made in the test's own process: a client does not survive Check's fork. */
static mongoc_collection_t *records(void) {
    static mongoc_collection_t *collection;
    static pid_t made_in;
    if (collection && made_in == getpid()) return collection;
    made_in = getpid();
    mongoc_init();
    mongoc_client_t *client = mongoc_client_new(admin_url);
    ck_assert_ptr_nonnull(client);
    collection = mongoc_client_get_collection(client, "test", "contract_records");
    return collection;
}

static void reset(void) {
    bson_error_t error;
    (void)mongoc_collection_drop(records(), &error); /* fails where there is none yet */
    mongoc_client_t *client = mongoc_client_new(admin_url);
    bson_t *command = BCON_NEW("createIndexes", "contract_records", "indexes", "[", "{", "key", "{", "tenant", BCON_INT32(1), "at", BCON_INT32(1), "}",
                               "name", "tenant_at", "}", "]");
    ck_assert_msg(mongoc_client_command_simple(client, "test", command, NULL, NULL, &error), "%s", error.message);
    bson_destroy(command);
    mongoc_client_destroy(client);
}

static bool put(int number, const char *tenant, int64_t anchor_us) {
    bson_error_t error;
    bson_t *filter = BCON_NEW("_id", BCON_INT32(number));
    bson_t *update = anchor_us == ANCHOR_MISSING ? BCON_NEW("$set", "{", "tenant", BCON_UTF8(tenant), "}", "$unset", "{", "at", BCON_INT32(1), "}")
                                                 : BCON_NEW("$set", "{", "tenant", BCON_UTF8(tenant), "at", BCON_DATE_TIME(anchor_us / 1000), "}");
    /* As a command of its own: an update outside a transaction waits for the one that holds the document. */
    bson_t *command = BCON_NEW("update", "contract_records", "updates", "[", "{", "q", BCON_DOCUMENT(filter), "u", BCON_DOCUMENT(update), "upsert",
                               BCON_BOOL(true), "}", "]", "maxTimeMS", BCON_INT32(250));
    mongoc_client_t *client = mongoc_client_new(admin_url);
    bool done = mongoc_client_write_command_with_opts(client, "test", command, NULL, NULL, &error);
    ck_assert_msg(done || error.code == 50, "%s", error.message); /* MaxTimeMSExpired */
    mongoc_client_destroy(client);
    bson_destroy(command);
    bson_destroy(update);
    bson_destroy(filter);
    return done;
}

static int64_t count(bson_t *filter) {
    bson_error_t error;
    int64_t number = mongoc_collection_count_documents(records(), filter, NULL, NULL, NULL, &error);
    ck_assert_msg(number >= 0, "%s", error.message);
    bson_destroy(filter);
    return number;
}

static bool has(int number, const char *tenant) { return count(BCON_NEW("_id", BCON_INT32(number), "tenant", BCON_UTF8(tenant))) == 1; }

static size_t size(void) { return (size_t)count(bson_new()); }

static void stall(bool stalled) { contract_stall(server, stalled); }

int main(void) {
    struct fixture fixture = {
        .name = "contract: MongoDB, replica set",
        .driver = &mongo_driver,
        .url = contract_variable("LAPSED_TEST_MONGODB"),
        .password = contract_variable("LAPSED_TEST_PASSWORD"),
        .kind = TARGET_COLLECTION,
        .target = "contract_records",
        .tenant = "tenant",
        .since = "at",
        .grain_us = 1000,
        .stall = stall,
        .reset = reset,
        .put = put,
        .has = has,
        .size = size,
    };
    admin_url = contract_variable("LAPSED_TEST_MONGODB_ADMIN");
    server = (pid_t)strtol(contract_variable("LAPSED_TEST_MONGODB_PID"), NULL, 10);
    int failed = contract_run(&fixture);
    fixture.name = "contract: MongoDB, standalone";
    fixture.url = contract_variable("LAPSED_TEST_MONGODB_STANDALONE");
    server = (pid_t)strtol(contract_variable("LAPSED_TEST_MONGODB_STANDALONE_PID"), NULL, 10);
    fixture.irrevocable = true;
    admin_url = contract_variable("LAPSED_TEST_MONGODB_STANDALONE_ADMIN");
    failed += contract_run(&fixture);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
