#include "store/mongo_internal.h"

#include <stdlib.h>
#include <string.h>

int mongo_usable(const struct mongo_store *store, const struct target *target, const struct mongo_bound **ret_bound, struct err *err) {
    if (!store->bound) return err_set(err, ERR_BUG, "store \"%s\": asked before it was checked", store->base.settings.conf->name);
    const struct mongo_bound *bound = &store->bound[target->number];
    if (!bound->target || bound->bad)
        return err_set(err, ERR_CONFIG, "%s:%u: collection \"%s\" has faults; lapsectl check names them", target->place.file, target->place.line, target->name);
    *ret_bound = bound;
    return 0;
}

/* ---- collections ---- */

static struct mongo_entry *read_entry(struct mongo_catalog *catalog, struct arena *arena, const bson_t *document) {
    bson_iter_t iter, capped;
    if (!bson_iter_init_find(&iter, document, "name") || !BSON_ITER_HOLDS_UTF8(&iter)) return NULL;
    struct mongo_entry *entry = ARENA_APPEND(arena, catalog->entries, catalog->count);
    entry->name = arena_strdup(arena, bson_iter_utf8(&iter, NULL));
    entry->type = bson_iter_init_find(&iter, document, "type") && BSON_ITER_HOLDS_UTF8(&iter) ? arena_strdup(arena, bson_iter_utf8(&iter, NULL)) : "collection";
    bson_iter_t options;
    entry->capped = bson_iter_init(&options, document) && bson_iter_find_descendant(&options, "options.capped", &capped) && bson_iter_as_bool(&capped);
    entry->collated = bson_iter_init(&options, document) && bson_iter_find_descendant(&options, "options.collation", &capped);
    return entry;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct mongo_entry *)a)->name, ((const struct mongo_entry *)b)->name);
}

int mongo_list(struct mongo_store *store, struct arena *arena, struct mongo_catalog *ret_catalog, struct err *err) {
    struct mongo_catalog catalog = {0};
    mongoc_database_t *database = mongoc_client_get_database(store->client, store->database);
    MONGO_CURSOR cursor = mongoc_database_find_collections_with_opts(database, NULL);
    mongoc_database_destroy(database);
    for (const bson_t *document;;) {
        if (mongo_next(store, cursor, "list the collections", &document, err)) return -1;
        if (!document) break;
        (void)read_entry(&catalog, arena, document);
    }
    if (catalog.count) qsort(catalog.entries, catalog.count, sizeof *catalog.entries, by_name);
    *ret_catalog = catalog;
    return 0;
}

const struct mongo_entry *mongo_entry_of(const struct mongo_catalog *catalog, const char *name) {
    const struct mongo_entry key = {.name = name};
    return catalog->count ? bsearch(&key, catalog->entries, catalog->count, sizeof key, by_name) : NULL;
}

bool mongo_is_plain(const struct mongo_entry *entry) {
    return !strcmp(entry->type, "collection") && !entry->capped && !text_starts_with(entry->name, "system.");
}

/* ---- indexes ---- */

static bool is_true(const bson_t *document, const char *name) {
    bson_iter_t iter;
    return bson_iter_init_find(&iter, document, name) && bson_iter_as_bool(&iter);
}

/* Such an index holds every document, in the order of its values: it may be named as a hint without hiding any. */
static bool is_complete(const bson_t *index) {
    return !is_true(index, "sparse") && !is_true(index, "hidden") && !bson_has_field(index, "partialFilterExpression") && !bson_has_field(index, "collation");
}

static bool next_key_is(bson_iter_t *keys, const char *path) {
    return path && bson_iter_next(keys) && !strcmp(bson_iter_key(keys), path) && BSON_ITER_HOLDS_NUMBER(keys);
}

static void read_index(struct mongo_bound *bound, struct arena *arena, const bson_t *index) {
    bson_iter_t key, keys, name;
    if (!is_complete(index) || !bson_iter_init_find(&key, index, "key") || !bson_iter_init_find(&name, index, "name")) return;
    if (!BSON_ITER_HOLDS_DOCUMENT(&key) || !BSON_ITER_HOLDS_UTF8(&name)) return;
    const struct target *target = bound->target;
    bson_iter_recurse(&key, &keys);
    if (next_key_is(&keys, target->since)) bound->index_since = true;
    bson_iter_recurse(&key, &keys);
    if (!next_key_is(&keys, target->tenant)) return;
    bool with_since = next_key_is(&keys, target->since);
    if (bound->index_tenant && (bound->index_both || !with_since)) return;
    bound->index_tenant = arena_strdup(arena, bson_iter_utf8(&name, NULL));
    bound->index_both = with_since || !target->since;
}

static int bind_indexes(struct mongo_store *store, struct mongo_bound *bound, struct err *err) {
    MONGO_COLLECTION collection = mongo_collection(store, bound->target->name);
    MONGO_CURSOR cursor = mongoc_collection_find_indexes_with_opts(collection, NULL);
    for (const bson_t *document;;) {
        if (mongo_next(store, cursor, "list the indexes", &document, err)) return -1;
        if (!document) return 0;
        read_index(bound, store->catalog, document);
    }
}

/* ---- types ---- */

static int has_object_id(struct mongo_store *store, const struct mongo_bound *bound, bool *ret_has, struct err *err) {
    MONGO_BSON filter = BCON_NEW(bound->target->since, "{", "$type", "objectId", "}");
    MONGO_BSON projection = BCON_NEW("_id", BCON_INT32(1));
    MONGO_CURSOR cursor = NULL;
    const bson_t *document;
    const struct mongo_find find = {.filter = filter, .projection = projection, .limit = 1};
    if (mongo_find(store, NULL, bound->target->name, &find, &cursor, err) || mongo_next(store, cursor, "ask for types", &document, err)) return -1;
    *ret_has = document;
    return 0;
}

/* Without an index a sample has to do: an ObjectId that it does not show is counted as undecidable, never destroyed. */
static int bind_since(struct mongo_store *store, struct mongo_bound *bound, struct err *err) {
    const struct target *target = bound->target;
    if (!target->since || target->unit != UNIT_NONE || !strcmp(target->since, "_id")) return 0;
    if (bound->index_since) return has_object_id(store, bound, &bound->since_object_id, err);
    enum { SAMPLE = 200 };
    MONGO_BSON everything = bson_new();
    MONGO_CURSOR cursor = NULL;
    const struct mongo_find find = {.filter = everything, .limit = SAMPLE};
    if (mongo_find(store, NULL, target->name, &find, &cursor, err)) return -1;
    for (const bson_t *document;;) {
        bson_iter_t value;
        if (mongo_next(store, cursor, "read a sample", &document, err)) return -1;
        if (!document) return 0;
        if (mongo_scalar_at(document, target->since, &value) && BSON_ITER_HOLDS_OID(&value)) bound->since_object_id = true;
    }
}

static bool bind_only(struct mongo_store *store, struct mongo_bound *bound) {
    if (!bound->target->only) return true;
    bson_error_t error;
    MONGO_BSON parsed = bson_new_from_json((const uint8_t *)bound->target->only, -1, &error);
    if (!parsed) return false;
    bound->only = mongo_keep(store->catalog, parsed);
    return true;
}

void mongo_bind(struct mongo_store *store, const struct mongo_catalog *catalog, struct faults *faults) {
    const struct schedule *schedule = store->base.settings.schedule;
    store->bound = ARENA_ARRAY(store->catalog, struct mongo_bound, schedule->n_targets);
    for (size_t i = 0; i < schedule->n_targets; i++) {
        const struct target *target = schedule->targets[i];
        struct mongo_bound *bound = &store->bound[i];
        if (target->store != store->base.settings.conf) continue;
        const struct mongo_entry *entry = mongo_entry_of(catalog, target->name);
        *bound = (struct mongo_bound){.target = target, .exists = entry && mongo_is_plain(entry)};
        if (bind_only(store, bound)) continue;
        fault_add(faults, target->place, "\"%s\": `only` is no JSON filter; write { \"field\": value } in strict JSON", target->rule->data);
        bound->bad = true;
    }
}

static int inspect(struct mongo_store *store, struct mongo_bound *bound, struct err *err) {
    if (bind_indexes(store, bound, err)) return -1;
    return bind_since(store, bound, err);
}

int mongo_inspect(struct mongo_store *store, struct err *err) {
    for (size_t i = 0; i < store->base.settings.schedule->n_targets; i++) {
        struct mongo_bound *bound = &store->bound[i];
        if (!bound->target || bound->bad || !bound->exists || !inspect(store, bound, err)) continue;
        store->bound = NULL; /* half a catalog is none */
        return err_within(err, "collection \"%s\"", bound->target->name);
    }
    return 0;
}
