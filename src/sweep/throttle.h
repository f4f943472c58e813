/* The throttle of one store: while a sweep runs it asks, every few seconds and over a connection of its own, how others fare
 * there, and vetoes batches as long as one of the figures is above its limit, or nobody can tell. On the loop only. */
#ifndef LAPSED_SWEEP_THROTTLE_H
#define LAPSED_SWEEP_THROTTLE_H

#include "store/worker.h"

struct engine;
struct throttle;

/* Takes the worker over; its store must be one of a driver that can be asked. */
struct throttle *throttle_new(struct engine *engine, const struct store_conf *conf, struct worker *worker);
void throttle_free(struct throttle *throttle); /* joins its worker; NULL is fine */
struct worker *throttle_worker(const struct throttle *throttle);

/* A sweep begins: asks now, and from then on. `measured` is called once, when the first answer has been judged (or when the sweep
 * ends before). NULL throttle: at once. */
void throttle_begin(struct throttle *throttle, void (*measured)(void *context), void *context);
void throttle_end(struct throttle *throttle); /* the sweep is over, and with it the veto; NULL is fine */

/* Something of it may not be read. */
bool throttle_is_unreadable(const struct pressure *pressure);
/* Pure. A code for the journal, and for people why, if others fare so badly by these figures that a sweep should wait; else NULL.
 * Where throttle.* is configured a sweep waits for what may not be read, too: *ret_blind. */
const char *throttle_judge(const struct throttle_limits *limits, const char *store, const struct pressure *pressure, bool *ret_blind, struct buf *why);

#endif
