#!/usr/bin/python3
"""The demo: two products, three real servers, one sweep each, and the proof.  make demo [KEEP=1] [COPIES=10]

Starts private servers in build/demo, loads both products, lets lapsed carry out their schedules, shows the journal and
compares every record with an oracle that never saw the daemon's code. With KEEP=1 everything stays up to look around."""
import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))
from demo import setup  # noqa: E402
from demo.load import product  # noqa: E402

SWEEP_DEADLINE = 120
BOLD, PLAIN = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")


def say(text):
    print(f"\n{BOLD}== {text}{PLAIN}", flush=True)


def short(word):
    """A path as one would type it here; other words as they are."""
    return os.path.relpath(word, REPOSITORY) if os.path.isabs(word) else str(word)


def show(command, environment, accept=(0,)):
    """Prints the command as one would type it, and runs it."""
    print(f"{BOLD}$ {' '.join(map(short, command))}{PLAIN}", flush=True)
    status = subprocess.call(command, env=environment, cwd=REPOSITORY)
    if status not in accept:
        raise SystemExit(f"demo: {Path(command[0]).name} {command[1]} ended with status {status}")


def quiet_window():
    """An hour far from now: the daemon then waits for the signal instead of sweeping at its start."""
    hour = (time.gmtime().tm_hour + 12) % 24
    return f'sweep = {{ every = "1 day"; window = "{hour:02}:00-{(hour + 1) % 24:02}:00"; load = "full"; }};\n'


def wait_for_entries(journal, event, count, daemon):
    """Reads the journal until it has so many of this event; the daemon's death and the deadline end the wait."""
    deadline = time.monotonic() + SWEEP_DEADLINE
    while time.monotonic() < deadline:
        lines = journal.read_text().splitlines(keepends=True) if journal.exists() else []
        if sum(json.loads(line)["event"] == event for line in lines if line.endswith("\n")) >= count:
            return
        if daemon.poll() is not None:
            raise SystemExit(f"demo: lapsed ended with status {daemon.returncode}")
        time.sleep(0.05)
    raise SystemExit(f"demo: no \"{event}\" in the journal after {SWEEP_DEADLINE} s")


def sweep(lapsed, lapsectl, config, environment):
    """Starts the daemon and asks for a sweep by signal, which destroys nothing; approves what waits, and sweeps again; stops it when
    the journal says the sweep is over."""
    journal = config.parent / "journal" / "journal.jsonl"
    print(f"{BOLD}$ {short(lapsed)} -c {short(config)} &   kill -USR1 %1{PLAIN}", flush=True)
    daemon = subprocess.Popen([str(lapsed), "-c", str(config)], env=environment, cwd=REPOSITORY, stdin=subprocess.DEVNULL)
    try:
        wait_for_entries(journal, "schedule", 1, daemon)
        daemon.send_signal(signal.SIGUSR1)
        wait_for_entries(journal, "sweep-end", 1, daemon)
        say("nothing has run before, so all of it waits for a person")
        show([str(lapsectl), "approve", "-c", str(config)], environment)
        show([str(lapsectl), "approve", "--all", "-c", str(config)], environment)
        print(f"{BOLD}$ kill -USR1 %1{PLAIN}", flush=True)
        daemon.send_signal(signal.SIGUSR1)
        wait_for_entries(journal, "sweep-end", 2, daemon)
    finally:
        if daemon.poll() is None:
            daemon.terminate()
        daemon.wait(timeout=30)


def run_product(name, number, folder, build, environment, copies):
    say(f"{name}: load its databases")
    here = folder / name
    show(["demo/load.py", name, str(here), "--copies", str(copies), "--redis", str(number)], environment)
    config = setup.write_configuration(name, here, environment, number, settings=quiet_window())
    lapsed, lapsectl = build / "lapsed", build / "lapsectl"
    setup.grant(lapsectl, name, here, environment, number)
    environment = {**environment, **setup.passwords(environment, product(name))}

    say(f"{name}: the schedule, as published, checked against the databases, and what is due")
    show([str(lapsectl), "policy", "-c", str(config)], environment)
    show([str(lapsectl), "check", "-c", str(config)], environment)
    show([str(lapsectl), "plan", "-c", str(config)], environment)

    say(f"{name}: the daemon sweeps")
    sweep(lapsed, lapsectl, config, environment)

    say(f"{name}: the journal")
    # Unsigned as yet: whole, which is status 2.
    show([str(lapsectl), "journal", "show", "-c", str(config), "--tenant", product(name).EXAMPLE], environment)
    show([str(lapsectl), "journal", "show", "-c", str(config), "--event", "sweep-end"], environment)
    show([str(lapsectl), "journal", "verify", "-c", str(config)], environment)

    say(f"{name}: every record against the oracle")
    show(["demo/compare.py", str(here), "--journal", str(here / "journal")], environment)
    return config


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=REPOSITORY / "build")
    parser.add_argument("--keep", action="store_true", help="leave the servers up")
    parser.add_argument("--copies", type=int, default=10, help="of every kind of tenant")
    arguments = parser.parse_args()
    build, began = arguments.build.resolve(), time.monotonic()
    folder = build / "demo"
    servers = [str(REPOSITORY / "scripts" / "servers.py")]
    subprocess.call([*servers, "stop", str(folder / "servers")])  # of an earlier demo that was kept
    subprocess.check_call(["rm", "-rf", str(folder)])
    say("start PostgreSQL, Redis and MongoDB")
    subprocess.check_call([*servers, "start", str(folder / "servers")])
    keep = False
    try:
        environment = {**os.environ, **json.loads((folder / "servers" / "servers.json").read_text())["env"]}
        for number, name in enumerate(("caasaas", "casso")):
            run_product(name, number, folder, build, environment, arguments.copies)
        keep = arguments.keep
    finally:
        if not keep:
            subprocess.call([*servers, "stop", str(folder / "servers")])
    say(f"both products are as their policies promise ({time.monotonic() - began:.0f} s)")
    look_around(short(folder), short(build), keep)
    return 0


def look_around(folder, build, keep):
    print("Look around:\n"
          f"  {build}/lapsectl journal show -c {folder}/caasaas/lapsed.conf | less\n"
          f"  less {folder}/caasaas/schedule.conf {folder}/caasaas/journal/journal.jsonl")
    if keep:
        print(f"  . {folder}/servers/env; export LAPSED_MAIN_PASSWORD=$LAPSED_TEST_PASSWORD LAPSED_DOCS_PASSWORD=$LAPSED_TEST_PASSWORD "
              "LAPSED_CACHE_PASSWORD=$LAPSED_TEST_PASSWORD\n"
              f"  {build}/lapsectl plan -c {folder}/caasaas/lapsed.conf --at 2030-01-01\n"
              f"  {build}/lapsectl explain customers 120 -c {folder}/caasaas/lapsed.conf\n"
              f"  psql ${{LAPSED_TEST_POSTGRESQL_ADMIN%/*}}/caasaas\n"
              f"  scripts/servers.py stop {folder}/servers          when you are done")
    else:
        print("  make demo KEEP=1                                  leaves the servers up, with the data after the sweep")


if __name__ == "__main__":
    sys.exit(main())
