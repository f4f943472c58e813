/* Whether a journal is whole, signed and fresh: what auditors ask. */
#ifndef LAPSED_JOURNAL_VERIFY_H
#define LAPSED_JOURNAL_VERIFY_H

#include "journal/scan.h"

/* In the order of their weight. */
enum verify_verdict {
    VERIFY_WELL = 0,     /* whole, and signed up to its last checkpoint, behind which nothing stands */
    VERIFY_ALTERED = 1,  /* entries were altered, removed or put in another order, or a signature is wrong */
    VERIFY_UNSIGNED = 2, /* whole, but its end, or all of it, is not signed by one of the keys */
    VERIFY_OLD = 3,      /* shorter than a checkpoint, or older than it may be */
};

struct verify_question {
    const char *folder;
    struct note_keys keys;
    const struct note *older; /* a checkpoint that was kept elsewhere; NULL: none */
    int64_t now_us, most_age_us; /* of the last signed entry; 0: any */
    unsigned threads;
    void *context;
    void (*fault)(void *context, const struct scan_fault *fault);
    void (*progress)(void *context, int64_t bytes, int64_t of);
};

struct verify_answer {
    enum verify_verdict verdict;
    struct scan_result scan;
    int64_t unsigned_entries; /* of a whole journal: behind the last checkpoint that counts */
    bool older_unchecked; /* none of the keys signed the given checkpoint: who did is not known */
    char why[300]; /* of VERIFY_OLD and VERIFY_UNSIGNED, in words */
};

/* Fails when a file cannot be read, or no journal is there. */
int journal_verify(const struct verify_question *question, struct verify_answer *ret_answer, struct err *err) MUST_CHECK;

/* The file `checkpoint` of the folder, as it is and as a note. *ret_text is NULL where there is none; else malloc'ed. */
int journal_read_checkpoint(const char *folder, char **ret_text, struct note *ret_note, struct err *err) MUST_CHECK;

#endif
