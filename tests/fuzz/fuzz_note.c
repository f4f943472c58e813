/* Checkpoints, their signatures and public keys: what is accepted is written again byte for byte, so that there is one way
 * to say a thing. The input is a note and, where a line "= keys" is in it, a file of keys behind that. */
#include "base/text.h"
#include "journal/note.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void compare(const struct note *note, const char *text, size_t length) {
    struct buf again = {.text = NULL};
    note_add_text(&again, note->origin, note->size, &note->root);
    buf_add_char(&again, '\n');
    bool known = true; /* a signature of an unknown kind is not kept */
    for (size_t i = 0; i < note->n_signatures && known; i++) {
        const struct note_signature *signature = &note->signatures[i];
        known = signature->ed25519;
        if (!known) break;
        note_add_signature(&again, signature->name, signature->id, signature->signature);
        buf_add_char(&again, '\n');
    }
    if (again.length > length || memcmp(again.text, text, again.length) != 0 || (known && again.length != length)) abort();
    buf_free(&again);
}

static void try_line(const char *text) {
    struct note_signature signature;
    (void)note_read_signature(text, strcspn(text, "\n"), &signature);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    static const char behind[] = "= keys\n";
    struct note_keys keys = {.count = 0};
    struct note note;
    struct err err;
    char *text = malloc(length + 1), *split; /* its own size, so that reading behind the end is seen */
    if (!text) abort();
    memcpy(text, bytes, length);
    text[length] = '\0';
    split = strstr(text, behind);
    size_t own = split ? (size_t)(split - text) : length;
    if (note_read_vkeys(split ? split + sizeof behind - 1 : text, &keys, &err) == 0 && keys.count > NOTE_MOST_KEYS) abort();
    for (size_t i = 0; i < keys.count; i++) {
        struct note_key again;
        if (note_read_vkey(note_vkey(&keys.items[i]).text, &again, &err) || memcmp(again.key, keys.items[i].key, sizeof again.key) != 0) abort();
    }
    if (!note_read(text, own, &note, &err)) {
        compare(&note, text, own);
        (void)note_verify(&note, &keys);
    }
    for (const char *line = text; line; line = strchr(line, '\n')) try_line(line += *line == '\n');
    free(text);
    return 0;
}
