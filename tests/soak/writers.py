"""The applications: each a thread with connections of its own, which inserts, postpones and brings forward, ends and resubscribes.
No client waits with a limit of its own: a write is answered, refused, or dies with its server, so that one record's writes never
overtake each other."""
import random
import threading
import time
from datetime import datetime, timezone

import psycopg2
import pymongo
import redis

from log import NOTHING, History, Record, Tenant
from shop import OWN_PERIODS, parent_of

FIRST_TENANTS, MOST_TENANTS = 60, 120
FUTURE_MS = 3600 * 1000


def now_ms():
    return int(time.time() * 1000)


def instant(ms):
    return None if ms is None else datetime.fromtimestamp(ms // 1000, timezone.utc).replace(microsecond=ms % 1000 * 1000)


class Writer(threading.Thread):
    LOST, REFUSED = (), ()

    def __init__(self, seed, log, environment, database, rate):
        super().__init__(daemon=True)
        self.chance, self.log, self.environment, self.database = random.Random(f"{seed} {type(self).__name__}"), log, environment, database
        self.rate, self.over, self.number, self.recent, self.failure = rate, threading.Event(), 0, [], None

    def run(self):
        try:
            while not self.over.wait(1 / self.rate):
                self.chance.choices(*zip(*self.choices()))[0]()
        except BaseException as error:  # a fault of the soak: told at the end
            self.failure = error
            raise

    def stop(self):
        self.over.set()
        self.join()

    def next(self):
        self.number += 1
        return self.number

    def tenant(self):
        return self.chance.choice(list(self.log.tenants)) if self.log.tenants else 1

    def anchor(self):
        """When a record was born: lately, mostly; sometimes unknown or in the future."""
        kind = self.chance.random()
        if kind < .02:
            return None
        return now_ms() + FUTURE_MS if kind < .04 else now_ms() - int(self.chance.random() ** 2 * 12000)

    def remember(self, record):
        self.recent.append(record)
        if len(self.recent) > 400:
            self.recent.pop(self.chance.randrange(200))

    def moved(self):
        """A new anchor of a record that is there: postponed, or due at once."""
        return now_ms() - (60000 if self.chance.random() < .2 else 0)

    def attempt(self, act):
        return self.log.attempt(act, self.REFUSED, self.LOST)


class Sql(Writer):
    LOST = (psycopg2.OperationalError, psycopg2.InterfaceError, psycopg2.errors.AdminShutdown)
    REFUSED = (psycopg2.IntegrityError, psycopg2.errors.LockNotAvailable, psycopg2.errors.DeadlockDetected)
    connection = None

    def execute(self, *statements):
        """In one transaction; the rows that the last one touched."""
        def act():
            cursor = self.connection.cursor()
            try:
                for text, values in statements:
                    cursor.execute(text, values)
                self.connection.commit()
            except self.REFUSED:
                self.connection.rollback()
                raise
            return cursor.rowcount
        while not self.over.is_set() and (self.connection is None or self.connection.closed):
            try:
                self.connection = psycopg2.connect(self.environment["LAPSED_TEST_POSTGRESQL_ADMIN"].rsplit("/", 1)[0] + "/" + self.database)
            except psycopg2.OperationalError:
                self.over.wait(.1)
        if self.over.is_set():
            return 0, 0, None, True
        attempted = self.attempt(act)
        if not attempted[3]:
            self.connection.close()
        return attempted

    def insert(self, table, records, columns, values, anchor=NOTHING, children=None):
        """A row, and rows of one table that depend on it."""
        statements = [(f"INSERT INTO {table} ({columns}) VALUES ({', '.join(['%s'] * len(values))})", values)]
        written = [(records[0], anchor)]
        for child in records[1:]:
            statements.append((f"INSERT INTO {children[0]} (id, {children[1]}, note) VALUES (%s, %s, %s)", (child.name[2], values[0], "CANARY-part")))
            written.append((child, NOTHING))
        self.log.insert(written, self.execute(*statements))
        self.remember(records[0])


class Records(Sql):
    """What tenants have in PostgreSQL."""

    def choices(self):
        return [(self.event, 8), (self.move_event, 6), (self.visit, 4), (self.upload, 4), (self.invoice, 2)]

    def with_children(self, table, child_table, rule, tenant, most, many):
        record = Record(("main", table, self.next()), tenant, rule)
        count = many if self.chance.random() < .01 else self.chance.randrange(most + 1)
        return [record, *(Record(("main", child_table, self.next()), tenant, rule, parent=record) for _ in range(count))]

    def event(self):
        tenant, anchor = self.tenant(), self.anchor()
        records = self.with_children("events", "event_parts", "Events", tenant, 3, 90)
        self.insert("events", records, "id, customer_id, at, note", (records[0].name[2], tenant, instant(anchor), "CANARY-event"), anchor,
                    ("event_parts", "event_id"))

    def move_event(self):
        events = [record for record in self.recent if record.name[1] == "events"]
        if not events:
            return
        record, at = self.chance.choice(events), self.moved()
        self.log.update(record.anchor or History(), at, self.execute(("UPDATE events SET at = %s WHERE id = %s", (instant(at), record.name[2]))), record.name)

    def visit(self):
        anchor, record = self.anchor(), Record(("main", "visits", self.next()), None, "Visits")
        self.insert("visits", [record], "id, at, ip, country", (record.name[2], instant(anchor), "CANARY-192.0.2.1", "DE"), anchor)

    def upload(self):
        tenant = self.tenant()
        records = self.with_children("uploads", "upload_parts", "Uploads", tenant, 2, 90)
        self.insert("uploads", records, "id, customer_id, note", (records[0].name[2], tenant, "CANARY-upload"), children=("upload_parts", "upload_id"))

    def invoice(self):
        tenant, issued = self.tenant(), now_ms() - int(self.chance.random() * 12000)
        records = self.with_children("invoices", "invoice_lines", "Invoices", tenant, 2, 3)
        self.insert("invoices", records, "id, customer_id, issued", (records[0].name[2], tenant, instant(issued)), issued, ("invoice_lines", "invoice_id"))


class Pings(Sql):
    """A partitioned table, whose partitions go whole when every row in them is due. What has no partition is in the default one."""
    SECONDS = 4
    REFUSED = (*Sql.REFUSED, psycopg2.errors.DuplicateTable, psycopg2.errors.UniqueViolation, psycopg2.errors.UndefinedTable)
    slots = frozenset()

    def choices(self):
        return [(self.ping, 6), (self.move, 3)]

    def partition(self, at):
        """Made if it is not there, or was dropped some time ago."""
        slot = (at or 0) // 1000 // self.SECONDS
        if at is None or at > now_ms() + 60000 or (slot in self.slots and self.chance.random() < .9):
            return
        self.slots |= {slot}
        name, bounds = f"pings_{slot}", [instant(1000 * self.SECONDS * (slot + n)) for n in (0, 1)]
        self.execute((f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF pings FOR VALUES FROM (%s) TO (%s)", bounds),
                     (f"ALTER TABLE {name} OWNER TO lapsed", None))

    def ping(self):
        tenant, anchor = self.tenant(), self.anchor()
        self.partition(anchor)
        record = Record(("main", "pings", self.next()), tenant, "Events")
        self.insert("pings", [record], "id, customer_id, at, note", (record.name[2], tenant, instant(anchor), "CANARY-ping"), anchor)

    def move(self):
        if not self.recent:
            return
        record, at = self.chance.choice(self.recent), self.moved()
        self.partition(at)
        self.log.update(record.anchor or History(), at, self.execute(("UPDATE pings SET at = %s WHERE id = %s", (instant(at), record.name[2]))), record.name)


class Accounts(Sql):
    """Customers come, end, come back; an id whose customer is gone is given to somebody else."""

    def choices(self):
        return [(self.come, 1), (self.end, 4), (self.resubscribe, 3), (self.own_period, 1), (self.user, 4)]

    def first(self):
        for tenant in range(1, FIRST_TENANTS + 1):
            self.create(tenant)

    def create(self, tenant):
        logs = self.chance.choice(OWN_PERIODS)
        attempted = self.execute(("INSERT INTO customers VALUES (%s, %s, NULL, %s, 'CANARY-name', 'CANARY-email')",
                                  (tenant, parent_of(tenant), logs)))
        if attempted[3] and attempted[2] is None:
            return
        known = self.log.tenants.get(tenant) or Tenant()
        self.log.update(known.ends, None, attempted, f"end of {tenant}")
        self.log.update(known.periods, logs, attempted, f"period of {tenant}")
        self.log.tenants[tenant] = known
        record = Record(("main", "customers", tenant), tenant, "Accounts")
        if record.name not in self.log.records:
            self.log.insert([(record, NOTHING)], attempted)

    def come(self):
        if len(self.log.tenants) < MOST_TENANTS:
            self.create(len(self.log.tenants) + 1)

    def end(self):
        tenant = self.tenant()
        at = now_ms() + (FUTURE_MS if self.chance.random() < .05 else -int(self.chance.random() * 6000))
        self.log.update(self.log.tenants[tenant].ends, at,
                        self.execute(("UPDATE customers SET ended_at = %s WHERE id = %s AND ended_at IS NULL", (instant(at), tenant))), f"end of {tenant}")

    def resubscribe(self):
        tenant = self.tenant()
        attempted = self.execute(("UPDATE customers SET ended_at = NULL, name = 'CANARY-name', email = 'CANARY-email' WHERE id = %s", (tenant,)))
        self.log.update(self.log.tenants[tenant].ends, None, attempted, f"end of {tenant}")
        if attempted[3] and attempted[2] == 0:
            self.create(tenant)

    def own_period(self):
        tenant, logs = self.tenant(), self.chance.choice(OWN_PERIODS)
        self.log.update(self.log.tenants[tenant].periods, logs, self.execute(("UPDATE customers SET logs = %s WHERE id = %s", (logs, tenant))),
                        f"period of {tenant}")

    def user(self):
        tenant, number = self.tenant(), self.next()
        parent = self.log.records["main", "customers", tenant]
        record = Record(("main", "users", number), tenant, "Accounts", parent=parent)
        self.log.insert([(record, NOTHING)], self.execute(("INSERT INTO users VALUES (%s, %s, 'CANARY-user')", (number, tenant))))


class Documents(Writer):
    STORE, URL = "docs", "LAPSED_TEST_MONGODB_ADMIN"
    LOST = (pymongo.errors.ConnectionFailure,)
    REFUSED = (pymongo.errors.OperationFailure,)

    def run(self):
        with pymongo.MongoClient(self.environment[self.URL], journal=True) as client:
            self.db = client[self.database]
            super().run()

    def choices(self):
        return [(self.action, 6), (self.move, 5), (self.view, 4), (self.content, 4), (self.knowledge, 3)]

    def insert(self, collection, record, document, anchor=NOTHING):
        self.log.insert([(record, anchor)], self.attempt(lambda: self.db[collection].insert_one({"_id": record.name[2], **document})))
        self.remember(record)

    def key(self):
        return f"CANARY-{self.next()}" if self.number % 3 else self.next()

    def action(self):
        tenant, anchor = self.tenant(), self.anchor()
        self.insert("actions", Record((self.STORE, "actions", self.key()), tenant, "Events"), {"customerId": tenant, "at": instant(anchor)}, anchor)

    def move(self):
        actions = [record for record in self.recent if record.name[1] == "actions"]
        if not actions:
            return
        record, at = self.chance.choice(actions), self.moved()
        self.log.update(record.anchor or History(), at, self.attempt(
            lambda: self.db.actions.update_one({"_id": record.name[2]}, {"$set": {"at": instant(at)}}).matched_count), record.name)

    def view(self):
        anchor = self.anchor()
        self.insert("views", Record((self.STORE, "views", self.key()), None, "Visits"), {"at": instant(anchor), "ip": "CANARY-192.0.2.1", "country": "DE"}, anchor)

    def content(self):
        tenant = self.tenant()
        self.insert("content", Record((self.STORE, "content", self.key()), tenant, "Uploads"), {"customerId": tenant, "text": "CANARY-text"})

    def knowledge(self):
        tenant = self.tenant()
        self.insert(f"kb_{tenant}", Record((self.STORE, "kb_{tenant}", self.key()), tenant, "Uploads"), {"text": "CANARY-text"})


class SoloDocuments(Documents):
    """Without a replica set there are no transactions."""
    STORE, URL = "solo", "LAPSED_TEST_MONGODB_STANDALONE_ADMIN"


MOVE_SEEN = "if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'at', ARGV[1]) return 1 end return 0"


class Keys(Writer):
    LOST = (redis.ConnectionError, redis.exceptions.BusyLoadingError)

    def run(self):
        self.redis = redis.Redis.from_url(self.environment["LAPSED_TEST_REDIS_ADMIN"].rsplit("/", 1)[0] + "/1", decode_responses=True)
        super().run()

    def choices(self):
        return [(self.seen, 5), (self.move_seen, 4), (self.usage, 4), (self.move_usage, 3), (self.stream, 3), (self.cache, 4)]

    def insert(self, record, act, anchor=NOTHING):
        self.log.insert([(record, anchor)], self.attempt(act))
        self.remember(record)

    def seen(self):
        tenant, anchor = self.tenant(), self.anchor()
        record = Record(("cache", "seen:{tenant}:*", f"seen:{tenant}:CANARY-{self.next()}"), tenant, "Events")
        self.insert(record, lambda: self.redis.hset(record.name[2], mapping={"note": "CANARY-seen", **({} if anchor is None else {"at": anchor})}), anchor)

    def move_seen(self):
        self.move("seen:{tenant}:*", lambda record, at: self.redis.eval(MOVE_SEEN, 1, record.name[2], at))

    def usage(self):
        tenant, anchor = self.tenant(), now_ms() - int(self.chance.random() ** 2 * 12000)
        record = Record(("cache", "usage:{tenant}", f"usage:{tenant}", f"CANARY-{self.next()}"), tenant, "Events")
        self.insert(record, lambda: self.redis.zadd(record.name[2], {record.name[3]: anchor}), anchor)

    def move_usage(self):
        self.move("usage:{tenant}", lambda record, at: self.redis.zadd(record.name[2], {record.name[3]: at}, xx=True, ch=True))

    def move(self, target, act):
        keys = [record for record in self.recent if record.name[1] == target]
        if not keys:
            return
        record, at = self.chance.choice(keys), self.moved()
        self.log.update(record.anchor or History(), at, self.attempt(lambda: act(record, at)), record.name)

    def stream(self):
        tenant = self.tenant()
        begin, end, entry, known = self.attempt(lambda: self.redis.xadd(f"log:{tenant}", {"note": "CANARY-entry"}))
        if known:
            record = Record(("cache", "log:{tenant}", f"log:{tenant}", entry), tenant, "Events")
            self.log.insert([(record, int(entry.split("-")[0]))], (begin, end, entry, known))

    def cache(self):
        tenant = self.tenant()
        record = Record(("cache", "cache:{tenant}:*", f"cache:{tenant}:CANARY-{self.next()}"), tenant, "Uploads")
        self.insert(record, lambda: self.redis.set(record.name[2], "CANARY-cache"))
