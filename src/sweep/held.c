/* Holds that came after the plan, asked for each batch: right before its intent, and again before it is committed. */
#include "sweep/sweep_internal.h"

#include <stddef.h>

/* Whether one of these holds names a tenant that the tenants query does not know: a key that can be read in several ways may be of it,
 * which its store was not told when the plan was made. */
static bool names_unknown(const struct lane *lane, const struct holds *holds) {
    for (size_t i = 0; i < holds->count; i++)
        if (holds->items[i].tenant && !holds_find(lane->sweep->tenants, holds->items[i].tenant)) return true;
    return false;
}

/* A batch of dependents alone does not say whose they are: any hold that the plan did not know may be on them. */
static bool is_doubtful(const struct lane *lane, const struct holds *holds) {
    const struct order *order = lane->batch->order;
    if (!holds || !holds->count || order->due.kind == SCOPE_WHOLE || lane->sweep->engine->holds_version == lane->sweep->holds_version) return false;
    return !lane->batch->n_tenants || (order->target->kind == TARGET_KEYS && names_unknown(lane, holds));
}

static const struct hold *hold_on_tenant(const struct lane *lane, const struct holds *holds, size_t index) {
    const char *id = lane->batch->tenants[index].tenant;
    return *id ? holds_on_tenant(holds, lane->sweep->tenants, id, lane->batch->order->own) : NULL;
}

bool held_forbids(const struct lane *lane, const struct holds *holds) {
    if (holds_on_target(holds, lane->sweep->schedule, lane->batch->order->target)) return true;
    for (size_t i = 0; i < lane->batch->n_tenants; i++)
        if (hold_on_tenant(lane, holds, i)) return true;
    return is_doubtful(lane, holds);
}

static void exclude_everywhere(struct lane *lane, const char *tenant) {
    for (size_t o = 0; o < lane->site->n_orders; o++)
        if (lane->site->orders[o]->due.kind != SCOPE_WHOLE) site_exclude(lane->site, lane->site->orders[o], tenant);
}

bool held_leave_out(struct lane *lane, const struct holds *holds) {
    size_t n_tenants = 0;
    for (size_t i = 0; i < lane->batch->n_tenants; i++) {
        if (!hold_on_tenant(lane, holds, i)) continue;
        exclude_everywhere(lane, lane->batch->tenants[i].tenant);
        n_tenants++;
    }
    return n_tenants && !holds_on_target(holds, lane->sweep->schedule, lane->batch->order->target);
}
