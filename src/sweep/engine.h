/* What outlives a sweep: the loop, the journal, and for the schedule in force some workers a store, with another one on the
 * tenants' store that reads the tenants' ends again while a batch is under way (its own connection sees what is committed,
 * also when the batch has just deleted those lines). */
#ifndef LAPSED_SWEEP_ENGINE_H
#define LAPSED_SWEEP_ENGINE_H

#include "journal/journal.h"
#include "schedule/brake.h"
#include "schedule/holds.h"
#include "schedule/schedule.h"
#include "store/worker.h"
#include "sweep/survey.h"
#include "sweep/clock.h"
#include "sweep/tenant_name.h"
#include "sweep/veto.h"

#include <ev.h>

/* A batch whose outcome is not known: settled by asking its store, before that store's next sweep. */
struct unsettled {
    int64_t seq, sweep, batch;
    char *store, *transaction, *server; /* malloc'ed */
    struct unsettled *next;
};

struct unsettled *unsettled_new(int64_t seq, int64_t sweep, int64_t batch, const char *store, const char *transaction, const char *server);
void unsettled_free(struct unsettled *batch); /* NULL is fine */

/* A store's workers: each has a connection of its own. */
struct crew {
    struct worker **workers;
    size_t count; /* at least one */
};

struct keeper;
struct throttle;

struct engine {
    struct ev_loop *loop;
    struct journal *journal;
    struct ev_async wake;
    struct schedule *schedule;
    struct crew *crews;            /* by the store's index in the schedule */
    struct throttle **throttles;   /* by the store's index; NULL where the store cannot be asked how others fare */
    struct worker *tenants_worker; /* NULL: the schedule has no tenants */
    unsigned char pseudonym_key[32], evidence_key[32]; /* this calendar month's; renewed between sweeps only */
    struct tenant_names tenant_names; /* read with the tenants, before a sweep enters any */
    struct unsettled *unsettled;
    size_t settling;         /* stores that are asked for them just now, outside a sweep; see settle.h */
    int64_t settle_asked_us; /* monotonic; 0: never */
    void (*settle_over)(void *context); /* NULL: nobody waits */
    void *settle_context;
    struct keeper *keeper;
    struct survey survey;       /* what surveys found that still stands */
    size_t *limits; /* records a batch, by target.number, as the last batches told; 0: not known */
    const struct holds *holds;  /* in force now; NULL: none. A plan was made with those of its time, a batch is judged by these */
    unsigned holds_version;     /* changes with them */
    const struct approvals *approvals; /* open now; NULL: none */
    char list_digest[65];       /* of the list of tenants that waits for an approval; "": none does */
    struct clock *clock;        /* NULL: nobody doubts it */
    struct vetoes vetoes;       /* why no batch may be begun now */
    /* NULL, or called when a sweep has read its tenants, before it plans. */
    void (*tenants_read)(void *context, const struct tenants *tenants);
    void *tenants_context;
};

/* Opens the stores (no connection is made yet) and starts the workers. On failure nothing is left behind. */
int engine_start(struct engine *engine, struct schedule *schedule, struct err *err) MUST_CHECK;
void engine_stop(struct engine *engine); /* joins the workers, closes the stores; the schedule stays the caller's */
void engine_interrupt(struct engine *engine); /* whatever stores are asked now ends soon */
/* On the loop, when woken: whatever workers and the journal have finished. */
void engine_collect(struct engine *engine);
/* Takes it over. Returns it, or the one with the same seq if there is one already, which others may have at hand: it stays. */
const struct unsettled *engine_remember(struct engine *engine, struct unsettled *batch);
void engine_forget(struct engine *engine, int64_t seq);
size_t engine_store_index(const struct engine *engine, const struct store_conf *conf);

#endif
