#include "store/spelling.h"

#include "base/time.h"

#include <stdlib.h>
#include <string.h>

/* Each once; of several the strictest. */
static size_t merge(struct scope_tenant *tenants, size_t count) {
    size_t kept = 0;
    qsort(tenants, count, sizeof *tenants, scope_tenant_by_id);
    for (size_t i = 0; i < count; i++) {
        if (!kept || strcmp(tenants[kept - 1].id, tenants[i].id) != 0) tenants[kept++] = tenants[i];
        else if (tenants[i].cutoff_us < tenants[kept - 1].cutoff_us) tenants[kept - 1].cutoff_us = tenants[i].cutoff_us;
    }
    return kept;
}

/* False: nothing is to be added. */
static bool spread(struct arena *arena, const struct scope *scope, bool asks, spelling_of *of, const void *column, struct scope *ret_scope) {
    struct scope_tenant *tenants = NULL;
    size_t count = 0;
    for (size_t i = 0; i < scope->n_tenants; i++) {
        const struct scope_tenant *tenant = &scope->tenants[i];
        bool protects = asks || tenant->cutoff_us == TIME_NEVER || (scope->kind == SCOPE_REST && tenant->cutoff_us < scope->cutoff_us);
        const char *id = protects ? of(column, arena, tenant->id) : NULL;
        if (!id || !strcmp(id, tenant->id)) continue;
        struct scope_tenant *added = ARENA_APPEND(arena, tenants, count);
        *added = *tenant;
        added->id = id;
    }
    if (!count) return false;
    for (size_t i = 0; i < scope->n_tenants; i++) *ARENA_APPEND(arena, tenants, count) = scope->tenants[i];
    *ret_scope = *scope;
    ret_scope->n_tenants = merge(tenants, count);
    ret_scope->tenants = tenants;
    return true;
}

const struct order *spelling_spread(struct arena *arena, const struct order *order, spelling_of *of, const void *column) {
    struct order *copy = ARENA_NEW(arena, struct order);
    *copy = *order;
    bool changed = spread(arena, &order->due, order_is_any(order), of, column, &copy->due);
    struct scope *before = order->n_before ? ARENA_ARRAY(arena, struct scope, order->n_before) : NULL;
    for (size_t i = 0; i < order->n_before; i++) {
        before[i] = order->before[i];
        changed |= spread(arena, &order->before[i], false, of, column, &before[i]);
    }
    copy->before = before;
    return changed ? copy : order;
}

static int by_tenant(const void *a, const void *b) {
    return strcmp(((const struct tenant_count *)a)->tenant, ((const struct tenant_count *)b)->tenant);
}

void spelling_answer(struct arena *arena, const struct order *order, spelling_of *of, const void *column, struct tally *tally) {
    const struct scope *asked = &order->due;
    struct tenant_count *tenants = NULL;
    size_t count = 0;
    for (size_t i = 0; i < asked->n_tenants; i++) {
        const char *id = of(column, arena, asked->tenants[i].id);
        const struct tenant_count keys[] = {{.tenant = asked->tenants[i].id}, {.tenant = id}};
        const struct tenant_count *found = NULL;
        for (size_t k = 0; k < 2 && tally->n_tenants && !found; k++)
            if (keys[k].tenant) found = bsearch(&keys[k], tally->tenants, tally->n_tenants, sizeof *keys, by_tenant);
        if (!found) continue;
        struct tenant_count *answer = ARENA_APPEND(arena, tenants, count);
        *answer = *found;
        answer->tenant = asked->tenants[i].id;
    }
    tally->tenants = tenants;
    tally->n_tenants = count;
}
