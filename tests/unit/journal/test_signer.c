/* The list of public keys, <state>/journal.pub: it keeps what it has, and is never written so that nobody can read it. */
#include "signed.h"

static struct err err;

static struct buf published(void) {
    struct buf path = {.text = NULL};
    buf_printf(&path, "%s/journal.pub", state);
    return path;
}

static char *read_published(void) {
    struct buf path = published();
    char *text;
    size_t length;
    ck_assert_msg(!text_read_file(path.text, 64 << 20, &text, &length, &err), "%s", err.text);
    buf_free(&path);
    return text;
}

/* As if that many other keys had signed before; without a line feed at the end. */
static void publish_others(size_t count) {
    struct buf path = published(), text = {.text = NULL};
    for (size_t i = 0; i < count; i++) {
        struct note_key key = {.name = "lapsed/5f2c9d0e8b7a6143", .key = {(unsigned char)(i % 256), (unsigned char)(i / 256)}};
        note_key_id(key.name, key.key, key.id);
        buf_printf(&text, "%s%s", i ? "\n" : "# kept by hand\n", note_vkey(&key).text);
    }
    ck_assert_msg(!text_write_file(path.text, text.text, text.length, 0644, &err), "%s", err.text);
    buf_free(&text);
    buf_free(&path);
}

static size_t count_published(void) {
    static struct note_keys known;
    known.count = 0;
    char *text = read_published();
    ck_assert_msg(!note_read_vkeys(text, &known, &err), "%s", err.text);
    free(text);
    return known.count;
}

START_TEST(keys_are_added_as_long_as_the_list_can_be_read) {
    signed_setup();
    for (size_t count = 1; count < NOTE_MOST_KEYS; count = count < 20 ? count + 1 : count * 3) {
        publish_others(count);
        take_signers();
        signers_free(&signers);
        ck_assert_uint_eq(count_published(), count + 1);
    }
    publish_others(NOTE_MOST_KEYS - 1);
    take_signers();
    signers_free(&signers);
    ck_assert_uint_eq(count_published(), NOTE_MOST_KEYS);
    take_signers(); /* and again at the next start */
    signers_free(&signers);
    publish_others(NOTE_MOST_KEYS);
    char *before = read_published();
    ck_assert_int_eq(signers_open(state, &signers, &err), -1);
    ck_assert_int_eq(err.code, ERR_CONFIG);
    ck_assert_msg(strstr(err.text, "no more can be added") != NULL, "%s", err.text);
    char *after = read_published();
    ck_assert_str_eq(after, before);
    free(before);
    free(after);
    signed_remove();
}
END_TEST

START_TEST(a_list_that_cannot_be_looked_at_is_not_replaced) {
    signed_setup();
    struct buf path = published();
    ck_assert_int_eq(symlink("journal.pub", path.text), 0); /* to itself */
    ck_assert_int_eq(signers_open(state, &signers, &err), -1);
    ck_assert_msg(strstr(err.text, "journal.pub") != NULL, "%s", err.text);
    struct stat found;
    ck_assert_int_eq(lstat(path.text, &found), 0);
    ck_assert(S_ISLNK(found.st_mode));
    buf_free(&path);
    signed_remove();
}
END_TEST

UNIT_MAIN("signer", keys_are_added_as_long_as_the_list_can_be_read, a_list_that_cannot_be_looked_at_is_not_replaced)
