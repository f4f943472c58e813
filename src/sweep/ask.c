#include "sweep/sweep_internal.h"

#include "base/log.h"
#include "base/time.h"
#include "sweep/figures.h"
#include "sweep/leave.h"
#include "sweep/throttle.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

static void on_asked(struct job *job) {
    struct site *site = SITE_OF(job, job);
    site_rest(site, time_monotonic_us() - site->asked_us);
    site->answered(job);
}

static void submit(struct site *site) {
    if (site->sweep->stopping) {
        sweep_site_unasked(site);
        return;
    }
    site->asked_us = time_monotonic_us();
    worker_submit(site->lanes[0].worker, &site->job);
}

void site_ask(struct site *site, int (*run)(struct job *, struct store *, struct err *), void (*done)(struct job *)) {
    site->job.run = run;
    site->job.done = on_asked;
    site->answered = done;
    site_when_rested(site, submit);
}

/* ---- check: the clock, unsettled batches, the catalog ---- */

static int compare_clocks(struct site *site, struct store *store, struct err *err) {
    int64_t server_us, before_us = time_now_us();
    if (store_driver(store)->ping(store, &server_us, err)) return -1;
    int64_t after_us = time_now_us(), tolerance_us = site->sweep->schedule->settings.clock_tolerance_us;
    int64_t apart_us = server_us < before_us ? before_us - server_us : server_us > after_us ? server_us - after_us : 0;
    site->clock = apart_us <= tolerance_us ? SITE_CLOCK_SAME : SITE_CLOCK_APART;
    if (site->clock == SITE_CLOCK_SAME) return 0;
    return err_set(err, ERR_REFUSED, "store \"%s\": its clock and ours are %s apart; nothing is destroyed while one of them may be wrong",
                   site->conf->name, time_format_span(apart_us).text);
}

static int run_check(struct job *job, struct store *store, struct err *err) {
    struct site *site = SITE_OF(job, job);
    struct sweep *sweep = site->sweep;
    const struct store_driver *driver = store_driver(store);
    if (compare_clocks(site, store, err)) return -1;
    if (driver->know && sweep->tenants) driver->know(store, sweep->tenants);
    if (settle_all(store, site->settling, site->n_settling, err)) return -1;
    return driver->check(store, &site->faults, sweep->bad, err);
}

/* Targets that the catalog refuses are not swept; each fault is logged with its place. */
static void report_faults(struct site *site) {
    struct sweep *sweep = site->sweep;
    faults_sort(&site->faults);
    faults_log(&site->faults);
    for (size_t i = 0; i < sweep->schedule->n_targets; i++) {
        const struct target *target = sweep->schedule->targets[i];
        if (target->store != site->conf || !sweep->bad[target->number]) continue;
        sweep->report.faulty = true;
        report_finding(sweep, (struct finding){.code = "target-faulty", .rule = target->rule->data, .store = site->conf->name,
                                               .place = target->name, .count = 1,
                                               .text = "the schedule and the catalog disagree; nothing is destroyed there: lapsectl check"});
    }
}

static void on_measured(void *context) { sweep_site_over(context); }

/* Before the first batch it is known how others fare. */
static void on_checked(struct job *job) {
    struct site *site = SITE_OF(job, job);
    if (job->failed) {
        site_down(site, &job->err);
        sweep_site_over(site);
        return;
    }
    struct engine *engine = site->sweep->engine;
    for (size_t i = 0; i < site->n_settling; i++) settle_enter(site->sweep->engine, &site->settling[i]);
    report_faults(site);
    throttle_begin(engine->throttles[engine_store_index(engine, site->conf)], on_measured, site);
}

void site_check(struct site *site) {
    site->faults = (struct faults){.arena = site->arena};
    site->settling = settle_list(site->sweep->engine, site->conf, site->arena, &site->n_settling);
    site_ask(site, run_check, on_checked);
}

/* ---- questions for all orders at once ---- */

/* probe or count */
typedef int ask_verb(struct store *store, const struct order *const *orders, size_t n_orders, struct arena *arena, struct tally *tallies,
                     struct err *err);

/* The order is at fault, and not the store. */
static bool is_of_order(const struct err *err) { return err->code == ERR_CONFIG || err->code == ERR_REFUSED; }

static void note_unanswered(struct site *site, const struct target *target, const struct err *err) {
    *ARENA_APPEND(site->arena, site->unanswered, site->n_unanswered) = (struct unanswered){.target = target, .err = *err};
}

static const struct tenant_count *copy_tenants(struct arena *arena, const struct tenant_count *tenants, size_t count) {
    if (!count) return NULL;
    struct tenant_count *copies = ARENA_ARRAY(arena, struct tenant_count, count);
    for (size_t i = 0; i < count; i++) {
        copies[i] = tenants[i];
        copies[i].tenant = arena_strdup(arena, tenants[i].tenant);
    }
    return copies;
}

static struct tally copy_tally(struct arena *arena, const struct tally *tally) {
    struct tally copy = *tally;
    copy.tenants = copy_tenants(arena, tally->tenants, tally->n_tenants);
    copy.blocked_tenants = tally->blocked_tenants ? copy_tenants(arena, tally->blocked_tenants, tally->n_blocked_tenants) : NULL;
    struct blocked_count *blocked = ARENA_ARRAY(arena, struct blocked_count, tally->n_blocked);
    for (size_t i = 0; i < tally->n_blocked; i++)
        blocked[i] = (struct blocked_count){.by = arena_strdup(arena, tally->blocked[i].by), .count = tally->blocked[i].count};
    copy.blocked = blocked;
    return copy;
}

/* Of what a question takes, its statements with all tenants in them above all, only the answer is kept. tallies NULL: not even that. */
static int ask_once(struct site *site, struct store *store, ask_verb *verb, const struct order *const *orders, size_t n_orders,
                    struct tally *tallies, struct err *err) {
    struct arena *arena = arena_new();
    struct tally *answers = ARENA_ARRAY(arena, struct tally, n_orders);
    int failed = verb(store, orders, n_orders, arena, answers, err);
    for (size_t i = 0; i < n_orders && !failed && tallies; i++) tallies[i] = copy_tally(site->arena, &answers[i]);
    arena_free(arena);
    return failed;
}

/* Keeps of the orders those that are answered by themselves. */
static int leave_out_refused(struct site *site, struct store *store, ask_verb *verb, struct err *err) {
    size_t kept = 0;
    for (size_t i = 0; i < site->n_asked; i++) {
        if (!ask_once(site, store, verb, &site->asked[i], 1, NULL, err)) site->asked[kept++] = site->asked[i];
        else if (is_of_order(err)) note_unanswered(site, site->asked[i]->target, err);
        else return -1;
    }
    site->n_asked = kept;
    return 0;
}

/* Together, because what goes by one order may free what another waits for. An order that is refused costs itself alone. */
static int ask_all(struct site *site, struct store *store, ask_verb *verb, struct err *err) {
    if (!site->n_asked || !ask_once(site, store, verb, site->asked, site->n_asked, site->tallies, err)) return 0;
    size_t n_all = site->n_asked;
    struct err together = *err;
    if (!is_of_order(err) || leave_out_refused(site, store, verb, err)) return -1;
    if (site->n_asked == n_all) { /* no single one is at fault */
        *err = together;
        return -1;
    }
    return site->n_asked ? ask_once(site, store, verb, site->asked, site->n_asked, site->tallies, err) : 0;
}

static void report_unanswered(struct site *site) {
    for (size_t i = 0; i < site->n_unanswered; i++) {
        const struct unanswered *unanswered = &site->unanswered[i];
        site->sweep->rules[unanswered->target->rule->number].left = -1;
        site_target_failed(site, unanswered->target, &unanswered->err);
    }
}

static void ask(struct site *site, const struct order **orders, size_t n_orders) {
    site->asked = orders;
    site->n_asked = n_orders;
    site->unanswered = NULL;
    site->n_unanswered = 0;
    site->tallies = ARENA_ARRAY(site->arena, struct tally, n_orders);
}

/* ---- count: what is due before anything is destroyed? ---- */

static bool is_too_slow(const struct err *err) { return err->code == ERR_UNAVAILABLE && *err->detail; }

/* The server answers, but not in time: what can be counted by itself is. What cannot is much, beforehand; afterwards nobody knows. */
static int count_each(struct site *site, struct store *store, bool beforehand, struct err *err) {
    size_t kept = 0;
    for (size_t i = 0; i < site->n_asked; i++) {
        const struct order *order = site->asked[i];
        if (!ask_once(site, store, store_driver(store)->count, &order, 1, &site->tallies[kept], err)) site->asked[kept++] = order;
        else if (is_of_order(err) || (is_too_slow(err) && !beforehand)) note_unanswered(site, order->target, err);
        else if (is_too_slow(err)) *ARENA_APPEND(site->arena, site->uncounted, site->n_uncounted) = order;
        else return -1;
    }
    site->n_asked = kept;
    return 0;
}

static int count_all(struct site *site, struct store *store, bool beforehand, struct err *err) {
    if (!ask_all(site, store, store_driver(store)->count, err)) return 0;
    return is_too_slow(err) ? count_each(site, store, beforehand, err) : -1;
}

static bool is_held(const struct site *site, const struct order *order) {
    const struct plan *plan = site->sweep->plan;
    for (size_t i = 0; i < plan->n_held; i++)
        if (order == &plan->held[i]) return true;
    return false;
}

/* The orders over what is held are figures: none of them is judged, or carried out. */
static void set_held_apart(struct site *site) {
    size_t n_asked = 0, n_uncounted = 0;
    site->n_held = 0;
    for (size_t i = 0; i < site->n_asked; i++) {
        if (is_held(site, site->asked[i])) {
            site->held[site->n_held] = site->asked[i];
            site->held_tallies[site->n_held++] = site->tallies[i];
        } else {
            site->asked[n_asked] = site->asked[i];
            site->tallies[n_asked++] = site->tallies[i];
        }
    }
    for (size_t i = 0; i < site->n_uncounted; i++)
        if (!is_held(site, site->uncounted[i])) site->uncounted[n_uncounted++] = site->uncounted[i];
    site->n_asked = n_asked;
    site->n_uncounted = n_uncounted;
}

static int run_count(struct job *job, struct store *store, struct err *err) {
    struct site *site = SITE_OF(job, job);
    const struct store_driver *driver = store_driver(store);
    if (site->sweep->surveys && driver->foresee) driver->foresee(store, site->sweep->plan->now_us);
    if (driver->remember) driver->remember(store, true);
    if (count_all(site, store, true, err)) return -1;
    if (site->held_counted) set_held_apart(site);
    return figures_ask_shares(store, site->sweep->schedule, site->asked, site->tallies, site->n_asked, site->arena, &site->shares, &site->n_shares, err);
}

static void on_counted(struct job *job) {
    struct site *site = SITE_OF(job, job);
    if (job->failed) {
        site_down(site, &job->err);
    } else {
        for (size_t i = 0; i < site->n_unanswered; i++) site->sweep->refused[site->unanswered[i].target->number] = true;
        report_unanswered(site);
        site->counted = site->asked;
        site->n_counted = site->n_asked;
        site->counts = site->tallies;
        site->gone = ARENA_ARRAY(site->arena, int64_t, site->n_counted);
        site->counted_us = time_monotonic_us();
    }
    sweep_site_over(site);
}

static void list_held(struct site *site) {
    const struct sweep *sweep = site->sweep;
    site->held = ARENA_ARRAY(site->arena, const struct order *, sweep->plan->n_held);
    site->held_tallies = ARENA_ARRAY(site->arena, struct tally, sweep->plan->n_held);
    for (size_t i = 0; i < sweep->plan->n_held; i++) {
        const struct target *target = sweep->plan->held[i].target;
        if (target->store == site->conf && !sweep->bad[target->number]) site->held[site->n_held++] = &sweep->plan->held[i];
    }
}

void site_count(struct site *site) {
    struct sweep *sweep = site->sweep;
    const struct order **orders = ARENA_ARRAY(site->arena, const struct order *, sweep->plan->n_orders + sweep->plan->n_held);
    size_t count = 0;
    for (size_t i = 0; i < sweep->plan->n_orders; i++) {
        const struct order *order = &sweep->plan->orders[i];
        if (order->target->store == site->conf && !sweep->bad[order->target->number]) orders[count++] = order;
    }
    list_held(site);
    site->held_counted = store_driver_of(site->conf->kind)->thorough && site->n_held;
    for (size_t i = 0; site->held_counted && i < site->n_held; i++) orders[count++] = site->held[i];
    ask(site, orders, count);
    site_ask(site, run_count, on_counted);
}

/* ---- gate: does a tenant have anything left but its own records? ---- */

static int run_probe(struct job *job, struct store *store, struct err *err) {
    struct site *site = SITE_OF(job, job);
    return ask_all(site, store, store_driver(store)->probe, err);
}

static void on_answer(struct job *job) {
    struct site *site = SITE_OF(job, job);
    if (job->failed) site_down(site, &job->err);
    else report_unanswered(site);
    sweep_site_over(site);
}

void site_gate(struct site *site, const struct order **orders, size_t n_orders) {
    ask(site, orders, n_orders);
    site_ask(site, run_probe, on_answer);
}

/* ---- verify: is anything due left? ---- */

/* The gate has its own orders over the tenants' own records. */
static bool is_left_to_gate(const struct sweep *sweep, const struct order *order) {
    return order->own && sweep->gated && leave_is_free(sweep, order->target->rule);
}

/* Own records have theirs at the gate. */
static bool had_its_turn(const struct site *site, const struct order *order) {
    const struct sweep *sweep = site->sweep;
    for (size_t i = 0; i < sweep->n_orders; i++)
        if (sweep->orders[i] == order) return !order->own && !site_is_left_out(site, order);
    return false;
}

/* Of each order that had its turn all that was counted went, of the others nothing: the store said so of each record. What is not there
 * any more when its turn comes was not destroyed by us, and is not left. */
static bool went_as_counted(const struct site *site) {
    for (size_t i = 0; i < site->n_counted; i++)
        if (site->gone[i] != site->counts[i].records && (site->gone[i] || had_its_turn(site, site->counted[i]))) return false;
    return !site->doubtful;
}

/* What was due when it was counted, less what went since, is what is left. Of a store where a pass is all that a count is, and nothing
 * waits for anything else, that is known for a while without another look at everything; of others only if nothing was destroyed. */
static bool is_as_counted(const struct site *site) {
    const struct sweep *sweep = site->sweep;
    if (!sweep->leaves || site->n_uncounted || site->n_own_orders) return false;
    for (size_t i = 0; i < sweep->schedule->n_targets; i++)
        if (sweep->schedule->targets[i]->store == site->conf && sweep->refused[i]) return false;
    return went_as_counted(site) && (!sweep->batches || (store_driver_of(site->conf->kind)->thorough && !site_is_stale(site)));
}

static void take_counts(struct site *site) {
    size_t kept = 0;
    site->tallies = ARENA_ARRAY(site->arena, struct tally, site->n_counted);
    site->asked = ARENA_ARRAY(site->arena, const struct order *, site->n_counted);
    for (size_t i = 0; i < site->n_counted; i++) {
        if (is_left_to_gate(site->sweep, site->counted[i])) continue;
        site->asked[kept] = site->counted[i];
        site->tallies[kept++] = site->gone[i] ? (struct tally){0} : site->counts[i];
    }
    site->n_asked = kept;
}

static int run_verify(struct job *job, struct store *store, struct err *err) {
    struct site *site = SITE_OF(job, job);
    const struct store_driver *driver = store_driver(store);
    bool counted = is_as_counted(site);
    if (driver->remember) driver->remember(store, false);
    if (counted) take_counts(site);
    else if (site->sweep->surveys && driver->foresee) driver->foresee(store, site->sweep->plan->now_us);
    if (!counted && count_all(site, store, false, err)) return -1;
    /* A figure for people: a store that refuses it has not failed. */
    if (site->n_held && !(counted && site->held_counted) && ask_once(site, store, driver->count, site->held, site->n_held, site->held_tallies, err)) {
        site->n_held = 0;
        return is_of_order(err) ? 0 : -1;
    }
    return 0;
}

static void on_verified(struct job *job) {
    struct site *site = SITE_OF(job, job);
    if (job->failed) site_down(site, &job->err);
    else {
        report_unanswered(site);
        report_tallies(site->sweep, site);
    }
    sweep_site_over(site);
}

void site_verify(struct site *site) {
    struct sweep *sweep = site->sweep;
    const struct order **orders = ARENA_ARRAY(site->arena, const struct order *, sweep->plan->n_orders + site->n_own_orders);
    size_t n_orders = 0;
    for (size_t i = 0; i < sweep->plan->n_orders; i++) {
        const struct order *order = &sweep->plan->orders[i];
        if (order->target->store == site->conf && !sweep->bad[order->target->number] && !is_left_to_gate(sweep, order)) orders[n_orders++] = order;
    }
    for (size_t i = 0; i < site->n_own_orders; i++)
        if (leave_is_free(sweep, site->own_orders[i]->target->rule)) orders[n_orders++] = site->own_orders[i];
    ask(site, orders, n_orders);
    site_ask(site, run_verify, on_verified);
}
