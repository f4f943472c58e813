/* Of a value that can be written in several ways (base/spelling.h): what destroys takes a tenant's id as it is written; what
 * protects (a longer period of its own, records that its own record has to wait for) must hold however the id is written. */
#ifndef LAPSED_STORE_SPELLING_H
#define LAPSED_STORE_SPELLING_H

#include "base/spelling.h"
#include "schedule/order.h"
#include "store/store.h"

/* The text that the server writes for what `id` means in a column, of which `column` knows; NULL: it means nothing there. */
typedef const char *spelling_of(const void *column, struct arena *arena, const char *id);

/* The order with every protection repeated for the id as the server writes it: exceptions that are stricter than their
 * scope's own cutoff, and all tenants of an order that only asks (order_any). `order` itself where that changes nothing; the
 * copy lives in `arena` and borrows what `order` does. */
const struct order *spelling_spread(struct arena *arena, const struct order *order, spelling_of *of, const void *column);
/* The answer to such an order that only asks, by the ids that `order` itself asks for. */
void spelling_answer(struct arena *arena, const struct order *order, spelling_of *of, const void *column, struct tally *tally);

#endif
