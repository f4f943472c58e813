/* Checkpoints that fail: the journal can be written all the same, but says that it cannot be signed until one succeeds. */
#include "signed.h"
#include "journal/calls.h"

#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/stat.h>

static struct journal *opened(void) {
    take_signers();
    struct journal_conf conf = folder_conf();
    conf.signers = signers;
    return journal_opened(&conf);
}

/* A folder that no file can take the place of. */
static void put_in_the_way(void) {
    struct buf path = folder_path("checkpoint.new");
    ck_assert_int_eq(mkdir(path.text, 0750), 0);
    folder_write("checkpoint.new/file", "", 0);
    buf_free(&path);
}

static void clear_the_way(void) {
    struct buf path = folder_path("checkpoint.new"), within = folder_path("checkpoint.new/file");
    ck_assert_int_eq(unlink(within.text), 0);
    ck_assert_int_eq(rmdir(path.text), 0);
    buf_free(&within);
    buf_free(&path);
}

static void wait_for_signing(struct journal *journal, bool can_sign) {
    while (journal_can_sign(journal) != can_sign) {
        struct pollfd readable = {.fd = wake_pipe[0], .events = POLLIN};
        ck_assert_int_eq(poll(&readable, 1, 20000), 1);
        char bytes[64];
        ck_assert(read(wake_pipe[0], bytes, sizeof bytes) > 0);
        journal_collect(journal);
    }
}

START_TEST(closing_tells_whether_all_is_signed) {
    signed_setup();
    struct entry intent = an_intent(1, 1);
    put_in_the_way();
    struct journal *journal = opened();
    ck_assert(put(journal, &intent));
    ck_assert(!journal_close(journal));
    clear_the_way();
    journal = opened();
    ck_assert(put(journal, &intent));
    ck_assert(journal_close(journal));
    signed_remove();
}
END_TEST

/* An append that succeeds proves nothing of it: what was written is not signed. */
START_TEST(it_cannot_be_signed_until_a_checkpoint_succeeds) {
    signed_setup();
    put_in_the_way();
    struct journal *journal = opened();
    ck_assert(journal_can_sign(journal)); /* nothing was tried yet */
    struct entry intent = an_intent(1, 1);
    ck_assert(put(journal, &intent));
    wait_for_signing(journal, false);
    for (int64_t batch = 1; batch < 6; batch++) {
        struct entry outcome = an_outcome(1, batch, "committed");
        struct waiter waiter;
        ck_assert(put(journal, &outcome));
        intent.batch = batch + 1;
        append(journal, &intent, &waiter);
        wait_for(journal, &waiter);
        ck_assert(waiter.failed);
        ck_assert_int_eq(waiter.err.code, ERR_UNAVAILABLE);
        ck_assert_msg(strstr(waiter.err.text, "it cannot be signed") != NULL, "%s", waiter.err.text);
        ck_assert(journal_healthy(journal));
        ck_assert(!journal_can_sign(journal));
    }
    ck_assert_int_eq(folder_count("checkpoint", NULL), 1);
    clear_the_way();
    wait_for_signing(journal, true); /* nobody enters anything meanwhile */
    ck_assert(put(journal, &intent));
    journal_close(journal);
    ck_assert_msg(verify(&keys, NULL) == VERIFY_WELL, "%s%s", answer.scan.first_fault, answer.why);
    signed_remove();
}
END_TEST

static sem_t disk_answers;
static struct journal_calls real;
static struct journal *volatile left_alone; /* nobody frees it */
static atomic_bool loop_is_gone, woken_without_loop;

static ssize_t slow_write(int fd, const void *bytes, size_t length) {
    while (sem_wait(&disk_answers)) continue;
    (void)sem_post(&disk_answers);
    return real.write(fd, bytes, length);
}

static void wake_loop(void *context) {
    (void)context;
    if (atomic_load(&loop_is_gone)) atomic_store(&woken_without_loop, true);
}

static size_t count_threads(void) {
    size_t count = 0;
    DIR *dir = opendir("/proc/self/task");
    ck_assert(dir != NULL);
    for (const struct dirent *item; (item = readdir(dir));) count += item->d_name[0] != '.';
    (void)closedir(dir);
    return count;
}

/* A writer that was left alone with a disk that does not answer finds, when it does, that nothing can be signed. */
START_TEST(who_closed_it_is_not_woken_any_more) {
    signed_setup();
    put_in_the_way();
    ck_assert_int_eq(sem_init(&disk_answers, 0, 0), 0);
    size_t threads = count_threads();
    real = journal_calls;
    journal_calls.write = slow_write;
    take_signers();
    struct journal_conf conf = folder_conf();
    conf.signers = signers;
    conf.wake = wake_loop;
    struct journal *journal = journal_opened(&conf);
    left_alone = journal;
    struct entry stop = {.event = ENTRY_STOP, .trigger = "signal"};
    struct waiter waiter;
    append(journal, &stop, &waiter);
    journal_close(journal);
    ck_assert_int_eq(waiter.calls, 1);
    ck_assert(waiter.failed);
    atomic_store(&loop_is_gone, true);
    ck_assert_int_eq(sem_post(&disk_answers), 0);
    for (int i = 0; count_threads() > threads && i < 4000; i++) (void)poll(NULL, 0, 5);
    ck_assert_uint_eq(count_threads(), threads);
    ck_assert(!atomic_load(&woken_without_loop));
    clear_the_way();
    signed_remove();
}
END_TEST

static atomic_int writes;

static ssize_t short_write(int fd, const void *bytes, size_t length) {
    if (atomic_fetch_add(&writes, 1) % 2) {
        errno = EINTR;
        return -1;
    }
    return real.write(fd, bytes, length < 7 ? length : 7);
}

START_TEST(its_file_is_written_by_short_and_interrupted_writes) {
    signed_setup();
    real = journal_calls;
    journal_calls.write = short_write;
    struct journal *journal = opened();
    struct entry intent = an_intent(1, 1);
    ck_assert(put(journal, &intent));
    journal_close(journal);
    journal_calls = real;
    ck_assert(atomic_load(&writes) > 100);
    ck_assert_msg(verify(&keys, NULL) == VERIFY_WELL, "%s%s", answer.scan.first_fault, answer.why);
    ck_assert_int_eq(answer.scan.signed_seq, answer.scan.last.seq);
    signed_remove();
}
END_TEST

UNIT_MAIN("checkpoint", closing_tells_whether_all_is_signed, it_cannot_be_signed_until_a_checkpoint_succeeds, who_closed_it_is_not_woken_any_more,
          its_file_is_written_by_short_and_interrupted_writes)
