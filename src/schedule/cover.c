#include "schedule/cover.h"

#include "base/text.h"

#include <ctype.h>
#include <string.h>

static const char *skip_marks(const char *text) {
    while (*text == '_' || *text == '-') text++;
    return text;
}

static bool is_same_name(const char *a, const char *b) {
    for (;; a++, b++) {
        a = skip_marks(a);
        b = skip_marks(b);
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b)) return false;
        if (!*a) return true;
    }
}

/* The tenant's own record says "id", as every other table does of itself. */
static bool says_nothing(const char *name) { return is_same_name(name, "id"); }

bool cover_is_tenant_name(const struct schedule *schedule, const char *name) {
    if (says_nothing(name)) return false;
    for (size_t i = 0; i < schedule->n_targets; i++) {
        const char *tenant = schedule->targets[i]->tenant, *dot = tenant ? strrchr(tenant, '.') : NULL;
        if (tenant && is_same_name(dot ? dot + 1 : tenant, name)) return true;
    }
    return false;
}

/* '*' stands for anything, every other character for itself. */
static bool matches(const char *pattern, const char *text, size_t length) {
    const char *star = NULL, *end = text + length, *again = NULL;
    while (text < end) {
        if (*pattern == '*') {
            star = ++pattern;
            again = text;
        } else if (*pattern && *pattern == *text) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star;
            text = ++again;
        } else {
            return false;
        }
    }
    while (*pattern == '*') pattern++;
    return !*pattern;
}

/* A table is called "schema.table" here, and may be called "table" there. */
static bool names(const struct exemption *exemption, const char *name, size_t length) {
    if (matches(exemption->name, name, length)) return true;
    if (exemption->kind != TARGET_TABLE) return false;
    const char *dot = memchr(name, '.', length);
    return dot && matches(exemption->name, dot + 1, length - (size_t)(dot + 1 - name));
}

const struct exemption *cover_exemption(const struct schedule *schedule, const struct store_conf *store, enum target_kind kind, const char *name,
                                        size_t length) {
    for (size_t i = 0; i < schedule->n_exemptions; i++) {
        const struct exemption *exemption = &schedule->exemptions[i];
        if (exemption->store == store && exemption->kind == kind && names(exemption, name, length)) return exemption;
    }
    return NULL;
}
