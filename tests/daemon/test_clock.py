"""A clock that is set while the daemon runs, between two runs, and in the middle of a sweep; and a journal from the future."""
import signal
import time
from datetime import datetime, timedelta, timezone

from programs import DEADLINE, fake_clock
from world import PATIENT, idle

ALWAYS = 'sweep = { every = "1 day"; load = "full"; };\n'


def ids(world):
    return [row[0] for row in world.sql("SELECT id FROM events ORDER BY id")]


def start_with_clock(world):
    world.environment, set_clock = fake_clock(world.environment, world.folder, "+0")
    return world.start(), set_clock


def until_doubt(daemon, world, words):
    def said():
        daemon.send(signal.SIGUSR1)
        answer = world.lapsectl("status")
        return answer.stdout if words in answer.stdout else None
    return daemon.until(said, words)


def test_a_step_between_sweeps_stops_them_until_it_is_taken_back(world):
    world.simple(rows=20, due=10)
    daemon, set_clock = start_with_clock(world)
    assert daemon.sweep()["results"][0]["purged"] == 10
    world.sql("INSERT INTO events SELECT n, 1, now() - interval '13 months', 'x' FROM generate_series(100, 109) n")
    for offset, words in (("+3650d", "the clock was set forward by 3,6"), ("+2h", "the clock was set forward by 1 h 59 min"), ("-1h", "but the journal's last entry is of")):
        set_clock(offset)
        until_doubt(daemon, world, words)
        assert "approve --clock" in world.lapsectl("status").stdout
    assert len(ids(world)) == 20 and len(world.journal.entries("sweep-begin")) == 1
    set_clock("+0")
    daemon.until(lambda: (daemon.send(signal.SIGUSR1), world.journal.entries("sweep-end", sweep=2))[1], "a second sweep")
    assert ids(world) == list(range(11, 21))
    assert daemon.stop() == 0
    world.verify()


def test_a_restart_is_no_way_around(world):
    world.simple(rows=20, due=10)
    assert world.once().returncode == 0
    world.sql("INSERT INTO events SELECT n, 1, now() - interval '13 months', 'x' FROM generate_series(100, 109) n")
    honest = world.environment
    world.environment, _ = fake_clock(honest, world.folder, "+2h")
    answer = world.once()
    assert answer.returncode == 75 and "the clock was set forward by" in answer.stdout, answer.stdout
    assert len(world.journal.entries("sweep-begin")) == 1 and len(ids(world)) == 20
    # Accepted, the time is compared with the stores' clocks still.
    assert world.lapsectl("approve", "--clock").returncode == 75
    answer = world.once()
    assert answer.returncode == 75 and "its clock and ours are" in answer.stdout, answer.stdout
    assert len(world.journal.entries("sweep-begin")) == 2 and len(ids(world)) == 20
    assert len(world.journal.entries("clock")) == 1


def test_a_journal_from_the_future_does_not_stop_it_for_years(world):
    world.simple(rows=20, due=10)
    honest = world.environment
    world.environment, _ = fake_clock(honest, world.folder, "+3650d")
    assert world.once().returncode == 75  # the stores know better, but the journal has it
    assert len(ids(world)) == 20
    world.environment = honest
    answer = world.once()
    assert answer.returncode == 75 and "but the journal's last entry is of" in answer.stdout, answer.stdout
    assert len(ids(world)) == 20
    assert world.lapsectl("approve", "--clock").returncode == 75
    answer = world.once()
    assert answer.returncode == 0, answer.stdout
    assert ids(world) == list(range(11, 21))
    entry = world.journal.entries("clock")[0]
    assert entry["latest"] > "2036" and entry["time"] < "2036"
    assert "this time was accepted by user" in world.lapsectl("journal", "show").stdout
    # Nor does it come back at the next start.
    assert world.once().returncode == 0
    world.verify()


def test_who_may_not_approve_may_not_set_the_time(world):
    world.simple(rows=2, due=1)
    assert world.lapsectl("approve", "--clock", "--all").returncode == 64
    assert world.once().returncode == 0


def test_a_step_in_the_middle_of_a_sweep_stops_its_batches(world):
    world.simple(rows=200, due=200, settings=idle("normal", "batch = { rows = 2; };\n" + PATIENT))
    daemon, set_clock = start_with_clock(world)
    with world.held_up(daemon, "events", 100):
        set_clock("+3h")
    daemon.until(lambda: "the clock was set forward" in world.lapsectl("status").stdout, "a doubt in the status")
    before = len(world.journal.entries("intent"))
    left = len(ids(world))
    assert left > 0
    assert len(world.journal.entries("intent")) == before
    set_clock("+0")
    daemon.wait_for("sweep-end")
    assert ids(world) == []
    assert [entry["code"] for entry in world.journal.entries("wait")] == ["clock-stepped"]
    # No batch was begun with a time that nobody believed.
    doubted = [entry for entry in world.journal.entries("intent") if entry["time"] > world.journal.entries("sweep-end")[0]["time"]]
    assert not doubted
    assert daemon.stop() == 0
    world.verify()


def test_the_window_opens_though_the_clock_stepped_over_it(world):
    """A periodic timer that a step carries past its time does not fire: the time of the last sweep is compared instead."""
    world.simple(rows=20, due=10, settings='sweep = { every = "30 s"; load = "full"; }; clock = { tolerance = "120 s"; };\n')
    daemon, set_clock = start_with_clock(world)
    daemon.wait_for("sweep-end")
    world.sql("UPDATE events SET at = now() - interval '13 months'")
    set_clock("+60")
    daemon.wait_for("sweep-end", 2)
    assert ids(world) == []
    assert daemon.stop() == 0


def test_an_approval_under_a_wrong_clock_is_of_the_time_that_is_known(world):
    world.simple(rows=20, due=10, settings=idle(more="brakes = { first_run = true; };\n"))
    daemon, set_clock = start_with_clock(world)
    daemon.sweep()
    assert len(ids(world)) == 20
    set_clock("+300d")
    until_doubt(daemon, world, "the clock was set forward by 299 days")
    assert world.lapsectl("approve", "--all").returncode == 0
    entry = world.journal.entries("approve")[0]
    assert entry["since"] < entry["time"] and entry["since"] < f"{datetime.now(timezone.utc) + timedelta(minutes=5):%Y-%m-%dT%H:%M:%S}"
    set_clock("+0")
    daemon.until(lambda: (daemon.send(signal.SIGUSR1), world.journal.entries("sweep-end", sweep=2))[1], "a second sweep")
    assert ids(world) == list(range(11, 21))
    assert daemon.stop() == 0


def test_an_approval_of_the_future_is_void(world):
    """Given by a clock that nobody had reason to doubt, and that was set right since."""
    world.simple(rows=20, due=10, settings=idle(more="brakes = { first_run = true; };\n"))
    assert world.once().returncode == 75
    (world.folder / "state" / "clock.json").unlink()  # of another boot
    honest = world.environment
    world.environment, _ = fake_clock(honest, world.folder, "+3650d")
    assert world.lapsectl("approve", "--all").returncode == 75
    assert world.once().returncode == 75
    assert world.journal.entries("approve")[0]["since"] > "2036"
    world.environment = honest
    assert world.once().returncode == 75
    assert world.lapsectl("approve", "--clock").returncode == 75
    answer = world.once()
    assert answer.returncode == 75 and "given by a clock that was ahead; it is void" in answer.stdout, answer.stdout
    assert world.journal.entries("approve")[-1]["outcome"] == "void"
    assert len(ids(world)) == 20
    assert world.lapsectl("approve", "--all").returncode == 75
    assert world.once().returncode == 0
    assert ids(world) == list(range(11, 21))


def quickly_old(world, **settings):
    """Segments of a few entries, and a month's key of long ago; `settings` of the journal."""
    more = "".join(f' {name} = "{value}";' for name, value in settings.items())
    world.config.write_text(world.config.read_text().replace('folder = "journal";', 'folder = "journal"; segment = "4 KiB";' + more))
    state = world.folder / "state"
    state.mkdir(exist_ok=True)
    for name in ("evidence-2020-01.key", "pseudonym-2020-01.key"):
        (state / name).write_bytes(bytes(range(32)))
        (state / name).chmod(0o400)
    return state


def while_it_gets_old(world, status):
    """Starts that fail as they should, for longer than the period of a second."""
    end = time.monotonic() + 3
    while time.monotonic() < end:
        answer = world.once()
        assert answer.returncode == status, answer.stdout


def of_the_past(world):
    state, journal = world.folder / "state", world.journal.folder
    files = [*state.glob("*-20??-??.key"), *journal.glob("journal-*.jsonl"), *journal.glob("evidence-*")]
    return {path.name: path.read_bytes() for path in files}


def test_a_wrong_clock_removes_neither_journal_nor_keys(world):
    world.simple(rows=40, due=20, settings="batch = { rows = 2; };\n")
    quickly_old(world, keep="1 year", keep_evidence="1 year")
    assert world.once().returncode == 0
    state = world.folder / "state"
    assert not (state / "evidence-2020-01.key").exists(), "its time is over, the stores agree"
    before = of_the_past(world)
    assert len(list(world.journal.folder.glob("journal-*.jsonl"))) >= 2
    honest = world.environment
    world.environment, set_clock = fake_clock(honest, world.folder, "+1200d")
    (state / "clock.json").rename(state / "elsewhere")  # as after a boot: nobody but the stores knows better
    answer = world.once()
    assert answer.returncode == 75 and "its clock and ours are" in answer.stdout, answer.stdout
    (state / "elsewhere").rename(state / "clock.json")
    set_clock("+3650d")
    assert "the clock was set forward by" in world.once().stdout
    now = of_the_past(world)
    assert {name: now.get(name) for name in before} == before
    world.verify()


def test_a_clock_that_no_store_confirms_removes_nothing(world):
    world.simple(rows=20, due=10)
    state = quickly_old(world, keep="1 second", keep_evidence="1 second")
    world.config.write_text(world.config.read_text().replace(world.url("postgresql"), "postgresql://lapsed@127.0.0.1:1/nobody"))
    while_it_gets_old(world, 75)
    assert (state / "evidence-2020-01.key").exists() and (state / "pseudonym-2020-01.key").exists()
    assert world.journal.entries()[0]["seq"] == 1


def test_a_hold_outlives_the_entries_that_placed_it(world):
    """The journal's period is shorter than the time in which no start succeeds."""
    world.simple(rows=20, due=10, settings=ALWAYS)
    state = quickly_old(world, keep="1 second", keep_evidence="1 second")
    spool = state / "spool"
    daemon = world.start()
    assert daemon.sweep()["results"][0]["purged"] == 10
    assert world.lapsectl("hold", "--all", "--ground", "litigation").returncode == 0
    world.sql("INSERT INTO events SELECT n, 1, now() - interval '13 months', 'x' FROM generate_series(1, 10) n")
    assert daemon.stop() == 0
    spool.rename(state / "elsewhere")
    spool.write_text("")
    while_it_gets_old(world, 74)
    spool.unlink()
    (state / "elsewhere").rename(spool)
    placed = world.journal.entries("hold")[0]["seq"]
    deadline = time.monotonic() + DEADLINE
    while world.journal.entries()[0]["seq"] <= placed:
        assert world.once().returncode == 0 and time.monotonic() < deadline
    assert len(ids(world)) == 20, "the hold is gone"
    assert "litigation" in world.lapsectl("hold", "list").stdout
    world.verify()
