/* Reads a line of the journal back into a struct entry, strictly: only the bytes that entry_write would have written for
 * it are an entry. Unknown versions and events, other orders of keys, keys twice, spaces, other escapes, CR, NUL and
 * whatever stands behind the closing brace are refused. Whether its hash is right is for the chain to say. */
#ifndef LAPSED_JOURNAL_READER_H
#define LAPSED_JOURNAL_READER_H

#include "journal/entry.h"

struct entry_line {
    struct entry entry; /* its texts and lists in the arena of the call */
    int64_t seq;
    int64_t part, parts; /* 1 of 1 where the entry is one line */
    char hash[ENTRY_HASH_HEX + 1]; /* as the line says */
    size_t hashed; /* bytes of the line that the hash covers, behind the hash before it */
};

/* `line` without its LF. Errors (ERR_IO) say what is wrong and at which byte of the line, from 1. */
int entry_read(const char *line, size_t length, struct arena *arena, struct entry_line *ret_line, struct err *err) MUST_CHECK;

/* Only the hash that the line ends with, for going on behind a line that is damaged elsewhere. */
bool entry_read_hash(const char *line, size_t length, char ret_hash[ENTRY_HASH_HEX + 1]);

#endif
