/* What the journal costs: lines a second by how many are in flight at a time, and how fast a journal is verified.
 * usage: journal [FOLDER]      makes its journals in there (the default is /tmp) and removes them. Prints one JSON object a line. */
#include "base/arena.h"
#include "base/log.h"
#include "base/time.h"
#include "journal/calls.h"
#include "journal/journal.h"
#include "journal/verify.h"

#include <dirent.h>
#include <inttypes.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TENANTS = 4, VERIFY_LINES = 600000, SEGMENT_BYTES = 64 << 20, RUNS = 5 };

static int wake_pipe[2];
static char folder[256], state[300];
static int (*real_fdatasync)(int fd);
static atomic_llong syncs;

static void must(bool ok, const struct err *err) {
    if (ok) return;
    (void)fprintf(stderr, "bench/journal: %s\n", err ? err->text : "a system call failed");
    exit(1);
}

static int counted_fdatasync(int fd) {
    atomic_fetch_add(&syncs, 1);
    return real_fdatasync(fd);
}

static void wake_up(void *context) {
    (void)context;
    must(write(wake_pipe[1], "w", 1) == 1, NULL);
}

static void remove_folder(const char *path) {
    DIR *dir = opendir(path);
    if (!dir) return;
    for (const struct dirent *item; (item = readdir(dir));) (void)unlinkat(dirfd(dir), item->d_name, 0);
    (void)closedir(dir);
    (void)rmdir(path);
}

/* ---- writing ---- */

struct flight {
    struct journal_ticket ticket;
    size_t *landed;
};

static void land(struct journal_ticket *ticket, const struct err *err) {
    must(!err, err);
    ++*((struct flight *)(void *)ticket)->landed; /* its first member */
}

static void append(struct journal *journal, int64_t batch, struct journal_ticket *ticket) {
    static const struct entry_tenant tenants[TENANTS] = {{"1042", 250, INT64_C(1574470800000000)}, {"1043", 250, INT64_C(1574470800000000)},
                                                         {"1044", 250, INT64_C(1574470800000000)}, {"1045", 250, INT64_C(1574470800000000)}};
    static const char root[] = "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9";
    const struct entry intent = {.event = ENTRY_INTENT, .sweep = 1, .batch = batch, .rule = "Billing Records", .store = "main", .target = "invoices",
                                 .action = "purge", .from = "issued_on", .tenants = tenants, .n_tenants = TENANTS, .records = 1000, .evidence = root,
                                 .transaction = "771", .server = "2026-11-22T08:00:00Z", .schedule = root};
    const struct entry outcome = {.event = ENTRY_OUTCOME, .sweep = 1, .batch = batch - 1, .outcome = "committed", .records = 1000};
    journal_append(journal, batch & 1 ? &intent : &outcome, ticket);
}

static void write_group(struct journal *journal, int64_t first, struct flight *flights, size_t n) {
    size_t landed = 0;
    for (size_t i = 0; i < n; i++) {
        flights[i] = (struct flight){.ticket = {.done = land}, .landed = &landed};
        append(journal, first + (int64_t)i, &flights[i].ticket);
    }
    while (landed < n) {
        char bytes[64];
        struct pollfd readable = {.fd = wake_pipe[0], .events = POLLIN};
        must(poll(&readable, 1, 60000) == 1 && read(wake_pipe[0], bytes, sizeof bytes) > 0, NULL);
        journal_collect(journal);
    }
}

/* Writes so many lines, `group` of them at a time; returns how long that took. */
static int64_t write_lines(size_t lines, size_t group, struct note_keys *keys) {
    struct arena *arena = arena_new();
    struct err err;
    struct signers signers;
    const struct open_intent *open;
    size_t n_open;
    must(!mkdir(folder, 0700) && !mkdir(state, 0700), NULL);
    must(!signers_open(state, &signers, &err), &err);
    keys->items[0] = *signer_public(signers.items[0]);
    keys->count = 1;
    const struct journal_conf conf = {.folder = folder, .segment_bytes = SEGMENT_BYTES, .segment_age_us = TIME_DAY_US, .signers = signers, .wake = wake_up};
    struct journal *journal;
    must(!journal_open(&conf, arena, &journal, &open, &n_open, &err), &err);
    struct flight *flights = xcalloc(group, sizeof *flights);
    int64_t start_us = time_monotonic_us();
    for (size_t done = 0; done < lines; done += group) write_group(journal, (int64_t)done, flights, group);
    int64_t took_us = time_monotonic_us() - start_us;
    journal_close(journal);
    free(flights);
    arena_free(arena);
    return took_us;
}

static void remove_all(void) {
    remove_folder(folder);
    remove_folder(state);
}

static void measure_writing(size_t lines, size_t group) {
    struct note_keys keys;
    atomic_store(&syncs, 0);
    int64_t took_us = write_lines(lines, group, &keys);
    (void)printf("{\"journal\":\"write\",\"in_flight\":%zu,\"lines_per_s\":%.0f,\"lines_per_fsync\":%.1f}\n", group, (double)lines * 1e6 / (double)took_us,
                 (double)lines / (double)atomic_load(&syncs));
    remove_all();
}

/* ---- verifying ---- */

static int by_size(const void *a, const void *b) {
    const double *left = a, *right = b;
    return (*left > *right) - (*left < *right);
}

/* Of all threads: what others do on the machine counts little in it. */
static int64_t cpu_us(void) {
    struct timespec used;
    must(!clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used), NULL);
    return used.tv_sec * TIME_SECOND_US + used.tv_nsec / 1000;
}

static void measure_verifying(const struct note_keys *keys, unsigned threads) {
    double speeds[RUNS], per_core[RUNS];
    for (int i = 0; i < RUNS; i++) {
        const struct verify_question question = {.folder = folder, .keys = *keys, .now_us = time_now_us(), .threads = threads};
        struct verify_answer answer;
        struct err err;
        int64_t start_us = time_monotonic_us(), start_cpu_us = cpu_us();
        must(!journal_verify(&question, &answer, &err), &err);
        if (answer.verdict != VERIFY_WELL) (void)fprintf(stderr, "bench/journal: verdict %d: %s%s\n", (int)answer.verdict, answer.scan.first_fault, answer.why);
        speeds[i] = (double)answer.scan.bytes / (double)(time_monotonic_us() - start_us);
        per_core[i] = (double)answer.scan.bytes / (double)(cpu_us() - start_cpu_us);
    }
    qsort(speeds, RUNS, sizeof *speeds, by_size);
    qsort(per_core, RUNS, sizeof *per_core, by_size);
    (void)printf("{\"journal\":\"verify\",\"threads\":%u,\"mb_per_s\":%.0f,\"mb_per_cpu_s\":%.0f,\"least_per_cpu_s\":%.0f,\"most_per_cpu_s\":%.0f}\n", threads,
                 speeds[RUNS / 2], per_core[RUNS / 2], per_core[0], per_core[RUNS - 1]);
}

int main(int argc, char **argv) {
    struct note_keys keys;
    (void)snprintf(folder, sizeof folder, "%s/lapsed-bench-%ld", argc > 1 ? argv[1] : P_tmpdir, (long)getpid());
    (void)snprintf(state, sizeof state, "%s.state", folder);
    log_open("bench/journal", LOG_LEVEL_ERROR);
    must(!pipe(wake_pipe), NULL);
    real_fdatasync = journal_calls.fdatasync;
    journal_calls.fdatasync = counted_fdatasync;
    measure_writing(2000, 1);
    measure_writing(20000, 10);
    measure_writing(100000, 100);
    measure_writing(200000, 1000);
    (void)write_lines(VERIFY_LINES, 1000, &keys);
    measure_verifying(&keys, 1);
    measure_verifying(&keys, 2);
    remove_all();
    return 0;
}
