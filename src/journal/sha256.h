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

/* The same in one go, for short messages: what `start` has taken, a whole number of blocks, and then `length` bytes of the
 * message, behind which there are SHA256_ROOM zero bytes, which are zero again afterwards. */
enum { SHA256_BLOCK = 64, SHA256_ROOM = SHA256_BLOCK + 8 };
void sha256_at_once(const struct sha256 *start, unsigned char *message, size_t length, unsigned char ret_bytes[SHA256_BYTES]);
/* Two such messages from the same start: those that take as many blocks in not much more time than one, where the processor has
 * instructions for SHA-256. */
void sha256_two_at_once(const struct sha256 *start, unsigned char *const messages[2], const size_t lengths[2], unsigned char *const ret_bytes[2]);

#endif
