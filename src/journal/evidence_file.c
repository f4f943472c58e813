#include "journal/evidence_file.h"

#include "journal/calls.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EVIDENCE_MODE = 0640, DONE_MODE = 0440 };

struct evidence_name evidence_file_name(int64_t first_seq) {
    struct evidence_name name;
    (void)snprintf(name.text, sizeof name.text, "evidence-%012" PRId64, first_seq);
    return name;
}

void evidence_lines(struct buf *to, int64_t seq, const struct merkle_hash *leaves, size_t n_leaves) {
    char hex[2 * SHA256_BYTES + 1];
    buf_printf(to, "intent %" PRId64 " %zu\n", seq, n_leaves);
    for (size_t i = 0; i < n_leaves; i++) {
        text_hex(hex, leaves[i].bytes);
        hex[sizeof hex - 1] = '\n';
        buf_add_n(to, hex, sizeof hex);
    }
}

struct evidence_file evidence_file_in(const char *folder, int folder_fd) {
    return (struct evidence_file){.folder = folder, .folder_fd = folder_fd, .fd = -1};
}

void evidence_file_close(struct evidence_file *file) {
    if (file->fd >= 0) (void)close(file->fd);
    file->fd = -1;
    file->first_seq = file->bytes = 0;
}

static int failed(const struct evidence_file *file, const char *what, struct err *err) {
    return err_set_errno(err, errno, "journal \"%s\": %s", file->folder, what);
}

static int write_all(const struct evidence_file *file, const char *text, size_t length, struct err *err) {
    while (length) {
        ssize_t written = journal_calls.write(file->fd, text, length);
        if (written < 0 && errno == EINTR) continue;
        if (written == 0) errno = EIO;
        if (written <= 0) return failed(file, "cannot write the evidence", err);
        text += written;
        length -= (size_t)written;
    }
    return 0;
}

/* What a crash left of a line is ended, so that the next batch begins on a line of its own. */
static int end_torn_line(struct evidence_file *file, struct err *err) {
    char last;
    if (!file->bytes) return 0;
    if (pread(file->fd, &last, 1, file->bytes - 1) != 1) return failed(file, "cannot read the evidence", err);
    if (last == '\n') return 0;
    if (write_all(file, "\n", 1, err)) return -1;
    file->bytes++;
    return 0;
}

static int open_file(struct evidence_file *file, int64_t first_seq, bool fresh, struct err *err) {
    const struct evidence_name name = evidence_file_name(first_seq);
    if (file->fd >= 0) (void)journal_calls.fchmod(file->fd, DONE_MODE); /* of a segment that is closed */
    evidence_file_close(file);
    if (fresh && journal_calls.unlink(file->folder_fd, name.text) && errno != ENOENT) return failed(file, "cannot replace old evidence", err);
    int flags = O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | (fresh ? O_EXCL : 0);
    file->fd = journal_calls.open(file->folder_fd, name.text, flags, EVIDENCE_MODE);
    if (file->fd < 0) return failed(file, "cannot open the evidence for writing", err);
    struct stat own;
    if (fstat(file->fd, &own)) return failed(file, "cannot examine the evidence", err);
    file->dev = own.st_dev;
    file->ino = own.st_ino;
    file->bytes = own.st_size;
    file->first_seq = first_seq;
    if (journal_calls.fsync(file->folder_fd)) return failed(file, "cannot put the folder on disk", err);
    return end_torn_line(file, err);
}

/* Whether the name still stands for the file that we write, and nobody else has written to it. */
static int examine(const struct evidence_file *file, struct err *err) {
    const struct evidence_name name = evidence_file_name(file->first_seq);
    struct stat own, named;
    if (fstat(file->fd, &own)) return failed(file, "cannot examine the evidence", err);
    bool there = fstatat(file->folder_fd, name.text, &named, AT_SYMLINK_NOFOLLOW) == 0;
    if (!own.st_nlink || !there || named.st_dev != file->dev || named.st_ino != file->ino)
        return err_set(err, ERR_IO, "journal \"%s\": %s was removed or replaced while it was written", file->folder, name.text);
    if (own.st_size == file->bytes) return 0;
    return err_set(err, ERR_IO, "journal \"%s\": %s has %" PRId64 " bytes instead of %" PRId64 ": something else wrote to it", file->folder,
                   name.text, (int64_t)own.st_size, file->bytes);
}

static int append(struct evidence_file *file, int64_t first_seq, bool fresh, const struct buf *lines, struct err *err) {
    if ((file->fd < 0 || fresh || file->first_seq != first_seq) && open_file(file, first_seq, fresh, err)) return -1;
    if (examine(file, err) || write_all(file, lines->text, lines->length, err)) return -1;
    if (journal_calls.fdatasync(file->fd)) return failed(file, "cannot put the evidence on disk", err);
    file->bytes += (int64_t)lines->length;
    return examine(file, err);
}

int evidence_file_append(struct evidence_file *file, int64_t first_seq, bool fresh, const struct buf *lines, struct err *err) {
    if (!append(file, first_seq, fresh, lines, err)) return 0;
    evidence_file_close(file);
    return -1;
}
