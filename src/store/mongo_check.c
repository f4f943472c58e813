#include "store/mongo_internal.h"

#include <string.h>

struct checking {
    struct mongo_store *store;
    const struct mongo_catalog *catalog;
    struct faults *faults;
    struct mongo_bound *bound;
};

static void fault(struct checking *checking, struct place place, const char *text) {
    fault_add(checking->faults, place, "\"%s\": collection \"%s\": %s", checking->bound->target->rule->data, checking->bound->target->name, text);
    checking->bound->bad = true;
}

static void check_collection(struct checking *checking) {
    const struct target *target = checking->bound->target;
    const struct mongo_entry *entry = mongo_entry_of(checking->catalog, target->name);
    if (!*target->name || target->name[0] == '.' || strchr(target->name, '$') || text_starts_with(target->name, "system."))
        fault(checking, target->place, "no collection of yours can have this name");
    if (!entry) return;
    if (!strcmp(entry->type, "view")) fault(checking, target->place, "is a view; name the collection that it reads");
    else if (!strcmp(entry->type, "timeseries")) fault(checking, target->place, "is a time series, whose documents cannot be deleted one by one; use its expireAfterSeconds");
    else if (entry->capped) fault(checking, target->place, "is capped: MongoDB itself decides what goes");
}

static void check_target(struct checking *checking) {
    const struct target *target = checking->bound->target;
    check_collection(checking);
    if (target->n_via) fault(checking, target->place, "`via` is for tables; a collection's documents must name their tenant themselves");
    if (target->key) fault(checking, target->place, "`key` is for tables; documents are known by their _id");
    if (!target->tenant && !target->no_tenant && !target->tenant_in_name) fault(checking, target->place, "has no tenant; write tenant = \"path\" or tenant = \"none\"");
}

int mongo_check(struct store *base, struct faults *faults, bool *bad, struct err *err) {
    struct mongo_store *store = mongo_of(base);
    const struct schedule *schedule = store->base.settings.schedule;
    if (mongo_connect(store, NULL, err)) return -1;
    struct mongo_catalog catalog;
    arena_clear(store->catalog);
    store->bound = NULL;
    if (mongo_list(store, store->catalog, &catalog, err) || mongo_bind(store, &catalog, faults, err)) return -1;
    for (size_t i = 0; i < schedule->n_targets; i++) {
        struct checking checking = {.store = store, .catalog = &catalog, .faults = faults, .bound = &store->bound[i]};
        if (!checking.bound->target) continue;
        check_target(&checking);
        if (checking.bound->bad) bad[i] = true;
    }
    return 0;
}
