/* A disk that takes half of a write, for test_journal_faults.py: preloaded, it halves the so-maniest write (HALF_AT) of the
 * process to a file. What comes then, HALF_THEN tells: "on" (the next write goes on), "full" (it finds no room), "kill" (it is
 * never made). */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

ssize_t write(int fd, const void *bytes, size_t length) {
    static atomic_long count;
    struct stat own;
    if (fstat(fd, &own) || !S_ISREG(own.st_mode)) return syscall(SYS_write, fd, bytes, length);
    const char *at = getenv("HALF_AT"), *then = getenv("HALF_THEN");
    long this = atomic_fetch_add(&count, 1) + 1, half = at ? atol(at) : 0;
    if (this == half + 1 && then && *then == 'f') {
        errno = ENOSPC;
        return -1;
    }
    ssize_t written = syscall(SYS_write, fd, bytes, this == half ? length / 2 : length);
    if (this == half && then && *then == 'k') (void)kill(getpid(), SIGKILL);
    return written;
}
