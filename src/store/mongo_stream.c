/* A connection whose waiting can be cut short: the library's own sockets, read from only when there is something to read, so that
 * an interruption from another thread is seen within moments. Only without TLS, whose stream may hold bytes that no poll sees:
 * there an interruption takes effect between two calls, and the socket's deadline bounds the rest. */
#include "base/time.h"
#include "store/mongo_internal.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <string.h>
#include <sys/un.h>

enum { SLICE_MS = 50, STREAM_TYPE = 0x6c6170 };

struct patient {
    mongoc_stream_t stream; /* first */
    mongoc_stream_t *socket;
    const struct mongo_store *store;
};

static struct patient *patient_of(mongoc_stream_t *stream) { return (struct patient *)(void *)stream; }

/* ---- the stream ---- */

static void stream_destroy(mongoc_stream_t *stream) {
    mongoc_stream_destroy(patient_of(stream)->socket);
    bson_free(stream);
}
static int stream_close(mongoc_stream_t *stream) { return mongoc_stream_close(patient_of(stream)->socket); }
static int stream_flush(mongoc_stream_t *stream) { return mongoc_stream_flush(patient_of(stream)->socket); }
static ssize_t stream_writev(mongoc_stream_t *stream, mongoc_iovec_t *vector, size_t count, int32_t timeout_ms) {
    return mongoc_stream_writev(patient_of(stream)->socket, vector, count, timeout_ms);
}
static int stream_setsockopt(mongoc_stream_t *stream, int level, int name, void *value, mongoc_socklen_t length) {
    return mongoc_stream_setsockopt(patient_of(stream)->socket, level, name, value, length);
}
static mongoc_stream_t *stream_base(mongoc_stream_t *stream) { return patient_of(stream)->socket; }
static bool stream_check_closed(mongoc_stream_t *stream) { return mongoc_stream_check_closed(patient_of(stream)->socket); }
static bool stream_timed_out(mongoc_stream_t *stream) { return mongoc_stream_timed_out(patient_of(stream)->socket); }
static bool stream_should_retry(mongoc_stream_t *stream) { return mongoc_stream_should_retry(patient_of(stream)->socket); }
static void stream_failed(mongoc_stream_t *stream) {
    mongoc_stream_failed(patient_of(stream)->socket);
    bson_free(stream);
}

/* True: there is something to read, or the socket is at its end. */
static bool wait_readable(const struct patient *patient, int64_t deadline_us) {
    for (;;) {
        int64_t left_us = deadline_us - time_monotonic_us();
        if (left_us <= 0 || (patient->store->interrupted && !patient->store->finishing)) return false;
        mongoc_stream_poll_t wait = {.stream = patient->socket, .events = POLLIN};
        int32_t slice_ms = left_us < SLICE_MS * 1000 ? (int32_t)(left_us / 1000) + 1 : SLICE_MS;
        if (mongoc_stream_poll(&wait, 1, slice_ms) > 0) return true;
    }
}

static ssize_t stream_readv(mongoc_stream_t *stream, mongoc_iovec_t *vector, size_t count, size_t least, int32_t timeout_ms) {
    struct patient *patient = patient_of(stream);
    int32_t deadline_ms = timeout_ms < 0 ? patient->store->timeout_ms : timeout_ms;
    if (deadline_ms && !wait_readable(patient, time_monotonic_us() + (int64_t)deadline_ms * 1000)) {
        errno = ETIMEDOUT;
        return -1;
    }
    return mongoc_stream_readv(patient->socket, vector, count, least, timeout_ms);
}

static mongoc_stream_t *wrap(mongoc_stream_t *socket, const struct mongo_store *store) {
    struct patient *patient = bson_malloc0(sizeof *patient);
    patient->socket = socket;
    patient->store = store;
    patient->stream = (mongoc_stream_t){.type = STREAM_TYPE, .destroy = stream_destroy, .close = stream_close, .flush = stream_flush,
                                        .writev = stream_writev, .readv = stream_readv, .setsockopt = stream_setsockopt,
                                        .get_base_stream = stream_base, .check_closed = stream_check_closed, .failed = stream_failed,
                                        .timed_out = stream_timed_out, .should_retry = stream_should_retry};
    return &patient->stream;
}

/* ---- connecting ---- */

static mongoc_socket_t *connect_to(int family, int protocol, const struct sockaddr *address, socklen_t length, int32_t timeout_ms) {
    mongoc_socket_t *socket = mongoc_socket_new(family, SOCK_STREAM, protocol);
    if (socket && mongoc_socket_connect(socket, address, length, time_monotonic_us() + (int64_t)timeout_ms * 1000)) {
        mongoc_socket_destroy(socket);
        return NULL;
    }
    return socket;
}

static mongoc_socket_t *connect_unix(const char *path, int32_t timeout_ms) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!text_copy(address.sun_path, sizeof address.sun_path, path)) return NULL;
    return connect_to(AF_UNIX, 0, (const struct sockaddr *)(const void *)&address, sizeof address, timeout_ms);
}

static mongoc_socket_t *connect_tcp(const mongoc_host_list_t *host, int32_t timeout_ms) {
    char port[8];
    (void)snprintf(port, sizeof port, "%u", host->port);
    const struct addrinfo hints = {.ai_family = host->family, .ai_socktype = SOCK_STREAM};
    struct addrinfo *addresses = NULL;
    mongoc_socket_t *socket = NULL;
    if (getaddrinfo(host->host, port, &hints, &addresses)) return NULL;
    for (const struct addrinfo *each = addresses; each && !socket; each = each->ai_next)
        socket = connect_to(each->ai_family, each->ai_protocol, each->ai_addr, each->ai_addrlen, timeout_ms);
    freeaddrinfo(addresses);
    return socket;
}

static mongoc_stream_t *initiate(const mongoc_uri_t *uri, const mongoc_host_list_t *host, void *context, bson_error_t *error) {
    const struct mongo_store *store = context;
    int32_t timeout_ms = mongoc_uri_get_option_as_int32(uri, MONGOC_URI_CONNECTTIMEOUTMS, store->timeout_ms);
    mongoc_socket_t *socket = host->family == AF_UNIX ? connect_unix(host->host, timeout_ms) : connect_tcp(host, timeout_ms);
    if (socket) return wrap(mongoc_stream_socket_new(socket), store);
    bson_set_error(error, MONGOC_ERROR_STREAM, MONGOC_ERROR_STREAM_CONNECT, "no connection");
    return NULL;
}

void mongo_make_interruptible(struct mongo_store *store) {
    if (!mongoc_uri_get_tls(store->uri)) mongoc_client_set_stream_initiator(store->client, initiate, store);
}
