/* The ways of hashing short messages against the plain one, for every place of their end in a block. */
#include "journal/merkle.h"
#include "unit.h"

enum { MOST = 200, SIZE = MOST + SHA256_ROOM };

static unsigned char hashes[2][SHA256_BYTES], messages[2][SIZE], expected[2][SHA256_BYTES];

/* `start` has taken the first block. */
static void make(struct sha256 *start, size_t m, size_t length) {
    memset(messages[m], 0, SIZE);
    for (size_t i = 0; i < length; i++) messages[m][i] = (unsigned char)(i * 7 + length + m * 13);
    struct sha256 sha256 = *start;
    sha256_add(&sha256, messages[m], length);
    sha256_end(&sha256, expected[m]);
}

static void start_behind_a_block(struct sha256 *start) {
    unsigned char block[SHA256_BLOCK];
    memset(block, 'k', sizeof block);
    sha256_start(start);
    sha256_add(start, block, sizeof block);
}

static bool is_zero(const unsigned char *bytes, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (bytes[i]) return false;
    return true;
}

START_TEST(one_at_once_is_the_same) {
    struct sha256 start;
    start_behind_a_block(&start);
    for (size_t length = 0; length <= MOST; length++) {
        make(&start, 0, length);
        sha256_at_once(&start, messages[0], length, hashes[0]);
        ck_assert_mem_eq(hashes[0], expected[0], SHA256_BYTES);
        ck_assert(is_zero(messages[0] + length, SHA256_ROOM));
    }
}
END_TEST

START_TEST(two_at_once_are_the_same) {
    struct sha256 start;
    start_behind_a_block(&start);
    for (size_t a = 0; a <= MOST; a++)
        for (size_t b = a > 70 ? a - 70 : 0; b <= MOST && b <= a + 70; b++) { /* of as many blocks, and of one more or less */
            make(&start, 0, a);
            make(&start, 1, b);
            sha256_two_at_once(&start, (unsigned char *[]){messages[0], messages[1]}, (size_t[]){a, b}, (unsigned char *[]){hashes[0], hashes[1]});
            ck_assert_msg(!memcmp(hashes, expected, sizeof hashes), "%zu and %zu", a, b);
            ck_assert(is_zero(messages[0] + a, SHA256_ROOM) && is_zero(messages[1] + b, SHA256_ROOM));
        }
}
END_TEST

START_TEST(two_nodes_are_the_same_as_each) {
    struct merkle_hash below[4], nodes[2];
    for (size_t i = 0; i < 4; i++) below[i] = merkle_leaf(&i, sizeof i);
    const struct merkle_hash first = merkle_node(&below[0], &below[1]), second = merkle_node(&below[2], &below[3]);
    merkle_two_nodes(below, nodes);
    ck_assert(merkle_equal(&nodes[0], &first) && merkle_equal(&nodes[1], &second));
    merkle_two_nodes(below, below);
    ck_assert(merkle_equal(&below[0], &first) && merkle_equal(&below[1], &second));
}
END_TEST

UNIT_MAIN("sha256", one_at_once_is_the_same, two_at_once_are_the_same, two_nodes_are_the_same_as_each)
