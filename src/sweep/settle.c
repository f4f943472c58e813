#include "sweep/settle.h"

#include "base/log.h"
#include "base/time.h"

#include <stddef.h>
#include <stdlib.h>

static const int64_t AGAIN_US = 10 * TIME_SECOND_US;

/* One store's question. */
struct question {
    struct job job;
    struct engine *engine;
    struct arena *arena; /* the question is in it */
    struct settling *settling;
    size_t n_settling;
};

#define QUESTION_OF(pointer) ((struct question *)(void *)((char *)(pointer) - offsetof(struct question, job)))

struct settling *settle_list(const struct engine *engine, const struct store_conf *conf, struct arena *arena, size_t *ret_count) {
    struct settling *settling = NULL;
    *ret_count = 0;
    for (const struct unsettled *batch = engine->unsettled; batch; batch = batch->next)
        if (text_equal(batch->store, conf->name)) *ARENA_APPEND(arena, settling, *ret_count) = (struct settling){.batch = batch};
    return settling;
}

int settle_all(struct store *store, struct settling *settling, size_t count, struct err *err) {
    for (size_t i = 0; i < count; i++)
        if (store_driver(store)->settle(store, settling[i].batch->transaction, settling[i].batch->server, &settling[i].result, err)) return -1;
    return 0;
}

void settle_enter(struct engine *engine, const struct settling *settling) {
    const struct unsettled *batch = settling->batch;
    bool resolved = settling->result != SETTLED_UNRESOLVED;
    const struct entry entry = {.event = ENTRY_OUTCOME, .sweep = batch->sweep, .batch = batch->batch,
                                .outcome = resolved ? "settled" : "unresolved",
                                .result = !resolved ? NULL : settling->result == SETTLED_COMMITTED ? "committed" : "rolled-back"};
    journal_append(engine->journal, &entry, NULL);
    engine_forget(engine, batch->seq);
}

static int run(struct job *job, struct store *store, struct err *err) {
    struct question *question = QUESTION_OF(job);
    return settle_all(store, question->settling, question->n_settling, err);
}

static void on_answer(struct job *job) {
    struct question *question = QUESTION_OF(job);
    struct engine *engine = question->engine;
    if (job->failed) log_warning("%s, asking again what became of %zu batches", job->err.text, question->n_settling);
    for (size_t i = 0; !job->failed && i < question->n_settling; i++) settle_enter(engine, &question->settling[i]);
    engine->settling--;
    arena_free(question->arena);
    if (engine->settle_over) engine->settle_over(engine->settle_context);
}

static void ask(struct engine *engine, size_t index) {
    struct arena *arena = arena_new();
    struct question *question = ARENA_NEW(arena, struct question);
    *question = (struct question){.job = {.run = run, .done = on_answer}, .engine = engine, .arena = arena};
    question->settling = settle_list(engine, &engine->schedule->stores[index], arena, &question->n_settling);
    if (!question->n_settling) {
        arena_free(arena);
        return;
    }
    engine->settling++;
    worker_submit(engine->crews[index].workers[0], &question->job);
}

void settle_ask(struct engine *engine) {
    int64_t now_us = time_monotonic_us();
    if (!engine->unsettled || engine->settling || (engine->settle_asked_us && now_us - engine->settle_asked_us < AGAIN_US)) return;
    engine->settle_asked_us = now_us;
    for (size_t i = 0; i < engine->schedule->n_stores; i++) ask(engine, i);
}

bool settle_is_under_way(const struct engine *engine) { return engine->settling > 0; }
