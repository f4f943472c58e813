/* A schema of its own on the real PostgreSQL server, a schedule on it, and the driver as the program sees it: opened,
 * checked, then given orders. What the driver did is read back by an administrator's connection. */
#ifndef LAPSED_TESTS_PG_FIXTURE_H
#define LAPSED_TESTS_PG_FIXTURE_H

#include "schedule_text.h"
#include "store/pg.h"
#include "unit.h"

struct acts {
    struct schedule *schedule;
    struct store *store;
    struct arena *arena;
};

/* What a pass came to. */
struct sum {
    int64_t records, dependents;
    size_t batches;
};

/* Makes the schema anew and runs these statements in it, as the administrator. */
void pg_schema(const char *sql);
void pg_sql(const char *sql);
/* After acts_close: the administrator once more, in the same schema. */
void pg_schema_again(void);
void pg_leave(void);
/* The first value of the answer. */
long pg_number(const char *sql);
char *pg_text(const char *sql); /* malloc'ed; "" for NULL */
/* On a second connection of the administrator's: the SQLSTATE, or "" if it went well. */
const char *pg_elsewhere(const char *sql);

/* `rules` is the list of the schedule; tenants come from the table "customers". Nothing may be wrong with it. */
struct acts acts_open(const char *rules);
/* As acts_open with settings ("batch…;") and, read-only, as lapsectl plan opens it. */
struct acts acts_open_with(const char *tenants, const char *rules, bool read_only);
void acts_close(struct acts *acts);
const struct target *acts_target(const struct acts *acts, size_t number);

/* Everything of the target before the cutoff, by `since`. */
struct order order_by_age(const struct target *target, enum action action, const char *cutoff);
/* By the tenant's end: these tenants (sorted, NULL at the end), all of it. The list must outlive the order. */
struct order order_by_end(struct acts *acts, const struct target *target, enum action action, const char *const *tenants);

struct tally acts_count(struct acts *acts, const struct order *order);
struct tally acts_probe(struct acts *acts, const struct order *order);
/* Commits batch after batch until there is none. */
struct sum acts_pass(struct acts *acts, const struct order *order, size_t limit);
struct sum acts_pass_portion(struct acts *acts, const struct order *order, const struct portion *portion, size_t limit);
/* The same, and the plan's numbers must be the pass's. */
struct sum acts_sweep(struct acts *acts, const struct order *order, size_t limit);

#endif
