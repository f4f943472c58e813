"""Servers of one's own, to be killed, started again on the same data, and stopped for a while."""
import json
import os
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import psycopg2
import pymongo
import redis

SCRIPT = str(Path(__file__).resolve().parents[2] / "scripts" / "servers.py")
DEADLINE = 60
KINDS = ("POSTGRESQL", "MONGODB", "MONGODB_STANDALONE", "REDIS")


class OwnServers:
    """PostgreSQL, MongoDB with and without a replica set, and Redis, which forgets nothing that it has answered for, unlike the one of
    servers.py."""

    def __init__(self, folder):
        self.folder, self.commands = Path(folder), {}

    def __enter__(self):
        subprocess.run([SCRIPT, "--standalone", "start", str(self.folder)], check=True, stdout=subprocess.DEVNULL)
        self.environment = {**os.environ, **json.loads((self.folder / "servers.json").read_text())["env"]}
        with self._redis() as client:
            client.config_set("appendonly", "yes")
            client.config_set("appendfsync", "no")  # only the process dies, not the machine
            client.config_rewrite()
        for kind in KINDS:
            words = [word for word in Path(f"/proc/{self.pid(kind)}/cmdline").read_bytes().split(b"\0") if word]
            # Redis writes its address over its command line.
            self.commands[kind] = [b"redis-server", os.fsencode(self._redis_file())] if kind == "REDIS" else words
        return self

    def __exit__(self, *_):
        subprocess.run([SCRIPT, "stop", str(self.folder)], check=True)

    def _redis(self):
        return redis.Redis.from_url(self.environment["LAPSED_TEST_REDIS_ADMIN"], socket_timeout=2)

    def _redis_file(self):
        return Path(json.loads((self.folder / "servers.json").read_text())["data"]) / "redis" / "redis.conf"

    def pid(self, kind):
        return int(self.environment[f"LAPSED_TEST_{kind}_PID"])

    def family(self, kind):
        """The server and what it has forked."""
        return [self.pid(kind), *(int(one) for one in Path(f"/proc/{self.pid(kind)}/task/{self.pid(kind)}/children").read_text().split())]

    def kill(self, kind):
        """SIGKILL; of PostgreSQL its backends see it and end by themselves."""
        os.kill(self.pid(kind), signal.SIGKILL)
        end = time.monotonic() + DEADLINE
        while alive(self.pid(kind)):
            assert time.monotonic() < end, f"{kind} did not die"
            time.sleep(0.01)

    def start_again(self, kind):
        """On the data that it left; returns when it answers."""
        user = {"user": "postgres", "group": "postgres", "extra_groups": []} if kind == "POSTGRESQL" and os.geteuid() == 0 else {}
        end = time.monotonic() + DEADLINE
        with open(self.folder / f"{kind.lower()}.log", "ab") as log:
            process = None
            while not self.answers(kind):
                # PostgreSQL refuses while a backend of the killed one is still ending.
                if process is None or process.poll() is not None:
                    process = subprocess.Popen(self.commands[kind], stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
                                               cwd="/", **user)
                    self.environment[f"LAPSED_TEST_{kind}_PID"] = str(process.pid)
                assert time.monotonic() < end, f"{kind} did not start again; see {log.name}"
                time.sleep(0.05)

    def answers(self, kind):
        try:
            if kind == "POSTGRESQL":
                psycopg2.connect(self.environment["LAPSED_TEST_POSTGRESQL_ADMIN"], connect_timeout=2).close()
            elif kind == "REDIS":
                with self._redis() as client:
                    client.ping()
            else:
                with pymongo.MongoClient(self.environment[f"LAPSED_TEST_{kind}_ADMIN"], serverSelectionTimeoutMS=500) as client:
                    return client.admin.command("hello")["isWritablePrimary"]
        except (psycopg2.Error, redis.RedisError, pymongo.errors.PyMongoError):
            return False
        return True

    @contextmanager
    def stopped(self, kind):
        """It holds its connections and answers nothing."""
        pids = self.family(kind)
        signal_all(pids, signal.SIGSTOP)
        try:
            yield
        finally:
            signal_all(pids, signal.SIGCONT)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def signal_all(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass
