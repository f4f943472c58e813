/* A schedule from a text in the test, loaded as any other; and instants from text. */
#ifndef LAPSED_TESTS_SCHEDULE_TEXT_H
#define LAPSED_TESTS_SCHEDULE_TEXT_H

#include "base/time.h"
#include "schedule/schedule.h"
#include "temporary.h"
#include "unit.h"

#include <stdio.h>
#include <unistd.h>

static inline struct schedule *schedule_of(const char *text) {
    char folder[TEMPORARY_ROOM], path[2 * TEMPORARY_ROOM];
    ck_assert(temporary_folder(folder));
    (void)snprintf(path, sizeof path, "%s/lapsed.conf", folder);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
    struct arena *arena = arena_new();
    struct faults faults = {.arena = arena};
    struct schedule *schedule = NULL;
    struct err err;
    if (schedule_load(path, false, &schedule, &faults, &err)) {
        faults_print(&faults, stderr);
        ck_abort_msg("%s", err.text);
    }
    arena_free(arena);
    (void)unlink(path);
    (void)rmdir(folder);
    return schedule;
}

static inline int64_t at(const char *text) {
    int64_t us;
    ck_assert_msg(time_parse(text, &us), "%s", text);
    return us;
}

#endif
