/* A job goes in and the same job comes out with its own answer, exactly once, on the collecting thread. */
#include "store/worker.h"
#include "unit.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct fake {
    struct store_base base;
    atomic_int interrupted;
    atomic_int closed;
};

static atomic_int closed;

static void fake_close(struct store *store) {
    atomic_fetch_add(&closed, 1);
    (void)store;
}

static void fake_interrupt(struct store *store) { atomic_store(&((struct fake *)(void *)store)->interrupted, 1); }

static const struct store_driver fake_driver = {.name = "fake", .close = fake_close, .interrupt = fake_interrupt};
static const struct store_conf conf = {.name = "fake"};

static void wake(void *context) {
    uint64_t one = 1;
    ck_assert_int_eq(write(*(int *)context, &one, sizeof one), sizeof one);
}

/* Collects until `count` jobs are done; each wait has a deadline. */
static void collect(struct worker *worker, int bell, const int *done, int count) {
    while (*done < count) {
        struct pollfd wait = {.fd = bell, .events = POLLIN};
        ck_assert_int_eq(poll(&wait, 1, 10000), 1);
        uint64_t rung;
        ck_assert_int_eq(read(bell, &rung, sizeof rung), sizeof rung);
        worker_collect(worker);
    }
}

struct numbered {
    struct job job;
    int number, *done;
    int *order;
    pthread_t collector;
    struct worker *worker;
    bool again;
};

static int run_number(struct job *job, struct store *store, struct err *err) {
    struct numbered *numbered = (struct numbered *)(void *)job;
    ck_assert_str_eq(((struct store_base *)(void *)store)->settings.conf->name, "fake");
    return numbered->number % 3 ? 0 : err_set(err, ERR_REFUSED, "number %d", numbered->number);
}

static void on_number(struct job *job) {
    struct numbered *numbered = (struct numbered *)(void *)job;
    ck_assert(pthread_equal(pthread_self(), numbered->collector));
    ck_assert_int_eq(job->failed, numbered->number % 3 == 0);
    if (job->failed) ck_assert_int_eq(job->err.code, ERR_REFUSED);
    numbered->order[(*numbered->done)++] = numbered->number;
    if (numbered->again) {
        /* A finished job may go in again from its own `done`. */
        numbered->again = false;
        worker_submit(numbered->worker, job);
    }
}

START_TEST(jobs_come_back_once_in_order_with_their_own_error) {
    struct fake fake = {.base = {.driver = &fake_driver, .settings = {.conf = &conf}}};
    int bell = eventfd(0, EFD_CLOEXEC), done = 0, order[101];
    struct worker *worker = worker_start((struct store *)(void *)&fake, wake, &bell);
    struct numbered jobs[100];
    for (int i = 0; i < 100; i++) {
        jobs[i] = (struct numbered){.job = {.run = run_number, .done = on_number}, .number = i, .done = &done, .order = order,
                                    .collector = pthread_self(), .worker = worker, .again = i == 99};
        worker_submit(worker, &jobs[i].job);
    }
    collect(worker, bell, &done, 101);
    for (int i = 0; i < 100; i++) ck_assert_int_eq(order[i], i);
    ck_assert_int_eq(order[100], 99);
    ck_assert(worker_idle(worker));
    worker_stop(worker);
    ck_assert_int_eq(atomic_load(&closed), 1);
    (void)close(bell);
}
END_TEST

static int run_until_interrupted(struct job *job, struct store *store, struct err *err) {
    (void)job;
    struct fake *fake = (struct fake *)(void *)store;
    for (int i = 0; i < 10000 && !atomic_load(&fake->interrupted); i++) (void)poll(NULL, 0, 1);
    return err_set(err, atomic_load(&fake->interrupted) ? ERR_UNAVAILABLE : ERR_BUG, "interrupted");
}

static void on_stopped(struct job *job) {
    ck_assert(job->failed);
    ck_assert_int_eq(job->err.code, ERR_UNAVAILABLE);
    ++*((struct numbered *)(void *)job)->done;
}

START_TEST(stopping_interrupts_what_runs_and_returns_what_waits) {
    struct fake fake = {.base = {.driver = &fake_driver, .settings = {.conf = &conf}}};
    int bell = eventfd(0, EFD_CLOEXEC), done = 0;
    struct worker *worker = worker_start((struct store *)(void *)&fake, wake, &bell);
    struct numbered jobs[3];
    for (int i = 0; i < 3; i++) {
        jobs[i] = (struct numbered){.job = {.run = run_until_interrupted, .done = on_stopped}, .done = &done};
        worker_submit(worker, &jobs[i].job);
    }
    worker_stop(worker);
    ck_assert_int_eq(done, 3);
    (void)close(bell);
}
END_TEST

UNIT_MAIN("worker", jobs_come_back_once_in_order_with_their_own_error, stopping_interrupts_what_runs_and_returns_what_waits)
