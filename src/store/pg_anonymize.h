/* Anonymization in PostgreSQL: which records are not done yet, and the statements that change them. */
#ifndef LAPSED_STORE_PG_ANONYMIZE_H
#define LAPSED_STORE_PG_ANONYMIZE_H

#include "store/pg_compile.h"

/* True for a row t that has something left to anonymize: by the marker, else by cheap guards on the values. */
void pg_add_not_done(struct pg_sql *sql, const struct pg_bound *bound);
/* Columns of a table with a strategy, as pg_bound.columns goes with target.columns. */
struct pg_fields {
    const struct column *columns;
    const struct pg_column *const *bound;
    size_t count;
};
/* True for a row of this alias that has a value left to anonymize. */
void pg_add_fields_left(struct pg_sql *sql, const struct pg_fields *fields, const char *alias);
/* Anonymizes these rows of the order's table (ctids: an array literal; they are locked) with the order's predicate
 * `choose` repeated, in as many statements as it takes; *ret_result: a row for each changed record, by `returning`. */
int pg_anonymize_rows(struct pg_store *store, const struct pg_due *due, const char *ctids, const struct scope *scope, const char *returning,
                      struct arena *arena, PGresult **ret_result, struct err *err) MUST_CHECK;

/* What becomes of a dependent's rows when its target's go or are anonymized. */
enum pg_fate { PG_LEFT_ALONE, PG_PURGED, PG_CHANGED };
enum pg_fate pg_fate_of(const struct order *order, const struct pg_dependent *dependent);
/* " AND …": of the rows d0 of a dependent with this fate those that there is something to do about. */
int pg_add_dependent_due(struct pg_sql *sql, const struct pg_dependent *dependent, enum pg_fate fate, struct err *err) MUST_CHECK;
/* Anonymizes at most `limit` rows of a dependent of these rows of the target; *ret_result: tableoid and key of each changed
 * row, NULL if there was none. */
int pg_anonymize_dependent(struct pg_store *store, const struct pg_due *due, const struct pg_dependent *dependent, const char *ctids,
                           size_t limit, struct arena *arena, PGresult **ret_result, struct err *err) MUST_CHECK;

/* On the way from this dependent up to the record there is one that is changed and not purged. */
bool pg_hangs_on_changed(const struct pg_due *due, const struct pg_dependent *dependent);
/* " FOR UPDATE OF d0, d1, …": behind pg_add_dependents, locks the rows that carry d0, and with `itself` d0, too. Not those that are
 * left alone: the role need not have the right to. */
void pg_add_locks(struct pg_sql *sql, const struct pg_due *due, const struct pg_dependent *dependent, bool itself);

#endif
