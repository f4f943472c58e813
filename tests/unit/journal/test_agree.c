/* A table of damages: our verifier and the one in plain Python, which shares no code with it, must say the same of each. */
#include "signed.h"

#include <sys/wait.h>

static int python_says(const char *older) {
    char command[500];
    (void)snprintf(command, sizeof command, "/usr/bin/python3 tests/journal_verify.py %s --vkey %s/journal.pub%s%s >%s/said", folder, state,
                   older ? " --checkpoint " : "", older ? older : "", state);
    FILE *run = popen(command, "r");
    ck_assert(run != NULL);
    int status = pclose(run);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void both_say(const char *what, int expected) {
    int ours = (int)verify(&keys, NULL), other = python_says(NULL);
    ck_assert_msg(ours == expected && other == expected, "%s: %d expected, we say %d (%s%s), the other says %d", what, expected, ours,
                  answer.scan.first_fault, answer.why, other);
}

enum { MOST_FILES = 8 };
static struct { char name[64]; char *bytes; size_t length; } files[MOST_FILES];
static size_t n_files;

static void remember(void) {
    static const char *const prefixes[] = {"journal-", "journal.jsonl", "checkpoint"};
    n_files = 0;
    for (size_t p = 0; p < 3; p++) {
        DIR *dir = opendir(folder);
        for (struct dirent *item; (item = readdir(dir));) {
            if (!text_starts_with(item->d_name, prefixes[p])) continue;
            ck_assert_uint_lt(n_files, MOST_FILES);
            (void)snprintf(files[n_files].name, sizeof files[n_files].name, "%.63s", item->d_name);
            files[n_files].bytes = folder_read(item->d_name, &files[n_files].length);
            n_files++;
        }
        (void)closedir(dir);
    }
}

static void restore(void) {
    for (char name[64]; folder_count("journal-", name);) {
        struct buf path = folder_path(name);
        ck_assert_int_eq(unlink(path.text), 0);
        buf_free(&path);
    }
    for (size_t i = 0; i < n_files; i++) folder_write(files[i].name, files[i].bytes, files[i].length);
}

static void forget(void) {
    for (size_t i = 0; i < n_files; i++) free(files[i].bytes);
    signed_remove();
}

static size_t file_named(const char *name) {
    size_t i = 0;
    while (strcmp(files[i].name, name)) ck_assert_uint_lt(++i, n_files);
    return i;
}

static void remove_file(size_t i) {
    struct buf path = folder_path(files[i].name);
    ck_assert_int_eq(unlink(path.text), 0);
    buf_free(&path);
}

/* `text` in place of the bytes from `from` to `to` of a file. */
static void splice(size_t file, size_t from, size_t to, const char *text, size_t length) {
    struct buf whole = {.text = NULL};
    buf_add_n(&whole, files[file].bytes, from);
    buf_add_n(&whole, text, length);
    buf_add_n(&whole, files[file].bytes + to, files[file].length - to);
    folder_write(files[file].name, buf_text(&whole), whole.length);
    buf_free(&whole);
}

static void damage_lines(size_t file) {
    const char *bytes = files[file].bytes;
    size_t first = strcspn(bytes, "\n") + 1, second = first + strcspn(bytes + first, "\n") + 1, third = second + strcspn(bytes + second, "\n") + 1;
    static const char *const inserted[] = {"\n", "{}\n", " ", "\r", "x", "{\"v\":1}\n"};
    for (size_t i = 0; i < sizeof inserted / sizeof *inserted; i++) {
        splice(file, first, first, inserted[i], strlen(inserted[i]));
        both_say("something inserted", 1);
        splice(file, files[file].length, files[file].length, inserted[i], strlen(inserted[i]));
        both_say("something at the end", 1);
    }
    splice(file, 0, first, "", 0);
    both_say("the first line removed", 1);
    splice(file, first, second, "", 0);
    both_say("the second line removed", 1);
    splice(file, second, second, bytes + first, second - first);
    both_say("the second line repeated", 1);
    splice(file, second, third, bytes + first, second - first);
    both_say("the second line in place of the third", 1);
    splice(file, first - 1, first, "", 0);
    both_say("two lines joined", 1);
    splice(file, second - 1, second, "\r\n", 2);
    both_say("CR LF", 1);
    for (size_t at = 3; at < files[file].length; at += files[file].length / 7) {
        char flipped = (char)(bytes[at] ^ 1);
        splice(file, at, at + 1, &flipped, 1);
        both_say("a bit flipped", 1);
    }
    restore();
}

START_TEST(both_verifiers_agree_on_lines) {
    signed_setup();
    write_signed(10);
    remember();
    both_say("whole", 0);
    damage_lines(0);
    damage_lines(file_named("journal.jsonl"));
    both_say("whole again", 0);
    forget();
}
END_TEST

START_TEST(both_verifiers_agree_on_files) {
    signed_setup();
    write_signed(14);
    remember();
    size_t open = file_named("journal.jsonl"), note = file_named("checkpoint");
    for (size_t i = 0; i < n_files; i++) {
        remove_file(i);
        both_say(files[i].name, 1);
        restore();
    }
    folder_write(files[open].name, files[note].bytes, files[note].length);
    both_say("another file in its place", 1);
    restore();
    folder_write(files[note].name, "", 0);
    both_say("an empty checkpoint", 1);
    for (size_t at = 0; at < files[note].length; at += 11) {
        char flipped = (char)(files[note].bytes[at] ^ 2);
        splice(note, at, at + 1, &flipped, 1);
        int ours = (int)verify(&keys, NULL);
        ck_assert(ours == 1 || ours == 3);
        both_say("a bit of the checkpoint flipped", ours);
    }
    restore();
    both_say("whole again", 0);
    forget();
}
END_TEST

/* Each prefix of whole lines of the open segment, with its checkpoint or without. */
START_TEST(both_verifiers_agree_on_truncation) {
    signed_setup();
    write_signed(3);
    remember();
    size_t open = file_named("journal.jsonl");
    for (size_t end = 0; end < files[open].length; end += strcspn(files[open].bytes + end, "\n") + 1) {
        splice(open, end, files[open].length, "", 0);
        int ours = (int)verify(&keys, NULL);
        ck_assert_msg(ours != 0, "cut at byte %zu", end);
        both_say("cut", ours);
    }
    restore();
    write_signed(1);
    struct buf newer = {.text = NULL};
    size_t length;
    char *text = folder_read("checkpoint", &length);
    buf_printf(&newer, "%s/newer", state);
    struct err err;
    ck_assert_int_eq(text_write_file(newer.text, text, length, 0600, &err), 0);
    restore();
    both_say("an older state of the whole folder", 0);
    ck_assert_int_eq(python_says(newer.text), 3);
    struct note note;
    ck_assert_int_eq(note_read(text, length, &note, &err), 0);
    ck_assert_int_eq(verify(&keys, &note), VERIFY_OLD);
    free(text);
    buf_free(&newer);
    forget();
}
END_TEST

UNIT_MAIN("agree", both_verifiers_agree_on_lines, both_verifiers_agree_on_files, both_verifiers_agree_on_truncation)
