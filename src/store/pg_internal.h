/* What the PostgreSQL driver's files share. pg.c: connection, deadlines; pg_driver.c: the driver's table, settle; pg_tenants.c: the tenants
 * query; pg_bind.c: targets bound to the catalog; pg_check.c: faults, advice; pg_grants.c, pg_draft.c; pg_compile.c: the one place
 * that turns an order into SQL, with pg_sql.c (statements, ids) and pg_references.c (what hangs on a record); pg_count.c: probe,
 * count; pg_batch.c: passes, prepare, finish; pg_run.c, pg_shape.c: how a batch is chosen and where the next begins; pg_take.c: what a batch
 * does; pg_taken.c: by tenant; pg_value.c: binary values; pg_drop.c: leaves that go whole; pg_anonymize.c: strategies; pg_explain.c; pg_pressure.c: how others fare. */
#ifndef LAPSED_STORE_PG_INTERNAL_H
#define LAPSED_STORE_PG_INTERNAL_H

#include "store/pg.h"

#include <libpq-fe.h>

/* How the value of an anchor column is read. */
enum pg_time { PG_TIME_NONE, PG_TIME_TIMESTAMPTZ, PG_TIME_TIMESTAMP, PG_TIME_DATE, PG_TIME_INTEGER };

struct pg_column {
    const char *name;   /* as in the catalog */
    const char *quoted; /* as an identifier in SQL */
    const char *type;   /* format_type(): "character varying(20)": for casts of parameters */
    Oid type_oid;       /* base type of a domain */
    int16_t number;     /* attnum */
    int length;         /* of varchar(n), char(n), bit(n); -1: none */
    bool not_null, unique /* alone in a unique index */, generated, is_array;
    bool loose; /* its collation calls different texts equal */
    enum pg_time time;
};

/* A table as the catalog has it. Leaves of a partitioned table are tables of their own. */
struct pg_table {
    Oid oid;
    const char *schema, *name;
    const char *quoted; /* "\"public\".\"invoices\"" */
    char kind;          /* relkind: 'r' table, 'p' partitioned */
    bool inherited;     /* has old-style children or parents: refused */
    const struct pg_column *columns;
    size_t n_columns;
    const size_t *key;  /* indexes into columns: the identity (primary key, or the unique index that `key` names) */
    size_t n_key;       /* 0: ctid */
    const struct pg_table *const *leaves; /* kind 'p': its leaf partitions; else itself alone */
    size_t n_leaves;
};

/* A child that refers to a parent, by a foreign key or by convention. columns[i] are indexes into the tables' columns. */
struct pg_link {
    const struct pg_table *child, *parent;
    size_t child_columns[MOST_JOIN_COLUMNS], parent_columns[MOST_JOIN_COLUMNS];
    size_t n_columns;
    bool foreign_key;
    char on_delete; /* confdeltype: 'a' no action, 'r' restrict, 'c' cascade, 'n' set null, 'd' set default */
    bool deferrable;
};

/* A declared dependent, bound. Ordered so that children come before their parents: [0] may be deleted first. */
struct pg_dependent {
    const struct dependent *conf;
    const struct pg_table *table;
    /* From this table up to the target: path[0].child is this table, path[n_path - 1].parent the target. */
    const struct pg_link *path;
    size_t n_path;
    /* path[tree] leads from a table to itself and is gone along again and again (all descendants go); n_path: there is
     * no such step. */
    size_t tree;
    bool self; /* tree == 0: it is the tree, and not something that hangs on one */
    /* It is a target of its own: it blocks its parent while its own record is not due. NULL: it is not. */
    const struct target *own_target;
};

/* What still refers to a target's record (or to one of its dependents) and is not a declared dependent: the record is
 * blocked while such a row exists. */
struct pg_blocker {
    struct pg_link link;        /* link.parent is the target's table or a dependent's */
    const struct pg_dependent *through; /* the dependent that is referred to; NULL: the target itself */
};

/* A target bound to the catalog. */
struct pg_bound {
    const struct target *target;
    bool bad; /* must not be compiled */
    const struct pg_table *table;
    /* The tenant's column: of the target's table (n_via 0), or of the last table of the chain via[]. */
    const struct pg_column *tenant;
    const struct pg_link *via; /* via[0].child is the target's table; via[n_via - 1].parent has the tenant column */
    size_t n_via;
    const struct pg_column *since;            /* NULL: none */
    const struct pg_column *ends[MOST_ENDS];  /* of target.ends */
    const struct pg_column *marker;           /* NULL: none */
    const struct pg_column *const *columns;   /* of target.columns[i]; same count */
    const struct pg_dependent *dependents;
    size_t n_dependents;
    const struct pg_blocker *blockers;
    size_t n_blockers;
    bool index_tenant_since;  /* an index that begins with (tenant, since) or, without since, with (tenant) */
    bool index_since;         /* an index that begins with since */
    double rows;              /* the planner's estimate */
};

/* pg_references.c: true if something else may stand on the rows of this dependent: another one, or what would block. Such rows
 * are locked before anything goes. */
bool pg_carries(const struct pg_bound *bound, const struct pg_dependent *dependent);

/* One connection. */
struct pg_store {
    struct store_base base; /* first */
    PGconn *connection;     /* NULL: not connected */
    int server_version;
    bool in_transaction;
    struct pass *prepared;  /* between prepare and finish: its pass */
    int64_t statement_timeout_us, lock_timeout_us;
    int wake;               /* an eventfd: interrupt() makes the next or present wait end */
    char *password;         /* ours; NULL: none */
    char server_start[64];  /* of the server that is connected, or its last recovery: UTC text */
    char refused_table[64]; /* see pg_refused_table */
    const struct tenants *known;   /* all tenants there are; NULL: not told */
    struct arena *catalog;         /* what `bound` lives in: renewed by each check */
    struct pg_bound *bound;        /* by target.number; entries of other stores' targets are zero */
    struct pg_gone *gone;          /* of the catalog's arena */
    size_t n_gone;
};

/* pg_shape.c: how many records of a table went since the last check. An index still leads to all of them, and looking what is left is
 * faster without it then. */
struct pg_gone {
    const struct pg_table *leaf;
    int64_t records, n_blocks;
};
void pg_note_gone(struct pg_store *store, const struct pg_table *leaf, int64_t records, int64_t n_blocks);
bool pg_is_emptied(const struct pg_store *store, const struct pg_table *leaf);

/* pg.c */
/* Connects unless connected. */
int pg_connect(struct pg_store *store, struct err *err) MUST_CHECK;
void pg_disconnect(struct pg_store *store);
/* Sends one statement with text parameters (NULL = SQL NULL) and waits for its result until the deadline; types may be NULL.
 * On success *ret_result (PGRES_TUPLES_OK or PGRES_COMMAND_OK) is the caller's: use the cleanup attribute. A server error becomes
 * ERR_REFUSED or, for the classes that pass by themselves (08, 40, 53, 55P03, 57), ERR_UNAVAILABLE; err.detail = SQLSTATE; the text says in
 * our words what it means (42501 "permission denied; lapsectl grants prints what is needed", 55P03 "waited too long for a lock"…). */
int pg_query(struct pg_store *store, const char *sql, int n_parameters, const char *const *parameters, PGresult **ret_result,
             struct err *err) MUST_CHECK;
/* The same with values in their binary form (store/pg_value.h). */
int pg_query_binary(struct pg_store *store, const char *sql, int n_parameters, const char *const *parameters, PGresult **ret_result,
                    struct err *err) MUST_CHECK;
void pg_result_free(PGresult **result); /* for the cleanup attribute */
#define PG_RESULT __attribute__((cleanup(pg_result_free))) PGresult *
/* BEGIN with our settings (timeouts, UTC, search_path left as the role has it, READ ONLY in a read-only store; planner pinned on request). */
int pg_begin(struct pg_store *store, bool pin_planner, struct err *err) MUST_CHECK;
int pg_rollback(struct pg_store *store, struct err *err) MUST_CHECK;
/* As pg_begin, with further settings ("SET LOCAL …;", may be "") in the same round trip. */
int pg_begin_with(struct pg_store *store, const char *settings, struct err *err) MUST_CHECK;
/* Several statements without parameters and without rows, in one round trip. */
int pg_script(struct pg_store *store, const char *sql, struct err *err) MUST_CHECK;
/* COMMIT: 0 committed; ERR_UNKNOWN the answer was lost; ERR_REFUSED or ERR_UNAVAILABLE rolled back. interrupt() does not end it. */
int pg_commit(struct pg_store *store, struct err *err) MUST_CHECK;
/* The name of the table that the last refused statement's constraint belongs to (a foreign key), or "". */
const char *pg_refused_table(const struct pg_store *store);
/* An answer of any length, within a transaction: some rows are asked for at a time, and the deadline is for each time, not for all.
 * When `each` returns -1 the rest is not read. */
typedef int pg_row(void *context, const PGresult *rows, int row, struct err *err);
int pg_stream(struct pg_store *store, const char *sql, pg_row *each, void *context, struct err *err) MUST_CHECK;
/* Arrays as parameters: {"a","b"} with quoting; instants as ISO text with microseconds and +00. */
void pg_add_array_item(struct buf *array, const char *text); /* NULL gives NULL; the caller writes the braces */
/* "name" with inner quotes doubled: the one place where identifiers are quoted. Refuses (returns NULL) an empty name. */
char *pg_quote(struct arena *arena, const char *name);

/* pg_bind.c */
int pg_bind(struct pg_store *store, struct faults *faults, bool *bad, struct err *err) MUST_CHECK;
const struct pg_bound *pg_bound_of(const struct pg_store *store, const struct target *target);

/* One function for each slot of the driver, in the file that the list at the top names. */
int pg_tenants(struct store *store, const char *const *ids, size_t n_ids, tenant_sink *sink, void *context, struct err *err);
int pg_tenants_tables(struct store *store, struct arena *arena, const char *const **ret_names, size_t *ret_count, struct err *err);
int pg_check(struct store *store, struct faults *faults, bool *bad, struct err *err);
int pg_advise(struct store *store, struct arena *arena, const struct finding **ret_findings, size_t *ret_count, struct err *err);
int pg_grants(struct store *store, const char *role, struct buf *to, struct err *err);
int pg_draft(struct store *store, struct buf *to, struct err *err);
int pg_probe(struct store *store, const struct order *const *orders, size_t n_orders, struct arena *arena, struct tally *tallies, struct err *err);
int pg_size(struct store *store, const struct target *target, int64_t most, struct arena *arena, int64_t *ret_records, struct err *err);
int pg_count(struct store *store, const struct order *const *orders, size_t n_orders, struct arena *arena, struct tally *tallies, struct err *err);
void pg_know(struct store *store, const struct tenants *tenants);
int pg_undecidable(struct store *store, const struct target *target, int64_t now_us, struct arena *arena,
                   const struct undecidable **ret_items, size_t *ret_count, struct err *err);
int pg_pass_begin(struct store *store, const struct order *const *orders, size_t n_orders, const struct portion *portion, struct pass **ret_pass,
                  struct err *err);
int pg_pass_prepare(struct store *store, struct pass *pass, size_t limit, struct arena *arena, const struct batch **ret_batch,
                    const struct order **ret_failed, struct err *err);
int pg_pass_finish(struct store *store, struct pass *pass, bool commit, struct outcome *ret_outcome, struct err *err);
void pg_pass_exclude(struct store *store, struct pass *pass, const struct order *order, const char *tenant);
void pg_pass_end(struct store *store, struct pass *pass);
int pg_settle(struct store *store, const char *transaction, const char *server, enum settled *ret_settled, struct err *err);
int pg_pressure(struct store *store, const char *query, struct pressure *ret_pressure, struct err *err);
int pg_explain(struct store *store, const struct target *target, const char *key, struct arena *arena, struct record_facts *ret_facts,
               struct err *err);


#endif
