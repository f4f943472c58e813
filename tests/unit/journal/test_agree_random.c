/* Damages to files and lines in combinations that nobody thought of, by a generator that always gives the same ones: whatever
 * comes of them, both verifiers must say the same. */
#include "agree.h"

#include "journal/segment.h"

#include <stdarg.h>

static uint64_t state_of_chance;

/* Below `limit`, which is above 0. */
static size_t chance(size_t limit) {
    state_of_chance = state_of_chance * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (size_t)(state_of_chance >> 33) % limit;
}

/* The checkpoints that the journal had, as their files were. */
enum { MOST_NOTES = 40 };
static char *notes[MOST_NOTES];
static size_t n_notes;

static void keep_note(void) {
    ck_assert_uint_lt(n_notes, MOST_NOTES);
    size_t length;
    notes[n_notes++] = folder_read("checkpoint", &length);
}

static char described[1000];

static void describe(const char *format, ...) PRINTF_LIKE(1, 2);
static void describe(const char *format, ...) {
    size_t length = strlen(described);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(described + length, sizeof described - length, format, arguments);
    va_end(arguments);
}

/* Where a line of the file begins; of a file with lines. */
static size_t line_start(size_t file, size_t number) {
    const char *at = files[file].bytes;
    for (size_t i = 0; i < number; i++) at = memchr(at, '\n', (size_t)(files[file].bytes + files[file].length - at)), at++;
    return (size_t)(at - files[file].bytes);
}

static size_t count_lines(size_t file) {
    size_t lines = 0;
    for (size_t i = 0; i < files[file].length; i++) lines += files[file].bytes[i] == '\n';
    return lines;
}

/* Of what the file was like at first, so that two damages of one file leave the second. */
static void damage_lines_of(size_t file) {
    size_t lines = count_lines(file), i = chance(lines), j = chance(lines), from = line_start(file, i), to = line_start(file, i + 1);
    const char *bytes = files[file].bytes;
    describe(" line %zu of %s", i + 1, files[file].name);
    size_t kind = chance(6);
    if (kind == 5 && !strcmp(files[file].name, "journal.jsonl") && chance(20)) kind = 3; /* a torn end is waited for, each time a second */
    switch (kind) {
    case 0: describe(" removed"); put_between(file, from, to, "", 0); break;
    case 1: describe(" again as line %zu", j + 1); put_between(file, line_start(file, j), line_start(file, j), bytes + from, to - from); break;
    case 2: describe(" in place of line %zu", j + 1); put_between(file, line_start(file, j), line_start(file, j + 1), bytes + from, to - from); break;
    case 3: describe(" and all behind it cut off"); put_between(file, from, files[file].length, "", 0); break;
    case 4: describe(" and all before it cut off"); put_between(file, 0, from, "", 0); break;
    default: {
        size_t byte = from + chance(to - from);
        describe(" cut off from byte %zu on", byte);
        put_between(file, byte, files[file].length, "", 0);
    }
    }
}

static int64_t first_seq_of(size_t file) {
    const char *seq = strstr(files[file].bytes, "\"seq\":");
    return seq ? strtoll(seq + strlen("\"seq\":"), NULL, 10) : 1;
}

static void damage_files(void) {
    size_t i = chance(n_files), j = chance(n_files);
    switch (chance(8)) {
    case 0: {
        struct buf path = folder_path(files[i].name);
        describe(" %s removed", files[i].name);
        (void)unlink(path.text);
        buf_free(&path);
        break;
    }
    case 1: describe(" %s in place of %s", files[i].name, files[j].name); folder_write(files[j].name, files[i].bytes, files[i].length); break;
    case 2: {
        struct segment_name name = segment_closed_name(first_seq_of(i) + (int64_t)chance(3));
        describe(" %s copied to %s", files[i].name, name.text);
        folder_write(name.text, files[i].bytes, files[i].length);
        break;
    }
    case 3: {
        struct segment_name name = segment_closed_name(first_seq_of(i) + (int64_t)chance(2));
        struct buf from = folder_path("journal.jsonl"), to = folder_path(name.text);
        describe(" journal.jsonl is %s too", name.text);
        (void)unlink(to.text);
        if (link(from.text, to.text)) describe(" (it is not there)");
        buf_free(&from);
        buf_free(&to);
        break;
    }
    case 4:
    case 5: {
        size_t note = chance(n_notes);
        describe(" checkpoint %zu in place", note + 1);
        folder_write("checkpoint", notes[note], strlen(notes[note]));
        break;
    }
    case 6: {
        size_t bit = chance(files[i].length * 8);
        char flipped = (char)(files[i].bytes[bit / 8] ^ (1 << bit % 8));
        describe(" bit %zu of byte %zu of %s flipped", bit % 8, bit / 8, files[i].name);
        put_between(i, bit / 8, bit / 8 + 1, &flipped, 1);
        break;
    }
    default: describe(" %s empty", files[i].name); folder_write(files[i].name, "", 0);
    }
}

static int we_say(const struct note_keys *with, const struct note *older) {
    struct verify_question question = {.folder = folder, .keys = *with, .older = older, .now_us = time_now_us(), .threads = 2};
    struct err err;
    return journal_verify(&question, &answer, &err) ? 74 : (int)answer.verdict;
}

/* One combination, asked for with the keys or without, and with a checkpoint that was kept elsewhere or none. */
static int ask_both(const struct note_keys *with) {
    char kept[300];
    struct note note;
    struct err err;
    size_t which = chance(2 * n_notes);
    (void)snprintf(kept, sizeof kept, "%s/kept", state);
    bool older = which < n_notes;
    if (older) {
        describe(", from checkpoint %zu", which + 1);
        ck_assert_int_eq(text_write_file(kept, notes[which], strlen(notes[which]), 0600, &err), 0);
        ck_assert_int_eq(note_read(notes[which], strlen(notes[which]), &note, &err), 0);
    }
    int ours = we_say(with, older ? &note : NULL), other = python_says(older ? kept : NULL, NULL);
    ck_assert_msg(ours == other, "%s: we say %d (%s%s), the other says %d", described, ours, ours == 74 ? "" : answer.scan.first_fault, ours == 74 ? "" : answer.why, other);
    return ours;
}

static void ask_often(size_t rounds) {
    static const struct note_keys none = {.count = 0};
    size_t said[80] = {0};
    remember();
    size_t segments = n_files - 1; /* the checkpoint is the last one */
    for (size_t round = 0; round < rounds; round++) {
        (void)snprintf(described, sizeof described, "round %zu:", round);
        for (size_t damages = chance(3); damages; damages--) {
            if (chance(2)) damage_files();
            else damage_lines_of(chance(segments));
        }
        bool without = !chance(8);
        if (without) {
            describe(", no key");
            (void)snprintf(vkeys, sizeof vkeys, "/dev/null");
        }
        said[ask_both(without ? &none : &keys)]++;
        *vkeys = '\0';
        restore();
    }
    ck_assert(said[0] && said[1] && said[2] && said[3]);
    both_say("whole again", 0);
    for (size_t i = 0; i < n_notes; i++) free(notes[i]);
    n_notes = 0;
    forget();
}

enum { ROUNDS = 1500 };

START_TEST(both_verifiers_agree_on_any_damage) {
    signed_setup();
    for (int i = 0; i < 5; i++) {
        write_signed(2);
        keep_note();
    }
    ask_often(ROUNDS);
}
END_TEST

START_TEST(both_verifiers_agree_on_any_damage_of_a_pruned_journal) {
    signed_setup();
    for (int i = 0; i < 3; i++) {
        write_signed(4);
        keep_note();
    }
    take_signers();
    struct journal_conf conf = folder_conf();
    conf.segment_bytes = 3000;
    conf.signers = signers;
    struct journal *journal = journal_opened(&conf);
    struct entry intent = an_intent(2, 1);
    ck_assert(put(journal, &intent));
    prune_all(journal);
    ck_assert(put(journal, &intent));
    journal_close(journal);
    keep_note();
    for (int i = 0; i < 3; i++) {
        write_signed(2);
        keep_note();
    }
    ask_often(ROUNDS);
}
END_TEST

UNIT_MAIN("agree by chance", both_verifiers_agree_on_any_damage, both_verifiers_agree_on_any_damage_of_a_pruned_journal)
