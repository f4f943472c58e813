/* What this role may do that the schedule does not need. */
#include "store/pg_check.h"

#include <string.h>

enum { MOST_NAMED = 5 };

struct widening {
    const struct binding *binding;
    struct arena *arena;
    struct finding **findings;
    size_t *n_findings;
};

static void add(const struct widening *widening, int64_t count, const char *text) {
    *ARENA_APPEND(widening->arena, *widening->findings, *widening->n_findings) =
        (struct finding){.code = "privileges-wide", .store = widening->binding->store->base.settings.conf->name, .count = count, .text = text};
}

/* BYPASSRLS is needed where a table of the schedule has row-level security: rows that are hidden would look destroyed. */
static bool needs_bypass(const struct pg_need *needs, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (needs[i].relation->row_security) return true;
    return false;
}

static int look_at_role(const struct widening *widening, const struct pg_need *needs, size_t count, bool *ret_superuser, struct err *err) {
    const struct binding *binding = widening->binding;
    const char *role = binding->catalog->role;
    PG_RESULT result = NULL;
    if (pg_query(binding->store,
                 "SELECT coalesce((SELECT r.rolname FROM pg_catalog.pg_roles r WHERE r.rolsuper AND pg_has_role(current_user, r.oid, 'MEMBER')"
                 " ORDER BY r.rolname <> current_user LIMIT 1), ''), rolbypassrls, rolcreaterole, rolreplication"
                 " FROM pg_catalog.pg_roles WHERE rolname = current_user",
                 0, NULL, &result, err))
        return -1;
    const char *super = pg_cell(result, 0, 0);
    *ret_superuser = *super != '\0';
    if (*super && !strcmp(super, role))
        add(widening, 1, arena_printf(widening->arena, "the role \"%s\" is a superuser, for whom no privilege counts; use a role of its own, with what "
                                                       "lapsectl grants prints", role));
    else if (*super)
        add(widening, 1, arena_printf(widening->arena, "the role \"%s\" can become \"%s\", a superuser; REVOKE \"%s\" FROM \"%s\"", role, super, super, role));
    if (*ret_superuser) return 0;
    if (pg_cell_true(result, 0, 1) && !needs_bypass(needs, count))
        add(widening, 1, arena_printf(widening->arena, "the role \"%s\" bypasses row-level security, which no table of the schedule has; ALTER ROLE \"%s\" "
                                                       "NOBYPASSRLS", role, role));
    if (pg_cell_true(result, 0, 2) || pg_cell_true(result, 0, 3))
        add(widening, 1, arena_printf(widening->arena, "the role \"%s\" may make roles or replicate; ALTER ROLE \"%s\" NOCREATEROLE NOREPLICATION", role, role));
    return 0;
}

/* Partitions of what is named are named, and so is the whole of them. */
static bool is_named(const struct pg_need *needs, size_t count, const struct pg_relation *relation) {
    for (size_t i = 0; i < count; i++)
        if (pg_relation_within(relation, needs[i].relation) || pg_relation_within(needs[i].relation, relation)) return true;
    return false;
}

/* Of tables that are named the schedule says what is done; nothing at all may be done to others. */
static int look_at_tables(const struct widening *widening, const struct pg_need *needs, size_t count, struct err *err) {
    const struct pg_catalog *catalog = widening->binding->catalog;
    PG_RESULT result = NULL;
    if (pg_query(widening->binding->store,
                 "SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
                 " WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
                 " AND n.nspname !~ '^pg_t' AND has_schema_privilege(n.oid, 'USAGE')"
                 " AND (has_table_privilege(c.oid, 'INSERT, DELETE, TRUNCATE') OR has_any_column_privilege(c.oid, 'INSERT, UPDATE'))"
                 " ORDER BY n.nspname, c.relname",
                 0, NULL, &result, err))
        return -1;
    int64_t n_others = 0;
    const char *names = "";
    for (int i = 0; i < PQntuples(result); i++) {
        const struct pg_relation *relation = pg_catalog_by_oid(catalog, pg_cell_oid(result, i, 0));
        if (!relation || is_named(needs, count, relation)) continue;
        if (++n_others <= MOST_NAMED)
            names = arena_printf(widening->arena, "%s%s\"%s\"", names, *names ? ", " : "", pg_relation_name(catalog, relation));
    }
    if (n_others)
        add(widening, n_others, arena_printf(widening->arena, "the role \"%s\" may write to %s%s, which no target names; REVOKE it, and GRANT what lapsectl grants "
                                                              "prints", catalog->role, names, n_others > MOST_NAMED ? " and others" : ""));
    return 0;
}

int pg_wide(struct binding *binding, struct arena *arena, struct finding **findings, size_t *n_findings, struct err *err) {
    const struct widening widening = {.binding = binding, .arena = arena, .findings = findings, .n_findings = n_findings};
    struct pg_need *needs, *writes = NULL;
    size_t count = pg_needs(binding, &needs), n_writes = 0;
    bool superuser = false;
    for (size_t i = 0; i < count; i++)
        if (pg_need_writes(&needs[i])) *ARENA_APPEND(binding->catalog->arena, writes, n_writes) = needs[i];
    if (look_at_role(&widening, needs, count, &superuser, err)) return -1;
    return superuser ? 0 : look_at_tables(&widening, writes, n_writes, err);
}
