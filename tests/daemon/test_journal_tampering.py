"""Somebody lays hands on the journal while the daemon writes to it: it notices within one group, destroys nothing more, stays
alive, and goes on when everything is as it was."""
import os
import shutil
import signal
import subprocess
from contextlib import contextmanager

import pytest

from world import PATIENT, idle

SMALL = idle("normal", "batch = { rows = 10; };\n" + PATIENT)  # by one connection: who is held up stands still


@contextmanager
def away(path):
    aside = path.with_name(path.name + ".away")
    path.rename(aside)
    yield
    aside.rename(path)


@contextmanager
def replaced(path):
    with away(path):
        if path.is_dir():
            path.mkdir()
        shutil.copy(path.with_name(path.name + ".away"), path)
        yield
        path.unlink()


@contextmanager
def another_folder(path):
    with away(path):
        shutil.copytree(path.with_name(path.name + ".away"), path)
        yield
        shutil.rmtree(path)


@contextmanager
def truncated(path):
    whole = path.read_bytes()
    os.truncate(path, len(whole) // 2)
    yield
    with path.open("r+b") as file:
        file.write(whole)


@contextmanager
def linked(path):
    other = path.with_name("second")
    os.link(path, other)
    yield
    other.unlink()


@contextmanager
def opened_to_all(path):
    mode = path.stat().st_mode & 0o7777
    path.chmod(0o777 if path.is_dir() else 0o666)
    yield
    path.chmod(mode)


@contextmanager
def given_away(path):
    before = path.stat()
    try:
        os.chown(path, 65534, before.st_gid)
    except PermissionError:
        pytest.skip("this takes root")
    yield
    os.chown(path, before.st_uid, before.st_gid)


@contextmanager
def hidden(path):
    other = path.with_name("over")
    other.mkdir()
    if subprocess.run(["mount", "--bind", str(other), str(path)], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("nothing can be mounted here; it takes root")
    try:
        yield
    finally:
        subprocess.run(["umount", str(path)], check=True)


OPEN, FOLDER, LOCK = "journal/journal.jsonl", "journal", "journal/lock"


@pytest.mark.parametrize("name, tamper, message", [
    (OPEN, away, "journal.jsonl was removed or replaced"),
    (OPEN, replaced, "journal.jsonl was removed or replaced"),
    (OPEN, truncated, "journal.jsonl was truncated"),
    (OPEN, linked, "journal.jsonl got a second name"),
    (OPEN, opened_to_all, "journal.jsonl got other permissions"),
    (OPEN, given_away, "journal.jsonl got another owner"),
    (FOLDER, away, "was removed, replaced or hidden"),
    (FOLDER, another_folder, "was removed, replaced or hidden"),
    (FOLDER, hidden, "was removed, replaced or hidden"),
    (FOLDER, opened_to_all, "got other permissions"),
    (LOCK, away, "lock was removed or replaced"),
], ids=lambda value: getattr(value, "__name__", None) or (value if "/" in value or value == FOLDER else ""))
def test_tampering_stops_destruction_until_it_is_undone(world, name, tamper, message):
    world.simple(rows=1500, due=1000, settings=SMALL)
    daemon = world.start()
    with world.held_up(daemon, "events", 500) as go_on, tamper(world.folder / name):
        go_on()
        daemon.wait_for_log(message)
        wait_for_status(world, daemon)
        left = old_events(world)
        assert 0 < left < 1000
        ask_again(daemon)
        assert old_events(world) == left and daemon.process.poll() is None
    daemon.sweep()
    assert daemon.stop() == 0
    assert_all_gone(world)


def wait_for_status(world, daemon):
    status = world.folder / "run" / "status.json"  # lapsectl looks at the lock first
    def says_why():  # whichever comes first, the next entry or the next checkpoint
        return any(f"the journal cannot be {done}" in status.read_text() for done in ("written", "signed"))
    daemon.until(says_why, "waiting in the status")


def ask_again(daemon):
    """One more sweep ends at once."""
    before = daemon.log.count(" ended early: 0 records purged")
    daemon.send(signal.SIGUSR1)
    daemon.until(lambda: daemon.log.count(" ended early: 0 records purged") > before, "another sweep that ends at once")


@pytest.mark.parametrize("tamper", [away, replaced, truncated, linked, opened_to_all])
def test_evidence_that_was_tampered_with_is_not_gone_on_with(world, tamper):
    """The group fails, the sweep ends; the next one begins a segment with evidence of its own."""
    world.simple(rows=1500, due=1000, settings=SMALL)
    daemon = world.start()
    with world.held_up(daemon, "events", 500) as go_on:
        [path] = (world.folder / "journal").glob("evidence-*")
        with tamper(path):
            go_on()
            daemon.wait_for_log(f"{path.name} ")
            daemon.wait_for("sweep-end")
            assert 0 < old_events(world) < 1000
    daemon.sweep()
    assert daemon.stop() == 0
    assert len(list((world.folder / "journal").glob("evidence-*"))) == 2
    assert_all_gone(world)


def flipped(path, line):
    """One bit in the middle of this line; returns the line's offset."""
    lines = path.read_bytes().splitlines(keepends=True)
    offset = sum(map(len, lines[:line - 1]))
    whole = bytearray(b"".join(lines))
    whole[offset + len(lines[line - 1]) // 2] ^= 1
    path.write_bytes(bytes(whole))
    return offset


def damage(journal, how):
    """Damages it, and returns where that is to be said."""
    closed = sorted(journal.glob("journal-*.jsonl"))
    if how == "a bit of a closed segment":
        return f"{closed[1].name} line 12 byte {flipped(closed[1], 12)}"
    if how == "a bit of the open segment":
        return f"journal.jsonl line 5 byte {flipped(journal / 'journal.jsonl', 5)}"
    if how == "a bit of the last line":
        last = (journal / "journal.jsonl").read_bytes().count(b"\n")
        return f"journal.jsonl line {last} byte {flipped(journal / 'journal.jsonl', last)}"
    if how == "no open segment":
        (journal / "journal.jsonl").unlink()
        return "journal.jsonl: the open segment is missing"
    number = {"no first segment": 0, "no second segment": 1, "no last segment": -1}[how]
    following = [*closed, journal / "journal.jsonl"][closed.index(closed[number]) + 1]
    closed[number].unlink()
    return f"{following.name} line 1 byte 0: entries "


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "lock"}


@pytest.mark.parametrize("how", ["a bit of a closed segment", "a bit of the open segment", "a bit of the last line", "no open segment",
                                 "no first segment", "no second segment", "no last segment"])
def test_a_damaged_journal_is_not_continued(world, how):
    """It says where, nothing is destroyed, nothing of the journal is touched; and put back as it was it goes on."""
    world.simple(rows=1200, due=1000, settings=idle("full", "batch = { rows = 20; };\n"))
    world.config.write_text(world.config.read_text().replace('folder = "journal";', 'folder = "journal"; segment = "8 KiB";'))
    assert world.once().returncode == 0
    world.sql("UPDATE events SET at = now() - interval '2 years'")
    journal = world.folder / "journal"
    shutil.copytree(journal, world.folder / "good")
    where = damage(journal, how)
    damaged = bytes_of(journal)
    answer = world.once()
    assert answer.returncode == 74 and where in answer.stdout and "does not continue a damaged journal" in answer.stdout, answer.stdout
    for words in (("verify",), ("show",)):
        answer = world.lapsectl("journal", *words)
        assert answer.returncode == 1 and where.split(": ")[0] in answer.stdout + answer.stderr, answer.stdout + answer.stderr
    answer = world.lapsectl("status")
    assert answer.returncode == 2 and "not running" in answer.stdout, answer.stdout
    assert bytes_of(journal) == damaged and old_events(world) == 200
    shutil.rmtree(journal)
    shutil.copytree(world.folder / "good", journal)
    assert world.once().returncode == 0 and old_events(world) == 0
    assert world.lapsectl("journal", "verify").returncode == 0


def test_foreign_bytes_are_kept_aside_and_said(world):
    world.simple(rows=1500, due=1000, settings=SMALL)
    daemon = world.start()
    with world.held_up(daemon, "events", 500), (world.folder / OPEN).open("ab") as file:
        file.write(b"somebody was here\n")
    daemon.wait_for_log("something else wrote to it")
    wait_for_status(world, daemon)
    daemon.sweep()
    assert daemon.stop() == 0
    [recover] = world.journal.entries("recover")
    assert recover["cut_bytes"] == 18 and (world.folder / "journal" / recover["cut_file"]).read_bytes() == b"somebody was here\n"
    assert_all_gone(world)


def test_no_second_daemon_though_the_lock_file_is_gone(world):
    world.simple()
    daemon = world.start()
    (world.folder / LOCK).unlink()
    second = world.once()
    assert second.returncode == 78 and "in use" in second.stdout, second.stdout
    daemon.send(signal.SIGUSR1)
    daemon.wait_for_log("lock was removed or replaced")
    assert old_events(world) == 10
    daemon.stop()
    assert world.once().returncode == 0
    assert old_events(world) == 0


def old_events(world):
    return world.one("SELECT count(*) FROM events WHERE at < now() - interval '12 months'")


def assert_all_gone(world):
    assert old_events(world) == 0
    assert sum(records for *_, records, _ in world.journal.committed("purge")) == 1000
    answer = world.verify()
    assert answer.returncode == 0, answer.stdout
