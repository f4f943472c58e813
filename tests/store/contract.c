#include "contract.h"

#include "leaves.h"

#include "base/time.h"
#include "unit.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

enum { MOST_RECORDS = 400, MOST_TENANTS = 16 };

static const struct fixture *fixture;

/* 2024-03-01 12:00:00 UTC, a whole number of every grain. */
static const int64_t NOON_US = INT64_C(1709294400000000);
static const int64_t HOUR_US = 3600 * TIME_SECOND_US;

/* --- a schedule of two rules on one target: by age, and by the tenant's end ----------------------------------------- */

static struct store_conf conf;
static struct rule rules[2];
static struct target targets[2];
static const struct target *target_list[2] = {&targets[0], &targets[1]};
static const struct keep keep_age = {.kind = KEEP_AGE, .period = {12, PERIOD_MONTHS}, .tenant_end = -1};
static const struct keep keep_end = {.kind = KEEP_END, .period = {30, PERIOD_DAYS}, .end = "subscription", .tenant_end = 0};
static struct schedule schedule;
static struct tenants *tenants;
static struct arena *arena;
static struct store *store;
static struct err err;
static bool bound; /* check was called after the last record was put */

static const struct target *by_age(void) { return &targets[0]; }
static const struct target *by_end(void) { return &targets[1]; }

static void make_schedule(void) {
    conf = (struct store_conf){.name = "main", .kind = fixture->driver->kind, .url = fixture->url, .place = {"lapsed.conf", 1}};
    for (size_t i = 0; i < 2; i++) {
        targets[i] = (struct target){
            .rule = &rules[i], .number = i, .store = &conf, .kind = fixture->kind, .name = fixture->target, .tenant = fixture->tenant,
            .tenant_in_name = fixture->tenant_in_name, .since = i == 0 ? fixture->since : NULL, .unit = i == 0 ? fixture->unit : UNIT_NONE,
            .place = {"schedule.conf", (unsigned)i + 1},
        };
        rules[i] = (struct rule){
            .number = i, .data = i == 0 ? "Logs" : "Customer Data", .basis = "test", .keep = i == 0 ? &keep_age : &keep_end, .n_keep = 1,
            .targets = &targets[i], .n_targets = 1,
        };
    }
    schedule = (struct schedule){
        .path = "lapsed.conf", .schedule_path = "schedule.conf", .stores = &conf, .n_stores = 1, .rules = rules, .n_rules = 2, .targets = target_list,
        .n_targets = 2, .tenants = {.ends = {"subscription"}, .n_ends = 1},
        .settings = {.batch_rows = 1000, .statement_timeout_us = 2 * TIME_SECOND_US, .lock_timeout_us = TIME_SECOND_US / 2},
    };
}

static void know(const char *id) {
    struct tenant_row row = {.id = id};
    for (size_t i = 0; i < MOST_ENDS; i++) row.ends[i] = TIME_FOREVER;
    ck_assert_int_eq(tenants_add(tenants, &row, &err), 0);
}

/* Must succeed, or the test fails with the store's own words. */
#define MUST(call)                                                                                                     \
    do {                                                                                                               \
        if ((call) < 0) ck_abort_msg("%s: %s", #call, err.text);                                                       \
    } while (0)

static struct store *open_store(const char *url, bool read_only) {
    struct store *opened;
    conf.url = url;
    struct store_settings settings = {.conf = &conf, .schedule = &schedule, .password = fixture->password, .read_only = read_only,
                                      .evidence_key = read_only ? NULL : LEAVES_KEY};
    MUST(fixture->driver->open(&settings, &opened, &err));
    return opened;
}

static void check_targets(struct store *checked) {
    bool bad[2] = {false, false};
    struct faults faults = {.arena = arena};
    MUST(fixture->driver->check(checked, &faults, bad, &err));
    if (faults.count > 0) ck_abort_msg("check: %s", faults.items[0].text);
    if (fixture->driver->know) fixture->driver->know(checked, tenants);
}

static const char *const NAMES[] = {"a", "b", "c", "d", "1", "10"};

/* Binds the targets to what is there now, as a sweep does at its begin: a store without a catalog reads types off records. */
static void ready(void) {
    if (!bound) check_targets(store);
    bound = true;
}

static void set_up(void) {
    arena = arena_new();
    make_schedule();
    tenants = tenants_new(&schedule);
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) know(NAMES[i]);
    tenants_finish(tenants);
    fixture->reset();
    store = open_store(fixture->url, false);
    bound = false;
}

static void tear_down(void) {
    fixture->driver->close(store);
    tenants_free(tenants);
    arena_free(arena);
}

/* --- orders and passes --------------------------------------------------------------------------------------------- */

static struct order rest_order(int64_t cutoff_us, const struct scope_tenant *exceptions, size_t n_exceptions) {
    struct scope due = {
        .kind = SCOPE_REST, .anchor = fixture->since, .anchor_is_since = true, .cutoff_us = cutoff_us, .tenants = exceptions, .n_tenants = n_exceptions};
    return order_make(by_age(), ACTION_PURGE, &keep_age, due);
}

static struct order listed_order(const struct scope_tenant *listed, size_t n_listed) {
    struct scope due = {.kind = SCOPE_LISTED, .anchor = fixture->since, .anchor_is_since = true, .tenants = listed, .n_tenants = n_listed};
    return order_make(by_age(), ACTION_PURGE, &keep_age, due);
}

static struct order end_order(const struct scope_tenant *listed, size_t n_listed) {
    struct scope due = {.kind = SCOPE_LISTED, .tenants = listed, .n_tenants = n_listed};
    return order_make(by_end(), ACTION_PURGE, &keep_end, due);
}

static struct scope_tenant with_cutoff(const char *id, int64_t cutoff_us) {
    return (struct scope_tenant){.id = id, .cutoff_us = cutoff_us, .end_us = TIME_FOREVER};
}

static struct scope_tenant ended(const char *id) { return (struct scope_tenant){.id = id, .cutoff_us = TIME_FOREVER, .end_us = NOON_US}; }

static int64_t count_of(const struct tally *tally, const char *tenant) {
    for (size_t i = 0; i < tally->n_tenants; i++) {
        if (text_equal(tally->tenants[i].tenant, tenant)) return tally->tenants[i].count;
    }
    return 0;
}

static struct tally count_order(struct store *asked, const struct order *order) {
    struct tally tally;
    ready();
    MUST(fixture->driver->count(asked, &order, 1, arena, &tally, &err));
    int64_t sum = 0;
    for (size_t i = 0; i < tally.n_tenants; i++) {
        sum += tally.tenants[i].count;
        ck_assert(i == 0 || strcmp(tally.tenants[i - 1].tenant, tally.tenants[i].tenant) < 0);
    }
    ck_assert_int_eq(sum, tally.records);
    return tally;
}

static struct tally probe_order(const struct order *order) {
    struct tally tally;
    ready();
    MUST(fixture->driver->probe(store, &order, 1, arena, &tally, &err));
    return tally;
}

/* What all batches of a pass said, by order. */
struct sums {
    int64_t records, gone;
    size_t batches;
    const char *tenants[MOST_TENANTS];
    int64_t counts[MOST_TENANTS];
    size_t n_tenants;
};

static int64_t sum_of(const struct sums *sums, const char *tenant) {
    for (size_t i = 0; i < sums->n_tenants; i++) {
        if (text_equal(sums->tenants[i], tenant)) return sums->counts[i];
    }
    return 0;
}

static void add_batch(struct sums *sums, const struct batch *batch, size_t limit) {
    int64_t sum = 0;
    for (size_t i = 0; i < batch->n_tenants; i++) {
        ck_assert_int_gt(batch->tenants[i].count, 0);
        ck_assert(i == 0 || strcmp(batch->tenants[i - 1].tenant, batch->tenants[i].tenant) < 0);
        sum += batch->tenants[i].count;
        size_t at = 0;
        while (at < sums->n_tenants && !text_equal(sums->tenants[at], batch->tenants[i].tenant)) at++;
        if (at == sums->n_tenants) {
            ck_assert_uint_lt(at, MOST_TENANTS);
            sums->tenants[sums->n_tenants++] = arena_strdup(arena, batch->tenants[i].tenant);
        }
        sums->counts[at] += batch->tenants[i].count;
    }
    ck_assert_int_eq(sum, batch->records);
    ck_assert_int_gt(batch->records, 0);
    ck_assert_uint_le((size_t)(batch->records + batch->dependents), limit);
    ck_assert_int_eq(batch->irrevocable, fixture->irrevocable);
    leaves_add(batch);
    sums->records += batch->records;
    sums->batches++;
}

static const struct batch *next_batch_of(struct store *of, struct pass *pass, size_t limit) {
    const struct batch *batch = NULL;
    const struct order *failed = NULL;
    MUST(fixture->driver->prepare(of, pass, limit, arena, &batch, &failed, &err));
    ck_assert_ptr_null(failed);
    return batch;
}

static const struct batch *next_batch(struct pass *pass, size_t limit) { return next_batch_of(store, pass, limit); }

static int64_t finish_batch_of(struct store *of, struct pass *pass, bool commit) {
    struct outcome outcome = {.records = -1};
    MUST(fixture->driver->finish(of, pass, commit, &outcome, &err));
    return outcome.records;
}

static int64_t finish_batch(struct pass *pass, bool commit) { return finish_batch_of(store, pass, commit); }

static struct pass *begin_portion(struct store *of, const struct order *const *orders, size_t n_orders, const struct portion *portion) {
    struct pass *pass;
    ready();
    MUST(fixture->driver->begin(of, orders, n_orders, portion, &pass, &err));
    return pass;
}

static struct pass *begin_pass(const struct order *const *orders, size_t n_orders) { return begin_portion(store, orders, n_orders, NULL); }

/* One pass over the orders, all committed. */
static struct sums run_pass(const struct order *const *orders, size_t n_orders, size_t limit) {
    struct sums sums = {0};
    struct pass *pass = begin_pass(orders, n_orders);
    for (const struct batch *batch; (batch = next_batch(pass, limit));) {
        add_batch(&sums, batch, limit);
        int64_t gone = finish_batch(pass, true);
        ck_assert_int_le(gone, batch->records);
        sums.gone += gone;
        ck_assert_uint_lt(sums.batches, MOST_RECORDS + 10);
    }
    fixture->driver->end(store, pass);
    return sums;
}

static struct sums run_order(const struct order *order, size_t limit) { return run_pass(&order, 1, limit); }

static void put(int number, const char *tenant, int64_t anchor_us) {
    ck_assert(fixture->put(number, tenant, anchor_us));
    bound = false;
}

/* --- tests --------------------------------------------------------------------------------------------------------- */

START_TEST(ping_tells_the_servers_clock) {
    int64_t server_us = 0;
    MUST(fixture->driver->ping(store, &server_us, &err));
    int64_t apart_us = server_us - time_now_us();
    ck_assert_int_lt(apart_us < 0 ? -apart_us : apart_us, 60 * TIME_SECOND_US);
}
END_TEST

START_TEST(an_empty_target_has_nothing_due) {
    struct order order = rest_order(NOON_US, NULL, 0);
    ck_assert_uint_eq(probe_order(&order).n_tenants, 0);
    ck_assert_int_eq(count_order(store, &order).records, 0);
    ck_assert_int_eq(run_order(&order, 10).records, 0);
}
END_TEST

/* Records of four tenants, spread over hours around noon; due: those before it. */
static void spread(int per_tenant) {
    for (int i = 0; i < 4 * per_tenant; i++) put(i, NAMES[i % 4], NOON_US + (i / 4 - per_tenant / 2) * HOUR_US);
}

START_TEST(count_is_what_a_pass_destroys) {
    spread(21);
    struct scope_tenant own[] = {with_cutoff("b", NOON_US - 5 * HOUR_US), with_cutoff("d", TIME_NEVER)};
    struct order order = rest_order(NOON_US, own, 2);
    struct tally tally = count_order(store, &order);
    ck_assert_int_eq(count_of(&tally, "a"), 10);
    ck_assert_int_eq(count_of(&tally, "b"), 5);
    ck_assert_int_eq(count_of(&tally, "d"), 0);
    struct sums sums = run_order(&order, 7);
    ck_assert_int_eq(sums.records, tally.records);
    ck_assert_int_eq(sums.gone, tally.records);
    for (size_t i = 0; i < 4; i++) ck_assert_int_eq(sum_of(&sums, NAMES[i]), count_of(&tally, NAMES[i]));
    ck_assert_uint_eq(fixture->size(), 84 - 25);
    for (int i = 0; i < 84; i++) {
        int64_t cutoff_us = scope_cutoff(&order.due, NAMES[i % 4]);
        ck_assert_int_eq(fixture->has(i, NAMES[i % 4]), NOON_US + (i / 4 - 10) * HOUR_US >= cutoff_us);
    }
}
END_TEST

START_TEST(probe_names_those_that_count_counts) {
    spread(5);
    struct scope_tenant own[] = {with_cutoff("c", NOON_US - 100 * HOUR_US)};
    struct order order = rest_order(NOON_US, own, 1);
    struct tally probed = probe_order(&order), counted = count_order(store, &order);
    ck_assert_uint_eq(probed.n_tenants, 3);
    ck_assert_uint_eq(counted.n_tenants, 3);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_str_eq(probed.tenants[i].tenant, counted.tenants[i].tenant);
        ck_assert_int_gt(probed.tenants[i].count, 0);
        ck_assert_int_eq(probed.tenants[i].cutoff_us, NOON_US);
        ck_assert_int_eq(counted.tenants[i].oldest_us, NOON_US - 2 * HOUR_US);
    }
}
END_TEST

START_TEST(the_cutoff_is_exclusive) {
    put(1, "a", NOON_US - fixture->grain_us);
    put(2, "a", NOON_US);
    put(3, "a", NOON_US + fixture->grain_us);
    struct scope_tenant one[] = {with_cutoff("a", NOON_US)};
    struct order order = listed_order(one, 1);
    ck_assert_int_eq(count_order(store, &order).records, 1);
    ck_assert_int_eq(run_order(&order, 10).gone, 1);
    ck_assert(!fixture->has(1, "a"));
    ck_assert(fixture->has(2, "a"));
    ck_assert(fixture->has(3, "a"));
}
END_TEST

START_TEST(a_cutoff_between_two_grains_destroys_nothing_early) {
    put(1, "a", NOON_US);
    put(2, "a", NOON_US + fixture->grain_us);
    struct order order = rest_order(NOON_US + 1, NULL, 0);
    ck_assert_int_eq(run_order(&order, 10).gone, 1);
    ck_assert(fixture->has(2, "a"));
}
END_TEST

START_TEST(neighbours_are_untouched) {
    put(1, "1", NOON_US - HOUR_US);
    put(2, "10", NOON_US - HOUR_US);
    put(3, "a", NOON_US - HOUR_US);
    struct scope_tenant one[] = {with_cutoff("1", NOON_US)};
    struct order order = listed_order(one, 1);
    ck_assert_int_eq(run_order(&order, 10).gone, 1);
    ck_assert(!fixture->has(1, "1"));
    ck_assert(fixture->has(2, "10"));
    ck_assert(fixture->has(3, "a"));
}
END_TEST

START_TEST(a_tenants_end_takes_all_of_it) {
    spread(5);
    put(90, "a", ANCHOR_MISSING);
    struct scope_tenant one[] = {ended("a")};
    struct order order = end_order(one, 1);
    struct tally tally = count_order(store, &order);
    ck_assert_int_eq(tally.records, 6);
    ck_assert_int_eq(tally.tenants[0].oldest_us, NOON_US);
    ck_assert_int_eq(run_order(&order, 4).gone, 6);
    ck_assert_uint_eq(fixture->size(), 15);
    ck_assert_int_eq(count_order(store, &order).records, 0);
}
END_TEST

START_TEST(tenants_with_odd_ids) {
    static const char *const odd[] = {"a b", "a\"b", "a%b", "a'; --", "a*", "a?c", "a[b]", "a\\b", "gr\xc3\xbc\xc3\x9f", "{a}", "$a", "a,b", "null", "(a)"};
    const size_t n = sizeof odd / sizeof *odd;
    struct tenants *more = tenants_new(&schedule), *few = tenants;
    tenants = more;
    for (size_t i = 0; i < n; i++) know(odd[i]);
    tenants_finish(more);
    for (size_t i = 0; i < n; i++) put((int)i, odd[i], NOON_US - HOUR_US);
    put(100, "abc", NOON_US - HOUR_US);
    put(101, "a*c", NOON_US - HOUR_US);
    for (size_t i = 0; i < n; i++) {
        struct scope_tenant one[] = {ended(odd[i])};
        struct order order = end_order(one, 1);
        struct sums sums = run_order(&order, 10);
        ck_assert_msg(sums.gone == 1, "%s: %d", odd[i], (int)sums.gone);
        ck_assert_str_eq(sums.tenants[0], odd[i]);
        ck_assert(!fixture->has((int)i, odd[i]));
    }
    ck_assert_uint_eq(fixture->size(), 2);
    tenants = few;
    tenants_free(more);
}
END_TEST

START_TEST(nothing_is_due_twice) {
    spread(11);
    struct scope_tenant ends[] = {ended("a"), ended("b")};
    struct order age = rest_order(NOON_US, NULL, 0), end = end_order(ends, 2);
    /* An alternative on the same target: what is due by age is the first order's. */
    end.target = by_age();
    end.before = &age.due;
    end.n_before = 1;
    const struct order *orders[] = {&age, &end};
    struct tally tallies[2];
    ready();
    MUST(fixture->driver->count(store, orders, 2, arena, tallies, &err));
    ck_assert_int_eq(tallies[0].records, 20);
    ck_assert_int_eq(tallies[1].records, 12);
    ck_assert_int_eq(run_pass(orders, 2, 6).gone, 32);
    ck_assert_uint_eq(fixture->size(), 12);
}
END_TEST

START_TEST(at_least_keeps_what_is_due) {
    spread(11);
    struct scope_tenant ends[] = {ended("a")};
    struct order order = end_order(ends, 1);
    order.target = by_age();
    struct scope floor = {.kind = SCOPE_REST, .of = order.target, .anchor = fixture->since, .anchor_is_since = true,
                          .cutoff_us = NOON_US - 2 * HOUR_US};
    order.floors = &floor;
    order.n_floors = 1;
    put(90, "a", ANCHOR_MISSING);
    ck_assert_int_eq(count_order(store, &order).records, 3);
    ck_assert_int_eq(run_order(&order, 10).gone, 3);
    ck_assert(fixture->has(90, "a"));
}
END_TEST

START_TEST(a_second_pass_destroys_nothing) {
    spread(7);
    struct order order = rest_order(NOON_US, NULL, 0);
    ck_assert_int_eq(run_order(&order, 5).gone, 12);
    ck_assert_int_eq(run_order(&order, 5).records, 0);
    ck_assert_int_eq(count_order(store, &order).records, 0);
    ck_assert_uint_eq(probe_order(&order).n_tenants, 0);
}
END_TEST

START_TEST(an_update_between_choice_and_destruction_is_not_lost) {
    for (int i = 0; i < 4; i++) put(i, "a", NOON_US - HOUR_US);
    struct order order = rest_order(NOON_US, NULL, 0);
    const struct order *orders[] = {&order};
    struct pass *pass = begin_pass(orders, 1);
    ck_assert_int_eq(next_batch(pass, 10)->records, 4);
    bool moved = fixture->put(2, "a", NOON_US + HOUR_US);
    int64_t gone = finish_batch(pass, true);
    fixture->driver->end(store, pass);
    /* Either a lock kept the application from it, or the record is live again and must survive. */
    ck_assert_int_eq(moved, fixture->irrevocable);
    ck_assert_int_eq(gone, moved ? 3 : 4);
    ck_assert_int_eq(fixture->has(2, "a"), moved);
}
END_TEST

START_TEST(a_rolled_back_batch_leaves_everything) {
    spread(5);
    struct order order = rest_order(NOON_US, NULL, 0);
    const struct order *orders[] = {&order};
    struct pass *pass = begin_pass(orders, 1);
    ck_assert_int_eq(next_batch(pass, 100)->records, 8);
    ck_assert_int_eq(finish_batch(pass, false), 0);
    fixture->driver->end(store, pass);
    ck_assert_uint_eq(fixture->size(), 20);
    ck_assert_int_eq(count_order(store, &order).records, 8);
}
END_TEST

START_TEST(a_pass_that_ends_with_a_batch_in_hand_leaves_it) {
    spread(5);
    struct order order = rest_order(NOON_US, NULL, 0);
    const struct order *orders[] = {&order};
    struct pass *pass = begin_pass(orders, 1);
    ck_assert_ptr_nonnull(next_batch(pass, 3));
    fixture->driver->end(store, pass);
    ck_assert_uint_eq(fixture->size(), 20);
    ck_assert_int_eq(run_order(&order, 5).gone, 8);
}
END_TEST

START_TEST(excluded_tenants_are_left_out_of_the_rest_of_a_pass) {
    spread(11);
    struct order order = rest_order(NOON_US, NULL, 0);
    const struct order *orders[] = {&order};
    struct sums sums = {0};
    struct pass *pass = begin_pass(orders, 1);
    const struct batch *batch = next_batch(pass, 2);
    finish_batch(pass, false);
    const char *kept = arena_strdup(arena, batch->tenants[0].tenant);
    fixture->driver->exclude(store, pass, &order, kept);
    while ((batch = next_batch(pass, 4))) {
        add_batch(&sums, batch, 4);
        finish_batch(pass, true);
    }
    fixture->driver->end(store, pass);
    ck_assert_int_eq(sum_of(&sums, kept), 0);
    struct tally left = count_order(store, &order);
    ck_assert_int_eq(count_of(&left, kept), 5);
}
END_TEST

START_TEST(a_tenant_whose_cutoff_is_never_keeps_all) {
    spread(5);
    struct scope_tenant held[] = {with_cutoff("a", TIME_NEVER), with_cutoff("b", TIME_NEVER)};
    struct order listed = listed_order(held, 2), rest = rest_order(NOON_US, held, 2);
    ck_assert_int_eq(run_order(&listed, 10).records, 0);
    ck_assert_int_eq(run_order(&rest, 10).gone, 4);
    ck_assert_uint_eq(fixture->size(), 16);
}
END_TEST

START_TEST(undecidable_records_are_never_due_and_are_told) {
    put(1, "a", ANCHOR_MISSING);
    put(2, "a", NOON_US - HOUR_US);
    put(3, "b", NOON_US + 100 * HOUR_US);
    struct order order = rest_order(NOON_US, NULL, 0);
    ck_assert_int_eq(run_order(&order, 10).gone, 1);
    ck_assert(fixture->has(1, "a"));
    const struct undecidable *items;
    size_t n_items;
    MUST(fixture->driver->undecidable(store, by_age(), NOON_US, arena, &items, &n_items, &err));
    int64_t empty = 0, future = 0;
    for (size_t i = 0; i < n_items; i++) {
        if (text_equal(items[i].code, "since-empty")) empty += items[i].count;
        if (text_equal(items[i].code, "since-future")) future += items[i].count;
    }
    ck_assert_int_eq(empty, 1);
    ck_assert_int_eq(future, 1);
}
END_TEST

START_TEST(an_order_for_a_tenant_that_has_nothing_destroys_nothing) {
    spread(5);
    struct scope_tenant nobody[] = {ended("nobody")};
    struct order order = end_order(nobody, 1);
    ck_assert_int_eq(run_order(&order, 10).records, 0);
    ck_assert_uint_eq(fixture->size(), 20);
}
END_TEST

START_TEST(the_limit_holds_in_every_batch) {
    for (int i = 0; i < 50; i++) put(i, "a", NOON_US - HOUR_US);
    struct order order = rest_order(NOON_US, NULL, 0);
    struct sums sums = run_order(&order, 7);
    ck_assert_int_eq(sums.gone, 50);
    ck_assert_uint_ge(sums.batches, 8);
    ck_assert_uint_eq(fixture->size(), 0);
}
END_TEST

START_TEST(a_portion_has_limits_of_its_own) {
    spread(20);
    struct order order = rest_order(NOON_US, NULL, 0);
    const struct order *orders[] = {&order};
    const size_t limits[] = {3, 1000};
    const struct portion whole = {.parts = 1, .limits = limits};
    struct sums sums = {0};
    struct pass *pass = begin_portion(store, orders, 1, &whole);
    for (const struct batch *batch; (batch = next_batch(pass, 100));) {
        add_batch(&sums, batch, 3);
        (void)finish_batch(pass, true);
    }
    fixture->driver->end(store, pass);
    ck_assert_int_eq(sums.records, 40);
}
END_TEST

/* A batch of each is in hand at the same time, on two connections. */
START_TEST(two_parts_at_a_time_destroy_each_record_once) {
    for (int i = 0; i < 120; i++) put(i, NAMES[i % 6], NOON_US + (i % 4 ? -1 : 1) * HOUR_US);
    struct scope_tenant own[] = {with_cutoff("b", NOON_US - 2 * HOUR_US)};
    struct order order = rest_order(NOON_US, own, 1);
    const struct order *orders[] = {&order};
    int64_t due = count_order(store, &order).records;
    const struct portion portions[] = {{.part = 0, .parts = 2}, {.part = 1, .parts = 2}};
    struct store *stores[] = {store, open_store(fixture->url, false)};
    check_targets(stores[1]);
    struct pass *passes[2];
    struct sums sums[2] = {{0}, {0}};
    bool over[2] = {false, false};
    for (size_t p = 0; p < 2; p++) passes[p] = begin_portion(stores[p], orders, 1, &portions[p]);
    while (!over[0] || !over[1]) {
        for (size_t p = 0; p < 2; p++) {
            const struct batch *batch = over[p] ? NULL : next_batch_of(stores[p], passes[p], 4);
            over[p] = !batch;
            if (batch) add_batch(&sums[p], batch, 4);
        }
        for (size_t p = 0; p < 2; p++)
            if (!over[p]) sums[p].gone += finish_batch_of(stores[p], passes[p], true);
    }
    for (size_t p = 0; p < 2; p++) fixture->driver->end(stores[p], passes[p]);
    fixture->driver->close(stores[1]);
    ck_assert_int_eq(sums[0].gone + sums[1].gone, due);
    ck_assert(sums[0].gone && sums[1].gone);
    for (size_t i = 0; i < sums[0].n_tenants; i++) ck_assert_int_eq(sum_of(&sums[1], sums[0].tenants[i]), 0);
    for (int i = 0; i < 120; i++) ck_assert_int_eq(fixture->has(i, NAMES[i % 6]), i % 4 == 0 || i % 6 == 1);
    leaves_expect_each_once((size_t)due);
}
END_TEST

START_TEST(anything_left_of_a_tenant_is_seen) {
    put(1, "a", NOON_US + 100 * HOUR_US);
    put(2, "b", ANCHOR_MISSING);
    struct scope_tenant asked[] = {ended("a"), ended("b"), ended("c")};
    struct order order = order_any(by_age(), asked, 3);
    struct tally tally = count_order(store, &order);
    ck_assert_int_eq(count_of(&tally, "a"), 1);
    ck_assert_int_eq(count_of(&tally, "b"), 1);
    ck_assert_uint_eq(tally.n_tenants, 2);
}
END_TEST

START_TEST(a_read_only_session_counts_the_same) {
    spread(9);
    struct order order = rest_order(NOON_US, NULL, 0);
    struct store *reader = open_store(fixture->url, true);
    check_targets(reader);
    ck_assert_int_eq(count_order(reader, &order).records, count_order(store, &order).records);
    fixture->driver->close(reader);
}
END_TEST

START_TEST(a_read_only_session_begins_nothing) {
    spread(9);
    struct order order = rest_order(NOON_US, NULL, 0);
    const struct order *orders[] = {&order};
    struct store *reader = open_store(fixture->url, true);
    check_targets(reader);
    struct pass *pass;
    int64_t due = count_order(store, &order).records;
    ck_assert_int_eq(fixture->driver->begin(reader, orders, 1, NULL, &pass, &err), -1);
    ck_assert_int_eq(err.code, ERR_BUG);
    const struct hold everything = {.id = "h", .scope = HOLD_ALL, .ground = "g", .released_us = TIME_FOREVER};
    const struct holds holds = {&everything, 1};
    struct kept kept;
    if (fixture->driver->keep) ck_assert_int_eq(fixture->driver->keep(reader, &holds, &kept, &err), -1);
    ck_assert_int_gt(due, 0);
    ck_assert_int_eq(count_order(store, &order).records, due);
    fixture->driver->close(reader);
}
END_TEST

START_TEST(settle_knows_or_says_that_it_does_not) {
    for (int i = 0; i < 2; i++) put(i, "a", NOON_US - HOUR_US);
    struct order order = rest_order(NOON_US, NULL, 0);
    const struct order *orders[] = {&order};
    for (int commit = 0; commit < 2; commit++) {
        struct pass *pass = begin_pass(orders, 1);
        struct batch batch = *next_batch(pass, 10);
        finish_batch(pass, commit);
        fixture->driver->end(store, pass);
        enum settled settled;
        MUST(fixture->driver->settle(store, batch.transaction, batch.server, &settled, &err));
        ck_assert_int_eq(settled, !fixture->settles ? SETTLED_UNRESOLVED : commit ? SETTLED_COMMITTED : SETTLED_ROLLED_BACK);
    }
}
END_TEST

/* --- servers that are gone ----------------------------------------------------------------------------------------- */

static void ck_gone(int result, int64_t begun_us) {
    ck_assert_int_eq(result, -1);
    ck_assert_msg(err.code == ERR_UNAVAILABLE || err.code == ERR_UNKNOWN, "%s: %s", err_code_name(err.code), err.text);
    ck_assert_msg(strstr(err.text, "main") != NULL, "does not name the store: %s", err.text);
    ck_assert_int_lt(time_monotonic_us() - begun_us, 5 * schedule.settings.statement_timeout_us);
}

START_TEST(a_server_that_stops_is_noticed_in_time) {
    if (!fixture->stall) return;
    spread(3);
    struct order order = rest_order(NOON_US, NULL, 0);
    const struct order *orders[] = {&order};
    struct tally tally;
    (void)count_order(store, &order);
    fixture->stall(true);
    int64_t begun_us = time_monotonic_us();
    int result = fixture->driver->count(store, orders, 1, arena, &tally, &err);
    int64_t ended_us = time_monotonic_us();
    fixture->stall(false);
    ck_gone(result, begun_us);
    ck_assert_int_ge(ended_us, begun_us);
    ck_assert_int_eq(count_order(store, &order).records, 4);
}
END_TEST

START_TEST(a_lost_answer_to_the_commit_is_unknown) {
    if (!fixture->stall) return;
    spread(3);
    struct order order = rest_order(NOON_US, NULL, 0);
    const struct order *orders[] = {&order};
    struct outcome outcome;
    struct pass *pass = begin_pass(orders, 1);
    ck_assert_int_eq(next_batch(pass, 10)->records, 4);
    fixture->stall(true);
    int64_t begun_us = time_monotonic_us();
    int result = fixture->driver->finish(store, pass, true, &outcome, &err);
    fixture->stall(false);
    ck_gone(result, begun_us);
    ck_assert_int_eq(err.code, ERR_UNKNOWN);
    fixture->driver->end(store, pass);
    /* Whatever became of it, the next pass ends with nothing due and nothing else gone. */
    (void)run_order(&order, 10);
    ck_assert_int_eq(count_order(store, &order).records, 0);
    ck_assert_uint_eq(fixture->size(), 8);
}
END_TEST

/* The kernel's word for the state of a thread: 'S' waits, 'T' is stopped. One that has ended counts as stopped. */
static char thread_state(const char *folder, const char *thread) {
    char path[400], state = 0;
    snprintf(path, sizeof path, "%s/%s/stat", folder, thread);
    FILE *file = fopen(path, "r");
    if (!file) return 'T';
    int fields = fscanf(file, "%*d (%*[^)]) %c", &state);
    fclose(file);
    return fields == 1 ? state : 0;
}

/* Interrupts once the test's own thread waits for the server. */
static void *interrupt_the_wait(void *context) {
    char thread[16];
    snprintf(thread, sizeof thread, "%d", (int)getpid());
    while (thread_state("/proc/self/task", thread) != 'S') sched_yield();
    fixture->driver->interrupt(context);
    return NULL;
}

START_TEST(an_interrupted_verb_ends_soon) {
    if (!fixture->stall) return;
    struct order order = rest_order(NOON_US, NULL, 0);
    const struct order *orders[] = {&order};
    struct tally tally;
    (void)count_order(store, &order);
    pthread_t thread;
    fixture->stall(true);
    ck_assert_int_eq(pthread_create(&thread, NULL, interrupt_the_wait, store), 0);
    int64_t begun_us = time_monotonic_us();
    int result = fixture->driver->count(store, orders, 1, arena, &tally, &err);
    int64_t took_us = time_monotonic_us() - begun_us;
    pthread_join(thread, NULL);
    fixture->stall(false);
    ck_gone(result, begun_us);
    if (fixture->interrupts_waits) ck_assert_int_lt(took_us, schedule.settings.statement_timeout_us);
}
END_TEST

/* --- the suite ----------------------------------------------------------------------------------------------------- */

static bool all_stopped(pid_t process) {
    char folder[64];
    bool stopped = true;
    snprintf(folder, sizeof folder, "/proc/%d/task", (int)process);
    DIR *threads = opendir(folder);
    ck_assert_ptr_nonnull(threads);
    for (const struct dirent *thread; (thread = readdir(threads));) {
        if (thread->d_name[0] != '.') stopped = stopped && thread_state(folder, thread->d_name) == 'T';
    }
    closedir(threads);
    return stopped;
}

void contract_stall(pid_t process, bool stalled) {
    ck_assert_int_eq(kill(process, stalled ? SIGSTOP : SIGCONT), 0);
    int64_t begun_us = time_monotonic_us();
    /* The signal stops a process thread by thread: one that is not there yet would still answer. */
    while (stalled && !all_stopped(process)) {
        ck_assert_int_lt(time_monotonic_us() - begun_us, 10 * TIME_SECOND_US);
        sched_yield();
    }
}

const char *contract_variable(const char *name) {
    const char *value = getenv(name);
    if (value && *value) return value;
    fprintf(stderr, "%s is not set: run `make check-store`, which starts the servers\n", name);
    exit(EXIT_FAILURE);
}

int contract_run(const struct fixture *tested) {
    const TTest *const all[] = {
        ping_tells_the_servers_clock,
        an_empty_target_has_nothing_due,
        count_is_what_a_pass_destroys,
        probe_names_those_that_count_counts,
        the_cutoff_is_exclusive,
        a_cutoff_between_two_grains_destroys_nothing_early,
        neighbours_are_untouched,
        a_tenants_end_takes_all_of_it,
        tenants_with_odd_ids,
        nothing_is_due_twice,
        at_least_keeps_what_is_due,
        a_second_pass_destroys_nothing,
        an_update_between_choice_and_destruction_is_not_lost,
        a_rolled_back_batch_leaves_everything,
        a_pass_that_ends_with_a_batch_in_hand_leaves_it,
        excluded_tenants_are_left_out_of_the_rest_of_a_pass,
        a_tenant_whose_cutoff_is_never_keeps_all,
        undecidable_records_are_never_due_and_are_told,
        an_order_for_a_tenant_that_has_nothing_destroys_nothing,
        the_limit_holds_in_every_batch,
        a_portion_has_limits_of_its_own,
        two_parts_at_a_time_destroy_each_record_once,
        anything_left_of_a_tenant_is_seen,
        a_read_only_session_counts_the_same,
        a_read_only_session_begins_nothing,
        settle_knows_or_says_that_it_does_not,
        a_server_that_stops_is_noticed_in_time,
        a_lost_answer_to_the_commit_is_unknown,
        an_interrupted_verb_ends_soon,
    };
    fixture = tested;
    signal(SIGPIPE, SIG_IGN);
    Suite *suite = suite_create(tested->name);
    TCase *tcase = tcase_create(tested->name);
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) tcase_add_test(tcase, all[i]);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed;
}
