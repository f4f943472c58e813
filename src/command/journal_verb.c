#include "base/log.h"
#include "base/text.h"
#include "command/journal.h"
#include "command/verbs.h"
#include "sweep/tenant_name.h"

#include <string.h>

static void free_schedule(struct schedule **schedule) { schedule_free(*schedule); }

/* An auditor has a copy of the journal and no configuration; help needs none either. */
static bool needs_configuration(const struct invocation *invocation) {
    for (int i = 1; i < invocation->rest_count; i++) {
        const char *word = invocation->rest[i];
        if (text_starts_with(word, "--folder") || !strcmp(word, "--help") || !strcmp(word, "-h")) return false;
    }
    return true;
}

/* With tenants.personal the journal knows a tenant by an HMAC of its id: the id that was asked for becomes that. */
static int rename_tenant(const struct schedule *schedule, const struct invocation *invocation, struct arena *arena, struct err *err) {
    static const char option[] = "--tenant";
    struct tenant_names names;
    if (!schedule->tenants.personal) return 0;
    if (tenant_names_open(schedule, &names, err)) return -1;
    for (int i = 1; i < invocation->rest_count; i++) {
        char **word = &invocation->rest[i];
        if (text_starts_with(*word, "--tenant=")) *word = arena_printf(arena, "%s=%s", option, tenant_name(&names, arena, *word + sizeof option));
        else if (!strcmp(*word, option) && i + 1 < invocation->rest_count) word[1] = arena_strdup(arena, tenant_name(&names, arena, word[1]));
    }
    return 0;
}

static void free_arena(struct arena **arena) { arena_free(*arena); }

static int run(const struct invocation *invocation, int (*command)(const struct journal_place *place, int argc, char **argv)) {
    __attribute__((cleanup(free_schedule))) struct schedule *schedule = NULL;
    if (needs_configuration(invocation)) {
        int status = command(&(struct journal_place){.checking = true}, invocation->rest_count, invocation->rest);
        if (!status) status = command_load(invocation, true, &schedule);
        if (status) return status;
    }
    __attribute__((cleanup(free_arena))) struct arena *arena = arena_new();
    struct err err;
    if (schedule && rename_tenant(schedule, invocation, arena, &err)) {
        log_error("%s", err.text);
        return err_exit_status(err.code);
    }
    struct journal_place place = {.folder = NULL};
    if (schedule) place = (struct journal_place){.folder = schedule->settings.journal_folder, .state = schedule->settings.state_folder};
    return command(&place, invocation->rest_count, invocation->rest);
}

static int run_show(const struct invocation *invocation) { return run(invocation, command_journal_show); }
static int run_verify(const struct invocation *invocation) { return run(invocation, command_journal_verify); }
static int run_checkpoint(const struct invocation *invocation) { return run(invocation, command_journal_checkpoint); }

const struct verb verb_journal_show = {
    .name = "journal show",
    .group = "After a sweep",
    .summary = "what was destroyed, when, and under which rule",
    .operands = "",
    .passes_rest = true,
    .run = run_show,
};

const struct verb verb_journal_verify = {
    .name = "journal verify",
    .group = "After a sweep",
    .summary = "whether the journal is whole, unaltered and signed",
    .operands = "",
    .passes_rest = true,
    .run = run_verify,
};

const struct verb verb_journal_checkpoint = {
    .name = "journal checkpoint",
    .group = "After a sweep",
    .summary = "the newest signature, to be kept elsewhere",
    .operands = "",
    .passes_rest = true,
    .run = run_checkpoint,
};
