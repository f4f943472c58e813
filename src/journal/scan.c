#include "journal/scan.h"

#include "journal/part.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct scan {
    const char *folder;
    const struct scan_visitor *visitor;
    struct scan_result result;
    struct part *parts; /* of each segment */
    size_t n_parts;
    bool fault_elsewhere; /* than in a line of the open segment */
    bool altered; /* the open segment */
    struct part_removed *removed;
    size_t n_removed;
    struct merkle_tree first_tree; /* before the first entry there is */
};

/* ---- one fault ---- */

static void tell_fault(struct scan *scan, bool open, const struct scan_fault *fault) {
    const struct scan_place *place = &fault->place;
    if (!scan->result.faults++) {
        char *first = scan->result.first_fault;
        if (place->line)
            (void)snprintf(first, sizeof scan->result.first_fault, "%s line %" PRId64 " byte %" PRId64 ": %s", place->file,
                           place->line, place->byte, fault->text);
        else (void)snprintf(first, sizeof scan->result.first_fault, "%s: %s", place->file, fault->text);
    }
    if (!open || !place->line) scan->fault_elsewhere = true;
    if (scan->visitor->fault) scan->visitor->fault(scan->visitor->context, fault);
}

/* ---- joining a segment to those before it ---- */

static void not_joined(struct scan *scan, const struct part *part, int64_t seq, const char *text) {
    const struct scan_place place = {part->segment->name, 1, 0};
    scan->fault_elsewhere = true;
    tell_fault(scan, part->open, &(struct scan_fault){place, seq, text});
}

/* A segment whose first line cannot be read still has its name. */
static void check_joint(struct scan *scan, const struct part *before, const struct part *part) {
    char text[200];
    int64_t expected = before->at.seq + 1, first = part->start_known ? part->start.seq + 1 : part->segment->first_seq;
    if (!first) return;
    if (first < expected) {
        (void)snprintf(text, sizeof text, "entry %" PRId64 " stands where entry %" PRId64 " belongs: repeated or out of order", first, expected);
        not_joined(scan, part, expected, text);
    } else if (first > expected) {
        if (first == expected + 1) (void)snprintf(text, sizeof text, "entry %" PRId64 " is missing before it", expected);
        else (void)snprintf(text, sizeof text, "entries %" PRId64 " to %" PRId64 " are missing before it", expected, first - 1);
        not_joined(scan, part, expected, text);
    } else if (part->start_known && before->hash_known && strcmp(before->at.hash.text, part->start.hash.text) != 0) {
        (void)snprintf(text, sizeof text, "the hash does not fit: entry %" PRId64 " or the one before it was altered", first);
        not_joined(scan, part, expected, text);
    } else if (part->start_known && before->tree_known) {
        struct merkle_hash own = merkle_root(&part->start_tree), root = merkle_root(&before->tree);
        if (!merkle_equal(&own, &root)) not_joined(scan, part, expected, "its frontier is not that of the entries before it");
    }
    if (*before->origin && part->start_known && strcmp(before->origin, part->origin) != 0) not_joined(scan, part, expected, "the segment is of another log");
}

static void take_counts(struct scan *scan, const struct part *part) {
    struct scan_result *result = &scan->result;
    if (!result->entries && part->entries) {
        result->first_seq = part->first_seq;
        result->first_time_us = part->first_time_us;
    }
    result->entries += part->entries;
    result->bytes += part->bytes;
    result->clock_back += part->clock_back;
    result->checkpoints += part->checkpoints;
    result->foreign_checkpoints += part->foreign_checkpoints;
    if (part->signed_seq) {
        result->signed_seq = part->signed_seq;
        result->signed_size = part->signed_size;
        result->signed_time_us = part->signed_time_us;
        result->signed_root = part->signed_root;
    }
    for (size_t i = 0; i < scan->visitor->n_points; i++)
        if (part->reached[i]) result->points[i] = part->same[i] ? POINT_SAME : POINT_OTHER;
    scan->removed = xrealloc(scan->removed, (scan->n_removed + part->n_removed + 1) * sizeof *scan->removed);
    for (size_t i = 0; i < part->n_removed; i++) scan->removed[scan->n_removed++] = part->removed[i];
}

static void join(struct scan *scan, const struct part *before, const struct part *part) {
    struct scan_result *result = &scan->result;
    if (before) check_joint(scan, before, part);
    if (before && part->entries && part->first_time_us < before->at.time_us) result->clock_back++;
    bool faultless = !result->faults;
    if (faultless && part->start_known) {
        result->last = part->good;
        result->tree = part->tree;
        if (!before) scan->first_tree = part->start_tree;
        memcpy(result->origin, part->origin, sizeof result->origin);
    }
    size_t told = part_told(part), more = part->n_faults - told;
    for (size_t i = 0; i < told; i++) {
        char text[80];
        if (more) (void)snprintf(text, sizeof text, "and %s more faults of the file, from here on", text_number((int64_t)more + 1).text);
        tell_fault(scan, part->open, &(struct scan_fault){part->faults[i].place, part->faults[i].seq, more && i + 1 == told ? text : part->faults[i].text});
    }
    scan->result.faults += (int64_t)more;
    if (part->n_faults && !part_is_torn(part)) scan->altered = true;
    take_counts(scan, part);
    if (part->open) {
        result->has_open = true;
        result->open_first_seq = part->first_seq;
        result->open_time_us = part->first_time_us;
        result->open_good_bytes = faultless ? part->good_bytes : 0;
    }
}

/* ---- what was removed before the first entry ---- */

/* The entry that does; 0: none. */
static int64_t accounted_for_by(const struct scan *scan) {
    int64_t before = scan->result.first_seq - 1;
    struct merkle_hash root = merkle_root(&scan->first_tree);
    for (size_t i = 0; i < scan->n_removed; i++) {
        const struct part_removed *removed = &scan->removed[i];
        if (removed->last_seq == before && merkle_equal(&root, &removed->root)) return removed->by_seq;
    }
    return 0;
}

static void check_beginning(struct scan *scan) {
    int64_t first = scan->result.first_seq;
    if (first <= 1 || !scan->parts[0].start_known) return;
    scan->result.pruned_by = accounted_for_by(scan);
    if (scan->result.pruned_by) return;
    char text[200];
    (void)snprintf(text, sizeof text, "%s%" PRId64 " %s missing before it, and no prune entry accounts for that",
                   first == 2 ? "entry " : "entries 1 to ", first - 1, first == 2 ? "is" : "are");
    not_joined(scan, &scan->parts[0], 1, text);
}

/* ---- the segments one after the other, or several at a time ---- */

static int scan_part(struct scan *scan, size_t i, const struct position *expected, atomic_llong *progress, struct err *err) {
    struct part *part = &scan->parts[i];
    part->progress = progress;
    return part_scan(part, scan->folder, expected, err);
}

/* Where its first line does not tell: what a closed segment's name says, and before the open one what went before. */
static struct position expected_before(const struct scan *scan, size_t i) {
    int64_t first_seq = scan->parts[i].segment->first_seq;
    if (!first_seq && i) return scan->parts[i - 1].at;
    struct position start = chain_start();
    if (first_seq) start.seq = first_seq - 1;
    return start;
}

struct pool {
    struct scan *scan;
    atomic_size_t next;
    size_t end;
    atomic_llong progress;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t running;
    struct err err;
    bool failed;
};

static void *work(void *context) {
    struct pool *pool = context;
    for (size_t i; (i = atomic_fetch_add(&pool->next, 1)) < pool->end;) {
        struct position expected = expected_before(pool->scan, i);
        struct err err;
        bool failed = scan_part(pool->scan, i, &expected, &pool->progress, &err) != 0;
        if (pthread_mutex_lock(&pool->lock)) abort();
        if (failed && !pool->failed) pool->err = err;
        pool->failed |= failed;
        if (pthread_mutex_unlock(&pool->lock)) abort();
    }
    if (pthread_mutex_lock(&pool->lock)) abort();
    pool->running--;
    (void)pthread_cond_signal(&pool->changed);
    if (pthread_mutex_unlock(&pool->lock)) abort();
    return NULL;
}

static int64_t total_bytes(const struct scan *scan) {
    int64_t bytes = 0;
    for (size_t i = 0; i < scan->n_parts; i++) {
        struct buf path __attribute__((cleanup(buf_free))) = {.text = NULL};
        struct stat stat_of;
        buf_printf(&path, "%s/%s", scan->folder, scan->parts[i].segment->name);
        if (!stat(path.text, &stat_of)) bytes += stat_of.st_size;
    }
    return bytes;
}

/* Tells how far the workers are, until all have ended. */
static void watch(struct pool *pool) {
    const struct scan_visitor *visitor = pool->scan->visitor;
    int64_t bytes = visitor->progress ? total_bytes(pool->scan) : 0;
    if (pthread_mutex_lock(&pool->lock)) abort();
    while (pool->running) {
        struct timespec until;
        (void)clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec++;
        (void)pthread_cond_timedwait(&pool->changed, &pool->lock, &until);
        if (visitor->progress) visitor->progress(visitor->context, atomic_load(&pool->progress), bytes);
    }
    if (pthread_mutex_unlock(&pool->lock)) abort();
}

enum { MOST_THREADS = 16 };

/* The closed segments, in as many threads. */
static int scan_closed(struct scan *scan, size_t n_closed, struct err *err) {
    pthread_t threads[MOST_THREADS];
    size_t wanted = scan->visitor->threads < MOST_THREADS ? scan->visitor->threads : MOST_THREADS, started = 0;
    if (wanted > n_closed) wanted = n_closed;
    struct pool pool = {.scan = scan, .end = n_closed, .running = wanted};
    atomic_init(&pool.next, 0);
    atomic_init(&pool.progress, 0);
    if (pthread_mutex_init(&pool.lock, NULL) || pthread_cond_init(&pool.changed, NULL)) abort();
    while (started < wanted && !pthread_create(&threads[started], NULL, work, &pool)) started++;
    if (pthread_mutex_lock(&pool.lock)) abort();
    pool.running -= wanted - started;
    if (!started) pool.running++;
    if (pthread_mutex_unlock(&pool.lock)) abort();
    if (!started) (void)work(&pool); /* no thread could be had: then without */
    watch(&pool);
    for (size_t i = 0; i < started; i++) (void)pthread_join(threads[i], NULL);
    (void)pthread_mutex_destroy(&pool.lock);
    (void)pthread_cond_destroy(&pool.changed);
    if (pool.failed) *err = pool.err;
    return pool.failed ? -1 : 0;
}

static int scan_parts(struct scan *scan, struct err *err) {
    size_t n_closed = scan->n_parts && scan->parts[scan->n_parts - 1].segment->fd >= 0 ? scan->n_parts - 1 : scan->n_parts, done = 0;
    bool parallel = scan->visitor->threads > 1 && !scan->visitor->entry && n_closed > 1;
    if (parallel) {
        if (scan_closed(scan, n_closed, err)) return -1;
        done = n_closed;
    }
    for (size_t i = 0; i < scan->n_parts; i++) {
        struct position expected = expected_before(scan, i);
        if (i >= done && scan_part(scan, i, &expected, NULL, err)) return -1;
        join(scan, i ? &scan->parts[i - 1] : NULL, &scan->parts[i]);
    }
    return 0;
}

/* Those that were not met: of a time before what is left, or behind its end. */
static void settle_points(struct scan *scan) {
    bool known = scan->n_parts && scan->parts[0].start_known;
    for (size_t i = 0; i < scan->visitor->n_points; i++)
        if (scan->result.points[i] == POINT_BEYOND && known && scan->visitor->points[i].size < scan->parts[0].start.seq)
            scan->result.points[i] = POINT_GONE;
}

static void scan_free(struct scan *scan) {
    for (size_t i = 0; i < scan->n_parts; i++) part_free(&scan->parts[i]);
    free(scan->parts);
    free(scan->removed);
}

static void arena_free_of(struct arena **arena) { arena_free(*arena); }

int journal_scan(const char *folder, const struct scan_visitor *visitor, struct scan_result *ret_result, struct err *err) {
    __attribute__((cleanup(arena_free_of))) struct arena *arena = arena_new();
    __attribute__((cleanup(segments_close))) struct segments segments = {.count = 0};
    if (segments_hold(folder, arena, &segments, err)) return -1;
    __attribute__((cleanup(scan_free))) struct scan scan = {.folder = folder, .visitor = visitor, .n_parts = segments.count};
    scan.parts = xcalloc(segments.count + 1, sizeof *scan.parts);
    for (size_t i = 0; i < segments.count; i++) {
        scan.parts[i].visitor = visitor;
        scan.parts[i].segment = &segments.items[i];
    }
    scan.result.last = chain_start();
    scan.result.segments = (int64_t)segments.count;
    if (scan_parts(&scan, err)) return -1;
    settle_points(&scan);
    if (segments.count) check_beginning(&scan);
    for (size_t i = 0; segments.count && i < segments.n_strays; i++)
        tell_fault(&scan, false, &(struct scan_fault){{segments.strays[i], 0, 0}, 0, "it is no segment of this journal: move it elsewhere"});
    if (segments.open_missing)
        tell_fault(&scan, false, &(struct scan_fault){{SEGMENT_OPEN, 0, 0}, scan.result.last.seq + 1,
                   "the open segment is missing, though closed ones are there; put it back"});
    scan.result.torn_tail = scan.result.faults && !scan.fault_elsewhere && !scan.altered;
    *ret_result = scan.result;
    return 0;
}
