/* What the Redis driver's files share. redis.c: the driver table, open and close; redis_connection.c: address, connection,
 * deadlines, commands, replies; redis_bind.c: targets bound to their patterns; redis_compile.c: the one place that turns an
 * order into what is asked of a key; redis_scan.c: one pass over the keyspace for all orders; redis_count.c: probe and count;
 * redis_found.c: the keys that a count found due, for the pass behind it;
 * redis_undecidable.c; redis_batch.c: passes, prepare, finish; redis_destroy.c: the scripts that test and destroy in one step;
 * redis_anonymize.c: hashes; redis_tally.c: counts by tenant; redis_needs.c: which permissions are needed, grants;
 * redis_check.c: check, advise; redis_pressure.c: replicas; redis_draft.c; redis_explain.c.
 *
 * What a record is: of a target whose `since` is "score" or "stream-id" a member of its sorted sets or an entry of its
 * streams; of every other target a whole key. A key of another type than `since` needs is undecidable under a rule by age
 * and a whole record under a rule by its tenant's end. */
#ifndef LAPSED_STORE_REDIS_INTERNAL_H
#define LAPSED_STORE_REDIS_INTERNAL_H

#include "store/keypattern.h"
#include "store/store.h"

#include <hiredis/hiredis.h>
#include <pthread.h>

struct redis_address {
    const char *host, *path, *user; /* path: a unix socket, host is NULL then; user NULL: none */
    int port, database;
};

/* Where an anchor's instant stands. */
enum redis_anchor_kind { REDIS_ANCHOR_NONE, REDIS_ANCHOR_SCORE, REDIS_ANCHOR_STREAM, REDIS_ANCHOR_FIELD, REDIS_ANCHOR_DATE };
struct redis_anchor {
    enum redis_anchor_kind kind;
    const char *field; /* REDIS_ANCHOR_FIELD */
    enum since_unit unit;
};

/* A target bound to its pattern. */
struct redis_bound {
    const struct target *target;
    bool bad; /* must not be compiled */
    struct keypattern pattern;
    struct redis_anchor since;
    struct redis_anchor ends[MOST_ENDS];
    bool only_by_tenant_end; /* nothing but a tenant's end makes its keys due: those of unknown tenants are orphans */
};

struct redis_store {
    struct store_base base; /* first */
    struct arena *arena;    /* address and password */
    struct redis_address address;
    const char *password;   /* NULL: none */
    redisContext *connection; /* NULL: not connected */
    unsigned connections;     /* how many there were */
    pthread_mutex_t lock;   /* of `socket`, which interrupt shuts down from another thread */
    int socket;             /* -1: none */
    const struct tenants *tenants; /* NULL: know was not called */
    struct arena *catalog;  /* what `bound` lives in: renewed by each check */
    struct redis_bound *bound; /* by target.number; entries of other stores' targets are zero */
    struct pass *prepared;  /* between prepare and finish: its pass */
    struct redis_surveys *surveys; /* of all targets, in `catalog`; NULL: none since the last check */
    int64_t foreseen_us;    /* the next count takes such a survey with it; 0: not */
    bool remembers;         /* each count notes which keys it found due */
    struct redis_found *found; /* by the last one; NULL: nothing is noted */
    unsigned counted;       /* the connection of the last count */
    int64_t *matched;       /* by target.number: the keys of its pattern, as the last count met them; in `catalog`; NULL: not counted */
};

static inline struct redis_store *redis_of(struct store *store) { return (struct redis_store *)(void *)store; }

/* redis_connection.c */
int redis_address_parse(struct arena *arena, const char *url, struct redis_address *ret_address, struct err *err) MUST_CHECK;
/* Connects unless connected: authenticates, selects the database, refuses Redis Cluster and replicas. */
int redis_connect(struct redis_store *store, struct err *err) MUST_CHECK;
void redis_disconnect(struct redis_store *store);
void redis_interrupt(struct store *store);

/* A command as a list of binary-safe words in an arena. */
struct redis_command {
    struct arena *arena;
    const char **words;
    size_t *lengths;
    size_t count, n_lengths;
};
void redis_word(struct redis_command *command, const char *text);
void redis_word_n(struct redis_command *command, const char *bytes, size_t length);
void redis_word_number(struct redis_command *command, int64_t number);
/* "EVAL script 1 key" is how every script begins here: they are short, and need no loading after a restart. */
void redis_words_eval(struct redis_command *command, const char *script, size_t n_keys);

void redis_reply_free(redisReply **reply); /* for the cleanup attribute */
#define REDIS_REPLY __attribute__((cleanup(redis_reply_free))) redisReply *

/* Puts a command into the pipeline; its reply comes in turn from redis_receive. */
int redis_send(struct redis_store *store, const struct redis_command *command, struct err *err) MUST_CHECK;
/* Sends what is in the pipeline now, and not when the next reply is waited for. */
int redis_flush(struct redis_store *store, struct err *err) MUST_CHECK;
/* The next reply, which may be an error reply (see redis_refusal). -1: the connection broke and is closed (ERR_UNAVAILABLE). */
int redis_receive(struct redis_store *store, redisReply **ret_reply, struct err *err) MUST_CHECK;
/* Connects if need be, sends one command and waits; an error reply is an error. */
int redis_ask(struct redis_store *store, const struct redis_command *command, redisReply **ret_reply, struct err *err) MUST_CHECK;
/* The same for words of plain text, ended by NULL. */
int redis_ask_words(struct redis_store *store, redisReply **ret_reply, struct err *err, ...) MUST_CHECK __attribute__((sentinel));
/* True if this is an error reply whose first word is `code` ("WRONGTYPE"). */
bool redis_is_error(const redisReply *reply, const char *code);
/* An error reply in our words: fills err and returns -1. */
int redis_refusal(const struct redis_store *store, const redisReply *reply, struct err *err);
/* A reply of a shape that the command does not have. */
int redis_misshapen(const struct redis_store *store, const char *command, struct err *err);

/* redis_bind.c */
/* Reads a `since` or an end's column. False: it is none of those there are. */
bool redis_anchor_parse(const char *text, enum since_unit unit, struct redis_anchor *ret_anchor);
/* The instant in a hash field: digits in the unit, or RFC 3339 text (a day: its last microsecond). 0 stands for "not set" in many
 * schemas: what is not above it is no instant. */
bool redis_instant(const char *bytes, size_t length, enum since_unit unit, int64_t *ret_us);
/* Nothing, or a number that is no instant for that reason. */
bool redis_not_set(const char *bytes, size_t length, enum since_unit unit);
void redis_bind(struct redis_store *store, struct faults *faults, bool *bad);
const struct redis_bound *redis_bound_of(const struct redis_store *store, const struct target *target);

/* redis_compile.c */
enum { MOST_FIELDS = 16 };

/* What has to be asked about a key before it is known whether the order wants it. */
enum redis_look { REDIS_LOOK_NONE, REDIS_LOOK_FIELDS, REDIS_LOOK_MEMBERS, REDIS_LOOK_HASH };

struct redis_scope {
    const struct scope *scope;
    const uint32_t *slots; /* hash table of index + 1 into scope->tenants; NULL where that is short */
    size_t n_slots;        /* a power of two */
    struct redis_anchor anchor;
    const struct redis_bound *other; /* a floor of another pattern: holds for keys that fit that one too; NULL: for all */
};

/* An order compiled: probe, count and prepare differ only in what they do with the records it yields. */
struct redis_order {
    const struct order *order;
    const struct redis_bound *bound;
    struct redis_scope due;
    struct redis_scope *before; /* as many as the order has */
    struct redis_scope *floors;
    size_t n_floors;
    const char *fields[MOST_FIELDS];     /* hash fields that its anchors read, each once */
    size_t n_fields;
    enum redis_look look;
    const char *member_type; /* REDIS_LOOK_MEMBERS: "zset" or "stream" */
    bool out;                /* wants nothing (any more) */
    bool first;              /* of those over its target */
};

/* Whose a key is. */
enum redis_owner_kind { REDIS_OWNER_NO_MATCH, REDIS_OWNER_OK, REDIS_OWNER_EMPTY, REDIS_OWNER_AMBIGUOUS, REDIS_OWNER_UNREADABLE };
struct redis_owner {
    enum redis_owner_kind kind;
    const char *tenant; /* REDIS_OWNER_OK: "" where the target has none */
    bool known;         /* one of the tenants there are, or listed by an order */
    int64_t date_end_us;
    const char *key;    /* the key itself */
    size_t key_length;
};

struct redis_value {
    const char *bytes; /* NULL: the field is not there */
    size_t length;
};

/* How a record goes. */
enum redis_act { REDIS_ACT_UNLINK, REDIS_ACT_UNLINK_IF, REDIS_ACT_MEMBERS, REDIS_ACT_WRITE };

/* One due record, or several of one key. */
struct redis_item {
    enum redis_act act;
    const char *key;
    size_t key_length;
    const char *tenant;
    int64_t anchor_us, cutoff_us; /* the oldest one's anchor; TIME_FOREVER: unknown */
    int64_t count;                /* records; 1 unless REDIS_ACT_MEMBERS */
    struct redis_value *values;   /* REDIS_ACT_UNLINK_IF, REDIS_ACT_WRITE: what the fields held when they were judged */
    size_t n_values;
    size_t n_present;             /* REDIS_ACT_WRITE: how many fields the hash had */
    const char *lower, *upper;    /* REDIS_ACT_MEMBERS: the range as ZRANGEBYSCORE and XRANGE take it */
    bool everything;              /* REDIS_ACT_MEMBERS: all members are due, so the key itself goes with the last */
    struct merkle_hash leaf;      /* its evidence, unless REDIS_ACT_MEMBERS */
};

/* As scope_cutoff, and faster where many tenants are listed. */
int64_t redis_cutoff(const struct redis_scope *scope, const char *tenant);
int redis_compile(struct redis_store *store, struct arena *arena, const struct order *const *orders, size_t n_orders,
                  struct redis_order **ret_orders, struct err *err) MUST_CHECK;
/* The owner of a key under a target, decided from all ways in which the key can be read. listing: orders whose listed
 * tenants count as known too. */
struct redis_owner redis_owner_of(const struct redis_store *store, struct arena *arena, const struct redis_bound *bound,
                                  const struct redis_order *listing, size_t n_listing, const char *key, size_t length);
/* Is the whole key due? values: of order.fields. On true *ret_anchor_us is its anchor. */
bool redis_key_due(const struct redis_order *order, const struct redis_owner *owner, const struct redis_value *values, int64_t *ret_anchor_us);
/* The due members of a key as a range. False: none can be due. */
bool redis_members_due(struct arena *arena, const struct redis_order *order, const struct redis_owner *owner, struct redis_item *ret_item);
/* Bounds of a range of instants, as text: [lower, upper). */
char *redis_score_text(struct arena *arena, int64_t instant_us, enum since_unit unit);
int64_t redis_stream_ms(int64_t instant_us); /* the first millisecond that is not before it */

/* redis_scan.c */
struct redis_scan {
    struct redis_store *store;
    struct redis_order *orders;
    size_t n_orders;
    const char *glob;
    char cursor[32], next[32]; /* of the page under way, and of the one behind it */
    unsigned connection; /* of the store's, that the cursors came from */
    redisReply *ahead;   /* the page behind the one under way; NULL: not yet */
    bool asked;          /* it is on its way */
    bool over;
    bool paced;          /* between pages others have their turn, as sweep.load says */
    bool brief;          /* probe: of a stream's due entries the first few are enough */
    int64_t *matched;    /* by target.number: how many keys there are of the pattern of a target that is asked for; NULL: nobody asks */
    struct redis_found *found; /* the keys are those, and the server is not asked which there are; NULL: it is */
    struct redis_surveys *surveys; /* undecidable records are counted on the way; NULL: not */
    struct arena *page;  /* what one page needs */
};
typedef int redis_item_sink(void *context, size_t order_number, const struct redis_item *item, struct err *err);

/* How long a page that took so long is waited after. */
int64_t redis_scan_pause_us(enum load load, int64_t took_us);
void redis_scan_begin(struct redis_scan *scan, struct redis_store *store, struct arena *arena, struct redis_order *orders, size_t n_orders,
                      struct redis_surveys *surveys);
/* One page of keys. An order whose keys the server refuses to show is put `out` and told in *ret_failed with the error. */
int redis_scan_page(struct redis_scan *scan, redis_item_sink *sink, void *context, const struct order **ret_failed, struct err *err) MUST_CHECK;
/* The same in steps, for those who judge keys by themselves: the page ({cursor, keys}, as SCAN answers), while the server
 * gathers the one behind it … */
int redis_scan_next(struct redis_scan *scan, redisReply **ret_reply, struct err *err) MUST_CHECK;
/* … which is received after all was sent that is asked about this page, and before its answers are read … */
int redis_scan_await(struct redis_scan *scan, struct err *err) MUST_CHECK;
void redis_scan_advance(struct redis_scan *scan); /* … and this page is behind us. */
void redis_scan_end(struct redis_scan *scan);

/* redis_found.c: what a count found due, so that the pass behind it need not read all keys again. At most 12 MiB: of more nothing is
 * noted. */
struct redis_found;
struct redis_found *redis_found_new(const struct order *const *orders, size_t n_orders);
void redis_found_free(struct redis_found *found); /* NULL is fine */
void redis_found_add(struct redis_found *found, const char *key, size_t length);
/* Whether a pass over these orders finds all it needs there: they were counted, each of them, and everything is noted. found may be NULL. */
bool redis_found_answers(const struct redis_found *found, const struct order *const *orders, size_t n_orders);
/* The next keys, as SCAN answers, until they are said to be behind us; they point into `found`. */
const redisReply *redis_found_page(struct redis_found *found, struct arena *page, size_t most);
void redis_found_advance(struct redis_found *found, const redisReply *page);
bool redis_found_is_over(const struct redis_found *found);

/* redis_undecidable.c: what is asked of the keys of a page, and what the answers say; between them comes what the orders ask. */
struct redis_surveys *redis_surveys_new(struct redis_store *store, int64_t now_us);
/* The patterns of all of them behind the n_patterns that are there; returns how many there are then. */
size_t redis_surveys_patterns(const struct redis_surveys *surveys, const struct keypattern **patterns, size_t n_patterns);
int redis_surveys_ask(struct redis_surveys *surveys, struct arena *page, const redisReply *keys, struct err *err) MUST_CHECK;
int redis_surveys_read(struct redis_surveys *surveys, struct err *err) MUST_CHECK;
void redis_foresee(struct store *store, int64_t now_us);

/* redis_count.c */
void redis_remember(struct store *store, bool on);
/* Records that go with their tenant's end are as old as that. */
void redis_fill_ends(const struct order *order, struct tenant_count *tenants, size_t n_tenants);

/* redis_destroy.c */
extern const char REDIS_MEMBERS_LOOK[];
/* Destroys what is listed and still due; *ret_gone says how many went. */
int redis_destroy(struct redis_store *store, const struct redis_order *order, const struct redis_item *items, size_t n_items,
                  int64_t *ret_gone, struct err *err) MUST_CHECK;

/* The word that a script compares with a field: "" for none, else "=" and the value. */
void redis_word_was(struct redis_command *command, const struct redis_value *value);

/* redis_anonymize.c */
extern const char REDIS_HASH_LOOK[]; /* its argument: redis_most_fields */
enum redis_hash { REDIS_HASH_GONE, REDIS_HASH_OTHER_TYPE, REDIS_HASH_UNLISTED /* a field that `columns` does not name */, REDIS_HASH_WHOLE };
size_t redis_most_fields(const struct redis_bound *bound);
enum redis_hash redis_hash_kind(const struct redis_bound *bound, const redisReply *look);
struct redis_value redis_hash_field(const redisReply *look, const char *name); /* points into the reply */
bool redis_is_anonymized(const struct redis_bound *bound, const redisReply *look);
/* Due and not done yet: fills act, values and anchor. */
bool redis_hash_due(struct arena *arena, const struct redis_order *order, const struct redis_owner *owner, const redisReply *look, struct redis_item *item);
/* The command that writes the new values where the hash still is what it was. */
void redis_add_write(struct redis_command *command, const struct redis_order *order, const struct redis_item *item, const unsigned char *key);

/* redis_needs.c */
enum { REDIS_MOST_NEEDS = 32 };
/* The commands that this target needs, in lower case; NULL: what every schedule needs. Returns how many. */
size_t redis_needs(const struct redis_bound *bound, const char **ret_commands);

/* redis_cover.c: keys that name a tenant and that no pattern covers. After the tenants are known. */
int redis_cover(struct redis_store *store, struct arena *arena, struct finding **findings, size_t *n_findings, struct err *err) MUST_CHECK;
/* redis_wide.c: what the user may do and the schedule does not need; *ret_text = NULL: nothing. */
int redis_wide(struct redis_store *store, struct arena *arena, const char **ret_text, struct err *err) MUST_CHECK;

/* redis_persist.c */
#define REDIS_KEPT_KEY "lapsed:held"
int redis_keep(struct store *store, const struct holds *holds, struct kept *ret_kept, struct err *err);

/* redis_tally.c */
struct redis_tally;
struct redis_tally *redis_tally_new(void);
void redis_tally_free(struct redis_tally *tally); /* NULL is fine */
void redis_tally_add(struct redis_tally *tally, const char *tenant, int64_t count, int64_t cutoff_us, int64_t oldest_us);
bool redis_tally_has(const struct redis_tally *tally, const char *tenant);
/* Sorted by id, in `arena`. */
struct tenant_count *redis_tally_list(const struct redis_tally *tally, struct arena *arena, size_t *ret_count);

/* redis_pressure.c */
/* From the answer to INFO replication: when the slowest replica was heard of last. */
int64_t redis_replica_lag(const char *info);

/* One function for each slot of the driver, in the file that the list at the top names. */
int redis_pressure(struct store *store, const char *query, struct pressure *ret_pressure, struct err *err);
int redis_check(struct store *store, struct faults *faults, bool *bad, struct err *err);
int redis_advise(struct store *store, struct arena *arena, const struct finding **ret_findings, size_t *ret_count, struct err *err);
int redis_grants(struct store *store, const char *role, struct buf *to, struct err *err);
int redis_draft(struct store *store, struct buf *to, struct err *err);
int redis_probe(struct store *store, const struct order *const *orders, size_t n_orders, struct arena *arena, struct tally *tallies, struct err *err);
int redis_count(struct store *store, const struct order *const *orders, size_t n_orders, struct arena *arena, struct tally *tallies, struct err *err);
int redis_size(struct store *store, const struct target *target, int64_t most, struct arena *arena, int64_t *ret_records, struct err *err);
int redis_undecidable(struct store *store, const struct target *target, int64_t now_us, struct arena *arena, const struct undecidable **ret_items,
                      size_t *ret_count, struct err *err);
int redis_pass_begin(struct store *store, const struct order *const *orders, size_t n_orders, const struct portion *portion, struct pass **ret_pass,
                     struct err *err);
int redis_pass_prepare(struct store *store, struct pass *pass, size_t limit, struct arena *arena, const struct batch **ret_batch,
                       const struct order **ret_failed, struct err *err);
int redis_pass_finish(struct store *store, struct pass *pass, bool commit, struct outcome *ret_outcome, struct err *err);
void redis_pass_exclude(struct store *store, struct pass *pass, const struct order *order, const char *tenant);
void redis_pass_end(struct store *store, struct pass *pass);
int redis_explain(struct store *store, const struct target *target, const char *key, struct arena *arena, struct record_facts *ret_facts,
                  struct err *err);

#endif
