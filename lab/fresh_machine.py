"""A fresh Debian with systemd, Docker and nginx of its own, in a folder: for what only a whole machine can show.

It sees no network but its own. `python -m lab.fresh` installs o8 in one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import control_groups
from lab.engine import answers, spawn, wait_until

RELEASE = "bookworm"
# What Debian's own installer puts on every server.
SERVER = ("systemd", "systemd-sysv", "dbus", "sudo", "ca-certificates", "iproute2")
LIMIT_S = 900
BOOT = Path(__file__).with_name("fresh_boot.sh")
_ENVIRON = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}


class Failed(Exception):
    """A command ended with another code than it should."""


class FreshMachine:
    """`root` is its file system. It runs between `boot` and `power_off`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._group = f"o8-fresh-{os.getpid()}-{root.name}"
        self._spaces: subprocess.Popen[bytes] | None = None

    def boot(self) -> None:
        """Starts it, and waits until systemd has started what is enabled."""
        groups = control_groups.make(self._group)
        self._spaces = spawn(["sh", str(BOOT), str(self.root), *map(str, groups)])
        wait_until(self._is_up, "the fresh machine", self._spaces)

    def power_off(self) -> None:
        """As by a power cut: nothing is told to end."""
        if self._spaces:
            self._spaces.kill()
            self._spaces.wait()
            self._spaces = None
        wait_until(lambda: control_groups.remove(self._group), "the end of the fresh machine")

    def copy(self, root: Path) -> FreshMachine:
        """One more that is the same; this one is off."""
        subprocess.run(("cp", "--archive", "--reflink=auto", str(self.root), str(root)), check=True)
        return FreshMachine(root)

    def run(self, line: str, *, code: int = 0, folder: str = "/root", text: str = "") -> str:
        """What a shell of root prints for `line`, with `text` as its input. Raises `Failed` for another exit code."""
        inside = ("nsenter", "--target", str(self.init), "--all", "sh", "-c", f"cd {folder} && {line}")
        return _ran(inside, line, code, text)

    def prepare(self, line: str) -> str:
        """As `run`, but while it is off, with this machine's network; daemons are not started."""
        policy = (
            self.root / "usr/sbin/policy-rc.d"
        )  # https://people.debian.org/~hmh/invokerc.d-policyrc.d-specification.txt
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        script = 'mount -t proc proc "$1/proc" && exec chroot "$1" sh -c "$2"'
        try:
            return _ran(("unshare", "--mount", "sh", "-c", script, "sh", str(self.root), line), line, 0, "")
        finally:
            policy.unlink()

    @property
    def init(self) -> int:
        """Its first process, as seen from here; 0 while it is off."""
        pid = self._spaces.pid if self._spaces else 0
        children = Path(f"/proc/{pid}/task/{pid}/children")
        return int((children.read_text().split() or ["0"])[0]) if children.exists() else 0

    @property
    def in_its_network(self) -> tuple[str, ...]:
        """To put before a command that shall see its network but the programs and files of this machine."""
        return ("nsenter", f"--net=/proc/{self.init}/ns/net")

    @property
    def engine_host(self) -> str:
        return f"unix:///proc/{self.init}/root/run/docker.sock"

    def has_engine(self) -> bool:
        return answers(self.engine_host)

    def visit(self, host: str, scheme: str = "http") -> tuple[int, str]:
        """Status and text for a visitor of port 80 or 443; status 0: nobody answered."""
        command = (*self.in_its_network, "curl", "--silent", "--insecure", "--max-time", "10", "--write-out",
                   "\n%{http_code}", "--resolve", f"{host}:80:127.0.0.1", "--resolve", f"{host}:443:127.0.0.1",
                   f"{scheme}://{host}/")  # fmt: skip
        said = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout
        text, _, status = said.rpartition("\n")
        return int(status or 0), text

    def _is_up(self) -> bool:
        if not self.init or not Path(f"/proc/{self.init}/root/run/systemd/private").exists():
            return False
        try:
            return self.run("systemctl is-system-running || true").strip() in ("running", "degraded")
        except Failed:
            return False  # not far enough to be entered


@contextmanager
def fresh_machine(folder: Path, packages: str) -> Iterator[FreshMachine]:
    """A Debian in `folder`, off, after the shell line `packages` was run in it. Needs root, and Debian's mirror."""
    if shutil.which("debootstrap") is None:
        raise RuntimeError("debootstrap is not installed: apt-get install debootstrap")
    root = folder / "machine"
    line = ("debootstrap", "--variant=minbase", f"--include={','.join(SERVER)}", RELEASE, str(root))
    _ran(line, " ".join(line), 0, "")
    (root / "etc/hostname").write_text("fresh\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost fresh\n")
    (root / "etc/apt/apt.conf.d/90lab").write_text(
        'APT::Get::Assume-Yes "true";\nDPkg::Options { "--force-confold"; };\n'
    )
    machine = FreshMachine(root)
    try:
        machine.prepare("apt-get update -q")
        machine.prepare(packages)
        yield machine
    finally:
        machine.power_off()


def _ran(command: tuple[str, ...], line: str, code: int, text: str) -> str:
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=LIMIT_S, check=False,
        env=_ENVIRON | {"DEBIAN_FRONTEND": "noninteractive"},
    )  # fmt: skip
    if done.returncode != code:
        raise Failed(f"{line!r} ended with {done.returncode}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout
