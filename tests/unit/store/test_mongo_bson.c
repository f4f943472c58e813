/* The pure parts of the MongoDB driver: values and their texts, paths, maps, filters. */
#include "store/mongo_internal.h"
#include "store/mongo_map.h"
#include "unit.h"

#include "base/time.h"

static struct arena *arena;

static bson_t *json(const char *text) {
    char *copy = strdup(text);
    for (char *c = copy; *c; c++)
        if (*c == '\'') *c = '"';
    bson_error_t error;
    bson_t *bson = bson_new_from_json((const uint8_t *)copy, -1, &error);
    ck_assert_msg(bson != NULL, "%s: %s", copy, error.message);
    free(copy);
    return bson;
}

/* The text of {'v': …}; NULL: it has none. */
static const char *text_of(const char *value) {
    bson_t *document = json(value);
    bson_iter_t iter;
    ck_assert(bson_iter_init_find(&iter, document, "v"));
    const char *text = mongo_text(arena, &iter);
    bson_destroy(document);
    return text;
}

START_TEST(one_text_for_every_type_of_an_id) {
    arena = arena_new();
    ck_assert_str_eq(text_of("{'v': '7'}"), "7");
    ck_assert_str_eq(text_of("{'v': 7}"), "7");
    ck_assert_str_eq(text_of("{'v': {'$numberLong': '-9223372036854775808'}}"), "-9223372036854775808");
    ck_assert_str_eq(text_of("{'v': 7.0}"), "7");
    ck_assert_str_eq(text_of("{'v': {'$oid': '507f1f77bcf86cd799439011'}}"), "507f1f77bcf86cd799439011");
    ck_assert_str_eq(text_of("{'v': {'$binary': {'base64': 'AAECAwQFBgcICQoLDA0ODw==', 'subType': '04'}}}"), "00010203-0405-0607-0809-0a0b0c0d0e0f");
    /* 7 and 7.0 are one decimal to MongoDB and two texts. */
    static const char *const none[] = {"{'v': {'$numberDecimal': '7'}}", "{'v': 7.5}", "{'v': 1e300}", "{'v': true}", "{'v': null}", "{'v': {'a': 1}}", "{'v': [1]}", "{'v': {'$numberDecimal': '7.5'}}",
                                       "{'v': {'$numberDecimal': 'NaN'}}", "{'v': {'$numberDouble': 'NaN'}}", "{'v': 'a\\u0000b'}",
                                       "{'v': {'$binary': {'base64': 'AAECAwQFBgcICQoLDA0ODw==', 'subType': '00'}}}", "{'v': {'$date': {'$numberLong': '0'}}}"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) ck_assert_msg(!text_of(none[i]), "%s", none[i]);
    arena_free(arena);
}
END_TEST

static uint32_t values_of(const char *text, unsigned types) {
    bson_t values = BSON_INITIALIZER;
    uint32_t count = 0;
    arena = arena_new();
    mongo_append_values(&values, &count, types, text);
    ck_assert_uint_eq(bson_count_keys(&values), count);
    bson_iter_t iter;
    ck_assert(bson_iter_init(&iter, &values));
    while (bson_iter_next(&iter)) ck_assert_str_eq(mongo_text(arena, &iter), text); /* there and back */
    bson_destroy(&values);
    arena_free(arena);
    return count;
}

START_TEST(every_value_of_a_text_has_that_text) {
    ck_assert_uint_eq(values_of("7", MONGO_ALL_TYPES), 2);
    ck_assert_uint_eq(values_of("0", MONGO_ALL_TYPES), 2);
    ck_assert_uint_eq(values_of("-9223372036854775808", MONGO_ALL_TYPES), 2);
    ck_assert_uint_eq(values_of("9223372036854775808", MONGO_ALL_TYPES), 1);
    ck_assert_uint_eq(values_of("07", MONGO_ALL_TYPES), 1);
    ck_assert_uint_eq(values_of("-0", MONGO_ALL_TYPES), 1);
    ck_assert_uint_eq(values_of("+7", MONGO_ALL_TYPES), 1);
    ck_assert_uint_eq(values_of("-", MONGO_ALL_TYPES), 1);
    ck_assert_uint_eq(values_of("507f1f77bcf86cd799439011", MONGO_ALL_TYPES), 2);
    ck_assert_uint_eq(values_of("507F1F77BCF86CD799439011", MONGO_ALL_TYPES), 1);
    ck_assert_uint_eq(values_of("00010203-0405-0607-0809-0a0b0c0d0e0f", MONGO_ALL_TYPES), 2);
    ck_assert_uint_eq(values_of("00010203-0405-0607-0809-0a0b0c0d0e0", MONGO_ALL_TYPES), 1);
    ck_assert_uint_eq(values_of("00010203-0405-0607-0809+0a0b0c0d0e0f", MONGO_ALL_TYPES), 1);
    ck_assert_uint_eq(values_of("7", MONGO_NUMBER), 1);
    ck_assert_uint_eq(values_of("seven", MONGO_NUMBER), 0);
}
END_TEST

START_TEST(a_path_does_not_lead_through_arrays) {
    bson_t *document = json("{'a': {'b': 1, 'c': [1]}, 'd': [{'e': 1}], 'f.g': 1}");
    bson_iter_t value;
    ck_assert(mongo_scalar_at(document, "a.b", &value));
    ck_assert_int_eq(bson_iter_as_int64(&value), 1);
    ck_assert(mongo_scalar_at(document, "a", &value));
    ck_assert(!mongo_scalar_at(document, "a.c", &value));
    ck_assert(!mongo_scalar_at(document, "d.e", &value));
    ck_assert(!mongo_scalar_at(document, "d", &value));
    ck_assert(!mongo_scalar_at(document, "a.b.c", &value));
    ck_assert(!mongo_scalar_at(document, "a.", &value));
    ck_assert(!mongo_scalar_at(document, "f.g", &value));
    bson_destroy(document);
}
END_TEST

START_TEST(a_map_keeps_the_first_of_each_key) {
    struct mongo_map map = {.arena = arena_new()};
    size_t value;
    for (size_t i = 0; i < 20000; i++) ck_assert(mongo_map_put(&map, (const uint8_t *)&i, sizeof i, i));
    for (size_t i = 0; i < 20000; i++) ck_assert(!mongo_map_put(&map, (const uint8_t *)&i, sizeof i, 0));
    for (size_t i = 0; i < 20000; i++) ck_assert(mongo_map_get(&map, (const uint8_t *)&i, sizeof i, &value) && value == i);
    size_t other = 20000;
    ck_assert(!mongo_map_get(&map, (const uint8_t *)&other, sizeof other, &value));
    arena_free(map.arena);
}
END_TEST

/* The filter of an order, as JSON. */
static char *filter_of(struct target *target, const struct order *order, const char *const *ids, size_t n_ids) {
    const struct mongo_bound bound = {.target = target};
    bson_t *filter = mongo_compile(&bound, order, ids, n_ids);
    if (!filter) return NULL;
    char *text = bson_as_relaxed_extended_json(filter, NULL);
    bson_destroy(filter);
    return text;
}

START_TEST(a_cutoff_is_rounded_up_to_what_an_anchor_can_hold) {
    static const struct {
        const char *anchor;
        enum since_unit unit;
        int64_t cutoff_us;
        const char *part;
    } cases[] = {{"at", UNIT_NONE, 1001, "{ \"$lt\" : { \"$date\" : \"1970-01-01T00:00:00.002Z\" } }"},
                 {"at", UNIT_NONE, 2000, "{ \"$lt\" : { \"$date\" : \"1970-01-01T00:00:00.002Z\" } }"},
                 {"at", UNIT_MILLISECONDS, 1001, "{ \"$gt\" : 0, \"$lt\" : 2 }"},
                 {"at", UNIT_SECONDS, 1000001, "{ \"$gt\" : 0, \"$lt\" : 2 }"},
                 {"at", UNIT_SECONDS, -1500000, "{ \"$gt\" : 0, \"$lt\" : -1 }"},
                 {"_id", UNIT_NONE, 1000001, "{ \"$oid\" : \"000000020000000000000000\" }"},
                 {"_id", UNIT_NONE, -5000001, "{ \"$oid\" : \"000000000000000000000000\" }"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct keep keep = {.kind = KEEP_AGE};
        struct target target = {.no_tenant = true, .since = cases[i].anchor, .unit = cases[i].unit};
        const struct scope whole = {.kind = SCOPE_WHOLE, .anchor = cases[i].anchor, .anchor_is_since = true, .cutoff_us = cases[i].cutoff_us};
        struct order order = order_make(&target, ACTION_PURGE, &keep, whole);
        char *text = filter_of(&target, &order, NULL, 0);
        ck_assert_ptr_nonnull(text);
        ck_assert_msg(strstr(text, cases[i].part) != NULL, "%zu: %s", i, text);
        bson_free(text);
    }
}
END_TEST

START_TEST(an_order_for_nobody_has_no_filter) {
    const struct keep keep = {.kind = KEEP_END};
    struct target target = {.tenant = "t"};
    const struct scope_tenant held[] = {{"anna", TIME_NEVER, TIME_FOREVER}};
    const struct scope due = {.kind = SCOPE_LISTED, .tenants = held, .n_tenants = 1};
    struct order order = order_make(&target, ACTION_PURGE, &keep, due);
    const char *const anna[] = {"anna"}, *const bert[] = {"bert"};
    ck_assert_ptr_null(filter_of(&target, &order, anna, 1));
    ck_assert_ptr_null(filter_of(&target, &order, bert, 1));
    ck_assert_ptr_null(filter_of(&target, &order, NULL, 0));
}
END_TEST

UNIT_MAIN("mongo_bson", one_text_for_every_type_of_an_id, every_value_of_a_text_has_that_text, a_path_does_not_lead_through_arrays,
          a_map_keeps_the_first_of_each_key, a_cutoff_is_rounded_up_to_what_an_anchor_can_hold, an_order_for_nobody_has_no_filter)
