#include "schedule/load.h"

#include <string.h>

static const char *last_part(const char *table) {
    const char *dot = strrchr(table, '.');
    return dot ? dot + 1 : table;
}

bool schedule_same_table(const char *a, const char *b) {
    if (strchr(a, '.') && strchr(b, '.')) return !strcmp(a, b);
    return !strcmp(last_part(a), last_part(b));
}

/* "schema.table.column" ends with its column; a collection's path may have dots of its own. */
static bool divide(const struct loader *loader, enum target_kind kind, const char *text, const char **ret_table, const char **ret_column) {
    const char *dot = kind == TARGET_COLLECTION ? strchr(text, '.') : strrchr(text, '.');
    if (!dot || dot == text || !dot[1] || strpbrk(text, " \t\"'=") || !load_is_name(text)) return false;
    *ret_table = arena_strndup(loader->arena, text, (size_t)(dot - text));
    *ret_column = dot + 1;
    return kind == TARGET_COLLECTION || strchr(*ret_table, '.') == strrchr(*ret_table, '.');
}

/* One of the parts between commas: "child.column" or "child.column = parent.column". */
struct part {
    const char *child_table, *child_column, *parent_table, *parent_column;
};

static bool read_part(const struct loader *loader, enum target_kind kind, const char *text, size_t length, struct part *part) {
    const char *equals = memchr(text, '=', length);
    *part = (struct part){0};
    const char *child = load_trim(loader, text, equals ? (size_t)(equals - text) : length);
    if (!divide(loader, kind, child, &part->child_table, &part->child_column)) return false;
    if (!equals) return true;
    const char *parent = load_trim(loader, equals + 1, length - (size_t)(equals + 1 - text));
    return divide(loader, kind, parent, &part->parent_table, &part->parent_column);
}

static const char *add_part(struct join *join, const struct part *part) {
    if (!join->n_columns) {
        join->child_table = part->child_table;
        join->parent_table = part->parent_table;
    } else if (strcmp(join->child_table, part->child_table) != 0) {
        return "names two tables on the left; write a dependent for each";
    } else if (!join->parent_table != !part->parent_table || (join->parent_table && strcmp(join->parent_table, part->parent_table) != 0)) {
        return "names different tables on the right; write one, or none for the target's key";
    }
    if (join->n_columns == MOST_JOIN_COLUMNS) return "has too many columns; eight are the most";
    join->child_columns[join->n_columns] = part->child_column;
    join->parent_columns[join->n_columns++] = part->parent_column;
    return NULL;
}

static bool read_join(const struct loader *loader, enum target_kind kind, const char *text, const config_setting_t *setting, struct join *join) {
    *join = (struct join){.place = load_place(loader, setting)};
    for (const char *at = text;;) {
        size_t length = strcspn(at, ",");
        struct part part;
        const char *fault = read_part(loader, kind, at, length, &part)
                                ? add_part(join, &part)
                                : "is not a join; write \"child.column\" (the target's key) or \"child.column = parent.column\"";
        if (fault) {
            load_fault(loader, setting, "dependents: \"%s\" %s", text, fault);
            return false;
        }
        if (!at[length]) return true;
        at += length + 1;
    }
}

static void load_when_anonymized(const struct loader *loader, const config_setting_t *group, struct dependent *dependent) {
    const char *when = load_string(loader, group, "when_anonymized");
    const config_setting_t *setting = config_setting_get_member(group, "when_anonymized"), *columns = config_setting_get_member(group, "columns");
    dependent->columns = load_columns(loader, group, &dependent->n_columns);
    if (columns) dependent->when_anonymized = WHEN_ANONYMIZED_COLUMNS;
    if (setting && columns)
        load_fault(loader, setting, "dependents: \"%s\" has both when_anonymized and columns, which says how it is anonymized; leave one", dependent->join.child_table);
    else if (when && !strcmp(when, "purge")) dependent->when_anonymized = WHEN_ANONYMIZED_PURGE;
    else if (when && !strcmp(when, "as-is")) dependent->when_anonymized = WHEN_ANONYMIZED_AS_IS;
    else if (setting) {
        dependent->when_anonymized = WHEN_ANONYMIZED_PURGE; /* so that it is not also called silent */
        if (when) load_fault(loader, setting, "when_anonymized = \"%s\" is unknown; write \"purge\", \"as-is\", or columns = ( … ) instead of it", when);
    }
}

static bool load_dependent(const struct loader *loader, const config_setting_t *setting, enum target_kind kind, struct dependent *dependent) {
    *dependent = (struct dependent){.place = load_place(loader, setting)};
    if (!config_setting_is_group(setting)) {
        const char *text = load_element(loader, setting, "dependents");
        return text && read_join(loader, kind, text, setting, &dependent->join);
    }
    load_known(loader, setting, (const char *const[]){"join", "when_anonymized", "columns", NULL});
    const char *text = load_required(loader, setting, "join", "join = \"child.column\";");
    if (!text || !read_join(loader, kind, text, config_setting_get_member(setting, "join"), &dependent->join)) return false;
    load_when_anonymized(loader, setting, dependent);
    return true;
}

static bool is_parent(const struct target *target, const char *table) {
    if (schedule_same_table(table, target->name)) return true;
    for (size_t i = 0; i < target->n_dependents; i++)
        if (schedule_same_table(table, target->dependents[i].join.child_table)) return true;
    return false;
}

static bool same_join(const struct join *a, const struct join *b) {
    if (a->n_columns != b->n_columns || !schedule_same_table(a->child_table, b->child_table) || !a->parent_table != !b->parent_table ||
        (a->parent_table && !schedule_same_table(a->parent_table, b->parent_table))) return false;
    for (size_t i = 0; i < a->n_columns; i++)
        if (strcmp(a->child_columns[i], b->child_columns[i]) != 0) return false;
    return true;
}

static bool hangs_on(const struct target *target, const struct join *join, const bool *reached) {
    if (!join->parent_table || schedule_same_table(join->parent_table, target->name)) return true;
    for (size_t i = 0; i < target->n_dependents; i++)
        if (reached[i] && schedule_same_table(join->parent_table, target->dependents[i].join.child_table)) return true;
    return false;
}

/* Which tables hang on the target: grown from it until nothing is added, so that a circle is found. */
static void check_reach(const struct loader *loader, const struct target *target) {
    bool *reached = ARENA_ARRAY(loader->arena, bool, target->n_dependents);
    for (bool grown = true; grown;) {
        grown = false;
        for (size_t i = 0; i < target->n_dependents; i++) {
            if (reached[i] || !hangs_on(target, &target->dependents[i].join, reached)) continue;
            reached[i] = grown = true;
        }
    }
    for (size_t i = 0; i < target->n_dependents; i++) {
        const struct join *join = &target->dependents[i].join;
        if (reached[i]) continue;
        if (is_parent(target, join->parent_table))
            load_fault_at(loader, join->place, "dependents: \"%s\" hangs on \"%s\" in a circle that does not begin at the target; join one of them to \"%s\"",
                          join->child_table, join->parent_table, target->name);
        else
            load_fault_at(loader, join->place, "dependents: \"%s\" hangs on \"%s\", which is neither the target nor one of its dependents; add it or correct the name",
                          join->child_table, join->parent_table);
    }
}

void load_dependents(struct loader *loader, const config_setting_t *group, struct target *target) {
    const config_setting_t *member = config_setting_get_member(group, "dependents");
    if (!member) return;
    if (target->kind == TARGET_KEYS) {
        load_fault(loader, member, "keys have no dependents; write a target of its own for what else must go");
        return;
    }
    bool several = config_setting_is_list(member) || config_setting_is_array(member);
    unsigned length = several ? (unsigned)config_setting_length(member) : 1;
    struct dependent *dependents = ARENA_ARRAY(loader->arena, struct dependent, length);
    size_t count = 0;
    for (unsigned i = 0; i < length; i++) {
        const config_setting_t *element = several ? config_setting_get_elem(member, i) : member;
        if (!load_dependent(loader, element, target->kind, &dependents[count])) continue;
        for (size_t j = 0; j < count; j++)
            if (same_join(&dependents[j].join, &dependents[count].join))
                load_fault(loader, element, "dependents: \"%s\" is joined in the same way in line %u; leave one", dependents[j].join.child_table,
                           dependents[j].place.line);
        count++;
    }
    target->dependents = dependents;
    target->n_dependents = count;
    if (target->name && count == length) check_reach(loader, target);
}

/* "column = table.column", several with commas for a composite key. */
static bool read_via(const struct loader *loader, const char *from_table, const struct load_text *text, struct join *join) {
    *join = (struct join){.child_table = from_table, .place = load_place(loader, text->setting)};
    for (const char *at = text->text;;) {
        size_t length = strcspn(at, ",");
        const char *equals = memchr(at, '=', length), *table, *column;
        const char *left = equals ? load_trim(loader, at, (size_t)(equals - at)) : "";
        bool good = *left && !strpbrk(left, " \t\"'.") && load_is_name(left) &&
                    divide(loader, TARGET_TABLE, load_trim(loader, equals + 1, length - (size_t)(equals + 1 - at)), &table, &column);
        if (!good || (join->parent_table && strcmp(join->parent_table, table) != 0) || join->n_columns == MOST_JOIN_COLUMNS) {
            load_fault(loader, text->setting, "via = \"%s\" is not understood; write \"column = table.column\", where the column belongs to \"%s\"",
                       text->text, from_table);
            return false;
        }
        join->parent_table = table;
        join->child_columns[join->n_columns] = left;
        join->parent_columns[join->n_columns++] = column;
        if (!at[length]) return true;
        at += length + 1;
    }
}

void load_via(struct loader *loader, const config_setting_t *group, struct target *target) {
    size_t count;
    const struct load_text *texts = load_texts(loader, group, "via", &count);
    const config_setting_t *setting = config_setting_get_member(group, "via");
    if (!count || !target->name) return;
    if (target->kind != TARGET_TABLE) {
        load_fault(loader, setting, "via leads from a table to another; %s cannot have it: write the tenant into each record",
                   target->kind == TARGET_KEYS ? "keys" : "a collection");
        return;
    }
    struct join *via = ARENA_ARRAY(loader->arena, struct join, count);
    const char *from = target->name;
    for (size_t i = 0; i < count; i++) {
        if (!read_via(loader, from, &texts[i], &via[i])) return;
        from = via[i].parent_table;
    }
    target->via = via;
    target->n_via = count;
}
