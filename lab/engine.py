"""A real Docker Engine: the one that runs here, one started for us, or a private one that may be killed.

A private one lives in its own network, mount and process namespaces, so that whatever it leaves behind
(containers, shims, mounts) ends with them.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import NamedTuple

import docker

DEFAULT_HOST = "unix:///var/run/docker.sock"
POOLS = (IPv4Network("172.29.0.0/16"), IPv4Network("10.199.0.0/16"))
START_S = 60.0
SPACES = ("--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
LOCKS = Path(tempfile.gettempdir()) / "o8-lab-subnets"


class RunningEngine(NamedTuple):
    """A daemon to work with. `process` is set when we started it."""

    host: str
    process: subprocess.Popen[bytes] | None = None

    def stop(self) -> None:
        """Stops the daemon if we started it."""
        if self.process:
            self.process.terminate()
            self.process.wait(timeout=30)


class Place(NamedTuple):
    """A network that nobody else uses."""

    network: str
    subnet: IPv4Network


def ensure_engine() -> RunningEngine:
    """The daemon at DOCKER_HOST or the usual socket; as root, starts one when none runs."""
    host = os.environ.get("DOCKER_HOST") or DEFAULT_HOST
    if _answers(host):
        return RunningEngine(host)
    if os.geteuid() != 0:
        raise RuntimeError(f"No Docker Engine answers at {host}, and only root can start one.")
    started = RunningEngine(DEFAULT_HOST, _spawn(["dockerd"]))
    _wait_until(lambda: _answers(started.host), "the Docker Engine")
    return started


@contextmanager
def free_subnet(host: str = DEFAULT_HOST) -> Iterator[Place]:
    """A /20 that no network, no route and no other test run uses, and a name for a network on it.

    At the end, the network of that name and the containers on it are removed.
    """
    LOCKS.mkdir(exist_ok=True)
    used = _used_networks(host)
    for subnet in (part for pool in POOLS for part in pool.subnets(new_prefix=20)):
        if any(subnet.overlaps(other) for other in used):
            continue
        with (LOCKS / str(subnet.network_address)).open("w") as lock, suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            place = Place(f"o8-test-{str(subnet.network_address).replace('.', '-')}", subnet)
            try:
                yield place
            finally:
                _remove_network(host, place.network)
            return
    raise RuntimeError("No free subnet is left for a test.")


class PrivateEngine:
    """A daemon of its own. `inside` runs other programs in its network, such as a registry."""

    def __init__(self, folder: Path, *, live_restore: bool, disk: str) -> None:
        self.host = f"unix://{folder}/docker.sock"
        self._folder = folder
        self._cgroup = f"/o8-lab-{os.getpid()}-{folder.name}"
        (folder / "daemon.json").write_text(json.dumps({"live-restore": live_restore}))
        (folder / "data").mkdir()
        setup = "ip link set lo up"
        if disk:
            setup += f" && mount -t tmpfs -o size={disk} o8-lab {folder}/data"
        self._spaces = _spawn(
            ["unshare", *SPACES, "sh", "-c", f"{setup} && exec docker-init -s -- sleep infinity"]
        )
        self._daemon: subprocess.Popen[bytes] | None = None

    def inside(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Starts `command` in the namespaces; it ends with them at the latest."""
        return _spawn(["nsenter", "--target", str(self._init()), "--net", "--mount", "--pid", *command])

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
        _wait_until(
            lambda: self.inside(["busybox", "nc", "-z", "127.0.0.1", "5000"]).wait() == 0,
            "the registry",
            process,
        )
        return "127.0.0.1:5000"

    def start(self) -> None:
        """Starts the daemon and waits until it answers."""
        (self._folder / "docker.pid").unlink(missing_ok=True)
        self._daemon = self.inside(self._command())
        _wait_until(lambda: _answers(self.host), "the private Docker Engine", self._daemon)

    def kill(self) -> None:
        """SIGKILL; containers are left behind as after a crash."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM: an orderly end, which stops the containers unless `live_restore`."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        self.stop()
        self.start()

    def freeze(self) -> None:
        """The daemon hangs: connections are accepted, nothing is answered."""
        os.kill(self._daemon_pid(), signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self._daemon_pid(), signal.SIGCONT)
        if self._daemon:
            self._daemon.send_signal(signal.SIGCONT)  # nsenter stops together with its child

    def close(self) -> None:
        """Ends all that runs inside, and removes the folder and the control groups."""
        self._spaces.kill()
        self._spaces.wait()
        if self._daemon:
            self._daemon.kill()
            self._daemon.wait()
        for group in Path("/sys/fs/cgroup").glob(f"**{self._cgroup}"):
            _remove_groups(group)
        shutil.rmtree(self._folder, ignore_errors=True)

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
        _wait_until(lambda: _child_of(self._spaces.pid, "docker-init"), "the namespaces", self._spaces)
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


def _spawn(command: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def _child_of(pid: int, name: str) -> int:
    """The child of `pid` that runs `name`, 0 when there is none."""
    with suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            if Path(f"/proc/{child}/comm").read_text().strip() == name:
                return int(child)
    return 0


def _answers(host: str) -> bool:
    try:
        client = docker.APIClient(host, timeout=5)
    except docker.errors.DockerException:
        return False
    client.close()
    return True


def _wait_until(
    is_so: Callable[[], object], what: str, process: subprocess.Popen[bytes] | None = None
) -> None:
    deadline = time.monotonic() + START_S
    while not is_so():
        if process and process.poll() is not None:
            raise RuntimeError(f"{what} ended with {process.returncode} instead of starting")
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} did not start within {START_S:g} s")
        time.sleep(0.05)


def _used_networks(host: str) -> set[IPv4Network]:
    client = docker.APIClient(host)
    configurations = [c for network in client.networks() for c in network["IPAM"]["Config"] or ()]
    client.close()
    return _routes() | {IPv4Network(c["Subnet"]) for c in configurations if "." in c.get("Subnet", "")}


def _routes() -> set[IPv4Network]:
    """Networks that this machine has a route to, without the default one."""
    rows = [line.split() for line in Path("/proc/net/route").read_text().splitlines()[1:]]
    found = {IPv4Network((_address(row[1]), str(_address(row[7])))) for row in rows}
    return {network for network in found if network.prefixlen > 0}


def _address(text: str) -> IPv4Address:
    """The kernel prints addresses as numbers in the machine's own byte order."""
    return IPv4Address(socket.ntohl(int(text, 16)))


def _remove_network(host: str, name: str) -> None:
    client = docker.APIClient(host)
    with suppress(docker.errors.NotFound):
        for container in client.containers(all=True, filters={"network": name}):
            client.remove_container(container["Id"], force=True, v=True)
        client.remove_network(name)
    client.close()


def _remove_groups(group: Path) -> None:
    """Control groups are removed from the innermost outwards; the kernel refuses those still in use."""
    for inner in sorted(group.glob("**/"), key=lambda path: len(path.parts), reverse=True):
        with suppress(OSError):
            inner.rmdir()
