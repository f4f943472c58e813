#include "sweep/daemon.h"

#include "base/log.h"
#include "base/time.h"
#include "sweep/keeper.h"
#include "sweep/requests.h"
#include "sweep/settle.h"
#include "sweep/status.h"
#include "sweep/sweep.h"
#include "sweep/timetable.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>

/* How long batches in flight may take after TERM before they are interrupted. */
static const double stop_grace_seconds = 10.;
/* The wall clock is looked at this often: a step of it must not make a firing be missed. */
static const double tick_seconds = 30.;

static const char unsigned_reason[] = "the journal cannot be signed (the log says why); nothing is destroyed until it can";

struct daemon {
    const char *config_path;
    bool once;
    bool once_begun;
    struct engine engine;
    struct requests *requests;
    struct clock clock;
    struct schedule *schedule; /* in force */
    struct schedule *next;     /* loaded, comes into force when no sweep runs */
    struct sweep *sweep;       /* running */
    struct sweep *finished;    /* to be freed */
    struct note_vkey vkeys[SIGNERS_MOST]; /* that sign the journal in this run */
    size_t n_vkeys;
    bool sweep_now;            /* USR1 came */
    bool stopping;
    struct timetable timetable;
    int status_code;
    struct status status;
    bool status_failed;
    struct ev_timer tick, grace, reap, watchdog, progress;
    struct ev_signal hup, usr1, term, interrupt;
};

#define DAEMON_OF(watcher, member) ((struct daemon *)(void *)((char *)(watcher) - offsetof(struct daemon, member)))

/* ---- status ---- */

static void write_status(struct daemon *daemon) {
    struct err err;
    bool failed = status_write(&daemon->status, daemon->schedule->settings.run_folder, &err) != 0;
    if (failed && !daemon->status_failed) log_warning("%s, going on without a status file", err.text);
    daemon->status_failed = failed;
    (void)sd_notifyf(0, "STATUS=%s%s%s", daemon->status.state, *daemon->status.reason ? ": " : "", daemon->status.reason);
}

static void set_state(struct daemon *daemon, const char *state, const char *reason) {
    if (!text_equal(daemon->status.state, state) || !text_equal(daemon->status.reason, reason)) daemon->status.since_us = time_now_us();
    daemon->status.state = state;
    (void)text_copy(daemon->status.reason, sizeof daemon->status.reason, reason);
    write_status(daemon);
}

/* Nothing runs. Where nothing could run either, for want of a signature, the status says so. */
static void set_idle(struct daemon *daemon) {
    bool can_sign = journal_can_sign(daemon->engine.journal);
    set_state(daemon, can_sign ? "idle" : "waiting", can_sign ? "" : unsigned_reason);
}

static void on_progress(struct ev_loop *loop, struct ev_timer *timer, int events) {
    (void)loop, (void)events;
    struct daemon *daemon = DAEMON_OF(timer, progress);
    if (!daemon->sweep) return;
    (void)clock_look(&daemon->clock);
    __attribute__((cleanup(buf_free))) struct buf text = {0};
    bool waits = sweep_progress(daemon->sweep, &text);
    set_state(daemon, daemon->stopping ? "stopping" : waits ? "waiting" : "sweeping", buf_text(&text));
}

static void on_sweep_done(void *context, const struct sweep_report *report);

/* ---- requests ---- */

static void consider(struct daemon *daemon);

static void on_requests_changed(void *context) {
    struct daemon *daemon = context;
    daemon->status.n_holds = (int64_t)daemon->engine.holds->count;
    if (daemon->sweep && sweep_tenants(daemon->sweep)) requests_widen(daemon->requests, sweep_tenants(daemon->sweep));
    if (daemon->sweep && requests_pause(daemon->requests)) sweep_end_early(daemon->sweep);
    keeper_look(daemon->engine.keeper, false);
    write_status(daemon);
    consider(daemon);
}

/* For every batch whose outcome is not known, nobody can tell whose records it reached. */
static bool is_busy(void *context, const struct hold *hold, struct buf *why) {
    const struct daemon *daemon = context;
    if (!hold) {
        buf_add(why, "the batches in flight are finished first");
        return daemon->sweep != NULL;
    }
    if (daemon->engine.unsettled) {
        buf_printf(why, "what became of a batch in store \"%s\" is not known, and the store is asked", daemon->engine.unsettled->store);
        return true;
    }
    if (keeper_is_busy(daemon->engine.keeper)) {
        buf_add(why, "keys that expire by themselves are being kept");
        return true;
    }
    buf_add(why, "a batch that was committing when it came is not over");
    return daemon->sweep && sweep_is_committing(daemon->sweep, hold);
}

static void on_tenants_read(void *context, const struct tenants *tenants) {
    struct daemon *daemon = context;
    requests_stand(daemon->requests);
    requests_widen(daemon->requests, tenants);
    daemon->status.n_holds = (int64_t)daemon->engine.holds->count;
    keeper_look(daemon->engine.keeper, true);
}

static bool clock_in_doubt(struct daemon *daemon) {
    bool doubted = daemon->clock.doubted, certain = clock_look(&daemon->clock);
    if (certain && doubted) set_idle(daemon);
    if (certain) return false;
    set_state(daemon, "waiting", daemon->clock.reason);
    return true;
}

/* By the stores. The first time in this boot that releases more than the clock alone could. */
static void on_clock_confirmed(struct daemon *daemon) {
    bool first = !daemon->clock.agreed;
    clock_keep(&daemon->clock);
    if (!first) return;
    requests_refresh(daemon->requests);
    daemon->status.n_holds = (int64_t)daemon->engine.holds->count;
    keeper_look(daemon->engine.keeper, false);
}

static void on_clock_accepted(void *context) { clock_accept(&((struct daemon *)context)->clock); }

static void on_entry_seen(void *context, const struct entry *entry) {
    struct daemon *daemon = context;
    clock_seen(&daemon->clock, entry);
    requests_seen(daemon->requests, entry);
}

/* What --once was to do waits. */
static void put_off(struct daemon *daemon) {
    if (!daemon->once) return;
    daemon->status_code = EX_TEMPFAIL;
    ev_break(daemon->engine.loop, EVBREAK_ALL);
}

static bool is_paused(struct daemon *daemon) {
    const struct pause *pause = requests_pause(daemon->requests);
    if (!pause) return false;
    char reason[256];
    (void)snprintf(reason, sizeof reason, "since %s (%s); nothing is destroyed until \"lapsectl resume\"", time_format_seconds(pause->since_us).text, pause->ground);
    if (!text_equal(daemon->status.reason, reason)) log_notice("paused %s", reason);
    set_state(daemon, "paused", reason);
    return true;
}

static void begin_sweep(struct daemon *daemon, const char *trigger) {
    int64_t now_us = time_now_us();
    daemon->sweep_now = false;
    timetable_begin(&daemon->timetable, now_us);
    daemon->sweep = sweep_start(&daemon->engine, trigger, now_us, on_sweep_done, daemon);
    ev_timer_again(daemon->engine.loop, &daemon->progress);
}

static void tick_again(struct daemon *daemon, int64_t now_us, int64_t next_us) {
    double wait = next_us > now_us ? (double)(next_us - now_us) / 1e6 + .001 : tick_seconds;
    daemon->tick.repeat = wait < tick_seconds ? wait : tick_seconds;
    ev_timer_again(daemon->engine.loop, &daemon->tick);
}

/* Begins what is to begin now; else says when the next sweep will be. A pause or a hold that is being journaled goes first. */
static void consider_sweep(struct daemon *daemon) {
    int64_t now_us = time_now_us(), next_us = timetable_next(&daemon->timetable, &daemon->schedule->settings, now_us);
    daemon->status.next_sweep_us = next_us;
    tick_again(daemon, now_us, next_us);
    if (requests_pending(daemon->requests)) return;
    if (is_paused(daemon)) {
        put_off(daemon);
        return;
    }
    if (clock_in_doubt(daemon)) {
        put_off(daemon);
        return;
    }
    if (text_equal(daemon->status.state, "paused")) set_idle(daemon);
    if (daemon->once) {
        if (!daemon->once_begun) begin_sweep(daemon, "once");
        daemon->once_begun = true;
    } else if (daemon->sweep_now) {
        begin_sweep(daemon, "signal");
    } else if (next_us <= now_us) {
        begin_sweep(daemon, timetable_trigger(&daemon->timetable, now_us));
    }
}

static void consider(struct daemon *daemon) {
    if (daemon->sweep || daemon->finished || daemon->stopping) return;
    if (!settle_is_under_way(&daemon->engine)) consider_sweep(daemon);
    if (!daemon->sweep && !daemon->once) settle_ask(&daemon->engine);
}

/* Not inside the call: the engine may be stopping. */
static void on_settle_over(void *context) {
    struct daemon *daemon = context;
    ev_feed_event(daemon->engine.loop, &daemon->tick, EV_TIMER);
}

static void on_tick(struct ev_loop *loop, struct ev_timer *timer, int events) {
    (void)loop, (void)events;
    struct daemon *daemon = DAEMON_OF(timer, tick);
    requests_tick(daemon->requests);
    consider(daemon);
}

/* ---- the end of a sweep ---- */

static int once_status(const struct daemon *daemon, const struct sweep_report *report) {
    if (report->journal_failed || !journal_can_sign(daemon->engine.journal)) return EX_IOERR;
    if (report->faulty) return EX_CONFIG;
    return report->waits || report->ended_early ? EX_TEMPFAIL : EX_OK;
}

static void put_in_force(struct daemon *daemon);

/* Not inside the sweep's own call: it is freed here. */
static void on_reap(struct ev_loop *loop, struct ev_timer *timer, int events) {
    (void)events;
    struct daemon *daemon = DAEMON_OF(timer, reap);
    sweep_free(daemon->finished);
    daemon->finished = NULL;
    if (daemon->once || daemon->stopping) {
        ev_break(loop, EVBREAK_ALL);
        return;
    }
    if (daemon->next) put_in_force(daemon);
    consider(daemon);
    if (!daemon->sweep) write_status(daemon);
}

static void on_sweep_done(void *context, const struct sweep_report *report) {
    struct daemon *daemon = context;
    ev_timer_stop(daemon->engine.loop, &daemon->progress);
    daemon->finished = daemon->sweep;
    daemon->sweep = NULL;
    sweep_report_log(report);
    status_note(&daemon->status, &daemon->schedule->settings, report);
    for (size_t i = 0; i < report->n_spent; i++) requests_spend(daemon->requests, report->spent[i]);
    if (report->clock_confirmed && clock_look(&daemon->clock)) on_clock_confirmed(daemon);
    timetable_end(&daemon->timetable, &daemon->schedule->settings, report, time_now_us());
    if (daemon->once) daemon->status_code = once_status(daemon, report);
    struct err err;
    if (status_keep(&daemon->status, daemon->schedule, &err)) log_warning("%s", err.text);
    char reason[512] = "";
    for (size_t i = 0; i < report->n_stores; i++)
        if (report->stores[i].down) (void)text_copy(reason, sizeof reason, report->stores[i].err.text);
    if (!*reason && report->reason) (void)text_copy(reason, sizeof reason, report->reason);
    if (!*reason && report->n_waiting) (void)text_copy(reason, sizeof reason, "what is due waits for a person: lapsectl approve");
    if (!*reason && !journal_can_sign(daemon->engine.journal)) (void)text_copy(reason, sizeof reason, unsigned_reason);
    if (report->journal_failed) (void)text_copy(reason, sizeof reason, "the journal cannot be written; nothing is destroyed without it");
    set_state(daemon, daemon->stopping ? "stopping" : *reason ? "waiting" : "idle", reason);
    ev_timer_set(&daemon->reap, 0., 0.);
    ev_timer_start(daemon->engine.loop, &daemon->reap);
}

/* ---- the schedule ---- */

static struct schedule *load(const char *path) {
    struct arena *arena = arena_new();
    struct faults faults = {.arena = arena};
    struct schedule *schedule = NULL;
    struct err err;
    if (schedule_load(path, false, &schedule, &faults, &err)) {
        faults_log(&faults);
        log_error("%s", err.text);
    }
    arena_free(arena);
    return schedule;
}

/* The journal answers "under which rule?" alone: it holds the table itself. */
static void enter_schedule(struct daemon *daemon) {
    const struct schedule *schedule = daemon->schedule;
    struct arena *arena = arena_new();
    struct entry_rule *rules = ARENA_ARRAY(arena, struct entry_rule, schedule->n_rules);
    for (size_t i = 0; i < schedule->n_rules; i++) {
        const struct rule *rule = &schedule->rules[i];
        rules[i] = (struct entry_rule){
            .data = rule->data, .keep = schedule_keep_text(arena, rule->keep, rule->n_keep), .basis = rule->basis,
            .anonymize = rule->n_anonymize ? schedule_keep_text(arena, rule->anonymize, rule->n_anonymize) : NULL,
            .at_least = rule->at_least.count ? arena_strdup(arena, period_format(rule->at_least).text) : NULL};
    }
    const struct entry entry = {.event = ENTRY_SCHEDULE, .schedule = schedule->sha256, .rules = rules, .n_rules = schedule->n_rules};
    journal_append(daemon->engine.journal, &entry, NULL);
    arena_free(arena);
}

/* Swaps the schedules while nothing runs; if the new stores cannot even be opened, the old schedule stays. */
static void put_in_force(struct daemon *daemon) {
    struct err err;
    struct schedule *old = daemon->schedule;
    engine_stop(&daemon->engine);
    if (engine_start(&daemon->engine, daemon->next, &err)) {
        log_error("%s, keeping the old schedule", err.text);
        schedule_free(daemon->next);
        daemon->next = NULL;
        if (engine_start(&daemon->engine, old, &err)) {
            log_error("%s", err.text);
            daemon->status_code = err_exit_status(err.code);
            daemon->stopping = true;
            ev_break(daemon->engine.loop, EVBREAK_ALL);
        }
        return;
    }
    if (strcmp(old->settings.journal_folder, daemon->next->settings.journal_folder) != 0)
        log_warning("journal.folder changed; the journal stays where it is until the next start");
    daemon->schedule = daemon->next;
    daemon->next = NULL;
    status_reset(&daemon->status, daemon->schedule, time_now_us());
    schedule_free(old);
    enter_schedule(daemon);
    daemon->timetable.retry_us = 0;
    log_notice("the new schedule is in force: %zu rules, %zu targets", daemon->schedule->n_rules, daemon->schedule->n_targets);
    write_status(daemon);
}

static void on_hup(struct ev_loop *loop, struct ev_signal *watcher, int events) {
    (void)loop, (void)events;
    struct daemon *daemon = DAEMON_OF(watcher, hup);
    if (daemon->stopping) return;
    (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)time_monotonic_us());
    struct schedule *schedule = load(daemon->config_path);
    if (!schedule) {
        log_error("the schedule is faulty, keeping the old schedule");
        set_state(daemon, daemon->status.state, "a reload found the schedule faulty; the old one is still in force");
    } else {
        schedule_free(daemon->next);
        daemon->next = schedule;
        if (daemon->sweep) sweep_end_early(daemon->sweep);
        else if (!daemon->finished) put_in_force(daemon);
    }
    (void)sd_notify(0, "READY=1");
    consider(daemon);
}

static void on_usr1(struct ev_loop *loop, struct ev_signal *watcher, int events) {
    (void)loop, (void)events;
    struct daemon *daemon = DAEMON_OF(watcher, usr1);
    daemon->sweep_now = true;
    consider(daemon);
}

/* ---- stopping ---- */

static void on_grace(struct ev_loop *loop, struct ev_timer *timer, int events) {
    (void)loop, (void)events;
    log_warning("the batches in flight take too long, interrupting them");
    engine_interrupt(&DAEMON_OF(timer, grace)->engine);
}

static void stop(struct daemon *daemon) {
    if (daemon->stopping && daemon->sweep) engine_interrupt(&daemon->engine); /* asked twice */
    if (daemon->stopping) return;
    daemon->stopping = true;
    (void)sd_notify(0, "STOPPING=1");
    set_state(daemon, "stopping", "");
    if (daemon->sweep) {
        sweep_end_early(daemon->sweep);
        ev_timer_set(&daemon->grace, stop_grace_seconds, 0.);
        ev_timer_start(daemon->engine.loop, &daemon->grace);
    } else if (!daemon->finished) {
        ev_break(daemon->engine.loop, EVBREAK_ALL);
    }
}

static void on_term(struct ev_loop *loop, struct ev_signal *watcher, int events) {
    (void)loop, (void)events;
    stop(DAEMON_OF(watcher, term));
}

static void on_interrupt(struct ev_loop *loop, struct ev_signal *watcher, int events) {
    (void)loop, (void)events;
    stop(DAEMON_OF(watcher, interrupt));
}

/* ---- start ---- */

static void look_at_room(struct engine *engine) {
    int64_t left;
    if (journal_has_room(engine->journal, &left)) {
        veto_lift(engine, VETO_JOURNAL, NULL);
        return;
    }
    char reason[300];
    (void)snprintf(reason, sizeof reason, "the journal's disk is full (%s KiB left), and what is begun must be entered to its end", text_number(left >> 10).text);
    veto_set(engine, VETO_JOURNAL, NULL, "disk-full", reason);
}

/* What nobody could prove afterwards is not begun. */
static void look_at_signing(struct daemon *daemon) {
    bool can_sign = journal_can_sign(daemon->engine.journal);
    if (can_sign) veto_lift(&daemon->engine, VETO_UNSIGNED, NULL);
    else veto_set(&daemon->engine, VETO_UNSIGNED, NULL, "journal-unsigned", unsigned_reason);
    bool changes = can_sign ? text_equal(daemon->status.reason, unsigned_reason) : text_equal(daemon->status.state, "idle");
    if (!daemon->sweep && changes) set_idle(daemon);
}

static void on_wake(struct ev_loop *loop, struct ev_async *watcher, int events) {
    (void)loop, (void)events;
    struct engine *engine = (struct engine *)(void *)((char *)watcher - offsetof(struct engine, wake));
    look_at_room(engine); /* before the intents come back that were refused for want of it */
    look_at_signing(DAEMON_OF(engine, engine));
    engine_collect(engine);
}

static void wake_for_journal(void *context) {
    struct engine *engine = context;
    ev_async_send(engine->loop, &engine->wake);
}

static void on_watchdog(struct ev_loop *loop, struct ev_timer *timer, int events) {
    (void)loop, (void)timer, (void)events;
    (void)sd_notify(0, "WATCHDOG=1");
}

static int make_folder(const char *path, unsigned mode, struct err *err) {
    if (!mkdir(path, (mode_t)mode) || errno == EEXIST) return 0;
    return err_set_errno(err, errno, "cannot make the folder %s", path);
}

static int open_journal(struct daemon *daemon, struct err *err) {
    const struct settings *settings = &daemon->schedule->settings;
    if (make_folder(settings->state_folder, 0750, err)) return -1;
    struct err ignored;
    (void)make_folder(settings->run_folder, 0755, &ignored); /* status is a comfort; write_status will say so */
    struct signers signers;
    if (signers_open(settings->state_folder, &signers, err)) return -1;
    daemon->vkeys[0] = note_vkey(signer_public(signers.items[0]));
    if (signers.count > 1) daemon->vkeys[1] = note_vkey(signer_public(signers.items[1]));
    daemon->n_vkeys = signers.count;
    const struct journal_conf conf = {.folder = settings->journal_folder, .keep = settings->journal_keep, .signers = signers, .segment_bytes = settings->journal_segment_bytes,
                                      .segment_age_us = settings->journal_segment_age_us, .reserve_bytes = settings->journal_reserve_bytes, .wake = wake_for_journal,
                                      .context = &daemon->engine, .seen = on_entry_seen, .seen_context = daemon};
    struct arena *arena = arena_new();
    const struct open_intent *open = NULL;
    size_t n_open = 0;
    int failed = journal_open(&conf, arena, &daemon->engine.journal, &open, &n_open, err);
    for (size_t i = 0; !failed && i < n_open; i++)
        (void)engine_remember(&daemon->engine, unsettled_new(open[i].seq, open[i].sweep, open[i].batch, open[i].store, open[i].transaction, open[i].server));
    if (n_open) log_notice("%zu batches have no outcome in the journal; their stores are asked what became of them", n_open);
    arena_free(arena);
    return failed;
}

static void watch(struct daemon *daemon) {
    struct ev_loop *loop = daemon->engine.loop;
    ev_signal_init(&daemon->hup, on_hup, SIGHUP);
    ev_signal_init(&daemon->usr1, on_usr1, SIGUSR1);
    ev_signal_init(&daemon->term, on_term, SIGTERM);
    ev_signal_init(&daemon->interrupt, on_interrupt, SIGINT);
    ev_signal_start(loop, &daemon->hup);
    ev_signal_start(loop, &daemon->usr1);
    ev_signal_start(loop, &daemon->term);
    ev_signal_start(loop, &daemon->interrupt);
    ev_timer_init(&daemon->tick, on_tick, 0., tick_seconds);
    ev_timer_init(&daemon->grace, on_grace, 0., 0.);
    ev_timer_init(&daemon->reap, on_reap, 0., 0.);
    ev_timer_init(&daemon->progress, on_progress, 2., 2.);
    uint64_t watchdog_us = 0;
    if (sd_watchdog_enabled(0, &watchdog_us) > 0) {
        ev_timer_init(&daemon->watchdog, on_watchdog, 0., (double)watchdog_us / 2e6);
        ev_timer_start(loop, &daemon->watchdog);
    }
}

/* The list of tenants that waits since an earlier run. What cannot be read stops the next sweep, which says so. */
static void know_list(struct daemon *daemon) {
    struct brakes *brakes;
    struct arena *arena = arena_new();
    const struct waiting *waiting;
    struct err err;
    if (brakes_load(daemon->schedule->settings.state_folder, &brakes, &err)) {
        log_error("%s", err.text);
        arena_free(arena);
        return;
    }
    size_t count = brakes_waiting(brakes, arena, &waiting);
    for (size_t i = 0; i < count; i++)
        if (!waiting[i].rule) (void)text_copy(daemon->engine.list_digest, sizeof daemon->engine.list_digest, waiting[i].digest);
    brakes_free(brakes);
    arena_free(arena);
}

/* Whether all that was to be entered is on disk and signed. */
static bool close_all(struct daemon *daemon) {
    engine_stop(&daemon->engine);
    bool whole = journal_close(daemon->engine.journal);
    requests_free(daemon->requests);
    while (daemon->engine.unsettled) engine_forget(&daemon->engine, daemon->engine.unsettled->seq);
    vetoes_clear(&daemon->engine);
    status_free(&daemon->status);
    return whole;
}

static int start(struct daemon *daemon, struct err *err) {
    daemon->engine.loop = ev_default_loop(EVFLAG_AUTO);
    if (!daemon->engine.loop) return err_set(err, ERR_BUG, "no event loop could be made");
    ev_async_init(&daemon->engine.wake, on_wake);
    ev_async_start(daemon->engine.loop, &daemon->engine.wake);
    watch(daemon);
    const struct requests_owner owner = {.context = daemon, .changed = on_requests_changed, .busy = is_busy, .accept_clock = on_clock_accepted};
    daemon->requests = requests_new(&daemon->engine, &owner);
    daemon->engine.tenants_read = on_tenants_read;
    daemon->engine.tenants_context = daemon;
    daemon->engine.settle_over = on_settle_over;
    daemon->engine.settle_context = daemon;
    if (open_journal(daemon, err)) {
        requests_free(daemon->requests);
        return -1;
    }
    if (engine_start(&daemon->engine, daemon->schedule, err)) {
        (void)journal_close(daemon->engine.journal);
        requests_free(daemon->requests);
        return -1;
    }
    clock_start(&daemon->clock, &daemon->engine);
    daemon->engine.clock = &daemon->clock;
    status_reset(&daemon->status, daemon->schedule, time_now_us());
    const char *keys[SIGNERS_MOST];
    for (size_t i = 0; i < daemon->n_vkeys; i++) keys[i] = daemon->vkeys[i].text;
    const struct entry entry = {.event = ENTRY_START, .version = VERSION, .keys = keys, .n_keys = daemon->n_vkeys};
    journal_append(daemon->engine.journal, &entry, NULL);
    enter_schedule(daemon);
    know_list(daemon);
    if (!requests_start(daemon->requests, daemon->schedule->settings.state_folder, err)) return 0;
    (void)close_all(daemon);
    return -1;
}

static void end(struct daemon *daemon) {
    requests_stop(daemon->requests);
    const struct entry entry = {.event = ENTRY_STOP, .trigger = daemon->once ? "once" : "signal"};
    journal_append(daemon->engine.journal, &entry, NULL);
    bool whole = close_all(daemon);
    if (daemon->once && !whole && !daemon->status_code) daemon->status_code = EX_IOERR;
    ev_loop_destroy(daemon->engine.loop);
    schedule_free(daemon->next);
    schedule_free(daemon->schedule);
}

int daemon_run(const char *config_path, bool once) {
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is a write that fails */
    struct schedule *schedule = load(config_path);
    if (!schedule) return EX_CONFIG;
    struct daemon daemon = {.config_path = config_path, .once = once, .schedule = schedule};
    struct err err;
    if (start(&daemon, &err)) {
        log_error("%s", err.text);
        schedule_free(schedule);
        return err_exit_status(err.code);
    }
    log_notice("%zu rules, %zu targets in %zu stores; journal in %s", schedule->n_rules, schedule->n_targets, schedule->n_stores,
               schedule->settings.journal_folder);
    set_state(&daemon, "idle", "");
    (void)sd_notify(0, "READY=1");
    daemon.status.n_holds = (int64_t)daemon.engine.holds->count;
    consider(&daemon);
    if (!daemon.status_code) ev_run(daemon.engine.loop, 0);
    end(&daemon);
    return daemon.status_code;
}

int daemon_test(const char *config_path) {
    struct schedule *schedule = load(config_path);
    if (!schedule) return EX_CONFIG;
    (void)printf("%s: %zu rules, %zu targets in %zu stores; no faults (lapsectl check also asks the stores)\n", schedule->schedule_path,
                 schedule->n_rules, schedule->n_targets, schedule->n_stores);
    schedule_free(schedule);
    return EX_OK;
}
