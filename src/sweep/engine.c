#include "sweep/engine.h"

#include "base/arena.h"

#include <stdlib.h>
#include <string.h>

/* ev_async_send is the one libev call that other threads may make. */
static void wake_loop(void *context) {
    struct engine *engine = context;
    ev_async_send(engine->loop, &engine->wake);
}

static int start_worker(struct engine *engine, const struct store_conf *conf, struct worker **ret_worker, struct err *err) {
    struct store *store;
    const struct store_keys keys = {.pseudonym = engine->pseudonym_key, .evidence = engine->evidence_key};
    if (store_open(engine->schedule, conf, false, &keys, &store, err)) return -1;
    *ret_worker = worker_start(store, wake_loop, engine);
    return 0;
}

int engine_start(struct engine *engine, struct schedule *schedule, struct err *err) {
    engine->schedule = schedule;
    survey_open(&engine->survey, schedule);
    engine->workers = xcalloc(schedule->n_stores, sizeof *engine->workers);
    engine->tenants_worker = NULL;
    for (size_t i = 0; i < schedule->n_stores; i++) {
        if (start_worker(engine, &schedule->stores[i], &engine->workers[i], err)) {
            engine_stop(engine);
            return -1;
        }
    }
    if (!schedule->has_tenants || !start_worker(engine, schedule->tenants.store, &engine->tenants_worker, err)) return 0;
    engine_stop(engine);
    return -1;
}

void engine_stop(struct engine *engine) {
    if (!engine->schedule) return;
    for (size_t i = 0; i < engine->schedule->n_stores; i++) worker_stop(engine->workers[i]);
    worker_stop(engine->tenants_worker);
    survey_close(&engine->survey, engine->schedule);
    free(engine->workers);
    engine->workers = NULL;
    engine->tenants_worker = NULL;
    engine->schedule = NULL;
}

void engine_collect(struct engine *engine) {
    journal_collect(engine->journal);
    if (!engine->schedule) return;
    for (size_t i = 0; i < engine->schedule->n_stores; i++) worker_collect(engine->workers[i]);
    if (engine->tenants_worker) worker_collect(engine->tenants_worker);
}

struct unsettled *unsettled_new(int64_t seq, int64_t sweep, int64_t batch, const char *store, const char *transaction, const char *server) {
    struct unsettled *unsettled = xmalloc(sizeof *unsettled);
    *unsettled = (struct unsettled){.seq = seq, .sweep = sweep, .batch = batch, .store = xstrdup(store),
                                    .transaction = xstrdup(transaction), .server = xstrdup(server)};
    return unsettled;
}

void unsettled_free(struct unsettled *batch) {
    if (!batch) return;
    free(batch->store);
    free(batch->transaction);
    free(batch->server);
    free(batch);
}

void engine_remember(struct engine *engine, struct unsettled *batch) {
    engine_forget(engine, batch->seq);
    batch->next = engine->unsettled;
    engine->unsettled = batch;
}

void engine_forget(struct engine *engine, int64_t seq) {
    for (struct unsettled **at = &engine->unsettled; *at; at = &(*at)->next) {
        if ((*at)->seq != seq) continue;
        struct unsettled *gone = *at;
        *at = gone->next;
        unsettled_free(gone);
        return;
    }
}

size_t engine_store_index(const struct engine *engine, const struct store_conf *conf) {
    return (size_t)(conf - engine->schedule->stores);
}
