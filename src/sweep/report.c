#include "sweep/sweep_internal.h"

#include "base/log.h"
#include "base/time.h"

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

static const char *undecidable_text(const char *code) {
    static const struct { const char *code, *text; } texts[] = {
        {"since-empty", "records have no point in time to count from; they are kept"},
        {"since-future", "records have a point in time in the future; they are kept"},
        {"since-type", "records have something else than a point in time there; they are kept"},
        {"tenant-empty", "records belong to no tenant; they are kept"},
        {"tenant-unknown", "records belong to a tenant that the tenants query does not know; they are kept"},
        {"tenant-ambiguous", "records could belong to two tenants; they are kept"},
        {"field-unlisted", "records have a field that columns does not list; they are not anonymized"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (text_equal(texts[i].code, code)) return texts[i].text;
    return "records cannot be decided; they are kept";
}

/* ---- what verification found ---- */

/* How long the oldest of what is left has been due. */
static int64_t lag(const struct sweep *sweep, const struct order *order, const struct tenant_count *tenant) {
    int64_t now_us = sweep->plan->now_us, due_us;
    if (order->due.anchor) {
        if (tenant->oldest_us == TIME_FOREVER) return 0; /* the store did not say */
        due_us = now_us - (tenant->cutoff_us - tenant->oldest_us);
    } else {
        int64_t end_us = scope_end(&order->due, tenant->tenant);
        due_us = order->keep->period.count ? period_after(end_us, order->keep->period) : end_us;
    }
    return now_us > due_us ? now_us - due_us : 0;
}

static void note_left(struct sweep *sweep, const struct order *order, const struct tally *tally) {
    struct rule_report *rule = &sweep->rules[order->target->rule->number];
    if (order->blocked_only) return; /* its records are the blocked ones of the purge beside it */
    rule->blocked += tally->n_blocked_records;
    if (!tally->records) return;
    if (rule->left >= 0) rule->left += tally->records;
    sweep->report.waits = true;
    for (size_t i = 0; i < tally->n_tenants; i++) {
        int64_t lag_us = lag(sweep, order, &tally->tenants[i]);
        if (lag_us > rule->lag_us) rule->lag_us = lag_us;
    }
}

void report_tallies(struct sweep *sweep, const struct lane *lane) {
    for (size_t i = 0; i < lane->n_asked; i++) note_left(sweep, lane->asked[i], &lane->tallies[i]);
    for (size_t t = 0; t < sweep->schedule->n_targets; t++) {
        const struct target *target = sweep->schedule->targets[t];
        for (size_t i = 0; i < lane->n_undecidable[t]; i++) {
            const struct undecidable *item = &lane->undecidable[t][i];
            if (!item->count) continue;
            sweep->rules[target->rule->number].undecidable += item->count;
            report_finding(sweep, (struct finding){.code = item->code, .rule = target->rule->data, .store = lane->conf->name,
                                                   .place = item->column ? arena_printf(sweep->arena, "%s.%s", target->name, item->column)
                                                                         : target->name,
                                                   .count = item->count, .text = undecidable_text(item->code)});
        }
    }
}

/* Of a rule with a target that nobody could ask, nobody knows what is left. */
static void report_unasked(struct sweep *sweep) {
    for (size_t i = 0; i < sweep->schedule->n_targets; i++) {
        const struct target *target = sweep->schedule->targets[i];
        if (!sweep->verified || sweep->lanes[engine_store_index(sweep->engine, target->store)].down || sweep->bad[target->number])
            sweep->rules[target->rule->number].left = -1;
    }
}

/* ---- entries ---- */

void report_begin(struct sweep *sweep) {
    sweep->begun = true;
    const struct entry entry = {.event = ENTRY_SWEEP_BEGIN, .sweep = sweep->report.number, .trigger = sweep->trigger,
                                .tenants_total = sweep->tenants ? (int64_t)tenants_count(sweep->tenants) : 0};
    journal_append(sweep->engine->journal, &entry, NULL);
}

static void enter_findings(struct sweep *sweep) {
    for (size_t i = 0; i < sweep->n_findings; i++) {
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
    report->rules = sweep->rules;
    report->n_rules = n_rules;
    report->findings = sweep->findings;
    report->n_findings = sweep->n_findings;
    struct store_report *stores = ARENA_ARRAY(sweep->arena, struct store_report, sweep->schedule->n_stores);
    for (size_t i = 0; i < sweep->schedule->n_stores; i++)
        stores[i] = (struct store_report){.conf = sweep->lanes[i].conf, .down = sweep->lanes[i].down, .err = sweep->lanes[i].err};
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
    enter_findings(sweep);
    report->ended_us = time_now_us();
    report->ended_early = sweep->stopping;
    report->verified = sweep->verified;
    const struct entry entry = {.event = ENTRY_SWEEP_END, .sweep = report->number, .outcome = sweep->stopping ? "ended-early" : "done",
                                .results = results, .n_results = n_rules};
    sweep->ticket.done = on_ended;
    journal_append(sweep->engine->journal, &entry, &sweep->ticket);
}
