"""Bad input gets a clear error with its place and the remedy, starts nothing and loses nothing; the README's first schedule works."""
import re

import psycopg2
import pytest

from demo import stores
from programs import lapsed_test

REPOSITORY = stores.HERE.parent

TENANTS = "SELECT id AS tenant, ended_at AS subscription FROM customers"
GOOD = '''schedule = (
  { data = "Events"; keep = "12 months"; basis = "Security";
    targets = ( { table = "events"; tenant = "customer_id"; since = "at"; } ); },
  { data = "Uploads"; keep = "subscription + 30 days"; basis = "Contract";
    targets = ( { table = "uploads"; tenant = "customer_id"; dependents = [ "parts.upload_id" ]; } ); },
  { data = "Views"; anonymize = "14 months"; keep = "26 months"; basis = "Interest";
    targets = ( { table = "views"; tenant = "none"; since = "at"; columns = ( "null: ip", "as-is: country" ); } ); }
);
'''


@pytest.fixture
def shop(world):
    """A sound schedule on tables that fit it, with something due in each."""
    world.sql("CREATE TABLE customers (id bigint PRIMARY KEY, ended_at timestamptz)")
    world.sql("CREATE TABLE events (id bigint PRIMARY KEY, customer_id bigint NOT NULL, at timestamptz, note text)")
    world.sql("CREATE TABLE uploads (id bigint PRIMARY KEY, customer_id bigint NOT NULL)")
    world.sql("CREATE TABLE parts (id bigint PRIMARY KEY, upload_id bigint NOT NULL REFERENCES uploads)")
    world.sql("CREATE TABLE views (id bigint PRIMARY KEY, at timestamptz, ip inet, country text)")
    world.sql("INSERT INTO customers VALUES (1, now() - interval '40 days')")
    world.sql("INSERT INTO events VALUES (1, 1, now() - interval '2 years', 'x'), (2, 1, now(), 'x')")
    world.sql("INSERT INTO uploads VALUES (1, 1)")
    world.sql("INSERT INTO parts VALUES (1, 1)")
    world.sql("INSERT INTO views VALUES (1, now() - interval '15 months', '192.0.2.1', 'DE'), (2, now() - interval '3 years', '192.0.2.1', 'DE')")
    world.configure(GOOD, tenants=TENANTS)
    return world


def rows(world):
    return [world.sql(f"SELECT * FROM {table} ORDER BY 1") for table in ("customers", "events", "uploads", "parts", "views")]


def test_the_good_one_is_good(shop):
    assert shop.check().returncode == 0
    check = shop.lapsectl("check")
    assert check.returncode == 0, check.stdout + check.stderr
    assert shop.once().returncode == 0
    assert [len(table) for table in rows(shop)] == [1, 1, 0, 0, 1]
    assert shop.one("SELECT ip FROM views") is None


# What is changed, and what the message must say: found in the file alone, before any database is asked.
FAULTS_OF_MEANING = {
    "bare number": ('"12 months"', '"12"', 'schedule.conf:2: "Events": keep = "12" has no unit'),
    "a number without quotes": ('"12 months"', "12", "schedule.conf:2: "),
    "negative": ('"12 months"', '"-1 months"', "schedule.conf:2: "),
    "zero": ('"12 months"', '"0 days"', "schedule.conf:2: "),
    "unknown unit": ('"12 months"', '"12 fortnights"', "schedule.conf:2: "),
    "months mixed with days": ('"12 months"', '"1 month 30 days"', "schedule.conf:2: "),
    "an unknown end": ("subscription + 30", "membership + 30", "schedule.conf:4: "),
    "no period": ('keep = "12 months"; ', "", "schedule.conf:2: "),
    "no basis": (' basis = "Security";', "", "schedule.conf:2: "),
    "no tenant": ('tenant = "customer_id"; since', "since", "schedule.conf:3: "),
    "an empty tenant": ('tenant = "customer_id"; since', 'tenant = ""; since', "schedule.conf:3: "),
    "no since": (' since = "at"; } ); },', " } ); },", "schedule.conf:3: "),
    "an unknown setting": ('since = "at"; } ); },', 'sinse = "at"; } ); },', "schedule.conf:3: "),
    "a column twice": ('"as-is: country"', '"as-is: country, ip"', "schedule.conf:7: "),
    "an unknown strategy": ('"null: ip"', '"scramble: ip"', "schedule.conf:7: "),
    "a condition that breaks out": ('since = "at"; } ); },', 'since = "at"; only = "note = 1) OR (true"; } ); },', "schedule.conf:3: "),
    "two statements": ('since = "at"; } ); },', 'since = "at"; only = "true; DROP TABLE events"; } ); },', "schedule.conf:3: "),
    "a missing semicolon": ('basis = "Security";', 'basis = "Security" keep', "schedule.conf:2: "),
    "not UTF-8": ('"Events"', '"Ev\udcffents"', "UTF-8"),
    "an include": ("schedule = (", '@include "other.conf"\nschedule = (', "@include"),
}


@pytest.mark.parametrize("case", FAULTS_OF_MEANING)
def test_a_faulty_file_is_refused(shop, case):
    old, new, expected = FAULTS_OF_MEANING[case]
    assert GOOD.count(old) >= 1
    (shop.folder / "schedule.conf").write_bytes(GOOD.replace(old, new, 1).encode(errors="surrogateescape"))
    before = rows(shop)
    for answer in (shop.check(), shop.once()):
        assert answer.returncode == 78, answer.stdout
        assert expected in answer.stdout
    assert rows(shop) == before
    assert not shop.journal.entries("intent")
    check = shop.lapsectl("check")
    assert check.returncode == 78 and expected in check.stdout + check.stderr


# Sound by itself, but the database says otherwise: `check` and the sweep both refuse the target.
FAULTS_OF_CATALOG = {
    "no such table": ('"events"', '"evnets"', "schedule.conf:3: "),
    "no such column": ('since = "at"; } ); },', 'since = "att"; } ); },', "schedule.conf:3: "),
    "no such tenant column": ('tenant = "customer_id"; since', 'tenant = "client_id"; since', "schedule.conf:3: "),
    "since of a wrong type": ('since = "at"; } ); },', 'since = "note"; } ); },', "schedule.conf:3: "),
    "an unlisted column": ('"null: ip", ', "", "schedule.conf:7: "),
    "a listed column that is not there": ('"null: ip"', '"null: ip, host"', "schedule.conf:7: "),
    "a strategy that does not fit": ('"null: ip"', '"truncate-time(day): ip"', "schedule.conf:7: "),
    "a dependent that is not there": ("parts.upload_id", "parts.uplaod_id", "schedule.conf:5: "),
}


@pytest.mark.parametrize("case", FAULTS_OF_CATALOG)
def test_a_schedule_that_the_database_contradicts_is_refused(shop, case):
    old, new, expected = FAULTS_OF_CATALOG[case]
    (shop.folder / "schedule.conf").write_text(GOOD.replace(old, new, 1))
    check = shop.lapsectl("check")
    assert check.returncode == 78, check.stdout + check.stderr
    assert expected in check.stdout + check.stderr
    line = int(re.search(r":(\d+): $", expected).group(1))
    table = {3: "events", 5: "uploads", 7: "views"}[line]
    before = shop.sql(f"SELECT * FROM {table} ORDER BY 1")
    answer = shop.once()
    assert answer.returncode == 78, answer.stdout
    assert shop.sql(f"SELECT * FROM {table} ORDER BY 1") == before


def refused(shop, text):
    check = shop.lapsectl("check")
    assert check.returncode == 78, check.stdout + check.stderr
    assert text in check.stdout + check.stderr
    before = rows(shop)
    assert shop.once().returncode == 78
    assert rows(shop)[2:4] == before[2:4]


def test_a_missing_dependent_is_named_with_the_line_to_paste(shop):
    (shop.folder / "schedule.conf").write_text(GOOD.replace(' dependents = [ "parts.upload_id" ];', ""))
    check = shop.lapsectl("check")
    assert "parts.upload_id" in check.stdout + check.stderr
    shop.once()
    assert shop.one("SELECT count(*) FROM uploads") == 1  # blocked, not forced


def test_a_cascade_out_of_the_schedule_is_refused(shop):
    shop.sql("CREATE TABLE receipts (id bigint PRIMARY KEY, upload_id bigint NOT NULL REFERENCES uploads ON DELETE CASCADE)")
    refused(shop, "receipts")


def test_a_table_without_identity_is_refused(shop):
    shop.sql("ALTER TABLE uploads DROP CONSTRAINT uploads_pkey CASCADE")
    refused(shop, "schedule.conf:5: ")


@pytest.mark.parametrize("query, expected", [
    ("SELECT id, ended_at AS subscription FROM customers", "tenant"),
    ("SELECT id AS tenant FROM customers", "subscription"),
    ("SELECT id AS tenant, ended_at AS subscription FROM nowhere", "lapsed.conf"),
])
def test_a_tenants_query_of_the_wrong_shape(shop, query, expected):
    shop.configure(GOOD, tenants=query)
    check = shop.lapsectl("check")
    assert check.returncode != 0 and expected in check.stdout + check.stderr
    before = rows(shop)
    assert shop.once().returncode in (75, 78)
    assert rows(shop)[2:4] == before[2:4]


def test_the_row_that_says_when_a_tenant_ended_does_not_go_first(world):
    """Subscriptions carry the clock: a rule that would destroy them before the account's records is refused or waits."""
    world.sql("CREATE TABLE customers (id bigint PRIMARY KEY)")
    world.sql("CREATE TABLE subscriptions (id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers, ended_at timestamptz)")
    world.sql("CREATE TABLE uploads (id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers)")
    world.sql("INSERT INTO customers VALUES (1)")
    world.sql("INSERT INTO subscriptions VALUES (1, 1, now() - interval '10 days')")
    world.sql("INSERT INTO uploads VALUES (1, 1)")
    world.configure('''schedule = (
  { data = "Subscriptions"; keep = "subscription + 1 day"; basis = "None"; targets = ( { table = "subscriptions"; tenant = "customer_id"; } ); },
  { data = "Uploads"; keep = "subscription + 30 days"; basis = "Contract"; targets = ( { table = "uploads"; tenant = "customer_id"; } ); }
);
''', tenants="SELECT c.id AS tenant, s.ended_at AS subscription FROM customers c LEFT JOIN subscriptions s ON s.customer_id = c.id")
    world.once()
    assert world.one("SELECT count(*) FROM subscriptions") == 1
    world.sql("UPDATE subscriptions SET ended_at = now() - interval '31 days'")
    world.once()
    assert world.one("SELECT count(*) FROM uploads") == 0  # its clock was still there to run out


def test_a_redis_key_that_could_be_two_tenants_is_nobodys(world):
    world.sql("CREATE TABLE customers (id text PRIMARY KEY, ended_at timestamptz)")
    world.sql("INSERT INTO customers VALUES ('a', now() - interval '40 days'), ('a:b', NULL), ('ab', NULL), ('*', NULL)")
    keys = ["caas:a:x", "caas:a:b:x", "caas:ab:x", "caas:*:x", "caas:a"]
    for key in keys:
        world.redis.set(key, "value")
    world.configure('''schedule = (
  { data = "Caches"; keep = "subscription + 30 days"; basis = "Contract"; targets = ( { keys = "caas:{tenant}:*"; } ); }
);
''', tenants=TENANTS, kinds=("main", "cache"))
    assert world.once().returncode == 0
    assert sorted(world.redis.keys()) == sorted(set(keys) - {"caas:a:x"})
    assert "tenant-ambiguous" in world.lapsectl("findings", "--json").stdout


def test_an_empty_tenant_list_ends_nobody(shop):
    """No line is not "ended"."""
    shop.configure(GOOD, tenants=TENANTS + " WHERE false")
    shop.once()
    assert shop.one("SELECT count(*) FROM uploads") == 1


def test_all_faults_of_a_file_come_at_once(shop):
    (shop.folder / "schedule.conf").write_text(GOOD.replace('"12 months"', '"12"').replace('"26 months"', '"26 mnths"').replace('basis = "Contract";', ""))
    said = shop.check().stdout
    assert all(f"schedule.conf:{line}: " in said for line in (2, 4, 6))


def test_unreadable_files(shop):
    (shop.folder / "schedule.conf").unlink()
    answer = shop.check()
    assert answer.returncode == 78 and "schedule.conf" in answer.stdout
    answer = lapsed_test(shop.folder / "nothing.conf")
    assert answer.returncode == 78 and "nothing.conf" in answer.stdout


def test_a_password_in_the_url_is_refused(shop):
    shop.config.write_text(shop.config.read_text().replace("lapsed@", "lapsed:secret-of-a-test@", 1))
    answer = shop.check()
    assert answer.returncode == 78 and "secret-of-a-test" not in answer.stdout and "password" in answer.stdout


def test_an_empty_schedule_gets_a_draft(shop):
    (shop.folder / "schedule.conf").write_text("schedule = ( );\n")
    check = shop.lapsectl("check")
    assert "customer_id" in check.stdout and '"events"' in check.stdout and "since" in check.stdout
    assert shop.once().returncode == 78


@pytest.mark.parametrize("name", ["lapsed.conf", "caasaas/lapsed.conf", "casso/lapsed.conf"])
def test_the_examples_load(name):
    answer = lapsed_test(REPOSITORY / "etc" / name)
    assert answer.returncode == 0, answer.stdout


def test_the_first_schedule_of_the_readme_works_verbatim(world):
    block = re.search(r"```libconfig\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL).group(1)
    world.sql("CREATE TABLE customers (id bigint PRIMARY KEY, cancelled_at timestamptz)")
    world.sql("CREATE TABLE uploads (id bigint PRIMARY KEY, customer_id bigint NOT NULL)")
    world.sql("CREATE TABLE sign_ins (id bigint PRIMARY KEY, customer_id bigint NOT NULL, at timestamptz)")
    world.sql("INSERT INTO customers VALUES (1, now() - interval '31 days'), (2, now() - interval '29 days'), (3, NULL)")
    world.sql("INSERT INTO uploads SELECT n, n FROM generate_series(1, 3) n")
    world.sql("INSERT INTO sign_ins VALUES (1, 3, now() - interval '13 months'), (2, 3, now())")
    # Its folders are the system's: only these are moved. The rest is as a reader types it.
    world.config.write_text(block + '\njournal = { folder = "journal"; };\nstate = "state";\nrun = "run";\n')
    info = world.postgresql.info
    world.environment |= {"PGHOST": "127.0.0.1", "PGPORT": str(info.port)}
    world.postgresql.close()
    rename(world, world.database, "shop")
    try:
        check = world.lapsectl("check")
        assert check.returncode == 0, check.stdout + check.stderr
        waits = world.once()
        assert waits.returncode == 75 and "due for the first time; nothing is destroyed until" in waits.stdout, waits.stdout
        assert world.lapsectl("approve", "--all").returncode == 75  # read at the next start
        answer = world.once()
        assert answer.returncode == 0, answer.stdout
    finally:
        rename(world, "shop", world.database)
        world.connect()
    assert world.sql("SELECT id FROM uploads ORDER BY id") == [(2,), (3,)]
    assert world.sql("SELECT id FROM sign_ins") == [(2,)]


def rename(world, old, new):
    connection = psycopg2.connect(stores.postgresql_url(world.servers, "postgres"))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (old,))
        cursor.execute(f'ALTER DATABASE "{old}" RENAME TO "{new}"')
    connection.close()
