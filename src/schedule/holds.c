#include "schedule/holds.h"

#include "base/spelling.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

const char *hold_scope_name(enum hold_scope scope) {
    static const char *const names[] = {[HOLD_TENANT] = "tenant", [HOLD_SUBTREE] = "subtree", [HOLD_RULE] = "rule", [HOLD_ALL] = "all"};
    return names[scope];
}

/* ---- targets ---- */

static bool same_name(const struct target *target, const char *name) {
    return target->kind == TARGET_TABLE ? schedule_same_table(target->name, name) : !strcmp(target->name, name);
}

/* Whether an order over `target` would reach records of `held`: the same place, or one that goes with the other. */
static bool reaches(const struct target *target, const struct target *held) {
    if (target == held) return true;
    if (target->store != held->store || target->kind != held->kind) return false;
    if (same_name(target, held->name)) return true;
    for (size_t i = 0; i < target->n_dependents; i++)
        if (same_name(held, target->dependents[i].join.child_table)) return true;
    for (size_t i = 0; i < held->n_dependents; i++)
        if (same_name(target, held->dependents[i].join.child_table)) return true;
    return false;
}

static const struct rule *find_rule(const struct schedule *schedule, const char *name) {
    for (size_t i = 0; i < schedule->n_rules; i++)
        if (!strcmp(schedule->rules[i].data, name)) return &schedule->rules[i];
    return NULL;
}

static bool rule_reached(const struct target *target, const struct rule *rule) {
    for (size_t i = 0; i < rule->n_targets; i++)
        if (reaches(target, &rule->targets[i])) return true;
    return false;
}

const struct hold *holds_on_target(const struct holds *holds, const struct schedule *schedule, const struct target *target) {
    for (size_t i = 0; holds && i < holds->count; i++) {
        const struct hold *hold = &holds->items[i];
        if (hold->scope == HOLD_ALL) return hold;
        if (hold->scope != HOLD_RULE) continue;
        const struct rule *rule = find_rule(schedule, hold->rule);
        if (!rule || rule_reached(target, rule)) return hold;
    }
    return NULL;
}

/* ---- tenants ---- */

const struct tenant *holds_find(const struct tenants *tenants, const char *id) {
    char room[SPELLING_ROOM];
    const struct tenant *tenant = tenants_find(tenants, id);
    return tenant ? tenant : tenants_find(tenants, spelling_normal(id, room));
}

/* normal: by spelling_normal. */
static bool means(const char *id, const char *normal) {
    char room[SPELLING_ROOM];
    return !strcmp(spelling_normal(id, room), normal);
}

static const struct tenant *parent_of(const struct tenants *tenants, const struct tenant *tenant) {
    return tenant && tenant->parent ? holds_find(tenants, tenant->parent) : NULL;
}

/* Up the chain of parents. A second walker at half the speed is met only in a circle (Floyd). */
struct climb {
    const struct tenant *at, *slow;
    size_t steps;
};

/* NULL: there is no further parent. */
static const char *next_parent(const struct tenants *tenants, struct climb *climb) {
    const char *parent = climb->at ? climb->at->parent : NULL;
    if (!parent) return NULL;
    climb->at = parent_of(tenants, climb->at);
    if (++climb->steps % 2 == 0) climb->slow = parent_of(tenants, climb->slow);
    if (climb->at == climb->slow) climb->at = NULL;
    return parent;
}

/* Whether the chain of parents leads to `root`. */
static bool is_below(const struct tenants *tenants, const struct tenant *tenant, const char *root) {
    char room[SPELLING_ROOM];
    const char *normal = spelling_normal(root, room), *parent;
    struct climb climb = {.at = tenant, .slow = tenant};
    while ((parent = next_parent(tenants, &climb)))
        if (means(parent, normal)) return true;
    return false;
}

static bool is_member(const struct hold *hold, const char *id) {
    return holds_has(hold->members, hold->n_members, id);
}

static bool in_subtree(const struct hold *hold, const struct tenants *tenants, const struct tenant *tenant) {
    return tenant && (tenant->undecidable_parent || is_below(tenants, tenant, hold->tenant));
}

size_t holds_new_members(const struct hold *hold, const struct tenants *tenants, struct arena *arena, const char ***ret_ids) {
    const char **ids = NULL;
    size_t count = 0;
    for (size_t i = 0; i < tenants_count(tenants); i++) {
        const struct tenant *tenant = tenants_at(tenants, i);
        if (is_below(tenants, tenant, hold->tenant) && !is_member(hold, tenant->id) && spelling_compare(tenant->id, hold->tenant) != 0)
            *ARENA_APPEND(arena, ids, count) = tenant->id;
    }
    *ret_ids = ids;
    return count;
}

/* Whether a tenant that the hold names is below this one. */
static bool is_above(const struct hold *hold, const struct tenants *tenants, const char *id) {
    const struct tenant *held = holds_find(tenants, hold->tenant);
    if (held && is_below(tenants, held, id)) return true;
    for (size_t i = 0; i < hold->n_members; i++) {
        held = holds_find(tenants, hold->members[i]);
        if (held && is_below(tenants, held, id)) return true;
    }
    return false;
}

static void add_parents(const struct tenants *tenants, const char *id, struct arena *arena, const char ***ids, size_t *count) {
    const struct tenant *tenant = holds_find(tenants, id);
    struct climb climb = {.at = tenant, .slow = tenant};
    for (const char *parent; (parent = next_parent(tenants, &climb));) *ARENA_APPEND(arena, *ids, *count) = parent;
}

size_t holds_above(const struct holds *holds, const struct tenants *tenants, struct arena *arena, const char ***ret_ids) {
    const char **ids = NULL;
    size_t count = 0;
    for (size_t i = 0; i < holds->count; i++) {
        const struct hold *hold = &holds->items[i];
        if (hold->tenant) add_parents(tenants, hold->tenant, arena, &ids, &count);
        for (size_t m = 0; m < hold->n_members; m++) add_parents(tenants, hold->members[m], arena, &ids, &count);
    }
    if (count) qsort(ids, count, sizeof *ids, spelling_order);
    *ret_ids = ids;
    return count;
}

bool holds_has(const char *const *ids, size_t count, const char *id) { return count && bsearch(&id, ids, count, sizeof *ids, spelling_order); }

const struct hold *holds_on_tenant(const struct holds *holds, const struct tenants *tenants, const char *id, bool own) {
    char room[SPELLING_ROOM];
    const struct tenant *tenant = NULL;
    const char *normal = spelling_normal(id, room);
    for (size_t i = 0; holds && i < holds->count; i++) {
        const struct hold *hold = &holds->items[i];
        if (hold->scope != HOLD_TENANT && hold->scope != HOLD_SUBTREE) continue;
        if (hold->normal ? !strcmp(hold->normal, normal) : means(hold->tenant, normal)) return hold;
        if (hold->scope == HOLD_SUBTREE && is_member(hold, id)) return hold;
        if (!tenants) continue;
        if (!tenant) tenant = holds_find(tenants, id);
        if (hold->scope == HOLD_SUBTREE && in_subtree(hold, tenants, tenant)) return hold;
        if (own && is_above(hold, tenants, id)) return hold;
    }
    return NULL;
}
