/* Collections that hold tenants' documents, by the fields of a sample, and that no rule covers. */
#include "store/mongo_internal.h"

#include "schedule/cover.h"

#include <string.h>

enum { SAMPLE = 100, DEEPEST = 6 };

/* bson_iter_t is aligned to more than its size: an array takes it inside of a struct only. */
struct level {
    bson_iter_t iter;
};

struct covering {
    struct mongo_store *store;
    struct arena *arena;
    const char *why; /* of the collection that is looked at; NULL: nothing says so */
};

static const struct schedule *schedule_of(const struct covering *covering) { return covering->store->base.settings.schedule; }

static bool is_covered(const struct covering *covering, const char *name) {
    const struct schedule *schedule = schedule_of(covering);
    for (size_t i = 0; i < schedule->n_targets; i++) {
        const struct target *target = schedule->targets[i];
        if (target->store != covering->store->base.settings.conf) continue;
        if (target->tenant_in_name ? mongo_drop_fits(target->name, name) : !strcmp(target->name, name)) return true;
        for (size_t j = 0; j < target->n_dependents; j++)
            if (!strcmp(target->dependents[j].join.child_table, name)) return true;
    }
    return cover_exemption(schedule, covering->store->base.settings.conf, TARGET_COLLECTION, name, strlen(name)) != NULL;
}

static bool is_own(const struct covering *covering, const char *name) {
    const struct tenants_conf *tenants = &schedule_of(covering)->tenants;
    return schedule_of(covering)->has_tenants && tenants->store == covering->store->base.settings.conf && tenants->collection &&
           !strcmp(tenants->collection, name);
}

/* Of what the tenants pipeline reads, any field that it does not name. */
static void look_at_own(struct covering *covering, const bson_t *document) {
    bson_iter_t iter;
    if (!bson_iter_init(&iter, document)) return;
    while (!covering->why && bson_iter_next(&iter))
        if (strcmp(bson_iter_key(&iter), "_id") != 0 && !strstr(schedule_of(covering)->tenants.pipeline, bson_iter_key(&iter)))
            covering->why = "it is the tenants' own, and has more than the tenants pipeline reads";
}

/* Fields at any depth, those of documents in arrays too. */
static void look_at(struct covering *covering, const bson_t *document) {
    struct level levels[DEEPEST];
    size_t depth = 0;
    if (!bson_iter_init(&levels[0].iter, document)) return;
    while (!covering->why) {
        bson_iter_t *iter = &levels[depth].iter;
        if (!bson_iter_next(iter)) {
            if (!depth--) return;
            continue;
        }
        if (cover_is_tenant_name(schedule_of(covering), bson_iter_key(iter)))
            covering->why = arena_printf(covering->arena, "by their field \"%s\"", bson_iter_key(iter));
        bool nested = BSON_ITER_HOLDS_DOCUMENT(iter) || BSON_ITER_HOLDS_ARRAY(iter);
        if (nested && depth + 1 < DEEPEST && bson_iter_recurse(iter, &levels[depth + 1].iter)) depth++;
    }
}

/* A random sample: of a collection that grew over years, the first documents tell how it was long ago. */
static int sample(struct covering *covering, const char *name, struct err *err) {
    MONGO_BSON pipeline = BCON_NEW("pipeline", "[", "{", "$sample", "{", "size", BCON_INT32(SAMPLE), "}", "}", "]");
    MONGO_CURSOR cursor = NULL;
    covering->why = NULL;
    if (mongo_aggregate(covering->store, NULL, name, pipeline, NULL, &cursor, err)) return -1;
    for (const bson_t *document;;) {
        if (mongo_next(covering->store, cursor, "read a sample", &document, err)) return -1;
        if (!document) return 0;
        if (is_own(covering, name)) look_at_own(covering, document);
        look_at(covering, document);
    }
}

static bool has_tenants(const struct schedule *schedule) {
    for (size_t i = 0; i < schedule->n_targets; i++)
        if (!schedule->targets[i]->no_tenant) return true;
    return schedule->has_tenants;
}

int mongo_cover(struct mongo_store *store, const struct mongo_catalog *catalog, struct arena *arena, struct finding **findings, size_t *n_findings,
                struct err *err) {
    struct covering covering = {.store = store, .arena = arena};
    if (!has_tenants(store->base.settings.schedule)) return 0;
    for (size_t i = 0; i < catalog->count; i++) {
        const char *name = catalog->entries[i].name;
        if (!strcmp(catalog->entries[i].type, "view") || text_starts_with(name, "system.") || is_covered(&covering, name)) continue;
        if (sample(&covering, name, err)) {
            if (err->code != ERR_REFUSED) return err_within(err, "collection \"%s\"", name);
            covering.why = "nobody knows: its user may not read it";
        }
        if (!covering.why) continue;
        *ARENA_APPEND(arena, *findings, *n_findings) = (struct finding){
            .code = "uncovered", .store = store->base.settings.conf->name, .place = name, .count = 1,
            .text = arena_printf(arena, "\"%s\" may hold tenants' documents (%s), and no rule covers it; make it a target or a dependent, or add "
                                        "exempt = ( { collection = \"%s\"; why = \"…\"; } )", name, covering.why, name)};
    }
    return 0;
}
