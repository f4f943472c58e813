#include "journal/sentence.h"

#include "base/time.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static char *copy(const char *text) { return text ? xstrdup(text) : NULL; }

struct batch_story *batch_story_new(const struct entry *intent, const char *period) {
    struct batch_story *story = xcalloc(1, sizeof *story);
    *story = (struct batch_story){.time_us = intent->time_us,
                                  .sweep = intent->sweep,
                                  .batch = intent->batch,
                                  .rule = copy(intent->rule),
                                  .target = copy(intent->target),
                                  .from = copy(intent->from),
                                  .period = copy(period),
                                  .tenant = copy(intent->n_tenants ? intent->tenants[0].id : ""),
                                  .earliest_us = TIME_FOREVER,
                                  .latest_us = TIME_NEVER,
                                  .records = intent->records,
                                  .dependents = intent->dependents,
                                  .listed = intent->records,
                                  .anonymize = !strcmp(intent->action, "anonymize"),
                                  .range = intent->range};
    batch_story_add_part(story, intent);
    return story;
}

void batch_story_add_part(struct batch_story *story, const struct entry *intent) {
    story->n_tenants += intent->n_tenants;
    for (size_t i = 0; i < intent->n_tenants; i++) {
        int64_t cutoff_us = intent->tenants[i].cutoff_us;
        if (cutoff_us < story->earliest_us) story->earliest_us = cutoff_us;
        if (cutoff_us > story->latest_us) story->latest_us = cutoff_us;
    }
}

void batch_story_end(struct batch_story *story, const struct entry *outcome) {
    (void)text_copy(story->outcome, sizeof story->outcome, outcome->outcome);
    (void)text_copy(story->result, sizeof story->result, outcome->result ? outcome->result : "");
    (void)text_copy(story->code, sizeof story->code, outcome->code ? outcome->code : "");
    (void)text_copy(story->detail, sizeof story->detail, outcome->detail ? outcome->detail : "");
    if (strcmp(outcome->outcome, "committed") != 0) return;
    story->records = outcome->records;
    story->dependents = outcome->dependents;
}

bool batch_story_is_final(const struct batch_story *story) { return story->outcome[0] && strcmp(story->outcome, "unknown") != 0; }

void batch_story_free(struct batch_story *story) {
    free(story->rule);
    free(story->target);
    free(story->from);
    free(story->period);
    free(story->tenant);
    free(story);
}

/* What is certain about it: "purged", "may have purged", "did not purge", "is about to purge". */
static void tell_deed(const struct batch_story *story, struct buf *to) {
    const char *outcome = !strcmp(story->outcome, "settled") ? story->result : story->outcome;
    const char *verb = story->anonymize ? "anonymize" : "purge";
    if (!strcmp(outcome, "committed")) buf_printf(to, "%sd", verb);
    else if (!strcmp(outcome, "rolled-back")) buf_printf(to, "did not %s", verb);
    else if (!*outcome) buf_printf(to, "was about to %s", verb);
    else buf_printf(to, "may have %sd", verb);
}

static void tell_records(const struct batch_story *story, struct buf *to) {
    bool plain = true; /* a name that reads as a word: "1,000 invoices" */
    for (const char *c = story->target; *c; c++) plain = plain && (isalnum((unsigned char)*c) || *c == '_' || *c == '.');
    const char *quote = plain ? "" : "\"";
    if (plain && story->records != 1) buf_printf(to, " %s %s", text_number(story->records).text, story->target);
    else buf_printf(to, " %s record%s of %s%s%s", text_number(story->records).text, story->records == 1 ? "" : "s", quote, story->target, quote);
    if (story->range) buf_add(to, " as a whole");
    if (story->dependents)
        buf_printf(to, " and %s dependent%s", text_number(story->dependents).text, story->dependents == 1 ? "" : "s");
    if (story->n_tenants > 1) buf_printf(to, " of %s tenants", text_number((int64_t)story->n_tenants).text);
    else if (*story->tenant) buf_printf(to, " of tenant %s", story->tenant);
    if (story->records < story->listed) buf_printf(to, " (%s were listed)", text_number(story->listed).text);
}

static bool has_word(const char *text, const char *word) {
    size_t length = strlen(word);
    for (const char *at = text; length && (at = strstr(at, word)); at++) {
        bool starts = at == text || !(isalnum((unsigned char)at[-1]) || at[-1] == '_');
        if (starts && !(isalnum((unsigned char)at[length]) || at[length] == '_')) return true;
    }
    return false;
}

/* A day, or the second too where the period is shorter than days. */
static struct time_text cutoff_text(const struct batch_story *story, int64_t us) {
    const char *period = story->period ? story->period : "";
    bool fine = strstr(period, "hour") || strstr(period, "minute") || strstr(period, "second");
    return fine ? time_format_seconds(us) : time_format_day(us);
}

/* "issued before 2019-11-23"; for a tenant's end, which the period names: "subscription ended 2019-11-23". */
static void tell_cutoff(const struct batch_story *story, struct buf *to) {
    bool is_end = story->period && has_word(story->period, story->from);
    size_t length = strlen(story->from);
    bool suffix = length > 3 && (!strcmp(story->from + length - 3, "_on") || !strcmp(story->from + length - 3, "_at"));
    for (size_t i = 0; i < (suffix && !is_end ? length - 3 : length); i++)
        buf_add_char(to, story->from[i] == '_' ? ' ' : story->from[i]);
    buf_printf(to, is_end ? " ended %s" : " before %s", cutoff_text(story, story->earliest_us).text);
    if (strcmp(cutoff_text(story, story->earliest_us).text, cutoff_text(story, story->latest_us).text) != 0)
        buf_printf(to, " to %s by tenant", cutoff_text(story, story->latest_us).text);
}

static void tell_outcome(const struct batch_story *story, struct buf *to) {
    if (!story->outcome[0]) buf_add(to, "no outcome yet");
    else if (!strcmp(story->outcome, "settled"))
        buf_printf(to, "settled by asking the store: %s", strcmp(story->result, "rolled-back") ? story->result : "rolled back");
    else if (!strcmp(story->outcome, "rolled-back")) buf_add(to, "rolled back");
    else if (!strcmp(story->outcome, "unknown")) buf_add(to, "unknown: the store's answer was lost");
    else if (!strcmp(story->outcome, "unresolved")) buf_add(to, "unresolved: the store could not tell; what is left goes with a later batch");
    else buf_add(to, story->outcome);
    if (story->code[0]) buf_printf(to, " (%s%s%s)", story->code, story->detail[0] ? " " : "", story->detail);
}

void batch_story_tell(const struct batch_story *story, struct buf *to) {
    tell_deed(story, to);
    tell_records(story, to);
    buf_printf(to, " under \"%s\"", story->rule);
    bool cutoff = story->from && story->from[0] && story->earliest_us != TIME_FOREVER;
    if (story->period || cutoff) {
        buf_printf(to, " (%s%s", story->period ? story->period : "", story->period && cutoff ? ", " : "");
        if (cutoff) tell_cutoff(story, to);
        buf_add_char(to, ')');
    }
    buf_add(to, "  ");
    tell_outcome(story, to);
}

static void tell_number(struct buf *to, int64_t number, const char *word) {
    if (number > 0) buf_printf(to, ", %s %s", text_number(number).text, word);
}

/* A journal may say any number. */
static void add_up(int64_t *to, int64_t number) {
    if (__builtin_add_overflow(*to, number, to)) *to = number < 0 ? INT64_MIN : INT64_MAX;
}

static void tell_sweep_end(const struct entry *entry, struct buf *to) {
    struct entry_result all = {.data = NULL};
    const struct entry_result *latest = NULL;
    bool unasked = false;
    for (size_t i = 0; i < entry->n_results; i++) {
        const struct entry_result *result = &entry->results[i];
        add_up(&all.purged, result->purged);
        add_up(&all.anonymized, result->anonymized);
        add_up(&all.dependents, result->dependents);
        add_up(&all.blocked, result->blocked);
        add_up(&all.undecidable, result->undecidable);
        if (result->left > 0) add_up(&all.left, result->left);
        if (result->left < 0) unasked = true;
        if (result->lag_us > 0 && (!latest || result->lag_us > latest->lag_us)) latest = result;
    }
    const char *how = !strcmp(entry->outcome, "done") ? "ended" : !strcmp(entry->outcome, "failed") ? "failed" : "ended early";
    buf_printf(to, "sweep %" PRId64 " %s: %s purged", entry->sweep, how, text_number(all.purged).text);
    tell_number(to, all.anonymized, "anonymized");
    tell_number(to, all.dependents, "dependents");
    tell_number(to, all.blocked, "blocked");
    tell_number(to, all.undecidable, "undecidable");
    tell_number(to, all.left, "left");
    if (unasked) buf_add(to, ", what is left could not be asked everywhere");
    if (latest) buf_printf(to, ", the latest by %s under \"%s\"", time_format_span(latest->lag_us).text, latest->data);
}

static void tell_finding(const struct entry *entry, struct buf *to) {
    buf_printf(to, "finding %s: %s", entry->code, text_number(entry->count).text);
    if (entry->target) buf_printf(to, " in %s", entry->target);
    if (entry->store) buf_printf(to, entry->target ? " (%s)" : " in %s", entry->store);
    if (entry->tenant) buf_printf(to, " of tenant %s", entry->tenant);
    if (entry->rule) buf_printf(to, " under \"%s\"", entry->rule);
}

static void tell_recover(const struct entry *entry, struct buf *to) {
    if (!entry->cut_bytes) {
        buf_add(to, "recovered from a failed write; there was nothing to cut off");
        return;
    }
    buf_printf(to, "recovered: %s byte%s before this entry were none of the journal and were cut off", text_number(entry->cut_bytes).text,
               entry->cut_bytes == 1 ? "" : "s");
    if (entry->cut_file) buf_printf(to, "; they are kept in \"%s\"", entry->cut_file);
    else buf_add(to, "; they could not be kept");
}

static void tell_prune(const struct entry *entry, struct buf *to) {
    if (!entry->n_removed) return;
    buf_printf(to, "removed entries %" PRId64 " to %" PRId64 " of the journal, past their own period", entry->removed[0].first_seq,
               entry->removed[entry->n_removed - 1].last_seq);
}

static void tell_late_outcome(const struct entry *entry, struct buf *to) {
    buf_printf(to, "batch %" PRId64 " of sweep %" PRId64 ": %s", entry->batch, entry->sweep, entry->outcome);
    if (entry->result) buf_printf(to, ": %s", entry->result);
    if (entry->code) buf_printf(to, " (%s%s%s)", entry->code, entry->detail ? " " : "", entry->detail ? entry->detail : "");
}

static void tell_reach(const struct entry *entry, struct buf *to) {
    if (!strcmp(entry->scope, "rule")) buf_printf(to, "\"%s\"", entry->rule ? entry->rule : "");
    else if (!strcmp(entry->scope, "all")) buf_add(to, "everything");
    else buf_printf(to, "tenant %s%s", entry->tenant ? entry->tenant : "", strcmp(entry->scope, "subtree") ? "" : " and all below it");
}

static void tell_hold(const struct entry *entry, struct buf *to) {
    bool released = entry->released_us != TIME_FOREVER;
    buf_printf(to, "hold \"%s\" on ", entry->id);
    tell_reach(entry, to);
    if (!strcmp(entry->outcome, "placed")) buf_printf(to, " placed by user %" PRId64, entry->author);
    else if (!strcmp(entry->outcome, "widened")) buf_printf(to, " also reaches %s more tenant%s", text_number((int64_t)entry->n_members).text, entry->n_members == 1 ? "" : "s");
    else if (released) buf_printf(to, " still counts, released %s", time_format_day(entry->released_us).text);
    else buf_printf(to, " still stands, since %s", time_format_day(entry->placed_us).text);
    buf_printf(to, " (%s)", entry->ground);
}

static void tell_refuse(const struct entry *entry, struct buf *to) {
    buf_add(to, entry->id ? "request \"" : "a request");
    if (entry->id) buf_printf(to, "%s\"", entry->id);
    if (entry->author >= 0) buf_printf(to, " of user %" PRId64, entry->author);
    buf_printf(to, " refused (%s)", entry->code);
}

static void tell_approve(const struct entry *entry, struct buf *to) {
    if (entry->rule) buf_printf(to, "what was due under \"%s\"", entry->rule);
    else buf_add(to, "a shorter list of tenants");
    if (entry->tenant) buf_printf(to, " of tenant %s", entry->tenant);
    if (entry->rule && strcmp(entry->outcome, "placed") != 0) buf_printf(to, " on %s", time_format_day(entry->placed_us).text);
    if (!strcmp(entry->outcome, "placed")) buf_printf(to, " was approved by user %" PRId64, entry->author);
    else if (!strcmp(entry->outcome, "stands")) buf_add(to, " is still approved");
    else if (!strcmp(entry->outcome, "spent")) buf_add(to, " was approved and is dealt with");
    else buf_add(to, " is not approved any more: it reads otherwise now");
    buf_printf(to, " (%.8s)", entry->digest);
}

static void tell_request(const struct entry *entry, struct buf *to) {
    if (entry->event == ENTRY_HOLD) tell_hold(entry, to);
    else if (entry->event == ENTRY_APPROVE) tell_approve(entry, to);
    else if (entry->event == ENTRY_CLOCK) buf_printf(to, "this time was accepted by user %" PRId64 "; the latest before was %s", entry->author, time_format_seconds(entry->placed_us).text);
    else if (entry->event == ENTRY_REFUSE) tell_refuse(entry, to);
    else if (entry->event == ENTRY_RELEASE) buf_printf(to, "hold \"%s\" released by user %" PRId64, entry->hold, entry->author);
    else if (entry->event == ENTRY_RESUME) buf_printf(to, "resumed by user %" PRId64, entry->author);
    else if (!strcmp(entry->outcome, "placed")) buf_printf(to, "paused by user %" PRId64 " (%s)", entry->author, entry->ground);
    else buf_printf(to, "still paused, since %s (%s)", time_format_day(entry->placed_us).text, entry->ground);
}

static void tell_wait(const struct entry *entry, struct buf *to) {
    int64_t waited_us = entry->time_us - entry->placed_us;
    buf_printf(to, "sweep %" PRId64 " waited %s", entry->sweep, time_format_span(waited_us > 0 ? waited_us : 0).text);
    if (entry->store) buf_printf(to, " before it destroyed more in %s", entry->store);
    buf_printf(to, " (%s)", entry->code);
}

void sentence_tell(const struct entry *entry, struct buf *to) {
    switch (entry->event) {
    case ENTRY_START: buf_printf(to, "lapsed %s started", entry->version); break;
    case ENTRY_STOP: buf_printf(to, "lapsed stopped (%s)", entry->trigger); break;
    case ENTRY_SCHEDULE:
        buf_printf(to, "the schedule has %s rule%s (SHA-256 %.8s…)", text_number((int64_t)entry->n_rules).text, entry->n_rules == 1 ? "" : "s",
                   entry->schedule);
        break;
    case ENTRY_SWEEP_BEGIN:
        buf_printf(to, "sweep %" PRId64 " began (%s), %s tenant%s", entry->sweep, entry->trigger, text_number(entry->tenants_total).text,
                   entry->tenants_total == 1 ? "" : "s");
        break;
    case ENTRY_SWEEP_END: tell_sweep_end(entry, to); break;
    case ENTRY_OUTCOME: tell_late_outcome(entry, to); break;
    case ENTRY_FINDING: tell_finding(entry, to); break;
    case ENTRY_RECOVER: tell_recover(entry, to); break;
    case ENTRY_SEGMENT: buf_printf(to, "a new segment of the log %s", entry->origin); break;
    case ENTRY_CHECKPOINT:
        buf_printf(to, "signed %s entr%s, root %s", text_number(entry->size).text, entry->size == 1 ? "y" : "ies", entry->root);
        break;
    case ENTRY_PRUNE: tell_prune(entry, to); break;
    case ENTRY_HOLD:
    case ENTRY_RELEASE:
    case ENTRY_PAUSE:
    case ENTRY_RESUME:
    case ENTRY_APPROVE:
    case ENTRY_CLOCK:
    case ENTRY_REFUSE: tell_request(entry, to); break;
    case ENTRY_WAIT: tell_wait(entry, to); break;
    case ENTRY_INTENT: /* told by batch_story_tell */
    case ENTRY_EVENTS: break;
    }
}
