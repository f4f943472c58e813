/* Checkpoints of the log in the formats of C2SP: signed-note and tlog-checkpoint, with Ed25519 keys (vkeys). Go's
 * golang.org/x/mod/sumdb/note and others read and check them too.
 *
 *     lapsed/5f2c9d0e8b7a6143
 *     4711
 *     CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
 *
 *     — lapsed/5f2c9d0e8b7a6143 <base64 of 4 bytes of key id and 64 of signature>
 */
#ifndef LAPSED_JOURNAL_NOTE_H
#define LAPSED_JOURNAL_NOTE_H

#include "base/text.h"
#include "journal/merkle.h"

enum { NOTE_MOST_NAME = 128, NOTE_MOST_KEYS = 1000, NOTE_MOST_SIGNATURES = 16, NOTE_KEY_BYTES = 32 };

/* Of a note's file, and of a file of keys: as many as there may be, and what people write between them. */
enum { NOTE_MOST_BYTES = 16 << 10, NOTE_MOST_KEYS_BYTES = 1 << 20 };

/* A public key: "name+<8 hex: key id>+<base64 of 0x01 and the key>". */
struct note_key {
    char name[NOTE_MOST_NAME];
    unsigned char id[4]; /* begins SHA-256(name, LF, 0x01, key) */
    unsigned char key[NOTE_KEY_BYTES];
};

struct note_keys {
    struct note_key items[NOTE_MOST_KEYS];
    size_t count;
};

/* A name as both note and vkey allow it: no space, no plus sign, nothing unprintable. */
bool note_name_is_right(const char *name);
void note_key_id(const char *name, const unsigned char key[NOTE_KEY_BYTES], unsigned char ret_id[4]);
struct note_vkey { char text[NOTE_MOST_NAME + 64]; };
struct note_vkey note_vkey(const struct note_key *key);
/* ERR_CONFIG says what a vkey looks like. */
int note_read_vkey(const char *text, struct note_key *ret_key, struct err *err) MUST_CHECK;
/* Adds the keys of a text, one vkey a line; blank lines and those that begin with '#' are comments. */
int note_read_vkeys(const char *text, struct note_keys *keys, struct err *err) MUST_CHECK;

struct note_signature {
    char name[NOTE_MOST_NAME];
    unsigned char id[4], signature[64];
    bool ed25519; /* 64 bytes of signature behind the id; else it is of a kind that we do not know */
};

struct note {
    char origin[NOTE_MOST_NAME];
    int64_t size;
    struct merkle_hash root;
    struct note_signature signatures[NOTE_MOST_SIGNATURES];
    size_t n_signatures;
};

/* "origin\nsize\nroot\n": what is signed. */
void note_add_text(struct buf *to, const char *origin, int64_t size, const struct merkle_hash *root);
/* "— name base64", without a line feed. */
void note_add_signature(struct buf *to, const char *name, const unsigned char id[4], const unsigned char signature[64]);
/* Strictly; no extension lines. Errors are ERR_CONFIG. */
int note_read(const char *text, size_t length, struct note *ret_note, struct err *err) MUST_CHECK;
/* One line of signature, without its line feed. */
bool note_read_signature(const char *line, size_t length, struct note_signature *ret_signature);

enum note_verdict {
    NOTE_SIGNED,  /* by one of the keys at least, and none of the keys' signatures is wrong */
    NOTE_UNKNOWN, /* by none of the keys */
    NOTE_FORGED,  /* a signature that should be of one of the keys is not */
};
enum note_verdict note_verify(const struct note *note, const struct note_keys *keys);

#endif
