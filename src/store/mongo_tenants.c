#include "base/time.h"
#include "store/mongo_internal.h"

#include <string.h>

/* ---- the pipeline ---- */

/* The pipeline's text stands in an object of our own; the schedule's lexer has seen that it is one balanced array. */
static bson_t *parse_pipeline(const struct tenants_conf *conf) {
    __attribute__((cleanup(buf_free))) struct buf text = {0};
    buf_printf(&text, "{\"pipeline\": %s}", conf->pipeline ? conf->pipeline : "[]");
    bson_error_t error;
    bson_t *parsed = bson_new_from_json((const uint8_t *)buf_text(&text), (ssize_t)text.length, &error);
    bson_iter_t iter;
    if (parsed && (bson_count_keys(parsed) != 1 || !bson_iter_init_find(&iter, parsed, "pipeline") || !BSON_ITER_HOLDS_ARRAY(&iter))) {
        bson_destroy(parsed);
        return NULL;
    }
    return parsed;
}

static int read_pipeline(const struct mongo_store *store, bson_t **ret_pipeline, struct err *err) {
    const struct tenants_conf *conf = &store->base.settings.schedule->tenants;
    bson_t *parsed = conf->collection ? parse_pipeline(conf) : NULL;
    if (!parsed)
        return err_set(err, ERR_CONFIG, "%s:%u: tenants: store \"%s\" needs `collection` and a `pipeline` that is a JSON array of stages",
                       conf->place.file, conf->place.line, store->base.settings.conf->name);
    *ret_pipeline = parsed;
    return 0;
}

/* The stages of the schedule, and behind them one that keeps only these tenants. */
static bson_t *narrowed(const bson_t *parsed, const char *const *ids, size_t n_ids) {
    bson_t stages = BSON_INITIALIZER;
    uint32_t index = 0;
    bson_iter_t iter, stage;
    bson_iter_init_find(&iter, parsed, "pipeline");
    bson_iter_recurse(&iter, &stage);
    while (bson_iter_next(&stage)) {
        char room[16];
        const char *key;
        (void)bson_uint32_to_string(index++, &key, room, sizeof room);
        bson_append_value(&stages, key, -1, bson_iter_value(&stage));
    }
    if (n_ids) {
        bson_t values = BSON_INITIALIZER;
        uint32_t count = 0;
        for (size_t i = 0; i < n_ids; i++) mongo_append_values(&values, &count, MONGO_ALL_TYPES, ids[i]);
        MONGO_BSON match = BCON_NEW("$match", "{", "tenant", "{", "$in", BCON_ARRAY(&values), "}", "}");
        mongo_push(&stages, &index, match);
        bson_destroy(&values);
    }
    bson_t *pipeline = BCON_NEW("pipeline", BCON_ARRAY(&stages));
    bson_destroy(&stages);
    return pipeline;
}

/* ---- lines ---- */

/* Missing and null are "not set". */
static bool is_set(const bson_t *document, const char *name, bson_iter_t *ret_value) {
    return bson_iter_init_find(ret_value, document, name) && !BSON_ITER_HOLDS_NULL(ret_value);
}

static void read_end(struct tenant_row *row, size_t index, const bson_t *document, const char *name) {
    bson_iter_t value;
    row->ends[index] = TIME_FOREVER;
    if (!is_set(document, name, &value)) return;
    if (!BSON_ITER_HOLDS_DATE_TIME(&value) || !mongo_instant(&value, UNIT_NONE, &row->ends[index])) {
        row->ends[index] = TIME_FOREVER;
        row->bad_ends[index] = true;
    }
}

/* A value that is no text cannot be read as a period: handed on as such, so that the tenant becomes undecidable. */
static const char *read_period(const bson_t *document, const char *name) {
    bson_iter_t value;
    if (!is_set(document, name, &value)) return NULL;
    return BSON_ITER_HOLDS_UTF8(&value) ? bson_iter_utf8(&value, NULL) : "(no text)";
}

static int read_row(struct mongo_store *store, struct arena *arena, const bson_t *document, struct tenant_row *ret_row, struct err *err) {
    const struct tenants_conf *conf = &store->base.settings.schedule->tenants;
    struct tenant_row row = {0};
    bson_iter_t value;
    const char *store_name = store->base.settings.conf->name;
    if (is_set(document, "tenant", &value)) row.id = mongo_text(arena, &value);
    if (!row.id || !*row.id)
        return err_set(err, ERR_REFUSED, "store \"%s\": the tenants pipeline returns a document whose `tenant` is missing, empty or of a type that no id may have "
                       "(string, whole number, ObjectId, UUID)", store_name);
    if (is_set(document, "parent", &value)) {
        row.parent = mongo_text(arena, &value);
        if (!row.parent)
            return err_set(err, ERR_REFUSED, "store \"%s\": the tenants pipeline returns a document whose `parent` is of a type that no id may have", store_name);
        if (!*row.parent) row.parent = NULL;
    }
    for (size_t i = 0; i < conf->n_ends; i++) read_end(&row, i, document, conf->ends[i]);
    for (size_t i = 0; i < conf->n_period_columns; i++) row.periods[i] = read_period(document, conf->period_columns[i]);
    *ret_row = row;
    return 0;
}

static int stream(struct mongo_store *store, const bson_t *pipeline, struct arena *arena, tenant_sink *sink, void *context, struct err *err) {
    MONGO_CURSOR cursor = NULL;
    if (mongo_aggregate(store, NULL, store->base.settings.schedule->tenants.collection, pipeline, NULL, &cursor, err)) return -1;
    for (const bson_t *document;;) {
        struct tenant_row row;
        if (mongo_next(store, cursor, "run the tenants pipeline", &document, err)) return -1;
        if (!document) return 0;
        if (read_row(store, arena, document, &row, err) || sink(context, &row, err)) return -1;
        arena_clear(arena);
    }
}

int mongo_tenants(struct store *base, const char *const *ids, size_t n_ids, tenant_sink *sink, void *context, struct err *err) {
    struct mongo_store *store = mongo_of(base);
    MONGO_BSON parsed = NULL;
    if (read_pipeline(store, &parsed, err) || mongo_connect(store, NULL, err)) return -1;
    struct arena *arena = arena_new();
    int result = 0;
    size_t from = 0;
    do {
        size_t count = n_ids - from < MONGO_TENANTS_A_QUESTION ? n_ids - from : MONGO_TENANTS_A_QUESTION;
        MONGO_BSON pipeline = narrowed(parsed, ids ? ids + from : NULL, count);
        result = stream(store, pipeline, arena, sink, context, err);
        from += count;
    } while (!result && from < n_ids);
    arena_free(arena);
    return result;
}

/* ---- what it reads ---- */

struct names {
    struct arena *arena;
    const char **items;
    size_t count;
};

static void add_name(struct names *names, const char *name) {
    for (size_t i = 0; i < names->count; i++)
        if (!strcmp(names->items[i], name)) return;
    *ARENA_APPEND(names->arena, names->items, names->count) = arena_strdup(names->arena, name);
}

/* `from` of $lookup and $graphLookup, $unionWith, at any depth: names too many do no harm. */
static void add_names_in(struct names *names, const bson_iter_t *at, int depth) {
    bson_iter_t iter = *at;
    while (depth && bson_iter_next(&iter)) {
        const char *key = bson_iter_key(&iter);
        bool names_one = !strcmp(key, "from") || !strcmp(key, "$unionWith") || !strcmp(key, "coll");
        if (BSON_ITER_HOLDS_UTF8(&iter) && names_one) add_name(names, bson_iter_utf8(&iter, NULL));
        bson_iter_t child;
        if ((BSON_ITER_HOLDS_DOCUMENT(&iter) || BSON_ITER_HOLDS_ARRAY(&iter)) && bson_iter_recurse(&iter, &child))
            add_names_in(names, &child, depth - 1);
    }
}

int mongo_tenants_tables(struct store *base, struct arena *arena, const char *const **ret_names, size_t *ret_count, struct err *err) {
    struct mongo_store *store = mongo_of(base);
    MONGO_BSON parsed = NULL;
    if (read_pipeline(store, &parsed, err)) return -1;
    struct names names = {.arena = arena};
    add_name(&names, store->base.settings.schedule->tenants.collection);
    bson_iter_t iter;
    enum { DEEPEST_PIPELINE = 100 };
    if (bson_iter_init(&iter, parsed)) add_names_in(&names, &iter, DEEPEST_PIPELINE);
    *ret_names = names.items;
    *ret_count = names.count;
    return 0;
}
