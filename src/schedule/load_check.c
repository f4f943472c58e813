/* What only the whole rule and the whole schedule show. */
#include "schedule/load.h"

#include "base/text.h"

#include <string.h>

/* A rule or a target, and the group it was read from: a setting that is given, but had a fault, is not missing. */
struct checking {
    const struct loader *loader;
    const config_setting_t *rule_group, *group;
    const struct rule *rule;
    const struct target *target;
};

static bool is_given(const config_setting_t *group, const char *name) { return config_setting_get_member(group, name); }
static bool anonymizes_by_time(const struct checking *checking) { return is_given(checking->rule_group, "anonymize"); }

static bool target_has_end(const struct checking *checking, const char *end) {
    const config_setting_t *ends = config_setting_get_member(checking->group, "ends");
    return ends && (!config_setting_is_group(ends) || is_given(ends, end));
}

static void check_keep(const struct checking *checking, const char *what, const struct keep *keep) {
    const struct loader *loader = checking->loader;
    const struct target *target = checking->target;
    const char *text = schedule_keep_text(loader->arena, keep, 1);
    if (keep->kind == KEEP_AGE && !is_given(checking->group, "since"))
        load_fault_at(loader, target->place, "%s = \"%s\" counts from the record's birth, and since is missing; name its column, such as since = \"created_at\"", what, text);
    if (keep->kind != KEEP_END) return;
    if (keep->tenant_end >= 0 && target->no_tenant)
        load_fault_at(loader, target->place, "%s = \"%s\" counts from a tenant's end, which tenant = \"none\" cannot have; name the tenant's column", what, text);
    if (keep->tenant_end < 0 && !target_has_end(checking, keep->end))
        load_fault_at(loader, target->place, "%s = \"%s\", but this target has no end \"%s\"; name its column: ends = { %s = \"…\"; }", what, text, keep->end, keep->end);
}

/* "field:NAME" of a hash is its field NAME. */
static const char *field_of(const struct target *target, const char *anchor) {
    return target->kind == TARGET_KEYS && !strncmp(anchor, "field:", 6) ? anchor + 6 : anchor;
}

static bool joins(const struct join *join, const char *column) {
    for (size_t i = 0; i < join->n_columns; i++)
        if (!strcmp(join->child_columns[i], column)) return true;
    return false;
}

/* What the column is to the target, if that stays as it is; else NULL. */
static const char *role_of(const struct target *target, const char *path) {
    if (target->tenant && !target->n_via && !strcmp(path, target->tenant)) return "tenant";
    if (target->since && !strcmp(path, field_of(target, target->since))) return "since";
    if (target->marker && !strcmp(path, target->marker)) return "marker";
    if (target->kind == TARGET_COLLECTION && (!strcmp(path, "_id") || !strncmp(path, "_id.", 4))) return "key";
    if (target->n_via && joins(&target->via[0], path)) return "way to its tenant (via)";
    for (size_t i = 0; i < target->n_ends; i++)
        if (!strcmp(path, field_of(target, target->ends[i].column))) return "end";
    return NULL;
}

static void check_unlisted(const struct loader *loader, const struct target *target) {
    for (size_t i = 0; i < target->n_columns; i++) {
        const char *path = target->columns[i].path, *role = role_of(target, path);
        if (role)
            load_fault_at(loader, target->columns[i].place, "columns: \"%s\" is the target's %s, which stays as it is; take it out of the list", path, role);
    }
}

static void check_columns(const struct checking *checking) {
    const struct loader *loader = checking->loader;
    const struct target *target = checking->target;
    bool by_time = anonymizes_by_time(checking), blocked = checking->rule->anonymize_blocked, given = is_given(checking->group, "columns");
    if (!given && (by_time || (blocked && target->kind != TARGET_KEYS && !target->tenant_in_name)))
        load_fault_at(loader, target->place, "columns is missing; say what becomes of every column: columns = ( \"null: …\", \"as-is: …\" )");
    if (given && !by_time && !(blocked && target->kind != TARGET_KEYS))
        load_fault(loader, config_setting_get_member(checking->group, "columns"),
                   "columns says how to anonymize, but the rule never does; add anonymize = \"…\" or if_blocked = \"anonymize\", or take it out");
    if (is_given(checking->group, "marker") && !by_time && !blocked)
        load_fault(loader, config_setting_get_member(checking->group, "marker"), "marker says what is anonymized, but the rule never anonymizes; take it out");
    check_unlisted(loader, target);
}

static void check_dependents(const struct checking *checking) {
    bool anonymizes = anonymizes_by_time(checking) || checking->rule->anonymize_blocked;
    for (size_t i = 0; i < checking->target->n_dependents; i++) {
        const struct dependent *dependent = &checking->target->dependents[i];
        for (size_t j = 0; j < dependent->n_columns; j++)
            if (joins(&dependent->join, dependent->columns[j].path))
                load_fault_at(checking->loader, dependent->columns[j].place, "columns: \"%s\" joins \"%s\" to its parent and stays as it is; take it out of the list",
                              dependent->columns[j].path, dependent->join.child_table);
        if (anonymizes && dependent->when_anonymized == WHEN_ANONYMIZED_UNSET)
            load_fault_at(checking->loader, dependent->place, "dependents: the rule anonymizes, and it is not said what becomes of \"%s\" then; "
                          "write { join = \"…\"; when_anonymized = \"purge\"; }, \"as-is\", or columns = ( … )", dependent->join.child_table);
        if (!anonymizes && dependent->when_anonymized != WHEN_ANONYMIZED_UNSET)
            load_fault_at(checking->loader, dependent->place, "dependents: \"%s\" says what becomes of it when the target is anonymized, but the rule never anonymizes; take that out",
                          dependent->join.child_table);
    }
}

static void check_twice(const struct loader *loader, const struct rule *rule, size_t index) {
    const struct target *target = &rule->targets[index];
    for (size_t i = 0; i < index; i++) {
        const struct target *other = &rule->targets[i];
        if (!other->name || other->kind != target->kind || other->store != target->store) continue;
        bool same = target->kind == TARGET_TABLE ? schedule_same_table(target->name, other->name) : !strcmp(target->name, other->name);
        if (same) load_fault_at(loader, target->place, "is already a target of this rule (line %u); leave one", other->place.line);
    }
}

static void check_birth(const struct checking *checking) {
    const struct rule *rule = checking->rule;
    bool by_age = false; /* then since is asked for already */
    for (size_t i = 0; i < rule->n_keep; i++) by_age |= rule->keep[i].kind == KEEP_AGE;
    for (size_t i = 0; i < rule->n_anonymize; i++) by_age |= rule->anonymize[i].kind == KEEP_AGE;
    if (rule->at_least.count && !by_age && !is_given(checking->group, "since"))
        load_fault_at(checking->loader, checking->target->place, "at_least counts from the record's birth, and since is missing; name its column, such as since = \"created_at\"");
    if (rule->per_tenant && checking->target->no_tenant)
        load_fault_at(checking->loader, checking->target->place, "per_tenant gives tenants periods of their own, which tenant = \"none\" cannot have; name the tenant's column");
}

static void check_target(const struct checking *checking) {
    const struct rule *rule = checking->rule;
    for (size_t i = 0; i < rule->n_keep; i++) check_keep(checking, "keep", &rule->keep[i]);
    for (size_t i = 0; i < rule->n_anonymize; i++) check_keep(checking, "anonymize", &rule->anonymize[i]);
    check_birth(checking);
    if (is_given(checking->rule_group, "if_blocked") && !rule->anonymize_blocked) return; /* who knows what was meant */
    check_columns(checking);
    check_dependents(checking);
}

void load_check_rule(struct loader *loader, const config_setting_t *group, struct rule *rule) {
    const char *outer = loader->subject;
    for (size_t i = 0; i < rule->n_targets; i++) {
        struct target *target = load_mutable(&rule->targets[i]);
        if (!target->name) continue;
        loader->subject = load_subject(loader, outer, target);
        struct checking checking = {.loader = loader, .rule_group = group, .rule = rule, .target = target,
                                    .group = config_setting_get_elem(config_setting_get_member(group, "targets"), (unsigned)i)};
        check_target(&checking);
        check_twice(loader, rule, i);
        if (target->kind == TARGET_COLLECTION) target->drop = target->tenant_in_name && !target->only && !rule->at_least.count;
    }
    loader->subject = outer;
}

/* Two rules may anonymize one place in stages. Each change must stand before the other, or they would take turns for ever. */
static bool stands_before(const struct column *a, const struct column *b) {
    if (a->strategy == STRATEGY_AS_IS || b->strategy == STRATEGY_AS_IS) return true;
    if (a->strategy == b->strategy) return a->strategy == STRATEGY_TRUNCATE_TIME || text_equal(a->argument, b->argument);
    return (a->strategy == STRATEGY_NULL && b->strategy != STRATEGY_FIXED) || (b->strategy == STRATEGY_NULL && a->strategy != STRATEGY_FIXED);
}

static void check_stages(const struct loader *loader, const struct target *target, const struct target *earlier) {
    bool same = target->kind == TARGET_TABLE ? schedule_same_table(target->name, earlier->name) : !strcmp(target->name, earlier->name);
    if (!same) return;
    if (target->marker && text_equal(target->marker, earlier->marker))
        load_fault_at(loader, target->place, "\"%s\" already marks with \"%s\" what it anonymized here (line %u), so that this rule would find it done; "
                      "name a marker of its own", earlier->rule->data ? earlier->rule->data : "another rule", target->marker, earlier->place.line);
    for (size_t i = 0; i < target->n_columns; i++)
        for (size_t j = 0; j < earlier->n_columns; j++)
            if (!strcmp(target->columns[i].path, earlier->columns[j].path) && !stands_before(&target->columns[i], &earlier->columns[j]))
                load_fault_at(loader, target->columns[i].place, "columns: \"%s\" is changed in another way by \"%s\" (line %u), and each would undo the other; "
                              "write the same in both, or null in the later one", target->columns[i].path,
                              earlier->rule->data ? earlier->rule->data : "another rule", earlier->columns[j].place.line);
}

static void check_all_stages(const struct loader *loader) {
    const struct schedule *schedule = loader->schedule;
    for (size_t i = 0; i < schedule->n_targets; i++) {
        const struct target *target = schedule->targets[i];
        for (size_t j = 0; target->name && target->n_columns && j < i; j++) {
            const struct target *earlier = schedule->targets[j];
            if (earlier->name && earlier->n_columns && earlier->rule != target->rule && earlier->kind == target->kind && earlier->store == target->store)
                check_stages(loader, target, earlier);
        }
    }
}

static const struct target *floored(const struct schedule *schedule, const struct target *of, const char *table) {
    for (size_t i = 0; i < schedule->n_targets; i++) {
        const struct target *target = schedule->targets[i];
        if (!target->name || !target->rule->at_least.count || target->kind != of->kind || target->store != of->store) continue;
        if (of->kind == TARGET_TABLE ? schedule_same_table(target->name, table) : !strcmp(target->name, table)) return target;
    }
    return NULL;
}

void load_check_schedule(struct loader *loader) {
    const struct schedule *schedule = loader->schedule;
    check_all_stages(loader);
    for (size_t i = 0; i < schedule->n_targets; i++) {
        const struct target *target = schedule->targets[i];
        for (size_t j = 0; j < target->n_dependents; j++) {
            const struct dependent *dependent = &target->dependents[j];
            const struct target *floor = floored(schedule, target, dependent->join.child_table);
            if (!floor) continue;
            load_fault_at(loader, dependent->place, "\"%s\", %s \"%s\": the dependent \"%s\" must be kept at least %s by \"%s\" (line %u), so it cannot go with its parent; "
                          "take it out, and what it refers to stays as long", target->rule->data ? target->rule->data : "a rule", schedule_target_word(target->kind),
                          target->name ? target->name : "", dependent->join.child_table, period_format(floor->rule->at_least).text,
                          floor->rule->data ? floor->rule->data : "another rule", floor->rule->place.line);
        }
    }
}
