#include "journal/file.h"

#include "base/text.h"
#include "journal/calls.h"
#include "journal/room.h"
#include "journal/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEGMENT_MODE = 0640, CLOSED_MODE = 0440, PIECE = 64 << 10 };

static int failed(const struct file *file, const char *what, struct err *err) {
    return err_set_errno(err, errno, "journal \"%s\": %s", file->folder->path, what);
}

/* Takes this descriptor as the open segment's. */
static int adopt(struct file *file, int fd, struct err *err) {
    struct file_id id;
    if (file_id_of(fd, &id)) {
        int result = failed(file, "cannot examine " SEGMENT_OPEN, err);
        (void)close(fd);
        return result;
    }
    if (file->fd >= 0) (void)close(file->fd);
    file->fd = fd;
    file->id = id;
    return 0;
}

static int sync_folder(struct file *file, struct err *err) {
    return journal_calls.fsync(file->folder->fd) ? failed(file, "cannot put the folder on disk", err) : 0;
}

/* The folder's own name in the one above it. Who may not read that one cannot have made the folder either, and not every file system
 * that others are mounted in knows how to sync (EINVAL). */
static int sync_above(struct file *file, struct err *err) {
    int above = openat(file->folder->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (above < 0 && errno == EACCES) return 0;
    int result = above < 0 || (journal_calls.fsync(above) && errno != EINVAL) ? failed(file, "cannot put the folder above it on disk", err) : 0;
    if (above >= 0) (void)close(above);
    return result;
}

int file_open(struct file *file, const struct folder *folder, bool create, struct err *err) {
    *file = (struct file){.folder = folder, .fd = -1};
    int flags = O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT | O_EXCL : 0);
    int fd = journal_calls.open(folder->fd, SEGMENT_OPEN, flags, SEGMENT_MODE);
    if (fd < 0) return failed(file, "cannot open " SEGMENT_OPEN " for writing", err);
    if (adopt(file, fd, err)) return -1;
    if (!sync_folder(file, err) && !sync_above(file, err)) return 0;
    file_close(file);
    return -1;
}

/* Whether folder and journal.jsonl still are those that we write to, and how long the file is. */
static int examine(const struct file *file, int64_t *ret_size, struct err *err) {
    int64_t size;
    if (folder_check(file->folder, err) || file_id_check(&file->id, file->fd, file->folder->path, file->folder->fd, SEGMENT_OPEN, &size, err)) return -1;
    if (size < file->bytes)
        return err_set(err, ERR_IO, "journal \"%s\": " SEGMENT_OPEN " was truncated from %" PRId64 " to %" PRId64 " bytes; restore it",
                       file->folder->path, file->bytes, size);
    *ret_size = size;
    return 0;
}

static int examine_size(const struct file *file, int64_t expected, struct err *err) {
    int64_t size;
    if (examine(file, &size, err)) return -1;
    if (size == expected) return 0;
    return err_set(err, ERR_IO, "journal \"%s\": " SEGMENT_OPEN " has %" PRId64 " bytes instead of %" PRId64 ": something else wrote to it",
                   file->folder->path, size, expected);
}

int file_check(const struct file *file, struct err *err) {
    int64_t size;
    return examine(file, &size, err);
}

int file_reserve(struct file *file, int64_t length, struct err *err) {
    if (!file->kept || !room_take(file->fd, SEGMENT_OPEN, file->bytes, length + file->kept, &file->room_end, err)) return 0;
    return err_within(err, "journal \"%s\"", file->folder->path);
}

static int write_piece(int fd, const char *piece, size_t length, int64_t offset) {
    while (length) {
        ssize_t written = journal_calls.pwrite(fd, piece, length, offset);
        if (written < 0 && errno == EINTR) continue;
        if (written == 0) errno = EIO;
        if (written <= 0) return -1;
        piece += written;
        offset += written;
        length -= (size_t)written;
    }
    return 0;
}

static int write_again(int fd, int64_t offset, int64_t end) {
    char piece[PIECE];
    while (offset < end) {
        size_t want = end - offset < PIECE ? (size_t)(end - offset) : PIECE;
        ssize_t got = pread(fd, piece, want, offset);
        if (got < 0 && errno == EINTR) continue;
        if (got == 0) errno = EIO;
        if (got <= 0 || write_piece(fd, piece, (size_t)got, offset)) return -1;
        offset += got;
    }
    return journal_calls.fdatasync(fd);
}

/* By a descriptor that does not append: one that does would, whatever the offset. */
int file_write_again(const struct file *file, int64_t offset, struct err *err) {
    if (offset >= file->bytes) return 0;
    int64_t size;
    int fd = journal_calls.open(file->folder->fd, SEGMENT_OPEN, O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0);
    if (fd < 0) return failed(file, "cannot open " SEGMENT_OPEN " for writing", err);
    int result = file_id_check(&file->id, fd, file->folder->path, file->folder->fd, SEGMENT_OPEN, &size, err);
    if (!result && write_again(fd, offset, file->bytes)) result = failed(file, "cannot put the end of " SEGMENT_OPEN " on disk once more", err);
    (void)close(fd);
    return result;
}

static int append(struct file *file, const char *text, size_t length, struct err *err) {
    if (examine_size(file, file->bytes, err)) return -1;
    if (text_write_all(file->fd, text, length, journal_calls.write)) return failed(file, "cannot write to " SEGMENT_OPEN, err);
    if (journal_calls.fdatasync(file->fd)) return failed(file, "cannot put " SEGMENT_OPEN " on disk", err);
    return examine_size(file, file->bytes + (int64_t)length, err);
}

int file_append(struct file *file, const char *text, size_t length, struct err *err) {
    if (append(file, text, length, err)) {
        file->broken = true;
        return -1;
    }
    file->bytes += (int64_t)length;
    return 0;
}

/* Copies fd from `offset` to its end into `to` (-1: only counts and hashes it). */
static int copy_tail(int fd, int64_t offset, int to, struct cut *cut) {
    char piece[PIECE];
    struct sha256 sha256;
    unsigned char hash[SHA256_BYTES];
    sha256_start(&sha256);
    int result = 0;
    cut->bytes = 0;
    for (;;) {
        ssize_t got = pread(fd, piece, sizeof piece, offset + cut->bytes);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) result = -1;
        if (got <= 0) break;
        sha256_add(&sha256, piece, (size_t)got);
        cut->bytes += got;
        if (to >= 0 && !result) result = text_write_all(to, piece, (size_t)got, journal_calls.write);
    }
    sha256_end(&sha256, hash);
    cut->sha256 = chain_text(hash);
    return result;
}

int file_keep_aside(struct file *file, int64_t seq, struct cut *ret_cut, struct err *err) {
    static const char unnamed[] = "torn.new";
    *ret_cut = (struct cut){.bytes = 0};
    if (!copy_tail(file->fd, file->bytes, -1, ret_cut) && !ret_cut->bytes) return 0;
    (void)journal_calls.unlink(file->folder->fd, unnamed); /* of an earlier try */
    int to = journal_calls.open(file->folder->fd, unnamed, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, CLOSED_MODE);
    int open_error = errno;
    bool kept = !copy_tail(file->fd, file->bytes, to, ret_cut) && to >= 0 && !journal_calls.fsync(to);
    if (to < 0) errno = open_error;
    if (kept && ret_cut->bytes) {
        char name[sizeof ret_cut->name];
        (void)snprintf(name, sizeof name, "torn-%" PRId64 "-%.8s", seq, ret_cut->sha256.text);
        kept = !journal_calls.rename(file->folder->fd, unnamed, name) && !journal_calls.fsync(file->folder->fd);
        if (kept) memcpy(ret_cut->name, name, sizeof name);
    }
    int result = kept ? 0 : failed(file, "cannot keep the torn end of " SEGMENT_OPEN " aside", err);
    if (to >= 0) (void)close(to);
    if (!ret_cut->name[0]) (void)journal_calls.unlink(file->folder->fd, unnamed);
    return result;
}

int file_read_cut(const struct folder *folder, const char *name, struct cut *ret_cut, struct err *err) {
    struct cut cut;
    int fd = journal_calls.open(folder->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0);
    bool read = fd >= 0 && !copy_tail(fd, 0, -1, &cut);
    (void)text_copy(cut.name, sizeof cut.name, name);
    int result = read ? 0 : err_set_errno(err, errno, "journal \"%s\": cannot read %s", folder->path, name);
    if (fd >= 0) (void)close(fd);
    if (read) *ret_cut = cut;
    return result;
}

static int cut(struct file *file, struct err *err) {
    int64_t size;
    if (examine(file, &size, err)) return -1;
    if (size == file->bytes && file->room_end <= size) return 0;
    if (journal_calls.ftruncate(file->fd, file->bytes)) return failed(file, "cannot cut " SEGMENT_OPEN " back", err);
    file->room_end = file->bytes;
    return 0;
}

int file_cut(struct file *file, struct err *err) {
    if (cut(file, err)) return -1;
    return journal_calls.fsync(file->fd) ? failed(file, "cannot put the cut " SEGMENT_OPEN " on disk", err) : 0;
}

static int give_closed_name(struct file *file, struct err *err) {
    struct segment_name name = segment_closed_name(file->first_seq);
    if (file->closing) return 0; /* by an earlier try */
    if (journal_calls.link(file->folder->fd, SEGMENT_OPEN, name.text)) return failed(file, "cannot name a closed segment", err);
    file->closing = true;
    file->id.links++;
    return 0;
}

/* The next segment under a name of its own; its descriptor. */
static int make_next(const struct file *file, int64_t *ret_room_end, struct err *err) {
    if (journal_calls.unlink(file->folder->fd, SEGMENT_NEXT) && errno != ENOENT)
        return failed(file, "cannot remove " SEGMENT_NEXT, err);
    int fd = journal_calls.open(file->folder->fd, SEGMENT_NEXT, O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, SEGMENT_MODE);
    if (fd < 0) return failed(file, "cannot make the next segment", err);
    *ret_room_end = 0;
    if (!file->kept || !room_take(fd, SEGMENT_NEXT, 0, file->kept, ret_room_end, err) || file->broken) return fd;
    (void)close(fd);
    (void)journal_calls.unlink(file->folder->fd, SEGMENT_NEXT);
    return err_within(err, "journal \"%s\"", file->folder->path);
}

/* The file is not synced again where its sync failed: what counts in it is on disk, and its new length gets there with the
 * folder, in which it has a name that nobody knows before. */
static int close_segment(struct file *file, struct err *err) {
    if (file->broken ? cut(file, err) : examine_size(file, file->bytes, err)) return -1;
    if (!file->bytes) return 0; /* nothing in it counts: the next one takes its name */
    if (give_closed_name(file, err)) return -1;
    file->broken = true;
    if (cut(file, err)) return -1;
    if (journal_calls.fchmod(file->fd, CLOSED_MODE)) return failed(file, "cannot make a segment read-only", err);
    file->id.mode = S_IFREG | CLOSED_MODE;
    return sync_folder(file, err);
}

int file_next(struct file *file, struct err *err) {
    int64_t room_end;
    int fd = make_next(file, &room_end, err);
    if (fd < 0) return -1;
    if (close_segment(file, err)) {
        (void)close(fd);
        return -1;
    }
    file->broken = true;
    if (journal_calls.rename(file->folder->fd, SEGMENT_NEXT, SEGMENT_OPEN)) {
        int result = failed(file, "cannot begin the next segment", err);
        (void)close(fd);
        return result;
    }
    if (adopt(file, fd, err)) return -1;
    file->bytes = file->first_seq = file->first_time_us = 0;
    file->room_end = room_end;
    file->closing = false;
    if (sync_folder(file, err)) return -1;
    file->broken = false;
    return 0;
}

void file_close(struct file *file) {
    if (file->fd >= 0) (void)close(file->fd);
    file->fd = -1;
}
