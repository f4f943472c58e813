/* What the driver reads of the server's catalog, set-wise: every relation and foreign key once, columns and indexes of
 * those relations that somebody asks for. Readable by a role without any privilege of its own. */
#ifndef LAPSED_STORE_PG_CATALOG_H
#define LAPSED_STORE_PG_CATALOG_H

#include "store/pg_internal.h"

#include <stdlib.h>

struct pg_index {
    const char *name;
    const int16_t *columns; /* attnum of each key column, in order; 0: an expression */
    size_t n_columns;
    bool unique, primary, valid, partial, expression, immediate, ordered /* btree */, nulls_equal;
};

struct pg_relation {
    struct pg_table table; /* first; columns, key and leaves only after pg_catalog_load */
    char persistence;      /* relpersistence */
    bool system;           /* pg_catalog, information_schema */
    bool partition;        /* is one of a partitioned table */
    struct pg_relation *partition_of; /* the table it is a partition of; NULL: none */
    bool row_security;     /* it has row-level security, for whomever */
    bool hidden_rows;      /* row-level security would hide rows from this role */
    bool may_use, may_select, may_delete, may_update; /* this role's privileges: schema, table, table, any column */
    bool triggers, rules;  /* triggers that do more than enforce constraints; rules */
    bool instead;          /* a rule that does something else instead of an UPDATE or DELETE */
    double rows;           /* the planner's estimate */
    bool wanted, loaded;
    const bool *may_select_column, *may_update_column; /* as table.columns */
    const struct pg_index *indexes;
    size_t n_indexes;
};

/* One foreign key as declared (not its copies on partitions). */
struct pg_foreign_key {
    struct pg_relation *child, *parent;
    const int16_t *child_columns, *parent_columns; /* attnum */
    size_t n_columns;
    char on_delete;
    bool deferrable;
};

struct pg_catalog {
    struct arena *arena;
    struct pg_relation *relations; /* by oid */
    size_t n_relations;
    const struct pg_foreign_key *foreign_keys;
    size_t n_foreign_keys;
    const char *const *search_path; /* schemas in the order in which a bare name is looked up */
    size_t n_search_path;
    const char *role, *database;
};

/* Everything but columns and indexes. */
int pg_catalog_read(struct pg_store *store, struct arena *arena, struct pg_catalog **ret_catalog, struct err *err) MUST_CHECK;
/* Columns, indexes and leaves of all relations that are `wanted` and of their leaves. */
int pg_catalog_load(struct pg_store *store, struct pg_catalog *catalog, struct err *err) MUST_CHECK;

/* "table" by the search path, or "schema.table", spelt as in the catalog; NULL: there is none. */
struct pg_relation *pg_catalog_find(const struct pg_catalog *catalog, const char *name);
struct pg_relation *pg_catalog_by_oid(const struct pg_catalog *catalog, Oid oid);
/* The name nearest to one that does not exist, NULL if none is near. As it has to be written. */
const char *pg_catalog_nearest(const struct pg_catalog *catalog, const char *name);
/* As it has to be written in a schedule: "table" where the search path finds it, else "schema.table". */
const char *pg_relation_name(const struct pg_catalog *catalog, const struct pg_relation *relation);
/* True if a row of `inner` is a row of `outer`: the same table, or a partition of it at any depth. */
bool pg_relation_within(const struct pg_relation *inner, const struct pg_relation *outer);

static inline const struct pg_relation *pg_relation_of(const struct pg_table *table) {
    return (const struct pg_relation *)(const void *)table;
}

enum { PG_NO_COLUMN = -1 };
/* Index into table.columns, or PG_NO_COLUMN. */
int pg_column_find(const struct pg_table *table, const char *name);
int pg_column_by_number(const struct pg_table *table, int16_t number);
const char *pg_column_nearest(const struct pg_table *table, const char *name);
/* True if a whole, valid unique index covers these columns (indexes into table.columns) or some of them. */
bool pg_columns_unique(const struct pg_table *table, const size_t *columns, size_t n_columns);
/* A valid index without a condition that begins with these columns, in any order. */
bool pg_columns_indexed(const struct pg_table *table, const size_t *columns, size_t n_columns);

/* Cells of a result in text format. */
static inline const char *pg_cell(const PGresult *result, int row, int column) { return PQgetvalue(result, row, column); }
static inline bool pg_cell_true(const PGresult *result, int row, int column) { return PQgetvalue(result, row, column)[0] == 't'; }
static inline Oid pg_cell_oid(const PGresult *result, int row, int column) {
    return (Oid)strtoul(PQgetvalue(result, row, column), NULL, 10);
}

/* Edits (insertions, deletions, replacements; case does not count) that turn one name into the other; SIZE_MAX: too far
 * to be meant. */
size_t pg_name_distance(const char *a, const char *b);

#endif
