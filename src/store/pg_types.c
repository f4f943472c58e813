/* What the driver knows about types, by their fixed numbers (pg_type.dat). */
#include "store/pg_check.h"

#include <string.h>

enum {
    NAME = 19, INT8 = 20, INT2 = 21, INT4 = 23, TEXT = 25, BPCHAR = 1042, VARCHAR = 1043, NUMERIC = 1700, UUID = 2950,
    FIRST_USER_OID = 16384, /* types made by people and extensions: citext, enumerations */
};

static bool is_number(Oid type) { return type == INT2 || type == INT4 || type == INT8 || type == NUMERIC; }
static bool is_text(Oid type) { return type == TEXT || type == VARCHAR || type == BPCHAR || type == NAME; }

bool pg_type_identifies(Oid type) { return is_number(type) || is_text(type) || type == UUID || type >= FIRST_USER_OID; }

bool pg_type_is_text(const struct pg_column *column) {
    size_t length = strlen(column->type);
    return is_text(column->type_oid) || (length >= 6 && !strcmp(column->type + length - 6, "citext"));
}

bool pg_types_comparable(const struct pg_column *a, const struct pg_column *b) {
    return a->type_oid == b->type_oid || (is_number(a->type_oid) && is_number(b->type_oid)) || (pg_type_is_text(a) && pg_type_is_text(b));
}
