/* One value can be written in several ways: "007" and "7" are the same integer, "A0EE…" and "a0ee…" the same UUID. */
#ifndef LAPSED_BASE_SPELLING_H
#define LAPSED_BASE_SPELLING_H

#include "base/arena.h"

#include <stdbool.h>

/* The text that a server writes for the integer or UUID that `id` means: in `arena`, or `id` itself where it is that text;
 * NULL: it means none. Integers: leading zeros, a plus sign, blanks around, zeros behind a point. UUIDs: capitals, braces,
 * hyphens elsewhere or nowhere. */
const char *spelling_of_integer(struct arena *arena, const char *id);
const char *spelling_of_uuid(struct arena *arena, const char *id);

enum { SPELLING_ROOM = 48 };

/* The one text for all ways to write what `id` may mean in any store (a UUID, an ObjectId, an integer): in `room`, or `id` itself. Two
 * texts that are told apart as texts, "7" and "007", have the same one. */
const char *spelling_normal(const char *id, char room[SPELLING_ROOM]);
/* A sequence of ids; 0: they may mean the same. */
int spelling_compare(const char *a, const char *b);
int spelling_order(const void *a, const void *b); /* the same of two elements of an array of texts, for qsort and bsearch */

#endif
