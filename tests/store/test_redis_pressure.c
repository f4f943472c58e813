/* How far replicas of a Redis server are behind. */
#include "redis_fixture.h"

#include "store/redis_internal.h"

START_TEST(the_slowest_replica_counts) {
    ck_assert_int_eq(redis_replica_lag("# Replication\r\nrole:master\r\nconnected_slaves:2\r\n"
                                       "slave0:ip=10.0.0.1,port=6379,state=online,offset=1,lag=1\r\n"
                                       "slave1:ip=10.0.0.2,port=6379,state=online,offset=1,lag=7\r\n"
                                       "slave2:ip=10.0.0.3,port=6379,state=send_bulk,offset=0,lag=90\r\nmaster_failover_state:no-failover\r\n"),
                     7 * TIME_SECOND_US);
    ck_assert_int_eq(redis_replica_lag("slave0:ip=10.0.0.1,port=6379,state=online,offset=1,lag=0"), 0);
    ck_assert_int_eq(redis_replica_lag("slave_expires_tracked_keys:0\r\nslave0:ip=1,port=1,state=wait_bgsave,offset=0,lag=3\r\n"), PRESSURE_NONE);
}
END_TEST

START_TEST(a_server_without_replicas_says_so) {
    (void)world_target("app:{tenant}:*", NULL, UNIT_NONE);
    ck_assert_ptr_null(world_open(NULL, ""));
    struct pressure pressure;
    ck_assert_int_eq(redis_driver.pressure(world.store, NULL, &pressure, &world.err), 0);
    ck_assert_int_eq(pressure.replica_lag_us, PRESSURE_NONE);
    ck_assert_int_eq(pressure.snapshot_age_us, PRESSURE_NONE);
    ck_assert_int_eq(pressure.lock_waits, PRESSURE_NONE);
    ck_assert(!pressure.query_says_wait);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {the_slowest_replica_counts, a_server_without_replicas_says_so};
    return redis_suite("Redis: replicas", tests, sizeof tests / sizeof *tests);
}
