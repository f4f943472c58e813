/* What the writer thread does with the files: puts groups of entries on disk, closes segments, signs checkpoints, and
 * removes segments that are past the journal's own period. One thread at a time. */
#ifndef LAPSED_JOURNAL_WRITER_H
#define LAPSED_JOURNAL_WRITER_H

#include "journal/evidence_file.h"
#include "journal/file.h"
#include "journal/journal.h"

/* An entry that waits to be numbered and written. */
struct pending {
    struct pending *next;
    struct draft *draft;
    int64_t time_us; /* 0: when it is written */
    struct merkle_hash *leaves; /* an intent's evidence; on disk before its line is */
    size_t n_leaves;
    bool begins; /* an intent: something has to follow it */
    bool refused; /* there is no room for what has to follow: it is not written, the others of its group are */
    struct journal_ticket *ticket; /* may be NULL */
    int64_t seq; /* once it is written */
};

struct writer {
    int64_t segment_bytes, segment_age_us;
    struct signers signers;
    char origin[NOTE_MOST_NAME]; /* of the log: its first segment says it for good */
    struct file file;
    struct evidence_file evidence;
    struct position written;  /* the last entry that is on disk */
    struct merkle_tree tree;  /* of all entries on disk */
    /* The same tree once more, from bytes read back from the files: only what was read back is signed. */
    struct merkle_tree read_back;
    int64_t read_back_bytes;  /* of the open segment */
    bool unsignable;          /* the last checkpoint failed, its owner says: nothing is begun */
    bool altered;             /* the two differ: nothing is written any more */
    struct cut cut;           /* what the last failure left behind */
    bool cut_due;             /* it is not entered yet: a recover entry goes first */
    int64_t signed_seq;       /* the last checkpoint entry, 0: none yet */
    int64_t pruned_seq;       /* entries up to here were declared removed, by an entry that is signed */
    bool overlong;            /* the segment is full, but no next one can be begun: said already */
    bool stale;               /* the file `checkpoint` could not be replaced: said already */
};

/* Puts the entries on disk, in a new segment where that is due. Where the disk has no room for what has to follow them,
 * or they could not be signed, intents are refused (*refusal says why; ERR_NONE: none was). On an error none of them counts, and the next call begins a new segment.
 * NULL: only what is overdue from the last error. */
int writer_append(struct writer *writer, struct pending *first, struct err *refusal, struct err *err) MUST_CHECK;
/* Signs everything on disk: reads back, enters the checkpoint, replaces the file `checkpoint`. No signers: does nothing. */
int writer_checkpoint(struct writer *writer, struct err *err) MUST_CHECK;
/* Removes closed segments whose last entry is older than `keep` at this instant, after an entry that is signed. */
int writer_prune(struct writer *writer, int64_t now_us, struct period keep, struct err *err) MUST_CHECK;
void writer_free(struct writer *writer);

#endif
