/* The tenants: what the tenants query says of every customer account, held compactly. Lines of one tenant are merged:
 * the latest end counts, one still running counts more; parents or periods that differ make the tenant undecidable. */
#ifndef LAPSED_SCHEDULE_TENANTS_H
#define LAPSED_SCHEDULE_TENANTS_H

#include "schedule/schedule.h"

/* One line of the tenants query, as a store hands it over. Strings need to live only during the call. */
struct tenant_row {
    const char *id;                         /* text of the tenant; never NULL or "" (the store reports those) */
    const char *parent;                     /* NULL: none, or the query has no such column */
    int64_t ends[MOST_ENDS];                /* TIME_FOREVER: empty, still running */
    bool bad_ends[MOST_ENDS];               /* of the wrong type or not readable */
    const char *periods[MOST_PER_TENANT];   /* as text; NULL: not set */
};

struct tenant {
    const char *id, *parent;
    const int64_t *ends;          /* n_ends of the schedule; TIME_FOREVER: running */
    const char *const *periods;   /* n_period_columns; interned; NULL: not set */
    bool undecidable_parent;
    unsigned undecidable_ends;    /* bit i: end i is contradictory or unreadable */
    unsigned undecidable_periods; /* bit i: period column i differs between lines */
};

struct tenants;

struct tenants *tenants_new(const struct schedule *schedule);
void tenants_free(struct tenants *tenants); /* NULL is fine */
/* Returns -1 (ERR_REFUSED) on an empty id. */
int tenants_add(struct tenants *tenants, const struct tenant_row *row, struct err *err) MUST_CHECK;
/* After the last row: sorts by id (bytewise). Lookups and the array are valid from now on. */
void tenants_finish(struct tenants *tenants);
size_t tenants_count(const struct tenants *tenants);
const struct tenant *tenants_at(const struct tenants *tenants, size_t index);
const struct tenant *tenants_find(const struct tenants *tenants, const char *id); /* NULL: not in the list */

#endif
