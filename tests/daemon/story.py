"""The shop of the stories: a little of everything in all three stores, and every record of it told by its id."""
import json
import os
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone

import psycopg2

from demo import stores
from world import idle

TABLES = """
CREATE TABLE customers (id bigint PRIMARY KEY, ended_at timestamptz, name text, email text, logs text);
CREATE TABLE users (id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers, email text);
CREATE TABLE events (id bigint PRIMARY KEY, customer_id bigint NOT NULL, at timestamptz, note text);
CREATE TABLE parts (id bigint PRIMARY KEY, event_id bigint NOT NULL REFERENCES events, note text);
CREATE TABLE visits (id bigint PRIMARY KEY, customer_id bigint NOT NULL, at timestamptz, ip text, country text, anonymized_at timestamptz);
CREATE TABLE uploads (id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers, note text);
CREATE TABLE invoices (id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers, issued timestamptz NOT NULL);
CREATE INDEX ON users (customer_id); CREATE INDEX ON events (customer_id, at); CREATE INDEX ON parts (event_id);
CREATE INDEX ON visits (customer_id, at); CREATE INDEX ON uploads (customer_id); CREATE INDEX ON invoices (customer_id, issued);
"""

SCHEDULE = """schedule = (
  { data = "Events"; keep = "12 months"; per_tenant = { column = "logs"; min = "12 months"; max = "7 years"; }; basis = "Security";
    targets = ( { table = "events"; tenant = "customer_id"; since = "at"; dependents = [ "parts.event_id" ]; },
                { collection = "actions"; tenant = "customerId"; since = "at"; },
                { keys = "seen:{tenant}:*"; since = "field:at"; unit = "s"; },
                { keys = "usage:{tenant}"; since = "score"; unit = "s"; } ); },
  { data = "Visits"; anonymize = "14 months"; keep = "26 months"; basis = "Interest";
    targets = ( { table = "visits"; tenant = "customer_id"; since = "at"; marker = "anonymized_at"; columns = ( "null: ip", "as-is: country" ); },
                { collection = "views"; tenant = "customerId"; since = "at"; marker = "anonymizedAt"; columns = ( "null: ip" ); } ); },
  { data = "Uploads"; keep = "subscription + 30 days"; basis = "Contract";
    targets = ( { table = "uploads"; tenant = "customer_id"; },
                { collection = "content"; tenant = "customerId"; },
                { collection = "kb_{tenant}"; },
                { keys = "cache:{tenant}:*"; } ); },
  { data = "Accounts"; keep = "subscription + 45 days"; if_blocked = "anonymize"; basis = "Contract";
    targets = ( { table = "customers"; tenant = "id"; dependents = ( { join = "users.customer_id"; when_anonymized = "purge"; } );
                  columns = ( "null: email", "fixed(closed): name", "as-is: ended_at, logs" ); } ); },
  { data = "Invoices"; keep = "7 years"; at_least = "7 years"; basis = "Tax";
    targets = ( { table = "invoices"; tenant = "customer_id"; since = "issued"; } ); }
);
"""
RULES = {"Events": ("events", "parts", "actions", "seen", "usage"), "Visits": ("visits", "views"), "Uploads": ("uploads", "content", "kb", "cache"),
         "Accounts": ("customers", "users"), "Invoices": ("invoices",)}
TENANTS = "SELECT id AS tenant, ended_at AS subscription, logs FROM customers"

# 1 and 4 are running; 2 and 3 ended long ago, 5 lately. Customer 2 has an invoice that must be kept.
ENDED_DAYS = {1: None, 2: 60, 3: 60, 4: None, 5: 10}
OVER = (2, 3)
# Of each tenant t, by age: 10 t + 1 is due, 10 t + 2 is young. Of visits 10 t + 1 is past both stages, 10 t + 2 past the first.
PLACES = ("customers", "users", "events", "parts", "visits", "uploads", "invoices", "actions", "views", "content", "kb", "seen", "usage", "cache")
STORE = {**dict.fromkeys(PLACES[:7], "main"), **dict.fromkeys(PLACES[7:11], "docs"), **dict.fromkeys(PLACES[11:], "cache")}


def everything():
    """{place: the ids in it}, before any sweep. What was anonymized stands there as (id, "bare")."""
    pairs = {10 * tenant + n for tenant in ENDED_DAYS for n in (1, 2)}
    triples = pairs | {10 * tenant + 3 for tenant in ENDED_DAYS}
    all_ids = {"customers": set(ENDED_DAYS), "invoices": pairs - {32}, "visits": triples, "views": triples}
    return {place: set(all_ids.get(place, pairs)) for place in PLACES}


def tenant_of(place, id):
    return id if place == "customers" else id // 10


def after_sweep(keep=lambda place, tenant: False):
    """What is left after a whole sweep; keep(place, tenant): nothing is due there."""
    left = everything()
    for place, ids in left.items():
        for id in sorted(ids):
            tenant, n = tenant_of(place, id), id % 10
            if keep(place, tenant):
                continue
            if place in RULES["Events"] + ("invoices",) and n == 1:
                ids.discard(id)
            elif place in RULES["Visits"] and n < 3:
                ids.discard(id)
                if n == 2:
                    ids.add((id, "bare"))
            elif (place in RULES["Uploads"] or place == "users") and tenant in OVER:
                ids.discard(id)
            elif place == "customers" and tenant in OVER:
                ids.discard(id)
                if tenant == 2:
                    ids.add((2, "bare"))
    return left


class Shop:
    """Around a World."""

    def __init__(self, world, settings="", tenants=TENANTS, schedule=SCHEDULE):
        self.world = world
        world.sql(TABLES)
        self.fill()
        self.configure(settings, tenants, schedule)

    def configure(self, settings="", tenants=TENANTS, schedule=SCHEDULE):
        self.world.configure(schedule, tenants=tenants, settings=idle(more=settings), kinds=("main", "docs", "cache"))

    def fill(self):
        world, now = self.world, datetime.now(timezone.utc)
        def ago(days):
            return now - timedelta(days=days)
        world.sql("INSERT INTO customers SELECT id, now() - make_interval(days => ended), 'CANARY-name-' || id, 'CANARY-mail-' || id"
                  " FROM unnest(%s, %s::int[]) AS t(id, ended)", list(ENDED_DAYS), list(ENDED_DAYS.values()))
        for tenant in ENDED_DAYS:
            for n, months, stage in ((1, 400, 900), (2, 300, 500), (3, None, 100)):
                id = 10 * tenant + n
                world.sql("INSERT INTO visits VALUES (%s, %s, %s, 'CANARY-ip', 'DE')", id, tenant, ago(stage))
                world.mongodb.views.insert_one({"_id": id, "customerId": tenant, "at": ago(stage), "ip": "CANARY-ip"})
                if n == 3:
                    continue
                world.sql("INSERT INTO users VALUES (%s, %s, 'CANARY-user')", id, tenant)
                world.sql("INSERT INTO events VALUES (%s, %s, %s, 'CANARY-event')", id, tenant, ago(months))
                world.sql("INSERT INTO parts VALUES (%s, %s, 'CANARY-part')", id, id)
                world.sql("INSERT INTO uploads VALUES (%s, %s, 'CANARY-upload')", id, tenant)
                if id != 32:  # 3 has nothing that must be kept
                    world.sql("INSERT INTO invoices VALUES (%s, %s, %s)", id, tenant, ago(8 * 365 if n == 1 else 600))
                world.mongodb.actions.insert_one({"_id": id, "customerId": tenant, "at": ago(months)})
                world.mongodb.content.insert_one({"_id": id, "customerId": tenant, "text": "CANARY-text"})
                world.mongodb[f"kb_{tenant}"].insert_one({"_id": id, "text": "CANARY-text"})
                world.redis.hset(f"seen:{tenant}:{id}", mapping={"at": int(ago(months).timestamp()), "note": "CANARY-seen"})
                world.redis.zadd(f"usage:{tenant}", {str(id): ago(months).timestamp()})
                world.redis.set(f"cache:{tenant}:{id}", "CANARY-cache")

    def left(self):
        """{place: the ids in it}"""
        world, found = self.world, {}
        for place in PLACES[:7]:
            bare = {"customers": "name = 'closed' AND email IS NULL", "visits": "ip IS NULL AND anonymized_at IS NOT NULL"}.get(place, "false")
            found[place] = {(id, "bare") if is_bare else id for id, is_bare in world.sql(f"SELECT id, {bare} FROM {place}")}
        found["actions"], found["content"] = ({one["_id"] for one in world.mongodb[place].find()} for place in ("actions", "content"))
        found["views"] = {(one["_id"], "bare") if one.get("ip") is None and one.get("anonymizedAt") else one["_id"] for one in world.mongodb.views.find()}
        found["kb"] = {one["_id"] for name in world.mongodb.list_collection_names() if name.startswith("kb_") for one in world.mongodb[name].find()}
        found["seen"] = {int(key.split(":")[2]) for key in world.redis.keys("seen:*")}
        found["cache"] = {int(key.split(":")[2]) for key in world.redis.keys("cache:*")}
        found["usage"] = {int(member) for key in world.redis.keys("usage:*") for member in world.redis.zrange(key, 0, -1)}
        return found

    def assert_left(self, expected):
        left = self.left()
        differences = {place: {"missing": expected[place] - left[place], "too many": left[place] - expected[place]}
                       for place in PLACES if left[place] != expected[place]}
        assert not differences, differences

    def sweeps_clean(self):
        """The trouble is over: the next sweep does all that is due, and the journal is whole."""
        answer = self.world.once()
        assert answer.returncode == 0, answer.stdout
        self.assert_left(after_sweep())
        self.assert_whole()

    def assert_whole(self, *statuses):
        """The journal's verdict, and that every batch has an end, and nothing of a person is in it."""
        verdict = self.world.lapsectl("journal", "verify")
        assert verdict.returncode in (statuses or (0,)), verdict.stdout + verdict.stderr
        journal = self.world.journal
        over = {(entry["sweep"], entry["batch"]) for entry in journal.entries("outcome") if entry["outcome"] != "unknown"}
        assert {(entry["sweep"], entry["batch"]) for entry in journal.entries("intent")} == over
        assert "CANARY" not in journal.text()

    def purged(self):
        """{target: records} of all batches that the journal says were carried out."""
        found = {}
        for _rule, target, records, _dependents in self.world.journal.committed("purge"):
            found[target] = found.get(target, 0) + records
        return found

    def replace(self, old, new, file="schedule.conf"):
        path = self.world.folder / file
        text = path.read_text()
        assert old in text, old
        path.write_text(text.replace(old, new, 1))

    def port(self, kind):
        return int(self.world.url(kind).split("127.0.0.1:")[1].split("/")[0])

    @contextmanager
    def reached_by(self, kind, port):
        """The daemon reaches this store by another port meanwhile. A replica set's driver would go to the address that the set knows,
        past a proxy."""
        config = self.world.config
        honest = config.read_text()
        text = honest.replace(f":{self.port(kind)}/", f":{port}/")
        config.write_text(text.replace("replicaSet=rs0", "directConnection=true") if kind == "mongodb" else text)
        yield
        config.write_text(honest)

    def application(self):
        """A connection of an application, with a transaction open from its first statement on."""
        return psycopg2.connect(stores.postgresql_url(self.world.servers, self.world.database))

    def put(self, name, content, owner=None):
        """A file in the spool, as lapsectl would leave it, or anybody else."""
        spool = self.world.folder / "state" / "spool"
        for folder in ("tmp", "new"):
            (spool / folder).mkdir(parents=True, exist_ok=True)
        (spool / "tmp" / name).write_text(content if isinstance(content, str) else json.dumps(content))
        if owner is not None:
            os.chown(spool / "tmp" / name, owner, owner)
        (spool / "tmp" / name).rename(spool / "new" / name)

    def hold(self, scope, value, name="case-7"):
        place = {"tenant": {"tenant": str(value)}, "rule": {"rule": value}, "all": {}}[scope]
        self.put(name, {"v": 1, "request": "hold", "scope": scope, **place, "ground": "litigation"})
