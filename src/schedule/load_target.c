#include "schedule/lexer.h"
#include "schedule/load.h"

#include <ctype.h>
#include <string.h>

static const char *const kind_settings[] = {[TARGET_TABLE] = "table", [TARGET_COLLECTION] = "collection", [TARGET_KEYS] = "keys"};

static size_t occurrences(const char *text, const char *part) {
    size_t count = 0;
    for (; (text = strstr(text, part)); text += strlen(part)) count++;
    return count;
}

/* Formats of {date:…} that stand for one stretch of time: %Y, then %m, and so on. */
static bool is_date_format(const char *format, const char *end) {
    const char *units = "YmdHMS";
    for (; format < end; format++) {
        if (*format != '%') continue;
        if (!*units || *++format != *units++) return false;
    }
    return *units != 'Y';
}

/* "{tenant}" and "{date}" stand for something; '*' for anything; every other character for itself. */
static bool begins_placeholder(const char *at) {
    return *at == '*' || !strncmp(at, "{tenant}", 8) || !strncmp(at, "{date}", 6) || !strncmp(at, "{date:", 6);
}

static void check_pattern(const struct loader *loader, const config_setting_t *setting, const struct target *target) {
    const char *name = target->name, *tenant = strstr(name, "{tenant}"), *format = strstr(name, "{date:"), *close = format ? strchr(format, '}') : NULL;
    if (tenant && begins_placeholder(tenant + 8))
        load_fault(loader, setting, "\"%s\" does not show where {tenant} ends; put a literal character behind it, such as \"{tenant}:*\"", name);
    if (occurrences(name, "{date}") + occurrences(name, "{date:") > 1) load_fault(loader, setting, "\"%s\" has {date} twice; write it once", name);
    if (format && !close) load_fault(loader, setting, "\"%s\" does not close {date:…}; write {date:%%Y%%m%%d}", name);
    else if (format && !is_date_format(format + 6, close))
        load_fault(loader, setting, "\"%s\" has a date format that is not %%Y, %%m, %%d, %%H, %%M, %%S in this sequence from %%Y on; write {date:%%Y%%m%%d}", name);
    if (strstr(name, "\\{tenant}") || strstr(name, "\\{date"))
        load_fault(loader, setting, "\"%s\" has a backslash before a placeholder; literal ones cannot be written", name);
    const char *at = name;
    while (begins_placeholder(at)) at += *at == '*' ? 1 : strcspn(at, "}") + (strchr(at, '}') != NULL);
    if (!*at) load_fault(loader, setting, "\"%s\" has no literal text and would be every key; begin it with your keys' prefix", name);
}

/* The kind and the name; false: a fault. */
static bool load_place_of_data(const struct loader *loader, const config_setting_t *group, struct target *target) {
    const config_setting_t *found = NULL;
    size_t count = 0;
    for (size_t i = 0; i < 3; i++) {
        const config_setting_t *setting = config_setting_get_member(group, kind_settings[i]);
        if (!setting) continue;
        count++;
        found = setting;
        target->kind = (enum target_kind)i;
    }
    if (count != 1) {
        load_fault(loader, group, "a target %s; write one of table = \"…\", collection = \"…\" or keys = \"…\"", count ? "names several places" : "names no place");
        return false;
    }
    target->name = target->kind == TARGET_KEYS ? load_string(loader, group, "keys") : load_name(loader, group, kind_settings[target->kind]);
    if (!target->name) return false;
    target->tenant_in_name = target->kind != TARGET_TABLE && strstr(target->name, "{tenant}");
    if (target->kind != TARGET_TABLE && occurrences(target->name, "{tenant}") > 1)
        load_fault(loader, found, "\"%s\" has {tenant} twice; write it once", target->name);
    else if (target->kind == TARGET_KEYS) check_pattern(loader, found, target);
    const char *dot = strchr(target->name, '.');
    if (target->kind == TARGET_TABLE && dot && (dot == target->name || !dot[1] || strchr(dot + 1, '.')))
        load_fault(loader, found, "table = \"%s\" is not a name; write \"table\" or \"schema.table\"", target->name);
    return true;
}

static void load_no_tenant(const struct loader *loader, const config_setting_t *group, struct target *target) {
    const config_setting_t *setting = config_setting_get_member(group, "tenant");
    target->no_tenant = true;
    if (target->tenant_in_name) load_fault(loader, setting, "tenant = \"none\", but the name holds {tenant}; leave one");
    if (config_setting_get_member(group, "via"))
        load_fault(loader, setting, "tenant = \"none\" and via contradict each other; name the tenant's column at the end of via");
}

static void fault_no_tenant(const struct loader *loader, const config_setting_t *group, enum target_kind kind) {
    if (kind == TARGET_KEYS) load_fault(loader, group, "no tenant is named; write {tenant} in the pattern, or write tenant = \"none\" if the keys have no tenants");
    else
        load_fault(loader, group, "no tenant is named; name its column (tenant = \"customer_id\"), or write tenant = \"none\" if the %s has no tenants", kind_settings[kind]);
}

static void load_tenant_of(const struct loader *loader, const config_setting_t *group, struct target *target) {
    const config_setting_t *setting = config_setting_get_member(group, "tenant");
    const char *tenant = load_name(loader, group, "tenant");
    if (tenant && !strcmp(tenant, "none")) load_no_tenant(loader, group, target);
    else if (tenant && target->tenant_in_name) load_fault(loader, setting, "tenant = \"%s\" and {tenant} in the name both say whose it is; leave one", tenant);
    else if (tenant && target->kind == TARGET_KEYS) load_fault(loader, setting, "keys have no tenant column; write {tenant} in the pattern, or tenant = \"none\"");
    else if (!setting && !target->tenant_in_name) fault_no_tenant(loader, group, target->kind);
    else target->tenant = tenant;
}

/* Where a key says its time. */
static void check_key_anchor(const struct loader *loader, const config_setting_t *setting, const struct target *target, const char *what, const char *anchor) {
    if (!strcmp(anchor, "{date}")) {
        if (!strstr(target->name, "{date}") && !strstr(target->name, "{date:"))
            load_fault(loader, setting, "%s = \"{date}\", but the pattern holds no {date}; write one, such as \"stats:{date:%%Y%%m%%d}\"", what);
    } else if (!strcmp(anchor, "score")) {
        if (target->unit == UNIT_NONE) load_fault(loader, setting, "%s = \"score\" does not say what the score counts; add unit = \"s\" or unit = \"ms\"", what);
    } else if (strcmp(anchor, "stream-id") != 0 && (strncmp(anchor, "field:", 6) != 0 || !anchor[6])) {
        load_fault(loader, setting, "%s = \"%s\" is unknown for keys; write \"score\", \"stream-id\", \"field:NAME\" or \"{date}\"", what, anchor);
    }
}

static bool is_zone(const char *zone) {
    if (!strcmp(zone, "UTC") || !strcmp(zone, "GMT")) return true;
    const char *slash = strchr(zone, '/');
    if (!slash || slash == zone || !slash[1] || !isupper((unsigned char)*zone)) return false;
    for (; *zone; zone++)
        if (!isalnum((unsigned char)*zone) && !strchr("/_+-", *zone)) return false;
    return true;
}

static void load_since(const struct loader *loader, const config_setting_t *group, struct target *target) {
    target->since = load_name(loader, group, "since");
    const config_setting_t *unit_setting = config_setting_get_member(group, "unit");
    const char *unit = load_string(loader, group, "unit");
    if (unit && !strcmp(unit, "s")) target->unit = UNIT_SECONDS;
    else if (unit && !strcmp(unit, "ms")) target->unit = UNIT_MILLISECONDS;
    else if (unit) load_fault(loader, unit_setting, "unit = \"%s\" is unknown; write \"s\" or \"ms\"", unit);
    if (unit_setting && !config_setting_get_member(group, "since")) load_fault(loader, unit_setting, "unit belongs to since, and there is none; take it out");
    if (target->kind == TARGET_KEYS && target->since)
        check_key_anchor(loader, config_setting_get_member(group, "since"), target, "since", target->since);
    target->zone = load_string(loader, group, "zone");
    if (target->zone && !is_zone(target->zone))
        load_fault(loader, config_setting_get_member(group, "zone"), "zone = \"%s\" is not the name of a time zone; write \"UTC\" or a name such as \"Europe/Berlin\"", target->zone);
    else if (target->zone && target->kind == TARGET_KEYS && strcmp(target->zone, "UTC") != 0)
        load_fault(loader, config_setting_get_member(group, "zone"), "keys are read in UTC; take zone out, and make the period a day longer if they are not written so");
}

static void load_record_ends(const struct loader *loader, const config_setting_t *group, struct target *target) {
    const config_setting_t *member = load_group(loader, group, "ends");
    if (!member) return;
    unsigned count = (unsigned)config_setting_length(member);
    if (!count) load_fault(loader, member, "ends is empty; write ends = { deletion = \"deleted_at\"; }, or leave it out");
    struct record_end *ends = ARENA_ARRAY(loader->arena, struct record_end, count);
    for (unsigned i = 0; i < count; i++) {
        const config_setting_t *element = config_setting_get_elem(member, i);
        const char *name = config_setting_name(element);
        struct record_end end = {.name = arena_strdup(loader->arena, name), .column = load_name(loader, member, name)};
        if (!load_is_end_name(name)) load_fault(loader, element, "the end \"%s\" is not a name; write it in a-z, 0-9 and _", name);
        else if (load_tenant_end(loader->schedule, name) >= 0)
            load_fault(loader, element, "the end \"%s\" is already one of the tenants'; give the record's end another name", name);
        else if (target->n_ends == MOST_ENDS) load_fault(loader, element, "there are more than %d ends; take some out", MOST_ENDS);
        else if (end.column) {
            if (target->kind == TARGET_KEYS) check_key_anchor(loader, element, target, name, end.column);
            ends[target->n_ends++] = end;
        }
    }
    target->ends = ends;
}

static void load_only(const struct loader *loader, const config_setting_t *group, struct target *target) {
    const config_setting_t *setting = config_setting_get_member(group, "only");
    target->only = load_string(loader, group, "only");
    if (!target->only) return;
    struct err err;
    if (target->kind == TARGET_KEYS) load_fault(loader, setting, "keys have no condition; say it in the pattern");
    else if (target->kind == TARGET_TABLE ? lexer_check_condition(target->only, &err) : lexer_check_filter(target->only, &err))
        load_fault(loader, setting, "the condition in only %s", err.text);
}

static void load_key(const struct loader *loader, const config_setting_t *group, struct target *target) {
    target->key = load_name(loader, group, "key");
    if (target->key && target->kind != TARGET_TABLE)
        load_fault(loader, config_setting_get_member(group, "key"), "key names a table's unique index; %s its own identity: take it out",
                   target->kind == TARGET_KEYS ? "a key is" : "a document's _id is");
}

const char *load_subject(const struct loader *loader, const char *rule_subject, const struct target *target) {
    return arena_printf(loader->arena, "%.*s, %s \"%s\": ", (int)(strlen(rule_subject) - 2), rule_subject, kind_settings[target->kind], target->name);
}

/* What goes whole has no condition, and takes nothing along. */
static void load_drop(const struct loader *loader, const config_setting_t *group, struct target *target) {
    const config_setting_t *setting = config_setting_get_member(group, "drop");
    if (!setting) return;
    if (config_setting_type(setting) != CONFIG_TYPE_BOOL) load_fault(loader, setting, "drop is not true or false; write drop = true without quotes");
    else if (target->kind != TARGET_TABLE) load_fault(loader, setting, "drop is for partitioned tables; take it out (a tenant's own collection goes whole by itself)");
    else target->drop = config_setting_get_bool(setting) != 0;
    if (target->drop && (!target->since || target->only || target->n_via || target->n_dependents))
        load_fault(loader, setting, "drop = true is for partitions that go by their age alone; %s",
                   !target->since ? "write since" : target->only ? "take it out, or only" : target->n_via ? "take it out, or via" : "take it out, or dependents");
}

static void load_target(struct loader *loader, const config_setting_t *group, const struct rule *rule, struct target *target) {
    static const char *const known[] = {"table", "collection", "keys", "store", "tenant", "via", "since", "zone", "unit",
                                        "ends", "only", "key", "marker", "columns", "dependents", "drop", NULL};
    static const enum store_kind stores[] = {[TARGET_TABLE] = STORE_POSTGRESQL, [TARGET_COLLECTION] = STORE_MONGODB, [TARGET_KEYS] = STORE_REDIS};
    const char *outer = loader->subject;
    *target = (struct target){.rule = rule, .place = load_place(loader, group)};
    if (!config_setting_is_group(group)) {
        load_fault(loader, group, "targets holds something that is not a group; write { table = \"…\"; … }");
        return;
    }
    load_known(loader, group, known);
    if (!load_place_of_data(loader, group, target)) return;
    loader->subject = load_subject(loader, outer, target);
    target->store = load_store(loader, group, stores[target->kind]);
    load_tenant_of(loader, group, target);
    load_via(loader, group, target);
    load_since(loader, group, target);
    load_record_ends(loader, group, target);
    load_only(loader, group, target);
    load_key(loader, group, target);
    target->marker = load_name(loader, group, "marker");
    target->columns = load_columns(loader, group, &target->n_columns);
    load_dependents(loader, group, target);
    load_drop(loader, group, target);
    loader->subject = outer;
}

void load_targets(struct loader *loader, const config_setting_t *group, struct rule *rule) {
    const config_setting_t *member = config_setting_get_member(group, "targets");
    if (!member || !config_setting_is_list(member) || !config_setting_length(member)) {
        load_fault(loader, member ? member : group, "targets %s; write where the data lies: targets = ( { table = \"…\"; tenant = \"…\"; } )",
                   !member ? "is missing" : config_setting_is_list(member) ? "is empty" : "is not a list");
        return;
    }
    unsigned count = (unsigned)config_setting_length(member);
    struct target *targets = ARENA_ARRAY(loader->arena, struct target, count);
    for (unsigned i = 0; i < count; i++) load_target(loader, config_setting_get_elem(member, i), rule, &targets[i]);
    rule->targets = targets;
    rule->n_targets = count;
}
