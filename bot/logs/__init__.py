"""Live logs: one Docker stream per replica, whatever the number of readers.

A feed goes on over a switch to a new release and over restarts of the container and of the Docker daemon, without a gap
or a double line. Readers share what it keeps; one that cannot keep up is cut with a message.

`source` is what Docker has, `order` where a reading goes on, `beginning` what one reader gets first, `board` what all
share, `feed` who keeps it going, `budget` how much Docker is asked to read at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from datetime import datetime

from bot.engines import Engine
from bot.errors import Conflict
from bot.logs.beginning import Wish
from bot.logs.board import TooSlow
from bot.logs.budget import LONGEST_S, Budget
from bot.logs.feed import Feed
from bot.logs.flows import merged, while_allowed
from bot.logs.lines import Batch, Cursor, Line, as_json, as_text, as_text_with_times
from bot.logs.source import Source
from bot.models import Deployment
from bot.store import Store
from bot.vault import Vault

__all__ = ["Batch", "Cursor", "Line", "Logs", "TooSlow", "as_json", "as_text", "as_text_with_times", "while_allowed"]
WAIT_S = 10.0  # for others to have read what they wanted


class Logs:
    """All feeds: `follow` is for who stays, `read` for who wants what there is."""

    def __init__(self, store: Store, engine: Engine, vault: Vault) -> None:
        self._store = store
        self._engine = engine
        self._vault = vault
        self._feeds: dict[str, Feed] = {}
        self._budget = Budget()
        self._is_closed = False

    async def follow(
        self, service: str, *, tail: int = 100, since: datetime | None = None, after: Cursor | None = None
    ) -> AsyncGenerator[Batch, None]:
        """Endless: the last `tail` lines of each replica (none older than `since`), or all that came after the place
        `after`; then what comes. A batch without lines says that a while went by in silence.

        Raises `NotFound`; `Conflict` when it was never deployed; `TooSlow` for a reader that fell behind.
        """
        await self._released(self._source(service), service)
        async with aclosing(self._feed(service).read(Wish(tail, since, after))) as batches:
            async for batch in batches:
                yield batch

    async def read(self, service: str, *, tail: int = 100, since: datetime | None = None) -> AsyncGenerator[Line, None]:
        """The last `tail` lines of each replica that serves, none older than `since`, in the order of time.

        Raises `NotFound`; `Conflict` when it was never deployed, or too many read; `EngineError`; `TooSlow`.
        """
        source = self._source(service)
        live = await self._released(source, service)
        replicas = [replica for replica in await source.replicas() if replica.slot == live.slot]
        parts = [source.lines(replica, tail=tail, since=since) for replica in replicas]
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(WAIT_S):
                    await stack.enter_async_context(self._budget.use(len(parts)))
            except TimeoutError:
                raise Conflict("Too many read logs at this moment.", "Ask again in a moment.") from None
            deadline = asyncio.get_running_loop().time() + LONGEST_S
            async for line in await stack.enter_async_context(aclosing(merged(parts))):
                yield line
                if asyncio.get_running_loop().time() > deadline:
                    raise TooSlow

    async def close(self) -> None:
        """Ends all feeds, and with them the reading."""
        self._is_closed = True
        await asyncio.gather(*(feed.close() for feed in self._feeds.values()))

    def _feed(self, service: str) -> Feed:
        if self._is_closed:
            raise Conflict("o8 is ending.", "Ask again in a moment.")
        feed = self._feeds.get(service)
        if feed is None or not feed.takes_readers:
            feed = self._feeds[service] = Feed(service, self._source(service), self._budget, self._forget)
        return feed

    def _source(self, service: str) -> Source:
        return Source(service, self._store, self._engine, self._vault)

    async def _released(self, source: Source, service: str) -> Deployment:
        live = await source.live()
        if live is None:
            raise Conflict(
                f"{service} has never been deployed, so it has no log.", f"`o8 deploy {service}` deploys it."
            )
        return live

    def _forget(self, service: str, feed: Feed) -> None:
        """What an ended feed keeps in memory is not needed any more."""
        if self._feeds.get(service) is feed:
            del self._feeds[service]
