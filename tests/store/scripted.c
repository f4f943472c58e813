#include "scripted_internal.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_FAILURES = 64 };

struct failure {
    const char *store; /* NULL: any */
    enum scripted_verb verb;
    unsigned calls_left;
    enum err_code code;
    bool applied;
    bool answered;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct scripted_server server;
static struct failure failures[MOST_FAILURES];
static size_t n_failures;
static bool blocked[SCRIPTED_VERBS];
static unsigned waiting[SCRIPTED_VERBS], calls[SCRIPTED_VERBS];

struct scripted_server *scripted_server(void) { return &server; }
void scripted_enter(void) { pthread_mutex_lock(&lock); }
void scripted_leave(void) { pthread_mutex_unlock(&lock); }

void scripted_wake(void) {
    pthread_mutex_lock(&lock);
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

void scripted_reset(void) {
    scripted_enter();
    for (size_t i = 0; i < server.n_records; i++) {
        free(server.records[i].target);
        free(server.records[i].tenant);
    }
    for (size_t i = 0; i < server.n_lines; i++) free(server.lines[i].id);
    free(server.records);
    free(server.lines);
    memset(&server, 0, sizeof server);
    memset(blocked, 0, sizeof blocked);
    memset(calls, 0, sizeof calls);
    n_failures = 0;
    scripted_leave();
}

/* --- records ------------------------------------------------------------------------------------------------------- */

static struct scripted_record *find(const char *target, int number) {
    for (size_t i = 0; i < server.n_records; i++) {
        struct scripted_record *record = &server.records[i];
        if (!record->gone && record->number == number && strcmp(record->target, target) == 0) return record;
    }
    return NULL;
}

void scripted_put(const char *target, int number, const char *tenant, int64_t anchor_us) {
    scripted_enter();
    struct scripted_record *record = find(target, number);
    if (record) {
        free(record->tenant);
        record->tenant = xstrdup(tenant);
        record->anchor_us = anchor_us;
    } else {
        server.records = xrealloc(server.records, (server.n_records + 1) * sizeof *server.records);
        server.records[server.n_records++] =
            (struct scripted_record){.target = xstrdup(target), .tenant = xstrdup(tenant), .number = number, .anchor_us = anchor_us};
    }
    scripted_leave();
}

void scripted_block_record(const char *target, int number, const char *by) {
    scripted_enter();
    struct scripted_record *record = find(target, number);
    assert(record);
    record->blocked_by = by;
    scripted_leave();
}

bool scripted_has(const char *target, int number) {
    scripted_enter();
    bool has = find(target, number) != NULL;
    scripted_leave();
    return has;
}

bool scripted_is_anonymized(const char *target, int number) {
    scripted_enter();
    const struct scripted_record *record = find(target, number);
    bool anonymized = record && record->anonymized;
    scripted_leave();
    return anonymized;
}

bool scripted_is_locked(const char *target, int number) {
    scripted_enter();
    const struct scripted_record *record = find(target, number);
    bool locked = record && record->locked;
    scripted_leave();
    return locked;
}

size_t scripted_size(const char *target) {
    scripted_enter();
    size_t size = 0;
    for (size_t i = 0; i < server.n_records; i++) {
        if (!server.records[i].gone && (!target || strcmp(server.records[i].target, target) == 0)) size++;
    }
    scripted_leave();
    return size;
}

/* --- tenants and the server ---------------------------------------------------------------------------------------- */

void scripted_tenant(const char *id, const int64_t *ends, size_t n_ends) {
    scripted_enter();
    size_t at = 0;
    while (at < server.n_lines && strcmp(server.lines[at].id, id) != 0) at++;
    if (at == server.n_lines) {
        server.lines = xrealloc(server.lines, (server.n_lines + 1) * sizeof *server.lines);
        server.lines[server.n_lines++] = (struct scripted_line){.id = xstrdup(id)};
    }
    struct scripted_line *line = &server.lines[at];
    line->gone = !ends;
    for (size_t i = 0; i < MOST_ENDS; i++) line->ends[i] = ends && i < n_ends ? ends[i] : INT64_MAX;
    scripted_leave();
}

void scripted_own_tables(const char *const *names, size_t count) {
    scripted_enter();
    server.own_tables = names;
    server.n_own_tables = count;
    scripted_leave();
}

void scripted_clock(int64_t ahead_us) {
    scripted_enter();
    server.ahead_us = ahead_us;
    scripted_leave();
}

void scripted_pressure(struct pressure pressure) {
    scripted_enter();
    server.pressure = pressure;
    scripted_leave();
}

void scripted_irrevocable(bool irrevocable) {
    scripted_enter();
    server.irrevocable = irrevocable;
    scripted_leave();
}

void scripted_evidence_takes(int64_t us) {
    scripted_enter();
    server.evidence_us = us;
    scripted_leave();
}

/* --- the script ---------------------------------------------------------------------------------------------------- */

void scripted_fail(const char *store, enum scripted_verb verb, unsigned nth, enum err_code code, bool applied) {
    scripted_enter();
    assert(nth > 0 && n_failures < MOST_FAILURES);
    failures[n_failures++] = (struct failure){.store = store, .verb = verb, .calls_left = nth, .code = code, .applied = applied};
    scripted_leave();
}

void scripted_block(enum scripted_verb verb) {
    scripted_enter();
    blocked[verb] = true;
    scripted_leave();
}

void scripted_wait_blocked(enum scripted_verb verb) {
    scripted_enter();
    while (waiting[verb] == 0) pthread_cond_wait(&changed, &lock);
    scripted_leave();
}

void scripted_release(enum scripted_verb verb) {
    scripted_enter();
    blocked[verb] = false;
    pthread_cond_broadcast(&changed);
    scripted_leave();
}

unsigned scripted_calls(enum scripted_verb verb) {
    scripted_enter();
    unsigned count = calls[verb];
    scripted_leave();
    return count;
}

unsigned scripted_waiting(enum scripted_verb verb) {
    scripted_enter();
    unsigned count = waiting[verb];
    scripted_leave();
    return count;
}

unsigned scripted_parts(void) {
    scripted_enter();
    unsigned parts = server.parts;
    scripted_leave();
    return parts;
}

void scripted_time_out(const char *store, enum scripted_verb verb, unsigned nth) {
    scripted_fail(store, verb, nth, ERR_UNAVAILABLE, false);
    scripted_enter();
    failures[n_failures - 1].answered = true;
    scripted_leave();
}

static int play(const char *store, enum scripted_verb verb, bool *ret_applied, struct err *err) {
    int result = 0;
    for (size_t i = 0; i < n_failures; i++) {
        struct failure *failure = &failures[i];
        if (failure->verb != verb || failure->calls_left == 0 || (failure->store && strcmp(failure->store, store) != 0)) continue;
        if (--failure->calls_left > 0) continue;
        *ret_applied = failure->applied;
        result = err_set(err, failure->code, "store \"%s\": the script says so", store);
        if (failure->answered) (void)text_copy(err->detail, sizeof err->detail, "57014");
    }
    return result;
}

int scripted_call(const char *store, enum scripted_verb verb, const bool *interrupted, bool *ret_applied, struct err *err) {
    scripted_enter();
    *ret_applied = false;
    calls[verb]++;
    waiting[verb]++;
    if (blocked[verb]) pthread_cond_broadcast(&changed);
    while (blocked[verb] && !*interrupted) pthread_cond_wait(&changed, &lock);
    waiting[verb]--;
    if (*interrupted) return err_set(err, ERR_UNAVAILABLE, "store \"%s\": interrupted", store);
    return play(store, verb, ret_applied, err);
}
