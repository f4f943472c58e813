#include "journal/note.h"

#include "base/text.h"
#include "journal/base64.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

enum { ALGORITHM_ED25519 = 1 };

static const char dash[] = "\xe2\x80\x94 "; /* U+2014 and a space */

bool note_name_is_right(const char *name) {
    size_t length = strlen(name);
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == '+' || *c == 0x7f || (unsigned char)*c >= 0x80) return false;
    return length > 0 && length < NOTE_MOST_NAME;
}

void note_key_id(const char *name, const unsigned char key[NOTE_KEY_BYTES], unsigned char ret_id[4]) {
    struct sha256 sha256;
    unsigned char hash[SHA256_BYTES];
    sha256_start(&sha256);
    sha256_add(&sha256, name, strlen(name));
    sha256_add(&sha256, "\n\x01", 2);
    sha256_add(&sha256, key, NOTE_KEY_BYTES);
    sha256_end(&sha256, hash);
    memcpy(ret_id, hash, 4);
}

struct note_vkey note_vkey(const struct note_key *key) {
    unsigned char bytes[1 + NOTE_KEY_BYTES] = {ALGORITHM_ED25519};
    memcpy(bytes + 1, key->key, NOTE_KEY_BYTES);
    __attribute__((cleanup(buf_free))) struct buf base64 = {.text = NULL};
    base64_add(&base64, bytes, sizeof bytes);
    struct note_vkey vkey;
    (void)snprintf(vkey.text, sizeof vkey.text, "%s+%02x%02x%02x%02x+%s", key->name, key->id[0], key->id[1], key->id[2], key->id[3], base64.text);
    return vkey;
}

static bool read_vkey(const char *text, struct note_key *key) {
    const char *plus = strchr(text, '+');
    if (!plus || plus == text || plus - text >= NOTE_MOST_NAME) return false;
    memcpy(key->name, text, (size_t)(plus - text));
    key->name[plus - text] = '\0';
    unsigned char bytes[1 + NOTE_KEY_BYTES];
    if (!note_name_is_right(key->name) || strlen(plus) < 10 || plus[9] != '+' ||
        !base64_read(plus + 10, strlen(plus + 10), bytes, sizeof bytes) || bytes[0] != ALGORITHM_ED25519)
        return false;
    memcpy(key->key, bytes + 1, NOTE_KEY_BYTES);
    note_key_id(key->name, key->key, key->id);
    return !strcmp(note_vkey(key).text, text);
}

int note_read_vkey(const char *text, struct note_key *ret_key, struct err *err) {
    struct note_key key;
    if (!read_vkey(text, &key))
        return err_set(err, ERR_CONFIG, "this is no public key of a journal; it is one line like lapsed/5f2c9d0e8b7a6143+d9a1b2c3+AZ…=, as "
                       "\"lapsectl keygen\" prints it");
    *ret_key = key;
    return 0;
}

int note_read_vkeys(const char *text, struct note_keys *keys, struct err *err) {
    for (size_t length; *text; text += length + (text[length] == '\n')) {
        length = strcspn(text, "\n");
        char line[sizeof(struct note_vkey)];
        if (!length || *text == '#') continue;
        if (keys->count == NOTE_MOST_KEYS) return err_set(err, ERR_CONFIG, "more than %d public keys", (int)NOTE_MOST_KEYS);
        size_t copied = length < sizeof line ? length : sizeof line - 1;
        memcpy(line, text, copied);
        line[copied] = '\0';
        if (note_read_vkey(line, &keys->items[keys->count], err)) return -1;
        keys->count++;
    }
    return 0;
}

void note_add_text(struct buf *to, const char *origin, int64_t size, const struct merkle_hash *root) {
    buf_printf(to, "%s\n%" PRId64 "\n", origin, size);
    base64_add(to, root->bytes, sizeof root->bytes);
    buf_add_char(to, '\n');
}

void note_add_signature(struct buf *to, const char *name, const unsigned char id[4], const unsigned char signature[64]) {
    unsigned char bytes[4 + 64];
    memcpy(bytes, id, 4);
    memcpy(bytes + 4, signature, 64);
    buf_printf(to, "%s%s ", dash, name);
    base64_add(to, bytes, sizeof bytes);
}

/* Of a key of any kind: an id and at least one byte, whose meaning is for others. */
static bool read_any(const char *base64, size_t length, unsigned char ret_id[4]) {
    unsigned char bytes[6];
    size_t total = 0;
    if (length < 8 || length % 4) return false;
    for (size_t at = 0; at < length; at += 4) {
        unsigned char group[3] = {0};
        size_t n = at + 4 < length ? 3 : 3 - (size_t)(base64[at + 3] == '=') - (size_t)(base64[at + 2] == '=');
        if (!base64_read(base64 + at, 4, group, n)) return false;
        if (total < sizeof bytes) memcpy(bytes + total, group, sizeof group);
        total += n;
    }
    memcpy(ret_id, bytes, 4);
    return total > 4;
}

bool note_read_signature(const char *line, size_t length, struct note_signature *ret_signature) {
    if (length < sizeof dash - 1 || memcmp(line, dash, sizeof dash - 1) != 0) return false;
    const char *name = line + sizeof dash - 1, *end = line + length, *space = memchr(name, ' ', (size_t)(end - name));
    if (!space || space == name || space - name >= NOTE_MOST_NAME || memchr(name, '\0', (size_t)(space - name))) return false;
    struct note_signature signature = {.ed25519 = true};
    memcpy(signature.name, name, (size_t)(space - name));
    if (!note_name_is_right(signature.name)) return false;
    const char *base64 = space + 1;
    unsigned char bytes[4 + 64];
    if (base64_read(base64, (size_t)(end - base64), bytes, sizeof bytes)) {
        memcpy(signature.id, bytes, 4);
        memcpy(signature.signature, bytes + 4, sizeof signature.signature);
    } else {
        signature.ed25519 = false; /* of another kind of key, such as a witness's */
        if (!read_any(base64, (size_t)(end - base64), signature.id)) return false;
    }
    *ret_signature = signature;
    return true;
}

/* The next line of the text, which it steps over; NULL where there is none that ends. */
static const char *take_line(const char **text, const char *end, size_t *ret_length) {
    const char *line = *text, *feed = memchr(line, '\n', (size_t)(end - line));
    if (!feed) return NULL;
    *ret_length = (size_t)(feed - line);
    *text = feed + 1;
    return line;
}

static bool read_size(const char *text, size_t length, int64_t *ret_size) {
    int64_t size = 0;
    for (size_t i = 0; i < length; i++)
        if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(size, 10, &size) || __builtin_add_overflow(size, text[i] - '0', &size))
            return false;
    *ret_size = size;
    return length && (length == 1 || *text != '0');
}

static bool read_note(const char *text, size_t length, struct note *note) {
    const char *end = text + length, *line;
    size_t n;
    if (!(line = take_line(&text, end, &n)) || n >= sizeof note->origin) return false;
    memcpy(note->origin, line, n);
    note->origin[n] = '\0';
    if (strlen(note->origin) != n || !note_name_is_right(note->origin)) return false;
    if (!(line = take_line(&text, end, &n)) || !read_size(line, n, &note->size)) return false;
    if (!(line = take_line(&text, end, &n)) || !base64_read(line, n, note->root.bytes, sizeof note->root.bytes)) return false;
    if (!take_line(&text, end, &n) || n) return false;
    while ((line = take_line(&text, end, &n)))
        if (note->n_signatures == NOTE_MOST_SIGNATURES || !note_read_signature(line, n, &note->signatures[note->n_signatures++])) return false;
    return text == end && note->n_signatures;
}

int note_read(const char *text, size_t length, struct note *ret_note, struct err *err) {
    struct note note = {.n_signatures = 0};
    if (!read_note(text, length, &note))
        return err_set(err, ERR_CONFIG, "this is no checkpoint: it has an origin, a size, a root in base64, a blank line and signatures");
    *ret_note = note;
    return 0;
}

static bool signature_fits(const struct note_key *key, const struct buf *text, const unsigned char signature[64]) {
    EVP_PKEY *public = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key->key, sizeof key->key);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool fits = public && context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, public) == 1 &&
                EVP_DigestVerify(context, signature, 64, (const unsigned char *)text->text, text->length) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(public);
    return fits;
}

enum note_verdict note_verify(const struct note *note, const struct note_keys *keys) {
    __attribute__((cleanup(buf_free))) struct buf text = {.text = NULL};
    note_add_text(&text, note->origin, note->size, &note->root);
    enum note_verdict verdict = NOTE_UNKNOWN;
    for (size_t i = 0; i < note->n_signatures; i++)
        for (size_t k = 0; k < keys->count; k++) {
            const struct note_signature *signature = &note->signatures[i];
            const struct note_key *key = &keys->items[k];
            if (memcmp(signature->id, key->id, sizeof key->id) != 0 || strcmp(signature->name, key->name) != 0) continue;
            if (!signature->ed25519 || !signature_fits(key, &text, signature->signature)) return NOTE_FORGED;
            verdict = NOTE_SIGNED;
        }
    return verdict;
}
