#include "journal/journal.h"

#include "base/log.h"
#include "base/time.h"
#include "journal/evidence_prune.h"
#include "journal/recover.h"
#include "journal/room.h"
#include "journal/writer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CLOSE_SECONDS = 10, MOST_KEPT_BYTES = 256 << 10, MOST_DELAYED = 4096 };

/* Unsigned entries do not stay so for longer than the first; with nothing new, the last says that this is so. */
static const int64_t CHECKPOINT_US = TIME_SECOND_US, CHECKPOINT_IDLE_US = 3600 * TIME_SECOND_US;

/* A checkpoint that failed is tried again after a second, then after two, and so on up to this. */
static const int64_t MOST_RETRY_US = 60 * TIME_SECOND_US;

/* What refused an intent although the disk says it has room (a quota, or no inodes) may do so again. */
static const int64_t REFUSED_US = 10 * TIME_SECOND_US;

struct tickets {
    struct journal_ticket *first, **last;
};

struct group {
    struct pending *first, **last;
};

/* What is to be removed, and as of when; now_us 0: nothing. */
struct removal {
    int64_t now_us;
    struct period keep, keep_evidence;
};

/* What the loop and the writer share, under the lock. */
struct queue {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* entries wait, or the writer should end, or has ended */
    struct group waiting;   /* for the next group */
    struct removal removal; /* behind them */
    struct tickets writing_tickets; /* of the group that is being written */
    struct tickets ready;   /* to be collected */
    struct position end;    /* of the last entry on disk */
    int64_t last_sweep;
    bool stopping, stopped, abandoned;
};

struct journal {
    struct folder folder;
    void (*wake)(void *context);
    void *context;
    struct writer writer;   /* the writer thread's */
    int64_t checkpoint_us; /* the writer thread's: when it was tried last, on the monotonic clock; 0: never */
    int64_t reserve_bytes, room_us; /* the writer thread's: when the room was looked at, on the monotonic clock */
    int64_t refused_us;     /* the writer thread's: when an intent was refused for want of room; 0: none since there is room */
    struct pending *delayed; /* the writer thread's: entries of failed groups that nobody waits for; they go with the next group */
    bool begun;             /* the writer thread's: it wrote something */
    pthread_t thread;
    struct queue *queue;
    int64_t retry_us;       /* the writer thread's: how long after a checkpoint that failed the next one is tried; 0: it did not fail */
    atomic_bool healthy, short_of_room, cannot_sign; /* cannot_sign: the last checkpoint that was tried failed */
    atomic_llong left; /* on the disk, when it was looked at */
};

static void tickets_clear(struct tickets *tickets) { *tickets = (struct tickets){NULL, &tickets->first}; }

static void tickets_add(struct tickets *tickets, struct journal_ticket *ticket) {
    ticket->next = NULL;
    *tickets->last = ticket;
    tickets->last = &ticket->next;
}

/* Moves them all behind those of `to`, with this answer where they have none of their own. */
static void tickets_answer(struct tickets *from, const struct err *answer, struct tickets *to) {
    for (struct journal_ticket *ticket = from->first, *next; ticket; ticket = next) {
        next = ticket->next;
        if (!ticket->err.code) ticket->err = *answer;
        tickets_add(to, ticket);
    }
    tickets_clear(from);
}

static void lock(struct queue *queue) {
    if (pthread_mutex_lock(&queue->lock)) abort();
}

static void unlock(struct queue *queue) {
    if (pthread_mutex_unlock(&queue->lock)) abort();
}

/* Outside the lock, which it takes: once the writer is abandoned, there may be no loop any more. */
static void wake_loop(const struct journal *journal) {
    lock(journal->queue);
    if (!journal->queue->abandoned) journal->wake(journal->context);
    unlock(journal->queue);
}

static void group_clear(struct group *group) { *group = (struct group){NULL, &group->first}; }

static void group_free(struct pending *pending) {
    for (struct pending *next; pending; pending = next) {
        next = pending->next;
        entry_draft_free(pending->draft);
        free(pending->leaves);
        free(pending);
    }
}

/* Under the lock. */
static struct pending *take_group(struct queue *queue) {
    struct pending *first = queue->waiting.first;
    group_clear(&queue->waiting);
    for (struct pending *pending = first; pending; pending = pending->next)
        if (pending->ticket) tickets_add(&queue->writing_tickets, pending->ticket);
    return first;
}

/* Says once what became of it. */
static void note_health(struct journal *journal, bool failed, const struct err *err) {
    bool healthy = atomic_load(&journal->healthy);
    if (failed && healthy) log_error("%s; nothing is destroyed until the journal can be written again", err->text);
    if (!failed && !healthy) log_notice("journal \"%s\" can be written again", journal->folder.path);
    atomic_store(&journal->healthy, !failed);
}

/* ---- room ---- */

static bool is_short(const struct journal *journal, int64_t left) {
    bool was = atomic_load(&journal->short_of_room);
    if (journal->refused_us && journal->room_us < journal->refused_us + REFUSED_US) return true;
    return left < journal->reserve_bytes * (was ? 2 : 1);
}

/* Outside the lock. */
static void look_at_room(struct journal *journal, bool refused) {
    if (!journal->reserve_bytes) return;
    journal->room_us = time_monotonic_us();
    if (refused) journal->refused_us = journal->room_us;
    int64_t left = room_left(journal->folder.fd);
    bool now_short = is_short(journal, left);
    atomic_store(&journal->left, left);
    if (!now_short) journal->refused_us = 0;
    if (atomic_exchange(&journal->short_of_room, now_short) != now_short) wake_loop(journal);
}

static int64_t room_due_us(const struct journal *journal) {
    return atomic_load(&journal->short_of_room) ? journal->room_us + TIME_SECOND_US : INT64_MAX;
}

bool journal_has_room(const struct journal *journal, int64_t *ret_left) {
    *ret_left = atomic_load(&journal->left);
    return !atomic_load(&journal->short_of_room);
}

/* Who has no ticket cannot ask again: what a failed group had of theirs is kept, up to a limit; the rest is freed. */
static void delay(struct journal *journal, struct pending *group) {
    struct pending **last = &journal->delayed;
    size_t count = 0;
    for (struct pending *pending = group, *next; pending; pending = next) {
        next = pending->next;
        pending->next = NULL;
        if (pending->ticket || count++ >= MOST_DELAYED) {
            group_free(pending);
            continue;
        }
        *last = pending;
        last = &pending->next;
    }
}

static struct pending *behind_delayed(struct journal *journal, struct pending *group) {
    struct pending *first = journal->delayed, **last = &first;
    while (*last) last = &(*last)->next;
    *last = group;
    journal->delayed = NULL;
    return first;
}

/* Under the lock, which it lets go while it writes. */
static void write_waiting(struct journal *journal) {
    struct queue *queue = journal->queue;
    struct pending *group = behind_delayed(journal, take_group(queue));
    unlock(queue);
    struct err err = {.code = ERR_NONE}, refusal;
    bool failed = writer_append(&journal->writer, group, &refusal, &err) != 0;
    note_health(journal, failed, &err);
    look_at_room(journal, refusal.code != ERR_NONE && !journal->writer.unsignable);
    lock(queue);
    journal->begun |= !failed;
    queue->end = journal->writer.written;
    for (struct pending *pending = group; pending && !queue->abandoned; pending = pending->next) {
        if (!pending->ticket || failed) continue;
        if (pending->refused) pending->ticket->err = refusal;
        else pending->ticket->seq = pending->seq;
    }
    if (failed) delay(journal, group);
    else group_free(group);
    tickets_answer(&queue->writing_tickets, &err, &queue->ready);
}

static bool is_signed(const struct journal *journal) {
    return !journal->writer.signers.count || journal->writer.signed_seq == journal->writer.written.seq;
}

/* Says once what became of it. Entries that can be written again are not signed yet. */
static void note_signed(struct journal *journal, bool failed, const struct err *err) {
    bool was_failed = atomic_exchange(&journal->cannot_sign, failed);
    journal->writer.unsignable = failed;
    int64_t retry_us = journal->retry_us ? 2 * journal->retry_us : CHECKPOINT_US;
    journal->retry_us = !failed ? 0 : retry_us < MOST_RETRY_US ? retry_us : MOST_RETRY_US;
    if (failed == was_failed) return;
    if (failed) log_error("%s; no batch is begun until the journal can be signed again", err->text);
    else log_notice("journal \"%s\" can be signed again", journal->folder.path);
    wake_loop(journal);
}

bool journal_can_sign(const struct journal *journal) { return !atomic_load(&journal->cannot_sign); }

/* When the next checkpoint is due, on the monotonic clock: first behind the first group of this run. One that
 * failed is tried again whatever else goes wrong: nobody may have anything to enter as long as it does not succeed. */
static int64_t due_us(const struct journal *journal) {
    int64_t wait_us = is_signed(journal) ? CHECKPOINT_IDLE_US : CHECKPOINT_US;
    if (journal->retry_us) return journal->checkpoint_us + journal->retry_us;
    if (!journal->begun || !atomic_load(&journal->healthy)) return INT64_MAX;
    return journal->checkpoint_us ? journal->checkpoint_us + wait_us : 0;
}

/* Under the lock, which it lets go meanwhile. */
static void renew_checkpoint(struct journal *journal) {
    struct queue *queue = journal->queue;
    struct err err;
    unlock(queue);
    journal->checkpoint_us = time_monotonic_us();
    bool failed = writer_checkpoint(&journal->writer, &err) != 0;
    if (!failed) note_health(journal, false, &err); /* it is an entry, too */
    note_signed(journal, failed, &err);
    lock(queue);
    queue->end = journal->writer.written;
}

/* Under the lock, which it lets go meanwhile. What was to be said again before anything goes (holds, say) is on disk, or nothing goes. */
static void prune(struct journal *journal) {
    struct queue *queue = journal->queue;
    const struct removal removal = queue->removal;
    size_t n_evidence = 0;
    struct err err;
    queue->removal.now_us = 0;
    if (!atomic_load(&journal->healthy) || journal->delayed) return;
    unlock(queue);
    if (writer_prune(&journal->writer, removal.now_us, removal.keep, &err)) log_warning("%s", err.text);
    if (evidence_prune(journal->folder.path, removal.now_us, removal.keep_evidence, &n_evidence, &err)) log_warning("%s; old evidence stays until the next sweep", err.text);
    if (n_evidence) log_notice("%zu evidence files have served their time and were removed", n_evidence);
    lock(queue);
    queue->end = journal->writer.written;
}

/* Under the lock: until entries wait, the end is asked for, or something is due. */
static void wait_for_work(struct journal *journal) {
    struct queue *queue = journal->queue;
    int64_t until_us = due_us(journal), room_us = room_due_us(journal);
    if (room_us < until_us) until_us = room_us;
    const struct timespec deadline = {.tv_sec = until_us / TIME_SECOND_US, .tv_nsec = until_us % TIME_SECOND_US * 1000};
    while (!queue->waiting.first && !queue->removal.now_us && !queue->stopping && !pthread_cond_timedwait(&queue->changed, &queue->lock, &deadline)) continue;
}

static void *writer(void *context) {
    struct journal *journal = context;
    struct queue *queue = journal->queue;
    lock(queue);
    for (;;) {
        wait_for_work(journal);
        if (queue->waiting.first) write_waiting(journal);
        bool ready = queue->ready.first;
        unlock(queue);
        if (ready) wake_loop(journal);
        if (time_monotonic_us() >= room_due_us(journal)) look_at_room(journal, false);
        lock(queue);
        if (queue->removal.now_us && !queue->waiting.first) prune(journal);
        bool ends = queue->stopping && !queue->waiting.first;
        bool last = ends && atomic_load(&journal->healthy) && !is_signed(journal);
        if (last || time_monotonic_us() >= due_us(journal)) renew_checkpoint(journal);
        if (ends && !queue->waiting.first && !queue->removal.now_us) break;
    }
    queue->stopped = true;
    (void)pthread_cond_broadcast(&queue->changed);
    unlock(queue);
    return NULL;
}

static struct queue *queue_new(const struct recovered *recovered) {
    struct queue *queue = xcalloc(1, sizeof *queue);
    pthread_condattr_t monotonic;
    if (pthread_mutex_init(&queue->lock, NULL) || pthread_condattr_init(&monotonic) ||
        pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) || pthread_cond_init(&queue->changed, &monotonic))
        abort();
    (void)pthread_condattr_destroy(&monotonic);
    group_clear(&queue->waiting);
    tickets_clear(&queue->writing_tickets);
    tickets_clear(&queue->ready);
    queue->end = recovered->last;
    queue->last_sweep = recovered->last_sweep;
    return queue;
}

static void journal_free(struct journal *journal) {
    struct queue *queue = journal->queue;
    if (queue) {
        group_free(queue->waiting.first);
        (void)pthread_mutex_destroy(&queue->lock);
        (void)pthread_cond_destroy(&queue->changed);
        free(queue);
    }
    group_free(journal->delayed);
    writer_free(&journal->writer);
    folder_close(&journal->folder);
    free(journal);
}

/* All in one group: whoever would be left out could not be found any more. */
static int enter_cuts(struct writer *writer, const struct recovered *recovered, struct err *err) {
    struct pending *pending = xcalloc(recovered->n_cuts + 1, sizeof *pending);
    for (size_t i = 0; i < recovered->n_cuts; i++) {
        const struct cut *cut = &recovered->cuts[i];
        const struct entry entry = {.event = ENTRY_RECOVER, .cut_bytes = cut->bytes, .cut_sha256 = cut->sha256.text, .cut_file = cut->name};
        pending[i] = (struct pending){.next = i + 1 < recovered->n_cuts ? &pending[i + 1] : NULL, .draft = entry_draft(&entry)};
    }
    struct err refusal;
    int result = recovered->n_cuts ? writer_append(writer, pending, &refusal, err) : 0;
    for (size_t i = 0; i < recovered->n_cuts; i++) entry_draft_free(pending[i].draft);
    free(pending);
    return result;
}

/* A tail that was cut is entered before the daemon does anything else. */
static int start(struct journal *journal, const struct journal_conf *conf, struct arena *arena, struct recovered *recovered, struct err *err) {
    struct writer *writer_of = &journal->writer;
    if (recover_journal(conf, &journal->folder, arena, recovered, err)) return -1;
    writer_of->file = recovered->file;
    writer_of->file.kept = conf->reserve_bytes < MOST_KEPT_BYTES ? conf->reserve_bytes : MOST_KEPT_BYTES;
    writer_of->written = recovered->last;
    writer_of->tree = writer_of->read_back = recovered->tree;
    writer_of->read_back_bytes = recovered->file.bytes;
    writer_of->pruned_seq = recovered->pruned_seq;
    writer_of->evidence = evidence_file_in(&journal->folder);
    journal->queue = queue_new(recovered);
    const char *name = writer_of->signers.count ? signer_public(writer_of->signers.items[0])->name : "lapsed/unsigned";
    (void)text_copy(writer_of->origin, sizeof writer_of->origin, recovered->origin[0] ? recovered->origin : name);
    if (enter_cuts(writer_of, recovered, err)) return -1;
    journal->queue->end = writer_of->written;
    look_at_room(journal, false);
    int failed = pthread_create(&journal->thread, NULL, writer, journal);
    return failed ? err_set_errno(err, failed, "journal \"%s\": cannot start its writer", journal->folder.path) : 0;
}

int journal_open(const struct journal_conf *conf, struct arena *arena, struct journal **ret_journal,
                 const struct open_intent **ret_open, size_t *ret_n_open, struct err *err) {
    struct folder folder;
    if (folder_open(conf->folder, &folder, err)) {
        struct signers signers = conf->signers;
        signers_free(&signers);
        return -1;
    }
    struct journal *journal = xcalloc(1, sizeof *journal);
    *journal = (struct journal){.folder = folder,
                                .writer = {.segment_bytes = conf->segment_bytes,
                                           .segment_age_us = conf->segment_age_us,
                                           .signers = conf->signers,
                                           .file = {.fd = -1},
                                           .evidence = {.fd = -1}},
                                .reserve_bytes = conf->reserve_bytes,
                                .wake = conf->wake,
                                .context = conf->context};
    atomic_init(&journal->healthy, true);
    atomic_init(&journal->cannot_sign, false);
    struct recovered recovered = {.n_open = 0};
    if (start(journal, conf, arena, &recovered, err)) {
        journal_free(journal);
        return -1;
    }
    *ret_journal = journal;
    *ret_open = recovered.open;
    *ret_n_open = recovered.n_open;
    return 0;
}

void journal_append(struct journal *journal, const struct entry *entry, struct journal_ticket *ticket) {
    struct queue *queue = journal->queue;
    struct pending *pending = xmalloc(sizeof *pending);
    *pending = (struct pending){.draft = entry_draft(entry), .time_us = entry->time_us, .ticket = ticket, .begins = entry->event == ENTRY_INTENT};
    if (ticket) ticket->err.code = ERR_NONE;
    if (entry->n_evidence_leaves) {
        size_t bytes = entry->n_evidence_leaves * sizeof *pending->leaves;
        pending->leaves = xmalloc(bytes);
        memcpy(pending->leaves, entry->evidence_leaves, bytes);
        pending->n_leaves = entry->n_evidence_leaves;
    }
    lock(queue);
    *queue->waiting.last = pending;
    queue->waiting.last = &pending->next;
    if (entry->event == ENTRY_SWEEP_BEGIN && entry->sweep > queue->last_sweep) queue->last_sweep = entry->sweep;
    (void)pthread_cond_broadcast(&queue->changed);
    unlock(queue);
}

void journal_prune(struct journal *journal, int64_t now_us, struct period keep, struct period keep_evidence) {
    struct queue *queue = journal->queue;
    lock(queue);
    queue->removal = (struct removal){now_us, keep, keep_evidence};
    (void)pthread_cond_broadcast(&queue->changed);
    unlock(queue);
}

static void call_done(struct journal_ticket *ticket) {
    for (struct journal_ticket *next; ticket; ticket = next) {
        next = ticket->next; /* `done` may append with the same ticket again */
        ticket->done(ticket, ticket->err.code ? &ticket->err : NULL);
    }
}

void journal_collect(struct journal *journal) {
    struct queue *queue = journal->queue;
    lock(queue);
    struct journal_ticket *ready = queue->ready.first;
    tickets_clear(&queue->ready);
    unlock(queue);
    call_done(ready);
}

int64_t journal_last_time_us(const struct journal *journal) {
    lock(journal->queue);
    int64_t time_us = journal->queue->end.time_us;
    unlock(journal->queue);
    return time_us;
}

int64_t journal_last_seq(const struct journal *journal) {
    lock(journal->queue);
    int64_t seq = journal->queue->end.seq;
    unlock(journal->queue);
    return seq;
}

int64_t journal_last_sweep(const struct journal *journal) {
    lock(journal->queue);
    int64_t sweep = journal->queue->last_sweep;
    unlock(journal->queue);
    return sweep;
}

bool journal_healthy(const struct journal *journal) { return atomic_load(&journal->healthy); }

/* Whether the writer ended in time; if not, its tickets are answered without it. */
static bool stop_writer(struct journal *journal) {
    struct queue *queue = journal->queue;
    struct timespec deadline;
    (void)clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += CLOSE_SECONDS;
    lock(queue);
    queue->stopping = true;
    (void)pthread_cond_broadcast(&queue->changed);
    /* The clock decides, not the wait's own answer: it may end early. */
    int64_t last_us = time_monotonic_us() + CLOSE_SECONDS * TIME_SECOND_US;
    while (!queue->stopped && time_monotonic_us() < last_us) (void)pthread_cond_timedwait(&queue->changed, &queue->lock, &deadline);
    bool stopped = queue->stopped;
    if (!stopped) {
        struct err err;
        (void)err_set(&err, ERR_IO, "journal \"%s\": the disk did not answer within %d seconds", journal->folder.path, CLOSE_SECONDS);
        queue->abandoned = true;
        group_free(take_group(queue));
        tickets_answer(&queue->writing_tickets, &err, &queue->ready);
    }
    unlock(queue);
    return stopped;
}

bool journal_close(struct journal *journal) {
    bool stopped = stop_writer(journal), whole = false;
    if (stopped) (void)pthread_join(journal->thread, NULL);
    journal_collect(journal);
    if (stopped) {
        whole = atomic_load(&journal->healthy) && !journal->delayed && is_signed(journal);
        journal_free(journal);
    } else {
        log_error("journal \"%s\": its disk did not answer for %d s; what waited for it is not entered", journal->folder.path, (int)CLOSE_SECONDS);
        (void)pthread_detach(journal->thread); /* it still holds the file: the memory is left to the exit of the process */
    }
    return whole;
}
