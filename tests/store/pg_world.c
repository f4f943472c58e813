#include "pg_world.h"
#include "temporary.h"

#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

static const char *environment(const char *name) {
    const char *value = getenv(name);
    ck_assert_msg(value != NULL, "%s is not set; run make check, which starts the servers", name);
    return value;
}

static PGconn *admin;

void run_sql(const char *sql) {
    if (!*sql) return;
    PGresult *result = PQexec(admin, sql);
    ck_assert_msg(PQresultStatus(result) == PGRES_COMMAND_OK || PQresultStatus(result) == PGRES_TUPLES_OK, "%s: %s", sql, PQerrorMessage(admin));
    PQclear(result);
}

/* The schema that everything below lives in; foreign names of the role are dropped with it. */
void fresh_schema(const char *sql) {
    admin = PQconnectdb(environment("LAPSED_TEST_POSTGRESQL_ADMIN"));
    ck_assert_msg(PQstatus(admin) == CONNECTION_OK, "%s", PQerrorMessage(admin));
    run_sql("SET client_min_messages = error; DROP SCHEMA IF EXISTS acts, catalog_test CASCADE; CREATE SCHEMA catalog_test;"
            "SET search_path = catalog_test");
    run_sql(sql);
}

void leave_schema(void) { PQfinish(admin); }

char *ask_sql(const char *sql) {
    PGresult *result = PQexec(admin, sql);
    ck_assert_msg(PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1, "%s: %s", sql, PQerrorMessage(admin));
    char *value = strdup(PQgetvalue(result, 0, 0));
    PQclear(result);
    return value;
}

/* `role`: NULL = the administrator. */
static char *url_of(struct arena *arena, const char *role) {
    const char *url = environment("LAPSED_TEST_POSTGRESQL_ADMIN");
    const char *at = strchr(url, '@'), *host = at ? at + 1 : strstr(url, "://") + 3;
    size_t user_length = at ? strcspn(strstr(url, "://") + 3, ":@") : 0;
    const char *user = role ? role : arena_strndup(arena, strstr(url, "://") + 3, user_length);
    return arena_printf(arena, "postgresql://%s@%s%soptions=-csearch_path%%3Dcatalog_test", user, host, strchr(host, '?') ? "&" : "?");
}

static char *password_of(struct arena *arena) {
    const char *url = environment("LAPSED_TEST_POSTGRESQL_ADMIN");
    const char *user = strstr(url, "://") + 3, *at = strchr(user, '@'), *colon = strchr(user, ':');
    return at && colon && colon < at ? arena_strndup(arena, colon + 1, (size_t)(at - colon - 1)) : NULL;
}

static const char ordinary_tenants[] = "ends = [ \"account\" ]; query = \"SELECT id AS tenant, ended_at AS account, months FROM customers\";";

void open_world(struct world *world, const char *tenants, const char *rules, const char *role, const char *password) {
    char folder[TEMPORARY_ROOM], path[2 * TEMPORARY_ROOM], rules_path[2 * TEMPORARY_ROOM];
    *world = (struct world){.arena = arena_new()};
    world->faults.arena = world->arena;
    ck_assert(temporary_folder(folder));
    (void)snprintf(path, sizeof path, "%s/lapsed.conf", folder);
    (void)snprintf(rules_path, sizeof rules_path, "%s/schedule.conf", folder);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    (void)fprintf(file, "stores = { main = { url = \"%s\"; }; };\ntenants = { store = \"main\"; %s };\nschedule = \"schedule.conf\";\n",
                  url_of(world->arena, role), tenants ? tenants : ordinary_tenants);
    ck_assert_int_eq(fclose(file), 0);
    file = fopen(rules_path, "w");
    ck_assert_ptr_nonnull(file);
    (void)fprintf(file, "schedule = (%s);\n", rules);
    ck_assert_int_eq(fclose(file), 0);
    struct err err;
    if (schedule_load(path, true, &world->schedule, &world->faults, &err)) {
        faults_print(&world->faults, stderr);
        ck_abort_msg("%s", err.text);
    }
    (void)unlink(path);
    (void)unlink(rules_path);
    (void)rmdir(folder);
    world->store.base.settings = (struct store_settings){.conf = &world->schedule->stores[0], .schedule = world->schedule};
    const char *secret = role ? password : password_of(world->arena);
    world->store.password = secret ? xstrdup(secret) : NULL;
    world->store.statement_timeout_us = 20000000;
    world->store.lock_timeout_us = 1000000;
    world->store.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

struct store *base(struct world *world) { return (struct store *)(void *)&world->store; }

void check_world(struct world *world) {
    struct err err;
    ck_assert_msg(!pg_check(base(world), &world->faults, world->bad, &err), "%s", err.text);
    faults_sort(&world->faults);
    size_t size;
    FILE *text = open_memstream(&world->text, &size);
    faults_print(&world->faults, text);
    ck_assert_int_eq(fclose(text), 0);
}

void close_world(struct world *world) {
    pg_disconnect(&world->store);
    arena_free(world->store.catalog);
    free(world->store.password);
    free(world->text);
    (void)close(world->store.wake);
    schedule_free(world->schedule);
    arena_free(world->arena);
}
