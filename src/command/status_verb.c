#include "base/time.h"
#include "command/status.h"
#include "command/verbs.h"

static void free_arena(struct arena **arena) { arena_free(*arena); }
static void free_schedule(struct schedule **schedule) { schedule_free(*schedule); }

static int run_status(const struct invocation *invocation) {
    __attribute__((cleanup(free_schedule))) struct schedule *schedule = NULL;
    __attribute__((cleanup(free_arena))) struct arena *arena = arena_new();
    __attribute__((cleanup(daemon_state_free))) struct daemon_state state = {0};
    struct err err;
    int status = command_load(invocation, true, &schedule);
    if (status) return status;
    if (daemon_state_read(schedule, &state, &err)) return command_fail_err(invocation, &err);
    int64_t now_us = time_now_us();
    if (invocation->json)
        status_print_json(&state, now_us, invocation->out);
    else
        status_print(arena, &state, now_us, invocation->out, invocation->colour);
    return (int)status_verdict(&state, now_us);
}

const struct verb verb_status = {
    .name = "status",
    .group = "What the daemon does",
    .summary = "what lapsed does now, its last sweep, and how late each rule is",
    .operands = "",
    .notes = "Exits with 0 if all is well, 1 if there are findings or something is late, 2 if lapsed has\n"
             "stopped or is not running.",
    .run = run_status,
};

static int run_findings(const struct invocation *invocation) {
    __attribute__((cleanup(free_schedule))) struct schedule *schedule = NULL;
    __attribute__((cleanup(free_arena))) struct arena *arena = arena_new();
    __attribute__((cleanup(daemon_state_free))) struct daemon_state state = {0};
    struct err err;
    int status = command_load(invocation, true, &schedule);
    if (status) return status;
    if (daemon_state_read(schedule, &state, &err)) return command_fail_err(invocation, &err);
    if (invocation->json) {
        (void)json_dumpf(state.findings ? state.findings : json_null(), invocation->out, JSON_INDENT(2) | JSON_ENCODE_ANY);
        (void)fputc('\n', invocation->out);
    } else {
        findings_print(arena, state.findings, invocation->out, invocation->colour);
    }
    return (int)findings_verdict(state.findings);
}

const struct verb verb_findings = {
    .name = "findings",
    .group = "What the daemon does",
    .summary = "what a person should look at, from the last sweep",
    .operands = "",
    .notes = "Exits with 0 if there are none, 1 if there are some, 2 if there has been no sweep yet.",
    .run = run_findings,
};
