#include "request/ledger.h"

#include "base/spelling.h"
#include "base/time.h"

#include <stdlib.h>
#include <string.h>

/* A hold as it grows; its texts live in the ledger's arena. */
struct kept {
    struct hold hold;
    const char **members; /* not sorted while they are collected */
    size_t n_members;
    const char *request;
};

struct used {
    const char *id, *request;
};

struct ledger {
    struct arena *arena;       /* texts, for good: requests are few */
    struct arena *holds_arena; /* of the last answer */
    int64_t latest_us;         /* of all entries since a time was accepted */
    struct kept *kept;
    size_t n_kept;
    struct used *used;
    size_t n_used;
    struct approval *approvals; /* open */
    struct approvals open;
    bool paused;
    struct pause pause;
    struct holds holds;
};

struct ledger *ledger_new(void) {
    struct arena *arena = arena_new();
    struct ledger *ledger = ARENA_NEW(arena, struct ledger);
    ledger->arena = arena;
    ledger->holds_arena = arena_new();
    return ledger;
}

void ledger_free(struct ledger *ledger) {
    if (!ledger) return;
    arena_free(ledger->holds_arena);
    arena_free(ledger->arena);
}

static struct kept *find(const struct ledger *ledger, const char *id) {
    for (size_t i = 0; i < ledger->n_kept; i++)
        if (!strcmp(ledger->kept[i].hold.id, id)) return &ledger->kept[i];
    return NULL;
}

/* ---- taking entries ---- */

static void note_used(struct ledger *ledger, const struct entry *entry) {
    if (!entry->id || !entry->request || ledger_request(ledger, entry->id)) return;
    *ARENA_APPEND(ledger->arena, ledger->used, ledger->n_used) =
        (struct used){.id = arena_strdup(ledger->arena, entry->id), .request = arena_strdup(ledger->arena, entry->request)};
}

static enum hold_scope scope_named(const char *name) {
    for (enum hold_scope scope = HOLD_TENANT; scope < HOLD_ALL; scope++)
        if (text_equal(name, hold_scope_name(scope))) return scope;
    return HOLD_ALL; /* what cannot be read holds everything */
}

static struct kept *add_hold(struct ledger *ledger, const struct entry *entry) {
    struct arena *arena = ledger->arena;
    char room[SPELLING_ROOM];
    struct kept *kept = ARENA_APPEND(arena, ledger->kept, ledger->n_kept);
    kept->hold = (struct hold){.id = arena_strdup(arena, entry->id), .scope = scope_named(entry->scope),
                               .tenant = arena_strdup(arena, entry->tenant), .rule = arena_strdup(arena, entry->rule),
                               .ground = arena_strdup(arena, entry->ground), .author = (uint32_t)entry->author,
                               .since_us = entry->placed_us, .released_us = TIME_FOREVER};
    kept->hold.normal = entry->tenant ? arena_strdup(arena, spelling_normal(entry->tenant, room)) : NULL;
    kept->request = arena_strdup(arena, entry->request);
    return kept;
}

/* Among the first `known`, which are sorted; *next: where it is likely to stand. */
static bool is_member(const struct kept *kept, size_t known, const char *id, size_t *next) {
    if (*next < known && !strcmp(kept->members[*next], id)) return ++*next;
    const char **found = known ? bsearch(&id, kept->members, known, sizeof *kept->members, spelling_order) : NULL;
    if (found) *next = (size_t)(found - kept->members) + 1;
    return found;
}

/* Kept sorted, each once. Most entries bring none, or those that are known: a hold is said again for each sweep. */
static void add_members(struct ledger *ledger, struct kept *kept, const struct entry *entry) {
    size_t known = kept->n_members, next = 0, count = 0;
    for (size_t i = 0; i < entry->n_members; i++) {
        if (is_member(kept, known, entry->members[i], &next)) continue;
        *ARENA_APPEND(ledger->arena, kept->members, kept->n_members) = arena_strdup(ledger->arena, entry->members[i]);
    }
    if (kept->n_members == known) return;
    qsort(kept->members, kept->n_members, sizeof *kept->members, spelling_order);
    for (size_t i = 0; i < kept->n_members; i++)
        if (!count || spelling_compare(kept->members[count - 1], kept->members[i]) != 0) kept->members[count++] = kept->members[i];
    kept->n_members = count;
    kept->hold.members = kept->members;
    kept->hold.n_members = count;
}

static void note_hold(struct ledger *ledger, const struct entry *entry) {
    struct kept *kept = find(ledger, entry->id);
    if (!kept) kept = add_hold(ledger, entry);
    if (kept->hold.released_us == TIME_FOREVER) kept->hold.released_us = entry->released_us;
    add_members(ledger, kept, entry);
}

static void note_release(struct ledger *ledger, const struct entry *entry) {
    struct kept *kept = find(ledger, entry->hold);
    if (kept && kept->hold.released_us == TIME_FOREVER) kept->hold.released_us = ledger->latest_us;
}

static void note_clock(struct ledger *ledger, const struct entry *entry) {
    int64_t jump_us = entry->placed_us ? entry->time_us - entry->placed_us : 0;
    for (size_t i = 0; i < ledger->n_kept; i++) {
        int64_t *released_us = &ledger->kept[i].hold.released_us;
        if (*released_us == TIME_FOREVER) continue;
        if (jump_us > 0) *released_us += jump_us;
        if (*released_us > entry->time_us) *released_us = entry->time_us;
    }
    ledger->latest_us = entry->time_us;
}

static void note_pause(struct ledger *ledger, const struct entry *entry) {
    if (ledger->paused) return;
    struct arena *arena = ledger->arena;
    ledger->paused = true;
    ledger->pause = (struct pause){.id = arena_strdup(arena, entry->id), .ground = arena_strdup(arena, entry->ground),
                                   .request = arena_strdup(arena, entry->request), .since_us = entry->placed_us, .author = (uint32_t)entry->author};
}

static struct approval *find_approval(struct ledger *ledger, const char *id) {
    for (size_t i = 0; i < ledger->open.count; i++)
        if (!strcmp(ledger->approvals[i].id, id)) return &ledger->approvals[i];
    return NULL;
}

static void note_approve(struct ledger *ledger, const struct entry *entry) {
    struct arena *arena = ledger->arena;
    struct approval *known = find_approval(ledger, entry->id);
    bool open = !strcmp(entry->outcome, "placed") || !strcmp(entry->outcome, "stands");
    if (open && !known)
        *ARENA_APPEND(arena, ledger->approvals, ledger->open.count) = (struct approval){
            .id = arena_strdup(arena, entry->id), .digest = arena_strdup(arena, entry->digest), .tenant = arena_strdup(arena, entry->tenant),
            .rule = arena_strdup(arena, entry->rule), .request = arena_strdup(arena, entry->request), .at_us = entry->placed_us, .author = (uint32_t)entry->author};
    else if (!open && known)
        memmove(known, known + 1, (size_t)(ledger->approvals + ledger->open.count-- - (known + 1)) * sizeof *known);
    ledger->open.items = ledger->approvals;
}

void ledger_note(struct ledger *ledger, const struct entry *entry) {
    if (entry->time_us > ledger->latest_us) ledger->latest_us = entry->time_us;
    if (entry->event == ENTRY_HOLD) note_hold(ledger, entry);
    else if (entry->event == ENTRY_RELEASE) note_release(ledger, entry);
    else if (entry->event == ENTRY_PAUSE) note_pause(ledger, entry);
    else if (entry->event == ENTRY_RESUME) ledger->paused = false;
    else if (entry->event == ENTRY_APPROVE) note_approve(ledger, entry);
    else if (entry->event == ENTRY_CLOCK) note_clock(ledger, entry);
    else return;
    note_used(ledger, entry);
}

/* ---- answers ---- */

static int64_t until(const struct hold *hold, int64_t cooling_off_us) {
    return hold->released_us == TIME_FOREVER ? TIME_FOREVER : hold->released_us + cooling_off_us;
}

const struct holds *ledger_holds(struct ledger *ledger, int64_t now_us, int64_t cooling_off_us) {
    arena_clear(ledger->holds_arena);
    struct hold *items = ARENA_ARRAY(ledger->holds_arena, struct hold, ledger->n_kept);
    size_t count = 0;
    for (size_t i = 0; i < ledger->n_kept; i++)
        if (now_us < until(&ledger->kept[i].hold, cooling_off_us)) items[count++] = ledger->kept[i].hold;
    ledger->holds = (struct holds){.items = items, .count = count};
    return &ledger->holds;
}

const struct hold *ledger_hold(const struct ledger *ledger, const char *id) {
    const struct kept *kept = find(ledger, id);
    return kept ? &kept->hold : NULL;
}

const char *ledger_hold_request(const struct ledger *ledger, const char *id) {
    const struct kept *kept = find(ledger, id);
    return kept ? kept->request : NULL;
}

const struct approvals *ledger_approvals(const struct ledger *ledger) { return &ledger->open; }

const struct pause *ledger_pause(const struct ledger *ledger) { return ledger->paused ? &ledger->pause : NULL; }

const char *ledger_request(const struct ledger *ledger, const char *id) {
    for (size_t i = 0; i < ledger->n_used; i++)
        if (!strcmp(ledger->used[i].id, id)) return ledger->used[i].request;
    return NULL;
}
