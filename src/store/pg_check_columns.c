/* The lines of `columns`: every column once, each with a strategy that its type, length and constraints can take. */
#include "store/pg_check.h"
#include "store/strategy.h"

#include <string.h>

enum { INET = 869, CIDR = 650 };

/* The lines of a target or of one of its dependents. */
struct lines {
    const struct pg_table *table;
    const struct column *conf;
    size_t count;
    const bool *unlisted; /* as table.columns: key, tenant, anchors, marker, joins: they stay as they are */
    struct place place;
};

bool pg_rule_anonymizes(const struct rule *rule) { return rule->n_anonymize || rule->anonymize_blocked; }

static bool fault(struct binding *binding, const struct pg_bound *bound, const struct column *line, const char *trouble) {
    pg_fault(binding, bound->target, line->place, "columns: %s: %s: %s", schedule_strategy_name(line->strategy), line->path, trouble);
    return false;
}

static const char *say(struct binding *binding, const char *format, ...) PRINTF_LIKE(2, 3);
static const char *say(struct binding *binding, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const char *text = arena_vprintf(binding->catalog->arena, format, arguments);
    va_end(arguments);
    return text;
}

static bool check_type(struct binding *binding, const struct pg_bound *bound, const struct column *line, const struct pg_column *column) {
    bool text = pg_type_is_text(column) && !column->is_array, good = true;
    const char *wanted = "text";
    switch (line->strategy) {
    case STRATEGY_TRUNCATE_IP:
        good = text || column->type_oid == INET || column->type_oid == CIDR;
        wanted = "inet, cidr or text";
        break;
    case STRATEGY_TRUNCATE_TIME:
        good = column->time == PG_TIME_TIMESTAMPTZ || column->time == PG_TIME_TIMESTAMP || column->time == PG_TIME_DATE;
        wanted = "a timestamp or date";
        break;
    case STRATEGY_STRIP_URL:
    case STRATEGY_HOST:
    case STRATEGY_BROWSER_FAMILY:
    case STRATEGY_PSEUDONYMIZE: good = text; break;
    case STRATEGY_NULL:
    case STRATEGY_FIXED:
    case STRATEGY_AS_IS: break;
    }
    if (!good) return fault(binding, bound, line, say(binding, "the column is of type %s, it must be %s; use null or fixed(VALUE)",
                                                      column->type, wanted));
    if (line->strategy == STRATEGY_PSEUDONYMIZE && column->length >= 0 && column->length < STRATEGY_LEAST_PSEUDONYM)
        return fault(binding, bound, line, say(binding, "the column holds %d characters, a pseudonym takes at least %d; use null or fixed(VALUE)",
                                               column->length, STRATEGY_LEAST_PSEUDONYM));
    return true;
}

/* A server that refuses the cast refuses the value. */
static int check_fixed_value(struct binding *binding, const struct pg_bound *bound, const struct column *line, const struct pg_column *column,
                             struct err *err) {
    if (column->length >= 0 && pg_type_is_text(column) && text_width(line->argument) > (size_t)column->length) {
        (void)fault(binding, bound, line, say(binding, "the value has %zu characters, the column holds %d", text_width(line->argument),
                                              column->length));
        return 0;
    }
    struct pg_store *store = binding->store;
    const char *sql = say(binding, "SELECT CAST($1::text AS %s)", column->type);
    if (pg_begin(store, false, err)) return -1;
    PG_RESULT result = NULL;
    struct err ignored;
    bool failed = pg_script(store, "SET TRANSACTION READ ONLY", err) || pg_query(store, sql, 1, &line->argument, &result, err);
    if (pg_rollback(store, failed ? &ignored : err)) return -1;
    if (!failed) return 0;
    if (err->code != ERR_REFUSED) return -1;
    (void)fault(binding, bound, line, say(binding, "the value is not one of type %s (SQLSTATE %s)", column->type, err->detail));
    return 0;
}

static bool index_has(const struct pg_index *index, int16_t number) {
    for (size_t i = 0; i < index->n_columns; i++)
        if (index->columns[i] == number) return true;
    return false;
}

/* The name of a unique index in which values of this strategy would collide; NULL: none. Where the whole key is part of
 * the index, nothing can. */
static const char *collision(const struct pg_table *table, const struct column *line, const struct pg_column *column) {
    const struct pg_relation *relation = pg_relation_of(table);
    if (line->strategy == STRATEGY_PSEUDONYMIZE) return NULL;
    for (size_t i = 0; i < relation->n_indexes; i++) {
        const struct pg_index *index = &relation->indexes[i];
        if (!index->unique || !index_has(index, column->number)) continue;
        if (line->strategy == STRATEGY_NULL && !index->nulls_equal) continue;
        bool whole_key = table->n_key > 0;
        for (size_t j = 0; j < table->n_key; j++) whole_key = whole_key && index_has(index, table->columns[table->key[j]].number);
        if (!whole_key) return index->name;
    }
    return NULL;
}

/* Foreign keys hold the column on either side. Emptying a nullable single column that refers to another table is fine. */
static const char *foreign_key_trouble(struct binding *binding, const struct pg_table *table, const struct column *line,
                                       const struct pg_column *column) {
    for (size_t i = 0; i < binding->catalog->n_foreign_keys; i++) {
        const struct pg_foreign_key *key = &binding->catalog->foreign_keys[i];
        for (size_t j = 0; j < key->n_columns; j++) {
            if (&key->child->table == table && key->child_columns[j] == column->number && (line->strategy != STRATEGY_NULL || key->n_columns > 1))
                return say(binding, "the column refers to \"%s\" by a foreign key; use as-is, or null where it may be null", key->parent->table.name);
            if (&key->parent->table == table && key->parent_columns[j] == column->number)
                return say(binding, "\"%s\" refers to the column by a foreign key; use as-is", key->child->table.name);
        }
    }
    return NULL;
}

/* The dependent that is joined by this column, without a foreign key perhaps. */
static const char *join_trouble(struct binding *binding, const struct pg_bound *bound, const struct pg_table *table, const struct pg_column *column) {
    for (size_t i = 0; i < bound->n_dependents; i++) {
        const struct pg_link *link = &bound->dependents[i].path[0];
        for (size_t j = 0; link->parent == table && j < link->n_columns; j++)
            if (&table->columns[link->parent_columns[j]] == column)
                return say(binding, "the dependent \"%s\" is joined by the column; use as-is", link->child->name);
    }
    return NULL;
}

static int check_line(struct binding *binding, const struct pg_bound *bound, const struct lines *lines, const struct column *line,
                      const struct pg_column *column, struct err *err) {
    if (line->strategy == STRATEGY_AS_IS) return 0;
    const char *trouble = NULL;
    if (lines->unlisted[column - lines->table->columns])
        trouble = "the column is the key, the tenant's, an anchor, the marker or a join and stays as it is; leave it out";
    else if (column->generated)
        trouble = "the server computes the column; use as-is";
    else if (line->strategy == STRATEGY_NULL && column->not_null)
        trouble = "the column may not be null; use fixed(VALUE)";
    else
        trouble = foreign_key_trouble(binding, lines->table, line, column);
    if (!trouble) trouble = join_trouble(binding, bound, lines->table, column);
    const char *index = trouble ? NULL : collision(lines->table, line, column);
    if (index) trouble = say(binding, "two records with one value would break the unique index \"%s\"; use null or pseudonymize", index);
    if (trouble) {
        (void)fault(binding, bound, line, trouble);
        return 0;
    }
    if (!check_type(binding, bound, line, column)) return 0;
    return line->strategy == STRATEGY_FIXED ? check_fixed_value(binding, bound, line, column, err) : 0;
}

static void check_missing(struct binding *binding, const struct pg_bound *bound, const struct lines *lines, const bool *listed) {
    const char *missing = "";
    for (size_t i = 0; i < lines->table->n_columns; i++)
        if (!listed[i] && !lines->unlisted[i]) missing = say(binding, "%s%s%s", missing, *missing ? ", " : "", lines->table->columns[i].name);
    if (*missing)
        pg_fault(binding, bound->target, lines->place,
                 "columns: nothing is said about %s of table \"%s\"; add them to a line, as in \"null: %s\" or "
                 "\"as-is: %s\"", missing, lines->table->name, missing, missing);
}

static int check_lines(struct binding *binding, const struct pg_bound *bound, const struct lines *lines, struct err *err) {
    bool *listed = ARENA_ARRAY(binding->catalog->arena, bool, lines->table->n_columns);
    for (size_t i = 0; i < lines->count; i++) {
        const struct column *line = &lines->conf[i];
        int at = pg_column_find(lines->table, line->path);
        if (at == PG_NO_COLUMN) continue; /* reported where it was bound */
        if (listed[at]) (void)fault(binding, bound, line, "the column stands twice; name it once");
        else if (check_line(binding, bound, lines, line, &lines->table->columns[at], err)) return -1;
        listed[at] = true;
    }
    check_missing(binding, bound, lines, listed);
    return 0;
}

static void leave_out(const struct pg_table *table, bool *unlisted, const struct pg_column *column) {
    if (column) unlisted[column - table->columns] = true;
}

static int check_target_lines(struct binding *binding, const struct pg_bound *bound, struct err *err) {
    const struct target *target = bound->target;
    const struct pg_table *table = bound->table;
    bool *unlisted = ARENA_ARRAY(binding->catalog->arena, bool, table->n_columns);
    for (size_t i = 0; i < table->n_key; i++) unlisted[table->key[i]] = true;
    if (!bound->n_via) leave_out(table, unlisted, bound->tenant);
    else for (size_t i = 0; i < bound->via[0].n_columns; i++) unlisted[bound->via[0].child_columns[i]] = true;
    leave_out(table, unlisted, bound->since);
    leave_out(table, unlisted, bound->marker);
    for (size_t i = 0; i < target->n_ends; i++) leave_out(table, unlisted, bound->ends[i]);
    struct lines lines = {.table = table, .conf = target->columns, .count = target->n_columns, .unlisted = unlisted, .place = target->place};
    return check_lines(binding, bound, &lines, err);
}

static int check_dependent_lines(struct binding *binding, const struct pg_bound *bound, const struct pg_dependent *dependent, struct err *err) {
    const struct pg_table *table = dependent->table;
    const struct dependent *conf = dependent->conf;
    bool *unlisted = ARENA_ARRAY(binding->catalog->arena, bool, table->n_columns);
    for (size_t i = 0; i < table->n_key; i++) unlisted[table->key[i]] = true;
    for (size_t i = 0; i < dependent->path[0].n_columns; i++) unlisted[dependent->path[0].child_columns[i]] = true;
    for (size_t i = 0; i < conf->n_columns; i++)
        if (pg_column_find(table, conf->columns[i].path) == PG_NO_COLUMN)
            (void)pg_bind_column(binding, bound, table, conf->columns[i].place, "columns", conf->columns[i].path);
    struct lines lines = {.table = table, .conf = conf->columns, .count = conf->n_columns, .unlisted = unlisted, .place = conf->place};
    return check_lines(binding, bound, &lines, err);
}

/* A dependent that several ways lead to is checked once. */
static bool seen_before(const struct pg_bound *bound, size_t number) {
    for (size_t i = 0; i < number; i++)
        if (bound->dependents[i].conf == bound->dependents[number].conf) return true;
    return false;
}

int pg_check_columns(struct binding *binding, const struct pg_bound *bound, struct err *err) {
    if (!pg_rule_anonymizes(bound->target->rule)) return 0;
    if (check_target_lines(binding, bound, err)) return -1;
    for (size_t i = 0; i < bound->n_dependents; i++)
        if (bound->dependents[i].conf->when_anonymized == WHEN_ANONYMIZED_COLUMNS && !seen_before(bound, i) &&
            check_dependent_lines(binding, bound, &bound->dependents[i], err))
            return -1;
    return 0;
}
