"""What runs now and what it uses, kept at hand: nobody who looks waits for Docker."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

from bot.engines import Engine, Replica, Usage
from bot.errors import O8Error

SAMPLE_S, SAMPLES = 30.0, 120  # one hour
AT_ONCE = 4
SETTLE_S = 0.2  # a deployment changes several replicas in a moment
_log = logging.getLogger(__name__)


class Sample(NamedTuple):
    """What all replicas of a service used: processors (1.0 is one of them), and bytes. `memory_limit` is of all."""

    at: datetime
    cpus: float
    memory_bytes: int
    memory_limit: int


class Observer:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._replicas: dict[str, tuple[Replica, ...]] = {}
        self._samples: defaultdict[str, deque[Sample]] = defaultdict(lambda: deque(maxlen=SAMPLES))
        self._before: dict[str, tuple[float, Usage]] = {}  # replica -> when, and what it had used then
        self._changed: set[str] = set()  # names of services; empty: all of them
        self._news = asyncio.Event()

    def replicas(self, service: str) -> tuple[Replica, ...]:
        """As the engine last told; none while it has not told anything yet."""
        return self._replicas.get(service, ())

    def samples(self, service: str) -> tuple[Sample, ...]:
        """The last hour, oldest first."""
        return tuple(self._samples.get(service, ()))

    def service_of(self, container: str) -> str:
        """The service of a container, by its id or the first 12 characters of it; empty when it is not known."""
        if len(container) < 12:
            return ""
        found = (r.service for group in self._replicas.values() for r in group if r.id.startswith(container))
        return next(found, "")

    async def run(self) -> None:
        """Endless."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._follow())
            tasks.create_task(self._sample())

    async def look(self, service: str = "") -> None:
        """Asks the engine now, for one service or for all."""
        found: defaultdict[str, list[Replica]] = defaultdict(list)
        for replica in await self._engine.observe(service):
            found[replica.service].append(replica)
        for name in [service] if service else set(self._replicas) - set(found):
            self._replicas.pop(name, None)
        self._replicas.update({name: tuple(group) for name, group in found.items()})

    async def measure(self) -> None:
        """Takes one sample of each service that runs."""
        gate = asyncio.Semaphore(AT_ONCE)
        running = {name: [r for r in group if r.state == "running"] for name, group in self._replicas.items()}
        names = [name for name, group in running.items() if group]
        await asyncio.gather(*(self._measure(name, running[name], gate) for name in names))
        alive = {replica.id for group in running.values() for replica in group}
        self._before = {id: seen for id, seen in self._before.items() if id in alive}
        for name in set(self._samples) - set(self._replicas):
            del self._samples[name]

    async def _measure(self, service: str, replicas: Iterable[Replica], gate: asyncio.Semaphore) -> None:
        cpus, memory, limit, is_known = 0.0, 0, 0, False
        for replica in replicas:
            async with gate:
                usage = await self._engine.usage(replica.id)
            if usage is None:
                continue
            now = asyncio.get_running_loop().time()
            before = self._before.get(replica.id)
            self._before[replica.id] = (now, usage)
            if before and now > before[0]:
                is_known = True
                cpus += max(usage.cpu_seconds - before[1].cpu_seconds, 0) / (now - before[0])
            memory += usage.memory_bytes
            limit += usage.memory_limit
        if is_known:
            self._samples[service].append(Sample(datetime.now(UTC), cpus, memory, limit))

    async def _listen(self) -> None:
        async for change in self._engine.changes():
            self._changed.add(change.service)
            self._news.set()

    async def _follow(self) -> None:
        while True:
            await self._news.wait()
            await asyncio.sleep(SETTLE_S)
            changed, self._changed = self._changed, set()
            self._news.clear()
            try:
                for service in [""] if "" in changed else sorted(changed):
                    await self.look(service)
            except O8Error as trouble:
                _log.warning("What runs is not known at the moment: %s", trouble)
                self._changed.add("")
                self._news.set()
                await asyncio.sleep(1)

    async def _sample(self) -> None:
        while True:
            with suppress(O8Error):  # Docker is away: there is a gap in the history
                await self.measure()
            await asyncio.sleep(SAMPLE_S)
