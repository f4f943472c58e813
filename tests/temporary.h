/* A folder of a test's own, below TMPDIR or where the system has such folders. */
#ifndef LAPSED_TESTS_TEMPORARY_H
#define LAPSED_TESTS_TEMPORARY_H

#include <errno.h>
#include <paths.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEMPORARY_ROOM = 64 };

/* By process and number: what an earlier process of that number has left is stepped over. */
static inline bool temporary_folder_in(const char *parent, char ret_folder[TEMPORARY_ROOM]) {
    for (int number = 1; number < 10000; number++) {
        int length = snprintf(ret_folder, TEMPORARY_ROOM, "%s/lapsed-test-%ld-%d", parent, (long)getpid(), number);
        if (length < 0 || length >= TEMPORARY_ROOM) return false;
        if (!mkdir(ret_folder, 0700)) return true;
        if (errno != EEXIST) return false;
    }
    return false;
}

/* Makes it; false: it cannot be made. */
static inline bool temporary_folder(char ret_folder[TEMPORARY_ROOM]) {
    const char *parent = getenv("TMPDIR");
    return temporary_folder_in(parent && *parent ? parent : P_tmpdir, ret_folder);
}

/* The same in memory where that is: for what waits for thousands of fsyncs. */
static inline bool temporary_folder_in_memory(char ret_folder[TEMPORARY_ROOM]) {
    static const char memory[] = _PATH_DEV "shm";
    return access(memory, W_OK) ? temporary_folder(ret_folder) : temporary_folder_in(memory, ret_folder);
}

#endif
