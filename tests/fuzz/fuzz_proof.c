/* Proofs: what is accepted is written again byte for byte. So that the rest is reached too, hashes of the entries are put
 * right first where the input begins with "+". */
#include "journal/chain.h"
#include "journal/proof.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

/* `text` is at a line `intent HASH` or `outcome HASH`, behind which the entry is. */
static void reseal(char *text, const char *word) {
    char *title = strstr(text, word);
    if (!title) return;
    char *previous = title + strlen(word), *line = strchr(previous, '\n'), *end = line ? strchr(line + 1, '\n') : NULL;
    if (!end || line - previous < ENTRY_HASH_HEX || end - line < ENTRY_HASH_HEX + 4) return;
    char *hash = end - 2 - ENTRY_HASH_HEX;
    memcpy(hash, chain_hash(previous, line + 1, (size_t)(hash - line - 1)).text, ENTRY_HASH_HEX);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    bool mend = length && *bytes == '+';
    char *text = malloc(length + 1);
    if (!text) abort();
    length -= mend;
    memcpy(text, bytes + mend, length);
    text[length] = '\0';
    if (mend) reseal(text, "\nintent ");
    if (mend) reseal(text, "\noutcome ");
    struct arena *arena = arena_new();
    struct proof proof;
    struct entry_line intent, outcome;
    struct note note;
    struct err err;
    if (!proof_read(text, length, arena, &proof, &intent, &outcome, &note, &err)) {
        struct buf again = {.text = NULL};
        proof_write(&proof, &again);
        if (again.length != length || memcmp(again.text, text, length) != 0) abort();
        buf_free(&again);
    }
    arena_free(arena);
    free(text);
    return 0;
}
