/* What the tests of the Redis driver share: a schedule of hand-made targets on the test server, an administrator's
 * connection beside the driver's, and passes in one call. One test runs in one process. */
#ifndef LAPSED_TESTS_REDIS_FIXTURE_H
#define LAPSED_TESTS_REDIS_FIXTURE_H

#include "base/time.h"
#include "store/redis.h"
#include "unit.h"

/* 2024-03-01 12:00:00 UTC. */
#define NOON_US INT64_C(1709294400000000)
#define HOUR_US (3600 * TIME_SECOND_US)

enum { MOST_FIXTURE_TARGETS = 4 };

struct redis_world {
    struct arena *arena;
    struct store_conf conf;
    struct schedule schedule;
    struct rule rules[MOST_FIXTURE_TARGETS];
    struct target targets[MOST_FIXTURE_TARGETS];
    const struct target *list[MOST_FIXTURE_TARGETS];
    struct tenants *tenants;
    struct store *store;
    struct err err;
};
extern struct redis_world world;

/* Empties the server; targets follow by world_target, the store by world_open. */
void world_set_up(void);
void world_tear_down(void);
/* A target of a rule of its own: by age where `since` is given, else by the tenant's end. */
struct target *world_target(const char *pattern, const char *since, enum since_unit unit);
/* Opens the store as this user (NULL: the usual one), with the tenants in `ids` known ("a b c"). Checks; returns the
 * first fault, NULL: none. */
const char *world_open(const char *user, const char *ids);

/* One command of the administrator, by hiredis' format; its integer, -1 for nil. Errors fail the test. */
long long admin(const char *format, ...);
/* One command as words. */
void admin_words(int count, const char **words);
/* Its answer as text; "" for nil. */
const char *admin_text(const char *format, ...);

struct order world_order(const struct target *target, enum action action, int64_t cutoff_us);
/* All of these tenants' ("a b c") records. */
struct order world_end_order(const struct target *target, const char *ids);
int64_t world_count(const struct order *order);
/* A pass over one order in batches of `limit`; how many went. */
int64_t world_run(const struct order *order, size_t limit);
/* Begins a pass and prepares its first batch. */
struct pass *world_prepare(const struct order *const *order, size_t limit, const struct batch **ret_batch);
int64_t world_finish(struct pass *pass);
int64_t world_undecidable(const struct target *target, const char *code);

/* For main: the exit status. */
int redis_suite(const char *name, const TTest *const *tests, size_t count);
/* With a test that is run once for each of so many seeds (_i). */
int redis_suite_seeded(const char *name, const TTest *const *tests, size_t count, const TTest *seeded, int seeds);

#endif
