#include "schedule/brake.h"

#include "base/text.h"
#include "base/time.h"
#include "schedule/brake_state.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What accumulated for longer than this is more than a rule's history explains. */
static const int64_t longest_window_us = 7 * TIME_DAY_US;

static const struct brake_rule *find(const struct brakes *brakes, const char *rule) {
    for (size_t i = 0; i < brakes->n_rules; i++)
        if (!strcmp(brakes->rules[i].rule, rule)) return &brakes->rules[i];
    return NULL;
}

bool brakes_ran(const struct brakes *brakes, const struct rule *rule, const char *reach) {
    const struct brake_rule *known = find(brakes, rule->data);
    return known && !strcmp(known->reach, reach);
}

/* ---- limits ---- */

/* The time in which what is due now became due: since the rule last had leave, at least one period of sweeps. */
static int64_t window_us(const struct brake_rule *known, const struct settings *settings, int64_t now_us) {
    int64_t elapsed_us = known && known->ran_us && known->ran_us < now_us ? now_us - known->ran_us : 0;
    if (elapsed_us > longest_window_us) elapsed_us = longest_window_us;
    return elapsed_us > settings->sweep_every_us ? elapsed_us : settings->sweep_every_us;
}

static int64_t multiplied(int64_t amount, int64_t factor) {
    int64_t product;
    return __builtin_mul_overflow(amount, factor, &product) ? INT64_MAX : product;
}

/* What the last runs explain, by the pace at which it became due: a backlog of years is not what a night brings. */
static int64_t explained(const struct brake_rule *known, size_t offset, int64_t window) {
    int64_t most = 0;
    for (size_t i = 0; known && i < known->n_runs; i++) {
        const struct brake_run *run = &known->runs[i];
        int64_t amount = *(const int64_t *)(const void *)((const char *)run + offset);
        /* A longer window than the run's brings more. */
        double pace = (double)amount / (double)(run->span_us > 0 ? run->span_us : window) * (double)window;
        int64_t now = pace >= 9e18 ? INT64_MAX : (int64_t)(pace + .999);
        if (now > most) most = now;
    }
    return most;
}

static int64_t limit(int64_t least, int64_t growth, int64_t history) {
    if (!least || !growth) return 0;
    int64_t grown = multiplied(history, growth);
    return grown > least ? grown : least;
}

static int64_t most_tenants(const struct brake_rule *known) {
    int64_t most = 0;
    for (size_t i = 0; known && i < known->n_runs; i++)
        if (known->runs[i].tenants > most) most = known->runs[i].tenants;
    return most;
}

struct limits {
    int64_t records, tenants, share;
};

static struct limits limits_of(const struct brake_rule *known, const struct settings *settings, int64_t now_us) {
    const struct brake_limits *set = &settings->brakes;
    int64_t window = window_us(known, settings, now_us);
    return (struct limits){.records = limit(set->records, set->growth, explained(known, offsetof(struct brake_run, records), window)),
                           .tenants = limit(set->tenants, set->growth, most_tenants(known)),
                           .share = limit(set->share, set->growth, explained(known, offsetof(struct brake_run, share), window))};
}

/* ---- the decision ---- */

static enum brake brake_on(const struct brake_rule *known, const struct brake_limits *set, const struct limits *limits,
                           const struct brake_figures *figures, const char *reach) {
    bool ran = known && *known->reach;
    if (set->first_run && !ran) return BRAKE_FIRST_RUN;
    if (set->first_run && strcmp(known->reach, reach) != 0) return BRAKE_CHANGED;
    if (figures->uncounted || figures->records > limits->records) return BRAKE_RECORDS;
    if (figures->tenants > limits->tenants) return BRAKE_TENANTS;
    if (figures->share > limits->share && (figures->records >= BRAKE_LEAST_FOR_SHARE || !limits->share)) return BRAKE_SHARE;
    return BRAKE_NONE;
}

/* "41,210 records of 12 tenants are due". */
static const char *due_text(struct arena *arena, const struct brake_figures *figures) {
    const char *records = figures->uncounted ? "more records than can be counted in time"
                                             : arena_printf(arena, "%s record%s", text_number(figures->records).text, figures->records == 1 ? "" : "s");
    bool one = figures->records == 1 && !figures->uncounted;
    if (!figures->tenants || figures->uncounted) return arena_printf(arena, "%s %s due", records, one ? "is" : "are");
    return arena_printf(arena, "%s of %s tenant%s %s due", records, text_number(figures->tenants).text, figures->tenants == 1 ? "" : "s",
                        one ? "is" : "are");
}

static const char *brief_text(enum brake brake) {
    switch (brake) {
    case BRAKE_FIRST_RUN: return "due for the first time";
    case BRAKE_CHANGED: return "changed since it last ran";
    case BRAKE_RECORDS: return "more records than usual";
    case BRAKE_TENANTS: return "more tenants than usual";
    case BRAKE_SHARE: return "a larger share than usual";
    case BRAKE_NONE: break;
    }
    return NULL;
}

static const char *why_text(struct arena *arena, enum brake brake, const struct brake_figures *figures, const struct limits *limits) {
    const char *due = due_text(arena, figures);
    switch (brake) {
    case BRAKE_FIRST_RUN: return arena_printf(arena, "%s for the first time", due);
    case BRAKE_CHANGED: return arena_printf(arena, "%s, and its places or conditions changed since it last ran", due);
    case BRAKE_RECORDS: return arena_printf(arena, "%s, its last runs explain %s", due, text_number(limits->records).text);
    case BRAKE_TENANTS: return arena_printf(arena, "%s, its last runs explain %s tenants", due, text_number(limits->tenants).text);
    case BRAKE_SHARE:
        return arena_printf(arena, "%s, %" PRId64 " %% of \"%s\", its last runs explain %" PRId64 " %%", due, figures->share,
                            figures->share_place ? figures->share_place : "", limits->share);
    case BRAKE_NONE: break;
    }
    return due;
}

/* One that was given by a clock that was ahead lets go what is due now, and not what that clock called due. */
static struct approval as_of_now(const struct approval *approval, int64_t now_us) {
    struct approval capped = *approval;
    if (capped.at_us > now_us) capped.at_us = now_us;
    return capped;
}

/* The latest word on the whole rule, and those on single tenants that reach further. */
static void take_approvals(struct leave *leave, struct arena *arena, const struct approvals *approvals, int64_t now_us) {
    leave->as_of_us = TIME_NEVER;
    struct approval *tenants = NULL;
    for (size_t i = 0; approvals && i < approvals->count; i++) {
        const struct approval approval = as_of_now(&approvals->items[i], now_us);
        if (!approval.tenant && !strcmp(approval.digest, leave->digest.text) && approval.at_us > leave->as_of_us) leave->as_of_us = approval.at_us;
    }
    for (size_t i = 0; approvals && i < approvals->count; i++) {
        const struct approval approval = as_of_now(&approvals->items[i], now_us);
        if (approval.tenant && !strcmp(approval.digest, leave->digest.text) && approval.at_us > leave->as_of_us)
            *ARENA_APPEND(arena, tenants, leave->n_tenants) = approval;
    }
    leave->tenants = tenants;
}

struct leave brakes_judge(const struct brakes *brakes, struct arena *arena, const struct schedule *schedule, const struct rule *rule,
                          const struct brake_figures *figures, const struct approvals *approvals, int64_t now_us) {
    const struct settings *settings = &schedule->settings;
    const struct brake_rule *known = find(brakes, rule->data);
    const struct limits limits = limits_of(known, settings, now_us);
    struct leave leave = {.digest = rule_digest(schedule, rule), .as_of_us = now_us};
    leave.brake = brake_on(known, &settings->brakes, &limits, figures, leave.digest.reach);
    int64_t counted = figures->records + figures->blocked;
    leave.most = figures->uncounted ? INT64_MAX : limits.records > counted ? limits.records : counted;
    if (leave.brake == BRAKE_NONE) return leave;
    take_approvals(&leave, arena, approvals, now_us);
    if (leave.as_of_us == TIME_NEVER && (figures->records || figures->uncounted)) {
        leave.brief = brief_text(leave.brake);
        leave.text = arena_printf(arena, "\"%s\": %s; nothing is destroyed until \"lapsectl approve %.8s\"", rule->data,
                                  why_text(arena, leave.brake, figures, &limits), leave.digest.text);
    }
    return leave;
}

/* ---- notes ---- */

static struct brake_rule *have(struct brakes *brakes, const char *rule) {
    const struct brake_rule *known = find(brakes, rule);
    if (known) return &brakes->rules[known - brakes->rules];
    struct brake_rule *made = ARENA_APPEND(brakes->arena, brakes->rules, brakes->n_rules);
    *made = (struct brake_rule){.rule = arena_strdup(brakes->arena, rule), .reach = ""};
    return made;
}

static void add_run(struct brakes *brakes, struct brake_rule *to, const struct brake_figures *figures, int64_t window, int64_t now_us) {
    if (!to->runs) to->runs = ARENA_ARRAY(brakes->arena, struct brake_run, MOST_RUNS);
    if (to->n_runs == MOST_RUNS) memmove(to->runs, to->runs + 1, --to->n_runs * sizeof *to->runs);
    to->runs[to->n_runs++] = (struct brake_run){.at_us = now_us, .records = figures->records, .tenants = figures->tenants, .share = figures->share,
                                                .span_us = figures->lag_us > window ? figures->lag_us : window};
}

void brakes_note(struct brakes *brakes, const struct settings *settings, const struct rule *rule, const struct brake_figures *figures,
                 const struct leave *leave, int64_t now_us) {
    struct brake_rule *to = have(brakes, rule->data);
    bool waited = to->waits;
    to->waits = leave->text != NULL;
    if (to->waits)
        to->waiting = (struct waiting){.rule = to->rule, .text = arena_strdup(brakes->arena, leave->text), .records = figures->records,
                                       .tenants = figures->tenants, .since_us = waited ? to->waiting.since_us : now_us};
    (void)text_copy(to->waiting.digest, sizeof to->waiting.digest, leave->digest.text);
    if (leave->brake != BRAKE_NONE && leave->as_of_us == TIME_NEVER) return;
    int64_t window = window_us(to, settings, now_us);
    to->reach = arena_strdup(brakes->arena, leave->digest.reach);
    if (figures->records && !figures->uncounted) add_run(brakes, to, figures, window, now_us);
    to->ran_us = now_us;
}

void brakes_forget(struct brakes *brakes, const struct schedule *schedule) {
    size_t kept = 0;
    for (size_t i = 0; i < brakes->n_rules; i++) {
        bool found = false;
        for (size_t r = 0; r < schedule->n_rules; r++) found |= !strcmp(schedule->rules[r].data, brakes->rules[i].rule);
        if (found) brakes->rules[kept++] = brakes->rules[i];
    }
    brakes->n_rules = kept;
}

/* ---- the list of tenants ---- */

static void list_digest(int64_t running, int64_t refused, char ret_digest[65]) {
    char text[96];
    unsigned char bytes[32];
    int length = snprintf(text, sizeof text, "tenants %" PRId64 " %" PRId64, running, refused);
    if (EVP_Digest(text, (size_t)length, bytes, NULL, EVP_sha256(), NULL) != 1) abort(); /* fails only without memory */
    text_hex(ret_digest, bytes);
}

static bool shrank(int64_t from, int64_t to, int64_t percent) { return from >= 0 && to < from && (from - to) * 100 > from * percent; }

static bool is_approved(const struct approvals *approvals, const char *digest) {
    for (size_t i = 0; approvals && i < approvals->count; i++)
        if (!strcmp(approvals->items[i].digest, digest)) return true;
    return false;
}

struct list_leave brakes_judge_list(const struct brakes *brakes, struct arena *arena, const struct brake_limits *limits, int64_t running,
                                    const struct approvals *approvals) {
    struct list_leave leave = {.waits = shrank(brakes->running, running, limits->shrink)};
    if (!leave.waits) return leave;
    /* A list that lost much again is not the one that waits, or that somebody looked at. */
    bool same = brakes->refused >= 0 && !shrank(brakes->refused, running, limits->shrink);
    list_digest(brakes->running, same ? brakes->refused : running, leave.digest);
    leave.waits = !is_approved(approvals, leave.digest);
    if (leave.waits)
        leave.text = arena_printf(arena, "the tenants query gave %s tenants that are running, %s in the sweep before; nothing is destroyed until \"lapsectl approve %.8s\"",
                                  text_number(running).text, text_number(brakes->running).text, leave.digest);
    return leave;
}

void brakes_note_list(struct brakes *brakes, const struct list_leave *leave, int64_t running, int64_t now_us) {
    if (!leave->waits) {
        brakes->running = running;
        brakes->refused = -1;
        return;
    }
    char digest[65];
    list_digest(brakes->running, brakes->refused, digest);
    if (brakes->refused < 0 || strcmp(digest, leave->digest) != 0) {
        brakes->refused = running;
        brakes->list.since_us = now_us;
    }
    brakes->list.text = arena_strdup(brakes->arena, leave->text);
    brakes->list.tenants = running;
    (void)text_copy(brakes->list.digest, sizeof brakes->list.digest, leave->digest);
}

/* ---- what waits ---- */

size_t brakes_waiting(const struct brakes *brakes, struct arena *arena, const struct waiting **ret_items) {
    struct waiting *items = NULL;
    size_t count = 0;
    if (brakes->refused >= 0) *ARENA_APPEND(arena, items, count) = brakes->list;
    for (size_t i = 0; i < brakes->n_rules; i++)
        if (brakes->rules[i].waits) *ARENA_APPEND(arena, items, count) = brakes->rules[i].waiting;
    *ret_items = items;
    return count;
}
