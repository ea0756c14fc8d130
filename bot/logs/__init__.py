"""Live logs: one Docker stream per replica, whatever the number of readers.

A feed goes on over a switch to a new release and over restarts of the container and of the Docker daemon, without a gap
or a double line. Readers share what it keeps; one that cannot keep up is cut with a message.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime

from bot.engines import Engine
from bot.errors import Conflict
from bot.logs.feed import Feed, TooSlow
from bot.logs.lines import Batch, Cursor, Line, as_json, as_text, as_text_with_times
from bot.store import Store
from bot.vault import Vault

__all__ = ["Batch", "Cursor", "Line", "Logs", "TooSlow", "as_json", "as_text", "as_text_with_times"]


class Logs:
    """All feeds. `follow` is the one thing that readers do."""

    def __init__(self, store: Store, engine: Engine, vault: Vault) -> None:
        self._store = store
        self._engine = engine
        self._vault = vault
        self._feeds: dict[str, Feed] = {}

    async def follow(
        self, service: str, *, tail: int = 100, since: datetime | None = None, after: Cursor | None = None
    ) -> AsyncGenerator[Batch, None]:
        """Endless: the last `tail` lines of each replica (none older than `since`), or all that came after the place
        `after`; then what comes. A batch without lines says that a while went by in silence.

        Raises `NotFound`; `Conflict` when it was never deployed; `TooSlow` for a reader that fell behind.
        """
        if (await self._store.service(service)).live is None:
            raise Conflict(
                f"{service} has never been deployed, so it has no log.", f"`o8 deploy {service}` deploys it."
            )
        feed = self._feeds.get(service)
        if feed is None or feed.has_ended:
            feed = self._feeds[service] = Feed(service, self._store, self._engine, self._vault)
        async with aclosing(feed.read(tail, since, after)) as batches:
            async for batch in batches:
                yield batch

    async def close(self) -> None:
        """Ends all feeds, and with them the reading."""
        await asyncio.gather(*(feed.close() for feed in self._feeds.values()))
