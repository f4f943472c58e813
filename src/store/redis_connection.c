#include "store/redis_internal.h"

#include "base/time.h"

#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

/* --- address ------------------------------------------------------------------------------------------------------- */

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static char *percent_decoded(struct arena *arena, const char *text, size_t length) {
    char *decoded = arena_alloc(arena, length + 1);
    size_t n = 0;
    for (size_t i = 0; i < length; i++) {
        int high = text[i] == '%' && i + 2 < length ? hex_digit(text[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
        if (low < 0) {
            decoded[n++] = text[i];
            continue;
        }
        decoded[n++] = (char)(high * 16 + low);
        i += 2;
    }
    return decoded;
}

/* Decimal digits only, at most `most`. */
static bool read_number(const char *text, size_t length, int most, int *ret_number) {
    int number = 0;
    if (length == 0 || length > 6) return false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9') return false;
        number = number * 10 + (text[i] - '0');
    }
    if (number > most) return false;
    *ret_number = number;
    return true;
}

static int bad_address(struct err *err) {
    return err_set(err, ERR_CONFIG, "the URL is not of the form redis://user@host:port/database or redis+unix://user@/path/to/socket?db=database");
}

/* "host:port/database", host in brackets where it has colons. */
static int parse_host(struct arena *arena, const char *at, struct redis_address *address, struct err *err) {
    size_t host = *at == '[' ? strcspn(at, "]") + 1 : strcspn(at, ":/?");
    if (*at == '[' && !memchr(at, ']', strlen(at))) return bad_address(err);
    address->host = *at == '[' ? arena_strndup(arena, at + 1, host - 2) : percent_decoded(arena, at, host);
    if (!*address->host) return bad_address(err);
    at += host;
    if (*at == ':') {
        size_t digits = strcspn(++at, "/?");
        if (!read_number(at, digits, 65535, &address->port)) return bad_address(err);
        at += digits;
    }
    if (*at == '/' && at[1]) {
        if (!read_number(at + 1, strlen(at + 1), 100000, &address->database)) return bad_address(err);
        return 0;
    }
    return *at && *at != '/' ? bad_address(err) : 0;
}

/* "/path/to/socket?db=database" */
static int parse_path(struct arena *arena, const char *at, struct redis_address *address, struct err *err) {
    size_t path = strcspn(at, "?");
    if (*at != '/' || path < 2) return bad_address(err);
    address->path = percent_decoded(arena, at, path);
    at += path;
    if (!*at) return 0;
    if (strncmp(at, "?db=", 4) != 0 || !read_number(at + 4, strlen(at + 4), 100000, &address->database)) return bad_address(err);
    return 0;
}

int redis_address_parse(struct arena *arena, const char *url, struct redis_address *ret_address, struct err *err) {
    struct redis_address address = {.port = 6379};
    if (text_starts_with(url, "rediss://"))
        return err_set(err, ERR_CONFIG, "TLS (rediss://) is not supported; use a unix socket (redis+unix://) or redis:// to a local TLS proxy such as stunnel");
    const char *rest = strstr(url, "://");
    if (!rest) return bad_address(err);
    rest += 3;
    size_t authority = strcspn(rest, "/");
    const char *user_end = memchr(rest, '@', authority);
    if (user_end) {
        size_t user = (size_t)(user_end - rest);
        if (memchr(rest, ':', user)) return err_set(err, ERR_CONFIG, "the URL holds a password; give it as the store's credential");
        if (user > 0) address.user = percent_decoded(arena, rest, user);
        rest = user_end + 1;
    }
    bool socket = text_starts_with(url, "redis+unix://") || text_starts_with(url, "unix://");
    if ((socket ? parse_path(arena, rest, &address, err) : parse_host(arena, rest, &address, err)) < 0) return -1;
    *ret_address = address;
    return 0;
}

/* --- words --------------------------------------------------------------------------------------------------------- */

void redis_word_n(struct redis_command *command, const char *bytes, size_t length) {
    *ARENA_APPEND(command->arena, command->words, command->count) = bytes;
    *ARENA_APPEND(command->arena, command->lengths, command->n_lengths) = length;
}

void redis_word(struct redis_command *command, const char *text) { redis_word_n(command, text, strlen(text)); }

void redis_word_number(struct redis_command *command, int64_t number) {
    redis_word(command, arena_printf(command->arena, "%lld", (long long)number));
}

void redis_words_eval(struct redis_command *command, const char *script, size_t n_keys) {
    redis_word(command, "EVAL");
    redis_word(command, script);
    redis_word_number(command, (int64_t)n_keys);
}

/* --- replies ------------------------------------------------------------------------------------------------------- */

void redis_reply_free(redisReply **reply) {
    if (*reply) freeReplyObject(*reply);
}

static const char *store_name(const struct redis_store *store) { return store->base.settings.conf->name; }

bool redis_is_error(const redisReply *reply, const char *code) {
    size_t length = strlen(code);
    return reply->type == REDIS_REPLY_ERROR && reply->len >= length && memcmp(reply->str, code, length) == 0 &&
           (reply->len == length || reply->str[length] == ' ');
}

struct refusal {
    const char *code;
    enum err_code means;
    const char *text;
};

static const struct refusal REFUSALS[] = {
    {"NOAUTH", ERR_CONFIG, "the server asks for a password; give it as the store's credential"},
    {"WRONGPASS", ERR_CONFIG, "the server does not take this user and password; correct the store's credential or the user in its URL"},
    {"NOPERM", ERR_REFUSED, "permission denied; lapsectl grants prints what is needed"},
    {"READONLY", ERR_CONFIG, "the server is a read-only replica; name the primary in the store's URL"},
    {"MOVED", ERR_CONFIG, "the server is part of a Redis Cluster, which is not supported"},
    {"LOADING", ERR_UNAVAILABLE, "the server is still loading its data"},
    {"BUSY", ERR_UNAVAILABLE, "the server is busy running another script"},
    {"MISCONF", ERR_UNAVAILABLE, "the server takes no writes because it cannot save its data; look at its log"},
    {"NOREPLICAS", ERR_UNAVAILABLE, "the server takes no writes because it has too few replicas"},
    {"MASTERDOWN", ERR_UNAVAILABLE, "the server is a replica that has lost its primary"},
    {"OOM", ERR_UNAVAILABLE, "the server is out of memory (maxmemory)"},
};

int redis_refusal(const struct redis_store *store, const redisReply *reply, struct err *err) {
    enum err_code means = ERR_REFUSED;
    const char *text = "the server refused a command; its version may be older than 6.2";
    for (size_t i = 0; i < sizeof REFUSALS / sizeof *REFUSALS; i++) {
        /* A script's error says where it happened first, and the code of the command behind it. */
        if (!redis_is_error(reply, REFUSALS[i].code) && !(strstr(reply->str, "script:") && strstr(reply->str, REFUSALS[i].code))) continue;
        means = REFUSALS[i].means;
        text = REFUSALS[i].text;
        break;
    }
    err_set(err, means, "store \"%s\": %s", store_name(store), text);
    size_t length = strspn(reply->str, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    if (length < sizeof err->detail) memcpy(err->detail, reply->str, length);
    return -1;
}

int redis_misshapen(const struct redis_store *store, const char *command, struct err *err) {
    return err_set(err, ERR_REFUSED, "store \"%s\": the server's answer to %s has an unexpected form; is it Redis 6.2 or later?", store_name(store), command);
}

/* --- connection ---------------------------------------------------------------------------------------------------- */

void redis_disconnect(struct redis_store *store) {
    pthread_mutex_lock(&store->lock);
    store->socket = -1;
    pthread_mutex_unlock(&store->lock);
    if (store->connection) redisFree(store->connection);
    store->connection = NULL;
}

void redis_interrupt(struct store *base) {
    struct redis_store *store = redis_of(base);
    pthread_mutex_lock(&store->lock);
    if (store->socket >= 0) (void)shutdown(store->socket, SHUT_RDWR);
    pthread_mutex_unlock(&store->lock);
}

static struct timeval deadline(const struct redis_store *store) {
    int64_t us = store->base.settings.schedule->settings.statement_timeout_us;
    if (us <= 0) us = 30 * TIME_SECOND_US;
    return (struct timeval){.tv_sec = us / TIME_SECOND_US, .tv_usec = us % TIME_SECOND_US};
}

static int broken(struct redis_store *store, struct err *err) {
    redis_disconnect(store);
    return err_set(err, ERR_UNAVAILABLE, "store \"%s\": the connection broke or the server did not answer in time", store_name(store));
}

int redis_send(struct redis_store *store, const struct redis_command *command, struct err *err) {
    if (!store->connection) return err_set(err, ERR_UNAVAILABLE, "store \"%s\": the connection is lost", store_name(store));
    if (redisAppendCommandArgv(store->connection, (int)command->count, command->words, command->lengths) != REDIS_OK) return broken(store, err);
    return 0;
}

int redis_flush(struct redis_store *store, struct err *err) {
    if (!store->connection) return err_set(err, ERR_UNAVAILABLE, "store \"%s\": the connection is lost", store_name(store));
    for (int done = 0; !done;)
        if (redisBufferWrite(store->connection, &done) != REDIS_OK) return broken(store, err);
    return 0;
}

int redis_receive(struct redis_store *store, redisReply **ret_reply, struct err *err) {
    void *reply = NULL;
    if (!store->connection) return err_set(err, ERR_UNAVAILABLE, "store \"%s\": the connection is lost", store_name(store));
    if (redisGetReply(store->connection, &reply) != REDIS_OK) return broken(store, err);
    *ret_reply = reply;
    return 0;
}

static int exchange(struct redis_store *store, const struct redis_command *command, redisReply **ret_reply, struct err *err) {
    REDIS_REPLY reply = NULL;
    if (redis_send(store, command, err) < 0 || redis_receive(store, &reply, err) < 0) return -1;
    if (reply->type == REDIS_REPLY_ERROR) return redis_refusal(store, reply, err);
    *ret_reply = reply;
    reply = NULL;
    return 0;
}

static int authenticate(struct redis_store *store, struct arena *arena, struct err *err) {
    if (!store->password) return 0;
    struct redis_command command = {.arena = arena};
    redis_word(&command, "AUTH");
    if (store->address.user) redis_word(&command, store->address.user);
    redis_word(&command, store->password);
    REDIS_REPLY reply = NULL;
    if (redis_send(store, &command, err) < 0 || redis_receive(store, &reply, err) < 0) return -1;
    if (reply->type != REDIS_REPLY_ERROR) return 0;
    if (redis_is_error(reply, "LOADING")) return redis_refusal(store, reply, err);
    /* Redis 5 and a server without any password answer with a plain ERR. */
    return err_set(err, ERR_CONFIG, "store \"%s\": the server does not take this user and password; correct the store's credential or the user in its URL",
                   store_name(store));
}

static int select_database(struct redis_store *store, struct arena *arena, struct err *err) {
    if (store->address.database == 0) return 0;
    struct redis_command command = {.arena = arena};
    redis_word(&command, "SELECT");
    redis_word_number(&command, store->address.database);
    REDIS_REPLY reply = NULL;
    if (redis_send(store, &command, err) < 0 || redis_receive(store, &reply, err) < 0) return -1;
    if (reply->type != REDIS_REPLY_ERROR) return 0;
    if (!redis_is_error(reply, "ERR")) return redis_refusal(store, reply, err);
    return err_set(err, ERR_CONFIG, "store \"%s\": there is no database %d; correct the end of the store's URL", store_name(store), store->address.database);
}

/* Half a keyspace, or one that others write, must not be taken for the whole. */
static int refuse_other_servers(struct redis_store *store, struct arena *arena, struct err *err) {
    struct redis_command command = {.arena = arena};
    redis_word(&command, "INFO");
    REDIS_REPLY reply = NULL;
    if (exchange(store, &command, &reply, err) < 0) return -1;
    if (reply->type != REDIS_REPLY_STRING) return redis_misshapen(store, "INFO", err);
    if (strstr(reply->str, "cluster_enabled:1"))
        return err_set(err, ERR_CONFIG, "store \"%s\": the server is part of a Redis Cluster, which is not supported", store_name(store));
    if (strstr(reply->str, "role:slave"))
        return err_set(err, ERR_CONFIG, "store \"%s\": the server is a replica; name the primary in the store's URL", store_name(store));
    return 0;
}

static int open_connection(struct redis_store *store, struct err *err) {
    const struct redis_address *address = &store->address;
    redisContext *connection = address->path ? redisConnectUnixWithTimeout(address->path, deadline(store))
                                             : redisConnectWithTimeout(address->host, address->port, deadline(store));
    if (!connection || connection->err) {
        if (connection) redisFree(connection);
        if (address->path) return err_set(err, ERR_UNAVAILABLE, "store \"%s\": no connection to %s", store_name(store), address->path);
        return err_set(err, ERR_UNAVAILABLE, "store \"%s\": no connection to %s:%d", store_name(store), address->host, address->port);
    }
    store->connection = connection;
    store->connections++;
    pthread_mutex_lock(&store->lock);
    store->socket = connection->fd;
    pthread_mutex_unlock(&store->lock);
    if (redisSetTimeout(connection, deadline(store)) != REDIS_OK) return broken(store, err);
    return 0;
}

int redis_connect(struct redis_store *store, struct err *err) {
    if (store->connection) return 0;
    if (open_connection(store, err) < 0) return -1;
    struct arena *arena = arena_new();
    bool ok = authenticate(store, arena, err) == 0 && select_database(store, arena, err) == 0 && refuse_other_servers(store, arena, err) == 0;
    arena_free(arena);
    if (!ok) redis_disconnect(store);
    return ok ? 0 : -1;
}

int redis_ask(struct redis_store *store, const struct redis_command *command, redisReply **ret_reply, struct err *err) {
    if (redis_connect(store, err) < 0) return -1;
    return exchange(store, command, ret_reply, err);
}

int redis_ask_words(struct redis_store *store, redisReply **ret_reply, struct err *err, ...) {
    struct arena *arena = arena_new();
    struct redis_command command = {.arena = arena};
    va_list words;
    va_start(words, err);
    for (const char *word = va_arg(words, const char *); word; word = va_arg(words, const char *)) redis_word(&command, word);
    va_end(words);
    int result = redis_ask(store, &command, ret_reply, err);
    arena_free(arena);
    return result;
}
