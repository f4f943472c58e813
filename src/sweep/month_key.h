/* Random keys of 32 bytes, one for each calendar month (UTC), in <state>/NAME-YYYY-MM.key with mode 0400: of the pseudonymize
 * strategy ("pseudonym", destroyed when its month is over) and of the evidence ("evidence", kept as long as that). */
#ifndef LAPSED_SWEEP_MONTH_KEY_H
#define LAPSED_SWEEP_MONTH_KEY_H

#include "base/arena.h"
#include "base/period.h"
#include "sweep/key_file.h"

#include <stddef.h>

enum { MONTH_KEY_BYTES = KEY_FILE_BYTES };

struct month_key { unsigned char bytes[MONTH_KEY_BYTES]; };

/* Reads this month's key or makes it. Syncs: not on the loop. */
int month_key_have(const char *state_folder, const char *name, int64_t now_us, unsigned char ret_key[MONTH_KEY_BYTES], struct err *err) MUST_CHECK;
/* Destroys (overwrites, removes) those whose month has been over for `keep` (count 0: at once), and counts them. Only for who is sure
 * what time it is. Syncs: not on the loop. */
int month_keys_destroy(const char *state_folder, const char *name, int64_t now_us, struct period keep, size_t *ret_destroyed, struct err *err) MUST_CHECK;
/* Every key of this name that there is, in `arena`. */
int month_keys_read(const char *state_folder, const char *name, struct arena *arena, struct month_key **ret_keys, size_t *ret_count,
                    struct err *err) MUST_CHECK;

#endif
