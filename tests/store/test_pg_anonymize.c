/* Anonymization in PostgreSQL: every strategy, in the database and here, once and never again. */
#include "pg_fixture.h"

#include <stdio.h>

#define CUTOFF "2026-01-01"
#define VIEWS(target) "{ data = \"Views\"; anonymize = \"14 months\"; keep = \"26 months\"; basis = \"b\"; targets = ( { table = \"views\"; since = \"at\"; " target " } ); }"

static const char views_sql[] =
    "CREATE TABLE views (id bigint PRIMARY KEY, customer_id bigint, at timestamptz, ip inet, ip_text text NOT NULL, net cidr, visitor varchar(40), agent text,"
    " url text, referrer text, session text, name text NOT NULL, seen timestamptz, born date, country text, done timestamptz);"
    "CREATE INDEX ON views (customer_id, at)";

#define COLUMNS "columns = ( \"truncate-ip: ip, ip_text, net\", \"pseudonymize: visitor\", \"browser-family: agent\", \"strip-url: url\", \"host: referrer\"," \
                "\"null: session\", \"fixed(some one's): name\", \"truncate-time(hour): seen\", \"truncate-time(month): born\", \"as-is: country%s\" );"

static void fill(void) {
    pg_sql("INSERT INTO views SELECT n, n % 3, '2025-01-01', '203.0.113.77', '2001:db8:1:2::3', '10.1.2.3/32', 'bob ' || n,"
           " 'Mozilla/5.0 (Windows NT 10.0; rv:128.0) Gecko/20100101 Firefox/128.0', 'https://u:p@h.example/a?q=1#f', 'https://bob@Ref.Example/x', 'canary', 'Bob \"\\ {}',"
           " '2025-01-01 10:11:12', '2025-01-31', 'DE' FROM generate_series(1, 30) n");
    pg_sql("UPDATE views SET ip = '::ffff:198.51.100.9', ip_text = 'not an address', visitor = NULL, agent = '', url = NULL WHERE id = 1");
    pg_sql("INSERT INTO views (id, customer_id, at, ip_text, name) VALUES (100, 1, '2026-06-01', '1.2.3.4', 'live')");
}

static const char canaries[] = "SELECT count(*) FROM views v WHERE at < '2026-01-01' AND v::text ~ '(bob|canary|203.0.113.77|q=1|10:11|Bob|::3|not an)'";

static void nothing_is_left_and_nothing_is_touched_twice(struct acts *acts, size_t limit) {
    struct order order = order_by_age(acts_target(acts, 0), ACTION_ANONYMIZE, CUTOFF);
    ck_assert_int_eq(pg_number(canaries), 30);
    ck_assert_int_eq(acts_sweep(acts, &order, limit).records, 30);
    ck_assert_int_eq(pg_number(canaries), 0);
    char *first = pg_text("SELECT string_agg(xmin::text || ctid::text, ' ' ORDER BY id) FROM views");
    ck_assert_int_eq(acts_sweep(acts, &order, limit).records, 0);
    char *second = pg_text("SELECT string_agg(xmin::text || ctid::text, ' ' ORDER BY id) FROM views");
    ck_assert_str_eq(first, second);
    free(first);
    free(second);
    char *row = pg_text("SELECT concat_ws('|', ip, ip_text, net, left(visitor, 5) || length(visitor), agent, url, referrer, coalesce(session, 'null'), name, seen, born, country)"
                        " FROM views WHERE id = 2");
    ck_assert_str_eq(row, "203.0.113.0/24|2001:db8:1::|10.1.2.0/24|anon:40|Firefox 128 on Windows|https://h.example/a|ref.example|null|some one's|2025-01-01 10:00:00+00|2025-01-01|DE");
    free(row);
    row = pg_text("SELECT concat_ws('|', ip, '<' || ip_text || '>', coalesce(visitor, 'null'), '<' || agent || '>', coalesce(url, 'null')) FROM views WHERE id = 1");
    ck_assert_str_eq(row, "198.51.100.0/24|<>|null|<>|null");
    free(row);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM views WHERE name = 'live' AND ip_text = '1.2.3.4'"), 1);
    ck_assert_int_eq(pg_number("SELECT count(DISTINCT visitor) FROM views WHERE visitor IS NOT NULL"), 29);
}

static struct acts open_views(const char *target, const char *done) {
    char columns[600], rules[1200], format[400];
    (void)snprintf(format, sizeof format, "%s", COLUMNS);
    (void)snprintf(columns, sizeof columns, "%.*s%s%s", (int)(strstr(format, "%s") - format), format, done, strstr(format, "%s") + 2);
    (void)snprintf(rules, sizeof rules, VIEWS("%s %s"), target, columns);
    return acts_open(rules);
}

START_TEST(every_strategy_by_the_values) {
    pg_schema(views_sql);
    fill();
    struct acts acts = open_views("tenant = \"customer_id\";", ", done");
    nothing_is_left_and_nothing_is_touched_twice(&acts, 7);
    acts_close(&acts);
}
END_TEST

START_TEST(every_strategy_by_a_marker) {
    pg_schema(views_sql);
    fill();
    struct acts acts = open_views("tenant = \"customer_id\"; marker = \"done\";", "");
    nothing_is_left_and_nothing_is_touched_twice(&acts, 100);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM views WHERE done > now() - interval '1 minute'"), 30);
    acts_close(&acts);
}
END_TEST

START_TEST(without_tenants_and_with_a_further_condition) {
    pg_schema(views_sql);
    fill();
    struct acts acts = open_views("tenant = \"none\"; only = \"country = 'DE'\";", ", customer_id, done");
    nothing_is_left_and_nothing_is_touched_twice(&acts, 11);
    acts_close(&acts);
}
END_TEST

/* Missed at fourteen months, gone at twenty-six all the same. */
START_TEST(a_record_that_was_never_anonymized_is_still_purged) {
    pg_schema(views_sql);
    fill();
    struct acts acts = open_views("tenant = \"customer_id\";", ", done");
    struct order order = order_by_age(acts_target(&acts, 0), ACTION_PURGE, CUTOFF);
    ck_assert_int_eq(acts_sweep(&acts, &order, 100).records, 30);
    acts_close(&acts);
}
END_TEST

static const char account_sql[] =
    "CREATE TABLE accounts (id bigint PRIMARY KEY, customer_id bigint, email text, name text NOT NULL);"
    "CREATE INDEX ON accounts (customer_id);"
    "CREATE TABLE users (id bigint PRIMARY KEY, account_id bigint REFERENCES accounts);"
    "CREATE TABLE logins (id bigint PRIMARY KEY, user_id bigint REFERENCES users);"
    "CREATE TABLE orders (id bigint PRIMARY KEY, account_id bigint REFERENCES accounts, buyer text, phone text);"
    "CREATE TABLE invoices (id bigint PRIMARY KEY, account_id bigint REFERENCES accounts)";

static const char account_rules[] =
    "{ data = \"Account\"; keep = \"account + 90 days\"; if_blocked = \"anonymize\"; basis = \"b\"; targets = ( { table = \"accounts\"; tenant = \"customer_id\";"
    " dependents = ( { join = \"users.account_id\"; when_anonymized = \"purge\"; }, { join = \"logins.user_id = users.id\"; when_anonymized = \"purge\"; },"
    " { join = \"orders.account_id\"; columns = ( \"pseudonymize: buyer\", \"null: phone\" ); } );"
    " columns = ( \"null: email\", \"fixed(closed): name\" ); } ); }";

START_TEST(a_blocked_record_is_anonymized_with_what_hangs_on_it) {
    pg_schema(account_sql);
    pg_sql("INSERT INTO accounts SELECT n, n, 'mail ' || n, 'name' FROM generate_series(1, 4) n; INSERT INTO invoices VALUES (1, 1), (2, 1), (3, 2);"
           "INSERT INTO users SELECT n, n FROM generate_series(1, 4) n; INSERT INTO logins SELECT n, n FROM generate_series(1, 4) n;"
           "INSERT INTO orders SELECT n, n, 'buyer ' || n, 'phone' FROM generate_series(1, 4) n");
    struct acts acts = acts_open(account_rules);
    const char *const tenants[] = {"1", "2", "3", NULL};
    struct order purge = order_by_end(&acts, acts_target(&acts, 0), ACTION_PURGE, tenants);
    struct order anonymize = order_by_end(&acts, acts_target(&acts, 0), ACTION_ANONYMIZE, tenants);
    anonymize.blocked_only = true;
    ck_assert_int_eq(acts_count(&acts, &purge).records, 1);
    ck_assert_int_eq(acts_count(&acts, &purge).n_blocked_records, 2);
    ck_assert_int_eq(acts_count(&acts, &anonymize).records, 2);
    ck_assert_int_eq(acts_sweep(&acts, &purge, 3).records, 1);
    ck_assert_int_eq(acts_sweep(&acts, &anonymize, 3).records, 2);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM accounts WHERE name = 'closed' AND email IS NULL"), 2);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM users"), 1); /* of the tenant that lives */
    ck_assert_int_eq(pg_number("SELECT count(*) FROM logins"), 1);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM orders WHERE buyer LIKE 'anon:%' AND phone IS NULL"), 2);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM orders WHERE buyer = 'buyer 4'"), 1);
    ck_assert_int_eq(acts_pass(&acts, &anonymize, 100).records, 0);
    pg_sql("DELETE FROM invoices");
    ck_assert_int_eq(acts_sweep(&acts, &purge, 100).records, 2);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM accounts"), 1);
    acts_close(&acts);
}
END_TEST

/* Nothing of it changes: it is only read, and deleted in the end. */
START_TEST(a_dependent_that_stays_as_it_is_needs_no_update) {
    pg_schema("CREATE TABLE views (id bigint PRIMARY KEY, customer_id bigint, at timestamptz, name text); INSERT INTO views VALUES (1, 1, '2025-01-01', 'x');"
              "CREATE TABLE clicks (id bigint PRIMARY KEY, view_id bigint REFERENCES views, name text); INSERT INTO clicks SELECT n, 1, 'x' FROM generate_series(1, 3) n");
    pg_sql("REVOKE ALL ON clicks FROM lapsed; GRANT SELECT, DELETE ON clicks TO lapsed");
    struct acts acts = acts_open(VIEWS("tenant = \"customer_id\"; columns = ( \"null: name\" );"
                                       "dependents = ( { join = \"clicks.view_id\"; columns = ( \"as-is: name\" ); } );"));
    struct order order = order_by_age(acts_target(&acts, 0), ACTION_ANONYMIZE, CUTOFF);
    struct sum sum = acts_pass(&acts, &order, 10);
    ck_assert_int_eq(sum.records, 1);
    ck_assert_int_eq(sum.dependents, 0);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM clicks WHERE name = 'x'"), 3);
    ck_assert_int_eq(pg_number("SELECT count(*) FROM views WHERE name IS NULL"), 1);
    acts_close(&acts);
}
END_TEST

UNIT_MAIN("PostgreSQL: anonymize", every_strategy_by_the_values, every_strategy_by_a_marker, without_tenants_and_with_a_further_condition,
          a_record_that_was_never_anonymized_is_still_purged, a_blocked_record_is_anonymized_with_what_hangs_on_it,
          a_dependent_that_stays_as_it_is_needs_no_update)
