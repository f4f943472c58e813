#include "schedule/fault.h"

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

void faults_print(const struct faults *faults, FILE *to) {
    for (size_t i = 0; i < faults->count; i++) {
        const struct fault *fault = &faults->items[i];
        if (fault->place.line) (void)fprintf(to, "%s:%u: %s\n", fault->place.file, fault->place.line, fault->text);
        else (void)fprintf(to, "%s: %s\n", fault->place.file, fault->text);
    }
}
