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
    for (size_t i = 0; i < tally->n_tenants; i++) {
        int64_t lag_us = lag(figures, order, &tally->tenants[i]);
        if (lag_us > figures->sum.lag_us) figures->sum.lag_us = lag_us;
        if (*tally->tenants[i].tenant) *ARENA_APPEND(figures->arena, figures->ids, figures->n_ids) = tally->tenants[i].tenant;
    }
}

void figures_uncounted(struct figures *figures) { figures->sum.uncounted = true; }

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
