#include "sweep/sweep_internal.h"

#include "base/log.h"
#include "base/time.h"
#include "sweep/limit.h"

#include <assert.h>

enum {
    MOST_PASSES = 1000,   /* one that goes on destroying after so many is a fault of ours */
    LONG_RECORDS = 10000, /* so many are counted: the pass is long, and each lane has several batches of it */
};

static const int64_t FRESH_US = 60 * TIME_SECOND_US;

static void next_round(struct site *site);

/* ---- what went wrong ---- */

void site_down(struct site *site, const struct err *err) {
    if (!site->down) log_warning("%s, leaving this store for the next sweep", err->text);
    site->down = true;
    site->err = *err;
    site->sweep->report.waits = true;
    report_finding(site->sweep, (struct finding){.code = "store-down", .store = site->conf->name, .count = 1,
                                                 .text = "the store could not be asked; what is due there waits"});
}

void site_target_failed(struct site *site, const struct target *target, const struct err *err) {
    log_error("\"%s\": %s; this target is left for the next sweep", target->rule->data, err->text);
    site->sweep->report.waits = true;
    report_finding(site->sweep, (struct finding){.code = "target-failed", .rule = target->rule->data, .store = site->conf->name,
                                                 .place = target->name, .count = 1,
                                                 .text = arena_printf(site->sweep->arena, "the store refused (%s%s%s); what is due there waits",
                                                                      err_code_name(err->code), *err->detail ? " " : "", err->detail)});
}

/* ---- what is left out ---- */

bool site_is_left_out(const struct site *site, const struct order *order) {
    for (size_t i = 0; i < site->n_left_out; i++)
        if (site->left_out[i] == order) return true;
    return false;
}

void site_leave_out(struct site *site, const struct order *order) {
    if (!site_is_left_out(site, order)) *ARENA_APPEND(site->sweep->arena, site->left_out, site->n_left_out) = order;
}

void site_exclude(struct site *site, const struct order *order, const char *tenant) {
    struct arena *arena = site->sweep->arena;
    *ARENA_APPEND(arena, site->excluded, site->n_excluded) = (struct exclusion){.order = order, .tenant = arena_strdup(arena, tenant)};
}

bool site_is_stale(const struct site *site) { return site->refilled || time_monotonic_us() - site->counted_us > FRESH_US; }

/* ---- rest ---- */

static void on_rested(struct ev_loop *loop, struct ev_timer *timer, int events) {
    (void)loop, (void)events;
    struct site *site = SITE_OF(timer, timer);
    site_when_rested(site, site->rested); /* libev's clock may be a little behind */
}

void site_rest(struct site *site, int64_t took_us) {
    int64_t until_us = time_monotonic_us() + limit_pause(&site->sweep->schedule->settings, took_us);
    if (until_us > site->rests_until_us) site->rests_until_us = until_us;
}

void site_when_rested(struct site *site, void (*then)(struct site *site)) {
    int64_t left_us = site->rests_until_us - time_monotonic_us();
    if (left_us <= 0 || site->sweep->stopping) {
        then(site);
        return;
    }
    site->rested = then;
    ev_timer_init(&site->timer, on_rested, (double)left_us / 1e6, 0.);
    ev_timer_start(site->sweep->engine->loop, &site->timer);
}

void site_hurry(struct site *site) {
    if (!ev_is_active(&site->timer)) return;
    ev_timer_stop(site->sweep->engine->loop, &site->timer);
    ev_feed_event(site->sweep->engine->loop, &site->timer, EV_TIMER);
}

/* ---- passes ---- */

/* By what was counted before anything was destroyed. */
static bool is_long(const struct site *site) {
    int64_t records = 0;
    for (size_t i = 0; i < site->n_counted; i++)
        for (size_t j = 0; j < site->n_orders; j++)
            if (site->counted[i] == site->orders[j] && !site_is_left_out(site, site->orders[j])) records += site->counts[i].records;
    return records >= LONG_RECORDS;
}

/* One lane carries out a short pass, for looking who has anything due is most of its cost; a long one is divided. */
static void begin_pass(struct site *site) {
    bool any = false;
    for (size_t i = 0; i < site->n_orders; i++) any = any || !site_is_left_out(site, site->orders[i]);
    if (!any || site->sweep->stopping) {
        next_round(site);
        return;
    }
    size_t parts = site->divide ? site->n_lanes : 1;
    site->divide = false;
    site->done_in_pass = 0;
    site->passes++;
    site->running = parts;
    for (size_t i = 0; i < parts; i++) lane_begin(&site->lanes[i], i, parts);
}

void site_lane_over(struct lane *lane) {
    struct site *site = lane->site;
    assert(site->running > 0);
    if (--site->running > 0) return;
    bool again = (site->done_in_pass > 0 || site->divide) && !site->sweep->stopping && !site->down;
    if (again && site->passes >= MOST_PASSES) {
        log_error("store \"%s\": %d passes, and each found more to do; the rest waits for the next sweep", site->conf->name, MOST_PASSES);
        site->sweep->report.waits = true;
        again = false;
    }
    if (again) site_when_rested(site, begin_pass);
    else next_round(site);
}

/* ---- rounds ---- */

static void begin_round(struct site *site, const struct order **orders, size_t n_orders, bool divisible) {
    site->orders = orders;
    site->n_orders = n_orders;
    /* A thorough pass reads everything: divided, everything would be read by each. */
    site->divisible = divisible && site->n_lanes > 1 && !store_driver_of(site->conf->kind)->thorough;
    site->divide = site->divisible && is_long(site);
    site->passes = 0;
    for (size_t i = 0; i < site->n_lanes; i++) site->lanes[i].passes = 0;
    site_when_rested(site, begin_pass);
}

/* What is blocked is only known when nothing more goes by itself: those orders have a round of their own. */
static void next_round(struct site *site) {
    size_t n_later = site->n_later;
    site->n_later = 0;
    if (!n_later || site->sweep->stopping || site->down) sweep_site_over(site);
    else begin_round(site, site->later, n_later, false);
}

void site_run(struct site *site, const struct order **orders, size_t n_orders, bool alone) {
    assert(!site->running && !site->down && n_orders);
    if (alone) site->rests_until_us = 0; /* what the gate said is true now */
    struct arena *arena = site->sweep->arena;
    const struct order **now = ARENA_ARRAY(arena, const struct order *, n_orders);
    size_t n_now = 0;
    for (size_t i = 0; i < site->n_lanes; i++) site->lanes[i].orders = ARENA_ARRAY(arena, const struct order *, n_orders);
    site->later = ARENA_ARRAY(arena, const struct order *, n_orders);
    site->n_later = 0;
    for (size_t i = 0; i < n_orders; i++) {
        if (orders[i]->blocked_only) site->later[site->n_later++] = orders[i];
        else now[n_now++] = orders[i];
    }
    begin_round(site, now, n_now, !alone && site->sweep->schedule->settings.load == LOAD_FULL);
}

/* ---- birth and death ---- */

/* A limit that is not known yet is 0 in the engine. */
static void begin_lane(struct site *site, struct lane *lane, struct worker *worker) {
    struct sweep *sweep = site->sweep;
    size_t n_targets = sweep->schedule->n_targets;
    *lane = (struct lane){.sweep = sweep, .site = site, .worker = worker, .batch_arena = arena_new()};
    lane->limits = ARENA_ARRAY(sweep->arena, size_t, n_targets);
    for (size_t i = 0; i < n_targets; i++) {
        size_t known = sweep->engine->limits[i];
        lane->limits[i] = known ? known : limit_first(&sweep->schedule->settings);
    }
}

void site_begin(struct site *site, struct sweep *sweep, size_t index) {
    const struct crew *crew = &sweep->engine->crews[index];
    *site = (struct site){.sweep = sweep, .conf = &sweep->schedule->stores[index], .arena = arena_new(), .n_lanes = crew->count};
    site->lanes = ARENA_ARRAY(sweep->arena, struct lane, crew->count);
    for (size_t i = 0; i < crew->count; i++) begin_lane(site, &site->lanes[i], crew->workers[i]);
}

void site_free(struct site *site) {
    for (size_t i = 0; i < site->n_lanes; i++) arena_free(site->lanes[i].batch_arena);
    arena_free(site->arena);
}
