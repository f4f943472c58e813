"""Tools that we did not write accept the journal: golang.org/x/mod/sumdb/note and tlog (tests/interop), where Go is."""
import json
import os
import shutil
import subprocess
import time

import pytest

from programs import DEADLINE, REPOSITORY

INTEROP = REPOSITORY / "tests" / "interop"


@pytest.fixture(scope="session")
def go(tmp_path_factory):
    """The built program."""
    found = shutil.which("go")
    if not found:
        pytest.skip("Go is not installed: golang.org/x/mod is not asked about the journal")
    environment = {**os.environ, "GOFLAGS": "-buildvcs=false", "GOTOOLCHAIN": "local"}
    fetched = subprocess.run([found, "mod", "download"], cwd=INTEROP, env=environment, capture_output=True, text=True, timeout=300)
    if fetched.returncode:
        pytest.skip(f"golang.org/x/mod cannot be fetched: {fetched.stderr.strip()[-200:]}")
    program = tmp_path_factory.mktemp("interop") / "interop"
    built = subprocess.run([found, "build", "-o", str(program), "."], cwd=INTEROP, env=environment, capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stderr
    return program


class Go:
    def __init__(self, program, world, folder):
        self.program, self.world, self.folder, self.older = program, world, folder, []

    def keys(self):
        return str(self.world.folder / "state" / "journal.pub")

    def run(self, *arguments):
        return subprocess.run([str(self.program), *map(str, arguments)], capture_output=True, text=True, timeout=DEADLINE)

    def log(self, *older):
        """What it checked of the log: every line's inclusion, and that it goes on from these checkpoints."""
        answer = self.run("log", self.keys(), self.world.journal.folder, *older)
        assert answer.returncode == 0, answer.stderr
        return json.loads(answer.stdout)

    def keep_checkpoint(self):
        """As an auditor does, by the command that is made for it."""
        path = self.folder / f"checkpoint-{len(self.older)}"
        path.write_text(self.world.lapsectl("journal", "checkpoint", "--print").stdout)
        assert path.read_text() == (self.world.journal.folder / "checkpoint").read_text()
        self.older.append(path)


@pytest.fixture
def swept(go, world, tmp_path):
    world.simple(rows=200, due=100)
    text = world.config.read_text()
    world.config.write_text(text.replace('journal = { folder = "journal";', 'journal = { folder = "journal"; segment = "4 KiB";').replace(
        'schedule = "schedule.conf"', 'batch = { rows = 10; };\nschedule = "schedule.conf"'))
    assert world.once().returncode == 0
    folder = tmp_path / "kept"
    folder.mkdir()
    return Go(go, world, folder)


def change_key(world):
    state, origin = world.folder / "state", world.journal.entries("segment")[0]["origin"]
    (state / "journal.key").rename(state / "journal.key.old")
    made = world.lapsectl("keygen", "--name", origin, "--out", str(state / "journal.key"))
    assert made.returncode == 0, made.stderr


def test_go_accepts_the_log_across_segments_and_keys(swept):
    world = swept.world
    assert len(list(world.journal.folder.glob("journal-*.jsonl"))) >= 2, "it rotated"
    swept.keep_checkpoint()
    first = swept.log()
    assert first["signers"] == 1 and first["included"] == first["size"] == len(world.journal.entries()) - 1 and first["checkpoint_entries"] >= 1
    change_key(world)
    assert world.once().returncode == 0
    swept.keep_checkpoint()
    both = swept.log(*swept.older)
    assert both["signers"] == 2 and both["size"] > first["size"]
    (world.folder / "state" / "journal.key.old").unlink()
    assert world.once().returncode == 0
    swept.keep_checkpoint()
    new = swept.log(*swept.older)
    assert new["signers"] == 1 and new["older"] == 3 and new["origin"] == first["origin"]
    assert world.lapsectl("journal", "verify", "--checkpoint", str(swept.older[0])).returncode == 0


def test_go_accepts_what_is_left_of_a_pruned_log(swept):
    world = swept.world
    swept.keep_checkpoint()
    world.config.write_text(world.config.read_text().replace("segment =", 'keep = "1 second"; keep_evidence = "1 second"; segment ='))
    deadline = time.monotonic() + DEADLINE
    while world.journal.entries()[0]["seq"] == 1:
        assert world.once().returncode == 0 and time.monotonic() < deadline
    swept.keep_checkpoint()
    left = swept.log(swept.older[1])
    assert left["first"] > 0 and left["included"] == left["size"] - left["first"]
    assert world.lapsectl("journal", "verify", "--checkpoint", str(swept.older[1])).returncode == 0


def test_go_refuses_an_altered_log(swept):
    swept.keep_checkpoint()
    assert swept.world.once().returncode == 0
    assert swept.log(*swept.older)
    for path in sorted(swept.world.journal.folder.glob("journal*.jsonl")):
        text = path.read_bytes()
        path.chmod(0o600)
        path.write_bytes(text.replace(b'"seq":', b'"seq": ', 1))  # a space in its first line, which means nothing to JSON
        answer = swept.run("log", swept.keys(), swept.world.journal.folder, *swept.older)
        assert answer.returncode == 1, (path, answer.stdout)
        path.write_bytes(text)
    assert swept.log(*swept.older)


def test_go_accepts_the_proofs_of_one_record(swept, tmp_path):
    world = swept.world
    change_key(world)
    assert world.once().returncode == 0
    for record in (1, 37, 100):
        path = tmp_path / f"{record}.proof"
        made = world.lapsectl("journal", "prove", "--store", "main", "--target", "events", "--key", str(record), "--out", str(path))
        assert made.returncode == 0, made.stderr
        answer = swept.run("proof", swept.keys(), path)
        assert answer.returncode == 0 and json.loads(answer.stdout) == {"proofs": 2}, answer.stderr
        text = path.read_text()
        path.write_text(text.replace('"records":', '"records": ', 1))
        assert swept.run("proof", swept.keys(), path).returncode == 1


def manual_command(name):
    """What lapsed-journal(5) tells the reader to type, behind the line `.\\" TEST name`."""
    text = (REPOSITORY / "doc" / "lapsed-journal.5").read_text()
    return text.split(f'.\\" TEST {name}\n')[1].split("\n.Ed")[0].split("\n", 1)[1]


def test_a_forwarded_log_carries_the_checkpoints(world, tmp_path):
    world.simple(rows=20, due=10)
    first = world.once()
    lines = [line for line in first.stdout.splitlines() if " checkpoint " in line]
    assert len(lines) == len(world.journal.entries("checkpoint")), "one line each"
    (tmp_path / "lapsed.log").write_text(first.stdout)
    subprocess.run(["sh", "-ec", manual_command("logged")], cwd=tmp_path, check=True, timeout=DEADLINE)
    assert (tmp_path / "kept").read_text() == (world.journal.folder / "checkpoint").read_text()
    kept = ("--checkpoint", str(tmp_path / "kept"))
    assert world.lapsectl("journal", "verify", *kept).returncode == 0
    shutil.copytree(world.journal.folder, tmp_path / "older")
    assert world.once().returncode == 0
    assert world.lapsectl("journal", "verify", *kept).returncode == 0
    (tmp_path / "lapsed.log").write_text(world.once().stdout)
    subprocess.run(["sh", "-ec", manual_command("logged")], cwd=tmp_path, check=True, timeout=DEADLINE)
    shutil.rmtree(world.journal.folder)  # the whole folder goes back to an older state, with the checkpoint that belonged to it
    shutil.copytree(tmp_path / "older", world.journal.folder)
    assert world.lapsectl("journal", "verify").returncode == 0
    answer = world.lapsectl("journal", "verify", *kept)
    assert answer.returncode == 3 and "shorter than the given checkpoint" in answer.stdout
