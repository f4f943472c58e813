/* Entries of the journal: one JSON object a line, fixed key order, typed fields only. There is no field for free text, and
 * none ever holds personal data, a key, SQL or a server's words: tenant ids, names of rules, stores and targets, counts,
 * codes and instants are all there is. */
#ifndef LAPSED_JOURNAL_ENTRY_H
#define LAPSED_JOURNAL_ENTRY_H

#include "base/arena.h"
#include "base/text.h"
#include "journal/merkle.h"

#include <stdbool.h>
#include <stdint.h>

enum entry_event {
    ENTRY_START,
    ENTRY_STOP,
    ENTRY_SCHEDULE,
    ENTRY_SWEEP_BEGIN,
    ENTRY_SWEEP_END,
    ENTRY_INTENT,
    ENTRY_OUTCOME,
    ENTRY_FINDING,
    ENTRY_RECOVER,
    ENTRY_SEGMENT,
    ENTRY_CHECKPOINT,
    ENTRY_PRUNE,
    ENTRY_HOLD,
    ENTRY_RELEASE,
    ENTRY_PAUSE,
    ENTRY_RESUME,
    ENTRY_REFUSE,
    ENTRY_WAIT,
    ENTRY_APPROVE,
    ENTRY_CLOCK,
    ENTRY_EVENTS /* how many */
};

struct entry_tenant {
    const char *id; /* "" where the target has no tenants */
    int64_t records;
    int64_t cutoff_us; /* exclusive; for records bound to a tenant's end: that end */
};

/* A row of the retention table, for the schedule entry. */
struct entry_rule {
    const char *data, *keep, *anonymize /* NULL: none */, *at_least /* NULL: none */, *basis;
};

/* A row of a sweep's result. */
struct entry_result {
    const char *data;
    int64_t purged, anonymized, dependents, blocked, undecidable;
    int64_t left;   /* due and free to go, but still there; -1: could not be asked */
    int64_t lag_us; /* how long the oldest of those has been due; 0: none */
};

/* A closed segment that is removed. */
struct entry_removed {
    const char *file;
    int64_t first_seq, last_seq;
    const char *sha256; /* of the file, in hex */
    const char *root;   /* of the tree up to its last entry, in base64 */
};

/* Which of these fields an event has is said in lapsed-journal(5) and held by entry_write; the others are ignored. */
struct entry {
    enum entry_event event;
    int64_t time_us; /* 0: entry_write's caller (the writer) puts the present time */
    int64_t sweep, batch;        /* SWEEP_*, INTENT, OUTCOME, WAIT; FINDING: 0 = none */
    const char *version;         /* START */
    const char *const *keys;     /* START: the public keys that sign from here on, as vkeys */
    size_t n_keys;
    const char *trigger;         /* SWEEP_BEGIN: "timer", "signal", "once", "retry"; STOP: "signal", "once" */
    int64_t tenants_total;       /* SWEEP_BEGIN: how many tenants the query gave */
    const char *schedule;        /* SCHEDULE, INTENT: its SHA-256 in hex */
    const struct entry_rule *rules;
    size_t n_rules;
    const char *rule, *store, *target; /* INTENT, FINDING (NULL: null); HOLD: the rule (NULL: null); WAIT: the store (NULL: all); APPROVE: the rule (NULL: the list of tenants) */
    const char *action;          /* INTENT: "purge", "anonymize" */
    const char *from;            /* INTENT: the anchor's column, or the tenant's end by name; NULL: null */
    const struct entry_tenant *tenants; /* INTENT */
    size_t n_tenants;
    int64_t records, dependents; /* INTENT, OUTCOME */
    bool range;                  /* INTENT: "mode":"range" instead of "each" */
    const char *evidence;        /* INTENT: the root of its leaves in hex; NULL = null */
    const struct merkle_hash *evidence_leaves; /* INTENT: no field of it; journal_append puts them into the evidence file */
    size_t n_evidence_leaves;
    const char *transaction, *server; /* INTENT: "" = left out */
    const char *outcome;         /* OUTCOME: "committed", "rolled-back", "unknown", "settled", "unresolved"; SWEEP_END: "done", "ended-early", "failed"; HOLD: "placed",
                                  * "stands" (said again), "widened" (by the members listed); PAUSE: "placed", "stands"; APPROVE: "placed", "stands", "spent", "void" */
    const char *result;          /* OUTCOME "settled": "committed" or "rolled-back", else NULL */
    const char *code, *detail;   /* OUTCOME: err_code_name and SQLSTATE or number (NULL: none); FINDING, REFUSE, WAIT: its code */
    const char *tenant;          /* FINDING, HOLD, APPROVE; NULL: null */
    int64_t count;               /* FINDING */
    const struct entry_result *results; /* SWEEP_END */
    size_t n_results;
    int64_t cut_bytes;           /* RECOVER */
    const char *cut_sha256, *cut_file; /* RECOVER: the name in the journal's folder; NULL: null */
    const char *origin;          /* SEGMENT, CHECKPOINT: of the log */
    const char *previous;        /* SEGMENT: the hash of the entry before */
    const char *const *frontier; /* SEGMENT: of the tree of all entries before, in hex */
    size_t n_frontier;
    int64_t size;                /* CHECKPOINT: of the tree of all entries before: seq - 1 */
    const char *root;            /* CHECKPOINT: of that tree, in base64 */
    const char *const *signatures; /* CHECKPOINT: the lines of the note, without line feeds */
    size_t n_signatures;
    const struct entry_removed *removed; /* PRUNE */
    size_t n_removed;
    const char *id;              /* HOLD, RELEASE, PAUSE, RESUME, APPROVE, CLOCK, REFUSE: of the request; REFUSE: NULL = null */
    int64_t author;              /* the same: the user id that asked; -1: nobody can tell */
    const char *request;         /* the same: SHA-256 of the request in hex; REFUSE: NULL = null */
    const char *scope;           /* HOLD: "tenant", "subtree", "rule", "all" */
    const char *ground;          /* HOLD, PAUSE: a code */
    const char *digest;          /* APPROVE: SHA-256 of what it is for, in hex */
    int64_t placed_us;           /* HOLD, PAUSE, APPROVE; WAIT: when it began; CLOCK: the latest time that the journal had before */
    int64_t released_us;         /* HOLD: TIME_FOREVER (null): not released */
    const char *hold;            /* RELEASE: the hold's id */
    const char *const *members;  /* HOLD of a subtree: who belongs to it beside the tenant */
    size_t n_members;
};

enum { ENTRY_MOST_BYTES = 16384, ENTRY_HASH_HEX = 64 };
#define ENTRY_MOST_SEQ INT64_C(999999999999999) /* 300 years of 100,000 a second: what is more is no number of an entry */

const char *entry_event_name(enum entry_event event); /* "sweep-begin" */

/* Appends the line or, where an intent's tenants or another list need more than ENTRY_MOST_BYTES, several lines ("part":1,
 * 2, … with the same fields but the list divided; "parts" says how many), each with LF. `seq` is the first line's; hash is the previous
 * entry's on entry and the last line's on return. Returns how many lines. */
size_t entry_write(struct buf *to, const struct entry *entry, int64_t seq, char hash[ENTRY_HASH_HEX + 1]);

/* The two halves of entry_write: the fields as text, which needs nothing of the entry any more, and the numbered lines
 * that are made of it at `time_us`. */
struct draft;
struct draft *entry_draft(const struct entry *entry);
size_t entry_number(struct buf *to, const struct draft *draft, int64_t time_us, int64_t seq, char hash[ENTRY_HASH_HEX + 1]);
void entry_draft_free(struct draft *draft);

#endif
