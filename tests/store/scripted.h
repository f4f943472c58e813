/* A store in memory for tests: it keeps the contract of store.h like the others and does what its script says: fail the
 * n-th call of a verb, block in it until released, lose the answer to a commit. There is one server for all stores that are
 * opened in a process; records are told apart by their target's name. All functions may be called from any thread. */
#ifndef LAPSED_TESTS_SCRIPTED_H
#define LAPSED_TESTS_SCRIPTED_H

#include "store/store.h"

extern const struct store_driver scripted_driver; /* STORE_SCRIPTED, "scripted://anything" */

enum scripted_verb {
    SCRIPTED_PING,
    SCRIPTED_TENANTS,
    SCRIPTED_CHECK,
    SCRIPTED_PROBE,
    SCRIPTED_COUNT,
    SCRIPTED_UNDECIDABLE,
    SCRIPTED_BEGIN,
    SCRIPTED_PREPARE,
    SCRIPTED_COMMIT,   /* finish(commit = true) */
    SCRIPTED_ROLLBACK,
    SCRIPTED_SETTLE,
    SCRIPTED_PRESSURE,
    SCRIPTED_VERBS,
};

/* In place of an anchor: empty. */
#define SCRIPTED_NO_ANCHOR INT64_MIN

/* Everything is gone: records, tenants, script, call counts. No store may be open. */
void scripted_reset(void);

/* Adds the record or replaces it. tenant "": none. */
void scripted_put(const char *target, int number, const char *tenant, int64_t anchor_us);
/* Referenced by this table: due, but blocked. NULL: free again. */
void scripted_block_record(const char *target, int number, const char *by);
bool scripted_has(const char *target, int number);
bool scripted_is_anonymized(const char *target, int number);
size_t scripted_size(const char *target); /* NULL: of all targets */
/* True while a prepared batch has chosen the record: a real store would hold a lock on it. */
bool scripted_is_locked(const char *target, int number);

/* A line of the tenants query: the tenant's ends, in the schedule's order (TIME_FOREVER: running). A second call for the
 * same tenant replaces the line. NULL ends: the line is gone. */
void scripted_tenant(const char *id, const int64_t *ends, size_t n_ends);
void scripted_own_tables(const char *const *names, size_t count); /* what tenants_tables says; borrowed */

/* How others fare; the schedule's query is answered with query_says_wait where there is one. */
void scripted_pressure(struct pressure pressure);

/* How the server's clock differs from ours. */
void scripted_clock(int64_t ahead_us);
/* Batches are irrevocable (as in Redis) and settle knows nothing, or transactional (the default). */
void scripted_irrevocable(bool irrevocable);

/* Whoever prepares a batch was at its leaves for so long. */
void scripted_evidence_takes(int64_t us);

/* The n-th call (1 = the next one) of this verb on this store (NULL: any) fails with the code. A commit that fails with
 * ERR_UNKNOWN is applied or not, as `applied` says; with any other code it is not. */
void scripted_fail(const char *store, enum scripted_verb verb, unsigned nth, enum err_code code, bool applied);
/* The same, but the server answers: it took too long. */
void scripted_time_out(const char *store, enum scripted_verb verb, unsigned nth);
/* Every call of this verb waits until scripted_release; scripted_wait_blocked waits until one does. */
void scripted_block(enum scripted_verb verb);
void scripted_wait_blocked(enum scripted_verb verb);
void scripted_release(enum scripted_verb verb);
unsigned scripted_calls(enum scripted_verb verb);
unsigned scripted_waiting(enum scripted_verb verb); /* how many are in it now */
unsigned scripted_parts(void); /* the largest number of parts that a pass was one of */

#endif
