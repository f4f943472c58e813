#include "sweep/sweep_internal.h"

#include "base/log.h"
#include "base/time.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

/* ---- check: the clock, unsettled batches, the catalog ---- */

static int compare_clocks(const struct lane *lane, struct store *store, struct err *err) {
    int64_t server_us, before_us = time_now_us();
    if (store_driver(store)->ping(store, &server_us, err)) return -1;
    int64_t after_us = time_now_us(), tolerance_us = lane->sweep->schedule->settings.clock_tolerance_us;
    int64_t apart_us = server_us < before_us ? before_us - server_us : server_us > after_us ? server_us - after_us : 0;
    if (apart_us <= tolerance_us) return 0;
    return err_set(err, ERR_REFUSED, "store \"%s\": its clock and ours are %s apart; nothing is destroyed while one of them may be wrong",
                   lane->conf->name, time_format_span(apart_us).text);
}

static int run_check(struct job *job, struct store *store, struct err *err) {
    struct lane *lane = LANE_OF(job, job);
    struct sweep *sweep = lane->sweep;
    const struct store_driver *driver = store_driver(store);
    if (compare_clocks(lane, store, err)) return -1;
    if (driver->know && sweep->tenants) driver->know(store, sweep->tenants);
    for (size_t i = 0; i < lane->n_settling; i++) {
        struct settling *settling = &lane->settling[i];
        if (driver->settle(store, settling->batch->transaction, settling->batch->server, &settling->result, err)) return -1;
    }
    return driver->check(store, &lane->faults, sweep->bad, err);
}

void enter_settled(struct sweep *sweep, const struct settling *settling) {
    const struct unsettled *batch = settling->batch;
    bool resolved = settling->result != SETTLED_UNRESOLVED;
    const struct entry entry = {.event = ENTRY_OUTCOME, .sweep = batch->sweep, .batch = batch->batch,
                                .outcome = resolved ? "settled" : "unresolved",
                                .result = !resolved ? NULL : settling->result == SETTLED_COMMITTED ? "committed" : "rolled-back"};
    journal_append(sweep->engine->journal, &entry, NULL);
    engine_forget(sweep->engine, batch->seq);
}

/* Targets that the catalog refuses are not swept; each fault is logged with its place. */
static void report_faults(struct lane *lane) {
    struct sweep *sweep = lane->sweep;
    faults_sort(&lane->faults);
    for (size_t i = 0; i < lane->faults.count; i++)
        log_error("%s:%u: %s", lane->faults.items[i].place.file, lane->faults.items[i].place.line, lane->faults.items[i].text);
    for (size_t i = 0; i < sweep->schedule->n_targets; i++) {
        const struct target *target = sweep->schedule->targets[i];
        if (target->store != lane->conf || !sweep->bad[target->number]) continue;
        sweep->report.faulty = true;
        report_finding(sweep, (struct finding){.code = "target-faulty", .rule = target->rule->data, .store = lane->conf->name,
                                               .place = target->name, .count = 1,
                                               .text = "the schedule and the catalog disagree; nothing is destroyed there: lapsectl check"});
    }
}

static void on_checked(struct job *job) {
    struct lane *lane = LANE_OF(job, job);
    if (job->failed) {
        lane_down(lane, &job->err);
    } else {
        for (size_t i = 0; i < lane->n_settling; i++) enter_settled(lane->sweep, &lane->settling[i]);
        report_faults(lane);
    }
    sweep_lane_over(lane);
}

void lane_check(struct lane *lane) {
    lane->faults = (struct faults){.arena = lane->arena};
    for (const struct unsettled *batch = lane->sweep->engine->unsettled; batch; batch = batch->next)
        if (text_equal(batch->store, lane->conf->name))
            *ARENA_APPEND(lane->arena, lane->settling, lane->n_settling) = (struct settling){.batch = batch};
    lane_submit(lane, run_check, on_checked);
}

/* ---- questions for all orders at once ---- */

/* probe or count */
typedef int ask_verb(struct store *store, const struct order *const *orders, size_t n_orders, struct arena *arena, struct tally *tallies,
                     struct err *err);

/* The order is at fault, and not the store. */
static bool is_of_order(const struct err *err) { return err->code == ERR_CONFIG || err->code == ERR_REFUSED; }

static void note_unanswered(struct lane *lane, const struct target *target, const struct err *err) {
    *ARENA_APPEND(lane->arena, lane->unanswered, lane->n_unanswered) = (struct unanswered){.target = target, .err = *err};
}

/* Keeps of the orders those that are answered by themselves. */
static int leave_out_refused(struct lane *lane, struct store *store, ask_verb *verb, struct err *err) {
    size_t kept = 0;
    for (size_t i = 0; i < lane->n_asked; i++) {
        struct tally ignored;
        if (!verb(store, &lane->asked[i], 1, lane->arena, &ignored, err)) lane->asked[kept++] = lane->asked[i];
        else if (is_of_order(err)) note_unanswered(lane, lane->asked[i]->target, err);
        else return -1;
    }
    lane->n_asked = kept;
    return 0;
}

/* Together, because what goes by one order may free what another waits for. An order that is refused costs itself alone. */
static int ask_all(struct lane *lane, struct store *store, ask_verb *verb, struct err *err) {
    if (!lane->n_asked || !verb(store, lane->asked, lane->n_asked, lane->arena, lane->tallies, err)) return 0;
    size_t n_all = lane->n_asked;
    struct err together = *err;
    if (!is_of_order(err) || leave_out_refused(lane, store, verb, err)) return -1;
    if (lane->n_asked == n_all) { /* no single one is at fault */
        *err = together;
        return -1;
    }
    return lane->n_asked ? verb(store, lane->asked, lane->n_asked, lane->arena, lane->tallies, err) : 0;
}

static void report_unanswered(struct lane *lane) {
    for (size_t i = 0; i < lane->n_unanswered; i++) {
        const struct unanswered *unanswered = &lane->unanswered[i];
        lane->sweep->rules[unanswered->target->rule->number].left = -1;
        lane_target_failed(lane, unanswered->target, &unanswered->err);
    }
}

/* ---- gate: does a tenant have anything left but its own records? ---- */

static int run_probe(struct job *job, struct store *store, struct err *err) {
    struct lane *lane = LANE_OF(job, job);
    return ask_all(lane, store, store_driver(store)->probe, err);
}

static void on_answer(struct job *job) {
    struct lane *lane = LANE_OF(job, job);
    if (job->failed) lane_down(lane, &job->err);
    else report_unanswered(lane);
    sweep_lane_over(lane);
}

static void ask(struct lane *lane, const struct order **orders, size_t n_orders) {
    lane->asked = orders;
    lane->n_asked = n_orders;
    lane->unanswered = NULL;
    lane->n_unanswered = 0;
    lane->tallies = ARENA_ARRAY(lane->arena, struct tally, n_orders);
}

void lane_gate(struct lane *lane, const struct order **orders, size_t n_orders) {
    ask(lane, orders, n_orders);
    lane_submit(lane, run_probe, on_answer);
}

/* ---- verify: is anything due left? ---- */

static int run_verify(struct job *job, struct store *store, struct err *err) {
    struct lane *lane = LANE_OF(job, job);
    if (ask_all(lane, store, store_driver(store)->count, err)) return -1;
    /* A figure for people: a store that refuses it has not failed. */
    if (lane->n_held && store_driver(store)->count(store, lane->held, lane->n_held, lane->arena, lane->held_tallies, err)) {
        lane->n_held = 0;
        return is_of_order(err) ? 0 : -1;
    }
    return 0;
}

static void on_verified(struct job *job) {
    struct lane *lane = LANE_OF(job, job);
    if (job->failed) lane_down(lane, &job->err);
    else {
        report_unanswered(lane);
        report_tallies(lane->sweep, lane);
    }
    sweep_lane_over(lane);
}

void lane_verify(struct lane *lane) {
    struct sweep *sweep = lane->sweep;
    const struct order **orders = ARENA_ARRAY(lane->arena, const struct order *, sweep->plan->n_orders + lane->n_own_orders);
    size_t n_orders = 0;
    for (size_t i = 0; i < sweep->plan->n_orders; i++) {
        const struct order *order = &sweep->plan->orders[i];
        bool gated = order->own && sweep->gated;
        if (order->target->store == lane->conf && !sweep->bad[order->target->number] && !gated) orders[n_orders++] = order;
    }
    for (size_t i = 0; i < lane->n_own_orders; i++) orders[n_orders++] = lane->own_orders[i];
    ask(lane, orders, n_orders);
    lane->held = ARENA_ARRAY(lane->arena, const struct order *, sweep->plan->n_held);
    for (size_t i = 0; i < sweep->plan->n_held; i++) {
        const struct target *target = sweep->plan->held[i].target;
        if (target->store == lane->conf && !sweep->bad[target->number]) lane->held[lane->n_held++] = &sweep->plan->held[i];
    }
    lane->held_tallies = ARENA_ARRAY(lane->arena, struct tally, lane->n_held);
    lane_submit(lane, run_verify, on_verified);
}
