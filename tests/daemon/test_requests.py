"""Holds and the pause, asked with lapsectl of the running daemon: what is left in the stores, row by row, and what the journal says."""
import json
import os
import signal
import time

import pytest

from world import RULE_EVENTS, idle

NOW = 'sweep = { every = "1 day"; load = "full"; }; holds = { cooling_off = "2 days"; };\n'


def asked(answer, text=None):
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert text is None or text in answer.stdout, answer.stdout
    return answer


def left(world, customer):
    return world.one("SELECT count(*) FROM events WHERE customer_id = %s", customer)


def first_start(world):
    """The spool is there, and nothing was destroyed: all is paused."""
    world.simple(rows=20, due=10, settings=NOW)
    (world.folder / "state" / "spool" / "new").mkdir(parents=True)
    (world.folder / "state" / "spool" / "tmp").mkdir()
    put(world, "pause-1", {"v": 1, "request": "pause", "ground": "test"})
    daemon = world.start()
    daemon.wait_for("pause", outcome="placed")
    return daemon


def put(world, name, content, owner=None):
    spool = world.folder / "state" / "spool"
    text = content if isinstance(content, str) else json.dumps(content)
    (spool / "tmp" / name).write_text(text)
    if owner is not None:
        os.chown(spool / "tmp" / name, owner, owner)
    (spool / "tmp" / name).rename(spool / "new" / name)


def answer_to(daemon, world, name):
    done = world.folder / "state" / "spool" / "done" / name
    daemon.until(lambda: not os.path.lexists(world.folder / "state" / "spool" / "new" / name), f"answer to {name}")
    return json.loads(done.read_text())


def test_a_pause_that_waits_is_read_before_the_first_sweep(world):
    daemon = first_start(world)
    daemon.send(signal.SIGUSR1)
    status = world.lapsectl("status")
    assert status.returncode == 2 and "paused" in status.stdout and "test" in status.stdout
    assert "paused since" in world.lapsectl("plan").stdout
    assert not world.journal.entries("sweep-begin")
    assert (left(world, 1), left(world, 2)) == (10, 10)
    asked(world.lapsectl("resume"), "goes on")
    daemon.wait_for("sweep-end")
    assert (left(world, 1), left(world, 2)) == (5, 5)
    assert daemon.stop() == 0
    world.verify()


def test_a_hold_is_acknowledged_under_a_pause_though_a_batch_was_unsettled(world):
    """The daemon was killed between an intent and its outcome; while it is paused there is no sweep that would ask."""
    world.simple(rows=40, due=30, settings=idle(more="batch = { rows = 10; };\n"))
    step, open_ones = 0, set()
    while not open_ones:
        step += 1
        assert step < 30
        world.sql("INSERT INTO events SELECT %s + n, 1 + n %% 2, now() - interval '13 months', 'x' FROM generate_series(1, 30) n", 1000 * step)
        world.once(wrapper=["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", f"inject=fdatasync:signal=KILL:when={step}"])
        batches = {event: {(entry["sweep"], entry["batch"]) for entry in world.journal.entries(event)} for event in ("intent", "outcome")}
        open_ones = batches["intent"] - batches["outcome"]
    put(world, "pause-1", {"v": 1, "request": "pause", "ground": "test"})
    daemon = world.start()
    daemon.wait_for("pause", outcome="placed")
    asked(world.lapsectl("hold", "--tenant", "1", "--ground", "litigation"), "stands on tenant 1")
    # The question was on its way when the hold was acknowledged at the latest.
    daemon.stop()
    assert {(entry["sweep"], entry["batch"]) for entry in world.journal.entries("outcome")} >= open_ones
    assert not world.journal.entries("sweep-begin")[-1]["sweep"] > max(sweep for sweep, _ in open_ones)


def test_a_pause_that_ended_does_not_come_back(world):
    """Its end waits for the daemon: it is read at the start, when what stands is said again, too."""
    first_start(world).stop()
    put(world, "z-resume", {"v": 1, "request": "resume"})
    for _ in range(3):
        daemon = world.start()
        daemon.wait_for("resume")
        daemon.wait_for("sweep-end")
        assert daemon.stop() == 0
    status = world.start()
    assert "paused" not in world.lapsectl("status").stdout
    status.stop()
    last = [entry["event"] for entry in world.journal.entries() if entry["event"] in ("pause", "resume")]
    assert last[-1] == "resume"


def test_a_pause_outlives_a_restart(world):
    daemon = first_start(world)
    assert daemon.stop(signal.SIGKILL) != 0
    again = world.once()
    assert again.returncode == 75, again.stdout
    assert not world.journal.entries("sweep-begin")
    daemon = world.start()
    assert "paused" in world.lapsectl("status").stdout
    asked(world.lapsectl("resume"))
    daemon.wait_for("sweep-end")
    assert left(world, 1) == 5


def test_a_held_tenant_is_kept_and_its_neighbour_lapses(world):
    daemon = first_start(world)
    asked(world.lapsectl("hold", "--tenant", "1", "--ground", "litigation", "--id", "case-7"), 'hold "case-7" stands on tenant 1')
    asked(world.lapsectl("resume"))
    daemon.wait_for("sweep-end")
    assert (left(world, 1), left(world, 2)) == (10, 5)
    listed = json.loads(world.lapsectl("hold", "list", "--json").stdout)["holds"]
    assert [(hold["id"], hold["scope"], hold["tenant"], hold["ground"]) for hold in listed] == [("case-7", "tenant", "1", "litigation")]
    plan = json.loads(world.lapsectl("plan", "--json").stdout)
    assert plan["kept"]["held"] == 5 and plan["rules"][0]["held"] == 5 and plan["rules"][0]["due"] == 0
    assert "held: 5" in world.lapsectl("plan").stdout
    held = world.one("SELECT min(id) FROM events WHERE customer_id = 1")
    assert "held since" in world.lapsectl("explain", "events", str(held)).stdout
    assert "1 hold: lapsectl hold list" in world.lapsectl("status").stdout
    shown = world.lapsectl("journal", "show").stdout
    assert 'hold "case-7" on tenant 1 placed by user' in shown and "(litigation)" in shown
    # Restarted and sent again it is the same hold; nothing is entered twice, and another content is a conflict.
    assert daemon.stop() == 0
    daemon = world.start()
    asked(world.lapsectl("hold", "--tenant", "1", "--ground", "litigation", "--id", "case-7"))
    conflict = world.lapsectl("hold", "--tenant", "2", "--ground", "litigation", "--id", "case-7")
    assert conflict.returncode == 77 and "another" in conflict.stderr
    assert len(world.journal.entries("hold", outcome="placed")) == 1
    assert [entry["code"] for entry in world.journal.entries("refuse")] == ["conflict"]
    daemon.sweep()
    assert (left(world, 1), left(world, 2)) == (10, 5)
    assert daemon.stop() == 0
    world.verify()


def test_a_released_hold_counts_until_it_has_cooled_off(world):
    daemon = first_start(world)
    asked(world.lapsectl("hold", "--tenant", "1", "--ground", "litigation", "--id", "case-7"))
    asked(world.lapsectl("release", "case-7"), "still counts until")
    asked(world.lapsectl("resume"))
    daemon.wait_for("sweep-end")
    assert (left(world, 1), left(world, 2)) == (10, 5)
    assert "released, counts until" in world.lapsectl("hold", "list").stdout
    assert world.lapsectl("release", "case-8").returncode == 77
    assert daemon.stop() == 0
    world.configure(RULE_EVENTS, tenants="SELECT id AS tenant, ended_at AS subscription FROM customers",
                    settings=NOW.replace("2 days", "1 ms"))
    assert world.once().returncode == 0
    assert (left(world, 1), left(world, 2)) == (5, 5)
    assert world.lapsectl("hold", "list").stdout.startswith("no holds")


def test_a_rule_and_all_reach_what_has_no_tenants(world):
    world.sql("CREATE TABLE customers (id bigint PRIMARY KEY, ended_at timestamptz)")
    world.sql("CREATE TABLE views (id bigint PRIMARY KEY, at timestamptz, ip text)")
    world.sql("CREATE INDEX ON views (at)")
    world.sql("INSERT INTO customers VALUES (1, NULL)")
    world.sql("INSERT INTO views SELECT n, now() - interval '15 months', '10.1.2.3' FROM generate_series(1, 3) n")
    world.sql("INSERT INTO views SELECT n, now() - interval '27 months', '10.1.2.3' FROM generate_series(4, 6) n")
    world.configure('''schedule = ( { data = "Views"; keep = "26 months"; anonymize = "14 months"; basis = "b";
      targets = ( { table = "views"; tenant = "none"; since = "at"; columns = ( "null: ip" ); } ); } );''',
                    tenants="SELECT id AS tenant, ended_at AS subscription FROM customers", settings=NOW)
    daemon = world.start()
    daemon.wait_for("sweep-end")
    assert world.sql("SELECT id, ip FROM views ORDER BY id") == [(1, None), (2, None), (3, None)]
    world.sql("INSERT INTO views VALUES (7, now() - interval '15 months', '10.1.2.3'), (8, now() - interval '27 months', '10.1.2.3')")
    asked(world.lapsectl("hold", "--tenant", "1", "--ground", "x"), "only --rule and --all do: views")
    asked(world.lapsectl("hold", "--rule", "Views", "--ground", "tax", "--id", "views"), 'stands on "Views"')
    daemon.sweep()
    assert world.sql("SELECT id, ip FROM views WHERE id > 3 ORDER BY id") == [(7, "10.1.2.3"), (8, "10.1.2.3")]
    assert json.loads(world.lapsectl("plan", "--json").stdout)["kept"]["held"] == 2
    assert world.lapsectl("hold", "--rule", "View", "--ground", "tax").returncode == 77
    assert world.lapsectl("hold", "--rule", "Views").returncode == 64
    assert daemon.stop() == 0


def test_who_may_not_ask_is_refused_and_the_journal_says_so(world):
    if os.geteuid() != 0:
        pytest.skip("only root can give a file to another user")
    daemon = first_start(world)
    put(world, "forged", {"v": 1, "request": "resume"}, owner=65534)
    assert answer_to(daemon, world, "forged")["code"] == "not-permitted"
    put(world, "twice", '{"v":1,"request":"resume","request":"resume"}')
    assert answer_to(daemon, world, "twice")["code"] == "syntax"
    put(world, "large", " " * (1 << 20))
    assert answer_to(daemon, world, "large")["code"] == "size"
    (world.folder / "state" / "spool" / "new" / "link").symlink_to("/etc/passwd")
    daemon.send(signal.SIGUSR1)  # a link is not moved into the folder: it is found with the next file that is
    put(world, "Bad Name", "John Smith")
    daemon.wait_for("refuse", 5)
    refused = {(entry["id"], entry["author"], entry["code"]) for entry in world.journal.entries("refuse")}
    assert refused == {("forged", 65534, "not-permitted"), ("twice", 0, "syntax"), ("large", 0, "size"), ("link", 0, "file"), (None, 0, "name")}
    daemon.until(lambda: not list((world.folder / "state" / "spool" / "new").iterdir()), "an empty spool")
    assert "paused" in world.lapsectl("status").stdout
    assert "John" not in world.journal.text()
    assert daemon.stop() == 0


def test_a_flood_of_refused_requests_does_not_fill_the_journal(world):
    """Thirty a minute are entered one by one, the others as a number; a hold among them is not lost."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a file to another user")
    daemon = first_start(world)
    daemon.stop(signal.SIGKILL)
    for n in range(300):
        put(world, f"junk-{n}", {"v": 1, "request": "resume"}, owner=65534)
    put(world, "typo", '{"v":1}')
    put(world, "case-7", {"v": 1, "request": "hold", "scope": "tenant", "tenant": "1", "ground": "litigation"})
    for n in range(300, 400):
        put(world, f"junk-{n}", {"v": 1, "request": "resume"}, owner=65534)
    daemon = world.start()
    assert answer_to(daemon, world, "case-7")["outcome"] == "accepted"
    daemon.until(lambda: not list((world.folder / "state" / "spool" / "new").iterdir()), "an empty spool")
    assert daemon.stop() == 0
    refused, [summary] = world.journal.entries("refuse"), world.journal.entries("finding", code="requests-refused")
    assert len(refused) == 30 and summary["count"] == 401 - 30
    assert {entry["author"] for entry in refused} == {65534}
    # Who may ask is told what was wrong; who may not gets no file of ours for each of his own.
    assert {path.name for path in (world.folder / "state" / "spool" / "done").iterdir()} == {"pause-1", "case-7", "typo"} | {entry["id"] for entry in refused}
    assert (left(world, 1), left(world, 2)) == (10, 10)
    world.verify()


def test_without_a_daemon_the_request_waits(world):
    world.simple(rows=20, due=10, settings=NOW)
    assert world.lapsectl("pause").returncode == 78  # no spool yet
    assert world.once().returncode == 0
    world.sql("UPDATE events SET at = now() - interval '13 months'")
    before = time.monotonic()
    waits = world.lapsectl("hold", "--all", "--ground", "incident", "--id", "everything")
    assert waits.returncode == 75 and "not running" in waits.stdout and time.monotonic() - before < 10
    assert world.once().returncode == 0
    assert left(world, 1) + left(world, 2) == 10
    assert [entry["scope"] for entry in world.journal.entries("hold", outcome="placed")] == ["all"]


def test_a_hold_reaches_every_kind_of_path(caasaas):
    """A tenant whose data has lapsed in every store is held: age, tenant's end, two stages, keys, its own records."""
    world = caasaas
    first = world.lapsectl("plan", "--json", "--all")
    tenants = [entry["tenant"] for entry in json.loads(first.stdout)["tenants"]]
    gone = {str(row[0]) for row in world.sql("SELECT s.customer_id FROM subscriptions s WHERE s.ended_at < now() - interval '1 year'")}
    held = next(tenant for tenant in tenants if tenant in gone)
    spool = world.folder / "state" / "spool"
    (spool / "new").mkdir(parents=True)
    (spool / "new" / "hold-1").write_text(json.dumps({"v": 1, "request": "hold", "scope": "tenant", "tenant": held, "ground": "litigation"}))

    def rows():
        found = {}
        for name, table in world.dataset.tables.items():
            if table.store == "main":
                columns = [row[0] for row in world.sql("SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0", name)]
                column = "id" if name == "customers" else "customer_id"
                if column in columns:
                    found[name] = sorted(map(repr, world.sql(f"SELECT xmin::text, t::text FROM {name} t WHERE {column}::text = %s", held)))
        for name in world.mongodb.list_collection_names():
            whose = {} if name == f"kb_{held}" else {"customerId": {"$in": [int(held), held]}}
            found[name] = sorted(map(repr, world.mongodb[name].find(whose)))
        found["keys"] = {key: world.redis.type(key) for key in world.redis.scan_iter(f"*:{held}:*")}
        return {place: there for place, there in found.items() if there}

    before = rows()
    assert f"kb_{held}" in before and before["keys"]
    due_before = json.loads(world.lapsectl("plan", "--json", "--tenant", held).stdout)
    assert sum(rule["due"] for rule in due_before["rules"]) > 0
    answer = world.once()
    assert world.journal.entries("hold", tenant=held), answer.stdout
    assert rows() == before
    after = json.loads(world.lapsectl("plan", "--json", "--tenant", held).stdout)
    assert after["kept"]["held"] > 0 and all(rule["due"] == 0 or not rule["tenants"] for rule in after["rules"])
    assert world.journal.committed()  # the neighbours lapsed
    assert not [entry for entry in world.journal.entries("intent") for tenant in entry["tenants"] if tenant[0] == held]


@pytest.mark.parametrize("hold, written", [("gone:7", "gone:7"), ("42", "0042")])
def test_a_hold_in_mid_sweep_reaches_keys_that_may_be_its_tenants(world, hold, written):
    """Of a tenant that nobody knows any more, in a key that can be read as another's; and written otherwise than in the key."""
    world.sql("CREATE TABLE customers (id text PRIMARY KEY, ended_at timestamptz)")
    world.sql("INSERT INTO customers VALUES ('1', NULL)")
    for n in range(200):
        for tenant in (written, "1"):
            world.redis.hset(f"seen:{tenant}:{n}", mapping={"at": 1})
    rule = RULE_EVENTS.replace('table = "events"; tenant = "customer_id"; since = "at";', 'keys = "seen:{tenant}:*"; since = "field:at"; unit = "s";')
    world.configure(rule, tenants="SELECT id AS tenant, ended_at AS subscription FROM customers", kinds=("main", "cache"),
                    settings=idle("normal", "batch = { rows = 1; };\n"))
    daemon = world.start()
    daemon.send(signal.SIGUSR1)
    daemon.wait_for("outcome", 3)
    asked(world.lapsectl("hold", "--tenant", hold, "--ground", "litigation"), f"stands on tenant {hold}")
    left_then = set(world.redis.keys(f"seen:{written}:*"))
    assert left_then
    daemon.wait_for("sweep-end")
    assert set(world.redis.keys(f"seen:{written}:*")) == left_then
    daemon.sweep()
    assert set(world.redis.keys("seen:*")) == left_then
    assert daemon.stop() == 0
    world.verify()


def test_what_cannot_be_removed_hides_no_hold(world):
    """Folders with something in them stay in the spool for good: more of them than are looked at in one go."""
    daemon = first_start(world)
    new = world.folder / "state" / "spool" / "new"
    for n in range(1100):
        made = world.folder / "state" / "spool" / "tmp" / f"full-{n}"
        (made / "inside").mkdir(parents=True)
        made.rename(new / made.name)
    asked(world.lapsectl("hold", "--tenant", "1", "--ground", "litigation"), "stands on tenant 1")
    assert daemon.stop() == 0


def test_a_hold_reaches_keys_that_may_be_its_tenants_under_a_rule_by_an_end(world):
    """Of a tenant that nobody knows, in a key that can be read as another's, which has ended."""
    world.sql("CREATE TABLE customers (id text PRIMARY KEY, ended_at timestamptz)")
    world.sql("INSERT INTO customers VALUES ('1', NULL), ('gone', now() - interval '2 years')")
    world.redis.mset({"seen:gone:7:a": "x", "seen:gone:8:a": "x", "seen:gone:a": "x"})
    rule = RULE_EVENTS.replace('table = "events"; tenant = "customer_id"; since = "at";', 'keys = "seen:{tenant}:*";').replace("12 months", "subscription + 30 days")
    world.configure(rule, tenants="SELECT id AS tenant, ended_at AS subscription FROM customers", kinds=("main", "cache"), settings=idle())
    daemon = world.start()
    asked(world.lapsectl("hold", "--tenant", "gone:7", "--ground", "litigation"), "stands on tenant gone:7")
    daemon.sweep()
    assert world.redis.keys("seen:*") == ["seen:gone:7:a"]
    assert daemon.stop() == 0
