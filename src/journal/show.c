#include "journal/show.h"

#include "journal/sentence.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A sentence waits until those before it can be told, so that they come in the order of the journal. One that waits for
 * an outcome holds up at most so many; its outcome is then told by itself. */
enum { MOST_WAITING = 4096 };

struct waiting {
    struct waiting *next;
    struct batch_story *story; /* or */
    char *text;
    int64_t time_us;
    bool shown; /* false: only followed, because a later part of the intent may match */
};

struct showing {
    const struct journal_show *show;
    struct waiting *first, **last;
    size_t n_waiting;
    struct arena *periods_arena;
    struct entry_rule *periods; /* the table of the last schedule entry */
    size_t n_periods;
};

static void drop_first(struct showing *showing) {
    struct waiting *first = showing->first;
    showing->first = first->next;
    if (!showing->first) showing->last = &showing->first;
    showing->n_waiting--;
    if (first->story) batch_story_free(first->story);
    free(first->text);
    free(first);
}

static bool wants(const struct showing *showing, enum entry_event event) {
    unsigned events = showing->show->filter.events;
    /* What only the journal's own keeping needs is told where it is asked for. */
    if (!events && !showing->show->raw) return event != ENTRY_SEGMENT && event != ENTRY_CHECKPOINT;
    return !events || events & (1u << event);
}

static void tell_first(struct showing *showing) {
    const struct journal_show *show = showing->show;
    const struct waiting *first = showing->first;
    struct buf sentence __attribute__((cleanup(buf_free))) = {.text = NULL};
    if (first->story && first->shown && !show->raw && (wants(showing, ENTRY_INTENT) || wants(showing, ENTRY_OUTCOME)))
        batch_story_tell(first->story, &sentence);
    else if (first->text) buf_add(&sentence, first->text);
    if (sentence.length) show->tell(show->context, first->time_us, sentence.text);
    drop_first(showing);
}

/* Tells what no longer has to wait. */
static void tell_ready(struct showing *showing, size_t most_waiting) {
    while (showing->first && (!showing->first->story || batch_story_is_final(showing->first->story) || showing->n_waiting > most_waiting))
        tell_first(showing);
}

static struct waiting *add(struct showing *showing, int64_t time_us, struct batch_story *story, char *text) {
    struct waiting *waiting = xcalloc(1, sizeof *waiting);
    *waiting = (struct waiting){.story = story, .text = text, .time_us = time_us, .shown = text != NULL};
    *showing->last = waiting;
    showing->last = &waiting->next;
    showing->n_waiting++;
    return waiting;
}

static struct waiting *find_batch(const struct showing *showing, const struct entry *entry) {
    for (struct waiting *waiting = showing->first; waiting; waiting = waiting->next)
        if (waiting->story && waiting->story->sweep == entry->sweep && waiting->story->batch == entry->batch) return waiting;
    return NULL;
}

static void note_schedule(struct showing *showing, const struct entry_line *line) {
    struct arena *arena = showing->periods_arena;
    if (line->part == 1) {
        arena_clear(arena);
        showing->periods = NULL;
        showing->n_periods = 0;
    }
    for (size_t i = 0; i < line->entry.n_rules; i++) {
        const struct entry_rule *rule = &line->entry.rules[i];
        *ARENA_APPEND(arena, showing->periods, showing->n_periods) =
            (struct entry_rule){.data = arena_strdup(arena, rule->data),
                                .keep = arena_strdup(arena, rule->keep),
                                .anonymize = arena_strdup(arena, rule->anonymize)};
    }
}

static const char *period_of(const struct showing *showing, const struct entry *intent) {
    for (size_t i = 0; i < showing->n_periods; i++) {
        const struct entry_rule *rule = &showing->periods[i];
        if (!text_equal(rule->data, intent->rule)) continue;
        return rule->anonymize && !strcmp(intent->action, "anonymize") ? rule->anonymize : rule->keep;
    }
    return NULL;
}

static bool matches(const struct showing *showing, const struct entry *entry) {
    struct journal_filter filter = showing->show->filter;
    filter.events = 0;
    return journal_matches(&filter, entry);
}

static void tell_line(struct showing *showing, const struct scan_entry *found) {
    struct buf line __attribute__((cleanup(buf_free))) = {.text = NULL};
    buf_add_n(&line, found->bytes, found->length);
    showing->show->tell(showing->show->context, found->line.entry.time_us, line.text);
}

/* Both return whether the line is one that was asked for. */
static bool take_intent(struct showing *showing, const struct entry_line *line) {
    const struct entry *entry = &line->entry;
    bool asked = matches(showing, entry);
    struct waiting *batch = line->part > 1 ? find_batch(showing, entry) : NULL;
    if (batch) batch_story_add_part(batch->story, entry);
    else batch = add(showing, entry->time_us, batch_story_new(entry, period_of(showing, entry)), NULL);
    batch->shown = batch->shown || asked;
    return asked;
}

/* ret_told: it will be told with its intent. */
static bool take_outcome(struct showing *showing, const struct entry *entry, bool *ret_told) {
    struct waiting *batch = find_batch(showing, entry);
    if (batch) batch_story_end(batch->story, entry);
    *ret_told = batch != NULL;
    return batch ? batch->shown : matches(showing, entry);
}

static void add_sentence(struct showing *showing, const struct entry_line *line) {
    struct buf sentence = {.text = NULL};
    sentence_tell(&line->entry, &sentence);
    if (line->parts > 1) buf_printf(&sentence, " (part %" PRId64 " of %" PRId64 ")", line->part, line->parts);
    (void)add(showing, line->entry.time_us, NULL, sentence.text);
}

static void take_entry(void *context, const struct scan_entry *found) {
    struct showing *showing = context;
    const struct entry *entry = &found->line.entry;
    bool asked, told = false;
    if (entry->event == ENTRY_SCHEDULE) note_schedule(showing, &found->line);
    if (entry->event == ENTRY_INTENT) {
        told = true;
        asked = take_intent(showing, &found->line);
    } else if (entry->event == ENTRY_OUTCOME) {
        asked = take_outcome(showing, entry, &told);
    } else {
        asked = matches(showing, entry);
    }
    if (asked && showing->show->raw && wants(showing, entry->event)) tell_line(showing, found);
    else if (asked && !showing->show->raw && !told && wants(showing, entry->event)) add_sentence(showing, &found->line);
    tell_ready(showing, MOST_WAITING);
}

int journal_show(const char *folder, const struct journal_show *show, struct scan_result *ret_result, struct err *err) {
    struct showing showing = {.show = show, .periods_arena = arena_new()};
    showing.last = &showing.first;
    int result = journal_read(folder, &(struct journal_filter){.sweep = 0}, take_entry, &showing, ret_result, err);
    tell_ready(&showing, 0);
    arena_free(showing.periods_arena);
    return result;
}
