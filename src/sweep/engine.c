#include "sweep/engine.h"

#include "base/arena.h"
#include "sweep/keeper.h"
#include "sweep/throttle.h"

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

/* Redis does one thing at a time, and each pass reads all of it. */
static size_t crew_size(const struct schedule *schedule, const struct store_conf *conf) {
    return conf->kind == STORE_REDIS ? 1 : schedule->settings.batch_workers;
}

static int start_crew(struct engine *engine, size_t index, struct err *err) {
    struct crew *crew = &engine->crews[index];
    const struct store_conf *conf = &engine->schedule->stores[index];
    size_t count = crew_size(engine->schedule, conf);
    crew->workers = xcalloc(count, sizeof *crew->workers);
    for (; crew->count < count; crew->count++)
        if (start_worker(engine, conf, &crew->workers[crew->count], err)) return -1;
    return 0;
}

static int start_throttle(struct engine *engine, size_t index, struct err *err) {
    const struct store_conf *conf = &engine->schedule->stores[index];
    struct worker *worker;
    const struct store_driver *driver = store_driver_of(conf->kind);
    if (!driver || !driver->pressure) return 0;
    if (start_worker(engine, conf, &worker, err)) return -1;
    engine->throttles[index] = throttle_new(engine, conf, worker);
    return 0;
}

int engine_start(struct engine *engine, struct schedule *schedule, struct err *err) {
    engine->schedule = schedule;
    survey_open(&engine->survey, schedule);
    engine->crews = xcalloc(schedule->n_stores, sizeof *engine->crews);
    engine->limits = xcalloc(schedule->n_targets, sizeof *engine->limits);
    engine->throttles = xcalloc(schedule->n_stores, sizeof *engine->throttles);
    engine->tenants_worker = NULL;
    bool failed = false;
    for (size_t i = 0; i < schedule->n_stores && !failed; i++) failed = start_crew(engine, i, err) || start_throttle(engine, i, err);
    failed = failed || (schedule->has_tenants && start_worker(engine, schedule->tenants.store, &engine->tenants_worker, err));
    failed = failed || keeper_start(engine, &engine->keeper, err);
    if (!failed) return 0;
    engine_stop(engine);
    return -1;
}

/* Calls `act` for every worker. */
static void each_worker(const struct engine *engine, void (*act)(struct worker *worker)) {
    if (!engine->schedule) return;
    for (size_t i = 0; i < engine->schedule->n_stores; i++) {
        for (size_t w = 0; w < engine->crews[i].count; w++) act(engine->crews[i].workers[w]);
        if (engine->throttles[i]) act(throttle_worker(engine->throttles[i]));
    }
    if (engine->tenants_worker) act(engine->tenants_worker);
}

void engine_stop(struct engine *engine) {
    if (!engine->schedule) return;
    for (size_t i = 0; i < engine->schedule->n_stores; i++) {
        struct crew *crew = &engine->crews[i];
        for (size_t w = 0; w < crew->count; w++) worker_stop(crew->workers[w]);
        free(crew->workers);
        throttle_free(engine->throttles[i]);
    }
    worker_stop(engine->tenants_worker);
    keeper_stop(engine->keeper);
    engine->keeper = NULL;
    survey_close(&engine->survey, engine->schedule);
    free(engine->throttles);
    free(engine->crews);
    free(engine->limits);
    engine->crews = NULL;
    engine->throttles = NULL;
    engine->limits = NULL;
    engine->tenants_worker = NULL;
    engine->schedule = NULL;
}

void engine_interrupt(struct engine *engine) { each_worker(engine, worker_interrupt); }

void engine_collect(struct engine *engine) {
    journal_collect(engine->journal);
    each_worker(engine, worker_collect);
    keeper_collect(engine->keeper);
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

const struct unsettled *engine_remember(struct engine *engine, struct unsettled *batch) {
    for (const struct unsettled *known = engine->unsettled; known; known = known->next) {
        if (known->seq != batch->seq) continue;
        unsettled_free(batch);
        return known;
    }
    batch->next = engine->unsettled;
    engine->unsettled = batch;
    return batch;
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
