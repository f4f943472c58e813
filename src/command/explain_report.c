#include "command/explain_report.h"

#include "base/text.h"
#include "base/time.h"
#include "schedule/tenant_period.h"

#include <stdlib.h>
#include <string.h>

struct making {
    struct arena *arena;
    const struct schedule *schedule;
    const struct tenants *tenants;
    const struct history *history;
    struct explain_report *report;
    const struct tenant *tenant; /* NULL: none, or not in the list */
    struct explain_verdict *verdicts;
};

/* ---- which period counts ---- */

static void undecidable(struct explain_verdict *verdict, const char *why) {
    verdict->state = EXPLAIN_UNDECIDABLE;
    verdict->why = why;
}

/* As the plan does for a tenant with a period of its own: of all that count, the longest. */
static void lengthen_by_own(struct making *making, struct explain_verdict *verdict) {
    const struct rule *rule = verdict->place->target->rule;
    int64_t now_us = making->report->now_us;
    struct period own = {0}, known = {0};
    enum own_period kind = making->tenant ? tenant_period(rule, making->tenant, now_us, &own) : OWN_PERIOD_NONE;
    enum own_history before = history_tenant_period(making->history, making->schedule, rule, making->report->tenant, making->tenant,
                                                    now_us, &known);
    if (kind == OWN_PERIOD_UNDECIDABLE) {
        undecidable(verdict, "the tenant's own period cannot be read");
    } else if (before == OWN_HISTORY_FOREVER) {
        verdict->state = EXPLAIN_FOREVER;
    } else if (kind != OWN_PERIOD_NONE) {
        bool longer_before = before == OWN_HISTORY_PERIOD && period_compare(now_us, known, own) > 0;
        verdict->period = longer_before ? known : own;
    } else if (before == OWN_HISTORY_PERIOD && period_compare(now_us, known, verdict->period) > 0) {
        verdict->period = known;
    }
}

static void find_period(struct making *making, struct explain_verdict *verdict) {
    const struct target *target = verdict->place->target;
    bool by_keep = verdict->action == ACTION_PURGE;
    if (!history_period(making->history, making->schedule, target->rule, by_keep ? SLOT_KEEP : SLOT_ANONYMIZE, verdict->keep,
                        making->report->now_us, &verdict->period)) {
        verdict->state = EXPLAIN_FOREVER;
        return;
    }
    if (by_keep && verdict->keep->kind == KEEP_AGE && target->rule->per_tenant && making->report->tenant)
        lengthen_by_own(making, verdict);
}

/* ---- where it counts from ---- */

static void anchor_of_record(struct making *making, struct explain_verdict *verdict, const char *column, size_t index) {
    const struct record_facts *facts = &verdict->place->facts;
    verdict->anchor = column;
    if (!column) {
        undecidable(verdict, "the target names no column for it");
    } else if (!facts->anchor_ok[index] && verdict->keep->kind == KEEP_END) {
        verdict->state = EXPLAIN_RUNNING;
        verdict->why = arena_printf(making->arena, "its %s is empty", column);
    } else if (!facts->anchor_ok[index]) {
        undecidable(verdict, arena_printf(making->arena, "its %s is empty or cannot be read", column));
    } else if (facts->anchor_us[index] > making->report->now_us) {
        verdict->why = arena_printf(making->arena, "its %s lies in the future", column);
        verdict->state = verdict->keep->kind == KEEP_AGE ? EXPLAIN_UNDECIDABLE : EXPLAIN_RUNNING;
    } else {
        verdict->anchor_us = facts->anchor_us[index];
    }
}

static void anchor_of_tenant(struct making *making, struct explain_verdict *verdict) {
    const char *id = making->report->tenant, *end = verdict->keep->end;
    const struct tenant *tenant = making->tenant;
    size_t index = (size_t)verdict->keep->tenant_end;
    verdict->anchor = arena_printf(making->arena, "the %s of tenant %s", end, id ? id : "(none)");
    if (!id) {
        undecidable(verdict, "it belongs to no tenant");
    } else if (!tenant) {
        undecidable(verdict, arena_printf(making->arena, "tenant %s is not in the list of tenants, which is no end", id));
    } else if (tenant->undecidable_parent || tenant->undecidable_ends & 1U << index) {
        undecidable(verdict, arena_printf(making->arena, "the list of tenants contradicts itself about tenant %s", id));
    } else if (tenant->ends[index] > making->report->now_us) {
        verdict->state = EXPLAIN_RUNNING;
        verdict->why = arena_printf(making->arena, "%s is still running", verdict->anchor);
    } else {
        verdict->anchor_us = tenant->ends[index];
    }
}

static void find_anchor(struct making *making, struct explain_verdict *verdict) {
    const struct target *target = verdict->place->target;
    if (verdict->keep->kind == KEEP_AGE && !target->no_tenant && !making->report->tenant) {
        undecidable(verdict, "it belongs to no tenant");
    } else if (verdict->keep->kind == KEEP_AGE) {
        anchor_of_record(making, verdict, target->since, 0);
    } else if (verdict->keep->tenant_end >= 0) {
        anchor_of_tenant(making, verdict);
    } else {
        size_t i = 0;
        while (i < target->n_ends && strcmp(target->ends[i].name, verdict->keep->end) != 0) i++;
        anchor_of_record(making, verdict, i < target->n_ends ? target->ends[i].column : NULL, 1 + i);
    }
}

/* ---- at least ---- */

static void find_floor(struct making *making, struct explain_verdict *verdict) {
    verdict->floor_us = TIME_NEVER;
    for (size_t i = 0; i < making->report->n_places; i++) {
        const struct explain_place *place = &making->report->places[i];
        struct period least = place->target->rule->at_least;
        if (!least.count) continue;
        int64_t floor_us = place->facts.anchor_ok[0] ? period_after_at_least(place->facts.anchor_us[0], least) : TIME_FOREVER;
        if (floor_us <= verdict->floor_us) continue;
        verdict->floor_us = floor_us;
        verdict->floor_rule = place->target->rule;
    }
}

static bool above_floors(const struct making *making) {
    for (size_t i = 0; i < making->report->n_places; i++) {
        const struct explain_place *place = &making->report->places[i];
        struct period least = place->target->rule->at_least;
        if (!least.count) continue;
        int64_t cutoff_us = period_cutoff_at_least(making->report->now_us, least);
        if (!place->facts.anchor_ok[0] || place->facts.anchor_us[0] >= cutoff_us) return false;
    }
    return true;
}

/* ---- verdicts ---- */

/* Due by the exclusive cutoff, as a sweep decides; the date that is shown may be up to a day before (months' ends). */
static void decide(struct making *making, struct explain_verdict *verdict) {
    int64_t now_us = making->report->now_us;
    struct period period = verdict->period;
    int64_t cutoff_us = period.count ? period_cutoff(now_us, period) : now_us + 1;
    verdict->due_us = period.count ? period_after(verdict->anchor_us, period) : verdict->anchor_us;
    find_floor(making, verdict);
    if (verdict->floor_us > verdict->due_us) verdict->due_us = verdict->floor_us;
    verdict->state = verdict->anchor_us < cutoff_us && above_floors(making) ? EXPLAIN_DUE : EXPLAIN_LATER;
}

static void add_verdict(struct making *making, const struct explain_place *place, enum action action, const struct keep *keep) {
    struct explain_verdict *verdict = ARENA_APPEND(making->arena, making->verdicts, making->report->n_verdicts);
    *verdict = (struct explain_verdict){.place = place, .action = action, .keep = keep, .anchor_us = TIME_FOREVER,
                                        .due_us = TIME_FOREVER, .floor_us = TIME_NEVER, .state = EXPLAIN_LATER};
    if (!place->facts.only_holds) {
        verdict->state = EXPLAIN_NOT_MEANT;
    } else if (keep->kind == KEEP_FOREVER) {
        verdict->state = EXPLAIN_FOREVER;
    } else {
        find_period(making, verdict);
        if (verdict->state == EXPLAIN_LATER) find_anchor(making, verdict);
        if (verdict->state == EXPLAIN_LATER) decide(making, verdict);
    }
}

/* The earliest first; of those without a date, the ones that may get one before the ones that never will. */
static int by_due(const void *a, const void *b) {
    const struct explain_verdict *left = a, *right = b;
    if (left->due_us != right->due_us) return left->due_us < right->due_us ? -1 : 1;
    if (left->state != right->state) return left->state < right->state ? -1 : 1;
    return (left->keep > right->keep) - (left->keep < right->keep);
}

struct explain_report *explain_report_make(struct arena *arena, const struct schedule *schedule, const struct tenants *tenants,
                                           const struct history *history, const char *key, const struct explain_place *places,
                                           size_t n_places, int64_t now_us) {
    struct explain_report *report = ARENA_NEW(arena, struct explain_report);
    *report = (struct explain_report){.key = key, .places = places, .n_places = n_places, .now_us = now_us};
    for (size_t i = 0; i < n_places && !report->tenant; i++) report->tenant = places[i].facts.tenant;
    struct making making = {.arena = arena, .schedule = schedule, .tenants = tenants, .history = history, .report = report,
                            .tenant = report->tenant && tenants ? tenants_find(tenants, report->tenant) : NULL};
    for (size_t i = 0; i < n_places; i++) {
        const struct rule *rule = places[i].target->rule;
        for (size_t j = 0; j < rule->n_keep; j++) add_verdict(&making, &places[i], ACTION_PURGE, &rule->keep[j]);
        for (size_t j = 0; j < rule->n_anonymize; j++) add_verdict(&making, &places[i], ACTION_ANONYMIZE, &rule->anonymize[j]);
    }
    if (report->n_verdicts) qsort(making.verdicts, report->n_verdicts, sizeof *making.verdicts, by_due);
    report->verdicts = making.verdicts;
    return report;
}
