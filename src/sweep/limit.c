#include "sweep/limit.h"

/* What a batch of FEW takes is mostly what any batch takes (on a busy server it may be all of its time): making it smaller would
 * only make more of them, unless its records are slow indeed. */
enum { FEW = 100, FIRST = FEW, LEAST = 10, LARGEST_STEP = 8, SLOW = 4 };

/* By the load: what part of batch.time a batch may take, and how many times as long as it took is waited after it. */
static const struct {
    int64_t parts, waits;
} loads[] = {[LOAD_GENTLE] = {10, 99}, [LOAD_NORMAL] = {2, 4}, [LOAD_FULL] = {1, 0}};

static int64_t batch_time_us(const struct settings *settings) { return settings->batch_time_us / loads[settings->load].parts; }

static size_t within(const struct settings *settings, double limit) {
    if (limit < LEAST) limit = LEAST;
    if (limit > (double)settings->batch_rows) limit = (double)settings->batch_rows;
    return limit < 1 ? 1 : (size_t)limit;
}

size_t limit_first(const struct settings *settings) { return within(settings, FIRST); }

size_t limit_next(const struct settings *settings, struct batch_cost cost) {
    double time = (double)batch_time_us(settings), left = time - (double)cost.waited_us, least = time / 4;
    double budget = left > least ? left : least;
    double worked = cost.worked_us > 0 ? (double)cost.worked_us : 1, limit = (double)cost.limit;
    double fitting = (double)(cost.records > 0 ? cost.records : 1) * budget / worked;
    if (fitting < limit) {
        if (fitting < FEW && worked <= time * SLOW) fitting = limit < FEW ? limit : FEW;
        /* A batch that was not full says how long its records took, and not how long a full one would. */
        bool full = cost.records >= (int64_t)cost.limit / 2;
        return within(settings, full || worked > budget ? fitting : limit);
    }
    if (cost.records < (int64_t)cost.limit / 2) return within(settings, limit);
    if (fitting > limit * LARGEST_STEP) fitting = limit * LARGEST_STEP;
    return within(settings, fitting);
}

int64_t limit_pause(const struct settings *settings, int64_t took_us) {
    int64_t waits = loads[settings->load].waits;
    if (took_us <= 0) return 0;
    return waits && took_us > LIMIT_LONGEST_PAUSE_US / waits ? LIMIT_LONGEST_PAUSE_US : took_us * waits;
}
