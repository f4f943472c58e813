/* Which fields each event has, in which order and of which type: the one table that both the writer of lines and their
 * strict reader follow. lapsed-journal(5) says the same to people. */
#ifndef LAPSED_JOURNAL_FIELDS_H
#define LAPSED_JOURNAL_FIELDS_H

#include "journal/entry.h"

enum field_kind {
    FIELD_INTEGER,  /* int64_t */
    FIELD_TEXT,     /* const char *; NULL is written as "" */
    FIELD_NULLABLE, /* const char *; NULL is null */
    FIELD_OPTIONAL, /* const char *; NULL and "" are left out */
    FIELD_MODE,     /* bool: "range", else "each" */
    FIELD_CUTOFF,   /* int64_t, an instant; null where the calendar of the format (years 0 to 9999) does not reach */
    FIELD_LIST,     /* an array of `shape`; an event has one at most */
};

/* Of a JSON string with its quotes and escapes; a longer text is cut. So the line of one list item stays below
 * ENTRY_MOST_BYTES, whatever stands in it. */
enum { FIELD_MOST_TEXT = 1500 };

struct shape;

struct field {
    const char *key;     /* as it stands in a line before the value: ,"name": */
    size_t key_length;
    enum field_kind kind;
    size_t offset;       /* in struct entry, or in the list's item */
    size_t count_offset; /* FIELD_LIST: of the size_t that counts its items */
    const struct shape *shape;
};

enum { MOST_FIELDS = 16, MOST_SHAPE_FIELDS = 8 };

/* An item of a list: an object, a JSON array of its values in this order, or just its one value. */
struct shape {
    size_t size;
    enum { SHAPE_OBJECT, SHAPE_ARRAY, SHAPE_VALUE } kind;
    struct field fields[MOST_SHAPE_FIELDS];
    size_t n_fields;
};

struct event_fields {
    const char *name;
    struct field fields[MOST_FIELDS];
    size_t n_fields;
};

const struct event_fields *fields_of(enum entry_event event);

#endif
