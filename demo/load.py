#!/usr/bin/python3
"""Loads a product's data into its stores:  demo/load.py PRODUCT FOLDER [--copies N] [--redis NUMBER]

The servers' addresses come from the environment (scripts/servers.py). FOLDER/loaded.json says what was loaded, so that
demo/compare.py makes the very same data again; FOLDER/expected.json is the oracle's answer for the moment of loading."""
import argparse
import importlib
import json
import os
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from demo import stores  # noqa: E402

INDEXES = {"caasaas": [("content", ["customerId"]), ("prompts", ["owner.customerId"]), ("ai_requests", ["customerId", "at"])], "casso": []}


def product(name):
    return importlib.import_module(f"demo.{name}.data")


def load(name, environment, now, copies, redis_number, seed=1, database=None):
    """Makes databases called `database` (default: the product's name), loads them and returns the dataset."""
    module = product(name)
    dataset = module.generate(now, copies, seed)
    database = database or name
    stores.Postgresql.create(environment, database)
    for store, kind in module.STORES.items():
        if kind == "postgresql":
            connection = stores.Postgresql(environment, database)
            schema = (stores.HERE / name / "schema.sql").read_text()
            connection.schema(schema.replace(":split", f"'{(now - timedelta(days=450)).isoformat()}'"))
            connection.load(dataset, store)
        elif kind == "mongodb":
            connection = stores.Mongodb(environment, database)
            connection.load(dataset, store, INDEXES[name])
        else:
            connection = stores.Redis(environment, redis_number)
            connection.load(dataset, store)
        connection.close()
    return dataset


def counts(sweep):
    """The oracle's answer by rule, store and table."""
    names = sorted(set(sweep.purged) | set(sweep.anonymized) | set(sweep.blocked))
    return [{"rule": rule, "store": sweep.data.tables[table].store, "target": table, "purged": sweep.purged[rule, table],
             "anonymized": sweep.anonymized[rule, table], "blocked": sweep.blocked[rule, table]} for rule, table in names]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("product", choices=sorted(INDEXES))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--redis", type=int, default=0)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now(timezone.utc).replace(microsecond=0)
    dataset = load(arguments.product, os.environ, now, arguments.copies, arguments.redis)
    (arguments.folder / "loaded.json").write_text(json.dumps(
        {"product": arguments.product, "now": now.isoformat(), "copies": arguments.copies, "redis": arguments.redis}))
    expected = counts(product(arguments.product).expect(dataset, now))
    (arguments.folder / "expected.json").write_text(json.dumps(expected, indent=1))
    tenants = len(dataset.tables["customers" if arguments.product == "caasaas" else "organisations"].rows)
    print(f"{arguments.product}: {sum(len(table.rows) for table in dataset.tables.values()):,} records of {tenants} tenants; "
          f"due now: {sum(row['purged'] for row in expected):,} to destroy, {sum(row['anonymized'] for row in expected):,} to anonymize")
    return 0


if __name__ == "__main__":
    sys.exit(main())
