/* The keeper: while holds are in force, what a store would expire by itself is made to stay, and goes on expiring when they are
 * released (store.h, `keep`). It has a connection of its own to each store that expires anything, works when the holds change
 * and at each sweep, and has nothing to do with batches. */
#ifndef LAPSED_SWEEP_KEEPER_H
#define LAPSED_SWEEP_KEEPER_H

#include "base/text.h"
#include "schedule/holds.h"

struct engine;
struct keeper;

/* No connection is made yet. */
int keeper_start(struct engine *engine, struct keeper **ret_keeper, struct err *err) MUST_CHECK;
void keeper_stop(struct keeper *keeper); /* joins; NULL is fine */
void keeper_collect(struct keeper *keeper); /* on the loop, when woken */
/* Looks after the holds in force now, behind what it is doing; not anew: only if there are any, or were at the last look. */
void keeper_look(struct keeper *keeper, bool anew);
/* Whether it has not been through with the present holds yet; where a store does not answer, it has. */
bool keeper_is_busy(const struct keeper *keeper);
/* For the answer to a hold: "; 12 keys of store "cache" that expire by themselves stay …". */
void keeper_tell(const struct keeper *keeper, struct buf *to);

#endif
