#include "base/time.h"
#include "schedule/load.h"

#include <ctype.h>
#include <string.h>

/* The ends that a rule may name: the tenants' and those of its own targets. */
static const char *known_ends(const struct loader *loader, const struct rule *rule, const char *name, bool *ret_known) {
    const struct tenants_conf *tenants = &loader->schedule->tenants;
    const char **names = NULL;
    size_t count = 0;
    for (size_t i = 0; i < tenants->n_ends; i++) *ARENA_APPEND(loader->arena, names, count) = tenants->ends[i];
    for (size_t i = 0; i < rule->n_targets; i++)
        for (size_t j = 0; j < rule->targets[i].n_ends; j++) *ARENA_APPEND(loader->arena, names, count) = rule->targets[i].ends[j].name;
    *ret_known = false;
    for (size_t i = 0; i < count; i++) *ret_known |= !strcmp(names[i], name);
    if (!count) return "there is none: name the tenants' in tenants.ends, or a record's own in the target's ends";
    return arena_printf(loader->arena, "known are %s", load_choices(loader, names, count));
}

static bool read_end(const struct loader *loader, const struct rule *rule, const char *what, const struct load_text *from, const char *name,
                     struct keep *keep) {
    bool known;
    const char *known_text = known_ends(loader, rule, name, &known);
    keep->kind = KEEP_END;
    keep->end = name;
    keep->tenant_end = load_tenant_end(loader->schedule, name);
    if (!*name) load_fault(loader, from->setting, "%s = \"%s\" names no end; %s", what, from->text, known_text);
    else if (!known) load_fault(loader, from->setting, "%s = \"%s\": \"%s\" is no known end; %s", what, from->text, name, known_text);
    return known;
}

static bool read_period(const struct loader *loader, const char *what, const struct load_text *from, const char *text, struct keep *keep) {
    struct err err;
    if (!period_parse(text, &keep->period, &err)) return true;
    if (!strcmp(text, from->text)) load_fault(loader, from->setting, "%s = %s", what, err.text);
    else load_fault(loader, from->setting, "%s = \"%s\": %s", what, from->text, err.text);
    return false;
}

/* PERIOD | END + PERIOD | until END | forever */
static bool read_keep(const struct loader *loader, const struct rule *rule, const char *what, const struct load_text *from, struct keep *keep) {
    *keep = (struct keep){.kind = KEEP_AGE, .tenant_end = -1, .place = load_place(loader, from->setting)};
    const char *text = load_trim(loader, from->text, strlen(from->text)), *plus = strchr(text, '+');
    if (!strcmp(text, "forever")) {
        keep->kind = KEEP_FOREVER;
        return true;
    }
    if (!strncmp(text, "until ", 6) || !strcmp(text, "until")) return read_end(loader, rule, what, from, load_trim(loader, text + 5, strlen(text + 5)), keep);
    if (isdigit((unsigned char)*text) || *text == '-' || *text == '+') return read_period(loader, what, from, text, keep);
    if (plus) {
        bool end = read_end(loader, rule, what, from, load_trim(loader, text, (size_t)(plus - text)), keep);
        return read_period(loader, what, from, load_trim(loader, plus + 1, strlen(plus + 1)), keep) && end;
    }
    bool known;
    (void)known_ends(loader, rule, text, &known);
    if (known) load_fault(loader, from->setting, "%s = \"%s\" does not say how long; write \"until %s\" or \"%s + 30 days\"", what, text, text, text);
    else load_fault(loader, from->setting, "%s = \"%s\" is not understood; write \"30 days\", \"END + 30 days\", \"until END\" or \"forever\"", what, text);
    return false;
}

static bool same_keep(const struct keep *a, const struct keep *b) {
    return a->kind == b->kind && (a->kind != KEEP_END || !strcmp(a->end, b->end));
}

static const struct keep *read_keeps(const struct loader *loader, const config_setting_t *group, const struct rule *rule, const char *what,
                                     size_t *ret_count) {
    size_t n_texts, count = 0;
    const struct load_text *texts = load_texts(loader, group, what, &n_texts);
    struct keep *keeps = ARENA_ARRAY(loader->arena, struct keep, n_texts);
    bool good = true;
    for (size_t i = 0; i < n_texts; i++) {
        if (!read_keep(loader, rule, what, &texts[i], &keeps[count])) {
            good = false;
            continue;
        }
        for (size_t j = 0; j < count; j++)
            if (same_keep(&keeps[j], &keeps[count]))
                load_fault(loader, texts[i].setting, "%s says \"%s\" beside \"%s\", and only the shorter of them would count; leave one", what,
                           texts[i].text, schedule_keep_text(loader->arena, &keeps[j], 1));
        if (keeps[count].kind == KEEP_FOREVER && n_texts > 1)
            load_fault(loader, texts[i].setting, "%s says \"forever\" in a list with others, which could never count; leave one of them", what);
        count++;
    }
    *ret_count = good ? count : 0;
    return keeps;
}

bool load_is_longer(struct period a, struct period b) {
    int64_t from = time_from_civil(&(struct civil){.year = 2023, .month = 12, .day = 31});
    return period_compare(from, a, b) > 0;
}

static void check_anonymize(const struct loader *loader, const struct rule *rule) {
    for (size_t i = 0; i < rule->n_anonymize; i++) {
        const struct keep *early = &rule->anonymize[i];
        if (early->kind == KEEP_FOREVER)
            load_fault_at(loader, early->place, "anonymize = \"forever\" never happens; write a period, or leave it out");
        for (size_t j = 0; j < rule->n_keep && early->kind != KEEP_FOREVER; j++)
            if (same_keep(early, &rule->keep[j]) && (early->period.count == 0 || rule->keep[j].period.count == 0
                        ? rule->keep[j].period.count == 0
                        : !load_is_longer(rule->keep[j].period, early->period)))
                load_fault_at(loader, early->place, "anonymize = \"%s\" is not before keep = \"%s\", so it would never happen; write a shorter one",
                              schedule_keep_text(loader->arena, early, 1), schedule_keep_text(loader->arena, &rule->keep[j], 1));
    }
}

static void load_at_least(struct loader *loader, const config_setting_t *group, struct rule *rule) {
    const char *text = load_string(loader, group, "at_least");
    if (!text) return;
    const config_setting_t *setting = config_setting_get_member(group, "at_least");
    struct err err;
    if (period_parse(text, &rule->at_least, &err)) {
        load_fault(loader, setting, "at_least = %s", err.text);
        return;
    }
    for (size_t i = 0; i < rule->n_keep; i++)
        if (rule->keep[i].kind == KEEP_AGE && load_is_longer(rule->at_least, rule->keep[i].period))
            load_fault(loader, setting, "at_least = \"%s\" is longer than keep = \"%s\", so nothing could lapse in time; make keep as long", text,
                       period_format(rule->keep[i].period).text);
}

void load_periods(struct loader *loader, const config_setting_t *group, struct rule *rule) {
    if (!config_setting_get_member(group, "keep"))
        load_fault(loader, group, "keep is missing; write how long, such as keep = \"12 months\", or keep = \"forever\"");
    rule->keep = read_keeps(loader, group, rule, "keep", &rule->n_keep);
    rule->anonymize = read_keeps(loader, group, rule, "anonymize", &rule->n_anonymize);
    check_anonymize(loader, rule);
    load_at_least(loader, group, rule);
}

static bool read_bound(const struct loader *loader, const config_setting_t *group, const char *name, struct period *to) {
    const char *text = load_string(loader, group, name);
    struct err err;
    if (!text) return !config_setting_get_member(group, name);
    if (!period_parse(text, to, &err)) return true;
    load_fault(loader, config_setting_get_member(group, name), "per_tenant: %s = %s", name, err.text);
    return false;
}

static void check_bounds(const struct loader *loader, const config_setting_t *group, const struct rule *rule, const struct per_tenant *per_tenant) {
    struct period min = per_tenant->min, max = per_tenant->max;
    if (min.count && max.count && load_is_longer(min, max))
        load_fault(loader, group, "per_tenant: min = \"%s\" is longer than max = \"%s\"; exchange them", period_format(min).text, period_format(max).text);
    if (min.count && rule->at_least.count && load_is_longer(rule->at_least, min))
        load_fault(loader, group, "per_tenant: min = \"%s\" is shorter than at_least = \"%s\"; make it as long", period_format(min).text,
                   period_format(rule->at_least).text);
    size_t ages = 0;
    for (size_t i = 0; i < rule->n_keep; i++) {
        if (rule->keep[i].kind != KEEP_AGE) continue;
        struct period_text keep = period_format(rule->keep[i].period);
        ages++;
        if (min.count && load_is_longer(min, rule->keep[i].period))
            load_fault(loader, group, "per_tenant: min = \"%s\" is longer than keep = \"%s\", which every other tenant has; make one of them fit",
                       period_format(min).text, keep.text);
        if (max.count && load_is_longer(rule->keep[i].period, max))
            load_fault(loader, group, "per_tenant: max = \"%s\" is shorter than keep = \"%s\", which every other tenant has; make one of them fit",
                       period_format(max).text, keep.text);
    }
    if (!ages && rule->n_keep)
        load_fault(loader, group, "per_tenant takes the place of a period by age, and keep has none; write keep = \"12 months\"");
}

void load_per_tenant(struct loader *loader, const config_setting_t *group, struct rule *rule) {
    const config_setting_t *member = load_group(loader, group, "per_tenant");
    if (!member) return;
    struct tenants_conf *tenants = &loader->schedule->tenants;
    struct per_tenant *per_tenant = ARENA_NEW(loader->arena, struct per_tenant);
    per_tenant->place = load_place(loader, member);
    load_known(loader, member, (const char *const[]){"column", "min", "max", NULL});
    per_tenant->column = load_required(loader, member, "column", "the column of the tenants query that holds the period, as text");
    bool bounds = read_bound(loader, member, "min", &per_tenant->min);
    bounds &= read_bound(loader, member, "max", &per_tenant->max);
    if (bounds) check_bounds(loader, member, rule, per_tenant);
    if (!per_tenant->column) return;
    const char *column = per_tenant->column;
    if (!loader->schedule->has_tenants) load_fault(loader, member, "per_tenant needs the tenants query; write tenants = { … } in lapsed.conf");
    if (!strcmp(column, "tenant") || !strcmp(column, "parent") || load_tenant_end(loader->schedule, column) >= 0) {
        load_fault(loader, member, "per_tenant: column = \"%s\" is no period but the tenant's %s; name another column", column, column);
        return;
    }
    size_t at = 0;
    while (at < tenants->n_period_columns && strcmp(tenants->period_columns[at], column) != 0) at++;
    if (at == MOST_PER_TENANT) {
        load_fault(loader, member, "per_tenant: the rules name more than %d columns; take some out", MOST_PER_TENANT);
        return;
    }
    if (at == tenants->n_period_columns) tenants->period_columns[tenants->n_period_columns++] = column;
    per_tenant->index = at;
    rule->per_tenant = per_tenant;
}
