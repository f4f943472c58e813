/* The strict reader of the journal's lines. Whatever it accepts, the writer must write again byte for byte: there is one
 * way to say a thing. */
#include "base/arena.h"
#include "journal/chain.h"
#include "journal/reader.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void compare(const char *line, const struct entry_line *read) {
    struct buf text = {.text = NULL};
    char hash[ENTRY_HASH_HEX + 1];
    memset(hash, '0', ENTRY_HASH_HEX);
    hash[ENTRY_HASH_HEX] = '\0';
    /* The writer divides by length, the input as it likes: a part is compared up to there. */
    size_t same = read->hashed;
    if (read->parts > 1) {
        static const char part[] = ",\"part\":";
        for (same -= sizeof part; strncmp(line + same, part, sizeof part - 1) != 0;) same--;
    }
    size_t lines = entry_write(&text, &read->entry, read->seq, hash);
    if (lines == 1 && (text.length < same || memcmp(text.text, line, same) != 0)) abort();
    buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    char *line = malloc(length + 1); /* its own size, so that reading behind the end is seen */
    if (!line) abort();
    memcpy(line, bytes, length);
    line[length] = '\0';
    struct arena *arena = arena_new();
    struct entry_line read;
    struct err err;
    if (!entry_read(line, length, arena, &read, &err)) compare(line, &read);
    arena_free(arena);
    free(line);
    return 0;
}
