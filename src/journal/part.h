/* One segment of a journal by itself: its lines, its chain and its tree from what its first entry says stood before it.
 * Whether it continues the segment before is for journal_scan to say. */
#ifndef LAPSED_JOURNAL_PART_H
#define LAPSED_JOURNAL_PART_H

#include "journal/scan.h"
#include "journal/segment.h"

#include <stdatomic.h>

/* So many faults are kept, and the place of one more; the others are counted. */
enum { PART_MOST_FAULTS = 1000 };

struct part_fault {
    struct scan_place place;
    int64_t seq;
    char *text;
};

/* Entries that a prune entry declares removed. */
struct part_removed {
    int64_t first_seq, last_seq;
    struct merkle_hash root; /* of the tree up to last_seq */
    int64_t by_seq; /* of that entry */
};

struct part {
    const struct scan_visitor *visitor;
    const struct segment *segment;
    bool open; /* the open segment */

    struct position start;         /* what stands before it, as its first entry says */
    struct merkle_tree start_tree;
    bool start_known;
    char origin[NOTE_MOST_NAME];

    struct position at;            /* of the last line, by what it says of itself */
    bool hash_known, tree_known;   /* they are what the next line must build on */
    struct position good;          /* of the last entry before the first fault */
    struct merkle_tree tree;       /* up to there */
    int64_t good_bytes;

    struct part_fault *faults;
    size_t n_faults; /* all of them */
    /* What stands in it from the first fault on, and whether a write that never got to the disk whole can leave that. */
    bool after_damage;             /* the last line was no entry */
    bool whole_after_fault;        /* a whole line */
    bool altered;                  /* what no such write leaves */
    int64_t lost_bytes;            /* in lines that are no entry: those that no line has */
    int64_t instant_us;            /* of the whole lines: all of one group have the same; 0: none yet */
    bool fault_of_file;            /* a fault that is not one of a line */

    struct part_removed *removed;
    size_t n_removed;
    bool reached[SCAN_MOST_POINTS];
    bool same[SCAN_MOST_POINTS];

    int64_t entries, bytes, clock_back, first_seq, first_time_us;
    int64_t checkpoints, signed_size, signed_seq, signed_time_us, foreign_checkpoints;
    struct merkle_hash signed_root;
    atomic_llong *progress; /* bytes of all segments so far */
};

/* `expected`: what stands before the segment where its first line does not tell. Fails only when the file cannot be read. */
int part_scan(struct part *part, const char *folder, const struct position *expected, struct err *err) MUST_CHECK;
void part_fault(struct part *part, struct scan_place place, const char *format, ...) PRINTF_LIKE(3, 4);
/* The faults to tell: the last one stands for all that were not kept. */
size_t part_told(const struct part *part);
/* Where it has faults: whether they are those of a write that never got to the disk whole. */
bool part_is_torn(const struct part *part);
void part_free(struct part *part);

#endif
