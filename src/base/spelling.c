#include "base/spelling.h"

#include <stdio.h>
#include <string.h>

static const char blanks[] = " \t\n\v\f\r";

/* ---- integers ---- */

struct integer {
    bool negative;
    const char *digits; /* without leading zeros */
    size_t n_digits;    /* 0: it is zero */
};

static bool read_integer(const char *id, struct integer *ret_integer) {
    const char *at = id + strspn(id, blanks);
    bool negative = *at == '-';
    at += *at == '-' || *at == '+';
    size_t n_digits = strspn(at, "0123456789");
    const char *end = at + n_digits, *first = at + strspn(at, "0");
    if (*end == '.') end += 1 + strspn(end + 1, "0");
    if (!n_digits || end[strspn(end, blanks)]) return false;
    size_t length = first < at + n_digits ? (size_t)(at + n_digits - first) : 0;
    *ret_integer = (struct integer){.negative = negative && length, .digits = first, .n_digits = length};
    return true;
}

const char *spelling_of_integer(struct arena *arena, const char *id) {
    struct integer integer;
    if (!read_integer(id, &integer)) return NULL;
    const char *text = integer.n_digits ? arena_printf(arena, "%s%.*s", integer.negative ? "-" : "", (int)integer.n_digits, integer.digits) : "0";
    return strcmp(text, id) != 0 ? text : id;
}

/* ---- UUIDs and ObjectIds ---- */

static int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool is_between_digits(char c) { return c == '-' || c == '{' || c == '}' || c == ' ' || (c >= '\t' && c <= '\r'); }

static bool read_uuid(const char *id, char to[SPELLING_ROOM]) {
    enum { DIGITS = 32 };
    size_t length = 0, n_digits = 0;
    for (const char *at = id; *at; at++) {
        if (is_between_digits(*at)) continue;
        int value = hex_value(*at);
        if (value < 0 || n_digits == DIGITS) return false;
        if (n_digits == 8 || n_digits == 12 || n_digits == 16 || n_digits == 20) to[length++] = '-';
        to[length++] = "0123456789abcdef"[value];
        n_digits++;
    }
    to[length] = '\0';
    return n_digits == DIGITS;
}

const char *spelling_of_uuid(struct arena *arena, const char *id) {
    char text[SPELLING_ROOM];
    if (!read_uuid(id, text)) return NULL;
    return strcmp(text, id) != 0 ? arena_strdup(arena, text) : id;
}

static bool read_object_id(const char *id, char to[SPELLING_ROOM]) {
    enum { DIGITS = 24 };
    size_t n = 0;
    for (; id[n]; n++) {
        int value = hex_value(id[n]);
        if (value < 0 || n == DIGITS) return false;
        to[n] = "0123456789abcdef"[value];
    }
    to[n] = '\0';
    return n == DIGITS;
}

/* ---- whatever it is ---- */

/* Most ids are one of the two: each tenant's is asked about for each hold. */
static bool is_plain_integer(const char *id) {
    enum { UUID_DIGITS = 32 };
    size_t length = 0;
    while (id[length] >= '0' && id[length] <= '9') length++;
    return length && !id[length] && length != UUID_DIGITS && (id[0] != '0' || length == 1);
}

static const char *without_blanks_behind(const char *id, char room[SPELLING_ROOM]) {
    size_t length = strlen(id), kept = length;
    while (kept && id[kept - 1] == ' ') kept--;
    if (!kept || kept == length || kept >= SPELLING_ROOM) return id;
    memcpy(room, id, kept);
    room[kept] = '\0';
    return room;
}

static bool is_lower_hex(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)(text[i] - '0') > 9 && (unsigned char)(text[i] - 'a') > 5) return false;
    return true;
}

static bool is_plain_uuid(const char *id) {
    return is_lower_hex(id, 8) && id[8] == '-' && is_lower_hex(id + 9, 4) && id[13] == '-' && is_lower_hex(id + 14, 4) && id[18] == '-' &&
           is_lower_hex(id + 19, 4) && id[23] == '-' && is_lower_hex(id + 24, 12) && !id[36];
}

const char *spelling_normal(const char *id, char room[SPELLING_ROOM]) {
    struct integer integer;
    if (is_plain_integer(id) || is_plain_uuid(id)) return id;
    if (read_uuid(id, room) || read_object_id(id, room)) return room;
    if (!read_integer(id, &integer) || integer.n_digits >= SPELLING_ROOM - 1) return without_blanks_behind(id, room);
    (void)snprintf(room, SPELLING_ROOM, "%s%.*s", integer.negative ? "-" : "", (int)(integer.n_digits ? integer.n_digits : 1), integer.n_digits ? integer.digits : "0");
    return room;
}

int spelling_compare(const char *a, const char *b) {
    char room_a[SPELLING_ROOM], room_b[SPELLING_ROOM];
    return strcmp(spelling_normal(a, room_a), spelling_normal(b, room_b));
}

int spelling_order(const void *a, const void *b) { return spelling_compare(*(const char *const *)a, *(const char *const *)b); }
