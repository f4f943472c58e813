/* The one choke point: nothing is counted, chosen or destroyed but by a struct order, and orders are made here alone.
 * An order says which records of one target are due, in terms that every store can compile: tenants and exclusive
 * cutoffs. Count, probe, prepare and verify compile the same order and differ only in their verb.
 *
 * Laws: an order is never empty (it names tenants, or its target says tenant = "none"); a tenant id is never NULL or
 * ""; a tenant whose cutoff is TIME_NEVER has nothing due; records whose anchor is NULL, of the wrong type or in the
 * future, and records without a tenant, are never due. */
#ifndef LAPSED_SCHEDULE_ORDER_H
#define LAPSED_SCHEDULE_ORDER_H

#include "schedule/schedule.h"

enum action { ACTION_PURGE, ACTION_ANONYMIZE };

enum scope_kind {
    SCOPE_WHOLE,  /* target without tenants (tenant = "none"): anchor < cutoff */
    SCOPE_LISTED, /* these tenants only, each with its own cutoff */
    SCOPE_REST,   /* every tenant that the target holds, known or gone: anchor < cutoff; listed ones by their own cutoff */
};

struct scope_tenant {
    const char *id;
    int64_t cutoff_us; /* exclusive; TIME_NEVER: nothing; TIME_FOREVER: everything (scopes without an anchor) */
    int64_t end_us;    /* the tenant's end that the cutoff stands for, else TIME_FOREVER: for lag and re-reading */
};

int scope_tenant_by_id(const void *a, const void *b); /* for qsort and bsearch */

/* A set of due records of one target. */
struct scope {
    enum scope_kind kind;
    const struct target *of; /* whose anchor it is: the order's target or, for a floor, another one on the same table */
    /* The column, path or key part whose value is compared with the cutoff; NULL: the tenant's end alone decides, all
     * records of the listed tenants are due (kind is SCOPE_LISTED then). */
    const char *anchor;
    bool anchor_is_since; /* anchor is of->since (unit and zone apply); else one of of->ends (zone applies) */
    int64_t cutoff_us;    /* SCOPE_WHOLE, SCOPE_REST */
    const struct scope_tenant *tenants; /* sorted by id, each once */
    size_t n_tenants;
};

struct order {
    const struct target *target;
    enum action action;
    struct scope due;
    bool blocked_only; /* ACTION_ANONYMIZE: of the due records those that are blocked (if_blocked = "anonymize") */
    /* Records due under one of these belong to an earlier order of the same target (an alternative, a rule before it, or
     * the purge that outruns the anonymization): they are not this order's. */
    const struct scope *before;
    size_t n_before;
    /* at_least of any rule on this table: a record must also be due under each of these (anchor < cutoff). Of keys: of any rule in
     * the store; it holds for those keys that fit the pattern of its `of`, too. */
    const struct scope *floors;
    size_t n_floors;
    const struct keep *keep; /* the alternative of the rule that this order carries out */
    bool own;                /* the tenant's own records: last, and only for tenants with nothing else left */
};

/* What plan.c and the sweep make orders with (due.of becomes the target). Everything but the returned struct is borrowed: it must live as long as
 * the order. Asserts the laws. */
struct order order_make(const struct target *target, enum action action, const struct keep *keep, struct scope due);
/* The same order for these tenants only (sorted by id): what a sweep does after asking who has anything due, or after a
 * tenant's end changed. */
struct order order_for(const struct order *order, const struct scope_tenant *tenants, size_t n_tenants);
/* The same target and tenants with everything of them due and nothing in its way: asks whether a tenant has any record
 * left. Only to be counted or probed, never prepared: stores refuse to prepare an order with `any`. */
struct order order_any(const struct target *target, const struct scope_tenant *tenants, size_t n_tenants);
bool order_is_any(const struct order *order);

/* What one of several connections does of the same orders at the same time. No tenant's records are in two parts; where a target has
 * no tenants, all of them are in part 0. */
struct portion {
    unsigned part, parts;
    /* By target.number: so many records a batch at most (more dependents, too, count as records). NULL: any number. */
    const size_t *limits;
};

/* A portion that is NULL is the whole. tenant "": none. */
bool portion_has(const struct portion *portion, const char *tenant);
size_t portion_limit(const struct portion *portion, const struct order *order, size_t limit); /* the smaller of the two */

/* The cutoff that holds for this tenant in this scope (TIME_NEVER: nothing is due). */
int64_t scope_cutoff(const struct scope *scope, const char *tenant);
/* The tenant's end that a listed tenant's cutoff stands for; TIME_FOREVER where it is not listed. */
int64_t scope_end(const struct scope *scope, const char *tenant);

#endif
