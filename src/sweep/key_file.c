#include "sweep/key_file.h"

#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int key_file_read(const char *path, unsigned char ret_key[KEY_FILE_BYTES], struct err *err) {
    char *bytes;
    size_t length;
    if (text_read_file(path, 4096, &bytes, &length, err)) return -1;
    bool whole = length == KEY_FILE_BYTES;
    if (whole) memcpy(ret_key, bytes, KEY_FILE_BYTES);
    explicit_bzero(bytes, length);
    free(bytes);
    if (whole) return 0;
    return err_set(err, ERR_IO, "%s is damaged: it has %zu bytes, not %d; remove it to have a new key made", path, length, KEY_FILE_BYTES);
}

int key_file_have(const char *path, unsigned char ret_key[KEY_FILE_BYTES], struct err *err) {
    if (!access(path, F_OK)) return key_file_read(path, ret_key, err);
    if (errno != ENOENT) return err_set_errno(err, errno, "cannot read the key %s", path); /* it may be there: no other takes its place */
    unsigned char key[KEY_FILE_BYTES];
    if (RAND_bytes(key, sizeof key) != 1) return err_set(err, ERR_BUG, "no random bytes for a new key");
    if (text_write_file(path, (const char *)key, sizeof key, 0400, err)) return -1;
    memcpy(ret_key, key, sizeof key);
    explicit_bzero(key, sizeof key);
    return 0;
}

int key_file_destroy(int folder, const char *file, struct err *err) {
    static const unsigned char zeros[KEY_FILE_BYTES];
    (void)!fchmodat(folder, file, 0600, 0); /* it was made for reading only */
    int fd = openat(folder, file, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0) {
        (void)!write(fd, zeros, sizeof zeros);
        (void)fsync(fd);
        (void)close(fd);
    }
    if (unlinkat(folder, file, 0)) return err_set_errno(err, errno, "cannot remove the old key %s", file);
    return 0;
}
