/* From an order to SQL: the one place where the set of due records of a table is written down. count, probe and prepare
 * wrap it and differ only in their verb. What is due is the same for all; "blocked" is asked for this moment by what destroys
 * and for the end of the sweep by count (store/pg_going.h), so that the plan's numbers are the sweep's.
 *
 * Inside a statement the target's row is always `t` (its ctid and tableoid included), the tables of the chain to its
 * tenant are v1, v2 …; the user's `only` is read in a subquery of its own where none of our names can be seen. Values are
 * parameters, identifiers are quoted by pg_quote. */
#ifndef LAPSED_STORE_PG_COMPILE_H
#define LAPSED_STORE_PG_COMPILE_H

#include "store/pg_internal.h"

/* How tenants are bound: as arrays of the column's own type, so that its index serves, or as text where the type has no
 * text that could be checked here. */
struct pg_tenant_type {
    Oid oid;
    const char *element; /* "bigint", "text", …: never with a length, a cast would cut */
    bool as_text;        /* compare COLUMN::text */
};
struct pg_tenant_type pg_tenant_type(Oid oid);
/* False for an id that no value of this type has as its text ("abc", "007" for a bigint): it matches nothing. */
bool pg_tenant_fits(const struct pg_tenant_type *type, const char *id);
/* A spelling_of (store/spelling.h): column is a struct pg_tenant_type. */
const char *pg_tenant_spelling(const void *type, struct arena *arena, const char *id);

/* A statement under construction: text and its parameters ($1 …). */
struct pg_sql {
    struct arena *arena;
    struct buf text;
    const char **parameters;
    size_t n_parameters;
    bool binary; /* how pg_run gets the answer */
};
void pg_sql_free(struct pg_sql *sql); /* for the cleanup attribute */
void pg_sql_clear(struct pg_sql *sql);
#define PG_SQL __attribute__((cleanup(pg_sql_free))) struct pg_sql
/* Adds a parameter without writing it; its number. */
size_t pg_add_value(struct pg_sql *sql, const char *value);
/* Adds the parameter and writes "$n::TYPE". */
void pg_add_parameter(struct pg_sql *sql, const char *value, const char *type);
int pg_run(struct pg_store *store, const struct pg_sql *sql, PGresult **ret_result, struct err *err) MUST_CHECK;

struct pg_going; /* store/pg_going.h */

/* Tenants of a scope with the same cutoff: an array for a parameter. */
struct pg_group {
    int64_t cutoff_us;
    const char *ids;
    size_t count;
};

/* The groups of a long list of tenants, made once for many statements; NULL: not made. */
struct pg_listed {
    const struct scope_tenant *tenants;
    size_t n_tenants;
    const struct pg_group *groups;
    size_t n_groups;
};

/* An order on one table: the target's, or a leaf of it. */
struct pg_due {
    const struct order *order; /* what protects in it is spread over the spellings of ids */
    const struct pg_bound *bound;
    const struct pg_table *leaf;
    const struct pg_column *anchor; /* of order.due; NULL: none */
    struct pg_tenant_type tenant;
    const char *zone;               /* for anchors without one */
    bool by_place;                  /* the rows are found by their ctid: no index may seem to serve instead */
    struct pg_listed listed;        /* of order.due */
    const struct pg_going *going;   /* what will have gone at the end of the sweep does not block; NULL: it does while it is there */
};
/* Fails with ERR_CONFIG on what the catalog no longer fits (check says more). `arena` must live as long as the result. */
int pg_due_of(const struct pg_store *store, struct arena *arena, const struct order *order, const struct pg_table *leaf, struct pg_due *ret_due,
              struct err *err) MUST_CHECK;

/* TIME_NEVER and ids that do not fit are left out. */
const struct pg_group *pg_groups(struct arena *arena, const struct pg_tenant_type *type, const struct scope_tenant *tenants,
                                 size_t n_tenants, size_t *ret_count);

enum pg_blocked { PG_BLOCKED_NOT, PG_BLOCKED_ONLY, PG_BLOCKED_EITHER };

/* FROM: "ONLY leaf AS t JOIN … AS v1 ON …". */
void pg_add_source(struct pg_sql *sql, const struct pg_due *due);
/* "DELETE FROM ONLY leaf AS t USING … WHERE joins AND " and "UPDATE ONLY leaf AS t SET sets FROM values, … WHERE joins AND "
 * (values may be NULL); the row changed is t, or, where `only` is set, z with the same ctid. */
void pg_add_delete(struct pg_sql *sql, const struct pg_due *due);
void pg_add_update(struct pg_sql *sql, const struct pg_due *due, const char *sets, const char *values);
/* The tenant's column; "''" where there are no tenants. */
void pg_add_tenant(struct pg_sql *sql, const struct pg_due *due);
/* AND-able conditions. The whole predicate of an order is scope and rest. */
void pg_add_scope(struct pg_sql *sql, const struct pg_due *due, const struct scope *scope);
void pg_add_rest(struct pg_sql *sql, const struct pg_due *due, enum pg_blocked blocked);
/* What the order itself asks for: due and free, or, for blocked_only, due and blocked. */
enum pg_blocked pg_blocked_of(const struct order *order);
/* The anchor is before the cutoff, and is not -infinity. Nothing but "true" without an anchor. */
void pg_add_before(struct pg_sql *sql, const struct pg_due *due, const struct pg_column *anchor, int64_t cutoff_us);
/* The cutoff in the terms of the order's anchor. */
void pg_add_cutoff(struct pg_sql *sql, const struct pg_due *due, int64_t cutoff_us);
/* ", key, …": the identity of the alias's row; values that pg_value_text reads. */
void pg_add_key(struct pg_sql *sql, const struct pg_table *table, const char *alias);
/* t."column". */
void pg_add_column(struct pg_sql *sql, const char *alias, const struct pg_column *column);
/* "The row of this alias is at that place", also when it was changed while the statement waited for its lock: then the server asks
 * again, of the row as it is now and of everything else as it was, and what says that the row may go is about the one that it was.
 * Releases before November 2025 do not ask "ctid = …" again where it served as the way to the row; the two bounds are no way to it. */
void pg_add_at(struct pg_sql *sql, const char *alias, const char *place);
/* The instant that a value of the anchor stands for (a date: its end) as microseconds; `value` is SQL. The other is one that
 * pg_value_instant reads: no arithmetic for the server. */
void pg_add_moment(struct pg_sql *sql, const struct pg_due *due, const char *value);
void pg_add_instant(struct pg_sql *sql, const struct pg_due *due, const char *value);
/* true if a row of this blocker refers to t (and, with `going`, stays). */
void pg_add_blocker(struct pg_sql *sql, const struct pg_due *due, const struct pg_blocker *blocker);
/* true if a row of this dependent, which is a target of its own, is still there (and, with `going`, stays). */
void pg_add_dependent_left(struct pg_sql *sql, const struct pg_due *due, const struct pg_dependent *dependent);
/* " AND NOT …" for what refers to the dependents that go when t is anonymized: it waits. */
void pg_add_free_to_change(struct pg_sql *sql, const struct pg_due *due);
/* " AND NOT …" for, and " AND (… OR …)" of, everything that blocks. */
void pg_add_not_blocked(struct pg_sql *sql, const struct pg_due *due);
void pg_add_blocked(struct pg_sql *sql, const struct pg_due *due);
/* FROM: "d0 JOIN d1 ON …" and, AND-able, the tie of the last one to t. The dependent's row is d0; for a tree only those
 * right below the target or the dependent above. */
void pg_add_path(struct pg_sql *sql, const struct pg_dependent *dependent, size_t from);
void pg_add_path_tie(struct pg_sql *sql, const struct pg_dependent *dependent);
/* "WITH RECURSIVE tree(o, c, …) AS (…)": tableoid and ctid (as text) of every row of a dependent that is a tree, for the rows t of
 * `source` that meet `condition`. */
void pg_add_tree(struct pg_sql *sql, const struct pg_dependent *dependent, const char *source, const char *condition);
/* "SELECT columns FROM …": the rows d0 of a dependent, of a tree all of them, for the rows t of `source` that meet `condition`.
 * More conditions may follow with AND. */
void pg_add_dependents(struct pg_sql *sql, const struct pg_dependent *dependent, const char *columns, const char *source, const char *condition);
/* "a.x = b.y AND …" of one link. */
void pg_add_link(struct pg_sql *sql, const struct pg_link *link, const char *child, const char *parent);

/* Who has anything due on this table: asks inside a transaction. Where there are no tenants, one candidate "". */
struct pg_candidate {
    const char *tenant;
    int64_t cutoff_us, oldest_us, end_us; /* as in struct tenant_count and struct scope_tenant */
};
int pg_candidates(struct pg_store *store, const struct pg_due *due, enum pg_blocked blocked, const struct portion *portion, struct arena *arena,
                  struct pg_candidate **ret_candidates, size_t *ret_count, struct err *err) MUST_CHECK;

static inline void pg_arena_free(struct arena **arena) { arena_free(*arena); }

#endif
