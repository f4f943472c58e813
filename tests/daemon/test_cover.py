"""Every table, collection and key prefix that holds tenants' records is a target or exempt, with a reason: a new one is a finding."""
import json

import pytest

TENANTS = "SELECT id AS tenant, ended_at AS subscription FROM customers"
RULES = '''schedule = (
  { data = "Events"; keep = "12 months"; basis = "Security";
    targets = ( { table = "events"; tenant = "customer_id"; since = "at"; dependents = [ "event_tags.event_id" ]; } ); },
  { data = "Notes"; keep = "subscription + 30 days"; basis = "Contract";
    targets = ( { collection = "notes"; tenant = "owner.customerId"; }, { collection = "kb_{tenant}"; }, { keys = "app:{tenant}:*"; } ); } );
'''


@pytest.fixture
def shop(world):
    """Three stores in which everything is covered."""
    world.sql("CREATE TABLE customers (id bigint PRIMARY KEY, ended_at timestamptz)")
    world.sql("INSERT INTO customers VALUES (1001, NULL), (1002, NULL)")
    world.sql("CREATE TABLE events (id bigint PRIMARY KEY, customer_id bigint NOT NULL, at timestamptz NOT NULL)")
    world.sql("CREATE INDEX ON events (customer_id, at)")
    world.sql("CREATE TABLE event_tags (event_id bigint NOT NULL REFERENCES events, tag text, PRIMARY KEY (event_id, tag))")
    world.sql("CREATE TABLE countries (code text PRIMARY KEY, name text)")
    world.mongodb.notes.insert_one({"owner": {"customerId": 1001}})
    world.mongodb.kb_1001.insert_one({"text": "x"})
    world.mongodb.settings.insert_one({"id": 1, "colour": "blue"})
    for key in ("app:1001:home", "jobs:7", "feature-flags"):
        world.redis.set(key, "x")
    configure(world)
    return world


def configure(world, more=""):
    from world import idle
    world.configure(RULES, tenants=TENANTS, kinds=("main", "docs", "cache"), settings=idle(more=more))


def uncovered(world, exit_status=0):
    """{(store, place): text} as lapsectl check says."""
    check = world.lapsectl("check", "--json")
    assert check.returncode == exit_status, check.stdout + check.stderr
    return {(one["store"], one["place"]): one["text"] for one in json.loads(check.stdout)["remarks"] if one["code"] == "uncovered"}


def test_what_is_covered_is_no_finding(shop):
    assert uncovered(shop) == {}
    shop.sql("CREATE VIEW recent AS SELECT * FROM events")  # holds nothing of its own
    shop.sql("CREATE TEMPORARY TABLE scratch (customer_id bigint)")
    assert uncovered(shop) == {}


@pytest.mark.parametrize("make, where, because", [
    ("CREATE TABLE letters (id bigint PRIMARY KEY, customer_id bigint)", "letters", 'by its column "customer_id"'),
    ('CREATE TABLE letters (id bigint PRIMARY KEY, "customerId" bigint)', "letters", 'by its column "customerId"'),
    ("CREATE TABLE letters (id bigint PRIMARY KEY, sender bigint REFERENCES customers)", "letters", 'it refers to "customers"'),
    ("CREATE TABLE reactions (tag_event bigint, tag text, FOREIGN KEY (tag_event, tag) REFERENCES event_tags)", "reactions", 'it refers to "event_tags"'),
    ("CREATE SCHEMA old; CREATE TABLE old.events (id bigint, customer_id bigint)", "old.events", 'by its column "customer_id"'),
    ("CREATE MATERIALIZED VIEW per_customer AS SELECT customer_id, count(*) FROM events GROUP BY 1", "per_customer", 'by its column "customer_id"'),
    ("CREATE TABLE parts (customer_id bigint, at date) PARTITION BY RANGE (at); CREATE TABLE parts_1 PARTITION OF parts DEFAULT", "parts",
     'by its column "customer_id"'),
    ("ALTER TABLE customers ADD COLUMN email text", "customers", 'it is the tenants\' own, and has "email"'),
])
def test_a_new_table_is_a_finding(shop, make, where, because):
    shop.sql(make)
    found = uncovered(shop)
    assert list(found) == [("main", where)]
    assert because in found["main", where] and f'exempt = ( {{ table = "{where}"; why = ' in found["main", where]
    configure(shop, f'exempt = ( {{ table = "{where}"; why = "A test says so"; }} );\n')
    assert uncovered(shop) == {}


@pytest.mark.parametrize("document, because", [
    ({"customerId": 1001}, 'by their field "customerId"'),
    ({"meta": {"customer_id": "1001"}}, 'by their field "customer_id"'),
    ({"lines": [{"by": [{"customerId": 1001}]}]}, 'by their field "customerId"'),
])
def test_a_new_collection_is_a_finding(shop, document, because):
    shop.mongodb.drafts.insert_many([{"x": 1}, document, {"x": 2}])
    found = uncovered(shop)
    assert list(found) == [("docs", "drafts")] and because in found["docs", "drafts"]
    configure(shop, 'exempt = ( { collection = "dra*"; why = "A test says so"; } );\n')
    assert uncovered(shop) == {}


def test_a_new_prefix_is_a_finding(shop):
    shop.redis.set("cart:1001", "x")
    shop.redis.hset("cart:1002", mapping={"a": 1})
    shop.redis.set("jane@example.test/1001", "x")  # perhaps a person: not to be told
    check = shop.lapsectl("check")
    assert "jane" not in check.stdout
    assert set(uncovered(shop)) == {("cache", "cart:{tenant}"), ("cache", "{tenant}")}
    configure(shop, 'exempt = ( { keys = "cart:*"; why = "Gone in an hour"; }, { keys = "jane@*"; why = "A test says so"; } );\n')
    assert uncovered(shop) == {}


def test_the_daemon_finds_it_too(shop):
    """A table that appears while the daemon runs is found by its next survey, and alarms at once."""
    configure(shop, 'survey = { every = "1 s"; };\n')
    daemon = shop.start()
    assert daemon.sweep()["outcome"] == "done"
    assert shop.journal.entries("finding") == []
    shop.sql("CREATE TABLE letters (id bigint PRIMARY KEY, customer_id bigint)")
    # The survey's time may not have come at the first sweep.
    daemon.until(lambda: daemon.sweep() and shop.journal.entries("finding", code="uncovered", store="main", target="letters"), "the finding")
    daemon.wait_for_log('store "main": letters: finding uncovered since')
    daemon.until(lambda: shop.lapsectl("status").returncode == 1, "the alarm")


FAULTS = {
    "no reason": ('exempt = ( { table = "x"; } );', "why is missing"),
    "no place": ('exempt = ( { why = "x"; } );', "name one place"),
    "two places": ('exempt = ( { table = "x"; keys = "y"; why = "x"; } );', "name one place"),
    "a target": ('exempt = ( { table = "events"; why = "x"; } );', '"events" is a target of "Events"'),
    "no list": ('exempt = "x";', "exempt is not a list"),
    "no group": ('exempt = ( "x" );', "an exemption is not a group"),
    "unknown word": ('exempt = ( { tabel = "x"; why = "y"; } );', 'did you mean "table"'),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_faulty_exemption_is_refused(shop, case):
    text, expected = FAULTS[case]
    configure(shop, text + "\n")
    answer = shop.check()
    assert answer.returncode == 78 and expected in answer.stdout and "lapsed.conf:" in answer.stdout


def test_the_products_are_covered(product):
    """The two published schedules leave nothing out, with what lapsectl grants and no more."""
    check = json.loads(product.lapsectl("check", "--json").stdout)
    assert check["well"] and [one for one in check["remarks"] if one["code"] in ("uncovered", "privileges-wide")] == []
