/* What one batch does: documents chosen under an order's filter, and their destruction, which repeats that filter. */
#include "base/time.h"
#include "store/mongo_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_ID_BYTES = 4 << 20, /* of one $in; a command may have 16 MiB */
    PAIRS_A_QUESTION = 100,  /* references of several columns: each document is compared with all of them */
};

/* A bson_t wants more than an arena's alignment. */
static bson_t *view_room(struct arena *arena) {
    const uintptr_t alignment = _Alignof(bson_t);
    uintptr_t address = (uintptr_t)arena_alloc(arena, sizeof(bson_t) + alignment - 1);
    return (bson_t *)((address + alignment - 1) / alignment * alignment);
}

const bson_t *mongo_keep(struct arena *arena, const bson_t *document) {
    uint8_t *bytes = arena_alloc(arena, document->len);
    memcpy(bytes, bson_get_data(document), document->len);
    bson_t *view = view_room(arena);
    bool valid = bson_init_static(view, bytes, document->len);
    assert(valid);
    (void)valid;
    return view;
}

const bson_t *mongo_key_of(struct arena *arena, const bson_t *document) {
    bson_t key = BSON_INITIALIZER;
    bson_iter_t id;
    if (bson_iter_init_find(&id, document, "_id")) bson_append_iter(&key, "_id", -1, &id);
    const bson_t *kept = mongo_keep(arena, &key);
    bson_destroy(&key);
    return kept;
}

/* ---- choosing ---- */

/* Only what has to be known of a document: its key, its tenant, what its dependents refer to; all of it to be anonymized. */
static bson_t *projection_of(const struct mongo_work *work) {
    if (work->order->action == ACTION_ANONYMIZE) return NULL;
    const struct target *target = work->bound->target;
    bson_t *projection = BCON_NEW("_id", BCON_INT32(1));
    bool id_is_tenant = target->tenant && (!strcmp(target->tenant, "_id") || text_starts_with(target->tenant, "_id."));
    if (target->tenant && !id_is_tenant) BSON_APPEND_INT32(projection, target->tenant, 1);
    if (work->anchors) BSON_APPEND_INT32(projection, work->order->due.anchor, 1);
    mongo_walk_project(target, target->name, projection);
    return projection;
}

int mongo_work_choose(struct mongo_store *store, mongoc_client_session_t *session, struct mongo_work *work, const struct mongo_find *how,
                      struct err *err) {
    MONGO_BSON projection = projection_of(work);
    MONGO_CURSOR cursor = NULL;
    struct mongo_find find = *how;
    find.projection = projection;
    if (mongo_find(store, session, work->bound->target->name, &find, &cursor, err)) return -1;
    for (const bson_t *found;;) {
        bson_iter_t value;
        if (mongo_next(store, cursor, "choose documents", &found, err)) return -1;
        if (!found) return 0;
        struct mongo_document *document = ARENA_APPEND(work->arena, work->documents, work->n_documents);
        document->found = mongo_keep(work->arena, found);
        document->tenant = "";
        if (work->order->due.kind == SCOPE_WHOLE) continue;
        const char *tenant = mongo_scalar_at(found, work->bound->target->tenant, &value) ? mongo_text(work->arena, &value) : NULL;
        if (!tenant || !*tenant) return err_set(err, ERR_BUG, "chose a document without a tenant");
        document->tenant = tenant;
    }
}

/* `min` is inclusive, but other than {$gt: last} it knows no type brackets. */
static bson_t *filter_behind(const bson_t *filter, const bson_t *last) {
    bson_iter_t id;
    if (!last || !bson_iter_init_find(&id, last, "_id")) return bson_copy(filter);
    bson_t other = BSON_INITIALIZER;
    bson_append_iter(&other, "$ne", -1, &id);
    bson_t *both = BCON_NEW("$and", "[", BCON_DOCUMENT(filter), "{", "_id", BCON_DOCUMENT(&other), "}", "]");
    bson_destroy(&other);
    return both;
}

int mongo_work_choose_by_key(struct mongo_store *store, mongoc_client_session_t *session, struct mongo_work *work, const bson_t *last, size_t limit,
                             struct err *err) {
    MONGO_BSON by_id = BCON_NEW("_id", BCON_INT32(1));
    MONGO_BSON filter = filter_behind(work->filter, last);
    const struct mongo_find find = {.filter = filter, .hint = "_id_", .sort = by_id, .min = last, .limit = (int64_t)limit};
    return mongo_work_choose(store, session, work, &find, err);
}

int mongo_work_complete(struct mongo_store *store, mongoc_client_session_t *session, struct mongo_work *work, size_t *ret_taken, struct err *err) {
    *ret_taken = work->n_documents;
    if (mongo_is_walked(work->order) && mongo_walk(store, session, work, work->limit, ret_taken, err)) return -1;
    if (work->order->action != ACTION_ANONYMIZE) return 0;
    return mongo_anonymize_plan(store, work, err) || mongo_anonymize_plan_children(store, work, err) ? -1 : 0;
}

/* ---- destroying ---- */

static int delete_many(struct mongo_store *store, mongoc_client_session_t *session, const char *collection, const bson_t *selector, int64_t *deleted,
                       struct err *err) {
    MONGO_BSON options = bson_new();
    bson_error_t error;
    if (mongo_options(store, session, options, err)) return -1;
    /* They are listed by their keys: another index would have to be compared with this one, and be worse. */
    if (store->hints) BCON_APPEND(options, "hint", "{", "_id", BCON_INT32(1), "}");
    MONGO_COLLECTION handle = mongo_collection(store, collection);
    bson_t reply;
    bool done = mongoc_collection_delete_many(handle, selector, options, &reply, &error);
    bson_iter_t count;
    int result = 0;
    if (!done) result = mongo_fail(store, &error, &reply, "delete documents", err);
    else if (bson_iter_init_find(&count, &reply, "deletedCount")) *deleted += bson_iter_as_int64(&count);
    bson_destroy(&reply);
    return result;
}

static void append_id(bson_t *ids, uint32_t *index, const bson_t *document) {
    bson_iter_t id;
    char room[16];
    const char *key;
    if (!bson_iter_init_find(&id, document, "_id")) return;
    (void)bson_uint32_to_string((*index)++, &key, room, sizeof room);
    bson_append_iter(ids, key, -1, &id);
}

/* What the document refers to, as read: {column: value, …}, or of one column the value alone. */
static void append_reference(bson_t *references, uint32_t *index, const struct dependent *dependent, const bson_t *document) {
    bson_t pairs = BSON_INITIALIZER;
    bson_iter_t value;
    for (size_t i = 0; i < dependent->join.n_columns; i++)
        if (mongo_scalar_at(document, dependent->join.child_columns[i], &value)) bson_append_iter(&pairs, dependent->join.child_columns[i], -1, &value);
    if (dependent->join.n_columns > 1) mongo_push(references, index, &pairs);
    else if (bson_iter_init(&value, &pairs) && bson_iter_next(&value)) {
        char room[16];
        const char *key;
        (void)bson_uint32_to_string((*index)++, &key, room, sizeof room);
        bson_append_iter(references, key, -1, &value);
    }
    bson_destroy(&pairs);
}

/* The next of the documents, by their keys and what else must hold of them; *at moves on behind them. */
static bson_t *selector_of(const struct mongo_document *documents, size_t n_documents, const struct dependent *of, const bson_t *filter, size_t *at) {
    bson_t ids = BSON_INITIALIZER, references = BSON_INITIALIZER, conditions = BSON_INITIALIZER;
    uint32_t n_conditions = 0, n_references = 0;
    size_t most = of && of->join.n_columns > 1 ? PAIRS_A_QUESTION : SIZE_MAX;
    for (uint32_t index = 0; *at < n_documents && index < most && ids.len + references.len < MOST_ID_BYTES; ++*at) {
        append_id(&ids, &index, documents[*at].found);
        if (of) append_reference(&references, &n_references, of, documents[*at].found);
    }
    MONGO_BSON keys = BCON_NEW("_id", "{", "$in", BCON_ARRAY(&ids), "}");
    mongo_push(&conditions, &n_conditions, keys);
    if (of) {
        MONGO_BSON tied = of->join.n_columns > 1 ? BCON_NEW("$or", BCON_ARRAY(&references))
                                                 : BCON_NEW(of->join.child_columns[0], "{", "$in", BCON_ARRAY(&references), "}");
        mongo_push(&conditions, &n_conditions, tied);
    }
    if (filter) mongo_push(&conditions, &n_conditions, filter);
    bson_t *selector = BCON_NEW("$and", BCON_ARRAY(&conditions));
    bson_destroy(&ids);
    bson_destroy(&references);
    bson_destroy(&conditions);
    return selector;
}

static int delete_listed(struct mongo_store *store, mongoc_client_session_t *session, const char *collection, const struct mongo_document *documents,
                         size_t n_documents, const struct dependent *of, const bson_t *filter, int64_t *ret_deleted, struct err *err) {
    int64_t deleted = 0;
    for (size_t at = 0; at < n_documents;) {
        MONGO_BSON selector = selector_of(documents, n_documents, of, filter, &at);
        if (delete_many(store, session, collection, selector, &deleted, err)) return -1;
    }
    *ret_deleted = deleted;
    return 0;
}

static int apply_children(struct mongo_store *store, mongoc_client_session_t *session, const struct mongo_work *work, const struct mongo_children *children,
                          int64_t *ret_count, struct err *err) {
    bool change = work->order->action == ACTION_ANONYMIZE && children->dependent->when_anonymized == WHEN_ANONYMIZED_COLUMNS;
    if (change) return mongo_anonymize_apply(store, session, work, children->collection, children->documents, children->count, false, ret_count, err);
    /* A transaction keeps others from changing them; without one they may have become somebody else's since they were read. */
    const struct dependent *of = session ? NULL : children->dependent;
    return delete_listed(store, session, children->collection, children->documents, children->count, of, NULL, ret_count, err);
}

/* Children before parents. */
int mongo_work_apply(struct mongo_store *store, mongoc_client_session_t *session, struct mongo_work *work, struct outcome *ret_outcome, struct err *err) {
    struct outcome outcome = {0};
    work->begun = false;
    const char *collection = work->bound->target->name;
    for (size_t i = 0; i < work->n_children; i++) {
        int64_t count;
        if (apply_children(store, session, work, &work->children[i], &count, err)) return -1;
        outcome.dependents += count;
        work->begun |= count > 0;
    }
    if (work->order->action == ACTION_ANONYMIZE) {
        if (mongo_anonymize_apply(store, session, work, collection, work->documents, work->n_documents, true, &outcome.records, err)) return -1;
    } else if (delete_listed(store, session, collection, work->documents, work->n_documents, NULL, work->filter, &outcome.records, err)) {
        return -1;
    }
    *ret_outcome = outcome;
    return 0;
}

/* ---- by tenant ---- */

static int by_tenant(const void *a, const void *b) {
    return strcmp(((const struct tenant_count *)a)->tenant, ((const struct tenant_count *)b)->tenant);
}

void mongo_work_tenants(const struct mongo_work *work, struct arena *arena, struct batch *batch) {
    struct tenant_count *items = ARENA_ARRAY(arena, struct tenant_count, work->n_documents + 1);
    size_t count = 0;
    const struct scope *due = &work->order->due;
    for (size_t i = 0; i < work->n_documents; i++) items[i] = (struct tenant_count){.tenant = work->documents[i].tenant, .count = 1};
    /* Nothing of its tenant's but dependents goes: its end must be asked for all the same. */
    if (work->drained) items[count++] = (struct tenant_count){.tenant = work->drained->tenant};
    if (work->n_documents) qsort(items, work->n_documents, sizeof *items, by_tenant);
    for (size_t i = 0; i < work->n_documents; i++) {
        if (count && !strcmp(items[count - 1].tenant, items[i].tenant)) items[count - 1].count++;
        else items[count++] = items[i];
    }
    for (size_t i = 0; i < count; i++) {
        items[i].tenant = arena_strdup(arena, items[i].tenant);
        items[i].cutoff_us = due->kind == SCOPE_WHOLE ? due->cutoff_us : mongo_cutoff(work->order, items[i].tenant);
        items[i].oldest_us = TIME_FOREVER;
    }
    batch->tenants = items;
    batch->n_tenants = count;
    batch->records = (int64_t)work->n_documents;
}

/* ---- without transactions ---- */

/* The filter of those among the listed documents that are due still, from `from` on; *ret_next: where the next ones begin. */
static bson_t *listed_filter(const struct mongo_work *listed, const struct mongo_document *documents, size_t count, size_t from, size_t *ret_next) {
    bson_t ids = BSON_INITIALIZER;
    size_t at = from;
    for (uint32_t index = 0; at < count && ids.len < MOST_ID_BYTES; at++) append_id(&ids, &index, documents[at].found);
    bson_t *filter = BCON_NEW("$and", "[", "{", "_id", "{", "$in", BCON_ARRAY(&ids), "}", "}", BCON_DOCUMENT(listed->filter), "]");
    bson_destroy(&ids);
    *ret_next = at;
    return filter;
}

static int again(struct mongo_store *store, const struct mongo_work *listed, const bson_t *filter, struct outcome *outcome, struct err *err) {
    struct mongo_work work = {.arena = listed->arena, .bound = listed->bound, .order = listed->order, .filter = listed->filter, .limit = listed->limit};
    const struct mongo_find find = {.filter = filter};
    struct outcome done;
    size_t taken;
    if (mongo_work_choose(store, NULL, &work, &find, err) || mongo_work_complete(store, NULL, &work, &taken, err) ||
        mongo_work_apply(store, NULL, &work, &done, err)) {
        /* Without a transaction nothing takes back what went before the step that failed. */
        if (work.begun || outcome->records || outcome->dependents) err->code = ERR_UNKNOWN;
        return -1;
    }
    outcome->records += done.records;
    outcome->dependents += done.dependents;
    return 0;
}

int mongo_work_again(struct mongo_store *store, const struct mongo_work *listed, struct outcome *ret_outcome, struct err *err) {
    const struct mongo_document *documents = listed->drained ? listed->drained : listed->documents;
    size_t count = listed->drained ? 1 : listed->n_documents;
    struct outcome outcome = {0};
    for (size_t at = 0, next; at < count; at = next) {
        MONGO_BSON filter = listed_filter(listed, documents, count, at, &next);
        if (again(store, listed, filter, &outcome, err)) return -1;
    }
    *ret_outcome = outcome;
    return 0;
}
