/* SHA-256 of something that comes in pieces: without an allocation, and without the look-up and dispatch that cost
 * libcrypto's EVP interface as much as hashing a node of a tree. */
#ifndef LAPSED_JOURNAL_SHA256_H
#define LAPSED_JOURNAL_SHA256_H

#include <openssl/sha.h>
#include <stddef.h>

enum { SHA256_BYTES = 32 };

/* To be copied freely: the copy goes on from there. */
struct sha256 { SHA256_CTX context; };

void sha256_start(struct sha256 *sha256);
void sha256_add(struct sha256 *sha256, const void *bytes, size_t length);
void sha256_end(struct sha256 *sha256, unsigned char ret_bytes[SHA256_BYTES]);

#endif
