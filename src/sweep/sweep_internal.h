/* What the files of the sweep share. sweep.c: the stages, one after the other; ask.c: the
 * questions to stores that change nothing; site.c: one store's passes; lane.c: one connection's batches, with limit.c, reread.c,
 * held.c and outcome.c; report.c: results, findings and their entries. */
#ifndef LAPSED_SWEEP_SWEEP_INTERNAL_H
#define LAPSED_SWEEP_SWEEP_INTERNAL_H

#include "sweep/settle.h"
#include "sweep/sweep.h"

#include <stddef.h>

/* A stage ends when no site is at work in it; sweep.c alone changes the stage. */
enum stage {
    STAGE_TENANTS, /* read the tenants and the periods in force */
    STAGE_CHECK,   /* every store: clock, unsettled batches, catalog */
    STAGE_EXPIRE,  /* keys, evidence and segments of the journal that have served their time go */
    STAGE_COUNT,   /* what is due? */
    STAGE_LEAVE,   /* what of it may go? */
    STAGE_MONGODB,
    STAGE_POSTGRESQL,
    STAGE_REDIS, /* after the others, because caches refill */
    STAGE_GATE,  /* whose tenants have nothing left but their own records? */
    STAGE_OWN,
    STAGE_VERIFY,
    STAGE_SURVEY, /* what do the catalogs show, and what can no rule decide? */
    STAGE_END,
};

/* A tenant that is no longer due under an order. */
struct exclusion {
    const struct order *order;
    const char *tenant;
};

/* A target that a store refused to be asked about. */
struct unanswered {
    const struct target *target;
    struct err err;
};

/* A store's clock, compared with ours. */
enum site_clock { SITE_CLOCK_UNKNOWN, SITE_CLOCK_SAME, SITE_CLOCK_APART };

/* One store's part in the sweep: what it is asked, and its orders, which its lanes carry out. At most one question is under
 * way, and none beside a pass. */
struct site {
    struct sweep *sweep;
    const struct store_conf *conf;
    struct lane *lanes; /* the first one also asks the questions */
    size_t n_lanes;
    struct job job; /* a question */
    void (*answered)(struct job *job); /* of that question */
    int64_t asked_us; /* monotonic */
    struct ev_timer timer; /* while its store is left to others */
    void (*rested)(struct site *site); /* what is done then */
    int64_t rests_until_us; /* monotonic */
    bool down; /* no longer asked in this sweep */
    struct err err;
    /* check */
    enum site_clock clock;
    struct arena *arena; /* answers that outlive the job */
    struct faults faults;
    struct settling *settling;
    size_t n_settling;
    /* count: what is due before anything is destroyed */
    const struct order **counted, **uncounted; /* uncounted: it would take too long */
    size_t n_counted, n_uncounted;
    const struct tally *counts; /* of those counted */
    int64_t counted_us; /* monotonic: when that was known */
    int64_t *gone;  /* of those counted, since then */
    bool doubtful;  /* not all that goes is known there */
    bool refilled;  /* the other stores destroyed since then what an application may have cached there meanwhile */
    const struct figures_share *shares;
    size_t n_shares;
    /* count, gate and verify */
    const struct order **asked;
    size_t n_asked;
    struct tally *tallies;
    const struct order **held; /* what is due but held, with its tallies: counted with the rest where each count reads everything */
    size_t n_held;
    struct tally *held_tallies;
    bool held_counted;
    struct unanswered *unanswered; /* what could not be asked; nothing else is known of it */
    size_t n_unanswered;
    const struct order **own_orders; /* for the tenants that have nothing else left */
    size_t n_own_orders;
    /* survey */
    const struct target *surveyed;
    const struct undecidable *undecidable; /* of that target */
    size_t n_undecidable;
    struct standing answer; /* while it is made */
    int64_t survey_left_us; /* of its budget; used up: no further target is asked */
    /* batches */
    const struct order **orders; /* of this round */
    size_t n_orders;
    const struct order **later; /* those over blocked records: a round of their own, when nothing else goes */
    size_t n_later;
    const struct order **left_out; /* failed: not tried again in this sweep */
    size_t n_left_out;
    struct exclusion *excluded; /* tenants that are no longer due: each pass is told before it chooses */
    size_t n_excluded;
    bool divisible; /* a long pass of this round may be divided among the lanes */
    bool divide;    /* the next pass is: much was counted, or the one under way, which ends, has turned out to be long */
    size_t passes;
    size_t running; /* lanes at work in the pass */
    int64_t done_in_pass; /* records destroyed or anonymized */
};

/* One connection's share of a pass: batch after batch. At most one job, ticket or timer of it is under way, or it waits for a
 * veto to be lifted. */
struct lane {
    struct sweep *sweep;
    struct site *site;
    struct worker *worker;
    struct job job;
    struct ev_timer timer;
    struct veto_waiter waiter;
    int64_t waits_since_us; /* monotonic */
    struct journal_ticket ticket;
    bool bound; /* its store knows the catalog of this sweep */
    struct portion portion;
    const struct order **orders; /* of the pass under way */
    size_t n_orders;
    struct pass *pass;
    size_t passes; /* begun in this round */
    bool again;    /* this portion needs another pass: it ended before it was done */
    size_t full_batches; /* in this pass */
    size_t *limits;    /* records a batch, by target.number */
    struct exclusion *telling; /* a copy of site->excluded for the job */
    size_t n_telling, n_told;
    unsigned attempts; /* in a row without a batch */
    int64_t failing_us; /* monotonic: since the first of them */
    /* the batch */
    struct arena *batch_arena;
    const struct batch *batch;
    const struct order *failed;
    bool commit;
    bool committing; /* finish was told to commit, and is not back */
    struct outcome outcome;
    int64_t claimed; /* the batch's records, from its intent until it is known what became of them */
    int64_t batch_number;
    int64_t began_us, worked_us; /* monotonic; how long the store worked on it, without waiting for a disk */
    int64_t entered_us, journal_us; /* monotonic, of its intent; how long that was on its way to the journal's disk */
    const struct unsettled *unknown; /* this batch, while its store is asked what became of it; the engine's */
    enum settled settled;
    struct tenants *reread;
    bool prepare_again; /* after this rollback */
};

struct sweep {
    struct engine *engine;
    const struct schedule *schedule;
    struct arena *arena;
    const char *trigger;
    enum stage stage;
    size_t running; /* sites at work in the stage */
    bool begun;   /* its first entry is in the journal */
    bool stopping;
    bool tenants_failed;
    bool verified; /* the last stage before the end was reached */
    bool gated; /* the gate was asked: own records are judged by site.own_orders */
    struct job job; /* of a stage that asks no site */
    int64_t tenants_asked_us; /* monotonic */
    struct journal_ticket ticket;
    struct tenants *tenants;
    struct history *history;
    const char *const *own_tables;
    size_t n_own_tables;
    struct plan *plan;
    unsigned holds_version; /* of the engine, when the plan was made */
    struct brakes *brakes;
    struct leave *leaves;    /* by rule.number; NULL: not judged yet */
    const struct order **orders; /* of the plan, or of an earlier time: what may be carried out */
    size_t n_orders;
    struct approval *open;   /* that were there when it was judged */
    size_t n_open;
    const char **spent;
    const char *list_text;   /* the list of tenants waits for an approval; NULL: it does not */
    void (*saved)(struct sweep *sweep);
    bool *refused;           /* by target.number: it could not be counted */
    bool *bad; /* by target.number */
    struct site *sites; /* by store index */
    int64_t batches;
    struct rule_report *rules;
    struct finding *findings;
    size_t n_findings;
    bool surveys; /* the survey is due in this sweep */
    struct sweep_report report;
    void (*done)(void *context, const struct sweep_report *report);
    void *context;
};

/* The site or lane that a job, ticket, timer or waiter is embedded in. */
#define SITE_OF(pointer, member) ((struct site *)(void *)((char *)(pointer) - offsetof(struct site, member)))
#define LANE_OF(pointer, member) ((struct lane *)(void *)((char *)(pointer) - offsetof(struct lane, member)))

/* sweep.c */
void sweep_site_over(struct site *site); /* this store has nothing more to do in this stage */
void sweep_site_unasked(struct site *site); /* the same: the sweep ends before it was asked */
void sweep_work(struct sweep *sweep, int (*run)(struct job *, struct store *, struct err *), void (*done)(struct job *)); /* sweep->job, where files are read and written */
bool sweep_clock_is_confirmed(const struct sweep *sweep); /* by one store at least, and doubted by none */
void sweep_stop(struct sweep *sweep, const struct err *err); /* the journal or the tenants failed: no further batch */

/* site.c */
void site_begin(struct site *site, struct sweep *sweep, size_t index);
bool site_is_stale(const struct site *site); /* what was counted may not be all that is due by now */
void site_free(struct site *site);
/* The store worked for us so long, and is left to others for the share of the time that the load says. */
void site_rest(struct site *site, int64_t took_us);
void site_when_rested(struct site *site, void (*then)(struct site *site)); /* at once where nothing is owed or the sweep ends */
void site_hurry(struct site *site); /* the sweep ends: it rests no longer */
/* Runs the orders to the end, pass after pass until one destroys nothing, then calls sweep_site_over. alone: by one lane. */
void site_run(struct site *site, const struct order **orders, size_t n_orders, bool alone);
void site_lane_over(struct lane *lane); /* this lane's portion of the pass is done, or cannot be */
void site_down(struct site *site, const struct err *err); /* notes it and reports a finding */
void site_target_failed(struct site *site, const struct target *target, const struct err *err); /* the same for one target */
void site_leave_out(struct site *site, const struct order *order);
bool site_is_left_out(const struct site *site, const struct order *order);
void site_exclude(struct site *site, const struct order *order, const char *tenant); /* copies the id */

/* lane.c */
void lane_begin(struct lane *lane, size_t part, size_t parts); /* then calls site_lane_over, from a job of its own */
void lane_hurry(struct lane *lane); /* the sweep ends: whatever it waits for, it waits no longer */

/* held.c: holds on the lane's present batch */
bool held_forbids(const struct lane *lane, const struct holds *holds);
/* Leaves its held tenants out of what the pass does from now on. false: it is not they that are held, but all of its target, or
 * records that do not say whose they are. */
bool held_leave_out(struct lane *lane, const struct holds *holds);

/* outcome.c: what became of the lane's present batch */
void outcome_enter(struct lane *lane, const char *outcome, const struct err *err); /* err: why, or NULL */
void outcome_note(struct lane *lane); /* it was committed */
struct unsettled *outcome_unsettled(const struct lane *lane); /* to be asked about; the caller's */

/* reread.c: whether the batch's tenants are as the plan saw them: their ends, periods and parents */
bool reread_is_needed(const struct lane *lane);
int reread_run(struct job *job, struct store *store, struct err *err); /* lane->job: fills lane->reread */
size_t reread_judge(struct lane *lane); /* how many changed: those are reported, and left out of this sweep */

/* ask.c */
void site_ask(struct site *site, int (*run)(struct job *, struct store *, struct err *), void (*done)(struct job *)); /* site->job */
/* Each asks once, and calls sweep_site_over when the answer is there. */
void site_check(struct site *site);
void site_count(struct site *site);
void site_gate(struct site *site, const struct order **orders, size_t n_orders);
void site_verify(struct site *site);

/* report.c */
void report_finding(struct sweep *sweep, struct finding finding);
/* Records of this rule are due and stay for now; those with the same reason are added up (-1: how many is not known). */
void report_wait(struct sweep *sweep, const struct rule *rule, const char *why, int64_t records);
void report_begin(struct sweep *sweep);
void report_tallies(struct sweep *sweep, const struct site *site);
void report_end(struct sweep *sweep); /* enters findings and the sweep's end, then calls done */

#endif
