/* The tenants query, and the records that it reads: they carry the clock that everything else of a tenant runs by. */
#include "store/pg_check.h"

#include <string.h>

enum { TEXT = 25, DATE = 1082, BPCHAR = 1042, VARCHAR = 1043, TIMESTAMP = 1114, TIMESTAMPTZ = 1184 };

static struct place tenants_place(const struct binding *binding) { return binding->schedule->tenants.place; }

static bool is_instant(Oid type) { return type == TIMESTAMPTZ || type == TIMESTAMP || type == DATE; }
static bool is_text(Oid type) { return type == TEXT || type == VARCHAR || type == BPCHAR; }

static void check_answer_column(struct binding *binding, const PGresult *answer, const char *name, const char *why, bool (*fits)(Oid type),
                                const char *wanted) {
    int at = -1;
    for (int i = 0; i < PQnfields(answer) && at < 0; i++)
        if (!strcmp(PQfname(answer, i), name)) at = i;
    if (at < 0)
        fault_add(binding->faults, tenants_place(binding),
                  "tenants: the query returns no column \"%s\", %s; add it, as in \"SELECT … AS %s\"", name, why, name);
    else if (!fits(PQftype(answer, at)))
        fault_add(binding->faults, tenants_place(binding), "tenants: column \"%s\" of the query has the wrong type for %s; return %s",
                  name, why, wanted);
}

/* The shape of its answer, without a row of it. */
static int check_answer(struct binding *binding, struct err *err) {
    const struct tenants_conf *tenants = &binding->schedule->tenants;
    const char *sql = arena_printf(binding->catalog->arena, "SELECT * FROM (\n%s\n) q LIMIT 0", tenants->query);
    PG_RESULT answer = NULL;
    if (pg_begin(binding->store, false, err)) return -1;
    bool failed = pg_script(binding->store, "SET TRANSACTION READ ONLY", err) || pg_query(binding->store, sql, 0, NULL, &answer, err);
    struct err ignored;
    if (pg_rollback(binding->store, failed ? &ignored : err) || failed) return -1;
    check_answer_column(binding, answer, "tenant", "the tenant's id", pg_type_identifies, "a number, a uuid or text");
    for (size_t i = 0; i < tenants->n_ends; i++)
        check_answer_column(binding, answer, tenants->ends[i], "an end under `ends`", is_instant,
                            "a timestamp with time zone, a timestamp or a date");
    for (size_t i = 0; i < tenants->n_period_columns; i++)
        check_answer_column(binding, answer, tenants->period_columns[i], "a period under `per_tenant`", is_text, "text such as '18 months'");
    return 0;
}

static bool is_own(const struct pg_relation *const *own, size_t n_own, const struct pg_table *table) {
    for (size_t i = 0; i < n_own; i++)
        if (&own[i]->table == table) return true;
    return false;
}

/* An own table goes when its tenant has ended, and with the tenant's id in hand. */
static void check_own_target(struct binding *binding, const struct pg_bound *bound) {
    const struct target *target = bound->target;
    for (size_t i = 0; i < target->rule->n_keep; i++) {
        const struct keep *keep = &target->rule->keep[i];
        if (keep->kind == KEEP_AGE || (keep->kind == KEEP_END && keep->tenant_end < 0))
            pg_fault(binding, target, keep->place,
                     "the tenants query reads \"%s\", which therefore must outlive everything else of its tenant; bind it to an end of the "
                     "tenant, as in keep = "
                     "\"%s + 90 days\", or take it out of this rule",
                     target->name, binding->schedule->tenants.n_ends ? binding->schedule->tenants.ends[0] : "END");
    }
    if (target->no_tenant && pg_rule_purges(target->rule))
        pg_fault(binding, target, target->place,
                 "the tenants query reads \"%s\": write the column that holds the tenant's id, not tenant = \"none\"", target->name);
}

/* A wrong column here would end one customer with the end of another. */
static int check_own_ids(struct binding *binding, struct err *err) {
    const struct pg_relation *source;
    const char *column;
    if (pg_tenant_source(binding->store, binding->catalog, binding->schedule->tenants.query, &source, &column, err)) return -1;
    for (size_t i = 0; source && i < binding->schedule->n_targets; i++) {
        const struct pg_bound *bound = &binding->bound[i];
        if (bound->table == &source->table && bound->tenant && !bound->n_via && strcmp(bound->tenant->name, column) != 0)
            pg_fault(binding, bound->target, bound->target->place,
                     "the tenants query takes a tenant's id from \"%s.%s\"; write tenant = \"%s\", not \"%s\"",
                     source->table.name, column, column, bound->tenant->name);
    }
    return 0;
}

/* Everything of the tenant's own goes in one transaction: one target and its dependents. */
static void check_own_together(struct binding *binding, const struct pg_relation *const *own, size_t n_own) {
    const struct pg_bound *first = NULL;
    for (size_t i = 0; i < binding->schedule->n_targets; i++) {
        const struct pg_bound *bound = &binding->bound[i];
        if (!bound->table || !pg_rule_purges(bound->target->rule)) continue;
        if (is_own(own, n_own, bound->table)) {
            if (first && first->table != bound->table)
                pg_fault(binding, bound->target, bound->target->place,
                         "the tenants query reads both \"%s\" and \"%s\", so they must go in one transaction; make \"%s\" a dependent of "
                         "\"%s\"", first->target->name,
                         bound->target->name, bound->target->name, first->target->name);
            else if (!first)
                first = bound;
            continue;
        }
        for (size_t j = 0; j < bound->n_dependents; j++)
            if (is_own(own, n_own, bound->dependents[j].table))
                pg_fault(binding, bound->target, bound->dependents[j].conf->join.place,
                         "dependents: the tenants query reads \"%s\", which therefore goes last; make it a dependent of the rule that "
                         "purges the tenant's own record",
                         bound->dependents[j].table->name);
    }
}

static void check_read_columns(struct binding *binding, const struct pg_bound *bound, const struct pg_table *table, const struct column *columns,
                               size_t n_columns) {
    for (size_t i = 0; i < n_columns; i++)
        if (columns[i].strategy != STRATEGY_AS_IS && pg_column_find(table, columns[i].path) != PG_NO_COLUMN &&
            pg_sql_names(binding->schedule->tenants.query, columns[i].path))
            pg_fault(binding, bound->target, columns[i].place, "columns: the tenants query reads \"%s.%s\"; it must stay \"as-is: %s\"",
                     table->name, columns[i].path,
                     columns[i].path);
}

static void check_own_columns(struct binding *binding, const struct pg_relation *const *own, size_t n_own) {
    for (size_t i = 0; i < binding->schedule->n_targets; i++) {
        const struct pg_bound *bound = &binding->bound[i];
        if (!bound->table || !pg_rule_anonymizes(bound->target->rule)) continue;
        if (is_own(own, n_own, bound->table)) check_read_columns(binding, bound, bound->table, bound->target->columns, bound->target->n_columns);
        for (size_t j = 0; j < bound->n_dependents; j++) {
            const struct pg_dependent *dependent = &bound->dependents[j];
            if (!is_own(own, n_own, dependent->table)) continue;
            check_read_columns(binding, bound, dependent->table, dependent->conf->columns, dependent->conf->n_columns);
            if (dependent->conf->when_anonymized == WHEN_ANONYMIZED_PURGE)
                pg_fault(binding, bound->target, dependent->conf->join.place,
                         "dependents: the tenants query reads \"%s\", it cannot go while the tenant's record stays; write when_anonymized "
                         "= \"as-is\"",
                         dependent->table->name);
        }
    }
}

int pg_check_tenants(struct binding *binding, struct err *err) {
    const struct schedule *schedule = binding->schedule;
    if (!schedule->has_tenants || schedule->tenants.store != binding->store->base.settings.conf) return 0;
    const struct pg_relation **own;
    size_t n_own;
    if (pg_reads(binding->store, binding->catalog, schedule->tenants.query, &own, &n_own, err) || check_answer(binding, err)) {
        if (err->code != ERR_REFUSED) return -1;
        fault_add(binding->faults, tenants_place(binding), "tenants: the query does not run: %s", err->text);
        return 0;
    }
    for (size_t i = 0; i < schedule->n_targets; i++)
        if (binding->bound[i].table && is_own(own, n_own, binding->bound[i].table)) check_own_target(binding, &binding->bound[i]);
    check_own_together(binding, own, n_own);
    if (check_own_ids(binding, err) && err->code != ERR_REFUSED) return -1;
    check_own_columns(binding, own, n_own);
    return 0;
}
