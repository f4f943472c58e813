"""What happens to the daemon: it is killed, its servers are, its connections are cut; and a clerk who holds, pauses and reloads."""
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter

import psycopg2

import shop
from own_servers import signal_all
from programs import LAPSECTL, LAPSED

DEADLINE = 60


class Supervisor(threading.Thread):
    """Starts the daemon again whenever it ended. An end that nobody asked for is a fault."""

    def __init__(self, config, environment, log_path):
        super().__init__(daemon=True)
        self.config, self.environment, self.log = config, environment, open(log_path, "ab")
        self.over, self.lock, self.faults, self.starts, self.most_memory = threading.Event(), threading.Lock(), [], 0, 0
        self.asked = set()  # those that were told to end, by their id

    def said(self):
        return os.fstat(self.log.fileno()).st_size

    def run(self):
        while not self.over.is_set():
            said = self.said()
            with self.lock:
                self.process = subprocess.Popen([LAPSED, "-c", str(self.config)], env=self.environment, stdin=subprocess.DEVNULL,
                                                stdout=self.log, stderr=subprocess.STDOUT)
            self.starts += 1
            while self.process.poll() is None:
                self.measure()
                try:
                    self.process.wait(.5)
                except subprocess.TimeoutExpired:
                    pass
            told, status = self.process.pid in self.asked, self.process.returncode
            # Told before it had begun to listen, and so before its first word, it ends as any program does.
            if not told or status not in (0, -signal.SIGKILL) and not (status == -signal.SIGTERM and self.said() == said):
                self.faults.append(f"the daemon ended with {status}" + (", asked to" if told else ", which nobody had asked for"))
                self.over.wait(.5)

    def measure(self):
        try:
            with open(f"/proc/{self.process.pid}/status") as status:
                found = [line for line in status if line.startswith("VmHWM")]
        except OSError:
            return
        if found:
            self.most_memory = max(self.most_memory, int(found[0].split()[1]))

    def tell(self, number):
        with self.lock:
            process = getattr(self, "process", None)
            if process and process.poll() is None and (number in (signal.SIGKILL, signal.SIGTERM) or catches(process.pid, number)):
                if number in (signal.SIGKILL, signal.SIGTERM):
                    self.asked.add(process.pid)
                process.send_signal(number)

    def stop(self):
        """The last end, with everything written."""
        self.over.set()
        self.tell(signal.SIGTERM)
        self.join(DEADLINE)
        if self.is_alive():
            self.faults.append(f"the daemon did not end {DEADLINE} s after SIGTERM")
            self.tell(signal.SIGKILL)
            self.join()
        self.log.close()


def catches(pid, number):
    """It has come so far that this signal does not end it; a service manager waits for READY=1."""
    try:
        with open(f"/proc/{pid}/status") as status:
            return any(int(line.split()[1], 16) >> number - 1 & 1 for line in status if line.startswith("SigCgt"))
    except OSError:
        return False


class Trouble(threading.Thread):
    COMMITS = {"POSTGRESQL": b"COMMIT\0", "MONGODB": b"commitTransaction", "MONGODB_STANDALONE": b"deletes", "REDIS": b"UNLINK"}
    STATEMENTS = {"POSTGRESQL": b"DELETE", "MONGODB": b"deletes", "MONGODB_STANDALONE": b"deletes", "REDIS": b"UNLINK"}

    def __init__(self, seed, supervisor, servers, proxies, database, disk):
        super().__init__(daemon=True)
        self.disk = disk  # the journal's own, if it has one
        self.chance, self.supervisor, self.servers, self.proxies, self.database = random.Random(f"{seed} trouble"), supervisor, servers, proxies, database
        self.over, self.done, self.failure = threading.Event(), Counter(), None

    def run(self):
        try:
            while not self.over.wait(self.chance.uniform(.2, 2.5)):
                action = self.chance.choices(*zip(*self.choices()))[0]
                action()
                self.done[action.__name__] += 1
        except BaseException as error:
            self.failure = error
            raise

    def stop(self):
        self.over.set()
        self.join()

    def choices(self):
        return [(self.daemon_killed, 4), (self.daemon_restarted, 1), (self.daemon_reloaded, 1), (self.sweep_asked_for, 4), (self.server_killed, 2),
                (self.backends_killed, 1), (self.backends_terminated, 2), (self.server_stopped, 1), (self.connections_cut, 3),
                (self.commit_unanswered, 4), (self.statement_cut, 3), (self.disk_filled, 1 if self.disk else 0)]

    def kind(self):
        return self.chance.choice(list(self.proxies))

    def daemon_killed(self):
        self.supervisor.tell(signal.SIGKILL)

    def daemon_restarted(self):
        self.supervisor.tell(signal.SIGTERM)

    def daemon_reloaded(self):
        self.supervisor.tell(signal.SIGHUP)

    def sweep_asked_for(self):
        self.supervisor.tell(signal.SIGUSR1)

    def server_killed(self):
        kind = self.kind()
        self.servers.kill(kind)
        self.over.wait(self.chance.choice([0, 0, .5, 2]))
        self.servers.start_again(kind)

    def backends_killed(self):
        """PostgreSQL then ends all its backends, and recovers."""
        pids = self.backends("SELECT pid")
        if pids:
            signal_all([self.chance.choice(pids)], signal.SIGKILL)

    def backends_terminated(self):
        self.backends("SELECT pg_terminate_backend(pid)")

    def backends(self, select):
        try:
            connection = psycopg2.connect(self.servers.environment["LAPSED_TEST_POSTGRESQL_ADMIN"])
            with connection, connection.cursor() as cursor:
                cursor.execute(select + " FROM pg_stat_activity WHERE usename = 'lapsed' AND datname = %s", (self.database,))
                found = [row[0] for row in cursor.fetchall()]
            connection.close()
            return found
        except psycopg2.OperationalError:
            return []

    def server_stopped(self):
        with self.servers.stopped(self.kind()):
            self.over.wait(self.chance.choice([.3, 1, 4]))

    def disk_filled(self):
        left = os.statvfs(self.disk)
        with open(self.disk / "filler", "wb") as filler:
            but = self.chance.choice([0, 1 << 20])
            try:
                os.posix_fallocate(filler.fileno(), 0, max(left.f_bavail * left.f_frsize - but, 1))
            except OSError:
                pass  # the daemon took some of it meanwhile
            self.over.wait(self.chance.choice([.5, 1.5, 4]))
        (self.disk / "filler").unlink()

    def connections_cut(self):
        self.proxies[self.kind()].cut()

    def commit_unanswered(self):
        kind = self.kind()
        self.proxies[kind].arm(self.COMMITS[kind], self.chance.choice([1, 1, 3]))

    def statement_cut(self):
        kind = self.kind()
        self.proxies[kind].arm(self.STATEMENTS[kind], self.chance.choice([1, 2]), before=self.chance.random() < .5)


class Hold:
    """What it forbids from `begin` on, once it was acknowledged, until `end`."""

    def __init__(self, id, scope, value):
        self.id, self.scope, self.value, self.begin, self.end = id, scope, value, None, float("inf")
        self.members = set()  # of a subtree: who was there for certain when it was placed

    def covers(self, tenant, rule):
        if self.scope in ("tenant", "subtree"):
            return tenant is not None and (tenant == self.value or tenant in self.members)
        return self.scope == "all" or self.value == rule

    def may_cover(self, tenant, rule):
        """Somebody who was gone when it was placed may belong to it."""
        return self.covers(tenant, rule) or (self.scope == "subtree" and tenant is not None and shop.parent_of(tenant) == self.value)


class Clerk(threading.Thread):
    """Asks with lapsectl: an acknowledged hold or pause counts from then on, until the moment that its end was asked for."""

    def __init__(self, seed, log, config, environment, supervisor, write_schedule, cooling_off):
        super().__init__(daemon=True)
        self.chance, self.log, self.config, self.environment = random.Random(f"{seed} clerk"), log, config, environment
        self.supervisor, self.write_schedule, self.cooling_off = supervisor, write_schedule, cooling_off
        self.over, self.done, self.number, self.standing, self.failure, self.faults = threading.Event(), Counter(), 0, [], None, []

    def run(self):
        try:
            self.over.wait(3)  # until then everything waits for its first approval
            self.log.first_approval = time.time()
            while not self.over.wait(self.chance.uniform(.2, 1.5)):
                action = self.chance.choices(*zip((self.approve, 5), (self.hold, 5), (self.release, 4), (self.pause, 1), (self.reload, 2)))[0]
                action()
                self.done[action.__name__] += 1
        except BaseException as error:
            self.failure = error
            raise

    def stop(self):
        self.over.set()
        self.join()

    def approve(self):
        """False: somebody must ask again, because lapsed does not run, or what waited is not what was meant."""
        return self.lapsectl("approve", "--all", refused=77)

    def lapsectl(self, *arguments, refused=75):
        """True: acknowledged; False: it waits."""
        answer = subprocess.run([LAPSECTL, *arguments, "-c", str(self.config)], env=self.environment, text=True, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=DEADLINE)
        if answer.returncode not in (0, 75, refused):
            self.faults.append(f"lapsectl {' '.join(arguments)} exited with {answer.returncode}: {answer.stderr.strip()}")
        return answer.returncode == 0

    def until_acknowledged(self, *arguments):
        end = time.monotonic() + DEADLINE
        while not self.lapsectl(*arguments):
            if time.monotonic() > end:
                self.faults.append(f"lapsectl {' '.join(arguments)} was not acknowledged in {DEADLINE} s")
                return False
            time.sleep(.2)
        return True

    def hold(self):
        if len(self.standing) >= 6:
            return self.release()
        self.number += 1
        scope = self.chance.choices(["tenant", "subtree", "rule", "all"], [10, 3, 2, 1])[0]
        tenants = list(self.log.tenants)
        value = {"tenant": lambda: self.chance.choice(tenants), "subtree": lambda: self.chance.choice([one for one in tenants if one % 10 == 0]),
                 "rule": lambda: self.chance.choice(shop.RULES), "all": lambda: None}[scope]()
        hold = Hold(f"case-{self.number}", scope, value)
        if scope == "subtree":
            hold.members = {one for one in tenants if shop.parent_of(one) == value and self.is_running(one)}
        acknowledged = self.lapsectl(*self.words(hold))
        if acknowledged:
            hold.begin = time.time()
        self.standing.append(hold)
        self.log.holds.append(hold)
        self.log.note("hold", id=hold.id, scope=scope, value=value, acknowledged=acknowledged)
        if scope == "all":  # nothing lapses meanwhile: not for long
            self.over.wait(1)
            self.end(hold)

    def release(self):
        if self.standing:
            self.end(self.chance.choice(self.standing))

    def end(self, hold):
        # Not acknowledged as yet: it is before its release may be asked for.
        if hold.begin is None and self.until_acknowledged(*self.words(hold)):
            hold.begin = time.time()
        hold.end = time.time() + self.cooling_off
        self.log.note("release", id=hold.id)
        self.until_acknowledged("release", hold.id)
        self.standing.remove(hold)

    def is_running(self, tenant):
        """It had not ended for some seconds: its row is there, and the daemon has seen it or will."""
        return self.log.tenants[tenant].ends.possible(time.time() - 20, time.time()) == {None}

    @staticmethod
    def words(hold):
        place = {"tenant": ["--tenant", str(hold.value)], "subtree": ["--tenant", str(hold.value), "--subtree"], "rule": ["--rule", str(hold.value)],
                 "all": ["--all"]}[hold.scope]
        return ["hold", *place, "--ground", "litigation", "--id", hold.id]

    def pause(self):
        if self.lapsectl("pause", "--ground", "test"):
            begin = time.time()
            self.over.wait(self.chance.uniform(.2, 2))
            self.log.pauses.append((begin, time.time()))
        self.until_acknowledged("resume")

    def reload(self):
        self.write_schedule(self.chance)
        self.supervisor.tell(signal.SIGHUP)
