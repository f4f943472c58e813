/* Faults of a configuration: all of one run are collected, each with its place and the remedy, and printed together as
 * "file:line: what is wrong; what would be right", without a line that is 0. */
#ifndef LAPSED_SCHEDULE_FAULT_H
#define LAPSED_SCHEDULE_FAULT_H

#include "base/arena.h"
#include "base/err.h"

#include <stddef.h>
#include <stdio.h>

struct place {
    const char *file; /* as people named it; "": the text says where */
    unsigned line;
};

struct fault {
    struct place place;
    const char *text; /* "\"Billing Records\": keep = \"7\" has no unit; write \"7 years\"" */
};

struct faults {
    struct arena *arena; /* the caller's */
    struct fault *items;
    size_t count;
};

void fault_add(struct faults *faults, struct place place, const char *format, ...) PRINTF_LIKE(3, 4);
/* By file and line, doubles removed. */
void faults_sort(struct faults *faults);
void faults_print(const struct faults *faults, FILE *to);
void faults_log(const struct faults *faults); /* each as an error */

#endif
