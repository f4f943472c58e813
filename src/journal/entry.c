#include "journal/entry.h"

#include "base/time.h"
#include "journal/chain.h"
#include "journal/fields.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a line needs besides its fields: frame, longest numbers, part and parts, hash. */
enum { FRAME_BYTES = 256 };

const char *entry_event_name(enum entry_event event) { return fields_of(event)->name; }

/* A text that is too long for a line is cut and ends with an ellipsis. */
static void add_text(struct buf *to, const char *text) {
    size_t start = to->length;
    buf_add_json(to, text);
    for (size_t keep = FIELD_MOST_TEXT; to->length - start > FIELD_MOST_TEXT; keep = keep / 4 * 3) {
        char *shorter = xmalloc(keep + sizeof "…");
        size_t length = strnlen(text, keep);
        while (length && ((unsigned char)text[length] & 0xc0) == 0x80) length--;
        memcpy(shorter, text, length);
        memcpy(shorter + length, "…", sizeof "…");
        to->length = start;
        buf_add_json(to, shorter);
        free(shorter);
    }
}

static void add_cutoff(struct buf *to, int64_t us) {
    int64_t year = time_to_civil(us).year;
    if (us == TIME_FOREVER || us == TIME_NEVER || year < 0 || year > 9999) buf_add(to, "null");
    else buf_printf(to, "\"%s\"", time_format(us).text);
}

static void add_value(struct buf *to, const struct field *field, const char *base) {
    const void *value = base + field->offset;
    const char *text;
    switch (field->kind) {
    case FIELD_INTEGER: buf_add_integer(to, *(const int64_t *)value); break;
    case FIELD_MODE: buf_add(to, *(const bool *)value ? "\"range\"" : "\"each\""); break;
    case FIELD_CUTOFF: add_cutoff(to, *(const int64_t *)value); break;
    case FIELD_TEXT:
    case FIELD_OPTIONAL:
    case FIELD_NULLABLE:
        text = *(const char *const *)value;
        if (text || field->kind != FIELD_NULLABLE) add_text(to, text ? text : "");
        else buf_add(to, "null");
        break;
    case FIELD_LIST: break;
    }
}

static void add_item(struct buf *to, const struct shape *shape, const char *item) {
    if (shape->kind == SHAPE_VALUE) {
        add_value(to, &shape->fields[0], item);
        return;
    }
    bool array = shape->kind == SHAPE_ARRAY;
    buf_add_char(to, array ? '[' : '{');
    for (size_t i = 0; i < shape->n_fields; i++) {
        if (i) buf_add_char(to, ',');
        if (!array) buf_add_n(to, shape->fields[i].key + 1, shape->fields[i].key_length - 1);
        add_value(to, &shape->fields[i], item);
    }
    buf_add_char(to, array ? ']' : '}');
}

/* An entry's fields as text: what stands before the items of its list, the items, and what stands behind them. */
struct draft {
    enum entry_event event;
    struct buf head, items, tail;
    size_t *ends; /* of each item in `items` */
    size_t n_items;
};

static void draft_clear(struct draft *draft) {
    buf_free(&draft->head);
    buf_free(&draft->items);
    buf_free(&draft->tail);
    free(draft->ends);
}

static void render_list(struct draft *to, const struct field *field, const char *entry) {
    to->n_items = *(const size_t *)(const void *)(entry + field->count_offset);
    const char *items = *(const char *const *)(const void *)(entry + field->offset);
    to->ends = xcalloc(to->n_items, sizeof *to->ends);
    for (size_t i = 0; i < to->n_items; i++) {
        add_item(&to->items, field->shape, items + i * field->shape->size);
        to->ends[i] = to->items.length;
    }
    buf_add_n(&to->head, field->key, field->key_length);
    buf_add_char(&to->head, '[');
    buf_add_char(&to->tail, ']');
}

static void render(struct draft *to, const struct entry *entry) {
    const struct event_fields *event = fields_of(entry->event);
    const char *base = (const char *)entry;
    to->items.maximum = SIZE_MAX / 2;
    struct buf *side = &to->head;
    for (size_t i = 0; i < event->n_fields; i++) {
        const struct field *field = &event->fields[i];
        if (field->kind == FIELD_LIST) {
            render_list(to, field, base);
            side = &to->tail;
            continue;
        }
        if (field->kind == FIELD_OPTIONAL) {
            const char *text = *(const char *const *)(const void *)(base + field->offset);
            if (!text || !*text) continue;
        }
        buf_add_n(side, field->key, field->key_length);
        add_value(side, field, base);
    }
}

/* The item behind the last one that fits into one line with `first`; one item always fits. */
static size_t part_end(const struct draft *draft, size_t first) {
    size_t room = ENTRY_MOST_BYTES - FRAME_BYTES - draft->head.length - draft->tail.length;
    size_t from = first ? draft->ends[first - 1] : 0, end = first;
    while (end < draft->n_items && (end == first || draft->ends[end] - from + (end - first) <= room)) end++;
    return end;
}

static void add_items(struct buf *to, const struct draft *draft, size_t first, size_t end) {
    for (size_t i = first; i < end; i++) {
        size_t from = i ? draft->ends[i - 1] : 0;
        if (i > first) buf_add_char(to, ',');
        buf_add_n(to, draft->items.text + from, draft->ends[i] - from);
    }
}

struct draft *entry_draft(const struct entry *entry) {
    struct draft *draft = xcalloc(1, sizeof *draft);
    draft->event = entry->event;
    render(draft, entry);
    return draft;
}

void entry_draft_free(struct draft *draft) {
    if (!draft) return;
    draft_clear(draft);
    free(draft);
}

size_t entry_number(struct buf *to, const struct draft *draft, int64_t time_us, int64_t seq, char hash[ENTRY_HASH_HEX + 1]) {
    size_t parts = 1;
    for (size_t end = part_end(draft, 0); end < draft->n_items; end = part_end(draft, end)) parts++;
    size_t first = 0;
    for (size_t part = 1; part <= parts; part++) {
        size_t end = part_end(draft, first), start = to->length;
        buf_printf(to, "{\"v\":1,\"seq\":%" PRId64 ",\"time\":\"%s\",\"event\":\"%s\"", seq + (int64_t)part - 1,
                   time_format(time_us).text, entry_event_name(draft->event));
        buf_add_n(to, buf_text(&draft->head), draft->head.length);
        add_items(to, draft, first, end);
        buf_add_n(to, buf_text(&draft->tail), draft->tail.length);
        if (parts > 1) buf_printf(to, ",\"part\":%zu,\"parts\":%zu", part, parts);
        buf_add(to, ",\"hash\":\"");
        struct hash_text chained = chain_hash(hash, to->text + start, to->length - start);
        memcpy(hash, chained.text, sizeof chained.text);
        buf_printf(to, "%s\"}\n", hash);
        first = end;
    }
    return parts;
}

size_t entry_write(struct buf *to, const struct entry *entry, int64_t seq, char hash[ENTRY_HASH_HEX + 1]) {
    struct draft *draft = entry_draft(entry);
    size_t lines = entry_number(to, draft, entry->time_us, seq, hash);
    entry_draft_free(draft);
    return lines;
}
