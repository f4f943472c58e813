#include "sweep/requests.h"

#include "base/log.h"
#include "base/time.h"
#include "request/request.h"
#include "request/spool.h"
#include "sweep/keeper.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_AT_ONCE = 1024, MOST_REFUSALS = 30 }; /* refusals: that are entered one by one, in a minute */
static const int64_t MINUTE_US = 60 * TIME_SECOND_US;

/* A file of the spool that is being dealt with. */
struct asked {
    struct journal_ticket ticket;
    struct requests *requests;
    struct arena *arena;
    struct asked *next;
    const char *name;
    bool known_id; /* the name is an id, so that there is where to put the answer */
    const char *request_sha256;
    struct request request;
    const char *code;   /* refused; NULL: accepted */
    struct entry entry; /* what the ledger takes when it is on disk */
    bool on_disk;
    bool told_to_wait;
    bool stuck; /* it cannot be removed: answered, and left alone */
    bool quiet; /* refused, and only counted */
};

struct requests {
    struct engine *engine;
    struct requests_owner owner;
    struct ledger *ledger;
    struct spool *spool;
    char *state_folder;
    struct asked *asked;
    struct ev_io arrival;
    struct ev_prepare settle;
    int64_t stood_us; /* when the journal was last told what stands */
    bool more;        /* the last look was not at everything */
    int64_t refusals_since_us; /* monotonic: when the minute began in which these were refused */
    size_t n_entered, n_quiet;
    bool stopped;
};

#define REQUESTS_OF(watcher, member) ((struct requests *)(void *)((char *)(watcher) - offsetof(struct requests, member)))

static void scan(struct requests *requests);

static const struct settings *settings_of(const struct requests *requests) { return &requests->engine->schedule->settings; }

/* ---- what stands ---- */

static void write_copy(struct requests *requests) {
    __attribute__((cleanup(buf_free))) struct buf json = {0}, path = {0};
    struct err err;
    ledger_json(requests->ledger, clock_sure_us(requests->engine->clock), settings_of(requests)->cooling_off_us, &json);
    buf_printf(&path, "%s/" LEDGER_COPY, requests->state_folder);
    if (text_replace_file(buf_text(&path), buf_text(&json), json.length, 0640, &err)) log_warning("%s, lapsectl does not see the holds", err.text);
}

void requests_refresh(struct requests *requests) {
    write_copy(requests);
    requests->engine->approvals = ledger_approvals(requests->ledger);
    requests->engine->holds = ledger_holds(requests->ledger, clock_sure_us(requests->engine->clock), settings_of(requests)->cooling_off_us);
    requests->engine->holds_version++;
}

static struct entry hold_entry(const struct requests *requests, const struct hold *hold, const char *outcome) {
    return (struct entry){.event = ENTRY_HOLD, .outcome = outcome, .id = hold->id, .author = hold->author, .scope = hold_scope_name(hold->scope),
                          .tenant = hold->tenant, .rule = hold->rule, .ground = hold->ground, .placed_us = hold->since_us,
                          .released_us = hold->released_us, .request = ledger_hold_request(requests->ledger, hold->id)};
}

static struct entry approve_entry(const struct approval *approval, const char *outcome) {
    return (struct entry){.event = ENTRY_APPROVE, .outcome = outcome, .id = approval->id, .author = approval->author, .rule = approval->rule,
                          .tenant = approval->tenant, .digest = approval->digest, .placed_us = approval->at_us, .request = approval->request};
}

/* What a digest is of: *ret_rule NULL = the list of tenants. */
static bool find_digest(const struct requests *requests, const char *digest, const char **ret_rule) {
    const struct schedule *schedule = requests->engine->schedule;
    *ret_rule = NULL;
    if (!strcmp(requests->engine->list_digest, digest)) return true;
    for (size_t i = 0; i < schedule->n_rules; i++) {
        *ret_rule = schedule->rules[i].data;
        if (!strcmp(rule_digest(schedule, &schedule->rules[i]).text, digest)) return true;
    }
    *ret_rule = NULL;
    return false;
}

static void close_approval(struct requests *requests, const struct approval *approval, const char *outcome) {
    const struct entry entry = approve_entry(approval, outcome);
    journal_append(requests->engine->journal, &entry, NULL);
    ledger_note(requests->ledger, &entry);
}

void requests_spend(struct requests *requests, const char *approval_id) {
    const struct approvals *open = ledger_approvals(requests->ledger);
    for (size_t i = open->count; i-- > 0;)
        if (!strcmp(open->items[i].id, approval_id)) close_approval(requests, &open->items[i], "spent");
    requests_refresh(requests);
}

/* Its time was taken back: nobody can tell what was due when it was given. */
static bool is_of_the_future(const struct requests *requests, const struct approval *approval) {
    struct clock *clock = requests->engine->clock;
    if (!clock_look(clock) || approval->at_us <= time_now_us() + settings_of(requests)->clock_tolerance_us) return false;
    log_warning("an approval of user %lld was given by a clock that was ahead; it is void, and what it was for waits for another one", (long long)approval->author);
    return true;
}

/* What nobody can find any more is void; the rest is said again. */
static void approvals_stand(struct requests *requests) {
    const struct approvals *open = ledger_approvals(requests->ledger);
    const char *ignored;
    for (size_t i = open->count; i-- > 0;) {
        if (!find_digest(requests, open->items[i].digest, &ignored) || is_of_the_future(requests, &open->items[i])) {
            close_approval(requests, &open->items[i], "void");
            continue;
        }
        const struct entry entry = approve_entry(&open->items[i], "stands");
        journal_append(requests->engine->journal, &entry, NULL);
    }
}

/* Its entry stands before whatever is entered now, but it has not taken effect yet: what is said of the pause behind it would bring that back
 * at the next start, when the segment with its end is gone. */
static bool resume_is_on_its_way(const struct requests *requests) {
    for (const struct asked *asked = requests->asked; asked; asked = asked->next)
        if (!asked->on_disk && !asked->code && asked->request.kind == REQUEST_RESUME) return true;
    return false;
}

void requests_stand(struct requests *requests) {
    approvals_stand(requests);
    requests_refresh(requests);
    requests->stood_us = time_now_us();
    for (size_t i = 0; i < requests->engine->holds->count; i++) {
        const struct hold *hold = &requests->engine->holds->items[i];
        struct entry entry = hold_entry(requests, hold, "stands");
        entry.members = hold->members;
        entry.n_members = hold->n_members;
        journal_append(requests->engine->journal, &entry, NULL);
    }
    const struct pause *pause = ledger_pause(requests->ledger);
    if (!pause || resume_is_on_its_way(requests)) return;
    const struct entry entry = {.event = ENTRY_PAUSE, .outcome = "stands", .id = pause->id, .author = pause->author, .ground = pause->ground,
                                .placed_us = pause->since_us, .request = pause->request};
    journal_append(requests->engine->journal, &entry, NULL);
}

static bool widen(struct requests *requests, const struct hold *hold, const struct tenants *tenants, struct arena *arena) {
    const char **ids;
    size_t count = hold->scope == HOLD_SUBTREE ? holds_new_members(hold, tenants, arena, &ids) : 0;
    if (!count) return false;
    struct entry entry = hold_entry(requests, hold, "widened");
    entry.members = ids;
    entry.n_members = count;
    journal_append(requests->engine->journal, &entry, NULL);
    ledger_note(requests->ledger, &entry);
    return true;
}

void requests_widen(struct requests *requests, const struct tenants *tenants) {
    struct arena *arena = arena_new();
    bool widened = false;
    for (size_t i = 0; i < requests->engine->holds->count; i++)
        widened |= widen(requests, &requests->engine->holds->items[i], tenants, arena);
    if (widened) requests_refresh(requests);
    arena_free(arena);
}

const struct pause *requests_pause(const struct requests *requests) { return ledger_pause(requests->ledger); }

void requests_seen(void *requests, const struct entry *entry) { ledger_note(((struct requests *)requests)->ledger, entry); }

/* ---- answers ---- */

static void drop(struct requests *requests, struct asked *asked) {
    struct asked **at = &requests->asked;
    while (*at != asked) at = &(*at)->next;
    *at = asked->next;
    arena_free(asked->arena);
}

static void tell_targets_without_tenants(const struct schedule *schedule, struct buf *to) {
    size_t count = 0;
    for (size_t i = 0; i < schedule->n_targets; i++) {
        if (!schedule->targets[i]->no_tenant) continue;
        buf_printf(to, "%s%s", count++ ? ", " : "; it does not reach what has no tenants, only --rule and --all do: ", schedule->targets[i]->name);
    }
}

/* MongoDB asks nobody before it deletes by a TTL index; the last survey saw which there are. */
static void tell_ttl_indexes(const struct survey *survey, const struct schedule *schedule, struct buf *to) {
    size_t count = 0;
    for (size_t s = 0; s < schedule->n_stores; s++)
        for (size_t i = 0; i < survey->catalogs[s].n_findings; i++) {
            const struct finding *finding = &survey->catalogs[s].findings[i];
            if (!text_equal(finding->code, "ttl-index")) continue;
            buf_printf(to, "%s%s", count++ ? ", " : "; MongoDB deletes by a TTL index, held or not, from ", finding->place);
        }
}

static void tell_hold(const struct requests *requests, const struct request *request, const char *id, struct buf *to) {
    buf_printf(to, "hold \"%s\" stands on ", id);
    if (request->scope == HOLD_ALL) buf_add(to, "everything");
    else if (request->scope == HOLD_RULE) buf_printf(to, "\"%s\"", request->rule);
    else buf_printf(to, "tenant %s%s", request->tenant, request->scope == HOLD_SUBTREE ? " and all below it" : "");
    if (request->tenant) tell_targets_without_tenants(requests->engine->schedule, to);
    keeper_tell(requests->engine->keeper, to);
    tell_ttl_indexes(&requests->engine->survey, requests->engine->schedule, to);
}

static void tell_accepted(const struct asked *asked, struct buf *to) {
    const struct requests *requests = asked->requests;
    int64_t cooling_off_us = settings_of(requests)->cooling_off_us;
    const struct hold *hold;
    const char *rule = NULL;
    switch (asked->request.kind) {
    case REQUEST_HOLD:
        hold = ledger_hold(requests->ledger, asked->name);
        if (hold && hold->released_us != TIME_FOREVER) buf_printf(to, "hold \"%s\" was placed and released again", asked->name);
        else tell_hold(requests, &asked->request, asked->name, to);
        return;
    case REQUEST_RELEASE:
        hold = ledger_hold(requests->ledger, asked->request.hold);
        buf_printf(to, "hold \"%s\" is released; it still counts until %s", asked->request.hold,
                   hold && hold->released_us != TIME_FOREVER ? time_format_seconds(hold->released_us + cooling_off_us).text : "its cooling-off time is over");
        return;
    case REQUEST_PAUSE: buf_add(to, "lapsed is paused: nothing is destroyed until \"lapsectl resume\""); return;
    case REQUEST_RESUME: buf_add(to, "lapsed goes on"); return;
    case REQUEST_CLOCK: buf_add(to, "the present time is accepted"); return;
    case REQUEST_APPROVE:
        (void)find_digest(requests, asked->request.digest, &rule);
        if (!rule) buf_add(to, "the list of tenants is taken as it is; the next sweep goes by it");
        else buf_printf(to, "approved: what is due now under \"%s\"%s%s goes with the next sweep", rule, asked->request.tenant ? " of tenant " : "",
                        asked->request.tenant ? asked->request.tenant : "");
        return;
    }
}

static int write_answer(const struct asked *asked, const char *outcome, const char *text, struct err *err) {
    __attribute__((cleanup(buf_free))) struct buf json = {0};
    buf_printf(&json, "{\"v\":1,\"id\":\"%s\",\"outcome\":\"%s\",\"code\":", asked->name, outcome);
    if (asked->code) buf_printf(&json, "\"%s\"", asked->code);
    else buf_add(&json, "null");
    buf_printf(&json, ",\"request\":\"%s\",\"text\":", asked->request_sha256 ? asked->request_sha256 : "");
    buf_add_json(&json, text);
    buf_add(&json, "}\n");
    return spool_answer(asked->requests->spool, asked->name, buf_text(&json), err);
}

/* True: it is answered for good and gone. */
static bool answer(struct asked *asked) {
    struct requests *requests = asked->requests;
    __attribute__((cleanup(buf_free))) struct buf text = {0}, why = {0};
    struct err err;
    bool accepted = !asked->code, hold = accepted && asked->request.kind == REQUEST_HOLD, pause = accepted && asked->request.kind == REQUEST_PAUSE;
    if ((hold && requests->owner.busy(requests->owner.context, ledger_hold(requests->ledger, asked->name), &why)) ||
        (pause && requests->owner.busy(requests->owner.context, NULL, &why))) {
        buf_printf(&text, "it binds already, but it is not acknowledged yet: %s", buf_text(&why));
        if (!asked->told_to_wait && write_answer(asked, "waits", buf_text(&text), &err)) log_warning("%s", err.text);
        asked->told_to_wait = true;
        return false;
    }
    if (accepted) tell_accepted(asked, &text);
    else buf_printf(&text, "refused: %s", request_refusal_text(asked->code));
    /* Whoever may not ask at all gets no file for each of his own. */
    bool mute = asked->quiet && text_equal(asked->code, "not-permitted");
    if (asked->known_id && !mute && write_answer(asked, accepted ? "accepted" : "refused", buf_text(&text), &err)) log_warning("%s", err.text);
    if (!spool_remove(requests->spool, asked->name, &err)) {
        drop(requests, asked);
        return true;
    }
    log_error("%s; it is left alone", err.text);
    asked->stuck = true;
    return false;
}

static bool is_waiting(const struct asked *asked) { return asked->on_disk && !asked->stuck; }

/* Runs in every round of the loop while an answer waits for a batch to end. */
static void on_settle(struct ev_loop *loop, struct ev_prepare *watcher, int events) {
    (void)events;
    struct requests *requests = REQUESTS_OF(watcher, settle);
    bool waiting = false;
    for (struct asked *asked = requests->asked, *next; asked; asked = next) {
        next = asked->next;
        if (is_waiting(asked) && !answer(asked)) waiting |= !asked->stuck;
    }
    if (!waiting) ev_prepare_stop(loop, watcher);
    if (!requests->more || requests_pending(requests)) return;
    scan(requests);
    if (ev_is_active(watcher)) ev_async_send(loop, &requests->engine->wake); /* in the next round */
}

/* ---- too many refusals ---- */

/* Others may put files into the spool than may ask for anything: they must not fill the journal with them. */
static void enter_quiet(struct requests *requests) {
    if (!requests->n_quiet) return;
    const struct entry entry = {.event = ENTRY_FINDING, .sweep = journal_last_sweep(requests->engine->journal), .code = "requests-refused", .count = (int64_t)requests->n_quiet};
    journal_append(requests->engine->journal, &entry, NULL);
    log_warning("%zu further requests were refused; only their number is in the journal", requests->n_quiet);
    requests->n_quiet = 0;
}

static void begin_minute(struct requests *requests) {
    int64_t now_us = time_monotonic_us();
    if (requests->refusals_since_us && now_us - requests->refusals_since_us < MINUTE_US) return;
    enter_quiet(requests);
    requests->refusals_since_us = now_us;
    requests->n_entered = 0;
}

static bool is_one_too_many(struct requests *requests) {
    begin_minute(requests);
    if (requests->n_entered < MOST_REFUSALS) {
        requests->n_entered++;
        return false;
    }
    requests->n_quiet++;
    return true;
}

/* ---- a request ---- */

static void on_journaled(struct journal_ticket *ticket, const struct err *err) {
    struct asked *asked = (struct asked *)(void *)ticket;
    struct requests *requests = asked->requests;
    if (err || requests->stopped) { /* it is still in the spool, to be read again */
        drop(requests, asked);
        return;
    }
    asked->on_disk = true;
    if (asked->code) log_warning("a request of user %lld was refused: %s", (long long)asked->entry.author, request_refusal_text(asked->code));
    else log_notice("%s of user %lld is in the journal", request_kind_name(asked->request.kind), (long long)asked->entry.author);
    if (!asked->code) {
        /* As it is read at a start. */
        int64_t latest_us = requests->engine->clock->latest_us;
        if (asked->request.kind != REQUEST_CLOCK && asked->entry.time_us < latest_us) asked->entry.time_us = latest_us;
        ledger_note(requests->ledger, &asked->entry);
        requests_refresh(requests);
        if (asked->request.kind == REQUEST_CLOCK) requests->owner.accept_clock(requests->owner.context);
    }
    ev_prepare_start(requests->engine->loop, &requests->settle);
    if (!asked->code || !requests_pending(requests)) requests->owner.changed(requests->owner.context);
    if (requests->more && !requests_pending(requests)) scan(requests);
}

static struct entry entry_of(const struct asked *asked, int64_t author) {
    const struct request *request = &asked->request;
    static const enum entry_event events[] = {[REQUEST_HOLD] = ENTRY_HOLD, [REQUEST_RELEASE] = ENTRY_RELEASE, [REQUEST_PAUSE] = ENTRY_PAUSE, [REQUEST_RESUME] = ENTRY_RESUME,
                                              [REQUEST_APPROVE] = ENTRY_APPROVE, [REQUEST_CLOCK] = ENTRY_CLOCK};
    struct entry entry = {.event = asked->code ? ENTRY_REFUSE : events[request->kind], .time_us = time_now_us(),
                          .id = asked->known_id ? asked->name : NULL, .author = author, .request = asked->request_sha256, .code = asked->code,
                          .outcome = "placed", .scope = hold_scope_name(request->scope), .tenant = request->tenant, .rule = request->rule,
                          .ground = request->ground, .hold = request->hold, .digest = request->digest, .released_us = TIME_FOREVER};
    struct clock *clock = asked->requests->engine->clock;
    if (request->kind == REQUEST_CLOCK) entry.placed_us = clock->latest_us;
    else entry.placed_us = request->kind == REQUEST_APPROVE ? clock_believed_us(clock) : entry.time_us;
    if (request->kind == REQUEST_APPROVE && !asked->code) (void)find_digest(asked->requests, request->digest, &entry.rule);
    if (request->kind == REQUEST_APPROVE) entry.rule = arena_strdup(asked->arena, entry.rule); /* a reload may come before it is on disk */
    return entry;
}

/* NULL: it is to be carried out. *ret_repeated: it was already. */
static const char *judge(struct asked *asked, const struct spool_item *item, bool *ret_repeated) {
    const struct requests *requests = asked->requests;
    if (item->fault) return item->fault;
    const char *code = request_read(asked->arena, item->bytes, item->length, &asked->request);
    if (code) return code;
    if (item->author < 0 || !request_is_permitted(settings_of(requests), asked->request.kind, (uint32_t)item->author, geteuid())) return "not-permitted";
    const char *before = ledger_request(requests->ledger, asked->name);
    if (before && strcmp(before, item->sha256) != 0) return "conflict";
    *ret_repeated = before != NULL;
    if (before) return NULL;
    if (asked->request.kind == REQUEST_RELEASE && !ledger_hold(requests->ledger, asked->request.hold)) return "hold-unknown";
    const char *ignored;
    if (asked->request.kind == REQUEST_APPROVE && !find_digest(requests, asked->request.digest, &ignored)) return "digest-unknown";
    return request_misfit(&asked->request, requests->engine->schedule);
}

static bool is_asked(const struct requests *requests, const char *name) {
    for (const struct asked *asked = requests->asked; asked; asked = asked->next)
        if (!strcmp(asked->name, name)) return true;
    return false;
}

static void take(struct requests *requests, const char *name) {
    if (is_asked(requests, name)) return;
    struct arena *arena = arena_new();
    struct spool_item item;
    if (!spool_read(requests->spool, arena, name, &item)) {
        arena_free(arena);
        return;
    }
    struct asked *asked = ARENA_NEW(arena, struct asked);
    *asked = (struct asked){.ticket.done = on_journaled, .requests = requests, .arena = arena, .name = arena_strdup(arena, name),
                            .known_id = request_is_id(name), .next = requests->asked};
    if (!item.fault) asked->request_sha256 = arena_strdup(arena, item.sha256);
    requests->asked = asked;
    bool repeated = false;
    asked->code = judge(asked, &item, &repeated);
    asked->quiet = asked->code && is_one_too_many(requests);
    if (repeated || asked->quiet) {
        asked->on_disk = true;
        ev_prepare_start(requests->engine->loop, &requests->settle);
        return;
    }
    asked->entry = entry_of(asked, item.author);
    journal_append(requests->engine->journal, &asked->entry, &asked->ticket);
}

/* ---- the spool ---- */

static void scan(struct requests *requests) {
    struct arena *arena = arena_new();
    const char *const *names = NULL;
    size_t count = 0;
    struct err err;
    if (spool_list(requests->spool, arena, MOST_AT_ONCE, &names, &count, &err)) log_warning("%s, looking again later", err.text);
    requests->more = count == MOST_AT_ONCE;
    for (size_t i = 0; i < count; i++) take(requests, names[i]);
    arena_free(arena);
}

static void on_arrival(struct ev_loop *loop, struct ev_io *watcher, int events) {
    (void)loop, (void)events;
    struct requests *requests = REQUESTS_OF(watcher, arrival);
    spool_drain(requests->spool);
    scan(requests);
}

bool requests_pending(const struct requests *requests) {
    for (const struct asked *asked = requests->asked; asked; asked = asked->next)
        if (!asked->on_disk) return true;
    return false;
}

/* Often enough that the journal never removes the last entry of what stands. */
static int64_t stand_every_us(const struct requests *requests) {
    struct period keep = settings_of(requests)->journal_keep;
    int64_t half_us = keep.count ? period_after(0, keep) / 2 : TIME_DAY_US;
    return half_us < TIME_DAY_US ? half_us : TIME_DAY_US;
}

void requests_tick(struct requests *requests) {
    int64_t now_us = time_now_us();
    scan(requests);
    begin_minute(requests);
    if (now_us - requests->stood_us < stand_every_us(requests) && now_us >= requests->stood_us) return;
    requests_stand(requests);
    spool_tidy(requests->spool, now_us);
}

/* ---- birth and death ---- */

struct requests *requests_new(struct engine *engine, const struct requests_owner *owner) {
    struct requests *requests = xcalloc(1, sizeof *requests);
    *requests = (struct requests){.engine = engine, .owner = *owner, .ledger = ledger_new()};
    return requests;
}

int requests_start(struct requests *requests, const char *state_folder, struct err *err) {
    if (spool_open(state_folder, &requests->spool, err)) return -1;
    requests->state_folder = xstrdup(state_folder);
    ev_prepare_init(&requests->settle, on_settle);
    if (spool_watch(requests->spool) >= 0) {
        ev_io_init(&requests->arrival, on_arrival, spool_watch(requests->spool), EV_READ);
        ev_io_start(requests->engine->loop, &requests->arrival);
    }
    requests_tick(requests);
    return 0;
}

void requests_stop(struct requests *requests) {
    if (!requests || !requests->spool) return;
    requests->stopped = true;
    enter_quiet(requests);
    ev_io_stop(requests->engine->loop, &requests->arrival);
    ev_prepare_stop(requests->engine->loop, &requests->settle);
}

void requests_free(struct requests *requests) {
    if (!requests) return;
    while (requests->asked) drop(requests, requests->asked);
    requests->engine->holds = NULL;
    requests->engine->approvals = NULL;
    spool_close(requests->spool);
    ledger_free(requests->ledger);
    free(requests->state_folder);
    free(requests);
}
