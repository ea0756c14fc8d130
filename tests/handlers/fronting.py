"""A small house with the original's front end before it: over real TCP, from another origin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bot.models import Deployment
from bot.permissions import GLOBAL, Action
from lab.front_end import ORIGIN, FrontEnd, front_end
from lab.waiting import until
from tests.handlers.visiting import PASSWORD, add_user
from tests.small_house import House, open_house

NAME = "storefront"  # so that the first 12 characters of a container's id are as many with the stand-in, too
IMAGE = "ghcr.io/acme/storefront"
SCOPE = f"service:{NAME}"


class Fronted:
    """`root` is admin of everything. `page(user)` is another browser."""

    def __init__(self, house: House, root: FrontEnd) -> None:
        self.house = house
        self.root = root

    async def page(self, user: str, *rights: tuple[Action, str]) -> FrontEnd:
        """The browser of a new user."""
        await add_user(self.house, user, *rights)
        return FrontEnd(self.root.client, self.root.server, user, PASSWORD)

    async def add(self, name: str = NAME, **more: Any) -> None:
        await self.house.add(name, **{"image": f"ghcr.io/acme/{name}", "watch": 60} | more)

    async def deployed(self, name: str = NAME, tag: str = "0001", **more: Any) -> Deployment:
        """A release of `name` that serves, as the list shows it, too."""
        await self.add(name, **more)
        self.house.registry.push(tag)
        assert (await self.root.start(name, f"ghcr.io/acme/{name}:{tag}")).error == ""
        return await self.live(name)

    async def live(self, name: str = NAME) -> Deployment:
        """What serves."""
        service = await self.house.services.store.service(name)
        return await self.house.services.store.deployment(service.live or 0)

    async def count(self, name: str = NAME) -> int:
        """How many deployments there were."""
        return len(await self.house.services.store.deployments(name, 500))

    async def look(self, name: str = NAME) -> str:
        """What the follower does by itself every ten minutes."""
        return await self.house.services.follower.look(name, actor="poller")


@asynccontextmanager
async def fronted(folder: Path, **settings: Any) -> AsyncIterator[Fronted]:
    """Deployments run, and what runs is observed."""
    async with open_house(folder, **{"allowed_origins": ORIGIN} | settings) as house:
        await add_user(house, "root", (Action.ADMIN, GLOBAL))
        await house.services.worker.start()
        observing = asyncio.create_task(house.services.observer.run())
        await until(lambda: asyncio.sleep(0, house.services.observer.has_looked))
        try:
            async with front_end(await house.open_to_all(), "root", PASSWORD) as root:
                yield Fronted(house, root)
        finally:
            observing.cancel()
            await asyncio.gather(observing, return_exceptions=True)
