"""Nothing personal leaves the stores: canaries stand in keys, values, tenant ids, and in what servers say when they refuse; none
of them, and no hash of one, is found in anything that the daemon writes."""
import base64
import hashlib
import json
from datetime import datetime, timedelta, timezone

from world import idle

YEAR_AGO = datetime.now(timezone.utc) - timedelta(days=400)

SCHEDULE = '''schedule = (
  { data = "Orders"; keep = "12 months"; basis = "Contract";
    targets = ( { table = "orders"; tenant = "customer"; since = "at"; dependents = [ "lines.email = orders.email" ]; },
                { collection = "notes"; tenant = "customer"; since = "at"; },
                { keys = "seen:{tenant}:*"; since = "field:at"; unit = "s"; } ); },
  { data = "Guarded"; keep = "12 months"; basis = "Contract";
    targets = ( { table = "guarded"; tenant = "customer"; since = "at"; } ); },
  { data = "Referenced"; keep = "12 months"; basis = "Contract";
    targets = ( { table = "referenced"; tenant = "customer"; since = "at"; } ); },
  { data = "Checked"; anonymize = "12 months"; keep = "forever"; basis = "Interest";
    targets = ( { table = "checked"; tenant = "customer"; since = "at"; columns = ( "null: email", "as-is: other" ); } ); },
  { data = "Unique"; anonymize = "12 months"; keep = "forever"; basis = "Interest";
    targets = ( { table = "visits"; tenant = "customer"; since = "at"; columns = ( "strip-url: url" ); } ); },
  { data = "Validated"; anonymize = "12 months"; keep = "forever"; basis = "Interest";
    targets = ( { collection = "validated"; tenant = "customer"; since = "at"; columns = ( "null: email", "as-is: name" ); } ); },
  { data = "Profiles"; keep = "12 months"; basis = "Contract";
    targets = ( { keys = "profile:{tenant}:*"; since = "field:at"; unit = "s"; } ); }
);
'''


class Canaries:
    """Words that stand nowhere but in the stores."""

    def __init__(self):
        self.words = []

    def __call__(self, name):
        word = f"canary.{name}.{len(self.words)}@person.example"
        self.words.append(word)
        return word

    def traces(self):
        """Bytes that would give one of them away: itself, and its usual hashes in their usual spellings."""
        for word in self.words:
            yield word, word.encode()
            spellings = [word, word.upper(), word + "\n", *(json.dumps(name, separators=(",", ":")) for name in
                         (["main", "orders", word], ["main", "lines", word], ["docs", "notes", word], ["cache", "seen:{tenant}:*", word]))]
            for text in spellings:
                for algorithm in ("md5", "sha1", "sha256", "sha512"):
                    for prefix in (b"", b"\0"):
                        digest = hashlib.new(algorithm, prefix + text.encode()).digest()
                        yield f"{algorithm} of {word}", digest
                        yield f"{algorithm} of {word}", digest.hex().encode()
                        yield f"{algorithm} of {word}", base64.b64encode(digest).rstrip(b"=")


def fill_postgresql(world, canary, tenant):
    world.sql("CREATE TABLE customers (id text PRIMARY KEY, ended_at timestamptz)")
    world.sql("INSERT INTO customers VALUES (%s, NULL), (%s, NULL)", tenant, canary("tenant"))
    for table, column in (("orders", "email text PRIMARY KEY"), ("guarded", "email text PRIMARY KEY"), ("referenced", "email text PRIMARY KEY"),
                          ("checked", "id bigint PRIMARY KEY, email text, other text, CHECK (email IS NOT NULL)"),
                          ("visits", "id bigint PRIMARY KEY, url text")):
        world.sql(f"CREATE TABLE {table} (customer text NOT NULL, at timestamptz, {column})")
        world.sql(f"CREATE INDEX ON {table} (customer, at)")
    world.sql("CREATE TABLE lines (id text PRIMARY KEY, email text REFERENCES orders)")
    world.sql("CREATE INDEX ON lines (email)")
    world.sql("CREATE TABLE outsiders (email text REFERENCES referenced)")
    world.sql("CREATE INDEX ON outsiders (email)")
    world.sql("CREATE UNIQUE INDEX ON visits ((url || ''))")
    for number in range(20):
        email = canary("order")
        world.sql("INSERT INTO orders VALUES (%s, %s, %s)", tenant, YEAR_AGO, email)
        world.sql("INSERT INTO lines VALUES (%s, %s)", canary("line"), email)
    for table in ("guarded", "referenced"):
        world.sql(f"INSERT INTO {table} VALUES (%s, %s, %s)", tenant, YEAR_AGO, canary(table))
    world.sql("INSERT INTO outsiders SELECT email FROM referenced")
    world.sql("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
              " RAISE EXCEPTION 'cannot delete %', OLD.email USING DETAIL = OLD.email, HINT = OLD.email; END $$")
    world.sql("CREATE TRIGGER refuse BEFORE DELETE ON guarded FOR EACH ROW EXECUTE FUNCTION refuse()")
    world.sql("INSERT INTO checked VALUES (%s, %s, 1, %s, %s)", tenant, YEAR_AGO, canary("checked"), canary("other"))
    path = canary("path")
    for number in range(2):
        world.sql("INSERT INTO visits VALUES (%s, %s, %s, %s)", tenant, YEAR_AGO, number, f"https://shop.example/{path}?who={canary('query')}")


def fill_others(world, canary, tenant):
    for number in range(5):
        world.mongodb.notes.insert_one({"_id": canary("note"), "customer": tenant, "at": YEAR_AGO, "text": canary("text")})
    world.mongodb.create_collection("validated", validator={"$jsonSchema": {"required": ["email"], "properties": {"email": {"bsonType": "string"}}}})
    world.mongodb.validated.insert_one({"_id": canary("validated"), "customer": tenant, "at": YEAR_AGO, "email": canary("email"), "name": canary("name")})
    for number in range(5):
        world.redis.hset(f"seen:{tenant}:{canary('key')}", mapping={"at": int(YEAR_AGO.timestamp()), canary("field"): canary("value")})
    world.redis.set(f"profile:{tenant}:{canary('wrong-type')}", canary("string"))
    world.redis.hset(f"profile:{tenant}:{canary('no-number')}", "at", canary("no-instant"))


def written(world, log):
    """Everything that the daemon wrote, and what lapsectl says of it: (where, bytes)"""
    for folder in ("journal", "run", "state"):
        for path in (world.folder / folder).rglob("*"):
            if path.is_file():
                yield str(path), path.read_bytes()
    yield "the log", log.encode()
    for verb in (["status"], ["findings"], ["findings", "--json"], ["journal", "show"], ["journal", "verify"]):
        answer = world.lapsectl(*verb)
        yield " ".join(verb), (answer.stdout + answer.stderr).encode()


def test_no_canary_leaves_the_stores(world):
    canary = Canaries()
    tenant = canary("tenant")
    fill_postgresql(world, canary, tenant)
    fill_others(world, canary, tenant)
    world.configure(SCHEDULE, tenants="SELECT id AS tenant, ended_at AS subscription FROM customers", kinds=("main", "docs", "cache"),
                    settings=idle(more='timeout = { lock = "1 s"; };\n'))
    text = world.config.read_text()
    world.config.write_text(text.replace('tenants = { store = "main";', 'tenants = { store = "main"; personal = true;'))
    daemon = world.start()
    daemon.sweep()
    # A torn end, so that there are bytes that were kept aside.
    daemon.process.kill()
    daemon.process.wait()
    path = world.folder / "journal" / "journal.jsonl"
    path.write_bytes(path.read_bytes() + path.read_bytes()[:100])
    again = world.start()
    again.sweep()
    assert again.stop() == 0
    log = daemon.log + again.log
    # What was to be destroyed is gone, what servers refused was refused, and that is said.
    assert world.one("SELECT count(*) FROM orders") == world.one("SELECT count(*) FROM lines") == world.mongodb.notes.count_documents({}) == 0
    assert world.one("SELECT count(*) FROM guarded") == world.one("SELECT count(*) FROM referenced") == 1
    assert world.one("SELECT count(*) FROM checked WHERE email IS NULL") == 0 and world.mongodb.validated.count_documents({"email": None}) == 0
    assert not world.redis.keys("seen:*") and len(world.redis.keys("profile:*")) == 2
    findings = world.journal.entries("finding")
    failed = {entry["rule"] for entry in findings if entry["code"] == "target-failed"}
    assert failed >= {"Guarded", "Checked", "Unique", "Validated"}, findings
    assert list((world.folder / "journal").glob("torn-*")) and list((world.folder / "journal").glob("evidence-*"))
    places = list(written(world, log))
    assert [what for what, trace in canary.traces() if trace in b"of " + tenant.encode()] == [tenant]  # it would be seen
    assert len(canary.words) > 60 and len(places) > 15
    found = [(where, what) for where, content in places for what, trace in canary.traces() if trace in content]
    assert not found, found[:20]
