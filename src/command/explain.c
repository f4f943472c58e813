#include "base/text.h"
#include "base/time.h"
#include "command/explain_report.h"
#include "command/nearest.h"
#include "command/table.h"
#include "command/verbs.h"
#include "sweep/inspect.h"

#include <string.h>

static void free_arena(struct arena **arena) { arena_free(*arena); }
static void free_schedule(struct schedule **schedule) { schedule_free(*schedule); }
static void close_inspection(struct inspection **inspection) { inspection_close(*inspection); }

enum { EXIT_NO_RECORD = 1 };

/* "invoices" and "public.invoices" may be the same table. */
static bool same_name(const struct target *target, const char *name) {
    if (!strcmp(target->name, name)) return true;
    const char *dot = target->kind == TARGET_TABLE ? strrchr(target->name, '.') : NULL;
    return dot && !strchr(name, '.') && !strcmp(dot + 1, name);
}

/* The target whose dependent it is, NULL: none. */
static const struct target *goes_with(const struct schedule *schedule, const char *name) {
    for (size_t i = 0; i < schedule->n_targets; i++)
        for (size_t j = 0; j < schedule->targets[i]->n_dependents; j++)
            if (!strcmp(schedule->targets[i]->dependents[j].join.child_table, name)) return schedule->targets[i];
    return NULL;
}

static int no_such_target(const struct invocation *invocation, struct arena *arena, const struct schedule *schedule, const char *name) {
    const struct target *with = goes_with(schedule, name);
    if (with)
        return command_fail(invocation, EXIT_USAGE, "records of \"%s\" are dependents of \"%s\" and go with the one that they refer to; "
                            "explain that one: lapsectl explain %s KEY", name, with->name, with->name);
    const char **names = ARENA_ARRAY(arena, const char *, schedule->n_targets);
    for (size_t i = 0; i < schedule->n_targets; i++) names[i] = schedule->targets[i]->name;
    const char *nearest = nearest_word(name, names, schedule->n_targets);
    if (nearest)
        return command_fail(invocation, EXIT_USAGE, "no rule has a target \"%s\"; did you mean \"%s\"?", name, nearest);
    return command_fail(invocation, EXIT_USAGE, "no rule has a target \"%s\", so lapsed never touches it; %s names those there are", name,
                        schedule->schedule_path);
}

/* The targets of that name, all in one store, into `places` (room for all targets). Returns 0 or the exit status. */
static int find_places(const struct invocation *invocation, struct arena *arena, const struct schedule *schedule,
                       struct explain_place *places, size_t *ret_count) {
    const char *name = invocation->operands[0], *store = command_value(invocation, "store");
    size_t n_places = 0;
    for (size_t i = 0; i < schedule->n_targets; i++) {
        const struct target *target = schedule->targets[i];
        if (!same_name(target, name) || (store && strcmp(store, target->store->name) != 0)) continue;
        if (n_places && places[0].target->store != target->store)
            return command_fail(invocation, EXIT_USAGE, "\"%s\" is in store \"%s\" and in store \"%s\"; say which: --store NAME", name,
                                places[0].target->store->name, target->store->name);
        places[n_places++] = (struct explain_place){.target = target};
    }
    if (!n_places) return no_such_target(invocation, arena, schedule, name);
    *ret_count = n_places;
    return 0;
}

/* Fills the facts; *ret_exists: whether the store has the record. */
static int ask(struct inspection *inspection, struct arena *arena, const char *key, struct explain_place *places, size_t n_places,
               bool *ret_exists, struct err *err) {
    bool exists = false;
    for (size_t i = 0; i < n_places; i++) {
        const struct target *target = places[i].target;
        struct store *store = inspection_store(inspection, target->store);
        if (inspection->bad[target->number])
            return err_set(err, ERR_CONFIG, "\"%s\" under \"%s\" is faulty, so nothing of it is swept; lapsectl check says why", target->name,
                           target->rule->data);
        if (store_driver(store)->explain(store, target, key, arena, &places[i].facts, err)) return -1;
        places[i].own = plan_is_own(inspection->schedule, target, inspection->own_tables, inspection->n_own_tables);
        places[i].held = holds_on_target(&inspection->holds, inspection->schedule, target);
        if (!places[i].held && places[i].facts.tenant)
            places[i].held = holds_on_tenant(&inspection->holds, inspection->tenants, places[i].facts.tenant, places[i].own);
        exists |= places[i].facts.exists;
    }
    *ret_exists = exists;
    return 0;
}

/* A store says what refers to the record now. Where that goes in the same sweep, it does not block: the count of the tenant's plan
 * knows. Where any record of the tenant's in that place is blocked, it may be this one. */
static void unblock(struct inspection *inspection, struct explain_place *places, size_t n_places) {
    const char *tenant = NULL;
    for (size_t i = 0; i < n_places; i++)
        if (places[i].facts.blocked_by && places[i].facts.tenant) tenant = places[i].facts.tenant;
    if (!tenant) return;
    inspection_narrow(inspection, tenant);
    inspection_count(inspection);
    for (size_t i = 0; i < n_places; i++) {
        bool asked = false, blocked = false;
        for (size_t j = 0; j < inspection->n_orders; j++) {
            const struct inspect_order *item = &inspection->orders[j];
            if (item->order->target != places[i].target || item->order->action != ACTION_PURGE) continue;
            asked |= item->asked;
            blocked |= !item->asked || item->tally.n_blocked_records || item->waiting_tenants;
        }
        if (asked && !blocked) places[i].facts.blocked_by = NULL;
    }
}

static int store_error(const struct inspection *inspection, const struct store_conf *conf, struct err *err) {
    const struct err *of_store = &inspection->store_errors[conf - inspection->schedule->stores];
    if (of_store->code == ERR_NONE) return 0;
    *err = *of_store;
    return -1;
}

static int inspect(const struct schedule *schedule, const struct target *target, int64_t now_us, struct inspection **ret_inspection,
                   struct err *err) {
    terminal_progress("connecting");
    if (inspection_open(schedule, ret_inspection, err)) return -1;
    terminal_progress("reading the catalogs");
    inspection_check(*ret_inspection);
    if (store_error(*ret_inspection, target->store, err)) return -1;
    terminal_progress("reading the tenants");
    if (inspection_plan(*ret_inspection, now_us, err)) return -1;
    terminal_progress(NULL);
    return 0;
}

static int run_explain(const struct invocation *invocation) {
    __attribute__((cleanup(free_schedule))) struct schedule *schedule = NULL;
    __attribute__((cleanup(free_arena))) struct arena *arena = arena_new();
    __attribute__((cleanup(close_inspection))) struct inspection *inspection = NULL;
    const char *key = invocation->operands[1];
    size_t n_places = 0;
    struct err err;
    bool exists = false;
    int64_t now_us = time_now_us();
    int status = command_load(invocation, false, &schedule);
    if (status) return status;
    struct explain_place *places = ARENA_ARRAY(arena, struct explain_place, schedule->n_targets);
    status = find_places(invocation, arena, schedule, places, &n_places);
    if (status) return status;
    if (inspect(schedule, places[0].target, now_us, &inspection, &err)) return command_fail_err(invocation, &err);
    if (ask(inspection, arena, key, places, n_places, &exists, &err)) return command_fail_err(invocation, &err);
    if (!exists)
        return command_fail(invocation, EXIT_NO_RECORD, "%s has no record %s (store %s)", places[0].target->name, key,
                            places[0].target->store->name);
    unblock(inspection, places, n_places);
    const struct explain_report *report =
        explain_report_make(arena, schedule, inspection->tenants, inspection->history, key, places, n_places, now_us);
    if (invocation->json)
        explain_report_print_json(arena, report, invocation->out);
    else
        (void)fprintf(invocation->out, "%s\n", explain_report_text(arena, report));
    return EXIT_WELL;
}

static const struct option options[] = {{"store", "NAME", "where the target's name is in several stores"}};

const struct verb verb_explain = {
    .name = "explain",
    .group = "Before a sweep",
    .summary = "which rule applies to one record, from when, and what holds it back",
    .operands = "TARGET KEY",
    .n_operands = 2,
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .notes = "TARGET is a table, a collection or a key pattern, as in the schedule; KEY is the record's key\n"
             "(\"4711\"; the parts of a composite key as a JSON array: '[\"eu\", \"4711\"]').\n"
             "Exits with 1 if there is no such record.",
    .run = run_explain,
};
