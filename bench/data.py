"""The data that is destroyed, in three forms: loaded once, copied anew before each run, and counted after it.

A record is numbered 0, 1, 2, …; the first half of them has lapsed (13 to 25 months old), the rest has not (0 to 11 months).
Numbers are in the order of time, as an application writes them; tenants are mixed."""
import io
import itertools
import os
import subprocess
import time
import zlib
from datetime import datetime, timedelta, timezone

import psycopg2
import pymongo
import redis

NOW = datetime.now(timezone.utc).replace(microsecond=0)
CUTOFF = NOW - timedelta(days=365)  # of the peers; anywhere between the lapsed and the living
ENDED = NOW - timedelta(days=30)
PADDING = "x" * 100
MONTH = timedelta(days=30)


class Shape:
    """rows records of tenants customers in `tables` equal tables; `due`: share of the rows that have lapsed."""

    def __init__(self, rows, tenants, tables=1, due=0.5):
        self.rows, self.tenants, self.tables = max(rows // tables, 1) * tables, tenants, tables
        self.each = self.rows // tables
        self.due_each = int(self.each * due)
        self.due = self.due_each * tables

    def names(self):
        return ["events"] if self.tables == 1 else [f"events_{number}" for number in range(self.tables)]

    def tenant(self, number):
        return (number * 2654435761 >> 7) % self.tenants + 1

    def at(self, number):
        if number < self.due_each:
            return NOW - 25 * MONTH + 12 * MONTH * number / self.due_each
        return NOW - 11 * MONTH + 11 * MONTH * (number - self.due_each) / (self.each - self.due_each)

    def left(self):
        """(how many records, the sum of their numbers, of the squares modulo a prime) when exactly the lapsed ones are gone."""
        return self.fingerprint(range(self.due_each, self.each))

    def whole(self):
        return self.fingerprint(range(self.each))

    @staticmethod
    def fingerprint(numbers):
        n, low, high = len(numbers), numbers.start, numbers.stop
        squares = lambda k: (k - 1) * k * (2 * k - 1) // 6  # noqa: E731
        return n, (low + high - 1) * n // 2, squares(high) - squares(low)


class Wrong(Exception):
    """The wrong records are left: what was measured was no purge."""


def expect(store, found, wanted):
    if found != wanted:
        raise Wrong(f"{store}: left are {found}, and should be {wanted} (records, sum, sum of squares of their numbers)")


class Lines(io.RawIOBase):
    """Lines of an iterator as a file for COPY."""

    def __init__(self, lines):
        self.lines, self.rest = lines, b""

    def readable(self):
        return True

    def readinto(self, room):
        while len(self.rest) < len(room):
            piece = "".join(itertools.islice(self.lines, 2000)).encode()
            if not piece:
                break
            self.rest += piece
        size = min(len(room), len(self.rest))
        room[:size], self.rest = self.rest[:size], self.rest[size:]
        return size


class Postgresql:
    kind = "postgresql"

    def __init__(self, environment):
        self.admin_base = environment["LAPSED_TEST_POSTGRESQL_ADMIN"].rsplit("/", 1)[0]
        self.base = environment["LAPSED_TEST_POSTGRESQL"].rsplit("/", 1)[0]
        self.password = environment["LAPSED_TEST_PASSWORD"]

    def url(self):
        return f"{self.base}/work"

    def peer_url(self, database="work"):
        return f"{self.base.replace('lapsed@', f'lapsed:{self.password}@')}/{database}"

    def admin(self, *statements):
        connection = psycopg2.connect(f"{self.admin_base}/postgres")
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        connection.close()

    def load(self, shape, ended=0):
        """ended: the first so many customers ended 60 days ago."""
        self.shape = shape
        self.admin("DROP DATABASE IF EXISTS base WITH (FORCE)", "CREATE DATABASE base OWNER lapsed")
        connection = psycopg2.connect(self.peer_url("base"))
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE customers (id bigint PRIMARY KEY, ended_at timestamptz)")
            cursor.execute("INSERT INTO customers SELECT n, CASE WHEN n <= %s THEN %s END FROM generate_series(1, %s) n",
                           (ended, NOW - 2 * MONTH, shape.tenants))
            for name in shape.names() if shape.rows > 1 else []:
                cursor.execute(f"CREATE TABLE {name} (id bigint PRIMARY KEY, tenant bigint NOT NULL, at timestamptz NOT NULL, payload text)")
                lines = (f"{n}\t{shape.tenant(n)}\t{shape.at(n).isoformat()}\t{PADDING}\n" for n in range(shape.each))
                cursor.copy_expert(f"COPY {name} FROM STDIN", io.BufferedReader(Lines(lines), 1 << 20))
                cursor.execute(f"CREATE INDEX ON {name} (tenant, at)")
        connection.commit()
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
        connection.close()
        self.admin("CHECKPOINT")

    def fresh(self):
        self.admin("DROP DATABASE IF EXISTS work WITH (FORCE)", "CREATE DATABASE work OWNER lapsed TEMPLATE base STRATEGY FILE_COPY", "CHECKPOINT")

    def check(self, whole=False):
        for name in self.shape.names():
            found = self.ask(f"SELECT count(*), coalesce(sum(id), 0), coalesce(sum(id::numeric * id), 0) FROM {name}")
            expect(f"PostgreSQL, {name}", found, self.shape.whole() if whole else self.shape.left())

    def ask(self, sql):
        connection = psycopg2.connect(self.peer_url())
        with connection.cursor() as cursor:
            cursor.execute(sql)
            answer = tuple(map(int, cursor.fetchone()))
        connection.close()
        return answer

    def count_gone(self):
        return self.shape.rows - sum(self.ask(f"SELECT count(*) FROM {name}")[0] for name in self.shape.names())

    def check_living(self):
        """Of a purge that was stopped: every record is there that has not lapsed."""
        for name in self.shape.names():
            found = self.ask(f"SELECT count(*), coalesce(sum(id), 0), coalesce(sum(id::numeric * id), 0) FROM {name} WHERE id >= {self.shape.due_each}")
            expect(f"PostgreSQL, {name}", found, self.shape.left())

    def environment(self):
        return {"BENCH_URL": self.peer_url(), "PGPASSWORD": self.password}


class Mongodb:
    kind = "mongodb"

    def __init__(self, environment):
        base, _, options = environment["LAPSED_TEST_MONGODB"].partition("?")
        self.options, self.password = options, environment["LAPSED_TEST_PASSWORD"]
        self.base = base.rsplit("/", 1)[0]
        self.client = pymongo.MongoClient(environment["LAPSED_TEST_MONGODB_ADMIN"])
        self.client.admin.command("grantRolesToUser", "lapsed", roles=[{"role": "dbOwner", "db": "work"}])

    def url(self):
        return f"{self.base}/work?{self.options}"

    def load(self, shape, ended=0):
        self.shape = shape
        self.client.drop_database("base")
        base = self.client.base
        for first in range(1, shape.tenants + 1, 10000):
            base.customers.insert_many([{"_id": n, **({"endedAt": NOW - 2 * MONTH} if n <= ended else {})}
                                        for n in range(first, min(first + 10000, shape.tenants + 1))])
        for name in shape.names():
            for first in range(0, shape.each, 10000):
                base[name].insert_many([{"_id": n, "tenant": shape.tenant(n), "at": shape.at(n), "payload": PADDING}
                                        for n in range(first, min(first + 10000, shape.each))], ordered=False)

    def fresh(self):
        for name in self.client.work.list_collection_names():
            self.client.work.drop_collection(name)
        for name in ["customers", *self.shape.names()]:
            self.client.base[name].aggregate([{"$out": {"db": "work", "coll": name}}])
        for name in self.shape.names():
            self.client.work[name].create_index([("tenant", 1), ("at", 1)])
        self.client.admin.command("fsync")

    def check(self, whole=False):
        for name in self.shape.names():
            sums = list(self.client.work[name].aggregate([{"$group": {
                "_id": None, "n": {"$sum": 1}, "sum": {"$sum": {"$toLong": "$_id"}}, "squares": {"$sum": {"$multiply": [{"$toDecimal": "$_id"}, "$_id"]}}}}]))
            found = (sums[0]["n"], int(sums[0]["sum"]), int(sums[0]["squares"].to_decimal())) if sums else (0, 0, 0)
            expect(f"MongoDB, {name}", found, self.shape.whole() if whole else self.shape.left())

    def environment(self):
        return {"BENCH_URL": self.url().replace("lapsed@", f"lapsed:{self.password}@")}


class Redis:
    """Keys app:TENANT:NUMBER (with several tables appN:…); the first half of the tenants has ended. The tenants are in PostgreSQL."""
    kind = "redis"

    def __init__(self, environment, postgresql, folder):
        self.postgresql, self.folder = postgresql, folder
        self.client = redis.Redis.from_url(environment["LAPSED_TEST_REDIS_ADMIN"])
        self.address = environment["LAPSED_TEST_REDIS"]
        where = self.client.connection_pool.connection_kwargs
        self.host, self.port, self.admin_password = where["host"], where["port"], where["password"]

    def url(self):
        return self.address

    def prefixes(self):
        return ["app:"] if self.shape.tables == 1 else [f"app{number}:" for number in range(self.shape.tables)]

    def keys(self, tenants):
        for prefix in self.prefixes():
            for n in range(self.shape.each):
                tenant = n % self.shape.tenants + 1
                if tenant in tenants:
                    yield f"{prefix}{tenant}:{n}"

    def ended(self):
        return range(1, self.shape.tenants // 2 + 1)

    def load(self, shape, ended=0):
        self.shape = shape
        self.postgresql.load(Shape(1, shape.tenants), ended=shape.tenants // 2)
        self.postgresql.fresh()
        everyone = range(1, shape.tenants + 1)
        with open(self.folder / "load.resp", "w") as file:
            for key in self.keys(everyone):
                file.write(f"*3\r\n$3\r\nSET\r\n${len(key)}\r\n{key}\r\n${len(PADDING)}\r\n{PADDING}\r\n")
        with open(self.folder / "unlink.resp", "w") as file:
            for key in self.keys(self.ended()):
                file.write(f"*2\r\n$6\r\nUNLINK\r\n${len(key)}\r\n{key}\r\n")
        self.due = sum(1 for _ in self.keys(self.ended()))
        living = range(self.ended().stop, shape.tenants + 1)
        self.left_of = {"all": self.sums(key.encode() for key in self.keys(living))}

    @staticmethod
    def sums(keys):
        count, total = 0, 0
        for key in keys:
            count, total = count + 1, total + zlib.crc32(key)
        return count, total

    def cli(self, *words):
        return ["redis-cli", "-h", self.host, "-p", str(self.port), "--no-auth-warning", *words]

    def fresh(self):
        self.client.flushall()
        with open(self.folder / "load.resp", "rb") as file:
            subprocess.run(self.cli("--pipe"), stdin=file, stdout=subprocess.DEVNULL, check=True, env={**os.environ, **self.environment()})
        self.client.bgrewriteaof()
        deadline = time.monotonic() + 120
        while any(self.client.info("persistence")[f"aof_rewrite_{state}"] for state in ("in_progress", "scheduled")):
            if time.monotonic() > deadline:
                raise Wrong("Redis: its file is still being rewritten after 120 s")
            time.sleep(0.05)

    def check(self, gone=None):
        """gone: only these tenants' keys had to go."""
        found = self.sums(self.client.scan_iter(count=10000))
        wanted = self.left_of["all"] if gone is None else self.sums(
            key.encode() for key in self.keys(set(range(1, self.shape.tenants + 1)) - set(gone)))
        if found != wanted:
            raise Wrong(f"Redis: left are {found}, and should be {wanted} (keys, sum of their CRC-32)")

    def environment(self):
        return {"BENCH_URL": self.postgresql.peer_url(), "BENCH_HOST": self.host, "BENCH_PORT": str(self.port), "REDISCLI_AUTH": self.admin_password}
