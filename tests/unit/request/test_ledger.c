/* Holds and the pause are what the journal's entries say, whatever is said again. */
#include "base/time.h"
#include "request/ledger.h"
#include "temporary.h"
#include "unit.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

enum { HOUR = 3600 };

static struct entry hold_entry(const char *id, const char *outcome, int64_t at_us) {
    return (struct entry){.event = ENTRY_HOLD, .time_us = at_us, .id = id, .outcome = outcome, .author = 7, .scope = "subtree", .tenant = "r",
                          .ground = "litigation", .placed_us = at_us, .released_us = TIME_FOREVER, .request = "abc"};
}

static void note(struct ledger *ledger, struct entry entry) { ledger_note(ledger, &entry); }

START_TEST(a_hold_counts_until_its_cooling_off_is_over) {
    struct ledger *ledger = ledger_new();
    note(ledger, hold_entry("h", "placed", 1000));
    ck_assert_uint_eq(ledger_holds(ledger, 2000, 500)->count, 1);
    note(ledger, (struct entry){.event = ENTRY_RELEASE, .time_us = 3000, .id = "r1", .hold = "h", .author = 7, .request = "def"});
    note(ledger, (struct entry){.event = ENTRY_RELEASE, .time_us = 9000, .id = "r2", .hold = "h", .author = 7, .request = "ghi"});
    ck_assert_uint_eq(ledger_holds(ledger, 3499, 500)->count, 1);
    ck_assert_int_eq(ledger_holds(ledger, 3499, 500)->items[0].released_us, 3000);
    ck_assert_uint_eq(ledger_holds(ledger, 3500, 500)->count, 0);
    ck_assert_ptr_nonnull(ledger_hold(ledger, "h"));
    ck_assert_str_eq(ledger_request(ledger, "h"), "abc");
    ck_assert_str_eq(ledger_request(ledger, "r1"), "def");
    ck_assert_ptr_null(ledger_request(ledger, "r3"));
    ledger_free(ledger);
}
END_TEST

START_TEST(what_stands_is_enough_when_the_rest_is_pruned) {
    static const char *const members[] = {"b", "a"}, *const more[] = {"c", "a"};
    struct ledger *ledger = ledger_new();
    struct entry entry = hold_entry("h", "stands", 1000);
    entry.released_us = 5000;
    entry.members = members;
    entry.n_members = 2;
    note(ledger, entry);
    entry = hold_entry("h", "widened", 1000);
    entry.members = more;
    entry.n_members = 2;
    note(ledger, entry);
    const struct hold *hold = &ledger_holds(ledger, 5000, 1)->items[0];
    ck_assert_uint_eq(hold->n_members, 3);
    ck_assert_str_eq(hold->members[0], "a");
    ck_assert_str_eq(hold->members[2], "c");
    ck_assert_int_eq(hold->since_us, 1000);
    ck_assert_uint_eq(ledger_holds(ledger, 5001, 1)->count, 0);
    note(ledger, (struct entry){.event = ENTRY_PAUSE, .outcome = "stands", .id = "p", .ground = "g", .placed_us = 77, .request = "x"});
    ck_assert_int_eq(ledger_pause(ledger)->since_us, 77);
    note(ledger, (struct entry){.event = ENTRY_RESUME, .id = "q", .request = "y"});
    ck_assert_ptr_null(ledger_pause(ledger));
    note(ledger, (struct entry){.event = ENTRY_PAUSE, .outcome = "placed", .id = "p2", .ground = "g", .placed_us = 99, .request = "z"});
    ck_assert_int_eq(ledger_pause(ledger)->since_us, 99);
    ledger_free(ledger);
}
END_TEST

/* A hold on a large subtree is said again for each sweep, over years: what is known already takes no room. */
START_TEST(what_is_said_again_takes_no_room) {
    enum { MEMBERS = 1000, TIMES = 1000 };
    static char ids[MEMBERS][40];
    const char *members[MEMBERS];
    for (int i = 0; i < MEMBERS; i++) {
        (void)snprintf(ids[i], sizeof ids[i], "%08x-0000-4000-8000-%012x", (unsigned)i * 2654435761U, (unsigned)i);
        members[i] = ids[i];
    }
    struct ledger *ledger = ledger_new();
    struct entry entry = hold_entry("h", "placed", 1000);
    entry.members = members;
    entry.n_members = MEMBERS;
    note(ledger, entry);
    struct rusage before, after;
    ck_assert_int_eq(getrusage(RUSAGE_SELF, &before), 0);
    const struct hold *hold = &ledger_holds(ledger, 2000, 1)->items[0];
    const char *sorted[MEMBERS];
    memcpy(sorted, hold->members, sizeof sorted); /* as the writer says it again */
    entry.outcome = "stands";
    for (int i = 0; i < TIMES; i++) {
        entry.members = i % 2 ? sorted : members;
        note(ledger, entry);
    }
    ck_assert_int_eq(getrusage(RUSAGE_SELF, &after), 0);
    ck_assert_uint_eq(ledger_holds(ledger, 2000, 1)->items[0].n_members, MEMBERS);
    ck_assert_int_lt(after.ru_maxrss - before.ru_maxrss, 8 << 10);
    static const char *const more[] = {"ffffffff-ffff-4fff-8fff-ffffffffffff", "{FFFFFFFF-ffff-4fff-8fff-ffffffffffff}", "00000000-0000-4000-8000-000000000000"};
    entry.members = more, entry.n_members = 3;
    note(ledger, entry);
    hold = &ledger_holds(ledger, 2000, 1)->items[0];
    ck_assert_uint_eq(hold->n_members, MEMBERS + 1);
    ck_assert_str_eq(hold->members[MEMBERS], more[0]);
    ledger_free(ledger);
}
END_TEST

START_TEST(an_approval_is_open_until_it_is_spent) {
    struct ledger *ledger = ledger_new();
    struct entry entry = {.event = ENTRY_APPROVE, .id = "a", .outcome = "placed", .rule = "Logs", .digest = "d1", .placed_us = 1000, .request = "x", .author = 7};
    note(ledger, entry);
    entry.outcome = "stands";
    note(ledger, entry);
    entry.id = "b", entry.tenant = "42", entry.placed_us = 2000;
    note(ledger, entry); /* its "placed" was pruned */
    const struct approvals *open = ledger_approvals(ledger);
    ck_assert_uint_eq(open->count, 2);
    ck_assert(!open->items[0].tenant && open->items[0].at_us == 1000 && !strcmp(open->items[0].digest, "d1"));
    ck_assert(!strcmp(open->items[1].tenant, "42") && open->items[1].at_us == 2000 && open->items[1].author == 7);
    note(ledger, (struct entry){.event = ENTRY_APPROVE, .id = "a", .outcome = "spent", .digest = "d1", .request = "x"});
    ck_assert_uint_eq(ledger_approvals(ledger)->count, 1);
    ck_assert_str_eq(ledger_approvals(ledger)->items[0].id, "b");
    note(ledger, (struct entry){.event = ENTRY_APPROVE, .id = "b", .outcome = "void", .digest = "d1", .request = "x"});
    ck_assert_uint_eq(ledger_approvals(ledger)->count, 0);
    ck_assert_str_eq(ledger_request(ledger, "a"), "x");
    ledger_free(ledger);
}
END_TEST

START_TEST(a_scope_that_cannot_be_read_holds_everything) {
    struct ledger *ledger = ledger_new();
    struct entry entry = hold_entry("h", "placed", 1000);
    entry.scope = "person";
    note(ledger, entry);
    ck_assert_int_eq(ledger_holds(ledger, 2000, 0)->items[0].scope, HOLD_ALL);
    ledger_free(ledger);
}
END_TEST

/* A release that was entered while the clock was behind is no earlier than what the journal had before. */
START_TEST(a_clock_that_is_behind_shortens_no_cooling_off) {
    struct ledger *ledger = ledger_new();
    note(ledger, hold_entry("h", "placed", 1000));
    note(ledger, (struct entry){.event = ENTRY_START, .time_us = 9000});
    note(ledger, (struct entry){.event = ENTRY_RELEASE, .time_us = 2000, .id = "r", .hold = "h", .request = "x"});
    ck_assert_int_eq(ledger_hold(ledger, "h")->released_us, 9000);
    struct entry stands = hold_entry("h", "stands", 1000);
    stands.released_us = 2000;
    note(ledger, stands);
    ck_assert_int_eq(ledger_hold(ledger, "h")->released_us, 9000);
    ledger_free(ledger);
}
END_TEST

/* The time that a clock was set over is no cooling-off time, and what was released in a time that never came is released now. */
START_TEST(an_accepted_time_shortens_no_cooling_off) {
    struct ledger *ledger = ledger_new();
    note(ledger, hold_entry("h", "placed", 1000));
    note(ledger, (struct entry){.event = ENTRY_RELEASE, .time_us = 2000, .id = "r", .hold = "h", .request = "x"});
    note(ledger, (struct entry){.event = ENTRY_CLOCK, .time_us = 50000, .placed_us = 2100, .id = "c", .request = "x"});
    ck_assert_int_eq(ledger_hold(ledger, "h")->released_us, 2000 + 50000 - 2100);
    note(ledger, (struct entry){.event = ENTRY_CLOCK, .time_us = 3000, .placed_us = 51000, .id = "d", .request = "x"});
    ck_assert_int_eq(ledger_hold(ledger, "h")->released_us, 3000);
    note(ledger, hold_entry("i", "placed", 3100));
    note(ledger, (struct entry){.event = ENTRY_RELEASE, .time_us = 3200, .id = "s", .hold = "i", .request = "x"});
    ck_assert_int_eq(ledger_hold(ledger, "i")->released_us, 3200); /* the time that was taken back counts no more */
    ledger_free(ledger);
}
END_TEST

START_TEST(the_copy_says_the_same) {
    static const char *const members[] = {"c\"1", "c2"};
    char folder[TEMPORARY_ROOM], path[2 * TEMPORARY_ROOM];
    ck_assert(temporary_folder(folder));
    struct arena *arena = arena_new();
    struct ledger_copy copy;
    struct err err;
    ck_assert_int_eq(ledger_copy_read(folder, arena, &copy, &err), 0);
    ck_assert(!copy.paused && !copy.holds.count);
    struct ledger *ledger = ledger_new();
    struct entry entry = hold_entry("h", "placed", HOUR * TIME_SECOND_US);
    entry.members = members;
    entry.n_members = 2;
    note(ledger, entry);
    note(ledger, (struct entry){.event = ENTRY_RELEASE, .time_us = 2 * HOUR * TIME_SECOND_US, .id = "r", .hold = "h", .request = "d"});
    note(ledger, (struct entry){.event = ENTRY_PAUSE, .outcome = "placed", .id = "p", .ground = "incident", .placed_us = 5 * TIME_SECOND_US, .request = "x"});
    note(ledger, (struct entry){.event = ENTRY_APPROVE, .id = "a", .outcome = "placed", .tenant = "42", .rule = "Logs", .digest = "d1",
                                .placed_us = 6 * TIME_SECOND_US, .request = "x"});
    struct buf json = {0};
    ledger_json(ledger, 2 * HOUR * TIME_SECOND_US, HOUR * TIME_SECOND_US, &json);
    (void)snprintf(path, sizeof path, "%s/" LEDGER_COPY, folder);
    ck_assert_int_eq(text_replace_file(path, json.text, json.length, 0640, &err), 0);
    ck_assert_msg(!ledger_copy_read(folder, arena, &copy, &err), "%s", err.text);
    ck_assert_uint_eq(copy.holds.count, 1);
    const struct hold *hold = &copy.holds.items[0];
    ck_assert(hold->scope == HOLD_SUBTREE && hold->n_members == 2 && text_equal(hold->members[0], "c\"1") && text_equal(hold->tenant, "r"));
    ck_assert(hold->since_us == HOUR * TIME_SECOND_US && copy.until_us[0] == 3 * HOUR * TIME_SECOND_US && hold->author == 7);
    ck_assert(copy.approvals.count == 1 && copy.approvals.items[0].at_us == 6 * TIME_SECOND_US && text_equal(copy.approvals.items[0].tenant, "42") &&
              text_equal(copy.approvals.items[0].digest, "d1"));
    ck_assert(copy.paused && text_equal(copy.paused_ground, "incident") && copy.paused_since_us == 5 * TIME_SECOND_US);
    ck_assert_int_eq(text_replace_file(path, "{}", 2, 0640, &err), 0);
    ck_assert_int_ne(ledger_copy_read(folder, arena, &copy, &err), 0);
    (void)unlink(path);
    (void)rmdir(folder);
    buf_free(&json);
    ledger_free(ledger);
    arena_free(arena);
}
END_TEST

UNIT_MAIN("ledger", a_clock_that_is_behind_shortens_no_cooling_off, an_accepted_time_shortens_no_cooling_off, a_hold_counts_until_its_cooling_off_is_over, what_stands_is_enough_when_the_rest_is_pruned,
          what_is_said_again_takes_no_room, an_approval_is_open_until_it_is_spent, a_scope_that_cannot_be_read_holds_everything, the_copy_says_the_same)
