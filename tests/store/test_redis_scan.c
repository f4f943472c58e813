/* The pass over the keyspace: one for everybody, begun again where its connection broke, and with the answer that looking at
 * each key by itself gives. */
#include "redis_fixture.h"

#include <stdlib.h>

static long long scans(void) {
    const char *at = strstr(admin_text("INFO commandstats"), "cmdstat_scan:calls=");
    return at ? strtoll(strchr(at, '=') + 1, NULL, 10) : 0;
}

START_TEST(one_scan_tells_what_is_due_and_what_is_undecidable) {
    struct target *ended = world_target("app:{tenant}:*", NULL, UNIT_NONE);
    struct target *logs = world_target("log:{tenant}", "field:at", UNIT_SECONDS);
    ck_assert_ptr_null(world_open(NULL, "a b"));
    admin("MSET app:a:1 x app:b:1 x app:unknown:1 x log:b x");
    admin("HSET log:a at 1");
    struct order first = world_end_order(ended, "a"), second = world_order(logs, ACTION_PURGE, NOON_US);
    const struct order *orders[] = {&first, &second};
    struct tally tallies[2];
    long long before = scans();
    redis_driver.foresee(world.store, NOON_US);
    ck_assert_int_eq(redis_driver.count(world.store, orders, 2, world.arena, tallies, &world.err), 0);
    ck_assert_int_eq(tallies[0].records, 1);
    ck_assert_int_eq(tallies[1].records, 1);
    ck_assert_int_eq(world_undecidable(ended, "tenant-unknown"), 1);
    ck_assert_int_eq(world_undecidable(logs, "since-type"), 1);
    ck_assert_int_eq(scans() - before, 1);
    /* Asked again it is looked at again: for both. */
    admin("SET app:unknown:2 x");
    admin("DEL log:b");
    ck_assert_int_eq(world_undecidable(ended, "tenant-unknown"), 2);
    ck_assert_int_eq(world_undecidable(logs, "since-type"), 0);
    ck_assert_int_eq(scans() - before, 2);
}
END_TEST

/* What went with a count was read anyhow; asked for by itself it has its time. */
START_TEST(a_survey_by_itself_has_a_budget) {
    struct target *target = world_target("app:{tenant}:*", NULL, UNIT_NONE);
    ck_assert_ptr_null(world_open(NULL, "a"));
    admin("EVAL %s 0", "for i = 1, 20000 do redis.call('SET', 'app:unknown:' .. i, 'x') end return 1");
    world.schedule.settings.survey_budget_us = 1;
    int64_t seen = world_undecidable(target, "tenant-unknown");
    ck_assert(seen > 0 && seen < 20000);
    ck_assert_int_eq(world_undecidable(target, "survey-sampled"), 1);
    world.schedule.settings.survey_budget_us = 3600 * TIME_SECOND_US;
    ck_assert_int_eq(world_undecidable(target, "tenant-unknown"), 20000);
    ck_assert_int_eq(world_undecidable(target, "survey-sampled"), 0);
}
END_TEST

/* The rest of a pass whose connection is cut now and then; how many went. */
static int64_t run_with_cuts(struct pass *pass, const struct batch *batch, size_t limit, int every) {
    int64_t gone = 0;
    const struct order *failed;
    int failures = 0;
    for (int step = 1; batch || failures; step++) {
        struct outcome outcome = {0};
        if (step % every == 0) admin("CLIENT KILL TYPE normal SKIPME yes");
        if (batch && redis_driver.finish(world.store, pass, true, &outcome, &world.err) < 0) ck_assert_int_eq(world.err.code, ERR_UNKNOWN);
        gone += outcome.records;
        failures = redis_driver.prepare(world.store, pass, limit, world.arena, &batch, &failed, &world.err) < 0;
        if (!failures) continue;
        ck_assert_int_eq(world.err.code, ERR_UNAVAILABLE);
        batch = NULL;
    }
    return gone;
}

START_TEST(a_broken_connection_begins_the_scan_again) {
    struct target *target = world_target("app:{tenant}:*", NULL, UNIT_NONE);
    ck_assert_ptr_null(world_open(NULL, "0 1 2 3"));
    admin("EVAL %s 0", "for i = 1, 20000 do redis.call('SET', 'app:' .. (i % 4) .. ':' .. i, 'x') end return 1");
    struct order order = world_end_order(target, "0 2");
    const struct order *orders[] = {&order};
    const struct batch *batch;
    long long before = scans();
    struct pass *pass = world_prepare(orders, 700, &batch);
    (void)run_with_cuts(pass, batch, 700, 5);
    redis_driver.end(world.store, pass);
    /* A batch that was being destroyed when the answer was lost may have stayed: another pass is for those. */
    ck_assert_int_le(world_count(&order), 3 * 700);
    ck_assert_int_gt(scans() - before, 20); /* 20,000 keys in one go are fewer */
    (void)world_run(&order, 700);
    ck_assert_int_eq(world_count(&order), 0);
    ck_assert_int_eq(admin("DBSIZE"), 10000);
}
END_TEST

START_TEST(of_many_tenants_each_has_its_own_cutoff) {
    enum { LISTED = 100, OTHERS = 10 };
    struct target *target = world_target("log:{tenant}", "field:at", UNIT_SECONDS);
    ck_assert_ptr_null(world_open(NULL, "a"));
    struct scope_tenant listed[LISTED];
    for (int i = 0; i < LISTED; i++) {
        int64_t cutoff_us = i % 10 == 9 ? TIME_NEVER : NOON_US - i * HOUR_US;
        listed[i] = (struct scope_tenant){.id = arena_printf(world.arena, "t%03d", i), .cutoff_us = cutoff_us, .end_us = TIME_FOREVER};
        admin("HSET log:%s at %lld", listed[i].id, (NOON_US - i * HOUR_US) / TIME_SECOND_US - i % 2); /* the odd ones are due */
    }
    for (int i = 0; i < OTHERS; i++) admin("HSET log:u%d at %lld", i, NOON_US / TIME_SECOND_US - 1);
    struct order order = world_order(target, ACTION_PURGE, NOON_US);
    order.due.tenants = listed;
    order.due.n_tenants = LISTED;
    int64_t due = LISTED / 2 - LISTED / 10;
    ck_assert_int_eq(world_count(&order), due + OTHERS);
    order.due.kind = SCOPE_LISTED;
    ck_assert_int_eq(world_count(&order), due);
    ck_assert_int_eq(world_run(&order, 7), due);
    ck_assert_int_eq(admin("DBSIZE"), LISTED + OTHERS - due);
    for (int i = 0; i < LISTED; i++) ck_assert_int_eq(admin("EXISTS log:%s", listed[i].id), i % 2 == 0 || i % 10 == 9);
}
END_TEST

START_TEST(a_count_tells_how_many_keys_a_pattern_has) {
    struct target *app = world_target("app:{tenant}:*", NULL, UNIT_NONE), *usage = world_target("usage:{tenant}", "score", UNIT_SECONDS);
    ck_assert_ptr_null(world_open(NULL, "a b"));
    admin("MSET app:a:1 x app:a:2 x app:b:1 x app:gone:1 x other x");
    admin("ZADD usage:a 1 x");
    struct order order = world_end_order(app, "a");
    int64_t records;
    ck_assert_int_eq(redis_driver.size(world.store, app, 1000, world.arena, &records, &world.err), 0);
    ck_assert_int_eq(records, -1);
    (void)world_count(&order);
    ck_assert_int_eq(redis_driver.size(world.store, app, 1000, world.arena, &records, &world.err), 0);
    ck_assert_int_eq(records, 4);
    ck_assert_int_eq(redis_driver.size(world.store, app, 3, world.arena, &records, &world.err), 0);
    ck_assert_int_eq(records, 3);
    order = world_order(usage, ACTION_PURGE, NOON_US);
    (void)world_count(&order);
    ck_assert_int_eq(redis_driver.size(world.store, usage, 1000, world.arena, &records, &world.err), 0);
    ck_assert_int_eq(records, -1);
}
END_TEST

/* ---- behind a count ---- */

static int64_t count_and_remember(const struct order *const *orders, size_t n_orders) {
    struct tally tallies[MOST_FIXTURE_TARGETS];
    int64_t records = 0;
    redis_driver.remember(world.store, true);
    ck_assert_int_eq(redis_driver.count(world.store, orders, n_orders, world.arena, tallies, &world.err), 0);
    for (size_t i = 0; i < n_orders; i++) records += tallies[i].records;
    return records;
}

START_TEST(a_pass_behind_a_count_does_not_read_all_keys_again) {
    struct target *target = world_target("app:{tenant}:*", NULL, UNIT_NONE);
    ck_assert_ptr_null(world_open(NULL, "0 1 2 3"));
    admin("EVAL %s 0", "for i = 1, 20000 do redis.call('SET', 'app:' .. (i % 4) .. ':' .. i, 'x') end return 1");
    struct order order = world_end_order(target, "0 2");
    const struct order *orders[] = {&order};
    ck_assert_int_eq(count_and_remember(orders, 1), 10000);
    admin("SET app:2:late x");
    long long before = scans();
    ck_assert_int_eq(world_run(&order, 700), 10000);
    ck_assert_int_eq(scans() - before, 0);
    ck_assert_int_eq(admin("EXISTS app:2:late"), 1);
    /* The next pass looks for itself. */
    ck_assert_int_eq(world_run(&order, 700), 1);
    ck_assert_int_gt(scans() - before, 0);
    ck_assert_int_eq(admin("DBSIZE"), 10000);
}
END_TEST

START_TEST(what_a_count_found_is_judged_again) {
    struct target *app = world_target("app:{tenant}:*", NULL, UNIT_NONE), *hash = world_target("hash:{tenant}", "field:at", UNIT_SECONDS);
    struct target *usage = world_target("usage:{tenant}", "score", UNIT_SECONDS);
    ck_assert_ptr_null(world_open(NULL, "a b c"));
    admin("MSET app:a:1 x app:a:2 x app:a:3 x");
    static const char *const ids[] = {"a", "b", "c"};
    for (size_t i = 0; i < 3; i++) {
        admin("HSET hash:%s at 1", ids[i]);
        admin("ZADD usage:%s 1 x 2 y", ids[i]);
    }
    struct order ended = world_end_order(app, "a"), by_field = world_order(hash, ACTION_PURGE, NOON_US), by_score = world_order(usage, ACTION_PURGE, NOON_US);
    const struct order *orders[] = {&ended, &by_field, &by_score};
    ck_assert_int_eq(count_and_remember(orders, 3), 12);
    admin("DEL app:a:2 hash:b usage:a");
    admin("HSET hash:c at %lld", NOON_US / TIME_SECOND_US);
    admin("ZADD usage:b %lld x", NOON_US / TIME_SECOND_US);
    long long before = scans();
    struct pass *pass;
    const struct batch *batch;
    const struct order *failed;
    int64_t said = 0, gone = 0;
    ck_assert_int_eq(redis_driver.begin(world.store, orders, 3, NULL, &pass, &world.err), 0);
    for (;;) {
        ck_assert_int_eq(redis_driver.prepare(world.store, pass, 100, world.arena, &batch, &failed, &world.err), 0);
        if (!batch) break;
        said += batch->records;
        gone += world_finish(pass);
    }
    redis_driver.end(world.store, pass);
    ck_assert_int_eq(said, 6); /* app:a:1, app:a:3, hash:a, y of usage:b, both of usage:c */
    ck_assert_int_eq(gone, 6);
    ck_assert_int_eq(scans() - before, 0);
    ck_assert_int_eq(admin("EXISTS hash:c usage:b"), 2);
    ck_assert_int_eq(admin("DBSIZE"), 2);
}
END_TEST

START_TEST(other_orders_than_the_counted_ones_look_for_themselves) {
    struct target *app = world_target("app:{tenant}:*", NULL, UNIT_NONE);
    ck_assert_ptr_null(world_open(NULL, "a b"));
    admin("MSET app:a:1 x app:b:1 x");
    struct order counted = world_end_order(app, "a"), other = world_end_order(app, "a b");
    const struct order *orders[] = {&counted};
    ck_assert_int_eq(count_and_remember(orders, 1), 1);
    ck_assert_int_eq(world_run(&other, 10), 2);
    /* What is not wanted any more is not kept. */
    admin("SET app:a:1 x");
    ck_assert_int_eq(count_and_remember(orders, 1), 1);
    admin("SET app:a:2 x");
    redis_driver.remember(world.store, false);
    ck_assert_int_eq(world_run(&counted, 10), 2);
}
END_TEST

START_TEST(of_more_than_there_is_room_for_nothing_is_missed) {
    struct target *app = world_target("app:{tenant}:*", NULL, UNIT_NONE);
    ck_assert_ptr_null(world_open(NULL, "a b"));
    admin("EVAL %s 0", "for i = 1, 18000 do redis.call('SET', 'app:a:' .. string.rep('x', 1000) .. i, '') end return 1");
    admin("SET app:b:1 x");
    struct order order = world_end_order(app, "a");
    const struct order *orders[] = {&order};
    ck_assert_int_eq(count_and_remember(orders, 1), 18000);
    long long before = scans();
    ck_assert_int_eq(world_run(&order, 5000), 18000);
    ck_assert_int_gt(scans() - before, 0);
    ck_assert_int_eq(admin("DBSIZE"), 1);
}
END_TEST

START_TEST(a_broken_connection_leaves_doubt) {
    struct target *app = world_target("app:{tenant}:*", NULL, UNIT_NONE);
    ck_assert_ptr_null(world_open(NULL, "a"));
    admin("MSET app:a:1 x app:a:2 x app:a:3 x");
    struct order order = world_end_order(app, "a");
    const struct order *orders[] = {&order};
    ck_assert_int_eq(count_and_remember(orders, 1), 3);
    const struct batch *batch;
    const struct order *failed;
    struct outcome outcome;
    struct pass *pass = world_prepare(orders, 1, &batch);
    ck_assert_int_eq(redis_driver.finish(world.store, pass, true, &outcome, &world.err), 0);
    ck_assert(!outcome.doubtful);
    admin("CLIENT KILL TYPE normal SKIPME yes");
    /* Of a page that was read already nothing need be asked: the batch itself meets the broken connection. */
    for (int tries = 0; tries < 4; tries++) {
        ck_assert_int_lt(tries, 3);
        if (redis_driver.prepare(world.store, pass, 1, world.arena, &batch, &failed, &world.err) < 0) continue;
        if (redis_driver.finish(world.store, pass, true, &outcome, &world.err) == 0) break;
    }
    ck_assert(outcome.doubtful);
    redis_driver.end(world.store, pass);
}
END_TEST

/* ---- random keys ---- */

enum { N_KEYS = 3000, N_TENANTS = 5 };
static const char *const TENANTS[N_TENANTS] = {"a", "a:b", "b", "c", "gone"}; /* "gone" is in no list */

struct random_key {
    char name[64];
    bool due; /* as looking at this key alone says */
    int kind;
};

static int64_t random_instant(void) { return NOON_US + (int64_t)(lrand48() % 200 - 100) * HOUR_US; }

/* Readings of "TENANT:rest" with a known tenant; -1: two. */
static int owner_of(const char *rest) {
    int owner = N_TENANTS;
    for (int i = 0; i < N_TENANTS - 1; i++) {
        size_t length = strlen(TENANTS[i]);
        if (strncmp(rest, TENANTS[i], length) != 0 || rest[length] != ':') continue;
        if (owner != N_TENANTS) return -1;
        owner = i;
    }
    return owner;
}

/* app: by the tenant's end; hash: by a field; day: by its name. */
static void make_key(struct random_key *key, int number, const int64_t *cutoffs, const bool *ended) {
    const char *tenant = TENANTS[lrand48() % N_TENANTS];
    int64_t at_us = random_instant() / TIME_SECOND_US * TIME_SECOND_US;
    struct random_key made = {.kind = (int)(lrand48() % 3)};
    char rest[48];
    (void)snprintf(rest, sizeof rest, "%s:%s%d", tenant, lrand48() % 3 ? "" : "b:", number);
    int owner = owner_of(rest);
    int64_t cutoff_us = owner < 0 ? TIME_NEVER : cutoffs[owner];
    if (made.kind == 0) {
        (void)snprintf(made.name, sizeof made.name, "app:%s", rest);
        made.due = owner >= 0 && owner < N_TENANTS && ended[owner];
        admin("SET %s x", made.name);
    } else if (made.kind == 1) {
        bool no_hash = lrand48() % 10 == 0, unset = lrand48() % 10 == 0;
        (void)snprintf(made.name, sizeof made.name, "hash:%s", rest);
        if (no_hash) admin("SET %s x", made.name);
        else admin("HSET %s at %lld", made.name, unset ? 0LL : (long long)(at_us / TIME_SECOND_US));
        made.due = !no_hash && !unset && at_us < cutoff_us;
    } else {
        int day = 1 + (int)(lrand48() % 5); /* March 2024; noon is on the first */
        (void)snprintf(made.name, sizeof made.name, "day:2024-03-%02d:%s", day, rest);
        made.due = NOON_US + 12 * HOUR_US + (day - 1) * 24 * HOUR_US - 1 < cutoff_us;
        admin("SET %s x", made.name);
    }
    *key = made;
}

/* Everybody's cutoff, and in `except` those that have one of their own. */
static struct order order_with(const struct target *target, const int64_t *cutoffs, struct scope_tenant *except) {
    struct order order = world_order(target, ACTION_PURGE, cutoffs[N_TENANTS]);
    for (int i = 0; i < N_TENANTS - 1; i++) except[i] = (struct scope_tenant){.id = TENANTS[i], .cutoff_us = cutoffs[i], .end_us = TIME_FOREVER};
    order.due.tenants = except;
    order.due.n_tenants = N_TENANTS - 1;
    return order;
}

START_TEST(a_pass_gives_the_answer_of_each_key_by_itself) {
    srand48(_i + 1);
    struct target *app = world_target("app:{tenant}:*", NULL, UNIT_NONE), *hash = world_target("hash:{tenant}:*", "field:at", UNIT_SECONDS);
    struct target *day = world_target("day:{date}:{tenant}:*", "{date}", UNIT_NONE);
    ck_assert_ptr_null(world_open(NULL, "a a:b b c"));
    int64_t cutoffs[N_TENANTS + 1];
    bool ended[N_TENANTS] = {false};
    char list[32] = "";
    for (int i = 0; i <= N_TENANTS; i++) cutoffs[i] = lrand48() % 4 ? random_instant() : TIME_NEVER;
    cutoffs[N_TENANTS] = cutoffs[4] = random_instant();
    ended[lrand48() % 4] = ended[lrand48() % 4] = true;
    for (int i = 0; i < N_TENANTS; i++)
        if (ended[i]) (void)snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", *list ? " " : "", TENANTS[i]);
    static struct random_key keys[N_KEYS];
    int64_t due[3] = {0};
    for (int i = 0; i < N_KEYS; i++) {
        make_key(&keys[i], i, cutoffs, ended);
        due[keys[i].kind] += keys[i].due;
    }
    struct scope_tenant except[N_TENANTS];
    struct order orders[] = {world_end_order(app, list), order_with(hash, cutoffs, except), order_with(day, cutoffs, except)};
    const struct order *pointers[] = {&orders[0], &orders[1], &orders[2]};
    for (int i = 0; i < 3; i++) ck_assert_int_eq(world_count(&orders[i]), due[i]);
    bool remembered = _i % 2;
    if (remembered) ck_assert_int_eq(count_and_remember(pointers, 3), due[0] + due[1] + due[2]);
    long long before = scans();

    struct pass *pass;
    const struct batch *batch;
    const struct order *failed;
    size_t limit = 1 + (size_t)(lrand48() % 300);
    ck_assert_int_eq(redis_driver.begin(world.store, pointers, 3, NULL, &pass, &world.err), 0);
    ck_assert_int_eq(redis_driver.prepare(world.store, pass, limit, world.arena, &batch, &failed, &world.err), 0);
    ck_assert_int_eq(run_with_cuts(pass, batch, limit, 1000000), due[0] + due[1] + due[2]);
    redis_driver.end(world.store, pass);
    ck_assert_int_eq(scans() == before, remembered);
    for (int i = 0; i < N_KEYS; i++)
        ck_assert_msg(admin("EXISTS %s", keys[i].name) == !keys[i].due, "%s was %sdue", keys[i].name, keys[i].due ? "" : "not ");
    for (int i = 0; i < 3; i++) ck_assert_int_eq(world_count(&orders[i]), 0);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {one_scan_tells_what_is_due_and_what_is_undecidable, a_survey_by_itself_has_a_budget, a_broken_connection_begins_the_scan_again, of_many_tenants_each_has_its_own_cutoff, a_count_tells_how_many_keys_a_pattern_has,
                                  a_pass_behind_a_count_does_not_read_all_keys_again, what_a_count_found_is_judged_again,
                                  other_orders_than_the_counted_ones_look_for_themselves, of_more_than_there_is_room_for_nothing_is_missed,
                                  a_broken_connection_leaves_doubt};
    return redis_suite_seeded("Redis: the scan", tests, sizeof tests / sizeof *tests, a_pass_gives_the_answer_of_each_key_by_itself, 12);
}
