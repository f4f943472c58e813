/* What the daemon says of itself: the lock that it holds on its journal's folder, status.json in its run folder, and
 * findings.json in its state folder. Read only; there is no socket. */
#ifndef LAPSED_COMMAND_DAEMON_STATE_H
#define LAPSED_COMMAND_DAEMON_STATE_H

#include "base/err.h"
#include "schedule/schedule.h"

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

struct daemon_state {
    bool running;
    pid_t pid;      /* of the running daemon */
    json_t *status; /* status.json; NULL: there is none. It may be of a daemon that is gone: daemon_state_is_current */
    /* The last sweep's, an array: the running daemon's or, where it has not swept yet, those that were left behind. NULL:
     * no sweep has ended yet. */
    json_t *findings;
};

/* A daemon that never ran is no error. ERR_IO: a file is there but cannot be read, or is no JSON object of version 1. */
int daemon_state_read(const struct schedule *schedule, struct daemon_state *ret_state, struct err *err) MUST_CHECK;
void daemon_state_free(struct daemon_state *state);
/* Whether the status was written by the daemon that is running now. */
bool daemon_state_is_current(const struct daemon_state *state);

/* Fields of an object; absent, null or of another type gives the fallback. */
const char *json_text(const json_t *object, const char *name, const char *fallback);
int64_t json_number(const json_t *object, const char *name, int64_t fallback);

#endif
