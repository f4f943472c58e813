#include "journal/scan.h"

#include "journal/lines.h"
#include "journal/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct scan {
    const struct scan_visitor *visitor;
    struct scan_result result;
    struct arena *line_arena; /* cleared after each line */
    struct position at;       /* of the last line, by what it says of itself */
    bool hash_known;          /* at.hash is what the next line must build on */
    bool open;                /* in the open segment */
    bool whole_after_fault; /* a whole line from the first fault on */
    bool fault_elsewhere;   /* than in a line of the open segment */
};

static void fault(struct scan *scan, struct scan_place place, const char *format, ...) PRINTF_LIKE(3, 4);
static void fault(struct scan *scan, struct scan_place place, const char *format, ...) {
    char text[500];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (!scan->result.faults++) {
        char *first = scan->result.first_fault;
        if (place.line)
            (void)snprintf(first, sizeof scan->result.first_fault, "%s line %" PRId64 " byte %" PRId64 ": %s", place.file,
                           place.line, place.byte, text);
        else (void)snprintf(first, sizeof scan->result.first_fault, "%s: %s", place.file, text);
        scan->result.open_good_bytes = place.byte;
    }
    if (!scan->open || !place.line) scan->fault_elsewhere = true;
    if (scan->visitor->fault)
        scan->visitor->fault(scan->visitor->context, &(struct scan_fault){place, scan->at.seq + 1, text});
}

/* A line that is no entry: the chain goes on behind it where the hash at its end can still be read. Such a line was
 * written whole (by a newer version, perhaps, or it was altered since): it is not torn. */
static void skip_line(struct scan *scan, const struct line *line, struct scan_place place, const struct err *err) {
    if (!line->ended)
        fault(scan, place, "the last %zu bytes do not end with a line feed: a torn line", line->length);
    else fault(scan, place, "%s", err->text);
    scan->hash_known = line->ended && entry_read_hash(line->text, line->length, scan->at.hash.text);
    if (scan->hash_known) scan->whole_after_fault = true;
    scan->at.seq++;
}

/* Whether the entry stands where its number belongs; says so if not. */
static bool check_order(struct scan *scan, const struct scan_entry *entry) {
    int64_t expected = scan->at.seq + 1, seq = entry->line.seq;
    if (seq == expected) return true;
    if (seq < expected)
        fault(scan, entry->place, "entry %" PRId64 " stands where entry %" PRId64 " belongs: repeated or out of order", seq, expected);
    else if (seq == expected + 1) fault(scan, entry->place, "entry %" PRId64 " is missing before it", expected);
    else fault(scan, entry->place, "entries %" PRId64 " to %" PRId64 " are missing before it", expected, seq - 1);
    return false;
}

static void take_entry(struct scan *scan, struct scan_entry *entry) {
    const struct entry_line *line = &entry->line;
    bool in_order = check_order(scan, entry);
    bool fits = !in_order || !scan->hash_known ||
                !strcmp(chain_hash(scan->at.hash.text, entry->bytes, line->hashed).text, line->hash);
    if (!fits) fault(scan, entry->place, "the hash does not fit: entry %" PRId64 " or the one before it was altered", line->seq);
    entry->good = in_order && fits && scan->hash_known;
    if (line->entry.time_us < scan->at.time_us) scan->result.clock_back++;
    if (line->seq > scan->at.seq) {
        scan->at = (struct position){.seq = line->seq, .time_us = line->entry.time_us};
        memcpy(scan->at.hash.text, line->hash, sizeof line->hash);
        scan->hash_known = true;
    }
    if (scan->result.faults) scan->whole_after_fault = true;
    else scan->result.last = scan->at;
    if (!scan->result.entries++) {
        scan->result.first_seq = line->seq;
        scan->result.first_time_us = line->entry.time_us;
    }
    if (scan->visitor->entry) scan->visitor->entry(scan->visitor->context, entry);
}

static void first_of_segment(struct scan *scan, const struct segment *segment, const struct scan_entry *entry) {
    if (scan->open) {
        scan->result.open_first_seq = entry->line.seq;
        scan->result.open_time_us = entry->line.entry.time_us;
    } else if (entry->line.seq != segment->first_seq) {
        fault(scan, entry->place, "the file begins with entry %" PRId64 ", its name says another: renamed or exchanged", entry->line.seq);
    }
}

static int scan_lines(struct scan *scan, const struct segment *segment, struct lines *lines, struct err *err) {
    int got;
    struct line line;
    bool first = true;
    while ((got = lines_next(lines, &line, err)) == 1) {
        struct scan_entry entry = {.bytes = line.text, .length = line.length, .place = {segment->name, line.number, line.offset}};
        struct err why = {.code = ERR_NONE};
        arena_clear(scan->line_arena);
        if (!line.ended || entry_read(line.text, line.length, scan->line_arena, &entry.line, &why)) {
            skip_line(scan, &line, entry.place, &why);
            continue;
        }
        if (first) first_of_segment(scan, segment, &entry);
        first = false;
        take_entry(scan, &entry);
    }
    if (got < 0) return err_within(err, "\"%s\"", segment->name);
    scan->result.bytes += lines->offset;
    if (scan->open && !scan->result.faults) scan->result.open_good_bytes = lines->offset;
    if (!scan->open && !lines->number) fault(scan, (struct scan_place){segment->name, 0, 0}, "a closed segment is empty");
    return 0;
}

static int scan_segment(struct scan *scan, const char *folder, const struct segment *segment, struct err *err) {
    scan->open = segment->fd >= 0;
    int fd = segment->fd;
    if (!scan->open) {
        struct buf path __attribute__((cleanup(buf_free))) = {.text = NULL};
        buf_printf(&path, "%s/%s", folder, segment->name);
        fd = open(path.text, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0) return err_set_errno(err, errno, "\"%s\" cannot be read", path.text);
    }
    struct lines lines __attribute__((cleanup(lines_free))) = lines_of(fd, scan->open && scan->visitor->wait);
    int result = scan_lines(scan, segment, &lines, err);
    if (!scan->open) (void)close(fd);
    return result;
}

static void arena_free_of(struct arena **arena) { arena_free(*arena); }

int journal_scan(const char *folder, const struct scan_visitor *visitor, struct scan_result *ret_result, struct err *err) {
    __attribute__((cleanup(arena_free_of))) struct arena *arena = arena_new();
    __attribute__((cleanup(arena_free_of))) struct arena *line_arena = arena_new();
    __attribute__((cleanup(segments_close))) struct segments segments = {.count = 0};
    if (segments_list(folder, arena, &segments, err)) return -1;
    struct scan scan = {.visitor = visitor, .line_arena = line_arena, .at = chain_start(), .hash_known = true};
    scan.result.last = scan.at;
    scan.result.segments = (int64_t)segments.count;
    for (size_t i = 0; i < segments.count; i++)
        if (scan_segment(&scan, folder, &segments.items[i], err)) return -1;
    scan.result.has_open = segments.count && !segments.open_missing;
    if (segments.open_missing)
        fault(&scan, (struct scan_place){SEGMENT_OPEN, 0, 0}, "the open segment is missing, though closed ones are there; put it back");
    scan.result.torn_tail = scan.result.faults && !scan.fault_elsewhere && !scan.whole_after_fault;
    *ret_result = scan.result;
    return 0;
}
