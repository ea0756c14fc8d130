"""A real Docker Engine, the one that runs here or one started for us, and a network for one test run."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import NamedTuple

import docker

from lab.ports import is_locked

DEFAULT_HOST = "unix:///var/run/docker.sock"
POOLS = (IPv4Network("172.29.0.0/16"), IPv4Network("10.199.0.0/16"))
START_S = 60.0
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
    if answers(host):
        return RunningEngine(host)
    if os.geteuid() != 0:
        raise RuntimeError(f"No Docker Engine answers at {host}, and only root can start one.")
    for pid_file in (Path("/var/run/docker.pid"), Path("/var/run/docker/containerd/containerd.pid")):
        _forget_dead(pid_file)
    started = RunningEngine(DEFAULT_HOST, spawn(["dockerd"]))
    wait_until(lambda: answers(started.host), "the Docker Engine", started.process)
    return started


def _forget_dead(pid_file: Path) -> None:
    """A killed daemon whose parent has not noticed yet (a zombie) would keep the next one from starting."""
    try:
        state = Path(f"/proc/{int(pid_file.read_text())}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, ValueError):
        return  # no file, or nobody with that number: the daemon sees that by itself
    if state == "Z":
        pid_file.unlink(missing_ok=True)


@contextmanager
def free_subnet(host: str = DEFAULT_HOST) -> Iterator[Place]:
    """A /20 that no network, no route and no other test run uses, and a name for a network on it.

    At the end, the network of that name and the containers on it are removed.
    """
    LOCKS.mkdir(exist_ok=True)
    for subnet in (part for pool in POOLS for part in pool.subnets(new_prefix=20)):
        place = Place(f"o8-test-{str(subnet.network_address).replace('.', '-')}", subnet)
        with (LOCKS / place.network).open("w") as lock:
            if not is_locked(lock):
                continue
            _remove_network(host, place.network)  # left behind by a run that was killed
            if any(subnet.overlaps(other) for other in _used_networks(host)):
                continue
            try:
                yield place
            finally:
                _remove_network(host, place.network)
            return
    raise RuntimeError("No free subnet is left for a test.")


def spawn(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Starts `command` in the background, out of reach of the terminal's Ctrl-C."""
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def answers(host: str) -> bool:
    """Whether a Docker Engine answers at `host`."""
    try:
        client = docker.APIClient(host, timeout=5)
    except docker.errors.DockerException:
        return False
    client.close()
    return True


def wait_until(is_so: Callable[[], object], what: str, process: subprocess.Popen[bytes] | None = None) -> None:
    """Raises `RuntimeError` when `is_so` is not true in time, or when `process` ends before."""
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


if __name__ == "__main__":
    # `python -m lab.engine COMMAND...` runs it while an engine is up: tests side by side must not each start their own.
    running = ensure_engine()
    try:
        sys.exit(subprocess.run(sys.argv[1:], check=False).returncode)
    finally:
        running.stop()
