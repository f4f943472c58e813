/* A published policy against the schedule: the Markdown table is read as people write it. */
#include "command/policy.h"

#include "base/text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MOST_BYTES = 16 << 20, MOST_CELLS = 16 };

struct row {
    const char *cells[MOST_CELLS];
    size_t n_cells;
    unsigned line;
};

struct published {
    const struct row *rows;
    size_t n_rows;
    size_t period; /* the retention column */
};

static void free_arena(struct arena **arena) { arena_free(*arena); }
static void free_text(char **text) { free(*text); }

/* ---- reading ---- */

/* Without Markdown's emphasis and escapes, single blanks. */
static const char *plain(struct arena *arena, const char *text, size_t length) {
    char *result = arena_alloc(arena, length + 1), *to = result;
    for (size_t i = 0; i < length; i++) {
        bool escaped = text[i] == '\\' && i + 1 < length && ispunct((unsigned char)text[i + 1]);
        if (escaped) i++;
        if (!escaped && strchr("*_`", text[i])) continue;
        if (!strncmp(text + i, "&amp;", 5) && i + 5 <= length) i += 4, *to++ = '&';
        else if (!isspace((unsigned char)text[i])) *to++ = text[i];
        else if (to > result && to[-1] != ' ') *to++ = ' ';
    }
    while (to > result && to[-1] == ' ') to--;
    *to = '\0';
    return result;
}

/* "| a | b |"; false: not a row of a table. */
static bool read_row(struct arena *arena, const char *line, size_t length, unsigned number, struct row *row) {
    while (length && isspace((unsigned char)*line)) line++, length--;
    while (length && isspace((unsigned char)line[length - 1])) length--;
    *row = (struct row){.line = number};
    if (!length || !memchr(line, '|', length)) return false;
    if (*line == '|') line++, length--;
    if (length && line[length - 1] == '|' && (length < 2 || line[length - 2] != '\\')) length--;
    for (size_t start = 0, i = 0; i <= length; i++) {
        if (i < length && (line[i] != '|' || (i && line[i - 1] == '\\'))) continue;
        if (row->n_cells == MOST_CELLS) return false;
        row->cells[row->n_cells++] = plain(arena, line + start, i - start);
        start = i + 1;
    }
    return true;
}

static bool is_ruler(const struct row *row) {
    for (size_t i = 0; i < row->n_cells; i++)
        if (!*row->cells[i] || row->cells[i][strspn(row->cells[i], "-: ")]) return false;
    return row->n_cells;
}

/* How much a heading looks like that of the retention column: 0 not at all, 2 just that. */
static int likeness(const char *heading) {
    static const char *const just[] = {"retention period", "retention", "keep", "kept for"};
    for (size_t i = 0; i < sizeof just / sizeof *just; i++)
        if (!strcasecmp(heading, just[i])) return 2;
    return strcasestr(heading, "retention") || strcasestr(heading, "retained") ? 1 : 0;
}

static void take_table(struct arena *arena, const struct row *rows, size_t n_rows, int *best, struct published *published) {
    for (size_t c = 1; n_rows > 2 && is_ruler(&rows[1]) && c < rows[0].n_cells; c++) {
        int like = likeness(rows[0].cells[c]);
        if (like <= *best) continue;
        struct row *kept = ARENA_ARRAY(arena, struct row, n_rows - 2);
        memcpy(kept, rows + 2, (n_rows - 2) * sizeof *rows);
        *published = (struct published){.rows = kept, .n_rows = n_rows - 2, .period = c};
        *best = like;
    }
}

static int read_published(struct arena *arena, const char *path, const char *text, struct published *ret_published, struct err *err) {
    struct row *rows = NULL;
    size_t n_rows = 0;
    int best = 0;
    unsigned number = 1;
    for (const char *line = text;; number++) {
        size_t length = strcspn(line, "\n");
        struct row row;
        if (read_row(arena, line, length, number, &row)) {
            *ARENA_APPEND(arena, rows, n_rows) = row;
        } else {
            take_table(arena, rows, n_rows, &best, ret_published);
            n_rows = 0;
        }
        if (!line[length]) break;
        line += length + 1;
    }
    take_table(arena, rows, n_rows, &best, ret_published);
    if (!best) return err_set(err, ERR_CONFIG, "%s has no Markdown table with a column \"Retention Period\"; write | Data Type | Retention Period | Basis | above its rows", path);
    return 0;
}

/* ---- what a text means ---- */

/* One alternative in a form that is equal where the meaning is: "84 months", "subscription + 30 days". */
static const char *canonical_period(struct arena *arena, struct period period) {
    if (period.unit == PERIOD_YEARS) period = (struct period){period.count * 12, PERIOD_MONTHS};
    if (period.unit == PERIOD_WEEKS) period = (struct period){period.count * 7, PERIOD_DAYS};
    return arena_strdup(arena, period_format(period).text);
}

static const char *canonical_keep(struct arena *arena, const struct keep *keep) {
    if (keep->kind == KEEP_FOREVER) return "forever";
    if (keep->kind == KEEP_AGE) return canonical_period(arena, keep->period);
    return arena_printf(arena, "%s + %s", keep->end, keep->period.count ? canonical_period(arena, keep->period) : "0");
}

static const char *without(const char *text, const char *const *words) {
    for (bool again = true; again;) {
        again = false;
        for (const char *const *word = words; *word; word++) {
            if (!text_starts_with(text, *word)) continue;
            text += strlen(*word);
            again = true;
        }
    }
    return text;
}

/* "duration of your subscription" is "subscription"; several words are joined as an end's name is. */
static const char *canonical_end(struct arena *arena, const char *text) {
    static const char *const words[] = {"duration of ", "the ", "your ", "end of ", "until ", NULL};
    char *end = arena_strdup(arena, without(text, words));
    size_t length = strlen(end);
    while (length && end[length - 1] == ' ') end[--length] = '\0';
    if (length > 5 && !strcmp(end + length - 5, " ends")) end[length - 5] = '\0';
    for (char *c = end; *c; c++)
        if (*c == ' ') *c = '_';
    return end;
}

static const char *canonical_alternative(struct arena *arena, const char *text) {
    static const char *const fillers[] = {" ", "or ", "for ", NULL};
    struct period period;
    struct err err;
    text = without(text, fillers);
    if (!strcmp(text, "forever") || !strcmp(text, "indefinitely")) return "forever";
    if (!period_parse(text, &period, &err)) return canonical_period(arena, period);
    const char *plus = strchr(text, '+'), *word = strstr(text, " plus "), *after = strstr(text, " after ");
    if (!plus) plus = word;
    if (plus) {
        const char *rest = plus + (plus == word ? strlen(" plus ") : 1);
        const char *end = canonical_end(arena, arena_strndup(arena, text, (size_t)(plus - text)));
        if (!period_parse(rest, &period, &err)) return arena_printf(arena, "%s + %s", end, canonical_period(arena, period));
    } else if (after && !period_parse(arena_strndup(arena, text, (size_t)(after - text)), &period, &err)) {
        return arena_printf(arena, "%s + %s", canonical_end(arena, after + strlen(" after ")), canonical_period(arena, period));
    } else if (text_starts_with(text, "until ") || text_starts_with(text, "duration of ")) {
        return arena_printf(arena, "%s + 0", canonical_end(arena, text));
    }
    return text;
}

/* In small letters, without what stands in parentheses. */
static char *simple(struct arena *arena, const char *text) {
    char *result = arena_strdup(arena, text), *to = result;
    size_t depth = 0;
    for (; *text; text++) {
        if (*text == '(') depth++;
        else if (*text == ')' && depth) depth--;
        else if (!depth) *to++ = (char)tolower((unsigned char)*text);
    }
    while (to > result && to[-1] == ' ') to--;
    *to = '\0';
    return result;
}

static bool has_alternative(const char *const *items, size_t count, const char *item) {
    for (size_t i = 0; i < count; i++)
        if (!strcmp(items[i], item)) return true;
    return false;
}

static bool same_periods(struct arena *arena, const char *published, const struct keep *keep, size_t n_keep) {
    const char **items = NULL;
    size_t count = 0;
    for (char *text = simple(arena, published); text;) {
        char *or = strstr(text, " or ");
        if (or) *or = '\0';
        size_t length = strlen(text);
        while (length && strchr(" ,", text[length - 1])) text[--length] = '\0';
        *ARENA_APPEND(arena, items, count) = canonical_alternative(arena, text);
        text = or ? or + strlen(" or ") : NULL;
    }
    bool same = count == n_keep;
    for (size_t i = 0; i < n_keep && same; i++) same = has_alternative(items, count, canonical_keep(arena, &keep[i]));
    return same;
}

/* "anonymized after 14 months", or NULL: the row does not say it. */
static const char *published_anonymize(struct arena *arena, const struct row *row) {
    static const char *const words[] = {"anonymized after ", "anonymised after "};
    for (size_t c = 1; c < row->n_cells; c++)
        for (size_t w = 0; w < sizeof words / sizeof *words; w++) {
            const char *at = strcasestr(row->cells[c], words[w]);
            if (!at) continue;
            at += strlen(words[w]);
            return arena_strndup(arena, at, strcspn(at, ").;,"));
        }
    return NULL;
}

/* ---- comparing ---- */

struct comparison {
    struct arena *arena;
    const char *path;
    FILE *to;
    size_t differences;
};

static void differ(struct comparison *comparison, const struct rule *rule, const struct row *row, const char *what, const char *published, const char *ours) {
    comparison->differences++;
    (void)fprintf(comparison->to, "%s: %s differs\n  published %s (%s:%u)\n  schedule  %s (%s:%u)\n", rule->data, what, published, comparison->path, row->line,
                  ours, rule->place.file, rule->place.line);
}

static void compare_rule(struct comparison *comparison, const struct rule *rule, const struct published *published) {
    const struct row *row = NULL;
    const char *name = plain(comparison->arena, rule->data, strlen(rule->data));
    for (size_t i = 0; i < published->n_rows; i++)
        if (!strcmp(published->rows[i].cells[0], name)) row = &published->rows[i];
    if (!row) {
        comparison->differences++;
        (void)fprintf(comparison->to, "%s: not published\n  schedule  %s (%s:%u)\n", rule->data, policy_period_text(comparison->arena, rule), rule->place.file,
                      rule->place.line);
        return;
    }
    const char *period = published->period < row->n_cells ? row->cells[published->period] : "";
    if (!same_periods(comparison->arena, period, rule->keep, rule->n_keep))
        differ(comparison, rule, row, "the period", *period ? period : "nothing", policy_period_text(comparison->arena, rule));
    const char *anonymize = published_anonymize(comparison->arena, row);
    bool same = anonymize ? same_periods(comparison->arena, anonymize, rule->anonymize, rule->n_anonymize) : !rule->n_anonymize;
    if (!same)
        differ(comparison, rule, row, "anonymization", anonymize ? arena_printf(comparison->arena, "after %s", anonymize) : "no anonymization",
               rule->n_anonymize ? arena_printf(comparison->arena, "after %s", schedule_keep_text(comparison->arena, rule->anonymize, rule->n_anonymize))
                                 : "no anonymization");
}

static void compare_row(struct comparison *comparison, const struct schedule *schedule, const struct row *row, size_t period) {
    for (size_t i = 0; i < schedule->n_rules; i++)
        if (!strcmp(row->cells[0], plain(comparison->arena, schedule->rules[i].data, strlen(schedule->rules[i].data)))) return;
    comparison->differences++;
    (void)fprintf(comparison->to, "%s: no rule carries this out\n  published %s (%s:%u)\n", row->cells[0], period < row->n_cells ? row->cells[period] : "nothing",
                  comparison->path, row->line);
}

int policy_diff(const struct schedule *schedule, const char *path, FILE *to, bool *ret_equal, struct err *err) {
    __attribute__((cleanup(free_arena))) struct arena *arena = arena_new();
    __attribute__((cleanup(free_text))) char *text = NULL;
    size_t length;
    struct published published = {0};
    if (text_read_file(path, MOST_BYTES, &text, &length, err) || read_published(arena, path, text, &published, err)) return -1;
    struct comparison comparison = {.arena = arena, .path = path, .to = to};
    for (size_t i = 0; i < schedule->n_rules; i++) compare_rule(&comparison, &schedule->rules[i], &published);
    for (size_t i = 0; i < published.n_rows; i++) compare_row(&comparison, schedule, &published.rows[i], published.period);
    if (!comparison.differences)
        (void)fprintf(to, "%s says the same as the schedule: %zu rule%s, names and periods\n", path, schedule->n_rules, schedule->n_rules == 1 ? "" : "s");
    *ret_equal = !comparison.differences;
    return 0;
}
