"""Waiting for a fact instead of sleeping."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def until(look: Callable[[], Awaitable[T]], within_s: float = 10) -> T:
    """What `look` answers once that is true; raises `TimeoutError` with the last answer after `within_s`."""
    deadline = time.monotonic() + within_s
    while not (answer := await look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"still {answer!r} after {within_s:g} s")
        await asyncio.sleep(0.02)
    return answer
