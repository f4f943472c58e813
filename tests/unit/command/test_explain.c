#include "base/text.h"
#include "base/time.h"
#include "command/explain_report.h"
#include "unit.h"

/* Invoices kept seven years from issued_on, and customers until 90 days after their subscription, at 2026-11-23 09:00. */
static struct store_conf store = {.name = "main", .kind = STORE_POSTGRESQL};
static struct rule rules[2];
static struct target targets[2];
static const struct target *by_number[2];
static struct keep by_age = {.kind = KEEP_AGE, .period = {7, PERIOD_YEARS}};
static struct keep by_end = {.kind = KEEP_END, .period = {90, PERIOD_DAYS}, .end = "subscription", .tenant_end = 0};
static struct schedule schedule;
static struct arena *arena;
static struct tenants *tenants;
static struct history *history;
static struct explain_place places[2];

static int64_t at(const char *text) {
    int64_t us;
    ck_assert(time_parse(text, &us));
    return us;
}

static void add_tenant(const char *id, int64_t end_us, const char *period) {
    struct err err;
    struct tenant_row row = {.id = id, .ends = {end_us}, .periods = {period}};
    ck_assert_int_eq(tenants_add(tenants, &row, &err), 0);
}

static void set_up(void) {
    struct err err;
    targets[0] = (struct target){.rule = &rules[0], .number = 0, .store = &store, .name = "invoices", .tenant = "customer_id", .since = "issued_on"};
    targets[1] = (struct target){.rule = &rules[1], .number = 1, .store = &store, .name = "customers", .tenant = "id"};
    by_number[0] = &targets[0];
    by_number[1] = &targets[1];
    rules[0] = (struct rule){.number = 0, .data = "Billing Records", .keep = &by_age, .n_keep = 1, .targets = &targets[0], .n_targets = 1};
    rules[1] = (struct rule){.number = 1, .data = "Account Information", .keep = &by_end, .n_keep = 1, .targets = &targets[1], .n_targets = 1};
    schedule = (struct schedule){.stores = &store, .n_stores = 1, .has_tenants = true, .rules = rules, .n_rules = 2, .targets = by_number, .n_targets = 2,
                                 .tenants = {.ends = {"subscription"}, .n_ends = 1, .period_columns = {"own"}, .n_period_columns = 1},
                                 .settings = {.notice_us = 30 * TIME_DAY_US}};
    arena = arena_new();
    tenants = tenants_new(&schedule);
    ck_assert_int_eq(history_load("/nonexistent", &history, &err), 0);
    add_tenant("1042", at("2026-08-01T00:00:00Z"), NULL);
    add_tenant("7", TIME_FOREVER, "10 years");
    tenants_finish(tenants);
}

static void tear_down(void) {
    history_free(history);
    tenants_free(tenants);
    arena_free(arena);
}

static const char *explained(const char *key, size_t n_places) {
    const struct explain_report *report =
        explain_report_make(arena, &schedule, tenants, history, key, places, n_places, at("2026-11-23T09:00:00Z"));
    return explain_report_text(arena, report);
}

static const char *invoice(const char *tenant, const char *issued_on) {
    places[0] = (struct explain_place){.target = &targets[0], .facts = {.exists = true, .tenant = tenant, .only_holds = true}};
    places[0].facts.anchor_ok[0] = issued_on;
    if (issued_on) places[0].facts.anchor_us[0] = at(issued_on);
    return explained("4711", 1);
}

static const char *customer(const char *tenant, const char *blocked_by, bool anonymized) {
    places[0] = (struct explain_place){.target = &targets[1], .own = true,
                                       .facts = {.exists = true, .tenant = tenant, .only_holds = true, .blocked_by = blocked_by,
                                                 .anonymized = anonymized}};
    return explained(tenant, 1);
}

START_TEST(a_record_that_is_due) {
    set_up();
    ck_assert_str_eq(invoice("1042", "2019-11-20"),
                     "invoices 4711 (store main) belongs to tenant 1042. \"Billing Records\" (7 years) destroys it: its issued_on is "
                     "2019-11-20 00:00:00 UTC, so it has been due since 2026-11-20 00:00:00 UTC. The next sweep destroys it.");
    tear_down();
}
END_TEST

START_TEST(a_record_that_will_be_due) {
    set_up();
    ck_assert_str_eq(invoice("1042", "2020-02-29"),
                     "invoices 4711 (store main) belongs to tenant 1042. \"Billing Records\" (7 years) destroys it on "
                     "2027-02-28 00:00:00 UTC: its issued_on is 2020-02-29 00:00:00 UTC. Nothing is done to it now.");
    tear_down();
}
END_TEST

START_TEST(the_cutoff_is_exclusive) {
    set_up();
    ck_assert_ptr_nonnull(strstr(invoice("1042", "2019-11-23T09:00:00Z"), "The next sweep destroys it."));
    ck_assert_ptr_nonnull(strstr(invoice("1042", "2019-11-23T09:00:00.000001Z"), "Nothing is done to it now."));
    tear_down();
}
END_TEST

START_TEST(without_an_anchor_or_a_tenant_nobody_can_decide) {
    set_up();
    ck_assert_ptr_nonnull(strstr(invoice("1042", NULL), "cannot decide: its issued_on is empty or cannot be read, so it is kept and reported. Nothing"));
    ck_assert_ptr_nonnull(strstr(invoice("1042", "2027-01-01"), "cannot decide: its issued_on lies in the future, so it is kept"));
    ck_assert_ptr_nonnull(strstr(invoice(NULL, "2010-01-01"), "is there, but belongs to no tenant. \"Billing Records\" (7 years) cannot decide: it belongs to no tenant"));
    ck_assert_ptr_nonnull(strstr(customer("9", NULL, false), "tenant 9 is not in the list of tenants, which is no end, so it is kept"));
    tear_down();
}
END_TEST

START_TEST(an_end_that_has_not_come) {
    set_up();
    ck_assert_ptr_nonnull(strstr(customer("7", NULL, false), "\"Account Information\" (subscription + 90 days) does not apply yet: the "
                                                             "subscription of tenant 7 is still running. Nothing is done to it now."));
    tear_down();
}
END_TEST

START_TEST(blocked_own_and_anonymized_records) {
    set_up();
    ck_assert_ptr_nonnull(strstr(customer("1042", NULL, false), "the subscription of tenant 1042 ended on 2026-08-01 00:00:00 UTC, so it has been "
                                                                "due since 2026-10-30 00:00:00 UTC. It is one of its tenant's own records, which go last"));
    rules[1].anonymize_blocked = true;
    ck_assert_ptr_nonnull(strstr(customer("1042", "invoices", false), "It is blocked: records of invoices still refer to it, so it is kept until those are "
                                                                      "gone; meanwhile a sweep anonymizes it."));
    ck_assert_ptr_nonnull(strstr(customer("1042", "invoices", true), "so it is kept until those are gone; it is anonymized already."));
    rules[1].anonymize_blocked = false;
    ck_assert_ptr_nonnull(strstr(customer("1042", "invoices", false), "so it is kept until those are gone."));
    tear_down();
}
END_TEST

START_TEST(a_period_of_its_own) {
    static const struct per_tenant own = {.column = "own", .index = 0};
    set_up();
    rules[0].per_tenant = &own;
    ck_assert_ptr_nonnull(strstr(invoice("7", "2019-11-20"), "destroys it on 2029-11-20 00:00:00 UTC (at present 10 years count)"));
    ck_assert_ptr_nonnull(strstr(invoice("1042", "2019-11-20"), "due since 2026-11-20"));
    tear_down();
}
END_TEST

/* A second rule on the invoices would have them after a year; the first one keeps them for at least seven. */
START_TEST(of_several_rules_the_earliest_comes_first_and_at_least_holds) {
    static const struct keep one_year = {.kind = KEEP_AGE, .period = {1, PERIOD_YEARS}};
    set_up();
    rules[0].at_least = (struct period){7, PERIOD_YEARS};
    rules[1].keep = &one_year;
    targets[1] = targets[0];
    targets[1].rule = &rules[1];
    targets[1].number = 1;
    struct record_facts facts = {.exists = true, .tenant = "1042", .only_holds = true, .anchor_ok = {true}, .anchor_us = {at("2024-01-01")}};
    places[0] = (struct explain_place){.target = &targets[0], .facts = facts};
    places[1] = (struct explain_place){.target = &targets[1], .facts = facts};
    const char *text = explained("4711", 2);
    ck_assert_ptr_nonnull(strstr(text, "Nothing may destroy it before 2031-01-01 00:00:00 UTC, because \"Billing Records\" keeps it for at least 7 years. "
                                       "Nothing is done to it now."));
    rules[0].at_least = (struct period){0};
    text = explained("4711", 2);
    ck_assert(strstr(text, "Account Information") < strstr(text, "Billing Records"));
    ck_assert_ptr_nonnull(strstr(text, "The next sweep destroys it."));
    tear_down();
}
END_TEST

START_TEST(a_rule_that_means_others) {
    set_up();
    places[0] = (struct explain_place){.target = &targets[0], .facts = {.exists = true, .tenant = "7", .anchor_ok = {true}, .anchor_us = {0}}};
    ck_assert_ptr_nonnull(strstr(explained("1", 1), "\"Billing Records\" does not mean it: the condition under \"only\" is not true of it. Nothing"));
    tear_down();
}
END_TEST

UNIT_MAIN("explain", a_record_that_is_due, a_record_that_will_be_due, the_cutoff_is_exclusive, without_an_anchor_or_a_tenant_nobody_can_decide,
          an_end_that_has_not_come, blocked_own_and_anonymized_records, a_period_of_its_own,
          of_several_rules_the_earliest_comes_first_and_at_least_holds, a_rule_that_means_others)
