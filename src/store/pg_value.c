#include "store/pg_value.h"

#include "base/time.h"

#include <assert.h>
#include <string.h>

enum { OID_INT8 = 20, OID_INT2 = 21, OID_INT4 = 23, OID_TEXT = 25, OID_TID = 27, OID_VARCHAR = 1043, OID_TIMESTAMPTZ = 1184, OID_UUID = 2950 };
#define POSTGRES_EPOCH_US INT64_C(946684800000000) /* 2000-01-01 */

bool pg_value_is_plain(Oid type) {
    return type == OID_INT8 || type == OID_INT4 || type == OID_INT2 || type == OID_TEXT || type == OID_VARCHAR || type == OID_UUID;
}

/* Big-endian, as all of the protocol. */
static uint64_t read_bytes(const char *from, int length) {
    uint64_t value = 0;
    for (int i = 0; i < length; i++) value = value << 8 | (unsigned char)from[i];
    return value;
}

static int64_t integer_of(const char *from, int length) {
    uint64_t value = read_bytes(from, length);
    return length == 2 ? (int16_t)value : length == 4 ? (int32_t)value : (int64_t)value;
}

static const char *uuid_text(const char *from, char room[PG_VALUE_ROOM]) {
    static const char digits[] = "0123456789abcdef";
    char *to = room;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) *to++ = '-';
        *to++ = digits[(unsigned char)from[i] >> 4];
        *to++ = digits[(unsigned char)from[i] & 15];
    }
    *to = '\0';
    return room;
}

const char *pg_value_text(const PGresult *result, int row, int column, char room[PG_VALUE_ROOM]) {
    if (PQgetisnull(result, row, column)) return NULL;
    const char *value = PQgetvalue(result, row, column);
    if (!PQfformat(result, column)) return value;
    switch (PQftype(result, column)) {
    case OID_INT2:
    case OID_INT4:
    case OID_INT8: return text_integer(integer_of(value, PQgetlength(result, row, column)), room);
    case OID_UUID: return uuid_text(value, room);
    default: return value; /* the binary form of a text is the text; libpq ends it */
    }
}

int64_t pg_value_instant(const PGresult *result, int row, int column) {
    assert(PQfformat(result, column));
    if (PQgetisnull(result, row, column)) return TIME_FOREVER;
    int64_t value = integer_of(PQgetvalue(result, row, column), PQgetlength(result, row, column));
    if (PQftype(result, column) != OID_TIMESTAMPTZ) return value;
    return value == INT64_MAX ? TIME_FOREVER : value == INT64_MIN ? value : value + POSTGRES_EPOCH_US;
}

struct pg_ctid pg_value_ctid(const PGresult *result, int row, int column) {
    assert(PQfformat(result, column) && PQftype(result, column) == OID_TID && !PQgetisnull(result, row, column));
    const char *value = PQgetvalue(result, row, column);
    return (struct pg_ctid){.block = (uint32_t)read_bytes(value, 4), .item = (uint16_t)read_bytes(value + 4, 2)};
}

bool pg_value_is_true(const PGresult *result, int row, int column) {
    return *PQgetvalue(result, row, column) == (PQfformat(result, column) ? 1 : 't');
}

int pg_ctid_compare(struct pg_ctid a, struct pg_ctid b) {
    if (a.block != b.block) return a.block < b.block ? -1 : 1;
    return (a.item > b.item) - (a.item < b.item);
}

void pg_ctid_add_item(struct buf *array, struct pg_ctid ctid) {
    buf_add(array, array->length && array->text[array->length - 1] != '{' ? ",\"(" : "\"(");
    buf_add_integer(array, ctid.block);
    buf_add_char(array, ',');
    buf_add_integer(array, ctid.item);
    buf_add(array, ")\"");
}
