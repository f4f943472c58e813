/* When the next sweep begins: a period after the last one, within the window, and sooner when a store was down or the last sweep left
 * something behind that goes at once. Pure: it is told the time, and goes by the wall clock, which may have been set. */
#ifndef LAPSED_SWEEP_TIMETABLE_H
#define LAPSED_SWEEP_TIMETABLE_H

#include "sweep/sweep.h"

struct timetable {
    int64_t last_begin_us; /* of a sweep; 0: none since the start */
    int64_t retry_us;      /* when to try again; 0: nothing is to be */
    int64_t retry_wait_us; /* the last wait for a store that is down; 0: none was */
};

int64_t timetable_next(const struct timetable *timetable, const struct settings *settings, int64_t now_us);
/* Why one begins now, as the journal says it: "retry" or "timer". */
const char *timetable_trigger(const struct timetable *timetable, int64_t now_us);
void timetable_begin(struct timetable *timetable, int64_t now_us);
/* After a sweep. A store that is down is asked again after a minute, then twice as late each time, with jitter. */
void timetable_end(struct timetable *timetable, const struct settings *settings, const struct sweep_report *report, int64_t now_us);

#endif
