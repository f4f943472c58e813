#include "command/policy.h"

#include "unit/schedule/loading.h"

static const char rules[] =
    "schedule = (\n"
    "{ data = \"Customer Data (content | brands)\"; basis = \"Contract; export\"; keep = \"subscription + 30 days\"; targets = ( { table = \"a\"; tenant = \"c\"; } ); },\n"
    "{ data = \"Audit Logs\"; basis = \"SOC 2\"; keep = \"12 months\"; per_tenant = { column = \"audit\"; min = \"12 months\"; max = \"7 years\"; };\n"
    "  targets = ( { table = \"b\"; tenant = \"c\"; since = \"s\"; } ); },\n"
    "{ data = \"Billing Records\"; basis = \"Tax\"; keep = \"7 years\"; at_least = \"7 years\"; targets = ( { table = \"i\"; tenant = \"c\"; since = \"s\"; } ); },\n"
    "{ data = \"Analytics\"; basis = \"Interest\"; keep = \"26 months\"; anonymize = \"14 months\";\n"
    "  targets = ( { table = \"v\"; tenant = \"none\"; since = \"s\"; columns = \"null: ip\"; } ); },\n"
    "{ data = \"Account\"; basis = \"b\"; keep = [ \"until account\", \"2 years\" ]; targets = ( { keys = \"x:{tenant}\"; since = \"field:f\"; } ); }\n"
    ");\n";

static char *print(const struct loading *loading, enum policy_format format) {
    char *text = NULL;
    size_t length;
    FILE *to = open_memstream(&text, &length);
    ck_assert_int_eq(policy_print(loading->schedule, format, to), 0);
    ck_assert_int_eq(fclose(to), 0);
    return text;
}

/* What diff prints for this published text; *ret_equal as it says. */
static char *diff(const struct loading *loading, const char *published, bool *ret_equal) {
    char path[128], *text = NULL;
    size_t length;
    struct err err;
    (void)snprintf(path, sizeof path, "%s/policy.md", loading->folder);
    loading_write(path, published, strlen(published));
    FILE *to = open_memstream(&text, &length);
    ck_assert_int_eq(policy_diff(loading->schedule, path, to, ret_equal, &err), 0);
    ck_assert_int_eq(fclose(to), 0);
    ck_assert_int_eq(unlink(path), 0);
    return text;
}

START_TEST(the_text_is_an_aligned_table) {
    struct loading loading;
    loading_load(&loading, GOOD_MAIN, rules);
    ck_assert_msg(loading.schedule, "%s", loading_print(&loading));
    char *text = print(&loading, POLICY_TEXT);
    ck_assert_str_eq(text, "DATA                              KEEP                                                       BASIS\n"
                           "Customer Data (content | brands)  subscription + 30 days                                     Contract; export\n"
                           "Audit Logs                        12 months (configurable per tenant, 12 months to 7 years)  SOC 2\n"
                           "Billing Records                   7 years                                                    Tax\n"
                           "Analytics                         26 months (anonymized after 14 months)                     Interest\n"
                           "Account                           until account, or 2 years                                  b\n");
    free(text);
    loading_end(&loading);
}
END_TEST

START_TEST(the_markdown_says_the_same_as_the_schedule) {
    struct loading loading;
    loading_load(&loading, GOOD_MAIN, rules);
    char *markdown = print(&loading, POLICY_MARKDOWN);
    ck_assert(strstr(markdown, "| Data Type | Retention Period | Basis |\n|---|---|---|\n| Customer Data (content \\| brands) | subscription + 30 days | Contract; export |\n"));
    bool equal = false;
    char *text = diff(&loading, markdown, &equal);
    ck_assert_msg(equal, "%s", text);
    ck_assert(strstr(text, "says the same as the schedule: 5 rules"));
    free(text);
    free(markdown);
    loading_end(&loading);
}
END_TEST

START_TEST(the_json_names_rules_and_targets) {
    struct loading loading;
    loading_load(&loading, GOOD_MAIN, rules);
    char *text = print(&loading, POLICY_JSON);
    ck_assert(strstr(text, "{\"data\":\"Audit Logs\",\"retention\":\"12 months (configurable per tenant, 12 months to 7 years)\",\"keep\":\"12 months\",\"anonymize\":null,"
                           "\"at_least\":null,\"per_tenant\":{\"column\":\"audit\",\"min\":\"12 months\",\"max\":\"7 years\"},\"basis\":\"SOC 2\","
                           "\"targets\":[{\"kind\":\"table\",\"store\":\"main\",\"name\":\"b\"}]}"));
    free(text);
    loading_end(&loading);
}
END_TEST

static const char published[] =
    "# Policy\n\n| Provider | Data Retention by Provider |\n|---|---|\n| OpenAI | Up to 30 days |\n\n"
    "## 9. Data Retention\n| Data Type | **Retention Period** | Basis |\n|:--|---|--:|\n"
    "| Customer Data (content \\| brands) | Duration of your subscription + 30 days | Contract |\n"
    "| Audit Logs | 1 year (configurable for Enterprise) | SOC 2 |\n"
    "| *Billing Records* | 84 months | Tax |\n"
    "| Analytics | 26 months | Interest (anonymized after 14 months) |\n"
    "| Account | Until account ends, or for 24 months | b |\n\nText after it.\n";

START_TEST(periods_are_compared_by_their_meaning) {
    struct loading loading;
    loading_load(&loading, GOOD_MAIN, rules);
    bool equal = false;
    char *text = diff(&loading, published, &equal);
    ck_assert_msg(equal, "%s", text);
    free(text);
    loading_end(&loading);
}
END_TEST

static char *replaced(const char *text, const char *from, const char *to) {
    const char *at = strstr(text, from);
    ck_assert_ptr_nonnull(at);
    struct buf buf = {0};
    buf_add_n(&buf, text, (size_t)(at - text));
    buf_add(&buf, to);
    buf_add(&buf, at + strlen(from));
    return buf.text;
}

START_TEST(every_difference_is_shown_with_both_texts) {
    static const struct {
        const char *from, *to, *shown[2];
    } cases[] = {
        {"84 months", "10 years", {"Billing Records: the period differs\n  published 10 years (", "\n  schedule  7 years ("}},
        {"| 84 months", "| 7 years + 1 day", {"published 7 years + 1 day", "schedule  7 years"}},
        {"subscription + 30", "subscription + 90", {"published Duration of your subscription + 90 days", "schedule  subscription + 30 days"}},
        {"your subscription", "your account", {"published Duration of your account + 30 days", "schedule  subscription + 30 days"}},
        {"for 24 months", "for 2 months", {"published Until account ends, or for 2 months", "schedule  until account, or 2 years"}},
        {", or for 24 months", "", {"published Until account ends (", "schedule  until account, or 2 years"}},
        {"after 14 months", "after 15 months", {"Analytics: anonymization differs\n  published after 15 months", "schedule  after 14 months"}},
        {" (anonymized after 14 months)", "", {"published no anonymization", "schedule  after 14 months"}},
        {"SOC 2", "SOC 2 (anonymised after 1 month)", {"published after 1 month", "schedule  no anonymization"}},
        {"*Billing Records*", "Bills", {"Billing Records: not published\n  schedule  7 years", "Bills: no rule carries this out\n  published 84 months"}},
        {"| 84 months | Tax |", "|", {"published nothing (", "schedule  7 years"}},
    };
    struct loading loading;
    loading_load(&loading, GOOD_MAIN, rules);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *changed = replaced(published, cases[i].from, cases[i].to);
        bool equal = true;
        char *text = diff(&loading, changed, &equal);
        ck_assert_msg(!equal && strstr(text, cases[i].shown[0]) && strstr(text, cases[i].shown[1]), "%s:\n%s", cases[i].to, text);
        free(text);
        free(changed);
    }
    loading_end(&loading);
}
END_TEST

START_TEST(the_schedule_of_caasaas_is_its_published_policy) {
    struct arena *arena = arena_new();
    struct faults faults = {.arena = arena};
    struct schedule *schedule = NULL;
    struct err err;
    bool equal = false;
    ck_assert_int_eq(schedule_load("etc/caasaas/lapsed.conf", false, &schedule, &faults, &err), 0);
    ck_assert_uint_eq(schedule->n_rules, 7);
    FILE *to = fopen("/dev/null", "w");
    ck_assert_int_eq(policy_diff(schedule, "etc/caasaas/policy.md", to, &equal, &err), 0);
    ck_assert_int_eq(fclose(to), 0);
    ck_assert(equal);
    schedule_free(schedule);
    arena_free(arena);
}
END_TEST

START_TEST(a_file_without_such_a_table_is_an_error) {
    struct loading loading;
    loading_load(&loading, GOOD_MAIN, rules);
    bool equal = false;
    struct err err;
    ck_assert_int_eq(policy_diff(loading.schedule, loading.rules, stderr, &equal, &err), -1);
    ck_assert(strstr(err.text, "has no Markdown table with a column \"Retention Period\""));
    ck_assert_int_eq(policy_diff(loading.schedule, "/nonexistent.md", stderr, &equal, &err), -1);
    loading_end(&loading);
}
END_TEST

UNIT_MAIN("command/policy", the_text_is_an_aligned_table, the_markdown_says_the_same_as_the_schedule, the_json_names_rules_and_targets,
          periods_are_compared_by_their_meaning, every_difference_is_shown_with_both_texts,
          the_schedule_of_caasaas_is_its_published_policy, a_file_without_such_a_table_is_an_error)
