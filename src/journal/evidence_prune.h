/* The evidence files' own retention: one goes when the whole segment that it belongs to is older than evidence is kept. */
#ifndef LAPSED_JOURNAL_EVIDENCE_PRUNE_H
#define LAPSED_JOURNAL_EVIDENCE_PRUNE_H

#include "base/period.h"

#include <stddef.h>
#include <stdint.h>

/* Removes the evidence of closed segments whose last entry is older than `keep`, and of segments that are gone. Never that of
 * the open segment. Oldest first; on the writer's thread. */
int evidence_prune(const char *folder, int64_t now_us, struct period keep, size_t *ret_removed, struct err *err) MUST_CHECK;

#endif
