/* What hangs on a record, and what holds it: links, dependents, trees, blockers as SQL. */
#include "store/pg_bind.h"
#include "store/pg_going.h"

#include <stdio.h>
#include <string.h>

void pg_add_link(struct pg_sql *sql, const struct pg_link *link, const char *child, const char *parent) {
    for (size_t i = 0; i < link->n_columns; i++) {
        if (i) buf_add(&sql->text, " AND ");
        pg_add_column(sql, child, &link->child->columns[link->child_columns[i]]);
        buf_add(&sql->text, " = ");
        pg_add_column(sql, parent, &link->parent->columns[link->parent_columns[i]]);
    }
}

void pg_add_path(struct pg_sql *sql, const struct pg_dependent *dependent, size_t from) {
    for (size_t i = from; i < dependent->n_path; i++) {
        char child[24], below[24];
        (void)snprintf(child, sizeof child, "d%zu", i);
        (void)snprintf(below, sizeof below, "d%zu", i - 1);
        buf_printf(&sql->text, "%s%s AS %s", i > from ? " JOIN " : "", dependent->path[i].child->quoted, child);
        if (i == from) continue;
        buf_add(&sql->text, " ON ");
        pg_add_link(sql, &dependent->path[i - 1], below, child);
    }
}

void pg_add_path_tie(struct pg_sql *sql, const struct pg_dependent *dependent) {
    char last[24];
    (void)snprintf(last, sizeof last, "d%zu", dependent->n_path - 1);
    pg_add_link(sql, &dependent->path[dependent->n_path - 1], last, "t");
}

void pg_add_tree(struct pg_sql *sql, const struct pg_dependent *dependent, const char *source, const char *condition) {
    const struct pg_link *step = &dependent->path[0]; /* from the table to itself */
    buf_add(&sql->text, "WITH RECURSIVE tree(o, c");
    for (size_t i = 0; i < step->n_columns; i++) buf_printf(&sql->text, ", k%zu", i);
    buf_add(&sql->text, ") AS (SELECT d0.tableoid, d0.ctid::text");
    for (size_t i = 0; i < step->n_columns; i++) {
        buf_add(&sql->text, ", ");
        pg_add_column(sql, "d0", &step->parent->columns[step->parent_columns[i]]);
    }
    buf_printf(&sql->text, " FROM %s, ", source);
    pg_add_path(sql, dependent, 0);
    buf_add(&sql->text, " WHERE ");
    pg_add_path_tie(sql, dependent);
    buf_printf(&sql->text, " AND %s UNION SELECT n.tableoid, n.ctid::text", condition);
    for (size_t i = 0; i < step->n_columns; i++) {
        buf_add(&sql->text, ", ");
        pg_add_column(sql, "n", &step->parent->columns[step->parent_columns[i]]);
    }
    buf_printf(&sql->text, " FROM tree JOIN %s AS n ON ", step->child->quoted);
    for (size_t i = 0; i < step->n_columns; i++) {
        buf_printf(&sql->text, "%stree.k%zu = ", i ? " AND " : "", i);
        pg_add_column(sql, "n", &step->child->columns[step->child_columns[i]]);
    }
    buf_add(&sql->text, ") ");
}

void pg_add_dependents(struct pg_sql *sql, const struct pg_dependent *dependent, const char *columns, const char *source,
                       const char *condition) {
    if (dependent->self) {
        pg_add_tree(sql, dependent, source, condition);
        buf_printf(&sql->text, "SELECT %s FROM tree JOIN %s AS d0 ON d0.tableoid = tree.o AND d0.ctid = tree.c::tid WHERE true", columns,
                   dependent->table->quoted);
        return;
    }
    buf_printf(&sql->text, "SELECT %s FROM %s, ", columns, source);
    pg_add_path(sql, dependent, 0);
    buf_add(&sql->text, " WHERE ");
    pg_add_path_tie(sql, dependent);
    buf_printf(&sql->text, " AND %s", condition);
}

/* A table that refers to itself. */
static bool is_chain(const struct pg_due *due, const struct pg_blocker *blocker) {
    return !blocker->through && blocker->link.child == due->bound->table;
}

static void add_row_that_refers(struct pg_sql *sql, const struct pg_due *due, const struct pg_blocker *blocker) {
    buf_printf(&sql->text, "EXISTS (SELECT FROM %s AS b", blocker->link.child->quoted);
    if (blocker->through) {
        buf_add(&sql->text, ", ");
        pg_add_path(sql, blocker->through, 0);
        buf_add(&sql->text, " WHERE ");
        pg_add_link(sql, &blocker->link, "b", "d0");
        buf_add(&sql->text, " AND ");
        pg_add_path_tie(sql, blocker->through);
    } else {
        buf_add(&sql->text, " WHERE ");
        pg_add_link(sql, &blocker->link, "b", "t");
        /* A row that refers to itself does not hold itself. */
        if (blocker->link.child == due->bound->table) buf_add(&sql->text, " AND (b.tableoid, b.ctid) <> (t.tableoid, t.ctid)");
    }
    if (due->going && !is_chain(due, blocker)) pg_add_stays(sql, due, blocker->link.child);
    buf_add_char(&sql->text, ')');
}

void pg_add_blocker(struct pg_sql *sql, const struct pg_due *due, const struct pg_blocker *blocker) {
    if (!due->going || !is_chain(due, blocker)) {
        add_row_that_refers(sql, due, blocker);
        return;
    }
    buf_add_char(&sql->text, '(');
    add_row_that_refers(sql, due, blocker); /* the cheap question first */
    buf_add(&sql->text, " AND ");
    pg_add_chain_stays(sql, due, &blocker->link);
    buf_add_char(&sql->text, ')');
}

void pg_add_dependent_left(struct pg_sql *sql, const struct pg_due *due, const struct pg_dependent *dependent) {
    buf_add(&sql->text, "EXISTS (SELECT FROM ");
    pg_add_path(sql, dependent, 0);
    if (due->going) buf_add(&sql->text, " CROSS JOIN LATERAL (SELECT d0.tableoid, d0.ctid) AS b");
    buf_add(&sql->text, " WHERE ");
    pg_add_path_tie(sql, dependent);
    if (due->going) pg_add_stays(sql, due, dependent->table);
    buf_add_char(&sql->text, ')');
}

/* A chain of rows is followed by the level above: it looks at each of them. */
static bool is_followed(const struct pg_due *due, const struct pg_blocker *blocker) {
    return due->going && due->going->followed && is_chain(due, blocker) && pg_links_equal(&blocker->link, due->going->followed);
}

static bool blocks_by_itself(const struct pg_dependent *dependent) { return dependent->own_target != NULL; }

void pg_add_not_blocked(struct pg_sql *sql, const struct pg_due *due) {
    for (size_t i = 0; i < due->bound->n_blockers; i++) {
        if (is_followed(due, &due->bound->blockers[i])) continue;
        buf_add(&sql->text, " AND NOT ");
        pg_add_blocker(sql, due, &due->bound->blockers[i]);
    }
    for (size_t i = 0; i < due->bound->n_dependents; i++) {
        if (!blocks_by_itself(&due->bound->dependents[i])) continue;
        buf_add(&sql->text, " AND NOT ");
        pg_add_dependent_left(sql, due, &due->bound->dependents[i]);
    }
}

void pg_add_blocked(struct pg_sql *sql, const struct pg_due *due) {
    buf_add(&sql->text, " AND (false");
    for (size_t i = 0; i < due->bound->n_blockers; i++) {
        buf_add(&sql->text, " OR ");
        pg_add_blocker(sql, due, &due->bound->blockers[i]);
    }
    for (size_t i = 0; i < due->bound->n_dependents; i++) {
        if (!blocks_by_itself(&due->bound->dependents[i])) continue;
        buf_add(&sql->text, " OR ");
        pg_add_dependent_left(sql, due, &due->bound->dependents[i]);
    }
    buf_add_char(&sql->text, ')');
}
