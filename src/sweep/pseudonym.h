/* The key of the pseudonymize strategy: 32 random bytes for each calendar month (UTC), in <state>/pseudonym-YYYY-MM.key,
 * destroyed when the month is over. */
#ifndef LAPSED_SWEEP_PSEUDONYM_H
#define LAPSED_SWEEP_PSEUDONYM_H

#include "base/err.h"

#include <stdint.h>

/* Reads this month's key, makes it if there is none, overwrites and removes all others. Syncs: not on the loop. */
int pseudonym_key(const char *state_folder, int64_t now_us, unsigned char ret_key[32], struct err *err) MUST_CHECK;

#endif
