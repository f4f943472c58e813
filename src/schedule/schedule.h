/* The schedule: the retention table as configured, immutable once loaded, with the file and line of everything that
 * can be complained about. Strings live in the schedule's arena. What the databases say about it (types, keys,
 * foreign keys) is not here: each store binds targets to its own catalog. */
#ifndef LAPSED_SCHEDULE_SCHEDULE_H
#define LAPSED_SCHEDULE_SCHEDULE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/period.h"
#include "schedule/fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MOST_ENDS = 8, MOST_JOIN_COLUMNS = 8, MOST_PER_TENANT = 16 };

enum store_kind { STORE_POSTGRESQL, STORE_MONGODB, STORE_REDIS, STORE_SCRIPTED /* tests only */ };

struct store_conf {
    const char *name; /* [a-z][a-z0-9_]*: also the name of its credential */
    enum store_kind kind; /* from the URL's scheme */
    const char *url; /* no password in it: refused */
    struct place place;
};

/* "table.column = other.column", several with commas in between (a composite key). */
struct join {
    const char *child_table, *parent_table; /* parent_table NULL: the target itself, by its identity key */
    const char *child_columns[MOST_JOIN_COLUMNS];
    const char *parent_columns[MOST_JOIN_COLUMNS]; /* all NULL when parent_table is NULL */
    size_t n_columns;
    struct place place;
};

enum strategy {
    STRATEGY_NULL,
    STRATEGY_FIXED,
    STRATEGY_TRUNCATE_IP,
    STRATEGY_TRUNCATE_TIME,
    STRATEGY_STRIP_URL,
    STRATEGY_HOST,
    STRATEGY_BROWSER_FAMILY,
    STRATEGY_PSEUDONYMIZE,
    STRATEGY_AS_IS,
};

/* One column or dotted path of a `columns` list. */
struct column {
    enum strategy strategy;
    const char *path;
    const char *argument; /* of fixed(VALUE) and truncate-time(UNIT), else NULL */
    struct place place;
};

enum when_anonymized { WHEN_ANONYMIZED_UNSET, WHEN_ANONYMIZED_PURGE, WHEN_ANONYMIZED_AS_IS, WHEN_ANONYMIZED_COLUMNS };

/* Goes with its target when that is purged; children before parents. `join.parent_table` is the target's own table
 * (by name or NULL) or an earlier or later dependent of the same target. */
struct dependent {
    struct join join;
    enum when_anonymized when_anonymized;
    const struct column *columns;
    size_t n_columns;
    struct place place;
};

/* A record's own end, such as its deletion: `name` as used in `keep`, `column` where the record says it. */
struct record_end {
    const char *name, *column;
};

enum target_kind { TARGET_TABLE, TARGET_COLLECTION, TARGET_KEYS };
enum since_unit { UNIT_NONE, UNIT_SECONDS, UNIT_MILLISECONDS }; /* of an integer anchor */

struct rule;

/* One place where a rule's data lives. */
struct target {
    const struct rule *rule;
    size_t number; /* over all targets of the schedule, from 0: stores keep their bound targets by it */
    const struct store_conf *store;
    enum target_kind kind;
    const char *name;        /* table ("t" or "schema.t"), collection (may hold {tenant}), or key pattern */
    const char *tenant;      /* column or path; NULL: tenant = "none", or {tenant} in the pattern or collection name */
    bool no_tenant;          /* tenant = "none" was written out */
    bool tenant_in_name;     /* {tenant} in `name` */
    const struct join *via;  /* from the target towards the table that has the tenant column; n_via may be 0 */
    size_t n_via;
    const char *since;       /* column, path, or for keys: "score", "stream-id", "field:NAME", "{date}"; or NULL */
    const char *zone;        /* IANA name for anchors without a zone; NULL: not given */
    enum since_unit unit;
    const struct record_end *ends;
    size_t n_ends;
    const char *only;        /* a further condition: SQL or a JSON filter; NULL: none. Has passed the lexer */
    const char *key;         /* a unique index, or "ctid"; NULL: the primary key */
    const char *marker;      /* column or path that says "anonymized already"; NULL: by the values */
    const struct column *columns;
    size_t n_columns;
    const struct dependent *dependents;
    size_t n_dependents;
    /* A collection of one tenant's own, without `only` and at_least: goes whole at that tenant's end. A table: its partitions may, when
     * everything in them is due. */
    bool drop;
    struct place place;
};

enum keep_kind {
    KEEP_AGE,     /* PERIOD after `since` */
    KEEP_END,     /* PERIOD after END; period.count 0: "until END" */
    KEEP_FOREVER,
};

/* One alternative of `keep` or `anonymize`; whichever comes first counts. */
struct keep {
    enum keep_kind kind;
    struct period period;
    const char *end;     /* KEEP_END: its name */
    int tenant_end;      /* KEEP_END: its index in tenants.ends, or -1: an end of the records (target.ends) */
    struct place place;
};

struct per_tenant {
    const char *column; /* of the tenants query */
    size_t index;       /* in tenants.period_columns */
    struct period min, max; /* count 0: no bound */
    struct place place;
};

struct rule {
    size_t number;
    const char *data; /* its name: the policy's own words */
    const char *basis;
    const struct keep *keep;
    size_t n_keep;
    const struct keep *anonymize; /* KEEP_AGE or KEEP_END; may be empty */
    size_t n_anonymize;
    struct period at_least;       /* count 0: none */
    const struct per_tenant *per_tenant; /* NULL: none; replaces the KEEP_AGE alternative of `keep` */
    bool anonymize_blocked;       /* if_blocked = "anonymize" */
    const struct target *targets;
    size_t n_targets;
    struct place place;
};

struct tenants_conf {
    const struct store_conf *store;
    const char *query;      /* SQL, wrapped by the store; has passed the lexer. NULL for MongoDB */
    const char *collection; /* MongoDB */
    const char *pipeline;   /* MongoDB: a JSON array */
    const char *ends[MOST_ENDS];
    size_t n_ends;
    const char *period_columns[MOST_PER_TENANT]; /* of all rules' per_tenant, each once */
    size_t n_period_columns;
    bool personal; /* tenant ids are personal data: journal and findings get an HMAC of them */
    struct place place;
};

enum load { LOAD_GENTLE, LOAD_NORMAL, LOAD_FULL };

/* Beyond what a rule may not go without an approval (brake.h). 0: nothing goes without one. */
struct brake_limits {
    bool first_run;  /* a rule, or a changed one, waits before its first run */
    int64_t records; /* so many a sweep need no history */
    int64_t tenants; /* likewise */
    int64_t share;   /* likewise: percent of a place's records */
    int64_t growth;  /* beyond those: times what the last runs were */
    int64_t shrink;  /* percent that the list of tenants may lose from one sweep to the next */
};

/* What becomes of privileges that the schedule does not need. */
enum privileges { PRIVILEGES_WARN /* a finding */, PRIVILEGES_REFUSE /* a fault: nothing is destroyed in that store */, PRIVILEGES_IGNORE };

/* A place that holds tenants' records and needs no rule. */
struct exemption {
    enum target_kind kind;
    const struct store_conf *store;
    const char *name; /* of a table, a collection or keys; '*' stands for anything */
    const char *why;
    struct place place;
};

/* What may be asked of the daemon: bits of principal.may. */
enum { MAY_HOLD = 1, MAY_RELEASE = 2, MAY_PAUSE = 4, MAY_RESUME = 8, MAY_APPROVE = 16 };

/* Who may ask for what, beside root and the daemon's own user, who may ask for everything. */
struct principal {
    uint32_t uid;
    unsigned may;
};

/* How badly others may fare on a store while a sweep goes on there. */
struct throttle_limits {
    bool configured; /* any of it stands in lapsed.conf: then what cannot be read counts as too much */
    int64_t every_us;
    int64_t replica_lag_us, snapshot_age_us, lock_waits;
    const char *query; /* SQL; NULL: none. Has passed the lexer */
};

struct settings {
    int64_t sweep_every_us;
    int window_from_minute, window_to_minute; /* of the UTC day; both 0: always. from > to goes over midnight */
    enum load load;
    struct throttle_limits throttle;
    int64_t notice_us;           /* a shortened period counts after this long */
    int64_t batch_time_us;
    size_t batch_rows;           /* most records of a batch, dependents included */
    size_t batch_workers;        /* connections that destroy at once, in PostgreSQL and MongoDB */
    const char *journal_folder, *state_folder, *run_folder;
    int64_t journal_segment_bytes, journal_segment_age_us;
    int64_t journal_reserve_bytes; /* no batch is begun with less than it left on the journal's disk */
    struct period journal_keep_evidence; /* for how long its evidence files and keys are kept */
    struct period journal_keep; /* closed segments older than it are removed; count 0: never */
    int64_t clock_tolerance_us;
    int64_t statement_timeout_us; /* the deadline of every wait for a store */
    int64_t lock_timeout_us;
    int64_t survey_every_us;     /* how often undecidable records are counted and the catalogs looked at */
    int64_t survey_budget_us;    /* for how long a store is asked in one sweep */
    int64_t survey_alarm_after_us; /* what is undecidable for so long is an alarm */
    int64_t cooling_off_us;      /* for how long a released hold still counts */
    struct brake_limits brakes;
    enum privileges privileges;
    const struct principal *principals;
    size_t n_principals;
};

struct schedule {
    struct arena *arena;
    const char *path;          /* lapsed.conf as given */
    const char *schedule_path; /* the file that holds the rules */
    char sha256[65];           /* of exactly the bytes of that file */
    const struct store_conf *stores;
    size_t n_stores;
    bool has_tenants;
    struct tenants_conf tenants;
    const struct rule *rules;
    size_t n_rules;
    const struct target *const *targets; /* all of them by number */
    size_t n_targets;
    const struct exemption *exemptions;
    size_t n_exemptions;
    struct settings settings;
};

/* Loads both files. On success *ret_schedule is the caller's, to be freed by schedule_free. Otherwise -1; every fault of
 * meaning is in `faults` (libconfig's first syntax error comes alone) and err.text counts them. An empty or missing
 * `schedule` list is no fault when allow_empty is true (lapsectl check prints a draft then). */
int schedule_load(const char *path, bool allow_empty, struct schedule **ret_schedule, struct faults *faults, struct err *err) MUST_CHECK;
void schedule_free(struct schedule *schedule); /* NULL is fine */

/* As published: "subscription + 30 days", "7 years", "until account", "forever"; alternatives with ", or ". */
char *schedule_keep_text(struct arena *arena, const struct keep *keep, size_t n_keep);
/* "invoices" and "public.invoices" may be the same table: without a schema, the name decides. */
bool schedule_same_table(const char *a, const char *b);
const char *schedule_target_word(enum target_kind kind); /* "table", "collection", "keys" */
const char *schedule_strategy_name(enum strategy strategy);

#endif
