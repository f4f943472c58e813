"""A sweep waits while others fare badly: nothing is destroyed meanwhile, status and journal say why, and it goes on by itself."""
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest

from demo import stores
from programs import DEADLINE, REPOSITORY, fake_clock
from world import idle

sys.path.insert(0, str(REPOSITORY / "scripts"))
from servers import Postgresql, free_port  # noqa: E402


def wait_until(what, true):
    end = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def throttled(limits):
    return idle(more=f'throttle = {{ every = "200 ms"; {limits} }};\n')


@pytest.fixture
def watcher(world):
    """The daemon's role may see others' statistics."""
    world.sql("GRANT pg_read_all_stats TO lapsed")
    yield world
    world.sql("REVOKE pg_read_all_stats FROM lapsed")


def status(world):
    path = world.folder / "run" / "status.json"
    return json.loads(path.read_text()) if path.exists() else {"state": "starting"}


def waits(world, words, code, relieve):
    """The sweep waits, says so, and destroys nothing until it is relieved; returns the journal's entry."""
    daemon = world.start()
    daemon.send(signal.SIGUSR1)
    wait_until("status never said that it waits", lambda: status(world)["state"] == "waiting")
    assert words in status(world)["reason"], status(world)["reason"]
    told = world.lapsectl("status")
    assert told.returncode == 1 and words in told.stdout
    assert world.one("SELECT count(*) FROM events") == 20 and not world.journal.entries("intent")
    relieve()
    daemon.wait_for("sweep-end")
    assert world.one("SELECT count(*) FROM events") == 10
    assert daemon.stop() == 0
    waited = [entry for entry in world.journal.entries("wait") if entry["code"] == code]
    assert waited and waited[0]["store"] == "main" and waited[0]["sweep"] == 1 and waited[0]["since"] < waited[0]["time"]
    world.verify()
    shown = world.lapsectl("journal", "show").stdout
    assert f"before it destroyed more in main ({code})" in shown


class Standby:
    """A streaming replica of the tests' PostgreSQL."""

    def __init__(self, servers, folder):
        self.servers, self.data = servers, Path(stores_folder(servers)) / "standby"
        self.log = folder / "standby.log"
        self.tools = Postgresql(folder, self.data, {}, False)

    def __enter__(self):
        tools, primary = self.tools, self.servers["LAPSED_TEST_POSTGRESQL_ADMIN"]
        subprocess.run(tools.command(tools.programs / "pg_basebackup", "-d", primary, "-D", self.data, "-R", "-X", "stream", "-c", "fast", "--no-sync"),
                       check=True, cwd="/", stdin=subprocess.DEVNULL)
        port = free_port()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                tools.command(tools.programs / "postgres", "-D", self.data, "-p", port, "-k", self.data, "-c", "listen_addresses=127.0.0.1",
                              "-c", "max_connections=200", "-c", "fsync=off", "-c", "hot_standby=on", "-c", "wal_receiver_status_interval=100ms"),
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, cwd="/")
        parts = urlsplit(primary)
        url = f"{parts.scheme}://{parts.username}:{parts.password}@127.0.0.1:{port}/postgres"
        wait_until("the standby did not start", lambda: self._connect(url))
        return self

    def _connect(self, url):
        assert self.process.poll() is None, self.log.read_text()
        try:
            self.connection = psycopg2.connect(url, connect_timeout=2)
        except psycopg2.OperationalError:
            return False
        self.connection.autocommit = True
        return True

    def __exit__(self, *_):
        self.connection.close()
        pid = int((self.data / "postmaster.pid").read_text().splitlines()[0])
        subprocess.run(["kill", "-INT", str(pid)], check=True)
        self.process.wait(DEADLINE)
        shutil.rmtree(self.data)

    def ask(self, query):
        with self.connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchone()[0]


def stores_folder(servers):
    """Where the tests' PostgreSQL may write: its user owns the folder above its cluster."""
    return Path(f"/proc/{servers['LAPSED_TEST_POSTGRESQL_PID']}/cwd").resolve().parent


def test_a_lagging_replica(watcher, servers, tmp_path):
    watcher.simple(settings=throttled('replica_lag = "500 ms";'))
    watcher.sql("CREATE TABLE other (n bigint)")
    caught_up = "SELECT count(*) = 1 AND bool_and(replay_lsn >= pg_current_wal_insert_lsn()) FROM pg_stat_replication"
    with Standby(servers, tmp_path) as standby:
        wait_until("the standby never caught up", lambda: watcher.one(caught_up))
        watcher.sql("INSERT INTO other VALUES (1)")
        wait_until("the standby never caught up", lambda: watcher.one(caught_up))
        standby.connection.cursor().execute("SELECT pg_wal_replay_pause()")
        wait_until("the standby never paused", lambda: standby.ask("SELECT pg_get_wal_replay_pause_state()") == "paused")

        def behind():
            watcher.sql("INSERT INTO other VALUES (2)")
            return watcher.one("SELECT coalesce(max(replay_lag), '0') > interval '1 s' FROM pg_stat_replication")

        wait_until("the standby is not behind", behind)
        waits(watcher, 'the lag of a replica of "main" is', "replica-lag",
              lambda: standby.connection.cursor().execute("SELECT pg_wal_replay_resume()"))


def test_a_long_snapshot(watcher, servers):
    watcher.simple(settings=throttled('snapshot_age = "300 ms";'))
    with psycopg2.connect(stores.postgresql_url(servers, watcher.database)) as reader:
        reader.set_session(isolation_level="REPEATABLE READ")
        reader.cursor().execute("SELECT count(*) FROM events")
        old = "SELECT count(*) = 1 FROM pg_stat_activity WHERE pid = %s AND clock_timestamp() - xact_start > interval '500 ms'"
        wait_until("the snapshot does not age", lambda: watcher.one(old, reader.info.backend_pid))
        waits(watcher, 'the age of the oldest snapshot in "main" is', "old-snapshot", reader.rollback)
    reader.close()


def test_many_that_wait_for_locks(watcher, servers):
    watcher.simple(settings=throttled("lock_waits = 0;"))
    watcher.sql("CREATE TABLE busy (n int)")
    url = stores.postgresql_url(servers, watcher.database)
    with psycopg2.connect(url) as waiter, psycopg2.connect(url) as holder:
        holder.cursor().execute("LOCK TABLE busy")
        thread = threading.Thread(target=lambda: waiter.cursor().execute("SELECT * FROM busy"))
        thread.start()
        wait_until("nobody waits", lambda: watcher.one("SELECT count(*) FROM pg_locks WHERE NOT granted") == 1)
        waits(watcher, '1 sessions wait for locks in "main"', "lock-waits", holder.rollback)
        thread.join()
    holder.close()
    waiter.close()


def test_a_query_of_ones_own(watcher):
    watcher.simple(settings=throttled('query = "SELECT busy FROM gate";'))
    watcher.sql("CREATE TABLE gate (busy boolean)")
    watcher.sql("INSERT INTO gate VALUES (true)")
    waits(watcher, "throttle.query says that a sweep should wait", "throttle-query", lambda: watcher.sql("UPDATE gate SET busy = false"))


def test_a_query_that_fails(watcher):
    watcher.simple(settings=throttled('query = "SELECT busy FROM gate";'))

    def repair():
        watcher.sql("CREATE TABLE gate (busy boolean)")
        watcher.sql("INSERT INTO gate VALUES (false)")

    waits(watcher, 'how others fare in "main" could not be asked', "throttle-failed", repair)


def test_a_right_that_was_revoked(world):
    """Where a throttle is configured; else the log says what is not waited for."""
    world.simple(settings=throttled(""))
    try:
        waits(world, 'how others fare in "main" may not be read; lapsectl grants prints the missing right', "throttle-unreadable",
              lambda: world.sql("GRANT pg_read_all_stats TO lapsed"))
    finally:
        world.sql("REVOKE pg_read_all_stats FROM lapsed")
    assert "\nGRANT pg_read_all_stats TO" in world.lapsectl("grants").stdout


def test_once_does_not_wait_for_what_comes_beside_a_throttle(watcher):
    watcher.simple(settings=throttled('query = "SELECT busy FROM gate";'))
    watcher.sql("CREATE TABLE gate AS SELECT true AS busy")
    watcher.environment, set_clock = fake_clock(watcher.environment, watcher.folder, "+0")
    swept = []
    once = threading.Thread(target=lambda: swept.append(watcher.once()))
    once.start()
    wait_until("status never said that it waits", lambda: status(watcher)["state"] == "waiting")
    set_clock("+3h")
    once.join(DEADLINE)
    assert swept and swept[0].returncode == 75, swept
    assert "the clock was set forward" in swept[0].stdout
    assert watcher.one("SELECT count(*) FROM events") == 20


def test_once_does_not_wait_for_a_right(world):
    world.simple(settings=throttled(""))
    swept = world.once()
    assert swept.returncode == 75 and "may not be read" in swept.stdout
    assert world.one("SELECT count(*) FROM events") == 20


def test_without_a_throttle_nobody_needs_the_right(world):
    world.simple()
    swept = world.once()
    assert swept.returncode == 0 and "may not be read, not waiting for it" in swept.stdout
    assert world.one("SELECT count(*) FROM events") == 10
    assert "\n-- GRANT pg_read_all_stats TO" in world.lapsectl("grants").stdout


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_a_slow_disk_makes_batches_smaller(world):
    """What the journal's disk takes of a batch's time is not there for its records: it takes nearly all of it."""
    world.simple(rows=2, due=1, settings=idle(more='batch = { time = "10 ms"; workers = 1; };\n'))
    batches = []
    for wrapper in ([], ["env", "ASAN_OPTIONS=detect_leaks=0", "strace", "-f", "-qq", "-o", "/dev/null", "--seccomp-bpf", "-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_enter=9500"]):
        world.sql("TRUNCATE events")
        world.sql("INSERT INTO events SELECT n, 1 + n %% 2, now() - interval '13 months', '' FROM generate_series(1, %s) n", 10000)
        before = len(world.journal.entries("intent"))
        assert world.once(wrapper=wrapper).returncode == 0
        assert world.one("SELECT count(*) FROM events") == 0
        batches.append(len(world.journal.entries("intent")) - before)
    assert batches[1] > batches[0], batches


def test_check_says_that_a_throttle_cannot_be_read(world):
    """The sweeps would wait for ever."""
    world.simple(settings=throttled('snapshot_age = "1 hour";'))
    answer = world.lapsectl("check")
    assert answer.returncode == 78, answer.stdout
    assert 'how others fare in "main" may not be read' in answer.stdout and "lapsectl grants prints the missing right" in answer.stdout
    world.sql("GRANT pg_read_all_stats TO lapsed")
    try:
        answer = world.lapsectl("check")
    finally:
        world.sql("REVOKE pg_read_all_stats FROM lapsed")
    assert answer.returncode == 0, answer.stdout


def test_check_asks_the_throttles_own_query(watcher):
    watcher.simple(settings=throttled('query = "SELECT 1 FROM nothing_of_the_kind";'))
    answer = watcher.lapsectl("check")
    assert answer.returncode == 78 and "throttle" in answer.stdout, answer.stdout
