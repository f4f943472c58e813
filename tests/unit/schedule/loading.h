/* Loads schedules from texts: each test gets a folder of its own, taken away at its end. */
#ifndef LAPSED_TESTS_LOADING_H
#define LAPSED_TESTS_LOADING_H

#include "base/text.h"
#include "schedule/schedule.h"
#include "temporary.h"
#include "unit.h"

#include <stdio.h>
#include <unistd.h>

struct loading {
    char folder[TEMPORARY_ROOM], main[2 * TEMPORARY_ROOM], rules[2 * TEMPORARY_ROOM];
    struct arena *arena;
    struct faults faults;
    struct schedule *schedule; /* NULL: faults */
    struct err err;
};

static inline void loading_write(const char *path, const char *bytes, size_t length) {
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, length, file), length);
    ck_assert_int_eq(fclose(file), 0);
}

static inline void loading_begin(struct loading *loading) {
    *loading = (struct loading){.arena = NULL};
    ck_assert(temporary_folder(loading->folder));
    (void)snprintf(loading->main, sizeof loading->main, "%s/lapsed.conf", loading->folder);
    (void)snprintf(loading->rules, sizeof loading->rules, "%s/schedule.conf", loading->folder);
    loading->arena = arena_new();
    loading->faults = (struct faults){.arena = loading->arena};
}

static inline void loading_expect_print(const struct faults *faults, const char *text) {
    char *said = NULL;
    size_t length;
    FILE *to = open_memstream(&said, &length);
    faults_print(faults, to);
    ck_assert_int_eq(fclose(to), 0);
    ck_assert_str_eq(said, text);
    free(said);
}

/* rules NULL: no such file. */
static inline void loading_load_bytes(struct loading *loading, const char *main, size_t main_length, const char *rules, size_t rules_length, bool allow_empty) {
    loading_begin(loading);
    loading_write(loading->main, main, main_length);
    if (rules) loading_write(loading->rules, rules, rules_length);
    int failed = schedule_load(loading->main, allow_empty, &loading->schedule, &loading->faults, &loading->err);
    ck_assert_int_eq(failed, loading->faults.count ? -1 : 0);
    ck_assert((loading->schedule == NULL) == (failed != 0));
    if (failed) ck_assert_int_eq(loading->err.code, ERR_CONFIG);
}

static inline void loading_load(struct loading *loading, const char *main, const char *rules) {
    loading_load_bytes(loading, main, strlen(main), rules, rules ? strlen(rules) : 0, false);
}

static inline void loading_end(struct loading *loading) {
    schedule_free(loading->schedule);
    arena_free(loading->arena);
    (void)unlink(loading->main);
    (void)unlink(loading->rules);
    (void)rmdir(loading->folder);
}

/* All faults as they are printed, without the folder in front. */
static inline char *loading_print(const struct loading *loading) {
    struct buf buf = {0};
    size_t folder = strlen(loading->folder) + 1;
    for (size_t i = 0; i < loading->faults.count; i++) {
        const struct fault *fault = &loading->faults.items[i];
        buf_printf(&buf, "%s:%u: %s\n", fault->place.file + folder, fault->place.line, fault->text);
    }
    char *text = arena_strdup(loading->arena, buf_text(&buf));
    buf_free(&buf);
    return text;
}

/* Exactly one fault, at this place, holding these words. */
static inline void loading_expect(const char *main, const char *rules, const char *place, const char *words) {
    struct loading loading;
    loading_load(&loading, main, rules);
    const char *text = loading_print(&loading);
    ck_assert_msg(loading.faults.count == 1 && text_starts_with(text, place) && strstr(text, words),
                  "expected one fault at %s with: %s\ngot:\n%sin:\n%s%s", place, words, text, main, rules ? rules : "");
    loading_end(&loading);
}

#define GOOD_MAIN                                                                                                          \
    "stores = { main = { url = \"postgresql://lapsed@db/app\"; }; docs = { url = \"mongodb://lapsed@mongo/app\"; };"        \
    " cache = { url = \"redis://lapsed@cache:6379/0\"; }; };\n"                                                            \
    "tenants = { store = \"main\"; ends = [ \"subscription\", \"account\" ]; query = \"SELECT 1 AS tenant\"; };\n"          \
    "schedule = \"schedule.conf\";\n"

#endif
