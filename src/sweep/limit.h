/* How many records fit into a batch's time, and how long it is waited after it, as the load says. Pure. */
#ifndef LAPSED_SWEEP_LIMIT_H
#define LAPSED_SWEEP_LIMIT_H

#include "base/time.h"
#include "schedule/schedule.h"

/* What one batch took. Only the store's work grows with the number of records: waiting for a disk, the journal's or the store's
 * own, does not. */
struct batch_cost {
    size_t limit;    /* it was allowed so many records */
    int64_t records; /* and had so many, dependents included */
    int64_t worked_us, waited_us;
};

size_t limit_first(const struct settings *settings); /* of a target that nothing is known of */
/* The limit of the next batch of the same target: what is expected to take a batch's time with the waiting, but a
 * quarter of that where the waiting leaves less. A batch's time is settings->batch_time_us, a half of it where the load is normal, and
 * a tenth where it is gentle: what others do waits for what is under way, and for its bytes in the server's log. It grows step by step, since the first records may be the cheap ones, and shrinks
 * at once, but below 100 records only when they take several times as long as they may. */
size_t limit_next(const struct settings *settings, struct batch_cost cost);
/* How long nothing is done after a batch or a question that took so long, so that a share of the time is spent in them: 1 % where the load is
 * gentle, 20 % where it is normal. Never longer than LIMIT_LONGEST_PAUSE_US: what had to read or to wait for long does not
 * keep the sweep from its end. */
int64_t limit_pause(const struct settings *settings, int64_t took_us);

#define LIMIT_LONGEST_PAUSE_US (10 * TIME_SECOND_US)

#endif
