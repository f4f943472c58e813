/* lapsectl journal show and verify: what they print and, since scripts act on it, what they exit with. */
#include "command/journal.h"

#include "../journal/signed.h"

#include <fcntl.h>

static char *printed; /* on stdout and stderr, of the last run */

typedef int verb(const struct journal_place *place, int argc, char **argv);

static int run(verb *command, const char *where, const char *const *arguments) {
    char *argv[16] = {NULL};
    int argc = 0;
    for (; arguments[argc]; argc++) argv[argc] = xstrdup(arguments[argc]);
    FILE *output = tmpfile();
    ck_assert(output != NULL);
    ck_assert_int_eq(fflush(stdout), 0);
    int out = dup(1), err = dup(2);
    ck_assert(dup2(fileno(output), 1) == 1 && dup2(fileno(output), 2) == 2);
    int status = command(&(struct journal_place){.folder = where}, argc, argv);
    ck_assert_int_eq(fflush(stdout), 0);
    ck_assert(dup2(out, 1) == 1 && dup2(err, 2) == 2);
    free(printed);
    long length = lseek(fileno(output), 0, SEEK_END);
    printed = xcalloc((size_t)length + 1, 1);
    ck_assert_int_eq(pread(fileno(output), printed, (size_t)length, 0), length);
    (void)fclose(output);
    for (int i = 0; i < argc; i++) free(argv[i]);
    return status;
}

#define SHOW(...) run(command_journal_show, folder, (const char *const[]){"show", ##__VA_ARGS__, NULL})
#define VERIFY(...) run(command_journal_verify, folder, (const char *const[]){"verify", ##__VA_ARGS__, NULL})

static void write_journal(void) {
    folder_setup();
    struct journal_conf conf = folder_conf();
    struct journal *journal = journal_opened(&conf);
    for (int64_t batch = 1; batch <= 3; batch++) {
        struct entry intent = an_intent(1, batch), outcome = an_outcome(1, batch, "committed");
        intent.dependents = outcome.dependents = 0;
        intent.time_us = INT64_C(1795395602000000) + batch * TIME_DAY_US / 2;
        outcome.time_us = intent.time_us + 1;
        ck_assert(put(journal, &intent));
        ck_assert(put(journal, &outcome));
    }
    journal_close(journal);
}

static void leave(void) {
    free(printed);
    printed = NULL;
    folder_remove();
}

START_TEST(show_tells_by_day) {
    write_journal();
    ck_assert_int_eq(SHOW(), 0);
    ck_assert_str_eq(printed, "2026-11-23\n"
                              "13:00:02  purged 1,000 invoices of tenant 1042 under \"Billing Records\" (issued before 2019-11-23)  committed\n"
                              "2026-11-24\n"
                              "01:00:02  purged 1,000 invoices of tenant 1042 under \"Billing Records\" (issued before 2019-11-23)  committed\n"
                              "13:00:02  purged 1,000 invoices of tenant 1042 under \"Billing Records\" (issued before 2019-11-23)  committed\n");
    ck_assert_int_eq(SHOW("-n", "1"), 0);
    ck_assert_str_eq(printed, "2026-11-24\n"
                              "13:00:02  purged 1,000 invoices of tenant 1042 under \"Billing Records\" (issued before 2019-11-23)  committed\n");
    ck_assert_int_eq(SHOW("--until", "2026-11-24", "--event", "intent", "--tenant", "1042"), 0);
    ck_assert(text_starts_with(printed, "2026-11-23\n13:00:02  purged") && !strstr(printed, "2026-11-24"));
    ck_assert_int_eq(SHOW("--tenant", "nobody"), 0);
    ck_assert_str_eq(printed, "");
    ck_assert_int_eq(SHOW("--json"), 0);
    size_t length;
    char *bytes = folder_read("journal.jsonl", &length);
    ck_assert_str_eq(printed, bytes);
    free(bytes);
    leave();
}
END_TEST

START_TEST(nothing_reaches_the_terminal_that_it_would_obey) {
    folder_setup();
    struct journal_conf conf = folder_conf();
    struct journal *journal = journal_opened(&conf);
    struct entry finding = {.event = ENTRY_FINDING, .code = "x", .tenant = "\x1b[2J\x07 \xc2\x9b" "ä", .count = 1};
    ck_assert(put(journal, &finding));
    journal_close(journal);
    ck_assert_int_eq(SHOW(), 0);
    ck_assert_msg(strstr(printed, "of tenant ?[2J? ?ä\n") != NULL, "%s", printed);
    leave();
}
END_TEST

START_TEST(verify_says_whole_but_unsigned) {
    write_journal();
    ck_assert_int_eq(VERIFY(), 2);
    ck_assert_msg(text_starts_with(printed, "whole: 7 entries, seq 1 to 7, from 2026-11-23T13:00:02.000000Z to 2026-11-24T13:00:02.000001Z\nunsigned: "),
                  "%s", printed);
    ck_assert_int_eq(VERIFY("--json"), 2);
    ck_assert_msg(text_starts_with(printed, "{\"verdict\":\"unsigned\",\"whole\":true,\"torn_tail\":false,\"entries\":7,\"files\":1,"), "%s", printed);
    ck_assert(strstr(printed, "\"faults\":[]}\n") != NULL);
    leave();
}
END_TEST

START_TEST(verify_says_that_there_are_no_entries) {
    folder_setup();
    folder_write("journal.jsonl", "", 0);
    ck_assert_int_eq(VERIFY(), 2);
    ck_assert_msg(text_starts_with(printed, "whole: 0 entries\nunsigned: ") && !strstr(printed, "at the end"), "%s", printed);
    ck_assert_int_eq(VERIFY("--json"), 2);
    ck_assert_msg(strstr(printed, "\"unsigned\":0,") != NULL, "%s", printed);
    leave();
}
END_TEST

START_TEST(damage_is_listed_and_exits_1) {
    write_journal();
    size_t length;
    char *bytes = folder_read("journal.jsonl", &length);
    size_t second = strcspn(bytes, "\n") + 1;
    second += strcspn(bytes + second, "\n") + 1; /* behind the segment's own entry and the first intent */
    memset(bytes + second, '?', 3);
    folder_write("journal.jsonl", bytes, length);
    ck_assert_int_eq(VERIFY(), 1);
    char expected[120];
    (void)snprintf(expected, sizeof expected, "journal.jsonl line 3 byte %zu (entry 3): no entry: at byte 1 of the line: ", second);
    ck_assert_msg(text_starts_with(printed, expected), "%s", printed);
    ck_assert_msg(strstr(printed, "\nnot whole: 1 fault; 6 entries in 1 file could be read\n") != NULL, "%s", printed);
    ck_assert_int_eq(VERIFY("--json"), 1);
    ck_assert(strstr(printed, "\"faults\":[{\"file\":\"journal.jsonl\",\"line\":3,\"byte\":") != NULL);
    ck_assert_int_eq(SHOW(), 1);
    ck_assert_msg(strstr(printed, "13:00:02  was about to purge") != NULL, "%s", printed);
    ck_assert_msg(strstr(printed, "the journal is damaged: journal.jsonl line 3 byte ") != NULL, "%s", printed);
    free(bytes);
    leave();
}
END_TEST

START_TEST(a_torn_end_exits_1_and_says_so) {
    write_journal();
    size_t length;
    char *bytes = folder_read("journal.jsonl", &length);
    folder_write("journal.jsonl", bytes, length - 1);
    ck_assert_int_eq(VERIFY(), 1);
    ck_assert_msg(strstr(printed, "only the end is torn, as a crash leaves it") != NULL, "%s", printed);
    free(bytes);
    leave();
}
END_TEST

START_TEST(verify_works_beside_the_daemon) {
    folder_setup();
    struct journal_conf conf = folder_conf();
    conf.segment_bytes = 4000;
    struct journal *journal = journal_opened(&conf);
    for (int64_t batch = 1; batch <= 200; batch++) {
        struct entry intent = an_intent(1, batch);
        struct waiter waiter;
        append(journal, &intent, &waiter);
        if (batch % 5 == 0) ck_assert_msg(VERIFY() == 2, "%s", printed); /* while it is written and rotated */
        wait_for(journal, &waiter);
    }
    journal_close(journal);
    leave();
}
END_TEST

START_TEST(what_cannot_be_read_exits_74) {
    folder_setup();
    ck_assert_int_eq(VERIFY(), 74);
    ck_assert_msg(strstr(printed, "there is no journal in") != NULL, "%s", printed);
    ck_assert_int_eq(SHOW(), 74);
    ck_assert_int_eq(VERIFY("--folder", "/nonexistent"), 74);
    leave();
}
END_TEST

/* What scripts act on, each with its cause. */
START_TEST(verify_exits_0_to_3) {
    signed_setup();
    write_signed(2);
    char key[300], kept[300];
    (void)snprintf(key, sizeof key, "%s/journal.pub", state);
    (void)snprintf(kept, sizeof kept, "%s/kept", state);
    ck_assert_int_eq(VERIFY("--vkey", key), 0);
    ck_assert_msg(strstr(printed, "signed: the first ") != NULL, "%s", printed);
    ck_assert_int_eq(VERIFY(), 2);
    ck_assert_msg(strstr(printed, "no public key is known") != NULL, "%s", printed);
    ck_assert_int_eq(VERIFY("--vkey", key, "--max-age", "1 day"), 0);
    size_t length, whole;
    char *text = folder_read("checkpoint", &length);
    struct err err;
    ck_assert_int_eq(text_write_file(kept, text, length, 0600, &err), 0);
    write_signed(1);
    ck_assert_int_eq(VERIFY("--vkey", key, "--checkpoint", kept), 0);
    ck_assert_msg(strstr(printed, "note: ") == NULL, "%s", printed);
    ck_assert_int_eq(VERIFY("--vkey", key, "--checkpoint", kept, "--json"), 0);
    ck_assert_msg(text_starts_with(printed, "{\"verdict\":\"well\",\"whole\":true,"), "%s", printed);
    ck_assert_msg(strstr(printed, "\"checkpoint_signed\":true") != NULL, "%s", printed);
    struct verify_question aged = {.folder = folder, .keys = keys, .now_us = time_now_us() + 2 * TIME_DAY_US, .most_age_us = TIME_DAY_US};
    ck_assert_int_eq(journal_verify(&aged, &answer, &err), 0);
    ck_assert_int_eq(answer.verdict, 3);
    ck_assert_int_eq(VERIFY("--vkey", key, "--checkpoint", key), 64); /* that is none */
    /* The last whole line is cut off: what the folder's own checkpoint covers is not there any more. */
    char *now = folder_read("journal.jsonl", &whole);
    size_t cut = whole - 1;
    while (cut && now[cut - 1] != '\n') cut--;
    folder_write("journal.jsonl", now, cut);
    ck_assert_int_eq(VERIFY("--vkey", key), 2); /* only the checkpoint's own entry is missing */
    for (cut -= cut > 0; cut && now[cut - 1] != '\n';) cut--;
    folder_write("journal.jsonl", now, cut);
    ck_assert_int_eq(VERIFY("--vkey", key), 3);
    ck_assert_msg(strstr(printed, "shorter than its own checkpoint") != NULL, "%s", printed);
    /* Torn into, it is no better. */
    folder_write("journal.jsonl", now, cut - 1);
    ck_assert_int_eq(VERIFY("--vkey", key), 1);
    ck_assert_msg(strstr(printed, "checkpoint: it covers") != NULL && strstr(printed, "more than a crash tears off") != NULL, "%s", printed);
    ck_assert_msg(strstr(printed, "sets it aside") == NULL, "%s", printed);
    now[cut / 2] ^= 1;
    folder_write("journal.jsonl", now, cut);
    ck_assert_int_eq(VERIFY("--vkey", key), 1);
    ck_assert_int_eq(VERIFY("--vkey", key, "--json"), 1);
    ck_assert_msg(text_starts_with(printed, "{\"verdict\":\"altered\",\"whole\":false,"), "%s", printed);
    free(text);
    free(now);
    free(printed);
    printed = NULL;
    signed_remove();
}
END_TEST

/* A list that the daemon could add the last key to, and one that nobody can have from it. */
START_TEST(verify_takes_as_many_keys_as_there_may_be) {
    signed_setup();
    write_signed(1);
    struct buf list = {.text = NULL};
    struct note_key other = {.name = "lapsed/5f2c9d0e8b7a6143"};
    struct err err;
    char path[300];
    for (size_t i = 1; i < NOTE_MOST_KEYS; i++) {
        other.key[0] = (unsigned char)(i % 256);
        other.key[1] = (unsigned char)(i / 256);
        note_key_id(other.name, other.key, other.id);
        buf_printf(&list, "%s\n", note_vkey(&other).text);
    }
    buf_printf(&list, "%s\n", note_vkey(&keys.items[0]).text);
    (void)snprintf(path, sizeof path, "%s/journal.pub", state);
    ck_assert_int_eq(text_write_file(path, list.text, list.length, 0644, &err), 0);
    ck_assert_int_eq(VERIFY("--vkey", path), 0);
    other.key[2] = 1;
    note_key_id(other.name, other.key, other.id);
    buf_printf(&list, "%s\n", note_vkey(&other).text);
    ck_assert_int_eq(text_write_file(path, list.text, list.length, 0644, &err), 0);
    ck_assert_int_ne(VERIFY("--vkey", path), 0);
    free(printed);
    printed = NULL;
    buf_free(&list);
    signed_remove();
}
END_TEST

/* What was entered two days ago is signed today. */
START_TEST(verify_tells_what_is_older_than_it_may_be) {
    signed_setup();
    take_signers();
    struct journal_conf conf = folder_conf();
    conf.signers = signers;
    struct journal *journal = journal_opened(&conf);
    struct entry intent = an_intent(1, 1);
    intent.time_us = time_now_us() - 2 * TIME_DAY_US;
    ck_assert(put(journal, &intent));
    journal_close(journal);
    char key[300];
    (void)snprintf(key, sizeof key, "%s/journal.pub", state);
    ck_assert_int_eq(VERIFY("--vkey", key), 0);
    ck_assert_int_eq(VERIFY("--vkey", key, "--max-age", "3 days"), 0);
    ck_assert_int_eq(VERIFY("--vkey", key, "--max-age", "49 hours"), 0);
    ck_assert_int_eq(VERIFY("--vkey", key, "--max-age", "1 day"), 3);
    ck_assert_msg(strstr(printed, "the last signed entry is 2 days old") != NULL, "%s", printed);
    ck_assert_int_eq(VERIFY("--vkey", key, "--max-age", "1 day", "--json"), 3);
    ck_assert_msg(text_starts_with(printed, "{\"verdict\":\"old\",\"whole\":true,"), "%s", printed);
    free(printed);
    printed = NULL;
    signed_remove();
}
END_TEST

/* What was kept elsewhere, but signed by nobody who is known: right as it is, it may be somebody else's. */
START_TEST(verify_tells_that_a_signature_was_not_checked) {
    signed_setup();
    write_signed(2);
    char key[300], kept[300];
    (void)snprintf(key, sizeof key, "%s/journal.pub", state);
    (void)snprintf(kept, sizeof kept, "%s/kept", state);
    ck_assert_int_eq(verify(&keys, NULL), VERIFY_WELL);
    const struct merkle_hash root = answer.scan.signed_root;
    size_t length;
    char *own = folder_read("checkpoint", &length);
    struct err err;
    checkpoint_by_a_stranger(answer.scan.signed_size, &root);
    size_t length_of_strange;
    char *strange = folder_read("checkpoint", &length_of_strange);
    ck_assert_int_eq(text_write_file(kept, strange, length_of_strange, 0600, &err), 0);
    folder_write("checkpoint", own, length);
    ck_assert_int_eq(VERIFY("--vkey", key, "--checkpoint", kept), 0);
    ck_assert_msg(strstr(printed, "none of the keys signed the given checkpoint, so its signature was not checked") != NULL, "%s", printed);
    ck_assert_int_eq(VERIFY("--vkey", key, "--checkpoint", kept, "--json"), 0);
    ck_assert_msg(strstr(printed, "\"checkpoint_signed\":false") != NULL, "%s", printed);
    free(own);
    free(strange);
    free(printed);
    printed = NULL;
    signed_remove();
}
END_TEST

START_TEST(usage) {
    write_journal();
    ck_assert_int_eq(run(command_journal_verify, NULL, (const char *const[]){"verify", "--folder", folder, NULL}), 2);
    ck_assert_int_eq(run(command_journal_verify, NULL, (const char *const[]){"verify", NULL}), 64);
    ck_assert_int_eq(VERIFY("--nonsense"), 64);
    ck_assert_str_eq(printed, "lapsectl: there is no option --nonsense; lapsectl journal verify --help lists them\n");
    ck_assert_int_eq(SHOW("-x"), 64);
    ck_assert_str_eq(printed, "lapsectl: there is no option -x; lapsectl journal show --help lists them\n");
    ck_assert_int_eq(VERIFY("--max-age"), 64);
    ck_assert_str_eq(printed, "lapsectl: --max-age needs a value; see lapsectl journal verify --help\n");
    ck_assert_int_eq(VERIFY("--max-age", "0 days"), 64);
    ck_assert_int_eq(VERIFY("--vkey", "nonsense"), 64);
    ck_assert_int_eq(VERIFY("--checkpoint", "/nonexistent"), 74);
    ck_assert_int_eq(VERIFY("extra"), 64);
    ck_assert_ptr_nonnull(strstr(printed, "\"extra\" is one argument too many; a journal is named by --folder FOLDER;"));
    /* The options alone, before there is a journal to look at. */
    ck_assert_int_eq(command_journal_verify(&(struct journal_place){.checking = true}, 1, (char *[]){(char[]){"verify"}, NULL}), 0);
    ck_assert_int_eq(VERIFY("--tenant", "7"), 64);
    ck_assert_int_eq(VERIFY("--help"), 0);
    static const char *const wrong[][2] = {{"--sweep", "x"}, {"--sweep", "0"}, {"--sweep", "-1"}, {"-n", "1x"}, {"--since", "tomorrow"},
                                           {"--until", "2026-02-30"}, {"--event", "nothing"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ck_assert_int_eq(SHOW(wrong[i][0], wrong[i][1]), 64);
        ck_assert_msg(strstr(printed, wrong[i][1]) != NULL, "%s", printed);
    }
    ck_assert_int_eq(SHOW("-h"), 0);
    ck_assert(strstr(printed, "usage: lapsectl journal show") != NULL);
    leave();
}
END_TEST

UNIT_MAIN("journal verbs", show_tells_by_day, nothing_reaches_the_terminal_that_it_would_obey, verify_says_whole_but_unsigned, verify_says_that_there_are_no_entries,
          damage_is_listed_and_exits_1, a_torn_end_exits_1_and_says_so, verify_works_beside_the_daemon, what_cannot_be_read_exits_74,
          verify_exits_0_to_3, verify_takes_as_many_keys_as_there_may_be, verify_tells_what_is_older_than_it_may_be, verify_tells_that_a_signature_was_not_checked, usage)
