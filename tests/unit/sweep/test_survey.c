/* The survey: what it finds stands until it is asked again, and becomes an alarm when it stands too long. */
#include "stage.h"
#include "sweep/status.h"

#include <jansson.h>

#define EVENTS                                                                                                            \
    "{ data = \"Events\"; keep = \"12 months\"; basis = \"b\"; targets = ( { store = \"main\"; collection = \"events\"; tenant = \"t\"; since = \"at\"; } ); }"

START_TEST(what_was_found_stands_until_it_is_asked_again) {
    open_all(HEAD LOGS " );");
    tenant("a", -1);
    scripted_put("logs", 1, "a", SCRIPTED_NO_ANCHOR);
    sweep_once();
    ck_assert_str_eq(finding_codes, "since-empty ");
    ck_assert_int_eq(rules[0].undecidable, 1);
    ck_assert_int_eq(journal_has("\"event\":\"finding\""), 1);
    /* Put right, but nobody has looked since: it stands, and is not entered again. */
    scripted_put("logs", 1, "a", now_us - TIME_DAY_US);
    sweep_once();
    ck_assert_uint_eq(scripted_calls(SCRIPTED_UNDECIDABLE), 1);
    ck_assert_str_eq(finding_codes, "since-empty ");
    ck_assert_int_eq(rules[0].undecidable, 1);
    ck_assert_int_eq(journal_has("\"event\":\"finding\""), 1);
    now_us += schedule->settings.survey_every_us;
    sweep_once();
    ck_assert_uint_eq(scripted_calls(SCRIPTED_UNDECIDABLE), 2);
    ck_assert_str_eq(finding_codes, "");
    ck_assert_int_eq(rules[0].undecidable, 0);
    close_all();
}
END_TEST

/* A question is always answered before the time is looked at: each sweep takes at least one step. */
START_TEST(a_spent_budget_leaves_the_rest_to_the_next_sweep) {
    open_all(HEAD LOGS ", " EVENTS ", " CONTENT " );");
    schedule->settings.survey_budget_us = 0;
    tenant("a", -1);
    scripted_put("events", 1, "a", SCRIPTED_NO_ANCHOR);
    sweep_once();
    ck_assert_uint_eq(scripted_calls(SCRIPTED_UNDECIDABLE), 0);
    ck_assert(!seen.waits && rules[1].left == 0);
    schedule->settings.survey_budget_us = 60 * TIME_SECOND_US;
    sweep_once();
    ck_assert_uint_eq(scripted_calls(SCRIPTED_UNDECIDABLE), 3);
    ck_assert_str_eq(finding_codes, "since-empty ");
    sweep_once();
    ck_assert_uint_eq(scripted_calls(SCRIPTED_UNDECIDABLE), 3);
    close_all();
}
END_TEST

START_TEST(a_store_that_goes_down_in_the_survey_costs_the_sweep_nothing) {
    open_all(HEAD LOGS ", " EVENTS " );");
    tenant("a", -1);
    scripted_put("logs", 1, "a", now_us - 400 * TIME_DAY_US);
    scripted_put("events", 1, "a", SCRIPTED_NO_ANCHOR);
    scripted_fail("main", SCRIPTED_UNDECIDABLE, 1, ERR_UNAVAILABLE, false);
    sweep_once();
    ck_assert(!seen.waits && rules[0].left == 0 && rules[0].purged == 1);
    ck_assert_str_eq(finding_codes, "");
    sweep_once();
    ck_assert_str_eq(finding_codes, "since-empty ");
    close_all();
}
END_TEST

START_TEST(a_target_that_refuses_the_question_costs_itself_alone) {
    open_all(HEAD LOGS ", " EVENTS " );");
    tenant("a", -1);
    scripted_put("events", 1, "a", SCRIPTED_NO_ANCHOR);
    scripted_fail("main", SCRIPTED_UNDECIDABLE, 1, ERR_REFUSED, false);
    sweep_once();
    ck_assert_str_eq(finding_codes, "survey-refused since-empty ");
    ck_assert(!seen.waits && rules[0].left == 0 && rules[1].left == 0);
    close_all();
}
END_TEST

/* ---- what the status makes of it ---- */

static struct status status;

static void note_done(void *context, const struct sweep_report *report) {
    status_note(&status, &schedule->settings, report);
    on_done(context, report);
}

/* A sweep at `now_us`, which is also when it ends. */
static void noted_sweep(void) {
    struct sweep *sweep = sweep_start(&engine, trigger, now_us, note_done, NULL);
    finish(sweep);
}

static int64_t time_of_finding(const char *name) {
    json_t *findings = json_loads(status.findings, 0, NULL);
    ck_assert_uint_eq(json_array_size(findings), 1);
    int64_t us;
    ck_assert(time_parse(json_string_value(json_object_get(json_array_get(findings, 0), name)), &us));
    json_decref(findings);
    return us;
}

START_TEST(a_finding_keeps_its_age_over_restarts) {
    struct err err;
    open_all(HEAD LOGS " );");
    tenant("a", -1);
    status_reset(&status, schedule, now_us);
    scripted_put("logs", 1, "a", SCRIPTED_NO_ANCHOR);
    noted_sweep();
    int64_t first_us = time_of_finding("first_seen");
    ck_assert_int_eq(time_of_finding("alarms"), first_us + 7 * TIME_DAY_US);
    ck_assert_int_eq(status.n_alarms, 0);
    ck_assert_int_eq(status_keep(&status, schedule, &err), 0);
    status_free(&status);
    status_reset(&status, schedule, now_us); /* another process */
    schedule->settings.survey_alarm_after_us = 0;
    noted_sweep();
    ck_assert_int_eq(time_of_finding("first_seen"), first_us);
    ck_assert_int_eq(time_of_finding("alarms"), first_us);
    ck_assert_int_eq(status.n_alarms, 1);
    status_free(&status);
    close_all();
}
END_TEST

START_TEST(a_rule_is_late_after_two_sweeps_without_success) {
    struct err err;
    open_all(HEAD LOGS ", " CONTENT " );");
    schedule->settings.sweep_every_us = 1;
    tenant("a", -1);
    status_reset(&status, schedule, now_us);
    noted_sweep();
    int64_t success_us = status.rules[0].last_success_us;
    ck_assert(success_us && !status.rules[0].late && status.rules[1].last_success_us);
    ck_assert_int_eq(status_keep(&status, schedule, &err), 0);
    status_free(&status);
    status_reset(&status, schedule, now_us); /* another process */
    ck_assert_int_eq(status.rules[0].last_success_us, success_us);
    for (int i = 0; i < 2; i++) {
        ck_assert(!status.rules[0].late);
        scripted_fail("main", SCRIPTED_PROBE, 1, ERR_UNAVAILABLE, false);
        scripted_fail("main", SCRIPTED_COUNT, 1, ERR_UNAVAILABLE, false);
        noted_sweep();
        ck_assert_int_eq(status.rules[0].left, -1);
        ck_assert_str_eq(status.rules[0].waits, "[{\"why\":\"store \\\"main\\\" could not be asked\",\"records\":-1}]");
    }
    ck_assert(status.rules[0].late && !status.rules[1].late);
    ck_assert_int_eq(status.rules[0].last_success_us, success_us);
    noted_sweep();
    ck_assert(!status.rules[0].late && status.rules[0].last_success_us > success_us);
    status_free(&status);
    close_all();
}
END_TEST

START_TEST(what_waits_is_told_with_its_reason) {
    open_all(HEAD LOGS " );");
    tenant("a", -1);
    tenant("b", -1);
    const struct hold hold = {.id = "h", .scope = HOLD_TENANT, .tenant = "b", .ground = "x", .released_us = TIME_FOREVER};
    const struct holds holds = {&hold, 1};
    engine.holds = &holds;
    status_reset(&status, schedule, now_us);
    scripted_put("logs", 1, "a", now_us - 367 * TIME_DAY_US);
    scripted_put("logs", 2, "b", now_us - 466 * TIME_DAY_US);
    scripted_put("logs", 3, "b", now_us - 368 * TIME_DAY_US);
    scripted_put("logs", 4, "a", now_us - 400 * TIME_DAY_US);
    scripted_block_record("logs", 4, "invoices");
    noted_sweep();
    ck_assert_str_eq(status.rules[0].waits, "[{\"why\":\"blocked by invoices\",\"records\":1},{\"why\":\"held\",\"records\":2}]");
    ck_assert_int_eq(status.rules[0].left, 0);
    ck_assert(status.rules[0].oldest_due_us >= now_us - 102 * TIME_DAY_US && status.rules[0].oldest_due_us <= now_us - 100 * TIME_DAY_US);
    status_free(&status);
    close_all();
}
END_TEST

UNIT_MAIN("survey", what_was_found_stands_until_it_is_asked_again, a_spent_budget_leaves_the_rest_to_the_next_sweep,
          a_store_that_goes_down_in_the_survey_costs_the_sweep_nothing, a_target_that_refuses_the_question_costs_itself_alone,
          a_finding_keeps_its_age_over_restarts, a_rule_is_late_after_two_sweeps_without_success, what_waits_is_told_with_its_reason)
