/* Advice that is no fault. */
#include "store/mongo_internal.h"

#include <stdarg.h>
#include <string.h>

enum { FEW_DOCUMENTS = 1000, SAMPLE = 200 };

struct advice {
    struct mongo_store *store;
    struct arena *arena;
    struct finding *items;
    size_t count;
};

static void add(struct advice *advice, const struct target *target, const char *code, const char *format, ...) PRINTF_LIKE(4, 5);
static void add(struct advice *advice, const struct target *target, const char *code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const char *text = arena_vprintf(advice->arena, format, arguments);
    va_end(arguments);
    *ARENA_APPEND(advice->arena, advice->items, advice->count) =
        (struct finding){.code = code, .grade = strcmp(code, "ttl-index") ? FINDING_ADVICE : FINDING_ALARM, .rule = target->rule->data, .store = target->store->name, .place = target->name, .count = 1, .text = text};
}

/* ---- indexes ---- */

static int count_roughly(struct advice *advice, const char *name, int64_t *ret_count, struct err *err) {
    MONGO_COLLECTION collection = mongo_collection(advice->store, name);
    bson_t reply;
    bson_error_t error;
    int64_t count = mongoc_collection_estimated_document_count(collection, NULL, NULL, &reply, &error);
    int result = count < 0 ? mongo_fail(advice->store, &error, &reply, "count", err) : 0;
    bson_destroy(&reply);
    if (!result) *ret_count = count;
    return result;
}

static int advise_index(struct advice *advice, const struct mongo_bound *bound, struct err *err) {
    const struct target *target = bound->target;
    int64_t count;
    if (count_roughly(advice, target->name, &count, err)) return -1;
    if (count < FEW_DOCUMENTS) return 0;
    bool served = target->tenant ? bound->index_both : bound->index_since || !target->since || !strcmp(target->since, "_id");
    const char *first = target->tenant ? target->tenant : target->since;
    const char *second = target->tenant && target->since ? arena_printf(advice->arena, ", \"%s\": 1", target->since) : "";
    if (!served)
        add(advice, target, "index-missing", "every sweep reads the whole collection; create an index: db[\"%s\"].createIndex({ \"%s\": 1%s })", target->name, first,
            second);
    return 0;
}

/* An index of ours to look dependents up by; and TTL indexes, which ask nobody. */
static int read_indexes(struct advice *advice, const struct target *target, const char *name, const char *wanted, struct err *err) {
    MONGO_COLLECTION collection = mongo_collection(advice->store, name);
    MONGO_CURSOR cursor = mongoc_collection_find_indexes_with_opts(collection, NULL);
    bool found = false;
    for (const bson_t *index;;) {
        bson_iter_t iter, keys;
        if (mongo_next(advice->store, cursor, "list the indexes", &index, err)) return -1;
        if (!index) break;
        if (bson_has_field(index, "expireAfterSeconds"))
            add(advice, target, "ttl-index", "\"%s\" has a TTL index: MongoDB deletes by it whatever holds and at_least say; drop the index and let the rule do it", name);
        found |= wanted && bson_iter_init_find(&iter, index, "key") && bson_iter_recurse(&iter, &keys) && bson_iter_next(&keys) &&
                 !strcmp(bson_iter_key(&keys), wanted);
    }
    int64_t count;
    if (!wanted || found) return 0;
    if (count_roughly(advice, name, &count, err)) return -1;
    if (count >= FEW_DOCUMENTS)
        add(advice, target, "index-missing", "each batch reads the whole of \"%s\"; create an index: db[\"%s\"].createIndex({ \"%s\": 1 })", name, name, wanted);
    return 0;
}

/* ---- documents ---- */

static int advise_since(struct advice *advice, const struct target *target, struct err *err) {
    MONGO_BSON everything = bson_new();
    MONGO_CURSOR cursor = NULL;
    const struct mongo_find find = {.filter = everything, .limit = SAMPLE};
    bool any = false, found = false;
    if (!target->since) return 0;
    if (mongo_find(advice->store, NULL, target->name, &find, &cursor, err)) return -1;
    for (const bson_t *document;;) {
        bson_iter_t value, all;
        if (mongo_next(advice->store, cursor, "read a sample", &document, err)) return -1;
        if (!document) break;
        any = true;
        found |= mongo_scalar_at(document, target->since, &value) || (bson_iter_init(&all, document) && bson_iter_find_descendant(&all, target->since, &value));
    }
    if (any && !found)
        add(advice, target, "since-absent", "no document that was looked at has \"%s\": nothing will ever be due; correct `since` if it is misspelt", target->since);
    return 0;
}

static int advise_target(struct advice *advice, const struct mongo_catalog *catalog, const struct mongo_bound *bound, struct err *err) {
    const struct target *target = bound->target;
    if (target->tenant_in_name) return 0;
    const struct mongo_entry *entry = mongo_entry_of(catalog, target->name);
    if (!entry) {
        add(advice, target, "collection-missing", "there is no collection \"%s\" yet; correct the name if it is misspelt", target->name);
        return 0;
    }
    if (!mongo_is_plain(entry)) return 0;
    if ((target->rule->n_anonymize || target->rule->anonymize_blocked) && !target->marker)
        add(advice, target, "marker-missing", "without a marker every sweep reads all due documents to see which are anonymized already; add marker = \"anonymizedAt\"");
    for (size_t i = 0; i < target->n_dependents; i++) {
        const struct join *join = &target->dependents[i].join;
        if (mongo_entry_of(catalog, join->child_table) && read_indexes(advice, target, join->child_table, join->child_columns[0], err)) return -1;
    }
    return advise_index(advice, bound, err) || read_indexes(advice, target, target->name, NULL, err) || advise_since(advice, target, err) ? -1 : 0;
}

int mongo_advise(struct store *base, struct arena *arena, const struct finding **ret_findings, size_t *ret_count, struct err *err) {
    struct mongo_store *store = mongo_of(base);
    const struct schedule *schedule = store->base.settings.schedule;
    struct advice advice = {.store = store, .arena = arena};
    struct mongo_catalog catalog;
    if (mongo_connect(store, NULL, err) || mongo_list(store, arena, &catalog, err)) return -1;
    if (!store->bound) {
        struct faults ignored = {.arena = arena};
        mongo_bind(store, &catalog, &ignored);
        if (mongo_inspect(store, err)) return -1;
    }
    for (size_t i = 0; i < schedule->n_targets; i++) {
        const struct mongo_bound *bound = &store->bound[i];
        if (bound->target && !bound->bad && advise_target(&advice, &catalog, bound, err)) return err_within(err, "collection \"%s\"", bound->target->name);
    }
    if (mongo_cover(store, &catalog, arena, &advice.items, &advice.count, err)) return -1;
    const char *wide = NULL;
    int64_t n_wide = 0;
    if (schedule->settings.privileges == PRIVILEGES_WARN && mongo_wide(store, arena, &wide, &n_wide, err)) return -1;
    if (wide)
        *ARENA_APPEND(arena, advice.items, advice.count) =
            (struct finding){.code = "privileges-wide", .store = store->base.settings.conf->name, .count = n_wide, .text = wide};
    *ret_findings = advice.items;
    *ret_count = advice.count;
    return 0;
}
