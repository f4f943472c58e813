#include "schedule/order.h"

#include "base/text.h"
#include "base/time.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int scope_tenant_by_id(const void *a, const void *b) {
    return strcmp(((const struct scope_tenant *)a)->id, ((const struct scope_tenant *)b)->id);
}

static void assert_scope(const struct target *target, const struct scope *scope) {
    assert((scope->kind == SCOPE_WHOLE) == target->no_tenant);
    assert(scope->kind != SCOPE_LISTED || scope->n_tenants > 0);
    assert(scope->kind == SCOPE_LISTED || scope->anchor);
    assert(scope->kind != SCOPE_WHOLE || !scope->n_tenants);
    for (size_t i = 0; i < scope->n_tenants; i++) {
        const struct scope_tenant *tenant = &scope->tenants[i];
        assert(tenant->id && *tenant->id);
        assert(!i || strcmp(scope->tenants[i - 1].id, tenant->id) < 0);
        assert(tenant->cutoff_us != TIME_FOREVER || !scope->anchor);
    }
}

struct order order_make(const struct target *target, enum action action, const struct keep *keep, struct scope due) {
    assert(target && keep && keep->kind != KEEP_FOREVER);
    assert_scope(target, &due);
    due.of = target;
    return (struct order){.target = target, .action = action, .keep = keep, .due = due};
}

struct order order_for(const struct order *order, const struct scope_tenant *tenants, size_t n_tenants) {
    assert(order->due.kind != SCOPE_WHOLE);
    struct order narrowed = *order;
    narrowed.due.kind = SCOPE_LISTED;
    narrowed.due.tenants = tenants;
    narrowed.due.n_tenants = n_tenants;
    assert_scope(order->target, &narrowed.due);
    return narrowed;
}

struct order order_any(const struct target *target, const struct scope_tenant *tenants, size_t n_tenants) {
    struct order order = {.target = target, .due = {.kind = SCOPE_LISTED, .of = target, .tenants = tenants, .n_tenants = n_tenants}};
    assert_scope(target, &order.due);
    return order;
}

bool order_is_any(const struct order *order) { return !order->keep; }

bool portion_has(const struct portion *portion, const char *tenant) {
    if (!portion || portion->parts < 2) return true;
    return (*tenant ? text_hash(tenant, strlen(tenant)) % portion->parts : 0) == portion->part;
}

size_t portion_limit(const struct portion *portion, const struct order *order, size_t limit) {
    size_t own = portion && portion->limits ? portion->limits[order->target->number] : limit;
    return own < limit ? own : limit;
}

static const struct scope_tenant *find(const struct scope *scope, const char *tenant) {
    const struct scope_tenant key = {.id = tenant};
    return scope->n_tenants ? bsearch(&key, scope->tenants, scope->n_tenants, sizeof key, scope_tenant_by_id) : NULL;
}

int64_t scope_cutoff(const struct scope *scope, const char *tenant) {
    const struct scope_tenant *listed = find(scope, tenant);
    if (listed) return listed->cutoff_us;
    return scope->kind == SCOPE_LISTED ? TIME_NEVER : scope->cutoff_us;
}

int64_t scope_end(const struct scope *scope, const char *tenant) {
    const struct scope_tenant *listed = find(scope, tenant);
    return listed ? listed->end_us : TIME_FOREVER;
}
