/* What the daemon does with a journal before it writes to it: verifies everything, undoes a closing that a crash interrupted, puts once more on disk
 * what stands behind the last checkpoint, cuts a torn tail off, and finds the intents that have no final outcome. */
#ifndef LAPSED_JOURNAL_RECOVER_H
#define LAPSED_JOURNAL_RECOVER_H

#include "journal/file.h"
#include "journal/journal.h"

struct recovered {
    struct file file;
    struct position last;
    struct merkle_tree tree; /* of all entries up to there */
    char origin[NOTE_MOST_NAME]; /* of the log; "" where there is none yet */
    int64_t pruned_seq; /* entries up to here were declared removed, by an entry that the file checkpoint covers */
    int64_t last_sweep;
    const struct cut *cuts; /* to be entered, all at once: what was cut off, also by an earlier start that did not come to enter it */
    size_t n_cuts;
    const struct open_intent *open;
    size_t n_open;
};

/* seen is called for every entry (journal_conf). `folder` must outlive ret_recovered->file; lists are in `arena`. ERR_CONFIG:
 * the private key is not of this log; nothing was changed. */
int recover_journal(const struct journal_conf *conf, const struct folder *folder, struct arena *arena, struct recovered *ret_recovered,
                    struct err *err) MUST_CHECK;

#endif
