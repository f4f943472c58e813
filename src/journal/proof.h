/* A proof that one record was destroyed: a text that a stranger can check with the key that signs the journal at most, and
 * that shows no other record. Its lines, in this order and no others:
 *
 *   lapsed.proof/v1
 *   name ["main","invoices","17"]     what the record is called (evidence.h)
 *   r 8218bb83…                       opens its leaf: SHA-256(0x00, r + " " + name)
 *   path left 02a20e5e…               from the leaf to the root, the hash that stands on this side: SHA-256(0x01, left, right)
 *   intent 5feceb66…                  the hash of the entry before, and the entry itself: the root is its "evidence"
 *   {"v":1,…}
 *   outcome 6b86b273…                 the same of the entry that says the batch was committed
 *   {"v":1,…}
 *
 * and, where a signed checkpoint covers both entries, twice (for the intent and for the outcome) a line of ours and a proof
 * in the C2SP tlog-proof format, the checkpoint included:
 *
 *   tlog-proof intent
 *   c2sp.org/tlog-proof@v1
 *   … */
#ifndef LAPSED_JOURNAL_PROOF_H
#define LAPSED_JOURNAL_PROOF_H

#include "journal/evidence.h"
#include "journal/note.h"
#include "journal/reader.h"

struct proof_entry {
    char previous[ENTRY_HASH_HEX + 1]; /* the hash of the entry before */
    const char *line; /* without its line feed */
    int64_t seq;
    struct merkle_proof inclusion; /* in the tree of the checkpoint, where there is one */
};

struct proof_step {
    bool left; /* the other hash stands on the left */
    struct merkle_hash hash;
};

struct proof {
    const char *name;
    char r[EVIDENCE_HEX + 1];
    struct proof_step path[MERKLE_MOST];
    size_t n_path;
    struct proof_entry intent, outcome;
    const char *checkpoint; /* the signed note; NULL: none covers them */
};

/* The path of the leaf at `index` among the leaves of its batch. */
void proof_path(struct proof *proof, const struct merkle_hash *leaves, size_t n_leaves, size_t index);
/* Whether this outcome says that the whole batch of the intent was carried out; of a part nothing can be told of one record. */
bool proof_is_done(const struct entry *intent, const struct entry *outcome);
void proof_write(const struct proof *proof, struct buf *to);
/* Reads strictly and checks all there is to check: ERR_REFUSED says what is wrong. Whose signatures the
 * checkpoint bears (*ret_note, where ret_proof->checkpoint) is for the caller to verify. The lines as entries in ret_intent and
 * ret_outcome; everything in `arena`. */
int proof_read(const char *text, size_t length, struct arena *arena, struct proof *ret_proof, struct entry_line *ret_intent,
               struct entry_line *ret_outcome, struct note *ret_note, struct err *err) MUST_CHECK;

#endif
