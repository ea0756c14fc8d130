"""Packages of GITHUB_AUTO_INSTALL's owners become services by themselves, once a genuine delivery has told of a push.

The inbox writes down which ones, in the transaction of the delivery; so a kill loses none. What would need a guess or a
decision becomes the card that asks, and says why.
"""

from __future__ import annotations

import asyncio
import logging
import time

from bot.chat import Package
from bot.errors import ChangedMeanwhile, O8Error, StoreUnavailable
from bot.follower import Follower, wish
from bot.models import Service
from bot.operations import Operations
from bot.packages.offers import Offers
from bot.packages.proposal import Offer
from bot.run import wait_for
from bot.store import Store
from bot.worker import Worker

LOOK_S, QUIET_S = 10.0, 3600.0
PATIENCE_S = 600.0  # with a registry that is away, or has not heard of the push
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
        self._tasks: dict[str, asyncio.Task[None]] = {}  # by image
        self._since: dict[str, float] = {}  # when a package was first tried; a restart tries it anew

    def welcomes(self, image: str) -> bool:
        """Whether a package that nobody uses becomes a service by itself."""
        return image.split("/")[1] in self._owners

    def notice(self) -> None:
        """A delivery has told of one."""
        self._news.set()

    async def run(self) -> None:
        """Endless: what a kill has left, then what comes."""
        try:
            while True:
                self._news.clear()
                await self._see_ended()
                found = await self._store.arrivals()
                for package in found:
                    if package.image not in self._tasks:
                        self._tasks[package.image] = asyncio.create_task(self._take(package))
                await wait_for(self._news, LOOK_S if found else QUIET_S)
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            self._tasks.clear()

    async def _see_ended(self) -> None:
        """One that fails by a fault of o8 must not hinder the others, nor be tried for ever."""
        for image in [image for image, task in self._tasks.items() if task.done()]:
            fault = self._tasks.pop(image).exception()
            if fault and not isinstance(fault, StoreUnavailable):
                _log.error("Installing %s failed inside o8", image, exc_info=fault)
                await self._store.offer_package(image, "Something went wrong inside o8; its log has the details.")

    async def _take(self, package: Package) -> None:
        """Makes a service of it; asks people instead when that cannot be done, or not without a guess."""
        since = self._since.setdefault(package.image, time.monotonic())
        try:
            async with self._places:
                await self._install(package)
        except ChangedMeanwhile:  # somebody took the name at this moment: the next look finds another one
            self.notice()
        except O8Error as trouble:
            if trouble.is_transient and time.monotonic() - since < PATIENCE_S:
                _log.warning("%s cannot be installed yet: %s", package.image, trouble)
                return
            await self._store.offer_package(package.image, str(trouble))
        self._since.pop(package.image, None)

    async def _install(self, package: Package) -> None:
        image, actor = package.image, f"delivery:{package.delivery}"
        if used := await self._store.services_of_image(image):  # by somebody meanwhile, or by us before a kill
            await self._follower.look(used[0].name, actor=actor, delivery=package.delivery)
            await self._store.package_installed(image, used[0].name)
            return
        offer = await self._offers.of(image, pushed=package.tag, delays=DELAYS_S)
        if offer.doubts:
            await self._store.offer_package(image, _sentence(offer.doubts))
            return
        if (await self._store.package(image)).state != "installing" or await self._store.services_of_image(image):
            self.notice()  # somebody has decided meanwhile
            return
        service = await self._add(offer, actor)
        await self._worker.want(wish(service, offer.tag, offer.digest, actor, package.delivery, package.commit))
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
    begin = text[:1] if "." in text.partition(" ")[0] else text[:1].upper()  # a host name keeps its spelling
    return f"{begin}{text[1:]}."
