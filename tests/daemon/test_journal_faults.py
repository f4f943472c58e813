"""Every file system call of the journal fails in turn, or is the last thing that the process does: strace counts the calls of a
run that opens it with a key that is being replaced, enters batches with evidence, closes segments, signs and removes old
segments, and then injects at each of them; a library that is preloaded cuts writes in half. Afterwards a start continues, nothing
that was said to be entered is lost, nothing that was said to have failed is there, and both verifiers find the journal whole."""
import functools
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from programs import BUILD, DEADLINE, LAPSECTL, REPOSITORY, Journal, preloads

sys.path.insert(0, str(REPOSITORY / "tests"))
import journal_verify  # noqa: E402

STEPS, HALF_WRITE = BUILD / "daemon" / "journal_steps", BUILD / "daemon" / "half_write.so"
CALLS = ["mkdir", "openat", "write", "pwrite64", "fdatasync", "fsync", "rename", "renameat", "linkat", "unlink", "unlinkat", "ftruncate", "fchmod",
         "fallocate"]
TAKES_ROOM = {"mkdir", "openat", "write", "pwrite64", "rename", "renameat", "linkat", "fallocate"}
CAN_BE_INTERRUPTED = {"openat", "write", "pwrite64", "fdatasync", "fallocate"}
ENVIRONMENT = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}  # which needs ptrace for itself
HALVES = ("on", "full", "kill")  # what comes after half a write: see half_write.c
AT_ONCE = 3  # they wait for the disk more than they work


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A journal with segments that are past their period, an end that its file `checkpoint` does not cover, and a key that is to
    be replaced by another one."""
    folder = tmp_path_factory.mktemp("template")
    for needed in (STEPS, HALF_WRITE):
        if not needed.exists():
            subprocess.run(["make", "-s", f"B={BUILD}", str(needed)], cwd=REPOSITORY, check=True)
    state = folder / "state"
    state.mkdir()
    assert steps(folder, 3).returncode == 0
    (folder / "journal" / "checkpoint").write_text(list(kept_checkpoints(folder))[-2])
    (state / "journal.key").rename(state / "journal.key.old")
    name = (state / "journal.pub").read_text().split("+")[0]
    subprocess.run([LAPSECTL, "keygen", "--name", name, "--out", state / "journal.key"], check=True, stdout=subprocess.DEVNULL)
    return folder


def steps(folder, days=0, wrapper=(), environment=None):
    return subprocess.run([*wrapper, STEPS, folder / "journal", folder / "state", str(days)], env={**ENVIRONMENT, **(environment or {})}, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=DEADLINE)


def traced(log, inject=None):
    return ["strace", "-f", "-y", "-qq", "-o", str(log), "-e", "trace=" + ",".join(CALLS), *(["-e", f"inject={inject}"] if inject else [])]


def read_trace(log):
    """[thread, call, arguments, whether it went well] in the order in which the calls began."""
    found, open_of = [], {}
    for line in log.read_text().splitlines():
        thread, text = line.split(maxsplit=1)
        if match := re.match(r"<\.\.\. \w+ resumed>(.*)", text):  # another thread's call came into it
            one = open_of.pop(thread)
            one[2] += match[1]
        elif match := re.match(r"(\w+)\((.*)", text):
            one = open_of[thread] = [thread, match[1], match[2], None]
            found.append(one)
        else:
            continue
        one[3] = not re.search(r"= -1 \w+ \(.*\)$", one[2])
    return found


@pytest.fixture(scope="module")
def trace(template, tmp_path_factory):
    """[(thread, call, its number in its thread, the file's name)] of every call on the journal or its state, in order."""
    folder = tmp_path_factory.mktemp("counted")
    shutil.copytree(template, folder, dirs_exist_ok=True)
    assert steps(folder, wrapper=traced(folder / "log")).returncode == 0
    counts, found = Counter(), []
    for thread, call, arguments, _ in read_trace(folder / "log"):
        counts[thread, call] += 1
        if str(folder) in arguments:
            name = os.path.basename(paths_of(call, arguments)[-1]) + (" made" if "O_CREAT" in arguments else "")
            found.append((thread, call, counts[thread, call], name))
    return found


@pytest.fixture(scope="module")
def calls(trace):
    """(call, its number in its thread, the file's name): strace counts each thread's, and strikes the first that comes so far."""
    found = {}
    for _, call, number, name in trace:
        found.setdefault((call, number), name)
    return [(call, number, name) for (call, number), name in sorted(found.items())]


def entered(run):
    """{(sweep, batch): whether it was said to be entered}"""
    return {(int(sweep), int(batch)): word == "entered" for sweep, batch, word in (line.split() for line in run.stdout.splitlines())}


@functools.lru_cache(maxsize=10000)
def openssl_accepts(*arguments, _openssl=journal_verify.openssl_accepts):
    return _openssl(*arguments)


def verdicts(folder):
    """What both verifiers say."""
    vkey = folder / "state" / "journal.pub"
    ours = subprocess.run([LAPSECTL, "journal", "verify", "--folder", folder / "journal", "--vkey", vkey], env=ENVIRONMENT, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DEADLINE)
    return ours.returncode, journal_verify.verify(folder / "journal", journal_verify.read_keys(vkey), None), ours.stdout


def kept_checkpoints(folder):
    """Every checkpoint that somebody may have kept of what is left of the journal."""
    for entry in Journal(folder / "journal").entries("checkpoint"):
        yield "\n".join([entry["origin"], str(entry["size"]), entry["root"], "", *entry["signatures"], ""])


def verify_from_kept(folder):
    vkey, kept = folder / "state" / "journal.pub", folder / "kept"
    first = Journal(folder / "journal").entries()[0]["seq"]
    for note in kept_checkpoints(folder):
        kept.write_text(note)
        answer = subprocess.run([LAPSECTL, "journal", "verify", "--folder", folder / "journal", "--vkey", vkey, "--checkpoint", kept],
                                env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DEADLINE)
        other = journal_verify.verify(folder / "journal", journal_verify.read_keys(vkey), journal_verify.Note(note))
        if (answer.returncode, other) != (0, 0):
            return f"from the checkpoint of {note.splitlines()[1]} entries, of a journal from {first} on, one says {answer.returncode}, the other {other}: {answer.stdout}"
    return None


def strike(template, folder, fault, call, number):
    """One run with this fault; what is wrong afterwards, or None."""
    shutil.copytree(template, folder)
    before = {(intent["sweep"], intent["batch"]) for intent in Journal(folder / "journal").entries("intent")}
    if fault in HALVES:
        run = steps(folder, environment={"LD_PRELOAD": preloads(str(HALF_WRITE)), "HALF_AT": str(number), "HALF_THEN": fault})
    else:
        run = steps(folder, wrapper=traced(folder / "log", f"{call}:{fault}:when={number}"))
    killed = fault in ("signal=KILL", "kill")
    # Which entries share a write differs a little from run to run, so that the last ones may not come. 127: not even its libraries could
    # be opened.
    expected = {"signal=KILL": (-9, 137, 0), "kill": (-9, 0), "on": (0,)}.get(fault, (0, 74, 127))
    if fault == "kill" and number <= 10 and run.returncode == 0:
        return "half a write did not kill it"
    if run.returncode not in expected or fault == "on" and not all(entered(run).values()):
        return f"it ended with {run.returncode}: {run.stdout}{run.stderr}"
    if killed and run.returncode and Path(folder, "journal/journal.jsonl").read_bytes().endswith(b"\n"):
        ours, other, text = verdicts(folder)
        if ours != other or ours not in (0, 2):
            return f"before the restart one verifier says {ours}, the other {other}: {text}"
    again = steps(folder)
    if again.returncode:
        return f"the restart ended with {again.returncode}: {again.stderr}"
    ours, other, text = verdicts(folder)
    if (ours, other) != (0, 0):
        return f"one verifier says {ours}, the other {other}: {text}"
    said = {**entered(run), **entered(again)}
    there = [(intent["sweep"], intent["batch"]) for intent in Journal(folder / "journal").entries("intent")]
    kept = [batch for batch in there if batch not in before]
    acknowledged = {batch for batch, done in said.items() if done}
    if len(kept) != len(set(kept)) or not acknowledged <= set(kept):
        return f"entered were {sorted(acknowledged)}, in the journal are {kept}"
    if len(set(kept) - acknowledged) > killed:  # the one that it died on may be there
        return f"entered were only {sorted(acknowledged)}, in the journal are {kept}"
    if (folder / "journal" / "evidence-000000000001").exists() or Journal(folder / "journal").entries()[0]["seq"] == 1:
        return "what is past its period is still there"
    return verify_from_kept(folder) if killed and call in ("unlinkat", "linkat", "renameat") else None


def strike_all(template, tmp_path, monkeypatch, fault, calls):
    monkeypatch.setattr(journal_verify, "openssl_accepts", openssl_accepts)
    def one(place):
        call, number, name = place
        folder = tmp_path / f"{call}{number}"
        wrong = strike(template, folder, fault, call, number)
        shutil.rmtree(folder)
        return f"{fault} at {call} {number} ({name}): {wrong}" if wrong else None
    with ThreadPoolExecutor(AT_ONCE) as pool:
        wrong = [text for text in pool.map(one, calls) if text]
    assert not wrong, f"{len(wrong)} of {len(calls)}:\n" + "\n".join(wrong)


def only_reads(place):
    return place[0] == "openat" and not place[2].endswith(" made")


def first_and_last_of_each_kind(calls):
    kinds = {}
    for call, number, name in calls:
        kinds.setdefault((call, re.sub(r"\d+", "N", name)), []).append((call, number, name))
    return sorted({place for places in kinds.values() for place in (places[0], places[-1])})


def paths_of(call, arguments):
    """The files of its arguments, with their folders."""
    words = re.findall(r'(?:<([^>]*)>)?,? ?"([^"]*)"', arguments) if call not in ("write", "fsync", "fdatasync") else []
    return [os.path.join(folder, name) for folder, name in words] or re.findall(r"<([^>]*)>", arguments)[:1]


def not_on_disk(trace, folder):
    """What a power failure could undo although something that is built on it was done: names that a folder got or lost without an fsync
    of it, files that got a name before their bytes were on disk, what a run that was killed left."""
    open_segment = f"{folder}/journal/journal.jsonl"
    of_earlier = {os.path.dirname(open_segment), str(folder)}
    changed_by, written_by, wrong = {}, {}, []  # of each thread: {name: whether it is gone}, files
    for thread, call, arguments, well in trace:
        if thread not in changed_by:
            wrong += [f"{name} when another thread begins" for changed in changed_by.values() for name in changed]
        changed, written = changed_by.setdefault(thread, {}), written_by.setdefault(thread, set())
        paths = paths_of(call, arguments)
        if not well or not paths or not paths[0].startswith(str(folder)) or paths[0].endswith("/lock"):
            continue
        if call in ("fsync", "fdatasync"):
            of_earlier.discard(paths[0])
            written.discard(paths[0])
            changed_by[thread] = {name: gone for name, gone in changed.items() if os.path.dirname(name) != paths[0]}
        elif call == "write":
            written.add(paths[0])
            if paths[0] == open_segment:
                wrong += [f"{name} when something is entered" for name in changed if not name.endswith(".new")]
                wrong += [f"{path}, of an earlier run, when something is entered" for path in of_earlier]
                of_earlier.clear()
        elif call in ("rename", "renameat"):
            wrong += [f"the bytes of {paths[0]} when it is renamed"] * (paths[0] in written)
            wrong += [f"{name} when {paths[0]} is renamed" for name in changed if name != paths[0]]
            changed.pop(paths[0], None)
            changed[paths[1]] = False
        elif call in ("unlink", "unlinkat"):
            wrong += [f"{name} when {paths[0]} is removed" for name, gone in changed.items() if not gone]
            changed[paths[0]] = True
        elif call == "linkat":
            changed[paths[1]] = False
        elif call == "mkdir" or call == "openat" and "O_CREAT" in arguments:
            changed[paths[0]] = False
    return wrong + [f"{name} at the end" for changed in changed_by.values() for name in changed]


def test_names_are_on_disk_before_anything_builds_on_them(template, tmp_path):
    """Power failures cannot be had here, so the calls are looked at: of a first run, which makes everything, and of one that signs with
    two keys, closes and removes segments."""
    fresh, later = tmp_path / "fresh", tmp_path / "later"
    (fresh / "state").mkdir(parents=True)
    shutil.copytree(template, later)
    for folder in (fresh, later):
        assert steps(folder, wrapper=traced(folder / "log")).returncode == 0
        trace = read_trace(folder / "log")
        assert sum(call == "fsync" for _, call, _, _ in trace) > 10
        assert not_on_disk(trace, folder) == []


def test_killed_at_every_call(template, tmp_path, monkeypatch, calls):
    assert len(calls) > 80 and {call for call, _, _ in calls} >= {"openat", "write", "pwrite64", "fdatasync", "fsync", "renameat", "linkat", "unlinkat", "ftruncate", "fchmod", "fallocate"}
    strike_all(template, tmp_path, monkeypatch, "signal=KILL", calls)


def test_every_call_fails(template, tmp_path, monkeypatch, calls):
    strike_all(template, tmp_path, monkeypatch, "error=EIO", calls)


def test_the_disk_is_full_at_every_call(template, tmp_path, monkeypatch, calls):
    strike_all(template, tmp_path, monkeypatch, "error=ENOSPC",
               [place for place in calls if place[0] in TAKES_ROOM and not only_reads(place)])


def test_calls_are_interrupted(template, tmp_path, monkeypatch, calls):
    strike_all(template, tmp_path, monkeypatch, "error=EINTR", [place for place in calls if place[0] in CAN_BE_INTERRUPTED and not only_reads(place)])


@pytest.mark.parametrize("then", HALVES)
def test_half_of_every_write_is_taken(template, tmp_path, monkeypatch, trace, then):
    """Unlike what strace can inject, the bytes are really there. Then the next write goes on, finds no room, or is never made."""
    names = [name for _, call, _, name in trace if call == "write"]
    writes = [("write", number, name) for number, name in enumerate(names, 1)]
    assert {name.rstrip("0123456789") for name in names} >= {"journal.jsonl", "checkpoint.new", "evidence-", "journal.pub.new"}
    strike_all(template, tmp_path, monkeypatch, then, writes)


def test_the_disk_fails_for_good(template, tmp_path, monkeypatch, calls):
    """From that call on, every call of its kind fails: whatever is said to be entered is there all the same."""
    later = [(call, f"{number}+", name) for call, number, name in first_and_last_of_each_kind(calls)]
    strike_all(template, tmp_path, monkeypatch, "error=EIO", later)
