"""What Redis would expire by itself stays under a hold, its expiry is kept, and it is given back when the hold is over."""
import time

import pytest

from programs import fake_clock
from world import idle

TENANTS = "SELECT id AS tenant, ended_at AS subscription FROM customers"
RULES = '''schedule = (
  { data = "Caches"; keep = "subscription + 30 days"; basis = "Contract";
    targets = ( { keys = "app:{tenant}:*"; }, { collection = "notes"; tenant = "customer"; } ); },
  { data = "Sessions"; keep = "30 days"; basis = "Service";
    targets = ( { keys = "session:{tenant}:*"; since = "field:seen_at"; unit = "s"; } ); } );
'''
KEPT = "lapsed:held"


@pytest.fixture
def shop(world):
    world.sql("CREATE TABLE customers (id text PRIMARY KEY, ended_at timestamptz)")
    world.sql("INSERT INTO customers VALUES ('1', NULL), ('2', NULL)")
    for tenant in "12":
        world.redis.set(f"app:{tenant}:home", "x", px=10_000_000)
        world.redis.set(f"app:{tenant}:stays", "x")
        world.redis.hset(f"session:{tenant}:a", mapping={"seen_at": int(time.time())})
        world.redis.pexpire(f"session:{tenant}:a", 20_000_000)
    world.redis.set("unrelated:1", "x", px=10_000_000)
    world.mongodb.notes.insert_one({"customer": "1"})
    world.configure(RULES, tenants=TENANTS, kinds=("main", "docs", "cache"), settings=idle(more='holds = { cooling_off = "0 days"; };\n'))
    return world


def ttls(world, *keys):
    return [world.redis.pttl(key) for key in keys]


def request(world, *arguments):
    answer = world.lapsectl(*arguments)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def released(world, daemon, hold):
    request(world, "release", hold)
    daemon.sweep()


def test_a_tenants_keys_stay_and_expire_again(shop):
    daemon = shop.start()
    said = request(shop, "hold", "--tenant", "1", "--ground", "dispute", "--id", "11111111-1111-4111-8111-111111111111")
    assert '2 keys of store "cache" do not expire by themselves now' in said
    assert ttls(shop, "app:1:home", "session:1:a", "app:1:stays") == [-1, -1, -1]
    assert all(left > 9_000_000 for left in ttls(shop, "app:2:home", "session:2:a", "unrelated:1"))
    assert set(shop.redis.hkeys(KEPT)) == {"app:1:home", "session:1:a"}
    # A key that is made under the hold is kept by the next sweep.
    shop.redis.set("app:1:new", "x", px=5_000_000)
    daemon.sweep()
    daemon.until(lambda: shop.redis.pttl("app:1:new") == -1, "the new key kept")
    # The application decides anew about one, writes another without an expiry, and deletes a third.
    shop.redis.set("app:1:new", "y")
    request(shop, "release", "11111111-1111-4111-8111-111111111111")
    daemon.sweep()
    daemon.until(lambda: not shop.redis.exists(KEPT), "everything given back")
    home, session = ttls(shop, "app:1:home", "session:1:a")
    assert 9_000_000 < home <= 10_000_000 and 19_000_000 < session <= 20_000_000
    assert ttls(shop, "app:1:new", "app:1:stays") == [-1, -1]
    assert daemon.stop() == 0
    # The journal knows of no key.
    assert "app:1" not in shop.journal.text() and "app:1" not in daemon.log


def test_what_has_lapsed_meanwhile_expires_at_once(shop):
    shop.redis.pexpire("app:1:home", 3000)
    daemon = shop.start()
    request(shop, "hold", "--all", "--ground", "dispute", "--id", "21111111-1111-4111-8111-111111111111")
    assert ttls(shop, "app:1:home", "app:2:home") == [-1, -1]
    assert shop.redis.pttl("unrelated:1") > 0  # no rule's
    at = int(shop.redis.hget(KEPT, "app:1:home").split(":")[0])
    daemon.until(lambda: time.time() * 1000 > at + 100, "its time", deadline=10)
    assert shop.redis.exists("app:1:home")
    request(shop, "release", "21111111-1111-4111-8111-111111111111")
    daemon.sweep()
    daemon.until(lambda: not shop.redis.exists("app:1:home"), "its expiry")
    assert shop.redis.pttl("app:2:home") > 9_000_000


def test_a_hold_outlives_the_daemon(shop):
    """Placed while no daemon runs, found by the next one; released while none runs, given back by the one after it."""
    daemon = shop.start()
    request(shop, "hold", "--rule", "Sessions", "--ground", "dispute", "--id", "31111111-1111-4111-8111-111111111111")
    assert ttls(shop, "session:1:a", "session:2:a") == [-1, -1] and shop.redis.pttl("app:1:home") > 0
    assert daemon.stop() == 0
    daemon = shop.start()
    daemon.sweep()
    assert ttls(shop, "session:1:a", "session:2:a") == [-1, -1]
    released(shop, daemon, "31111111-1111-4111-8111-111111111111")
    daemon.until(lambda: not shop.redis.exists(KEPT), "everything given back")
    assert all(left > 0 for left in ttls(shop, "session:1:a", "session:2:a"))


def test_a_ttl_index_is_named_in_the_answer(shop):
    shop.mongodb.notes.create_index("at", expireAfterSeconds=3600)
    daemon = shop.start()
    daemon.sweep()
    said = request(shop, "hold", "--tenant", "1", "--ground", "dispute")
    assert "MongoDB deletes by a TTL index, held or not, from notes" in said


def test_nothing_cools_off_by_a_clock_in_doubt(shop):
    """No batch is begun while the clock is in doubt; what expires by itself must not be given back either."""
    shop.configure(RULES, tenants=TENANTS, kinds=("main", "docs", "cache"), settings=idle(more='holds = { cooling_off = "2 days"; };\n'))
    shop.environment, set_clock = fake_clock(shop.environment, shop.folder, "+0")
    daemon = shop.start()
    daemon.sweep()
    request(shop, "hold", "--tenant", "1", "--ground", "dispute", "--id", "case-1")
    request(shop, "release", "case-1")
    set_clock("+10d")
    request(shop, "hold", "--tenant", "2", "--ground", "dispute", "--id", "case-2")
    assert ttls(shop, "app:1:home", "session:1:a", "app:2:home") == [-1, -1, -1]
    # A release that comes while the clock is behind counts from the time that is known.
    set_clock("-10d")
    request(shop, "release", "case-2")
    set_clock("+0")
    request(shop, "hold", "--tenant", "3", "--ground", "dispute", "--id", "case-3")
    assert ttls(shop, "app:1:home", "session:1:a", "app:2:home") == [-1, -1, -1]
    assert daemon.stop() == 0
    shop.verify()


def test_nothing_cools_off_before_the_stores_confirmed_the_clock(shop):
    """After a boot there is nothing else that could tell."""
    settings = idle(more='holds = { cooling_off = "2 days"; };\n')
    shop.configure(RULES, tenants=TENANTS, kinds=("main", "docs", "cache"), settings=settings)
    daemon = shop.start()
    request(shop, "hold", "--tenant", "1", "--ground", "dispute", "--id", "case-1")
    request(shop, "release", "case-1")
    assert daemon.stop() == 0
    (shop.folder / "state" / "clock.json").unlink(missing_ok=True)  # of another boot
    honest = shop.environment
    shop.environment, _ = fake_clock(honest, shop.folder, "+10d")
    daemon = shop.start()
    request(shop, "hold", "--tenant", "2", "--ground", "dispute", "--id", "case-2")
    assert ttls(shop, "app:1:home", "session:1:a", "app:2:home") == [-1, -1, -1]
    assert daemon.stop() == 0
