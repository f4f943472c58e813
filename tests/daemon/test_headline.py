"""The headline: how late each rule is, what waits and why; in status, findings, the exit status and Prometheus' text format."""
import json
import re
from datetime import datetime, timezone

from programs import lapsed_once
from world import idle

TENANTS = "SELECT id AS tenant, ended_at AS subscription FROM customers"
NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*\Z")
SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)\Z')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|\Z)')
UNITS = ("_records", "_seconds", "_timestamp_seconds", "_total", "_late", "_up", "lapsed_findings", "lapsed_alarms", "lapsed_holds",
         "lapsed_approvals_waiting")


def parse(text):
    """{(name, labels): value} of a file in Prometheus' text format 0.0.4, or an AssertionError: each metric has one HELP and one TYPE before
    its samples, which stand together and differ in their labels."""
    assert text.endswith("\n")
    samples, helped, typed, current = {}, {}, {}, None
    for line in text[:-1].split("\n"):
        assert line and line == line.strip(), line
        if line.startswith("# HELP "):
            _, _, name, what = line.split(" ", 3)
            assert NAME.match(name) and name not in helped and what.endswith("."), line
            helped[name], current = what, name
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == current and name not in typed and kind in ("gauge", "counter"), line
            assert kind != "counter" or name.endswith("_total"), line
            typed[name] = kind
        else:
            name, labels, value = SAMPLE.match(line).groups()
            assert name == current and name in typed, line
            pairs = LABEL.findall(labels) if labels is not None else []
            assert labels is None or "".join(f'{key}="{one}",' for key, one in pairs).rstrip(",") == labels, line
            key = name, tuple(sorted(pairs))
            assert key not in samples, line
            samples[key] = float(value)
    assert set(helped) == set(typed)
    assert all(name.startswith("lapsed_") and name.endswith(UNITS) for name in typed)
    return samples


def metrics(world):
    return parse((world.folder / "run" / "lapsed.prom").read_text())


def status(world, code):
    answer = world.lapsectl("status", "--json")
    assert answer.returncode == code, answer.stdout + answer.stderr
    return json.loads(answer.stdout)["status"]


RULES = r'''schedule = (
  { data = "Events \"of\\all\" kinds"; keep = "12 months"; basis = "Security";
    targets = ( { table = "events"; tenant = "customer_id"; since = "at"; } ); },
  { data = "Uploads"; keep = "subscription + 30 days"; basis = "Contract";
    targets = ( { table = "uploads"; tenant = "customer_id"; } ); } );
'''


def test_what_waits_and_why(world):
    world.simple(rows=20, due=10)
    world.sql("CREATE TABLE uploads (id bigint PRIMARY KEY, customer_id bigint NOT NULL)")
    world.sql("CREATE TABLE claims (upload_id bigint REFERENCES uploads)")
    world.sql("INSERT INTO customers VALUES (3, now() - interval '40 days')")
    world.sql("INSERT INTO uploads VALUES (1, 3), (2, 3)")
    world.sql("INSERT INTO claims VALUES (1)")
    world.sql("INSERT INTO events VALUES (100, 1, NULL, 'x')")
    world.configure(RULES, tenants=TENANTS, settings=idle(more='exempt = ( { table = "claims"; why = "A test says so"; } );\n'))
    daemon = world.start()
    daemon.until(lambda: world.lapsectl("status").returncode != 2, "status")
    assert world.lapsectl("hold", "--tenant", "1", "--ground", "dispute").returncode == 0
    daemon.sweep()
    daemon.until(lambda: status_ended(world), "the status of the sweep")
    # Young undecidable records are listed, and no alarm; what is blocked or held is accounted for.
    events, uploads = status(world, 0)["rules"]
    assert events["waits"] == [{"why": "held", "records": 5}]
    assert uploads["waits"] == [{"why": "blocked by claims", "records": 1}]
    assert events["undecidable"] == 1 and not events["late"] and events["last_success"]
    due = datetime.now(timezone.utc).timestamp() - datetime.fromisoformat(uploads["oldest_due"].replace("Z", "+00:00")).timestamp()
    assert 9.9 * 86400 < due < 10.1 * 86400
    read = metrics(world)
    rule = (("rule", 'Events \\"of\\\\all\\" kinds'),)
    assert read["lapsed_rule_undecidable_records", rule] == 1
    assert read["lapsed_rule_left_records", rule] == read["lapsed_rule_late", rule] == read["lapsed_rule_lag_seconds", rule] == 0
    assert read["lapsed_rule_blocked_records", (("rule", "Uploads"),)] == 1
    assert read["lapsed_rule_last_success_timestamp_seconds", rule] > 1.7e9
    assert read["lapsed_rule_oldest_due_timestamp_seconds", (("rule", "Uploads"),)] > 1.7e9
    assert read["lapsed_store_up", (("store", "main"),)] == 1
    assert read["lapsed_findings", ()] == 1 and read["lapsed_alarms", ()] == 0 and read["lapsed_holds", ()] == 1
    shown = world.lapsectl("status").stdout
    assert "5 are due and still there: held" in shown and "1 is due and still there: blocked by claims" in shown
    assert daemon.stop() == 0
    assert world.lapsectl("status").returncode == 2


def status_ended(world):
    answer = json.loads(world.lapsectl("status", "--json").stdout)
    return answer["status"] and answer["status"]["last_sweep"] and answer["status"]["state"] == "idle"


def test_what_stays_undecidable_becomes_an_alarm(world):
    world.simple()
    world.sql("INSERT INTO events VALUES (100, 1, NULL, 'x')")
    config = world.config.read_text()
    daemon = world.start()
    daemon.sweep()
    daemon.until(lambda: status_ended(world), "the status of the sweep")
    assert status(world, 0)["findings"][0]["code"] == "since-empty"
    assert world.lapsectl("findings").returncode == 1
    assert daemon.stop() == 0
    assert "finding since-empty" not in daemon.log
    first = json.loads((world.folder / "state" / "findings.json").read_text())[0]["first_seen"]
    world.config.write_text(config + 'survey = { alarm_after = "1 ms"; };\n')
    daemon = world.start()
    daemon.sweep()
    daemon.wait_for_log('store "main": events.at: "Events": finding since-empty since')
    daemon.until(lambda: status_ended(world), "the status of the sweep")
    told = status(world, 1)["findings"][0]
    assert told["first_seen"] == first  # seen by the daemon before this one
    assert metrics(world)["lapsed_alarms", ()] == 1


def test_a_rule_without_success_is_late_and_success_survives_a_restart(world):
    world.simple(settings='sweep = { every = "1 s"; };\n')
    once = lapsed_once(world.config, world.environment)
    assert once.returncode == 0, once.stdout
    rules = json.loads((world.folder / "state" / "rules.json").read_text())
    assert rules[0]["rule"] == "Events" and rules[0]["failures"] == 0
    success = rules[0]["success"]
    world.sql("ALTER TABLE events RENAME COLUMN at TO happened")
    for _ in range(2):
        assert lapsed_once(world.config, world.environment).returncode == 78
    daemon = world.start()
    daemon.wait_for_log('rule "Events" has not succeeded since ')
    daemon.until(lambda: json.loads(world.lapsectl("status", "--json").stdout)["status"]["rules"][0]["late"], "late")
    told = status(world, 1)["rules"][0]
    assert told["last_success"] == success
    assert told["waits"] == [{"why": "the schedule and the catalog disagree: lapsectl check", "records": -1}]
    assert metrics(world)["lapsed_rule_late", (("rule", "Events"),)] == 1
    assert 'late: "Events" has not succeeded for longer than two sweeps' in world.lapsectl("status").stdout
    world.sql("ALTER TABLE events RENAME COLUMN happened TO at")
    daemon.until(lambda: not json.loads(world.lapsectl("status", "--json").stdout)["status"]["rules"][0]["late"], "success")
