/* One sweep: tenants, plan, batches store by store, the tenants' own records last, verification. It runs on the loop and
 * owns all state; stores are only asked through workers. */
#ifndef LAPSED_SWEEP_SWEEP_H
#define LAPSED_SWEEP_SWEEP_H

#include "schedule/plan.h"
#include "sweep/engine.h"

struct sweep;

/* Due records that are still there. */
struct wait {
    const char *why; /* for people: "held", "blocked by invoices" */
    int64_t records; /* -1: not known */
};

/* What a sweep did for one rule. */
struct rule_report {
    const struct rule *rule;
    int64_t purged, anonymized, dependents;
    int64_t blocked, undecidable;
    int64_t left;   /* due and free to go, but still there: -1 if a store could not be asked. Of a Redis, maybe of what was counted a minute ago */
    int64_t lag_us; /* how long the oldest of those has been due */
    int64_t oldest_us; /* since when the oldest record has been due that is still there for whatever reason; 0: none is known */
    const struct wait *waits; /* what of it waits, and why */
    size_t n_waits;
};

struct store_report {
    const struct store_conf *conf;
    bool down;
    struct err err; /* why */
};

struct sweep_report {
    int64_t number, began_us, ended_us;
    bool clock_confirmed; /* by the stores' clocks: of one at least, and of all that answered */
    bool ended_early;    /* a stop or a reload cut it short */
    const char *outcome; /* in the journal's words: "done", "ended-early", "failed" (nothing could be asked) */
    bool waits;          /* work is left that a later sweep may do: a store was down, records were busy */
    bool faulty;         /* targets that the catalogs refuse were left out */
    bool journal_failed; /* an entry could not be written */
    const char *reason;  /* why nothing at all was destroyed; NULL: no such reason */
    const char *const *spent; /* ids of approvals that were carried out */
    size_t n_spent;
    bool again;          /* what became due after an approval is left: it goes with another sweep */
    const struct waiting *waiting; /* for an approval */
    size_t n_waiting;
    const char *const *notes; /* the plan's */
    size_t n_notes;
    const struct rule_report *rules; /* by rule.number */
    size_t n_rules;
    const struct store_report *stores; /* by index */
    size_t n_stores;
    const struct finding *findings;
    size_t n_findings;
};

/* `done` is called once, on the loop, when the sweep's last entry is on disk (or could not be); the report lives until
 * sweep_free, which may be called from then on, but not inside `done`. */
struct sweep *sweep_start(struct engine *engine, const char *trigger, int64_t now_us,
                          void (*done)(void *context, const struct sweep_report *report), void *context);
/* No further batch is begun and none is waited for; those in flight are finished. */
void sweep_end_early(struct sweep *sweep);
/* Whether a batch that this hold forbids was given leave to commit before the hold came, and is not over. */
bool sweep_is_committing(const struct sweep *sweep, const struct hold *hold);
const struct tenants *sweep_tenants(const struct sweep *sweep); /* NULL: not read yet */
void sweep_free(struct sweep *sweep); /* NULL is fine */
/* What came of it, as a line of the log. */
void sweep_report_log(const struct sweep_report *report);
/* For status, in the sweep's own words. True: it waits, and the text begins with what for. */
bool sweep_progress(const struct sweep *sweep, struct buf *to);

#endif
