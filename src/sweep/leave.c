#include "sweep/leave.h"

#include "base/log.h"
#include "base/time.h"
#include "sweep/figures.h"

#include <stddef.h>
#include <string.h>

#define SWEEP_OF_JOB(pointer) ((struct sweep *)(void *)((char *)(pointer) - offsetof(struct sweep, job)))

/* ---- the list of tenants ---- */

static void note_spent(struct sweep *sweep, const char *approval_id) {
    *ARENA_APPEND(sweep->arena, sweep->spent, sweep->report.n_spent) = arena_strdup(sweep->arena, approval_id);
    sweep->report.spent = sweep->spent;
}

static void spend_list(struct sweep *sweep, const char *digest) {
    const struct approvals *approvals = sweep->engine->approvals;
    for (size_t i = 0; approvals && i < approvals->count; i++)
        if (!approvals->items[i].rule && !strcmp(approvals->items[i].digest, digest)) note_spent(sweep, approvals->items[i].id);
}

bool leave_judge_list(struct sweep *sweep) {
    struct engine *engine = sweep->engine;
    if (!sweep->schedule->has_tenants) return true;
    int64_t now_us = sweep->report.began_us, running = figures_running(sweep->schedule, sweep->tenants, now_us);
    const struct list_leave leave = brakes_judge_list(sweep->brakes, sweep->arena, &sweep->schedule->settings.brakes, running, engine->approvals);
    brakes_note_list(sweep->brakes, &leave, running, now_us);
    (void)text_copy(engine->list_digest, sizeof engine->list_digest, leave.digest);
    if (!leave.waits) {
        if (*leave.digest) spend_list(sweep, leave.digest);
        return true;
    }
    log_error("%s", leave.text);
    sweep->list_text = sweep->report.reason = leave.text;
    sweep->report.waits = true;
    report_finding(sweep, (struct finding){.code = "tenants-shrank", .store = sweep->schedule->tenants.store->name, .count = 1, .text = leave.text});
    return false;
}

/* ---- the rules ---- */

static bool is_uncounted(const struct site *site, const struct order *order) {
    for (size_t i = 0; i < site->n_uncounted; i++)
        if (site->uncounted[i] == order) return true;
    return false;
}

static struct brake_figures count_rule(struct sweep *sweep, const struct rule *rule) {
    struct figures *figures = figures_new(sweep->arena, sweep->plan->now_us);
    for (size_t l = 0; l < sweep->schedule->n_stores; l++) {
        const struct site *site = &sweep->sites[l];
        for (size_t i = 0; i < site->n_counted; i++)
            if (site->counted[i]->target->rule == rule) figures_add(figures, site->counted[i], &site->counts[i]);
        for (size_t i = 0; i < site->n_uncounted; i++)
            if (site->uncounted[i]->target->rule == rule) figures_uncounted(figures);
        figures_add_shares(figures, rule, site->shares, site->n_shares);
    }
    return figures_sum(figures);
}

/* A rule whose stores are all down did not run: an approval that it had leave by is as good as before. */
static bool can_run(const struct sweep *sweep, const struct rule *rule) {
    for (size_t i = 0; i < rule->n_targets; i++) {
        const struct target *target = &rule->targets[i];
        if (!sweep->refused[target->number] && !sweep->sites[engine_store_index(sweep->engine, target->store)].down) return true;
    }
    return false;
}

static void judge_rule(struct sweep *sweep, const struct rule *rule) {
    struct leave *leave = &sweep->leaves[rule->number];
    const struct brake_figures figures = count_rule(sweep, rule);
    *leave = brakes_judge(sweep->brakes, sweep->arena, sweep->schedule, rule, &figures, sweep->engine->approvals, sweep->plan->now_us);
    if (can_run(sweep, rule)) brakes_note(sweep->brakes, &sweep->schedule->settings, rule, &figures, leave, sweep->plan->now_us);
    if (leave->text) {
        log_warning("%s", leave->text);
        report_finding(sweep, (struct finding){.code = "approval-waits", .rule = rule->data, .count = figures.records, .text = leave->text});
    } else if (leave->brake != BRAKE_NONE && leave->as_of_us != TIME_NEVER && figures.records) {
        log_notice("\"%s\": what was due at %s may go", rule->data, time_format_seconds(leave->as_of_us).text);
    }
}

/* ---- which orders may be carried out ---- */

static void add_order(struct sweep *sweep, const struct order *order) { *ARENA_APPEND(sweep->arena, sweep->orders, sweep->n_orders) = order; }

static const struct plan *plan_as_of(struct sweep *sweep, const struct rule *rule, int64_t at_us) {
    return plan_make_rule(sweep->arena, sweep->schedule, sweep->tenants, sweep->history, sweep->own_tables, sweep->n_own_tables,
                          sweep->engine->holds, rule, at_us);
}

/* The rule's plans at the times of its approvals: [0] for all tenants (NULL: none), then one for each tenant's. */
static const struct plan **plans_of(struct sweep *sweep, const struct rule *rule) {
    const struct leave *leave = &sweep->leaves[rule->number];
    const struct plan **plans = ARENA_ARRAY(sweep->arena, const struct plan *, 1 + leave->n_tenants);
    if (leave->as_of_us != TIME_NEVER) plans[0] = plan_as_of(sweep, rule, leave->as_of_us);
    for (size_t i = 0; i < leave->n_tenants; i++) plans[1 + i] = plan_as_of(sweep, rule, leave->tenants[i].at_us);
    return plans;
}

static void add_approved(struct sweep *sweep, const struct target *target, const struct plan *const *plans) {
    const struct leave *leave = &sweep->leaves[target->rule->number];
    for (size_t i = 0; plans[0] && i < plans[0]->n_orders; i++)
        if (plans[0]->orders[i].target == target) add_order(sweep, &plans[0]->orders[i]);
    for (size_t t = 0; t < leave->n_tenants; t++) {
        for (size_t i = 0; i < plans[1 + t]->n_orders; i++) {
            const struct order *order = &plans[1 + t]->orders[i];
            const struct order *narrowed = order->target == target ? plan_narrow(sweep->arena, order, leave->tenants[t].tenant) : NULL;
            if (narrowed) add_order(sweep, narrowed);
        }
    }
}

/* In the sequence of the plan; a target's orders stand side by side there. */
static void collect_orders(struct sweep *sweep) {
    const struct plan ***plans = ARENA_ARRAY(sweep->arena, const struct plan **, sweep->schedule->n_rules);
    const struct target *last = NULL;
    for (size_t i = 0; i < sweep->plan->n_orders; i++) {
        const struct order *order = &sweep->plan->orders[i];
        const struct rule *rule = order->target->rule;
        const struct site *site = &sweep->sites[engine_store_index(sweep->engine, order->target->store)];
        bool first = order->target != last;
        last = order->target;
        if (sweep->refused[order->target->number]) continue; /* nobody knows how much it is */
        if (leave_is_free(sweep, rule) && !is_uncounted(site, order)) {
            add_order(sweep, order);
        } else if (first && !leave_is_free(sweep, rule)) {
            if (!plans[rule->number]) plans[rule->number] = plans_of(sweep, rule);
            add_approved(sweep, order->target, plans[rule->number]);
        }
    }
}

void leave_judge(struct sweep *sweep) {
    sweep->leaves = ARENA_ARRAY(sweep->arena, struct leave, sweep->schedule->n_rules);
    brakes_forget(sweep->brakes, sweep->schedule);
    for (size_t i = 0; i < sweep->schedule->n_rules; i++) judge_rule(sweep, &sweep->schedule->rules[i]);
    collect_orders(sweep);
    const struct approvals *open = sweep->engine->approvals;
    sweep->n_open = open ? open->count : 0;
    sweep->open = ARENA_ARRAY(sweep->arena, struct approval, sweep->n_open);
    for (size_t i = 0; i < sweep->n_open; i++) sweep->open[i] = open->items[i];
}

bool leave_is_free(const struct sweep *sweep, const struct rule *rule) {
    return !sweep->leaves || sweep->leaves[rule->number].brake == BRAKE_NONE;
}

/* What the lanes are about to commit. */
static int64_t under_way(const struct sweep *sweep, const struct rule *rule) {
    int64_t records = 0;
    for (size_t i = 0; i < sweep->schedule->n_stores; i++)
        for (size_t l = 0; l < sweep->sites[i].n_lanes; l++) {
            const struct lane *lane = &sweep->sites[i].lanes[l];
            if (lane->claimed && lane->batch->order->target->rule == rule) records += lane->claimed;
        }
    return records;
}

bool leave_is_exceeded(struct sweep *sweep, const struct rule *rule, int64_t records) {
    if (!sweep->leaves) return false;
    const struct rule_report *done = &sweep->rules[rule->number];
    if (done->purged + done->anonymized + under_way(sweep, rule) + records <= sweep->leaves[rule->number].most) return false;
    log_error("\"%s\": more records turned up than were due when the sweep began; the rest waits for the next sweep, which counts them", rule->data);
    report_finding(sweep, (struct finding){.code = "more-than-counted", .rule = rule->data, .count = 1,
                                           .text = "more records turned up than were due when the sweep began; the rest waits for the next sweep, which counts them"});
    sweep->report.waits = true;
    return true;
}

void leave_take(struct sweep *sweep, const struct rule *rule, int64_t records) {
    if (sweep->leaves) sweep->leaves[rule->number].most -= records;
}

const char *leave_why(const struct sweep *sweep, const struct rule *rule) {
    if (sweep->list_text) return "the list of tenants lost many: lapsectl approve";
    if (!sweep->leaves || sweep->leaves[rule->number].brake == BRAKE_NONE) return NULL;
    const struct leave *leave = &sweep->leaves[rule->number];
    if (leave->text) return arena_printf(sweep->arena, "%s: lapsectl approve %.8s", leave->brief, leave->digest.text);
    return "they became due after the approval, and go with the next sweep";
}

/* ---- writing it down ---- */

static int run_save(struct job *job, struct store *store, struct err *err) {
    (void)store;
    const struct sweep *sweep = SWEEP_OF_JOB(job);
    return brakes_save(sweep->brakes, sweep->schedule->settings.state_folder, err);
}

static void on_saved(struct job *job) {
    struct sweep *sweep = SWEEP_OF_JOB(job);
    if (job->failed) {
        log_error("%s; nothing is destroyed that the next sweep would not know of", job->err.text);
        report_finding(sweep, (struct finding){.code = "state-unwritable", .count = 1, .text = "the history of the rules could not be written; nothing was destroyed"});
        sweep->report.waits = true;
        sweep->report.reason = arena_strdup(sweep->arena, job->err.text);
        sweep_end_early(sweep);
    }
    sweep->saved(sweep);
}

void leave_save(struct sweep *sweep, void (*done)(struct sweep *sweep)) {
    sweep->saved = done;
    sweep_work(sweep, run_save, on_saved);
}

/* ---- the end ---- */

static const struct rule *rule_of(const struct sweep *sweep, const char *digest) {
    for (size_t i = 0; i < sweep->schedule->n_rules; i++)
        if (!strcmp(sweep->leaves[i].digest.text, digest)) return &sweep->schedule->rules[i];
    return NULL;
}

/* What could be asked everywhere and had its turn to the end is dealt with: what is left meets the usual brakes. */
void leave_report(struct sweep *sweep) {
    const struct waiting *waiting;
    if (!sweep->brakes) return;
    sweep->report.n_waiting = brakes_waiting(sweep->brakes, sweep->arena, &waiting);
    sweep->report.waiting = waiting;
    if (!sweep->leaves || sweep->stopping || !sweep->verified) return;
    for (size_t i = 0; i < sweep->n_open; i++) {
        const struct rule *rule = rule_of(sweep, sweep->open[i].digest);
        if (!rule || sweep->rules[rule->number].left < 0) continue;
        note_spent(sweep, sweep->open[i].id);
        sweep->report.again |= !sweep->open[i].tenant && sweep->rules[rule->number].left > 0;
    }
}
