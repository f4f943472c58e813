/* The lines of a file, one after the other, in bounded memory. */
#ifndef LAPSED_JOURNAL_LINES_H
#define LAPSED_JOURNAL_LINES_H

#include "base/err.h"
#include "journal/entry.h"

struct lines {
    int fd;
    bool wait;      /* bytes without a line feed at the end may still be being written: give them a second */
    char *buffer;
    size_t start, end; /* of what is read and not yet handed out */
    int64_t offset; /* of buffer[start] in the file */
    int64_t number; /* of the line handed out last, from 1 */
};

struct line {
    const char *text; /* without the line feed; until the next call. At most ENTRY_MOST_BYTES of a longer line */
    size_t length;
    int64_t number, offset;
    bool ended; /* with a line feed */
};

/* fd stays the caller's. */
struct lines lines_of(int fd, bool wait);
void lines_free(struct lines *lines);
/* 1: a line, 0: the end, -1: err. */
int lines_next(struct lines *lines, struct line *ret_line, struct err *err) MUST_CHECK;

#endif
