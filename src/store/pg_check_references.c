/* What is wrong with the tables around a target. */
#include "store/pg_check.h"

#include <string.h>

static bool link_comparable(struct binding *binding, const struct pg_bound *bound, const struct pg_link *link, struct place place, const char *what) {
    for (size_t i = 0; i < link->n_columns; i++) {
        const struct pg_column *child = &link->child->columns[link->child_columns[i]];
        const struct pg_column *parent = &link->parent->columns[link->parent_columns[i]];
        if (pg_types_comparable(child, parent)) continue;
        pg_fault(binding, bound->target, place,
                 "%s: \"%s.%s\" is of type %s and \"%s.%s\" of type %s, which cannot be compared; name columns of one type",
                 what, link->child->name, child->name, child->type, link->parent->name, parent->name, parent->type);
        return false;
    }
    return true;
}

/* "about_id" beside "about_type", as frameworks write it: ids of several tables in one column, told apart by the other. */
static const char *type_beside(struct arena *arena, const struct pg_link *link) {
    for (size_t i = 0; i < link->n_columns && !link->foreign_key; i++) {
        const char *name = link->child->columns[link->child_columns[i]].name;
        size_t length = strlen(name);
        if (length < 4 || strcmp(name + length - 3, "_id") != 0) continue;
        const char *type = arena_printf(arena, "%.*s_type", (int)(length - 3), name);
        if (pg_column_find(link->child, type) != PG_NO_COLUMN) return type;
    }
    return NULL;
}

static void check_via(struct binding *binding, const struct pg_bound *bound) {
    for (size_t i = 0; i < bound->n_via; i++) {
        const struct pg_link *link = &bound->via[i];
        struct place place = bound->target->via[i].place;
        if (!link_comparable(binding, bound, link, place, "via")) continue;
        const char *type = type_beside(binding->catalog->arena, link);
        if (type && (i || !bound->target->only))
            pg_fault(binding, bound->target, place,
                     "via: \"%s\" may refer to other tables too, as \"%s\" says; add only = \"%s = '…'\" to a target of \"%s\", so that no "
                     "other's record gets this tenant", link->child->name, type, type, link->child->name);
        if (!pg_columns_unique(link->parent, link->parent_columns, link->n_columns))
            pg_fault(binding, bound->target, place,
                     "via: \"%s\" has no unique index on (%s), so that a record could belong to two tenants; join its primary key or a unique index",
                     link->parent->name, pg_link_columns(binding->catalog->arena, link, true));
    }
}

static void check_dependent_links(struct binding *binding, const struct pg_bound *bound) {
    for (size_t i = 0; i < bound->n_dependents; i++) {
        const struct pg_link *link = &bound->dependents[i].path[0];
        struct place place = bound->dependents[i].conf->join.place;
        if (!link_comparable(binding, bound, link, place, "dependents")) continue;
        const char *type = type_beside(binding->catalog->arena, link);
        if (type)
            pg_fault(binding, bound->target, place,
                     "dependents: \"%s\" may refer to other tables too, as \"%s\" says, and theirs would go as well; make it a target of its "
                     "own, with via and only = \"%s = '…'\"", link->child->name, type, type);
        if (!pg_columns_unique(link->parent, link->parent_columns, link->n_columns))
            pg_fault(binding, bound->target, place,
                     "dependents: \"%s\" has no unique index on (%s), so that a row of \"%s\" could belong to several of its records; "
                     "join its primary key "
                     "or a unique index",
                     link->parent->name, pg_link_columns(binding->catalog->arena, link, true), link->child->name);
    }
}

static const char *cascade_words(char on_delete) {
    switch (on_delete) {
    case 'c': return "ON DELETE CASCADE: its rows would go unseen";
    case 'n': return "ON DELETE SET NULL: its rows would change unseen";
    case 'd': return "ON DELETE SET DEFAULT: its rows would change unseen";
    default: return NULL;
    }
}

/* True if it goes when its record is anonymized. */
static bool goes_before(const struct pg_bound *bound, const struct pg_dependent *dependent) {
    return dependent && !dependent->own_target && pg_rule_anonymizes(bound->target->rule) &&
           dependent->conf->when_anonymized == WHEN_ANONYMIZED_PURGE;
}

/* True if its rows go by another target, as its records or with them: then what they refer to waits for that. */
static bool is_swept(const struct binding *binding, const struct pg_table *table) {
    for (size_t i = 0; i < binding->schedule->n_targets; i++) {
        const struct pg_bound *other = &binding->bound[i];
        if (!other->table || !pg_rule_purges(other->target->rule)) continue;
        if (other->table == table) return true;
        for (size_t j = 0; j < other->n_dependents; j++)
            if (other->dependents[j].table == table) return true;
    }
    return false;
}

static void check_cascades(struct binding *binding, const struct pg_bound *bound) {
    for (size_t i = 0; i < bound->n_blockers; i++) {
        const struct pg_link *link = &bound->blockers[i].link;
        const char *words = cascade_words(link->on_delete);
        bool before = goes_before(bound, bound->blockers[i].through);
        if (before && !words && !is_swept(binding, link->child))
            pg_fault(binding, bound->target, bound->blockers[i].through->conf->join.place,
                     "\"%s\" refers to \"%s\" by (%s), which could therefore not go when its record is anonymized; declare it under dependents, "
                     "\"%s\", or write when_anonymized = \"as-is\" or columns = ( … )", link->child->name, link->parent->name,
                     pg_link_columns(binding->catalog->arena, link, false), pg_join_line(binding, bound, link));
        if (!words || (!before && !pg_rule_purges(bound->target->rule))) continue;
        pg_fault(binding, bound->target, bound->target->place,
                 "\"%s\" refers to \"%s\" by (%s) with %s; declare it, dependents = [ \"%s\" ], or make the foreign key NO ACTION", link->child->name,
                 link->parent->name, pg_link_columns(binding->catalog->arena, link, false), words, pg_join_line(binding, bound, link));
    }
}

/* The rule under whose at_least this table stands: as a target, or as a dependent of one. NULL: none. */
static const struct rule *protector(const struct binding *binding, const struct pg_table *table) {
    for (size_t i = 0; i < binding->schedule->n_targets; i++) {
        const struct pg_bound *other = &binding->bound[i];
        if (!other->table || !other->target->rule->at_least.count) continue;
        if (other->table == table) return other->target->rule;
        for (size_t j = 0; j < other->n_dependents; j++)
            if (other->dependents[j].table == table) return other->target->rule;
    }
    return NULL;
}

/* Marks every relation that refers to this one, at any depth, but not by way of the target (which is above it too, where
 * foreign keys go in a circle). */
static void mark_below(const struct pg_catalog *catalog, const struct pg_relation *top, const struct pg_relation *target, bool *below) {
    below[top - catalog->relations] = true;
    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < catalog->n_foreign_keys; i++) {
            const struct pg_foreign_key *key = &catalog->foreign_keys[i];
            bool *child = &below[key->child - catalog->relations];
            if (*child || key->child == target || !below[key->parent - catalog->relations]) continue;
            *child = more = true;
        }
    }
}

static void check_at_least(struct binding *binding, const struct pg_bound *bound) {
    const struct pg_catalog *catalog = binding->catalog;
    for (size_t i = 0; i < bound->n_dependents; i++) {
        const struct pg_dependent *dependent = &bound->dependents[i];
        if (dependent->self) continue;
        bool *below = ARENA_ARRAY(catalog->arena, bool, catalog->n_relations);
        mark_below(catalog, pg_relation_of(dependent->table), pg_relation_of(bound->table), below);
        for (size_t j = 0; j < catalog->n_relations; j++) {
            const struct pg_table *table = &catalog->relations[j].table;
            const struct rule *rule = below[j] ? protector(binding, table) : NULL;
            if (!rule || rule == bound->target->rule) continue;
            if (table == dependent->table)
                pg_fault(binding, bound->target, dependent->conf->join.place,
                         "dependents: \"%s\" is kept at least %s under \"%s\"; take it out of the dependents, so that it blocks its parent "
                         "for that time", table->name,
                         period_format(rule->at_least).text, rule->data);
            else
                pg_fault(binding, bound->target, dependent->conf->join.place,
                         "dependents: below \"%s\" stands \"%s\", which is kept at least %s under \"%s\"; take \"%s\" out of the "
                         "dependents", dependent->table->name,
                         table->name, period_format(rule->at_least).text, rule->data, dependent->table->name);
        }
    }
}

/* Floors and blocks are found by table: of a table and its part, one would escape what is said of the other. */
static void check_part(struct binding *binding, const struct pg_bound *bound, const struct pg_table *table, const struct pg_table *other) {
    if (table == other) return;
    const struct pg_relation *one = pg_relation_of(table), *two = pg_relation_of(other);
    bool inner = pg_relation_within(one, two);
    if (!inner && !pg_relation_within(two, one)) return;
    const char *part = inner ? table->name : other->name, *whole = inner ? other->name : table->name;
    pg_fault(binding, bound->target, bound->target->place,
             "table \"%s\" is a part of \"%s\", and the schedule names both; name \"%s\" alone, so that every rule about it holds for all of it",
             part, whole, whole);
}

static size_t count_tables(const struct pg_bound *bound) { return bound->table ? bound->n_dependents + 1 : 0; }
static const struct pg_table *table_at(const struct pg_bound *bound, size_t at) { return at ? bound->dependents[at - 1].table : bound->table; }

static void check_parts(struct binding *binding, const struct pg_bound *bound) {
    for (size_t i = 0; i < binding->schedule->n_targets; i++)
        for (size_t j = 0; j < count_tables(&binding->bound[i]); j++)
            for (size_t k = 0; k < count_tables(bound); k++)
                check_part(binding, bound, table_at(bound, k), table_at(&binding->bound[i], j));
}

/* Where a rule anonymizes, columns that tie records together stay as they are; pg_check_columns.c sees to that. */
void pg_check_references(struct binding *binding, const struct pg_bound *bound) {
    check_via(binding, bound);
    check_dependent_links(binding, bound);
    check_cascades(binding, bound);
    check_at_least(binding, bound);
    check_parts(binding, bound);
}
