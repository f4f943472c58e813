#include "base/text.h"
#include "base/time.h"
#include "request/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_ANSWER_BYTES = 1 << 20 };

static void free_text(char **text) { free(*text); }

static void close_fd(int *fd) {
    if (*fd >= 0) (void)close(*fd);
}

static int open_folder(const char *state_folder, const char *name, int *ret_fd, struct err *err) {
    __attribute__((cleanup(buf_free))) struct buf path = {0};
    buf_printf(&path, "%s/spool/%s", state_folder, name);
    int fd = open(buf_text(&path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        *ret_fd = fd;
        return 0;
    }
    if (errno == ENOENT)
        return err_set(err, ERR_CONFIG, "there is no spool \"%s\"; lapsed makes it when it starts for the first time", buf_text(&path));
    int failed = err_set_errno(err, errno, "the spool \"%s\" cannot be opened; requests come from root and from members of lapsed's group", buf_text(&path));
    err->code = ERR_REFUSED;
    return failed;
}

/* ---- putting it there ---- */

/* The same request again changes nothing: it waits for its answer already. */
static bool is_same(const char *state_folder, const char *id, const char *text) {
    __attribute__((cleanup(buf_free))) struct buf path = {0};
    __attribute__((cleanup(free_text))) char *bytes = NULL;
    size_t length;
    struct err ignored;
    buf_printf(&path, "%s/spool/new/%s", state_folder, id);
    return !text_read_file(buf_text(&path), MOST_ANSWER_BYTES, &bytes, &length, &ignored) && length == strlen(text) && !memcmp(bytes, text, length);
}

int spool_submit(const char *state_folder, const char *id, const char *text, struct err *err) {
    __attribute__((cleanup(close_fd))) int tmp_fd = -1;
    __attribute__((cleanup(close_fd))) int new_fd = -1;
    __attribute__((cleanup(close_fd))) int fd = -1;
    if (open_folder(state_folder, "tmp", &tmp_fd, err) || open_folder(state_folder, "new", &new_fd, err)) return -1;
    char name[160];
    (void)snprintf(name, sizeof name, "%s.%ld", id, (long)getpid());
    fd = openat(tmp_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0) return err_set_errno(err, errno, "the request cannot be written into \"%s/spool/tmp\"", state_folder);
    /* The daemon has another user: it must be able to read it. */
    bool written = !text_write_all(fd, text, strlen(text), write) && !fchmod(fd, 0644) && !fsync(fd);
    bool moved = written && !renameat2(tmp_fd, name, new_fd, id, RENAME_NOREPLACE);
    if (moved && !fsync(new_fd)) return 0;
    int errno_value = errno;
    if (!moved) (void)unlinkat(tmp_fd, name, 0);
    if (written && !moved && errno_value == EEXIST) {
        if (is_same(state_folder, id, text)) return 0;
        return err_set(err, ERR_REFUSED, "a request \"%s\" is waiting already; choose another --id", id);
    }
    return err_set_errno(err, errno_value, "the request cannot be put into \"%s/spool/new\"", state_folder);
}

/* ---- waiting for the answer ---- */

static bool is_waiting(int new_fd, const char *id) {
    struct stat found;
    return !fstatat(new_fd, id, &found, AT_SYMLINK_NOFOLLOW);
}

/* Until the request is gone from new. */
static void wait_gone(int watch_fd, int new_fd, const char *id, int64_t wait_us) {
    int64_t end_us = time_monotonic_us() + wait_us;
    for (int64_t left_us = wait_us; left_us > 0 && is_waiting(new_fd, id); left_us = end_us - time_monotonic_us()) {
        struct pollfd events = {.fd = watch_fd, .events = POLLIN};
        char ignored[4096];
        if (poll(&events, 1, (int)(left_us / 1000) + 1) > 0 && read(watch_fd, ignored, sizeof ignored) < 0) return;
    }
}

int spool_wait(const char *state_folder, const char *id, int64_t wait_us, struct arena *arena, const char **ret_answer, bool *ret_final,
               struct err *err) {
    __attribute__((cleanup(close_fd))) int new_fd = -1;
    __attribute__((cleanup(close_fd))) int watch_fd = inotify_init1(IN_CLOEXEC);
    __attribute__((cleanup(free_text))) char *bytes = NULL;
    if (open_folder(state_folder, "new", &new_fd, err)) return -1;
    const char *folder = arena_printf(arena, "%s/spool/new", state_folder);
    if (watch_fd < 0 || inotify_add_watch(watch_fd, folder, IN_DELETE | IN_MOVED_FROM) < 0)
        return err_set_errno(err, errno, "the spool \"%s\" cannot be watched", folder);
    wait_gone(watch_fd, new_fd, id, wait_us);
    *ret_final = !is_waiting(new_fd, id);
    *ret_answer = NULL;
    size_t length;
    struct err none;
    if (!text_read_file(arena_printf(arena, "%s/spool/done/%s", state_folder, id), MOST_ANSWER_BYTES, &bytes, &length, &none))
        *ret_answer = arena_strdup(arena, bytes);
    return 0;
}
