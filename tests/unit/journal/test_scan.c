/* What a whole journal tolerates: nothing. Three segments, then every kind of damage. */
#include "folder.h"
#include "journal/scan.h"
#include "journal/segment.h"

#include <sys/resource.h>

enum { SEGMENTS = 3, LINES = 9 }; /* three lines a segment: its own entry and two intents */

static const char *const names[SEGMENTS] = {"journal-000000000001.jsonl", "journal-000000000004.jsonl", "journal.jsonl"};
static char *contents[SEGMENTS];
static size_t lengths[SEGMENTS];

static void make_journal(void) {
    folder_setup();
    struct journal_conf conf = folder_conf();
    conf.segment_bytes = 1550; /* an intent has about 560 bytes, a segment entry 260 to 460 */
    struct journal *journal = journal_opened(&conf);
    for (int64_t i = 0; i < LINES - SEGMENTS; i++) {
        struct entry intent = an_intent(1, i + 1);
        ck_assert(put(journal, &intent));
    }
    journal_close(journal);
    ck_assert_int_eq(folder_count("journal", NULL), SEGMENTS);
    for (size_t i = 0; i < SEGMENTS; i++) contents[i] = folder_read(names[i], &lengths[i]);
}

static void restore(void) {
    for (size_t i = 0; i < SEGMENTS; i++) folder_write(names[i], contents[i], lengths[i]);
}

static void forget_journal(void) {
    for (size_t i = 0; i < SEGMENTS; i++) free(contents[i]);
    folder_remove();
}

static struct buf faults;

static void note(void *context, const struct scan_fault *fault) {
    (void)context;
    buf_printf(&faults, "%s:%" PRId64 ":%" PRId64 ": %s\n", fault->place.file, fault->place.line, fault->seq, fault->text);
}

static struct scan_result scan_in(unsigned threads) {
    const struct scan_visitor visitor = {.fault = note, .threads = threads};
    struct scan_result result;
    struct err err;
    buf_clear(&faults);
    ck_assert_msg(!journal_scan(folder, &visitor, &result, &err), "%s", err.text);
    return result;
}

static struct scan_result scan(void) { return scan_in(1); }

/* The daemon must refuse, naming the file and line. */
static void assert_refused(const char *where) {
    struct journal_conf conf = folder_conf();
    struct arena *arena = arena_new();
    struct journal *journal;
    const struct open_intent *open;
    size_t n_open;
    struct err err;
    ck_assert_int_eq(journal_open(&conf, arena, &journal, &open, &n_open, &err), -1);
    ck_assert_int_eq(err.code, ERR_IO);
    ck_assert_msg(strstr(err.text, where) != NULL, "%s is not in: %s", where, err.text);
    ck_assert_int_eq(folder_count("torn", NULL), 0);
    arena_free(arena);
}

static void assert_faults(const char *expected) {
    struct scan_result result = scan_in(3);
    ck_assert_str_eq(buf_text(&faults), expected);
    result = scan();
    ck_assert_str_eq(buf_text(&faults), expected);
    ck_assert_int_gt(result.faults, 0);
    ck_assert(!result.torn_tail);
}

START_TEST(a_whole_journal_has_no_fault) {
    make_journal();
    struct scan_result result = scan();
    ck_assert_str_eq(buf_text(&faults), "");
    ck_assert_int_eq(result.faults, 0);
    ck_assert_int_eq(result.entries, LINES);
    ck_assert_int_eq(result.segments, SEGMENTS);
    ck_assert_int_eq(result.first_seq, 1);
    ck_assert_int_eq(result.last.seq, LINES);
    ck_assert_int_eq(result.open_first_seq, 7);
    ck_assert_int_eq(result.open_good_bytes, (int64_t)lengths[2]);
    ck_assert_int_eq(result.bytes, (int64_t)(lengths[0] + lengths[1] + lengths[2]));
    ck_assert(!result.torn_tail);
    forget_journal();
}
END_TEST

/* Every bit of every segment. Only what breaks the end of the very last line, so that no hash can be read there, may
 * count as torn; all else was altered. */
START_TEST(every_flipped_bit_is_found) {
    make_journal();
    for (size_t segment = 0; segment < SEGMENTS; segment++) {
        size_t tail = segment == SEGMENTS - 1 ? lengths[segment] - strlen(",\"hash\":\"") - ENTRY_HASH_HEX - strlen("\"}\n") : SIZE_MAX;
        for (size_t bit = 0; bit < lengths[segment] * 8; bit++) {
            char *byte = contents[segment] + bit / 8;
            *byte = (char)(*byte ^ (1 << bit % 8));
            folder_write(names[segment], contents[segment], lengths[segment]);
            struct scan_result result = scan();
            ck_assert_msg(result.faults > 0, "bit %zu of %s", bit, names[segment]);
            ck_assert_msg(!result.torn_tail || bit / 8 >= tail, "bit %zu of %s counts as torn", bit, names[segment]);
            *byte = (char)(*byte ^ (1 << bit % 8));
        }
        folder_write(names[segment], contents[segment], lengths[segment]);
    }
    ck_assert_int_eq(scan().faults, 0);
    forget_journal();
}
END_TEST

/* The n-th line of a segment, from 0, with its line feed. */
static const char *line_of(size_t segment, size_t n, size_t *ret_length) {
    const char *line = contents[segment];
    while (n--) line = strchr(line, '\n') + 1;
    *ret_length = (size_t)(strchr(line, '\n') + 1 - line);
    return line;
}

/* Writes the segment anew from its lines in this order: "0210", other characters as they are. */
static void rewrite(size_t segment, const char *order) {
    struct buf text = {.text = NULL};
    for (; *order; order++) {
        size_t length;
        const char *line = *order >= '0' && *order <= '2' ? line_of(segment, (size_t)(*order - '0'), &length) : NULL;
        if (line) buf_add_n(&text, line, length);
        else buf_add_char(&text, *order);
    }
    folder_write(names[segment], text.text, text.length);
    buf_free(&text);
}

START_TEST(lines_removed_swapped_repeated) {
    make_journal();
    static const struct { size_t segment; const char *order, *expected; } cases[] = {
        {0, "12", "journal-000000000001.jsonl:1:1: the file begins with entry 2, its name says another: renamed or exchanged\n"
                  "journal-000000000001.jsonl:1:1: the file does not begin with a segment entry: lines are missing before it\n"
                  "journal-000000000001.jsonl:1:1: entry 1 is missing before it\n"},
        {0, "02", "journal-000000000001.jsonl:2:2: entry 2 is missing before it\n"},
        {0, "0", "journal-000000000004.jsonl:1:2: entries 2 to 3 are missing before it\n"},
        {0, "01", "journal-000000000004.jsonl:1:3: entry 3 is missing before it\n"},
        {1, "021", "journal-000000000004.jsonl:2:5: entry 5 is missing before it\n"
                   "journal-000000000004.jsonl:3:7: entry 5 stands where entry 7 belongs: repeated or out of order\n"},
        {1, "0112", "journal-000000000004.jsonl:3:6: entry 5 stands where entry 6 belongs: repeated or out of order\n"},
        {2, "02", "journal.jsonl:2:8: entry 8 is missing before it\n"},
        {2, "0121", "journal.jsonl:4:10: entry 8 stands where entry 10 belongs: repeated or out of order\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rewrite(cases[i].segment, cases[i].order);
        assert_faults(cases[i].expected);
        assert_refused(names[cases[i].segment == 0 && cases[i].order[1] != '2' ? 1 : cases[i].segment]);
        restore();
    }
    forget_journal();
}
END_TEST

START_TEST(bytes_that_are_no_entry) {
    make_journal();
    static const struct { const char *order, *expected; } cases[] = {
        {"0\n12", "no entry: at byte 1 of the line: an entry of version 1 is expected, {\"v\":1,…"},
        {"0{}\n12", "no entry: at byte 1 of the line"},
        {"0 12", "no entry: at byte 1 of the line"},
        {"0\r\n12", "no entry: at byte 1 of the line"},
        {"012x", "the last 1 bytes do not end with a line feed: a torn line"},
        {"012\n", "no entry: at byte 1 of the line"},
    };
    for (size_t segment = 0; segment < SEGMENTS; segment++) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            rewrite(segment, cases[i].order);
            struct scan_result result = scan();
            ck_assert_msg(strstr(buf_text(&faults), cases[i].expected) != NULL, "%s", buf_text(&faults));
            ck_assert_int_eq(result.torn_tail, segment == 2 && i >= 4);
            if (!result.torn_tail) assert_refused(names[segment]);
            restore();
        }
    }
    forget_journal();
}
END_TEST

/* The first `from` in the segment's second line becomes `to`. */
static void replace(size_t segment, const char *from, const char *to) {
    size_t length;
    const char *at = strstr(line_of(segment, 1, &length), from);
    ck_assert_msg(at != NULL, "%s", from);
    struct buf text = {.text = NULL};
    buf_add_n(&text, contents[segment], (size_t)(at - contents[segment]));
    buf_add(&text, to);
    buf_add(&text, at + strlen(from));
    folder_write(names[segment], text.text, text.length);
    buf_free(&text);
}

START_TEST(lines_that_the_writer_never_wrote) {
    make_journal();
    static const struct { const char *from, *to; } cases[] = {
        {"{\"v\":1,", "{\"v\":2,"},
        {"{\"v\":1,", "{ \"v\":1,"},
        {"{\"v\":1,", "{\"v\":1,\"v\":1,"},
        {"{\"v\":1,", "\xef\xbb\xbf{\"v\":1,"},
        {"\"event\":\"intent\"", "\"event\":\"intend\""},
        {"\"sweep\":1,\"batch\":", "\"batch\":2,\"sweep\":"},
        {"\"sweep\":1,", ""},
        {"\"sweep\":1,", "\"sweep\":1,\"sweep\":1,"},
        {"\"sweep\":1,", "\"sweep\":01,"},
        {"\"sweep\":1,", "\"sweep\":1.0,"},
        {"\"sweep\":1,", "\"sweep\":\"1\","},
        {"\"sweep\":1,", "\"sweep\":1,\"note\":\"x\","},
        {"\"sweep\":1,", "\"sweep\":9223372036854775808,"},
        {"\"seq\":", "\"seq\":100000000000000"},
        {"\"purge\"", "\"\\u0070urge\""},
        {"\"purge\"", "\"purg\xff\""},
        {"\"each\"", "\"some\""},
        {"\"evidence\":null", "\"evidence\":0"},
        {"\"transaction\":\"771\"", "\"transaction\":\"\""},
        {"]]", "],]"},
        {"\"}\n", "\"} \n"},
        {"\"}\n", "\"}\r\n"},
        {"\"}\n", "\",\"x\":1}\n"},
        {"-11-", "-02-31T"},
    };
    for (size_t segment = 0; segment < SEGMENTS; segment++) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            replace(segment, cases[i].from, cases[i].to);
            char expected[64];
            (void)snprintf(expected, sizeof expected, "%s:2:%zu: no entry: at byte", names[segment], segment * 3 + 2);
            (void)scan();
            ck_assert_msg(text_starts_with(buf_text(&faults), expected), "case %zu: %s", i, buf_text(&faults));
            assert_refused(names[segment]);
        }
        restore();
    }
    forget_journal();
}
END_TEST

START_TEST(a_nul_is_found) {
    make_journal();
    for (size_t segment = 0; segment < SEGMENTS; segment++) {
        for (size_t at = 0; at < lengths[segment]; at += 7) {
            char byte = contents[segment][at];
            contents[segment][at] = '\0';
            folder_write(names[segment], contents[segment], lengths[segment]);
            ck_assert_int_gt(scan().faults, 0);
            contents[segment][at] = byte;
        }
        restore();
    }
    forget_journal();
}
END_TEST

static void rename_file(const char *from, const char *to) {
    struct buf a = folder_path(from), b = folder_path(to);
    ck_assert_int_eq(rename(a.text, b.text), 0);
    buf_free(&a);
    buf_free(&b);
}

START_TEST(files_removed_renamed_exchanged) {
    make_journal();
    rename_file(names[0], "elsewhere");
    assert_faults("journal-000000000004.jsonl:1:1: entries 1 to 3 are missing before it, and no prune entry accounts for that\n");
    assert_refused(names[1]);
    rename_file("elsewhere", names[0]);

    rename_file(names[1], "elsewhere");
    assert_faults("journal.jsonl:1:4: entries 4 to 6 are missing before it\n");
    assert_refused("journal.jsonl");
    rename_file(names[0], "elsewhere too");
    assert_faults("journal.jsonl:1:1: entries 1 to 6 are missing before it, and no prune entry accounts for that\n");
    rename_file("elsewhere too", names[0]);
    rename_file("elsewhere", names[1]);

    rename_file(names[2], "elsewhere");
    assert_faults("journal.jsonl:0:7: the open segment is missing, though closed ones are there; put it back\n");
    assert_refused("journal.jsonl");
    rename_file("elsewhere", names[2]);

    rename_file(names[1], "journal-000000000005.jsonl");
    assert_faults("journal-000000000005.jsonl:1:4: the file begins with entry 4, its name says another: renamed or exchanged\n");
    rename_file("journal-000000000005.jsonl", names[1]);

    folder_write(names[0], contents[1], lengths[1]);
    folder_write(names[1], contents[0], lengths[0]);
    ck_assert_int_ge(scan().faults, 4);
    assert_refused(names[0]);

    restore();
    folder_write(names[1], "", 0);
    ck_assert_int_ge(scan().faults, 2);
    assert_refused(names[1]);
    forget_journal();
}
END_TEST

/* Two places of damage are two findings: the second does not hide behind the first. */
START_TEST(every_gap_is_listed) {
    make_journal();
    rewrite(0, "02");
    rewrite(1, "01");
    rewrite(2, "02");
    assert_faults("journal-000000000001.jsonl:2:2: entry 2 is missing before it\n"
                  "journal.jsonl:1:6: entry 6 is missing before it\n"
                  "journal.jsonl:2:8: entry 8 is missing before it\n");
    forget_journal();
}
END_TEST

/* The last line may have been altered and its hash computed anew: a line of another journal does not fit either. */
/* A segment that does not say what was before it still has its name. */
START_TEST(a_gap_is_listed_before_a_damaged_first_line_too) {
    make_journal();
    char *damaged = contents[1], first = *damaged;
    *damaged = 'x';
    folder_write(names[1], damaged, lengths[1]);
    assert_faults("journal-000000000004.jsonl:1:4: no entry: at byte 1 of the line: an entry of version 1 is expected, {\"v\":1,…\n");
    size_t line = strcspn(contents[0], "\n") + 1;
    folder_write(names[0], contents[0], line + strcspn(contents[0] + line, "\n") + 1);
    assert_faults("journal-000000000004.jsonl:1:3: entry 3 is missing before it\n"
                  "journal-000000000004.jsonl:1:4: no entry: at byte 1 of the line: an entry of version 1 is expected, {\"v\":1,…\n");
    *damaged = first;
    forget_journal();
}
END_TEST

START_TEST(a_line_of_another_journal_does_not_fit) {
    make_journal();
    struct entry other = an_intent(2, 1);
    other.time_us = 1;
    char hash[ENTRY_HASH_HEX + 1];
    memset(hash, 'a', ENTRY_HASH_HEX);
    hash[ENTRY_HASH_HEX] = '\0';
    struct buf text = {.text = NULL};
    buf_add_n(&text, contents[2], lengths[2]);
    ck_assert_uint_eq(entry_write(&text, &other, LINES + 1, hash), 1);
    folder_write(names[2], text.text, text.length);
    assert_faults("journal.jsonl:4:10: the hash does not fit: entry 10 or the one before it was altered\n");
    buf_free(&text);
    forget_journal();
}
END_TEST

START_TEST(a_line_without_end_is_read_in_bounded_memory) {
    make_journal();
    size_t length = 3 << 20;
    char *text = xmalloc(lengths[0] + length);
    memset(text, 'x', length);
    text[length - 1] = '\n';
    memcpy(text + length, contents[0], lengths[0]);
    folder_write(names[0], text, length + lengths[0]);
    struct scan_result result = scan();
    ck_assert_msg(strstr(buf_text(&faults), "the line is too long") != NULL, "%s", buf_text(&faults));
    ck_assert_int_eq(result.entries, LINES);
    ck_assert_int_eq(result.bytes, (int64_t)(length + lengths[0] + lengths[1] + lengths[2]));
    free(text);
    forget_journal();
}
END_TEST

START_TEST(a_clock_that_was_set_back_is_no_fault) {
    folder_setup();
    struct journal_conf conf = folder_conf();
    struct journal *journal = journal_opened(&conf);
    for (int64_t i = 5; i > 2; i--) {
        struct entry start = {.event = ENTRY_START, .version = "1", .time_us = i * TIME_DAY_US};
        ck_assert(put(journal, &start));
    }
    journal_close(journal);
    struct scan_result result = scan();
    ck_assert_int_eq(result.faults, 0);
    ck_assert_int_eq(result.clock_back, 2);
    ck_assert_int_eq(result.last.time_us, 3 * TIME_DAY_US);
    folder_remove();
}
END_TEST

START_TEST(an_unreadable_folder_is_an_error) {
    struct scan_result result;
    struct err err;
    ck_assert_int_eq(journal_scan("/nonexistent/journal", &(struct scan_visitor){.wait = false}, &result, &err), -1);
    ck_assert_int_eq(err.code, ERR_IO);
    ck_assert(strstr(err.text, "/nonexistent/journal") != NULL);
}
END_TEST

/* The daemon's start waits for no FIFO either. */
START_TEST(a_fifo_is_not_waited_for) {
    make_journal();
    for (size_t i = 0; i < SEGMENTS; i++) {
        struct buf path = folder_path(names[i]);
        ck_assert_int_eq(unlink(path.text), 0);
        ck_assert_int_eq(mkfifo(path.text, 0600), 0);
        assert_refused("is not a regular file");
        restore();
        buf_free(&path);
    }
    struct buf path = folder_path("checkpoint");
    ck_assert_int_eq(mkfifo(path.text, 0600), 0);
    assert_refused("is not a regular file");
    buf_free(&path);
    forget_journal();
}
END_TEST

/* As many faults as somebody cares to make: so many are kept of each segment, and the others counted. */
START_TEST(a_million_faults_take_bounded_memory) {
    enum { FEEDS = 1 << 20, LISTED = 1001 };
    make_journal();
    struct buf text = {.text = NULL};
    buf_add_n(&text, contents[0], lengths[0]);
    size_t before = text.length;
    for (size_t i = 0; i < FEEDS; i++) buf_add_char(&text, '\n');
    folder_write(names[0], text.text, text.length);
    struct rusage start, end;
    ck_assert_int_eq(getrusage(RUSAGE_SELF, &start), 0);
    struct scan_result result = scan();
    ck_assert_int_eq(getrusage(RUSAGE_SELF, &end), 0);
    ck_assert_int_eq(result.faults, FEEDS + 1); /* and the next segment does not begin where this one ends */
    size_t listed = 0;
    for (const char *c = faults.text; *c; c++) listed += *c == '\n';
    ck_assert_uint_eq(listed, LISTED + 1);
    char expected[120];
    (void)snprintf(expected, sizeof expected, "%s:%d:%d: and %s more faults of the file, from here on\n", names[0], 4 + LISTED - 1, 4 + LISTED - 1,
                   text_number(FEEDS - LISTED + 1).text);
    ck_assert_msg(strstr(faults.text, expected) != NULL, "%s is not in %s", expected, faults.text + faults.length - 300);
    ck_assert_int_lt(end.ru_maxrss - start.ru_maxrss, 32 << 10);
    /* With one less than that all are listed. */
    folder_write(names[0], text.text, before + LISTED);
    ck_assert_int_eq(scan().faults, LISTED + 1);
    ck_assert(!strstr(faults.text, " more faults"));
    /* Many more in the end of the open segment: torn, as ever. */
    restore();
    buf_clear(&text);
    buf_add_n(&text, contents[2], lengths[2]);
    for (size_t i = 0; i < LISTED + 100; i++) buf_add_char(&text, '\n');
    folder_write(names[2], text.text, text.length);
    ck_assert(scan().torn_tail);
    buf_free(&text);
    forget_journal();
}
END_TEST

UNIT_MAIN("scan", a_whole_journal_has_no_fault, every_flipped_bit_is_found, lines_removed_swapped_repeated, bytes_that_are_no_entry,
          lines_that_the_writer_never_wrote, a_nul_is_found, files_removed_renamed_exchanged, every_gap_is_listed,
          a_gap_is_listed_before_a_damaged_first_line_too, a_line_of_another_journal_does_not_fit, a_line_without_end_is_read_in_bounded_memory, a_clock_that_was_set_back_is_no_fault,
          an_unreadable_folder_is_an_error, a_million_faults_take_bounded_memory, a_fifo_is_not_waited_for)
