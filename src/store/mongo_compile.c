/* The one function that turns an order into a filter. Type bracketing is part of the contract: {at: {$lt: date}} matches dates
 * only, so that strings, null and missing values are never due. Arrays would match by any of their elements and are excluded. */
#include "base/time.h"
#include "store/mongo_internal.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

unsigned mongo_forms(const struct mongo_bound *bound, const char *anchor, bool anchor_is_since) {
    if (anchor_is_since && bound->target->unit != UNIT_NONE) return MONGO_COUNTED;
    if (!strcmp(anchor, "_id")) return MONGO_ID_TIME;
    return anchor_is_since && bound->since_object_id ? MONGO_DATE | MONGO_ID_TIME : MONGO_DATE;
}

/* A scope of another target on the same collection is read as that target says: its unit, its tenant. */
static const struct mongo_bound *bound_of(const struct mongo_bound *bound, const struct scope *scope) {
    return scope->of ? bound - bound->target->number + scope->of->number : bound;
}

static bool folds(const struct order *order, const struct scope *floor) {
    const char *anchor = order->due.anchor;
    if (floor->of && (floor->of->unit != order->target->unit || !text_equal(floor->of->tenant, order->target->tenant))) return false;
    return anchor && floor->anchor && !strcmp(anchor, floor->anchor) && order->due.kind != SCOPE_WHOLE && floor->kind != SCOPE_WHOLE &&
           order->due.anchor_is_since == floor->anchor_is_since;
}

int64_t mongo_cutoff(const struct order *order, const char *tenant) {
    int64_t cutoff_us = scope_cutoff(&order->due, tenant);
    for (size_t i = 0; i < order->n_floors; i++) {
        if (!folds(order, &order->floors[i])) continue;
        int64_t floor_us = scope_cutoff(&order->floors[i], tenant);
        if (floor_us < cutoff_us) cutoff_us = floor_us;
    }
    return cutoff_us;
}

/* ---- anchors ---- */

/* The smallest number of units that is not before the instant: x * unit < cutoff if and only if x < this. */
static int64_t round_up(int64_t us, int64_t unit_us) {
    int64_t quotient = us / unit_us;
    return us % unit_us > 0 ? quotient + 1 : quotient;
}

static void push_date_before(bson_t *alternatives, uint32_t *index, const char *anchor, int64_t cutoff_us) {
    MONGO_BSON condition = BCON_NEW(anchor, "{", "$lt", BCON_DATE_TIME(round_up(cutoff_us, 1000)), "}");
    mongo_push(alternatives, index, condition);
}

static void push_id_before(bson_t *alternatives, uint32_t *index, const char *anchor, int64_t cutoff_us) {
    int64_t seconds = round_up(cutoff_us, TIME_SECOND_US);
    if (seconds < 0) seconds = 0;
    if (seconds > UINT32_MAX) seconds = UINT32_MAX;
    bson_oid_t id;
    memset(id.bytes, 0, sizeof id.bytes);
    for (int i = 0; i < 4; i++) id.bytes[i] = (uint8_t)(seconds >> (24 - 8 * i));
    MONGO_BSON condition = BCON_NEW(anchor, "{", "$lt", BCON_OID(&id), "}");
    mongo_push(alternatives, index, condition);
}

/* 0 stands for "not set" in many schemas and is no instant. */
static void push_number_before(bson_t *alternatives, uint32_t *index, const char *anchor, int64_t cutoff_us, enum since_unit unit) {
    int64_t limit = round_up(cutoff_us, unit == UNIT_SECONDS ? TIME_SECOND_US : 1000);
    MONGO_BSON condition = BCON_NEW(anchor, "{", "$gt", BCON_INT64(0), "$lt", BCON_INT64(limit), "}");
    mongo_push(alternatives, index, condition);
}

static void push_anchor_before(bson_t *conditions, uint32_t *index, const struct mongo_bound *bound, const char *anchor,
                               bool anchor_is_since, int64_t cutoff_us) {
    assert(cutoff_us != TIME_NEVER);
    unsigned forms = mongo_forms(bound, anchor, anchor_is_since);
    if (forms == MONGO_COUNTED) push_number_before(conditions, index, anchor, cutoff_us, bound->target->unit);
    else if (forms == MONGO_DATE) push_date_before(conditions, index, anchor, cutoff_us);
    else if (forms == MONGO_ID_TIME) push_id_before(conditions, index, anchor, cutoff_us);
    else {
        bson_t alternatives = BSON_INITIALIZER;
        uint32_t count = 0;
        push_date_before(&alternatives, &count, anchor, cutoff_us);
        push_id_before(&alternatives, &count, anchor, cutoff_us);
        MONGO_BSON either = BCON_NEW("$or", BCON_ARRAY(&alternatives));
        mongo_push(conditions, index, either);
        bson_destroy(&alternatives);
    }
}

/* ---- scopes ---- */

struct cut {
    const char *id;
    int64_t cutoff_us;
};

static int by_cutoff(const void *a, const void *b) {
    const struct cut *left = a, *right = b;
    if (left->cutoff_us != right->cutoff_us) return left->cutoff_us < right->cutoff_us ? -1 : 1;
    return strcmp(left->id, right->id);
}

/* A decimal, or a double that stands for its neighbours too, may be equal to an id and is nobody's (see mongo_text). */
static void push_no_vague_number(bson_t *conditions, uint32_t *index, const char *path) {
    MONGO_BSON condition = BCON_NEW("$nor", "[", "{", path, "{", "$type", "decimal", "}", "}", "{", path, "{", "$type", "double", "$gt",
                                    BCON_DOUBLE(MONGO_MOST_EXACT_DOUBLE), "}", "}", "{", path, "{", "$type", "double", "$lt",
                                    BCON_DOUBLE(-MONGO_MOST_EXACT_DOUBLE), "}", "}", "]");
    mongo_push(conditions, index, condition);
}

static void push_tenants(bson_t *conditions, uint32_t *index, const struct mongo_bound *bound, const struct cut *cuts, size_t n_cuts,
                         bool guards) {
    bson_t values = BSON_INITIALIZER;
    uint32_t count = 0, n_numbers = 0;
    for (size_t i = 0; i < n_cuts; i++) {
        mongo_append_values(&values, &count, MONGO_ALL_TYPES, cuts[i].id);
        n_numbers += mongo_is_number(cuts[i].id);
    }
    MONGO_BSON condition = BCON_NEW(bound->target->tenant, "{", "$in", BCON_ARRAY(&values), "}");
    mongo_push(conditions, index, condition);
    if (guards) mongo_push_no_array(conditions, index, bound->target->tenant);
    if (guards && n_numbers) push_no_vague_number(conditions, index, bound->target->tenant);
    bson_destroy(&values);
}

/* The conditions of tenants with one cutoff, as an array. */
static void push_group(bson_t *conditions, uint32_t *index, const struct mongo_bound *bound, const struct scope *scope,
                       const struct cut *cuts, size_t n_cuts, bool guards) {
    push_tenants(conditions, index, bound, cuts, n_cuts, guards);
    if (scope->anchor && cuts->cutoff_us != TIME_FOREVER) {
        mongo_push_no_array(conditions, index, scope->anchor);
        push_anchor_before(conditions, index, bound, scope->anchor, scope->anchor_is_since, cuts->cutoff_us);
    }
}

/* Cuts are sorted by cutoff: those with the same one share a branch. */
static bool push_cuts(bson_t *conditions, uint32_t *index, const struct mongo_bound *bound, const struct scope *scope,
                      const struct cut *cuts, size_t n_cuts, bool guards) {
    if (!n_cuts) return false;
    if (cuts[0].cutoff_us == cuts[n_cuts - 1].cutoff_us) {
        push_group(conditions, index, bound, scope, cuts, n_cuts, guards);
        return true;
    }
    bson_t branches = BSON_INITIALIZER;
    uint32_t n_branches = 0;
    for (size_t from = 0, to; from < n_cuts; from = to) {
        for (to = from + 1; to < n_cuts && cuts[to].cutoff_us == cuts[from].cutoff_us;) to++;
        bson_t group = BSON_INITIALIZER;
        uint32_t n_group = 0;
        push_group(&group, &n_group, bound, scope, cuts + from, to - from, guards);
        MONGO_BSON branch = BCON_NEW("$and", BCON_ARRAY(&group));
        mongo_push(&branches, &n_branches, branch);
        bson_destroy(&group);
    }
    MONGO_BSON any = BCON_NEW("$or", BCON_ARRAY(&branches));
    mongo_push(conditions, index, any);
    bson_destroy(&branches);
    return true;
}

/* Pushes what makes a document of these tenants due under the scope; false (and nothing pushed): none is. `order` is given for its
 * own scope, whose cutoffs its floors lower. */
static bool push_scope(bson_t *conditions, uint32_t *index, const struct mongo_bound *bound, const struct scope *scope,
                       const struct order *order, const char *const *ids, size_t n_ids, bool guards) {
    bool same_for_all = scope->kind == SCOPE_WHOLE || (scope->kind == SCOPE_REST && !scope->n_tenants && !order);
    if (same_for_all) {
        if (scope->cutoff_us == TIME_NEVER || !scope->anchor) return false;
        mongo_push_no_array(conditions, index, scope->anchor);
        push_anchor_before(conditions, index, bound, scope->anchor, scope->anchor_is_since, scope->cutoff_us);
        return true;
    }
    if (!bound->target->tenant) return false;
    struct cut *cuts = xcalloc(n_ids, sizeof *cuts);
    size_t n_cuts = 0;
    for (size_t i = 0; i < n_ids; i++) {
        int64_t cutoff_us = order ? mongo_cutoff(order, ids[i]) : scope_cutoff(scope, ids[i]);
        if (cutoff_us == TIME_NEVER || (!scope->anchor && cutoff_us != TIME_FOREVER)) continue;
        cuts[n_cuts++] = (struct cut){.id = ids[i], .cutoff_us = cutoff_us};
    }
    if (n_cuts) qsort(cuts, n_cuts, sizeof *cuts, by_cutoff);
    bool any = push_cuts(conditions, index, bound, scope, cuts, n_cuts, guards);
    free(cuts);
    return any;
}

static void push_not_before(bson_t *conditions, uint32_t *index, const struct mongo_bound *bound, const struct scope *before,
                            const char *const *ids, size_t n_ids) {
    bson_t inner = BSON_INITIALIZER;
    uint32_t count = 0;
    if (push_scope(&inner, &count, bound_of(bound, before), before, NULL, ids, n_ids, true)) {
        MONGO_BSON not = BCON_NEW("$nor", "[", "{", "$and", BCON_ARRAY(&inner), "}", "]");
        mongo_push(conditions, index, not);
    }
    bson_destroy(&inner);
}

/* In an $and of its own, so that nothing in it can take part in our conditions. */
static void push_only(bson_t *conditions, uint32_t *index, const struct mongo_bound *bound) {
    if (!bound->only) return;
    MONGO_BSON wrapped = BCON_NEW("$and", "[", BCON_DOCUMENT(bound->only), "]");
    mongo_push(conditions, index, wrapped);
}

static bool push_order(bson_t *conditions, const struct mongo_bound *bound, const struct order *order, const char *const *ids, size_t n_ids) {
    uint32_t index = 0;
    if (!push_scope(conditions, &index, bound, &order->due, order, ids, n_ids, !order_is_any(order))) return false;
    for (size_t i = 0; i < order->n_floors; i++)
        if (!folds(order, &order->floors[i]) && !push_scope(conditions, &index, bound_of(bound, &order->floors[i]), &order->floors[i], NULL, ids, n_ids, true))
            return false;
    for (size_t i = 0; i < order->n_before; i++) push_not_before(conditions, &index, bound, &order->before[i], ids, n_ids);
    push_only(conditions, &index, bound);
    if (order->action == ACTION_ANONYMIZE) mongo_push_anonymizable(conditions, &index, bound->target);
    return index > 0;
}

bson_t *mongo_compile(const struct mongo_bound *bound, const struct order *order, const char *const *ids, size_t n_ids) {
    bson_t conditions = BSON_INITIALIZER;
    bson_t *filter = push_order(&conditions, bound, order, ids, n_ids) ? BCON_NEW("$and", BCON_ARRAY(&conditions)) : NULL;
    bson_destroy(&conditions);
    return filter;
}

/* Every value of the type, as bounds of an index: without null among them it answers by itself, from tenant to tenant. */
static void push_of_type(bson_t *conditions, uint32_t *index, const char *path, enum mongo_types type) {
    bson_t bounds = BSON_INITIALIZER;
    bson_oid_t least_id;
    memset(least_id.bytes, 0, sizeof least_id.bytes);
    switch (type) {
    case MONGO_STRING: BSON_APPEND_UTF8(&bounds, "$gt", ""); break;
    case MONGO_NUMBER: BSON_APPEND_DOUBLE(&bounds, "$gte", -HUGE_VAL); break;
    case MONGO_OBJECT_ID: BSON_APPEND_OID(&bounds, "$gte", &least_id); break;
    case MONGO_UUID: BSON_APPEND_BINARY(&bounds, "$gte", BSON_SUBTYPE_BINARY, (const uint8_t *)"", 0); break;
    case MONGO_ALL_TYPES: break;
    }
    if (!bson_empty(&bounds)) {
        MONGO_BSON condition = BCON_NEW(path, BCON_DOCUMENT(&bounds));
        mongo_push(conditions, index, condition);
    }
    bson_destroy(&bounds);
}

bson_t *mongo_compile_candidates(const struct mongo_bound *bound, const struct order *order, enum mongo_types type) {
    assert(order->due.kind == SCOPE_REST && order->due.anchor);
    int64_t latest_us = order->due.cutoff_us;
    for (size_t i = 0; i < order->due.n_tenants; i++)
        if (order->due.tenants[i].cutoff_us > latest_us) latest_us = order->due.tenants[i].cutoff_us;
    if (latest_us == TIME_NEVER) return NULL;
    bson_t conditions = BSON_INITIALIZER;
    uint32_t index = 0;
    push_of_type(&conditions, &index, bound->target->tenant, type);
    push_anchor_before(&conditions, &index, bound, order->due.anchor, order->due.anchor_is_since, latest_us);
    push_only(&conditions, &index, bound);
    bson_t *filter = BCON_NEW("$and", BCON_ARRAY(&conditions));
    bson_destroy(&conditions);
    return filter;
}

bool mongo_index_tells(const struct mongo_bound *bound, const struct order *order) {
    const struct scope *due = &order->due;
    if (due->kind == SCOPE_WHOLE || order_is_any(order) || !bound->index_tenant) return false;
    if (!due->anchor) return true;
    unsigned forms = mongo_forms(bound, due->anchor, due->anchor_is_since);
    return due->anchor_is_since && bound->index_both && !(forms & (forms - 1));
}

bool mongo_due_is_all(const struct mongo_bound *bound, const struct order *order) {
    if (order->action != ACTION_PURGE || order->n_before || bound->only) return false;
    for (size_t i = 0; i < order->n_floors; i++)
        if (!folds(order, &order->floors[i])) return false;
    return true;
}

bson_t *mongo_compile_loose(const struct mongo_bound *bound, const struct order *order, const char *const *ids, size_t n_ids) {
    struct cut *cuts = xcalloc(n_ids, sizeof *cuts);
    bson_t conditions = BSON_INITIALIZER;
    uint32_t index = 0;
    int64_t cutoff_us = mongo_cutoff(order, ids[0]);
    for (size_t i = 0; i < n_ids; i++) cuts[i].id = ids[i];
    push_tenants(&conditions, &index, bound, cuts, n_ids, false);
    if (order->due.anchor && cutoff_us != TIME_FOREVER)
        push_anchor_before(&conditions, &index, bound, order->due.anchor, order->due.anchor_is_since, cutoff_us);
    bson_t *filter = BCON_NEW("$and", BCON_ARRAY(&conditions));
    bson_destroy(&conditions);
    free(cuts);
    return filter;
}
