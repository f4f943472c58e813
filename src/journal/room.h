/* Room on the journal's disk. It is taken before a line is written that others have to follow, so that the disk cannot be
 * full between an intent and its outcome. */
#ifndef LAPSED_JOURNAL_ROOM_H
#define LAPSED_JOURNAL_ROOM_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* Whether this errno says that a disk, a quota or a limit is full. */
bool room_is_short(int errno_value);
/* Takes the blocks for `bytes` bytes from offset `from` on, without making the file longer; *end, which the caller keeps
 * beside the file, says how far it has them already. ERR_UNAVAILABLE: the disk has no room, and nothing has changed. Where the
 * file system cannot do it (ZFS, say), the disk must at least have that much free now. `name` is for messages. */
int room_take(int fd, const char *name, int64_t from, int64_t bytes, int64_t *end, struct err *err) MUST_CHECK;
/* How much the disk has left for us; INT64_MAX where it does not say. */
int64_t room_left(int fd);

#endif
