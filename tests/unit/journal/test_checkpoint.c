/* Checkpoints that fail: the journal can be written all the same, but says that it cannot be signed until one succeeds. */
#include "signed.h"

#include <sys/stat.h>

static struct journal *opened(void) {
    take_signers();
    struct journal_conf conf = folder_conf();
    conf.signers = signers;
    return journal_opened(&conf);
}

static void wait_for_signing(struct journal *journal, bool can_sign) {
    while (journal_can_sign(journal) != can_sign) {
        struct pollfd readable = {.fd = wake_pipe[0], .events = POLLIN};
        ck_assert_int_eq(poll(&readable, 1, 20000), 1);
        char bytes[64];
        ck_assert(read(wake_pipe[0], bytes, sizeof bytes) > 0);
        journal_collect(journal);
    }
}

/* An append that succeeds proves nothing of it: what was written is not signed. */
START_TEST(it_cannot_be_signed_until_a_checkpoint_succeeds) {
    signed_setup();
    struct buf in_the_way = folder_path("checkpoint.new"), within = folder_path("checkpoint.new/file");
    ck_assert_int_eq(mkdir(in_the_way.text, 0750), 0);
    folder_write("checkpoint.new/file", "", 0);
    struct journal *journal = opened();
    ck_assert(journal_can_sign(journal)); /* nothing was tried yet */
    struct entry intent = an_intent(1, 1);
    ck_assert(put(journal, &intent));
    wait_for_signing(journal, false);
    for (intent.batch = 2; intent.batch < 6; intent.batch++) {
        ck_assert(put(journal, &intent));
        ck_assert(journal_healthy(journal));
        ck_assert(!journal_can_sign(journal));
    }
    ck_assert_int_eq(folder_count("checkpoint", NULL), 1);
    ck_assert_int_eq(unlink(within.text), 0);
    ck_assert_int_eq(rmdir(in_the_way.text), 0);
    wait_for_signing(journal, true); /* nobody enters anything meanwhile */
    journal_close(journal);
    ck_assert_msg(verify(&keys, NULL) == VERIFY_WELL, "%s%s", answer.scan.first_fault, answer.why);
    buf_free(&within);
    buf_free(&in_the_way);
    signed_remove();
}
END_TEST

UNIT_MAIN("checkpoint", it_cannot_be_signed_until_a_checkpoint_succeeds)
