"""A machine of its own: systemd-nspawn boots the systemd of this host over an overlay of its root, which is thrown away. The network is
the host's. Needs root and the package systemd-container."""
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

DEADLINE = 90
# Every machine has a control group of its own, so that several do not get in each other's way (hosts with the old hierarchy).
HIERARCHIES = [path for path in (Path("/sys/fs/cgroup/systemd"), Path("/sys/fs/cgroup/unified")) if path.is_dir()]
BOOT = r'''
W=$1 NAME=$2 SETUP=$3
mount -t tmpfs -o size=1g tmpfs "$W"; mkdir "$W"/{upper,work,root}; R=$W/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$W/upper,workdir=$W/work" "$R"
: > "$R/etc/machine-id"
rm -rf "$R/etc/systemd/system"; mkdir -p "$R/etc/systemd/system" "$R/etc/systemd/system-preset"
echo "disable *" > "$R/etc/systemd/system-preset/00-none.preset"
bash -eu "$SETUP" "$R"
exec systemd-nspawn -q -D "$R" -b --register=no --keep-unit --machine="$NAME" --console=pipe \
  systemd.unit=basic.target systemd.mask=systemd-firstboot.service
'''


def missing():
    """Why there can be no machine here; None: there can."""
    if os.geteuid() != 0:
        return "it takes root to boot a machine"
    for program in ("systemd-nspawn", "unshare", "nsenter"):
        if not shutil.which(program):
            return f"{program} is missing (Debian: systemd-container, util-linux)"
    if subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
        return "nothing may be mounted here"
    return None


class Machine:
    def __init__(self, folder, setup):
        """`setup`: a script that puts files into the root that it gets as $1."""
        self.folder, self.name = folder, f"lapsed-{os.getpid()}"
        self.root = folder / "machine"
        self.root.mkdir()
        (folder / "setup.sh").write_text(setup)
        self.log = folder / "machine.log"
        self.leader = None

    def __enter__(self):
        def own_group():
            for hierarchy in HIERARCHIES:
                group = hierarchy / self.name
                group.mkdir(exist_ok=True)
                (group / "cgroup.procs").write_text(str(os.getpid()))
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(["unshare", "-m", "--propagation", "private", "bash", "-euc", BOOT, "_", str(self.root), self.name,
                                             str(self.folder / "setup.sh")], stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=own_group)
        try:
            self._until(self._is_up, "it does not come up")
        except BaseException:
            self._remove()
            raise
        return self

    def _until(self, condition, what):
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            if result := condition():
                return result
            time.sleep(0.05)
        raise AssertionError(f"the machine: {what}\n{self.log.read_text(errors='replace')[-2000:]}")

    def _is_up(self):
        """systemd-nspawn's child is another one for a moment, before it is the machine's first process."""
        if Path(f"/proc/{self.process.pid}/comm").read_text().strip() != "systemd-nspawn":
            return False
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        self.leader = int(children[0]) if children else None
        return self.leader and self.run("systemctl", "is-system-running", "--wait").stdout.strip() in ("running", "degraded")

    def run(self, *command, check=False):
        answer = subprocess.run(["nsenter", "-t", str(self.leader), "-m", "-u", "-i", "-p", "-n", "-C", *map(str, command)], text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DEADLINE)
        assert not check or answer.returncode == 0, answer.stdout
        return answer

    def read(self, path):
        """A file inside; "" if it is not there."""
        try:
            return Path(f"/proc/{self.leader}/root{path}").read_text()
        except FileNotFoundError:
            return ""

    def write(self, path, text):
        inside = Path(f"/proc/{self.leader}/root{path}")
        inside.parent.mkdir(parents=True, exist_ok=True)
        inside.write_text(text)

    def show(self, unit, *properties):
        """{property: value}"""
        lines = self.run("systemctl", "show", unit, *[f"--property={name}" for name in properties], check=True).stdout.splitlines()
        return dict(line.split("=", 1) for line in lines)

    def until(self, condition, what):
        return self._until(condition, what)

    def _remove(self):
        """The machine's first process outlives a killed systemd-nspawn: it goes first, and all others with it."""
        try:
            if self.leader and "systemd.mask=systemd-firstboot.service" in Path(f"/proc/{self.leader}/cmdline").read_text():
                os.kill(self.leader, signal.SIGKILL)
        except OSError:
            pass  # it is gone
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for hierarchy in HIERARCHIES:
            for group in sorted((hierarchy / self.name).rglob("*"), reverse=True):
                if group.is_dir():
                    try:
                        group.rmdir()
                    except OSError:
                        pass
            try:
                (hierarchy / self.name).rmdir()
            except OSError:
                pass

    def __exit__(self, *_):
        if self.process.poll() is None:
            os.kill(self.leader, signal.SIGRTMIN + 4)  # power off
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                pass
        self._remove()
