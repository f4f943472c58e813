/* A folder of a test's own, below TMPDIR or where the system has such folders. */
#ifndef LAPSED_TESTS_TEMPORARY_H
#define LAPSED_TESTS_TEMPORARY_H

#include <paths.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { TEMPORARY_ROOM = 64 };

static inline bool temporary_folder_in(const char *parent, char ret_folder[TEMPORARY_ROOM]) {
    int length = snprintf(ret_folder, TEMPORARY_ROOM, "%s/lapsed-test-XXXXXX", parent);
    return length > 0 && length < TEMPORARY_ROOM && mkdtemp(ret_folder);
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
