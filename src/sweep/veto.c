#include "sweep/veto.h"

#include "base/log.h"
#include "base/time.h"
#include "sweep/engine.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static bool concerns(const struct veto *veto, const char *store) { return !veto->store || text_equal(veto->store, store); }

static struct veto **find(struct engine *engine, enum veto_kind kind, const char *store) {
    struct veto **at = &engine->vetoes.first;
    while (*at && ((*at)->kind != kind || !text_equal((*at)->store, store))) at = &(*at)->next;
    return at;
}

static void free_veto(struct veto *veto) {
    free(veto->store);
    free(veto->code);
    free(veto->reason);
    free(veto);
}

/* ---- waiting ---- */

static void note_waiting(const struct veto_waiter *waiter, struct veto *veto) {
    if (!concerns(veto, waiter->store) || veto->waited_us) return;
    veto->waited_us = time_now_us();
    veto->sweep = waiter->sweep;
    log_notice("%s; no batch is begun", veto->reason);
}

/* They waited for it, and that is over. */
static void enter_wait(struct engine *engine, struct veto *veto) {
    if (!veto->waited_us) return;
    const struct entry entry = {.event = ENTRY_WAIT, .sweep = veto->sweep, .store = veto->store, .code = veto->code, .placed_us = veto->waited_us};
    journal_append(engine->journal, &entry, NULL);
    int64_t waited_us = time_now_us() - veto->waited_us;
    log_notice("batches waited %s (%s)", time_format_span(waited_us > 0 ? waited_us : 0).text, veto->code);
    veto->waited_us = 0;
}

void veto_wait(struct engine *engine, struct veto_waiter *waiter) {
    assert(!veto_is_waiting(engine, waiter) && veto_on(engine, waiter->store));
    waiter->next = engine->vetoes.waiters;
    engine->vetoes.waiters = waiter;
    for (struct veto *veto = engine->vetoes.first; veto; veto = veto->next) note_waiting(waiter, veto);
}

bool veto_is_waiting(const struct engine *engine, const struct veto_waiter *waiter) {
    const struct veto_waiter *at = engine->vetoes.waiters;
    while (at && at != waiter) at = at->next;
    return at != NULL;
}

static bool is_waited_for(const struct engine *engine, const struct veto *veto) {
    const struct veto_waiter *at = engine->vetoes.waiters;
    while (at && !concerns(veto, at->store)) at = at->next;
    return at != NULL;
}

void veto_leave(struct engine *engine, struct veto_waiter *waiter) {
    struct veto_waiter **at = &engine->vetoes.waiters;
    while (*at && *at != waiter) at = &(*at)->next;
    if (!*at) return;
    *at = waiter->next;
    for (struct veto *veto = engine->vetoes.first; veto; veto = veto->next)
        if (!is_waited_for(engine, veto)) enter_wait(engine, veto);
}

/* Those that nothing forbids any more go on. They may come back at once. */
static void let_go(struct engine *engine) {
    struct veto_waiter *going = NULL;
    for (struct veto_waiter **at = &engine->vetoes.waiters; *at;) {
        struct veto_waiter *waiter = *at;
        if (veto_on(engine, waiter->store)) {
            at = &waiter->next;
            continue;
        }
        *at = waiter->next;
        waiter->next = going;
        going = waiter;
    }
    while (going) {
        struct veto_waiter *waiter = going;
        going = waiter->next;
        waiter->go(waiter);
    }
}

/* ---- vetoes ---- */

static void replace(char **text, const char *by) {
    if (text_equal(*text, by)) return;
    free(*text);
    *text = xstrdup(by);
}

void veto_set(struct engine *engine, enum veto_kind kind, const char *store, const char *code, const char *reason) {
    struct veto **at = find(engine, kind, store), *veto = *at;
    /* Another code is another wait; the same one in other words ("14 s behind") is not. */
    if (veto && !text_equal(veto->code, code)) enter_wait(engine, veto);
    if (!veto) {
        veto = *at = xcalloc(1, sizeof *veto);
        *veto = (struct veto){.kind = kind, .store = store ? xstrdup(store) : NULL, .since_us = time_now_us()};
    }
    replace(&veto->code, code);
    replace(&veto->reason, reason);
    for (const struct veto_waiter *waiter = engine->vetoes.waiters; waiter; waiter = waiter->next) note_waiting(waiter, veto);
}

void veto_lift(struct engine *engine, enum veto_kind kind, const char *store) {
    struct veto **at = find(engine, kind, store), *veto = *at;
    if (!veto) return;
    *at = veto->next;
    enter_wait(engine, veto);
    free_veto(veto);
    let_go(engine);
}

const struct veto *veto_on(const struct engine *engine, const char *store) {
    const struct veto *veto = engine->vetoes.first;
    while (veto && !concerns(veto, store)) veto = veto->next;
    return veto;
}

const struct veto *veto_of(const struct engine *engine, enum veto_kind kind, const char *store) {
    const struct veto *veto = engine->vetoes.first;
    while (veto && (veto->kind != kind || !concerns(veto, store))) veto = veto->next;
    return veto;
}

const struct veto *veto_lasting(const struct engine *engine, const char *store) {
    const struct veto *veto = engine->vetoes.first;
    while (veto && (veto->kind == VETO_THROTTLE || !concerns(veto, store))) veto = veto->next;
    return veto;
}

void veto_tell(const struct engine *engine, struct buf *to) {
    size_t count = 0;
    for (const struct veto *veto = engine->vetoes.first; veto; veto = veto->next)
        if (veto->waited_us) buf_printf(to, "%s%s", count++ ? "; " : "", veto->reason);
}

void vetoes_clear(struct engine *engine) {
    assert(!engine->vetoes.waiters);
    while (engine->vetoes.first) {
        struct veto *veto = engine->vetoes.first;
        engine->vetoes.first = veto->next;
        free_veto(veto);
    }
}
