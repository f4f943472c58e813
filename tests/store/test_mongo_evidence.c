/* The leaves of MongoDB's batches are exactly the documents that went, dependents included, whatever their _id is. */
#include "store/mongo_fixture.h"

#include "leaves.h"

#define OLD "{'$date': '2025-12-31T00:00:00Z'}"
#define YOUNG "{'$date': '2026-01-02T00:00:00Z'}"

static const char *const anna[] = {"anna", NULL};

START_TEST(ids_of_every_type_have_their_name) {
    struct fixture fixture;
    fixture_open(&fixture, REPLICA_SET);
    static const char *const ids[] = {"'a \\\\ b'", "7", "{'$numberLong': '8589934592'}", "9.0", "1.5", "{'$oid': '507f1f77bcf86cd799439011'}",
                                      "{'$uuid': '73ffd264-44b3-4c69-90e8-e7d1dfc035d4'}", "{'a': 'x', 'b': {'$numberInt': '1'}}", "{'$date': {'$numberLong': '1'}}"};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        fixture_insert(&fixture, "tickets", arena_printf(fixture.arena, "{'_id': %s, 't': 'anna', 'at': " OLD "}", ids[i]));
    fixture_insert(&fixture, "tickets", "{'_id': 70, 't': 'anna', 'at': " YOUNG "}");
    struct target *target = fixture_target(&fixture, "tickets", "t", "at");
    fixture_start(&fixture);
    struct order order = fixture_purge(&fixture, target, fixture_listed(&fixture, "at", NEW_YEAR_US, anna));
    ck_assert_int_eq(fixture_sweep(&fixture, &order, 4).records, 9);
    leaves_expect((const char *const[]){
        "[\"docs\",\"tickets\",\"a \\\\ b\"]", "[\"docs\",\"tickets\",{\"$numberLong\":\"7\"}]", "[\"docs\",\"tickets\",{\"$numberLong\":\"8589934592\"}]",
        "[\"docs\",\"tickets\",{\"$numberLong\":\"9\"}]", "[\"docs\",\"tickets\",{\"$numberDouble\":\"1.5\"}]",
        "[\"docs\",\"tickets\",{\"$oid\":\"507f1f77bcf86cd799439011\"}]", "[\"docs\",\"tickets\",{\"$uuid\":\"73ffd264-44b3-4c69-90e8-e7d1dfc035d4\"}]",
        "[\"docs\",\"tickets\",{\"a\":\"x\",\"b\":{\"$numberInt\":\"1\"}}]", "[\"docs\",\"tickets\",{\"$date\":{\"$numberLong\":\"1\"}}]", NULL});
    fixture_close(&fixture);
}
END_TEST

START_TEST(dependents_have_leaves_under_their_own_collection) {
    struct fixture fixture;
    static const struct dependent comments = {.join = {.child_table = "comments", .child_columns = {"ticketId"}, .n_columns = 1}};
    fixture_open(&fixture, REPLICA_SET);
    fixture_insert(&fixture, "tickets", "{'_id': 'a', 't': 'anna', 'at': " OLD "}");
    fixture_insert(&fixture, "tickets", "{'_id': 'b', 't': 'anna', 'at': " YOUNG "}");
    for (int i = 0; i < 3; i++) fixture_insert(&fixture, "comments", arena_printf(fixture.arena, "{'_id': 'c%d', 'ticketId': '%c'}", i, i < 2 ? 'a' : 'b'));
    struct target *target = fixture_target(&fixture, "tickets", "t", "at");
    target->dependents = &comments;
    target->n_dependents = 1;
    fixture_start(&fixture);
    struct order order = fixture_purge(&fixture, target, fixture_listed(&fixture, "at", NEW_YEAR_US, anna));
    ck_assert_int_eq(fixture_sweep(&fixture, &order, 2).dependents, 2); /* drained: all three are too many at once */
    leaves_expect((const char *const[]){"[\"docs\",\"tickets\",\"a\"]", "[\"docs\",\"comments\",\"c0\"]", "[\"docs\",\"comments\",\"c1\"]", NULL});
    fixture_close(&fixture);
}
END_TEST

UNIT_MAIN("mongo_evidence", ids_of_every_type_have_their_name, dependents_have_leaves_under_their_own_collection)
