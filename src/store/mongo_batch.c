/* A pass: orders one after the other, and within an order batches that tenants share fairly. A tenant with more than fits goes to
 * the back of the queue after each of its batches; many small ones share one. Orders whose documents may be kept back (referenced,
 * anonymized already) are read in the order of their keys instead, so that what stays is passed over once. */
#include "base/time.h"
#include "store/mongo_internal.h"
#include "store/spelling.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    RETRY_PAUSE_NS = 50000000,
    FIRST_TENANTS = 8, /* so many fill the first window, when nothing is known of what tenants have */
};

struct queued {
    const char *id;
    int64_t left; /* due documents, as counted when the order's turn came; -1: not known */
    int64_t oldest_us;
    const bson_t *from; /* {"": anchor} of the last document of a batch that was all the tenant's: its next one begins there; NULL: at the beginning */
};

struct excluded {
    const struct order *order;
    const char *tenant;
};

struct pass {
    struct arena *arena; /* of the pass */
    const struct order **orders;
    size_t n_orders, current;
    const struct portion *portion;
    struct excluded *excluded;
    size_t n_excluded;

    /* Of the order whose turn it is. */
    struct arena *order_arena;
    const struct mongo_bound *bound; /* NULL: its turn has not begun */
    const struct order *order;       /* the same, with what protects spread over the spellings of ids */
    struct queued *queue;            /* a ring; a target without tenants has one entry with the id "" */
    size_t room, head, n_queue;
    bool counted;                    /* what is left of each tenant is known */
    int64_t n_seen, n_seen_tenants;  /* not counted: documents of tenants that were seen to the end */
    bool by_key;
    const bson_t *last;              /* by_key: {_id} of the last document that was looked at; NULL: none */

    /* Of the batch under way. */
    struct arena *batch_arena;
    struct queued *window;
    size_t n_window;
    bool window_done;                /* nothing of it is left behind this batch */
    struct mongo_work work;
    const bson_t *next_last;
    mongoc_client_session_t *session; /* NULL: no transaction */
};

/* ---- begin, end ---- */

int mongo_pass_begin(struct store *base, const struct order *const *orders, size_t n_orders, const struct portion *portion, struct pass **ret_pass,
                     struct err *err) {
    struct mongo_store *store = mongo_of(base);
    if (store->base.settings.read_only)
        return err_set(err, ERR_BUG, "store \"%s\": was opened to read only", store->base.settings.conf->name);
    for (size_t i = 0; i < n_orders; i++)
        if (order_is_any(orders[i])) return err_set(err, ERR_BUG, "store \"%s\": an order that only asks cannot be carried out", store->base.settings.conf->name);
    struct pass *pass = xcalloc(1, sizeof *pass);
    pass->arena = arena_new();
    pass->order_arena = arena_new();
    pass->batch_arena = arena_new();
    pass->orders = ARENA_ARRAY(pass->arena, const struct order *, n_orders);
    for (size_t i = 0; i < n_orders; i++) pass->orders[i] = orders[i];
    pass->n_orders = n_orders;
    pass->portion = portion;
    *ret_pass = pass;
    return 0;
}

static void abandon(struct mongo_store *store, struct pass *pass) {
    if (pass->session) {
        bson_error_t error;
        if (mongoc_client_session_in_transaction(pass->session)) (void)mongoc_client_session_abort_transaction(pass->session, &error);
        mongoc_client_session_destroy(pass->session);
        pass->session = NULL;
    }
    if (store->prepared == pass) store->prepared = NULL;
}

void mongo_pass_end(struct store *base, struct pass *pass) {
    if (!pass) return;
    abandon(mongo_of(base), pass);
    arena_free(pass->batch_arena);
    arena_free(pass->order_arena);
    arena_free(pass->arena);
    free(pass);
}

/* ---- the queue ---- */

static void push(struct pass *pass, struct queued queued) {
    assert(pass->n_queue < pass->room);
    pass->queue[(pass->head + pass->n_queue++) % pass->room] = queued;
}

static void push_front(struct pass *pass, struct queued queued) {
    assert(pass->n_queue < pass->room);
    pass->head = (pass->head + pass->room - 1) % pass->room;
    pass->n_queue++;
    pass->queue[pass->head] = queued;
}

static struct queued pop(struct pass *pass) {
    struct queued first = pass->queue[pass->head];
    pass->head = (pass->head + 1) % pass->room;
    pass->n_queue--;
    return first;
}

static bool is_excluded(const struct pass *pass, const char *tenant) {
    for (size_t i = 0; i < pass->n_excluded; i++)
        if (pass->excluded[i].order == pass->orders[pass->current] && !strcmp(pass->excluded[i].tenant, tenant)) return true;
    return false;
}

void mongo_pass_exclude(struct store *base, struct pass *pass, const struct order *order, const char *tenant) {
    (void)base;
    *ARENA_APPEND(pass->arena, pass->excluded, pass->n_excluded) = (struct excluded){order, arena_strdup(pass->arena, tenant)};
    if (!pass->bound || pass->orders[pass->current] != order) return;
    for (size_t i = pass->n_queue; i > 0; i--) {
        struct queued queued = pop(pass);
        if (strcmp(queued.id, tenant)) push(pass, queued);
    }
    size_t kept = 0;
    for (size_t i = 0; i < pass->n_window; i++)
        if (strcmp(pass->window[i].id, tenant)) pass->window[kept++] = pass->window[i];
    pass->n_window = kept;
}

/* The most overdue first. */
static int by_oldest(const void *a, const void *b) {
    const struct queued *left = a, *right = b;
    if (left->oldest_us != right->oldest_us) return left->oldest_us < right->oldest_us ? -1 : 1;
    return strcmp(left->id, right->id);
}

static int by_id(const void *a, const void *b) { return strcmp(((const struct queued *)a)->id, ((const struct queued *)b)->id); }

static int start_order(struct mongo_store *store, struct pass *pass, struct err *err) {
    const struct mongo_bound *bound;
    struct tally tally;
    arena_clear(pass->order_arena);
    const struct order *order = spelling_spread(pass->order_arena, pass->orders[pass->current], mongo_spelling, NULL);
    pass->order = order;
    pass->n_queue = pass->head = pass->n_window = 0;
    pass->last = NULL;
    if (mongo_usable(store, order->target, &bound, err)) return -1;
    bool in_name = order->target->tenant_in_name;
    /* Counting reads all that is due, and nobody needs the numbers: a window of some tenants is filled by what the last ones had. */
    pass->counted = in_name || order->due.kind == SCOPE_WHOLE || !mongo_due_is_all(bound, order) || !mongo_index_tells(bound, order);
    pass->n_seen = pass->n_seen_tenants = 0;
    if (in_name            ? mongo_drop_tally(store, order, pass->order_arena, &tally, err)
        : pass->counted    ? mongo_tally(store, bound, order, pass->order_arena, &tally, err)
                           : mongo_candidates(store, bound, order, pass->order_arena, &tally, err))
        return -1;
    pass->room = tally.n_tenants ? tally.n_tenants : 1;
    pass->queue = ARENA_ARRAY(pass->order_arena, struct queued, pass->room);
    pass->window = ARENA_ARRAY(pass->order_arena, struct queued, pass->room);
    for (size_t i = 0; i < tally.n_tenants; i++)
        if (portion_has(pass->portion, tally.tenants[i].tenant) && !is_excluded(pass, tally.tenants[i].tenant))
            push(pass, (struct queued){.id = tally.tenants[i].tenant, .left = tally.tenants[i].count, .oldest_us = tally.tenants[i].oldest_us});
    if (pass->n_queue) qsort(pass->queue, pass->n_queue, sizeof *pass->queue, by_oldest);
    pass->by_key = mongo_is_walked(order);
    pass->bound = bound;
    return 0;
}

static void next_order(struct pass *pass) {
    pass->bound = NULL;
    pass->current++;
}

/* What a tenant is expected to have: what was counted, or else as much as those before it had. */
static int64_t expected_of(const struct pass *pass, const struct queued *queued, size_t limit) {
    if (queued->from) return (int64_t)limit;
    if (pass->counted) return queued->left;
    if (!pass->n_seen_tenants) return (int64_t)(limit / FIRST_TENANTS + 1);
    return pass->n_seen / pass->n_seen_tenants + 1;
}

/* As many tenants as should fill the batch: of the last one some may be left for another. */
static void fill_window(struct pass *pass, size_t limit) {
    int64_t expected = 0;
    pass->last = NULL;
    while (pass->n_queue && pass->n_window < MONGO_TENANTS_A_QUESTION) {
        const struct queued *next = &pass->queue[pass->head];
        /* One collection a batch, and one filter: who goes on from somewhere goes on alone. */
        bool alone = pass->orders[pass->current]->target->tenant_in_name || next->from;
        if (pass->n_window && (alone || (!pass->by_key && expected >= (int64_t)limit))) break;
        expected += expected_of(pass, next, limit);
        pass->window[pass->n_window++] = pop(pass);
        if (alone) break;
    }
    qsort(pass->window, pass->n_window, sizeof *pass->window, by_id);
}

static void return_window(struct pass *pass) {
    for (size_t i = 0; i < pass->n_window; i++) push(pass, pass->window[i]);
    pass->n_window = 0;
}

static struct queued *in_window(const struct pass *pass, const char *id) {
    const struct queued key = {.id = id};
    return bsearch(&key, pass->window, pass->n_window, sizeof key, by_id);
}

static void settle_counted(struct pass *pass) {
    for (size_t i = 0; i < pass->work.n_documents; i++) {
        struct queued *queued = in_window(pass, pass->work.documents[i].tenant);
        if (queued) queued->left--;
    }
    for (size_t i = 0; i < pass->n_window; i++)
        if (pass->window[i].left > 0) push(pass, pass->window[i]);
}

static const bson_t *anchor_of(struct pass *pass, const bson_t *found) {
    const char *anchor = pass->order->due.anchor;
    bson_iter_t value;
    if (!pass->work.anchors || !mongo_scalar_at(found, anchor, &value)) return NULL;
    bson_t from = BSON_INITIALIZER;
    bson_append_iter(&from, "", 0, &value);
    const bson_t *kept = mongo_keep(pass->order_arena, &from);
    bson_destroy(&from);
    return kept;
}

/* Documents come in the order of the index, so that of the last one's tenant more may be left, and all of those that did not come at
 * all. Whoever has an id of several types may have more: another pass finds it. */
static void settle_uncounted(struct pass *pass) {
    const struct mongo_document *documents = pass->work.documents;
    size_t n_documents = pass->work.n_documents;
    const char *last = documents[n_documents - 1].tenant;
    for (size_t i = 0; i < n_documents; i++) {
        struct queued *queued = in_window(pass, documents[i].tenant);
        if (queued) queued->left = 0;
    }
    for (size_t i = pass->n_window; i > 0; i--) {
        if (pass->window[i - 1].left < 0) push_front(pass, pass->window[i - 1]);
        else pass->n_seen_tenants++;
    }
    struct queued *unfinished = in_window(pass, last);
    if (!unfinished) return;
    unfinished->left = -1;
    /* One of several has had little, which is soon passed over: what it has left may share a batch again. */
    if (!strcmp(documents[0].tenant, last)) unfinished->from = anchor_of(pass, documents[n_documents - 1].found);
    push(pass, *unfinished);
}

/* After a batch was carried out: who has something left stands in the queue's back again. */
static void settle_window(struct pass *pass) {
    if (pass->by_key) {
        pass->last = pass->next_last ? mongo_keep(pass->order_arena, pass->next_last) : pass->last;
        if (!pass->window_done) return; /* the same tenants go on behind the last key */
        pass->last = NULL;
    }
    pass->n_seen += (int64_t)pass->work.n_documents;
    if (pass->window_done) pass->n_seen_tenants += (int64_t)pass->n_window;
    else if (pass->counted) settle_counted(pass);
    else if (pass->work.n_documents) settle_uncounted(pass);
    pass->n_window = 0;
}

/* ---- prepare ---- */

static int begin_transaction(struct mongo_store *store, struct pass *pass, struct err *err) {
    bson_error_t error;
    if (!store->transactions) return 0;
    pass->session = mongoc_client_start_session(store->client, NULL, &error);
    if (!pass->session) return mongo_fail(store, &error, NULL, "start a session", err);
    mongoc_transaction_opt_t *options = mongoc_transaction_opts_new();
    mongoc_read_concern_t *snapshot = mongoc_read_concern_new();
    mongoc_read_concern_set_level(snapshot, MONGOC_READ_CONCERN_LEVEL_SNAPSHOT);
    mongoc_transaction_opts_set_read_concern(options, snapshot);
    mongoc_transaction_opts_set_write_concern(options, mongoc_client_get_write_concern(store->client));
    mongoc_transaction_opts_set_max_commit_time_ms(options, store->timeout_ms);
    bool started = mongoc_client_session_start_transaction(pass->session, options, &error);
    mongoc_read_concern_destroy(snapshot);
    mongoc_transaction_opts_destroy(options);
    return started ? 0 : mongo_fail(store, &error, NULL, "start a transaction", err);
}

/* Two paths of which neither is a part of the other can be asked for together. */
static bool are_apart(const char *a, const char *b) {
    size_t common = strlen(a) < strlen(b) ? strlen(a) : strlen(b);
    return strncmp(a, b, common) != 0 || (a[common] != '.' && b[common] != '.' && a[common] != b[common]);
}

/* In the order of an index on (tenant, anchor) a large tenant's batches go on where the last one ended, and not at its first entry
 * again, behind which an old snapshot keeps all that went. */
static bool goes_on(const struct pass *pass) {
    const struct order *order = pass->order;
    return !pass->counted && !pass->by_key && order->due.anchor && are_apart(order->due.anchor, order->target->tenant) && are_apart(order->due.anchor, "_id");
}

static bson_t *filter_from(const bson_t *filter, const char *anchor, const bson_t *from) {
    bson_iter_t value;
    bson_t behind = BSON_INITIALIZER;
    if (bson_iter_init_find(&value, from, "")) bson_append_iter(&behind, "$gte", -1, &value);
    bson_t *both = BCON_NEW("$and", "[", BCON_DOCUMENT(filter), "{", anchor, BCON_DOCUMENT(&behind), "}", "]");
    bson_destroy(&behind);
    return both;
}

static int choose(struct mongo_store *store, struct pass *pass, size_t limit, struct err *err) {
    const char **ids = ARENA_ARRAY(pass->batch_arena, const char *, pass->n_window);
    for (size_t i = 0; i < pass->n_window; i++) ids[i] = pass->window[i].id;
    const struct order *order = pass->order;
    struct mongo_work *work = &pass->work;
    MONGO_BSON filter = mongo_compile(pass->bound, order, ids, pass->n_window);
    *work = (struct mongo_work){.arena = pass->batch_arena, .bound = pass->bound, .order = order, .limit = limit};
    pass->window_done = true;
    pass->next_last = NULL;
    if (!filter) return 0;
    work->filter = mongo_keep(pass->batch_arena, filter);
    const char *hint = order->due.kind == SCOPE_WHOLE ? NULL : pass->bound->index_tenant;
    work->anchors = goes_on(pass);
    const bson_t *from = work->anchors ? pass->window[0].from : NULL;
    MONGO_BSON behind = from ? filter_from(work->filter, order->due.anchor, from) : NULL;
    const struct mongo_find find = {.filter = from ? behind : work->filter, .limit = (int64_t)limit, .hint = hint};
    int result = pass->by_key ? mongo_work_choose_by_key(store, pass->session, work, pass->last, limit, err)
                              : mongo_work_choose(store, pass->session, work, &find, err);
    const struct mongo_document *chosen = work->documents;
    size_t n_chosen = work->n_documents, taken;
    if (result || mongo_work_complete(store, pass->session, work, &taken, err)) return -1;
    pass->window_done = n_chosen < limit && taken == n_chosen;
    if (!taken && !work->n_children) pass->window_done = true;
    if (taken) pass->next_last = mongo_key_of(pass->batch_arena, chosen[taken - 1].found);
    return 0;
}

static void describe(const struct pass *pass, bool irrevocable, struct arena *arena, struct batch *batch) {
    *batch = (struct batch){.order = pass->orders[pass->current], .irrevocable = irrevocable};
    mongo_work_tenants(&pass->work, arena, batch);
    for (size_t i = 0; i < pass->work.n_children; i++) batch->dependents += (int64_t)pass->work.children[i].count;
}

/* A leaf for each document that goes or changes, those listed for later included. */
static void give_evidence(const struct mongo_store *store, const struct pass *pass, struct arena *arena, struct batch *batch) {
    struct evidence_batch evidence __attribute__((cleanup(evidence_free))) = {0};
    int64_t began_us = time_monotonic_us();
    evidence_begin(&evidence, arena, store->base.settings.evidence_key, store->base.settings.conf->name);
    const struct mongo_work *work = &pass->work;
    for (size_t i = 0; i < work->n_documents; i++) mongo_add_evidence(&evidence, batch->order->target->name, work->documents[i].found);
    for (size_t i = 0; i < work->n_children; i++)
        for (size_t j = 0; j < work->children[i].count; j++)
            mongo_add_evidence(&evidence, work->children[i].collection, work->children[i].documents[j].found);
    batch->evidence = evidence_end(&evidence);
    batch->evidence_us = time_monotonic_us() - began_us;
}

/* In the transaction everything is done now, and only the commit is left. */
static int apply_now(struct mongo_store *store, struct pass *pass, const struct batch *batch, struct err *err) {
    struct outcome outcome;
    if (mongo_work_apply(store, pass->session, &pass->work, &outcome, err)) return -1;
    if (outcome.records == batch->records && outcome.dependents == batch->dependents) return 0;
    return err_set(err, ERR_UNAVAILABLE, "store \"%s\": documents of the batch changed under it", store->base.settings.conf->name);
}

/* One batch of the window; *ret_batch = NULL: there was nothing in it. */
static int prepare_window(struct mongo_store *store, struct pass *pass, size_t limit, struct arena *arena, struct batch **ret_batch, struct err *err) {
    struct batch *batch = ARENA_NEW(arena, struct batch);
    const struct order *order = pass->orders[pass->current];
    arena_clear(pass->batch_arena);
    *ret_batch = NULL;
    if (order->target->tenant_in_name) {
        pass->work = (struct mongo_work){0};
        pass->window_done = true;
        if (mongo_drop_prepare(store, order, pass->window[0].id, arena, batch, err)) return -1;
        if (batch->n_tenants) *ret_batch = batch;
        return 0;
    }
    if (begin_transaction(store, pass, err) || choose(store, pass, limit, err)) return -1;
    if (!pass->work.n_documents && !pass->work.n_children) {
        abandon(store, pass);
        return 0;
    }
    describe(pass, !store->transactions, arena, batch);
    give_evidence(store, pass, arena, batch);
    if (store->transactions && apply_now(store, pass, batch, err)) return -1;
    *ret_batch = batch;
    return 0;
}

/* The next batch of the order whose turn it is; *ret_batch = NULL: it has none left. */
static int prepare_order(struct mongo_store *store, struct pass *pass, size_t most, struct arena *arena, struct batch **ret_batch, struct err *err) {
    size_t limit = portion_limit(pass->portion, pass->orders[pass->current], most);
    *ret_batch = NULL;
    if (!pass->bound && start_order(store, pass, err)) return -1;
    while (pass->n_queue || pass->n_window) {
        if (!pass->n_window) fill_window(pass, limit);
        if (prepare_window(store, pass, limit, arena, ret_batch, err)) return -1;
        if (*ret_batch) return 0;
        settle_window(pass);
    }
    return 0;
}

int mongo_pass_prepare(struct store *base, struct pass *pass, size_t limit, struct arena *arena, const struct batch **ret_batch,
                       const struct order **ret_failed, struct err *err) {
    struct mongo_store *store = mongo_of(base);
    assert(!store->prepared && limit);
    if (ret_failed) *ret_failed = NULL;
    for (; pass->current < pass->n_orders; next_order(pass)) {
        struct batch *batch;
        if (mongo_connect(store, NULL, err)) return -1;
        if (prepare_order(store, pass, limit, arena, &batch, err)) {
            abandon(store, pass);
            if (!pass->by_key && pass->bound) return_window(pass);
            if (ret_failed) *ret_failed = pass->orders[pass->current];
            if (err->code == ERR_UNAVAILABLE) return -1;
            next_order(pass);
            return -1;
        }
        if (!batch) continue;
        store->prepared = pass;
        *ret_batch = batch;
        return 0;
    }
    *ret_batch = NULL;
    return 0;
}

/* ---- finish ---- */

/* A lost answer is asked for again in the same session, as long as the deadline allows: the server knows what it did. Once one was
 * lost, only a server's word makes the outcome known. */
static int commit_transaction(struct mongo_store *store, struct pass *pass, struct err *err) {
    int64_t deadline_us = time_monotonic_us() + (int64_t)store->timeout_ms * 1000;
    for (bool lost = false;;) {
        bson_t reply;
        bson_error_t error;
        bool done = mongoc_client_session_commit_transaction(pass->session, &reply, &error);
        lost |= !done && mongoc_error_has_label(&reply, "UnknownTransactionCommitResult");
        bool answered = error.domain == MONGOC_ERROR_SERVER && !mongoc_error_has_label(&reply, "UnknownTransactionCommitResult");
        int result = done ? 0 : mongo_fail(store, &error, &reply, "commit", err);
        bson_destroy(&reply);
        if (done) return 0;
        if (!lost || answered) return result;
        if (time_monotonic_us() >= deadline_us)
            return err_set(err, ERR_UNKNOWN, "store \"%s\": the answer to the commit was lost", store->base.settings.conf->name);
        const struct timespec pause = {.tv_nsec = RETRY_PAUSE_NS}; /* a refused connection is refused at once */
        (void)nanosleep(&pause, NULL);
    }
}

/* Without transactions what broke off may have been carried out in part. */
static int apply_listed(struct mongo_store *store, struct pass *pass, struct outcome *ret_outcome, struct err *err) {
    const struct order *order = pass->orders[pass->current];
    if (mongo_connect(store, NULL, err)) return -1;
    int result = order->target->tenant_in_name ? mongo_drop_finish(store, order, pass->window[0].id, ret_outcome, err)
                                               : mongo_work_again(store, &pass->work, ret_outcome, err);
    if (result && err->code == ERR_UNAVAILABLE) err->code = ERR_UNKNOWN;
    return result;
}

int mongo_pass_finish(struct store *base, struct pass *pass, bool commit, struct outcome *ret_outcome, struct err *err) {
    struct mongo_store *store = mongo_of(base);
    assert(store->prepared == pass);
    struct outcome outcome = {.records = (int64_t)pass->work.n_documents};
    for (size_t i = 0; i < pass->work.n_children; i++) outcome.dependents += (int64_t)pass->work.children[i].count;
    int result = 0;
    store->finishing = true;
    if (commit) result = pass->session ? commit_transaction(store, pass, err) : apply_listed(store, pass, &outcome, err);
    abandon(store, pass);
    store->finishing = false;
    if (commit && !result) settle_window(pass);
    else if (!pass->by_key) return_window(pass);
    if (result) return -1;
    *ret_outcome = commit ? outcome : (struct outcome){0};
    return 0;
}

/* A session does not outlive its connection: what it did not answer itself, nobody can be asked. */
int mongo_settle(struct store *base, const char *transaction, const char *server, enum settled *ret_settled, struct err *err) {
    (void)base;
    (void)transaction;
    (void)server;
    (void)err;
    *ret_settled = SETTLED_UNRESOLVED;
    return 0;
}
