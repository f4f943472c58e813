"""What a test has to itself: a database in each server, a folder with a configuration, and the programs run on both."""
import json
import re
import signal
from collections import Counter
from contextlib import contextmanager
from datetime import datetime, timezone

import psycopg2
import pymongo
import redis

from demo import compare, load, setup, stores
from programs import LAPSECTL, Daemon, Journal, fake_clock, lapsectl, lapsed_once, lapsed_test

# The daemon then waits for USR1: the window is never open while a test runs.
def idle(load_setting="full", more=""):
    hour = (datetime.now(timezone.utc).hour + 12) % 24
    return f'sweep = {{ every = "1 day"; window = "{hour:02}:00-{(hour + 1) % 24:02}:00"; load = "{load_setting}"; }};\n{more}'


PATIENT = 'timeout = { statement = "2 minutes"; lock = "1 minute"; };\n'  # for whoever is held up

# A world's rules run at once and without limits: what brakes do is tested where a test says `brakes` itself.
NO_BRAKES = ("brakes = { first_run = false; records = 999999999; tenants = 999999999; share = 100; growth = 1; shrink = 100; };\n")


def with_brakes(settings):
    settings = idle() if settings is None else settings
    return settings if "brakes" in settings else settings + NO_BRAKES


class Base:
    def __init__(self, servers, place, folder):
        self.servers, (self.database, self.redis_number), self.folder = servers, place, folder
        self.environment = {**servers, **{f"LAPSED_{name}_PASSWORD": servers["LAPSED_TEST_PASSWORD"]
                                          for name in ("MAIN", "DOCS", "CACHE", "SESSIONS")}}
        self.config = folder / "lapsed.conf"
        self.journal = Journal(folder / "journal")
        self.daemons = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for daemon in self.daemons:
            if daemon.process.poll() is None:
                daemon.process.kill()
            daemon.process.wait()
        self.postgresql.close()
        self.mongodb_client.close()
        self.redis.close()

    def connect(self):
        self.postgresql = psycopg2.connect(stores.postgresql_url(self.servers, self.database))
        self.postgresql.autocommit = True
        self.mongodb_client = pymongo.MongoClient(self.servers["LAPSED_TEST_MONGODB_ADMIN"], tz_aware=True)
        self.mongodb = self.mongodb_client[self.database]
        self.redis = redis.Redis.from_url(self.servers["LAPSED_TEST_REDIS_ADMIN"].rsplit("/", 1)[0] + f"/{self.redis_number}",
                                          decode_responses=True)

    def sql(self, text, *values):
        """Rows of a query, or nothing."""
        with self.postgresql.cursor() as cursor:
            cursor.execute(text, values or None)
            return cursor.fetchall() if cursor.description else None

    def one(self, text, *values):
        return self.sql(text, *values)[0][0]

    def once(self, **options):
        return lapsed_once(self.config, self.environment, **options)

    def start(self, **options):
        """A daemon that has entered its schedule; it is killed at the end of the test if it still runs."""
        before = len(self.journal.entries("start"))
        daemon = Daemon(self.config, self.journal, options.pop("environment", self.environment), **options)
        self.daemons.append(daemon)
        daemon.wait_for("start", before + 1)
        return daemon

    @contextmanager
    def held_up(self, daemon, table, id):
        """The daemon in mid-sweep: it has come to this record, which an application has locked. Yields what lets it go on."""
        application = psycopg2.connect(stores.postgresql_url(self.servers, self.database))
        application.cursor().execute(f"SELECT 1 FROM {table} WHERE id = %s FOR UPDATE", (id,))
        daemon.send(signal.SIGUSR1)
        daemon.until(lambda: self.sql("SELECT 1 FROM pg_stat_activity WHERE usename = 'lapsed' AND datname = %s AND wait_event_type = 'Lock'",
                                      self.database), "the daemon waits for the application")
        yield application.rollback
        application.close()

    def lapsectl(self, *arguments):
        return lapsectl(self.config, *arguments, environment=self.environment)

    def plan_and_sweep(self):
        """(the plan, {rule: what a sweep at the same time did, in the words of its last entry}, the plan after it)"""
        now = f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S}"
        before = self.lapsectl("plan", "--json", "--at", now)
        assert before.returncode == 0, before.stderr
        stopped, _ = fake_clock(self.environment, self.folder, now)
        swept = lapsed_once(self.config, {**stopped, "TZ": "UTC"})
        assert swept.returncode == 0, swept.stdout
        rows = self.journal.entries("sweep-end")[-1]["results"]
        assert all(row["left"] == 0 for row in rows)
        done = {row["data"]: Counter({key: row[key] for key in ("purged", "anonymized", "dependents", "blocked")}) for row in rows}
        return json.loads(before.stdout), done, json.loads(self.lapsectl("plan", "--json", "--at", now).stdout)

    def check(self):
        return lapsed_test(self.config, self.environment)

    def verify(self):
        """Whole, and signed to its end unless a daemon still writes or was killed."""
        answer = self.lapsectl("journal", "verify")
        assert answer.returncode in (0, 2), answer.stdout + answer.stderr
        return answer


class World(Base):
    """Empty databases, in which the user "lapsed" may do everything."""

    def __init__(self, servers, place, folder):
        super().__init__(servers, place, folder)
        stores.Postgresql.create(servers, self.database)
        self.connect()
        self.sql("ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO lapsed")
        self.mongodb_client.admin.command("grantRolesToUser", "lapsed", roles=[{"role": "dbOwner", "db": self.database}])

    def url(self, kind):
        return setup.url(self.servers, kind, self.database, self.redis_number)

    def configure(self, schedule, tenants=None, settings=None, kinds=("main",), privileges=None):
        """lapsed.conf with these stores and this schedule; `tenants` is an SQL query with the end "subscription". That the user may do
        more than it needs is nothing new here."""
        of = {"main": "postgresql", "docs": "mongodb", "cache": "redis"}
        text = "stores = { " + " ".join(f'{name} = {{ url = "{self.url(of[name])}"; }};' for name in kinds) + " };\n"
        if tenants:
            text += f'tenants = {{ store = "main"; ends = [ "subscription" ]; query = "{tenants}"; }};\n'
        text += 'journal = { folder = "journal"; };\nstate = "state";\nrun = "run";\n'
        text += 'privileges = "ignore";\n' if privileges is None else f'privileges = "{privileges}";\n'
        text += with_brakes(settings) + 'schedule = "schedule.conf";\n'
        self.config.write_text(text)
        (self.folder / "schedule.conf").write_text(schedule)

    def simple(self, rows=20, due=10, settings=None):
        """One table "events" of tenants 1 and 2, `due` of `rows` older than 12 months, and the schedule for it."""
        self.sql("CREATE TABLE customers (id bigint PRIMARY KEY, ended_at timestamptz)")
        self.sql("CREATE TABLE events (id bigint PRIMARY KEY, customer_id bigint NOT NULL, at timestamptz, secret text)")
        self.sql("CREATE INDEX ON events (customer_id, at)")
        self.sql("INSERT INTO customers VALUES (1, NULL), (2, NULL)")
        self.sql("INSERT INTO events SELECT n, 1 + n %% 2, now() - CASE WHEN n <= %s THEN interval '13 months' ELSE interval '11 months' END,"
                 " 'CANARY-' || n FROM generate_series(1, %s) n", due, rows)
        self.configure(RULE_EVENTS, tenants="SELECT id AS tenant, ended_at AS subscription FROM customers", settings=settings)


RULE_EVENTS = '''schedule = (
  { data = "Events"; keep = "12 months"; basis = "Security";
    targets = ( { table = "events"; tenant = "customer_id"; since = "at"; } ); }
);
'''


class Product(Base):
    """CaaSaaS or Casso with its data, schedule and grants."""

    def __init__(self, name, servers, place, folder):
        super().__init__(servers, place, folder)
        self.name, self.module = name, load.product(name)
        self.loaded_at = datetime.now(timezone.utc).replace(microsecond=0)
        self.dataset = load.load(name, servers, self.loaded_at, 1, self.redis_number, database=self.database)
        self.connect()
        self.configure()
        setup.grant(LAPSECTL, name, folder, servers, self.redis_number, self.database)

    def configure(self, settings=None):
        setup.write_configuration(self.name, self.folder, self.servers, self.redis_number, self.database,
                                  settings=with_brakes(settings))

    def compare(self):
        """(the oracle's sweep as of the journal's last one, all differences)"""
        sweep, comparisons = compare.compare(self.name, self.dataset, compare.sweep_time(self.journal.entries()), self.servers,
                                             self.redis_number, self.database)
        return sweep, [f"{one.target}: {text}" for one in comparisons for text in one.differences]

    def snapshot(self):
        """Every row with its xmin, every document and every key: equal only if nothing was written at all."""
        found = {}
        for name, table in self.dataset.tables.items():
            if table.store == "main":
                found[name] = sorted(map(repr, self.sql(f"SELECT xmin::text, t::text FROM {name} t")))
        actual = compare.read_all(self.module, self.dataset, self.servers, self.database, self.redis_number)
        return found, actual

    def personal_text(self):
        """All that is left in the stores, as text: to look for canaries."""
        return repr(compare.read_all(self.module, self.dataset, self.servers, self.database, self.redis_number))


def planned_totals(plan):
    """{rule: what the plan expects of a sweep, in the words of the journal's sweep-end}"""
    of = {}
    for row in plan["rules"]:
        sums = of.setdefault(row["rule"], Counter(purged=0, anonymized=0, dependents=0, blocked=0))
        sums["purged" if row["stage"] == "purge" else "anonymized"] += row["ready"]
        sums["dependents"] += row["dependents"]
        sums["blocked"] += row["due"] - row["ready"] if row["stage"] == "purge" else 0
    return of


def canaries(text):
    return set(re.findall(r"CANARY[-\w.]*", text))
