/* The stage for tests of the sweep: the scripted store, a journal of its own, a loop, and what the last sweep reported. */
#ifndef LAPSED_TESTS_STAGE_H
#define LAPSED_TESTS_STAGE_H

#include "schedule_text.h"
#include "store/scripted.h"
#include "sweep/sweep.h"
#include "temporary.h"

#include <sched.h>
#include <sys/stat.h>

/* Logs go by age in store "main", Content by the account's end in store "other", Account is the tenants' own. */
#define HEAD                                                                                                              \
    "stores = { main = { url = \"mongodb://a/a\"; }; other = { url = \"mongodb://b/b\"; }; };\n"                         \
    "tenants = { store = \"main\"; ends = [ \"account\" ]; collection = \"customers\"; pipeline = \"[]\"; };\n"           \
    "sweep = { load = \"full\"; };\n"                                                                                     \
    "schedule = ( "
#define LOGS                                                                                                              \
    "{ data = \"Logs\"; keep = \"12 months\"; basis = \"b\"; targets = ( { store = \"main\"; collection = \"logs\"; tenant = \"t\"; since = \"at\"; } ); }"
#define CONTENT                                                                                                           \
    "{ data = \"Content\"; keep = \"account + 30 days\"; basis = \"b\"; targets = ( { store = \"other\"; collection = \"content\"; tenant = \"t\"; } ); }"
#define ACCOUNT                                                                                                           \
    "{ data = \"Account\"; keep = \"account + 90 days\"; basis = \"b\"; targets = ( { store = \"main\"; collection = \"customers\"; tenant = \"_id\"; } ); }"

static char folder[TEMPORARY_ROOM];
static struct engine engine;
static struct schedule *schedule;
static struct sweep_report seen; /* of the last sweep; its lists are gone */
static char finding_codes[512];
static struct rule_report rules[8];
static int64_t now_us;
static const char *trigger = "timer"; /* of the next sweep */

/* ---- the stage: folders, journal, loop ---- */

static inline void on_wake(struct ev_loop *loop, struct ev_async *watcher, int events) {
    (void)loop, (void)watcher, (void)events;
    engine_collect(&engine);
}

static inline void wake(void *context) {
    (void)context;
    ev_async_send(engine.loop, &engine.wake);
}

static inline void open_all(const char *text) {
    ck_assert(temporary_folder(folder));
    scripted_reset();
    store_register(&scripted_driver);
    schedule = schedule_of(text);
    for (size_t i = 0; i < schedule->n_stores; i++) ((struct store_conf *)(uintptr_t)&schedule->stores[i])->kind = STORE_SCRIPTED;
    schedule->settings.state_folder = folder;
    schedule->settings.journal_folder = arena_printf(schedule->arena, "%s/journal", folder);
    /* What brakes do has its own tests. */
    schedule->settings.brakes = (struct brake_limits){.first_run = false, .records = INT32_MAX, .tenants = INT32_MAX, .share = 100, .growth = 1, .shrink = 100};
    engine = (struct engine){.loop = ev_loop_new(EVFLAG_AUTO)};
    ev_async_init(&engine.wake, on_wake);
    ev_async_start(engine.loop, &engine.wake);
    const struct journal_conf conf = {.folder = schedule->settings.journal_folder, .segment_bytes = 1 << 20,
                                      .segment_age_us = 100 * TIME_DAY_US, .wake = wake};
    struct arena *arena = arena_new();
    const struct open_intent *open;
    size_t n_open;
    struct err err;
    if (journal_open(&conf, arena, &engine.journal, &open, &n_open, &err)) ck_abort_msg("%s", err.text);
    ck_assert_uint_eq(n_open, 0);
    arena_free(arena);
    if (engine_start(&engine, schedule, &err)) ck_abort_msg("%s", err.text);
    now_us = time_now_us();
}

static inline void close_all(void) {
    engine_stop(&engine);
    journal_close(engine.journal);
    while (engine.unsettled) engine_forget(&engine, engine.unsettled->seq);
    vetoes_clear(&engine);
    ev_loop_destroy(engine.loop);
    schedule_free(schedule);
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}

static inline void on_done(void *context, const struct sweep_report *report) {
    (void)context;
    seen = *report;
    finding_codes[0] = '\0';
    for (size_t i = 0; i < report->n_findings; i++)
        (void)snprintf(finding_codes + strlen(finding_codes), sizeof finding_codes - strlen(finding_codes), "%s ", report->findings[i].code);
    memcpy(rules, report->rules, report->n_rules * sizeof *rules);
    ev_break(engine.loop, EVBREAK_ALL);
}

static inline struct sweep *begin(void) { return sweep_start(&engine, trigger, now_us, on_done, NULL); }

static inline void finish(struct sweep *sweep) {
    ev_run(engine.loop, 0);
    sweep_free(sweep);
}

static inline void sweep_once(void) { finish(begin()); }

/* Runs the loop until `is` says so. */
static inline void run_until(bool (*is)(void)) {
    int64_t deadline_us = time_monotonic_us() + 30 * TIME_SECOND_US;
    while (!is()) {
        ev_run(engine.loop, EVRUN_NOWAIT);
        ck_assert_msg(time_monotonic_us() < deadline_us, "it never came to pass");
        (void)sched_yield();
    }
}

/* Runs the loop until a worker waits in this verb. */
static inline void run_until_blocked(enum scripted_verb verb) {
    unsigned calls = scripted_calls(verb);
    int64_t deadline_us = time_monotonic_us() + 30 * TIME_SECOND_US;
    while (scripted_calls(verb) == calls) {
        ev_run(engine.loop, EVRUN_NOWAIT);
        ck_assert_msg(time_monotonic_us() < deadline_us, "the verb was never asked for");
        (void)sched_yield();
    }
    scripted_wait_blocked(verb);
}

static inline void tenant(const char *id, int64_t days_ago) {
    int64_t end_us = days_ago < 0 ? TIME_FOREVER : now_us - days_ago * TIME_DAY_US;
    scripted_tenant(id, &end_us, 1);
}

/* How often the journal's lines on disk hold this text. */
static inline int journal_has(const char *text) {
    char path[128], *bytes;
    size_t length;
    struct err err;
    (void)snprintf(path, sizeof path, "%s/journal/journal.jsonl", folder);
    if (text_read_file(path, 1 << 24, &bytes, &length, &err)) ck_abort_msg("%s", err.text);
    int count = 0;
    for (const char *found = bytes; (found = strstr(found, text)); found++) count++;
    free(bytes);
    return count;
}

#endif
