/* Columns, indexes and leaves of the relations that somebody asked for. */
#include "store/pg_catalog.h"

#include <string.h>

/* Base types by their fixed numbers (pg_type.dat). */
enum { INT8 = 20, INT2 = 21, INT4 = 23, BPCHAR = 1042, VARCHAR = 1043, DATE = 1082, TIMESTAMP = 1114, TIMESTAMPTZ = 1184, BIT = 1560, VARBIT = 1562 };

static enum pg_time time_of(Oid type) {
    switch (type) {
    case TIMESTAMPTZ: return PG_TIME_TIMESTAMPTZ;
    case TIMESTAMP: return PG_TIME_TIMESTAMP;
    case DATE: return PG_TIME_DATE;
    case INT2:
    case INT4:
    case INT8: return PG_TIME_INTEGER;
    default: return PG_TIME_NONE;
    }
}

static int length_of(Oid type, int modifier) {
    if (modifier < 0) return -1;
    if (type == VARCHAR || type == BPCHAR) return modifier - 4; /* VARHDRSZ */
    if (type == BIT || type == VARBIT) return modifier;
    return -1;
}

/* Domains are followed down to the type that they stand on; their NOT NULL and their length count. */
static const char columns_sql[] =
    "WITH RECURSIVE domain(type, base, modifier, required) AS ("
    " SELECT oid, typbasetype, typtypmod, typnotnull FROM pg_catalog.pg_type WHERE typtype = 'd'"
    " UNION ALL SELECT d.type, t.typbasetype, greatest(d.modifier, t.typtypmod), d.required OR t.typnotnull"
    " FROM domain d JOIN pg_catalog.pg_type t ON t.oid = d.base WHERE t.typtype = 'd')"
    " SELECT a.attrelid, a.attnum, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), b.oid,"
    " greatest(d.modifier, a.atttypmod), a.attnotnull OR coalesce(d.required, false),"
    " a.attgenerated <> '' OR a.attidentity = 'a', b.typcategory = 'A',"
    " has_column_privilege(a.attrelid, a.attnum, 'SELECT'), has_column_privilege(a.attrelid, a.attnum, 'UPDATE'),"
    " EXISTS (SELECT FROM pg_catalog.pg_collation k WHERE k.oid = a.attcollation AND NOT k.collisdeterministic)"
    " FROM pg_catalog.pg_attribute a"
    " LEFT JOIN (domain d JOIN pg_catalog.pg_type base ON base.oid = d.base AND base.typtype <> 'd') ON d.type = a.atttypid"
    " JOIN pg_catalog.pg_type b ON b.oid = coalesce(d.base, a.atttypid)"
    " WHERE a.attrelid = ANY($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum";

static void fill_column(struct arena *arena, const PGresult *result, int row, struct pg_column *column) {
    column->number = (int16_t)strtol(pg_cell(result, row, 1), NULL, 10);
    column->name = arena_strdup(arena, pg_cell(result, row, 2));
    column->quoted = pg_quote(arena, column->name);
    column->type = arena_strdup(arena, pg_cell(result, row, 3));
    column->type_oid = pg_cell_oid(result, row, 4);
    column->length = length_of(column->type_oid, (int)strtol(pg_cell(result, row, 5), NULL, 10));
    column->not_null = pg_cell_true(result, row, 6);
    column->generated = pg_cell_true(result, row, 7);
    column->is_array = pg_cell_true(result, row, 8);
    column->loose = pg_cell_true(result, row, 11);
    column->time = time_of(column->type_oid);
}

/* Rows of one relation are neighbours: [from, to). */
static int end_of_relation(const PGresult *result, int from) {
    Oid oid = pg_cell_oid(result, from, 0);
    int to = from;
    while (to < PQntuples(result) && pg_cell_oid(result, to, 0) == oid) to++;
    return to;
}

static int load_columns(struct pg_store *store, struct pg_catalog *catalog, const char *oids, struct err *err) {
    PG_RESULT result = NULL;
    if (pg_query(store, columns_sql, 1, &oids, &result, err)) return -1;
    for (int from = 0; from < PQntuples(result);) {
        int to = end_of_relation(result, from);
        struct pg_relation *relation = pg_catalog_by_oid(catalog, pg_cell_oid(result, from, 0));
        if (relation) {
            size_t count = (size_t)(to - from);
            struct pg_column *columns = ARENA_ARRAY(catalog->arena, struct pg_column, count);
            bool *may_select = ARENA_ARRAY(catalog->arena, bool, count), *may_update = ARENA_ARRAY(catalog->arena, bool, count);
            for (size_t i = 0; i < count; i++) {
                fill_column(catalog->arena, result, from + (int)i, &columns[i]);
                may_select[i] = pg_cell_true(result, from + (int)i, 9);
                may_update[i] = pg_cell_true(result, from + (int)i, 10);
            }
            relation->table.columns = columns;
            relation->table.n_columns = count;
            relation->may_select_column = may_select;
            relation->may_update_column = may_update;
        }
        from = to;
    }
    return 0;
}

static const char indexes_sql[] =
    "SELECT i.indrelid, c.relname, i.indisunique, i.indisprimary, i.indisvalid AND i.indisready, i.indpred IS NOT NULL,"
    " i.indexprs IS NOT NULL, i.indimmediate, m.amname = 'btree',"
    " coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false), i.indnkeyatts, i.indkey"
    " FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_am m ON m.oid = c.relam"
    " WHERE i.indrelid = ANY($1::oid[]) ORDER BY i.indrelid, i.indexrelid";

static void fill_index(struct arena *arena, const PGresult *result, int row, struct pg_index *index) {
    index->name = arena_strdup(arena, pg_cell(result, row, 1));
    index->unique = pg_cell_true(result, row, 2);
    index->primary = pg_cell_true(result, row, 3);
    index->valid = pg_cell_true(result, row, 4);
    index->partial = pg_cell_true(result, row, 5);
    index->expression = pg_cell_true(result, row, 6);
    index->immediate = pg_cell_true(result, row, 7);
    index->ordered = pg_cell_true(result, row, 8);
    index->nulls_equal = pg_cell_true(result, row, 9);
    index->n_columns = (size_t)strtoul(pg_cell(result, row, 10), NULL, 10);
    int16_t *columns = ARENA_ARRAY(arena, int16_t, index->n_columns);
    const char *at = pg_cell(result, row, 11); /* int2vector: "2 5"; columns that are only INCLUDEd stand behind */
    for (size_t i = 0; i < index->n_columns; i++) {
        char *end;
        columns[i] = (int16_t)strtol(at, &end, 10);
        at = end;
    }
    index->columns = columns;
}

/* A column that a unique index covers alone; with a condition too, since the condition may hold for all. */
static void mark_unique(struct pg_relation *relation, struct pg_column *columns) {
    for (size_t i = 0; i < relation->n_indexes; i++) {
        const struct pg_index *index = &relation->indexes[i];
        int at = index->unique && index->n_columns == 1 ? pg_column_by_number(&relation->table, index->columns[0]) : PG_NO_COLUMN;
        if (at != PG_NO_COLUMN) columns[at].unique = true;
    }
}

static int load_indexes(struct pg_store *store, struct pg_catalog *catalog, const char *oids, struct err *err) {
    PG_RESULT result = NULL;
    if (pg_query(store, indexes_sql, 1, &oids, &result, err)) return -1;
    for (int from = 0; from < PQntuples(result);) {
        int to = end_of_relation(result, from);
        struct pg_relation *relation = pg_catalog_by_oid(catalog, pg_cell_oid(result, from, 0));
        if (relation) {
            struct pg_index *indexes = ARENA_ARRAY(catalog->arena, struct pg_index, (size_t)(to - from));
            for (int i = from; i < to; i++) fill_index(catalog->arena, result, i, &indexes[i - from]);
            relation->indexes = indexes;
            relation->n_indexes = (size_t)(to - from);
            struct pg_column *columns = arena_grow(catalog->arena, relation->table.columns, relation->table.n_columns,
                                                   relation->table.n_columns, sizeof *columns);
            mark_unique(relation, columns);
            relation->table.columns = columns;
        }
        from = to;
    }
    return 0;
}

static void find_leaves(struct pg_catalog *catalog, struct pg_relation *relation) {
    const struct pg_table **leaves = NULL;
    size_t count = 0;
    if (relation->table.kind != 'p') {
        *ARENA_APPEND(catalog->arena, leaves, count) = &relation->table;
    } else {
        for (size_t i = 0; i < catalog->n_relations; i++) {
            struct pg_relation *leaf = &catalog->relations[i];
            if (leaf->table.kind != 'p' && leaf->partition && pg_relation_within(leaf, relation)) {
                *ARENA_APPEND(catalog->arena, leaves, count) = &leaf->table;
                leaf->wanted = true;
            }
        }
    }
    relation->table.leaves = leaves;
    relation->table.n_leaves = count;
}

int pg_catalog_load(struct pg_store *store, struct pg_catalog *catalog, struct err *err) {
    for (size_t i = 0; i < catalog->n_relations; i++)
        if (catalog->relations[i].wanted && !catalog->relations[i].table.leaves) find_leaves(catalog, &catalog->relations[i]);
    __attribute__((cleanup(buf_free))) struct buf oids = {0};
    buf_add_char(&oids, '{');
    for (size_t i = 0; i < catalog->n_relations; i++) {
        struct pg_relation *relation = &catalog->relations[i];
        if (!relation->wanted || relation->loaded) continue;
        if (!relation->table.leaves) find_leaves(catalog, relation); /* a leaf that was found above: itself */
        relation->loaded = true;
        buf_printf(&oids, "%s%u", oids.length > 1 ? "," : "", relation->table.oid);
    }
    buf_add_char(&oids, '}');
    if (oids.length == 2) return 0;
    if (load_columns(store, catalog, buf_text(&oids), err)) return -1;
    return load_indexes(store, catalog, buf_text(&oids), err);
}

static bool holds_column(const struct pg_table *table, const size_t *columns, size_t n_columns, int16_t number) {
    for (size_t i = 0; i < n_columns; i++)
        if (table->columns[columns[i]].number == number) return true;
    return false;
}

bool pg_columns_unique(const struct pg_table *table, const size_t *columns, size_t n_columns) {
    const struct pg_relation *relation = pg_relation_of(table);
    for (size_t i = 0; i < relation->n_indexes; i++) {
        const struct pg_index *index = &relation->indexes[i];
        bool all = index->unique && index->valid && !index->partial && !index->expression;
        for (size_t j = 0; all && j < index->n_columns; j++) all = holds_column(table, columns, n_columns, index->columns[j]);
        if (all) return true;
    }
    return false;
}

bool pg_columns_indexed(const struct pg_table *table, const size_t *columns, size_t n_columns) {
    const struct pg_relation *relation = pg_relation_of(table);
    for (size_t i = 0; i < relation->n_indexes; i++) {
        const struct pg_index *index = &relation->indexes[i];
        bool all = index->valid && !index->partial && index->ordered && index->n_columns >= n_columns;
        for (size_t j = 0; all && j < n_columns; j++) all = holds_column(table, columns, n_columns, index->columns[j]);
        if (all) return true;
    }
    return false;
}
