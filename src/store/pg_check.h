/* The checks of a binding, one file for each noun; each adds its faults and returns -1 only if the server could not be
 * asked. */
#ifndef LAPSED_STORE_PG_CHECK_H
#define LAPSED_STORE_PG_CHECK_H

#include "store/pg_bind.h"

/* pg_check_columns.c: the strategies of `columns`, of targets and of dependents. */
int pg_check_columns(struct binding *binding, const struct pg_bound *bound, struct err *err) MUST_CHECK;
/* pg_check_references.c: via, dependents, cascades, tables under at_least. */
void pg_check_references(struct binding *binding, const struct pg_bound *bound);
/* pg_check_tenants.c: the tenants query, and the tenant's own records. */
int pg_check_tenants(struct binding *binding, struct err *err) MUST_CHECK;

/* pg_reads.c: EXPLAIN in a transaction that cannot write. ret_plan may be NULL. */
int pg_explain_plan(struct pg_store *store, const char *sql, PGresult **ret_plan, struct err *err) MUST_CHECK;
/* The relations that the tenants query reads (partitions also as their topmost table). A role that may not read them
 * gets ERR_REFUSED. */
int pg_reads(struct pg_store *store, const struct pg_catalog *catalog, const char *query, const struct pg_relation ***ret_relations,
             size_t *ret_count, struct err *err) MUST_CHECK;
/* The column that the query's `tenant` plainly is; *ret_relation = NULL where it is computed. */
int pg_tenant_source(struct pg_store *store, const struct pg_catalog *catalog, const char *query, const struct pg_relation **ret_relation,
                     const char **ret_column, struct err *err) MUST_CHECK;
/* The relations that a text of SQL seems to name: those whose name is one of its words. */
size_t pg_named_relations(const struct pg_catalog *catalog, const char *sql, const struct pg_relation ***ret_relations);
/* True if `name` is a word of the SQL text outside string constants and comments (letter case as the server folds it). */
bool pg_sql_names(const char *sql, const char *name);

/* pg_needs.c: the privileges that the targets need on one relation. What the tenants query reads is not among them: its
 * check is to run it. */
struct pg_need {
    const struct pg_relation *relation;
    const struct target *target; /* the first one that needs it */
    bool select, delete;
    bool *select_columns, *update_columns; /* as table.columns */
};
bool pg_need_writes(const struct pg_need *need);
size_t pg_needs(const struct binding *binding, struct pg_need **ret_needs);
/* This relation's need, added if there is none yet; valid until the next one is added. */
struct pg_need *pg_need_of(struct arena *arena, struct pg_need **needs, size_t *count, const struct pg_relation *relation, const struct target *target);

/* pg_cover.c: tables that hold tenants' records and that no rule covers. */
int pg_cover(const struct binding *binding, struct arena *arena, struct finding **findings, size_t *n_findings, struct err *err) MUST_CHECK;
/* pg_wide.c: what the role may do and the schedule does not need. */
int pg_wide(struct binding *binding, struct arena *arena, struct finding **findings, size_t *n_findings, struct err *err) MUST_CHECK;
/* pg_endpoint.c: is this a server that can be written to, and that keeps what is committed? Not: ERR_UNAVAILABLE, ERR_CONFIG. */
int pg_endpoint(struct pg_store *store, struct arena *arena, struct finding **findings, size_t *n_findings, struct err *err) MUST_CHECK;

/* Types whose values stand for a tenant the same way in every store. */
bool pg_type_identifies(Oid type);
bool pg_type_is_text(const struct pg_column *column);
bool pg_types_comparable(const struct pg_column *a, const struct pg_column *b);
/* Does anything of the rule anonymize? */
bool pg_rule_anonymizes(const struct rule *rule);

#endif
