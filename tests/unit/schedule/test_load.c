/* What a correct schedule becomes, and what is wrong with the files as such. */
#include "unit/schedule/loading.h"

#include "base/time.h"

START_TEST(the_first_schedule_of_the_design_loads_as_it_stands) {
    struct arena *arena = arena_new();
    struct faults faults = {.arena = arena};
    struct schedule *schedule = NULL;
    struct err err;
    int failed = schedule_load("tests/unit/schedule/example/lapsed.conf", false, &schedule, &faults, &err);
    faults_print(&faults, stderr);
    ck_assert_int_eq(failed, 0);
    ck_assert_str_eq(schedule->schedule_path, "tests/unit/schedule/example/schedule.conf");
    ck_assert_str_eq(schedule->sha256, "4ed21ac58691443057b6ff1f0af8451e0f474eedc201eddf9db8cf6e0209294b");
    ck_assert_uint_eq(schedule->n_rules, 5);
    ck_assert_uint_eq(schedule->n_targets, 8);
    for (size_t i = 0; i < schedule->n_targets; i++) ck_assert_uint_eq(schedule->targets[i]->number, i);

    const struct rule *data = &schedule->rules[0];
    ck_assert_str_eq(data->data, "Customer Data (content, brands, contacts)");
    ck_assert_uint_eq(data->place.line, 3);
    ck_assert_uint_eq(data->n_keep, 1);
    ck_assert_int_eq(data->keep[0].kind, KEEP_END);
    ck_assert_int_eq(data->keep[0].tenant_end, 0);
    ck_assert_uint_eq(data->keep[0].place.line, 4);
    ck_assert(data->targets[0].rule == data);
    ck_assert_str_eq(data->targets[0].store->name, "main");
    ck_assert_str_eq(data->targets[0].dependents[0].join.child_table, "brand_assets");
    ck_assert_str_eq(data->targets[0].dependents[0].join.child_columns[0], "brand_id");
    ck_assert_ptr_null(data->targets[0].dependents[0].join.parent_table);
    ck_assert_str_eq(data->targets[1].store->name, "docs");
    ck_assert(data->targets[2].tenant_in_name && data->targets[2].drop);
    ck_assert(!data->targets[2].tenant);
    ck_assert_str_eq(data->targets[3].name, "caas:{tenant}:*");
    ck_assert_uint_eq(data->targets[3].place.line, 9);

    const struct rule *account = &schedule->rules[1];
    ck_assert(account->anonymize_blocked);
    const struct dependent *keys = &account->targets[0].dependents[1];
    ck_assert_str_eq(keys->join.parent_table, "users");
    ck_assert_str_eq(keys->join.parent_columns[0], "id");
    ck_assert_int_eq(keys->when_anonymized, WHEN_ANONYMIZED_PURGE);
    ck_assert_int_eq(account->targets[0].dependents[2].when_anonymized, WHEN_ANONYMIZED_AS_IS);
    ck_assert_uint_eq(account->targets[0].n_columns, 7);
    ck_assert_int_eq(account->targets[0].columns[3].strategy, STRATEGY_FIXED);
    ck_assert_str_eq(account->targets[0].columns[3].argument, "closed");
    ck_assert_str_eq(account->targets[0].columns[3].path, "name");

    const struct rule *logs = &schedule->rules[2];
    ck_assert_str_eq(logs->per_tenant->column, "audit_logs");
    ck_assert_str_eq(schedule->tenants.period_columns[logs->per_tenant->index], "audit_logs");
    ck_assert_str_eq(period_format(logs->per_tenant->max).text, "7 years");

    const struct target *invoices = &schedule->rules[3].targets[0];
    ck_assert_str_eq(period_format(schedule->rules[3].at_least).text, "7 years");
    ck_assert_str_eq(invoices->zone, "UTC");
    ck_assert_str_eq(invoices->since, "issued_on");

    const struct target *views = &schedule->rules[4].targets[0];
    ck_assert(views->no_tenant && !views->tenant);
    ck_assert_str_eq(views->marker, "anonymized_at");
    ck_assert_uint_eq(views->n_columns, 7);
    ck_assert_str_eq(schedule_keep_text(arena, schedule->rules[4].anonymize, schedule->rules[4].n_anonymize), "14 months");

    ck_assert(text_starts_with(schedule->tenants.query, "SELECT c.id AS tenant, c.reseller_id AS parent, s.ended_at AS subscription,       CASE"));
    ck_assert_int_eq(schedule->settings.window_from_minute, 60);
    ck_assert_int_eq(schedule->settings.window_to_minute, 300);
    schedule_free(schedule);
    arena_free(arena);
}
END_TEST

START_TEST(our_own_examples_load) {
    static const char *const paths[] = {"etc/lapsed.conf", "etc/caasaas/lapsed.conf", "etc/casso/lapsed.conf"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct arena *arena = arena_new();
        struct faults faults = {.arena = arena};
        struct schedule *schedule = NULL;
        struct err err;
        int failed = schedule_load(paths[i], false, &schedule, &faults, &err);
        faults_print(&faults, stderr);
        ck_assert_int_eq(failed, 0);
        schedule_free(schedule);
        arena_free(arena);
    }
}
END_TEST

#define ONE_RULE(keep, target) "schedule = ( { data = \"D\"; basis = \"b\"; " keep " targets = ( { " target " } ); } );\n"
#define ONE_TABLE "table = \"t\"; tenant = \"c\"; since = \"s\";"

START_TEST(settings_have_defaults) {
    struct loading loading;
    loading_load(&loading, GOOD_MAIN, ONE_RULE("keep = \"1 day\";", ONE_TABLE));
    ck_assert_ptr_nonnull(loading.schedule);
    const struct settings *settings = &loading.schedule->settings;
    ck_assert_int_eq(settings->sweep_every_us, TIME_DAY_US);
    ck_assert_int_eq(settings->window_from_minute, 0);
    ck_assert_int_eq(settings->window_to_minute, 0);
    ck_assert_int_eq(settings->load, LOAD_GENTLE);
    ck_assert_int_eq(settings->notice_us, 30 * TIME_DAY_US);
    ck_assert_int_eq(settings->batch_time_us, 100000);
    ck_assert_uint_eq(settings->batch_rows, 20000);
    ck_assert_uint_eq(settings->batch_workers, 2);
    ck_assert(!settings->throttle.configured && !settings->throttle.query);
    ck_assert_int_eq(settings->throttle.every_us, 5 * TIME_SECOND_US);
    ck_assert_int_eq(settings->throttle.replica_lag_us, 10 * TIME_SECOND_US);
    ck_assert_int_eq(settings->throttle.snapshot_age_us, 3600 * TIME_SECOND_US);
    ck_assert_int_eq(settings->throttle.lock_waits, 20);
    ck_assert_str_eq(settings->journal_folder, "/var/lib/lapsed/journal");
    ck_assert_str_eq(settings->state_folder, "/var/lib/lapsed");
    ck_assert_str_eq(settings->run_folder, "/run/lapsed");
    ck_assert_int_eq(settings->journal_segment_bytes, 64 << 20);
    ck_assert_int_eq(settings->journal_segment_age_us, 31 * TIME_DAY_US);
    ck_assert_int_eq(settings->journal_reserve_bytes, 16 << 20);
    ck_assert_int_eq(settings->clock_tolerance_us, 60 * TIME_SECOND_US);
    ck_assert_int_eq(settings->statement_timeout_us, 30 * TIME_SECOND_US);
    ck_assert_int_eq(settings->lock_timeout_us, 2 * TIME_SECOND_US);
    ck_assert_int_eq(settings->survey_every_us, TIME_DAY_US);
    ck_assert(settings->brakes.first_run);
    ck_assert_int_eq(settings->brakes.records, 1000);
    ck_assert_int_eq(settings->brakes.tenants, 10);
    ck_assert_int_eq(settings->brakes.share, 50);
    ck_assert_int_eq(settings->brakes.growth, 3);
    ck_assert_int_eq(settings->brakes.shrink, 20);
    ck_assert_int_eq(settings->survey_budget_us, 300 * TIME_SECOND_US);
    ck_assert_int_eq(settings->survey_alarm_after_us, 7 * TIME_DAY_US);
    loading_end(&loading);
}
END_TEST

START_TEST(settings_are_taken) {
    struct loading loading;
    loading_load(&loading,
                 GOOD_MAIN "sweep = { every = \"90 minutes\"; window = \"22:30-24:00\"; load = \"full\"; }; notice = \"1 week\";\n"
                           "throttle = { replica_lag = \"500 ms\"; lock_waits = 0; query = \"SELECT true\"; }; batch = { time = \"250 ms\"; rows = 100; workers = 4; }; journal = { folder = \"/j\"; segment = \"1 GiB\"; segment_age = \"7 days\"; reserve = \"1 GiB\"; keep = \"6 months\"; };\n"
                           "state = \"here/state\"; run = \"/r\"; clock = { tolerance = \"1 second\"; }; timeout = { statement = \"5s\"; lock = \"100 milliseconds\"; };\n"
                           "survey = { every = \"2 days\"; budget = \"1 minute\"; alarm_after = \"0 days\"; };\n",
                 ONE_RULE("keep = \"1 day\";", ONE_TABLE));
    ck_assert_msg(loading.schedule, "%s", loading_print(&loading));
    const struct settings *settings = &loading.schedule->settings;
    ck_assert_int_eq(settings->sweep_every_us, 5400 * TIME_SECOND_US);
    ck_assert_int_eq(settings->window_from_minute, 22 * 60 + 30);
    ck_assert_int_eq(settings->window_to_minute, 0);
    ck_assert_int_eq(settings->load, LOAD_FULL);
    ck_assert_int_eq(settings->notice_us, 7 * TIME_DAY_US);
    ck_assert_int_eq(settings->batch_time_us, 250000);
    ck_assert_uint_eq(settings->batch_rows, 100);
    ck_assert_uint_eq(settings->batch_workers, 4);
    ck_assert(settings->throttle.configured);
    ck_assert_int_eq(settings->throttle.replica_lag_us, 500000);
    ck_assert_int_eq(settings->throttle.lock_waits, 0);
    ck_assert_str_eq(settings->throttle.query, "SELECT true");
    ck_assert_str_eq(settings->journal_folder, "/j");
    ck_assert_int_eq(settings->journal_keep_evidence.count, 6); /* its standard would outlast the journal */
    ck_assert_int_eq(settings->journal_keep_evidence.unit, PERIOD_MONTHS);
    ck_assert_int_eq(settings->journal_segment_bytes, 1 << 30);
    ck_assert_int_eq(settings->journal_segment_age_us, 7 * TIME_DAY_US);
    ck_assert_int_eq(settings->journal_reserve_bytes, 1 << 30);
    char state[128];
    (void)snprintf(state, sizeof state, "%s/here/state", loading.folder);
    ck_assert_str_eq(settings->state_folder, state);
    ck_assert_str_eq(settings->run_folder, "/r");
    ck_assert_int_eq(settings->clock_tolerance_us, TIME_SECOND_US);
    ck_assert_int_eq(settings->statement_timeout_us, 5 * TIME_SECOND_US);
    ck_assert_int_eq(settings->lock_timeout_us, 100000);
    ck_assert_int_eq(settings->survey_every_us, 2 * TIME_DAY_US);
    ck_assert(settings->survey_budget_us == 60 * TIME_SECOND_US && !settings->survey_alarm_after_us);
    loading_end(&loading);
}
END_TEST

START_TEST(rules_may_stand_in_lapsed_conf_and_its_bytes_are_hashed) {
    struct loading loading;
    loading_load(&loading, "stores = { main = { url = \"postgresql:///app?host=/run/postgresql\"; }; };\n" ONE_RULE("keep = \"1 day\";", ONE_TABLE), NULL);
    ck_assert_msg(loading.schedule, "%s", loading_print(&loading));
    ck_assert_str_eq(loading.schedule->schedule_path, loading.main);
    ck_assert_uint_eq(strlen(loading.schedule->sha256), 64);
    ck_assert(!loading.schedule->has_tenants);
    loading_end(&loading);
}
END_TEST

START_TEST(an_empty_schedule_is_allowed_only_for_a_draft) {
    static const char *const rules[] = {"schedule = ( );", "# nothing yet\n"};
    for (size_t i = 0; i < 2; i++) {
        struct loading loading;
        loading_load_bytes(&loading, GOOD_MAIN, strlen(GOOD_MAIN), rules[i], strlen(rules[i]), true);
        ck_assert_ptr_nonnull(loading.schedule);
        ck_assert_uint_eq(loading.schedule->n_rules, 0);
        loading_end(&loading);
    }
    loading_expect(GOOD_MAIN, rules[0], "schedule.conf:1: ", "schedule is empty; write its rules");
    loading_expect(GOOD_MAIN, rules[1], "schedule.conf:0: ", "holds no schedule; write schedule = (");
    loading_expect("stores = { main = { url = \"postgresql://h/d\"; }; };", NULL, "lapsed.conf:0: ", "schedule is missing");
}
END_TEST

START_TEST(every_kind_of_target_is_read) {
    struct loading loading;
    loading_load(&loading, GOOD_MAIN,
                 "schedule = (\n"
                 "{ data = \"A\"; basis = \"b\"; keep = [ \"deletion + 30 days\", \"until account\" ];\n"
                 "  targets = ( { table = \"helpdesk.tickets\"; tenant = \"org\"; ends = { deletion = \"deleted_at\"; }; only = \"status <> 'open'\"; key = \"ctid\";\n"
                 "                dependents = [ \"fees.ticket_id = tickets.id, fees.shard = tickets.shard\", \"taxes.fee = fees.id\", \"tickets.parent\" ]; } ); },\n"
                 "{ data = \"B\"; basis = \"b\"; keep = \"forever\"; targets = ( { table = \"a\"; tenant = \"x\"; via = [ \"b_id = b.id\", \"c_id = app.c.id\" ]; } ); },\n"
                 "{ data = \"C\"; basis = \"b\"; keep = \"12 weeks\"; targets = ( { keys = \"s:{tenant}:{date:%Y%m%d}\"; since = \"{date}\"; zone = \"UTC\"; },\n"
                 "   { keys = \"z:{tenant}\"; since = \"score\"; unit = \"ms\"; }, { keys = \"x\"; tenant = \"none\"; since = \"stream-id\"; },\n"
                 "   { collection = \"events\"; tenant = \"who.id\"; since = \"at\"; only = \"{\\\"kind\\\": {\\\"$in\\\": [1]}}\"; } ); }\n"
                 ");\n");
    ck_assert_msg(loading.schedule, "%s", loading_print(&loading));
    const struct rule *rules = loading.schedule->rules;
    ck_assert_int_eq(rules[0].keep[0].tenant_end, -1);
    ck_assert_str_eq(rules[0].keep[0].end, "deletion");
    ck_assert_int_eq(rules[0].keep[1].tenant_end, 1);
    ck_assert_int_eq(rules[0].keep[1].period.count, 0);
    ck_assert_str_eq(schedule_keep_text(loading.arena, rules[0].keep, 2), "deletion + 30 days, or until account");
    ck_assert_uint_eq(rules[0].targets[0].dependents[0].join.n_columns, 2);
    ck_assert_str_eq(rules[0].targets[0].dependents[0].join.parent_columns[1], "shard");
    ck_assert_uint_eq(rules[1].targets[0].n_via, 2);
    ck_assert_str_eq(rules[1].targets[0].via[0].child_table, "a");
    ck_assert_str_eq(rules[1].targets[0].via[1].child_table, "b");
    ck_assert_str_eq(rules[1].targets[0].via[1].parent_table, "app.c");
    ck_assert_int_eq(rules[1].keep[0].kind, KEEP_FOREVER);
    ck_assert_int_eq(rules[2].targets[1].unit, UNIT_MILLISECONDS);
    ck_assert_str_eq(rules[2].targets[3].tenant, "who.id");
    loading_end(&loading);
}
END_TEST

START_TEST(all_faults_of_one_run_come_together_in_order) {
    struct loading loading;
    loading_load(&loading, GOOD_MAIN "swep = { };\n",
                 "schedule = (\n"
                 "{ data = \"Billing Records\";\n"
                 "  keep = \"7\";\n"
                 "  targets = ( { table = \"invoices\"; tenant = \"c\"; sinse = \"s\"; } ); },\n"
                 "{ data = \"Logs\"; keep = \"subscription + 1 month 3 days\"; basis = \"b\";\n"
                 "  targets = ( { table = \"logs\"; } ); } );\n");
    ck_assert_str_eq(loading_print(&loading),
                     "lapsed.conf:4: unknown setting \"swep\"; did you mean \"sweep\"?\n"
                     "schedule.conf:2: \"Billing Records\": basis is missing; write basis = \"…\", why the data is kept that long\n"
                     "schedule.conf:3: \"Billing Records\": keep = \"7\" has no unit; write \"7 days\", \"7 months\" or \"7 years\"\n"
                     "schedule.conf:4: \"Billing Records\": unknown setting \"sinse\"; did you mean \"since\"?\n"
                     "schedule.conf:5: \"Logs\": keep = \"subscription + 1 month 3 days\": \"1 month 3 days\" mixes units; write one number and one unit, such as \"30 days\" or \"13 months\"\n"
                     "schedule.conf:6: \"Logs\", table \"logs\": no tenant is named; name its column (tenant = \"customer_id\"), or write tenant = \"none\" if the table has no tenants\n");
    ck_assert(strstr(loading.err.text, "6 faults"));
    loading_end(&loading);
}
END_TEST

START_TEST(bytes_are_checked_before_they_are_parsed) {
    loading_expect(GOOD_MAIN, NULL, "lapsed.conf:3: ", "cannot open");
    loading_expect(GOOD_MAIN, "# one\n# tw\xff\n", "schedule.conf:2: ", "is not UTF-8");
    loading_expect(GOOD_MAIN, "\xef\xbb\xbfschedule = ();", "schedule.conf:1: ", "byte order mark");
    struct loading loading;
    loading_load_bytes(&loading, GOOD_MAIN, strlen(GOOD_MAIN), "# a\n\0schedule = ();", 18, false);
    ck_assert(strstr(loading_print(&loading), "schedule.conf:2: the line has a NUL byte"));
    loading_end(&loading);
    size_t much = (4u << 20) + 1;
    char *large = malloc(much);
    memset(large, '\n', much);
    loading_load_bytes(&loading, large, much, NULL, 0, false);
    ck_assert(strstr(loading_print(&loading), "is larger than"));
    loading_end(&loading);
    free(large);
}
END_TEST

START_TEST(a_missing_file_is_named) {
    struct arena *arena = arena_new();
    struct faults faults = {.arena = arena};
    struct schedule *schedule = NULL;
    struct err err;
    ck_assert_int_eq(schedule_load("/nonexistent/lapsed.conf", false, &schedule, &faults, &err), -1);
    ck_assert_ptr_null(schedule);
    ck_assert_uint_eq(faults.count, 1);
    loading_expect_print(&faults, "cannot open /nonexistent/lapsed.conf: No such file or directory\n");
    arena_free(arena);
}
END_TEST

START_TEST(what_libconfig_would_do_silently_is_refused) {
    loading_expect(GOOD_MAIN, "a = 1;\n  @include \"/etc\"\n", "schedule.conf:2: ", "@include is not taken");
    loading_expect(GOOD_MAIN, "/* \"\n */ a = \"x\\\"\n\"; @include \"/etc\"\n", "schedule.conf:3: ", "@include is not taken");
    loading_expect(GOOD_MAIN, ONE_RULE("keep = [ \"until account\"\n\"1 day\" ];", ONE_TABLE), "schedule.conf:2: ", "two strings stand side by side in a list");
    loading_expect(GOOD_MAIN "batch = { rows = 4294967297; };", ONE_RULE("keep = \"1 day\";", ONE_TABLE), "lapsed.conf:4: ", "a number is too large");
    loading_expect(GOOD_MAIN, ONE_RULE("keep = \"1 day\\x00s\";", ONE_TABLE), "schedule.conf:1: ", "a string holds \\x00");
    loading_expect(GOOD_MAIN, ONE_RULE("keep = \"1 day\"; only = \"\\xff\";", ONE_TABLE), "schedule.conf:1: ", "unknown setting \"only\"");
    loading_expect(GOOD_MAIN, ONE_RULE("keep = \"1 day\";", ONE_TABLE " only = \"\\xff\";"), "schedule.conf:1: ", "is not UTF-8");
    struct buf deep = {0};
    for (int i = 0; i < 100000; i++) buf_add(&deep, "(");
    loading_expect(GOOD_MAIN, buf_text(&deep), "schedule.conf:1: ", "nested too deeply");
    buf_free(&deep);
}
END_TEST

START_TEST(an_include_in_a_text_or_a_comment_is_no_include) {
    struct loading loading;
    loading_load(&loading, GOOD_MAIN, "# @include \"x\"\n// @include\n/* @include */\n" ONE_RULE("keep = \"1 day\";", "table = \"t\"; tenant = \"c\"; since = \"s\"; only = \"a = '@include'\";"));
    ck_assert_msg(loading.schedule, "%s", loading_print(&loading));
    loading_end(&loading);
}
END_TEST

START_TEST(syntax_errors_come_alone_with_a_hint) {
    loading_expect(GOOD_MAIN, "schedule = (\n{ data = \"D\"; }\n{ data = \"E\"; } );", "schedule.conf:3: ", "missing ; or ,");
    loading_expect(GOOD_MAIN, "schedule = ( );\nschedule = ( );", "schedule.conf:2: ", "for the second time");
    loading_expect(GOOD_MAIN, "schedule = [ 1, \"a\" ];", "schedule.conf:1: ", "different types");
    loading_expect(GOOD_MAIN, "schedule = (", "schedule.conf:1: ", "an open bracket");
    loading_expect("stores = {", NULL, "lapsed.conf:1: ", "an open bracket");
}
END_TEST

START_TEST(strings_carry_the_line_they_begin_in) {
    struct loading loading;
    loading_load(&loading, GOOD_MAIN, "schedule = ( { data = \"D\"; basis = \"b\"; keep = [\n\"12\"\n,\n\"account\"\n \n]; targets = ( { " ONE_TABLE " } ); } );\n");
    ck_assert_uint_eq(loading.faults.count, 2);
    ck_assert_uint_eq(loading.faults.items[0].place.line, 2);
    ck_assert_uint_eq(loading.faults.items[1].place.line, 4);
    loading_end(&loading);
}
END_TEST

/* libconfig 1.5 leaks on some syntax errors. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libconfig.so"; }

UNIT_MAIN("schedule/load", the_first_schedule_of_the_design_loads_as_it_stands, our_own_examples_load, settings_have_defaults, settings_are_taken,
          rules_may_stand_in_lapsed_conf_and_its_bytes_are_hashed, an_empty_schedule_is_allowed_only_for_a_draft, every_kind_of_target_is_read,
          all_faults_of_one_run_come_together_in_order, bytes_are_checked_before_they_are_parsed, a_missing_file_is_named,
          what_libconfig_would_do_silently_is_refused, an_include_in_a_text_or_a_comment_is_no_include, syntax_errors_come_alone_with_a_hint,
          strings_carry_the_line_they_begin_in)
