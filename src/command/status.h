/* lapsectl status and lapsectl findings: pure, from what was read of the daemon (daemon_state.h). */
#ifndef LAPSED_COMMAND_STATUS_H
#define LAPSED_COMMAND_STATUS_H

#include "base/arena.h"
#include "command/daemon_state.h"

#include <stdio.h>

/* Both are the exit statuses too. */
enum status_verdict { STATUS_WELL = 0, STATUS_ATTENTION = 1, STATUS_STOPPED = 2 };
enum findings_verdict { FINDINGS_NONE = 0, FINDINGS_SOME = 1, FINDINGS_UNKNOWN = 2 };

enum status_verdict status_verdict(const struct daemon_state *state, int64_t now_us);
void status_print(struct arena *arena, const struct daemon_state *state, int64_t now_us, FILE *to, bool colour);
void status_print_json(const struct daemon_state *state, int64_t now_us, FILE *to);

enum findings_verdict findings_verdict(const json_t *findings); /* NULL: never swept */
void findings_print(struct arena *arena, const json_t *findings, FILE *to, bool colour);

#endif
