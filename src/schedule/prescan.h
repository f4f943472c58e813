/* A look at the bytes of a configuration file before libconfig 1.5 parses them, for what it would do silently or not
 * survive: @include (looked up in the working directory, and it can exit the process), numbers beyond 32 bits (they
 * become others), a missing comma in a list (two strings become one), \x00 in a string (cuts it), endless nesting. */
#ifndef LAPSED_SCHEDULE_PRESCAN_H
#define LAPSED_SCHEDULE_PRESCAN_H

#include "schedule/fault.h"

#include <stddef.h>

struct prescan {
    unsigned *lines; /* of each string value in the order of the file: the line it begins in */
    size_t n_lines;
};

/* On -1 there is a fault and nothing to free. bytes end with NUL. */
int prescan_bytes(const char *file, const char *bytes, size_t length, struct prescan *ret_prescan, struct faults *faults) MUST_CHECK;
void prescan_free(struct prescan *prescan);

#endif
