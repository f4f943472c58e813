/* When checkpoints are due, by a clock that the test turns: a second after what is not signed yet, an hour after the last one
 * where nothing happens. */
#include "signed.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>

/* All clocks stand this far ahead of the host's. */
static atomic_llong ahead_us;
/* The sleeping writer: until when on its own monotonic clock; 0: it is awake. */
static atomic_llong asleep_until_us;
static pthread_cond_t *sleeps_on;
static pthread_mutex_t *sleeps_under;

static struct timespec shifted(const struct timespec *instant, int64_t by_us) {
    int64_t ns = instant->tv_nsec + by_us % TIME_SECOND_US * 1000;
    struct timespec to = {.tv_sec = instant->tv_sec + by_us / TIME_SECOND_US, .tv_nsec = ns};
    if (ns < 0) to = (struct timespec){.tv_sec = to.tv_sec - 1, .tv_nsec = ns + 1000000000};
    if (ns >= 1000000000) to = (struct timespec){.tv_sec = to.tv_sec + 1, .tv_nsec = ns - 1000000000};
    return to;
}

/* Both take the place of libc's in this program. */
int clock_gettime(clockid_t clock, struct timespec *to) {
    struct timespec real;
    if (syscall(SYS_clock_gettime, clock, &real)) return -1;
    *to = shifted(&real, atomic_load(&ahead_us));
    return 0;
}

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *deadline) {
    const struct timespec real = shifted(deadline, -atomic_load(&ahead_us));
    sleeps_on = condition;
    sleeps_under = mutex;
    atomic_store(&asleep_until_us, (int64_t)deadline->tv_sec * TIME_SECOND_US + deadline->tv_nsec / 1000);
    int result = pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, &real);
    atomic_store(&asleep_until_us, 0);
    return result;
}

/* Sleeps with the writer: until when it would. */
static int64_t sleep_of_writer(void) {
    int64_t until_us = 0;
    for (int i = 0; !(until_us = atomic_load(&asleep_until_us)) && i < 10000; i++) (void)poll(NULL, 0, 2);
    ck_assert_int_ne(until_us, 0);
    return until_us;
}

static void turn_clock(int64_t by_us) {
    (void)sleep_of_writer();
    ck_assert_int_eq(pthread_mutex_lock(sleeps_under), 0);
    atomic_fetch_add(&ahead_us, by_us);
    ck_assert_int_eq(pthread_cond_broadcast(sleeps_on), 0);
    ck_assert_int_eq(pthread_mutex_unlock(sleeps_under), 0);
}

static int64_t checkpoints(void) {
    (void)verify(&keys, NULL);
    return answer.scan.checkpoints;
}

static void wait_for_checkpoints(int64_t count) {
    for (int i = 0; checkpoints() < count && i < 2000; i++) (void)poll(NULL, 0, 10);
    ck_assert_int_eq(answer.scan.checkpoints, count);
}

static struct journal *begun(void) {
    signed_setup();
    take_signers();
    struct journal_conf conf = folder_conf();
    conf.signers = signers;
    struct journal *journal = journal_opened(&conf);
    struct entry intent = an_intent(1, 1);
    ck_assert(put(journal, &intent));
    wait_for_checkpoints(1); /* the first follows the first group at once */
    return journal;
}

/* Check measures by these clocks, too. */
static void end(struct journal *journal) {
    journal_close(journal);
    atomic_store(&ahead_us, 0);
    signed_remove();
}

START_TEST(a_checkpoint_follows_within_a_second) {
    struct journal *journal = begun();
    for (int64_t count = 2; count < 7; count++) {
        turn_clock(3 * TIME_SECOND_US); /* the last one is that long ago: the next comes at once */
        int64_t before_us = time_monotonic_us();
        struct entry intent = an_intent(count, 1);
        ck_assert(put(journal, &intent));
        wait_for_checkpoints(count);
        ck_assert_int_eq(answer.scan.signed_size, answer.scan.last.seq - 1);
        intent.batch = 2;
        ck_assert(put(journal, &intent));
        int64_t until_us = sleep_of_writer();
        ck_assert_int_le(until_us, time_monotonic_us() + TIME_SECOND_US);
        ck_assert(checkpoints() == count || time_monotonic_us() - before_us > TIME_SECOND_US); /* not at once */
        turn_clock(TIME_SECOND_US);
        wait_for_checkpoints(++count);
        ck_assert_int_eq(answer.scan.signed_size, answer.scan.last.seq - 1);
    }
    end(journal);
}
END_TEST

/* Who looks at the newest one sees that the journal is still looked after. What it signs last is the one before, so that the
 * last signed entry is between one and two hours old. */
START_TEST(an_idle_journal_is_signed_once_an_hour) {
    static const int64_t HOUR_US = 3600 * TIME_SECOND_US, MARGIN_US = 60 * TIME_SECOND_US;
    struct journal *journal = begun();
    for (int64_t count = 2; count < 5; count++) {
        turn_clock(HOUR_US - MARGIN_US);
        int64_t until_us = sleep_of_writer();
        ck_assert_int_gt(until_us, time_monotonic_us());
        ck_assert_int_le(until_us, time_monotonic_us() + MARGIN_US);
        ck_assert_int_eq(checkpoints(), count - 1);
        ck_assert_int_eq(verify_aged(&keys, NULL, HOUR_US + HOUR_US / 2), count == 2 ? VERIFY_WELL : VERIFY_OLD);
        ck_assert_int_eq(verify_aged(&keys, NULL, 2 * HOUR_US), VERIFY_WELL);
        turn_clock(MARGIN_US);
        wait_for_checkpoints(count);
        ck_assert_msg(verify_aged(&keys, NULL, HOUR_US + HOUR_US / 2) == VERIFY_WELL, "%s%s", answer.scan.first_fault, answer.why);
        ck_assert_int_eq(verify_aged(&keys, NULL, HOUR_US / 2), VERIFY_OLD);
        ck_assert_int_eq(answer.scan.signed_size, answer.scan.last.seq - 1);
    }
    end(journal);
}
END_TEST

UNIT_MAIN("checkpoint_times", a_checkpoint_follows_within_a_second, an_idle_journal_is_signed_once_an_hour)
