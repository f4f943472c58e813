/* A first schedule from the catalog: every table that seems to belong to a tenant, with the columns that may say when a
 * record began, as commented rules. */
#include "store/pg_check.h"

#include <string.h>

static const char *const tenant_names[] = {"tenant_id", "customer_id", "account_id", "organization_id", "organisation_id", "org_id", "company_id", "workspace_id", "team_id", "client_id"};
/* The likeliest name of a record's birth first. */
static const char *const since_names[] = {"created_at", "created", "inserted_at", "occurred_at", "executed_at", "issued_on", "logged_at", "timestamp", "date_created"};

static const char *tenant_table(const struct pg_relation *const *own, size_t n_own) { return n_own ? own[0]->table.name : NULL; }

/* The column that refers to a table that the tenants query reads, by a foreign key; NULL: none. */
static const struct pg_column *by_foreign_key(const struct pg_catalog *catalog, const struct pg_relation *relation, const struct pg_relation *const *own, size_t n_own) {
    for (size_t i = 0; i < catalog->n_foreign_keys; i++) {
        const struct pg_foreign_key *key = &catalog->foreign_keys[i];
        if (key->child != relation || key->n_columns != 1) continue;
        for (size_t j = 0; j < n_own; j++) {
            int at = key->parent == own[j] ? pg_column_by_number(&relation->table, key->child_columns[0]) : PG_NO_COLUMN;
            if (at != PG_NO_COLUMN) return &relation->table.columns[at];
        }
    }
    return NULL;
}

static bool refers_elsewhere(const struct pg_catalog *catalog, const struct pg_relation *relation, const struct pg_column *column) {
    for (size_t i = 0; i < catalog->n_foreign_keys; i++)
        if (catalog->foreign_keys[i].child == relation && catalog->foreign_keys[i].child_columns[0] == column->number) return true;
    return false;
}

/* "customer_id" for "customers". */
static bool named_like(const char *column, const char *table) {
    size_t length = strlen(table), singular = length && table[length - 1] == 's' ? length - 1 : length;
    return table[0] && !strncmp(column, table, singular) && !strcmp(column + singular, "_id");
}

static const struct pg_column *tenant_column(const struct pg_catalog *catalog, const struct pg_relation *relation, const struct pg_relation *const *own, size_t n_own) {
    const struct pg_column *found = by_foreign_key(catalog, relation, own, n_own);
    if (found) return found;
    const struct pg_table *table = &relation->table;
    for (size_t i = 0; tenant_table(own, n_own) && i < table->n_columns; i++)
        if (named_like(table->columns[i].name, tenant_table(own, n_own))) return &table->columns[i];
    for (size_t i = 0; i < sizeof tenant_names / sizeof *tenant_names; i++) {
        int at = pg_column_find(table, tenant_names[i]);
        if (at != PG_NO_COLUMN && !(n_own && refers_elsewhere(catalog, relation, &table->columns[at]))) return &table->columns[at];
    }
    return NULL;
}

static bool is_instant(const struct pg_column *column) {
    return column->time == PG_TIME_TIMESTAMPTZ || column->time == PG_TIME_TIMESTAMP || column->time == PG_TIME_DATE;
}

/* A time that tells of something else than the record's birth. */
static bool is_later(const char *name) {
    static const char *const later[] = {"deleted", "updated", "modified", "ended", "closed", "expires", "anonymized", "archived", "last_"};
    for (size_t i = 0; i < sizeof later / sizeof *later; i++)
        if (text_starts_with(name, later[i])) return true;
    return false;
}

static const struct pg_column *since_column(const struct pg_table *table) {
    for (size_t i = 0; i < sizeof since_names / sizeof *since_names; i++) {
        int at = pg_column_find(table, since_names[i]);
        if (at != PG_NO_COLUMN && is_instant(&table->columns[at])) return &table->columns[at];
    }
    for (size_t i = 0; i < table->n_columns; i++)
        if (is_instant(&table->columns[i]) && !is_later(table->columns[i].name)) return &table->columns[i];
    return NULL;
}

static void print_other_times(const struct pg_table *table, const struct pg_column *since, struct buf *to) {
    const char *before = "  #   other times: ";
    for (size_t i = 0; i < table->n_columns; i++)
        if (&table->columns[i] != since && is_instant(&table->columns[i])) {
            buf_printf(to, "%s%s", before, table->columns[i].name);
            before = ", ";
        }
    if (*before == ',') buf_add_char(to, '\n');
}

static void print_target(const struct pg_catalog *catalog, const struct pg_relation *relation, const char *tenant, struct buf *to) {
    const struct pg_column *since = since_column(&relation->table);
    buf_printf(to, "  # { data = \"%s\"; keep = \"…\"; basis = \"…\";\n  #   targets = ( { table = \"%s\"; tenant = \"%s\";", relation->table.name,
               pg_relation_name(catalog, relation), tenant);
    if (since) buf_printf(to, " since = \"%s\";", since->name);
    if (since && since->time != PG_TIME_TIMESTAMPTZ) buf_add(to, " zone = \"UTC\";");
    buf_add(to, " } ); },\n");
    print_other_times(&relation->table, since, to);
}

/* The tenant's own table is its tenant by its key. */
static const struct pg_column *own_column(const struct pg_relation *relation, const struct pg_relation *const *own, size_t n_own) {
    for (size_t i = 0; i < n_own; i++) {
        if (own[i] != relation) continue;
        for (size_t j = 0; j < relation->n_indexes; j++) {
            int at = relation->indexes[j].primary ? pg_column_by_number(&relation->table, relation->indexes[j].columns[0]) : PG_NO_COLUMN;
            if (at != PG_NO_COLUMN) return &relation->table.columns[at];
        }
    }
    return NULL;
}

static bool is_candidate(const struct pg_relation *relation) {
    return !relation->system && !relation->partition && relation->persistence != 't' && (relation->table.kind == 'r' || relation->table.kind == 'p');
}

static void print_rules(const struct pg_catalog *catalog, const struct pg_relation *const *own, size_t n_own, struct buf *to) {
    __attribute__((cleanup(buf_free))) struct buf rest = {0};
    buf_add(to, "  # Every table that seems to belong to a tenant:\n");
    for (size_t i = 0; i < catalog->n_relations; i++) {
        const struct pg_relation *relation = &catalog->relations[i];
        if (!is_candidate(relation)) continue;
        const struct pg_column *tenant = tenant_column(catalog, relation, own, n_own);
        if (!tenant) tenant = own_column(relation, own, n_own);
        if (tenant) print_target(catalog, relation, tenant->name, to);
        else buf_printf(&rest, "  #   %s\n", pg_relation_name(catalog, relation));
    }
    if (rest.length) buf_printf(to, "  # Without a tenant's column (tenant = \"none\" if they hold nobody's data, else via = \"…\"):\n%s", buf_text(&rest));
}

static void free_arena(struct arena **arena) { arena_free(*arena); }

int pg_draft(struct store *base, struct buf *to, struct err *err) {
    struct pg_store *store = (struct pg_store *)(void *)base;
    __attribute__((cleanup(free_arena))) struct arena *arena = arena_new();
    struct pg_catalog *catalog;
    if (pg_connect(store, err) || pg_catalog_read(store, arena, &catalog, err)) return -1;
    for (size_t i = 0; i < catalog->n_relations; i++) catalog->relations[i].wanted = is_candidate(&catalog->relations[i]);
    if (pg_catalog_load(store, catalog, err)) return -1;
    const struct schedule *schedule = store->base.settings.schedule;
    const struct pg_relation **own = NULL;
    size_t n_own = 0;
    if (schedule->has_tenants && schedule->tenants.store == store->base.settings.conf &&
        pg_reads(store, catalog, schedule->tenants.query, &own, &n_own, err)) {
        if (err->code != ERR_REFUSED) return -1;
        n_own = pg_named_relations(catalog, schedule->tenants.query, &own);
    }
    print_rules(catalog, own, n_own, to);
    return 0;
}
