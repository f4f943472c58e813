#include "schedule/load.h"

#include <string.h>

/* "fixed(closed): name, email" divided at the first ':' behind the argument. */
struct line {
    const char *strategy, *argument, *paths;
};

static bool divide(const struct loader *loader, const char *text, struct line *line) {
    size_t length = strcspn(text, "(:");
    if (!text[length]) return false;
    *line = (struct line){.strategy = load_trim(loader, text, length)};
    if (text[length] == ':') {
        line->paths = text + length + 1;
        return true;
    }
    const char *argument = text + length + 1;
    for (const char *close = strchr(argument, ')'); close; close = strchr(close + 1, ')')) {
        const char *behind = close + 1 + strspn(close + 1, " \t");
        if (*behind != ':') continue;
        line->argument = arena_strndup(loader->arena, argument, (size_t)(close - argument));
        line->paths = behind + 1;
        return true;
    }
    return false;
}

static bool check_argument(const struct loader *loader, const struct load_text *from, enum strategy strategy, const struct line *line) {
    static const char *const units[] = {"hour", "day", "month", "year"};
    if (strategy == STRATEGY_FIXED) {
        if (line->argument) return true;
        load_fault(loader, from->setting, "columns: \"fixed\" needs its value; write \"fixed(VALUE): column\"");
        return false;
    }
    if (strategy != STRATEGY_TRUNCATE_TIME) {
        if (!line->argument) return true;
        load_fault(loader, from->setting, "columns: \"%s\" takes no argument; write \"%s: column\"", line->strategy, line->strategy);
        return false;
    }
    for (size_t i = 0; line->argument && i < sizeof units / sizeof *units; i++)
        if (!strcmp(line->argument, units[i])) return true;
    load_fault(loader, from->setting, "columns: \"truncate-time\" needs hour, day, month or year; write \"truncate-time(day): column\"");
    return false;
}

/* The same path, or one that lies inside the other. */
static bool overlap(const char *a, const char *b) {
    size_t length = strlen(a) < strlen(b) ? strlen(a) : strlen(b);
    return !strncmp(a, b, length) && (a[length] == '\0' || a[length] == '.') && (b[length] == '\0' || b[length] == '.');
}

static void add_path(const struct loader *loader, const struct load_text *from, struct column column, struct column **columns, size_t *count) {
    if (!*column.path) {
        load_fault(loader, from->setting, "columns: \"%s\" names an empty column; write names with one comma between them", from->text);
        return;
    }
    if (!load_is_name(column.path)) {
        load_fault(loader, from->setting, "columns: \"%s\" is not a name (control characters, or longer than 63 bytes)", column.path);
        return;
    }
    for (size_t i = 0; i < *count; i++) {
        const struct column *other = &(*columns)[i];
        if (!strcmp(other->path, column.path))
            load_fault(loader, from->setting, "columns: \"%s\" stands for the second time (first in line %u); leave one", column.path, other->place.line);
        else if (overlap(other->path, column.path))
            load_fault(loader, from->setting, "columns: \"%s\" and \"%s\" (line %u) lie one in the other; name the inner ones alone, or the outer one alone",
                       column.path, other->path, other->place.line);
        else continue;
        return;
    }
    *ARENA_APPEND(loader->arena, *columns, *count) = column;
}

static void read_line(const struct loader *loader, const struct load_text *from, struct column **columns, size_t *count) {
    struct line line;
    if (!divide(loader, from->text, &line)) {
        load_fault(loader, from->setting, "columns: \"%s\" is not understood; write \"STRATEGY: column, column\"", from->text);
        return;
    }
    enum { STRATEGIES = 9 };
    const char *names[STRATEGIES + 1] = {NULL};
    size_t known = 0;
    for (size_t i = 0; i < STRATEGIES; i++) names[i] = schedule_strategy_name((enum strategy)i);
    while (known < STRATEGIES && strcmp(names[known], line.strategy) != 0) known++;
    if (known == STRATEGIES) {
        const char *nearest = load_nearest(line.strategy, names);
        load_fault(loader, from->setting, "columns: unknown strategy \"%s\"%s%s%s; known are %s", line.strategy, nearest ? "; did you mean \"" : "",
                   nearest ? nearest : "", nearest ? "\"?" : "", load_choices(loader, names, STRATEGIES));
        return;
    }
    enum strategy strategy = (enum strategy)known;
    if (!check_argument(loader, from, strategy, &line)) return;
    for (const char *at = line.paths;;) {
        size_t length = strcspn(at, ",");
        struct column column = {.strategy = strategy, .path = load_trim(loader, at, length), .argument = line.argument,
                                .place = load_place(loader, from->setting)};
        add_path(loader, from, column, columns, count);
        if (!at[length]) return;
        at += length + 1;
    }
}

const struct column *load_columns(const struct loader *loader, const config_setting_t *group, size_t *ret_count) {
    size_t n_lines;
    struct column *columns = NULL;
    const struct load_text *lines = load_texts(loader, group, "columns", &n_lines);
    *ret_count = 0;
    for (size_t i = 0; i < n_lines; i++) read_line(loader, &lines[i], &columns, ret_count);
    return columns;
}
