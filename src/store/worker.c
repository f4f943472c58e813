#include "store/worker.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

/* A first-in, first-out list of jobs. */
struct jobs {
    struct job *first, *last;
};

struct worker {
    struct store *store;
    pthread_t thread;
    void (*wake)(void *context);
    void *context;
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed;
    struct jobs waiting, finished;
    bool running; /* a job is on the thread */
    bool stopping;
};

static void jobs_put(struct jobs *jobs, struct job *job) {
    job->next = NULL;
    if (jobs->last) jobs->last->next = job;
    else jobs->first = job;
    jobs->last = job;
}

static struct job *jobs_take(struct jobs *jobs) {
    struct job *job = jobs->first;
    if (!job) return NULL;
    jobs->first = job->next;
    if (!jobs->first) jobs->last = NULL;
    return job;
}

static void lock(struct worker *worker) {
    int failed = pthread_mutex_lock(&worker->mutex);
    assert(!failed);
    (void)failed;
}

static void unlock(struct worker *worker) {
    int failed = pthread_mutex_unlock(&worker->mutex);
    assert(!failed);
    (void)failed;
}

/* The next job to run, NULL when the worker is to stop. A stopping worker runs nothing more. */
static struct job *next_job(struct worker *worker) {
    lock(worker);
    while (!worker->waiting.first && !worker->stopping) (void)pthread_cond_wait(&worker->changed, &worker->mutex);
    struct job *job = worker->stopping ? NULL : jobs_take(&worker->waiting);
    worker->running = job != NULL;
    unlock(worker);
    return job;
}

static void *worker_main(void *argument) {
    struct worker *worker = argument;
    for (struct job *job; (job = next_job(worker));) {
        job->failed = job->run(job, worker->store, &job->err) != 0;
        lock(worker);
        worker->running = false;
        jobs_put(&worker->finished, job);
        unlock(worker);
        worker->wake(worker->context);
    }
    return NULL;
}

struct worker *worker_start(struct store *store, void (*wake)(void *context), void *context) {
    struct worker *worker = xcalloc(1, sizeof *worker);
    worker->store = store;
    worker->wake = wake;
    worker->context = context;
    if (pthread_mutex_init(&worker->mutex, NULL) || pthread_cond_init(&worker->changed, NULL) ||
        pthread_create(&worker->thread, NULL, worker_main, worker))
        abort(); /* no memory for a thread: as any other out of memory */
    return worker;
}

void worker_submit(struct worker *worker, struct job *job) {
    job->failed = false;
    job->err = (struct err){0};
    lock(worker);
    jobs_put(&worker->waiting, job);
    (void)pthread_cond_signal(&worker->changed);
    unlock(worker);
}

void worker_collect(struct worker *worker) {
    for (;;) {
        lock(worker);
        struct job *job = jobs_take(&worker->finished);
        unlock(worker);
        if (!job) return;
        job->done(job);
    }
}

bool worker_idle(const struct worker *worker) {
    struct worker *unlocked = (struct worker *)(uintptr_t)worker; /* the mutex is no part of what is promised const */
    lock(unlocked);
    bool idle = !worker->waiting.first && !worker->running && !worker->finished.first;
    unlock(unlocked);
    return idle;
}

const char *worker_name(const struct worker *worker) {
    return ((const struct store_base *)(const void *)worker->store)->settings.conf->name;
}

void worker_interrupt(struct worker *worker) {
    lock(worker);
    bool running = worker->running;
    unlock(worker);
    if (running && store_driver(worker->store)->interrupt) store_driver(worker->store)->interrupt(worker->store);
}

void worker_stop(struct worker *worker) {
    if (!worker) return;
    lock(worker);
    worker->stopping = true;
    (void)pthread_cond_signal(&worker->changed);
    unlock(worker);
    worker_interrupt(worker);
    (void)pthread_join(worker->thread, NULL);
    worker_collect(worker);
    for (struct job *job; (job = jobs_take(&worker->waiting));) {
        job->failed = true;
        (void)err_set(&job->err, ERR_UNAVAILABLE, "store \"%s\": stopped before it was asked", worker_name(worker));
        job->done(job);
    }
    store_close(worker->store);
    (void)pthread_cond_destroy(&worker->changed);
    (void)pthread_mutex_destroy(&worker->mutex);
    free(worker);
}
