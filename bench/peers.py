#!/usr/bin/python3
"""What people run today, one function each, written as they write it.  bench/peers.py NAME   (bench/run.py starts them)

Each finds its server in BENCH_URL (redis-cli in BENCH_HOST, BENCH_PORT and REDISCLI_AUTH) and the instant before which records
have lapsed in BENCH_CUTOFF; the tenants come from the same place as the daemon's."""
import os
import sys
from datetime import datetime, timezone

URL = os.environ.get("BENCH_URL")
CUTOFF = datetime.fromisoformat(os.environ.get("BENCH_CUTOFF", "1970-01-01T00:00:00+00:00"))
ENDED = datetime.fromisoformat(os.environ.get("BENCH_ENDED", "1970-01-01T00:00:00+00:00"))
TABLES = int(os.environ.get("BENCH_TABLES", "1"))


def tables():
    return ["events"] if TABLES == 1 else [f"events_{number}" for number in range(TABLES)]


# ---- PostgreSQL ----

def connect():
    import psycopg2
    return psycopg2.connect(URL)


def sql_tenants(cursor):
    cursor.execute("SELECT id FROM customers ORDER BY id")
    return [row[0] for row in cursor.fetchall()]


def pg_per_tenant():
    with connect() as connection, connection.cursor() as cursor:
        for tenant in sql_tenants(cursor):
            for table in tables():
                cursor.execute(f"DELETE FROM {table} WHERE tenant = %s AND at < %s", (tenant, CUTOFF))
                connection.commit()


def pg_limit_1000():
    with connect() as connection, connection.cursor() as cursor:
        for tenant in sql_tenants(cursor):
            while True:
                cursor.execute("DELETE FROM events WHERE id IN (SELECT id FROM events WHERE tenant = %s AND at < %s LIMIT 1000)", (tenant, CUTOFF))
                connection.commit()
                if cursor.rowcount < 1000:
                    break


def pg_idle():
    with connect() as connection, connection.cursor() as cursor:
        due = []
        for tenant in sql_tenants(cursor):
            cursor.execute("SELECT 1 FROM events WHERE tenant = %s AND at < %s LIMIT 1", (tenant, CUTOFF))
            if cursor.fetchone():
                due.append(tenant)
        assert not due


# ---- MongoDB ----

def database():
    import pymongo
    return pymongo.MongoClient(URL, w="majority", journal=True).get_default_database()


def mongo_tenants(db):
    return [document["_id"] for document in db.customers.find({}, {"_id": 1})]


def mongo_per_tenant():
    db = database()
    for tenant in mongo_tenants(db):
        for collection in tables():
            db[collection].delete_many({"tenant": tenant, "at": {"$lt": CUTOFF}})


def mongo_bare():
    database().events.delete_many({"at": {"$lt": CUTOFF}})


def mongo_idle():
    db = database()
    due = [tenant for tenant in mongo_tenants(db) if db.events.find_one({"tenant": tenant, "at": {"$lt": CUTOFF}})]
    assert not due


# ---- Redis ----

def ended_tenants():
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id FROM customers WHERE ended_at < %s ORDER BY id", (ENDED,))
        return {str(row[0]) for row in cursor.fetchall()}


def redis_client():
    import redis
    return redis.Redis(os.environ["BENCH_HOST"], int(os.environ["BENCH_PORT"]), password=os.environ["REDISCLI_AUTH"])


def redis_plain():
    gone, client = ended_tenants(), redis_client()
    for key in client.scan_iter(match="app*"):
        if key.decode().split(":")[1] in gone:
            client.unlink(key)


def redis_one_pass():
    gone, keys, client = ended_tenants(), [], redis_client()
    for key in client.scan_iter(match="app*", count=1000):
        if key.decode().split(":")[1] in gone:
            keys.append(key)
            if len(keys) == 1000:
                client.unlink(*keys)
                keys = []
    if keys:
        client.unlink(*keys)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
