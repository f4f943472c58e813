#!/usr/bin/python3
"""Verifies a journal of lapsed by itself: written from lapsed-journal(5), RFC 6962 and C2SP's signed-note alone, with the standard
library and the openssl command.

    tests/journal_verify.py FOLDER [--vkey FILE] [--checkpoint FILE]

Exits as `lapsectl journal verify` does: 0 whole and signed, 1 altered, 2 whole but unsigned at its end, 3 shorter than a checkpoint,
74 no journal. Faults go to stdout."""
import argparse
import base64
import hashlib
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

EVENTS = {"start", "stop", "schedule", "sweep-begin", "sweep-end", "intent", "outcome", "finding", "recover", "segment", "checkpoint", "prune",
          "hold", "release", "pause", "resume", "refuse", "approve", "clock", "wait"}
LINE = re.compile(rb'\{"v":1,"seq":[1-9][0-9]*,"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z","event":"[a-z-]+".*,"hash":"[0-9a-f]{64}"\}')
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
    if len(widths) != len(frontier):
        raise ValueError("the frontier has the wrong length")
    return [(width, bytes.fromhex(text)) for width, text in zip(widths, frontier)]


def strict_pairs(pairs):
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


class Note:
    def __init__(self, text):
        head, blank, tail = text.partition("\n\n")
        lines, signatures = head.split("\n"), tail.split("\n")
        if not blank or len(lines) != 3 or signatures.pop() or not signatures or not re.fullmatch("0|[1-9][0-9]*", lines[1]):
            raise ValueError("no checkpoint")
        self.body, self.origin, self.size, self.root = head + "\n", lines[0], int(lines[1]), base64.b64decode(lines[2], validate=True)
        if base64.b64encode(self.root).decode() != lines[2] or len(self.root) != 32:
            raise ValueError("no root")
        self.signatures = []
        for line in signatures:
            match = re.fullmatch("\u2014 ([!-*,-~]+) ([A-Za-z0-9+/]+=*)", line)
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


def openssl_accepts(public, message, signature):
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, name) for name in ("key", "message", "signature")]
        for path, content in zip(paths, (SPKI_ED25519 + public, message, signature)):
            path.write_bytes(content)
        return not subprocess.run(["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER", "-inkey", paths[0],
                                   "-in", paths[1], "-sigfile", paths[2]], capture_output=True).returncode


def read_keys(path):
    keys = []
    for line in Path(path).read_text().splitlines():
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
        self.seq, self.hash, self.tree, self.origin = None, None, None, None
        self.first, self.first_root, self.signed_size, self.signed_seq, self.checkpoints = None, None, 0, 0, 0

    def fault(self, where, what):
        self.faults.append(f"{where}: {what}")

    def meet(self):
        if self.seq in self.points:
            self.met[self.seq] = root(self.tree)

    def begin(self, where, entry):
        if entry["event"] != "segment":
            raise ValueError("the file does not begin with a segment entry")
        tree = tree_of(entry["seq"] - 1, entry["frontier"])
        if self.seq is None:
            self.seq, self.hash, self.tree, self.origin = entry["seq"] - 1, entry["previous"], tree, entry["origin"]
            self.first, self.first_root = entry["seq"], root(tree)
            self.meet()
        elif (entry["seq"] - 1, entry["previous"], tree, entry["origin"]) != (self.seq, self.hash, self.tree, self.origin):
            raise ValueError("the segment does not continue the one before it")

    def checkpoint(self, entry):
        lines = [entry["origin"], str(entry["size"]), entry["root"], "", *entry["signatures"], ""]
        note = Note("\n".join(lines))
        if note.size != entry["seq"] - 1 or note.origin != self.origin or note.root != root(self.tree):
            raise ValueError("the checkpoint is not of the entries before it")
        self.checkpoints += 1
        verdict = note.verdict(self.keys)
        if verdict is False:
            raise ValueError("a signature is wrong")
        if verdict:
            self.signed_size, self.signed_seq = note.size, entry["seq"]

    def line(self, line, first):
        if not LINE.fullmatch(line) or len(line) > 16383:
            raise ValueError("no entry")
        entry = json.loads(line, object_pairs_hook=strict_pairs)
        if entry["event"] not in EVENTS:
            raise ValueError("an unknown event")
        if first:
            self.begin(line, entry)
        elif entry["event"] == "segment":
            raise ValueError("a segment entry within a segment")
        if entry["seq"] != self.seq + 1:
            raise ValueError(f"entry {entry['seq']} stands where {self.seq + 1} belongs")
        if sha256(self.hash.encode(), line[:-66]).hex() != entry["hash"]:
            raise ValueError("the hash does not fit")
        if entry["event"] == "checkpoint":
            self.checkpoint(entry)
        if entry["event"] == "prune":
            self.removed += [{**one, "by": entry["seq"]} for one in entry["removed"]]
        append(self.tree, sha256(b"\x00", line))
        self.seq, self.hash = entry["seq"], entry["hash"]
        self.meet()

    def file(self, path):
        lines = path.read_bytes().split(b"\n")
        if lines.pop() or (not lines and path.name != "journal.jsonl"):
            self.fault(path.name, "it does not end with a whole line")
        named = re.fullmatch(r"journal-(\d{12,})\.jsonl", path.name)
        for number, line in enumerate(lines, 1):
            try:
                self.line(line, number == 1)
                if number == 1 and named and int(named[1]) != self.seq:
                    raise ValueError("the file's name is of another entry")
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                self.fault(f"{path.name} line {number}", error)
                return False  # what follows builds on this line
        return True

    def beginning(self):
        if self.first in (None, 1):
            return
        for one in self.removed:
            if one["last_seq"] == self.first - 1 and base64.b64decode(one["root"]) != self.first_root:
                self.fault("the first file", "its frontier is not that of what was removed")
                return
            if one["last_seq"] == self.first - 1 or one["first_seq"] == self.first:
                if self.signed_seq and one["by"] > self.signed_size:  # nothing is removed before that entry is signed
                    self.fault("the first file", "the prune entry that accounts for what is missing is not signed")
                return
        self.fault("the first file", f"entries 1 to {self.first - 1} are missing, and no prune entry accounts for that")


def verify(folder, keys, older):
    closed, opened = sorted(folder.glob("journal-*.jsonl"), key=lambda path: path.name), folder / "journal.jsonl"
    if closed and opened.exists() and opened.samefile(closed[-1]):
        closed.pop()  # it is just being closed
    files = [*closed, opened]
    if not closed and not files[-1].exists():
        print("no journal")
        return 74
    own_file, own, faults = folder / "checkpoint", None, []
    if own_file.exists():
        try:
            own = Note(own_file.read_bytes().decode())
        except ValueError as error:
            faults.append(f"checkpoint: {error}")
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
    if short:
        return 3
    return 0 if verification.seq and verification.signed_seq == verification.seq else 2


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--vkey")
    parser.add_argument("--checkpoint", type=Path)
    arguments = parser.parse_args()
    older = Note(arguments.checkpoint.read_text()) if arguments.checkpoint else None
    return verify(arguments.folder, read_keys(arguments.vkey) if arguments.vkey else [], older)


if __name__ == "__main__":
    sys.exit(main())
