#include "journal/prune.h"

#include "journal/base64.h"
#include "journal/calls.h"
#include "journal/chain.h"
#include "journal/frontier.h"
#include "journal/lines.h"
#include "journal/reader.h"
#include "journal/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct prune {
    struct arena *arena;
    const char **files; /* to be removed, the oldest first */
    size_t n_files;
    struct entry_removed *removed; /* of those, what was not declared yet */
    struct entry entry;
};

void prune_free(struct prune **prune) {
    if (!*prune) return;
    arena_free((*prune)->arena);
}

const struct entry *prune_entry(const struct prune *prune) { return prune->entry.n_removed ? &prune->entry : NULL; }

bool prune_removes(const struct prune *prune) { return prune->n_files > 0; }

int64_t prune_last_seq(const struct prune *prune) { return prune->removed[prune->entry.n_removed - 1].last_seq; }

static void close_of(int *fd) {
    if (*fd >= 0) (void)close(*fd);
}

static int open_segment(const char *folder, const char *name, struct arena *arena, struct err *err) {
    const char *path = arena_printf(arena, "%s/%s", folder, name);
    return text_open_file(AT_FDCWD, path, O_NOFOLLOW, err);
}

/* The segment entry that a file begins with: it tells when the one before ended, and the tree at that point. */
static int read_first(const char *folder, const char *name, struct arena *arena, struct entry_line *ret_line, struct err *err) {
    __attribute__((cleanup(close_of))) int fd = open_segment(folder, name, arena, err);
    if (fd < 0) return -1;
    __attribute__((cleanup(lines_free))) struct lines lines = lines_of(fd, false);
    struct line line;
    int got = lines_next(&lines, &line, err);
    if (got < 0) return err_within(err, "\"%s\"", name);
    if (!got || !line.ended || entry_read(line.text, line.length, arena, ret_line, err) || ret_line->entry.event != ENTRY_SEGMENT)
        return err_set(err, ERR_IO, "\"%s/%s\" does not begin with a segment entry", folder, name);
    return 0;
}

static int hash_file(const char *folder, const char *name, struct arena *arena, struct hash_text *ret_hash, struct err *err) {
    __attribute__((cleanup(close_of))) int fd = open_segment(folder, name, arena, err);
    if (fd < 0) return -1;
    struct sha256 sha256;
    sha256_start(&sha256);
    unsigned char bytes[64 << 10];
    for (ssize_t got; (got = read(fd, bytes, sizeof bytes)) != 0;) {
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return err_set_errno(err, errno, "\"%s/%s\" cannot be read", folder, name);
        sha256_add(&sha256, bytes, (size_t)got);
    }
    sha256_end(&sha256, bytes);
    *ret_hash = chain_text(bytes);
    return 0;
}

static int declare(struct prune *prune, const char *folder, const struct segment *segment, const struct entry_line *next, struct err *err) {
    struct hash_text hash;
    struct merkle_tree tree;
    if (!frontier_read(&next->entry, next->seq - 1, &tree))
        return err_set(err, ERR_IO, "the segment behind \"%s/%s\" does not tell the tree's frontier", folder, segment->name);
    if (hash_file(folder, segment->name, prune->arena, &hash, err)) return -1;
    struct merkle_hash root = merkle_root(&tree);
    struct buf base64 __attribute__((cleanup(buf_free))) = {.text = NULL};
    base64_add(&base64, root.bytes, sizeof root.bytes);
    *ARENA_APPEND(prune->arena, prune->removed, prune->entry.n_removed) =
        (struct entry_removed){.file = segment->name, .first_seq = segment->first_seq, .last_seq = next->seq - 1,
                               .sha256 = arena_strdup(prune->arena, hash.text), .root = arena_strdup(prune->arena, base64.text)};
    prune->entry.removed = prune->removed;
    return 0;
}

/* When the entries of a segment had ended: a later one began. While a clock was ahead some may have begun in what is the future now; they
 * say nothing. None: not before now. */
static int find_end(const char *folder, const struct segments *segments, size_t i, int64_t now_us, struct arena *arena, int64_t *ret_us, struct err *err) {
    *ret_us = now_us;
    for (size_t next = i + 1; next < segments->count; next++) {
        struct entry_line first;
        if (read_first(folder, segments->items[next].name, arena, &first, err)) return -1;
        if (first.entry.time_us > now_us) continue;
        *ret_us = first.entry.time_us;
        break;
    }
    return 0;
}

static int find(struct prune *prune, const char *folder, struct period keep, int64_t now_us, int64_t declared, struct err *err) {
    __attribute__((cleanup(segments_close))) struct segments segments = {.count = 0};
    if (segments_list(folder, prune->arena, &segments, err)) return -1;
    for (size_t i = 0; i + 1 < segments.count && !segments.open_missing; i++) {
        struct entry_line next;
        const struct segment *segment = &segments.items[i];
        int64_t end_us;
        if (find_end(folder, &segments, i, now_us, prune->arena, &end_us, err)) return -1;
        if (period_after(end_us, keep) > now_us) break;
        if (read_first(folder, segments.items[i + 1].name, prune->arena, &next, err)) return -1;
        if (next.seq - 1 > declared && declare(prune, folder, segment, &next, err)) return -1;
        *ARENA_APPEND(prune->arena, prune->files, prune->n_files) = segment->name;
    }
    return 0;
}

struct prune *prune_find(const char *folder, struct period keep, int64_t now_us, int64_t declared, struct err *err) {
    struct arena *arena = arena_new();
    struct prune *prune = ARENA_ARRAY(arena, struct prune, 1);
    *prune = (struct prune){.arena = arena, .entry = {.event = ENTRY_PRUNE}};
    if (!find(prune, folder, keep, now_us, declared, err)) return prune;
    prune_free(&prune);
    return NULL;
}

int prune_unlink(const struct prune *prune, int folder_fd, struct err *err) {
    for (size_t i = 0; i < prune->n_files; i++)
        if (journal_calls.unlink(folder_fd, prune->files[i]) && errno != ENOENT)
            return err_set_errno(err, errno, "cannot remove the journal's old segment %s", prune->files[i]);
    if (prune->n_files && journal_calls.fsync(folder_fd)) return err_set_errno(err, errno, "cannot put the journal's folder on disk");
    return 0;
}
