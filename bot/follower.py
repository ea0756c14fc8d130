"""Looks up the tags that services follow, and wants a deployment of what policy says is newer.

After a delivery, at start and every ten minutes: so a delivery lost while o8 was down costs ten minutes, no release.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Coroutine
from typing import Any

from bot import tags
from bot.errors import NotFound, O8Error, RegistryError
from bot.models import Delivery, Kind, Service, State, Wanted
from bot.registry import Registry
from bot.store import Store
from bot.store.deployments import keeps_back
from bot.worker import Worker

POLL_JITTER_S = 60.0
KNOWN_TAGS_S, KNOWN_TAGS_PATIENCE_S = 60.0, 0.7
RECENT = 200  # regex policy: how many of the last tags listed are dated; registries list them in no sure order
_log = logging.getLogger(__name__)


class Follower:
    def __init__(self, store: Store, registry: Registry, worker: Worker, interval: float) -> None:
        """`interval`: seconds between two looks at everything."""
        self._store = store
        self._registry = registry
        self._worker = worker
        self._interval = interval
        self._known_tags: dict[str, tuple[float, list[str]]] = {}
        self._looks: set[asyncio.Task[None]] = set()
        self._to_learn: set[str] = set()

    async def run(self) -> None:
        """Endless: what a kill left of the deliveries, then everything, again and again."""
        for delivery in await self._store.unprocessed():
            self.look_soon(delivery)
        while True:
            for service in await self._store.services():
                try:
                    _log.info("%s: %s", service.name, await self.look(service.name, actor="poller"))
                except O8Error as trouble:
                    _log.warning("%s: looking for newer tags failed: %s", service.name, trouble)
            await asyncio.sleep(self._interval + random.uniform(-1, 1) * min(POLL_JITTER_S, self._interval / 10))  # noqa: S311

    def look_soon(self, delivery: Delivery) -> None:
        """Looks for every service a delivery was accepted for, outside the request that brought it."""
        self._begin(self._look_for(delivery))

    def learn_soon(self, name: str) -> None:
        """Looks which tag is the newest, without wanting it: something was pushed that does not deploy by itself."""
        if name not in self._to_learn:
            self._to_learn.add(name)
            self._begin(self._learn_quietly(name))

    async def look(self, name: str, *, actor: str, delivery: str = "", commit: str = "") -> str:
        """Wants the newest tag of `name` if policy says so; returns what came of it as a sentence."""
        service = await self._store.service(name)
        follow, image = service.configuration.follow, service.configuration.image
        tag, digest = await self._learn(service)
        if not tag:
            return f"{image} has no tag that policy {follow.policy!r} follows"
        if follow.auto_deploy == "off":
            return "auto_deploy is off"
        if why := await why_not(self._store, service, tag, digest):
            return why
        deployment = await self._worker.want(wish(service, tag, digest, actor, delivery, commit))
        return f"deployment {deployment.id} of {tag}: {deployment.state}"

    async def newest(self, name: str) -> str | None:
        """The newest tag that a service follows, as the registry has it now."""
        return await self._newest(await self._store.service(name))

    async def tags(self, name: str, patience_s: float = KNOWN_TAGS_PATIENCE_S) -> list[str]:
        """Tags of a service's image, for people who choose, at most `KNOWN_TAGS_S` old; none when that is slow."""
        return (await self.tags_with_age(name, patience_s))[0]

    async def tags_with_age(self, name: str, patience_s: float = KNOWN_TAGS_PATIENCE_S) -> tuple[list[str], float]:
        """As `tags`; and how many seconds ago they were read, infinity for never."""
        image = (await self._store.service(name)).configuration.image
        at, known = self._known_tags.get(image, (-math.inf, []))
        if (age := time.monotonic() - at) < KNOWN_TAGS_S:
            return known, age
        try:
            async with asyncio.timeout(patience_s):
                known = await self._registry.tags(image)
        except (TimeoutError, RegistryError):
            return known, age
        self._known_tags[image] = (time.monotonic(), known)
        return known, 0.0

    async def digest_of(self, name: str, tag: str) -> str:
        """Which image a tag is now."""
        service = await self._store.service(name)
        return (await self._registry.resolve(service.configuration.image, tag)).digest

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._looks.add(task)
        task.add_done_callback(self._looks.discard)

    async def _learn(self, service: Service) -> tuple[str, str]:
        """Tag and digest of the newest, which people are shown from now on; empty when none is followed."""
        tag = await self._newest(service)
        if not tag:
            return "", ""
        digest = (await self._registry.resolve(service.configuration.image, tag)).digest
        await self._store.found_newest(service.name, tag, digest)
        return tag, digest

    async def _learn_quietly(self, name: str) -> None:
        self._to_learn.discard(name)  # what is pushed from now on is worth another look
        try:
            await self._learn(await self._store.service(name))
        except O8Error as trouble:  # the next look at everything finds it
            _log.info("%s: what is newest is not known: %s", name, trouble)

    async def _newest(self, service: Service) -> str | None:
        follow, image = service.configuration.follow, service.configuration.image
        if follow.policy == "tag":
            return follow.tag
        found = await self._registry.tags(image)
        if follow.policy == "regex":
            return await self._newest_push(image, [tag for tag in found if tags.follows(follow, tag)])
        return tags.newest(follow, found)

    async def _newest_push(self, image: str, matching: list[str]) -> str | None:
        """A registry keeps no time of a push; the image's own creation time comes closest."""
        dated = []
        for tag in matching[-RECENT:]:
            digest = (await self._registry.resolve(image, tag)).digest
            if created := await self._registry.created(image, digest):
                dated.append((created, tag))
        return max(dated)[1] if dated else (matching[-1] if matching else None)

    async def _look_for(self, delivery: Delivery) -> None:
        failure = ""
        for name in delivery.accepted:
            try:
                outcome = await self.look(name, actor=f"delivery:{delivery.id}", delivery=delivery.id)
                _log.info("%s: %s", name, outcome)
            except NotFound:  # the service, or the tag, is gone: nothing to do for this one
                continue
            except RegistryError as trouble:
                failure = f"{name}: {trouble}"
        await self._store.processed(delivery.id, failure=failure)


async def why_not(store: Store, service: Service, tag: str, digest: str) -> str:
    """Why an automatic deployment of `tag` would be pointless, as a sentence; empty when it is wanted."""
    newest = await store.deployments(service.name, limit=1)
    # What waits for approval may be older than a restart.
    known = {d.id: d for d in (*newest, *await store.pending()) if d.service == service.name}.values()
    for one in known:
        # Once hold, lock or stop are lifted, what they kept back is wanted again.
        is_there = not one.state.is_ending or (one.state is State.HELD and keeps_back(service))
        if is_there and one.tag == tag and digest in (one.digest, ""):
            return f"{tag} is {one.state} already, as deployment {one.id}"
    live = await store.deployment(service.live) if service.live else None
    under_way = next((d for d in known if not d.state.is_ending and d.tag), None)
    failed = await store.failed_attempts(service.name)
    follow = service.configuration.follow
    if under_way and under_way.tag != tag and not tags.is_newer(follow, tag, under_way.tag):
        return f"{tag} is not newer than {under_way.tag}, which is {under_way.state}"
    return tags.decide(follow, tag, digest, live.tag if live else "", live.digest if live else "", failed)


def wish(service: Service, tag: str, digest: str, actor: str, delivery: str, commit: str = "",
         repository: str = "", pusher: str = "") -> Wanted:  # fmt: skip
    """The automatic deployment that a delivery or the poller asks for; only a delivery knows what it is of."""
    return Wanted(
        service=service.name, kind=Kind.DEPLOY, actor=actor, tag=tag, digest=digest, commit=commit,
        repository=repository, pusher=pusher, delivery=delivery,
        is_automatic=True, needs_approval=service.configuration.follow.auto_deploy == "approve",
    )  # fmt: skip
