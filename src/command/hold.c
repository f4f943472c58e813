#include "base/text.h"
#include "base/time.h"
#include "command/ask.h"
#include "command/daemon_state.h"
#include "command/table.h"
#include "command/verbs.h"
#include "request/ledger.h"

#include <string.h>

static void free_arena(struct arena **arena) { arena_free(*arena); }
static void free_schedule(struct schedule **schedule) { schedule_free(*schedule); }

static int fail_ground(const struct invocation *invocation, const char *ground) {
    return command_fail(invocation, EXIT_USAGE, "--ground \"%s\" is no code; write a-z, 0-9 and \"-\", at most 32, such as \"litigation\"", ground);
}

/* ---- hold and release ---- */

static int run_hold(const struct invocation *invocation) {
    const char *tenant = command_value(invocation, "tenant"), *rule = command_value(invocation, "rule"), *ground = command_value(invocation, "ground");
    bool all = command_given(invocation, "all"), subtree = command_given(invocation, "subtree");
    if ((tenant != NULL) + (rule != NULL) + all != 1) return command_fail(invocation, EXIT_USAGE, "say what is held: --tenant T, --rule R or --all, one of them");
    if (subtree && !tenant) return command_fail(invocation, EXIT_USAGE, "--subtree goes with --tenant");
    if (!ground) return command_fail(invocation, EXIT_USAGE, "say why: --ground CODE, such as --ground litigation");
    if (!request_is_ground(ground)) return fail_ground(invocation, ground);
    const struct request request = {.kind = REQUEST_HOLD, .tenant = tenant, .rule = rule, .ground = ground,
                                    .scope = all ? HOLD_ALL : rule ? HOLD_RULE : subtree ? HOLD_SUBTREE : HOLD_TENANT};
    return ask_daemon(invocation, &request, command_value(invocation, "id"));
}

static const struct option hold_options[] = {
    {"tenant", "T", "hold this tenant's records"},
    {"subtree", NULL, "and those of every tenant below it"},
    {"rule", "R", "hold every place of this rule's data"},
    {"all", NULL, "hold everything"},
    {"ground", "CODE", "why: a code for the journal, such as litigation"},
    {"id", "ID", "the hold's id (default: made up)"},
};

const struct verb verb_hold = {
    .name = "hold",
    .group = "Stopping it",
    .summary = "forbid to destroy a tenant's, a rule's or all records",
    .operands = "",
    .options = hold_options,
    .n_options = sizeof hold_options / sizeof *hold_options,
    .notes = "Acknowledged when no batch that it forbids is running. A table with tenant = \"none\" is\n"
             "reached only by --rule and --all. Asking again with the same --id changes nothing.\n"
             "Exits with 75 if lapsed has not answered yet, 77 if it refused.",
    .run = run_hold,
};

static int run_release(const struct invocation *invocation) {
    const struct request request = {.kind = REQUEST_RELEASE, .hold = invocation->operands[0]};
    if (!request_is_id(request.hold)) return command_fail(invocation, EXIT_USAGE, "\"%s\" is no id of a hold; lapsectl hold list names them", request.hold);
    return ask_daemon(invocation, &request, NULL);
}

const struct verb verb_release = {
    .name = "release",
    .group = "Stopping it",
    .summary = "end a hold; what it kept goes when the cooling-off time is over",
    .operands = "ID",
    .n_operands = 1,
    .run = run_release,
};

/* ---- pause and resume ---- */

static int run_pause(const struct invocation *invocation) {
    const char *ground = command_value(invocation, "ground");
    const struct request request = {.kind = REQUEST_PAUSE, .ground = ground ? ground : "operator"};
    if (!request_is_ground(request.ground)) return fail_ground(invocation, request.ground);
    return ask_daemon(invocation, &request, NULL);
}

static const struct option pause_options[] = {{"ground", "CODE", "why: a code for the journal (default operator)"}};

const struct verb verb_pause = {
    .name = "pause",
    .group = "Stopping it",
    .summary = "destroy nothing at all from now on; outlives a restart",
    .operands = "",
    .options = pause_options,
    .n_options = sizeof pause_options / sizeof *pause_options,
    .notes = "The batches in flight are finished first; acknowledged when they are.",
    .run = run_pause,
};

static int run_resume(const struct invocation *invocation) {
    const struct request request = {.kind = REQUEST_RESUME};
    return ask_daemon(invocation, &request, NULL);
}

const struct verb verb_resume = {
    .name = "resume",
    .group = "Stopping it",
    .summary = "go on after a pause",
    .operands = "",
    .run = run_resume,
};

/* ---- hold list ---- */

static const char *reach_text(struct arena *arena, const struct hold *hold) {
    switch (hold->scope) {
    case HOLD_TENANT: return arena_printf(arena, "tenant %s", hold->tenant);
    case HOLD_SUBTREE: return arena_printf(arena, "tenant %s and all below it", hold->tenant);
    case HOLD_RULE: return arena_printf(arena, "\"%s\"", hold->rule);
    case HOLD_ALL: break;
    }
    return "everything";
}

static void print_holds(struct arena *arena, const struct ledger_copy *copy, int64_t now_us, FILE *to, bool colour) {
    static const struct table_column columns[] = {{"HOLD", ALIGN_LEFT, 0}, {"ON", ALIGN_LEFT, 0}, {"GROUND", ALIGN_LEFT, 0}, {"SINCE", ALIGN_LEFT, 10}, {"STATE", ALIGN_LEFT, 0}};
    struct table *table = table_new(arena, columns, sizeof columns / sizeof *columns);
    size_t shown = 0;
    for (size_t i = 0; i < copy->holds.count; i++) {
        const struct hold *hold = &copy->holds.items[i];
        bool released = copy->until_us[i] != TIME_FOREVER;
        if (copy->until_us[i] <= now_us) continue;
        table_cell(table, STYLE_PLAIN, hold->id);
        table_cell(table, STYLE_PLAIN, text_printable(arena, reach_text(arena, hold)));
        table_cell(table, STYLE_PLAIN, hold->ground);
        table_cell(table, STYLE_PLAIN, time_format_day(hold->since_us).text);
        table_cell(table, released ? STYLE_FAINT : STYLE_GOOD,
                   released ? arena_printf(arena, "released, counts until %s", time_format_seconds(copy->until_us[i]).text) : "stands");
        shown++;
    }
    if (shown) table_print(table, to, colour);
    else (void)fputs("no holds\n", to);
    if (copy->paused) (void)fprintf(to, "\npaused since %s: nothing at all is destroyed\n", time_format_seconds(copy->paused_since_us).text);
}

static json_t *text_or_null(const char *text) { return text ? json_string(text) : json_null(); }

static void print_holds_json(struct arena *arena, const struct ledger_copy *copy, int64_t now_us, FILE *to) {
    json_t *holds = json_array();
    for (size_t i = 0; i < copy->holds.count; i++) {
        const struct hold *hold = &copy->holds.items[i];
        int64_t until_us = copy->until_us[i];
        if (until_us <= now_us) continue;
        const char *until = until_us == TIME_FOREVER ? NULL : arena_strdup(arena, time_format(until_us).text);
        (void)json_array_append_new(holds, json_pack("{s:s, s:s, s:o, s:o, s:s, s:I, s:s, s:o, s:I}", "id", hold->id, "scope",
                                                     hold_scope_name(hold->scope), "tenant", text_or_null(hold->tenant), "rule",
                                                     text_or_null(hold->rule), "ground", hold->ground, "author", (json_int_t)hold->author, "since",
                                                     time_format(hold->since_us).text, "until", text_or_null(until), "members",
                                                     (json_int_t)hold->n_members));
    }
    json_t *object = json_pack("{s:i, s:b, s:o}", "v", 1, "paused", copy->paused, "holds", holds);
    (void)json_dumpf(object, to, JSON_INDENT(2));
    (void)fputc('\n', to);
    json_decref(object);
}

static int run_hold_list(const struct invocation *invocation) {
    __attribute__((cleanup(free_schedule))) struct schedule *schedule = NULL;
    __attribute__((cleanup(free_arena))) struct arena *arena = arena_new();
    struct ledger_copy copy;
    struct err err;
    int status = command_load(invocation, true, &schedule);
    if (status) return status;
    if (ledger_copy_read(schedule->settings.state_folder, arena, &copy, &err)) return command_fail_err(invocation, &err);
    if (invocation->json) print_holds_json(arena, &copy, time_now_us(), invocation->out);
    else print_holds(arena, &copy, time_now_us(), invocation->out, invocation->colour);
    return EXIT_WELL;
}

const struct verb verb_hold_list = {
    .name = "hold list",
    .group = "Stopping it",
    .summary = "the holds in force, and whether lapsed is paused",
    .operands = "",
    .run = run_hold_list,
};
