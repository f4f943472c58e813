/* The throttle: what counts as too much, and that a sweep waits for it, says so and goes on. */
#include "stage.h"
#include "sweep/throttle.h"

#define SECONDS(n) ((n) * TIME_SECOND_US)

/* ---- judging ---- */

static const struct throttle_limits limits = {.replica_lag_us = SECONDS(10), .snapshot_age_us = SECONDS(3600), .lock_waits = 5};

static void assert_judged(const struct throttle_limits *by, struct pressure pressure, const char *code, const char *why, bool blind) {
    struct buf text = {0};
    bool is_blind;
    const char *judged = throttle_judge(by, "main", &pressure, &is_blind, &text);
    ck_assert_msg(text_equal(judged, code), "%s instead of %s", judged ? judged : "nothing", code ? code : "nothing");
    ck_assert_str_eq(buf_text(&text), why);
    ck_assert(is_blind == blind);
    buf_free(&text);
}

START_TEST(what_is_above_its_limit_is_too_much) {
    assert_judged(&limits, (struct pressure){.replica_lag_us = SECONDS(10), .snapshot_age_us = SECONDS(3600), .lock_waits = 5}, NULL, "", false);
    assert_judged(&limits, (struct pressure){.replica_lag_us = SECONDS(14)}, "replica-lag",
                  "the lag of a replica of \"main\" is 14 s, more than throttle.replica_lag = 10 s", false);
    assert_judged(&limits, (struct pressure){.snapshot_age_us = SECONDS(7200)}, "old-snapshot",
                  "the age of the oldest snapshot in \"main\" is 2 h 0 min, more than throttle.snapshot_age = 1 h 0 min", false);
    assert_judged(&limits, (struct pressure){.lock_waits = 6}, "lock-waits",
                  "6 sessions wait for locks in \"main\", more than throttle.lock_waits = 5", false);
    assert_judged(&limits, (struct pressure){.query_says_wait = true}, "throttle-query",
                  "throttle.query says that a sweep should wait in \"main\"", false);
}
END_TEST

START_TEST(a_limit_of_zero_is_one) {
    const struct throttle_limits none = {0};
    assert_judged(&none, (struct pressure){0}, NULL, "", false);
    assert_judged(&none, (struct pressure){.replica_lag_us = PRESSURE_NONE, .snapshot_age_us = PRESSURE_NONE, .lock_waits = PRESSURE_NONE}, NULL, "", false);
    assert_judged(&none, (struct pressure){.lock_waits = 1}, "lock-waits", "1 sessions wait for locks in \"main\", more than throttle.lock_waits = 0", false);
}
END_TEST

START_TEST(what_may_not_be_read_counts_where_it_is_configured) {
    struct throttle_limits configured = limits;
    configured.configured = true;
    const struct pressure lag = {.replica_lag_us = PRESSURE_UNREADABLE}, snapshot = {.snapshot_age_us = PRESSURE_UNREADABLE};
    assert_judged(&limits, lag, NULL, "", false);
    assert_judged(&limits, snapshot, NULL, "", false);
    assert_judged(&configured, lag, "throttle-unreadable", "how others fare in \"main\" may not be read; lapsectl grants prints the missing right", true);
    assert_judged(&configured, snapshot, "throttle-unreadable", "how others fare in \"main\" may not be read; lapsectl grants prints the missing right", true);
}
END_TEST

/* ---- in a sweep ---- */

static bool a_lane_waits(void) { return engine.vetoes.waiters != NULL; }

static void open_logs(void) {
    open_all(HEAD LOGS " );");
    schedule->settings.batch_rows = 10;
    schedule->settings.throttle.every_us = 300000;
    tenant("a", -1);
    for (int i = 0; i < 100; i++) scripted_put("logs", i, "a", now_us - 400 * TIME_DAY_US);
}

/* Waits where nothing is destroyed, with this code in the journal afterwards, and goes on by itself. */
static void assert_waits(struct sweep *sweep, size_t left, const char *code, void (*relieve)(void)) {
    run_until(a_lane_waits);
    ck_assert_uint_eq(scripted_size("logs"), left);
    ck_assert_uint_eq(scripted_calls(SCRIPTED_PREPARE), scripted_calls(SCRIPTED_COMMIT));
    ck_assert_str_eq(veto_on(&engine, "main")->code, code);
    relieve();
    finish(sweep);
    ck_assert_uint_eq(scripted_size("logs"), 0);
    char text[64];
    (void)snprintf(text, sizeof text, "\"store\":\"main\",\"code\":\"%s\"", code);
    ck_assert_int_ge(journal_has(text), 1);
    ck_assert(!seen.ended_early && !veto_on(&engine, "main"));
}

static void nobody_suffers(void) { scripted_pressure((struct pressure){0}); }

START_TEST(the_first_batch_waits_for_a_lagging_replica) {
    open_logs();
    scripted_pressure((struct pressure){.replica_lag_us = SECONDS(60)});
    assert_waits(begin(), 100, "replica-lag", nobody_suffers);
    close_all();
}
END_TEST

START_TEST(a_later_batch_waits_for_an_old_snapshot) {
    open_logs();
    scripted_block(SCRIPTED_COMMIT);
    struct sweep *sweep = begin();
    run_until_blocked(SCRIPTED_COMMIT);
    scripted_pressure((struct pressure){.snapshot_age_us = SECONDS(7200)});
    while (!veto_on(&engine, "main")) ev_run(engine.loop, EVRUN_ONCE);
    scripted_release(SCRIPTED_COMMIT);
    assert_waits(sweep, 90, "old-snapshot", nobody_suffers);
    close_all();
}
END_TEST

START_TEST(the_schedules_own_query_is_asked) {
    open_logs();
    scripted_pressure((struct pressure){.query_says_wait = true});
    schedule->settings.throttle.query = "SELECT true";
    assert_waits(begin(), 100, "throttle-query", nobody_suffers);
    close_all();
}
END_TEST

START_TEST(a_right_that_is_revoked_stops_it) {
    open_logs();
    schedule->settings.throttle.configured = true;
    scripted_pressure((struct pressure){.replica_lag_us = PRESSURE_UNREADABLE});
    assert_waits(begin(), 100, "throttle-unreadable", nobody_suffers);
    close_all();
}
END_TEST

static void nothing(void) {}

START_TEST(a_collector_that_fails_stops_it_until_it_answers) {
    open_logs();
    scripted_fail("main", SCRIPTED_PRESSURE, 1, ERR_CONFIG, false);
    assert_waits(begin(), 100, "throttle-failed", nothing);
    close_all();
}
END_TEST

static void answer(void) { scripted_release(SCRIPTED_PRESSURE); }

START_TEST(a_collector_that_hangs_stops_it) {
    open_logs();
    scripted_block(SCRIPTED_COMMIT);
    struct sweep *sweep = begin();
    run_until_blocked(SCRIPTED_COMMIT);
    scripted_block(SCRIPTED_PRESSURE);
    while (!veto_on(&engine, "main")) ev_run(engine.loop, EVRUN_ONCE);
    scripted_release(SCRIPTED_COMMIT);
    assert_waits(sweep, 90, "throttle-failed", answer);
    close_all();
}
END_TEST

START_TEST(once_does_not_wait_for_a_right) {
    open_logs();
    trigger = "once";
    schedule->settings.throttle.configured = true;
    scripted_pressure((struct pressure){.replica_lag_us = PRESSURE_UNREADABLE});
    sweep_once();
    ck_assert(seen.ended_early);
    ck_assert_uint_eq(scripted_size("logs"), 100);
    close_all();
}
END_TEST

static void on_later(struct ev_loop *loop, struct ev_timer *timer, int events) {
    (void)timer, (void)events;
    ev_break(loop, EVBREAK_ALL);
}

START_TEST(nothing_is_asked_between_sweeps) {
    open_logs();
    sweep_once();
    unsigned calls = scripted_calls(SCRIPTED_PRESSURE);
    ck_assert_uint_ge(calls, 2); /* two stores */
    ck_assert(!veto_on(&engine, "main"));
    struct ev_timer later;
    ev_timer_init(&later, on_later, .7, 0.); /* for two questions */
    ev_timer_start(engine.loop, &later);
    (void)ev_run(engine.loop, 0);
    ck_assert_uint_eq(scripted_calls(SCRIPTED_PRESSURE), calls);
    close_all();
}
END_TEST

UNIT_MAIN("throttle", what_is_above_its_limit_is_too_much, a_limit_of_zero_is_one, what_may_not_be_read_counts_where_it_is_configured,
          the_first_batch_waits_for_a_lagging_replica, a_later_batch_waits_for_an_old_snapshot, the_schedules_own_query_is_asked,
          a_right_that_is_revoked_stops_it, a_collector_that_fails_stops_it_until_it_answers, a_collector_that_hangs_stops_it,
          once_does_not_wait_for_a_right, nothing_is_asked_between_sweeps)
