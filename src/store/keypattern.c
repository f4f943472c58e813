#include "store/keypattern.h"

#include "base/text.h"
#include "base/time.h"

#include <string.h>

/* A key that fits a pattern in more ways than this (`*` before `{tenant}` in a key of many separators) is given up. */
enum { MOST_STEPS = 100000 };

/* --- reading ------------------------------------------------------------------------------------------------------- */

static const char DATE_UNITS[] = "YmdHMS";

/* Units must come as %Y, %Y%m, %Y%m%d… in any notation between them: anything else would not be one stretch of time. */
static int check_date_format(const char *format, size_t length, struct err *err) {
    size_t unit = 0;
    for (size_t i = 0; i < length; i++) {
        if (format[i] != '%') continue;
        i++;
        if (i == length || unit == sizeof DATE_UNITS - 1 || format[i] != DATE_UNITS[unit])
            return err_set(err, ERR_CONFIG,
                           "the format of {date:…} is not %%Y, %%m, %%d, %%H, %%M, %%S in this sequence from %%Y on; "
                           "write for instance {date:%%Y%%m%%d}");
        unit++;
    }
    if (unit == 0) return err_set(err, ERR_CONFIG, "the format of {date:…} names no year; write for instance {date:%%Y%%m%%d}");
    return 0;
}

static struct keypart *add_part(struct keypattern *pattern, enum keypart_kind kind, const char *text, size_t length) {
    if (pattern->n_parts == MOST_KEY_PARTS) return NULL;
    struct keypart *part = &pattern->parts[pattern->n_parts++];
    *part = (struct keypart){.kind = kind, .text = text, .length = length};
    return part;
}

/* A `{` that begins {tenant} or {date…}: how many characters it takes, 0: a literal brace, -1: a fault. */
static int placeholder(struct arena *arena, const char *at, struct keypattern *pattern, struct err *err) {
    static const char tenant[] = "{tenant}", date[] = "{date";
    if (text_starts_with(at, tenant)) {
        if (pattern->has_tenant) return err_set(err, ERR_CONFIG, "{tenant} stands twice; write it once");
        pattern->has_tenant = true;
        if (!add_part(pattern, KEYPART_TENANT, NULL, 0)) return 0;
        return (int)(sizeof tenant - 1);
    }
    if (!text_starts_with(at, date)) return 0;
    const char *after = at + sizeof date - 1;
    if (*after != '}' && *after != ':') return 0;
    const char *end = strchr(after, '}');
    if (!end) return err_set(err, ERR_CONFIG, "{date: has no closing brace; write for instance {date:%%Y%%m%%d}");
    if (pattern->has_date) return err_set(err, ERR_CONFIG, "{date} stands twice; write it once");
    const char *format = *after == ':' ? arena_strndup(arena, after + 1, (size_t)(end - after - 1)) : "%Y-%m-%d";
    if (check_date_format(format, strlen(format), err) < 0) return -1;
    pattern->has_date = true;
    add_part(pattern, KEYPART_DATE, format, strlen(format));
    return (int)(end - at + 1);
}

/* Literal bytes up to the next placeholder or `*`, unescaped. Returns how many characters of the pattern they take. */
static size_t literal_length(const char *text) {
    size_t length = 0;
    while (text[length]) {
        if (text[length] == '*') break;
        if (length > 0 && text[length] == '{') break;
        length += text[length] == '\\' && text[length + 1] ? 2 : 1;
    }
    return length;
}

static void add_literal(struct arena *arena, const char *text, size_t length, struct keypattern *pattern) {
    char *bytes = arena_alloc(arena, length + 1);
    size_t n = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\\' && i + 1 < length) i++;
        bytes[n++] = text[i];
    }
    struct keypart *last = pattern->n_parts > 0 ? &pattern->parts[pattern->n_parts - 1] : NULL;
    if (last && last->kind == KEYPART_LITERAL) {
        char *joined = arena_alloc(arena, last->length + n + 1);
        memcpy(joined, last->text, last->length);
        memcpy(joined + last->length, bytes, n);
        last->text = joined;
        last->length += n;
        return;
    }
    add_part(pattern, KEYPART_LITERAL, bytes, n);
}

static void add_any(struct keypattern *pattern) {
    if (pattern->n_parts > 0 && pattern->parts[pattern->n_parts - 1].kind == KEYPART_ANY) return;
    add_part(pattern, KEYPART_ANY, NULL, 0);
}

static int check_pattern(const struct keypattern *pattern, struct err *err) {
    if (pattern->n_parts == MOST_KEY_PARTS) return err_set(err, ERR_CONFIG, "has too many parts; write a shorter pattern");
    bool literal = false;
    for (size_t i = 0; i < pattern->n_parts; i++) {
        literal = literal || pattern->parts[i].kind == KEYPART_LITERAL;
        if (pattern->parts[i].kind != KEYPART_TENANT || i + 1 == pattern->n_parts) continue;
        if (pattern->parts[i + 1].kind != KEYPART_LITERAL)
            return err_set(err, ERR_CONFIG, "nothing says where {tenant} ends; write a literal character behind it, as in \"caas:{tenant}:*\"");
    }
    if (!literal) return err_set(err, ERR_CONFIG, "has no literal text and would be every key of the database; begin it with your keys' prefix");
    return 0;
}

static void add_glob(struct buf *glob, const char *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (strchr("*?[]\\^-", bytes[i]) && bytes[i]) buf_add_char(glob, '\\');
        buf_add_char(glob, bytes[i]);
    }
}

int keypattern_parse(struct arena *arena, const char *text, struct keypattern *ret_pattern, struct err *err) {
    struct keypattern pattern = {0};
    for (const char *at = text; *at;) {
        if (*at == '*') {
            add_any(&pattern);
            at++;
            continue;
        }
        int taken = *at == '{' ? placeholder(arena, at, &pattern, err) : 0;
        if (taken < 0) return -1;
        size_t length = taken > 0 ? (size_t)taken : literal_length(at);
        if (taken == 0) add_literal(arena, at, length, &pattern);
        at += length;
    }
    if (check_pattern(&pattern, err) < 0) return -1;
    __attribute__((cleanup(buf_free))) struct buf glob = {0};
    for (size_t i = 0; i < pattern.n_parts; i++) {
        if (pattern.parts[i].kind == KEYPART_LITERAL) add_glob(&glob, pattern.parts[i].text, pattern.parts[i].length);
        else buf_add_char(&glob, '*');
    }
    pattern.glob = arena_strdup(arena, buf_text(&glob));
    *ret_pattern = pattern;
    return 0;
}

char *keypattern_common_glob(struct arena *arena, const struct keypattern *const *patterns, size_t count) {
    if (count == 1) return arena_strdup(arena, patterns[0]->glob);
    const char *prefix = "";
    size_t length = 0;
    for (size_t i = 0; i < count; i++) {
        const struct keypart *first = &patterns[i]->parts[0];
        size_t own = first->kind == KEYPART_LITERAL ? first->length : 0;
        if (i == 0) {
            prefix = first->text;
            length = own;
        }
        size_t common = 0;
        while (common < length && common < own && prefix[common] == first->text[common]) common++;
        length = common;
    }
    __attribute__((cleanup(buf_free))) struct buf glob = {0};
    add_glob(&glob, prefix, length);
    buf_add_char(&glob, '*');
    return arena_strdup(arena, buf_text(&glob));
}

/* --- matching ------------------------------------------------------------------------------------------------------ */

struct matcher {
    const struct keypattern *pattern;
    const char *key;
    size_t length;
    keyfit_sink *sink;
    void *context;
    struct keyfit fit;
    size_t steps;
    bool fits;
};

static bool digits(const char *text, size_t count, int *ret_number) {
    int number = 0;
    for (size_t i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9') return false;
        number = number * 10 + (text[i] - '0');
    }
    *ret_number = number;
    return true;
}

/* The first instant after the unit that `unit` counts: 0 year, 1 month, … 5 second. */
static int64_t end_of(struct civil at, int unit) {
    static const int64_t length_us[] = {0, 0, TIME_DAY_US, 3600 * TIME_SECOND_US, 60 * TIME_SECOND_US, TIME_SECOND_US};
    if (unit >= 2) return time_from_civil(&at) + length_us[unit];
    if (unit == 1 && at.month < 12) at.month++;
    else {
        at.month = 1;
        at.year++;
    }
    return time_from_civil(&at);
}

/* Reads a moment at `text`; returns how many bytes it takes, 0: there is none. */
static size_t read_date(const struct keypart *part, const char *text, size_t room, int64_t *ret_end_us) {
    int values[6] = {0, 1, 1, 0, 0, 0}, unit = 0;
    size_t at = 0;
    for (size_t i = 0; i < part->length; i++) {
        if (part->text[i] != '%') {
            if (at == room || text[at] != part->text[i]) return 0;
            at++;
            continue;
        }
        i++;
        size_t wide = unit == 0 ? 4 : 2;
        if (room - at < wide || !digits(text + at, wide, &values[unit])) return 0;
        at += wide;
        unit++;
    }
    struct civil civil = {.year = values[0], .month = values[1], .day = values[2], .hour = values[3], .minute = values[4], .second = values[5]};
    if (civil.month < 1 || civil.month > 12 || civil.day < 1 || civil.day > time_days_in_month(civil.year, civil.month)) return 0;
    if (civil.hour > 23 || civil.minute > 59 || civil.second > 59) return 0;
    *ret_end_us = end_of(civil, unit - 1);
    return at;
}

static void accept_fit(struct matcher *matcher) {
    matcher->fits = true;
    matcher->sink(matcher->context, &matcher->fit);
}

static void match_from(struct matcher *matcher, size_t part, size_t at);

/* `*` and {tenant} may end anywhere. */
static void match_open_part(struct matcher *matcher, size_t number, size_t at) {
    bool tenant = matcher->pattern->parts[number].kind == KEYPART_TENANT;
    bool last = number + 1 == matcher->pattern->n_parts;
    if (tenant) matcher->fit.tenant = matcher->key + at;
    for (size_t end = last ? matcher->length : at; end <= matcher->length && matcher->steps <= MOST_STEPS; end++) {
        if (tenant) matcher->fit.tenant_length = end - at;
        match_from(matcher, number + 1, end);
    }
}

/* Recursion is as deep as the pattern has parts. */
static void match_from(struct matcher *matcher, size_t number, size_t at) {
    matcher->steps++;
    for (; number < matcher->pattern->n_parts; number++) {
        const struct keypart *part = &matcher->pattern->parts[number];
        size_t room = matcher->length - at;
        if (part->kind == KEYPART_ANY || part->kind == KEYPART_TENANT) {
            match_open_part(matcher, number, at);
            return;
        }
        if (part->kind == KEYPART_LITERAL) {
            if (room < part->length || memcmp(matcher->key + at, part->text, part->length) != 0) return;
            at += part->length;
            continue;
        }
        size_t taken = read_date(part, matcher->key + at, room, &matcher->fit.date_end_us);
        if (taken == 0) return;
        at += taken;
    }
    if (at == matcher->length) accept_fit(matcher);
}

enum keymatch keypattern_match(const struct keypattern *pattern, const char *key, size_t length, keyfit_sink *sink, void *context) {
    struct matcher matcher = {.pattern = pattern, .key = key, .length = length, .sink = sink, .context = context};
    match_from(&matcher, 0, 0);
    if (matcher.steps > MOST_STEPS) return KEYMATCH_TOO_MANY_WAYS;
    return matcher.fits ? KEYMATCH_YES : KEYMATCH_NO;
}
