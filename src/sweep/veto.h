/* Whether a batch may be begun now, and why not: the one place for reasons that no schedule knows. Whoever watches the disk,
 * the load or the clock sets a veto and lifts it again; a lane asks before it chooses a batch, never inside a transaction, so
 * what is in flight always finishes. Nothing but batches waits: tenants are read, and what is left is verified.
 *
 * On the loop only. The journal gets a "wait" entry for each veto that batches waited for, when it is lifted or they gave up. */
#ifndef LAPSED_SWEEP_VETO_H
#define LAPSED_SWEEP_VETO_H

#include "base/text.h"

struct engine;

enum veto_kind {
    VETO_CLOCK,    /* the time is in doubt */
    VETO_JOURNAL,  /* its disk has no room for what follows an intent */
    VETO_UNSIGNED, /* its last checkpoint failed: what is destroyed now could not be proven */
    VETO_BLIND,    /* nobody can tell whether a store has enough to do */
    VETO_THROTTLE, /* it has; the one that passes by itself, so "lapsed --once" waits for it */
};

struct veto {
    enum veto_kind kind;
    char *store;  /* its name; NULL: all of them */
    char *code;   /* for the journal: "disk-full", "replica-lag" */
    char *reason; /* for people: lower case, a whole clause, no personal data */
    int64_t since_us;
    int64_t waited_us, sweep; /* since when, and in which sweep, batches wait for it; 0: none does */
    struct veto *next;
};

/* Who waits. Embedded in its owner, who asks again when `go` is called: never from inside veto_wait. */
struct veto_waiter {
    void (*go)(struct veto_waiter *waiter);
    const char *store;
    int64_t sweep;
    struct veto_waiter *next;
};

/* All zero at first; the engine has one. */
struct vetoes {
    struct veto *first;
    struct veto_waiter *waiters;
};

/* Forbids batches in `store` (NULL: in all). Set again, it gets the new code and reason and stays as old as it is. */
void veto_set(struct engine *engine, enum veto_kind kind, const char *store, const char *code, const char *reason);
/* Nothing where it was not set. */
void veto_lift(struct engine *engine, enum veto_kind kind, const char *store);
/* What forbids a batch in this store now; NULL: it may be begun. */
const struct veto *veto_on(const struct engine *engine, const char *store);
/* The same, of what does not pass by itself as VETO_THROTTLE does. */
const struct veto *veto_lasting(const struct engine *engine, const char *store);
/* One of that kind. */
const struct veto *veto_of(const struct engine *engine, enum veto_kind kind, const char *store);
/* Calls waiter->go when nothing forbids a batch in its store any more. */
void veto_wait(struct engine *engine, struct veto_waiter *waiter);
bool veto_is_waiting(const struct engine *engine, const struct veto_waiter *waiter);
/* It gives up: `go` is not called. Nothing where it does not wait. */
void veto_leave(struct engine *engine, struct veto_waiter *waiter);
/* The reasons for which somebody waits, with "; " between them. Nothing is added where nobody does. */
void veto_tell(const struct engine *engine, struct buf *to);
void vetoes_clear(struct engine *engine); /* at the end: nobody waits */

#endif
