/* The fast path, where an index tells who has something due, against the slow one, which reads and counts: the same answer. */
#include "store/mongo_fixture.h"

#include <stdlib.h>

enum { N_DOCUMENTS = 250, N_SEEDS = 3 };

static long pick(long below) { return lrand48() % below; }

/* Of one tenant there is much, and many instants are equal. */
static const char *random_tenant(void) {
    static const char *const tenants[] = {"'anna'", "'bert'", "7", "'7'", "7.0", "{'$numberLong': '7'}", "7.5", "['anna', 'bert']", "null", "''",
                                          "{'$oid': '507f1f77bcf86cd799439011'}", "'carl'", "'dora'", "{'$numberDecimal': '7'}"};
    return pick(2) ? "'emil'" : tenants[pick(sizeof tenants / sizeof *tenants)];
}

static char *random_anchor(struct arena *arena) {
    long day = pick(12) - 6;
    if (pick(12)) return arena_printf(arena, "{'$date': {'$numberLong': '%lld'}}", (long long)(DAY(day) / 1000));
    static const char *const odd[] = {"null", "12", "'2020-01-01'", "[{'$date': '2020-01-01T00:00:00Z'}]", "-1", "true", "{'$minKey': 1}"};
    return arena_strdup(arena, odd[pick(sizeof odd / sizeof *odd)]);
}

static void fill(struct fixture *fixture, const struct target *fast, const struct target *slow) {
    for (int i = 0; i < N_DOCUMENTS; i++) {
        const char *json = pick(40) ? arena_printf(fixture->arena, "{'_id': %d, 't': %s, 'at': %s}", i, random_tenant(), random_anchor(fixture->arena))
                                    : arena_printf(fixture->arena, "{'_id': %d, 't': %s}", i, random_tenant());
        fixture_insert(fixture, fast->name, json);
        fixture_insert(fixture, slow->name, json);
    }
}

static void same_tally(struct fixture *fixture, const struct order *fast, const struct order *slow) {
    struct tally one = fixture_tally(fixture, fast), other = fixture_tally(fixture, slow);
    ck_assert_int_eq(one.records, other.records);
    ck_assert_uint_eq(one.n_tenants, other.n_tenants);
    for (size_t i = 0; i < one.n_tenants; i++) {
        ck_assert_str_eq(one.tenants[i].tenant, other.tenants[i].tenant);
        ck_assert_int_eq(one.tenants[i].count, other.tenants[i].count);
        ck_assert_int_eq(one.tenants[i].oldest_us, other.tenants[i].oldest_us);
        ck_assert_int_eq(one.tenants[i].cutoff_us, other.tenants[i].cutoff_us);
    }
}

static int64_t sweep_all(struct fixture *fixture, const struct order *order) {
    int64_t gone = 0, now;
    int passes = 0;
    for (; (now = fixture_sweep(fixture, order, 1 + (size_t)pick(40)).records); passes++) gone += now;
    ck_assert_int_le(passes, 3); /* one, and another for ids that are written in several types */
    return gone;
}

static void compare(struct fixture *fixture, struct order fast, struct order slow) {
    same_tally(fixture, &fast, &slow);
    int64_t due = fixture_tally(fixture, &slow).records;
    ck_assert_int_eq(sweep_all(fixture, &fast), due);
    ck_assert_int_eq(sweep_all(fixture, &slow), due);
    for (int i = 0; i < N_DOCUMENTS; i++) {
        char id[32];
        (void)snprintf(id, sizeof id, "{'_id': %d}", i);
        ck_assert_msg(fixture_count(fixture, fast.target->name, id) == fixture_count(fixture, slow.target->name, id), "document %d", i);
    }
    same_tally(fixture, &fast, &slow);
}

START_TEST(an_index_gives_the_answer_of_reading_everything) {
    for (long seed = 1; seed <= N_SEEDS; seed++) {
        struct fixture fixture;
        srand48(seed);
        fixture_open(&fixture, REPLICA_SET);
        struct target *fast = fixture_target(&fixture, "fast", "t", "at"), *slow = fixture_target(&fixture, "slow", "t", "at");
        fill(&fixture, fast, slow);
        fixture_command(&fixture, "{'createIndexes': 'fast', 'indexes': [{'name': 'both', 'key': {'t': 1, 'at': 1}}]}");
        fixture_start(&fixture);
        static const char *const some[] = {"7", "anna", "dora", "emil", NULL}, *const ended[] = {"bert", "carl", "emil", NULL};
        compare(&fixture, fixture_purge(&fixture, fast, fixture_listed(&fixture, "at", DAY(-3), some)),
                fixture_purge(&fixture, slow, fixture_listed(&fixture, "at", DAY(-3), some)));
        struct scope rest = fixture_rest(&fixture, "at", DAY(2)), except = fixture_listed(&fixture, "at", DAY(-1), some);
        rest.tenants = except.tenants;
        rest.n_tenants = except.n_tenants;
        compare(&fixture, fixture_purge(&fixture, fast, rest), fixture_purge(&fixture, slow, rest));
        compare(&fixture, fixture_purge(&fixture, fast, fixture_listed(&fixture, NULL, 0, ended)),
                fixture_purge(&fixture, slow, fixture_listed(&fixture, NULL, 0, ended)));
        fixture_close(&fixture);
    }
}
END_TEST

/* Where nobody counts what a tenant has, batches are full all the same; a large tenant goes on behind what went, and the others do not
 * wait until it is through. */
START_TEST(uncounted_tenants_fill_their_batches) {
    enum { LIMIT = 10, SMALL = 40, OF_EACH = 6, LARGE = 33 };
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    for (int i = 0; i < SMALL * OF_EACH; i++)
        fixture_insert(&fixture, "logs", arena_printf(fixture.arena, "{'t': 'small%d', 'at': {'$date': {'$numberLong': '%lld'}}}", i % SMALL, (long long)(DAY(-i - 1) / 1000)));
    for (int i = 0; i < 2 * LARGE; i++)
        fixture_insert(&fixture, "logs", arena_printf(fixture.arena, "{'t': 'large%d', 'at': {'$date': {'$numberLong': '%lld'}}}", i % 2, (long long)(DAY(-i - 1) / 1000)));
    fixture_command(&fixture, "{'createIndexes': 'logs', 'indexes': [{'name': 'both', 'key': {'t': 1, 'at': 1}}]}");
    struct target *target = fixture_target(&fixture, "logs", "t", "at");
    fixture_start(&fixture);
    struct order order = fixture_purge(&fixture, target, fixture_rest(&fixture, "at", NEW_YEAR_US));
    const struct order *orders[] = {&order};
    struct pass *pass;
    const struct batch *batch;
    struct outcome outcome;
    int batches = 0, last_of[2] = {0};
    int64_t gone = 0;
    ck_assert(!mongo_driver.begin(fixture.store, orders, 1, NULL, &pass, &fixture.err));
    for (;; batches++) {
        ck_assert_msg(!mongo_driver.prepare(fixture.store, pass, LIMIT, fixture.arena, &batch, NULL, &fixture.err), "%s", fixture.err.text);
        if (!batch) break;
        ck_assert_int_le(batch->records, LIMIT);
        for (size_t i = 0; i < batch->n_tenants; i++) last_of[!strncmp(batch->tenants[i].tenant, "large", 5)] = batches;
        ck_assert(!mongo_driver.finish(fixture.store, pass, true, &outcome, &fixture.err));
        gone += outcome.records;
    }
    mongo_driver.end(fixture.store, pass);
    ck_assert_int_eq(gone, SMALL * OF_EACH + 2 * LARGE);
    ck_assert_msg(batches <= gone / LIMIT + 8, "%d batches", batches);
    ck_assert_int_lt(last_of[0], last_of[1]);
    fixture_close(&fixture);
}
END_TEST

/* In the index a decimal stands among the integers that it is equal to: before those that are younger. */
START_TEST(a_decimal_hides_no_integer) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    fixture_insert(&fixture, "logs", "{'_id': 1, 't': {'$numberDecimal': '7'}, 'at': {'$date': '2025-01-01T00:00:00Z'}}");
    fixture_insert(&fixture, "logs", "{'_id': 2, 't': 7, 'at': {'$date': '2025-02-01T00:00:00Z'}}");
    fixture_command(&fixture, "{'createIndexes': 'logs', 'indexes': [{'name': 'both', 'key': {'t': 1, 'at': 1}}]}");
    struct target *target = fixture_target(&fixture, "logs", "t", "at");
    fixture_start(&fixture);
    static const char *const seven[] = {"7", NULL};
    struct order listed = fixture_purge(&fixture, target, fixture_listed(&fixture, "at", NEW_YEAR_US, seven));
    struct order rest = fixture_purge(&fixture, target, fixture_rest(&fixture, "at", NEW_YEAR_US));
    ck_assert_int_eq(fixture_tally(&fixture, &listed).records, 1);
    ck_assert_int_eq(fixture_tally(&fixture, &rest).records, 1);
    ck_assert_int_eq(fixture_sweep(&fixture, &rest, 10).records, 1);
    ck_assert_int_eq(fixture_count(&fixture, "logs", "{'_id': 1}"), 1);
    ck_assert_int_eq(fixture_count(&fixture, "logs", "{'_id': 2}"), 0);
    fixture_close(&fixture);
}
END_TEST

UNIT_MAIN("mongo_fast", uncounted_tenants_fill_their_batches, a_decimal_hides_no_integer, an_index_gives_the_answer_of_reading_everything)
