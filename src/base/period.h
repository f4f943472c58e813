/* Periods of the retention schedule ("30 days", "7 years") and the cutoffs that follow from them.
 *
 * Months and years are added to the anchor in the UTC calendar and clamped to the month's end: 31 January + 1 month is
 * the last day of February at the same time of day. A clamped addition is not monotone within a day (28 Jan 23:00 and
 * 29 Jan 10:00 plus a month fall in the other order), so the cutoff is exclusive: the smallest anchor t with
 * t + period > now. Everything before it is due; nothing is ever due early; an anchor on the 29th-31st may wait up to
 * a day. */
#ifndef LAPSED_BASE_PERIOD_H
#define LAPSED_BASE_PERIOD_H

#include "base/err.h"

#include <stdint.h>

enum period_unit { PERIOD_SECONDS, PERIOD_MINUTES, PERIOD_HOURS, PERIOD_DAYS, PERIOD_WEEKS, PERIOD_MONTHS, PERIOD_YEARS };

struct period {
    int64_t count; /* >= 1; 0 only for "until END", which is due at once */
    enum period_unit unit;
};

/* Reads "N UNIT" (singular or plural, one space or more, N >= 1, no sign). Errors (ERR_CONFIG) say what to write. */
int period_parse(const char *text, struct period *ret_period, struct err *err) MUST_CHECK;
struct period_text { char text[48]; };
struct period_text period_format(struct period period); /* "1 month", "30 days" */

/* anchor + period. Saturates at TIME_FOREVER. */
int64_t period_after(int64_t anchor_us, struct period period);
/* As period_after for "at least": a month's missing day rounds up to the first of the next month (29 Feb + 1 year is
 * 1 March), so that nothing under it goes a day early. */
int64_t period_after_at_least(int64_t anchor_us, struct period period);
/* The exclusive cutoff: the smallest t with period_after(t) > now. An anchor < cutoff is due. */
int64_t period_cutoff(int64_t now_us, struct period period);
/* The same for period_after_at_least: an anchor < it may be destroyed. */
int64_t period_cutoff_at_least(int64_t now_us, struct period period);
/* < 0, 0, > 0: which of two periods that end at `now` is the longer one (by their cutoffs: the earlier cutoff is the
 * longer period). */
int period_compare(int64_t now_us, struct period a, struct period b);

#endif
