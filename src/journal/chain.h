/* The hash chain: an entry's hash is SHA-256 over the hash of the entry before it, in hex (64 zeros for the first), and
 * the bytes of its own line up to and including `"hash":"`. */
#ifndef LAPSED_JOURNAL_CHAIN_H
#define LAPSED_JOURNAL_CHAIN_H

#include "journal/entry.h"
#include "journal/sha256.h"

struct hash_text { char text[ENTRY_HASH_HEX + 1]; };

/* Where a chain stands: after its entry number `seq` (0: before the first). */
struct position {
    int64_t seq, time_us; /* time_us: the entry's; 0 before the first */
    struct hash_text hash;
};

struct position chain_start(void);
struct hash_text chain_hash(const char *previous, const char *line, size_t length);

/* 32 bytes as 64 hex digits. */
struct hash_text chain_text(const unsigned char bytes[SHA256_BYTES]);

#endif
