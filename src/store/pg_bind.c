/* Ties targets to the catalog: tables, identity, tenant, anchors, columns. What is wrong becomes a fault with its remedy. */
#include "store/pg_bind.h"

#include <stdarg.h>
#include <string.h>

void pg_fault(struct binding *binding, const struct target *target, struct place place, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const char *text = arena_vprintf(binding->catalog->arena, format, arguments);
    va_end(arguments);
    fault_add(binding->faults, place, "\"%s\": %s", target->rule->data, text);
    binding->bound[target->number].bad = true;
}

bool pg_is_ours(const struct pg_store *store, const struct target *target) {
    return target->kind == TARGET_TABLE && target->store == store->base.settings.conf;
}

bool pg_rule_purges(const struct rule *rule) {
    for (size_t i = 0; i < rule->n_keep; i++)
        if (rule->keep[i].kind != KEEP_FOREVER) return true;
    return rule->anonymize_blocked;
}

struct pg_relation *pg_bind_table(struct binding *binding, const struct target *target, struct place place, const char *name) {
    const struct pg_catalog *catalog = binding->catalog;
    struct pg_relation *relation = pg_catalog_find(catalog, name);
    if (!relation) {
        const char *nearest = pg_catalog_nearest(catalog, name);
        if (nearest)
            pg_fault(binding, target, place, "there is no table \"%s\" in store \"%s\"; did you mean \"%s\"?", name, target->store->name, nearest);
        else
            pg_fault(binding, target, place, "there is no table \"%s\" in store \"%s\"; write the table's name, or \"schema.table\"", name,
                     target->store->name);
        return NULL;
    }
    const char *remedy = NULL;
    if (relation->system) remedy = "belongs to the server's catalog; name a table of your own";
    else if (relation->persistence == 't') remedy = "is a temporary table; name a permanent one";
    else if (relation->table.kind == 'v') remedy = "is a view; name the table that it reads";
    else if (relation->table.kind == 'm') remedy = "is a materialized view; name the tables that it reads, and refresh it";
    else if (relation->table.kind == 'f') remedy = "is a foreign table; name the server where it lives as a store of its own";
    else if (relation->table.inherited)
        remedy = "uses old-style inheritance, where rows of children are easily overlooked; make it a partitioned table, or one table";
    if (remedy) {
        pg_fault(binding, target, place, "\"%s\" %s", name, remedy);
        return NULL;
    }
    return relation;
}

const struct pg_column *pg_bind_column(struct binding *binding, const struct pg_bound *bound, const struct pg_table *table,
                                       struct place place, const char *what, const char *name) {
    int at = pg_column_find(table, name);
    if (at != PG_NO_COLUMN) return &table->columns[at];
    const char *nearest = pg_column_nearest(table, name);
    if (nearest)
        pg_fault(binding, bound->target, place, "%s: table \"%s\" has no column \"%s\"; did you mean \"%s\"?", what, table->name, name, nearest);
    else
        pg_fault(binding, bound->target, place, "%s: table \"%s\" has no column \"%s\"; name one that it has", what, table->name, name);
    return NULL;
}

/* Identity: by names on the leaves, whose columns may be numbered differently. */
static void set_key(struct arena *arena, struct pg_table *table, const struct pg_table *root, const struct pg_index *index) {
    size_t *key = ARENA_ARRAY(arena, size_t, index->n_columns);
    for (size_t i = 0; i < index->n_columns; i++) {
        int at = pg_column_by_number(root, index->columns[i]);
        if (table != root && at != PG_NO_COLUMN) at = pg_column_find(table, root->columns[at].name);
        if (at == PG_NO_COLUMN) return;
        key[i] = (size_t)at;
    }
    table->key = key;
    table->n_key = index->n_columns;
}

static void set_key_everywhere(struct binding *binding, struct pg_relation *relation, const struct pg_index *index) {
    set_key(binding->catalog->arena, &relation->table, &relation->table, index);
    for (size_t i = 0; i < relation->table.n_leaves; i++) {
        struct pg_relation *leaf = pg_catalog_by_oid(binding->catalog, relation->table.leaves[i]->oid);
        if (leaf != relation) set_key(binding->catalog->arena, &leaf->table, &relation->table, index);
    }
}

static void set_primary_keys(struct binding *binding) {
    for (size_t i = 0; i < binding->catalog->n_relations; i++) {
        struct pg_relation *relation = &binding->catalog->relations[i];
        for (size_t j = 0; j < relation->n_indexes; j++)
            if (relation->indexes[j].primary) set_key_everywhere(binding, relation, &relation->indexes[j]);
    }
}

/* Why an index cannot stand for a record's identity; NULL: it can. */
static const char *key_trouble(const struct pg_relation *relation, const struct pg_index *index) {
    if (!index->unique) return "is not unique";
    if (!index->valid) return "is not valid (it was not built to the end)";
    if (index->partial) return "covers only a part of the table";
    if (index->expression) return "is made of an expression";
    for (size_t i = 0; i < index->n_columns; i++) {
        int at = pg_column_by_number(&relation->table, index->columns[i]);
        if (at == PG_NO_COLUMN || !relation->table.columns[at].not_null) return "has a column that may be null";
    }
    return NULL;
}

static const char *usable_key(const struct pg_relation *relation) {
    for (size_t i = 0; i < relation->n_indexes; i++)
        if (!key_trouble(relation, &relation->indexes[i])) return relation->indexes[i].name;
    return NULL;
}

static void bind_identity(struct binding *binding, struct pg_bound *bound, struct pg_relation *relation) {
    const struct target *target = bound->target;
    if (!target->key) {
        if (relation->table.n_key) return;
        const char *usable = usable_key(relation);
        pg_fault(binding, target, target->place,
                 "table \"%s\" has no primary key; write key = \"%s\", or key = \"ctid\" (the journal then counts its records, but cannot "
                 "prove which they were)",
                 target->name, usable ? usable : "a unique index on columns that are not null");
        return;
    }
    if (!strcmp(target->key, "ctid")) {
        relation->table.n_key = 0;
        for (size_t i = 0; i < relation->table.n_leaves; i++)
            pg_catalog_by_oid(binding->catalog, relation->table.leaves[i]->oid)->table.n_key = 0;
        return;
    }
    const char *trouble = "does not exist on this table";
    for (size_t i = 0; i < relation->n_indexes; i++) {
        const struct pg_index *index = &relation->indexes[i];
        if (strcmp(index->name, target->key)) continue;
        trouble = key_trouble(relation, index);
        if (!trouble) set_key_everywhere(binding, relation, index);
    }
    const char *usable = usable_key(relation);
    if (trouble)
        pg_fault(binding, target, target->place, "key = \"%s\": the index %s; name %s%s%s", target->key, trouble,
                 usable ? "\"" : "a unique index on columns that are not null, or \"ctid", usable ? usable : "", "\"");
}

/* Two targets of one table share its identity. */
static void check_same_key(struct binding *binding, const struct pg_bound *bound) {
    for (size_t i = 0; i < bound->target->number; i++) {
        const struct pg_bound *other = &binding->bound[i];
        if (other->table == bound->table && !text_equal(other->target->key, bound->target->key))
            pg_fault(binding, bound->target, bound->target->place, "table \"%s\" has another `key` under \"%s\"; write the same in both",
                     bound->target->name, other->target->rule->data);
    }
}

static void bind_columns(struct binding *binding, struct pg_bound *bound) {
    const struct target *target = bound->target;
    const struct pg_table *table = bound->table;
    if (!target->n_via && target->tenant)
        bound->tenant = pg_bind_column(binding, bound, table, target->place, "tenant", target->tenant);
    if (target->since) bound->since = pg_bind_column(binding, bound, table, target->place, "since", target->since);
    for (size_t i = 0; i < target->n_ends; i++)
        bound->ends[i] = pg_bind_column(binding, bound, table, target->place, "ends", target->ends[i].column);
    if (target->marker) bound->marker = pg_bind_column(binding, bound, table, target->place, "marker", target->marker);
    const struct pg_column **columns = ARENA_ARRAY(binding->catalog->arena, const struct pg_column *, target->n_columns);
    for (size_t i = 0; i < target->n_columns; i++)
        columns[i] = pg_bind_column(binding, bound, table, target->columns[i].place, "columns", target->columns[i].path);
    bound->columns = columns;
}

static bool index_begins(const struct pg_index *index, const struct pg_column *first, const struct pg_column *second) {
    if (!index->valid || index->partial || !index->ordered) return false;
    if (!index->n_columns || index->columns[0] != first->number) return false;
    return !second || (index->n_columns > 1 && index->columns[1] == second->number);
}

static void bind_statistics(struct pg_bound *bound, const struct pg_relation *relation) {
    for (size_t i = 0; i < relation->n_indexes; i++) {
        const struct pg_index *index = &relation->indexes[i];
        if (bound->tenant && !bound->n_via && index_begins(index, bound->tenant, bound->since)) bound->index_tenant_since = true;
        if (bound->since && index_begins(index, bound->since, NULL)) bound->index_since = true;
    }
    for (size_t i = 0; i < relation->table.n_leaves; i++) bound->rows += pg_relation_of(relation->table.leaves[i])->rows;
}

/* Relations that the schedule names, so that their columns are loaded. */
static void want(struct binding *binding, const char *name) {
    struct pg_relation *relation = name ? pg_catalog_find(binding->catalog, name) : NULL;
    if (relation) relation->wanted = true;
}

static void want_tables(struct binding *binding) {
    for (size_t i = 0; i < binding->schedule->n_targets; i++) {
        const struct target *target = binding->schedule->targets[i];
        if (!pg_is_ours(binding->store, target)) continue;
        want(binding, target->name);
        for (size_t j = 0; j < target->n_via; j++) want(binding, target->via[j].parent_table);
        for (size_t j = 0; j < target->n_dependents; j++) {
            want(binding, target->dependents[j].join.child_table);
            want(binding, target->dependents[j].join.parent_table);
        }
    }
}

static bool related(const struct pg_relation *a, const struct pg_relation *b) {
    return pg_relation_within(a, b) || pg_relation_within(b, a);
}

/* What refers to a wanted relation, or to a part of it, or to what it is a part of. */
static void want_children(struct pg_catalog *catalog) {
    bool *add = ARENA_ARRAY(catalog->arena, bool, catalog->n_foreign_keys);
    for (size_t i = 0; i < catalog->n_foreign_keys; i++)
        for (size_t j = 0; j < catalog->n_relations && !add[i]; j++)
            add[i] = catalog->relations[j].wanted && related(catalog->foreign_keys[i].parent, &catalog->relations[j]);
    for (size_t i = 0; i < catalog->n_foreign_keys; i++)
        if (add[i]) catalog->foreign_keys[i].child->wanted = catalog->foreign_keys[i].parent->wanted = true;
}

static void bind_target(struct binding *binding, struct pg_bound *bound) {
    const struct target *target = bound->target;
    struct pg_relation *relation = pg_bind_table(binding, target, target->place, target->name);
    if (!relation) return;
    bound->table = &relation->table;
    check_same_key(binding, bound);
    bind_identity(binding, bound, relation);
    bind_columns(binding, bound);
    pg_bind_via(binding, bound);
    bind_statistics(bound, relation);
}

int pg_bind_into(struct pg_store *store, struct arena *arena, struct faults *faults, struct binding *ret_binding, struct err *err) {
    const struct schedule *schedule = store->base.settings.schedule;
    struct binding binding = {.store = store, .schedule = schedule, .faults = faults};
    binding.bound = ARENA_ARRAY(arena, struct pg_bound, schedule->n_targets);
    if (pg_connect(store, err) || pg_catalog_read(store, arena, &binding.catalog, err)) return -1;
    want_tables(&binding);
    want_children(binding.catalog);
    if (pg_catalog_load(store, binding.catalog, err)) return -1;
    set_primary_keys(&binding);
    for (size_t i = 0; i < schedule->n_targets; i++) {
        binding.bound[i].target = schedule->targets[i];
        if (pg_is_ours(store, schedule->targets[i])) bind_target(&binding, &binding.bound[i]);
    }
    for (size_t i = 0; i < schedule->n_targets; i++)
        if (binding.bound[i].table) pg_bind_dependents(&binding, &binding.bound[i]);
    for (size_t i = 0; i < schedule->n_targets; i++) {
        if (!binding.bound[i].table) continue;
        pg_bind_own_targets(&binding, &binding.bound[i]);
        pg_bind_blockers(&binding, &binding.bound[i]);
    }
    *ret_binding = binding;
    return 0;
}

void pg_bind_keep(struct binding *binding, bool *bad) {
    struct pg_store *store = binding->store;
    arena_free(store->catalog);
    store->catalog = binding->catalog->arena;
    store->bound = binding->bound;
    store->gone = NULL;
    store->n_gone = 0;
    for (size_t i = 0; i < binding->schedule->n_targets; i++)
        if (binding->bound[i].bad) bad[i] = true;
}

int pg_bind(struct pg_store *store, struct faults *faults, bool *bad, struct err *err) {
    struct arena *arena = arena_new();
    struct binding binding;
    if (pg_bind_into(store, arena, faults, &binding, err)) {
        arena_free(arena);
        return -1;
    }
    pg_bind_keep(&binding, bad);
    return 0;
}

const struct pg_bound *pg_bound_of(const struct pg_store *store, const struct target *target) {
    return store->bound ? &store->bound[target->number] : NULL;
}
