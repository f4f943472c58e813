"""Where the key comes from that signs the journal, whom it is told to, and who may read it."""
import stat
import subprocess

import pytest

from programs import LAPSECTL
from test_interop import manual_command

NEWS = "the journal's checkpoints are signed with a new key; its public key is "


def keygen(path, name):
    """The public key."""
    made = subprocess.run([LAPSECTL, "keygen", "--name", name, "--out", str(path)], text=True, check=True, stdout=subprocess.PIPE).stdout
    return next(word for word in made.split() if word.startswith(f"{name}+"))


@pytest.fixture
def credentials(world):
    """As the service manager hands them over."""
    world.simple()
    folder = world.folder / "credentials"
    folder.mkdir(0o700)
    world.environment["CREDENTIALS_DIRECTORY"] = str(folder)
    return folder


def told(text):
    """The public keys that a log told."""
    return [line.split(NEWS)[1].split(":")[0] for line in text.splitlines() if NEWS in line]


def published(world):
    return (world.folder / "state" / "journal.pub").read_text().splitlines()


def verify(world, vkey):
    return world.lapsectl("journal", "verify", "--vkey", vkey).returncode


def signers(world):
    """How many signed the newest checkpoint."""
    return len((world.journal.folder / "checkpoint").read_text().split("\n\n")[1].splitlines())


def test_the_first_start_makes_a_key_and_tells_its_public_one(world):
    world.simple()
    first = world.once()
    assert first.returncode == 0
    key = world.folder / "state" / "journal.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o400
    [vkey] = told(first.stdout)
    assert published(world) == [vkey] and "keep a copy of it elsewhere" in first.stdout
    assert world.journal.entries("start")[0]["keys"] == [vkey]
    assert verify(world, vkey) == 0
    private = key.read_text().split("+")[-1].strip()
    assert private not in first.stdout + world.journal.text()
    again = world.once()
    assert again.returncode == 0 and told(again.stdout) == []
    assert published(world) == [vkey] and world.journal.entries("start")[1]["keys"] == [vkey]


def test_the_key_of_the_credentials_signs(world, credentials):
    vkey = keygen(credentials / "journal-key", "lapsed.example/log")
    answer = world.once()
    assert answer.returncode == 0, answer.stdout
    assert told(answer.stdout) == [vkey] and published(world) == [vkey]
    assert world.journal.entries("start")[-1]["keys"] == [vkey]
    assert not (world.folder / "state" / "journal.key").exists()
    assert verify(world, vkey) == 0 and signers(world) == 1
    # One that lies in the state folder as well does not count.
    other = keygen(world.folder / "state" / "journal.key", "lapsed.example/log")
    answer = world.once()
    assert answer.returncode == 0 and told(answer.stdout) == []
    assert verify(world, vkey) == 0 and verify(world, other) == 2 and published(world) == [vkey]


def test_the_old_key_of_the_credentials_signs_beside_the_new_one(world, credentials, tmp_path):
    old = keygen(credentials / "journal-key", "lapsed.example/log")
    assert world.once().returncode == 0
    (credentials / "journal-key").rename(credentials / "journal-key-old")
    new = keygen(credentials / "journal-key", "lapsed.example/log")
    answer = world.once()
    assert answer.returncode == 0 and told(answer.stdout) == [new] and published(world) == [old, new]
    assert world.journal.entries("start")[-1]["keys"] == [new, old]
    assert signers(world) == 2 and verify(world, old) == verify(world, new) == 0
    # Who only has the forwarded log can go over to the new key, too.
    (tmp_path / "lapsed.log").write_text(answer.stdout)
    subprocess.run(["sh", "-ec", manual_command("logged")], cwd=tmp_path, check=True)
    assert (tmp_path / "kept").read_text() == (world.journal.folder / "checkpoint").read_text()
    lines = [line for line in answer.stdout.splitlines() if " checkpoint " in line]
    assert lines and all(line.count(" — lapsed.example/log ") == 2 for line in lines)
    (credentials / "journal-key-old").unlink()
    assert world.once().returncode == 0
    assert signers(world) == 1 and verify(world, new) == 0 and verify(world, old) == 2


@pytest.mark.parametrize("mode, taken", [(0o400, True), (0o600, True), (0o440, True), (0o444, False), (0o404, False), (0o666, False), (0o460, False)],
                         ids=lambda value: oct(value) if not isinstance(value, bool) else "")
def test_a_credential_that_others_may_read_is_refused(world, credentials, mode, taken):
    keygen(credentials / "journal-key", "lapsed.example/log")
    (credentials / "journal-key").chmod(mode)
    answer = world.once()
    assert answer.returncode == (0 if taken else 78), answer.stdout
    if not taken:
        assert f"others may read or write the journal's private key {credentials}/journal-key; chmod 0400" in answer.stdout
        assert world.one("SELECT count(*) FROM events") == 20 and not (world.folder / "state" / "journal.key").exists()


@pytest.mark.parametrize("mode, taken", [(0o600, True), (0o440, False), (0o604, False), (0o420, False)],
                         ids=lambda value: oct(value) if not isinstance(value, bool) else "")
def test_a_key_of_the_state_folder_that_others_may_read_is_refused(world, mode, taken):
    world.simple()
    state = world.folder / "state"
    state.mkdir()
    keygen(state / "journal.key", "lapsed.example/log")
    (state / "journal.key").chmod(mode)
    answer = world.once()
    assert answer.returncode == (0 if taken else 78), answer.stdout
    if not taken:
        assert "others may read or write the journal's private key" in answer.stdout
        assert world.one("SELECT count(*) FROM events") == 20 and stat.S_IMODE((state / "journal.key").stat().st_mode) == mode
