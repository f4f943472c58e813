#include "schedule/history.h"

#include "base/text.h"
#include "base/time.h"
#include "schedule/tenant_period.h"

#include <assert.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A period that was in force, and when last. Key: rule, slot, anchor, tenant. */
struct in_force {
    const char *rule;
    enum keep_slot slot;
    const char *anchor; /* "" = by age, else the end's name */
    const char *tenant; /* "" = every tenant without one of its own */
    const char *period; /* as text; "forever"; "until" for no delay */
    int64_t last_us;
};

struct history {
    struct arena *arena;
    struct in_force *items;
    size_t count;
    size_t sorted; /* items before it are in order; history_note appends behind and sorts */
};

enum { MOST_BYTES = 256 << 20 };

static struct history *history_new(void) {
    struct history *history = xcalloc(1, sizeof *history);
    history->arena = arena_new();
    return history;
}

void history_free(struct history *history) {
    if (!history) return;
    arena_free(history->arena);
    free(history);
}

static int by_key(const void *a, const void *b) {
    const struct in_force *x = a, *y = b;
    int order = strcmp(x->rule, y->rule);
    if (!order) order = (int)x->slot - (int)y->slot;
    if (!order) order = strcmp(x->anchor, y->anchor);
    return order ? order : strcmp(x->tenant, y->tenant);
}

static void sort(struct history *history) {
    if (history->count) qsort(history->items, history->count, sizeof *history->items, by_key);
    history->sorted = history->count;
}

/* The run of entries with this key among the sorted ones. */
static struct in_force *find(const struct history *history, const struct in_force *key, size_t *ret_count) {
    size_t low = 0, high = history->sorted;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (by_key(&history->items[middle], key) < 0) low = middle + 1;
        else high = middle;
    }
    size_t end = low;
    while (end < history->sorted && !by_key(&history->items[end], key)) end++;
    *ret_count = end - low;
    return history->items + low;
}

/* "forever" is false; "until" has count 0. */
static bool period_of(const char *text, struct period *ret_period) {
    struct err ignored;
    if (!strcmp(text, "until")) {
        *ret_period = (struct period){0};
        return true;
    }
    return !period_parse(text, ret_period, &ignored);
}

static const char *anchor_of(const struct keep *keep) { return keep->kind == KEEP_END ? keep->end : ""; }

static const char *text_of(struct arena *arena, const struct keep *keep) {
    if (keep->kind == KEEP_FOREVER) return "forever";
    if (!keep->period.count) return "until";
    return arena_strdup(arena, period_format(keep->period).text);
}

/* The last one's where it is the same: they stand sorted. */
static const char *kept(struct history *history, const char *last, const char *text) {
    return last && !strcmp(last, text) ? last : arena_strdup(history->arena, text);
}

static int read_item(struct history *history, json_t *item) {
    const char *rule, *slot, *anchor, *tenant, *period, *last;
    int64_t last_us;
    struct period parsed;
    if (json_unpack(item, "{s:s, s:s, s:s, s:s, s:s, s:s !}", "rule", &rule, "slot", &slot, "anchor", &anchor, "tenant",
                    &tenant, "period", &period, "last", &last))
        return -1;
    bool known_slot = !strcmp(slot, "keep") || !strcmp(slot, "anonymize");
    if (!known_slot || !time_parse(last, &last_us) || (strcmp(period, "forever") != 0 && !period_of(period, &parsed))) return -1;
    const struct in_force before = history->count ? history->items[history->count - 1] : (struct in_force){0};
    *ARENA_APPEND(history->arena, history->items, history->count) = (struct in_force){
        .rule = kept(history, before.rule, rule), .slot = strcmp(slot, "keep") ? SLOT_ANONYMIZE : SLOT_KEEP,
        .anchor = kept(history, before.anchor, anchor), .tenant = kept(history, before.tenant, tenant),
        .period = kept(history, before.period, period), .last_us = last_us};
    return 0;
}

static bool take(const char **at, const char *text) {
    *at += strspn(*at, " \t\r\n");
    if (!text_starts_with(*at, text)) return false;
    *at += strlen(text);
    return true;
}

/* Item by item: all of it as JSON would take ten times the file's size. `bytes` ends with a NUL. */
static bool read_items(struct history *history, const char *bytes, size_t length) {
    const char *at = bytes;
    if (!take(&at, "{\"v\":1,\"periods\":[")) return false;
    for (bool more = !take(&at, "]"), first = true; more; more = !take(&at, "]"), first = false) {
        json_error_t where;
        if (!first && !take(&at, ",")) return false;
        json_t *item = json_loadb(at, length - (size_t)(at - bytes), JSON_REJECT_DUPLICATES | JSON_DISABLE_EOF_CHECK, &where);
        int failed = item ? read_item(history, item) : -1;
        json_decref(item);
        if (failed) return false;
        at += where.position;
    }
    return take(&at, "}") && take(&at, "") && at == bytes + length;
}

static int parse(struct history *history, const char *path, const char *bytes, size_t length, struct err *err) {
    if (read_items(history, bytes, length)) return 0;
    return err_set(err, ERR_IO, "%s is damaged; nothing is destroyed without the periods that were in force: "
                   "restore it from a backup, or remove it if no period was shortened lately", path);
}

static void free_bytes(char **bytes) { free(*bytes); }

static int history_path(const char *state_folder, char *path, size_t size, struct err *err) {
    int length = snprintf(path, size, "%s/periods.json", state_folder);
    if (length < 0 || (size_t)length >= size) return err_set(err, ERR_IO, "%s: the name is too long", state_folder);
    return 0;
}

int history_load(const char *state_folder, struct history **ret_history, struct err *err) {
    char path[4096];
    if (history_path(state_folder, path, sizeof path, err)) return -1;
    struct history *history = history_new();
    if (access(path, F_OK) && errno == ENOENT) {
        *ret_history = history;
        return 0;
    }
    __attribute__((cleanup(free_bytes))) char *bytes = NULL;
    size_t length;
    if (text_read_file(path, MOST_BYTES, &bytes, &length, err) || parse(history, path, bytes, length, err)) {
        history_free(history);
        return -1;
    }
    sort(history);
    *ret_history = history;
    return 0;
}

int history_save(const struct history *history, const char *state_folder, struct err *err) {
    char path[4096];
    if (history_path(state_folder, path, sizeof path, err)) return -1;
    __attribute__((cleanup(buf_free))) struct buf text = {.maximum = MOST_BYTES};
    buf_add(&text, "{\"v\":1,\"periods\":[");
    for (size_t i = 0; i < history->count; i++) {
        const struct in_force *item = &history->items[i];
        buf_add(&text, i ? ",\n{\"rule\":" : "\n{\"rule\":");
        buf_add_json(&text, item->rule);
        buf_printf(&text, ",\"slot\":\"%s\",\"anchor\":", item->slot == SLOT_KEEP ? "keep" : "anonymize");
        buf_add_json(&text, item->anchor);
        buf_add(&text, ",\"tenant\":");
        buf_add_json(&text, item->tenant);
        buf_add(&text, ",\"period\":");
        buf_add_json(&text, item->period);
        buf_printf(&text, ",\"last\":\"%s\"}", time_format(item->last_us).text);
    }
    buf_add(&text, "\n]}\n");
    if (text.overflow) return err_set(err, ERR_IO, "%s would be larger than 256 MiB", path);
    return text_write_file(path, text.text, text.length, 0640, err);
}

/* ---- what is in force ---- */

/* The one that was in force when this key was noted last. */
static struct in_force *latest(struct in_force *run, size_t count) {
    struct in_force *found = NULL;
    for (size_t i = 0; i < count; i++)
        if (!found || run[i].last_us > found->last_us) found = &run[i];
    return found;
}

/* Notes one period; only entries that were there before this note are looked at. `before`: what held until now where this key
 * is new (NULL: nothing did). Notice runs from here, not from when the other one was noted last: nobody looked in between. */
static void note(struct history *history, struct in_force key, const char *before) {
    size_t count;
    struct in_force *run = find(history, &key, &count), *other = latest(run, count), *known = NULL;
    for (size_t i = 0; i < count; i++)
        if (!strcmp(run[i].period, key.period)) known = &run[i];
    int64_t until_us = key.last_us - 1;
    if (other && other != known && (!known || known->last_us < other->last_us) && other->last_us < until_us) other->last_us = until_us;
    if (known) {
        known->last_us = key.last_us;
        return;
    }
    struct arena *arena = history->arena;
    key.rule = arena_strdup(arena, key.rule);
    key.anchor = arena_strdup(arena, key.anchor);
    key.tenant = arena_strdup(arena, key.tenant);
    key.period = arena_strdup(arena, key.period);
    *ARENA_APPEND(arena, history->items, history->count) = key;
    if (count || !before) return;
    key.period = arena_strdup(arena, before);
    key.last_us = until_us;
    *ARENA_APPEND(arena, history->items, history->count) = key;
}

/* When the rule was noted last before; TIME_NEVER: it is new. */
static int64_t last_noted(const struct history *history, const struct rule *rule) {
    int64_t last = TIME_NEVER;
    for (size_t i = 0; i < history->sorted; i++)
        if (!*history->items[i].tenant && !strcmp(history->items[i].rule, rule->data) && history->items[i].last_us > last)
            last = history->items[i].last_us;
    return last;
}

static void note_slot(struct history *history, const struct rule *rule, enum keep_slot slot, const struct keep *keeps,
                      size_t n_keeps, int64_t previous_us, int64_t now_us) {
    for (size_t i = 0; i < n_keeps; i++) {
        struct in_force key = {.rule = rule->data, .slot = slot, .anchor = anchor_of(&keeps[i]), .tenant = "",
                               .period = text_of(history->arena, &keeps[i]), .last_us = now_us};
        note(history, key, previous_us == TIME_NEVER ? NULL : "forever");
    }
}

static const struct keep *keep_by_age(const struct rule *rule) {
    for (size_t i = 0; i < rule->n_keep; i++)
        if (rule->keep[i].kind != KEEP_END) return &rule->keep[i];
    return NULL;
}

/* A tenant that the last sweep did not see: what it left counted until now, and so did the rule's own period, `before`. Its id may
 * have been given to another. */
static void note_return(struct history *history, const struct in_force *key, const char *before, int64_t previous_us) {
    size_t count;
    struct in_force *run = find(history, key, &count);
    for (size_t i = 0; i < count; i++)
        if (run[i].last_us >= previous_us) return;
    for (size_t i = 0; i < count; i++) run[i].last_us = key->last_us - 1;
    if (!count) return;
    struct in_force general = *run;
    general.period = before;
    *ARENA_APPEND(history->arena, history->items, history->count) = general;
}

static void note_tenants(struct history *history, const struct schedule *schedule, const struct rule *rule,
                         const struct tenants *tenants, int64_t previous_us, int64_t now_us) {
    const struct keep *by_age = keep_by_age(rule);
    if (!by_age) return;
    const char *general = text_of(history->arena, by_age);
    /* What held for a tenant before it had one of its own: the rule's period, the longer one while notice runs. */
    struct period counting;
    const char *before = "forever";
    if (history_period(history, schedule, rule, SLOT_KEEP, by_age, now_us, &counting))
        before = arena_strdup(history->arena, period_format(counting).text);
    for (size_t i = 0; i < tenants_count(tenants); i++) {
        const struct tenant *tenant = tenants_at(tenants, i);
        struct period own;
        enum own_period kind = tenant_period(rule, tenant, now_us, &own);
        if (kind == OWN_PERIOD_UNDECIDABLE) continue;
        struct period_text own_text;
        if (kind != OWN_PERIOD_NONE) own_text = period_format(own);
        struct in_force key = {.rule = rule->data, .slot = SLOT_KEEP, .anchor = "", .tenant = tenant->id,
                               .period = kind == OWN_PERIOD_NONE ? general : own_text.text, .last_us = now_us};
        size_t count;
        (void)find(history, &key, &count);
        /* A tenant that never had one of its own needs no entry. */
        if (!count && !strcmp(key.period, general)) continue;
        note_return(history, &key, before, previous_us);
        note(history, key, previous_us == TIME_NEVER ? NULL : before);
    }
}

/* Out of force for longer than notice, and not a gone tenant's. */
static bool forgotten(const struct in_force *item, const struct schedule *schedule, const struct tenants *tenants, int64_t now_us) {
    if (item->last_us >= now_us - schedule->settings.notice_us) return false;
    return !*item->tenant || tenants_find(tenants, item->tenant);
}

void history_note(struct history *history, const struct schedule *schedule, const struct tenants *tenants, int64_t now_us) {
    assert(history->sorted == history->count);
    for (size_t i = 0; i < schedule->n_rules; i++) {
        const struct rule *rule = &schedule->rules[i];
        int64_t previous_us = last_noted(history, rule);
        note_slot(history, rule, SLOT_KEEP, rule->keep, rule->n_keep, previous_us, now_us);
        note_slot(history, rule, SLOT_ANONYMIZE, rule->anonymize, rule->n_anonymize, previous_us, now_us);
        if (rule->per_tenant) note_tenants(history, schedule, rule, tenants, previous_us, now_us);
    }
    size_t kept = 0;
    for (size_t i = 0; i < history->count; i++)
        if (!forgotten(&history->items[i], schedule, tenants, now_us)) history->items[kept++] = history->items[i];
    history->count = kept;
    sort(history);
}

/* Makes *longest the longer of the two; false once "forever" counts. */
static bool lengthen(struct period *longest, bool *any, const char *text, int64_t now_us) {
    struct period period;
    if (!period_of(text, &period)) return false;
    if (!*any || !longest->count || (period.count && period_compare(now_us, period, *longest) > 0)) *longest = period;
    *any = true;
    return true;
}

bool history_period(const struct history *history, const struct schedule *schedule, const struct rule *rule, enum keep_slot slot,
                    const struct keep *keep, int64_t now_us, struct period *ret_period) {
    if (keep->kind == KEEP_FOREVER) return false;
    struct in_force key = {.rule = rule->data, .slot = slot, .anchor = anchor_of(keep), .tenant = ""};
    size_t count;
    const struct in_force *run = find(history, &key, &count);
    struct period longest = keep->period;
    bool any = true;
    for (size_t i = 0; i < count; i++)
        if (run[i].last_us >= now_us - schedule->settings.notice_us && !lengthen(&longest, &any, run[i].period, now_us)) return false;
    *ret_period = longest;
    return true;
}

bool history_shortened(const struct history *history, const struct schedule *schedule, const struct rule *rule, enum keep_slot slot,
                       const struct keep *keep, int64_t now_us, struct shortened *ret_shortened) {
    if (keep->kind == KEEP_FOREVER) return false;
    const struct in_force key = {.rule = rule->data, .slot = slot, .anchor = anchor_of(keep), .tenant = ""};
    size_t count;
    const struct in_force *run = find(history, &key, &count), *longest = NULL;
    struct period most = keep->period;
    for (size_t i = 0; i < count; i++) {
        struct period period = {0};
        if (run[i].last_us < now_us - schedule->settings.notice_us) continue;
        bool forever = !period_of(run[i].period, &period), longer = !forever && period.count && (!most.count || period_compare(now_us, period, most) > 0);
        if (!forever && !longer) continue;
        longest = &run[i];
        if (forever) break;
        most = period;
    }
    if (!longest) return false;
    *ret_shortened = (struct shortened){.from = longest->period, .on_us = longest->last_us + 1, .until_us = longest->last_us + 1 + schedule->settings.notice_us};
    return true;
}

enum own_history history_tenant_period(const struct history *history, const struct schedule *schedule, const struct rule *rule,
                                       const char *tenant, bool present, int64_t now_us, struct period *ret_period) {
    struct in_force key = {.rule = rule->data, .slot = SLOT_KEEP, .anchor = "", .tenant = tenant};
    size_t count;
    const struct in_force *run = find(history, &key, &count);
    struct period longest = {0};
    bool any = false;
    for (size_t i = 0; i < count; i++)
        if ((!present || run[i].last_us >= now_us - schedule->settings.notice_us) &&
            !lengthen(&longest, &any, run[i].period, now_us))
            return OWN_HISTORY_FOREVER;
    if (!any) return OWN_HISTORY_NONE;
    *ret_period = longest;
    return OWN_HISTORY_PERIOD;
}

void history_each_tenant(const struct history *history, const struct rule *rule, void (*each)(void *context, const char *tenant),
                         void *context) {
    const char *previous = "";
    for (size_t i = 0; i < history->sorted; i++) {
        const struct in_force *item = &history->items[i];
        if (!*item->tenant || strcmp(item->rule, rule->data) != 0 || !strcmp(previous, item->tenant)) continue;
        previous = item->tenant;
        each(context, item->tenant);
    }
}
