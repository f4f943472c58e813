/* What the MongoDB driver's files share. mongo.c, mongo_stream.c: connection, errors, the driver table; mongo_bson.c: values and their text; mongo_evidence.c: names of documents;
 * mongo_tenants.c: the tenants pipeline; mongo_bind.c: targets bound to what the server holds; mongo_check.c: faults, advice;
 * mongo_grants.c, mongo_advise.c, mongo_draft.c; mongo_compile.c: the one function that turns an order into a filter; mongo_count.c: probe,
 * count; mongo_undecidable.c; mongo_work.c: what one batch does; mongo_walk.c, mongo_map.c: the dependents of chosen documents; mongo_batch.c: passes, prepare, finish;
 * mongo_drop.c: collections that are one tenant's; mongo_anonymize.c: strategies; mongo_explain.c.
 *
 * MongoDB has no catalog. A tenant's id is bound in every type it can have ("7" is the string, the integer and the double);
 * a tenant or anchor in an array, or below one, belongs to several records at once and is undecidable. */
#ifndef LAPSED_STORE_MONGO_INTERNAL_H
#define LAPSED_STORE_MONGO_INTERNAL_H

#include "store/store.h"

#include <mongoc/mongoc.h>

enum {
    MONGO_TENANTS_A_QUESTION = 10000, /* ids in one $in */
    MONGO_IDS_A_QUESTION = 1000,      /* parents whose dependents are asked for together */
    MONGO_LONGEST_PATH = 1000,        /* of a dotted path, in bytes; checked before anything is compiled */
};

/* The BSON types that a tenant can have. All of them are always bound: one that appears tomorrow is found tomorrow. */
enum mongo_types { MONGO_STRING = 1, MONGO_NUMBER = 2, MONGO_OBJECT_ID = 4, MONGO_UUID = 8, MONGO_ALL_TYPES = 15 };

/* A target bound to the server. */
struct mongo_bound {
    const struct target *target;
    bool bad;                     /* must not be compiled */
    bool exists;                  /* its collection, when it was checked */
    const char *index_tenant;     /* name of an index that begins with (tenant, since) else with the tenant; NULL */
    bool index_both;              /* index_tenant has `since` too, or the target has none */
    bool index_since;             /* an index that begins with since */
    bool since_object_id;         /* documents with an ObjectId as `since` were found */
    const bson_t *only;           /* NULL: none */
};

struct mongo_store {
    struct store_base base; /* first */
    mongoc_uri_t *uri;
    mongoc_client_t *client;
    const char *database;    /* of the URI */
    bool connected;          /* hello was answered */
    bool broken;             /* the client met a broken connection: it is made anew */
    bool transactions;       /* a replica set */
    bool hints;              /* a deletion may name its index (MongoDB 4.4) */
    int32_t timeout_ms;
    volatile int interrupted;
    bool finishing;          /* a batch is carried out: not to be interrupted, its deadlines bound it */
    struct pass *prepared;   /* between prepare and finish: its pass */
    const struct tenants *known; /* all tenants there are; NULL: not told */
    struct arena *catalog;   /* what `bound` lives in: renewed by each check */
    struct mongo_bound *bound; /* by target.number; entries of other stores' targets are zero; NULL: not checked yet */
};

/* For the cleanup attribute. */
void mongo_bson_free(bson_t **bson);
void mongo_cursor_free(mongoc_cursor_t **cursor);
void mongo_collection_free(mongoc_collection_t **collection);
#define MONGO_BSON __attribute__((cleanup(mongo_bson_free))) bson_t *
#define MONGO_CURSOR __attribute__((cleanup(mongo_cursor_free))) mongoc_cursor_t *
#define MONGO_COLLECTION __attribute__((cleanup(mongo_collection_free))) mongoc_collection_t *

/* mongo.c */
static inline struct mongo_store *mongo_of(struct store *store) { return (struct mongo_store *)(void *)store; }
/* Connects unless connected. *ret_now_us (may be NULL) is the server's clock, asked anew when wanted. */
int mongo_connect(struct mongo_store *store, int64_t *ret_now_us, struct err *err) MUST_CHECK;
/* The library's error in our words; returns -1. reply may be NULL. A broken connection is made anew at the next verb. */
int mongo_fail(struct mongo_store *store, const bson_error_t *error, const bson_t *reply, const char *what, struct err *err);
/* ERR_UNAVAILABLE if somebody interrupted the store. */
int mongo_go_on(struct mongo_store *store, struct err *err) MUST_CHECK;
mongoc_collection_t *mongo_collection(struct mongo_store *store, const char *name);
/* Options of an operation: the session's id if there is one, and maxTimeMS. */
int mongo_options(struct mongo_store *store, mongoc_client_session_t *session, bson_t *options, struct err *err) MUST_CHECK;
/* One document after the other; *ret_document = NULL at the end. Valid until the next call. */
int mongo_next(struct mongo_store *store, mongoc_cursor_t *cursor, const char *what, const bson_t **ret_document, struct err *err) MUST_CHECK;
/* Runs an aggregation; hint may be NULL. */
int mongo_aggregate(struct mongo_store *store, mongoc_client_session_t *session, const char *collection, const bson_t *pipeline,
                    const char *hint, mongoc_cursor_t **ret_cursor, struct err *err) MUST_CHECK;
/* Runs a find; sort, projection and hint may be NULL, limit 0: all. */
struct mongo_find {
    const bson_t *filter, *projection, *sort, *min;
    const char *hint;
    int64_t limit;
};
int mongo_find(struct mongo_store *store, mongoc_client_session_t *session, const char *collection, const struct mongo_find *find,
               mongoc_cursor_t **ret_cursor, struct err *err) MUST_CHECK;

/* mongo_stream.c */
/* The client's waits end soon when the store is interrupted. Before its first connection. */
void mongo_make_interruptible(struct mongo_store *store);

/* mongo_bson.c */
/* Beyond it a double does not tell neighbouring integers apart. */
#define MONGO_MOST_EXACT_DOUBLE 9007199254740992.0
/* The text of a tenant's or a key's value: the same for 7, 7.0 and "7". NULL: it is of no type that a tenant may have; so are
 * decimals, of which several texts are one value. */
char *mongo_text(struct arena *arena, const bson_iter_t *value);
bool mongo_is_number(const char *text); /* an integer has this text */
/* Appends to a BSON array every value of `types` that has this text. */
void mongo_append_values(bson_t *array, uint32_t *index, unsigned types, const char *text);
/* A spelling_of (store/spelling.h), for tenants of any type: the text of the ObjectId, UUID or integer that an id can mean. */
const char *mongo_spelling(const void *column, struct arena *arena, const char *id);
/* The value as an instant: a date, the time of an ObjectId, or a positive number with its unit. */
bool mongo_instant(const bson_iter_t *value, enum since_unit unit, int64_t *ret_us);
/* Points at the value of a dotted path; false: missing, or an array is on the way or at its end. */
bool mongo_scalar_at(const bson_t *document, const char *path, bson_iter_t *ret_value);
void mongo_append_utf8(bson_t *to, const char *key, const char *text);
void mongo_append_document(bson_t *to, const char *key, const bson_t *document);
void mongo_append_array(bson_t *to, const char *key, const bson_t *array);
/* {key: value} as the next element of an array. */
void mongo_push(bson_t *array, uint32_t *index, const bson_t *document);
/* A condition that no part of the path is an array, pushed as one or more elements of an $and. */
void mongo_push_no_array(bson_t *conditions, uint32_t *index, const char *path);

/* mongo_evidence.c */
/* The leaf of a document, named by its _id: a string as it is, a whole number of any type as {"$numberLong":"7"}, anything
 * else in MongoDB's canonical Extended JSON without spaces. */
void mongo_add_evidence(struct evidence_batch *evidence, const char *collection, const bson_t *document);

/* mongo_bind.c */
struct mongo_entry {
    const char *name, *type; /* "collection", "view", "timeseries" */
    bool capped, collated; /* collated: it has a default collation */
};
/* The collections of the database, sorted by name. */
struct mongo_catalog {
    struct mongo_entry *entries;
    size_t count;
};
int mongo_list(struct mongo_store *store, struct arena *arena, struct mongo_catalog *ret_catalog, struct err *err) MUST_CHECK;
const struct mongo_entry *mongo_entry_of(const struct mongo_catalog *catalog, const char *name); /* NULL: there is none */
/* Neither a view nor capped nor the system's: documents can be deleted from it one by one, and it can be dropped. */
bool mongo_is_plain(const struct mongo_entry *entry);
/* Binds every target of this store by name; adds the faults of its `only`. */
void mongo_bind(struct mongo_store *store, const struct mongo_catalog *catalog, struct faults *faults);
/* Asks for the indexes and types of those that are not bad. */
int mongo_inspect(struct mongo_store *store, struct err *err) MUST_CHECK;
/* The bound target, or an error if it must not be compiled. */
int mongo_usable(const struct mongo_store *store, const struct target *target, const struct mongo_bound **ret_bound, struct err *err) MUST_CHECK;

/* mongo_grants.c */
enum mongo_action { MONGO_FIND = 1, MONGO_LIST_INDEXES = 2, MONGO_REMOVE = 4, MONGO_UPDATE = 8, MONGO_DROP = 16, MONGO_ACTIONS = 5 /* their number */ };
extern const char *const mongo_action_names[MONGO_ACTIONS]; /* of 1 << index */
struct mongo_need {
    const char *collection; /* "": any of the database */
    unsigned actions;
};
/* What this target needs; at least one. */
size_t mongo_needs_of(struct arena *arena, const struct target *target, struct mongo_need **ret_needs);

/* mongo_compile.c */
/* How an anchor's value may be stored. */
enum mongo_forms { MONGO_DATE = 1, MONGO_ID_TIME = 2, MONGO_COUNTED = 4 };
unsigned mongo_forms(const struct mongo_bound *bound, const char *anchor, bool anchor_is_since);
/* The cutoff of this tenant under the order: its own and the floors on the same anchor, whichever is earlier. */
int64_t mongo_cutoff(const struct order *order, const char *tenant);
/* The filter of the order's documents that belong to these tenants (sorted; ignored for SCOPE_WHOLE); NULL: none can be due. */
bson_t *mongo_compile(const struct mongo_bound *bound, const struct order *order, const char *const *ids, size_t n_ids);
/* A superset for SCOPE_REST, to find out which tenants may have something due: those of one type, or of all. */
/* An index answers by itself who may have something due: from tenant to tenant, without the documents. */
bool mongo_index_tells(const struct mongo_bound *bound, const struct order *order);
/* Nothing but tenant and anchor decides what the order wants. */
bool mongo_due_is_all(const struct mongo_bound *bound, const struct order *order);
/* A superset for these tenants, which have one cutoff: without the guards against arrays, for which documents must be read. */
bson_t *mongo_compile_loose(const struct mongo_bound *bound, const struct order *order, const char *const *ids, size_t n_ids);
bson_t *mongo_compile_candidates(const struct mongo_bound *bound, const struct order *order, enum mongo_types type);

/* mongo_count.c */
/* Who has how much of an order, from the server alone: blocked documents and those anonymized already are included. */
int mongo_tally(struct mongo_store *store, const struct mongo_bound *bound, const struct order *order, struct arena *arena,
                struct tally *ret_tally, struct err *err) MUST_CHECK;

/* Who may have something due (count = -1: how much is not known), and the oldest where an index tells it; perhaps more than
 * those who have. For orders with tenants. */
int mongo_candidates(struct mongo_store *store, const struct mongo_bound *bound, const struct order *order, struct arena *arena, struct tally *ret_tally,
                     struct err *err) MUST_CHECK;

/* mongo_work.c */
struct mongo_document {
    const bson_t *found; /* as read: with _id */
    const char *tenant;  /* "" where the target has none */
    const char *blocked_by; /* the collection that still refers to it; NULL: free */
    const bson_t *set, *old; /* to be anonymized: the top-level fields that change, with their new and their present values */
};
/* Documents of one dependent collection that go with the batch. */
struct mongo_children {
    const char *collection;
    const struct dependent *dependent;
    struct mongo_document *documents;
    size_t count;
};
/* What goes in the same sweep; see mongo_going.c. */
struct mongo_going {
    const struct order *const *orders; /* all that the sweep carries out in this store */
    size_t n_orders;
    const char *collection;            /* whose documents are asked about here … */
    const struct mongo_going *above;   /* … for the sake of those above */
};
/* What one batch does. Everything lives in `arena`. */
struct mongo_work {
    struct arena *arena;
    const struct mongo_bound *bound;
    const struct order *order;
    const bson_t *filter; /* the whole one, repeated by what destroys */
    bool anchors; /* the documents' anchors are read, too */
    struct mongo_document *documents;
    size_t n_documents;
    struct mongo_children *children; /* children before parents */
    size_t n_children;
    struct mongo_document *kept; /* looked at and left: blocked, or for an anonymization of blocked ones free */
    size_t n_kept;
    const struct mongo_document *drained; /* only a part of this document's dependents goes, as all are too many; NULL */
    size_t limit;
    bool begun; /* mongo_work_apply: some of it was carried out, even if a later step failed */
    const struct mongo_going *going; /* count: what will have gone at the end of the sweep does not block; NULL: it does while it is there */
};
/* A copy in the arena, as a view that needs no destroying. */
const bson_t *mongo_keep(struct arena *arena, const bson_t *document);
/* {_id} of the document, as `min` takes it. */
const bson_t *mongo_key_of(struct arena *arena, const bson_t *document);
/* Adds the documents that are found to the work; the projection is set here. */
int mongo_work_choose(struct mongo_store *store, mongoc_client_session_t *session, struct mongo_work *work, const struct mongo_find *how,
                      struct err *err) MUST_CHECK;
/* After choosing: dependents, what must be kept, what changes. *ret_taken: how many of the chosen were looked at (see mongo_walk). */
int mongo_work_complete(struct mongo_store *store, mongoc_client_session_t *session, struct mongo_work *work, size_t *ret_taken,
                        struct err *err) MUST_CHECK;
/* Destroys or changes them, children first, with the whole filter repeated. */
int mongo_work_apply(struct mongo_store *store, mongoc_client_session_t *session, struct mongo_work *work, struct outcome *ret_outcome,
                     struct err *err) MUST_CHECK;
/* The next documents in the order of their keys, behind `last` ({_id}; NULL: from the beginning). */
int mongo_work_choose_by_key(struct mongo_store *store, mongoc_client_session_t *session, struct mongo_work *work, const bson_t *last, size_t limit,
                             struct err *err) MUST_CHECK;
/* Without transactions: what was listed is chosen anew, by key and by the whole filter, and what depends on it with it. */
int mongo_work_again(struct mongo_store *store, const struct mongo_work *listed, struct outcome *ret_outcome, struct err *err) MUST_CHECK;
/* Fills records and tenants of a batch. */
void mongo_work_tenants(const struct mongo_work *work, struct arena *arena, struct batch *batch);

/* mongo_walk.c */
/* The order's documents may be kept back for reasons that its filter does not know: they are read in the order of their keys. */
bool mongo_is_walked(const struct order *order);
/* The target that a dependent's collection is, so that its documents have a rule of their own; NULL: none. */
const struct target *mongo_own_target(const struct mongo_store *store, const struct target *target, const struct dependent *dependent);
/* Adds the paths of `collection` that dependents refer to. */
void mongo_walk_project(const struct target *target, const char *collection, bson_t *projection);
/* Finds what goes with the work's documents and takes as many of them, from the first one on, as fit into `limit` with their
 * dependents; documents that the order must leave go to `kept`. *ret_taken: how many were looked at, 0 if the first one alone is
 * too large and only a part of its dependents goes. */
int mongo_walk(struct mongo_store *store, mongoc_client_session_t *session, struct mongo_work *work, size_t limit, size_t *ret_taken,
               struct err *err) MUST_CHECK;
/* Only counts: of all documents of the work, however many dependents they have. */
int mongo_walk_count(struct mongo_store *store, struct mongo_work *work, int64_t *ret_dependents, struct err *err) MUST_CHECK;

/* mongo_going.c */
/* Which of these documents will still be there at the end of the sweep (asking->going is set). They are of a collection that is a
 * target of its own and hold their _id and its tenant. */
int mongo_going_ask(struct mongo_store *store, const struct mongo_work *asking, const char *collection, const bson_t *const *documents, size_t count,
                    bool *stays, struct err *err) MUST_CHECK;

/* mongo_drop.c */
/* The name of the tenant's own collection; NULL: it could be somebody else's, or no collection can have it. */
char *mongo_drop_name(struct arena *arena, const struct schedule *schedule, const struct target *target, const char *tenant);
/* Could this be the name of some tenant's collection? */
bool mongo_drop_fits(const char *pattern, const char *name);
/* Collections that fit the target's pattern and no tenant can be told of: two patterns have their name, or it is too long. */
int mongo_drop_undecidable(struct mongo_store *store, const struct target *target, struct arena *arena, int64_t *ret_count, struct err *err) MUST_CHECK;
int mongo_drop_tally(struct mongo_store *store, const struct order *order, struct arena *arena, struct tally *ret_tally, struct err *err) MUST_CHECK;
/* A batch of one tenant's collection; no tenants in it: it is gone, or not due. */
int mongo_drop_prepare(struct mongo_store *store, const struct order *order, const char *tenant, struct arena *arena, struct batch *ret_batch,
                       struct err *err) MUST_CHECK;
int mongo_drop_finish(struct mongo_store *store, const struct order *order, const char *tenant, struct outcome *ret_outcome, struct err *err) MUST_CHECK;

/* mongo_anonymize.c */
/* The conditions of a document that can be anonymized and, as far as the marker tells, was not: pushed to an $and. */
void mongo_push_anonymizable(bson_t *conditions, uint32_t *index, const struct target *target);
/* The names of top-level fields that `columns` and the target decide; for the target's own documents. */
void mongo_append_listed(bson_t *names, const struct target *target);
/* Works out what changes; documents in which nothing does are dropped from the work. */
int mongo_anonymize_plan(struct mongo_store *store, struct mongo_work *work, struct err *err) MUST_CHECK;
/* The same for the dependents that have columns of their own. */
int mongo_anonymize_plan_children(struct mongo_store *store, struct mongo_work *work, struct err *err) MUST_CHECK;
/* Writes the changes to documents that are still what they were; filter as in mongo_compile for their tenant, or none for dependents. */
int mongo_anonymize_apply(struct mongo_store *store, mongoc_client_session_t *session, const struct mongo_work *work, const char *collection,
                          const struct mongo_document *documents, size_t n_documents, bool own, int64_t *ret_changed, struct err *err) MUST_CHECK;

/* mongo_cover.c: collections that hold tenants' documents and that no rule covers. */
int mongo_cover(struct mongo_store *store, const struct mongo_catalog *catalog, struct arena *arena, struct finding **findings, size_t *n_findings,
                struct err *err) MUST_CHECK;
/* mongo_wide.c: what the user may do and the schedule does not need; *ret_text = NULL: nothing. */
int mongo_wide(struct mongo_store *store, struct arena *arena, const char **ret_text, int64_t *ret_count, struct err *err) MUST_CHECK;
/* mongo_check.c: the privileges of the user that is logged in (connectionStatus); *ret_asked: one is. The reply is filled in any case. */
int mongo_privileges(struct mongo_store *store, bson_t *reply, bool *ret_asked, struct err *err) MUST_CHECK;

/* One function for each slot of the driver, in the file that the list at the top names. */
int mongo_tenants(struct store *store, const char *const *ids, size_t n_ids, tenant_sink *sink, void *context, struct err *err);
int mongo_tenants_tables(struct store *store, struct arena *arena, const char *const **ret_names, size_t *ret_count, struct err *err);
int mongo_check(struct store *store, struct faults *faults, bool *bad, struct err *err);
int mongo_advise(struct store *store, struct arena *arena, const struct finding **ret_findings, size_t *ret_count, struct err *err);
int mongo_grants(struct store *store, const char *role, struct buf *to, struct err *err);
int mongo_draft(struct store *store, struct buf *to, struct err *err);
int mongo_probe(struct store *store, const struct order *const *orders, size_t n_orders, struct arena *arena, struct tally *tallies,
                struct err *err);
int mongo_size(struct store *store, const struct target *target, int64_t most, struct arena *arena, int64_t *ret_records, struct err *err);
int mongo_count(struct store *store, const struct order *const *orders, size_t n_orders, struct arena *arena, struct tally *tallies,
                struct err *err);
void mongo_know(struct store *store, const struct tenants *tenants);
int mongo_undecidable(struct store *store, const struct target *target, int64_t now_us, struct arena *arena,
                      const struct undecidable **ret_items, size_t *ret_count, struct err *err);
int mongo_pass_begin(struct store *store, const struct order *const *orders, size_t n_orders, const struct portion *portion, struct pass **ret_pass,
                     struct err *err);
int mongo_pass_prepare(struct store *store, struct pass *pass, size_t limit, struct arena *arena, const struct batch **ret_batch,
                       const struct order **ret_failed, struct err *err);
int mongo_pass_finish(struct store *store, struct pass *pass, bool commit, struct outcome *ret_outcome, struct err *err);
void mongo_pass_exclude(struct store *store, struct pass *pass, const struct order *order, const char *tenant);
void mongo_pass_end(struct store *store, struct pass *pass);
int mongo_settle(struct store *store, const char *transaction, const char *server, enum settled *ret_settled, struct err *err);
/* The most that a replica is behind the primary, by replSetGetStatus; PRESSURE_NONE: there is no replica that answers. */
int64_t mongo_replica_lag(const bson_t *status);
int mongo_pressure(struct store *store, const char *query, struct pressure *ret_pressure, struct err *err);
int mongo_explain(struct store *store, const struct target *target, const char *key, struct arena *arena, struct record_facts *ret_facts,
                  struct err *err);

#endif
