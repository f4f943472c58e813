#include "request/spool.h"

#include "base/text.h"
#include "base/time.h"
#include "journal/sha256.h"
#include "request/request.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TIDY_DAYS = 30 };

struct spool {
    char *folder;
    int new_fd, tmp_fd, done_fd;
    int watch_fd;
};

static void close_fd(int fd) {
    if (fd >= 0) (void)close(fd);
}

/* ---- folders ---- */

static int open_folder(const struct spool *spool, const char *name, mode_t mode, int *ret_fd, struct err *err) {
    __attribute__((cleanup(buf_free))) struct buf path = {0};
    buf_printf(&path, "%s/%s", spool->folder, name);
    bool made = !mkdir(buf_text(&path), mode);
    if (!made && errno != EEXIST) return err_set_errno(err, errno, "cannot make the folder \"%s\"", buf_text(&path));
    int fd = open(buf_text(&path), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return err_set_errno(err, errno, "cannot open the folder \"%s\"", buf_text(&path));
    /* The mode of mkdir is cut by the umask; and one that was there before may let others at what is not theirs. */
    struct stat found;
    int failed = fstat(fd, &found) ? err_set_errno(err, errno, "cannot look at the folder \"%s\"", buf_text(&path)) : 0;
    if (!failed && found.st_uid != geteuid())
        failed = err_set(err, ERR_CONFIG, "the folder \"%s\" belongs to user %ld; whoever owns it could put requests there in other people's names: give it to lapsed's user",
                         buf_text(&path), (long)found.st_uid);
    if (!failed && (found.st_mode & 07777) != mode && fchmod(fd, mode)) failed = err_set_errno(err, errno, "cannot set the mode of \"%s\"", buf_text(&path));
    if (failed) {
        (void)close(fd);
        return failed;
    }
    *ret_fd = fd;
    return 0;
}

static int make_parent(const char *folder, struct err *err) {
    if (!mkdir(folder, 0750) || errno == EEXIST) return 0;
    return err_set_errno(err, errno, "cannot make the folder \"%s\"", folder);
}

static int watch_folder(const struct spool *spool) {
    __attribute__((cleanup(buf_free))) struct buf path = {0};
    buf_printf(&path, "%s/new", spool->folder);
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd >= 0 && inotify_add_watch(fd, buf_text(&path), IN_MOVED_TO | IN_CLOSE_WRITE) < 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

int spool_open(const char *state_folder, struct spool **ret_spool, struct err *err) {
    __attribute__((cleanup(buf_free))) struct buf folder = {0};
    buf_printf(&folder, "%s/spool", state_folder);
    if (make_parent(buf_text(&folder), err)) return -1;
    struct spool *spool = xcalloc(1, sizeof *spool);
    *spool = (struct spool){.folder = xstrdup(buf_text(&folder)), .new_fd = -1, .tmp_fd = -1, .done_fd = -1, .watch_fd = -1};
    if (open_folder(spool, "tmp", 01770, &spool->tmp_fd, err) || open_folder(spool, "new", 01770, &spool->new_fd, err) ||
        open_folder(spool, "done", 0750, &spool->done_fd, err)) {
        spool_close(spool);
        return -1;
    }
    spool->watch_fd = watch_folder(spool);
    *ret_spool = spool;
    return 0;
}

void spool_close(struct spool *spool) {
    if (!spool) return;
    close_fd(spool->new_fd);
    close_fd(spool->tmp_fd);
    close_fd(spool->done_fd);
    close_fd(spool->watch_fd);
    free(spool->folder);
    free(spool);
}

int spool_watch(const struct spool *spool) { return spool->watch_fd; }

void spool_drain(const struct spool *spool) {
    char events[4096];
    while (read(spool->watch_fd, events, sizeof events) > 0) continue;
}

/* ---- listing and reading ---- */

static void close_dir(DIR **dir) {
    if (*dir) (void)closedir(*dir);
}

static DIR *open_dir(int fd) {
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir) close_fd(copy);
    return dir;
}

struct arrived {
    const char *name;
    struct timespec at; /* the kernel's: when it came into the folder, or was changed there */
    bool folder;
};

/* Folders behind the files: a full one cannot be removed, and many of them would hide what came later. */
static int by_arrival(const void *a, const void *b) {
    const struct arrived *x = a, *y = b;
    if (x->folder != y->folder) return x->folder ? 1 : -1;
    if (x->at.tv_sec != y->at.tv_sec) return x->at.tv_sec < y->at.tv_sec ? -1 : 1;
    if (x->at.tv_nsec != y->at.tv_nsec) return x->at.tv_nsec < y->at.tv_nsec ? -1 : 1;
    return strcmp(x->name, y->name);
}

int spool_list(const struct spool *spool, struct arena *arena, size_t most, const char *const **ret_names, size_t *ret_count, struct err *err) {
    __attribute__((cleanup(close_dir))) DIR *dir = open_dir(spool->new_fd);
    if (!dir) return err_set_errno(err, errno, "the spool \"%s/new\" cannot be read", spool->folder);
    struct arrived *all = NULL;
    size_t count = 0;
    struct stat found;
    for (const struct dirent *entry; (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && !fstatat(spool->new_fd, entry->d_name, &found, AT_SYMLINK_NOFOLLOW))
            *ARENA_APPEND(arena, all, count) = (struct arrived){.name = arena_strdup(arena, entry->d_name), .at = found.st_ctim, .folder = S_ISDIR(found.st_mode)};
    if (count) qsort(all, count, sizeof *all, by_arrival);
    if (count > most) count = most;
    const char **names = ARENA_ARRAY(arena, const char *, count);
    for (size_t i = 0; i < count; i++) names[i] = all[i].name;
    *ret_names = names;
    *ret_count = count;
    return 0;
}

/* What its owner writes behind this size meanwhile is not read, and not digested. */
static bool take_bytes(int fd, size_t size, struct arena *arena, struct spool_item *item) {
    char *bytes = arena_alloc(arena, size + 1);
    size_t length = 0;
    for (ssize_t got; length < size; length += (size_t)got) {
        got = read(fd, bytes + length, size - length);
        if (got < 0) return false;
        if (!got) break;
    }
    item->bytes = bytes;
    item->length = length;
    return true;
}

static void digest(struct spool_item *item) {
    struct sha256 sha256;
    unsigned char bytes[SHA256_BYTES];
    sha256_start(&sha256);
    sha256_add(&sha256, item->bytes, item->length);
    sha256_end(&sha256, bytes);
    text_hex(item->sha256, bytes);
}

/* What is open is what is judged: its name may stand for another file by now. */
static const char *read_open(int fd, struct arena *arena, struct spool_item *item) {
    struct stat found;
    if (fstat(fd, &found)) return "unreadable";
    item->author = found.st_uid;
    if (!S_ISREG(found.st_mode) || found.st_nlink != 1) return "file";
    if (found.st_size > REQUEST_MOST_BYTES) return "size";
    if (!take_bytes(fd, (size_t)found.st_size, arena, item)) return "unreadable";
    digest(item);
    return NULL;
}

bool spool_read(const struct spool *spool, struct arena *arena, const char *name, struct spool_item *ret_item) {
    struct spool_item item = {.name = name, .author = -1};
    struct stat found;
    if (fstatat(spool->new_fd, name, &found, AT_SYMLINK_NOFOLLOW)) return false;
    item.author = found.st_uid;
    if (!request_is_id(name)) item.fault = "name";
    else if (!S_ISREG(found.st_mode)) item.fault = "file";
    if (!item.fault) {
        int fd = openat(spool->new_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT) return false;
        item.fault = fd < 0 ? "unreadable" : read_open(fd, arena, &item);
        close_fd(fd);
    }
    if (item.fault) item.bytes = NULL;
    *ret_item = item;
    return true;
}

/* ---- answers ---- */

/* Written under a name that no request has. */
int spool_answer(const struct spool *spool, const char *id, const char *text, struct err *err) {
    static const char made[] = ".answer";
    __attribute__((cleanup(buf_free))) struct buf path = {0};
    buf_printf(&path, "%s/done/%s", spool->folder, made);
    if (text_replace_file(buf_text(&path), text, strlen(text), 0644, err)) return -1;
    return renameat(spool->done_fd, made, spool->done_fd, id) ? err_set_errno(err, errno, "cannot write %s/done/%s", spool->folder, id) : 0;
}

int spool_remove(const struct spool *spool, const char *name, struct err *err) {
    if (!unlinkat(spool->new_fd, name, 0) || errno == ENOENT) return 0;
    if (errno == EISDIR && !unlinkat(spool->new_fd, name, AT_REMOVEDIR)) return 0;
    return err_set_errno(err, errno, "a file in the spool \"%s/new\" cannot be removed", spool->folder);
}

static void tidy_folder(int folder_fd, int64_t before_us) {
    __attribute__((cleanup(close_dir))) DIR *dir = open_dir(folder_fd);
    struct stat found;
    for (const struct dirent *entry; dir && (entry = readdir(dir));)
        if (!fstatat(folder_fd, entry->d_name, &found, AT_SYMLINK_NOFOLLOW) && !S_ISDIR(found.st_mode) &&
            found.st_mtim.tv_sec < before_us / TIME_SECOND_US)
            (void)unlinkat(folder_fd, entry->d_name, 0);
}

void spool_tidy(const struct spool *spool, int64_t now_us) {
    tidy_folder(spool->tmp_fd, now_us - TIDY_DAYS * TIME_DAY_US);
    tidy_folder(spool->done_fd, now_us - TIDY_DAYS * TIME_DAY_US);
}
