/* Targets compared with what the server holds: what must not be swept, and what must be granted first. */
#include "store/mongo_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct checking {
    struct mongo_store *store;
    const struct mongo_catalog *catalog;
    struct faults *faults;
    struct mongo_bound *bound;
};

static void fault(struct checking *checking, struct place place, const char *format, ...) PRINTF_LIKE(3, 4);
static void fault(struct checking *checking, struct place place, const char *format, ...) {
    const struct target *target = checking->bound->target;
    va_list arguments;
    va_start(arguments, format);
    const char *text = arena_vprintf(checking->faults->arena, format, arguments);
    va_end(arguments);
    fault_add(checking->faults, place, "\"%s\": collection \"%s\": %s", target->rule->data, target->name, text);
    checking->bound->bad = true;
}

/* ---- collections ---- */

static void check_kind(struct checking *checking, struct place place, const char *name) {
    const struct mongo_entry *entry = mongo_entry_of(checking->catalog, name);
    if (!*name || name[0] == '.' || strchr(name, '$') || text_starts_with(name, "system."))
        fault(checking, place, "no collection of yours can be called \"%s\"", name);
    if (!entry) return;
    if (!strcmp(entry->type, "view")) fault(checking, place, "\"%s\" is a view; name the collection that it reads", name);
    else if (!strcmp(entry->type, "timeseries"))
        fault(checking, place, "\"%s\" is a time series, whose documents cannot be deleted one by one; give it expireAfterSeconds instead", name);
    else if (entry->collated)
        fault(checking, place, "\"%s\" has a default collation, under which different ids can be equal; copy it into a collection without one, and give "
                               "collations to its indexes instead", name);
    else if (entry->capped) fault(checking, place, "\"%s\" is capped: MongoDB itself decides what goes; make it an ordinary collection", name);
}

/* A collection that is one tenant's goes whole or not at all. */
static void check_whole(struct checking *checking) {
    const struct target *target = checking->bound->target;
    const struct rule *rule = target->rule;
    if (strlen(target->name) == strlen("{tenant}")) fault(checking, target->place, "its name needs a literal part, such as kb_{tenant}");
    if (!target->drop || target->since || target->n_ends || target->n_dependents || target->n_columns || rule->n_anonymize || rule->anonymize_blocked)
        fault(checking, target->place, "a collection named after its tenant is dropped whole at the tenant's end; it can have no since, ends, only, columns, "
                                       "dependents or at_least");
}

/* ---- paths ---- */

static bool is_path(const char *path) {
    if (!*path || path[0] == '.' || path[strlen(path) - 1] == '.' || strstr(path, "..")) return false;
    for (const char *part = path; part; part = strchr(part, '.') ? strchr(part, '.') + 1 : NULL)
        if (*part == '$') return false;
    return strlen(path) < MONGO_LONGEST_PATH;
}

static void check_path(struct checking *checking, struct place place, const char *what, const char *path) {
    if (path && !is_path(path)) fault(checking, place, "%s: \"%s\" is no path to a field; write names with dots in between, none beginning with $", what, path);
}

static bool begins_path(const char *path, const char *longer) {
    size_t length = strlen(path);
    return !strncmp(path, longer, length) && (!longer[length] || longer[length] == '.');
}

static void check_columns(struct checking *checking, const struct column *columns, size_t n_columns) {
    const struct target *target = checking->bound->target;
    for (size_t i = 0; i < n_columns; i++) {
        const struct column *column = &columns[i];
        check_path(checking, column->place, "columns", column->path);
        if (begins_path("_id", column->path) && column->strategy != STRATEGY_AS_IS)
            fault(checking, column->place, "columns: _id cannot be changed; write as-is: _id, or leave it out");
        for (size_t j = 0; j < i; j++)
            if (begins_path(columns[j].path, column->path) || begins_path(column->path, columns[j].path))
                fault(checking, column->place, "columns: \"%s\" and \"%s\" are the same field or lie within one another; leave one", columns[j].path, column->path);
        size_t top = target->marker ? strcspn(target->marker, ".") : 0;
        if (top && !strncmp(column->path, target->marker, top) && (!column->path[top] || column->path[top] == '.') && column->strategy != STRATEGY_AS_IS)
            fault(checking, column->place, "columns: \"%s\" lies in the same field as the marker \"%s\"; give the marker a field of its own", column->path, target->marker);
    }
}

/* ---- dependents ---- */

static void check_dependents(struct checking *checking) {
    const struct target *target = checking->bound->target;
    for (size_t i = 0; i < target->n_dependents; i++) {
        const struct dependent *dependent = &target->dependents[i];
        check_kind(checking, dependent->place, dependent->join.child_table);
        for (size_t j = 0; j < dependent->join.n_columns; j++) {
            check_path(checking, dependent->place, "dependents", dependent->join.child_columns[j]);
            check_path(checking, dependent->place, "dependents", dependent->join.parent_columns[j]);
        }
        if (!dependent->join.parent_table && dependent->join.n_columns > 1)
            fault(checking, dependent->place, "dependents: \"%s\" refers to the _id by several fields; name the fields of \"%s\" that they are equal to",
                  dependent->join.child_table, target->name);
        check_columns(checking, dependent->columns, dependent->n_columns);
    }
}

static void check_target(struct checking *checking) {
    const struct target *target = checking->bound->target;
    if (target->tenant_in_name) check_whole(checking);
    else check_kind(checking, target->place, target->name);
    if (target->n_via) fault(checking, target->place, "`via` is for tables; documents must name their tenant themselves");
    if (target->key) fault(checking, target->place, "`key` is for tables; documents are known by their _id");
    if (!target->tenant && !target->no_tenant && !target->tenant_in_name)
        fault(checking, target->place, "has no tenant; write tenant = \"path\" or tenant = \"none\"");
    check_path(checking, target->place, "tenant", target->tenant);
    check_path(checking, target->place, "since", target->since);
    check_path(checking, target->place, "marker", target->marker);
    for (size_t i = 0; i < target->n_ends; i++) check_path(checking, target->place, "ends", target->ends[i].column);
    check_columns(checking, target->columns, target->n_columns);
    check_dependents(checking);
}

/* ---- is a dependent's parent one? ---- */

/* Each document has other values in the index's fields, and all of them are among the join's. */
static bool makes_unique(const bson_t *index, const struct join *join) {
    bson_iter_t unique, key, field;
    if (!bson_iter_init_find(&unique, index, "unique") || !bson_iter_as_bool(&unique)) return false;
    if (bson_has_field(index, "partialFilterExpression") || bson_has_field(index, "collation")) return false;
    if (!bson_iter_init_find(&key, index, "key") || !BSON_ITER_HOLDS_DOCUMENT(&key) || !bson_iter_recurse(&key, &field)) return false;
    while (bson_iter_next(&field)) {
        size_t i = 0;
        while (i < join->n_columns && strcmp(join->parent_columns[i], bson_iter_key(&field)) != 0) i++;
        if (i == join->n_columns) return false;
    }
    return true;
}

static int ask_unique(struct mongo_store *store, const struct join *join, bool *ret_unique, struct err *err) {
    MONGO_COLLECTION collection = mongo_collection(store, join->parent_table);
    MONGO_CURSOR cursor = mongoc_collection_find_indexes_with_opts(collection, NULL);
    for (const bson_t *index;;) {
        if (mongo_next(store, cursor, "list the indexes", &index, err)) return err_within(err, "collection \"%s\"", join->parent_table);
        *ret_unique = index && makes_unique(index, join);
        if (!index || *ret_unique) return 0;
    }
}

/* The _id is unique by itself, and a collection that does not exist has no documents to be told apart. */
static bool needs_index(const struct checking *checking, const struct join *join) {
    if (!join->parent_table || !mongo_entry_of(checking->catalog, join->parent_table)) return false;
    for (size_t i = 0; i < join->n_columns; i++)
        if (!strcmp(join->parent_columns[i], "_id")) return false;
    return true;
}

static int check_parents(struct checking *checking, struct err *err) {
    const struct target *target = checking->bound->target;
    for (size_t i = 0; !checking->bound->bad && i < target->n_dependents; i++) {
        const struct join *join = &target->dependents[i].join;
        bool unique = true;
        if (needs_index(checking, join) && ask_unique(checking->store, join, &unique, err)) return -1;
        if (!unique)
            fault(checking, target->dependents[i].place, "dependents: nothing makes \"%s\" unique in \"%s\", so that a document of \"%s\" could belong to several of its "
                  "documents, and to another tenant's; join its _id, or all fields of a unique index", join->parent_columns[0], join->parent_table, join->child_table);
    }
    return 0;
}

/* ---- privileges ---- */

/* None is logged in where the server asks for no password. */
int mongo_privileges(struct mongo_store *store, bson_t *reply, bool *ret_asked, struct err *err) {
    MONGO_BSON command = BCON_NEW("connectionStatus", BCON_INT32(1), "showPrivileges", BCON_BOOL(true));
    bson_error_t error;
    bson_iter_t iter, users, first;
    if (!mongoc_client_command_simple(store->client, store->database, command, NULL, reply, &error))
        return mongo_fail(store, &error, reply, "ask for its privileges", err);
    *ret_asked = bson_iter_init(&iter, reply) && bson_iter_find_descendant(&iter, "authInfo.authenticatedUsers", &users) && bson_iter_recurse(&users, &first) &&
                 bson_iter_next(&first);
    return 0;
}

static bool text_is(const bson_t *document, const char *name, const char *value, bool or_any) {
    bson_iter_t iter;
    if (!bson_iter_init_find(&iter, document, name) || !BSON_ITER_HOLDS_UTF8(&iter)) return false;
    const char *text = bson_iter_utf8(&iter, NULL);
    return !strcmp(text, value) || (or_any && !*text);
}

static bool covers(const struct mongo_store *store, const bson_t *resource, const char *collection) {
    bson_iter_t any;
    if (bson_iter_init_find(&any, resource, "anyResource")) return true;
    return text_is(resource, "db", store->database, true) && text_is(resource, "collection", collection, true);
}

static bool view_of(const bson_iter_t *iter, bson_t *ret_view) {
    uint32_t length;
    const uint8_t *bytes;
    if (BSON_ITER_HOLDS_DOCUMENT(iter)) bson_iter_document(iter, &length, &bytes);
    else if (BSON_ITER_HOLDS_ARRAY(iter)) bson_iter_array(iter, &length, &bytes);
    else return false;
    return bson_init_static(ret_view, bytes, length);
}

static bool has_action(const bson_t *privilege, const char *action) {
    bson_iter_t actions, each;
    if (!bson_iter_init_find(&actions, privilege, "actions") || !bson_iter_recurse(&actions, &each)) return false;
    while (bson_iter_next(&each))
        if (BSON_ITER_HOLDS_UTF8(&each) && !strcmp(bson_iter_utf8(&each, NULL), action)) return true;
    return false;
}

static bool may(const struct mongo_store *store, const bson_t *reply, const char *collection, const char *action) {
    bson_iter_t iter, privileges, each, inner;
    if (!bson_iter_init(&iter, reply) || !bson_iter_find_descendant(&iter, "authInfo.authenticatedUserPrivileges", &privileges) ||
        !bson_iter_recurse(&privileges, &each))
        return false;
    while (bson_iter_next(&each)) {
        bson_t privilege, resource;
        if (view_of(&each, &privilege) && has_action(&privilege, action) && bson_iter_init_find(&inner, &privilege, "resource") && view_of(&inner, &resource) &&
            covers(store, &resource, collection))
            return true;
    }
    return false;
}

static void check_need(struct checking *checking, const bson_t *reply, const struct mongo_need *need) {
    __attribute__((cleanup(buf_free))) struct buf missing = {0};
    for (size_t i = 0; i < MONGO_ACTIONS; i++)
        if (need->actions & 1U << i && !may(checking->store, reply, need->collection, mongo_action_names[i]))
            buf_printf(&missing, "%s%s", missing.length ? ", " : "", mongo_action_names[i]);
    if (missing.length)
        fault(checking, checking->bound->target->place, "its user lacks the right to %s on \"%s\"; lapsectl grants prints what is needed", buf_text(&missing),
              *need->collection ? need->collection : checking->bound->target->name);
}

static int check_privileges(struct mongo_store *store, struct faults *faults, struct err *err) {
    const struct schedule *schedule = store->base.settings.schedule;
    bson_t reply = BSON_INITIALIZER;
    bool asked = false;
    bson_destroy(&reply);
    int result = mongo_privileges(store, &reply, &asked, err);
    for (size_t i = 0; !result && asked && i < schedule->n_targets; i++) {
        struct checking checking = {.store = store, .faults = faults, .bound = &store->bound[i]};
        struct mongo_need *needs;
        if (!checking.bound->target) continue;
        size_t count = mongo_needs_of(faults->arena, checking.bound->target, &needs);
        for (size_t j = 0; j < count; j++) check_need(&checking, &reply, &needs[j]);
    }
    bson_destroy(&reply);
    return result;
}

/* privileges = "refuse": nothing of this store is swept with more than it needs. */
static int refuse_wide(struct mongo_store *store, struct faults *faults, struct err *err) {
    const struct schedule *schedule = store->base.settings.schedule;
    const struct store_conf *conf = store->base.settings.conf;
    const char *text;
    int64_t count;
    if (schedule->settings.privileges != PRIVILEGES_REFUSE) return 0;
    if (mongo_wide(store, faults->arena, &text, &count, err)) return -1;
    if (text) fault_add(faults, conf->place, "store \"%s\": %s", conf->name, text);
    for (size_t i = 0; text && i < schedule->n_targets; i++)
        if (store->bound[i].target) store->bound[i].bad = true;
    return 0;
}

int mongo_check(struct store *base, struct faults *faults, bool *bad, struct err *err) {
    struct mongo_store *store = mongo_of(base);
    const struct schedule *schedule = store->base.settings.schedule;
    struct mongo_catalog catalog;
    if (mongo_connect(store, NULL, err)) return -1;
    arena_clear(store->catalog);
    store->bound = NULL;
    if (mongo_list(store, store->catalog, &catalog, err)) return -1;
    mongo_bind(store, &catalog, faults);
    for (size_t i = 0; i < schedule->n_targets; i++) {
        struct checking checking = {.store = store, .catalog = &catalog, .faults = faults, .bound = &store->bound[i]};
        if (checking.bound->target) check_target(&checking);
    }
    if (check_privileges(store, faults, err) || refuse_wide(store, faults, err)) return -1;
    for (size_t i = 0; i < schedule->n_targets; i++) {
        struct checking checking = {.store = store, .catalog = &catalog, .faults = faults, .bound = &store->bound[i]};
        if (checking.bound->target && check_parents(&checking, err)) return -1;
    }
    if (mongo_inspect(store, err)) return -1;
    for (size_t i = 0; i < schedule->n_targets; i++)
        if (store->bound[i].bad) bad[i] = true;
    return 0;
}
