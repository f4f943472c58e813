/* Values as the server sends them. Where a type's binary form is simple it is asked for, because writing a value out as text
 * and reading it again costs more than destroying its record does; the text made of it here is the server's own. */
#ifndef LAPSED_STORE_PG_VALUE_H
#define LAPSED_STORE_PG_VALUE_H

#include "store/pg_internal.h"

/* A place in a table. */
struct pg_ctid {
    uint32_t block;
    uint16_t item;
};

/* True if a value of this type may be asked for as it is; of any other, its ::text. */
bool pg_value_is_plain(Oid type);

/* Of a result in either format; NULL for NULL. The text is in the result or in `room`. */
enum { PG_VALUE_ROOM = 40 };
const char *pg_value_text(const PGresult *result, int row, int column, char room[PG_VALUE_ROOM]);
/* A bigint, or a timestamptz as microseconds since 1970; TIME_FOREVER for NULL. Binary results only. */
int64_t pg_value_instant(const PGresult *result, int row, int column);
struct pg_ctid pg_value_ctid(const PGresult *result, int row, int column); /* binary results only */

bool pg_value_is_true(const PGresult *result, int row, int column); /* of a boolean in either format */

int pg_ctid_compare(struct pg_ctid a, struct pg_ctid b); /* < 0, 0, > 0 */
void pg_ctid_add_item(struct buf *array, struct pg_ctid ctid); /* as pg_add_array_item */

#endif
