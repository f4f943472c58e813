/* Anonymization: documents are read, changed here field by field along dotted paths and through arrays, and written back only
 * where the changed top-level fields are still what they were. */
#include "base/time.h"
#include "store/mongo_internal.h"
#include "store/strategy.h"

#include <string.h>

enum { DEEPEST = 100 };

/* A column whose path leads on from here. */
struct step {
    const struct column *column;
    const char *rest; /* "" at its end */
};

struct steps {
    const struct step *items;
    size_t count;
};

struct changing {
    struct arena *arena;
    const unsigned char *key;
};

static void append_value(struct changing *changing, bson_t *to, const char *key, const bson_iter_t *value, struct steps steps, int depth);

/* ---- one value ---- */

static void append_text(struct changing *changing, bson_t *to, const char *key, const struct column *column, const char *text) {
    /* Without the key (lapsectl plan) a pseudonym cannot be made, but that it would be one can be told. */
    bool unknown = column->strategy == STRATEGY_PSEUDONYMIZE && !changing->key;
    const char *done = text && strategy_done(column, text) ? text : NULL;
    const char *result = unknown ? done : strategy_apply(changing->arena, column, changing->key, text);
    if (result) mongo_append_utf8(to, key, result);
    else bson_append_null(to, key, -1);
}

static void append_truncated(bson_t *to, const char *key, const bson_iter_t *value, const struct column *column) {
    int64_t us;
    if (mongo_instant(value, UNIT_NONE, &us)) bson_append_date_time(to, key, -1, strategy_truncate_time(us, column->argument) / 1000);
    else bson_append_null(to, key, -1);
}

/* Text as such; what else has a text (ids) only to be pseudonymized; anything that is not what the strategy reads becomes null. */
static void append_leaf(struct changing *changing, bson_t *to, const char *key, const bson_iter_t *value, const struct column *column) {
    bson_type_t type = bson_iter_type(value);
    if (column->strategy == STRATEGY_AS_IS) bson_append_iter(to, key, -1, value);
    else if (column->strategy == STRATEGY_NULL) bson_append_null(to, key, -1);
    else if (column->strategy == STRATEGY_FIXED) mongo_append_utf8(to, key, column->argument);
    else if (column->strategy == STRATEGY_TRUNCATE_TIME && type == BSON_TYPE_DATE_TIME) append_truncated(to, key, value, column);
    else if (type == BSON_TYPE_UTF8 || column->strategy == STRATEGY_PSEUDONYMIZE) append_text(changing, to, key, column, mongo_text(changing->arena, value));
    else bson_append_null(to, key, -1);
}

/* ---- along the paths ---- */

static void append_elements(struct changing *changing, bson_t *to, const bson_iter_t *array, struct steps steps, int depth) {
    bson_iter_t child;
    if (!bson_iter_recurse(array, &child)) return;
    while (bson_iter_next(&child)) append_value(changing, to, bson_iter_key(&child), &child, steps, depth);
}

/* The fields of a document: each with the columns that lead through it. */
static void append_fields(struct changing *changing, bson_t *to, bson_iter_t *fields, struct steps steps, int depth) {
    struct step *inner = ARENA_ARRAY(changing->arena, struct step, steps.count);
    while (bson_iter_next(fields)) {
        const char *name = bson_iter_key(fields);
        size_t length = strlen(name), count = 0;
        for (size_t i = 0; i < steps.count; i++) {
            const char *rest = steps.items[i].rest;
            if (strncmp(rest, name, length) || (rest[length] && rest[length] != '.')) continue;
            inner[count++] = (struct step){steps.items[i].column, rest[length] ? rest + length + 1 : ""};
        }
        if (count) append_value(changing, to, name, fields, (struct steps){inner, count}, depth);
        else bson_append_iter(to, name, -1, fields);
    }
}

/* An array stands for its elements, on the way and at the end of a path. A path that ends early, at a value that is no document,
 * leads nowhere: the value stays. */
static void append_value(struct changing *changing, bson_t *to, const char *key, const bson_iter_t *value, struct steps steps, int depth) {
    const struct column *leaf = NULL;
    for (size_t i = 0; i < steps.count; i++)
        if (!*steps.items[i].rest) leaf = steps.items[i].column;
    bson_t inner;
    if (leaf && leaf->strategy == STRATEGY_AS_IS) bson_append_iter(to, key, -1, value);
    else if (BSON_ITER_HOLDS_ARRAY(value) && depth < DEEPEST && !(leaf && leaf->strategy == STRATEGY_NULL)) {
        bson_append_array_begin(to, key, -1, &inner);
        append_elements(changing, &inner, value, steps, depth + 1);
        bson_append_array_end(to, &inner);
    } else if (leaf) append_leaf(changing, to, key, value, leaf);
    else if (BSON_ITER_HOLDS_DOCUMENT(value) && depth < DEEPEST) {
        bson_iter_t fields;
        bson_append_document_begin(to, key, -1, &inner);
        if (bson_iter_recurse(value, &fields)) append_fields(changing, &inner, &fields, steps, depth + 1);
        bson_append_document_end(to, &inner);
    } else bson_append_iter(to, key, -1, value);
}

/* ---- one document ---- */

/* Which top-level fields change, and how. */
static void plan_document(struct changing *changing, const struct column *columns, size_t n_columns, struct mongo_document *document) {
    struct step *items = ARENA_ARRAY(changing->arena, struct step, n_columns);
    for (size_t i = 0; i < n_columns; i++) items[i] = (struct step){&columns[i], columns[i].path};
    bson_t changed = BSON_INITIALIZER, set = BSON_INITIALIZER, old = BSON_INITIALIZER;
    bson_iter_t before, after;
    if (bson_iter_init(&before, document->found)) append_fields(changing, &changed, &before, (struct steps){items, n_columns}, 0);
    if (bson_iter_init(&before, document->found) && bson_iter_init(&after, &changed))
        while (bson_iter_next(&before) && bson_iter_next(&after)) {
            bson_t one = BSON_INITIALIZER, other = BSON_INITIALIZER;
            bson_append_iter(&one, "", 0, &before);
            bson_append_iter(&other, "", 0, &after);
            if (!bson_equal(&one, &other) && strcmp(bson_iter_key(&before), "_id")) {
                bson_append_iter(&old, NULL, 0, &before);
                bson_append_iter(&set, NULL, 0, &after);
            }
            bson_destroy(&one);
            bson_destroy(&other);
        }
    document->old = mongo_keep(changing->arena, &old);
    document->set = mongo_keep(changing->arena, &set);
    bson_destroy(&changed);
    bson_destroy(&set);
    bson_destroy(&old);
}

static struct changing changing_of(struct mongo_store *store, struct arena *arena) {
    return (struct changing){.arena = arena, .key = store->base.settings.pseudonym_key};
}

static int check_key(const struct mongo_store *store, const struct column *columns, size_t n_columns, struct err *err) {
    for (size_t i = 0; i < n_columns; i++)
        if (columns[i].strategy == STRATEGY_PSEUDONYMIZE && !store->base.settings.pseudonym_key && !store->base.settings.read_only)
            return err_set(err, ERR_BUG, "store \"%s\": has no key to pseudonymize with", store->base.settings.conf->name);
    return 0;
}

int mongo_anonymize_plan(struct mongo_store *store, struct mongo_work *work, struct err *err) {
    const struct target *target = work->bound->target;
    struct changing changing = changing_of(store, work->arena);
    size_t kept = 0;
    if (check_key(store, target->columns, target->n_columns, err)) return -1;
    for (size_t i = 0; i < work->n_documents; i++) {
        struct mongo_document *document = &work->documents[i];
        plan_document(&changing, target->columns, target->n_columns, document);
        if (target->marker || !bson_empty(document->set)) work->documents[kept++] = *document;
    }
    work->n_documents = kept;
    return 0;
}

/* ---- which fields are decided ---- */

static void append_top(bson_t *names, uint32_t *index, const char *path) {
    if (!path) return;
    char room[16];
    const char *key;
    (void)bson_uint32_to_string((*index)++, &key, room, sizeof room);
    bson_append_utf8(names, key, -1, path, (int)strcspn(path, "."));
}

static void append_columns(bson_t *names, uint32_t *index, const struct column *columns, size_t n_columns) {
    append_top(names, index, "_id");
    for (size_t i = 0; i < n_columns; i++) append_top(names, index, columns[i].path);
}

void mongo_append_listed(bson_t *names, const struct target *target) {
    uint32_t index = 0;
    append_columns(names, &index, target->columns, target->n_columns);
    append_top(names, &index, target->tenant);
    append_top(names, &index, target->since);
    append_top(names, &index, target->marker);
    for (size_t i = 0; i < target->n_ends; i++) append_top(names, &index, target->ends[i].column);
}

static bool is_listed(const bson_t *names, const char *name) {
    bson_iter_t iter;
    if (!bson_iter_init(&iter, names)) return false;
    while (bson_iter_next(&iter))
        if (!strcmp(bson_iter_utf8(&iter, NULL), name)) return true;
    return false;
}

/* The fields of dependents that the join reads are as much decided as a target's tenant. */
static int check_listed(const struct dependent *dependent, const bson_t *document, struct err *err) {
    bson_t names = BSON_INITIALIZER;
    uint32_t index = 0;
    bool listed = true;
    bson_iter_t iter;
    append_columns(&names, &index, dependent->columns, dependent->n_columns);
    for (size_t i = 0; i < dependent->join.n_columns; i++) append_top(&names, &index, dependent->join.child_columns[i]);
    if (bson_iter_init(&iter, document))
        while (listed && bson_iter_next(&iter)) listed = is_listed(&names, bson_iter_key(&iter));
    bson_destroy(&names);
    if (listed) return 0;
    return err_set(err, ERR_REFUSED, "%s:%u: documents of \"%s\" have a field that its columns do not list; list every field, with as-is: if it may stay",
                   dependent->place.file, dependent->place.line, dependent->join.child_table);
}

int mongo_anonymize_plan_children(struct mongo_store *store, struct mongo_work *work, struct err *err) {
    struct changing changing = changing_of(store, work->arena);
    size_t kept_children = 0;
    for (size_t i = 0; i < work->n_children; i++) {
        struct mongo_children *children = &work->children[i];
        const struct dependent *dependent = children->dependent;
        size_t kept = 0;
        if (dependent->when_anonymized != WHEN_ANONYMIZED_COLUMNS) kept = children->count;
        else if (check_key(store, dependent->columns, dependent->n_columns, err)) return -1;
        for (size_t j = 0; dependent->when_anonymized == WHEN_ANONYMIZED_COLUMNS && j < children->count; j++) {
            struct mongo_document *document = &children->documents[j];
            if (check_listed(dependent, document->found, err)) return -1;
            plan_document(&changing, dependent->columns, dependent->n_columns, document);
            if (!bson_empty(document->set)) children->documents[kept++] = *document;
        }
        children->count = kept;
        if (kept) work->children[kept_children++] = *children;
    }
    work->n_children = kept_children;
    return 0;
}

/* {$expr: {$setIsSubset: [the document's field names, the listed ones]}}, and no marker. */
void mongo_push_anonymizable(bson_t *conditions, uint32_t *index, const struct target *target) {
    bson_t names = BSON_INITIALIZER;
    mongo_append_listed(&names, target);
    MONGO_BSON listed = BCON_NEW("$expr", "{", "$setIsSubset", "[", "{", "$map", "{", "input", "{", "$objectToArray", "$$ROOT", "}", "as", "field", "in",
                                 "$$field.k", "}", "}", "{", "$literal", BCON_ARRAY(&names), "}", "]", "}");
    mongo_push(conditions, index, listed);
    bson_destroy(&names);
    if (!target->marker) return;
    MONGO_BSON unmarked = BCON_NEW(target->marker, BCON_NULL);
    mongo_push(conditions, index, unmarked);
}

/* ---- writing back ---- */

/* {$expr: {$eq: ["$field", {$literal: old}]}} for each field that changes. */
static void push_old(bson_t *conditions, uint32_t *index, const bson_t *old) {
    bson_iter_t iter;
    if (!bson_iter_init(&iter, old)) return;
    while (bson_iter_next(&iter)) {
        char path[1024];
        bson_t literal = BSON_INITIALIZER;
        (void)snprintf(path, sizeof path, "$%s", bson_iter_key(&iter));
        bson_append_iter(&literal, "$literal", -1, &iter);
        MONGO_BSON same = BCON_NEW("$expr", "{", "$eq", "[", BCON_UTF8(path), BCON_DOCUMENT(&literal), "]", "}");
        mongo_push(conditions, index, same);
        bson_destroy(&literal);
    }
}

static bson_t *selector_of(const struct mongo_document *document, const bson_t *filter) {
    bson_t conditions = BSON_INITIALIZER, by_id = BSON_INITIALIZER;
    uint32_t index = 0;
    bson_iter_t id;
    if (bson_iter_init_find(&id, document->found, "_id")) bson_append_iter(&by_id, "_id", -1, &id);
    mongo_push(&conditions, &index, &by_id);
    if (filter) mongo_push(&conditions, &index, filter);
    push_old(&conditions, &index, document->old);
    bson_t *selector = BCON_NEW("$and", BCON_ARRAY(&conditions));
    bson_destroy(&conditions);
    bson_destroy(&by_id);
    return selector;
}

static int add_updates(struct mongo_store *store, mongoc_bulk_operation_t *bulk, const struct mongo_work *work, const struct mongo_document *documents,
                       size_t n_documents, bool own, struct err *err) {
    const char *marker = own ? work->bound->target->marker : NULL;
    int64_t now_ms = time_now_us() / 1000;
    for (size_t i = 0; i < n_documents; i++) {
        MONGO_BSON filter = own ? mongo_compile(work->bound, work->order, &documents[i].tenant, 1) : NULL;
        if (own && !filter) continue;
        MONGO_BSON selector = selector_of(&documents[i], filter);
        bson_t set = BSON_INITIALIZER;
        bson_concat(&set, documents[i].set);
        if (marker) bson_append_date_time(&set, marker, -1, now_ms);
        MONGO_BSON update = BCON_NEW("$set", BCON_DOCUMENT(&set));
        bson_destroy(&set);
        bson_error_t error;
        if (!mongoc_bulk_operation_update_one_with_opts(bulk, selector, update, NULL, &error)) return mongo_fail(store, &error, NULL, "anonymize documents", err);
    }
    return 0;
}

int mongo_anonymize_apply(struct mongo_store *store, mongoc_client_session_t *session, const struct mongo_work *work, const char *collection,
                          const struct mongo_document *documents, size_t n_documents, bool own, int64_t *ret_changed, struct err *err) {
    *ret_changed = 0;
    if (!n_documents) return 0;
    bson_error_t error;
    MONGO_BSON options = bson_new();
    if (session && !mongoc_client_session_append(session, options, &error)) return mongo_fail(store, &error, NULL, "use its session", err);
    BSON_APPEND_BOOL(options, "ordered", true);
    MONGO_COLLECTION handle = mongo_collection(store, collection);
    mongoc_bulk_operation_t *bulk = mongoc_collection_create_bulk_operation_with_opts(handle, options);
    bson_t reply = BSON_INITIALIZER;
    int result = add_updates(store, bulk, work, documents, n_documents, own, err);
    if (!result) {
        bson_iter_t count;
        bson_destroy(&reply);
        if (!mongoc_bulk_operation_execute(bulk, &reply, &error)) result = mongo_fail(store, &error, &reply, "anonymize documents", err);
        else if (bson_iter_init_find(&count, &reply, "nMatched")) *ret_changed = bson_iter_as_int64(&count);
    }
    bson_destroy(&reply);
    mongoc_bulk_operation_destroy(bulk);
    return result;
}
