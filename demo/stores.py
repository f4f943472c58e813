"""Puts a dataset into real stores, and reads back what is there in the same form."""
from datetime import timedelta
from pathlib import Path

import psycopg2
import psycopg2.extras
import pymongo
import redis

HERE = Path(__file__).resolve().parent
psycopg2.extras.register_uuid()


def postgresql_url(environment, database):
    return environment["LAPSED_TEST_POSTGRESQL_ADMIN"].rsplit("/", 1)[0] + "/" + database


class Postgresql:
    def __init__(self, environment, database):
        self.connection = psycopg2.connect(postgresql_url(environment, database))
        self.connection.autocommit = True
        with self.connection.cursor() as cursor:
            cursor.execute("SET timezone = 'UTC'")

    @staticmethod
    def create(environment, database):
        connection = psycopg2.connect(postgresql_url(environment, "postgres"))
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f'CREATE DATABASE "{database}"')
        connection.close()

    def schema(self, text):
        with self.connection.cursor() as cursor:
            cursor.execute(text)

    def load(self, dataset, store):
        with self.connection.cursor() as cursor:
            for name, table in dataset.tables.items():
                rows = list(table.rows.values())
                if table.store != store or not rows:
                    continue
                columns = list(rows[0])
                values = [[psycopg2.extras.Json(row[c]) if isinstance(row[c], dict) else row[c] for c in columns] for row in rows]
                psycopg2.extras.execute_values(cursor, f"INSERT INTO {name} ({', '.join(columns)}) VALUES %s", values, page_size=1000)
            cursor.execute("ANALYZE")

    def read(self, name, table):
        with self.connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
            cursor.execute(f"SELECT * FROM {name}")
            rows = [{column: str(value) if hasattr(value, "hex") and hasattr(value, "fields") else value
                     for column, value in row.items()} for row in cursor]
        return {tuple(row[column] for column in table.key): row for row in rows}

    def close(self):
        self.connection.close()


class Mongodb:
    def __init__(self, environment, database):
        self.client = pymongo.MongoClient(environment["LAPSED_TEST_MONGODB_ADMIN"], tz_aware=True)
        self.database = self.client[database]

    def load(self, dataset, store, indexes):
        for name, table in dataset.tables.items():
            if table.store == store:
                self.database.create_collection(name)
                if table.rows:
                    self.database[name].insert_many(list(table.rows.values()))
        for name, keys in indexes:
            self.database[name].create_index([(key, 1) for key in keys])

    def read(self, name, table):
        return {tuple(document[field] for field in table.key): document for document in self.database[name].find()}

    def close(self):
        self.client.close()


class Redis:
    def __init__(self, environment, number):
        url = environment["LAPSED_TEST_REDIS_ADMIN"].rsplit("/", 1)[0]
        self.client = redis.Redis.from_url(f"{url}/{number}", decode_responses=True)
        self.cache = None

    def load(self, dataset, store):
        pipe = self.client.pipeline(transaction=False)
        for table in dataset.tables.values():
            if table.store != store:
                continue
            for row in sorted(table.rows.values(), key=stream_order):
                self.put(pipe, table, row)
        pipe.execute()

    @staticmethod
    def put(pipe, table, row):
        key, value = row["key"], row["value"]
        if is_stream_entry(row):
            pipe.xadd(key, value, id=row["member"])
        elif "member" in table.key:
            pipe.zadd(key, {row["member"]: value})
        elif isinstance(value, str):
            pipe.set(key, value, ex=timedelta(days=3000))
        elif isinstance(value, dict):
            pipe.hset(key, mapping=value)
        elif isinstance(value, set):
            pipe.sadd(key, *value)
        elif isinstance(value[0], tuple):
            pipe.zadd(key, dict(value))
        else:
            pipe.rpush(key, *value)

    def everything(self):
        """All keys with their values, read once: {key: (type, value)}."""
        if self.cache is None:
            keys = list(self.client.scan_iter(count=1000))
            pipe = self.client.pipeline(transaction=False)
            for key in keys:
                pipe.type(key)
            types = pipe.execute()
            for key, kind in zip(keys, types):
                {"string": lambda: pipe.get(key), "hash": lambda: pipe.hgetall(key), "set": lambda: pipe.smembers(key),
                 "list": lambda: pipe.lrange(key, 0, -1), "zset": lambda: pipe.zrange(key, 0, -1, withscores=True),
                 "stream": lambda: pipe.xrange(key)}[kind]()
            self.cache = dict(zip(keys, zip(types, pipe.execute())))
        return self.cache

    def read(self, name, table):
        """A pattern's keys: those that begin as it does, and for the pattern that takes the rest all others."""
        prefix = name.split("{")[0]
        found = {}
        for key, (kind, value) in self.everything().items():
            if "member" in table.key:
                if key.startswith(prefix):
                    found |= {(key, member): {"key": key, "member": member, "value": one} for member, one in value}
            elif key.startswith(prefix) or kind not in ("zset", "stream") and prefix in key:
                found[key,] = {"key": key, "value": value}
        return found

    def close(self):
        self.client.close()


def is_stream_entry(row):
    return "member" in row and isinstance(row["value"], dict)


def stream_order(row):
    """Identifiers of a stream only grow."""
    return [int(part) for part in row["member"].split("-")] if is_stream_entry(row) else []
