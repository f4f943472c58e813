#include "sweep/sweep_internal.h"

#include "base/log.h"
#include "base/time.h"
#include "sweep/leave.h"
#include "sweep/throttle.h"

#include <stddef.h>

#define SWEEP_OF(pointer) ((struct sweep *)(void *)((char *)(pointer) - offsetof(struct sweep, ticket)))

/* ---- findings ---- */

void report_finding(struct sweep *sweep, struct finding finding) {
    for (size_t i = 0; i < sweep->n_findings; i++) {
        struct finding *known = &sweep->findings[i];
        if (text_equal(known->code, finding.code) && text_equal(known->rule, finding.rule) && text_equal(known->store, finding.store) &&
            text_equal(known->place, finding.place) && text_equal(known->tenant, finding.tenant))
            return;
    }
    *ARENA_APPEND(sweep->arena, sweep->findings, sweep->n_findings) = finding;
}

void report_wait(struct sweep *sweep, const struct rule *rule, const char *why, int64_t records) {
    struct rule_report *report = &sweep->rules[rule->number];
    struct wait *waits = (struct wait *)(uintptr_t)report->waits; /* ours; only readers see them as const */
    for (size_t i = 0; i < report->n_waits; i++) {
        if (!text_equal(waits[i].why, why)) continue;
        waits[i].records = records < 0 || waits[i].records < 0 ? -1 : waits[i].records + records;
        return;
    }
    *ARENA_APPEND(sweep->arena, waits, report->n_waits) = (struct wait){.why = why, .records = records};
    report->waits = waits;
}

/* ---- what verification found ---- */

/* How long the oldest of these has been due, and since when at the latest the rule's oldest. */
static int64_t note_oldest(struct sweep *sweep, const struct order *order, const struct tenant_count *tenants, size_t n_tenants) {
    struct rule_report *rule = &sweep->rules[order->target->rule->number];
    int64_t now_us = sweep->plan->now_us, longest_us = 0;
    for (size_t i = 0; i < n_tenants; i++) {
        int64_t due_us;
        if (order->due.anchor) {
            if (tenants[i].oldest_us == TIME_FOREVER) continue; /* the store did not say */
            due_us = now_us - (tenants[i].cutoff_us - tenants[i].oldest_us);
        } else {
            int64_t end_us = scope_end(&order->due, tenants[i].tenant);
            if (end_us == TIME_FOREVER) continue;
            due_us = order->keep->period.count ? period_after(end_us, order->keep->period) : end_us;
        }
        if (now_us <= due_us) continue;
        if (now_us - due_us > longest_us) longest_us = now_us - due_us;
        if (!rule->oldest_us || due_us < rule->oldest_us) rule->oldest_us = due_us;
    }
    return longest_us;
}

static void note_left(struct sweep *sweep, const struct order *order, const struct tally *tally) {
    struct rule_report *rule = &sweep->rules[order->target->rule->number];
    if (order->blocked_only) return; /* its records are the blocked ones of the purge beside it */
    rule->blocked += tally->n_blocked_records;
    for (size_t i = 0; i < tally->n_blocked; i++)
        report_wait(sweep, rule->rule, arena_printf(sweep->arena, "blocked by %s", tally->blocked[i].by), tally->blocked[i].count);
    (void)note_oldest(sweep, order, tally->blocked_tenants, tally->n_blocked_tenants);
    if (!tally->records) return;
    if (rule->left >= 0) rule->left += tally->records;
    sweep->report.waits = true;
    report_wait(sweep, rule->rule, leave_why(sweep, rule->rule) ? leave_why(sweep, rule->rule) : sweep->stopping ? "the sweep ended before their turn" : "they are in use, or became due meanwhile",
                tally->records);
    int64_t lag_us = note_oldest(sweep, order, tally->tenants, tally->n_tenants);
    if (lag_us > rule->lag_us) rule->lag_us = lag_us;
}

static void note_held(struct sweep *sweep, const struct order *order, const struct tally *tally) {
    int64_t records = tally->records + tally->n_blocked_records;
    if (order->blocked_only || !records) return;
    report_wait(sweep, order->target->rule, "held", records);
    (void)note_oldest(sweep, order, tally->tenants, tally->n_tenants);
}

void report_tallies(struct sweep *sweep, const struct site *site) {
    for (size_t i = 0; i < site->n_asked; i++) note_left(sweep, site->asked[i], &site->tallies[i]);
    for (size_t i = 0; i < site->n_held; i++) note_held(sweep, site->held[i], &site->held_tallies[i]);
}

/* Of a rule with a target that nobody could ask, nobody knows what is left. */
static void report_unasked(struct sweep *sweep) {
    for (size_t i = 0; i < sweep->schedule->n_targets; i++) {
        const struct target *target = sweep->schedule->targets[i];
        const struct site *site = &sweep->sites[engine_store_index(sweep->engine, target->store)];
        if (sweep->verified && !site->down && !sweep->bad[target->number]) continue;
        sweep->rules[target->rule->number].left = -1;
        report_wait(sweep, target->rule,
                    site->down                ? arena_printf(sweep->arena, "store \"%s\" could not be asked", site->conf->name)
                    : sweep->bad[target->number] ? "the schedule and the catalog disagree: lapsectl check"
                    : sweep->tenants_failed   ? "the tenants could not be read"
                    : sweep->list_text        ? leave_why(sweep, target->rule)
                                              : "the sweep ended early",
                    -1);
    }
}

/* ---- entries ---- */

void report_begin(struct sweep *sweep) {
    sweep->begun = true;
    const struct entry entry = {.event = ENTRY_SWEEP_BEGIN, .sweep = sweep->report.number, .trigger = sweep->trigger,
                                .tenants_total = sweep->tenants ? (int64_t)tenants_count(sweep->tenants) : 0};
    journal_append(sweep->engine->journal, &entry, NULL);
}

static void enter_findings(struct sweep *sweep, size_t n_findings) {
    for (size_t i = 0; i < n_findings; i++) {
        const struct finding *finding = &sweep->findings[i];
        const struct entry entry = {.event = ENTRY_FINDING, .sweep = sweep->report.number, .code = finding->code, .rule = finding->rule,
                                    .store = finding->store, .target = finding->place, .tenant = finding->tenant, .count = finding->count};
        journal_append(sweep->engine->journal, &entry, NULL);
    }
}

static void on_ended(struct journal_ticket *ticket, const struct err *err) {
    struct sweep *sweep = SWEEP_OF(ticket);
    if (err) {
        sweep->report.journal_failed = true;
        log_error("%s", err->text);
    }
    sweep->done(sweep->context, &sweep->report);
}

void report_end(struct sweep *sweep) {
    struct sweep_report *report = &sweep->report;
    size_t n_rules = sweep->schedule->n_rules;
    report_unasked(sweep);
    leave_report(sweep);
    report->notes = sweep->plan ? sweep->plan->notes : NULL;
    report->n_notes = sweep->plan ? sweep->plan->n_notes : 0;
    survey_report(sweep, true);
    size_t n_entered = sweep->n_findings;
    survey_report(sweep, false);
    report->rules = sweep->rules;
    report->n_rules = n_rules;
    report->findings = sweep->findings;
    report->n_findings = sweep->n_findings;
    struct store_report *stores = ARENA_ARRAY(sweep->arena, struct store_report, sweep->schedule->n_stores);
    for (size_t i = 0; i < sweep->schedule->n_stores; i++)
        stores[i] = (struct store_report){.conf = sweep->sites[i].conf, .down = sweep->sites[i].down, .err = sweep->sites[i].err};
    report->stores = stores;
    report->n_stores = sweep->schedule->n_stores;
    struct entry_result *results = ARENA_ARRAY(sweep->arena, struct entry_result, n_rules);
    for (size_t i = 0; i < n_rules; i++) {
        const struct rule_report *rule = &sweep->rules[i];
        results[i] = (struct entry_result){.data = rule->rule->data, .purged = rule->purged, .anonymized = rule->anonymized,
                                           .dependents = rule->dependents, .blocked = rule->blocked, .undecidable = rule->undecidable,
                                           .left = rule->left, .lag_us = rule->lag_us};
    }
    if (!sweep->begun) report_begin(sweep); /* it was stopped before it knew its tenants */
    enter_findings(sweep, n_entered); /* what stands since an earlier sweep was entered by that one */
    report->ended_us = time_now_us();
    report->ended_early = sweep->stopping;
    report->outcome = sweep->stopping ? "ended-early" : sweep->tenants_failed ? "failed" : "done";
    report->clock_confirmed = sweep_clock_is_confirmed(sweep);
    for (size_t i = 0; i < sweep->schedule->n_stores; i++) throttle_end(sweep->engine->throttles[i]);
    const struct entry entry = {.event = ENTRY_SWEEP_END, .sweep = report->number, .outcome = report->outcome,
                                .results = results, .n_results = n_rules};
    sweep->ticket.done = on_ended;
    journal_append(sweep->engine->journal, &entry, &sweep->ticket);
}

void sweep_report_log(const struct sweep_report *report) {
    int64_t purged = 0, anonymized = 0, left = 0;
    for (size_t i = 0; i < report->n_rules; i++) {
        purged += report->rules[i].purged;
        anonymized += report->rules[i].anonymized;
        if (report->rules[i].left > 0) left += report->rules[i].left;
    }
    log_notice("sweep %lld %s: %s records purged, %s anonymized, %s due and left, %zu finding%s", (long long)report->number,
               report->ended_early ? "ended early" : report->outcome, text_number(purged).text, text_number(anonymized).text,
               text_number(left).text, report->n_findings, report->n_findings == 1 ? "" : "s");
}
