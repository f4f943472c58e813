/* What is due under a rule, added up from the tallies of its orders: what its brakes are judged by. */
#ifndef LAPSED_SWEEP_FIGURES_H
#define LAPSED_SWEEP_FIGURES_H

#include "schedule/brake.h"
#include "store/store.h"

struct figures;

struct figures *figures_new(struct arena *arena, int64_t now_us);
/* Orders that are only counted, such as those of held records, are not added. */
void figures_add(struct figures *figures, const struct order *order, const struct tally *tally);
void figures_uncounted(struct figures *figures);

/* How much of a place is due: percent, as far as it matters for the limit. */
struct figures_share {
    const struct target *target;
    int64_t percent;
};
/* Asks the store how large the places are where enough is due for a share to say something. What it refuses to count is left out.
 * -1: the store could not be asked. */
int figures_ask_shares(struct store *store, const struct schedule *schedule, const struct order *const *orders, const struct tally *tallies, size_t n_orders,
                       struct arena *arena, const struct figures_share **ret_shares, size_t *ret_count, struct err *err) MUST_CHECK;
void figures_add_shares(struct figures *figures, const struct rule *rule, const struct figures_share *shares, size_t count);

struct brake_figures figures_sum(struct figures *figures);

/* How many tenants of the list are running: they have no ends, or one that has not come. */
int64_t figures_running(const struct schedule *schedule, const struct tenants *tenants, int64_t now_us);

#endif
