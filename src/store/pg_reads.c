/* Which tables the tenants query reads: the planner says it, views and all; words of its text are the second best. */
#include "store/pg_check.h"

#include <ctype.h>
#include <jansson.h>
#include <string.h>

static void free_json(json_t **json) { json_decref(*json); }

int pg_explain_plan(struct pg_store *store, const char *sql, PGresult **ret_plan, struct err *err) {
    __attribute__((cleanup(buf_free))) struct buf statement = {0};
    buf_printf(&statement, "EXPLAIN (VERBOSE, FORMAT JSON) %s", sql);
    if (pg_begin(store, false, err)) return -1;
    PG_RESULT plan = NULL;
    bool failed = pg_script(store, "SET TRANSACTION READ ONLY", err) || pg_query(store, buf_text(&statement), 0, NULL, &plan, err);
    struct err ignored;
    if (pg_rollback(store, failed ? &ignored : err) || failed) return -1;
    if (ret_plan) {
        *ret_plan = plan;
        plan = NULL;
    }
    return 0;
}

static void add_relation(const struct pg_catalog *catalog, const struct pg_relation *relation, const struct pg_relation ***list, size_t *count) {
    for (; relation; relation = relation->partition_of) {
        for (size_t i = 0; i < *count; i++)
            if ((*list)[i] == relation) return;
        *list = arena_room(catalog->arena, *list, *count, sizeof **list);
        (*list)[(*count)++] = relation;
    }
}

static const struct pg_relation *relation_of_node(const struct pg_catalog *catalog, const json_t *node) {
    const char *schema = json_string_value(json_object_get(node, "Schema")), *name = json_string_value(json_object_get(node, "Relation Name"));
    for (size_t i = 0; schema && name && i < catalog->n_relations; i++)
        if (!strcmp(catalog->relations[i].table.name, name) && !strcmp(catalog->relations[i].table.schema, schema)) return &catalog->relations[i];
    return NULL;
}

/* Everything in the plan, itself first. Not recursive: plans nest as deep as queries do. */
static size_t all_nodes(const struct pg_catalog *catalog, json_t *plan, json_t ***ret_nodes) {
    json_t **nodes = NULL;
    size_t count = 0;
    *ARENA_APPEND(catalog->arena, nodes, count) = plan;
    for (size_t done = 0; done < count; done++) {
        json_t *node = nodes[done], *child;
        const char *key;
        size_t index;
        json_object_foreach(node, key, child) if (json_is_object(child) || json_is_array(child)) *ARENA_APPEND(catalog->arena, nodes, count) = child;
        json_array_foreach(node, index, child) *ARENA_APPEND(catalog->arena, nodes, count) = child;
    }
    *ret_nodes = nodes;
    return count;
}

/* The plan of "SELECT WHAT FROM (query) q"; the caller's. */
static int ask_plan(struct pg_store *store, const struct pg_catalog *catalog, const char *what, const char *query, json_t **ret_plan,
                    struct err *err) {
    PG_RESULT plan = NULL;
    if (pg_explain_plan(store, arena_printf(catalog->arena, "SELECT %s FROM (\n%s\n) q", what, query), &plan, err)) return -1;
    json_error_t where;
    json_t *json = json_loads(PQgetvalue(plan, 0, 0), 0, &where);
    if (!json) return err_set(err, ERR_BUG, "store \"%s\": the server's plan is not JSON", store->base.settings.conf->name);
    *ret_plan = json;
    return 0;
}

int pg_reads(struct pg_store *store, const struct pg_catalog *catalog, const char *query, const struct pg_relation ***ret_relations,
             size_t *ret_count, struct err *err) {
    __attribute__((cleanup(free_json))) json_t *plan = NULL;
    if (ask_plan(store, catalog, "*", query, &plan, err)) return -1;
    json_t **nodes;
    size_t n_nodes = all_nodes(catalog, plan, &nodes), count = 0;
    const struct pg_relation **list = NULL;
    for (size_t i = 0; i < n_nodes; i++) add_relation(catalog, relation_of_node(catalog, nodes[i]), &list, &count);
    *ret_relations = list;
    *ret_count = count;
    return 0;
}

/* An identifier as the server prints it, at the whole of `text`; NULL: it is something else. */
static const char *unquote(struct arena *arena, const char *text, size_t length) {
    if (length > 2 && text[0] == '"' && text[length - 1] == '"' && !memchr(text + 1, '"', length - 2)) return arena_strndup(arena,
            text + 1, length - 2);
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)text[i]) && text[i] != '_' && (unsigned char)text[i] < 0x80) return NULL;
    return length ? arena_strndup(arena, text, length) : NULL;
}

int pg_tenant_source(struct pg_store *store, const struct pg_catalog *catalog, const char *query, const struct pg_relation **ret_relation,
                     const char **ret_column, struct err *err) {
    __attribute__((cleanup(free_json))) json_t *plan = NULL;
    if (ask_plan(store, catalog, "q.tenant", query, &plan, err)) return -1;
    const json_t *top = json_object_get(json_array_get(plan, 0), "Plan");
    const char *output = json_string_value(json_array_get(json_object_get(top, "Output"), 0)), *dot = output ? strchr(output, '.') : NULL;
    const char *alias = dot ? unquote(catalog->arena, output, (size_t)(dot - output)) : NULL;
    const char *column = dot ? unquote(catalog->arena, dot + 1, strlen(dot + 1)) : NULL;
    const struct pg_relation *found = NULL;
    json_t **nodes;
    size_t n_nodes = all_nodes(catalog, plan, &nodes);
    for (size_t i = 0; alias && column && i < n_nodes && !found; i++)
        if (text_equal(json_string_value(json_object_get(nodes[i], "Alias")), alias)) found = relation_of_node(catalog, nodes[i]);
    *ret_relation = found;
    *ret_column = column;
    return 0;
}

int pg_tenants_tables(struct store *base, struct arena *arena, const char *const **ret_names, size_t *ret_count, struct err *err) {
    struct pg_store *store = (struct pg_store *)(void *)base;
    struct pg_catalog *catalog;
    const struct pg_relation **relations;
    size_t count;
    if (pg_connect(store, err) || pg_catalog_read(store, arena, &catalog, err) ||
        pg_reads(store, catalog, store->base.settings.schedule->tenants.query, &relations, &count, err))
        return -1;
    const char **names = ARENA_ARRAY(arena, const char *, count);
    for (size_t i = 0; i < count; i++) names[i] = arena_printf(arena, "%s.%s", relations[i]->table.schema, relations[i]->table.name);
    *ret_names = names;
    *ret_count = count;
    return 0;
}

/* The next word or quoted identifier at or after `at`, its text in word[]; NULL at the end. */
static const char *next_word(const char *at, char word[64]) {
    while (*at) {
        size_t length = 0;
        if (*at == '\'') {
            for (at++; *at && *at != '\''; at++) continue;
            if (*at) at++;
        } else if (at[0] == '-' && at[1] == '-') {
            at += strcspn(at, "\n");
        } else if (at[0] == '/' && at[1] == '*') {
            const char *end = strstr(at + 2, "*/");
            at = end ? end + 2 : at + strlen(at);
        } else if (*at == '"') {
            for (at++; *at && *at != '"'; at++)
                if (length < 63) word[length++] = *at;
            word[length] = '\0';
            return *at ? at + 1 : at;
        } else if (isalpha((unsigned char)*at) || *at == '_' || (unsigned char)*at >= 0x80) {
            for (; isalnum((unsigned char)*at) || *at == '_' || *at == '$' || (unsigned char)*at >= 0x80; at++)
                if (length < 63) word[length++] = (char)tolower((unsigned char)*at);
            word[length] = '\0';
            return at;
        } else {
            at++;
        }
    }
    return NULL;
}

bool pg_sql_names(const char *sql, const char *name) {
    char word[64];
    while ((sql = next_word(sql, word)))
        if (!strcmp(word, name)) return true;
    return false;
}

/* As pg_sql_names, but a word behind AS is the name of a column or an alias, never of a table. */
static bool names_relation(const char *sql, const char *name) {
    char word[64], before[64] = "";
    while ((sql = next_word(sql, word))) {
        if (!strcmp(word, name) && strcmp(before, "as") != 0) return true;
        memcpy(before, word, sizeof before);
    }
    return false;
}

size_t pg_named_relations(const struct pg_catalog *catalog, const char *sql, const struct pg_relation ***ret_relations) {
    const struct pg_relation **list = NULL;
    size_t count = 0;
    for (size_t i = 0; i < catalog->n_relations; i++) {
        const struct pg_relation *relation = &catalog->relations[i];
        if (relation->system || !names_relation(sql, relation->table.name)) continue;
        bool meant = pg_catalog_find(catalog, relation->table.name) == relation || pg_sql_names(sql, relation->table.schema);
        if (meant) *ARENA_APPEND(catalog->arena, list, count) = relation;
    }
    *ret_relations = list;
    return count;
}
