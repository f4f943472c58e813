#include "journal/reader.h"

#include "base/time.h"
#include "journal/chain.h"
#include "journal/fields.h"

#include <inttypes.h>
#include <string.h>

/* The first thing that is wrong stops the cursor: every take behind it fails and leaves it as it is. */
struct cursor {
    const char *start, *at, *end;
    struct arena *arena;
    const char *problem;
};

static bool fail(struct cursor *cursor, const char *problem) {
    if (!cursor->problem) cursor->problem = problem;
    return false;
}

__attribute__((always_inline)) static inline bool follows_bytes(const struct cursor *cursor, const char *bytes, size_t length) {
    return !cursor->problem && (size_t)(cursor->end - cursor->at) >= length && !memcmp(cursor->at, bytes, length);
}

/* Inlined, so that the comparison with a literal is a few instructions. */
__attribute__((always_inline)) static inline bool follows(const struct cursor *cursor, const char *text) {
    return follows_bytes(cursor, text, strlen(text));
}

__attribute__((always_inline)) static inline bool take_if(struct cursor *cursor, const char *text) {
    if (!follows(cursor, text)) return false;
    cursor->at += strlen(text);
    return true;
}

static bool not_this(struct cursor *cursor) { return fail(cursor, "this is not how an entry goes on here"); }

__attribute__((always_inline)) static inline bool take(struct cursor *cursor, const char *text) { return take_if(cursor, text) || not_this(cursor); }

/* As it stands in the line: ,"name": */
static void take_key(struct cursor *cursor, const char *key, size_t length) {
    if (follows_bytes(cursor, key, length)) cursor->at += length;
    else fail(cursor, "a field of this event is missing, unknown or out of its place");
}

#define TAKE_KEY(cursor, key) take_key(cursor, key, sizeof key - 1)

static int64_t take_integer(struct cursor *cursor) {
    if (cursor->problem) return 0;
    bool negative = take_if(cursor, "-");
    const char *first = cursor->at, *digit = first;
    int64_t value = 0; /* negated, since there is one more negative number */
    for (; digit < cursor->end && *digit >= '0' && *digit <= '9'; digit++) {
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_sub_overflow(value, *digit - '0', &value)) {
            fail(cursor, "a number is too large");
            return 0;
        }
    }
    bool zero_first = digit > first && *first == '0' && (digit - first > 1 || negative);
    if (digit == first || zero_first || (!negative && value == INT64_MIN)) {
        fail(cursor, "a whole number is expected");
        return 0;
    }
    cursor->at = digit;
    return negative ? value : -value;
}

/* The byte that an escape stands for, only in the one form that the writer uses; 0: refused. */
static char take_escape(struct cursor *cursor) {
    static const struct { char text[3], byte; } simple[] = {{"\\\"", '"'}, {"\\\\", '\\'}, {"\\n", '\n'}, {"\\t", '\t'}};
    for (size_t i = 0; i < sizeof simple / sizeof *simple; i++)
        if (take_if(cursor, simple[i].text)) return simple[i].byte;
    for (int byte = 1; byte <= 0x7f; byte = byte == 0x1f ? 0x7f : byte + 1) {
        const char text[] = {'\\', 'u', '0', '0', (char)('0' + byte / 16), "0123456789abcdef"[byte % 16], '\0'};
        if (byte != '\n' && byte != '\t' && take_if(cursor, text)) return (char)byte;
    }
    return 0;
}

static const char *closing_quote(const struct cursor *cursor) {
    const char *at = cursor->at;
    for (; at < cursor->end && *at != '"'; at++)
        if (*at == '\\' && at + 1 < cursor->end) at++;
    return at < cursor->end ? at : NULL;
}

/* Behind the bytes that are printable ASCII and no escape. */
static const char *plain_end(const char *at, const char *end) { return at + text_plain_length(at, (size_t)(end - at)); }

/* Most texts hold nothing else: NULL, and nothing taken, where this one does. */
static const char *take_plain(struct cursor *cursor) {
    const char *end = plain_end(cursor->at, cursor->end);
    size_t length = (size_t)(end - cursor->at);
    if (end == cursor->end || *end != '"' || length > FIELD_MOST_TEXT - 2) return NULL;
    const char *text = arena_strndup(cursor->arena, cursor->at, length);
    cursor->at = end + 1;
    return text;
}

static const char *take_text(struct cursor *cursor) {
    if (!take_if(cursor, "\"")) {
        fail(cursor, "a text is expected");
        return "";
    }
    const char *plain = take_plain(cursor);
    if (plain) return plain;
    const char *close = closing_quote(cursor);
    if (!close || close - cursor->at > FIELD_MOST_TEXT - 2) {
        fail(cursor, close ? "a text is too long" : "a text does not end");
        return "";
    }
    if (!text_is_utf8(cursor->at, (size_t)(close - cursor->at))) {
        fail(cursor, "a text is not UTF-8");
        return "";
    }
    char *text = arena_alloc(cursor->arena, (size_t)(close - cursor->at) + 1), *to = text;
    while (cursor->at < close) {
        char byte = *cursor->at;
        if (byte == '\\') byte = take_escape(cursor);
        else if ((unsigned char)byte < 0x20 || byte == 0x7f) byte = 0;
        else cursor->at++;
        if (!byte) {
            fail(cursor, "a text holds a control character, or an escape that the writer does not use");
            return "";
        }
        *to++ = byte;
    }
    cursor->at = close + 1;
    return text;
}

/* Two digits; *well becomes false where they are none. */
static int two_digits(const char *text, bool *well) {
    int tens = text[0] - '0', ones = text[1] - '0';
    *well &= (unsigned)tens < 10 && (unsigned)ones < 10;
    return tens * 10 + ones;
}

static int64_t take_instant(struct cursor *cursor) {
    static const char shape[] = "\"yyyy-mm-ddThh:mm:ss.uuuuuuZ\"";
    if (cursor->problem) return 0;
    const char *text = cursor->at;
    struct civil civil = {.year = 1970, .month = 1, .day = 1};
    bool well = (size_t)(cursor->end - text) >= sizeof shape - 1;
    if (well) {
        civil = (struct civil){two_digits(text + 1, &well) * 100 + two_digits(text + 3, &well), two_digits(text + 6, &well), two_digits(text + 9, &well),
                               two_digits(text + 12, &well), two_digits(text + 15, &well), two_digits(text + 18, &well),
                               two_digits(text + 21, &well) * 10000 + two_digits(text + 23, &well) * 100 + two_digits(text + 25, &well)};
        well = well && text[0] == '"' && text[5] == '-' && text[8] == '-' && text[11] == 'T' && text[14] == ':' && text[17] == ':' && text[20] == '.' &&
               text[27] == 'Z' && text[28] == '"' && civil.month >= 1 && civil.month <= 12 && civil.day >= 1 &&
               civil.day <= time_days_in_month(civil.year, civil.month) && civil.hour < 24 && civil.minute < 60 && civil.second < 60;
    }
    if (!well) {
        fail(cursor, "an instant is expected, like \"2026-11-23T01:00:00.123456Z\"");
        return 0;
    }
    cursor->at += sizeof shape - 1;
    return time_from_civil(&civil);
}

static bool take_mode(struct cursor *cursor) {
    bool range = take_if(cursor, "\"range\"");
    if (!range && !take_if(cursor, "\"each\"")) fail(cursor, "\"each\" or \"range\" is expected");
    return range;
}

static void take_value(struct cursor *cursor, const struct field *field, char *base) {
    void *value = base + field->offset;
    switch (field->kind) {
    case FIELD_INTEGER: *(int64_t *)value = take_integer(cursor); break;
    case FIELD_MODE: *(bool *)value = take_mode(cursor); break;
    case FIELD_CUTOFF: *(int64_t *)value = take_if(cursor, "null") ? TIME_FOREVER : take_instant(cursor); break;
    case FIELD_NULLABLE: *(const char **)value = take_if(cursor, "null") ? NULL : take_text(cursor); break;
    case FIELD_TEXT: *(const char **)value = take_text(cursor); break;
    case FIELD_OPTIONAL:
        *(const char **)value = take_text(cursor);
        if (!**(const char **)value) fail(cursor, "a text that may be left out is empty");
        break;
    case FIELD_LIST: break;
    }
}

static void take_item(struct cursor *cursor, const struct shape *shape, char *item) {
    if (shape->kind == SHAPE_VALUE) {
        take_value(cursor, &shape->fields[0], item);
        return;
    }
    bool array = shape->kind == SHAPE_ARRAY;
    take(cursor, array ? "[" : "{");
    for (size_t i = 0; i < shape->n_fields && !cursor->problem; i++) {
        if (i) take(cursor, ",");
        if (!array) take_key(cursor, shape->fields[i].key + 1, shape->fields[i].key_length - 1);
        take_value(cursor, &shape->fields[i], item);
    }
    take(cursor, array ? "]" : "}");
}

static void take_list(struct cursor *cursor, const struct field *field, char *entry) {
    char *items = NULL;
    size_t n = 0;
    take(cursor, "[");
    while (!cursor->problem && !follows(cursor, "]")) {
        if (n) take(cursor, ",");
        items = arena_room(cursor->arena, items, n, field->shape->size);
        take_item(cursor, field->shape, items + n++ * field->shape->size);
    }
    take(cursor, "]");
    *(const void **)(void *)(entry + field->offset) = items;
    *(size_t *)(void *)(entry + field->count_offset) = n;
}

static enum entry_event take_event(struct cursor *cursor) {
    const char *name = cursor->at + 1, *end = follows(cursor, "\"") ? plain_end(name, cursor->end) : cursor->end;
    size_t length = end == cursor->end || *end != '"' ? 0 : (size_t)(end - name);
    for (enum entry_event event = 0; length && event < ENTRY_EVENTS; event++) {
        const char *known = fields_of(event)->name;
        if (*known != *name || strncmp(known, name, length) != 0 || known[length]) continue;
        cursor->at = end + 1;
        return event;
    }
    fail(cursor, "this event is unknown");
    return ENTRY_START;
}

/* Returns whether the event has a list, whose lines may be parts. */
static bool take_fields(struct cursor *cursor, struct entry *entry) {
    const struct event_fields *event = fields_of(entry->event);
    bool list = false;
    for (size_t i = 0; i < event->n_fields && !cursor->problem; i++) {
        const struct field *field = &event->fields[i];
        if (field->kind == FIELD_OPTIONAL && !follows_bytes(cursor, field->key, field->key_length)) continue;
        take_key(cursor, field->key, field->key_length);
        if (field->kind == FIELD_LIST) {
            take_list(cursor, field, (char *)entry);
            list = true;
        } else {
            take_value(cursor, field, (char *)entry);
        }
    }
    return list;
}

static void take_parts(struct cursor *cursor, struct entry_line *line) {
    TAKE_KEY(cursor, ",\"part\":");
    line->part = take_integer(cursor);
    TAKE_KEY(cursor, ",\"parts\":");
    line->parts = take_integer(cursor);
    if (line->part < 1 || line->parts < 2 || line->part > line->parts) fail(cursor, "such a part there cannot be");
}

bool entry_read_hash(const char *line, size_t length, char ret_hash[ENTRY_HASH_HEX + 1]) {
    static const char before[] = ",\"hash\":\"", after[] = "\"}";
    size_t frame = sizeof before - 1 + ENTRY_HASH_HEX + sizeof after - 1;
    if (length < frame || memcmp(line + length - frame, before, sizeof before - 1) != 0 ||
        memcmp(line + length - 2, after, 2) != 0)
        return false;
    static const bool is_digit[256] = {['0'] = 1, ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1, ['6'] = 1, ['7'] = 1,
                                       ['8'] = 1, ['9'] = 1, ['a'] = 1, ['b'] = 1, ['c'] = 1, ['d'] = 1, ['e'] = 1, ['f'] = 1};
    const char *hash = line + length - ENTRY_HASH_HEX - 2;
    bool all = true;
    for (size_t i = 0; i < ENTRY_HASH_HEX; i++) all &= is_digit[(unsigned char)hash[i]];
    if (!all) return false;
    memcpy(ret_hash, hash, ENTRY_HASH_HEX);
    ret_hash[ENTRY_HASH_HEX] = '\0';
    return true;
}

static void take_hash(struct cursor *cursor, struct entry_line *line) {
    TAKE_KEY(cursor, ",\"hash\":");
    line->hashed = (size_t)(cursor->at - cursor->start) + 1;
    const char *hash = cursor->at;
    if (cursor->problem) return;
    if (cursor->end - hash != ENTRY_HASH_HEX + 3 || !entry_read_hash(cursor->start, (size_t)(cursor->end - cursor->start), line->hash))
        fail(cursor, "a hash of 64 hex digits is expected, and the line's end behind it");
}

int entry_read(const char *line, size_t length, struct arena *arena, struct entry_line *ret_line, struct err *err) {
    struct cursor cursor = {line, line, line + length, arena, NULL};
    struct entry_line read = {.part = 1, .parts = 1};
    if (length >= ENTRY_MOST_BYTES) fail(&cursor, "the line is too long");
    if (!take_if(&cursor, "{\"v\":1,")) fail(&cursor, "an entry of version 1 is expected, {\"v\":1,…");
    take(&cursor, "\"seq\":");
    read.seq = take_integer(&cursor);
    if (read.seq < 1 || read.seq > ENTRY_MOST_SEQ) fail(&cursor, "a number from 1 to 999999999999999 is expected");
    TAKE_KEY(&cursor, ",\"time\":");
    read.entry.time_us = take_instant(&cursor);
    TAKE_KEY(&cursor, ",\"event\":");
    read.entry.event = take_event(&cursor);
    bool list = !cursor.problem && take_fields(&cursor, &read.entry);
    if (list && follows(&cursor, ",\"part\":")) take_parts(&cursor, &read);
    take_hash(&cursor, &read);
    if (cursor.problem)
        return err_set(err, ERR_IO, "no entry: at byte %zu of the line: %s", (size_t)(cursor.at - line) + 1, cursor.problem);
    *ret_line = read;
    return 0;
}
