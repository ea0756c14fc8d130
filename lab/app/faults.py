"""What the application does wrong when it is told to.

To add a fault: its name here, its deed where it belongs in `server`.
"""

from __future__ import annotations

import os
from typing import NamedTuple, NoReturn

FAULTS = (
    "exit1", "oom", "never_listens", "listens_after", "wrong_port", "dies_after",
    "health_500", "health_301", "flapping", "crash_on_health", "ignores_sigterm",
)  # fmt: skip
_ENOUGH = 2 << 30  # bytes; a container without a memory limit must not eat the machine


class Fault(NamedTuple):
    """`seconds` belongs to `listens_after=5` and `dies_after=5`."""

    name: str = ""
    seconds: float = 0


NONE = Fault()


def read_fault(text: str) -> Fault:
    """`dies_after=5` is `Fault("dies_after", 5.0)`, no text is `NONE`. Raises `ValueError` for others."""
    if not text:
        return NONE
    name, _, seconds = text.partition("=")
    if name not in FAULTS:
        raise ValueError(f"{name!r} is no fault; there are {', '.join(FAULTS)}")
    return Fault(name, float(seconds or 1))


def die(why: str) -> NoReturn:
    """Ends at once, as a crash does: open connections are cut."""
    print(f"dying: {why}", flush=True)
    os._exit(1)


def eat_memory() -> NoReturn:
    """Takes memory until the kernel ends the process."""
    eaten: list[bytes] = []
    while len(eaten) < _ENOUGH >> 20:
        eaten.append(b"\1" * (1 << 20))
    die("there is no memory limit")
