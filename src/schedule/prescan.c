#include "schedule/prescan.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_NESTED = 32, MOST_DIGITS = 9 /* any number of nine digits fits 32 bits */ };

struct scan {
    const char *at, *end;
    unsigned line;
    char open[MOST_NESTED];
    size_t depth;
    bool after_string; /* the last token was a string */
    const char *fault;
    struct prescan found;
    size_t room;
};

static int stop(struct scan *scan, const char *text) {
    scan->fault = text;
    return -1;
}

static void step(struct scan *scan) {
    if (*scan->at == '\n') scan->line++;
    scan->at++;
}

static void skip_line(struct scan *scan) {
    while (scan->at < scan->end && *scan->at != '\n') scan->at++;
}

static void skip_block(struct scan *scan) {
    const char *close = strstr(scan->at + 2, "*/");
    const char *after = close ? close + 2 : scan->end;
    while (scan->at < after) step(scan);
}

static bool in_list(const struct scan *scan) { return scan->depth && strchr("([", scan->open[scan->depth - 1]); }

static void note_string(struct scan *scan) {
    if (scan->after_string) return; /* goes on with the one before */
    if (scan->found.n_lines == scan->room) {
        scan->room = scan->room ? scan->room * 2 : 64;
        scan->found.lines = xrealloc(scan->found.lines, scan->room * sizeof *scan->found.lines);
    }
    scan->found.lines[scan->found.n_lines++] = scan->line;
}

static int skip_string(struct scan *scan) {
    if (scan->after_string && in_list(scan))
        return stop(scan, "two strings stand side by side in a list and would become one; put a comma between them");
    note_string(scan);
    for (step(scan); scan->at < scan->end && *scan->at != '"'; step(scan)) {
        if (*scan->at != '\\' || scan->at + 1 == scan->end) continue;
        if (!strncmp(scan->at, "\\x00", 4)) return stop(scan, "a string holds \\x00; take it out");
        step(scan);
    }
    if (scan->at < scan->end) scan->at++;
    scan->after_string = true;
    return 0;
}

static int skip_number(struct scan *scan) {
    size_t digits = 0;
    bool hexadecimal = scan->at[0] == '0' && (scan->at[1] == 'x' || scan->at[1] == 'X');
    if (hexadecimal) scan->at += 2;
    for (; hexadecimal ? isxdigit((unsigned char)*scan->at) : isdigit((unsigned char)*scan->at); scan->at++) digits++;
    if (digits > (hexadecimal ? 7 : MOST_DIGITS)) return stop(scan, "a number is too large; no setting takes one of more than nine digits");
    return 0;
}

static int skip_bracket(struct scan *scan) {
    if (strchr("([{", *scan->at)) {
        if (scan->depth == MOST_NESTED) return stop(scan, "brackets are nested too deeply");
        scan->open[scan->depth++] = *scan->at;
    } else if (scan->depth) {
        scan->depth--;
    }
    scan->at++;
    return 0;
}

static int skip_token(struct scan *scan) {
    char c = *scan->at;
    if (isspace((unsigned char)c)) {
        step(scan);
        return 0;
    }
    if (c == '#' || (c == '/' && scan->at[1] == '/')) {
        skip_line(scan);
        return 0;
    }
    if (c == '/' && scan->at[1] == '*') {
        skip_block(scan);
        return 0;
    }
    if (c == '"') return skip_string(scan);
    scan->after_string = false;
    if (c == '@') return stop(scan, "@include is not taken, so that the schedule is one file with one digest; put its lines here");
    if (isdigit((unsigned char)c)) return skip_number(scan);
    if (strchr("()[]{}", c)) return skip_bracket(scan);
    if (isalpha((unsigned char)c) || c == '_' || c == '*') {
        while (isalnum((unsigned char)*scan->at) || (*scan->at && strchr("_-*", *scan->at))) scan->at++;
        return 0;
    }
    scan->at++;
    return 0;
}

int prescan_bytes(const char *file, const char *bytes, size_t length, struct prescan *ret_prescan, struct faults *faults) {
    struct scan scan = {.at = bytes, .end = bytes + length, .line = 1};
    while (scan.at < scan.end) {
        if (!skip_token(&scan)) continue;
        fault_add(faults, (struct place){file, scan.line}, "%s", scan.fault);
        prescan_free(&scan.found);
        return -1;
    }
    *ret_prescan = scan.found;
    return 0;
}

void prescan_free(struct prescan *prescan) {
    free(prescan->lines);
    *prescan = (struct prescan){0};
}
