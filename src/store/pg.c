/* The PostgreSQL connection: everything that waits for the server waits here, by poll() with a deadline. PQexec and
 * PQcancel are never used, they block for as long as the server likes. */
#include "store/pg_internal.h"

#include "base/time.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* The server's own statement_timeout should strike first: its answer is more exact than a deadline of ours. */
enum { DEADLINE_SLACK_US = 2000000, LEAST_SERVER_VERSION = 140000 };

static const char *store_name(const struct pg_store *store) { return store->base.settings.conf->name; }

void pg_result_free(PGresult **result) {
    PQclear(*result);
    *result = NULL;
}

void pg_disconnect(struct pg_store *store) {
    PQfinish(store->connection);
    store->connection = NULL;
    store->in_transaction = false;
}

static int64_t deadline(const struct pg_store *store) {
    return time_monotonic_us() + store->statement_timeout_us + DEADLINE_SLACK_US;
}

/* Waits until the socket is ready, the deadline has passed or someone interrupts. */
static int wait_socket(struct pg_store *store, short events, int64_t until_us, bool interruptible, struct err *err) {
    struct pollfd fds[2] = {{.fd = PQsocket(store->connection), .events = events}, {.fd = store->wake, .events = POLLIN}};
    for (;;) {
        int64_t left_us = until_us - time_monotonic_us();
        if (left_us <= 0)
            return err_set(err, ERR_UNAVAILABLE, "store \"%s\": the server did not answer in time", store_name(store));
        int ready = poll(fds, interruptible ? 2 : 1, (int)(left_us / 1000 + 1));
        if (ready < 0 && errno != EINTR) return err_set_errno(err, errno, "poll");
        if (ready <= 0) continue;
        if (interruptible && fds[1].revents) {
            uint64_t count;
            if (read(store->wake, &count, sizeof count) < 0 && errno != EAGAIN) return err_set_errno(err, errno, "eventfd");
            return err_set(err, ERR_UNAVAILABLE, "store \"%s\": interrupted", store_name(store));
        }
        return 0;
    }
}

static int lost(struct pg_store *store, struct err *err) {
    pg_disconnect(store);
    return err_set(err, ERR_UNAVAILABLE, "store \"%s\": the connection to the server broke", store_name(store));
}

/* With PQERRORS_SQLSTATE a refused login reads "…FATAL:  28P01\n". Fills "" if the server did not get to say so. */
static void login_sqlstate(PGconn *connection, char sqlstate[6]) {
    const char *message = PQerrorMessage(connection);
    sqlstate[0] = '\0';
    for (const char *at = strstr(message, ":  "); at; at = strstr(at + 3, ":  ")) {
        size_t length = strspn(at + 3, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ");
        if (length != 5 || at[8] != '\n') continue;
        memcpy(sqlstate, at + 3, 5);
        sqlstate[5] = '\0';
    }
}

static int login_failed(struct pg_store *store, struct err *err) {
    const char *name = store_name(store);
    char sqlstate[6];
    login_sqlstate(store->connection, sqlstate);
    bool needs_password = PQconnectionNeedsPassword(store->connection);
    pg_disconnect(store);
    if (needs_password && !store->password)
        (void)err_set(err, ERR_CONFIG, "store \"%s\": the server asks for a password; put it into the credential \"%s\"", name, name);
    else if (!strncmp(sqlstate, "28", 2))
        (void)err_set(err, ERR_CONFIG, "store \"%s\": the server refused the login; correct the user in the URL or the credential \"%s\"",
                      name, name);
    else if (!strcmp(sqlstate, "3D000"))
        (void)err_set(err, ERR_CONFIG, "store \"%s\": the server has no such database; correct the URL", name);
    else if (!strcmp(sqlstate, "42501"))
        (void)err_set(err, ERR_CONFIG, "store \"%s\": the user may not connect to this database; grant it CONNECT", name);
    else if (*sqlstate)
        (void)err_set(err, ERR_UNAVAILABLE, "store \"%s\": the server takes no connections now (SQLSTATE %s)", name, sqlstate);
    else
        (void)err_set(err, ERR_UNAVAILABLE, "store \"%s\": the server cannot be reached", name);
    (void)text_copy(err->detail, sizeof err->detail, sqlstate);
    return -1;
}

static void ignore_notice(void *context, const PGresult *notice) {
    (void)context;
    (void)notice;
}

static int poll_login(struct pg_store *store, int64_t until_us, struct err *err) {
    for (PostgresPollingStatusType want = PGRES_POLLING_WRITING; want != PGRES_POLLING_OK;) {
        if (want == PGRES_POLLING_FAILED) return login_failed(store, err);
        if (wait_socket(store, want == PGRES_POLLING_READING ? POLLIN : POLLOUT, until_us, true, err) < 0) {
            pg_disconnect(store);
            return -1;
        }
        want = PQconnectPoll(store->connection);
    }
    return 0;
}

/* When the server began to give out transaction ids that a crash has not taken back. Where only a backend crashes, the postmaster stays and
 * recovers; that forgets the statistics, too. If somebody else resets them, the worst is that we do not know. */
static int ask_server_start(struct pg_store *store, struct err *err) {
    PG_RESULT result = NULL;
    if (pg_query(store, "SELECT to_char(greatest(pg_postmaster_start_time(), (SELECT stats_reset FROM pg_catalog.pg_stat_bgwriter)) AT TIME ZONE 'UTC',"
                 " 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')", 0, NULL, &result, err) < 0)
        return -1;
    (void)text_copy(store->server_start, sizeof store->server_start, PQgetvalue(result, 0, 0));
    return 0;
}

static void free_text(char **text) { free(*text); }

/* A store that only looks has a session that cannot write, from its first statement on. As a startup option, because a SET behind a pooler
 * would stay with whoever gets the connection next. The URL's own options come first. */
static char *session_options(const struct pg_store *store) {
    static const char read_only[] = "-c default_transaction_read_only=on";
    struct buf options = {0};
    if (!store->base.settings.read_only) return NULL;
    PQconninfoOption *parts = PQconninfoParse(store->base.settings.conf->url, NULL);
    for (PQconninfoOption *part = parts; part && part->keyword; part++)
        if (!strcmp(part->keyword, "options") && part->val) buf_printf(&options, "%s ", part->val);
    PQconninfoFree(parts);
    buf_add(&options, read_only);
    return options.text;
}

int pg_connect(struct pg_store *store, struct err *err) {
    if (store->connection && PQstatus(store->connection) == CONNECTION_OK) return 0;
    pg_disconnect(store);
    __attribute__((cleanup(free_text))) char *options = session_options(store);
    const char *const keywords[] = {"dbname", "application_name", "client_encoding", "password", options ? "options" : NULL, NULL};
    const char *const values[] = {store->base.settings.conf->url, "lapsed", "UTF8", store->password, options, NULL};
    store->connection = PQconnectStartParams(keywords, values, 1);
    if (!store->connection) abort(); /* out of memory */
    (void)PQsetErrorVerbosity(store->connection, PQERRORS_SQLSTATE);
    (void)PQsetNoticeReceiver(store->connection, ignore_notice, NULL);
    if (PQstatus(store->connection) == CONNECTION_BAD) return login_failed(store, err);
    if (poll_login(store, deadline(store), err) < 0) return -1;
    store->server_version = PQserverVersion(store->connection);
    if (store->server_version < LEAST_SERVER_VERSION) {
        pg_disconnect(store);
        return err_set(err, ERR_CONFIG, "store \"%s\": the server is older than PostgreSQL 14", store_name(store));
    }
    if (PQsetnonblocking(store->connection, 1) < 0 || ask_server_start(store, err) < 0) {
        pg_disconnect(store);
        return -1;
    }
    return 0;
}

/* SQLSTATE in our words; NULL: nothing better than its number. */
static const char *refusal_words(const char *sqlstate) {
    static const struct {
        const char *prefix, *words;
    } table[] = {
        {"08", "the connection broke"},
        {"22P05", "a value cannot be written in the database's encoding"},
        {"22", "a value or an expression of the schedule cannot be computed on the stored data"},
        {"23503", "a row that is not declared as a dependent still refers to a record"},
        {"25006", "the server is read-only (a standby?)"},
        {"40001", "concurrent transactions got in each other's way"},
        {"40P01", "a deadlock with another transaction"},
        {"42501", "permission denied; lapsectl grants prints what is needed (row-level security on a table is refused too)"},
        {"42P01", "a table does not exist"},
        {"42703", "a column does not exist"},
        {"42601", "a part of the schedule is not valid SQL"},
        {"42", "a part of the schedule does not fit the database"},
        {"53100", "the server's disk is full"},
        {"53", "the server is short of resources"},
        {"55P03", "waited too long for a lock"},
        {"57014", "the statement took longer than timeout.statement"},
        {"57", "the server is stopping or starting"},
        {NULL, NULL},
    };
    for (size_t i = 0; table[i].prefix; i++)
        if (text_starts_with(sqlstate, table[i].prefix)) return table[i].words;
    return NULL;
}

static bool passes_by_itself(const char *sqlstate) {
    static const char *const prefixes[] = {"08", "25006", "25P03", "40", "53", "55P03", "57"};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (text_starts_with(sqlstate, prefixes[i])) return true;
    return false;
}

/* From a failed result; the connection is dropped if it broke with it. */
static int refused(struct pg_store *store, const PGresult *result, struct err *err) {
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *table = PQresultErrorField(result, PG_DIAG_TABLE_NAME);
    (void)text_copy(store->refused_table, sizeof store->refused_table, table ? table : "");
    if (!sqlstate) return lost(store, err);
    const char *words = refusal_words(sqlstate);
    if (words)
        (void)err_set(err, passes_by_itself(sqlstate) ? ERR_UNAVAILABLE : ERR_REFUSED, "store \"%s\": %s (SQLSTATE %s)", store_name(store),
                      words, sqlstate);
    else
        (void)err_set(err, ERR_REFUSED, "store \"%s\": the server refused a statement (SQLSTATE %s)", store_name(store), sqlstate);
    (void)text_copy(err->detail, sizeof err->detail, sqlstate);
    if (PQstatus(store->connection) != CONNECTION_OK) pg_disconnect(store);
    return -1;
}

const char *pg_refused_table(const struct pg_store *store) { return store->refused_table; }

/* Sends what is buffered, reading meanwhile so that neither side waits for the other. */
static int flush(struct pg_store *store, int64_t until_us, bool interruptible, struct err *err) {
    for (;;) {
        int left = PQflush(store->connection);
        if (left == 0) return 0;
        if (left < 0) return lost(store, err);
        if (wait_socket(store, POLLIN | POLLOUT, until_us, interruptible, err) < 0) {
            pg_disconnect(store);
            return -1;
        }
        if (!PQconsumeInput(store->connection)) return lost(store, err);
    }
}

/* The next result, NULL after the last one. A server that does not answer costs the connection: PQcancel blocks, and
 * closing makes the server give up as soon as it notices. */
static int next_result(struct pg_store *store, int64_t until_us, bool interruptible, PGresult **ret_result, struct err *err) {
    while (PQisBusy(store->connection)) {
        if (wait_socket(store, POLLIN, until_us, interruptible, err) < 0) {
            pg_disconnect(store);
            return -1;
        }
        if (!PQconsumeInput(store->connection)) return lost(store, err);
    }
    *ret_result = PQgetResult(store->connection);
    return 0;
}

static bool succeeded(const PGresult *result) {
    ExecStatusType status = PQresultStatus(result);
    return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_SINGLE_TUPLE;
}

/* Reads to the end of the answer; keeps the last successful result (or none, if ret_result is NULL), fails on the first
 * failed one. */
static int collect(struct pg_store *store, bool interruptible, PGresult **ret_result, struct err *err) {
    int64_t until_us = deadline(store);
    if (flush(store, until_us, interruptible, err) < 0) return -1;
    PG_RESULT kept = NULL;
    PG_RESULT failed = NULL;
    for (;;) {
        PGresult *result = NULL;
        if (next_result(store, until_us, interruptible, &result, err) < 0) return -1;
        if (!result) break;
        PGresult **slot = succeeded(result) || failed ? &kept : &failed;
        PQclear(*slot);
        *slot = result;
        if (PQstatus(store->connection) == CONNECTION_BAD) break;
    }
    if (failed) return refused(store, failed, err);
    if (!kept) return lost(store, err);
    if (ret_result) {
        *ret_result = kept;
        kept = NULL;
    }
    return 0;
}

static int send_failed(struct pg_store *store, struct err *err) {
    if (PQstatus(store->connection) == CONNECTION_BAD) return lost(store, err);
    return err_set(err, ERR_BUG, "store \"%s\": a statement could not be sent", store_name(store));
}

static int check_connected(struct pg_store *store, struct err *err) {
    if (store->connection) return 0;
    return err_set(err, ERR_UNAVAILABLE, "store \"%s\": the connection to the server broke", store_name(store));
}

static int send_query(struct pg_store *store, const char *sql, int n_parameters, const char *const *parameters, int format, struct err *err) {
    if (check_connected(store, err) < 0) return -1;
    return PQsendQueryParams(store->connection, sql, n_parameters, NULL, parameters, NULL, NULL, format) ? 0 : send_failed(store, err);
}

static int query(struct pg_store *store, const char *sql, int n_parameters, const char *const *parameters, int format, PGresult **ret_result,
                 struct err *err) {
    return send_query(store, sql, n_parameters, parameters, format, err) < 0 ? -1 : collect(store, true, ret_result, err);
}

int pg_query(struct pg_store *store, const char *sql, int n_parameters, const char *const *parameters, PGresult **ret_result,
             struct err *err) {
    return query(store, sql, n_parameters, parameters, 0, ret_result, err);
}

int pg_query_binary(struct pg_store *store, const char *sql, int n_parameters, const char *const *parameters, PGresult **ret_result,
                    struct err *err) {
    return query(store, sql, n_parameters, parameters, 1, ret_result, err);
}

int pg_script(struct pg_store *store, const char *sql, struct err *err) {
    if (check_connected(store, err) < 0) return -1;
    if (!PQsendQuery(store->connection, sql)) return send_failed(store, err);
    return collect(store, true, NULL, err);
}

int pg_stream(struct pg_store *store, const char *sql, pg_row *each, void *context, struct err *err) {
    enum { ROWS_AT_ONCE = 1000 };
    struct buf fetch __attribute__((cleanup(buf_free))) = {0};
    struct buf declare __attribute__((cleanup(buf_free))) = {0};
    buf_printf(&fetch, "FETCH %d FROM lapsed_stream", ROWS_AT_ONCE);
    buf_printf(&declare, "DECLARE lapsed_stream NO SCROLL CURSOR FOR %s", sql);
    assert(store->in_transaction);
    PG_RESULT declared = NULL;
    if (pg_script(store, "SET LOCAL cursor_tuple_fraction = 1", err) < 0 || pg_query(store, buf_text(&declare), 0, NULL, &declared, err) < 0) return -1;
    if (send_query(store, buf_text(&fetch), 0, NULL, 0, err) < 0) return -1;
    for (bool more = true; more;) {
        PG_RESULT rows = NULL;
        if (collect(store, true, &rows, err) < 0) return -1;
        int n_rows = PQntuples(rows), failed = 0;
        more = n_rows == ROWS_AT_ONCE;
        if (more && send_query(store, buf_text(&fetch), 0, NULL, 0, err) < 0) return -1; /* the server reads on meanwhile */
        for (int row = 0; row < n_rows && !failed; row++) failed = each(context, rows, row, err);
        struct err ignored;
        if (failed && more && collect(store, true, NULL, &ignored) < 0) pg_disconnect(store);
        if (failed) return -1;
    }
    return pg_script(store, "CLOSE lapsed_stream", err);
}

int pg_begin_with(struct pg_store *store, const char *settings, struct err *err) {
    assert(!store->prepared); /* only finish may follow a prepared batch */
    if (pg_connect(store, err) < 0) return -1;
    if (store->in_transaction && pg_rollback(store, err) < 0) return -1;
    char sql[1500];
    int64_t statement_ms = store->statement_timeout_us / 1000, lock_ms = store->lock_timeout_us / 1000;
    int length = snprintf(sql, sizeof sql,
                          "BEGIN ISOLATION LEVEL READ COMMITTED %s;"
                          "SET LOCAL statement_timeout = %" PRId64 "; SET LOCAL lock_timeout = %" PRId64 ";"
                          "SET LOCAL idle_in_transaction_session_timeout = %" PRId64 ";"
                          "SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO'; SET LOCAL IntervalStyle = 'postgres';"
                          "SET LOCAL standard_conforming_strings = on; SET LOCAL row_security = off; SET LOCAL jit = off;"
                          "SET LOCAL max_parallel_workers_per_gather = 0;" /* others have work for the other processors */
                          "SET CONSTRAINTS ALL IMMEDIATE;"
                          /* What the journal calls committed must outlive a crash of the server. */
                          "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off';%s",
                          store->base.settings.read_only ? "READ ONLY" : "READ WRITE", statement_ms, lock_ms,
                          statement_ms * 2 + DEADLINE_SLACK_US / 1000, settings);
    assert(length > 0 && (size_t)length < sizeof sql);
    if (pg_script(store, sql, err) < 0) {
        struct err ignored;
        if (store->connection && pg_script(store, "ROLLBACK", &ignored) < 0) pg_disconnect(store);
        return -1;
    }
    store->in_transaction = true;
    return 0;
}

int pg_begin(struct pg_store *store, bool pin_planner, struct err *err) {
    return pg_begin_with(store,
                         pin_planner ? "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off;"
                                       "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off;"
                                     : "",
                         err);
}

int pg_rollback(struct pg_store *store, struct err *err) {
    if (!store->in_transaction) return 0;
    store->in_transaction = false;
    if (pg_script(store, "ROLLBACK", err) == 0) return 0;
    pg_disconnect(store); /* that rolls back too */
    return 0;
}

int pg_commit(struct pg_store *store, struct err *err) {
    assert(store->in_transaction);
    if (check_connected(store, err) < 0) return -1;
    store->in_transaction = false;
    PG_RESULT result = NULL;
    if (!PQsendQuery(store->connection, "COMMIT") || collect(store, false, &result, err) < 0) {
        bool answered = store->connection && PQstatus(store->connection) == CONNECTION_OK;
        if (answered) return -1; /* the server said why it rolled back */
        pg_disconnect(store);
        return err_set(err, ERR_UNKNOWN, "store \"%s\": the answer to COMMIT was lost", store_name(store));
    }
    if (!strcmp(PQcmdStatus(result), "COMMIT")) return 0;
    return err_set(err, ERR_REFUSED, "store \"%s\": the server rolled the transaction back instead of committing it", store_name(store));
}

void pg_add_array_item(struct buf *array, const char *text) {
    if (array->length && array->text[array->length - 1] != '{') buf_add_char(array, ',');
    if (!text) {
        buf_add(array, "NULL");
        return;
    }
    buf_add_char(array, '"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') buf_add_char(array, '\\');
        buf_add_char(array, *text);
    }
    buf_add_char(array, '"');
}

char *pg_quote(struct arena *arena, const char *name) {
    if (!*name) return NULL;
    char *quoted = arena_alloc(arena, strlen(name) * 2 + 3), *to = quoted;
    *to++ = '"';
    for (; *name; name++) {
        if (*name == '"') *to++ = '"';
        *to++ = *name;
    }
    *to++ = '"';
    *to = '\0';
    return quoted;
}
