/* The sweep against the scripted store: what is destroyed, in which sequence, and what faults may not do. */
#include "stage.h"
#include "sweep/settle.h"

#include "sweep/clock.h"
#include "sweep/limit.h"
#include "sweep/sweep_internal.h"

#include <signal.h>
#include <sys/resource.h>

START_TEST(what_is_due_goes_and_nothing_else) {
    open_all(HEAD LOGS ", " CONTENT " );");
    tenant("a", 31);
    tenant("b", 29);
    tenant("c", -1);
    for (int i = 0; i < 3000; i++) scripted_put("logs", i, i % 2 ? "a" : "gone", now_us - (i % 3 ? 366 : 364) * TIME_DAY_US);
    for (int i = 0; i < 30; i++) scripted_put("content", i, i % 3 == 0 ? "a" : i % 3 == 1 ? "b" : "c", SCRIPTED_NO_ANCHOR);
    scripted_put("logs", 9000, "c", SCRIPTED_NO_ANCHOR);
    sweep_once();
    ck_assert_uint_eq(scripted_size("logs"), 1001);
    ck_assert_uint_eq(scripted_size("content"), 20);
    for (int i = 0; i < 3000; i++) ck_assert_int_eq(scripted_has("logs", i), i % 3 == 0);
    ck_assert_int_eq(rules[0].purged, 2000);
    ck_assert_int_eq(rules[1].purged, 10);
    ck_assert(!seen.waits && !seen.ended_early && !seen.faulty && !rules[0].left && !rules[1].left);
    ck_assert_int_eq(journal_has("\"event\":\"intent\""), journal_has("\"outcome\":\"committed\""));
    ck_assert_int_eq(journal_has("\"event\":\"sweep-end\""), 1);
    int intents = journal_has("\"event\":\"intent\"");
    sweep_once();
    ck_assert_int_eq(journal_has("\"event\":\"intent\""), intents);
    close_all();
}
END_TEST

/* With one record that is due, until its store waits in this verb. */
static struct sweep *begin_with_one(const char *text, enum scripted_verb verb) {
    open_all(text);
    tenant("a", -1);
    scripted_put("logs", 1, "a", now_us - 400 * TIME_DAY_US);
    scripted_block(verb);
    struct sweep *sweep = begin();
    run_until_blocked(verb);
    return sweep;
}

START_TEST(the_intent_is_on_disk_before_the_commit) {
    struct sweep *sweep = begin_with_one(HEAD LOGS " );", SCRIPTED_COMMIT);
    ck_assert_int_eq(journal_has("\"event\":\"intent\""), 1);
    ck_assert_int_eq(journal_has("\"event\":\"outcome\""), 0);
    ck_assert(scripted_has("logs", 1) || scripted_is_locked("logs", 1));
    scripted_release(SCRIPTED_COMMIT);
    finish(sweep);
    ck_assert_int_eq(journal_has("\"outcome\":\"committed\""), 1);
    ck_assert(!scripted_has("logs", 1));
    close_all();
}
END_TEST

START_TEST(an_intent_that_cannot_be_written_destroys_nothing) {
    (void)signal(SIGXFSZ, SIG_IGN);
    struct sweep *sweep = begin_with_one(HEAD LOGS " );", SCRIPTED_PREPARE);
    const struct rlimit nothing = {0, RLIM_INFINITY}, all = {RLIM_INFINITY, RLIM_INFINITY};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &nothing), 0);
    scripted_release(SCRIPTED_PREPARE);
    finish(sweep);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &all), 0);
    ck_assert(seen.journal_failed);
    ck_assert_uint_eq(scripted_calls(SCRIPTED_COMMIT), 0);
    ck_assert(scripted_has("logs", 1) && !scripted_is_locked("logs", 1));
    /* The disk has room again: the next sweep does it. */
    sweep_once();
    ck_assert(!seen.journal_failed && !scripted_has("logs", 1));
    close_all();
}
END_TEST

START_TEST(a_tenant_that_resumes_in_mid_purge_keeps_what_is_left) {
    open_all(HEAD CONTENT " );");
    tenant("a", 31);
    tenant("b", 31);
    for (int i = 0; i < 10; i++) scripted_put("content", i, i % 2 ? "a" : "b", SCRIPTED_NO_ANCHOR);
    scripted_block(SCRIPTED_PREPARE);
    struct sweep *sweep = begin();
    run_until_blocked(SCRIPTED_PREPARE);
    tenant("a", -1);
    scripted_release(SCRIPTED_PREPARE);
    finish(sweep);
    ck_assert_uint_eq(scripted_size("content"), 5);
    for (int i = 0; i < 10; i++) ck_assert_int_eq(scripted_has("content", i), i % 2);
    ck_assert_ptr_nonnull(strstr(finding_codes, "tenant-resumed"));
    close_all();
}
END_TEST

START_TEST(one_failing_target_does_not_stop_the_others) {
    open_all(HEAD LOGS ", { data = \"Events\"; keep = \"12 months\"; basis = \"b\"; targets = ( { store = \"main\"; collection = \"events\"; tenant = \"t\"; since = \"at\"; } ); } );");
    tenant("a", -1);
    scripted_put("logs", 1, "a", now_us - 400 * TIME_DAY_US);
    scripted_put("events", 2, "a", now_us - 400 * TIME_DAY_US);
    scripted_fail("main", SCRIPTED_PREPARE, 1, ERR_REFUSED, false);
    sweep_once();
    ck_assert(scripted_has("logs", 1) && !scripted_has("events", 2));
    ck_assert(seen.waits && rules[0].left == 1);
    ck_assert_ptr_nonnull(strstr(finding_codes, "target-failed"));
    sweep_once();
    ck_assert(!scripted_has("logs", 1) && !seen.waits);
    close_all();
}
END_TEST

/* The question for all fails, and the one for the first alone. */
START_TEST(one_target_that_cannot_be_counted_costs_itself_alone) {
    open_all(HEAD LOGS ", { data = \"Events\"; keep = \"12 months\"; basis = \"b\"; targets = ( { store = \"main\"; collection = \"events\"; tenant = \"t\"; since = \"at\"; } ); } );");
    tenant("a", -1);
    scripted_put("events", 2, "a", now_us - 400 * TIME_DAY_US);
    scripted_block_record("events", 2, "references");
    scripted_fail("main", SCRIPTED_COUNT, 1, ERR_REFUSED, false);
    scripted_fail("main", SCRIPTED_COUNT, 2, ERR_REFUSED, false);
    sweep_once();
    ck_assert(seen.waits && rules[0].left == -1 && rules[1].left == 0 && rules[1].blocked == 1);
    ck_assert_str_eq(finding_codes, "target-failed ");
    scripted_fail("main", SCRIPTED_COUNT, 1, ERR_UNAVAILABLE, false); /* that is the store's */
    sweep_once();
    ck_assert(rules[0].left == -1 && rules[1].left == -1);
    ck_assert_str_eq(finding_codes, "store-down ");
    sweep_once();
    ck_assert(!seen.waits && rules[0].left == 0 && rules[1].left == 0);
    close_all();
}
END_TEST

/* The server answers that it takes too long: that is no store that is down. */
START_TEST(one_target_that_takes_too_long_to_count_costs_itself_alone) {
    open_all(HEAD LOGS ", { data = \"Events\"; keep = \"12 months\"; basis = \"b\"; targets = ( { store = \"main\"; collection = \"events\"; tenant = \"t\"; since = \"at\"; } ); } );");
    tenant("a", -1);
    scripted_put("logs", 1, "a", now_us - 400 * TIME_DAY_US); /* goes: what is left is counted anew */
    scripted_put("events", 2, "a", now_us - 400 * TIME_DAY_US);
    scripted_block_record("events", 2, "references");
    scripted_time_out("main", SCRIPTED_COUNT, 2);
    scripted_time_out("main", SCRIPTED_COUNT, 3);
    sweep_once();
    ck_assert(seen.waits && rules[0].left == -1 && rules[1].left == 0 && rules[1].blocked == 1);
    ck_assert_str_eq(finding_codes, "target-failed ");
    close_all();
}
END_TEST

START_TEST(what_passes_by_itself_is_tried_again) {
    open_all(HEAD LOGS " );");
    tenant("a", -1);
    scripted_put("logs", 1, "a", now_us - 400 * TIME_DAY_US);
    scripted_fail("main", SCRIPTED_PREPARE, 1, ERR_UNAVAILABLE, false);
    scripted_fail("main", SCRIPTED_COMMIT, 1, ERR_UNAVAILABLE, false);
    sweep_once();
    ck_assert(!scripted_has("logs", 1) && !seen.waits);
    ck_assert_int_eq(journal_has("\"outcome\":\"rolled-back\""), 1);
    ck_assert_int_eq(journal_has("\"outcome\":\"committed\""), 1);
    close_all();
}
END_TEST

/* The first sweep asks what became of the batch, or (where the question fails, too) the next one does. */
static void lose_the_answer(bool applied, bool question_fails, const char *result) {
    open_all(HEAD LOGS " );");
    tenant("a", -1);
    scripted_put("logs", 1, "a", now_us - 400 * TIME_DAY_US);
    scripted_fail("main", SCRIPTED_COMMIT, 1, ERR_UNKNOWN, applied);
    if (question_fails) scripted_fail("main", SCRIPTED_SETTLE, 1, ERR_REFUSED, false);
    sweep_once();
    ck_assert_int_eq(journal_has("\"outcome\":\"unknown\""), 1);
    if (question_fails) {
        ck_assert(seen.waits && scripted_has("logs", 1) != applied && engine.unsettled);
        ck_assert_int_eq(journal_has("\"outcome\":\"settled\""), 0);
        sweep_once();
    } else {
        ck_assert_int_eq(rules[0].purged, 1);
    }
    char text[64];
    (void)snprintf(text, sizeof text, "\"outcome\":\"settled\",\"result\":\"%s\"", result);
    ck_assert_int_eq(journal_has(text), 1);
    ck_assert(!scripted_has("logs", 1) && !seen.waits && !engine.unsettled);
    ck_assert_int_eq(journal_has("\"event\":\"intent\""), applied ? 1 : 2);
    close_all();
}

static bool nothing_is_unsettled(void) { return !engine.unsettled && !settle_is_under_way(&engine); }

/* Who waits for a hold, or has paused everything, is not kept waiting until the next sweep. */
START_TEST(what_is_unsettled_is_asked_between_sweeps) {
    open_all(HEAD LOGS " );");
    tenant("a", -1);
    scripted_put("logs", 1, "a", now_us - 400 * TIME_DAY_US);
    scripted_fail("main", SCRIPTED_COMMIT, 1, ERR_UNKNOWN, true);
    scripted_fail("main", SCRIPTED_SETTLE, 1, ERR_REFUSED, false);
    sweep_once();
    ck_assert(engine.unsettled && !settle_is_under_way(&engine));
    scripted_fail("main", SCRIPTED_SETTLE, 1, ERR_REFUSED, false);
    settle_ask(&engine);
    ck_assert(settle_is_under_way(&engine));
    while (settle_is_under_way(&engine)) ev_run(engine.loop, EVRUN_ONCE);
    ck_assert_ptr_nonnull(engine.unsettled); /* the store does not say */
    settle_ask(&engine);
    ck_assert(!settle_is_under_way(&engine)); /* it was asked a moment ago */
    engine.settle_asked_us = 0;
    settle_ask(&engine);
    run_until(nothing_is_unsettled);
    sweep_once(); /* what nobody waits for is on disk with the next entries */
    ck_assert_int_eq(journal_has("\"outcome\":\"settled\",\"result\":\"committed\""), 1);
    close_all();
}
END_TEST

START_TEST(a_lost_answer_is_settled_by_asking) {
    lose_the_answer(true, false, "committed");
}
END_TEST

START_TEST(a_lost_commit_is_done_again) {
    lose_the_answer(false, false, "rolled-back");
}
END_TEST

START_TEST(a_lost_answer_outlives_its_sweep) {
    lose_the_answer(true, true, "committed");
}
END_TEST

static void own_setup(void) {
    static const char *const own[] = {"customers"};
    open_all(HEAD ACCOUNT ", " CONTENT " );");
    scripted_own_tables(own, 1);
    tenant("a", 91);
    tenant("b", 91);
    scripted_put("customers", 1, "a", SCRIPTED_NO_ANCHOR);
    scripted_put("customers", 2, "b", SCRIPTED_NO_ANCHOR);
    scripted_put("content", 1, "a", SCRIPTED_NO_ANCHOR);
    scripted_put("content", 2, "b", SCRIPTED_NO_ANCHOR);
}

static struct sweep *failing;

static bool journal_has_failed(void) { return failing->report.journal_failed; }

/* Neither the answer to the commit nor the journal's entry that says so: the batch is asked about all the same. */
START_TEST(a_lost_answer_that_cannot_be_entered_is_settled_by_asking) {
    open_all(HEAD LOGS " );");
    tenant("a", -1);
    scripted_put("logs", 1, "a", now_us - 400 * TIME_DAY_US);
    scripted_fail("main", SCRIPTED_COMMIT, 1, ERR_UNKNOWN, true);
    scripted_block(SCRIPTED_COMMIT);
    (void)signal(SIGXFSZ, SIG_IGN);
    failing = begin();
    run_until_blocked(SCRIPTED_COMMIT);
    const struct rlimit nothing = {0, RLIM_INFINITY}, all = {RLIM_INFINITY, RLIM_INFINITY};
    scripted_block(SCRIPTED_SETTLE);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &nothing), 0);
    scripted_release(SCRIPTED_COMMIT);
    run_until_blocked(SCRIPTED_SETTLE);
    run_until(journal_has_failed);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &all), 0);
    scripted_release(SCRIPTED_SETTLE);
    finish(failing);
    ck_assert(seen.journal_failed && seen.ended_early && rules[0].purged == 1);
    ck_assert_ptr_null(engine.unsettled);
    ck_assert_int_eq(journal_has("\"outcome\":\"settled\",\"result\":\"committed\""), 1);
    close_all();
}
END_TEST

START_TEST(own_records_go_last) {
    own_setup();
    scripted_block(SCRIPTED_COMMIT);
    struct sweep *sweep = begin();
    run_until_blocked(SCRIPTED_COMMIT);
    ck_assert(scripted_has("customers", 1) && scripted_has("customers", 2));
    scripted_release(SCRIPTED_COMMIT);
    finish(sweep);
    ck_assert_uint_eq(scripted_size(NULL), 0);
    close_all();
}
END_TEST

START_TEST(own_records_wait_for_whatever_is_left) {
    own_setup();
    scripted_block_record("content", 2, "references");
    sweep_once();
    ck_assert(!scripted_has("customers", 1) && scripted_has("customers", 2) && scripted_has("content", 2));
    ck_assert_ptr_nonnull(strstr(finding_codes, "own-waits"));
    scripted_block_record("content", 2, NULL);
    sweep_once();
    ck_assert_uint_eq(scripted_size(NULL), 0);
    close_all();
}
END_TEST

START_TEST(own_records_wait_for_a_target_that_cannot_be_asked) {
    own_setup();
    scripted_fail("other", SCRIPTED_PROBE, 1, ERR_REFUSED, false);
    scripted_fail("other", SCRIPTED_PROBE, 2, ERR_REFUSED, false);
    sweep_once();
    ck_assert(scripted_has("customers", 1) && scripted_has("customers", 2));
    ck_assert_ptr_nonnull(strstr(finding_codes, "target-failed"));
    ck_assert_ptr_null(strstr(finding_codes, "store-down"));
    sweep_once();
    ck_assert_uint_eq(scripted_size(NULL), 0);
    close_all();
}
END_TEST

START_TEST(own_records_wait_for_a_store_that_is_down) {
    own_setup();
    scripted_fail("other", SCRIPTED_PING, 1, ERR_UNAVAILABLE, false);
    sweep_once();
    ck_assert_uint_eq(scripted_size(NULL), 4);
    ck_assert(seen.waits);
    ck_assert_ptr_nonnull(strstr(finding_codes, "store-down"));
    sweep_once();
    ck_assert_uint_eq(scripted_size(NULL), 0);
    close_all();
}
END_TEST

START_TEST(a_clock_in_doubt_destroys_nothing) {
    open_all(HEAD LOGS " );");
    tenant("a", -1);
    scripted_put("logs", 1, "a", now_us - 400 * TIME_DAY_US);
    scripted_clock(3600 * TIME_SECOND_US);
    sweep_once();
    ck_assert(scripted_has("logs", 1) && seen.waits);
    scripted_clock(0);
    sweep_once();
    ck_assert(!scripted_has("logs", 1));
    close_all();
}
END_TEST

/* As after a start with a clock that was years ahead, which was set right, and accepted, while batches waited. */
START_TEST(a_plan_of_the_future_is_not_carried_out) {
    open_all(HEAD LOGS " );");
    struct clock clock = {.engine = &engine};
    engine.clock = &clock;
    tenant("a", -1);
    scripted_put("logs", 1, "a", now_us - 30 * TIME_DAY_US);
    now_us += 400 * TIME_DAY_US;
    sweep_once();
    ck_assert_uint_eq(scripted_size("logs"), 1);
    ck_assert_int_eq(journal_has("\"event\":\"intent\""), 0);
    ck_assert(seen.ended_early);
    engine.clock = NULL;
    close_all();
}
END_TEST

START_TEST(an_empty_list_of_tenants_destroys_nothing) {
    open_all(HEAD LOGS " );");
    scripted_put("logs", 1, "a", now_us - 400 * TIME_DAY_US);
    sweep_once();
    ck_assert(scripted_has("logs", 1) && seen.waits);
    ck_assert_ptr_nonnull(strstr(finding_codes, "tenants-unread"));
    ck_assert_int_eq(journal_has("\"event\":\"sweep-end\",\"sweep\":1,\"outcome\":\"failed\""), 1);
    ck_assert_str_eq(seen.outcome, "failed");
    close_all();
}
END_TEST

START_TEST(ending_early_finishes_the_batch_in_flight_and_no_other) {
    open_all(HEAD LOGS " );");
    schedule->settings.batch_rows = 10;
    tenant("a", -1);
    for (int i = 0; i < 100; i++) scripted_put("logs", i, "a", now_us - 400 * TIME_DAY_US);
    scripted_block(SCRIPTED_COMMIT);
    struct sweep *sweep = begin();
    run_until_blocked(SCRIPTED_COMMIT);
    sweep_end_early(sweep);
    scripted_release(SCRIPTED_COMMIT);
    finish(sweep);
    ck_assert(seen.ended_early);
    ck_assert_uint_eq(scripted_size("logs"), 90);
    ck_assert_int_eq(journal_has("\"outcome\":\"committed\""), 1);
    ck_assert_int_eq(journal_has("\"outcome\":\"ended-early\""), 1);
    close_all();
}
END_TEST

/* ---- a gentle sweep ---- */

#define ALONE                                                                                                              \
    "stores = { main = { url = \"mongodb://a/a\"; }; };\n"                                                                 \
    "tenants = { store = \"main\"; ends = [ \"account\" ]; collection = \"customers\"; pipeline = \"[]\"; };\n"           \
    "sweep = { load = \"gentle\"; };\n"                                                                                   \
    "schedule = ( "

static void spend(int64_t us) {
    int64_t until_us = time_monotonic_us() + us;
    while (time_monotonic_us() < until_us) (void)sched_yield();
}

/* The store, which waits in `verb`, is busy with it for some milliseconds more, and is asked for `next` only when it has been left
 * to others for as long as that is worth. */
static void keep_busy(enum scripted_verb verb, enum scripted_verb next) {
    int64_t began_us = time_monotonic_us();
    spend(2000);
    scripted_block(next);
    int64_t released_us = time_monotonic_us();
    scripted_release(verb);
    run_until_blocked(next);
    ck_assert_int_ge(time_monotonic_us() - released_us, limit_pause(&schedule->settings, released_us - began_us));
}

START_TEST(a_gentle_sweep_rests_after_whatever_it_asks) {
    struct sweep *sweep = begin_with_one(ALONE LOGS " );", SCRIPTED_COUNT);
    keep_busy(SCRIPTED_COUNT, SCRIPTED_BEGIN);
    keep_busy(SCRIPTED_BEGIN, SCRIPTED_PREPARE);
    scripted_block(SCRIPTED_COMMIT);
    scripted_release(SCRIPTED_PREPARE);
    run_until_blocked(SCRIPTED_COMMIT);
    keep_busy(SCRIPTED_COMMIT, SCRIPTED_PREPARE);
    keep_busy(SCRIPTED_PREPARE, SCRIPTED_BEGIN); /* a pass that finds nothing more */
    keep_busy(SCRIPTED_BEGIN, SCRIPTED_COUNT);
    keep_busy(SCRIPTED_COUNT, SCRIPTED_UNDECIDABLE);
    scripted_release(SCRIPTED_UNDECIDABLE);
    finish(sweep);
    ck_assert_uint_eq(scripted_size("logs"), 0);
    ck_assert(!seen.ended_early && !rules[0].left);
    close_all();
}
END_TEST

static struct sweep *resting;

static bool is_resting(void) { return ev_is_active(&resting->sites[0].timer); }

static bool lane_is_resting(void) { return ev_is_active(&resting->sites[0].lanes[0].timer); }

/* A tenth of a second of hashing would be rested from for ten. */
START_TEST(what_a_batch_spends_on_evidence_is_not_rested_from) {
    enum { HASHING_US = 100000 };
    resting = begin_with_one(ALONE LOGS " );", SCRIPTED_PREPARE);
    scripted_evidence_takes(HASHING_US);
    spend(HASHING_US + 2000);
    scripted_release(SCRIPTED_PREPARE);
    run_until(lane_is_resting);
    int64_t looked_us = time_monotonic_us(), took_us = looked_us - resting->sites[0].lanes[0].began_us;
    ck_assert_int_le(resting->sites[0].rests_until_us - looked_us, limit_pause(&schedule->settings, took_us - HASHING_US));
    sweep_end_early(resting);
    finish(resting);
    close_all();
}
END_TEST

START_TEST(a_sweep_that_ends_rests_no_longer) {
    resting = begin_with_one(ALONE LOGS " );", SCRIPTED_COUNT);
    spend(20000);
    scripted_release(SCRIPTED_COUNT);
    run_until(is_resting);
    sweep_end_early(resting);
    ck_assert(!is_resting());
    finish(resting);
    ck_assert(seen.ended_early && rules[0].left == -1);
    ck_assert_uint_eq(scripted_calls(SCRIPTED_BEGIN) + scripted_calls(SCRIPTED_UNDECIDABLE), 0);
    ck_assert_uint_eq(scripted_calls(SCRIPTED_COUNT), 1);
    ck_assert_uint_eq(scripted_size("logs"), 1);
    close_all();
}
END_TEST

/* What was not verified is not called so, though it was about to be. */
START_TEST(a_sweep_that_ends_before_it_verifies_does_not_know_what_is_left) {
    resting = begin_with_one(ALONE LOGS " );", SCRIPTED_COMMIT);
    scripted_block(SCRIPTED_BEGIN);
    scripted_release(SCRIPTED_COMMIT);
    run_until_blocked(SCRIPTED_BEGIN);
    spend(20000);
    scripted_release(SCRIPTED_BEGIN);
    while (resting->stage != STAGE_VERIFY) ev_run(engine.loop, EVRUN_ONCE);
    ck_assert(is_resting());
    sweep_end_early(resting);
    finish(resting);
    ck_assert(seen.ended_early && rules[0].left == -1 && rules[0].purged == 1);
    ck_assert_uint_eq(scripted_calls(SCRIPTED_COUNT), 1);
    close_all();
}
END_TEST

/* ---- holds that come while a sweep runs ---- */

static struct hold a_hold;
static struct holds the_holds;

static void place(struct hold hold) {
    a_hold = hold;
    a_hold.released_us = TIME_FOREVER;
    the_holds = (struct holds){.items = &a_hold, .count = 1};
    engine.holds = &the_holds;
    engine.holds_version++;
}

static void fill_logs(void) {
    tenant("a", -1);
    tenant("b", -1);
    for (int i = 0; i < 40; i++) scripted_put("logs", i, i % 2 ? "a" : "b", now_us - 400 * TIME_DAY_US);
}

static void assert_only_a_is_left(void) {
    ck_assert_uint_eq(scripted_size("logs"), 20);
    for (int i = 0; i < 40; i++) ck_assert_int_eq(scripted_has("logs", i), i % 2);
}

START_TEST(a_hold_that_is_there_before_keeps_its_tenant) {
    open_all(HEAD LOGS " );");
    fill_logs();
    place((struct hold){.id = "h", .scope = HOLD_TENANT, .tenant = "a"});
    sweep_once();
    assert_only_a_is_left();
    ck_assert(!rules[0].left && !seen.waits);
    engine.holds = NULL;
    sweep_once();
    ck_assert_uint_eq(scripted_size("logs"), 0);
    close_all();
}
END_TEST

START_TEST(a_hold_rolls_the_prepared_batch_back) {
    open_all(HEAD LOGS " );");
    schedule->settings.batch_rows = 50;
    fill_logs();
    scripted_block(SCRIPTED_PREPARE);
    struct sweep *sweep = begin();
    run_until_blocked(SCRIPTED_PREPARE);
    place((struct hold){.id = "h", .scope = HOLD_TENANT, .tenant = "a"});
    ck_assert(!sweep_is_committing(sweep, &a_hold));
    scripted_release(SCRIPTED_PREPARE);
    finish(sweep);
    assert_only_a_is_left();
    close_all();
}
END_TEST

/* The store writes the tenant otherwise than the hold does. */
START_TEST(a_hold_rolls_the_batch_back_however_the_tenant_is_written) {
    open_all(HEAD LOGS " );");
    schedule->settings.batch_rows = 50;
    tenant("7", -1);
    for (int i = 0; i < 40; i++) scripted_put("logs", i, i % 2 ? "7" : "8", now_us - 400 * TIME_DAY_US);
    scripted_block(SCRIPTED_PREPARE);
    struct sweep *sweep = begin();
    run_until_blocked(SCRIPTED_PREPARE);
    place((struct hold){.id = "h", .scope = HOLD_TENANT, .tenant = " 007"});
    scripted_release(SCRIPTED_PREPARE);
    finish(sweep);
    assert_only_a_is_left();
    close_all();
}
END_TEST

static struct journal_ticket blocker;

static void on_blocker(struct journal_ticket *ticket, const struct err *err) {
    (void)ticket, (void)err;
    place((struct hold){.id = "h", .scope = HOLD_TENANT, .tenant = "a"});
}

/* The hold is on disk before the intent is: the batch must not commit, and its intent gets an outcome. */
START_TEST(a_hold_between_prepare_and_intent_binds) {
    open_all(HEAD LOGS " );");
    schedule->settings.batch_rows = 50;
    fill_logs();
    scripted_block(SCRIPTED_PREPARE);
    struct sweep *sweep = begin();
    run_until_blocked(SCRIPTED_PREPARE);
    scripted_release(SCRIPTED_PREPARE);
    blocker = (struct journal_ticket){.done = on_blocker};
    const struct entry entry = {.event = ENTRY_HOLD, .id = "h", .outcome = "placed", .scope = "tenant", .tenant = "a", .ground = "g",
                                .released_us = TIME_FOREVER, .request = "r"};
    journal_append(engine.journal, &entry, &blocker);
    finish(sweep);
    assert_only_a_is_left();
    ck_assert_int_eq(journal_has("\"event\":\"intent\""), journal_has("\"event\":\"outcome\""));
    close_all();
}
END_TEST

/* What was given leave to commit is finished, and only then may a hold be acknowledged. */
START_TEST(a_batch_that_commits_is_waited_for) {
    open_all(HEAD LOGS " );");
    schedule->settings.batch_rows = 50;
    fill_logs();
    const struct hold other = {.id = "o", .scope = HOLD_TENANT, .tenant = "c"};
    scripted_block(SCRIPTED_COMMIT);
    struct sweep *sweep = begin();
    run_until_blocked(SCRIPTED_COMMIT);
    place((struct hold){.id = "h", .scope = HOLD_TENANT, .tenant = "a"});
    ck_assert(sweep_is_committing(sweep, &a_hold));
    ck_assert(!sweep_is_committing(sweep, &other));
    scripted_release(SCRIPTED_COMMIT);
    while (sweep_is_committing(sweep, &a_hold)) ev_run(engine.loop, EVRUN_ONCE);
    ck_assert_int_eq(journal_has("\"event\":\"intent\""), 1);
    finish(sweep);
    close_all();
}
END_TEST

START_TEST(a_held_rule_is_left_out_and_the_others_go_on) {
    open_all(HEAD LOGS ", { data = \"Events\"; keep = \"12 months\"; basis = \"b\"; targets = ( { store = \"main\"; collection = \"events\"; tenant = \"t\"; since = \"at\"; } ); } );");
    fill_logs();
    for (int i = 0; i < 10; i++) scripted_put("events", i, "a", now_us - 400 * TIME_DAY_US);
    scripted_block(SCRIPTED_PREPARE);
    struct sweep *sweep = begin();
    run_until_blocked(SCRIPTED_PREPARE);
    place((struct hold){.id = "h", .scope = HOLD_RULE, .rule = "Logs"});
    scripted_release(SCRIPTED_PREPARE);
    finish(sweep);
    ck_assert_uint_eq(scripted_size("logs"), 40);
    ck_assert_uint_eq(scripted_size("events"), 0);
    close_all();
}
END_TEST

START_TEST(a_hold_on_all_ends_what_runs) {
    open_all(HEAD LOGS ", " CONTENT " );");
    fill_logs();
    tenant("c", 31);
    scripted_put("content", 1, "c", SCRIPTED_NO_ANCHOR);
    scripted_block(SCRIPTED_PREPARE);
    struct sweep *sweep = begin();
    run_until_blocked(SCRIPTED_PREPARE);
    place((struct hold){.id = "h", .scope = HOLD_ALL});
    scripted_release(SCRIPTED_PREPARE);
    finish(sweep);
    ck_assert_uint_eq(scripted_size(NULL), 41);
    close_all();
}
END_TEST

/* ---- a store whose count and pass see the same (Redis) ---- */

static struct store_driver thorough;
static bool doubtful;

static int finish_doubtfully(struct store *store, struct pass *pass, bool commit, struct outcome *ret_outcome, struct err *err) {
    int result = scripted_driver.finish(store, pass, commit, ret_outcome, err);
    ret_outcome->doubtful = doubtful;
    return result;
}

static int open_thorough(const struct store_settings *settings, struct store **ret_store, struct err *err) {
    int result = scripted_driver.open(settings, ret_store, err);
    if (!result) ((struct store_base *)(void *)*ret_store)->driver = &thorough;
    return result;
}

static int64_t held;

static void on_done_noting_held(void *context, const struct sweep_report *report) {
    held = 0;
    for (size_t i = 0; i < report->rules[0].n_waits; i++)
        if (text_equal(report->rules[0].waits[i].why, "held")) held = report->rules[0].waits[i].records;
    on_done(context, report);
}

static void open_all_thorough(const char *text) {
    thorough = scripted_driver;
    thorough.thorough = true;
    thorough.open = open_thorough;
    thorough.finish = finish_doubtfully;
    doubtful = false;
    store_register(&thorough);
    open_all(text);
    scripted_irrevocable(true);
    tenant("a", -1);
    for (int i = 0; i < 40; i++) scripted_put("logs", i, "a", now_us - 400 * TIME_DAY_US);
}

START_TEST(what_went_as_counted_is_not_counted_again) {
    open_all_thorough(HEAD LOGS " );");
    sweep_once();
    ck_assert_uint_eq(scripted_size("logs"), 0);
    ck_assert_uint_eq(scripted_calls(SCRIPTED_COUNT), 1);
    ck_assert(!rules[0].left && !seen.waits);
    ck_assert_int_eq(rules[0].purged, 40);
    close_all();
}
END_TEST

START_TEST(what_the_server_may_have_forgotten_is_counted_again) {
    open_all_thorough(HEAD LOGS " );");
    doubtful = true;
    sweep_once();
    ck_assert_uint_eq(scripted_calls(SCRIPTED_COUNT), 2);
    close_all();
}
END_TEST

/* One record becomes newer while its batch is under way, so that it stays; another turns up. */
START_TEST(what_went_otherwise_is_counted_again) {
    open_all_thorough(HEAD LOGS " );");
    scripted_block(SCRIPTED_COMMIT);
    struct sweep *sweep = begin();
    run_until_blocked(SCRIPTED_COMMIT);
    scripted_put("logs", 1, "a", now_us);
    scripted_release(SCRIPTED_COMMIT);
    finish(sweep);
    ck_assert_uint_eq(scripted_calls(SCRIPTED_COUNT), 2);
    ck_assert_int_eq(rules[0].purged, 39);
    ck_assert(!rules[0].left);
    close_all();
}
END_TEST

START_TEST(what_is_held_is_counted_with_the_rest) {
    open_all_thorough(HEAD LOGS " );");
    tenant("b", -1);
    tenant("c", -1);
    for (int i = 100; i < 107; i++) scripted_put("logs", i, "b", now_us - 400 * TIME_DAY_US);
    place((struct hold){.id = "h", .scope = HOLD_TENANT, .tenant = "b"});
    finish(sweep_start(&engine, trigger, now_us, on_done_noting_held, NULL));
    ck_assert_uint_eq(scripted_size("logs"), 7);
    ck_assert_uint_eq(scripted_calls(SCRIPTED_COUNT), 1);
    ck_assert_int_eq(held, 7);
    ck_assert_int_eq(rules[0].purged, 40);
    ck_assert(!rules[0].left && !seen.waits);
    /* Where it is looked again, that is, too. */
    for (int i = 200; i < 203; i++) scripted_put("logs", i, "c", now_us - 400 * TIME_DAY_US);
    doubtful = true;
    finish(sweep_start(&engine, trigger, now_us, on_done_noting_held, NULL));
    ck_assert_uint_eq(scripted_size("logs"), 7);
    ck_assert_uint_eq(scripted_calls(SCRIPTED_COUNT), 1 + 3);
    ck_assert_int_eq(held, 7);
    close_all();
}
END_TEST

START_TEST(what_could_not_go_is_left_as_counted) {
    open_all_thorough(HEAD LOGS ", { data = \"Events\"; keep = \"12 months\"; basis = \"b\"; targets = ( { store = \"main\"; collection = \"events\"; tenant = \"t\"; since = \"at\"; } ); } );");
    for (int i = 0; i < 10; i++) scripted_put("events", i, "a", now_us - 400 * TIME_DAY_US);
    scripted_fail("main", SCRIPTED_PREPARE, 1, ERR_REFUSED, false);
    sweep_once();
    ck_assert_uint_eq(scripted_calls(SCRIPTED_COUNT), 1);
    ck_assert_uint_eq(scripted_size("logs"), 40);
    ck_assert_uint_eq(scripted_size("events"), 0);
    ck_assert_int_eq(rules[0].left, 40);
    ck_assert_int_eq(rules[1].left, 0);
    ck_assert(seen.waits && rules[0].lag_us > 30 * TIME_DAY_US);
    close_all();
}
END_TEST

/* It expires, or an application deletes it, before its turn comes: of the one rule all, of the other nothing. */
START_TEST(what_went_by_itself_is_not_left) {
    open_all_thorough(HEAD LOGS ", { data = \"Events\"; keep = \"12 months\"; basis = \"b\"; targets = ( { store = \"main\"; collection = \"events\"; tenant = \"t\"; since = \"at\"; } ); } );");
    for (int i = 0; i < 10; i++) scripted_put("events", i, "a", now_us - 400 * TIME_DAY_US);
    scripted_block(SCRIPTED_PREPARE);
    struct sweep *sweep = begin();
    run_until_blocked(SCRIPTED_PREPARE);
    for (int i = 0; i < 10; i++) scripted_put("events", i, "a", now_us);
    scripted_release(SCRIPTED_PREPARE);
    finish(sweep);
    ck_assert_int_eq(rules[0].purged, 40);
    ck_assert_int_eq(rules[1].purged, 0);
    ck_assert_int_eq(rules[1].left, 0);
    ck_assert(!seen.waits);
    close_all();
}
END_TEST

UNIT_MAIN("sweep", what_went_by_itself_is_not_left, what_went_as_counted_is_not_counted_again, what_the_server_may_have_forgotten_is_counted_again,
          what_went_otherwise_is_counted_again, what_is_held_is_counted_with_the_rest, what_could_not_go_is_left_as_counted,
          a_hold_rolls_the_batch_back_however_the_tenant_is_written, a_hold_that_is_there_before_keeps_its_tenant, a_hold_rolls_the_prepared_batch_back, a_hold_between_prepare_and_intent_binds,
          a_batch_that_commits_is_waited_for, a_held_rule_is_left_out_and_the_others_go_on, a_hold_on_all_ends_what_runs,
          what_is_due_goes_and_nothing_else, the_intent_is_on_disk_before_the_commit,
          an_intent_that_cannot_be_written_destroys_nothing, a_tenant_that_resumes_in_mid_purge_keeps_what_is_left,
          one_failing_target_does_not_stop_the_others,
          one_target_that_cannot_be_counted_costs_itself_alone, one_target_that_takes_too_long_to_count_costs_itself_alone, own_records_wait_for_a_target_that_cannot_be_asked, what_passes_by_itself_is_tried_again, a_lost_answer_is_settled_by_asking, what_is_unsettled_is_asked_between_sweeps,
          a_lost_commit_is_done_again, a_lost_answer_that_cannot_be_entered_is_settled_by_asking, a_lost_answer_outlives_its_sweep, own_records_go_last, own_records_wait_for_whatever_is_left,
          own_records_wait_for_a_store_that_is_down, a_clock_in_doubt_destroys_nothing, a_plan_of_the_future_is_not_carried_out, an_empty_list_of_tenants_destroys_nothing,
          a_gentle_sweep_rests_after_whatever_it_asks, what_a_batch_spends_on_evidence_is_not_rested_from, a_sweep_that_ends_rests_no_longer, a_sweep_that_ends_before_it_verifies_does_not_know_what_is_left,
          ending_early_finishes_the_batch_in_flight_and_no_other)
