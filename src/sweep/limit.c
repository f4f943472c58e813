#include "sweep/limit.h"

/* What a batch of FEW takes is mostly what any batch takes (on a busy server it may be all of its time): making it smaller would
 * only make more of them, unless its records are slow indeed. */
enum { FEW = 100, FIRST = FEW, LEAST = 10, LARGEST_STEP = 8, SLOW = 4 };

static size_t within(const struct settings *settings, double limit) {
    if (limit < LEAST) limit = LEAST;
    if (limit > (double)settings->batch_rows) limit = (double)settings->batch_rows;
    return limit < 1 ? 1 : (size_t)limit;
}

size_t limit_first(const struct settings *settings) { return within(settings, FIRST); }

size_t limit_next(const struct settings *settings, struct batch_cost cost) {
    double left = (double)(settings->batch_time_us - cost.waited_us), least = (double)settings->batch_time_us / 4;
    double budget = left > least ? left : least;
    double worked = cost.worked_us > 0 ? (double)cost.worked_us : 1, limit = (double)cost.limit;
    double fitting = (double)(cost.records > 0 ? cost.records : 1) * budget / worked;
    if (fitting < limit) {
        if (fitting < FEW && worked <= (double)settings->batch_time_us * SLOW) fitting = limit < FEW ? limit : FEW;
        /* A batch that was not full says how long its records took, and not how long a full one would. */
        bool full = cost.records >= (int64_t)cost.limit / 2;
        return within(settings, full || worked > budget ? fitting : limit);
    }
    if (cost.records < (int64_t)cost.limit / 2) return within(settings, limit);
    if (fitting > limit * LARGEST_STEP) fitting = limit * LARGEST_STEP;
    return within(settings, fitting);
}
