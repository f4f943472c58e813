#include "journal/proof.h"

#include "journal/base64.h"
#include "journal/chain.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

static const char first_line[] = "lapsed.proof/v1", log_line[] = "c2sp.org/tlog-proof@v1";
static const char log_intent[] = "tlog-proof intent", log_outcome[] = "tlog-proof outcome";

/* ---- making ---- */

void proof_path(struct proof *proof, const struct merkle_hash *leaves, size_t n_leaves, size_t index) {
    struct merkle_prover prover;
    merkle_prove_inclusion(&prover, (int64_t)index, (int64_t)n_leaves);
    for (size_t i = 0; i < n_leaves; i++) merkle_prover_add(&prover, &leaves[i]);
    proof->n_path = prover.proof.count;
    size_t at = index, last = n_leaves - 1;
    for (size_t i = 0; i < proof->n_path; i++) {
        bool left = at & 1 || at == last;
        proof->path[i] = (struct proof_step){.left = left, .hash = prover.proof.hashes[i]};
        for (; left && at && !(at & 1); at >>= 1) last >>= 1;
        at >>= 1;
        last >>= 1;
    }
}

static void write_inclusion(const struct proof *proof, const char *title, const struct proof_entry *entry, struct buf *to) {
    buf_printf(to, "%s\n%s\nindex %" PRId64 "\n", title, log_line, entry->seq - 1);
    for (size_t i = 0; i < entry->inclusion.count; i++) {
        base64_add(to, entry->inclusion.hashes[i].bytes, sizeof entry->inclusion.hashes[i].bytes);
        buf_add_char(to, '\n');
    }
    buf_add_char(to, '\n');
    buf_add(to, proof->checkpoint);
}

void proof_write(const struct proof *proof, struct buf *to) {
    char hex[EVIDENCE_HEX + 1];
    buf_printf(to, "%s\nname %s\nr %s\n", first_line, proof->name, proof->r);
    for (size_t i = 0; i < proof->n_path; i++) {
        text_hex(hex, proof->path[i].hash.bytes);
        buf_printf(to, "path %s %s\n", proof->path[i].left ? "left" : "right", hex);
    }
    buf_printf(to, "intent %s\n", proof->intent.previous);
    buf_add(to, proof->intent.line);
    buf_printf(to, "\noutcome %s\n", proof->outcome.previous);
    buf_add(to, proof->outcome.line);
    buf_add_char(to, '\n');
    if (!proof->checkpoint) return;
    write_inclusion(proof, log_intent, &proof->intent, to);
    write_inclusion(proof, log_outcome, &proof->outcome, to);
}

bool proof_is_done(const struct entry *intent, const struct entry *outcome) {
    if (intent->sweep != outcome->sweep || intent->batch != outcome->batch) return false;
    if (text_equal(outcome->outcome, "settled")) return text_equal(outcome->result, "committed");
    return text_equal(outcome->outcome, "committed") && outcome->records == intent->records && outcome->dependents == intent->dependents;
}

/* ---- reading ---- */

struct cursor {
    const char *at, *end;
    struct arena *arena;
    int64_t number;
};

static int wrong(const struct cursor *cursor, const char *expected, struct err *err) {
    return err_set(err, ERR_REFUSED, "line %lld is not %s; the file is no proof as lapsectl writes it", (long long)cursor->number, expected);
}

/* The next line; NULL at the end. */
static const char *next_line(struct cursor *cursor) {
    const char *feed = memchr(cursor->at, '\n', (size_t)(cursor->end - cursor->at));
    cursor->number++;
    if (!feed || memchr(cursor->at, '\0', (size_t)(feed - cursor->at))) return NULL;
    const char *line = arena_strndup(cursor->arena, cursor->at, (size_t)(feed - cursor->at));
    cursor->at = feed + 1;
    return line;
}

/* What stands behind the word at the beginning of the line; NULL if it is another one. */
static const char *behind(const char *line, const char *word) {
    size_t length = strlen(word);
    return line && !strncmp(line, word, length) && line[length] == ' ' ? line + length + 1 : NULL;
}

static bool is_hex(const char *text) { return text && strlen(text) == EVIDENCE_HEX && strspn(text, "0123456789abcdef") == EVIDENCE_HEX; }

static struct merkle_hash hash_of(const char *hex) {
    static const char digits[] = "0123456789abcdef";
    struct merkle_hash hash;
    for (size_t i = 0; i < sizeof hash.bytes; i++)
        hash.bytes[i] = (unsigned char)((strchr(digits, hex[2 * i]) - digits) << 4 | (strchr(digits, hex[2 * i + 1]) - digits));
    return hash;
}

/* Both lines of an entry; `line`: the first of them. */
static int read_entry(struct cursor *cursor, const char *word, const char *line, struct proof_entry *ret_entry, struct entry_line *ret_line,
                      struct err *err) {
    const char *previous = behind(line, word);
    if (!is_hex(previous)) return wrong(cursor, arena_printf(cursor->arena, "\"%s\" and a hash", word), err);
    memcpy(ret_entry->previous, previous, sizeof ret_entry->previous);
    ret_entry->line = next_line(cursor);
    if (!ret_entry->line) return wrong(cursor, "an entry of the journal", err);
    size_t length = strlen(ret_entry->line);
    if (entry_read(ret_entry->line, length, cursor->arena, ret_line, err)) {
        err->code = ERR_REFUSED;
        return err_within(err, "line %lld", (long long)cursor->number);
    }
    ret_entry->seq = ret_line->seq;
    if (text_equal(chain_hash(ret_entry->previous, ret_entry->line, ret_line->hashed).text, ret_line->hash)) return 0;
    return err_set(err, ERR_REFUSED, "line %lld: the entry's hash does not fit it: it was altered", (long long)cursor->number);
}

static int read_lines(struct cursor *cursor, struct proof *proof, struct entry_line *intent, struct entry_line *outcome, struct err *err) {
    const char *line = next_line(cursor);
    if (!line || strcmp(line, first_line)) return wrong(cursor, "\"lapsed.proof/v1\"", err);
    proof->name = behind(next_line(cursor), "name");
    if (!proof->name) return wrong(cursor, "\"name\" and a record's name", err);
    const char *r = behind(next_line(cursor), "r");
    if (!is_hex(r)) return wrong(cursor, "\"r\" and 64 hex digits", err);
    memcpy(proof->r, r, sizeof proof->r);
    for (;;) {
        line = next_line(cursor);
        const char *step = behind(line, "path"), *left = step ? behind(step, "left") : NULL, *hex = left ? left : step ? behind(step, "right") : NULL;
        if (!step) break;
        if (!is_hex(hex) || proof->n_path == MERKLE_MOST) return wrong(cursor, "\"path left\" or \"path right\" and a hash", err);
        proof->path[proof->n_path++] = (struct proof_step){.left = left != NULL, .hash = hash_of(hex)};
    }
    if (read_entry(cursor, "intent", line, &proof->intent, intent, err)) return -1;
    return read_entry(cursor, "outcome", next_line(cursor), &proof->outcome, outcome, err);
}

/* A proof in the tlog-proof format up to its checkpoint. */
static int read_inclusion(struct cursor *cursor, const char *title, struct proof_entry *entry, struct err *err) {
    if (!text_equal(next_line(cursor), title)) return wrong(cursor, arena_printf(cursor->arena, "\"%s\"", title), err);
    if (!text_equal(next_line(cursor), log_line)) return wrong(cursor, arena_printf(cursor->arena, "\"%s\"", log_line), err);
    if (!text_equal(next_line(cursor), arena_printf(cursor->arena, "index %" PRId64, entry->seq - 1)))
        return wrong(cursor, "the index of that entry in the log", err);
    for (const char *line; (line = next_line(cursor)) && *line;) {
        struct merkle_proof *inclusion = &entry->inclusion;
        if (inclusion->count == MERKLE_MOST || !base64_read(line, strlen(line), inclusion->hashes[inclusion->count++].bytes, SHA256_BYTES))
            return wrong(cursor, "a hash in base64", err);
    }
    return 0;
}

static int check_inclusion(const struct proof_entry *entry, const char *title, const struct note *note, struct err *err) {
    const struct merkle_hash leaf = merkle_leaf(entry->line, strlen(entry->line));
    if (merkle_check_inclusion(&entry->inclusion, &leaf, entry->seq - 1, note->size, &note->root)) return 0;
    return err_set(err, ERR_REFUSED, "%s: the entry is not in the log that the checkpoint is of", title);
}

static int read_log(struct cursor *cursor, struct proof *proof, struct note *note, struct err *err) {
    if (read_inclusion(cursor, log_intent, &proof->intent, err)) return -1;
    const char *second = memmem(cursor->at, (size_t)(cursor->end - cursor->at), log_outcome, sizeof log_outcome - 1);
    if (!second) return err_set(err, ERR_REFUSED, "the proof that the log has the outcome is missing");
    size_t length = (size_t)(second - cursor->at);
    proof->checkpoint = arena_strndup(cursor->arena, cursor->at, length);
    if (note_read(cursor->at, length, note, err)) {
        err->code = ERR_REFUSED;
        return err_within(err, "checkpoint");
    }
    cursor->at = second;
    if (read_inclusion(cursor, log_outcome, &proof->outcome, err)) return -1;
    if ((size_t)(cursor->end - cursor->at) != length || memcmp(cursor->at, proof->checkpoint, length))
        return err_set(err, ERR_REFUSED, "the two checkpoints differ, or something stands behind them");
    return check_inclusion(&proof->intent, log_intent, note, err) || check_inclusion(&proof->outcome, log_outcome, note, err) ? -1 : 0;
}

static struct merkle_hash root_of(const struct proof *proof) {
    struct merkle_hash hash = evidence_leaf(proof->r, proof->name, strlen(proof->name));
    for (size_t i = 0; i < proof->n_path; i++) {
        const struct proof_step *step = &proof->path[i];
        hash = step->left ? merkle_node(&step->hash, &hash) : merkle_node(&hash, &step->hash);
    }
    return hash;
}

/* The name is of the intent's store and, unless it is a dependent's, of its target. */
static bool fits_name(const char *name, const struct entry *intent) {
    json_t *array = json_loads(name, 0, NULL);
    const char *store = json_string_value(json_array_get(array, 0)), *target = json_string_value(json_array_get(array, 1));
    bool fits = json_array_size(array) > 2 && text_equal(store, intent->store) && target &&
                (text_equal(target, intent->target) || intent->dependents > 0);
    json_decref(array);
    return fits;
}

int proof_read(const char *text, size_t length, struct arena *arena, struct proof *ret_proof, struct entry_line *ret_intent,
               struct entry_line *ret_outcome, struct note *ret_note, struct err *err) {
    struct cursor cursor = {.at = text, .end = text + length, .arena = arena};
    struct proof proof = {.name = NULL};
    struct entry_line intent, outcome;
    char root[EVIDENCE_HEX + 1];
    if (read_lines(&cursor, &proof, &intent, &outcome, err)) return -1;
    struct note note = {.size = 0};
    if (cursor.at != cursor.end && read_log(&cursor, &proof, &note, err)) return -1;
    if (intent.entry.event != ENTRY_INTENT || outcome.entry.event != ENTRY_OUTCOME)
        return err_set(err, ERR_REFUSED, "the entries are not an intent and an outcome");
    if (!fits_name(proof.name, &intent.entry)) return err_set(err, ERR_REFUSED, "the record's name is not of the store and target of the intent");
    text_hex(root, root_of(&proof).bytes);
    if (!text_equal(root, intent.entry.evidence))
        return err_set(err, ERR_REFUSED, "the record's leaf and its path do not lead to the evidence of the intent: this record is not proven");
    if (outcome.seq <= intent.seq || !proof_is_done(&intent.entry, &outcome.entry))
        return err_set(err, ERR_REFUSED, "the outcome does not say that the batch of the intent was committed as a whole");
    *ret_proof = proof;
    *ret_note = note;
    *ret_intent = intent;
    *ret_outcome = outcome;
    return 0;
}
