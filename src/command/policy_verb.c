#include "command/policy.h"
#include "command/verbs.h"

#include <jansson.h>
#include <string.h>

static void free_schedule(struct schedule **schedule) { schedule_free(*schedule); }

static int take_format(const struct invocation *invocation, enum policy_format *ret_format) {
    const char *format = command_value(invocation, "format");
    *ret_format = invocation->json ? POLICY_JSON : POLICY_TEXT;
    if (!format) return 0;
    if (!strcmp(format, "json")) *ret_format = POLICY_JSON;
    else if (!strcmp(format, "markdown")) *ret_format = POLICY_MARKDOWN;
    else if (!strcmp(format, "text")) *ret_format = POLICY_TEXT;
    else return command_fail(invocation, EXIT_USAGE, "--format \"%s\" is none of text, markdown, json", format);
    return 0;
}

static int run_diff(const struct invocation *invocation, const struct schedule *schedule, const char *path) {
    struct err err;
    bool equal;
    if (!invocation->json)
        return policy_diff(schedule, path, invocation->out, &equal, &err) ? command_fail_err(invocation, &err) : !equal;
    char *text = NULL;
    size_t length;
    FILE *to = open_memstream(&text, &length);
    int failed = policy_diff(schedule, path, to, &equal, &err);
    (void)fclose(to);
    if (!failed) {
        json_t *object = json_pack("{s:i, s:b, s:s}", "v", 1, "equal", equal, "text", text);
        (void)json_dumpf(object, invocation->out, JSON_INDENT(2));
        (void)fputc('\n', invocation->out);
        json_decref(object);
    }
    free(text);
    return failed ? command_fail_err(invocation, &err) : !equal;
}

static int run_policy(const struct invocation *invocation) {
    __attribute__((cleanup(free_schedule))) struct schedule *schedule = NULL;
    enum policy_format format;
    int status = take_format(invocation, &format);
    if (!status) status = command_load(invocation, false, &schedule);
    if (status) return status;
    if (command_given(invocation, "diff")) return run_diff(invocation, schedule, command_value(invocation, "diff"));
    return policy_print(schedule, format, invocation->out) ? command_fail(invocation, EXIT_FILES, "the table could not be written") : EXIT_WELL;
}

static const struct option options[] = {
    {"format", "FORMAT", "text, markdown or json (default text)"},
    {"diff", "FILE", "compare with the table of this published policy (Markdown)"},
};

const struct verb verb_policy = {
    .name = "policy",
    .group = "The schedule",
    .summary = "the schedule as the table of a published policy",
    .operands = "",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .notes = "With --diff, names and periods are compared by meaning; exits with 1 if they differ.",
    .run = run_policy,
};
