/* Everything that is wrong with the targets of a store, after they were bound. */
#include "store/pg_check.h"

#include <string.h>

enum { TIME = 1083, TIMETZ = 1266, INT2 = 21, INT4 = 23, BOOLEAN = 16 };

static void check_anchor(struct binding *binding, const struct pg_bound *bound, const struct pg_column *column, const char *what, bool is_since) {
    const struct target *target = bound->target;
    if (column->time == PG_TIME_NONE || (column->time == PG_TIME_INTEGER && !is_since)) {
        bool only_time = column->type_oid == TIME || column->type_oid == TIMETZ;
        pg_fault(binding, target, target->place, "%s: column \"%s\" is of type %s%s; name a %s column", what, column->name, column->type,
                 only_time ? ", a time of day without its date" : "", is_since ? "timestamp, date or integer" : "timestamp or date");
    } else if (column->time == PG_TIME_INTEGER && target->unit == UNIT_NONE) {
        pg_fault(binding, target, target->place, "%s: column \"%s\" is of type %s; add unit = \"s\" or unit = \"ms\"", what, column->name,
                 column->type);
    } else if (column->time == PG_TIME_INTEGER && target->unit == UNIT_MILLISECONDS && (column->type_oid == INT2 || column->type_oid == INT4)) {
        pg_fault(binding, target, target->place, "%s: column \"%s\" of type %s is too small for milliseconds; write unit = \"s\"", what,
                 column->name, column->type);
    } else if (column->time != PG_TIME_INTEGER && is_since && target->unit != UNIT_NONE) {
        pg_fault(binding, target, target->place, "%s: column \"%s\" is of type %s and needs no unit; leave `unit` out", what,
                 column->name, column->type);
    } else if ((column->time == PG_TIME_TIMESTAMP || column->time == PG_TIME_DATE) && !target->zone) {
        pg_fault(binding, target, target->place,
                 "%s: column \"%s\" is of type %s, which has no zone; add zone = \"UTC\", or the zone that the application writes", what,
                 column->name, column->type);
    }
}

static void check_marker(struct binding *binding, const struct pg_bound *bound) {
    const struct pg_column *marker = bound->marker;
    bool instant = marker->time == PG_TIME_TIMESTAMPTZ || marker->time == PG_TIME_TIMESTAMP || marker->time == PG_TIME_DATE;
    if (marker->type_oid == BOOLEAN) return;
    if (!instant)
        pg_fault(binding, bound->target, bound->target->place,
                 "marker: column \"%s\" is of type %s; name a boolean, timestamp or date column", marker->name, marker->type);
    else if (marker->not_null)
        pg_fault(binding, bound->target, bound->target->place,
                 "marker: column \"%s\" may not be null, so that nothing tells what is done from what is not; allow null", marker->name);
}

static void check_tenant(struct binding *binding, const struct pg_bound *bound) {
    const struct pg_column *tenant = bound->tenant;
    if (tenant->loose)
        pg_fault(binding, bound->target, bound->target->place,
                 "tenant: column \"%s\" has a nondeterministic collation, by which ids of different tenants can be equal; give it "
                 "another, such as COLLATE \"C\"", tenant->name);
    if (!tenant->is_array && pg_type_identifies(tenant->type_oid)) return;
    pg_fault(binding, bound->target, bound->target->place,
             "tenant: column \"%s\" is of type %s, which identifies nobody; name a column of numbers, uuids or text",
             tenant->name, tenant->type);
}

static void check_hidden(struct binding *binding, const struct target *target, const struct pg_relation *relation) {
    if (relation->hidden_rows)
        pg_fault(binding, target, target->place,
                 "row-level security of \"%s\" hides rows from the role \"%s\", which would look destroyed; ALTER ROLE \"%s\" BYPASSRLS, "
                 "or add no policy to this table",
                 relation->table.name, binding->catalog->role, binding->catalog->role);
    if (relation->instead)
        pg_fault(binding, target, target->place,
                 "a rule of \"%s\" does something else INSTEAD of an UPDATE or DELETE, so that nothing would go; drop the rule, or make it a trigger",
                 relation->table.name);
}

static void check_tables(struct binding *binding, const struct pg_bound *bound) {
    const struct target *target = bound->target;
    if (target->drop && bound->table->kind != 'p')
        pg_fault(binding, target, target->place, "drop = true is for a partitioned table, which \"%s\" is not; take it out", target->name);
    check_hidden(binding, target, pg_relation_of(bound->table));
    for (size_t i = 0; i < bound->table->n_leaves; i++)
        if (bound->table->leaves[i] != bound->table) {
            check_hidden(binding, target, pg_relation_of(bound->table->leaves[i]));
            if (bound->table->leaves[i]->kind == 'f')
                pg_fault(binding, target, target->place,
                         "partition \"%s\" is a foreign table; name the server where it lives as a store of its own, and detach it",
                         bound->table->leaves[i]->name);
        }
    for (size_t i = 0; i < bound->n_dependents; i++)
        if (!bound->dependents[i].self) check_hidden(binding, target, pg_relation_of(bound->dependents[i].table));
    for (size_t i = 0; i < bound->n_blockers; i++)
        if (pg_relation_of(bound->blockers[i].link.child)->hidden_rows) check_hidden(binding, target, pg_relation_of(bound->blockers[i].link.child));
}

/* The condition must be one that the server understands; nothing is run. */
static int check_only(struct binding *binding, const struct pg_bound *bound, struct err *err) {
    const struct target *target = bound->target;
    if (!target->only || !pg_relation_of(bound->table)->may_select) return 0;
    const char *sql = arena_printf(binding->catalog->arena, "SELECT 1 FROM %s WHERE (\n%s\n)", bound->table->quoted, target->only);
    if (!pg_explain_plan(binding->store, sql, NULL, err)) return 0;
    if (err->code != ERR_REFUSED) return -1;
    pg_fault(binding, target, target->place, "only: the condition does not run on \"%s\": %s", target->name, err->text);
    return 0;
}

static int check_target(struct binding *binding, const struct pg_bound *bound, struct err *err) {
    const struct target *target = bound->target;
    if (bound->tenant) check_tenant(binding, bound);
    if (bound->since) check_anchor(binding, bound, bound->since, "since", true);
    for (size_t i = 0; i < target->n_ends; i++)
        if (bound->ends[i]) check_anchor(binding, bound, bound->ends[i], "ends", false);
    if (bound->marker) check_marker(binding, bound);
    check_tables(binding, bound);
    pg_check_references(binding, bound);
    if (check_only(binding, bound, err)) return -1;
    return pg_check_columns(binding, bound, err);
}

/* Zones that the server does not know; UTC needs no question. */
static int check_zones(struct binding *binding, struct err *err) {
    for (size_t i = 0; i < binding->schedule->n_targets; i++) {
        const struct target *target = binding->schedule->targets[i];
        if (!binding->bound[i].table || !target->zone || !strcmp(target->zone, "UTC")) continue;
        PG_RESULT known = NULL;
        if (pg_query(binding->store, "SELECT FROM pg_catalog.pg_timezone_names WHERE name = $1", 1, &target->zone, &known, err)) return -1;
        if (!PQntuples(known))
            pg_fault(binding, target, target->place,
                     "zone = \"%s\" is no time zone that the server knows; write a name such as \"Europe/Berlin\", or \"UTC\"", target->zone);
    }
    return 0;
}

static const char *missing_columns(struct arena *arena, const struct pg_relation *relation, const bool *needed, const bool *has) {
    const char *text = "";
    for (size_t i = 0; needed && i < relation->table.n_columns; i++)
        if (needed[i] && !has[i]) text = arena_printf(arena, "%s%s%s", text, *text ? ", " : "", relation->table.columns[i].name);
    return text;
}

/* One fault for a relation, at the place of the first rule: privileges belong to the server, not to a line. */
static void check_privileges(struct binding *binding) {
    struct pg_need *needs;
    size_t count = pg_needs(binding, &needs);
    struct arena *arena = binding->catalog->arena;
    for (size_t i = 0; i < count; i++) {
        const struct pg_relation *relation = needs[i].relation;
        const char *lacking = "";
        if (!relation->may_use) lacking = arena_printf(arena, ", USAGE on schema \"%s\"", relation->table.schema);
        if (needs[i].select && !relation->may_select) lacking = arena_printf(arena, "%s, SELECT", lacking);
        if (needs[i].delete && !relation->may_delete) lacking = arena_printf(arena, "%s, DELETE", lacking);
        const char *select = needs[i].select ? "" : missing_columns(arena, relation, needs[i].select_columns, relation->may_select_column);
        const char *update = missing_columns(arena, relation, needs[i].update_columns, relation->may_update_column);
        if (*select) lacking = arena_printf(arena, "%s, SELECT (%s)", lacking, select);
        if (*update) lacking = arena_printf(arena, "%s, UPDATE (%s)", lacking, update);
        if (*lacking)
            pg_fault(binding, needs[i].target, needs[i].target->place,
                     "the role \"%s\" lacks privileges on \"%s\": %s; lapsectl grants prints what is needed",
                     binding->catalog->role, relation->table.name, lacking + 2);
    }
}

/* privileges = "refuse": nothing of this store is swept with more than it needs. */
static int refuse_wide(struct binding *binding, struct err *err) {
    struct finding *findings = NULL;
    size_t count = 0;
    if (binding->schedule->settings.privileges != PRIVILEGES_REFUSE) return 0;
    if (pg_wide(binding, binding->catalog->arena, &findings, &count, err)) return -1;
    const struct store_conf *conf = binding->store->base.settings.conf;
    for (size_t i = 0; i < count; i++) fault_add(binding->faults, conf->place, "store \"%s\": %s", conf->name, findings[i].text);
    for (size_t i = 0; count && i < binding->schedule->n_targets; i++)
        if (binding->bound[i].table) binding->bound[i].bad = true;
    return 0;
}

/* Only its owner may drop a table. */
static int check_owner(struct binding *binding, const struct pg_bound *bound, struct err *err) {
    __attribute__((cleanup(buf_free))) struct buf oids = {0};
    PG_RESULT others = NULL;
    buf_add_char(&oids, '{');
    for (size_t i = 0; i < bound->table->n_leaves; i++) buf_printf(&oids, "%s%u", i ? "," : "", bound->table->leaves[i]->oid);
    buf_add_char(&oids, '}');
    const char *const parameters[] = {buf_text(&oids)};
    if (pg_query(binding->store, "SELECT relname FROM pg_catalog.pg_class WHERE oid = ANY($1::oid[]) AND NOT pg_has_role(relowner, 'USAGE') ORDER BY 1 LIMIT 1", 1,
                 parameters, &others, err))
        return -1;
    if (PQntuples(others))
        pg_fault(binding, bound->target, bound->target->place,
                 "drop = true: the role \"%s\" does not own the partition \"%s\", and only its owner may drop it; lapsectl grants prints what is needed, or take drop out",
                 binding->catalog->role, PQgetvalue(others, 0, 0));
    return 0;
}

static int check_all(struct binding *binding, struct err *err) {
    for (size_t i = 0; i < binding->schedule->n_targets; i++)
        if (binding->bound[i].table && check_target(binding, &binding->bound[i], err)) return -1;
    for (size_t i = 0; i < binding->schedule->n_targets; i++)
        if (binding->bound[i].table && binding->bound[i].target->drop && check_owner(binding, &binding->bound[i], err)) return -1;
    if (check_zones(binding, err)) return -1;
    check_privileges(binding);
    return pg_check_tenants(binding, err) || refuse_wide(binding, err) ? -1 : 0;
}

int pg_check(struct store *base, struct faults *faults, bool *bad, struct err *err) {
    struct pg_store *store = (struct pg_store *)(void *)base;
    struct arena *arena = arena_new();
    struct binding binding;
    struct finding *ignored = NULL; /* for advise */
    size_t n_ignored = 0;
    if (pg_connect(store, err) || pg_endpoint(store, arena, &ignored, &n_ignored, err) || pg_bind_into(store, arena, faults, &binding, err) ||
        check_all(&binding, err)) {
        arena_free(arena);
        return -1;
    }
    pg_bind_keep(&binding, bad);
    return 0;
}
