#include "scripted_internal.h"

#include "base/time.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct scripted_store {
    struct store_base base; /* first */
    bool interrupted;       /* under the server's lock */
    struct pass *prepared;
};

struct exclusion {
    const struct order *order;
    const char *tenant;
};

struct pass {
    struct arena *arena;
    const struct order *const *orders;
    size_t n_orders, at;
    const struct portion *portion;
    struct exclusion *excluded;
    size_t n_excluded;
    size_t *chosen; /* numbers of records; between prepare and finish */
    size_t n_chosen;
    unsigned batch;
};

static struct scripted_store *scripted_of(struct store *store) { return (struct scripted_store *)(void *)store; }

static int enter(struct store *base, enum scripted_verb verb, bool *ret_applied, struct err *err) {
    struct scripted_store *store = scripted_of(base);
    return scripted_call(store->base.settings.conf->name, verb, &store->interrupted, ret_applied, err);
}

static int leave(struct store *base, int result) {
    scripted_of(base)->interrupted = false;
    scripted_leave();
    return result;
}

/* --- opening, asking ----------------------------------------------------------------------------------------------- */

static int scripted_open(const struct store_settings *settings, struct store **ret_store, struct err *err) {
    (void)err;
    struct scripted_store *store = xcalloc(1, sizeof *store);
    store->base.driver = &scripted_driver;
    store->base.settings = *settings;
    *ret_store = (struct store *)(void *)store;
    return 0;
}

static void scripted_close(struct store *store) { free(scripted_of(store)); }

static int scripted_ping(struct store *store, int64_t *ret_server_now_us, struct err *err) {
    bool applied;
    int result = enter(store, SCRIPTED_PING, &applied, err);
    if (result == 0) *ret_server_now_us = time_now_us() + scripted_server()->ahead_us;
    return leave(store, result);
}

static bool is_asked(const char *id, const char *const *ids, size_t n_ids) {
    for (size_t i = 0; i < n_ids; i++) {
        if (strcmp(ids[i], id) == 0) return true;
    }
    return n_ids == 0;
}

static int scripted_tenants(struct store *store, const char *const *ids, size_t n_ids, tenant_sink *sink, void *context, struct err *err) {
    bool applied;
    int result = enter(store, SCRIPTED_TENANTS, &applied, err);
    const struct scripted_server *server = scripted_server();
    for (size_t i = 0; result == 0 && i < server->n_lines; i++) {
        const struct scripted_line *line = &server->lines[i];
        if (line->gone || !is_asked(line->id, ids, n_ids)) continue;
        struct tenant_row row = {.id = line->id};
        memcpy(row.ends, line->ends, sizeof row.ends);
        result = sink(context, &row, err);
    }
    return leave(store, result);
}

static int scripted_tenants_tables(struct store *store, struct arena *arena, const char *const **ret_names, size_t *ret_count, struct err *err) {
    (void)arena;
    (void)err;
    scripted_enter();
    *ret_names = scripted_server()->own_tables;
    *ret_count = scripted_server()->n_own_tables;
    return leave(store, 0);
}

static int scripted_check(struct store *store, struct faults *faults, bool *bad, struct err *err) {
    (void)faults;
    (void)bad;
    bool applied;
    return leave(store, enter(store, SCRIPTED_CHECK, &applied, err));
}

/* --- what is due --------------------------------------------------------------------------------------------------- */

static bool holds(const struct scope *scope, const struct scripted_record *record) {
    if (scope->kind != SCOPE_WHOLE && !*record->tenant) return false;
    int64_t cutoff_us = scope_cutoff(scope, record->tenant);
    if (cutoff_us == TIME_NEVER) return false;
    if (!scope->anchor) return cutoff_us == TIME_FOREVER;
    return record->anchor_us != SCRIPTED_NO_ANCHOR && record->anchor_us < cutoff_us;
}

/* Due, whether or not something still refers to it. */
static bool is_due(const struct order *order, const struct scripted_record *record) {
    if (record->gone || strcmp(record->target, order->target->name) != 0 || !holds(&order->due, record)) return false;
    for (size_t i = 0; i < order->n_before; i++) {
        if (holds(&order->before[i], record)) return false;
    }
    for (size_t i = 0; i < order->n_floors; i++) {
        if (!holds(&order->floors[i], record)) return false;
    }
    return order->action == ACTION_PURGE || !record->anonymized;
}

static bool is_free(const struct order *order, const struct scripted_record *record) {
    if (order_is_any(order)) return true;
    if (order->action == ACTION_PURGE) return !record->blocked_by;
    return !order->blocked_only || record->blocked_by;
}

static int by_tenant(const void *a, const void *b) {
    return strcmp(((const struct tenant_count *)a)->tenant, ((const struct tenant_count *)b)->tenant);
}

static int64_t listed_end(const struct order *order, const char *tenant) {
    for (size_t i = 0; i < order->due.n_tenants; i++) {
        if (strcmp(order->due.tenants[i].id, tenant) == 0) return order->due.tenants[i].end_us;
    }
    return TIME_FOREVER;
}

/* Adds a record to the counts by tenant (not sorted yet). */
static void add_record(struct arena *arena, const struct order *order, const struct scripted_record *record, struct tenant_count **tenants,
                       size_t *n_tenants) {
    int64_t anchor_us = order->due.anchor ? record->anchor_us : listed_end(order, record->tenant);
    size_t at = 0;
    while (at < *n_tenants && strcmp((*tenants)[at].tenant, record->tenant) != 0) at++;
    if (at == *n_tenants) {
        *ARENA_APPEND(arena, *tenants, *n_tenants) = (struct tenant_count){
            .tenant = arena_strdup(arena, record->tenant), .cutoff_us = scope_cutoff(&order->due, record->tenant), .oldest_us = anchor_us};
    }
    struct tenant_count *tenant = &(*tenants)[at];
    tenant->count++;
    if (anchor_us < tenant->oldest_us) tenant->oldest_us = anchor_us;
}

static void add_blocked(struct arena *arena, const char *by, struct tally *tally) {
    struct blocked_count *blocked = arena_grow(arena, tally->blocked, tally->n_blocked, tally->n_blocked + 1, sizeof *blocked);
    size_t at = 0;
    while (at < tally->n_blocked && strcmp(blocked[at].by, by) != 0) at++;
    if (at == tally->n_blocked) tally->n_blocked++;
    blocked[at].by = by;
    blocked[at].count++;
    tally->blocked = blocked;
    tally->n_blocked_records++;
}

static struct tally tally_of(const struct order *order, struct arena *arena, bool probe) {
    struct tally tally = {0};
    struct tenant_count *tenants = NULL;
    const struct scripted_server *server = scripted_server();
    for (size_t i = 0; i < server->n_records; i++) {
        const struct scripted_record *record = &server->records[i];
        if (!is_due(order, record)) continue;
        if (is_free(order, record)) add_record(arena, order, record, &tenants, &tally.n_tenants);
        else if (!probe && order->action == ACTION_PURGE) add_blocked(arena, record->blocked_by, &tally);
    }
    if (tally.n_tenants > 0) qsort(tenants, tally.n_tenants, sizeof *tenants, by_tenant);
    for (size_t i = 0; i < tally.n_tenants; i++) {
        if (probe) tenants[i].count = 1;
        else tally.records += tenants[i].count;
    }
    tally.tenants = tenants;
    return tally;
}

static int count_orders(struct store *store, enum scripted_verb verb, const struct order *const *orders, size_t n_orders, struct arena *arena,
                        struct tally *tallies, struct err *err) {
    bool applied;
    int result = enter(store, verb, &applied, err);
    for (size_t i = 0; result == 0 && i < n_orders; i++) tallies[i] = tally_of(orders[i], arena, verb == SCRIPTED_PROBE);
    return leave(store, result);
}

static int scripted_probe(struct store *store, const struct order *const *orders, size_t n_orders, struct arena *arena, struct tally *tallies,
                          struct err *err) {
    return count_orders(store, SCRIPTED_PROBE, orders, n_orders, arena, tallies, err);
}

static int scripted_count(struct store *store, const struct order *const *orders, size_t n_orders, struct arena *arena, struct tally *tallies,
                          struct err *err) {
    return count_orders(store, SCRIPTED_COUNT, orders, n_orders, arena, tallies, err);
}

static int scripted_undecidable(struct store *store, const struct target *target, int64_t now_us, struct arena *arena,
                                const struct undecidable **ret_items, size_t *ret_count, struct err *err) {
    bool applied;
    int result = enter(store, SCRIPTED_UNDECIDABLE, &applied, err);
    struct undecidable *items = ARENA_ARRAY(arena, struct undecidable, 2);
    items[0] = (struct undecidable){.code = "since-empty", .column = target->since};
    items[1] = (struct undecidable){.code = "since-future", .column = target->since};
    const struct scripted_server *server = scripted_server();
    for (size_t i = 0; result == 0 && target->since && i < server->n_records; i++) {
        const struct scripted_record *record = &server->records[i];
        if (record->gone || strcmp(record->target, target->name) != 0) continue;
        if (record->anchor_us == SCRIPTED_NO_ANCHOR) items[0].count++;
        else if (record->anchor_us > now_us) items[1].count++;
    }
    size_t n_items = 0;
    for (size_t i = 0; i < 2; i++) {
        if (items[i].count > 0) items[n_items++] = items[i];
    }
    if (result == 0) {
        *ret_items = items;
        *ret_count = n_items;
    }
    return leave(store, result);
}

/* --- passes -------------------------------------------------------------------------------------------------------- */

static int scripted_begin(struct store *store, const struct order *const *orders, size_t n_orders, const struct portion *portion, struct pass **ret_pass,
                          struct err *err) {
    bool applied;
    if (((struct store_base *)(void *)store)->settings.read_only) return err_set(err, ERR_BUG, "was opened to read only");
    if (enter(store, SCRIPTED_BEGIN, &applied, err) < 0) return leave(store, -1);
    struct arena *arena = arena_new();
    struct pass *pass = ARENA_NEW(arena, struct pass);
    *pass = (struct pass){.arena = arena, .orders = orders, .n_orders = n_orders, .portion = portion};
    for (size_t i = 0; i < n_orders; i++) assert(!order_is_any(orders[i]));
    if (portion && portion->parts > scripted_server()->parts) scripted_server()->parts = portion->parts;
    *ret_pass = pass;
    return leave(store, 0);
}

static bool is_excluded(const struct pass *pass, const struct order *order, const char *tenant) {
    for (size_t i = 0; i < pass->n_excluded; i++) {
        if (pass->excluded[i].order == order && strcmp(pass->excluded[i].tenant, tenant) == 0) return true;
    }
    return false;
}

static struct evidence evidence_of(struct store *store, const struct pass *pass, const struct order *order, struct arena *arena) {
    const struct store_settings *settings = &scripted_of(store)->base.settings;
    struct evidence_batch evidence __attribute__((cleanup(evidence_free))) = {0};
    evidence_begin(&evidence, arena, settings->evidence_key, settings->conf->name);
    for (size_t i = 0; i < pass->n_chosen; i++) {
        const struct scripted_record *record = &scripted_server()->records[pass->chosen[i]];
        evidence_record(&evidence, order->target->name);
        evidence_text(&evidence, record->tenant);
        evidence_text(&evidence, arena_printf(arena, "%d", record->number));
        evidence_add(&evidence);
    }
    return evidence_end(&evidence);
}

/* Chooses, and locks where a transaction would; what another session has locked is left alone. */
static void choose(struct store *store, struct pass *pass, const struct order *order, size_t most, struct arena *arena, struct batch *batch,
                   struct tenant_count **tenants) {
    struct scripted_server *server = scripted_server();
    size_t limit = portion_limit(pass->portion, order, most);
    pass->chosen = ARENA_ARRAY(arena, size_t, limit);
    pass->n_chosen = 0;
    for (size_t i = 0; i < server->n_records && pass->n_chosen < limit; i++) {
        struct scripted_record *record = &server->records[i];
        if (record->locked || !is_due(order, record) || !is_free(order, record) || is_excluded(pass, order, record->tenant) ||
            !portion_has(pass->portion, record->tenant))
            continue;
        if (!server->irrevocable) record->locked = store;
        pass->chosen[pass->n_chosen++] = i;
        add_record(arena, order, record, tenants, &batch->n_tenants);
    }
    if (batch->n_tenants > 0) qsort(*tenants, batch->n_tenants, sizeof **tenants, by_tenant);
}

static int scripted_prepare(struct store *store, struct pass *pass, size_t limit, struct arena *arena, const struct batch **ret_batch,
                            const struct order **ret_failed, struct err *err) {
    bool applied;
    assert(!scripted_of(store)->prepared && limit > 0);
    *ret_failed = NULL;
    if (enter(store, SCRIPTED_PREPARE, &applied, err) < 0) {
        /* The order whose turn it is is left out, as the contract says. */
        if (err->code != ERR_UNAVAILABLE && pass->at < pass->n_orders) *ret_failed = pass->orders[pass->at++];
        return leave(store, -1);
    }
    *ret_batch = NULL;
    for (; pass->at < pass->n_orders && !*ret_batch; pass->at += *ret_batch ? 0 : 1) {
        const struct order *order = pass->orders[pass->at];
        struct batch *batch = ARENA_NEW(arena, struct batch);
        struct tenant_count *tenants = NULL;
        choose(store, pass, order, limit, arena, batch, &tenants);
        if (pass->n_chosen == 0) continue;
        pass->batch = ++scripted_server()->n_batches;
        assert(pass->batch < MOST_SCRIPTED_BATCHES);
        batch->order = order;
        batch->tenants = tenants;
        batch->records = (int64_t)pass->n_chosen;
        batch->irrevocable = scripted_server()->irrevocable;
        batch->evidence = evidence_of(store, pass, order, arena);
        batch->evidence_us = scripted_server()->evidence_us;
        if (!batch->irrevocable) {
            snprintf(batch->transaction, sizeof batch->transaction, "%u", pass->batch);
            snprintf(batch->server, sizeof batch->server, "scripted");
        }
        scripted_of(store)->prepared = pass;
        *ret_batch = batch;
    }
    return leave(store, 0);
}

/* Ends the prepared batch: its records go (or are anonymized) or are free again. Returns how many went. */
static int64_t settle_batch(struct store *store, struct pass *pass, bool commit) {
    struct scripted_server *server = scripted_server();
    const struct order *order = pass->orders[pass->at < pass->n_orders ? pass->at : pass->n_orders - 1];
    int64_t gone = 0;
    for (size_t i = 0; i < pass->n_chosen; i++) {
        struct scripted_record *record = &server->records[pass->chosen[i]];
        record->locked = NULL;
        if (!commit || (server->irrevocable && !is_due(order, record))) continue;
        if (order->action == ACTION_PURGE) record->gone = true;
        else record->anonymized = true;
        gone++;
    }
    server->settled[pass->batch] = commit ? 'c' : 'r';
    pass->n_chosen = 0;
    scripted_of(store)->prepared = NULL;
    return gone;
}

static int scripted_finish(struct store *store, struct pass *pass, bool commit, struct outcome *ret_outcome, struct err *err) {
    bool applied;
    assert(scripted_of(store)->prepared == pass);
    int result = enter(store, commit ? SCRIPTED_COMMIT : SCRIPTED_ROLLBACK, &applied, err);
    bool commits = commit && (result == 0 || (applied && err->code == ERR_UNKNOWN));
    int64_t gone = settle_batch(store, pass, commits);
    if (result == 0) *ret_outcome = (struct outcome){.records = gone};
    return leave(store, result);
}

static void scripted_exclude(struct store *store, struct pass *pass, const struct order *order, const char *tenant) {
    (void)store;
    *ARENA_APPEND(pass->arena, pass->excluded, pass->n_excluded) = (struct exclusion){.order = order, .tenant = arena_strdup(pass->arena, tenant)};
}

static void scripted_end(struct store *store, struct pass *pass) {
    if (!pass) return;
    scripted_enter();
    if (scripted_of(store)->prepared == pass) (void)settle_batch(store, pass, false);
    scripted_leave();
    struct arena *arena = pass->arena;
    arena_free(arena);
}

static int scripted_settle(struct store *store, const char *transaction, const char *server, enum settled *ret_settled, struct err *err) {
    bool applied;
    int result = enter(store, SCRIPTED_SETTLE, &applied, err);
    unsigned long number = strtoul(transaction, NULL, 10);
    char settled = number < MOST_SCRIPTED_BATCHES && strcmp(server, "scripted") == 0 ? scripted_server()->settled[number] : 0;
    if (result == 0) *ret_settled = settled == 'c' ? SETTLED_COMMITTED : settled == 'r' ? SETTLED_ROLLED_BACK : SETTLED_UNRESOLVED;
    return leave(store, result);
}

static int scripted_ask_pressure(struct store *store, const char *query, struct pressure *ret_pressure, struct err *err) {
    bool applied;
    int result = enter(store, SCRIPTED_PRESSURE, &applied, err);
    if (result == 0) {
        *ret_pressure = scripted_server()->pressure;
        ret_pressure->query_says_wait = query && ret_pressure->query_says_wait;
    }
    return leave(store, result);
}

static void scripted_interrupt(struct store *store) {
    scripted_enter();
    scripted_of(store)->interrupted = true;
    scripted_leave();
    scripted_wake();
}

static const char *const SCHEMES[] = {"scripted", NULL};

const struct store_driver scripted_driver = {
    .kind = STORE_SCRIPTED,
    .name = "scripted",
    .schemes = SCHEMES,
    .open = scripted_open,
    .close = scripted_close,
    .ping = scripted_ping,
    .tenants = scripted_tenants,
    .tenants_tables = scripted_tenants_tables,
    .check = scripted_check,
    .probe = scripted_probe,
    .count = scripted_count,
    .undecidable = scripted_undecidable,
    .begin = scripted_begin,
    .prepare = scripted_prepare,
    .finish = scripted_finish,
    .exclude = scripted_exclude,
    .end = scripted_end,
    .settle = scripted_settle,
    .pressure = scripted_ask_pressure,
    .interrupt = scripted_interrupt,
};
