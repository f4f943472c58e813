#include "sweep/month_key.h"

#include "base/text.h"
#include "base/time.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct file_name { char text[64]; };

static void close_folder(DIR **folder) {
    if (*folder) (void)closedir(*folder);
}

static struct file_name file_name(const char *name, int64_t year, int month) {
    struct file_name file;
    (void)snprintf(file.text, sizeof file.text, "%s-%04d-%02d.key", name, (int)year, month);
    return file;
}

/* Whether the file holds a key of this name, or what a crash left of the making of one; ret_over_us: when its month is over. */
static bool is_key(const char *file, const char *name, bool *ret_whole, int64_t *ret_over_us) {
    size_t length = strlen(name);
    int year, month;
    if (strncmp(file, name, length) || file[length] != '-' || sscanf(file + length + 1, "%4d-%2d", &year, &month) != 2) return false;
    struct file_name expected = file_name(name, year, month);
    if (month < 1 || month > 12 || !text_starts_with(file, expected.text)) return false;
    const char *behind = file + strlen(expected.text);
    if (*behind && strcmp(behind, ".new") != 0) return false;
    const struct civil next = {.year = month == 12 ? year + 1 : year, .month = month % 12 + 1, .day = 1};
    *ret_whole = !*behind;
    *ret_over_us = time_from_civil(&next);
    return true;
}

int month_keys_destroy(const char *state_folder, const char *name, int64_t now_us, struct period keep, size_t *ret_destroyed, struct err *err) {
    __attribute__((cleanup(close_folder))) DIR *folder = opendir(state_folder);
    size_t destroyed = 0;
    if (!folder) return err_set_errno(err, errno, "cannot read %s", state_folder);
    for (struct dirent *entry; (entry = readdir(folder));) {
        bool whole;
        int64_t over_us;
        if (!is_key(entry->d_name, name, &whole, &over_us)) continue;
        bool old = keep.count ? period_after(over_us, keep) <= now_us : over_us <= now_us;
        if (whole && !old) continue;
        if (key_file_destroy(dirfd(folder), entry->d_name, err)) return -1;
        destroyed++;
    }
    if (destroyed && fsync(dirfd(folder))) return err_set_errno(err, errno, "cannot put the folder %s on disk", state_folder);
    *ret_destroyed = destroyed;
    return 0;
}

int month_key_have(const char *state_folder, const char *name, int64_t now_us, unsigned char ret_key[MONTH_KEY_BYTES], struct err *err) {
    char path[4096];
    struct civil now = time_to_civil(now_us);
    if (snprintf(path, sizeof path, "%s/%s", state_folder, file_name(name, now.year, now.month).text) >= (int)sizeof path)
        return err_set(err, ERR_IO, "%s: the name is too long", state_folder);
    return key_file_have(path, ret_key, err);
}

int month_keys_read(const char *state_folder, const char *name, struct arena *arena, struct month_key **ret_keys, size_t *ret_count,
                    struct err *err) {
    __attribute__((cleanup(close_folder))) DIR *folder = opendir(state_folder);
    struct month_key *keys = NULL;
    size_t count = 0;
    if (!folder) return err_set_errno(err, errno, "cannot read %s", state_folder);
    for (struct dirent *entry; (entry = readdir(folder));) {
        bool whole;
        int64_t over_us;
        if (!is_key(entry->d_name, name, &whole, &over_us) || !whole) continue;
        struct month_key *key = ARENA_APPEND(arena, keys, count);
        if (key_file_read(arena_printf(arena, "%s/%s", state_folder, entry->d_name), key->bytes, err)) return -1;
    }
    *ret_keys = keys;
    *ret_count = count;
    return 0;
}
