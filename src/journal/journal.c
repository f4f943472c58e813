#include "journal/journal.h"

#include "base/log.h"
#include "base/time.h"
#include "journal/evidence_file.h"
#include "journal/recover.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CLOSE_SECONDS = 10 };

struct tickets {
    struct journal_ticket *first, **last;
};

/* What the loop and the writer share, under the lock. */
struct queue {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* entries wait, or the writer should end, or has ended */
    struct buf waiting;     /* the lines of the next group */
    struct buf waiting_evidence; /* the lines of its intents' leaves */
    struct tickets waiting_tickets;
    struct tickets writing_tickets; /* of the group that is being written */
    struct tickets ready;   /* to be collected */
    struct position end;    /* of the last entry that was numbered */
    int64_t last_sweep;
    struct cut cut;         /* what the last failure left behind */
    bool cut_due;           /* it is not entered yet: a recover entry goes first */
    bool cut_waiting;       /* that entry is numbered, but not on disk */
    bool stopping, stopped, abandoned;
};

struct journal {
    char *folder;
    int folder_fd, lock_fd;
    int64_t segment_bytes, segment_age_us;
    void (*wake)(void *context);
    void *context;
    struct file file;       /* the writer's */
    struct evidence_file evidence; /* the writer's */
    struct position written; /* the writer's: the last entry that is on disk */
    pthread_t thread;
    struct queue *queue;
    atomic_bool healthy;
};

static void tickets_clear(struct tickets *tickets) { *tickets = (struct tickets){NULL, &tickets->first}; }

static void tickets_add(struct tickets *tickets, struct journal_ticket *ticket) {
    ticket->next = NULL;
    *tickets->last = ticket;
    tickets->last = &ticket->next;
}

/* Moves them all behind those of `to`, with this answer. */
static void tickets_answer(struct tickets *from, const struct err *answer, struct tickets *to) {
    for (struct journal_ticket *ticket = from->first, *next; ticket; ticket = next) {
        next = ticket->next;
        ticket->err = *answer;
        tickets_add(to, ticket);
    }
    tickets_clear(from);
}

static void wait_changed(struct queue *queue) { (void)pthread_cond_wait(&queue->changed, &queue->lock); }

static void lock(struct queue *queue) {
    if (pthread_mutex_lock(&queue->lock)) abort();
}

static void unlock(struct queue *queue) {
    if (pthread_mutex_unlock(&queue->lock)) abort();
}

/* Numbers the entry and puts its lines into the next group. Returns the number of its first line. */
static int64_t enqueue(struct queue *queue, const struct entry *entry) {
    struct entry timed = *entry;
    if (!timed.time_us) timed.time_us = time_now_us();
    int64_t seq = queue->end.seq + 1;
    queue->end.seq += (int64_t)entry_write(&queue->waiting, &timed, seq, queue->end.hash.text);
    queue->end.time_us = timed.time_us;
    if (timed.n_evidence_leaves) evidence_lines(&queue->waiting_evidence, seq, timed.evidence_leaves, timed.n_evidence_leaves);
    if (timed.event == ENTRY_SWEEP_BEGIN && timed.sweep > queue->last_sweep) queue->last_sweep = timed.sweep;
    return seq;
}

static void enqueue_cut(struct queue *queue) {
    (void)enqueue(queue, &(struct entry){.event = ENTRY_RECOVER,
                                         .cut_bytes = queue->cut.bytes,
                                         .cut_sha256 = queue->cut.sha256.text,
                                         .cut_file = queue->cut.name[0] ? queue->cut.name : NULL});
    queue->cut_due = false;
    queue->cut_waiting = true;
}

static bool segment_is_full(const struct journal *journal, size_t more) {
    const struct file *file = &journal->file;
    if (!file->bytes) return false;
    return file->bytes + (int64_t)more > journal->segment_bytes || time_now_us() - file->first_time_us >= journal->segment_age_us;
}

/* A group of lines, and the evidence of its intents. */
struct group {
    struct buf lines, evidence;
};

/* Leaves that are on disk without their intent do no harm; an intent without its leaves would be a promise that is not kept. */
static int write_evidence(struct journal *journal, const struct buf *lines, struct err *err) {
    struct file *file = &journal->file;
    bool fresh = !file->bytes;
    if (!lines->length) return 0;
    if (!evidence_file_append(&journal->evidence, fresh ? journal->written.seq + 1 : file->first_seq, fresh, lines, err)) return 0;
    file->broken = true; /* the next group begins a segment, and evidence, of its own */
    return -1;
}

/* Puts a group on disk, the entries behind `written` up to `end`. */
static int write_group(struct journal *journal, const struct group *group, const struct position *end, struct err *err) {
    struct file *file = &journal->file;
    if ((file->broken || segment_is_full(journal, group->lines.length)) && file_next(file, err)) return -1;
    bool first = !file->bytes;
    if (write_evidence(journal, &group->evidence, err) || file_append(file, group->lines.text, group->lines.length, err)) return -1;
    if (first) {
        file->first_seq = journal->written.seq + 1;
        file->first_time_us = end->time_us;
    }
    journal->written = *end;
    return 0;
}

/* Under the lock: nothing behind the last written entry counts, neither this group nor what was numbered after it. */
static void give_up_group(struct journal *journal, const struct err *err, const struct cut *cut) {
    struct queue *queue = journal->queue;
    buf_clear(&queue->waiting);
    buf_clear(&queue->waiting_evidence);
    tickets_answer(&queue->waiting_tickets, err, &queue->ready);
    queue->end = journal->written;
    /* A cut that still waits to be entered is not forgotten because the next try left nothing to cut. */
    if (cut->bytes || !(queue->cut_due || queue->cut_waiting)) queue->cut = *cut;
    queue->cut_due = true;
    queue->cut_waiting = false;
}

/* Under the lock, which it lets go while it writes. */
static void write_waiting(struct journal *journal, struct group *group) {
    struct queue *queue = journal->queue;
    const struct group swap = *group;
    *group = (struct group){queue->waiting, queue->waiting_evidence};
    queue->waiting = swap.lines;
    queue->waiting_evidence = swap.evidence;
    const struct position end = queue->end;
    tickets_answer(&queue->waiting_tickets, &(struct err){.code = ERR_NONE}, &queue->writing_tickets);
    unlock(queue);

    struct err err = {.code = ERR_NONE}, keep_err;
    struct cut cut = {.bytes = 0};
    bool failed = write_group(journal, group, &end, &err) != 0;
    bool kept = !failed || !file_keep_aside(&journal->file, journal->written.seq + 1, &cut, &keep_err);
    if (!kept && atomic_load(&journal->healthy)) log_warning("%s", keep_err.text);
    if (failed && atomic_load(&journal->healthy)) log_error("%s; nothing is destroyed until the journal can be written again", err.text);
    if (!failed && !atomic_load(&journal->healthy)) log_notice("journal \"%s\" can be written again", journal->folder);
    atomic_store(&journal->healthy, !failed);
    buf_clear(&group->lines);
    buf_clear(&group->evidence);

    lock(queue);
    tickets_answer(&queue->writing_tickets, &err, &queue->ready);
    if (failed) give_up_group(journal, &err, &cut);
    else queue->cut_waiting = false;
}

static void *writer(void *context) {
    struct journal *journal = context;
    struct queue *queue = journal->queue;
    struct group group = {{.maximum = SIZE_MAX / 2}, {.maximum = SIZE_MAX / 2}};
    lock(queue);
    for (;;) {
        while (!queue->waiting.length && !queue->stopping) wait_changed(queue);
        if (!queue->waiting.length) break;
        write_waiting(journal, &group);
        bool wake = queue->ready.first && !queue->abandoned;
        unlock(queue);
        if (wake) journal->wake(journal->context);
        lock(queue);
    }
    queue->stopped = true;
    (void)pthread_cond_broadcast(&queue->changed);
    unlock(queue);
    buf_free(&group.lines);
    buf_free(&group.evidence);
    return NULL;
}

static struct queue *queue_new(const struct recovered *recovered) {
    struct queue *queue = xcalloc(1, sizeof *queue);
    pthread_condattr_t monotonic;
    if (pthread_mutex_init(&queue->lock, NULL) || pthread_condattr_init(&monotonic) ||
        pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) || pthread_cond_init(&queue->changed, &monotonic))
        abort();
    (void)pthread_condattr_destroy(&monotonic);
    queue->waiting.maximum = queue->waiting_evidence.maximum = SIZE_MAX / 2;
    tickets_clear(&queue->waiting_tickets);
    tickets_clear(&queue->writing_tickets);
    tickets_clear(&queue->ready);
    queue->end = recovered->last;
    queue->last_sweep = recovered->last_sweep;
    queue->cut = recovered->cut;
    return queue;
}

static void journal_free(struct journal *journal) {
    struct queue *queue = journal->queue;
    if (queue) {
        buf_free(&queue->waiting);
        buf_free(&queue->waiting_evidence);
        (void)pthread_mutex_destroy(&queue->lock);
        (void)pthread_cond_destroy(&queue->changed);
        free(queue);
        file_close(&journal->file);
        evidence_file_close(&journal->evidence);
    }
    (void)close(journal->lock_fd); /* lets the lock go */
    (void)close(journal->folder_fd);
    free(journal->folder);
    free(journal);
}

/* A tail that was cut is entered before the daemon does anything else. */
static int enter_cut(struct journal *journal, struct err *err) {
    struct queue *queue = journal->queue;
    enqueue_cut(queue);
    queue->cut_waiting = false;
    const struct position end = queue->end;
    int result = write_group(journal, &(struct group){.lines = queue->waiting}, &end, err);
    buf_clear(&queue->waiting);
    return result;
}

static int start(struct journal *journal, struct arena *arena, struct recovered *recovered, struct err *err) {
    if (recover_journal(journal->folder, journal->folder_fd, arena, recovered, err)) return -1;
    journal->file = recovered->file;
    journal->written = recovered->last;
    journal->evidence = evidence_file_in(journal->folder, journal->folder_fd);
    journal->queue = queue_new(recovered);
    if (recovered->cut.bytes && enter_cut(journal, err)) return -1;
    int failed = pthread_create(&journal->thread, NULL, writer, journal);
    return failed ? err_set_errno(err, failed, "journal \"%s\": cannot start its writer", journal->folder) : 0;
}

int journal_open(const struct journal_conf *conf, struct arena *arena, struct journal **ret_journal,
                 const struct open_intent **ret_open, size_t *ret_n_open, struct err *err) {
    int folder_fd, lock_fd;
    if (recover_lock(conf->folder, &folder_fd, &lock_fd, err)) return -1;
    struct journal *journal = xcalloc(1, sizeof *journal);
    *journal = (struct journal){.folder = xstrdup(conf->folder),
                                .folder_fd = folder_fd,
                                .lock_fd = lock_fd,
                                .segment_bytes = conf->segment_bytes,
                                .segment_age_us = conf->segment_age_us,
                                .wake = conf->wake,
                                .context = conf->context};
    atomic_init(&journal->healthy, true);
    struct recovered recovered = {.n_open = 0};
    if (start(journal, arena, &recovered, err)) {
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
    lock(queue);
    if (queue->cut_due) enqueue_cut(queue);
    int64_t seq = enqueue(queue, entry);
    if (ticket) {
        ticket->seq = seq;
        tickets_add(&queue->waiting_tickets, ticket);
    }
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
        (void)err_set(&err, ERR_IO, "journal \"%s\": the disk did not answer within %d seconds", journal->folder, CLOSE_SECONDS);
        queue->abandoned = true;
        tickets_answer(&queue->writing_tickets, &err, &queue->ready);
        tickets_answer(&queue->waiting_tickets, &err, &queue->ready);
    }
    unlock(queue);
    return stopped;
}

void journal_close(struct journal *journal) {
    bool stopped = stop_writer(journal);
    if (stopped) (void)pthread_join(journal->thread, NULL);
    journal_collect(journal);
    if (stopped) journal_free(journal);
    else (void)pthread_detach(journal->thread); /* it still holds the file: the memory is left to the exit of the process */
}
