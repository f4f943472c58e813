/* One configuration file: its bytes, checked before libconfig sees them, and libconfig's tree of it. */
#ifndef LAPSED_SCHEDULE_SOURCE_H
#define LAPSED_SCHEDULE_SOURCE_H

#include "schedule/fault.h"

#include <libconfig.h>

struct source {
    const char *file;
    char sha256[65]; /* of exactly the bytes that were read */
    config_t config;
};

/* Reads and parses the file. On failure -1, with at least one fault: `asked` is the setting that names the file (its
 * file NULL: nobody, the fault is the file's own). Lines of strings are kept exactly: see source_line. */
int source_open(struct source *source, const char *path, struct place asked, struct faults *faults) MUST_CHECK;
/* Safe after a failed open, and twice. */
void source_close(struct source *source);

/* The line that the setting stands in; for a string the line it begins in. */
unsigned source_line(const config_setting_t *setting);

#endif
