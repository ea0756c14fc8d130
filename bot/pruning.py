"""Images on this machine: fetches them, and removes those that o8 fetched and that nothing needs any more.

What something needs is said by `Store.spare_images`. A deployment writes down its digest before it looks for its image
here; as both the look and each removal hold the same lock, none is taken away under a deployment's feet.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from weakref import WeakValueDictionary

from bot.engines import Credentials, Engine, Progress
from bot.errors import DiskFull, EngineUnavailable, O8Error
from bot.models import Model
from bot.store import Store

KEPT_BY_HAND, KEPT_BY_HAND_URGENT = timedelta(days=7), timedelta(hours=1)
_log = logging.getLogger(__name__)


class SpareImage(Model):
    """An image that nothing needs. `bytes`: its size; layers that it shares with others stay."""

    image: str
    digest: str
    bytes: int


class Pruned(Model):
    """What was removed, or with `is_dry_run` would be. `bytes`: at most so many become free."""

    images: tuple[SpareImage, ...]
    bytes: int
    is_dry_run: bool


class Pruner:
    def __init__(self, store: Store, engine: Engine) -> None:
        self._store = store
        self._engine = engine
        self._choosing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def prune(self, service: str | None = None, *, is_dry_run: bool = False, is_urgent: bool = False) -> Pruned:
        """Removes the images that nothing needs: of all, or only what was pulled for `service`.

        What was pulled by hand is kept for a week; an hour when it `is_urgent`. Raises `EngineUnavailable`.
        """
        age = KEPT_BY_HAND_URGENT if is_urgent else KEPT_BY_HAND
        found = []
        for image, digest in await self._store.spare_images(service, age):
            size = await self._engine.image_size(image, digest)
            if is_dry_run or await self._is_removed(image, digest, age):
                found.append(SpareImage(image=image, digest=digest, bytes=size or 0))
        found = [each for each in found if each.bytes]  # the others were gone already
        return Pruned(images=tuple(found), bytes=sum(each.bytes for each in found), is_dry_run=is_dry_run)

    async def pull(
        self, image: str, digest: str, service: str, credentials: Credentials, progress: Progress,
        is_cancelled: Callable[[], bool],
    ) -> bool:  # fmt: skip
        """The image is here; False when it was before. An empty `service`: pulled by hand.

        When the disk is full, what nothing needs is removed, and it is tried once more. Raises as `Engine.pull` does.
        """
        async with self._choosing_about(digest):
            is_here = await self._engine.has_image(image, digest)
            # Before it is fetched: were o8 killed afterwards, the image would stay for ever.
            await self._store.pulled(image, digest, service, is_new=not is_here)
        if is_here:
            return False
        try:
            await self._engine.pull(image, digest, credentials, progress, is_cancelled)
        except DiskFull as full:
            if not (await self.make_room()).images:
                raise DiskFull(
                    full.message,
                    "o8 has no spare image left to remove: `docker system df` shows what takes the space.",
                ) from full
            await self._engine.pull(image, digest, credentials, progress, is_cancelled)
        return True

    async def make_room(self) -> Pruned:
        """Prunes because the disk is full, by o8's own will."""
        done = await self.prune(is_urgent=True)
        await self.record(done, "o8")
        return done

    async def record(self, done: Pruned, actor: str) -> None:
        """Who had what removed. That o8 itself found nothing to remove is no news."""
        if not done.is_dry_run and (done.images or actor != "o8"):
            _log.info("%s removed %d spare images, %d MB", actor, len(done.images), done.bytes // 1_000_000)
            names = [f"{each.image}@{each.digest}" for each in done.images]
            await self._store.record(actor, "prune", "images", {"images": names, "bytes": done.bytes})

    def _choosing_about(self, digest: str) -> asyncio.Lock:
        """One lock for each image: it takes Docker seconds to remove a large one, and no other has to wait for that."""
        return self._choosing.setdefault(digest, asyncio.Lock())

    async def _is_removed(self, image: str, digest: str, age: timedelta) -> bool:
        """False when something needs it by now, or a container uses it."""
        async with self._choosing_about(digest):
            if not await self._store.is_spare(image, digest, age):
                return False
            try:
                if not await self._engine.remove_image(image, digest):
                    return False
            except EngineUnavailable:
                raise
            except O8Error as trouble:  # one image must not keep the others
                _log.warning("%s@%s stays: %s", image, digest, trouble)
                return False
            await self._store.forget_image(image, digest)
            return True
