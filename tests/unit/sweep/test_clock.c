/* When the wall clock may be believed: it follows slewing, and doubts steps, small ones that add up included. */
#include "base/time.h"
#include "sweep/clock.h"
#include "unit.h"

#include <string.h>

#define SECOND TIME_SECOND_US
#define HOUR (3600 * TIME_SECOND_US)

static const int64_t tolerance = 60 * SECOND, start = INT64_C(1795000000) * SECOND;

static const char *judge(struct clock *clock, int64_t wall, int64_t boot) {
    const char *code = clock_judge(clock, start + wall, boot, tolerance);
    clock->doubted = code != NULL;
    return code ? code : "";
}

START_TEST(a_clock_that_goes_on_is_believed) {
    struct clock clock = {.latest_us = start - HOUR};
    for (int64_t at = 0; at < 100 * HOUR; at += HOUR) ck_assert_str_eq(judge(&clock, at, at), "");
    /* Slewed by half a thousandth for a year it is minutes off, and nobody set it. */
    for (int64_t at = 100 * HOUR; at < 9000 * HOUR; at += HOUR) ck_assert_str_eq(judge(&clock, at + (at - 100 * HOUR) / 2000, at), "");
}
END_TEST

START_TEST(a_step_is_doubted_until_it_is_taken_back) {
    static const int64_t steps[] = {87600 * HOUR, 2 * HOUR, 61 * SECOND};
    for (size_t i = 0; i < 3; i++) {
        struct clock clock = {0};
        ck_assert_str_eq(judge(&clock, 0, 0), "");
        ck_assert_str_eq(judge(&clock, steps[i] + SECOND, SECOND), "clock-stepped");
        ck_assert_ptr_nonnull(strstr(clock.reason, "set forward by"));
        ck_assert_str_eq(judge(&clock, steps[i] + 10 * SECOND, 10 * SECOND), "clock-stepped");
        ck_assert_str_eq(judge(&clock, 20 * SECOND, 20 * SECOND), "");
    }
}
END_TEST

START_TEST(a_step_back_is_doubted) {
    struct clock clock = {0};
    ck_assert_str_eq(judge(&clock, HOUR, HOUR), "");
    clock.latest_us = 0; /* the journal has nothing to say */
    ck_assert_str_eq(judge(&clock, SECOND, HOUR), "clock-stepped");
    ck_assert_ptr_nonnull(strstr(clock.reason, "set back by"));
}
END_TEST

START_TEST(small_steps_add_up) {
    struct clock clock = {0};
    ck_assert_str_eq(judge(&clock, 0, 0), "");
    ck_assert_str_eq(judge(&clock, 41 * SECOND, SECOND), "");
    ck_assert_str_eq(judge(&clock, 82 * SECOND, 2 * SECOND), "clock-stepped");
}
END_TEST

START_TEST(a_clock_before_the_journal_is_doubted) {
    struct clock clock = {0};
    clock_seen(&clock, &(struct entry){.event = ENTRY_START, .time_us = start + HOUR});
    clock_seen(&clock, &(struct entry){.event = ENTRY_STOP, .time_us = start});
    ck_assert_str_eq(judge(&clock, 0, 0), "clock-before-journal");
    ck_assert_str_eq(judge(&clock, HOUR - 30 * SECOND, HOUR - 30 * SECOND), "");
    ck_assert_str_eq(judge(&clock, HOUR, HOUR), "");
}
END_TEST

START_TEST(an_accepted_time_is_where_the_journal_goes_on) {
    struct clock clock = {0};
    clock_seen(&clock, &(struct entry){.event = ENTRY_START, .time_us = start + 87600 * HOUR});
    clock_seen(&clock, &(struct entry){.event = ENTRY_START, .time_us = start});
    ck_assert_str_eq(judge(&clock, 0, 0), "clock-before-journal");
    clock_seen(&clock, &(struct entry){.event = ENTRY_CLOCK, .time_us = start + SECOND});
    ck_assert_str_eq(judge(&clock, 2 * SECOND, 2 * SECOND), "");
    clock_seen(&clock, &(struct entry){.event = ENTRY_STOP, .time_us = start + HOUR});
    ck_assert_str_eq(judge(&clock, 3 * SECOND, 3 * SECOND), "clock-before-journal");
}
END_TEST

/* What waits for a time to come goes by a time that is not ahead. */
START_TEST(nothing_cools_off_by_a_time_in_doubt) {
    struct clock clock = {.latest_us = start, .before_us = start, .agreed = true};
    ck_assert_str_eq(judge(&clock, HOUR, HOUR), "");
    ck_assert_int_eq(clock_sure(&clock, start + HOUR, HOUR), start + HOUR);
    ck_assert_str_eq(judge(&clock, 87600 * HOUR, 2 * HOUR), "clock-stepped");
    ck_assert_int_lt(clock_sure(&clock, start + 87600 * HOUR, 2 * HOUR), start + 2 * HOUR + 60 * SECOND);
    ck_assert_int_gt(clock_sure(&clock, start + 87600 * HOUR, 2 * HOUR), start + HOUR);
    ck_assert_str_eq(judge(&clock, -HOUR, 3 * HOUR), "clock-before-journal");
    ck_assert_int_eq(clock_sure(&clock, start - HOUR, 3 * HOUR), start - HOUR);
}
END_TEST

/* After a boot nobody knows for how long it was off: only the stores' clocks can tell. */
START_TEST(nothing_cools_off_before_the_stores_agreed) {
    struct clock clock = {.latest_us = start, .before_us = start};
    ck_assert_str_eq(judge(&clock, 87600 * HOUR, HOUR), "");
    ck_assert_int_eq(clock_sure(&clock, start + 87600 * HOUR, HOUR), start);
    clock.agreed = true;
    ck_assert_int_eq(clock_sure(&clock, start + 87600 * HOUR, HOUR), start + 87600 * HOUR);
}
END_TEST

UNIT_MAIN("clock", nothing_cools_off_by_a_time_in_doubt, nothing_cools_off_before_the_stores_agreed, a_clock_that_goes_on_is_believed, a_step_is_doubted_until_it_is_taken_back, a_step_back_is_doubted, small_steps_add_up,
          a_clock_before_the_journal_is_doubted, an_accepted_time_is_where_the_journal_goes_on)
