#include "schedule/plan_internal.h"

#include "base/spelling.h"
#include "base/time.h"

#include <stdlib.h>
#include <string.h>

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static bool is_held(const struct making *making, bool own, const char *id) {
    size_t count = making->n_held[own];
    return count && bsearch(&id, making->held[own], count, sizeof id, by_text);
}

static void add_held(struct making *making, bool own, const char *id) {
    *ARENA_APPEND(making->arena, making->held[own], making->n_held[own]) = arena_strdup(making->arena, id);
}

/* As it is written, and as a server writes it: a store without types knows no other. */
static void add_held_name(struct making *making, const char *id) {
    char room[SPELLING_ROOM];
    const char *normal = spelling_normal(id, room);
    for (int own = 0; own < 2; own++) {
        add_held(making, own, id);
        if (strcmp(normal, id) != 0) add_held(making, own, normal);
    }
}

static size_t sort_texts(const char **texts, size_t count) {
    if (count) qsort(texts, count, sizeof *texts, by_text);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (!kept || strcmp(texts[kept - 1], texts[i]) != 0) texts[kept++] = texts[i];
    return kept;
}

/* The list may write it in any way. */
static bool is_in_list(const struct making *making, const char *id) {
    if (holds_find(making->tenants, id)) return true;
    for (size_t i = 0; i < tenants_count(making->tenants); i++)
        if (!spelling_compare(tenants_at(making->tenants, i)->id, id)) return true;
    return false;
}

/* A hold that reaches nothing as it is written is not silently one that holds nothing. */
static void find_doubtful_hold(struct making *making, const struct hold *hold) {
    bool of_tenant = hold->scope == HOLD_TENANT || hold->scope == HOLD_SUBTREE, rule_known = hold->scope != HOLD_RULE;
    for (size_t i = 0; i < making->schedule->n_rules; i++)
        if (!of_tenant && !rule_known) rule_known = !strcmp(making->schedule->rules[i].data, hold->rule);
    if (!rule_known) {
        struct finding *finding = plan_add_finding(making, "hold-rule-unknown", NULL, 1);
        finding->place = arena_strdup(making->arena, hold->id);
        finding->text = "a hold names a rule that the schedule does not have; it reaches everything until it is released";
    } else if (of_tenant && making->schedule->has_tenants && !is_in_list(making, hold->tenant)) {
        struct finding *finding = plan_add_finding(making, "hold-tenant-unknown", NULL, 1);
        finding->place = arena_strdup(making->arena, hold->id);
        finding->tenant = arena_strdup(making->arena, hold->tenant);
        finding->text = "a hold names a tenant that the tenants query does not know; is it written as the query writes it?";
    }
}

void plan_collect_held(struct making *making) {
    for (size_t i = 0; making->holds && i < making->holds->count; i++) {
        const struct hold *hold = &making->holds->items[i];
        find_doubtful_hold(making, hold);
        if (hold->scope != HOLD_TENANT && hold->scope != HOLD_SUBTREE) continue;
        add_held_name(making, hold->tenant);
        for (size_t m = 0; m < hold->n_members; m++) add_held_name(making, hold->members[m]);
    }
    if (!making->n_held[0]) return;
    const char **above;
    size_t n_above = holds_above(making->holds, making->tenants, making->arena, &above);
    for (size_t i = 0; i < tenants_count(making->tenants); i++) {
        const char *id = tenants_at(making->tenants, i)->id;
        bool held = holds_on_tenant(making->holds, making->tenants, id, false);
        if (held) add_held(making, false, id);
        if (held || holds_has(above, n_above, id)) add_held(making, true, id);
    }
    for (int own = 0; own < 2; own++) making->n_held[own] = sort_texts(making->held[own], making->n_held[own]);
}

/* Of the tenants that the scope lists, those that are held, or those that are not. */
struct scope plan_listed_part(struct making *making, const struct scope *scope, bool own, bool held) {
    struct scope part = *scope;
    struct scope_tenant *tenants = NULL;
    part.kind = SCOPE_LISTED;
    part.n_tenants = 0;
    for (size_t i = 0; i < scope->n_tenants; i++)
        if (is_held(making, own, scope->tenants[i].id) == held) *ARENA_APPEND(making->arena, tenants, part.n_tenants) = scope->tenants[i];
    part.tenants = tenants;
    return part;
}

/* The held tenants by name, each with its own cutoff or with none at all. */
struct scope plan_held_by_name(struct making *making, const struct scope *scope, bool own) {
    struct scope part = *scope;
    struct scope_tenant *tenants = ARENA_ARRAY(making->arena, struct scope_tenant, making->n_held[own]);
    part.kind = SCOPE_LISTED;
    part.n_tenants = making->n_held[own];
    for (size_t i = 0; i < part.n_tenants; i++)
        tenants[i] = (struct scope_tenant){.id = making->held[own][i], .cutoff_us = scope_cutoff(scope, making->held[own][i]),
                                           .end_us = TIME_FOREVER};
    part.tenants = tenants;
    return part;
}

/* Every tenant that the scope speaks of, and the held ones with nothing due. */
struct scope plan_without_held(struct making *making, const struct scope *scope, bool own) {
    struct scope part = *scope, listed = plan_listed_part(making, scope, own, false);
    struct scope_tenant *tenants = ARENA_ARRAY(making->arena, struct scope_tenant, listed.n_tenants + making->n_held[own]);
    size_t count = 0;
    for (size_t i = 0; i < listed.n_tenants; i++) tenants[count++] = listed.tenants[i];
    for (size_t i = 0; i < making->n_held[own]; i++)
        tenants[count++] = (struct scope_tenant){.id = making->held[own][i], .cutoff_us = TIME_NEVER, .end_us = TIME_FOREVER};
    qsort(tenants, count, sizeof *tenants, scope_tenant_by_id);
    part.tenants = tenants;
    part.n_tenants = count;
    return part;
}
