#include "journal/room.h"

#include "journal/calls.h"

#include <errno.h>
#include <sys/statvfs.h>

/* More than is asked for, so that it is not asked for with each group. */
enum { STEP_BYTES = 1 << 20 };

bool room_is_short(int errno_value) { return errno_value == ENOSPC || errno_value == EDQUOT || errno_value == EFBIG; }

int64_t room_left(int fd) {
    struct statvfs disk;
    if (fstatvfs(fd, &disk)) return INT64_MAX;
    return (int64_t)disk.f_bavail * (int64_t)disk.f_frsize;
}

static int allocate(int fd, int64_t from, int64_t bytes) {
    int result;
    do result = journal_calls.fallocate(fd, from, bytes);
    while (result && errno == EINTR);
    return result;
}

int room_take(int fd, const char *name, int64_t from, int64_t bytes, int64_t *end, struct err *err) {
    if (from + bytes <= *end) return 0;
    for (int64_t more = STEP_BYTES; more >= 0; more -= STEP_BYTES) {
        if (allocate(fd, from, bytes + more)) continue;
        *end = from + bytes + more;
        return 0;
    }
    int reason = errno;
    if (reason == EOPNOTSUPP || reason == ENOSYS) {
        if (room_left(fd) >= bytes) return 0;
        reason = ENOSPC;
    }
    (void)err_set_errno(err, reason, "no room can be had for %s", name);
    if (room_is_short(reason)) err->code = ERR_UNAVAILABLE;
    return -1;
}
