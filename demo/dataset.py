"""Data of a product in memory, and a sweep over it: what the oracle works on instead of databases."""
import copy
from collections import Counter


class Table:
    """Rows by identity. `target` is what the schedule calls it, where that differs (kb_1042 is "kb_{tenant}")."""

    def __init__(self, store, key, target=None):
        self.store, self.key, self.target, self.rows = store, key, target, {}


class Dataset:
    def __init__(self):
        self.tables = {}
        self.references = []  # foreign keys: (child table, child column, parent table)
        self.serial = 0

    def table(self, name, store, *key, target=None, references=()):
        self.tables[name] = Table(store, key, target or name)
        self.references += [(name, column, parent) for column, parent in references]

    def add(self, name, /, **row):
        table = self.tables[name]
        identity = tuple(row[column] for column in table.key)
        assert identity not in table.rows, (name, identity)
        table.rows[identity] = row
        return row

    def next(self):
        """A number for the next row, unique over all tables."""
        self.serial += 1
        return self.serial

    def rows(self, name):
        return list(self.tables[name].rows.values())


class Masked:
    """A value that was anonymized where the exact result is the daemon's choice: says whether one is acceptable."""

    def __init__(self, what, original, acceptable):
        self.what, self.original, self.acceptable = what, original, acceptable

    def __repr__(self):
        return f"<{self.what}>"


class Sweep:
    """Carries out rules on a copy of the data, record by record, until nothing changes: slow and plain on purpose."""

    def __init__(self, dataset):
        self.data = copy.deepcopy(dataset)
        self.purged, self.anonymized, self.blocked = Counter(), Counter(), Counter()  # by (rule, table)
        self.changed = False
        self.done = set()
        self.children = {}
        for child, column, parent in self.data.references:
            index = {}
            for identity, row in self.data.tables[child].rows.items():
                if row[column] is not None:
                    index.setdefault(row[column], set()).add(identity)
            self.children.setdefault(parent, []).append((child, index))

    def until_settled(self, carry_out):
        while True:
            self.changed = False
            self.blocked.clear()
            carry_out(self)
            if not self.changed:
                return self

    def _closure(self, table, identity, dependents, found):
        """The record and its declared dependents, at any depth."""
        if (table, identity) in found:
            return
        found.append((table, identity))
        for child, index in self.children.get(table, ()):
            if child in dependents:
                for child_identity in index.get(identity[0], ()):
                    if child_identity in self.data.tables[child].rows:
                        self._closure(child, child_identity, dependents, found)

    def _referenced_from_outside(self, found):
        inside = set(found)
        for table, identity in found:
            for child, index in self.children.get(table, ()):
                for child_identity in index.get(identity[0], ()):
                    if child_identity in self.data.tables[child].rows and (child, child_identity) not in inside:
                        return True
        return False

    def purge(self, rule, table, identity, dependents=()):
        """Destroys the record and what depends on it. False: something else still refers to it, nothing was done."""
        found = []
        self._closure(table, identity, dependents, found)
        if self._referenced_from_outside(found):
            self.blocked[rule, table] += 1
            return False
        for name, one in found:
            del self.data.tables[name].rows[one]
            self.purged[rule, name] += 1
        self.changed = True
        return True

    def anonymize(self, rule, table, identity, change, purged_dependents=()):
        """Changes the record once; `change` gets the row. The named dependents are destroyed."""
        if (table, identity) in self.done:
            return
        self.done.add((table, identity))
        self.changed = True
        found = []
        self._closure(table, identity, purged_dependents, found)
        for name, one in found[1:]:
            del self.data.tables[name].rows[one]
            self.purged[rule, name] += 1
        change(self.data.tables[table].rows[identity])
        self.anonymized[rule, table] += 1
