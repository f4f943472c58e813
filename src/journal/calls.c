#include "journal/calls.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int call_open(int folder, const char *name, int flags, mode_t mode) { return openat(folder, name, flags, mode); }
static int call_fallocate(int fd, off_t offset, off_t length) { return fallocate(fd, FALLOC_FL_KEEP_SIZE, offset, length); }
static int call_link(int folder, const char *from, const char *to) { return linkat(folder, from, folder, to, 0); }
static int call_rename(int folder, const char *from, const char *to) { return renameat(folder, from, folder, to); }
static int call_unlink(int folder, const char *name) { return unlinkat(folder, name, 0); }

struct journal_calls journal_calls = {
    .open = call_open,
    .write = write,
    .pwrite = pwrite,
    .fdatasync = fdatasync,
    .fsync = fsync,
    .ftruncate = ftruncate,
    .fallocate = call_fallocate,
    .fchmod = fchmod,
    .link = call_link,
    .rename = call_rename,
    .unlink = call_unlink,
};
