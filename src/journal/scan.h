/* Goes through a whole journal from its first line to its last, checks the chain, the tree and the checkpoints, and tells a
 * visitor what it meets: every line that is an entry, and every fault. Bounded memory; works on a live journal.
 * Verification, recovery at start and whoever reads the journal all see it through this one function. */
#ifndef LAPSED_JOURNAL_SCAN_H
#define LAPSED_JOURNAL_SCAN_H

#include "journal/chain.h"
#include "journal/merkle.h"
#include "journal/note.h"
#include "journal/reader.h"

struct scan_place {
    const char *file; /* its name in the folder */
    int64_t line;     /* from 1; 0: the file as a whole */
    int64_t byte;     /* the line's offset in the file, from 0 */
};

struct scan_entry {
    struct entry_line line;
    const char *bytes; /* the line without its line feed */
    size_t length;
    struct scan_place place;
    bool good; /* in its place in the chain, with no fault before it in its segment */
};

struct scan_fault {
    struct scan_place place;
    int64_t seq;       /* the number that belongs there */
    const char *text;
};

enum { SCAN_MOST_POINTS = 8 };

/* A tree that somebody knows of: whether the journal begins with it. */
struct scan_point {
    int64_t size;
    struct merkle_hash root;
};

enum scan_point_verdict {
    POINT_BEYOND, /* the journal is shorter */
    POINT_GONE,   /* of a time before what is left of the journal */
    POINT_SAME,
    POINT_OTHER,  /* the journal had another tree then */
};

struct scan_visitor {
    void *context;
    const struct note_keys *keys;    /* whose signatures count; NULL: none */
    const struct scan_point *points;
    size_t n_points;
    unsigned threads; /* how many segments at a time, where there is no `entry` to call; 0: one */
    /* Called after each so many bytes, by one thread at a time; may be NULL. */
    void (*progress)(void *context, int64_t bytes, int64_t of);
    bool wait; /* bytes without a line feed at the end may still be being written: give them a second */
    /* Either may be NULL. What they get lives until they return. */
    void (*entry)(void *context, const struct scan_entry *entry);
    void (*fault)(void *context, const struct scan_fault *fault);
};

struct scan_result {
    struct merkle_tree tree;  /* of all entries up to `last` */
    char origin[NOTE_MOST_NAME]; /* of the log; "" if no segment tells it */
    int64_t pruned_by;        /* the prune entry that accounts for what is missing at the beginning; 0: nothing is. The writer
                               * removes nothing before that entry is signed: where it is not, somebody else did */
    int64_t checkpoints;      /* entries with a signature that counts, */
    int64_t signed_size;      /* the last of them covers so many entries, */
    int64_t signed_seq;       /* has this number, */
    int64_t signed_time_us;   /* and the last entry that it covers is of this instant */
    struct merkle_hash signed_root;
    int64_t foreign_checkpoints; /* entries that none of the keys signed */
    enum scan_point_verdict points[SCAN_MOST_POINTS];
    int64_t entries, faults;  /* lines that are entries, good or not; faults of any kind */
    int64_t segments, bytes;
    int64_t clock_back;       /* entries whose time lies before that of the entry before them: no fault, the clock was set */
    int64_t first_seq, first_time_us; /* of the first entry there is; behind a pruning it is not 1 */
    struct position last;     /* the last good entry before the first fault */
    char first_fault[600];    /* "FILE line N byte N: …", "" if there is none */
    bool has_open;
    int64_t open_first_seq;   /* of the open segment's first entry, and its time; 0: it is empty */
    int64_t open_time_us;
    int64_t open_good_bytes;  /* the open segment up to its first fault */
    /* Nothing is wrong but the open segment's tail, and that as a group that was being written when the power went can be:
     * torn, not altered. */
    bool torn_tail;
};

/* Returns -1 only when the folder or a file could not be read. A folder without a journal gives segments = 0. */
int journal_scan(const char *folder, const struct scan_visitor *visitor, struct scan_result *ret_result, struct err *err) MUST_CHECK;

#endif
