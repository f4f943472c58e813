/* Finds the batch that destroyed a record, by its leaf in the evidence files, and makes the proof. */
#ifndef LAPSED_JOURNAL_PROVE_H
#define LAPSED_JOURNAL_PROVE_H

#include "journal/proof.h"

/* A record as it may be called, with r of one period key. */
struct prove_candidate {
    const char *name;
    char r[EVIDENCE_HEX + 1];
    struct merkle_hash leaf;
};

/* *ret_why stays NULL when there is a proof; else it says why there is none. Fails (ERR_IO) only on files that cannot be
 * read or a journal that is damaged. `tenant` (may be NULL): the batch must hold records of it. Of several batches the last
 * one is proven. The inclusion in the journal's checkpoint is part of it where the checkpoint covers both entries. */
int journal_prove(const char *folder, const struct prove_candidate *candidates, size_t n_candidates, const char *tenant, struct arena *arena,
                  struct proof *ret_proof, const char **ret_why, struct err *err) MUST_CHECK;

#endif
