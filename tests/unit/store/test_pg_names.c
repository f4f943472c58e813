/* Names that people meant, and words of SQL. */
#include "store/pg_check.h"
#include "unit.h"

#include <stdint.h>

START_TEST(near_names) {
    ck_assert_uint_eq(pg_name_distance("invoices", "invoices"), 0);
    ck_assert_uint_eq(pg_name_distance("Invoices", "invoices"), 0);
    ck_assert_uint_eq(pg_name_distance("invoces", "invoices"), 1);
    ck_assert_uint_eq(pg_name_distance("invioces", "invoices"), 2);
    ck_assert_uint_eq(pg_name_distance("ab", "a"), 1);
    ck_assert_uint_eq(pg_name_distance("logs", "customers"), SIZE_MAX);
    ck_assert_uint_eq(pg_name_distance("", ""), 0);
    ck_assert_uint_eq(pg_name_distance("a234567890123456789012345678901234567890123456789012345678901234", "a"), SIZE_MAX);
}
END_TEST

START_TEST(words_of_sql) {
    const char sql[] = "SELECT c.id AS tenant, 'secret' || x, \"Mixed\" FROM Customers c /* hidden */ -- gone\n JOIN public.subs USING (id)";
    static const char *const there[] = {"id", "tenant", "x", "Mixed", "customers", "subs", "public"};
    static const char *const not_there[] = {"secret", "hidden", "gone", "mixed", "sub", "Customers", ""};
    for (size_t i = 0; i < sizeof there / sizeof *there; i++) ck_assert_msg(pg_sql_names(sql, there[i]), "%s", there[i]);
    for (size_t i = 0; i < sizeof not_there / sizeof *not_there; i++) ck_assert_msg(!pg_sql_names(sql, not_there[i]), "%s", not_there[i]);
    ck_assert(!pg_sql_names("'open", "open"));
    ck_assert(!pg_sql_names("/* open", "open"));
    ck_assert(pg_sql_names("\"open", "open"));
}
END_TEST

/* What is called like a table behind AS is not one. */
START_TEST(tables_of_sql) {
    struct arena *arena = arena_new();
    struct pg_relation relations[] = {{.table = {.schema = "public", .name = "customers"}}, {.table = {.schema = "public", .name = "account"}},
                                      {.table = {.schema = "sales", .name = "orders"}}};
    const char *const path[] = {"public"};
    const struct pg_catalog catalog = {.arena = arena, .relations = relations, .n_relations = 3, .search_path = path, .n_search_path = 1};
    const struct pg_relation **named;
    ck_assert_uint_eq(pg_named_relations(&catalog, "SELECT id AS tenant, e AS account FROM customers, orders", &named), 1);
    ck_assert_ptr_eq(named[0], &relations[0]);
    ck_assert_uint_eq(pg_named_relations(&catalog, "SELECT 1 FROM account JOIN sales.orders USING (id)", &named), 2);
    ck_assert_ptr_eq(pg_catalog_find(&catalog, "orders"), NULL);
    ck_assert_ptr_eq(pg_catalog_find(&catalog, "sales.orders"), &relations[2]);
    ck_assert_str_eq(pg_catalog_nearest(&catalog, "order"), "sales.orders");
    arena_free(arena);
}
END_TEST

UNIT_MAIN("pg_names", near_names, words_of_sql, tables_of_sql)
