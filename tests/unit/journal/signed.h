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

static inline enum verify_verdict verify(const struct note_keys *with, const struct note *older) {
    struct verify_question question = {.folder = folder, .keys = *with, .older = older, .now_us = time_now_us(), .threads = 3};
    struct err err;
    ck_assert_msg(!journal_verify(&question, &answer, &err), "%s", err.text);
    return answer.verdict;
}

#endif
