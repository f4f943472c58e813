#include "leaves.h"

#include "unit.h"

#include <string.h>

enum { MOST_LEAVES = 100000 };

static struct merkle_hash found[MOST_LEAVES];
static size_t n_found;

void leaves_clear(void) { n_found = 0; }

void leaves_add(const struct batch *batch) {
    const struct evidence *evidence = &batch->evidence;
    char root[EVIDENCE_HEX + 1] = "";
    if (!batch->range) ck_assert_uint_eq(evidence->n_leaves, (size_t)(batch->records + batch->dependents));
    else ck_assert_uint_lt(evidence->n_leaves, (size_t)(batch->records + batch->dependents));
    for (size_t i = 1; i < evidence->n_leaves; i++)
        ck_assert_msg(memcmp(&evidence->leaves[i - 1], &evidence->leaves[i], sizeof *evidence->leaves) < 0, "leaves out of order, or twice");
    if (evidence->n_leaves) text_hex(root, evidence_root(evidence->leaves, evidence->n_leaves).bytes);
    ck_assert_str_eq(evidence->root, root);
    ck_assert_uint_le(n_found + evidence->n_leaves, MOST_LEAVES);
    if (evidence->n_leaves) memcpy(found + n_found, evidence->leaves, evidence->n_leaves * sizeof *found);
    n_found += evidence->n_leaves;
}

void leaves_expect(const char *const *names) {
    const struct evidence_key key = evidence_key(LEAVES_KEY);
    size_t count = 0;
    for (; names[count]; count++) {
        char r[EVIDENCE_HEX + 1];
        size_t times = 0;
        evidence_r(&key, names[count], strlen(names[count]), r);
        const struct merkle_hash leaf = evidence_leaf(r, names[count], strlen(names[count]));
        for (size_t i = 0; i < n_found; i++) times += merkle_equal(&leaf, &found[i]);
        ck_assert_msg(times == 1, "%s: %zu leaves", names[count], times);
    }
    ck_assert_uint_eq(n_found, count);
}

static int by_bytes(const void *a, const void *b) { return memcmp(a, b, sizeof *found); }

void leaves_expect_each_once(size_t count) {
    ck_assert_uint_eq(n_found, count);
    qsort(found, n_found, sizeof *found, by_bytes);
    for (size_t i = 1; i < n_found; i++) ck_assert_msg(memcmp(&found[i - 1], &found[i], sizeof *found) != 0, "a leaf twice");
}
