/* Holds: what must not be destroyed or anonymized, whatever the schedule says. Pure: who keeps them and where they come from
 * is not known here; the plan and every batch ask these two questions and no others. */
#ifndef LAPSED_SCHEDULE_HOLDS_H
#define LAPSED_SCHEDULE_HOLDS_H

#include "schedule/tenants.h"

enum hold_scope {
    HOLD_TENANT,  /* this tenant's records */
    HOLD_SUBTREE, /* and those of every tenant whose chain of parents leads to it, or did since it was placed */
    HOLD_RULE,    /* every place of this rule's data, whichever rule would reach it */
    HOLD_ALL,
};

struct hold {
    const char *id;
    enum hold_scope scope;
    const char *tenant; /* HOLD_TENANT, HOLD_SUBTREE */
    const char *normal; /* spelling_normal of it; NULL: nobody asked yet, and each question takes longer */
    const char *rule;   /* HOLD_RULE: the rule's name */
    const char *ground; /* a code */
    uint32_t author;    /* user id */
    int64_t since_us;
    int64_t released_us; /* TIME_FOREVER: not released; else it counts until its cooling-off time is over */
    const char *const *members; /* HOLD_SUBTREE: who belonged to it at some time, in the sequence of spelling_compare; the tenant itself is not listed */
    size_t n_members;
};

struct holds {
    const struct hold *items;
    size_t count;
};

const char *hold_scope_name(enum hold_scope scope); /* "tenant", "subtree", "rule", "all" */

/* The hold that keeps orders away from this target altogether, NULL: none does. A hold on a rule that the schedule does not
 * have (it was renamed, say) reaches everything: nobody can tell what it was meant to keep. holds may be NULL. */
const struct hold *holds_on_target(const struct holds *holds, const struct schedule *schedule, const struct target *target);
/* The hold on this tenant, however its id is written (base/spelling.h): rather is a tenant kept whose id merely looks like it. NULL: none. own: asked about the tenant's own records, which stay as long as a tenant below it is
 * held, for they are where that one's chain of parents is read from. A tenant whose parents contradict each other counts as
 * one of every subtree. holds may be NULL; tenants may be NULL where nobody read them. */
const struct hold *holds_on_tenant(const struct holds *holds, const struct tenants *tenants, const char *id, bool own);
/* The tenant that a hold names, by its id or by that as servers write it; NULL: not in the list. */
const struct tenant *holds_find(const struct tenants *tenants, const char *id);
/* The ids of all that a held tenant is below, in the sequence of spelling_compare, some more than once: whose own records stay. The list
 * in `arena`, the ids the tenants'. Returns how many. */
size_t holds_above(const struct holds *holds, const struct tenants *tenants, struct arena *arena, const char ***ret_ids);
bool holds_has(const char *const *ids, size_t count, const char *id); /* in a list in that sequence */
/* Of a HOLD_SUBTREE: the tenants that belong to it by their chain of parents and are not among its members yet, sorted, the
 * list in `arena`, the ids the tenants'. A circle of parents ends the chain. Returns how many. */
size_t holds_new_members(const struct hold *hold, const struct tenants *tenants, struct arena *arena, const char ***ret_ids);

#endif
