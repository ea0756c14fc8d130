"""One deployment while it runs: what the story found so far, and what others ask of it meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from bot.errors import O8Error
from bot.models import Deployment, Service, Slot, State

T = TypeVar("T")


class Moment(StrEnum):
    """Where a kill can fall within a step. Tests stop the process at each of them, in each state."""

    BEFORE_EFFECT = "before effect"
    AFTER_EFFECT = "after effect"
    AFTER_COMMIT = "after commit"


class Ended(O8Error):
    """The story ends early, in `ending`, although nothing failed."""

    def __init__(self, ending: State, message: str = "") -> None:
        super().__init__(message)
        self.ending = ending


@dataclass
class Run:
    """`cancelled` and `newer` are set from outside; `bytes_done` and `bytes_known` are for people who watch."""

    deployment: Deployment
    service: Service
    live: Deployment | None
    is_interrupted: bool = False
    environment: dict[str, str] = field(default_factory=dict)
    slot: Slot | None = None
    site_before: str | None = None
    has_switched: bool = False
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    newer: asyncio.Event = field(default_factory=asyncio.Event)
    bytes_done: int = 0
    bytes_known: int = 0

    @property
    def name(self) -> str:
        return self.service.name

    @property
    def here(self) -> Slot:
        """The candidate's slot; known from `starting` on."""
        if self.slot is None:
            raise O8Error(f"{self.name} has no slot yet.")
        return self.slot

    def progress(self, done: int, known: int) -> None:
        self.bytes_done, self.bytes_known = done, known

    def stop_if_cancelled(self) -> None:
        """Raises `Ended` once somebody has cancelled."""
        if self.cancelled.is_set():
            raise Ended(State.CANCELLED, "Cancelled by a person.")

    async def pause(self, seconds: float) -> None:
        """Waits, or raises `Ended` as soon as somebody cancels."""
        await wait_for(self.cancelled, seconds)
        self.stop_if_cancelled()

    async def unless_cancelled(self, work: Awaitable[T]) -> T:
        """The result of `work`, which is given up as soon as somebody cancels."""
        task, cancel = asyncio.ensure_future(work), asyncio.ensure_future(self.cancelled.wait())
        try:
            await asyncio.wait((task, cancel), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            self.stop_if_cancelled()
            raise AssertionError("one of the two has ended")
        finally:
            cancel.cancel()
            task.cancel()


async def wait_for(event: asyncio.Event, seconds: float) -> bool:
    """Whether `event` was set within `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
