/* What a sweep has leave to do, against the scripted store: it counts before it destroys, and does not go on with what came after. */
#include "schedule/brake.h"
#include "stage.h"

static struct approval approval;
static const struct approvals approvals = {&approval, 1};

static void put_due(int first, int last, const char *id) {
    for (int i = first; i <= last; i++) scripted_put("logs", i, id, now_us - 400 * TIME_DAY_US);
}

START_TEST(nothing_goes_before_the_first_approval) {
    open_all(HEAD LOGS ", " CONTENT " );");
    schedule->settings.brakes.first_run = true;
    tenant("a", 31);
    put_due(1, 20, "a");
    scripted_put("content", 1, "a", SCRIPTED_NO_ANCHOR);
    sweep_once();
    ck_assert_uint_eq(scripted_size(NULL), 21);
    ck_assert(seen.waits && !seen.ended_early);
    ck_assert_int_eq(rules[0].left, 20);
    ck_assert_str_eq(finding_codes, "approval-waits approval-waits ");
    ck_assert_int_eq(journal_has("\"event\":\"intent\""), 0);
    /* One rule's approval is no other's; and what became due after it is left. */
    approval = (struct approval){.id = "x", .rule = "Logs", .at_us = now_us - TIME_DAY_US};
    const struct rule_digest digest = rule_digest(schedule, &schedule->rules[0]);
    approval.digest = digest.text;
    engine.approvals = &approvals;
    int64_t cutoff_us = period_cutoff(now_us, schedule->rules[0].keep[0].period);
    scripted_put("logs", 100, "a", cutoff_us - TIME_DAY_US / 2);
    sweep_once();
    ck_assert_uint_eq(scripted_size("logs"), 1);
    ck_assert(scripted_has("logs", 100) && scripted_has("content", 1));
    ck_assert(seen.again && seen.n_spent == 1);
    engine.approvals = NULL;
    sweep_once();
    ck_assert(!scripted_has("logs", 100) && scripted_has("content", 1));
    close_all();
}
END_TEST

static bool has_committed(void) { return journal_has("\"outcome\":\"committed\"") > 0; }

START_TEST(what_turns_up_in_the_middle_waits) {
    open_all(HEAD LOGS " );");
    schedule->settings.brakes.records = 50;
    schedule->settings.batch_rows = 10;
    tenant("a", -1);
    put_due(1, 20, "a");
    scripted_block(SCRIPTED_PREPARE);
    struct sweep *sweep = begin();
    run_until_blocked(SCRIPTED_PREPARE);
    put_due(1000, 3000, "a"); /* a table that is restored while the sweep runs */
    scripted_release(SCRIPTED_PREPARE);
    run_until(has_committed);
    finish(sweep);
    ck_assert_uint_ge(scripted_size("logs"), 2021 - 50);
    ck_assert_uint_lt(scripted_size("logs"), 2021);
    ck_assert(seen.waits);
    ck_assert_ptr_nonnull(strstr(finding_codes, "more-than-counted"));
    size_t left = scripted_size("logs");
    sweep_once();
    ck_assert_uint_eq(scripted_size("logs"), left);
    ck_assert_ptr_nonnull(strstr(finding_codes, "approval-waits"));
    close_all();
}
END_TEST

/* A batch of which nobody can tell whether it went may have gone. */
START_TEST(what_may_have_gone_counts) {
    open_all(HEAD LOGS " );");
    scripted_irrevocable(true);
    schedule->settings.brakes.records = 20;
    schedule->settings.batch_rows = 10;
    tenant("a", -1);
    put_due(1, 20, "a");
    scripted_fail("main", SCRIPTED_COMMIT, 1, ERR_UNKNOWN, true);
    scripted_block(SCRIPTED_PREPARE);
    struct sweep *sweep = begin();
    run_until_blocked(SCRIPTED_PREPARE);
    put_due(1001, 1030, "a");
    scripted_release(SCRIPTED_PREPARE);
    finish(sweep);
    ck_assert_int_eq(journal_has("\"outcome\":\"unresolved\""), 1);
    ck_assert_uint_eq(scripted_size("logs"), 30);
    ck_assert_ptr_nonnull(strstr(finding_codes, "more-than-counted"));
    close_all();
}
END_TEST

START_TEST(an_idle_sweep_asks_once) {
    open_all(HEAD LOGS ", " CONTENT " );");
    tenant("a", -1);
    sweep_once();
    ck_assert_uint_eq(scripted_calls(SCRIPTED_COUNT), 1); /* nobody has ended, so the other store has no order */
    ck_assert_uint_eq(scripted_calls(SCRIPTED_BEGIN), 0);
    ck_assert(!seen.waits && !rules[0].left && !rules[1].left);
    close_all();
}
END_TEST

START_TEST(a_rule_whose_store_is_down_has_not_run) {
    open_all(HEAD LOGS " );");
    schedule->settings.brakes.first_run = true;
    tenant("a", -1);
    put_due(1, 20, "a");
    approval = (struct approval){.id = "x", .rule = "Logs", .at_us = now_us - TIME_DAY_US};
    const struct rule_digest digest = rule_digest(schedule, &schedule->rules[0]);
    approval.digest = digest.text;
    engine.approvals = &approvals;
    scripted_fail("main", SCRIPTED_CHECK, 1, ERR_UNAVAILABLE, false);
    sweep_once();
    ck_assert_uint_eq(scripted_size("logs"), 20);
    ck_assert_uint_eq(seen.n_spent, 0);
    engine.approvals = NULL;
    sweep_once();
    ck_assert_uint_eq(scripted_size("logs"), 20);
    ck_assert_str_eq(finding_codes, "approval-waits ");
    close_all();
}
END_TEST

UNIT_MAIN("leave", what_may_have_gone_counts, a_rule_whose_store_is_down_has_not_run, nothing_goes_before_the_first_approval, what_turns_up_in_the_middle_waits, an_idle_sweep_asks_once)
