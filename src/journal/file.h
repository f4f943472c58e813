/* The open segment as the writer has it: how much of it is on disk for certain, and how it is closed and followed by the
 * next one. journal.jsonl exists at every moment: closing gives the file its second name by a link, and the next open
 * segment then takes the first name by a rename. So a missing journal.jsonl always means that somebody took it away. */
#ifndef LAPSED_JOURNAL_FILE_H
#define LAPSED_JOURNAL_FILE_H

#include "journal/chain.h"
#include "journal/folder.h"

struct file {
    const struct folder *folder;
    int fd;
    struct file_id id;
    int64_t bytes;      /* on disk for certain; what stands behind them counts for nothing */
    int64_t first_seq, first_time_us; /* of its first entry; 0 while it is empty */
    int64_t kept;       /* so much room is kept behind what is written; 0: none */
    int64_t room_end;   /* as far as the file has room for certain */
    bool closing; /* it has its closed name beside the open one */
    bool broken; /* a call on it failed: nothing is written to it any more */
};

/* Bytes that were cut off a segment. */
struct cut {
    int64_t bytes;
    struct hash_text sha256;
    char name[64]; /* where they are kept in the folder; "" if they could not be kept */
};

/* Opens the open segment, or makes it where there is none, and puts on disk the names that a run which was killed may have
 * given, taken or made without getting so far. */
int file_open(struct file *file, const struct folder *folder, bool create, struct err *err) MUST_CHECK;
/* At start: writes the certain bytes from `offset` on once more, in place, and syncs them. After a sync that failed the
 * system takes what it has of them in memory for what is on disk, and no later sync would say that it is not. */
int file_write_again(const struct file *file, int64_t offset, struct err *err) MUST_CHECK;
/* Whether folder and file still are those that we write to, and nothing of what is on disk was taken away. */
int file_check(const struct file *file, struct err *err) MUST_CHECK;
/* Room for a group of that length, and for what is kept behind it. ERR_UNAVAILABLE: there is none; nothing is broken. */
int file_reserve(struct file *file, int64_t length, struct err *err) MUST_CHECK;
/* One write and one fdatasync. After an error the file is broken: nothing of `text` counts as written. */
int file_append(struct file *file, const char *text, size_t length, struct err *err) MUST_CHECK;
/* Copies what stands behind the certain bytes into torn-<seq>-<8 hex>. ret_cut is filled even where that fails. */
int file_keep_aside(struct file *file, int64_t seq, struct cut *ret_cut, struct err *err) MUST_CHECK;
/* Takes a file that holds what was kept aside for one that was cut off. */
int file_read_cut(const struct folder *folder, const char *name, struct cut *ret_cut, struct err *err) MUST_CHECK;
/* Cuts the file back to its certain bytes, at start. */
int file_cut(struct file *file, struct err *err) MUST_CHECK;
/* Closes the segment (a broken one is cut first) and begins the next, empty one, which has its kept room from the beginning
 * (that of a broken one only where there is room). On an error it can be tried again; if the file is not broken then, it can
 * also be written to as before. */
int file_next(struct file *file, struct err *err) MUST_CHECK;
void file_close(struct file *file);

#endif
