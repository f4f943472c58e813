#include "journal/file_id.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

static struct file_id id_of(const struct stat *stat_of) {
    return (struct file_id){.dev = stat_of->st_dev, .ino = stat_of->st_ino, .mode = stat_of->st_mode, .owner = stat_of->st_uid,
                            .group = stat_of->st_gid, .links = stat_of->st_nlink};
}

int file_id_of(int fd, struct file_id *ret_id) {
    struct stat own;
    if (fstat(fd, &own)) return -1;
    *ret_id = id_of(&own);
    return 0;
}

static bool is_same(const struct file_id *id, const struct stat *other) { return id->dev == other->st_dev && id->ino == other->st_ino; }

/* What is no longer as it was; NULL: nothing. */
static const char *changed(const struct file_id *id, const struct file_id *now) {
    if (now->mode != id->mode) return "other permissions";
    return now->owner != id->owner || now->group != id->group ? "another owner" : NULL;
}

int file_id_check(const struct file_id *id, int fd, const char *folder, int folder_fd, const char *name, int64_t *ret_size, struct err *err) {
    struct stat own, named;
    if (fstat(fd, &own)) return err_set_errno(err, errno, "journal \"%s\": cannot examine %s", folder, name);
    bool there = fstatat(folder_fd, name, &named, AT_SYMLINK_NOFOLLOW) == 0;
    if (!own.st_nlink || !there || !is_same(id, &named))
        return err_set(err, ERR_IO, "journal \"%s\": %s was removed or replaced while it was written; put the file back and let "
                       "nothing but lapsed rotate it", folder, name);
    const struct file_id now = id_of(&own);
    const char *what = now.links > id->links ? "a second name" : changed(id, &now);
    if (what)
        return err_set(err, ERR_IO, "journal \"%s\": %s got %s while it was written; put it back as it was (mode %04o, %u:%u, links %u), or start lapsed anew",
                       folder, name, what, (unsigned)id->mode & 07777U, (unsigned)id->owner, (unsigned)id->group, (unsigned)id->links);
    *ret_size = own.st_size;
    return 0;
}

int file_id_check_folder(const struct file_id *id, int folder_fd, const char *folder, struct err *err) {
    struct stat own, named;
    if (fstat(folder_fd, &own)) return err_set_errno(err, errno, "journal folder \"%s\": cannot examine it", folder);
    if (stat(folder, &named) || !is_same(id, &named))
        return err_set(err, ERR_IO, "journal folder \"%s\" was removed, replaced or hidden by another while the journal was written; put it back", folder);
    const struct file_id now = id_of(&own);
    const char *what = changed(id, &now);
    if (!what) return 0;
    return err_set(err, ERR_IO, "journal folder \"%s\" got %s while the journal was written; put it back as it was (mode %04o, %u:%u), or start lapsed anew",
                   folder, what, (unsigned)id->mode & 07777U, (unsigned)id->owner, (unsigned)id->group);
}
