#include "sweep/figures.h"

#include "base/time.h"

#include <stdlib.h>
#include <string.h>

struct figures {
    struct arena *arena;
    int64_t now_us;
    struct brake_figures sum;
    const char **ids; /* of tenants, with doubles */
    size_t n_ids;
};

struct figures *figures_new(struct arena *arena, int64_t now_us) {
    struct figures *figures = ARENA_NEW(arena, struct figures);
    *figures = (struct figures){.arena = arena, .now_us = now_us};
    return figures;
}

/* For how long the tenant's oldest record has been due; 0: nobody says. */
static int64_t lag(const struct figures *figures, const struct order *order, const struct tenant_count *tenant) {
    int64_t due_us;
    if (order->due.anchor) {
        if (tenant->oldest_us == TIME_FOREVER || tenant->oldest_us == TIME_NEVER || tenant->cutoff_us == TIME_FOREVER) return 0;
        due_us = figures->now_us - (tenant->cutoff_us - tenant->oldest_us);
    } else {
        int64_t end_us = scope_end(&order->due, tenant->tenant);
        if (end_us == TIME_FOREVER) return 0;
        due_us = order->keep->period.count ? period_after(end_us, order->keep->period) : end_us;
    }
    return due_us < figures->now_us ? figures->now_us - due_us : 0;
}

void figures_add(struct figures *figures, const struct order *order, const struct tally *tally) {
    figures->sum.records += tally->records;
    if (!order->blocked_only) figures->sum.blocked += tally->n_blocked_records;
    for (size_t i = 0; i < tally->n_tenants; i++) {
        int64_t lag_us = lag(figures, order, &tally->tenants[i]);
        if (lag_us > figures->sum.lag_us) figures->sum.lag_us = lag_us;
        if (*tally->tenants[i].tenant) *ARENA_APPEND(figures->arena, figures->ids, figures->n_ids) = tally->tenants[i].tenant;
    }
}

void figures_uncounted(struct figures *figures) { figures->sum.uncounted = true; }

/* ---- shares ---- */

/* Purged and anonymized; the blocked ones that are anonymized are the purge's. */
static int64_t due_in(const struct target *target, const struct order *const *orders, const struct tally *tallies, size_t n_orders) {
    int64_t due = 0;
    for (size_t i = 0; i < n_orders; i++)
        if (orders[i]->target == target && !orders[i]->blocked_only) due += tallies[i].records;
    return due;
}

int figures_ask_shares(struct store *store, const struct schedule *schedule, const struct order *const *orders, const struct tally *tallies, size_t n_orders,
                       struct arena *arena, const struct figures_share **ret_shares, size_t *ret_count, struct err *err) {
    const struct store_driver *driver = store_driver(store);
    int64_t limit = schedule->settings.brakes.share;
    struct figures_share *shares = NULL;
    const struct target *last = NULL;
    *ret_count = 0;
    for (size_t i = 0; driver->size && limit < 100 && i < n_orders; i++) {
        const struct target *target = orders[i]->target;
        if (target == last) continue; /* a target's orders stand side by side */
        last = target;
        int64_t due = due_in(target, orders, tallies, n_orders), records;
        if (due < BRAKE_LEAST_FOR_SHARE) continue;
        if (driver->size(store, target, due * 100 / (limit ? limit : 1) + 1, arena, &records, err)) {
            if (err->code == ERR_UNAVAILABLE && !*err->detail) return -1;
            *err = (struct err){.code = ERR_NONE};
            continue;
        }
        if (records > 0) *ARENA_APPEND(arena, shares, *ret_count) = (struct figures_share){.target = target, .percent = due >= records ? 100 : due * 100 / records};
    }
    *ret_shares = shares;
    return 0;
}

void figures_add_shares(struct figures *figures, const struct rule *rule, const struct figures_share *shares, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (shares[i].target->rule != rule || shares[i].percent <= figures->sum.share) continue;
        figures->sum.share = shares[i].percent;
        figures->sum.share_place = shares[i].target->name;
    }
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

struct brake_figures figures_sum(struct figures *figures) {
    figures->sum.tenants = 0;
    if (figures->n_ids) qsort(figures->ids, figures->n_ids, sizeof *figures->ids, by_text);
    for (size_t i = 0; i < figures->n_ids; i++)
        if (!i || strcmp(figures->ids[i - 1], figures->ids[i]) != 0) figures->sum.tenants++;
    return figures->sum;
}

int64_t figures_running(const struct schedule *schedule, const struct tenants *tenants, int64_t now_us) {
    int64_t running = 0;
    size_t n_ends = schedule->tenants.n_ends;
    for (size_t i = 0; i < tenants_count(tenants); i++) {
        const struct tenant *tenant = tenants_at(tenants, i);
        bool runs = !n_ends;
        for (size_t e = 0; e < n_ends; e++) runs |= tenant->ends[e] > now_us;
        running += runs;
    }
    return running;
}
