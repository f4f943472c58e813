/* Several lanes on one store: each record once, and whatever forbids the next batch reaches all of them. */
#include "stage.h"

enum { TENANTS = 20, RECORDS = 400, ROWS = 10 };

static bool four_are_committed(void) { return scripted_calls(SCRIPTED_COMMIT) >= 4; }
static bool two_commit(void) { return scripted_waiting(SCRIPTED_COMMIT) == 2; }
static bool two_prepare(void) { return scripted_waiting(SCRIPTED_PREPARE) == 2; }
static bool two_wait(void) { return engine.vetoes.waiters && engine.vetoes.waiters->next; }

static void open_logs(const char *text) {
    open_all(text);
    schedule->settings.batch_rows = ROWS;
    for (int i = 0; i < TENANTS; i++) tenant(arena_printf(schedule->arena, "t%d", i), -1);
    for (int i = 0; i < RECORDS; i++)
        scripted_put("logs", i, arena_printf(schedule->arena, "t%d", i % TENANTS), now_us - 400 * TIME_DAY_US);
}

/* Both lanes have a batch in hand. */
static struct sweep *begin_divided(enum scripted_verb verb, bool (*both)(void)) {
    struct sweep *sweep = begin();
    run_until(four_are_committed);
    scripted_block(verb);
    run_until(both);
    return sweep;
}

/* By the journal: the records of the batches that were committed. */
static int64_t entered(void) {
    char path[128], *bytes;
    size_t length;
    struct err err;
    (void)snprintf(path, sizeof path, "%s/journal/journal.jsonl", folder);
    if (text_read_file(path, 1 << 24, &bytes, &length, &err)) ck_abort_msg("%s", err.text);
    int64_t records[RECORDS + 1] = {0}, sum = 0;
    char *rest;
    for (const char *line = strtok_r(bytes, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        const char *number = strstr(line, "\"batch\":");
        long batch = number ? strtol(number + 8, NULL, 10) : 0;
        ck_assert_int_le(batch, RECORDS);
        if (strstr(line, "\"event\":\"intent\"")) records[batch] = strtol(strstr(line, "\"records\":") + 10, NULL, 10);
        if (!strstr(line, "\"outcome\":\"committed\"") && !strstr(line, "\"result\":\"committed\"")) continue;
        sum += records[batch];
        records[batch] = 0;
    }
    free(bytes);
    return sum;
}

START_TEST(a_long_pass_is_divided_and_each_record_goes_once) {
    open_logs(HEAD LOGS " );");
    struct sweep *sweep = begin_divided(SCRIPTED_COMMIT, two_commit);
    scripted_release(SCRIPTED_COMMIT);
    finish(sweep);
    ck_assert_uint_eq(scripted_parts(), 2);
    ck_assert_uint_eq(scripted_size("logs"), 0);
    ck_assert_int_eq(rules[0].purged, RECORDS);
    ck_assert_int_eq(entered(), RECORDS);
    ck_assert_int_eq(journal_has("\"event\":\"intent\""), journal_has("\"outcome\":\"committed\""));
    ck_assert(!seen.waits && !rules[0].left);
    close_all();
}
END_TEST

START_TEST(what_is_counted_to_be_long_is_divided_at_once) {
    open_logs(HEAD LOGS " );");
    schedule->settings.batch_rows = 5000;
    for (int i = RECORDS; i < 10000; i++)
        scripted_put("logs", i, arena_printf(schedule->arena, "t%d", i % TENANTS), now_us - 400 * TIME_DAY_US);
    scripted_block(SCRIPTED_COMMIT);
    struct sweep *sweep = begin();
    run_until(two_commit);
    ck_assert_uint_eq(scripted_parts(), 2);
    scripted_release(SCRIPTED_COMMIT);
    finish(sweep);
    ck_assert_uint_eq(scripted_size("logs"), 0);
    ck_assert_int_eq(rules[0].purged, 10000);
    close_all();
}
END_TEST

START_TEST(a_short_pass_is_not_divided) {
    open_all(HEAD LOGS " );");
    tenant("a", -1);
    for (int i = 0; i < 30; i++) scripted_put("logs", i, "a", now_us - 400 * TIME_DAY_US);
    sweep_once();
    ck_assert_uint_eq(scripted_parts(), 1);
    close_all();
}
END_TEST

START_TEST(a_gentle_sweep_has_one_lane) {
    open_logs(HEAD LOGS " );");
    schedule->settings.load = LOAD_GENTLE;
    schedule->settings.batch_rows = RECORDS / 5; /* it waits after each: not too many */
    sweep_once();
    ck_assert_uint_eq(scripted_parts(), 1);
    ck_assert_uint_eq(scripted_size("logs"), 0);
    close_all();
}
END_TEST

START_TEST(own_records_go_by_one_lane) {
    static const char *const own[] = {"customers"};
    open_all(HEAD ACCOUNT " );");
    schedule->settings.batch_rows = 1;
    scripted_own_tables(own, 1);
    for (int i = 0; i < TENANTS; i++) {
        const char *id = arena_printf(schedule->arena, "t%d", i);
        tenant(id, 91);
        scripted_put("customers", i, id, SCRIPTED_NO_ANCHOR);
    }
    sweep_once();
    ck_assert_uint_eq(scripted_parts(), 1);
    ck_assert_uint_eq(scripted_size(NULL), 0);
    close_all();
}
END_TEST

START_TEST(ending_early_finishes_every_batch_in_flight) {
    open_logs(HEAD LOGS " );");
    struct sweep *sweep = begin_divided(SCRIPTED_COMMIT, two_commit);
    size_t before = scripted_size("logs");
    sweep_end_early(sweep);
    scripted_release(SCRIPTED_COMMIT);
    finish(sweep);
    ck_assert(seen.ended_early);
    ck_assert_uint_eq(scripted_size("logs"), before - 2 * ROWS);
    ck_assert_int_eq(rules[0].purged, (int64_t)(RECORDS - scripted_size("logs")));
    ck_assert_int_eq(journal_has("\"event\":\"intent\""), journal_has("\"outcome\":\"committed\""));
    close_all();
}
END_TEST

static struct hold a_hold = {.id = "h", .scope = HOLD_ALL, .released_us = TIME_FOREVER};
static const struct holds the_holds = {.items = &a_hold, .count = 1};

START_TEST(a_hold_reaches_every_lane) {
    open_logs(HEAD LOGS " );");
    struct sweep *sweep = begin_divided(SCRIPTED_PREPARE, two_prepare);
    size_t before = scripted_size("logs");
    engine.holds = &the_holds;
    engine.holds_version++;
    ck_assert(!sweep_is_committing(sweep, &a_hold));
    scripted_release(SCRIPTED_PREPARE);
    finish(sweep);
    ck_assert_uint_eq(scripted_size("logs"), before);
    for (int i = 0; i < RECORDS; i++) ck_assert(!scripted_is_locked("logs", i));
    close_all();
}
END_TEST

/* What commits already is waited for, in whichever lane it is. */
START_TEST(a_hold_waits_for_every_lane) {
    open_logs(HEAD LOGS " );");
    struct sweep *sweep = begin_divided(SCRIPTED_COMMIT, two_commit);
    size_t before = scripted_size("logs");
    engine.holds = &the_holds;
    engine.holds_version++;
    ck_assert(sweep_is_committing(sweep, &a_hold));
    scripted_release(SCRIPTED_COMMIT);
    while (sweep_is_committing(sweep, &a_hold)) ev_run(engine.loop, EVRUN_ONCE);
    ck_assert_uint_eq(scripted_size("logs"), before - 2 * ROWS);
    finish(sweep);
    ck_assert_uint_eq(scripted_size("logs"), before - 2 * ROWS);
    close_all();
}
END_TEST

START_TEST(a_veto_stops_every_lane) {
    open_logs(HEAD LOGS " );");
    struct sweep *sweep = begin_divided(SCRIPTED_COMMIT, two_commit);
    size_t before = scripted_size("logs");
    veto_set(&engine, VETO_THROTTLE, "main", "replica-lag", "r");
    scripted_release(SCRIPTED_COMMIT);
    run_until(two_wait);
    ck_assert_uint_eq(scripted_size("logs"), before - 2 * ROWS);
    veto_lift(&engine, VETO_THROTTLE, "main");
    finish(sweep);
    ck_assert_uint_eq(scripted_size("logs"), 0);
    ck_assert_int_eq(journal_has("\"event\":\"wait\""), 1);
    close_all();
}
END_TEST

static bool two_commit_or_one_gives_up(void) { return two_commit() || scripted_calls(SCRIPTED_ROLLBACK); }

/* What one lane is about to commit counts for the others. */
START_TEST(lanes_together_destroy_no_more_than_was_counted) {
    enum { COUNTED = 5 * ROWS };
    open_all(HEAD LOGS " );");
    schedule->settings.batch_rows = ROWS;
    schedule->settings.brakes.records = COUNTED;
    for (int i = 0; i < TENANTS; i++) tenant(arena_printf(schedule->arena, "t%d", i), -1);
    for (int i = 0; i < COUNTED; i++) scripted_put("logs", i, arena_printf(schedule->arena, "t%d", i % TENANTS), now_us - 400 * TIME_DAY_US);
    scripted_block(SCRIPTED_BEGIN);
    struct sweep *sweep = begin();
    run_until_blocked(SCRIPTED_BEGIN);
    for (int i = COUNTED; i < RECORDS; i++) scripted_put("logs", i, arena_printf(schedule->arena, "t%d", i % TENANTS), now_us - 400 * TIME_DAY_US);
    scripted_release(SCRIPTED_BEGIN);
    run_until(four_are_committed);
    scripted_block(SCRIPTED_COMMIT);
    run_until(two_commit_or_one_gives_up);
    scripted_release(SCRIPTED_COMMIT);
    finish(sweep);
    ck_assert_int_eq(rules[0].purged, COUNTED);
    ck_assert_uint_eq(scripted_size("logs"), RECORDS - COUNTED);
    ck_assert_ptr_nonnull(strstr(finding_codes, "more-than-counted"));
    close_all();
}
END_TEST

static void lose_one_answer(bool applied) {
    open_logs(HEAD LOGS " );");
    struct sweep *sweep = begin_divided(SCRIPTED_COMMIT, two_commit);
    scripted_fail("main", SCRIPTED_COMMIT, 1, ERR_UNKNOWN, applied);
    scripted_release(SCRIPTED_COMMIT);
    finish(sweep);
    ck_assert_uint_eq(scripted_size("logs"), 0);
    ck_assert_int_eq(rules[0].purged, RECORDS);
    ck_assert_int_eq(entered(), RECORDS);
    ck_assert_int_eq(journal_has("\"outcome\":\"unknown\""), 1);
    ck_assert_int_eq(journal_has("\"outcome\":\"settled\""), 1);
    ck_assert(!seen.waits && !engine.unsettled);
    close_all();
}

START_TEST(a_lost_answer_in_one_lane_is_settled) { lose_one_answer(true); }
END_TEST

START_TEST(a_lost_commit_in_one_lane_is_done_again) { lose_one_answer(false); }
END_TEST

/* A deadlock, say: the server picks one of the two. */
START_TEST(a_batch_that_gives_way_to_another_is_done_again) {
    open_logs(HEAD LOGS " );");
    struct sweep *sweep = begin_divided(SCRIPTED_PREPARE, two_prepare);
    scripted_fail("main", SCRIPTED_PREPARE, 1, ERR_UNAVAILABLE, false);
    scripted_release(SCRIPTED_PREPARE);
    finish(sweep);
    ck_assert_uint_eq(scripted_size("logs"), 0);
    ck_assert_int_eq(entered(), RECORDS);
    ck_assert(!seen.waits);
    close_all();
}
END_TEST

START_TEST(limits_are_remembered) {
    open_logs(HEAD LOGS " );");
    schedule->settings.batch_rows = 200;
    ck_assert_uint_eq(engine.limits[0], 0);
    sweep_once();
    ck_assert_uint_gt(engine.limits[0], 0);
    close_all();
}
END_TEST

UNIT_MAIN("lanes", what_is_counted_to_be_long_is_divided_at_once, a_long_pass_is_divided_and_each_record_goes_once, a_short_pass_is_not_divided, a_gentle_sweep_has_one_lane,
          own_records_go_by_one_lane, ending_early_finishes_every_batch_in_flight, a_hold_reaches_every_lane, a_hold_waits_for_every_lane,
          lanes_together_destroy_no_more_than_was_counted,
          a_veto_stops_every_lane, a_lost_answer_in_one_lane_is_settled, a_lost_commit_in_one_lane_is_done_again,
          a_batch_that_gives_way_to_another_is_done_again, limits_are_remembered)
