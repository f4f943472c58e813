/* Collections that are one tenant's, named after it ("kb_{tenant}"): dropped whole once the tenant's end has lapsed. A name that
 * could be another's, or that the schedule uses otherwise, belongs to nobody. */
#include "base/time.h"
#include "store/mongo_internal.h"

#include <string.h>

enum { MOST_NAME = 180, SERVER_NO_SUCH_COLLECTION = 26 };

static const char place_of_tenant[] = "{tenant}";

/* Whether `name` could come from this pattern, and from which id. */
static bool fits(const char *pattern, const char *name, const char **ret_id, size_t *ret_length) {
    const char *at = strstr(pattern, place_of_tenant);
    if (!at) return false;
    size_t before = (size_t)(at - pattern), length = strlen(name);
    const char *rest = at + strlen(place_of_tenant);
    size_t after = strlen(rest);
    if (length <= before + after || strncmp(pattern, name, before) != 0 || strcmp(name + length - after, rest) != 0) return false;
    *ret_id = name + before;
    *ret_length = length - before - after;
    return true;
}

bool mongo_drop_fits(const char *pattern, const char *name) {
    const char *id;
    size_t length;
    return fits(pattern, name, &id, &length);
}

/* The schedule speaks of a collection of just this name. */
static bool is_named(const struct schedule *schedule, const struct target *target, const char *name) {
    if (schedule->tenants.collection && !strcmp(schedule->tenants.collection, name)) return true;
    for (size_t i = 0; i < schedule->n_targets; i++) {
        const struct target *other = schedule->targets[i];
        if (other->store != target->store || other->kind != TARGET_COLLECTION) continue;
        if (!other->tenant_in_name && !strcmp(other->name, name)) return true;
        for (size_t j = 0; j < other->n_dependents; j++)
            if (!strcmp(other->dependents[j].join.child_table, name)) return true;
    }
    return false;
}

/* Another pattern of the schedule has this name too, for another tenant. */
static bool is_ambiguous(const struct schedule *schedule, const struct target *target, const char *name) {
    for (size_t i = 0; i < schedule->n_targets; i++) {
        const struct target *other = schedule->targets[i];
        const char *id;
        size_t length;
        if (other->store != target->store || other->kind != TARGET_COLLECTION || !other->tenant_in_name || !strcmp(other->name, target->name)) continue;
        if (fits(other->name, name, &id, &length)) return true;
    }
    return false;
}

char *mongo_drop_name(struct arena *arena, const struct schedule *schedule, const struct target *target, const char *tenant) {
    const char *at = strstr(target->name, place_of_tenant);
    if (!at || !*tenant) return NULL;
    char *name = arena_printf(arena, "%.*s%s%s", (int)(at - target->name), target->name, tenant, at + strlen(place_of_tenant));
    bool sane = strlen(name) <= MOST_NAME && !strchr(name, '$') && !text_starts_with(name, "system.") && name[0] != '.';
    return sane && !is_named(schedule, target, name) && !is_ambiguous(schedule, target, name) ? name : NULL;
}

/* ---- counting ---- */

static int count_documents(struct mongo_store *store, const char *name, int64_t *ret_count, struct err *err) {
    MONGO_COLLECTION collection = mongo_collection(store, name);
    MONGO_BSON everything = bson_new();
    MONGO_BSON options = bson_new();
    bson_t reply;
    bson_error_t error;
    if (mongo_options(store, NULL, options, err)) return -1;
    int64_t count = mongoc_collection_count_documents(collection, everything, options, NULL, &reply, &error);
    int result = count < 0 ? mongo_fail(store, &error, &reply, "count", err) : 0;
    bson_destroy(&reply);
    if (!result) *ret_count = count;
    return result;
}

/* It holds documents and goes whole, capped or a time series or not; a view holds none. */
static bool can_be_dropped(const struct mongo_entry *entry) { return strcmp(entry->type, "view") != 0 && !text_starts_with(entry->name, "system."); }

static const struct mongo_entry *droppable(const struct mongo_catalog *catalog, const char *name) {
    const struct mongo_entry *entry = name ? mongo_entry_of(catalog, name) : NULL;
    return entry && can_be_dropped(entry) ? entry : NULL;
}

int mongo_drop_undecidable(struct mongo_store *store, const struct target *target, struct arena *arena, int64_t *ret_count, struct err *err) {
    struct mongo_catalog catalog;
    if (mongo_list(store, arena, &catalog, err)) return -1;
    int64_t count = 0;
    for (size_t i = 0; i < catalog.count; i++) {
        const struct mongo_entry *entry = &catalog.entries[i];
        const char *id;
        size_t length;
        if (!can_be_dropped(entry) || !fits(target->name, entry->name, &id, &length)) continue;
        /* A name that the schedule speaks of itself belongs to its own rule. */
        bool spoken_of = is_named(store->base.settings.schedule, target, entry->name);
        count += !spoken_of && !mongo_drop_name(arena, store->base.settings.schedule, target, arena_strndup(arena, id, length));
    }
    *ret_count = count;
    return 0;
}

static bool is_before(const struct order *order, const char *tenant) {
    for (size_t i = 0; i < order->n_before; i++)
        if (scope_cutoff(&order->before[i], tenant) != TIME_NEVER) return true;
    return false;
}

static bool is_due(const struct order *order, const char *tenant) {
    for (size_t i = 0; i < order->n_floors; i++)
        if (scope_cutoff(&order->floors[i], tenant) != TIME_FOREVER) return false; /* no single date stands for a whole collection */
    return scope_cutoff(&order->due, tenant) == TIME_FOREVER && !is_before(order, tenant);
}

int mongo_drop_tally(struct mongo_store *store, const struct order *order, struct arena *arena, struct tally *ret_tally, struct err *err) {
    const struct scope *due = &order->due;
    struct tally tally = {0};
    struct mongo_catalog catalog;
    struct tenant_count *items = ARENA_ARRAY(arena, struct tenant_count, due->n_tenants);
    if (mongo_list(store, arena, &catalog, err)) return -1;
    for (size_t i = 0; i < due->n_tenants; i++) {
        const struct scope_tenant *tenant = &due->tenants[i];
        if (!is_due(order, tenant->id)) continue;
        const struct mongo_entry *entry = droppable(&catalog, mongo_drop_name(arena, store->base.settings.schedule, order->target, tenant->id));
        int64_t count = 0;
        if (!entry) continue;
        if (count_documents(store, entry->name, &count, err)) return err_within(err, "collections \"%s\"", order->target->name);
        if (!count) continue;
        items[tally.n_tenants++] = (struct tenant_count){.tenant = tenant->id, .count = count, .cutoff_us = TIME_FOREVER, .oldest_us = tenant->end_us};
        tally.records += count;
    }
    tally.tenants = items;
    *ret_tally = tally;
    return 0;
}

/* ---- dropping ---- */

int mongo_drop_prepare(struct mongo_store *store, const struct order *order, const char *tenant, struct arena *arena, struct batch *ret_batch,
                       struct err *err) {
    const char *const ids[] = {tenant};
    const struct scope_tenant only_this = {.id = ids[0], .cutoff_us = scope_cutoff(&order->due, tenant), .end_us = scope_end(&order->due, tenant)};
    const struct order narrowed = order_for(order, &only_this, 1);
    struct tally tally;
    if (mongo_drop_tally(store, &narrowed, arena, &tally, err)) return -1;
    struct tenant_count *items = ARENA_ARRAY(arena, struct tenant_count, 1);
    if (tally.n_tenants) {
        items[0] = tally.tenants[0];
        items[0].tenant = arena_strdup(arena, tenant);
    }
    *ret_batch = (struct batch){.order = order, .tenants = items, .n_tenants = tally.n_tenants, .records = tally.records, .irrevocable = true, .range = true};
    return 0;
}

int mongo_drop_finish(struct mongo_store *store, const struct order *order, const char *tenant, struct outcome *ret_outcome, struct err *err) {
    struct arena *arena = arena_new();
    struct mongo_catalog catalog;
    struct outcome outcome = {0};
    const char *name = mongo_drop_name(arena, store->base.settings.schedule, order->target, tenant);
    int result = mongo_connect(store, NULL, err) || mongo_list(store, arena, &catalog, err) ? -1 : 0;
    if (!result && is_due(order, tenant) && droppable(&catalog, name)) {
        result = count_documents(store, name, &outcome.records, err);
        MONGO_COLLECTION collection = mongo_collection(store, name);
        bson_error_t error;
        if (!result && !mongoc_collection_drop_with_opts(collection, NULL, &error)) {
            bool gone = error.domain == MONGOC_ERROR_SERVER && error.code == SERVER_NO_SUCH_COLLECTION;
            outcome.records = 0;
            if (!gone) result = mongo_fail(store, &error, NULL, "drop a collection", err);
        }
    }
    arena_free(arena);
    if (!result) *ret_outcome = outcome;
    return result;
}
