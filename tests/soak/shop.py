"""The shop that the soak runs: its tables, its schedule with periods of seconds, and what a person may change in it."""

TABLES = """
CREATE TABLE customers (id bigint PRIMARY KEY, parent bigint, ended_at timestamptz, logs text, name text, email text);
CREATE TABLE users (id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers, email text);
CREATE TABLE events (id bigint PRIMARY KEY, customer_id bigint NOT NULL, at timestamptz, note text);
CREATE TABLE event_parts (id bigint PRIMARY KEY, event_id bigint NOT NULL REFERENCES events, note text);
CREATE TABLE pings (id bigint NOT NULL, customer_id bigint NOT NULL, at timestamptz, note text) PARTITION BY RANGE (at);
CREATE TABLE pings_default PARTITION OF pings DEFAULT;
ALTER TABLE pings OWNER TO lapsed; ALTER TABLE pings_default OWNER TO lapsed;
CREATE TABLE visits (id bigint PRIMARY KEY, at timestamptz, ip text, country text, anonymized_at timestamptz);
CREATE TABLE uploads (id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers, note text);
CREATE TABLE upload_parts (id bigint PRIMARY KEY, upload_id bigint NOT NULL REFERENCES uploads, note text);
CREATE TABLE invoices (id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers, issued timestamptz NOT NULL);
CREATE TABLE invoice_lines (id bigint PRIMARY KEY, invoice_id bigint NOT NULL REFERENCES invoices, note text);
CREATE INDEX ON users (customer_id); CREATE INDEX ON events (customer_id, at); CREATE INDEX ON event_parts (event_id);
CREATE INDEX ON pings (customer_id, at); CREATE INDEX ON visits (at); CREATE INDEX ON uploads (customer_id); CREATE INDEX ON upload_parts (upload_id);
CREATE INDEX ON invoices (customer_id, issued); CREATE INDEX ON invoice_lines (invoice_id);
"""

# Seconds. "Events" changes while the soak runs, by reloads; a tenant may have its own, within the bounds.
EVENTS, EVENTS_LONGER, EVENTS_LEAST, EVENTS_MOST = 10, 15, 6, 20
VISITS, VISITS_GONE = 6, 14
UPLOADS, ACCOUNTS, INVOICES = 7, 14, 20
NOTICE, COOLING_OFF = 5, 2
OWN_PERIODS = [None, None, "8 seconds", "12 seconds", "20 seconds", "3 seconds", "1 minute"]

SCHEDULE = """schedule = (
  {{ data = "Events"; keep = "{events} seconds"; basis = "b"; per_tenant = {{ column = "logs"; min = "{least} seconds"; max = "{most} seconds"; }};
    targets = ( {{ table = "events"; tenant = "customer_id"; since = "at"; dependents = [ "event_parts.event_id" ]; }},
                {{ table = "pings"; tenant = "customer_id"; since = "at"; key = "ctid"; drop = true; }},
                {{ store = "docs"; collection = "actions"; tenant = "customerId"; since = "at"; }},
                {{ store = "solo"; collection = "actions"; tenant = "customerId"; since = "at"; }},
                {{ keys = "seen:{{tenant}}:*"; since = "field:at"; unit = "ms"; }},
                {{ keys = "usage:{{tenant}}"; since = "score"; unit = "ms"; }},
                {{ keys = "log:{{tenant}}"; since = "stream-id"; }} ); }},
  {{ data = "Visits"; anonymize = "{visits} seconds"; keep = "{visits_gone} seconds"; basis = "b";
    targets = ( {{ table = "visits"; tenant = "none"; since = "at"; marker = "anonymized_at"; columns = ( "null: ip", "as-is: country" ); }},
                {{ store = "docs"; collection = "views"; tenant = "none"; since = "at"; marker = "anonymizedAt"; columns = ( "null: ip", "as-is: country" ); }},
                {{ store = "solo"; collection = "views"; tenant = "none"; since = "at"; marker = "anonymizedAt"; columns = ( "null: ip", "as-is: country" ); }} ); }},
  {{ data = "Uploads"; keep = "subscription + {uploads} seconds"; basis = "b";
    targets = ( {{ table = "uploads"; tenant = "customer_id"; dependents = [ "upload_parts.upload_id" ]; }},
                {{ store = "docs"; collection = "content"; tenant = "customerId"; }},
                {{ store = "docs"; collection = "kb_{{tenant}}"; }},
                {{ store = "solo"; collection = "content"; tenant = "customerId"; }},
                {{ store = "solo"; collection = "kb_{{tenant}}"; }},
                {{ keys = "cache:{{tenant}}:*"; }} ); }},
  {{ data = "Accounts"; keep = "subscription + {accounts} seconds"; if_blocked = "anonymize"; basis = "b";
    targets = ( {{ table = "customers"; tenant = "id"; dependents = ( {{ join = "users.customer_id"; when_anonymized = "purge"; }} );
                  columns = ( "null: email", "fixed(closed): name", "as-is: parent, ended_at, logs" ); }} ); }},
  {{ data = "Invoices"; keep = "{invoices} seconds"; at_least = "{invoices} seconds"; basis = "b";
    targets = ( {{ table = "invoices"; tenant = "customer_id"; since = "issued"; dependents = [ "invoice_lines.invoice_id" ]; }} ); }}
);
"""

TENANTS = "SELECT id AS tenant, parent, ended_at AS subscription, logs FROM customers"
RULES = ("Events", "Visits", "Uploads", "Accounts", "Invoices")

# Rule of each target, and what its dependents are called.
TARGETS = {("main", "events"): "Events", ("main", "pings"): "Events", ("cache", "seen:{tenant}:*"): "Events", ("cache", "usage:{tenant}"): "Events",
           ("cache", "log:{tenant}"): "Events", ("main", "visits"): "Visits", ("main", "uploads"): "Uploads",
           ("cache", "cache:{tenant}:*"): "Uploads", **{(store, name): rule for store in ("docs", "solo") for name, rule in
                                                        (("actions", "Events"), ("views", "Visits"), ("content", "Uploads"), ("kb_{tenant}", "Uploads"))},
           ("main", "customers"): "Accounts", ("main", "invoices"): "Invoices"}
FIXED = {("Visits", "anonymize"): VISITS, ("Visits", "purge"): VISITS_GONE, ("Uploads", "purge"): UPLOADS, ("Accounts", "purge"): ACCOUNTS,
         ("Accounts", "anonymize"): ACCOUNTS, ("Invoices", "purge"): INVOICES}
BY_END = ("Uploads", "Accounts")


def schedule(events=EVENTS):
    return SCHEDULE.format(events=events, least=EVENTS_LEAST, most=EVENTS_MOST, visits=VISITS, visits_gone=VISITS_GONE, uploads=UPLOADS,
                           accounts=ACCOUNTS, invoices=INVOICES)


def settings():
    return ('sweep = { every = "1 second"; load = "full"; };\nbatch = { rows = 40; workers = 4; };\nthrottle = { every = "1 s"; };\nsurvey = { every = "20 seconds"; };\n'
            'timeout = { statement = "2 s"; lock = "500 ms"; };\n'
            f'notice = "{NOTICE} s";\nholds = {{ cooling_off = "{COOLING_OFF} s"; }};\n'
            'journal = { folder = "journal"; segment = "4 MiB"; reserve = "4 MiB"; };\nstate = "state";\nrun = "run";\n'
            'brakes = { first_run = true; records = 60; tenants = 1000; share = 100; shrink = 100; };\n')


def parent_of(tenant):
    """Every tenth customer is a reseller, and has the nine that follow it."""
    return tenant // 10 * 10 if tenant % 10 and tenant > 10 else None


def period_of_own(text):
    """Seconds that count for what stands in customers.logs."""
    if text is None:
        return None
    number, unit = text.split()
    seconds = int(number) * (60 if unit.startswith("minute") else 1)
    return min(max(seconds, EVENTS_LEAST), EVENTS_MOST)
