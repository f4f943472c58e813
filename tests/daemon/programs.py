"""Running build/lapsed and build/lapsectl from a test: output kept, every wait with a deadline."""
import json
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("LAPSED_BUILD", "build"))
BUILD = BUILD if BUILD.is_absolute() else REPOSITORY / BUILD
LAPSED, LAPSECTL = str(BUILD / "lapsed"), str(BUILD / "lapsectl")
DEADLINE = 60
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"


def lapsectl(config, *arguments, environment=None):
    return subprocess.run([LAPSECTL, *arguments, "-c", str(config)], env=environment, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=DEADLINE)


def lapsed_once(config, environment=None, wrapper=(), timeout=DEADLINE):
    """One sweep; both outputs in .stdout."""
    return subprocess.run([*wrapper, LAPSED, "-c", str(config), "--once"], env=environment, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout)


def lapsed_test(config, environment=None):
    return subprocess.run([LAPSED, "-t", "-c", str(config)], env=environment, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DEADLINE)


class Journal:
    def __init__(self, folder):
        self.folder = Path(folder)

    def text(self):
        closed = sorted(self.folder.glob("journal-*.jsonl"), key=lambda path: int(path.stem.split("-")[1]))
        return "".join(path.read_text() for path in [*closed, self.folder / "journal.jsonl"] if path.exists())

    def entries(self, event=None, **fields):
        """Whole lines only: the last one may be under way."""
        found = [json.loads(line) for line in self.text().splitlines(keepends=True) if line.endswith("\n")]
        return [entry for entry in found if event in (None, entry["event"]) and all(entry.get(k) == v for k, v in fields.items())]

    def evidence(self):
        """(seq, number of leaves, leaves) of each batch in the evidence files; what a crash left behind a torn one is of none."""
        batches = []
        for path in sorted(self.folder.glob("evidence-*")):
            content = path.read_bytes()
            for unit in (content[at:at + 32] for at in range(0, len(content), 32)):
                if title := re.fullmatch(rb"intent (\d+) (\d+) *\n", unit):
                    batches.append((int(title.group(1)), int(title.group(2)), []))
                elif batches and len(unit) == 32 and len(batches[-1][2]) < batches[-1][1]:
                    batches[-1][2].append(unit)
        return batches

    def committed(self, action=None):
        """(rule, target, records, dependents) of every batch that the journal says went through."""
        intents = {(entry["sweep"], entry["batch"]): entry for entry in self.entries("intent")}
        done = []
        for entry in self.entries("outcome"):
            intent = intents[entry["sweep"], entry["batch"]]
            if "committed" in (entry["outcome"], entry.get("result")) and action in (None, intent["action"]):
                counted = intent if entry["outcome"] == "settled" else entry  # who settles knows no numbers but the intent's
                done.append((intent["rule"], intent["target"], counted["records"], counted["dependents"]))
        return done


class Daemon:
    """A running lapsed."""

    def __init__(self, config, journal, environment=None, wrapper=()):
        self.journal, self.log, self.lines = journal, "", threading.Condition()
        self.process = subprocess.Popen([*wrapper, LAPSED, "-c", str(config)], env=environment, text=True, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            with self.lines:
                self.log += line
                self.lines.notify_all()

    def send(self, number):
        self.process.send_signal(number)

    def wait_for(self, event, count=1, deadline=DEADLINE, **fields):
        """Until the journal has that many such entries; returns them."""
        def there():
            found = self.journal.entries(event, **fields)
            return found if len(found) >= count else None
        return self.until(there, f"{count} x {event} {fields} in the journal", deadline)

    def wait_for_log(self, text, deadline=DEADLINE):
        with self.lines:
            if not self.lines.wait_for(lambda: text in self.log or self.process.poll() is not None, deadline) or text not in self.log:
                raise AssertionError(f"no \"{text}\" in the log:\n{self.log}")

    def until(self, condition, what, deadline=DEADLINE):
        end = time.monotonic() + deadline
        while time.monotonic() < end:
            if result := condition():
                return result
            assert self.process.poll() is None, f"lapsed ended with {self.process.returncode} before {what}:\n{self.log}"
            time.sleep(0.02)
        raise AssertionError(f"no {what} after {deadline} s; the log:\n{self.log}")

    def sweep(self):
        """USR1, and the sweep-end entry that answers it."""
        before = len(self.journal.entries("sweep-end"))
        self.send(signal.SIGUSR1)
        return self.wait_for("sweep-end", before + 1)[-1]

    def stop(self, number=signal.SIGTERM):
        """The exit status after this signal."""
        if self.process.poll() is None:
            self.send(number)
        status = self.process.wait(timeout=DEADLINE)
        self.reader.join(timeout=DEADLINE)
        return status


def preloads(library):
    """LD_PRELOAD for a library; AddressSanitizer's own, where the programs have it, must come first."""
    linked = subprocess.run(["ldd", LAPSED], text=True, check=True, stdout=subprocess.PIPE).stdout
    first = [line.split()[2] for line in linked.splitlines() if "libasan" in line]
    return " ".join([*first, library])


def fake_clock(environment, folder, offset):
    """An environment in which the wall clock is off by `offset` ("+40d"); the second result changes it later."""
    file = Path(folder) / "faketime"
    file.write_text(offset)
    changed = {**environment, "LD_PRELOAD": preloads(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(file), "FAKETIME_NO_CACHE": "1",
               "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    return changed, file.write_text
