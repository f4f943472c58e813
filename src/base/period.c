#include "base/period.h"

#include "base/time.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char *const unit_names[] = {"second", "minute", "hour", "day", "week", "month", "year"};
static const int64_t unit_us[] = {
    [PERIOD_SECONDS] = TIME_SECOND_US,      [PERIOD_MINUTES] = 60 * TIME_SECOND_US,
    [PERIOD_HOURS] = 3600 * TIME_SECOND_US, [PERIOD_DAYS] = TIME_DAY_US,
    [PERIOD_WEEKS] = 7 * TIME_DAY_US,
};
static const int64_t unit_most[] = {31622400000, 527040000, 8784000, 366000, 52286, 12000, 1000}; /* 1,000 years */

static bool is_calendar(struct period period) { return period.unit >= PERIOD_MONTHS; }
static int64_t months_of(struct period period) { return period.count * (period.unit == PERIOD_YEARS ? 12 : 1); }

static int unit_parse(const char *text, size_t length, enum period_unit *ret_unit) {
    if (length > 1 && text[length - 1] == 's') length--;
    for (size_t i = 0; i < sizeof unit_names / sizeof *unit_names; i++) {
        if (strlen(unit_names[i]) == length && !strncmp(unit_names[i], text, length)) {
            *ret_unit = (enum period_unit)i;
            return 0;
        }
    }
    return -1;
}

static int unit_fault(const char *text, const char *unit, struct err *err) {
    if (!*unit) return err_set(err, ERR_CONFIG, "\"%s\" has no unit; write \"%.40s days\", \"%.40s months\" or \"%.40s years\"", text, text, text, text);
    bool several = false;
    for (const char *c = unit; *c; c++) several |= isdigit((unsigned char)*c) || *c == '+' || *c == ',';
    if (several)
        return err_set(err, ERR_CONFIG, "\"%s\" mixes units; write one number and one unit, such as \"30 days\" or \"13 months\"", text);
    return err_set(err, ERR_CONFIG, "\"%s\" has an unknown unit; write seconds, minutes, hours, days, weeks, months or years", text);
}

int period_parse(const char *text, struct period *ret_period, struct err *err) {
    const char *at = text;
    while (*at == ' ') at++;
    if (!*at) return err_set(err, ERR_CONFIG, "\"%s\" is not a period; write a number and a unit, such as \"30 days\"", text);
    if (*at == '-' || *at == '+') return err_set(err, ERR_CONFIG, "\"%s\" has a sign; write a number from 1 and a unit, such as \"30 days\"", text);
    if (!isdigit((unsigned char)*at))
        return err_set(err, ERR_CONFIG, "\"%s\" is not a period; write a number and a unit, such as \"30 days\"", text);
    int64_t count = 0;
    for (; isdigit((unsigned char)*at); at++)
        if (count < INT64_C(100000000000)) count = count * 10 + (*at - '0');
    if (*at == '.') return err_set(err, ERR_CONFIG, "\"%s\" is not a whole number; write it in a smaller unit, such as \"18 months\"", text);
    while (*at == ' ') at++;
    size_t length = strlen(at);
    while (length && at[length - 1] == ' ') length--;
    enum period_unit unit;
    if (unit_parse(at, length, &unit)) return unit_fault(text, at, err);
    if (!count) return err_set(err, ERR_CONFIG, "\"%s\" is zero; write a number from 1, or \"until END\" for no delay", text);
    if (count > unit_most[unit])
        return err_set(err, ERR_CONFIG, "\"%s\" is longer than 1,000 years; write \"forever\" if that is meant", text);
    *ret_period = (struct period){.count = count, .unit = unit};
    return 0;
}

struct period_text period_format(struct period period) {
    struct period_text result;
    (void)snprintf(result.text, sizeof result.text, "%" PRId64 " %s%s", period.count, unit_names[period.unit],
                   period.count == 1 ? "" : "s");
    return result;
}

/* The first instant of a month that is counted from year 0. */
static int64_t month_start(int64_t month_index) {
    int64_t year = month_index / 12 - (month_index % 12 < 0);
    return time_from_civil(&(struct civil){.year = year, .month = (int)(month_index - year * 12) + 1, .day = 1});
}

static int days_in(int64_t month_index) {
    int64_t year = month_index / 12 - (month_index % 12 < 0);
    return time_days_in_month(year, (int)(month_index - year * 12) + 1);
}

static int64_t add_months(int64_t anchor_us, int64_t months, bool round_up) {
    struct civil c = time_to_civil(anchor_us);
    int64_t month = c.year * 12 + c.month - 1 + months;
    int64_t time_of_day = anchor_us - time_day_of(anchor_us) * TIME_DAY_US;
    int last = days_in(month);
    if (c.day > last && round_up) return month_start(month + 1);
    return month_start(month) + (c.day > last ? last - 1 : c.day - 1) * TIME_DAY_US + time_of_day;
}

static int64_t after(int64_t anchor_us, struct period period, bool round_up) {
    if (anchor_us == TIME_FOREVER) return TIME_FOREVER;
    if (is_calendar(period)) return add_months(anchor_us, months_of(period), round_up);
    int64_t result;
    if (__builtin_add_overflow(anchor_us, period.count * unit_us[period.unit], &result)) return TIME_FOREVER;
    return result;
}

int64_t period_after(int64_t anchor_us, struct period period) { return after(anchor_us, period, false); }
int64_t period_after_at_least(int64_t anchor_us, struct period period) { return after(anchor_us, period, true); }

/* now - period in calendar months, as the header defines it. Of month A = now's month - period, the anchor on now's
 * own day and time lands exactly on now, so the one a microsecond later is the first that is not due; where A has no
 * such day, nothing of A is left over. With clamping, the days of A behind the last day of now's month all land on
 * that last day: at its very last microsecond they are due, too. */
static int64_t calendar_cutoff(int64_t now_us, int64_t months, bool round_up) {
    struct civil now = time_to_civil(now_us);
    int64_t now_month = now.year * 12 + now.month - 1, month = now_month - months;
    int64_t time_of_day = now_us - time_day_of(now_us) * TIME_DAY_US;
    if (now.day > days_in(month)) return month_start(month + 1);
    bool last_instant = now.day == days_in(now_month) && time_of_day == TIME_DAY_US - 1;
    if (last_instant && !round_up) return month_start(month + 1);
    return month_start(month) + (now.day - 1) * TIME_DAY_US + time_of_day + 1;
}

static int64_t cutoff(int64_t now_us, struct period period, bool round_up) {
    if (is_calendar(period)) return calendar_cutoff(now_us, months_of(period), round_up);
    return now_us - period.count * unit_us[period.unit] + 1;
}

int64_t period_cutoff(int64_t now_us, struct period period) { return cutoff(now_us, period, false); }
int64_t period_cutoff_at_least(int64_t now_us, struct period period) { return cutoff(now_us, period, true); }

int period_compare(int64_t now_us, struct period a, struct period b) {
    int64_t cutoff_a = period_cutoff(now_us, a), cutoff_b = period_cutoff(now_us, b);
    return (cutoff_a < cutoff_b) - (cutoff_a > cutoff_b);
}
