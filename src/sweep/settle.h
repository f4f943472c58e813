/* What became of batches whose outcome is not known. A sweep asks a store before it destroys there; between sweeps the daemon
 * asks, because a hold is acknowledged only when that is known, and the next sweep may be a day away or kept away by a pause. */
#ifndef LAPSED_SWEEP_SETTLE_H
#define LAPSED_SWEEP_SETTLE_H

#include "sweep/engine.h"

struct settling {
    const struct unsettled *batch;
    enum settled result;
};

/* The engine's batches of this store, in `arena`. */
struct settling *settle_list(const struct engine *engine, const struct store_conf *conf, struct arena *arena, size_t *ret_count);
/* On a worker: asks for each of them. */
int settle_all(struct store *store, struct settling *settling, size_t count, struct err *err) MUST_CHECK;
/* On the loop: enters the outcome; the engine forgets the batch. */
void settle_enter(struct engine *engine, const struct settling *settling);

/* While no sweep runs: asks every store that has such batches, unless it was asked a moment ago. No sweep may be begun before the
 * answers are there; engine->settle_over is called on the loop with each of them, and may only wake others up. */
void settle_ask(struct engine *engine);
bool settle_is_under_way(const struct engine *engine);

#endif
