/* Evidence: what lets one destroyed record be proven destroyed without showing any other, and without an identifier in the
 * journal. Each record is a leaf
 *     leaf = SHA-256(0x00, hex(r) + " " + name)      r = HMAC-SHA-256(period key, name)
 * of a Merkle tree (RFC 6962) over a batch's leaves in ascending order. The tree's root stands in the batch's intent, the
 * leaves in a file beside the journal. Who is given name and r can compute the leaf; nobody can guess it without r, and
 * when the period's key is destroyed nobody can make r again.
 *
 * A name is a JSON array without spaces of the store, the target and the values of the record's identity:
 * ["main","invoices","17"]. Values are texts; what is none in its store (an ObjectId) is a JSON object that says its type. */
#ifndef LAPSED_JOURNAL_EVIDENCE_H
#define LAPSED_JOURNAL_EVIDENCE_H

#include "base/arena.h"
#include "base/text.h"
#include "journal/merkle.h"

enum { EVIDENCE_KEY_BYTES = 32, EVIDENCE_HEX = 64 };

/* The evidence of one batch. No leaves: nothing could be enumerated, and there is no root. */
struct evidence {
    const struct merkle_hash *leaves; /* ascending */
    size_t n_leaves;
    char root[EVIDENCE_HEX + 1]; /* in hex; "" without leaves */
};

/* HMAC-SHA-256 with one key, ready to be used many times. */
struct evidence_key {
    struct sha256 inner, outer;
};
struct evidence_key evidence_key(const unsigned char bytes[EVIDENCE_KEY_BYTES]);

/* A name that is being made, behind room for what a leaf begins with. */
struct evidence_message {
    struct buf text;
    const char *store, *target; /* of the last record */
    size_t n_prefix; /* what all of them begin with: that room, store and target */
};

/* Gathers the leaves of a batch, on the thread that destroys it. For each record: evidence_record, its values in order,
 * evidence_add. What evidence_end gives lives in the arena; evidence_free frees the rest (zero-initialised it is fine, too). */
struct evidence_batch {
    struct arena *arena;
    bool off; /* no key: nothing is gathered */
    struct evidence_key key;
    const char *store;
    struct evidence_message messages[2]; /* hashed together */
    unsigned char inner[2][SHA256_BYTES + SHA256_ROOM]; /* of their HMACs; zero behind the hash */
    bool waits; /* the first of them is whole and waits for the second, which is being made */
    struct merkle_hash *leaves;
    size_t n_leaves, n_room;
};
/* key NULL: nothing is gathered (read-only use). */
void evidence_begin(struct evidence_batch *batch, struct arena *arena, const unsigned char *key, const char *store);
/* The target's text must stay as it is until evidence_end. */
void evidence_record(struct evidence_batch *batch, const char *target);
void evidence_text(struct evidence_batch *batch, const char *text); /* NULL: null */
/* Bytes that may be no text: where they are not UTF-8, or hold NUL, {"$hex":"…"}. */
void evidence_bytes(struct evidence_batch *batch, const char *bytes, size_t length);
void evidence_json(struct evidence_batch *batch, const char *json); /* one JSON value, as it is */
void evidence_add(struct evidence_batch *batch);
/* evidence_add in two steps, for records that are hashed before it is known which batch they go with. Without a key the hash
 * is zero and nothing is added. */
struct merkle_hash evidence_hash(struct evidence_batch *batch);
void evidence_add_hash(struct evidence_batch *batch, const struct merkle_hash *hash);
struct evidence evidence_end(struct evidence_batch *batch);
void evidence_free(struct evidence_batch *batch); /* for the cleanup attribute, too */

/* The same step by step, for proofs. */
void evidence_name_begin(struct buf *name, const char *store, const char *target);
void evidence_name_bytes(struct buf *name, const char *bytes, size_t length);
void evidence_name_end(struct buf *name);
/* r of a name, in hex. */
void evidence_r(const struct evidence_key *key, const char *name, size_t length, char ret_r[EVIDENCE_HEX + 1]);
struct merkle_hash evidence_leaf(const char r[EVIDENCE_HEX + 1], const char *name, size_t length);
struct merkle_hash evidence_root(const struct merkle_hash *leaves, size_t n_leaves);

#endif
