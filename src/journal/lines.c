#include "journal/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER_BYTES = 256 << 10, WAIT_STEPS = 50, WAIT_STEP_NS = 20 * 1000 * 1000 };

struct lines lines_of(int fd, bool wait) { return (struct lines){.fd = fd, .wait = wait, .buffer = xmalloc(BUFFER_BYTES)}; }

void lines_free(struct lines *lines) {
    free(lines->buffer);
    lines->buffer = NULL;
}

/* Reads more behind what there is; 0 at the end of the file. */
static ssize_t read_more(struct lines *lines, struct err *err) {
    if (lines->start && lines->end == BUFFER_BYTES) {
        memmove(lines->buffer, lines->buffer + lines->start, lines->end - lines->start);
        lines->end -= lines->start;
        lines->start = 0;
    }
    ssize_t got;
    do got = read(lines->fd, lines->buffer + lines->end, BUFFER_BYTES - lines->end);
    while (got < 0 && errno == EINTR);
    if (got < 0) return err_set_errno(err, errno, "reading failed");
    lines->end += (size_t)got;
    return got;
}

static ssize_t read_or_wait(struct lines *lines, struct err *err) {
    ssize_t got = read_more(lines, err);
    for (int step = 0; lines->wait && got == 0 && lines->end > lines->start && step < WAIT_STEPS; step++) {
        (void)nanosleep(&(struct timespec){.tv_nsec = WAIT_STEP_NS}, NULL);
        got = read_more(lines, err);
    }
    return got;
}

/* The rest of a line that does not fit into the buffer is of no use to anyone: it is too long to be an entry. */
static int skip_rest(struct lines *lines, struct line *line, struct err *err) {
    int64_t whole = BUFFER_BYTES;
    for (;;) {
        lines->end = ENTRY_MOST_BYTES;
        ssize_t got = read_more(lines, err);
        if (got < 0) return -1;
        const char *from = lines->buffer + ENTRY_MOST_BYTES;
        const char *feed = got ? memchr(from, '\n', (size_t)got) : NULL;
        line->ended = feed != NULL;
        lines->start = feed ? (size_t)(feed - lines->buffer) + 1 : lines->end;
        whole += feed ? feed + 1 - from : got;
        if (!feed && got) continue;
        lines->offset += whole;
        return 1;
    }
}

int lines_next(struct lines *lines, struct line *ret_line, struct err *err) {
    size_t searched = 0;
    for (;;) {
        char *from = lines->buffer + lines->start;
        size_t have = lines->end - lines->start;
        const char *feed = memchr(from + searched, '\n', have - searched);
        struct line line = {.text = from, .length = feed ? (size_t)(feed - from) : have, .offset = lines->offset, .ended = feed};
        bool full = !feed && have == BUFFER_BYTES;
        searched = have;
        ssize_t got = feed || full ? 1 : read_or_wait(lines, err);
        if (got < 0) return -1;
        if (got && !feed && !full) continue;
        if (!have) return 0;
        line.number = ++lines->number;
        if (full) {
            line.length = ENTRY_MOST_BYTES;
            if (skip_rest(lines, &line, err) < 0) return -1;
        } else {
            lines->start += line.length + (feed != NULL);
            lines->offset += (int64_t)(line.length + (feed != NULL));
        }
        *ret_line = line;
        return 1;
    }
}
