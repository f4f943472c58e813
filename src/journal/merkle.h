/* The Merkle tree of RFC 6962 (Certificate Transparency): a leaf's hash is SHA-256(0x00, data), a node's is SHA-256(0x01,
 * left, right), and the left side of a tree is the largest power of two that is smaller than the tree. A tree grows in
 * memory that does not: all it keeps are the roots of its complete subtrees (its frontier). */
#ifndef LAPSED_JOURNAL_MERKLE_H
#define LAPSED_JOURNAL_MERKLE_H

#include "journal/sha256.h"

#include <stdbool.h>
#include <stdint.h>

/* Hashes of a frontier or of a proof: as many as a size (int64_t) has bits, and one. */
enum { MERKLE_MOST = 64 };

struct merkle_hash { unsigned char bytes[SHA256_BYTES]; };

/* All zero: the empty tree. Copied freely. */
struct merkle_tree {
    int64_t size;
    struct merkle_hash frontier[MERKLE_MOST]; /* one for each bit of size that is set, of the largest subtree first */
};

struct merkle_hash merkle_leaf(const void *data, size_t length);
struct merkle_hash merkle_node(const struct merkle_hash *left, const struct merkle_hash *right);
/* Those over four hashes, which they may take the place of. */
void merkle_two_nodes(const struct merkle_hash below[4], struct merkle_hash ret_nodes[2]);
bool merkle_equal(const struct merkle_hash *a, const struct merkle_hash *b);

void merkle_append(struct merkle_tree *tree, const struct merkle_hash *leaf);
/* Of the empty tree: SHA-256 of nothing. */
struct merkle_hash merkle_root(const struct merkle_tree *tree);
size_t merkle_frontier_length(int64_t size);

/* A proof: that a leaf is in a tree (its audit path, RFC 6962 section 2.1.1), or that a tree begins with an older one
 * (section 2.1.2). The hashes stand in the order of the RFC. */
struct merkle_proof {
    size_t count;
    struct merkle_hash hashes[MERKLE_MOST];
};

/* Makes a proof while the tree's leaves go by, in bounded memory: start, then add every leaf in order (or skip to where a
 * frontier is known, then add the rest); when `next` has reached `size`, `proof` is whole. */
struct merkle_prover {
    int64_t size, next; /* leaves of the tree; leaves seen */
    struct merkle_proof proof;
    struct {
        int64_t from, to; /* the leaves under the hash */
        size_t place;     /* of the hash in the proof */
    } spans[MERKLE_MOST]; /* in the order of the leaves */
    size_t n_spans, span; /* how many; the one that is next */
    struct merkle_tree within; /* of the leaves of that span so far */
};

/* index < size. */
void merkle_prove_inclusion(struct merkle_prover *prover, int64_t index, int64_t size);
/* 0 < old_size <= size. Of the same size the proof is empty. */
void merkle_prove_consistency(struct merkle_prover *prover, int64_t old_size, int64_t size);
/* Directly after the start: leaves up to here are not at hand any more, only their frontier. False if the proof needs
 * what the frontier does not tell (as it may for an index, or an old size, that lies before it): nothing is skipped then. */
bool merkle_prover_skip(struct merkle_prover *prover, const struct merkle_tree *known);
void merkle_prover_add(struct merkle_prover *prover, const struct merkle_hash *leaf);

/* Whether the proof shows that the tree of this root has this leaf there. */
bool merkle_check_inclusion(const struct merkle_proof *proof, const struct merkle_hash *leaf, int64_t index, int64_t size,
                            const struct merkle_hash *root);
/* Whether the proof shows that the tree begins with the old one. */
bool merkle_check_consistency(const struct merkle_proof *proof, int64_t old_size, const struct merkle_hash *old_root, int64_t size,
                              const struct merkle_hash *root);

#endif
