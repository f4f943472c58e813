#include "base/text.h"
#include "base/time.h"
#include "command/plan_report.h"
#include "unit.h"

/* Two rules of CaaSaaS, by hand: brands of customers, and the account rows that invoices still refer to. */
static struct store_conf store = {.name = "main", .kind = STORE_POSTGRESQL};
static struct rule rules[3];
static struct target targets[3];
static const struct target *by_number[3];
static const struct keep keep_30 = {.kind = KEEP_END, .period = {30, PERIOD_DAYS}, .end = "subscription"};
static const struct keep keep_90 = {.kind = KEEP_END, .period = {90, PERIOD_DAYS}, .end = "subscription"};
static const struct keep after_14 = {.kind = KEEP_AGE, .period = {14, PERIOD_MONTHS}};
static const struct keep after_26 = {.kind = KEEP_AGE, .period = {26, PERIOD_MONTHS}};
static struct schedule schedule;
static struct plan plan;
static struct order orders[4];
static struct inspect_order counted[4];
static bool bad[3];
static struct err store_errors[1];
static struct inspection inspection;

static int64_t at(const char *text) {
    int64_t us;
    ck_assert(time_parse(text, &us));
    return us;
}

static void make_rule(size_t i, const char *data, const struct keep *keep, const char *table) {
    targets[i] = (struct target){.rule = &rules[i], .number = i, .store = &store, .name = table, .tenant = "customer_id"};
    by_number[i] = &targets[i];
    rules[i] = (struct rule){.number = i, .data = data, .basis = "", .keep = keep, .n_keep = 1, .targets = &targets[i], .n_targets = 1};
}

static void add_order(size_t target, enum action action, const struct keep *keep, struct tally tally) {
    size_t i = inspection.n_orders++;
    bool by_age = keep->kind == KEEP_AGE;
    orders[i] = (struct order){.target = &targets[target], .action = action, .keep = keep,
                               .due = {.kind = by_age ? SCOPE_WHOLE : SCOPE_LISTED, .anchor = by_age ? "viewed_at" : NULL}};
    counted[i] = (struct inspect_order){.order = &orders[i], .tally = tally, .asked = true};
}

static void set_up(size_t n_rules) {
    make_rule(0, "Customer Data", &keep_30, "brands");
    make_rule(1, "Account Information", &keep_90, "customers");
    make_rule(2, "Website Analytics", &after_26, "page_views");
    schedule = (struct schedule){.stores = &store, .n_stores = 1, .rules = rules, .n_rules = n_rules, .targets = by_number,
                                 .n_targets = n_rules, .sha256 = "00"};
    plan = (struct plan){.now_us = at("2026-11-23T09:14:07Z")};
    inspection = (struct inspection){.schedule = &schedule, .plan = &plan, .orders = counted, .bad = bad, .store_errors = store_errors};
}

static char *printed(const struct plan_undecidable *undecidable, size_t n_undecidable, bool all, bool json) {
    struct arena *arena = arena_new();
    char *text;
    size_t length;
    FILE *to = open_memstream(&text, &length);
    const struct plan_report *report = plan_report_make(arena, &inspection, NULL, undecidable, n_undecidable);
    if (json) plan_report_print_json(arena, report, to);
    else plan_report_print(arena, report, all, to, false);
    (void)fclose(to);
    arena_free(arena);
    return text;
}

enum { BRAND_TENANTS = 12, ACCOUNT_TENANTS = 9 };
static struct tenant_count brand_tenants[BRAND_TENANTS], account_tenants[ACCOUNT_TENANTS];
static char ids[BRAND_TENANTS][8];

/* 41,210 records of twelve tenants; the first one's subscription ended on 2026-08-03 and so is due since 2026-09-02. */
static void count_the_sample(void) {
    static const struct blocked_count blocked[] = {{"invoices", 31}};
    for (size_t i = 0; i < BRAND_TENANTS; i++) {
        (void)snprintf(ids[i], sizeof ids[i], "%zu", 1001 + i);
        brand_tenants[i] = (struct tenant_count){.tenant = ids[i], .count = i ? 1000 : 30210, .cutoff_us = TIME_FOREVER,
                                                 .oldest_us = at(i ? "2026-09-01T00:00:00Z" : "2026-08-03T00:00:00Z")};
    }
    for (size_t i = 0; i < ACCOUNT_TENANTS; i++)
        account_tenants[i] = (struct tenant_count){.tenant = ids[i], .count = i ? 1 : 23, .cutoff_us = TIME_FOREVER,
                                                   .oldest_us = at("2026-08-01T00:00:00Z")};
    add_order(0, ACTION_PURGE, &keep_30, (struct tally){.tenants = brand_tenants, .n_tenants = BRAND_TENANTS, .records = 41210});
    add_order(1, ACTION_PURGE, &keep_90, (struct tally){.blocked = blocked, .n_blocked = 1, .n_blocked_records = 31,
                                                        .blocked_tenants = account_tenants, .n_blocked_tenants = ACCOUNT_TENANTS});
}

static const struct plan_undecidable empty_views = {.target = &targets[2], .what = {"since-empty", "viewed_at", 4}};

static char *lines_of(const char *text, size_t from, size_t count) {
    for (; from; from--) text = strchr(text, '\n') + 1;
    const char *end = text;
    for (; count; count--) end = strchr(end, '\n') + 1;
    return strndup(text, (size_t)(end - text));
}

START_TEST(the_table_is_the_sample_of_the_manual) {
    set_up(2);
    count_the_sample();
    char *text = printed(&empty_views, 1, false, false);
    ck_assert_str_eq(text,
        "as of 2026-11-23 09:14:07 UTC; nothing is changed by this command\n"
        "RULE                 KEEP                        DUE  TENANTS  OLDEST DUE  STATE\n"
        "Customer Data        subscription + 30 days   41,210       12  2026-09-02  ready\n"
        "Account Information  subscription + 90 days       31        9  2026-10-30  blocked: 31 customers by invoices\n"
        "kept: 31 blocked, 0 held, 4 undecidable (page_views.viewed_at is empty: lapsectl findings)\n"
        "\n"
        "TENANT      DUE  MOST OF IT UNDER\n"
        "1001     30,210  Customer Data\n"
        "1002      1,000  Customer Data\n"
        "1003      1,000  Customer Data\n"
        "1004      1,000  Customer Data\n"
        "1005      1,000  Customer Data\n"
        "1006      1,000  Customer Data\n"
        "1007      1,000  Customer Data\n"
        "1008      1,000  Customer Data\n"
        "1009      1,000  Customer Data\n"
        "1010      1,000  Customer Data\n"
        "and 2 more: lapsectl plan --all\n"
        "\n"
        "next: systemctl kill -s USR1 lapsed   (sweeps now)\n");
    free(text);
}
END_TEST

/* A store that cannot say whose the blocked ones are; where they are to be anonymized, that is a row of its own. */
START_TEST(blocked_records_without_tenants) {
    set_up(2);
    count_the_sample();
    counted[1].tally.n_blocked_tenants = 0;
    add_order(1, ACTION_ANONYMIZE, &keep_90, (struct tally){.tenants = account_tenants, .n_tenants = ACCOUNT_TENANTS, .records = 31});
    orders[2].blocked_only = true;
    char *text = printed(&empty_views, 1, true, false), *rows = lines_of(text, 1, 5);
    ck_assert_str_eq(rows,
        "RULE                     KEEP                        DUE  TENANTS  OLDEST DUE  STATE\n"
        "Customer Data            subscription + 30 days   41,210       12  2026-09-02  ready\n"
        "Account Information      subscription + 90 days       31        -  -           blocked: 31 customers by invoices\n"
        "  anonymized if blocked                               31        9  2026-10-30  ready\n"
        "kept: 31 blocked, 0 held, 4 undecidable (page_views.viewed_at is empty: lapsectl findings)\n");
    ck_assert_ptr_nonnull(strstr(text, "\n1001     30,233  Customer Data\n"));
    ck_assert_ptr_nonnull(strstr(text, "\n1012      1,000  Customer Data\n"));
    ck_assert_ptr_null(strstr(text, "more: lapsectl plan --all"));
    free(rows);
    free(text);
}
END_TEST

START_TEST(stages_nothing_due_and_targets_that_wait) {
    static const struct tenant_count all[] = {{.tenant = "", .count = 5}};
    struct tenant_count views = all[0];
    set_up(3);
    rules[2].anonymize = &after_14;
    rules[2].n_anonymize = 1;
    targets[2].no_tenant = true;
    views.oldest_us = at("2025-09-20T12:00:00Z");
    views.cutoff_us = period_cutoff(plan.now_us, after_14.period);
    add_order(2, ACTION_ANONYMIZE, &after_14, (struct tally){.tenants = &views, .n_tenants = 1, .records = 5});
    bad[0] = true;
    char *text = printed(NULL, 0, false, false);
    ck_assert_str_eq(text,
        "as of 2026-11-23 09:14:07 UTC; nothing is changed by this command\n"
        "RULE                          KEEP                        DUE  TENANTS  OLDEST DUE  STATE\n"
        "Customer Data                 subscription + 30 days        ?        ?  -           waits: brands is faulty (lapsectl check)\n"
        "Account Information           subscription + 90 days        0        0  -           nothing due\n"
        "Website Analytics             26 months                     0        -  -           nothing due\n"
        "  anonymized after 14 months                                5        -  2026-11-20  ready\n"
        "kept: 0 blocked, 0 held, 0 undecidable\n"
        "\n"
        "next: lapsectl check   (says what is wrong with what waits)\n");
    free(text);
}
END_TEST

START_TEST(a_store_that_is_down_is_no_zero) {
    set_up(2);
    store_errors[0].code = ERR_UNAVAILABLE;
    add_order(0, ACTION_PURGE, &keep_30, (struct tally){0});
    counted[0].asked = false;
    counted[0].why = "store \"main\" could not be asked";
    char *text = printed(NULL, 0, false, false), *row = lines_of(text, 2, 1);
    ck_assert_str_eq(row, "Customer Data        subscription + 30 days        ?        ?  -           waits: store main cannot be asked\n");
    free(row);
    free(text);
}
END_TEST

START_TEST(own_records_wait_for_the_rest) {
    set_up(2);
    add_order(1, ACTION_PURGE, &keep_90, (struct tally){0});
    counted[0].waiting_tenants = 3;
    char *text = printed(NULL, 0, false, false), *row = lines_of(text, 3, 1);
    ck_assert_str_eq(row, "Account Information  subscription + 90 days        0        0  -           "
                          "waits: 3 tenants have other records that are kept longer\n");
    free(row);
    free(text);
}
END_TEST

START_TEST(the_same_numbers_stand_in_the_json) {
    set_up(2);
    count_the_sample();
    char *text = printed(&empty_views, 1, false, true);
    ck_assert_ptr_nonnull(strstr(text, "\"as_of\": \"2026-11-23T09:14:07.000000Z\""));
    ck_assert_ptr_nonnull(strstr(text, "\"due\": 41210"));
    ck_assert_ptr_nonnull(strstr(text, "\"oldest_due\": \"2026-09-02T00:00:00.000000Z\""));
    ck_assert_ptr_nonnull(strstr(text, "\"tenant\": \"1012\"")); /* all of them, not ten */
    ck_assert_ptr_nonnull(strstr(text, "\"blocked\": 31"));
    free(text);
}
END_TEST

UNIT_MAIN("plan report", the_table_is_the_sample_of_the_manual, blocked_records_without_tenants,
          stages_nothing_due_and_targets_that_wait, a_store_that_is_down_is_no_zero, own_records_wait_for_the_rest,
          the_same_numbers_stand_in_the_json)
