#include "journal/folder.h"

#include "base/text.h"
#include "journal/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int lock_held(const struct folder *folder, struct err *err) {
    char pid[24] = "";
    ssize_t got = pread(folder->lock_fd, pid, sizeof pid - 1, 0);
    pid[got > 0 ? got : 0] = '\0';
    pid[strspn(pid, "0123456789")] = '\0';
    return err_set(err, ERR_CONFIG, "journal \"%s\" is in use by process %s; a journal has one daemon: stop that one, or give this one a folder of its own",
                   folder->path, pid[0] ? pid : "(unknown)");
}

static int write_pid(const struct folder *folder, struct err *err) {
    char pid[24];
    int length = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(folder->lock_fd, 0) || pwrite(folder->lock_fd, pid, (size_t)length, 0) != length)
        return err_set_errno(err, errno, "journal \"%s\": cannot write the lock file", folder->path);
    return 0;
}

/* The folder is locked as well as the file in it: who removes that file does not make room for a second daemon. */
static int take_lock(const struct folder *folder, struct err *err) {
    if (!flock(folder->fd, LOCK_EX | LOCK_NB) && !flock(folder->lock_fd, LOCK_EX | LOCK_NB)) return 0;
    return errno == EWOULDBLOCK ? lock_held(folder, err) : err_set_errno(err, errno, "journal \"%s\": cannot take the lock", folder->path);
}

static int open_all(struct folder *folder, struct err *err) {
    if (mkdir(folder->path, 0750) && errno != EEXIST) return err_set_errno(err, errno, "journal folder \"%s\" cannot be made", folder->path);
    folder->fd = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder->fd < 0) return err_set_errno(err, errno, "journal folder \"%s\" cannot be opened", folder->path);
    folder->lock_fd = openat(folder->fd, SEGMENT_LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (folder->lock_fd < 0) return err_set_errno(err, errno, "journal \"%s\": cannot open the lock file", folder->path);
    if (take_lock(folder, err) || write_pid(folder, err)) return -1;
    if (!file_id_of(folder->fd, &folder->id) && !file_id_of(folder->lock_fd, &folder->lock_id)) return 0;
    return err_set_errno(err, errno, "journal folder \"%s\" cannot be examined", folder->path);
}

int folder_open(const char *path, struct folder *ret_folder, struct err *err) {
    struct folder folder = {.path = xstrdup(path), .fd = -1, .lock_fd = -1};
    if (open_all(&folder, err)) {
        folder_close(&folder);
        return -1;
    }
    *ret_folder = folder;
    return 0;
}

int folder_check(const struct folder *folder, struct err *err) {
    int64_t size;
    if (file_id_check_folder(&folder->id, folder->fd, folder->path, err)) return -1;
    return file_id_check(&folder->lock_id, folder->lock_fd, folder->path, folder->fd, SEGMENT_LOCK, &size, err);
}

void folder_close(struct folder *folder) {
    if (folder->lock_fd >= 0) (void)close(folder->lock_fd);
    if (folder->fd >= 0) (void)close(folder->fd);
    free(folder->path);
    *folder = (struct folder){.fd = -1, .lock_fd = -1};
}
