#include "journal/chain.h"

#include "base/text.h"
#include "journal/sha256.h"

#include <string.h>

struct hash_text chain_text(const unsigned char bytes[SHA256_BYTES]) {
    struct hash_text result;
    text_hex(result.text, bytes);
    return result;
}

struct position chain_start(void) {
    struct position start = {.seq = 0};
    memset(start.hash.text, '0', ENTRY_HASH_HEX);
    return start;
}

struct hash_text chain_hash(const char *previous, const char *line, size_t length) {
    struct sha256 sha256;
    unsigned char bytes[SHA256_BYTES];
    sha256_start(&sha256);
    sha256_add(&sha256, previous, ENTRY_HASH_HEX);
    sha256_add(&sha256, line, length);
    sha256_end(&sha256, bytes);
    return chain_text(bytes);
}
