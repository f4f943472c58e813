/* OpenSSL 3 calls these deprecated in favour of EVP; they are part of its ABI until its next major version. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "journal/sha256.h"

#include <stdlib.h>

/* They can fail only where they are handed to hardware that fails. */
static void must(int ok) {
    if (ok != 1) abort();
}

void sha256_start(struct sha256 *sha256) { must(SHA256_Init(&sha256->context)); }

void sha256_add(struct sha256 *sha256, const void *bytes, size_t length) { must(SHA256_Update(&sha256->context, bytes, length)); }

void sha256_end(struct sha256 *sha256, unsigned char ret_bytes[SHA256_BYTES]) { must(SHA256_Final(ret_bytes, &sha256->context)); }
