/* Vetoes by themselves, and what a sweep does under one. */
#include "stage.h"

/* A kind that nothing but these tests sets here; the throttle looks at the stores by itself. */
static const enum veto_kind of_main = VETO_CLOCK;

/* ---- by themselves ---- */

static struct veto_waiter waiter, other_waiter;
static int gone;

static void on_go(struct veto_waiter *who) {
    (void)who;
    gone++;
}

static void wait_in(struct veto_waiter *who, const char *store) {
    *who = (struct veto_waiter){.go = on_go, .store = store, .sweep = 1};
    veto_wait(&engine, who);
}

static void assert_told(const char *expected) {
    struct buf told = {0};
    veto_tell(&engine, &told);
    ck_assert_str_eq(buf_text(&told), expected);
    buf_free(&told);
}

static int flush_and_count(const char *text) {
    journal_close(engine.journal);
    int count = journal_has(text);
    const struct journal_conf conf = {.folder = schedule->settings.journal_folder, .segment_bytes = 1 << 20, .segment_age_us = 100 * TIME_DAY_US, .wake = wake};
    struct arena *arena = arena_new();
    const struct open_intent *open;
    size_t n_open;
    struct err err;
    if (journal_open(&conf, arena, &engine.journal, &open, &n_open, &err)) ck_abort_msg("%s", err.text);
    arena_free(arena);
    return count;
}

START_TEST(all_that_forbid_must_be_lifted) {
    open_all(HEAD LOGS " );");
    ck_assert_ptr_null(veto_on(&engine, "main"));
    veto_set(&engine, of_main, "main", "replica-lag", "a replica of \"main\" is 12 s behind");
    veto_set(&engine, VETO_JOURNAL, NULL, "disk-full", "the journal's disk is full");
    ck_assert_ptr_nonnull(veto_on(&engine, "main"));
    assert_told(""); /* nobody waits */
    wait_in(&waiter, "main");
    assert_told("a replica of \"main\" is 12 s behind; the journal's disk is full");
    veto_lift(&engine, VETO_JOURNAL, "main"); /* not this one */
    veto_lift(&engine, VETO_CLOCK, NULL);     /* was never set */
    veto_lift(&engine, VETO_JOURNAL, NULL);
    ck_assert_int_eq(gone, 0);
    ck_assert(veto_is_waiting(&engine, &waiter));
    veto_lift(&engine, of_main, "main");
    ck_assert_int_eq(gone, 1);
    ck_assert(!veto_is_waiting(&engine, &waiter) && !veto_on(&engine, "main"));
    ck_assert_int_eq(flush_and_count("\"event\":\"wait\""), 2);
    ck_assert_int_eq(journal_has("\"event\":\"wait\",\"sweep\":1,\"store\":\"main\",\"code\":\"replica-lag\",\"since\":\"20"), 1);
    ck_assert_int_eq(journal_has("\"event\":\"wait\",\"sweep\":1,\"store\":null,\"code\":\"disk-full\",\"since\":\"20"), 1);
    close_all();
}
END_TEST

START_TEST(a_store_alone_waits_for_its_own) {
    open_all(HEAD LOGS " );");
    veto_set(&engine, of_main, "main", "replica-lag", "r");
    ck_assert_ptr_null(veto_on(&engine, "other"));
    veto_set(&engine, VETO_CLOCK, NULL, "clock-stepped", "c");
    wait_in(&waiter, "main");
    wait_in(&other_waiter, "other");
    veto_lift(&engine, VETO_CLOCK, NULL);
    ck_assert_int_eq(gone, 1);
    ck_assert(veto_is_waiting(&engine, &waiter) && !veto_is_waiting(&engine, &other_waiter));
    veto_leave(&engine, &waiter);
    veto_leave(&engine, &other_waiter);
    ck_assert_int_eq(gone, 1);
    close_all();
}
END_TEST

START_TEST(the_same_reason_in_other_words_is_one_wait) {
    open_all(HEAD LOGS " );");
    veto_set(&engine, of_main, "main", "replica-lag", "12 s");
    int64_t since_us = veto_on(&engine, "main")->since_us;
    wait_in(&waiter, "main");
    veto_set(&engine, of_main, "main", "replica-lag", "14 s");
    ck_assert_int_eq(veto_on(&engine, "main")->since_us, since_us);
    assert_told("14 s");
    veto_set(&engine, of_main, "main", "old-snapshot", "a snapshot");
    assert_told("a snapshot");
    veto_leave(&engine, &waiter);
    assert_told("");
    veto_lift(&engine, of_main, "main");
    ck_assert_int_eq(gone, 0);
    ck_assert_int_eq(flush_and_count("\"event\":\"wait\""), 2);
    ck_assert_int_eq(journal_has("\"code\":\"old-snapshot\""), 1);
    close_all();
}
END_TEST

/* ---- in a sweep ---- */

static bool somebody_waits(void) { return engine.vetoes.waiters != NULL; }

static void put_logs(int count) {
    tenant("a", -1);
    for (int i = 0; i < count; i++) scripted_put("logs", i, "a", now_us - 400 * TIME_DAY_US);
}

START_TEST(no_batch_is_begun_under_a_veto) {
    open_all(HEAD LOGS " );");
    put_logs(10);
    veto_set(&engine, of_main, "main", "replica-lag", "a replica of \"main\" is 12 s behind");
    struct sweep *sweep = begin();
    run_until(somebody_waits);
    ck_assert_uint_eq(scripted_calls(SCRIPTED_PREPARE), 0);
    struct buf text = {0};
    ck_assert(sweep_progress(sweep, &text));
    ck_assert_ptr_eq(strstr(buf_text(&text), "a replica of \"main\" is 12 s behind"), buf_text(&text));
    buf_free(&text);
    veto_lift(&engine, of_main, "main");
    finish(sweep);
    ck_assert_uint_eq(scripted_size("logs"), 0);
    ck_assert_int_eq(journal_has("\"event\":\"wait\""), 1);
    ck_assert(!seen.waits && !seen.ended_early);
    close_all();
}
END_TEST

/* The veto comes while a batch commits: that one is finished, and the next is not begun. */
START_TEST(a_batch_in_flight_is_finished) {
    open_all(HEAD LOGS " );");
    schedule->settings.batch_rows = 10;
    put_logs(100);
    scripted_block(SCRIPTED_COMMIT);
    struct sweep *sweep = begin();
    run_until_blocked(SCRIPTED_COMMIT);
    veto_set(&engine, VETO_CLOCK, NULL, "clock-stepped", "the clock stepped");
    scripted_release(SCRIPTED_COMMIT);
    run_until(somebody_waits);
    ck_assert_uint_eq(scripted_calls(SCRIPTED_PREPARE), 1);
    ck_assert_uint_eq(scripted_size("logs"), 90);
    sweep_end_early(sweep);
    finish(sweep);
    ck_assert(seen.ended_early);
    ck_assert_uint_eq(scripted_size("logs"), 90);
    ck_assert_int_eq(journal_has("\"event\":\"wait\""), 1);
    ck_assert_ptr_null(engine.vetoes.waiters);
    close_all();
}
END_TEST

START_TEST(another_store_goes_on) {
    open_all(HEAD LOGS ", " CONTENT " );");
    put_logs(10);
    tenant("b", 31);
    scripted_put("content", 1, "b", SCRIPTED_NO_ANCHOR);
    veto_set(&engine, of_main, "main", "replica-lag", "r");
    scripted_block(SCRIPTED_COMMIT);
    struct sweep *sweep = begin();
    run_until_blocked(SCRIPTED_COMMIT);
    scripted_release(SCRIPTED_COMMIT);
    run_until(somebody_waits);
    while (scripted_has("content", 1)) ev_run(engine.loop, EVRUN_ONCE);
    ck_assert_uint_eq(scripted_size("logs"), 10);
    veto_lift(&engine, of_main, "main");
    finish(sweep);
    ck_assert_uint_eq(scripted_size(NULL), 0);
    close_all();
}
END_TEST

/* "lapsed --once" does not sit there until a person has made room. */
START_TEST(once_does_not_wait_for_a_person) {
    open_all(HEAD LOGS " );");
    put_logs(10);
    trigger = "once";
    veto_set(&engine, VETO_JOURNAL, NULL, "disk-full", "the journal's disk is full");
    sweep_once();
    ck_assert(seen.ended_early);
    ck_assert_uint_eq(scripted_size("logs"), 10);
    veto_lift(&engine, VETO_JOURNAL, NULL);
    sweep_once();
    ck_assert(!seen.ended_early && !scripted_size("logs"));
    close_all();
}
END_TEST

START_TEST(a_wait_that_lasts_ends_the_sweep) {
    open_all(HEAD LOGS " );");
    schedule->settings.sweep_every_us = 1000;
    put_logs(10);
    veto_set(&engine, of_main, "main", "replica-lag", "r");
    sweep_once();
    ck_assert(seen.ended_early);
    ck_assert_uint_eq(scripted_size("logs"), 10);
    ck_assert_int_eq(journal_has("\"event\":\"wait\""), 1);
    close_all();
}
END_TEST

UNIT_MAIN("veto", all_that_forbid_must_be_lifted, a_store_alone_waits_for_its_own, the_same_reason_in_other_words_is_one_wait,
          no_batch_is_begun_under_a_veto, a_batch_in_flight_is_finished, another_store_goes_on, once_does_not_wait_for_a_person,
          a_wait_that_lasts_ends_the_sweep)
