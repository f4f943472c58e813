#include "journal/signer.h"

#include "base/arena.h"
#include "base/log.h"
#include "base/text.h"
#include "journal/base64.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEED_BYTES = 32, MOST_FILE_BYTES = 4096, ALGORITHM_ED25519 = 1 };

static const char prefix[] = "PRIVATE+KEY+";

struct signer {
    struct note_key public;
    EVP_PKEY *key;
};

static void wipe(char **text) {
    if (!*text) return;
    explicit_bzero(*text, strlen(*text));
    free(*text);
}

/* The signer of a seed; NULL where libcrypto fails. */
static struct signer *signer_of(const char *name, const unsigned char seed[SEED_BYTES]) {
    struct signer *signer = xcalloc(1, sizeof *signer);
    size_t length = NOTE_KEY_BYTES;
    signer->key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, SEED_BYTES);
    if (!signer->key || EVP_PKEY_get_raw_public_key(signer->key, signer->public.key, &length) != 1 || length != NOTE_KEY_BYTES) {
        signer_free(signer);
        return NULL;
    }
    (void)text_copy(signer->public.name, sizeof signer->public.name, name);
    note_key_id(name, signer->public.key, signer->public.id);
    return signer;
}

void signer_free(struct signer *signer) {
    if (!signer) return;
    EVP_PKEY_free(signer->key);
    free(signer);
}

const struct note_key *signer_public(const struct signer *signer) { return &signer->public; }

static char *private_text(const struct note_key *public, const unsigned char seed[SEED_BYTES]) {
    unsigned char bytes[1 + SEED_BYTES] = {ALGORITHM_ED25519};
    memcpy(bytes + 1, seed, SEED_BYTES);
    struct buf base64 = {.text = NULL};
    base64_add(&base64, bytes, sizeof bytes);
    explicit_bzero(bytes, sizeof bytes);
    char text[sizeof prefix + NOTE_MOST_NAME + 64];
    const unsigned char *id = public->id;
    (void)snprintf(text, sizeof text, "%s%s+%02x%02x%02x%02x+%s\n", prefix, public->name, id[0], id[1], id[2], id[3], base64.text);
    explicit_bzero(base64.text, base64.length);
    buf_free(&base64);
    char *result = xstrdup(text);
    explicit_bzero(text, sizeof text);
    return result;
}

static int random_bytes(void *to, size_t length, struct err *err) {
    if (getrandom(to, length, 0) == (ssize_t)length) return 0;
    return err_set_errno(err, errno, "the system gives no random bytes");
}

int signer_generate(const char *name, char **ret_text, struct note_key *ret_public, struct err *err) {
    unsigned char seed[SEED_BYTES], random_name[8];
    char made[32];
    if (random_bytes(seed, sizeof seed, err) || random_bytes(random_name, sizeof random_name, err)) return -1;
    if (!name) {
        int length = snprintf(made, sizeof made, "lapsed/");
        for (size_t i = 0; i < sizeof random_name; i++)
            length += snprintf(made + length, sizeof made - (size_t)length, "%02x", random_name[i]);
        name = made;
    }
    if (!note_name_is_right(name))
        return err_set(err, ERR_CONFIG, "the name \"%s\" is not right; write one of ASCII letters, digits and signs, without \"+\" and spaces, of at most %d bytes",
                       name, NOTE_MOST_NAME - 1);
    struct signer *signer = signer_of(name, seed);
    if (!signer) return err_set(err, ERR_BUG, "no Ed25519 key could be made");
    *ret_public = signer->public;
    *ret_text = private_text(&signer->public, seed);
    explicit_bzero(seed, sizeof seed);
    signer_free(signer);
    return 0;
}

/* NULL if it is no private key, or its parts do not belong together. */
static struct signer *read_private(const char *text) {
    const char *name = text + sizeof prefix - 1, *plus = text_starts_with(text, prefix) ? strchr(name, '+') : NULL;
    if (!plus || plus - name >= NOTE_MOST_NAME || strlen(plus) < 10 || plus[9] != '+') return NULL;
    char copied[NOTE_MOST_NAME];
    memcpy(copied, name, (size_t)(plus - name));
    copied[plus - name] = '\0';
    unsigned char bytes[1 + SEED_BYTES];
    const char *base64 = plus + 10;
    if (!note_name_is_right(copied) || !base64_read(base64, strcspn(base64, "\n"), bytes, sizeof bytes) || bytes[0] != ALGORITHM_ED25519) return NULL;
    struct signer *signer = signer_of(copied, bytes + 1);
    if (!signer) return NULL;
    __attribute__((cleanup(wipe))) char *again = private_text(&signer->public, bytes + 1);
    explicit_bzero(bytes, sizeof bytes);
    size_t length = strlen(again);
    bool same = !strncmp(again, text, length - 1) && (!text[length - 1] || !strcmp(text + length - 1, "\n"));
    if (same) return signer;
    signer_free(signer);
    return NULL;
}

int signer_load(const char *path, bool guarded, struct signer **ret_signer, struct err *err) {
    struct stat stat_of;
    if (stat(path, &stat_of)) return err_set_errno(err, errno, "cannot read the journal's private key %s", path);
    if (stat_of.st_mode & (guarded ? S_IWGRP | S_IXGRP | S_IRWXO : S_IRWXG | S_IRWXO))
        return err_set(err, ERR_CONFIG, "others may read or write the journal's private key %s; chmod 0400 %s", path, path);
    __attribute__((cleanup(wipe))) char *text = NULL;
    size_t length;
    if (text_read_file(path, MOST_FILE_BYTES, &text, &length, err)) return -1;
    struct signer *signer = read_private(text);
    if (!signer) return err_set(err, ERR_CONFIG, "%s is no private key of a journal; make one with \"lapsectl keygen\"", path);
    *ret_signer = signer;
    return 0;
}

int signer_sign(const struct signer *signer, const struct buf *text, struct buf *to, struct err *err) {
    unsigned char signature[64];
    size_t length = sizeof signature;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool done = context && EVP_DigestSignInit(context, NULL, NULL, NULL, signer->key) == 1 &&
                EVP_DigestSign(context, signature, &length, (const unsigned char *)text->text, text->length) == 1 && length == sizeof signature;
    EVP_MD_CTX_free(context);
    if (!done) return err_set(err, ERR_BUG, "the checkpoint could not be signed");
    note_add_signature(to, signer->public.name, signer->public.id, signature);
    return 0;
}

/* ---- the daemon's own keys ---- */

void signers_free(struct signers *signers) {
    for (size_t i = 0; i < signers->count; i++) signer_free(signers->items[i]);
    free(signers->known);
    *signers = (struct signers){.count = 0};
}

static int add_if_there(const char *folder, const char *name, bool guarded, struct signers *to, struct err *err) {
    __attribute__((cleanup(buf_free))) struct buf path = {.text = NULL};
    buf_printf(&path, "%s/%s", folder, name);
    if (access(path.text, F_OK)) return errno == ENOENT ? 0 : err_set_errno(err, errno, "cannot read the journal's private key %s", path.text);
    if (signer_load(path.text, guarded, &to->items[to->count], err)) return -1;
    to->count++;
    return 0;
}

static int make_key(const char *state_folder, struct err *err) {
    __attribute__((cleanup(wipe))) char *text = NULL;
    __attribute__((cleanup(buf_free))) struct buf path = {.text = NULL};
    struct note_key public;
    buf_printf(&path, "%s/journal.key", state_folder);
    if (signer_generate(NULL, &text, &public, err)) return -1;
    return text_write_file(path.text, text, strlen(text), 0400, err);
}

static int find(const char *state_folder, struct signers *signers, struct err *err) {
    const char *folders[] = {getenv("CREDENTIALS_DIRECTORY"), "/etc/lapsed/credentials"};
    for (size_t i = 0; i < 2 && !signers->count; i++) {
        if (!folders[i]) continue;
        /* Root's folder is closed to the daemon's own user: what lies in it comes by way of the service manager. */
        if (i == 1 && access(folders[i], X_OK) && errno == EACCES) continue;
        if (add_if_there(folders[i], "journal-key", i == 0, signers, err)) return -1;
        if (signers->count && add_if_there(folders[i], "journal-key-old", i == 0, signers, err)) return -1;
    }
    if (!signers->count) {
        if (add_if_there(state_folder, "journal.key", false, signers, err)) return -1;
        if (!signers->count && (make_key(state_folder, err) || add_if_there(state_folder, "journal.key", false, signers, err))) return -1;
    }
    /* An old key may also lie where the daemon made it. */
    return signers->count < SIGNERS_MOST ? add_if_there(state_folder, "journal.key.old", false, signers, err) : 0;
}

/* The list as it stands in the file; none where there is no file. */
static int read_published(const char *path, struct buf *text, struct note_keys *known, struct err *err) {
    if (access(path, F_OK)) return errno == ENOENT ? 0 : err_set_errno(err, errno, "cannot read the journal's public keys %s", path);
    char *there;
    size_t length;
    if (text_read_file(path, NOTE_MOST_KEYS_BYTES, &there, &length, err)) return -1;
    int result = note_read_vkeys(there, known, err);
    buf_add_n(text, there, length);
    free(there);
    return result ? err_within(err, "%s", path) : 0;
}

static bool is_known(const struct note_keys *known, const struct note_key *key) {
    size_t k = 0;
    while (k < known->count && memcmp(known->items[k].key, key->key, sizeof key->key) != 0) k++;
    return k < known->count;
}

/* Adds the keys to <state>/journal.pub, which keeps those of the past: older checkpoints bear their signatures. A list that
 * nobody could read afterwards is not written. */
static int publish(const char *state_folder, struct signers *signers, struct err *err) {
    __attribute__((cleanup(buf_free))) struct buf path = {.text = NULL}, text = {.text = NULL};
    buf_printf(&path, "%s/journal.pub", state_folder);
    struct note_keys *known = signers->known = xcalloc(1, sizeof *known);
    if (read_published(path.text, &text, known, err)) return -1;
    bool news = false;
    for (size_t i = signers->count; i-- > 0;) {
        const struct note_key *key = signer_public(signers->items[i]);
        if (is_known(known, key)) continue;
        if (known->count == NOTE_MOST_KEYS)
            return err_set(err, ERR_CONFIG, "%s has %d keys, and no more can be added; move those whose checkpoints nobody verifies any more to another file",
                           path.text, (int)NOTE_MOST_KEYS);
        known->items[known->count++] = *key;
        if (text.length && text.text[text.length - 1] != '\n') buf_add_char(&text, '\n');
        buf_printf(&text, "%s\n", note_vkey(key).text);
        log_notice("the journal's checkpoints are signed with a new key; its public key is %s: keep a copy of it elsewhere", note_vkey(key).text);
        news = true;
    }
    if (text.length > NOTE_MOST_KEYS_BYTES) return err_set(err, ERR_CONFIG, "%s would be larger than %d bytes; shorten its comments", path.text, (int)NOTE_MOST_KEYS_BYTES);
    return news ? text_write_file(path.text, text.text, text.length, 0644, err) : 0;
}

int signers_open(const char *state_folder, struct signers *ret_signers, struct err *err) {
    struct signers signers = {.count = 0};
    int result = find(state_folder, &signers, err);
    if (!result && signers.count > 1 && strcmp(signer_public(signers.items[0])->name, signer_public(signers.items[1])->name) != 0)
        result = err_set(err, ERR_CONFIG, "the journal's old and new private key bear different names; make the new one with \"lapsectl keygen --name %s\"",
                         signer_public(signers.items[1])->name);
    if (!result) result = publish(state_folder, &signers, err);
    if (result) signers_free(&signers);
    else *ret_signers = signers;
    return result;
}
