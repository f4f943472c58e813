#include "journal/writer.h"

#include "base/log.h"
#include "base/time.h"
#include "journal/base64.h"
#include "journal/calls.h"
#include "journal/prune.h"
#include "journal/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_BACK_BYTES = 256 << 10, CHECKPOINT_MODE = 0640 };

/* A group that is being made: its lines, and where chain and tree stand behind them. */
struct group {
    struct buf text, evidence;
    struct position end;
    struct merkle_tree tree;
};

static void group_free(struct group *group) {
    buf_free(&group->text);
    buf_free(&group->evidence);
}

static int64_t add_draft(struct group *group, const struct draft *draft, int64_t time_us) {
    int64_t seq = group->end.seq + 1;
    size_t from = group->text.length;
    group->end.seq += (int64_t)entry_number(&group->text, draft, time_us, seq, group->end.hash.text);
    group->end.time_us = time_us;
    for (size_t feed; from < group->text.length; from = feed + 1) {
        const char *line = group->text.text + from;
        feed = from + (size_t)((const char *)memchr(line, '\n', group->text.length - from) - line);
        struct merkle_hash leaf = merkle_leaf(line, feed - from);
        merkle_append(&group->tree, &leaf);
    }
    return seq;
}

static void add_entry(struct group *group, const struct entry *entry, int64_t time_us) {
    struct draft *draft = entry_draft(entry);
    (void)add_draft(group, draft, time_us);
    entry_draft_free(draft);
}

/* A segment begins with all that is needed to go on from the ones before it, which may be gone one day. */
static void add_segment(struct group *group, const struct writer *writer, int64_t time_us) {
    struct hash_text texts[MERKLE_MOST];
    const char *frontier[MERKLE_MOST];
    size_t count = merkle_frontier_length(writer->tree.size);
    for (size_t i = 0; i < count; i++) {
        texts[i] = chain_text(writer->tree.frontier[i].bytes);
        frontier[i] = texts[i].text;
    }
    add_entry(group, &(struct entry){.event = ENTRY_SEGMENT, .origin = writer->origin, .previous = writer->written.hash.text,
                                     .frontier = frontier, .n_frontier = count}, time_us);
}

static void make_group(const struct writer *writer, struct pending *first, struct group *group) {
    buf_clear(&group->text);
    buf_clear(&group->evidence);
    group->text.maximum = group->evidence.maximum = SIZE_MAX / 2;
    group->end = writer->written;
    group->tree = writer->tree;
    int64_t now_us = time_now_us();
    if (!writer->file.bytes) add_segment(group, writer, first && first->time_us ? first->time_us : now_us);
    if (writer->cut_due)
        add_entry(group, &(struct entry){.event = ENTRY_RECOVER,
                                         .cut_bytes = writer->cut.bytes,
                                         .cut_sha256 = writer->cut.sha256.text,
                                         .cut_file = writer->cut.name[0] ? writer->cut.name : NULL}, now_us);
    for (struct pending *pending = first; pending; pending = pending->next) {
        if (pending->refused) continue;
        pending->seq = add_draft(group, pending->draft, pending->time_us ? pending->time_us : now_us);
        if (pending->n_leaves) evidence_units(&group->evidence, pending->seq, pending->leaves, pending->n_leaves);
    }
}

/* ---- reading back ---- */

static int altered(struct writer *writer, struct err *err) {
    writer->altered = true;
    return err_set(err, ERR_IO, "journal \"%s\": what is read back from " SEGMENT_OPEN " is not what was written to it; nothing is written to it any "
                   "more: see what \"lapsectl journal verify\" says of it, and look for a fault of disk or memory", writer->file.folder->path);
}

/* Takes the whole lines of a piece; returns their length. */
static size_t take_lines(struct merkle_tree *tree, const char *piece, size_t length) {
    size_t taken = 0;
    for (const char *feed; (feed = memchr(piece + taken, '\n', length - taken)); taken = (size_t)(feed - piece) + 1) {
        struct merkle_hash leaf = merkle_leaf(piece + taken, (size_t)(feed - piece) - taken);
        merkle_append(tree, &leaf);
    }
    return taken;
}

/* Brings the second tree up to the first, from what the file says. */
static int read_back(struct writer *writer, struct err *err) {
    const struct file *file = &writer->file;
    if (file_check(file, err)) return -1; /* what can be put back again is no alteration */
    char *piece = xmalloc(READ_BACK_BYTES);
    int result = 0;
    while (!result && writer->read_back_bytes < file->bytes) {
        int64_t left = file->bytes - writer->read_back_bytes;
        size_t want = left < READ_BACK_BYTES ? (size_t)left : READ_BACK_BYTES;
        ssize_t got = pread(file->fd, piece, want, writer->read_back_bytes);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) result = err_set_errno(err, errno, "journal \"%s\": cannot read " SEGMENT_OPEN " back", file->folder->path);
        size_t taken = got > 0 ? take_lines(&writer->read_back, piece, (size_t)got) : 0;
        if (!result && !taken) result = altered(writer, err);
        writer->read_back_bytes += (int64_t)taken;
    }
    free(piece);
    if (result) return -1;
    struct merkle_hash read = merkle_root(&writer->read_back), written = merkle_root(&writer->tree);
    return writer->read_back.size == writer->tree.size && merkle_equal(&read, &written) ? 0 : altered(writer, err);
}

/* ---- writing ---- */

static bool segment_is_full(const struct writer *writer, size_t more) {
    const struct file *file = &writer->file;
    if (!file->bytes) return false;
    return file->bytes + (int64_t)more > writer->segment_bytes || time_now_us() - file->first_time_us >= writer->segment_age_us;
}

static int next_segment(struct writer *writer, struct err *err) {
    if (writer->signers.count && read_back(writer, err)) return -1;
    if (file_next(&writer->file, err)) return -1;
    writer->read_back_bytes = 0;
    writer->overlong = false;
    return 0;
}

/* A full segment that no new one can follow (the disk has no room, say) grows on. */
static int follow_full(struct writer *writer, struct err *err) {
    struct err why;
    if (!next_segment(writer, &why)) return 0;
    if (writer->altered || writer->file.broken) {
        *err = why;
        return -1;
    }
    if (!writer->overlong) log_warning("%s; the present segment goes on", why.text);
    writer->overlong = true;
    return 0;
}

/* The next group begins a segment, and evidence, of its own. What a failed write left is kept aside and entered then. */
static int lose(struct writer *writer) {
    struct file *file = &writer->file;
    struct cut cut = {.bytes = 0};
    struct err err;
    file->broken = true;
    evidence_file_close(&writer->evidence);
    if (file_keep_aside(file, writer->written.seq + 1, &cut, &err)) log_warning("%s", err.text);
    /* A cut that still waits to be entered is not forgotten because the next try left nothing to cut. */
    if (cut.bytes || !writer->cut_due) writer->cut = cut;
    writer->cut_due = true;
    return -1;
}

/* Leaves that are on disk without their intent do no harm; an intent without its leaves would be a promise that is not kept. */
static int write_evidence(struct writer *writer, const struct buf *units, struct err *err) {
    if (units->length) return evidence_file_append(&writer->evidence, units, err);
    bool ours = writer->file.bytes && writer->evidence.first_seq == writer->file.first_seq;
    return ours ? evidence_file_check(&writer->evidence, err) : 0;
}

static int put_on_disk(struct writer *writer, const struct group *group, struct err *err) {
    struct file *file = &writer->file;
    bool first = !file->bytes;
    if (write_evidence(writer, &group->evidence, err) || file_append(file, group->text.text, group->text.length, err)) return lose(writer);
    if (first) {
        file->first_seq = writer->written.seq + 1;
        file->first_time_us = group->end.time_us;
    }
    writer->written = group->end;
    writer->tree = group->tree;
    writer->cut_due = false;
    return 0;
}

/* ---- room ---- */

static void refuse(struct pending *first) {
    for (; first; first = first->next) first->refused = first->begins;
}

/* Room for the group, for the outcomes of the batches in flight, for a checkpoint, and for the words with which the daemon
 * pauses or stops. Entries that begin nothing may use what was kept for them. */
static int take_room(struct writer *writer, const struct group *group, struct err *err) {
    struct file *file = &writer->file;
    bool fresh = !file->bytes;
    int64_t first_seq = fresh ? writer->written.seq + 1 : file->first_seq;
    if (file_reserve(file, (int64_t)group->text.length, err)) return -1;
    return group->evidence.length ? evidence_file_reserve(&writer->evidence, first_seq, fresh, group->evidence.length, err) : 0;
}

static int may_begin(struct writer *writer, const struct group *group, struct err *err) {
    if (writer->unsignable) return err_set(err, ERR_UNAVAILABLE, "journal \"%s\": it cannot be signed", writer->file.folder->path);
    return take_room(writer, group, err);
}

static bool begins_something(const struct pending *first) {
    while (first && !first->begins) first = first->next;
    return first != NULL;
}

int writer_append(struct writer *writer, struct pending *first, struct err *refusal, struct err *err) {
    refusal->code = ERR_NONE;
    if (writer->altered) return altered(writer, err);
    if (writer->file.broken && next_segment(writer, err)) return -1;
    __attribute__((cleanup(group_free))) struct group group = {.text = {.text = NULL}};
    make_group(writer, first, &group);
    if (segment_is_full(writer, group.text.length)) {
        if (follow_full(writer, err)) return -1;
        make_group(writer, first, &group);
    }
    if (begins_something(first) && may_begin(writer, &group, refusal)) {
        if (refusal->code != ERR_UNAVAILABLE) {
            *err = *refusal;
            return lose(writer);
        }
        refuse(first);
        make_group(writer, first, &group);
    }
    return group.text.length ? put_on_disk(writer, &group, err) : 0;
}

/* ---- checkpoints ---- */

static const char checkpoint_made[] = "checkpoint.new";

/* The note in a file of another name, on disk. */
static int make_file(const struct file *file, const struct buf *note, struct err *err) {
    (void)journal_calls.unlink(file->folder->fd, checkpoint_made); /* of an earlier try */
    int fd = journal_calls.open(file->folder->fd, checkpoint_made, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, CHECKPOINT_MODE);
    bool done = fd >= 0 && !text_write_all(fd, note->text, note->length, journal_calls.write) && !journal_calls.fsync(fd);
    int result = done ? 0 : err_set_errno(err, errno, "journal \"%s\": cannot renew the file checkpoint", file->folder->path);
    if (fd >= 0) (void)close(fd);
    return result;
}

static int put_in_place(const struct file *file, struct err *err) {
    if (!journal_calls.rename(file->folder->fd, checkpoint_made, SEGMENT_CHECKPOINT) && !journal_calls.fsync(file->folder->fd)) return 0;
    return err_set_errno(err, errno, "journal \"%s\": cannot renew the file checkpoint", file->folder->path);
}

/* Where the disk has no room for a new file, the one that is there is older than it could be: no more. */
static void note_stale(struct writer *writer, bool stale, const struct err *err) {
    if (stale && !writer->stale) log_warning("%s; the one that is there stays until it can be", err->text);
    writer->stale = stale;
}

static int enter_checkpoint(struct writer *writer, const char *root, const char *const *signatures, struct err *err) {
    __attribute__((cleanup(group_free))) struct group group = {.text = {.text = NULL}, .end = writer->written, .tree = writer->tree};
    add_entry(&group, &(struct entry){.event = ENTRY_CHECKPOINT, .origin = writer->origin, .size = writer->tree.size, .root = root,
                                      .signatures = signatures, .n_signatures = writer->signers.count}, time_now_us());
    if (put_on_disk(writer, &group, err)) return -1;
    writer->signed_seq = writer->written.seq;
    return 0;
}

/* The whole note in a line, for who forwards the log: by every key, so that a change of keys can be followed there, too. */
static void tell_checkpoint(const struct writer *writer, const char *root, const char *const *signatures) {
    __attribute__((cleanup(buf_free))) struct buf all = {.text = NULL};
    for (size_t i = 0; i < writer->signers.count; i++) buf_printf(&all, " %s", signatures[i]);
    log_notice("checkpoint %s %" PRId64 " %s%s", writer->origin, writer->tree.size - 1, root, buf_text(&all));
}

/* First the file under another name, then the entry, then the file's own name. A second checkpoint without any file would
 * look as if somebody had taken it away. */
static int place(struct writer *writer, const struct buf *note, const char *root, const char *const *signatures, struct err *err) {
    const struct file *file = &writer->file;
    struct err why;
    bool made = !make_file(file, note, &why);
    if (!made && faccessat(file->folder->fd, SEGMENT_CHECKPOINT, F_OK, AT_SYMLINK_NOFOLLOW)) {
        *err = why;
        return -1;
    }
    if (enter_checkpoint(writer, root, signatures, err)) return -1;
    tell_checkpoint(writer, root, signatures);
    note_stale(writer, !made || put_in_place(file, &why), &why);
    return 0;
}

int writer_checkpoint(struct writer *writer, struct err *err) {
    if (!writer->signers.count) return 0;
    struct err refusal;
    if (writer_append(writer, NULL, &refusal, err) || read_back(writer, err)) return -1;
    struct merkle_hash root = merkle_root(&writer->read_back);
    __attribute__((cleanup(buf_free))) struct buf note = {.text = NULL}, base64 = {.text = NULL};
    base64_add(&base64, root.bytes, sizeof root.bytes);
    note_add_text(&note, writer->origin, writer->read_back.size, &root);
    struct buf lines[SIGNERS_MOST] = {{.text = NULL}};
    const char *signatures[SIGNERS_MOST];
    int result = 0;
    for (size_t i = 0; i < writer->signers.count; i++) {
        result |= signer_sign(writer->signers.items[i], &note, &lines[i], err);
        signatures[i] = buf_text(&lines[i]);
    }
    buf_add_char(&note, '\n');
    for (size_t i = 0; i < writer->signers.count; i++) buf_printf(&note, "%s\n", signatures[i]);
    if (!result) result = place(writer, &note, base64.text, signatures, err);
    for (size_t i = 0; i < writer->signers.count; i++) buf_free(&lines[i]);
    return result;
}

/* On disk, and signed. */
static int declare(struct writer *writer, const struct prune *prune, struct err *err) {
    struct pending entry = {.draft = entry_draft(prune_entry(prune))};
    struct err refusal;
    int result = writer_append(writer, &entry, &refusal, err);
    entry_draft_free(entry.draft);
    if (result || writer_checkpoint(writer, err)) return -1;
    writer->pruned_seq = prune_last_seq(prune);
    return 0;
}

int writer_prune(struct writer *writer, int64_t now_us, struct period keep, struct err *err) {
    if (!keep.count) return 0;
    __attribute__((cleanup(prune_free))) struct prune *prune = prune_find(writer->file.folder->path, keep, now_us, writer->pruned_seq, err);
    if (!prune || (prune_entry(prune) && declare(writer, prune, err))) return -1;
    if (!prune_removes(prune)) return 0;
    if (writer->stale)
        return err_set(err, ERR_IO, "journal \"%s\": old segments stay until the file checkpoint can be renewed", writer->file.folder->path);
    return prune_unlink(prune, writer->file.folder->fd, err);
}

void writer_free(struct writer *writer) {
    file_close(&writer->file);
    evidence_file_close(&writer->evidence);
    signers_free(&writer->signers);
}
