#include "store/mongo.h"

#include "base/time.h"
#include "store/mongo_internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    SERVER_UNAUTHORIZED = 13,
    SERVER_AUTHENTICATION_FAILED = 18,
    LONGEST_CONNECT_MS = 10000,
    SOCKET_GRACE_MS = 1000, /* the server's own deadline (maxTimeMS) comes first, so that its answer is heard */
};

static void init_library(void) {
    mongoc_init();
    mongoc_log_set_handler(NULL, NULL); /* it prints to stderr, values included */
}

void mongo_bson_free(bson_t **bson) {
    if (*bson) bson_destroy(*bson);
}

void mongo_cursor_free(mongoc_cursor_t **cursor) {
    if (*cursor) mongoc_cursor_destroy(*cursor);
}

void mongo_collection_free(mongoc_collection_t **collection) {
    if (*collection) mongoc_collection_destroy(*collection);
}

/* ---- open, close ---- */

/* Whatever the URI says: only what a majority has on disk is true, and every wait has an end. Retries are the caller's. */
static void force_options(const struct mongo_store *store) {
    int32_t connect_ms = store->timeout_ms < LONGEST_CONNECT_MS ? store->timeout_ms : LONGEST_CONNECT_MS;
    mongoc_uri_set_option_as_int32(store->uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS, connect_ms);
    mongoc_uri_set_option_as_int32(store->uri, MONGOC_URI_CONNECTTIMEOUTMS, connect_ms);
    mongoc_uri_set_option_as_int32(store->uri, MONGOC_URI_SOCKETTIMEOUTMS, store->timeout_ms + SOCKET_GRACE_MS);
    mongoc_uri_set_option_as_bool(store->uri, MONGOC_URI_RETRYREADS, false);
    mongoc_uri_set_option_as_bool(store->uri, MONGOC_URI_RETRYWRITES, false);
    mongoc_uri_set_appname(store->uri, "lapsed");
    mongoc_read_concern_t *read_concern = mongoc_read_concern_new();
    mongoc_read_concern_set_level(read_concern, MONGOC_READ_CONCERN_LEVEL_MAJORITY);
    mongoc_uri_set_read_concern(store->uri, read_concern);
    mongoc_read_concern_destroy(read_concern);
    mongoc_write_concern_t *write_concern = mongoc_write_concern_new();
    mongoc_write_concern_set_w(write_concern, MONGOC_WRITE_CONCERN_W_MAJORITY);
    mongoc_write_concern_set_journal(write_concern, true);
    mongoc_uri_set_write_concern(store->uri, write_concern);
    mongoc_write_concern_destroy(write_concern);
    mongoc_read_prefs_t *primary = mongoc_read_prefs_new(MONGOC_READ_PRIMARY);
    mongoc_uri_set_read_prefs_t(store->uri, primary);
    mongoc_read_prefs_destroy(primary);
}

static void mongo_close(struct store *base) {
    struct mongo_store *store = mongo_of(base);
    if (store->client) mongoc_client_destroy(store->client);
    if (store->uri) mongoc_uri_destroy(store->uri);
    arena_free(store->catalog);
    free(store);
}

static bool make_client(struct mongo_store *store) {
    store->client = mongoc_client_new_from_uri(store->uri);
    if (!store->client) return false;
    (void)mongoc_client_set_error_api(store->client, MONGOC_ERROR_API_VERSION_2);
    mongo_make_interruptible(store);
    return true;
}

static int mongo_open(const struct store_settings *settings, struct store **ret_store, struct err *err) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, init_library);
    bson_error_t error;
    const struct store_conf *conf = settings->conf;
    mongoc_uri_t *uri = mongoc_uri_new_with_error(conf->url, &error);
    if (!uri) return err_set(err, ERR_CONFIG, "store \"%s\": its url is no MongoDB connection string; write mongodb://USER@HOST/DATABASE", conf->name);
    if (!mongoc_uri_get_database(uri)) {
        mongoc_uri_destroy(uri);
        return err_set(err, ERR_CONFIG, "store \"%s\": its url names no database; write mongodb://USER@HOST/DATABASE", conf->name);
    }
    struct mongo_store *store = xcalloc(1, sizeof *store);
    store->base.driver = &mongo_driver;
    store->base.settings = *settings;
    store->uri = uri;
    store->database = mongoc_uri_get_database(uri);
    int64_t timeout_ms = settings->schedule->settings.statement_timeout_us / 1000;
    store->timeout_ms = timeout_ms < 1 ? 1 : timeout_ms > INT32_MAX / 2 ? INT32_MAX / 2 : (int32_t)timeout_ms;
    store->catalog = arena_new();
    if (settings->password) mongoc_uri_set_password(uri, settings->password);
    store->base.settings.password = NULL; /* the caller's may go */
    force_options(store);
    if (!make_client(store)) {
        mongo_close((struct store *)(void *)store);
        return err_set(err, ERR_CONFIG, "store \"%s\": its url cannot be used (TLS options without TLS support, or an unknown option)", conf->name);
    }
    *ret_store = (struct store *)(void *)store;
    return 0;
}

/* ---- errors ---- */

/* Passes by itself: another primary, a shutdown, a conflict, a deadline. Nothing was applied, as only single operations and
 * transactions are used and an acknowledged majority is waited for. */
static bool passes(uint32_t code) {
    static const uint32_t codes[] = {6, 7, 24, 43, 46, 50, 64, 89, 91, 112, 134, 189, 202, 211, 239, 246, 251, 262, 290,
                                     317, 358, 384, 9001, 10107, 11600, 11602, 13435, 13436};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (codes[i] == code) return true;
    return false;
}

static int fail_by_server(const struct mongo_store *store, uint32_t code, bool transient, const char *what, struct err *err) {
    const char *name = store->base.settings.conf->name;
    int result;
    switch (code) {
    case SERVER_UNAUTHORIZED:
        result = err_set(err, ERR_REFUSED, "store \"%s\": cannot %s: permission denied; lapsectl grants prints what is needed", name, what);
        break;
    case SERVER_AUTHENTICATION_FAILED:
        result = err_set(err, ERR_CONFIG, "store \"%s\": the server refuses its user or password; correct the url's user or the credential \"%s\"", name, name);
        break;
    case 50:
    case 262:
        result = err_set(err, ERR_UNAVAILABLE, "store \"%s\": cannot %s within %d ms (statement timeout)", name, what, store->timeout_ms);
        break;
    case 112:
        result = err_set(err, ERR_UNAVAILABLE, "store \"%s\": cannot %s: somebody else changes the same documents", name, what);
        break;
    default:
        if (transient || passes(code))
            result = err_set(err, ERR_UNAVAILABLE, "store \"%s\": cannot %s: the server is not ready for it (code %u)", name, what, code);
        else
            result = err_set(err, ERR_REFUSED, "store \"%s\": cannot %s: the server refuses it (code %u)", name, what, code);
    }
    (void)snprintf(err->detail, sizeof err->detail, "%u", code);
    return result;
}

/* No answer from a server, but from the library: there was no connection, or it broke. */
static bool is_broken(const bson_error_t *error) {
    bool stream_code = error->code >= MONGOC_ERROR_STREAM_INVALID_TYPE && error->code <= MONGOC_ERROR_STREAM_NOT_ESTABLISHED;
    return error->domain == MONGOC_ERROR_STREAM || (error->domain == MONGOC_ERROR_CLIENT && (stream_code || error->code == MONGOC_ERROR_CLIENT_NOT_READY));
}

int mongo_fail(struct mongo_store *store, const bson_error_t *error, const bson_t *reply, const char *what, struct err *err) {
    const char *name = store->base.settings.conf->name;
    bool transient = reply && mongoc_error_has_label(reply, "TransientTransactionError");
    if (error->domain == MONGOC_ERROR_CLIENT && error->code == MONGOC_ERROR_CLIENT_AUTHENTICATE) {
        store->connected = false;
        store->broken = true;
        return fail_by_server(store, SERVER_AUTHENTICATION_FAILED, false, what, err);
    }
    if (is_broken(error)) {
        store->connected = false;
        store->broken = true;
        if (mongo_go_on(store, err)) return -1;
        return err_set(err, ERR_UNAVAILABLE, "store \"%s\": cannot %s: the connection broke or its deadline passed", name, what);
    }
    switch (error->domain) {
    case MONGOC_ERROR_SERVER_SELECTION:
    case MONGOC_ERROR_SCRAM:
    case MONGOC_ERROR_SASL:
        store->connected = false;
        store->broken = true;
        /* An authentication that failed on every server hides behind the selection; its code stays. */
        if (error->code == SERVER_AUTHENTICATION_FAILED || error->code == MONGOC_ERROR_CLIENT_AUTHENTICATE)
            return fail_by_server(store, SERVER_AUTHENTICATION_FAILED, false, what, err);
        if (mongo_go_on(store, err)) return -1;
        return err_set(err, ERR_UNAVAILABLE, "store \"%s\": cannot %s: no server that can be written to answers", name, what);
    case MONGOC_ERROR_SERVER:
    case MONGOC_ERROR_QUERY:
    case MONGOC_ERROR_COMMAND:
    case MONGOC_ERROR_WRITE_CONCERN:
    case MONGOC_ERROR_COLLECTION:
        if (passes(error->code)) store->connected = false; /* another primary, perhaps: say hello again */
        return fail_by_server(store, error->code, transient, what, err);
    default:
        if (transient) return err_set(err, ERR_UNAVAILABLE, "store \"%s\": cannot %s: the transaction was ended by the server", name, what);
        return err_set(err, ERR_BUG, "store \"%s\": cannot %s: the client library refuses it (%u, %u)", name, what, error->domain, error->code);
    }
}

int mongo_go_on(struct mongo_store *store, struct err *err) {
    if (!store->interrupted || store->finishing) return 0;
    store->interrupted = 0;
    return err_set(err, ERR_UNAVAILABLE, "store \"%s\": interrupted", store->base.settings.conf->name);
}

/* ---- connection ---- */

enum { WIRE_VERSION_4_4 = 9 };

static int read_hello(struct mongo_store *store, const bson_t *reply, int64_t *ret_now_us, struct err *err) {
    const char *name = store->base.settings.conf->name;
    bson_iter_t iter;
    if (bson_iter_init_find(&iter, reply, "msg") && BSON_ITER_HOLDS_UTF8(&iter) && !strcmp(bson_iter_utf8(&iter, NULL), "isdbgrid"))
        return err_set(err, ERR_CONFIG, "store \"%s\": its url leads to a sharded cluster (mongos), which is not supported; name a replica set", name);
    if (!bson_iter_init_find(&iter, reply, "isWritablePrimary") || !bson_iter_as_bool(&iter))
        return err_set(err, ERR_UNAVAILABLE, "store \"%s\": the server is no primary now", name);
    store->transactions = bson_iter_init_find(&iter, reply, "setName");
    store->hints = bson_iter_init_find(&iter, reply, "maxWireVersion") && bson_iter_as_int64(&iter) >= WIRE_VERSION_4_4;
    if (!bson_iter_init_find(&iter, reply, "localTime") || !BSON_ITER_HOLDS_DATE_TIME(&iter))
        return err_set(err, ERR_REFUSED, "store \"%s\": the server does not tell its clock", name);
    if (ret_now_us) *ret_now_us = bson_iter_date_time(&iter) * 1000;
    return 0;
}

int mongo_connect(struct mongo_store *store, int64_t *ret_now_us, struct err *err) {
    if (mongo_go_on(store, err)) return -1;
    if (store->connected && !ret_now_us) return 0;
    /* The client of a broken connection refuses to look again for five seconds: a new one does not. Not while a
     * batch's session needs it. */
    if (store->broken && !store->prepared) {
        mongoc_client_destroy(store->client);
        store->broken = false;
        if (!make_client(store)) return err_set(err, ERR_BUG, "store \"%s\": cannot make its client anew", store->base.settings.conf->name);
    }
    MONGO_BSON command = BCON_NEW("hello", BCON_INT32(1));
    bson_t reply;
    bson_error_t error;
    bool said = mongoc_client_command_simple(store->client, "admin", command, NULL, &reply, &error);
    int result = said ? read_hello(store, &reply, ret_now_us, err) : mongo_fail(store, &error, &reply, "connect", err);
    bson_destroy(&reply);
    store->connected = !result;
    return result;
}

static int mongo_ping(struct store *base, int64_t *ret_server_now_us, struct err *err) {
    int64_t now_us;
    if (mongo_connect(mongo_of(base), &now_us, err)) return -1;
    *ret_server_now_us = now_us;
    return 0;
}

static void mongo_interrupt(struct store *base) { mongo_of(base)->interrupted = 1; }

/* ---- operations ---- */

mongoc_collection_t *mongo_collection(struct mongo_store *store, const char *name) {
    return mongoc_client_get_collection(store->client, store->database, name);
}

int mongo_options(struct mongo_store *store, mongoc_client_session_t *session, bson_t *options, struct err *err) {
    bson_error_t error;
    if (session && !mongoc_client_session_append(session, options, &error)) return mongo_fail(store, &error, NULL, "use its session", err);
    BSON_APPEND_INT64(options, "maxTimeMS", store->timeout_ms);
    return 0;
}

int mongo_next(struct mongo_store *store, mongoc_cursor_t *cursor, const char *what, const bson_t **ret_document, struct err *err) {
    if (mongo_go_on(store, err)) return -1;
    const bson_t *document = NULL, *reply = NULL;
    if (mongoc_cursor_next(cursor, &document)) {
        *ret_document = document;
        return 0;
    }
    bson_error_t error;
    if (mongoc_cursor_error_document(cursor, &error, &reply)) return mongo_fail(store, &error, reply, what, err);
    *ret_document = NULL;
    return 0;
}

int mongo_aggregate(struct mongo_store *store, mongoc_client_session_t *session, const char *collection, const bson_t *pipeline,
                    const char *hint, mongoc_cursor_t **ret_cursor, struct err *err) {
    MONGO_BSON options = bson_new();
    if (mongo_options(store, session, options, err)) return -1;
    if (hint) BSON_APPEND_UTF8(options, "hint", hint);
    BSON_APPEND_BOOL(options, "allowDiskUse", true);
    MONGO_COLLECTION handle = mongo_collection(store, collection);
    *ret_cursor = mongoc_collection_aggregate(handle, MONGOC_QUERY_NONE, pipeline, options, NULL);
    return 0;
}

int mongo_find(struct mongo_store *store, mongoc_client_session_t *session, const char *collection, const struct mongo_find *find,
               mongoc_cursor_t **ret_cursor, struct err *err) {
    MONGO_BSON options = bson_new();
    if (mongo_options(store, session, options, err)) return -1;
    if (find->projection) BSON_APPEND_DOCUMENT(options, "projection", find->projection);
    if (find->sort) BSON_APPEND_DOCUMENT(options, "sort", find->sort);
    if (find->min) BSON_APPEND_DOCUMENT(options, "min", find->min);
    if (find->hint) BSON_APPEND_UTF8(options, "hint", find->hint);
    if (find->limit) {
        BSON_APPEND_INT64(options, "limit", find->limit);
        BSON_APPEND_INT64(options, "batchSize", find->limit); /* all in one answer, if it can hold them */
    }
    MONGO_COLLECTION handle = mongo_collection(store, collection);
    *ret_cursor = mongoc_collection_find_with_opts(handle, find->filter, options, NULL);
    return 0;
}

static const char *const schemes[] = {"mongodb", "mongodb+srv", NULL};

const struct store_driver mongo_driver = {
    .kind = STORE_MONGODB,
    .name = "MongoDB",
    .schemes = schemes,
    .open = mongo_open,
    .close = mongo_close,
    .ping = mongo_ping,
    .tenants = mongo_tenants,
    .tenants_tables = mongo_tenants_tables,
    .check = mongo_check,
    .advise = mongo_advise,
    .grants = mongo_grants,
    .draft = mongo_draft,
    .know = mongo_know,
    .probe = mongo_probe,
    .count = mongo_count,
    .size = mongo_size,
    .undecidable = mongo_undecidable,
    .begin = mongo_pass_begin,
    .prepare = mongo_pass_prepare,
    .finish = mongo_pass_finish,
    .exclude = mongo_pass_exclude,
    .end = mongo_pass_end,
    .settle = mongo_settle,
    .explain = mongo_explain,
    .pressure = mongo_pressure,
    .interrupt = mongo_interrupt,
};
