/* The MongoDB driver, for the programs that name it. */
#ifndef LAPSED_STORE_MONGO_H
#define LAPSED_STORE_MONGO_H

#include "store/store.h"

extern const struct store_driver mongo_driver;

#endif
