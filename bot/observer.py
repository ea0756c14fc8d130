"""What runs now and what it uses, kept at hand: nobody who looks waits for Docker."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from bot.engines import Engine, Replica, Usage
from bot.errors import EngineUnavailable, O8Error

SAMPLE_S, SAMPLES = 30.0, 120
KEPT = timedelta(seconds=SAMPLE_S * SAMPLES)  # one hour
STALE = timedelta(seconds=2.5 * SAMPLE_S)  # what is older says nothing about now
AT_ONCE = 16  # Docker answers at its next tick, of which there is one a second
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
        self._changed: set[str] = set()  # names of services; "" is all of them
        self._news = asyncio.Event()
        self._has_looked = asyncio.Event()
        self._is_blind = False

    @property
    def has_looked(self) -> bool:
        """False until the engine has told what runs: then nothing is known, which is not the same as nothing runs."""
        return self._has_looked.is_set()

    def replicas(self, service: str) -> tuple[Replica, ...]:
        """As the engine last told; none while it has not told anything yet."""
        return self._replicas.get(service, ())

    def samples(self, service: str) -> tuple[Sample, ...]:
        """The last hour, oldest first; with gaps where the service or the engine was down."""
        since = datetime.now(UTC) - KEPT
        return tuple(sample for sample in self._samples.get(service, ()) if sample.at > since)

    def now(self, service: str) -> Sample | None:
        """What is used at this moment, as of the last sample; None when none is recent, or nothing runs any more."""
        found = self._samples.get(service)
        if not found or datetime.now(UTC) - found[-1].at > STALE or not _running(self.replicas(service)):
            return None
        return found[-1]

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
        if not service:
            self._has_looked.set()

    async def measure(self) -> None:
        """Takes one sample of each service that runs; of none any more once the engine does not answer."""
        running = {name: found for name, group in self._replicas.items() if (found := _running(group))}
        seen: dict[str, tuple[float, Usage]] = {}
        gate = asyncio.Semaphore(AT_ONCE)
        try:
            async with asyncio.TaskGroup() as tasks:
                for replica in (replica for group in running.values() for replica in group):
                    tasks.create_task(self._look_at_use(replica.id, seen, gate))
        except* EngineUnavailable as trouble:
            _log.info("What services use is not known at the moment: %s", trouble.exceptions[0])
        else:
            self._tell_if_blind(is_blind=bool(running) and not seen)
        for name, group in running.items():
            if sample := _sample({id: seen[id] for r in group if (id := r.id) in seen}, self._before):
                self._samples[name].append(sample)
        self._before = seen
        for name in set(self._samples) - set(self._replicas):
            del self._samples[name]

    def _tell_if_blind(self, *, is_blind: bool) -> None:
        """Once, when it begins: who has no figures would wait for an alert in vain."""
        if is_blind and not self._is_blind:
            _log.warning("Docker has no figures of what containers use. `docker stats` shows whether it can: "
                         "all control groups of /proc/self/cgroup must be mounted")  # fmt: skip
        self._is_blind = is_blind

    async def _look_at_use(self, replica: str, seen: dict[str, tuple[float, Usage]], gate: asyncio.Semaphore) -> None:
        """Adds to `seen` what the engine can tell. Raises `EngineUnavailable`: then it tells of no other either."""
        async with gate:
            try:
                usage = await self._engine.usage(replica)
            except EngineUnavailable:
                raise
            except O8Error as trouble:
                _log.info("What %.12s uses is not known: %s", replica, trouble)
                return
        if usage is not None:
            seen[replica] = (asyncio.get_running_loop().time(), usage)

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
        await self._has_looked.wait()
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            await self.measure()
            await asyncio.sleep(max(SAMPLE_S - (loop.time() - began), SAMPLE_S / 10))


def _running(replicas: Iterable[Replica]) -> list[Replica]:
    return [replica for replica in replicas if replica.state == "running"]


def _sample(seen: dict[str, tuple[float, Usage]], before: dict[str, tuple[float, Usage]]) -> Sample | None:
    """The sum over replicas, each with the time at which it was seen; None when none of them was seen before."""
    known = {id: before[id] for id, (at, _) in seen.items() if id in before and before[id][0] < at}
    if not known:
        return None
    cpus = sum(
        # Negative: the container was started anew, and counts from nothing.
        max(seen[id][1].cpu_seconds - then.cpu_seconds, 0) / (seen[id][0] - at)
        for id, (at, then) in known.items()
    )
    return Sample(
        datetime.now(UTC), cpus, sum(use.memory_bytes for _, use in seen.values()),
        sum(use.memory_limit for _, use in seen.values()),
    )  # fmt: skip
