/* A disk that fills up between an intent and its outcome: what was begun is written to its end, and nothing more is begun. */
#include "signed.h"
#include "journal/calls.h"
#include "journal/evidence_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>

/* A disk without a free block: a file has what it was given before. Calls come from one writer thread at a time. */
enum { MOST_FILES = 16 };
static struct { ino_t ino; int64_t end; } blocks[MOST_FILES];
static size_t n_files;
static atomic_bool full;
static struct journal_calls real;

static int64_t *end_of(int fd) {
    struct stat own;
    ck_assert_int_eq(fstat(fd, &own), 0);
    size_t i = 0;
    while (i < n_files && blocks[i].ino != own.st_ino) i++;
    if (i == n_files) {
        ck_assert_uint_lt(i, MOST_FILES);
        blocks[n_files++].ino = own.st_ino;
        blocks[i].end = own.st_size;
    }
    return &blocks[i].end;
}

static int disk_fallocate(int fd, off_t offset, off_t length) {
    int64_t *end = end_of(fd);
    if (offset + length > *end && atomic_load(&full)) {
        errno = ENOSPC;
        return -1;
    }
    if (offset + length > *end) *end = offset + length;
    return real.fallocate(fd, offset, length);
}

static ssize_t disk_write(int fd, const void *bytes, size_t length) {
    struct stat own;
    ck_assert_int_eq(fstat(fd, &own), 0);
    int64_t *end = end_of(fd), room = *end - own.st_size;
    if (atomic_load(&full) && room < (int64_t)length) {
        errno = ENOSPC;
        return room > 0 ? real.write(fd, bytes, (size_t)room) : -1;
    }
    if (own.st_size + (int64_t)length > *end) *end = own.st_size + (int64_t)length;
    return real.write(fd, bytes, length);
}

static int disk_open(int fd, const char *name, int flags, mode_t bits) {
    if (flags & O_CREAT && atomic_load(&full)) {
        errno = ENOSPC;
        return -1;
    }
    return real.open(fd, name, flags, bits);
}

static void on_disk(void) {
    if (!real.open) real = journal_calls;
    journal_calls.fallocate = disk_fallocate;
    journal_calls.write = disk_write;
    journal_calls.open = disk_open;
    atomic_store(&full, false);
    n_files = 0;
}

static struct journal *opened(int64_t segment_bytes) {
    on_disk();
    signed_setup();
    take_signers();
    struct journal_conf conf = folder_conf();
    conf.signers = signers;
    conf.segment_bytes = segment_bytes;
    conf.reserve_bytes = 64 << 10;
    struct journal *journal = journal_opened(&conf);
    const struct entry start = {.event = ENTRY_START, .version = "0.1.0"};
    ck_assert(put(journal, &start));
    struct buf path = folder_path("checkpoint");
    for (int i = 0; access(path.text, F_OK) && i < 2000; i++) (void)poll(NULL, 0, 5); /* the first one needs room */
    ck_assert_int_eq(access(path.text, F_OK), 0);
    buf_free(&path);
    return journal;
}

static void assert_well(void) {
    ck_assert_msg(verify(&keys, NULL) == VERIFY_WELL, "%s%s", answer.scan.first_fault, answer.why);
    ck_assert_int_eq(folder_count("torn-", NULL), 0);
}

/* Intents until one is refused: more than is kept was taken ahead. */
static void fill(struct journal *journal, struct waiter *waiter) {
    struct entry intent = an_intent(1, 1);
    ck_assert(put(journal, &intent));
    atomic_store(&full, true);
    do {
        intent.batch++;
        append(journal, &intent, waiter);
        wait_for(journal, waiter);
    } while (!waiter->failed && intent.batch < 5000);
    ck_assert(waiter->failed);
    ck_assert_int_eq(waiter->err.code, ERR_UNAVAILABLE);
}

START_TEST(what_was_begun_is_written_to_its_end) {
    struct journal *journal = opened(4 << 20);
    struct waiter waiter;
    struct entry outcome = an_outcome(1, 1, "committed"), stop = {.event = ENTRY_STOP, .trigger = "signal"};
    fill(journal, &waiter);
    for (int i = 0; i < 100; i++) ck_assert(put(journal, &outcome));
    ck_assert(put(journal, &stop));
    ck_assert_msg(strstr(waiter.err.text, "no room can be had for journal.jsonl: No space left on device") != NULL, "%s", waiter.err.text);
    ck_assert(journal_healthy(journal)); /* nothing is wrong with it */
    int64_t left;
    ck_assert(!journal_has_room(journal, &left));
    journal_close(journal); /* signs, although the file `checkpoint` cannot be replaced any more */
    assert_well();
    ck_assert_int_eq(answer.scan.signed_seq, answer.scan.last.seq);
    signed_remove();
}
END_TEST

START_TEST(in_one_group_the_intents_alone_are_refused) {
    struct journal *journal = opened(4 << 20);
    struct entry another = an_intent(1, 9999), outcome = an_outcome(1, 1, "committed");
    struct waiter waiters[60];
    fill(journal, &waiters[0]);
    for (size_t i = 0; i < 60; i++) append(journal, i % 2 ? &outcome : &another, &waiters[i]);
    int64_t seq = 0;
    for (size_t i = 0; i < 60; i++) {
        wait_for(journal, &waiters[i]);
        ck_assert_int_eq(waiters[i].failed, i % 2 == 0);
        if (!waiters[i].failed) ck_assert_int_gt(waiters[i].ticket.seq, seq);
        if (!waiters[i].failed) seq = waiters[i].ticket.seq;
    }
    atomic_store(&full, false);
    ck_assert(put(journal, &another));
    journal_close(journal);
    assert_well();
    signed_remove();
}
END_TEST

START_TEST(a_full_segment_that_nothing_can_follow_grows_on) {
    struct journal *journal = opened(2000);
    struct entry intent = an_intent(1, 1), outcome = an_outcome(1, 1, "committed");
    ck_assert(put(journal, &intent));
    atomic_store(&full, true);
    for (int i = 0; i < 50; i++) ck_assert(put(journal, &outcome));
    ck_assert_int_eq(folder_count("journal-", NULL), 0);
    ck_assert_int_eq(folder_count("journal.next", NULL), 0);
    atomic_store(&full, false);
    ck_assert(put(journal, &intent));
    ck_assert_int_eq(folder_count("journal-", NULL), 1);
    journal_close(journal);
    assert_well();
    signed_remove();
}
END_TEST

START_TEST(no_intent_without_room_for_its_evidence) {
    struct journal *journal = opened(1 << 20);
    static struct merkle_hash leaves[40000]; /* 1.3 MB */
    struct entry intent = an_intent(1, 1), outcome = an_outcome(1, 1, "committed");
    intent.evidence = "00";
    intent.evidence_leaves = leaves;
    intent.n_evidence_leaves = 1;
    ck_assert(put(journal, &intent));
    atomic_store(&full, true);
    intent.n_evidence_leaves = sizeof leaves / sizeof *leaves;
    intent.batch = 2;
    for (int i = 0; i < 3; i++) {
        struct waiter waiter;
        append(journal, &intent, &waiter);
        wait_for(journal, &waiter);
        ck_assert(waiter.failed);
        ck_assert_int_eq(waiter.err.code, ERR_UNAVAILABLE);
        ck_assert_msg(strstr(waiter.err.text, "evidence-000000000001") != NULL, "%s", waiter.err.text);
        ck_assert(put(journal, &outcome));
    }
    atomic_store(&full, false);
    ck_assert(put(journal, &intent));
    journal_close(journal);
    assert_well();
    ck_assert_int_eq(answer.scan.segments, 1); /* nothing was broken */
    signed_remove();
}
END_TEST

START_TEST(a_closed_segment_gives_back_what_it_did_not_use) {
    struct journal *journal = opened(2000);
    struct entry intent = an_intent(1, 1);
    for (int i = 0; i < 6; i++) ck_assert(put(journal, &intent));
    journal_close(journal);
    char name[64];
    ck_assert_int_ge(folder_count("journal-", name), 1);
    struct buf closed = folder_path(name), open = folder_path("journal.jsonl");
    struct stat stat_of;
    ck_assert_int_eq(stat(closed.text, &stat_of), 0);
    ck_assert_int_le(stat_of.st_blocks * 512, 2 * 4096);
    ck_assert_int_eq(stat(open.text, &stat_of), 0);
    ck_assert_int_ge(stat_of.st_blocks * 512, 64 << 10);
    ck_assert_int_lt(stat_of.st_size, 4096);
    buf_free(&closed);
    buf_free(&open);
    assert_well();
    signed_remove();
}
END_TEST

UNIT_MAIN("room", what_was_begun_is_written_to_its_end, in_one_group_the_intents_alone_are_refused,
          a_full_segment_that_nothing_can_follow_grows_on, no_intent_without_room_for_its_evidence,
          a_closed_segment_gives_back_what_it_did_not_use)
