/* Tables that hold tenants' records, by the name of a column or along foreign keys, and that no rule covers. */
#include "store/pg_check.h"

#include "schedule/cover.h"

#include <string.h>

struct covering {
    const struct binding *binding;
    const struct pg_catalog *catalog;
    const char **why;    /* by relation: why it holds tenants' records; NULL: it does not seem to */
    bool *carries;       /* what refers to it does so too */
    bool *covered;
    const struct pg_relation *const *own;
    size_t n_own;
};

static size_t at(const struct covering *covering, const struct pg_relation *relation) { return (size_t)(relation - covering->catalog->relations); }

/* Partitions are parts of their table. */
static bool is_place(const struct pg_relation *relation) {
    return !relation->system && !relation->partition && relation->persistence != 't' && strchr("rpfm", relation->table.kind);
}

static bool is_own(const struct covering *covering, const struct pg_relation *relation) {
    for (size_t i = 0; i < covering->n_own; i++)
        if (covering->own[i] == relation) return true;
    return false;
}

/* Columns say it by their names. Of what the tenants query reads, every column that it does not read. */
static void look_at_column(struct covering *covering, const struct pg_relation *relation, const char *column) {
    const struct schedule *schedule = covering->binding->schedule;
    const char **why = &covering->why[at(covering, relation)];
    if (is_own(covering, relation) && !pg_sql_names(schedule->tenants.query, column) && !*why)
        *why = arena_printf(covering->catalog->arena, "it is the tenants' own, and has \"%s\"", column);
    if (!cover_is_tenant_name(schedule, column)) return;
    covering->carries[at(covering, relation)] = true;
    if (!*why) *why = arena_printf(covering->catalog->arena, "by its column \"%s\"", column);
}

static int look_at_columns(struct covering *covering, struct err *err) {
    PG_RESULT columns = NULL;
    if (pg_query(covering->binding->store,
                 "SELECT attrelid, attname FROM pg_catalog.pg_attribute JOIN pg_catalog.pg_class c ON c.oid = attrelid"
                 " WHERE c.relkind IN ('r', 'p', 'f', 'm') AND attnum > 0 AND NOT attisdropped ORDER BY attrelid, attnum",
                 0, NULL, &columns, err))
        return -1;
    for (int i = 0; i < PQntuples(columns); i++) {
        const struct pg_relation *relation = pg_catalog_by_oid(covering->catalog, pg_cell_oid(columns, i, 0));
        if (relation && is_place(relation)) look_at_column(covering, relation, pg_cell(columns, i, 1));
    }
    return 0;
}

static void cover(struct covering *covering, const struct pg_table *table, bool carries) {
    for (const struct pg_relation *relation = pg_relation_of(table); relation; relation = relation->partition_of) {
        covering->covered[at(covering, relation)] = true;
        covering->carries[at(covering, relation)] |= carries;
    }
}

static void cover_targets(struct covering *covering) {
    for (size_t i = 0; i < covering->binding->schedule->n_targets; i++) {
        const struct pg_bound *bound = &covering->binding->bound[i];
        if (!bound->table) continue;
        cover(covering, bound->table, bound->tenant != NULL);
        for (size_t j = 0; j < bound->n_dependents; j++) cover(covering, bound->dependents[j].table, bound->tenant != NULL);
    }
    for (size_t i = 0; i < covering->n_own; i++) covering->carries[at(covering, covering->own[i])] = true;
}

/* What refers to tenants' records, at any distance, is theirs as well. */
static void follow_references(struct covering *covering) {
    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < covering->catalog->n_foreign_keys; i++) {
            const struct pg_foreign_key *key = &covering->catalog->foreign_keys[i];
            size_t child = at(covering, key->child);
            if (!covering->carries[at(covering, key->parent)] || covering->carries[child] || !is_place(key->child)) continue;
            covering->carries[child] = more = true;
            if (!covering->why[child])
                covering->why[child] = arena_printf(covering->catalog->arena, "it refers to \"%s\"", pg_relation_name(covering->catalog, key->parent));
        }
    }
}

static bool is_exempt(const struct covering *covering, const struct pg_relation *relation) {
    const char *name = arena_printf(covering->catalog->arena, "%s.%s", relation->table.schema, relation->table.name);
    const struct store_conf *conf = covering->binding->store->base.settings.conf;
    return cover_exemption(covering->binding->schedule, conf, TARGET_TABLE, name, strlen(name)) != NULL;
}

static int read_own(struct covering *covering, struct err *err) {
    const struct schedule *schedule = covering->binding->schedule;
    const struct pg_relation **own = NULL;
    if (!schedule->has_tenants || schedule->tenants.store != covering->binding->store->base.settings.conf) return 0;
    if (pg_reads(covering->binding->store, covering->catalog, schedule->tenants.query, &own, &covering->n_own, err)) {
        if (err->code != ERR_REFUSED) return -1;
        covering->n_own = pg_named_relations(covering->catalog, schedule->tenants.query, &own);
    }
    covering->own = own;
    return 0;
}

int pg_cover(const struct binding *binding, struct arena *arena, struct finding **findings, size_t *n_findings, struct err *err) {
    const struct pg_catalog *catalog = binding->catalog;
    struct covering covering = {.binding = binding, .catalog = catalog, .why = ARENA_ARRAY(catalog->arena, const char *, catalog->n_relations),
                                .carries = ARENA_ARRAY(catalog->arena, bool, catalog->n_relations),
                                .covered = ARENA_ARRAY(catalog->arena, bool, catalog->n_relations)};
    if (read_own(&covering, err) || look_at_columns(&covering, err)) return -1;
    cover_targets(&covering);
    follow_references(&covering);
    for (size_t i = 0; i < catalog->n_relations; i++) {
        const struct pg_relation *relation = &catalog->relations[i];
        if (!covering.why[i] || covering.covered[i] || is_exempt(&covering, relation)) continue;
        const char *name = arena_strdup(arena, pg_relation_name(catalog, relation));
        *ARENA_APPEND(arena, *findings, *n_findings) = (struct finding){
            .code = "uncovered", .store = binding->store->base.settings.conf->name, .place = name, .count = 1,
            .text = arena_printf(arena, "\"%s\" holds tenants' records (%s), and no rule covers it; make it a target or a dependent, or add "
                                        "exempt = ( { table = \"%s\"; why = \"…\"; } )", name, covering.why[i], name)};
    }
    return 0;
}
