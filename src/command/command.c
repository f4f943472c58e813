#include "command/command.h"

#include "base/text.h"
#include "command/nearest.h"
#include "command/table.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

enum { MOST_WORDS = 32 };

static const char default_config[] = "/etc/lapsed/lapsed.conf";

/* Options of every verb; their indices are told apart from the verb's own by COMMON. */
enum common { COMMON_CONFIG, COMMON_JSON, COMMON_HELP, COMMON_VERSION, N_COMMON };
static const struct option common_options[N_COMMON] = {
    [COMMON_CONFIG] = {"config", "FILE", "read this lapsed.conf (default /etc/lapsed/lapsed.conf)"},
    [COMMON_JSON] = {"json", NULL, "print JSON for programs"},
    [COMMON_HELP] = {"help", NULL, "say what this command does"},
    [COMMON_VERSION] = {"version", NULL, "print the version"},
};

/* ---- help ---- */

static void print_option(FILE *out, char letter, const struct option *option) {
    char left[64];
    (void)snprintf(left, sizeof left, "--%s%s%s", option->name, option->value ? " " : "", option->value ? option->value : "");
    char letter_text[8] = "    ";
    if (letter) (void)snprintf(letter_text, sizeof letter_text, "-%c, ", letter);
    (void)fprintf(out, "  %s%-18s  %s\n", letter_text, left, option->help);
}

static void print_verb_help(const struct invocation *invocation) {
    const struct verb *verb = invocation->verb;
    FILE *out = invocation->out;
    (void)fprintf(out, "usage: lapsectl %s [OPTION]...%s%s\n\n%s\n\n", verb->name, *verb->operands ? " " : "", verb->operands,
                  verb->summary);
    for (size_t i = 0; i < verb->n_options; i++) print_option(out, 0, &verb->options[i]);
    print_option(out, 'c', &common_options[COMMON_CONFIG]);
    print_option(out, 0, &common_options[COMMON_JSON]);
    print_option(out, 'h', &common_options[COMMON_HELP]);
    if (verb->notes) (void)fprintf(out, "\n%s\n", verb->notes);
}

static void print_help(const struct verb *const *verbs, size_t n_verbs, FILE *out, bool colour) {
    (void)fputs("usage: lapsectl COMMAND [OPTION]...\n"
                "Looks at a retention schedule, at what it would destroy, and at what lapsed has destroyed.\n",
                out);
    for (size_t i = 0; i < n_verbs; i++) {
        if (!i || strcmp(verbs[i]->group, verbs[i - 1]->group)) {
            (void)fputc('\n', out);
            style_print(out, colour, STYLE_HEADING, verbs[i]->group);
            (void)fputc('\n', out);
        }
        char left[64];
        (void)snprintf(left, sizeof left, "%s%s%s", verbs[i]->name, *verbs[i]->operands ? " " : "", verbs[i]->operands);
        (void)fprintf(out, "  %-20s  %s\n", left, verbs[i]->summary);
    }
    (void)fputs("\nEvery command takes -c FILE (default /etc/lapsed/lapsed.conf), --json and --help.\n"
                "None of them changes anything in a store. See lapsectl(1).\n",
                out);
}

/* ---- errors ---- */

static void PRINTF_LIKE(2, 0) fail(FILE *errors, const char *format, va_list arguments) {
    terminal_progress(NULL);
    (void)fputs("lapsectl: ", errors);
    (void)vfprintf(errors, format, arguments);
    (void)fputc('\n', errors);
}

int command_fail(const struct invocation *invocation, int status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fail(invocation->errors, format, arguments);
    va_end(arguments);
    return status;
}

int command_fail_err(const struct invocation *invocation, const struct err *err) {
    return command_fail(invocation, err_exit_status(err->code), "%s", err->text);
}

static int unknown_verb(const struct verb *const *verbs, size_t n_verbs, const char *word, const struct invocation *invocation) {
    const char *names[MOST_WORDS];
    size_t n_names = 0;
    for (size_t i = 0; i < n_verbs && n_names < MOST_WORDS; i++) names[n_names++] = verbs[i]->name;
    const char *nearest = nearest_word(word, names, n_names);
    if (nearest) return command_fail(invocation, EXIT_USAGE, "there is no command \"%s\"; did you mean \"%s\"?", word, nearest);
    return command_fail(invocation, EXIT_USAGE, "there is no command \"%s\"; lapsectl --help lists them", word);
}

static int unknown_option(const struct invocation *invocation, const char *word) {
    const char *names[MOST_WORDS];
    size_t n_names = 0;
    const struct verb *verb = invocation->verb;
    for (size_t i = 0; verb && i < verb->n_options; i++) names[n_names++] = verb->options[i].name;
    for (size_t i = 0; i < N_COMMON; i++) names[n_names++] = common_options[i].name;
    const char *nearest = nearest_word(word + strspn(word, "-"), names, n_names);
    const char *of = verb ? verb->name : "";
    if (nearest)
        return command_fail(invocation, EXIT_USAGE, "there is no option %s; did you mean --%s?", word, nearest);
    return command_fail(invocation, EXIT_USAGE, "there is no option %s; lapsectl %s%s--help lists them", word, of, verb ? " " : "");
}

/* ---- arguments ---- */

/* What the arguments are read with: `at` moves along them. */
struct reader {
    const struct verb *const *verbs;
    size_t n_verbs;
    int argc, at;
    char **argv;
    bool help, version;
};

/* Whether `word` is "--NAME" or "--NAME=VALUE"; *ret_value is behind the "=", else NULL. */
static bool is_option(const char *word, const char *name, const char **ret_value) {
    size_t length = strlen(name);
    if (strncmp(word, "--", 2) || strncmp(word + 2, name, length)) return false;
    if (word[2 + length] && word[2 + length] != '=') return false;
    *ret_value = word[2 + length] ? word + 3 + length : NULL;
    return true;
}

/* Finds the option among `options`; returns its index, or n_options. */
static size_t find_option(const struct option *options, size_t n_options, const char *word, const char **ret_value) {
    for (size_t i = 0; i < n_options; i++)
        if (is_option(word, options[i].name, ret_value)) return i;
    return n_options;
}

static bool names_option(const struct invocation *invocation, const char *word) {
    const struct verb *verb = invocation->verb;
    const char *value;
    if (!strcmp(word, "-c") || !strcmp(word, "-h") || find_option(common_options, N_COMMON, word, &value) < N_COMMON) return true;
    return verb && find_option(verb->options, verb->n_options, word, &value) < verb->n_options;
}

/* The value of an option: behind its "=", else the next argument, unless that is an option. Returns 0 or the exit status. */
static int take_value(const struct invocation *invocation, struct reader *reader, const struct option *option, const char *inline_value,
                      const char **ret_value) {
    if (!option->value && inline_value)
        return command_fail(invocation, EXIT_USAGE, "--%s takes no value", option->name);
    if (!option->value) return 0;
    if (!inline_value && reader->at + 1 < reader->argc && !names_option(invocation, reader->argv[reader->at + 1])) inline_value = reader->argv[++reader->at];
    if (!inline_value || !*inline_value)
        return command_fail(invocation, EXIT_USAGE, "--%s needs a value: --%s %s", option->name, option->name, option->value);
    *ret_value = inline_value;
    return 0;
}

static int take_common(struct invocation *invocation, struct reader *reader, enum common which, const char *inline_value) {
    const char *value = NULL;
    int status = take_value(invocation, reader, &common_options[which], inline_value, &value);
    if (status) return status;
    if (which == COMMON_CONFIG) invocation->config = value;
    if (which == COMMON_JSON) invocation->json = true;
    if (which == COMMON_HELP) reader->help = true;
    if (which == COMMON_VERSION) reader->version = true;
    return 0;
}

/* -c FILE, -cFILE and -h. Returns -1 for any other letter, else 0 or the exit status. */
static int take_letter(struct invocation *invocation, struct reader *reader, const char *word) {
    if (!strcmp(word, "-h")) return take_common(invocation, reader, COMMON_HELP, NULL);
    if (word[1] != 'c') return -1;
    return take_common(invocation, reader, COMMON_CONFIG, word[2] ? word + 2 : NULL);
}

static int take_option(struct invocation *invocation, struct reader *reader) {
    const char *word = reader->argv[reader->at], *inline_value = NULL;
    const struct verb *verb = invocation->verb;
    if (word[1] != '-') {
        int status = take_letter(invocation, reader, word);
        return status < 0 ? unknown_option(invocation, word) : status;
    }
    size_t own = verb ? find_option(verb->options, verb->n_options, word, &inline_value) : 0;
    if (verb && own < verb->n_options) {
        invocation->given[own] = true;
        return take_value(invocation, reader, &verb->options[own], inline_value, &invocation->values[own]);
    }
    size_t common = find_option(common_options, N_COMMON, word, &inline_value);
    if (common == N_COMMON) return unknown_option(invocation, word);
    return take_common(invocation, reader, (enum common)common, inline_value);
}

/* The verb at the present argument, of one word or two. Moves to its last word. */
static int take_verb(struct invocation *invocation, struct reader *reader) {
    const char *word = reader->argv[reader->at];
    const char *next = reader->at + 1 < reader->argc ? reader->argv[reader->at + 1] : NULL;
    char both[64];
    (void)snprintf(both, sizeof both, "%s%s%s", word, next ? " " : "", next ? next : "");
    bool is_first_word = false;
    for (size_t i = 0; i < reader->n_verbs; i++) {
        const struct verb *verb = reader->verbs[i];
        bool two_words = strchr(verb->name, ' ');
        size_t length = strcspn(verb->name, " ");
        is_first_word |= two_words && strlen(word) == length && !strncmp(word, verb->name, length);
        if (strcmp(verb->name, two_words ? both : word)) continue;
        invocation->verb = verb;
        reader->at += two_words;
        return 0;
    }
    bool with_next = is_first_word && next && *next != '-';
    return unknown_verb(reader->verbs, reader->n_verbs, with_next ? both : word, invocation);
}

/* A verb that reads its options itself gets all from its last word on; --config is ours and may stand among them. */
static int pass_rest(struct invocation *invocation, struct reader *reader) {
    invocation->rest = reader->argv + reader->at;
    int kept = 0;
    for (; reader->at < reader->argc; reader->at++) {
        char *word = reader->argv[reader->at];
        const char *value = NULL;
        int status = 0;
        if (is_option(word, "config", &value)) {
            status = take_common(invocation, reader, COMMON_CONFIG, value);
        } else if (!strncmp(word, "-c", 2)) {
            status = take_letter(invocation, reader, word);
        } else {
            invocation->rest[kept++] = word;
        }
        if (status) return status;
    }
    invocation->rest_count = kept;
    return 0;
}

static int take_operand(struct invocation *invocation, struct reader *reader) {
    const struct verb *verb = invocation->verb;
    const char *word = reader->argv[reader->at];
    if (invocation->n_operands == verb->n_operands)
        return command_fail(invocation, EXIT_USAGE, "\"%s\" is one argument too many; usage: lapsectl %s [OPTION]...%s%s", word,
                            verb->name, *verb->operands ? " " : "", verb->operands);
    invocation->operands[invocation->n_operands++] = word;
    return 0;
}

static int read_arguments(struct invocation *invocation, struct reader *reader) {
    bool options_over = false;
    for (reader->at = 1; reader->at < reader->argc; reader->at++) {
        const char *word = reader->argv[reader->at];
        int status;
        if (!options_over && !strcmp(word, "--")) {
            options_over = true;
            continue;
        }
        if (!options_over && word[0] == '-' && word[1]) {
            status = take_option(invocation, reader);
        } else if (!invocation->verb) {
            status = take_verb(invocation, reader);
            if (!status && invocation->verb->passes_rest) return pass_rest(invocation, reader);
        } else {
            status = take_operand(invocation, reader);
        }
        if (status) return status;
    }
    return 0;
}

static int run_verb(const struct invocation *invocation) {
    const struct verb *verb = invocation->verb;
    if (invocation->n_operands < verb->n_operands && !(verb->operands_optional && !invocation->n_operands))
        return command_fail(invocation, EXIT_USAGE, "something is missing; usage: lapsectl %s [OPTION]... %s", verb->name, verb->operands);
    int status = verb->run(invocation);
    terminal_progress(NULL);
    if (fflush(invocation->out) || ferror(invocation->out))
        return command_fail(invocation, EXIT_FILES, "the output could not be written whole");
    return status;
}

int command_run(const struct verb *const *verbs, size_t n_verbs, int argc, char **argv, FILE *out, FILE *errors) {
    struct invocation invocation = {.config = default_config, .out = out, .errors = errors, .colour = terminal_colour(out)};
    struct reader reader = {.verbs = verbs, .n_verbs = n_verbs, .argc = argc, .argv = argv};
    int status = read_arguments(&invocation, &reader);
    if (status) return status;
    if (reader.version) {
        (void)fprintf(out, "lapsectl %s\n", VERSION);
    } else if (reader.help && invocation.verb) {
        print_verb_help(&invocation);
    } else if (reader.help) {
        print_help(verbs, n_verbs, out, invocation.colour);
    } else if (!invocation.verb) {
        print_help(verbs, n_verbs, errors, false);
        return EXIT_USAGE;
    } else {
        return run_verb(&invocation);
    }
    return EXIT_WELL;
}

/* ---- for the verbs ---- */

static size_t own_option(const struct invocation *invocation, const char *option) {
    size_t i = 0;
    while (i < invocation->verb->n_options && strcmp(invocation->verb->options[i].name, option)) i++;
    assert(i < invocation->verb->n_options);
    return i;
}

bool command_given(const struct invocation *invocation, const char *option) {
    return invocation->given[own_option(invocation, option)];
}

const char *command_value(const struct invocation *invocation, const char *option) {
    return invocation->values[own_option(invocation, option)];
}
