/* The journal without a daemon around it, for test_journal_faults.py: opens it with its keys, enters a few batches and a stop,
 * and closes it; on the way it closes segments, signs, and removes segments that are past their period. Every answer goes to
 * stdout as "SWEEP BATCH entered|failed" by writev, so that write() is the journal's alone.
 *
 *   journal_steps FOLDER STATE DAYS     DAYS: how many days ago the batches are entered */
#include "base/arena.h"
#include "base/log.h"
#include "base/time.h"
#include "journal/journal.h"

#include <inttypes.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <sysexits.h>

enum { BATCHES = 4, LEAVES = 3, RESERVE_BYTES = 64 << 10, SEGMENT_BYTES = 2500 };

static sem_t woken;
static int64_t entered_us; /* 0: now */

static void wake(void *context) {
    (void)context;
    (void)sem_post(&woken);
}

struct answer {
    struct journal_ticket ticket;
    bool there, failed;
};

static void on_done(struct journal_ticket *ticket, const struct err *err) {
    struct answer *answer = (struct answer *)(void *)ticket; /* its first member */
    answer->there = true;
    answer->failed = err != NULL;
}

static bool enter(struct journal *journal, struct entry entry) {
    struct answer answer = {.ticket = {.done = on_done}};
    entry.time_us = entered_us;
    journal_append(journal, &entry, &answer.ticket);
    while (!answer.there) {
        (void)sem_wait(&woken);
        journal_collect(journal);
    }
    return !answer.failed;
}

static void tell(int64_t sweep, int64_t batch, bool done) {
    char line[64];
    int length = snprintf(line, sizeof line, "%" PRId64 " %" PRId64 " %s\n", sweep, batch, done ? "entered" : "failed");
    if (writev(1, &(struct iovec){line, (size_t)length}, 1) != length) abort();
}

static void enter_batch(struct journal *journal, int64_t sweep, int64_t batch) {
    static const struct entry_tenant tenants[] = {{"1042", LEAVES, INT64_C(1574470800000000)}};
    static const char sha256[] = "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9";
    struct merkle_hash leaves[LEAVES];
    for (size_t i = 0; i < LEAVES; i++) memset(leaves[i].bytes, (int)('a' + i), sizeof leaves[i].bytes);
    bool done = enter(journal, (struct entry){.event = ENTRY_INTENT, .sweep = sweep, .batch = batch, .rule = "Billing Records", .store = "main",
                                              .target = "invoices", .action = "purge", .from = "issued_on", .tenants = tenants, .n_tenants = 1,
                                              .records = LEAVES, .schedule = sha256, .evidence = sha256, .evidence_leaves = leaves,
                                              .n_evidence_leaves = LEAVES});
    tell(sweep, batch, done);
    if (done) (void)enter(journal, (struct entry){.event = ENTRY_OUTCOME, .sweep = sweep, .batch = batch, .outcome = "committed", .records = LEAVES});
}

static int fail(const struct err *err) {
    (void)fprintf(stderr, "%s\n", err->text);
    return err_exit_status(err->code);
}

int main(int count, char **arguments) {
    if (count != 4) return EX_USAGE;
    int64_t days = strtoll(arguments[3], NULL, 10);
    entered_us = days ? time_now_us() - days * TIME_DAY_US : 0;
    log_open("journal_steps", LOG_LEVEL_ERROR - 1);
    if (sem_init(&woken, 0, 0)) abort();
    struct err err;
    struct signers signers;
    const struct period keep = {.count = 1, .unit = PERIOD_DAYS};
    if (signers_open(arguments[2], &signers, &err)) return fail(&err);
    const struct journal_conf conf = {.folder = arguments[1], .segment_bytes = SEGMENT_BYTES, .segment_age_us = 366 * TIME_DAY_US,
                                      .reserve_bytes = RESERVE_BYTES, .keep = keep, .signers = signers, .wake = wake};
    struct arena *arena = arena_new();
    struct journal *journal;
    const struct open_intent *open;
    size_t n_open;
    if (journal_open(&conf, arena, &journal, &open, &n_open, &err)) {
        arena_free(arena);
        return fail(&err);
    }
    int64_t sweep = journal_last_sweep(journal) + 1;
    (void)enter(journal, (struct entry){.event = ENTRY_START, .version = "0"});
    if (!days) journal_prune(journal, time_now_us(), keep, keep);
    for (size_t i = 0; i < n_open; i++) /* as a store would have been asked */
        (void)enter(journal, (struct entry){.event = ENTRY_OUTCOME, .sweep = open[i].sweep, .batch = open[i].batch, .outcome = "settled", .result = "rolled-back"});
    (void)enter(journal, (struct entry){.event = ENTRY_SWEEP_BEGIN, .sweep = sweep, .trigger = "once"});
    for (int64_t batch = 1; batch <= BATCHES; batch++) enter_batch(journal, sweep, batch);
    (void)enter(journal, (struct entry){.event = ENTRY_STOP, .trigger = "once"});
    journal_close(journal);
    arena_free(arena);
    return EX_OK;
}
