"""What lapsectl plan says before a sweep is what the sweep does, also where records hold each other back."""
from collections import Counter

from world import planned_totals

TENANTS = "SELECT id AS tenant, ended_at AS subscription FROM customers"
RULES = '''schedule = (
  { data = "Content"; keep = "subscription + 30 days"; basis = "b"; targets = ( { table = "brands"; tenant = "customer_id"; } ); },
  { data = "Accounts"; keep = "subscription + 90 days"; basis = "b"; targets = ( { table = "customers"; tenant = "id"; } ); }
);
'''


def test_own_records_wait_for_what_is_blocked_for_good(world):
    """A claim that no rule ever takes holds one customer's brand, and so that customer's own row. The other's goes."""
    world.sql("CREATE TABLE customers (id bigint PRIMARY KEY, ended_at timestamptz)")
    world.sql("CREATE TABLE brands (id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers)")
    world.sql("CREATE TABLE claims (brand_id bigint REFERENCES brands)")
    world.sql("INSERT INTO customers SELECT n, now() - interval '100 days' FROM generate_series(1, 2) n")
    world.sql("INSERT INTO customers VALUES (3, NULL)")
    world.sql("INSERT INTO brands VALUES (1, 1), (2, 1), (3, 2), (4, 3)")
    world.sql("INSERT INTO claims VALUES (1)")
    world.configure(RULES, tenants=TENANTS)
    before, swept, after = world.plan_and_sweep()
    assert planned_totals(before) == swept
    assert swept == {"Content": Counter(purged=2, blocked=1, anonymized=0, dependents=0),
                     "Accounts": Counter(purged=1, blocked=0, anonymized=0, dependents=0)}
    assert planned_totals(after)["Accounts"]["purged"] == 0
    assert world.sql("SELECT id FROM customers ORDER BY id") == [(1,), (3,)]


def test_clients_go_before_their_reseller(world):
    """Customers that refer to each other: the reseller is ready when its client goes in the same sweep, and blocked when one stays."""
    world.sql("CREATE TABLE customers (id bigint PRIMARY KEY, ended_at timestamptz, reseller_id bigint REFERENCES customers)")
    world.sql("CREATE TABLE brands (id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers)")
    world.sql("INSERT INTO customers SELECT n, now() - interval '100 days', nullif(n - 1, 0) FROM generate_series(1, 5) n")
    world.sql("INSERT INTO customers VALUES (11, now() - interval '100 days', NULL), (12, now() - interval '100 days', 11), (13, NULL, 12)")
    world.sql("INSERT INTO brands SELECT n, n FROM generate_series(1, 5) n")
    world.configure(RULES, tenants=TENANTS)
    before, swept, _ = world.plan_and_sweep()
    assert planned_totals(before) == swept
    assert swept["Accounts"] == Counter(purged=5, blocked=2, anonymized=0, dependents=0)
    accounts = next(row for row in before["rules"] if row["rule"] == "Accounts")
    assert accounts["blocked"] == [{"target": "customers", "by": "customers", "count": 2}]


def test_a_sweep_reads_all_keys_of_a_redis_once(world):
    """The purge takes its keys from the count, and what went as counted is not looked for again."""
    world.sql("CREATE TABLE customers (id bigint PRIMARY KEY, ended_at timestamptz)")
    world.sql("INSERT INTO customers VALUES (1, now() - interval '2 months'), (2, NULL)")
    world.configure('''schedule = ( { data = "Cache"; keep = "subscription + 30 days"; basis = "b";
      targets = ( { keys = "app:{tenant}:*"; } ); } );''', tenants=TENANTS, kinds=("main", "cache"))
    world.redis.mset({f"app:{n % 2 + 1}:{n}": "x" for n in range(60000)})

    def scans():
        return world.redis.info("commandstats").get("cmdstat_scan", {"calls": 0})["calls"]
    before = scans()
    assert world.once().returncode == 0
    assert world.redis.dbsize() == 30000
    # 120 pages of five hundred; besides, the survey looks at a sample of 10,000.
    assert 120 <= scans() - before < 180
