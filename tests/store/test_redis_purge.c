/* What the Redis driver purges: keys, members of sorted sets, entries of streams. */
#include "redis_fixture.h"

static const long long NOON_MS = NOON_US / 1000, HOUR_MS = HOUR_US / 1000;

START_TEST(members_go_by_their_score) {
    struct target *target = world_target("usage:{tenant}", "score", UNIT_MILLISECONDS);
    ck_assert_ptr_null(world_open(NULL, "a b"));
    for (int i = -5; i <= 5; i++) admin("ZADD usage:a %lld m%d", NOON_MS + i, i);
    admin("ZADD usage:a -inf never 0 unset -5 before");
    admin("ZADD usage:b %lld future", NOON_MS + HOUR_MS);
    struct order order = world_order(target, ACTION_PURGE, NOON_US);
    ck_assert_int_eq(world_count(&order), 5);
    ck_assert_int_eq(world_run(&order, 2), 5);
    ck_assert_int_eq(admin("ZCARD usage:a"), 9);
    ck_assert_int_eq(world_undecidable(target, "since-empty"), 3);
    ck_assert_str_eq(admin_text("ZSCORE usage:a never"), "-inf");
    ck_assert_str_ne(admin_text("ZSCORE usage:a m0"), "");
    ck_assert_int_eq(admin("ZCARD usage:b"), 1);
    ck_assert_int_eq(world_undecidable(target, "since-future"), 6);
}
END_TEST

START_TEST(scores_in_seconds_may_have_fractions) {
    struct target *target = world_target("usage:{tenant}", "score", UNIT_SECONDS);
    ck_assert_ptr_null(world_open(NULL, "a"));
    admin("ZADD usage:a 1709294399.999999 before 1709294400 at");
    struct order order = world_order(target, ACTION_PURGE, NOON_US);
    ck_assert_int_eq(world_run(&order, 10), 1);
    ck_assert_str_eq(admin_text("ZSCORE usage:a at"), "1709294400");
}
END_TEST

START_TEST(a_member_that_became_newer_survives) {
    struct target *target = world_target("usage:{tenant}", "score", UNIT_MILLISECONDS);
    ck_assert_ptr_null(world_open(NULL, "a"));
    admin("ZADD usage:a 1 x 2 y 3 z");
    struct order order = world_order(target, ACTION_PURGE, NOON_US);
    const struct order *orders[] = {&order};
    const struct batch *batch;
    struct pass *pass = world_prepare(orders, 10, &batch);
    ck_assert_int_eq(batch->records, 3);
    ck_assert(batch->range);
    admin("ZADD usage:a %lld y", NOON_MS);
    ck_assert_int_eq(world_finish(pass), 2);
    redis_driver.end(world.store, pass);
    ck_assert_int_eq(admin("ZCARD usage:a"), 1);
}
END_TEST

START_TEST(entries_go_by_their_id) {
    struct target *target = world_target("log:{tenant}", "stream-id", UNIT_NONE);
    ck_assert_ptr_null(world_open(NULL, "a"));
    for (int i = 0; i < 2500; i++) admin("XADD log:a %lld-%d f v", NOON_MS - 1, i);
    admin("XADD log:a %lld-0 f v", NOON_MS);
    struct order order = world_order(target, ACTION_PURGE, NOON_US);
    ck_assert_int_eq(world_count(&order), 2500);
    ck_assert_int_eq(world_run(&order, 700), 2500);
    ck_assert_int_eq(admin("XLEN log:a"), 1);
}
END_TEST

static long long calls_of(const char *command) {
    char name[64];
    (void)snprintf(name, sizeof name, "cmdstat_%s:calls=", command);
    const char *at = strstr(admin_text("INFO commandstats"), name);
    return at ? strtoll(at + strlen(name), NULL, 10) : 0;
}

/* While a script runs nobody else is served: whatever a batch may hold, none destroys more than a thousand. */
START_TEST(a_large_set_goes_in_small_steps) {
    struct target *usage = world_target("usage:{tenant}", "score", UNIT_MILLISECONDS), *log = world_target("log:{tenant}", "stream-id", UNIT_NONE);
    ck_assert_ptr_null(world_open(NULL, "a"));
    admin("EVAL %s 0", "for i = 1, 50500 do redis.call('ZADD', 'usage:a', i, 'm' .. i) end return 1");
    admin("EVAL %s 0", "for i = 1, 5500 do redis.call('XADD', 'log:a', i .. '-1', 'f', 'v') end return 1");
    admin("ZADD usage:a %lld new", NOON_MS);
    struct order by_score = world_order(usage, ACTION_PURGE, NOON_US), by_id = world_order(log, ACTION_PURGE, NOON_US);
    const struct order *orders[] = {&by_score, &by_id};
    static const int64_t due[] = {50500, 5500};
    for (size_t i = 0; i < 2; i++) {
        const struct batch *batch;
        struct pass *pass = world_prepare(&orders[i], 100000, &batch);
        ck_assert_int_eq(batch->records, due[i]);
        long long before = calls_of("eval");
        ck_assert_int_eq(world_finish(pass), due[i]);
        ck_assert_int_eq(calls_of("eval") - before, (due[i] + 999) / 1000);
        redis_driver.end(world.store, pass);
    }
    ck_assert_int_eq(admin("ZCARD usage:a"), 1);
    ck_assert_int_eq(admin("XLEN log:a"), 0);
}
END_TEST

START_TEST(what_an_earlier_order_claims_is_not_touched) {
    struct target *target = world_target("log:{tenant}", "stream-id", UNIT_NONE);
    ck_assert_ptr_null(world_open(NULL, "a"));
    for (int i = 1; i <= 10; i++) admin("XADD log:a %lld-0 f v", NOON_MS + i * HOUR_MS);
    struct order order = world_end_order(target, "a");
    struct scope before = {.kind = SCOPE_REST, .anchor = "stream-id", .anchor_is_since = true, .cutoff_us = NOON_US + 5 * HOUR_US};
    order.before = &before;
    order.n_before = 1;
    ck_assert_int_eq(world_count(&order), 6);
    ck_assert_int_eq(world_run(&order, 4), 6);
    ck_assert_int_eq(admin("XLEN log:a"), 4);
}
END_TEST

START_TEST(a_tenants_end_takes_keys_of_every_type) {
    struct target *target = world_target("caas:{tenant}:*", NULL, UNIT_NONE);
    struct target *logs = world_target("log:{tenant}", "stream-id", UNIT_NONE);
    ck_assert_ptr_null(world_open(NULL, "a b"));
    admin("SET caas:a:s x");
    admin("RPUSH caas:a:l x");
    admin("SADD caas:a:e x");
    admin("HSET caas:a:h f x");
    admin("ZADD caas:a:z 1 x");
    admin("XADD caas:a:t * f x");
    admin("SET caas:b:s x");
    admin("XADD log:a 1-1 f x");
    admin("XGROUP CREATE log:a readers 0");
    struct order order = world_end_order(target, "a"), log = world_end_order(logs, "a");
    ck_assert_int_eq(world_run(&order, 4), 6);
    ck_assert_int_eq(world_run(&log, 4), 1);
    ck_assert_int_eq(admin("EXISTS log:a"), 0);
    ck_assert_int_eq(admin("DBSIZE"), 1);
}
END_TEST

START_TEST(a_key_that_could_be_two_tenants_is_nobodys) {
    struct target *target = world_target("caas:{tenant}:*", NULL, UNIT_NONE);
    ck_assert_ptr_null(world_open(NULL, "a a:b c"));
    admin("MSET caas:a:x 1 caas:a:b:x 1 caas:a:c:x 1 caas:c:x:y 1 caas::x 1 caas:gone:x 1");
    struct order order = world_end_order(target, "a a:b c");
    ck_assert_int_eq(world_count(&order), 3);
    ck_assert_int_eq(world_run(&order, 10), 3);
    ck_assert_int_eq(admin("EXISTS caas:a:b:x caas::x caas:gone:x"), 3);
    ck_assert_int_eq(world_undecidable(target, "tenant-ambiguous"), 1);
    ck_assert_int_eq(world_undecidable(target, "tenant-empty"), 1);
    ck_assert_int_eq(world_undecidable(target, "tenant-unknown"), 1);
}
END_TEST

START_TEST(a_prefix_is_not_a_tenant) {
    struct target *target = world_target("tenant:{tenant}", NULL, UNIT_NONE);
    ck_assert_ptr_null(world_open(NULL, "1 10 1*"));
    admin("MSET tenant:1 1 tenant:10 1 tenant:1* 1 Xtenant:1 1");
    struct order one = world_end_order(target, "1"), star = world_end_order(target, "1*");
    ck_assert_int_eq(world_run(&star, 10), 1);
    ck_assert_int_eq(world_run(&one, 10), 1);
    ck_assert_int_eq(admin("EXISTS tenant:10 Xtenant:1"), 2);
}
END_TEST

START_TEST(keys_are_bytes) {
    struct target *target = world_target("c[x]?:{tenant}:*", NULL, UNIT_NONE);
    ck_assert_ptr_null(world_open(NULL, "a"));
    admin("SET %b 1", "c[x]?:a:\n \0\xff", (size_t)11);
    admin("SET %b 1", "c[x]?:a\0:y", (size_t)10);
    admin("SET cx?:a:y 1");
    struct order order = world_end_order(target, "a");
    ck_assert_int_eq(world_run(&order, 10), 1);
    ck_assert_int_eq(admin("DBSIZE"), 2);
    ck_assert_int_eq(world_undecidable(target, "tenant-unknown"), 1);
}
END_TEST

START_TEST(a_day_in_a_key_is_over_at_its_end) {
    struct target *target = world_target("hits:{date:%Y%m%d}:*", "{date}", UNIT_NONE);
    ck_assert_ptr_null(world_open(NULL, ""));
    admin("MSET hits:20240228:/ 1 hits:20240229:/ 1 hits:20240301:/ 1 hits:20249999:/ 1");
    struct order noon = world_order(target, ACTION_PURGE, NOON_US), midnight = world_order(target, ACTION_PURGE, NOON_US - 12 * HOUR_US);
    ck_assert_int_eq(world_count(&noon), 2);
    ck_assert_int_eq(world_count(&midnight), 2);
    midnight.due.cutoff_us--;
    ck_assert_int_eq(world_count(&midnight), 1);
    ck_assert_int_eq(world_run(&noon, 10), 2);
    ck_assert_int_eq(admin("EXISTS hits:20240301:/ hits:20249999:/"), 2);
}
END_TEST

START_TEST(fields_are_read_in_their_unit_or_as_text) {
    struct target *target = world_target("s:{tenant}:*", "field:seen_at", UNIT_SECONDS);
    ck_assert_ptr_null(world_open(NULL, "a"));
    admin("HSET s:a:old seen_at %lld", NOON_US / TIME_SECOND_US - 1);
    admin("HSET s:a:text seen_at 2024-03-01T11:59:59Z");
    admin("HSET s:a:at seen_at %lld", NOON_US / TIME_SECOND_US);
    admin("HSET s:a:junk seen_at soon");
    admin("HSET s:a:empty seen_at %s", "");
    admin("HSET s:a:none name x");
    admin("HSET s:a:zero seen_at 0");
    admin("HSET s:a:minus seen_at -5");
    admin("SET s:a:string x");
    struct order order = world_order(target, ACTION_PURGE, NOON_US);
    ck_assert_int_eq(world_count(&order), 2);
    ck_assert_int_eq(world_run(&order, 10), 2);
    ck_assert_int_eq(admin("DBSIZE"), 7);
    ck_assert_int_eq(world_undecidable(target, "since-empty"), 4);
    ck_assert_int_eq(world_undecidable(target, "since-type"), 2);
}
END_TEST

START_TEST(one_scan_serves_many_orders_and_the_first_wins) {
    struct target *all = world_target("caas:{tenant}:*", NULL, UNIT_NONE), *sessions = world_target("caas:{tenant}:s:*", "field:at", UNIT_NONE);
    ck_assert_ptr_null(world_open(NULL, "a b"));
    admin("HSET caas:a:s:1 at 2024-01-01");
    admin("HSET caas:b:s:1 at 2024-01-01");
    admin("SET caas:a:x 1");
    struct order end = world_end_order(all, "a"), age = world_order(sessions, ACTION_PURGE, NOON_US);
    const struct order *orders[] = {&age, &end};
    struct tally tallies[2];
    ck_assert_int_eq(redis_driver.count(world.store, orders, 2, world.arena, tallies, &world.err), 0);
    ck_assert_int_eq(tallies[0].records, 2);
    ck_assert_int_eq(tallies[1].records, 1);
    ck_assert_int_eq(world_run(&age, 10) + world_run(&end, 10), 3);
}
END_TEST

START_TEST(a_large_keyspace_is_purged_in_batches) {
    struct target *target = world_target("caas:{tenant}:*", NULL, UNIT_NONE);
    ck_assert_ptr_null(world_open(NULL, "0 1 2 3"));
    admin("EVAL %s 0", "for i = 1, 20000 do redis.call('SET', 'caas:' .. (i % 4) .. ':' .. i, 'x') end return 1");
    struct order order = world_end_order(target, "0 2");
    ck_assert_int_eq(world_count(&order), 10000);
    ck_assert_int_eq(world_run(&order, 3000), 10000);
    ck_assert_int_eq(admin("DBSIZE"), 10000);
    ck_assert_int_eq(world_count(&order), 0);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {members_go_by_their_score, scores_in_seconds_may_have_fractions, a_member_that_became_newer_survives,
                                  entries_go_by_their_id, what_an_earlier_order_claims_is_not_touched, a_large_set_goes_in_small_steps, a_tenants_end_takes_keys_of_every_type,
                                  a_key_that_could_be_two_tenants_is_nobodys, a_prefix_is_not_a_tenant, keys_are_bytes,
                                  a_day_in_a_key_is_over_at_its_end, fields_are_read_in_their_unit_or_as_text,
                                  one_scan_serves_many_orders_and_the_first_wins, a_large_keyspace_is_purged_in_batches};
    return redis_suite("Redis: what goes", tests, sizeof tests / sizeof *tests);
}
