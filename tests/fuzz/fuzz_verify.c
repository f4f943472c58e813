/* The verifier. The input is a folder: a line "= NAME" before each file's bytes. Whatever is in there, verification ends, says
 * the same in one thread and in three, and is content only without a fault. Where the input begins with "+", each line's hash and
 * what a segment says of the one before are put right first, so that what lies behind the chain is reached. */
#include "base/text.h"
#include "journal/chain.h"
#include "journal/verify.h"
#include "temporary.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static char folder[TEMPORARY_ROOM];
static int folder_fd = -1;

static void remove_folder(void) { (void)rmdir(folder); }

static void make_folder(void) {
    if (!temporary_folder_in_memory(folder) || atexit(remove_folder)) abort();
    folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder_fd < 0) abort();
}

static void reseal(char *text, size_t length, char hash[ENTRY_HASH_HEX + 1]) {
    for (char *line = text, *end; (end = memchr(line, '\n', length - (size_t)(line - text))); line = end + 1) {
        static const char key[] = "\"previous\":\"";
        char *previous = memmem(line, (size_t)(end - line), key, sizeof key - 1);
        if (previous && end - previous > ENTRY_HASH_HEX + (long)sizeof key) memcpy(previous + sizeof key - 1, hash, ENTRY_HASH_HEX);
        if (end - line < ENTRY_HASH_HEX + 2) continue;
        char *own = end - 2 - ENTRY_HASH_HEX;
        memcpy(hash, chain_hash(hash, line, (size_t)(own - line)).text, ENTRY_HASH_HEX);
        memcpy(own, hash, ENTRY_HASH_HEX);
    }
}

static void write_file(const char *name, const char *text, size_t length) {
    int fd = openat(folder_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, text, length) != (ssize_t)length) abort();
    /* A line that does not end is waited for: a second for each input is too long. */
    if (length && text[length - 1] != '\n' && !strcmp(name, "journal.jsonl") && write(fd, "\n", 1) != 1) abort();
    if (close(fd)) abort();
}

static bool is_ours(const char *name) {
    return !strcmp(name, "checkpoint") || !strcmp(name, "journal.jsonl") || (text_starts_with(name, "journal-") && !strchr(name, '/'));
}

enum { MOST_FILES = 8 };
static char names[MOST_FILES][64];
static size_t n_names;

/* Returns where the keys are, or NULL. */
static char *unpack(char *text, size_t length, bool mend) {
    char *keys = NULL, *end = text + length, hash[ENTRY_HASH_HEX + 1];
    memset(hash, '0', ENTRY_HASH_HEX);
    n_names = 0;
    for (char *at = text, *next; at && n_names < MOST_FILES; at = next) {
        char *feed = memchr(at, '\n', (size_t)(end - at)), *body = feed ? feed + 1 : end;
        next = memmem(body, (size_t)(end - body), "\n= ", 3);
        size_t size = (size_t)((next ? ++next : end) - body);
        if (!feed || strncmp(at, "= ", 2) != 0 || feed - at >= 60) continue;
        *feed = '\0';
        if (!strcmp(at + 2, "journal.pub")) keys = body;
        if (next) next[-1] = !strcmp(at + 2, "journal.pub") ? '\0' : '\n';
        if (!is_ours(at + 2)) continue;
        if (mend && *(at + 2) == 'j') reseal(body, size, hash);
        write_file(at + 2, body, size);
        (void)snprintf(names[n_names++], sizeof names[0], "%s", at + 2);
    }
    return keys;
}

static int verify(const struct note_keys *keys, const struct note *older, unsigned threads, struct verify_answer *answer) {
    struct err err;
    struct verify_question question = {.folder = folder, .keys = *keys, .older = older, .now_us = INT64_C(2000000000000000), .most_age_us = threads, .threads = threads};
    return journal_verify(&question, answer, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    if (folder_fd < 0) make_folder();
    bool mend = length && *bytes == '+';
    char *text = malloc(length + 1);
    if (!text) abort();
    length -= mend;
    memcpy(text, bytes + mend, length);
    text[length] = '\0';
    struct note_keys keys = {.count = 0};
    struct verify_answer one, three;
    struct err err;
    const char *vkeys = unpack(text, length, mend);
    if (vkeys && note_read_vkeys(vkeys, &keys, &err)) keys.count = 0;
    const struct note older = {.origin = "lapsed/0", .size = 3};
    int failed = verify(&keys, NULL, 1, &one);
    if (failed != verify(&keys, NULL, 3, &three)) abort();
    if (!failed && (one.verdict != three.verdict || one.scan.faults != three.scan.faults || (one.scan.faults > 0) != (one.verdict == VERIFY_ALTERED) ||
                    one.unsigned_entries < 0 || one.scan.entries != three.scan.entries))
        abort();
    if (!failed && !verify(&keys, &older, 1, &three) && three.verdict == VERIFY_WELL) abort(); /* that one is of no log */
    for (size_t i = 0; i < n_names; i++) (void)unlinkat(folder_fd, names[i], 0);
    free(text);
    return 0;
}
