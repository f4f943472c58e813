/* OpenSSL 3 calls these deprecated in favour of EVP; they are part of its ABI until its next major version. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "journal/sha256.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

/* They can fail only where they are handed to hardware that fails. */
static void must(int ok) {
    if (ok != 1) abort();
}

void sha256_start(struct sha256 *sha256) { must(SHA256_Init(&sha256->context)); }

void sha256_add(struct sha256 *sha256, const void *bytes, size_t length) { must(SHA256_Update(&sha256->context, bytes, length)); }

void sha256_end(struct sha256 *sha256, unsigned char ret_bytes[SHA256_BYTES]) { must(SHA256_Final(ret_bytes, &sha256->context)); }

/* FIPS 180-4: a one bit, zeros, and the number of bits; the words of the state are the hash. Whole blocks are handed over,
 * so that nothing is buffered, and nothing wiped but by the caller who has the message. */
void sha256_at_once(const struct sha256 *start, unsigned char *message, size_t length, unsigned char ret_bytes[SHA256_BYTES]) {
    SHA256_CTX context = start->context;
    const size_t padded = (length + 1 + 8 + SHA256_BLOCK - 1) / SHA256_BLOCK * SHA256_BLOCK;
    const uint64_t before = (uint64_t)context.Nh << 32 | context.Nl, bits = htobe64(before + (uint64_t)length * 8), none = 0;
    message[length] = 0x80;
    memcpy(message + padded - sizeof bits, &bits, sizeof bits);
    must(SHA256_Update(&context, message, padded));
    message[length] = 0;
    memcpy(message + padded - sizeof bits, &none, sizeof none);
    for (size_t i = 0; i < SHA256_BYTES / 4; i++) {
        uint32_t word = htobe32(context.h[i]);
        memcpy(ret_bytes + 4 * i, &word, sizeof word);
    }
}
