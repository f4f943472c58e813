/* Names that people wrote, and those they may have meant. */
#include "store/pg_catalog.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

enum { LONGEST_NAME = 63 }; /* NAMEDATALEN - 1 */

static size_t smallest(size_t a, size_t b, size_t c) {
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

static bool same_letter(char a, char b) { return tolower((unsigned char)a) == tolower((unsigned char)b); }

/* Levenshtein's distance, one row of the table at a time. */
size_t pg_name_distance(const char *a, const char *b) {
    size_t length_a = strlen(a), length_b = strlen(b);
    if (length_a > LONGEST_NAME || length_b > LONGEST_NAME) return SIZE_MAX;
    size_t row[LONGEST_NAME + 1];
    for (size_t j = 0; j <= length_b; j++) row[j] = j;
    for (size_t i = 1; i <= length_a; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= length_b; j++) {
            size_t above = row[j];
            row[j] = smallest(above + 1, row[j - 1] + 1, diagonal + !same_letter(a[i - 1], b[j - 1]));
            diagonal = above;
        }
    }
    size_t longer = length_a > length_b ? length_a : length_b;
    return row[length_b] <= 1 + longer / 4 ? row[length_b] : SIZE_MAX;
}

static struct pg_relation *find_in(const struct pg_catalog *catalog, const char *schema, size_t schema_length, const char *name) {
    for (size_t i = 0; i < catalog->n_relations; i++) {
        struct pg_relation *relation = &catalog->relations[i];
        if (!strcmp(relation->table.name, name) && strlen(relation->table.schema) == schema_length &&
            !memcmp(relation->table.schema, schema, schema_length))
            return relation;
    }
    return NULL;
}

struct pg_relation *pg_catalog_find(const struct pg_catalog *catalog, const char *name) {
    const char *dot = strchr(name, '.');
    if (dot) return find_in(catalog, name, (size_t)(dot - name), dot + 1);
    for (size_t i = 0; i < catalog->n_search_path; i++) {
        struct pg_relation *found = find_in(catalog, catalog->search_path[i], strlen(catalog->search_path[i]), name);
        if (found) return found;
    }
    return NULL;
}

const char *pg_relation_name(const struct pg_catalog *catalog, const struct pg_relation *relation) {
    if (pg_catalog_find(catalog, relation->table.name) == relation) return relation->table.name;
    return arena_printf(catalog->arena, "%s.%s", relation->table.schema, relation->table.name);
}

const char *pg_catalog_nearest(const struct pg_catalog *catalog, const char *name) {
    const char *dot = strchr(name, '.');
    const struct pg_relation *nearest = NULL;
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < catalog->n_relations; i++) {
        const struct pg_relation *relation = &catalog->relations[i];
        if (relation->system || relation->persistence == 't') continue;
        size_t distance = pg_name_distance(dot ? dot + 1 : name, relation->table.name);
        if (distance < least) {
            least = distance;
            nearest = relation;
        }
    }
    return nearest ? pg_relation_name(catalog, nearest) : NULL;
}

int pg_column_find(const struct pg_table *table, const char *name) {
    for (size_t i = 0; i < table->n_columns; i++)
        if (!strcmp(table->columns[i].name, name)) return (int)i;
    return PG_NO_COLUMN;
}

int pg_column_by_number(const struct pg_table *table, int16_t number) {
    for (size_t i = 0; i < table->n_columns; i++)
        if (table->columns[i].number == number) return (int)i;
    return PG_NO_COLUMN;
}

const char *pg_column_nearest(const struct pg_table *table, const char *name) {
    const char *nearest = NULL;
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < table->n_columns; i++) {
        size_t distance = pg_name_distance(name, table->columns[i].name);
        if (distance < least) {
            least = distance;
            nearest = table->columns[i].name;
        }
    }
    return nearest;
}
