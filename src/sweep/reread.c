/* The tenants of a batch, asked for again right before its intent: by a connection of its own, which sees what is committed. */
#include "sweep/sweep_internal.h"

#include <assert.h>
#include <stddef.h>

static bool any_subtree(const struct holds *holds) {
    for (size_t i = 0; holds && i < holds->count; i++)
        if (holds->items[i].scope == HOLD_SUBTREE) return true;
    return false;
}

/* Records by age go by what the tenants query says where tenants have periods of their own, or a held one may get others below it. */
bool reread_is_needed(const struct lane *lane) {
    const struct batch *batch = lane->batch;
    if (!batch->order->due.anchor) return true;
    if (!batch->n_tenants || batch->order->due.kind == SCOPE_WHOLE || !lane->sweep->engine->tenants_worker) return false;
    return batch->order->target->rule->per_tenant || any_subtree(lane->sweep->engine->holds);
}

static int take(void *context, const struct tenant_row *row, struct err *err) { return tenants_add(context, row, err); }

int reread_run(struct job *job, struct store *store, struct err *err) {
    struct lane *lane = LANE_OF(job, job);
    const struct batch *batch = lane->batch;
    assert(batch->n_tenants); /* of nobody would mean: of everybody */
    const char **ids = ARENA_ARRAY(lane->batch_arena, const char *, batch->n_tenants);
    for (size_t i = 0; i < batch->n_tenants; i++) ids[i] = batch->tenants[i].tenant;
    lane->reread = tenants_new(lane->sweep->schedule);
    int failed = store_driver(store)->tenants(store, ids, batch->n_tenants, take, lane->reread, err);
    tenants_finish(lane->reread);
    return failed;
}

static bool has_same_periods(const struct lane *lane, const struct tenant *planned, const struct tenant *tenant) {
    if (planned->undecidable_periods != tenant->undecidable_periods) return false;
    for (size_t i = 0; i < lane->sweep->schedule->tenants.n_period_columns; i++)
        if (!text_equal(planned->periods[i], tenant->periods[i])) return false;
    return true;
}

/* It was not moved: a held tenant, and whoever is below it, is told by the parents as the plan saw them. */
static bool has_same_parent(const struct tenant *planned, const struct tenant *tenant) {
    return planned->undecidable_parent == tenant->undecidable_parent && text_equal(planned->parent, tenant->parent);
}

/* The end that the plan saw still stands (or an earlier one); a tenant that resubscribed, or vanished from the list, stops. */
static bool still_ended(const struct lane *lane, const char *id) {
    const struct order *order = lane->batch->order;
    const struct tenant *tenant = tenants_find(lane->reread, id), *planned = tenants_find(lane->sweep->tenants, id);
    if (!planned || !tenant || tenant->undecidable_parent || tenant->undecidable_ends & 1U << order->keep->tenant_end) return false;
    /* Once a tenant's own record is gone nobody knows of a longer period that it spoke of. */
    if (!has_same_parent(planned, tenant) || (order->own && !has_same_periods(lane, planned, tenant))) return false;
    return tenant->ends[order->keep->tenant_end] <= scope_end(&order->due, id);
}

/* Of records by age; for a tenant that is gone the plan went by what the history knows. */
static bool is_as_planned(const struct lane *lane, const char *id) {
    const struct tenant *tenant = tenants_find(lane->reread, id), *planned = tenants_find(lane->sweep->tenants, id);
    return !tenant || (planned && has_same_parent(planned, tenant) && has_same_periods(lane, planned, tenant));
}

/* The reread, and the batch with the id, are gone when findings are entered. */
static const char *finding_tenant(const struct lane *lane, const char *id) {
    struct arena *arena = lane->sweep->arena;
    return arena_strdup(arena, tenant_name(&lane->sweep->engine->tenant_names, arena, id));
}

/* Of all orders that run by the same end, or are of the same rule. */
static void exclude_changed(struct lane *lane, const char *id) {
    const struct order *order = lane->batch->order;
    for (size_t o = 0; o < lane->site->n_orders; o++) {
        const struct order *other = lane->site->orders[o];
        bool concerned = order->due.anchor ? other->target->rule == order->target->rule : !other->due.anchor && other->keep->tenant_end == order->keep->tenant_end;
        if (concerned && other->due.kind != SCOPE_WHOLE) site_exclude(lane->site, other, id);
    }
}

size_t reread_judge(struct lane *lane) {
    size_t changed = 0;
    for (size_t i = 0; i < lane->batch->n_tenants; i++) {
        const char *id = lane->batch->tenants[i].tenant;
        if (lane->batch->order->due.anchor ? is_as_planned(lane, id) : still_ended(lane, id)) continue;
        changed++;
        report_finding(lane->sweep, (struct finding){.code = "tenant-resumed", .rule = lane->batch->order->target->rule->data,
                                                     .store = lane->site->conf->name, .place = lane->batch->order->target->name,
                                                     .tenant = finding_tenant(lane, id), .count = 1,
                                                     .text = "the tenant's end, period or parent changed while the sweep ran; nothing more of it is destroyed"});
        exclude_changed(lane, id);
    }
    return changed;
}
