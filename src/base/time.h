/* Instants are int64_t microseconds since 1970-01-01 00:00:00 UTC, in the proleptic Gregorian calendar, without leap
 * seconds. A name ends in _us where the unit is not plain from its type. Pure functions get `now`; only the two
 * clocks below are asked. */
#ifndef LAPSED_BASE_TIME_H
#define LAPSED_BASE_TIME_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define TIME_SECOND_US INT64_C(1000000)
#define TIME_DAY_US (86400 * TIME_SECOND_US)
#define TIME_NEVER INT64_MIN  /* as a cutoff: nothing is due */
#define TIME_FOREVER INT64_MAX /* as an end: still running; as a cutoff: everything is due */

/* A day of the calendar and a time of day. */
struct civil {
    int64_t year;
    int month, day; /* 1-12, 1-31 */
    int hour, minute, second, microsecond;
};

int64_t time_now_us(void);       /* wall clock: cutoffs and records */
int64_t time_monotonic_us(void); /* for waiting and durations */

struct civil time_to_civil(int64_t us);
int64_t time_from_civil(const struct civil *civil); /* the fields must be in range */
int time_days_in_month(int64_t year, int month);
int64_t time_day_of(int64_t us); /* days since 1970-01-01, rounded down */

/* "2026-11-23T01:00:00.123456Z" (RFC 3339). */
struct time_text { char text[40]; };
struct time_text time_format(int64_t us);
struct time_text time_format_day(int64_t us);     /* "2026-11-23" */
struct time_text time_format_seconds(int64_t us); /* "2026-11-23 01:00:00 UTC" */
/* A duration as people say it: "3 days", "4 h 12 min", "850 ms". */
struct time_text time_format_span(int64_t us);
/* Reads "2026-11-23", "2026-11-23 09:14", "…:07", "…T09:14:07.123456Z" and "+hh:mm" offsets; no zone means UTC.
 * Returns false on anything else, a day that does not exist included. */
bool time_parse(const char *text, int64_t *ret_us);

#endif
