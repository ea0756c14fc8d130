"""A private Docker Engine that may be frozen, killed and started again.

It lives in its own network, mount and process namespaces, so that whatever it leaves behind (containers,
shims, mounts) ends with them.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from lab import control_groups
from lab.engine import answers, spawn, wait_until

SPACES = ("--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")


class PrivateEngine:
    """A daemon of its own. `inside` runs other programs in its network, such as a registry."""

    def __init__(self, folder: Path, *, live_restore: bool, disk: str) -> None:
        self.host = f"unix://{folder}/docker.sock"
        self._folder, self.data = folder, folder / "data"
        self._cgroup = f"/o8-lab-{os.getpid()}-{folder.name}"
        (folder / "daemon.json").write_text(json.dumps({"live-restore": live_restore}))
        self.data.mkdir()
        self._setup = "ip link set lo up"
        if disk:
            self._setup += f" && mount -t tmpfs -o size={disk} o8-lab {folder}/data"
        self._spaces = self._unshare()
        self._daemon: subprocess.Popen[bytes] | None = None

    def inside(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Starts `command` in the namespaces; it ends with them at the latest."""
        return spawn(["nsenter", "--target", str(self._init()), "--net", "--mount", "--pid", *command])

    @property
    def in_its_network(self) -> tuple[str, ...]:
        """To put before a command that shall see its network but the processes and files of the machine."""
        return ("nsenter", f"--net=/proc/{self._init()}/ns/net")

    def registry(self) -> str:
        """Starts an open registry inside; returns its address, which only this engine reaches."""
        configuration = {
            "version": "0.1",
            "storage": {"filesystem": {"rootdirectory": f"{self._folder}/registry"}},
            "http": {"addr": "127.0.0.1:5000"},
        }
        path = self._folder / "registry.yml"
        path.write_text(json.dumps(configuration))  # YAML understands JSON
        process = self.inside(["docker-registry", "serve", str(path)])
        wait_until(lambda: self._listens_on(5000), "the registry", process)
        return "127.0.0.1:5000"

    def start(self) -> None:
        """Starts the daemon and waits until it answers."""
        (self._folder / "docker.pid").unlink(missing_ok=True)
        self._daemon = self.inside(self._command())
        wait_until(lambda: answers(self.host), "the private Docker Engine", self._daemon)

    def kill(self) -> None:
        """SIGKILL; containers are left behind as after a crash."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM: an orderly end, which stops the containers unless `live_restore`."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        self.stop()
        self.start()

    def power_off(self) -> None:
        """Everything inside ends at once, as with the machine; what is on the disk stays."""
        self._spaces.kill()
        self._spaces.wait()
        if self._daemon:
            self._daemon.kill()
            self._daemon.wait()
        shutil.rmtree(self._folder / "exec", ignore_errors=True)  # on a machine it is below /run

    def power_on(self) -> None:
        """The namespaces are there again, empty: no daemon, no registry."""
        self._spaces = self._unshare()

    def freeze(self) -> None:
        """The daemon hangs: connections are accepted, nothing is answered."""
        os.kill(self._daemon_pid(), signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self._daemon_pid(), signal.SIGCONT)
        if self._daemon:
            self._daemon.send_signal(signal.SIGCONT)  # nsenter stops together with its child

    def close(self) -> None:
        """Ends all that runs inside, and removes the folder and the control groups."""
        self.power_off()
        control_groups.remove(self._cgroup)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _unshare(self) -> subprocess.Popen[bytes]:
        return spawn(["unshare", *SPACES, "sh", "-c", f"{self._setup} && exec docker-init -s -- sleep infinity"])

    def _listens_on(self, port: int) -> bool:
        """Whether a program inside listens; the kernel's list has port and state (0A) in hexadecimal."""
        rows = [line.split() for line in Path(f"/proc/{self._init()}/net/tcp").read_text().splitlines()]
        return any(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in rows)

    def _command(self) -> list[str]:
        return [
            "dockerd",
            f"--host={self.host}",
            f"--config-file={self._folder}/daemon.json",
            f"--data-root={self._folder}/data",
            f"--exec-root={self._folder}/exec",
            f"--pidfile={self._folder}/docker.pid",
            f"--cgroup-parent={self._cgroup}",
        ]

    def _end(self, number: signal.Signals) -> None:
        if self._daemon and self._daemon.poll() is None:
            os.kill(self._daemon_pid(), number)
            self.thaw()
            self._daemon.wait(timeout=60)

    def _init(self) -> int:
        """The first process of the namespaces, as seen from here; waits until its network is up."""
        wait_until(lambda: _child_of(self._spaces.pid, "docker-init"), "the namespaces", self._spaces)
        return _child_of(self._spaces.pid, "docker-init")

    def _daemon_pid(self) -> int:
        return _child_of(self._daemon.pid, "dockerd") if self._daemon else 0


@contextmanager
def private_engine(*, live_restore: bool = False, disk: str = "") -> Iterator[PrivateEngine]:
    """A started `PrivateEngine`; everything of it is gone at the end. Needs root.

    `disk` limits its data (in memory then): `100m` makes it easy to fill.
    """
    folder = Path(tempfile.mkdtemp(prefix="o8-engine-"))
    engine = PrivateEngine(folder, live_restore=live_restore, disk=disk)
    try:
        engine.start()
        yield engine
    finally:
        engine.close()


def _child_of(pid: int, name: str) -> int:
    """The child of `pid` that runs `name`, 0 when there is none."""
    with suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            if Path(f"/proc/{child}/comm").read_text().strip() == name:
                return int(child)
    return 0
