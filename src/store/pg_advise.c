/* What is no fault, but what a person should know: missing indexes, dependents to paste, triggers, a slow tenants query. */
#include "store/pg_check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    FEW_ROWS = 10000, /* a table that is read whole in no time */
    MANY_ROWS = 1000000, /* a fifth of it, for which autovacuum waits as a rule, is much */
};

struct advice {
    struct binding *binding;
    struct arena *arena;
    struct finding *items;
    size_t count;
};

static enum finding_grade grade_of(const char *code) {
    return !strcmp(code, "trigger") || !strcmp(code, "rewrite-rule") ? FINDING_NOTE : FINDING_ADVICE;
}

static void add(struct advice *advice, const struct target *target, const char *code, const char *place, const char *format, ...) PRINTF_LIKE(5, 6);
static void add(struct advice *advice, const struct target *target, const char *code, const char *place, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const char *text = arena_vprintf(advice->arena, format, arguments);
    va_end(arguments);
    for (size_t i = 0; i < advice->count; i++)
        if (!strcmp(advice->items[i].text, text)) return; /* several targets may say the same */
    *ARENA_APPEND(advice->arena, advice->items, advice->count) =
        (struct finding){.code = code, .grade = grade_of(code), .rule = target ? target->rule->data : NULL,
                         .store = advice->binding->store->base.settings.conf->name, .place = place, .count = 1, .text = text};
}

/* The probe asks for (tenant, since), or since alone; without either it reads the whole table. */
static void advise_probe_index(struct advice *advice, const struct pg_bound *bound) {
    if (bound->rows < FEW_ROWS || bound->index_tenant_since || bound->index_since) return;
    const char *first = bound->tenant && !bound->n_via ? bound->tenant->quoted : NULL, *second = bound->since ? bound->since->quoted : NULL;
    if (!first && !second) return;
    add(advice, bound->target, "index-missing", bound->target->name,
        "no index helps to find what is due in \"%s\", so that each sweep reads the table whole; "
        "CREATE INDEX CONCURRENTLY ON %s (%s%s%s)", bound->target->name,
        bound->table->quoted, first ? first : second, first && second ? ", " : "", first && second ? second : "");
}

static void advise_link_index(struct advice *advice, const struct pg_bound *bound, const struct pg_link *link) {
    if (pg_relation_of(link->child)->rows < FEW_ROWS || pg_columns_indexed(link->child, link->child_columns, link->n_columns)) return;
    const char *columns = "";
    for (size_t i = 0; i < link->n_columns; i++)
        columns = arena_printf(advice->arena, "%s%s%s", columns, i ? ", " : "", link->child->columns[link->child_columns[i]].quoted);
    add(advice, bound->target, "index-missing", link->child->name,
        "\"%s\" refers to \"%s\" without an index, so that it is read whole again and again; CREATE INDEX CONCURRENTLY ON %s (%s)", link->child->name,
        link->parent->name, link->child->quoted, columns);
}

/* Foreign keys that are not declared only block; whether the rows should go instead is for people to say. */
static void advise_blocker(struct advice *advice, const struct pg_bound *bound, const struct pg_blocker *blocker) {
    if (!pg_rule_purges(bound->target->rule)) return;
    for (size_t i = 0; i < advice->binding->schedule->n_targets; i++)
        if (advice->binding->bound[i].table == blocker->link.child) return; /* a rule of its own says when they go */
    add(advice, bound->target, "dependent-undeclared", blocker->link.child->name,
        "records of \"%s\" stay while a row of \"%s\" refers to them; if those rows shall go too, "
        "add dependents = [ \"%s\" ]", blocker->link.parent->name,
        blocker->link.child->name, pg_join_line(advice->binding, bound, &blocker->link));
}

static void advise_triggers(struct advice *advice, const struct pg_bound *bound, const struct pg_table *table) {
    const struct pg_relation *relation = pg_relation_of(table);
    if (relation->triggers)
        add(advice, bound->target, "trigger", table->name,
            "\"%s\" has a trigger on UPDATE or DELETE: it runs in our batches, and what it does is in no plan", table->name);
    if (relation->rules)
        add(advice, bound->target, "rewrite-rule", table->name,
            "\"%s\" has a rule on UPDATE or DELETE: it changes what our statements do; a trigger would be safer", table->name);
}

/* What a purge does not give back. A partition that is dropped gives all of it back. */
static int advise_space(struct advice *advice, const struct pg_bound *bound, struct err *err) {
    if (bound->rows < MANY_ROWS || bound->target->drop || !pg_rule_purges(bound->target->rule)) return 0;
    char oid[16];
    const char *const parameters[] = {oid};
    PG_RESULT result = NULL;
    (void)snprintf(oid, sizeof oid, "%u", bound->table->leaves[0]->oid);
    if (pg_query(advice->binding->store, "SELECT coalesce(array_to_string(reloptions, ' '), '') ~ 'autovacuum_vacuum_scale_factor=' FROM pg_catalog.pg_class"
                 " WHERE oid = $1::oid", 1, parameters, &result, err))
        return -1;
    bool set = PQntuples(result) && *PQgetvalue(result, 0, 0) == 't';
    add(advice, bound->target, "space-stays", bound->target->name,
        "what goes from \"%s\" leaves its space for new rows, and only VACUUM FULL, pg_repack or a dropped partition gives it back to the disk%s%s%s",
        bound->target->name, set ? "" : "; autovacuum waits until a fifth of so large a table is gone: ALTER TABLE ",
        set ? "" : bound->table->leaves[0]->quoted, set ? "" : " SET (autovacuum_vacuum_scale_factor = 0.01)");
    return 0;
}

static void advise_bound(struct advice *advice, const struct pg_bound *bound) {
    advise_probe_index(advice, bound);
    for (size_t i = 0; i < bound->n_via; i++) advise_link_index(advice, bound, &bound->via[i]);
    advise_triggers(advice, bound, bound->table);
    for (size_t i = 0; i < bound->n_dependents; i++) {
        advise_link_index(advice, bound, &bound->dependents[i].path[0]);
        advise_triggers(advice, bound, bound->dependents[i].table);
    }
    for (size_t i = 0; i < bound->n_blockers; i++) {
        advise_link_index(advice, bound, &bound->blockers[i].link);
        advise_blocker(advice, bound, &bound->blockers[i]);
    }
}

/* "invoice_id" for the key id of "invoices" and of "invoice"; a key that already says it ("website_id") for itself. */
static bool refers_by_name(const char *column, const char *table, const char *key) {
    size_t length = strlen(table), key_length = strlen(key), column_length = strlen(column);
    if (!strcmp(column, key)) return key_length > 2 && strcmp(key, "uuid") != 0;
    if (column_length <= key_length || strcmp(column + column_length - key_length, key) != 0 ||
        column[column_length - key_length - 1] != '_')
        return false;
    size_t stem = column_length - key_length - 1;
    if (strncmp(column, table, stem) != 0 || stem > length) return false;
    return table[stem] == '\0' || !strcmp(table + stem, "s") || !strcmp(table + stem, "es");
}

static bool is_linked(const struct advice *advice, const struct pg_bound *bound, const char *schema, const char *table, const char *column) {
    const struct pg_catalog *catalog = advice->binding->catalog;
    for (size_t i = 0; i < catalog->n_foreign_keys; i++) {
        const struct pg_foreign_key *key = &catalog->foreign_keys[i];
        int at = key->child->loaded ? pg_column_by_number(&key->child->table, key->child_columns[0]) : PG_NO_COLUMN;
        if (at != PG_NO_COLUMN && !strcmp(key->child->table.name, table) && !strcmp(key->child->table.schema, schema) &&
            !strcmp(key->child->table.columns[at].name, column))
            return true;
    }
    for (size_t i = 0; i < bound->n_dependents; i++) {
        const struct pg_link *link = &bound->dependents[i].path[0];
        if (!strcmp(link->child->name, table) && !strcmp(link->child->schema, schema) &&
            !strcmp(link->child->columns[link->child_columns[0]].name, column))
            return true;
    }
    return false;
}

/* Tables whose column is named like this target's key, though no foreign key says so. */
static void advise_convention(struct advice *advice, const PGresult *columns, const struct pg_bound *bound) {
    const struct pg_table *table = bound->table;
    if (table->n_key != 1 || !pg_rule_purges(bound->target->rule)) return;
    const struct pg_column *key = &table->columns[table->key[0]];
    for (int i = 0; i < PQntuples(columns); i++) {
        const char *schema = PQgetvalue(columns, i, 0), *name = PQgetvalue(columns, i, 1), *column = PQgetvalue(columns, i, 2);
        if (pg_cell_oid(columns, i, 3) != key->type_oid || !strcmp(name, table->name)) continue;
        if (bound->tenant && !bound->n_via && bound->tenant == key) continue; /* every table with a tenant column refers to it */
        if (!refers_by_name(column, table->name, key->name) || is_linked(advice, bound, schema, name, column)) continue;
        add(advice, bound->target, "dependent-by-name", name,
            "\"%s.%s\" is named like the key of \"%s\", without a foreign key; if its rows belong to those records, "
            "add dependents = [ \"%s.%s\" ]", name, column,
            table->name, name, column);
    }
}

static int advise_conventions(struct advice *advice, struct err *err) {
    PG_RESULT columns = NULL;
    if (pg_query(advice->binding->store,
                 "SELECT n.nspname, c.relname, a.attname, a.atttypid FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid"
                 " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0"
                 " AND NOT a.attisdropped AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_t' ORDER BY 1, 2, 3",
                 0, NULL, &columns, err))
        return -1;
    for (size_t i = 0; i < advice->binding->schedule->n_targets; i++)
        if (advice->binding->bound[i].table) advise_convention(advice, columns, &advice->binding->bound[i]);
    return 0;
}

/* The tenant's end is read again inside each batch: by a plain column that takes its index, 0.5 ms, as text 31 ms. */
static void advise_tenants(struct advice *advice) {
    const struct schedule *schedule = advice->binding->schedule;
    if (!schedule->has_tenants || schedule->tenants.store != advice->binding->store->base.settings.conf) return;
    const char *cast = strstr(schedule->tenants.query, "::text");
    while (cast) {
        const char *after = cast + strlen("::text");
        after += strspn(after, " \t\n");
        if (!strncasecmp(after, "AS tenant", 9)) {
            add(advice, NULL, "tenants-slow", "tenants",
                "the tenants query turns the id into text, so that no index serves when it is read again in each batch; return the plain "
                "column AS tenant");
            return;
        }
        cast = strstr(after, "::text");
    }
}

int pg_advise(struct store *base, struct arena *arena, const struct finding **ret_findings, size_t *ret_count, struct err *err) {
    struct pg_store *store = (struct pg_store *)(void *)base;
    struct faults ignored = {.arena = arena};
    struct binding binding;
    if (pg_bind_into(store, arena, &ignored, &binding, err)) return -1;
    struct advice advice = {.binding = &binding, .arena = arena};
    for (size_t i = 0; i < binding.schedule->n_targets; i++)
        if (binding.bound[i].table) advise_bound(&advice, &binding.bound[i]);
    for (size_t i = 0; i < binding.schedule->n_targets; i++)
        if (binding.bound[i].table && binding.bound[i].table->n_leaves && advise_space(&advice, &binding.bound[i], err)) return -1;
    if (advise_conventions(&advice, err)) return -1;
    advise_tenants(&advice);
    const struct settings *settings = &binding.schedule->settings;
    if (pg_endpoint(store, arena, &advice.items, &advice.count, err) || pg_cover(&binding, arena, &advice.items, &advice.count, err)) return -1;
    if (settings->privileges == PRIVILEGES_WARN && pg_wide(&binding, arena, &advice.items, &advice.count, err)) return -1;
    *ret_findings = advice.items;
    *ret_count = advice.count;
    return 0;
}
