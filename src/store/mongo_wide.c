/* What the user may do and the schedule does not need. */
#include "store/mongo_internal.h"

#include <string.h>

/* Actions that change something: data, indexes, collections, users, the server. */
static const char *const writing[] = {
    "insert", "update", "remove", "dropCollection", "dropDatabase", "createCollection", "createIndex", "dropIndex", "collMod", "convertToCapped",
    "renameCollectionSameDB", "bypassDocumentValidation", "createUser", "dropUser", "createRole", "dropRole", "grantRole", "revokeRole", "changePassword",
    "shutdown", "fsync", "setParameter", "replSetConfigure", "applyOps", "anyAction", "internal"};

static bool view_of(const bson_iter_t *iter, bson_t *ret_view) {
    uint32_t length;
    const uint8_t *bytes;
    if (BSON_ITER_HOLDS_DOCUMENT(iter)) bson_iter_document(iter, &length, &bytes);
    else if (BSON_ITER_HOLDS_ARRAY(iter)) bson_iter_array(iter, &length, &bytes);
    else return false;
    return bson_init_static(ret_view, bytes, length);
}

static const char *text_of(const bson_t *document, const char *name) {
    bson_iter_t iter;
    return bson_iter_init_find(&iter, document, name) && BSON_ITER_HOLDS_UTF8(&iter) ? bson_iter_utf8(&iter, NULL) : NULL;
}

static bool writes(const char *action) {
    for (size_t i = 0; i < sizeof writing / sizeof *writing; i++)
        if (!strcmp(writing[i], action)) return true;
    return false;
}

/* The schedule changes something in this collection ("": in collections of any name). */
static bool is_named(const struct mongo_need *needs, size_t count, const char *collection) {
    for (size_t i = 0; i < count; i++)
        if (!strcmp(needs[i].collection, collection) && needs[i].actions & (MONGO_REMOVE | MONGO_UPDATE | MONGO_DROP)) return true;
    return false;
}

/* Collections named after their tenant may be dropped whatever their name is: a role cannot say it more closely. */
static bool is_needed(const struct mongo_store *store, const struct mongo_need *needs, size_t count, const bson_t *resource, const char *action) {
    const char *db = text_of(resource, "db"), *collection = text_of(resource, "collection");
    if (!db || !collection || strcmp(db, store->database) != 0) return false;
    if (!*collection) return is_named(needs, count, "") && !strcmp(action, "dropCollection");
    return is_named(needs, count, collection);
}

static bool is_wide(const struct mongo_store *store, const struct mongo_need *needs, size_t count, const bson_t *privilege) {
    bson_iter_t iter, actions;
    bson_t resource;
    if (!bson_iter_init_find(&iter, privilege, "resource") || !view_of(&iter, &resource)) return false;
    if (!bson_iter_init_find(&iter, privilege, "actions") || !bson_iter_recurse(&iter, &actions)) return false;
    while (bson_iter_next(&actions)) {
        const char *action = BSON_ITER_HOLDS_UTF8(&actions) ? bson_iter_utf8(&actions, NULL) : "";
        if (writes(action) && !is_needed(store, needs, count, &resource, action)) return true;
    }
    return false;
}

static int64_t count_wide(const struct mongo_store *store, const struct mongo_need *needs, size_t count, const bson_t *reply) {
    bson_iter_t iter, privileges, each;
    int64_t wide = 0;
    if (!bson_iter_init(&iter, reply) || !bson_iter_find_descendant(&iter, "authInfo.authenticatedUserPrivileges", &privileges) ||
        !bson_iter_recurse(&privileges, &each))
        return 0;
    while (bson_iter_next(&each)) {
        bson_t privilege;
        if (view_of(&each, &privilege)) wide += is_wide(store, needs, count, &privilege);
    }
    return wide;
}

enum { MOST_NAMED = 200 /* bytes */ };

/* "root", "dbOwner": the names of the roles that it was given. */
static const char *role_names(struct arena *arena, const bson_t *reply) {
    bson_iter_t iter, roles, each;
    const char *names = "";
    if (!bson_iter_init(&iter, reply) || !bson_iter_find_descendant(&iter, "authInfo.authenticatedUserRoles", &roles) || !bson_iter_recurse(&roles, &each))
        return names;
    while (bson_iter_next(&each)) {
        bson_t role;
        const char *name = view_of(&each, &role) ? text_of(&role, "role") : NULL;
        const char *quoted = name ? arena_printf(arena, "\"%s\"", name) : NULL;
        if (!quoted || strstr(names, quoted)) continue; /* one name in several databases */
        if (strlen(names) > MOST_NAMED) return arena_printf(arena, "%s and others", names);
        names = arena_printf(arena, "%s%s%s", names, *names ? ", " : "", quoted);
    }
    return names;
}

static size_t all_needs(const struct mongo_store *store, struct arena *arena, struct mongo_need **ret_needs) {
    const struct schedule *schedule = store->base.settings.schedule;
    struct mongo_need *all = NULL;
    size_t count = 0;
    for (size_t i = 0; i < schedule->n_targets; i++) {
        struct mongo_need *needs;
        if (schedule->targets[i]->store != store->base.settings.conf) continue;
        size_t n_needs = mongo_needs_of(arena, schedule->targets[i], &needs);
        for (size_t j = 0; j < n_needs; j++) *ARENA_APPEND(arena, all, count) = needs[j];
    }
    *ret_needs = all;
    return count;
}

int mongo_wide(struct mongo_store *store, struct arena *arena, const char **ret_text, int64_t *ret_count, struct err *err) {
    bson_t reply = BSON_INITIALIZER;
    bool asked = false;
    bson_destroy(&reply);
    *ret_text = NULL;
    int result = mongo_privileges(store, &reply, &asked, err);
    if (!result && !asked) {
        *ret_count = 1;
        *ret_text = "the server asks nobody for a password, so that everybody may do everything; turn on its access control";
    } else if (!result) {
        struct mongo_need *needs;
        size_t n_needs = all_needs(store, arena, &needs);
        *ret_count = count_wide(store, needs, n_needs, &reply);
        if (*ret_count)
            *ret_text = arena_printf(arena, "its user may change more than the schedule names, by its roles %s; give it the role that lapsectl grants prints, and no "
                                            "other", role_names(arena, &reply));
    }
    bson_destroy(&reply);
    return result;
}
