#include "sweep/sweep_internal.h"

#include "base/log.h"
#include "base/time.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_LIMIT = 500,
    LEAST_LIMIT = 50,
    MOST_ATTEMPTS = 5,           /* on a server that does not answer: some 8 s */
    MOST_ATTEMPTS_ANSWERED = 15, /* on one that answers "not now": some 80 s, longer than MongoDB keeps a dead client's locks */
    LONGEST_BACKOFF_SECONDS = 8,
    MOST_PASSES = 1000, /* a pass that goes on destroying after so many is a fault of ours */
};

static void prepare(struct lane *lane);
static void finish(struct lane *lane, bool commit);
static void roll_back(struct lane *lane, bool again);
static void begin_pass(struct lane *lane);
static void next_round(struct lane *lane);

void lane_submit(struct lane *lane, int (*run)(struct job *, struct store *, struct err *), void (*done)(struct job *)) {
    lane->job.run = run;
    lane->job.done = done;
    worker_submit(lane->worker, &lane->job);
}

static void after(struct lane *lane, int64_t wait_us, void (*then)(struct ev_loop *, struct ev_timer *, int)) {
    ev_timer_init(&lane->timer, then, (double)wait_us / 1e6, 0.);
    ev_timer_start(lane->sweep->engine->loop, &lane->timer);
}

void lane_down(struct lane *lane, const struct err *err) {
    lane->down = true;
    lane->err = *err;
    lane->sweep->report.waits = true;
    log_warning("%s, leaving this store for the next sweep", err->text);
    report_finding(lane->sweep, (struct finding){.code = "store-down", .store = lane->conf->name, .count = 1,
                                                 .text = "the store could not be asked; what is due there waits"});
}

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
    bool again = lane->done_in_pass > 0 && !lane->sweep->stopping && !lane->down;
    if (again && lane->passes >= MOST_PASSES) {
        log_error("store \"%s\": %d passes, and each found more to do; the rest waits for the next sweep", lane->conf->name, MOST_PASSES);
        lane->sweep->report.waits = true;
        again = false;
    }
    if (again) begin_pass(lane);
    else next_round(lane);
}

static void end_pass(struct lane *lane) {
    if (lane->pass) lane_submit(lane, run_end, on_end);
    else next_round(lane);
}

/* ---- faults ---- */

static void on_backoff(struct ev_loop *loop, struct ev_timer *timer, int events) {
    (void)loop, (void)events;
    struct lane *lane = LANE_OF(timer, timer);
    if (lane->sweep->stopping) end_pass(lane);
    else if (lane->pass) prepare(lane);
    else begin_pass(lane);
}

static void order_failed(struct lane *lane);

/* The order that cannot be carried out is left for the next sweep; a new pass goes on with the others. */
static void give_up_order(struct lane *lane) {
    order_failed(lane);
    lane->attempts = 0;
    lane->done_in_pass = 1;
    end_pass(lane);
}

/* Nothing was applied: again after a while, with jitter, a few times. Then, if the server answered (it waited for a lock too
 * long, say), the order is at fault, else the store. */
static void back_off(struct lane *lane) {
    bool answered = *lane->job.err.detail;
    bool last = ++lane->attempts >= (answered ? MOST_ATTEMPTS_ANSWERED : MOST_ATTEMPTS);
    if (last && answered && lane->failed && !lane->sweep->stopping) {
        give_up_order(lane);
        return;
    }
    if (last || lane->sweep->stopping) {
        lane_down(lane, &lane->job.err);
        end_pass(lane);
        return;
    }
    int64_t wait_us = lane->attempts < 5 ? (TIME_SECOND_US / 4) << lane->attempts : LONGEST_BACKOFF_SECONDS * TIME_SECOND_US;
    after(lane, wait_us / 2 + random() % wait_us, on_backoff);
}

void lane_target_failed(struct lane *lane, const struct target *target, const struct err *err) {
    log_error("\"%s\": %s; this target is left for the next sweep", target->rule->data, err->text);
    lane->sweep->report.waits = true;
    report_finding(lane->sweep, (struct finding){.code = "target-failed", .rule = target->rule->data, .store = lane->conf->name,
                                                 .place = target->name, .count = 1,
                                                 .text = arena_printf(lane->sweep->arena, "the store refused (%s%s%s); what is due there waits",
                                                                      err_code_name(err->code), *err->detail ? " " : "", err->detail)});
}

/* The order at fault is left out of this pass by its store and of later ones by us; the others go on. */
static void order_failed(struct lane *lane) {
    *ARENA_APPEND(lane->sweep->arena, lane->left_out, lane->n_left_out) = lane->failed;
    lane_target_failed(lane, lane->failed->target, &lane->job.err);
}

/* ---- a batch: prepare, read the ends again, intent, finish, outcome ---- */

/* An outcome that could not be written is asked for again, like one that was never known. */
struct outcome_note {
    struct journal_ticket ticket;
    struct engine *engine;
    struct unsettled *batch;
};

static void on_outcome(struct journal_ticket *ticket, const struct err *err) {
    struct outcome_note *note = (struct outcome_note *)(void *)ticket;
    if (err) engine_remember(note->engine, note->batch);
    else unsettled_free(note->batch);
    free(note);
}

static struct unsettled *unsettled_of(const struct lane *lane) {
    return unsettled_new(lane->ticket.seq, lane->sweep->report.number, lane->batch_number, lane->conf->name, lane->batch->transaction,
                         lane->batch->server);
}

static void enter_outcome(struct lane *lane, const char *outcome, const struct err *err) {
    struct entry entry = {.event = ENTRY_OUTCOME, .sweep = lane->sweep->report.number, .batch = lane->batch_number, .outcome = outcome,
                          .records = lane->outcome.records, .dependents = lane->outcome.dependents};
    if (err) {
        entry.code = err_code_name(err->code);
        entry.detail = *err->detail ? err->detail : NULL;
    }
    struct outcome_note *note = xcalloc(1, sizeof *note);
    *note = (struct outcome_note){.ticket.done = on_outcome, .engine = lane->sweep->engine, .batch = unsettled_of(lane)};
    journal_append(lane->sweep->engine->journal, &entry, &note->ticket);
}

/* The limit follows the time that a batch may take. */
static void adapt_limit(struct lane *lane, int64_t took_us) {
    const struct settings *settings = &lane->sweep->schedule->settings;
    int64_t size = lane->batch->records + lane->batch->dependents;
    if (size < (int64_t)lane->limit / 2) return; /* too small to tell */
    double factor = (double)settings->batch_time_us / (double)(took_us > 0 ? took_us : 1);
    if (factor > 2) factor = 2;
    if (factor < .25) factor = .25;
    double limit = (double)lane->limit * factor;
    if (limit < LEAST_LIMIT) limit = LEAST_LIMIT;
    if (limit > (double)settings->batch_rows) limit = (double)settings->batch_rows;
    lane->limit = (size_t)limit;
}

static void on_paused(struct ev_loop *loop, struct ev_timer *timer, int events) {
    (void)loop, (void)events;
    prepare(LANE_OF(timer, timer));
}

/* A share of the time is spent in batches; the rest is waited here, where no transaction is open. */
static void pause_and_prepare(struct lane *lane, int64_t took_us) {
    static const int64_t waits[] = {[LOAD_GENTLE] = 3, [LOAD_NORMAL] = 1, [LOAD_FULL] = 0};
    int64_t wait_us = took_us * waits[lane->sweep->schedule->settings.load];
    if (wait_us && !lane->sweep->stopping) after(lane, wait_us, on_paused);
    else prepare(lane);
}

static void note_committed(struct lane *lane) {
    const struct order *order = lane->batch->order;
    struct rule_report *rule = &lane->sweep->rules[order->target->rule->number];
    if (order->action == ACTION_PURGE) rule->purged += lane->outcome.records;
    else rule->anonymized += lane->outcome.records;
    rule->dependents += lane->outcome.dependents;
    lane->done_in_pass += lane->outcome.records + lane->outcome.dependents;
    lane->attempts = 0;
}

/* ---- holds that came after the plan ---- */

/* A batch of dependents alone does not say whose they are: any hold that the plan did not know may be on them. */
static bool is_doubtful(const struct lane *lane) {
    return !lane->batch->n_tenants && lane->batch->order->due.kind != SCOPE_WHOLE && lane->sweep->engine->holds_version != lane->sweep->holds_version;
}

static const struct hold *hold_on_tenant(const struct lane *lane, const struct holds *holds, size_t index) {
    const char *id = lane->batch->tenants[index].tenant;
    return *id ? holds_on_tenant(holds, lane->sweep->tenants, id, lane->batch->order->own) : NULL;
}

bool lane_batch_is_held(const struct lane *lane, const struct holds *holds) {
    if (holds_on_target(holds, lane->sweep->schedule, lane->batch->order->target)) return true;
    for (size_t i = 0; i < lane->batch->n_tenants; i++)
        if (hold_on_tenant(lane, holds, i)) return true;
    return holds && holds->count && is_doubtful(lane);
}

static void exclude_everywhere(struct lane *lane, const char *tenant) {
    const char *id = arena_strdup(lane->sweep->arena, tenant);
    for (size_t o = 0; o < lane->n_orders; o++)
        if (lane->orders[o]->due.kind != SCOPE_WHOLE)
            *ARENA_APPEND(lane->sweep->arena, lane->excluded, lane->n_excluded) = (struct exclusion){.order = lane->orders[o], .tenant = id};
}

static bool is_held_now(const struct lane *lane) {
    const struct holds *holds = lane->sweep->engine->holds;
    return holds && holds->count && lane_batch_is_held(lane, holds);
}

/* Rolls the prepared batch back: its held tenants are left out of what follows, or the order is, where the whole target is
 * held. */
static void hold_back(struct lane *lane) {
    const struct holds *holds = lane->sweep->engine->holds;
    const struct order *order = lane->batch->order;
    size_t n_tenants = 0;
    for (size_t i = 0; i < lane->batch->n_tenants; i++) {
        if (!hold_on_tenant(lane, holds, i)) continue;
        exclude_everywhere(lane, lane->batch->tenants[i].tenant);
        n_tenants++;
    }
    log_notice("\"%s\": a hold came while the sweep ran, rolling back the batch in \"%s\"", order->target->rule->data, order->target->name);
    bool whole = !n_tenants || holds_on_target(holds, lane->sweep->schedule, order->target);
    if (whole) {
        *ARENA_APPEND(lane->sweep->arena, lane->left_out, lane->n_left_out) = order;
        lane->done_in_pass = 1; /* a new pass goes on with the others */
    }
    roll_back(lane, !whole);
}

static int run_finish(struct job *job, struct store *store, struct err *err) {
    struct lane *lane = LANE_OF(job, job);
    return store_driver(store)->finish(store, lane->pass, lane->commit, &lane->outcome, err);
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
        if (job->err.code == ERR_UNAVAILABLE && ++lane->attempts < MOST_ATTEMPTS && !lane->sweep->stopping) {
            after(lane, (TIME_SECOND_US / 4) << lane->attempts, on_settle_again);
            return;
        }
        lane_down(lane, &job->err);
        end_pass(lane);
        return;
    }
    const struct settling settling = {.batch = lane->unknown, .result = lane->settled};
    if (lane->settled == SETTLED_COMMITTED) {
        lane->outcome = (struct outcome){.records = lane->batch->records, .dependents = lane->batch->dependents};
        note_committed(lane);
    }
    enter_settled(lane->sweep, &settling);
    lane->unknown = NULL;
    /* The connection, and with it the pass, was lost: a new one goes on. */
    lane->attempts = 0;
    lane->done_in_pass = 1;
    end_pass(lane);
}

static void settle(struct lane *lane) { lane_submit(lane, run_settle, on_settled); }

static void on_finished(struct job *job) {
    struct lane *lane = LANE_OF(job, job);
    int64_t took_us = time_monotonic_us() - lane->batch_began_us;
    lane->committing = false;
    if (!job->failed) {
        enter_outcome(lane, "committed", NULL);
        note_committed(lane);
        adapt_limit(lane, took_us);
        pause_and_prepare(lane, took_us);
    } else if (job->err.code == ERR_UNKNOWN) {
        /* It may have been applied: nothing further is destroyed there before the store was asked what became of it. */
        log_warning("%s, asking what became of the batch", job->err.text);
        enter_outcome(lane, "unknown", &job->err);
        struct unsettled *batch = unsettled_of(lane);
        lane->unknown = batch;
        engine_remember(lane->sweep->engine, batch);
        settle(lane);
    } else {
        enter_outcome(lane, "rolled-back", &job->err);
        back_off(lane);
    }
}

static void on_rolled_back(struct job *job) {
    struct lane *lane = LANE_OF(job, job);
    /* A rollback that could not be sent happens by itself when the connection goes. */
    if (lane->again && !lane->sweep->stopping) prepare(lane);
    else end_pass(lane);
}

static void finish(struct lane *lane, bool commit) {
    lane->commit = lane->committing = commit;
    lane->outcome = (struct outcome){0};
    lane_submit(lane, run_finish, commit ? on_finished : on_rolled_back);
}

static void roll_back(struct lane *lane, bool again) {
    lane->again = again;
    finish(lane, false);
}

static void on_intent(struct journal_ticket *ticket, const struct err *err) {
    struct lane *lane = LANE_OF(ticket, ticket);
    if (!err && !is_held_now(lane)) {
        finish(lane, true);
        return;
    }
    if (!err) {
        lane->outcome = (struct outcome){0};
        enter_outcome(lane, "rolled-back", NULL);
        hold_back(lane);
        return;
    }
    bool no_room = err->code == ERR_UNAVAILABLE; /* on the journal's disk: a veto stands by now */
    if (!no_room) sweep_stop(lane->sweep, err);
    roll_back(lane, no_room);
}

static void enter_intent(struct lane *lane) {
    if (is_held_now(lane)) {
        hold_back(lane);
        return;
    }
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
        .rule = order->target->rule->data, .store = lane->conf->name, .target = order->target->name,
        .action = order->action == ACTION_PURGE ? "purge" : "anonymize", .from = order->due.anchor ? order->due.anchor : order->keep->end,
        .tenants = tenants, .n_tenants = batch->n_tenants, .records = batch->records, .dependents = batch->dependents,
        .range = batch->range, .evidence = batch->evidence.n_leaves ? batch->evidence.root : NULL,
        .evidence_leaves = batch->evidence.leaves, .n_evidence_leaves = batch->evidence.n_leaves, .transaction = batch->transaction, .server = batch->server};
    lane->ticket.done = on_intent;
    journal_append(sweep->engine->journal, &entry, &lane->ticket);
}

/* ---- the tenants' ends, read again ---- */

static int take_reread(void *context, const struct tenant_row *row, struct err *err) { return tenants_add(context, row, err); }

static int run_reread(struct job *job, struct store *store, struct err *err) {
    struct lane *lane = LANE_OF(job, job);
    const struct batch *batch = lane->batch;
    assert(batch->n_tenants); /* of nobody would mean: of everybody */
    const char **ids = ARENA_ARRAY(lane->batch_arena, const char *, batch->n_tenants);
    for (size_t i = 0; i < batch->n_tenants; i++) ids[i] = batch->tenants[i].tenant;
    lane->reread = tenants_new(lane->sweep->schedule);
    int failed = store_driver(store)->tenants(store, ids, batch->n_tenants, take_reread, lane->reread, err);
    tenants_finish(lane->reread);
    return failed;
}

/* The end that the plan saw still stands (or an earlier one); a tenant that resubscribed, or vanished from the list, stops. */
static bool still_ended(const struct lane *lane, const char *id) {
    const struct order *order = lane->batch->order;
    const struct tenant *tenant = tenants_find(lane->reread, id);
    if (!tenant || tenant->undecidable_parent || tenant->undecidable_ends & 1U << order->keep->tenant_end) return false;
    return tenant->ends[order->keep->tenant_end] <= scope_end(&order->due, id);
}

/* The reread, and the batch with the id, are gone when findings are entered. */
static const char *finding_tenant(const struct lane *lane, const char *id) {
    struct arena *arena = lane->sweep->arena;
    return arena_strdup(arena, tenant_name(&lane->sweep->engine->tenant_names, arena, id));
}

static void on_reread(struct job *job) {
    struct lane *lane = LANE_OF(job, job);
    size_t changed = 0;
    for (size_t i = 0; !job->failed && i < lane->batch->n_tenants; i++) {
        const char *id = lane->batch->tenants[i].tenant;
        if (still_ended(lane, id)) continue;
        changed++;
        report_finding(lane->sweep, (struct finding){.code = "tenant-resumed", .rule = lane->batch->order->target->rule->data,
                                                     .store = lane->conf->name, .place = lane->batch->order->target->name,
                                                     .tenant = finding_tenant(lane, id), .count = 1,
                                                     .text = "the tenant's end changed while the sweep ran; nothing more of it is destroyed"});
        for (size_t o = 0; o < lane->n_orders; o++)
            if (!lane->orders[o]->due.anchor && lane->orders[o]->keep->tenant_end == lane->batch->order->keep->tenant_end)
                *ARENA_APPEND(lane->sweep->arena, lane->excluded, lane->n_excluded) =
                    (struct exclusion){.order = lane->orders[o], .tenant = arena_strdup(lane->sweep->arena, id)};
    }
    tenants_free(lane->reread);
    lane->reread = NULL;
    if (job->failed) {
        log_warning("%s: the tenants' ends could not be read again, rolling the batch back", job->err.text);
        lane_down(lane, &job->err);
        roll_back(lane, false);
    } else if (changed) {
        roll_back(lane, true);
    } else {
        enter_intent(lane);
    }
}

static void reread(struct lane *lane) {
    lane->job.run = run_reread;
    lane->job.done = on_reread;
    worker_submit(lane->sweep->engine->tenants_worker, &lane->job);
}

/* ---- prepare ---- */

static int run_prepare(struct job *job, struct store *store, struct err *err) {
    struct lane *lane = LANE_OF(job, job);
    for (size_t i = 0; i < lane->n_excluded; i++)
        store_driver(store)->exclude(store, lane->pass, lane->excluded[i].order, lane->excluded[i].tenant);
    lane->n_excluded = 0;
    lane->excluded = NULL;
    arena_clear(lane->batch_arena);
    return store_driver(store)->prepare(store, lane->pass, lane->limit, lane->batch_arena, &lane->batch, &lane->failed, err);
}

static void on_prepared(struct job *job) {
    struct lane *lane = LANE_OF(job, job);
    if (job->failed && job->err.code != ERR_UNAVAILABLE && lane->failed) {
        order_failed(lane);
        prepare(lane);
    } else if (job->failed) {
        back_off(lane);
    } else if (!lane->batch) {
        end_pass(lane);
    } else if (lane->sweep->stopping) {
        roll_back(lane, false);
    } else if (!lane->batch->order->due.anchor) {
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

/* The plan is as old as the sweep: what is destroyed after so long is better planned anew. */
static void on_waited(struct ev_loop *loop, struct ev_timer *timer, int events) {
    (void)loop, (void)events;
    struct lane *lane = LANE_OF(timer, timer);
    if (!lane->sweep->stopping) log_warning("store \"%s\": waited too long, leaving the rest to the next sweep", lane->conf->name);
    sweep_end_early(lane->sweep);
    veto_leave(lane->sweep->engine, &lane->waiter);
    prepare(lane);
}

static void wait_for_go(struct lane *lane, const struct veto *veto) {
    struct sweep *sweep = lane->sweep;
    if (veto->kind != VETO_THROTTLE && text_equal(sweep->trigger, "once")) {
        log_warning("%s; what is due waits", veto->reason);
        sweep_end_early(sweep);
        prepare(lane);
        return;
    }
    lane->waiter = (struct veto_waiter){.go = on_go, .store = lane->conf->name, .sweep = sweep->report.number};
    after(lane, sweep->schedule->settings.sweep_every_us, on_waited);
    veto_wait(sweep->engine, &lane->waiter);
}

void lane_hurry(struct lane *lane) {
    if (!ev_is_active(&lane->timer)) return;
    ev_timer_stop(lane->sweep->engine->loop, &lane->timer);
    ev_feed_event(lane->sweep->engine->loop, &lane->timer, EV_TIMER);
}

static void prepare(struct lane *lane) {
    if (lane->sweep->stopping) {
        end_pass(lane);
        return;
    }
    const struct veto *veto = veto_on(lane->sweep->engine, lane->conf->name);
    if (veto) {
        wait_for_go(lane, veto);
        return;
    }
    lane->batch = NULL;
    lane->failed = NULL;
    lane->batch_began_us = time_monotonic_us();
    lane_submit(lane, run_prepare, on_prepared);
}

/* ---- a pass ---- */

static int run_begin(struct job *job, struct store *store, struct err *err) {
    struct lane *lane = LANE_OF(job, job);
    return store_driver(store)->begin(store, lane->orders, lane->n_orders, NULL, &lane->pass, err);
}

static void on_begun(struct job *job) {
    struct lane *lane = LANE_OF(job, job);
    if (!job->failed) prepare(lane);
    else back_off(lane);
}

static bool is_left_out(const struct lane *lane, const struct order *order) {
    for (size_t i = 0; i < lane->n_left_out; i++)
        if (lane->left_out[i] == order) return true;
    return false;
}

static void begin_pass(struct lane *lane) {
    /* A list of its own: the last pass may still look into its. */
    const struct order **orders = ARENA_ARRAY(lane->sweep->arena, const struct order *, lane->n_orders);
    size_t count = 0;
    for (size_t i = 0; i < lane->n_orders; i++)
        if (!is_left_out(lane, lane->orders[i])) orders[count++] = lane->orders[i];
    lane->orders = orders;
    lane->n_orders = count;
    if (!count) {
        next_round(lane);
        return;
    }
    lane->passes++;
    lane->done_in_pass = 0;
    lane->failed = NULL;
    lane_submit(lane, run_begin, on_begun);
}

/* What is blocked is only known when nothing more goes by itself: those orders have a round of their own. */
static void next_round(struct lane *lane) {
    if (!lane->n_later || lane->sweep->stopping || lane->down) {
        sweep_lane_over(lane);
        return;
    }
    lane->orders = lane->later;
    lane->n_orders = lane->n_later;
    lane->n_later = 0;
    lane->passes = 0;
    begin_pass(lane);
}

void lane_run(struct lane *lane, const struct order **orders, size_t n_orders) {
    assert(!lane->pass && !lane->down && n_orders);
    lane->orders = ARENA_ARRAY(lane->sweep->arena, const struct order *, n_orders);
    lane->later = ARENA_ARRAY(lane->sweep->arena, const struct order *, n_orders);
    lane->n_orders = lane->n_later = 0;
    for (size_t i = 0; i < n_orders; i++) {
        if (orders[i]->blocked_only) lane->later[lane->n_later++] = orders[i];
        else lane->orders[lane->n_orders++] = orders[i];
    }
    lane->passes = 0;
    lane->attempts = 0;
    if (!lane->limit) {
        size_t most = lane->sweep->schedule->settings.batch_rows;
        lane->limit = most < FIRST_LIMIT ? most : FIRST_LIMIT;
    }
    begin_pass(lane);
}
