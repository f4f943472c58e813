/* Passes and batches: whose turn it is, one transaction that waits for finish, and where the next batch begins. */
#include "store/pg_drop.h"
#include "store/pg_take.h"

#include "store/pg_catalog.h"

#include "base/time.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct exclusion {
    const struct order *order;
    const char *tenant;
};

enum { MOST_BUSY = 10 }; /* tenants of one run that are left out because somebody sits on a record */

struct pass {
    struct arena *arena;      /* of the pass */
    struct arena *run_arena;  /* of the run */
    const struct order *const *orders;
    size_t n_orders, order, leaf; /* whose turn it is */
    const struct portion *portion;
    bool open;                /* run is */
    struct pg_run run;
    size_t parents;           /* how many records to begin with where dependents count, too; 0: as many as the limit */
    bool cautious;            /* somebody sits on one of them */
    size_t n_busy;            /* tenants that were left out because of that */
    struct exclusion *exclusions;
    size_t n_exclusions;
    /* The prepared batch, until finish. */
    const struct batch *batch;
    struct pg_taken chosen;
    bool full, drained;
    int64_t own; /* its rows, without those that a trigger removed */
    /* The leaf whose turn it is may go whole: so it is part 0's, all of it. */
    bool asked, whole, refused; /* refused: row by row all the same */
    bool dropping;              /* the prepared batch is that leaf */
    bool locked;                /* somebody is in the way: no leaf of this pass is waited for again */
    struct pg_due dropped;
};

/* ---- the batch ---- */

static int by_tenant(const void *a, const void *b) {
    return strcmp(((const struct tenant_count *)a)->tenant, ((const struct tenant_count *)b)->tenant);
}

/* The end of a tenant whose records have no anchor of their own. */
static int64_t end_of(const struct scope *scope, const char *tenant) {
    const struct scope_tenant key = {.id = tenant};
    const struct scope_tenant *found = scope->n_tenants ? bsearch(&key, scope->tenants, scope->n_tenants, sizeof key, scope_tenant_by_id) : NULL;
    return found ? found->end_us : TIME_FOREVER;
}

static void fill_tenants(const struct pg_making *making, struct batch *batch) {
    const struct pg_run *run = making->run;
    const struct pg_taken *gone = &making->gone;
    bool more = making->drained && !pg_taken_of(gone, making->drained_tenant);
    struct tenant_count *all = ARENA_ARRAY(making->arena, struct tenant_count, gone->n_tenants + more);
    for (size_t i = 0; i < gone->n_tenants; i++)
        all[i] = (struct tenant_count){.tenant = gone->tenants[i].tenant, .count = gone->tenants[i].count, .oldest_us = gone->tenants[i].oldest_us};
    if (more) all[gone->n_tenants] = (struct tenant_count){.tenant = making->drained_tenant, .oldest_us = TIME_FOREVER};
    batch->tenants = all;
    batch->n_tenants = gone->n_tenants + more;
    qsort(all, batch->n_tenants, sizeof *all, by_tenant);
    for (size_t i = 0; i < batch->n_tenants; i++) {
        all[i].cutoff_us = scope_cutoff(&run->order.due, all[i].tenant);
        if (all[i].oldest_us == TIME_FOREVER) all[i].oldest_us = end_of(&run->scope, all[i].tenant);
    }
}

static int fill_transaction(struct pg_store *store, struct batch *batch, struct err *err) {
    PG_RESULT result = NULL;
    if (pg_query(store, "SELECT pg_current_xact_id()", 0, NULL, &result, err) < 0) return -1;
    (void)text_copy(batch->transaction, sizeof batch->transaction, PQgetvalue(result, 0, 0));
    (void)text_copy(batch->server, sizeof batch->server, store->server_start);
    return 0;
}

static bool is_dependent(const struct pg_bound *bound, const char *name) {
    bool found = false;
    for (size_t i = 0; i < bound->n_dependents; i++) {
        const struct pg_table *table = bound->dependents[i].table;
        found |= !strcmp(table->name, name);
        for (size_t j = 0; j < table->n_leaves; j++) found |= !strcmp(table->leaves[j]->name, name);
    }
    return found;
}

static int explain_refusal(const struct pg_store *store, const struct order *order, struct err *err) {
    const struct err server = *err;
    if (!strcmp(server.detail, "23503")) {
        const char *table = pg_refused_table(store);
        if (is_dependent(pg_bound_of(store, order->target), table)) /* the next time it is seen */
            (void)err_set(err, ERR_UNAVAILABLE, "rows of \"%s\" came to records of \"%s\" while these were to be deleted", table, order->target->name);
        else
            (void)err_set(err, ERR_REFUSED, "rows of \"%s\" still refer to records of \"%s\"; declare it under dependents (lapsectl check prints the line)", table,
                          order->target->name);
        (void)text_copy(err->detail, sizeof err->detail, server.detail);
        return -1;
    }
    return err_within(err, "table \"%s\"", order->target->name);
}

/* ---- what triggers destroyed ---- */

/* Those of a partitioned table are its leaves' too. */
static bool table_has_triggers(const struct pg_table *table) {
    bool any = false;
    for (size_t i = 0; i < table->n_leaves; i++) any |= pg_relation_of(table->leaves[i])->triggers;
    return any;
}

static bool has_triggers(const struct pg_bound *bound) {
    bool any = table_has_triggers(bound->table);
    for (size_t i = 0; i < bound->n_dependents; i++) any |= table_has_triggers(bound->dependents[i].table);
    return any;
}

/* Rows deleted in this transaction, whoever did; it may count some of the one before, so only differences tell. */
static int count_deleted(struct pg_store *store, int64_t *ret_count, struct err *err) {
    PG_RESULT result = NULL;
    if (pg_query(store, "SELECT coalesce(sum(n_tup_del), 0) FROM pg_catalog.pg_stat_xact_user_tables", 0, NULL, &result, err) < 0) return -1;
    *ret_count = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    return 0;
}

/* Rows that a trigger removed went because of the records, and nobody can name them. Where the server does not count
 * (track_counts), it is not even known that there are none. */
static int note_triggered(const struct pg_making *making, int64_t before, struct batch *batch, struct err *err) {
    int64_t after;
    if (count_deleted(making->store, &after, err) < 0) return -1;
    int64_t triggered = after - before - making->deleted;
    batch->range = batch->range || triggered != 0;
    if (triggered > 0) batch->dependents += triggered;
    return 0;
}

static void next_leaf(struct pass *pass) {
    pass->open = pass->asked = pass->whole = pass->refused = false;
    pass->leaf++;
}

/* One batch, in a transaction that is left open if there is one (*ret_batch). A partition that is one no longer is left as it is. */
static int make_batch(struct pass *pass, struct pg_making *making, const struct batch **ret_batch, struct err *err) {
    struct pg_store *store = making->store;
    if (pg_begin_with(store, pg_run_pins(&pass->run), err) < 0) return -1;
    struct evidence_batch evidence __attribute__((cleanup(evidence_free))) = {0};
    evidence_begin(&evidence, making->arena, store->base.settings.evidence_key, store->base.settings.conf->name);
    making->evidence = &evidence;
    const bool triggers = has_triggers(making->run->due.bound);
    int64_t deleted = 0;
    if (triggers && count_deleted(store, &deleted, err) < 0) return -1;
    int result = pass->run.careful ? pg_take_carefully(making, err) : pg_take_at_once(making, err);
    struct batch *batch = ARENA_NEW(making->arena, struct batch);
    if (result == 0 && (making->gone.records || making->dependents)) {
        batch->order = pass->orders[pass->order];
        batch->records = (int64_t)making->gone.records;
        batch->dependents = making->dependents;
        batch->range = making->unnamed;
        int64_t noted_us = time_monotonic_us();
        batch->evidence = evidence_end(&evidence);
        batch->evidence_us = making->evidence_us + time_monotonic_us() - noted_us;
        fill_tenants(making, batch);
        result = triggers && note_triggered(making, deleted, batch, err) < 0 ? -1 : fill_transaction(store, batch, err);
    }
    bool there = true; /* and stays: its rows are locked */
    if (result == 0 && batch->order) result = pg_leaf_is_there(store, making->run->due.bound, making->run->due.leaf, &there, err);
    if (result == 0 && batch->order && there) {
        pass->batch = batch;
        pass->chosen = making->chosen;
        pass->full = making->full;
        pass->drained = making->drained;
        pass->own = (int64_t)making->gone.records + making->dependents;
        store->prepared = pass;
        *ret_batch = batch;
        return 0;
    }
    struct err ignored;
    if (pg_rollback(store, result < 0 ? &ignored : err) < 0) return -1;
    if (!there) next_leaf(pass);
    return result;
}

/* ---- the pass ---- */

int pg_pass_begin(struct store *base, const struct order *const *orders, size_t n_orders, const struct portion *portion, struct pass **ret_pass,
                  struct err *err) {
    struct pg_store *store = (struct pg_store *)(void *)base;
    if (store->base.settings.read_only) return err_set(err, ERR_BUG, "store \"%s\": was opened to read only", store->base.settings.conf->name);
    if (pg_connect(store, err) < 0) return -1;
    struct pass *pass = xcalloc(1, sizeof *pass);
    pass->arena = arena_new();
    pass->run_arena = arena_new();
    pass->orders = orders;
    pass->n_orders = n_orders;
    pass->portion = portion;
    *ret_pass = pass;
    return 0;
}

static void leave_order(struct pass *pass) {
    next_leaf(pass);
    pass->order++;
    pass->leaf = 0;
}

static int open_run(struct pg_store *store, struct pass *pass, const struct pg_bound *bound, struct err *err) {
    const struct order *order = pass->orders[pass->order];
    arena_clear(pass->run_arena);
    pass->parents = pass->n_busy = 0;
    pass->cautious = false;
    const struct pg_table *leaf = bound->table->leaves[pass->leaf];
    bool there;
    if (pg_begin(store, false, err) < 0) return -1;
    int result = pg_leaf_is_there(store, bound, leaf, &there, err);
    if (result == 0 && there) result = pg_run_open(store, &pass->run, order, leaf, pass->whole ? NULL : pass->portion, pass->run_arena, err);
    struct err ignored;
    if (pg_rollback(store, result < 0 ? &ignored : err) < 0 || result < 0) return -1;
    pass->open = there;
    if (!there) {
        next_leaf(pass);
        return 0;
    }
    if (!pass->run.over)
        for (size_t i = 0; i < pass->n_exclusions; i++)
            if (pass->exclusions[i].order == order) pg_run_exclude(&pass->run, pass->exclusions[i].tenant);
    return 0;
}

/* A table that the server does not find: a partition that somebody dropped after it was asked for? */
static bool went(struct pg_store *store, struct pass *pass, const struct err *err) {
    const struct pg_bound *bound = pg_bound_of(store, pass->orders[pass->order]->target);
    bool there = true;
    struct err ignored;
    if (strcmp(err->detail, "42P01") != 0 || pg_begin(store, false, &ignored) < 0) return false;
    int result = pg_leaf_is_there(store, bound, bound->table->leaves[pass->leaf], &there, &ignored);
    if (pg_rollback(store, &ignored) < 0 || result < 0 || there) return false;
    next_leaf(pass);
    return true;
}

/* Where the target says drop = true: what may become of the leaf whose turn it is. One that may go whole is left to part 0. */
static int ask_drop(struct pg_store *store, struct pass *pass, const struct pg_bound *bound, struct err *err) {
    enum pg_drop drop;
    arena_clear(pass->run_arena);
    if (pg_begin(store, false, err) < 0) return -1;
    int result = pg_due_of(store, pass->run_arena, pass->orders[pass->order], bound->table->leaves[pass->leaf], &pass->dropped, err);
    if (result == 0) result = pg_drop_ask(store, &pass->dropped, &drop, err);
    struct err ignored;
    if (pg_rollback(store, result < 0 ? &ignored : err) < 0 || result < 0) return -1;
    pass->asked = true;
    pass->whole = drop == PG_DROP_MAY;
    pass->refused = pass->locked;
    bool others = pass->whole && pass->portion && pass->portion->parts > 1 && pass->portion->part != 0;
    if (drop == PG_DROP_GONE || others) next_leaf(pass);
    return 0;
}

static bool is_excluded(const struct pass *pass, const char *tenant) {
    for (size_t i = 0; i < pass->n_exclusions; i++)
        if (pass->exclusions[i].order == pass->orders[pass->order] && !strcmp(pass->exclusions[i].tenant, tenant)) return true;
    return false;
}

/* The whole leaf as one batch, if every row in it is due; else it is taken row by row. */
static int drop_batch(struct pg_store *store, struct pass *pass, struct arena *arena, const struct batch **ret_batch, struct err *err) {
    struct pg_run run = {.order = *pass->dropped.order, .scope = pass->dropped.order->due};
    struct pg_making making = {.store = store, .run = &run, .arena = arena, .gone.arena = arena};
    struct batch *batch = ARENA_NEW(arena, struct batch);
    enum pg_drop drop = PG_DROP_NEVER;
    if (pg_begin(store, false, err) < 0) return -1;
    int result = pg_drop_look(store, &pass->dropped, &making.gone, &drop, err);
    bool all = drop == PG_DROP_MAY;
    bool busy = result < 0 && (!strcmp(err->detail, "55P03") || !strcmp(err->detail, "57014")); /* others write there, or it takes too long */
    for (size_t i = 0; result == 0 && all && i < making.gone.n_tenants; i++) all = !is_excluded(pass, making.gone.tenants[i].tenant);
    if (result == 0 && all) {
        batch->order = pass->orders[pass->order];
        batch->records = (int64_t)making.gone.records;
        batch->range = true;
        fill_tenants(&making, batch);
        result = fill_transaction(store, batch, err);
    }
    if (result == 0 && all) {
        pass->batch = batch;
        pass->dropping = true;
        store->prepared = pass;
        *ret_batch = batch;
        return 0;
    }
    pass->refused = result == 0 || busy;
    pass->locked = busy;
    struct err ignored;
    if (pg_rollback(store, pass->refused ? err : &ignored) < 0) return -1;
    if (result == 0 && drop == PG_DROP_GONE) next_leaf(pass);
    return result == 0 || busy ? 0 : -1;
}

/* Opens the run whose turn it is; *ret_over: there is none any more. */
static int turn(struct pg_store *store, struct pass *pass, bool *ret_over, struct err *err) {
    *ret_over = false;
    while (!pass->open && pass->order < pass->n_orders) {
        const struct order *order = pass->orders[pass->order];
        if (order_is_any(order)) return err_set(err, ERR_BUG, "an order that only asks was to be carried out");
        const struct pg_bound *bound = pg_bound_of(store, order->target);
        if (!bound || !bound->table || bound->bad)
            return err_set(err, ERR_CONFIG, "table \"%s\" does not fit the schedule; lapsectl check says why", order->target->name);
        if (pass->leaf >= bound->table->n_leaves) leave_order(pass);
        else if (order->target->drop && !pass->asked) {
            if (ask_drop(store, pass, bound, err) < 0) return -1;
        } else if (pass->whole && !pass->refused) break; /* to be dropped */
        else if (open_run(store, pass, bound, err) < 0 && !went(store, pass, err)) return -1;
    }
    *ret_over = pass->order >= pass->n_orders;
    return 0;
}

/* Somebody sits on a record, or on what hangs on it: the others are taken. So many at a time that it is alone in the end; then
 * its tenant waits for the next pass, unless it is the whole table that somebody sits on. */
static bool give_way(struct pass *pass, const struct pg_making *making, const struct err *err) {
    if (strcmp(err->detail, "55P03") != 0) return false;
    if (!pass->run.careful) {
        pass->run.careful = true;
        return true;
    }
    size_t chosen = making->chosen.records;
    pass->cautious = chosen > 1;
    if (chosen > 1) pass->parents = chosen / 2;
    else if (!chosen || pass->run.order.due.kind == SCOPE_WHOLE || ++pass->n_busy > MOST_BUSY) return false;
    else pg_run_exclude(&pass->run, making->chosen.tenants->tenant);
    return true;
}

/* From where somebody sat on a record the batches grow again. */
static void grow(struct pass *pass, const struct pg_making *making) {
    size_t most = 2 * making->chosen.records;
    if (pass->cautious && most && pass->parents > most) pass->parents = most;
}

static int next_batch(struct pg_store *store, struct pass *pass, size_t limit, struct arena *arena, const struct batch **ret_batch,
                      struct err *err) {
    *ret_batch = NULL;
    for (;;) {
        bool over;
        if (turn(store, pass, &over, err) < 0) return -1;
        if (over) return 0;
        if (!pass->open) {
            if (drop_batch(store, pass, arena, ret_batch, err) < 0 && !went(store, pass, err)) return -1;
            if (*ret_batch) return 0;
            continue;
        }
        if (pg_run_is_endless(&pass->run))
            return err_set(err, ERR_REFUSED, "more records went than it and its dependents held: they come back as they are destroyed; "
                           "look for a trigger or an application that writes them again");
        struct pg_making making = {.store = store, .run = &pass->run, .parents = &pass->parents, .arena = arena, .gone.arena = arena, .chosen.arena = arena,
                                   .limit = portion_limit(pass->portion, pass->orders[pass->order], limit)};
        const size_t most = pg_take_most(&making);
        if (!pg_run_next(&pass->run, most)) {
            next_leaf(pass);
            continue;
        }
        if (make_batch(pass, &making, ret_batch, err) < 0) {
            pg_run_put_back(&pass->run);
            if (!strcmp(err->detail, "57014")) pg_run_narrow(&pass->run);
            if (!went(store, pass, err) && !give_way(pass, &making, err)) return -1;
            continue;
        }
        grow(pass, &making);
        if (*ret_batch) return 0;
        if (!pass->open) continue;
        if (making.full && most < making.limit && !pass->cautious) { /* as many as fitted the last time: there may be others behind them */
            pass->parents = 0;
            pg_run_put_back(&pass->run);
            continue;
        }
        pg_run_advance(&pass->run, &making.chosen, making.full, false);
    }
}

int pg_pass_prepare(struct store *base, struct pass *pass, size_t limit, struct arena *arena, const struct batch **ret_batch,
                    const struct order **ret_failed, struct err *err) {
    struct pg_store *store = (struct pg_store *)(void *)base;
    assert(!store->prepared && limit);
    if (next_batch(store, pass, limit, arena, ret_batch, err) == 0) return 0;
    const struct order *order = pass->order < pass->n_orders ? pass->orders[pass->order] : NULL;
    if (order) (void)explain_refusal(store, order, err);
    if (ret_failed) *ret_failed = order;
    if (err->code != ERR_UNAVAILABLE && order) leave_order(pass);
    return -1;
}

/* Where the batch took place, the run goes on behind it. */
static void go_on(struct pg_store *store, struct pass *pass) {
    if (!pass->open) return;
    pass->run.taken += pass->own;
    unsigned parts = pass->portion && pass->portion->parts > 1 ? pass->portion->parts : 1; /* the others take as many */
    pg_note_gone(store, pass->run.due.leaf, pass->batch->records * parts, pass->run.n_blocks);
    if (pass->drained) {
        pg_run_put_back(&pass->run);
        pg_run_defer(&pass->run, pass->batch->tenants[0].tenant);
    } else pg_run_advance(&pass->run, &pass->chosen, pass->full, pass->batch->records > 0);
}

/* A leaf that could not be dropped after all, or was not to be, is taken row by row. */
static int finish_drop(struct pg_store *store, struct pass *pass, bool commit, struct outcome *ret_outcome, struct err *err) {
    const struct pg_table *leaf = pass->dropped.leaf;
    int result = commit ? pg_drop_now(store, leaf, err) : pg_rollback(store, err);
    struct err ignored;
    if (commit && result < 0 && pg_rollback(store, &ignored) < 0) pg_disconnect(store);
    if (commit && result == 0) result = pg_commit(store, err);
    if (result == 0) *ret_outcome = commit ? (struct outcome){.records = pass->batch->records} : (struct outcome){0};
    if (commit && result == 0) next_leaf(pass);
    else if (commit && err->code == ERR_UNKNOWN) pass->asked = false;
    else pass->refused = true;
    if (result < 0 && !strcmp(err->detail, "55P03")) pass->locked = true;
    if (result < 0 && err->code == ERR_REFUSED) err->code = ERR_UNAVAILABLE; /* row by row it may go */
    pass->dropping = false;
    pass->batch = NULL;
    return result;
}

int pg_pass_finish(struct store *base, struct pass *pass, bool commit, struct outcome *ret_outcome, struct err *err) {
    struct pg_store *store = (struct pg_store *)(void *)base;
    assert(store->prepared == pass && pass->batch);
    store->prepared = NULL;
    if (pass->dropping) return finish_drop(store, pass, commit, ret_outcome, err);
    int result = commit ? pg_commit(store, err) : pg_rollback(store, err);
    if (result == 0) *ret_outcome = commit ? (struct outcome){.records = pass->batch->records, .dependents = pass->batch->dependents} : (struct outcome){0};
    bool gone = commit && (result == 0 || err->code == ERR_UNKNOWN);
    if (gone) go_on(store, pass);
    else pg_run_put_back(&pass->run);
    if (result < 0 && err->code == ERR_REFUSED) leave_order(pass); /* it would be refused again */
    pass->batch = NULL;
    return result;
}

void pg_pass_exclude(struct store *store, struct pass *pass, const struct order *order, const char *tenant) {
    (void)store;
    assert(!pass->batch);
    *ARENA_APPEND(pass->arena, pass->exclusions, pass->n_exclusions) =
        (struct exclusion){.order = order, .tenant = arena_strdup(pass->arena, tenant)};
    if (pass->open && pass->orders[pass->order] == order) pg_run_exclude(&pass->run, pass->exclusions[pass->n_exclusions - 1].tenant);
}

void pg_pass_end(struct store *base, struct pass *pass) {
    struct pg_store *store = (struct pg_store *)(void *)base;
    struct err ignored;
    if (store->prepared == pass) {
        store->prepared = NULL;
        if (pg_rollback(store, &ignored) < 0) pg_disconnect(store);
    }
    arena_free(pass->run_arena);
    arena_free(pass->arena);
    free(pass);
}
