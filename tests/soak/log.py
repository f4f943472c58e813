"""What the writers did, acknowledged or not: the soak's memory, which the daemon never sees."""
import json
import threading
import time


class Write:
    """A value that was written between two moments; `known`: the server said so. If not, it may count from `begin` on, or never."""
    __slots__ = ("begin", "end", "value", "known")

    def __init__(self, begin, end, value, known):
        self.begin, self.end, self.value, self.known = begin, end, value, known


class History:
    """The values of one thing, written one after the other."""
    __slots__ = ("writes",)

    def __init__(self):
        self.writes = []

    def possible(self, low, high):
        """All values that it may have had at some moment between the two."""
        found = set()
        for number, write in enumerate(self.writes):
            if write.begin > high:
                break
            until = next((later.end for later in self.writes[number + 1:] if later.known), float("inf"))
            if until >= low:
                found.add(write.value)
        return found


class Record:
    """`name` is what its evidence is about: store, target, key. `anchor`: a History of instants, None where a tenant's end counts;
    `parent`: the record that it goes with."""
    __slots__ = ("name", "tenant", "rule", "anchor", "parent", "certain")

    def __init__(self, name, tenant, rule, anchor=None, parent=None):
        self.name, self.tenant, self.rule, self.anchor, self.parent, self.certain = name, tenant, rule, anchor, parent, False


class Tenant:
    def __init__(self):
        self.ends, self.periods = History(), History()


class Log:
    def __init__(self, path):
        self.file, self.lock = open(path, "w"), threading.Lock()
        self.records, self.tenants = {}, {}
        self.counts = {"written": 0, "updated": 0, "refused": 0, "unanswered": 0}
        self.holds, self.pauses = [], []

    def note(self, what, **fields):
        with self.lock:
            self.file.write(json.dumps({"time": time.time(), "what": what, **fields}) + "\n")

    def attempt(self, act, refused=(), lost=()):
        """(begin, end, the answer, known): the answer is None where the server refused; known is False where nobody can tell."""
        begin = time.time()
        try:
            answer, known = act(), True
        except refused:
            answer, known = None, True
            self.counts["refused"] += 1
        except lost:
            answer, known = None, False
            self.counts["unanswered"] += 1
        return begin, time.time(), answer, known

    def insert(self, records, attempted):
        """New records, all written in one step. records: [(Record, its anchor's value), ...]"""
        begin, end, answer, known = attempted
        if known and answer is None:
            return
        for record, value in records:
            record.certain = known
            if value is not NOTHING:
                record.anchor = History()
                record.anchor.writes.append(Write(begin, end, value, known))
            self.records[record.name] = record
            self.note("insert", record=record.name, tenant=record.tenant, anchor=None if value is NOTHING else value, known=known)
        self.counts["written"] += len(records) * known

    def update(self, history, value, attempted, about):
        begin, end, answer, known = attempted
        if known and not answer:
            return  # it was not there any more
        history.writes.append(Write(begin, end, value, known))
        self.note("update", of=about, value=value, begin=begin, known=known)
        self.counts["updated"] += known


NOTHING = object()  # no anchor of its own
