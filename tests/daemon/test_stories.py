"""One story each: what can go wrong in the life of a company with this daemon. Each is told to its end: what is left in the stores,
row by row; what the journal says; what the user reads; and that everything due goes once the trouble is over."""
import json
import os
import shutil
import signal
from contextlib import contextmanager
from pathlib import Path

import psycopg2
import pytest

from demo import stores
from own_servers import signal_all
from programs import fake_clock
from proxy import Gate, Proxy
from test_journal_room import disk, filled  # noqa: F401
from story import OVER, RULES, STORE, TENANTS, Shop, after_sweep, everything, tenant_of
from world import PATIENT

SMALL = "batch = { rows = 2; workers = 1; };\n"  # by one connection: who is held up stands still
IMPATIENT = 'timeout = { statement = "1 s"; lock = "200 ms"; };\n'


@pytest.fixture
def shop(world):
    return Shop(world)


def test_an_ordinary_night(shop):
    """The measure of all other stories."""
    shop.assert_left(everything())
    shop.sweeps_clean()
    assert shop.purged() == {"events": 5, "actions": 5, "seen:{tenant}:*": 5, "usage:{tenant}": 5, "visits": 5, "views": 5, "uploads": 4,
                             "content": 4, "kb_{tenant}": 4, "cache:{tenant}:*": 4, "customers": 1, "invoices": 5}
    assert shop.world.once().returncode == 0
    shop.assert_left(after_sweep())


# ---- the schedule ----

REFUSED_RELOADS = {
    "no unit": ('keep = "12 months"', 'keep = "12"', 'schedule.conf:2: "Events": keep = "12" has no unit'),
    "a wrong unit": ('keep = "12 months"', 'keep = "12 monhts"', "schedule.conf:2: "),
    "zero": ('keep = "7 years"; at_least', 'keep = "0 years"; at_least', "schedule.conf:"),
    "shorter than at least": ('keep = "7 years"; at_least', 'keep = "7 days"; at_least', "schedule.conf:"),
}


@pytest.mark.parametrize("case", REFUSED_RELOADS)
def test_a_wrong_unit_in_a_reload(shop, case):
    old, new, said = REFUSED_RELOADS[case]
    daemon = shop.world.start()
    shop.replace(old, new)
    daemon.send(signal.SIGHUP)
    daemon.wait_for_log("keeping the old schedule")
    assert said in daemon.log
    daemon.sweep()
    assert daemon.stop() == 0
    shop.assert_left(after_sweep())
    assert len(shop.world.journal.entries("schedule")) == 1
    shop.replace(new, old)
    shop.assert_whole()


def test_a_mistyped_period_that_is_a_period(shop):
    """15 months for 26: the longer period counts for the time of notice, and what is 500 days old is all there."""
    assert shop.world.once().returncode == 0
    shop.replace('keep = "26 months"', 'keep = "15 months"')
    answer = shop.world.once()
    assert answer.returncode == 0, answer.stdout
    shop.assert_left(after_sweep())
    shop.assert_whole()


# ---- the clock ----

@pytest.mark.parametrize("offset, said", [("+3650d", "clock"), ("-1h", "clock"), ("+2h", "clock")])
def test_a_clock_that_is_wrong(shop, offset, said):
    """Ten years ahead everything would be due; nothing is touched, because the servers' clocks say otherwise."""
    honest = shop.world.environment
    shop.world.environment, _ = fake_clock(honest, shop.world.folder, offset)
    answer = shop.world.once()
    assert answer.returncode == 75 and said in answer.stdout, answer.stdout
    shop.assert_left(everything())
    assert not shop.world.journal.entries("intent")
    shop.world.environment = honest


def test_a_clock_before_the_journal(shop):
    shop.sweeps_clean()
    shop.world.sql("UPDATE events SET at = at - interval '2 years'")
    honest = shop.world.environment
    shop.world.environment, _ = fake_clock(honest, shop.world.folder, "-1h")
    answer = shop.world.once()
    assert answer.returncode == 75 and "journal" in answer.stdout, answer.stdout
    shop.assert_left(after_sweep())
    shop.world.environment = honest
    assert shop.world.once().returncode == 0
    shop.assert_left({**after_sweep(), "events": set(), "parts": set()})
    shop.assert_whole()


# ---- holds ----

def held(shop, left):
    """One sweep under the hold that waits in the spool: what it keeps is all there, and everything else went."""
    answer = shop.world.once()
    assert answer.returncode == 0, answer.stdout
    shop.assert_left(left)
    assert len(shop.world.journal.entries("hold", outcome="placed")) == 1
    listed = shop.world.lapsectl("hold", "list")
    assert "case-7" in listed.stdout and "litigation" in listed.stdout
    shop.assert_whole()


@pytest.mark.parametrize("tenant, written", [*((tenant, str(tenant)) for tenant in OVER), (2, "002"), (3, " +3")])
def test_a_hold_on_a_tenant_reaches_every_path(shop, tenant, written):
    """By age, by its end, both stages, the collection dropped whole, keys, members, and its own row; however the hold writes it."""
    shop.hold("tenant", written)
    held(shop, after_sweep(lambda place, whose: whose == tenant))
    named = {triple[0] for entry in shop.world.journal.entries("intent") for triple in entry["tenants"]}
    assert str(tenant) not in named and named


@pytest.mark.parametrize("rule", RULES)
def test_a_hold_on_a_rule_reaches_its_path(shop, rule):
    shop.hold("rule", rule)
    # While uploads are held the records with the customer's clock wait for them.
    waits = {"Uploads": RULES["Uploads"] + RULES["Accounts"]}.get(rule, RULES[rule])
    left = after_sweep(lambda place, tenant: place in waits)
    if rule == "Invoices":  # customer 3's are kept now, too, and refer to its record
        left["customers"].add((3, "bare"))
    held(shop, left)
    assert rule not in {entry["rule"] for entry in shop.world.journal.entries("intent")}


def test_a_hold_on_everything(shop):
    shop.hold("all", None)
    held(shop, everything())
    assert not shop.world.journal.entries("intent")


def of_tenant(left, tenant):
    return {place: {id for id in ids if whose(place, id) == tenant} for place, ids in left.items()}


def whose(place, id):
    return tenant_of(place, id[0] if isinstance(id, tuple) else id)


def test_a_hold_in_the_middle_of_a_large_batch_run(world):
    """From its acknowledgement on nothing of that tenant goes, in any store; the neighbours' go on."""
    shop = Shop(world, SMALL + PATIENT)
    many = "SELECT 1000 * (1 + n % 5) + n, 1 + n % 5, now() - interval '2 years', 'x' FROM generate_series(1, 400) n"
    world.sql(f"INSERT INTO events {many}")
    world.sql("INSERT INTO parts VALUES (3202, 3202, 'x')")
    daemon = world.start()
    with world.held_up(daemon, "parts", 3202):  # of tenant 3
        assert world.journal.entries("outcome", outcome="committed")
        asked = world.lapsectl("hold", "--tenant", "2", "--ground", "litigation", "--id", "case-7")
        assert asked.returncode == 0 and 'hold "case-7" stands on tenant 2' in asked.stdout, asked.stdout + asked.stderr
        [placed] = world.journal.entries("hold", outcome="placed")
        then, events = shop.left(), world.sql("SELECT id FROM events WHERE customer_id = 2 ORDER BY id")
    daemon.wait_for("sweep-end")
    assert daemon.stop() == 0
    assert world.sql("SELECT id FROM events WHERE customer_id = 2 ORDER BY id") == events and len(events) > 10
    assert not world.sql("SELECT id FROM events WHERE customer_id <> 2 AND at < now() - interval '12 months'")
    left, swept = shop.left(), after_sweep()
    assert of_tenant(left, 2) | {"events": None} == of_tenant(then, 2) | {"events": None}
    for neighbour in (1, 3, 4, 5):
        assert of_tenant(left, neighbour) == of_tenant(swept, neighbour)
    committed = {(entry["sweep"], entry["batch"]) for entry in world.journal.entries("outcome", outcome="committed")}
    begun = [entry for entry in world.journal.entries("intent") if entry["seq"] > placed["seq"] and "2" in {triple[0] for triple in entry["tenants"]}]
    assert not [entry for entry in begun if (entry["sweep"], entry["batch"]) in committed]
    shop.assert_whole()


def test_a_hold_waits_for_the_batch_that_is_being_committed(shop):
    """It binds at once, but is acknowledged only when the COMMIT that was under way has its answer; nothing follows it."""
    done = shop.world.folder / "state" / "spool" / "done" / "case-7"
    with Gate(shop.port("postgresql"), b"COMMIT\0") as gate, shop.reached_by("postgresql", gate.port):
        daemon = shop.world.start()
        daemon.send(signal.SIGUSR1)
        assert gate.arrived.wait(60)
        shop.hold("all", None)
        daemon.until(done.exists, "an answer")
        waits = json.loads(done.read_text())
        assert waits["outcome"] == "waits" and "not acknowledged yet" in waits["text"], waits
        begun = len(shop.world.journal.entries("intent"))
        gate.go.set()
        daemon.until(lambda: json.loads(done.read_text())["outcome"] == "accepted", "the acknowledgement")
        left = shop.left()
        daemon.wait_for("sweep-end")
        assert daemon.stop() == 0
    assert shop.left() == left
    assert len(shop.world.journal.entries("intent")) == begun
    # What went before it went whole: documents, and one batch of one table.
    assert shop.world.journal.committed("purge")
    assert of_store(left, "cache") == of_store(everything(), "cache")
    shop.assert_whole()


def of_store(left, store):
    return {place: ids for place, ids in left.items() if STORE[place] == store}


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
@pytest.mark.parametrize("step", range(1, 5))
def test_a_crash_between_a_hold_and_its_acknowledgement(shop, step):
    """SIGKILL at the n-th time that the journal is put on disk, the hold's own entry among them: the next start holds, and answers."""
    shop.hold("tenant", 2)
    answer = shop.world.folder / "state" / "spool" / "done" / "case-7"
    killed = shop.world.once(wrapper=["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", f"inject=fdatasync:signal=KILL:when={step}"])
    assert killed.returncode != 0, killed.stdout
    left = shop.left()
    assert of_tenant(left, 2) == of_tenant(everything(), 2)
    held(shop, after_sweep(lambda place, tenant: tenant == 2))
    assert json.loads(answer.read_text())["outcome"] == "accepted"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
@pytest.mark.parametrize("how, code", [("owner", "not-permitted"), ("symlink", "file"), ("1 MiB", "size")])
def test_a_forged_release(shop, how, code):
    """What somebody else puts into the spool neither ends a hold nor goes unseen."""
    shop.hold("tenant", 2)
    held(shop, after_sweep(lambda place, tenant: tenant == 2))
    release = {"v": 1, "request": "release", "hold": "case-7"}
    if how == "owner":
        shop.put("forged", release, owner=65534)
    elif how == "symlink":
        (shop.world.folder / "elsewhere").write_text(json.dumps(release))
        (shop.world.folder / "state" / "spool" / "new" / "forged").symlink_to(shop.world.folder / "elsewhere")
    else:
        shop.put("forged", json.dumps(release) + " " * (1 << 20))
    answer = shop.world.once()
    assert answer.returncode == 0 and "refused" in answer.stdout, answer.stdout
    shop.assert_left(after_sweep(lambda place, tenant: tenant == 2))
    assert [(entry["id"], entry["code"]) for entry in shop.world.journal.entries("refuse")] == [("forged", code)]
    assert not shop.world.journal.entries("release")
    shop.assert_whole()


# ---- the catalog ----

def test_a_cascade_into_the_invoices(shop):
    """A foreign key that would take what the tax office wants: the customers are refused, and the line says why."""
    shop.world.sql("ALTER TABLE invoices DROP CONSTRAINT invoices_customer_id_fkey, ADD FOREIGN KEY (customer_id) REFERENCES customers ON DELETE CASCADE")
    check = shop.world.lapsectl("check")
    assert check.returncode == 78 and "schedule.conf:16: " in check.stdout and "invoices" in check.stdout and "CASCADE" in check.stdout, check.stdout
    answer = shop.world.once()
    assert answer.returncode == 78 and "schedule.conf:16: " in answer.stdout, answer.stdout
    shop.assert_left(after_sweep(lambda place, tenant: place in RULES["Accounts"]))
    assert [entry["target"] for entry in shop.world.journal.entries("finding", code="target-faulty")] == ["customers"]
    shop.assert_whole()
    shop.world.sql("ALTER TABLE invoices DROP CONSTRAINT invoices_customer_id_fkey, ADD FOREIGN KEY (customer_id) REFERENCES customers")
    shop.sweeps_clean()


def test_a_column_dropped_under_a_running_daemon(shop):
    """The target is refused from the next sweep on; all others are swept."""
    daemon = shop.world.start()
    shop.world.sql("ALTER TABLE events RENAME COLUMN at TO happened_at")
    daemon.sweep()
    assert 'schedule.conf:3: "Events": ' in daemon.log and "at" in daemon.log
    status = shop.world.lapsectl("status")
    assert status.returncode == 1
    assert daemon.stop() == 0
    shop.assert_left(after_sweep(lambda place, tenant: place in ("events", "parts")))
    shop.assert_whole()
    shop.world.sql("ALTER TABLE events RENAME COLUMN happened_at TO at")
    shop.sweeps_clean()


def test_rows_hidden_by_row_level_security(shop):
    """What a policy hides would look destroyed: the table is refused, and not one row of it goes."""
    shop.world.sql("ALTER TABLE events ENABLE ROW LEVEL SECURITY")
    shop.world.sql("CREATE POLICY one_customer ON events USING (customer_id = 1)")
    check = shop.world.lapsectl("check")
    assert check.returncode == 78 and 'row-level security of "events" hides rows' in check.stdout, check.stdout
    answer = shop.world.once()
    assert answer.returncode == 78 and 'row-level security of "events" hides rows' in answer.stdout, answer.stdout
    shop.assert_left(after_sweep(lambda place, tenant: place in ("events", "parts")))
    shop.assert_whole()
    shop.world.sql("ALTER TABLE events DISABLE ROW LEVEL SECURITY")
    shop.sweeps_clean()


def test_a_new_table_that_no_rule_names(shop):
    """A developer added a table with a customer's number in it: nothing of it goes, the rest is swept, and somebody is told."""
    shop.world.sql("CREATE TABLE letters (id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers, text text)")
    shop.world.sql("INSERT INTO letters VALUES (31, 3, 'CANARY-letter'), (11, 1, 'CANARY-letter')")
    answer = shop.world.once()
    assert answer.returncode == 0, answer.stdout
    expected = after_sweep()
    expected["customers"].add((3, "bare"))  # its letter refers to it
    shop.assert_left(expected)
    assert shop.world.sql("SELECT id FROM letters ORDER BY id") == [(11,), (31,)]
    told = shop.world.lapsectl("findings")
    assert told.returncode == 1 and "letters" in told.stdout, told.stdout
    assert "letters" in shop.world.lapsectl("check").stdout
    shop.assert_whole()
    shop.replace('{ table = "uploads"; tenant = "customer_id"; },', '{ table = "uploads"; tenant = "customer_id"; }, { table = "letters"; tenant = "customer_id"; },')
    shop.sweeps_clean()
    assert shop.world.sql("SELECT id FROM letters") == [(11,)]


def test_a_new_column_with_personal_data(shop):
    """Nothing is anonymized by half: until somebody says what becomes of it the target waits."""
    shop.world.sql("ALTER TABLE visits ADD COLUMN referrer text")
    answer = shop.world.once()
    assert answer.returncode == 78 and "referrer" in answer.stdout, answer.stdout
    shop.assert_left(after_sweep(lambda place, tenant: place == "visits"))
    shop.assert_whole()
    shop.replace('"as-is: country"', '"as-is: country, referrer"')
    shop.sweeps_clean()


# ---- tenants ----

def test_a_resubscription_in_mid_purge(world):
    """The customer comes back while its uploads go: what was left then stays, everywhere."""
    shop = Shop(world, SMALL + PATIENT)
    world.sql("INSERT INTO uploads SELECT 2000 + n, 2, 'x' FROM generate_series(1, 400) n")
    daemon = world.start()
    with world.held_up(daemon, "uploads", 2200):
        assert world.journal.entries("intent", target="uploads")
        world.sql("UPDATE customers SET ended_at = NULL WHERE id = 2")
        now = {row[0] for row in world.sql("SELECT id FROM uploads WHERE customer_id = 2")}
    daemon.wait_for("sweep-end")
    assert daemon.stop() == 0
    kept = {row[0] for row in world.sql("SELECT id FROM uploads WHERE customer_id = 2")}
    assert kept <= now and len(now - kept) <= 2 and len(kept) > 100  # at most the batch that was under way
    left = shop.left()
    assert 2 in left["customers"] and {21, 22} <= left["users"] and {21, 22} <= left["cache"]
    for other in (1, 3, 4, 5):
        assert of_tenant(left, other) == of_tenant(after_sweep(), other)
    assert {entry["tenant"] for entry in world.journal.entries("finding", code="tenant-resumed")} == {"2"}
    shop.assert_whole()


def test_a_period_that_is_lengthened_while_the_customers_row_goes(world):
    """Seven years of logs are granted to customer 3 in the night in which its own row is due: the sweep that read the tenants before
    does not destroy the row that says so, or nobody would know it any more."""
    shop = Shop(world, PATIENT)
    daemon = world.start()
    with world.held_up(daemon, "parts", 11):
        world.sql("UPDATE customers SET logs = '7 years' WHERE id = 3")
    daemon.wait_for("sweep-end")
    assert 3 in shop.left()["customers"] and {31, 32} <= shop.left()["users"]
    daemon.sweep()
    # What had not gone by then has seven years, too.
    shop.assert_left(after_sweep(keep=lambda place, tenant: tenant == 3 and place in ("events", "parts", "seen", "usage")))
    world.sql("UPDATE events SET at = now() - interval '2 years' WHERE id IN (32, 42)")
    daemon.sweep()
    assert daemon.stop() == 0
    assert shop.left()["events"] == after_sweep()["events"] - {42} | {31}
    shop.assert_whole()


def lose_no_more(world, shop, change):
    """400 events of customer 4 are due; what is left when `change` is made in mid-sweep stays, but for the batch that was under way."""
    world.sql("INSERT INTO events SELECT 4000 + n, 4, now() - interval '2 years', 'x' FROM generate_series(1, 400) n")
    world.sql("INSERT INTO parts VALUES (4200, 4200, 'x')")
    daemon = world.start()
    if "parent" in change:
        assert world.lapsectl("hold", "--tenant", "1", "--subtree", "--ground", "litigation").returncode == 0
    with world.held_up(daemon, "parts", 4200):
        assert world.journal.entries("intent", target="events")
        world.sql(change)
        now = {row[0] for row in world.sql("SELECT id FROM events WHERE customer_id = 4")}
    daemon.wait_for("sweep-end")
    assert daemon.stop() == 0
    kept = {row[0] for row in world.sql("SELECT id FROM events WHERE customer_id = 4")}
    assert kept <= now and len(now - kept) <= 4 and len(kept) > 100
    assert {entry["tenant"] for entry in world.journal.entries("finding", code="tenant-resumed")} == {"4"}
    assert of_tenant(shop.left(), 5) == of_tenant(after_sweep(), 5)
    shop.assert_whole()


def test_a_period_that_is_lengthened_while_its_records_go(world):
    lose_no_more(world, Shop(world, SMALL + PATIENT), "UPDATE customers SET logs = '7 years' WHERE id = 4")


def test_a_customer_that_is_moved_below_a_held_one(world):
    world.sql("CREATE TABLE parents (id bigint PRIMARY KEY, parent bigint)")
    world.sql("INSERT INTO parents VALUES (4, NULL)")
    shop = Shop(world, SMALL + PATIENT, TENANTS.replace("FROM customers", ", parent FROM customers LEFT JOIN parents USING (id)"))
    lose_no_more(world, shop, "UPDATE parents SET parent = 1 WHERE id = 4")


def test_a_reused_tenant_id(shop):
    """Customer 3 is gone; a new one gets its number. Nothing of the new one goes by the end of the old."""
    shop.sweeps_clean()
    world = shop.world
    world.sql("INSERT INTO customers VALUES (3, NULL, 'CANARY-new', 'CANARY-new')")
    world.sql("INSERT INTO users VALUES (31, 3, 'CANARY-user')")
    world.sql("INSERT INTO uploads VALUES (31, 3, 'CANARY-upload')")
    world.mongodb.content.insert_one({"_id": 31, "customerId": 3})
    world.mongodb.kb_3.insert_one({"_id": 31})
    world.redis.set("cache:3:31", "CANARY-cache")
    answer = world.once()
    assert answer.returncode == 0, answer.stdout
    expected = after_sweep()
    expected["customers"].add(3)
    for place in ("users", "uploads", "content", "kb", "cache"):
        expected[place].add(31)
    shop.assert_left(expected)
    # What was left of the old one by age still goes by age.
    assert 32 in shop.left()["events"]
    shop.assert_whole()


BRAKES = "brakes = { first_run = true; };\n"


def test_the_first_night_waits_for_a_word(world):
    """Nothing at all goes before somebody has seen what would; then exactly that goes."""
    shop = Shop(world, BRAKES)
    answer = world.once()
    assert answer.returncode == 75, answer.stdout
    assert "due for the first time; nothing is destroyed until \"lapsectl approve " in answer.stdout
    shop.assert_left(everything())
    assert not world.journal.entries("intent")
    assert world.lapsectl("approve", "--all").returncode == 75  # nobody runs: it is read at the next start
    shop.sweeps_clean()
    assert {entry["rule"] for entry in world.journal.entries("approve", outcome="spent")} == set(RULES)


def test_a_tenants_query_that_suddenly_returns_half(world):
    """Somebody changed a view: customers are missing from the list. Nothing goes under any rule until a person says that it is right."""
    shop = Shop(world, BRAKES)
    world.once()
    world.lapsectl("approve", "--all")
    shop.sweeps_clean()
    world.sql("UPDATE events SET at = at - interval '1 year'")
    world.sql("UPDATE visits SET at = at - interval '3 years'")
    shop.configure(BRAKES, tenants=TENANTS + " WHERE id <> 4")
    answer = world.once()
    assert answer.returncode == 75, answer.stdout
    assert "the tenants query gave 1 tenant" in answer.stdout and "2 in the sweep before; nothing is destroyed until" in answer.stdout, answer.stdout
    shop.assert_left(after_sweep())
    assert "tenants-shrank" in {entry["code"] for entry in world.journal.entries("finding")}
    shop.configure(BRAKES)
    answer = world.once()
    assert answer.returncode == 0, answer.stdout
    shop.assert_left({**after_sweep(), "events": set(), "parts": set(), "visits": set()})
    shop.assert_whole()


def test_an_empty_tenants_query(world):
    """No line is not "ended": nothing goes."""
    shop = Shop(world)
    shop.configure(tenants=TENANTS + " WHERE false")
    answer = world.once()
    assert answer.returncode == 75 and "empty list" in answer.stdout, answer.stdout
    shop.assert_left(everything())
    assert not world.journal.entries("intent")
    shop.assert_whole()
    shop.configure()
    shop.sweeps_clean()


def test_records_of_nobody(shop):
    """A customer's row was deleted by hand: what hung on its end has no clock any more. It is kept, counted and told."""
    world = shop.world
    world.mongodb.content.insert_one({"_id": 91, "customerId": 9})
    world.redis.set("cache:9:91", "x")
    answer = world.once()
    assert answer.returncode == 0, answer.stdout
    expected = after_sweep()
    expected["content"].add(91)
    expected["cache"].add(91)
    shop.assert_left(expected)
    told = world.lapsectl("findings")
    assert told.returncode == 1 and "tenant-unknown" in told.stdout and "content" in told.stdout
    shop.assert_whole()


# ---- servers and networks ----

# In which moment the connection is lost, by what the client says then.
BEFORE, AFTER = True, False
LOST = {
    "postgresql before the statement": ("postgresql", b"DELETE FROM", BEFORE),
    "postgresql after the statement": ("postgresql", b"DELETE FROM", AFTER),
    "postgresql before the COMMIT": ("postgresql", b"COMMIT\0", BEFORE),
    "postgresql before the COMMIT's answer": ("postgresql", b"COMMIT\0", AFTER),
    "mongodb before the statement": ("mongodb", b"deletes", BEFORE),
    "mongodb after the statement": ("mongodb", b"deletes", AFTER),
    "mongodb before the COMMIT": ("mongodb", b"commitTransaction", BEFORE),
    "mongodb before the COMMIT's answer": ("mongodb", b"commitTransaction", AFTER),
    "redis before the statement": ("redis", b"UNLINK", BEFORE),
    "redis before the statement's answer": ("redis", b"UNLINK", AFTER),
}


@pytest.mark.parametrize("case", LOST)
def test_a_lost_connection(shop, case):
    """Whatever was lost, in this sweep or the next one everything due goes, nothing else does, and the journal adds up."""
    kind, words, before = LOST[case]
    with Proxy(shop.port(kind), words, before=before) as proxy, shop.reached_by(kind, proxy.port):
        answer = shop.world.once()
        assert answer.returncode in (0, 75), answer.stdout
        assert proxy.swallowed == 1
        left, all_there, swept = shop.left(), everything(), after_sweep()
        for place, ids in left.items():  # half of it, perhaps, but nothing that is not due
            assert ids - all_there[place] <= swept[place] and ids >= swept[place] & all_there[place], place
        for _ in range(4):  # MongoDB keeps the transaction of a lost client for some seconds
            if answer.returncode == 0:
                break
            answer = shop.world.once()
    shop.sweeps_clean()
    unknown = shop.world.journal.entries("outcome", outcome="unknown")
    assert not unknown or kind == "redis" or "COMMIT" in case
    settled = {entry.get("result") for entry in shop.world.journal.entries("outcome", outcome="settled")}
    if case == "postgresql before the COMMIT's answer":
        assert unknown and settled == {"committed"}
    if case == "postgresql before the COMMIT":
        assert settled <= {"rolled-back"}


@pytest.mark.parametrize("kind", ["postgresql", "mongodb", "redis"])
def test_every_store_down_in_turn(shop, kind):
    """The others are swept as far as nothing hangs on the one that is away; the customers' own records wait for it."""
    store = {"postgresql": "main", "mongodb": "docs", "redis": "cache"}[kind]
    with shop.reached_by(kind, 9):
        answer = shop.world.once()
    assert answer.returncode == 75 and f'"{store}"' in answer.stdout, answer.stdout
    if kind == "postgresql":  # it tells who the tenants are
        shop.assert_left(everything())
        assert not shop.world.journal.entries("intent")
    else:
        shop.assert_left(after_sweep(lambda place, tenant: STORE[place] == store or place in RULES["Accounts"]))
    assert [entry["store"] for entry in shop.world.journal.entries("finding", code="store-down")] in ([store], []) or kind == "postgresql"
    shop.assert_whole()
    shop.sweeps_clean()


@pytest.mark.parametrize("kind", ["postgresql", "mongodb", "redis"])
def test_a_server_that_stops_answering(shop, kind):
    """It holds its connections and says nothing: the sweep ends by its deadlines, what hangs on that store waits, and nothing is lost
    when it wakes up."""
    world, store = shop.world, {"postgresql": "main", "mongodb": "docs", "redis": "cache"}[kind]
    world.config.write_text(world.config.read_text() + 'timeout = { statement = "1 s"; lock = "500 ms"; };\n')
    pid = int(world.servers[f"LAPSED_TEST_{kind.upper()}_PID"])
    pids = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    daemon = world.start()
    signal_all(pids, signal.SIGSTOP)
    try:
        daemon.sweep()
        assert daemon.stop() == 0
    finally:
        signal_all(pids, signal.SIGCONT)
    assert f'store "{store}"' in daemon.log
    left, all_there, swept = shop.left(), everything(), after_sweep()
    for place, ids in left.items():
        if STORE[place] == store or place in RULES["Accounts"]:
            assert ids == all_there[place], place
    if kind == "postgresql":
        assert left == all_there
    assert all(ids in (all_there[place], swept[place]) for place, ids in left.items())
    shop.sweeps_clean()


def test_a_full_disk_under_the_journal(shop, disk):
    """What cannot be written down is not done."""
    shop.replace('journal = { folder = "journal"; };', f'journal = {{ folder = "{disk}/journal"; reserve = "512 KiB"; }};', file="lapsed.conf")
    shop.world.journal.folder = disk / "journal"
    with filled(disk, but=400 << 10):
        answer = shop.world.once()
        assert answer.returncode == 75 and "the journal's disk is full" in answer.stdout, answer.stdout
        shop.assert_left(everything())
        assert not shop.world.journal.entries("intent")
        shop.assert_whole()
    shop.sweeps_clean()


def test_an_application_that_sits_on_one_record(world):
    """It has a part locked and goes on for hours: that event stays for the next sweep, and all others go."""
    shop = Shop(world, 'timeout = { statement = "5 s"; lock = "200 ms"; };\n')
    world.sql("INSERT INTO events SELECT 1000 + n, 1 + n % 5, now() - interval '3 years', 'x' FROM generate_series(1, 200) n")
    application = shop.application()
    application.cursor().execute("UPDATE parts SET note = 'mine' WHERE id = 11")
    answer = world.once()
    assert answer.returncode == 75, answer.stdout
    left, kept = shop.left(), after_sweep(lambda place, tenant: place in ("events", "parts") and tenant == 1)
    assert 11 in left["parts"] and {id for id in left["events"] if id < 1000} == kept["events"]
    assert {row[0] for row in world.sql("SELECT customer_id FROM events WHERE id > 1000")} <= {1}
    assert {**left, "events": None} == {**kept, "events": None}
    shop.assert_whole()
    application.rollback()
    application.close()
    shop.sweeps_clean()


def test_a_deadlock_with_an_application(world):
    """The application has a part locked and wants its event, whose batch waits for the part. Whoever of the two finds out first gives
    way; the daemon comes again."""
    shop = Shop(world, 'timeout = { statement = "20 s"; lock = "10 s"; };\n')
    application = shop.application()
    cursor = application.cursor()
    cursor.execute("UPDATE parts SET note = 'mine' WHERE id = 11")
    daemon = world.start()
    daemon.send(signal.SIGUSR1)
    daemon.until(lambda: world.sql("SELECT pid FROM pg_stat_activity WHERE usename = 'lapsed' AND datname = %s AND wait_event_type = 'Lock'", world.database),
                 "the daemon waits for the application")
    try:
        cursor.execute("UPDATE events SET note = 'mine' WHERE id = 11")  # and now each waits for the other
        application.commit()
    except psycopg2.errors.DeadlockDetected:
        application.rollback()
    application.close()
    end = daemon.wait_for("sweep-end")[-1]
    assert daemon.stop() == 0
    assert all(row["left"] == 0 for row in end["results"]), end
    shop.assert_left(after_sweep())
    shop.sweeps_clean()


def test_a_database_restored_to_yesterday_in_mid_sweep(world):
    """All that was destroyed is there again, and the batch in flight never happened: the next sweep destroys it once more, and the
    journal has both."""
    shop = Shop(world, SMALL + IMPATIENT)
    backup = f"{world.database}_backup"
    with admin(world) as cursor:
        world.postgresql.close()
        cursor.execute(f'CREATE DATABASE "{backup}" TEMPLATE "{world.database}"')
        world.connect()
        try:
            daemon = world.start()
            daemon.send(signal.SIGUSR1)
            daemon.until(lambda: [entry for entry in world.journal.entries("outcome") if entry["outcome"] == "committed"][12:], "batches")
            world.postgresql.close()
            cursor.execute(f'DROP DATABASE "{world.database}" WITH (FORCE)')
            cursor.execute(f'ALTER DATABASE "{backup}" RENAME TO "{world.database}"')
            world.connect()
            daemon.wait_for("sweep-end")
            assert daemon.stop() == 0
        finally:
            cursor.execute(f'DROP DATABASE IF EXISTS "{backup}"')
    left, swept = shop.left(), after_sweep()
    for place, ids in left.items():
        assert ids >= swept[place] & everything()[place], place
    shop.sweeps_clean()
    assert sum(shop.purged().values()) >= 50


@contextmanager
def admin(world):
    connection = psycopg2.connect(stores.postgresql_url(world.servers, "postgres"))
    connection.autocommit = True
    with connection.cursor() as cursor:
        yield cursor
    connection.close()


@pytest.mark.parametrize("empty", [False, True])
def test_a_cache_that_refills_in_mid_sweep(world, empty):
    """The application still reads what is on its way out, and caches it once more: Redis goes last, and such keys with it."""
    shop = Shop(world, PATIENT)
    if empty:
        world.redis.flushdb()
    daemon = world.start()
    with world.held_up(daemon, "parts", 11):
        world.redis.set("cache:2:29", "CANARY-cache")
    daemon.wait_for("sweep-end")
    assert daemon.stop() == 0
    shop.assert_left({place: set() if empty and STORE[place] == "cache" else left for place, left in after_sweep().items()})
    shop.assert_whole()
