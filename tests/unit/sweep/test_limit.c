#include "sweep/limit.h"

#include "unit.h"

static const struct settings settings = {.batch_time_us = 100000, .batch_rows = 5000};

/* A store that takes `each_us` a record, and `waited_us` a batch for the disks. */
static size_t after_batches(int batches, int64_t each_us, int64_t waited_us, int64_t *ret_longest_us) {
    size_t limit = limit_first(&settings);
    *ret_longest_us = 0;
    for (int i = 0; i < batches; i++) {
        int64_t worked_us = (int64_t)limit * each_us;
        if (worked_us + waited_us > *ret_longest_us) *ret_longest_us = worked_us + waited_us;
        limit = limit_next(&settings, (struct batch_cost){.limit = limit, .records = (int64_t)limit, .worked_us = worked_us, .waited_us = waited_us});
    }
    return limit;
}

START_TEST(the_right_size_is_reached_in_three_batches) {
    static const struct {
        int64_t each_us, waited_us;
        size_t limit;
    } cases[] = {{1, 5000, 5000}, {20, 0, 5000}, {25, 20000, 3200}, {100, 0, 1000}, {1000, 40000, 100}, {3000, 0, 100}, {5000, 0, 20}, {10000, 0, 10}, {100, 90000, 250}, {100, 400000, 250}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t longest_us;
        ck_assert_uint_eq(after_batches(3, cases[i].each_us, cases[i].waited_us, &longest_us), cases[i].limit);
    }
}
END_TEST

/* What a batch's time is spent on decides: on the way to the right size none takes longer than it may. */
START_TEST(no_batch_on_the_way_takes_too_long) {
    for (int64_t each_us = 1; each_us <= 1000; each_us++) {
        int64_t longest_us;
        (void)after_batches(6, each_us, 20000, &longest_us);
        int64_t first_us = 100 * each_us + 20000;
        ck_assert_int_le(longest_us, first_us > settings.batch_time_us ? first_us : settings.batch_time_us);
    }
}
END_TEST

START_TEST(a_slow_disk_does_not_starve_the_work) {
    int64_t longest_us;
    ck_assert_uint_eq(after_batches(9, 10, 3000000, &longest_us), 2500); /* a quarter of the time */
}
END_TEST

/* Every round trip waits for a processor: 90 ms for however many records. */
START_TEST(a_busy_server_gets_no_more_batches_for_it) {
    size_t limit = 800;
    for (int i = 0; i < 20; i++) {
        limit = limit_next(&settings, (struct batch_cost){.limit = limit, .records = (int64_t)limit, .worked_us = 90000 + (int64_t)limit * 200});
        ck_assert_uint_ge(limit, 100);
    }
}
END_TEST

START_TEST(a_batch_that_is_not_full_says_little) {
    ck_assert_uint_eq(limit_next(&settings, (struct batch_cost){.limit = 1000, .records = 5, .worked_us = 5000}), 1000);
    ck_assert_uint_eq(limit_next(&settings, (struct batch_cost){.limit = 1000, .records = 5, .worked_us = 1}), 1000);
    ck_assert_uint_eq(limit_next(&settings, (struct batch_cost){.limit = 1000, .records = 100, .worked_us = 500000}), 20);
    ck_assert_uint_eq(limit_next(&settings, (struct batch_cost){.limit = 1000, .records = 0, .worked_us = 0}), 1000);
}
END_TEST

START_TEST(the_most_that_is_configured_holds) {
    const struct settings few = {.batch_time_us = 100000, .batch_rows = 3};
    ck_assert_uint_eq(limit_first(&few), 3);
    ck_assert_uint_eq(limit_next(&few, (struct batch_cost){.limit = 3, .records = 3, .worked_us = 1}), 3);
    ck_assert_uint_eq(limit_next(&few, (struct batch_cost){.limit = 3, .records = 3, .worked_us = 900000000}), 3);
}
END_TEST

UNIT_MAIN("limit", the_right_size_is_reached_in_three_batches, no_batch_on_the_way_takes_too_long, a_slow_disk_does_not_starve_the_work,
          a_busy_server_gets_no_more_batches_for_it, a_batch_that_is_not_full_says_little, the_most_that_is_configured_holds)
