/* What replSetGetStatus says of replicas. */
#include "store/mongo_internal.h"
#include "unit.h"

static int64_t lag_of(const char *members) {
    char text[1024];
    (void)snprintf(text, sizeof text, "{'members': [%s]}", members);
    for (char *c = text; *c; c++)
        if (*c == '\'') *c = '"';
    bson_error_t error;
    bson_t *status = bson_new_from_json((const uint8_t *)text, -1, &error);
    ck_assert_msg(status != NULL, "%s", error.message);
    int64_t lag_us = mongo_replica_lag(status);
    bson_destroy(status);
    return lag_us;
}

#define MEMBER(state, second) "{'state': " #state ", 'optimeDate': {'$date': '2026-01-01T00:00:" #second "Z'}}"

START_TEST(the_replica_furthest_behind_counts) {
    ck_assert_int_eq(lag_of(MEMBER(1, 30)), PRESSURE_NONE);
    ck_assert_int_eq(lag_of(MEMBER(1, 30) "," MEMBER(2, 30)), 0);
    ck_assert_int_eq(lag_of(MEMBER(2, 28) "," MEMBER(1, 30) "," MEMBER(2, 19) "," MEMBER(2, 29)), 11000000);
    ck_assert_int_eq(lag_of(MEMBER(1, 30) "," MEMBER(3, 25)), 5000000);
    ck_assert_int_eq(lag_of(MEMBER(1, 30) "," MEMBER(2, 31)), 0); /* asked in between */
}
END_TEST

START_TEST(who_is_down_or_only_votes_does_not_count) {
    ck_assert_int_eq(lag_of(MEMBER(1, 30) ",{'state': 8, 'optimeDate': {'$date': '1970-01-01T00:00:00Z'}},{'state': 7}"), PRESSURE_NONE);
    ck_assert_int_eq(lag_of(MEMBER(1, 30) "," MEMBER(2, 28) ",{'state': 8, 'optimeDate': {'$date': '1970-01-01T00:00:00Z'}}"), 2000000);
    ck_assert_int_eq(lag_of(MEMBER(2, 28)), PRESSURE_NONE); /* no primary: nobody is behind one */
    ck_assert_int_eq(lag_of("1"), PRESSURE_NONE);
}
END_TEST

UNIT_MAIN("mongo_pressure", the_replica_furthest_behind_counts, who_is_down_or_only_votes_does_not_count)
