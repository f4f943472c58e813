/* What waits for a person, and what goes: the first run, a widened target, more than the last runs explain, a list that shrank. */
#include "base/text.h"
#include "schedule/brake.h"
#include "schedule_text.h"
#include "temporary.h"

#include <unistd.h>

#define DAY TIME_DAY_US

static const char logs[] = "keep = \"12 months\"; basis = \"b\"; targets = ( { table = \"logs\"; tenant = \"t\"; since = \"at\"; } );";

static struct schedule *schedule_with(const char *rule, const char *settings) {
    char text[2048];
    (void)snprintf(text, sizeof text,
                   "stores = { main = { url = \"postgresql://lapsed@db/app\"; }; };\n"
                   "tenants = { store = \"main\"; ends = [ \"account\" ]; query = \"SELECT id AS tenant, account FROM c\"; };\n%s\n"
                   "schedule = ( { data = \"Logs\"; %s } );", settings, rule);
    return schedule_of(text);
}

/* A rule under its brakes, as sweeps would judge it one after the other. */
struct bench {
    struct schedule *schedule;
    struct brakes *brakes;
    struct arena *arena;
    struct approval approvals[4];
    size_t n_approvals;
};

static struct bench bench_with(const char *rule, const char *settings) {
    struct bench bench = {.schedule = schedule_with(rule, settings), .arena = arena_new()};
    struct err err;
    ck_assert_int_eq(brakes_load("/nonexistent-folder", &bench.brakes, &err), 0);
    return bench;
}

static void bench_end(struct bench *bench) {
    brakes_free(bench->brakes);
    schedule_free(bench->schedule);
    arena_free(bench->arena);
}

static void approve(struct bench *bench, const char *tenant, int64_t at_us) {
    const struct rule_digest digest = rule_digest(bench->schedule, &bench->schedule->rules[0]);
    bench->approvals[bench->n_approvals++] = (struct approval){.digest = arena_strdup(bench->arena, digest.text), .tenant = tenant, .at_us = at_us};
}

static struct leave judge(struct bench *bench, struct brake_figures figures, int64_t now_us) {
    const struct approvals approvals = {bench->approvals, bench->n_approvals};
    const struct rule *rule = &bench->schedule->rules[0];
    struct leave leave = brakes_judge(bench->brakes, bench->arena, bench->schedule, rule, &figures, &approvals, now_us);
    brakes_note(bench->brakes, &bench->schedule->settings, rule, &figures, &leave, now_us);
    return leave;
}

static enum brake night(struct bench *bench, int64_t records, int64_t tenants, int64_t now_us) {
    return judge(bench, (struct brake_figures){.records = records, .tenants = tenants}, now_us).brake;
}

/* It has run, and has no approval any more. */
static struct bench bench_that_ran(const char *settings, int64_t now_us) {
    struct bench bench = bench_with(logs, settings);
    approve(&bench, NULL, now_us);
    ck_assert_int_eq(night(&bench, 1, 1, now_us), BRAKE_FIRST_RUN);
    bench.n_approvals = 0;
    return bench;
}

START_TEST(the_first_run_waits_for_an_approval) {
    struct bench bench = bench_with(logs, "");
    int64_t now_us = at("2026-11-23");
    struct leave leave = judge(&bench, (struct brake_figures){.records = 41210, .tenants = 12}, now_us);
    char expected[256];
    (void)snprintf(expected, sizeof expected, "\"Logs\": 41,210 records of 12 tenants are due for the first time; nothing is destroyed until \"lapsectl approve %.8s\"",
                   leave.digest.text);
    ck_assert_str_eq(leave.text, expected);
    ck_assert(leave.brake == BRAKE_FIRST_RUN && leave.as_of_us == TIME_NEVER && !leave.n_tenants);
    const struct waiting *waiting;
    ck_assert_uint_eq(brakes_waiting(bench.brakes, bench.arena, &waiting), 1);
    ck_assert_str_eq(waiting[0].text, expected);
    ck_assert_int_eq(waiting[0].records, 41210);
    /* Nothing due waits for nobody, but what comes next still does. */
    leave = judge(&bench, (struct brake_figures){0}, now_us + DAY);
    ck_assert(leave.brake == BRAKE_FIRST_RUN && !leave.text && leave.as_of_us == TIME_NEVER);
    ck_assert_uint_eq(brakes_waiting(bench.brakes, bench.arena, &waiting), 0);
    approve(&bench, NULL, now_us + 2 * DAY);
    leave = judge(&bench, (struct brake_figures){.records = 41210, .tenants = 12}, now_us + 3 * DAY);
    ck_assert(!leave.text && leave.as_of_us == now_us + 2 * DAY);
    bench.n_approvals = 0;
    ck_assert_int_eq(night(&bench, 900, 9, now_us + 4 * DAY), BRAKE_NONE);
    bench_end(&bench);
}
END_TEST

START_TEST(a_tenants_approval_is_for_that_tenant) {
    struct bench bench = bench_with(logs, "");
    int64_t now_us = at("2026-11-23");
    approve(&bench, "7", now_us);
    struct leave leave = judge(&bench, (struct brake_figures){.records = 5000, .tenants = 3}, now_us + 1);
    ck_assert(leave.text && leave.as_of_us == TIME_NEVER);
    ck_assert_uint_eq(leave.n_tenants, 1);
    ck_assert_str_eq(leave.tenants[0].tenant, "7");
    bench.n_approvals = 0;
    ck_assert_int_eq(night(&bench, 4000, 2, now_us + DAY), BRAKE_FIRST_RUN);
    bench_end(&bench);
}
END_TEST

START_TEST(more_than_the_last_runs_explain_waits) {
    int64_t now_us = at("2026-11-23");
    struct bench bench = bench_that_ran("", now_us);
    ck_assert_int_eq(night(&bench, 1000, 10, now_us += DAY), BRAKE_NONE);
    ck_assert_int_eq(night(&bench, 3001, 10, now_us + DAY), BRAKE_RECORDS);
    ck_assert_int_eq(night(&bench, 3000, 30, now_us += DAY), BRAKE_NONE);
    ck_assert_int_eq(night(&bench, 100, 91, now_us + DAY), BRAKE_TENANTS);
    struct leave leave = judge(&bench, (struct brake_figures){.records = 9001, .tenants = 12}, now_us + DAY);
    ck_assert_ptr_nonnull(strstr(leave.text, "9,001 records of 12 tenants are due, its last runs explain 9,000;"));
    /* Four days without a sweep bring four times as much; a year does not bring more than a week. */
    ck_assert_int_eq(night(&bench, 36001, 1, now_us + 4 * DAY), BRAKE_RECORDS);
    ck_assert_int_eq(night(&bench, 63001, 1, now_us + 365 * DAY), BRAKE_RECORDS);
    ck_assert_int_eq(night(&bench, 36000, 1, now_us + 4 * DAY), BRAKE_NONE);
    bench_end(&bench);
}
END_TEST

START_TEST(a_backlog_is_no_measure_of_a_night) {
    int64_t now_us = at("2026-11-23");
    struct bench bench = bench_with(logs, "");
    approve(&bench, NULL, now_us);
    (void)judge(&bench, (struct brake_figures){.records = 1000000, .tenants = 5, .lag_us = 1000 * DAY}, now_us);
    bench.n_approvals = 0;
    ck_assert_int_eq(night(&bench, 3001, 5, now_us + DAY), BRAKE_RECORDS);
    ck_assert_int_eq(night(&bench, 3000, 5, now_us + DAY), BRAKE_NONE);
    bench_end(&bench);
}
END_TEST

START_TEST(a_larger_share_waits) {
    int64_t now_us = at("2026-11-23");
    struct bench bench = bench_that_ran("", now_us);
    struct leave leave = judge(&bench, (struct brake_figures){.records = 510, .tenants = 1, .share = 51, .share_place = "logs"}, now_us + DAY);
    ck_assert_int_eq(leave.brake, BRAKE_SHARE);
    ck_assert_ptr_nonnull(strstr(leave.text, "51 % of \"logs\", its last runs explain 50 %;"));
    leave = judge(&bench, (struct brake_figures){.records = 99, .tenants = 1, .share = 99}, now_us + DAY);
    ck_assert_int_eq(leave.brake, BRAKE_NONE);
    bench_end(&bench);
}
END_TEST

START_TEST(what_cannot_be_counted_waits) {
    int64_t now_us = at("2026-11-23");
    struct bench bench = bench_that_ran("", now_us);
    struct leave leave = judge(&bench, (struct brake_figures){.uncounted = true}, now_us + DAY);
    ck_assert_int_eq(leave.brake, BRAKE_RECORDS);
    ck_assert_ptr_nonnull(strstr(leave.text, "more records than can be counted in time are due"));
    bench_end(&bench);
}
END_TEST

START_TEST(zero_means_stop) {
    static const char *const settings[] = {"brakes = { records = 0; };", "brakes = { growth = 0; };", "brakes = { tenants = 0; };", "brakes = { share = 0; };"};
    static const enum brake brakes[] = {BRAKE_RECORDS, BRAKE_RECORDS, BRAKE_TENANTS, BRAKE_SHARE};
    int64_t now_us = at("2026-11-23");
    for (size_t i = 0; i < 4; i++) {
        struct bench bench = bench_that_ran(settings[i], now_us);
        const struct brake_figures one = {.records = 1, .tenants = 1, .share = 1};
        ck_assert_int_eq(judge(&bench, one, now_us + DAY).brake, brakes[i]);
        approve(&bench, NULL, now_us + DAY);
        ck_assert_int_eq(judge(&bench, one, now_us + 2 * DAY).as_of_us, now_us + DAY);
        bench_end(&bench);
    }
}
END_TEST

START_TEST(without_the_first_brake_a_rule_runs_at_once) {
    struct bench bench = bench_with(logs, "brakes = { first_run = false; };");
    ck_assert_int_eq(night(&bench, 1000, 1, at("2026-11-23")), BRAKE_NONE);
    ck_assert_int_eq(night(&bench, 3001, 1, at("2026-11-24")), BRAKE_RECORDS);
    bench_end(&bench);
}
END_TEST

/* Which of two rules' digests are the same: reach, text. */
static void compare(const char *a, const char *b, bool same_reach, bool same_text) {
    struct schedule *one = schedule_with(a, ""), *other = schedule_with(b, "");
    const struct rule_digest x = rule_digest(one, &one->rules[0]), y = rule_digest(other, &other->rules[0]);
    ck_assert_msg(!strcmp(x.reach, y.reach) == same_reach, "reach: %s", b);
    ck_assert_msg(!strcmp(x.text, y.text) == same_text, "text: %s", b);
    schedule_free(one);
    schedule_free(other);
}

START_TEST(what_a_rule_reaches_is_in_its_digest) {
    compare(logs, "keep = \"12 months\"; basis = \"another\"; targets = ( { table = \"logs\"; tenant = \"t\"; since = \"at\"; } );", true, true);
    compare(logs, "keep = \"6 months\"; basis = \"b\"; targets = ( { table = \"logs\"; tenant = \"t\"; since = \"at\"; } );", true, false);
    compare(logs, "keep = \"12 months\"; basis = \"b\"; targets = ( { table = \"logs\"; tenant = \"t\"; since = \"seen\"; } );", false, false);
    compare(logs, "keep = \"12 months\"; basis = \"b\"; targets = ( { table = \"logs\"; tenant = \"t\"; since = \"at\"; only = \"kind = 1\"; } );", false, false);
    compare(logs, "keep = \"12 months\"; basis = \"b\"; targets = ( { table = \"logs\"; tenant = \"none\"; since = \"at\"; } );", false, false);
    compare(logs, "keep = \"12 months\"; basis = \"b\"; targets = ( { table = \"logs\"; tenant = \"t\"; since = \"at\"; dependents = \"lines.log_id\"; } );", false, false);
    compare(logs, "keep = \"account + 12 months\"; basis = \"b\"; targets = ( { table = \"logs\"; tenant = \"t\"; } );", false, false);
}
END_TEST

/* What another rule keeps of the same records at least is not this one's to destroy: until that falls. */
START_TEST(what_another_rule_keeps_at_least_is_in_the_digest) {
#define AND_MORE(at_least, table) "keep = \"12 months\"; basis = \"b\"; targets = ( { table = \"logs\"; tenant = \"t\"; since = \"at\"; } ); }, { data = \"Tax\"; keep = \"20 years\"; " at_least " basis = \"b\"; targets = ( { table = \"" table "\"; tenant = \"t\"; since = \"at\"; } );"
    compare(logs, AND_MORE("", "logs"), true, true);
    compare(logs, AND_MORE("at_least = \"10 years\";", "others"), true, true);
    compare(logs, AND_MORE("at_least = \"10 years\";", "logs"), false, false);
    compare(AND_MORE("at_least = \"10 years\";", "public.logs"), AND_MORE("at_least = \"8 years\";", "logs"), false, false);
}
END_TEST

/* The clock was ahead when it was given, and was set right since. */
START_TEST(an_approval_reaches_no_further_than_now) {
    int64_t now_us = at("2026-11-23");
    struct bench bench = bench_with(logs, "");
    approve(&bench, "acme", now_us + 3651 * DAY);
    struct leave leave = judge(&bench, (struct brake_figures){.records = 3, .tenants = 1}, now_us);
    ck_assert_uint_eq(leave.n_tenants, 1);
    ck_assert_int_eq(leave.tenants[0].at_us, now_us);
    approve(&bench, NULL, now_us + 3650 * DAY);
    leave = judge(&bench, (struct brake_figures){.records = 3, .tenants = 1}, now_us);
    ck_assert_int_eq(leave.as_of_us, now_us);
    ck_assert_uint_eq(leave.n_tenants, 0);
    bench_end(&bench);
}
END_TEST

START_TEST(a_changed_rule_waits_anew) {
    int64_t now_us = at("2026-11-23");
    struct bench bench = bench_that_ran("", now_us);
    struct schedule *old = bench.schedule;
    bench.schedule = schedule_with("keep = \"12 months\"; basis = \"b\"; targets = ( { table = \"logs\"; tenant = \"t\"; since = \"seen\"; } );", "");
    struct leave leave = judge(&bench, (struct brake_figures){.records = 3, .tenants = 1}, now_us + DAY);
    ck_assert_int_eq(leave.brake, BRAKE_CHANGED);
    ck_assert_ptr_nonnull(strstr(leave.text, "3 records of 1 tenant are due, and its places or conditions changed since it last ran;"));
    schedule_free(old);
    bench_end(&bench);
}
END_TEST

START_TEST(a_list_that_shrank_stops_everything) {
    struct bench bench = bench_with(logs, "");
    const struct brake_limits *limits = &bench.schedule->settings.brakes;
    int64_t now_us = at("2026-11-23");
    struct list_leave leave = brakes_judge_list(bench.brakes, bench.arena, limits, 1000, NULL);
    ck_assert(!leave.waits);
    brakes_note_list(bench.brakes, &leave, 1000, now_us);
    leave = brakes_judge_list(bench.brakes, bench.arena, limits, 800, NULL);
    ck_assert(!leave.waits);
    leave = brakes_judge_list(bench.brakes, bench.arena, limits, 700, NULL);
    ck_assert(leave.waits);
    brakes_note_list(bench.brakes, &leave, 700, now_us);
    struct approval approval = {.digest = arena_strdup(bench.arena, leave.digest), .at_us = now_us};
    const struct approvals approvals = {&approval, 1};
    const struct waiting *waiting;
    ck_assert_uint_eq(brakes_waiting(bench.brakes, bench.arena, &waiting), 1);
    ck_assert(!waiting[0].rule && !strcmp(waiting[0].digest, leave.digest));
    /* A few more or less are the list that was approved; half of it is not. */
    ck_assert(!brakes_judge_list(bench.brakes, bench.arena, limits, 690, &approvals).waits);
    ck_assert(brakes_judge_list(bench.brakes, bench.arena, limits, 350, &approvals).waits);
    leave = brakes_judge_list(bench.brakes, bench.arena, limits, 700, &approvals);
    brakes_note_list(bench.brakes, &leave, 700, now_us);
    ck_assert(!brakes_judge_list(bench.brakes, bench.arena, limits, 560, NULL).waits);
    bench_end(&bench);
}
END_TEST

START_TEST(the_state_outlives_the_daemon) {
    char folder[TEMPORARY_ROOM], path[2 * TEMPORARY_ROOM];
    ck_assert(temporary_folder(folder));
    (void)snprintf(path, sizeof path, "%s/brakes.json", folder);
    int64_t now_us = at("2026-11-23");
    struct bench bench = bench_that_ran("", now_us);
    struct err err;
    ck_assert_int_eq(night(&bench, 1000, 10, now_us += DAY), BRAKE_NONE);
    ck_assert_int_eq(night(&bench, 5000, 10, now_us), BRAKE_RECORDS);
    struct list_leave list = {.waits = false};
    brakes_note_list(bench.brakes, &list, 1000, now_us);
    ck_assert_int_eq(brakes_save(bench.brakes, folder, &err), 0);
    brakes_free(bench.brakes);
    ck_assert_msg(!brakes_load(folder, &bench.brakes, &err), "%s", err.text);
    const struct waiting *waiting;
    ck_assert_uint_eq(brakes_waiting(bench.brakes, bench.arena, &waiting), 1);
    ck_assert(waiting[0].records == 5000 && waiting[0].since_us == now_us && !strcmp(waiting[0].rule, "Logs"));
    ck_assert(brakes_judge_list(bench.brakes, bench.arena, &bench.schedule->settings.brakes, 700, NULL).waits);
    ck_assert_int_eq(night(&bench, 3001, 10, now_us + DAY), BRAKE_RECORDS);
    ck_assert_int_eq(night(&bench, 3000, 10, now_us + DAY), BRAKE_NONE);
    /* Anything else than what was written stops everything. */
    struct brakes *none = NULL;
    ck_assert_int_eq(text_write_file(path, "{\"v\":1,\"rules\":[]}", 18, 0640, &err), 0);
    ck_assert_int_eq(brakes_load(folder, &none, &err), -1);
    ck_assert_int_eq(err.code, ERR_IO);
    (void)unlink(path);
    (void)rmdir(folder);
    bench_end(&bench);
}
END_TEST

UNIT_MAIN("brake", the_first_run_waits_for_an_approval, a_tenants_approval_is_for_that_tenant, more_than_the_last_runs_explain_waits,
          a_backlog_is_no_measure_of_a_night, a_larger_share_waits, what_cannot_be_counted_waits, zero_means_stop,
          without_the_first_brake_a_rule_runs_at_once, what_a_rule_reaches_is_in_its_digest, what_another_rule_keeps_at_least_is_in_the_digest, an_approval_reaches_no_further_than_now, a_changed_rule_waits_anew,
          a_list_that_shrank_stops_everything, the_state_outlives_the_daemon)
