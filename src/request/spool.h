/* The spool: <state>/spool/{tmp,new,done}. Whoever asks writes a file in tmp, syncs it and renames it into new; the daemon
 * journals it, carries it out, writes its answer into done and removes it from new. The file's owner is the author: the
 * kernel says so, nobody else. tmp and new belong to the daemon's user and group, mode 1770: members of the group may put
 * requests there, and the sticky bit keeps them from each other's. Which of them may ask for what is said in lapsed.conf. */
#ifndef LAPSED_REQUEST_SPOOL_H
#define LAPSED_REQUEST_SPOOL_H

#include "base/arena.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct spool;

/* Makes the folders where they are missing. */
int spool_open(const char *state_folder, struct spool **ret_spool, struct err *err) MUST_CHECK;
void spool_close(struct spool *spool); /* NULL is fine */
/* A descriptor that becomes readable when a file comes into new; -1: this machine has none to give, so look from time to time. */
int spool_watch(const struct spool *spool);
void spool_drain(const struct spool *spool); /* what made it readable is seen */

/* A file of new, as far as it may be read. */
struct spool_item {
    const char *name;
    int64_t author;     /* its owner's user id; -1: it vanished or could not be looked at */
    const char *fault;  /* NULL, or why it was not read: "name", "file", "size", "unreadable" */
    const char *bytes;  /* NULL where there is a fault */
    size_t length;
    char sha256[65];    /* of the bytes */
};

/* The names in new, at most `most`, those first that came first, folders last; from `arena`. */
int spool_list(const struct spool *spool, struct arena *arena, size_t most, const char *const **ret_names, size_t *ret_count, struct err *err) MUST_CHECK;
/* False: it is gone. */
bool spool_read(const struct spool *spool, struct arena *arena, const char *name, struct spool_item *ret_item);
/* Puts the answer into done, readable for all, in place of an earlier one. Not synced: the journal is the record. */
int spool_answer(const struct spool *spool, const char *id, const char *text, struct err *err) MUST_CHECK;
int spool_remove(const struct spool *spool, const char *name, struct err *err) MUST_CHECK;
/* Removes what was left in tmp and done longer than 30 days ago. */
void spool_tidy(const struct spool *spool, int64_t now_us);

/* ---- for whoever asks ---- */

/* Puts a request there. ERR_REFUSED: one with this id is waiting already. ERR_CONFIG: there is no spool, or this user may not. */
int spool_submit(const char *state_folder, const char *id, const char *text, struct err *err) MUST_CHECK;
/* Waits until the daemon took the request out of new, or the time is over; *ret_answer: what is in done then, in `arena`,
 * NULL: nothing. *ret_final: it was taken out. */
int spool_wait(const char *state_folder, const char *id, int64_t wait_us, struct arena *arena, const char **ret_answer, bool *ret_final,
               struct err *err) MUST_CHECK;

#endif
