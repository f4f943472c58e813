/* Takes the records of one batch, in an open transaction: chooses, destroys or anonymizes, and tells what it was. */
#ifndef LAPSED_STORE_PG_TAKE_H
#define LAPSED_STORE_PG_TAKE_H

#include "store/pg_run.h"

/* A batch under construction. */
struct pg_making {
    struct pg_store *store;
    struct pg_run *run;
    size_t *parents; /* how many records to begin with where dependents count, too; 0: as many as the limit */
    struct arena *arena; /* the caller's, for the batch; results are kept for as long */
    size_t limit;
    struct pg_taken gone;   /* destroyed or changed */
    struct pg_taken chosen; /* where the next batch begins behind */
    bool full, drained;
    int64_t dependents;
    int64_t deleted; /* rows, by our own statements */
    const char *drained_tenant;
    struct evidence_batch *evidence;
    int64_t evidence_us; /* how long it took to note what was destroyed */
    bool unnamed; /* some of it has no identity but its ctid: counted, without a leaf */
};

/* The statement of a batch of records that nothing hangs on. */
void pg_take_add(struct pg_sql *sql, const struct pg_run *run, size_t limit);
/* That one statement. */
int pg_take_at_once(struct pg_making *making, struct err *err) MUST_CHECK;
/* The most records that are chosen: where dependents count, too, fewer than the limit. */
size_t pg_take_most(const struct pg_making *making);
/* Locks, looks again, then takes children before parents. */
int pg_take_carefully(struct pg_making *making, struct err *err) MUST_CHECK;

#endif
