/* One document, for lapsectl explain: which anchors it has, whether `only` lets it in, what keeps it back. */
#include "store/mongo_internal.h"

#include <string.h>

static bson_t *key_filter(const char *key) {
    bson_t values = BSON_INITIALIZER;
    uint32_t count = 0;
    mongo_append_values(&values, &count, MONGO_ALL_TYPES, key);
    bson_t *filter = BCON_NEW("_id", "{", "$in", BCON_ARRAY(&values), "}");
    bson_destroy(&values);
    return filter;
}

static void read_anchor(const struct mongo_bound *bound, const bson_t *document, const char *path, bool is_since, bool *ret_ok, int64_t *ret_us) {
    static const struct {
        bson_type_t type;
        unsigned form;
    } accepted[] = {{BSON_TYPE_DATE_TIME, MONGO_DATE}, {BSON_TYPE_OID, MONGO_ID_TIME}, {BSON_TYPE_INT32, MONGO_COUNTED},
                    {BSON_TYPE_INT64, MONGO_COUNTED},  {BSON_TYPE_DOUBLE, MONGO_COUNTED}};
    bson_iter_t value;
    if (!path || !mongo_scalar_at(document, path, &value)) return;
    unsigned forms = mongo_forms(bound, path, is_since);
    for (size_t i = 0; i < sizeof accepted / sizeof *accepted; i++)
        if (accepted[i].type == bson_iter_type(&value) && accepted[i].form & forms)
            *ret_ok = mongo_instant(&value, is_since ? bound->target->unit : UNIT_NONE, ret_us);
}

static int ask_only(struct mongo_store *store, const struct mongo_bound *bound, const bson_t *by_key, bool *ret_holds, struct err *err) {
    *ret_holds = true;
    if (!bound->only) return 0;
    MONGO_BSON filter = BCON_NEW("$and", "[", BCON_DOCUMENT(by_key), BCON_DOCUMENT(bound->only), "]");
    MONGO_CURSOR cursor = NULL;
    const struct mongo_find find = {.filter = filter, .limit = 1};
    const bson_t *document;
    if (mongo_find(store, NULL, bound->target->name, &find, &cursor, err) || mongo_next(store, cursor, "read the document", &document, err)) return -1;
    *ret_holds = document;
    return 0;
}

static int ask_state(struct mongo_store *store, const struct mongo_bound *bound, const bson_t *document, struct arena *arena, struct record_facts *facts,
                     struct err *err) {
    const struct target *target = bound->target;
    const struct order purge = {.target = target, .action = ACTION_PURGE};
    struct mongo_document *one = ARENA_NEW(arena, struct mongo_document);
    *one = (struct mongo_document){.found = document, .tenant = ""};
    struct mongo_work work = {.arena = arena, .bound = bound, .order = &purge, .documents = one, .n_documents = 1};
    int64_t dependents;
    if (mongo_walk_count(store, &work, &dependents, err)) return -1;
    if (work.n_kept) facts->blocked_by = arena_strdup(arena, work.kept[0].blocked_by);
    bson_iter_t marker;
    if (target->marker) facts->anonymized = mongo_scalar_at(document, target->marker, &marker) && !BSON_ITER_HOLDS_NULL(&marker);
    else if (target->n_columns) {
        work = (struct mongo_work){.arena = arena, .bound = bound, .order = &purge, .documents = one, .n_documents = 1};
        if (mongo_anonymize_plan(store, &work, err)) return -1;
        facts->anonymized = !work.n_documents;
    }
    return 0;
}

static int explain_collection(struct mongo_store *store, const struct target *target, const char *key, struct arena *arena, struct record_facts *facts,
                              struct err *err) {
    struct mongo_catalog catalog;
    const char *name = mongo_drop_name(arena, store->base.settings.schedule, target, key);
    if (mongo_list(store, arena, &catalog, err)) return -1;
    facts->exists = name && mongo_entry_of(&catalog, name);
    facts->tenant = facts->exists ? arena_strdup(arena, key) : NULL;
    facts->only_holds = true;
    return 0;
}

static int explain_document(struct mongo_store *store, const struct mongo_bound *bound, const char *key, struct arena *arena, struct record_facts *facts,
                            struct err *err) {
    const struct target *target = bound->target;
    MONGO_BSON filter = key_filter(key);
    MONGO_CURSOR cursor = NULL;
    const struct mongo_find find = {.filter = filter, .limit = 1};
    const bson_t *document;
    bson_iter_t value;
    if (mongo_find(store, NULL, target->name, &find, &cursor, err) || mongo_next(store, cursor, "read the document", &document, err)) return -1;
    if (!document) return 0;
    document = mongo_keep(arena, document);
    facts->exists = true;
    if (target->tenant && mongo_scalar_at(document, target->tenant, &value)) facts->tenant = mongo_text(arena, &value);
    read_anchor(bound, document, target->since, true, &facts->anchor_ok[0], &facts->anchor_us[0]);
    for (size_t i = 0; i < target->n_ends; i++)
        read_anchor(bound, document, target->ends[i].column, false, &facts->anchor_ok[1 + i], &facts->anchor_us[1 + i]);
    return ask_only(store, bound, filter, &facts->only_holds, err) || ask_state(store, bound, document, arena, facts, err) ? -1 : 0;
}

int mongo_explain(struct store *base, const struct target *target, const char *key, struct arena *arena, struct record_facts *ret_facts, struct err *err) {
    struct mongo_store *store = mongo_of(base);
    const struct mongo_bound *bound;
    struct record_facts facts = {0};
    if (mongo_connect(store, NULL, err) || mongo_usable(store, target, &bound, err)) return -1;
    if (target->tenant_in_name ? explain_collection(store, target, key, arena, &facts, err)
                               : explain_document(store, bound, key, arena, &facts, err))
        return err_within(err, "collection \"%s\"", target->name);
    *ret_facts = facts;
    return 0;
}
