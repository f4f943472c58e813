/* The leaves of Redis' batches are the keys that were listed whole; members are a range. */
#include "redis_fixture.h"

#include "leaves.h"

START_TEST(keys_have_leaves_and_members_none) {
    struct target *sessions = world_target("session:{tenant}:*", "field:at", UNIT_SECONDS), *usage = world_target("usage:{tenant}", "score", UNIT_SECONDS);
    ck_assert_ptr_null(world_open(NULL, "a"));
    admin("HSET session:a:old at 1");
    admin("HSET session:a:young at 1709294400");
    admin_words(4, (const char *[]){"HSET", "session:a:\xff", "at", "1"});
    admin("ZADD usage:a 1 x 2 y");
    struct order order = world_order(sessions, ACTION_PURGE, NOON_US), members = world_order(usage, ACTION_PURGE, NOON_US);
    ck_assert_int_eq(world_run(&order, 10), 2);
    leaves_expect((const char *const[]){"[\"cache\",\"session:{tenant}:*\",\"session:a:old\"]",
                                        "[\"cache\",\"session:{tenant}:*\",{\"$hex\":\"73657373696f6e3a613aff\"}]", NULL});
    ck_assert_int_eq(world_run(&members, 10), 2);
    leaves_expect((const char *const[]){NULL});
}
END_TEST

int main(void) {
    const TTest *const tests[] = {keys_have_leaves_and_members_none};
    return redis_suite("redis_evidence", tests, sizeof tests / sizeof *tests);
}
