#include "sweep/pseudonym.h"

#include "base/text.h"
#include "base/time.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEY_BYTES = 32 };

static void close_folder(DIR **folder) {
    if (*folder) (void)closedir(*folder);
}

/* Overwritten before it is removed. On a copy-on-write or flash medium the old bytes may remain for a while; the manual
 * says so. */
static int destroy(int folder, const char *name, struct err *err) {
    static const unsigned char zeros[KEY_BYTES];
    (void)!fchmodat(folder, name, 0600, 0); /* it was made for reading only */
    int fd = openat(folder, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0) {
        (void)!write(fd, zeros, sizeof zeros);
        (void)fsync(fd);
        (void)close(fd);
    }
    if (unlinkat(folder, name, 0)) return err_set_errno(err, errno, "cannot remove the old key %s", name);
    return 0;
}

static int destroy_others(const char *state_folder, const char *current, struct err *err) {
    __attribute__((cleanup(close_folder))) DIR *folder = opendir(state_folder);
    if (!folder) return err_set_errno(err, errno, "cannot read %s", state_folder);
    for (struct dirent *entry; (entry = readdir(folder));) {
        const char *name = entry->d_name;
        if (!text_starts_with(name, "pseudonym-") || !strcmp(name, current)) continue;
        if (destroy(dirfd(folder), name, err)) return -1;
    }
    return 0;
}

static int read_key(const char *path, unsigned char ret_key[KEY_BYTES], struct err *err) {
    char *bytes;
    size_t length;
    if (text_read_file(path, 4096, &bytes, &length, err)) return -1;
    bool whole = length == KEY_BYTES;
    if (whole) memcpy(ret_key, bytes, KEY_BYTES);
    explicit_bzero(bytes, length);
    free(bytes);
    if (whole) return 0;
    return err_set(err, ERR_IO, "%s is damaged: it has %zu bytes, not %d; remove it to have a new key made", path, length, KEY_BYTES);
}

int pseudonym_key(const char *state_folder, int64_t now_us, unsigned char ret_key[32], struct err *err) {
    char name[64], path[4096];
    struct civil now = time_to_civil(now_us);
    (void)snprintf(name, sizeof name, "pseudonym-%04d-%02d.key", (int)now.year, now.month);
    if (snprintf(path, sizeof path, "%s/%s", state_folder, name) >= (int)sizeof path)
        return err_set(err, ERR_IO, "%s: the name is too long", state_folder);
    if (destroy_others(state_folder, name, err)) return -1;
    if (!access(path, F_OK)) return read_key(path, ret_key, err);
    unsigned char key[KEY_BYTES];
    if (RAND_bytes(key, sizeof key) != 1) return err_set(err, ERR_BUG, "no random bytes for a new key");
    if (text_write_file(path, (const char *)key, sizeof key, 0400, err)) return -1;
    memcpy(ret_key, key, sizeof key);
    explicit_bzero(key, sizeof key);
    return 0;
}
