/* An inspection looks and changes nothing: it opens every store in a read-only session, reads the tenants, makes the plan of
 * a sweep at a given time and counts it, with the same orders that a sweep would carry out. Straight-line code for lapsectl;
 * it needs no loop and no workers. */
#ifndef LAPSED_SWEEP_INSPECT_H
#define LAPSED_SWEEP_INSPECT_H

#include "request/ledger.h"
#include "schedule/history.h"
#include "schedule/plan.h"
#include "store/store.h"

struct inspect_order {
    const struct order *order;
    struct tally tally;
    bool asked;     /* tally is valid */
    const char *why; /* why not: "store \"main\" cannot be reached", "the catalog disagrees" */
    int64_t waiting_tenants; /* own records: tenants left out of the order because others of their records are kept longer */
};

struct inspection {
    struct arena *arena;
    const struct schedule *schedule;
    struct store **stores;    /* by store index; NULL: could not be opened */
    struct err *store_errors; /* by store index; ERR_NONE: reachable */
    bool *bad;                /* by target.number: the catalog disagrees with it */
    struct faults faults;     /* what the catalogs say is wrong */
    struct tenants *tenants;
    struct history *history;
    const char *const *own_tables;
    size_t n_own_tables;
    struct plan *plan;
    struct inspect_order *orders; /* as the plan's */
    size_t n_orders;
    struct ledger_copy asked; /* the holds and the pause, as the daemon last wrote them down */
    struct holds holds;       /* those in force at the plan's time */
    struct brakes *brakes;
    const struct figures_share **shares; /* by store index */
    size_t *n_shares;
    struct leave *leaves;     /* by rule.number, as of the daemon's last sweep and this count; NULL: not judged */
    const char *list_text;    /* the list of tenants waits for an approval; NULL: it does not */
    struct inspect_order *held; /* what is due but held */
    size_t n_held;
};

/* Unreachable stores are noted in store_errors, not fatal. The schedule must outlive the inspection. */
int inspection_open(const struct schedule *schedule, struct inspection **ret_inspection, struct err *err) MUST_CHECK;
/* Asks every store for its clock and binds its targets to its catalog: fills store_errors, faults and bad. */
void inspection_check(struct inspection *inspection);
/* Reads the tenants and tells the stores of them. After inspection_check; inspection_plan does it too. */
int inspection_know(struct inspection *inspection, struct err *err) MUST_CHECK;
/* Reads the tenants and the periods in force and makes the plan. After inspection_check. */
int inspection_plan(struct inspection *inspection, int64_t now_us, struct err *err) MUST_CHECK;
/* Leaves of the plan's orders what concerns this tenant. After inspection_plan. */
void inspection_narrow(struct inspection *inspection, const char *tenant);
/* Counts every order of the plan and leaves out the own records that wait; a store that fails now is noted in store_errors. */
void inspection_count(struct inspection *inspection);
/* Judges every rule by what was counted, as the next sweep would. */
void inspection_judge(struct inspection *inspection);
struct store *inspection_store(const struct inspection *inspection, const struct store_conf *conf); /* NULL: not open */
void inspection_close(struct inspection *inspection); /* NULL is fine */

#endif
