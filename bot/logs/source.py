"""What Docker has of a service's log: its replicas, and the lines of each with secrets masked."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime

from bot.engines import Engine, Replica
from bot.environment import Mask
from bot.logs.lines import Line, Origin, split
from bot.models import Deployment
from bot.store import Store
from bot.vault import Vault
from bot.worker import read_environment


class Source:
    """The log of `service`. Raises `EngineError`, `StoreUnavailable`, `NotFound` when the service is gone."""

    def __init__(self, service: str, store: Store, engine: Engine, vault: Vault) -> None:
        self._service = service
        self._store = store
        self._engine = engine
        self._vault = vault

    async def committed(self, seen: int = -1) -> int:
        """As `Store.committed`: the release that serves may be another one."""
        return await self._store.committed(seen)

    async def live(self) -> Deployment | None:
        """The release that serves."""
        service = await self._store.service(self._service)
        return await self._store.deployment(service.live) if service.live else None

    async def replicas(self) -> tuple[Replica, ...]:
        """Of both slots."""
        return await self._engine.observe(self._service)

    async def lines(
        self, replica: Replica, *, tail: int | None = None, since: datetime | None = None, follow: bool = False
    ) -> AsyncGenerator[Line, None]:
        """As `Engine.log`. Raises `Sealed` rather than show what it cannot mask."""
        deployment = await self._store.deployment(replica.deployment)
        mask = Mask((await read_environment(self._store, self._vault, deployment)).values())
        origin = origin_of(replica, deployment)
        before, nth = "", 0
        source = self._engine.log(replica.id, tail=tail, since=since, follow=follow, timestamps=True)
        async with aclosing(source):
            async for raw in source:
                at, text = split(raw, before)
                nth = nth + 1 if at == before else 0
                before = at
                yield Line(at, mask(text), origin, nth)


def origin_of(replica: Replica, deployment: Deployment) -> Origin:
    number, is_alone = replica.index + 1, deployment.configuration.replicas == 1
    return Origin(short(replica), number, "" if is_alone else f"{number} | ")


def short(replica: Replica) -> str:
    """How places name it."""
    return replica.id[:12].ljust(12, "0")
