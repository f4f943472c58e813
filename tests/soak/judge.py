"""Proves from the stores, the journal and the writers' own log that nothing live was destroyed and nothing due is left."""
import hashlib
import hmac
import json
from collections import Counter, defaultdict
from datetime import datetime, timezone

import shop

PREPARED = 3.5      # seconds: a batch was prepared at most so long before its intent was entered
MS = 1000
IRREVOCABLE = ("solo", "cache")  # what a batch lists is tested once more when it is destroyed, after its intent


def seconds(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Batch:
    def __init__(self, intent):
        for field in ("seq", "sweep", "batch", "rule", "store", "target", "action", "mode", "records", "dependents", "evidence"):
            setattr(self, field, intent[field])
        self.time, self.tenants = seconds(intent["time"]), {triple[0]: triple for triple in intent["tenants"]}
        self.outcome, self.done, self.over, self.unknown, self.settled, self.leaves, self.holds = None, None, None, False, False, [], None

    def take(self, outcome):
        """done: when it was committed; over: when nothing was left open any more."""
        time, kind = seconds(outcome["time"]), outcome["outcome"]
        self.done = self.done or time
        if kind == "unknown":
            self.unknown = True
            return
        self.over, self.settled = time, kind == "settled"
        self.outcome = outcome["result"] if kind == "settled" else kind
        if kind == "committed":
            self.destroyed = (outcome["records"], outcome["dependents"])
        elif self.outcome == "committed":
            self.destroyed = (self.records, self.dependents)

    @property
    def may_have_destroyed(self):
        return self.outcome in ("committed", "unresolved", None)

    def __str__(self):
        return f"batch {self.sweep}/{self.batch} (entry {self.seq}, \"{self.rule}\", {self.store} {self.target}, {self.action}, {self.outcome})"


class Journal:
    """The daemon's journal and evidence, read once."""

    def __init__(self, journal, state):
        self.batches, self.schedules, self.sweeps, self.events, self.known = {}, [], [], Counter(), {}
        begun, self.approvals = {}, {}
        for line in journal.text().splitlines():
            entry = json.loads(line)
            self.events[entry["event"]] += 1
            getattr(self, "_" + entry["event"].replace("-", "_"), lambda *_: None)(entry, begun)
        self.keys = [path.read_bytes() for path in state.glob("evidence-*.key")]
        self.by_leaf, self.by_target = defaultdict(list), defaultdict(list)
        self._evidence(journal)
        for batch in self.batches.values():
            batch.observed = [sweep for sweep in self.sweeps if sweep[1] < batch.seq and sweep[0] >= batch.began - shop.NOTICE + .2]
            for tenant in batch.tenants if batch.may_have_destroyed and batch.mode == "range" else ():
                self.by_target[batch.store, batch.target, tenant].append(batch)

    def _schedule(self, entry, _):
        events = next(rule["keep"] for rule in entry["rules"] if rule["data"] == "Events")
        self.schedules.append(int(events.split()[0]))

    def _approve(self, entry, _):
        if entry["outcome"] == "placed":
            self.approvals[entry["rule"]] = seconds(entry["time"])

    def _sweep_begin(self, entry, begun):
        if entry["tenants_total"]:  # else they could not be read
            begun[entry["sweep"]] = (seconds(entry["time"]), entry["seq"], self.schedules[-1])

    def _sweep_end(self, entry, begun):
        if entry["outcome"] == "done" and entry["sweep"] in begun:
            self.sweeps.append(begun[entry["sweep"]])

    def _intent(self, entry, begun):
        batch = self.batches.get((entry["sweep"], entry["batch"]))
        if batch:  # a further part
            batch.tenants |= {triple[0]: triple for triple in entry["tenants"]}
            return
        batch = Batch(entry)
        batch.began, _, batch.events_period = begun[entry["sweep"]]
        # What was due when it was approved, which may have been while the sweep ran.
        batch.due_at = max(batch.began, self.approvals.get(batch.rule, 0))
        self.batches[entry["sweep"], entry["batch"]] = batch

    def _outcome(self, entry, _):
        self.batches[entry["sweep"], entry["batch"]].take(entry)

    def _evidence(self, journal):
        by_seq = {batch.seq: batch for batch in self.batches.values()}
        for seq, _, leaves in journal.evidence():
            if batch := by_seq.get(seq):
                batch.leaves = [leaf.hex() for leaf in leaves]  # what was written for an intent that a crash cut off comes first
        for batch in self.batches.values():
            for leaf in batch.leaves:
                self.by_leaf[leaf].append(batch)

    def leaves(self, name):
        """The leaf of this record under each key that there is."""
        if name not in self.known:
            self.known[name] = self._leaves(name)
        return self.known[name]

    def _leaves(self, name):
        key = [{"$numberLong": str(part)} if isinstance(part, int) else part for part in name[2:]] if name[0] in ("docs", "solo") else [str(part) for part in name[2:]]
        text = json.dumps([name[0], name[1], *key], separators=(",", ":"), ensure_ascii=False).encode()
        return [hashlib.sha256(b"\0" + hmac.new(key, text, "sha256").hexdigest().encode() + b" " + text).hexdigest() for key in self.keys]


def merkle_root(leaves):
    if len(leaves) == 1:
        return leaves[0]
    left = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + merkle_root(leaves[:left]) + merkle_root(leaves[left:])).digest()


class Contents:
    """What is in the stores: {name: its values}."""

    def __init__(self, world):
        self.rows = {}
        for table in ("events", "pings", "visits", "uploads", "invoices", "customers", "users", "event_parts", "upload_parts", "invoice_lines"):
            for (row,) in world.sql(f"SELECT row_to_json(t) FROM {table} t"):
                self.rows["main", table, row["id"]] = row
        for store, database in (("docs", world.mongodb), ("solo", world.solo)):
            for collection in database.list_collection_names():
                self._collection(store, database, collection)
        for key in world.redis.scan_iter(count=1000):
            if key != "lapsed:held":  # the daemon's own
                self._key(world.redis, key)

    def _collection(self, store, database, collection):
        target = "kb_{tenant}" if collection.startswith("kb_") else collection
        for document in database[collection].find():
            if target == "kb_{tenant}":
                document["customerId"] = int(collection[3:])
            self.rows[store, target, document["_id"]] = document

    def _key(self, client, key):
        prefix, tenant = key.split(":")[:2]
        if prefix == "seen":
            self.rows["cache", "seen:{tenant}:*", key] = {"tenant": int(tenant), **client.hgetall(key)}
        elif prefix == "cache":
            self.rows["cache", "cache:{tenant}:*", key] = {"tenant": int(tenant)}
        elif prefix == "usage":
            for member, score in client.zrange(key, 0, -1, withscores=True):
                self.rows["cache", "usage:{tenant}", key, member] = {"tenant": int(tenant), "at": score}
        else:
            for entry, _ in client.xrange(key):
                self.rows["cache", "log:{tenant}", key, entry] = {"tenant": int(tenant), "at": entry.split("-")[0]}

    @staticmethod
    def tenant(name, row):
        return row["id"] if name[1] == "customers" else row.get("customer_id", row.get("customerId", row.get("tenant")))

    @staticmethod
    def anchor(name, row):
        """Milliseconds, or None."""
        value = row.get("issued" if name[1] == "invoices" else "at")
        if isinstance(value, datetime):
            return value.replace(tzinfo=timezone.utc).timestamp() * MS
        if isinstance(value, str) and name[0] == "main":
            return seconds(value) * MS
        return None if value is None else float(value)

    @staticmethod
    def anonymized(name, row):
        return row["name"] == "closed" if name[1] == "customers" else row.get("ip") is None if name[1] in ("visits", "views") else False


class Judge:
    def __init__(self, log, journal, contents, rest, standing):
        """rest: before this moment (seconds) everything was due that the last sweep had to take; standing: the holds that stayed."""
        self.log, self.journal, self.contents, self.rest, self.standing = log, journal, contents, rest, standing
        self.faults, self.figures, self.checks, self.periods = [], Counter(), 0, {}

    def fault(self, name, kind, text):
        self.faults.append((name, kind, text))

    def judge(self):
        self.nothing_live_was_destroyed()
        self.nothing_unknown_was_destroyed()
        self.nothing_was_destroyed_while_paused()
        self.nothing_was_destroyed_before_the_first_approval()
        self.evidence_is_what_the_intents_promised()
        self.nothing_due_is_left()
        return self

    # ---- nothing live was destroyed ----

    def nothing_live_was_destroyed(self):
        for record in self.log.records.values():
            row = self.contents.rows.get(record.name)
            if row is None:
                if record.certain:
                    self.checks += 1
                    self.figures["destroyed"] += 1
                    self.must_have_been_due(record, "purge")
                continue
            self.checks += 1
            self.figures["there"] += 1
            if Contents.anonymized(record.name, row):
                self.figures["anonymized"] += 1
                self.must_have_been_due(record, "anonymize")
            self.must_not_be_proven(record)

    def candidates(self, record, action):
        """The batches that may have taken it."""
        exact = [batch for leaf in self.journal.leaves(record.name) for batch in self.journal.by_leaf[leaf]]
        exact += self.journal.by_target.get((*record.name[:2], str(record.tenant)), [])
        # What goes with an anonymized record is purged in its batch.
        return [batch for batch in exact if batch.may_have_destroyed and (batch.action == action or record.parent)]

    def must_have_been_due(self, record, action):
        candidates, reasons = self.candidates(record, action), []
        for batch in candidates:
            reason = self.forbidden(record, batch)
            if reason is None:
                return
            reasons.append(f"{batch}: {reason}")
        self.fault(record.name, "live", f"{record.name} is gone or changed; " + ("; ".join(reasons[-3:]) or "no batch of the journal took it"))

    def forbidden(self, record, batch):
        """Why this batch may not have destroyed it; None: it may."""
        owner = record.parent or record
        if owner.name[:2] != (batch.store, batch.target):
            return "it is of another target"
        named = "" if record.tenant is None else str(record.tenant)
        if named not in batch.tenants:
            return f"tenant {named} is not in it"
        low, high = batch.time - (0 if batch.store in IRREVOCABLE else PREPARED), (batch.over or batch.time + 60) + .001
        if batch.holds is None:
            batch.holds = [hold for hold in self.log.holds if hold.begin and self.falls_into(batch, hold.begin, hold.end)]
        for hold in batch.holds:
            if hold.covers(record.tenant, batch.rule):
                return f"hold {hold.id} was acknowledged before and stood"
        if batch.rule in shop.BY_END:
            period, values = shop.FIXED[batch.rule, batch.action], self.log.tenants[record.tenant].ends.possible(low - .5, high)
        else:
            period, values = self.required(batch, record.tenant), owner.anchor.possible(low, high)
        due = [value for value in values if value is not None and value + period * MS <= batch.due_at * MS]
        if not due:
            return f"not due: {sorted(values, key=str)} and {period} s are after {batch.due_at * MS:.0f}"
        return None

    @staticmethod
    def falls_into(batch, begin, end):
        """It was begun, or not yet over, in that time. An outcome that only the next start could enter says when it was settled."""
        return begin < batch.time < end or (batch.over is not None and batch.time < begin < batch.over and batch.outcome != "rolled-back")

    def required(self, batch, tenant):
        if batch.rule != "Events":
            return shop.FIXED[batch.rule, batch.action]
        if (batch.seq, tenant) not in self.periods:
            self.periods[batch.seq, tenant] = self.longest(batch, self.log.tenants[tenant].periods)
        return self.periods[batch.seq, tenant]

    @staticmethod
    def longest(batch, periods):
        longest = 0
        for began, _, general in [*batch.observed, (batch.began, 0, batch.events_period)]:
            own = [shop.period_of_own(value) or general for value in periods.possible(began - PREPARED, began)]
            longest = max(longest, min(own, default=0), general if not own else 0)
        return longest

    def must_not_be_proven(self, record):
        """What is there was not destroyed by a batch that says so; a reused id aside."""
        if record.name[1] == "customers":
            return
        for batch in self.candidates(record, "purge"):
            if batch.outcome != "committed" or batch.mode == "range":
                continue
            if batch.store in IRREVOCABLE and batch.destroyed[0] < batch.records:
                self.figures["spared at the last moment"] += 1
                continue
            self.fault(record.name, "proven", f"{record.name} is there, but {batch} has its leaf")

    def nothing_unknown_was_destroyed(self):
        known = {leaf for name in self.log.records for leaf in self.journal.leaves(name)}
        for leaf, batches in self.journal.by_leaf.items():
            self.checks += 1
            if leaf not in known:
                self.fault(leaf, "stranger", f"{batches[0]} took a record that no writer wrote")

    def nothing_was_destroyed_while_paused(self):
        for begin, end in self.log.pauses:
            for batch in self.journal.batches.values():
                if batch.may_have_destroyed and begin < batch.time < end:
                    self.fault(batch.seq, "paused", f"{batch} was begun in a pause")
            self.checks += 1

    def nothing_was_destroyed_before_the_first_approval(self):
        for batch in self.journal.batches.values():
            self.checks += 1
            if batch.time < self.log.first_approval:
                self.fault(batch.seq, "unapproved", f"{batch} was begun before anybody had approved its rule")

    def evidence_is_what_the_intents_promised(self):
        for batch in self.journal.batches.values():
            self.checks += 1
            self.figures[f"batches {batch.outcome}"] += 1
            self.figures["unknown outcomes"] += batch.unknown
            self.figures["settled"] += batch.settled
            if batch.outcome is None:
                self.fault(batch.seq, "open", f"{batch} has no outcome")
            if batch.evidence is None:
                if batch.mode != "range":
                    self.fault(batch.seq, "evidence", f"{batch} has no evidence")
                continue
            if not batch.leaves or merkle_root(sorted(bytes.fromhex(leaf) for leaf in batch.leaves)).hex() != batch.evidence:
                self.fault(batch.seq, "evidence", f"{batch}: its leaves are not what its intent promised")
            if batch.mode == "each" and len(batch.leaves) != batch.records + batch.dependents:
                self.fault(batch.seq, "evidence", f"{batch}: {len(batch.leaves)} leaves of {batch.records} + {batch.dependents} records")

    # ---- nothing due is left ----

    def held(self, tenant, rule):
        return any(hold.may_cover(tenant, rule) for hold in self.standing)

    def nothing_due_is_left(self):
        owners = {row["id"]: row for name, row in self.contents.rows.items() if name[:2] == ("main", "customers")}
        blocked = {row["customer_id"] for name, row in self.contents.rows.items() if name[1] == "invoices"}
        users = {row["customer_id"] for name, row in self.contents.rows.items() if name[1] == "users"}
        for name, row in self.contents.rows.items():
            rule = shop.TARGETS.get(name[:2])
            if not rule:
                continue  # a dependent: its foreign key says that its parent is there
            self.checks += 1
            tenant = Contents.tenant(name, row)
            if self.held(tenant, rule):
                self.figures["held"] += 1
            elif rule == "Accounts":
                self.account(name, row, tenant in blocked, tenant in users)
            elif rule == "Uploads":
                if tenant in owners and self.ended(owners[tenant], shop.UPLOADS):
                    self.fault(name, "left", f"{name} was due")
            else:
                self.by_age(name, row, tenant, owners.get(tenant), rule)

    def ended(self, owner, period):
        return owner["ended_at"] is not None and seconds(owner["ended_at"]) + period < self.rest

    def account(self, name, row, blocked, users):
        # A client that is held keeps its reseller's own record, too.
        family = [row["id"], *(tenant for tenant in self.log.tenants if shop.parent_of(tenant) == row["id"])]
        if not self.ended(row, shop.ACCOUNTS) or any(self.held(tenant, rule) for tenant in family for rule in shop.RULES):
            return
        if not blocked:
            self.fault(name, "left", f"{name} was due, and nothing refers to it")
        elif row["name"] != "closed" or row["email"] is not None or users:
            self.fault(name, "left", f"{name} was due, and is not anonymized")

    def by_age(self, name, row, tenant, owner, rule):
        at = Contents.anchor(name, row)
        if at is None or at / MS > self.rest:
            self.figures["undecidable"] += 1
            return
        general = max(self.journal.schedules[-1], 0)
        if rule == "Events":
            known = [shop.period_of_own(write.value) or general for write in self.log.tenants[tenant].periods.writes]
            period = shop.period_of_own(owner["logs"]) or general if owner else max(*known, general)
        else:
            period = shop.VISITS_GONE if rule == "Visits" else shop.INVOICES
        if at / MS + period < self.rest:
            self.fault(name, "left", f"{name} was due: {at:.0f} and {period} s")
        elif rule == "Visits" and at / MS + shop.VISITS < self.rest and not Contents.anonymized(name, row):
            self.fault(name, "left", f"{name} was due to be anonymized")
