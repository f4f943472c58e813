/* One value can be written in several ways: "007" and "7" are the same integer, "A0EE…" and "a0ee…" the same UUID. What
 * destroys takes a tenant's id as it is written; what protects (a longer period of its own, records that its own record
 * has to wait for) must hold however the id is written. */
#ifndef LAPSED_STORE_SPELLING_H
#define LAPSED_STORE_SPELLING_H

#include "schedule/order.h"
#include "store/store.h"

/* The text that a server writes for the integer or UUID that `id` means: in `arena`, or `id` itself where it is that text;
 * NULL: it means none. Integers: leading zeros, a plus sign, blanks around, zeros behind a point. UUIDs: capitals, braces,
 * hyphens elsewhere or nowhere. */
const char *spelling_of_integer(struct arena *arena, const char *id);
const char *spelling_of_uuid(struct arena *arena, const char *id);

/* The same for what a column holds, of which `column` knows. */
typedef const char *spelling_of(const void *column, struct arena *arena, const char *id);

/* The order with every protection repeated for the id as the server writes it: exceptions that are stricter than their
 * scope's own cutoff, and all tenants of an order that only asks (order_any). `order` itself where that changes nothing; the
 * copy lives in `arena` and borrows what `order` does. */
const struct order *spelling_spread(struct arena *arena, const struct order *order, spelling_of *of, const void *column);
/* The answer to such an order that only asks, by the ids that `order` itself asks for. */
void spelling_answer(struct arena *arena, const struct order *order, spelling_of *of, const void *column, struct tally *tally);

#endif
