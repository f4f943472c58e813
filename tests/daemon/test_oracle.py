"""The demo's oracle and comparison judge the daemon; here they are judged. A purge written plainly in SQL, in PostgreSQL's
own calendar, must satisfy the comparison, and every small deviation from it must not."""
from datetime import datetime, timedelta, timezone

import psycopg2
import pymongo
import pytest
import redis

from demo import compare, load, periods, stores

NOW = datetime(2026, 11, 23, 6, 30, tzinfo=timezone.utc)  # a day on which no month has to be clamped


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


@pytest.mark.parametrize("now, count, unit, expected", [
    ("2026-11-23 01:00", 30, "days", "2026-10-24 01:00:00.000001"),
    ("2026-11-23 01:00", 12, "months", "2025-11-23 01:00:00.000001"),
    ("2026-02-28 10:00", 1, "months", "2026-01-28 10:00:00.000001"),  # 29-31 January wait until that time of their own day
    ("2026-03-01 00:00", 1, "months", "2026-02-01 00:00:00.000001"),
    ("2031-02-28 12:00", 7, "years", "2024-02-28 12:00:00.000001"),
])
def test_cutoffs(now, count, unit, expected):
    assert periods.cutoff(at(now), count, unit) == at(expected)


def test_at_least_rounds_a_missing_day_up():
    """29 February and seven years: kept at most until 28 February, kept at least until 1 March."""
    assert periods.cutoff(at("2031-02-28 23:00"), 7, "years", round_up=True) <= at("2024-02-29 00:00")
    assert periods.cutoff(at("2031-03-01 00:00"), 7, "years") > at("2024-02-29 00:00")


def test_nothing_before_a_cutoff_is_early():
    """Against the definition, every third day of four years: the anchors around a cutoff, added up, lie on the right side of now."""
    def after_a_month(anchor):
        return datetime.combine(periods._day_after_months(anchor.date(), 1, False), anchor.time(), timezone.utc)
    for day in range(0, 1461, 3):
        now = at("2023-01-01 10:00") + timedelta(days=day)
        edge = periods.cutoff(now, 1, "months")
        assert after_a_month(edge) > now
        assert all(after_a_month(edge - timedelta(hours=hours, microseconds=1)) <= now for hours in range(0, 100)), now


def purge_by_hand(postgresql, mongodb, cache):
    """CaaSaaS's table, once more, as SQL: anchor + interval <= now."""
    with postgresql.cursor() as cursor:
        cursor.execute("SET timezone = 'UTC'")
        run = lambda text: cursor.execute(text, {"now": NOW})
        run("CREATE TEMP TABLE over AS SELECT customer_id AS id, max(ended_at) AS ended FROM subscriptions GROUP BY 1"
            " HAVING bool_and(ended_at IS NOT NULL)")
        run("CREATE TEMP TABLE thirty AS SELECT id FROM over WHERE ended + interval '30 days' <= %(now)s")
        run("CREATE TEMP TABLE ninety AS SELECT id FROM over WHERE ended + interval '90 days' <= %(now)s")
        for child, parent, column in (("brand_assets", "brands", "brand_id"), ("support_messages", "support_tickets", "ticket_id")):
            run(f"DELETE FROM {child} USING {parent} p WHERE {column} = p.id AND p.customer_id IN (SELECT id FROM thirty)")
        for table in ("brands", "support_tickets", "contacts", "site_credentials"):
            run(f"DELETE FROM {table} WHERE customer_id IN (SELECT id FROM thirty)")
        run("DELETE FROM tool_executions t USING (SELECT id, CASE WHEN plan = 'enterprise' THEN"
            " least(greatest(audit_log_months, 12), 84) END AS months FROM customers UNION SELECT unnest(ARRAY[90, 91, 92]), 12) c"
            " WHERE c.id = customer_id AND executed_at + make_interval(months => coalesce(months, 12)) <= %(now)s")
        run("DELETE FROM ai_usage WHERE used_at + interval '12 months' <= %(now)s")
        run("DELETE FROM auth_events WHERE happened_at + interval '12 months' <= %(now)s")
        run("DELETE FROM invoice_lines USING invoices i WHERE i.id = invoice_id AND i.issued_on + 1 + interval '7 years' <= %(now)s")
        run("DELETE FROM invoices WHERE issued_on + 1 + interval '7 years' <= %(now)s")
        run("DELETE FROM page_views WHERE viewed_at + interval '26 months' <= %(now)s")
        run("UPDATE page_views SET anonymized_at = now(), session_id = NULL, referrer = substring(referrer from '//([^/]*)'),"
            " url = split_part(url, '?', 1), visitor_id = 'anon:' || encode(sha256(visitor_id::bytea), 'hex'),"
            " user_agent = substring(user_agent from 'Firefox|Chrome'),"
            " ip = CASE WHEN ip <<= '::ffff:0:0/96' THEN '203.0.113.0/24' WHEN family(ip) = 4 THEN network(set_masklen(ip, 24))"
            " ELSE network(set_masklen(ip, 48)) END"
            " WHERE anonymized_at IS NULL AND viewed_at + interval '14 months' <= %(now)s")
        for _ in range(2):  # clients before their resellers
            free = "SELECT id FROM ninety n WHERE NOT EXISTS (SELECT FROM invoices WHERE customer_id = n.id)" \
                   " AND NOT EXISTS (SELECT FROM customers WHERE reseller_id = n.id)"
            run("DELETE FROM api_keys USING users u WHERE u.id = user_id AND customer_id IN (SELECT id FROM ninety)")
            run("DELETE FROM users WHERE customer_id IN (SELECT id FROM ninety)")
            run(f"DELETE FROM subscriptions WHERE customer_id IN ({free})")
            run(f"DELETE FROM customers WHERE id IN ({free})")
        run("UPDATE customers SET name = 'closed', contact_name = NULL, email = NULL, phone = NULL WHERE id IN (SELECT id FROM ninety)")
        run("SELECT id FROM thirty")
        thirty = [row[0] for row in cursor]
    mongodb.content.delete_many({"customerId": {"$in": thirty}})
    mongodb.prompts.delete_many({"owner.customerId": {"$in": thirty}})
    year_ago = datetime(2025, 11, 23, 6, 30, tzinfo=timezone.utc)
    mongodb.ai_requests.delete_many({"at": {"$lte": year_ago}})
    for tenant in thirty:
        mongodb.drop_collection(f"kb_{tenant}")
        for key in cache.scan_iter(f"caas:{tenant}:*"):
            cache.delete(key)
    for key in cache.scan_iter("usage:*"):
        cache.zremrangebyscore(key, "-inf", year_ago.timestamp())
    for key in cache.scan_iter("authlog:*"):
        cache.xtrim(key, minid=int(year_ago.timestamp() * 1000) + 1, approximate=False)


@pytest.fixture
def judged(servers, place):
    """CaaSaaS as of NOW with the stores at hand, and a function that gives the differences from the oracle."""
    name, number = place
    dataset = load.load("caasaas", servers, NOW, 1, number, database=name)
    postgresql = psycopg2.connect(stores.postgresql_url(servers, name))
    postgresql.autocommit = True
    client = pymongo.MongoClient(servers["LAPSED_TEST_MONGODB_ADMIN"])
    cache = redis.Redis.from_url(servers["LAPSED_TEST_REDIS_ADMIN"].rsplit("/", 1)[0] + f"/{number}", decode_responses=True)
    def differences():
        _sweep, comparisons = compare.compare("caasaas", dataset, NOW, servers, number, name)
        return [f"{one.target}: {text}" for one in comparisons for text in one.differences]
    yield postgresql, client[name], cache, differences
    postgresql.close()
    client.close()
    cache.close()


def test_comparison_passes_for_a_purge_by_hand_and_sees_each_deviation(judged):
    postgresql, mongodb, cache, differences = judged
    assert len(differences()) > 1000, "nothing was purged yet"
    purge_by_hand(postgresql, mongodb, cache)
    assert differences() == []

    def deviation(statement, undo, expected):
        with postgresql.cursor() as cursor:
            cursor.execute(statement)
            assert [text for text in differences() if expected in text], statement
            cursor.execute(undo)
        assert differences() == []
    deviation("UPDATE customers SET phone = 'x' WHERE id = 101", "UPDATE customers SET phone = '+1 555 0199' WHERE id = 101", "customers: (101,): not as expected in phone")
    deviation("CREATE TEMP TABLE taken AS SELECT * FROM contacts WHERE customer_id = 101; DELETE FROM contacts WHERE customer_id = 101",
              "INSERT INTO contacts SELECT * FROM taken", "destroyed, should have stayed")
    deviation("INSERT INTO site_credentials VALUES (1, 101, '', '')", "DELETE FROM site_credentials WHERE id = 1", "was never loaded")
    deviation("UPDATE page_views SET session_id = 's' WHERE id = (SELECT min(id) FROM page_views WHERE anonymized_at >= '2026-11-24' OR anonymized_at IS NOT NULL)",
              "UPDATE page_views SET session_id = NULL WHERE session_id = 's'", "not as expected in session_id")
    cache.delete("caas:101:profile")
    mongodb.content.delete_one({"customerId": 101})
    assert len(differences()) == 2
