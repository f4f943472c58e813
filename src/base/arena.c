#include "base/arena.h"

#include <assert.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct block {
    struct block *next;
    size_t size, used;
    alignas(max_align_t) unsigned char bytes[];
};

struct arena {
    struct block *blocks; /* the one in use first */
    size_t total;
};

enum { FIRST_BLOCK = 4096, LARGEST_STEP = 1 << 20 };

/* What an arena that is cleared keeps at most, to be used again. With AddressSanitizer nothing, so that it sees who still
 * uses what was cleared. */
#ifdef __SANITIZE_ADDRESS__
enum { MOST_KEPT = 0 };
#else
enum { MOST_KEPT = 64 << 10 };
#endif

static void out_of_memory(void) {
    (void)fputs("out of memory\n", stderr);
    abort();
}

void *xmalloc(size_t size) {
    void *memory = malloc(size ? size : 1);
    if (!memory) out_of_memory();
    return memory;
}

void *xcalloc(size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size ? size : 1);
    if (!memory) out_of_memory();
    return memory;
}

void *xrealloc(void *old, size_t size) {
    void *memory = realloc(old, size ? size : 1);
    if (!memory) out_of_memory();
    return memory;
}

char *xstrdup(const char *text) {
    size_t size = strlen(text) + 1;
    return memcpy(xmalloc(size), text, size);
}

struct arena *arena_new(void) { return xcalloc(1, sizeof(struct arena)); }

static void free_blocks(struct block *block) {
    while (block) {
        struct block *next = block->next;
        free(block);
        block = next;
    }
}

void arena_clear(struct arena *arena) {
    struct block *first = arena->blocks;
    bool kept = first && first->size <= MOST_KEPT;
    free_blocks(kept ? first->next : first);
    arena->blocks = kept ? first : NULL;
    arena->total = kept ? sizeof *first + first->size : 0;
    if (!kept) return;
    first->next = NULL;
    first->used = 0;
}

void arena_free(struct arena *arena) {
    if (!arena) return;
    free_blocks(arena->blocks);
    free(arena);
}

size_t arena_bytes(const struct arena *arena) { return arena->total; }

static struct block *block_new(struct arena *arena, size_t needed) {
    size_t size = arena->blocks ? arena->blocks->size * 2 : FIRST_BLOCK;
    if (size > LARGEST_STEP) size = LARGEST_STEP;
    if (size < needed) size = needed;
    struct block *block = xmalloc(sizeof *block + size);
    block->size = size;
    block->used = 0;
    arena->total += sizeof *block + size;
    /* A block that a single large object fills stands behind the one in use, whose room is not lost. */
    if (arena->blocks && needed > LARGEST_STEP / 2) {
        block->next = arena->blocks->next;
        arena->blocks->next = block;
    } else {
        block->next = arena->blocks;
        arena->blocks = block;
    }
    return block;
}

static void *take(struct arena *arena, size_t size) {
    const size_t alignment = alignof(max_align_t);
    if (size > SIZE_MAX / 2) out_of_memory();
    size_t needed = (size + alignment - 1) / alignment * alignment;
    struct block *block = arena->blocks;
    if (!block || block->size - block->used < needed) block = block_new(arena, needed);
    void *memory = block->bytes + block->used;
    block->used += needed;
    return memory;
}

void *arena_alloc(struct arena *arena, size_t size) { return memset(take(arena, size), 0, size); }

void *arena_grow(struct arena *arena, const void *old, size_t old_count, size_t new_count, size_t element_size) {
    assert(new_count >= old_count);
    if (element_size && new_count > SIZE_MAX / 2 / element_size) out_of_memory();
    void *items = arena_alloc(arena, new_count * element_size);
    if (old_count) memcpy(items, old, old_count * element_size);
    return items;
}

void *arena_room(struct arena *arena, void *items, size_t count, size_t element_size) {
    if (count && (count & (count - 1))) return items;
    return arena_grow(arena, items, count, count ? count * 2 : 1, element_size);
}

char *arena_strndup(struct arena *arena, const char *text, size_t length) {
    char *copy = take(arena, length + 1);
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

char *arena_strdup(struct arena *arena, const char *text) {
    return text ? arena_strndup(arena, text, strlen(text)) : NULL;
}

char *arena_vprintf(struct arena *arena, const char *format, va_list arguments) {
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (length < 0) out_of_memory();
    char *text = arena_alloc(arena, (size_t)length + 1);
    (void)vsnprintf(text, (size_t)length + 1, format, arguments);
    return text;
}

char *arena_printf(struct arena *arena, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *text = arena_vprintf(arena, format, arguments);
    va_end(arguments);
    return text;
}
