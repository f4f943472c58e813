#!/usr/bin/python3
"""The soak: applications that write at random, a daemon that sweeps, and everything dying now and then.

    make soak MINUTES=30 [SEED=n]

Writers insert, update, end and resubscribe in all three stores; a clerk holds, pauses and reloads; the daemon, the servers and the
connections between them are killed at random. Then everything comes to rest, and it is proven from the stores, the journal and the
writers' own log that nothing live was destroyed, that nothing due is left, and that what was destroyed can be proven. At the end
wrong destructions are planted, to see them caught."""
import argparse
import json
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path

import pymongo

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests" / "daemon"), str(Path(__file__).resolve().parent)]
import shop  # noqa: E402
from judge import IRREVOCABLE, Contents, Journal, Judge, seconds  # noqa: E402
from log import Log, Write  # noqa: E402
from own_servers import KINDS, OwnServers  # noqa: E402
from proxy import Proxy  # noqa: E402
from trouble import Clerk, Hold, Supervisor, Trouble  # noqa: E402
from world import World, canaries  # noqa: E402
from writers import Accounts, Documents, Keys, Pings, Records, SoloDocuments  # noqa: E402

REST_DEADLINE = 120
DISK_MIB = 512
SHOWN = 20


class Soak:
    def __init__(self, seed, rate, folder, servers):
        self.seed, self.folder, self.servers = seed, folder, servers
        self.world = World(servers.environment, ("soak", 1), folder)
        self.world.environment["LAPSED_SOLO_PASSWORD"] = servers.environment["LAPSED_TEST_PASSWORD"]
        with self.solo_client() as client:
            client.admin.command("grantRolesToUser", "lapsed", roles=[{"role": "dbOwner", "db": "soak"}])
        self.world.mongodb_client.admin.command("grantRolesToUser", "lapsed", roles=["clusterMonitor"])
        self.world.sql(shop.TABLES)
        self.world.sql("GRANT ALL ON ALL TABLES IN SCHEMA public TO lapsed")
        self.world.sql("GRANT pg_read_all_stats TO lapsed")
        self.proxies = {kind: Proxy(self.port(kind)) for kind in KINDS}
        self.log = Log(folder / "writers.jsonl")
        self.disk = self.mount()
        self.events_period = shop.EVENTS
        self.configure()
        self.supervisor = Supervisor(self.world.config, self.world.environment, folder / "daemon.log")
        self.trouble = Trouble(seed, self.supervisor, servers, self.proxies, "soak", self.disk)
        self.clerk = Clerk(seed, self.log, self.world.config, self.world.environment, self.supervisor, self.write_schedule, shop.COOLING_OFF)
        parts = (seed, self.log, servers.environment, "soak", rate)
        self.accounts = Accounts(*parts)
        self.writers = [self.accounts, Records(*parts), Pings(*parts), Documents(*parts), SoloDocuments(*parts), Keys(*parts)]

    def solo_client(self):
        return pymongo.MongoClient(self.servers.environment["LAPSED_TEST_MONGODB_STANDALONE_ADMIN"], tz_aware=True)

    def port(self, kind):
        return int(self.servers.environment[f"LAPSED_TEST_{kind}"].split("127.0.0.1:")[1].split("/")[0])

    def mount(self):
        """A disk of its own for the journal, so that it can be filled; None where that may not be done."""
        disk = self.folder / "disk"
        disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(disk)], stderr=subprocess.DEVNULL).returncode == 0
        self.world.journal.folder = (disk if mounted else self.folder) / "journal"
        return disk if mounted else None

    def end(self):
        """Whatever still runs, after an interruption, is ended."""
        if self.supervisor.is_alive():
            self.supervisor.stop()
        if self.disk:
            shutil.copytree(self.world.journal.folder, self.folder / "journal")
            subprocess.run(["umount", str(self.disk)], check=True)

    def configure(self):
        urls = {}
        for store, kind in (("main", "POSTGRESQL"), ("docs", "MONGODB"), ("solo", "MONGODB_STANDALONE"), ("cache", "REDIS")):
            url = self.world.url(kind.lower()).replace(f":{self.port(kind)}/", f":{self.proxies[kind].port}/")
            # A replica set's driver would go to the address that the set knows, past the proxy.
            urls[store] = url.replace("replicaSet=rs0", "directConnection=true")
        stores = " ".join(f'{store} = {{ url = "{url}"; }};' for store, url in urls.items())
        tenants = f'{{ store = "main"; ends = [ "subscription" ]; query = "{shop.TENANTS}"; }}'
        settings = shop.settings().replace('folder = "journal"', f'folder = "{self.world.journal.folder}"')
        self.world.config.write_text(f'stores = {{ {stores} }};\ntenants = {tenants};\n{settings}schedule = "schedule.conf";\n')
        (self.folder / "schedule.conf").write_text(shop.schedule())

    def write_schedule(self, chance):
        """Another period for "Events", put in place at once."""
        new = self.folder / "schedule.new"
        new.write_text(shop.schedule(chance.choice([shop.EVENTS, shop.EVENTS_LONGER])))
        new.rename(self.folder / "schedule.conf")

    # ---- the run ----

    def run(self, duration):
        check = self.world.lapsectl("check")
        if check.returncode != 0:
            raise SystemExit(f"soak: lapsectl check exits with {check.returncode}:\n{check.stdout}{check.stderr}")
        self.accounts.first()
        self.supervisor.start()
        for thread in (*self.writers, self.clerk, self.trouble):
            thread.start()
        end = time.monotonic() + duration
        while time.monotonic() < end and not any(thread.failure for thread in self.threads()):
            time.sleep(min(1, max(0, end - time.monotonic())))
        for thread in (self.trouble, *self.writers, self.clerk):
            thread.stop()
        for kind in KINDS:
            self.servers.start_again(kind)  # where trouble stopped between the two

    def threads(self):
        return (*self.writers, self.clerk, self.trouble)

    def come_to_rest(self):
        """The moment (seconds) before which the last sweep has taken everything due, None: it did not."""
        while len(self.clerk.standing) < 2:
            self.clerk.hold()
        for hold in self.clerk.standing[2:]:
            self.clerk.end(hold)
        self.standing = self.clerk.standing[:]
        for proxy in self.proxies.values():
            proxy.arm(b"", 0)
        self.write_schedule(random.Random(0))
        self.supervisor.tell(signal.SIGHUP)
        time.sleep(max(shop.NOTICE, shop.COOLING_OFF) + 2)  # until what was shortened counts, and no release cools off
        end = time.monotonic() + REST_DEADLINE
        while time.monotonic() < end:
            asked = time.time()
            if not self.clerk.approve():
                continue
            self.supervisor.tell(signal.SIGUSR1)
            if self.rested(asked, end):
                return asked
            time.sleep(.5)
        return None

    def rested(self, asked, end):
        """A sweep that began after this is over; True if nothing was left."""
        while time.monotonic() < end:
            begins = {entry["sweep"]: seconds(entry["time"]) for entry in self.last_entries("sweep-begin")}
            for entry in self.last_entries("sweep-end"):
                if begins.get(entry["sweep"], 0) > asked:
                    return entry["outcome"] == "done" and all(row["left"] == 0 for row in entry["results"])
            time.sleep(.1)
        return False

    def last_entries(self, event):
        with open(self.world.journal.folder / "journal.jsonl", "rb") as file:
            file.seek(max(0, file.seek(0, 2) - (1 << 19)))
            lines = file.read().decode(errors="replace").splitlines(keepends=True)[1:]
        entries = [json.loads(line) for line in lines if line.endswith("\n")]
        return [entry for entry in entries if entry["event"] == event]

    # ---- the proof ----

    def read(self, rest):
        self.world.connect()
        self.world.solo = self.solo_client().soak
        journal = Journal(self.world.journal, self.folder / "state")
        return Judge(self.log, journal, Contents(self.world), rest, self.standing)

    def verify(self):
        """Faults of the journal as both verifiers see it, and whatever of a person got into it."""
        faults = []
        self.journal_text = self.world.journal.text()
        ours = self.world.lapsectl("journal", "verify")
        if ours.returncode != 0:
            faults.append(f"lapsectl journal verify exits with {ours.returncode}: {ours.stdout}{ours.stderr}")
        theirs = subprocess.run([sys.executable, str(REPOSITORY / "tests" / "journal_verify.py"), str(self.world.journal.folder),
                                 "--vkey", str(self.folder / "state" / "journal.pub")], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if theirs.returncode != 0:
            faults.append(f"tests/journal_verify.py exits with {theirs.returncode}: {theirs.stdout[-2000:]}")
        files = [self.folder / "daemon.log", *self.world.journal.folder.iterdir(), *(path for path in (self.folder / "state").rglob("*") if path.is_file())]
        found = canaries("".join(path.read_text(errors="replace") for path in files))
        if found:
            faults.append(f"personal data in journal, log or state: {sorted(found)[:5]}")
        return faults

    def prove(self, judge, most):
        """Faults of `lapsectl journal prove` on a sample: what is gone can be proven, what is there cannot. (faults, how many)"""
        chance, faults = random.Random(f"{self.seed} prove"), []
        def certain(record):
            return any(batch.outcome == "committed" and batch.mode == "each" and batch.destroyed[0] == batch.records
                       for batch in judge.candidates(record, "purge"))
        spared = {name for name, row in judge.contents.rows.items() if name[0] in IRREVOCABLE}
        gone = [record for record in self.log.records.values() if record.certain and record.name not in judge.contents.rows and certain(record)]
        there = [self.log.records[name] for name in judge.contents.rows if name in self.log.records and name not in spared
                 and not judge.candidates(self.log.records[name], "purge")
                 and not judge.candidates(self.log.records[name], "anonymize")]
        samples = [(record, 0) for record in chance.sample(gone, min(most, len(gone)))] + \
                  [(record, 1) for record in chance.sample(there, min(most // 2, len(there)))]
        proof = self.folder / "record.proof"
        for record, expected in samples:
            key = json.dumps([{"$numberLong": str(record.name[2])}]) if isinstance(record.name[2], int) and record.name[0] in ("docs", "solo") else str(record.name[2])
            answer = self.world.lapsectl("journal", "prove", "--store", record.name[0], "--target", record.name[1], "--key", key)
            if answer.returncode != expected:
                faults.append(f"journal prove of {record.name} exits with {answer.returncode}, not {expected}: {answer.stderr}")
            elif expected == 0:
                proof.write_text(answer.stdout)
                checked = self.world.lapsectl("journal", "prove", "--verify", str(proof))
                if "proven" not in checked.stdout:
                    faults.append(f"the proof of {record.name} does not verify: {checked.stdout}{checked.stderr}")
        return faults, len(samples)

    # ---- wrong destructions, planted to see them caught ----

    def plant_in_stores(self, judge, rest):
        """{name: the kind of fault that must be reported}"""
        world, chance, planted = self.world, random.Random(f"{self.seed} plant"), {}
        def live(*target, most=1):
            found = [name for name, row in judge.contents.rows.items() if name[:2] == target and name in self.log.records
                     and self.log.records[name].certain and not Contents.anonymized(name, row)
                     and all(judge.forbidden(self.log.records[name], batch) for batch in judge.candidates(self.log.records[name], "purge"))]
            return chance.sample(found, min(most, len(found)))
        for name in live("main", "events"):
            world.sql("DELETE FROM event_parts WHERE event_id = %s", name[2])
            world.sql("DELETE FROM events WHERE id = %s", name[2])
            planted[name] = "live"
        for name in live("main", "pings"):
            world.sql("DELETE FROM pings WHERE id = %s", name[2])
            planted[name] = "live"
        for name in live("docs", "actions"):
            world.mongodb.actions.delete_one({"_id": name[2]})
            planted[name] = "live"
        for name in live("docs", "content"):
            world.mongodb.content.delete_one({"_id": name[2]})
            planted[name] = "live"
        for name in live("solo", "actions"):
            world.solo.actions.delete_one({"_id": name[2]})
            planted[name] = "live"
        for name in live("cache", "seen:{tenant}:*"):
            world.redis.delete(name[2])
            planted[name] = "live"
        for name in live("cache", "usage:{tenant}"):
            world.redis.zrem(name[2], name[3])
            planted[name] = "live"
        for name in live("main", "visits"):
            world.sql("UPDATE visits SET ip = NULL WHERE id = %s", name[2])
            planted[name] = "live"
        tenant = next(tenant for tenant in self.log.tenants if not any(hold.may_cover(tenant, "Events") for hold in self.standing))
        if not any(hold.may_cover(tenant, "Events") for hold in self.standing):
            old = datetime.fromtimestamp(rest - 300, timezone.utc)
            world.sql("INSERT INTO events VALUES (0, %s, %s, 'x')", tenant, old)
            planted["main", "events", 0] = "left"
            world.mongodb.actions.insert_one({"_id": 0, "customerId": tenant, "at": old})
            planted["docs", "actions", 0] = "left"
        return planted

    def plant_in_log(self, judge):
        """As if the writers had kept what went, by holding or postponing it, and as if evidence and a whole intent had been lost."""
        chance, planted = random.Random(f"{self.seed} plant log"), {}
        gone = [record for record in self.log.records.values() if record.certain and record.name not in judge.contents.rows
                and record.name[0] == "main" and record.anchor and not record.parent and judge.candidates(record, "purge")]
        # A range names tenants, not records: where any of several batches may have taken it, none of them can lose its evidence.
        proven = [record for record in gone if not any(batch.mode == "range" for batch in judge.candidates(record, "purge"))]
        if len(gone) < 3 or not proven:
            return {"nothing": "destroyed"}  # which no fault says: not caught
        lost = chance.choice(proven)
        postponed, held = chance.sample([record for record in gone if record is not lost], 2)
        last = max(batch.time for batch in judge.candidates(postponed, "purge"))
        postponed.anchor.writes = [Write(0, 0, int(last * 1000), True)]
        planted[postponed.name] = "live"
        times = [batch.time for batch in judge.candidates(held, "purge")]
        hold = Hold("planted", "tenant" if held.tenant else "rule", held.tenant or held.rule)
        hold.begin, hold.end = min(times) - .001, max(times) + .001
        self.log.holds.append(hold)
        planted[held.name] = "live"
        for leaf in judge.journal.leaves(lost.name):
            for batch in judge.journal.by_leaf.pop(leaf, []):
                batch.leaves.remove(leaf)
                planted[batch.seq] = "evidence"
        planted[lost.name] = "live"
        return planted


def missed(planted, faults):
    """What was planted and not reported."""
    reported = {(name, kind) for name, kind, _ in faults}
    return [f"{kind} {name} was planted and not caught" for name, kind in planted.items() if (name, kind) not in reported]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--rate", type=float, default=60, help="writes a second of each of the six writers")
    parser.add_argument("--keep", action="store_true", help="leave the folder with the journal, the logs and the writers' log")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10 ** 6)
    folder = Path(tempfile.mkdtemp(prefix="lapsed-soak-"))
    print(f"soak: {arguments.minutes:g} minutes, seed {seed}, in {folder}", flush=True)
    with OwnServers(folder / "servers") as servers:
        run = Soak(seed, arguments.rate, folder, servers)
        try:
            failed = soak(run, arguments.minutes * 60)
        finally:
            run.end()
    if not failed and not arguments.keep:
        subprocess.run(["rm", "-rf", str(folder)], check=True)
    return 1 if failed else 0


def soak(run, duration):
    run.run(duration)
    rest = run.come_to_rest()
    run.supervisor.stop()
    faults = [f"a thread of the soak failed: {thread.failure!r}" for thread in run.threads() if thread.failure]
    faults += run.supervisor.faults + run.clerk.faults
    if rest is None:
        faults.append(f"no sweep in {REST_DEADLINE} s left nothing due")
    judge = run.read(rest or 0).judge()
    faults += [text for _, _, text in judge.faults] + run.verify()
    unproven, proofs = run.prove(judge, 40)
    faults += unproven
    planted = run.plant_in_stores(judge, rest or time.time())
    escaped = missed(planted, run.read(rest or 0).judge().faults)
    again = run.read(rest or 0)
    more = run.plant_in_log(again)
    escaped += missed(more, again.judge().faults)
    report(run, judge, faults, proofs)
    kinds = {}
    for text in faults + escaped:
        kinds.setdefault(re.sub(r"[0-9]+", "N", text), []).append(text)
    for texts in sorted(kinds.values(), key=len, reverse=True)[:SHOWN]:
        print(f"  {texts[0]}" + (f"   (and {len(texts) - 1} more like it)" if len(texts) > 1 else ""))
    checks = judge.checks + proofs + len(planted) + len(more)
    print(f"planted wrongs: {len(planted) + len(more)}, caught: {len(planted) + len(more) - len(escaped)}")
    print(f"{checks - len(faults) - len(escaped)} passed, {len(faults) + len(escaped)} failed")
    return faults + escaped


def report(run, judge, faults, proofs):
    log, figures, events = run.log, judge.figures, judge.journal.events
    print(f"writers: {log.counts['written']:,} records written, {log.counts['updated']:,} updates, {log.counts['refused']:,} refused, "
          f"{log.counts['unanswered']:,} unanswered; {len(log.tenants)} tenants")
    print(f"trouble: {', '.join(f'{count} {name}' for name, count in sorted(run.trouble.done.items()))}".replace("_", " "))
    print(f"clerk: {', '.join(f'{count} {name}' for name, count in sorted(run.clerk.done.items()))}; {len(log.holds)} holds, "
          f"{sum(hold.begin is not None for hold in log.holds)} acknowledged; {len(log.pauses)} pauses")
    print(f"daemon: {run.supervisor.starts} starts, {events['sweep-begin']:,} sweeps begun, {events['sweep-end']:,} ended, most memory "
          f"{run.supervisor.most_memory / 1024:.1f} MiB")
    print(f"journal: {sum(events.values()):,} entries; {', '.join(f'{count:,} {name}' for name, count in sorted(figures.items()) if name.startswith('batches'))}, "
          f"{figures['unknown outcomes']:,} outcomes unknown at first, {figures['settled']:,} settled")
    print(f"stores: {figures['destroyed']:,} records destroyed, {figures['there']:,} there ({figures['anonymized']:,} anonymized, {figures['held']:,} held, "
          f"{figures['undecidable']:,} undecidable), {figures['spared at the last moment']:,} spared at the last moment")
    print(f"checks: {judge.checks:,} of records, batches and pauses, {proofs} proofs; {len(faults)} faults")


if __name__ == "__main__":
    sys.exit(main())
