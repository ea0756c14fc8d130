"""Packages of GITHUB_AUTO_INSTALL's owners become services by themselves, once a genuine delivery has told of a push.

The inbox writes down which ones, in the transaction of the delivery; so a kill loses none. What would need a guess or a
decision becomes the card that asks, and says why.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta

from bot.chat import Package
from bot.errors import ChangedMeanwhile, O8Error
from bot.follower import Follower, wish
from bot.models import Service
from bot.offers import Offers
from bot.operations import Operations
from bot.proposal import Offer
from bot.run import wait_for
from bot.store import Store
from bot.worker import Worker

LOOK_S, QUIET_S = 10.0, 3600.0
PATIENCE = timedelta(minutes=10)  # with a registry that is away, or has not heard of the push
DELAYS_S = (1.0, 3.0)
AT_ONCE = 4
_log = logging.getLogger(__name__)


class Arrivals:
    def __init__(
        self, store: Store, offers: Offers, operations: Operations, worker: Worker, follower: Follower,
        owners: frozenset[str],
    ) -> None:  # fmt: skip
        """`owners`: in lower case."""
        self._store = store
        self._offers = offers
        self._operations = operations
        self._worker = worker
        self._follower = follower
        self._owners = owners
        self._places = asyncio.Semaphore(AT_ONCE)
        self._news = asyncio.Event()

    def welcomes(self, image: str) -> bool:
        """Whether a package that nobody uses becomes a service by itself."""
        return image.split("/")[1] in self._owners

    def notice(self) -> None:
        """A delivery has told of one."""
        self._news.set()

    async def run(self) -> None:
        """Endless: what a kill has left, then what comes."""
        under_way: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._news.clear()
                found = await self._store.arrivals()
                under_way = {image: task for image, task in under_way.items() if not task.done()}
                for package in found:
                    if package.image not in under_way:
                        under_way[package.image] = tasks.create_task(self._take(package))
                await wait_for(self._news, LOOK_S if found else QUIET_S)

    async def _take(self, package: Package) -> None:
        """Makes a service of it; asks people instead when that cannot be done, or not without a guess."""
        try:
            async with self._places:
                await self._install(package)
        except ChangedMeanwhile:  # somebody took the name at this moment: the next look finds another one
            self.notice()
        except O8Error as trouble:
            if trouble.is_transient and datetime.now(UTC) - package.last_seen < PATIENCE:
                _log.warning("%s cannot be installed yet: %s", package.image, trouble)
                return
            await self._store.offer_package(package.image, str(trouble))

    async def _install(self, package: Package) -> None:
        image, actor = package.image, f"delivery:{package.delivery}"
        used = await self._store.services_of_image(image)  # by somebody meanwhile, or by us before a kill
        tag = digest = ""
        if not used:
            offer = await self._offers.of(image, pushed=package.tag, delays=DELAYS_S)
            if offer.doubts:
                await self._store.offer_package(image, _sentence(offer.doubts))
                return
            if (await self._store.package(image)).state != "installing":
                return
            used, tag, digest = (await self._add(offer, actor),), offer.tag, offer.digest
        service = used[0]
        if not await self._store.deployments(service.name, limit=1):
            await self._worker.want(wish(service, tag, digest, actor, package.delivery, package.commit))
        newest = await self._store.package(image)
        await self._store.package_installed(image, service.name)
        if newest.last_seen > package.last_seen:  # pushed while it was being installed
            await self._follower.look(service.name, actor=f"delivery:{newest.delivery}", delivery=newest.delivery)

    async def _add(self, offer: Offer, actor: str) -> Service:
        applied = await self._operations.apply(offer.configuration, actor, expected="absent")
        detail = {"image": offer.image, "tag": offer.tag, "notes": list(offer.notes)}
        await self._store.record(actor, "install", applied.service.name, detail)
        return applied.service


def _sentence(doubts: tuple[str, ...]) -> str:
    text = "; ".join(doubts)
    return f"{text[:1].upper()}{text[1:]}."
