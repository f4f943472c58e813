#include "store/redis.h"

#include "store/redis_internal.h"

#include "base/time.h"

#include <stdlib.h>
#include <string.h>

static int redis_open(const struct store_settings *settings, struct store **ret_store, struct err *err) {
    struct arena *arena = arena_new();
    struct redis_address address;
    if (redis_address_parse(arena, settings->conf->url, &address, err) < 0) {
        arena_free(arena);
        return err_within(err, "store \"%s\"", settings->conf->name);
    }
    struct redis_store *store = xcalloc(1, sizeof *store);
    store->base.driver = &redis_driver;
    store->base.settings = *settings;
    store->arena = arena;
    store->address = address;
    store->password = arena_strdup(arena, settings->password);
    store->base.settings.password = store->password;
    store->socket = -1;
    pthread_mutex_init(&store->lock, NULL);
    *ret_store = (struct store *)(void *)store;
    return 0;
}

static void redis_close(struct store *base) {
    struct redis_store *store = redis_of(base);
    redis_disconnect(store);
    redis_found_free(store->found);
    pthread_mutex_destroy(&store->lock);
    arena_free(store->catalog);
    arena_free(store->arena);
    free(store);
}

static void redis_know(struct store *store, const struct tenants *tenants) { redis_of(store)->tenants = tenants; }

static int redis_ping(struct store *base, int64_t *ret_server_now_us, struct err *err) {
    struct redis_store *store = redis_of(base);
    REDIS_REPLY reply = NULL;
    if (redis_ask_words(store, &reply, err, "TIME", NULL) < 0) return -1;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[1]->type != REDIS_REPLY_STRING)
        return redis_misshapen(store, "TIME", err);
    *ret_server_now_us = strtoll(reply->element[0]->str, NULL, 10) * TIME_SECOND_US + strtoll(reply->element[1]->str, NULL, 10);
    return 0;
}

/* Redis keeps no list of what it has done: the next pass finds what is left. */
static int redis_settle(struct store *store, const char *transaction, const char *server, enum settled *ret_settled, struct err *err) {
    (void)store;
    (void)transaction;
    (void)server;
    (void)err;
    *ret_settled = SETTLED_UNRESOLVED;
    return 0;
}

static const char *const SCHEMES[] = {"redis", "rediss", "redis+unix", "unix", NULL};

const struct store_driver redis_driver = {
    .kind = STORE_REDIS,
    .thorough = true,
    .name = "Redis",
    .schemes = SCHEMES,
    .open = redis_open,
    .close = redis_close,
    .ping = redis_ping,
    .check = redis_check,
    .advise = redis_advise,
    .grants = redis_grants,
    .draft = redis_draft,
    .know = redis_know,
    .probe = redis_probe,
    .count = redis_count,
    .remember = redis_remember,
    .size = redis_size,
    .foresee = redis_foresee,
    .undecidable = redis_undecidable,
    .begin = redis_pass_begin,
    .prepare = redis_pass_prepare,
    .finish = redis_pass_finish,
    .exclude = redis_pass_exclude,
    .end = redis_pass_end,
    .settle = redis_settle,
    .explain = redis_explain,
    .keep = redis_keep,
    .pressure = redis_pressure,
    .interrupt = redis_interrupt,
};
