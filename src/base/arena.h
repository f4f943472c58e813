/* Memory by lifetime: everything of a schedule, a sweep or a job is taken from its arena and freed with it.
 * Out of memory aborts, so no allocation has a failure path. An arena is not thread-safe: one owner at a time. */
#ifndef LAPSED_BASE_ARENA_H
#define LAPSED_BASE_ARENA_H

#include "base/err.h"

#include <stdarg.h>
#include <stddef.h>

struct arena;

struct arena *arena_new(void);
void arena_free(struct arena *arena); /* NULL is fine */
void arena_clear(struct arena *arena); /* all its memory is free again; the arena stays */
size_t arena_bytes(const struct arena *arena); /* taken from the system */

/* Zeroed, aligned for any type. size 0 gives a valid pointer. */
void *arena_alloc(struct arena *arena, size_t size);
/* A copy of old_count elements in room for new_count (the rest zeroed); old may be NULL. */
void *arena_grow(struct arena *arena, const void *old, size_t old_count, size_t new_count, size_t element_size);
char *arena_strdup(struct arena *arena, const char *text); /* NULL gives NULL */
char *arena_strndup(struct arena *arena, const char *text, size_t length);
char *arena_printf(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);
char *arena_vprintf(struct arena *arena, const char *format, va_list arguments) PRINTF_LIKE(2, 0);

#define ARENA_NEW(arena, type) ((type *)arena_alloc((arena), sizeof(type)))
#define ARENA_ARRAY(arena, type, count) ((type *)arena_alloc((arena), (count) * sizeof(type)))
/* Appends one zeroed element to the array `items` of `count` elements (room doubles); evaluates to a pointer to it. */
#define ARENA_APPEND(arena, items, count)                                                                              \
    ((items) = arena_room((arena), (items), (count), sizeof *(items)), &(items)[(count)++])
/* Room for one more element behind `count`; used by ARENA_APPEND, which grows at powers of two. */
void *arena_room(struct arena *arena, void *items, size_t count, size_t element_size);

/* malloc, realloc and strdup that abort instead of returning NULL. */
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *old, size_t size);
char *xstrdup(const char *text);

#endif
