/* What a batch took, by tenant. */
#ifndef LAPSED_STORE_PG_TAKEN_H
#define LAPSED_STORE_PG_TAKEN_H

#include "store/pg_value.h"

/* One record chosen or destroyed. */
struct pg_record {
    struct pg_ctid ctid;
    const char *tenant;
    const char *anchor; /* as text, for the next batch; NULL: there is none, or the instant says it */
    int64_t instant_us; /* TIME_FOREVER: no anchor */
};

struct pg_tenant_taken {
    const char *tenant;
    int64_t count, oldest_us;
    int64_t latest_us;         /* INT64_MIN: no record had an anchor */
    char latest[PG_VALUE_ROOM]; /* its anchor as text; "": the instant says it */
};

/* Zero-initialised but for the arena, which everything in it is taken from. */
struct pg_taken {
    struct arena *arena;
    struct pg_tenant_taken *tenants;
    size_t n_tenants;
    size_t records;
    struct pg_ctid last; /* the largest */
    size_t *slots; /* open addressing: index + 1 */
    size_t n_slots;
};

void pg_taken_add(struct pg_taken *taken, const struct pg_record *record);
/* So many of a tenant at once; where the next batch begins is not known then. */
void pg_taken_add_many(struct pg_taken *taken, const char *tenant, int64_t count, int64_t oldest_us);
const struct pg_tenant_taken *pg_taken_of(const struct pg_taken *taken, const char *tenant); /* NULL: nothing */
/* The one with the latest anchor; NULL: nothing was taken. */
const struct pg_tenant_taken *pg_taken_latest(const struct pg_taken *taken);

#endif
