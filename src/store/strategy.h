/* The anonymization strategies on text, pure: no store's library in here. Laws, for every strategy and value:
 *   strategy_apply(strategy_apply(x)) equals strategy_apply(x);
 *   strategy_done(strategy_apply(x)) is true, so nothing is chosen a second time;
 *   where strategy_done(x) is true, nothing is left in x that the strategy takes away.
 * A value that cannot be read for what it should be becomes NULL, never stays. NULL and "" stay as they are, but for
 * fixed(VALUE), which replaces them too, and null. */
#ifndef LAPSED_STORE_STRATEGY_H
#define LAPSED_STORE_STRATEGY_H

#include "schedule/schedule.h"

/* A pseudonym is "anon:" and the lower-case hex of HMAC-SHA-256(key, value). A column too short for 64 digits takes the
 * first ones, at least STRATEGY_LEAST_PSEUDONYM bytes in all. */
enum { STRATEGY_PSEUDONYM = 5 + 64, STRATEGY_LEAST_PSEUDONYM = 5 + 32 };

/* The new value, in `arena` or `value` itself; NULL is SQL's NULL. key: 32 bytes, needed by pseudonymize alone. */
char *strategy_apply(struct arena *arena, const struct column *column, const unsigned char *key, const char *value);
bool strategy_done(const struct column *column, const char *value);
/* strategy_done as a POSIX extended regular expression that also PostgreSQL and PCRE read alike, for a value that is neither NULL
 * nor ""; NULL for the strategies that need none (null, fixed, as-is). */
const char *strategy_done_pattern(const struct column *column);

/* The units of truncate-time: "second", "minute", "hour", "day", "month", "year"; in UTC. */
bool strategy_is_time_unit(const char *unit);
int64_t strategy_truncate_time(int64_t us, const char *unit);

#endif
