"""Ports of 127.0.0.1 for programs that cannot choose one themselves (nginx, o8).

A port that the kernel gave and got back (`bind` to 0) may be given to somebody else before the program
listens on it: to the next caller, or as the near end of any connection. Ours are below the range from
which the kernel gives, and are kept by a lock until this process ends.
"""

from __future__ import annotations

import fcntl
import random
import socket
import tempfile
from pathlib import Path
from typing import IO

CHOICE = range(12_000, 32_000)  # the kernel's own begins at 32768 (net.ipv4.ip_local_port_range)
LOCKS = Path(tempfile.gettempdir()) / "o8-lab-ports"
_kept: list[IO[str]] = []


def free_port() -> int:
    """A port on which nobody listens, and that no other call returns while this process lives."""
    LOCKS.mkdir(exist_ok=True)
    for port in random.sample(CHOICE, len(CHOICE)):
        lock = (LOCKS / str(port)).open("w")
        if is_locked(lock) and _is_free(port):
            _kept.append(lock)
            return port
        lock.close()
    raise RuntimeError("No free port is left for a test.")


def is_locked(lock: IO[str]) -> bool:
    """Whether we got the lock; it ends with the file's closing, so with the process at the latest."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104  (closed at once: asks for every address)
        except OSError:
            return False
    return True
