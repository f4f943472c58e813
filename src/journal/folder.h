/* The journal's folder while a daemon has it: alone, and still the same one. */
#ifndef LAPSED_JOURNAL_FOLDER_H
#define LAPSED_JOURNAL_FOLDER_H

#include "journal/file_id.h"

struct folder {
    char *path; /* malloc'ed */
    int fd, lock_fd;
    struct file_id id, lock_id;
};

/* Makes the folder (0750) where its parent exists, and takes its lock; ERR_CONFIG names the process that holds it. */
int folder_open(const char *path, struct folder *ret_folder, struct err *err) MUST_CHECK;
/* Whether the path still leads to it, and nobody changed it or took the lock file away. */
int folder_check(const struct folder *folder, struct err *err) MUST_CHECK;
void folder_close(struct folder *folder); /* lets the lock go */

#endif
