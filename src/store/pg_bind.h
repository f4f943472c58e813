/* A binding: the schedule's targets of one store, tied to the catalog. check keeps one in the store; advise, grants and
 * draft make one of their own and throw it away. */
#ifndef LAPSED_STORE_PG_BIND_H
#define LAPSED_STORE_PG_BIND_H

#include "store/pg_catalog.h"

struct binding {
    struct pg_store *store;
    const struct schedule *schedule;
    struct pg_catalog *catalog;
    struct faults *faults;
    struct pg_bound *bound; /* by target.number; entries without a table could not be bound at all */
};

/* Adds "\"RULE\": text" at this place and marks the target as not to be swept. */
void pg_fault(struct binding *binding, const struct target *target, struct place place, const char *format, ...) PRINTF_LIKE(4, 5);

bool pg_is_ours(const struct pg_store *store, const struct target *target);
/* Everything of the binding lives in `arena`. Returns -1 only if the server could not be asked. */
int pg_bind_into(struct pg_store *store, struct arena *arena, struct faults *faults, struct binding *ret_binding, struct err *err) MUST_CHECK;
/* Makes it the store's, arena included, and reports the bad targets. */
void pg_bind_keep(struct binding *binding, bool *bad);

/* pg_bind_references.c: each adds its faults. */
void pg_bind_via(struct binding *binding, struct pg_bound *bound);
void pg_bind_dependents(struct binding *binding, struct pg_bound *bound);
/* After all targets have their tables and dependents. */
void pg_bind_own_targets(struct binding *binding, struct pg_bound *bound);
void pg_bind_blockers(struct binding *binding, struct pg_bound *bound);
/* A column by name; NULL, with a fault at `place` that suggests the nearest one, if the table has none. */
const struct pg_column *pg_bind_column(struct binding *binding, const struct pg_bound *bound, const struct pg_table *table,
                                       struct place place, const char *what, const char *name);
/* A table that can be swept, or NULL with a fault that says what to write instead. */
struct pg_relation *pg_bind_table(struct binding *binding, const struct target *target, struct place place, const char *name);

/* "FROM a AS v1, b AS v2 WHERE t.x = v1.y AND v1.z = v2.w": the chain from a record t to the table that has its tenant. */
const char *pg_via_chain(struct arena *arena, const struct pg_bound *bound);

/* The foreign key as a link between these two tables (its own, or partitions or parents of them); false: it does not tie
 * them, or with too many columns. */
bool pg_link_of(const struct pg_foreign_key *key, const struct pg_relation *child, const struct pg_relation *parent, struct pg_link *ret_link);
bool pg_links_equal(const struct pg_link *a, const struct pg_link *b);
/* The declared dependent, or NULL, that this foreign key to `through` (NULL: the target) is. */
const struct pg_dependent *pg_declared(const struct pg_bound *bound, const struct pg_foreign_key *key, const struct pg_relation *parent);
/* "child.column" or "child.a = parent.b, child.c = parent.d": the line to paste under `dependents`. */
const char *pg_join_line(const struct binding *binding, const struct pg_bound *bound, const struct pg_link *link);
/* Does the rule ever destroy (not only anonymize)? */
bool pg_rule_purges(const struct rule *rule);
/* The columns of `link`, on the side of the child, as "a, b". */
const char *pg_link_columns(struct arena *arena, const struct pg_link *link, bool of_parent);

#endif
