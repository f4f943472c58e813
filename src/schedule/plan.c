#include "schedule/plan_internal.h"

#include "base/text.h"
#include "base/time.h"

#include <stdlib.h>
#include <string.h>

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

struct finding *plan_add_finding(struct making *making, const char *code, const struct rule *rule, int64_t count) {
    struct finding *finding = ARENA_APPEND(making->arena, making->findings, making->n_findings);
    *finding = (struct finding){.code = code, .grade = text_starts_with(code, "hold-") ? FINDING_ALARM : FINDING_PATIENT, .rule = rule ? rule->data : NULL, .count = count};
    return finding;
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

/* The one place where a hold takes something away from what is due. */
static void add_unheld(struct making *making, const struct request *request, struct scope scope) {
    if (holds_on_target(making->holds, making->schedule, request->target)) {
        add_held_order(making, request, scope);
    } else if (scope.kind == SCOPE_WHOLE || !making->n_held[request->own]) {
        add_order(making, request, scope);
    } else if (scope.kind == SCOPE_REST) {
        add_order(making, request, plan_without_held(making, &scope, request->own));
        add_held_order(making, request, plan_held_by_name(making, &scope, request->own));
    } else {
        struct scope held = plan_listed_part(making, &scope, request->own, true), not_held = plan_listed_part(making, &scope, request->own, false);
        /* A key that may be a held tenant's is nobody else's: its store must know of that one. */
        bool by_name = request->target->kind == TARGET_KEYS;
        if (not_held.n_tenants) add_order(making, request, by_name ? plan_without_held(making, &scope, request->own) : not_held);
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
        if (plan_scope(making, target, &keeps[i], by_keep ? SLOT_KEEP : SLOT_ANONYMIZE, &scope)) add_unheld(making, &request, scope);
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
        struct finding *finding = plan_add_finding(making, "parents-circular", NULL, circular);
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
        struct finding *finding = plan_add_finding(making, "tenant-undecidable", NULL, parents);
        finding->place = "parent";
        finding->text = "tenants have several lines with different parents; nothing bound to an end of theirs is due";
    }
    for (size_t e = 0; e < conf->n_ends; e++) {
        if (!ends[e]) continue;
        struct finding *finding = plan_add_finding(making, "tenant-undecidable", NULL, ends[e]);
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
    plan_collect_held(&making);
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
    plan_collect_held(&making);
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
    for (size_t i = 0; i < order->due.n_tenants; i++) {
        const char *id = order->due.tenants[i].id;
        bool stricter = order->due.tenants[i].cutoff_us < (order->due.kind == SCOPE_REST ? order->due.cutoff_us : TIME_NEVER + 1);
        if (stricter && strcmp(id, tenant) != 0)
            *ARENA_APPEND(arena, tenants, count) = (struct scope_tenant){.id = id, .cutoff_us = TIME_NEVER, .end_us = TIME_FOREVER};
    }
    *ARENA_APPEND(arena, tenants, count) =
        (struct scope_tenant){.id = arena_strdup(arena, tenant), .cutoff_us = cutoff_us, .end_us = scope_end(&order->due, tenant)};
    qsort(tenants, count, sizeof *tenants, scope_tenant_by_id);
    struct order *narrowed = ARENA_NEW(arena, struct order);
    *narrowed = order_for(order, tenants, count);
    return narrowed;
}
