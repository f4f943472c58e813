/* What became of a batch: its entry in the journal, and what it adds to the sweep's results. */
#include "sweep/sweep_internal.h"

#include <stdlib.h>

/* An outcome that could not be written is asked for again, like one that was never known; the sweep, which is there until its own
 * last entry is answered, ends as it does for an intent. */
struct outcome_note {
    struct journal_ticket ticket;
    struct sweep *sweep;
    struct unsettled *batch;
};

static void on_outcome(struct journal_ticket *ticket, const struct err *err) {
    struct outcome_note *note = (struct outcome_note *)(void *)ticket;
    if (err) (void)engine_remember(note->sweep->engine, note->batch);
    else unsettled_free(note->batch);
    if (err && err->code != ERR_UNAVAILABLE) sweep_stop(note->sweep, err);
    free(note);
}

struct unsettled *outcome_unsettled(const struct lane *lane) {
    return unsettled_new(lane->ticket.seq, lane->sweep->report.number, lane->batch_number, lane->site->conf->name, lane->batch->transaction,
                         lane->batch->server);
}

void outcome_enter(struct lane *lane, const char *outcome, const struct err *err) {
    struct entry entry = {.event = ENTRY_OUTCOME, .sweep = lane->sweep->report.number, .batch = lane->batch_number, .outcome = outcome,
                          .records = lane->outcome.records, .dependents = lane->outcome.dependents};
    if (err) {
        entry.code = err_code_name(err->code);
        entry.detail = *err->detail ? err->detail : NULL;
    }
    struct outcome_note *note = xcalloc(1, sizeof *note);
    *note = (struct outcome_note){.ticket.done = on_outcome, .sweep = lane->sweep, .batch = outcome_unsettled(lane)};
    journal_append(lane->sweep->engine->journal, &entry, &note->ticket);
}

static void note_gone(struct lane *lane, bool all_went) {
    struct site *site = lane->site;
    size_t at = 0;
    while (at < site->n_counted && site->counted[at] != lane->batch->order) at++;
    if (at < site->n_counted) site->gone[at] += lane->outcome.records;
    site->doubtful = site->doubtful || at == site->n_counted || !all_went || lane->outcome.doubtful;
}

void outcome_note(struct lane *lane) {
    const struct order *order = lane->batch->order;
    struct rule_report *rule = &lane->sweep->rules[order->target->rule->number];
    if (order->action == ACTION_PURGE) rule->purged += lane->outcome.records;
    else rule->anonymized += lane->outcome.records;
    rule->dependents += lane->outcome.dependents;
    bool all_went = lane->outcome.records == lane->batch->records && lane->outcome.dependents == lane->batch->dependents;
    note_gone(lane, all_went);
    if (!all_went || !store_driver_of(lane->site->conf->kind)->thorough) lane->site->done_in_pass += lane->outcome.records + lane->outcome.dependents;
}
