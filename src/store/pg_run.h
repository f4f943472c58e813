/* A run: one order on one table (the target's or a leaf of it), batch after batch. It knows where the last batch ended. */
#ifndef LAPSED_STORE_PG_RUN_H
#define LAPSED_STORE_PG_RUN_H

#include "store/pg_compile.h"
#include "store/pg_taken.h"

/* How records are chosen; which one is fast follows from the indexes. */
enum pg_shape {
    PG_BY_TENANT, /* a window of tenants, each by the index on (tenant, since) */
    PG_BY_SINCE,  /* all of them, by the index on since */
    PG_BY_BLOCK,  /* all of them, block range by block range */
};

/* A tenant with something due, waiting for its turn. */
struct pg_waiting {
    struct scope_tenant tenant;
    const char *last; /* the anchor that its last batch ended with, as text; NULL: from the beginning */
    struct pg_waiting *next;
};

enum { PG_MOST_WINDOW = 4096 };

struct pg_run {
    struct arena *arena;
    struct order order; /* narrowed to the tenants that have something due */
    struct pg_due due;
    enum pg_shape shape;
    bool careful;       /* lock, look again, then act */
    bool over;

    struct pg_waiting *first, *last;
    struct pg_waiting *window[PG_MOST_WINDOW]; /* taken out of the queue for the batch under way */
    size_t n_window, window_size;
    struct scope scope; /* of the batch under way: the window, or all */

    const char *since;         /* PG_BY_SINCE: where the last batch ended; NULL: nowhere yet */
    /* PG_BY_BLOCK: the range of the next batch, where it begins behind `after`; then on to the end. */
    int64_t block, n_blocks_window, end_block;
    int64_t n_blocks_fit; /* so many records are expected in as many blocks; 0: nobody knows */
    bool is_after;
    struct pg_ctid after;
    int64_t n_blocks; /* of the table */
    /* Records and dependents: how many went, and more than there can have been. */
    int64_t taken, most;
};

/* Inside a transaction: asks who of the portion has anything due. `over` is set if nobody has. */
int pg_run_open(struct pg_store *store, struct pg_run *run, const struct order *order, const struct pg_table *leaf, const struct portion *portion,
                struct arena *arena, struct err *err) MUST_CHECK;
/* pg_shape.c: sets the shape of a run that is open but for that. */
int pg_run_shape(struct pg_store *store, struct pg_run *run, struct err *err) MUST_CHECK;
/* SET LOCAL … that keep the planner on the run's path. */
const char *pg_run_pins(const struct pg_run *run);
/* Sets window and scope of the next batch, for which at most so many records are chosen; false: the run is over. */
bool pg_run_next(struct pg_run *run, size_t most);
/* SELECT … of the ctids of at most `limit` records; `columns` instead of t.ctid; `lock`: FOR UPDATE SKIP LOCKED. */
void pg_run_add_choice(struct pg_sql *sql, const struct pg_run *run, const char *columns, size_t limit, bool lock);
/* "tenant, instant, anchor, ctid" of t: what struct pg_record is read from, in a binary result; its texts are the result's or `room`. */
enum { PG_RUN_RECORD_COLUMNS = 4 };
void pg_run_add_record(struct pg_sql *sql, const struct pg_run *run);
struct pg_record pg_run_record(const PGresult *result, int row, char room[PG_VALUE_ROOM]);
/* After a batch that chose these; full: there may be more. */
void pg_run_advance(struct pg_run *run, const struct pg_taken *chosen, bool full, bool progress);
/* Records come back as they are destroyed (a trigger writes them again): without this bound the run would never end. */
bool pg_run_is_endless(const struct pg_run *run);
/* The batch took the server too long: the next one looks at half as many blocks. */
void pg_run_narrow(struct pg_run *run);
/* Puts the window back: the batch did not happen. */
void pg_run_put_back(struct pg_run *run);
/* This tenant goes to the end of the queue. */
void pg_run_defer(struct pg_run *run, const char *tenant);
/* Nothing of this tenant any more. */
void pg_run_exclude(struct pg_run *run, const char *tenant);

#endif
