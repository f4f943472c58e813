#include "base/text.h"
#include "store/strategy.h"
#include "unit.h"

static struct arena *arena;
static const unsigned char key[32] = "a key for tests, 32 bytes long.";

static const char *apply(enum strategy strategy, const char *argument, const char *value) {
    if (!arena) arena = arena_new();
    const struct column column = {.strategy = strategy, .argument = argument, .path = "c"};
    return strategy_apply(arena, &column, key, value);
}

#define GIVES(strategy, argument, value, expected)                                                                     \
    ck_assert_msg(text_equal(apply(strategy, argument, value), expected), "%s gives %s", value ? value : "NULL",       \
                  apply(strategy, argument, value) ? apply(strategy, argument, value) : "NULL")

START_TEST(null_and_fixed_leave_nothing) {
    GIVES(STRATEGY_NULL, NULL, "x", NULL);
    GIVES(STRATEGY_FIXED, "closed", "x", "closed");
    GIVES(STRATEGY_FIXED, "closed", NULL, "closed");
    GIVES(STRATEGY_AS_IS, NULL, "x", "x");
}
END_TEST

START_TEST(addresses_lose_their_hosts) {
    GIVES(STRATEGY_TRUNCATE_IP, NULL, "203.0.113.77", "203.0.113.0");
    GIVES(STRATEGY_TRUNCATE_IP, NULL, "2001:db8:1:2::3", "2001:db8:1::");
    GIVES(STRATEGY_TRUNCATE_IP, NULL, "::ffff:203.0.113.77", "203.0.113.0");
    GIVES(STRATEGY_TRUNCATE_IP, NULL, "::1", "::");
    GIVES(STRATEGY_TRUNCATE_IP, NULL, "0:0:c::9", "0:0:c::");
    GIVES(STRATEGY_TRUNCATE_IP, NULL, "fe80::1%eth0", NULL);
    GIVES(STRATEGY_TRUNCATE_IP, NULL, "unknown", NULL);
    GIVES(STRATEGY_TRUNCATE_IP, NULL, "203.0.113.77, 10.0.0.1", NULL);
    GIVES(STRATEGY_TRUNCATE_IP, NULL, "", "");
    GIVES(STRATEGY_TRUNCATE_IP, NULL, NULL, NULL);
}
END_TEST

START_TEST(urls_lose_users_queries_and_fragments) {
    GIVES(STRATEGY_STRIP_URL, NULL, "https://bob:pw@shop.example:8443/a/b?mail=x#top", "https://shop.example:8443/a/b");
    GIVES(STRATEGY_STRIP_URL, NULL, "/a/@b?c", "/a/@b");
    GIVES(STRATEGY_STRIP_URL, NULL, "//bob@host/x", "//host/x");
    GIVES(STRATEGY_STRIP_URL, NULL, "https://a@b@c/x", "https://c/x");
    GIVES(STRATEGY_STRIP_URL, NULL, "localhost:3000/x?y", "localhost:3000/x");
    GIVES(STRATEGY_STRIP_URL, NULL, "a//b?c", "a//b");
    GIVES(STRATEGY_STRIP_URL, NULL, "mailto:bob@example.com", NULL);
    GIVES(STRATEGY_STRIP_URL, NULL, "data:text/plain,secret", NULL);
    GIVES(STRATEGY_STRIP_URL, NULL, "https:\\\\bob@host/x", NULL);
    GIVES(STRATEGY_STRIP_URL, NULL, "bob@example.com", "example.com");
}
END_TEST

START_TEST(hosts_stand_alone) {
    GIVES(STRATEGY_HOST, NULL, "https://bob@Shop.Example:8443/a?b", "shop.example");
    GIVES(STRATEGY_HOST, NULL, "https://[2001:db8::1]:80/", "[2001:db8::1]");
    GIVES(STRATEGY_HOST, NULL, "android-app://com.example/", "com.example");
    GIVES(STRATEGY_HOST, NULL, "example.com/path", "example.com");
    GIVES(STRATEGY_HOST, NULL, "/only/a/path", NULL);
    GIVES(STRATEGY_HOST, NULL, "mailto:bob@example.com", NULL);
}
END_TEST

START_TEST(browsers_come_from_a_closed_list) {
    GIVES(STRATEGY_BROWSER_FAMILY, NULL, "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0",
          "Firefox 128 on Windows");
    GIVES(STRATEGY_BROWSER_FAMILY, NULL,
          "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0",
          "Edge 126 on Windows");
    GIVES(STRATEGY_BROWSER_FAMILY, NULL,
          "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
          "Safari 17 on iOS");
    GIVES(STRATEGY_BROWSER_FAMILY, NULL, "Googlebot/2.1", "bot");
    GIVES(STRATEGY_BROWSER_FAMILY, NULL, "Firefox/99999999 secret", "Firefox");
    GIVES(STRATEGY_BROWSER_FAMILY, NULL, "something of bob's", "other");
}
END_TEST

START_TEST(pseudonyms_need_the_key_and_are_not_taken_twice) {
    const char *bob = apply(STRATEGY_PSEUDONYMIZE, NULL, "bob");
    ck_assert_uint_eq(strlen(bob), STRATEGY_PSEUDONYM);
    ck_assert(text_starts_with(bob, "anon:"));
    ck_assert_str_ne(bob, apply(STRATEGY_PSEUDONYMIZE, NULL, "Bob"));
    ck_assert_str_eq(bob, apply(STRATEGY_PSEUDONYMIZE, NULL, bob));
    const char *cut = arena_strndup(arena, bob, STRATEGY_LEAST_PSEUDONYM);
    ck_assert_str_eq(cut, apply(STRATEGY_PSEUDONYMIZE, NULL, cut));

    unsigned char other[32] = {1};
    const struct column column = {.strategy = STRATEGY_PSEUDONYMIZE};
    ck_assert_str_ne(bob, strategy_apply(arena, &column, other, "bob"));
}
END_TEST

START_TEST(times_are_cut_in_utc) {
    GIVES(STRATEGY_TRUNCATE_TIME, "day", "2026-11-23T01:02:03.5+02:00", "2026-11-22T00:00:00Z");
    GIVES(STRATEGY_TRUNCATE_TIME, "month", "2026-11-23 01:02", "2026-11-01T00:00:00Z");
    GIVES(STRATEGY_TRUNCATE_TIME, "year", "2026-11-23", "2026-01-01T00:00:00Z");
    GIVES(STRATEGY_TRUNCATE_TIME, "hour", "yesterday", NULL);
    ck_assert(!strategy_is_time_unit("week"));
}
END_TEST

/* Property: whatever comes in, a second time changes nothing, and what came out counts as done. */
START_TEST(every_strategy_is_idempotent_and_done) {
    static const char *const pieces[] = {"http", "https://", ":", "/", "//", "@", "?", "#", "bob", "a.b", "\\", "[", "]", "::", "1.2.3.4", "ffff",
                                         "Firefox/", "Chrome/12", " ", "anon:", "0123456789abcdef0123456789abcdef", "2026-11-23", "T10:11", "\n",
                                         "\xc3\xbc", "\xff", "mailto:", "Safari/", "Version/1", "other", "-", "0", "A"};
    static const struct column columns[] = {
        {.strategy = STRATEGY_NULL},      {.strategy = STRATEGY_FIXED, .argument = "x"},      {.strategy = STRATEGY_TRUNCATE_IP},
        {.strategy = STRATEGY_STRIP_URL}, {.strategy = STRATEGY_HOST},                        {.strategy = STRATEGY_BROWSER_FAMILY},
        {.strategy = STRATEGY_AS_IS},     {.strategy = STRATEGY_TRUNCATE_TIME, .argument = "day"}, {.strategy = STRATEGY_PSEUDONYMIZE}};
    arena = arena_new();
    unsigned random = 1;
    for (int round = 0; round < 20000; round++) {
        struct buf value = {0};
        buf_add(&value, "");
        for (unsigned n = (unsigned)round % 6; n; n--) {
            random = random * 1103515245 + 12345;
            buf_add(&value, pieces[(random >> 8) % (sizeof pieces / sizeof *pieces)]);
        }
        for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
            const char *once = strategy_apply(arena, &columns[i], key, buf_text(&value));
            const char *twice = strategy_apply(arena, &columns[i], key, once);
            ck_assert_msg(text_equal(once, twice), "strategy %zu: \"%s\", \"%s\", \"%s\"", i, buf_text(&value), once, twice);
            ck_assert_msg(strategy_done(&columns[i], once), "strategy %zu: \"%s\" -> \"%s\"", i, buf_text(&value), once);
            if (strategy_done(&columns[i], buf_text(&value))) ck_assert(text_equal(once, buf_text(&value)));
        }
        buf_free(&value);
        arena_clear(arena);
    }
    arena_free(arena);
}
END_TEST

UNIT_MAIN("strategy", null_and_fixed_leave_nothing, addresses_lose_their_hosts, urls_lose_users_queries_and_fragments, hosts_stand_alone,
          browsers_come_from_a_closed_list, pseudonyms_need_the_key_and_are_not_taken_twice, times_are_cut_in_utc,
          every_strategy_is_idempotent_and_done)
