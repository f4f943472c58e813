/* What evidence costs for each record: its leaf, the sorting and the root of its batch, and its place in the evidence file. */
#include "base/time.h"
#include "journal/evidence.h"
#include "journal/evidence_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

enum { RECORDS = 5000, BATCHES = 200 };

/* Of this thread: what others do on the machine counts little in it. */
static int64_t cpu_us(void) {
    struct timespec used;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return used.tv_sec * TIME_SECOND_US + used.tv_nsec / 1000;
}

static void fill(struct evidence_batch *batch, int64_t first) {
    char id[32];
    for (int64_t i = 0; i < RECORDS; i++) {
        (void)snprintf(id, sizeof id, "%" PRId64, first + i);
        evidence_record(batch, "tool_executions");
        evidence_text(batch, id);
        evidence_add(batch);
    }
}

int main(void) {
    static const unsigned char key[EVIDENCE_KEY_BYTES] = "a key of thirty-two bytes, or so";
    struct arena *arena = arena_new();
    struct buf units = {.text = NULL};
    int64_t leaves_us = 0, roots_us = 0, units_us = 0;
    for (int64_t n = 0; n < BATCHES; n++) {
        struct evidence_batch batch;
        int64_t start_us = cpu_us();
        evidence_begin(&batch, arena, key, "main");
        fill(&batch, n * RECORDS);
        int64_t filled_us = cpu_us();
        struct evidence evidence = evidence_end(&batch);
        int64_t ended_us = cpu_us();
        evidence_units(&units, n, evidence.leaves, evidence.n_leaves);
        units_us += cpu_us() - ended_us;
        roots_us += ended_us - filled_us;
        leaves_us += filled_us - start_us;
        evidence_free(&batch);
        buf_clear(&units);
        arena_clear(arena);
    }
    const double records = (double)RECORDS * BATCHES;
    (void)printf("per record, in batches of %d: leaf %.0f ns, sorting and root %.0f ns, its place in the file %.0f ns\n", RECORDS, (double)leaves_us * 1e3 / records,
                 (double)roots_us * 1e3 / records, (double)units_us * 1e3 / records);
    buf_free(&units);
    arena_free(arena);
    return 0;
}
