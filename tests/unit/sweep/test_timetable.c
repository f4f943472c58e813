/* When the next sweep begins, whatever was done to the clock. */
#include "base/time.h"
#include "sweep/timetable.h"
#include "unit.h"

#define HOUR (3600 * TIME_SECOND_US)

static const int64_t noon = INT64_C(20000) * TIME_DAY_US + 12 * HOUR;

static struct settings window(int from_hour, int to_hour) {
    return (struct settings){.sweep_every_us = TIME_DAY_US, .window_from_minute = from_hour * 60, .window_to_minute = to_hour * 60};
}

START_TEST(the_first_one_is_at_once_or_when_the_window_opens) {
    struct timetable none = {0};
    struct settings always = window(0, 0), night = window(1, 5), over_midnight = window(22, 2), day = window(8, 18);
    ck_assert_int_eq(timetable_next(&none, &always, noon), noon);
    ck_assert_int_eq(timetable_next(&none, &day, noon), noon);
    ck_assert_int_eq(timetable_next(&none, &night, noon), noon + 13 * HOUR);
    ck_assert_int_eq(timetable_next(&none, &night, noon - 12 * HOUR), noon - 11 * HOUR);
    ck_assert_int_eq(timetable_next(&none, &over_midnight, noon), noon + 10 * HOUR);
    ck_assert_int_eq(timetable_next(&none, &over_midnight, noon + 13 * HOUR), noon + 13 * HOUR);
    ck_assert_int_eq(timetable_next(&none, &over_midnight, noon + 14 * HOUR), noon + 34 * HOUR);
}
END_TEST

START_TEST(the_next_one_is_a_period_later) {
    struct timetable timetable = {0};
    struct settings always = window(0, 0);
    timetable_begin(&timetable, noon);
    ck_assert_int_eq(timetable_next(&timetable, &always, noon + HOUR), noon + TIME_DAY_US);
    ck_assert_int_eq(timetable_next(&timetable, &always, noon + 30 * HOUR), noon + 30 * HOUR);
    ck_assert_str_eq(timetable_trigger(&timetable, noon + 30 * HOUR), "timer");
    /* The clock was set back by years. */
    ck_assert_int_eq(timetable_next(&timetable, &always, noon - 1000 * TIME_DAY_US), noon - 999 * TIME_DAY_US);
}
END_TEST

START_TEST(a_store_that_is_down_is_asked_again_later_and_later) {
    struct timetable timetable = {0};
    struct settings always = window(0, 0);
    struct store_report down = {.down = true};
    struct sweep_report report = {.stores = &down, .n_stores = 1};
    timetable_begin(&timetable, noon);
    int64_t wait_us = 60 * TIME_SECOND_US;
    for (int i = 0; i < 14; i++, wait_us = wait_us * 2 < TIME_DAY_US ? wait_us * 2 : TIME_DAY_US) {
        timetable_end(&timetable, &always, &report, noon);
        int64_t next_us = timetable_next(&timetable, &always, noon);
        ck_assert_int_ge(next_us, noon + wait_us / 2);
        ck_assert_int_le(next_us, noon + wait_us);
        ck_assert_str_eq(timetable_trigger(&timetable, next_us), "retry");
    }
    timetable_begin(&timetable, noon + HOUR);
    down.down = false;
    timetable_end(&timetable, &always, &report, noon + HOUR);
    ck_assert_int_eq(timetable_next(&timetable, &always, noon + HOUR), noon + HOUR + TIME_DAY_US);
    report.again = true; /* an approval let something go that was not counted on */
    timetable_end(&timetable, &always, &report, noon + 2 * HOUR);
    ck_assert_int_eq(timetable_next(&timetable, &always, noon + 2 * HOUR), noon + 2 * HOUR);
}
END_TEST

START_TEST(what_was_cut_short_is_no_reason_to_hurry) {
    struct timetable timetable = {0};
    struct settings always = window(0, 0);
    struct store_report down = {.down = true};
    struct sweep_report report = {.ended_early = true, .again = true, .stores = &down, .n_stores = 1};
    timetable_begin(&timetable, noon);
    timetable_end(&timetable, &always, &report, noon);
    ck_assert_int_eq(timetable_next(&timetable, &always, noon), noon + TIME_DAY_US);
}
END_TEST

/* One write that failed may have been an accident: what it ended is taken up again soon. */
START_TEST(a_journal_that_failed_is_tried_again_later_and_later) {
    struct timetable timetable = {0};
    struct settings always = window(0, 0);
    struct sweep_report report = {.ended_early = true, .journal_failed = true};
    timetable_begin(&timetable, noon);
    for (int64_t wait_us = 60 * TIME_SECOND_US; wait_us <= 480 * TIME_SECOND_US; wait_us *= 2) {
        timetable_end(&timetable, &always, &report, noon);
        int64_t next_us = timetable_next(&timetable, &always, noon);
        ck_assert_int_ge(next_us, noon + wait_us / 2);
        ck_assert_int_le(next_us, noon + wait_us);
    }
}
END_TEST

UNIT_MAIN("timetable", the_first_one_is_at_once_or_when_the_window_opens, the_next_one_is_a_period_later,
          a_store_that_is_down_is_asked_again_later_and_later, a_journal_that_failed_is_tried_again_later_and_later, what_was_cut_short_is_no_reason_to_hurry)
