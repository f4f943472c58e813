/* Key patterns and keys: the first line of the input is a pattern, the rest a key. No way in which a key fits may point out of
 * it, and the matcher gives up instead of running on. */
#include "store/keypattern.c"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct key {
    const char *bytes;
    size_t length;
};

static void check_fit(void *context, const struct keyfit *fit) {
    const struct key *key = context;
    if (!fit->tenant) return;
    if (fit->tenant < key->bytes || fit->tenant + fit->tenant_length > key->bytes + key->length) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *newline = size > 0 ? memchr(data, '\n', size) : NULL;
    if (!newline) return 0;
    struct arena *arena = arena_new();
    const char *text = arena_strndup(arena, (const char *)data, (size_t)(newline - data));
    struct keypattern pattern;
    struct err err;
    if (keypattern_parse(arena, text, &pattern, &err) == 0) {
        struct key key = {(const char *)newline + 1, size - (size_t)(newline - data) - 1};
        /* A copy of exactly its size, so that the sanitizer sees a step too far. */
        char *copy = malloc(key.length + (key.length == 0));
        if (key.length > 0) memcpy(copy, key.bytes, key.length);
        key.bytes = copy;
        (void)keypattern_match(&pattern, copy, key.length, check_fit, &key);
        free(copy);
    }
    arena_free(arena);
    return 0;
}
