#include "schedule/plan.h"

#include "base/spelling.h"
#include "base/text.h"
#include "base/time.h"
#include "schedule/tenant_period.h"

#include <stdlib.h>
#include <string.h>

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

/* ---- names of tables ---- */

static bool same_place(const struct target *a, const struct target *b) {
    if (a->store != b->store || a->kind != b->kind) return false;
    return a->kind == TARGET_TABLE ? schedule_same_table(a->name, b->name) : !strcmp(a->name, b->name);
}

bool plan_is_own(const struct schedule *schedule, const struct target *target, const char *const *own_tables, size_t n_own_tables) {
    if (!schedule->has_tenants || target->store != schedule->tenants.store) return false;
    for (size_t i = 0; i < n_own_tables; i++)
        if (target->kind == TARGET_TABLE ? schedule_same_table(target->name, own_tables[i]) : !strcmp(target->name, own_tables[i])) return true;
    return false;
}

bool plan_is_bound(const struct rule *rule) {
    for (size_t i = 0; i < rule->n_keep; i++)
        if (rule->keep[i].kind == KEEP_END && rule->keep[i].tenant_end >= 0) return true;
    for (size_t i = 0; i < rule->n_anonymize; i++)
        if (rule->anonymize[i].kind == KEEP_END && rule->anonymize[i].tenant_end >= 0) return true;
    return false;
}

size_t plan_bound_targets(const struct schedule *schedule, const char *const *own_tables, size_t n_own_tables,
                          const struct target **ret_targets) {
    size_t count = 0;
    for (size_t i = 0; i < schedule->n_targets; i++) {
        const struct target *target = schedule->targets[i];
        if (plan_is_bound(target->rule) && !target->no_tenant && !plan_is_own(schedule, target, own_tables, n_own_tables))
            ret_targets[count++] = target;
    }
    return count;
}

/* ---- scopes ---- */

static struct finding *add_finding(struct making *making, const char *code, const struct rule *rule, int64_t count) {
    struct finding *finding = ARENA_APPEND(making->arena, making->findings, making->n_findings);
    *finding = (struct finding){.code = code, .grade = text_starts_with(code, "hold-") ? FINDING_ALARM : FINDING_PATIENT, .rule = rule ? rule->data : NULL, .count = count};
    return finding;
}

/* One exception to a rule's period, while they are collected. */
struct exceptions {
    struct making *making;
    const struct rule *rule;
    struct scope_tenant *items;
    size_t count;
    int64_t default_cutoff_us;
};

static void except(struct exceptions *exceptions, const char *tenant, int64_t cutoff_us) {
    if (cutoff_us == exceptions->default_cutoff_us) return;
    *ARENA_APPEND(exceptions->making->arena, exceptions->items, exceptions->count) =
        (struct scope_tenant){.id = tenant, .cutoff_us = cutoff_us, .end_us = TIME_FOREVER};
}

/* A tenant that is gone keeps its last known period where that is the longer one. */
static void except_gone(void *context, const char *id) {
    struct exceptions *exceptions = context;
    struct making *making = exceptions->making;
    if (tenants_find(making->tenants, id)) return;
    struct period period;
    enum own_history own = history_tenant_period(making->history, making->schedule, exceptions->rule, id, false, making->now_us, &period);
    if (own == OWN_HISTORY_FOREVER) except(exceptions, id, TIME_NEVER);
    if (own != OWN_HISTORY_PERIOD) return;
    int64_t cutoff_us = period_cutoff(making->now_us, period);
    if (cutoff_us < exceptions->default_cutoff_us) except(exceptions, id, cutoff_us);
}

static int64_t own_cutoff(const struct exceptions *exceptions, const struct tenant *tenant, enum own_period kind, struct period own) {
    const struct making *making = exceptions->making;
    struct period counting;
    switch (history_tenant_period(making->history, making->schedule, exceptions->rule, tenant->id, true, making->now_us, &counting)) {
    case OWN_HISTORY_FOREVER: return TIME_NEVER;
    case OWN_HISTORY_NONE: return kind == OWN_PERIOD_NONE ? exceptions->default_cutoff_us : period_cutoff(making->now_us, own);
    case OWN_HISTORY_PERIOD: break;
    }
    if (kind != OWN_PERIOD_NONE && period_compare(making->now_us, own, counting) > 0) counting = own;
    int64_t cutoff_us = period_cutoff(making->now_us, counting);
    /* Back to the rule's own period: that one counts if it is the longer. */
    if (kind == OWN_PERIOD_NONE && exceptions->default_cutoff_us < cutoff_us) return exceptions->default_cutoff_us;
    return cutoff_us;
}

static int by_id(const void *a, const void *b) {
    return strcmp(((const struct scope_tenant *)a)->id, ((const struct scope_tenant *)b)->id);
}

/* The tenants with periods of their own. Findings are added once a rule, by `report`. */
static void collect_exceptions(struct exceptions *exceptions, bool report) {
    struct making *making = exceptions->making;
    int64_t counts[OWN_PERIOD_UNDECIDABLE + 1] = {0};
    for (size_t i = 0; i < tenants_count(making->tenants); i++) {
        const struct tenant *tenant = tenants_at(making->tenants, i);
        struct period own = {0};
        enum own_period kind = tenant_period(exceptions->rule, tenant, making->now_us, &own);
        counts[kind]++;
        except(exceptions, tenant->id, kind == OWN_PERIOD_UNDECIDABLE ? TIME_NEVER : own_cutoff(exceptions, tenant, kind, own));
    }
    history_each_tenant(making->history, exceptions->rule, except_gone, exceptions);
    if (exceptions->count) qsort(exceptions->items, exceptions->count, sizeof *exceptions->items, by_id);
    if (!report) return;
    static const struct { enum own_period kind; const char *code, *text; } kinds[] = {
        {OWN_PERIOD_UNDECIDABLE, "period-unreadable", "tenants have a period of their own that cannot be read; nothing of theirs is due under this rule"},
        {OWN_PERIOD_BELOW_MIN, "period-below-min", "tenants have a period of their own below the minimum; the minimum counts"},
        {OWN_PERIOD_ABOVE_MAX, "period-above-max", "tenants have a period of their own above the maximum; the maximum counts"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!counts[kinds[i].kind]) continue;
        struct finding *finding = add_finding(making, kinds[i].code, exceptions->rule, counts[kinds[i].kind]);
        finding->place = exceptions->rule->per_tenant->column;
        finding->text = kinds[i].text;
    }
}

static bool scope_by_column(struct making *making, const struct target *target, const struct keep *keep, enum keep_slot slot,
                            const char *anchor, struct scope *ret_scope) {
    struct period period;
    if (!anchor || !history_period(making->history, making->schedule, target->rule, slot, keep, making->now_us, &period)) return false;
    struct scope scope = {.kind = target->no_tenant ? SCOPE_WHOLE : SCOPE_REST, .of = target, .anchor = anchor,
                          .anchor_is_since = keep->kind == KEEP_AGE,
                          .cutoff_us = period.count ? period_cutoff(making->now_us, period) : making->now_us + 1};
    if (target->rule->per_tenant && keep->kind == KEEP_AGE && slot == SLOT_KEEP && !target->no_tenant) {
        struct exceptions exceptions = {.making = making, .rule = target->rule, .default_cutoff_us = scope.cutoff_us};
        collect_exceptions(&exceptions, target == &target->rule->targets[0]);
        scope.tenants = exceptions.items;
        scope.n_tenants = exceptions.count;
    }
    *ret_scope = scope;
    return true;
}

/* One whose end or parent is contradictory has no end that could lapse. */
static bool has_ended(const struct making *making, const struct tenant *tenant, int tenant_end, int64_t cutoff_us) {
    int64_t end_us = tenant->ends[tenant_end];
    if (end_us > making->now_us || end_us >= cutoff_us) return false;
    return !tenant->undecidable_parent && !(tenant->undecidable_ends & 1U << tenant_end);
}

/* The tenants whose end has lapsed. Of a million tenants they may be most: one list serves all orders with the same period. */
static const struct ended *ended_before(struct making *making, int tenant_end, int64_t cutoff_us) {
    for (const struct ended *known = making->ended; known; known = known->next)
        if (known->tenant_end == tenant_end && known->cutoff_us == cutoff_us) return known;
    size_t n_tenants = tenants_count(making->tenants), count = 0;
    for (size_t i = 0; i < n_tenants; i++) count += has_ended(making, tenants_at(making->tenants, i), tenant_end, cutoff_us);
    struct scope_tenant *tenants = ARENA_ARRAY(making->arena, struct scope_tenant, count);
    struct ended *ended = ARENA_NEW(making->arena, struct ended);
    *ended = (struct ended){.tenant_end = tenant_end, .cutoff_us = cutoff_us, .tenants = tenants, .next = making->ended};
    for (size_t i = 0; i < n_tenants; i++) {
        const struct tenant *tenant = tenants_at(making->tenants, i);
        if (has_ended(making, tenant, tenant_end, cutoff_us))
            tenants[ended->count++] = (struct scope_tenant){.id = tenant->id, .cutoff_us = TIME_FOREVER, .end_us = tenant->ends[tenant_end]};
    }
    making->ended = ended;
    return ended;
}

static bool scope_by_end(struct making *making, const struct target *target, const struct keep *keep, enum keep_slot slot,
                         struct scope *ret_scope) {
    struct period period;
    if (!history_period(making->history, making->schedule, target->rule, slot, keep, making->now_us, &period)) return false;
    int64_t cutoff_us = period.count ? period_cutoff(making->now_us, period) : making->now_us + 1;
    const struct ended *ended = ended_before(making, keep->tenant_end, cutoff_us);
    *ret_scope = (struct scope){.kind = SCOPE_LISTED, .of = target, .tenants = ended->tenants, .n_tenants = ended->count};
    return ended->count > 0;
}

static const char *record_end(const struct target *target, const char *name) {
    for (size_t i = 0; i < target->n_ends; i++)
        if (!strcmp(target->ends[i].name, name)) return target->ends[i].column;
    return NULL;
}

/* False: nothing of this target is due under this alternative. */
static bool scope_of(struct making *making, const struct target *target, const struct keep *keep, enum keep_slot slot,
                     struct scope *ret_scope) {
    switch (keep->kind) {
    case KEEP_FOREVER: return false;
    case KEEP_AGE: return scope_by_column(making, target, keep, slot, target->since, ret_scope);
    case KEEP_END: break;
    }
    if (keep->tenant_end >= 0) return !target->no_tenant && scope_by_end(making, target, keep, slot, ret_scope);
    return scope_by_column(making, target, keep, slot, record_end(target, keep->end), ret_scope);
}

/* ---- orders ---- */

/* A key may fit several patterns: those of a store are one table to floors, and each key is held to the floors of the patterns that
 * it fits. */
static bool may_hold_same_records(const struct target *a, const struct target *b) {
    return same_place(a, b) || (a->kind == TARGET_KEYS && b->kind == TARGET_KEYS && a->store == b->store);
}

/* at_least of every rule on this table. */
static void set_floors(struct making *making, struct order *order) {
    struct scope *floors = NULL;
    for (size_t i = 0; i < making->schedule->n_targets; i++) {
        const struct target *other = making->schedule->targets[i];
        if (!other->rule->at_least.count || !may_hold_same_records(other, order->target)) continue;
        *ARENA_APPEND(making->arena, floors, order->n_floors) = (struct scope){
            .kind = other->no_tenant ? SCOPE_WHOLE : SCOPE_REST, .of = other, .anchor = other->since, .anchor_is_since = true,
            .cutoff_us = period_cutoff_at_least(making->now_us, other->rule->at_least)};
    }
    order->floors = floors;
}

/* Whether the records of an earlier order can be told from a later one's by its scope alone: the same records at stake. */
static bool comparable(const struct target *a, const struct target *b) {
    return same_place(a, b) && text_equal(a->only, b->only) && text_equal(a->tenant, b->tenant) && a->n_via == b->n_via;
}

static void set_before(struct making *making, struct order *order, const struct order *earlier_orders, size_t n_earlier) {
    struct scope *before = NULL;
    for (size_t i = 0; i < n_earlier; i++) {
        const struct order *earlier = &earlier_orders[i];
        if (!comparable(earlier->target, order->target) || earlier->blocked_only != order->blocked_only) continue;
        /* What is anonymized is not gone: only a purge takes records from a later purge. */
        if (order->action == ACTION_PURGE && earlier->action != ACTION_PURGE) continue;
        /* Nor is it as anonymous as another rule wants it: first the address, after a year the name. */
        if (earlier->action == ACTION_ANONYMIZE && earlier->target != order->target) continue;
        *ARENA_APPEND(making->arena, before, order->n_before) = earlier->due;
    }
    order->before = before;
}

/* What is to be made into orders over one target under one alternative. */
struct request {
    const struct target *target;
    enum action action;
    const struct keep *keep;
    bool blocked_only, own;
};

static struct order make_order(struct making *making, const struct request *request, struct scope scope) {
    struct order order = order_make(request->target, request->action, request->keep, scope);
    order.own = request->own;
    order.blocked_only = request->blocked_only;
    set_floors(making, &order);
    return order;
}

static void add_order(struct making *making, const struct request *request, struct scope scope) {
    struct order order = make_order(making, request, scope);
    set_before(making, &order, making->orders, making->n_orders);
    *ARENA_APPEND(making->arena, making->orders, making->n_orders) = order;
}

/* For counting only: what the same order would reach without the hold. */
static void add_held_order(struct making *making, const struct request *request, struct scope scope) {
    struct order order = make_order(making, request, scope);
    set_before(making, &order, making->held_orders, making->n_held_orders);
    *ARENA_APPEND(making->arena, making->held_orders, making->n_held_orders) = order;
}

/* ---- holds ---- */

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
        struct finding *finding = add_finding(making, "hold-rule-unknown", NULL, 1);
        finding->place = arena_strdup(making->arena, hold->id);
        finding->text = "a hold names a rule that the schedule does not have; it reaches everything until it is released";
    } else if (of_tenant && making->schedule->has_tenants && !is_in_list(making, hold->tenant)) {
        struct finding *finding = add_finding(making, "hold-tenant-unknown", NULL, 1);
        finding->place = arena_strdup(making->arena, hold->id);
        finding->tenant = arena_strdup(making->arena, hold->tenant);
        finding->text = "a hold names a tenant that the tenants query does not know; is it written as the query writes it?";
    }
}

static void collect_held(struct making *making) {
    for (size_t i = 0; making->holds && i < making->holds->count; i++) {
        const struct hold *hold = &making->holds->items[i];
        find_doubtful_hold(making, hold);
        if (hold->scope != HOLD_TENANT && hold->scope != HOLD_SUBTREE) continue;
        add_held_name(making, hold->tenant);
        for (size_t m = 0; m < hold->n_members; m++) add_held_name(making, hold->members[m]);
    }
    if (!making->n_held[0]) return;
    for (size_t i = 0; i < tenants_count(making->tenants); i++) {
        const char *id = tenants_at(making->tenants, i)->id;
        for (int own = 0; own < 2; own++)
            if (holds_on_tenant(making->holds, making->tenants, id, own)) add_held(making, own, id);
    }
    for (int own = 0; own < 2; own++) making->n_held[own] = sort_texts(making->held[own], making->n_held[own]);
}

/* Of the tenants that the scope lists, those that are held, or those that are not. */
static struct scope listed_part(struct making *making, const struct scope *scope, bool own, bool held) {
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
static struct scope held_by_name(struct making *making, const struct scope *scope, bool own) {
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

/* Every tenant that the target holds, but for the held ones. */
static struct scope rest_without_held(struct making *making, const struct scope *scope, bool own) {
    struct scope part = *scope, listed = listed_part(making, scope, own, false);
    struct scope_tenant *tenants = ARENA_ARRAY(making->arena, struct scope_tenant, listed.n_tenants + making->n_held[own]);
    size_t count = 0;
    for (size_t i = 0; i < listed.n_tenants; i++) tenants[count++] = listed.tenants[i];
    for (size_t i = 0; i < making->n_held[own]; i++)
        tenants[count++] = (struct scope_tenant){.id = making->held[own][i], .cutoff_us = TIME_NEVER, .end_us = TIME_FOREVER};
    qsort(tenants, count, sizeof *tenants, by_id);
    part.tenants = tenants;
    part.n_tenants = count;
    return part;
}

/* The one place where a hold takes something away from what is due. */
static void add_unheld(struct making *making, const struct request *request, struct scope scope) {
    if (holds_on_target(making->holds, making->schedule, request->target)) {
        add_held_order(making, request, scope);
    } else if (scope.kind == SCOPE_WHOLE || !making->n_held[request->own]) {
        add_order(making, request, scope);
    } else if (scope.kind == SCOPE_REST) {
        add_order(making, request, rest_without_held(making, &scope, request->own));
        add_held_order(making, request, held_by_name(making, &scope, request->own));
    } else {
        struct scope held = listed_part(making, &scope, request->own, true), not_held = listed_part(making, &scope, request->own, false);
        if (not_held.n_tenants) add_order(making, request, not_held);
        if (held.n_tenants) add_held_order(making, request, held);
    }
}

static void add_orders(struct making *making, const struct target *target, enum action action, bool blocked_only) {
    const struct rule *rule = target->rule;
    bool by_keep = action == ACTION_PURGE || blocked_only;
    const struct keep *keeps = by_keep ? rule->keep : rule->anonymize;
    size_t n_keeps = by_keep ? rule->n_keep : rule->n_anonymize;
    for (size_t i = 0; i < n_keeps; i++) {
        struct scope scope;
        const struct request request = {.target = target, .action = action, .keep = &keeps[i], .blocked_only = blocked_only,
                                        .own = plan_is_own(making->schedule, target, making->own_tables, making->n_own_tables)};
        if (scope_of(making, target, &keeps[i], by_keep ? SLOT_KEEP : SLOT_ANONYMIZE, &scope)) add_unheld(making, &request, scope);
    }
}

/* A purge comes before the anonymization that it outruns; what is due to be purged, but blocked, is anonymized where the
 * rule says so or has that stage anyway. */
static void add_target(struct making *making, const struct target *target) {
    const struct rule *rule = target->rule;
    add_orders(making, target, ACTION_PURGE, false);
    if (target->n_columns && target->kind != TARGET_KEYS && (rule->anonymize_blocked || rule->n_anonymize)) add_orders(making, target, ACTION_ANONYMIZE, true);
    add_orders(making, target, ACTION_ANONYMIZE, false);
}

/* ---- the sequence ---- */

/* True if a's records refer to b's: a finds its tenant through b, or is one of b's dependents. */
static bool is_child_of(const struct target *a, const struct target *b) {
    if (a == b || a->store != b->store || a->kind != b->kind || a->kind == TARGET_KEYS || same_place(a, b)) return false;
    for (size_t i = 0; i < a->n_via; i++)
        if (schedule_same_table(a->via[i].parent_table, b->name)) return true;
    for (size_t i = 0; i < b->n_dependents; i++)
        if (schedule_same_table(b->dependents[i].join.child_table, a->name)) return true;
    return false;
}

static int rank(const struct making *making, const struct target *target) {
    if (plan_is_own(making->schedule, target, making->own_tables, making->n_own_tables)) return 3;
    return target->store->kind == STORE_MONGODB ? 0 : target->store->kind == STORE_REDIS ? 2 : 1;
}

static bool must_wait(const struct target *target, const struct target *const *left, size_t n_left) {
    for (size_t i = 0; i < n_left; i++)
        if (is_child_of(left[i], target)) return true;
    return false;
}

/* Targets by store kind, own records last, children before parents; else as written. */
static const struct target **sequence(const struct making *making) {
    size_t count = making->schedule->n_targets, done = 0;
    const struct target **targets = ARENA_ARRAY(making->arena, const struct target *, count);
    for (int r = 0; r <= 3; r++)
        for (size_t i = 0; i < count; i++)
            if (rank(making, making->schedule->targets[i]) == r) targets[done++] = making->schedule->targets[i];
    for (size_t i = 0; i < count; i++) {
        size_t end = i;
        while (end < count && rank(making, targets[end]) == rank(making, targets[i])) end++;
        /* The first that nobody left over refers to; in a circle the first one goes, and later passes settle it. */
        size_t next = i;
        while (next < end && must_wait(targets[next], targets + i, end - i)) next++;
        if (next == end) next = i;
        const struct target *chosen = targets[next];
        memmove(targets + i + 1, targets + i, (next - i) * sizeof *targets);
        targets[i] = chosen;
    }
    return targets;
}

/* ---- tenants that cannot be decided ---- */

/* How many tenants are their own parent, at any distance: each is walked up from once. */
static int64_t count_circular(const struct making *making) {
    enum { UNSEEN, ON_THE_WAY, DONE };
    size_t n_tenants = tenants_count(making->tenants);
    unsigned char *marks = ARENA_ARRAY(making->arena, unsigned char, n_tenants);
    size_t *way = ARENA_ARRAY(making->arena, size_t, n_tenants);
    int64_t circular = 0;
    for (size_t i = 0; i < n_tenants; i++) {
        size_t length = 0, at = i;
        while (at < n_tenants && marks[at] == UNSEEN) {
            marks[at] = ON_THE_WAY;
            way[length++] = at;
            const struct tenant *tenant = tenants_at(making->tenants, at);
            const struct tenant *parent = tenant->parent ? tenants_find(making->tenants, tenant->parent) : NULL;
            at = parent ? (size_t)(parent - tenants_at(making->tenants, 0)) : n_tenants;
        }
        bool in_circle = at < n_tenants && marks[at] == ON_THE_WAY;
        for (size_t j = length; j-- > 0;) {
            marks[way[j]] = DONE;
            circular += in_circle;
            in_circle = in_circle && way[j] != at;
        }
    }
    return circular;
}

static void find_undecidable_tenants(struct making *making) {
    if (!making->schedule->has_tenants) return;
    int64_t circular = count_circular(making);
    if (circular) {
        struct finding *finding = add_finding(making, "parents-circular", NULL, circular);
        finding->place = "parent";
        finding->text = "tenants are their own parent, at some distance; a hold on a subtree ends there";
    }
    const struct tenants_conf *conf = &making->schedule->tenants;
    int64_t parents = 0, ends[MOST_ENDS] = {0};
    for (size_t i = 0; i < tenants_count(making->tenants); i++) {
        const struct tenant *tenant = tenants_at(making->tenants, i);
        parents += tenant->undecidable_parent;
        for (size_t e = 0; e < conf->n_ends; e++) ends[e] += tenant->undecidable_ends >> e & 1U;
    }
    if (parents) {
        struct finding *finding = add_finding(making, "tenant-undecidable", NULL, parents);
        finding->place = "parent";
        finding->text = "tenants have several lines with different parents; nothing bound to an end of theirs is due";
    }
    for (size_t e = 0; e < conf->n_ends; e++) {
        if (!ends[e]) continue;
        struct finding *finding = add_finding(making, "tenant-undecidable", NULL, ends[e]);
        finding->place = conf->ends[e];
        finding->text = "tenants have an end that is no point in time; nothing bound to it is due";
    }
}

/* ---- periods that were shortened ---- */

static const char *period_note_text(struct arena *arena, const struct keep *keep, const char *period) {
    if (keep->kind != KEEP_END || !strcmp(period, "forever")) return period;
    return !strcmp(period, "until") ? arena_printf(arena, "until %s", keep->end) : arena_printf(arena, "%s + %s", keep->end, period);
}

static void note_shortened(struct making *making, const struct rule *rule, enum keep_slot slot, const struct keep *keeps, size_t n_keeps) {
    for (size_t i = 0; i < n_keeps; i++) {
        struct shortened shortened;
        if (!history_shortened(making->history, making->schedule, rule, slot, &keeps[i], making->now_us, &shortened)) continue;
        const char *from = period_note_text(making->arena, &keeps[i], shortened.from);
        const char *to = schedule_keep_text(making->arena, &keeps[i], 1);
        *ARENA_APPEND(making->arena, making->notes, making->n_notes) =
            arena_printf(making->arena, "\"%s\": %s became %s on %s; the longer period counts until %s", rule->data, from, to,
                         time_format_day(shortened.on_us).text, time_format_day(shortened.until_us).text);
    }
}

static void note_all_shortened(struct making *making) {
    for (size_t i = 0; i < making->schedule->n_rules; i++) {
        const struct rule *rule = &making->schedule->rules[i];
        note_shortened(making, rule, SLOT_KEEP, rule->keep, rule->n_keep);
        note_shortened(making, rule, SLOT_ANONYMIZE, rule->anonymize, rule->n_anonymize);
    }
}

/* ---- together ---- */

static struct plan *finish(const struct making *making) {
    struct plan *plan = ARENA_NEW(making->arena, struct plan);
    *plan = (struct plan){.now_us = making->now_us, .orders = making->orders, .n_orders = making->n_orders,
                          .held = making->held_orders, .n_held = making->n_held_orders,
                          .findings = making->findings, .n_findings = making->n_findings, .notes = making->notes, .n_notes = making->n_notes};
    return plan;
}

struct plan *plan_make(struct arena *arena, const struct schedule *schedule, const struct tenants *tenants,
                       const struct history *history, const char *const *own_tables, size_t n_own_tables,
                       const struct holds *holds, int64_t now_us) {
    struct making making = {.arena = arena, .schedule = schedule, .tenants = tenants, .history = history,
                            .own_tables = own_tables, .n_own_tables = n_own_tables, .holds = holds, .now_us = now_us};
    collect_held(&making);
    find_undecidable_tenants(&making);
    note_all_shortened(&making);
    const struct target **targets = sequence(&making);
    for (size_t i = 0; i < schedule->n_targets; i++) add_target(&making, targets[i]);
    return finish(&making);
}

/* What other rules have in the same place decides what is this one's. */
static bool concerns(const struct rule *rule, const struct target *target) {
    for (size_t i = 0; i < rule->n_targets; i++)
        if (same_place(&rule->targets[i], target)) return true;
    return false;
}

struct plan *plan_make_rule(struct arena *arena, const struct schedule *schedule, const struct tenants *tenants,
                            const struct history *history, const char *const *own_tables, size_t n_own_tables,
                            const struct holds *holds, const struct rule *rule, int64_t now_us) {
    struct making making = {.arena = arena, .schedule = schedule, .tenants = tenants, .history = history,
                            .own_tables = own_tables, .n_own_tables = n_own_tables, .holds = holds, .now_us = now_us};
    collect_held(&making);
    const struct target **targets = sequence(&making);
    for (size_t i = 0; i < schedule->n_targets; i++)
        if (concerns(rule, targets[i])) add_target(&making, targets[i]);
    size_t kept = 0;
    for (size_t i = 0; i < making.n_orders; i++)
        if (making.orders[i].target->rule == rule) making.orders[kept++] = making.orders[i];
    making.n_orders = kept;
    making.n_findings = 0;
    return finish(&making);
}

const struct order *plan_narrow(struct arena *arena, const struct order *order, const char *tenant) {
    int64_t cutoff_us = order->due.kind == SCOPE_WHOLE ? TIME_NEVER : scope_cutoff(&order->due, tenant);
    if (cutoff_us == TIME_NEVER) return NULL;
    struct scope_tenant *tenants = NULL;
    size_t count = 0;
    for (size_t i = 0; order->due.kind == SCOPE_REST && i < order->due.n_tenants; i++) {
        const char *id = order->due.tenants[i].id;
        if (order->due.tenants[i].cutoff_us < order->due.cutoff_us && strcmp(id, tenant) != 0)
            *ARENA_APPEND(arena, tenants, count) = (struct scope_tenant){.id = id, .cutoff_us = TIME_NEVER, .end_us = TIME_FOREVER};
    }
    *ARENA_APPEND(arena, tenants, count) =
        (struct scope_tenant){.id = arena_strdup(arena, tenant), .cutoff_us = cutoff_us, .end_us = scope_end(&order->due, tenant)};
    qsort(tenants, count, sizeof *tenants, by_id);
    struct order *narrowed = ARENA_NEW(arena, struct order);
    *narrowed = order_for(order, tenants, count);
    return narrowed;
}
