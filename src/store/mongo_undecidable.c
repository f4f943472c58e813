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

static void push_only(const struct surveying *surveying, bson_t *conditions, uint32_t *index) {
    if (!surveying->bound->only) return;
    MONGO_BSON wrapped = BCON_NEW("$and", "[", BCON_DOCUMENT(surveying->bound->only), "]");
    mongo_push(conditions, index, wrapped);
}

/* Counts the documents for which all conditions hold, and `only`; none are no item. */
static int survey(struct surveying *surveying, const char *code, const char *column, bson_t *conditions, uint32_t *index, struct err *err) {
    push_only(surveying, conditions, index);
    MONGO_BSON match = BCON_NEW("$and", BCON_ARRAY(conditions));
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

/* {$type: [those that a tenant can have]}; mongo_text tells what of them it is. */
static bson_t *tenant_types(void) {
    return BCON_NEW("$type", "[", "string", "int", "long", "double", "objectId", "binData", "]");
}

static int survey_tenant(struct surveying *surveying, struct err *err) {
    const char *path = surveying->bound->target->tenant;
    MONGO_BSON empty = BCON_NEW("$or", "[", "{", path, BCON_NULL, "}", "{", path, "", "}", "]");
    MONGO_BSON types = tenant_types();
    MONGO_BSON unknown = BCON_NEW(path, "{", "$ne", BCON_NULL, "$not", BCON_DOCUMENT(types), "}");
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

/* The condition that a document has a field which `columns` does not decide. */
static bson_t *unlisted(const struct target *target) {
    bson_t names = BSON_INITIALIZER;
    mongo_append_listed(&names, target);
    bson_t *condition = BCON_NEW("$expr", "{", "$not", "[", "{", "$setIsSubset", "[", "{", "$map", "{", "input", "{", "$objectToArray", "$$ROOT", "}", "as",
                                 "field", "in", "$$field.k", "}", "}", "{", "$literal", BCON_ARRAY(&names), "}", "]", "}", "]", "}");
    bson_destroy(&names);
    return condition;
}

static bool decides_fields(const struct target *target) {
    return (target->rule->n_anonymize || target->rule->anonymize_blocked) && target->n_columns;
}

static int survey_fields(struct surveying *surveying, struct err *err) {
    bson_t conditions = BSON_INITIALIZER;
    uint32_t index = 0;
    MONGO_BSON condition = unlisted(surveying->bound->target);
    mongo_push(&conditions, &index, condition);
    int result = survey(surveying, "field-unlisted", NULL, &conditions, &index, err);
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
    if (target->tenant && survey_tenant(surveying, err)) return -1;
    if (target->since && survey_since(surveying, now_us, err)) return -1;
    return decides_fields(target) ? survey_fields(surveying, err) : 0;
}

/* ---- is there any reason at all? ---- */

static void push_ordinary_tenant(bson_t *conditions, uint32_t *index, const char *path) {
    MONGO_BSON types = tenant_types();
    MONGO_BSON known = BCON_NEW(path, BCON_DOCUMENT(types));
    MONGO_BSON named = BCON_NEW(path, "{", "$ne", "", "}");
    mongo_push(conditions, index, known);
    mongo_push(conditions, index, named);
    mongo_push_no_array(conditions, index, path);
}

static void push_ordinary_since(bson_t *conditions, uint32_t *index, const struct mongo_bound *bound, int64_t now_us) {
    const struct target *target = bound->target;
    unsigned forms = mongo_forms(bound, target->since, true);
    bson_t alternatives = BSON_INITIALIZER;
    uint32_t count = 0;
    MONGO_BSON past = BCON_NEW(target->since, "{", "$lte", BCON_DATE_TIME(now_us / 1000), "}");
    MONGO_BSON id = BCON_NEW(target->since, "{", "$type", "objectId", "}");
    MONGO_BSON number = BCON_NEW(target->since, "{", "$gt", BCON_INT64(0), "$lte", BCON_INT64(now_us / (target->unit == UNIT_SECONDS ? 1000000 : 1000)), "}");
    if (forms & MONGO_DATE) mongo_push(&alternatives, &count, past);
    if (forms & MONGO_ID_TIME) mongo_push(&alternatives, &count, id);
    if (forms & MONGO_COUNTED) mongo_push(&alternatives, &count, number);
    MONGO_BSON either = BCON_NEW("$or", BCON_ARRAY(&alternatives));
    mongo_push(conditions, index, either);
    mongo_push_no_array(conditions, index, target->since);
    bson_destroy(&alternatives);
}

/* None of the reasons holds for a document that is what one expects, and that is told by fewer comparisons than all of them. */
static bson_t *extraordinary(const struct surveying *surveying, int64_t now_us) {
    const struct target *target = surveying->bound->target;
    bson_t ordinary = BSON_INITIALIZER, conditions = BSON_INITIALIZER;
    uint32_t n_ordinary = 0, index = 0;
    if (target->since) push_ordinary_since(&ordinary, &n_ordinary, surveying->bound, now_us);
    if (target->tenant) push_ordinary_tenant(&ordinary, &n_ordinary, target->tenant);
    if (decides_fields(target)) {
        MONGO_BSON condition = unlisted(target);
        MONGO_BSON listed = BCON_NEW("$nor", "[", BCON_DOCUMENT(condition), "]");
        mongo_push(&ordinary, &n_ordinary, listed);
    }
    if (n_ordinary) {
        MONGO_BSON other = BCON_NEW("$nor", "[", "{", "$and", BCON_ARRAY(&ordinary), "}", "]");
        mongo_push(&conditions, &index, other);
        push_only(surveying, &conditions, &index);
    }
    bson_t *match = n_ordinary ? BCON_NEW("$and", BCON_ARRAY(&conditions)) : NULL;
    bson_destroy(&ordinary);
    bson_destroy(&conditions);
    return match;
}

/* Mostly there is none, and the collection is read once instead of once for each. */
static int has_any(struct surveying *surveying, int64_t now_us, bool *ret_any, struct err *err) {
    MONGO_BSON match = extraordinary(surveying, now_us);
    if (!match) {
        *ret_any = false;
        return 0;
    }
    MONGO_BSON one = BCON_NEW("$limit", BCON_INT32(1));
    MONGO_BSON pipeline = pipeline_of(surveying, match, one);
    MONGO_CURSOR cursor = NULL;
    const bson_t *document;
    if (mongo_aggregate(surveying->store, NULL, surveying->bound->target->name, pipeline, NULL, &cursor, err) ||
        mongo_next(surveying->store, cursor, "look for undecidable documents", &document, err))
        return -1;
    *ret_any = document != NULL;
    return 0;
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
