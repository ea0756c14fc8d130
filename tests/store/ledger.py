"""A real database, with short ways to fill it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from bot.configuration import Configuration
from bot.models import Deployment, Hold, Kind, Lock, Service, State, Wanted
from bot.store import Store

IMAGE = "ghcr.io/acme/web"


def configuration(name: str = "web", **more: Any) -> Configuration:
    return Configuration(**{"name": name, "image": f"ghcr.io/acme/{name}", "port": 8080} | more)


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


class Ledger:
    """A store and what tests say to it."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def service(self, name: str = "web", **more: Any) -> Service:
        await self.store.apply(configuration(name, **more), last_block=100)
        return await self.store.service(name)

    async def want(self, service: str = "web", kind: Kind = Kind.DEPLOY, **more: Any) -> Deployment:
        return await self.store.want(Wanted(**{"service": service, "kind": kind, "actor": "cli:ann"} | more))

    async def push(self, tag: str, service: str = "web", **more: Any) -> Deployment:
        """What a delivery asks for."""
        return await self.want(service, tag=tag, actor="delivery:1", is_automatic=True, **more)

    async def claim(self, service: str = "web") -> Deployment:
        claimed = await self.store.claim(service)
        assert claimed is not None
        return claimed

    async def switch(self, tag: str, number: int = 0, service: str = "web", **more: Any) -> Deployment:
        """A deployment that serves and is still watched."""
        await self.want(service, tag=tag, **more)
        claimed = await self.claim(service)
        await self.store.enter(claimed.id, State.RESOLVING)
        await self.store.leave(claimed.id, {"tag": tag, "digest": digest(number or claimed.id)})
        await self.store.enter(claimed.id, State.SWITCHING, "b")
        await self.store.leave(claimed.id, {}, has_switched=True)
        return await self.store.deployment(claimed.id)

    async def release(self, tag: str, number: int = 0, service: str = "web", **more: Any) -> Deployment:
        """A deployment that succeeded."""
        switched = await self.switch(tag, number, service, **more)
        return await self.store.finish(switched.id, State.SUCCEEDED)

    async def states(self, service: str = "web") -> list[State]:
        """Oldest first."""
        return [d.state for d in reversed(await self.store.deployments(service, limit=100))]

    async def hold(self, service: str = "web") -> None:
        await self.store.set_hold(service, Hold(reason="holiday", actor="cli:ann", since=datetime.now(UTC)))

    async def lock(self, service: str = "web", *, for_: timedelta = timedelta(hours=1)) -> None:
        now = datetime.now(UTC)
        await self.store.set_lock(service, Lock(reason="release day", actor="cli:ann", since=now, until=now + for_))
