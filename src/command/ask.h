/* Asking the daemon through its spool: a request, and its answer in words. */
#ifndef LAPSED_COMMAND_ASK_H
#define LAPSED_COMMAND_ASK_H

#include "command/command.h"
#include "request/request.h"

/* Puts the request there (id NULL: one is made up), waits for the answer while the daemon runs, and prints it. Returns the exit
 * status: 0 accepted, 64 a wrong id, 75 not answered yet, 77 refused. */
int ask_daemon(const struct invocation *invocation, const struct request *request, const char *id) MUST_CHECK;

#endif
