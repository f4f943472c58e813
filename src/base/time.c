#include "base/time.h"

#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t clock_us(clockid_t clock) {
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * TIME_SECOND_US + now.tv_nsec / 1000;
}

int64_t time_now_us(void) { return clock_us(CLOCK_REALTIME); }
int64_t time_monotonic_us(void) { return clock_us(CLOCK_MONOTONIC); }

static int64_t floor_divide(int64_t a, int64_t b) { return a / b - (a % b < 0); }

int64_t time_day_of(int64_t us) { return floor_divide(us, TIME_DAY_US); }

/* Days to and from the civil calendar in eras of 400 years that begin on 1 March (H. Hinnant, "chrono-compatible
 * low-level date algorithms"). */
static int64_t days_from_civil(int64_t year, int month, int day) {
    year -= month <= 2;
    int64_t era = floor_divide(year, 400);
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

struct civil time_to_civil(int64_t us) {
    int64_t days = time_day_of(us), rest = us - days * TIME_DAY_US;
    int64_t shifted = days + 719468;
    int64_t era = floor_divide(shifted, 146097);
    int64_t day_of_era = shifted - era * 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted_month = (5 * day_of_year + 2) / 153;
    int month = (int)(shifted_month + (shifted_month < 10 ? 3 : -9));
    return (struct civil){
        .year = year_of_era + era * 400 + (month <= 2),
        .month = month,
        .day = (int)(day_of_year - (153 * shifted_month + 2) / 5 + 1),
        .hour = (int)(rest / (3600 * TIME_SECOND_US)),
        .minute = (int)(rest / (60 * TIME_SECOND_US) % 60),
        .second = (int)(rest / TIME_SECOND_US % 60),
        .microsecond = (int)(rest % TIME_SECOND_US),
    };
}

int64_t time_from_civil(const struct civil *civil) {
    return days_from_civil(civil->year, civil->month, civil->day) * TIME_DAY_US +
           ((civil->hour * INT64_C(60) + civil->minute) * 60 + civil->second) * TIME_SECOND_US + civil->microsecond;
}

int time_days_in_month(int64_t year, int month) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month == 2 && leap ? 29 : days[month - 1];
}

/* So many digits of it, and what stands behind them; returns where the next one goes. */
static char *put(char *to, int64_t value, int digits, char behind) {
    for (int i = digits; i-- > 0; value /= 10) to[i] = (char)('0' + value % 10);
    to[digits] = behind;
    return to + digits + 1;
}

struct time_text time_format(int64_t us) {
    struct civil c = time_to_civil(us);
    struct time_text result;
    char *to = result.text;
    if (c.year >= 0 && c.year <= 9999) to = put(to, c.year, 4, '-'); /* nearly always, and often */
    else to += snprintf(to, sizeof result.text, "%04" PRId64 "-", c.year);
    to = put(to, c.month, 2, '-');
    to = put(to, c.day, 2, 'T');
    to = put(to, c.hour, 2, ':');
    to = put(to, c.minute, 2, ':');
    to = put(to, c.second, 2, '.');
    to = put(to, c.microsecond, 6, 'Z');
    *to = '\0';
    return result;
}

struct time_text time_format_day(int64_t us) {
    struct time_text result = time_format(us);
    *strchr(result.text, 'T') = '\0';
    return result;
}

struct time_text time_format_seconds(int64_t us) {
    struct civil c = time_to_civil(us);
    struct time_text result;
    (void)snprintf(result.text, sizeof result.text, "%04" PRId64 "-%02d-%02d %02d:%02d:%02d UTC", c.year, c.month, c.day,
                   c.hour, c.minute, c.second);
    return result;
}

struct time_text time_format_span(int64_t us) {
    struct time_text result;
    int64_t seconds = us / TIME_SECOND_US;
    if (us < TIME_SECOND_US) {
        (void)snprintf(result.text, sizeof result.text, "%" PRId64 " ms", us / 1000);
    } else if (seconds < 60) {
        (void)snprintf(result.text, sizeof result.text, "%" PRId64 " s", seconds);
    } else if (seconds < 3600) {
        (void)snprintf(result.text, sizeof result.text, "%" PRId64 " min %" PRId64 " s", seconds / 60, seconds % 60);
    } else if (seconds < 2 * 86400) {
        (void)snprintf(result.text, sizeof result.text, "%" PRId64 " h %" PRId64 " min", seconds / 3600,
                       seconds / 60 % 60);
    } else {
        (void)snprintf(result.text, sizeof result.text, "%s days", text_number(seconds / 86400).text);
    }
    return result;
}

/* Exactly `count` digits at *text, which moves behind them. */
static bool digits(const char **text, int count, int *ret_value) {
    int value = 0;
    for (int i = 0; i < count; i++, (*text)++) {
        if (**text < '0' || **text > '9') return false;
        value = value * 10 + (**text - '0');
    }
    *ret_value = value;
    return true;
}

static bool literal(const char **text, char c) {
    if (**text != c) return false;
    (*text)++;
    return true;
}

static bool parse_fraction(const char **text, int *ret_microsecond) {
    int value = 0, count = 0;
    for (; **text >= '0' && **text <= '9' && count < 6; (*text)++, count++) value = value * 10 + (**text - '0');
    if (!count) return false;
    for (; count < 6; count++) value *= 10;
    while (**text >= '0' && **text <= '9') (*text)++;
    *ret_microsecond = value;
    return true;
}

static bool parse_zone(const char *text, int64_t *ret_offset_us) {
    *ret_offset_us = 0;
    if (!strcmp(text, "") || !strcmp(text, "Z") || !strcmp(text, " UTC")) return true;
    if (*text != '+' && *text != '-') return false;
    int sign = *text == '-' ? -1 : 1, hours, minutes = 0;
    text++;
    if (!digits(&text, 2, &hours)) return false;
    if (*text && !(literal(&text, ':') && digits(&text, 2, &minutes))) return false;
    if (*text || hours > 15 || minutes > 59) return false;
    *ret_offset_us = sign * (hours * INT64_C(60) + minutes) * 60 * TIME_SECOND_US;
    return true;
}

bool time_parse(const char *text, int64_t *ret_us) {
    struct civil c = {0};
    int year;
    if (!digits(&text, 4, &year) || !literal(&text, '-') || !digits(&text, 2, &c.month) || !literal(&text, '-') ||
        !digits(&text, 2, &c.day))
        return false;
    c.year = year;
    if (c.month < 1 || c.month > 12 || c.day < 1 || c.day > time_days_in_month(year, c.month)) return false;
    if (*text == 'T' || (*text == ' ' && text[1] >= '0' && text[1] <= '9')) {
        text++;
        if (!digits(&text, 2, &c.hour) || !literal(&text, ':') || !digits(&text, 2, &c.minute)) return false;
        if (literal(&text, ':')) {
            if (!digits(&text, 2, &c.second)) return false;
            if (literal(&text, '.') && !parse_fraction(&text, &c.microsecond)) return false;
        }
        if (c.hour > 23 || c.minute > 59 || c.second > 59) return false;
    }
    int64_t offset_us;
    if (!parse_zone(text, &offset_us)) return false;
    *ret_us = time_from_civil(&c) - offset_us;
    return true;
}
