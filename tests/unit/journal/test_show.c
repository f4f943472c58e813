#include "folder.h"
#include "journal/show.h"

static struct buf told;

static void tell(void *context, int64_t time_us, const char *text) {
    (void)context;
    (void)time_us;
    buf_printf(&told, "%s\n", text);
}

static struct scan_result show(struct journal_filter filter, bool raw) {
    struct scan_result result;
    struct err err;
    buf_clear(&told);
    ck_assert_msg(!journal_show(folder, &(struct journal_show){filter, raw, tell, NULL}, &result, &err), "%s", err.text);
    return result;
}

static const struct entry_tenant several[] = {{"7", 3, INT64_C(1790812800000000)}, {"9", 4, INT64_C(1790899200000000)}};
static const struct entry_rule table[] = {
    {"Billing Records", "7 years", NULL, "7 years", "Tax"},
    {"Website Analytics", "26 months", "14 months", NULL, "Legitimate interest"},
    {"Customer Data", "subscription + 30 days", NULL, NULL, "Contract"},
    {"Sessions", "30 minutes", NULL, NULL, "Security"},
};
static const struct entry_result results[] = {
    {"Billing Records", 1000, 0, 5213, 2, 1, 0, 0},
    {"Website Analytics", 0, 12, 0, 0, 0, 5, 3 * TIME_DAY_US},
};

/* One of each, at a time of its own. */
static void write_everything(void) {
    struct journal_conf conf = folder_conf();
    struct journal *journal = journal_opened(&conf);
    struct entry billing = an_intent(7, 1), analytics = an_intent(7, 2), customer = an_intent(7, 3), sessions = an_intent(7, 4),
                 open = an_intent(7, 5), keys = an_intent(7, 6);
    analytics.rule = "Website Analytics", analytics.action = "anonymize", analytics.target = "public.page_views", analytics.from = "viewed_at";
    analytics.tenants = &(struct entry_tenant){"", 12, INT64_C(1758585600000000)}, analytics.records = 12, analytics.dependents = 0;
    customer.rule = "Customer Data", customer.target = "kb_{tenant}", customer.from = "subscription", customer.tenants = several;
    customer.n_tenants = 2, customer.records = 7, customer.dependents = 1, customer.range = true;
    sessions.rule = "Sessions", sessions.from = "last_seen", sessions.records = 1, sessions.dependents = 0;
    keys.rule = "Gone", keys.from = NULL, keys.dependents = 0;
    struct entry committed = an_outcome(7, 1, "committed"), unknown = an_outcome(7, 2, "unknown"), settled = an_outcome(7, 2, "settled"),
                 rolled_back = an_outcome(7, 3, "rolled-back"), partly = an_outcome(7, 4, "committed"), unresolved = an_outcome(7, 6, "unresolved");
    settled.result = "committed";
    rolled_back.code = "unavailable", rolled_back.detail = "40P01";
    partly.records = 0, partly.dependents = 0;
    const struct entry entries[] = {
        {.event = ENTRY_START, .version = "0.1.0"},
        {.event = ENTRY_SCHEDULE, .schedule = "5feceb66ffc86f38d952786c6d696c79", .rules = table, .n_rules = 4},
        {.event = ENTRY_SWEEP_BEGIN, .sweep = 7, .trigger = "timer", .tenants_total = 1204},
        billing, analytics, customer, committed, unknown, rolled_back, sessions, partly, settled, open, keys, unresolved,
        {.event = ENTRY_FINDING, .sweep = 7, .code = "since-empty", .rule = "Billing Records", .store = "main", .target = "invoices", .tenant = "1042", .count = 12},
        {.event = ENTRY_SWEEP_END, .sweep = 7, .outcome = "done", .results = results, .n_results = 2},
        {.event = ENTRY_STOP, .trigger = "signal"},
    };
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) ck_assert(put(journal, &entries[i]));
    journal_close(journal);
}

START_TEST(every_entry_is_a_sentence) {
    folder_setup();
    write_everything();
    struct scan_result result = show((struct journal_filter){.sweep = 0}, false);
    ck_assert_int_eq(result.faults, 0);
    ck_assert_str_eq(
        told.text,
        "lapsed 0.1.0 started\n"
        "the schedule has 4 rules (SHA-256 5feceb66…)\n"
        "sweep 7 began (timer), 1,204 tenants\n"
        "purged 1,000 invoices and 5,213 dependents of tenant 1042 under \"Billing Records\" (7 years, issued before 2019-11-23)  committed\n"
        "anonymized 12 public.page_views under \"Website Analytics\" (14 months, viewed before 2025-09-23)  settled by asking the store: committed\n"
        "did not purge 7 records of \"kb_{tenant}\" as a whole and 1 dependent of 2 tenants under \"Customer Data\" "
        "(subscription + 30 days, subscription ended 2026-10-01 to 2026-10-02 by tenant)  rolled back (unavailable 40P01)\n"
        "purged 0 invoices of tenant 1042 (1 were listed) under \"Sessions\" (30 minutes, last seen before 2019-11-23 01:00:00 UTC)  committed\n"
        "was about to purge 1,000 invoices and 5,213 dependents of tenant 1042 under \"Billing Records\" (7 years, issued before 2019-11-23)  no outcome yet\n"
        "may have purged 1,000 invoices of tenant 1042 under \"Gone\"  unresolved: the store could not tell; what is left goes with a later batch\n"
        "finding since-empty: 12 in invoices (main) of tenant 1042 under \"Billing Records\"\n"
        "sweep 7 ended: 1,000 purged, 12 anonymized, 5,213 dependents, 2 blocked, 1 undecidable, 5 left, the latest by 3 days under \"Website Analytics\"\n"
        "lapsed stopped (signal)\n");
    buf_free(&told);
    folder_remove();
}
END_TEST

static int lines(void) {
    int count = 0;
    for (const char *c = buf_text(&told); *c; c++) count += *c == '\n';
    return count;
}

START_TEST(filters_choose) {
    folder_setup();
    write_everything();
    static const struct { struct journal_filter filter; int sentences, raw; } cases[] = {
        {{.tenant = "9"}, 1, 2},        {{.tenant = "1042"}, 5, 8},     {{.tenant = "104"}, 0, 0},
        {{.rule = "Sessions"}, 1, 2},   {{.store = "main"}, 7, 13},     {{.store = "docs"}, 0, 0},
        {{.sweep = 7}, 9, 15},          {{.sweep = 8}, 0, 0},           {{.events = 1u << ENTRY_START}, 1, 1},
        {{.events = 1u << ENTRY_OUTCOME}, 6, 6}, {{.events = 1u << ENTRY_INTENT}, 6, 6}, {{.since_us = INT64_C(32503680000000000)}, 0, 0},
        {{.until_us = INT64_C(32503680000000000)}, 12, 19}, {{.until_us = 1}, 0, 0},
        {{.tenant = "1042", .events = 1u << ENTRY_FINDING}, 1, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        (void)show(cases[i].filter, false);
        ck_assert_msg(lines() == cases[i].sentences, "case %zu: %d sentences\n%s", i, lines(), buf_text(&told));
        (void)show(cases[i].filter, true);
        ck_assert_msg(lines() == cases[i].raw, "case %zu: %d lines\n%s", i, lines(), buf_text(&told));
    }
    buf_free(&told);
    folder_remove();
}
END_TEST

START_TEST(raw_lines_are_the_journal_s_own) {
    folder_setup();
    write_everything();
    (void)show((struct journal_filter){.sweep = 0}, true);
    size_t length;
    char *bytes = folder_read("journal.jsonl", &length);
    ck_assert_str_eq(told.text, bytes);
    free(bytes);
    buf_free(&told);
    folder_remove();
}
END_TEST

START_TEST(an_intent_in_several_lines_is_one_sentence) {
    folder_setup();
    struct journal_conf conf = folder_conf();
    struct journal *journal = journal_opened(&conf);
    enum { TENANTS = 2000 };
    static struct entry_tenant many[TENANTS];
    static char ids[TENANTS][12];
    for (int i = 0; i < TENANTS; i++) {
        (void)snprintf(ids[i], sizeof ids[i], "%d", i);
        many[i] = (struct entry_tenant){ids[i], 1, INT64_C(1574470800000000)};
    }
    struct entry intent = an_intent(1, 1), outcome = an_outcome(1, 1, "committed");
    intent.tenants = many, intent.n_tenants = TENANTS, intent.records = outcome.records = TENANTS, intent.dependents = outcome.dependents = 0;
    ck_assert(put(journal, &intent));
    ck_assert(put(journal, &outcome));
    ck_assert_int_gt(journal_last_seq(journal), 5);
    journal_close(journal);
    (void)show((struct journal_filter){.tenant = "1999"}, false); /* in the last part */
    ck_assert_str_eq(told.text, "purged 2,000 invoices of 2,000 tenants under \"Billing Records\" (issued before 2019-11-23)  committed\n");
    buf_free(&told);
    folder_remove();
}
END_TEST

START_TEST(sums_of_any_numbers_end_at_the_largest) {
    folder_setup();
    static const struct entry_result most[] = {{"a", INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX}, {"b", INT64_MAX, 1, 1, 1, 1, 1, 1}};
    struct journal_conf conf = folder_conf();
    struct journal *journal = journal_opened(&conf);
    const struct entry entry = {.event = ENTRY_SWEEP_END, .sweep = 1, .outcome = "done", .results = most, .n_results = 2};
    ck_assert(put(journal, &entry));
    journal_close(journal);
    (void)show((struct journal_filter){.sweep = 0}, false);
#define MOST "9,223,372,036,854,775,807"
    ck_assert_msg(strstr(told.text, MOST " purged, " MOST " anonymized, " MOST " dependents, " MOST " blocked, " MOST " undecidable, " MOST " left") != NULL, "%s", told.text);
    buf_free(&told);
    folder_remove();
}
END_TEST

UNIT_MAIN("show", every_entry_is_a_sentence, filters_choose, raw_lines_are_the_journal_s_own, an_intent_in_several_lines_is_one_sentence,
          sums_of_any_numbers_end_at_the_largest)
