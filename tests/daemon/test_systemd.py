"""The unit under a booted systemd: start, credentials, reload, signals, watchdog, restart and stop; and what systemd thinks of it."""
import json
import subprocess

import pytest

from machine import Machine, missing
from programs import BUILD, LAPSED, REPOSITORY

pytestmark = pytest.mark.skipif(missing() is not None, reason=missing() or "")

RULES = '''schedule = (
  {{ data = "Events"; keep = "{keep}"; basis = "Security";
    targets = ( {{ table = "events"; tenant = "customer_id"; since = "at"; }} ); }} );
'''
# How exposed systemd finds the unit, from 0 to 100: it must not grow.
MOST_EXPOSED = 25
UNIT = "lapsed.service"


def installation(world):
    """Installs as `make install` does, with the password as a credential and no other way to it."""
    sanitized = "libasan" in subprocess.run(["ldd", LAPSED], text=True, check=True, stdout=subprocess.PIPE).stdout
    config = world.config.read_text().replace("journal = { folder = \"journal\"; };\nstate = \"state\";\nrun = \"run\";\n", "")
    assert "state" not in config
    drop_in = "[Service]\nLoadCredential=main:/etc/lapsed/credentials/main\nRestartSec=200ms\nWatchdogSec=3\n"
    if sanitized:  # looking for leaks takes ptrace, which the unit forbids
        drop_in += "Environment=ASAN_OPTIONS=detect_leaks=0\n"
    return f'''
R=$1
install -D -m 0755 {BUILD}/lapsed $R/usr/sbin/lapsed
install -D -m 0755 {BUILD}/lapsectl $R/usr/bin/lapsectl
sed 's,@PREFIX@,/usr,' {REPOSITORY}/systemd/lapsed.service > $R/etc/systemd/system/{UNIT}
mkdir -p $R/etc/systemd/system/{UNIT}.d $R/etc/lapsed/credentials
cat > $R/etc/systemd/system/{UNIT}.d/test.conf <<'END'
{drop_in}END
install -D -m 0644 {REPOSITORY}/systemd/lapsed.sysusers $R/usr/lib/sysusers.d/lapsed.conf
install -D -m 0644 {REPOSITORY}/systemd/lapsed.tmpfiles $R/usr/lib/tmpfiles.d/lapsed.conf
rm -rf $R/var/lib/lapsed $R/run/lapsed
cat > $R/etc/lapsed/lapsed.conf <<'END'
{config}
END
cp {world.folder}/schedule.conf $R/etc/lapsed/schedule.conf
printf '%s\\n' "{world.servers["LAPSED_TEST_PASSWORD"]}" > $R/etc/lapsed/credentials/main
chmod 0700 $R/etc/lapsed/credentials; chmod 0400 $R/etc/lapsed/credentials/main
'''


@pytest.fixture
def booted(world, tmp_path):
    world.simple()
    (world.folder / "schedule.conf").write_text(RULES.format(keep="12 months"))
    with Machine(tmp_path, installation(world)) as machine:
        machine.run("systemd-sysusers", check=True)
        machine.run("systemd-tmpfiles", "--create", "/usr/lib/tmpfiles.d/lapsed.conf", check=True)
        yield world, machine


def entries(machine, event=None):
    lines = machine.read("/var/lib/lapsed/journal/journal.jsonl").splitlines(keepends=True)
    found = [json.loads(line) for line in lines if line.endswith("\n")]
    return [entry for entry in found if event in (None, entry["event"])]


def pid(machine):
    return int(machine.show(UNIT, "MainPID")["MainPID"])


def test_the_service_lives_its_life(booted):
    world, machine = booted
    # Type=notify: start returns when the daemon said READY=1, which it did as its own user.
    assert machine.run("systemctl", "start", UNIT).returncode == 0, machine.run("journalctl", "-u", UNIT, "--no-pager").stdout
    state = machine.show(UNIT, "ActiveState", "SubState", "StatusText", "WatchdogUSec")
    assert (state["ActiveState"], state["SubState"]) == ("active", "running") and state["StatusText"].startswith("idle")
    assert state["WatchdogUSec"] == "3s"
    assert machine.run("stat", "-c", "%U %a", "/var/lib/lapsed").stdout.split() == ["lapsed", "750"]
    assert len(entries(machine, "start")) == 1

    # USR1: a sweep outside of the window; the password can only have come from the credential.
    machine.run("systemctl", "kill", "-s", "USR1", UNIT, check=True)
    machine.until(lambda: entries(machine, "sweep-end"), "no sweep")
    assert world.one("SELECT count(*) FROM events") == 10

    # A good reload, and a faulty one, which keeps the old schedule and the service.
    before = pid(machine)
    machine.write("/etc/lapsed/schedule.conf", RULES.format(keep="13 months"))
    machine.run("systemctl", "reload", UNIT, check=True)
    machine.until(lambda: len(entries(machine, "schedule")) == 2, "the new schedule is not in force")
    machine.write("/etc/lapsed/schedule.conf", RULES.format(keep="13"))
    machine.run("systemctl", "reload", UNIT, check=True)
    machine.until(lambda: "faulty" in machine.show(UNIT, "StatusText")["StatusText"], "nothing is said of the faulty schedule")
    assert len(entries(machine, "schedule")) == 2 and pid(machine) == before
    machine.write("/etc/lapsed/schedule.conf", RULES.format(keep="13 months"))

    # It keeps the watchdog content, time and again.
    for _ in range(3):
        told = machine.show(UNIT, "WatchdogTimestampMonotonic")["WatchdogTimestampMonotonic"]
        machine.until(lambda: machine.show(UNIT, "WatchdogTimestampMonotonic")["WatchdogTimestampMonotonic"] != told, "the watchdog is not told")
    assert pid(machine) == before and machine.show(UNIT, "NRestarts")["NRestarts"] == "0"

    # Killed: started again, and the journal goes on whole.
    machine.run("systemctl", "kill", "-s", "KILL", UNIT, check=True)
    machine.until(lambda: machine.show(UNIT, "NRestarts")["NRestarts"] == "1" and len(entries(machine, "start")) == 2, "it is not started again")
    # Stuck: the watchdog ends it, and it is started again.
    machine.run("kill", "-STOP", pid(machine), check=True)
    machine.until(lambda: machine.show(UNIT, "NRestarts")["NRestarts"] == "2" and len(entries(machine, "start")) == 3, "the watchdog does not bite")

    # Stopped: in order, and at once.
    machine.until(lambda: machine.show(UNIT, "ActiveState")["ActiveState"] == "active", "it is not up")
    machine.run("systemctl", "stop", UNIT, check=True)
    assert machine.show(UNIT, "ActiveState", "Result") == {"ActiveState": "inactive", "Result": "success"}
    assert len(entries(machine, "stop")) == 1
    verify = machine.run("lapsectl", "journal", "verify")
    assert verify.returncode == 0, verify.stdout

    # A faulty configuration is not tried again and again.
    machine.write("/etc/lapsed/schedule.conf", RULES.format(keep="13"))
    assert machine.run("systemctl", "start", UNIT).returncode != 0
    state = machine.show(UNIT, "ActiveState", "ExecMainStatus", "NRestarts")
    assert state == {"ActiveState": "failed", "ExecMainStatus": "78", "NRestarts": "0"}


def test_systemd_thinks_well_of_the_unit(tmp_path):
    unit = tmp_path / UNIT
    unit.write_text((REPOSITORY / "systemd" / "lapsed.service").read_text().replace("@PREFIX@/sbin/lapsed", LAPSED))
    verify = subprocess.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)], text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, timeout=60)
    assert verify.returncode == 0 and verify.stdout == "", verify.stdout
    security = subprocess.run(["systemd-analyze", "security", "--offline=yes", f"--threshold={MOST_EXPOSED}", "--no-pager", str(unit)], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    assert security.returncode == 0, security.stdout
