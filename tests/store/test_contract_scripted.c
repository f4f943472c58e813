/* The contract suite against the scripted store, as a store with transactions and as one without: what the sweep's tests
 * rely on is what the real stores do. And that it follows its script. */
#include "contract.h"
#include "scripted.h"

#include "base/time.h"
#include "unit.h"

#include <pthread.h>

static bool irrevocable;

static void reset(void) {
    scripted_reset();
    scripted_irrevocable(irrevocable);
}

static bool put(int number, const char *tenant, int64_t anchor_us) {
    if (scripted_is_locked("records", number)) return false;
    scripted_put("records", number, tenant, anchor_us == ANCHOR_MISSING ? SCRIPTED_NO_ANCHOR : anchor_us);
    return true;
}

static bool has(int number, const char *tenant) {
    (void)tenant;
    return scripted_has("records", number);
}

static size_t size(void) { return scripted_size("records"); }

static struct store *opened(void) {
    static const struct store_conf conf = {.name = "main", .kind = STORE_SCRIPTED, .url = "scripted://main"};
    static const struct schedule schedule;
    const struct store_settings settings = {.conf = &conf, .schedule = &schedule};
    struct store *store;
    struct err err;
    scripted_reset();
    ck_assert_int_eq(scripted_driver.open(&settings, &store, &err), 0);
    return store;
}

START_TEST(the_nth_call_fails_as_the_script_says) {
    struct store *store = opened();
    struct err err;
    int64_t now_us;
    scripted_fail("other", SCRIPTED_PING, 1, ERR_REFUSED, false);
    scripted_fail(NULL, SCRIPTED_PING, 2, ERR_UNAVAILABLE, false);
    ck_assert_int_eq(scripted_driver.ping(store, &now_us, &err), 0);
    ck_assert_int_eq(scripted_driver.ping(store, &now_us, &err), -1);
    ck_assert_int_eq(err.code, ERR_UNAVAILABLE);
    ck_assert_int_eq(scripted_driver.ping(store, &now_us, &err), 0);
    ck_assert_uint_eq(scripted_calls(SCRIPTED_PING), 3);
    scripted_driver.close(store);
}
END_TEST

static void *ping(void *context) {
    struct err err;
    int64_t now_us;
    return scripted_driver.ping(context, &now_us, &err) == 0 ? context : NULL;
}

START_TEST(a_blocked_verb_waits_until_released_or_interrupted) {
    struct store *store = opened();
    for (int interrupt = 0; interrupt < 2; interrupt++) {
        pthread_t thread;
        void *answer = NULL;
        scripted_block(SCRIPTED_PING);
        ck_assert_int_eq(pthread_create(&thread, NULL, ping, store), 0);
        scripted_wait_blocked(SCRIPTED_PING);
        if (interrupt) scripted_driver.interrupt(store);
        else scripted_release(SCRIPTED_PING);
        ck_assert_int_eq(pthread_join(thread, &answer), 0);
        ck_assert_int_eq(answer != NULL, !interrupt);
        scripted_release(SCRIPTED_PING);
    }
    scripted_driver.close(store);
}
END_TEST

/* A batch of one record whose commit fails with the code. */
static enum settled commit_that_fails(enum err_code code, bool applied) {
    struct store *store = opened();
    static const struct rule rule = {.data = "Logs"};
    static const struct target target = {.rule = &rule, .name = "records", .since = "at"};
    static const struct keep keep = {.kind = KEEP_AGE, .period = {1, PERIOD_DAYS}};
    const struct order order = order_make(&target, ACTION_PURGE, &keep, (struct scope){.kind = SCOPE_REST, .anchor = "at", .cutoff_us = 100});
    const struct order *orders[] = {&order}, *failed;
    struct arena *arena = arena_new();
    const struct batch *batch;
    struct outcome outcome;
    struct pass *pass;
    struct err err;
    enum settled settled;
    scripted_put("records", 1, "a", 1);
    scripted_fail(NULL, SCRIPTED_COMMIT, 1, code, applied);
    ck_assert_int_eq(scripted_driver.begin(store, orders, 1, NULL, &pass, &err), 0);
    ck_assert_int_eq(scripted_driver.prepare(store, pass, 10, arena, &batch, &failed, &err), 0);
    ck_assert_int_eq(scripted_driver.finish(store, pass, true, &outcome, &err), -1);
    ck_assert_int_eq(err.code, code);
    ck_assert_int_eq(scripted_driver.settle(store, batch->transaction, batch->server, &settled, &err), 0);
    ck_assert_int_eq(scripted_has("records", 1), settled != SETTLED_COMMITTED);
    scripted_driver.end(store, pass);
    scripted_driver.close(store);
    arena_free(arena);
    return settled;
}

START_TEST(a_lost_commit_is_applied_or_not) {
    ck_assert_int_eq(commit_that_fails(ERR_UNKNOWN, true), SETTLED_COMMITTED);
    ck_assert_int_eq(commit_that_fails(ERR_UNKNOWN, false), SETTLED_ROLLED_BACK);
    ck_assert_int_eq(commit_that_fails(ERR_UNAVAILABLE, true), SETTLED_ROLLED_BACK);
}
END_TEST

int main(void) {
    struct fixture fixture = {
        .name = "contract: scripted, with transactions",
        .driver = &scripted_driver,
        .url = "scripted://main",
        .kind = TARGET_TABLE,
        .target = "records",
        .tenant = "tenant",
        .since = "at",
        .grain_us = 1,
        .settles = true,
        .reset = reset,
        .put = put,
        .has = has,
        .size = size,
    };
    const TTest *const script[] = {the_nth_call_fails_as_the_script_says, a_blocked_verb_waits_until_released_or_interrupted,
                                   a_lost_commit_is_applied_or_not};
    int failed = contract_run(&fixture);
    fixture.name = "contract: scripted, without transactions";
    fixture.irrevocable = irrevocable = true;
    fixture.settles = false;
    failed += contract_run(&fixture);
    failed += unit_run("scripted store", script, sizeof script / sizeof *script);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
