#include "sweep/keeper.h"

#include "base/log.h"
#include "sweep/engine.h"

#include <stddef.h>
#include <stdlib.h>

#define KEEPING_OF(pointer) ((struct keeping *)(void *)((char *)(pointer) - offsetof(struct keeping, job)))

/* One store's part. */
struct keeping {
    struct job job;
    struct keeper *keeper;
    const struct store_conf *conf;
    struct worker *worker;
    struct arena *arena; /* the copy of the holds that the job works with */
    struct holds holds;
    bool running, again;
    struct kept kept; /* by the last job */
    bool failed;
};

struct keeper {
    struct engine *engine;
    struct keeping *items;
    size_t count;
};

static void wake_loop(void *context) {
    struct engine *engine = context;
    ev_async_send(engine->loop, &engine->wake);
}

int keeper_start(struct engine *engine, struct keeper **ret_keeper, struct err *err) {
    const struct schedule *schedule = engine->schedule;
    struct keeper *keeper = xcalloc(1, sizeof *keeper);
    *keeper = (struct keeper){.engine = engine, .items = xcalloc(schedule->n_stores, sizeof *keeper->items)};
    for (size_t i = 0; i < schedule->n_stores; i++) {
        const struct store_driver *driver = store_driver_of(schedule->stores[i].kind);
        struct store *store;
        if (!driver || !driver->keep) continue;
        if (store_open(schedule, &schedule->stores[i], false, NULL, &store, err)) {
            keeper_stop(keeper);
            return -1;
        }
        keeper->items[keeper->count++] = (struct keeping){.keeper = keeper, .conf = &schedule->stores[i], .arena = arena_new(),
                                                          .worker = worker_start(store, wake_loop, engine)};
    }
    *ret_keeper = keeper;
    return 0;
}

void keeper_stop(struct keeper *keeper) {
    if (!keeper) return;
    for (size_t i = 0; i < keeper->count; i++) {
        keeper->items[i].again = false;
        worker_stop(keeper->items[i].worker);
        arena_free(keeper->items[i].arena);
    }
    free(keeper->items);
    free(keeper);
}

void keeper_collect(struct keeper *keeper) {
    for (size_t i = 0; keeper && i < keeper->count; i++) worker_collect(keeper->items[i].worker);
}

/* The ledger's own may change while the job runs. */
static void copy_holds(struct keeping *keeping, const struct holds *from) {
    arena_clear(keeping->arena);
    size_t count = from ? from->count : 0;
    struct hold *items = ARENA_ARRAY(keeping->arena, struct hold, count);
    for (size_t i = 0; i < count; i++) {
        const struct hold *hold = &from->items[i];
        const char **members = ARENA_ARRAY(keeping->arena, const char *, hold->n_members);
        for (size_t m = 0; m < hold->n_members; m++) members[m] = arena_strdup(keeping->arena, hold->members[m]);
        items[i] = *hold;
        items[i].id = arena_strdup(keeping->arena, hold->id);
        items[i].tenant = hold->tenant ? arena_strdup(keeping->arena, hold->tenant) : NULL;
        items[i].normal = hold->normal ? arena_strdup(keeping->arena, hold->normal) : NULL;
        items[i].rule = hold->rule ? arena_strdup(keeping->arena, hold->rule) : NULL;
        items[i].ground = hold->ground ? arena_strdup(keeping->arena, hold->ground) : NULL;
        items[i].members = members;
    }
    keeping->holds = (struct holds){.items = items, .count = count};
}

/* Its store's targets are bound anew each time; what is wrong with them is for the sweep to say. */
static int run_keep(struct job *job, struct store *store, struct err *err) {
    struct keeping *keeping = KEEPING_OF(job);
    const struct schedule *schedule = keeping->keeper->engine->schedule;
    struct arena *arena = arena_new();
    struct faults ignored = {.arena = arena};
    const struct store_driver *driver = store_driver(store);
    int result = driver->check(store, &ignored, ARENA_ARRAY(arena, bool, schedule->n_targets), err) || driver->keep(store, &keeping->holds, &keeping->kept, err) ? -1 : 0;
    arena_free(arena);
    return result;
}

static void submit(struct keeping *keeping);

static void on_kept(struct job *job) {
    struct keeping *keeping = KEEPING_OF(job);
    keeping->running = false;
    keeping->failed = job->failed;
    if (job->failed && keeping->holds.count) log_warning("%s; what expires there by itself may go under a hold, until the next sweep", job->err.text);
    if (keeping->kept.kept) log_notice("store \"%s\": %lld keys under a hold do not expire", keeping->conf->name, (long long)keeping->kept.kept);
    if (keeping->kept.given_back)
        log_notice("store \"%s\": %lld keys expire again, no hold is on them", keeping->conf->name, (long long)keeping->kept.given_back);
    if (keeping->again) submit(keeping);
}

static void submit(struct keeping *keeping) {
    keeping->again = keeping->running;
    if (keeping->running) return;
    copy_holds(keeping, keeping->keeper->engine->holds);
    keeping->running = true;
    keeping->kept = (struct kept){0};
    keeping->job.run = run_keep;
    keeping->job.done = on_kept;
    worker_submit(keeping->worker, &keeping->job);
}

void keeper_look(struct keeper *keeper, bool anew) {
    for (size_t i = 0; keeper && i < keeper->count; i++) {
        struct keeping *keeping = &keeper->items[i];
        bool held = keeper->engine->holds && keeper->engine->holds->count;
        if (anew || held || keeping->holds.count) submit(keeping);
    }
}

bool keeper_is_busy(const struct keeper *keeper) {
    for (size_t i = 0; keeper && i < keeper->count; i++)
        if (keeper->items[i].running) return true;
    return false;
}

void keeper_tell(const struct keeper *keeper, struct buf *to) {
    for (size_t i = 0; keeper && i < keeper->count; i++) {
        const struct keeping *keeping = &keeper->items[i];
        if (keeping->failed)
            buf_printf(to, "; store \"%s\" could not be asked: keys that expire there by themselves may go until the next sweep", keeping->conf->name);
        else if (keeping->kept.kept)
            buf_printf(to, "; %s keys of store \"%s\" do not expire by themselves now, until it is released", text_number(keeping->kept.kept).text,
                       keeping->conf->name);
    }
}
