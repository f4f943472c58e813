#include "journal/evidence_file.h"

#include "journal/calls.h"
#include "journal/room.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EVIDENCE_MODE = 0640, DONE_MODE = 0440 };

struct evidence_name evidence_file_name(int64_t first_seq) {
    struct evidence_name name;
    (void)snprintf(name.text, sizeof name.text, "evidence-%012" PRId64, first_seq);
    return name;
}

int64_t evidence_file_seq(const char *file) {
    int64_t seq = 0;
    bool named = sscanf(file, "evidence-%" SCNd64, &seq) == 1 && seq > 0 && !strcmp(evidence_file_name(seq).text, file);
    return named ? seq : 0;
}

FILE *evidence_file_read(const char *path, struct err *err) {
    int fd = text_open_file(AT_FDCWD, path, 0, err);
    FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;
    if (fd >= 0 && !file) abort(); /* for want of memory */
    return file;
}

/* With its terminating zero, which is not written. */
static void make_title(char title[EVIDENCE_UNIT + 1], int64_t seq, size_t n_leaves) {
    int length = snprintf(title, EVIDENCE_UNIT, "intent %" PRId64 " %zu", seq, n_leaves);
    if (length >= EVIDENCE_UNIT) abort(); /* of 10^15 entries, or a batch of 10^8 records */
    memset(title + length, ' ', (size_t)(EVIDENCE_UNIT - 1 - length));
    memcpy(title + EVIDENCE_UNIT - 1, "\n", 2);
}

void evidence_units(struct buf *to, int64_t seq, const struct merkle_hash *leaves, size_t n_leaves) {
    char title[EVIDENCE_UNIT + 1];
    make_title(title, seq, n_leaves);
    buf_add_n(to, title, EVIDENCE_UNIT);
    buf_add_n(to, (const char *)leaves->bytes, n_leaves * sizeof *leaves);
}

bool evidence_read_title(const unsigned char unit[EVIDENCE_UNIT], int64_t *ret_seq, size_t *ret_leaves) {
    char text[EVIDENCE_UNIT + 1], again[EVIDENCE_UNIT + 1];
    int64_t seq;
    size_t n_leaves;
    memcpy(text, unit, EVIDENCE_UNIT);
    text[EVIDENCE_UNIT] = '\0';
    if (memcmp(text, "intent ", strlen("intent ")) != 0 || sscanf(text, "intent %15" SCNd64 " %8zu", &seq, &n_leaves) != 2 || seq < 0) return false;
    make_title(again, seq, n_leaves);
    if (memcmp(again, unit, EVIDENCE_UNIT) != 0) return false;
    *ret_seq = seq;
    *ret_leaves = n_leaves;
    return true;
}

struct evidence_file evidence_file_in(const struct folder *folder) {
    return (struct evidence_file){.folder = folder, .fd = -1};
}

void evidence_file_close(struct evidence_file *file) {
    if (file->fd >= 0) (void)close(file->fd);
    file->fd = -1;
    file->first_seq = file->bytes = file->room_end = 0;
}

static int failed(const struct evidence_file *file, const char *what, struct err *err) {
    return err_set_errno(err, errno, "journal \"%s\": %s", file->folder->path, what);
}

static int write_all(const struct evidence_file *file, const char *text, size_t length, struct err *err) {
    return text_write_all(file->fd, text, length, journal_calls.write) ? failed(file, "cannot write the evidence", err) : 0;
}

/* What a crash left of a unit is filled up, so that the next batch begins where a title is looked for. */
static int end_torn_unit(struct evidence_file *file, struct err *err) {
    static const char filling[EVIDENCE_UNIT] = "";
    size_t over = (size_t)(file->bytes % EVIDENCE_UNIT), missing = over ? EVIDENCE_UNIT - over : 0;
    if (write_all(file, filling, missing, err)) return -1;
    file->bytes += (int64_t)missing;
    return 0;
}

/* The file of a segment that is closed: what room it has left over is given back. */
static void finish(struct evidence_file *file) {
    if (file->room_end > file->bytes) (void)!journal_calls.ftruncate(file->fd, file->bytes);
    (void)journal_calls.fchmod(file->fd, DONE_MODE);
}

static int open_file(struct evidence_file *file, int64_t first_seq, bool fresh, struct err *err) {
    const struct evidence_name name = evidence_file_name(first_seq);
    if (file->fd >= 0) finish(file);
    evidence_file_close(file);
    if (fresh && journal_calls.unlink(file->folder->fd, name.text) && errno != ENOENT) return failed(file, "cannot replace old evidence", err);
    int flags = O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | (fresh ? O_EXCL : 0);
    file->fd = journal_calls.open(file->folder->fd, name.text, flags, EVIDENCE_MODE);
    if (file->fd < 0) {
        bool no_room = room_is_short(errno);
        (void)failed(file, "cannot open the evidence for writing", err);
        if (no_room) err->code = ERR_UNAVAILABLE;
        return -1;
    }
    struct stat own;
    if (fstat(file->fd, &own) || file_id_of(file->fd, &file->id)) return failed(file, "cannot examine the evidence", err);
    file->bytes = own.st_size;
    file->first_seq = first_seq;
    if (journal_calls.fsync(file->folder->fd)) return failed(file, "cannot put the folder on disk", err);
    return end_torn_unit(file, err);
}

int evidence_file_check(const struct evidence_file *file, struct err *err) {
    if (file->fd < 0) return 0;
    const struct evidence_name name = evidence_file_name(file->first_seq);
    int64_t size;
    if (file_id_check(&file->id, file->fd, file->folder->path, file->folder->fd, name.text, &size, err)) return -1;
    if (size == file->bytes) return 0;
    return err_set(err, ERR_IO, "journal \"%s\": %s has %" PRId64 " bytes instead of %" PRId64 ": something else wrote to it", file->folder->path,
                   name.text, size, file->bytes);
}

int evidence_file_reserve(struct evidence_file *file, int64_t first_seq, bool fresh, size_t length, struct err *err) {
    if ((file->fd < 0 || fresh || file->first_seq != first_seq) && open_file(file, first_seq, fresh, err)) return -1;
    if (!room_take(file->fd, evidence_file_name(first_seq).text, file->bytes, (int64_t)length, &file->room_end, err)) return 0;
    return err_within(err, "journal \"%s\"", file->folder->path);
}

int evidence_file_append(struct evidence_file *file, const struct buf *units, struct err *err) {
    if (evidence_file_check(file, err) || write_all(file, units->text, units->length, err)) return -1;
    if (journal_calls.fdatasync(file->fd)) return failed(file, "cannot put the evidence on disk", err);
    file->bytes += (int64_t)units->length;
    return evidence_file_check(file, err);
}
