/* Tables as people read them, and what a terminal gets more than a pipe: colour and a line of progress. */
#ifndef LAPSED_COMMAND_TABLE_H
#define LAPSED_COMMAND_TABLE_H

#include "base/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum style { STYLE_PLAIN, STYLE_HEADING, STYLE_GOOD, STYLE_WARNING, STYLE_BAD, STYLE_FAINT };

enum align { ALIGN_LEFT, ALIGN_RIGHT };

struct table_column {
    const char *heading;
    enum align align;
    size_t least_width;
};

struct table;

/* Everything is taken from `arena`; `columns` must outlive the table. */
struct table *table_new(struct arena *arena, const struct table_column *columns, size_t n_columns);
/* The next cell, row by row from left to right. The text is copied, and made safe for a terminal (text_printable). */
void table_cell(struct table *table, enum style style, const char *text);
/* The headings and the rows, two blanks between columns, none at a line's end. The last row must be whole. */
void table_print(const struct table *table, FILE *to, bool colour);

/* One text in a style. */
void style_print(FILE *to, bool colour, enum style style, const char *text);

/* A copy without anything that a terminal would obey: control characters become "?". Names and ids come from databases. */
const char *text_printable(struct arena *arena, const char *text);

/* Whether `to` is a terminal that wants colour (NO_COLOR and TERM=dumb are respected). */
bool terminal_colour(FILE *to);
/* Shows, if stderr is a terminal, what is being waited for, in place of what it said before; NULL removes it. */
void terminal_progress(const char *text);

#endif
