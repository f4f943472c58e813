/* What is signed was read back from the disk: where a byte of an entry is another one there than was written (in place, so that
 * neither size nor inode tells), nothing is signed and nothing is entered any more. */
#include "signed.h"
#include "journal/calls.h"

#include <fcntl.h>

static struct journal_calls real;
static int alter_at; /* the so-maniest write that is put on disk: it changes right afterwards */
static int n_writes;

/* Turns a digit of the last entry, the records of an intent, into another. */
static void alter_last_entry(void) {
    size_t length;
    char *bytes = folder_read("journal.jsonl", &length);
    const char *last = NULL;
    for (const char *at = bytes; (at = strstr(at, "\"records\":1000,")); at++) last = at;
    ck_assert(last != NULL);
    struct buf path = folder_path("journal.jsonl");
    int fd = open(path.text, O_WRONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pwrite(fd, "9", 1, last - bytes + (ssize_t)strlen("\"records\":")), 1);
    ck_assert_int_eq(close(fd), 0);
    buf_free(&path);
    free(bytes);
}

static int sync_and_alter(int fd) {
    int result = real.fdatasync(fd);
    if (++n_writes == alter_at) alter_last_entry();
    return result;
}

static struct journal *opened(int alter_write, int64_t segment_bytes) {
    signed_setup();
    real = journal_calls;
    alter_at = alter_write;
    journal_calls.fdatasync = sync_and_alter;
    take_signers();
    struct journal_conf conf = folder_conf();
    conf.segment_bytes = segment_bytes;
    conf.signers = signers;
    return journal_opened(&conf);
}

static void assert_refused(struct journal *journal, int64_t batch) {
    struct waiter waiter;
    struct entry intent = an_intent(1, batch);
    append(journal, &intent, &waiter);
    wait_for(journal, &waiter);
    ck_assert_msg(waiter.failed, "batch %" PRId64 " was entered", batch);
    ck_assert_int_eq(waiter.err.code, ERR_IO);
    ck_assert_msg(strstr(waiter.err.text, "what is read back") != NULL, "%s", waiter.err.text);
    ck_assert(!journal_healthy(journal));
}

static int count_in_journal(const char *what) {
    size_t length;
    int count = 0;
    char *bytes = folder_read("journal.jsonl", &length);
    for (const char *at = bytes; (at = strstr(at, what)); at++) count++;
    free(bytes);
    return count;
}

START_TEST(an_altered_entry_is_not_signed) {
    struct journal *journal = opened(1, 1 << 20);
    struct entry intent = an_intent(1, 1);
    ck_assert(put(journal, &intent)); /* it was on disk as it should be */
    while (journal_can_sign(journal)) { /* the first checkpoint follows the first group */
        struct pollfd readable = {.fd = wake_pipe[0], .events = POLLIN};
        ck_assert_int_eq(poll(&readable, 1, 20000), 1);
        char bytes[64];
        ck_assert(read(wake_pipe[0], bytes, sizeof bytes) > 0);
    }
    assert_refused(journal, 2);
    assert_refused(journal, 3);
    journal_close(journal);
    ck_assert_int_eq(folder_count("checkpoint", NULL), 0);
    ck_assert_int_eq(count_in_journal("\"event\":\"checkpoint\""), 0);
    ck_assert_int_eq(count_in_journal("\"event\":\"intent\""), 1);
    signed_remove();
}
END_TEST

/* The checkpoint that was there before covers nothing of it, and stays as it was. */
START_TEST(an_altered_entry_is_not_signed_at_the_end) {
    struct journal *journal = opened(3, 1 << 20); /* a group, its checkpoint, a group */
    struct entry intent = an_intent(1, 1);
    ck_assert(put(journal, &intent));
    for (int i = 0; !folder_count("checkpoint", NULL) && i < 10000; i++) (void)poll(NULL, 0, 2);
    intent.batch = 2;
    ck_assert(put(journal, &intent));
    journal_close(journal);
    ck_assert_int_eq(count_in_journal("\"event\":\"checkpoint\""), 1);
    ck_assert_int_eq(folder_count("checkpoint", NULL), 1);
    ck_assert_int_eq(verify(&keys, NULL), VERIFY_ALTERED);
    ck_assert_int_eq(answer.scan.signed_size, 2); /* the segment's own entry and the first intent */
    signed_remove();
}
END_TEST

/* Once a segment is closed nobody reads it back any more. */
START_TEST(a_segment_with_an_altered_entry_is_not_closed) {
    struct journal *journal = opened(3, 2500);
    struct entry intent = an_intent(1, 1);
    ck_assert(put(journal, &intent));
    for (int i = 0; !folder_count("checkpoint", NULL) && i < 10000; i++) (void)poll(NULL, 0, 2);
    intent.batch = 2;
    ck_assert(put(journal, &intent));
    for (int64_t batch = 3; batch < 9; batch++) {
        intent.batch = batch;
        if (!put(journal, &intent)) break;
    }
    assert_refused(journal, 9);
    journal_close(journal);
    ck_assert_int_eq(folder_count("journal-", NULL), 0);
    ck_assert_int_eq(count_in_journal("\"event\":\"checkpoint\""), 1);
    signed_remove();
}
END_TEST

UNIT_MAIN("read_back", an_altered_entry_is_not_signed, an_altered_entry_is_not_signed_at_the_end, a_segment_with_an_altered_entry_is_not_closed)
