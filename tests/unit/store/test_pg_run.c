/* Where the next range of blocks begins. */
#include "store/pg_run.h"
#include "unit.h"

enum { BLOCKS = 1000000, WINDOW = 400 };

static struct pg_run at_block(int64_t block) {
    return (struct pg_run){.shape = PG_BY_BLOCK, .block = block, .n_blocks_window = WINDOW, .end_block = BLOCKS};
}

static void advance(struct pg_run *run, struct pg_ctid last, bool full) {
    const struct pg_taken chosen = {.records = 100, .last = last};
    pg_run_advance(run, &chosen, full, true);
}

/* A row that was changed while it was waited for tells its new place. */
START_TEST(a_row_that_moved_does_not_move_the_run) {
    static const struct {
        struct pg_ctid last;
        int64_t block;
        uint16_t after;
    } table[] = {
        {{.block = 700, .item = 5}, 700, 5},
        {{.block = 499, .item = 5}, 500, 7}, {{.block = 3, .item = 5}, 500, 7}, {{.block = 500, .item = 2}, 500, 7},
        {{.block = 900, .item = 1}, 899, UINT16_MAX}, {{.block = 4000000000, .item = 1}, 899, UINT16_MAX},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct pg_run run = at_block(500);
        run.is_after = true;
        run.after = (struct pg_ctid){.block = 500, .item = 7};
        advance(&run, table[i].last, true);
        ck_assert_int_eq(run.block, table[i].block);
        ck_assert(run.is_after);
        ck_assert_uint_eq(run.after.item, table[i].after);
        ck_assert_int_gt(run.n_blocks_window, 0);
        ck_assert_int_gt(run.n_blocks_fit, 0);
    }
}
END_TEST

START_TEST(a_range_has_bounds) {
    enum { MOST = 65536, LEAST = 16 };
    struct pg_run run = at_block(0);
    run.n_blocks_window = MOST - 1;
    for (int i = 0; i < 3; i++) advance(&run, (struct pg_ctid){0}, false);
    ck_assert_int_eq(run.n_blocks_window, MOST);
    ck_assert_int_eq(run.block, MOST - 1 + 2 * MOST);
    for (int i = 0; i < 20; i++) pg_run_narrow(&run);
    ck_assert_int_eq(run.n_blocks_window, LEAST);
    ck_assert_int_eq(run.block, MOST - 1 + 2 * MOST);
}
END_TEST

UNIT_MAIN("pg_run", a_row_that_moved_does_not_move_the_run, a_range_has_bounds)
