/* Leaves are on disk before their intent is, and nothing of a failed write counts. */
#include "folder.h"
#include "journal/calls.h"
#include "journal/evidence_file.h"
#include "journal/evidence_prune.h"
#include "journal/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

static struct merkle_hash leaves[3];

static void setup(void) {
    folder_setup();
    for (size_t i = 0; i < 3; i++) memset(leaves[i].bytes, (int)('a' + i), sizeof leaves[i].bytes);
}

static struct entry with_leaves(int64_t batch) {
    struct entry entry = an_intent(1, batch);
    entry.evidence = "00";
    entry.evidence_leaves = leaves;
    entry.n_evidence_leaves = 3;
    return entry;
}

static struct buf expected_units(int64_t seq) {
    struct buf units = {.text = NULL};
    evidence_units(&units, seq, leaves, 3);
    return units;
}

static void assert_file(int64_t first_seq, const struct buf *expected) {
    size_t length;
    char *bytes = folder_read(evidence_file_name(first_seq).text, &length);
    ck_assert_uint_eq(length, expected->length);
    ck_assert_mem_eq(bytes, expected->text, length);
    free(bytes);
}

static bool is_whole(int64_t entries) {
    struct scan_result result;
    struct err err;
    ck_assert_int_eq(journal_scan(folder, &(struct scan_visitor){.context = NULL}, &result, &err), 0);
    return !result.faults && result.entries == entries;
}

/* The order of writes and syncs: "e" evidence written, "E" synced, "j" and "J" the journal. */
static char calls[64];
static int fail_at = -1; /* the call of that number fails */
static struct journal_calls real;

static char kind_of(int fd) {
    char link[64], path[256];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length > 0 ? length : 0] = '\0';
    return strstr(path, "/evidence-") ? 'e' : 'j';
}

static bool fails(char kind) {
    size_t length = strlen(calls);
    if (length + 1 < sizeof calls) calls[length] = kind;
    errno = EIO;
    return (int)length == fail_at;
}

static ssize_t recorded_write(int fd, const void *bytes, size_t length) { return fails(kind_of(fd)) ? -1 : real.write(fd, bytes, length); }
static int recorded_fdatasync(int fd) { return fails(kind_of(fd) == 'e' ? 'E' : 'J') ? -1 : real.fdatasync(fd); }

static void record(int failing) {
    if (!real.write) real = journal_calls;
    memset(calls, 0, sizeof calls);
    fail_at = failing;
    journal_calls.write = recorded_write;
    journal_calls.fdatasync = recorded_fdatasync;
}

START_TEST(leaves_come_before_their_intent) {
    setup();
    struct journal_conf conf = folder_conf();
    struct journal *journal = journal_opened(&conf);
    struct entry intent = with_leaves(1), outcome = an_outcome(1, 1, "committed");
    record(-1);
    ck_assert(put(journal, &intent) && put(journal, &outcome));
    ck_assert_str_eq(calls, "eEjJjJ");
    struct buf expected __attribute__((cleanup(buf_free))) = expected_units(2);
    assert_file(1, &expected);
    journal_close(journal);
    ck_assert(is_whole(3));
    folder_remove();
}
END_TEST

START_TEST(after_a_failure_a_segment_begins_with_evidence_of_its_own) {
    /* Nothing is tried again, and no intent goes without its leaves; the last "j" keeps the torn bytes aside. */
    static const char *const expected_calls[] = {"e", "eE", "eEj", "eEjJj"};
    for (int failing = 0; failing < 4; failing++) {
        setup();
        struct journal_conf conf = folder_conf();
        struct journal *journal = journal_opened(&conf);
        struct entry first = with_leaves(1), second = with_leaves(2), outcome = an_outcome(1, 1, "committed");
        ck_assert(put(journal, &outcome));
        record(failing); /* e, E, j, J of the next group in turn */
        ck_assert(!put(journal, &first));
        ck_assert_str_eq(calls, expected_calls[failing]);
        record(-1);
        ck_assert(put(journal, &second));
        journal_close(journal);
        /* Entry 3 begins the segment, 4 says what was cut, 5 is the intent. */
        struct buf expected __attribute__((cleanup(buf_free))) = expected_units(5);
        assert_file(3, &expected);
        ck_assert(is_whole(5));
        journal_calls = real;
        folder_remove();
    }
}
END_TEST

START_TEST(an_empty_segment_replaces_what_has_its_name) {
    setup();
    struct journal_conf conf = folder_conf();
    struct journal *journal = journal_opened(&conf);
    struct entry first = with_leaves(1), second = with_leaves(2);
    record(3); /* the journal's own sync: the leaves are on disk */
    ck_assert(!put(journal, &first));
    record(-1);
    ck_assert(put(journal, &second));
    journal_close(journal);
    struct buf expected __attribute__((cleanup(buf_free))) = expected_units(3);
    assert_file(1, &expected);
    ck_assert(is_whole(3));
    folder_remove();
}
END_TEST

START_TEST(a_restart_goes_on_behind_a_torn_batch) {
    enum { TORN = 2 * EVIDENCE_UNIT + 5 };
    setup();
    struct journal_conf conf = folder_conf();
    struct journal *journal = journal_opened(&conf);
    struct entry intent = with_leaves(1);
    ck_assert(put(journal, &intent));
    journal_close(journal);
    /* A crash: leaves of an intent that was never entered, cut within one. */
    struct buf path = folder_path(evidence_file_name(1).text);
    FILE *file = fopen(path.text, "a");
    struct buf torn __attribute__((cleanup(buf_free))) = expected_units(3);
    ck_assert(file != NULL && fwrite(torn.text, TORN, 1, file) == 1 && !fclose(file));
    buf_free(&path);
    journal = journal_opened(&conf);
    intent = with_leaves(2);
    ck_assert(put(journal, &intent));
    journal_close(journal);
    struct buf expected __attribute__((cleanup(buf_free))) = expected_units(2);
    struct buf second __attribute__((cleanup(buf_free))) = expected_units(3);
    static const char filling[EVIDENCE_UNIT] = "";
    buf_add_n(&expected, torn.text, TORN);
    buf_add_n(&expected, filling, EVIDENCE_UNIT - TORN % EVIDENCE_UNIT);
    buf_add_n(&expected, second.text, second.length);
    assert_file(1, &expected);
    ck_assert(is_whole(3));
    folder_remove();
}
END_TEST

static bool is_title(const char unit[EVIDENCE_UNIT + 1]) {
    unsigned char bytes[EVIDENCE_UNIT];
    int64_t seq;
    size_t n_leaves;
    memcpy(bytes, unit, sizeof bytes);
    return evidence_read_title(bytes, &seq, &n_leaves);
}

START_TEST(titles_are_read_as_they_are_written) {
    static const int64_t seqs[] = {1, 42, 999999999999999};
    static const size_t counts[] = {1, 20000, 99999999};
    for (size_t i = 0; i < 3; i++) {
        struct buf units __attribute__((cleanup(buf_free))) = {.text = NULL};
        int64_t seq;
        size_t n_leaves;
        evidence_units(&units, seqs[i], leaves, 3);
        ck_assert_uint_eq(units.length, 4 * EVIDENCE_UNIT);
        ck_assert(evidence_read_title((const unsigned char *)units.text, &seq, &n_leaves) && seq == seqs[i] && n_leaves == 3);
        buf_clear(&units);
        buf_printf(&units, "intent %" PRId64 " %zu", seqs[i], counts[i]);
        while (units.length < EVIDENCE_UNIT - 1) buf_add_char(&units, ' ');
        buf_add_char(&units, '\n');
        ck_assert(evidence_read_title((const unsigned char *)units.text, &seq, &n_leaves) && seq == seqs[i] && n_leaves == counts[i]);
        for (size_t at = 0; at < EVIDENCE_UNIT; at++) { /* zeros in it, and other bytes */
            const char kept = units.text[at];
            units.text[at] = '\0';
            ck_assert_msg(!is_title(units.text), "%zu", at);
            units.text[at] = (char)0xff;
            ck_assert_msg(!is_title(units.text), "%zu", at);
            units.text[at] = kept;
        }
    }
    ck_assert(is_title("intent 7 3                     \n"));
    ck_assert(!is_title("intent 7 3                      ") && !is_title("intent  7 3                    \n") && !is_title("intent 07 3                    \n"));
    ck_assert(!is_title("intent -7 3                    \n") && !is_title("intent 7 3 3                   \n") && !is_title("intent 7 +3                    \n"));
}
END_TEST

START_TEST(evidence_taken_away_stops_the_next_intent) {
    setup();
    struct journal_conf conf = folder_conf();
    struct journal *journal = journal_opened(&conf);
    struct entry first = with_leaves(1), second = with_leaves(2);
    struct waiter waiter;
    ck_assert(put(journal, &first));
    struct buf path = folder_path(evidence_file_name(1).text);
    ck_assert_int_eq(unlink(path.text), 0);
    buf_free(&path);
    append(journal, &second, &waiter);
    wait_for(journal, &waiter);
    ck_assert(waiter.failed && strstr(waiter.err.text, "evidence-000000000001 was removed or replaced") != NULL);
    ck_assert(put(journal, &second));
    journal_close(journal);
    struct buf expected __attribute__((cleanup(buf_free))) = expected_units(5);
    assert_file(3, &expected);
    ck_assert(is_whole(5)); /* the journal does not need the evidence */
    folder_remove();
}
END_TEST

START_TEST(evidence_is_looked_at_with_each_group) {
    for (int how = 0; how < 4; how++) {
        setup();
        struct journal_conf conf = folder_conf();
        struct journal *journal = journal_opened(&conf);
        struct entry first = with_leaves(1), outcome = an_outcome(1, 1, "committed");
        ck_assert(put(journal, &first));
        struct buf path = folder_path(evidence_file_name(1).text), other = folder_path("other");
        switch (how) {
        case 0: ck_assert_int_eq(rename(path.text, other.text), 0); break;
        case 1: ck_assert_int_eq(link(path.text, other.text), 0); break;
        case 2: ck_assert_int_eq(chmod(path.text, 0444), 0); break;
        default: ck_assert_int_eq(truncate(path.text, 10), 0);
        }
        struct waiter waiter;
        append(journal, &outcome, &waiter);
        wait_for(journal, &waiter);
        ck_assert_msg(waiter.failed && strstr(waiter.err.text, "evidence-000000000001") != NULL, "%d: %s", how, waiter.err.text);
        journal_close(journal);
        buf_free(&path);
        buf_free(&other);
        folder_remove();
    }
}
END_TEST

static bool there(int64_t first_seq) {
    struct buf path __attribute__((cleanup(buf_free))) = folder_path(evidence_file_name(first_seq).text);
    return !access(path.text, F_OK);
}

START_TEST(old_evidence_is_removed_with_its_whole_segment) {
    const struct period month = {.count = 1, .unit = PERIOD_MONTHS};
    setup();
    struct journal_conf conf = folder_conf();
    conf.segment_bytes = 1; /* a segment for each group */
    struct journal *journal = journal_opened(&conf);
    int64_t first_us = INT64_C(1764547200000000), day_us = 86400 * TIME_SECOND_US; /* 2025-12-01 */
    for (int day = 0; day < 3; day++) {
        struct entry intent = with_leaves(day + 1);
        intent.time_us = first_us + day * day_us;
        ck_assert(put(journal, &intent));
    }
    journal_close(journal);
    folder_write("evidence-1", "", 0); /* no such name: somebody else's */
    size_t removed = 9;
    struct err err;
    /* The segment of entry 1 ends where that of entry 3 begins, on 2 December. */
    ck_assert_int_eq(evidence_prune(folder, period_after(first_us + day_us, month) - 1, month, &removed, &err), 0);
    ck_assert(removed == 0 && there(1) && there(3) && there(5));
    ck_assert_int_eq(evidence_prune(folder, period_after(first_us + day_us, month), month, &removed, &err), 0);
    ck_assert(removed == 1 && !there(1) && there(3) && there(5));
    ck_assert_int_eq(evidence_prune(folder, first_us + 4000 * day_us, month, &removed, &err), 0);
    ck_assert(removed == 1 && !there(3) && there(5)); /* the open one stays */
    ck_assert(is_whole(6) && folder_count("evidence-1", NULL) == 1);
    folder_write(evidence_file_name(1).text, "", 0);
    struct buf path __attribute__((cleanup(buf_free))) = folder_path("journal-000000000001.jsonl");
    ck_assert_int_eq(unlink(path.text), 0); /* pruned, and its evidence was forgotten */
    ck_assert_int_eq(evidence_prune(folder, first_us, month, &removed, &err), 0);
    ck_assert(removed == 1 && !there(1));
    folder_remove();
}
END_TEST

/* Entries of a time when the clock was ahead: they are as old as what came after them, when it was set right. */
START_TEST(a_time_to_come_says_nothing_of_the_end_of_a_segment) {
    const struct period month = {.count = 1, .unit = PERIOD_MONTHS};
    setup();
    struct journal_conf conf = folder_conf();
    conf.segment_bytes = 1; /* a segment for each group: entries 1, 3, 5 and 7 begin one */
    struct journal *journal = journal_opened(&conf);
    int64_t first_us = INT64_C(1764547200000000), day_us = 86400 * TIME_SECOND_US; /* 2025-12-01 */
    static const int days[] = {0, 3650, 1, 50};
    for (int i = 0; i < 4; i++) {
        struct entry intent = with_leaves(i + 1);
        intent.time_us = first_us + days[i] * day_us;
        ck_assert(put(journal, &intent));
    }
    ck_assert_int_eq(folder_count("journal-", NULL), 3);
    journal_prune(journal, period_after(first_us + day_us, month) - 1, month, month);
    journal_close(journal);
    ck_assert_int_eq(folder_count("journal-", NULL), 3); /* all still kept */
    ck_assert(there(1) && there(3));
    journal = journal_opened(&conf);
    journal_prune(journal, period_after(first_us + day_us, month), month, month);
    journal_close(journal);
    ck_assert(!there(1) && !there(3) && there(5) && there(7)); /* both ended at the latest when entry 5 began, on 2 December */
    struct scan_result result;
    struct err err;
    ck_assert_int_eq(journal_scan(folder, &(struct scan_visitor){.wait = false}, &result, &err), 0);
    ck_assert_msg(!result.faults && result.first_seq == 5, "%s", result.first_fault);
    folder_remove();
}
END_TEST

UNIT_MAIN("evidence_file", a_time_to_come_says_nothing_of_the_end_of_a_segment, old_evidence_is_removed_with_its_whole_segment, leaves_come_before_their_intent, after_a_failure_a_segment_begins_with_evidence_of_its_own,
          an_empty_segment_replaces_what_has_its_name, a_restart_goes_on_behind_a_torn_batch, titles_are_read_as_they_are_written, evidence_taken_away_stops_the_next_intent,
          evidence_is_looked_at_with_each_group)
