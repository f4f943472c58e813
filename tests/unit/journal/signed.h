/* What tests of a signed journal share: a state folder with keys beside the journal's, and verification with them. */
#ifndef LAPSED_TESTS_JOURNAL_SIGNED_H
#define LAPSED_TESTS_JOURNAL_SIGNED_H

#include "folder.h"
#include "journal/verify.h"

static char state[96];
static struct signers signers; /* taken for the next journal */
static struct note_keys keys;  /* their public ones */
static struct verify_answer answer;

static inline void signed_setup(void) {
    folder_setup();
    ck_assert_int_eq(unsetenv("CREDENTIALS_DIRECTORY"), 0);
    (void)snprintf(state, sizeof state, "%s.state", folder);
    ck_assert_int_eq(mkdir(state, 0700), 0);
}

static inline void signed_remove(void) {
    folder_remove();
    ck_assert(text_copy(folder, sizeof folder, state));
    folder_remove();
}

static inline void take_signers(void) {
    struct err err;
    ck_assert_msg(!signers_open(state, &signers, &err), "%s", err.text);
    keys.count = 0;
    for (size_t i = 0; i < signers.count; i++) keys.items[keys.count++] = *signer_public(signers.items[i]);
}

static inline void write_signed(int n) {
    take_signers();
    struct journal_conf conf = folder_conf();
    conf.segment_bytes = 3000;
    conf.signers = signers;
    struct journal *journal = journal_opened(&conf);
    for (int i = 0; i < n; i++) {
        struct entry intent = an_intent(1, i + 1);
        ck_assert(put(journal, &intent));
    }
    journal_close(journal);
}

/* A file `checkpoint` of the log, of so many entries, that a key signed which bears the log's name and which nobody knows. */
static inline void checkpoint_by_a_stranger(int64_t size, const struct merkle_hash *root) {
    struct buf note = {.text = NULL}, line = {.text = NULL}, path = {.text = NULL};
    char *key;
    struct note_key public;
    struct signer *signer;
    struct err err;
    buf_printf(&path, "%s/stranger", state);
    ck_assert_int_eq(signer_generate(keys.items[0].name, &key, &public, &err), 0);
    ck_assert_int_eq(text_write_file(path.text, key, strlen(key), 0400, &err), 0);
    ck_assert_msg(!signer_load(path.text, false, &signer, &err), "%s", err.text);
    ck_assert_int_eq(unlink(path.text), 0);
    note_add_text(&note, public.name, size, root);
    ck_assert_int_eq(signer_sign(signer, &note, &line, &err), 0);
    buf_printf(&note, "\n%s\n", line.text);
    folder_write("checkpoint", note.text, note.length);
    signer_free(signer);
    free(key);
    buf_free(&note);
    buf_free(&line);
    buf_free(&path);
}

static inline enum verify_verdict verify_aged(const struct note_keys *with, const struct note *older, int64_t most_age_us) {
    struct verify_question question = {.folder = folder, .keys = *with, .older = older, .now_us = time_now_us(), .most_age_us = most_age_us, .threads = 3};
    struct err err;
    ck_assert_msg(!journal_verify(&question, &answer, &err), "%s", err.text);
    return answer.verdict;
}

static inline enum verify_verdict verify(const struct note_keys *with, const struct note *older) { return verify_aged(with, older, 0); }

#endif
