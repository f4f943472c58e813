/* The private keys that sign checkpoints, in the text form of Go's note package:
 * "PRIVATE+KEY+<name>+<8 hex: key id>+<base64 of 0x01 and the 32 bytes of the seed>". */
#ifndef LAPSED_JOURNAL_SIGNER_H
#define LAPSED_JOURNAL_SIGNER_H

#include "journal/note.h"

struct signer;

/* A new key; the name is the log's origin (NULL: "lapsed/" and 16 random hex digits). ret_text is the private key's
 * line, malloc'ed: to be wiped and freed. */
int signer_generate(const char *name, char **ret_text, struct note_key *ret_public, struct err *err) MUST_CHECK;
/* Reads the file. Any permission of group or others is refused (ERR_CONFIG); but where `guarded`, which means that the folder
 * is systemd's of credentials, the group may have the bit that its access list for the daemon's user shows as: 0440. */
int signer_load(const char *path, bool guarded, struct signer **ret_signer, struct err *err) MUST_CHECK;
const struct note_key *signer_public(const struct signer *signer);
/* Adds the line of signature (without line feed) of a note's text. */
int signer_sign(const struct signer *signer, const struct buf *text, struct buf *to, struct err *err) MUST_CHECK;
void signer_free(struct signer *signer);

/* All keys that sign together: the present one first, then an old one that is being replaced. */
enum { SIGNERS_MOST = 2 };
struct signers {
    struct signer *items[SIGNERS_MOST];
    size_t count;
    struct note_keys *known; /* the public keys of all that ever signed; freed with the signers */
};

/* Finds the keys: journal-key (and journal-key-old) in $CREDENTIALS_DIRECTORY or /etc/lapsed/credentials, else
 * journal.key (and journal.key.old) in the state folder, made there at the first start. All must bear one name. Puts the
 * public keys of all that ever signed into <state>/journal.pub, and knows those that stood there already. */
int signers_open(const char *state_folder, struct signers *ret_signers, struct err *err) MUST_CHECK;
void signers_free(struct signers *signers);

#endif
