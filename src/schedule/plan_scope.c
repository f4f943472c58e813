#include "schedule/plan_internal.h"

#include "base/text.h"
#include "base/time.h"
#include "schedule/tenant_period.h"

#include <stdlib.h>
#include <string.h>

/* One exception to a rule's period, while they are collected. */
struct exceptions {
    struct making *making;
    const struct rule *rule;
    struct scope_tenant *items;
    size_t count;
    int64_t default_cutoff_us;
};

static void except(struct exceptions *exceptions, const char *tenant, int64_t cutoff_us) {
    if (cutoff_us == exceptions->default_cutoff_us) return;
    *ARENA_APPEND(exceptions->making->arena, exceptions->items, exceptions->count) =
        (struct scope_tenant){.id = tenant, .cutoff_us = cutoff_us, .end_us = TIME_FOREVER};
}

/* A tenant that is gone keeps its last known period where that is the longer one. */
static void except_gone(void *context, const char *id) {
    struct exceptions *exceptions = context;
    struct making *making = exceptions->making;
    if (tenants_find(making->tenants, id)) return;
    struct period period;
    enum own_history own = history_tenant_period(making->history, making->schedule, exceptions->rule, id, false, making->now_us, &period);
    if (own == OWN_HISTORY_FOREVER) except(exceptions, id, TIME_NEVER);
    if (own != OWN_HISTORY_PERIOD) return;
    int64_t cutoff_us = period_cutoff(making->now_us, period);
    if (cutoff_us < exceptions->default_cutoff_us) except(exceptions, id, cutoff_us);
}

static int64_t own_cutoff(const struct exceptions *exceptions, const struct tenant *tenant, enum own_period kind, struct period own) {
    const struct making *making = exceptions->making;
    struct period counting;
    switch (history_tenant_period(making->history, making->schedule, exceptions->rule, tenant->id, true, making->now_us, &counting)) {
    case OWN_HISTORY_FOREVER: return TIME_NEVER;
    case OWN_HISTORY_NONE: return kind == OWN_PERIOD_NONE ? exceptions->default_cutoff_us : period_cutoff(making->now_us, own);
    case OWN_HISTORY_PERIOD: break;
    }
    if (kind != OWN_PERIOD_NONE && period_compare(making->now_us, own, counting) > 0) counting = own;
    int64_t cutoff_us = period_cutoff(making->now_us, counting);
    /* Back to the rule's own period: that one counts if it is the longer. */
    if (kind == OWN_PERIOD_NONE && exceptions->default_cutoff_us < cutoff_us) return exceptions->default_cutoff_us;
    return cutoff_us;
}

/* The tenants with periods of their own. Findings are added once a rule, by `report`. */
static void collect_exceptions(struct exceptions *exceptions, bool report) {
    struct making *making = exceptions->making;
    int64_t counts[OWN_PERIOD_UNDECIDABLE + 1] = {0};
    for (size_t i = 0; i < tenants_count(making->tenants); i++) {
        const struct tenant *tenant = tenants_at(making->tenants, i);
        struct period own = {0};
        enum own_period kind = tenant_period(exceptions->rule, tenant, making->now_us, &own);
        counts[kind]++;
        except(exceptions, tenant->id, kind == OWN_PERIOD_UNDECIDABLE ? TIME_NEVER : own_cutoff(exceptions, tenant, kind, own));
    }
    history_each_tenant(making->history, exceptions->rule, except_gone, exceptions);
    if (exceptions->count) qsort(exceptions->items, exceptions->count, sizeof *exceptions->items, scope_tenant_by_id);
    if (!report) return;
    static const struct { enum own_period kind; const char *code, *text; } kinds[] = {
        {OWN_PERIOD_UNDECIDABLE, "period-unreadable", "tenants have a period of their own that cannot be read; nothing of theirs is due under this rule"},
        {OWN_PERIOD_BELOW_MIN, "period-below-min", "tenants have a period of their own below the minimum; the minimum counts"},
        {OWN_PERIOD_ABOVE_MAX, "period-above-max", "tenants have a period of their own above the maximum; the maximum counts"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!counts[kinds[i].kind]) continue;
        struct finding *finding = plan_add_finding(making, kinds[i].code, exceptions->rule, counts[kinds[i].kind]);
        finding->place = exceptions->rule->per_tenant->column;
        finding->text = kinds[i].text;
    }
}

static bool scope_by_column(struct making *making, const struct target *target, const struct keep *keep, enum keep_slot slot,
                            const char *anchor, struct scope *ret_scope) {
    struct period period;
    if (!anchor || !history_period(making->history, making->schedule, target->rule, slot, keep, making->now_us, &period)) return false;
    struct scope scope = {.kind = target->no_tenant ? SCOPE_WHOLE : SCOPE_REST, .of = target, .anchor = anchor,
                          .anchor_is_since = keep->kind == KEEP_AGE,
                          .cutoff_us = period.count ? period_cutoff(making->now_us, period) : making->now_us + 1};
    if (target->rule->per_tenant && keep->kind == KEEP_AGE && slot == SLOT_KEEP && !target->no_tenant) {
        struct exceptions exceptions = {.making = making, .rule = target->rule, .default_cutoff_us = scope.cutoff_us};
        collect_exceptions(&exceptions, target == &target->rule->targets[0]);
        scope.tenants = exceptions.items;
        scope.n_tenants = exceptions.count;
    }
    *ret_scope = scope;
    return true;
}

/* One whose end or parent is contradictory has no end that could lapse. */
static bool has_ended(const struct making *making, const struct tenant *tenant, int tenant_end, int64_t cutoff_us) {
    int64_t end_us = tenant->ends[tenant_end];
    if (end_us > making->now_us || end_us >= cutoff_us) return false;
    return !tenant->undecidable_parent && !(tenant->undecidable_ends & 1U << tenant_end);
}

/* The tenants whose end has lapsed. Of a million tenants they may be most: one list serves all orders with the same period. */
static const struct ended *ended_before(struct making *making, int tenant_end, int64_t cutoff_us) {
    for (const struct ended *known = making->ended; known; known = known->next)
        if (known->tenant_end == tenant_end && known->cutoff_us == cutoff_us) return known;
    size_t n_tenants = tenants_count(making->tenants), count = 0;
    for (size_t i = 0; i < n_tenants; i++) count += has_ended(making, tenants_at(making->tenants, i), tenant_end, cutoff_us);
    struct scope_tenant *tenants = ARENA_ARRAY(making->arena, struct scope_tenant, count);
    struct ended *ended = ARENA_NEW(making->arena, struct ended);
    *ended = (struct ended){.tenant_end = tenant_end, .cutoff_us = cutoff_us, .tenants = tenants, .next = making->ended};
    for (size_t i = 0; i < n_tenants; i++) {
        const struct tenant *tenant = tenants_at(making->tenants, i);
        if (has_ended(making, tenant, tenant_end, cutoff_us))
            tenants[ended->count++] = (struct scope_tenant){.id = tenant->id, .cutoff_us = TIME_FOREVER, .end_us = tenant->ends[tenant_end]};
    }
    making->ended = ended;
    return ended;
}

static bool scope_by_end(struct making *making, const struct target *target, const struct keep *keep, enum keep_slot slot,
                         struct scope *ret_scope) {
    struct period period;
    if (!history_period(making->history, making->schedule, target->rule, slot, keep, making->now_us, &period)) return false;
    int64_t cutoff_us = period.count ? period_cutoff(making->now_us, period) : making->now_us + 1;
    const struct ended *ended = ended_before(making, keep->tenant_end, cutoff_us);
    *ret_scope = (struct scope){.kind = SCOPE_LISTED, .of = target, .tenants = ended->tenants, .n_tenants = ended->count};
    return ended->count > 0;
}

static const char *record_end(const struct target *target, const char *name) {
    for (size_t i = 0; i < target->n_ends; i++)
        if (!strcmp(target->ends[i].name, name)) return target->ends[i].column;
    return NULL;
}

bool plan_scope(struct making *making, const struct target *target, const struct keep *keep, enum keep_slot slot, struct scope *ret_scope) {
    switch (keep->kind) {
    case KEEP_FOREVER: return false;
    case KEEP_AGE: return scope_by_column(making, target, keep, slot, target->since, ret_scope);
    case KEEP_END: break;
    }
    if (keep->tenant_end >= 0) return !target->no_tenant && scope_by_end(making, target, keep, slot, ret_scope);
    return scope_by_column(making, target, keep, slot, record_end(target, keep->end), ret_scope);
}
