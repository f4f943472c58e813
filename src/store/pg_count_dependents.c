/* How many rows go, or are changed, with the due and free records: each once, however many ways lead to it, and where the
 * sweep takes it: with the first order that it depends on. */
#include "store/pg_anonymize.h"
#include "store/pg_going.h"

#include <stdlib.h>
#include <string.h>

/* What has the same fate in the same table is counted in one question. */
struct question {
    struct pg_store *store;
    const struct pg_due *due;
    const struct pg_table *table;
    enum pg_fate fate;
    struct pg_sql *sql;
};

static bool is_asked(const struct question *question, const struct order *order, const struct pg_dependent *dependent) {
    return dependent->table == question->table && pg_fate_of(order, dependent) == question->fate;
}

static size_t ways(const struct question *question, const struct order *order, const struct pg_bound *bound) {
    size_t count = 0;
    for (size_t i = 0; i < bound->n_dependents; i++) count += is_asked(question, order, &bound->dependents[i]);
    return count;
}

/* The rows that one line of `dependents` leads to. */
static int add_way(const struct question *question, const struct pg_due *due, const struct pg_dependent *dependent, const char *columns,
                   struct err *err) {
    struct pg_sql *sql = question->sql;
    PG_SQL source = {.arena = sql->arena};
    PG_SQL condition = {.arena = sql->arena, .parameters = sql->parameters, .n_parameters = sql->n_parameters};
    pg_add_source(&source, due);
    pg_add_scope(&condition, due, &due->order->due);
    buf_add(&condition.text, " AND ");
    pg_add_rest(&condition, due, pg_blocked_of(due->order));
    sql->parameters = condition.parameters;
    sql->n_parameters = condition.n_parameters;
    pg_add_dependents(sql, dependent, columns, buf_text(&source.text), buf_text(&condition.text));
    return pg_add_dependent_due(sql, dependent, question->fate, err);
}

static int add_ways(const struct question *question, const struct pg_due *due, const char *between, struct err *err) {
    for (size_t i = 0, n = 0; i < due->bound->n_dependents; i++) {
        if (!is_asked(question, due->order, &due->bound->dependents[i])) continue;
        buf_add(&question->sql->text, n++ ? between : "");
        buf_add_char(&question->sql->text, '(');
        if (add_way(question, due, &due->bound->dependents[i], "d0.tableoid, d0.ctid::text", err) < 0) return -1;
        buf_add_char(&question->sql->text, ')');
    }
    return 0;
}

/* The tenants' own records go last, and what is anonymized because it is blocked, after all else of its stage. */
static int stage(const struct order *order) { return 2 * order->own + order->blocked_only; }

/* orders[at] is carried out before this one and takes rows of the same table, on another target. */
static bool comes_first(const struct question *question, size_t at) {
    const struct pg_going *going = question->due->going;
    const struct order *order = going->orders[at], *own = question->due->order;
    const struct pg_bound *bound = pg_bound_of(question->store, order->target);
    if (order_is_any(order) || order->target == own->target || !bound || !bound->table || !ways(question, order, bound)) return false;
    bool first = stage(order) < stage(own);
    for (size_t i = at + 1; stage(order) == stage(own) && i < going->n_orders && !first; i++) first = going->orders[i]->target == own->target;
    return first;
}

static int except_first(const struct question *question, const struct order *order, struct err *err) {
    const struct pg_bound *bound = pg_bound_of(question->store, order->target);
    struct pg_going going = *question->due->going;
    going.table = bound->table;
    for (size_t leaf = 0; leaf < bound->table->n_leaves; leaf++) {
        struct pg_due due;
        if (pg_due_of(question->store, question->sql->arena, order, bound->table->leaves[leaf], &due, err) < 0) return -1;
        due.going = &going;
        buf_add(&question->sql->text, " EXCEPT ");
        if (add_ways(question, &due, " EXCEPT ", err) < 0) return -1;
    }
    return 0;
}

/* A record that is below another one is counted as the record that it is. */
static void except_records(const struct question *question) {
    const struct pg_due *due = question->due;
    struct pg_sql *sql = question->sql;
    buf_add(&sql->text, " EXCEPT (SELECT t.tableoid, t.ctid::text FROM ");
    pg_add_source(sql, due);
    buf_add(&sql->text, " WHERE ");
    pg_add_scope(sql, due, &due->order->due);
    buf_add(&sql->text, " AND ");
    pg_add_rest(sql, due, pg_blocked_of(due->order));
    buf_add_char(&sql->text, ')');
}

static int add_question(const struct question *question, struct err *err) {
    const struct pg_going *going = question->due->going;
    buf_add(&question->sql->text, "SELECT count(*) FROM (");
    if (add_ways(question, question->due, " UNION ", err) < 0) return -1;
    if (question->table == question->due->bound->table) except_records(question);
    for (size_t i = 0; i < going->n_orders; i++)
        if (comes_first(question, i) && except_first(question, going->orders[i], err) < 0) return -1;
    buf_add(&question->sql->text, ") AS s");
    return 0;
}

static bool is_simple(const struct question *question) {
    const struct pg_going *going = question->due->going;
    bool simple = ways(question, question->due->order, question->due->bound) == 1 && question->table != question->due->bound->table;
    for (size_t i = 0; simple && i < going->n_orders; i++) simple = !comes_first(question, i);
    return simple;
}

static int ask(const struct question *question, const struct pg_dependent *dependent, int64_t *ret_count, struct err *err) {
    PG_RESULT result = NULL;
    int added = is_simple(question) ? add_way(question, question->due, dependent, "count(*)", err) : add_question(question, err);
    if (added < 0 || pg_run(question->store, question->sql, &result, err) < 0) return -1;
    *ret_count = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    return 0;
}

int pg_count_dependents(struct pg_store *store, const struct pg_due *due, struct arena *arena, int64_t *ret_count, struct err *err) {
    int64_t total = 0;
    for (size_t i = 0; i < due->bound->n_dependents; i++) {
        const struct pg_dependent *dependent = &due->bound->dependents[i];
        PG_SQL sql = {.arena = arena};
        const struct question question = {.store = store, .due = due, .table = dependent->table, .fate = pg_fate_of(due->order, dependent), .sql = &sql};
        bool first = question.fate != PG_LEFT_ALONE;
        for (size_t j = 0; first && j < i; j++) first = !is_asked(&question, due->order, &due->bound->dependents[j]);
        int64_t count = 0;
        if (first && ask(&question, dependent, &count, err) < 0) return -1;
        total += count;
    }
    *ret_count = total;
    return 0;
}
