/* lapsectl journal show, lapsectl journal verify. Both read the files alone: no daemon, no database, and with --folder no
 * configuration either, so an auditor can run them on a copy. argv[0] is the verb; `folder` may be NULL where no
 * configuration names one. */
#ifndef LAPSED_COMMAND_JOURNAL_H
#define LAPSED_COMMAND_JOURNAL_H

/* 0, or 1 when the journal is damaged (what could be read is shown); 64 usage, 74 a file cannot be read. */
int command_journal_show(const char *folder, int argc, char **argv);
/* 0 whole and signed, 1 altered, missing or reordered, 2 whole but unsigned; 64 usage, 74 a file cannot be read. */
int command_journal_verify(const char *folder, int argc, char **argv);

#endif
