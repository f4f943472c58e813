#include "journal/prove.h"

#include "journal/evidence_check.h"
#include "journal/evidence_file.h"
#include "journal/frontier.h"
#include "journal/scan.h"
#include "journal/verify.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A batch in an evidence file that has one of the leaves, and what the journal says of it. */
struct hit {
    const char *path;
    int64_t first_seq, seq; /* of the segment, of the intent */
    long leaves_at;
    size_t n_leaves;
    const struct prove_candidate *candidate;
    bool has_intent, has_tenant, over;
    struct entry intent; /* sweep, batch, counts; evidence */
    struct proof_entry intent_line, outcome_line;
    bool done;
};

struct search {
    const char *folder, *tenant;
    const struct prove_candidate *candidates;
    size_t n_candidates;
    struct arena *arena;
    struct hit *hits;
    size_t n_hits;
    int64_t oldest; /* evidence file; 0: there is none */
    /* While the journal goes by. */
    int64_t segment_first_seq;
    char previous[ENTRY_HASH_HEX + 1];
};

/* ---- the evidence files ---- */

static void close_file(FILE **file) {
    if (*file) (void)fclose(*file);
}

static void close_folder(DIR **dir) {
    if (*dir) (void)closedir(*dir);
}

static const struct prove_candidate *find_leaf(const struct search *search, const struct merkle_hash *leaf) {
    for (size_t i = 0; i < search->n_candidates; i++)
        if (merkle_equal(leaf, &search->candidates[i].leaf)) return &search->candidates[i];
    return NULL;
}

/* Behind the last of them nothing is of the batch. */
static bool is_within(const struct hit *batch, long place) { return batch->leaves_at && (size_t)(place - batch->leaves_at) / EVIDENCE_UNIT <= batch->n_leaves; }

static int search_file(struct search *search, const char *path, int64_t first_seq, struct err *err) {
    __attribute__((cleanup(close_file))) FILE *file = evidence_file_read(path, err);
    if (!file) return errno == ENOENT ? 0 : -1; /* its time was over: removed since the folder was read */
    struct hit batch = {.path = path, .first_seq = first_seq};
    struct merkle_hash unit;
    for (long place = EVIDENCE_UNIT; fread(unit.bytes, sizeof unit.bytes, 1, file) == 1; place += EVIDENCE_UNIT) {
        if (evidence_read_title(unit.bytes, &batch.seq, &batch.n_leaves)) batch.leaves_at = place;
        else if (is_within(&batch, place) && (batch.candidate = find_leaf(search, &unit))) *ARENA_APPEND(search->arena, search->hits, search->n_hits) = batch;
    }
    return ferror(file) ? err_set_errno(err, errno, "%s cannot be read", path) : 0;
}

static int search_files(struct search *search, struct err *err) {
    __attribute__((cleanup(close_folder))) DIR *dir = opendir(search->folder);
    if (!dir) return err_set_errno(err, errno, "journal folder \"%s\" cannot be read", search->folder);
    for (const struct dirent *item; (item = readdir(dir));) {
        int64_t first_seq = evidence_file_seq(item->d_name);
        if (!first_seq) continue;
        if (!search->oldest || first_seq < search->oldest) search->oldest = first_seq;
        if (search_file(search, arena_printf(search->arena, "%s/%s", search->folder, item->d_name), first_seq, err)) return -1;
    }
    return 0;
}

/* ---- the journal ---- */

static struct proof_entry keep_line(const struct search *search, const struct scan_entry *found) {
    struct proof_entry entry = {.line = arena_strndup(search->arena, found->bytes, found->length), .seq = found->line.seq};
    memcpy(entry.previous, search->previous, sizeof entry.previous);
    return entry;
}

static bool names_tenant(const struct search *search, const struct entry *intent) {
    for (size_t i = 0; search->tenant && i < intent->n_tenants; i++)
        if (!strcmp(intent->tenants[i].id, search->tenant)) return true;
    return !search->tenant;
}

static void note_intent(struct search *search, struct hit *hit, const struct scan_entry *found) {
    const struct entry *intent = &found->line.entry;
    if (found->line.seq == hit->seq && search->segment_first_seq == hit->first_seq) {
        hit->has_intent = true;
        hit->intent = (struct entry){.sweep = intent->sweep, .batch = intent->batch, .records = intent->records, .dependents = intent->dependents,
                                     .evidence = arena_strdup(search->arena, intent->evidence)};
        hit->intent_line = keep_line(search, found);
    }
    bool same = hit->has_intent && hit->intent.sweep == intent->sweep && hit->intent.batch == intent->batch;
    if (same) hit->has_tenant |= names_tenant(search, intent); /* its parts share its tenants among them */
}

static void note_outcome(struct search *search, struct hit *hit, const struct scan_entry *found) {
    const struct entry *outcome = &found->line.entry;
    if (!hit->has_intent || hit->intent.sweep != outcome->sweep || hit->intent.batch != outcome->batch) return;
    if (text_equal(outcome->outcome, "unknown")) return;
    hit->over = true;
    hit->done = proof_is_done(&hit->intent, outcome);
    hit->outcome_line = keep_line(search, found);
}

static void note_entry(void *context, const struct scan_entry *found) {
    struct search *search = context;
    if (found->place.line == 1) search->segment_first_seq = found->line.seq;
    for (size_t i = 0; i < search->n_hits; i++) {
        if (found->line.entry.event == ENTRY_INTENT) note_intent(search, &search->hits[i], found);
        if (found->line.entry.event == ENTRY_OUTCOME) note_outcome(search, &search->hits[i], found);
    }
    memcpy(search->previous, found->line.hash, sizeof search->previous);
}

static int read_journal(const struct search *search, void (*entry)(void *context, const struct scan_entry *entry), void *context, struct err *err) {
    struct scan_result result;
    if (journal_scan(search->folder, &(struct scan_visitor){.context = context, .wait = true, .entry = entry}, &result, err)) return -1;
    if (!result.faults) return 0;
    return err_set(err, ERR_IO, "the journal is damaged, so that nothing can be proven by it: %s (\"lapsectl journal verify\" lists all faults)",
                   result.first_fault);
}

static int search_journal(struct search *search, struct err *err) {
    memset(search->previous, '0', ENTRY_HASH_HEX);
    return read_journal(search, note_entry, search, err);
}

/* ---- the proof ---- */

/* False: the leaves in the file are not those that the intent has the root of. */
static int read_leaves(const struct search *search, const struct hit *hit, struct proof *proof, bool *ret_right, struct err *err) {
    __attribute__((cleanup(close_file))) FILE *file = evidence_file_read(hit->path, err);
    char root[EVIDENCE_HEX + 1];
    *ret_right = false;
    if (!file) return -1;
    if (fseek(file, hit->leaves_at, SEEK_SET)) return err_set_errno(err, errno, "%s cannot be read", hit->path);
    struct merkle_hash *leaves = NULL, leaf;
    size_t count = 0, index = 0;
    while (count < hit->n_leaves && fread(leaf.bytes, sizeof leaf.bytes, 1, file) == 1) {
        if (merkle_equal(&leaf, &hit->candidate->leaf)) index = count;
        *ARENA_APPEND(search->arena, leaves, count) = leaf;
    }
    if (count != hit->n_leaves || !count || !merkle_equal(&leaves[index], &hit->candidate->leaf)) return 0;
    text_hex(root, evidence_root(leaves, count).bytes);
    if (!text_equal(root, hit->intent.evidence)) return 0;
    proof_path(proof, leaves, count, index);
    *ret_right = true;
    return 0;
}

/* NULL: this hit can be proven, as far as the journal says. */
static const char *objection(const struct hit *hit) {
    if (!hit->has_intent) return "its leaf stands in the evidence, but the intent of its batch is not in the journal, or not any more";
    if (!hit->over) return "its batch has no outcome yet: it cannot be told whether the record was destroyed";
    if (!hit->done)
        return "its batch was not carried out, or not as a whole (records that were no longer due stayed), and the journal does not say which of them went";
    if (!hit->has_tenant) return "the record was destroyed, but the batch holds nothing of this tenant";
    return NULL;
}

/* `objected`: to the batches that have its leaf; NULL: none has. */
static int tell_why(const struct search *search, const char *objected, const char **ret_why, struct err *err) {
    struct evidence_check check = {.folder = search->folder, .oldest = search->oldest};
    int64_t bad = 0;
    int failed = search->oldest ? read_journal(search, evidence_check_entry, &check, err) : 0;
    if (failed) evidence_check_free(&check);
    if (failed || evidence_check_end(&check, &bad, err)) return -1;
    const char *damage = arena_printf(search->arena, "the evidence of %s batch%s is missing or altered, so it cannot be told whether %s destroyed the record",
                                      text_number(bad).text, bad == 1 ? "" : "es", bad == 1 ? "that one" : "one of them");
    if (!search->oldest) *ret_why = "there are no evidence files beside the journal: they were removed, or nothing was destroyed";
    else if (bad) *ret_why = objected ? arena_printf(search->arena, "%s; %s", objected, damage) : damage;
    else *ret_why = objected ? objected : "no batch destroyed a record of this store, target and key, as far back as evidence and its keys are kept";
    return 0;
}

static int make(struct search *search, struct proof *ret_proof, const char **ret_why, struct err *err) {
    const char *why = NULL;
    int64_t proven = 0;
    for (size_t i = 0; i < search->n_hits; i++) {
        const struct hit *hit = &search->hits[i];
        const char *objected = objection(hit);
        if (hit->seq < proven) continue;
        if (objected) {
            if (!proven) why = objected;
            continue;
        }
        struct proof proof = {.name = hit->candidate->name, .intent = hit->intent_line, .outcome = hit->outcome_line};
        bool right;
        memcpy(proof.r, hit->candidate->r, sizeof proof.r);
        if (read_leaves(search, hit, &proof, &right, err)) return -1;
        if (!right) {
            if (!proven) why = "its leaf stands in the evidence, but the evidence of that batch was altered: it is not what the intent promised";
            continue;
        }
        *ret_proof = proof;
        proven = hit->seq;
    }
    *ret_why = NULL;
    return proven ? 0 : tell_why(search, why, ret_why, err);
}

/* ---- in the checkpoint ---- */

struct inclusion {
    struct merkle_prover provers[2];
    bool missing; /* what was pruned would be needed */
};

static void feed_entry(void *context, const struct scan_entry *found) {
    struct inclusion *inclusion = context;
    const struct merkle_hash leaf = merkle_leaf(found->bytes, found->length);
    for (size_t i = 0; i < 2 && !inclusion->missing; i++) {
        struct merkle_prover *prover = &inclusion->provers[i];
        struct merkle_tree known;
        if (!prover->next && found->line.seq > 1)
            inclusion->missing = found->line.entry.event != ENTRY_SEGMENT || !frontier_read(&found->line.entry, found->line.seq - 1, &known) ||
                                 !merkle_prover_skip(prover, &known);
        if (!inclusion->missing && prover->next == found->line.seq - 1 && prover->next < prover->size) merkle_prover_add(prover, &leaf);
    }
}

/* A journal that is not signed, or not yet that far, gives a proof without. */
static int add_inclusion(const char *folder, struct arena *arena, struct proof *proof, struct err *err) {
    char *text;
    struct note note;
    struct scan_result result;
    struct inclusion inclusion = {.missing = false};
    if (journal_read_checkpoint(folder, &text, &note, err)) return -1;
    if (!text) return 0;
    const char *checkpoint = arena_strdup(arena, text);
    free(text);
    if (note.size < proof->outcome.seq) return 0;
    merkle_prove_inclusion(&inclusion.provers[0], proof->intent.seq - 1, note.size);
    merkle_prove_inclusion(&inclusion.provers[1], proof->outcome.seq - 1, note.size);
    if (journal_scan(folder, &(struct scan_visitor){.context = &inclusion, .wait = true, .entry = feed_entry}, &result, err)) return -1;
    struct proof_entry *entries[] = {&proof->intent, &proof->outcome};
    for (size_t i = 0; i < 2; i++) {
        const struct merkle_prover *prover = &inclusion.provers[i];
        const struct merkle_hash leaf = merkle_leaf(entries[i]->line, strlen(entries[i]->line));
        if (inclusion.missing || prover->next != note.size) return 0;
        if (!merkle_check_inclusion(&prover->proof, &leaf, entries[i]->seq - 1, note.size, &note.root))
            return err_set(err, ERR_IO, "the journal is not the one that its checkpoint is of, so that nothing can be proven by it (\"lapsectl journal verify\")");
        entries[i]->inclusion = prover->proof;
    }
    proof->checkpoint = checkpoint;
    return 0;
}

int journal_prove(const char *folder, const struct prove_candidate *candidates, size_t n_candidates, const char *tenant, struct arena *arena,
                  struct proof *ret_proof, const char **ret_why, struct err *err) {
    struct search search = {.folder = folder, .tenant = tenant, .candidates = candidates, .n_candidates = n_candidates, .arena = arena};
    if (search_files(&search, err)) return -1;
    if (search.n_hits && search_journal(&search, err)) return -1;
    if (make(&search, ret_proof, ret_why, err)) return -1;
    return *ret_why ? 0 : add_inclusion(folder, arena, ret_proof, err);
}
