/* The PostgreSQL driver (libpq), for the programs to name. */
#ifndef LAPSED_STORE_PG_H
#define LAPSED_STORE_PG_H

#include "store/store.h"

extern const struct store_driver pg_driver;

#endif
