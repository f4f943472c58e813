/* What the journal and the findings call a tenant: its id or, with tenants.personal, an HMAC of it, so that no personal data
 * gets into either. The key is <state>/tenants.key and is never destroyed: a tenant keeps its name. */
#ifndef LAPSED_SWEEP_TENANT_NAME_H
#define LAPSED_SWEEP_TENANT_NAME_H

#include "schedule/schedule.h"
#include "sweep/key_file.h"

struct tenant_names {
    bool personal;
    unsigned char key[KEY_FILE_BYTES];
};

/* Reads the key where the schedule asks for it, and makes it if there is none. Syncs: not on the loop. */
int tenant_names_open(const struct schedule *schedule, struct tenant_names *ret_names, struct err *err) MUST_CHECK;
/* "1042", or "h-" and the first 128 bits of HMAC-SHA-256(key, id) in hex. "" (no tenant) stays "". In `arena` or the id itself. */
const char *tenant_name(const struct tenant_names *names, struct arena *arena, const char *id);

/* For lapsectl, which may run as another user and makes no key: what the journal calls the tenant that was asked for. A name as
 * the journal has it stays as it is. */
int tenant_name_asked(const char *state_folder, const char *id, struct arena *arena, const char **ret_name, struct err *err) MUST_CHECK;

#endif
