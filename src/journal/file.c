#include "journal/file.h"

#include "journal/calls.h"
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
    return err_set_errno(err, errno, "journal \"%s\": %s", file->folder, what);
}

/* Takes this descriptor as the open segment's. */
static int adopt(struct file *file, int fd, struct err *err) {
    struct stat own;
    if (fstat(fd, &own)) {
        int result = failed(file, "cannot examine " SEGMENT_OPEN, err);
        (void)close(fd);
        return result;
    }
    if (file->fd >= 0) (void)close(file->fd);
    file->fd = fd;
    file->dev = own.st_dev;
    file->ino = own.st_ino;
    return 0;
}

static int sync_folder(struct file *file, struct err *err) {
    return journal_calls.fsync(file->folder_fd) ? failed(file, "cannot put the folder on disk", err) : 0;
}

int file_open(struct file *file, const char *folder, int folder_fd, bool create, struct err *err) {
    *file = (struct file){.folder = folder, .folder_fd = folder_fd, .fd = -1};
    int flags = O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT | O_EXCL : 0);
    int fd = journal_calls.open(folder_fd, SEGMENT_OPEN, flags, SEGMENT_MODE);
    if (fd < 0) return failed(file, "cannot open " SEGMENT_OPEN " for writing", err);
    if (adopt(file, fd, err)) return -1;
    return create ? sync_folder(file, err) : 0;
}

/* Whether journal.jsonl is still the file that we write, and how long it is. */
static int examine(const struct file *file, int64_t *ret_size, struct err *err) {
    struct stat own, named;
    if (fstat(file->fd, &own)) return failed(file, "cannot examine " SEGMENT_OPEN, err);
    bool there = fstatat(file->folder_fd, SEGMENT_OPEN, &named, AT_SYMLINK_NOFOLLOW) == 0;
    if (!own.st_nlink || !there || named.st_dev != file->dev || named.st_ino != file->ino)
        return err_set(err, ERR_IO,
                       "journal \"%s\": " SEGMENT_OPEN " was removed or replaced while it was written; put the file back and let "
                       "nothing but lapsed rotate it", file->folder);
    if (own.st_size < file->bytes)
        return err_set(err, ERR_IO, "journal \"%s\": " SEGMENT_OPEN " was truncated from %" PRId64 " to %" PRId64 " bytes; restore it",
                       file->folder, file->bytes, (int64_t)own.st_size);
    *ret_size = own.st_size;
    return 0;
}

static int examine_size(const struct file *file, int64_t expected, struct err *err) {
    int64_t size;
    if (examine(file, &size, err)) return -1;
    if (size == expected) return 0;
    return err_set(err, ERR_IO, "journal \"%s\": " SEGMENT_OPEN " has %" PRId64 " bytes instead of %" PRId64 ": something else wrote to it",
                   file->folder, size, expected);
}

static int write_all(int fd, const char *text, size_t length) {
    while (length) {
        ssize_t written = journal_calls.write(fd, text, length);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) {
            if (written == 0) errno = EIO;
            return -1;
        }
        text += written;
        length -= (size_t)written;
    }
    return 0;
}

static int append(struct file *file, const char *text, size_t length, struct err *err) {
    if (examine_size(file, file->bytes, err)) return -1;
    if (write_all(file->fd, text, length)) return failed(file, "cannot write to " SEGMENT_OPEN, err);
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
        if (to >= 0 && !result) result = write_all(to, piece, (size_t)got);
    }
    sha256_end(&sha256, hash);
    cut->sha256 = chain_text(hash);
    return result;
}

int file_keep_aside(struct file *file, int64_t seq, struct cut *ret_cut, struct err *err) {
    static const char unnamed[] = "torn.new";
    *ret_cut = (struct cut){.bytes = 0};
    if (!copy_tail(file->fd, file->bytes, -1, ret_cut) && !ret_cut->bytes) return 0;
    (void)journal_calls.unlink(file->folder_fd, unnamed); /* of an earlier try */
    int to = journal_calls.open(file->folder_fd, unnamed, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, CLOSED_MODE);
    int open_error = errno;
    bool kept = !copy_tail(file->fd, file->bytes, to, ret_cut) && to >= 0 && !journal_calls.fsync(to);
    if (to < 0) errno = open_error;
    if (kept && ret_cut->bytes) {
        char name[sizeof ret_cut->name];
        (void)snprintf(name, sizeof name, "torn-%" PRId64 "-%.8s", seq, ret_cut->sha256.text);
        kept = !journal_calls.rename(file->folder_fd, unnamed, name) && !journal_calls.fsync(file->folder_fd);
        if (kept) memcpy(ret_cut->name, name, sizeof name);
    }
    int result = kept ? 0 : failed(file, "cannot keep the torn end of " SEGMENT_OPEN " aside", err);
    if (to >= 0) (void)close(to);
    if (!ret_cut->name[0]) (void)journal_calls.unlink(file->folder_fd, unnamed);
    return result;
}

int file_cut(struct file *file, struct err *err) {
    int64_t size;
    if (examine(file, &size, err)) return -1;
    if (size == file->bytes) return 0;
    if (journal_calls.ftruncate(file->fd, file->bytes) || journal_calls.fsync(file->fd))
        return failed(file, "cannot cut the torn end off " SEGMENT_OPEN, err);
    return 0;
}

static int give_closed_name(struct file *file, struct err *err) {
    struct segment_name name = segment_closed_name(file->first_seq);
    if (journal_calls.fchmod(file->fd, CLOSED_MODE)) return failed(file, "cannot make a segment read-only", err);
    if (!journal_calls.link(file->folder_fd, SEGMENT_OPEN, name.text)) return 0;
    struct stat named;
    bool done = errno == EEXIST && !fstatat(file->folder_fd, name.text, &named, AT_SYMLINK_NOFOLLOW) &&
                named.st_dev == file->dev && named.st_ino == file->ino; /* by an earlier try */
    return done ? 0 : failed(file, "cannot name a closed segment", err);
}

static int begin_next(struct file *file, struct err *err) {
    if (journal_calls.unlink(file->folder_fd, SEGMENT_NEXT) && errno != ENOENT)
        return failed(file, "cannot remove " SEGMENT_NEXT, err);
    int fd = journal_calls.open(file->folder_fd, SEGMENT_NEXT, O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, SEGMENT_MODE);
    if (fd < 0) return failed(file, "cannot make the next segment", err);
    if (journal_calls.rename(file->folder_fd, SEGMENT_NEXT, SEGMENT_OPEN)) {
        int result = failed(file, "cannot begin the next segment", err);
        (void)close(fd);
        return result;
    }
    if (adopt(file, fd, err)) return -1;
    file->bytes = file->first_seq = file->first_time_us = 0;
    return sync_folder(file, err);
}

int file_next(struct file *file, struct err *err) {
    bool was_broken = file->broken;
    file->broken = true;
    if (was_broken ? file_cut(file, err) : examine_size(file, file->bytes, err)) return -1;
    if (file->bytes && (give_closed_name(file, err) || sync_folder(file, err))) return -1;
    if (begin_next(file, err)) return -1;
    file->broken = false;
    return 0;
}

void file_close(struct file *file) {
    if (file->fd >= 0) (void)close(file->fd);
    file->fd = -1;
}
