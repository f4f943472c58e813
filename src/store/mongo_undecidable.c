/* Counts the documents that no rule can decide. */
#include "store/mongo_internal.h"

#include <string.h>

struct surveying {
    struct mongo_store *store;
    const struct mongo_bound *bound;
    struct arena *arena;
    struct undecidable *items;
    size_t count;
    bool sampled; /* the collection is too large: a sample of it is asked */
    bson_t *any;  /* what would be asked is gathered here, as alternatives of one question; NULL: it is asked */
    uint32_t n_any;
};

enum { SAMPLE_DOCUMENTS = 50000 };

/* A stage that lets a sample through; the first one of a pipeline. */
static bson_t *pipeline_of(const struct surveying *surveying, bson_t *match, bson_t *then) {
    bson_t stages = BSON_INITIALIZER;
    uint32_t index = 0;
    if (surveying->sampled) {
        MONGO_BSON sample = BCON_NEW("$sample", "{", "size", BCON_INT32(SAMPLE_DOCUMENTS), "}");
        mongo_push(&stages, &index, sample);
    }
    MONGO_BSON matched = BCON_NEW("$match", BCON_DOCUMENT(match));
    mongo_push(&stages, &index, matched);
    mongo_push(&stages, &index, then);
    bson_t *pipeline = BCON_NEW("pipeline", BCON_ARRAY(&stages));
    bson_destroy(&stages);
    return pipeline;
}

/* Counts the documents for which all conditions hold, and `only`; none are no item. */
static int survey(struct surveying *surveying, const char *code, const char *column, bson_t *conditions, uint32_t *index, struct err *err) {
    if (surveying->bound->only) {
        MONGO_BSON wrapped = BCON_NEW("$and", "[", BCON_DOCUMENT(surveying->bound->only), "]");
        mongo_push(conditions, index, wrapped);
    }
    MONGO_BSON match = BCON_NEW("$and", BCON_ARRAY(conditions));
    if (surveying->any) {
        mongo_push(surveying->any, &surveying->n_any, match);
        return 0;
    }
    MONGO_BSON number_of = BCON_NEW("$count", "n");
    MONGO_BSON pipeline = pipeline_of(surveying, match, number_of);
    MONGO_CURSOR cursor = NULL;
    const bson_t *document;
    bson_iter_t number;
    if (mongo_aggregate(surveying->store, NULL, surveying->bound->target->name, pipeline, NULL, &cursor, err) ||
        mongo_next(surveying->store, cursor, "look for undecidable documents", &document, err))
        return -1;
    if (!document || !bson_iter_init_find(&number, document, "n")) return 0;
    *ARENA_APPEND(surveying->arena, surveying->items, surveying->count) =
        (struct undecidable){.code = code, .column = column, .count = bson_iter_as_int64(&number)};
    return 0;
}

/* An array at the path or on the way to it. */
static void push_array(bson_t *conditions, uint32_t *index, const char *path) {
    bson_t none = BSON_INITIALIZER;
    uint32_t count = 0;
    mongo_push_no_array(&none, &count, path);
    MONGO_BSON some = BCON_NEW("$nor", "[", "{", "$and", BCON_ARRAY(&none), "}", "]");
    mongo_push(conditions, index, some);
    bson_destroy(&none);
}

enum where { IN_ARRAY, NO_ARRAY };

/* One question: `condition` on a path in or outside of arrays. */
static int survey_path(struct surveying *surveying, const char *code, const char *path, enum where where, const bson_t *condition, struct err *err) {
    bson_t conditions = BSON_INITIALIZER;
    uint32_t index = 0;
    if (where == IN_ARRAY) push_array(&conditions, &index, path);
    else mongo_push_no_array(&conditions, &index, path);
    if (condition) mongo_push(&conditions, &index, condition);
    int result = survey(surveying, code, path, &conditions, &index, err);
    bson_destroy(&conditions);
    return result;
}

/* Where documents go by their tenant's end, those of a tenant that nobody knows are left over for ever. */
static int survey_whose(struct surveying *surveying, struct err *err) {
    const struct target *target = surveying->bound->target;
    const struct tenants *known = surveying->store->known;
    if (!known || !plan_is_bound(target->rule)) return 0;
    bson_t conditions = BSON_INITIALIZER;
    uint32_t index = 0;
    mongo_push_no_array(&conditions, &index, target->tenant);
    if (surveying->bound->only) mongo_push(&conditions, &index, surveying->bound->only);
    __attribute__((cleanup(buf_free))) struct buf path = {0};
    buf_printf(&path, "$%s", target->tenant);
    MONGO_BSON match = BCON_NEW("$and", BCON_ARRAY(&conditions));
    MONGO_BSON group = BCON_NEW("$group", "{", "_id", BCON_UTF8(buf_text(&path)), "n", "{", "$sum", BCON_INT64(1), "}", "}");
    MONGO_BSON pipeline = pipeline_of(surveying, match, group);
    bson_destroy(&conditions);
    MONGO_CURSOR cursor = NULL;
    if (mongo_aggregate(surveying->store, NULL, target->name, pipeline, NULL, &cursor, err)) return -1;
    struct arena *arena = arena_new();
    const bson_t *document;
    bson_iter_t id, number;
    int64_t unknown = 0;
    int failed;
    while (!(failed = mongo_next(surveying->store, cursor, "look for undecidable documents", &document, err)) && document) {
        arena_clear(arena);
        const char *text = bson_iter_init_find(&id, document, "_id") ? mongo_text(arena, &id) : NULL;
        if (text && *text && !tenants_find(known, text) && bson_iter_init_find(&number, document, "n")) unknown += bson_iter_as_int64(&number);
    }
    arena_free(arena);
    if (!failed && unknown)
        *ARENA_APPEND(surveying->arena, surveying->items, surveying->count) =
            (struct undecidable){.code = "tenant-unknown", .column = target->tenant, .count = unknown};
    return failed;
}

static int survey_tenant(struct surveying *surveying, struct err *err) {
    const char *path = surveying->bound->target->tenant;
    MONGO_BSON empty = BCON_NEW("$or", "[", "{", path, BCON_NULL, "}", "{", path, "", "}", "]");
    MONGO_BSON unknown = BCON_NEW(path, "{", "$ne", BCON_NULL, "$not", "{", "$type", "[", "string", "int", "long", "double", "objectId", "binData", "]", "}", "}");
    return survey_path(surveying, "tenant-empty", path, NO_ARRAY, empty, err) || survey_path(surveying, "tenant-unknown", path, NO_ARRAY, unknown, err) ||
                   survey_path(surveying, "tenant-ambiguous", path, IN_ARRAY, NULL, err)
               ? -1
               : 0;
}

/* {$nor: [what is an anchor]} and neither missing nor null. */
static bson_t *wrong_type(const char *path, unsigned forms) {
    bson_t types = BSON_INITIALIZER;
    uint32_t count = 0;
    char room[16];
    const char *key;
    static const struct {
        unsigned form;
        const char *type;
    } names[] = {{MONGO_DATE, "date"}, {MONGO_ID_TIME, "objectId"}, {MONGO_COUNTED, "int"}, {MONGO_COUNTED, "long"}, {MONGO_COUNTED, "double"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (forms & names[i].form) {
            (void)bson_uint32_to_string(count++, &key, room, sizeof room);
            mongo_append_utf8(&types, key, names[i].type);
        }
    bson_t *wrong = forms == MONGO_COUNTED ? BCON_NEW(path, "{", "$ne", BCON_NULL, "$not", "{", "$gt", BCON_INT64(0), "}", "}")
                                           : BCON_NEW(path, "{", "$ne", BCON_NULL, "$not", "{", "$type", BCON_ARRAY(&types), "}", "}");
    bson_destroy(&types);
    return wrong;
}

static int survey_since(struct surveying *surveying, int64_t now_us, struct err *err) {
    const struct target *target = surveying->bound->target;
    unsigned forms = mongo_forms(surveying->bound, target->since, true);
    MONGO_BSON empty = BCON_NEW(target->since, BCON_NULL);
    MONGO_BSON wrong = wrong_type(target->since, forms);
    bool seconds = target->unit == UNIT_SECONDS;
    MONGO_BSON future = forms == MONGO_COUNTED ? BCON_NEW(target->since, "{", "$gt", BCON_INT64(now_us / (seconds ? 1000000 : 1000)), "}")
                                               : BCON_NEW(target->since, "{", "$gt", BCON_DATE_TIME(now_us / 1000), "}");
    return survey_path(surveying, "since-empty", target->since, NO_ARRAY, empty, err) || survey_path(surveying, "since-type", target->since, NO_ARRAY, wrong, err) ||
                   survey_path(surveying, "since-type", target->since, IN_ARRAY, NULL, err) ||
                   survey_path(surveying, "since-future", target->since, NO_ARRAY, future, err)
               ? -1
               : 0;
}

static int survey_fields(struct surveying *surveying, struct err *err) {
    bson_t names = BSON_INITIALIZER, conditions = BSON_INITIALIZER;
    uint32_t index = 0;
    mongo_append_listed(&names, surveying->bound->target);
    MONGO_BSON unlisted = BCON_NEW("$expr", "{", "$not", "[", "{", "$setIsSubset", "[", "{", "$map", "{", "input", "{", "$objectToArray", "$$ROOT", "}", "as",
                                   "field", "in", "$$field.k", "}", "}", "{", "$literal", BCON_ARRAY(&names), "}", "]", "}", "]", "}");
    mongo_push(&conditions, &index, unlisted);
    int result = survey(surveying, "field-unlisted", NULL, &conditions, &index, err);
    bson_destroy(&names);
    bson_destroy(&conditions);
    return result;
}

static bool is_dependent(const struct mongo_store *store, const char *name) {
    const struct schedule *schedule = store->base.settings.schedule;
    for (size_t i = 0; i < schedule->n_targets; i++)
        for (size_t j = 0; schedule->targets[i]->store == store->base.settings.conf && j < schedule->targets[i]->n_dependents; j++)
            if (!strcmp(schedule->targets[i]->dependents[j].join.child_table, name)) return true;
    return false;
}

/* Documents that no rule's `only` lets in: the first target of a collection asks for all of them. */
static int survey_unreached(struct surveying *surveying, struct err *err) {
    const struct mongo_store *store = surveying->store;
    const struct schedule *schedule = store->base.settings.schedule;
    const struct target *target = surveying->bound->target;
    bson_t all = BSON_INITIALIZER;
    uint32_t index = 0;
    bool asks = !is_dependent(store, target->name);
    for (size_t i = 0; asks && i < schedule->n_targets; i++) {
        const struct mongo_bound *other = &store->bound[i];
        if (!other->target || strcmp(other->target->name, target->name) != 0) continue;
        if (i < target->number || !other->only) asks = false;
        else mongo_push(&all, &index, other->only);
    }
    int result = 0;
    if (asks) {
        MONGO_BSON match = BCON_NEW("$nor", BCON_ARRAY(&all));
        MONGO_BSON number_of = BCON_NEW("$count", "n");
        MONGO_BSON pipeline = pipeline_of(surveying, match, number_of);
        MONGO_CURSOR cursor = NULL;
        const bson_t *document = NULL;
        bson_iter_t number;
        result = mongo_aggregate(surveying->store, NULL, target->name, pipeline, NULL, &cursor, err) ||
                         mongo_next(surveying->store, cursor, "look for undecidable documents", &document, err)
                     ? -1
                     : 0;
        if (!result && document && bson_iter_init_find(&number, document, "n"))
            *ARENA_APPEND(surveying->arena, surveying->items, surveying->count) =
                (struct undecidable){.code = "only-unreached", .count = bson_iter_as_int64(&number)};
    }
    bson_destroy(&all);
    return result;
}

static int survey_reasons(struct surveying *surveying, int64_t now_us, struct err *err) {
    const struct target *target = surveying->bound->target;
    bool anonymizes = target->rule->n_anonymize || target->rule->anonymize_blocked;
    if (target->tenant && survey_tenant(surveying, err)) return -1;
    if (target->since && survey_since(surveying, now_us, err)) return -1;
    return anonymizes && target->n_columns ? survey_fields(surveying, err) : 0;
}

/* All reasons in one question. Mostly none is there, and the collection is read once instead of once for each. */
static int has_any(struct surveying *surveying, int64_t now_us, bool *ret_any, struct err *err) {
    bson_t alternatives = BSON_INITIALIZER;
    surveying->any = &alternatives;
    surveying->n_any = 0;
    int result = survey_reasons(surveying, now_us, err);
    surveying->any = NULL;
    const bson_t *document = NULL;
    if (!result && surveying->n_any) {
        MONGO_BSON match = BCON_NEW("$or", BCON_ARRAY(&alternatives));
        MONGO_BSON one = BCON_NEW("$limit", BCON_INT32(1));
        MONGO_BSON pipeline = pipeline_of(surveying, match, one);
        MONGO_CURSOR cursor = NULL;
        const char *collection = surveying->bound->target->name;
        if (mongo_aggregate(surveying->store, NULL, collection, pipeline, NULL, &cursor, err) ||
            mongo_next(surveying->store, cursor, "look for undecidable documents", &document, err))
            result = -1;
        else *ret_any = document != NULL;
    } else {
        *ret_any = false;
    }
    bson_destroy(&alternatives);
    return result;
}

static int survey_documents(struct surveying *surveying, int64_t now_us, struct err *err) {
    bool any = true; /* of two samples one may have what the other has not */
    if (!surveying->sampled && has_any(surveying, now_us, &any, err)) return -1;
    if (any && survey_reasons(surveying, now_us, err)) return -1;
    if (surveying->bound->target->tenant && survey_whose(surveying, err)) return -1;
    return survey_unreached(surveying, err);
}

/* What cannot be read within the statement's time is judged by a sample. */
static int survey_or_sample(struct surveying *surveying, int64_t now_us, struct err *err) {
    if (!survey_documents(surveying, now_us, err)) return 0;
    if (strcmp(err->detail, "50") != 0) return -1;
    surveying->sampled = true;
    surveying->count = 0;
    if (survey_documents(surveying, now_us, err)) return -1;
    *ARENA_APPEND(surveying->arena, surveying->items, surveying->count) = (struct undecidable){.code = "survey-sampled", .count = 1};
    return 0;
}

int mongo_undecidable(struct store *base, const struct target *target, int64_t now_us, struct arena *arena, const struct undecidable **ret_items,
                      size_t *ret_count, struct err *err) {
    struct mongo_store *store = mongo_of(base);
    struct surveying surveying = {.store = store, .arena = arena};
    if (mongo_connect(store, NULL, err) || mongo_usable(store, target, &surveying.bound, err)) return -1;
    if (target->tenant_in_name) {
        int64_t count;
        if (mongo_drop_undecidable(store, target, arena, &count, err)) return err_within(err, "collections \"%s\"", target->name);
        if (count)
            *ARENA_APPEND(arena, surveying.items, surveying.count) = (struct undecidable){.code = "tenant-ambiguous", .column = "{tenant}", .count = count};
    } else {
        if (survey_or_sample(&surveying, now_us, err)) return err_within(err, "collection \"%s\"", target->name);
    }
    *ret_items = surveying.items;
    *ret_count = surveying.count;
    return 0;
}

void mongo_know(struct store *base, const struct tenants *tenants) { mongo_of(base)->known = tenants; }
