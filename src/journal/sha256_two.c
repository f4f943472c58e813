/* Two messages hashed at once. An instruction of a processor's SHA extensions has to wait for the one before it for longer than
 * it takes itself: between those of one message there is room for those of another. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "journal/sha256.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <endian.h>
#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

_Static_assert(sizeof(SHA_LONG) == 4, "the state is of eight words of 32 bits");

enum { MESSAGES = 2, ROUNDS = 64 };

/* FIPS 180-4, section 4.2.2. */
static const uint32_t constants[ROUNDS] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

/* The state as the instructions have it: the words a, b, e, f, and c, d, g, h. */
struct state { __m128i abef, cdgh; };

#define WITH_SHA __attribute__((target("sha,sse4.1"), always_inline)) static inline

WITH_SHA struct state load_state(const SHA256_CTX *context) {
    __m128i abcd, efgh;
    memcpy(&abcd, context->h, sizeof abcd);
    memcpy(&efgh, context->h + 4, sizeof efgh);
    abcd = _mm_shuffle_epi32(abcd, _MM_SHUFFLE(2, 3, 0, 1));
    efgh = _mm_shuffle_epi32(efgh, _MM_SHUFFLE(0, 1, 2, 3));
    return (struct state){_mm_alignr_epi8(abcd, efgh, 8), _mm_blend_epi16(efgh, abcd, 0xf0)};
}

WITH_SHA void store_state(const struct state *state, unsigned char ret_bytes[SHA256_BYTES]) {
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i abcd = _mm_unpackhi_epi64(state->cdgh, state->abef), efgh = _mm_unpacklo_epi64(state->cdgh, state->abef);
    abcd = _mm_shuffle_epi8(_mm_shuffle_epi32(abcd, _MM_SHUFFLE(0, 1, 2, 3)), swap);
    efgh = _mm_shuffle_epi8(_mm_shuffle_epi32(efgh, _MM_SHUFFLE(0, 1, 2, 3)), swap);
    memcpy(ret_bytes, &abcd, sizeof abcd);
    memcpy(ret_bytes + sizeof abcd, &efgh, sizeof efgh);
}

/* Four words of a block. */
WITH_SHA __m128i load_words(const unsigned char *block, size_t number) {
    __m128i words;
    memcpy(&words, block + number * sizeof words, sizeof words);
    return _mm_shuffle_epi8(words, _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203));
}

/* The four words of the schedule that follow w[0] to w[3], which are four each. */
WITH_SHA __m128i next_words(const __m128i w[4]) {
    __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(w[0], w[1]), _mm_alignr_epi8(w[3], w[2], 4));
    return _mm_sha256msg2_epu32(sum, w[3]);
}

WITH_SHA void four_rounds(struct state *state, __m128i words_and_constants) {
    state->cdgh = _mm_sha256rnds2_epu32(state->cdgh, state->abef, words_and_constants);
    const __m128i two_more = _mm_shuffle_epi32(words_and_constants, _MM_SHUFFLE(1, 0, 3, 2));
    state->abef = _mm_sha256rnds2_epu32(state->abef, state->cdgh, two_more);
}

__attribute__((target("sha,sse4.1"))) static void add_block(struct state states[MESSAGES], unsigned char *const blocks[MESSAGES], size_t offset) {
    struct state a = states[0], b = states[1];
    __m128i wa[4], wb[4];
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
        wa[i] = load_words(blocks[0] + offset, i);
        wb[i] = load_words(blocks[1] + offset, i);
    }
#pragma GCC unroll 16
    for (size_t i = 0; i < ROUNDS / 4; i++) {
        __m128i k;
        memcpy(&k, constants + 4 * i, sizeof k);
        four_rounds(&a, _mm_add_epi32(wa[0], k));
        four_rounds(&b, _mm_add_epi32(wb[0], k));
        const __m128i next_a = next_words(wa), next_b = next_words(wb);
        wa[0] = wa[1], wa[1] = wa[2], wa[2] = wa[3], wa[3] = next_a;
        wb[0] = wb[1], wb[1] = wb[2], wb[2] = wb[3], wb[3] = next_b;
    }
    states[0].abef = _mm_add_epi32(states[0].abef, a.abef);
    states[0].cdgh = _mm_add_epi32(states[0].cdgh, a.cdgh);
    states[1].abef = _mm_add_epi32(states[1].abef, b.abef);
    states[1].cdgh = _mm_add_epi32(states[1].cdgh, b.cdgh);
}

__attribute__((target("sha,sse4.1"))) static void add_blocks(const struct sha256 *start, unsigned char *const messages[MESSAGES], size_t length,
                                                            unsigned char *const ret_bytes[MESSAGES]) {
    const struct state first = load_state(&start->context);
    struct state states[MESSAGES] = {first, first};
    for (size_t at = 0; at < length; at += SHA256_BLOCK) add_block(states, messages, at);
    for (size_t m = 0; m < MESSAGES; m++) store_state(&states[m], ret_bytes[m]);
}

/* Whoever has the SHA extensions has SSE 4.1. */
static bool has_sha(void) {
    static int known; /* the same for all threads, whoever writes it last */
    int has = __atomic_load_n(&known, __ATOMIC_RELAXED);
    if (!has) {
        unsigned a, b = 0, c, d;
        has = __get_cpuid_count(7, 0, &a, &b, &c, &d) && b & bit_SHA ? 1 : -1;
        __atomic_store_n(&known, has, __ATOMIC_RELAXED);
    }
    return has > 0;
}

static size_t padded(size_t length) { return (length + 1 + 8 + SHA256_BLOCK - 1) / SHA256_BLOCK * SHA256_BLOCK; }

void sha256_two_at_once(const struct sha256 *start, unsigned char *const messages[2], const size_t lengths[2], unsigned char *const ret_bytes[2]) {
    const size_t length = padded(lengths[0]);
    if (padded(lengths[1]) != length || !has_sha()) {
        for (size_t m = 0; m < MESSAGES; m++) sha256_at_once(start, messages[m], lengths[m], ret_bytes[m]);
        return;
    }
    const uint64_t before = (uint64_t)start->context.Nh << 32 | start->context.Nl, none = 0;
    for (size_t m = 0; m < MESSAGES; m++) {
        const uint64_t bits = htobe64(before + (uint64_t)lengths[m] * 8);
        messages[m][lengths[m]] = 0x80;
        memcpy(messages[m] + length - sizeof bits, &bits, sizeof bits);
    }
    add_blocks(start, messages, length, ret_bytes);
    for (size_t m = 0; m < MESSAGES; m++) {
        messages[m][lengths[m]] = 0;
        memcpy(messages[m] + length - sizeof none, &none, sizeof none);
    }
}

#else

void sha256_two_at_once(const struct sha256 *start, unsigned char *const messages[2], const size_t lengths[2], unsigned char *const ret_bytes[2]) {
    for (size_t m = 0; m < 2; m++) sha256_at_once(start, messages[m], lengths[m], ret_bytes[m]);
}

#endif
