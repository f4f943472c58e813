/* What goes in the same sweep. prepare is strict: any row that refers to a record blocks it. count asks for the end of the
 * sweep: a row that is itself due under an order of the same call and not blocked for good, or that goes as a declared
 * dependent of such a row, will have gone by then. What cannot be shown to go blocks. */
#ifndef LAPSED_STORE_PG_GOING_H
#define LAPSED_STORE_PG_GOING_H

#include "store/pg_compile.h"

struct pg_going {
    const struct pg_store *store;
    const struct order *const *orders; /* all that the sweep carries out in this store */
    size_t n_orders;
    const struct pg_table *table;      /* whose rows are asked about here … */
    const struct pg_going *above;      /* … for the sake of those above; the tables on this way are not asked about again */
    const struct pg_link *followed;    /* the self-reference that the level above follows row by row: none of ours; NULL */
};

/* " AND NOT …" for every way in which the row b of `child` may go. */
void pg_add_stays(struct pg_sql *sql, const struct pg_due *due, const struct pg_table *child);
/* true if a row that refers to t over this self-reference, directly or over others, stays. */
void pg_add_chain_stays(struct pg_sql *sql, const struct pg_due *due, const struct pg_link *link);

/* pg_count_dependents.c: rows that go, or are changed, with the records of a count (due->going is set). */
int pg_count_dependents(struct pg_store *store, const struct pg_due *due, struct arena *arena, int64_t *ret_count, struct err *err) MUST_CHECK;

#endif
