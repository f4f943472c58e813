/* The Redis driver. A record is a key, a member of a sorted set or an entry of a stream; see redis_internal.h. */
#ifndef LAPSED_STORE_REDIS_H
#define LAPSED_STORE_REDIS_H

#include "store/store.h"

extern const struct store_driver redis_driver;

#endif
