/* What a start makes of a signed journal: it must begin with what its file `checkpoint` covers, and only what stands behind
 * that may be torn. */
#include "journal/prune.h"
#include "signed.h"

#include "journal/calls.h"

#include <errno.h>
#include <fcntl.h>

static struct period keep_of_start;

static int try_start(struct err *err) {
    take_signers();
    struct journal_conf conf = folder_conf();
    conf.segment_bytes = 3000;
    conf.signers = signers;
    conf.keep = keep_of_start;
    struct arena *arena = arena_new();
    struct journal *journal;
    const struct open_intent *open;
    size_t n_open;
    int result = journal_open(&conf, arena, &journal, &open, &n_open, err);
    if (!result) journal_close(journal);
    arena_free(arena);
    return result;
}

static void assert_refused(const char *why) {
    struct err err;
    ck_assert_msg(try_start(&err) == -1, "no \"%s\"", why);
    ck_assert_int_eq(err.code, ERR_IO);
    ck_assert_msg(strstr(err.text, why) != NULL, "%s", err.text);
    ck_assert_int_eq(folder_count("torn", NULL), 0);
}

static void assert_started(void) {
    struct err err;
    ck_assert_msg(!try_start(&err), "%s", err.text);
    ck_assert_msg(verify(&keys, NULL) == VERIFY_WELL, "%s%s", answer.scan.first_fault, answer.why);
}

static void remove_file(const char *name) {
    struct buf path = folder_path(name);
    ck_assert_int_eq(unlink(path.text), 0);
    buf_free(&path);
}

START_TEST(a_journal_cut_before_its_checkpoint_is_refused) {
    signed_setup();
    write_signed(3);
    size_t length;
    char *bytes = folder_read("journal.jsonl", &length);
    size_t last = length - 1;
    while (bytes[last - 1] != '\n') last--; /* the checkpoint entry itself: no checkpoint covers it */
    for (size_t end = 0; end < last; end++) {
        folder_write("journal.jsonl", bytes, end);
        assert_refused("its file checkpoint covers");
    }
    folder_write("journal.jsonl", bytes, last);
    assert_started();
    free(bytes);
    signed_remove();
}
END_TEST

START_TEST(a_torn_end_behind_the_checkpoint_is_cut) {
    signed_setup();
    write_signed(3);
    size_t length;
    char *bytes = folder_read("journal.jsonl", &length);
    struct buf torn = {.text = NULL};
    buf_add_n(&torn, bytes, length);
    buf_add(&torn, "{\"v\":1,\"seq\":9");
    folder_write("journal.jsonl", torn.text, torn.length);
    assert_started();
    ck_assert_int_eq(folder_count("torn", NULL), 1);
    /* Zeros in a line that it covers are another thing, be it the last but one. */
    memset(torn.text + length / 2, 0, 40);
    folder_write("journal.jsonl", torn.text, length);
    struct err err;
    ck_assert_int_eq(try_start(&err), -1);
    ck_assert_msg(strstr(err.text, "journal.jsonl line ") != NULL && strstr(err.text, " byte ") != NULL, "%s", err.text);
    buf_free(&torn);
    free(bytes);
    signed_remove();
}
END_TEST

static size_t count_recover_entries(void) {
    size_t length, count = 0;
    char *bytes = folder_read("journal.jsonl", &length);
    for (const char *at = bytes; (at = strstr(at, "\"event\":\"recover\"")); at++) count++;
    free(bytes);
    return count;
}

static struct buf state_path(const char *name) {
    struct buf path = {.text = NULL};
    buf_printf(&path, "%s/%s", state, name);
    return path;
}

/* The key of another log: it is refused before anything is cut. */
START_TEST(a_torn_end_stays_where_the_key_is_wrong) {
    signed_setup();
    write_signed(1);
    size_t length, note_length;
    char *bytes = folder_read("journal.jsonl", &length), *note = folder_read("checkpoint", &note_length);
    struct buf torn = {.text = NULL}, own = state_path("journal.key"), away = state_path("away");
    buf_add_n(&torn, bytes, length);
    buf_add(&torn, "{\"v\":1,\"seq\":9");
    folder_write("journal.jsonl", torn.text, torn.length);
    ck_assert_int_eq(rename(own.text, away.text), 0);
    struct err err;
    ck_assert_int_eq(try_start(&err), -1);
    ck_assert_int_eq(err.code, ERR_CONFIG);
    ck_assert_int_eq(folder_count("torn", NULL), 0);
    size_t after_length;
    char *after = folder_read("journal.jsonl", &after_length);
    ck_assert(after_length == torn.length && !memcmp(after, torn.text, after_length));
    ck_assert_int_eq(rename(away.text, own.text), 0);
    assert_started();
    ck_assert_uint_eq(count_recover_entries(), 1);
    free(after);
    free(note);
    free(bytes);
    buf_free(&torn);
    buf_free(&own);
    buf_free(&away);
    signed_remove();
}
END_TEST

static void keep_aside(int64_t seq, const char *text) {
    struct sha256 sha256;
    unsigned char digest[SHA256_BYTES];
    char hex[65], name[64];
    sha256_start(&sha256);
    sha256_add(&sha256, text, strlen(text));
    sha256_end(&sha256, digest);
    text_hex(hex, digest);
    (void)snprintf(name, sizeof name, "torn-%" PRId64 "-%.8s", seq, hex);
    folder_write(name, text, strlen(text));
}

/* Crashes came between cuts and their entries; and the end is torn once more. */
START_TEST(what_was_cut_before_a_crash_is_entered) {
    signed_setup();
    write_signed(1);
    ck_assert_int_eq(verify(&keys, NULL), VERIFY_WELL);
    int64_t last_seq = answer.scan.last.seq;
    size_t length;
    char *bytes = folder_read("journal.jsonl", &length);
    keep_aside(last_seq + 1, "{\"v\":1,\"seq\":9");
    keep_aside(last_seq + 1, "{\"v\":1,\"se");
    keep_aside(last_seq, "{\"v\":1");       /* of an entry that is there */
    folder_write("torn-4-0badc0de", "x", 1); /* not what its name says */
    struct buf torn = {.text = NULL};
    buf_add_n(&torn, bytes, length);
    buf_add(&torn, "{\"v");
    folder_write("journal.jsonl", torn.text, torn.length);
    assert_started();
    ck_assert_uint_eq(count_recover_entries(), 3);
    assert_started(); /* and they are entered once */
    ck_assert_uint_eq(count_recover_entries(), 3);
    buf_free(&torn);
    free(bytes);
    signed_remove();
}
END_TEST

/* What a start writes once more before it writes anything new. */
static struct journal_calls real;
static struct {
    int64_t from, to; /* -1: nothing */
    bool synced, new_before_synced;
    int pwrite_error, sync_error;
} again;
static char *expected_bytes;

static ssize_t noted_pwrite(int fd, const void *bytes, size_t length, off_t offset) {
    ck_assert(!memcmp(expected_bytes + offset, bytes, length));
    if (again.from < 0) again.from = again.to = offset;
    ck_assert_int_eq(again.to, offset);
    errno = again.pwrite_error;
    if (errno) return -1;
    if (length > 100) length = 100;
    again.to += (int64_t)length;
    return real.pwrite(fd, bytes, length, offset);
}

static int noted_fdatasync(int fd) {
    errno = again.sync_error;
    if (errno) return -1;
    again.synced = true;
    return real.fdatasync(fd);
}

static ssize_t noted_write(int fd, const void *bytes, size_t length) {
    again.new_before_synced |= !again.synced;
    return real.write(fd, bytes, length);
}

static void note_writes(int pwrite_error, int sync_error) {
    if (!real.open) real = journal_calls;
    again.from = again.to = -1;
    again.synced = again.new_before_synced = false;
    again.pwrite_error = pwrite_error;
    again.sync_error = sync_error;
    journal_calls.pwrite = noted_pwrite;
    journal_calls.fdatasync = noted_fdatasync;
    journal_calls.write = noted_write;
}

/* A sync that failed may have been the last thing before the process died: the system holds bytes in memory, and they read
 * well, that are not on the disk and that no later sync would put there. */
START_TEST(what_no_checkpoint_covers_is_put_on_disk_once_more) {
    signed_setup();
    write_signed(1);
    note_writes(0, 0);
    assert_started();
    ck_assert_int_eq(again.from, -1); /* it is signed to its end */
    size_t length, note_length;
    char *note = folder_read("checkpoint", &note_length);
    write_signed(2);
    folder_write("checkpoint", note, note_length); /* as if what came later was not signed */
    expected_bytes = folder_read("journal.jsonl", &length);
    char entry[64];
    struct note covered;
    struct err err;
    ck_assert_int_eq(note_read(note, note_length, &covered, &err), 0);
    (void)snprintf(entry, sizeof entry, "\"seq\":%" PRId64 ",", covered.size + 1);
    const char *checkpoint = strstr(expected_bytes, entry);
    int64_t behind = checkpoint ? strchr(checkpoint, '\n') + 1 - expected_bytes : 0;
    ck_assert_int_lt(behind, (int64_t)length);
    for (int failure = 0; failure < 2; failure++) {
        note_writes(failure ? 0 : EIO, failure ? EIO : 0);
        ck_assert_int_eq(try_start(&err), -1);
        ck_assert_int_eq(err.code, ERR_IO);
        ck_assert_msg(strstr(err.text, "cannot put the end of journal.jsonl on disk once more") != NULL, "%s", err.text);
        size_t after_length;
        char *after = folder_read("journal.jsonl", &after_length);
        ck_assert(after_length == length && !memcmp(after, expected_bytes, length));
        free(after);
    }
    note_writes(0, 0);
    assert_started();
    ck_assert_int_eq(again.from, behind);
    ck_assert_int_eq(again.to, (int64_t)length);
    ck_assert(again.synced && !again.new_before_synced);
    journal_calls = real;
    free(expected_bytes);
    free(note);
    signed_remove();
}
END_TEST

START_TEST(a_damaged_or_missing_checkpoint_is_refused) {
    signed_setup();
    write_signed(2);
    write_signed(2);
    size_t length;
    char *note = folder_read("checkpoint", &length);
    folder_write("checkpoint", note, length / 2);
    assert_refused("is damaged");
    folder_write("checkpoint", "", 0);
    assert_refused("is damaged");
    char *signature = note + strlen(note) - 10, signed_as = *signature;
    *signature = signed_as == 'A' ? 'B' : 'A';
    folder_write("checkpoint", note, length);
    assert_refused("signature of the file checkpoint is wrong");
    *signature = signed_as;
    char *root = strchr(strchr(note, '\n') + 1, '\n') + 1;
    char was = root[3];
    root[3] = was == 'A' ? 'B' : 'A';
    folder_write("checkpoint", note, length);
    assert_refused("signature of the file checkpoint is wrong");
    root[3] = was;
    remove_file("checkpoint");
    assert_refused("the file checkpoint is missing");
    folder_write("checkpoint", note, length);
    assert_started();
    free(note);
    signed_remove();
}
END_TEST

/* The journal of another log, or this one written anew from its first entry, does not go with the checkpoint. */
START_TEST(another_journal_is_refused) {
    signed_setup();
    write_signed(1);
    size_t length, note_length;
    char *bytes = folder_read("journal.jsonl", &length), *note = folder_read("checkpoint", &note_length);
    remove_file("journal.jsonl");
    remove_file("checkpoint");
    (void)poll(NULL, 0, 2); /* other instants */
    write_signed(1);
    folder_write("checkpoint", note, note_length);
    assert_refused("does not begin with what its file checkpoint covers");
    folder_write("journal.jsonl", bytes, length);
    assert_started();
    free(bytes);
    free(note);
    signed_remove();
}
END_TEST

/* The whole folder as it was at an earlier checkpoint: only a copy of a later one, kept elsewhere, tells. */
START_TEST(an_older_state_of_the_folder_needs_an_outside_copy) {
    enum { STATES = 4 };
    char *journals[STATES], *notes[STATES];
    size_t lengths[STATES], note_lengths[STATES];
    signed_setup();
    for (int i = 0; i < STATES; i++) {
        take_signers();
        struct journal_conf conf = folder_conf();
        conf.signers = signers;
        struct journal *journal = journal_opened(&conf);
        struct entry intent = an_intent(1, i + 1);
        ck_assert(put(journal, &intent));
        journal_close(journal);
        journals[i] = folder_read("journal.jsonl", &lengths[i]);
        notes[i] = folder_read("checkpoint", &note_lengths[i]);
    }
    struct err err;
    for (int i = 0; i < STATES; i++) {
        folder_write("journal.jsonl", journals[i], lengths[i]);
        folder_write("checkpoint", notes[i], note_lengths[i]);
        for (int older = 0; older < STATES; older++) {
            struct note kept;
            ck_assert_msg(!note_read(notes[older], note_lengths[older], &kept, &err), "%s", err.text);
            enum verify_verdict expected = older <= i ? VERIFY_WELL : VERIFY_OLD;
            ck_assert_msg(verify(&keys, &kept) == expected, "state %d, checkpoint %d: %s%s", i, older, answer.scan.first_fault, answer.why);
        }
        ck_assert_int_eq(verify(&keys, NULL), VERIFY_WELL);
        /* The journal alone, without the checkpoint that belonged to it: found out by the folder itself. */
        folder_write("checkpoint", notes[STATES - 1], note_lengths[STATES - 1]);
        if (i < STATES - 1) assert_refused("its file checkpoint covers");
    }
    for (int i = 0; i < STATES; i++) {
        free(journals[i]);
        free(notes[i]);
    }
    signed_remove();
}
END_TEST

/* Who may write to the folder cuts the journal off at any line and signs what is left with a key of his own. */
START_TEST(a_checkpoint_of_a_stranger_is_refused) {
    signed_setup();
    write_signed(3);
    size_t length;
    char *bytes = folder_read("journal.jsonl", &length), *second = strchr(bytes, '\n') + 1;
    folder_write("journal.jsonl", bytes, (size_t)(strchr(second, '\n') + 1 - bytes));
    (void)verify(&keys, NULL);
    struct merkle_hash root = merkle_root(&answer.scan.tree);
    checkpoint_by_a_stranger(answer.scan.last.seq, &root);
    assert_refused("none of the keys in journal.pub signed the file checkpoint");
    free(bytes);
    signed_remove();
}
END_TEST

/* One key after another, with no time in between when both sign: journal.pub knows the old one. */
START_TEST(a_key_that_was_replaced_is_still_known) {
    signed_setup();
    write_signed(2);
    struct buf key = {.text = NULL}, public = {.text = NULL};
    buf_printf(&key, "%s/journal.key", state);
    buf_printf(&public, "%s/journal.pub", state);
    char *text;
    size_t length;
    struct note_key fresh;
    struct err err;
    ck_assert_int_eq(unlink(key.text), 0);
    ck_assert_int_eq(signer_generate(keys.items[0].name, &text, &fresh, &err), 0);
    ck_assert_int_eq(text_write_file(key.text, text, strlen(text), 0400, &err), 0);
    free(text);
    write_signed(2);
    ck_assert_int_eq(verify(&keys, NULL), VERIFY_WELL);
    /* The state folder is lost, and with it all keys: the name alone is not enough, a copy of the public key is. */
    char *copy;
    ck_assert_int_eq(text_read_file(public.text, NOTE_MOST_BYTES, &copy, &length, &err), 0);
    ck_assert_int_eq(unlink(public.text), 0);
    ck_assert_int_eq(signer_generate(keys.items[0].name, &text, &fresh, &err), 0);
    ck_assert_int_eq(text_write_file(key.text, text, strlen(text), 0400, &err), 0);
    free(text);
    assert_refused("none of the keys in journal.pub");
    ck_assert_int_eq(text_write_file(public.text, copy, length, 0644, &err), 0);
    struct err refused;
    ck_assert_msg(!try_start(&refused), "%s", refused.text);
    free(copy);
    buf_free(&key);
    buf_free(&public);
    signed_remove();
}
END_TEST

/* A crash between the first checkpoint's entry and its file: no file is there, and nobody took one away. */
START_TEST(the_first_checkpoint_may_be_missing) {
    signed_setup();
    write_signed(1);
    ck_assert_int_eq(verify(&keys, NULL), VERIFY_WELL);
    ck_assert_int_eq(answer.scan.checkpoints, 1); /* at once behind the first group, and nothing came after it */
    remove_file("checkpoint");
    assert_started();
    signed_remove();
}
END_TEST

/* Written anew by somebody who has no key, with all checkpoints left out: not to be taken for one that was never signed yet. */
START_TEST(a_journal_stripped_of_its_checkpoints_is_refused) {
    signed_setup();
    struct journal_conf conf = folder_conf();
    struct journal *journal = journal_opened(&conf); /* without a signer */
    struct entry intent = an_intent(1, 1), outcome = an_outcome(1, 1, "committed");
    ck_assert(put(journal, &intent));
    ck_assert(put(journal, &outcome));
    journal_close(journal);
    assert_refused("the file checkpoint is missing");
    signed_remove();
}
END_TEST

/* As the daemon would write it at that time, of all closed segments; without its key, and so without a checkpoint. */
static void append_prune_entry(int64_t time_us) {
    struct err err;
    struct scan_result result;
    struct prune *prune = prune_find(folder, (struct period){1, PERIOD_SECONDS}, time_us + TIME_DAY_US, 0, &err);
    ck_assert_msg(prune && prune_entry(prune), "%s", err.text);
    ck_assert_int_eq(journal_scan(folder, &(struct scan_visitor){.wait = false}, &result, &err), 0);
    ck_assert_int_eq(result.faults, 0);
    size_t length;
    char *bytes = folder_read("journal.jsonl", &length);
    struct buf text = {.text = NULL};
    buf_add_n(&text, bytes, length);
    struct draft *draft = entry_draft(prune_entry(prune));
    (void)entry_number(&text, draft, time_us, result.last.seq + 1, result.last.hash.text);
    folder_write("journal.jsonl", text.text, text.length);
    entry_draft_free(draft);
    buf_free(&text);
    free(bytes);
    prune_free(&prune);
}

/* Who can write to the folder, but has no key, must not get us to remove young entries and sign for it. */
START_TEST(a_prune_entry_of_somebody_else_is_refused) {
    signed_setup();
    write_signed(20);
    int before = folder_count("journal-", NULL);
    ck_assert_int_ge(before, 4);
    append_prune_entry(time_now_us());
    for (keep_of_start = (struct period){0}; keep_of_start.count < 8; keep_of_start.count += 7, keep_of_start.unit = PERIOD_YEARS) {
        assert_refused("journal.keep still keeps");
        ck_assert_int_eq(folder_count("journal-", NULL), before);
    }
    signed_remove();
}
END_TEST

/* A crash between our own prune entry and its checkpoint: whoever prunes next says it again, and signs. */
START_TEST(a_prune_entry_that_is_due_is_no_fault) {
    signed_setup();
    write_signed(20);
    int before = folder_count("journal-", NULL);
    append_prune_entry(time_now_us() + TIME_DAY_US);
    keep_of_start = (struct period){1, PERIOD_SECONDS};
    assert_started();
    ck_assert_int_ge(folder_count("journal-", NULL), before);
    take_signers();
    struct journal_conf conf = folder_conf();
    conf.signers = signers;
    conf.keep = keep_of_start;
    struct journal *journal = journal_opened(&conf);
    prune_all(journal);
    journal_close(journal);
    ck_assert_int_lt(folder_count("journal-", NULL), before);
    ck_assert_msg(verify(&keys, NULL) == VERIFY_WELL, "%s%s", answer.scan.first_fault, answer.why);
    ck_assert_int_gt(answer.scan.pruned_by, 0);
    signed_remove();
}
END_TEST

UNIT_MAIN("recover_signed", a_journal_stripped_of_its_checkpoints_is_refused, a_prune_entry_of_somebody_else_is_refused, a_prune_entry_that_is_due_is_no_fault,
          a_journal_cut_before_its_checkpoint_is_refused, a_torn_end_behind_the_checkpoint_is_cut,
          a_torn_end_stays_where_the_key_is_wrong, what_was_cut_before_a_crash_is_entered, what_no_checkpoint_covers_is_put_on_disk_once_more,
          a_damaged_or_missing_checkpoint_is_refused, a_checkpoint_of_a_stranger_is_refused, a_key_that_was_replaced_is_still_known, another_journal_is_refused,
          an_older_state_of_the_folder_needs_an_outside_copy, the_first_checkpoint_may_be_missing)
