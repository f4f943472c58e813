/* The daemon: the loop, signals, the timer, reloads. HUP reloads, USR1 sweeps now, TERM and INT stop after the batches in
 * flight. */
#ifndef LAPSED_SWEEP_DAEMON_H
#define LAPSED_SWEEP_DAEMON_H

#include <stdbool.h>

/* Runs until it is stopped (or, with once, until one sweep is over) and returns the exit status: 0; with once also 75 (work
 * waits); 74 the journal or another file of ours; 78 the configuration or the schedule; 70 a fault of ours. */
int daemon_run(const char *config_path, bool once);
/* Loads the schedule, prints its faults or a summary, and returns the exit status. */
int daemon_test(const char *config_path);

#endif
