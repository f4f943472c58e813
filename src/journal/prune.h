/* Which closed segments of a journal are past its own period, and their removal. */
#ifndef LAPSED_JOURNAL_PRUNE_H
#define LAPSED_JOURNAL_PRUNE_H

#include "base/period.h"
#include "journal/entry.h"

struct prune;

/* The oldest closed segments whose entries all are older than `keep`. Those up to entry `declared` have their entry
 * already, and it is signed (a crash came before they were removed). NULL: err. */
struct prune *prune_find(const char *folder, struct period keep, int64_t now_us, int64_t declared, struct err *err) MUST_CHECK;
/* What is to be on disk before anything is removed; NULL where there is nothing to declare. */
const struct entry *prune_entry(const struct prune *prune);
int64_t prune_last_seq(const struct prune *prune); /* of what that entry declares */
bool prune_removes(const struct prune *prune); /* anything at all */
/* Removes them, the oldest first. */
int prune_unlink(const struct prune *prune, int folder_fd, struct err *err) MUST_CHECK;
void prune_free(struct prune **prune);

#endif
