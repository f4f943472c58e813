"""What goes wrong while the daemon works: it is killed, a server dies or hangs, the data changes under it, the journal
cannot be written. Afterwards everything due is gone, nothing else is, and the journal verifies."""
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import threading
import time
from contextlib import contextmanager

import psycopg2
import pytest

from demo import stores
from proxy import Proxy
from world import PATIENT, RULE_EVENTS, idle

SMALL = idle("normal", "batch = { rows = 10; };\n" + PATIENT)  # by one connection: who is held up stands still


def old_events(world):
    return world.one("SELECT count(*) FROM events WHERE at < now() - interval '12 months'")


def assert_swept(world, young):
    """All due events gone, all young ones there, the journal whole and its count right."""
    assert old_events(world) == 0
    assert world.one("SELECT count(*) FROM events") == young
    world.verify()


def accounted(world):
    return sum(records for _rule, _target, records, _dependents in world.journal.committed("purge"))


# ---- the daemon dies ----

@pytest.mark.parametrize("step", range(1, 9))
def test_killed_at_each_step_of_the_journal(world, step):
    """SIGKILL at the n-th time that the journal is put on disk: before an intent, after it, before an outcome."""
    world.simple(rows=40, due=30, settings=idle(more="batch = { rows = 10; };\n"))
    killed = world.once(wrapper=["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync,fsync",
                                 "-e", f"inject=fdatasync:signal=KILL:when={step}"])
    assert killed.returncode in (-9, 137, 0), killed.stdout
    answer = world.once()
    assert answer.returncode == 0, answer.stdout
    assert_swept(world, young=10)
    assert accounted(world) == 30


@pytest.mark.parametrize("fault", ["fdatasync:error=EIO", "write:error=ENOSPC"])
@pytest.mark.parametrize("step", [2, 4, 5, 6, 7, 9])
def test_a_failing_disk_destroys_nothing_without_a_durable_intent(world, fault, step):
    """A write or a sync of the journal or its evidence fails, and all later ones do: the sweep ends, and no more rows are gone than
    stand under intents that were on disk before."""
    world.simple(rows=40, due=30, settings=idle(more="batch = { rows = 10; };\n"))
    call = fault.split(":")[0]
    failed = world.once(wrapper=["env", "ASAN_OPTIONS=detect_leaks=0", "strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}",
                                 *[word for path in journal_files(world) for word in ("-P", path)], "-e", f"inject={fault}:when={step}+"])
    assert failed.returncode == 74, failed.stdout
    gone = 30 - old_events(world)
    assert gone <= sum(entry["records"] for entry in world.journal.entries("intent"))
    answer = world.once()
    assert answer.returncode == 0, answer.stdout
    assert_swept(world, young=10)
    assert accounted(world) == 30


def journal_files(world):
    """The names under which files of the journal are written to: the open segment, which a new one replaces, and the evidence."""
    folder = world.folder / "journal"
    return [str(folder / name) for name in ("journal.jsonl", "journal.next", *(f"evidence-{seq:012}" for seq in range(1, 40)))]


def test_killed_at_random(product):
    chance = random.Random(7)
    product.configure(settings=idle(more="batch = { rows = 20; };\n"))
    kills = 0
    for _ in range(8):
        daemon = product.start()
        daemon.send(signal.SIGUSR1)
        daemon.wait_for("sweep-begin", kills + 1)
        time.sleep(chance.uniform(0.0, 0.25))  # the moment of death is what is random here
        daemon.process.kill()
        daemon.process.wait()
        kills += 1
    # MongoDB keeps the transaction of a dead client for some seconds: its documents are left for the next sweep.
    for _ in range(3):
        answer = product.once()
        if answer.returncode != 75:
            break
    assert answer.returncode == 0, answer.stdout
    assert product.compare()[1] == []
    product.verify()
    assert kills == 8


def test_every_intent_gets_an_outcome_after_a_kill(world):
    world.simple(rows=3000, due=2000, settings=SMALL)
    daemon = world.start()
    with world.held_up(daemon, "events", 1000):
        daemon.process.kill()
        daemon.process.wait()
    assert 0 < old_events(world) < 2000
    assert world.once().returncode == 0
    assert_swept(world, young=1000)
    outcomes = {(entry["sweep"], entry["batch"]) for entry in world.journal.entries("outcome")}
    assert {(entry["sweep"], entry["batch"]) for entry in world.journal.entries("intent")} == outcomes
    assert accounted(world) == 2000


def test_term_ends_the_batches_in_flight_and_exits_0(world):
    world.simple(rows=3000, due=2000, settings=SMALL)
    daemon = world.start()
    with world.held_up(daemon, "events", 1000) as go_on:
        daemon.send(signal.SIGTERM)
        go_on()
        assert daemon.stop() == 0
    assert world.journal.entries()[-2]["event"] == "stop"  # its checkpoint comes last
    assert world.lapsectl("journal", "verify").returncode == 0
    assert 0 < old_events(world) < 2000
    assert accounted(world) == 2000 - old_events(world)
    intents = {(entry["sweep"], entry["batch"]) for entry in world.journal.entries("intent")}
    assert intents == {(entry["sweep"], entry["batch"]) for entry in world.journal.entries("outcome")}


# ---- a server dies, hangs or is away ----

def test_backend_killed_in_mid_batch(world):
    """A kill that falls on a COMMIT leaves its answer unknown and the store to the next sweep, which is asked for then."""
    world.simple(rows=3000, due=2000, settings=idle("normal", "batch = { rows = 10; };\n"))
    daemon = world.start()
    daemon.send(signal.SIGUSR1)
    ended = 0
    for count in (2, 5, 8):
        def there():
            return len(world.journal.entries("outcome")) >= count or len(world.journal.entries("sweep-end")) > ended
        while daemon.until(there, f"{count} outcomes") and len(world.journal.entries("outcome")) < count:
            ended += 1
            daemon.send(signal.SIGUSR1)
        world.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'lapsed' AND datname = %s", world.database)
    daemon.wait_for("sweep-end", ended + 1)
    assert daemon.stop() == 0
    world.configure(RULE_EVENTS, tenants="SELECT id AS tenant, ended_at AS subscription FROM customers")
    assert world.once().returncode == 0
    assert_swept(world, young=1000)
    assert accounted(world) == 2000


@pytest.mark.parametrize("lost", [1, 3])
def test_a_lost_answer_to_a_commit_is_settled_by_asking(world, lost):
    """The commit went through, its answer did not: the journal says unknown, and then what the server says."""
    world.simple(rows=40, due=30, settings=idle(more="batch = { rows = 10; };\n"))
    port = world.postgresql.info.port
    with Proxy(port, b"COMMIT\0", times=lost) as proxy:
        world.config.write_text(world.config.read_text().replace(f":{port}/", f":{proxy.port}/"))
        answer = world.once()
        assert answer.returncode in (0, 75), answer.stdout
        assert proxy.swallowed >= 1
        answer = world.once()
        assert answer.returncode in (0, 75), answer.stdout
    world.config.write_text(world.config.read_text().replace(f":{proxy.port}/", f":{port}/"))
    assert world.once().returncode == 0
    assert_swept(world, young=10)
    assert len(world.journal.entries("outcome", outcome="unknown")) >= 1
    assert {entry["result"] for entry in world.journal.entries("outcome", outcome="settled")} == {"committed"}
    assert accounted(world) == 30


@contextmanager
def stopped(*pids):
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass


def family(pid):
    children = subprocess.run(["pgrep", "-P", str(pid)], text=True, stdout=subprocess.PIPE).stdout.split()
    return [pid, *map(int, children)]


@pytest.mark.parametrize("server", ["POSTGRESQL", "MONGODB", "REDIS"])
def test_a_stopped_server_does_not_hang_the_daemon(caasaas, server):
    caasaas.configure(settings=idle(more='timeout = { statement = "1 s"; lock = "500 ms"; };\n'))
    pid = int(caasaas.servers[f"LAPSED_TEST_{server}_PID"])
    with stopped(*(family(pid) if server == "POSTGRESQL" else [pid])):
        began = time.monotonic()
        answer = caasaas.once()
        assert answer.returncode == 75, answer.stdout
        assert time.monotonic() - began < 45
    answer = caasaas.once()
    assert answer.returncode == 0, answer.stdout
    assert caasaas.compare()[1] == []


def test_a_server_stopped_in_mid_sweep(world):
    world.simple(rows=3000, due=2000, settings=idle("normal", 'batch = { rows = 10; };\ntimeout = { statement = "1 s"; };\n'))
    daemon = world.start()
    daemon.send(signal.SIGUSR1)
    daemon.wait_for("outcome", 3)
    with stopped(*family(int(world.servers["LAPSED_TEST_POSTGRESQL_PID"]))):
        assert daemon.stop(signal.SIGTERM) == 0  # it ends in time although the server does not answer
    world.configure(RULE_EVENTS, tenants="SELECT id AS tenant, ended_at AS subscription FROM customers")
    assert world.once().returncode == 0
    assert_swept(world, young=1000)


def unreachable(text, scheme):
    """The same configuration with one store on a port where nobody listens."""
    return re.sub(rf"({scheme}://[^:]+@127\.0\.0\.1):\d+", r"\1:9", text)


@pytest.mark.parametrize("scheme", ["mongodb", "redis"])
def test_a_store_that_is_down_blocks_the_tenants_own_records(caasaas, scheme):
    whole = caasaas.config.read_text() + 'timeout = { statement = "2 s"; };\n'
    caasaas.config.write_text(unreachable(whole, scheme))
    customers = caasaas.sql("SELECT * FROM customers ORDER BY id")
    subscriptions = caasaas.sql("SELECT * FROM subscriptions ORDER BY id")
    answer = caasaas.once()
    assert answer.returncode == 75, answer.stdout
    # What hangs on nobody's clock went; the records with the clock did not, nor were they anonymized.
    assert caasaas.one("SELECT count(*) FROM brands") < 60
    assert caasaas.sql("SELECT * FROM subscriptions ORDER BY id") == subscriptions
    assert {row[0] for row in caasaas.sql("SELECT id FROM customers")} == {row[0] for row in customers}
    caasaas.config.write_text(whole)
    answer = caasaas.once()
    assert answer.returncode == 0, answer.stdout
    assert caasaas.compare()[1] == []


def test_a_store_that_goes_down_in_mid_sweep_blocks_them_too(caasaas):
    caasaas.configure(settings=idle("normal", 'batch = { rows = 20; };\ntimeout = { statement = "1 s"; };\n'))
    customers, subscriptions = (caasaas.sql(f"SELECT * FROM {table} ORDER BY id") for table in ("customers", "subscriptions"))
    daemon = caasaas.start()
    daemon.send(signal.SIGUSR1)
    daemon.wait_for("outcome", 2)
    with stopped(int(caasaas.servers["LAPSED_TEST_REDIS_PID"])):
        daemon.wait_for("sweep-end")
        assert daemon.stop() == 0
    assert caasaas.sql("SELECT * FROM subscriptions ORDER BY id") == subscriptions
    assert [row[0] for row in caasaas.sql("SELECT id FROM customers ORDER BY id")] == [row[0] for row in customers]
    answer = caasaas.once()
    assert answer.returncode == 0, answer.stdout
    assert caasaas.compare()[1] == []


def test_the_daemon_starts_with_every_store_down(caasaas):
    caasaas.config.write_text(unreachable(unreachable(unreachable(caasaas.config.read_text(), "postgresql"), "mongodb"), "redis"))
    daemon = caasaas.start()
    end = daemon.sweep()
    assert end["event"] == "sweep-end" and not caasaas.journal.entries("intent")
    status = caasaas.lapsectl("status")
    assert status.returncode == 1 and "main" in status.stdout
    assert daemon.stop() == 0


def test_wrong_password(caasaas):
    caasaas.environment["LAPSED_MAIN_PASSWORD"] = "wrong-password-of-a-test"
    answer = caasaas.once()
    assert answer.returncode in (75, 78), answer.stdout
    assert 'credential "main"' in answer.stdout and "wrong-password-of-a-test" not in answer.stdout
    assert not caasaas.journal.entries("intent")
    plan = caasaas.lapsectl("plan")
    assert plan.returncode == 78 and 'credential "main"' in plan.stderr


# ---- the data changes meanwhile ----

def test_a_record_updated_before_its_batch_survives(world):
    """Rows whose `since` moves forward while the sweep is under way are no longer due."""
    world.simple(rows=3000, due=2000, settings=SMALL)
    daemon = world.start()
    with world.held_up(daemon, "events", 1000):
        saved = world.one("WITH saved AS (UPDATE events SET at = now() WHERE id BETWEEN 1101 AND 2000 RETURNING 1) SELECT count(*) FROM saved")
        assert saved >= 450
    daemon.wait_for("sweep-end")
    daemon.stop()
    assert_swept(world, young=1000 + saved)
    assert accounted(world) == 2000 - saved


def test_an_application_that_inserts_children_meanwhile(world):
    """Invoice lines arrive for invoices that are being purged: the batch may wait or give up, the line may be refused, but in the
    end no parent is missing and none that is due is left."""
    world.sql("CREATE TABLE customers (id bigint PRIMARY KEY, ended_at timestamptz)")
    world.sql("INSERT INTO customers VALUES (1, NULL)")
    world.sql("CREATE TABLE invoices (id bigint PRIMARY KEY, customer_id bigint NOT NULL, at timestamptz NOT NULL)")
    world.sql("CREATE TABLE lines (id serial PRIMARY KEY, invoice_id bigint NOT NULL REFERENCES invoices)")
    world.sql("CREATE INDEX ON lines (invoice_id)")
    world.sql("CREATE INDEX ON invoices (customer_id, at)")
    world.sql("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO lapsed")
    world.sql("INSERT INTO invoices SELECT n, 1, now() - interval '8 years' FROM generate_series(1, 2000) n")
    world.configure('schedule = ( { data = "Invoices"; keep = "7 years"; basis = "Tax";'
                    ' targets = ( { table = "invoices"; tenant = "customer_id"; since = "at"; dependents = [ "lines.invoice_id" ]; } ); } );\n',
                    tenants="SELECT id AS tenant, ended_at AS subscription FROM customers", settings=idle("normal", "batch = { rows = 100; };\n"))
    over = threading.Event()
    def insert():
        connection = psycopg2.connect(stores.postgresql_url(world.servers, world.database))
        connection.autocommit = True
        number = 0
        while not over.is_set():
            number = (number + 997) % 2000 + 1
            try:
                with connection.cursor() as cursor:
                    cursor.execute("INSERT INTO lines (invoice_id) VALUES (%s)", (number,))
            except psycopg2.errors.ForeignKeyViolation:
                pass  # that invoice is gone
        connection.close()
    writer = threading.Thread(target=insert)
    writer.start()
    try:
        daemon = world.start()
        daemon.send(signal.SIGUSR1)
        daemon.wait_for("sweep-end")
        daemon.stop()
    finally:
        over.set()
        writer.join()
    assert world.once().returncode == 0
    assert world.one("SELECT count(*) FROM invoices") == 0 and world.one("SELECT count(*) FROM lines") == 0


# ---- reload, second daemon ----

def test_a_reload_is_journalled_and_counts(world):
    world.simple()
    daemon = world.start()
    (world.folder / "schedule.conf").write_text(RULE_EVENTS.replace("12 months", "24 months"))
    daemon.send(signal.SIGHUP)
    entries = daemon.wait_for("schedule", 2)
    assert [entry["rules"][0]["keep"] for entry in entries] == ["12 months", "24 months"]
    daemon.sweep()
    assert daemon.stop() == 0
    assert old_events(world) == 10  # 13 months is not 24


def test_a_second_daemon_is_refused(world):
    world.simple()
    daemon = world.start()
    second = world.once()
    assert second.returncode == 78, second.stdout
    assert str(daemon.process.pid) in second.stdout
    assert daemon.stop() == 0
    assert world.once().returncode == 0


# ---- the journal ----

def test_a_torn_tail_is_cut_and_kept_aside(world):
    world.simple()
    assert world.once().returncode == 0
    path = world.journal.folder / "journal.jsonl"
    path.write_bytes(path.read_bytes() + b'{"v":1,"seq":99,"time":"2026')
    assert world.once().returncode == 0
    assert len(world.journal.entries("recover")) == 1
    assert list(world.journal.folder.glob("torn-*"))
    world.verify()


def test_a_damaged_journal_is_refused(world):
    world.simple()
    assert world.once().returncode == 0
    path = world.journal.folder / "journal.jsonl"
    whole = path.read_text()
    path.write_text(whole.replace('"records":10', '"records":11', 1))
    assert path.read_text() != whole
    assert world.lapsectl("journal", "verify").returncode == 1
    world.sql("UPDATE events SET at = now() - interval '2 years'")
    answer = world.once()
    assert answer.returncode == 74, answer.stdout
    assert "journal.jsonl" in answer.stdout
    assert world.one("SELECT count(*) FROM events") == 10  # nothing was touched
    path.write_text(whole)
    assert world.once().returncode == 0


def test_the_journal_can_be_checked_with_sha256_alone(world):
    world.simple()
    assert world.once().returncode == 0
    previous = "0" * 64
    for line in world.journal.text().splitlines():
        body, _, rest = line.rpartition('"hash":"')
        previous = hashlib.sha256((previous + body + '"hash":"').encode()).hexdigest()
        assert rest == previous + '"}'


def test_unwritable_journal_folder(world):
    world.simple()
    blocker = world.folder / "file"
    blocker.write_text("")
    world.config.write_text(world.config.read_text().replace('folder = "journal"', f'folder = "{blocker}/journal"'))
    answer = world.once()
    assert answer.returncode in (74, 78), answer.stdout
    assert str(blocker) in answer.stdout
    assert old_events(world) == 10


def test_a_journal_that_cannot_be_signed_stops_destruction(world):
    """Its entries can be written, but something is in the way of the first checkpoint: nobody could prove them."""
    world.simple(rows=40, due=30, settings=idle(more="batch = { rows = 10; };\n"))
    in_the_way = world.folder / "journal" / "checkpoint.new"
    (in_the_way / "folder").mkdir(parents=True)
    daemon = world.start()
    daemon.wait_for_log("no batch is begun until the journal can be signed again")
    status = world.folder / "run" / "status.json"
    daemon.until(lambda: status.exists() and "cannot be signed" in status.read_text(), "reason in the status of an idle daemon")
    for verb, state in (("pause", "paused"), ("resume", "waiting")):
        assert world.lapsectl(verb, *(["--ground", "maintenance"] if verb == "pause" else [])).returncode == 0
        daemon.until(lambda: json.loads(status.read_text())["state"] == state, f"{state} in the status")
    assert "cannot be signed" in status.read_text()
    daemon.send(signal.SIGUSR1)
    daemon.wait_for_log("nothing is destroyed until it can; no batch is begun")
    assert daemon.stop() == 0
    assert world.once().returncode == 74
    daemon = world.start()
    daemon.wait_for_log("no batch is begun until the journal can be signed again")
    daemon.send(signal.SIGUSR1)
    daemon.wait_for_log("nothing is destroyed until it can; no batch is begun")
    assert old_events(world) == 30 and not world.journal.entries("intent")
    (in_the_way / "folder").rmdir()
    in_the_way.rmdir()
    daemon.wait_for("sweep-end", 3)
    assert daemon.log.count("can be signed again") == 2, daemon.log
    assert daemon.stop() == 0
    assert_swept(world, young=10)
    assert "journal-unsigned" in [wait["code"] for wait in world.journal.entries("wait")]
    assert world.verify().returncode == 0
