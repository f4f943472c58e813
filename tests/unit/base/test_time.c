#include "base/time.h"
#include "unit.h"

#include <inttypes.h>
#include <stdio.h>

START_TEST(instants_read_back) {
    for (int64_t day = -200000; day < 200000; day += 37) {
        int64_t us = day * TIME_DAY_US + (day * 7919 % 86400 + 86400) % 86400 * TIME_SECOND_US + 123456;
        struct civil c = time_to_civil(us);
        ck_assert_int_eq(time_from_civil(&c), us);
        if (c.year >= 1000) {
            int64_t back;
            ck_assert(time_parse(time_format(us).text, &back));
            ck_assert_int_eq(back, us);
        }
    }
}
END_TEST

/* As printf has it, in years of more digits and before the first, too. */
START_TEST(an_instant_has_all_its_digits) {
    for (int64_t us = -500000 * TIME_DAY_US * 10 + 1; us < 500000 * TIME_DAY_US * 10; us += INT64_C(1234567890123456)) {
        const struct civil c = time_to_civil(us);
        char expected[64];
        (void)snprintf(expected, sizeof expected, "%04" PRId64 "-%02d-%02dT%02d:%02d:%02d.%06dZ", c.year, c.month, c.day, c.hour, c.minute, c.second,
                       c.microsecond);
        ck_assert_str_eq(time_format(us).text, expected);
    }
}
END_TEST

START_TEST(a_span_is_said_as_people_do) {
    ck_assert_str_eq(time_format_span(850000).text, "850 ms");
    ck_assert_str_eq(time_format_span(59 * TIME_SECOND_US).text, "59 s");
    ck_assert_str_eq(time_format_span(62 * TIME_SECOND_US).text, "1 min 2 s");
    ck_assert_str_eq(time_format_span(47 * 3600 * TIME_SECOND_US).text, "47 h 0 min");
    ck_assert_str_eq(time_format_span(2670 * TIME_DAY_US).text, "2,670 days");
}
END_TEST

START_TEST(several_ways_to_write_an_instant) {
    static const char *const same[] = {"2026-11-23", "2026-11-23 00:00", "2026-11-23T00:00:00Z", "2026-11-23 00:00:00 UTC",
                                       "2026-11-23T01:00:00+01:00", "2026-11-22 19:00:00.000000-05"};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        int64_t us;
        ck_assert_msg(time_parse(same[i], &us), "%s", same[i]);
        ck_assert_str_eq(time_format(us).text, "2026-11-23T00:00:00.000000Z");
    }
}
END_TEST

START_TEST(what_is_no_instant_is_refused) {
    static const char *const wrong[] = {"", "2026", "2026-11", "2026-02-30", "2026-13-01", "2026-11-23 24:00", "2026-11-23T",
                                        "2026-11-23 01", "2026-11-23 CET", "2026-11-23T01:00:00+1", "tomorrow"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int64_t us;
        ck_assert_msg(!time_parse(wrong[i], &us), "%s", wrong[i]);
    }
}
END_TEST

UNIT_MAIN("time", instants_read_back, an_instant_has_all_its_digits, a_span_is_said_as_people_do, several_ways_to_write_an_instant, what_is_no_instant_is_refused)
