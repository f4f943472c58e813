#include "command/explain_report.h"

#include "base/text.h"
#include "base/time.h"
#include "command/table.h"

#include <jansson.h>
#include <string.h>

static const char *const state_names[] = {
    [EXPLAIN_DUE] = "due",         [EXPLAIN_LATER] = "later",     [EXPLAIN_RUNNING] = "running", [EXPLAIN_UNDECIDABLE] = "undecidable",
    [EXPLAIN_FOREVER] = "forever", [EXPLAIN_NOT_MEANT] = "not-meant",
};

static const char *instant(struct arena *arena, int64_t us) { return arena_strdup(arena, time_format_seconds(us).text); }

static const char *verb_of(const struct explain_verdict *verdict) {
    return verdict->action == ACTION_PURGE ? "destroys" : "anonymizes";
}

/* "issued_on is 2019-11-20 00:00:00 UTC" or "the subscription of tenant 7 ended on …". */
static const char *anchor_text(struct arena *arena, const struct explain_verdict *verdict) {
    bool of_tenant = verdict->keep->kind == KEEP_END && verdict->keep->tenant_end >= 0;
    return arena_printf(arena, of_tenant ? "%s ended on %s" : "its %s is %s", verdict->anchor, instant(arena, verdict->anchor_us));
}

/* A period that is not the rule's own is named: the reader would not find it in the table. */
static const char *period_note(struct arena *arena, const struct explain_verdict *verdict) {
    struct period counts = verdict->period, written = verdict->keep->period;
    if (counts.count == written.count && counts.unit == written.unit) return "";
    return arena_printf(arena, " (at present %s count)", period_format(counts).text);
}

static const char *sentence(struct arena *arena, const struct explain_verdict *verdict) {
    const char *rule = verdict->place->target->rule->data;
    const char *keep = schedule_keep_text(arena, verdict->keep, 1);
    switch (verdict->state) {
    case EXPLAIN_DUE:
        return arena_printf(arena, "\"%s\" (%s) %s it%s: %s, so it has been due since %s.", rule, keep, verb_of(verdict),
                            period_note(arena, verdict), anchor_text(arena, verdict), instant(arena, verdict->due_us));
    case EXPLAIN_LATER:
        if (verdict->due_us == TIME_FOREVER) break;
        return arena_printf(arena, "\"%s\" (%s) %s it on %s%s: %s.", rule, keep, verb_of(verdict), instant(arena, verdict->due_us),
                            period_note(arena, verdict), anchor_text(arena, verdict));
    case EXPLAIN_RUNNING:
        return arena_printf(arena, "\"%s\" (%s) does not apply yet: %s.", rule, keep, verdict->why);
    case EXPLAIN_UNDECIDABLE:
        return arena_printf(arena, "\"%s\" (%s) cannot decide: %s, so it is kept and reported.", rule, keep, verdict->why);
    case EXPLAIN_FOREVER:
        if (verdict->keep->kind == KEEP_FOREVER) return arena_printf(arena, "\"%s\" keeps it forever.", rule);
        return arena_printf(arena, "\"%s\" (%s) does not count yet: until a short time ago it was kept forever, and a shorter period "
                            "counts only after notice.", rule, keep);
    case EXPLAIN_NOT_MEANT:
        return arena_printf(arena, "\"%s\" does not mean it: the condition under \"only\" is not true of it.", rule);
    }
    return arena_printf(arena, "\"%s\" (%s) may not touch it: \"%s\" keeps it for at least %s, and from when cannot be told.", rule, keep,
                        verdict->floor_rule->data, period_format(verdict->floor_rule->at_least).text);
}

/* The at_least that moved the date, said once for all verdicts. */
static const char *floor_text(struct arena *arena, const struct explain_report *report) {
    for (size_t i = 0; i < report->n_verdicts; i++) {
        const struct explain_verdict *verdict = &report->verdicts[i];
        if (verdict->floor_us == TIME_NEVER || verdict->floor_us == TIME_FOREVER || verdict->due_us != verdict->floor_us) continue;
        if (period_after(verdict->anchor_us, verdict->period) >= verdict->floor_us) continue;
        return arena_printf(arena, " Nothing may destroy it before %s, because \"%s\" keeps it for at least %s.",
                            instant(arena, verdict->floor_us), verdict->floor_rule->data,
                            period_format(verdict->floor_rule->at_least).text);
    }
    return "";
}

static const struct explain_verdict *first_due(const struct explain_report *report, enum action action) {
    for (size_t i = 0; i < report->n_verdicts; i++)
        if (report->verdicts[i].state == EXPLAIN_DUE && report->verdicts[i].action == action) return &report->verdicts[i];
    return NULL;
}

static const struct hold *hold_of(const struct explain_report *report) {
    for (size_t i = 0; i < report->n_places; i++)
        if (report->places[i].held) return report->places[i].held;
    return NULL;
}

static const char *held_text(struct arena *arena, const struct hold *hold) {
    const char *released = hold->released_us == TIME_FOREVER ? "" : "; it is released, and counts until its cooling-off time is over";
    return arena_printf(arena, "It is held since %s by hold \"%s\" (%s), so nothing is done to it%s.", time_format_day(hold->since_us).text, hold->id,
                        hold->ground, released);
}

static const char *conclusion(struct arena *arena, const struct explain_report *report) {
    const struct explain_verdict *purge = first_due(report, ACTION_PURGE), *anonymize = first_due(report, ACTION_ANONYMIZE);
    const struct explain_place *place = purge ? purge->place : anonymize ? anonymize->place : NULL;
    const struct hold *held = hold_of(report);
    if (held) return held_text(arena, held);
    if (!place) return "Nothing is done to it now.";
    const char *done = place->facts.anonymized ? "; it is anonymized already" : "";
    bool stage = place->target->rule->anonymize_blocked || place->target->rule->n_anonymize;
    if (purge && place->facts.blocked_by)
        return arena_printf(arena, "It is blocked: records of %s still refer to it, so it is kept until those are gone%s.", place->facts.blocked_by,
                            *done ? done : stage ? "; meanwhile a sweep anonymizes it" : "");
    if (purge && place->own)
        return "It is one of its tenant's own records, which go last: a sweep destroys it once nothing else that is bound to an end "
               "of the tenant is left in any store.";
    if (purge) return "The next sweep destroys it.";
    return place->facts.anonymized ? "It is anonymized already, so nothing is done to it now." : "The next sweep anonymizes it.";
}

const char *explain_report_text(struct arena *arena, const struct explain_report *report) {
    const struct target *target = report->places[0].target;
    const char *text = arena_printf(arena, "%s %s (store %s) ", target->name, report->key, target->store->name);
    if (report->tenant)
        text = arena_printf(arena, "%sbelongs to tenant %s.", text, report->tenant);
    else
        text = arena_printf(arena, "%s", target->no_tenant ? arena_printf(arena, "%sis there; its records have no tenant.", text)
                                                           : arena_printf(arena, "%sis there, but belongs to no tenant.", text));
    for (size_t i = 0; i < report->n_verdicts; i++) text = arena_printf(arena, "%s %s", text, sentence(arena, &report->verdicts[i]));
    text = arena_printf(arena, "%s%s %s", text, floor_text(arena, report), conclusion(arena, report));
    return text_printable(arena, text);
}

/* ---- JSON ---- */

static json_t *time_or_null(int64_t us) {
    bool known = us != TIME_FOREVER && us != TIME_NEVER;
    return known ? json_string(time_format(us).text) : json_null();
}

static json_t *text_or_null(const char *text) { return text ? json_string(text) : json_null(); }

static json_t *verdict_json(struct arena *arena, const struct explain_verdict *verdict) {
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "rule", verdict->place->target->rule->data, "action",
                     verdict->action == ACTION_PURGE ? "purge" : "anonymize", "keep", schedule_keep_text(arena, verdict->keep, 1),
                     "state", state_names[verdict->state], "anchor", text_or_null(verdict->anchor), "anchor_time",
                     time_or_null(verdict->anchor_us), "due", time_or_null(verdict->due_us), "not_before",
                     time_or_null(verdict->floor_us), "why", text_or_null(verdict->why));
}

void explain_report_print_json(struct arena *arena, const struct explain_report *report, FILE *to) {
    const struct explain_place *place = &report->places[0];
    const struct hold *held = hold_of(report);
    json_t *verdicts = json_array();
    for (size_t i = 0; i < report->n_verdicts; i++) (void)json_array_append_new(verdicts, verdict_json(arena, &report->verdicts[i]));
    json_t *object = json_pack("{s:i, s:s, s:s, s:s, s:s, s:o, s:o, s:b, s:b, s:o, s:o, s:s}", "v", 1, "as_of", time_format(report->now_us).text,
                               "store", place->target->store->name, "target", place->target->name, "key", report->key, "tenant",
                               text_or_null(report->tenant), "blocked_by", text_or_null(place->facts.blocked_by), "anonymized",
                               place->facts.anonymized, "own", place->own, "hold", text_or_null(held ? held->id : NULL), "rules", verdicts, "text",
                               explain_report_text(arena, report));
    (void)json_dumpf(object, to, JSON_INDENT(2));
    (void)fputc('\n', to);
    json_decref(object);
}
