/* How many records fit into a batch's time. Pure. */
#ifndef LAPSED_SWEEP_LIMIT_H
#define LAPSED_SWEEP_LIMIT_H

#include "schedule/schedule.h"

/* What one batch took. Only the store's work grows with the number of records: waiting for a disk, the journal's or the store's
 * own, does not. */
struct batch_cost {
    size_t limit;    /* it was allowed so many records */
    int64_t records; /* and had so many, dependents included */
    int64_t worked_us, waited_us;
};

size_t limit_first(const struct settings *settings); /* of a target that nothing is known of */
/* The limit of the next batch of the same target: what is expected to take settings->batch_time_us with the waiting, but a
 * quarter of that where the waiting leaves less. It grows step by step, since the first records may be the cheap ones, and shrinks
 * at once, but below 100 records only when they take several times as long as they may. */
size_t limit_next(const struct settings *settings, struct batch_cost cost);

#endif
