#!/usr/bin/python3
"""Compares the stores with the oracle, record by record:  demo/compare.py FOLDER [--journal JOURNAL-FOLDER]

FOLDER/loaded.json says what was loaded. With a journal the oracle is asked for the moment at which its last sweep began, and
the journal's own numbers are compared too. Exits 1 on any difference."""
import argparse
import json
import os
import sys
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from demo import stores  # noqa: E402
from demo.dataset import Masked  # noqa: E402
from demo.load import product  # noqa: E402

SHOWN = 5


class Comparison:
    """The result for one table: what was destroyed, changed and kept, and every difference from what was expected."""

    def __init__(self, name, table):
        self.name, self.target, self.store = name, table.target, table.store
        self.destroyed = self.anonymized = self.kept = 0
        self.differences = []


def differing_columns(expected, actual, pseudonyms):
    """Columns whose value is not what was expected. Equal originals must have equal pseudonyms, others different ones."""
    wrong = []
    for column in expected.keys() | actual.keys():
        want, have = expected.get(column), actual.get(column)
        if not isinstance(want, Masked):
            if want != have:
                wrong.append(column)
            continue
        try:
            fits = have is not None and bool(want.acceptable(have))
        except (TypeError, ValueError):
            fits = False
        if fits and want.what == "pseudonym":
            fits = pseudonyms.setdefault(("of", want.original), have) == have and pseudonyms.setdefault(("by", have), want.original) == want.original
        if not fits:
            wrong.append(column)
    return wrong


def compare_table(name, loaded, expected, actual):
    """`loaded` and `expected` are Tables, `actual` rows by identity."""
    result, pseudonyms = Comparison(name, loaded), {}
    for identity, row in loaded.rows.items():
        wanted, there = expected.rows.get(identity), actual.get(identity)
        if there is None:
            result.destroyed += 1
            if wanted is not None:
                result.differences.append(f"{identity}: destroyed, should have stayed")
            continue
        if there == row:
            result.kept += 1
        else:
            result.anonymized += 1
        if wanted is None:
            result.differences.append(f"{identity}: still there, should have been destroyed")
        elif wrong := differing_columns(wanted, there, pseudonyms):
            result.differences.append(f"{identity}: not as expected in {', '.join(sorted(wrong))}")
    for identity in actual.keys() - loaded.rows.keys():
        result.differences.append(f"{identity}: was never loaded")
    return result


def read_all(module, dataset, environment, database, redis_number):
    """{table: rows by identity} of every store of the product."""
    found = {}
    for store, kind in module.STORES.items():
        connection = (stores.Postgresql(environment, database) if kind == "postgresql" else
                      stores.Mongodb(environment, database) if kind == "mongodb" else stores.Redis(environment, redis_number))
        for name, table in dataset.tables.items():
            if table.store == store:
                found[name] = connection.read(name, table)
        connection.close()
    return found


def compare(name, dataset, now, environment, redis_number, database=None):
    """(the oracle's sweep, comparisons of all tables)"""
    module = product(name)
    sweep = module.expect(dataset, now)
    actual = read_all(module, dataset, environment, database or name, redis_number)
    return sweep, [compare_table(table, dataset.tables[table], sweep.data.tables[table], actual[table]) for table in dataset.tables]


# ---- the journal ----

def read_journal(folder):
    paths = sorted(Path(folder).glob("journal-*.jsonl"), key=lambda path: int(path.stem.split("-")[1])) + [Path(folder) / "journal.jsonl"]
    return [json.loads(line) for path in paths if path.exists() for line in path.read_text().splitlines()]


def journal_totals(entries):
    """Records and dependents that the journal says were destroyed, by rule: committed or settled as committed."""
    intents, totals = {}, Counter()
    for entry in entries:
        if entry["event"] == "intent":
            intents[entry["sweep"], entry["batch"]] = entry
        elif entry["event"] == "outcome":
            intent = intents[entry["sweep"], entry["batch"]]
            if intent["action"] == "purge" and "committed" in (entry["outcome"], entry.get("result")):
                counted = intent if entry["outcome"] == "settled" else entry
                totals[intent["rule"]] += counted["records"] + counted["dependents"]
    return totals


def compare_journal(sweep, entries):
    """Differences between what the oracle destroyed under each rule and what the journal accounts for. What goes with an
    anonymized record is that record's dependents: left out on both sides by comparing rules without anonymization."""
    totals = journal_totals(entries)
    anonymizing = {rule for rule, _table in sweep.anonymized}
    wanted = Counter()
    for (rule, _table), count in sweep.purged.items():
        wanted[rule] += count
    return [f"journal: \"{rule}\" destroyed {totals[rule]:,}, expected {wanted[rule]:,}"
            for rule in sorted(wanted.keys() | totals.keys()) if rule not in anonymizing and totals[rule] != wanted[rule]]


def sweep_time(entries):
    begins = [entry["time"] for entry in entries if entry["event"] == "sweep-begin"]
    if not begins:
        raise SystemExit("compare.py: the journal has no sweep")
    return datetime.fromisoformat(begins[-1].replace("Z", "+00:00"))


# ---- output ----

def print_table(order, sweep, comparisons):
    rules = {}
    for rule, table in [*sweep.purged, *sweep.anonymized, *sweep.blocked]:
        rules.setdefault(table, rule)
    rows = {}
    for one in comparisons:
        rule = rules.get(one.name) or next((rules[c.name] for c in comparisons if c.target == one.target and c.name in rules), "-")
        row = rows.setdefault((rule, one.store, one.target), Counter())
        row.update(destroyed=one.destroyed, anonymized=one.anonymized, kept=one.kept, differences=len(one.differences))
    width = max(len(rule) for rule, _store, _target in rows)
    print(f"{'RULE':<{width}}  {'STORE':<8}  {'TARGET':<21}  {'DESTROYED':>9}  {'ANONYMIZED':>10}  {'KEPT':>8}  AGAINST THE ORACLE")
    previous = None
    in_order = sorted(rows.items(), key=lambda item: (order.index(item[0][0]), item[0]))
    for (rule, store, target), row in in_order:
        verdict = "as expected" if not row["differences"] else f"{row['differences']:,} DIFFERENCES"
        print(f"{'' if rule == previous else rule:<{width}}  {store:<8}  {target:<21}  {row['destroyed']:>9,}  {row['anonymized']:>10,}  "
              f"{row['kept']:>8,}  {verdict}")
        previous = rule
    total = sum(rows.values(), Counter())
    print(f"{'total':<{width}}  {'':<8}  {'':<21}  {total['destroyed']:>9,}  {total['anonymized']:>10,}  {total['kept']:>8,}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--journal", type=Path)
    arguments = parser.parse_args()
    loaded = json.loads((arguments.folder / "loaded.json").read_text())
    loaded_at = datetime.fromisoformat(loaded["now"])
    dataset = product(loaded["product"]).generate(loaded_at, loaded["copies"])
    entries = read_journal(arguments.journal) if arguments.journal else []
    now = sweep_time(entries) if entries else datetime.now(timezone.utc)
    sweep, comparisons = compare(loaded["product"], dataset, now, os.environ, loaded["redis"])
    print_table([*product(loaded["product"]).RULES, "-"], sweep, comparisons)
    differences = [f"{one.target}: {text}" for one in comparisons for text in one.differences]
    if entries:
        differences += compare_journal(sweep, entries)
    for text in differences[:SHOWN]:
        print(f"  {text}")
    if len(differences) > SHOWN:
        print(f"  … and {len(differences) - SHOWN:,} more")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
