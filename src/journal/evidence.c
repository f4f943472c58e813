#include "journal/evidence.h"

#include <endian.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { HMAC_BLOCK = 64 };

/* Longer names than any key of a store can make: in Redis one can have 512 MiB, of which each byte may take six. */
static const size_t most_name = (size_t)4 << 30;

/* ---- HMAC (RFC 2104) ---- */

struct evidence_key evidence_key(const unsigned char bytes[EVIDENCE_KEY_BYTES]) {
    struct evidence_key key;
    unsigned char inner[HMAC_BLOCK], outer[HMAC_BLOCK];
    memset(inner, 0x36, sizeof inner);
    memset(outer, 0x5c, sizeof outer);
    for (size_t i = 0; i < EVIDENCE_KEY_BYTES; i++) {
        inner[i] ^= bytes[i];
        outer[i] ^= bytes[i];
    }
    sha256_start(&key.inner);
    sha256_add(&key.inner, inner, sizeof inner);
    sha256_start(&key.outer);
    sha256_add(&key.outer, outer, sizeof outer);
    explicit_bzero(inner, sizeof inner);
    explicit_bzero(outer, sizeof outer);
    return key;
}

void evidence_r(const struct evidence_key *key, const char *name, size_t length, char ret_r[EVIDENCE_HEX + 1]) {
    unsigned char hash[SHA256_BYTES];
    struct sha256 sha256 = key->inner;
    sha256_add(&sha256, name, length);
    sha256_end(&sha256, hash);
    sha256 = key->outer;
    sha256_add(&sha256, hash, sizeof hash);
    sha256_end(&sha256, hash);
    text_hex(ret_r, hash);
}

/* ---- names, leaves, the root ---- */

static void add_name_begin(struct buf *name, const char *store, const char *target) {
    name->maximum = most_name;
    buf_add_char(name, '[');
    buf_add_json(name, store);
    buf_add_char(name, ',');
    buf_add_json(name, target);
}

void evidence_name_begin(struct buf *name, const char *store, const char *target) {
    buf_clear(name);
    add_name_begin(name, store, target);
}

static void add_hex(struct buf *to, const char *bytes, size_t length) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < length; i++) {
        buf_add_char(to, digits[(unsigned char)bytes[i] >> 4]);
        buf_add_char(to, digits[(unsigned char)bytes[i] & 15]);
    }
}

void evidence_name_bytes(struct buf *name, const char *bytes, size_t length) {
    buf_add_char(name, ',');
    if (!memchr(bytes, '\0', length) && text_is_utf8(bytes, length)) {
        char *text = xmalloc(length + 1);
        memcpy(text, bytes, length);
        text[length] = '\0';
        buf_add_json(name, text);
        free(text);
        return;
    }
    buf_add(name, "{\"$hex\":\"");
    add_hex(name, bytes, length);
    buf_add(name, "\"}");
}

void evidence_name_end(struct buf *name) { buf_add_char(name, ']'); }

struct merkle_hash evidence_leaf(const char r[EVIDENCE_HEX + 1], const char *name, size_t length) {
    struct merkle_hash leaf;
    struct sha256 sha256;
    char opening[1 + EVIDENCE_HEX + 1] = {'\0'};
    memcpy(opening + 1, r, EVIDENCE_HEX);
    opening[1 + EVIDENCE_HEX] = ' ';
    sha256_start(&sha256);
    sha256_add(&sha256, opening, sizeof opening);
    sha256_add(&sha256, name, length);
    sha256_end(&sha256, leaf.bytes);
    return leaf;
}

/* The level above n leaves or nodes, which may take their place: two neighbours make a node, a last one that has none goes up
 * as it is. */
static void make_level(const struct merkle_hash *below, size_t n, struct merkle_hash *level) {
    size_t i = 0;
    for (; i + 4 <= n; i += 4) merkle_two_nodes(&below[i], &level[i / 2]);
    for (; i < n; i += 2) level[i / 2] = i + 1 < n ? merkle_node(&below[i], &below[i + 1]) : below[i];
}

struct merkle_hash evidence_root(const struct merkle_hash *leaves, size_t n_leaves) {
    if (n_leaves < 2) return n_leaves ? *leaves : merkle_root(&(struct merkle_tree){.size = 0});
    struct merkle_hash *level = xmalloc((n_leaves + 1) / 2 * sizeof *level), root;
    const struct merkle_hash *below = leaves;
    for (size_t n = n_leaves; n > 1; n = (n + 1) / 2, below = level) make_level(below, n, level);
    root = *level;
    free(level);
    return root;
}

/* ---- a batch ---- */

void evidence_begin(struct evidence_batch *batch, struct arena *arena, const unsigned char *key, const char *store) {
    *batch = (struct evidence_batch){.arena = arena, .off = !key, .store = store};
    for (size_t i = 0; i < 2; i++) batch->messages[i].text.maximum = most_name;
    if (key) batch->key = evidence_key(key);
}

/* What stands before the name in a leaf: 0x00, r in hex, a space. */
enum { OPENING = 1 + EVIDENCE_HEX + 1 };

static struct evidence_message *message_of(struct evidence_batch *batch) { return &batch->messages[batch->waits]; }

void evidence_record(struct evidence_batch *batch, const char *target) {
    static const char opening[OPENING] = {'\0'};
    struct evidence_message *message = message_of(batch);
    if (batch->off) return;
    message->text.length = message->n_prefix;
    if (message->target == target && message->store == batch->store) return;
    message->text.length = 0;
    buf_add_n(&message->text, opening, sizeof opening);
    add_name_begin(&message->text, batch->store, target);
    message->store = batch->store;
    message->target = target;
    message->n_prefix = message->text.length;
}

void evidence_text(struct evidence_batch *batch, const char *text) {
    struct buf *name = &message_of(batch)->text;
    if (batch->off) return;
    buf_add_char(name, ',');
    if (text) buf_add_json(name, text);
    else buf_add(name, "null");
}

void evidence_bytes(struct evidence_batch *batch, const char *bytes, size_t length) {
    if (!batch->off) evidence_name_bytes(&message_of(batch)->text, bytes, length);
}

void evidence_json(struct evidence_batch *batch, const char *json) {
    if (batch->off) return;
    buf_add_char(&message_of(batch)->text, ',');
    buf_add(&message_of(batch)->text, json);
}

static void end_message(struct evidence_message *message) {
    static const char end[1 + SHA256_ROOM] = "]";
    buf_add_n(&message->text, end, sizeof end);
    if (message->text.overflow) abort();
}

static unsigned char *opening_of(struct evidence_message *message) { return (unsigned char *)message->text.text; }

/* Opening and name. */
static size_t length_of(const struct evidence_message *message) { return message->text.length - SHA256_ROOM; }

static void fill_opening(unsigned char *opening, const unsigned char r[SHA256_BYTES]) {
    char hex[EVIDENCE_HEX + 1];
    text_hex(hex, r);
    opening[0] = 0;
    memcpy(opening + 1, hex, EVIDENCE_HEX);
    opening[1 + EVIDENCE_HEX] = ' ';
}

/* As evidence_r and evidence_leaf, with each message hashed where it stands: the name, the inner hash, the whole leaf. */
static struct merkle_hash hash_one(struct evidence_batch *batch, struct evidence_message *message) {
    struct sha256 nothing;
    struct merkle_hash leaf;
    unsigned char *inner = batch->inner[0], r[SHA256_BYTES], *opening = opening_of(message);
    sha256_at_once(&batch->key.inner, opening + OPENING, length_of(message) - OPENING, inner);
    sha256_at_once(&batch->key.outer, inner, SHA256_BYTES, r);
    fill_opening(opening, r);
    sha256_start(&nothing);
    sha256_at_once(&nothing, opening, length_of(message), leaf.bytes);
    return leaf;
}

static void hash_two(struct evidence_batch *batch, struct merkle_hash ret_leaves[2]) {
    struct sha256 nothing;
    struct evidence_message *messages = batch->messages;
    unsigned char *inner[] = {batch->inner[0], batch->inner[1]}, r[2][SHA256_BYTES], *openings[] = {opening_of(&messages[0]), opening_of(&messages[1])};
    const size_t lengths[] = {length_of(&messages[0]), length_of(&messages[1])};
    sha256_two_at_once(&batch->key.inner, (unsigned char *[]){openings[0] + OPENING, openings[1] + OPENING},
                       (size_t[]){lengths[0] - OPENING, lengths[1] - OPENING}, inner);
    sha256_two_at_once(&batch->key.outer, inner, (size_t[]){SHA256_BYTES, SHA256_BYTES}, (unsigned char *[]){r[0], r[1]});
    for (size_t i = 0; i < 2; i++) fill_opening(openings[i], r[i]);
    sha256_start(&nothing);
    sha256_two_at_once(&nothing, openings, lengths, (unsigned char *[]){ret_leaves[0].bytes, ret_leaves[1].bytes});
}

struct merkle_hash evidence_hash(struct evidence_batch *batch) {
    if (batch->off) return (struct merkle_hash){{0}};
    end_message(message_of(batch));
    return hash_one(batch, message_of(batch));
}

void evidence_add_hash(struct evidence_batch *batch, const struct merkle_hash *hash) {
    if (batch->off) return;
    if (batch->n_leaves == batch->n_room) {
        batch->n_room = batch->n_room ? batch->n_room * 2 : 64;
        batch->leaves = xrealloc(batch->leaves, batch->n_room * sizeof *batch->leaves);
    }
    batch->leaves[batch->n_leaves++] = *hash;
}

void evidence_add(struct evidence_batch *batch) {
    struct merkle_hash leaves[2];
    if (batch->off) return;
    end_message(message_of(batch));
    batch->waits = !batch->waits;
    if (batch->waits) return;
    hash_two(batch, leaves);
    evidence_add_hash(batch, &leaves[0]);
    evidence_add_hash(batch, &leaves[1]);
}

/* The first eight bytes nearly always say it. */
static int by_bytes(const void *a, const void *b) {
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    if (x == y) return memcmp(a, b, sizeof(struct merkle_hash));
    return be64toh(x) < be64toh(y) ? -1 : 1;
}

/* Few as they are, and already nearly in order. */
static void sort_few(struct merkle_hash *leaves, size_t count) {
    enum { FEW = 16 };
    if (count > FEW) {
        qsort(leaves, count, sizeof *leaves, by_bytes);
        return;
    }
    for (size_t i = 1; i < count; i++) {
        struct merkle_hash leaf = leaves[i];
        size_t at = i;
        for (; at && by_bytes(&leaves[at - 1], &leaf) > 0; at--) leaves[at] = leaves[at - 1];
        leaves[at] = leaf;
    }
}

enum { SORT_BITS = 12, SORT_SHARES = 1 << SORT_BITS };

static size_t share_of(const struct merkle_hash *leaf) { return (size_t)leaf->bytes[0] << (SORT_BITS - 8) | leaf->bytes[1] >> (16 - SORT_BITS); }

/* Leaves are as good as random: shared out by their first bits, few are left to compare with each other. */
static struct merkle_hash *sorted(struct arena *arena, const struct merkle_hash *leaves, size_t count) {
    struct merkle_hash *result = ARENA_ARRAY(arena, struct merkle_hash, count);
    size_t *ends = xcalloc(SORT_SHARES + 1, sizeof *ends);
    for (size_t i = 0; i < count; i++) ends[share_of(&leaves[i]) + 1]++;
    for (size_t i = 0; i < SORT_SHARES; i++) ends[i + 1] += ends[i];
    for (size_t i = 0; i < count; i++) result[ends[share_of(&leaves[i])]++] = leaves[i];
    for (size_t i = 0, start = 0; i < SORT_SHARES; start = ends[i++]) sort_few(result + start, ends[i] - start);
    free(ends);
    return result;
}

struct evidence evidence_end(struct evidence_batch *batch) {
    if (batch->waits) {
        const struct merkle_hash last = hash_one(batch, &batch->messages[0]);
        evidence_add_hash(batch, &last);
        batch->waits = false;
    }
    struct evidence evidence = {.n_leaves = batch->n_leaves};
    if (batch->n_leaves) {
        evidence.leaves = sorted(batch->arena, batch->leaves, batch->n_leaves);
        text_hex(evidence.root, evidence_root(evidence.leaves, batch->n_leaves).bytes);
    }
    return evidence;
}

void evidence_free(struct evidence_batch *batch) {
    for (size_t i = 0; i < 2; i++) {
        if (batch->messages[i].text.text) explicit_bzero(batch->messages[i].text.text, batch->messages[i].text.room);
        buf_free(&batch->messages[i].text);
    }
    free(batch->leaves);
    batch->leaves = NULL;
    batch->n_leaves = batch->n_room = 0;
    explicit_bzero(batch->inner, sizeof batch->inner);
    explicit_bzero(&batch->key, sizeof batch->key);
}
