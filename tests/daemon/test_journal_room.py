"""The journal's disk fills up: what was begun is entered to its end, nothing more is begun, and it goes on when there is room."""
import os
import signal
import subprocess
from contextlib import contextmanager

import pytest

from proxy import Gate
from world import PATIENT, idle


@pytest.fixture
def disk(world):
    """The world's journal on a disk of 4 MiB; the daemon keeps 512 KiB of it."""
    folder = world.folder / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("a small disk cannot be mounted here; it takes root")
    yield folder
    for daemon in world.daemons:
        daemon.process.kill()
        daemon.process.wait()
    subprocess.run(["umount", str(folder)], check=True)


def configure(world, disk, load="full", more="batch = { rows = 20; };\n", rows=3000, due=2000):
    world.simple(rows=rows, due=due, settings=idle(load, more))
    text = world.config.read_text().replace('journal = { folder = "journal"; };', f'journal = {{ folder = "{disk}/journal"; reserve = "512 KiB"; }};')
    world.config.write_text(text)
    world.journal.folder = disk / "journal"


def free_bytes(disk):
    left = os.statvfs(disk)
    return left.f_bavail * left.f_frsize


@contextmanager
def filled(disk, but=0):
    """With nothing (or so many bytes) free."""
    with open(disk / "filler", "wb") as filler:
        os.posix_fallocate(filler.fileno(), 0, free_bytes(disk) - but)
        yield
        filler.truncate(0)


def assert_accounted(world, due, left):
    """Every intent has its outcome, and what is gone is what was committed."""
    intents = {(entry["sweep"], entry["batch"]) for entry in world.journal.entries("intent")}
    assert intents == {(entry["sweep"], entry["batch"]) for entry in world.journal.entries("outcome")}
    assert sum(records for *_, records, _ in world.journal.committed("purge")) == due - left
    assert world.verify().returncode in (0, 2)


def old_events(world):
    return world.one("SELECT count(*) FROM events WHERE at < now() - interval '12 months'")


def test_it_pauses_on_a_full_disk_and_goes_on_when_there_is_room(world, disk):
    configure(world, disk, load="normal", more="batch = { rows = 10; };\n" + PATIENT)
    daemon = world.start()
    with world.held_up(daemon, "events", 1000) as go_on, filled(disk):
        go_on()
        daemon.wait_for_log("the journal's disk is full")
        daemon.until(lambda: "the journal's disk is full" in world.lapsectl("status").stdout, "reason in the status")
        left = daemon.until(lambda: still(world), "a standstill")
        assert 0 < left < 2000
        assert_accounted(world, 2000, left)
        assert free_bytes(disk) == 0
    daemon.wait_for("sweep-end")
    assert daemon.stop() == 0
    assert old_events(world) == 0
    assert_accounted(world, 2000, 0)
    [wait] = world.journal.entries("wait")
    assert wait["code"] == "disk-full" and wait["store"] is None
    assert world.verify().returncode == 0


def still(world):
    """The number of old events when nothing is under way: as many outcomes as intents, twice in a row."""
    def look():
        return len(world.journal.entries("intent")), len(world.journal.entries("outcome")), old_events(world)
    first, second = look(), look()
    return second[2] if first == second and first[0] == first[1] else None


def test_an_outcome_is_entered_although_the_disk_is_full(world, disk):
    """The disk fills up while the batch commits: between its intent and its outcome."""
    configure(world, disk, more='timeout = { statement = "50 s"; lock = "40 s"; };\n', rows=20, due=10)
    port = world.postgresql.info.port
    with Gate(port, b"COMMIT\0") as gate:
        world.config.write_text(world.config.read_text().replace(f":{port}/", f":{gate.port}/"))
        daemon = world.start()
        daemon.send(signal.SIGUSR1)
        assert gate.arrived.wait(60)
        assert len(world.journal.entries("intent")) == 1
        with filled(disk):
            gate.go.set()
            [outcome] = daemon.wait_for("outcome")
            assert outcome["outcome"] == "committed" and outcome["records"] == 10
            assert daemon.stop() == 0
            assert free_bytes(disk) == 0
            assert [entry["event"] for entry in world.journal.entries()[-2:]] == ["stop", "checkpoint"]
            assert old_events(world) == 0
            assert_accounted(world, 10, 0)
            assert world.verify().returncode == 0


def test_one_sweep_on_a_full_disk_waits(world, disk):
    configure(world, disk)
    with filled(disk, but=400 << 10):
        answer = world.once()
        assert answer.returncode == 75, answer.stdout
        assert "the journal's disk is full" in answer.stdout
        assert old_events(world) == 2000 and not world.journal.entries("intent")
    answer = world.once()
    assert answer.returncode == 0, answer.stdout
    assert old_events(world) == 0
    assert_accounted(world, 2000, 0)
