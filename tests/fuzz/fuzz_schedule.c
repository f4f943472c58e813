/* Schedule text: any bytes load or are refused with a fault. Both files are tried: bytes that name stores are
 * lapsed.conf, others schedule.conf. `make fuzz` builds and runs it on our examples. */
#include "base/text.h"
#include "schedule/schedule.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

/* libconfig 1.5 leaks on some syntax errors. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libconfig.so"; }

static const char frame[] =
    "stores = { main = { url = \"postgresql://h/d\"; }; docs = { url = \"mongodb://h/d\"; }; cache = { url = \"redis://h/0\"; }; };\n"
    "tenants = { store = \"main\"; ends = [ \"subscription\", \"account\" ]; query = \"SELECT 1 AS tenant\"; };\n"
    "schedule = \"/proc/self/fd/%d\";\n";

static int file_of(const void *bytes, size_t length) {
    int file = memfd_create("fuzz", 0);
    if (file < 0 || write(file, bytes, length) != (ssize_t)length) abort();
    return file;
}

static void load(int file) {
    char path[64];
    struct arena *arena = arena_new();
    struct faults faults = {.arena = arena};
    struct schedule *schedule = NULL;
    struct err err;
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    int failed = schedule_load(path, false, &schedule, &faults, &err);
    if ((failed != 0) != (faults.count > 0) || (failed != 0) != (schedule == NULL)) abort();
    for (size_t i = 0; schedule && i < schedule->n_rules; i++)
        if (!schedule->rules[i].data || !schedule->rules[i].n_keep || !schedule->rules[i].n_targets) abort();
    for (size_t i = 0; schedule && i < schedule->n_targets; i++)
        if (!schedule->targets[i]->store || !schedule->targets[i]->name || schedule->targets[i]->number != i) abort();
    schedule_free(schedule);
    arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    int file = file_of(bytes, length);
    if (memmem(bytes, length, "stores", 6)) {
        load(file);
    } else {
        char text[sizeof frame + 32];
        int size = snprintf(text, sizeof text, frame, file), main_file = file_of(text, (size_t)size);
        load(main_file);
        if (close(main_file)) abort();
    }
    return close(file);
}
