/* What the journal's tests share: a journal in a folder of its own, a loop that waits for its tickets, and
 * entries to put in. */
#ifndef LAPSED_TESTS_JOURNAL_FOLDER_H
#define LAPSED_TESTS_JOURNAL_FOLDER_H

#include "base/arena.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time.h"
#include "journal/journal.h"
#include "temporary.h"
#include "unit.h"

#include <dirent.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[TEMPORARY_ROOM];
static int wake_pipe[2];

static inline void folder_remove(void) {
    DIR *dir = opendir(folder);
    if (!dir) return;
    for (struct dirent *item; (item = readdir(dir));) (void)unlinkat(dirfd(dir), item->d_name, 0);
    (void)closedir(dir);
    (void)rmdir(folder);
}

static inline void folder_setup(void) {
    log_open("test", LOG_LEVEL_ERROR - 1); /* what is said of provoked failures is of no interest */
    ck_assert(temporary_folder_in_memory(folder));
    ck_assert_int_eq(pipe(wake_pipe), 0);
}

static inline struct buf folder_path(const char *name) {
    struct buf path = {.text = NULL};
    buf_printf(&path, "%s/%s", folder, name);
    return path;
}

static inline char *folder_read(const char *name, size_t *ret_length) {
    struct buf path = folder_path(name);
    char *bytes;
    struct err err;
    ck_assert_msg(!text_read_file(path.text, 64 << 20, &bytes, ret_length, &err), "%s", err.text);
    buf_free(&path);
    return bytes;
}

static inline void folder_write(const char *name, const char *bytes, size_t length) {
    struct buf path = folder_path(name);
    (void)unlink(path.text);
    FILE *file = fopen(path.text, "w");
    ck_assert(file != NULL);
    ck_assert_uint_eq(fwrite(bytes, 1, length, file), length);
    ck_assert_int_eq(fclose(file), 0);
    buf_free(&path);
}

/* How many files' names begin so; one of them in ret_name (may be NULL). */
static inline int folder_count(const char *prefix, char ret_name[64]) {
    int count = 0;
    DIR *dir = opendir(folder);
    ck_assert(dir != NULL);
    for (struct dirent *item; (item = readdir(dir));) {
        if (strncmp(item->d_name, prefix, strlen(prefix)) != 0) continue;
        count++;
        if (ret_name) (void)snprintf(ret_name, 64, "%.63s", item->d_name);
    }
    (void)closedir(dir);
    return count;
}

static inline void wake_up(void *context) {
    (void)context;
    ck_assert_int_eq(write(wake_pipe[1], "w", 1), 1);
}

static inline struct journal_conf folder_conf(void) {
    return (struct journal_conf){.folder = folder, .segment_bytes = 1 << 20, .segment_age_us = INT64_MAX, .wake = wake_up};
}

static inline struct journal *journal_opened(const struct journal_conf *conf) {
    struct arena *arena = arena_new();
    struct journal *journal;
    const struct open_intent *open;
    size_t n_open;
    struct err err;
    ck_assert_msg(!journal_open(conf, arena, &journal, &open, &n_open, &err), "%s", err.text);
    arena_free(arena);
    return journal;
}

struct waiter {
    struct journal_ticket ticket;
    int calls;
    bool failed;
    struct err err;
};

static inline void waiter_done(struct journal_ticket *ticket, const struct err *err) {
    struct waiter *waiter = (struct waiter *)(void *)ticket; /* its first member */
    waiter->calls++;
    waiter->failed = err != NULL;
    if (err) waiter->err = *err;
}

static inline void append(struct journal *journal, const struct entry *entry, struct waiter *waiter) {
    *waiter = (struct waiter){.ticket = {.done = waiter_done}};
    journal_append(journal, entry, &waiter->ticket);
}

/* As the loop does: sleeps until it is woken, then collects. */
static inline void wait_for(struct journal *journal, const struct waiter *waiter) {
    while (!waiter->calls) {
        struct pollfd readable = {.fd = wake_pipe[0], .events = POLLIN};
        ck_assert_int_eq(poll(&readable, 1, 20000), 1);
        char bytes[64];
        ck_assert(read(wake_pipe[0], bytes, sizeof bytes) > 0);
        journal_collect(journal);
    }
    ck_assert_int_eq(waiter->calls, 1);
}

/* Appends and waits; whether it is on disk. */
static inline bool put(struct journal *journal, const struct entry *entry) {
    struct waiter waiter;
    append(journal, entry, &waiter);
    wait_for(journal, &waiter);
    return !waiter.failed;
}

/* As of a time when every closed segment is past the journal's period; their evidence is, too, because they are gone. */
static inline void prune_all(struct journal *journal) {
    journal_prune(journal, time_now_us() + TIME_DAY_US, (struct period){1, PERIOD_SECONDS}, (struct period){1, PERIOD_YEARS});
}

static inline struct entry an_intent(int64_t sweep, int64_t batch) {
    static const struct entry_tenant tenants[] = {{"1042", 1000, INT64_C(1574470800000000)}};
    return (struct entry){.event = ENTRY_INTENT, .sweep = sweep, .batch = batch, .rule = "Billing Records", .store = "main",
                          .target = "invoices", .action = "purge", .from = "issued_on", .tenants = tenants, .n_tenants = 1,
                          .records = 1000, .dependents = 5213, .transaction = "771", .server = "2026-11-22T08:00:00Z",
                          .schedule = "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9"};
}

static inline struct entry an_outcome(int64_t sweep, int64_t batch, const char *outcome) {
    return (struct entry){.event = ENTRY_OUTCOME, .sweep = sweep, .batch = batch, .outcome = outcome, .records = 1000, .dependents = 5213};
}

#endif
