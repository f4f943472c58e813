/* What the schedule needs on this store, and no more: checked against what its user has, and printed as a role. */
#include "store/mongo_internal.h"

#include <string.h>

const char *const mongo_action_names[MONGO_ACTIONS] = {"find", "listIndexes", "remove", "update", "dropCollection"};

struct needing {
    struct arena *arena;
    struct mongo_need *needs;
    size_t count;
};

static void need(struct needing *needing, const char *collection, unsigned actions) {
    for (size_t i = 0; i < needing->count; i++)
        if (!strcmp(needing->needs[i].collection, collection)) {
            needing->needs[i].actions |= actions;
            return;
        }
    *ARENA_APPEND(needing->arena, needing->needs, needing->count) = (struct mongo_need){collection, actions};
}

static void need_target(struct needing *needing, const struct target *target) {
    const struct rule *rule = target->rule;
    bool anonymizes = rule->n_anonymize || rule->anonymize_blocked, purges = false;
    for (size_t i = 0; i < rule->n_keep; i++) purges |= rule->keep[i].kind != KEEP_FOREVER;
    if (target->tenant_in_name) {
        need(needing, "", MONGO_FIND | MONGO_DROP); /* a role cannot name collections by a pattern */
        return;
    }
    need(needing, target->name, MONGO_FIND | MONGO_LIST_INDEXES | (purges ? MONGO_REMOVE : 0) | (anonymizes ? MONGO_UPDATE : 0));
    for (size_t i = 0; i < target->n_dependents; i++) {
        const struct dependent *dependent = &target->dependents[i];
        bool removes = purges || dependent->when_anonymized == WHEN_ANONYMIZED_PURGE;
        bool changes = dependent->when_anonymized == WHEN_ANONYMIZED_COLUMNS;
        bool by_index = dependent->join.parent_table && strcmp(dependent->join.parent_table, target->name) != 0;
        if (by_index) need(needing, dependent->join.parent_table, MONGO_FIND | MONGO_LIST_INDEXES);
        need(needing, dependent->join.child_table, MONGO_FIND | (removes ? MONGO_REMOVE : 0) | (changes ? MONGO_UPDATE : 0));
    }
}

size_t mongo_needs_of(struct arena *arena, const struct target *target, struct mongo_need **ret_needs) {
    struct needing needing = {.arena = arena};
    need_target(&needing, target);
    *ret_needs = needing.needs;
    return needing.count;
}

static int need_tenants(struct mongo_store *store, struct needing *needing, struct err *err) {
    const struct schedule *schedule = store->base.settings.schedule;
    const char *const *names;
    size_t count;
    if (!schedule->has_tenants || schedule->tenants.store != store->base.settings.conf) return 0;
    if (mongo_tenants_tables((struct store *)(void *)store, needing->arena, &names, &count, err)) return -1;
    for (size_t i = 0; i < count; i++) need(needing, names[i], MONGO_FIND);
    return 0;
}

static void print_privilege(const struct mongo_store *store, const char *collection, const char *const *actions, size_t n_actions, struct buf *to) {
    buf_add(to, "    { \"resource\": { \"db\": ");
    buf_add_json(to, store->database);
    buf_add(to, ", \"collection\": ");
    buf_add_json(to, collection);
    buf_add(to, " }, \"actions\": [");
    for (size_t i = 0; i < n_actions; i++) buf_printf(to, "%s\"%s\"", i ? ", " : "", actions[i]);
    buf_add(to, "] }");
}

static void print_need(const struct mongo_store *store, const struct mongo_need *need, struct buf *to) {
    const char *actions[MONGO_ACTIONS];
    size_t count = 0;
    for (size_t i = 0; i < MONGO_ACTIONS; i++)
        if (need->actions & 1U << i) actions[count++] = mongo_action_names[i];
    buf_add(to, ",\n");
    print_privilege(store, need->collection, actions, count, to);
}

/* Only a role of the database admin may look at the replica set. Without a throttle in lapsed.conf nothing waits for it. */
static void print_monitoring(const char *role, const char *comment, struct buf *to) {
    buf_printf(to, "// So that a sweep waits for replicas that are behind (throttle.replica_lag):\n"
                   "%sdb.getSiblingDB(\"admin\").createRole({ \"role\": \"replicaLag\", \"privileges\": [\n"
                   "%s    { \"resource\": { \"cluster\": true }, \"actions\": [\"replSetGetStatus\"] }\n"
                   "%s], \"roles\": [] });\n%sdb.grantRolesToUser(", comment, comment, comment, comment);
    buf_add_json(to, role);
    buf_add(to, ", [{ \"role\": \"replicaLag\", \"db\": \"admin\" }]);\n");
}

static void print_role(const struct mongo_store *store, const struct needing *needing, const char *role, struct buf *to) {
    static const char *const listing[] = {"listCollections"};
    buf_printf(to, "// in mongosh, as an administrator:  use %s\n", store->database);
    for (size_t i = 0; i < needing->count; i++)
        if (!*needing->needs[i].collection) buf_add(to, "// A role cannot name collections by a pattern: those that are a tenant's own need the whole database.\n");
    buf_add(to, "db.createRole({ \"role\": ");
    buf_add_json(to, role);
    buf_add(to, ", \"privileges\": [\n");
    print_privilege(store, "", listing, 1, to);
    for (size_t i = 0; i < needing->count; i++) print_need(store, &needing->needs[i], to);
    buf_add(to, "\n], \"roles\": [] });\ndb.createUser({ \"user\": ");
    buf_add_json(to, role);
    buf_add(to, ", \"pwd\": passwordPrompt(), \"roles\": [");
    buf_add_json(to, role);
    buf_add(to, "] });\n");
    print_monitoring(role, store->base.settings.schedule->settings.throttle.configured ? "" : "// ", to);
}

int mongo_grants(struct store *base, const char *role, struct buf *to, struct err *err) {
    struct mongo_store *store = mongo_of(base);
    const struct schedule *schedule = store->base.settings.schedule;
    struct needing needing = {.arena = arena_new()};
    int result = need_tenants(store, &needing, err);
    for (size_t i = 0; i < schedule->n_targets; i++)
        if (schedule->targets[i]->store == store->base.settings.conf) need_target(&needing, schedule->targets[i]);
    if (!result) print_role(store, &needing, role, to);
    arena_free(needing.arena);
    return result;
}
