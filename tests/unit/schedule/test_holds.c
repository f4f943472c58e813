/* Holds take away from the plan what they reach, in every path, and nothing else. */
#include "base/spelling.h"
#include "schedule/plan.h"
#include "schedule_text.h"

#define STORES                                                                                                                    \
    "stores = { main = { url = \"postgresql://lapsed@db/app\"; }; cache = { url = \"redis://lapsed@r:6379/0\"; }; };\n"         \
    "tenants = { store = \"main\"; ends = [ \"account\" ]; query = \"SELECT id AS tenant, parent, account FROM customers\"; };\n"
#define RULES                                                                                                                     \
    "schedule = ( { data = \"Logs\"; keep = \"12 months\"; basis = \"b\"; targets = ( { table = \"logs\"; tenant = \"t\"; since = \"at\"; } ); },\n" \
    " { data = \"Content\"; keep = \"account + 30 days\"; basis = \"b\"; targets = ( { table = \"content\"; tenant = \"t\"; dependents = [ \"parts.content_id\" ]; }, { keys = \"c:{tenant}:*\"; } ); },\n" \
    " { data = \"Parts\"; keep = \"2 years\"; basis = \"b\"; targets = ( { table = \"parts\"; tenant = \"t\"; since = \"at\"; } ); },\n" \
    " { data = \"Views\"; keep = \"26 months\"; anonymize = \"14 months\"; basis = \"b\"; targets = ( { table = \"views\"; tenant = \"none\"; since = \"at\"; columns = ( \"null: ip\" ); } ); },\n" \
    " { data = \"Sessions\"; keep = \"26 months\"; anonymize = \"14 months\"; basis = \"b\"; targets = ( { table = \"sessions\"; tenant = \"t\"; since = \"at\"; columns = ( \"null: ip\" ); } ); },\n" \
    " { data = \"Account\"; keep = \"account + 90 days\"; basis = \"b\"; targets = ( { table = \"customers\"; tenant = \"id\"; } ); } );"

static const char *const own_tables[] = {"public.customers"};

static struct schedule *schedule;
static struct tenants *tenants;
static struct history *history;
static struct arena *arena;

/* A tree: reseller > client > grandchild, and a stranger; all have ended long ago. "x" and "y" are each other's parent. */
static void setup(void) {
    static const struct { const char *id, *parent; } all[] = {{"reseller", NULL}, {"client", "reseller"}, {"grandchild", "client"},
                                                         {"stranger", NULL}, {"x", "y"}, {"y", "x"}, {"self", "self"}};
    struct err err;
    schedule = schedule_of(STORES RULES);
    arena = arena_new();
    tenants = tenants_new(schedule);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const struct tenant_row row = {.id = all[i].id, .parent = all[i].parent, .ends = {at("2020-01-01")}};
        ck_assert_int_eq(tenants_add(tenants, &row, &err), 0);
    }
    tenants_finish(tenants);
    ck_assert_int_eq(history_load("/nonexistent-folder", &history, &err), 0);
    history_note(history, schedule, tenants, at("2026-11-23"));
}

static void teardown(void) {
    history_free(history);
    tenants_free(tenants);
    schedule_free(schedule);
    arena_free(arena);
}

static struct plan *plan_under(const struct hold *items, size_t count) {
    const struct holds holds = {.items = items, .count = count};
    return plan_make(arena, schedule, tenants, history, own_tables, 1, &holds, at("2026-11-23"));
}

/* Whether an order may reach this tenant's records ("": those of nobody) in this place. */
static bool reached(const struct order *orders, size_t n_orders, const char *target, const char *tenant) {
    for (size_t i = 0; i < n_orders; i++) {
        if (strcmp(orders[i].target->name, target) != 0) continue;
        if (orders[i].due.kind == SCOPE_WHOLE || scope_cutoff(&orders[i].due, tenant) != TIME_NEVER) return true;
    }
    return false;
}

static bool goes(const struct plan *plan, const char *target, const char *tenant) { return reached(plan->orders, plan->n_orders, target, tenant); }
static bool counts(const struct plan *plan, const char *target, const char *tenant) { return reached(plan->held, plan->n_held, target, tenant); }

static const char *const by_tenant[] = {"logs", "content", "c:{tenant}:*", "parts", "sessions", "customers"};
enum { N_BY_TENANT = sizeof by_tenant / sizeof *by_tenant };

static void assert_kept(const struct plan *plan, const char *tenant) {
    for (size_t i = 0; i < N_BY_TENANT; i++) {
        ck_assert_msg(!goes(plan, by_tenant[i], tenant), "%s of %s goes", by_tenant[i], tenant);
        ck_assert_msg(counts(plan, by_tenant[i], tenant), "%s of %s is not counted as held", by_tenant[i], tenant);
    }
}

static void assert_goes(const struct plan *plan, const char *tenant) {
    for (size_t i = 0; i < N_BY_TENANT; i++) {
        ck_assert_msg(goes(plan, by_tenant[i], tenant), "%s of %s is kept", by_tenant[i], tenant);
        ck_assert_msg(!counts(plan, by_tenant[i], tenant), "%s of %s is counted as held", by_tenant[i], tenant);
    }
}

START_TEST(without_holds_all_goes) {
    setup();
    const struct plan *plan = plan_under(NULL, 0);
    assert_goes(plan, "client");
    ck_assert_uint_eq(plan->n_held, 0);
    teardown();
}
END_TEST

START_TEST(a_tenant_is_kept_in_every_path) {
    setup();
    const struct hold hold = {.id = "h", .scope = HOLD_TENANT, .tenant = "stranger", .released_us = TIME_FOREVER};
    const struct plan *plan = plan_under(&hold, 1);
    assert_kept(plan, "stranger");
    assert_goes(plan, "client");
    assert_goes(plan, "reseller");
    ck_assert(goes(plan, "logs", "a tenant that is gone"));
    ck_assert(goes(plan, "views", ""));
    teardown();
}
END_TEST

START_TEST(a_tenant_that_is_gone_can_be_held_and_is_told_of) {
    setup();
    const struct hold hold = {.id = "h", .scope = HOLD_TENANT, .tenant = "gone", .released_us = TIME_FOREVER};
    const struct plan *plan = plan_under(&hold, 1);
    ck_assert(!goes(plan, "logs", "gone") && goes(plan, "logs", "gone too"));
    ck_assert_uint_eq(plan->n_findings, 2);
    ck_assert_str_eq(plan->findings[0].code, "hold-tenant-unknown");
    ck_assert_str_eq(plan->findings[1].code, "parents-circular"); /* x and y */
    teardown();
}
END_TEST

/* "7", as the tenants query writes it, is held however the hold writes it; so is one that is gone, where no type tells. */
START_TEST(a_hold_binds_however_the_tenant_is_written) {
    static const char *const spellings[][2] = {{"7", "007"}, {"007", "7"}, {"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "A0EEBC999C0B4EF8BB6D6BB9BD380A11"},
                                               {"5f43a9c1e0b1d2a3c4e5f607", "5F43A9C1E0B1D2A3C4E5F607"}, {"anna", "anna "},
                                               {"00000000000000000000000000000007", "00000000-0000-0000-0000-000000000007"}, {"0", "-0.0"}};
    char room[SPELLING_ROOM];
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++) {
        setup();
        tenants_free(tenants);
        tenants = tenants_new(schedule);
        struct err err;
        const struct tenant_row row = {.id = spellings[i][0], .ends = {at("2020-01-01")}}, below = {.id = "below", .parent = spellings[i][0], .ends = {at("2020-01-01")}};
        ck_assert(!tenants_add(tenants, &row, &err) && !tenants_add(tenants, &below, &err));
        tenants_finish(tenants);
        const struct hold hold = {.id = "h", .scope = HOLD_SUBTREE, .tenant = spellings[i][1], .released_us = TIME_FOREVER};
        const struct plan *plan = plan_under(&hold, 1);
        ck_assert_uint_eq(plan->n_findings, 0);
        assert_kept(plan, spellings[i][0]);
        assert_kept(plan, "below");
        const struct holds holds = {.items = &hold, .count = 1};
        ck_assert_ptr_eq(holds_on_tenant(&holds, tenants, spellings[i][0], false), &hold);
        ck_assert_ptr_null(holds_on_tenant(&holds, tenants, "8", false));
        const struct hold asked = {.id = "h", .scope = HOLD_TENANT, .tenant = spellings[i][1], .normal = spelling_normal(spellings[i][1], room), .released_us = TIME_FOREVER};
        ck_assert_ptr_nonnull(holds_on_tenant(&(struct holds){.items = &asked, .count = 1}, tenants, spellings[i][0], false));
        const struct hold gone = {.id = "h", .scope = HOLD_TENANT, .tenant = "009", .released_us = TIME_FOREVER};
        plan = plan_under(&gone, 1);
        ck_assert(!goes(plan, "logs", "009") && !goes(plan, "logs", "9") && goes(plan, "logs", "90"));
        teardown();
    }
}
END_TEST

/* A key that may be the held one's must be told from its namesake's, also under an approval for that one alone. */
START_TEST(an_order_over_keys_names_who_is_held) {
    setup();
    const struct hold hold = {.id = "h", .scope = HOLD_TENANT, .tenant = "stranger:7", .released_us = TIME_FOREVER};
    const struct plan *plan = plan_under(&hold, 1);
    bool found = false;
    for (size_t i = 0; i < plan->n_orders; i++) {
        const struct order *order = &plan->orders[i], *narrowed = plan_narrow(arena, order, "stranger");
        if (order->target->kind != TARGET_KEYS) continue;
        const struct scope_tenant key = {.id = "stranger:7"};
        const struct order *both[] = {order, narrowed};
        for (size_t o = 0; o < 2; o++) {
            ck_assert_ptr_nonnull(bsearch(&key, both[o]->due.tenants, both[o]->due.n_tenants, sizeof key, scope_tenant_by_id));
            ck_assert_int_eq(scope_cutoff(&both[o]->due, "stranger:7"), TIME_NEVER);
            ck_assert_int_ne(scope_cutoff(&both[o]->due, "stranger"), TIME_NEVER);
        }
        ck_assert_int_eq(scope_cutoff(&narrowed->due, "client"), TIME_NEVER);
        ck_assert_ptr_null(plan_narrow(arena, order, "stranger:7"));
        found = true;
    }
    ck_assert(found);
    teardown();
}
END_TEST

START_TEST(a_held_tenant_keeps_the_own_records_above_it) {
    setup();
    const struct hold hold = {.id = "h", .scope = HOLD_TENANT, .tenant = "grandchild", .released_us = TIME_FOREVER};
    const struct plan *plan = plan_under(&hold, 1);
    ck_assert(!goes(plan, "customers", "client") && !goes(plan, "customers", "reseller"));
    ck_assert(goes(plan, "content", "client") && goes(plan, "customers", "stranger"));
    teardown();
}
END_TEST

START_TEST(a_subtree_is_kept_and_circles_end) {
    setup();
    const struct hold hold = {.id = "h", .scope = HOLD_SUBTREE, .tenant = "reseller", .released_us = TIME_FOREVER};
    const struct plan *plan = plan_under(&hold, 1);
    assert_kept(plan, "reseller");
    assert_kept(plan, "client");
    assert_kept(plan, "grandchild");
    assert_goes(plan, "stranger");
    assert_goes(plan, "x");
    assert_goes(plan, "self");
    teardown();
}
END_TEST

START_TEST(a_circle_below_the_held_one_is_kept) {
    setup();
    const struct hold hold = {.id = "h", .scope = HOLD_SUBTREE, .tenant = "x", .released_us = TIME_FOREVER};
    const struct plan *plan = plan_under(&hold, 1);
    assert_kept(plan, "x");
    assert_kept(plan, "y");
    assert_goes(plan, "client");
    teardown();
}
END_TEST

START_TEST(who_was_a_member_once_stays_one) {
    setup();
    static const char *const members[] = {"stranger"};
    const struct hold hold = {.id = "h", .scope = HOLD_SUBTREE, .tenant = "reseller", .members = members, .n_members = 1, .released_us = TIME_FOREVER};
    assert_kept(plan_under(&hold, 1), "stranger");
    const char **added;
    ck_assert_uint_eq(holds_new_members(&hold, tenants, arena, &added), 2);
    ck_assert_str_eq(added[0], "client");
    ck_assert_str_eq(added[1], "grandchild");
    teardown();
}
END_TEST

START_TEST(a_rule_is_kept_whichever_rule_would_reach_its_data) {
    setup();
    const struct hold hold = {.id = "h", .scope = HOLD_RULE, .rule = "Parts", .released_us = TIME_FOREVER};
    const struct plan *plan = plan_under(&hold, 1);
    ck_assert(!goes(plan, "parts", "client") && counts(plan, "parts", "client"));
    /* They would go with the content that they are part of. */
    ck_assert(!goes(plan, "content", "client"));
    ck_assert(goes(plan, "c:{tenant}:*", "client") && goes(plan, "logs", "client") && goes(plan, "views", ""));
    teardown();
}
END_TEST

START_TEST(only_a_rule_or_all_reach_what_has_no_tenants) {
    setup();
    const struct hold views = {.id = "h", .scope = HOLD_RULE, .rule = "Views", .released_us = TIME_FOREVER};
    const struct plan *plan = plan_under(&views, 1);
    ck_assert(!goes(plan, "views", "") && counts(plan, "views", ""));
    assert_goes(plan, "client");
    teardown();
}
END_TEST

START_TEST(all_is_all_and_so_is_a_rule_that_nobody_knows) {
    setup();
    const struct hold all = {.id = "h", .scope = HOLD_ALL, .released_us = TIME_FOREVER};
    const struct plan *plan = plan_under(&all, 1);
    ck_assert_uint_eq(plan->n_orders, 0);
    ck_assert_uint_eq(plan->n_held, plan_under(NULL, 0)->n_orders);
    const struct hold renamed = {.id = "h", .scope = HOLD_RULE, .rule = "Renamed", .released_us = TIME_FOREVER};
    plan = plan_under(&renamed, 1);
    ck_assert_uint_eq(plan->n_orders, 0);
    ck_assert_str_eq(plan->findings[0].code, "hold-rule-unknown");
    teardown();
}
END_TEST

UNIT_MAIN("holds", an_order_over_keys_names_who_is_held, a_hold_binds_however_the_tenant_is_written, without_holds_all_goes, a_tenant_is_kept_in_every_path, a_tenant_that_is_gone_can_be_held_and_is_told_of,
          a_held_tenant_keeps_the_own_records_above_it, a_subtree_is_kept_and_circles_end, a_circle_below_the_held_one_is_kept,
          who_was_a_member_once_stays_one, a_rule_is_kept_whichever_rule_would_reach_its_data,
          only_a_rule_or_all_reach_what_has_no_tenants, all_is_all_and_so_is_a_rule_that_nobody_knows)
