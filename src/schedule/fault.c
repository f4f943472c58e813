#include "schedule/fault.h"

#include "base/log.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void fault_add(struct faults *faults, struct place place, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    struct fault fault = {
        .place = {.file = arena_strdup(faults->arena, place.file), .line = place.line},
        .text = arena_vprintf(faults->arena, format, arguments),
    };
    va_end(arguments);
    *ARENA_APPEND(faults->arena, faults->items, faults->count) = fault;
}

static int compare(const void *a, const void *b) {
    const struct fault *x = a, *y = b;
    int files = strcmp(x->place.file, y->place.file);
    if (files) return files;
    if (x->place.line != y->place.line) return x->place.line < y->place.line ? -1 : 1;
    return strcmp(x->text, y->text);
}

void faults_sort(struct faults *faults) {
    if (!faults->count) return;
    qsort(faults->items, faults->count, sizeof *faults->items, compare);
    size_t kept = 1;
    for (size_t i = 1; i < faults->count; i++)
        if (compare(&faults->items[i], &faults->items[kept - 1])) faults->items[kept++] = faults->items[i];
    faults->count = kept;
}

/* As much of its place as there is, and what it is. */
static void say(const struct fault *fault, struct buf *to) {
    buf_clear(to);
    if (*fault->place.file) buf_add(to, fault->place.file);
    if (fault->place.line) buf_printf(to, ":%u", fault->place.line);
    buf_printf(to, "%s%s", to->length ? ": " : "", fault->text);
}

void faults_print(const struct faults *faults, FILE *to) {
    __attribute__((cleanup(buf_free))) struct buf line = {.text = NULL};
    for (size_t i = 0; i < faults->count; i++) {
        say(&faults->items[i], &line);
        (void)fprintf(to, "%s\n", buf_text(&line));
    }
}

void faults_log(const struct faults *faults) {
    __attribute__((cleanup(buf_free))) struct buf line = {.text = NULL};
    for (size_t i = 0; i < faults->count; i++) {
        say(&faults->items[i], &line);
        log_error("%s", buf_text(&line));
    }
}
