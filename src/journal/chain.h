/* The hash chain: an entry's hash is SHA-256 over the hash of the entry before it, in hex (64 zeros for the first), and
 * the bytes of its own line up to and including `"hash":"`. */
#ifndef LAPSED_JOURNAL_CHAIN_H
#define LAPSED_JOURNAL_CHAIN_H

#include "journal/entry.h"

struct hash_text { char text[ENTRY_HASH_HEX + 1]; };

/* Where a chain stands: after its entry number `seq` (0: before the first). */
struct position {
    int64_t seq, time_us; /* time_us: the entry's; 0 before the first */
    struct hash_text hash;
};

struct position chain_start(void);
struct hash_text chain_hash(const char *previous, const char *line, size_t length);

/* SHA-256 of something that comes in pieces. */
struct digest;
struct digest *digest_new(void);
void digest_add(struct digest *digest, const void *bytes, size_t length);
struct hash_text digest_end(struct digest *digest); /* frees it */

#endif
