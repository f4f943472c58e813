"""Least privilege: what the daemon's users may do beyond the schedule is a finding, or refused; and nothing that looks can write."""
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import time

import psycopg2
import pymongo
import pytest
import redis

import programs
from demo import setup

_spec = importlib.util.spec_from_file_location("servers_py", programs.REPOSITORY / "scripts" / "servers.py")
servers_py = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(servers_py)

TENANTS = "SELECT id AS tenant, ended_at AS subscription FROM customers"
RULES = '''schedule = (
  { data = "Events"; keep = "12 months"; basis = "Security";
    targets = ( { table = "events"; tenant = "customer_id"; since = "at"; },
                { collection = "events"; tenant = "customer"; since = "at"; }, { keys = "events:{tenant}"; since = "score"; unit = "s"; } ); } );
'''


@pytest.fixture
def shop(world):
    world.sql("CREATE TABLE customers (id bigint PRIMARY KEY, ended_at timestamptz)")
    world.sql("INSERT INTO customers VALUES (1, NULL)")
    world.sql("CREATE TABLE events (id bigint PRIMARY KEY, customer_id bigint NOT NULL, at timestamptz NOT NULL)")
    world.sql("INSERT INTO events VALUES (1, 1, now() - interval '2 years'), (2, 1, now())")
    world.mongodb.events.insert_one({"customer": 1})
    world.redis.zadd("events:1", {"a": 1})
    world.configure(RULES, tenants=TENANTS, kinds=("main", "docs", "cache"), privileges="warn")
    return world


def wide(world):
    """{store: texts} as lapsectl check says."""
    found = {}
    for one in json.loads(world.lapsectl("check", "--json").stdout)["remarks"]:
        if one["code"] == "privileges-wide":
            found.setdefault(one["store"], []).append(one["text"])
    return found


@pytest.fixture
def granted(shop):
    """The same with users that have what lapsectl grants prints, and no more."""
    user = setup.user_of(shop.database)
    for store, kind in (("main", "postgresql"), ("docs", "mongodb"), ("cache", "redis")):
        text = shop.lapsectl("grants", "--store", store, "--role", user)
        assert text.returncode == 0, text.stderr
        getattr(setup, f"grant_{kind}")(text.stdout, shop.servers, shop.database)
    text = shop.config.read_text()
    for kind in ("postgresql", "mongodb", "redis"):
        text = text.replace(setup.url(shop.servers, kind, shop.database, shop.redis_number),
                            setup.product_url(shop.servers, kind, shop.database, shop.redis_number, False))
    shop.config.write_text(text)
    shop.user = user
    return shop


def test_wide_users_are_found(shop):
    found = wide(shop)
    assert 'may write to "customers", which no target names' in found["main"][0]
    assert '"dbOwner"' in found["docs"][0]
    assert "may administer the server" in found["cache"][0]


def test_the_grants_are_enough_and_no_finding(granted):
    assert wide(granted) == {}
    assert granted.once().returncode == 0
    assert granted.one("SELECT count(*) FROM events") == 1


def test_the_grants_are_enough_for_a_hold(granted):
    """What expires by itself is kept and given back, with these rights alone."""
    granted.redis.pexpire("events:1", 10_000_000)
    granted.config.write_text(granted.config.read_text() + 'holds = { cooling_off = "0 days"; };\n')
    daemon = granted.start()
    said = granted.lapsectl("hold", "--tenant", "1", "--ground", "dispute", "--id", "11111111-1111-4111-8111-111111111111").stdout
    assert '1 keys of store "cache" do not expire by themselves now' in said and granted.redis.pttl("events:1") == -1
    assert granted.lapsectl("release", "11111111-1111-4111-8111-111111111111").returncode == 0
    daemon.sweep()
    daemon.until(lambda: granted.redis.pttl("events:1") > 0 or not granted.redis.exists("events:1"), "its expiry")
    assert "permission denied" not in daemon.log


@pytest.mark.parametrize("more, expected", [
    ("ALTER ROLE {} SUPERUSER", "is a superuser"),
    ("ALTER ROLE {} BYPASSRLS", "bypasses row-level security, which no table of the schedule has"),
    ("ALTER ROLE {} CREATEROLE", "may make roles"),
    ("GRANT pg_write_all_data TO {}", 'may write to "customers"'),
    ("GRANT INSERT ON customers TO {}", 'may write to "customers"'),
    ("GRANT UPDATE (ended_at) ON customers TO {}", 'may write to "customers"'),
    ("ALTER TABLE customers OWNER TO {}", 'may write to "customers"'),
    ("CREATE ROLE {}_boss SUPERUSER; GRANT {}_boss TO {}", "can become"),
])
def test_more_than_granted_in_postgresql(granted, more, expected):
    granted.sql(more.replace("{}_boss", f'"{granted.user}_boss"').replace("{}", f'"{granted.user}"'))
    try:
        found = wide(granted)
        assert list(found) == ["main"] and expected in found["main"][0]
        refuses(granted, expected)
    finally:
        granted.sql(f'ALTER TABLE customers OWNER TO admin; DROP ROLE IF EXISTS "{granted.user}_boss"')


def refuses(world, expected):
    """privileges = "refuse": nothing of the store is swept, and both programs say why."""
    world.config.write_text(world.config.read_text().replace('privileges = "warn"', 'privileges = "refuse"'))
    check = world.lapsectl("check")
    assert check.returncode == 78 and expected in check.stdout
    answer = world.once()
    assert answer.returncode == 78 and expected in answer.stdout
    assert world.one("SELECT count(*) FROM events") == (2 if 'store "main"' in check.stdout else 1)


def test_row_level_security_needs_bypass_and_grants_say_so(granted):
    granted.sql("ALTER TABLE events ENABLE ROW LEVEL SECURITY")
    check = granted.lapsectl("check")
    assert check.returncode == 78 and 'row-level security of "events" hides rows' in check.stdout
    assert granted.once().returncode == 78
    assert granted.one("SELECT count(*) FROM events") == 2
    grants = granted.lapsectl("grants", "--store", "main", "--role", granted.user).stdout
    assert f'ALTER ROLE "{granted.user}" BYPASSRLS;' in grants
    granted.sql(grants)
    assert wide(granted) == {}
    assert granted.once().returncode == 0
    assert granted.one("SELECT count(*) FROM events") == 1


@pytest.mark.parametrize("role", [{"role": "readWriteAnyDatabase", "db": "admin"}, {"role": "root", "db": "admin"}, "dbOwner", "readWrite"])
def test_more_than_granted_in_mongodb(granted, role):
    granted.mongodb.command("grantRolesToUser", granted.user, roles=[role])
    found = wide(granted)
    assert list(found) == ["docs"] and f'"{role if isinstance(role, str) else role["role"]}"' in found["docs"][0]
    refuses(granted, "may change more than the schedule names")


@pytest.mark.parametrize("rules, expected", [(("+@all", "allkeys"), "may administer the server"), (("allkeys",), "may reach all keys")])
def test_more_than_granted_in_redis(granted, rules, expected):
    with redis.Redis.from_url(granted.servers["LAPSED_TEST_REDIS_ADMIN"]) as admin:
        admin.execute_command("ACL", "SETUSER", granted.user, *rules)
    found = wide(granted)
    assert list(found) == ["cache"] and expected in found["cache"][0]
    refuses(granted, expected)


def test_the_daemon_tells_it_as_a_finding(shop):
    assert shop.once().returncode == 0  # a warning
    codes = [entry["store"] for entry in shop.journal.entries("finding", code="privileges-wide")]
    assert sorted(set(codes)) == ["cache", "docs", "main"]


def test_looking_works_for_users_that_may_only_look(granted):
    """plan and check by users without a single right to write: if they tried to write anything, they would be refused."""
    granted.sql(f'REVOKE DELETE, UPDATE ON events FROM "{granted.user}"')
    granted.sql(f'ALTER ROLE "{granted.user}" SET default_transaction_read_only = off')
    granted.mongodb.command("updateRole", granted.user, privileges=[
        {"resource": {"db": granted.database, "collection": ""}, "actions": ["find", "listCollections", "listIndexes"]}], roles=[])
    plan = granted.lapsectl("plan", "--json")
    # The catalog says that the rights to destroy are missing; everything else was asked and answered.
    assert plan.returncode == 78 and "Traceback" not in plan.stderr and json.loads(plan.stdout)["rules"]
    check = granted.lapsectl("check")
    assert check.returncode == 78 and "DELETE" in check.stdout and "remove" in check.stdout


def test_a_session_that_looks_cannot_write(shop):
    """Inside of the server: what lapsectl opens is read-only from its first statement on, whatever the URL's options are."""
    shop.sql("CREATE FUNCTION sneak() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN DELETE FROM events; RETURN NULL; END $$")
    text = shop.config.read_text().replace("SELECT id AS tenant, ended_at AS subscription FROM customers",
                                           "SELECT id AS tenant, sneak() AS subscription FROM customers")
    shop.config.write_text(text)
    for verb in ("check", "plan"):
        answer = shop.lapsectl(verb)
        assert answer.returncode in (75, 77) and "read-only" in answer.stderr, answer.stdout + answer.stderr
    assert shop.one("SELECT count(*) FROM events") == 2


def test_a_role_that_may_not_write_is_told(shop):
    shop.sql(f'ALTER ROLE lapsed IN DATABASE "{shop.database}" SET default_transaction_read_only = on')
    expected = "are read-only"
    try:
        check = shop.lapsectl("check")
        assert check.returncode == 78 and expected in check.stdout, check.stdout
        answer = shop.once()
        assert expected in answer.stdout and answer.returncode in (75, 78)
        assert shop.one("SELECT count(*) FROM events") == 2
    finally:
        shop.sql(f'ALTER ROLE lapsed IN DATABASE "{shop.database}" RESET default_transaction_read_only')


def test_a_commit_that_may_be_lost_is_told(shop):
    shop.sql(f'ALTER DATABASE "{shop.database}" SET synchronous_commit = off')
    remarks = json.loads(shop.lapsectl("check", "--json").stdout)["remarks"]
    assert [one["store"] for one in remarks if one["code"] == "synchronous-commit"] == ["main"]


def test_ttl_index_trigger_and_eviction_are_told(shop):
    shop.mongodb.events.create_index("at", expireAfterSeconds=3600)
    shop.sql("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN OLD; END $$")
    shop.sql("CREATE TRIGGER t BEFORE DELETE ON events FOR EACH ROW EXECUTE FUNCTION f()")
    with redis.Redis.from_url(shop.servers["LAPSED_TEST_REDIS_ADMIN"]) as admin:
        kept = admin.config_get("maxmemory*")
        try:
            admin.config_set("maxmemory", "1gb")
            admin.config_set("maxmemory-policy", "allkeys-lru")
            codes = {one["code"] for one in json.loads(shop.lapsectl("check", "--json").stdout)["remarks"]}
            assert shop.once().returncode == 0
        finally:
            admin.config_set("maxmemory-policy", kept["maxmemory-policy"])
            admin.config_set("maxmemory", kept["maxmemory"])
    assert {"ttl-index", "trigger", "eviction"} <= codes
    # The daemon's survey says the same.
    assert {"ttl-index", "trigger", "eviction"} <= {entry["code"] for entry in shop.journal.entries("finding")}


def test_a_replica_of_redis_is_told(shop):
    with redis.Redis.from_url(shop.servers["LAPSED_TEST_REDIS_ADMIN"]) as admin:
        admin.execute_command("REPLICAOF", "127.0.0.1", "1")
        try:
            check = shop.lapsectl("check")
            assert check.returncode in (75, 78) and "is a replica; name the primary" in check.stdout
            assert "is a replica" in shop.once().stdout
        finally:
            admin.execute_command("REPLICAOF", "NO", "ONE")


def test_a_secondary_of_mongodb_is_told(shop):
    with pymongo.MongoClient(shop.servers["LAPSED_TEST_MONGODB_ADMIN"]) as client:
        client.admin.command("replSetStepDown", 5, force=True)
        try:
            check = shop.lapsectl("check")
        finally:
            deadline = time.monotonic() + 60
            while not client.admin.command("hello")["isWritablePrimary"]:
                assert time.monotonic() < deadline
                time.sleep(0.1)
    assert check.returncode == 75 and "docs" in check.stdout and "no primary now" in check.stdout or "no server that can be written to" in check.stdout


def pid_of(server):
    return int((server.data / "cluster" / "postmaster.pid").read_text().split()[0])


def stop(server):
    """Ends the server whose process id stands in its folder, and waits until it is gone."""
    pid = pid_of(server)
    os.kill(pid, signal.SIGINT)
    deadline = time.monotonic() + 60
    while (server.data / "cluster" / "postmaster.pid").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_standby_of_postgresql_is_told(tmp_path):
    """A cluster of its own that takes itself for a standby: lapsectl says so, and the daemon leaves the store."""
    data = servers_py.data_folder(False)
    server = servers_py.Postgresql(tmp_path, data, {"admin": "admin", "lapsed": "secret-of-a-test"}, False)
    try:
        server.start()
        stop(server)
        signal_file = server.data / "cluster" / "standby.signal"
        signal_file.touch()
        if server.user:
            os.chown(signal_file, server.user.pw_uid, server.user.pw_gid)
        log = open(tmp_path / "standby.log", "wb")
        process = subprocess.Popen(server.command(server.programs / "postgres", "-D", server.data / "cluster", "-p", server.port, "-k", server.data,
                                                  "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"), stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/")
        servers_py.wait_for("the standby", lambda: psycopg2.connect(server.admin_url("postgres")).close() is None, process, tmp_path / "standby.log")
        config = tmp_path / "lapsed.conf"
        config.write_text(f'''stores = {{ main = {{ url = "{server.urls()[0]}"; }}; }};
journal = {{ folder = "journal"; }}; state = "state"; run = "run";
schedule = ( {{ data = "Events"; keep = "1 day"; basis = "b"; targets = ( {{ table = "events"; tenant = "none"; since = "at"; }} ); }} );\n''')
        environment = {**os.environ, "LAPSED_MAIN_PASSWORD": "secret-of-a-test"}
        check = programs.lapsectl(config, "check", environment=environment)
        assert check.returncode == 75 and "is a standby, which cannot be written to; name the primary" in check.stdout, check.stdout
        once = programs.lapsed_once(config, environment)
        assert once.returncode == 75 and "is a standby" in once.stdout
    finally:
        stop(server)
        shutil.rmtree(data, ignore_errors=True)
