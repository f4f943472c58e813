#include "base/text.h"
#include "base/time.h"
#include "command/plan_report.h"
#include "command/table.h"
#include "command/verbs.h"
#include "sweep/inspect.h"

static void free_arena(struct arena **arena) { arena_free(*arena); }
static void free_schedule(struct schedule **schedule) { schedule_free(*schedule); }
static void close_inspection(struct inspection **inspection) { inspection_close(*inspection); }

static bool store_is_up(const struct inspection *inspection, const struct target *target) {
    return inspection->store_errors[target->store - inspection->schedule->stores].code == ERR_NONE;
}

/* Several rules on one place have the same undecidable records there, if they decide by the same column. */
static bool decides_as_before(const struct schedule *schedule, const struct target *target) {
    for (size_t i = 0; i < target->number; i++) {
        const struct target *other = schedule->targets[i];
        if (other->store == target->store && text_equal(other->name, target->name) && text_equal(other->since, target->since) &&
            text_equal(other->only, target->only))
            return true;
    }
    return false;
}

/* Asks every target that can be asked. One that cannot be counted is a finding for `check`, not a reason to show nothing. */
static void ask_undecidable(struct inspection *inspection, struct arena *arena, int64_t now_us, struct plan_undecidable **ret_items,
                            size_t *ret_count) {
    const struct schedule *schedule = inspection->schedule;
    struct plan_undecidable *items = NULL;
    size_t n_items = 0;
    for (size_t i = 0; i < schedule->n_targets; i++) {
        const struct target *target = schedule->targets[i];
        const struct undecidable *found;
        size_t n_found;
        struct err ignored;
        if (inspection->bad[i] || !store_is_up(inspection, target) || decides_as_before(schedule, target)) continue;
        struct store *store = inspection_store(inspection, target->store);
        if (store_driver(store)->undecidable(store, target, now_us, arena, &found, &n_found, &ignored)) continue;
        for (size_t j = 0; j < n_found; j++)
            *ARENA_APPEND(arena, items, n_items) = (struct plan_undecidable){.target = target, .what = found[j]};
    }
    *ret_items = items;
    *ret_count = n_items;
}

static int inspect(const struct invocation *invocation, const struct schedule *schedule, int64_t now_us,
                   struct inspection **ret_inspection, struct err *err) {
    const char *tenant = command_value(invocation, "tenant");
    terminal_progress("connecting");
    if (inspection_open(schedule, ret_inspection, err)) return -1;
    terminal_progress("reading the catalogs");
    inspection_check(*ret_inspection);
    terminal_progress("reading the tenants");
    if (inspection_plan(*ret_inspection, now_us, err)) return -1;
    if (tenant) inspection_narrow(*ret_inspection, tenant);
    terminal_progress("counting what is due");
    inspection_count(*ret_inspection);
    inspection_judge(*ret_inspection);
    return 0;
}

/* Whatever could not be asked, below the table; returns the exit status. */
static int report_errors(const struct invocation *invocation, const struct inspection *inspection) {
    int status = EXIT_WELL;
    for (size_t i = 0; i < inspection->schedule->n_stores; i++)
        if (inspection->store_errors[i].code != ERR_NONE)
            status = command_fail(invocation, inspection->store_errors[i].code == ERR_CONFIG ? EXIT_FAULTY : EXIT_LATER, "%s",
                                  inspection->store_errors[i].text);
    if (inspection->faults.count)
        status = command_fail(invocation, EXIT_FAULTY, "the catalogs disagree with the schedule in %zu place%s: lapsectl check",
                              inspection->faults.count, inspection->faults.count == 1 ? "" : "s");
    return status;
}

static int run_plan(const struct invocation *invocation) {
    __attribute__((cleanup(free_schedule))) struct schedule *schedule = NULL;
    __attribute__((cleanup(free_arena))) struct arena *arena = arena_new();
    __attribute__((cleanup(close_inspection))) struct inspection *inspection = NULL;
    const char *at = command_value(invocation, "at");
    struct err err;
    int64_t now_us = time_now_us();
    if (at && !time_parse(at, &now_us))
        return command_fail(invocation, EXIT_USAGE, "--at \"%s\" is not a time; write 2026-12-31 or \"2026-12-31 09:00:00\" (UTC)", at);
    int status = command_load(invocation, false, &schedule);
    if (status) return status;
    if (inspect(invocation, schedule, now_us, &inspection, &err)) return command_fail_err(invocation, &err);
    struct plan_undecidable *undecidable = NULL;
    size_t n_undecidable = 0;
    terminal_progress("looking for what cannot be decided");
    if (!command_given(invocation, "tenant")) ask_undecidable(inspection, arena, now_us, &undecidable, &n_undecidable);
    terminal_progress(NULL);
    const struct plan_report *report =
        plan_report_make(arena, inspection, command_value(invocation, "tenant"), undecidable, n_undecidable);
    if (invocation->json)
        plan_report_print_json(arena, report, invocation->out);
    else
        plan_report_print(arena, report, command_given(invocation, "all"), invocation->out, invocation->colour);
    return report_errors(invocation, inspection);
}

static const struct option options[] = {
    {"at", "TIME", "what a sweep at that time (UTC) would do to today's data"},
    {"tenant", "ID", "what it would do to this tenant"},
    {"all", NULL, "list all tenants, not the ten largest"},
};

const struct verb verb_plan = {
    .name = "plan",
    .group = "Before a sweep",
    .summary = "what a sweep would destroy now, and what it would keep",
    .operands = "",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .notes = "The numbers are counted in read-only sessions, by the very choice that a sweep makes.\n"
             "Exits with 75 if a store could not be asked, 78 if the schedule is faulty.",
    .run = run_plan,
};
