/* The SQL that gives a role what the schedule needs, and no more. Works for a role that may do nothing yet: the catalog
 * is open to everyone. */
#include "store/pg_check.h"

#include <string.h>

/* The tables and views that the tenants query names. Words that only look like tables are sorted out by the planner,
 * where it already answers. */
static int need_tenants(struct binding *binding, struct pg_need **needs, size_t *count, struct err *err) {
    const struct schedule *schedule = binding->schedule;
    if (!schedule->has_tenants || schedule->tenants.store != binding->store->base.settings.conf) return 0;
    const struct pg_relation **named, **read = NULL;
    size_t n_read = 0;
    struct err refused;
    bool asked = !pg_reads(binding->store, binding->catalog, schedule->tenants.query, &read, &n_read, &refused);
    if (!asked && refused.code != ERR_REFUSED) {
        *err = refused;
        return -1;
    }
    size_t n_named = pg_named_relations(binding->catalog, schedule->tenants.query, &named);
    for (size_t i = 0; i < n_named; i++) {
        bool view = named[i]->table.kind == 'v' || named[i]->table.kind == 'm', meant = !asked || view;
        for (size_t j = 0; j < n_read && !meant; j++) meant = read[j] == named[i];
        if (meant) pg_need_of(binding->catalog->arena, needs, count, named[i], NULL)->select = true;
    }
    return 0;
}

static void add_columns(struct buf *privileges, const char *verb, const struct pg_relation *relation, const bool *columns) {
    bool any = false;
    for (size_t i = 0; i < relation->table.n_columns; i++) {
        if (!columns[i]) continue;
        if (any) buf_add(privileges, ", ");
        else buf_printf(privileges, "%s%s (", privileges->length ? ", " : "", verb);
        buf_add(privileges, relation->table.columns[i].quoted);
        any = true;
    }
    if (any) buf_add_char(privileges, ')');
}

static void print_need(const struct pg_need *need, const char *role, struct buf *to) {
    __attribute__((cleanup(buf_free))) struct buf privileges = {0};
    if (need->select) buf_add(&privileges, "SELECT");
    else add_columns(&privileges, "SELECT", need->relation, need->select_columns);
    if (need->delete) buf_printf(&privileges, "%sDELETE", privileges.length ? ", " : "");
    add_columns(&privileges, "UPDATE", need->relation, need->update_columns);
    if (privileges.length) buf_printf(to, "GRANT %s ON %s TO %s;\n", buf_text(&privileges), need->relation->table.quoted, role);
}

static void print_schemas(struct arena *arena, const struct pg_need *needs, size_t count, const char *role, struct buf *to) {
    for (size_t i = 0; i < count; i++) {
        bool printed = false;
        for (size_t j = 0; j < i && !printed; j++) printed = !strcmp(needs[j].relation->table.schema, needs[i].relation->table.schema);
        if (!printed) buf_printf(to, "GRANT USAGE ON SCHEMA %s TO %s;\n", pg_quote(arena, needs[i].relation->table.schema), role);
    }
}

/* Hidden rows would look destroyed, and a policy that hides none today may hide some tomorrow. */
static void print_bypass(const struct pg_need *needs, size_t count, const char *role, struct buf *to) {
    for (size_t i = 0; i < count; i++) {
        if (!needs[i].relation->row_security) continue;
        buf_printf(to, "-- %s has row-level security:\nALTER ROLE %s BYPASSRLS;\n", needs[i].relation->table.quoted, role);
        return;
    }
}

/* Ownership cannot be granted. */
static void print_owner(const struct pg_bound *bound, const char *role, struct buf *to) {
    if (!bound->table || !bound->target->drop || bound->table->kind != 'p') return;
    buf_printf(to, "-- drop = true: only their owner may drop partitions, those to come included:\n");
    for (size_t i = 0; i < bound->table->n_leaves; i++) buf_printf(to, "ALTER TABLE %s OWNER TO %s;\n", bound->table->leaves[i]->quoted, role);
}

static void free_arena(struct arena **arena) { arena_free(*arena); }

int pg_grants(struct store *base, const char *role, struct buf *to, struct err *err) {
    struct pg_store *store = (struct pg_store *)(void *)base;
    __attribute__((cleanup(free_arena))) struct arena *arena = arena_new();
    struct faults ignored = {.arena = arena};
    struct binding binding;
    if (pg_bind_into(store, arena, &ignored, &binding, err)) return -1;
    struct pg_need *needs;
    size_t count = pg_needs(&binding, &needs);
    if (need_tenants(&binding, &needs, &count, err)) return -1;
    const char *quoted = pg_quote(arena, role);
    if (!quoted) return err_set(err, ERR_CONFIG, "the name of a role is missing");
    buf_printf(to, "GRANT CONNECT ON DATABASE %s TO %s;\n", pg_quote(arena, binding.catalog->database), quoted);
    print_schemas(arena, needs, count, quoted, to);
    for (size_t i = 0; i < count; i++) print_need(&needs[i], quoted, to);
    print_bypass(needs, count, quoted, to);
    for (size_t i = 0; i < binding.schedule->n_targets; i++) print_owner(&binding.bound[i], quoted, to);
    bool throttled = binding.schedule->settings.throttle.configured;
    buf_printf(to, "-- So that a sweep waits for replicas that are behind and for old snapshots (throttle in lapsed.conf):\n"
                   "%sGRANT pg_read_all_stats TO %s;\n", throttled ? "" : "-- ", quoted);
    return 0;
}
