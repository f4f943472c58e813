/* The dependents of chosen documents. From the documents on, collection by collection, everything that refers to what was found is
 * found in turn; what was met once is not met again, so trees and cycles end. A dependent that is a target of its own blocks its
 * root while it exists (for a count: if it will exist when the sweep is over), and so does one that refers to several records at once (an array): it cannot go with one of them. */
#include "store/mongo_map.h"
#include "store/mongo_internal.h"

#include <string.h>

/* Rows of one collection that were found together. */
struct found {
    const char *collection;
    const struct dependent *dependent; /* NULL: the chosen documents themselves */
    struct mongo_document *rows;
    size_t *roots; /* of each row: index into the work's documents */
    size_t count;
};

/* Something of `by` refers to something of `root`: where `by` must stay, `root` must too. */
struct tie {
    size_t root, by;
};

struct walk {
    struct mongo_store *store;
    mongoc_client_session_t *session;
    struct mongo_work *work;
    struct arena *arena;
    struct mongo_map seen; /* collection and _id */
    struct found *found;   /* also the list of what is still to be looked at */
    size_t n_found;
    size_t budget;         /* rows that may still be found */
    bool numbers_only;     /* count: leaves are counted, not read */
    int64_t *counted;      /* by root */
    struct tie *ties;
    size_t n_ties;
    bool truncated;        /* the budget did not suffice; the last of `found` is what it was spent on */
};

bool mongo_is_walked(const struct order *order) {
    return order->target->n_dependents || order->blocked_only || (order->action == ACTION_ANONYMIZE && !order->target->marker);
}

static const char *parent_of(const struct target *target, const struct dependent *dependent) {
    return dependent->join.parent_table ? dependent->join.parent_table : target->name;
}

static const char *parent_path(const struct dependent *dependent, size_t column) {
    return dependent->join.parent_table ? dependent->join.parent_columns[column] : "_id";
}

const struct target *mongo_own_target(const struct mongo_store *store, const struct target *target, const struct dependent *dependent) {
    const struct schedule *schedule = store->base.settings.schedule;
    if (!strcmp(dependent->join.child_table, target->name)) return NULL; /* a tree */
    for (size_t i = 0; i < schedule->n_targets; i++) {
        const struct target *other = schedule->targets[i];
        if (other->store == target->store && other->kind == TARGET_COLLECTION && !strcmp(other->name, dependent->join.child_table)) return other;
    }
    return NULL;
}

/* Nothing hangs on it, and no other line leads to its collection: its documents can be counted without being told apart. */
static bool is_leaf(const struct target *target, const struct dependent *dependent) {
    for (size_t i = 0; i < target->n_dependents; i++) {
        const struct dependent *other = &target->dependents[i];
        if (!strcmp(parent_of(target, other), dependent->join.child_table)) return false;
        if (other != dependent && !strcmp(other->join.child_table, dependent->join.child_table)) return false;
    }
    return true;
}

/* Whether something happens to the dependent under the order. */
static bool goes(const struct walk *walk, const struct dependent *dependent) {
    return dependent && (walk->work->order->action == ACTION_PURGE || dependent->when_anonymized != WHEN_ANONYMIZED_AS_IS);
}

/* ---- keys ---- */

/* The integer 7 and the double 7.0 are one value to MongoDB; everything else is compared as it is. */
static void append_key(bson_t *key, const bson_iter_t *value) {
    double number = BSON_ITER_HOLDS_DOUBLE(value) ? bson_iter_double(value) : 0;
    bool whole = BSON_ITER_HOLDS_DOUBLE(value) && number > -9e15 && number < 9e15 && (double)(int64_t)number == number;
    if (whole || BSON_ITER_HOLDS_INT32(value)) BSON_APPEND_INT64(key, "", bson_iter_as_int64(value));
    else bson_append_iter(key, "", 0, value);
}

/* Where an answer has the values that the child's columns hold: at their paths or, in a grouped one, in its _id. */
struct path_text { char text[1024]; };
static struct path_text path_in_answer(const struct dependent *dependent, size_t column, bool grouped) {
    struct path_text path;
    if (grouped) (void)snprintf(path.text, sizeof path.text, "_id.v%zu", column);
    else (void)snprintf(path.text, sizeof path.text, "%s", dependent->join.child_columns[column]);
    return path;
}

static bool append_key_at(bson_t *key, const bson_t *document, const char *path) {
    bson_iter_t value;
    if (!mongo_scalar_at(document, path, &value) || BSON_ITER_HOLDS_NULL(&value) || BSON_ITER_HOLDS_UNDEFINED(&value)) return false;
    append_key(key, &value);
    return true;
}

/* Several values of one document as one key; false: one is missing, null or below an array. */
static bool key_of_parent(const bson_t *document, const struct dependent *dependent, bson_t *key) {
    for (size_t i = 0; i < dependent->join.n_columns; i++)
        if (!append_key_at(key, document, parent_path(dependent, i))) return false;
    return true;
}

static bool key_of_child(const bson_t *document, const struct dependent *dependent, bool grouped, bson_t *key) {
    for (size_t i = 0; i < dependent->join.n_columns; i++)
        if (!append_key_at(key, document, path_in_answer(dependent, i, grouped).text)) return false;
    return true;
}

/* Whether the document was not met before; *ret_root: the root it belongs to, this one or the one it was met with. */
static bool first_time(struct walk *walk, const char *collection, const bson_t *document, size_t root, size_t *ret_root) {
    bson_t key = BSON_INITIALIZER;
    bson_iter_t id;
    mongo_append_utf8(&key, "", collection);
    if (bson_iter_init_find(&id, document, "_id")) append_key(&key, &id);
    bool first = mongo_map_put(&walk->seen, bson_get_data(&key), key.len, root);
    *ret_root = root;
    if (!first) (void)mongo_map_get(&walk->seen, bson_get_data(&key), key.len, ret_root);
    bson_destroy(&key);
    return first;
}

/* ---- asking ---- */

/* The documents whose dependents are asked for, joined by key. */
struct parents {
    struct mongo_map roots; /* key -> root */
    bson_t values;          /* of the $in, or the alternatives of the $or */
    uint32_t count;
};

static bool is_blocked(const struct walk *walk, size_t root) { return walk->work->documents[root].blocked_by; }

/* What is blocked is not looked into, unless it is to be anonymized all the same. */
static bool is_of_interest(const struct walk *walk, size_t root) {
    return walk->work->order->action == ACTION_ANONYMIZE || !is_blocked(walk, root);
}

static void append_pairs(bson_t *values, uint32_t *index, const struct dependent *dependent, const bson_t *parent) {
    bson_t pairs = BSON_INITIALIZER;
    for (size_t i = 0; i < dependent->join.n_columns; i++) {
        bson_iter_t value;
        if (mongo_scalar_at(parent, parent_path(dependent, i), &value)) bson_append_iter(&pairs, dependent->join.child_columns[i], -1, &value);
    }
    mongo_push(values, index, &pairs);
    bson_destroy(&pairs);
}

static void add_parent(struct parents *parents, const struct dependent *dependent, const bson_t *parent, size_t root) {
    bson_t key = BSON_INITIALIZER;
    if (key_of_parent(parent, dependent, &key) && mongo_map_put(&parents->roots, bson_get_data(&key), key.len, root)) {
        if (dependent->join.n_columns > 1) append_pairs(&parents->values, &parents->count, dependent, parent);
        else {
            bson_iter_t value;
            char room[16];
            const char *name;
            (void)bson_uint32_to_string(parents->count++, &name, room, sizeof room);
            if (mongo_scalar_at(parent, parent_path(dependent, 0), &value)) bson_append_iter(&parents->values, name, -1, &value);
        }
    }
    bson_destroy(&key);
}

static bson_t *filter_of(const struct parents *parents, const struct dependent *dependent) {
    return dependent->join.n_columns > 1 ? BCON_NEW("$or", BCON_ARRAY(&parents->values))
                                         : BCON_NEW(dependent->join.child_columns[0], "{", "$in", BCON_ARRAY(&parents->values), "}");
}

void mongo_walk_project(const struct target *target, const char *collection, bson_t *projection) {
    for (size_t i = 0; i < target->n_dependents; i++) {
        const struct dependent *dependent = &target->dependents[i];
        bool refers = !strcmp(parent_of(target, dependent), collection);
        for (size_t j = 0; refers && j < dependent->join.n_columns; j++) {
            const char *path = parent_path(dependent, j);
            if (strcmp(path, "_id") && !text_starts_with(path, "_id.") && !bson_has_field(projection, path)) BSON_APPEND_INT32(projection, path, 1);
        }
    }
}

/* Every root that a value of the child refers to, through arrays as well; returns how many. */
static size_t block_through(struct walk *walk, const struct parents *parents, const struct dependent *dependent, const bson_iter_t *at, const char *rest) {
    bson_iter_t iter = *at, child;
    size_t count = 0;
    if (BSON_ITER_HOLDS_ARRAY(&iter)) {
        if (bson_iter_recurse(&iter, &child))
            while (bson_iter_next(&child)) count += block_through(walk, parents, dependent, &child, rest);
        return count;
    }
    if (*rest) {
        size_t length = strcspn(rest, ".");
        if (!BSON_ITER_HOLDS_DOCUMENT(&iter) || !bson_iter_recurse(&iter, &child) || !bson_iter_find_w_len(&child, rest, (int)length)) return 0;
        return block_through(walk, parents, dependent, &child, rest[length] ? rest + length + 1 : "");
    }
    bson_t key = BSON_INITIALIZER;
    size_t root;
    append_key(&key, &iter);
    bool known = mongo_map_get(&parents->roots, bson_get_data(&key), key.len, &root);
    if (known) walk->work->documents[root].blocked_by = dependent->join.child_table;
    bson_destroy(&key);
    return known;
}

/* A child that refers to several records: of one column its roots can be told. Of several columns, or if MongoDB finds values equal
 * that differ to us (a decimal and an integer), all that were asked for are meant. */
static void block_ambiguous(struct walk *walk, const struct found *from, const struct parents *parents, const struct dependent *dependent,
                            const bson_t *child, bool grouped) {
    const struct path_text place = path_in_answer(dependent, 0, grouped);
    const char *path = place.text;
    size_t length = strcspn(path, ".");
    bson_iter_t iter;
    if (dependent->join.n_columns == 1 && bson_iter_init(&iter, child) && bson_iter_find_w_len(&iter, path, (int)length) &&
        block_through(walk, parents, dependent, &iter, path[length] ? path + length + 1 : ""))
        return;
    for (size_t i = 0; i < from->count; i++) walk->work->documents[from->roots[i]].blocked_by = dependent->join.child_table;
}

/* One answer: a child, or in the grouped question the values that some children share, with their number. */
static void take_child(struct walk *walk, const struct found *from, const struct parents *parents, const struct dependent *dependent,
                       const bson_t *child, bool grouped, struct found *to) {
    bson_t key = BSON_INITIALIZER;
    size_t root, met_with;
    bool scalar = key_of_child(child, dependent, grouped, &key);
    bool known = scalar && mongo_map_get(&parents->roots, bson_get_data(&key), key.len, &root);
    bson_destroy(&key);
    if (!known) block_ambiguous(walk, from, parents, dependent, child, grouped);
    else if (mongo_own_target(walk->store, walk->work->bound->target, dependent)) walk->work->documents[root].blocked_by = dependent->join.child_table;
    else if (grouped) {
        bson_iter_t number;
        if (bson_iter_init_find(&number, child, "n")) walk->counted[root] += bson_iter_as_int64(&number);
    } else if (!first_time(walk, dependent->join.child_table, child, root, &met_with)) {
        if (met_with != root) *ARENA_APPEND(walk->arena, walk->ties, walk->n_ties) = (struct tie){root, met_with};
    } else {
        size_t count = to->count;
        struct mongo_document *row = ARENA_APPEND(walk->arena, to->rows, count);
        *row = (struct mongo_document){.found = mongo_keep(walk->arena, child), .tenant = ""};
        *ARENA_APPEND(walk->arena, to->roots, to->count) = root;
        walk->counted[root]++;
    }
}

/* [{$match}, {$group: {_id: {v0: "$column", …}, n}}] */
static bson_t *grouped_pipeline(const struct parents *parents, const struct dependent *dependent) {
    bson_t id = BSON_INITIALIZER;
    MONGO_BSON filter = filter_of(parents, dependent);
    for (size_t i = 0; i < dependent->join.n_columns; i++) {
        char name[24], from[1024];
        (void)snprintf(name, sizeof name, "v%zu", i);
        (void)snprintf(from, sizeof from, "$%s", dependent->join.child_columns[i]);
        mongo_append_utf8(&id, name, from);
    }
    bson_t *pipeline = BCON_NEW("pipeline", "[", "{", "$match", BCON_DOCUMENT(filter), "}", "{", "$group", "{", "_id", BCON_DOCUMENT(&id), "n", "{", "$sum",
                                BCON_INT32(1), "}", "}", "}", "]");
    bson_destroy(&id);
    return pipeline;
}

/* One path may not be projected within another; a tenant that is not found is nobody's. */
static bool is_projected(const bson_t *projection, const char *path) {
    bson_iter_t iter;
    if (!bson_iter_init(&iter, projection)) return false;
    while (bson_iter_next(&iter)) {
        const char *other = bson_iter_key(&iter);
        size_t length = strlen(other) < strlen(path) ? strlen(other) : strlen(path);
        if (!strncmp(other, path, length) && strchr(".", other[length]) && strchr(".", path[length])) return true;
    }
    return false;
}

/* Whose the children are, where they are a target of their own. */
static void project_tenants(const struct walk *walk, const struct dependent *dependent, bson_t *projection) {
    const struct mongo_going *going = walk->work->going;
    for (size_t i = 0; i < going->n_orders; i++) {
        const struct target *target = going->orders[i]->target;
        bool asked = !strcmp(target->name, dependent->join.child_table) && target->tenant;
        if (asked && !is_projected(projection, target->tenant)) BSON_APPEND_INT32(projection, target->tenant, 1);
    }
}

static int question(struct walk *walk, const struct parents *parents, const struct dependent *dependent, bool grouped,
                    mongoc_cursor_t **ret_cursor, struct err *err) {
    if (grouped) {
        MONGO_BSON pipeline = grouped_pipeline(parents, dependent);
        return mongo_aggregate(walk->store, walk->session, dependent->join.child_table, pipeline, NULL, ret_cursor, err);
    }
    MONGO_BSON filter = filter_of(parents, dependent);
    MONGO_BSON projection = BCON_NEW("_id", BCON_INT32(1));
    for (size_t i = 0; i < dependent->join.n_columns; i++)
        if (strcmp(dependent->join.child_columns[i], "_id")) BSON_APPEND_INT32(projection, dependent->join.child_columns[i], 1);
    mongo_walk_project(walk->work->bound->target, dependent->join.child_table, projection);
    if (walk->work->going) project_tenants(walk, dependent, projection);
    bool all = walk->work->order->action == ACTION_ANONYMIZE && dependent->when_anonymized == WHEN_ANONYMIZED_COLUMNS;
    const struct mongo_find find = {.filter = filter, .projection = all ? NULL : projection};
    return mongo_find(walk->store, walk->session, dependent->join.child_table, &find, ret_cursor, err);
}

static int ask_parents(struct walk *walk, const struct found *from, const struct parents *parents, const struct dependent *dependent, bool grouped,
                       struct found *to, struct err *err) {
    MONGO_CURSOR cursor = NULL;
    if (question(walk, parents, dependent, grouped, &cursor, err)) return -1;
    while (!walk->truncated) {
        const bson_t *child;
        if (mongo_next(walk->store, cursor, "look for dependents", &child, err)) return err_within(err, "collection \"%s\"", dependent->join.child_table);
        if (!child) break;
        take_child(walk, from, parents, dependent, child, grouped, to);
        walk->truncated = to->count > walk->budget;
    }
    return 0;
}

static int take_those_that_stay(struct walk *walk, const struct found *from, const struct parents *parents, const struct dependent *dependent,
                                const bson_t *const *children, size_t count, struct err *err) {
    bool stays[MONGO_IDS_A_QUESTION];
    struct found none = {0};
    if (mongo_going_ask(walk->store, walk->work, dependent->join.child_table, children, count, stays, err)) return -1;
    for (size_t i = 0; i < count; i++)
        if (stays[i]) take_child(walk, from, parents, dependent, children[i], false, &none);
    return 0;
}

/* Children that are targets of their own, for a count: those that go in the same sweep do not block. */
static int ask_own_targets(struct walk *walk, const struct found *from, const struct parents *parents, const struct dependent *dependent, struct err *err) {
    const bson_t **children = ARENA_ARRAY(walk->arena, const bson_t *, MONGO_IDS_A_QUESTION);
    MONGO_CURSOR cursor = NULL;
    if (question(walk, parents, dependent, false, &cursor, err)) return -1;
    for (size_t count = 0;;) {
        const bson_t *child;
        if (mongo_next(walk->store, cursor, "look for dependents", &child, err)) return err_within(err, "collection \"%s\"", dependent->join.child_table);
        if (child) children[count++] = mongo_keep(walk->arena, child);
        if (count && (!child || count == MONGO_IDS_A_QUESTION)) {
            if (take_those_that_stay(walk, from, parents, dependent, children, count, err)) return -1;
            count = 0;
        }
        if (!child) return 0;
    }
}

/* The children in one collection of everything in `from`. */
static int ask_dependent(struct walk *walk, size_t from_index, const struct dependent *dependent, struct err *err) {
    const struct target *target = walk->work->bound->target;
    bool owned = mongo_own_target(walk->store, target, dependent);
    bool grouped = owned || (walk->numbers_only && is_leaf(target, dependent));
    struct found to = {.collection = dependent->join.child_table, .dependent = dependent};
    int result = 0;
    for (size_t at = 0; !result && !walk->truncated && at < walk->found[from_index].count;) {
        const struct found *from = &walk->found[from_index];
        struct parents parents = {.roots = {.arena = walk->arena}, .values = BSON_INITIALIZER};
        for (; at < from->count && parents.count < MONGO_IDS_A_QUESTION; at++)
            if (is_of_interest(walk, from->roots[at])) add_parent(&parents, dependent, from->rows[at].found, from->roots[at]);
        if (parents.count)
            result = owned && walk->work->going ? ask_own_targets(walk, from, &parents, dependent, err)
                                                : ask_parents(walk, from, &parents, dependent, grouped, &to, err);
        bson_destroy(&parents.values);
    }
    if (walk->budget != SIZE_MAX) walk->budget -= walk->truncated ? walk->budget : to.count;
    if (to.count) *ARENA_APPEND(walk->arena, walk->found, walk->n_found) = to;
    return result;
}

/* Blockers first: what is blocked is not looked into. */
static int explore(struct walk *walk, struct err *err) {
    const struct target *target = walk->work->bound->target;
    for (size_t i = 0; i < walk->n_found && !walk->truncated; i++)
        for (int pass = 0; pass < 2; pass++)
            for (size_t j = 0; j < target->n_dependents && !walk->truncated; j++) {
                const struct dependent *dependent = &target->dependents[j];
                bool blocker = mongo_own_target(walk->store, target, dependent);
                if (!blocker && !goes(walk, dependent)) continue;
                if (blocker != !pass || strcmp(parent_of(target, dependent), walk->found[i].collection)) continue;
                if (ask_dependent(walk, i, dependent, err)) return -1;
            }
    return 0;
}

/* What a blocked document refers to is blocked as well. */
static void tie_blocked(struct walk *walk) {
    for (bool again = true; again;) {
        again = false;
        for (size_t i = 0; i < walk->n_ties; i++) {
            struct mongo_document *root = &walk->work->documents[walk->ties[i].root];
            if (root->blocked_by || !is_blocked(walk, walk->ties[i].by)) continue;
            root->blocked_by = walk->work->documents[walk->ties[i].by].blocked_by;
            again = true;
        }
    }
}

/* ---- from the documents, or from rows below one of them ---- */

static void start(struct walk *walk, const struct found *from, size_t count, size_t limit) {
    walk->seen = (struct mongo_map){.arena = walk->arena};
    walk->found = NULL;
    walk->n_found = 0;
    walk->truncated = false;
    walk->budget = limit == SIZE_MAX ? SIZE_MAX : limit > count ? limit - count : 0;
    walk->counted = ARENA_ARRAY(walk->arena, int64_t, walk->work->n_documents);
    struct found *first = ARENA_APPEND(walk->arena, walk->found, walk->n_found);
    *first = *from;
    first->count = count;
    walk->ties = NULL;
    walk->n_ties = 0;
    for (size_t i = 0, root; i < count; i++) (void)first_time(walk, from->collection, from->rows[i].found, from->roots[i], &root);
}

static struct found documents_of(struct walk *walk) {
    struct mongo_work *work = walk->work;
    struct found found = {.collection = work->bound->target->name, .rows = work->documents, .count = work->n_documents};
    found.roots = ARENA_ARRAY(walk->arena, size_t, work->n_documents);
    for (size_t i = 0; i < work->n_documents; i++) found.roots[i] = i;
    return found;
}

/* A blocker deeper than the first level may be out of sight when only a part of a large document's dependents is looked at. */
static const char *deep_blocker(const struct walk *walk) {
    const struct target *target = walk->work->bound->target;
    for (size_t i = 0; i < target->n_dependents; i++)
        if (mongo_own_target(walk->store, target, &target->dependents[i]) && strcmp(parent_of(target, &target->dependents[i]), target->name))
            return target->dependents[i].join.child_table;
    return NULL;
}

/* Finds as many documents with all that depends on them as fit: half of them, and half again; of a single one that is too large
 * only rows at its outer end, so that it fits one day. *ret_drained: the documents themselves stay. */
static int fit(struct walk *walk, size_t limit, size_t *ret_taken, bool *ret_drained, struct err *err) {
    struct found from = documents_of(walk);
    size_t count = from.count;
    *ret_drained = false;
    for (;;) {
        start(walk, &from, count, limit);
        if (explore(walk, err)) return -1;
        tie_blocked(walk);
        if (!*ret_drained) *ret_taken = count;
        if (!walk->truncated) return 0;
        if (count > 1) {
            count /= 2;
            continue;
        }
        struct mongo_document *root = &walk->work->documents[from.roots[0]];
        if (!root->blocked_by) root->blocked_by = deep_blocker(walk);
        if (root->blocked_by && walk->work->order->action == ACTION_PURGE) return 0;
        from = walk->found[walk->n_found - 1];
        count = from.count;
        *ret_drained = true;
    }
}

/* ---- what the batch does with it ---- */

/* A purge takes those that are free, an anonymization of blocked ones those that are not, any other all. */
static bool is_taken(const struct mongo_work *work, const struct mongo_document *document) {
    if (work->order->action == ACTION_PURGE) return !document->blocked_by;
    return !work->order->blocked_only || document->blocked_by;
}

/* Reverse: what was found last refers to what was found before. */
static void list_children(struct walk *walk) {
    struct mongo_work *work = walk->work;
    for (size_t i = walk->n_found; i > 0; i--) {
        const struct found *found = &walk->found[i - 1];
        if (!goes(walk, found->dependent)) continue;
        struct mongo_children children = {.collection = found->collection, .dependent = found->dependent};
        children.documents = ARENA_ARRAY(work->arena, struct mongo_document, found->count);
        for (size_t j = 0; j < found->count; j++)
            if (is_taken(work, &work->documents[found->roots[j]])) children.documents[children.count++] = found->rows[j];
        if (children.count) *ARENA_APPEND(work->arena, work->children, work->n_children) = children;
    }
}

static void split(struct mongo_work *work, size_t taken) {
    struct mongo_document *mine = ARENA_ARRAY(work->arena, struct mongo_document, taken);
    struct mongo_document *others = ARENA_ARRAY(work->arena, struct mongo_document, taken);
    size_t n_mine = 0, n_others = 0;
    for (size_t i = 0; i < taken; i++) {
        if (is_taken(work, &work->documents[i])) mine[n_mine++] = work->documents[i];
        else others[n_others++] = work->documents[i];
    }
    work->documents = mine;
    work->n_documents = n_mine;
    work->kept = others;
    work->n_kept = n_others;
}

int mongo_walk(struct mongo_store *store, mongoc_client_session_t *session, struct mongo_work *work, size_t limit, size_t *ret_taken, struct err *err) {
    struct walk walk = {.store = store, .session = session, .work = work, .arena = work->arena};
    size_t taken = work->n_documents;
    bool drained = false;
    if (work->n_documents && work->bound->target->n_dependents) {
        /* What is changed stays, so that a document is not done piece by piece. */
        if (fit(&walk, work->order->action == ACTION_PURGE ? limit : SIZE_MAX, &taken, &drained, err)) return -1;
        list_children(&walk);
    }
    if (drained) {
        work->drained = work->documents;
        work->n_documents = 0;
        taken = 0;
    } else {
        split(work, taken);
    }
    *ret_taken = taken;
    return 0;
}

int mongo_walk_count(struct mongo_store *store, struct mongo_work *work, int64_t *ret_dependents, struct err *err) {
    struct walk walk = {.store = store, .work = work, .arena = work->arena, .numbers_only = true};
    struct found from = documents_of(&walk);
    int64_t dependents = 0;
    start(&walk, &from, from.count, SIZE_MAX);
    if (work->n_documents && explore(&walk, err)) return -1;
    tie_blocked(&walk);
    for (size_t i = 0; i < work->n_documents; i++)
        if (is_taken(work, &work->documents[i])) dependents += walk.counted[i];
    split(work, work->n_documents);
    *ret_dependents = dependents;
    return 0;
}
