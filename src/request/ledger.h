/* What the journal says of requests: which holds stand, what is approved, whether all is paused, which ids were used for what. It is made anew
 * at each start from the journal's entries, in their order, and follows each further one when it is on disk: the journal is
 * the authority, there is no other state to lose. Entries that say it again ("stands") keep it alive when old segments are
 * pruned.
 *
 * requests.json in the state folder is a copy for lapsectl, which the daemon never reads. */
#ifndef LAPSED_REQUEST_LEDGER_H
#define LAPSED_REQUEST_LEDGER_H

#include "journal/entry.h"
#include "schedule/brake.h"
#include "schedule/holds.h"

struct ledger;

struct pause {
    const char *id, *ground, *request; /* request: its SHA-256 in hex */
    int64_t since_us;
    uint32_t author;
};

struct ledger *ledger_new(void);
void ledger_free(struct ledger *ledger); /* NULL is fine */
/* Any entry, in their order. A hold is released no earlier than the latest entry before, and the time that a clock was set over when
 * a person accepted it is no cooling-off time. */
void ledger_note(struct ledger *ledger, const struct entry *entry);
/* The holds in force at `now` (a time that is surely not ahead): those that were not released, or whose cooling-off time is not over. Valid until the next call
 * or ledger_note. */
const struct holds *ledger_holds(struct ledger *ledger, int64_t now_us, int64_t cooling_off_us);
/* The hold of this id, also one that was released; NULL: there is none. */
const struct hold *ledger_hold(const struct ledger *ledger, const char *id);
const char *ledger_hold_request(const struct ledger *ledger, const char *id); /* SHA-256 of the request that placed it */
/* The approvals that are neither spent nor void. Valid until the next ledger_note. */
const struct approvals *ledger_approvals(const struct ledger *ledger);
const struct pause *ledger_pause(const struct ledger *ledger); /* NULL: not paused */
/* The SHA-256 of the accepted request with this id; NULL: not used. */
const char *ledger_request(const struct ledger *ledger, const char *id);
/* The copy for lapsectl. */
void ledger_json(struct ledger *ledger, int64_t now_us, int64_t cooling_off_us, struct buf *to);

/* What lapsectl reads of it. */
struct ledger_copy {
    struct holds holds;
    const int64_t *until_us; /* by hold: when it stops to count; TIME_FOREVER: it was not released */
    struct approvals approvals;
    bool paused;
    const char *paused_ground;
    int64_t paused_since_us;
};

#define LEDGER_COPY "requests.json"
/* Everything is taken from `arena`. A folder without the file: nothing was ever asked. */
int ledger_copy_read(const char *state_folder, struct arena *arena, struct ledger_copy *ret_copy, struct err *err) MUST_CHECK;

#endif
