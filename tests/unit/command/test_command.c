#include "command/command.h"
#include "command/nearest.h"
#include "unit.h"

/* What the last run of a verb was given. */
static struct invocation seen;
static int runs;

static int run(const struct invocation *invocation) {
    seen = *invocation;
    runs++;
    return 0;
}

static const struct option plan_options[] = {{"at", "TIME", "at that time"}, {"all", NULL, "all of them"}};
static const struct verb plan = {.name = "plan", .group = "Before", .summary = "what would go", .operands = "", .run = run,
                                 .options = plan_options, .n_options = 2};
static const struct verb explain = {.name = "explain", .group = "Before", .summary = "why", .operands = "TARGET KEY", .n_operands = 2, .run = run};
static const struct verb journal = {.name = "journal show", .group = "After", .summary = "what went", .operands = "", .passes_rest = true, .run = run};
static const struct verb *const verbs[] = {&plan, &explain, &journal};

static char *out, *errors;

/* Runs lapsectl with these words. They stay alive: the invocation points into them. */
static int run_with(const char *arguments) {
    static char words[256], *argv[16];
    char *rest = NULL;
    int argc = 0;
    (void)snprintf(words, sizeof words, "lapsectl %s", arguments);
    for (char *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) argv[argc++] = word;
    size_t out_length, errors_length;
    free(out);
    free(errors);
    FILE *out_file = open_memstream(&out, &out_length), *errors_file = open_memstream(&errors, &errors_length);
    int status = command_run(verbs, 3, argc, argv, out_file, errors_file);
    (void)fclose(out_file);
    (void)fclose(errors_file);
    return status;
}

START_TEST(options_stand_anywhere) {
    ck_assert_int_eq(run_with("-c a.conf plan --at=2026-12-01 --json"), 0);
    ck_assert_str_eq(seen.config, "a.conf");
    ck_assert(seen.json);
    ck_assert_str_eq(command_value(&seen, "at"), "2026-12-01");
    ck_assert(!command_given(&seen, "all"));
    ck_assert_int_eq(run_with("plan --all --at 2027-01-01 -cb.conf"), 0);
    ck_assert_str_eq(seen.config, "b.conf");
    ck_assert_str_eq(command_value(&seen, "at"), "2027-01-01");
    ck_assert(command_given(&seen, "all"));
}
END_TEST

START_TEST(the_configuration_has_its_place) {
    ck_assert_int_eq(run_with("plan"), 0);
    ck_assert_str_eq(seen.config, "/etc/lapsed/lapsed.conf");
}
END_TEST

START_TEST(a_wrong_word_is_answered_with_the_nearest_one) {
    ck_assert_int_eq(run_with("paln"), 64);
    ck_assert_str_eq(errors, "lapsectl: there is no command \"paln\"; did you mean \"plan\"?\n");
    ck_assert_int_eq(run_with("journal shwo"), 64);
    ck_assert_str_eq(errors, "lapsectl: there is no command \"journal shwo\"; did you mean \"journal show\"?\n");
    ck_assert_int_eq(run_with("journal"), 64);
    ck_assert_ptr_nonnull(strstr(errors, "did you mean \"journal show\"?"));
    ck_assert_int_eq(run_with("frobnicate"), 64);
    ck_assert_ptr_nonnull(strstr(errors, "lapsectl --help lists them"));
    ck_assert_int_eq(run_with("plan --jsno"), 64);
    ck_assert_str_eq(errors, "lapsectl: there is no option --jsno; did you mean --json?\n");
    ck_assert_int_eq(runs, 0);
}
END_TEST

START_TEST(what_is_missing_or_too_much_is_said) {
    ck_assert_int_eq(run_with("explain invoices"), 64);
    ck_assert_ptr_nonnull(strstr(errors, "usage: lapsectl explain [OPTION]... TARGET KEY"));
    ck_assert_int_eq(run_with("plan now"), 64);
    ck_assert_ptr_nonnull(strstr(errors, "\"now\" is one argument too many"));
    ck_assert_int_eq(run_with("plan --at"), 64);
    ck_assert_ptr_nonnull(strstr(errors, "--at needs a value: --at TIME"));
    for (size_t i = 0; i < 2; i++) { /* what is an option is no value */
        ck_assert_int_eq(run_with(i ? "plan --at --all" : "plan --at -c x.conf"), 64);
        ck_assert_ptr_nonnull(strstr(errors, "--at needs a value: --at TIME"));
    }
    ck_assert_int_eq(run_with("plan --all=yes"), 64);
    ck_assert_ptr_nonnull(strstr(errors, "--all takes no value"));
    ck_assert_int_eq(runs, 0);
}
END_TEST

START_TEST(operands_may_begin_with_a_dash_after_two) {
    ck_assert_int_eq(run_with("explain invoices -- -1"), 0);
    ck_assert_str_eq(seen.operands[1], "-1");
    ck_assert_int_eq(run_with("plan --at -1"), 0);
    ck_assert_str_eq(command_value(&seen, "at"), "-1");
}
END_TEST

START_TEST(a_verb_that_reads_its_options_itself_gets_the_rest) {
    ck_assert_int_eq(run_with("journal show --tenant 7 -c x.conf --json"), 0);
    ck_assert_str_eq(seen.config, "x.conf");
    ck_assert_int_eq(seen.rest_count, 4);
    ck_assert_str_eq(seen.rest[0], "show");
    ck_assert_str_eq(seen.rest[1], "--tenant");
    ck_assert_str_eq(seen.rest[3], "--json");
}
END_TEST

START_TEST(help_lists_every_verb_under_its_group) {
    ck_assert_int_eq(run_with("--help"), 0);
    ck_assert_ptr_nonnull(strstr(out, "\nBefore\n  plan "));
    ck_assert_ptr_nonnull(strstr(out, "\nAfter\n  journal show "));
    ck_assert_int_eq(run_with("plan --help"), 0);
    ck_assert_ptr_nonnull(strstr(out, "usage: lapsectl plan [OPTION]...\n"));
    ck_assert_ptr_nonnull(strstr(out, "--at TIME"));
    ck_assert_int_eq(run_with(""), 64);
    ck_assert_ptr_nonnull(strstr(errors, "usage: lapsectl COMMAND"));
    ck_assert_int_eq(runs, 0);
}
END_TEST

START_TEST(the_nearest_word_is_near) {
    const char *const words[] = {"findings", "status", "check"};
    ck_assert_str_eq(nearest_word("find", words, 3), "findings");
    ck_assert_str_eq(nearest_word("stauts", words, 3), "status");
    ck_assert_str_eq(nearest_word("chek", words, 3), "check");
    ck_assert_ptr_null(nearest_word("purge", words, 3));
    ck_assert_ptr_null(nearest_word("", words, 3));
}
END_TEST

UNIT_MAIN("command", options_stand_anywhere, the_configuration_has_its_place, a_wrong_word_is_answered_with_the_nearest_one,
          what_is_missing_or_too_much_is_said, operands_may_begin_with_a_dash_after_two,
          a_verb_that_reads_its_options_itself_gets_the_rest, help_lists_every_verb_under_its_group, the_nearest_word_is_near)
