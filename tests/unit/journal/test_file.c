/* The writer when the disk fails it: each call in turn fails, is interrupted, is cut short, or is the last thing the
 * daemon does. Whatever happens, what was acknowledged is in the journal, what was not is not acted upon, and the
 * journal verifies. */
#include "folder.h"
#include "journal/calls.h"
#include "journal/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/wait.h>

enum { INTENTS = 12 };

enum mode { WORK, FAIL, SHORT, SHORT_THEN_FAIL, INTERRUPT, DIE_BEFORE, DIE_AFTER };

static struct journal_calls real;
static enum mode mode;
static int failure;            /* errno */
static int first, last;        /* the calls it befalls, counted over all kinds from 1 */
static atomic_int calls, datasyncs, writes;
static int spoilt = -1;        /* a file whose write or fdatasync failed; held open, so that its number stays its own */
static bool spoilt_used;       /* it was written to or synced again */
static bool hold;              /* fdatasync waits for `go` */
static sem_t arrived, go;

static bool is_spoilt(int fd) {
    struct stat own, other;
    return spoilt >= 0 && !fstat(fd, &own) && !fstat(spoilt, &other) && own.st_ino == other.st_ino;
}

static void spoil(int fd) {
    if (spoilt < 0) spoilt = dup(fd);
    errno = failure;
}

static bool befalls(void) {
    int n = atomic_fetch_add(&calls, 1) + 1;
    if (mode == WORK || n < first || n > last) return false;
    if (mode == DIE_BEFORE) _exit(9);
    errno = mode == INTERRUPT ? EINTR : failure;
    return true;
}

/* The result of a call that is no write. */
static int pass(bool hit, int result) {
    if (hit && mode == DIE_AFTER) _exit(9);
    return result;
}

#define STRIKES(hit) ((hit) && (mode == FAIL || (mode == SHORT_THEN_FAIL && last > first)))

static int test_open(int folder_fd, const char *name, int flags, mode_t bits) {
    bool hit = befalls();
    return STRIKES(hit) ? -1 : pass(hit, real.open(folder_fd, name, flags, bits));
}

static ssize_t test_write(int fd, const void *bytes, size_t length) {
    bool hit = befalls();
    atomic_fetch_add(&writes, 1);
    if (is_spoilt(fd)) spoilt_used = true;
    if (hit && mode == INTERRUPT) return -1;
    if (hit && (mode == FAIL || (mode == SHORT_THEN_FAIL && atomic_load(&calls) > first))) {
        spoil(fd);
        return -1;
    }
    if (hit && mode == DIE_AFTER) {
        ssize_t written = real.write(fd, bytes, length / 2);
        _exit(written < 0 ? 8 : 9);
    }
    return real.write(fd, bytes, hit && length > 1 ? length / 2 : length);
}

static ssize_t test_pwrite(int fd, const void *bytes, size_t length, off_t offset) {
    bool hit = befalls();
    if (is_spoilt(fd)) spoilt_used = true;
    if (hit && mode == INTERRUPT) return -1;
    if (hit && (mode == FAIL || (mode == SHORT_THEN_FAIL && atomic_load(&calls) > first))) {
        spoil(fd);
        return -1;
    }
    return pass(hit, (int)real.pwrite(fd, bytes, hit && length > 1 ? length / 2 : length, offset));
}

static int test_fdatasync(int fd) {
    bool hit = befalls();
    atomic_fetch_add(&datasyncs, 1);
    if (hold) {
        (void)sem_post(&arrived);
        (void)sem_wait(&go);
    }
    if (is_spoilt(fd)) spoilt_used = true;
    if (STRIKES(hit)) {
        spoil(fd);
        return -1;
    }
    return pass(hit, real.fdatasync(fd));
}

static int test_fsync(int fd) {
    bool hit = befalls();
    if (is_spoilt(fd)) spoilt_used = true;
    return STRIKES(hit) ? -1 : pass(hit, real.fsync(fd));
}

static int test_fallocate(int fd, off_t offset, off_t length) {
    bool hit = befalls();
    if (hit && mode == INTERRUPT) return -1;
    return STRIKES(hit) ? -1 : pass(hit, real.fallocate(fd, offset, length));
}

static int test_ftruncate(int fd, off_t length) {
    bool hit = befalls();
    return STRIKES(hit) ? -1 : pass(hit, real.ftruncate(fd, length));
}

static int test_fchmod(int fd, mode_t bits) {
    bool hit = befalls();
    return STRIKES(hit) ? -1 : pass(hit, real.fchmod(fd, bits));
}

static int test_link(int folder_fd, const char *from, const char *to) {
    bool hit = befalls();
    return STRIKES(hit) ? -1 : pass(hit, real.link(folder_fd, from, to));
}

static int test_rename(int folder_fd, const char *from, const char *to) {
    bool hit = befalls();
    return STRIKES(hit) ? -1 : pass(hit, real.rename(folder_fd, from, to));
}

static int test_unlink(int folder_fd, const char *name) {
    bool hit = befalls();
    return STRIKES(hit) ? -1 : pass(hit, real.unlink(folder_fd, name));
}

static void strike(enum mode how, int error, int from, int to) {
    mode = how;
    failure = error;
    first = from;
    last = to;
    atomic_store(&calls, 0);
    if (spoilt >= 0) (void)close(spoilt);
    spoilt = -1;
    spoilt_used = false;
}

static void hook(void) {
    if (!real.open) real = journal_calls;
    journal_calls = (struct journal_calls){.open = test_open, .write = test_write, .pwrite = test_pwrite, .fdatasync = test_fdatasync, .fsync = test_fsync,
                                           .fallocate = test_fallocate, .ftruncate = test_ftruncate, .fchmod = test_fchmod, .link = test_link,
                                           .rename = test_rename, .unlink = test_unlink};
}

/* Which batches' intents the journal holds; each may be there once only. */
static bool held[INTENTS + 2];

static void note_intent(void *context, const struct scan_entry *entry) {
    (void)context;
    if (entry->line.entry.event != ENTRY_INTENT || entry->line.entry.batch > INTENTS + 1) return;
    ck_assert_msg(!held[entry->line.entry.batch], "batch %" PRId64 " stands twice", entry->line.entry.batch);
    held[entry->line.entry.batch] = true;
}

static struct scan_result scan(void) {
    struct scan_result result;
    struct err err;
    memset(held, 0, sizeof held);
    ck_assert_msg(!journal_scan(folder, &(struct scan_visitor){.entry = note_intent}, &result, &err), "%s", err.text);
    return result;
}

static struct journal *try_open(struct err *err) {
    struct journal_conf conf = folder_conf();
    conf.segment_bytes = 1800;
    conf.reserve_bytes = 4096;
    struct arena *arena = arena_new();
    const struct open_intent *open;
    size_t n_open;
    struct journal *journal;
    int failed = journal_open(&conf, arena, &journal, &open, &n_open, err);
    arena_free(arena);
    return failed ? NULL : journal;
}

/* Puts every intent in, one group each; acknowledged[] says which are on disk. Returns how many are not. */
static int put_all(struct journal *journal, bool acknowledged[INTENTS + 2]) {
    int failures = 0;
    for (int64_t batch = 1; batch <= INTENTS; batch++) {
        struct entry intent = an_intent(1, batch);
        struct waiter waiter;
        append(journal, &intent, &waiter);
        wait_for(journal, &waiter);
        acknowledged[batch] = !waiter.failed;
        /* Where there is no room for an outcome, the intent alone is refused. */
        ck_assert_int_eq(journal_healthy(journal), !waiter.failed || waiter.err.code == ERR_UNAVAILABLE);
        failures += !acknowledged[batch];
    }
    return failures;
}

/* Returns the number of calls that were made, so that the caller knows when it has struck the last one. */
static int work_through(enum mode how, int error, int from, int n, int *ret_failures) {
    bool acknowledged[INTENTS + 2] = {false};
    folder_setup();
    strike(how, error, from, from + n - 1);
    struct err err;
    struct journal *journal = try_open(&err);
    *ret_failures = journal ? put_all(journal, acknowledged) : 1;
    int made = atomic_load(&calls);
    mode = WORK;
    if (!journal) {
        ck_assert_int_eq(err.code, ERR_IO);
        journal = try_open(&err);
        ck_assert_msg(journal != NULL, "%s", err.text);
    }
    struct entry after = an_intent(1, INTENTS + 1);
    acknowledged[INTENTS + 1] = put(journal, &after);
    ck_assert(acknowledged[INTENTS + 1]);
    ck_assert(journal_healthy(journal));
    int64_t last_seq = journal_last_seq(journal);
    journal_close(journal);
    struct scan_result result = scan();
    ck_assert_msg(result.faults == 0, "call %d: %s", from, result.first_fault);
    ck_assert_int_eq(result.last.seq, last_seq);
    for (int batch = 1; batch <= INTENTS + 1; batch++)
        ck_assert_msg(held[batch] == acknowledged[batch], "call %d: batch %d is %sheld", from, batch, held[batch] ? "" : "not ");
    ck_assert_msg(!spoilt_used, "call %d: a file was written or synced again after its failure", from);
    folder_remove();
    return made;
}

static void every_call(enum mode how, int error, int n, int least, int most) {
    hook();
    int from = 1, failures, all = 0;
    while (work_through(how, error, from, n, &failures) >= from) {
        ck_assert_msg(failures >= least && failures <= most, "call %d: %d groups failed", from, failures);
        all += failures;
        from++;
    }
    ck_assert_int_gt(from, 3 * INTENTS); /* at least a write, an fdatasync each, and the rotations */
    ck_assert(least || !most || all);
}

START_TEST(one_call_fails) {
    every_call(FAIL, EIO, 1, 0, 1); /* 0: removing a journal.next that is not there is not missed */
    every_call(FAIL, ENOSPC, 1, 0, 1);
}
END_TEST

START_TEST(several_calls_in_a_row_fail) {
    every_call(FAIL, EIO, 3, 0, 3); /* 0: no new segment could be begun, so the full one grows on */
    every_call(FAIL, EROFS, 9, 1, 9);
}
END_TEST

START_TEST(writes_are_short_or_interrupted) {
    every_call(SHORT, 0, 1, 0, 0);
    every_call(INTERRUPT, 0, 1, 0, 0);
    every_call(SHORT_THEN_FAIL, ENOSPC, 2, 0, 2);
}
END_TEST

/* The daemon dies at (before, or just after) each call in turn. */
static int die_at(enum mode how, int n) {
    folder_setup();
    int acknowledgements[2];
    ck_assert_int_eq(pipe(acknowledgements), 0);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (!child) {
        strike(how, 0, n, n);
        struct err err;
        struct journal *journal = try_open(&err);
        for (char batch = 1; journal && batch <= INTENTS; batch++) {
            struct entry intent = an_intent(1, batch);
            if (put(journal, &intent) && write(acknowledgements[1], &batch, 1) != 1) _exit(7);
        }
        if (journal) journal_close(journal);
        _exit(journal ? 0 : 7);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 9));
    (void)close(acknowledgements[1]);
    mode = WORK;
    struct err err;
    struct journal *journal = try_open(&err);
    ck_assert_msg(journal != NULL, "died at call %d: %s", n, err.text);
    struct entry after = an_intent(1, INTENTS + 1);
    ck_assert(put(journal, &after));
    journal_close(journal);
    struct scan_result result = scan();
    ck_assert_msg(result.faults == 0, "died at call %d: %s", n, result.first_fault);
    ck_assert(held[INTENTS + 1]);
    int acknowledged = 0;
    for (char batch; read(acknowledgements[0], &batch, 1) == 1; acknowledged++)
        ck_assert_msg(held[(int)batch], "died at call %d: batch %d is lost", n, batch);
    int there = 0;
    for (int batch = 1; batch <= INTENTS; batch++) there += held[batch];
    ck_assert_msg(there <= acknowledged + 1, "died at call %d: %d of %d", n, there, acknowledged);
    (void)close(acknowledgements[0]);
    folder_remove();
    return WEXITSTATUS(status);
}

START_TEST(death_at_every_call) {
    hook();
    for (enum mode how = DIE_BEFORE; how <= DIE_AFTER; how++) {
        int n = 1;
        while (die_at(how, n) == 9) n++;
        ck_assert_int_gt(n, 3 * INTENTS);
    }
}
END_TEST

START_TEST(a_failed_group_takes_with_it_what_is_queued_behind) {
    hook();
    folder_setup();
    mode = WORK;
    ck_assert(!sem_init(&arrived, 0, 0) && !sem_init(&go, 0, 0));
    struct err err;
    struct journal *journal = try_open(&err);
    struct waiter waiters[INTENTS];
    hold = true;
    struct entry intent = an_intent(1, 1);
    append(journal, &intent, &waiters[0]);
    ck_assert_int_eq(sem_wait(&arrived), 0); /* its group is being synced */
    for (int i = 1; i < INTENTS; i++) {
        intent = an_intent(1, i + 1);
        append(journal, &intent, &waiters[i]);
    }
    hold = false;
    journal_calls.fdatasync = real.fdatasync;
    struct buf path = folder_path("journal.jsonl"), away = folder_path("away");
    ck_assert_int_eq(rename(path.text, away.text), 0); /* found out when the group's sync is over */
    ck_assert_int_eq(sem_post(&go), 0);
    for (int i = 0; i < INTENTS; i++) {
        wait_for(journal, &waiters[i]);
        ck_assert(waiters[i].failed);
        ck_assert_int_eq(waiters[i].err.code, ERR_IO);
        ck_assert_msg(strstr(waiters[i].err.text, "removed or replaced") != NULL, "%s", waiters[i].err.text);
    }
    ck_assert(!journal_healthy(journal));
    ck_assert_int_eq(journal_last_seq(journal), 0); /* their numbers are free again */
    ck_assert_int_eq(rename(away.text, path.text), 0);
    intent = an_intent(1, INTENTS + 1);
    struct waiter waiter;
    append(journal, &intent, &waiter);
    wait_for(journal, &waiter);
    ck_assert_msg(!waiter.failed, "%s", waiter.err.text);
    ck_assert_int_eq(waiter.ticket.seq, 3); /* behind the segment's and the recover entry */
    journal_close(journal);
    struct scan_result result = scan();
    ck_assert_msg(result.faults == 0, "%s", result.first_fault);
    ck_assert(held[INTENTS + 1] && !held[1] && !held[2]);
    buf_free(&path);
    buf_free(&away);
    folder_remove();
}
END_TEST

START_TEST(a_group_is_one_write_and_one_sync) {
    hook();
    folder_setup();
    mode = WORK;
    ck_assert(!sem_init(&arrived, 0, 0) && !sem_init(&go, 0, 0));
    struct journal_conf conf = folder_conf();
    struct journal *journal = journal_opened(&conf);
    static struct waiter waiters[1000];
    hold = true;
    atomic_store(&datasyncs, 0);
    atomic_store(&writes, 0);
    for (int i = 0; i < 1000; i++) {
        struct entry intent = an_intent(1, i + 1);
        append(journal, &intent, &waiters[i]);
        if (i == 0) ck_assert_int_eq(sem_wait(&arrived), 0);
    }
    ck_assert_int_eq(sem_post(&go), 0);
    ck_assert_int_eq(sem_wait(&arrived), 0);
    journal_collect(journal);
    ck_assert_int_eq(waiters[0].calls, 1); /* the first group is on disk, the second is being synced */
    ck_assert_int_eq(waiters[1].calls + waiters[999].calls, 0);
    ck_assert_int_eq(sem_post(&go), 0);
    for (int i = 0; i < 1000; i++) {
        wait_for(journal, &waiters[i]);
        ck_assert(!waiters[i].failed);
    }
    ck_assert_int_eq(atomic_load(&datasyncs), 2);
    ck_assert_int_eq(atomic_load(&writes), 2);
    hold = false;
    journal_close(journal);
    ck_assert_int_eq(scan().entries, 1001);
    folder_remove();
}
END_TEST

/* A "settled" or a finding is entered by nobody who would hear that it failed. */
START_TEST(what_nobody_waits_for_goes_with_the_next_group) {
    hook();
    folder_setup();
    mode = WORK;
    struct err err;
    struct journal *journal = try_open(&err);
    struct entry intent = an_intent(1, 1), unheard = an_intent(1, 2);
    ck_assert(put(journal, &intent));
    for (int failures = 0; failures < 3; failures++) {
        strike(FAIL, EIO, 1, 1000);
        unheard.batch = 2 + failures;
        journal_append(journal, &unheard, NULL);
        intent.batch = 9;
        ck_assert(!put(journal, &intent)); /* in the same group, or the next */
        mode = WORK;
    }
    intent.batch = 10;
    ck_assert(put(journal, &intent));
    int64_t last_seq = journal_last_seq(journal);
    journal_close(journal);
    struct scan_result result = scan();
    ck_assert_msg(!result.faults && result.last.seq == last_seq, "%s", result.first_fault);
    ck_assert(held[1] && held[2] && held[3] && held[4] && !held[9] && held[10]);
    folder_remove();
}
END_TEST

/* What somebody does to the open file while the daemon runs. */
static struct journal *with_one_entry(struct buf *path) {
    folder_setup();
    struct journal_conf conf = folder_conf();
    struct journal *journal = journal_opened(&conf);
    struct entry intent = an_intent(1, 1);
    ck_assert(put(journal, &intent));
    *path = folder_path("journal.jsonl");
    return journal;
}

static void assert_put_fails(struct journal *journal, const char *why) {
    struct entry intent = an_intent(1, 2);
    struct waiter waiter;
    append(journal, &intent, &waiter);
    wait_for(journal, &waiter);
    ck_assert(waiter.failed);
    ck_assert_int_eq(waiter.err.code, ERR_IO);
    ck_assert_msg(strstr(waiter.err.text, why) != NULL, "%s", waiter.err.text);
    ck_assert(!journal_healthy(journal));
    ck_assert_int_eq(journal_last_seq(journal), 2);
}

START_TEST(a_removed_file_is_noticed) {
    struct buf path;
    struct journal *journal = with_one_entry(&path);
    ck_assert_int_eq(unlink(path.text), 0);
    assert_put_fails(journal, "was removed or replaced");
    assert_put_fails(journal, "was removed or replaced");
    ck_assert_int_eq(access(path.text, F_OK), -1); /* no new journal in its place */
    journal_close(journal);
    buf_free(&path);
    folder_remove();
}
END_TEST

START_TEST(a_replaced_file_is_noticed) {
    struct buf path;
    struct journal *journal = with_one_entry(&path);
    size_t length, again;
    char *bytes = folder_read("journal.jsonl", &length);
    folder_write("journal.jsonl", bytes, length); /* a copy */
    assert_put_fails(journal, "was removed or replaced");
    char *after = folder_read("journal.jsonl", &again);
    ck_assert_str_eq(after, bytes);
    journal_close(journal);
    free(bytes);
    free(after);
    buf_free(&path);
    folder_remove();
}
END_TEST

START_TEST(a_truncated_file_is_noticed) {
    struct buf path;
    struct journal *journal = with_one_entry(&path);
    ck_assert_int_eq(truncate(path.text, 10), 0);
    assert_put_fails(journal, "was truncated from");
    assert_put_fails(journal, "was truncated from");
    struct stat now;
    ck_assert_int_eq(stat(path.text, &now), 0);
    ck_assert_int_eq(now.st_size, 10);
    journal_close(journal);
    buf_free(&path);
    folder_remove();
}
END_TEST

static void assert_put_works_again(struct journal *journal) {
    struct entry intent = an_intent(1, 3);
    ck_assert(put(journal, &intent));
    ck_assert(journal_healthy(journal));
    journal_close(journal);
    struct scan_result result = scan();
    ck_assert_msg(!result.faults, "%s", result.first_fault);
    ck_assert(held[1] && !held[2] && held[3]);
    folder_remove();
}

START_TEST(a_second_name_is_noticed) {
    struct buf path, other;
    struct journal *journal = with_one_entry(&path);
    other = folder_path("other");
    ck_assert_int_eq(link(path.text, other.text), 0);
    assert_put_fails(journal, "got a second name");
    assert_put_fails(journal, "got a second name");
    ck_assert_int_eq(unlink(other.text), 0);
    assert_put_works_again(journal);
    buf_free(&path);
    buf_free(&other);
}
END_TEST

START_TEST(other_permissions_are_noticed) {
    struct buf path;
    struct journal *journal = with_one_entry(&path);
    struct stat before;
    ck_assert_int_eq(stat(path.text, &before), 0);
    ck_assert_int_eq(chmod(path.text, 0666), 0);
    assert_put_fails(journal, "got other permissions");
    ck_assert_int_eq(chmod(path.text, before.st_mode & 07777), 0);
    assert_put_works_again(journal);
    buf_free(&path);
}
END_TEST

START_TEST(another_folder_in_its_place_is_noticed) {
    struct buf path;
    struct journal *journal = with_one_entry(&path);
    char away[sizeof folder + 8];
    (void)snprintf(away, sizeof away, "%s.away", folder);
    ck_assert_int_eq(rename(folder, away), 0);
    assert_put_fails(journal, "was removed, replaced or hidden");
    ck_assert_int_eq(mkdir(folder, 0700), 0);
    assert_put_fails(journal, "was removed, replaced or hidden");
    ck_assert_int_eq(rmdir(folder), 0);
    ck_assert_int_eq(rename(away, folder), 0);
    ck_assert_int_eq(chmod(folder, 0777), 0);
    assert_put_fails(journal, "got other permissions");
    ck_assert_int_eq(chmod(folder, 0700), 0);
    assert_put_works_again(journal);
    buf_free(&path);
}
END_TEST

START_TEST(a_lock_file_taken_away_is_noticed) {
    struct buf path;
    struct journal *journal = with_one_entry(&path), *second;
    struct buf lock = folder_path("lock"), away = folder_path("away");
    ck_assert_int_eq(rename(lock.text, away.text), 0);
    /* A second daemon is kept out all the same, although it makes a lock file of its own. */
    struct journal_conf conf = folder_conf();
    struct arena *arena = arena_new();
    const struct open_intent *open;
    size_t n_open;
    struct err err;
    ck_assert_int_eq(journal_open(&conf, arena, &second, &open, &n_open, &err), -1);
    ck_assert_int_eq(err.code, ERR_CONFIG);
    arena_free(arena);
    assert_put_fails(journal, "lock was removed or replaced");
    ck_assert_int_eq(rename(away.text, lock.text), 0);
    assert_put_works_again(journal);
    buf_free(&path);
    buf_free(&lock);
    buf_free(&away);
}
END_TEST

START_TEST(foreign_bytes_are_kept_aside) {
    struct buf path;
    struct journal *journal = with_one_entry(&path);
    FILE *file = fopen(path.text, "a");
    ck_assert(file && fputs("hello\n", file) >= 0 && !fclose(file));
    assert_put_fails(journal, "something else wrote to it");
    struct entry intent = an_intent(1, 3);
    ck_assert(put(journal, &intent));
    ck_assert(journal_healthy(journal));
    ck_assert_int_eq(journal_last_seq(journal), 5); /* segment, intent, segment, recover, intent */
    journal_close(journal);
    ck_assert_int_eq(scan().faults, 0);
    ck_assert(held[1] && !held[2] && held[3]);
    char name[64];
    ck_assert_int_eq(folder_count("torn-3-", name), 1);
    size_t length;
    char *kept = folder_read(name, &length);
    ck_assert_str_eq(kept, "hello\n");
    free(kept);
    buf_free(&path);
    folder_remove();
}
END_TEST

UNIT_MAIN("file", one_call_fails, several_calls_in_a_row_fail, writes_are_short_or_interrupted, death_at_every_call,
          a_failed_group_takes_with_it_what_is_queued_behind, a_group_is_one_write_and_one_sync, what_nobody_waits_for_goes_with_the_next_group, a_removed_file_is_noticed,
          a_replaced_file_is_noticed, a_truncated_file_is_noticed, foreign_bytes_are_kept_aside, a_second_name_is_noticed,
          other_permissions_are_noticed, another_folder_in_its_place_is_noticed, a_lock_file_taken_away_is_noticed)
