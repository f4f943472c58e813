/* What the MongoDB driver's tests share: a database of their own on a real server, documents written as JSON, and schedules, targets
 * and orders made by hand. LAPSED_TEST_MONGODB_ADMIN names a replica set of one, LAPSED_TEST_MONGODB_STANDALONE_ADMIN a server without. */
#ifndef LAPSED_TESTS_STORE_MONGO_FIXTURE_H
#define LAPSED_TESTS_STORE_MONGO_FIXTURE_H

#include "base/time.h"
#include "store/mongo.h"
#include "unit.h"

#include <mongoc/mongoc.h>

/* 2026-01-01 00:00:00 UTC: what "before", "after" stand around. */
#define NEW_YEAR_US INT64_C(1767225600000000)
#define DAY(n) (NEW_YEAR_US + (n) * TIME_DAY_US)

/* Variables of scripts/servers.py: URLs of administrators. */
#define REPLICA_SET "LAPSED_TEST_MONGODB_ADMIN"
#define STANDALONE "LAPSED_TEST_MONGODB_STANDALONE_ADMIN"

enum { MOST_TARGETS = 8 };

struct fixture {
    struct arena *arena;
    mongoc_client_t *client; /* the test's own */
    char database[32];
    struct store_conf conf;
    struct schedule schedule;
    struct rule rule;
    struct keep keep;
    struct target targets[MOST_TARGETS];
    const struct target *all[MOST_TARGETS];
    struct store *store;
    struct faults faults;
    bool bad[MOST_TARGETS];
    struct err err;
};

/* Connects to the server that the variable names; a missing variable fails the test. The database is empty. */
void fixture_open(struct fixture *fixture, const char *variable);
void fixture_close(struct fixture *fixture);
/* The next target of the schedule; to be changed before fixture_start. */
struct target *fixture_target(struct fixture *fixture, const char *collection, const char *tenant, const char *since);
/* Opens the store and checks the targets: none may have a fault. */
void fixture_start(struct fixture *fixture);
/* Inserts a document: strict extended JSON, with ' for ". */
void fixture_insert(struct fixture *fixture, const char *collection, const char *json);
/* How many documents match. */
int64_t fixture_count(struct fixture *fixture, const char *collection, const char *json);
/* {"update": …} and whatever else, on the test's own connection. */
void fixture_command(struct fixture *fixture, const char *json);
/* A scope of these tenants (sorted, NULL-terminated) by this anchor (NULL: everything of them). */
struct scope fixture_listed(struct fixture *fixture, const char *anchor, int64_t cutoff_us, const char *const *ids);
struct scope fixture_rest(struct fixture *fixture, const char *anchor, int64_t cutoff_us);
struct scope fixture_whole(const char *anchor, int64_t cutoff_us);
struct order fixture_purge(struct fixture *fixture, const struct target *target, struct scope due);
struct tally fixture_tally(struct fixture *fixture, const struct order *order);
/* Carries the order out to its end in batches of `limit`; returns how many documents and dependents went. */
struct outcome fixture_sweep(struct fixture *fixture, const struct order *order, size_t limit);

#endif
