#include "sweep/sweep_internal.h"

#include "base/log.h"
#include "base/time.h"
#include "sweep/leave.h"
#include "sweep/limit.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_ATTEMPTS = 5,           /* on a server that does not answer: some 8 s */
    MOST_ATTEMPTS_ANSWERED = 15, /* on one that answers "not now": some 80 s, longer than MongoDB keeps a dead client's locks */
    LONGEST_BACKOFF_SECONDS = 8,
    LONGEST_TRYING_SECONDS = 90, /* where each attempt takes as long as a statement may */
    MOST_PASSES = 1000,          /* for one portion, each of which ended before it was done */
    DIVIDE_AFTER = 4,            /* full batches: a pass that goes on is worth to be divided */
};

/* How long nobody need be able to tell how a store fares; how often that is looked at. */
static const int64_t MOST_BLIND_US = 20 * TIME_SECOND_US, LOOK_US = 5 * TIME_SECOND_US;

static void prepare(struct lane *lane);
static void finish(struct lane *lane, bool commit);
static void roll_back(struct lane *lane, bool again);
static void begin_pass(struct lane *lane);

static void submit(struct lane *lane, int (*run)(struct job *, struct store *, struct err *), void (*done)(struct job *)) {
    lane->job.run = run;
    lane->job.done = done;
    worker_submit(lane->worker, &lane->job);
}

static void after(struct lane *lane, int64_t wait_us, void (*then)(struct ev_loop *, struct ev_timer *, int)) {
    ev_timer_init(&lane->timer, then, (double)wait_us / 1e6, 0.);
    ev_timer_start(lane->sweep->engine->loop, &lane->timer);
}

static bool is_over(const struct lane *lane) { return lane->sweep->stopping || lane->site->down; }

/* ---- the end of a pass ---- */

static int run_end(struct job *job, struct store *store, struct err *err) {
    struct lane *lane = LANE_OF(job, job);
    (void)err;
    store_driver(store)->end(store, lane->pass);
    return 0;
}

static void on_end(struct job *job) {
    struct lane *lane = LANE_OF(job, job);
    lane->pass = NULL;
    if (lane->again && !is_over(lane) && lane->passes < MOST_PASSES) begin_pass(lane);
    else site_lane_over(lane);
}

static void end_pass(struct lane *lane) {
    if (lane->pass) submit(lane, run_end, on_end);
    else site_lane_over(lane);
}

/* What is left of the portion is done in a pass of its own. */
static void end_pass_and_go_on(struct lane *lane) {
    lane->again = true;
    lane->attempts = 0;
    end_pass(lane);
}

/* ---- faults ---- */

static void on_backoff(struct ev_loop *loop, struct ev_timer *timer, int events) {
    (void)loop, (void)events;
    struct lane *lane = LANE_OF(timer, timer);
    if (is_over(lane)) end_pass(lane);
    else if (lane->pass) prepare(lane);
    else begin_pass(lane);
}

/* The order at fault is left out of this pass by its store and of later ones by us; the others go on. */
static void order_failed(struct lane *lane) {
    site_leave_out(lane->site, lane->failed);
    site_target_failed(lane->site, lane->failed->target, &lane->job.err);
}

/* Nothing was applied: again after a while, with jitter, a few times. Then, if the server answered (it waited for a lock too
 * long, say), the order is at fault, else the store. */
static void back_off(struct lane *lane) {
    bool answered = *lane->job.err.detail;
    if (!lane->attempts++) lane->failing_us = time_monotonic_us();
    bool long_enough = time_monotonic_us() - lane->failing_us >= LONGEST_TRYING_SECONDS * TIME_SECOND_US;
    bool last = long_enough || lane->attempts >= (answered ? MOST_ATTEMPTS_ANSWERED : MOST_ATTEMPTS);
    if (last && answered && lane->failed && !is_over(lane)) {
        order_failed(lane);
        end_pass_and_go_on(lane);
        return;
    }
    if (last || is_over(lane)) {
        site_down(lane->site, &lane->job.err);
        end_pass(lane);
        return;
    }
    int64_t wait_us = lane->attempts < 5 ? (TIME_SECOND_US / 4) << lane->attempts : LONGEST_BACKOFF_SECONDS * TIME_SECOND_US;
    after(lane, wait_us / 2 + random() % wait_us, on_backoff);
}

/* ---- a batch: prepare, read the ends again, intent, finish, outcome ---- */

/* The engine remembers it for the next sweep. */
static void adapt_limit(struct lane *lane, int64_t took_us) {
    size_t number = lane->batch->order->target->number;
    const struct batch_cost cost = {.limit = lane->limits[number], .records = lane->batch->records + lane->batch->dependents,
                                    .worked_us = lane->worked_us, .waited_us = took_us - lane->worked_us};
    if (cost.records >= (int64_t)cost.limit / 2) lane->full_batches++;
    lane->limits[number] = lane->sweep->engine->limits[number] = limit_next(&lane->sweep->schedule->settings, cost);
    if (lane->site->divisible && lane->portion.parts == 1 && lane->full_batches >= DIVIDE_AFTER) lane->site->divide = true;
}

static void on_paused(struct ev_loop *loop, struct ev_timer *timer, int events) {
    (void)loop, (void)events;
    prepare(LANE_OF(timer, timer));
}

/* A share of the time is spent in batches and in choosing them; the rest is waited here, where no transaction is open. */
static void prepare_when_rested(struct lane *lane) {
    int64_t wait_us = lane->site->rests_until_us - time_monotonic_us();
    if (wait_us > 0 && !is_over(lane)) after(lane, wait_us, on_paused);
    else prepare(lane);
}

static bool is_held_now(const struct lane *lane) {
    const struct holds *holds = lane->sweep->engine->holds;
    return holds && holds->count && held_forbids(lane, holds);
}

/* Rolls the prepared batch back: its held tenants are left out of what follows, or the order is, where the whole target is
 * held. */
static void hold_back(struct lane *lane) {
    const struct order *order = lane->batch->order;
    log_notice("\"%s\": a hold came while the sweep ran, rolling back the batch in \"%s\"", order->target->rule->data, order->target->name);
    bool whole = !held_leave_out(lane, lane->sweep->engine->holds);
    if (whole) {
        site_leave_out(lane->site, order);
        lane->again = true; /* with the others */
    }
    roll_back(lane, !whole);
}

static int run_finish(struct job *job, struct store *store, struct err *err) {
    struct lane *lane = LANE_OF(job, job);
    int64_t began_us = time_monotonic_us();
    int failed = store_driver(store)->finish(store, lane->pass, lane->commit, &lane->outcome, err);
    /* Where it does the work; a COMMIT only waits for a disk. */
    if (lane->batch->irrevocable) lane->worked_us += time_monotonic_us() - began_us;
    return failed;
}

/* ---- a lost answer: the store is asked what became of the batch ---- */

static int run_settle(struct job *job, struct store *store, struct err *err) {
    struct lane *lane = LANE_OF(job, job);
    return store_driver(store)->settle(store, lane->batch->transaction, lane->batch->server, &lane->settled, err);
}

static void settle(struct lane *lane);

static void on_settle_again(struct ev_loop *loop, struct ev_timer *timer, int events) {
    (void)loop, (void)events;
    settle(LANE_OF(timer, timer));
}

/* What could not be settled now is asked again before this store's next sweep: the engine remembers it. */
static void on_settled(struct job *job) {
    struct lane *lane = LANE_OF(job, job);
    if (job->failed) {
        if (job->err.code == ERR_UNAVAILABLE && ++lane->attempts < MOST_ATTEMPTS && !is_over(lane)) {
            after(lane, (TIME_SECOND_US / 4) << lane->attempts, on_settle_again);
            return;
        }
        site_down(lane->site, &job->err);
        end_pass(lane);
        return;
    }
    const struct settling settling = {.batch = lane->unknown, .result = lane->settled};
    if (lane->settled == SETTLED_COMMITTED) {
        lane->outcome = (struct outcome){.records = lane->batch->records, .dependents = lane->batch->dependents};
        outcome_note(lane);
    } else if (lane->settled == SETTLED_UNRESOLVED) {
        leave_take(lane->sweep, lane->batch->order->target->rule, lane->batch->records);
    }
    settle_enter(lane->sweep->engine, &settling);
    lane->unknown = NULL;
    lane->claimed = 0;
    end_pass_and_go_on(lane); /* the connection, and with it the pass, was lost */
}

static void settle(struct lane *lane) { submit(lane, run_settle, on_settled); }

static void on_finished(struct job *job) {
    struct lane *lane = LANE_OF(job, job);
    int64_t took_us = time_monotonic_us() - lane->began_us;
    lane->committing = false;
    if (!job->failed || job->err.code != ERR_UNKNOWN) lane->claimed = 0;
    if (!job->failed) {
        outcome_enter(lane, "committed", NULL);
        outcome_note(lane);
        lane->attempts = 0;
        adapt_limit(lane, took_us);
        site_rest(lane->site, took_us - lane->batch->evidence_us - lane->journal_us); /* of which the store's other users felt nothing */
        prepare_when_rested(lane);
    } else if (job->err.code == ERR_UNKNOWN) {
        /* It may have been applied: nothing further is destroyed there before the store was asked what became of it. */
        log_warning("%s, asking what became of the batch", job->err.text);
        lane->site->doubtful = true;
        outcome_enter(lane, "unknown", &job->err);
        lane->unknown = engine_remember(lane->sweep->engine, outcome_unsettled(lane));
        settle(lane);
    } else {
        outcome_enter(lane, "rolled-back", &job->err);
        back_off(lane);
    }
}

static void on_rolled_back(struct job *job) {
    struct lane *lane = LANE_OF(job, job);
    lane->claimed = 0;
    /* A rollback that could not be sent happens by itself when the connection goes. */
    if (lane->prepare_again) prepare(lane);
    else end_pass(lane);
}

static void finish(struct lane *lane, bool commit) {
    lane->commit = lane->committing = commit;
    lane->outcome = (struct outcome){0};
    submit(lane, run_finish, commit ? on_finished : on_rolled_back);
}

static void roll_back(struct lane *lane, bool again) {
    lane->prepare_again = again;
    finish(lane, false);
}

static void on_intent(struct journal_ticket *ticket, const struct err *err) {
    struct lane *lane = LANE_OF(ticket, ticket);
    lane->journal_us = time_monotonic_us() - lane->entered_us;
    if (!err && !is_held_now(lane)) {
        finish(lane, true);
        return;
    }
    if (!err) {
        lane->outcome = (struct outcome){0};
        outcome_enter(lane, "rolled-back", NULL);
        hold_back(lane);
        return;
    }
    bool refused = err->code == ERR_UNAVAILABLE; /* no room on the journal's disk, or no signature: a veto stands by now */
    if (!refused) sweep_stop(lane->sweep, err);
    roll_back(lane, refused);
}

/* The plan was made by a clock that was ahead, and was set right since: what it calls due is not. */
static bool is_of_the_future(const struct sweep *sweep) {
    return sweep->report.began_us > time_now_us() + sweep->schedule->settings.clock_tolerance_us;
}

static void enter_intent(struct lane *lane) {
    struct clock *clock = lane->sweep->engine->clock;
    if (clock && !clock_look(clock)) { /* a veto stands by now */
        roll_back(lane, true);
        return;
    }
    if (clock && is_of_the_future(lane->sweep)) {
        if (!lane->sweep->stopping) log_warning("the clock was set back while the sweep ran, leaving the rest to the next sweep");
        sweep_end_early(lane->sweep);
        roll_back(lane, false);
        return;
    }
    if (is_held_now(lane)) {
        hold_back(lane);
        return;
    }
    if (leave_is_exceeded(lane->sweep, lane->batch->order->target->rule, lane->batch->records)) {
        site_leave_out(lane->site, lane->batch->order);
        lane->again = true; /* with the others */
        roll_back(lane, false);
        return;
    }
    lane->claimed = lane->batch->records;
    struct sweep *sweep = lane->sweep;
    const struct batch *batch = lane->batch;
    const struct order *order = batch->order;
    struct entry_tenant *tenants = ARENA_ARRAY(lane->batch_arena, struct entry_tenant, batch->n_tenants);
    for (size_t i = 0; i < batch->n_tenants; i++) {
        const struct tenant_count *tenant = &batch->tenants[i];
        tenants[i] = (struct entry_tenant){.id = tenant_name(&sweep->engine->tenant_names, lane->batch_arena, tenant->tenant), .records = tenant->count,
                                           .cutoff_us = order->due.anchor ? tenant->cutoff_us : scope_end(&order->due, tenant->tenant)};
    }
    lane->batch_number = ++sweep->batches;
    const struct entry entry = {
        .event = ENTRY_INTENT, .sweep = sweep->report.number, .batch = lane->batch_number, .schedule = sweep->schedule->sha256,
        .rule = order->target->rule->data, .store = lane->site->conf->name, .target = order->target->name,
        .action = order->action == ACTION_PURGE ? "purge" : "anonymize", .from = order->due.anchor ? order->due.anchor : order->keep->end,
        .tenants = tenants, .n_tenants = batch->n_tenants, .records = batch->records, .dependents = batch->dependents,
        .range = batch->range, .evidence = batch->evidence.n_leaves ? batch->evidence.root : NULL,
        .evidence_leaves = batch->evidence.leaves, .n_evidence_leaves = batch->evidence.n_leaves, .transaction = batch->transaction, .server = batch->server};
    lane->ticket.done = on_intent;
    lane->entered_us = time_monotonic_us();
    journal_append(sweep->engine->journal, &entry, &lane->ticket);
}

/* ---- the tenants, read again ---- */

static void on_reread(struct job *job) {
    struct lane *lane = LANE_OF(job, job);
    size_t changed = job->failed ? 0 : reread_judge(lane);
    tenants_free(lane->reread);
    lane->reread = NULL;
    if (job->failed) {
        log_warning("%s: the tenants' ends could not be read again, rolling the batch back", job->err.text);
        site_down(lane->site, &job->err);
        roll_back(lane, false);
    } else if (changed) {
        roll_back(lane, true);
    } else {
        enter_intent(lane);
    }
}

static void reread(struct lane *lane) {
    lane->job.run = reread_run;
    lane->job.done = on_reread;
    worker_submit(lane->sweep->engine->tenants_worker, &lane->job);
}

/* ---- prepare ---- */

static int run_prepare(struct job *job, struct store *store, struct err *err) {
    struct lane *lane = LANE_OF(job, job);
    const struct store_driver *driver = store_driver(store);
    for (; lane->n_told < lane->n_telling; lane->n_told++)
        driver->exclude(store, lane->pass, lane->telling[lane->n_told].order, lane->telling[lane->n_told].tenant);
    arena_clear(lane->batch_arena);
    int64_t began_us = time_monotonic_us();
    int failed = driver->prepare(store, lane->pass, lane->sweep->schedule->settings.batch_rows, lane->batch_arena, &lane->batch, &lane->failed, err);
    lane->worked_us = time_monotonic_us() - began_us;
    return failed;
}

static void on_prepared(struct job *job) {
    struct lane *lane = LANE_OF(job, job);
    if (job->failed && job->err.code != ERR_UNAVAILABLE && lane->failed) {
        order_failed(lane);
        prepare(lane);
    } else if (job->failed) {
        back_off(lane);
    } else if (!lane->batch) {
        site_rest(lane->site, time_monotonic_us() - lane->began_us);
        end_pass(lane);
    } else if (is_over(lane)) {
        roll_back(lane, false);
    } else if (reread_is_needed(lane)) {
        reread(lane);
    } else {
        enter_intent(lane);
    }
}

/* ---- a veto ---- */

static void on_go(struct veto_waiter *waiter) {
    struct lane *lane = LANE_OF(waiter, waiter);
    ev_timer_stop(lane->sweep->engine->loop, &lane->timer);
    prepare(lane);
}

static void give_up_waiting(struct lane *lane) {
    veto_leave(lane->sweep->engine, &lane->waiter);
    prepare(lane);
}

/* Nobody could tell for so long how the store fares: it is down, as far as this sweep is concerned, and the other stores go on. */
static bool is_down(struct lane *lane) {
    const struct veto *veto = veto_of(lane->sweep->engine, VETO_BLIND, lane->site->conf->name);
    if (!veto || time_now_us() - veto->since_us < MOST_BLIND_US) return false;
    struct err err;
    (void)err_set(&err, ERR_UNAVAILABLE, "%s", veto->reason);
    site_down(lane->site, &err);
    return true;
}

/* "lapsed --once" waits for nothing but what passes by itself. */
static bool is_not_waited_for(struct lane *lane) {
    struct sweep *sweep = lane->sweep;
    const struct veto *veto = text_equal(sweep->trigger, "once") ? veto_lasting(sweep->engine, lane->site->conf->name) : NULL;
    if (!veto) return false;
    if (!sweep->stopping) log_warning("%s; what is due waits", veto->reason);
    sweep_end_early(sweep);
    return true;
}

static void wait_on(struct lane *lane);

static void on_waited(struct ev_loop *loop, struct ev_timer *timer, int events) {
    (void)loop, (void)events;
    struct lane *lane = LANE_OF(timer, timer);
    /* The plan is as old as the sweep: what is destroyed after so long is better planned anew. */
    bool too_long = time_monotonic_us() - lane->waits_since_us >= lane->sweep->schedule->settings.sweep_every_us;
    if (!is_over(lane) && !too_long && !is_down(lane) && !is_not_waited_for(lane)) {
        wait_on(lane);
        return;
    }
    if (too_long && !lane->sweep->stopping) {
        log_warning("store \"%s\": waited too long, leaving the rest to the next sweep", lane->site->conf->name);
        sweep_end_early(lane->sweep);
    }
    give_up_waiting(lane);
}

static void wait_on(struct lane *lane) {
    int64_t left_us = lane->waits_since_us + lane->sweep->schedule->settings.sweep_every_us - time_monotonic_us();
    after(lane, left_us < 0 ? 0 : left_us < LOOK_US ? left_us : LOOK_US, on_waited);
}

static void wait_for_go(struct lane *lane) {
    struct sweep *sweep = lane->sweep;
    if (is_not_waited_for(lane)) {
        prepare(lane);
        return;
    }
    lane->waiter = (struct veto_waiter){.go = on_go, .store = lane->site->conf->name, .sweep = sweep->report.number};
    lane->waits_since_us = time_monotonic_us();
    wait_on(lane);
    veto_wait(sweep->engine, &lane->waiter);
}

void lane_hurry(struct lane *lane) {
    if (!ev_is_active(&lane->timer)) return;
    ev_timer_stop(lane->sweep->engine->loop, &lane->timer);
    ev_feed_event(lane->sweep->engine->loop, &lane->timer, EV_TIMER);
}

static void prepare(struct lane *lane) {
    struct site *site = lane->site;
    if (is_over(lane) || (site->divide && lane->portion.parts == 1)) {
        end_pass(lane);
        return;
    }
    if (veto_on(lane->sweep->engine, site->conf->name)) {
        wait_for_go(lane);
        return;
    }
    lane->batch = NULL;
    lane->failed = NULL;
    lane->telling = site->excluded;
    lane->n_telling = site->n_excluded;
    lane->began_us = time_monotonic_us();
    submit(lane, run_prepare, on_prepared);
}

/* ---- a pass ---- */

/* The first lane's store was bound when it was checked. Whatever another one finds wrong, its orders then fail for. */
static int bind(struct lane *lane, struct store *store, struct err *err) {
    const struct store_driver *driver = store_driver(store);
    struct arena *arena = arena_new();
    struct faults ignored = {.arena = arena};
    bool *bad = ARENA_ARRAY(arena, bool, lane->sweep->schedule->n_targets);
    if (driver->know && lane->sweep->tenants) driver->know(store, lane->sweep->tenants);
    int failed = driver->check(store, &ignored, bad, err);
    arena_free(arena);
    return failed;
}

static int run_begin(struct job *job, struct store *store, struct err *err) {
    struct lane *lane = LANE_OF(job, job);
    if (lane != &lane->site->lanes[0] && !lane->bound && bind(lane, store, err)) return -1;
    lane->bound = true;
    if (site_is_stale(lane->site) && store_driver(store)->remember) store_driver(store)->remember(store, false);
    return store_driver(store)->begin(store, lane->orders, lane->n_orders, &lane->portion, &lane->pass, err);
}

static void on_begun(struct job *job) {
    struct lane *lane = LANE_OF(job, job);
    site_rest(lane->site, time_monotonic_us() - lane->began_us);
    if (!job->failed) prepare_when_rested(lane);
    else back_off(lane);
}

static void begin_pass(struct lane *lane) {
    lane->n_orders = 0;
    for (size_t i = 0; i < lane->site->n_orders; i++)
        if (!site_is_left_out(lane->site, lane->site->orders[i])) lane->orders[lane->n_orders++] = lane->site->orders[i];
    lane->again = false;
    lane->failed = NULL;
    lane->full_batches = lane->n_told = 0;
    lane->passes++;
    lane->began_us = time_monotonic_us();
    if (lane->n_orders) submit(lane, run_begin, on_begun);
    else site_lane_over(lane);
}

void lane_begin(struct lane *lane, size_t part, size_t parts) {
    assert(!lane->pass);
    lane->portion = (struct portion){.part = (unsigned)part, .parts = (unsigned)parts, .limits = lane->limits};
    lane->attempts = 0;
    begin_pass(lane);
}
