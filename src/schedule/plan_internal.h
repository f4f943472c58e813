/* What the files of the plan share. plan.c: orders, their sequence, and what is told; plan_scope.c: which records of a target are
 * due; plan_held.c: whom a hold keeps. */
#ifndef LAPSED_SCHEDULE_PLAN_INTERNAL_H
#define LAPSED_SCHEDULE_PLAN_INTERNAL_H

#include "schedule/plan.h"

/* The tenants with an end before a cutoff. */
struct ended {
    int tenant_end;
    int64_t cutoff_us;
    const struct scope_tenant *tenants;
    size_t count;
    struct ended *next;
};

/* What every step of the making needs. */
struct making {
    struct arena *arena;
    const struct schedule *schedule;
    const struct tenants *tenants;
    const struct history *history;
    const char *const *own_tables;
    size_t n_own_tables;
    int64_t now_us;
    struct ended *ended;
    const struct holds *holds;
    const char **held[2]; /* tenants under a hold, sorted: [0] their records, [1] their own records too */
    size_t n_held[2];
    struct order *orders, *held_orders;
    size_t n_orders, n_held_orders;
    struct finding *findings;
    size_t n_findings;
    const char **notes;
    size_t n_notes;
};

/* plan.c */
struct finding *plan_add_finding(struct making *making, const char *code, const struct rule *rule, int64_t count);

/* plan_scope.c: what is due of the target under this alternative; false: nothing is. */
bool plan_scope(struct making *making, const struct target *target, const struct keep *keep, enum keep_slot slot, struct scope *ret_scope);

/* plan_held.c: fills making->held; what a scope, which names some tenants, or all but some, has of held ones and of the others. */
void plan_collect_held(struct making *making);
struct scope plan_listed_part(struct making *making, const struct scope *scope, bool own, bool held);
struct scope plan_held_by_name(struct making *making, const struct scope *scope, bool own);
struct scope plan_without_held(struct making *making, const struct scope *scope, bool own);

#endif
