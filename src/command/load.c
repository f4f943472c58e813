#include "command/command.h"

static void free_arena(struct arena **arena) { arena_free(*arena); }

int command_load(const struct invocation *invocation, bool allow_empty, struct schedule **ret_schedule) {
    __attribute__((cleanup(free_arena))) struct arena *arena = arena_new();
    struct faults faults = {.arena = arena};
    struct err err;
    if (!schedule_load(invocation->config, allow_empty, ret_schedule, &faults, &err)) return 0;
    faults_sort(&faults);
    faults_print(&faults, invocation->errors);
    return command_fail_err(invocation, &err);
}
