"""nginx's worker processes as Linux shows them: who is still accepting, who was left behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

_TITLE = b"nginx: worker process"
_LEAVING = b"is shutting down"  # set in the same breath in which a worker stops listening


def siblings(worker: int) -> frozenset[int]:
    """Workers of the same nginx as `worker`, itself included; empty when it has ended."""
    parent = _parent(worker)
    return frozenset(pid for pid in _all() if parent and _parent(pid) == parent)


def accepting(pids: Iterable[int]) -> frozenset[int]:
    """Those that still take new connections: a busy machine can let an old worker do so for a while."""
    return frozenset(pid for pid in pids if _TITLE in (title := _title(pid)) and _LEAVING not in title)


def quit_orphans(log: Path) -> None:
    """Workers outlive a killed master and keep its ports; only the log they write to says whose they are."""
    for pid in _all():
        with suppress(OSError):  # it has just ended, or belongs to somebody else
            if any(handle.readlink() == log for handle in Path(f"/proc/{pid}/fd").iterdir()):
                os.kill(pid, signal.SIGQUIT)


def _all() -> Iterator[int]:
    pids = (int(process.name) for process in Path("/proc").glob("[0-9]*"))
    return (pid for pid in pids if _TITLE in _title(pid))


def _title(pid: int) -> bytes:
    """Empty when the process has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _parent(pid: int) -> int:
    """0 when the process has ended."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return 0
    return int(status.rpartition(")")[2].split()[1])  # the name in brackets may hold anything
