/* Which file a descriptor stands for, so that it is noticed when its name comes to stand for another one, or when somebody
 * gives it a second name, another owner or other permissions while the daemon writes to it. */
#ifndef LAPSED_JOURNAL_FILE_ID_H
#define LAPSED_JOURNAL_FILE_ID_H

#include "base/err.h"

#include <stdint.h>
#include <sys/types.h>

struct file_id {
    dev_t dev;
    ino_t ino;
    mode_t mode;
    uid_t owner;
    gid_t group;
    nlink_t links;
};

/* 0, or -1 with errno. */
int file_id_of(int fd, struct file_id *ret_id) MUST_CHECK;
/* Whether the descriptor and `name` in the folder both still are the file that it was (ERR_IO, with what to do). */
int file_id_check(const struct file_id *id, int fd, const char *folder, int folder_fd, const char *name, int64_t *ret_size,
                  struct err *err) MUST_CHECK;
/* The same for the folder itself and its path; of a folder the number of links does not count. */
int file_id_check_folder(const struct file_id *id, int folder_fd, const char *folder, struct err *err) MUST_CHECK;

#endif
