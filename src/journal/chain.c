#include "journal/chain.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Fetched once: the implicit fetch inside EVP_sha256() costs as much as hashing a line. */
static EVP_MD *sha256;
static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;

static void sha256_fetch(void) {
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (!sha256) abort();
}

struct digest { EVP_MD_CTX *context; };

/* libcrypto fails at these only when memory is out or its own set-up is broken. */
static void must(int ok) {
    if (ok != 1) abort();
}

struct digest *digest_new(void) {
    must(pthread_once(&sha256_once, sha256_fetch) == 0);
    struct digest *digest = xmalloc(sizeof *digest);
    digest->context = EVP_MD_CTX_new();
    must(digest->context != NULL);
    must(EVP_DigestInit_ex2(digest->context, sha256, NULL));
    return digest;
}

void digest_add(struct digest *digest, const void *bytes, size_t length) {
    must(EVP_DigestUpdate(digest->context, bytes, length));
}

struct hash_text digest_end(struct digest *digest) {
    unsigned char bytes[32];
    must(EVP_DigestFinal_ex(digest->context, bytes, NULL));
    EVP_MD_CTX_free(digest->context);
    free(digest);
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
    struct digest *digest = digest_new();
    digest_add(digest, previous, ENTRY_HASH_HEX);
    digest_add(digest, line, length);
    return digest_end(digest);
}
