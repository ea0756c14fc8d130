"""Deliveries that GitHub could not deliver while o8 was away: asked for again. GitHub never does by itself."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from bot.errors import GitHubUnavailable, NotFound, O8Error
from bot.github.hooks import Hooks, Sent
from bot.store import Store

KEPT = timedelta(days=3)  # GitHub redelivers nothing that is older
INTERVAL_S, LONGEST_PAUSE_S = 300.0, 3600.0
EVENTS = ("package", "registry_package")
MOST_TRIES = 5  # of one delivery; what fails so often fails for a reason
_log = logging.getLogger(__name__)


class Sweeper:
    def __init__(self, store: Store, hooks: Hooks, places: Iterable[str], url: str) -> None:
        """`places`: such as `orgs/acme`, and `app` for the App's own hook; `url` is where o8 receives deliveries."""
        self._store = store
        self._hooks = hooks
        self._places = tuple(places)
        self._url = url

    async def run(self) -> None:
        """Endless."""
        while True:
            pause = INTERVAL_S
            try:
                await self.sweep()
            except GitHubUnavailable as trouble:
                _log.warning("Missed deliveries are not looked for now: %s", trouble)
                pause = min(max(trouble.retry_after, INTERVAL_S), LONGEST_PAUSE_S)
            except O8Error as trouble:
                _log.warning("Missed deliveries cannot be looked for: %s", trouble)
            await asyncio.sleep(pause)

    async def sweep(self) -> int:
        """How many deliveries were asked for again."""
        count = 0
        for path in [path for place in self._places for path in await self._paths(place)]:
            tries: defaultdict[str, list[Sent]] = defaultdict(list)
            async for sent in self._hooks.deliveries(path, datetime.now(UTC) - KEPT):
                tries[sent.guid].append(sent)
            for guid, all_tries in reversed(tries.items()):  # the oldest first, as they were sent
                if await self._is_missed(guid, all_tries):
                    _log.info("Delivery %s did not arrive (%s); it is asked for again", guid, all_tries[0].status)
                    await self._hooks.redeliver(path, all_tries[0].id)
                    count += 1
        return count

    async def _paths(self, place: str) -> list[str]:
        if place == "app":
            return ["/app/hook"]
        return [hook.path for hook in await self._hooks.of(place) if hook.url == self._url]

    async def _is_missed(self, guid: str, tries: list[Sent]) -> bool:
        if tries[0].event not in EVENTS or len(tries) >= MOST_TRIES or any(200 <= t.status_code < 300 for t in tries):
            return False
        try:
            return (await self._store.delivery(guid)).verdict == "failed"
        except NotFound:
            return True
