"""The log of one service while somebody reads it: copies Docker's streams into a ring from which readers are served."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing, suppress
from datetime import UTC, datetime

from bot import environment
from bot.engines import Engine, Replica
from bot.errors import EngineError, NotFound, O8Error, StoreUnavailable
from bot.logs.lines import Batch, Cursor, Line, Ring, now, split
from bot.models import Deployment
from bot.store import Store
from bot.vault import Vault
from bot.worker import read_environment

RING_BYTES = 8 * 1024 * 1024
FIRST_LINES = 1000  # of each replica, so that who asks for the last ones finds them here
GATHER_S = 0.05  # lines that come within are sent together
MOST_LINES = 100_000  # that are read again for one reader
FIRST_S = 5.0  # a reader waits so long for the last lines
LOOK_S = 1.0  # between two looks at which replicas there are
SILENCE_S = 0.25  # how soon a reader of a silent service is asked whether it is still there
LINGER_S = 10.0  # a feed outlives its last reader: a page that is loaded again finds it


class TooSlow(O8Error):
    """A reader takes lines more slowly than they come."""

    code = "too_slow"


class Feed:
    """`read` is for readers. Everything else happens in one task that starts with the first and ends after the last."""

    def __init__(self, service: str, store: Store, engine: Engine, vault: Vault) -> None:
        self._service = service
        self._store = store
        self._engine = engine
        self._vault = vault
        self._ring = Ring(RING_BYTES)
        self._cursor = Cursor()
        self._gathered: list[Line] = []
        self._news = asyncio.Event()
        self._has_begun = asyncio.Event()
        self._was_read = False  # so a replica that was not is a new one, and all of its log is
        self._copies: dict[str, asyncio.Task[None]] = {}
        self._live: Deployment | None = None
        self._is_away = False  # Docker or the database does not answer
        self._readers = 0
        self._left_at = 0.0
        self._task: asyncio.Task[None] | None = None

    @property
    def has_ended(self) -> bool:
        return self._task is not None and self._task.done()

    async def read(self, tail: int, since: datetime | None, after: Cursor | None) -> AsyncGenerator[Batch, None]:
        """See `Logs.follow`."""
        self._readers += 1
        self._task = self._task or asyncio.create_task(self._run(), name=f"log of {self._service}")
        try:
            await self._has_begun.wait()
            held, place = self._ring.lines(), self._ring.end  # from here on nothing is missed
            older = await self._older(held, tail, since, after)
            yield Batch(place, _beginning([*older, *held], tail, since, after))
            async with aclosing(self._on_from(place)) as batches:
                async for batch in batches:
                    yield batch
        finally:
            self._readers -= 1
            self._left_at = asyncio.get_running_loop().time()

    async def close(self) -> None:
        """Ends it, and the reading."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _on_from(self, place: int) -> AsyncGenerator[Batch, None]:
        while not self.has_ended:
            news = self._news
            if place < self._ring.start:
                raise TooSlow("The log comes faster than it is read, so this reader was cut off.", "Connect again.")
            batches = self._ring.after(place)
            for batch in batches:
                yield batch
                place = batch.end
            if not batches:
                with suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), SILENCE_S)
                if not news.is_set():
                    yield Batch(place, ())
        if self._task and not self._task.cancelled() and (trouble := self._task.exception()):
            raise trouble

    async def _older(self, held: Sequence[Line], tail: int, since: datetime | None, after: Cursor | None) -> list[Line]:
        """What a reader wants and the ring has no more (or never had), read from Docker once."""
        found: list[Line] = []
        firsts = {line.replica: line for line in reversed(held) if not line.is_marker}
        counts = Counter(line.replica for line in held)
        for replica in await self._present():
            first = firsts.get(replica.id)
            if first is None:
                continue  # it has not written a line yet
            if after is not None:
                is_enough = after.has(first)
            else:
                is_enough = tail <= counts[replica.id] or (self._ring.start == 0 and counts[replica.id] < FIRST_LINES)
            if not is_enough:
                from_when = after.since(replica.id) if after else since
                lines = self._lines(replica, tail=MOST_LINES if after else tail, since=from_when, follow=False)
                async with aclosing(lines):
                    found += [line async for line in lines if (line.at, line.place) < (first.at, first.place)]
        return found

    async def _run(self) -> None:
        """Until nobody has read for a while. Raises `NotFound` when the service was removed."""
        loop = asyncio.get_running_loop()
        try:
            while self._readers or loop.time() - self._left_at < LINGER_S:
                seen = await self._store.committed()
                await self._look()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._store.committed(seen), LOOK_S)
        finally:
            self._has_begun.set()
            for copy in self._copies.values():
                copy.cancel()
            await asyncio.gather(*self._copies.values(), return_exceptions=True)
            self._flush()

    async def _look(self) -> None:
        """Sees to it that every replica that serves is copied."""
        try:
            await self._note_release()
            replicas = await self._replicas()
            if not self._has_begun.is_set():
                await self._begin(replicas)
        except (EngineError, StoreUnavailable) as trouble:
            if not self._is_away:
                self._mark(f"--- {trouble.message} The log goes on when that is over. ---")
            self._is_away = True
            self._flush()
            self._has_begun.set()  # readers are told, rather than kept waiting
            return
        self._is_away = False
        for replica in replicas:
            copy = self._copies.get(replica.id)
            if copy is None or (copy.done() and replica.state == "running"):
                self._copies[replica.id] = asyncio.create_task(self._copy(replica))

    async def _note_release(self) -> None:
        service = await self._store.service(self._service)
        live = await self._store.deployment(service.live) if service.live else None
        if live and self._live and live.id != self._live.id:
            self._mark(f"--- {live.release} takes over (deployment {live.id}) ---")
        self._live = live

    async def _begin(self, replicas: Sequence[Replica]) -> None:
        """The last lines of each, whole, before the first reader gets any."""
        first = (self._take(self._lines(r, tail=FIRST_LINES, since=None, follow=False)) for r in replicas)
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*first), FIRST_S)
        self._flush()
        self._was_read = True
        self._has_begun.set()

    async def _replicas(self) -> list[Replica]:
        """Those of the release that serves."""
        found = await self._engine.observe(self._service)
        return [replica for replica in found if self._live and replica.slot == self._live.slot]

    async def _present(self) -> list[Replica]:
        try:
            return await self._replicas()
        except EngineError:  # then what is here has to do
            return []

    async def _copy(self, replica: Replica) -> None:
        """One replica's log up to its end, or until Docker is gone; what was taken before is not taken again."""
        since = self._cursor.since(replica.id)
        with suppress(EngineError, StoreUnavailable, NotFound):  # it is looked at again
            tail = None if since else MOST_LINES if self._was_read else FIRST_LINES
            await self._take(self._lines(replica, tail=tail, since=since, follow=True))

    async def _take(self, lines: AsyncGenerator[Line, None]) -> None:
        async with aclosing(lines):
            async for line in lines:
                if self._cursor.takes(line):
                    self._gather(line)

    async def _lines(
        self, replica: Replica, *, tail: int | None, since: datetime | None, follow: bool
    ) -> AsyncGenerator[Line, None]:
        """A replica's log as Docker has it, secrets masked."""
        secrets = await self._secrets(replica)
        last, place = "", 0
        source = self._engine.log(replica.id, tail=tail, since=since, follow=follow, timestamps=True)
        async for raw in source:
            at, text = split(raw)
            place = place + 1 if at == last else 0
            last = at
            yield Line(at, environment.mask(text, secrets), replica.id, replica.index, place)

    async def _secrets(self, replica: Replica) -> Collection[str]:
        deployment = await self._store.deployment(replica.deployment)
        return (await read_environment(self._store, self._vault, deployment)).values()

    def _mark(self, text: str) -> None:
        self._gather(Line(now(), text))

    def _gather(self, line: Line) -> None:
        if not self._gathered:
            asyncio.get_running_loop().call_later(GATHER_S, self._flush)
        self._gathered.append(line)

    def _flush(self) -> None:
        if self._gathered:
            self._ring.add(tuple(self._gathered))
            self._gathered.clear()
            self._news.set()
            self._news = asyncio.Event()


def _beginning(lines: Sequence[Line], tail: int, since: datetime | None, after: Cursor | None) -> tuple[Line, ...]:
    """What a reader gets first of what there is, in the order of time."""
    if after is not None:
        place = after.copy()
        return tuple(line for line in sorted(lines, key=_time) if place.takes(line))
    begin = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z") if since else ""
    wanted: Counter[str] = Counter()
    kept = []
    for line in reversed(lines):
        wanted[line.replica] += 1
        if line.at >= begin and wanted[line.replica] <= tail:
            kept.append(line)
    kept.reverse()  # lines of one moment stay in their order
    return tuple(sorted(kept, key=_time))


def _time(line: Line) -> str:
    return line.at
