/* Proofs of one record: of committed batches only, across segments, keys and prunings, and worth nothing with one bit changed. */
#include "signed.h"

#include "journal/evidence_file.h"
#include "journal/prove.h"

enum { EACH = 3 }; /* records of a batch */

static const unsigned char period_key[EVIDENCE_KEY_BYTES] = "a key of thirty-two bytes, or so";

/* The records of batch n are 10 n, 10 n + 1, …; the last one is a dependent's. */
static struct evidence evidence_of(struct arena *arena, int64_t batch) {
    struct evidence_batch leaves;
    char id[24];
    evidence_begin(&leaves, arena, period_key, "main");
    for (int64_t i = 0; i < EACH; i++) {
        (void)snprintf(id, sizeof id, "%" PRId64, 10 * batch + i);
        evidence_record(&leaves, i + 1 < EACH ? "invoices" : "lines");
        evidence_text(&leaves, id);
        evidence_add(&leaves);
    }
    struct evidence evidence = evidence_end(&leaves);
    evidence_free(&leaves);
    return evidence;
}

static void put_intent(struct journal *journal, int64_t batch) {
    struct arena *arena = arena_new();
    struct evidence evidence = evidence_of(arena, batch);
    struct entry intent = an_intent(1, batch);
    intent.records = EACH - 1;
    intent.dependents = 1;
    intent.evidence = evidence.root;
    intent.evidence_leaves = evidence.leaves;
    intent.n_evidence_leaves = evidence.n_leaves;
    ck_assert(put(journal, &intent));
    arena_free(arena);
}

static void put_outcome(struct journal *journal, int64_t batch, const char *outcome, const char *result, int64_t records) {
    struct entry entry = an_outcome(1, batch, outcome);
    entry.result = result;
    entry.records = records;
    entry.dependents = 1;
    ck_assert(put(journal, &entry));
}

static struct journal *open_signed(void) {
    take_signers();
    struct journal_conf conf = folder_conf();
    conf.segment_bytes = 3000;
    conf.signers = signers;
    return journal_opened(&conf);
}

/* Batches from `first` to `last`, committed. */
static void write_batches(int64_t first, int64_t last) {
    struct journal *journal = open_signed();
    for (int64_t batch = first; batch <= last; batch++) {
        put_intent(journal, batch);
        put_outcome(journal, batch, "committed", NULL, EACH - 1);
    }
    journal_close(journal);
}

/* The proof's text, or NULL and why there is none. */
static const char *of_tenant;

static char *prove(const char *target, const char *id, const unsigned char key_bytes[EVIDENCE_KEY_BYTES], const char **ret_why) {
    static char why[600];
    struct arena *arena = arena_new();
    struct buf name = {.text = NULL}, text = {.text = NULL};
    evidence_name_begin(&name, "main", target);
    evidence_name_bytes(&name, id, strlen(id));
    evidence_name_end(&name);
    struct evidence_key key = evidence_key(key_bytes);
    struct prove_candidate candidate = {.name = buf_text(&name)};
    evidence_r(&key, name.text, name.length, candidate.r);
    candidate.leaf = evidence_leaf(candidate.r, name.text, name.length);
    struct proof proof;
    const char *objection;
    struct err err;
    ck_assert_msg(!journal_prove(folder, &candidate, 1, of_tenant, arena, &proof, &objection, &err), "%s", err.text);
    if (!objection) proof_write(&proof, &text);
    (void)snprintf(why, sizeof why, "%s", objection ? objection : "");
    *ret_why = why;
    buf_free(&name);
    arena_free(arena);
    return text.text;
}

/* 0: proven, with a signature of one of the keys; 1: proven, unsigned or not by them; -1: nothing is. */
static int judge(const char *text, size_t length) {
    struct arena *arena = arena_new();
    struct proof proof;
    struct entry_line intent, outcome;
    struct note note;
    struct err err;
    int result = proof_read(text, length, arena, &proof, &intent, &outcome, &note, &err);
    if (!result) result = proof.checkpoint && note_verify(&note, &keys) == NOTE_SIGNED ? 0 : 1;
    arena_free(arena);
    return result;
}

static char *proven(const char *target, const char *id) {
    const char *why;
    char *text = prove(target, id, period_key, &why);
    ck_assert_msg(text != NULL, "%s %s: %s", target, id, why);
    ck_assert_msg(judge(text, strlen(text)) == 0, "%s %s", target, id);
    return text;
}

static void not_proven(const char *target, const char *id, const char *expected) {
    const char *why;
    ck_assert_msg(!prove(target, id, period_key, &why) && strstr(why, expected), "%s %s: %s", target, id, why);
}

START_TEST(a_proof_with_one_bit_changed_proves_nothing) {
    signed_setup();
    write_batches(1, 3);
    char *text = proven("invoices", "21");
    size_t length = strlen(text);
    char *other = xmalloc(length + 2);
    for (size_t bit = 0; bit < 8 * length; bit++) {
        memcpy(other, text, length + 1);
        other[bit / 8] = (char)(other[bit / 8] ^ 1 << bit % 8);
        ck_assert_msg(judge(other, length) != 0, "bit %zu", bit);
    }
    for (size_t at = 0; at < length; at++) {
        memcpy(other, text, at);
        memcpy(other + at, text + at + 1, length - at - 1);
        /* Of two equal bytes it does not matter which one is gone: it is one too few all the same. */
        ck_assert_msg(judge(other, length - 1) != 0, "without byte %zu", at);
        memcpy(other, text, at + 1);
        memcpy(other + at + 1, text + at, length - at);
        ck_assert_msg(judge(other, length + 1) != 0, "byte %zu twice", at);
        ck_assert_msg(judge(text, at) != 0, "cut at byte %zu", at);
    }
    free(other);
    free(text);
    signed_remove();
}
END_TEST

START_TEST(who_has_not_the_key_or_the_record_proves_nothing) {
    signed_setup();
    write_batches(1, 2);
    unsigned char other_key[EVIDENCE_KEY_BYTES] = "another";
    const char *why;
    ck_assert(!prove("invoices", "11", other_key, &why)); /* its period's key is destroyed: no other finds the leaf */
    not_proven("invoices", "13", "no batch destroyed");
    not_proven("lines", "11", "no batch destroyed");
    struct buf gone = folder_path("evidence-000000000999"); /* listed, but not there any more when it is opened */
    ck_assert_int_eq(symlink("nowhere", gone.text), 0);
    buf_free(&gone);
    struct buf fifo = folder_path("evidence-000000000998");
    struct arena *arena = arena_new();
    struct proof proof;
    const char *why_not;
    struct err err;
    ck_assert_int_eq(mkfifo(fifo.text, 0600), 0);
    ck_assert_int_eq(journal_prove(folder, NULL, 0, NULL, arena, &proof, &why_not, &err), -1);
    ck_assert_msg(strstr(err.text, "evidence-000000000998 is not a regular file") != NULL, "%s", err.text);
    ck_assert_int_eq(unlink(fifo.text), 0);
    arena_free(arena);
    buf_free(&fifo);
    free(proven("lines", "12")); /* a dependent, under its own table */
    /* r of another record does not open this one's leaf. */
    char *text = proven("invoices", "10"), *other = proven("invoices", "11"), *r = strstr(text, "\nr ") + 3;
    memcpy(r, strstr(other, "\nr ") + 3, EVIDENCE_HEX);
    ck_assert_int_eq(judge(text, strlen(text)), -1);
    free(text);
    free(other);
    signed_remove();
}
END_TEST

START_TEST(a_batch_whose_evidence_was_altered_proves_nothing) {
    signed_setup();
    write_batches(1, 1);
    size_t length;
    const char *const file = "evidence-000000000001", *why;
    char *bytes = folder_read(file, &length);
    for (size_t bit = 0; bit < 8 * length; bit++) {
        bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
        folder_write(file, bytes, length);
        ck_assert_msg(!prove("invoices", "11", period_key, &why), "bit %zu", bit);
        ck_assert_msg(strstr(why, "missing or altered") || strstr(why, "was altered"), "bit %zu: %s", bit, why);
        bytes[bit / 8] = (char)(bytes[bit / 8] ^ 1 << bit % 8);
    }
    folder_write(file, bytes, length);
    free(proven("invoices", "11"));
    free(bytes);
    signed_remove();
}
END_TEST

/* A batch whose evidence is gone or altered may have destroyed what is asked for; one whose evidence served its time is not counted. */
START_TEST(damaged_evidence_is_no_answer) {
    signed_setup();
    write_batches(1, 8);
    char file[64];
    ck_assert_int_ge(folder_count("evidence-", file), 3);
    not_proven("invoices", "999", "no batch destroyed");
    size_t length;
    char *bytes = folder_read("evidence-000000000001", &length);
    bytes[3 * EVIDENCE_UNIT] ^= 1;
    folder_write("evidence-000000000001", bytes, length);
    not_proven("invoices", "999", "the evidence of 1 batch is missing or altered, so it cannot be told whether that one destroyed");
    struct buf path = folder_path("evidence-000000000001");
    ck_assert_int_eq(unlink(path.text), 0);
    not_proven("invoices", "999", "no batch destroyed"); /* as if pruned: "as far back as evidence is kept" */
    bytes[3 * EVIDENCE_UNIT] ^= 1;
    folder_write("evidence-000000000001", bytes, length);
    not_proven("invoices", "999", "no batch destroyed");
    free(proven("invoices", "10"));
    /* One between two others. */
    DIR *dir = opendir(folder);
    int64_t last = 0, middle = 0;
    for (struct dirent *item; (item = readdir(dir));)
        if (evidence_file_seq(item->d_name) > last) last = evidence_file_seq(item->d_name);
    rewinddir(dir);
    for (struct dirent *item; (item = readdir(dir));)
        if (evidence_file_seq(item->d_name) > 1 && evidence_file_seq(item->d_name) < last) middle = evidence_file_seq(item->d_name);
    (void)closedir(dir);
    ck_assert_int_gt(middle, 1);
    struct buf between = folder_path(evidence_file_name(middle).text);
    ck_assert_int_eq(unlink(between.text), 0);
    not_proven("invoices", "999", "is missing or altered, so it cannot be told");
    buf_free(&between);
    buf_free(&path);
    free(bytes);
    signed_remove();
}
END_TEST

START_TEST(what_was_not_done_is_not_called_destroyed) {
    signed_setup();
    struct journal *journal = open_signed();
    put_intent(journal, 1);
    put_outcome(journal, 1, "rolled-back", NULL, 0);
    put_intent(journal, 2);
    put_outcome(journal, 2, "committed", NULL, EACH - 1);
    journal_close(journal);
    of_tenant = "77";
    not_proven("invoices", "10", "not carried out");
    not_proven("invoices", "20", "nothing of this tenant");
    of_tenant = NULL;
    /* The evidence of a segment that is gone. */
    size_t length;
    char *bytes = folder_read("evidence-000000000001", &length);
    struct buf units = {.text = NULL};
    struct arena *arena = arena_new();
    struct evidence evidence = evidence_of(arena, 5);
    buf_add_n(&units, bytes, length);
    evidence_units(&units, 4000, evidence.leaves, evidence.n_leaves);
    folder_write("evidence-000000000001", units.text, units.length);
    not_proven("invoices", "50", "the intent of its batch is not in the journal, or not any more");
    arena_free(arena);
    buf_free(&units);
    free(bytes);
    signed_remove();
}
END_TEST

START_TEST(only_what_was_committed_whole_is_proven) {
    signed_setup();
    struct journal *journal = open_signed();
    for (int64_t batch = 1; batch <= 6; batch++) put_intent(journal, batch);
    put_outcome(journal, 1, "rolled-back", NULL, 0);
    put_outcome(journal, 2, "unknown", NULL, 0);
    put_outcome(journal, 3, "unknown", NULL, 0);
    put_outcome(journal, 3, "settled", "committed", EACH - 1);
    put_outcome(journal, 4, "settled", "rolled-back", 0);
    put_outcome(journal, 5, "committed", NULL, EACH - 2); /* one was no longer due; which one is not said */
    journal_close(journal);
    not_proven("invoices", "10", "not carried out");
    not_proven("invoices", "20", "no outcome yet");
    free(proven("invoices", "30"));
    not_proven("invoices", "40", "not carried out");
    not_proven("invoices", "50", "not as a whole");
    not_proven("invoices", "60", "no outcome yet");
    signed_remove();
}
END_TEST

/* An old proof stays right; a new one is signed by the new key; what was pruned has none any more. */
START_TEST(proofs_outlive_segments_keys_and_prunings) {
    signed_setup();
    write_batches(1, 8);
    ck_assert_int_ge(folder_count("journal-", NULL), 2);
    char *of_first = proven("invoices", "10"), *text;
    struct note_key public;
    struct err err;
    struct buf from = {.text = NULL}, to = {.text = NULL};
    buf_printf(&from, "%s/journal.key", state);
    buf_printf(&to, "%s/journal.key.old", state);
    struct note_keys old = keys;
    ck_assert_int_eq(rename(from.text, to.text), 0);
    ck_assert_int_eq(signer_generate(old.items[0].name, &text, &public, &err), 0);
    ck_assert_int_eq(text_write_file(from.text, text, strlen(text), 0400, &err), 0);
    free(text);
    write_batches(9, 9);
    free(proven("invoices", "10"));
    free(proven("invoices", "90"));
    keys = old; /* both signed, so the old key is enough */
    free(proven("invoices", "90"));
    take_signers();
    struct journal_conf conf = folder_conf();
    conf.segment_bytes = 3000;
    conf.signers = signers;
    struct journal *journal = journal_opened(&conf);
    prune_all(journal);
    journal_close(journal);
    take_signers();
    conf.signers = signers;
    journal = journal_opened(&conf);
    put_intent(journal, 500);
    put_outcome(journal, 500, "committed", NULL, EACH - 1);
    journal_close(journal);
    ck_assert_int_eq(verify(&keys, NULL), VERIFY_WELL);
    ck_assert_int_gt(answer.scan.first_seq, 1);
    not_proven("invoices", "10", "");
    free(proven("invoices", "5000"));
    ck_assert_int_eq(judge(of_first, strlen(of_first)), 0);
    free(of_first);
    buf_free(&from);
    buf_free(&to);
    signed_remove();
}
END_TEST

UNIT_MAIN("proof", a_proof_with_one_bit_changed_proves_nothing, who_has_not_the_key_or_the_record_proves_nothing,
          a_batch_whose_evidence_was_altered_proves_nothing, damaged_evidence_is_no_answer, what_was_not_done_is_not_called_destroyed, only_what_was_committed_whole_is_proven,
          proofs_outlive_segments_keys_and_prunings)
