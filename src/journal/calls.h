/* The system calls by which the journal changes files. They go through this table, so that a test can make each of them
 * fail or count it; nothing else ever changes it. */
#ifndef LAPSED_JOURNAL_CALLS_H
#define LAPSED_JOURNAL_CALLS_H

#include <sys/types.h>

struct journal_calls {
    int (*open)(int folder, const char *name, int flags, mode_t mode);
    ssize_t (*write)(int fd, const void *bytes, size_t length);
    ssize_t (*pwrite)(int fd, const void *bytes, size_t length, off_t offset);
    int (*fdatasync)(int fd);
    int (*fsync)(int fd);
    int (*ftruncate)(int fd, off_t length);
    int (*fallocate)(int fd, off_t offset, off_t length); /* without making the file longer */
    int (*fchmod)(int fd, mode_t mode);
    int (*link)(int folder, const char *from, const char *to);
    int (*rename)(int folder, const char *from, const char *to);
    int (*unlink)(int folder, const char *name);
};

extern struct journal_calls journal_calls;

#endif
