#include "schedule/load.h"

#include <ctype.h>
#include <string.h>

static void load_if_blocked(const struct loader *loader, const config_setting_t *group, struct rule *rule) {
    const char *text = load_string(loader, group, "if_blocked");
    if (text && strcmp(text, "anonymize") != 0)
        load_fault(loader, config_setting_get_member(group, "if_blocked"), "if_blocked = \"%s\" is unknown; write \"anonymize\", or leave it out to keep the record as it is", text);
    rule->anonymize_blocked = text && !strcmp(text, "anonymize");
}

/* They stand in tables, journals and messages. */
static void check_printable(const struct loader *loader, const config_setting_t *group, const char *name, const char *text) {
    for (; text && *text; text++) {
        if (!iscntrl((unsigned char)*text)) continue;
        load_fault(loader, config_setting_get_member(group, name), "%s holds a line break or another control character; write it in one line", name);
        return;
    }
}

static void load_rule(struct loader *loader, const config_setting_t *group, struct rule *rule) {
    static const char *const known[] = {"data", "keep", "anonymize", "at_least", "per_tenant", "if_blocked", "basis", "targets", NULL};
    rule->place = load_place(loader, group);
    if (!config_setting_is_group(group)) {
        load_fault(loader, group, "schedule holds something that is not a rule; write { data = \"…\"; keep = \"…\"; basis = \"…\"; targets = ( … ); }");
        return;
    }
    loader->subject = "a rule: ";
    rule->data = load_required(loader, group, "data", "data = \"…\", its name in the published table");
    loader->subject = rule->data ? arena_printf(loader->arena, "\"%s\": ", rule->data) : arena_printf(loader->arena, "rule %zu: ", rule->number + 1);
    load_known(loader, group, known);
    rule->basis = load_required(loader, group, "basis", "basis = \"…\", why the data is kept that long");
    check_printable(loader, group, "data", rule->data);
    check_printable(loader, group, "basis", rule->basis);
    load_if_blocked(loader, group, rule);
    load_targets(loader, group, rule);
    load_periods(loader, group, rule);
    load_per_tenant(loader, group, rule);
    load_check_rule(loader, group, rule);
}

static void check_names(const struct loader *loader, const struct rule *rules, size_t count) {
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i && rules[i].data; j++)
            if (rules[j].data && !strcmp(rules[i].data, rules[j].data)) {
                load_fault_at(loader, rules[i].place, "\"%s\" is already the name of the rule in line %u; give each rule its own", rules[i].data, rules[j].place.line);
                break;
            }
}

static void number_targets(struct loader *loader, struct rule *rules, size_t n_rules) {
    const struct target **all = NULL;
    size_t count = 0;
    for (size_t i = 0; i < n_rules; i++) {
        for (size_t j = 0; j < rules[i].n_targets; j++) {
            load_mutable(&rules[i].targets[j])->number = count;
            *ARENA_APPEND(loader->arena, all, count) = &rules[i].targets[j];
        }
    }
    loader->schedule->targets = all;
    loader->schedule->n_targets = count;
}

void load_rules(struct loader *loader, const config_setting_t *list) {
    unsigned count = (unsigned)config_setting_length(list);
    struct rule *rules = ARENA_ARRAY(loader->arena, struct rule, count);
    for (unsigned i = 0; i < count; i++) {
        rules[i].number = i;
        load_rule(loader, config_setting_get_elem(list, i), &rules[i]);
    }
    loader->subject = "";
    check_names(loader, rules, count);
    number_targets(loader, rules, count);
    loader->schedule->rules = rules;
    loader->schedule->n_rules = count;
    load_check_schedule(loader);
}
