#include "journal/merkle.h"

#include <assert.h>
#include <string.h>

struct merkle_hash merkle_leaf(const void *data, size_t length) {
    struct sha256 sha256;
    struct merkle_hash hash;
    sha256_start(&sha256);
    sha256_add(&sha256, "\x00", 1);
    sha256_add(&sha256, data, length);
    sha256_end(&sha256, hash.bytes);
    return hash;
}

struct merkle_hash merkle_node(const struct merkle_hash *left, const struct merkle_hash *right) {
    struct sha256 sha256;
    struct merkle_hash hash;
    unsigned char data[1 + 2 * SHA256_BYTES + SHA256_ROOM] = {1};
    memcpy(data + 1, left->bytes, SHA256_BYTES);
    memcpy(data + 1 + SHA256_BYTES, right->bytes, SHA256_BYTES);
    sha256_start(&sha256);
    sha256_at_once(&sha256, data, 1 + 2 * SHA256_BYTES, hash.bytes);
    return hash;
}

void merkle_two_nodes(const struct merkle_hash below[4], struct merkle_hash ret_nodes[2]) {
    struct sha256 sha256;
    unsigned char data[2][1 + 2 * SHA256_BYTES + SHA256_ROOM];
    for (size_t i = 0; i < 2; i++) {
        data[i][0] = 1;
        memcpy(data[i] + 1, below[2 * i].bytes, 2 * sizeof *below);
        memset(data[i] + 1 + 2 * sizeof *below, 0, SHA256_ROOM);
    }
    sha256_start(&sha256);
    sha256_two_at_once(&sha256, (unsigned char *[]){data[0], data[1]}, (size_t[]){1 + 2 * SHA256_BYTES, 1 + 2 * SHA256_BYTES},
                       (unsigned char *[]){ret_nodes[0].bytes, ret_nodes[1].bytes});
}

bool merkle_equal(const struct merkle_hash *a, const struct merkle_hash *b) { return !memcmp(a->bytes, b->bytes, sizeof a->bytes); }

size_t merkle_frontier_length(int64_t size) { return (size_t)__builtin_popcountll((unsigned long long)size); }

void merkle_append(struct merkle_tree *tree, const struct merkle_hash *leaf) {
    size_t count = merkle_frontier_length(tree->size);
    struct merkle_hash hash = *leaf;
    for (int64_t size = tree->size; size & 1; size >>= 1) hash = merkle_node(&tree->frontier[--count], &hash);
    tree->frontier[count] = hash;
    tree->size++;
}

struct merkle_hash merkle_root(const struct merkle_tree *tree) {
    size_t count = merkle_frontier_length(tree->size);
    struct merkle_hash hash;
    if (!count) {
        struct sha256 sha256;
        sha256_start(&sha256);
        sha256_end(&sha256, hash.bytes);
        return hash;
    }
    hash = tree->frontier[--count];
    while (count) hash = merkle_node(&tree->frontier[--count], &hash);
    return hash;
}

/* The largest power of two that is smaller than the size: where a tree of more than one leaf divides. */
static int64_t left_size(int64_t size) {
    int64_t left = 1;
    while (left <= (size - 1) / 2) left *= 2;
    return left;
}

/* ---- making proofs ---- */

/* From the root down, that is from the proof's last hash to its first: they are put into order at the end. */
static void add_span(struct merkle_prover *prover, int64_t from, int64_t to) {
    assert(prover->n_spans < MERKLE_MOST);
    size_t place = prover->n_spans++;
    prover->spans[place].from = from;
    prover->spans[place].to = to;
    prover->spans[place].place = place;
}

static void sort_spans(struct merkle_prover *prover) {
    prover->proof.count = prover->n_spans;
    for (size_t i = 0; i < prover->n_spans; i++) {
        __typeof__(prover->spans[0]) span = prover->spans[i];
        span.place = prover->n_spans - 1 - span.place;
        size_t at = i;
        for (; at && prover->spans[at - 1].from > span.from; at--) prover->spans[at] = prover->spans[at - 1];
        prover->spans[at] = span;
    }
}

void merkle_prove_inclusion(struct merkle_prover *prover, int64_t index, int64_t size) {
    assert(index >= 0 && index < size);
    *prover = (struct merkle_prover){.size = size};
    for (int64_t from = 0, to = size; to - from > 1;) {
        int64_t middle = from + left_size(to - from);
        if (index < middle) {
            add_span(prover, middle, to);
            to = middle;
        } else {
            add_span(prover, from, middle);
            from = middle;
        }
    }
    sort_spans(prover);
}

/* SUBPROOF of the RFC. The subtree that is the old tree's own need not be proven to who has the old root: that is so
 * as long as the way down only went left. */
void merkle_prove_consistency(struct merkle_prover *prover, int64_t old_size, int64_t size) {
    assert(old_size > 0 && old_size <= size);
    *prover = (struct merkle_prover){.size = size};
    int64_t from = 0, to = size;
    while (old_size != to) {
        int64_t middle = from + left_size(to - from);
        if (old_size <= middle) {
            add_span(prover, middle, to);
            to = middle;
        } else {
            add_span(prover, from, middle);
            from = middle;
        }
    }
    if (from) add_span(prover, from, to);
    sort_spans(prover);
}

/* A span is done when all its leaves went by. */
static void end_span(struct merkle_prover *prover) {
    if (prover->span == prover->n_spans || prover->next != prover->spans[prover->span].to) return;
    prover->proof.hashes[prover->spans[prover->span].place] = merkle_root(&prover->within);
    prover->within.size = 0;
    prover->span++;
}

/* A subtree of this width whose leaves are not at hand: part of a span, or of what no span covers. */
static bool skip_subtree(struct merkle_prover *prover, int64_t width, const struct merkle_hash *root) {
    int64_t end = prover->next + width;
    bool more = prover->span < prover->n_spans;
    if (more && prover->next >= prover->spans[prover->span].from) {
        if (end > prover->spans[prover->span].to) return false;
        /* Subtrees come in falling size, so this one is a subtree of the span's own tree too. */
        prover->within.frontier[merkle_frontier_length(prover->within.size)] = *root;
        prover->within.size += width;
    } else if (end > (more ? prover->spans[prover->span].from : prover->size)) {
        return false;
    }
    prover->next = end;
    end_span(prover);
    return true;
}

bool merkle_prover_skip(struct merkle_prover *prover, const struct merkle_tree *known) {
    assert(!prover->next);
    struct merkle_prover skipped = *prover;
    int64_t left = known->size;
    for (const struct merkle_hash *root = known->frontier; left; root++) {
        int64_t width = INT64_C(1) << (63 - __builtin_clzll((unsigned long long)left));
        if (!skip_subtree(&skipped, width, root)) return false;
        left -= width;
    }
    *prover = skipped;
    return true;
}

void merkle_prover_add(struct merkle_prover *prover, const struct merkle_hash *leaf) {
    assert(prover->next < prover->size);
    if (prover->span < prover->n_spans && prover->next >= prover->spans[prover->span].from) merkle_append(&prover->within, leaf);
    prover->next++;
    end_span(prover);
}

/* ---- checking proofs: RFC 9162, sections 2.1.3.2 and 2.1.4.2 ---- */

bool merkle_check_inclusion(const struct merkle_proof *proof, const struct merkle_hash *leaf, int64_t index, int64_t size,
                            const struct merkle_hash *root) {
    if (index < 0 || index >= size || proof->count > MERKLE_MOST) return false;
    int64_t at = index, last = size - 1;
    struct merkle_hash hash = *leaf;
    for (size_t i = 0; i < proof->count; i++) {
        if (!last) return false;
        if (at & 1 || at == last) {
            hash = merkle_node(&proof->hashes[i], &hash);
            for (; at && !(at & 1); at >>= 1) last >>= 1;
        } else {
            hash = merkle_node(&hash, &proof->hashes[i]);
        }
        at >>= 1;
        last >>= 1;
    }
    return !last && merkle_equal(&hash, root);
}

bool merkle_check_consistency(const struct merkle_proof *proof, int64_t old_size, const struct merkle_hash *old_root, int64_t size,
                              const struct merkle_hash *root) {
    if (old_size <= 0 || old_size > size || proof->count > MERKLE_MOST) return false;
    if (old_size == size) return !proof->count && merkle_equal(old_root, root);
    /* An old tree that is a whole subtree is not repeated in the proof. */
    bool whole = !(old_size & (old_size - 1));
    if (!whole && !proof->count) return false;
    struct merkle_hash old_hash = whole ? *old_root : proof->hashes[0], hash = old_hash;
    int64_t at = old_size - 1, last = size - 1;
    for (; at & 1; at >>= 1) last >>= 1;
    for (size_t i = whole ? 0 : 1; i < proof->count; i++) {
        if (!last) return false;
        if (at & 1 || at == last) {
            old_hash = merkle_node(&proof->hashes[i], &old_hash);
            hash = merkle_node(&proof->hashes[i], &hash);
            for (; at && !(at & 1); at >>= 1) last >>= 1;
        } else {
            hash = merkle_node(&hash, &proof->hashes[i]);
        }
        at >>= 1;
        last >>= 1;
    }
    return !last && merkle_equal(&old_hash, old_root) && merkle_equal(&hash, root);
}
