/* Checkpoints and keys: the note format, who may sign, what verification says of a signed journal. */
#include "signed.h"

#include <pthread.h>
#include <stdatomic.h>

/* The vkey and note of golang.org/x/mod/sumdb/note's own tests. */
static const char go_vkey[] = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
static const char go_skey[] = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";

START_TEST(keys_are_those_of_go) {
    struct note_key key;
    struct err err;
    ck_assert_int_eq(note_read_vkey(go_vkey, &key, &err), 0);
    ck_assert_str_eq(key.name, "PeterNeumann");
    ck_assert_str_eq(note_vkey(&key).text, go_vkey);
    folder_setup();
    folder_write("key", go_skey, strlen(go_skey));
    struct buf path = folder_path("key");
    struct signer *signer;
    ck_assert_int_eq(chmod(path.text, 0400), 0);
    ck_assert_msg(!signer_load(path.text, false, &signer, &err), "%s", err.text);
    ck_assert_str_eq(note_vkey(signer_public(signer)).text, go_vkey);
    signer_free(signer);
    buf_free(&path);
    folder_remove();
}
END_TEST

/* Of the service manager's folder an access list tells who may read; it shows as the group's bit. */
START_TEST(a_key_that_others_may_read_or_write_is_refused) {
    folder_setup();
    folder_write("key", go_skey, strlen(go_skey));
    struct buf path = folder_path("key");
    for (mode_t mode = 0; mode < 01000; mode++) {
        if (!(mode & S_IRUSR)) continue;
        ck_assert_int_eq(chmod(path.text, mode), 0);
        for (int guarded = 0; guarded < 2; guarded++) {
            bool right = !(mode & (guarded ? 0037 : 0077));
            struct signer *signer;
            struct err err;
            int result = signer_load(path.text, guarded, &signer, &err);
            ck_assert_msg(!result == right, "mode 0%o%s", mode, guarded ? " of a credential" : "");
            if (!result) signer_free(signer);
            else ck_assert_msg(err.code == ERR_CONFIG && strstr(err.text, "chmod 0400") && strstr(err.text, path.text), "%s", err.text);
        }
    }
    buf_free(&path);
    folder_remove();
}
END_TEST

START_TEST(only_whole_keys_are_taken) {
    static const char *const wrong[] = {"", "x", "PeterNeumann", "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeuman+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TX",
        "PeterNeumann+c74f20a3+AhpC2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW ",
        "+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct note_key key;
        struct err err;
        ck_assert_msg(note_read_vkey(wrong[i], &key, &err) == -1, "%s", wrong[i]);
        ck_assert_int_eq(err.code, ERR_CONFIG);
    }
}
END_TEST

/* Of keys of other kinds (a witness's, say) only the id is known: four bytes, and then at least one. */
START_TEST(signatures_are_read_strictly) {
    static const struct { const char *text; bool right; } cases[] = {
        {"AQIDBAU=", true},  {"AQIDBAUGBwgJ", true}, {"AQIDBAUGBw==", true}, {"AQIDBA==", false}, {"AQIDBAU", false},  {"AQIDBAV=", false},
        {"AQIDBAU=AQID", false}, {"AQIDBAUG*wgJ", false}, {"AQIDBAUG ", false}, {"", false}, {"====", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf line = {.text = NULL};
        struct note_signature signature;
        memset(&signature, 0x5a, sizeof signature);
        buf_printf(&line, "\xe2\x80\x94 witness.example %s", cases[i].text);
        ck_assert_msg(note_read_signature(buf_text(&line), line.length, &signature) == cases[i].right, "%s", cases[i].text);
        if (cases[i].right) ck_assert(!memcmp(signature.id, "\1\2\3\4", 4) && !signature.ed25519 && !strcmp(signature.name, "witness.example"));
        buf_free(&line);
    }
    static const char nul[] = "\xe2\x80\x94 witness\0example AQIDBAU=";
    struct note_signature signature;
    ck_assert(!note_read_signature(nul, sizeof nul - 1, &signature));
}
END_TEST

static void new_key(const char *name, const char *file) {
    char *text;
    struct note_key public;
    struct err err;
    ck_assert_msg(!signer_generate(name, &text, &public, &err), "%s", err.text);
    struct buf path = {.text = NULL};
    buf_printf(&path, "%s/%s", state, file);
    ck_assert_msg(!text_write_file(path.text, text, strlen(text), 0400, &err), "%s", err.text);
    buf_free(&path);
    free(text);
}

static struct note own_checkpoint(void) {
    char *text;
    struct note note;
    struct err err;
    ck_assert_msg(!journal_read_checkpoint(folder, &text, &note, &err), "%s", err.text);
    ck_assert(text != NULL);
    free(text);
    return note;
}

START_TEST(a_journal_is_signed_to_its_end) {
    signed_setup();
    write_signed(20);
    ck_assert_msg(verify(&keys, NULL) == VERIFY_WELL, "%s", answer.scan.first_fault);
    ck_assert_int_ge(answer.scan.checkpoints, 1);
    ck_assert_int_ge(answer.scan.segments, 4);
    ck_assert_int_eq(answer.scan.signed_size, answer.scan.last.seq - 1);
    struct note first = own_checkpoint();
    ck_assert_int_eq(first.size, answer.scan.signed_size);
    ck_assert_str_eq(first.origin, answer.scan.origin);
    ck_assert_int_eq(verify(&(struct note_keys){.count = 0}, NULL), VERIFY_UNSIGNED);
    struct note_keys other = {.count = 1};
    struct err err;
    ck_assert_int_eq(note_read_vkey(go_vkey, &other.items[0], &err), 0);
    ck_assert_int_eq(verify(&other, NULL), VERIFY_UNSIGNED);
    /* A second run goes on with the same tree. */
    write_signed(5);
    ck_assert_msg(verify(&keys, &first) == VERIFY_WELL, "%s", answer.scan.first_fault);
    ck_assert_int_gt(answer.scan.signed_size, first.size);
    signed_remove();
}
END_TEST

START_TEST(an_older_state_is_found_with_a_checkpoint_of_elsewhere) {
    signed_setup();
    write_signed(2);
    size_t length, note_length;
    char *bytes = folder_read("journal.jsonl", &length), *old = folder_read("checkpoint", &note_length);
    write_signed(2);
    struct note newer = own_checkpoint();
    /* The journal alone goes back: its own checkpoint tells. */
    folder_write("journal.jsonl", bytes, length);
    for (char name[64]; folder_count("journal-", name);) {
        struct buf path = folder_path(name);
        ck_assert_int_eq(unlink(path.text), 0);
        buf_free(&path);
    }
    ck_assert_int_eq(verify(&keys, NULL), VERIFY_OLD);
    /* The whole folder goes back: only a copy of elsewhere tells. */
    folder_write("checkpoint", old, note_length);
    ck_assert_msg(verify(&keys, NULL) == VERIFY_WELL, "%s", answer.scan.first_fault);
    ck_assert_int_eq(verify(&keys, &newer), VERIFY_OLD);
    struct verify_question aged = {.folder = folder, .keys = keys, .now_us = time_now_us() + 2 * TIME_DAY_US, .most_age_us = TIME_DAY_US};
    struct err err;
    ck_assert_int_eq(journal_verify(&aged, &answer, &err), 0);
    ck_assert_int_eq(answer.verdict, VERIFY_OLD);
    /* Written anew since: the same size, another root. */
    newer.size = 2;
    ck_assert_int_eq(verify(&keys, &newer), VERIFY_ALTERED);
    free(bytes);
    free(old);
    signed_remove();
}
END_TEST

START_TEST(every_flipped_bit_of_the_checkpoint_is_found) {
    signed_setup();
    write_signed(1);
    size_t length;
    char *bytes = folder_read("checkpoint", &length);
    for (size_t bit = 0; bit < length * 8; bit++) {
        bytes[bit / 8] = (char)(bytes[bit / 8] ^ (1 << bit % 8));
        folder_write("checkpoint", bytes, length);
        ck_assert_msg(verify(&keys, NULL) == VERIFY_ALTERED || verify(&keys, NULL) == VERIFY_OLD, "bit %zu", bit);
        bytes[bit / 8] = (char)(bytes[bit / 8] ^ (1 << bit % 8));
    }
    folder_write("checkpoint", bytes, length);
    ck_assert_int_eq(verify(&keys, NULL), VERIFY_WELL);
    free(bytes);
    signed_remove();
}
END_TEST

/* The chain alone is no protection against who computes it anew: the signature is. */
START_TEST(a_journal_written_anew_does_not_pass) {
    signed_setup();
    write_signed(1);
    size_t length;
    char *bytes = folder_read("journal.jsonl", &length), *line = bytes;
    struct buf anew = {.text = NULL};
    struct position at = chain_start();
    struct arena *arena = arena_new();
    for (char *feed; (feed = strchr(line, '\n')); line = feed + 1) {
        struct entry_line read;
        struct err err;
        ck_assert_msg(!entry_read(line, (size_t)(feed - line), arena, &read, &err), "%s", err.text);
        if (read.entry.event == ENTRY_INTENT) read.entry.records = 999;
        at.seq += (int64_t)entry_write(&anew, &read.entry, at.seq + 1, at.hash.text);
    }
    folder_write("journal.jsonl", anew.text, anew.length);
    ck_assert_int_eq(verify(&keys, NULL), VERIFY_ALTERED);
    ck_assert_msg(strstr(answer.scan.first_fault, "root is not that of the entries before it") != NULL, "%s", answer.scan.first_fault);
    arena_free(arena);
    buf_free(&anew);
    free(bytes);
    signed_remove();
}
END_TEST

START_TEST(a_key_is_replaced_without_a_gap) {
    signed_setup();
    write_signed(1);
    const struct note_keys old = keys;
    struct buf from = {.text = NULL}, to = {.text = NULL};
    buf_printf(&from, "%s/journal.key", state);
    buf_printf(&to, "%s/journal.key.old", state);
    ck_assert_int_eq(rename(from.text, to.text), 0);
    new_key(old.items[0].name, "journal.key");
    write_signed(1); /* both sign */
    const struct note_keys fresh = {.items = {keys.items[0]}, .count = 1};
    ck_assert_uint_eq(own_checkpoint().n_signatures, 2);
    ck_assert_int_eq(verify(&old, NULL), VERIFY_WELL);
    ck_assert_int_eq(verify(&fresh, NULL), VERIFY_WELL);
    ck_assert_int_eq(unlink(to.text), 0);
    write_signed(1); /* the new one alone */
    ck_assert_uint_eq(own_checkpoint().n_signatures, 1);
    ck_assert_int_eq(verify(&fresh, NULL), VERIFY_WELL);
    ck_assert_int_eq(verify(&old, NULL), VERIFY_UNSIGNED);
    /* A key of another name is refused. */
    ck_assert_int_eq(unlink(from.text), 0);
    new_key(NULL, "journal.key");
    take_signers();
    struct journal_conf conf = folder_conf();
    conf.signers = signers;
    struct arena *arena = arena_new();
    struct journal *journal;
    const struct open_intent *open;
    size_t n_open;
    struct err err;
    ck_assert_int_eq(journal_open(&conf, arena, &journal, &open, &n_open, &err), -1);
    ck_assert_int_eq(err.code, ERR_CONFIG);
    ck_assert(strstr(err.text, "lapsectl keygen --name") != NULL);
    arena_free(arena);
    buf_free(&from);
    buf_free(&to);
    signed_remove();
}
END_TEST

/* What a verifier says beside a writer that rotates, signs and prunes all the time. */
struct beside {
    atomic_bool over;
    int64_t runs;
    bool failed;
    char text[1000];
};

static void *verify_all_the_time(void *context) {
    struct beside *beside = context;
    while (!atomic_load(&beside->over) && !beside->failed) {
        const struct verify_question question = {.folder = folder, .keys = keys, .now_us = time_now_us(), .threads = beside->runs % 2 ? 3 : 1};
        struct verify_answer now;
        struct err err;
        if (journal_verify(&question, &now, &err)) {
            beside->failed = true;
            (void)snprintf(beside->text, sizeof beside->text, "%s", err.text);
        } else if (now.verdict != VERIFY_WELL && now.verdict != VERIFY_UNSIGNED) {
            beside->failed = true;
            (void)snprintf(beside->text, sizeof beside->text, "%d: %.500s%.300s", (int)now.verdict, now.scan.first_fault, now.why);
        }
        beside->runs++;
    }
    return NULL;
}

START_TEST(a_live_journal_is_verified_at_every_moment) {
    signed_setup();
    write_signed(1);
    take_signers();
    struct journal_conf conf = folder_conf();
    conf.segment_bytes = 3000;
    conf.signers = signers;
    struct journal *journal = journal_opened(&conf);
    struct beside beside = {.runs = 0};
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, verify_all_the_time, &beside), 0);
    for (int64_t i = 0, until_us = time_monotonic_us() + 4 * TIME_SECOND_US; time_monotonic_us() < until_us; i++) {
        struct entry intent = an_intent(1, i + 2);
        ck_assert(put(journal, &intent));
        if (i % 20 == 19) journal_prune(journal, time_now_us(), (struct period){1, PERIOD_SECONDS}, (struct period){1, PERIOD_SECONDS});
        (void)poll(NULL, 0, 2);
    }
    atomic_store(&beside.over, true);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    journal_close(journal);
    ck_assert_msg(!beside.failed, "run %" PRId64 ": %s", beside.runs, beside.text);
    ck_assert_int_gt(beside.runs, 5);
    ck_assert_int_eq(verify(&keys, NULL), VERIFY_WELL);
    ck_assert_int_gt(answer.scan.first_seq, 1);
    signed_remove();
}
END_TEST

START_TEST(old_segments_are_removed_and_the_rest_verifies) {
    signed_setup();
    write_signed(1);
    struct note early = own_checkpoint();
    write_signed(20);
    struct note first = own_checkpoint();
    int before = folder_count("journal-", NULL);
    ck_assert_int_ge(before, 4);
    take_signers();
    struct journal_conf conf = folder_conf();
    conf.segment_bytes = 3000;
    conf.signers = signers;
    struct journal *journal = journal_opened(&conf);
    struct entry late = an_intent(1, 99);
    late.time_us = 0;
    ck_assert(put(journal, &late));
    prune_all(journal);
    journal_close(journal);
    ck_assert_int_lt(folder_count("journal-", NULL), before);
    ck_assert_msg(verify(&keys, NULL) == VERIFY_WELL, "%s %s", answer.scan.first_fault, answer.why);
    ck_assert_int_gt(answer.scan.first_seq, 1);
    ck_assert_int_gt(answer.scan.pruned_by, 0);
    /* A copy tells something as long as it reaches to what is left. */
    ck_assert_int_ge(first.size, answer.scan.first_seq - 1);
    ck_assert_msg(verify(&keys, &first) == VERIFY_WELL, "%s%s", answer.scan.first_fault, answer.why);
    ck_assert_int_lt(early.size, answer.scan.first_seq - 1);
    ck_assert_int_eq(verify(&keys, &early), VERIFY_OLD);
    ck_assert_msg(strstr(answer.why, "is older than all that is left of the journal") != NULL, "%s", answer.why);
    write_signed(2); /* and goes on */
    ck_assert_msg(verify(&keys, NULL) == VERIFY_WELL, "%s", answer.scan.first_fault);
    signed_remove();
}
END_TEST

UNIT_MAIN("verify", keys_are_those_of_go, a_key_that_others_may_read_or_write_is_refused, only_whole_keys_are_taken, signatures_are_read_strictly, a_journal_is_signed_to_its_end,
          an_older_state_is_found_with_a_checkpoint_of_elsewhere, every_flipped_bit_of_the_checkpoint_is_found,
          a_journal_written_anew_does_not_pass, a_key_is_replaced_without_a_gap,
          a_live_journal_is_verified_at_every_moment, old_segments_are_removed_and_the_rest_verifies)
