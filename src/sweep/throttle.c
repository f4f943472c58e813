#include "sweep/throttle.h"

#include "base/log.h"
#include "base/time.h"
#include "sweep/engine.h"

#include <stddef.h>
#include <stdlib.h>

struct throttle {
    struct engine *engine;
    const struct store_conf *conf;
    struct worker *worker;
    struct job job;
    struct ev_timer timer;
    struct pressure pressure;
    bool watching; /* a sweep runs */
    bool asking;   /* the job is under way */
    bool told;     /* that something cannot be read: once is enough */
    void (*measured)(void *context); /* NULL: was called */
    void *context;
};

#define THROTTLE_OF(pointer, member) ((struct throttle *)(void *)((char *)(pointer) - offsetof(struct throttle, member)))

static const struct settings *settings_of(const struct throttle *throttle) { return &throttle->engine->schedule->settings; }

/* ---- judging ---- */

static bool too_long(const char *store, int64_t us, int64_t most_us, const char *what, const char *setting, struct buf *why) {
    if (us <= most_us) return false;
    buf_printf(why, "%s \"%s\" is %s, more than %s = %s", what, store, time_format_span(us).text, setting, time_format_span(most_us).text);
    return true;
}

bool throttle_is_unreadable(const struct pressure *pressure) {
    return pressure->replica_lag_us == PRESSURE_UNREADABLE || pressure->snapshot_age_us == PRESSURE_UNREADABLE ||
           pressure->lock_waits == PRESSURE_UNREADABLE;
}

const char *throttle_judge(const struct throttle_limits *limits, const char *store, const struct pressure *pressure, bool *ret_blind, struct buf *why) {
    *ret_blind = false;
    if (too_long(store, pressure->replica_lag_us, limits->replica_lag_us, "the lag of a replica of", "throttle.replica_lag", why)) return "replica-lag";
    if (too_long(store, pressure->snapshot_age_us, limits->snapshot_age_us, "the age of the oldest snapshot in", "throttle.snapshot_age", why))
        return "old-snapshot";
    if (pressure->lock_waits > limits->lock_waits) {
        buf_printf(why, "%s sessions wait for locks in \"%s\", more than throttle.lock_waits = %s", text_number(pressure->lock_waits).text, store,
                   text_number(limits->lock_waits).text);
        return "lock-waits";
    }
    if (pressure->query_says_wait) {
        buf_printf(why, "throttle.query says that a sweep should wait in \"%s\"", store);
        return "throttle-query";
    }
    if (!throttle_is_unreadable(pressure) || !limits->configured) return NULL;
    buf_printf(why, "how others fare in \"%s\" may not be read; lapsectl grants prints the missing right", store);
    *ret_blind = true;
    return "throttle-unreadable";
}

static void tell_unreadable(struct throttle *throttle) {
    if (throttle->told || !throttle_is_unreadable(&throttle->pressure)) return;
    throttle->told = true;
    log_warning("how others fare in \"%s\" may not be read, not waiting for it; lapsectl grants prints the missing right", throttle->conf->name);
}

/* The new veto first: between the two no batch may slip through. */
static void forbid(struct throttle *throttle, bool blind, const char *code, const char *why) {
    const char *store = throttle->conf->name;
    veto_set(throttle->engine, blind ? VETO_BLIND : VETO_THROTTLE, store, code, why);
    veto_lift(throttle->engine, blind ? VETO_THROTTLE : VETO_BLIND, store);
}

static void allow(struct throttle *throttle) {
    veto_lift(throttle->engine, VETO_THROTTLE, throttle->conf->name);
    veto_lift(throttle->engine, VETO_BLIND, throttle->conf->name);
}

static void judge(struct throttle *throttle) {
    __attribute__((cleanup(buf_free))) struct buf why = {0};
    const char *store = throttle->conf->name;
    bool blind = throttle->job.failed;
    const char *code = "throttle-failed";
    if (blind) buf_printf(&why, "how others fare in \"%s\" could not be asked: %s", store, throttle->job.err.text);
    else code = throttle_judge(&settings_of(throttle)->throttle, store, &throttle->pressure, &blind, &why);
    if (code) {
        forbid(throttle, blind, code, buf_text(&why));
        return;
    }
    tell_unreadable(throttle);
    allow(throttle);
}

/* ---- asking ---- */

static void tell_measured(struct throttle *throttle) {
    void (*measured)(void *context) = throttle->measured;
    throttle->measured = NULL;
    if (measured) measured(throttle->context);
}

static int run_ask(struct job *job, struct store *store, struct err *err) {
    struct throttle *throttle = THROTTLE_OF(job, job);
    const struct store_driver *driver = store_driver(store);
    const char *query = driver->kind == STORE_MONGODB ? NULL : settings_of(throttle)->throttle.query;
    return driver->pressure(store, query, &throttle->pressure, err);
}

static void on_answer(struct job *job) {
    struct throttle *throttle = THROTTLE_OF(job, job);
    throttle->asking = false;
    if (!throttle->watching) return;
    judge(throttle);
    tell_measured(throttle);
}

static void ask(struct throttle *throttle) {
    throttle->asking = true;
    throttle->job.run = run_ask;
    throttle->job.done = on_answer;
    worker_submit(throttle->worker, &throttle->job);
}

static void on_timer(struct ev_loop *loop, struct ev_timer *timer, int events) {
    (void)loop, (void)events;
    struct throttle *throttle = THROTTLE_OF(timer, timer);
    if (!throttle->asking) {
        ask(throttle);
        return;
    }
    __attribute__((cleanup(buf_free))) struct buf why = {0};
    buf_printf(&why, "\"%s\" does not answer how others fare there", throttle->conf->name);
    forbid(throttle, true, "throttle-failed", buf_text(&why));
}

void throttle_begin(struct throttle *throttle, void (*measured)(void *context), void *context) {
    if (!throttle) {
        measured(context);
        return;
    }
    throttle->watching = true;
    throttle->measured = measured;
    throttle->context = context;
    double every = (double)settings_of(throttle)->throttle.every_us / 1e6;
    ev_timer_init(&throttle->timer, on_timer, every, every);
    ev_timer_start(throttle->engine->loop, &throttle->timer);
    if (!throttle->asking) ask(throttle); /* an answer to the last sweep's question will do */
}

void throttle_end(struct throttle *throttle) {
    if (!throttle || !throttle->watching) return;
    throttle->watching = false;
    ev_timer_stop(throttle->engine->loop, &throttle->timer);
    allow(throttle);
    tell_measured(throttle);
}

/* ---- birth and death ---- */

struct throttle *throttle_new(struct engine *engine, const struct store_conf *conf, struct worker *worker) {
    struct throttle *throttle = xcalloc(1, sizeof *throttle);
    *throttle = (struct throttle){.engine = engine, .conf = conf, .worker = worker};
    return throttle;
}

void throttle_free(struct throttle *throttle) {
    if (!throttle) return;
    throttle_end(throttle);
    worker_stop(throttle->worker);
    free(throttle);
}

struct worker *throttle_worker(const struct throttle *throttle) { return throttle->worker; }
