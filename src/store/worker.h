/* Workers: each owns one store (one connection) and runs jobs on it in straight-line code on its own thread. A job goes in
 * and the same job comes out with its answer and its own error, exactly once, on the loop (worker_collect). No callback
 * runs inside the call that asked for it, and no lock is held while one runs. */
#ifndef LAPSED_STORE_WORKER_H
#define LAPSED_STORE_WORKER_H

#include "store/store.h"

struct worker;

/* Embedded in its owner, which keeps what `run` needs; not to be touched between submit and done. */
struct job {
    int (*run)(struct job *job, struct store *store, struct err *err); /* on the worker's thread */
    void (*done)(struct job *job);                                     /* on the loop; looks at failed and err */
    bool failed;
    struct err err;
    struct job *next;
};

/* Takes the store over. `wake` is called on the worker's thread when a job is ready to be collected. */
struct worker *worker_start(struct store *store, void (*wake)(void *context), void *context);
void worker_submit(struct worker *worker, struct job *job); /* in order of submission */
void worker_collect(struct worker *worker);                 /* on the loop: `done` of every finished job */
bool worker_idle(const struct worker *worker);              /* no job is queued, under way or uncollected */
const char *worker_name(const struct worker *worker);       /* the store's */
void worker_interrupt(struct worker *worker);               /* the verb under way, if any, ends soon with ERR_UNAVAILABLE */
/* Ends the verb under way soon, joins the thread (queued jobs come back with ERR_UNAVAILABLE), closes the store. NULL is fine. */
void worker_stop(struct worker *worker);

#endif
