/* The journal's writer: entries in, "on disk" out. One writer thread numbers and hashes all that are waiting, puts them on
 * disk with one write and one fdatasync (group commit), and then says so. It also signs: a checkpoint follows a group when
 * a second has passed since the last one, comes once an hour even when nothing happens, and at the end. The loop never
 * calls fsync. Nothing irrevocable may happen before its intent's ticket came back without an error.
 *
 * A failed write or fsync is never retried: the tickets of the group come back with ERR_IO, and the next group opens a new
 * segment that continues the chain after the last entry known to be on disk. */
#ifndef LAPSED_JOURNAL_JOURNAL_H
#define LAPSED_JOURNAL_JOURNAL_H

#include "base/arena.h"
#include "base/err.h"
#include "base/period.h"
#include "journal/entry.h"
#include "journal/signer.h"

struct journal;

struct journal_conf {
    const char *folder; /* made (0750) if its parent exists */
    int64_t segment_bytes, segment_age_us; /* a new segment after so much, or so long */
    int64_t reserve_bytes; /* with less than it left on the disk there is no room (journal_has_room); 0: nobody looks */
    struct period keep;     /* as for journal_prune: a prune entry that nobody signed and that removes younger entries is refused */
    struct signers signers; /* sign the checkpoints; the journal frees them, also where it cannot be opened. None: no checkpoints */
    /* Called on the writer thread, under its lock, whenever tickets are ready to be collected; must only wake the loop. Never
     * after journal_close. */
    void (*wake)(void *context);
    void *context;
    /* NULL, or called by journal_open for every entry that is there, in order: who keeps a state of its own (holds, say)
     * makes it anew from them. */
    void (*seen)(void *context, const struct entry *entry);
    void *seen_context;
};

/* Embedded in its owner; not to be touched between append and done. */
struct journal_ticket {
    /* Called by journal_collect, on the loop, exactly once. err is NULL when the entry and all before it are on disk;
     * ERR_UNAVAILABLE: an intent for whose outcome the disk has no room, or that could not be signed. It is not entered; the journal is well. */
    void (*done)(struct journal_ticket *ticket, const struct err *err);
    int64_t seq; /* of the entry's first line, once it is on disk */
    struct journal_ticket *next;
    struct err err;
};

/* An intent that no outcome follows, found at start: to be settled by asking its store. */
struct open_intent {
    int64_t seq, sweep, batch;
    const char *rule, *store, *target, *transaction, *server; /* "" where the intent has none */
};

/* Opens or makes the journal, alone (a second daemon on the folder is ERR_CONFIG: it names the other's process id).
 * Verifies every segment; a torn tail of the open segment is cut, kept aside as torn-<first seq>-<8 hex> and entered
 * (event "recover"); damage anywhere else is ERR_IO naming file, line and byte. ret_open: intents to settle, in `arena`. */
int journal_open(const struct journal_conf *conf, struct arena *arena, struct journal **ret_journal,
                 const struct open_intent **ret_open, size_t *ret_n_open, struct err *err) MUST_CHECK;
/* Copies the entry; an intent's leaves are on disk, in the evidence file of its segment, before it is. The ticket may be NULL where nobody waits:
 * such an entry of a group that failed goes with the next one. Else the order of calls is the order of entries. */
void journal_append(struct journal *journal, const struct entry *entry, struct journal_ticket *ticket);
/* Removes what has served its time at this instant: closed segments whose last entry is older than `keep` (count 0: never), after an
 * entry that is signed, and the evidence of segments older than `keep_evidence`. Behind all that was appended before, on the writer thread. Only
 * for who is sure what time it is: a clock that is wrong by years would remove everything. A journal that cannot be written removes nothing. */
void journal_prune(struct journal *journal, int64_t now_us, struct period keep, struct period keep_evidence);
/* On the loop: calls `done` of every ticket that is ready. */
void journal_collect(struct journal *journal);
/* The instant and the seq of the last entry on disk (0 if there is none). */
int64_t journal_last_time_us(const struct journal *journal);
int64_t journal_last_seq(const struct journal *journal);
/* Next sweep number and so on: the highest sweep number entered so far, 0 if none. */
int64_t journal_last_sweep(const struct journal *journal);
/* Whether the last group could be written. While not, each append tries anew. */
bool journal_healthy(const struct journal *journal);
/* Whether the last checkpoint that was tried could be signed and entered. While not, it is tried again and again, at least
 * once a minute, and intents are refused; `wake` is called when it changes. */
bool journal_can_sign(const struct journal *journal);
/* Whether the disk has room for what follows an intent: not any more with less than reserve_bytes left, again with twice
 * that. Looked at with each group, and each second while there is none; `wake` is called when it changes. */
bool journal_has_room(const struct journal *journal, int64_t *ret_left);
/* Waits (at most 10 s) until all is on disk and signed, calls `done` of the rest, joins the thread, frees. A disk that does not
 * answer in that time: the rest gets ERR_IO, and the thread is left to the end of the process. Returns whether all is on disk and signed. */
bool journal_close(struct journal *journal);

#endif
