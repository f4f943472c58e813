"""Evidence: each destroyed record can be proven destroyed, no other can, and nothing of it can be read."""
import hashlib
import hmac
import json
import re
import shutil
from datetime import datetime, timedelta, timezone

import pytest

YEAR_AGO = datetime.now(timezone.utc) - timedelta(days=400)
NOW = datetime.now(timezone.utc)

SCHEDULE = '''schedule = (
  { data = "Orders"; keep = "12 months"; basis = "Contract";
    targets = ( { table = "orders"; tenant = "customer_id"; since = "at"; dependents = [ "lines.order_id" ]; },
                { table = "pairs"; tenant = "customer_id"; since = "at"; },
                { collection = "notes"; tenant = "customerId"; since = "at"; },
                { keys = "seen:{tenant}:*"; since = "field:at"; unit = "s"; },
                { keys = "usage:{tenant}"; since = "score"; unit = "s"; } ); },
  { data = "Visits"; anonymize = "12 months"; keep = "24 months"; basis = "Interest";
    targets = ( { table = "visits"; tenant = "customer_id"; since = "at"; marker = "anonymized_at"; columns = ( "null: ip" ); } ); }
);
'''


@pytest.fixture
def swept(world):
    """After one sweep in all three stores: 10 of 20 orders, one of two pairs, 4 of 6 notes, a key and two members, one visit."""
    world.sql("CREATE TABLE customers (id bigint PRIMARY KEY, ended_at timestamptz)")
    world.sql("INSERT INTO customers VALUES (1, NULL), (2, NULL)")
    world.sql("CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint NOT NULL, at timestamptz)")
    world.sql("CREATE TABLE lines (id bigint PRIMARY KEY, order_id bigint REFERENCES orders)")
    world.sql("CREATE TABLE pairs (day date, name text, customer_id bigint NOT NULL, at timestamptz, PRIMARY KEY (name, day))")
    world.sql("CREATE TABLE visits (id bigint PRIMARY KEY, customer_id bigint NOT NULL, at timestamptz, ip inet, anonymized_at timestamptz)")
    world.sql("INSERT INTO orders SELECT n, 1 + n % 2, now() - interval '1 month' * CASE WHEN n <= 10 THEN 13 ELSE 1 END"
              " FROM generate_series(1, 20) n")
    world.sql("INSERT INTO lines SELECT 100 + n, n FROM generate_series(1, 20) n")
    world.sql("INSERT INTO pairs VALUES ('2020-02-29', 'CANARY-\"Zoë\"', 1, now() - interval '2 years'), ('2020-03-01', 'b', 1, now())")
    world.sql("INSERT INTO visits VALUES (1, 1, now() - interval '13 months', '192.0.2.7'), (2, 1, now(), '192.0.2.8')")
    for number, at in enumerate([YEAR_AGO] * 4 + [NOW] * 2):
        world.mongodb.notes.insert_one({"_id": number if number % 2 else f"CANARY-note-{number}", "customerId": 1, "at": at})
    world.redis.hset("seen:1:CANARY-old", "at", int(YEAR_AGO.timestamp()))
    world.redis.hset("seen:1:young", "at", int(NOW.timestamp()))
    world.redis.zadd("usage:2", {"CANARY-a": YEAR_AGO.timestamp(), "b": YEAR_AGO.timestamp(), "c": NOW.timestamp()})
    world.configure(SCHEDULE, tenants="SELECT id AS tenant, ended_at AS subscription FROM customers", kinds=("main", "docs", "cache"))
    result = world.once()
    assert result.returncode == 0, result.stdout
    world.log = result.stdout
    return world


def prove(world, store, target, key, *more):
    return world.lapsectl("journal", "prove", "--store", store, "--target", target, "--key", key, *more)


def check(world, folder, text):
    path = folder / "record.proof"
    path.write_text(text)
    return world.lapsectl("journal", "prove", "--verify", str(path))


GONE = [("main", "orders", str(n)) for n in range(1, 11)] + [("main", "lines", str(100 + n)) for n in range(1, 11)] + \
       [("main", "pairs", '["CANARY-\\"Zoë\\"", "2020-02-29"]'), ("main", "visits", "1"),
        ("docs", "notes", "CANARY-note-0"), ("docs", "notes", "1"), ("docs", "notes", "CANARY-note-2"), ("docs", "notes", '[{"$numberLong": "3"}]'),
        ("cache", "seen:{tenant}:*", "seen:1:CANARY-old")]
STAYED = [("main", "orders", "11"), ("main", "lines", "111"), ("main", "lines", "1"), ("main", "pairs", '["b", "2020-03-01"]'), ("main", "visits", "2"),
          ("docs", "notes", "CANARY-note-4"), ("docs", "notes", "5"), ("cache", "seen:{tenant}:*", "seen:1:young"),
          ("cache", "usage:{tenant}", "usage:2"), ("cache", "orders", "1"), ("main", "pairs", '["2020-02-29", "CANARY-\\"Zoë\\""]')]


def test_every_destroyed_record_can_be_proven_and_no_other(swept, tmp_path):
    for record in GONE:
        answer = prove(swept, *record)
        assert answer.returncode == 0, (record, answer.stderr)
        assert answer.stdout.startswith("lapsed.proof/v1\nname ["), answer.stdout
        checked = check(swept, tmp_path, answer.stdout)
        assert checked.returncode == 2 and "proven" in checked.stdout, (record, checked.stderr)
    for record in STAYED:
        answer = prove(swept, *record)
        assert answer.returncode == 1 and "no proof" in answer.stderr and not answer.stdout, (record, answer.stdout, answer.stderr)
    assert prove(swept, "main", "orders", "1", "--tenant", "2").returncode == 0
    assert "nothing of this tenant" in prove(swept, "main", "orders", "1", "--tenant", "77").stderr
    assert prove(swept, "main", "orders", "[1").returncode == 64
    assert prove(swept, "main", "orders", "[1]").returncode == 0
    out = tmp_path / "out.proof"
    assert prove(swept, "main", "orders", "1", "--out", str(out)).stdout == "" and out.read_text() == prove(swept, "main", "orders", "1").stdout
    verdict = swept.lapsectl("journal", "prove", "--verify", str(out), "--json")
    assert json.loads(verdict.stdout)["name"] == ["main", "orders", "1"]


def test_leaves_are_those_of_the_documented_formula(swept):
    """The whole of it anew in Python: from the key and the names of what was destroyed to the root in the intent."""
    [key] = [path.read_bytes() for path in (swept.folder / "state").glob("evidence-*.key")]
    def leaf(*name):
        text = json.dumps(name, separators=(",", ":"), ensure_ascii=False).encode()
        return hashlib.sha256(b"\0" + hmac.new(key, text, "sha256").hexdigest().encode() + b" " + text).digest()
    def root(leaves):
        if len(leaves) == 1:
            return leaves[0]
        left = 1 << (len(leaves) - 1).bit_length() - 1
        return hashlib.sha256(b"\1" + root(leaves[:left]) + root(leaves[left:])).digest()
    def number(n):
        return {"$numberLong": str(n)}
    expected = {"orders": [leaf("main", "orders", str(n)) for n in range(1, 11)] + [leaf("main", "lines", str(100 + n)) for n in range(1, 11)],
                "pairs": [leaf("main", "pairs", 'CANARY-"Zoë"', "2020-02-29")], "visits": [leaf("main", "visits", "1")],
                "notes": [leaf("docs", "notes", n) for n in ("CANARY-note-0", number(1), "CANARY-note-2", number(3))],
                "seen:{tenant}:*": [leaf("cache", "seen:{tenant}:*", "seen:1:CANARY-old")], "usage:{tenant}": None}
    found = {}
    for intent in swept.journal.entries("intent"):
        assert intent["target"] not in found, "one batch each"
        found[intent["target"]] = intent["evidence"]
        assert (intent["mode"] == "range") == (intent["evidence"] is None)
    assert found == {target: leaves and root(sorted(leaves)).hex() for target, leaves in expected.items()}
    entered = [(intent["seq"], sorted(expected[intent["target"]])) for intent in swept.journal.entries("intent") if intent["evidence"]]
    assert swept.journal.evidence() == [(seq, len(leaves), leaves) for seq, leaves in entered]


def test_nothing_personal_is_in_journal_evidence_or_log(swept):
    text = "".join(path.read_bytes().decode("latin-1") for path in swept.journal.folder.iterdir()) + swept.log
    assert "CANARY" not in text and "192.0.2." not in text
    for word in ("CANARY-note-0", "CANARY-old", "seen:1:CANARY-old", 'CANARY-"Zoë"', "1", "101", "192.0.2.7", '["main","orders","1"]'):
        for algorithm in ("md5", "sha1", "sha256"):
            assert hashlib.new(algorithm, word.encode()).hexdigest() not in text, word
    units = sum(1 + len(leaves) for _, count, leaves in swept.journal.evidence() if count == len(leaves))
    assert units * 32 == sum(path.stat().st_size for path in swept.journal.folder.glob("evidence-*")) > 0
    for path in (swept.folder / "state").glob("evidence-*.key"):
        assert path.stat().st_mode & 0o777 == 0o400


def test_a_tampered_proof_proves_nothing(swept, tmp_path):
    proof = prove(swept, "main", "orders", "7").stdout.encode()
    path = tmp_path / "tampered.proof"
    [vkey] = swept.journal.entries("start")[0]["keys"]
    def verdict(data, *more):
        path.write_bytes(data)
        return swept.lapsectl("journal", "prove", "--verify", str(path), *(more or ("--vkey", vkey))).returncode
    assert verdict(proof) == 0 and verdict(proof, "--json") == 2
    assert verdict(proof, "--vkey", str(swept.folder / "state" / "journal.pub")) == 0
    assert verdict(proof, "--vkey", str(tmp_path)) == 74
    assert proof.count(b"c2sp.org/tlog-proof@v1\n") == 2
    assert verdict(proof, "--vkey", "example.org/log+b3b1b1b1+AbCd") == 64
    other_key = vkey.split("+")[0] + "+2b3f2e2c+AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    assert verdict(proof, "--vkey", other_key) in (1, 64)
    assert verdict(proof[:proof.index(b"tlog-proof intent")]) == 1 and verdict(proof[:proof.index(b"tlog-proof intent")], "--json") == 2
    for at in range(0, len(proof), 7):
        assert verdict(proof[:at] + bytes([proof[at] ^ 1 << at % 8]) + proof[at + 1:]) == 1, at
    lines = proof.splitlines(keepends=True)
    for number in range(len(lines)):
        assert verdict(b"".join(lines[:number] + lines[number + 1:])) == 1, number
        assert verdict(b"".join(lines[:number] + [lines[number]] + lines[number:])) == 1, number
    assert verdict(proof + b"\n") == 1 and verdict(proof[:-1]) == 1 and verdict(b"") == 1
    other = prove(swept, "main", "visits", "1").stdout.encode().splitlines(keepends=True)
    end = lines.index(b"tlog-proof intent\n")
    assert verdict(b"".join(lines[:end - 2] + other[other.index(b"tlog-proof intent\n") - 2:])) == 1  # the outcome of another batch


def test_without_evidence_the_journal_is_whole_and_nothing_can_be_proven(swept):
    [file] = swept.journal.folder.glob("evidence-*")
    content = file.read_bytes()
    swept.verify()
    file.chmod(0o640)
    file.write_bytes(content[:32] + content[64:])  # one leaf less in the first batch
    swept.verify()
    answers = [prove(swept, *record) for record in GONE]
    assert any("was altered" in answer.stderr for answer in answers) and any(answer.returncode == 0 for answer in answers)
    file.unlink()
    swept.verify()
    answer = prove(swept, "main", "orders", "1")
    assert answer.returncode == 1 and "no evidence files" in answer.stderr
    for key in (swept.folder / "state").glob("evidence-*.key"):
        key.unlink()
    answer = prove(swept, "main", "orders", "1")
    assert answer.returncode == 1 and "no evidence key" in answer.stderr


def test_what_was_rolled_back_or_altered_in_the_journal_has_no_proof(world):
    world.simple(rows=4, due=2)
    assert world.once().returncode == 0
    [outcome] = world.journal.entries("outcome")
    path = world.journal.folder / "journal.jsonl"
    text = path.read_text()
    path.write_text(text.replace('"outcome":"committed"', '"outcome":"rolled-back"'))
    answer = prove(world, "main", "events", "1")
    assert answer.returncode != 0 and "damaged" in answer.stderr
    head, tail = text.split('"outcome":"committed"')
    previous = re.findall(r'"hash":"([0-9a-f]{64})"}\n', head)[-1]
    line = (head[head.rindex("\n") + 1:] + '"outcome":"rolled-back"' + tail).splitlines()[0]
    line = line[:line.rindex('"hash":"') + 8]
    path.write_text(head[:head.rindex("\n") + 1] + line + hashlib.sha256((previous + line).encode()).hexdigest() + '"}\n')
    answer = prove(world, "main", "events", "1")
    assert answer.returncode == 1 and "not carried out" in answer.stderr


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
@pytest.mark.parametrize("call", ["write", "fdatasync"])
def test_killed_between_evidence_and_intent(world, call):
    """Leaves without an intent mean nothing: no row has gone, the journal is whole, and the next sweep proves what it did."""
    world.simple(rows=10, due=6)
    evidence = world.journal.folder / "evidence-000000000001"
    killed = world.once(wrapper=["strace", "-f", "-qq", "-o", str(world.folder / "trace"), "-P", str(evidence),
                                 "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when=1"])
    assert killed.returncode != 0 and evidence.exists(), killed.stdout
    assert world.one("SELECT count(*) FROM events") == 10
    assert not world.journal.entries("intent")
    world.verify()
    assert prove(world, "main", "events", "1").returncode == 1
    assert world.once().returncode == 0
    assert world.one("SELECT count(*) FROM events") == 4
    world.verify()
    for number in range(1, 11):
        assert prove(world, "main", "events", str(number)).returncode == (0 if number <= 6 else 1), number


def test_a_flipped_bit_of_evidence_costs_its_batch_alone(swept):
    """Nothing of that batch can be proven any more, everything else can, and the journal is as whole as it was."""
    [path] = (swept.folder / "journal").glob("evidence-*")
    whole = path.read_bytes()
    targets = {entry["seq"]: entry["target"] for entry in swept.journal.entries("intent")}
    batch_of = {"lines": "orders"}  # dependents stand with their parents
    place, batch, batches = 0, None, set()
    for unit in (whole[at:at + 32] for at in range(0, len(whole), 32)):
        first = unit.startswith(b"intent ")
        batch = targets[int(unit.split()[1])] if first else batch
        if first or batch not in batches:  # the number of leaves too; some leaf of each batch is enough
            at = place + len(unit.rstrip()) - 1 if first else place + len(unit) // 2
            path.chmod(0o640)
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:])
            proven = {record for record in GONE if prove(swept, *record).returncode == 0}
            lost = {record for record in GONE if batch_of.get(record[1], record[1]) == batch}
            assert proven == set(GONE) - lost, unit
            assert swept.lapsectl("journal", "verify").returncode == 0
        if not first:
            batches.add(batch)
        place += len(unit)
    assert len(batches) >= 4
