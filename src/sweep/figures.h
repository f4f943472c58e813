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
struct brake_figures figures_sum(struct figures *figures);

/* How many tenants of the list are running: they have no ends, or one that has not come. */
int64_t figures_running(const struct schedule *schedule, const struct tenants *tenants, int64_t now_us);

#endif
