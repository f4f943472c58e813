#include "command/verbs.h"
#include "journal/signer.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEY_MODE = 0400 };

static void wipe(char **text) {
    if (!*text) return;
    explicit_bzero(*text, strlen(*text));
    free(*text);
}

static int run(const struct invocation *invocation) {
    const char *file = command_value(invocation, "out");
    if (!file) file = "journal.key";
    if (!access(file, F_OK)) return command_fail(invocation, EXIT_USAGE, "\"%s\" is there already; a key is never overwritten: name another file with --out", file);
    __attribute__((cleanup(wipe))) char *text = NULL;
    struct note_key public;
    struct err err;
    if (signer_generate(command_value(invocation, "name"), &text, &public, &err)) return command_fail_err(invocation, &err);
    if (text_write_file(file, text, strlen(text), KEY_MODE, &err)) return command_fail_err(invocation, &err);
    return fprintf(invocation->out, "%s\n", note_vkey(&public).text) < 0 || fflush(invocation->out) ? EXIT_FILES : EXIT_WELL;
}

static const struct option options[] = {
    {"name", "NAME", "the log's origin, of a journal that there is (random)"},
    {"out", "FILE", "where the private key goes (journal.key)"},
};

const struct verb verb_keygen = {
    .name = "keygen",
    .group = "After a sweep",
    .summary = "a key to sign the journal with",
    .operands = "",
    .notes = "Writes a new private key (mode 0400) and prints its public key, which is for everyone who\n"
             "verifies the journal. Without --name the key gets a random name, which a new journal takes as its\n"
             "origin; a key that replaces another bears the same name: lapsectl journal checkpoint tells it.\n",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .run = run,
};
