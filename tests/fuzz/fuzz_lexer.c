/* SQL conditions: whatever passes must stay inside "(…)" for a second, plainer reader that knows only quotes, dollar
 * quotes and parentheses. */
#include "schedule/lexer.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static bool is_word(char c) { return isalnum((unsigned char)c) || c == '_' || c == '$' || (unsigned char)c >= 0x80; }

/* Where the quote at text[at] ends (behind it); aborts if it never does. backslashes: as in E'…'. */
static size_t behind_quote(const char *text, size_t at, bool backslashes) {
    char quote = text[at++];
    for (;; at++) {
        if (!text[at]) abort();
        if (text[at] == '\\' && backslashes && text[at + 1]) at++;
        else if (text[at] == quote && text[at + 1] == quote) at++;
        else if (text[at] == quote) return at + 1;
    }
}

static void stays_inside(const char *text, bool backslashes) {
    long depth = 0;
    bool in_word = false;
    for (size_t at = 0; text[at];) {
        bool after_word = in_word;
        in_word = false;
        if (text[at] == '\'') at = behind_quote(text, at, backslashes);
        else if (text[at] == '"') at = behind_quote(text, at, false);
        else if (text[at] == '$') {
            size_t tag = strcspn(text + at + 1, "$") + 2;
            if (after_word) return; /* a word or a number with a dollar: not for this reader */
            char *copy = strndup(text + at, tag);
            const char *end = strstr(text + at + tag, copy);
            if (!end) abort();
            at = (size_t)(end - text) + tag;
            free(copy);
        } else {
            if (text[at] == ';' || (text[at] == '-' && text[at + 1] == '-') || (text[at] == '/' && text[at + 1] == '*')) abort();
            if (text[at] == '(') depth++;
            if (text[at] == ')' && depth-- == 0) abort();
            in_word = is_word(text[at++]);
        }
    }
    if (depth) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    char *text = malloc(length + 1);
    struct err err;
    memcpy(text, bytes, length);
    text[length] = '\0';
    if (!lexer_check_condition(text, &err)) {
        stays_inside(text, false);
        stays_inside(text, true);
    }
    (void)!lexer_check_filter(text, &err);
    (void)!lexer_check_pipeline(text, &err);
    free(text);
    return 0;
}
