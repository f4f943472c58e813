#include "journal/evidence_check.h"

#include "journal/evidence_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void close_file(FILE **file) {
    if (*file) (void)fclose(*file);
}

static int by_seq(const void *a, const void *b) {
    const struct evidence_promise *left = a, *right = b;
    return (left->seq > right->seq) - (left->seq < right->seq);
}

/* All leaves of a batch are there: whether they are those of an intent. */
static void settle(struct evidence_check *check, int64_t seq, const struct merkle_tree *tree) {
    const struct evidence_promise key = {.seq = seq};
    struct evidence_promise *promise = bsearch(&key, check->promises, check->n_promises, sizeof key, by_seq);
    char root[ENTRY_HASH_HEX + 1];
    if (!promise) return; /* it was never entered */
    text_hex(root, merkle_root(tree).bytes);
    promise->kept |= !strcmp(root, promise->root);
}

static int read_evidence(struct evidence_check *check, FILE *file) {
    struct merkle_hash unit;
    struct merkle_tree tree = {.size = 0};
    int64_t seq = 0;
    size_t left = 0;
    while (fread(unit.bytes, sizeof unit.bytes, 1, file) == 1) {
        if (evidence_read_title(unit.bytes, &seq, &left)) {
            tree = (struct merkle_tree){.size = 0};
        } else if (left) {
            merkle_append(&tree, &unit);
            if (!--left) settle(check, seq, &tree);
        }
    }
    return ferror(file) ? -1 : 0;
}

/* A segment has gone by with all its intents: their evidence was on disk before them. */
static int check_segment(struct evidence_check *check) {
    if (!check->n_promises || check->segment < check->oldest) return 0;
    struct buf path __attribute__((cleanup(buf_free))) = {.text = NULL};
    buf_printf(&path, "%s/%s", check->folder, evidence_file_name(check->segment).text);
    __attribute__((cleanup(close_file))) FILE *file = evidence_file_read(path.text, &check->err);
    if (!file && errno != ENOENT) return -1;
    if (file && read_evidence(check, file)) return err_set_errno(&check->err, errno, "%s cannot be read", path.text);
    for (size_t i = 0; i < check->n_promises; i++) check->bad += !check->promises[i].kept;
    return 0;
}

static void end_segment(struct evidence_check *check) {
    if (!check->failed) check->failed = check_segment(check) != 0;
    check->n_promises = 0;
}

void evidence_check_entry(void *context, const struct scan_entry *found) {
    struct evidence_check *check = context;
    const struct entry *entry = &found->line.entry;
    if (found->place.line == 1) {
        end_segment(check);
        check->segment = found->line.seq;
    }
    if (entry->event != ENTRY_INTENT || found->line.part > 1 || !entry->evidence) return;
    if (check->n_promises == check->room) {
        check->room = check->room ? 2 * check->room : 64;
        check->promises = xrealloc(check->promises, check->room * sizeof *check->promises);
    }
    struct evidence_promise *promise = &check->promises[check->n_promises++];
    *promise = (struct evidence_promise){.seq = found->line.seq};
    (void)text_copy(promise->root, sizeof promise->root, entry->evidence);
}

void evidence_check_free(struct evidence_check *check) { free(check->promises); }

int evidence_check_end(struct evidence_check *check, int64_t *ret_bad, struct err *err) {
    end_segment(check);
    evidence_check_free(check);
    if (check->failed) *err = check->err;
    else *ret_bad = check->bad;
    return check->failed ? -1 : 0;
}
