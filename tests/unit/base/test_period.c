/* Periods and cutoffs: never early; late by less than a day, and only for anchors on the 29th to 31st. */
#include "base/period.h"
#include "base/time.h"
#include "unit.h"

static int64_t at(const char *text) {
    int64_t us;
    ck_assert_msg(time_parse(text, &us), "%s", text);
    return us;
}

static void assert_after(const char *anchor, const char *period_text, const char *expected) {
    struct period period;
    struct err err;
    ck_assert_int_eq(period_parse(period_text, &period, &err), 0);
    struct time_text got = time_format(period_after(at(anchor), period));
    struct time_text want = time_format(at(expected));
    ck_assert_str_eq(got.text, want.text);
}

START_TEST(months_are_added_in_the_calendar_and_clamped) {
    assert_after("2025-01-31 10:00", "1 month", "2025-02-28 10:00");
    assert_after("2024-01-31 10:00", "1 month", "2024-02-29 10:00");
    assert_after("2024-02-29", "12 months", "2025-02-28");
    assert_after("2024-02-29", "7 years", "2031-02-28");
    assert_after("2024-12-31 23:59:59.999999", "14 months", "2026-02-28 23:59:59.999999");
    assert_after("2026-10-25 00:30", "30 days", "2026-11-24 00:30");
    assert_after("1969-12-31", "1 month", "1970-01-31");
}
END_TEST

START_TEST(at_least_rounds_a_missing_day_up) {
    struct period year = {1, PERIOD_YEARS};
    ck_assert_int_eq(period_after_at_least(at("2024-02-29 12:00"), year), at("2025-03-01"));
    ck_assert_int_eq(period_after_at_least(at("2024-02-28 12:00"), year), at("2025-02-28 12:00"));
    ck_assert_int_ge(at("2024-02-29 12:00"), period_cutoff_at_least(at("2025-02-28 23:59:59.999999"), year));
    ck_assert_int_lt(at("2024-02-29 12:00"), period_cutoff_at_least(at("2025-03-01"), year));
}
END_TEST

START_TEST(the_cutoff_is_exclusive) {
    struct period month = {1, PERIOD_MONTHS};
    int64_t now = at("2025-02-28 22:00");
    /* 28 Jan 23:00 lands after now, 29 Jan 10:00 before it: neither may be due, for there is one cutoff. */
    ck_assert_int_ge(at("2025-01-28 23:00"), period_cutoff(now, month));
    ck_assert_int_lt(at("2025-01-28 22:00"), period_cutoff(now, month));
    ck_assert_int_eq(period_cutoff(at("2025-02-28 23:59:59.999999"), month), at("2025-02-01"));
    ck_assert_int_eq(period_cutoff(at("2025-03-31 12:00"), month), at("2025-03-01"));
    ck_assert_int_eq(period_cutoff(at("2025-03-05 12:00"), (struct period){30, PERIOD_DAYS}),
                     at("2025-02-03 12:00:00.000001"));
}
END_TEST

/* t is due at `now` exactly if it is before the cutoff; then it must have lapsed, and a lapsed one that is not yet due
 * may only be an anchor on the 29th-31st, less than a day after it lapsed. */
static void check_anchor(int64_t anchor, int64_t now, int64_t cutoff, int64_t floor, struct period period) {
    int64_t lapses = period_after(anchor, period);
    bool lapsed = lapses <= now, due = anchor < cutoff;
    bool may_wait = time_to_civil(anchor).day >= 29 && now - lapses < TIME_DAY_US;
    /* Check's assertions write to a pipe each time, and this runs millions of times. */
    if (due && !lapsed) ck_abort_msg("early: %s at %s", time_format(anchor).text, time_format(now).text);
    if (!due && lapsed && !may_wait) ck_abort_msg("late: %s at %s", time_format(anchor).text, time_format(now).text);
    if (floor > cutoff) ck_abort_msg("at least is shorter at %s", time_format(now).text);
    if ((anchor < floor) != (period_after_at_least(anchor, period) <= now))
        ck_abort_msg("at least: %s at %s", time_format(anchor).text, time_format(now).text);
}

START_TEST(never_early_and_hardly_late_on_every_day_from_1970_to_2100) {
    static const int64_t moments[] = {0, 1, TIME_DAY_US / 2 - 1, TIME_DAY_US / 2, TIME_DAY_US / 2 + 1, TIME_DAY_US - 1};
    const size_t n_moments = sizeof moments / sizeof *moments;
    int64_t first = time_day_of(at("1970-01-01")), last = time_day_of(at("2100-12-31"));
    for (int64_t months = 1; months <= 120; months++) {
        struct period period = {months, PERIOD_MONTHS};
        for (int64_t day = first; day <= last; day++) {
            /* Each day once a period, at the moments around midnight and noon in turn; all pairs near month ends. */
            struct civil date = time_to_civil(day * TIME_DAY_US);
            bool all = date.day <= 1 || date.day >= 28;
            for (size_t m = 0; m < n_moments; m++) {
                if (!all && m != (size_t)((day + months) % (int64_t)n_moments)) continue;
                int64_t now = day * TIME_DAY_US + moments[m];
                int64_t cutoff = period_cutoff(now, period), floor = period_cutoff_at_least(now, period);
                check_anchor(cutoff, now, cutoff, floor, period);
                check_anchor(cutoff - 1, now, cutoff, floor, period);
                check_anchor(cutoff + 1, now, cutoff, floor, period);
                check_anchor(floor, now, cutoff, floor, period);
                check_anchor(floor - 1, now, cutoff, floor, period);
                if (period_after(cutoff, period) <= now) ck_abort_msg("the cutoff itself is due");
                if (all)
                    for (int back = -2; back <= 4; back++)
                        for (size_t k = 0; k < n_moments; k++)
                            check_anchor((time_day_of(cutoff) + back) * TIME_DAY_US + moments[k], now, cutoff, floor, period);
            }
        }
    }
}
END_TEST

static void assert_refused(const char *text, const char *part) {
    struct period period;
    struct err err;
    ck_assert_int_eq(period_parse(text, &period, &err), -1);
    ck_assert_int_eq(err.code, ERR_CONFIG);
    ck_assert_msg(strstr(err.text, part) != NULL, "%s: %s", text, err.text);
}

START_TEST(what_is_not_a_period_is_refused_with_the_remedy) {
    assert_refused("7", "has no unit; write \"7 days\"");
    assert_refused("-7 days", "has a sign");
    assert_refused("0 days", "is zero");
    assert_refused("7 fortnights", "unknown unit");
    assert_refused("1 month 2 days", "mixes units");
    assert_refused("1 month + 2 days", "mixes units");
    assert_refused("1.5 years", "not a whole number");
    assert_refused("", "is not a period");
    assert_refused("days", "is not a period");
    assert_refused("99999999999999999999 years", "longer than 1,000 years");
    assert_refused("1001 years", "forever");
}
END_TEST

START_TEST(a_period_reads_back_as_it_was_written) {
    static const char *const texts[] = {"1 second", "90 minutes", "24 hours", "30 days", "2 weeks", "1 month", "7 years"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct period period;
        struct err err;
        ck_assert_int_eq(period_parse(texts[i], &period, &err), 0);
        ck_assert_str_eq(period_format(period).text, texts[i]);
    }
}
END_TEST

START_TEST(the_longer_period_is_found_across_units) {
    int64_t now = at("2026-11-23 01:00");
    ck_assert_int_gt(period_compare(now, (struct period){7, PERIOD_YEARS}, (struct period){12, PERIOD_MONTHS}), 0);
    ck_assert_int_lt(period_compare(now, (struct period){30, PERIOD_DAYS}, (struct period){1, PERIOD_MONTHS}), 0);
    ck_assert_int_eq(period_compare(now, (struct period){1, PERIOD_YEARS}, (struct period){12, PERIOD_MONTHS}), 0);
}
END_TEST

UNIT_MAIN("period", months_are_added_in_the_calendar_and_clamped, at_least_rounds_a_missing_day_up,
          the_cutoff_is_exclusive, never_early_and_hardly_late_on_every_day_from_1970_to_2100,
          what_is_not_a_period_is_refused_with_the_remedy, a_period_reads_back_as_it_was_written,
          the_longer_period_is_found_across_units)
