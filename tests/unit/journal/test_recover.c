/* What is left after a crash, and what the daemon makes of it. */
#include "folder.h"
#include "journal/chain.h"
#include "journal/scan.h"

static struct scan_result scan(void) {
    struct scan_result result;
    struct err err;
    ck_assert_msg(!journal_scan(folder, &(struct scan_visitor){.wait = false}, &result, &err), "%s", err.text);
    return result;
}

static void write_intents(int64_t n, int64_t segment_bytes) {
    struct journal_conf conf = folder_conf();
    conf.segment_bytes = segment_bytes;
    struct journal *journal = journal_opened(&conf);
    for (int64_t i = 0; i < n; i++) {
        struct entry intent = an_intent(1, i + 1);
        ck_assert(put(journal, &intent));
    }
    journal_close(journal);
}

static void open_and_close(int64_t expected_seq) {
    struct journal_conf conf = folder_conf();
    struct journal *journal = journal_opened(&conf);
    ck_assert_int_eq(journal_last_seq(journal), expected_seq);
    ck_assert(journal_healthy(journal));
    journal_close(journal);
}

static size_t lines_in(const char *bytes, size_t length) {
    size_t lines = 0;
    for (size_t i = 0; i < length; i++) lines += bytes[i] == '\n';
    return lines;
}

static void assert_kept_aside(const char *bytes, size_t length, int64_t seq) {
    char name[64], expected[64];
    ck_assert_int_eq(folder_count("torn", name), 1);
    struct sha256 sha256;
    unsigned char digest[SHA256_BYTES];
    sha256_start(&sha256);
    sha256_add(&sha256, bytes, length);
    sha256_end(&sha256, digest);
    struct hash_text hash = chain_text(digest);
    (void)snprintf(expected, sizeof expected, "torn-%" PRId64 "-%.8s", seq, hash.text);
    ck_assert_str_eq(name, expected);
    size_t kept_length;
    char *kept = folder_read(name, &kept_length);
    ck_assert_uint_eq(kept_length, length);
    ck_assert(!memcmp(kept, bytes, length));
    free(kept);
    /* And the recover entry says the same. */
    char *journal = folder_read("journal.jsonl", &kept_length);
    struct buf recover = {.text = NULL};
    buf_printf(&recover, "\"event\":\"recover\",\"cut_bytes\":%zu,\"cut_sha256\":\"%s\",\"cut_file\":\"%s\",", length, hash.text, name);
    ck_assert_msg(strstr(journal, recover.text) != NULL, "%s is not in %s", recover.text, journal);
    buf_free(&recover);
    free(journal);
}

/* The open segment cut at every byte: all whole lines are kept, the rest is kept aside and entered. */
START_TEST(cut_at_every_byte) {
    folder_setup();
    write_intents(4, 1550); /* two segments, three lines in each */
    size_t length;
    char *bytes = folder_read("journal.jsonl", &length);
    ck_assert_uint_eq(lines_in(bytes, length), 3);
    for (size_t cut = 0; cut <= length; cut++) {
        folder_write("journal.jsonl", bytes, cut);
        size_t whole = lines_in(bytes, cut), kept = cut;
        while (kept && bytes[kept - 1] != '\n') kept--;
        struct scan_result torn = scan();
        ck_assert_int_eq(torn.torn_tail, kept < cut);
        ck_assert_int_eq(torn.faults, kept < cut);
        int64_t last = 3 + (int64_t)whole, more = kept == cut ? 0 : kept ? 1 : 2; /* the recover entry, and that of a new segment */
        open_and_close(last + more);
        struct scan_result result = scan();
        ck_assert_int_eq(result.faults, 0);
        ck_assert_int_eq(result.last.seq, last + more);
        if (kept < cut) assert_kept_aside(bytes + kept, cut - kept, last + 1);
        else ck_assert_int_eq(folder_count("torn", NULL), 0);
        char name[64];
        if (folder_count("torn", name)) {
            struct buf path = folder_path(name);
            ck_assert_int_eq(unlink(path.text), 0);
            buf_free(&path);
        }
    }
    free(bytes);
    folder_remove();
}
END_TEST

static void assert_refused(const char *expected) {
    struct journal_conf conf = folder_conf();
    struct arena *arena = arena_new();
    struct journal *journal;
    const struct open_intent *open;
    size_t n_open;
    struct err err;
    ck_assert_int_eq(journal_open(&conf, arena, &journal, &open, &n_open, &err), -1);
    ck_assert_int_eq(err.code, ERR_IO);
    ck_assert_msg(strstr(err.text, expected) != NULL, "%s", err.text);
    arena_free(arena);
}

/* Blocks of the last write that never reached the disk: zeros or garbage to the end are torn. */
START_TEST(zeros_and_garbage_at_the_end_are_torn) {
    static const char *const tails[] = {"{\"v\":1,\"seq\":4,\"ti", "\x80\x81\n\n\xff{\n", "\n", "{}\n[]\nnull\n"};
    for (size_t i = 0; i <= sizeof tails / sizeof *tails; i++) {
        folder_setup();
        write_intents(3, 1 << 20);
        size_t length, more = i < sizeof tails / sizeof *tails ? strlen(tails[i]) : 5000;
        char *bytes = folder_read("journal.jsonl", &length);
        char *text = xcalloc(length + more, 1);
        memcpy(text, bytes, length);
        if (i < sizeof tails / sizeof *tails) memcpy(text + length, tails[i], more);
        folder_write("journal.jsonl", text, length + more);
        open_and_close(5);
        assert_kept_aside(text + length, more, 5);
        ck_assert_int_eq(scan().faults, 0);
        free(text);
        free(bytes);
        folder_remove();
    }
}
END_TEST

/* ---- a last group that lacks some of its blocks ---- */

enum { GROUP = 6, BLOCK = 512 };

static size_t acted_on; /* intents that were handed to the caller as still open, or seen as entries */
static bool seen_batches[64];

static void note_seen(void *context, const struct entry *entry) {
    (void)context;
    if (entry->event != ENTRY_INTENT) return;
    ck_assert_int_lt(entry->batch, 64);
    ck_assert_msg(!seen_batches[entry->batch], "batch %" PRId64 " twice", entry->batch);
    seen_batches[entry->batch] = true;
    acted_on++;
}

/* Two groups of one intent each, and a group of GROUP; where that one begins. */
static size_t write_groups(void) {
    write_intents(2, 1 << 20);
    size_t length;
    free(folder_read("journal.jsonl", &length));
    struct journal_conf conf = folder_conf();
    struct journal *journal = journal_opened(&conf);
    struct waiter waiters[GROUP];
    struct entry intent = an_intent(1, 0);
    intent.time_us = time_now_us(); /* a group has one instant */
    for (int i = 0; i < GROUP; i++) {
        intent.batch = 3 + i;
        append(journal, &intent, &waiters[i]);
    }
    for (int i = 0; i < GROUP; i++) wait_for(journal, &waiters[i]);
    journal_close(journal);
    return length;
}

static void open_and_see(int64_t expected_seq, size_t expected_intents) {
    acted_on = 0;
    memset(seen_batches, 0, sizeof seen_batches);
    struct journal_conf conf = folder_conf();
    conf.seen = note_seen;
    struct journal *journal = journal_opened(&conf);
    ck_assert_int_eq(journal_last_seq(journal), expected_seq);
    journal_close(journal);
    ck_assert_uint_eq(acted_on, expected_intents);
    for (size_t i = 1; i <= expected_intents; i++) ck_assert_msg(seen_batches[i], "batch %zu is lost", i);
}

static void remove_torn(void) {
    for (char name[64]; folder_count("torn", name);) {
        struct buf path = folder_path(name);
        ck_assert_int_eq(unlink(path.text), 0);
        buf_free(&path);
    }
}

/* Every subset of its blocks is zeros, or garbage: what stands before the first gap is kept, all behind it is cut. */
START_TEST(any_blocks_of_the_last_group_may_be_lost) {
    folder_setup();
    size_t begin = write_groups(), length;
    char *bytes = folder_read("journal.jsonl", &length), *damaged = xmalloc(length);
    size_t first_block = begin / BLOCK, blocks = (length + BLOCK - 1) / BLOCK - first_block;
    ck_assert_uint_ge(blocks, 6);
    ck_assert_uint_le(blocks, 12);
    for (unsigned lost = 1; lost < 1U << blocks; lost++) {
        memcpy(damaged, bytes, length);
        size_t gap = length;
        for (size_t b = 0; b < blocks; b++) {
            if (!(lost & 1U << b)) continue;
            size_t from = (first_block + b) * BLOCK, to = from + BLOCK;
            if (from < begin) from = begin;
            if (to > length) to = length;
            for (size_t i = from; i < to; i++) damaged[i] = (char)(lost % 3 ? 0 : (i * 2654435761U) >> 13);
            if (from < gap) gap = from;
        }
        folder_write("journal.jsonl", damaged, length);
        size_t kept = gap;
        while (kept && bytes[kept - 1] != '\n') kept--;
        size_t whole = lines_in(bytes, kept); /* the segment entry, and the intents that are left */
        open_and_see((int64_t)whole + 1, whole - 1);
        assert_kept_aside(damaged + kept, length - kept, (int64_t)whole + 1);
        ck_assert_int_eq(scan().faults, 0);
        remove_torn();
    }
    free(damaged);
    free(bytes);
    folder_remove();
}
END_TEST

/* What was asked for is entered with the instant of the request: behind a gap it is no second group. */
START_TEST(a_request_behind_the_gap_is_of_the_same_group) {
    static const enum entry_event requests[] = {ENTRY_HOLD, ENTRY_RELEASE, ENTRY_PAUSE, ENTRY_RESUME, ENTRY_REFUSE, ENTRY_APPROVE, ENTRY_CLOCK};
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        folder_setup();
        size_t begin = write_groups(), length;
        struct journal_conf conf = folder_conf();
        struct journal *journal = journal_opened(&conf);
        const struct entry request = {.event = requests[i], .time_us = time_now_us() - TIME_SECOND_US, .id = "a", .author = 1000, .scope = "all", .ground = "x",
                                      .outcome = "placed", .hold = "a", .code = "conflict", .digest = "d", .request = "r", .released_us = TIME_FOREVER};
        ck_assert(put(journal, &request));
        journal_close(journal);
        char *bytes = folder_read("journal.jsonl", &length);
        memset(bytes + begin + 20, 0, 300);
        folder_write("journal.jsonl", bytes, length);
        ck_assert_msg(scan().torn_tail, "%s behind a gap", entry_event_name(requests[i]));
        open_and_see(4, 2);
        free(bytes);
        folder_remove();
    }
}
END_TEST

/* The same gap in a group that another one follows was not made by a crash: that group was on disk. */
START_TEST(a_gap_before_the_last_group_is_refused) {
    folder_setup();
    size_t last = write_groups(), length;
    char *bytes = folder_read("journal.jsonl", &length);
    size_t from = strcspn(bytes, "\n") + 1, whole_group = length - last;
    for (size_t groups = 1; groups <= 2; groups++) {
        /* Behind the gap: a group of one instant; or two. */
        char *damaged = xmalloc(length);
        memcpy(damaged, bytes, length);
        memset(damaged + from + 20, 0, 300);
        folder_write("journal.jsonl", damaged, groups == 2 ? length : length - whole_group);
        char expected[80];
        (void)snprintf(expected, sizeof expected, "journal.jsonl line 2 byte %zu: ", from);
        if (groups == 2) assert_refused(expected);
        else ck_assert(scan().torn_tail); /* for all that one can see, one group */
        free(damaged);
    }
    free(bytes);
    folder_remove();
}
END_TEST

START_TEST(damage_before_a_whole_line_is_refused_and_left_alone) {
    folder_setup();
    write_intents(4, 1 << 20);
    size_t length, again;
    char *bytes = folder_read("journal.jsonl", &length);
    char *second = strchr(bytes, '\n') + 1, *third = strchr(second, '\n') + 1;
    memset(second + 10, 0, (size_t)(third - second) - 10); /* its line feed too */
    folder_write("journal.jsonl", bytes, length);
    char expected[80];
    (void)snprintf(expected, sizeof expected, "journal.jsonl line 2 byte %td: no entry: at byte 8 of the line", second - bytes);
    assert_refused(expected);
    char *after = folder_read("journal.jsonl", &again);
    ck_assert_uint_eq(again, length);
    ck_assert(!memcmp(after, bytes, length));
    ck_assert_int_eq(folder_count("torn", NULL), 0);
    free(after);
    free(bytes);
    folder_remove();
}
END_TEST

/* An entry that a newer version wrote is no torn line: a downgrade must not cut it off. */
/* Behind the last checkpoint anybody may have written any number. */
START_TEST(sweeps_go_on_from_a_number_that_has_a_next) {
    static const int64_t numbers[] = {7, 1000000000000000, INT64_MAX};
    folder_setup();
    struct journal_conf conf = folder_conf();
    struct journal *journal = journal_opened(&conf);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct entry intent = an_intent(numbers[i], 1);
        ck_assert(put(journal, &intent));
    }
    journal_close(journal);
    journal = journal_opened(&conf);
    ck_assert_int_eq(journal_last_sweep(journal), 7);
    journal_close(journal);
    folder_remove();
}
END_TEST

START_TEST(an_unknown_event_is_not_torn) {
    folder_setup();
    write_intents(1, 1 << 20);
    size_t length;
    char *bytes = folder_read("journal.jsonl", &length);
    struct buf line = {.text = NULL};
    buf_add_n(&line, bytes, length);
    buf_add(&line, "{\"v\":1,\"seq\":2,\"time\":\"2026-11-23T01:00:00.000000Z\",\"event\":\"from-the-future\",\"hash\":\"");
    struct scan_result scanned = scan();
    struct hash_text hash = chain_hash(scanned.last.hash.text, line.text + length, line.length - length);
    buf_printf(&line, "%s\"}\n", hash.text);
    folder_write("journal.jsonl", line.text, line.length);
    assert_refused("this event is unknown");
    buf_free(&line);
    free(bytes);
    folder_remove();
}
END_TEST

/* The states that a crash leaves while a segment is closed: both names on one file; the next one made but not yet in
 * place; in place and empty. */
START_TEST(an_interrupted_closing_is_undone_or_done) {
    folder_setup();
    write_intents(3, 1 << 20);
    struct buf open = folder_path("journal.jsonl"), closed = folder_path("journal-000000000001.jsonl");
    ck_assert_int_eq(chmod(open.text, 0440), 0);
    open_and_close(4);
    ck_assert_int_eq(link(open.text, closed.text), 0);
    ck_assert_int_eq(scan().faults, 0); /* a reader sees it once */
    ck_assert_int_eq(scan().entries, 4);
    open_and_close(4);
    ck_assert_int_eq(access(closed.text, F_OK), -1);
    ck_assert_int_eq(link(open.text, closed.text), 0);
    folder_write("journal.next", "", 0);
    open_and_close(4);
    struct stat now;
    ck_assert_int_eq(stat(open.text, &now), 0);
    ck_assert_uint_eq(now.st_mode & 07777, 0640);
    ck_assert_int_eq(rename(open.text, closed.text), 0);
    folder_write("journal.jsonl", "", 0);
    open_and_close(4);
    write_intents(4, 1200); /* closes one more, in spite of the old journal.next */
    struct scan_result result = scan();
    ck_assert_int_eq(result.faults, 0);
    ck_assert_int_eq(result.last.seq, 12);
    buf_free(&open);
    buf_free(&closed);
    folder_remove();
}
END_TEST

START_TEST(a_journal_that_cannot_be_kept_is_refused) {
    folder_setup();
    struct buf path = folder_path("journal.jsonl");
    ck_assert_int_eq(mkdir(path.text, 0700), 0);
    assert_refused("journal.jsonl");
    ck_assert_int_eq(rmdir(path.text), 0);
    ck_assert_int_eq(symlink("/dev/null", path.text), 0);
    assert_refused("journal.jsonl");
    buf_free(&path);
    folder_remove();
}
END_TEST

START_TEST(a_folder_is_made_only_where_its_parent_is) {
    folder_setup();
    char parent[32];
    ck_assert(text_copy(parent, sizeof parent, folder));
    (void)snprintf(folder, sizeof folder, "%s/made", parent);
    open_and_close(0);
    struct stat made;
    ck_assert_int_eq(stat(folder, &made), 0);
    ck_assert_uint_eq(made.st_mode & 07777 & ~022u, 0750);
    folder_remove();
    (void)snprintf(folder, sizeof folder, "%s/not/made", parent);
    assert_refused("cannot be made: No such file or directory");
    ck_assert(text_copy(folder, sizeof folder, parent));
    folder_remove();
}
END_TEST

UNIT_MAIN("recover", cut_at_every_byte, any_blocks_of_the_last_group_may_be_lost, a_request_behind_the_gap_is_of_the_same_group, a_gap_before_the_last_group_is_refused,
          zeros_and_garbage_at_the_end_are_torn, damage_before_a_whole_line_is_refused_and_left_alone,
          an_unknown_event_is_not_torn, sweeps_go_on_from_a_number_that_has_a_next, an_interrupted_closing_is_undone_or_done, a_journal_that_cannot_be_kept_is_refused,
          a_folder_is_made_only_where_its_parent_is)
