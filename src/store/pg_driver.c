/* The PostgreSQL driver's table, and the verbs that are about the connection alone. */
#include "store/pg_internal.h"

#include "base/time.h"

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int pg_open(const struct store_settings *settings, struct store **ret_store, struct err *err) {
    int wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (wake < 0) return err_set(err, ERR_IO, "store \"%s\": no descriptor is left", settings->conf->name);
    struct pg_store *store = xcalloc(1, sizeof *store);
    const struct settings *limits = &settings->schedule->settings;
    store->base.driver = &pg_driver;
    store->base.settings = *settings;
    store->password = settings->password ? xstrdup(settings->password) : NULL;
    store->base.settings.password = store->password;
    store->statement_timeout_us = limits->statement_timeout_us;
    store->lock_timeout_us = limits->lock_timeout_us;
    store->wake = wake;
    *ret_store = (struct store *)(void *)store;
    return 0;
}

static void pg_close(struct store *base) {
    struct pg_store *store = (struct pg_store *)(void *)base;
    pg_disconnect(store);
    arena_free(store->catalog);
    if (store->password) explicit_bzero(store->password, strlen(store->password));
    free(store->password);
    (void)close(store->wake);
    free(store);
}

static int pg_ping(struct store *base, int64_t *ret_server_now_us, struct err *err) {
    struct pg_store *store = (struct pg_store *)(void *)base;
    if (pg_connect(store, err) < 0) return -1;
    PG_RESULT result = NULL;
    if (pg_query(store, "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint", 0, NULL, &result, err) < 0) return -1;
    *ret_server_now_us = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    return 0;
}

static void pg_interrupt(struct store *base) {
    const struct pg_store *store = (const struct pg_store *)(const void *)base;
    uint64_t one = 1;
    if (write(store->wake, &one, sizeof one) < 0) return; /* the counter is full: it is readable already */
}

/* *ret_status: "committed", "aborted", "in progress" or "" (the server no longer knows). */
static int ask_status(struct pg_store *store, const char *transaction, char ret_status[16], struct err *err) {
    PG_RESULT result = NULL;
    if (pg_query(store, "SELECT coalesce(pg_xact_status($1::xid8), '')", 1, &transaction, &result, err) < 0) return -1;
    (void)text_copy(ret_status, 16, PQgetvalue(result, 0, 0));
    return 0;
}

static bool is_number(const char *text) { return *text && strlen(text) < 20 && text[strspn(text, "0123456789")] == '\0'; }

/* A transaction id means something only to the server that gave it out: after a crash the same id may be another's. */
int pg_settle(struct store *base, const char *transaction, const char *server, enum settled *ret_settled, struct err *err) {
    enum { AGAIN_MS = 50 };
    struct pg_store *store = (struct pg_store *)(void *)base;
    if (pg_connect(store, err) < 0) return -1;
    if (!is_number(transaction) || strcmp(server, store->server_start) != 0) {
        *ret_settled = SETTLED_UNRESOLVED;
        return 0;
    }
    int64_t until_us = time_monotonic_us() + store->statement_timeout_us;
    for (;;) {
        char status[16];
        if (ask_status(store, transaction, status, err) < 0) return -1;
        if (strcmp(status, "in progress") != 0) {
            *ret_settled = !strcmp(status, "committed") ? SETTLED_COMMITTED
                           : !strcmp(status, "aborted") ? SETTLED_ROLLED_BACK
                                                        : SETTLED_UNRESOLVED;
            return 0;
        }
        if (time_monotonic_us() >= until_us)
            return err_set(err, ERR_UNAVAILABLE, "store \"%s\": a transaction of ours is still in progress", store->base.settings.conf->name);
        struct pollfd wake = {.fd = store->wake, .events = POLLIN}; /* the server has no event for this */
        (void)poll(&wake, 1, AGAIN_MS);
    }
}

static const char *const schemes[] = {"postgresql", "postgres", NULL};

const struct store_driver pg_driver = {
    .kind = STORE_POSTGRESQL,
    .name = "PostgreSQL",
    .schemes = schemes,
    .open = pg_open,
    .close = pg_close,
    .ping = pg_ping,
    .tenants = pg_tenants,
    .tenants_tables = pg_tenants_tables,
    .check = pg_check,
    .advise = pg_advise,
    .grants = pg_grants,
    .draft = pg_draft,
    .probe = pg_probe,
    .count = pg_count,
    .size = pg_size,
    .undecidable = pg_undecidable,
    .know = pg_know,
    .begin = pg_pass_begin,
    .prepare = pg_pass_prepare,
    .finish = pg_pass_finish,
    .exclude = pg_pass_exclude,
    .end = pg_pass_end,
    .settle = pg_settle,
    .explain = pg_explain,
    .pressure = pg_pressure,
    .interrupt = pg_interrupt,
};
