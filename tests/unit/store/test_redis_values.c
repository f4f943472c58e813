/* What the Redis driver reads without a server: addresses, instants, bounds of ranges. */
#include "store/redis_internal.h"

#include "base/time.h"
#include "unit.h"

static struct redis_address address_of(const char *url) {
    static struct arena *arena;
    struct redis_address address;
    struct err err;
    if (!arena) arena = arena_new();
    if (redis_address_parse(arena, url, &address, &err) < 0) ck_abort_msg("%s: %s", url, err.text);
    return address;
}

START_TEST(addresses_are_read) {
    struct redis_address address = address_of("redis://lapsed@cache.internal:6380/3");
    ck_assert_str_eq(address.host, "cache.internal");
    ck_assert_str_eq(address.user, "lapsed");
    ck_assert_int_eq(address.port, 6380);
    ck_assert_int_eq(address.database, 3);
    address = address_of("redis://localhost");
    ck_assert_ptr_null(address.user);
    ck_assert_int_eq(address.port, 6379);
    ck_assert_int_eq(address.database, 0);
    ck_assert_str_eq(address_of("redis://[::1]:7/").host, "::1");
    ck_assert_str_eq(address_of("redis://a%40b@h").user, "a@b");
    address = address_of("redis+unix://lapsed@/run/redis/redis.sock?db=2");
    ck_assert_str_eq(address.path, "/run/redis/redis.sock");
    ck_assert_str_eq(address.user, "lapsed");
    ck_assert_ptr_null(address.host);
    ck_assert_int_eq(address.database, 2);
}
END_TEST

START_TEST(other_addresses_are_refused_with_a_remedy) {
    static const struct {
        const char *url, *says;
    } refused[] = {
        {"rediss://h", "stunnel"},       {"redis://u:secret@h", "credential"}, {"redis://", "redis://user@host"},  {"redis://h:port", "redis://user@host"},
        {"redis://h:70000", "redis://"}, {"redis://h/x", "redis://"},          {"redis://[::1", "redis://"},       {"redis+unix://", "redis+unix://"},
        {"redis://h?x", "redis://"},     {"redis+unix:///s?database=1", "?db="},
    };
    struct arena *arena = arena_new();
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct redis_address address;
        struct err err;
        ck_assert_msg(redis_address_parse(arena, refused[i].url, &address, &err) < 0, "%s was taken", refused[i].url);
        ck_assert_int_eq(err.code, ERR_CONFIG);
        ck_assert_msg(strstr(err.text, refused[i].says) != NULL, "%s: %s", refused[i].url, err.text);
        ck_assert_ptr_null(strstr(err.text, "secret"));
    }
    arena_free(arena);
}
END_TEST

static int64_t instant(const char *text, enum since_unit unit) {
    int64_t us = -7;
    return redis_instant(text, strlen(text), unit, &us) ? us : -7;
}

START_TEST(instants_are_read_in_their_unit) {
    ck_assert_int_eq(instant("1709294400", UNIT_SECONDS), INT64_C(1709294400000000));
    ck_assert_int_eq(instant("1709294400.5", UNIT_SECONDS), INT64_C(1709294400500000));
    ck_assert_int_eq(instant("1709294400123", UNIT_MILLISECONDS), INT64_C(1709294400123000));
    ck_assert_int_eq(instant("1970-01-01T00:00:01Z", UNIT_NONE), TIME_SECOND_US);
    ck_assert_int_eq(instant("1970-01-01T00:00:01Z", UNIT_SECONDS), TIME_SECOND_US);
    ck_assert_int_eq(instant("1970-01-01", UNIT_NONE), TIME_DAY_US - 1);
}
END_TEST

START_TEST(what_is_no_instant_is_not_guessed) {
    ck_assert_int_eq(instant("", UNIT_SECONDS), -7);
    ck_assert_int_eq(instant("1709294400", UNIT_NONE), -7);
    ck_assert_int_eq(instant("1709294400x", UNIT_SECONDS), -7);
    ck_assert_int_eq(instant(" 1", UNIT_SECONDS), -7);
    ck_assert_int_eq(instant("1e9", UNIT_SECONDS), -7);
    ck_assert_int_eq(instant("99999999999999999999", UNIT_SECONDS), -7);
    ck_assert_int_eq(instant("soon", UNIT_SECONDS), -7);
    ck_assert_int_eq(instant("0", UNIT_SECONDS), -7);
    ck_assert_int_eq(instant("0.0", UNIT_MILLISECONDS), -7);
    ck_assert_int_eq(instant("-1", UNIT_SECONDS), -7);
    ck_assert_int_eq(instant("9223372036854775.9", UNIT_MILLISECONDS), -7);
    int64_t us;
    ck_assert(!redis_instant("1\0002", 3, UNIT_SECONDS, &us));
}
END_TEST

/* A record at or after the cutoff must not be inside a range that ends before it. */
START_TEST(bounds_are_never_later_than_the_cutoff) {
    struct arena *arena = arena_new();
    ck_assert_str_eq(redis_score_text(arena, 1709294400000001, UNIT_SECONDS), "1709294400.000001");
    ck_assert_str_eq(redis_score_text(arena, 1709294400000001, UNIT_MILLISECONDS), "1709294400000.001");
    ck_assert_str_eq(redis_score_text(arena, -1, UNIT_SECONDS), "-0.000001");
    ck_assert_str_eq(redis_score_text(arena, -1500000, UNIT_SECONDS), "-1.500000");
    ck_assert_int_eq(redis_stream_ms(1000), 1);
    ck_assert_int_eq(redis_stream_ms(1001), 2); /* entry 1 is at 1,000 us, before 1,001: due; entry 2 is not */
    ck_assert_int_eq(redis_stream_ms(0), 0);
    arena_free(arena);
}
END_TEST

START_TEST(anchors_are_known_by_name) {
    struct redis_anchor anchor;
    ck_assert(redis_anchor_parse("field:seen_at", UNIT_SECONDS, &anchor));
    ck_assert_str_eq(anchor.field, "seen_at");
    ck_assert(redis_anchor_parse("stream-id", UNIT_NONE, &anchor) && anchor.unit == UNIT_MILLISECONDS);
    ck_assert(!redis_anchor_parse("field:", UNIT_NONE, &anchor));
    ck_assert(!redis_anchor_parse("created_at", UNIT_NONE, &anchor));
}
END_TEST

START_TEST(tallies_grow_and_sort) {
    struct redis_tally *tally = redis_tally_new();
    struct arena *arena = arena_new();
    for (int i = 0; i < 3000; i++) {
        char tenant[16];
        snprintf(tenant, sizeof tenant, "t%d", i % 1000);
        redis_tally_add(tally, tenant, 1, 100, 50 - i);
    }
    size_t count;
    const struct tenant_count *list = redis_tally_list(tally, arena, &count);
    ck_assert_uint_eq(count, 1000);
    for (size_t i = 0; i < count; i++) {
        ck_assert_int_eq(list[i].count, 3);
        ck_assert(i == 0 || strcmp(list[i - 1].tenant, list[i].tenant) < 0);
    }
    ck_assert_int_eq(list[0].oldest_us, 50 - 2000);
    ck_assert(redis_tally_has(tally, "t7") && !redis_tally_has(tally, "t1000"));
    redis_tally_free(tally);
    arena_free(arena);
}
END_TEST

START_TEST(questions_leave_others_their_time) {
    ck_assert_int_eq(redis_scan_pause_us(LOAD_GENTLE, 2000), 6000);
    ck_assert_int_eq(redis_scan_pause_us(LOAD_NORMAL, 2000), 2000);
    ck_assert_int_eq(redis_scan_pause_us(LOAD_FULL, 2000), 0);
    ck_assert_int_eq(redis_scan_pause_us(LOAD_GENTLE, 30 * TIME_SECOND_US), 100000); /* a server that hardly answered */
}
END_TEST

UNIT_MAIN("redis values", questions_leave_others_their_time, addresses_are_read, other_addresses_are_refused_with_a_remedy, instants_are_read_in_their_unit, what_is_no_instant_is_not_guessed,
          bounds_are_never_later_than_the_cutoff, anchors_are_known_by_name, tallies_grow_and_sort)
