/* What an order becomes in SQL: shape, quoting, which ids fit a type. What the statements do is in tests/store. */
#include "base/time.h"
#include "store/pg_compile.h"
#include "unit.h"

static const size_t first_column[] = {0};

/* A table with a key, a tenant and an anchor, bound by hand. */
struct bound {
    struct arena *arena;
    struct pg_column columns[3];
    struct pg_table table;
    const struct pg_table *leaf;
    struct rule rule;
    struct keep keep;
    struct target target;
    struct pg_bound bound;
    struct pg_store store;
};

static void bind(struct bound *to, const char *table, const char *tenant, Oid tenant_type, enum pg_time time) {
    *to = (struct bound){.arena = arena_new(), .keep = {.kind = KEEP_AGE}};
    const char *const names[] = {"id", tenant, "at"};
    for (size_t i = 0; i < 3; i++)
        to->columns[i] = (struct pg_column){.name = names[i], .quoted = pg_quote(to->arena, names[i]), .type = "bigint", .type_oid = 20};
    to->columns[1].type_oid = tenant_type;
    to->columns[2].time = time;
    to->leaf = &to->table;
    to->table = (struct pg_table){.name = table, .quoted = pg_quote(to->arena, table), .kind = 'r', .columns = to->columns, .n_columns = 3,
                                  .key = first_column, .n_key = 1, .leaves = &to->leaf, .n_leaves = 1};
    to->target = (struct target){.rule = &to->rule, .kind = TARGET_TABLE, .name = table, .tenant = tenant, .since = "at"};
    to->bound = (struct pg_bound){.target = &to->target, .table = &to->table, .tenant = &to->columns[1], .since = &to->columns[2],
                                  .index_tenant_since = true};
    to->store.bound = &to->bound;
}

/* FROM and WHERE of everything before the cutoff. */
static const char *compiled(struct bound *on, int64_t cutoff_us, const struct scope_tenant *tenants, size_t n_tenants, struct pg_sql *sql) {
    const struct scope scope = {.kind = SCOPE_REST, .of = &on->target, .anchor = "at", .anchor_is_since = true, .cutoff_us = cutoff_us,
                                .tenants = tenants, .n_tenants = n_tenants};
    const struct order order = order_make(&on->target, ACTION_PURGE, &on->keep, scope);
    struct pg_due due;
    struct err err;
    ck_assert_msg(pg_due_of(&on->store, on->arena, &order, &on->table, &due, &err) == 0, "%s", err.text);
    *sql = (struct pg_sql){.arena = on->arena};
    pg_add_source(sql, &due);
    buf_add(&sql->text, " WHERE ");
    pg_add_scope(sql, &due, &order.due);
    return buf_text(&sql->text);
}

START_TEST(identifiers_are_quoted_in_one_place) {
    struct arena *arena = arena_new();
    ck_assert_str_eq(pg_quote(arena, "plain"), "\"plain\"");
    ck_assert_str_eq(pg_quote(arena, "x\"; DROP TABLE y; --"), "\"x\"\"; DROP TABLE y; --\"");
    ck_assert_str_eq(pg_quote(arena, "\"\""), "\"\"\"\"\"\"");
    ck_assert_ptr_null(pg_quote(arena, ""));
    arena_free(arena);
}
END_TEST

START_TEST(array_items_are_quoted) {
    struct buf array = {0};
    buf_add_char(&array, '{');
    pg_add_array_item(&array, "a\"b\\c,{d}");
    pg_add_array_item(&array, NULL);
    pg_add_array_item(&array, "NULL");
    pg_add_array_item(&array, "");
    buf_add_char(&array, '}');
    ck_assert_str_eq(buf_text(&array), "{\"a\\\"b\\\\c,{d}\",NULL,\"NULL\",\"\"}");
    buf_free(&array);
}
END_TEST

START_TEST(ids_fit_a_type_only_as_the_server_writes_them) {
    enum { INT2 = 21, INT4 = 23, INT8 = 20, TEXT = 25, BPCHAR = 1042, UUID = 2950, NUMERIC = 1700 };
    static const struct {
        Oid type;
        const char *id;
        bool fits;
    } table[] = {
        {INT8, "1", true}, {INT8, "-7", true}, {INT8, "007", false}, {INT8, "+7", false}, {INT8, " 7", false}, {INT8, "", false}, {INT8, "-0", false},
        {INT8, "9223372036854775807", true}, {INT8, "9223372036854775808", false}, {INT8, "99999999999999999999999999", false},
        {INT4, "2147483648", false}, {INT2, "32768", false}, {INT2, "-32768", true},
        {UUID, "0189e3a1-7c3e-7b1f-9a51-6b2f1f0c1a2b", true}, {UUID, "0189E3A1-7C3E-7B1F-9A51-6B2F1F0C1A2B", false}, {UUID, "abc", false},
        {TEXT, "anything", true}, {TEXT, "\xff", false}, {BPCHAR, "ab ", false}, {BPCHAR, "ab", true}, {NUMERIC, "1.50", true},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct pg_tenant_type type = pg_tenant_type(table[i].type);
        ck_assert_msg(pg_tenant_fits(&type, table[i].id) == table[i].fits, "%u: \"%s\"", table[i].type, table[i].id);
    }
    ck_assert(pg_tenant_type(NUMERIC).as_text);
}
END_TEST

START_TEST(tenants_without_a_cutoff_of_their_own_are_everybody_else) {
    struct bound on;
    struct pg_sql sql;
    bind(&on, "logs", "customer_id", 20, PG_TIME_TIMESTAMPTZ);
    const struct scope_tenant tenants[] = {{.id = "1", .cutoff_us = TIME_NEVER}, {.id = "2", .cutoff_us = 0}, {.id = "x", .cutoff_us = 0}};
    ck_assert_str_eq(compiled(&on, 1000000, tenants, 3, &sql),
                     "ONLY \"logs\" AS t WHERE ((t.\"customer_id\" IS NOT NULL AND t.\"customer_id\" <> ALL($1::bigint[]) AND "
                     "t.\"at\" < $2::timestamptz AND t.\"at\" > '-infinity') OR "
                     "(t.\"customer_id\" = ANY($3::bigint[]) AND t.\"at\" < $4::timestamptz AND t.\"at\" > '-infinity'))");
    ck_assert_str_eq(sql.parameters[0], "{\"1\",\"2\"}"); /* "x" is no bigint */
    ck_assert_str_eq(sql.parameters[1], "1970-01-01T00:00:01.000000Z");
    ck_assert_str_eq(sql.parameters[2], "{\"2\"}");
    pg_sql_free(&sql);
    arena_free(on.arena);
}
END_TEST

START_TEST(a_condition_of_the_users_stands_in_a_query_of_its_own) {
    struct bound on;
    struct pg_sql sql;
    bind(&on, "x\"y", "t", 25, PG_TIME_INTEGER);
    on.target.only = "paid OR t = 'a'";
    on.target.unit = UNIT_MILLISECONDS;
    const char *text = compiled(&on, 1001, NULL, 0, &sql);
    ck_assert_str_eq(text, "(SELECT ctid, tableoid, * FROM ONLY \"x\"\"y\" AS \"x\"\"y\" WHERE (paid OR t = 'a'\n)) AS t WHERE "
                           "((t.\"t\" IS NOT NULL AND t.\"t\" <> '' AND t.\"at\" < $1::bigint AND t.\"at\" > 0) OR false)");
    ck_assert_str_eq(sql.parameters[0], "2"); /* 1 ms is before 1.001 ms, 2 ms is not: exclusive, rounded up */
    pg_sql_free(&sql);
    arena_free(on.arena);
}
END_TEST

/* "z.ctid = t.ctid" alone is not asked again, by servers before November 2025, of a row that was changed while the statement waited for
 * it; and all the rest is about t, the row as it was. */
START_TEST(a_row_that_is_found_by_another_is_still_where_that_one_was) {
    struct bound on;
    bind(&on, "logs", "customer_id", 20, PG_TIME_TIMESTAMPTZ);
    on.target.only = "paid";
    const struct scope scope = {.kind = SCOPE_REST, .of = &on.target, .anchor = "at", .anchor_is_since = true, .cutoff_us = 0};
    const struct order order = order_make(&on.target, ACTION_PURGE, &on.keep, scope);
    struct pg_due due;
    struct err err;
    ck_assert_int_eq(pg_due_of(&on.store, on.arena, &order, &on.table, &due, &err), 0);
    struct pg_sql sql = {.arena = on.arena};
    pg_add_delete(&sql, &due);
    ck_assert_str_eq(buf_text(&sql.text), "DELETE FROM ONLY \"logs\" AS z USING (SELECT ctid, tableoid, * FROM ONLY \"logs\" AS \"logs\" WHERE (paid\n)) AS t"
                                          " WHERE z.ctid = t.ctid AND z.ctid >= t.ctid AND z.ctid <= t.ctid AND ");
    pg_sql_clear(&sql);
    pg_add_update(&sql, &due, "x = 1", NULL);
    ck_assert_ptr_nonnull(strstr(buf_text(&sql.text), " WHERE z.ctid = t.ctid AND z.ctid >= t.ctid AND z.ctid <= t.ctid AND "));
    pg_sql_clear(&sql);
    /* A row of a tree, which is found by its place in a list that was made before. */
    const struct pg_link step = {.child = &on.table, .parent = &on.table, .child_columns = {1}, .parent_columns = {0}, .n_columns = 1};
    const struct pg_dependent tree = {.table = &on.table, .path = &step, .n_path = 1, .self = true};
    pg_add_dependents(&sql, &tree, "", "ONLY \"logs\" AS t", "true");
    ck_assert_ptr_nonnull(strstr(buf_text(&sql.text), "d0.ctid = tree.c::tid AND d0.ctid >= tree.c::tid AND d0.ctid <= tree.c::tid"));
    pg_sql_free(&sql);
    arena_free(on.arena);
}
END_TEST

START_TEST(an_anchor_that_cannot_be_compared_is_refused) {
    struct bound on;
    struct err err;
    struct pg_due due;
    bind(&on, "logs", "customer_id", 20, PG_TIME_TIMESTAMP); /* and no zone */
    const struct scope scope = {.kind = SCOPE_REST, .of = &on.target, .anchor = "at", .anchor_is_since = true, .cutoff_us = 0};
    const struct order order = order_make(&on.target, ACTION_PURGE, &on.keep, scope);
    ck_assert_int_eq(pg_due_of(&on.store, on.arena, &order, &on.table, &due, &err), -1);
    ck_assert_int_eq(err.code, ERR_CONFIG);
    on.target.zone = "UTC";
    ck_assert_int_eq(pg_due_of(&on.store, on.arena, &order, &on.table, &due, &err), 0);
    on.bound.bad = true;
    ck_assert_int_eq(pg_due_of(&on.store, on.arena, &order, &on.table, &due, &err), -1);
    arena_free(on.arena);
}
END_TEST

UNIT_MAIN("pg_compile", identifiers_are_quoted_in_one_place, array_items_are_quoted, ids_fit_a_type_only_as_the_server_writes_them,
          tenants_without_a_cutoff_of_their_own_are_everybody_else, a_condition_of_the_users_stands_in_a_query_of_its_own,
          a_row_that_is_found_by_another_is_still_where_that_one_was, an_anchor_that_cannot_be_compared_is_refused)
