#include "base/text.h"
#include "command/journal.h"
#include "command/verbs.h"

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

static int run(const struct invocation *invocation, int (*command)(const struct journal_place *place, int argc, char **argv)) {
    __attribute__((cleanup(free_schedule))) struct schedule *schedule = NULL;
    if (needs_configuration(invocation)) {
        int status = command(&(struct journal_place){.checking = true}, invocation->rest_count, invocation->rest);
        if (!status) status = command_load(invocation, true, &schedule);
        if (status) return status;
    }
    struct journal_place place = {.folder = NULL};
    if (schedule)
        place = (struct journal_place){.folder = schedule->settings.journal_folder, .state = schedule->settings.state_folder, .personal = schedule->tenants.personal};
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
