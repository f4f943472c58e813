/* What tests of both verifiers share: the one in plain Python at hand, a question to both, and files to damage and put back. */
#ifndef LAPSED_TESTS_JOURNAL_AGREE_H
#define LAPSED_TESTS_JOURNAL_AGREE_H

#include "signed.h"

#include <fcntl.h>
#include <stdlib.h>

static char vkeys[200]; /* the file that both are given; "": journal.pub */

/* One process answers all questions of a test: its arguments on a line, with tabs in between, for its exit code on another. */
static inline int python_says_to(const char *arguments) {
    static const char script[] = "import contextlib, io, sys\n"
                                 "sys.path.insert(0, 'tests')\n"
                                 "import journal_verify\n"
                                 "for line in sys.stdin:\n"
                                 "    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):\n"
                                 "        code = journal_verify.main(line.rstrip('\\n').split('\\t'))\n"
                                 "    print(code, flush=True)\n";
    static FILE *ask, *answers;
    if (!ask) {
        int questions[2], codes[2];
        ck_assert(!pipe2(questions, O_CLOEXEC) && !pipe2(codes, O_CLOEXEC));
        pid_t child = fork();
        ck_assert_int_ge(child, 0);
        if (!child) {
            if (dup2(questions[0], STDIN_FILENO) >= 0 && dup2(codes[1], STDOUT_FILENO) >= 0)
                (void)execl("/usr/bin/python3", "python3", "-c", script, (char *)NULL);
            _exit(127);
        }
        (void)close(questions[0]);
        (void)close(codes[1]);
        ask = fdopen(questions[1], "w");
        answers = fdopen(codes[0], "r");
        ck_assert(ask && answers);
    }
    char code[20];
    ck_assert(fprintf(ask, "%s\n", arguments) > 0 && !fflush(ask));
    ck_assert_msg(fgets(code, sizeof code, answers), "the other verifier ended");
    return (int)strtol(code, NULL, 10);
}

/* `older`, `most_age`: NULL where they are not given. */
static inline int python_says(const char *older, const char *most_age) {
    struct buf arguments = {.text = NULL};
    if (*vkeys) buf_printf(&arguments, "%s\t--vkey\t%s", folder, vkeys);
    else buf_printf(&arguments, "%s\t--vkey\t%s/journal.pub", folder, state);
    if (older) buf_printf(&arguments, "\t--checkpoint\t%s", older);
    if (most_age) buf_printf(&arguments, "\t--max-age\t%s", most_age);
    int code = python_says_to(arguments.text);
    buf_free(&arguments);
    return code;
}

static inline void both_say(const char *what, int expected) {
    int ours = (int)verify(&keys, NULL), other = python_says(NULL, NULL);
    ck_assert_msg(ours == expected && other == expected, "%s: %d expected, we say %d (%s%s), the other says %d", what, expected, ours,
                  answer.scan.first_fault, answer.why, other);
}

/* With a checkpoint that was kept elsewhere. */
static inline void both_say_of(const char *what, const char *older, int expected) {
    char *text;
    size_t length;
    struct note note;
    struct err err;
    ck_assert_msg(!text_read_file(older, NOTE_MOST_BYTES, &text, &length, &err) && !note_read(text, length, &note, &err), "%s", err.text);
    int ours = (int)verify(&keys, &note), other = python_says(older, NULL);
    ck_assert_msg(ours == expected && other == expected, "%s: %d expected, we say %d (%s%s), the other says %d", what, expected, ours,
                  answer.scan.first_fault, answer.why, other);
    free(text);
}

enum { MOST_FILES = 12 };
static struct { char name[64]; char *bytes; size_t length; } files[MOST_FILES];
static size_t n_files;

static inline void remember(void) {
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

static inline void restore(void) {
    for (char name[64]; folder_count("journal-", name);) {
        struct buf path = folder_path(name);
        ck_assert_int_eq(unlink(path.text), 0);
        buf_free(&path);
    }
    for (size_t i = 0; i < n_files; i++) folder_write(files[i].name, files[i].bytes, files[i].length);
}

static inline void forget(void) {
    for (size_t i = 0; i < n_files; i++) free(files[i].bytes);
    signed_remove();
}

static inline size_t file_named(const char *name) {
    size_t i = 0;
    while (strcmp(files[i].name, name)) ck_assert_uint_lt(++i, n_files);
    return i;
}

static inline void remove_file(size_t i) {
    struct buf path = folder_path(files[i].name);
    ck_assert_int_eq(unlink(path.text), 0);
    buf_free(&path);
}

/* `text` in place of the bytes from `from` to `to` of a file. */
static inline void put_between(size_t file, size_t from, size_t to, const char *text, size_t length) {
    struct buf whole = {.text = NULL};
    buf_add_n(&whole, files[file].bytes, from);
    buf_add_n(&whole, text, length);
    buf_add_n(&whole, files[file].bytes + to, files[file].length - to);
    folder_write(files[file].name, buf_text(&whole), whole.length);
    buf_free(&whole);
}

#endif
