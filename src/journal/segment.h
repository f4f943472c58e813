/* The files of a journal's folder:
 *   journal.jsonl                    the open segment; there is always one
 *   journal-<first seq, 12 digits>.jsonl   closed ones, mode 0440
 *   journal.next                     the next open segment while it is being made: empty
 *   torn-<first seq>-<8 hex>         bytes that were cut off a segment because they were no entries
 *   evidence-<first seq>             the leaves of that segment's intents (evidence_file.h)
 *   checkpoint                       the newest checkpoint, a signed note
 *   lock                             held by the daemon, with its process id
 * Other files whose names begin with "journal" and end with ".jsonl" are strays: who reads the journal with "cat
 * journal*.jsonl", as lapsed-journal(5) does, would take their lines for entries. */
#ifndef LAPSED_JOURNAL_SEGMENT_H
#define LAPSED_JOURNAL_SEGMENT_H

#include "base/arena.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEGMENT_OPEN "journal.jsonl"
#define SEGMENT_NEXT "journal.next"
#define SEGMENT_LOCK "lock"
#define SEGMENT_CHECKPOINT "checkpoint"

struct segment_name { char text[48]; };
struct segment_name segment_closed_name(int64_t first_seq);

struct segment {
    int64_t first_seq; /* as its name says; 0 for the open one */
    const char *name;
    int fd;   /* of the open one; else -1 */
    int held; /* of a closed one, by segments_hold; else -1 */
};

/* The segments in their order, the open one last and open as a file already, so that a daemon that closes it meanwhile
 * takes nothing away. Closed ones have fd -1. */
struct segments {
    struct segment *items;
    size_t count;
    bool open_missing; /* there are closed segments but no open one */
    const char **strays; /* the names of the first SEGMENT_MOST_STRAYS that were met */
    size_t n_strays;
};

enum { SEGMENT_MOST_STRAYS = 1000 };

int segments_list(const char *folder, struct arena *arena, struct segments *ret_segments, struct err *err) MUST_CHECK;
/* The same, with the oldest 256 closed segments opened too, so that a daemon which removes them meanwhile
 * takes nothing away from who reads them: it removes the oldest first. */
int segments_hold(const char *folder, struct arena *arena, struct segments *ret_segments, struct err *err) MUST_CHECK;
void segments_close(struct segments *segments);

/* The newest closed segment where that is the same file as this one, else NULL: a crash interrupted its closing. */
int segments_twin(const char *folder, struct arena *arena, int fd, const char **ret_name, struct err *err) MUST_CHECK;

#endif
