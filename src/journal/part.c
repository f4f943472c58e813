#include "journal/part.h"

#include "journal/base64.h"
#include "journal/frontier.h"
#include "journal/lines.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void part_fault(struct part *part, struct scan_place place, const char *format, ...) {
    char text[500];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (part->n_faults <= PART_MOST_FAULTS) {
        if (!(part->n_faults & (part->n_faults - 1)))
            part->faults = xrealloc(part->faults, (part->n_faults ? part->n_faults * 2 : 1) * sizeof *part->faults);
        part->faults[part->n_faults] = (struct part_fault){place, part->at.seq + 1, xstrdup(text)};
    }
    part->n_faults++;
    if (!place.line) part->fault_of_file = true;
    part->tree_known = false; /* one altered line makes all later trees others: only it is worth telling */
}

size_t part_told(const struct part *part) { return part->n_faults <= PART_MOST_FAULTS ? part->n_faults : PART_MOST_FAULTS + 1; }

void part_free(struct part *part) {
    for (size_t i = 0; i < part_told(part); i++) free(part->faults[i].text);
    free(part->faults);
    free(part->removed);
}

/* ---- torn or altered ----
 *
 * A group that was being written when the power went may lack any of its blocks, with whole lines behind the gap. But only the
 * last group can: the one before was on disk when it was begun. So behind the gap all is of one instant (but what was asked
 * for, which bears the instant of the request), and no checkpoint stands there, which is a group of its own; and the gap shows bytes that no line has. Whatever else is wrong was altered. */

static void note_whole(struct part *part, const struct entry *entry) {
    part->whole_after_fault = true;
    /* That of the request, not of the group. */
    bool own_instant = entry->event >= ENTRY_HOLD && entry->event <= ENTRY_CLOCK && entry->event != ENTRY_WAIT;
    if (own_instant) return;
    if (part->instant_us && part->instant_us != entry->time_us) part->altered = true;
    part->instant_us = entry->time_us;
    if (entry->event == ENTRY_CHECKPOINT || entry->event == ENTRY_SEGMENT) part->altered = true;
}

static void note_damage(struct part *part, const struct line *line) {
    for (size_t i = 0; i < line->length; i++) part->lost_bytes += (unsigned char)line->text[i] < ' ';
}

bool part_is_torn(const struct part *part) {
    enum { LEAST_LOST = 2 }; /* more than a flipped bit makes */
    return !part->altered && !part->fault_of_file && (!part->whole_after_fault || part->lost_bytes >= LEAST_LOST);
}

/* Whether this line, which is no entry that we know, was written whole all the same: by a newer version. */
static bool fits(const struct part *part, const struct line *line, const char *hash) {
    size_t hashed = line->length - ENTRY_HASH_HEX - strlen("\"}");
    return part->hash_known && !strcmp(chain_hash(part->at.hash.text, line->text, hashed).text, hash);
}

/* A line that is no entry: the chain goes on behind it where the hash at its end can still be read. */
static void skip_line(struct part *part, const struct line *line, struct scan_place place, const struct err *err) {
    if (!line->ended)
        part_fault(part, place, "the last %zu bytes do not end with a line feed: a torn line", line->length);
    else part_fault(part, place, "%s", err->text);
    char hash[ENTRY_HASH_HEX + 1];
    bool readable = line->ended && entry_read_hash(line->text, line->length, hash);
    if (readable) {
        part->whole_after_fault = true;
        part->altered |= fits(part, line, hash);
        memcpy(part->at.hash.text, hash, sizeof hash);
    }
    note_damage(part, line);
    part->hash_known = readable;
    part->after_damage = true;
    part->at.seq++;
}

/* ---- a segment's first entry ---- */

static void check_points(struct part *part) {
    for (size_t i = 0; i < part->visitor->n_points; i++) {
        const struct scan_point *point = &part->visitor->points[i];
        if (!part->tree_known || point->size != part->tree.size) continue;
        struct merkle_hash root = merkle_root(&part->tree);
        part->reached[i] = true;
        part->same[i] = merkle_equal(&root, &point->root);
    }
}

static void begin(struct part *part, const struct scan_entry *entry) {
    const struct entry *segment = &entry->line.entry;
    int64_t size = entry->line.seq - 1;
    if (segment->event == ENTRY_SEGMENT) part->at.seq = size;
    if (!part->open && entry->line.seq != part->segment->first_seq)
        part_fault(part, entry->place, "the file begins with entry %" PRId64 ", its name says another: renamed or exchanged", entry->line.seq);
    if (segment->event != ENTRY_SEGMENT) {
        part_fault(part, entry->place, "the file does not begin with a segment entry: lines are missing before it");
        return;
    }
    struct merkle_hash previous;
    if (!frontier_read_hash(segment->previous, &previous) || !note_name_is_right(segment->origin) ||
        !frontier_read(segment, size, &part->start_tree) || (!size && strcmp(segment->previous, chain_start().hash.text) != 0)) {
        part_fault(part, entry->place, "the segment entry's origin, previous hash or frontier cannot be right");
        return;
    }
    part->start = (struct position){.seq = size, .hash = chain_text(previous.bytes)};
    part->start_known = true;
    part->at = part->good = part->start;
    part->tree = part->start_tree;
    part->hash_known = true;
    part->tree_known = !part->n_faults;
    memcpy(part->origin, segment->origin, strlen(segment->origin) + 1);
    check_points(part);
}

/* ---- checkpoints and prunings ---- */

static bool rebuild(const struct entry *entry, struct note *note) {
    *note = (struct note){.size = entry->size};
    if (!note_name_is_right(entry->origin) || !entry->n_signatures || entry->n_signatures > NOTE_MOST_SIGNATURES ||
        !base64_read(entry->root, strlen(entry->root), note->root.bytes, sizeof note->root.bytes))
        return false;
    memcpy(note->origin, entry->origin, strlen(entry->origin) + 1);
    for (; note->n_signatures < entry->n_signatures; note->n_signatures++) {
        const char *line = entry->signatures[note->n_signatures];
        if (!note_read_signature(line, strlen(line), &note->signatures[note->n_signatures])) return false;
    }
    return true;
}

static void take_checkpoint(struct part *part, const struct scan_entry *found, int64_t last_time_us) {
    static const struct note_keys none = {.count = 0};
    const struct entry *entry = &found->line.entry;
    struct note note;
    if (!rebuild(entry, &note)) {
        part_fault(part, found->place, "this is no checkpoint: its origin, root or signatures cannot be read");
        return;
    }
    if (entry->size != found->line.seq - 1 || strcmp(note.origin, part->origin) != 0) {
        part_fault(part, found->place, "the checkpoint is of another size or log than the entries before it");
        return;
    }
    struct merkle_hash root = merkle_root(&part->tree);
    if (part->tree_known && !merkle_equal(&root, &note.root)) {
        part_fault(part, found->place, "the checkpoint's root is not that of the entries before it: they were altered since it was signed");
        return;
    }
    enum note_verdict verdict = note_verify(&note, part->visitor->keys ? part->visitor->keys : &none);
    if (verdict == NOTE_FORGED) {
        part_fault(part, found->place, "the checkpoint's signature is wrong");
    } else if (verdict == NOTE_UNKNOWN) {
        part->foreign_checkpoints++;
    } else if (part->tree_known) {
        part->checkpoints++;
        part->signed_size = entry->size;
        part->signed_seq = found->line.seq;
        part->signed_time_us = last_time_us;
        part->signed_root = root;
    }
}

static void take_prune(struct part *part, const struct scan_entry *found) {
    const struct entry *entry = &found->line.entry;
    part->removed = xrealloc(part->removed, (part->n_removed + entry->n_removed + 1) * sizeof *part->removed);
    for (size_t i = 0; i < entry->n_removed; i++) {
        const struct entry_removed *removed = &entry->removed[i];
        struct part_removed *to = &part->removed[part->n_removed];
        *to = (struct part_removed){.first_seq = removed->first_seq, .last_seq = removed->last_seq, .by_seq = found->line.seq};
        if (base64_read(removed->root, strlen(removed->root), to->root.bytes, sizeof to->root.bytes)) part->n_removed++;
        else part_fault(part, found->place, "the root of what is removed cannot be read");
    }
}

/* ---- lines ---- */

/* Whether the entry stands where its number belongs; says so if not. */
static bool check_order(struct part *part, const struct scan_entry *entry) {
    int64_t expected = part->at.seq + 1, seq = entry->line.seq;
    if (seq == expected) return true;
    if (seq < expected)
        part_fault(part, entry->place, "entry %" PRId64 " stands where entry %" PRId64 " belongs: repeated or out of order", seq, expected);
    else if (seq == expected + 1) part_fault(part, entry->place, "entry %" PRId64 " is missing before it", expected);
    else part_fault(part, entry->place, "entries %" PRId64 " to %" PRId64 " are missing before it", expected, seq - 1);
    return false;
}

static void advance(struct part *part, const struct scan_entry *entry) {
    const struct entry_line *line = &entry->line;
    if (line->entry.time_us < part->at.time_us) part->clock_back++;
    if (line->seq > part->at.seq || part->after_damage) { /* how many lines a damage takes the place of, nobody knows */
        part->at = (struct position){.seq = line->seq, .time_us = line->entry.time_us};
        memcpy(part->at.hash.text, line->hash, sizeof line->hash);
        part->hash_known = true;
    }
    if (part->tree_known) {
        struct merkle_hash leaf = merkle_leaf(entry->bytes, entry->length);
        merkle_append(&part->tree, &leaf);
        check_points(part);
    }
    if (part->n_faults) note_whole(part, &line->entry);
    else part->good = part->at;
    part->after_damage = false;
    if (!part->entries++) {
        part->first_seq = line->seq;
        part->first_time_us = line->entry.time_us;
    }
}

static void take_entry(struct part *part, struct scan_entry *entry, bool first) {
    const struct entry_line *line = &entry->line;
    if (first) begin(part, entry);
    bool in_order = check_order(part, entry);
    bool joined = !in_order || !part->hash_known ||
                  !strcmp(chain_hash(part->at.hash.text, entry->bytes, line->hashed).text, line->hash);
    if (!joined) part_fault(part, entry->place, "the hash does not fit: entry %" PRId64 " or the one before it was altered", line->seq);
    if (!joined || (!in_order && (!part->after_damage || line->seq <= part->good.seq))) part->altered = true;
    if (!first && line->entry.event == ENTRY_SEGMENT) part_fault(part, entry->place, "a segment entry within a segment: files were joined");
    if (line->entry.event == ENTRY_CHECKPOINT) take_checkpoint(part, entry, part->at.time_us);
    if (line->entry.event == ENTRY_PRUNE) take_prune(part, entry);
    advance(part, entry);
    entry->good = !part->n_faults;
    if (part->visitor->entry) part->visitor->entry(part->visitor->context, entry);
}

static void tell_progress(struct part *part, int64_t *told, int64_t bytes) {
    enum { STEP = 4 << 20 };
    if (!part->progress || bytes - *told < STEP) return;
    atomic_fetch_add(part->progress, bytes - *told);
    *told = bytes;
}

static int scan_lines(struct part *part, struct lines *lines, struct arena *line_arena, struct err *err) {
    int got;
    struct line line;
    bool first = true;
    int64_t told = 0;
    while ((got = lines_next(lines, &line, err)) == 1) {
        struct scan_entry entry = {.bytes = line.text, .length = line.length, .place = {part->segment->name, line.number, line.offset}};
        struct err why;
        why.code = ERR_NONE;
        arena_clear(line_arena);
        tell_progress(part, &told, line.offset);
        if (!line.ended || entry_read(line.text, line.length, line_arena, &entry.line, &why)) {
            skip_line(part, &line, entry.place, &why);
            first = false;
            continue;
        }
        take_entry(part, &entry, first);
        first = false;
        if (!part->n_faults) part->good_bytes = lines->offset;
    }
    if (got < 0) return err_within(err, "\"%s\"", part->segment->name);
    part->bytes = lines->offset;
    if (!part->open && !lines->number) part_fault(part, (struct scan_place){part->segment->name, 0, 0}, "a closed segment is empty");
    return 0;
}

static void arena_free_of(struct arena **arena) { arena_free(*arena); }

int part_scan(struct part *part, const char *folder, const struct position *expected, struct err *err) {
    part->open = part->segment->fd >= 0;
    part->at = part->good = *expected;
    int fd = part->open ? part->segment->fd : part->segment->held;
    if (fd < 0) {
        struct buf path __attribute__((cleanup(buf_free))) = {.text = NULL};
        buf_printf(&path, "%s/%s", folder, part->segment->name);
        fd = text_open_file(AT_FDCWD, path.text, O_NOFOLLOW, err);
        if (fd < 0) return -1;
    }
    struct lines lines __attribute__((cleanup(lines_free))) = lines_of(fd, part->open && part->visitor->wait);
    __attribute__((cleanup(arena_free_of))) struct arena *line_arena = arena_new();
    int result = scan_lines(part, &lines, line_arena, err);
    if (!part->open && part->segment->held < 0) (void)close(fd);
    return result;
}
