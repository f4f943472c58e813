#include "command/policy.h"

#include "base/text.h"

#include <string.h>

static void free_arena(struct arena **arena) { arena_free(*arena); }

static void add_anonymize(struct buf *buf, const struct keep *anonymize) {
    if (anonymize->kind == KEEP_AGE) buf_printf(buf, "anonymized after %s", period_format(anonymize->period).text);
    else if (anonymize->period.count) buf_printf(buf, "anonymized at %s + %s", anonymize->end, period_format(anonymize->period).text);
    else buf_printf(buf, "anonymized at the end of %s", anonymize->end);
}

static void add_per_tenant(struct buf *buf, const struct per_tenant *per_tenant) {
    buf_add(buf, "configurable per tenant");
    if (per_tenant->min.count && per_tenant->max.count)
        buf_printf(buf, ", %s to %s", period_format(per_tenant->min).text, period_format(per_tenant->max).text);
    else if (per_tenant->min.count) buf_printf(buf, ", from %s", period_format(per_tenant->min).text);
    else if (per_tenant->max.count) buf_printf(buf, ", up to %s", period_format(per_tenant->max).text);
}

static void separate(struct buf *buf, const char **separator) {
    buf_add(buf, *separator);
    *separator = "; ";
}

static bool keeps_exactly(const struct rule *rule, struct period period) {
    return rule->n_keep == 1 && rule->keep[0].kind == KEEP_AGE && rule->keep[0].period.count == period.count && rule->keep[0].period.unit == period.unit;
}

char *policy_period_text(struct arena *arena, const struct rule *rule) {
    __attribute__((cleanup(buf_free))) struct buf buf = {0};
    const char *separator = " (";
    buf_add(&buf, schedule_keep_text(arena, rule->keep, rule->n_keep));
    for (size_t i = 0; i < rule->n_anonymize; i++) {
        separate(&buf, &separator);
        add_anonymize(&buf, &rule->anonymize[i]);
    }
    if (rule->at_least.count && !keeps_exactly(rule, rule->at_least)) {
        separate(&buf, &separator);
        buf_printf(&buf, "at least %s", period_format(rule->at_least).text);
    }
    if (rule->per_tenant) {
        separate(&buf, &separator);
        add_per_tenant(&buf, rule->per_tenant);
    }
    if (*separator == ';') buf_add_char(&buf, ')');
    return arena_strdup(arena, buf_text(&buf));
}

static void pad(struct buf *buf, const char *text, size_t width) {
    buf_add(buf, text);
    for (size_t at = text_width(text); at < width + 2; at++) buf_add_char(buf, ' ');
}

static void add_text(struct buf *buf, const struct schedule *schedule, struct arena *arena) {
    size_t data_width = strlen("DATA"), keep_width = strlen("KEEP");
    for (size_t i = 0; i < schedule->n_rules; i++) {
        size_t data = text_width(schedule->rules[i].data), keep = text_width(policy_period_text(arena, &schedule->rules[i]));
        if (data > data_width) data_width = data;
        if (keep > keep_width) keep_width = keep;
    }
    pad(buf, "DATA", data_width);
    pad(buf, "KEEP", keep_width);
    buf_add(buf, "BASIS\n");
    for (size_t i = 0; i < schedule->n_rules; i++) {
        pad(buf, schedule->rules[i].data, data_width);
        pad(buf, policy_period_text(arena, &schedule->rules[i]), keep_width);
        buf_printf(buf, "%s\n", schedule->rules[i].basis);
    }
}

static void add_cell(struct buf *buf, const char *text) {
    buf_add(buf, "| ");
    for (; *text; text++) {
        if (strchr("|\\*_`<", *text)) buf_add_char(buf, '\\');
        buf_add_char(buf, *text == '\n' ? ' ' : *text);
    }
    buf_add_char(buf, ' ');
}

static void add_markdown(struct buf *buf, const struct schedule *schedule, struct arena *arena) {
    buf_add(buf, "| Data Type | Retention Period | Basis |\n|---|---|---|\n");
    for (size_t i = 0; i < schedule->n_rules; i++) {
        add_cell(buf, schedule->rules[i].data);
        add_cell(buf, policy_period_text(arena, &schedule->rules[i]));
        add_cell(buf, schedule->rules[i].basis);
        buf_add(buf, "|\n");
    }
}

static void add_member(struct buf *buf, const char *name, const char *text) {
    buf_printf(buf, ",\"%s\":", name);
    if (text) buf_add_json(buf, text);
    else buf_add(buf, "null");
}

static void add_per_tenant_json(struct buf *buf, const struct per_tenant *per_tenant) {
    buf_add(buf, ",\"per_tenant\":");
    if (!per_tenant) {
        buf_add(buf, "null");
        return;
    }
    buf_add(buf, "{\"column\":");
    buf_add_json(buf, per_tenant->column);
    add_member(buf, "min", per_tenant->min.count ? period_format(per_tenant->min).text : NULL);
    add_member(buf, "max", per_tenant->max.count ? period_format(per_tenant->max).text : NULL);
    buf_add_char(buf, '}');
}

static void add_rule_json(struct buf *buf, const struct rule *rule, struct arena *arena) {
    buf_add(buf, "{\"data\":");
    buf_add_json(buf, rule->data);
    add_member(buf, "retention", policy_period_text(arena, rule));
    add_member(buf, "keep", schedule_keep_text(arena, rule->keep, rule->n_keep));
    add_member(buf, "anonymize", rule->n_anonymize ? schedule_keep_text(arena, rule->anonymize, rule->n_anonymize) : NULL);
    add_member(buf, "at_least", rule->at_least.count ? period_format(rule->at_least).text : NULL);
    add_per_tenant_json(buf, rule->per_tenant);
    add_member(buf, "basis", rule->basis);
    buf_add(buf, ",\"targets\":[");
    for (size_t i = 0; i < rule->n_targets; i++) {
        const struct target *target = &rule->targets[i];
        buf_printf(buf, "%s{\"kind\":\"%s\"", i ? "," : "", schedule_target_word(target->kind));
        add_member(buf, "store", target->store->name);
        add_member(buf, "name", target->name);
        buf_add_char(buf, '}');
    }
    buf_add(buf, "]}");
}

static void add_json(struct buf *buf, const struct schedule *schedule, struct arena *arena) {
    buf_printf(buf, "{\"schedule\":\"%s\",\"rules\":[", schedule->sha256);
    for (size_t i = 0; i < schedule->n_rules; i++) {
        if (i) buf_add_char(buf, ',');
        add_rule_json(buf, &schedule->rules[i], arena);
    }
    buf_add(buf, "]}\n");
}

int policy_print(const struct schedule *schedule, enum policy_format format, FILE *to) {
    __attribute__((cleanup(free_arena))) struct arena *arena = arena_new();
    __attribute__((cleanup(buf_free))) struct buf buf = {0};
    switch (format) {
    case POLICY_TEXT: add_text(&buf, schedule, arena); break;
    case POLICY_MARKDOWN: add_markdown(&buf, schedule, arena); break;
    case POLICY_JSON: add_json(&buf, schedule, arena); break;
    }
    return buf.overflow || fputs(buf_text(&buf), to) == EOF || fflush(to) ? -1 : 0;
}
