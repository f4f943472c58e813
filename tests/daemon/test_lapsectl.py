"""lapsectl beside the real daemon and the real servers: it tells the truth, and it changes nothing."""
import json
import shutil
import subprocess

from programs import REPOSITORY

SCHEDULE = '''schedule = (
  { data = "Events"; keep = "12 months"; basis = "Security";
    targets = ( { table = "events"; tenant = "customer_id"; since = "at"; } ); },
  { data = "Accounts"; keep = "subscription + 30 days"; basis = "Contract";
    targets = ( { table = "customers"; tenant = "id"; } ); }
);
'''


def answer(world, *arguments, status=0):
    given = world.lapsectl(*arguments)
    assert given.returncode == status, given.stdout + given.stderr
    return given.stdout


def test_nothing_is_changed_by_looking(product):
    before, here = product.snapshot(), sorted(product.folder.rglob("*"))
    for arguments in (["check"], ["grants"], ["policy"], ["plan"], ["plan", "--at", "2035-01-01"], ["plan", "--json"]):
        answer(product, *arguments)
    for arguments in (["status"], ["findings"]):
        answer(product, *arguments, status=2)  # it never ran
    assert product.snapshot() == before
    assert sorted(product.folder.rglob("*")) == here


def test_the_tenants_plans_are_the_plan(product):
    """What --tenant counts for each of some tenants is what the whole plan says of it."""
    whole = json.loads(answer(product, "plan", "--json"))["tenants"]
    assert len(whole) > 10
    for tenant in whole[:3] + whole[-3:]:
        alone = json.loads(answer(product, "plan", "--json", "--tenant", tenant["tenant"]))
        assert sum(row["ready"] for row in alone["rules"]) == tenant["due"], tenant


def test_explain_says_what_the_sweep_does(world):
    world.simple(rows=20, due=10)
    assert "The next sweep destroys it." in answer(world, "explain", "events", "10")
    assert "Nothing is done to it now." in answer(world, "explain", "events", "11")
    assert world.once().returncode == 0
    assert "events has no record 10" in world.lapsectl("explain", "events", "10").stderr
    assert world.lapsectl("explain", "events", "10").returncode == 1
    refused = world.lapsectl("explain", "events", "ten")
    assert refused.returncode == 64 and "not of that type" in refused.stderr
    assert "Nothing is done to it now." in answer(world, "explain", "events", "11")


def test_explain_knows_what_blocks(world):
    world.simple(rows=2, due=0)
    world.sql("UPDATE customers SET ended_at = now() - interval '31 days' WHERE id = 1")
    world.sql("CREATE TABLE invoices (id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers)")
    world.sql("INSERT INTO invoices VALUES (1, 1)")
    world.configure(SCHEDULE, tenants="SELECT id AS tenant, ended_at AS subscription FROM customers")
    assert "It is blocked: records of invoices still refer to it" in answer(world, "explain", "customers", "1")
    assert "the subscription of tenant 2 is still running" in answer(world, "explain", "customers", "2")


def test_explain_does_not_call_blocked_what_its_own_sweep_frees(world):
    """Brands go in the sweep in which their owner's row goes: the row is not blocked, as the plan says. One that stays blocks it."""
    world.sql("CREATE TABLE customers (id bigint PRIMARY KEY, ended_at timestamptz)")
    world.sql("CREATE TABLE brands (id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers)")
    world.sql("CREATE TABLE claims (brand_id bigint REFERENCES brands)")
    world.sql("INSERT INTO customers SELECT n, now() - interval '100 days' FROM generate_series(1, 2) n")
    world.sql("INSERT INTO brands VALUES (1, 1), (2, 2)")
    world.sql("INSERT INTO claims VALUES (2)")
    world.configure('''schedule = (
      { data = "Content"; keep = "subscription + 30 days"; basis = "b"; targets = ( { table = "brands"; tenant = "customer_id"; } ); },
      { data = "Accounts"; keep = "subscription + 90 days"; basis = "b"; targets = ( { table = "customers"; tenant = "id"; } ); } );
    ''', tenants="SELECT id AS tenant, ended_at AS subscription FROM customers")
    assert "a sweep destroys it once nothing else" in answer(world, "explain", "customers", "1")
    assert "It is blocked: records of brands still refer to it" in answer(world, "explain", "customers", "2")
    assert world.once().returncode == 0
    assert world.sql("SELECT id FROM customers") == [(2,)]


def test_status_of_a_daemon_that_runs_and_stops(world):
    world.simple()
    answer(world, "status", status=2)
    daemon = world.start()
    daemon.until(lambda: world.lapsectl("status").returncode != 2, "status")
    assert f"lapsed is running (process {daemon.process.pid})" in answer(world, "status")
    daemon.sweep()
    daemon.until(lambda: "last sweep: 1, began" in world.lapsectl("status").stdout, "last sweep")
    told = json.loads(answer(world, "status", "--json"))
    assert told["verdict"] == "well" and told["status"]["rules"][0]["purged"] == 10
    assert answer(world, "findings") == "no findings\n"
    assert daemon.stop() == 0
    assert answer(world, "status", status=2).startswith("lapsed is not running")
    assert answer(world, "findings") == "no findings\n"


def test_findings_are_there_when_the_daemon_is_not(world):
    world.simple()
    world.sql("INSERT INTO events VALUES (1000, 1, NULL, 'x')")
    assert "events.at is empty" in answer(world, "plan")
    assert world.once().returncode == 0
    told = answer(world, "findings", status=1)
    assert "since-empty" in told and "events" in told and "CANARY" not in told


def test_a_draft_is_a_schedule_as_it_stands(world):
    world.simple()
    world.configure("", tenants="SELECT id AS tenant, ended_at AS subscription FROM customers", kinds=("main", "docs", "cache"))
    world.mongodb.content.insert_one({"customerId": 1})
    draft = answer(world, "check")
    assert 'table = "events"; tenant = "customer_id"; since = "at"' in draft and 'collection = "content"' in draft
    (world.folder / "schedule.conf").write_text(draft)
    assert answer(world, "check") == draft


def test_personal_tenant_ids_stay_out_of_the_journal(caasaas):
    text = caasaas.config.read_text()
    assert "ends  = [" in text
    caasaas.config.write_text(text.replace("ends  = [", "personal = true; ends = [", 1))
    key = caasaas.folder / "state" / "tenants.key"
    for words in (["verify"], ["show"], ["show", "--ten", "1"], ["checkpoint"], ["prove", "--store", "main", "--target", "invoices", "--key", "1", "--tenant", "1"]):
        refused = caasaas.lapsectl("journal", *words)
        assert refused.returncode and not key.exists(), words  # root would own it
        assert ("--ten" in "".join(words)) == ("tenants.key" in refused.stderr), refused.stderr
    ids = "SELECT id, customer_id FROM invoices"
    before = caasaas.sql(ids)
    assert caasaas.once().returncode == 0
    intents = caasaas.journal.entries("intent")
    named = {tenant[0] for intent in intents for tenant in intent["tenants"] if tenant[0]}
    assert named and all(len(name) == 34 and name.startswith("h-") for name in named)
    assert (caasaas.folder / "state" / "tenants.key").stat().st_mode & 0o777 == 0o400
    known = {str(row[0]) for row in caasaas.sql("SELECT DISTINCT customer_id FROM invoices")}
    assert not named & known
    shown = answer(caasaas, "journal", "show", "--tenant", sorted(known)[0])
    assert "Billing Records" in shown
    assert "Billing Records" not in answer(caasaas, "journal", "show", "--tenant", "no-such-tenant")
    for words in (["--ten", sorted(known)[0]], [f"--tenant={sorted(known)[0]}"]):
        assert answer(caasaas, "journal", "show", *words) == shown
    elsewhere = ["--folder", str(caasaas.journal.folder)]
    told = caasaas.lapsectl("journal", "show", "--tenant", sorted(known)[0], *elsewhere)
    assert told.returncode == 0 and not told.stdout and "with tenants.personal a journal has names" in told.stderr
    told = caasaas.lapsectl("journal", "show", "--tenant", sorted(named)[0], *elsewhere)
    assert told.stdout and "personal" not in told.stderr and told.stdout == answer(caasaas, "journal", "show", "--tenant", sorted(named)[0])
    gone, tenant = min(set(map(tuple, before)) - set(map(tuple, caasaas.sql(ids))))
    prove = ["journal", "prove", "--store", "main", "--target", "invoices", "--key", str(gone), "--tenant"]
    proof = answer(caasaas, *prove, str(tenant))
    assert answer(caasaas, *prove, str(tenant), *elsewhere, "--state", str(key.parent)) == proof
    assert "nothing of this tenant" in caasaas.lapsectl(*prove, "no-such-tenant", *elsewhere, "--state", str(key.parent)).stderr


def test_records_of_a_tenant_that_nobody_knows_are_found(world):
    """A rule by a tenant's end leaves them over for ever; one by age does not need to know the tenant."""
    world.simple(rows=2, due=0)
    world.sql("INSERT INTO events VALUES (100, 77, now(), 'x'), (101, 77, now() - interval '13 months', 'x'), (102, 1, now(), 'x')")
    world.mongodb.notes.insert_many([{"customer": 77}, {"customer": "77"}, {"customer": 1}, {"customer": 78}])
    world.configure('''schedule = (
      { data = "Notes"; keep = "subscription + 30 days"; basis = "Contract";
        targets = ( { table = "events"; tenant = "customer_id"; }, { collection = "notes"; tenant = "customer"; } ); } );''',
                    tenants="SELECT id AS tenant, ended_at AS subscription FROM customers", kinds=("main", "docs"))
    assert world.once().returncode == 0
    told = {(finding["store"], finding["place"]): finding for finding in json.loads(answer(world, "findings", "--json", status=1))}
    assert told["main", "events.customer_id"]["code"] == "tenant-unknown"
    assert told["main", "events.customer_id"]["count"] == 2
    assert told["docs", "notes.customer"]["count"] == 3
    assert world.one("SELECT count(*) FROM events WHERE customer_id = 77") == 2


def test_openssl_checks_the_signature_as_the_manual_says(world):
    world.simple()
    assert world.once().returncode == 0
    page = (REPOSITORY / "doc" / "lapsed-journal.5").read_text()
    commands = page.split('.\\" TEST signature\n')[1].split("\n", 1)[1].split("\n.Ed")[0]
    shutil.copy(world.folder / "journal" / "checkpoint", world.folder)
    shutil.copy(world.folder / "state" / "journal.pub", world.folder)
    for alter, works in ((False, True), (True, False)):
        if alter:
            note = (world.folder / "checkpoint").read_text()
            (world.folder / "checkpoint").write_text(note.replace("\n", "\n1", 1))
        run = subprocess.run(["bash", "-c", commands], cwd=world.folder, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, timeout=60)
        assert ("Signature Verified Successfully" in run.stdout) == works, run.stdout
        assert (run.returncode == 0) == works
