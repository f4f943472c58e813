#include "sweep/sweep_internal.h"

#include "base/log.h"
#include "base/time.h"
#include "sweep/leave.h"
#include "sweep/month_key.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define SWEEP_OF(pointer, member) ((struct sweep *)(void *)((char *)(pointer) - offsetof(struct sweep, member)))

static void next_stage(struct sweep *sweep);

void sweep_stop(struct sweep *sweep, const struct err *err) {
    if (!sweep->report.journal_failed) log_error("%s; nothing is destroyed that the journal cannot hold, ending the sweep", err->text);
    sweep->report.journal_failed = true;
    sweep_end_early(sweep);
}

void sweep_end_early(struct sweep *sweep) {
    sweep->stopping = true;
    for (size_t i = 0; i < sweep->schedule->n_stores; i++) {
        site_hurry(&sweep->sites[i]);
        for (size_t l = 0; l < sweep->sites[i].n_lanes; l++) lane_hurry(&sweep->sites[i].lanes[l]);
    }
}

/* ---- stages: each starts what sites have to do in it and ends when none is at work ---- */

void sweep_site_over(struct site *site) {
    struct sweep *sweep = site->sweep;
    assert(sweep->running > 0);
    if (--sweep->running == 0) next_stage(sweep);
}

void sweep_site_unasked(struct site *site) {
    if (site->sweep->stage == STAGE_VERIFY) site->sweep->verified = false;
    sweep_site_over(site);
}

/* Starts `start` on every site for which it has work; `start` returns false where there is none. A site that comes back at once
 * must not end the stage before the others were started: the stage holds a place of its own meanwhile. */
static void on_sites(struct sweep *sweep, bool (*start)(struct site *site)) {
    sweep->running++;
    for (size_t i = 0; i < sweep->schedule->n_stores; i++) {
        struct site *site = &sweep->sites[i];
        if (site->down) continue;
        sweep->running++;
        if (!start(site)) sweep->running--;
    }
    if (--sweep->running == 0) next_stage(sweep);
}

static bool start_check(struct site *site) {
    site_check(site);
    return true;
}

static const struct order **orders_of(const struct site *site, bool own, size_t *ret_count) {
    const struct sweep *sweep = site->sweep;
    const struct order **orders = ARENA_ARRAY(sweep->arena, const struct order *, sweep->n_orders);
    size_t count = 0;
    for (size_t i = 0; i < sweep->n_orders; i++) {
        const struct order *order = sweep->orders[i];
        if (order->target->store == site->conf && order->own == own && !site->sweep->bad[order->target->number]) orders[count++] = order;
    }
    *ret_count = count;
    return orders;
}

static bool start_count(struct site *site) {
    site_count(site);
    return true;
}

/* The count was of everything, and found nothing: neither due nor in the way of what is. */
static bool has_nothing_due(const struct site *site) {
    for (size_t i = 0; i < site->n_counted; i++)
        if (site->counts[i].records || site->counts[i].n_blocked_records || site->counts[i].n_tenants) return false;
    return !site->n_uncounted;
}

static bool start_batches(struct site *site) {
    enum store_kind kind = site->conf->kind;
    enum stage stage = kind == STORE_MONGODB ? STAGE_MONGODB : kind == STORE_REDIS ? STAGE_REDIS : STAGE_POSTGRESQL;
    if (stage != site->sweep->stage) return false;
    size_t count;
    const struct order **orders = orders_of(site, false, &count);
    site->refilled = kind == STORE_REDIS && site->sweep->batches;
    if (!count || (has_nothing_due(site) && !site->refilled)) return false;
    site_run(site, orders, count, false);
    return true;
}

/* ---- the gate before the tenants' own records ---- */

/* Every tenant that an order over own records names, once. */
static const struct scope_tenant *own_tenants(struct sweep *sweep, size_t *ret_count) {
    size_t count = 0, most = 0;
    for (size_t i = 0; i < sweep->n_orders; i++)
        if (sweep->orders[i]->own && !sweep->orders[i]->due.anchor) most += sweep->orders[i]->due.n_tenants;
    struct scope_tenant *tenants = ARENA_ARRAY(sweep->arena, struct scope_tenant, most);
    for (size_t i = 0; i < sweep->n_orders; i++) {
        const struct order *order = sweep->orders[i];
        if (!order->own || order->due.anchor) continue;
        for (size_t t = 0; t < order->due.n_tenants; t++, count++) {
            tenants[count] = order->due.tenants[t];
            tenants[count].cutoff_us = TIME_FOREVER;
        }
    }
    if (count) qsort(tenants, count, sizeof *tenants, scope_tenant_by_id);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (!kept || strcmp(tenants[kept - 1].id, tenants[i].id) != 0) tenants[kept++] = tenants[i];
    *ret_count = kept;
    return tenants;
}

static bool has_own_orders(const struct sweep *sweep) {
    for (size_t i = 0; i < sweep->n_orders; i++)
        if (sweep->orders[i]->own) return true;
    return false;
}

static bool start_gate(struct site *site) {
    struct sweep *sweep = site->sweep;
    size_t n_tenants, n_targets, n_orders = 0;
    const struct scope_tenant *tenants = own_tenants(sweep, &n_tenants);
    site->n_asked = 0;
    if (!n_tenants) return false;
    const struct target **targets = ARENA_ARRAY(sweep->arena, const struct target *, sweep->schedule->n_targets);
    n_targets = plan_bound_targets(sweep->schedule, sweep->own_tables, sweep->n_own_tables, targets);
    const struct order **asked = ARENA_ARRAY(sweep->arena, const struct order *, n_targets);
    for (size_t i = 0; i < n_targets; i++) {
        if (targets[i]->store != site->conf || sweep->bad[targets[i]->number]) continue;
        struct order *order = ARENA_NEW(sweep->arena, struct order);
        *order = order_any(targets[i], tenants, n_tenants);
        asked[n_orders++] = order;
    }
    if (!n_orders) return false;
    site_gate(site, asked, n_orders);
    return true;
}

/* Own records wait for a store or a target that could not be asked, and for a target that is not swept. */
static bool all_could_be_asked(struct sweep *sweep) {
    const struct target **targets = ARENA_ARRAY(sweep->arena, const struct target *, sweep->schedule->n_targets);
    size_t n_targets = plan_bound_targets(sweep->schedule, sweep->own_tables, sweep->n_own_tables, targets);
    for (size_t i = 0; i < n_targets; i++) {
        const struct site *site = &sweep->sites[engine_store_index(sweep->engine, targets[i]->store)];
        if (site->down || site->n_unanswered || sweep->bad[targets[i]->number]) return false;
    }
    return true;
}

static int by_tenant(const void *a, const void *b) {
    return strcmp(((const struct tenant_count *)a)->tenant, ((const struct tenant_count *)b)->tenant);
}

static bool has_records_left(const struct sweep *sweep, const char *tenant) {
    const struct tenant_count key = {.tenant = tenant};
    for (size_t l = 0; l < sweep->schedule->n_stores; l++) {
        const struct site *site = &sweep->sites[l];
        for (size_t i = 0; i < site->n_asked; i++) {
            const struct tally *tally = &site->tallies[i];
            if (tally->n_tenants && bsearch(&key, tally->tenants, tally->n_tenants, sizeof key, by_tenant)) return true;
        }
    }
    return false;
}

/* The order for the tenants that have nothing else left; NULL if there is none. The others are reported. */
static const struct order *gated_order(struct sweep *sweep, const struct order *order) {
    struct scope_tenant *free_tenants = ARENA_ARRAY(sweep->arena, struct scope_tenant, order->due.n_tenants);
    size_t n_free = 0;
    for (size_t t = 0; t < order->due.n_tenants; t++)
        if (!has_records_left(sweep, order->due.tenants[t].id)) free_tenants[n_free++] = order->due.tenants[t];
    if (n_free < order->due.n_tenants)
        report_finding(sweep, (struct finding){.code = "own-waits", .rule = order->target->rule->data, .store = order->target->store->name,
                                               .place = order->target->name, .count = (int64_t)(order->due.n_tenants - n_free),
                                               .text = "tenants still have other records that run by the same end; their own records wait for those"});
    if (!n_free) return NULL;
    struct order *narrowed = ARENA_NEW(sweep->arena, struct order);
    *narrowed = order_for(order, free_tenants, n_free);
    return narrowed;
}

/* Check refuses own records under a rule by age, so an order over them names tenants. */
static void gate(struct site *site) {
    size_t count;
    site->own_orders = orders_of(site, true, &count);
    for (size_t i = 0; i < count; i++) {
        const struct order *order = site->own_orders[i]->due.anchor ? NULL : gated_order(site->sweep, site->own_orders[i]);
        if (order) site->own_orders[site->n_own_orders++] = order;
    }
}

static bool start_own(struct site *site) {
    site->sweep->gated = true;
    gate(site);
    if (!site->n_own_orders) return false;
    site_run(site, site->own_orders, site->n_own_orders, true);
    return true;
}

static bool start_verify(struct site *site) {
    site_verify(site);
    return true;
}

static bool start_survey(struct site *site) {
    survey_site(site);
    return true;
}

void sweep_work(struct sweep *sweep, int (*run)(struct job *, struct store *, struct err *), void (*done)(struct job *)) {
    struct engine *engine = sweep->engine;
    sweep->job.run = run;
    sweep->job.done = done;
    worker_submit(engine->tenants_worker ? engine->tenants_worker : engine->crews[0].workers[0], &sweep->job);
}

/* ---- the tenants stage ---- */

static int take_tenant(void *context, const struct tenant_row *row, struct err *err) { return tenants_add(context, row, err); }

static int read_tenants(struct sweep *sweep, struct store *store, struct err *err) {
    const struct store_driver *driver = store_driver(store);
    sweep->tenants = tenants_new(sweep->schedule);
    if (sweep->schedule->has_tenants &&
        (driver->tenants(store, NULL, 0, take_tenant, sweep->tenants, err) ||
         driver->tenants_tables(store, sweep->arena, &sweep->own_tables, &sweep->n_own_tables, err))) {
        tenants_finish(sweep->tenants);
        return err_within(err, "tenants");
    }
    tenants_finish(sweep->tenants);
    if (sweep->schedule->has_tenants && !tenants_count(sweep->tenants))
        return err_set(err, ERR_REFUSED, "tenants: the query gave no tenant at all; nothing is destroyed on an empty list");
    return 0;
}

/* The keys of this month. */
static int have_keys(struct sweep *sweep, struct err *err) {
    const char *state = sweep->schedule->settings.state_folder;
    struct engine *engine = sweep->engine;
    int64_t now_us = sweep->report.began_us;
    if (month_key_have(state, "pseudonym", now_us, engine->pseudonym_key, err)) return -1;
    return month_key_have(state, "evidence", now_us, engine->evidence_key, err);
}

/* On a worker, because it reads and writes files: the periods in force are noted before anything is destroyed. */
static int run_tenants(struct job *job, struct store *store, struct err *err) {
    struct sweep *sweep = SWEEP_OF(job, job);
    const char *state = sweep->schedule->settings.state_folder;
    if (read_tenants(sweep, store, err) || history_load(state, &sweep->history, err) || brakes_load(state, &sweep->brakes, err)) return -1;
    history_note(sweep->history, sweep->schedule, sweep->tenants, sweep->report.began_us);
    if (history_save(sweep->history, state, err) || have_keys(sweep, err)) return -1;
    return tenant_names_open(sweep->schedule, &sweep->engine->tenant_names, err);
}

static void on_tenants(struct job *job) {
    struct sweep *sweep = SWEEP_OF(job, job);
    size_t index = sweep->schedule->has_tenants ? engine_store_index(sweep->engine, sweep->schedule->tenants.store) : 0;
    if (sweep->schedule->has_tenants) site_rest(&sweep->sites[index], time_monotonic_us() - sweep->tenants_asked_us);
    if (job->failed) {
        log_error("%s; nothing is destroyed in this sweep", job->err.text);
        sweep->tenants_failed = true;
        sweep->report.waits = true;
        sweep->report.reason = arena_strdup(sweep->arena, job->err.text);
        if (job->err.code == ERR_IO)
            report_finding(sweep, (struct finding){.code = "state-unreadable", .count = 1, .text = "a file of the state folder could not be read or written; nothing was destroyed"});
        else
            report_finding(sweep, (struct finding){.code = "tenants-unread", .count = 1,
                                                   .store = sweep->schedule->has_tenants ? sweep->schedule->tenants.store->name : NULL,
                                                   .text = "the tenants could not be read; nothing was destroyed"});
        if (job->err.code == ERR_UNAVAILABLE) {
            sweep->sites[index].down = true;
            sweep->sites[index].err = job->err;
        }
        sweep->report.faulty |= job->err.code == ERR_CONFIG;
    }
    next_stage(sweep);
}

static void start_tenants(struct sweep *sweep) {
    sweep->tenants_asked_us = time_monotonic_us();
    sweep_work(sweep, run_tenants, on_tenants);
}

/* ---- what has served its time: keys, evidence, the journal's old segments ---- */

/* What is gone by a wrong clock does not come back. */
bool sweep_clock_is_confirmed(const struct sweep *sweep) {
    size_t confirmed = 0;
    for (size_t i = 0; i < sweep->schedule->n_stores; i++) {
        if (sweep->sites[i].clock == SITE_CLOCK_APART) return false;
        confirmed += sweep->sites[i].clock == SITE_CLOCK_SAME;
    }
    return confirmed > 0;
}

/* Of the month that the sweep began in the keys are in use. */
static int run_expire(struct job *job, struct store *store, struct err *err) {
    (void)store;
    const struct sweep *sweep = SWEEP_OF(job, job);
    const struct settings *settings = &sweep->schedule->settings;
    int64_t now_us = sweep->report.began_us;
    size_t pseudonyms, evidence;
    if (month_keys_destroy(settings->state_folder, "pseudonym", now_us, (struct period){0}, &pseudonyms, err) ||
        month_keys_destroy(settings->state_folder, "evidence", now_us, settings->journal_keep_evidence, &evidence, err))
        return -1;
    if (evidence) log_notice("%zu evidence keys have served their time and were destroyed", evidence);
    return 0;
}

static void on_expired(struct job *job) {
    struct sweep *sweep = SWEEP_OF(job, job);
    if (job->failed) {
        log_error("%s", job->err.text);
        report_finding(sweep, (struct finding){.code = "keys-kept", .count = 1, .text = "keys that have served their time could not be destroyed"});
    }
    next_stage(sweep);
}

static void start_expire(struct sweep *sweep) {
    const struct settings *settings = &sweep->schedule->settings;
    struct engine *engine = sweep->engine;
    if (!sweep_clock_is_confirmed(sweep) || (engine->clock && !clock_look(engine->clock))) {
        next_stage(sweep);
        return;
    }
    journal_prune(engine->journal, sweep->report.began_us, settings->journal_keep, settings->journal_keep_evidence);
    sweep_work(sweep, run_expire, on_expired);
}

static void make_plan(struct sweep *sweep) {
    struct engine *engine = sweep->engine;
    if (engine->tenants_read) engine->tenants_read(engine->tenants_context, sweep->tenants);
    sweep->holds_version = engine->holds_version;
    sweep->plan = plan_make(sweep->arena, sweep->schedule, sweep->tenants, sweep->history, sweep->own_tables, sweep->n_own_tables,
                            engine->holds, sweep->report.began_us);
    for (size_t i = 0; i < sweep->plan->n_findings; i++) report_finding(sweep, sweep->plan->findings[i]);
}

/* ---- the one writer of the stage ---- */

static void enter(struct sweep *sweep, enum stage stage) {
    sweep->stage = stage;
    switch (stage) {
    case STAGE_TENANTS: start_tenants(sweep); return;
    case STAGE_CHECK:
        report_begin(sweep);
        make_plan(sweep);
        on_sites(sweep, start_check);
        return;
    case STAGE_EXPIRE: start_expire(sweep); return;
    case STAGE_COUNT: on_sites(sweep, start_count); return;
    case STAGE_LEAVE:
        if (!sweep->list_text) leave_judge(sweep);
        leave_save(sweep, next_stage);
        return;
    case STAGE_MONGODB:
    case STAGE_POSTGRESQL:
    case STAGE_REDIS: on_sites(sweep, start_batches); return;
    case STAGE_GATE: on_sites(sweep, start_gate); return;
    case STAGE_OWN: on_sites(sweep, start_own); return;
    case STAGE_VERIFY:
        sweep->verified = true;
        on_sites(sweep, start_verify);
        return;
    case STAGE_SURVEY: on_sites(sweep, start_survey); return;
    case STAGE_END: break;
    }
    report_end(sweep);
}

static void next_stage(struct sweep *sweep) {
    if (sweep->stage == STAGE_TENANTS && sweep->tenants_failed) {
        report_begin(sweep);
        enter(sweep, STAGE_END);
        return;
    }
    if (sweep->stage == STAGE_TENANTS && !sweep->stopping && !leave_judge_list(sweep)) {
        report_begin(sweep);
        enter(sweep, STAGE_LEAVE);
        return;
    }
    enum stage next = sweep->stage + 1;
    if (sweep->list_text) next = STAGE_END;
    if (next == STAGE_SURVEY && !sweep->surveys) next = STAGE_END;
    if (sweep->stopping && next < STAGE_END) next = STAGE_END;
    if (next == STAGE_GATE && !has_own_orders(sweep)) next = STAGE_VERIFY;
    if (next == STAGE_OWN && !all_could_be_asked(sweep)) next = STAGE_VERIFY;
    enter(sweep, next);
}

/* ---- birth and death ---- */

struct sweep *sweep_start(struct engine *engine, const char *trigger, int64_t now_us,
                          void (*done)(void *context, const struct sweep_report *report), void *context) {
    struct arena *arena = arena_new();
    struct sweep *sweep = ARENA_NEW(arena, struct sweep);
    const struct schedule *schedule = engine->schedule;
    *sweep = (struct sweep){.engine = engine, .schedule = schedule, .arena = arena, .trigger = trigger, .done = done, .context = context};
    sweep->report = (struct sweep_report){.number = journal_last_sweep(engine->journal) + 1, .began_us = now_us};
    sweep->bad = ARENA_ARRAY(arena, bool, schedule->n_targets);
    sweep->refused = ARENA_ARRAY(arena, bool, schedule->n_targets);
    sweep->sites = ARENA_ARRAY(arena, struct site, schedule->n_stores);
    for (size_t i = 0; i < schedule->n_stores; i++) site_begin(&sweep->sites[i], sweep, i);
    sweep->rules = ARENA_ARRAY(arena, struct rule_report, schedule->n_rules);
    for (size_t i = 0; i < schedule->n_rules; i++) sweep->rules[i].rule = &schedule->rules[i];
    sweep->surveys = survey_is_due(&engine->survey, schedule, now_us);
    enter(sweep, STAGE_TENANTS);
    return sweep;
}

void sweep_free(struct sweep *sweep) {
    if (!sweep) return;
    for (size_t i = 0; i < sweep->schedule->n_stores; i++) site_free(&sweep->sites[i]);
    tenants_free(sweep->tenants);
    history_free(sweep->history);
    brakes_free(sweep->brakes);
    arena_free(sweep->arena);
}

const struct tenants *sweep_tenants(const struct sweep *sweep) { return sweep->plan ? sweep->tenants : NULL; }

bool sweep_is_committing(const struct sweep *sweep, const struct hold *hold) {
    const struct holds holds = {.items = hold, .count = 1};
    for (size_t i = 0; i < sweep->schedule->n_stores; i++) {
        const struct site *site = &sweep->sites[i];
        for (size_t l = 0; l < site->n_lanes; l++)
            if (site->lanes[l].committing && held_forbids(&site->lanes[l], &holds)) return true;
    }
    return false;
}

bool sweep_progress(const struct sweep *sweep, struct buf *to) {
    static const char *const stages[] = {"reading the tenants", "checking the stores", "removing what has served its time", "counting what is due", "judging it", "MongoDB", "PostgreSQL", "Redis",
                                         "looking what is left of former tenants", "the tenants' own records", "verifying", "looking for what cannot be decided", "ending"};
    int64_t records = 0;
    for (size_t i = 0; i < sweep->schedule->n_rules; i++) records += sweep->rules[i].purged + sweep->rules[i].anonymized;
    size_t before = to->length;
    veto_tell(sweep->engine, to);
    bool waits = to->length > before;
    if (waits) buf_add(to, "; no batch is begun before that is over; ");
    buf_printf(to, "sweep %lld: %s, %s records in %s batches so far", (long long)sweep->report.number, stages[sweep->stage],
               text_number(records).text, text_number(sweep->batches).text);
    return waits && !sweep->stopping;
}
