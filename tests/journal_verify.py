#!/usr/bin/python3
"""Verifies a journal of lapsed by itself: written from lapsed-journal(5), RFC 6962 and C2SP's signed-note alone, with the standard
library and the openssl command.

    tests/journal_verify.py FOLDER [--vkey FILE] [--checkpoint FILE] [--max-age TIME]

Exits as `lapsectl journal verify` does: 0 whole and signed, 1 altered, 2 whole but unsigned at its end, 3 shorter than a checkpoint
or older than TIME, 64 usage, 74 no journal. Faults go to stdout."""
import argparse
import base64
import calendar
import datetime
import functools
import hashlib
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

# The fields of each event, in their order, as lapsed-journal(5) has them.
TEXT, TEXT_OR_NULL, INTEGER, INSTANT_OR_NULL, LEFT_OUT_IF_EMPTY, MODE = "text", "text or null", "integer", "instant or null", "text, if any", "mode"
TEXTS = [TEXT]
RULES = [{"data": TEXT, "keep": TEXT, "anonymize": TEXT_OR_NULL, "at_least": TEXT_OR_NULL, "basis": TEXT}]
RESULTS = [{"data": TEXT, "purged": INTEGER, "anonymized": INTEGER, "dependents": INTEGER, "blocked": INTEGER, "undecidable": INTEGER,
            "left": INTEGER, "lag_us": INTEGER}]
REMOVED = [{"file": TEXT, "first_seq": INTEGER, "last_seq": INTEGER, "sha256": TEXT, "root": TEXT}]
TENANTS = [(TEXT, INTEGER, INSTANT_OR_NULL)]
EVENTS = {
    "start": {"version": TEXT, "keys": TEXTS},
    "stop": {"trigger": TEXT},
    "schedule": {"schedule": TEXT, "rules": RULES},
    "sweep-begin": {"sweep": INTEGER, "trigger": TEXT, "tenants_total": INTEGER},
    "intent": {"sweep": INTEGER, "batch": INTEGER, "rule": TEXT, "store": TEXT, "target": TEXT, "action": TEXT, "from": TEXT_OR_NULL,
               "tenants": TENANTS, "records": INTEGER, "dependents": INTEGER, "mode": MODE, "evidence": TEXT_OR_NULL,
               "transaction": LEFT_OUT_IF_EMPTY, "server": LEFT_OUT_IF_EMPTY, "schedule": TEXT},
    "outcome": {"sweep": INTEGER, "batch": INTEGER, "outcome": TEXT, "result": TEXT_OR_NULL, "records": INTEGER, "dependents": INTEGER,
                "code": TEXT_OR_NULL, "detail": TEXT_OR_NULL},
    "finding": {"sweep": INTEGER, "code": TEXT, "rule": TEXT_OR_NULL, "store": TEXT_OR_NULL, "target": TEXT_OR_NULL, "tenant": TEXT_OR_NULL,
                "count": INTEGER},
    "hold": {"id": TEXT, "outcome": TEXT, "author": INTEGER, "scope": TEXT, "tenant": TEXT_OR_NULL, "rule": TEXT_OR_NULL, "ground": TEXT,
             "since": INSTANT_OR_NULL, "released": INSTANT_OR_NULL, "request": TEXT, "members": TEXTS},
    "release": {"id": TEXT, "author": INTEGER, "hold": TEXT, "request": TEXT},
    "pause": {"id": TEXT, "outcome": TEXT, "author": INTEGER, "ground": TEXT, "since": INSTANT_OR_NULL, "request": TEXT},
    "resume": {"id": TEXT, "author": INTEGER, "request": TEXT},
    "approve": {"id": TEXT, "outcome": TEXT, "author": INTEGER, "rule": TEXT_OR_NULL, "tenant": TEXT_OR_NULL, "digest": TEXT,
                "since": INSTANT_OR_NULL, "request": TEXT},
    "clock": {"id": TEXT, "author": INTEGER, "latest": INSTANT_OR_NULL, "request": TEXT},
    "refuse": {"id": TEXT_OR_NULL, "author": INTEGER, "code": TEXT, "request": TEXT_OR_NULL},
    "wait": {"sweep": INTEGER, "store": TEXT_OR_NULL, "code": TEXT, "since": INSTANT_OR_NULL},
    "sweep-end": {"sweep": INTEGER, "outcome": TEXT, "results": RESULTS},
    "recover": {"cut_bytes": INTEGER, "cut_sha256": TEXT, "cut_file": TEXT_OR_NULL},
    "segment": {"origin": TEXT, "previous": TEXT, "frontier": TEXTS},
    "checkpoint": {"origin": TEXT, "size": INTEGER, "root": TEXT, "signatures": TEXTS},
    "prune": {"removed": REMOVED},
}
MOST_LINE, MOST_TEXT, MOST_NAME, MOST_SIGNATURES, MOST_SEQ = 16383, 1500, 127, 16, 999999999999999
INSTANT = re.compile("([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})\\.[0-9]{6}Z")
HASH = re.compile("[0-9a-f]{64}")
NAME = re.compile("[!-*,-~]{1,%d}" % MOST_NAME)
CLOSED = re.compile("journal-([0-9]{12}|[1-9][0-9]{12,})\\.jsonl")
SPKI_ED25519 = bytes.fromhex("302a300506032b6570032100")


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def append(tree, leaf):
    """tree: [(leaves, root of that complete subtree), ...], the largest first."""
    tree.append((1, leaf))
    while len(tree) > 1 and tree[-1][0] == tree[-2][0]:
        (size, right), (_, left) = tree.pop(), tree.pop()
        tree.append((2 * size, sha256(b"\x01", left, right)))


def root(tree):
    if not tree:
        return sha256()
    result = tree[-1][1]
    for _, left in reversed(tree[:-1]):
        result = sha256(b"\x01", left, result)
    return result


def tree_of(size, frontier):
    widths = [1 << bit for bit in range(62, -1, -1) if size >> bit & 1]
    if len(widths) != len(frontier) or not all(map(HASH.fullmatch, frontier)):
        raise ValueError("the frontier cannot be right")
    return [(width, bytes.fromhex(text)) for width, text in zip(widths, frontier)]


def strict_pairs(pairs):
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def escaped(match):
    return {"\n": "\\n", "\t": "\\t", '"': '\\"', "\\": "\\\\"}.get(match[0], f"\\u{ord(match[0]):04x}")


def written(value):
    """The one form in which the daemon writes a value."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{written(key)}:{written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    if isinstance(value, str):
        return '"' + re.sub('[\x01-\x1f"\\\\\x7f]', escaped, value) + '"'
    return "null" if value is None else str(value)


def is_text(value):
    return type(value) is str and "\0" not in value and len(written(value).encode()) <= MOST_TEXT


def is_integer(value):
    return type(value) is int and -1 << 63 <= value < 1 << 63


def is_instant(value):
    match = INSTANT.fullmatch(value) if type(value) is str else None
    if not match:
        return False
    year, month, day, hour, minute, second = map(int, match.groups())
    return 1 <= month <= 12 and 1 <= day <= calendar.monthrange(year or 2000, month)[1] and hour < 24 and minute < 60 and second < 60


CHECKS = {TEXT: is_text, INTEGER: is_integer, TEXT_OR_NULL: lambda value: value is None or is_text(value),
          INSTANT_OR_NULL: lambda value: value is None or is_instant(value), LEFT_OUT_IF_EMPTY: lambda value: is_text(value) and value != "",
          MODE: lambda value: value in ("each", "range")}


def fits(value, kind):
    if isinstance(kind, str):
        return CHECKS[kind](value)
    if isinstance(kind, dict):
        return type(value) is dict and list(value) == list(kind) and all(fits(value[key], kind[key]) for key in kind)
    if type(value) is not list:
        return False
    if isinstance(kind, tuple):
        return len(value) == len(kind) and all(map(fits, value, kind))
    return all(fits(item, kind[0]) for item in value)


def read_entry(line):
    """Only what the daemon writes is an entry."""
    if len(line) > MOST_LINE:
        raise ValueError("a line is too long")
    entry = json.loads(line.decode(), object_pairs_hook=strict_pairs)
    fields = EVENTS.get(entry["event"])
    if fields is None:
        raise ValueError("an unknown event")
    kinds = {"v": INTEGER, "seq": INTEGER, "time": INSTANT_OR_NULL, "event": TEXT}
    kinds.update({key: kind for key, kind in fields.items() if kind != LEFT_OUT_IF_EMPTY or key in entry})
    divided = "part" in entry and any(isinstance(kind, list) for kind in fields.values())
    if divided:
        kinds.update({"part": INTEGER, "parts": INTEGER})
    kinds["hash"] = TEXT
    if not fits(entry, kinds) or written(entry).encode() != line:
        raise ValueError("no entry: a field is missing, unknown, of another type, out of its place or written otherwise")
    if entry["v"] != 1 or entry["seq"] < 1 or entry["time"] is None or not HASH.fullmatch(entry["hash"]):
        raise ValueError("no entry: its version, number, time or hash cannot be")
    if divided and not 1 <= entry["part"] <= entry["parts"] >= 2:
        raise ValueError("no entry: such a part there cannot be")
    return entry


def read_root(text):
    root = base64.b64decode(text, validate=True)
    if base64.b64encode(root).decode() != text or len(root) != 32:
        raise ValueError("no root")
    return root


class Note:
    def __init__(self, text):
        head, blank, tail = text.partition("\n\n")
        lines, signatures = head.split("\n"), tail.split("\n")
        if not blank or len(lines) != 3 or signatures.pop() or not 1 <= len(signatures) <= MOST_SIGNATURES:
            raise ValueError("no checkpoint")
        if not NAME.fullmatch(lines[0]) or not re.fullmatch("0|[1-9][0-9]{0,18}", lines[1]) or not is_integer(int(lines[1])):
            raise ValueError("no checkpoint: its origin or size cannot be")
        self.body, self.origin, self.size, self.root = head + "\n", lines[0], int(lines[1]), read_root(lines[2])
        self.signatures = []
        for line in signatures:
            match = re.fullmatch("\u2014 (%s) ([A-Za-z0-9+/]+=*)" % NAME.pattern, line)
            raw = base64.b64decode(match[2], validate=True) if match else b""
            if len(raw) < 5 or base64.b64encode(raw).decode() != match[2]:
                raise ValueError("no signature")
            self.signatures.append((match[1], raw[:4], raw[4:]))

    def verdict(self, keys):
        """True: signed by one of the keys; None: by none of them; False: forged."""
        result = None
        for name, key_id, signature in self.signatures:
            for key in keys:
                if (name, key_id) != key[:2]:
                    continue
                if not openssl_accepts(key[2], self.body.encode(), signature):
                    return False
                result = True
        return result


@functools.lru_cache(maxsize=None)
def openssl_accepts(public, message, signature):
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, name) for name in ("key", "message", "signature")]
        for path, content in zip(paths, (SPKI_ED25519 + public, message, signature)):
            path.write_bytes(content)
        return not subprocess.run(["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER", "-inkey", paths[0],
                                   "-in", paths[1], "-sigfile", paths[2]], capture_output=True).returncode


def read_keys(path):
    keys = []
    for line in Path(path).read_text().split("\n"):
        if not line or line.startswith("#"):
            continue
        name, key_id, raw = line.split("+", 2)
        raw = base64.b64decode(raw, validate=True)
        if sha256(name.encode(), b"\n", raw)[:4].hex() != key_id or raw[0] != 1 or len(raw) != 33:
            raise SystemExit(f"{path}: no vkey")
        keys.append((name, bytes.fromhex(key_id), raw[1:]))
    return keys


class Verification:
    def __init__(self, keys, points):
        self.keys, self.points = keys, points  # points: {size: root} to be met on the way
        self.faults, self.met, self.removed = [], {}, []
        self.seq, self.hash, self.tree, self.origin, self.time = None, None, None, None, None
        self.first, self.first_root, self.signed_size, self.signed_seq, self.signed_time, self.checkpoints = None, None, 0, 0, None, 0
        self.pruned_by = 0

    def fault(self, where, what):
        self.faults.append(f"{where}: {what}")

    def meet(self):
        if self.seq in self.points:
            self.met[self.seq] = root(self.tree)

    def begin(self, entry):
        if entry["event"] != "segment":
            raise ValueError("the file does not begin with a segment entry")
        tree = tree_of(entry["seq"] - 1, entry["frontier"])
        if not NAME.fullmatch(entry["origin"]) or not HASH.fullmatch(entry["previous"]) or (entry["seq"] == 1 and entry["previous"] != 64 * "0"):
            raise ValueError("the segment's origin or previous hash cannot be right")
        if self.seq is None:
            self.seq, self.hash, self.tree, self.origin = entry["seq"] - 1, entry["previous"], tree, entry["origin"]
            self.first, self.first_root = entry["seq"], root(tree)
            self.meet()
        elif (entry["seq"] - 1, entry["previous"], tree, entry["origin"]) != (self.seq, self.hash, self.tree, self.origin):
            raise ValueError("the segment does not continue the one before it")

    def checkpoint(self, entry):
        lines = [entry["origin"], str(entry["size"]), entry["root"], "", *entry["signatures"], ""]
        if any("\n" in line for line in lines):
            raise ValueError("no checkpoint: a line feed")
        note = Note("\n".join(lines))
        if note.size != entry["seq"] - 1 or note.origin != self.origin or note.root != root(self.tree):
            raise ValueError("the checkpoint is not of the entries before it")
        self.checkpoints += 1
        verdict = note.verdict(self.keys)
        if verdict is False:
            raise ValueError("a signature is wrong")
        if verdict:
            self.signed_size, self.signed_seq, self.signed_time = note.size, entry["seq"], self.time

    def line(self, line, first):
        entry = read_entry(line)
        if first:
            self.begin(entry)
        elif entry["event"] == "segment":
            raise ValueError("a segment entry within a segment")
        if entry["seq"] > MOST_SEQ:
            raise ValueError("no number of an entry")
        if entry["seq"] != self.seq + 1:
            raise ValueError(f"entry {entry['seq']} stands where {self.seq + 1} belongs")
        if sha256(self.hash.encode(), line[:-66]).hex() != entry["hash"]:
            raise ValueError("the hash does not fit")
        if entry["event"] == "checkpoint":
            self.checkpoint(entry)
        if entry["event"] == "prune":
            self.removed += [{**one, "root": read_root(one["root"]), "by": entry["seq"]} for one in entry["removed"]]
        append(self.tree, sha256(b"\x00", line))
        self.seq, self.hash, self.time = entry["seq"], entry["hash"], entry["time"]
        self.meet()

    def file(self, path):
        lines = path.read_bytes().split(b"\n")
        if lines.pop() or (not lines and path.name != "journal.jsonl"):
            self.fault(path.name, "it does not end with a whole line")
        named = CLOSED.fullmatch(path.name)
        for number, line in enumerate(lines, 1):
            try:
                self.line(line, number == 1)
                if number == 1 and named and int(named[1]) != self.seq:
                    raise ValueError("the file's name is of another entry")
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                self.fault(f"{path.name} line {number}", error)
                return False  # what follows builds on this line
        return True

    def beginning(self):
        if self.first in (None, 1):
            return
        for one in self.removed:
            if one["last_seq"] == self.first - 1 and one["root"] == self.first_root:
                if self.signed_seq and one["by"] > self.signed_size:  # nothing is removed before that entry is signed
                    self.fault("the first file", "the prune entry that accounts for what is missing is not signed")
                self.pruned_by = one["by"]
                return
        self.fault("the first file", f"entries 1 to {self.first - 1} are missing, and no prune entry accounts for that")


def segments(folder, faults):
    """The closed segments in their order."""
    closed = []
    for path in folder.iterdir() if folder.is_dir() else []:
        match = CLOSED.fullmatch(path.name)
        if match and 0 < int(match[1]) <= MOST_SEQ:
            closed.append((int(match[1]), path))
        elif path.name != "journal.jsonl" and path.name.startswith("journal") and path.name.endswith(".jsonl"):
            faults.append(f"{path.name}: it is no segment of this journal")
    return [path for _, path in sorted(closed)]


def age_of(time):
    return datetime.datetime.now(datetime.timezone.utc) - datetime.datetime.fromisoformat(time.replace("Z", "+00:00"))


def is_file(path):
    """Nothing else is read, nor waited for; a segment is no link either."""
    return (path.name == "checkpoint" or not path.is_symlink()) and (path.is_file() or not path.exists())


def verify(folder, keys, older, most_age=None):
    own_file, own, faults = folder / "checkpoint", None, []
    for path in [*segments(folder, []), folder / "journal.jsonl", own_file]:
        if not is_file(path):
            print(f"{path.name} is not a regular file")
            return 74
    if own_file.exists():
        try:
            own = Note(own_file.read_bytes().decode())
        except ValueError as error:
            faults.append(f"checkpoint: {error}")
    closed, opened = segments(folder, faults), folder / "journal.jsonl"
    if closed and opened.exists() and opened.samefile(closed[-1]):
        closed.pop()  # it is just being closed
    files = [*closed, opened]
    if not closed and not files[-1].exists():
        print("no journal")
        return 74
    points = {note.size: note.root for note in (own, older) if note}
    verification = Verification(keys, points)
    if not files[-1].exists():
        faults.append("journal.jsonl is missing")
        files.pop()
    whole = all(verification.file(path) for path in files)
    if whole:
        verification.beginning()
    faults += verification.faults
    if not own_file.exists() and verification.checkpoints > 1:  # a crash can come before the first one, but not twice
        faults.append("the file checkpoint is missing")
    short = False
    for note in (own, older):
        if note is None:
            continue
        if note.verdict(keys) is False or (verification.origin and note.origin != verification.origin):
            faults.append("a checkpoint is forged, or of another log")
        elif note is own and note.size < max(verification.pruned_by, (verification.first or 1) - 1):
            faults.append("the file checkpoint is older than the removal of what is missing")  # which comes when that is signed
        elif note.size in verification.met:
            if verification.met[note.size] != note.root:
                faults.append("the journal does not begin with what a checkpoint covers")
            if note is own and note.size <= verification.signed_seq and note.verdict(keys) is None:
                faults.append("the file checkpoint is not signed by the keys that signed the journal")
        else:
            short = True
    print("\n".join(faults))
    if faults:
        return 1
    if short or (most_age is not None and verification.signed_time and age_of(verification.signed_time) > most_age):
        return 3
    return 0 if verification.seq and verification.signed_seq == verification.seq else 2


def read_age(text):
    match = re.fullmatch(" *([0-9]+) *(second|minute|hour|day|week|month|year)s? *", text)
    count, unit = (int(match[1]), match[2]) if match else (0, None)
    months = count * {"month": 1, "year": 12}.get(unit, 0)
    if not count or months > 12000 or (not months and count > 366000 * 86400):
        raise argparse.ArgumentTypeError('write a time like "3 hours" or "1 day"')
    if months:  # by the calendar, from 1970 on
        return datetime.date(1970 + months // 12, 1 + months % 12, 1) - datetime.date(1970, 1, 1)
    return datetime.timedelta(**{unit + "s": count})


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--vkey")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--max-age", type=read_age)
    try:
        arguments = parser.parse_args(words)
        older = Note(arguments.checkpoint.read_bytes().decode()) if arguments.checkpoint else None
        keys = read_keys(arguments.vkey) if arguments.vkey else []
    except (SystemExit, ValueError) as error:
        if isinstance(error, SystemExit) and not error.code:
            raise
        print(error, file=sys.stderr)
        return 64
    return verify(arguments.folder, keys, older, arguments.max_age)


if __name__ == "__main__":
    sys.exit(main())
