/* The leaves of evidence. The expected values come from Python:
 *   r = hmac.new(bytes(range(32)), name, "sha256").hexdigest(); leaf = sha256(b"\0" + r.encode() + b" " + name).digest() */
#include "journal/evidence.h"
#include "unit.h"

#include <stdio.h>

static const char *const expected[] = {"c3ca8d6f7a69a2f473215095fb0b4b6039b478e680f54955a1a2121bbfa55030",
                                       "0cfd785be496b8c3de47403539f965c3809c2954e7e45ceeb1ca358a0843beee",
                                       "ea00fef31cea298afc6eb4428690ac2c12900ea38684927721c848e65e7cbd8b",
                                       "34af6e085c5aafdb98f51e5e8bd27bb0108221cbdc228a3c095e30e6ca9c2e9c",
                                       "f0158b5f61c1c69b4574e0c2df4c4c8347482adbd6f4a64fb727f3ea20091945"};
enum { N_EXPECTED = sizeof expected / sizeof *expected };

static unsigned char key[EVIDENCE_KEY_BYTES];

static struct arena *set_up(struct evidence_batch *batch, const char *store) {
    struct arena *arena = arena_new();
    for (size_t i = 0; i < sizeof key; i++) key[i] = (unsigned char)i;
    evidence_begin(batch, arena, key, store);
    return arena;
}

static bool has(const struct evidence *evidence, const char *hex) {
    char own[EVIDENCE_HEX + 1];
    bool found = false;
    for (size_t i = 0; i < evidence->n_leaves; i++) {
        text_hex(own, evidence->leaves[i].bytes);
        found |= !strcmp(own, hex);
    }
    return found;
}

START_TEST(leaves_are_what_python_makes_of_them) {
    struct evidence_batch batch;
    struct arena *arena = set_up(&batch, "main");
    evidence_record(&batch, "invoices");
    evidence_text(&batch, "17");
    evidence_add(&batch);
    evidence_record(&batch, "fees");
    evidence_text(&batch, "7");
    evidence_text(&batch, "Zo\xc3\xab \"x\"");
    evidence_add(&batch);
    evidence_record(&batch, "t");
    evidence_text(&batch, NULL);
    evidence_add(&batch);
    batch.store = "docs";
    evidence_record(&batch, "content");
    evidence_json(&batch, "{\"$oid\":\"507f1f77bcf86cd799439011\"}");
    evidence_add(&batch);
    batch.store = "cache";
    evidence_record(&batch, "k:*");
    evidence_bytes(&batch, "k\0\xff", 3);
    evidence_add(&batch);
    struct evidence evidence = evidence_end(&batch);
    ck_assert_uint_eq(evidence.n_leaves, N_EXPECTED);
    for (size_t i = 0; i < N_EXPECTED; i++) ck_assert_msg(has(&evidence, expected[i]), "%s", expected[i]);
    ck_assert_str_eq(evidence.root, "02a20e5e2bcdb68c5fe0d2e5fa3ef8ada6a81641a5f39be16074b63077be208a");
    for (size_t i = 1; i < N_EXPECTED; i++) ck_assert_int_lt(memcmp(&evidence.leaves[i - 1], &evidence.leaves[i], 32), 0);
    evidence_free(&batch);
    arena_free(arena);
}
END_TEST

START_TEST(bytes_that_are_text_are_texts) {
    struct evidence_batch batch;
    struct arena *arena = set_up(&batch, "main");
    evidence_record(&batch, "invoices");
    evidence_bytes(&batch, "17-not-this", 2);
    evidence_add(&batch);
    struct evidence evidence = evidence_end(&batch);
    ck_assert(has(&evidence, expected[0]));
    ck_assert_str_eq(evidence.root, expected[0]); /* of one leaf it is the leaf */
    evidence_free(&batch);
    arena_free(arena);
}
END_TEST

START_TEST(r_is_an_hmac) {
    static const char name[] = "[\"main\",\"invoices\",\"17\"]";
    struct evidence_batch batch;
    struct arena *arena = set_up(&batch, "main");
    char r[EVIDENCE_HEX + 1], hex[EVIDENCE_HEX + 1];
    evidence_r(&batch.key, name, sizeof name - 1, r);
    ck_assert_str_eq(r, "8218bb837e23c080eeae60a143b0dc21efdb1bcbb5e89015d1d297a499c79494");
    text_hex(hex, evidence_leaf(r, name, sizeof name - 1).bytes);
    ck_assert_str_eq(hex, expected[0]);
    evidence_free(&batch);
    arena_free(arena);
}
END_TEST

/* A name that is hashed where it stands, for every place of its end in a block, and one that is very long. */
START_TEST(names_of_every_length_have_their_leaf) {
    struct evidence_batch batch;
    struct arena *arena = set_up(&batch, "main");
    enum { MOST = 300, HUGE = 9 << 20 };
    struct buf name = {.maximum = 2 * HUGE};
    char *text = xcalloc(HUGE + 1, 1), r[EVIDENCE_HEX + 1];
    struct merkle_hash leaves[MOST + 2];
    memset(text, 'x', HUGE);
    for (size_t length = 0; length <= MOST + 1; length++) {
        const char *key_text = text + HUGE - (length > MOST ? HUGE : length);
        evidence_record(&batch, "t");
        evidence_text(&batch, key_text);
        evidence_add(&batch);
        evidence_name_begin(&name, "main", "t");
        evidence_name_bytes(&name, key_text, strlen(key_text));
        evidence_name_end(&name);
        evidence_r(&batch.key, name.text, name.length, r);
        leaves[length] = evidence_leaf(r, name.text, name.length);
    }
    ck_assert(!evidence_end(&batch).root[EVIDENCE_HEX]);
    for (size_t i = 0; i <= MOST + 1; i++) ck_assert_msg(merkle_equal(&leaves[i], &batch.leaves[i]), "%zu", i);
    free(text);
    buf_free(&name);
    evidence_free(&batch);
    arena_free(arena);
}
END_TEST

START_TEST(the_root_is_that_of_the_tree) {
    enum { MOST = 70 };
    struct merkle_hash leaves[MOST];
    struct merkle_tree tree = {.size = 0};
    for (size_t n = 0; n <= MOST; n++) {
        struct merkle_hash root = merkle_root(&tree), own = evidence_root(leaves, n);
        ck_assert_msg(merkle_equal(&root, &own), "%zu leaves", n);
        if (n == MOST) break;
        leaves[n] = merkle_leaf(&n, sizeof n);
        merkle_append(&tree, &leaves[n]);
    }
}
END_TEST

START_TEST(leaves_are_sorted_however_they_come) {
    static const size_t counts[] = {1, 2, 17, 500, 60000};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct evidence_batch batch;
        struct arena *arena = set_up(&batch, "main");
        char text[24];
        for (size_t n = 0; n < counts[i]; n++) {
            (void)snprintf(text, sizeof text, "%zu", n % 7 ? n : 7); /* some of them several times */
            evidence_record(&batch, "t");
            evidence_text(&batch, text);
            evidence_add(&batch);
        }
        struct evidence evidence = evidence_end(&batch);
        ck_assert_uint_eq(evidence.n_leaves, counts[i]);
        for (size_t n = 1; n < counts[i]; n++) ck_assert_int_le(memcmp(&evidence.leaves[n - 1], &evidence.leaves[n], sizeof *evidence.leaves), 0);
        evidence_free(&batch);
        arena_free(arena);
    }
}
END_TEST

/* One hash at a time in between, as Redis makes them, takes nothing away from those that are made in twos. */
START_TEST(single_hashes_between_others) {
    struct evidence_batch batch;
    struct arena *arena = set_up(&batch, "main");
    evidence_record(&batch, "fees");
    evidence_text(&batch, "7");
    evidence_text(&batch, "Zo\xc3\xab \"x\"");
    evidence_add(&batch);
    evidence_record(&batch, "invoices");
    evidence_text(&batch, "17");
    const struct merkle_hash hash = evidence_hash(&batch);
    evidence_add_hash(&batch, &hash);
    evidence_record(&batch, "t");
    evidence_text(&batch, NULL);
    evidence_add(&batch);
    struct evidence evidence = evidence_end(&batch);
    ck_assert_uint_eq(evidence.n_leaves, 3);
    ck_assert(has(&evidence, expected[0]) && has(&evidence, expected[1]) && has(&evidence, expected[4]));
    evidence_free(&batch);
    arena_free(arena);
}
END_TEST

START_TEST(without_a_key_or_a_record_there_is_none) {
    struct evidence_batch batch;
    struct arena *arena = set_up(&batch, "main");
    struct evidence evidence = evidence_end(&batch);
    ck_assert(!evidence.n_leaves && !*evidence.root);
    evidence_free(&batch);
    evidence_begin(&batch, arena, NULL, "main");
    evidence_record(&batch, "invoices");
    evidence_text(&batch, "17");
    evidence_add(&batch);
    evidence = evidence_end(&batch);
    ck_assert(!evidence.n_leaves && !*evidence.root);
    evidence_free(&batch);
    arena_free(arena);
}
END_TEST

UNIT_MAIN("evidence", leaves_are_what_python_makes_of_them, bytes_that_are_text_are_texts, r_is_an_hmac, names_of_every_length_have_their_leaf,
          the_root_is_that_of_the_tree, leaves_are_sorted_however_they_come, single_hashes_between_others, without_a_key_or_a_record_there_is_none)
