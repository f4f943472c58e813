/* What only the whole rule and the whole schedule show. */
#include "schedule/load.h"

#include <string.h>

static bool target_has_end(const struct target *target, const char *end) {
    for (size_t i = 0; i < target->n_ends; i++)
        if (!strcmp(target->ends[i].name, end)) return true;
    return false;
}

static void check_keep(const struct loader *loader, const struct target *target, const char *what, const struct keep *keep) {
    if (keep->kind == KEEP_AGE && !target->since)
        load_fault_at(loader, target->place, "%s = \"%s\" counts from the record's birth, and since is missing; name its column, such as since = \"created_at\"",
                      what, schedule_keep_text(loader->arena, keep, 1));
    if (keep->kind != KEEP_END) return;
    if (keep->tenant_end >= 0 && target->no_tenant)
        load_fault_at(loader, target->place, "%s = \"%s\" counts from a tenant's end, which tenant = \"none\" cannot have; name the tenant's column",
                      what, schedule_keep_text(loader->arena, keep, 1));
    if (keep->tenant_end < 0 && !target_has_end(target, keep->end))
        load_fault_at(loader, target->place, "%s = \"%s\", but this target has no end \"%s\"; name its column: ends = { %s = \"…\"; }", what,
                      schedule_keep_text(loader->arena, keep, 1), keep->end, keep->end);
}

static void check_unlisted(const struct loader *loader, const struct target *target) {
    const char *since = target->since;
    if (since && target->kind == TARGET_KEYS) since = strncmp(since, "field:", 6) ? NULL : since + 6;
    for (size_t i = 0; i < target->n_columns; i++) {
        const char *path = target->columns[i].path, *role = NULL;
        if (target->tenant && !target->n_via && !strcmp(path, target->tenant)) role = "tenant";
        else if (since && !strcmp(path, since)) role = "since";
        else if (target->marker && !strcmp(path, target->marker)) role = "marker";
        else if (target->kind == TARGET_COLLECTION && (!strcmp(path, "_id") || !strncmp(path, "_id.", 4))) role = "key";
        for (size_t j = 0; j < target->n_ends && !role; j++)
            if (!strcmp(path, target->ends[j].column)) role = "end";
        if (role)
            load_fault_at(loader, target->columns[i].place, "columns: \"%s\" is the target's %s, which stays as it is; take it out of the list", path, role);
    }
}

static void check_columns(const struct loader *loader, const struct rule *rule, const struct target *target) {
    bool by_time = rule->n_anonymize, blocked = rule->anonymize_blocked;
    bool needed = by_time || (blocked && target->kind != TARGET_KEYS && !target->tenant_in_name);
    if (needed && !target->n_columns)
        load_fault_at(loader, target->place, "columns is missing; say what becomes of every column: columns = ( \"null: …\", \"as-is: …\" )");
    if (target->n_columns && !by_time && !(blocked && target->kind != TARGET_KEYS))
        load_fault_at(loader, target->columns[0].place, "columns says how to anonymize, but the rule never does; add anonymize = \"…\" or if_blocked = \"anonymize\", or take it out");
    if (target->marker && !by_time && !blocked)
        load_fault_at(loader, target->place, "marker says what is anonymized, but the rule never anonymizes; take it out");
    check_unlisted(loader, target);
}

static void check_dependents(const struct loader *loader, const struct rule *rule, const struct target *target) {
    bool anonymizes = rule->n_anonymize || rule->anonymize_blocked;
    for (size_t i = 0; i < target->n_dependents; i++) {
        const struct dependent *dependent = &target->dependents[i];
        if (anonymizes && dependent->when_anonymized == WHEN_ANONYMIZED_UNSET)
            load_fault_at(loader, dependent->place, "dependents: the rule anonymizes, and it is not said what becomes of \"%s\" then; "
                          "write { join = \"…\"; when_anonymized = \"purge\"; }, \"as-is\", or columns = ( … )", dependent->join.child_table);
        if (!anonymizes && dependent->when_anonymized != WHEN_ANONYMIZED_UNSET)
            load_fault_at(loader, dependent->place, "dependents: \"%s\" says what becomes of it when the target is anonymized, but the rule never anonymizes; take that out",
                          dependent->join.child_table);
    }
}

static void check_twice(const struct loader *loader, const struct rule *rule, size_t index) {
    const struct target *target = &rule->targets[index];
    for (size_t i = 0; i < index; i++) {
        const struct target *other = &rule->targets[i];
        if (!other->name || other->kind != target->kind || other->store != target->store) continue;
        bool same = target->kind == TARGET_TABLE ? load_same_table(target->name, other->name) : !strcmp(target->name, other->name);
        if (same) load_fault_at(loader, target->place, "is already a target of this rule (line %u); leave one", other->place.line);
    }
}

static void check_at_least(const struct loader *loader, const struct rule *rule, const struct target *target) {
    if (rule->at_least.count && !target->since)
        load_fault_at(loader, target->place, "at_least counts from the record's birth, and since is missing; name its column, such as since = \"created_at\"");
    if (rule->per_tenant && target->no_tenant)
        load_fault_at(loader, target->place, "per_tenant gives tenants periods of their own, which tenant = \"none\" cannot have; name the tenant's column");
}

void load_check_rule(struct loader *loader, struct rule *rule) {
    const char *outer = loader->subject;
    for (size_t i = 0; i < rule->n_targets; i++) {
        struct target *target = load_mutable(&rule->targets[i]);
        if (!target->name) continue;
        loader->subject = arena_printf(loader->arena, "%.*s, %s \"%s\": ", (int)(strlen(outer) - 2), outer, schedule_target_word(target->kind), target->name);
        for (size_t j = 0; j < rule->n_keep; j++) check_keep(loader, target, "keep", &rule->keep[j]);
        for (size_t j = 0; j < rule->n_anonymize; j++) check_keep(loader, target, "anonymize", &rule->anonymize[j]);
        check_at_least(loader, rule, target);
        check_columns(loader, rule, target);
        check_dependents(loader, rule, target);
        check_twice(loader, rule, i);
        target->drop = target->kind == TARGET_COLLECTION && target->tenant_in_name && !target->only && !rule->at_least.count;
    }
    loader->subject = outer;
}

static const struct target *floored(const struct schedule *schedule, const struct target *of, const char *table) {
    for (size_t i = 0; i < schedule->n_targets; i++) {
        const struct target *target = schedule->targets[i];
        if (!target->name || !target->rule->at_least.count || target->kind != of->kind || target->store != of->store) continue;
        if (of->kind == TARGET_TABLE ? load_same_table(target->name, table) : !strcmp(target->name, table)) return target;
    }
    return NULL;
}

void load_check_schedule(struct loader *loader) {
    const struct schedule *schedule = loader->schedule;
    for (size_t i = 0; i < schedule->n_targets; i++) {
        const struct target *target = schedule->targets[i];
        for (size_t j = 0; j < target->n_dependents; j++) {
            const struct dependent *dependent = &target->dependents[j];
            const struct target *floor = floored(schedule, target, dependent->join.child_table);
            if (!floor || (target->name && load_same_table(dependent->join.child_table, target->name) && floor == target)) continue;
            load_fault_at(loader, dependent->place, "\"%s\", %s \"%s\": the dependent \"%s\" must be kept at least %s by \"%s\" (line %u), so it cannot go with its parent; "
                          "take it out, and what it refers to stays as long", target->rule->data ? target->rule->data : "a rule", schedule_target_word(target->kind),
                          target->name ? target->name : "", dependent->join.child_table, period_format(floor->rule->at_least).text,
                          floor->rule->data ? floor->rule->data : "another rule", floor->rule->place.line);
        }
    }
}
