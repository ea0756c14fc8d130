"""What o8 has counted and what runs now, read in one go for whoever watches it. Part of it may be missing.

To add a figure: a field here, and a family in `handlers/metrics.py`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass

from bot.certificates import Standings
from bot.doctor import Doctor
from bot.errors import StoreUnavailable
from bot.inbox import Inbox
from bot.nginx import Nginx
from bot.observer import Observer, Sample
from bot.pem import Standing
from bot.settings import Settings
from bot.store import Store
from bot.store.counters import Durations, Serving

LIMIT_S = 2.0  # who watches has to hear that the database hangs
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Counted:
    """What the database knows. `cards`: how many are behind, and for how many seconds; None without Slack."""

    deliveries: dict[str, int]
    endings: dict[str, int]
    steps: dict[str, Durations]
    unfinished: dict[str, int]
    cards: tuple[int, float] | None
    serving: tuple[Serving, ...]


@dataclass(frozen=True)
class Run:
    """A service as it runs: `replicas` of those that should, `is_well` when these are all and none is ill.

    `use` None: not known at the moment.
    """

    serving: Serving
    replicas: int
    is_well: bool
    use: Sample | None


@dataclass(frozen=True)
class Reading:
    """`parts`: why each is not there, empty where it is. None: the part that knows it does not answer."""

    parts: dict[str, str]
    reloads: int
    refused_deliveries: int
    counted: Counted | None
    runs: tuple[Run, ...] | None
    certificates: tuple[Standing, ...] | None


class Figures:
    def __init__(self, settings: Settings, store: Store, observer: Observer, inbox: Inbox, doctor: Doctor,
                 nginx: Nginx) -> None:  # fmt: skip
        self._has_slack = bool(settings.slack_bot_token.get_secret_value())
        self._store = store
        self._observer = observer
        self._inbox = inbox
        self._doctor = doctor
        self._nginx = nginx
        self._standings = Standings(settings, store)

    async def read(self) -> Reading:
        """Takes `LIMIT_S` seconds at most, whatever is broken. Never raises an `O8Error`."""
        parts, counted, certificates = await asyncio.gather(
            self._doctor.readiness(), self._counted(), self._certificates()
        )
        is_known = counted and self._observer.has_looked and not parts["docker"]
        return Reading(
            parts=parts, reloads=self._nginx.reloads, refused_deliveries=self._inbox.refused, counted=counted,
            runs=tuple(self._runs(counted.serving)) if counted and is_known else None, certificates=certificates,
        )  # fmt: skip

    async def _counted(self) -> Counted | None:
        store = self._store
        try:
            async with asyncio.timeout(LIMIT_S):
                return Counted(
                    deliveries=await store.counts("deliveries"),
                    endings=await store.counts("deployments"),
                    steps=await store.durations(),
                    unfinished=await store.unfinished_by_state(),
                    cards=await store.cards_behind() if self._has_slack else None,
                    serving=await store.serving(),
                )
        except (StoreUnavailable, TimeoutError) as trouble:
            _log.warning("What was counted cannot be read: %s", str(trouble) or f"no answer within {LIMIT_S:g} s")
            return None

    async def _certificates(self) -> tuple[Standing, ...] | None:
        try:
            async with asyncio.timeout(LIMIT_S):
                return await self._standings.all()
        except (StoreUnavailable, TimeoutError):
            return None  # `_counted` has said so

    def _runs(self, serving: tuple[Serving, ...]) -> Iterator[Run]:
        for each in serving:
            running = [
                replica
                for replica in self._observer.replicas(each.service)
                if replica.state == "running" and replica.slot == each.slot and replica.deployment in each.deployments
            ]
            is_well = len(running) == each.replicas and all(replica.health != "unhealthy" for replica in running)
            yield Run(each, len(running), is_well, self._observer.now(each.service))
