/* A table of damages: our verifier and the one in plain Python, which shares no code with it, must say the same of each. */
#include "agree.h"

#include "journal/prune.h"
#include "journal/segment.h"

/* It cannot be read, for this reason. */
static void neither_can_read(const char *what, const char *expected) {
    struct verify_question question = {.folder = folder, .keys = keys, .now_us = time_now_us(), .threads = 3};
    struct err err;
    ck_assert_msg(journal_verify(&question, &answer, &err) == -1 && strstr(err.text, expected), "%s", what);
    ck_assert_msg(python_says(NULL, NULL) == 74, "%s", what);
}

static void damage_lines(size_t file) {
    const char *bytes = files[file].bytes;
    size_t first = strcspn(bytes, "\n") + 1, second = first + strcspn(bytes + first, "\n") + 1, third = second + strcspn(bytes + second, "\n") + 1;
    static const char *const inserted[] = {"\n", "{}\n", " ", "\r", "x", "{\"v\":1}\n"};
    for (size_t i = 0; i < sizeof inserted / sizeof *inserted; i++) {
        put_between(file, first, first, inserted[i], strlen(inserted[i]));
        both_say("something inserted", 1);
        put_between(file, files[file].length, files[file].length, inserted[i], strlen(inserted[i]));
        both_say("something at the end", 1);
    }
    put_between(file, 0, first, "", 0);
    both_say("the first line removed", 1);
    put_between(file, first, second, "", 0);
    both_say("the second line removed", 1);
    put_between(file, second, second, bytes + first, second - first);
    both_say("the second line repeated", 1);
    put_between(file, second, third, bytes + first, second - first);
    both_say("the second line in place of the third", 1);
    put_between(file, first - 1, first, "", 0);
    both_say("two lines joined", 1);
    put_between(file, second - 1, second, "\r\n", 2);
    both_say("CR LF", 1);
    for (size_t at = 3; at < files[file].length; at += files[file].length / 7) {
        char flipped = (char)(bytes[at] ^ 1);
        put_between(file, at, at + 1, &flipped, 1);
        both_say("a bit flipped", 1);
    }
    restore();
}

/* A copy of the present checkpoint, as `name` in the state folder. */
static struct buf keep_checkpoint(const char *name) {
    struct buf path = {.text = NULL};
    struct err err;
    size_t length;
    char *text = folder_read("checkpoint", &length);
    buf_printf(&path, "%s/%s", state, name);
    ck_assert_msg(!text_write_file(path.text, text, length, 0600, &err), "%s", err.text);
    free(text);
    return path;
}

/* How many entries the present checkpoint covers. */
static int64_t answer_size(void) {
    ck_assert_int_eq(verify(&keys, NULL), VERIFY_WELL);
    return answer.scan.signed_size;
}

static void use_keys(const struct note_keys *of, const char *name) {
    struct buf text = {.text = NULL};
    struct err err;
    for (size_t i = 0; i < of->count; i++) buf_printf(&text, "%s\n", note_vkey(&of->items[i]).text);
    (void)snprintf(vkeys, sizeof vkeys, "%s/%s", state, name);
    ck_assert_msg(!text_write_file(vkeys, buf_text(&text), text.length, 0600, &err), "%s", err.text);
    buf_free(&text);
    keys = *of;
}

START_TEST(both_verifiers_know_every_event) {
    signed_setup();
    take_signers();
    struct journal_conf conf = folder_conf();
    conf.signers = signers;
    struct journal *journal = journal_opened(&conf);
    for (enum entry_event event = 0; event < ENTRY_EVENTS; event++) {
        struct entry entry = {.event = event};
        if (event == ENTRY_SEGMENT || event == ENTRY_CHECKPOINT) continue; /* the writer's own */
        ck_assert_msg(put(journal, &entry), "%s", entry_event_name(event));
    }
    journal_close(journal);
    both_say("every event", 0);
    signed_remove();
}
END_TEST

/* Pruned logs, older checkpoints from before and after what was removed, and one from another log. */
START_TEST(both_verifiers_agree_on_checkpoints_of_elsewhere) {
    signed_setup();
    write_signed(10);
    struct buf first = keep_checkpoint("first");
    write_signed(10);
    struct buf second = keep_checkpoint("second");
    both_say_of("goes on from the first", first.text, 0);
    both_say_of("is the second", second.text, 0);
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
    both_say("pruned", 0);
    ck_assert_int_gt(answer.scan.first_seq, 1);
    both_say_of("of what was removed", first.text, 3);
    struct buf third = keep_checkpoint("third");
    both_say_of("of what is there", third.text, 0);
    /* The same size and log, another root: written anew. */
    char *text;
    size_t length;
    struct err err;
    ck_assert_int_eq(text_read_file(third.text, NOTE_MOST_BYTES, &text, &length, &err), 0);
    char *root = strchr(strchr(text, '\n') + 1, '\n') + 1;
    *root = *root == 'A' ? 'B' : 'A';
    ck_assert_int_eq(text_write_file(third.text, text, length, 0600, &err), 0);
    both_say_of("another root", third.text, 1);
    free(text);
    /* Another log altogether. */
    folder_remove();
    ck_assert_int_eq(mkdir(folder, 0700), 0);
    struct buf key = {.text = NULL};
    buf_printf(&key, "%s/journal.key", state);
    ck_assert_int_eq(unlink(key.text), 0);
    write_signed(30);
    both_say("another log", 0);
    both_say_of("of the log before", second.text, 1);
    buf_free(&key);
    buf_free(&first);
    buf_free(&second);
    buf_free(&third);
    signed_remove();
}
END_TEST

static void put_in_place(const char *kept) {
    char *text;
    size_t length;
    struct err err;
    ck_assert_int_eq(text_read_file(kept, NOTE_MOST_BYTES, &text, &length, &err), 0);
    folder_write("checkpoint", text, length);
    free(text);
}

/* Nothing is removed before a checkpoint covers the prune entry: one from before that was put in place by somebody else. */
START_TEST(both_verifiers_agree_on_older_checkpoints_in_place) {
    signed_setup();
    write_signed(10);
    struct buf first = keep_checkpoint("first");
    int64_t first_size = answer_size();
    write_signed(10);
    struct buf second = keep_checkpoint("second");
    int64_t second_size = answer_size();
    put_in_place(first.text);
    both_say("older, and all is there", 0);
    put_in_place(second.text);
    take_signers();
    struct journal_conf conf = folder_conf();
    conf.signers = signers;
    struct journal *journal = journal_opened(&conf);
    struct entry intent = an_intent(2, 1);
    ck_assert(put(journal, &intent));
    prune_all(journal);
    journal_close(journal);
    both_say("pruned", 0);
    int64_t last_removed = answer.scan.first_seq - 1, pruned_by = answer.scan.pruned_by;
    ck_assert_int_lt(first_size, last_removed);
    ck_assert_int_le(last_removed, second_size);
    ck_assert_int_lt(second_size, pruned_by);
    struct buf third = keep_checkpoint("third");
    put_in_place(first.text);
    both_say("of what was removed", 1);
    put_in_place(second.text);
    both_say("of what is there, but from before it was pruned", 1);
    put_in_place(third.text);
    both_say("the right one", 0);
    buf_free(&first);
    buf_free(&second);
    buf_free(&third);
    signed_remove();
}
END_TEST

/* Who may write to the folder, but has no key, takes the first segment away and enters that it was pruned. */
START_TEST(a_pruning_that_nobody_signed_is_none) {
    signed_setup();
    write_signed(14);
    struct err err;
    struct prune *prune __attribute__((cleanup(prune_free))) = prune_find(folder, (struct period){1, PERIOD_SECONDS}, time_now_us() + TIME_DAY_US, 0, &err);
    ck_assert(prune && prune_entry(prune));
    struct entry entry = *prune_entry(prune);
    entry.n_removed = 1;
    entry.time_us = time_now_us();
    ck_assert_int_eq(verify(&keys, NULL), VERIFY_WELL);
    struct buf open = {.text = NULL};
    size_t length;
    char *text = folder_read("journal.jsonl", &length), hash[ENTRY_HASH_HEX + 1];
    memcpy(hash, answer.scan.last.hash.text, sizeof hash);
    buf_add_n(&open, text, length);
    ck_assert_uint_eq(entry_write(&open, &entry, answer.scan.last.seq + 1, hash), 1);
    folder_write("journal.jsonl", open.text, open.length);
    both_say("declared, but there", 2);
    struct buf path = folder_path(entry.removed[0].file);
    ck_assert_int_eq(unlink(path.text), 0);
    both_say("declared by nobody who may, and gone", 1);
    take_signers();
    struct journal_conf conf = folder_conf();
    conf.signers = signers;
    struct arena *arena = arena_new();
    struct journal *journal;
    const struct open_intent *intents;
    size_t n_intents;
    ck_assert_int_eq(journal_open(&conf, arena, &journal, &intents, &n_intents, &err), -1); /* it would sign it else */
    ck_assert_msg(err.code == ERR_IO && strstr(err.text, "prune entry"), "%s", err.text);
    arena_free(arena);
    free(text);
    buf_free(&path);
    buf_free(&open);
    signed_remove();
}
END_TEST

/* Of a journal that nobody signs: what is missing before the first entry is accounted for by an entry with its root alone. */
START_TEST(a_pruning_without_the_root_is_none) {
    signed_setup();
    take_signers();
    struct journal_conf conf = folder_conf();
    conf.segment_bytes = 3000;
    struct journal *journal = journal_opened(&conf);
    for (int i = 0; i < 14; i++) {
        struct entry intent = an_intent(1, i + 1);
        ck_assert(put(journal, &intent));
    }
    journal_close(journal);
    struct err err;
    struct prune *prune __attribute__((cleanup(prune_free))) = prune_find(folder, (struct period){1, PERIOD_SECONDS}, time_now_us() + TIME_DAY_US, 0, &err);
    ck_assert(prune && prune_entry(prune) && prune_entry(prune)->n_removed > 1);
    const struct entry_removed right = prune_entry(prune)->removed[0], next = prune_entry(prune)->removed[1];
    struct entry_removed wrong = right, behind = next;
    wrong.root = next.root;
    behind.last_seq = INT64_MAX;
    const struct { const char *what; struct entry_removed removed[2]; int expected; } cases[] = {
        {"what it is", {right, next}, 2}, {"what comes next", {behind, next}, 1}, {"another root", {wrong, next}, 1}, {"another root, and the right one", {wrong, right}, 2}};
    both_say("whole", 2);
    struct buf path = folder_path(right.file);
    ck_assert_int_eq(unlink(path.text), 0);
    size_t length;
    char *text = folder_read("journal.jsonl", &length), last_hash[ENTRY_HASH_HEX + 1];
    int64_t last_seq = answer.scan.last.seq;
    memcpy(last_hash, answer.scan.last.hash.text, sizeof last_hash);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf open = {.text = NULL};
        char hash[ENTRY_HASH_HEX + 1];
        memcpy(hash, last_hash, sizeof hash);
        buf_add_n(&open, text, length);
        const struct entry entry = {.event = ENTRY_PRUNE, .time_us = time_now_us(), .removed = cases[i].removed, .n_removed = 2};
        (void)entry_write(&open, &entry, last_seq + 1, hash);
        folder_write("journal.jsonl", open.text, open.length);
        both_say(cases[i].what, cases[i].expected);
        buf_free(&open);
    }
    free(text);
    buf_free(&path);
    signers_free(&signers);
    signed_remove();
}
END_TEST

/* Exactly at the edges where the key changes: who has the old, the new or both. */
START_TEST(both_verifiers_agree_across_a_change_of_keys) {
    signed_setup();
    write_signed(6);
    struct note_keys old = keys, both, fresh;
    struct buf before = keep_checkpoint("before"), from = {.text = NULL}, to = {.text = NULL};
    buf_printf(&from, "%s/journal.key", state);
    buf_printf(&to, "%s/journal.key.old", state);
    ck_assert_int_eq(rename(from.text, to.text), 0);
    char *text;
    struct note_key public;
    struct err err;
    ck_assert_int_eq(signer_generate(old.items[0].name, &text, &public, &err), 0);
    ck_assert_int_eq(text_write_file(from.text, text, strlen(text), 0400, &err), 0);
    free(text);
    write_signed(1);
    both = keys;
    fresh = (struct note_keys){.count = 1, .items = {keys.items[0]}};
    ck_assert_uint_eq(both.count, 2);
    const struct note_keys *const all[] = {&old, &fresh, &both};
    static const char *const names[] = {"old", "fresh", "both"};
    for (size_t i = 0; i < 3; i++) {
        use_keys(all[i], names[i]);
        both_say("while both sign", 0);
        both_say_of("goes on from the old key's checkpoint", before.text, 0);
    }
    ck_assert_int_eq(unlink(to.text), 0);
    write_signed(1);
    for (size_t i = 0; i < 3; i++) {
        use_keys(all[i], names[i]);
        both_say("the new one alone", i == 0 ? 2 : 0);
        both_say_of("goes on from the old key's checkpoint", before.text, i == 0 ? 2 : 0);
    }
    use_keys(&(struct note_keys){.count = 0}, "none");
    both_say("no key", 2);
    buf_free(&before);
    buf_free(&from);
    buf_free(&to);
    *vkeys = '\0';
    signed_remove();
}
END_TEST

/* Whose the file `checkpoint` is: a stranger's is a fault wherever the known keys signed all that it covers. */
START_TEST(a_checkpoint_of_a_stranger_is_none) {
    signed_setup();
    write_signed(4);
    both_say("whole", 0);
    const struct merkle_hash root = merkle_root(&answer.scan.tree), signed_root = answer.scan.signed_root;
    int64_t size = answer.scan.last.seq;
    ck_assert_int_eq(answer.scan.signed_size, size - 1);
    checkpoint_by_a_stranger(size, &root);
    both_say("of the whole journal", 1);
    checkpoint_by_a_stranger(size - 1, &signed_root);
    both_say("of all but the last checkpoint", 1);
    checkpoint_by_a_stranger(size + 1, &root);
    both_say("of more than there is", 3);
    signed_remove();
}
END_TEST

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
        put_between(note, at, at + 1, &flipped, 1);
        int ours = (int)verify(&keys, NULL);
        ck_assert(ours == 1 || ours == 3);
        both_say("a bit of the checkpoint flipped", ours);
    }
    restore();
    both_say("whole again", 0);
    forget();
}
END_TEST

/* Files that were put in beside the segments: "cat journal*.jsonl" would read them. */
START_TEST(both_verifiers_agree_on_strays) {
    signed_setup();
    write_signed(14);
    remember();
    size_t open = file_named("journal.jsonl"), closed = file_named("journal-000000000001.jsonl");
    static const char *const strays[] = {"journal-1.jsonl", "journal-copy.jsonl", "journal-0000000000001.jsonl", "journal-000000000007x.jsonl", "journal-000000000000.jsonl",
                                         "journal-99999999999999999999.jsonl", "journal-00000000000\xd9\xa1.jsonl", "journal-.jsonl", "journal.copy.jsonl", "journal.jsonl.jsonl",
                                         "journals.jsonl"};
    take_signers();
    struct journal_conf conf = folder_conf();
    conf.signers = signers;
    for (size_t i = 0; i < sizeof strays / sizeof *strays; i++) {
        folder_write(strays[i], files[i % 2 ? open : closed].bytes, files[i % 2 ? open : closed].length);
        both_say(strays[i], 1);
        ck_assert_msg(strstr(answer.scan.first_fault, "no segment of this journal"), "%s: %s", strays[i], answer.scan.first_fault);
        struct arena *arena = arena_new();
        struct journal *journal;
        const struct open_intent *intents;
        size_t n_intents;
        struct err err;
        ck_assert_int_eq(journal_open(&conf, arena, &journal, &intents, &n_intents, &err), -1); /* as verification would find fault with it */
        ck_assert_msg(err.code == ERR_IO && strstr(err.text, strays[i]) && strstr(err.text, "move it elsewhere"), "%s", err.text);
        arena_free(arena);
        take_signers();
        conf.signers = signers;
        struct buf path = folder_path(strays[i]);
        ck_assert_int_eq(unlink(path.text), 0);
        buf_free(&path);
    }
    static const char *const others[] = {"journal.jsonl~", "journal-000000000001.jsonl.bak", "old-journal-000000000001.jsonl", "journal.json", "notes.jsonl"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        folder_write(others[i], "x", 1);
        both_say(others[i], 0);
    }
    /* While it is being closed the open segment has a second name, the newest; whatever seems newer was put in. */
    struct segment_name second = segment_closed_name(answer.scan.open_first_seq), newer = segment_closed_name(answer.scan.open_first_seq + 1);
    struct buf path = folder_path("journal.jsonl"), link_to = folder_path(second.text);
    ck_assert_int_eq(link(path.text, link_to.text), 0);
    both_say("being closed", 0);
    folder_write(newer.text, files[open].bytes, files[open].length);
    both_say("a copy behind its second name", 1);
    buf_free(&link_to);
    link_to = folder_path(newer.text);
    ck_assert_int_eq(unlink(link_to.text), 0);
    buf_free(&path);
    buf_free(&link_to);
    signers_free(&signers);
    write_signed(1);
    both_say("gone on", 0);
    forget();
}
END_TEST

/* Ours is asked of each bit, the other, which takes longer, of every seventh. */
static void flip_each_bit(size_t file) {
    enum { STEP = 7 };
    struct buf path = folder_path(files[file].name);
    int fd = open(path.text, O_WRONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    for (size_t bit = 0; bit < files[file].length * 8; bit++) {
        const char *byte = files[file].bytes + bit / 8, flipped = (char)(*byte ^ (1 << bit % 8));
        ck_assert_int_eq(pwrite(fd, &flipped, 1, (off_t)(bit / 8)), 1);
        if (bit % STEP == 0) both_say("a bit flipped", 1);
        else ck_assert_msg(verify(&keys, NULL) == VERIFY_ALTERED, "bit %zu of byte %zu of %s", bit % 8, bit / 8, files[file].name);
        ck_assert_int_eq(pwrite(fd, byte, 1, (off_t)(bit / 8)), 1);
    }
    ck_assert_int_eq(close(fd), 0);
    buf_free(&path);
}

START_TEST(both_verifiers_find_each_bit_that_is_flipped) {
    signed_setup();
    write_signed(1);
    remember();
    both_say("whole", 0);
    ck_assert_int_ge(answer.scan.checkpoints, 1);
    for (size_t i = 0; i < n_files; i++) flip_each_bit(i);
    both_say("whole again", 0);
    forget();
}
END_TEST

/* What is none of the journal's files is not waited for, and a link is not followed. */
START_TEST(neither_verifier_reads_what_is_no_file) {
    signed_setup();
    write_signed(14);
    remember();
    for (size_t i = 0; i < n_files; i++) {
        struct buf path = folder_path(files[i].name), beside = {.text = NULL};
        bool is_segment = strcmp(files[i].name, "checkpoint") != 0;
        remove_file(i);
        ck_assert_int_eq(mkfifo(path.text, 0600), 0);
        neither_can_read(files[i].name, "is not a regular file");
        remove_file(i);
        ck_assert_int_eq(mkdir(path.text, 0700), 0);
        neither_can_read(files[i].name, "is not a regular file");
        ck_assert_int_eq(rmdir(path.text), 0);
        buf_printf(&beside, "%s/beside", state);
        struct err err;
        ck_assert_int_eq(text_write_file(beside.text, files[i].bytes, files[i].length, 0600, &err), 0);
        ck_assert_int_eq(symlink(beside.text, path.text), 0);
        if (is_segment) neither_can_read(files[i].name, "is a symbolic link");
        else both_say("a link to the checkpoint", 0);
        restore();
        buf_free(&beside);
        buf_free(&path);
    }
    struct buf path = folder_path("journal-000000000002.jsonl");
    ck_assert_int_eq(symlink("journal.jsonl", path.text), 0);
    neither_can_read("a link to the open segment", "journal-000000000002.jsonl is a symbolic link");
    buf_free(&path);
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
        put_between(open, end, files[open].length, "", 0);
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
    ck_assert_int_eq(python_says(newer.text, NULL), 3);
    struct note note;
    ck_assert_int_eq(note_read(text, length, &note, &err), 0);
    ck_assert_int_eq(verify(&keys, &note), VERIFY_OLD);
    free(text);
    buf_free(&newer);
    forget();
}
END_TEST

UNIT_MAIN("agree", both_verifiers_know_every_event, both_verifiers_agree_on_checkpoints_of_elsewhere, both_verifiers_agree_on_older_checkpoints_in_place,
          both_verifiers_agree_across_a_change_of_keys, a_pruning_that_nobody_signed_is_none, a_pruning_without_the_root_is_none,
          a_checkpoint_of_a_stranger_is_none, both_verifiers_agree_on_lines, both_verifiers_agree_on_files, both_verifiers_agree_on_strays, both_verifiers_find_each_bit_that_is_flipped,
          neither_verifier_reads_what_is_no_file, both_verifiers_agree_on_truncation)
