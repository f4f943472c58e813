#include "journal/verify.h"

#include "base/time.h"
#include "journal/segment.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The checkpoints that the journal is compared with. */
enum { POINT_OWN, POINT_OLDER, POINTS };

struct verification {
    const struct verify_question *question;
    struct scan_point points[POINTS];
    size_t n_points;
    size_t place[POINTS]; /* in points, behind their number; 0: there is none */
    int64_t faults;       /* beside those of the scan */
};

static void tell_of(struct verification *verification, const char *file, const char *text) {
    verification->faults++;
    if (verification->question->fault) verification->question->fault(verification->question->context, &(struct scan_fault){.place = {file, 0, 0}, .text = text});
}

static void tell(struct verification *verification, const char *text) { tell_of(verification, SEGMENT_CHECKPOINT, text); }

int journal_read_checkpoint(const char *folder, char **ret_text, struct note *ret_note, struct err *err) {
    struct buf path __attribute__((cleanup(buf_free))) = {.text = NULL};
    buf_printf(&path, "%s/" SEGMENT_CHECKPOINT, folder);
    *ret_text = NULL;
    if (access(path.text, F_OK) && errno == ENOENT) return 0;
    char *text;
    size_t length;
    if (text_read_file(path.text, NOTE_MOST_BYTES, &text, &length, err)) return -1;
    if (note_read(text, length, ret_note, err)) {
        free(text);
        return err_within(err, "\"%s\"", path.text);
    }
    *ret_text = text;
    return 0;
}

static void add_point(struct verification *verification, size_t which, const struct note *note) {
    verification->points[verification->n_points++] = (struct scan_point){note->size, note->root};
    verification->place[which] = verification->n_points;
}

/* Read before the segments are: a live journal is then never behind it. */
static int take_own_checkpoint(struct verification *verification, struct note *own, struct err *err) {
    char *text;
    if (journal_read_checkpoint(verification->question->folder, &text, own, err)) {
        if (err->code != ERR_CONFIG) return -1;
        tell(verification, "the file is no checkpoint any more");
        return 0;
    }
    if (!text) return 0;
    free(text);
    if (note_verify(own, &verification->question->keys) == NOTE_FORGED) tell(verification, "its signature is wrong");
    else add_point(verification, POINT_OWN, own);
    return 0;
}

/* What a checkpoint covers was on disk before the checkpoint was: no crash tears it off. */
static void check_torn(struct verification *verification, const char *which, int64_t size, struct scan_result *scan) {
    char text[160];
    if (!scan->torn_tail) return;
    scan->torn_tail = false;
    (void)snprintf(text, sizeof text, "%s covers %s entries, of which the journal has %s: more than a crash tears off", which, text_number(size).text,
                   text_number(scan->last.seq).text);
    tell(verification, text);
}

/* Whether the file was renewed since it was read: a live journal may be pruned meanwhile. */
static bool is_renewed(const struct verification *verification, const struct note *own) {
    char *text;
    struct note now;
    struct err err;
    if (journal_read_checkpoint(verification->question->folder, &text, &now, &err) || !text) return false;
    free(text);
    return now.size > own->size;
}

static void check_own(struct verification *verification, const struct note *own, struct verify_answer *answer) {
    const struct scan_result *scan = &answer->scan;
    size_t place = verification->place[POINT_OWN];
    if (!place) {
        /* A crash may come between the first checkpoint's entry and its file, but not twice. */
        if (!verification->faults && scan->checkpoints + scan->foreign_checkpoints > 1) tell(verification, "the file is missing; the journal has checkpoints");
        return;
    }
    enum scan_point_verdict verdict = scan->points[place - 1];
    if (*scan->origin && strcmp(own->origin, scan->origin) != 0) tell(verification, "the file is of another log");
    else if (verdict == POINT_OTHER) tell(verification, "its root is not that of the journal's entries");
    else if (own->size <= scan->signed_seq && note_verify(own, &verification->question->keys) == NOTE_UNKNOWN)
        tell(verification, "none of the keys signed it, though they signed the journal beyond it");
    else if ((verdict == POINT_GONE || own->size < scan->pruned_by) && !is_renewed(verification, own)) /* nothing is removed before that entry is covered */
        tell(verification, verdict == POINT_GONE ? "the file is older than all that is left of the journal" : "the file is older than the prune entry that accounts for what is missing");
    else if (verdict == POINT_BEYOND && !scan->faults) {
        answer->verdict = VERIFY_OLD;
        (void)snprintf(answer->why, sizeof answer->why, "shorter than its own checkpoint: that covers %s entries, the journal has %s",
                       text_number(own->size).text, text_number(scan->last.seq).text);
    } else if (verdict == POINT_BEYOND) {
        check_torn(verification, "it", own->size, &answer->scan);
    }
}

static void check_older(struct verification *verification, struct verify_answer *answer) {
    const struct note *older = verification->question->older;
    if (!older) return;
    const struct scan_result *scan = &answer->scan;
    enum scan_point_verdict verdict = scan->points[verification->place[POINT_OLDER] - 1];
    enum note_verdict signature = note_verify(older, &verification->question->keys);
    answer->older_unchecked = signature == NOTE_UNKNOWN;
    if (*scan->origin && strcmp(older->origin, scan->origin) != 0) tell(verification, "the given checkpoint is of another log");
    else if (signature == NOTE_FORGED) tell(verification, "the given checkpoint's signature is wrong");
    else if (verdict == POINT_OTHER) tell(verification, "the journal does not begin with what the given checkpoint covers: it was written anew since");
    else if (verdict == POINT_BEYOND && scan->faults) check_torn(verification, "the given checkpoint", older->size, &answer->scan);
    else if (verdict == POINT_SAME) return;
    else {
        answer->verdict = VERIFY_OLD;
        if (verdict == POINT_BEYOND)
            (void)snprintf(answer->why, sizeof answer->why, "shorter than the given checkpoint: that covers %s entries, the journal has %s",
                           text_number(older->size).text, text_number(scan->last.seq).text);
        else
            (void)snprintf(answer->why, sizeof answer->why,
                           "the given checkpoint, of %s entries, is older than all that is left of the journal, which begins with entry %s: give a newer one",
                           text_number(older->size).text, text_number(scan->first_seq).text);
    }
}

/* Who can write to the folder can put a prune entry behind the last checkpoint and take the files away. */
static void check_pruned(struct verification *verification, const struct scan_result *scan) {
    char text[200];
    if (!scan->signed_seq || scan->pruned_by <= scan->signed_size) return;
    (void)snprintf(text, sizeof text, "entries 1 to %" PRId64 " are missing, and the prune entry that accounts for that, %" PRId64 ", is not signed",
                   scan->first_seq - 1, scan->pruned_by);
    tell_of(verification, SEGMENT_OPEN, text);
}

static void judge_signatures(const struct verification *verification, struct verify_answer *answer) {
    const struct verify_question *question = verification->question;
    const struct scan_result *scan = &answer->scan;
    if (scan->faults) return; /* what is signed of a journal that was altered is not to be told */
    answer->unsigned_entries = scan->signed_seq ? scan->last.seq - scan->signed_seq : scan->entries;
    if (answer->verdict) return;
    int64_t age_us = question->now_us - scan->signed_time_us;
    if (!scan->signed_seq || answer->unsigned_entries) {
        answer->verdict = VERIFY_UNSIGNED;
        (void)snprintf(answer->why, sizeof answer->why, "%s",
                       scan->signed_seq            ? "its end is not signed yet"
                       : !question->keys.count     ? "no public key is known to check signatures with: give --vkey"
                       : scan->foreign_checkpoints ? "signed, but by none of the given keys"
                                                   : "it is not signed");
    }
    if (question->most_age_us && scan->signed_seq && age_us > question->most_age_us) {
        answer->verdict = VERIFY_OLD;
        (void)snprintf(answer->why, sizeof answer->why, "the last signed entry is %s old", time_format_span(age_us).text);
    }
}

int journal_verify(const struct verify_question *question, struct verify_answer *ret_answer, struct err *err) {
    struct verification verification = {.question = question};
    struct note own;
    if (take_own_checkpoint(&verification, &own, err)) return -1;
    if (question->older) add_point(&verification, POINT_OLDER, question->older);
    const struct scan_visitor visitor = {.context = question->context, .wait = true, .fault = question->fault, .keys = &question->keys,
                                         .points = verification.points, .n_points = verification.n_points, .threads = question->threads,
                                         .progress = question->progress};
    struct verify_answer answer = {.verdict = VERIFY_WELL};
    if (journal_scan(question->folder, &visitor, &answer.scan, err)) return -1;
    if (!answer.scan.segments) return err_set(err, ERR_IO, "there is no journal in \"%s\"", question->folder);
    check_own(&verification, &own, &answer);
    check_older(&verification, &answer);
    check_pruned(&verification, &answer.scan);
    judge_signatures(&verification, &answer);
    answer.scan.faults += verification.faults;
    if (answer.scan.faults) answer.verdict = VERIFY_ALTERED;
    *ret_answer = answer;
    return 0;
}
