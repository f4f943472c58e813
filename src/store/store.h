/* A store: one connection to PostgreSQL, MongoDB or Redis behind a small interface. The programs name the drivers;
 * nobody else knows which there are. All calls block, each wait has a deadline (settings.statement_timeout_us); a store
 * is used by one thread at a time. Errors: ERR_CONFIG (a person must correct something), ERR_REFUSED (the server said no
 * for good), ERR_UNAVAILABLE (nothing was applied; the connection is reset, retry later), ERR_UNKNOWN (only from finish:
 * the answer to the commit was lost), ERR_BUG. Texts name the store, never its server's own words.
 *
 * Connections are made on demand: any verb connects first if need be, and a broken one is made anew at the next verb. */
#ifndef LAPSED_STORE_STORE_H
#define LAPSED_STORE_STORE_H

#include "base/text.h"
#include "journal/evidence.h"
#include "schedule/fault.h"
#include "schedule/order.h"
#include "schedule/plan.h"
#include "schedule/tenants.h"

struct store; /* a driver's own struct begins with struct store_base */
struct pass;  /* a driver's own */

/* What a tenant has of what an order asks for. */
struct tenant_count {
    const char *tenant;  /* "" where the target has no tenants */
    int64_t count;       /* probe: 1 stands for "at least one" */
    int64_t cutoff_us;   /* the cutoff this tenant's records were compared with */
    int64_t oldest_us;   /* the oldest due anchor; for scopes without anchor the tenant's end; TIME_FOREVER: unknown */
};

struct blocked_count {
    const char *by; /* the table or collection that still refers to them */
    int64_t count;
};

/* The answer to probe and count; in the arena of the call. */
struct tally {
    const struct tenant_count *tenants; /* only those with something due (blocked ones not included), sorted by id */
    size_t n_tenants;
    int64_t records;    /* count: due and free to go (the sum over tenants) */
    int64_t dependents; /* count: records that go with them; -1: not counted */
    const struct blocked_count *blocked; /* count: due, but referenced */
    size_t n_blocked;
    int64_t n_blocked_records;           /* each once */
    const struct tenant_count *blocked_tenants; /* count: whose they are, sorted by id; NULL where the store does not say */
    size_t n_blocked_tenants;
};

/* Records that no rule can decide, by reason; in the arena of the call. */
struct undecidable {
    const char *code; /* "since-empty", "since-future", "since-type", "tenant-empty", "tenant-unknown", "tenant-ambiguous", "field-unlisted", "only-unreached"; "survey-sampled": the others are at least so many */
    const char *column;
    int64_t count;
};

/* One prepared batch: chosen and, where the store has transactions, destroyed but not committed. In the arena given to
 * prepare; valid until finish. */
struct batch {
    const struct order *order; /* one of those that the pass was begun with */
    const struct tenant_count *tenants; /* records by tenant, sorted by id; never empty: of dependents alone, their tenant with 0 */
    size_t n_tenants;
    int64_t records, dependents;
    /* Whom to ask what became of it: PostgreSQL's pg_current_xact_id() and since when the server runs, or recovered from a crash; else "". */
    char transaction[64];
    char server[64];
    bool irrevocable; /* finish does the destroying (Redis, standalone MongoDB): its outcome says how many went */
    /* Not every record of it is enumerated: something goes whole (a dropped collection, members of a key), or has no identity
     * but its ctid. The counts are right, but what is not enumerated has no leaf. */
    bool range; /* a table or collection that goes whole is one batch, whatever the limit */
    /* A leaf for each record and dependent that is enumerated; irrevocable batches: of what was listed. */
    struct evidence evidence;
    int64_t evidence_us; /* how long prepare was at its leaves, while the store had nothing to do */
};

/* What finish did. */
struct outcome {
    int64_t records, dependents; /* destroyed or anonymized; for irrevocable batches those that were still due */
    bool doubtful; /* the server may have been started anew since it counted, and forgotten what it had done before */
};

enum settled { SETTLED_COMMITTED, SETTLED_ROLLED_BACK, SETTLED_UNRESOLVED };

/* One record, for lapsectl explain; in the arena of the call. Values of its own are never shown but anchors. */
struct record_facts {
    bool exists;
    const char *tenant;       /* NULL: none */
    bool anchor_ok[1 + MOST_ENDS]; /* [0] = since, [1 + i] = target.ends[i]; false: empty or unreadable */
    int64_t anchor_us[1 + MOST_ENDS]; /* the earliest instant it may stand for; for a date its end */
    bool only_holds;          /* the target's `only` is true for it */
    bool anonymized;          /* already done */
    const char *blocked_by;   /* table or collection; NULL: free */
};

struct store_settings {
    const struct store_conf *conf;
    const struct schedule *schedule;
    const char *password;     /* NULL: none */
    bool read_only;           /* lapsectl plan, check, explain: a session that cannot write; begin and keep are refused (ERR_BUG) */
    /* The key of pseudonymize for this calendar month, 32 bytes; NULL in read-only use. */
    const unsigned char *pseudonym_key;
    /* The period key of the evidence, 32 bytes; NULL: batches come without leaves. Both belong to the engine, which renews
     * them on a worker between sweeps only. */
    const unsigned char *evidence_key;
};

/* How others fare on a store, for the throttle: a driver that does not measure something says PRESSURE_NONE, one that may
 * not (lapsectl grants prints what is needed) PRESSURE_UNREADABLE. */
enum { PRESSURE_NONE = -1, PRESSURE_UNREADABLE = -2 };
struct pressure {
    int64_t replica_lag_us;  /* the most that a replica is behind the primary */
    int64_t snapshot_age_us; /* the oldest snapshot or transaction but ours: what was deleted since cannot be cleaned up */
    int64_t lock_waits;      /* sessions that wait for a lock */
    bool query_says_wait;    /* the answer of the schedule's own query; false without one */
};

typedef int tenant_sink(void *context, const struct tenant_row *row, struct err *err);

/* What `keep` did. */
struct kept {
    int64_t kept, given_back; /* records */
};

struct store_driver {
    enum store_kind kind;
    bool thorough;                   /* a pass reaches all that was due when it was counted: what it did needs no second one (Redis) */
    const char *name;                /* "PostgreSQL", for messages */
    const char *const *schemes;      /* URL schemes, NULL-terminated */

    /* Does not connect. Copies what it needs of the password; conf and schedule must outlive the store. */
    int (*open)(const struct store_settings *settings, struct store **ret_store, struct err *err);
    void (*close)(struct store *store);

    /* Connects and asks the server for its clock. */
    int (*ping)(struct store *store, int64_t *ret_server_now_us, struct err *err);

    /* Streams the tenants query's lines; ids: only these tenants (n_ids 0: all). A line with an empty tenant is an error
     * (ERR_REFUSED); a wrong shape (no `tenant`, a missing end) ERR_CONFIG. NULL in a driver that cannot. */
    int (*tenants)(struct store *store, const char *const *ids, size_t n_ids, tenant_sink *sink, void *context, struct err *err);
    /* The tables or collections that the tenants query reads, "schema.table", in `arena`. */
    int (*tenants_tables)(struct store *store, struct arena *arena, const char *const **ret_names, size_t *ret_count, struct err *err);

    /* Binds this store's targets to its catalog, anew at each call, and adds what is wrong with them to `faults` (place =
     * the target's or column's line). bad[target.number] is set for each target that must not be swept. Returns -1 only if
     * the store could not be asked. Must have been called before any order is compiled. */
    int (*check)(struct store *store, struct faults *faults, bool *bad, struct err *err);
    /* Advice that is no fault (missing indexes, dependents to paste, TTL indexes): one line a piece. */
    int (*advise)(struct store *store, struct arena *arena, const struct finding **ret_findings, size_t *ret_count, struct err *err);
    /* The privileges that the schedule needs on this store, as statements to paste; `role` = whom to grant them to. */
    int (*grants)(struct store *store, const char *role, struct buf *to, struct err *err);
    /* A commented draft of rules from the catalog, for an empty schedule: the lines between "schedule = (" and ");". NULL in
     * a driver that has no catalog. */
    int (*draft)(struct store *store, struct buf *to, struct err *err);

    /* All tenants there are, for stores that tell a record's tenant from its name (Redis: a key that could belong to two
     * of them belongs to none). Called after the tenants were read; they outlive the orders made from them. NULL in a
     * driver that does not need it. */
    void (*know)(struct store *store, const struct tenants *tenants);

    /* Who has anything due (count = 1, oldest), in few questions for all tenants. tallies[i] answers orders[i]. */
    int (*probe)(struct store *store, const struct order *const *orders, size_t n_orders, struct arena *arena, struct tally *tallies,
                 struct err *err);
    /* The same with numbers, blocked ones and dependents. */
    int (*count)(struct store *store, const struct order *const *orders, size_t n_orders, struct arena *arena, struct tally *tallies,
                 struct err *err);
    /* on: the first pass behind a `count`, over orders that it counted, may keep to what it found; what became due since, or came, is
     * the next one's. Each record is judged again there. off: no more passes come. NULL in a driver whose passes find by themselves
     * what is due. */
    void (*remember)(struct store *store, bool on);
    /* How many records the target's place has, due or not and of whatever tenant, at most `most`; -1: it has no share to speak of.
     * Not more work than `most` records are. Asked behind a count of the target. NULL in a driver that cannot tell. */
    int (*size)(struct store *store, const struct target *target, int64_t most, struct arena *arena, int64_t *ret_records, struct err *err);
    /* `undecidable` will be asked about every target after the next `count`: a driver that reads everything for each may look for
     * both at once. NULL in one that need not. */
    void (*foresee)(struct store *store, int64_t now_us);
    int (*undecidable)(struct store *store, const struct target *target, int64_t now_us, struct arena *arena,
                       const struct undecidable **ret_items, size_t *ret_count, struct err *err);

    /* A pass over a portion of these orders (NULL: all of it), one order after the other; it probes each when its turn comes. Orders and
     * portion must outlive it. As far as the order of its index allows, tenants take turns: one with more than a batch's worth stands
     * behind the others after each of its batches. Several passes with different parts of the same orders may be under way at a time,
     * each on a store of its own. */
    int (*begin)(struct store *store, const struct order *const *orders, size_t n_orders, const struct portion *portion, struct pass **ret_pass,
                 struct err *err);
    /* The next batch of at most `limit` records (and the portion's limits), dependents included, or *ret_batch = NULL when the pass is over. On an
     * error other than ERR_UNAVAILABLE the order at fault (*ret_failed, may be NULL) is left out and the pass may go on; with
     * ERR_UNAVAILABLE *ret_failed says which one it happened to, and the same comes next.
     * After a batch only finish may follow. */
    int (*prepare)(struct store *store, struct pass *pass, size_t limit, struct arena *arena, const struct batch **ret_batch,
                   const struct order **ret_failed, struct err *err);
    /* Commits (or rolls back) the prepared batch. ERR_UNKNOWN: ask settle later. */
    int (*finish)(struct store *store, struct pass *pass, bool commit, struct outcome *ret_outcome, struct err *err);
    /* This tenant's records are no longer due: leave them out of the rest of the pass. */
    void (*exclude)(struct store *store, struct pass *pass, const struct order *order, const char *tenant);
    void (*end)(struct store *store, struct pass *pass);

    /* What became of a batch whose outcome is not known. */
    int (*settle)(struct store *store, const char *transaction, const char *server, enum settled *ret_settled, struct err *err);
    int (*explain)(struct store *store, const struct target *target, const char *key, struct arena *arena, struct record_facts *ret_facts,
                   struct err *err);

    /* query: one row of one truth value in the store's own language, true = wait; NULL: none. ERR_CONFIG: the query is at fault.
     * Meant for a store of its own, beside those that destroy. NULL in a driver that measures nothing. */
    int (*pressure)(struct store *store, const char *query, struct pressure *ret_pressure, struct err *err);

    /* What the server would expire by itself under one of these holds (NULL: none) is made to stay, and when it would have expired
     * is kept in the store; what was kept and is held no longer expires again. After check. NULL in a driver whose server
     * cannot be told so, or expires nothing. */
    int (*keep)(struct store *store, const struct holds *holds, struct kept *ret_kept, struct err *err);

    /* From another thread: makes the verb that is under way end soon (ERR_UNAVAILABLE), for a stop in time. */
    void (*interrupt)(struct store *store);
};

struct store_base {
    const struct store_driver *driver;
    struct store_settings settings;
};

/* The driver for this kind among those the program named, NULL if it named none. */
void store_register(const struct store_driver *driver);
const struct store_driver *store_driver_of(enum store_kind kind);

struct store_keys {
    const unsigned char *pseudonym, *evidence;
};

/* Opens (keys NULL: none of them) with the right driver and the password of the credential NAME: $CREDENTIALS_DIRECTORY/NAME, else
 * /etc/lapsed/credentials/NAME (only its owner may read it), else $LAPSED_NAME_PASSWORD (NAME in capitals). */
int store_open(const struct schedule *schedule, const struct store_conf *conf, bool read_only, const struct store_keys *keys,
               struct store **ret_store, struct err *err) MUST_CHECK;
void store_close(struct store *store); /* NULL is fine */
static inline const struct store_driver *store_driver(const struct store *store) {
    return ((const struct store_base *)(const void *)store)->driver;
}

#endif
