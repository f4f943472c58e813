/* Key patterns: which keys of a store without tables belong to a target, whose they are and of which day.
 *
 * In a pattern `{tenant}` stands for a tenant's id (at most once; a literal character or the end must follow), `{date}`
 * or `{date:FORMAT}` for a moment (at most once), `*` for any bytes, `\` makes the next character literal; every other
 * character, braces included, stands for itself. FORMAT knows %Y %m %d %H %M %S, largest unit first and none left out;
 * `{date}` is `{date:%Y-%m-%d}`. Moments are UTC.
 *
 * Keys are bytes: any value may occur in them. A key can fit in several ways (`caas:a:b:x` is `x` of tenant `a:b` or
 * `b:x` of tenant `a`); all of them are told, and the caller, who knows which tenants there are, decides. */
#ifndef LAPSED_STORE_KEYPATTERN_H
#define LAPSED_STORE_KEYPATTERN_H

#include "base/arena.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum { MOST_KEY_PARTS = 32 };

enum keypart_kind { KEYPART_LITERAL, KEYPART_ANY, KEYPART_TENANT, KEYPART_DATE };

struct keypart {
    enum keypart_kind kind;
    const char *text; /* literal bytes, or the date's format */
    size_t length;
};

struct keypattern {
    struct keypart parts[MOST_KEY_PARTS];
    size_t n_parts;
    bool has_tenant, has_date;
    /* A glob for SCAN MATCH that lets through every key of the pattern (and some more: ask keypattern_match). */
    const char *glob;
};

/* One way in which a key fits. Pointers go into the key. */
struct keyfit {
    const char *tenant; /* NULL: the pattern has no {tenant} */
    size_t tenant_length; /* 0: empty, nobody's */
    int64_t date_end_us; /* the first instant after the day (or hour…) of {date}; 0 without {date} */
};

/* Reads a pattern; strings are taken from `arena`. ERR_CONFIG says what to write instead. */
int keypattern_parse(struct arena *arena, const char *text, struct keypattern *ret_pattern, struct err *err) MUST_CHECK;

typedef void keyfit_sink(void *context, const struct keyfit *fit);

enum keymatch { KEYMATCH_NO, KEYMATCH_YES, KEYMATCH_TOO_MANY_WAYS /* gave up: nobody's */ };

/* Tells `sink` each way in which the key fits, shortest tenant first. The same tenant may come more than once. */
enum keymatch keypattern_match(const struct keypattern *pattern, const char *key, size_t length, keyfit_sink *sink, void *context);

/* The longest literal text that begins every key of all these patterns, escaped as a glob, with `*` behind it: one scan
 * for all of them. */
char *keypattern_common_glob(struct arena *arena, const struct keypattern *const *patterns, size_t count);

#endif
