#include "schedule/lexer.h"

#include <ctype.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

enum { MOST_BRACKETS = 256 };

struct lexer {
    const char *at;
    char open[MOST_BRACKETS]; /* the closing bracket that each open one waits for */
    size_t depth;
    struct err *err;
};

static bool starts_word(char c) { return isalpha((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80; }
static bool continues_word(char c) { return starts_word(c) || isdigit((unsigned char)c) || c == '$'; }

static int refuse(const struct lexer *lexer, const char *what) { return err_set(lexer->err, ERR_CONFIG, "%s", what); }

/* At the opening quote. A doubled quote stays inside. */
static int skip_quoted(struct lexer *lexer, char quote) {
    for (lexer->at++; *lexer->at; lexer->at++) {
        if (*lexer->at == '\\' && lexer->at[1] == quote && quote == '\'')
            return refuse(lexer, "has a backslash before a quote; write a quote inside a string twice ('')");
        if (*lexer->at != quote) continue;
        lexer->at++;
        if (*lexer->at != quote) return 0;
    }
    return refuse(lexer, quote == '"' ? "has a double quote (\") that is not closed" : "has a quote (') that is not closed");
}

/* At a '$' that begins a token: "$tag$ … $tag$" or a parameter. */
static int skip_dollar(struct lexer *lexer) {
    const char *tag = lexer->at, *end = tag + 1;
    if (isdigit((unsigned char)*end)) return refuse(lexer, "has a parameter such as $1; write the value itself");
    while (starts_word(*end) || (end > tag + 1 && isdigit((unsigned char)*end))) end++;
    if (*end != '$') return refuse(lexer, "has a single dollar sign; put text between quotes (')");
    size_t length = (size_t)(end - tag) + 1;
    for (const char *at = end + 1; *at; at++) {
        if (strncmp(at, tag, length) != 0) continue;
        lexer->at = at + length;
        return 0;
    }
    return refuse(lexer, "has a dollar quote that is not closed");
}

static int open_bracket(struct lexer *lexer, char closing) {
    if (lexer->depth == MOST_BRACKETS) return refuse(lexer, "has parentheses nested too deeply");
    lexer->open[lexer->depth++] = closing;
    lexer->at++;
    return 0;
}

static int close_bracket(struct lexer *lexer) {
    if (!lexer->depth || lexer->open[lexer->depth - 1] != *lexer->at)
        return refuse(lexer, "closes a parenthesis that it did not open; each one must be opened before it is closed");
    lexer->depth--;
    lexer->at++;
    return 0;
}

static int skip_token(struct lexer *lexer) {
    char c = *lexer->at, next = lexer->at[1];
    if (starts_word(c)) {
        while (continues_word(*lexer->at)) lexer->at++;
        return 0;
    }
    switch (c) {
    case '\'':
    case '"': return skip_quoted(lexer, c);
    case '$': return skip_dollar(lexer);
    case '(': return open_bracket(lexer, ')');
    case '[': return open_bracket(lexer, ']');
    case ')':
    case ']': return close_bracket(lexer);
    case ';': return refuse(lexer, "has a semicolon; write one expression without it");
    case '\\': return refuse(lexer, "has a backslash outside of quotes; take it out");
    default: break;
    }
    if ((c == '-' && next == '-') || (c == '/' && next == '*'))
        return refuse(lexer, "has a comment; write it as a comment of this file, after #");
    lexer->at++;
    return 0;
}

int lexer_check_condition(const char *text, struct err *err) {
    struct lexer lexer = {.at = text, .err = err};
    bool empty = true;
    while (*lexer.at) {
        empty = empty && isspace((unsigned char)*lexer.at);
        if (skip_token(&lexer)) return -1;
    }
    if (empty) return refuse(&lexer, "is empty; leave it out");
    if (lexer.depth) return refuse(&lexer, "has a parenthesis that is not closed");
    return 0;
}

int lexer_check_query(const char *text, struct err *err) {
    static const char *const words[] = {"SELECT", "WITH", "VALUES"};
    if (lexer_check_condition(text, err)) return -1;
    while (isspace((unsigned char)*text)) text++;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t length = strlen(words[i]);
        if (!strncasecmp(text, words[i], length) && !continues_word(text[length])) return 0;
    }
    return err_set(err, ERR_CONFIG, "is not a query; begin it with SELECT, WITH or VALUES");
}

static int check_json_name(const char *name, struct err *err) {
    static const char *const refused[] = {"$where", "$function", "$accumulator", "$out", "$merge"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (!strcmp(name, refused[i]))
            return err_set(err, ERR_CONFIG, "has %s, which runs code or writes elsewhere; write it with other operators", refused[i]);
    return 0;
}

static int check_json_names(json_t *value, struct err *err) {
    const char *name;
    json_t *inner;
    size_t index;
    json_array_foreach(value, index, inner)
        if (check_json_names(inner, err)) return -1;
    json_object_foreach(value, name, inner)
        if (check_json_name(name, err) || check_json_names(inner, err)) return -1;
    return 0;
}

static void release(json_t **value) { json_decref(*value); }

/* jansson refuses what is nested deeper than 2,048 levels, so the walk above is bounded. */
static int check_json(const char *text, bool pipeline, struct err *err) {
    json_error_t error;
    __attribute__((cleanup(release))) json_t *value = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (!value)
        return err_set(err, ERR_CONFIG, "is not JSON (line %d, column %d): %s", error.line, error.column,
                       json_error_code(&error) == json_error_duplicate_key ? "a name stands twice in one object"
                                                                            : "names and texts need double quotes, written \\\" here");
    if (pipeline ? !json_is_array(value) : !json_is_object(value))
        return err_set(err, ERR_CONFIG, "%s", pipeline ? "is not a JSON array of stages; write [{…}, …]" : "is not a JSON object; write {…}");
    for (size_t i = 0; pipeline && i < json_array_size(value); i++)
        if (!json_is_object(json_array_get(value, i)))
            return err_set(err, ERR_CONFIG, "has a stage that is not an object; write [{\"$match\": …}, …]");
    return check_json_names(value, err);
}

int lexer_check_filter(const char *text, struct err *err) { return check_json(text, false, err); }
int lexer_check_pipeline(const char *text, struct err *err) { return check_json(text, true, err); }
