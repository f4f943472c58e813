#include "folder.h"

START_TEST(entries_are_on_disk_when_their_ticket_comes_back) {
    folder_setup();
    struct journal_conf conf = folder_conf();
    struct journal *journal = journal_opened(&conf);
    ck_assert_int_eq(journal_last_seq(journal), 0);
    struct entry start = {.event = ENTRY_START, .version = "0.1.0"};
    struct waiter first, second;
    append(journal, &start, &first);
    wait_for(journal, &first);
    ck_assert_int_eq(first.ticket.seq, 2); /* behind the segment's own entry */
    ck_assert(!first.failed);
    struct entry intent = an_intent(7, 31);
    append(journal, &intent, &second);
    wait_for(journal, &second);
    size_t length;
    char *bytes = folder_read("journal.jsonl", &length);
    ck_assert(strstr(bytes, "\"seq\":3,") != NULL);
    ck_assert_int_eq(bytes[length - 1], '\n');
    free(bytes);
    journal_close(journal);
    folder_remove();
}
END_TEST

START_TEST(a_second_daemon_is_refused_by_name_of_the_first) {
    folder_setup();
    struct journal_conf conf = folder_conf();
    struct journal *journal = journal_opened(&conf), *other;
    struct arena *arena = arena_new();
    const struct open_intent *open;
    size_t n_open;
    struct err err;
    ck_assert_int_eq(journal_open(&conf, arena, &other, &open, &n_open, &err), -1);
    ck_assert_int_eq(err.code, ERR_CONFIG);
    char pid[32];
    (void)snprintf(pid, sizeof pid, "process %ld;", (long)getpid());
    ck_assert_msg(strstr(err.text, pid) != NULL, "%s", err.text);
    arena_free(arena);
    journal_close(journal);
    journal_close(journal_opened(&conf)); /* the lock is free again */
    folder_remove();
}
END_TEST

START_TEST(intents_without_a_final_outcome_are_found_at_start) {
    folder_setup();
    struct journal_conf conf = folder_conf();
    struct journal *journal = journal_opened(&conf);
    for (int64_t batch = 1; batch <= 5; batch++) {
        struct entry intent = an_intent(3, batch);
        ck_assert(put(journal, &intent));
    }
    static const char *const outcomes[] = {"committed", "unknown", "unknown", "rolled-back"};
    for (int64_t batch = 1; batch <= 4; batch++) {
        struct entry outcome = an_outcome(3, batch, outcomes[batch - 1]);
        ck_assert(put(journal, &outcome));
    }
    struct entry settled = an_outcome(3, 3, "settled");
    settled.result = "committed";
    ck_assert(put(journal, &settled));
    journal_close(journal);

    struct arena *arena = arena_new();
    const struct open_intent *open;
    size_t n_open;
    struct err err;
    ck_assert_msg(!journal_open(&conf, arena, &journal, &open, &n_open, &err), "%s", err.text);
    ck_assert_uint_eq(n_open, 2);
    ck_assert_int_eq(open[0].seq, 3);
    ck_assert_int_eq(open[0].batch, 2);
    ck_assert_str_eq(open[0].transaction, "771");
    ck_assert_str_eq(open[0].store, "main");
    ck_assert_int_eq(open[1].batch, 5);
    ck_assert_int_eq(journal_last_seq(journal), 11);
    ck_assert_int_eq(journal_last_sweep(journal), 3);
    ck_assert(journal_healthy(journal));
    ck_assert_int_le(journal_last_time_us(journal), time_now_us());
    journal_close(journal);
    arena_free(arena);
    folder_remove();
}
END_TEST

START_TEST(close_answers_every_ticket) {
    folder_setup();
    struct journal_conf conf = folder_conf();
    struct journal *journal = journal_opened(&conf);
    static struct waiter waiters[500];
    for (int64_t i = 0; i < 500; i++) {
        struct entry intent = an_intent(1, i + 1);
        append(journal, &intent, &waiters[i]);
    }
    journal_close(journal);
    for (size_t i = 0; i < 500; i++) {
        ck_assert_int_eq(waiters[i].calls, 1);
        ck_assert(!waiters[i].failed);
        ck_assert_int_eq(waiters[i].ticket.seq, (int64_t)i + 2);
    }
    journal = journal_opened(&conf);
    ck_assert_int_eq(journal_last_seq(journal), 501);
    journal_close(journal);
    folder_remove();
}
END_TEST

START_TEST(segments_are_closed_by_size) {
    folder_setup();
    struct journal_conf conf = folder_conf();
    conf.segment_bytes = 1500;
    struct journal *journal = journal_opened(&conf);
    for (int64_t i = 0; i < 20; i++) {
        struct entry intent = an_intent(1, i + 1);
        ck_assert(put(journal, &intent));
    }
    journal_close(journal);
    char name[64];
    int64_t closed_segments = folder_count("journal-", name);
    ck_assert_int_ge(closed_segments, 5);
    struct buf path = folder_path(name);
    struct stat closed;
    ck_assert_int_eq(stat(path.text, &closed), 0);
    ck_assert_uint_eq(closed.st_mode & 07777, 0440);
    ck_assert_uint_eq(closed.st_nlink, 1);
    buf_free(&path);
    journal = journal_opened(&conf);
    ck_assert_int_eq(journal_last_seq(journal), 20 + closed_segments + 1);
    journal_close(journal);
    folder_remove();
}
END_TEST

START_TEST(segments_are_closed_by_age) {
    folder_setup();
    struct journal_conf conf = folder_conf();
    conf.segment_age_us = TIME_DAY_US;
    struct journal *journal = journal_opened(&conf);
    struct entry intent = an_intent(1, 1);
    intent.time_us = time_now_us() - TIME_DAY_US + 3600 * TIME_SECOND_US;
    ck_assert(put(journal, &intent));
    intent.time_us = 0;
    ck_assert(put(journal, &intent));
    ck_assert_int_eq(folder_count("journal-", NULL), 0);
    journal_close(journal);
    conf.segment_age_us = TIME_DAY_US / 2; /* the age counts from the first entry, also after a restart */
    journal = journal_opened(&conf);
    ck_assert(put(journal, &intent));
    ck_assert(put(journal, &intent));
    ck_assert_int_eq(folder_count("journal-", NULL), 1);
    journal_close(journal);
    folder_remove();
}
END_TEST

UNIT_MAIN("journal", entries_are_on_disk_when_their_ticket_comes_back, a_second_daemon_is_refused_by_name_of_the_first,
             intents_without_a_final_outcome_are_found_at_start, close_answers_every_ticket, segments_are_closed_by_size,
          segments_are_closed_by_age)
