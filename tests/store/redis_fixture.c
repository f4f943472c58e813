#include "redis_fixture.h"

#include "leaves.h"

#include "contract.h"

#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <stdio.h>

struct redis_world world;

static const struct keep keep_age = {.kind = KEEP_AGE, .period = {12, PERIOD_MONTHS}, .tenant_end = -1};
static const struct keep keep_end = {.kind = KEEP_END, .period = {30, PERIOD_DAYS}, .end = "subscription", .tenant_end = 0};

/* --- the administrator --------------------------------------------------------------------------------------------- */

static redisContext *connection(void) {
    static redisContext *made;
    char password[200], host[200];
    int port;
    if (made) return made;
    ck_assert_int_eq(sscanf(contract_variable("LAPSED_TEST_REDIS_ADMIN"), "redis://%*[^:]:%199[^@]@%199[^:]:%d", password, host, &port), 3);
    made = redisConnect(host, port);
    ck_assert(made && !made->err);
    freeReplyObject(redisCommand(made, "AUTH %s", password));
    return made;
}

static redisReply *ask(const char *format, va_list arguments) {
    redisReply *reply = redisvCommand(connection(), format, arguments);
    ck_assert_ptr_nonnull(reply);
    ck_assert_msg(reply->type != REDIS_REPLY_ERROR, "%s: %s", format, reply->str);
    return reply;
}

long long admin(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = ask(format, arguments);
    va_end(arguments);
    long long number = reply->type == REDIS_REPLY_INTEGER ? reply->integer : -1;
    freeReplyObject(reply);
    return number;
}

const char *admin_text(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = ask(format, arguments);
    va_end(arguments);
    const char *text = arena_strndup(world.arena, reply->str ? reply->str : "", reply->str ? reply->len : 0);
    freeReplyObject(reply);
    return text;
}

void admin_words(int count, const char **words) {
    redisReply *reply = redisCommandArgv(connection(), count, words, NULL);
    ck_assert(reply && reply->type != REDIS_REPLY_ERROR);
    freeReplyObject(reply);
}

/* --- the world ----------------------------------------------------------------------------------------------------- */

void world_set_up(void) {
    memset(&world, 0, sizeof world);
    world.arena = arena_new();
    world.conf = (struct store_conf){.name = "cache", .kind = STORE_REDIS};
    world.schedule = (struct schedule){
        .stores = &world.conf, .n_stores = 1, .rules = world.rules, .targets = world.list, .has_tenants = true,
        .tenants = {.ends = {"subscription"}, .n_ends = 1}, .settings = {.batch_rows = 1000, .statement_timeout_us = 5 * TIME_SECOND_US}};
    admin("FLUSHALL");
}

void world_tear_down(void) {
    if (world.store) redis_driver.close(world.store);
    tenants_free(world.tenants);
    arena_free(world.arena);
}

struct target *world_target(const char *pattern, const char *since, enum since_unit unit) {
    size_t number = world.schedule.n_targets++;
    world.schedule.n_rules++;
    ck_assert_uint_lt(number, MOST_FIXTURE_TARGETS);
    struct target *target = &world.targets[number];
    *target = (struct target){.rule = &world.rules[number], .number = number, .store = &world.conf, .kind = TARGET_KEYS, .name = pattern,
                              .tenant_in_name = strstr(pattern, "{tenant}") != NULL, .no_tenant = !strstr(pattern, "{tenant}"), .since = since, .unit = unit,
                              .place = {"schedule.conf", (unsigned)number + 1}};
    world.rules[number] = (struct rule){.number = number, .data = "Rule", .basis = "test", .keep = since ? &keep_age : &keep_end, .n_keep = 1,
                                        .targets = target, .n_targets = 1};
    world.list[number] = target;
    return target;
}

static void know(const char *id) {
    struct tenant_row row = {.id = id};
    for (size_t i = 0; i < MOST_ENDS; i++) row.ends[i] = TIME_FOREVER;
    ck_assert_int_eq(tenants_add(world.tenants, &row, &world.err), 0);
}

static size_t split(const char *text, const char **ret_words, size_t most) {
    size_t count = 0;
    for (const char *at = text; *at; at += strspn(at, " ")) {
        size_t length = strcspn(at, " ");
        ck_assert_uint_lt(count, most);
        ret_words[count++] = arena_strndup(world.arena, at, length);
        at += length;
    }
    return count;
}

const char *world_open(const char *user, const char *ids) {
    const char *words[64], *url = contract_variable("LAPSED_TEST_REDIS");
    if (user) url = arena_printf(world.arena, "redis://%s@%s", user, strchr(url, '@') + 1);
    world.conf.url = url;
    world.tenants = tenants_new(&world.schedule);
    size_t n_words = split(ids, words, 64);
    for (size_t i = 0; i < n_words; i++) know(words[i]);
    tenants_finish(world.tenants);
    struct store_settings settings = {.conf = &world.conf, .schedule = &world.schedule, .password = contract_variable("LAPSED_TEST_PASSWORD"),
                                      .pseudonym_key = (const unsigned char *)"0123456789abcdef0123456789abcdef",
                                      .evidence_key = LEAVES_KEY};
    ck_assert_msg(redis_driver.open(&settings, &world.store, &world.err) == 0, "%s", world.err.text);
    bool bad[MOST_FIXTURE_TARGETS] = {false};
    struct faults faults = {.arena = world.arena};
    ck_assert_msg(redis_driver.check(world.store, &faults, bad, &world.err) == 0, "%s", world.err.text);
    redis_driver.know(world.store, world.tenants);
    return faults.count > 0 ? faults.items[0].text : NULL;
}

/* --- orders -------------------------------------------------------------------------------------------------------- */

struct order world_order(const struct target *target, enum action action, int64_t cutoff_us) {
    return order_make(target, action, &keep_age,
                      (struct scope){.kind = target->no_tenant ? SCOPE_WHOLE : SCOPE_REST, .anchor = target->since, .anchor_is_since = true, .cutoff_us = cutoff_us});
}

struct order world_end_order(const struct target *target, const char *ids) {
    const char *words[64];
    size_t count = split(ids, words, 64);
    struct scope_tenant *listed = ARENA_ARRAY(world.arena, struct scope_tenant, count);
    for (size_t i = 0; i < count; i++) listed[i] = (struct scope_tenant){.id = words[i], .cutoff_us = TIME_FOREVER, .end_us = NOON_US};
    return order_make(target, ACTION_PURGE, &keep_end, (struct scope){.kind = SCOPE_LISTED, .tenants = listed, .n_tenants = count});
}

int64_t world_count(const struct order *order) {
    struct tally tally;
    ck_assert_msg(redis_driver.count(world.store, &order, 1, world.arena, &tally, &world.err) == 0, "%s", world.err.text);
    return tally.records;
}

struct pass *world_prepare(const struct order *const *order, size_t limit, const struct batch **ret_batch) {
    struct pass *pass;
    const struct order *failed;
    ck_assert_msg(redis_driver.begin(world.store, order, 1, NULL, &pass, &world.err) == 0, "%s", world.err.text);
    ck_assert_msg(redis_driver.prepare(world.store, pass, limit, world.arena, ret_batch, &failed, &world.err) == 0, "%s", world.err.text);
    return pass;
}

int64_t world_finish(struct pass *pass) {
    struct outcome outcome;
    ck_assert_msg(redis_driver.finish(world.store, pass, true, &outcome, &world.err) == 0, "%s", world.err.text);
    return outcome.records;
}

int64_t world_run(const struct order *order, size_t limit) {
    const struct batch *batch;
    const struct order *failed;
    struct pass *pass = world_prepare(&order, limit, &batch);
    int64_t gone = 0;
    leaves_clear();
    while (batch) {
        leaves_add(batch);
        ck_assert_int_le(batch->records, (int64_t)limit);
        gone += world_finish(pass);
        ck_assert_msg(redis_driver.prepare(world.store, pass, limit, world.arena, &batch, &failed, &world.err) == 0, "%s", world.err.text);
    }
    redis_driver.end(world.store, pass);
    return gone;
}

int64_t world_undecidable(const struct target *target, const char *code) {
    const struct undecidable *items;
    size_t n_items;
    ck_assert_msg(redis_driver.undecidable(world.store, target, NOON_US, world.arena, &items, &n_items, &world.err) == 0, "%s", world.err.text);
    for (size_t i = 0; i < n_items; i++) {
        if (strcmp(items[i].code, code) == 0) return items[i].count;
    }
    return 0;
}

int redis_suite(const char *name, const TTest *const *tests, size_t count) { return redis_suite_seeded(name, tests, count, NULL, 0); }

int redis_suite_seeded(const char *name, const TTest *const *tests, size_t count, const TTest *seeded, int seeds) {
    (void)contract_variable("LAPSED_TEST_REDIS");
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    tcase_add_checked_fixture(tcase, world_set_up, world_tear_down);
    tcase_set_timeout(tcase, 60);
    for (size_t i = 0; i < count; i++) tcase_add_test(tcase, tests[i]);
    if (seeded) tcase_add_loop_test(tcase, seeded, 0, seeds);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
