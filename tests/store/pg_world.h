/* What the tests of the PostgreSQL catalog share: a schema of their own on the server of $LAPSED_TEST_POSTGRESQL_ADMIN, and a
 * store with a schedule from text. */
#ifndef LAPSED_TESTS_PG_WORLD_H
#define LAPSED_TESTS_PG_WORLD_H

#include "schedule/schedule.h"
#include "store/pg_bind.h"
#include "unit.h"

struct world {
    struct arena *arena;
    struct faults faults;
    struct schedule *schedule;
    struct pg_store store;
    bool bad[16];
    char *text; /* the faults, a line each */
};

/* Drops and makes the schema, as an administrator, and fills it; run_sql fails the test on any error. */
void fresh_schema(const char *sql);
void run_sql(const char *sql);
/* One value as text, to be freed. */
char *ask_sql(const char *sql);
void leave_schema(void);

/* The rules stand in schedule.conf, where the first line is line 1. `tenants` NULL: the customers below; `role` NULL: the
 * administrator. */
void open_world(struct world *world, const char *tenants, const char *rules, const char *role, const char *password);
void check_world(struct world *world);
void close_world(struct world *world);
struct store *base(struct world *world);

/* Two tables that any schedule below may use. */
#define BASE_SQL \
    "CREATE TABLE customers (id bigint PRIMARY KEY, name text NOT NULL, email text UNIQUE, ended_at timestamptz, months text);" \
    "CREATE TABLE logs (id bigint PRIMARY KEY, customer_id bigint, at timestamptz, text text);"

/* A rule by age on one target, in line 2. */
#define BY_AGE(target) "\n{ data = \"Logs\"; keep = \"1 year\"; basis = \"b\"; targets = ( { " target " } ); }\n"
#define BY_END(target) "\n{ data = \"Data\"; keep = \"account + 30 days\"; basis = \"b\"; targets = ( { " target " } ); }\n"
#define LOGS "table = \"logs\"; tenant = \"customer_id\"; since = \"at\"; "
#define TEXT "table = \"t\"; tenant = \"customer_id\"; since = \"at\"; "
#define ANONYMIZE(target) "\n{ data = \"A\"; anonymize = \"1 year\"; keep = \"2 years\"; basis = \"b\"; targets = ( { " target " } ); }\n"

#endif
