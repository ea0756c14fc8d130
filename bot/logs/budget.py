"""How many of Docker's streams may be open at once for lines that are there already.

Docker's logs are read by threads, 32 at the most. Those who read slowly must not take them from who follows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

STREAMS = 16
LONGEST_S = 120.0  # who takes longer to read what is there is too slow


class Budget:
    """Who wants several takes all of them before the next one gets any, so that nobody waits for another one's rest."""

    def __init__(self, streams: int = STREAMS) -> None:
        self._most = streams
        self._free = asyncio.Semaphore(streams)
        self._turn = asyncio.Lock()

    @property
    def is_spent(self) -> bool:
        """Whoever comes now has to wait."""
        return self._turn.locked() or self._free.locked()

    @asynccontextmanager
    async def use(self, streams: int) -> AsyncIterator[None]:
        taken, wanted = 0, min(streams, self._most)
        try:
            async with self._turn:
                while taken < wanted:
                    await self._free.acquire()
                    taken += 1
            yield
        finally:
            for _ in range(taken):
                self._free.release()
