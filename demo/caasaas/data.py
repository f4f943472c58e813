"""CaaSaaS: its customers with their data in three stores, and what one sweep must make of them."""
import random
from datetime import datetime, timedelta

from bson import Int64, ObjectId

from demo import masks
from demo.dataset import Dataset, Sweep
from demo.periods import UTC, cutoff, edges

NAME = "caasaas"
STORES = {"main": "postgresql", "docs": "mongodb", "cache": "redis"}
# Keys that only look like the product's: what the demo's configuration says of them.
STRAY_KEYS = {"xcaas:*": "Another application's keys", "caas:101": "A stray of the demo: no key of the product's looks like it"}
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
EXAMPLE = "120"  # the first customer that ended 91 days ago and has invoices
GONE = (90, 91, 92)  # customers whose row went long ago; their logs are still there

CUSTOMER_DATA = "Customer Data (content, brands, contacts)"
ACCOUNT = "Account Information"
TOOLS = "Tool Execution Audit Logs"
AI = "AI Usage Logs (provider, model, cost)"
AUTH = "Authentication & Security Logs"
BILLING = "Billing Records"
ANALYTICS = "Website Analytics"
RULES = (CUSTOMER_DATA, ACCOUNT, TOOLS, AI, AUTH, BILLING, ANALYTICS)  # in the order of the policy


def canary(tenant, what, number=0):
    """A token that can be found wherever it should not be."""
    return f"CANARY-{tenant}-{what}-{number}"


def empty():
    data = Dataset()
    main = lambda name, *key, references=(), target=None: data.table(name, "main", *key, references=references, target=target)
    main("customers", "id", references=[("reseller_id", "customers")])
    main("subscriptions", "id", references=[("customer_id", "customers")])
    main("users", "id", references=[("customer_id", "customers")])
    main("api_keys", "id", references=[("user_id", "users")])
    main("brands", "id", references=[("customer_id", "customers")])
    main("brand_assets", "id", references=[("brand_id", "brands")])
    main("contacts", "customer_id", "number", references=[("customer_id", "customers")])
    main("support_tickets", "id", references=[("customer_id", "customers")])
    main("support_messages", "id", references=[("ticket_id", "support_tickets")])
    main("site_credentials", "id", references=[("customer_id", "customers")])
    main("tool_executions", "id")
    main("ai_usage", "used_at", "id")
    main("auth_events", "id")
    main("invoices", "id", references=[("customer_id", "customers")])
    main("invoice_lines", "invoice_id", "line", references=[("invoice_id", "invoices")])
    main("page_views", "id")
    for name in ("content", "prompts", "ai_requests"):
        data.table(name, "docs", "_id")
    data.table("caas:{tenant}:*", "cache", "key")
    data.table("usage:{tenant}", "cache", "key", "member")
    data.table("authlog:{tenant}", "cache", "key", "member")
    return data


# ---- generation ----

def scenarios(now):
    """Name, ends of the customer's subscriptions (None: running), and whether there are old or young invoices."""
    ago = lambda days, minutes=0: now - days * DAY + minutes * MINUTE
    both = (True, True)
    return [
        ("live", [None], both), ("just ended", [ago(0, -60)], both), ("ended 29 days ago", [ago(29)], both),
        ("ended 30 days ago, due in a minute", [ago(30, 1)], both), ("ended 30 days ago, due for a minute", [ago(30, -1)], both),
        ("ended 31 days ago", [ago(31)], both), ("ended 89 days ago", [ago(89)], both),
        ("ended 90 days ago, due in a minute", [ago(90, 1)], both), ("ended 90 days ago, due for a minute", [ago(90, -1)], both),
        ("ended 91 days ago", [ago(91)], both), ("ended 91 days ago, no invoices", [ago(91)], (False, False)),
        ("ended long ago, old invoices only", [ago(2700)], (True, False)),
        ("cancelled at the end of the period", [ago(-10)], both), ("resubscribed", [ago(200), None], both),
        ("resubscribed, ended 29 days ago", [ago(200), ago(29)], both),
        ("resubscribed, ended 31 days ago", [ago(200), ago(31)], both), ("never subscribed", [], (False, False)),
    ]


def add_logs(data, now, tenant, months):
    """Records of the three kinds of logs around their cutoffs; `months`: this customer's period for tool executions."""
    for number, at in enumerate(edges(now, months, "months")):
        data.add("tool_executions", id=data.next(), customer_id=tenant, tool="brand.write", executed_at=at,
                 parameters={"prompt": canary(tenant, "tool_executions.parameters", number)})
    for number, at in enumerate(edges(now, 12, "months")):
        data.add("ai_usage", id=data.next(), customer_id=tenant, provider="anthropic", model="large", cost_cents=number, used_at=at)
        data.add("auth_events", id=data.next(), customer_id=tenant, kind="login", ip="198.51.100.7",
                 email=canary(tenant, "auth_events.email", number), happened_at=at)
        data.add("ai_requests", _id=object_id(data), customerId=Int64(tenant), at=to_milliseconds(at), tokens=number)
        data.add("usage:{tenant}", key=f"usage:{tenant}", member=canary(tenant, "usage", number), value=float(int(at.timestamp())))
        data.add("authlog:{tenant}", key=f"authlog:{tenant}", member=f"{int(at.timestamp() * 1000)}-{number}",
                 value={"email": canary(tenant, "authlog", number)})


def to_milliseconds(at):
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def object_id(data):
    return ObjectId(f"{data.next():024x}")


def add_customer_data(data, tenant):
    for n in range(2):
        brand = data.add("brands", id=data.next(), customer_id=tenant, name=canary(tenant, "brands.name", n),
                         guidelines=canary(tenant, "brands.guidelines", n))
        for m in range(2):
            data.add("brand_assets", id=data.next(), brand_id=brand["id"], file_name=canary(tenant, "brand_assets.file_name", m))
        ticket = data.add("support_tickets", id=data.next(), customer_id=tenant, subject=canary(tenant, "support_tickets.subject", n))
        for m in range(2):
            data.add("support_messages", id=data.next(), ticket_id=ticket["id"], body=canary(tenant, "support_messages.body", m))
        data.add("content", _id=object_id(data), customerId=Int64(tenant), title=canary(tenant, "content.title", n),
                 author={"name": canary(tenant, "content.author", n)})
        data.add("prompts", _id=object_id(data), owner={"customerId": Int64(tenant)}, text=canary(tenant, "prompts.text", n))
    for n in range(3):
        data.add("contacts", customer_id=tenant, number=n, name=canary(tenant, "contacts.name", n), phone="+1 555 0100",
                 email=canary(tenant, "contacts.email", n), notes=canary(tenant, "contacts.notes", n))
    data.add("site_credentials", id=data.next(), customer_id=tenant, site="https://blog.example.test",
             secret=canary(tenant, "site_credentials.secret"))
    if tenant % 2:
        knowledge = f"kb_{tenant}"
        data.table(knowledge, "docs", "_id", target="kb_{tenant}")
        for n in range(3):
            data.add(knowledge, _id=object_id(data), text=canary(tenant, "kb.text", n))
    for name, value in (("cache:home", canary(tenant, "string")), ("profile", {"email": canary(tenant, "hash")}),
                        ("recent", [(canary(tenant, "zset"), 1.0)]), ("tags", {canary(tenant, "set")}),
                        ("jobs", [canary(tenant, "list")])):
        data.add("caas:{tenant}:*", key=f"caas:{tenant}:{name}", value=value)


def add_account(data, now, tenant, kind, plan, ends, reseller=None, audit_log_months=None):
    data.add("customers", id=tenant, reseller_id=reseller, kind=kind, name=canary(tenant, "customers.name"), plan=plan,
             contact_name=canary(tenant, "customers.contact_name"), email=canary(tenant, "customers.email"), phone="+1 555 0199",
             audit_log_months=audit_log_months, created_at=now - 3000 * DAY)
    for end in ends:
        data.add("subscriptions", id=data.next(), customer_id=tenant, started_at=now - 2900 * DAY, ended_at=end)
    for n in range(2):
        user = data.add("users", id=data.next(), customer_id=tenant, name=canary(tenant, "users.name", n),
                        email=canary(tenant, "users.email", n))
        data.add("api_keys", id=data.next(), user_id=user["id"], key_sha256=f"{data.serial:064x}", label=canary(tenant, "api_keys.label", n))


def add_invoices(data, now, tenant, old, young):
    # A date is over at its end: the last day that is due is the day before the cutoff's.
    edge = cutoff(now, 7, "years").date()
    days = ([edge - DAY * 30, edge - DAY] if old else []) + ([edge, edge + DAY, now.date() - 40 * DAY] if young else [])
    for issued_on in days:
        invoice = data.add("invoices", id=data.next(), customer_id=tenant, number=f"R-{data.serial}", issued_on=issued_on,
                           billing_name=canary(tenant, "invoices.billing_name"),
                           billing_address=canary(tenant, "invoices.billing_address"), total_cents=4200)
        for line in (1, 2, 3):
            data.add("invoice_lines", invoice_id=invoice["id"], line=line, text="Seat", cents=1400)


def add_page_views(data, now, chance):
    browsers = ("Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/119.0 CANARY-ua",
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 Safari/537.36 CANARY-ua",
                None)
    ends = edges(now, 14, "months") + edges(now, 26, "months")
    for n in range(600):
        at = ends[n % len(ends)] if n < 300 else now - timedelta(days=chance.uniform(0, 1000))
        ip = (f"203.0.113.{n % 250 + 1}", f"2001:db8:{n:x}:1::{n + 1:x}", f"::ffff:203.0.113.{n % 250 + 1}", None)[n % 4]
        data.add("page_views", id=data.next(), viewed_at=None if n % 97 == 5 else at, ip=ip, visitor_id=canary("visitor", "id", n % 150),
                 user_agent=browsers[n % 3], url=f"https://www.caasaas.ai/pricing/{n % 7}?email={canary('visitor', 'url', n)}#top",
                 referrer=f"https://search.example.test/find?q={canary('visitor', 'referrer', n)}" if n % 5 else None,
                 session_id=canary("visitor", "session", n), country="DE", anonymized_at=None)
    # Done by an earlier sweep: not to be touched again.
    for n in range(20):
        at = now - timedelta(days=chance.uniform(450, 700))
        data.add("page_views", id=data.next(), viewed_at=at, ip="203.0.113.0/24", visitor_id=f"anon:v1:{n:064x}", user_agent="Firefox 119",
                 url="https://www.caasaas.ai/", referrer=None, session_id=None, country="DE", anonymized_at=at + 430 * DAY)


def add_strays(data, now):
    """Records that no rule can decide: they stay, and are counted."""
    old = now - 2000 * DAY
    data.add("tool_executions", id=data.next(), customer_id=101, tool="brand.write", parameters={}, executed_at=None)
    data.add("tool_executions", id=data.next(), customer_id=101, tool="brand.write", parameters={}, executed_at=now + 900 * DAY)
    data.add("ai_requests", _id=object_id(data), customerId=Int64(101), at="2019-01-01", tokens=1)
    data.add("ai_requests", _id=object_id(data), customerId=Int64(101), tokens=1)
    data.add("ai_requests", _id=object_id(data), customerId=Int64(101), at=to_milliseconds(old), tokens=1)
    data.add("content", _id=object_id(data), customerId=Int64(77), title="of a customer nobody knows", author=None)
    data.add("content", _id=object_id(data), title="of no customer", author=None)
    for key in ("caas:global:settings", "caas:77:cache:home", "xcaas:101:cache:home", "caas:101", "caas:*:cache:home"):
        data.add("caas:{tenant}:*", key=key, value="stays")


def generate(now, copies=4, seed=1):
    """The same data for the same arguments; `copies` of each scenario, as direct customers, resellers and their clients."""
    data, chance = empty(), random.Random(seed)
    tenant = 100
    for copy in range(copies):
        reseller = tenant = tenant + 1
        add_account(data, now, reseller, "reseller", "pro", [None])
        add_customer_data(data, reseller)
        add_logs(data, now, reseller, 12)
        for _name, ends, (old, young) in scenarios(now):
            for kind, parent in (("direct", None), ("client", reseller)):
                tenant += 1
                add_account(data, now, tenant, kind, "pro", ends, parent)
                add_customer_data(data, tenant)
                add_logs(data, now, tenant, 12)
                add_invoices(data, now, tenant, old, young)
        # Enterprise: own periods for tool executions; 6 months count as the minimum, 120 as the maximum.
        for configured, counts in ((None, 12), (24, 24), (84, 84), (6, 12), (120, 84)):
            tenant += 1
            add_account(data, now, tenant, "direct", "enterprise", [None], audit_log_months=configured)
            add_customer_data(data, tenant)
            add_logs(data, now, tenant, counts)
        # A reseller that ended: with a client that lives on (its record stays, anonymized), and with one that ended too.
        for client_ends in ([None], [now - 95 * DAY]):
            tenant += 1
            ended = tenant
            add_account(data, now, ended, "reseller", "pro", [now - 91 * DAY])
            add_customer_data(data, ended)
            tenant += 1
            add_account(data, now, tenant, "client", "pro", client_ends, ended)
            add_customer_data(data, tenant)
    for tenant in GONE:
        add_logs(data, now, tenant, 12)
    add_page_views(data, now, chance)
    add_strays(data, now)
    return data


# ---- the oracle ----

def latest_end(data, tenant):
    ends = [row["ended_at"] for row in data.rows("subscriptions") if row["customer_id"] == tenant]
    return None if not ends or None in ends else max(ends)


def ended_before(data, edge, now):
    """Customers whose subscription's end lies before the cutoff."""
    ends = {}
    for row in data.rows("subscriptions"):
        ends.setdefault(row["customer_id"], []).append(row["ended_at"])
    return {tenant for tenant, all_ends in ends.items() if None not in all_ends and max(all_ends) < min(edge, now)}


def audit_months(data):
    """The period of tool executions by customer, where it is not the rule's."""
    months = {}
    for row in data.rows("customers"):
        if row["plan"] == "enterprise" and row["audit_log_months"] is not None:
            months[row["id"]] = min(max(row["audit_log_months"], 12), 84)
    return months


def close_account(row):
    row.update(contact_name=None, email=None, phone=None, name="closed")


def anonymize_view(row):
    row.update(ip=masks.truncated_ip(row["ip"]), visitor_id=masks.pseudonym(row["visitor_id"]),
               user_agent=masks.browser_family(row["user_agent"]), url=masks.stripped_url(row["url"]),
               referrer=masks.host(row["referrer"]), session_id=None, anonymized_at=masks.some_time())


def expect(data, now):
    """A Sweep that was carried out: what must be left, and what went under which rule."""
    closing = ended_before(data, cutoff(now, 30, "days"), now)
    closed = ended_before(data, cutoff(now, 90, "days"), now)
    own_months = audit_months(data)
    year = cutoff(now, 12, "months")
    tools = {months: cutoff(now, months, "months") for months in {12, *own_months.values()}}
    billing = min(cutoff(now, 7, "years"), cutoff(now, 7, "years", round_up=True))
    anonymized, deleted = cutoff(now, 14, "months"), cutoff(now, 26, "months")
    instant = lambda value: isinstance(value, datetime) and value.tzinfo

    def sweep_logs(sweep, rule, table, anchor, tenant_of=None):
        for identity, row in list(sweep.data.tables[table].rows.items()):
            at = anchor(row)
            limit = tools[own_months.get(row["customer_id"], 12)] if table == "tool_executions" else year
            if instant(at) and at < limit:
                sweep.purge(rule, table, identity)

    def carry_out(sweep):
        tables = sweep.data.tables
        tenant_columns = {"brands": "customer_id", "contacts": "customer_id", "support_tickets": "customer_id",
                          "site_credentials": "customer_id", "content": "customerId"}
        dependents = {"brands": {"brand_assets"}, "support_tickets": {"support_messages"}}
        for table, column in tenant_columns.items():
            for identity, row in list(tables[table].rows.items()):
                if row.get(column) in closing:
                    sweep.purge(CUSTOMER_DATA, table, identity, dependents.get(table, ()))
        for identity, row in list(tables["prompts"].rows.items()):
            if row["owner"]["customerId"] in closing:
                sweep.purge(CUSTOMER_DATA, "prompts", identity)
        for name in [name for name, table in tables.items() if table.target == "kb_{tenant}"]:
            if int(name[3:]) in closing:
                for identity in list(tables[name].rows):
                    sweep.purge(CUSTOMER_DATA, name, identity)
        for identity in list(tables["caas:{tenant}:*"].rows):
            part = identity[0].split(":")
            if part[0] == "caas" and len(part) > 2 and part[1].isdigit() and int(part[1]) in closing:
                sweep.purge(CUSTOMER_DATA, "caas:{tenant}:*", identity)

        sweep_logs(sweep, TOOLS, "tool_executions", lambda row: row["executed_at"])
        sweep_logs(sweep, AI, "ai_usage", lambda row: row["used_at"])
        sweep_logs(sweep, AI, "ai_requests", lambda row: row.get("at"))
        sweep_logs(sweep, AUTH, "auth_events", lambda row: row["happened_at"])
        for identity, row in list(tables["usage:{tenant}"].rows.items()):
            if datetime.fromtimestamp(row["value"], UTC) < year:
                sweep.purge(AI, "usage:{tenant}", identity)
        for identity in list(tables["authlog:{tenant}"].rows):
            milliseconds = int(identity[1].split("-")[0])
            if datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds) < year:
                sweep.purge(AUTH, "authlog:{tenant}", identity)

        for identity, row in list(tables["invoices"].rows.items()):
            over = datetime.combine(row["issued_on"] + DAY, datetime.min.time(), UTC)
            if over < billing:
                sweep.purge(BILLING, "invoices", identity, {"invoice_lines"})
        for identity, row in list(tables["page_views"].rows.items()):
            if row["viewed_at"] is None:
                continue
            if row["viewed_at"] < deleted:
                sweep.purge(ANALYTICS, "page_views", identity)
            elif row["viewed_at"] < anonymized and row["anonymized_at"] is None:
                sweep.anonymize(ANALYTICS, "page_views", identity, anonymize_view)

        for identity in list(tables["customers"].rows):
            if identity[0] in closed:
                if not sweep.purge(ACCOUNT, "customers", identity, {"users", "api_keys", "subscriptions"}):
                    sweep.anonymize(ACCOUNT, "customers", identity, close_account, {"users", "api_keys"})

    return Sweep(data).until_settled(carry_out)
