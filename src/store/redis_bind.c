#include "store/redis_internal.h"

#include "base/time.h"

#include <string.h>

bool redis_anchor_parse(const char *text, enum since_unit unit, struct redis_anchor *ret_anchor) {
    struct redis_anchor anchor = {.unit = unit};
    if (text_equal(text, "score")) anchor.kind = REDIS_ANCHOR_SCORE;
    else if (text_equal(text, "stream-id")) anchor = (struct redis_anchor){.kind = REDIS_ANCHOR_STREAM, .unit = UNIT_MILLISECONDS};
    else if (text_equal(text, "{date}")) anchor.kind = REDIS_ANCHOR_DATE;
    else if (text_starts_with(text, "field:") && text[6]) {
        anchor.kind = REDIS_ANCHOR_FIELD;
        anchor.field = text + 6;
    } else return false;
    *ret_anchor = anchor;
    return true;
}

/* Digits, with a sign and a fraction perhaps, as microseconds; false if it is no such number or out of range. 0 and what is below it
 * are numbers, and stand for "not set" (redis_not_set). */
static bool read_epoch(const char *text, int64_t unit_us, int64_t *ret_us) {
    bool negative = *text == '-';
    if (negative) text++;
    if (*text < '0' || *text > '9') return false;
    int64_t us = 0;
    for (; *text >= '0' && *text <= '9'; text++) {
        if (__builtin_mul_overflow(us, 10, &us) || __builtin_add_overflow(us, (*text - '0') * unit_us, &us)) return false;
    }
    if (*text == '.') {
        int64_t place_us = unit_us;
        for (text++; *text >= '0' && *text <= '9'; text++) {
            place_us /= 10;
            if (__builtin_add_overflow(us, (*text - '0') * place_us, &us)) return false;
        }
    }
    if (*text) return false;
    *ret_us = negative ? -us : us;
    return true;
}

static int64_t unit_us(enum since_unit unit) { return unit == UNIT_SECONDS ? TIME_SECOND_US : 1000; }

bool redis_not_set(const char *bytes, size_t length, enum since_unit unit) {
    char text[64];
    int64_t us;
    if (length == 0) return true;
    if (unit == UNIT_NONE || length >= sizeof text || memchr(bytes, '\0', length)) return false;
    memcpy(text, bytes, length);
    text[length] = '\0';
    return read_epoch(text, unit_us(unit), &us) && us <= 0;
}

bool redis_instant(const char *bytes, size_t length, enum since_unit unit, int64_t *ret_us) {
    char text[64];
    if (length == 0 || length >= sizeof text || memchr(bytes, '\0', length)) return false;
    memcpy(text, bytes, length);
    text[length] = '\0';
    int64_t us;
    if (unit != UNIT_NONE && read_epoch(text, unit_us(unit), &us)) {
        if (us > 0) *ret_us = us;
        return us > 0;
    }
    if (!time_parse(text, &us)) return false;
    /* A day is over at its end. */
    *ret_us = strlen(text) == strlen("2026-11-23") ? us + TIME_DAY_US - 1 : us;
    return true;
}

static bool utc(const char *zone) { return text_equal(zone, "UTC") || text_equal(zone, "Etc/UTC") || text_equal(zone, "Z"); }

static void check_anchor(const struct target *target, const char *text, enum since_unit unit, const struct keypattern *pattern,
                         struct redis_anchor *ret_anchor, struct faults *faults) {
    if (!redis_anchor_parse(text, unit, ret_anchor)) {
        fault_add(faults, target->place, "keys \"%s\": \"%s\" is not where a key says its time; write \"score\", \"stream-id\", \"field:NAME\" or \"{date}\"",
                  target->name, text);
        return;
    }
    if (ret_anchor->kind == REDIS_ANCHOR_DATE && !pattern->has_date)
        fault_add(faults, target->place, "keys \"%s\": since = \"{date}\", but the pattern has no {date}; write it where the key holds its day", target->name);
    if (ret_anchor->kind == REDIS_ANCHOR_SCORE && unit == UNIT_NONE)
        fault_add(faults, target->place, "keys \"%s\": scores have no unit; write unit = \"s\" or unit = \"ms\"", target->name);
    if (ret_anchor->kind == REDIS_ANCHOR_STREAM && unit == UNIT_SECONDS)
        fault_add(faults, target->place, "keys \"%s\": ids of streams are milliseconds; leave `unit` out", target->name);
}

/* Settings that mean something to tables and collections only. */
static void check_foreign_settings(const struct target *target, struct faults *faults) {
    const struct {
        bool set;
        const char *name;
    } settings[] = {
        {target->only != NULL, "only"},          {target->n_via > 0, "via"},     {target->n_dependents > 0, "dependents"},
        {target->key != NULL, "key"},            {target->drop, "drop"},         {target->tenant && !target->no_tenant, "tenant"},
    };
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        if (settings[i].set)
            fault_add(faults, target->place, "keys \"%s\": `%s` means nothing to keys; leave it out", target->name, settings[i].name);
    }
    if (target->zone && !utc(target->zone))
        fault_add(faults, target->place, "keys \"%s\": zone = \"%s\", but days in keys and hashes are read as UTC; leave `zone` out", target->name, target->zone);
}

static bool only_by_tenant_end(const struct rule *rule) {
    for (size_t i = 0; i < rule->n_keep; i++) {
        if (rule->keep[i].kind != KEEP_END || rule->keep[i].tenant_end < 0) return false;
    }
    return rule->n_keep > 0;
}

static void check_columns(const struct redis_bound *bound, struct faults *faults) {
    const struct target *target = bound->target;
    if (target->n_columns > 0 && (bound->since.kind == REDIS_ANCHOR_SCORE || bound->since.kind == REDIS_ANCHOR_STREAM))
        fault_add(faults, target->place, "keys \"%s\": only hashes can be anonymized, not members of \"%s\"; leave `columns` and `anonymize` out",
                  target->name, target->since);
    for (size_t i = 0; i < target->n_columns; i++) {
        if (bound->since.kind == REDIS_ANCHOR_FIELD && text_equal(target->columns[i].path, bound->since.field))
            fault_add(faults, target->columns[i].place, "keys \"%s\": field \"%s\" is `since` and stays as it is; leave it out of `columns`", target->name,
                      target->columns[i].path);
    }
}

static void bind_target(struct redis_store *store, const struct target *target, struct redis_bound *bound, struct faults *faults) {
    struct err err;
    *bound = (struct redis_bound){.target = target, .only_by_tenant_end = only_by_tenant_end(target->rule)};
    if (target->kind != TARGET_KEYS) {
        fault_add(faults, target->place, "%s \"%s\": Redis has only keys; write keys = \"…\"", schedule_target_word(target->kind), target->name);
        return;
    }
    if (keypattern_parse(store->catalog, target->name, &bound->pattern, &err) < 0) {
        fault_add(faults, target->place, "keys \"%s\": %s", target->name, err.text);
        return;
    }
    if (!bound->pattern.has_tenant && !target->no_tenant)
        fault_add(faults, target->place, "keys \"%s\": no {tenant} says whose a key is; write it into the pattern, or tenant = \"none\"", target->name);
    if (bound->pattern.has_tenant && target->no_tenant)
        fault_add(faults, target->place, "keys \"%s\": tenant = \"none\", but the pattern has {tenant}; leave one of them out", target->name);
    check_foreign_settings(target, faults);
    if (target->since) check_anchor(target, target->since, target->unit, &bound->pattern, &bound->since, faults);
    for (size_t i = 0; i < target->n_ends; i++) check_anchor(target, target->ends[i].column, target->unit, &bound->pattern, &bound->ends[i], faults);
    check_columns(bound, faults);
}

void redis_bind(struct redis_store *store, struct faults *faults, bool *bad) {
    const struct schedule *schedule = store->base.settings.schedule;
    arena_free(store->catalog);
    store->catalog = arena_new();
    store->surveys = NULL;
    store->matched = NULL;
    redis_remember((struct store *)(void *)store, false);
    store->bound = ARENA_ARRAY(store->catalog, struct redis_bound, schedule->n_targets);
    for (size_t i = 0; i < schedule->n_targets; i++) {
        const struct target *target = schedule->targets[i];
        if (target->store != store->base.settings.conf) continue;
        size_t before = faults->count;
        bind_target(store, target, &store->bound[i], faults);
        store->bound[i].bad = faults->count > before;
        if (store->bound[i].bad) bad[i] = true;
    }
}

const struct redis_bound *redis_bound_of(const struct redis_store *store, const struct target *target) {
    if (!store->bound || !store->bound[target->number].target || store->bound[target->number].bad) return NULL;
    return &store->bound[target->number];
}
