/* The privileges that a schedule needs: what check compares and grants prints. */
#include "store/pg_check.h"

#include <string.h>

struct collection {
    struct arena *arena;
    const struct binding *binding;
    const struct target *target;
    struct pg_need *needs;
    size_t count;
};

bool pg_need_writes(const struct pg_need *need) {
    bool writes = need->delete;
    for (size_t i = 0; i < need->relation->table.n_columns; i++) writes |= need->update_columns[i];
    return writes;
}

struct pg_need *pg_need_of(struct arena *arena, struct pg_need **needs, size_t *count, const struct pg_relation *relation,
                           const struct target *target) {
    for (size_t i = 0; i < *count; i++)
        if ((*needs)[i].relation == relation) return &(*needs)[i];
    struct pg_need *need = ARENA_APPEND(arena, *needs, *count);
    need->relation = relation;
    need->target = target;
    need->select_columns = ARENA_ARRAY(arena, bool, relation->table.n_columns);
    need->update_columns = ARENA_ARRAY(arena, bool, relation->table.n_columns);
    return need;
}

static struct pg_need *need(struct collection *all, const struct pg_table *table) {
    return pg_need_of(all->arena, &all->needs, &all->count, pg_relation_of(table), all->target);
}

/* Rows are locked FOR UPDATE before they go or change: that takes UPDATE on any one column. Where none is to be changed, the key's,
 * which foreign keys hold. */
static void need_lock(struct pg_need *one, const struct pg_table *table) {
    for (size_t i = 0; i < table->n_columns; i++)
        if (one->update_columns[i]) return;
    if (table->n_columns) one->update_columns[table->n_key ? table->key[0] : 0] = true;
}

static void need_update(struct pg_need *one, const struct pg_table *table, const char *name) {
    int at = pg_column_find(table, name);
    if (at != PG_NO_COLUMN) one->update_columns[at] = true;
}

static void need_lines(struct pg_need *one, const struct pg_table *table, const struct column *columns, size_t n_columns) {
    for (size_t i = 0; i < n_columns; i++)
        if (columns[i].strategy != STRATEGY_AS_IS) need_update(one, table, columns[i].path);
}

static void need_target_on(struct collection *all, const struct pg_bound *bound, const struct pg_table *table) {
    const struct target *target = bound->target;
    struct pg_need *one = need(all, table);
    one->select = true;
    if (pg_rule_purges(target->rule)) one->delete = true;
    if (!pg_rule_anonymizes(target->rule)) return;
    need_lines(one, table, target->columns, target->n_columns);
    if (target->marker) need_update(one, table, target->marker);
}

static bool may_go(const struct pg_bound *bound, const struct pg_dependent *dependent) {
    return pg_rule_purges(bound->target->rule) || dependent->conf->when_anonymized == WHEN_ANONYMIZED_PURGE;
}

/* Dependents are changed by way of the whole table. */
static void need_dependent(struct collection *all, const struct pg_bound *bound, const struct pg_dependent *dependent) {
    const struct pg_table *table = dependent->table;
    struct pg_need *one = need(all, table);
    one->select = true;
    if (may_go(bound, dependent)) one->delete = true;
    if (dependent->conf->when_anonymized == WHEN_ANONYMIZED_COLUMNS)
        need_lines(one, table, dependent->conf->columns, dependent->conf->n_columns);
}

/* Columns of a table that is only asked: one end of a link. */
static void need_link(struct collection *all, const struct pg_link *link, bool of_parent) {
    struct pg_need *one = need(all, of_parent ? link->parent : link->child);
    for (size_t i = 0; i < link->n_columns; i++) one->select_columns[of_parent ? link->parent_columns[i] : link->child_columns[i]] = true;
}

static void need_via(struct collection *all, const struct pg_bound *bound) {
    for (size_t i = 0; i < bound->n_via; i++) {
        need_link(all, &bound->via[i], true);
        if (i) need_link(all, &bound->via[i], false);
    }
    if (!bound->n_via || !bound->tenant) return;
    const struct pg_table *last = bound->via[bound->n_via - 1].parent;
    need(all, last)->select_columns[bound->tenant - last->columns] = true;
}

/* Leaves are swept as tables of their own; the whole is only read. */
static void need_bound(struct collection *all, const struct pg_bound *bound) {
    need(all, bound->table)->select = true;
    for (size_t i = 0; i < bound->table->n_leaves; i++) need_target_on(all, bound, bound->table->leaves[i]);
    for (size_t i = 0; i < bound->n_dependents; i++) need_dependent(all, bound, &bound->dependents[i]);
    for (size_t i = 0; i < bound->n_blockers; i++) need_link(all, &bound->blockers[i].link, false);
    need_via(all, bound);
    const struct pg_relation **named;
    size_t n_named = bound->target->only ? pg_named_relations(all->binding->catalog, bound->target->only, &named) : 0;
    for (size_t i = 0; i < n_named; i++)
        if (pg_column_find(bound->table, named[i]->table.name) == PG_NO_COLUMN) need(all, &named[i]->table)->select = true;
}

static void need_locks(struct collection *all, const struct pg_bound *bound) {
    const struct pg_table *table = bound->table;
    for (size_t i = 0; table && i < table->n_leaves; i++) need_lock(need(all, table->leaves[i]), table->leaves[i]);
    for (size_t i = 0; table && i < bound->n_dependents; i++) {
        const struct pg_dependent *dependent = &bound->dependents[i];
        bool changes = dependent->conf->when_anonymized == WHEN_ANONYMIZED_COLUMNS;
        if ((may_go(bound, dependent) || changes) && pg_carries(bound, dependent)) need_lock(need(all, dependent->table), dependent->table);
    }
}

size_t pg_needs(const struct binding *binding, struct pg_need **ret_needs) {
    struct collection all = {.arena = binding->catalog->arena, .binding = binding};
    for (size_t i = 0; i < binding->schedule->n_targets; i++) {
        const struct pg_bound *bound = &binding->bound[i];
        if (!bound->table) continue;
        all.target = bound->target;
        need_bound(&all, bound);
    }
    /* Now that every rule has said what it changes. */
    for (size_t i = 0; i < binding->schedule->n_targets; i++) need_locks(&all, &binding->bound[i]);
    *ret_needs = all.needs;
    return all.count;
}
