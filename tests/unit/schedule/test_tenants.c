/* Several lines of one tenant: the latest end counts, one still running counts more; contradictions are undecidable. */
#include "schedule/tenants.h"
#include "schedule_text.h"

static const char text[] =
    "stores = { main = { url = \"postgresql://lapsed@db/app\"; }; };\n"
    "tenants = { store = \"main\"; ends = [ \"subscription\" ]; query = \"SELECT id AS tenant, parent, subscription, months FROM c\"; };\n"
    "schedule = ( { data = \"Logs\"; keep = \"12 months\"; basis = \"b\"; per_tenant = { column = \"months\"; min = \"1 month\"; max = \"7 years\"; };\n"
    "  targets = ( { table = \"logs\"; tenant = \"t\"; since = \"at\"; } ); } );\n";

static void add(struct tenants *tenants, const char *id, const char *parent, int64_t end_us, const char *period) {
    struct err err;
    const struct tenant_row row = {.id = id, .parent = parent, .ends = {end_us}, .periods = {period}};
    ck_assert_int_eq(tenants_add(tenants, &row, &err), 0);
}

START_TEST(the_latest_end_counts_and_a_running_one_counts_more) {
    struct schedule *schedule = schedule_of(text);
    struct tenants *tenants = tenants_new(schedule);
    add(tenants, "b", NULL, 10, NULL);
    add(tenants, "a", NULL, 10, NULL);
    add(tenants, "a", NULL, 30, NULL);
    add(tenants, "a", NULL, 20, NULL);
    add(tenants, "b", NULL, TIME_FOREVER, NULL);
    add(tenants, "b", NULL, 50, NULL);
    tenants_finish(tenants);
    ck_assert_uint_eq(tenants_count(tenants), 2);
    ck_assert_str_eq(tenants_at(tenants, 0)->id, "a");
    ck_assert_int_eq(tenants_find(tenants, "a")->ends[0], 30);
    ck_assert_int_eq(tenants_find(tenants, "b")->ends[0], TIME_FOREVER);
    ck_assert_ptr_null(tenants_find(tenants, "c"));
    tenants_free(tenants);
    schedule_free(schedule);
}
END_TEST

START_TEST(parents_and_periods_that_differ_are_undecidable) {
    struct schedule *schedule = schedule_of(text);
    struct tenants *tenants = tenants_new(schedule);
    add(tenants, "a", "r1", 10, "2 years");
    add(tenants, "a", "r1", 10, "2 years");
    add(tenants, "b", "r1", 10, "2 years");
    add(tenants, "b", "r2", 10, "2 years");
    add(tenants, "c", "r1", 10, "2 years");
    add(tenants, "c", "r1", 10, NULL);
    tenants_finish(tenants);
    ck_assert(!tenants_find(tenants, "a")->undecidable_parent && !tenants_find(tenants, "a")->undecidable_periods);
    ck_assert(tenants_find(tenants, "b")->undecidable_parent);
    ck_assert_uint_eq(tenants_find(tenants, "c")->undecidable_periods, 1);
    tenants_free(tenants);
    schedule_free(schedule);
}
END_TEST

START_TEST(a_line_without_a_tenant_is_refused) {
    struct schedule *schedule = schedule_of(text);
    struct tenants *tenants = tenants_new(schedule);
    struct err err;
    const struct tenant_row empty = {.id = ""}, null = {.id = NULL};
    ck_assert_int_eq(tenants_add(tenants, &empty, &err), -1);
    ck_assert_int_eq(tenants_add(tenants, &null, &err), -1);
    ck_assert_int_eq(err.code, ERR_REFUSED);
    tenants_finish(tenants);
    tenants_free(tenants);
    schedule_free(schedule);
}
END_TEST

START_TEST(many_tenants_are_found_again_and_take_little_memory) {
    struct schedule *schedule = schedule_of(text);
    struct tenants *tenants = tenants_new(schedule);
    char id[32];
    for (int i = 0; i < 100000; i++) {
        (void)snprintf(id, sizeof id, "%d", i * 7919 % 100000);
        add(tenants, id, NULL, i, "2 years");
    }
    tenants_finish(tenants);
    ck_assert_uint_eq(tenants_count(tenants), 100000);
    for (int i = 0; i < 100000; i++) {
        (void)snprintf(id, sizeof id, "%d", i * 7919 % 100000);
        const struct tenant *tenant = tenants_find(tenants, id);
        if (!tenant || tenant->ends[0] != i || strcmp(tenant->periods[0], "2 years") != 0) ck_abort_msg("%s", id);
    }
    tenants_free(tenants);
    schedule_free(schedule);
}
END_TEST

UNIT_MAIN("tenants", the_latest_end_counts_and_a_running_one_counts_more, parents_and_periods_that_differ_are_undecidable,
          a_line_without_a_tenant_is_refused, many_tenants_are_found_again_and_take_little_memory)
