#include "journal/evidence_prune.h"

#include "journal/calls.h"
#include "journal/evidence_file.h"
#include "journal/lines.h"
#include "journal/reader.h"
#include "journal/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void close_folder(DIR **dir) {
    if (*dir) (void)closedir(*dir);
}

static void free_arena(struct arena **arena) { arena_free(*arena); }

static void close_fd(int *fd) {
    if (*fd >= 0) (void)close(*fd);
}

/* A segment's first entry; false: it has none that can be read. */
static bool read_first(DIR *dir, const struct segment *segment, struct arena *arena, struct entry_line *ret_entry) {
    struct err ignored;
    __attribute__((cleanup(close_fd))) int fd = text_open_file(dirfd(dir), segment->name, O_NOFOLLOW, &ignored);
    __attribute__((cleanup(lines_free))) struct lines lines = lines_of(fd, false);
    struct line line;
    return fd >= 0 && lines_next(&lines, &line, &ignored) == 1 && line.ended && !entry_read(line.text, line.length, arena, ret_entry, &ignored);
}

/* Whether everything in the segment that begins with this entry is older than that. The open one, and whatever is not a
 * segment's any more because it never was one, stay. */
static bool is_old(DIR *dir, const struct segments *segments, int64_t first_seq, int64_t now_us, struct period keep, struct arena *arena) {
    struct entry_line first;
    int64_t first_left = segments->items[0].first_seq;
    if (!first_left && read_first(dir, &segments->items[0], arena, &first)) first_left = first.seq; /* nothing but the open one */
    if (first_seq < first_left) return true; /* pruned */
    for (size_t i = 0; i + 1 < segments->count; i++) {
        if (segments->items[i].first_seq != first_seq) continue;
        for (size_t next = i + 1; next < segments->count; next++) { /* as for segments: who began in the future says nothing */
            if (!read_first(dir, &segments->items[next], arena, &first)) return false;
            if (first.entry.time_us <= now_us) return period_after(first.entry.time_us, keep) <= now_us;
        }
    }
    return false;
}

static int by_seq(const void *a, const void *b) {
    const int64_t *left = a, *right = b;
    return (*left > *right) - (*left < *right);
}

int evidence_prune(const char *folder, int64_t now_us, struct period keep, size_t *ret_removed, struct err *err) {
    __attribute__((cleanup(free_arena))) struct arena *arena = arena_new();
    __attribute__((cleanup(segments_close))) struct segments segments = {.count = 0};
    __attribute__((cleanup(close_folder))) DIR *dir = opendir(folder);
    size_t removed = 0;
    if (!dir) return err_set_errno(err, errno, "journal folder \"%s\" cannot be read", folder);
    if (segments_list(folder, arena, &segments, err)) return -1;
    int64_t *old = NULL;
    size_t n_old = 0;
    for (const struct dirent *item; segments.count && (item = readdir(dir));) {
        int64_t first_seq = evidence_file_seq(item->d_name);
        if (first_seq && is_old(dir, &segments, first_seq, now_us, keep, arena)) *ARENA_APPEND(arena, old, n_old) = first_seq;
    }
    if (n_old) qsort(old, n_old, sizeof *old, by_seq); /* whatever comes between, what is left has no gap */
    for (; removed < n_old; removed++) {
        const struct evidence_name name = evidence_file_name(old[removed]);
        if (journal_calls.unlink(dirfd(dir), name.text)) return err_set_errno(err, errno, "journal \"%s\": cannot remove %s", folder, name.text);
    }
    if (removed && journal_calls.fsync(dirfd(dir))) return err_set_errno(err, errno, "journal \"%s\": cannot put the folder on disk", folder);
    *ret_removed = removed;
    return 0;
}
