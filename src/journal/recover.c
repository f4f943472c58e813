#include "journal/recover.h"

#include "base/log.h"
#include "journal/calls.h"
#include "journal/scan.h"
#include "journal/segment.h"
#include "journal/verify.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* The intents without a final outcome, while the journal goes by. At any time there are few. */
struct intents {
    struct pending {
        int64_t seq, sweep, batch;
        char *texts[5]; /* rule, store, target, transaction, server */
    } *items;
    size_t count, room;
    int64_t last_sweep;
    const struct journal_conf *conf;
};

static void intents_free(struct intents *intents) {
    for (size_t i = 0; i < intents->count; i++)
        for (size_t t = 0; t < 5; t++) free(intents->items[i].texts[t]);
    free(intents->items);
}

static size_t find_intent(const struct intents *intents, const struct entry *entry) {
    size_t i = 0;
    while (i < intents->count && (intents->items[i].sweep != entry->sweep || intents->items[i].batch != entry->batch)) i++;
    return i;
}

static void add_intent(struct intents *intents, const struct entry_line *line) {
    const struct entry *entry = &line->entry;
    if (line->part > 1) return;
    if (intents->count == intents->room) {
        intents->room = intents->room ? intents->room * 2 : 16;
        intents->items = xrealloc(intents->items, intents->room * sizeof *intents->items);
    }
    const char *const texts[5] = {entry->rule, entry->store, entry->target, entry->transaction, entry->server};
    struct pending *pending = &intents->items[intents->count++];
    *pending = (struct pending){.seq = line->seq, .sweep = entry->sweep, .batch = entry->batch};
    for (size_t t = 0; t < 5; t++) pending->texts[t] = xstrdup(texts[t] ? texts[t] : "");
}

static void remove_intent(struct intents *intents, size_t i) {
    for (size_t t = 0; t < 5; t++) free(intents->items[i].texts[t]);
    intents->count--;
    memmove(&intents->items[i], &intents->items[i + 1], (intents->count - i) * sizeof *intents->items);
}

/* ---- prune entries, while the journal goes by ---- */

/* What the file checkpoint covers is ours. Behind it somebody may have written one to have us remove, and sign for, what is to be kept. */
struct prunings {
    struct arena *arena;
    struct beginning { int64_t seq, time_us; } *segments;
    size_t n_segments;
    int64_t signed_size;    /* -1: there is no file checkpoint, nothing was ever signed */
    struct period keep;
    int64_t pruned_seq;     /* declared removed by what is signed */
    int64_t premature_seq;  /* a prune entry that is not, and not of our making; 0: none */
};

/* Each removal ends where a segment begins that is there: nothing goes before it is signed for. */
static bool is_due(const struct prunings *prunings, const struct entry_removed *removed, int64_t at_us) {
    size_t i = 0;
    while (i < prunings->n_segments && prunings->segments[i].seq != removed->last_seq + 1) i++;
    while (i < prunings->n_segments && prunings->segments[i].time_us > at_us) i++; /* as prune.c has it */
    return i < prunings->n_segments && prunings->keep.count && period_after(prunings->segments[i].time_us, prunings->keep) <= at_us;
}

static void note_pruning(struct prunings *prunings, const struct entry_line *line) {
    const struct entry *entry = &line->entry;
    if (entry->event == ENTRY_SEGMENT) *ARENA_APPEND(prunings->arena, prunings->segments, prunings->n_segments) = (struct beginning){line->seq, entry->time_us};
    for (size_t i = 0; entry->event == ENTRY_PRUNE && i < entry->n_removed; i++) {
        const struct entry_removed *removed = &entry->removed[i];
        if (line->seq > prunings->signed_size && prunings->signed_size >= 0 && !is_due(prunings, removed, entry->time_us)) prunings->premature_seq = line->seq;
        if (line->seq <= prunings->signed_size && removed->last_seq > prunings->pruned_seq) prunings->pruned_seq = removed->last_seq;
    }
}

/* ---- all entries ---- */

struct passing {
    bool has_outcomes;
    struct intents intents;
    struct prunings prunings;
    int64_t certain; /* of the open segment, up to the entry of the file checkpoint: that was on disk before the file was */
};

static void passing_free(struct passing *passing) { intents_free(&passing->intents); }

static void note_entry(void *context, const struct scan_entry *found) {
    struct passing *passing = context;
    struct intents *intents = &passing->intents;
    const struct entry *entry = &found->line.entry;
    if (!found->good) return; /* what stands behind a torn line is cut off with it */
    if (found->line.seq == passing->prunings.signed_size + 1 && !strcmp(found->place.file, SEGMENT_OPEN))
        passing->certain = found->place.byte + (int64_t)found->length + 1;
    if (intents->conf->seen) intents->conf->seen(intents->conf->seen_context, entry);
    note_pruning(&passing->prunings, &found->line);
    if (entry->sweep > intents->last_sweep && entry->sweep <= ENTRY_MOST_SEQ) intents->last_sweep = entry->sweep; /* each sweep has entries */
    if (entry->event == ENTRY_INTENT) add_intent(intents, &found->line);
    passing->has_outcomes |= entry->event == ENTRY_OUTCOME;
    if (entry->event != ENTRY_OUTCOME || !strcmp(entry->outcome, "unknown")) return;
    size_t i = find_intent(intents, entry);
    if (i < intents->count) remove_intent(intents, i);
}

static void hand_over(const struct intents *intents, struct arena *arena, struct recovered *to) {
    struct open_intent *open = ARENA_ARRAY(arena, struct open_intent, intents->count);
    for (size_t i = 0; i < intents->count; i++) {
        const struct pending *from = &intents->items[i];
        open[i] = (struct open_intent){.seq = from->seq,
                                       .sweep = from->sweep,
                                       .batch = from->batch,
                                       .rule = arena_strdup(arena, from->texts[0]),
                                       .store = arena_strdup(arena, from->texts[1]),
                                       .target = arena_strdup(arena, from->texts[2]),
                                       .transaction = arena_strdup(arena, from->texts[3]),
                                       .server = arena_strdup(arena, from->texts[4])};
    }
    to->open = open;
    to->n_open = intents->count;
    to->last_sweep = intents->last_sweep;
}

static const char remedy[] = "lapsed does not continue a damaged journal: restore it, or begin a new one in another folder";

static int refuse(const char *folder, const struct scan_result *scanned, struct err *err) {
    return err_set(err, ERR_IO, "journal \"%s\" is damaged: %s (%s in all; \"lapsectl journal verify\" lists them); %s", folder,
                   scanned->first_fault, text_number(scanned->faults).text, remedy);
}

static int refuse_pruning(const char *folder, int64_t seq, struct err *err) {
    return err_set(err, ERR_IO, "journal \"%s\" is damaged: entry %" PRId64 ", behind its last checkpoint, would remove entries that journal.keep still keeps: "
                   "it was made by somebody else (or journal.keep is longer since then: start once with the old one); %s", folder, seq, remedy);
}

/* ---- the file `checkpoint`: the journal must begin with what it covers ---- */

struct own_checkpoint {
    bool there;
    struct note note;
    struct scan_point point;
};

static int read_own(const char *folder, const struct signers *signers, struct own_checkpoint *ret_own, struct err *err) {
    char *text;
    *ret_own = (struct own_checkpoint){.there = false};
    if (journal_read_checkpoint(folder, &text, &ret_own->note, err)) {
        err->code = ERR_IO;
        return err_within(err, "journal \"%s\" is damaged, and %s", folder, remedy);
    }
    if (!text) return 0;
    free(text);
    ret_own->there = true;
    ret_own->point = (struct scan_point){ret_own->note.size, ret_own->note.root};
    if (!signers->count) return 0;
    enum note_verdict verdict = note_verify(&ret_own->note, signers->known);
    if (verdict == NOTE_FORGED)
        return err_set(err, ERR_IO, "journal \"%s\" is damaged: the signature of the file checkpoint is wrong; %s", folder, remedy);
    if (verdict == NOTE_UNKNOWN) /* anyone can sign a shorter journal with a key of his own */
        return err_set(err, ERR_IO, "journal \"%s\" is damaged: none of the keys in journal.pub signed the file checkpoint; if the state folder was lost, "
                       "add the public key that did to its journal.pub", folder);
    return 0;
}

static int check_own(const char *folder, const struct own_checkpoint *own, bool was_signed, const struct scan_result *scanned, struct err *err) {
    static const char *const faults[] = {[POINT_OTHER] = "the journal does not begin with what its file checkpoint covers",
                                         [POINT_GONE] = "its file checkpoint is older than all that is left of it"};
    if (!own->there && was_signed)
        return err_set(err, ERR_IO, "journal \"%s\" is damaged: the file checkpoint is missing; put it back (the log of lapsed has its lines too)", folder);
    if (own->there && scanned->pruned_by > own->note.size)
        return err_set(err, ERR_IO, "journal \"%s\" is damaged: entries 1 to %" PRId64 " are missing, and the prune entry that accounts for that is behind its "
                       "file checkpoint; %s", folder, scanned->first_seq - 1, remedy);
    if (!own->there || scanned->points[0] == POINT_SAME) return 0;
    if (scanned->points[0] != POINT_BEYOND) return err_set(err, ERR_IO, "journal \"%s\" is damaged: %s; %s", folder, faults[scanned->points[0]], remedy);
    return err_set(err, ERR_IO, "journal \"%s\" is damaged: it has %s entries, but its file checkpoint covers %s%s%s; %s", folder,
                   text_number(scanned->last.seq).text, text_number(own->note.size).text, scanned->faults ? ": " : "", scanned->first_fault, remedy);
}

/* Verification would find fault with it from then on, so it is told before anything is written. */
static int check_strays(const char *folder, struct arena *arena, struct err *err) {
    __attribute__((cleanup(segments_close))) struct segments segments = {.count = 0};
    if (segments_list(folder, arena, &segments, err)) return -1;
    if (!segments.n_strays) return 0;
    return err_set(err, ERR_IO, "journal \"%s\": the file \"%s\" in its folder is no segment of it, and would be read as one; move it elsewhere%s", folder,
                   segments.strays[0], segments.n_strays > 1 ? ", and so others like it" : "");
}

/* A crash while a segment was closed left it with both names and read-only: it is the open one again. */
static int undo_closing(const struct folder *folder, struct arena *arena, struct err *err) {
    int fd = journal_calls.open(folder->fd, SEGMENT_OPEN, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd < 0) return errno == ENOENT ? 0 : err_set_errno(err, errno, "journal \"%s\": cannot open " SEGMENT_OPEN, folder->path);
    const char *twin = NULL;
    struct stat own;
    int result = segments_twin(folder->path, arena, fd, &twin, err);
    bool read_only = !result && !fstat(fd, &own) && !(own.st_mode & S_IWUSR);
    if (!result && ((twin && journal_calls.unlink(folder->fd, twin)) || (read_only && journal_calls.fchmod(fd, 0640)) ||
                    ((twin || read_only) && journal_calls.fsync(folder->fd))))
        result = err_set_errno(err, errno, "journal \"%s\": cannot undo the closing of a segment that a crash interrupted", folder->path);
    (void)close(fd);
    return result;
}

/* The log keeps the origin that it began with; its keys bear that name. */
static int check_origin(const char *folder, const char *origin, const struct signers *signers, struct err *err) {
    const char *name = signers->count && *origin ? signer_public(signers->items[0])->name : origin;
    if (!strcmp(origin, name)) return 0;
    return err_set(err, ERR_CONFIG, "journal \"%s\": its origin is \"%s\", but its private key bears the name \"%s\"; make one with \"lapsectl keygen --name %s\"",
                   folder, origin, name, origin);
}

static int cut_torn_tail(struct file *file, int64_t last_seq, const struct scan_result *scanned, struct err *err) {
    struct cut cut;
    if (file_keep_aside(file, last_seq + 1, &cut, err) || file_cut(file, err)) return -1;
    log_warning("journal \"%s\": %s; %s bytes after entry %" PRId64 " were cut off and are kept in \"%s\"", file->folder->path,
                scanned->first_fault, text_number(cut.bytes).text, last_seq, cut.name);
    return 0;
}

static void close_folder(DIR **dir) {
    if (*dir) (void)closedir(*dir);
}

/* What is kept aside of the entry that comes next stands in no entry yet. */
static int find_cuts(const struct folder *folder, struct arena *arena, struct recovered *to, struct err *err) {
    __attribute__((cleanup(close_folder))) DIR *dir = opendir(folder->path);
    if (!dir) return err_set_errno(err, errno, "journal folder \"%s\" cannot be read", folder->path);
    const char *prefix = arena_printf(arena, "torn-%" PRId64 "-", to->last.seq + 1);
    struct cut *cuts = NULL;
    errno = 0;
    for (const struct dirent *item; (item = readdir(dir)); errno = 0) {
        struct cut cut;
        if (!text_starts_with(item->d_name, prefix) || strlen(item->d_name) != strlen(prefix) + 8) continue;
        if (file_read_cut(folder, item->d_name, &cut, err)) return -1;
        if (text_equal(item->d_name, arena_printf(arena, "%s%.8s", prefix, cut.sha256.text))) *ARENA_APPEND(arena, cuts, to->n_cuts) = cut;
    }
    to->cuts = cuts;
    return errno ? err_set_errno(err, errno, "journal folder \"%s\" cannot be read", folder->path) : 0;
}

int recover_journal(const struct journal_conf *conf, const struct folder *folder, struct arena *arena, struct recovered *ret_recovered,
                    struct err *err) {
    __attribute__((cleanup(passing_free))) struct passing passing = {.intents = {.conf = conf}, .prunings = {.arena = arena, .keep = conf->keep, .signed_size = -1}};
    struct scan_result scanned;
    struct own_checkpoint own;
    if (check_strays(folder->path, arena, err) || undo_closing(folder, arena, err) || read_own(folder->path, &conf->signers, &own, err)) return -1;
    if (own.there) passing.prunings.signed_size = own.note.size;
    const struct scan_visitor visitor = {.context = &passing, .entry = note_entry, .points = &own.point, .n_points = own.there};
    if (journal_scan(folder->path, &visitor, &scanned, err)) return -1;
    if (scanned.faults && !scanned.torn_tail) return refuse(folder->path, &scanned, err);
    /* A crash comes before the first checkpoint's file at most, which is there before a batch is over. */
    bool was_signed = scanned.checkpoints + scanned.foreign_checkpoints > 1 || (passing.has_outcomes && conf->signers.count);
    if (check_own(folder->path, &own, was_signed, &scanned, err) || check_origin(folder->path, scanned.origin, &conf->signers, err)) return -1;
    if (passing.prunings.premature_seq) return refuse_pruning(folder->path, passing.prunings.premature_seq, err);
    struct recovered recovered = {.last = scanned.last, .tree = scanned.tree, .pruned_seq = passing.prunings.pruned_seq};
    memcpy(recovered.origin, scanned.origin, sizeof recovered.origin);
    if (file_open(&recovered.file, folder, !scanned.has_open, err)) return -1;
    recovered.file.bytes = scanned.open_good_bytes;
    recovered.file.first_seq = scanned.open_first_seq;
    recovered.file.first_time_us = scanned.open_time_us;
    if (file_write_again(&recovered.file, passing.certain, err) ||
        (scanned.torn_tail && cut_torn_tail(&recovered.file, recovered.last.seq, &scanned, err)) || find_cuts(folder, arena, &recovered, err)) {
        file_close(&recovered.file);
        return -1;
    }
    hand_over(&passing.intents, arena, &recovered);
    *ret_recovered = recovered;
    return 0;
}
