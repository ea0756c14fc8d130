"""When GitHub is asked or told: after each commit, and later each time while it does not take it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from bot.errors import GitHubError, GitHubUnavailable
from bot.store import Store


class Pace:
    def __init__(self, first_s: float, longest_s: float) -> None:
        """Seconds of the first pause, which doubles up to the longest."""
        self._first_s = first_s
        self._longest_s = longest_s
        self._failures = 0

    def went_well(self) -> None:
        self._failures = 0

    def after(self, trouble: GitHubError) -> float:
        """How long to wait: what GitHub asks for, else longer each time."""
        self._failures += 1
        pause = min(self._first_s * 2.0 ** min(self._failures - 1, 10), self._longest_s)
        return max(trouble.retry_after, pause) if isinstance(trouble, GitHubUnavailable) else pause


async def at_each_commit(store: Store, work: Callable[[], Awaitable[float]], look_s: float) -> None:
    """Endless. `work` says how long to wait until the next try, 0 for nothing left; it is called each `look_s`, too."""
    while True:
        seen = await store.committed()
        pause = await work()
        if pause:
            await asyncio.sleep(pause)
            continue
        with suppress(TimeoutError):
            async with asyncio.timeout(look_s):
                await store.committed(seen)
