/* Redis: keys that must live although a pattern of another rule takes them in, and odd values. */
#include "redis_fixture.h"

#include "schedule/history.h"
#include "schedule/plan.h"
#include "store/redis_internal.h"

static const long long NOON_MS = NOON_US / 1000, HOUR_MS = HOUR_US / 1000;

static struct scope floor_of(const struct target *target) {
    return (struct scope){.kind = target->no_tenant ? SCOPE_WHOLE : SCOPE_REST, .of = target, .anchor = target->since, .anchor_is_since = true,
                          .cutoff_us = NOON_US};
}

START_TEST(a_wider_pattern_does_not_take_what_another_rule_keeps) {
    struct target *all = world_target("caas:{tenant}:*", NULL, UNIT_NONE);
    struct target *bills = world_target("caas:{tenant}:bill:*", "field:issued", UNIT_SECONDS);
    struct target *log = world_target("caas:{tenant}:log", "stream-id", UNIT_NONE);
    struct target *days = world_target("caas:{tenant}:day:{date}", "{date}", UNIT_NONE);
    ck_assert_ptr_null(world_open(NULL, "a"));
    admin("SET caas:a:x 1");
    admin("HSET caas:a:bill:old issued %lld", NOON_MS / 1000 - 1);
    admin("HSET caas:a:bill:new issued %lld", NOON_MS / 1000 + 1);
    admin("SET caas:a:bill:text 1");
    admin("XADD caas:a:log 1-1 f v");
    admin("SET caas:a:day:2024-02-29 1");
    admin("SET caas:a:day:2024-03-01 1");
    struct order order = world_end_order(all, "a");
    struct scope floors[] = {floor_of(bills), floor_of(log), floor_of(days)};
    order.floors = floors;
    order.n_floors = 3;
    ck_assert_int_eq(world_count(&order), 3);
    ck_assert_int_eq(world_run(&order, 10), 3);
    ck_assert_int_eq(admin("EXISTS caas:a:x caas:a:bill:old caas:a:day:2024-02-29"), 0);
    ck_assert_int_eq(admin("EXISTS caas:a:bill:new caas:a:bill:text caas:a:log caas:a:day:2024-03-01"), 4);
}
END_TEST

START_TEST(the_plan_holds_every_pattern_to_the_floors_of_its_store) {
    struct target *all = world_target("caas:{tenant}:*", "field:seen", UNIT_SECONDS);
    struct target *bills = world_target("caas:{tenant}:bill:*", "field:issued", UNIT_SECONDS);
    world.rules[bills->number].at_least = (struct period){7, PERIOD_YEARS};
    ck_assert_ptr_null(world_open(NULL, "a"));
    struct history *history;
    ck_assert_int_eq(history_load("/nonexistent", &history, &world.err), 0);
    const struct plan *plan = plan_make(world.arena, &world.schedule, world.tenants, history, NULL, 0, NULL, NOON_US);
    ck_assert_uint_eq(plan->n_orders, 2);
    ck_assert_ptr_eq(plan->orders[0].target, all);
    ck_assert_uint_eq(plan->orders[0].n_floors, 1);
    ck_assert_ptr_eq(plan->orders[0].floors[0].of, bills);
    history_free(history);
}
END_TEST

/* By "lapsectl approve --tenant a", while a former tenant "a:b" is held. */
START_TEST(what_could_be_a_held_tenants_does_not_go_with_anothers_approval) {
    (void)world_target("session:{tenant}:*", "field:seen", UNIT_SECONDS);
    ck_assert_ptr_null(world_open(NULL, "a"));
    admin("HSET session:a:x seen %lld", NOON_MS / 1000 - 3);
    admin("HSET session:a:b:c seen %lld", NOON_MS / 1000 - 3);
    struct hold hold = {.id = "h", .scope = HOLD_TENANT, .tenant = "a:b", .released_us = TIME_FOREVER};
    struct holds holds = {.items = &hold, .count = 1};
    struct history *history;
    ck_assert_int_eq(history_load("/nonexistent", &history, &world.err), 0);
    world.rules[0].keep = (struct keep[]){{.kind = KEEP_AGE, .period = {1, PERIOD_DAYS}}};
    world.rules[0].n_keep = 1;
    const struct plan *plan = plan_make(world.arena, &world.schedule, world.tenants, history, NULL, 0, &holds, NOON_US + 24 * HOUR_US);
    ck_assert_uint_eq(plan->n_orders, 1);
    const struct order *narrowed = plan_narrow(world.arena, &plan->orders[0], "a");
    ck_assert_int_eq(world_run(narrowed, 10), 1);
    ck_assert_int_eq(admin("EXISTS session:a:x"), 0);
    ck_assert_int_eq(admin("EXISTS session:a:b:c"), 1);
    history_free(history);
}
END_TEST

/* "b:c" may be the tenant, or "b" with the rest behind it; and a store without types knows no spelling. */
START_TEST(a_key_that_may_be_of_a_held_tenant_does_not_expire) {
    (void)world_target("session:{tenant}:*", NULL, UNIT_NONE);
    ck_assert_ptr_null(world_open(NULL, "a"));
    admin("SET session:b:c:x 1 EX 3600");
    admin("SET session:007:x 1 EX 3600");
    admin("SET session:8:x 1 EX 3600");
    struct hold items[] = {{.id = "h", .scope = HOLD_TENANT, .tenant = "b:c", .released_us = TIME_FOREVER}, {.id = "i", .scope = HOLD_TENANT, .tenant = "7", .released_us = TIME_FOREVER}};
    struct holds holds = {.items = items, .count = 2};
    struct kept kept;
    ck_assert(!redis_driver.keep(world.store, &holds, &kept, &world.err));
    ck_assert_int_eq(kept.kept, 2);
    ck_assert_int_gt(admin("PTTL session:8:x"), 0);
}
END_TEST

/* A reload took the rule away, or left it faulty: the hold stands. */
START_TEST(what_was_kept_stays_while_a_hold_does) {
    (void)world_target("session:{tenant}:*", NULL, UNIT_NONE);
    (void)world_target("other:{tenant}", NULL, UNIT_NONE);
    ck_assert_ptr_null(world_open(NULL, "a"));
    admin("SET session:a:x 1 EX 3600");
    struct hold hold = {.id = "h", .scope = HOLD_ALL, .released_us = TIME_FOREVER};
    struct holds holds = {.items = &hold, .count = 1}, none = {.count = 0};
    struct kept kept;
    ck_assert(!redis_driver.keep(world.store, &holds, &kept, &world.err));
    ck_assert_int_eq(kept.kept, 1);
    struct redis_bound *bound = &((struct redis_store *)(void *)world.store)->bound[0];
    bound->bad = true;
    ck_assert(!redis_driver.keep(world.store, &holds, &kept, &world.err));
    ck_assert_int_eq(admin("PTTL session:a:x"), -1);
    bound->bad = false;
    world.list[0] = world.list[1];
    ck_assert(!redis_driver.keep(world.store, &holds, &kept, &world.err));
    ck_assert_int_eq(admin("PTTL session:a:x"), -1);
    ck_assert(!redis_driver.keep(world.store, &none, &kept, &world.err));
    ck_assert_int_eq(kept.given_back, 1);
    ck_assert_int_gt(admin("PTTL session:a:x"), 0);
}
END_TEST

START_TEST(the_tenants_own_records_do_not_wait_for_what_another_rule_keeps) {
    struct target *all = world_target("caas:{tenant}:*", NULL, UNIT_NONE);
    struct target *bills = world_target("caas:{tenant}:bill:*", "field:issued", UNIT_SECONDS);
    world.rules[bills->number].at_least = (struct period){7, PERIOD_YEARS};
    ck_assert_ptr_null(world_open(NULL, "a b"));
    admin("HSET caas:a:bill:new issued %lld", NOON_MS / 1000 + 1);
    admin("SET caas:b:x 1");
    struct scope_tenant both[] = {{"a", TIME_FOREVER, NOON_US}, {"b", TIME_FOREVER, NOON_US}};
    struct order order = order_any(all, both, 2);
    const struct order *orders[] = {&order};
    struct tally tally;
    ck_assert(!redis_driver.probe(world.store, orders, 1, world.arena, &tally, &world.err));
    ck_assert_uint_eq(tally.n_tenants, 1);
    ck_assert_str_eq(tally.tenants[0].tenant, "b");
}
END_TEST

START_TEST(a_floor_is_read_in_its_own_unit) {
    struct target *closed = world_target("bill:{tenant}:*", "field:closed_ms", UNIT_MILLISECONDS);
    struct target *issued = world_target("bill:{tenant}:*", "field:issued_s", UNIT_SECONDS);
    ck_assert_ptr_null(world_open(NULL, "a"));
    admin("HSET bill:a:1 closed_ms %lld issued_s %lld", NOON_MS - HOUR_MS, NOON_MS / 1000 + 1);
    admin("HSET bill:a:2 closed_ms %lld issued_s %lld", NOON_MS - HOUR_MS, NOON_MS / 1000 - 1);
    struct order order = world_order(closed, ACTION_PURGE, NOON_US);
    struct scope floor = floor_of(issued);
    order.floors = &floor;
    order.n_floors = 1;
    ck_assert_int_eq(world_run(&order, 10), 1);
    ck_assert_int_eq(admin("EXISTS bill:a:1"), 1);
}
END_TEST

START_TEST(a_score_of_two_units_lets_nothing_go) {
    struct target *target = world_target("usage:{tenant}", "score", UNIT_MILLISECONDS);
    struct target *other = world_target("usage:{tenant}", "score", UNIT_SECONDS);
    ck_assert_ptr_null(world_open(NULL, "a"));
    admin("ZADD usage:a 1 x");
    struct order order = world_order(target, ACTION_PURGE, NOON_US);
    struct scope floor = floor_of(other);
    order.floors = &floor;
    order.n_floors = 1;
    ck_assert_int_eq(world_run(&order, 10), 0);
    ck_assert_int_eq(admin("ZCARD usage:a"), 1);
}
END_TEST

START_TEST(a_time_beyond_all_times_is_not_the_past) {
    struct target *target = world_target("session:{tenant}", "field:seen", UNIT_MILLISECONDS);
    ck_assert_ptr_null(world_open(NULL, "a"));
    admin("HSET session:a seen 9223372036854775.9");
    struct order order = world_order(target, ACTION_PURGE, NOON_US);
    ck_assert_int_eq(world_run(&order, 10), 0);
    ck_assert_int_eq(world_undecidable(target, "since-type"), 1);
}
END_TEST

START_TEST(a_field_of_zero_is_not_set) {
    struct target *target = world_target("ticket:{tenant}:*", "field:deleted_at", UNIT_SECONDS);
    ck_assert_ptr_null(world_open(NULL, "a"));
    admin("HSET ticket:a:live deleted_at 0");
    admin("HSET ticket:a:gone deleted_at 1");
    struct order order = world_order(target, ACTION_PURGE, NOON_US);
    ck_assert_int_eq(world_run(&order, 10), 1);
    ck_assert_int_eq(admin("EXISTS ticket:a:live"), 1);
    ck_assert_int_eq(world_undecidable(target, "since-empty"), 1);
}
END_TEST

/* Names that a glob, a line or a C string would misread. */
START_TEST(keys_are_bytes) {
    struct target *target = world_target("log:{tenant}:*", NULL, UNIT_NONE);
    ck_assert_ptr_null(world_open(NULL, "1 10 a*b a?b [ab]"));
    static const char *const due[] = {"log:1:x", "log:1:\n", "log:1:", "log:1:\xff\xfe", "log:a*b:x", "log:[ab]:x"};
    static const char *const live[] = {"log:10:x", "log:a?b:x", "log:a:x", "log:axb:x", "xlog:1:x", "log:11:x", "log:\n1:x"};
    for (size_t i = 0; i < sizeof due / sizeof *due; i++) admin_words(3, (const char *[]){"SET", due[i], "v"});
    for (size_t i = 0; i < sizeof live / sizeof *live; i++) admin_words(3, (const char *[]){"SET", live[i], "v"});
    admin("SET %b v", "log:1\0:x", (size_t)8);
    struct order order = world_end_order(target, "1 [ab] a*b");
    ck_assert_int_eq(world_count(&order), 6);
    ck_assert_int_eq(world_run(&order, 4), 6);
    for (size_t i = 0; i < sizeof live / sizeof *live; i++) ck_assert_int_eq(admin("EXISTS %s", live[i]), 1);
    ck_assert_int_eq(admin("EXISTS %b", "log:1\0:x", (size_t)8), 1);
}
END_TEST

START_TEST(a_hundred_thousand_keys_of_one_tenant_go_in_batches) {
    struct target *target = world_target("caas:{tenant}:*", NULL, UNIT_NONE);
    ck_assert_ptr_null(world_open(NULL, "a b"));
    admin("EVAL %s 0", "for i = 1, 100000 do redis.call('SET', 'caas:a:' .. i, i) end return 1");
    admin("SET caas:b:x 1");
    struct order order = world_end_order(target, "a");
    ck_assert_int_eq(world_run(&order, 5000), 100000);
    ck_assert_int_eq(admin("DBSIZE"), 1);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {a_key_that_may_be_of_a_held_tenant_does_not_expire, a_wider_pattern_does_not_take_what_another_rule_keeps, the_plan_holds_every_pattern_to_the_floors_of_its_store,
                                  what_could_be_a_held_tenants_does_not_go_with_anothers_approval,
          what_was_kept_stays_while_a_hold_does,
          the_tenants_own_records_do_not_wait_for_what_another_rule_keeps, a_floor_is_read_in_its_own_unit,
                                  a_score_of_two_units_lets_nothing_go, a_time_beyond_all_times_is_not_the_past, a_field_of_zero_is_not_set, keys_are_bytes,
                                  a_hundred_thousand_keys_of_one_tenant_go_in_batches};
    return redis_suite("redis_review", tests, sizeof tests / sizeof *tests);
}
