/* Whether the evidence beside a journal is what the intents promise: where no batch has a record's leaf, that alone shows
 * that none destroyed it. Fed while the journal goes by; keeps the intents of one segment at a time. */
#ifndef LAPSED_JOURNAL_EVIDENCE_CHECK_H
#define LAPSED_JOURNAL_EVIDENCE_CHECK_H

#include "journal/merkle.h"
#include "journal/scan.h"

struct evidence_check {
    const char *folder;
    int64_t oldest; /* the first seq of the oldest evidence file: that of the segments before it served its time */
    int64_t bad;    /* batches whose evidence is missing or has another root than their intent */
    int64_t segment; /* the first seq of the one that goes by */
    struct evidence_promise { int64_t seq; bool kept; char root[ENTRY_HASH_HEX + 1]; } *promises; /* of its intents, in their order */
    size_t n_promises, room;
    bool failed;
    struct err err;
};

/* A visitor's `entry`, with the check as its context. */
void evidence_check_entry(void *check, const struct scan_entry *found);
/* After the last entry, and frees. Fails when an evidence file cannot be read. */
int evidence_check_end(struct evidence_check *check, int64_t *ret_bad, struct err *err) MUST_CHECK;
void evidence_check_free(struct evidence_check *check);

#endif
