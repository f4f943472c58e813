#include "sweep/inspect.h"

#include "base/time.h"
#include "sweep/figures.h"

#include <stdlib.h>
#include <string.h>

static size_t index_of(const struct inspection *inspection, const struct store_conf *conf) {
    return (size_t)(conf - inspection->schedule->stores);
}

static bool reachable(const struct inspection *inspection, const struct store_conf *conf) {
    return inspection->store_errors[index_of(inspection, conf)].code == ERR_NONE;
}

struct store *inspection_store(const struct inspection *inspection, const struct store_conf *conf) {
    return inspection->stores[index_of(inspection, conf)];
}

int inspection_open(const struct schedule *schedule, struct inspection **ret_inspection, struct err *err) {
    struct arena *arena = arena_new();
    struct inspection *inspection = ARENA_NEW(arena, struct inspection);
    inspection->arena = arena;
    inspection->schedule = schedule;
    inspection->stores = ARENA_ARRAY(arena, struct store *, schedule->n_stores);
    inspection->store_errors = ARENA_ARRAY(arena, struct err, schedule->n_stores);
    inspection->bad = ARENA_ARRAY(arena, bool, schedule->n_targets);
    inspection->faults.arena = arena;
    for (size_t i = 0; i < schedule->n_stores; i++) {
        if (!store_open(schedule, &schedule->stores[i], true, NULL, &inspection->stores[i], err)) continue;
        if (err->code == ERR_BUG) {
            inspection_close(inspection);
            return -1;
        }
        inspection->store_errors[i] = *err;
    }
    *ret_inspection = inspection;
    return 0;
}

void inspection_check(struct inspection *inspection) {
    for (size_t i = 0; i < inspection->schedule->n_stores; i++) {
        struct store *store = inspection->stores[i];
        struct err *err = &inspection->store_errors[i];
        if (!store || err->code != ERR_NONE) continue;
        int64_t server_now_us;
        if (store_driver(store)->ping(store, &server_now_us, err)) continue;
        (void)store_driver(store)->check(store, &inspection->faults, inspection->bad, err);
    }
    faults_sort(&inspection->faults);
}

static int take_tenant(void *context, const struct tenant_row *row, struct err *err) { return tenants_add(context, row, err); }

static int read_tenants(struct inspection *inspection, struct err *err) {
    inspection->tenants = tenants_new(inspection->schedule);
    int failed = 0;
    if (inspection->schedule->has_tenants) {
        const struct store_conf *conf = inspection->schedule->tenants.store;
        struct store *store = inspection_store(inspection, conf);
        if (!reachable(inspection, conf)) {
            *err = inspection->store_errors[index_of(inspection, conf)];
            failed = -1;
        } else {
            failed = store_driver(store)->tenants(store, NULL, 0, take_tenant, inspection->tenants, err) ||
                     store_driver(store)->tenants_tables(store, inspection->arena, &inspection->own_tables, &inspection->n_own_tables, err);
        }
    }
    tenants_finish(inspection->tenants);
    return failed ? err_within(err, "tenants") : 0;
}

static int read_holds(struct inspection *inspection, int64_t now_us, struct err *err) {
    struct ledger_copy *asked = &inspection->asked;
    if (ledger_copy_read(inspection->schedule->settings.state_folder, inspection->arena, asked, err)) return -1;
    struct hold *holds = ARENA_ARRAY(inspection->arena, struct hold, asked->holds.count);
    size_t count = 0;
    for (size_t i = 0; i < asked->holds.count; i++)
        if (now_us < asked->until_us[i]) holds[count++] = asked->holds.items[i];
    inspection->holds = (struct holds){.items = holds, .count = count};
    return 0;
}

static void tell_tenants(struct inspection *inspection) {
    for (size_t i = 0; i < inspection->schedule->n_stores; i++) {
        struct store *store = inspection->stores[i];
        if (store && store_driver(store)->know) store_driver(store)->know(store, inspection->tenants);
    }
}

int inspection_know(struct inspection *inspection, struct err *err) {
    if (read_tenants(inspection, err)) return -1;
    tell_tenants(inspection);
    return 0;
}

int inspection_plan(struct inspection *inspection, int64_t now_us, struct err *err) {
    if (read_tenants(inspection, err)) return -1;
    const struct schedule *schedule = inspection->schedule;
    if (history_load(schedule->settings.state_folder, &inspection->history, err)) return -1;
    /* As the sweep does before it plans; not saved. */
    history_note(inspection->history, schedule, inspection->tenants, now_us);
    tell_tenants(inspection);
    if (read_holds(inspection, now_us, err) || brakes_load(schedule->settings.state_folder, &inspection->brakes, err)) return -1;
    inspection->plan = plan_make(inspection->arena, schedule, inspection->tenants, inspection->history, inspection->own_tables,
                                 inspection->n_own_tables, &inspection->holds, now_us);
    inspection->n_orders = inspection->plan->n_orders;
    inspection->orders = ARENA_ARRAY(inspection->arena, struct inspect_order, inspection->n_orders);
    for (size_t i = 0; i < inspection->n_orders; i++) inspection->orders[i].order = &inspection->plan->orders[i];
    inspection->n_held = inspection->plan->n_held;
    inspection->held = ARENA_ARRAY(inspection->arena, struct inspect_order, inspection->n_held);
    for (size_t i = 0; i < inspection->n_held; i++) inspection->held[i].order = &inspection->plan->held[i];
    return 0;
}

/* ---- counting ---- */

static void count_store(struct inspection *inspection, struct inspect_order *items, size_t n_items, size_t index) {
    const struct store_conf *conf = &inspection->schedule->stores[index];
    struct store *store = inspection->stores[index];
    const struct order **orders = ARENA_ARRAY(inspection->arena, const struct order *, n_items);
    size_t *places = ARENA_ARRAY(inspection->arena, size_t, n_items);
    size_t count = 0;
    for (size_t i = 0; i < n_items; i++) {
        struct inspect_order *item = &items[i];
        if (item->order->target->store != conf) continue;
        if (!reachable(inspection, conf)) {
            item->why = arena_printf(inspection->arena, "store \"%s\" could not be asked", conf->name);
        } else if (inspection->bad[item->order->target->number]) {
            item->why = "the catalog disagrees: lapsectl check";
        } else if (item->order->due.kind == SCOPE_LISTED && !item->order->due.n_tenants) {
            item->asked = true;
        } else {
            places[count] = i;
            orders[count++] = item->order;
        }
    }
    struct tally *tallies = ARENA_ARRAY(inspection->arena, struct tally, count);
    struct err *err = &inspection->store_errors[index];
    bool failed = count && store_driver(store)->count(store, orders, count, inspection->arena, tallies, err);
    for (size_t i = 0; i < count; i++) {
        items[places[i]].asked = !failed;
        items[places[i]].tally = tallies[i];
        if (failed) items[places[i]].why = arena_printf(inspection->arena, "store \"%s\" could not be asked", conf->name);
    }
}

/* ---- own records that wait ---- */

static int by_tenant(const void *a, const void *b) {
    return strcmp(((const struct tenant_count *)a)->tenant, ((const struct tenant_count *)b)->tenant);
}

/* How many records of this tenant in this target the sweep takes: those that are due and free. */
static int64_t taken(const struct inspection *inspection, const struct target *target, const char *tenant) {
    const struct tenant_count key = {.tenant = tenant};
    int64_t sum = 0;
    for (size_t i = 0; i < inspection->n_orders; i++) {
        const struct inspect_order *counted = &inspection->orders[i];
        const struct tally *tally = &counted->tally;
        if (counted->order->target != target || counted->order->action != ACTION_PURGE || !counted->asked || !tally->n_tenants) continue;
        const struct tenant_count *found = bsearch(&key, tally->tenants, tally->n_tenants, sizeof key, by_tenant);
        if (found) sum += found->count;
    }
    return sum;
}

/* Marks in `waits` the tenants of the order that have more records in this target than the sweep takes: the gate before the
 * own records will find them, whether they are blocked, kept longer or not due at all. */
static int ask_target(struct inspection *inspection, const struct order *own, const struct target *target, bool *waits, struct err *err) {
    const struct order any = order_any(target, own->due.tenants, own->due.n_tenants);
    const struct order *orders[] = {&any};
    struct tally tally = {0};
    struct store *store = inspection_store(inspection, target->store);
    if (store_driver(store)->count(store, orders, 1, inspection->arena, &tally, err)) return -1;
    for (size_t t = 0; tally.n_tenants && t < own->due.n_tenants; t++) {
        const struct tenant_count key = {.tenant = own->due.tenants[t].id};
        const struct tenant_count *left = bsearch(&key, tally.tenants, tally.n_tenants, sizeof key, by_tenant);
        if (left && left->count > taken(inspection, target, key.tenant)) waits[t] = true;
    }
    return 0;
}

/* Leaves the marked tenants out. */
static void narrow(struct inspection *inspection, struct inspect_order *own, const bool *waits) {
    const struct order *order = own->order;
    struct scope_tenant *free_tenants = ARENA_ARRAY(inspection->arena, struct scope_tenant, order->due.n_tenants);
    size_t n_free = 0;
    for (size_t t = 0; t < order->due.n_tenants; t++)
        if (!waits[t]) free_tenants[n_free++] = order->due.tenants[t];
    own->waiting_tenants = (int64_t)(order->due.n_tenants - n_free);
    struct order *narrowed = ARENA_NEW(inspection->arena, struct order);
    *narrowed = *order;
    narrowed->due.tenants = free_tenants;
    narrowed->due.n_tenants = n_free;
    own->order = narrowed;
}

/* Own records wait while the tenant has others that the sweep leaves: as the sweep's gate decides. */
static void leave_out_waiting(struct inspection *inspection, struct inspect_order *own) {
    const struct order *order = own->order;
    struct arena *arena = inspection->arena;
    const struct target **targets = ARENA_ARRAY(arena, const struct target *, inspection->schedule->n_targets);
    size_t n_targets = plan_bound_targets(inspection->schedule, inspection->own_tables, inspection->n_own_tables, targets);
    bool *waits = ARENA_ARRAY(arena, bool, order->due.n_tenants);
    for (size_t i = 0; i < n_targets; i++) {
        struct err *err = &inspection->store_errors[index_of(inspection, targets[i]->store)];
        bool asked = reachable(inspection, targets[i]->store) && !inspection->bad[targets[i]->number];
        if (asked && !ask_target(inspection, order, targets[i], waits, err)) continue;
        own->why = arena_printf(arena, "\"%s\" could not be asked whether anything else is left", targets[i]->name);
        memset(waits, 1, order->due.n_tenants);
    }
    narrow(inspection, own, waits);
}

/* Leaves of the plan's orders what concerns this tenant. */
static size_t narrow_to(struct inspection *inspection, struct inspect_order *items, size_t n_items, const char *id) {
    size_t kept = 0;
    for (size_t i = 0; i < n_items; i++) {
        const struct order *order = items[i].order;
        const struct order *narrowed = plan_narrow(inspection->arena, order, id);
        if (!narrowed) continue;
        items[kept++].order = narrowed;
    }
    return kept;
}

void inspection_narrow(struct inspection *inspection, const char *tenant) {
    inspection->n_orders = narrow_to(inspection, inspection->orders, inspection->n_orders, tenant);
    inspection->n_held = narrow_to(inspection, inspection->held, inspection->n_held, tenant);
}

/* Only when all else is counted is it known whose own records wait; where some do, those of their store are counted anew
 * without them. */
void inspection_count(struct inspection *inspection) {
    const struct schedule *schedule = inspection->schedule;
    bool *again = ARENA_ARRAY(inspection->arena, bool, schedule->n_stores);
    for (size_t i = 0; i < schedule->n_stores; i++) {
        count_store(inspection, inspection->orders, inspection->n_orders, i);
        count_store(inspection, inspection->held, inspection->n_held, i);
    }
    for (size_t i = 0; i < inspection->n_orders; i++) {
        struct inspect_order *item = &inspection->orders[i];
        if (!item->order->own || item->order->due.anchor || !item->asked) continue;
        leave_out_waiting(inspection, item);
        if (!item->waiting_tenants) continue;
        item->tally = (struct tally){0};
        again[index_of(inspection, item->order->target->store)] = true;
    }
    for (size_t i = 0; i < schedule->n_stores; i++)
        if (again[i]) count_store(inspection, inspection->orders, inspection->n_orders, i);
}

/* ---- the brakes ---- */

static struct brake_figures sum_rule(const struct inspection *inspection, const struct rule *rule) {
    struct figures *figures = figures_new(inspection->arena, inspection->plan->now_us);
    for (size_t i = 0; i < inspection->n_orders; i++) {
        const struct inspect_order *counted = &inspection->orders[i];
        if (counted->order->target->rule == rule && counted->asked) figures_add(figures, counted->order, &counted->tally);
    }
    for (size_t i = 0; i < inspection->schedule->n_stores; i++) figures_add_shares(figures, rule, inspection->shares[i], inspection->n_shares[i]);
    return figures_sum(figures);
}

static void ask_shares(struct inspection *inspection, size_t index) {
    const struct store_conf *conf = &inspection->schedule->stores[index];
    const struct order **orders = ARENA_ARRAY(inspection->arena, const struct order *, inspection->n_orders);
    struct tally *tallies = ARENA_ARRAY(inspection->arena, struct tally, inspection->n_orders);
    size_t count = 0;
    for (size_t i = 0; i < inspection->n_orders; i++) {
        const struct inspect_order *counted = &inspection->orders[i];
        if (counted->order->target->store != conf || !counted->asked) continue;
        orders[count] = counted->order;
        tallies[count++] = counted->tally;
    }
    struct err *err = &inspection->store_errors[index];
    if (count && reachable(inspection, conf) &&
        figures_ask_shares(inspection->stores[index], inspection->schedule, orders, tallies, count, inspection->arena, &inspection->shares[index],
                           &inspection->n_shares[index], err))
        inspection->n_shares[index] = 0; /* the error says that the store could not be asked */
}

void inspection_judge(struct inspection *inspection) {
    const struct schedule *schedule = inspection->schedule;
    int64_t now_us = inspection->plan->now_us;
    inspection->shares = ARENA_ARRAY(inspection->arena, const struct figures_share *, schedule->n_stores);
    inspection->n_shares = ARENA_ARRAY(inspection->arena, size_t, schedule->n_stores);
    for (size_t i = 0; i < schedule->n_stores; i++) ask_shares(inspection, i);
    inspection->leaves = ARENA_ARRAY(inspection->arena, struct leave, schedule->n_rules);
    for (size_t i = 0; i < schedule->n_rules; i++) {
        const struct brake_figures figures = sum_rule(inspection, &schedule->rules[i]);
        inspection->leaves[i] =
            brakes_judge(inspection->brakes, inspection->arena, schedule, &schedule->rules[i], &figures, &inspection->asked.approvals, now_us);
    }
    if (!schedule->has_tenants) return;
    const struct list_leave list = brakes_judge_list(inspection->brakes, inspection->arena, &schedule->settings.brakes,
                                                     figures_running(schedule, inspection->tenants, now_us), &inspection->asked.approvals);
    inspection->list_text = list.text;
}

void inspection_close(struct inspection *inspection) {
    if (!inspection) return;
    for (size_t i = 0; i < inspection->schedule->n_stores; i++) store_close(inspection->stores[i]);
    tenants_free(inspection->tenants);
    history_free(inspection->history);
    brakes_free(inspection->brakes);
    arena_free(inspection->arena);
}
