"""How the daemon behaves as a service: what it tells systemd, where it takes passwords from, and what it thinks of clocks."""
import signal
import socket

import pytest

from programs import fake_clock


@pytest.fixture
def manager(tmp_path):
    """A socket that stands for systemd: returns a function that waits for a message with this text."""
    address = str(tmp_path / "notify")
    server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    server.bind(address)
    server.settimeout(30)
    def wait_for(text):
        while True:  # the socket's timeout ends this
            message = server.recv(4096).decode()
            if any(line.startswith(text) for line in message.splitlines()):
                return message
    wait_for.address = address
    yield wait_for
    server.close()


def test_notifies_systemd(world, manager):
    world.simple()
    daemon = world.start(environment={**world.environment, "NOTIFY_SOCKET": manager.address})
    manager("READY=1")
    daemon.send(signal.SIGHUP)
    assert "MONOTONIC_USEC=" in manager("RELOADING=1")
    manager("READY=1")
    daemon.send(signal.SIGUSR1)
    daemon.wait_for("sweep-end")
    manager("STATUS=idle")
    assert daemon.stop() == 0
    manager("STOPPING=1")


def test_feeds_the_watchdog(world, manager):
    world.simple()
    environment = {**world.environment, "NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "400000"}
    daemon = world.start(environment=environment)
    for _ in range(3):
        manager("WATCHDOG=1")
    assert daemon.stop() == 0


def test_the_password_comes_from_the_credentials_folder(world):
    world.simple()
    password = world.environment.pop("LAPSED_MAIN_PASSWORD")
    assert world.once().returncode in (75, 78)
    folder = world.folder / "credentials"
    folder.mkdir()
    (folder / "main").write_text(password + "\n")
    world.environment["CREDENTIALS_DIRECTORY"] = str(folder)
    answer = world.once()
    assert answer.returncode == 0, answer.stdout
    assert world.one("SELECT count(*) FROM events") == 10


def test_status_with_and_without_a_daemon(world):
    world.simple()
    assert world.lapsectl("status").returncode == 2
    daemon = world.start()
    daemon.sweep()
    daemon.until(lambda: world.lapsectl("status").returncode == 0, "a status of 0")
    assert "Events" in world.lapsectl("status").stdout
    assert (world.folder / "run" / "lapsed.prom").read_text().startswith("#")
    assert daemon.stop() == 0
    assert world.lapsectl("status").returncode == 2


@pytest.mark.parametrize("offset", ["+2d", "-2d"])
def test_nothing_is_destroyed_while_the_clock_disagrees_with_a_store(world, tmp_path, offset):
    world.simple()
    world.environment, _ = fake_clock(world.environment, tmp_path, offset)
    answer = world.once()
    assert answer.returncode == 75, answer.stdout
    assert "clock" in answer.stdout
    assert world.one("SELECT count(*) FROM events") == 20


def test_a_clock_before_the_journals_last_entry_stops_the_sweep(world, tmp_path):
    world.simple()
    assert world.once().returncode == 0
    world.sql("UPDATE events SET at = now() - interval '2 years'")
    honest = world.environment
    world.environment, _ = fake_clock(honest, tmp_path, "-1h")
    answer = world.once()
    assert answer.returncode == 75 and "journal" in answer.stdout, answer.stdout
    assert world.one("SELECT count(*) FROM events") == 10
    world.environment = honest
    assert world.once().returncode == 0
    assert world.one("SELECT count(*) FROM events") == 0


def test_signals_before_the_first_answer_do_no_harm(world):
    """HUP, USR1 and TERM in a row: each sweep is whole, the end is 0."""
    world.simple()
    daemon = world.start()
    for number in (signal.SIGUSR1, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR1, signal.SIGTERM):
        daemon.send(number)
    assert daemon.stop() == 0
    assert len(world.journal.entries("sweep-begin")) == len(world.journal.entries("sweep-end"))
    world.verify()


def test_runs_as_somebody_with_few_privileges(world):
    """What lapsectl grants prints is enough for the role, and it is all that the role has."""
    world.sql("ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM lapsed")
    world.simple()
    check = world.lapsectl("check")
    assert check.returncode != 0 and "grants" in check.stdout + check.stderr
    lines = world.lapsectl("grants").stdout
    assert "GRANT" in lines and "TRUNCATE" not in lines
    world.sql(lines)
    assert world.lapsectl("check").returncode == 0
    assert world.once().returncode == 0
    assert world.one("SELECT count(*) FROM events") == 10
    privileges = {row[0] for row in world.sql(
        "SELECT privilege_type FROM information_schema.role_table_grants WHERE grantee = 'lapsed' AND table_name = 'events'")}
    assert privileges <= {"SELECT", "DELETE"}
