"""Takes genuine deliveries: decides which services each one is for, and commits all of it before GitHub hears 202."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from bot import tags
from bot.chat import service_name
from bot.follower import Follower, why_not, wish
from bot.models import Delivery, Wanted
from bot.packages.arrivals import Arrivals
from bot.store import Store
from bot.store.connection import now
from bot.store.deployments import keeps_back
from bot.webhooks import PackageEvent, Verdict
from bot.worker import Worker


class Weighed(NamedTuple):
    """What a push means for the services of its image: deployments, names to look for, and why others do nothing.

    `unlearned`: where a push is not deployed by itself; that there is one is shown all the same.
    """

    wanted: list[Wanted]
    lookups: list[str]
    unlearned: list[str]
    refused: list[str]


class Inbox:
    def __init__(self, store: Store, worker: Worker, follower: Follower, arrivals: Arrivals) -> None:
        self._store = store
        self._worker = worker
        self._follower = follower
        self.arrivals = arrivals
        self.refused = 0

    def refuse(self) -> None:
        """Notes one that is not genuine, in memory: who may write nothing makes no disk busy."""
        self.refused += 1

    async def receive(
        self, *, delivery: str, event: str, body: bytes, package: PackageEvent | None, ignored: str
    ) -> Verdict:
        """Stores a delivery with its verdict and what it asks for; raises `StoreUnavailable` when it is not on disk.

        `ignored` says why the delivery is of no use; otherwise `package` is what it announces.
        """
        found = await self._weigh(package, delivery) if package else Weighed([], [], [], [])
        wanted, lookups, unlearned, refused = found
        accepted = tuple(w.service for w in wanted) + tuple(lookups)
        unused = package if package and not accepted and not refused else None
        reasons = [ignored] if ignored else [f"no service uses {unused.image}"] if unused else refused
        row = Delivery.model_validate({
            "id": delivery, "event": event, "received_at": now(), "body_digest": hashlib.sha256(body).hexdigest(),
            "verdict": "accepted" if accepted else "ignored", "accepted": accepted, "ignored": tuple(reasons),
            "image": package.image if package else "", "tag": package.tag if package else "",
            "processed_at": None if lookups else now(),
        })  # fmt: skip
        new = service_name(unused.image) if unused and self.arrivals.welcomes(unused.image) else ""
        taken = await self._store.receive(row, body, tuple(wanted), unused, new, package)
        if taken is None:
            return Verdict("duplicate", (), ())
        if unused:
            await self._has_come(unused, taken)
        for each in wanted:
            self._worker.notice(each.service)
        for name in set(unlearned) - set(lookups):
            self._follower.learn_soon(name)
        if lookups:
            self._follower.look_soon(row.model_copy(update={"accepted": tuple(lookups)}))
        return Verdict(taken.verdict if taken.verdict != "failed" else "ignored", taken.accepted, taken.ignored)

    async def _weigh(self, package: PackageEvent, delivery: str) -> Weighed:
        found = Weighed([], [], [], [])
        for service in await self._store.services_of_image(package.image):
            follow = service.configuration.follow
            if follow.auto_deploy != "on" or keeps_back(service):
                found.unlearned.append(service.name)
            # One push with several tags sends one event that names one of them, often not the release.
            if not tags.follows(follow, package.tag) and follow.auto_deploy != "off":
                found.lookups.append(service.name)
            elif why := await why_not(self._store, service, package.tag, package.digest):
                found.refused.append(f"{service.name}: {why}")
            else:
                actor, origin = f"delivery:{delivery}", (package.commit, package.repository, package.pusher)
                found.wanted.append(wish(service, package.tag, package.digest, actor, delivery, *origin))
        return found

    async def _has_come(self, package: PackageEvent, delivery: Delivery) -> None:
        """After a push that no service used: by now one may, installed since that was asked."""
        if names := tuple(service.name for service in await self._store.services_of_image(package.image)):
            self._follower.look_soon(delivery.model_copy(update={"accepted": names}))
        elif delivery.accepted:
            self.arrivals.notice()
