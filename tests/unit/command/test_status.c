#include "command/status.h"

#include "base/text.h"
#include "base/time.h"
#include "temporary.h"
#include "unit.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* A daemon that swept at 01:00 and is well. PID is put in by `state_of`. */
static const char well[] =
    "{\"v\":1,\"pid\":%d,\"state\":\"idle\",\"reason\":\"\",\"since\":\"2026-11-23T01:12:04Z\",\"schedule\":\"00\","
    "\"next_sweep\":\"2026-11-24T01:00:00Z\",\"last_sweep\":{\"sweep\":7,\"began\":\"2026-11-23T01:00:00Z\","
    "\"ended\":\"2026-11-23T01:12:04Z\",\"result\":\"done\"},\"rules\":[{\"rule\":\"Billing Records\",\"purged\":1000,"
    "\"anonymized\":0,\"blocked\":31,\"undecidable\":4,\"left\":0,\"lag_seconds\":0,\"last_success\":\"2026-11-23T01:12:04Z\"}],"
    "\"stores\":[{\"store\":\"main\",\"state\":\"up\"}],\"findings\":[]}";

static char folder[TEMPORARY_ROOM];
static struct schedule schedule;

static void write_file(const char *name, const char *text) {
    char path[256];
    struct err err;
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    ck_assert_int_eq(text_write_file(path, text, strlen(text), 0600, &err), 0);
}

static void make_folder(void) {
    ck_assert(temporary_folder(folder));
    schedule.settings.journal_folder = schedule.settings.run_folder = schedule.settings.state_folder = folder;
}

static void remove_folder(void) {
    static const char *const names[] = {"lock", "status.json", "findings.json"};
    char path[256];
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(folder);
}

/* Holds the lock as the daemon does: flock, and its process id in it. */
static int hold_lock(pid_t pid) {
    char path[256], text[32];
    (void)snprintf(path, sizeof path, "%s/lock", folder);
    (void)snprintf(text, sizeof text, "%d\n", (int)pid);
    write_file("lock", text);
    int file = open(path, O_RDWR);
    ck_assert_int_eq(flock(file, LOCK_EX | LOCK_NB), 0);
    return file;
}

static void write_status(const char *format, int pid) {
    char text[4096];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    (void)snprintf(text, sizeof text, format, pid);
#pragma GCC diagnostic pop
    write_file("status.json", text);
}

static int64_t at(const char *text) {
    int64_t us;
    ck_assert(time_parse(text, &us));
    return us;
}

static struct daemon_state read_state(void) {
    struct daemon_state state;
    struct err err;
    ck_assert_int_eq(daemon_state_read(&schedule, &state, &err), 0);
    return state;
}

static char *printed(const struct daemon_state *state, int64_t now_us) {
    struct arena *arena = arena_new();
    char *text;
    size_t length;
    FILE *to = open_memstream(&text, &length);
    status_print(arena, state, now_us, to, false);
    (void)fclose(to);
    arena_free(arena);
    return text;
}

START_TEST(a_daemon_that_is_well) {
    make_folder();
    int lock = hold_lock(getpid());
    write_status(well, getpid());
    struct daemon_state state = read_state();
    ck_assert(daemon_state_is_current(&state));
    int64_t now_us = at("2026-11-23T09:00:00Z");
    ck_assert_int_eq(status_verdict(&state, now_us), STATUS_WELL);
    char *text = printed(&state, now_us), expected[1024];
    (void)snprintf(expected, sizeof expected,
                   "lapsed is running (process %d), idle since 2026-11-23 01:12:04 UTC\n"
                   "last sweep: 7, began 2026-11-23 01:00:00 UTC, done after 12 min 4 s\n"
                   "next sweep: 2026-11-24 01:00:00 UTC\n"
                   "\n"
                   "RULE             PURGED  ANONYMIZED  BLOCKED  UNDECIDABLE  LEFT  LAG  OLDEST DUE  LAST SUCCESS\n"
                   "Billing Records   1,000           0       31            4     0    -  -           2026-11-23 01:12:04 UTC\n",
                   (int)getpid());
    ck_assert_str_eq(text, expected);
    free(text);
    daemon_state_free(&state);
    (void)close(lock);
    remove_folder();
}
END_TEST

START_TEST(without_the_lock_it_is_not_running) {
    make_folder();
    (void)close(hold_lock(getpid()));
    write_status(well, getpid());
    struct daemon_state state = read_state();
    ck_assert(!state.running);
    ck_assert_int_eq(status_verdict(&state, at("2026-11-23T09:00:00Z")), STATUS_STOPPED);
    char *text = printed(&state, 0);
    ck_assert_ptr_nonnull(strstr(text, "lapsed is not running; start it: systemctl start lapsed (journalctl -u lapsed says why it does not)\n"));
    ck_assert_ptr_nonnull(strstr(text, "what it left behind"));
    free(text);
    daemon_state_free(&state);
    remove_folder();
}
END_TEST

START_TEST(a_daemon_that_never_ran_is_no_error) {
    make_folder();
    struct daemon_state state = read_state();
    ck_assert(!state.running);
    ck_assert_ptr_null(state.status);
    ck_assert_int_eq(status_verdict(&state, 0), STATUS_STOPPED);
    ck_assert_int_eq(findings_verdict(state.findings), FINDINGS_UNKNOWN);
    remove_folder();
}
END_TEST

START_TEST(the_status_of_another_process_is_not_the_present_one) {
    make_folder();
    int lock = hold_lock(getpid());
    write_status(well, getpid() + 1);
    struct daemon_state state = read_state();
    ck_assert(state.running);
    ck_assert(!daemon_state_is_current(&state));
    ck_assert_int_eq(status_verdict(&state, at("2026-11-23T09:00:00Z")), STATUS_ATTENTION);
    daemon_state_free(&state);
    (void)close(lock);
    remove_folder();
}
END_TEST

/* Each of these alone takes the status from well to attention. */
START_TEST(what_needs_attention) {
    static const struct { const char *path /* NULL: the findings themselves */, *json; } changes[] = {
        {"state", "\"waiting\""},
        {"rules", "[{\"rule\":\"Billing Records\",\"lag_seconds\":60}]"},
        {"rules", "[{\"rule\":\"Billing Records\",\"left\":1}]"},
        {"rules", "[{\"rule\":\"Billing Records\",\"left\":0,\"late\":true}]"},
        {"stores", "[{\"store\":\"main\",\"state\":\"down\",\"error\":\"\"}]"},
        {NULL, "[{\"code\":\"since-empty\",\"count\":1,\"text\":\"\",\"alarms\":\"2026-11-23T09:00:00Z\"}]"},
        {NULL, "[{\"code\":\"since-empty\",\"count\":1,\"text\":\"\"}]"},
        {"next_sweep", "\"2026-11-23T08:00:00Z\""},
    };
    struct daemon_state state = {.running = true, .pid = 5};
    int64_t now_us = at("2026-11-23T09:00:00Z");
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char text[4096];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        (void)snprintf(text, sizeof text, well, 5);
#pragma GCC diagnostic pop
        state.status = json_loads(text, 0, NULL);
        ck_assert_int_eq(status_verdict(&state, now_us), STATUS_WELL);
        json_t *change = json_loads(changes[i].json, JSON_DECODE_ANY, NULL);
        if (changes[i].path) ck_assert_int_eq(json_object_set_new(state.status, changes[i].path, change), 0);
        else state.findings = change;
        ck_assert_msg(status_verdict(&state, now_us) == STATUS_ATTENTION, "change %zu", i);
        daemon_state_free(&state);
    }
}
END_TEST

/* What is undecidable for less than survey.alarm_after is listed, and no alarm. */
START_TEST(a_young_finding_is_no_alarm) {
    make_folder();
    int lock = hold_lock(getpid());
    char text[4096];
    const char *end = strstr(well, "\"rules\"");
    (void)snprintf(text, sizeof text, "%.*s%s", (int)(end - well), well,
                   "\"rules\":[{\"rule\":\"Logs\",\"left\":0,\"late\":true,\"waits\":[{\"why\":\"held\",\"records\":2},{\"why\":\"store x\",\"records\":-1}]}],"
                   "\"findings\":[{\"code\":\"since-empty\",\"count\":1,\"text\":\"\",\"alarms\":\"2026-11-23T09:00:00.000001Z\"}]}");
    write_status(text, getpid());
    struct daemon_state state = read_state();
    int64_t now_us = at("2026-11-23T09:00:00Z");
    char *shown = printed(&state, now_us);
    ck_assert_ptr_nonnull(strstr(shown, "\nlate: \"Logs\" has not succeeded for longer than two sweeps\n"
                                        "\"Logs\": 2 are due and still there: held\n"
                                        "\"Logs\": unknown how many are due and still there: store x\n"));
    ck_assert_ptr_nonnull(strstr(shown, "1 finding: lapsectl findings\n"));
    json_object_set_new(state.status, "rules", json_array());
    ck_assert_int_eq(status_verdict(&state, now_us), STATUS_WELL);
    ck_assert_int_eq(status_verdict(&state, now_us + 1), STATUS_ATTENTION);
    free(shown);
    daemon_state_free(&state);
    (void)close(lock);
    remove_folder();
}
END_TEST

START_TEST(a_damaged_status_is_said) {
    make_folder();
    write_file("status.json", "{\"v\":1,");
    struct daemon_state state;
    struct err err;
    ck_assert_int_eq(daemon_state_read(&schedule, &state, &err), -1);
    ck_assert_int_eq(err.code, ERR_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "status.json\" is not JSON"));
    remove_folder();
}
END_TEST

START_TEST(findings_are_those_of_the_last_sweep) {
    make_folder();
    write_file("findings.json", "[{\"code\":\"since-empty\",\"rule\":\"Website Analytics\",\"store\":\"main\","
                                "\"place\":\"page_views.viewed_at\",\"tenant\":null,\"count\":4,\"text\":\"the anchor is empty\"}]");
    struct daemon_state state = read_state();
    struct arena *arena = arena_new();
    ck_assert_int_eq(findings_verdict(state.findings), FINDINGS_SOME);
    char *text;
    size_t length;
    FILE *to = open_memstream(&text, &length);
    findings_print(arena, state.findings, to, false);
    (void)fclose(to);
    ck_assert_str_eq(text, "since-empty  store main, page_views.viewed_at  under \"Website Analytics\"  4 times\n"
                           "    the anchor is empty\n");
    free(text);
    arena_free(arena);
    daemon_state_free(&state);
    remove_folder();
}
END_TEST

/* A daemon that has not swept since its start has no findings of its own yet. */
START_TEST(a_new_daemon_does_not_hide_findings) {
    make_folder();
    int lock = hold_lock(getpid());
    write_status("{\"v\":1,\"pid\":%d,\"state\":\"idle\",\"last_sweep\":null,\"rules\":[],\"stores\":[],\"findings\":null}", getpid());
    write_file("findings.json", "[{\"code\":\"since-empty\",\"count\":4,\"text\":\"\"}]");
    struct daemon_state state = read_state();
    ck_assert_int_eq(status_verdict(&state, 0), STATUS_ATTENTION);
    char *text = printed(&state, 0);
    ck_assert_ptr_nonnull(strstr(text, "last sweep: none yet\n"));
    ck_assert_ptr_nonnull(strstr(text, "1 finding: lapsectl findings\n"));
    free(text);
    daemon_state_free(&state);
    (void)close(lock);
    remove_folder();
}
END_TEST

UNIT_MAIN("status", a_daemon_that_is_well, without_the_lock_it_is_not_running, a_daemon_that_never_ran_is_no_error,
          the_status_of_another_process_is_not_the_present_one, what_needs_attention, a_young_finding_is_no_alarm, a_damaged_status_is_said,
          findings_are_those_of_the_last_sweep, a_new_daemon_does_not_hide_findings)
