/* The tree against the vectors of Certificate Transparency's own reference implementation, and against a reference that
 * follows the text of RFC 6962 by recursion. */
#include "journal/merkle.h"
#include "unit.h"

#include <stdio.h>

enum { MOST = 70 };

static struct merkle_hash from_hex(const char *hex) {
    struct merkle_hash hash;
    ck_assert_uint_eq(strlen(hex), 2 * sizeof hash.bytes);
    for (size_t i = 0; i < sizeof hash.bytes; i++) {
        unsigned byte;
        ck_assert_int_eq(sscanf(hex + 2 * i, "%2x", &byte), 1);
        hash.bytes[i] = (unsigned char)byte;
    }
    return hash;
}

static void assert_equal(const struct merkle_hash *found, const struct merkle_hash *expected) {
    ck_assert_mem_eq(found->bytes, expected->bytes, sizeof found->bytes);
}

static void assert_hex(struct merkle_hash found, const char *hex) {
    struct merkle_hash expected = from_hex(hex);
    assert_equal(&found, &expected);
}

/* Inputs and roots of merkletree/merkle_tree_test.cc of google/certificate-transparency. */
static const struct { const char *data; size_t length; } inputs[8] = {
    {"", 0}, {"\x00", 1}, {"\x10", 1}, {"\x20\x21", 2}, {"\x30\x31", 2}, {"\x40\x41\x42\x43", 4},
    {"\x50\x51\x52\x53\x54\x55\x56\x57", 8},
    {"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f", 16},
};
static const char *const roots[9] = {
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
};

static struct merkle_hash input_leaf(size_t i) { return merkle_leaf(inputs[i].data, inputs[i].length); }

START_TEST(roots_are_those_of_certificate_transparency) {
    struct merkle_tree tree = {.size = 0};
    assert_hex(merkle_root(&tree), roots[0]);
    for (size_t i = 0; i < 8; i++) {
        struct merkle_hash leaf = input_leaf(i);
        merkle_append(&tree, &leaf);
        assert_hex(merkle_root(&tree), roots[i + 1]);
    }
}
END_TEST

static void assert_inputs_proof(struct merkle_prover *prover, size_t count, const char *const *hashes) {
    for (size_t i = 0; prover->next < prover->size; i++) {
        struct merkle_hash leaf = input_leaf(i);
        merkle_prover_add(prover, &leaf);
    }
    ck_assert_uint_eq(prover->proof.count, count);
    for (size_t i = 0; i < count; i++) assert_hex(prover->proof.hashes[i], hashes[i]);
}

START_TEST(proofs_are_those_of_certificate_transparency) {
    struct merkle_prover prover;
    merkle_prove_inclusion(&prover, 0, 8);
    assert_inputs_proof(&prover, 3, (const char *const[]){
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"});
    merkle_prove_inclusion(&prover, 2, 3);
    assert_inputs_proof(&prover, 1, (const char *const[]){"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"});
    merkle_prove_consistency(&prover, 6, 8);
    assert_inputs_proof(&prover, 3, (const char *const[]){
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"});
    merkle_prove_consistency(&prover, 2, 5);
    assert_inputs_proof(&prover, 2, (const char *const[]){
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"});
}
END_TEST

static struct merkle_hash leaves[MOST];
static struct merkle_hash root_of[MOST + 1]; /* by size */

/* MTH of the RFC. */
static struct merkle_hash reference_root(int64_t from, int64_t to) {
    if (from == to) return merkle_root(&(struct merkle_tree){.size = 0});
    if (to - from == 1) return leaves[from];
    int64_t k = 1;
    while (k * 2 < to - from) k *= 2;
    struct merkle_hash left = reference_root(from, from + k), right = reference_root(from + k, to);
    return merkle_node(&left, &right);
}

/* PATH of the RFC. */
static void reference_path(int64_t index, int64_t from, int64_t to, struct merkle_proof *path) {
    if (to - from == 1) return;
    int64_t k = 1;
    while (k * 2 < to - from) k *= 2;
    bool left = index < from + k;
    reference_path(index, left ? from : from + k, left ? from + k : to, path);
    path->hashes[path->count++] = left ? reference_root(from + k, to) : reference_root(from, from + k);
}

/* SUBPROOF of the RFC. */
static void reference_consistency(int64_t old_size, int64_t from, int64_t to, bool whole, struct merkle_proof *proof) {
    if (old_size == to) {
        if (!whole) proof->hashes[proof->count++] = reference_root(from, to);
        return;
    }
    int64_t k = 1;
    while (k * 2 < to - from) k *= 2;
    bool left = old_size <= from + k;
    reference_consistency(old_size, left ? from : from + k, left ? from + k : to, left && whole, proof);
    proof->hashes[proof->count++] = left ? reference_root(from + k, to) : reference_root(from, from + k);
}

static void make_leaves(void) {
    for (int64_t i = 0; i < MOST; i++) leaves[i] = merkle_leaf(&i, sizeof i);
    for (int64_t size = 0; size <= MOST; size++) root_of[size] = reference_root(0, size);
}

static void assert_proof(struct merkle_prover *prover, const struct merkle_proof *expected) {
    while (prover->next < prover->size) merkle_prover_add(prover, &leaves[prover->next]);
    ck_assert_uint_eq(prover->proof.count, expected->count);
    for (size_t i = 0; i < expected->count; i++) assert_equal(&prover->proof.hashes[i], &expected->hashes[i]);
}

START_TEST(every_root_and_frontier_is_the_reference) {
    make_leaves();
    struct merkle_tree tree = {.size = 0};
    for (int64_t size = 0; size <= MOST; size++) {
        struct merkle_hash root = merkle_root(&tree);
        assert_equal(&root, &root_of[size]);
        if (size < MOST) merkle_append(&tree, &leaves[size]);
    }
}
END_TEST

START_TEST(every_inclusion_proof_is_the_reference) {
    make_leaves();
    for (int64_t size = 1; size <= MOST; size++)
        for (int64_t index = 0; index < size; index++) {
            struct merkle_proof expected = {.count = 0};
            reference_path(index, 0, size, &expected);
            struct merkle_prover prover;
            merkle_prove_inclusion(&prover, index, size);
            assert_proof(&prover, &expected);
            ck_assert(merkle_check_inclusion(&expected, &leaves[index], index, size, &root_of[size]));
        }
}
END_TEST

START_TEST(every_consistency_proof_is_the_reference) {
    make_leaves();
    for (int64_t size = 1; size <= MOST; size++)
        for (int64_t old = 1; old <= size; old++) {
            struct merkle_proof expected = {.count = 0};
            reference_consistency(old, 0, size, true, &expected);
            struct merkle_prover prover;
            merkle_prove_consistency(&prover, old, size);
            assert_proof(&prover, &expected);
            ck_assert(merkle_check_consistency(&expected, old, &root_of[old], size, &root_of[size]));
        }
}
END_TEST

/* What is wrong in one place is no proof: another leaf, index, size, root, an altered, missing or surplus hash. */
START_TEST(no_altered_inclusion_proof_is_taken) {
    make_leaves();
    for (int64_t size = 1; size <= 20; size++)
        for (int64_t index = 0; index < size; index++) {
            struct merkle_proof right = {.count = 0}, wrong;
            reference_path(index, 0, size, &right);
            for (int64_t other = -1; other <= size; other++)
                if (other != index) ck_assert(!merkle_check_inclusion(&right, &leaves[index], other, size, &root_of[size]));
            ck_assert(!merkle_check_inclusion(&right, &leaves[size], index, size, &root_of[size]));
            ck_assert(!merkle_check_inclusion(&right, &leaves[index], index, size, &root_of[size + 1]));
            for (size_t i = 0; i < right.count; i++) {
                wrong = right;
                wrong.hashes[i].bytes[31] ^= 1;
                ck_assert(!merkle_check_inclusion(&wrong, &leaves[index], index, size, &root_of[size]));
            }
            wrong = right;
            wrong.hashes[wrong.count++] = root_of[1];
            ck_assert(!merkle_check_inclusion(&wrong, &leaves[index], index, size, &root_of[size]));
            wrong = right;
            if (wrong.count--) ck_assert(!merkle_check_inclusion(&wrong, &leaves[index], index, size, &root_of[size]));
        }
}
END_TEST

START_TEST(no_altered_consistency_proof_is_taken) {
    make_leaves();
    for (int64_t size = 1; size <= 20; size++)
        for (int64_t old = 1; old <= size; old++) {
            struct merkle_proof right = {.count = 0}, wrong;
            reference_consistency(old, 0, size, true, &right);
            for (int64_t other = -1; other <= size + 1; other++) {
                if (other != old) ck_assert(!merkle_check_consistency(&right, other, &root_of[old], size, &root_of[size]));
                if (other >= 0 && other != old)
                    ck_assert(!merkle_check_consistency(&right, old, &root_of[other], size, &root_of[size]));
            }
            ck_assert(!merkle_check_consistency(&right, old, &root_of[old], size, &root_of[size + 1]));
            for (size_t i = 0; i < right.count; i++) {
                wrong = right;
                wrong.hashes[i].bytes[0] ^= 0x80;
                ck_assert(!merkle_check_consistency(&wrong, old, &root_of[old], size, &root_of[size]));
            }
            wrong = right;
            wrong.hashes[wrong.count++] = root_of[1];
            ck_assert(!merkle_check_consistency(&wrong, old, &root_of[old], size, &root_of[size]));
            wrong = right;
            if (wrong.count--) ck_assert(!merkle_check_consistency(&wrong, old, &root_of[old], size, &root_of[size]));
        }
}
END_TEST

/* What pruning leaves: the frontier at a size, and the leaves behind it. */
START_TEST(proofs_are_made_from_a_frontier_too) {
    make_leaves();
    struct merkle_tree known = {.size = 0};
    for (; known.size <= 40; merkle_append(&known, &leaves[known.size]))
        for (int64_t size = known.size + 1; size <= MOST; size++)
            for (int64_t index = 0; index < size; index++) {
                struct merkle_proof expected = {.count = 0};
                struct merkle_prover prover;
                reference_path(index, 0, size, &expected);
                merkle_prove_inclusion(&prover, index, size);
                bool skipped = merkle_prover_skip(&prover, &known);
                if (index >= known.size) ck_assert(skipped);
                assert_proof(&prover, &expected);
                if (!index) continue;
                expected.count = 0;
                reference_consistency(index, 0, size, true, &expected);
                merkle_prove_consistency(&prover, index, size);
                skipped = merkle_prover_skip(&prover, &known);
                if (index >= known.size) ck_assert(skipped);
                assert_proof(&prover, &expected);
            }
}
END_TEST

UNIT_MAIN("journal/merkle", roots_are_those_of_certificate_transparency, proofs_are_those_of_certificate_transparency,
          every_root_and_frontier_is_the_reference, every_inclusion_proof_is_the_reference,
          every_consistency_proof_is_the_reference, no_altered_inclusion_proof_is_taken,
          no_altered_consistency_proof_is_taken, proofs_are_made_from_a_frontier_too)
