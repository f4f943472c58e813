#include "command/table.h"

#include "base/text.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

struct cell {
    const char *text;
    size_t width;
    enum style style;
};

struct table {
    struct arena *arena;
    const struct table_column *columns;
    size_t n_columns;
    struct cell *cells; /* row by row */
    size_t n_cells;
};

static const char *const style_codes[] = {
    [STYLE_PLAIN] = "",         [STYLE_HEADING] = "\033[1m", [STYLE_GOOD] = "\033[32m",
    [STYLE_WARNING] = "\033[33m", [STYLE_BAD] = "\033[31m",    [STYLE_FAINT] = "\033[2m",
};

void style_print(FILE *to, bool colour, enum style style, const char *text) {
    bool painted = colour && style != STYLE_PLAIN && *text;
    (void)fprintf(to, "%s%s%s", painted ? style_codes[style] : "", text, painted ? "\033[0m" : "");
}

const char *text_printable(struct arena *arena, const char *text) {
    if (!text) return NULL;
    unsigned char *copy = (unsigned char *)arena_strdup(arena, text);
    for (unsigned char *at = copy; *at; at++) {
        if (*at < 0x20 || *at == 0x7f) {
            *at = '?';
        } else if (at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0) { /* U+0080 to U+009F */
            at[0] = at[1] = '?';
        }
    }
    return (char *)copy;
}

struct table *table_new(struct arena *arena, const struct table_column *columns, size_t n_columns) {
    struct table *table = ARENA_NEW(arena, struct table);
    *table = (struct table){.arena = arena, .columns = columns, .n_columns = n_columns};
    return table;
}

void table_cell(struct table *table, enum style style, const char *text) {
    const char *safe = text_printable(table->arena, text);
    struct cell *cell = ARENA_APPEND(table->arena, table->cells, table->n_cells);
    *cell = (struct cell){.text = safe, .width = text_width(safe), .style = style};
}

static size_t column_width(const struct table *table, size_t column) {
    size_t width = text_width(table->columns[column].heading);
    if (table->columns[column].least_width > width) width = table->columns[column].least_width;
    for (size_t i = column; i < table->n_cells; i += table->n_columns)
        if (table->cells[i].width > width) width = table->cells[i].width;
    return width;
}

static void blanks(FILE *to, size_t count) { (void)fprintf(to, "%*s", (int)count, ""); }

/* Blanks are put before the next text only, so that none stands at a line's end. */
static void print_row(const struct table *table, const struct cell *cells, const size_t *widths, FILE *to, bool colour) {
    size_t pending = 0;
    for (size_t i = 0; i < table->n_columns; i++) {
        size_t rest = widths[i] - cells[i].width;
        bool right = table->columns[i].align == ALIGN_RIGHT;
        if (cells[i].width) {
            blanks(to, pending + (right ? rest : 0));
            style_print(to, colour, cells[i].style, cells[i].text);
            pending = right ? 0 : rest;
        } else {
            pending += widths[i];
        }
        pending += 2;
    }
    (void)fputc('\n', to);
}

void table_print(const struct table *table, FILE *to, bool colour) {
    assert(table->n_cells % table->n_columns == 0);
    size_t *widths = ARENA_ARRAY(table->arena, size_t, table->n_columns);
    struct cell *headings = ARENA_ARRAY(table->arena, struct cell, table->n_columns);
    for (size_t i = 0; i < table->n_columns; i++) {
        const char *heading = table->columns[i].heading;
        widths[i] = column_width(table, i);
        headings[i] = (struct cell){.text = heading, .width = text_width(heading), .style = STYLE_HEADING};
    }
    print_row(table, headings, widths, to, colour);
    for (size_t i = 0; i < table->n_cells; i += table->n_columns) print_row(table, table->cells + i, widths, to, colour);
}

static bool is_terminal(FILE *to) {
    const char *term = getenv("TERM");
    return isatty(fileno(to)) && term && !text_equal(term, "dumb");
}

bool terminal_colour(FILE *to) {
    const char *no_color = getenv("NO_COLOR");
    return is_terminal(to) && !(no_color && *no_color);
}

void terminal_progress(const char *text) {
    static bool shown;
    if (!is_terminal(stderr) || (!text && !shown)) return;
    (void)fprintf(stderr, "\r\033[K%s", text ? text : "");
    (void)fflush(stderr);
    shown = text;
}
