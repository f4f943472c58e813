#include "base/time.h"
#include "store/mongo_internal.h"
#include "store/spelling.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UUID_BYTES = 16, UUID_TEXT = 36, LARGEST_PATH = 1024 };

/* ---- text of values ---- */

static char *uuid_text(struct arena *arena, const uint8_t *bytes) {
    char text[UUID_TEXT + 1], *to = text;
    for (int i = 0; i < UUID_BYTES; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) *to++ = '-';
        to += snprintf(to, 3, "%02x", bytes[i]);
    }
    return arena_strdup(arena, text);
}

char *mongo_text(struct arena *arena, const bson_iter_t *value) {
    uint32_t length;
    switch (bson_iter_type(value)) {
    case BSON_TYPE_UTF8: {
        const char *text = bson_iter_utf8(value, &length);
        return strlen(text) == length ? arena_strdup(arena, text) : NULL;
    }
    case BSON_TYPE_INT32:
    case BSON_TYPE_INT64: return arena_printf(arena, "%" PRId64, bson_iter_as_int64(value));
    case BSON_TYPE_DOUBLE: {
        double number = bson_iter_double(value);
        bool whole = fabs(number) <= MONGO_MOST_EXACT_DOUBLE && floor(number) == number;
        return whole ? arena_printf(arena, "%" PRId64, (int64_t)number) : NULL;
    }
    case BSON_TYPE_OID: {
        char text[25];
        bson_oid_to_string(bson_iter_oid(value), text);
        return arena_strdup(arena, text);
    }
    case BSON_TYPE_BINARY: {
        bson_subtype_t subtype;
        const uint8_t *bytes;
        bson_iter_binary(value, &subtype, &length, &bytes);
        return subtype == BSON_SUBTYPE_UUID && length == UUID_BYTES ? uuid_text(arena, bytes) : NULL;
    }
    default: return NULL;
    }
}

/* ---- values of a text ---- */

static bool is_integer(const char *text, int64_t *ret_number) {
    const char *digits = text + (*text == '-');
    size_t length = strlen(digits);
    if (!length || length > 19 || strspn(digits, "0123456789") != length) return false;
    if (*digits == '0' && (length > 1 || digits != text)) return false; /* "007" and "-0" are no number's text */
    char back[24];
    long long number = strtoll(text, NULL, 10);
    (void)snprintf(back, sizeof back, "%lld", number);
    if (strcmp(back, text)) return false; /* out of range */
    *ret_number = number;
    return true;
}

bool mongo_is_number(const char *text) {
    int64_t number;
    return is_integer(text, &number);
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_object_id(const char *text) {
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i++)
        if (hex_digit(text[i]) < 0) return false;
    return length == 24;
}

static bool is_uuid(const char *text, uint8_t bytes[UUID_BYTES]) {
    if (strlen(text) != UUID_TEXT) return false;
    size_t at = 0;
    for (size_t i = 0; i < UUID_TEXT; i++) {
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            if (text[i] != '-') return false;
            continue;
        }
        int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);
        if (high < 0 || low < 0) return false;
        bytes[at++] = (uint8_t)(high << 4 | low);
        i++;
    }
    return at == UUID_BYTES;
}

const char *mongo_spelling(const void *column, struct arena *arena, const char *id) {
    (void)column;
    char *lower = arena_strdup(arena, id);
    for (char *at = lower; *at; at++)
        if (*at >= 'A' && *at <= 'F') *at += 'a' - 'A';
    if (is_object_id(lower)) return lower;
    const char *uuid = spelling_of_uuid(arena, id);
    return uuid ? uuid : spelling_of_integer(arena, id);
}

static const char *index_key(uint32_t *index, char room[16]) {
    const char *key;
    (void)bson_uint32_to_string((*index)++, &key, room, 16);
    return key;
}

/* Not the macros BSON_APPEND_…: they evaluate the key twice. */
void mongo_append_values(bson_t *array, uint32_t *index, unsigned types, const char *text) {
    char room[16];
    int64_t number;
    uint8_t uuid[UUID_BYTES];
    if (types & MONGO_STRING) mongo_append_utf8(array, index_key(index, room), text);
    if (types & MONGO_NUMBER && is_integer(text, &number)) bson_append_int64(array, index_key(index, room), -1, number);
    if (types & MONGO_OBJECT_ID && is_object_id(text)) {
        bson_oid_t id;
        bson_oid_init_from_string(&id, text);
        bson_append_oid(array, index_key(index, room), -1, &id);
    }
    if (types & MONGO_UUID && is_uuid(text, uuid)) bson_append_binary(array, index_key(index, room), -1, BSON_SUBTYPE_UUID, uuid, UUID_BYTES);
}

/* ---- instants ---- */

static bool number_instant(const bson_iter_t *value, enum since_unit unit, int64_t *ret_us) {
    double factor = unit == UNIT_SECONDS ? 1e6 : 1e3;
    int64_t whole_factor = unit == UNIT_SECONDS ? 1000000 : 1000;
    if (BSON_ITER_HOLDS_DOUBLE(value)) {
        double us = bson_iter_double(value) * factor;
        if (!(us > 0 && us < 9.2e18)) return false;
        *ret_us = (int64_t)us;
        return true;
    }
    int64_t number = bson_iter_as_int64(value);
    if (number <= 0 || number > INT64_MAX / whole_factor) return false;
    *ret_us = number * whole_factor;
    return true;
}

bool mongo_instant(const bson_iter_t *value, enum since_unit unit, int64_t *ret_us) {
    bson_type_t type = bson_iter_type(value);
    if (unit != UNIT_NONE) {
        bool number = type == BSON_TYPE_INT32 || type == BSON_TYPE_INT64 || type == BSON_TYPE_DOUBLE;
        return number && number_instant(value, unit, ret_us);
    }
    if (type == BSON_TYPE_OID) {
        const uint8_t *bytes = bson_iter_oid(value)->bytes;
        uint32_t seconds = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
        *ret_us = (int64_t)seconds * TIME_SECOND_US;
        return true;
    }
    if (type != BSON_TYPE_DATE_TIME) return false;
    int64_t ms = bson_iter_date_time(value);
    if (ms > INT64_MAX / 1000 || ms < INT64_MIN / 1000) return false;
    *ret_us = ms * 1000;
    return true;
}

/* ---- paths and documents ---- */

bool mongo_scalar_at(const bson_t *document, const char *path, bson_iter_t *ret_value) {
    bson_iter_t iter, child;
    if (!bson_iter_init(&iter, document)) return false;
    for (;;) {
        const char *dot = strchr(path, '.');
        size_t length = dot ? (size_t)(dot - path) : strlen(path);
        if (length > LARGEST_PATH || !bson_iter_find_w_len(&iter, path, (int)length)) return false;
        if (BSON_ITER_HOLDS_ARRAY(&iter)) return false;
        if (!dot) break;
        if (!BSON_ITER_HOLDS_DOCUMENT(&iter) || !bson_iter_recurse(&iter, &child)) return false;
        iter = child;
        path = dot + 1;
    }
    *ret_value = iter;
    return true;
}

void mongo_append_utf8(bson_t *to, const char *key, const char *text) { bson_append_utf8(to, key, -1, text, -1); }
void mongo_append_document(bson_t *to, const char *key, const bson_t *document) { bson_append_document(to, key, -1, document); }
void mongo_append_array(bson_t *to, const char *key, const bson_t *array) { bson_append_array(to, key, -1, array); }

void mongo_push(bson_t *array, uint32_t *index, const bson_t *document) {
    char room[16];
    mongo_append_document(array, index_key(index, room), document);
}

void mongo_push_no_array(bson_t *conditions, uint32_t *index, const char *path) {
    for (const char *end = path; end;) {
        end = strchr(end, '.');
        char prefix[LARGEST_PATH];
        (void)snprintf(prefix, sizeof prefix, "%.*s", end ? (int)(end - path) : (int)strlen(path), path);
        MONGO_BSON condition = BCON_NEW(prefix, "{", "$not", "{", "$type", "array", "}", "}");
        mongo_push(conditions, index, condition);
        if (end) end++;
    }
}
