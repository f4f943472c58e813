#!/usr/bin/python3
"""lapsed beside what people run today, in one run, on the same freshly loaded data.  make bench [ROWS=] [TENANTS=] [ONLY=]

    scripts/servers.py --durable run build/bench/servers -- bench/run.py [--rows N] [--tenants N] [--rounds N] [--only PART,…]
    bench/run.py --readme        puts the results into bench/README.md again

Parts: postgresql, mongodb, redis, idle, scale, latency, journal, curves. Each run of every contender is followed by a look at
which records are left; a wrong one ends the benchmark. Ratios are of runs of the same round, more than 1 is faster than theirs."""
import argparse
import json
import os
import platform
import re
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent
sys.path.insert(0, str(HERE))
from data import CUTOFF, ENDED, Mongodb, Postgresql, Redis, Shape  # noqa: E402
import chart  # noqa: E402

SCHEDULE = 'schedule = (\n  {rules}\n);\n'
BY_AGE = '{{ data = "Events {n}"; keep = "1 year"; basis = "Security"; targets = ( {{ {place} = "{name}"; tenant = "tenant"; since = "at"; }} ); }}'
BY_END = '{{ data = "Events {n}"; keep = "subscription + 30 days"; basis = "Contract"; targets = ( {{ keys = "{name}{{tenant}}:*"; }} ); }}'
SQL_TENANTS = 'tenants = {{ store = "main"; ends = [ "subscription" ]; query = "SELECT id AS tenant, ended_at AS subscription FROM customers"; }};\n'
MONGO_TENANTS = ('tenants = {{ ends = [ "subscription" ]; collection = "customers"; '
                 'pipeline = "[{{\\"$project\\": {{\\"tenant\\": \\"$_id\\", \\"subscription\\": \\"$endedAt\\"}}}}]"; }};\n')
LATENCY_SECONDS = 40


class Bench:
    def __init__(self, options):
        self.options, self.build = options, options.build.resolve()
        self.folder = self.build / "bench" / "run"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.postgresql = Postgresql(os.environ)
        self.mongodb = Mongodb(os.environ)
        self.redis = Redis(os.environ, self.postgresql, self.folder)
        self.seconds, self.ratios, self.figures, self.curves = {}, [], [], {}
        self.runs = 0

    # ---- contenders ----

    def configure(self, store, load, wide=False):
        """A folder of its own for each run: nothing is known from an earlier one."""
        self.runs += 1
        folder = self.folder / f"lapsed-{self.runs}"
        folder.mkdir()
        names = store.prefixes() if store.kind == "redis" else store.shape.names()
        rule = BY_END if store.kind == "redis" else BY_AGE
        place = {"postgresql": "table", "mongodb": "collection", "redis": "keys"}[store.kind]
        (folder / "schedule.conf").write_text(SCHEDULE.format(rules=",\n  ".join(
            rule.format(n=n, place=place, name=name) for n, name in enumerate(names))))
        stores = {"main": self.postgresql.url()} if store.kind != "mongodb" else {}
        if store.kind != "postgresql":
            stores["docs" if store.kind == "mongodb" else "cache"] = store.url()
        (folder / "lapsed.conf").write_text(
            "stores = { " + " ".join(f'{name} = {{ url = "{url}"; }};' for name, url in stores.items()) + " };\n" +
            (MONGO_TENANTS if store.kind == "mongodb" else SQL_TENANTS).format() +
            f'sweep = {{ load = "{load}"; }};\njournal = {{ folder = "journal"; }};\nstate = "state";\nrun = "run";\n'
            'brakes = { first_run = false; records = 999999999; tenants = 999999999; share = 100; };\nschedule = "schedule.conf";\n')
        return folder

    def lapsed(self, store, load="full", program="lapsed", stop_after=None, look_every=0.01):
        """Runs `lapsed --once`, for so many seconds at most; its folder, and its peak memory in MiB."""
        folder = self.configure(store, load)
        password = os.environ["LAPSED_TEST_PASSWORD"]
        environment = {**os.environ, **{f"LAPSED_{name}_PASSWORD": password for name in ("MAIN", "DOCS", "CACHE")}}
        with open(folder / "log", "wb") as log:
            process = subprocess.Popen([str(self.build / program), "--once", "-c", str(folder / "lapsed.conf")], env=environment,
                                       stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            peak, stopped, until = 0, False, time.monotonic() + (stop_after or float("inf"))
            while process.poll() is None:  # the kernel's own sum counts what this process had before it became that one
                peak = self.peak_memory(process.pid) or peak
                if not stopped and time.monotonic() > until:
                    process.terminate()
                    stopped = True
                time.sleep(look_every)
        if process.returncode not in ((0, 75) if stopped else (0,)):
            raise SystemExit(f"bench: lapsed ended with status {process.returncode}:\n{(folder / 'log').read_text()[-3000:]}")
        return folder, peak / 1024

    @staticmethod
    def peak_memory(pid):
        """VmHWM in KiB; 0: it is gone."""
        try:
            found = re.search(r"VmHWM:\s*(\d+)", Path(f"/proc/{pid}/status").read_text())
        except OSError:
            return 0
        return int(found.group(1)) if found else 0

    def entries(self, folder, event):
        with open(folder / "journal" / "journal.jsonl") as journal:
            return [entry for entry in map(json.loads, journal) if entry["event"] == event]

    def peer_environment(self, store):
        return {**os.environ, **store.environment(), "BENCH_CUTOFF": CUTOFF.isoformat(), "BENCH_ENDED": ENDED.isoformat(),
                "BENCH_TABLES": str(store.shape.tables)}

    def peer(self, store, name):
        subprocess.run([sys.executable, str(HERE / "peers.py"), name], check=True, env=self.peer_environment(store))

    def psql_bare(self, store):
        subprocess.run(["psql", "-qX", store.peer_url(), "-c", f"DELETE FROM events WHERE at < '{CUTOFF.isoformat()}'"], check=True)

    def redis_pipe(self, store):
        with open(self.folder / "unlink.resp", "rb") as keys:
            subprocess.run(store.cli("--pipe"), stdin=keys, stdout=subprocess.DEVNULL, check=True, env=self.peer_environment(store))

    def redis_xargs(self, store, tenants):
        redis_cli = shlex.join(store.cli())
        for tenant in tenants:
            subprocess.run(f"{redis_cli} --scan --pattern 'app:{tenant}:*' | xargs {redis_cli} unlink >/dev/null", shell=True, check=True,
                           env=self.peer_environment(store))

    # ---- measuring ----

    def measure(self, key, run, store, check=None, fresh=True, share=1.0):
        """One run on fresh data, and a look at what it left; `share` of the whole work was done."""
        if fresh:
            store.fresh()
        began = time.monotonic()
        result = run()
        took = (time.monotonic() - began) / share
        (check or store.check)()
        self.seconds.setdefault(key, []).append(took)
        print(f"    {key:46} {took:9.2f} s", flush=True)
        return result

    def ratio(self, work, key, against, target, aim=False):
        ours, theirs = self.seconds[key], self.seconds[against]
        pairs = [their / our for our, their in zip(ours, theirs)]
        self.ratios.append({"work": work, "against": against, "target": target, "aim": aim, "min": round(min(pairs), 3),
                            "median": round(statistics.median(pairs), 3), "ours": round(statistics.median(ours), 3),
                            "theirs": round(statistics.median(theirs), 3)})

    def figure(self, work, value, unit, target=None, at_most=True):
        self.figures.append({"work": work, "value": value, "unit": unit, "target": target, "at_most": at_most})
        print(f"    {work:46} {value:9.2f} {unit}", flush=True)

    def rounds(self, most=None):
        return range(min(self.options.rounds, most or self.options.rounds))

    # ---- parts ----

    def part_postgresql(self):
        store, shape = self.postgresql, Shape(self.options.rows, self.options.tenants)
        store.load(shape)
        work = f"PostgreSQL purge, {shape.rows:,} rows, half due, {shape.tenants:,} tenants"
        for _ in self.rounds():
            self.measure("PostgreSQL: lapsed", lambda: self.lapsed(store), store)
            self.measure("PostgreSQL: DELETE per tenant", lambda: self.peer(store, "pg_per_tenant"), store)
            self.measure("PostgreSQL: LIMIT 1000 loop", lambda: self.peer(store, "pg_limit_1000"), store)
            self.measure("PostgreSQL: one bare DELETE", lambda: self.psql_bare(store), store)
        self.ratio(work, "PostgreSQL: lapsed", "PostgreSQL: DELETE per tenant", 1.0)
        self.ratio(work, "PostgreSQL: lapsed", "PostgreSQL: LIMIT 1000 loop", 2.0)
        self.ratio(work, "PostgreSQL: lapsed", "PostgreSQL: one bare DELETE", 0.4, aim=True)

    def part_mongodb(self):
        store, shape = self.mongodb, Shape(self.options.rows, self.options.tenants)
        store.load(shape)
        work = f"MongoDB purge, {shape.rows:,} documents, half due, {shape.tenants:,} tenants"
        for _ in self.rounds(3):
            self.measure("MongoDB: lapsed", lambda: self.lapsed(store), store)
            self.measure("MongoDB: deleteMany per tenant", lambda: self.peer(store, "mongo_per_tenant"), store)
            self.measure("MongoDB: one bare deleteMany", lambda: self.peer(store, "mongo_bare"), store)
        self.ratio(work, "MongoDB: lapsed", "MongoDB: deleteMany per tenant", 1.4)
        self.ratio(work, "MongoDB: lapsed", "MongoDB: one bare deleteMany", 0.9, aim=True)

    def part_redis(self):
        store, shape = self.redis, Shape(self.options.rows, self.options.tenants)
        store.load(shape)
        work = f"Redis purge, {shape.rows:,} keys, half due, {shape.tenants:,} tenants"
        some = list(store.ended())[:5 if shape.rows > 100000 else 2]  # each reads all keys: of the rest nobody would wait for the end
        for number in self.rounds():
            self.measure("Redis: lapsed", lambda: self.lapsed(store), store)
            self.measure("Redis: tuned one-pass Python script", lambda: self.peer(store, "redis_one_pass"), store)
            if number == 0:  # a minute for a million keys
                self.measure("Redis: plain one-pass Python script", lambda: self.peer(store, "redis_plain"), store)
            self.measure("Redis: redis-cli --scan, xargs unlink by tenant", lambda: self.redis_xargs(store, some), store,
                         check=lambda: store.check(gone=some), share=len(some) / len(store.ended()))
            self.measure("Redis: UNLINK of known keys, --pipe", lambda: self.redis_pipe(store), store)
        self.ratio(work, "Redis: lapsed", "Redis: plain one-pass Python script", 5.0)
        self.ratio(work, "Redis: lapsed", "Redis: tuned one-pass Python script", 5.0)
        self.ratio(work, "Redis: lapsed", "Redis: redis-cli --scan, xargs unlink by tenant", 100.0)
        self.ratio(work, "Redis: lapsed", "Redis: UNLINK of known keys, --pipe", 0.7, aim=True)

    def part_idle(self):
        tenants = self.options.tenants * 100
        shape = Shape(self.options.rows, tenants, due=0)
        for store, name, peer in ((self.postgresql, "PostgreSQL", "pg_idle"), (self.mongodb, "MongoDB", "mongo_idle")):
            store.load(shape)
            store.fresh()
            whole = lambda store=store: store.check(whole=True)  # noqa: E731
            for _ in self.rounds(2):
                self.measure(f"{name}, idle: lapsed", lambda: self.lapsed(store), store, check=whole, fresh=False)
                self.measure(f"{name}, idle: a question a tenant", lambda: self.peer(store, peer), store, check=whole, fresh=False)
            self.ratio(f"{name} idle sweep, {tenants:,} tenants, nothing due", f"{name}, idle: lapsed", f"{name}, idle: a question a tenant", 30.0)

    def part_scale(self):
        """Memory, and the sweep of many tenants of whom one in a hundred has something due."""
        for tenants, most in ((self.options.tenants * 100, 64), (self.options.tenants * 1000, 256)):
            for due, words in ((0.01, "1 % due"), (0.5, "half due")):
                shape = Shape(tenants, tenants, due=due)
                self.postgresql.load(shape)
                _, peak = self.measure(f"PostgreSQL, {tenants:,} tenants, {words}: lapsed", lambda: self.lapsed(self.postgresql), self.postgresql)
                self.figure(f"resident memory, {tenants:,} tenants, {words}", peak, "MiB", most)

    def part_latency(self):
        """pgbench beside a gentle sweep, and just before and after it; the p99 is of all rounds together. A gentle sweep of many rows
        takes its time: of it the first LATENCY_SECONDS are measured, with its questions before the first batch; then it is stopped by a
        signal. That all its phases are gentle is measured with a table that it gets through within about as long."""
        store = self.postgresql
        many, few = Shape(self.options.rows, self.options.tenants), Shape(min(self.options.rows, 100000), self.options.tenants)
        for shape, name in ((many, f"the first {LATENCY_SECONDS} s of a gentle sweep, {many.rows:,} rows"), (few, f"a whole gentle sweep, {few.rows:,} rows")):
            store.load(shape)
            all_latencies, rates = {"beside": [], "alone": []}, []
            p99 = lambda those: statistics.quantiles(those, n=100)[98] / 1000  # noqa: E731
            for _ in self.rounds(3):
                store.fresh()
                subprocess.run(["pgbench", "-iq", "-s", "5", store.peer_url()], check=True, stderr=subprocess.DEVNULL)
                store.admin("CHECKPOINT")
                latencies, lasted, gone = self.beside_gentle(store, LATENCY_SECONDS if shape is many else None)
                for when, those in latencies.items():
                    all_latencies[when] += those
                rates.append(gone / lasted)
                print(f"    p99 of pgbench: {p99(latencies['beside']):.2f} ms beside {name} ({gone:,} rows gone in {lasted:.1f} s), "
                      f"{p99(latencies['alone']):.2f} ms without", flush=True)
            alone, beside = p99(all_latencies["alone"]), p99(all_latencies["beside"])
            self.figure(f"p99 of pgbench alone, before and after {name}", alone, "ms")
            self.figure(f"p99 of pgbench beside {name}", beside, "ms")
            self.figure(f"p99 beside / alone: {name}", beside / alone, "x", 1.2)
            self.figure(f"what goes a second: {name}", statistics.median(rates), "rows")

    def beside_gentle(self, store, most_seconds):
        """Latencies of pgbench, by when, in microseconds; for how long the sweep was measured, and how many rows went meanwhile."""
        url, log = store.peer_url(), self.folder / "pgbench"
        for old in self.folder.glob("pgbench.*"):
            old.unlink()
        pgbench = subprocess.Popen(["pgbench", "-n", "-c", "4", "-j", "1", "-R", "200", "-T", "3600", "--log", f"--log-prefix={log}", url],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(5)  # connections are made, caches warm
        times = [time.time()]
        time.sleep((most_seconds or LATENCY_SECONDS) / 2)
        times.append(time.time())
        self.lapsed(store, load="gentle", stop_after=most_seconds, look_every=0.2)
        times.append(time.time())
        gone = store.count_gone()
        if most_seconds and gone < store.shape.due:
            store.check_living()
        else:
            store.check()
        times += [time.time(), time.time() + (times[2] - times[1]) / 2]
        time.sleep((times[2] - times[1]) / 2)
        time.sleep(0.2)
        pgbench.terminate()
        pgbench.wait()
        latencies = {"beside": [], "alone": []}
        for file in self.folder.glob("pgbench.*"):
            for words in map(str.split, file.read_text().splitlines()):
                ended = int(words[4]) + int(words[5]) / 1e6 if len(words) >= 6 else 0
                if times[1] <= ended <= times[2]:
                    latencies["beside"].append(int(words[2]))
                elif times[0] <= ended <= times[1] or times[3] <= ended <= times[4]:
                    latencies["alone"].append(int(words[2]))
        return latencies, times[2] - times[1], gone

    def part_journal(self):
        """What journal and evidence cost of a purge: the same program with and without them (unjournaled.c), in alternation."""
        programs = {"with": "lapsed", "without": "bench/unjournaled"}
        if (self.build / programs["without"]).exists():  # built by make bench
            rows, rounds = self.options.rows, max(3, self.options.rounds)
            for name, store, load, rows in (("PostgreSQL", self.postgresql, "full", rows), ("PostgreSQL", self.postgresql, "gentle", min(rows, 20000)),
                                            ("MongoDB", self.mongodb, "full", rows // 5), ("Redis", self.redis, "full", rows // 2)):
                store.load(Shape(rows, self.options.tenants))
                self.share_of_journal(name, store, programs, load, rounds)
        for name in ("evidence", "journal"):
            if (self.build / "bench" / name).exists():
                self.own_program(name)

    def share_of_journal(self, kind, store, programs, load, rounds):
        took, cpu = {name: [] for name in programs}, {name: [] for name in programs}
        for number in range(rounds):
            for name in sorted(programs, reverse=number % 2):
                store.fresh()
                before, began = self.cpu_of_children(), time.monotonic()
                self.lapsed(store, load, programs[name])
                took[name].append(time.monotonic() - began)
                cpu[name].append(self.cpu_of_children() - before)
                store.check()
                print(f"    {kind}, {load}, {name + ' journal and evidence':32} {took[name][-1]:9.2f} s, {cpu[name][-1]:.3f} s of lapsed's CPU", flush=True)
        share = lambda whole, rest: 100 * (whole - rest) / whole  # noqa: E731
        self.figure(f"journal and evidence, share of a purge, {kind}, load {load}: median",
                    statistics.median(share(*pair) for pair in zip(took["with"], took["without"])), "%", 5)
        self.figure(f"journal and evidence, share of a purge, {kind}, load {load}: shortest runs", share(min(took["with"]), min(took["without"])), "%", 5)
        self.figure(f"journal and evidence, CPU of lapsed, {kind}, load {load}",
                    1000 * (statistics.median(cpu["with"]) - statistics.median(cpu["without"])), "ms")

    @staticmethod
    def cpu_of_children():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    def own_program(self, name):
        text = subprocess.run([str(self.build / "bench" / name)], stdout=subprocess.PIPE, text=True, check=True).stdout
        print(text)
        for line in text.splitlines():
            if (row := json.loads(line) if line.startswith("{") else {}).get("journal") == "verify" and row["threads"] == 1:
                self.figure("journal: verify", row["mb_per_cpu_s"], "MB/s a core", 300, at_most=False)

    def part_curves(self):
        """Cost against rows, tenants and rules; the work of the other two stays the same."""
        rows, tenants = self.options.rows // 4, self.options.tenants
        axes = {"rows": [Shape(rows * n // 4, tenants) for n in (1, 2, 4, 8)],
                "tenants": [Shape(rows, max(1, tenants * n // 100)) for n in (1, 10, 100, 1000)],
                "rules": [Shape(rows, tenants, tables=n) for n in (1, 2, 4, 8)]}
        stores = ((self.postgresql, "PostgreSQL", "pg_per_tenant"), (self.mongodb, "MongoDB", "mongo_per_tenant"), (self.redis, "Redis", None))
        for store, name, peer in stores:
            for axis, shapes in axes.items():
                for shape in shapes:
                    if store.kind == "redis" and (shape.tenants < 2 or shape.each < 2 * shape.tenants):
                        continue
                    store.load(shape)
                    at = {"rows": shape.rows, "tenants": shape.tenants, "rules": shape.tables}[axis]
                    for who, run in (("lapsed", lambda: self.lapsed(store)), ("script", lambda: self.peer(store, peer))):
                        if who == "script" and not peer:
                            continue
                        key = f"{name}, {shape.rows:,} rows, {shape.tenants:,} tenants, {shape.tables} rules: {who}"
                        self.measure(key, run, store)
                        self.curves.setdefault(axis, {}).setdefault(f"{name}: {who}", []).append((at, round(self.seconds[key][-1], 3)))

    # ---- results ----

    def results(self, took, part, earlier):
        """What this part measured, beside what others did, in this run or an earlier one."""
        def version(*words):
            return subprocess.run(words, stdout=subprocess.PIPE, text=True).stdout.splitlines()[0]
        model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
        memory = int(re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text()).group(1)) >> 20
        measured = {"time": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%MZ"), "took": round(took),
                "machine": {"cpu": model.group(1) if model else platform.machine(), "cores": len(os.sched_getaffinity(0)), "memory_gib": memory,
                            "load": os.getloadavg()[0]},
                "versions": {"postgresql": version("psql", "--version").split()[2], "redis": self.redis.client.info()["redis_version"],
                             "mongodb": self.mongodb.client.server_info()["version"]},
                "rows": self.options.rows, "tenants": self.options.tenants, "rounds": self.options.rounds,
                "ratios": self.ratios, "figures": self.figures, "seconds": {key: [round(t, 3) for t in all_] for key, all_ in self.seconds.items()},
                "curves": self.curves}
        self.seconds, self.ratios, self.figures, self.curves = {}, [], [], {}
        return {name: measured if name == part else earlier[name] for name in PARTS if name == part or name in earlier}


def conditions(results):
    """When and where, and which parts."""
    lines = {}
    for part, measured in results.items():
        machine, versions = measured["machine"], measured["versions"]
        line = (f"{measured['time'][:10]}, {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB; PostgreSQL {versions['postgresql']}, "
                f"MongoDB {versions['mongodb']}, Redis {versions['redis']}; rounds: {measured['rounds']}")
        load = "" if machine["load"] is None else f" (load {machine['load']:.1f})"
        lines.setdefault(line, []).append(f"{part} {measured['time'][11:]}{load}")
    return [f"{line}; {', '.join(parts)}." for line, parts in lines.items()]


def table(results):
    """Every row of what was measured, as Markdown."""
    lines = [*conditions(results), ""]
    ratios, figures = ([row for measured in results.values() for row in measured[kind]] for kind in ("ratios", "figures"))
    if ratios:
        lines += ["| work | against | lapsed | theirs | ratio: least | median | target | |", "|---|---|---|---|---|---|---|---|"]
        for r in ratios:
            met = "met" if r["median"] >= r["target"] else "**short**"
            lines.append(f"| {r['work']} | {r['against'].split(': ', 1)[1]} | {r['ours']:.2f} s | {r['theirs']:.2f} s | {r['min']:.2f} x | {r['median']:.2f} x "
                         f"| {'aim at ' if r['aim'] else '>= '}{r['target']} x | {met} |")
        lines.append("")
    if figures:
        lines += ["| work | measured | target | |", "|---|---|---|---|"]
        for f in figures:
            good = f["target"] is None or (f["value"] <= f["target"] if f["at_most"] else f["value"] >= f["target"])
            target = "" if f["target"] is None else f"{'<=' if f['at_most'] else '>='} {f['target']} {f['unit']}"
            lines.append(f"| {f['work']} | {f['value']:.2f} {f['unit']} | {target} | {'' if f['target'] is None else 'met' if good else '**short**'} |")
    return "\n".join(lines) + "\n"


def write_readme(results):
    readme = HERE / "README.md"
    begin, end = "<!-- results -->\n", "<!-- end of results -->\n"
    text = readme.read_text()
    before, rest = text.split(begin)
    readme.write_text(before + begin + table(results) + end + rest.split(end)[1])


PARTS = ("postgresql", "mongodb", "redis", "idle", "scale", "latency", "journal", "curves")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=REPOSITORY / "build")
    parser.add_argument("--rows", type=int, default=1000000)
    parser.add_argument("--tenants", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--results", type=Path, default=HERE / "results.json")
    parser.add_argument("--readme", action="store_true", help="only put results.json into README.md")
    options = parser.parse_args()
    if options.readme:
        write_readme(json.loads(options.results.read_text()))
        return
    parts = [part for part in options.only.split(",") if part] or PARTS
    bench, began = Bench(options), time.monotonic()
    for part in parts:
        if part not in PARTS:
            parser.error(f"there is no part {part}; there are {', '.join(PARTS)}")
    results = json.loads(options.results.read_text()) if options.only and options.results.exists() else {}
    for part in parts:
        part_began = time.monotonic()
        print(f"== {part} ({part_began - began:.0f} s)", flush=True)
        getattr(bench, f"part_{part}")()
        shutil.rmtree(bench.folder)
        bench.folder.mkdir()
        results = bench.results(time.monotonic() - part_began, part, results)
        options.results.write_text(json.dumps(results, indent=1) + "\n")
        if part == "curves":
            options.results.with_suffix(".svg").write_text(chart.draw(results["curves"]["curves"]))
    print()
    print(table(results))
    print(f"{time.monotonic() - began:.0f} s; {options.results}")


if __name__ == "__main__":
    main()
