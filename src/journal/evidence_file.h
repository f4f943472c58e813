/* The leaves of evidence on disk: beside each segment of the journal that has intents with evidence a file
 * evidence-<the segment's first seq, 12 digits>. A batch in it is a title, "intent SEQ LEAVES" with as many spaces behind it as
 * make 32 bytes with the line feed at the end, and then its leaves as they are, of 32 bytes each: so a title can be looked for
 * at every multiple of 32, whatever stands between (no leaf looks like one but by a chance of less than 1 in 2^100).
 * They are put on disk before the lines of the journal that they belong to. So the file may hold batches whose intent never
 * was entered (a crash or a fault came between): batches count only where the intent of that seq, in that segment, has
 * their root as its evidence. */
#ifndef LAPSED_JOURNAL_EVIDENCE_FILE_H
#define LAPSED_JOURNAL_EVIDENCE_FILE_H

#include "base/text.h"
#include "journal/folder.h"
#include "journal/merkle.h"

#include <stdio.h>

struct evidence_name { char text[40]; };
struct evidence_name evidence_file_name(int64_t first_seq);
int64_t evidence_file_seq(const char *file); /* the first seq in its name; 0: it is another file */

/* Of a title, and of a leaf. */
enum { EVIDENCE_UNIT = SHA256_BYTES };

/* To read; no regular file is an error. NULL: errno is ENOENT where there is none. */
FILE *evidence_file_read(const char *path, struct err *err) MUST_CHECK;

/* The title and the leaves of one batch. */
void evidence_units(struct buf *to, int64_t seq, const struct merkle_hash *leaves, size_t n_leaves);
/* Whether this is a title as evidence_units writes it, and in no other way. */
bool evidence_read_title(const unsigned char unit[EVIDENCE_UNIT], int64_t *ret_seq, size_t *ret_leaves);

/* The writer's: the file that belongs to the open segment. */
struct evidence_file {
    const struct folder *folder;
    int fd;            /* -1: none is open */
    struct file_id id;
    int64_t first_seq; /* of its segment */
    int64_t bytes;     /* on disk for certain */
    int64_t room_end;  /* as far as it has room for certain */
};

struct evidence_file evidence_file_in(const struct folder *folder);
/* Opens the segment's file and takes room in it. fresh: the segment is empty still, so that whatever has the file's name
 * never counted and is replaced. ERR_UNAVAILABLE: the disk has no room. After another error the caller closes the file and
 * goes on in a new segment. */
int evidence_file_reserve(struct evidence_file *file, int64_t first_seq, bool fresh, size_t length, struct err *err) MUST_CHECK;
/* One write and one fdatasync, in the file that room was taken in. After an error likewise. */
int evidence_file_append(struct evidence_file *file, const struct buf *units, struct err *err) MUST_CHECK;
/* Whether the file that is open, if one is, still is the one that was written. */
int evidence_file_check(const struct evidence_file *file, struct err *err) MUST_CHECK;
void evidence_file_close(struct evidence_file *file);

#endif
