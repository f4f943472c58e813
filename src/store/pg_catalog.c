#include "store/pg_catalog.h"

#include <assert.h>
#include <string.h>

/* The numbers of an int2[] ("{1,2}") or int2vector ("1 2"). */
static const int16_t *cell_numbers(struct arena *arena, const PGresult *result, int row, int column, size_t *ret_count) {
    int16_t *numbers = NULL;
    size_t count = 0;
    for (const char *at = pg_cell(result, row, column); *at;) {
        if (*at == '{' || *at == '}' || *at == ',' || *at == ' ') {
            at++;
            continue;
        }
        char *end;
        long number = strtol(at, &end, 10);
        if (end == at) break;
        *ARENA_APPEND(arena, numbers, count) = (int16_t)number;
        at = end;
    }
    *ret_count = count;
    return numbers;
}

struct pg_relation *pg_catalog_by_oid(const struct pg_catalog *catalog, Oid oid) {
    size_t from = 0, to = catalog->n_relations;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        Oid here = catalog->relations[middle].table.oid;
        if (here == oid) return &catalog->relations[middle];
        if (here < oid) from = middle + 1;
        else to = middle;
    }
    return NULL;
}

/* tgenabled 'D' is off; RI triggers are internal. A role that lacks USAGE on its schema sees the relation all the same. */
static const char relations_sql[] =
    "SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, c.relispartition,"
    " n.nspname IN ('pg_catalog', 'information_schema'), row_security_active(c.oid),"
    " has_schema_privilege(n.oid, 'USAGE'), has_table_privilege(c.oid, 'SELECT'), has_table_privilege(c.oid, 'DELETE'),"
    " has_any_column_privilege(c.oid, 'UPDATE'),"
    " c.relhastriggers AND EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal"
    "   AND t.tgenabled <> 'D' AND t.tgtype & 24 <> 0),"
    " c.relhasrules AND c.relkind IN ('r', 'p') AND EXISTS (SELECT FROM pg_catalog.pg_rewrite r WHERE r.ev_class = c.oid"
    "   AND r.ev_type IN ('2', '4') AND r.ev_enabled <> 'D'),"
    " c.relhasrules AND c.relkind IN ('r', 'p') AND EXISTS (SELECT FROM pg_catalog.pg_rewrite r WHERE r.ev_class = c.oid"
    "   AND r.ev_type IN ('2', '4') AND r.is_instead AND r.ev_enabled <> 'D'),"
    /* Never analyzed: at least as many as its size says, of rows of 100 bytes. */
    " CASE WHEN c.reltuples < 0 AND c.relkind = 'r' AND c.oid NOT IN (SELECT l.relation FROM pg_catalog.pg_locks AS l"
    "   WHERE l.mode = 'AccessExclusiveLock' AND l.relation IS NOT NULL)" /* for the size of a table that somebody has to himself one waits */
    "  THEN coalesce(pg_relation_size(c.oid), 0) / 100 ELSE greatest(c.reltuples, 0) END, c.relrowsecurity"
    " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_toast' ORDER BY c.oid";

static int read_relations(struct pg_store *store, struct pg_catalog *catalog, struct err *err) {
    PG_RESULT result = NULL;
    if (pg_query(store, relations_sql, 0, NULL, &result, err)) return -1;
    struct arena *arena = catalog->arena;
    int count = PQntuples(result);
    catalog->n_relations = (size_t)count;
    catalog->relations = ARENA_ARRAY(arena, struct pg_relation, (size_t)count);
    for (int i = 0; i < count; i++) {
        struct pg_relation *relation = &catalog->relations[i];
        struct pg_table *table = &relation->table;
        table->oid = pg_cell_oid(result, i, 0);
        table->schema = arena_strdup(arena, pg_cell(result, i, 1));
        table->name = arena_strdup(arena, pg_cell(result, i, 2));
        table->quoted = arena_printf(arena, "%s.%s", pg_quote(arena, table->schema), pg_quote(arena, table->name));
        table->kind = pg_cell(result, i, 3)[0];
        relation->persistence = pg_cell(result, i, 4)[0];
        relation->partition = pg_cell_true(result, i, 5);
        relation->system = pg_cell_true(result, i, 6);
        relation->hidden_rows = pg_cell_true(result, i, 7);
        relation->may_use = pg_cell_true(result, i, 8);
        relation->may_select = pg_cell_true(result, i, 9);
        relation->may_delete = pg_cell_true(result, i, 10);
        relation->may_update = pg_cell_true(result, i, 11);
        relation->triggers = pg_cell_true(result, i, 12);
        relation->rules = pg_cell_true(result, i, 13);
        relation->instead = pg_cell_true(result, i, 14);
        relation->rows = strtod(pg_cell(result, i, 15), NULL);
        relation->row_security = pg_cell_true(result, i, 16);
    }
    return 0;
}

static int read_inheritance(struct pg_store *store, struct pg_catalog *catalog, struct err *err) {
    PG_RESULT result = NULL;
    if (pg_query(store, "SELECT inhrelid, inhparent FROM pg_catalog.pg_inherits", 0, NULL, &result, err)) return -1;
    for (int i = 0; i < PQntuples(result); i++) {
        struct pg_relation *child = pg_catalog_by_oid(catalog, pg_cell_oid(result, i, 0));
        struct pg_relation *parent = pg_catalog_by_oid(catalog, pg_cell_oid(result, i, 1));
        if (!child || !parent) continue; /* indexes inherit too */
        if (child->partition) child->partition_of = parent;
        else child->table.inherited = parent->table.inherited = true;
    }
    return 0;
}

static int read_foreign_keys(struct pg_store *store, struct pg_catalog *catalog, struct err *err) {
    PG_RESULT result = NULL;
    if (pg_query(store,
                 "SELECT conrelid, confrelid, conkey, confkey, confdeltype, condeferrable FROM pg_catalog.pg_constraint"
                 " WHERE contype = 'f' AND conparentid = 0 ORDER BY oid",
                 0, NULL, &result, err))
        return -1;
    struct pg_foreign_key *keys = NULL;
    size_t count = 0;
    for (int i = 0; i < PQntuples(result); i++) {
        struct pg_relation *child = pg_catalog_by_oid(catalog, pg_cell_oid(result, i, 0));
        struct pg_relation *parent = pg_catalog_by_oid(catalog, pg_cell_oid(result, i, 1));
        if (!child || !parent) continue;
        struct pg_foreign_key *key = ARENA_APPEND(catalog->arena, keys, count);
        size_t parent_count;
        key->child = child;
        key->parent = parent;
        key->child_columns = cell_numbers(catalog->arena, result, i, 2, &key->n_columns);
        key->parent_columns = cell_numbers(catalog->arena, result, i, 3, &parent_count);
        assert(parent_count == key->n_columns);
        key->on_delete = pg_cell(result, i, 4)[0];
        key->deferrable = pg_cell_true(result, i, 5);
    }
    catalog->foreign_keys = keys;
    catalog->n_foreign_keys = count;
    return 0;
}

/* current_schemas() leaves out what the role may not use; a schema that grants still has to open is looked into as well. */
static int read_session(struct pg_store *store, struct pg_catalog *catalog, struct err *err) {
    PG_RESULT result = NULL;
    if (pg_query(store,
                 "SELECT CASE WHEN s = '\"$user\"' THEN current_user::text WHEN s LIKE '\"%' THEN replace(btrim(s, '\"'), '\"\"', '\"')"
                 " ELSE lower(s) END, current_user, current_database()"
                 " FROM regexp_split_to_table(current_setting('search_path') || ',pg_catalog', '\\s*,\\s*') WITH ORDINALITY p(s, n)"
                 " ORDER BY n",
                 0, NULL, &result, err))
        return -1;
    size_t count = (size_t)PQntuples(result);
    const char **schemas = ARENA_ARRAY(catalog->arena, const char *, count);
    for (size_t i = 0; i < count; i++) schemas[i] = arena_strdup(catalog->arena, pg_cell(result, (int)i, 0));
    catalog->search_path = schemas;
    catalog->n_search_path = count;
    catalog->role = arena_strdup(catalog->arena, pg_cell(result, 0, 1));
    catalog->database = arena_strdup(catalog->arena, pg_cell(result, 0, 2));
    return 0;
}

int pg_catalog_read(struct pg_store *store, struct arena *arena, struct pg_catalog **ret_catalog, struct err *err) {
    struct pg_catalog *catalog = ARENA_NEW(arena, struct pg_catalog);
    catalog->arena = arena;
    if (read_session(store, catalog, err) || read_relations(store, catalog, err) || read_inheritance(store, catalog, err) ||
        read_foreign_keys(store, catalog, err))
        return -1;
    *ret_catalog = catalog;
    return 0;
}

bool pg_relation_within(const struct pg_relation *inner, const struct pg_relation *outer) {
    for (; inner; inner = inner->partition_of)
        if (inner == outer) return true;
    return false;
}
