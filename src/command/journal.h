/* lapsectl journal show, verify and checkpoint. They read the files alone: no daemon, no database, and with --folder no
 * configuration either, so an auditor can run them on a copy. argv[0] is the verb. */
#ifndef LAPSED_COMMAND_JOURNAL_H
#define LAPSED_COMMAND_JOURNAL_H

#include "journal/note.h"

#include <stdbool.h>

/* As configured; NULL where no configuration was read. */
struct journal_place {
    const char *folder, *state;
    bool personal; /* tenants.personal: the journal has other names for tenants */
    bool checking; /* only whether the options are right, which is said before any configuration is read */
};

/* Says what getopt_long (its letters begin with ":") did not accept. */
void journal_wrong_option(int option, char **argv);
bool journal_takes_no_more(int argc, char **argv); /* false: something stands behind the options, and it was said */

/* Adds a public key as --vkey takes it: itself, or a file with one a line. ERR_CONFIG: it is neither. */
int journal_read_vkey(const char *value, struct note_keys *keys, struct err *err) MUST_CHECK;

/* 0, or 1 when the journal is damaged (what could be read is shown); 64 usage, 74 a file cannot be read. */
int command_journal_show(const struct journal_place *place, int argc, char **argv);
/* 0 whole and signed, 1 altered, missing or reordered, 2 whole but unsigned, 3 older or shorter than it should be; 64
 * usage, 74 a file cannot be read. */
int command_journal_verify(const struct journal_place *place, int argc, char **argv);
/* 0, 2 where there is no checkpoint yet; 64 usage, 74 it cannot be read. */
int command_journal_checkpoint(const struct journal_place *place, int argc, char **argv);

#endif
