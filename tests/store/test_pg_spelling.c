/* Ids that the tenants query writes otherwise than the column does: what protects must hold all the same. */
#include "pg_fixture.h"

#include "base/time.h"

#define RULE(target) "{ data = \"Orders\"; keep = \"1 year\"; basis = \"b\"; targets = ( { " target " } ); }"
#define ORDERS RULE("table = \"orders\"; tenant = \"customer_id\"; since = \"at\";")
#define CUTOFF "2026-01-01"

/* A table whose tenants have this type: a record of `mine` and one of `other`. */
static struct acts open_orders(const char *type, const char *mine, const char *other, bool indexed) {
    struct buf sql = {0};
    buf_printf(&sql, "CREATE TABLE orders (id bigint PRIMARY KEY, customer_id %s, at timestamptz);", type);
    if (indexed) buf_add(&sql, "CREATE INDEX ON orders (customer_id, at);");
    buf_printf(&sql, "INSERT INTO orders VALUES (1, '%s', '2025-06-01'), (2, '%s', '2025-06-01')", mine, other);
    pg_schema(buf_text(&sql));
    buf_free(&sql);
    return acts_open(ORDERS);
}

/* With an exception for `id`, the plan's and the pass's records. */
static int64_t purged(struct acts *acts, const char *id, int64_t cutoff_us) {
    struct order order = order_by_age(acts_target(acts, 0), ACTION_PURGE, CUTOFF);
    const struct scope_tenant exceptions[] = {{.id = id, .cutoff_us = cutoff_us, .end_us = TIME_FOREVER}};
    order.due.tenants = exceptions;
    order.due.n_tenants = 1;
    return acts_sweep(acts, &order, 10).records;
}

static void protects(const char *type, const char *mine, const char *other, const char *id) {
    for (int indexed = 0; indexed < 2; indexed++) {
        struct acts acts = open_orders(type, mine, other, indexed);
        ck_assert_msg(purged(&acts, id, TIME_NEVER) == 1, "'%s' does not protect '%s' of type %s", id, mine, type);
        ck_assert_int_eq(pg_number("SELECT id FROM orders"), 1);
        acts_close(&acts);
    }
}

#define MINE "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
#define OTHER "b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"

START_TEST(a_stricter_period_holds_however_the_id_is_written) {
    protects("uuid", MINE, OTHER, MINE);
    protects("uuid", MINE, OTHER, "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11");
    protects("uuid", MINE, OTHER, "{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}");
    protects("uuid", MINE, OTHER, " a0eebc999c0b4ef8bb6d6bb9bd380a11 ");
    protects("bigint", "7", "8", "007");
    protects("integer", "-7", "8", " -07");
    protects("smallint", "7", "8", "+7");
    protects("bigint", "0", "8", "-00");
    protects("bigint", "7", "8", "7.00");
    protects("numeric", "7", "8", "007");
    protects("char(5)", "anna", "bert", "anna ");
}
END_TEST

/* Texts are what they are: "007" and "7" are two tenants. */
START_TEST(texts_are_told_apart) {
    struct acts acts = open_orders("text", "7", "007", true);
    ck_assert_int_eq(purged(&acts, "007", TIME_NEVER), 1);
    ck_assert_int_eq(pg_number("SELECT id FROM orders"), 2);
    acts_close(&acts);
}
END_TEST

START_TEST(ids_that_mean_no_value_protect_nothing) {
    static const char *const ids[] = {"", "7", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a111", "seven"};
    for (size_t i = 1; i < sizeof ids / sizeof *ids; i++) {
        struct acts acts = open_orders("uuid", MINE, OTHER, true);
        ck_assert_int_eq(purged(&acts, ids[i], TIME_NEVER), 2);
        acts_close(&acts);
    }
    static const char *const numbers[] = {"7a", "7.5", "99999999999999999999", "0x7", "- 7", "."};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct acts acts = open_orders("bigint", "7", "8", true);
        ck_assert_int_eq(purged(&acts, numbers[i], TIME_NEVER), 2);
        acts_close(&acts);
    }
}
END_TEST

/* Two ways to write one tenant, with two periods: the stricter one counts. */
START_TEST(of_two_spellings_the_stricter_counts) {
    struct acts acts = open_orders("bigint", "7", "8", true);
    struct order order = order_by_age(acts_target(&acts, 0), ACTION_PURGE, CUTOFF);
    const struct scope_tenant exceptions[] = {{.id = "007", .cutoff_us = TIME_NEVER, .end_us = TIME_FOREVER},
                                              {.id = "7", .cutoff_us = order.due.cutoff_us - 1, .end_us = TIME_FOREVER}};
    order.due.tenants = exceptions;
    order.due.n_tenants = 2;
    ck_assert_int_eq(acts_sweep(&acts, &order, 10).records, 1);
    ck_assert_int_eq(pg_number("SELECT id FROM orders"), 1);
    acts_close(&acts);
}
END_TEST

START_TEST(what_destroys_takes_ids_as_they_are_written) {
    pg_schema("CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint, at timestamptz); CREATE INDEX ON orders (customer_id, at);"
              "INSERT INTO orders VALUES (1, 7, '2026-03-01')");
    struct acts acts = acts_open(ORDERS);
    ck_assert_int_eq(purged(&acts, "007", time_now_us()), 0); /* a shorter period than the rule's */
    const char *const tenants[] = {"007", NULL};
    struct order ended = order_by_end(&acts, acts_target(&acts, 0), ACTION_PURGE, tenants);
    ck_assert_int_eq(acts_sweep(&acts, &ended, 10).records, 0);
    acts_close(&acts);
}
END_TEST

/* A tenant's own record waits for records under another spelling, and the answer is by the id that was asked for. */
START_TEST(records_under_another_spelling_are_records_left) {
    for (int indexed = 0; indexed < 2; indexed++) {
        struct acts acts = open_orders("bigint", "7", "8", indexed);
        const struct scope_tenant asked[] = {{.id = "007", .cutoff_us = TIME_FOREVER, .end_us = TIME_FOREVER},
                                             {.id = "7", .cutoff_us = TIME_FOREVER, .end_us = TIME_FOREVER},
                                             {.id = "9", .cutoff_us = TIME_FOREVER, .end_us = TIME_FOREVER}};
        struct order any = order_any(acts_target(&acts, 0), asked, 3);
        struct tally tally = acts_probe(&acts, &any);
        ck_assert_uint_eq(tally.n_tenants, 2);
        ck_assert_str_eq(tally.tenants[0].tenant, "007");
        ck_assert_str_eq(tally.tenants[1].tenant, "7");
        any = order_any(acts_target(&acts, 0), asked, 1);
        ck_assert_uint_eq(acts_probe(&acts, &any).n_tenants, 1);
        acts_close(&acts);
    }
}
END_TEST

UNIT_MAIN("PostgreSQL: spellings", a_stricter_period_holds_however_the_id_is_written, texts_are_told_apart, ids_that_mean_no_value_protect_nothing,
          of_two_spellings_the_stricter_counts, what_destroys_takes_ids_as_they_are_written, records_under_another_spelling_are_records_left)
