/* The command line of lapsectl: verbs, their options, help, and what every verb starts with.
 *
 * Exit statuses are sysexits.h's: 0 done, 64 usage, 70 a mistake of ours, 74 input or output, 75 a store could not be
 * asked, 78 the configuration is faulty; a verb that answers yes or no (policy --diff, status, findings, journal verify)
 * says so with 1 and 2. */
#ifndef LAPSED_COMMAND_COMMAND_H
#define LAPSED_COMMAND_COMMAND_H

#include "base/err.h"
#include "schedule/schedule.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { MOST_OPTIONS = 12, MOST_OPERANDS = 4 };

enum command_exit { EXIT_WELL = 0, EXIT_USAGE = 64, EXIT_INTERNAL = 70, EXIT_FILES = 74, EXIT_LATER = 75, EXIT_REFUSED = 77, EXIT_FAULTY = 78 };

struct option {
    const char *name;  /* "at": typed as --at */
    const char *value; /* what follows, for the help ("TIME"); NULL: a switch */
    const char *help;
};

struct invocation;

struct verb {
    const char *name;     /* "plan", "journal show" */
    const char *group;    /* the heading it stands under in the help */
    const char *summary;  /* one line */
    const char *operands; /* "TARGET KEY"; "": none */
    size_t n_operands;    /* how many there must be */
    bool operands_optional; /* none may be given, too */
    const char *notes;    /* more for its --help, lines of at most 80 columns; NULL: none */
    const struct option *options; /* its own, beside --config, --json and --help */
    size_t n_options;
    bool passes_rest; /* reads its options itself: all but --config is handed over as it came */
    int (*run)(const struct invocation *invocation); /* gives the exit status */
};

/* One run of lapsectl. */
struct invocation {
    const struct verb *verb;
    const char *config; /* path of lapsed.conf */
    bool json;
    bool given[MOST_OPTIONS];          /* by index in verb->options */
    const char *values[MOST_OPTIONS];  /* of those that take one */
    const char *operands[MOST_OPERANDS];
    size_t n_operands;
    int rest_count; /* passes_rest: the verb's second word and what follows */
    char **rest;
    FILE *out, *errors;
    bool colour; /* on `out` */
};

/* Runs the verb that the arguments name; returns the exit status. */
int command_run(const struct verb *const *verbs, size_t n_verbs, int argc, char **argv, FILE *out, FILE *errors);

bool command_given(const struct invocation *invocation, const char *option);
const char *command_value(const struct invocation *invocation, const char *option); /* NULL: not given */

/* "lapsectl: TEXT" on the error stream; returns `status`. */
int command_fail(const struct invocation *invocation, int status, const char *format, ...) PRINTF_LIKE(3, 4);
/* The same for an error; the status is err_exit_status's. */
int command_fail_err(const struct invocation *invocation, const struct err *err);
/* Loads the schedule or prints its faults on the error stream. Returns 0 or the exit status. */
int command_load(const struct invocation *invocation, bool allow_empty, struct schedule **ret_schedule) MUST_CHECK;

#endif
