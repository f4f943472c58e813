"""What is due, but more than anybody would expect, waits for a person: the first run, a changed rule, a night far above the others,
a list of tenants that lost many. Each asserts what is left row by row, what is said, and what the journal says."""
import json
import re
import signal
from datetime import datetime, timedelta, timezone

from world import RULE_EVENTS, idle

TENANTS = "SELECT id AS tenant, ended_at AS subscription FROM customers"
ON = idle(more="brakes = { records = 1000; };\n")  # the default, said, so that the world leaves it as it is


def ids(world, customer=None):
    where = "" if customer is None else f" WHERE customer_id = {customer}"
    return [row[0] for row in world.sql(f"SELECT id FROM events{where} ORDER BY id")]


def waiting(world):
    return json.loads(world.lapsectl("approve", "--json").stdout)["waiting"]


def approved(answer, status=0):
    assert answer.returncode == status, answer.stdout + answer.stderr
    return answer.stdout


def once(world, status):
    answer = world.once()
    assert answer.returncode == status, answer.stdout
    return answer.stdout


def add_due(world, first, last, customer=1, age="13 months"):
    world.sql("INSERT INTO events SELECT n, %s, now() - %s::interval, 'x' FROM generate_series(%s, %s) n", customer, age, first, last)


def test_the_first_run_waits_until_it_is_approved(world):
    world.simple(rows=20, due=10, settings=ON)
    log = once(world, 75)
    assert ids(world) == list(range(1, 21))
    text = re.search(r'"Events": 10 records of 2 tenants are due for the first time; nothing is destroyed until "lapsectl approve ([0-9a-f]{8})"', log)
    assert text, log
    digest = text.group(1)
    # Everybody says it: findings, the plan, approve without arguments.
    assert text.group(0) in world.lapsectl("findings").stdout
    plan = world.lapsectl("plan").stdout
    assert "waits: due for the first time" in plan and text.group(0) in plan and "next: lapsectl approve" in plan
    assert [(entry["rule"], entry["digest"][:8], entry["waits"], entry["records"]) for entry in waiting(world)] == [("Events", digest, True, 10)]
    assert text.group(0) in world.lapsectl("approve").stdout
    assert [entry["code"] for entry in world.journal.entries("finding")] == ["approval-waits"]
    assert not world.journal.entries("intent")
    # With no daemon running the word is read at the next start.
    assert "not running" in approved(world.lapsectl("approve", digest), 75)
    once(world, 0)
    assert ids(world) == list(range(11, 21))
    assert [entry["outcome"] for entry in world.journal.entries("approve")] == ["placed", "stands", "spent"]
    assert world.journal.entries("approve")[0]["rule"] == "Events"
    placed = [entry["event"] for entry in world.journal.entries()]
    assert placed.index("approve") < placed.index("intent")
    assert "nothing waits" in world.lapsectl("approve").stdout
    # From now on it runs by itself.
    add_due(world, 21, 40)
    once(world, 0)
    assert ids(world) == list(range(11, 21))
    world.verify()


def test_one_customer_first(world):
    world.simple(rows=20, due=10, settings=ON)
    once(world, 75)
    digest = waiting(world)[0]["digest"]
    approved(world.lapsectl("approve", digest[:8], "--tenant", "2"), 75)
    once(world, 75)
    assert (ids(world, 1), ids(world, 2)) == (list(range(2, 21, 2)), list(range(11, 21, 2)))
    assert {tenant[0] for entry in world.journal.entries("intent") for tenant in entry["tenants"]} == {"2"}
    assert [entry["tenant"] for entry in world.journal.entries("approve")] == ["2", "2", "2"]
    approved(world.lapsectl("approve", "--all"), 75)
    once(world, 0)
    assert ids(world) == list(range(11, 21))


def test_a_running_daemon_answers_and_tells_what_waits(world):
    world.simple(rows=20, due=10, settings=ON)
    daemon = world.start()
    daemon.sweep()
    assert ids(world) == list(range(1, 21))
    status = world.lapsectl("status")
    assert status.returncode == 1 and "due for the first time; nothing is destroyed until" in status.stdout and "lapsectl approve" in status.stdout
    assert "lapsed_approvals_waiting 1" in (world.folder / "run" / "lapsed.prom").read_text()
    digest = waiting(world)[0]["digest"]
    assert world.lapsectl("approve", "0" * 8).returncode == 77
    assert world.lapsectl("approve", "xyz").returncode == 64
    assert 'approved: what is due now under "Events" goes with the next sweep' in approved(world.lapsectl("approve", digest))
    assert "approved" in world.lapsectl("approve").stdout and "ready: approved" in world.lapsectl("plan").stdout
    assert daemon.sweep()["results"][0]["purged"] == 10
    assert ids(world) == list(range(11, 21))
    daemon.until(lambda: world.lapsectl("status").returncode == 0, "a status without complaints")
    assert daemon.stop() == 0
    world.verify()


def test_an_approval_outlives_a_killed_daemon(world):
    world.simple(rows=20, due=10, settings=ON)
    daemon = world.start()
    daemon.sweep()
    approved(world.lapsectl("approve", "--all"))
    daemon.stop(signal.SIGKILL)
    once(world, 0)
    assert ids(world) == list(range(11, 21))
    world.verify()


def test_what_became_due_after_the_approval_meets_the_brakes(world):
    world.simple(rows=20, due=10, settings=idle(more="brakes = { records = 5; };\n"))
    once(world, 75)
    world.sql("INSERT INTO events SELECT n, 1, now() - interval '12 months' + interval '4 seconds', 'late' FROM generate_series(100, 149) n")
    daemon = world.start()
    approved(world.lapsectl("approve", "--all"))
    daemon.until(lambda: world.one("SELECT count(*) FROM events WHERE at < now() - interval '12 months'") == 60, "late arrivals that are due")
    daemon.sweep()
    assert ids(world) == [*range(11, 21), *range(100, 150)]
    # Another sweep follows by itself and judges them: the last runs explain less.
    assert daemon.stop() == 0
    log = once(world, 75)
    assert re.search(r'"Events": 50 records of 1 tenant are due, its last runs explain \d+; nothing is destroyed until', log), log
    assert ids(world) == [*range(11, 21), *range(100, 150)]


def test_a_night_far_above_the_others_waits(world):
    world.simple(rows=20, due=10, settings=ON)
    once(world, 75)
    approved(world.lapsectl("approve", "--all"), 75)
    once(world, 0)
    # A restored table: 5,000 old rows where 10 were the most so far.
    add_due(world, 1000, 5999)
    log = once(world, 75)
    assert '"Events": 5,000 records of 1 tenant are due, its last runs explain 1,000; nothing is destroyed until' in log
    assert len(ids(world)) == 5010
    assert "waits: more records than usual" in world.lapsectl("plan").stdout
    approved(world.lapsectl("approve", "--all"), 75)
    once(world, 0)
    assert ids(world) == list(range(11, 21))


def test_a_larger_share_of_a_table_waits(world):
    world.simple(rows=20, due=10, settings=ON)
    once(world, 75)
    approved(world.lapsectl("approve", "--all"), 75)
    once(world, 0)
    # A small table of which 200 of 310 are due all at once: few enough records, but most of it.
    add_due(world, 1000, 1099, age="1 day")
    add_due(world, 2000, 2199)
    log = once(world, 75)
    assert '"Events": 200 records of 1 tenant are due, 64 % of "events", its last runs explain 50 %; nothing is destroyed until' in log
    assert len(ids(world)) == 310
    assert "waits: a larger share than usual" in world.lapsectl("plan").stdout
    approved(world.lapsectl("approve", "--all"), 75)
    once(world, 0)
    assert len(ids(world)) == 110


def test_a_larger_share_of_a_collection_waits(world):
    world.sql("CREATE TABLE customers (id bigint PRIMARY KEY, ended_at timestamptz)")
    world.sql("INSERT INTO customers VALUES (1, NULL)")
    world.configure('''schedule = ( { data = "Logs"; keep = "12 months"; basis = "b";
      targets = ( { collection = "logs"; tenant = "t"; since = "at"; } ); } );''', tenants=TENANTS, settings=ON, kinds=("main", "docs"))
    old, new = datetime.now(timezone.utc) - timedelta(days=400), datetime.now(timezone.utc)
    world.mongodb.logs.insert_one({"_id": 1, "t": 1, "at": old})
    world.mongodb.logs.create_index([("t", 1), ("at", 1)])
    once(world, 75)
    approved(world.lapsectl("approve", "--all"), 75)
    once(world, 0)
    world.mongodb.logs.insert_many([{"_id": n, "t": 1, "at": old if n < 250 else new} for n in range(100, 300)])
    log = once(world, 75)
    assert '"Logs": 150 records of 1 tenant are due, 75 % of "logs", its last runs explain 50 %; nothing is destroyed until' in log
    assert world.mongodb.logs.count_documents({}) == 200
    approved(world.lapsectl("approve", "--all"), 75)
    once(world, 0)
    assert world.mongodb.logs.count_documents({}) == 50


def test_a_larger_share_of_the_keys_waits(world):
    world.sql("CREATE TABLE customers (id bigint PRIMARY KEY, ended_at timestamptz)")
    world.sql("INSERT INTO customers VALUES (1, now() - interval '2 months'), (2, NULL), (3, now() - interval '1 month')")
    world.configure('''schedule = ( { data = "Cache"; keep = "subscription + 30 days"; basis = "b";
      targets = ( { keys = "app:{tenant}:*"; } ); } );''', tenants=TENANTS, settings=ON, kinds=("main", "cache"))
    world.redis.mset({"app:1:1": "x", "other:1:1": "x"})
    once(world, 75)
    approved(world.lapsectl("approve", "--all"), 75)
    once(world, 0)
    world.redis.mset({f"app:{1 if n < 150 else 2}:{n}": "x" for n in range(200)})
    log = once(world, 75)
    assert '"Cache": 150 records of 1 tenant are due, 75 % of "app:{tenant}:*", its last runs explain 50 %; nothing is destroyed until' in log
    assert world.redis.dbsize() == 201
    approved(world.lapsectl("approve", "--all"), 75)
    once(world, 0)
    assert world.redis.dbsize() == 51


def test_a_widened_rule_waits_and_its_neighbour_goes_on(world):
    world.simple(rows=20, due=10, settings=ON)
    world.sql("CREATE TABLE visits (id bigint PRIMARY KEY, customer_id bigint NOT NULL, at timestamptz)")
    world.sql("CREATE INDEX ON visits (customer_id, at)")
    both = RULE_EVENTS.replace("\n);", ''',
  { data = "Visits"; keep = "12 months"; basis = "b";
    targets = ( { table = "visits"; tenant = "customer_id"; since = "at"; ONLY } ); }
);''')
    world.configure(both.replace("ONLY", 'only = "id < 3";'), tenants=TENANTS, settings=ON)
    once(world, 75)
    approved(world.lapsectl("approve", "--all"), 75)
    world.sql("INSERT INTO visits SELECT n, 1, now() - interval '13 months' FROM generate_series(1, 9) n")
    once(world, 0)
    assert [row[0] for row in world.sql("SELECT id FROM visits ORDER BY id")] == [3, 4, 5, 6, 7, 8, 9]
    world.configure(both.replace("ONLY", ""), tenants=TENANTS, settings=ON)
    add_due(world, 21, 30)
    log = once(world, 75)
    assert '"Visits": 7 records of 1 tenant are due, and its places or conditions changed since it last ran; nothing is destroyed until' in log
    assert world.one("SELECT count(*) FROM visits") == 7
    assert ids(world) == list(range(11, 21))
    # The old text's approval is of no use for the new one.
    old = [entry["digest"] for entry in world.journal.entries("approve", outcome="placed") if entry["rule"] == "Visits"][0]
    assert world.lapsectl("approve", old).returncode == 77
    approved(world.lapsectl("approve", "--all"), 75)
    once(world, 0)
    assert world.one("SELECT count(*) FROM visits") == 0


def test_a_changed_rule_voids_the_approval(world):
    world.simple(rows=20, due=10, settings=ON)
    once(world, 75)
    approved(world.lapsectl("approve", "--all"), 75)
    world.configure(RULE_EVENTS.replace("12 months", "6 months"), tenants=TENANTS, settings=ON)
    once(world, 75)
    assert [entry["code"] for entry in world.journal.entries("refuse")] == ["digest-unknown"]
    assert ids(world) == list(range(1, 21))


def test_a_list_that_lost_half_stops_everything(world):
    world.simple(rows=20, due=0, settings=ON)
    world.sql("INSERT INTO customers SELECT n, NULL FROM generate_series(3, 10) n")
    once(world, 0)
    approved(world.lapsectl("approve", "--all"), 75)
    once(world, 0)
    world.sql("UPDATE customers SET ended_at = now() - interval '1 day' WHERE id > 5")  # half of them are over, all at once
    add_due(world, 100, 109)
    log = once(world, 75)
    assert 'the tenants query gave 5 tenants that are running, 10 in the sweep before; nothing is destroyed until "lapsectl approve' in log
    assert len(ids(world)) == 30
    assert "finding tenants-shrank" in world.lapsectl("journal", "show").stdout
    assert "the tenants query gave 5 tenants" in world.lapsectl("plan").stdout
    item = waiting(world)[0]
    assert item["rule"] is None
    approved(world.lapsectl("approve", item["digest"]), 75)
    once(world, 0)
    assert ids(world) == list(range(1, 21))
    assert [entry["outcome"] for entry in world.journal.entries("approve", rule=None)][-1] == "spent"
    once(world, 0)


def test_zero_stops_everywhere(world):
    world.simple(rows=20, due=10, settings=idle(more="brakes = { first_run = false; records = 0; };\n"))
    once(world, 75)
    assert ids(world) == list(range(1, 21))
    approved(world.lapsectl("approve", "--all"), 75)
    once(world, 0)
    assert ids(world) == list(range(11, 21))
    add_due(world, 21, 21)
    once(world, 75)
    assert ids(world) == list(range(11, 22))


def test_a_damaged_state_stops_everything(world):
    world.simple(rows=20, due=10, settings=ON)
    once(world, 75)
    (world.folder / "state" / "brakes.json").write_text('{"v":1}')
    log = once(world, 75)
    assert "brakes.json is damaged; nothing is destroyed without the history of the rules" in log
    assert ids(world) == list(range(1, 21))
    assert "state-unreadable" in [entry["code"] for entry in world.journal.entries("finding")]


def test_a_shortened_period_is_told(world):
    world.simple(rows=20, due=0, settings=ON)
    once(world, 0)
    world.configure(RULE_EVENTS.replace("12 months", "6 months"), tenants=TENANTS, settings=ON)
    note = r'note: "Events": 12 months became 6 months on \d{4}-\d\d-\d\d; the longer period counts until \d{4}-\d\d-\d\d'
    assert re.search(note, world.lapsectl("plan").stdout)
    daemon = world.start()
    daemon.sweep()
    assert re.search(note, world.lapsectl("status").stdout)
    assert len(ids(world)) == 20
    assert daemon.stop() == 0


def test_both_products_wait_whole_and_go_when_approved(product):
    product.configure(settings=ON)
    before = product.snapshot()
    assert product.once().returncode == 75
    assert product.snapshot() == before
    assert product.lapsectl("approve", "--all").returncode == 75
    answer = product.once()
    assert answer.returncode == 0, answer.stdout
    assert not product.compare()[1]
