#include "sweep/limit.h"

#include "unit.h"

static const struct settings settings = {.load = LOAD_FULL, .batch_time_us = 100000, .batch_rows = 5000};

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
    const struct settings few = {.load = LOAD_FULL, .batch_time_us = 100000, .batch_rows = 3};
    ck_assert_uint_eq(limit_first(&few), 3);
    ck_assert_uint_eq(limit_next(&few, (struct batch_cost){.limit = 3, .records = 3, .worked_us = 1}), 3);
    ck_assert_uint_eq(limit_next(&few, (struct batch_cost){.limit = 3, .records = 3, .worked_us = 900000000}), 3);
}
END_TEST

/* Records of 10 us: the lower the load, the smaller the batches. */
START_TEST(a_gentle_batch_is_a_tenth_of_one) {
    static const size_t expected[] = {[LOAD_GENTLE] = 900, [LOAD_NORMAL] = 4900, [LOAD_FULL] = 9900};
    for (int load = LOAD_GENTLE; load <= LOAD_FULL; load++) {
        const struct settings by_load = {.load = (enum load)load, .batch_time_us = 100000, .batch_rows = 20000};
        size_t limit = limit_first(&by_load);
        for (int i = 0; i < 5; i++)
            limit = limit_next(&by_load, (struct batch_cost){.limit = limit, .records = (int64_t)limit, .worked_us = (int64_t)limit * 10, .waited_us = 1000});
        ck_assert_uint_eq(limit, expected[load]);
    }
}
END_TEST

/* A network, a disk that takes 30 ms to sync: a gentle batch has to be worth its fixed costs. */
START_TEST(a_gentle_batch_has_a_few_records_all_the_same) {
    const struct settings gentle = {.load = LOAD_GENTLE, .batch_time_us = 100000, .batch_rows = 20000};
    size_t limit = 800;
    for (int i = 0; i < 20; i++)
        limit = limit_next(&gentle, (struct batch_cost){.limit = limit, .records = (int64_t)limit, .worked_us = 20000 + (int64_t)limit * 20, .waited_us = 30000});
    ck_assert_uint_eq(limit, 100);
}
END_TEST

/* What the load says is a share of the time, in whatever size the batches come. */
START_TEST(the_pause_leaves_the_share_of_the_load) {
    static const struct {
        enum load load;
        int64_t percent;
    } cases[] = {{LOAD_GENTLE, 1}, {LOAD_NORMAL, 20}, {LOAD_FULL, 100}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct settings by_load = {.load = cases[i].load, .batch_time_us = 100000, .batch_rows = 5000};
        ck_assert_int_eq(limit_pause(&by_load, 0), 0);
        for (int64_t took_us = 1; took_us <= 100000; took_us += 777)
            ck_assert_int_eq((took_us + limit_pause(&by_load, took_us)) * cases[i].percent, took_us * 100);
    }
}
END_TEST

START_TEST(no_pause_is_longer_than_ten_seconds) {
    for (int load = LOAD_GENTLE; load <= LOAD_NORMAL; load++) {
        const struct settings by_load = {.load = (enum load)load, .batch_time_us = 100000, .batch_rows = 5000};
        static const int64_t long_us[] = {2500001, 5000000, INT64_C(3600000000), INT64_MAX};
        for (size_t i = 0; i < sizeof long_us / sizeof *long_us; i++) ck_assert_int_eq(limit_pause(&by_load, long_us[i]), 10000000);
    }
    ck_assert_int_eq(limit_pause(&settings, INT64_MAX), 0);
}
END_TEST

UNIT_MAIN("limit", a_gentle_batch_is_a_tenth_of_one, a_gentle_batch_has_a_few_records_all_the_same, the_pause_leaves_the_share_of_the_load,
          no_pause_is_longer_than_ten_seconds, the_right_size_is_reached_in_three_batches, no_batch_on_the_way_takes_too_long, a_slow_disk_does_not_starve_the_work,
          a_busy_server_gets_no_more_batches_for_it, a_batch_that_is_not_full_says_little, the_most_that_is_configured_holds)
