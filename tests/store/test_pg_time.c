/* Anchors without a zone, days and numbers: never early, whatever the clocks do. */
#include "pg_fixture.h"

#include <inttypes.h>
#include <stdio.h>

static const char rules[] = "{ data = \"R\"; keep = \"1 year\"; basis = \"b\"; targets = ( { table = \"records\"; tenant = \"customer_id\"; since = \"at\"; %s } ); }";

/* A table of one anchor column of this type; opened with this further setting. */
static struct acts open_records(const char *type, const char *setting) {
    char text[600];
    (void)snprintf(text, sizeof text, "CREATE TABLE records (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer_id bigint DEFAULT 1, at %s);"
                   "CREATE INDEX ON records (customer_id, at)", type);
    pg_schema(text);
    pg_sql("GRANT ALL ON ALL SEQUENCES IN SCHEMA acts TO lapsed");
    (void)snprintf(text, sizeof text, rules, setting);
    return acts_open(text);
}

static int64_t due_at(struct acts *acts, const char *cutoff) {
    struct order order = order_by_age(acts_target(acts, 0), ACTION_PURGE, cutoff);
    return acts_count(acts, &order).records;
}

/* Every quarter of an hour around the change: a reading is due only if all instants that it may stand for are past. */
static void readings_are_never_due_early(const char *zone, const char *from, int64_t hours) {
    char setting[100], sql[900];
    (void)snprintf(setting, sizeof setting, "zone = \"%s\";", zone);
    struct acts acts = open_records("timestamp", setting);
    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO records (at) SELECT DISTINCT i AT TIME ZONE '%s' FROM generate_series(timestamptz '%s', timestamptz '%s' + interval '%" PRId64
                   " hours', interval '5 minutes') i", zone, from, from, hours);
    pg_sql(sql);
    for (int64_t cutoff = at(from); cutoff < at(from) + hours * 3600 * TIME_SECOND_US; cutoff += 7 * 60 * TIME_SECOND_US + 1) {
        /* The latest instant that a reading may stand for, by the server's own table of zones. */
        (void)snprintf(sql, sizeof sql,
                       "SELECT count(*) FROM records r WHERE (SELECT max(i) FROM generate_series(timestamptz '%s' - interval '4 hours', timestamptz '%s' + interval '%" PRId64
                       " hours', interval '5 minutes') i WHERE i AT TIME ZONE '%s' = r.at) < '%s'",
                       from, from, hours + 4, zone, time_format(cutoff).text);
        int64_t past = pg_number(sql), due = due_at(&acts, time_format(cutoff).text);
        ck_assert_msg(due <= past, "%s: %" PRId64 " are due, %" PRId64 " are past at %s", zone, due, past, time_format(cutoff).text);
        /* Late by no more than the hour that is read twice. */
        (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM records WHERE at < (timestamptz '%s' - interval '1 hour') AT TIME ZONE '%s' - interval '1 hour'",
                       time_format(cutoff).text, zone);
        ck_assert_int_ge(due, pg_number(sql));
    }
    acts_close(&acts);
}

START_TEST(an_autumn_hour_is_read_as_the_earlier_one) {
    readings_are_never_due_early("Europe/Berlin", "2026-10-24 22:00:00+00", 6);
    readings_are_never_due_early("America/New_York", "2026-11-01 03:00:00+00", 6);
}
END_TEST

START_TEST(a_spring_hour_makes_nothing_early) {
    readings_are_never_due_early("Europe/Berlin", "2026-03-28 23:00:00+00", 5);
}
END_TEST

START_TEST(a_reading_is_due_by_its_zone) {
    struct acts acts = open_records("timestamp", "zone = \"Asia/Tokyo\";");
    pg_sql("INSERT INTO records (at) VALUES ('2026-01-01 08:59:59.999999'), ('2026-01-01 09:00:00'), ('infinity'), ('-infinity'), (NULL)");
    ck_assert_int_eq(due_at(&acts, "2026-01-01"), 1);
    struct order order = order_by_age(acts_target(&acts, 0), ACTION_PURGE, "2026-01-01");
    ck_assert_int_eq(acts_probe(&acts, &order).tenants[0].oldest_us, at("2025-12-31T23:59:59.999999Z"));
    ck_assert_int_eq(acts_sweep(&acts, &order, 10).records, 1);
    acts_close(&acts);
}
END_TEST

START_TEST(a_date_is_over_at_its_end) {
    struct acts acts = open_records("date", "zone = \"Europe/Berlin\";");
    pg_sql("INSERT INTO records (at) VALUES ('2026-01-01'), ('2026-01-02'), ('infinity'), ('-infinity'), (NULL)");
    ck_assert_int_eq(due_at(&acts, "2026-01-01T22:59:59.999999Z"), 0);
    ck_assert_int_eq(due_at(&acts, "2026-01-01T23:00:00Z"), 0); /* its end is the cutoff: not before it */
    ck_assert_int_eq(due_at(&acts, "2026-01-01T23:00:00.000001Z"), 1);
    ck_assert_int_eq(due_at(&acts, "2026-01-02T23:00:00.000001Z"), 2);
    struct order order = order_by_age(acts_target(&acts, 0), ACTION_PURGE, "2026-01-03");
    ck_assert_int_eq(acts_probe(&acts, &order).tenants[0].oldest_us, at("2026-01-01T23:00:00Z"));
    ck_assert_int_eq(acts_sweep(&acts, &order, 1).records, 2);
    acts_close(&acts);
}
END_TEST

static int64_t since_empty(struct acts *acts) {
    const struct undecidable *items;
    size_t count;
    struct err err;
    ck_assert_msg(pg_driver.undecidable(acts->store, acts_target(acts, 0), at("2026-07-01"), acts->arena, &items, &count, &err) == 0, "%s", err.text);
    for (size_t i = 0; i < count; i++)
        if (!strcmp(items[i].code, "since-empty")) return items[i].count;
    return 0;
}

START_TEST(numbers_count_in_their_unit) {
    struct acts acts = open_records("integer", "unit = \"s\";");
    pg_sql("INSERT INTO records (at) VALUES (1767225599), (1767225600), (1767225601), (NULL), (2147483647), (-2147483648), (0), (1)");
    ck_assert_int_eq(due_at(&acts, "2026-01-01T00:00:00Z"), 2);
    ck_assert_int_eq(due_at(&acts, "2026-01-01T00:00:00.000001Z"), 3);
    ck_assert_int_eq(since_empty(&acts), 3); /* 0 and below stand for "not set" */
    acts_close(&acts);
    acts = open_records("bigint", "unit = \"ms\";");
    pg_sql("INSERT INTO records (at) VALUES (1767225599999), (1767225600000), (9223372036854775807), (-9223372036854775808), (0)");
    struct order order = order_by_age(acts_target(&acts, 0), ACTION_PURGE, "2026-01-01");
    ck_assert_int_eq(acts_sweep(&acts, &order, 1).records, 1);
    ck_assert_int_eq(since_empty(&acts), 2);
    acts_close(&acts);
}
END_TEST

UNIT_MAIN("PostgreSQL: time", an_autumn_hour_is_read_as_the_earlier_one, a_spring_hour_makes_nothing_early, a_reading_is_due_by_its_zone,
          a_date_is_over_at_its_end, numbers_count_in_their_unit)
