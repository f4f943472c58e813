/* lapsed without journal and evidence, to measure what they cost: linked before liblapsed.a, these functions take the places of
 * journal.c's and evidence.c's. An entry counts as on disk as soon as it is appended; nothing is hashed, kept or written.
 * Nothing but the benchmark may destroy anything like this. */
#include "journal/evidence.h"
#include "journal/journal.h"

#include <stdlib.h>

struct journal {
    void (*wake)(void *context);
    void *context;
    struct journal_ticket *first, **last; /* to be collected */
    int64_t seq, sweep;
};

int journal_open(const struct journal_conf *conf, struct arena *arena, struct journal **ret_journal, const struct open_intent **ret_open,
                 size_t *ret_n_open, struct err *err) {
    (void)arena, (void)err;
    struct signers signers = conf->signers;
    signers_free(&signers);
    struct journal *journal = xcalloc(1, sizeof *journal);
    *journal = (struct journal){.wake = conf->wake, .context = conf->context, .last = &journal->first};
    *ret_journal = journal;
    *ret_open = NULL;
    *ret_n_open = 0;
    return 0;
}

void journal_append(struct journal *journal, const struct entry *entry, struct journal_ticket *ticket) {
    journal->seq++;
    if (entry->event == ENTRY_SWEEP_BEGIN) journal->sweep = entry->sweep;
    if (!ticket) return;
    ticket->seq = journal->seq;
    ticket->next = NULL;
    *journal->last = ticket;
    journal->last = &ticket->next;
    journal->wake(journal->context);
}

void journal_collect(struct journal *journal) {
    struct journal_ticket *ticket = journal->first;
    journal->first = NULL;
    journal->last = &journal->first;
    for (struct journal_ticket *next; ticket; ticket = next) {
        next = ticket->next;
        ticket->done(ticket, NULL);
    }
}

int64_t journal_last_time_us(const struct journal *journal) { return (void)journal, 0; }
int64_t journal_last_seq(const struct journal *journal) { return journal->seq; }
int64_t journal_last_sweep(const struct journal *journal) { return journal->sweep; }
bool journal_healthy(const struct journal *journal) { return (void)journal, true; }
bool journal_can_sign(const struct journal *journal) { return (void)journal, true; }
void journal_prune(struct journal *journal, int64_t now_us, struct period keep, struct period keep_evidence) { (void)journal, (void)now_us, (void)keep, (void)keep_evidence; }

bool journal_has_room(const struct journal *journal, int64_t *ret_left) {
    (void)journal;
    *ret_left = INT64_MAX;
    return true;
}

bool journal_close(struct journal *journal) {
    journal_collect(journal);
    free(journal);
    return true;
}

void evidence_begin(struct evidence_batch *batch, struct arena *arena, const unsigned char *key, const char *store) {
    (void)arena, (void)key, (void)store;
    *batch = (struct evidence_batch){.off = true};
}
void evidence_record(struct evidence_batch *batch, const char *target) { (void)batch, (void)target; }
void evidence_text(struct evidence_batch *batch, const char *text) { (void)batch, (void)text; }
void evidence_bytes(struct evidence_batch *batch, const char *bytes, size_t length) { (void)batch, (void)bytes, (void)length; }
void evidence_json(struct evidence_batch *batch, const char *json) { (void)batch, (void)json; }
void evidence_add(struct evidence_batch *batch) { (void)batch; }
struct merkle_hash evidence_hash(struct evidence_batch *batch) { return (void)batch, (struct merkle_hash){{0}}; }
void evidence_add_hash(struct evidence_batch *batch, const struct merkle_hash *hash) { (void)batch, (void)hash; }
struct evidence evidence_end(struct evidence_batch *batch) { return (void)batch, (struct evidence){.n_leaves = 0}; }
void evidence_free(struct evidence_batch *batch) { (void)batch; }
