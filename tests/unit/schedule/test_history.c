/* A shortened period counts only after notice, a lengthened one at once; a tenant that is gone keeps its last period. */
#include "schedule/history.h"
#include "schedule_text.h"
#include "temporary.h"

#include <sys/stat.h>

static struct schedule *schedule_with(const char *rule) {
    char text[2048];
    (void)snprintf(text, sizeof text,
                   "stores = { main = { url = \"postgresql://lapsed@db/app\"; }; };\n"
                   "tenants = { store = \"main\"; ends = [ \"account\" ]; query = \"SELECT id AS tenant, account, months FROM c\"; };\n"
                   "schedule = ( { data = \"Logs\"; %s basis = \"b\"; targets = ( { table = \"logs\"; tenant = \"t\"; since = \"at\"; } ); } );", rule);
    return schedule_of(text);
}

static const char by_age[] = "per_tenant = { column = \"months\"; min = \"1 month\"; max = \"7 years\"; };";

/* The tenants of one sweep: "t" with these months, or no tenant at all. */
static struct tenants *tenants_with(const struct schedule *schedule, bool present, const char *months) {
    struct tenants *tenants = tenants_new(schedule);
    const struct tenant_row row = {.id = "t", .ends = {TIME_FOREVER}, .periods = {months}};
    struct err err;
    if (present) ck_assert_int_eq(tenants_add(tenants, &row, &err), 0);
    tenants_finish(tenants);
    return tenants;
}

/* One sweep at `now` under this rule: notes it, and says what counts for the rule and for tenant t. */
static void sweep(struct history *history, const char *now, const char *keep, bool present, const char *months, const char *rule_counts,
                  const char *tenant_counts) {
    char rule[512];
    (void)snprintf(rule, sizeof rule, "keep = \"%s\"; %s", keep, strcmp(keep, "forever") ? by_age : "");
    struct schedule *schedule = schedule_with(rule);
    struct tenants *tenants = tenants_with(schedule, present, months);
    history_note(history, schedule, tenants, at(now));
    struct period period;
    bool finite = history_period(history, schedule, &schedule->rules[0], SLOT_KEEP, &schedule->rules[0].keep[0], at(now), &period);
    ck_assert_str_eq(finite ? period_format(period).text : "forever", rule_counts);
    if (tenant_counts) {
        enum own_history own = history_tenant_period(history, schedule, &schedule->rules[0], "t", present, at(now), &period);
        ck_assert_str_eq(own == OWN_HISTORY_NONE ? "none" : own == OWN_HISTORY_FOREVER ? "forever" : period_format(period).text, tenant_counts);
    }
    tenants_free(tenants);
    schedule_free(schedule);
}

static struct history *fresh(void) {
    struct history *history;
    struct err err;
    ck_assert_int_eq(history_load("/nonexistent-folder", &history, &err), 0);
    return history;
}

START_TEST(a_shortened_rule_waits_for_notice) {
    struct history *history = fresh();
    sweep(history, "2026-11-01", "12 months", true, NULL, "12 months", "none");
    sweep(history, "2026-11-02", "6 months", true, NULL, "12 months", NULL);
    sweep(history, "2026-11-30", "6 months", true, NULL, "12 months", NULL);
    sweep(history, "2026-12-02", "6 months", true, NULL, "6 months", NULL);
    sweep(history, "2026-12-03", "24 months", true, NULL, "24 months", NULL);
    history_free(history);
}
END_TEST

START_TEST(a_rule_that_was_forever_waits_too) {
    struct history *history = fresh();
    sweep(history, "2026-11-01", "forever", true, NULL, "forever", NULL);
    sweep(history, "2026-11-02", "6 months", true, NULL, "forever", NULL);
    sweep(history, "2026-12-02", "6 months", true, NULL, "6 months", NULL);
    history_free(history);
}
END_TEST

START_TEST(a_tenant_that_loses_its_longer_period_keeps_it_for_notice) {
    struct history *history = fresh();
    sweep(history, "2026-11-01", "12 months", true, "7 years", "12 months", "7 years");
    sweep(history, "2026-11-02", "12 months", true, NULL, "12 months", "7 years");
    sweep(history, "2026-12-02", "12 months", true, NULL, "12 months", "12 months");
    history_free(history);
}
END_TEST

START_TEST(a_tenant_that_gains_a_shorter_period_waits) {
    struct history *history = fresh();
    sweep(history, "2026-11-01", "12 months", true, NULL, "12 months", "none");
    sweep(history, "2026-11-02", "12 months", true, "2 months", "12 months", "12 months");
    sweep(history, "2026-12-02", "12 months", true, "2 months", "12 months", "2 months");
    history_free(history);
}
END_TEST

START_TEST(a_tenant_that_is_gone_keeps_its_last_period) {
    struct history *history = fresh();
    sweep(history, "2026-11-01", "12 months", true, "7 years", "12 months", "7 years");
    sweep(history, "2027-11-01", "12 months", false, NULL, "12 months", "7 years");
    sweep(history, "2029-11-01", "12 months", false, NULL, "12 months", "7 years");
    history_free(history);
}
END_TEST

START_TEST(notice_runs_from_when_the_shorter_one_is_seen) {
    struct history *history = fresh();
    sweep(history, "2026-09-01", "12 months", true, "7 years", "12 months", "7 years");
    /* Nobody looked for two months; and then back and forth, with a gap. */
    sweep(history, "2026-11-02", "6 months", true, NULL, "12 months", "7 years");
    sweep(history, "2026-11-30", "6 months", true, NULL, "12 months", "7 years");
    sweep(history, "2026-12-01", "12 months", true, NULL, "12 months", "7 years");
    sweep(history, "2027-03-01", "6 months", true, NULL, "12 months", "12 months");
    sweep(history, "2027-03-30", "6 months", true, NULL, "12 months", "12 months");
    sweep(history, "2027-03-31", "6 months", true, NULL, "6 months", "6 months");
    history_free(history);
}
END_TEST

START_TEST(a_shortened_period_is_told_until_it_counts) {
    struct history *history = fresh();
    sweep(history, "2026-11-20", "12 months", true, NULL, "12 months", "none");
    sweep(history, "2026-11-23", "6 months", true, NULL, "12 months", NULL);
    struct schedule *schedule = schedule_with("keep = \"6 months\";");
    struct shortened shortened = {0};
    const struct rule *rule = &schedule->rules[0];
    ck_assert(history_shortened(history, schedule, rule, SLOT_KEEP, &rule->keep[0], at("2026-12-22"), &shortened));
    ck_assert_str_eq(shortened.from, "12 months");
    ck_assert_int_eq(shortened.on_us, at("2026-11-23"));
    ck_assert_int_eq(shortened.until_us, at("2026-12-23"));
    ck_assert(!history_shortened(history, schedule, rule, SLOT_KEEP, &rule->keep[0], at("2026-12-23"), &shortened));
    schedule_free(schedule);
    history_free(history);
}
END_TEST

/* What counted for the records of a former tenant until now does not end at once because its id is given to another. */
START_TEST(a_tenant_that_comes_back_with_a_shorter_period_waits) {
    struct history *history = fresh();
    sweep(history, "2026-11-01", "12 months", true, "7 years", "12 months", "7 years");
    sweep(history, "2027-11-01", "12 months", false, NULL, "12 months", "7 years");
    sweep(history, "2027-11-02", "12 months", true, "2 months", "12 months", "7 years");
    sweep(history, "2027-11-30", "12 months", true, "2 months", "12 months", "7 years");
    sweep(history, "2027-12-02", "12 months", true, "2 months", "12 months", "2 months");
    sweep(history, "2028-11-01", "24 months", false, NULL, "24 months", "2 months"); /* the rule's is the longer, and counts */
    sweep(history, "2028-11-02", "24 months", true, "2 months", "24 months", "24 months");
    sweep(history, "2028-11-30", "24 months", true, "3 months", "24 months", "24 months");
    sweep(history, "2028-12-02", "24 months", true, "3 months", "24 months", "3 months");
    history_free(history);
}
END_TEST

START_TEST(the_history_outlives_the_daemon) {
    char folder[TEMPORARY_ROOM], path[2 * TEMPORARY_ROOM];
    ck_assert(temporary_folder(folder));
    (void)snprintf(path, sizeof path, "%s/periods.json", folder);
    struct history *history = fresh(), *again;
    struct err err;
    sweep(history, "2026-11-01", "12 months", true, "7 years", "12 months", "7 years");
    ck_assert_int_eq(history_save(history, folder, &err), 0);
    ck_assert_int_eq(history_load(folder, &again, &err), 0);
    sweep(again, "2026-11-02", "6 months", true, NULL, "12 months", "7 years");
    history_free(again);
    history_free(history);
    static const char one[] = "{\"rule\":\"Logs\",\"slot\":\"keep\",\"anchor\":\"\",\"tenant\":\"7\",\"period\":\"2 years\",\"last\":\"2026-11-01T00:00:00Z\"}";
    static const struct {
        const char *before, *between, *after;
        bool good;
    } files[] = {{"{\"v\":1,\"periods\":[", ",\n", "\n]}\n", true},
                 {"{\"v\":1,\"periods\":[\n ", " , ", "] } ", true},
                 {"{\"v\":2,\"periods\":[", ",", "]}", false},
                 {"{\"v\":1,\"periods\":[", ",", "]", false},
                 {"{\"v\":1,\"periods\":[", ",", ",]}", false},
                 {"{\"v\":1,\"periods\":[", " ", "]}", false},
                 {"{\"v\":1,\"periods\":[", ",", "]}]", false},
                 {"{\"v\":1,\"periods\":[", ",", ",{\"rule\":\"Logs\"}]}", false},
                 {"{\"v\":1,\"periods\":[", ",", "", false}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        FILE *file = fopen(path, "w");
        ck_assert_ptr_nonnull(file);
        (void)fprintf(file, "%s%s%s%s%s", files[i].before, one, files[i].between, one, files[i].after);
        (void)fclose(file);
        ck_assert_int_eq(history_load(folder, &again, &err), files[i].good ? 0 : -1);
        if (files[i].good) history_free(again);
        else ck_assert_int_eq(err.code, ERR_IO);
    }
    (void)unlink(path);
    (void)rmdir(folder);
}
END_TEST

UNIT_MAIN("history", a_shortened_rule_waits_for_notice, a_rule_that_was_forever_waits_too,
          a_tenant_that_loses_its_longer_period_keeps_it_for_notice, a_tenant_that_gains_a_shorter_period_waits,
          a_tenant_that_is_gone_keeps_its_last_period, notice_runs_from_when_the_shorter_one_is_seen,
          a_shortened_period_is_told_until_it_counts, a_tenant_that_comes_back_with_a_shorter_period_waits,
          the_history_outlives_the_daemon)
