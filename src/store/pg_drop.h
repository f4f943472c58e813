/* A leaf of a partitioned table that goes whole: the target says drop = true, and every row in it is due. The same answer as by
 * taking its rows one by one, at the price of looking at them once; what went is counted, not enumerated. */
#ifndef LAPSED_STORE_PG_DROP_H
#define LAPSED_STORE_PG_DROP_H

#include "store/pg_compile.h"
#include "store/pg_taken.h"

enum pg_drop {
    PG_DROP_GONE,  /* there is no such leaf any more, or another table stands under its name */
    PG_DROP_NEVER, /* it is to be taken row by row */
    PG_DROP_MAY,   /* nothing that may still come into it would live: its rows are to be looked at */
};

/* Inside a transaction: by the catalog as it is now. Everybody who asks with the same order gets the same answer. */
int pg_drop_ask(struct pg_store *store, const struct pg_due *due, enum pg_drop *ret_drop, struct err *err) MUST_CHECK;
/* In the transaction of the batch: keeps writers out of the leaf and looks at every row by the order's whole predicate. PG_DROP_MAY: all
 * of them are due; then `gone` (its arena set) holds them by tenant. ERR_UNAVAILABLE: others write there. */
int pg_drop_look(struct pg_store *store, const struct pg_due *due, struct pg_taken *gone, enum pg_drop *ret_drop, struct err *err) MUST_CHECK;
/* Right before COMMIT: readers are kept out from here on. */
int pg_drop_now(struct pg_store *store, const struct pg_table *leaf, struct err *err) MUST_CHECK;

/* False only for partitions that somebody dropped, took out or replaced since the check. Asked in a transaction that has the leaf locked (by
 * a row that it took), it stays true until that ends. */
int pg_leaf_is_there(struct pg_store *store, const struct pg_bound *bound, const struct pg_table *leaf, bool *ret_there, struct err *err) MUST_CHECK;

#endif
