"""The real programs against real servers. Servers are started once a run (or taken from the environment, where
scripts/servers.py put them); every test gets databases of its own."""
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg2
import pymongo
import pytest
import redis

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(Path(__file__).resolve().parent)]
from demo import setup, stores  # noqa: E402
from world import Product, World  # noqa: E402

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def servers(tmp_path_factory):
    """The environment with the servers' addresses."""
    if "LAPSED_TEST_POSTGRESQL" in os.environ:
        yield dict(os.environ)
        return
    folder, script = tmp_path_factory.mktemp("servers"), str(REPOSITORY / "scripts" / "servers.py")
    subprocess.run([script, "start", str(folder)], check=True)
    try:
        yield {**os.environ, **json.loads((folder / "servers.json").read_text())["env"]}
    finally:
        subprocess.run([script, "stop", str(folder)], check=True)


@pytest.fixture
def place(servers):
    """A database of each server for this test alone: (name, Redis number)."""
    number = next(_numbers)
    name = f"t{os.getpid()}_{number}"
    yield name, number
    admin = psycopg2.connect(stores.postgresql_url(servers, "postgres"))
    admin.autocommit = True
    with admin.cursor() as cursor:
        cursor.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    admin.close()
    with pymongo.MongoClient(servers["LAPSED_TEST_MONGODB_ADMIN"]) as client:
        client.drop_database(name)
    with redis.Redis.from_url(servers["LAPSED_TEST_REDIS_ADMIN"].rsplit("/", 1)[0] + f"/{number}") as client:
        client.flushdb()
    setup.revoke(servers, name)


@pytest.fixture
def world(servers, place, tmp_path):
    """Empty databases that the user "lapsed" may do everything in, and a folder for a configuration."""
    with World(servers, place, tmp_path) as made:
        yield made


@pytest.fixture(params=["caasaas", "casso"])
def product(request, servers, place, tmp_path):
    """One of the two products, loaded, with the grants that lapsectl prints and the schedule of etc/."""
    with Product(request.param, servers, place, tmp_path) as made:
        yield made


@pytest.fixture
def caasaas(servers, place, tmp_path):
    with Product("caasaas", servers, place, tmp_path) as made:
        yield made
