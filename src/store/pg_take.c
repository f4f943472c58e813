/* Choose, look again under the lock, destroy children before parents. Every destroyed record passes through note_record
 * or note_dependents. */
#include "store/pg_take.h"

#include "store/pg_anonymize.h"

#include "base/time.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- what was destroyed ---- */

/* The leaf of a row of `result` whose key's columns begin at `column`. */
static void note_leaf(struct pg_making *making, const char *target, const struct pg_table *table, const PGresult *result, int row, int column) {
    char room[PG_VALUE_ROOM];
    if (!table->n_key) {
        making->unnamed = true;
        return;
    }
    evidence_record(making->evidence, target);
    for (int i = 0; i < (int)table->n_key; i++) evidence_text(making->evidence, pg_value_text(result, row, column + i, room));
    evidence_add(making->evidence);
}

static void note_records(struct pg_making *making, const PGresult *result) {
    const struct pg_bound *bound = making->run->due.bound;
    char room[PG_VALUE_ROOM];
    int64_t began_us = time_monotonic_us();
    for (int i = 0; i < PQntuples(result); i++) {
        const struct pg_record record = pg_run_record(result, i, room);
        pg_taken_add(&making->gone, &record);
        note_leaf(making, bound->target->name, bound->table, result, i, PG_RUN_RECORD_COLUMNS);
    }
    making->evidence_us += time_monotonic_us() - began_us;
}

/* Rows of tableoid and key. */
static void note_dependents(struct pg_making *making, const struct pg_dependent *dependent, const PGresult *result) {
    const struct pg_bound *bound = making->run->due.bound;
    const char *name = dependent->table == bound->table ? bound->target->name : dependent->conf->join.child_table;
    int64_t began_us = time_monotonic_us();
    for (int i = 0; i < PQntuples(result); i++) {
        making->dependents++;
        note_leaf(making, name, dependent->table, result, i, 1);
    }
    making->evidence_us += time_monotonic_us() - began_us;
}

/* " RETURNING …" of the target's rows. */
static void add_returning(struct pg_sql *sql, const struct pg_run *run) {
    buf_add(&sql->text, " RETURNING ");
    pg_run_add_record(sql, run);
    pg_add_key(sql, run->due.bound->table, "t");
}

static const char *ctid_array(struct arena *arena, const struct pg_record *records, size_t count) {
    struct buf array __attribute__((cleanup(buf_free))) = {0};
    buf_add_char(&array, '{');
    for (size_t i = 0; i < count; i++) pg_ctid_add_item(&array, records[i].ctid);
    buf_add_char(&array, '}');
    return arena_strdup(arena, buf_text(&array));
}

/* The whole predicate once more, of rows that were chosen: choosing is never trusted. */
static void add_again(struct pg_sql *sql, const struct pg_run *run, enum pg_blocked blocked) {
    struct pg_due due = run->due;
    due.by_place = true;
    pg_add_scope(sql, &due, &run->scope);
    buf_add(&sql->text, " AND ");
    pg_add_rest(sql, &due, blocked);
}

/* ---- the fast way: one statement, for records that nothing hangs on ---- */

void pg_take_add(struct pg_sql *sql, const struct pg_run *run, size_t limit) {
    pg_add_delete(sql, &run->due);
    buf_add(&sql->text, "t.ctid = ANY(ARRAY(");
    pg_run_add_choice(sql, run, "t.ctid", limit, false);
    buf_add(&sql->text, ")) AND ");
    add_again(sql, run, PG_BLOCKED_NOT);
    add_returning(sql, run);
}

int pg_take_at_once(struct pg_making *making, struct err *err) {
    PG_SQL sql = {.arena = making->arena};
    PG_RESULT result = NULL;
    pg_take_add(&sql, making->run, making->limit);
    if (pg_run(making->store, &sql, &result, err) < 0) return -1;
    note_records(making, result);
    making->deleted += PQntuples(result);
    making->chosen = making->gone;
    making->full = making->gone.records >= making->limit;
    return 0;
}

/* ---- the careful way ---- */

size_t pg_take_most(const struct pg_making *making) {
    size_t parents = making->run->careful ? *making->parents : 0;
    return parents && parents < making->limit ? parents : making->limit;
}

/* Strings of a record must outlive its result. */
static struct pg_record kept(struct arena *arena, struct pg_record record) {
    record.tenant = arena_strdup(arena, record.tenant);
    record.anchor = arena_strdup(arena, record.anchor);
    return record;
}

static int choose(struct pg_making *making, struct pg_record **ret_records, size_t *ret_count, struct err *err) {
    const struct pg_run *run = making->run;
    PG_SQL columns = {.arena = making->arena};
    PG_SQL sql = {.arena = making->arena, .binary = true};
    PG_RESULT result = NULL;
    pg_run_add_record(&columns, run);
    assert(!columns.n_parameters);
    size_t limit = pg_take_most(making);
    pg_run_add_choice(&sql, run, buf_text(&columns.text), limit, true);
    if (pg_run(making->store, &sql, &result, err) < 0) return -1;
    char room[PG_VALUE_ROOM];
    *ret_count = (size_t)PQntuples(result);
    *ret_records = ARENA_ARRAY(making->arena, struct pg_record, *ret_count);
    for (size_t i = 0; i < *ret_count; i++) (*ret_records)[i] = kept(making->arena, pg_run_record(result, (int)i, room));
    making->full = *ret_count >= limit;
    return 0;
}

static void note_chosen(struct pg_making *making, const struct pg_record *records, size_t count) {
    making->chosen = (struct pg_taken){.arena = making->arena};
    for (size_t i = 0; i < count; i++) pg_taken_add(&making->chosen, &records[i]);
}

static int by_ctid(const void *a, const void *b) { return pg_ctid_compare(*(const struct pg_ctid *)a, *(const struct pg_ctid *)b); }

/* Which of the locked records still meet the whole predicate, seen anew: what refers to them may have come meanwhile; from
 * now on a foreign key has to wait for our lock. */
static int look_again(struct pg_making *making, struct pg_record *records, size_t *count, struct err *err) {
    const struct pg_run *run = making->run;
    PG_SQL sql = {.arena = making->arena, .binary = true};
    PG_RESULT result = NULL;
    buf_add(&sql.text, "SELECT t.ctid FROM ");
    pg_add_source(&sql, &run->due);
    buf_add(&sql.text, " WHERE t.ctid = ANY(");
    pg_add_parameter(&sql, ctid_array(making->arena, records, *count), "tid[]");
    buf_add(&sql.text, ") AND ");
    add_again(&sql, run, pg_blocked_of(&run->order));
    if (pg_run(making->store, &sql, &result, err) < 0) return -1;
    size_t n_good = (size_t)PQntuples(result), left = 0;
    struct pg_ctid *good = ARENA_ARRAY(making->arena, struct pg_ctid, n_good);
    for (size_t i = 0; i < n_good; i++) good[i] = pg_value_ctid(result, (int)i, 0);
    if (n_good) qsort(good, n_good, sizeof *good, by_ctid);
    for (size_t i = 0; i < *count; i++)
        if (n_good && bsearch(&records[i].ctid, good, n_good, sizeof *good, by_ctid)) records[left++] = records[i];
    *count = left;
    return 0;
}

static const char *leaf_source(struct arena *arena, const struct pg_run *run) {
    return arena_printf(arena, "ONLY %s AS t", run->due.leaf->quoted);
}

/* "…, ONLY leaf AS t WHERE …": what ties the rows d0 of a dependent that is deleted from to these records. */
static void add_tie(struct pg_sql *sql, const struct pg_run *run, const struct pg_dependent *dependent, const char *ctids) {
    if (dependent->n_path > 1) {
        pg_add_path(sql, dependent, 1);
        buf_add(&sql->text, ", ");
    }
    buf_printf(&sql->text, "%s WHERE ", leaf_source(sql->arena, run));
    if (dependent->n_path > 1) {
        pg_add_link(sql, &dependent->path[0], "d0", "d1");
        buf_add(&sql->text, " AND ");
    }
    pg_add_path_tie(sql, dependent);
    buf_add(&sql->text, " AND t.ctid = ANY(");
    pg_add_parameter(sql, ctids, "tid[]");
    buf_add_char(&sql->text, ')');
}

static void add_tree_of(struct pg_sql *sql, const struct pg_run *run, const struct pg_dependent *dependent, const char *ctids) {
    *ARENA_APPEND(sql->arena, sql->parameters, sql->n_parameters) = ctids;
    pg_add_tree(sql, dependent, leaf_source(sql->arena, run), arena_printf(sql->arena, "t.ctid = ANY($%zu::tid[])", sql->n_parameters));
}

/* How many rows of a dependent these records have that something has to be done about, counted up to `most`. */
static int count_dependent(struct pg_making *making, const struct pg_dependent *dependent, enum pg_fate fate, const char *ctids, size_t most,
                           size_t *ret_count, struct err *err) {
    PG_SQL sql = {.arena = making->arena};
    PG_RESULT result = NULL;
    *ARENA_APPEND(sql.arena, sql.parameters, sql.n_parameters) = ctids;
    buf_add(&sql.text, "SELECT count(*) FROM (");
    pg_add_dependents(&sql, dependent, "", leaf_source(making->arena, making->run), "t.ctid = ANY($1::tid[])");
    if (pg_add_dependent_due(&sql, dependent, fate, err) < 0) return -1;
    buf_printf(&sql.text, " LIMIT %zu) AS s", most);
    if (pg_run(making->store, &sql, &result, err) < 0) return -1;
    *ret_count = (size_t)strtoull(PQgetvalue(result, 0, 0), NULL, 10);
    return 0;
}

/* The same of all dependents. */
static int count_dependents(struct pg_making *making, const char *ctids, size_t most, size_t *ret_count, struct err *err) {
    const struct pg_run *run = making->run;
    size_t total = 0;
    for (size_t i = 0; i < run->due.bound->n_dependents && total < most; i++) {
        const struct pg_dependent *dependent = &run->due.bound->dependents[i];
        enum pg_fate fate = pg_fate_of(&run->order, dependent);
        size_t count;
        if (fate == PG_LEFT_ALONE) continue;
        if (count_dependent(making, dependent, fate, ctids, most - total, &count, err) < 0) return -1;
        total += count;
    }
    *ret_count = total;
    return 0;
}

/* How many records to begin the next batch with, if they have as many dependents as these; a little less, or every other
 * batch would be cut down. */
static size_t fitting(size_t limit, size_t records, size_t dependents) {
    size_t share = limit * records / (records + dependents);
    return share > 10 ? share - share / 10 : share ? share : 1;
}

/* Takes so many of the records that they and their dependents fit into the batch; *count 0: not even one does. */
static int fit(struct pg_making *making, const struct pg_record *records, size_t *count, struct err *err) {
    size_t take = *making->parents && *making->parents < *count ? *making->parents : *count;
    for (;;) {
        size_t most = making->limit - take + 1, found;
        if (count_dependents(making, ctid_array(making->arena, records, take), most, &found, err) < 0) return -1;
        if (take + found <= making->limit) {
            *making->parents = fitting(making->limit, take, found);
            *count = take;
            return 0;
        }
        if (take == 1) break;
        take /= 2;
    }
    *making->parents = 1;
    *count = 0;
    return 0;
}

static int destroy_dependent(struct pg_making *making, const struct pg_dependent *dependent, const char *ctids, struct err *err) {
    const struct pg_run *run = making->run;
    PG_SQL sql = {.arena = making->arena, .binary = true};
    PG_RESULT result = NULL;
    bool on_tree = dependent->tree < dependent->n_path;
    const char *alias = on_tree ? "z" : "d0";
    if (on_tree) {
        *ARENA_APPEND(sql.arena, sql.parameters, sql.n_parameters) = ctids;
        buf_printf(&sql.text, "DELETE FROM %s AS z USING (", dependent->table->quoted);
        pg_add_dependents(&sql, dependent, "d0.tableoid AS o, d0.ctid AS c", leaf_source(making->arena, run), "t.ctid = ANY($1::tid[])");
        buf_add(&sql.text, ") AS s WHERE z.tableoid = s.o AND ");
        pg_add_at(&sql, "z", "s.c");
    } else {
        buf_printf(&sql.text, "DELETE FROM %s AS d0 USING ", dependent->table->quoted);
        add_tie(&sql, run, dependent, ctids);
    }
    buf_printf(&sql.text, " RETURNING %s.tableoid", alias);
    pg_add_key(&sql, dependent->table, alias);
    if (pg_run(making->store, &sql, &result, err) < 0) return err_within(err, "dependents in \"%s\"", dependent->table->name);
    note_dependents(making, dependent, result);
    making->deleted += PQntuples(result);
    return 0;
}

/* At most `limit` rows of a dependent, leaves of a tree first. What carries them is locked with them: it cannot go over to another
 * record meanwhile, and where it just has, they stay. */
static int drain_dependent(struct pg_making *making, const struct pg_dependent *dependent, const char *ctids, size_t limit, struct err *err) {
    const struct pg_run *run = making->run;
    PG_SQL sql = {.arena = making->arena, .binary = true};
    PG_RESULT result = NULL;
    if (dependent->self) {
        const struct pg_link *step = &dependent->path[0];
        add_tree_of(&sql, run, dependent, ctids);
        buf_printf(&sql.text, "DELETE FROM %s AS z USING (SELECT tree.o, tree.c::tid AS c FROM tree WHERE NOT EXISTS (SELECT FROM %s AS x WHERE ",
                   dependent->table->quoted, dependent->table->quoted);
        for (size_t i = 0; i < step->n_columns; i++) {
            pg_add_column(&sql, "x", &step->child->columns[step->child_columns[i]]);
            buf_printf(&sql.text, " = tree.k%zu AND ", i);
        }
        buf_add(&sql.text, "(x.tableoid, x.ctid::text) <> (tree.o, tree.c))");
    } else {
        buf_printf(&sql.text, "DELETE FROM %s AS z USING (", dependent->table->quoted);
        *ARENA_APPEND(sql.arena, sql.parameters, sql.n_parameters) = ctids;
        pg_add_dependents(&sql, dependent, "d0.tableoid AS o, d0.ctid AS c", leaf_source(making->arena, run), "t.ctid = ANY($1::tid[])");
    }
    buf_printf(&sql.text, " LIMIT %zu", limit);
    if (!dependent->self) pg_add_locks(&sql, &run->due, dependent, false);
    buf_add(&sql.text, ") AS s WHERE z.tableoid = s.o AND ");
    pg_add_at(&sql, "z", "s.c");
    buf_add(&sql.text, " RETURNING z.tableoid");
    pg_add_key(&sql, dependent->table, "z");
    if (pg_run(making->store, &sql, &result, err) < 0) return err_within(err, "dependents in \"%s\"", dependent->table->name);
    note_dependents(making, dependent, result);
    making->deleted += PQntuples(result);
    return 0;
}

static int anonymize_dependent(struct pg_making *making, const struct pg_dependent *dependent, const char *ctids, size_t limit, struct err *err) {
    PG_RESULT result = NULL;
    if (pg_anonymize_dependent(making->store, &making->run->due, dependent, ctids, limit, making->arena, &result, err) < 0) return -1;
    if (result) note_dependents(making, dependent, result);
    return 0;
}

/* As much of one dependent as fits. A tree loses its leaves, again and again: only when none is left may its trunk go. *ret_left: some
 * of it is still there, as there is no more room, or as somebody changed it meanwhile. */
static int drain_one(struct pg_making *making, const struct pg_dependent *dependent, const char *ctids, bool *ret_left, struct err *err) {
    const struct pg_run *run = making->run;
    enum pg_fate fate = pg_fate_of(&run->order, dependent);
    *ret_left = false;
    if (fate == PG_LEFT_ALONE) return 0;
    for (int64_t before = -1; before < making->dependents && (size_t)making->dependents < making->limit;) {
        before = making->dependents;
        size_t left = making->limit - (size_t)before;
        int result = fate == PG_PURGED ? drain_dependent(making, dependent, ctids, left, err)
                                       : anonymize_dependent(making, dependent, ctids, left, err);
        if (result < 0) return -1;
        if (!dependent->self) break;
    }
    size_t count = 1;
    if ((size_t)making->dependents < making->limit && count_dependent(making, dependent, fate, ctids, 1, &count, err) < 0) return -1;
    *ret_left = count > 0;
    return 0;
}

/* Of what hangs on a record nothing could go, though there is more of it than a batch. Only a tree can have no end to begin at. */
static int nothing_drained(const struct pg_bound *bound, struct err *err) {
    for (size_t i = 0; i < bound->n_dependents; i++)
        if (bound->dependents[i].self)
            return err_set(err, ERR_REFUSED, "dependents of a record refer to each other in a circle; they must be deleted by hand");
    (void)err_set(err, ERR_UNAVAILABLE, "all dependents of a record were changed while they were to be deleted");
    (void)text_copy(err->detail, sizeof err->detail, "40001");
    return -1;
}

/* A record with more dependents than a batch: a batch of dependents alone. What comes to them meanwhile is seen the next time, and
 * what is left of one holds those that it may hang on. */
static int drain(struct pg_making *making, const struct pg_record *record, struct err *err) {
    const struct pg_bound *bound = making->run->due.bound;
    const char *ctids = ctid_array(making->arena, record, 1);
    bool left = false;
    for (size_t i = 0; i < bound->n_dependents && !left; i++)
        if (drain_one(making, &bound->dependents[i], ctids, &left, err) < 0) return -1;
    if (!making->dependents) return nothing_drained(bound, err);
    making->drained = true;
    making->drained_tenant = record->tenant;
    return 0;
}

/* Of a tree of its own, records may have gone as dependents of others in the same batch. */
static int count_left(struct pg_making *making, const char *ctids, size_t *ret_left, struct err *err) {
    PG_SQL sql = {.arena = making->arena};
    PG_RESULT result = NULL;
    buf_printf(&sql.text, "SELECT count(*) FROM ONLY %s AS t WHERE t.ctid = ANY(", making->run->due.leaf->quoted);
    pg_add_parameter(&sql, ctids, "tid[]");
    buf_add_char(&sql.text, ')');
    if (pg_run(making->store, &sql, &result, err) < 0) return -1;
    *ret_left = (size_t)strtoull(PQgetvalue(result, 0, 0), NULL, 10);
    return 0;
}

static int destroy_records(struct pg_making *making, const char *ctids, struct err *err) {
    const struct pg_run *run = making->run;
    PG_SQL sql = {.arena = making->arena};
    PG_RESULT result = NULL;
    pg_add_delete(&sql, &run->due);
    buf_add(&sql.text, "t.ctid = ANY(");
    pg_add_parameter(&sql, ctids, "tid[]");
    buf_add(&sql.text, ") AND ");
    add_again(&sql, run, PG_BLOCKED_NOT);
    add_returning(&sql, run);
    if (pg_run(making->store, &sql, &result, err) < 0) return -1;
    note_records(making, result);
    making->deleted += PQntuples(result);
    return 0;
}

/* Deletes or changes what hangs on these records. *ret_tree: some of it was of their own table. */
static int take_dependents(struct pg_making *making, const char *ctids, bool *ret_tree, struct err *err) {
    const struct pg_run *run = making->run;
    const struct pg_bound *bound = run->due.bound;
    *ret_tree = false;
    for (size_t i = 0; i < bound->n_dependents; i++) {
        const struct pg_dependent *dependent = &bound->dependents[i];
        enum pg_fate fate = pg_fate_of(&run->order, dependent);
        if (fate == PG_PURGED && destroy_dependent(making, dependent, ctids, err) < 0) return -1;
        if (fate == PG_CHANGED && anonymize_dependent(making, dependent, ctids, making->limit, err) < 0) return -1;
        *ret_tree = *ret_tree || (fate == PG_PURGED && dependent->table == bound->table);
    }
    return 0;
}

static int anonymize_records(struct pg_making *making, const char *ctids, struct err *err) {
    const struct pg_run *run = making->run;
    PG_SQL returning = {.arena = making->arena};
    PG_RESULT result = NULL;
    add_returning(&returning, run);
    if (pg_anonymize_rows(making->store, &run->due, ctids, &run->scope, buf_text(&returning.text), making->arena, &result, err) < 0) return -1;
    note_records(making, result);
    return 0;
}

/* Locks the dependents that go and carry others, parents first, and those that are changed and carry some that go: from now on none of
 * them can be moved to another record, which would leave it behind without what hung on it. Others that are changed are locked as they
 * are read: only they are counted, and only where something is left to do. *ret_locked: there was something to lock. */
static int lock_dependents(struct pg_making *making, const char *ctids, bool *ret_locked, struct err *err) {
    const struct pg_run *run = making->run;
    const struct pg_bound *bound = run->due.bound;
    *ret_locked = false;
    for (size_t i = bound->n_dependents; i-- > 0;) {
        const struct pg_dependent *dependent = &bound->dependents[i];
        const bool carries = pg_carries(bound, dependent);
        if (pg_fate_of(&run->order, dependent) != PG_PURGED || (!carries && !pg_hangs_on_changed(&run->due, dependent))) continue;
        PG_SQL sql = {.arena = making->arena};
        PG_RESULT result = NULL;
        *ARENA_APPEND(sql.arena, sql.parameters, sql.n_parameters) = ctids;
        pg_add_dependents(&sql, dependent, "", leaf_source(making->arena, run), "t.ctid = ANY($1::tid[])");
        pg_add_locks(&sql, &run->due, dependent, carries);
        if (pg_run(making->store, &sql, &result, err) < 0) return err_within(err, "dependents in \"%s\"", dependent->table->name);
        *ret_locked = *ret_locked || PQntuples(result);
    }
    return 0;
}

/* *count: how many there are, then how many were taken: of the first *ret_tried of them, those that are still due under the locks. */
static int take(struct pg_making *making, struct pg_record *records, size_t *count, size_t *ret_tried, struct err *err) {
    const struct pg_run *run = making->run;
    const struct pg_bound *bound = run->due.bound;
    bool tree = false, locked = false;
    if (bound->n_dependents && fit(making, records, count, err) < 0) return -1;
    *ret_tried = *count;
    if (!*count) return drain(making, &records[0], err);
    const char *ctids = ctid_array(making->arena, records, *count);
    if (lock_dependents(making, ctids, &locked, err) < 0) return -1;
    if (locked && look_again(making, records, count, err) < 0) return -1;
    if (!*count) return 0;
    if (locked) ctids = ctid_array(making->arena, records, *count);
    size_t expected = *count;
    if (take_dependents(making, ctids, &tree, err) < 0) return -1;
    if (run->order.action == ACTION_ANONYMIZE) return anonymize_records(making, ctids, err);
    if (tree && count_left(making, ctids, &expected, err) < 0) return -1;
    if (destroy_records(making, ctids, err) < 0) return -1;
    if (making->dependents && making->gone.records != expected)
        return err_set(err, ERR_REFUSED, "table \"%s\" keeps records whose dependents were deleted (a trigger?); nothing was deleted",
                       bound->table->name);
    return 0;
}

/* After the choice: the records are found by ctid, what hangs on them by its indexes or, where it has none, by one hash
 * join. A parallel scan for each batch costs more than it saves, and by the
 * usual price of a random page the planner reads whole indexes of both tables instead. */
static const char after_choice[] = "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = on; SET LOCAL enable_sort = on;"
                                   "SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = off;"
                                   "SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL random_page_cost = 1";

int pg_take_carefully(struct pg_making *making, struct err *err) {
    struct pg_record *chosen;
    size_t n_chosen;
    if (choose(making, &chosen, &n_chosen, err) < 0) return -1;
    if (!n_chosen) return 0;
    note_chosen(making, chosen, n_chosen);
    if (pg_script(making->store, after_choice, err) < 0) return -1;
    size_t count = n_chosen;
    if (look_again(making, chosen, &count, err) < 0) return -1;
    if (!count) return 0;
    for (size_t passed = 0, tried = 0, taken = 0; passed < count && !taken && !making->drained; passed += tried) {
        taken = count - passed;
        if (take(making, chosen + passed, &taken, &tried, err) < 0) return -1;
        if (!taken || passed + taken == count) continue;
        making->full = true; /* the others wait for the next batch, which begins behind these */
        note_chosen(making, chosen, passed + taken);
    }
    return 0;
}
