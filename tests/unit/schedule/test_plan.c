/* From schedule, tenants and history to orders: who is due, until when, in which sequence. */
#include "schedule/plan.h"
#include "schedule_text.h"

#include <sys/stat.h>

#define STORES                                                                                                                    \
    "stores = { main = { url = \"postgresql://lapsed@db/app\"; }; docs = { url = \"mongodb://lapsed@m/app\"; };\n"              \
    "           cache = { url = \"redis://lapsed@r:6379/0\"; }; };\n"                                                          \
    "tenants = { store = \"main\"; ends = [ \"subscription\", \"account\" ];\n"                                                  \
    "  query = \"SELECT id AS tenant, parent, subscription, account, months FROM customers\"; };\n"

static const char *const own_tables[] = {"public.customers"};

/* A plan and what it is made of. */
struct made {
    struct schedule *schedule;
    struct tenants *tenants;
    struct history *history;
    const struct holds *holds;
    struct arena *arena;
    struct plan *plan;
};

static struct made begin(const char *text) {
    struct made made = {.schedule = schedule_of(text), .arena = arena_new()};
    made.tenants = tenants_new(made.schedule);
    struct err err;
    ck_assert_int_eq(history_load("/nonexistent-folder", &made.history, &err), 0);
    return made;
}

static void tenant(struct made *made, const char *id, const char *subscription, const char *account, const char *months) {
    struct err err;
    const struct tenant_row row = {.id = id, .ends = {subscription ? at(subscription) : TIME_FOREVER, account ? at(account) : TIME_FOREVER},
                                   .periods = {months}};
    ck_assert_int_eq(tenants_add(made->tenants, &row, &err), 0);
}

static void make(struct made *made, const char *now) {
    tenants_finish(made->tenants);
    history_note(made->history, made->schedule, made->tenants, at(now));
    made->plan = plan_make(made->arena, made->schedule, made->tenants, made->history, own_tables, 1, made->holds, at(now));
}

static void end(struct made *made) {
    tenants_free(made->tenants);
    history_free(made->history);
    schedule_free(made->schedule);
    arena_free(made->arena);
}

static const struct order *order_on(const struct made *made, const char *target, enum action action, size_t nth) {
    for (size_t i = 0; i < made->plan->n_orders; i++) {
        const struct order *order = &made->plan->orders[i];
        if (!strcmp(order->target->name, target) && order->action == action && !nth--) return order;
    }
    ck_abort_msg("no order on %s", target);
}

START_TEST(who_has_ended_is_due_and_nobody_else) {
    struct made made = begin(STORES "schedule = ( { data = \"Content\"; keep = \"subscription + 30 days\"; basis = \"b\";"
                                    " targets = ( { table = \"content\"; tenant = \"t\"; } ); } );");
    tenant(&made, "live", NULL, NULL, NULL);
    tenant(&made, "future", "2026-12-31", NULL, NULL);
    tenant(&made, "ended29", "2026-10-25 12:00", NULL, NULL);
    tenant(&made, "ended30", "2026-10-24 12:00", NULL, NULL);
    tenant(&made, "ended30less1us", "2026-10-24 12:00:00.000001", NULL, NULL);
    tenant(&made, "ended31", "2026-10-23 12:00", NULL, NULL);
    tenant(&made, "account", NULL, "2020-01-01", NULL);
    make(&made, "2026-11-23 12:00");
    ck_assert_uint_eq(made.plan->n_orders, 1);
    const struct scope *due = &made.plan->orders[0].due;
    ck_assert_int_eq(due->kind, SCOPE_LISTED);
    ck_assert_uint_eq(due->n_tenants, 2);
    ck_assert_str_eq(due->tenants[0].id, "ended30");
    ck_assert_str_eq(due->tenants[1].id, "ended31");
    ck_assert_int_eq(due->tenants[0].end_us, at("2026-10-24 12:00"));
    end(&made);
}
END_TEST

START_TEST(an_end_that_cannot_be_decided_keeps_everything) {
    struct made made = begin(STORES "schedule = ( { data = \"Content\"; keep = \"until account\"; basis = \"b\";"
                                    " targets = ( { table = \"content\"; tenant = \"t\"; } ); } );");
    struct err err;
    const struct tenant_row bad = {.id = "bad", .ends = {TIME_FOREVER, at("2020-01-01")}, .bad_ends = {false, true}};
    const struct tenant_row one = {.id = "two-parents", .parent = "a", .ends = {TIME_FOREVER, at("2020-01-01")}};
    const struct tenant_row two = {.id = "two-parents", .parent = "b", .ends = {TIME_FOREVER, at("2020-01-01")}};
    ck_assert_int_eq(tenants_add(made.tenants, &bad, &err) | tenants_add(made.tenants, &one, &err) | tenants_add(made.tenants, &two, &err), 0);
    make(&made, "2026-11-23");
    ck_assert_uint_eq(made.plan->n_orders, 0);
    ck_assert_uint_eq(made.plan->n_findings, 2);
    ck_assert_str_eq(made.plan->findings[0].code, "tenant-undecidable");
    end(&made);
}
END_TEST

START_TEST(circles_of_parents_are_counted) {
    struct made made = begin(STORES "schedule = ( { data = \"Content\"; keep = \"until account\"; basis = \"b\";"
                                    " targets = ( { table = \"content\"; tenant = \"t\"; } ); } );");
    /* c and d in a circle, e its own parent; b and a lead into the circle, f to nobody known. */
    static const char *const lines[][2] = {{"a", "b"}, {"b", "c"}, {"c", "d"}, {"d", "c"}, {"e", "e"}, {"f", "gone"}, {"h", "f"}, {"i", NULL}};
    struct err err;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        const struct tenant_row row = {.id = lines[i][0], .parent = lines[i][1], .ends = {TIME_FOREVER, TIME_FOREVER}};
        ck_assert_int_eq(tenants_add(made.tenants, &row, &err), 0);
    }
    make(&made, "2026-11-23");
    ck_assert_uint_eq(made.plan->n_findings, 1);
    ck_assert_str_eq(made.plan->findings[0].code, "parents-circular");
    ck_assert_int_eq(made.plan->findings[0].count, 3);
    ck_assert_int_eq(made.plan->findings[0].grade, FINDING_PATIENT);
    end(&made);
}
END_TEST

/* A reseller's end is its own; a client without a subscription of its own is as the tenants query says. */
START_TEST(the_end_of_a_reseller_is_not_its_clients) {
    struct made made = begin(STORES "schedule = ( { data = \"Content\"; keep = \"subscription + 30 days\"; basis = \"b\";"
                                    " targets = ( { table = \"content\"; tenant = \"t\"; } ); } );");
    static const struct { const char *id, *parent, *end; } lines[] = {
        {"reseller", NULL, "2026-01-01"}, {"client-that-runs", "reseller", NULL}, {"client-that-ended", "reseller", "2026-02-01"},
        {"client-with-the-resellers-end", "reseller", "2026-01-01"}};
    struct err err;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        const struct tenant_row row = {.id = lines[i].id, .parent = lines[i].parent,
                                       .ends = {lines[i].end ? at(lines[i].end) : TIME_FOREVER, TIME_FOREVER}};
        ck_assert_int_eq(tenants_add(made.tenants, &row, &err), 0);
    }
    make(&made, "2026-11-23");
    const struct scope *due = &order_on(&made, "content", ACTION_PURGE, 0)->due;
    ck_assert_uint_eq(due->n_tenants, 3);
    for (size_t i = 0; i < due->n_tenants; i++) ck_assert_str_ne(due->tenants[i].id, "client-that-runs");
    end(&made);
}
END_TEST

START_TEST(own_periods_are_bounded_and_unreadable_ones_keep_everything) {
    struct made made = begin(STORES "schedule = ( { data = \"Logs\"; keep = \"12 months\"; basis = \"b\";"
                                    " per_tenant = { column = \"months\"; min = \"6 months\"; max = \"7 years\"; };"
                                    " targets = ( { table = \"logs\"; tenant = \"t\"; since = \"at\"; } ); } );");
    tenant(&made, "default", NULL, NULL, NULL);
    tenant(&made, "longer", NULL, NULL, "24 months");
    tenant(&made, "below", NULL, NULL, "1 month");
    tenant(&made, "above", NULL, NULL, "70 years");
    tenant(&made, "unreadable", NULL, NULL, "0");
    make(&made, "2026-11-23");
    const struct scope *due = &order_on(&made, "logs", ACTION_PURGE, 0)->due;
    ck_assert_int_eq(due->kind, SCOPE_REST);
    ck_assert_int_eq(scope_cutoff(due, "default"), at("2025-11-23 00:00:00.000001"));
    ck_assert_int_eq(scope_cutoff(due, "a tenant that is gone"), at("2025-11-23 00:00:00.000001"));
    ck_assert_int_eq(scope_cutoff(due, "longer"), at("2024-11-23 00:00:00.000001"));
    ck_assert_int_eq(scope_cutoff(due, "below"), at("2026-05-23 00:00:00.000001"));
    ck_assert_int_eq(scope_cutoff(due, "above"), at("2019-11-23 00:00:00.000001"));
    ck_assert_int_eq(scope_cutoff(due, "unreadable"), TIME_NEVER);
    ck_assert_uint_eq(made.plan->n_findings, 3);
    end(&made);
}
END_TEST

START_TEST(alternatives_and_stages_share_a_target_without_overlap) {
    struct made made = begin(STORES "schedule = ( { data = \"Views\"; anonymize = \"14 months\"; keep = \"26 months\"; basis = \"b\";"
                                    " targets = ( { table = \"views\"; tenant = \"none\"; since = \"at\"; marker = \"done_at\"; columns = ( \"null: ip\" ); } ); },"
                                    " { data = \"Tickets\"; keep = [ \"deletion + 30 days\", \"account + 30 days\" ]; basis = \"b\";"
                                    " targets = ( { table = \"tickets\"; tenant = \"t\"; ends = { deletion = \"deleted_at\"; }; } ); } );");
    tenant(&made, "gone", NULL, "2026-01-01", NULL);
    make(&made, "2026-11-23");
    const struct order *purge = order_on(&made, "views", ACTION_PURGE, 0);
    ck_assert_int_eq(purge->due.kind, SCOPE_WHOLE);
    ck_assert_uint_eq(purge->n_before, 0);
    const struct order *blocked = order_on(&made, "views", ACTION_ANONYMIZE, 0), *anonymize = order_on(&made, "views", ACTION_ANONYMIZE, 1);
    ck_assert(blocked->blocked_only && !blocked->n_before && blocked->due.cutoff_us == purge->due.cutoff_us);
    ck_assert(!anonymize->blocked_only && anonymize->n_before == 1);
    ck_assert_int_eq(anonymize->before[0].cutoff_us, purge->due.cutoff_us);
    const struct order *deletion = order_on(&made, "tickets", ACTION_PURGE, 0), *account = order_on(&made, "tickets", ACTION_PURGE, 1);
    ck_assert_str_eq(deletion->due.anchor, "deleted_at");
    ck_assert(!deletion->n_before && !account->due.anchor && account->n_before == 1);
    ck_assert_str_eq(account->before[0].anchor, "deleted_at");
    end(&made);
}
END_TEST

START_TEST(stages_of_anonymization_do_not_take_each_others_records) {
    struct made made = begin(STORES "schedule = ( { data = \"Addresses\"; anonymize = \"1 month\"; keep = \"26 months\"; basis = \"b\";"
                                    " targets = ( { table = \"views\"; tenant = \"none\"; since = \"at\"; columns = ( \"null: ip\", \"as-is: name\" ); } ); },"
                                    " { data = \"Names\"; anonymize = \"14 months\"; keep = \"26 months\"; basis = \"b\";"
                                    " targets = ( { table = \"views\"; tenant = \"none\"; since = \"at\"; columns = ( \"null: ip, name\" ); } ); } );");
    make(&made, "2026-11-23");
    for (size_t i = 0; i < made.plan->n_orders; i++) {
        const struct order *order = &made.plan->orders[i];
        for (size_t j = 0; order->action == ACTION_ANONYMIZE && j < order->n_before; j++)
            ck_assert_int_eq(order->before[j].cutoff_us, at("2024-09-23 00:00:00.000001")); /* of a purge */
    }
    end(&made);
}
END_TEST

START_TEST(at_least_is_a_floor_under_every_order_on_its_table) {
    struct made made = begin(STORES "schedule = ( { data = \"Billing\"; keep = \"7 years\"; at_least = \"7 years\"; basis = \"b\";"
                                    " targets = ( { table = \"invoices\"; tenant = \"t\"; since = \"issued\"; zone = \"UTC\"; } ); },"
                                    " { data = \"All\"; keep = \"account + 30 days\"; basis = \"b\";"
                                    " targets = ( { table = \"public.invoices\"; tenant = \"t\"; } ); } );");
    tenant(&made, "gone", NULL, "2026-01-01", NULL);
    make(&made, "2026-11-23");
    const struct order *all = order_on(&made, "public.invoices", ACTION_PURGE, 0);
    ck_assert_uint_eq(all->n_floors, 1);
    ck_assert_str_eq(all->floors[0].anchor, "issued");
    ck_assert_str_eq(all->floors[0].of->name, "invoices");
    ck_assert_int_eq(all->floors[0].cutoff_us, at("2019-11-23 00:00:00.000001"));
    end(&made);
}
END_TEST

START_TEST(stores_in_sequence_and_own_records_last) {
    struct made made = begin(STORES "schedule = ( { data = \"Account\"; keep = \"account + 90 days\"; basis = \"b\"; targets = ( { table = \"customers\"; tenant = \"id\"; } ); },"
                                    " { data = \"Data\"; keep = \"account + 30 days\"; basis = \"b\"; targets = ("
                                    "   { keys = \"c:{tenant}:*\"; }, { table = \"sessions\"; tenant = \"t\"; },"
                                    "   { table = \"events\"; via = \"session_id = sessions.id\"; tenant = \"t\"; }, { collection = \"content\"; tenant = \"t\"; } ); } );");
    tenant(&made, "gone", NULL, "2026-01-01", NULL);
    make(&made, "2026-11-23");
    static const char *const expected[] = {"content", "events", "sessions", "c:{tenant}:*", "customers"};
    ck_assert_uint_eq(made.plan->n_orders, 5);
    for (size_t i = 0; i < 5; i++) {
        ck_assert_str_eq(made.plan->orders[i].target->name, expected[i]);
        ck_assert_int_eq(made.plan->orders[i].own, i == 4);
    }
    const struct target *bound[8];
    ck_assert_uint_eq(plan_bound_targets(made.schedule, own_tables, 1, bound), 4);
    end(&made);
}
END_TEST

UNIT_MAIN("plan", who_has_ended_is_due_and_nobody_else, an_end_that_cannot_be_decided_keeps_everything, circles_of_parents_are_counted, the_end_of_a_reseller_is_not_its_clients,
          own_periods_are_bounded_and_unreadable_ones_keep_everything, alternatives_and_stages_share_a_target_without_overlap,
          stages_of_anonymization_do_not_take_each_others_records,
          at_least_is_a_floor_under_every_order_on_its_table, stores_in_sequence_and_own_records_last)
