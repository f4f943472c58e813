#include "schedule/rule_digest.h"

#include "base/text.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

/* Every field with its name and its length, so that no two rules read the same. */
static void add(struct buf *to, const char *name, const char *value) {
    if (value) buf_printf(to, "%s %zu:%s\n", name, strlen(value), value);
    else buf_printf(to, "%s -\n", name);
}

static void add_number(struct buf *to, const char *name, int64_t value) { buf_printf(to, "%s %" PRId64 "\n", name, value); }

static void add_join(struct buf *to, const char *name, const struct join *join) {
    add(to, name, join->child_table);
    add(to, "to", join->parent_table);
    for (size_t i = 0; i < join->n_columns; i++) {
        add(to, "child", join->child_columns[i]);
        add(to, "parent", join->parent_columns[i]);
    }
}

static void add_columns(struct buf *to, const struct column *columns, size_t n_columns) {
    add_number(to, "columns", (int64_t)n_columns);
    for (size_t i = 0; i < n_columns; i++) {
        add(to, schedule_strategy_name(columns[i].strategy), columns[i].path);
        add(to, "with", columns[i].argument);
    }
}

static void add_dependents(struct buf *to, const struct target *target) {
    add_number(to, "dependents", (int64_t)target->n_dependents);
    for (size_t i = 0; i < target->n_dependents; i++) {
        const struct dependent *dependent = &target->dependents[i];
        add_join(to, "dependent", &dependent->join);
        add_number(to, "when_anonymized", dependent->when_anonymized);
        add_columns(to, dependent->columns, dependent->n_columns);
    }
}

/* Whether records of the one may be the other's: where that one's at_least falls, more of them may go. */
static bool may_share_records(const struct target *a, const struct target *b) {
    if (a->store != b->store || a->kind != b->kind) return false;
    return a->kind == TARGET_KEYS || (a->kind == TARGET_TABLE ? schedule_same_table(a->name, b->name) : !strcmp(a->name, b->name));
}

static void add_floors(struct buf *to, const struct schedule *schedule, const struct target *target) {
    for (size_t i = 0; i < schedule->n_targets; i++) {
        const struct target *other = schedule->targets[i];
        if (other->rule == target->rule || !other->rule->at_least.count || !may_share_records(other, target)) continue;
        add(to, "floor", other->name);
        add(to, "since", other->since);
        add(to, "at_least", period_format(other->rule->at_least).text);
    }
}

static void add_target(struct buf *to, const struct schedule *schedule, const struct target *target) {
    add_floors(to, schedule, target);
    add(to, "store", target->store->name);
    add(to, "url", target->store->url);
    add(to, schedule_target_word(target->kind), target->name);
    add(to, "tenant", target->no_tenant ? "none" : target->tenant);
    add_number(to, "via", (int64_t)target->n_via);
    for (size_t i = 0; i < target->n_via; i++) add_join(to, "via", &target->via[i]);
    add(to, "since", target->since);
    add(to, "zone", target->zone);
    add_number(to, "unit", target->unit);
    add_number(to, "ends", (int64_t)target->n_ends);
    for (size_t i = 0; i < target->n_ends; i++) add(to, target->ends[i].name, target->ends[i].column);
    add(to, "only", target->only);
    add(to, "key", target->key);
    add(to, "marker", target->marker);
    add_number(to, "drop", target->drop);
    add_columns(to, target->columns, target->n_columns);
    add_dependents(to, target);
}

/* From what the alternatives are counted; the periods belong to the text. */
static void add_anchors(struct buf *to, const char *name, const struct keep *keep, size_t n_keep) {
    add_number(to, name, (int64_t)n_keep);
    for (size_t i = 0; i < n_keep; i++) {
        add_number(to, "kind", keep[i].kind);
        add(to, "end", keep[i].end);
    }
}

static bool asks_tenants(const struct rule *rule) {
    bool asks = rule->per_tenant != NULL;
    for (size_t i = 0; i < rule->n_keep; i++) asks |= rule->keep[i].kind == KEEP_END && rule->keep[i].tenant_end >= 0;
    for (size_t i = 0; i < rule->n_anonymize; i++) asks |= rule->anonymize[i].kind == KEEP_END && rule->anonymize[i].tenant_end >= 0;
    return asks;
}

static void add_tenants(struct buf *to, const struct tenants_conf *tenants) {
    add(to, "tenants", tenants->store->url);
    add(to, "query", tenants->query);
    add(to, "collection", tenants->collection);
    add(to, "pipeline", tenants->pipeline);
}

static void add_reach(struct buf *to, const struct schedule *schedule, const struct rule *rule) {
    add(to, "rule", rule->data);
    add_anchors(to, "keep", rule->keep, rule->n_keep);
    add_anchors(to, "anonymize", rule->anonymize, rule->n_anonymize);
    add_number(to, "if_blocked", rule->anonymize_blocked);
    add(to, "at_least", rule->at_least.count ? period_format(rule->at_least).text : NULL);
    add(to, "per_tenant", rule->per_tenant ? rule->per_tenant->column : NULL);
    if (schedule->has_tenants && asks_tenants(rule)) add_tenants(to, &schedule->tenants);
    add_number(to, "targets", (int64_t)rule->n_targets);
    for (size_t i = 0; i < rule->n_targets; i++) add_target(to, schedule, &rule->targets[i]);
}

static void add_period(struct buf *to, const char *name, struct period period) {
    add(to, name, period.count ? period_format(period).text : NULL);
}

static void add_periods(struct buf *to, const struct rule *rule) {
    for (size_t i = 0; i < rule->n_keep; i++) add_period(to, "keep", rule->keep[i].period);
    for (size_t i = 0; i < rule->n_anonymize; i++) add_period(to, "anonymize", rule->anonymize[i].period);
    if (!rule->per_tenant) return;
    add_period(to, "min", rule->per_tenant->min);
    add_period(to, "max", rule->per_tenant->max);
}

static void digest(const struct buf *text, char ret_hex[65]) {
    unsigned char bytes[32];
    if (EVP_Digest(buf_text(text), text->length, bytes, NULL, EVP_sha256(), NULL) != 1) abort(); /* fails only without memory */
    text_hex(ret_hex, bytes);
}

struct rule_digest rule_digest(const struct schedule *schedule, const struct rule *rule) {
    __attribute__((cleanup(buf_free))) struct buf text = {0};
    struct rule_digest digests;
    add_reach(&text, schedule, rule);
    digest(&text, digests.reach);
    add_periods(&text, rule);
    digest(&text, digests.text);
    return digests;
}
