#include "store/keypattern.h"

#include "base/time.h"
#include "unit.h"

#include <stdio.h>

static struct arena *arena;

static struct keypattern pattern_of(const char *text) {
    struct keypattern pattern;
    struct err err;
    if (!arena) arena = arena_new();
    if (keypattern_parse(arena, text, &pattern, &err) < 0) ck_abort_msg("%s: %s", text, err.text);
    return pattern;
}

struct fits {
    char text[2000];
    int64_t date_end_us;
};

static void note_fit(void *context, const struct keyfit *fit) {
    struct fits *fits = context;
    size_t length = strlen(fits->text);
    if (length + fit->tenant_length + 2 >= sizeof fits->text) return;
    if (length > 0) fits->text[length++] = '|';
    if (fit->tenant_length) memcpy(fits->text + length, fit->tenant, fit->tenant_length);
    fits->date_end_us = fit->date_end_us;
}

/* The possible tenants of the key with '|' between them; "-" when it does not fit. */
static const char *tenants_of(const char *pattern_text, const char *key, size_t length) {
    static struct fits fits;
    fits = (struct fits){0};
    struct keypattern pattern = pattern_of(pattern_text);
    return keypattern_match(&pattern, key, length, note_fit, &fits) == KEYMATCH_YES ? fits.text : "-";
}
#define TENANTS(pattern, key) tenants_of(pattern, key, sizeof key - 1)

START_TEST(a_key_of_one_tenant) {
    ck_assert_str_eq(TENANTS("caas:{tenant}:*", "caas:42:cart"), "42");
    ck_assert_str_eq(TENANTS("caas:{tenant}:*", "caas:42:"), "42");
    ck_assert_str_eq(TENANTS("caas:{tenant}", "caas:a:b"), "a:b");
    ck_assert_str_eq(TENANTS("tenant:{tenant}", "tenant:10"), "10");
    ck_assert_str_eq(TENANTS("{tenant}.cart", "42.cart"), "42");
}
END_TEST

START_TEST(keys_that_do_not_fit) {
    ck_assert_str_eq(TENANTS("caas:{tenant}:*", "caas:42"), "-");
    ck_assert_str_eq(TENANTS("caas:{tenant}:*", "Xcaas:42:cart"), "-");
    ck_assert_str_eq(TENANTS("caas:{tenant}:cart", "caas:42:cart2"), "-");
    ck_assert_str_eq(TENANTS("caas:{tenant}:cart", ""), "-");
}
END_TEST

START_TEST(every_split_is_told) {
    ck_assert_str_eq(TENANTS("caas:{tenant}:*", "caas:a:b:x"), "a|a:b");
    ck_assert_str_eq(TENANTS("caas:{tenant}:x", "caas:a:b:x"), "a:b");
    ck_assert_str_eq(TENANTS("*:{tenant}:x", "p:a:b:x"), "a:b|b");
}
END_TEST

START_TEST(an_empty_tenant_is_told_as_empty) {
    struct keypattern pattern = pattern_of("caas:{tenant}:x");
    struct fits fits = {0};
    ck_assert_int_eq(keypattern_match(&pattern, "caas::x", 7, note_fit, &fits), KEYMATCH_YES);
    ck_assert_str_eq(fits.text, "");
}
END_TEST

START_TEST(keys_are_bytes) {
    ck_assert_str_eq(TENANTS("caas:{tenant}:*", "caas:a b\n:\0\xff"), "a b\n");
    ck_assert_str_eq(TENANTS("caas:{tenant}:*", "caas:\xff\xfe:x"), "\xff\xfe");
    struct keypattern pattern = pattern_of("c:{tenant}:x");
    struct fits fits = {0};
    ck_assert_int_eq(keypattern_match(&pattern, "c:a\0b:x", 7, note_fit, &fits), KEYMATCH_YES);
}
END_TEST

START_TEST(glob_characters_of_literals_are_literal) {
    ck_assert_str_eq(pattern_of("a[b]?c\\*{tenant}:*").glob, "a\\[b\\]\\?c\\**:*");
    ck_assert_str_eq(TENANTS("a?{tenant}", "ab7"), "-");
    ck_assert_str_eq(TENANTS("a?{tenant}", "a?7"), "7");
    ck_assert_str_eq(TENANTS("a\\*{tenant}", "a*7"), "7");
    ck_assert_str_eq(TENANTS("a\\*{tenant}", "axx7"), "-");
    ck_assert_str_eq(TENANTS("a\\\\{tenant}", "a\\7"), "7");
    ck_assert_str_eq(TENANTS("a:{7}:{tenant}", "a:{7}:9"), "9");
    ck_assert_str_eq(TENANTS("\\{tenant}:{tenant}", "{tenant}:9"), "9");
}
END_TEST

static int64_t date_end(const char *pattern_text, const char *key) {
    struct keypattern pattern = pattern_of(pattern_text);
    struct fits fits = {0};
    return keypattern_match(&pattern, key, strlen(key), note_fit, &fits) == KEYMATCH_YES ? fits.date_end_us : -1;
}

static int64_t at(const char *text) {
    int64_t us = 0;
    ck_assert(time_parse(text, &us));
    return us;
}

START_TEST(a_date_is_over_at_its_end) {
    ck_assert_int_eq(date_end("log:{date}", "log:2024-02-29"), at("2024-03-01"));
    ck_assert_int_eq(date_end("log:{date:%Y%m%d}:x", "log:20231231:x"), at("2024-01-01"));
    ck_assert_int_eq(date_end("log:{date:%Y-%m}", "log:2023-12"), at("2024-01-01"));
    ck_assert_int_eq(date_end("log:{date:%Y}", "log:2023"), at("2024-01-01"));
    ck_assert_int_eq(date_end("log:{date:%Y%m%d%H}", "log:2023123123"), at("2024-01-01"));
    ck_assert_int_eq(date_end("log:{date:%Y%m%dT%H%M}", "log:20231231T2358"), at("2023-12-31 23:59"));
    ck_assert_int_eq(date_end("log:*:{date}", "log:a:b:2023-12-31"), at("2024-01-01"));
}
END_TEST

START_TEST(days_that_do_not_exist_do_not_fit) {
    ck_assert_int_eq(date_end("log:{date}", "log:2023-02-29"), -1);
    ck_assert_int_eq(date_end("log:{date}", "log:2023-13-01"), -1);
    ck_assert_int_eq(date_end("log:{date}", "log:2023-1-01"), -1);
    ck_assert_int_eq(date_end("log:{date}", "log:2023-01-01x"), -1);
    ck_assert_int_eq(date_end("log:{date:%Y%m%d%H}", "log:2023010124"), -1);
}
END_TEST

static void ck_refused(const char *text, const char *because) {
    struct keypattern pattern;
    struct err err;
    if (!arena) arena = arena_new();
    ck_assert_msg(keypattern_parse(arena, text, &pattern, &err) < 0, "%s was taken", text);
    ck_assert_int_eq(err.code, ERR_CONFIG);
    ck_assert_msg(strstr(err.text, because) != NULL, "%s: %s", text, err.text);
}

START_TEST(patterns_that_would_be_dangerous_are_refused) {
    ck_refused("caas:{tenant}*", "where {tenant} ends");
    ck_refused("caas:{tenant}{date}", "where {tenant} ends");
    ck_refused("{tenant}:{tenant}", "twice");
    ck_refused("{date}:{date}:x", "twice");
    ck_refused("*", "every key");
    ck_refused("{tenant}", "every key");
    ck_refused("", "every key");
    ck_refused("x:{date:%m%d}", "from %Y on");
    ck_refused("x:{date:%Y%d}", "in this sequence");
    ck_refused("x:{date:day}", "no year");
    ck_refused("x:{date:%Y", "closing brace");
}
END_TEST

START_TEST(one_glob_for_several_patterns) {
    struct keypattern a = pattern_of("caas:{tenant}:*"), b = pattern_of("caas:log:{date}"), c = pattern_of("other*x");
    const struct keypattern *list[] = {&a, &b, &c};
    ck_assert_str_eq(keypattern_common_glob(arena, list, 1), "caas:*:*");
    ck_assert_str_eq(keypattern_common_glob(arena, list, 2), "caas:*");
    ck_assert_str_eq(keypattern_common_glob(arena, list, 3), "*");
}
END_TEST

START_TEST(a_key_of_countless_splits_is_given_up) {
    char key[4000];
    memset(key, ':', sizeof key);
    struct keypattern pattern = pattern_of("*:{tenant}:*:x");
    struct fits fits = {0};
    ck_assert_int_eq(keypattern_match(&pattern, key, sizeof key, note_fit, &fits), KEYMATCH_TOO_MANY_WAYS);
}
END_TEST

UNIT_MAIN("keypattern", a_key_of_one_tenant, keys_that_do_not_fit, every_split_is_told, an_empty_tenant_is_told_as_empty, keys_are_bytes,
          glob_characters_of_literals_are_literal, a_date_is_over_at_its_end, days_that_do_not_exist_do_not_fit,
          patterns_that_would_be_dangerous_are_refused, one_glob_for_several_patterns, a_key_of_countless_splits_is_given_up)
