#include "journal/segment.h"

#include "base/text.h"
#include "journal/entry.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct segment_name segment_closed_name(int64_t first_seq) {
    struct segment_name name;
    (void)snprintf(name.text, sizeof name.text, "journal-%012" PRId64 ".jsonl", first_seq);
    return name;
}

/* The number in the name of a closed segment, 0 if it is another file. */
static int64_t closed_first_seq(const char *file) {
    static const char prefix[] = "journal-";
    if (strncmp(file, prefix, sizeof prefix - 1) != 0) return 0;
    int64_t seq = 0;
    for (const char *digit = file + sizeof prefix - 1; *digit >= '0' && *digit <= '9'; digit++)
        if (__builtin_mul_overflow(seq, 10, &seq) || __builtin_add_overflow(seq, *digit - '0', &seq)) return 0;
    return seq > 0 && seq <= ENTRY_MOST_SEQ && !strcmp(segment_closed_name(seq).text, file) ? seq : 0;
}

static bool is_stray(const char *file) {
    static const char prefix[] = "journal", suffix[] = ".jsonl";
    size_t length = strlen(file);
    return length >= sizeof prefix + sizeof suffix - 2 && text_starts_with(file, prefix) && !strcmp(file + length - (sizeof suffix - 1), suffix) &&
           strcmp(file, SEGMENT_OPEN) != 0;
}

static int by_first_seq(const void *a, const void *b) {
    const struct segment *left = a, *right = b;
    return (left->first_seq > right->first_seq) - (left->first_seq < right->first_seq);
}

static void closedir_of(DIR **dir) {
    if (*dir) (void)closedir(*dir);
}

static int list_closed(const char *folder, struct arena *arena, struct segments *to, struct err *err) {
    __attribute__((cleanup(closedir_of))) DIR *dir = opendir(folder);
    if (!dir) return err_set_errno(err, errno, "journal folder \"%s\" cannot be read", folder);
    errno = 0;
    for (const struct dirent *item; (item = readdir(dir)); errno = 0) {
        int64_t first_seq = closed_first_seq(item->d_name);
        if (!first_seq && is_stray(item->d_name) && to->n_strays < SEGMENT_MOST_STRAYS)
            *ARENA_APPEND(arena, to->strays, to->n_strays) = arena_strdup(arena, item->d_name);
        if (!first_seq) continue;
        *ARENA_APPEND(arena, to->items, to->count) =
            (struct segment){.first_seq = first_seq, .name = arena_strdup(arena, item->d_name), .fd = -1, .held = -1};
    }
    if (errno) return err_set_errno(err, errno, "journal folder \"%s\" cannot be read", folder);
    if (to->count) qsort(to->items, to->count, sizeof *to->items, by_first_seq);
    return 0;
}

/* The index of the closed segment that is this file too, or count if there is none. */
static int find_twin(const char *folder, struct arena *arena, const struct segments *segments, int fd, size_t *ret_index, struct err *err) {
    struct stat own;
    if (fstat(fd, &own)) return err_set_errno(err, errno, "\"%s/" SEGMENT_OPEN "\" cannot be examined", folder);
    size_t index = segments->count;
    for (size_t i = 0; i < segments->count && index == segments->count; i++) {
        struct stat closed;
        const char *path = arena_printf(arena, "%s/%s", folder, segments->items[i].name);
        if (lstat(path, &closed)) { /* a link to it is none of its names */
            if (errno == ENOENT) continue; /* removed since, by its daemon's pruning or by others */
            return err_set_errno(err, errno, "\"%s\" cannot be examined", path);
        }
        if (closed.st_dev == own.st_dev && closed.st_ino == own.st_ino) index = i;
    }
    *ret_index = index;
    return 0;
}

/* The open segment has a second name only while it is being closed, and is the newest then: the last one. */
int segments_twin(const char *folder, struct arena *arena, int fd, const char **ret_name, struct err *err) {
    struct segments closed = {.count = 0};
    size_t twin;
    if (list_closed(folder, arena, &closed, err) || find_twin(folder, arena, &closed, fd, &twin, err)) return -1;
    *ret_name = twin + 1 == closed.count ? closed.items[twin].name : NULL;
    return 0;
}

/* How many of the closed ones stand before the open one. Where that was closed since it was opened, others may be newer than it. */
static int count_before(const char *folder, struct arena *arena, const struct segments *closed, int fd, size_t *ret_count, struct err *err) {
    struct stat own, now;
    size_t twin;
    if (find_twin(folder, arena, closed, fd, &twin, err)) return -1;
    bool was_closed = fstat(fd, &own) || lstat(arena_printf(arena, "%s/" SEGMENT_OPEN, folder), &now) || now.st_dev != own.st_dev || now.st_ino != own.st_ino;
    *ret_count = was_closed || twin + 1 == closed->count ? twin : closed->count;
    return 0;
}

int segments_list(const char *folder, struct arena *arena, struct segments *ret_segments, struct err *err) {
    struct segments segments = {.count = 0};
    const char *path = arena_printf(arena, "%s/" SEGMENT_OPEN, folder);
    int fd = text_open_file(AT_FDCWD, path, O_NOFOLLOW, err);
    if (fd < 0 && errno != ENOENT) return -1;
    size_t older = 0;
    if (list_closed(folder, arena, &segments, err) || (fd >= 0 && count_before(folder, arena, &segments, fd, &older, err))) {
        if (fd >= 0) (void)close(fd);
        return -1;
    }
    if (fd >= 0) segments.count = older;
    segments.open_missing = fd < 0 && segments.count;
    if (fd >= 0) *ARENA_APPEND(arena, segments.items, segments.count) = (struct segment){.name = SEGMENT_OPEN, .fd = fd, .held = -1};
    *ret_segments = segments;
    return 0;
}

void segments_close(struct segments *segments) {
    for (size_t i = 0; i < segments->count; i++) {
        if (segments->items[i].fd >= 0) (void)close(segments->items[i].fd);
        if (segments->items[i].held >= 0) (void)close(segments->items[i].held);
    }
}

enum { MOST_HELD = 256, MOST_TRIES = 100 };

/* 1: one of them is gone since they were listed. */
static int hold(const char *folder, struct arena *arena, const struct segments *segments, struct err *err) {
    for (size_t i = 0; i < segments->count && i < MOST_HELD; i++) {
        struct segment *segment = &segments->items[i];
        if (segment->fd >= 0) continue;
        const char *path = arena_printf(arena, "%s/%s", folder, segment->name);
        segment->held = text_open_file(AT_FDCWD, path, O_NOFOLLOW, err);
        if (segment->held < 0) return errno == ENOENT ? 1 : -1;
    }
    return 0;
}

int segments_hold(const char *folder, struct arena *arena, struct segments *ret_segments, struct err *err) {
    for (int tries = 0; tries < MOST_TRIES; tries++) {
        struct segments segments;
        if (segments_list(folder, arena, &segments, err)) return -1;
        int result = hold(folder, arena, &segments, err);
        if (!result) {
            *ret_segments = segments;
            return 0;
        }
        segments_close(&segments);
        if (result < 0) return -1;
    }
    return err_set(err, ERR_IO, "journal folder \"%s\" does not keep its files for as long as it takes to open them", folder);
}
