"""An engine whose containers write what a test says, with Docker's times, streams and failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from datetime import UTC, datetime, timedelta

from bot.engines import Replica
from bot.errors import EngineError, EngineUnavailable
from bot.logs import Line
from bot.models import Address, Slot

START = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


class Container:
    """Its log as Docker keeps it: a time of nanoseconds and a text for each line."""

    def __init__(self, replica: Replica) -> None:
        self.replica = replica
        self.lines: list[tuple[str, str]] = []
        self.is_running = True
        self.news = asyncio.Event()


class ScriptedEngine:
    """As far as logs need an `Engine`. `streams` counts those that follow at this moment, `opened` all of them."""

    def __init__(self) -> None:
        self.containers: dict[str, Container] = {}
        self.is_down = False
        self.looks = 0
        self.refusal = ""  # of every log
        self.streams = 0
        self.opened = 0
        self._now = 0

    def start(self, name: str, slot: Slot, deployment: int, number: int = 0) -> Container:
        replica = Replica(
            id=f"{name}{slot}{deployment}{number}".ljust(64, "0"), name=name, service=name, slot=slot, index=number,
            deployment=deployment, address=Address("127.0.0.1", 1), state="running", health="none", exit_code=0,
            is_oom_killed=False, restarts=0, started_at=START,
        )  # fmt: skip
        return self.containers.setdefault(replica.id, Container(replica))

    def write(self, container: Container, *texts: str, is_same_moment: bool = False) -> None:
        for text in texts:
            self._now += 0 if is_same_moment and container.lines else 1_000
            at = START + timedelta(microseconds=self._now)
            container.lines.append((at.strftime("%Y-%m-%dT%H:%M:%S.%f") + "007Z", text))
        self._wake(container)

    def write_again(self, container: Container, count: int) -> None:
        """The last lines come once more, as from a Docker that has just begun a new file."""
        container.lines += container.lines[-count:]
        self._wake(container)

    def write_overtaken(self, container: Container, text: str) -> None:
        """A line whose time is before that of the last one."""
        at = START + timedelta(microseconds=self._now - 10)
        container.lines.append((at.strftime("%Y-%m-%dT%H:%M:%S.%f") + "007Z", text))
        self._wake(container)

    def set_clock_back(self, hours: int) -> None:
        self._now -= hours * 3_600_000_000

    def live_once_more(self, container: Container, *texts: str) -> None:
        """Starts, writes, dies; at no look was it seen running."""
        container.is_running, lives = False, container.replica.restarts + 1
        container.replica = container.replica.model_copy(update={"state": "restarting", "restarts": lives})
        self.write(container, *texts)

    def end(self, container: Container) -> None:
        container.is_running = False
        container.replica = container.replica.model_copy(update={"state": "exited"})
        self._wake(container)

    def resume(self, container: Container) -> None:
        container.is_running = True
        container.replica = container.replica.model_copy(update={"state": "running"})

    def go_down(self) -> None:
        """The daemon dies: every stream is cut."""
        self.is_down = True
        for container in self.containers.values():
            self._wake(container)

    def come_up(self) -> None:
        self.is_down = False

    async def observe(self, service: str = "") -> tuple[Replica, ...]:
        self.looks += 1
        self._check()
        return tuple(c.replica for c in self.containers.values() if c.replica.service == service)

    async def log(
        self, replica: str, *, tail: int | None, since: datetime | None, follow: bool, timestamps: bool
    ) -> AsyncGenerator[bytes, None]:
        self._check()
        if self.refusal:
            raise EngineError(self.refusal)
        container = self.containers[replica]
        place = len(container.lines)
        begin = since.strftime("%Y-%m-%dT%H:%M:%S.%f") if since else ""
        chosen = [line for line in container.lines if line[0] >= begin]
        self.opened += follow
        self.streams += follow
        try:
            for at, text in chosen if tail is None else chosen[max(len(chosen) - tail, 0) :]:
                yield f"{at} {text}".encode()
            while follow:
                news = container.news
                while place < len(container.lines):
                    at, text = container.lines[place]
                    place += 1
                    yield f"{at} {text}".encode()
                self._check()
                if not container.is_running:
                    return
                if place == len(container.lines):
                    await news.wait()
        finally:
            self.streams -= follow

    def _check(self) -> None:
        if self.is_down:
            raise EngineUnavailable("Docker does not answer.")

    def _wake(self, container: Container) -> None:
        container.news.set()
        container.news = asyncio.Event()


async def flow(lines: Iterable[Line]) -> AsyncGenerator[Line, None]:
    for line in lines:
        yield line
