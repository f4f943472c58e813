/* What the files of the sweep share. sweep.c: the stages, one after the other; lane.c: one store's batches; ask.c: the
 * questions to stores that change nothing; report.c: results, findings and their entries. */
#ifndef LAPSED_SWEEP_SWEEP_INTERNAL_H
#define LAPSED_SWEEP_SWEEP_INTERNAL_H

#include "sweep/sweep.h"

#include <stddef.h>

/* A stage ends when no lane is at work in it; sweep.c alone changes the stage. */
enum stage {
    STAGE_TENANTS, /* read the tenants and the periods in force */
    STAGE_CHECK,   /* every store: clock, unsettled batches, catalog */
    STAGE_MONGODB,
    STAGE_POSTGRESQL,
    STAGE_REDIS, /* after the others, because caches refill */
    STAGE_GATE,  /* whose tenants have nothing left but their own records? */
    STAGE_OWN,
    STAGE_VERIFY,
    STAGE_SURVEY, /* what do the catalogs show, and what can no rule decide? */
    STAGE_END,
};

struct settling {
    const struct unsettled *batch;
    enum settled result;
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

/* One store's part in the sweep. At most one job, ticket or timer of it is under way. */
struct lane {
    struct sweep *sweep;
    const struct store_conf *conf;
    struct worker *worker;
    struct job job;
    struct ev_timer timer;
    struct veto_waiter waiter;
    struct journal_ticket ticket;
    bool down; /* no longer asked in this sweep */
    struct err err;
    /* check */
    struct arena *arena; /* answers that outlive the job */
    struct faults faults;
    struct settling *settling;
    size_t n_settling;
    /* gate and verify */
    const struct order **asked;
    size_t n_asked;
    struct tally *tallies;
    const struct order **held; /* what is due but held, with its tallies */
    size_t n_held;
    struct tally *held_tallies;
    struct unanswered *unanswered; /* what could not be asked; nothing else is known of it */
    size_t n_unanswered;
    const struct order **own_orders; /* for the tenants that have nothing else left */
    size_t n_own_orders;
    /* survey */
    const struct target *surveyed;
    const struct undecidable *undecidable; /* of that target */
    size_t n_undecidable;
    struct standing answer; /* while it is made */
    int64_t survey_until_us; /* monotonic: no further target is asked */
    /* batches */
    const struct order **orders;
    size_t n_orders;
    const struct order **later; /* those over blocked records: a round of their own, when nothing else goes */
    size_t n_later;
    const struct order **left_out; /* failed: not tried again in this sweep */
    size_t n_left_out;
    struct pass *pass;
    size_t passes;
    int64_t done_in_pass; /* records destroyed or anonymized */
    struct arena *batch_arena;
    const struct batch *batch;
    const struct order *failed;
    bool commit;
    bool committing; /* finish was told to commit, and is not back */
    struct outcome outcome;
    int64_t batch_number;
    size_t limit;
    unsigned attempts; /* in a row without a batch */
    int64_t batch_began_us; /* monotonic */
    const struct unsettled *unknown; /* this batch, while its store is asked what became of it; the engine's */
    enum settled settled;
    struct tenants *reread;
    bool again; /* prepare again after this rollback */
    struct exclusion *excluded; /* told to the store before the next batch is chosen */
    size_t n_excluded;
};

struct sweep {
    struct engine *engine;
    const struct schedule *schedule;
    struct arena *arena;
    const char *trigger;
    enum stage stage;
    size_t running; /* lanes at work */
    bool begun;   /* its first entry is in the journal */
    bool stopping;
    bool tenants_failed;
    bool verified; /* the last stage before the end was reached */
    bool gated; /* the gate was asked: own records are judged by lane.own_orders */
    struct job job; /* of the tenants stage */
    struct journal_ticket ticket;
    struct tenants *tenants;
    struct history *history;
    const char *const *own_tables;
    size_t n_own_tables;
    struct plan *plan;
    unsigned holds_version; /* of the engine, when the plan was made */
    bool *bad; /* by target.number */
    struct lane *lanes; /* by store index */
    int64_t batches;
    struct rule_report *rules;
    struct finding *findings;
    size_t n_findings;
    bool surveys; /* the survey is due in this sweep */
    struct sweep_report report;
    void (*done)(void *context, const struct sweep_report *report);
    void *context;
};

/* sweep.c */
void sweep_lane_over(struct lane *lane); /* this lane has nothing more to do in this stage */
void sweep_stop(struct sweep *sweep, const struct err *err); /* the journal or the tenants failed: no further batch */

/* The lane that a job, ticket or timer is embedded in. */
#define LANE_OF(pointer, member) ((struct lane *)(void *)((char *)(pointer) - offsetof(struct lane, member)))

/* lane.c: hands the lane's job to its worker. */
void lane_submit(struct lane *lane, int (*run)(struct job *, struct store *, struct err *), void (*done)(struct job *));

/* lane.c: runs the orders to the end, pass after pass until one destroys nothing, then calls sweep_lane_over. */
void lane_run(struct lane *lane, const struct order **orders, size_t n_orders);
void lane_hurry(struct lane *lane); /* the sweep ends: whatever it waits for, it waits no longer */
/* Whether one of these holds forbids the lane's present batch. */
bool lane_batch_is_held(const struct lane *lane, const struct holds *holds);
void lane_down(struct lane *lane, const struct err *err); /* notes it and reports a finding */
void lane_target_failed(struct lane *lane, const struct target *target, const struct err *err); /* the same for one target */

/* ask.c: each submits one job and calls sweep_lane_over when it is back. */
void lane_check(struct lane *lane);
void lane_gate(struct lane *lane, const struct order **orders, size_t n_orders);
void lane_verify(struct lane *lane);
void enter_settled(struct sweep *sweep, const struct settling *settling); /* its outcome; the engine forgets the batch */

/* report.c */
void report_finding(struct sweep *sweep, struct finding finding);
/* Records of this rule are due and stay for now; those with the same reason are added up (-1: how many is not known). */
void report_wait(struct sweep *sweep, const struct rule *rule, const char *why, int64_t records);
void report_begin(struct sweep *sweep);
void report_tallies(struct sweep *sweep, const struct lane *lane);
void report_end(struct sweep *sweep); /* enters findings and the sweep's end, then calls done */

#endif
