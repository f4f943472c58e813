/* What hangs together with a target: the chain to its tenant, its dependents, and what would block it. */
#include "store/pg_bind.h"

#include <string.h>

enum { MOST_DEPENDENTS = 256 };

static bool related(const struct pg_relation *a, const struct pg_relation *b) {
    return pg_relation_within(a, b) || pg_relation_within(b, a);
}

/* attnum of `from` as the index of the column of the same name in `to`: partitions may number theirs differently. */
static int column_in(const struct pg_table *to, const struct pg_table *from, int16_t number) {
    int at = pg_column_by_number(from, number);
    return to == from || at == PG_NO_COLUMN ? at : pg_column_find(to, from->columns[at].name);
}

bool pg_link_of(const struct pg_foreign_key *key, const struct pg_relation *child, const struct pg_relation *parent, struct pg_link *ret_link) {
    if (!related(key->child, child) || !related(key->parent, parent) || key->n_columns > MOST_JOIN_COLUMNS) return false;
    struct pg_link link = {.child = &child->table, .parent = &parent->table, .n_columns = key->n_columns, .foreign_key = true,
                           .on_delete = key->on_delete, .deferrable = key->deferrable};
    for (size_t i = 0; i < key->n_columns; i++) {
        int child_at = column_in(&child->table, &key->child->table, key->child_columns[i]);
        int parent_at = column_in(&parent->table, &key->parent->table, key->parent_columns[i]);
        if (child_at == PG_NO_COLUMN || parent_at == PG_NO_COLUMN) return false;
        link.child_columns[i] = (size_t)child_at;
        link.parent_columns[i] = (size_t)parent_at;
    }
    *ret_link = link;
    return true;
}

static bool link_has(const struct pg_link *link, size_t child_column, size_t parent_column) {
    for (size_t i = 0; i < link->n_columns; i++)
        if (link->child_columns[i] == child_column && link->parent_columns[i] == parent_column) return true;
    return false;
}

bool pg_links_equal(const struct pg_link *a, const struct pg_link *b) {
    if (a->child != b->child || a->parent != b->parent || a->n_columns != b->n_columns) return false;
    for (size_t i = 0; i < a->n_columns; i++)
        if (!link_has(b, a->child_columns[i], a->parent_columns[i])) return false;
    return true;
}

const char *pg_link_columns(struct arena *arena, const struct pg_link *link, bool of_parent) {
    const char *text = "";
    for (size_t i = 0; i < link->n_columns; i++) {
        const struct pg_table *table = of_parent ? link->parent : link->child;
        size_t at = of_parent ? link->parent_columns[i] : link->child_columns[i];
        text = arena_printf(arena, "%s%s%s", text, i ? ", " : "", table->columns[at].name);
    }
    return text;
}

static bool is_key_of(const struct pg_link *link, const struct pg_table *table) {
    if (link->parent != table || link->n_columns != 1 || table->n_key != 1) return false;
    return link->parent_columns[0] == table->key[0];
}

const char *pg_join_line(const struct binding *binding, const struct pg_bound *bound, const struct pg_link *link) {
    struct arena *arena = binding->catalog->arena;
    const char *child = pg_relation_name(binding->catalog, pg_relation_of(link->child));
    const char *parent = pg_relation_name(binding->catalog, pg_relation_of(link->parent));
    if (is_key_of(link, bound->table)) return arena_printf(arena, "%s.%s", child, link->child->columns[link->child_columns[0]].name);
    const char *text = "";
    for (size_t i = 0; i < link->n_columns; i++)
        text = arena_printf(arena, "%s%s%s.%s = %s.%s", text, i ? ", " : "", child, link->child->columns[link->child_columns[i]].name, parent,
                            link->parent->columns[link->parent_columns[i]].name);
    return text;
}

/* Tells the link what the catalog knows about it. */
static void look_up_foreign_key(const struct binding *binding, struct pg_link *link) {
    for (size_t i = 0; i < binding->catalog->n_foreign_keys; i++) {
        struct pg_link known;
        if (!pg_link_of(&binding->catalog->foreign_keys[i], pg_relation_of(link->child), pg_relation_of(link->parent), &known)) continue;
        if (!pg_links_equal(&known, link)) continue;
        link->foreign_key = true;
        link->on_delete = known.on_delete;
        link->deferrable = known.deferrable;
        return;
    }
}

/* Fills the link's columns from a join whose tables are known; false with a fault. */
static bool bind_join(struct binding *binding, const struct pg_bound *bound, const struct join *join, const char *what,
                      const struct pg_table *child, const struct pg_table *parent, struct pg_link *ret_link) {
    struct pg_link link = {.child = child, .parent = parent, .n_columns = join->n_columns};
    bool by_key = !join->parent_columns[0];
    if (by_key && parent->n_key != join->n_columns) {
        pg_fault(binding, bound->target, join->place,
                 "%s: the key of \"%s\" has %zu columns, not %zu; write the join out, as in \"%s.a = %s.b, %s.c = %s.d\"",
                 what, parent->name, parent->n_key, join->n_columns, child->name, parent->name, child->name, parent->name);
        return false;
    }
    bool good = true;
    for (size_t i = 0; i < join->n_columns; i++) {
        const struct pg_column *from = pg_bind_column(binding, bound, child, join->place, what, join->child_columns[i]);
        const struct pg_column *to =
            by_key ? &parent->columns[parent->key[i]] : pg_bind_column(binding, bound, parent, join->place, what, join->parent_columns[i]);
        good = good && from && to;
        if (!from || !to) continue;
        link.child_columns[i] = (size_t)(from - child->columns);
        link.parent_columns[i] = (size_t)(to - parent->columns);
    }
    if (!good) return false;
    look_up_foreign_key(binding, &link);
    *ret_link = link;
    return true;
}

void pg_bind_via(struct binding *binding, struct pg_bound *bound) {
    const struct target *target = bound->target;
    if (!target->n_via) return;
    struct pg_link *links = ARENA_ARRAY(binding->catalog->arena, struct pg_link, target->n_via);
    const struct pg_table *table = bound->table;
    for (size_t i = 0; i < target->n_via; i++) {
        const struct join *join = &target->via[i];
        struct pg_relation *child = join->child_table ? pg_catalog_find(binding->catalog, join->child_table) : NULL;
        if (join->child_table && (!child || &child->table != table)) {
            pg_fault(binding, target, join->place,
                     "via: the join begins at \"%s\", but the chain stands at \"%s\"; write the joins in order from the target's table",
                     join->child_table, table->name);
            return;
        }
        if (!join->parent_table) {
            pg_fault(binding, target, join->place, "via: name the table that the chain leads to, as in \"website_id = website.website_id\"");
            return;
        }
        struct pg_relation *parent = pg_bind_table(binding, target, join->place, join->parent_table);
        if (!parent || !bind_join(binding, bound, join, "via", table, &parent->table, &links[i])) return;
        table = &parent->table;
    }
    bound->via = links;
    bound->n_via = target->n_via;
    if (target->tenant) bound->tenant = pg_bind_column(binding, bound, table, target->place, "tenant", target->tenant);
}

const char *pg_via_chain(struct arena *arena, const struct pg_bound *bound) {
    const char *from = "", *ties = "";
    for (size_t i = 0; i < bound->n_via; i++) {
        const struct pg_link *link = &bound->via[i];
        from = arena_printf(arena, "%s%s%s AS v%zu", from, i ? ", " : "", link->parent->quoted, i + 1);
        for (size_t j = 0; j < link->n_columns; j++) {
            const char *child = link->child->columns[link->child_columns[j]].quoted, *parent = link->parent->columns[link->parent_columns[j]].quoted;
            const char *alias = i ? arena_printf(arena, "v%zu", i) : "t";
            ties = arena_printf(arena, "%s%s%s.%s = v%zu.%s", ties, *ties ? " AND " : "", alias, child, i + 1, parent);
        }
    }
    return arena_printf(arena, "FROM %s WHERE %s", from, ties);
}

/* One line of `dependents` on its way to its place: lines are taken parents first. */
struct line {
    const struct dependent *conf;
    const struct pg_table *child, *parent;
    bool done;
};

static bool self_line(const struct line *line) { return line->child == line->parent; }

/* True when every line that puts rows into this line's parent has been taken; self-references after the others. */
static bool line_ready(const struct line *lines, size_t n_lines, const struct line *line) {
    for (size_t i = 0; i < n_lines; i++) {
        const struct line *other = &lines[i];
        if (other == line || other->done || other->child != line->parent) continue;
        if (!self_line(line) || !self_line(other)) return false;
    }
    return true;
}

static void add_dependent(struct arena *arena, struct pg_dependent **list, size_t *count, const struct line *line, const struct pg_link *link,
                          const struct pg_dependent *above) {
    size_t n_above = above ? above->n_path : 0;
    struct pg_link *path = ARENA_ARRAY(arena, struct pg_link, n_above + 1);
    path[0] = *link;
    if (n_above) memcpy(path + 1, above->path, n_above * sizeof *path);
    size_t at = *count;
    *list = arena_room(arena, *list, *count, sizeof **list);
    bool self = self_line(line);
    (*list)[at] = (struct pg_dependent){.conf = line->conf, .table = line->child, .path = path, .n_path = n_above + 1, .self = self,
                                        .tree = self ? 0 : above ? above->tree + 1 : 1};
    *count = at + 1;
}

/* A dependent for each way from its parent up to the target. */
static void take_line(struct binding *binding, struct pg_bound *bound, const struct line *line, struct pg_dependent **list, size_t *count) {
    struct pg_link link;
    if (!bind_join(binding, bound, &line->conf->join, "dependents", line->child, line->parent, &link)) return;
    struct arena *arena = binding->catalog->arena;
    size_t before = *count;
    if (line->parent == bound->table) add_dependent(arena, list, count, line, &link, NULL);
    for (size_t i = 0; i < before && *count < MOST_DEPENDENTS; i++) {
        struct pg_dependent above = (*list)[i];
        if (above.table != line->parent || (self_line(line) && above.self)) continue; /* also what hangs on the branches of a tree */
        if (self_line(line) && above.tree < above.n_path)
            pg_fault(binding, bound->target, line->conf->place, "dependents: \"%s\" is a tree that hangs on a tree; make it a target of its own",
                     line->child->name);
        else add_dependent(arena, list, count, line, &link, &above);
    }
    if (*count == MOST_DEPENDENTS)
        pg_fault(binding, bound->target, line->conf->place, "dependents: more than %d ways lead to the target; split the target", MOST_DEPENDENTS);
}

/* True if a line below the target leads to this table, or it is the target's. */
static bool reachable(const struct pg_bound *bound, const struct line *lines, size_t n_lines, const struct pg_table *table) {
    if (table == bound->table) return true;
    for (size_t i = 0; i < n_lines; i++)
        if (lines[i].child == table && !self_line(&lines[i])) return true;
    return false;
}

static bool resolve_line(struct binding *binding, const struct pg_bound *bound, const struct dependent *conf, struct line *ret_line) {
    struct pg_relation *child = pg_bind_table(binding, bound->target, conf->join.place, conf->join.child_table);
    const struct pg_table *parent = bound->table;
    if (conf->join.parent_table) {
        struct pg_relation *named = pg_bind_table(binding, bound->target, conf->join.place, conf->join.parent_table);
        if (!named) return false;
        parent = &named->table;
    }
    if (!child) return false;
    if (&child->table == bound->table && parent != bound->table) {
        pg_fault(binding, bound->target, conf->join.place,
                 "dependents: \"%s\" leads from \"%s\" back to the target; a target cannot depend on itself over another table",
                 conf->join.child_table, parent->name);
        return false;
    }
    *ret_line = (struct line){.conf = conf, .child = &child->table, .parent = parent};
    return true;
}

static void take_lines(struct binding *binding, struct pg_bound *bound, struct line *lines, size_t n_lines, struct pg_dependent **list,
                       size_t *count) {
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t i = 0; i < n_lines; i++) {
            if (lines[i].done || !line_ready(lines, n_lines, &lines[i])) continue;
            take_line(binding, bound, &lines[i], list, count);
            lines[i].done = moved = true;
        }
    }
    for (size_t i = 0; i < n_lines; i++)
        if (!lines[i].done)
            pg_fault(binding, bound->target, lines[i].conf->join.place,
                     "dependents: \"%s\" and \"%s\" depend on each other in a circle; leave one of the lines out",
                     lines[i].child->name, lines[i].parent->name);
}

void pg_bind_dependents(struct binding *binding, struct pg_bound *bound) {
    const struct target *target = bound->target;
    struct arena *arena = binding->catalog->arena;
    struct line *lines = ARENA_ARRAY(arena, struct line, target->n_dependents);
    size_t n_lines = 0;
    for (size_t i = 0; i < target->n_dependents; i++)
        if (resolve_line(binding, bound, &target->dependents[i], &lines[n_lines])) n_lines++;
    for (size_t i = 0; i < n_lines; i++)
        if (!reachable(bound, lines, n_lines, lines[i].parent)) {
            pg_fault(binding, target, lines[i].conf->join.place,
                     "dependents: \"%s\" refers to \"%s\", which is neither the target nor one of its dependents; add the line that ties "
                     "\"%s\" to the target",
                     lines[i].child->name, lines[i].parent->name, lines[i].parent->name);
            lines[i].done = true;
        }
    struct pg_dependent *list = NULL;
    size_t count = 0;
    take_lines(binding, bound, lines, n_lines, &list, &count);
    /* Taken parents first: turned round, children come first. */
    struct pg_dependent *ordered = ARENA_ARRAY(arena, struct pg_dependent, count);
    for (size_t i = 0; i < count; i++) ordered[i] = list[count - 1 - i];
    bound->dependents = ordered;
    bound->n_dependents = count;
}

void pg_bind_own_targets(struct binding *binding, struct pg_bound *bound) {
    struct pg_dependent *dependents =
        arena_grow(binding->catalog->arena, bound->dependents, bound->n_dependents, bound->n_dependents, sizeof *dependents);
    for (size_t i = 0; i < bound->n_dependents; i++)
        for (size_t j = 0; j < binding->schedule->n_targets && !dependents[i].own_target; j++) {
            const struct pg_bound *other = &binding->bound[j];
            if (other != bound && other->table == dependents[i].table) /* also one that is kept for ever */
                dependents[i].own_target = other->target;
        }
    bound->dependents = dependents;
}

const struct pg_dependent *pg_declared(const struct pg_bound *bound, const struct pg_foreign_key *key, const struct pg_relation *parent) {
    for (size_t i = 0; i < bound->n_dependents; i++) {
        const struct pg_link *link = &bound->dependents[i].path[0];
        struct pg_link known;
        if (link->parent == &parent->table && pg_link_of(key, pg_relation_of(link->child), parent, &known) && pg_links_equal(&known, link))
            return &bound->dependents[i];
    }
    return NULL;
}

static void add_blockers(struct binding *binding, struct pg_bound *bound, const struct pg_relation *parent, const struct pg_dependent *through,
                         struct pg_blocker **list, size_t *count) {
    struct pg_catalog *catalog = binding->catalog;
    for (size_t i = 0; i < catalog->n_foreign_keys; i++) {
        const struct pg_foreign_key *key = &catalog->foreign_keys[i];
        if (!related(key->parent, parent)) continue;
        if (pg_declared(bound, key, parent)) continue;
        struct pg_link link;
        if (!pg_link_of(key, key->child, parent, &link)) {
            pg_fault(binding, bound->target, bound->target->place, "\"%s\" refers to \"%s\" by more than %d columns; that many are not supported",
                     key->child->table.name, parent->table.name, MOST_JOIN_COLUMNS);
            continue;
        }
        *list = arena_room(catalog->arena, *list, *count, sizeof **list);
        (*list)[(*count)++] = (struct pg_blocker){.link = link, .through = through};
    }
}

void pg_bind_blockers(struct binding *binding, struct pg_bound *bound) {
    struct pg_blocker *list = NULL;
    size_t count = 0;
    add_blockers(binding, bound, pg_relation_of(bound->table), NULL, &list, &count);
    for (size_t i = 0; i < bound->n_dependents; i++)
        add_blockers(binding, bound, pg_relation_of(bound->dependents[i].table), &bound->dependents[i], &list, &count);
    bound->blockers = list;
    bound->n_blockers = count;
}
