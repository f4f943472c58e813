/* The commands that lapsed-journal(5) tells an auditor to type, run on a journal as they stand there. */
#include "folder.h"

#include <stdio.h>
#include <sys/wait.h>

static const char manual[] = "doc/lapsed-journal.5";

/* The literal display behind the line `.\" TEST name`. */
static char *command(const char *name) {
    char *text, marker[64];
    size_t length;
    struct err err;
    ck_assert_msg(!text_read_file(manual, 1 << 20, &text, &length, &err), "%s", err.text);
    (void)snprintf(marker, sizeof marker, ".\\\" TEST %s\n", name);
    char *from = strstr(text, marker);
    ck_assert_msg(from != NULL, "%s has no %s", manual, name);
    from = strchr(from + strlen(marker), '\n') + 1; /* behind .Bd */
    char *end = strstr(from, "\n.Ed");
    ck_assert(end != NULL);
    ck_assert_msg(!memchr(from, '\\', (size_t)(end - from)) || !strcmp(name, "chain"), "roff would change a backslash");
    struct buf shell = {.text = NULL};
    buf_printf(&shell, "cd %s && ", folder);
    buf_add_n(&shell, from, (size_t)(end - from));
    free(text);
    return shell.text;
}

static void assert_prints(const char *name, const char *expected) {
    char *shell = command(name);
    char printed[4000];
    FILE *pipe = popen(shell, "r");
    ck_assert(pipe != NULL);
    printed[fread(printed, 1, sizeof printed - 1, pipe)] = '\0';
    ck_assert_msg(pclose(pipe) == 0, "%s fails", shell);
    ck_assert_msg(!strcmp(printed, expected), "%s prints\n%s", shell, printed);
    free(shell);
}

/* Three segments of two batches each; a backslash and a quote in the names, so that the shell is put to the test. */
static void write_journal(void) {
    static const struct entry_tenant seven = {"7", 3, 0};
    folder_setup();
    struct journal_conf conf = folder_conf();
    conf.segment_bytes = 1700;
    struct journal *journal = journal_opened(&conf);
    for (int64_t batch = 1; batch <= 6; batch++) {
        struct entry intent = an_intent(1, batch), outcome = an_outcome(1, batch, batch == 3 ? "rolled-back" : "committed");
        intent.time_us = INT64_C(1795395600000000) + batch;
        if (batch == 2) intent.rule = "Bill\\ing \"Records\" \\n %s";
        if (batch == 5) intent.tenants = &seven;
        ck_assert(put(journal, &intent));
        ck_assert(put(journal, &outcome));
    }
    journal_close(journal);
    ck_assert_int_ge(folder_count("journal-", NULL), 2);
}

START_TEST(a_whole_journal) {
    write_journal();
    assert_prints("chain", "");
    assert_prints("numbers", "");
    assert_prints("committed", "5000\n");
    assert_prints("tenant", "[\"2026-11-23T01:00:00.000001Z\",\"Billing Records\",\"invoices\",1000,\"2019-11-23T01:00:00.000000Z\"]\n"
                            "[\"2026-11-23T01:00:00.000002Z\",\"Bill\\\\ing \\\"Records\\\" \\\\n %s\",\"invoices\",1000,\"2019-11-23T01:00:00.000000Z\"]\n"
                            "[\"2026-11-23T01:00:00.000003Z\",\"Billing Records\",\"invoices\",1000,\"2019-11-23T01:00:00.000000Z\"]\n"
                            "[\"2026-11-23T01:00:00.000004Z\",\"Billing Records\",\"invoices\",1000,\"2019-11-23T01:00:00.000000Z\"]\n"
                            "[\"2026-11-23T01:00:00.000006Z\",\"Billing Records\",\"invoices\",1000,\"2019-11-23T01:00:00.000000Z\"]\n");
    folder_remove();
}
END_TEST

START_TEST(an_altered_journal) {
    write_journal();
    size_t length;
    char *bytes = folder_read("journal-000000000001.jsonl", &length);
    char *second = strchr(bytes, '\n') + 1;
    char *count = strstr(second, "\"records\":1000");
    ck_assert(count != NULL);
    count[strlen("\"records\":")] = '2';
    folder_write("journal-000000000001.jsonl", bytes, length);
    assert_prints("chain", "2\n");
    assert_prints("numbers", "");
    size_t first = (size_t)(second - bytes);
    folder_write("journal-000000000001.jsonl", bytes + first, length - first);
    assert_prints("chain", "2\n");
    assert_prints("numbers", "2\n");
    free(bytes);
    folder_remove();
}
END_TEST

UNIT_MAIN("manual", a_whole_journal, an_altered_journal)
