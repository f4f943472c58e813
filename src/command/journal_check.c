/* lapsectl journal verify and journal checkpoint. */
#include "base/period.h"
#include "base/time.h"
#include "command/journal.h"
#include "journal/base64.h"
#include "journal/verify.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { JOURNAL_USAGE = 64, JOURNAL_FILES = 74 };

static const char verify_help[] =
    "usage: lapsectl journal verify [OPTION]...\n"
    "\n"
    "Reads the whole journal, every line of it, and says whether it is as it was written and signed.\n"
    "\n"
    "      --vkey KEY         a public key, or a file with one a line (may be given several times); without it\n"
    "                         journal.pub in the configured state folder\n"
    "      --checkpoint FILE  a checkpoint that was kept elsewhere: the journal must begin with what it covers\n"
    "      --max-age TIME     how old the last signed entry may be: \"3 hours\", \"1 day\"\n"
    "      --json             the answer as JSON\n"
    "      --folder FOLDER    this journal instead of the configured one\n"
    "  -h, --help             this text\n"
    "\n"
    "Exits 0 if it is whole and signed, 1 if entries were altered, removed or put in another order (each place is\n"
    "listed) or a signature is wrong, 2 if it is whole but its end or all of it is unsigned, 3 if it is shorter than a\n"
    "checkpoint or older than --max-age, 64 if the command is wrong, 74 if a file cannot be read.\n";

static const char checkpoint_help[] =
    "usage: lapsectl journal checkpoint [OPTION]...\n"
    "\n"
    "Tells the newest checkpoint of the journal. Kept where nobody who can write to the journal can change it, it shows\n"
    "later that nothing was cut off or written anew: lapsectl journal verify --checkpoint FILE.\n"
    "\n"
    "      --print            the checkpoint itself, a signed note, to keep\n"
    "      --folder FOLDER    this journal instead of the configured one\n"
    "  -h, --help             this text\n"
    "\n"
    "Exits 2 if there is none yet, 74 if it cannot be read.\n";

struct request {
    const char *folder;
    const char *vkeys[NOTE_MOST_KEYS];
    size_t n_vkeys;
    const char *checkpoint;
    int64_t most_age_us;
    bool json, print, help;
};

enum { OPTION_FOLDER = 256, OPTION_JSON, OPTION_VKEY, OPTION_CHECKPOINT, OPTION_MAX_AGE, OPTION_PRINT };

static bool take_age(const char *text, int64_t *ret_us) {
    struct period period;
    struct err err;
    if (period_parse(text, &period, &err)) {
        (void)fprintf(stderr, "lapsectl: --max-age \"%s\" is not right; write a time like \"3 hours\" or \"1 day\"\n", text);
        return false;
    }
    *ret_us = period_after(0, period);
    return true;
}

static bool take_option(int option, struct request *request) {
    switch (option) {
    case OPTION_FOLDER: request->folder = optarg; return true;
    case OPTION_JSON: request->json = true; return true;
    case OPTION_PRINT: request->print = true; return true;
    case OPTION_CHECKPOINT: request->checkpoint = optarg; return true;
    case OPTION_MAX_AGE: return take_age(optarg, &request->most_age_us);
    case OPTION_VKEY:
        if (request->n_vkeys == NOTE_MOST_KEYS) {
            (void)fprintf(stderr, "lapsectl: --vkey stands more than %d times; put the keys into a file, one a line\n", (int)NOTE_MOST_KEYS);
            return false;
        }
        request->vkeys[request->n_vkeys++] = optarg;
        return true;
    case 'h': request->help = true; return true;
    default: return false;
    }
}

static bool take_options(const struct journal_place *place, int argc, char **argv, const struct option *known, struct request *request) {
    optind = opterr = 0; /* a fresh start, also inside one process of a test; we say what is wrong */
    for (int option; (option = getopt_long(argc, argv, ":h", known, NULL)) != -1;) {
        if (take_option(option, request)) continue;
        journal_wrong_option(option, argv);
        return false;
    }
    if (request->help) return true;
    if (!journal_takes_no_more(argc, argv)) return false;
    if (place->checking) return true;
    if (!request->folder) (void)fprintf(stderr, "lapsectl: which journal? Give --folder FOLDER, or a configuration that names one\n");
    return request->folder;
}

static int say(const struct err *err) {
    (void)fprintf(stderr, "lapsectl: %s\n", err->text);
    return err->code == ERR_CONFIG ? JOURNAL_USAGE : JOURNAL_FILES;
}

/* ---- verify ---- */

static void clear_progress(void) {
    if (isatty(STDERR_FILENO)) (void)fputs("\r\033[K", stderr);
}

static void show_progress(void *context, int64_t bytes, int64_t of) {
    (void)context;
    if (isatty(STDERR_FILENO) && of) (void)fprintf(stderr, "\r\033[Kverifying: %" PRId64 " %%", bytes * 100 / of);
}

static void print_fault(void *context, const struct scan_fault *fault) {
    (void)context;
    clear_progress();
    if (fault->place.line)
        (void)printf("%s line %" PRId64 " byte %" PRId64 " (entry %" PRId64 "): %s\n", fault->place.file, fault->place.line,
                     fault->place.byte, fault->seq, fault->text);
    else (void)printf("%s: %s\n", fault->place.file, fault->text);
}

static void list_fault(void *context, const struct scan_fault *fault) {
    struct buf *list = context;
    buf_add(list, list->length ? ",{\"file\":" : "{\"file\":");
    buf_add_json(list, fault->place.file);
    buf_printf(list, ",\"line\":%" PRId64 ",\"byte\":%" PRId64 ",\"seq\":%" PRId64 ",\"text\":", fault->place.line, fault->place.byte, fault->seq);
    buf_add_json(list, fault->text);
    buf_add_char(list, '}');
}

static void add_root(struct buf *to, const struct merkle_hash *root) { base64_add(to, root->bytes, sizeof root->bytes); }

static void print_json(const struct verify_answer *answer, bool has_older, const struct buf *faults) {
    const struct scan_result *scan = &answer->scan;
    static const char *const verdicts[] = {"well", "altered", "unsigned", "old"};
    (void)printf("{\"verdict\":\"%s\",\"whole\":%s,\"torn_tail\":%s,\"entries\":%" PRId64 ",\"files\":%" PRId64 ",\"bytes\":%" PRId64
                 ",\"clock_back\":%" PRId64 ",\"checkpoints\":%" PRId64, verdicts[answer->verdict], scan->faults ? "false" : "true",
                 scan->torn_tail ? "true" : "false", scan->entries, scan->segments, scan->bytes, scan->clock_back, scan->checkpoints);
    if (scan->entries && !scan->faults)
        (void)printf(",\"first_seq\":%" PRId64 ",\"last_seq\":%" PRId64 ",\"first_time\":\"%s\",\"last_time\":\"%s\",\"last_hash\":\"%s\"",
                     scan->first_seq, scan->last.seq, time_format(scan->first_time_us).text, time_format(scan->last.time_us).text,
                     scan->last.hash.text);
    if (scan->signed_seq && !scan->faults) {
        struct buf root __attribute__((cleanup(buf_free))) = {.text = NULL};
        add_root(&root, &scan->signed_root);
        (void)printf(",\"signed\":{\"size\":%" PRId64 ",\"root\":\"%s\",\"time\":\"%s\"}", scan->signed_size, root.text, time_format(scan->signed_time_us).text);
    }
    if (!scan->faults) (void)printf(",\"unsigned\":%" PRId64, answer->unsigned_entries);
    if (has_older) (void)printf(",\"checkpoint_signed\":%s", answer->older_unchecked ? "false" : "true");
    (void)printf(",\"faults\":[%s]}\n", buf_text(faults));
}

static void print_altered(const struct scan_result *scan) {
    (void)printf("not whole: %s fault%s; %s entries in %s file%s could be read\n", text_number(scan->faults).text,
                 scan->faults == 1 ? "" : "s", text_number(scan->entries).text, text_number(scan->segments).text, scan->segments == 1 ? "" : "s");
    if (scan->torn_tail) (void)printf("only the end is torn, as a crash leaves it: lapsed sets it aside at its next start\n");
}

static void print_verdict(const struct verify_answer *answer) {
    const struct scan_result *scan = &answer->scan;
    if (scan->faults) {
        print_altered(scan);
        return;
    }
    (void)printf("whole: %s entr%s", text_number(scan->entries).text, scan->entries == 1 ? "y" : "ies");
    if (scan->entries)
        (void)printf(", seq %" PRId64 " to %" PRId64 ", from %s to %s", scan->first_seq, scan->last.seq, time_format(scan->first_time_us).text,
                     time_format(scan->last.time_us).text);
    (void)putchar('\n');
    if (scan->signed_seq) {
        struct buf root __attribute__((cleanup(buf_free))) = {.text = NULL};
        add_root(&root, &scan->signed_root);
        (void)printf("signed: the first %s entries, up to %s, root %s, by %s\n", text_number(scan->signed_size).text,
                     time_format(scan->signed_time_us).text, root.text, scan->origin);
    }
    if (answer->verdict == VERIFY_UNSIGNED) (void)printf("unsigned: %s", answer->why);
    if (answer->verdict == VERIFY_UNSIGNED && answer->unsigned_entries)
        (void)printf("; %s entr%s at the end could be cut off or written anew, and would look the same", text_number(answer->unsigned_entries).text,
                     answer->unsigned_entries == 1 ? "y" : "ies");
    if (answer->verdict == VERIFY_UNSIGNED) (void)putchar('\n');
    if (answer->verdict == VERIFY_OLD) (void)printf("old: %s\n", answer->why);
    if (answer->older_unchecked)
        (void)printf("note: none of the keys signed the given checkpoint, so its signature was not checked; make sure that it is the one you kept\n");
    if (scan->clock_back)
        (void)printf("note: the clock was set back %s time%s: those entries bear an earlier time than the one before them\n",
                     text_number(scan->clock_back).text, scan->clock_back == 1 ? "" : "s");
}

int journal_read_vkey(const char *value, struct note_keys *keys, struct err *err) {
    if (access(value, F_OK)) return note_read_vkeys(value, keys, err) ? err_within(err, "\"%s\" is no file, and", value) : 0;
    char *text;
    size_t length;
    if (text_read_file(value, NOTE_MOST_KEYS_BYTES, &text, &length, err)) return -1;
    int result = note_read_vkeys(text, keys, err);
    free(text);
    return result ? err_within(err, "%s", value) : 0;
}

static int read_vkeys(const struct request *request, const char *state, struct note_keys *keys, struct err *err) {
    for (size_t i = 0; i < request->n_vkeys; i++)
        if (journal_read_vkey(request->vkeys[i], keys, err)) return -1;
    if (request->n_vkeys || !state) return 0;
    struct buf path __attribute__((cleanup(buf_free))) = {.text = NULL};
    buf_printf(&path, "%s/journal.pub", state);
    return access(path.text, F_OK) ? 0 : journal_read_vkey(path.text, keys, err);
}

static int read_note(const char *path, struct note *note, struct err *err) {
    char *text;
    size_t length;
    if (text_read_file(path, NOTE_MOST_BYTES, &text, &length, err)) return -1;
    int result = note_read(text, length, note, err);
    free(text);
    return result ? err_within(err, "%s", path) : 0;
}

static unsigned processors(void) {
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (unsigned)count : 1;
}

int command_journal_verify(const struct journal_place *place, int argc, char **argv) {
    static const struct option known[] = {{"folder", required_argument, NULL, OPTION_FOLDER},         {"json", no_argument, NULL, OPTION_JSON},
                                          {"vkey", required_argument, NULL, OPTION_VKEY},             {"checkpoint", required_argument, NULL, OPTION_CHECKPOINT},
                                          {"max-age", required_argument, NULL, OPTION_MAX_AGE},       {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    struct request request = {.folder = place->folder};
    if (!take_options(place, argc, argv, known, &request)) return JOURNAL_USAGE;
    if (place->checking) return 0;
    if (request.help) return fputs(verify_help, stdout) < 0 ? JOURNAL_FILES : 0;
    struct buf faults __attribute__((cleanup(buf_free))) = {.text = NULL};
    struct note older;
    struct err err;
    struct verify_question question = {.folder = request.folder, .older = request.checkpoint ? &older : NULL, .now_us = time_now_us(),
                                       .most_age_us = request.most_age_us, .threads = processors(), .context = &faults,
                                       .fault = request.json ? list_fault : print_fault, .progress = show_progress};
    if (read_vkeys(&request, place->state, &question.keys, &err)) return say(&err);
    if (request.checkpoint && read_note(request.checkpoint, &older, &err)) return say(&err);
    struct verify_answer answer;
    if (journal_verify(&question, &answer, &err)) return say(&err);
    clear_progress();
    if (request.json) print_json(&answer, request.checkpoint, &faults);
    else print_verdict(&answer);
    return fflush(stdout) ? JOURNAL_FILES : (int)answer.verdict;
}

/* ---- checkpoint ---- */

int command_journal_checkpoint(const struct journal_place *place, int argc, char **argv) {
    static const struct option known[] = {{"folder", required_argument, NULL, OPTION_FOLDER}, {"print", no_argument, NULL, OPTION_PRINT},
                                          {"help", no_argument, NULL, 'h'},                   {NULL, 0, NULL, 0}};
    struct request request = {.folder = place->folder};
    if (!take_options(place, argc, argv, known, &request)) return JOURNAL_USAGE;
    if (place->checking) return 0;
    if (request.help) return fputs(checkpoint_help, stdout) < 0 ? JOURNAL_FILES : 0;
    char *text;
    struct note note;
    struct err err;
    if (journal_read_checkpoint(request.folder, &text, &note, &err)) {
        (void)fprintf(stderr, "lapsectl: %s\n", err.text);
        return JOURNAL_FILES;
    }
    if (!text) {
        (void)fprintf(stderr, "lapsectl: the journal in \"%s\" has no checkpoint yet\n", request.folder);
        return VERIFY_UNSIGNED;
    }
    if (request.print) {
        (void)fputs(text, stdout);
    } else {
        struct buf root __attribute__((cleanup(buf_free))) = {.text = NULL};
        add_root(&root, &note.root);
        (void)printf("%s: %s entries, root %s, %zu signature%s\n", note.origin, text_number(note.size).text, root.text, note.n_signatures,
                     note.n_signatures == 1 ? "" : "s");
    }
    free(text);
    return fflush(stdout) ? JOURNAL_FILES : 0;
}
