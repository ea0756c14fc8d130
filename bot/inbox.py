"""Takes genuine deliveries: decides which services each one is for, and commits all of it before GitHub hears 202."""

from __future__ import annotations

import hashlib

from bot import tags
from bot.follower import Follower, why_not, wish
from bot.models import Delivery, Wanted
from bot.store import Store
from bot.store.connection import now
from bot.store.deployments import keeps_back
from bot.webhooks import PackageEvent, Verdict
from bot.worker import Worker


class Inbox:
    def __init__(self, store: Store, worker: Worker, follower: Follower) -> None:
        self._store = store
        self._worker = worker
        self._follower = follower
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
        wanted: list[Wanted] = []
        lookups: list[str] = []
        unlearned: list[str] = []  # where a push is not deployed by itself: that there is one is shown all the same
        reasons = [ignored] if ignored else []
        for service in await self._store.services_of_image(package.image) if package else ():
            follow = service.configuration.follow
            if follow.auto_deploy != "on" or keeps_back(service):
                unlearned.append(service.name)
            # One push with several tags sends one event that names one of them, often not the release.
            needs_look = package is not None and not tags.follows(follow, package.tag) and follow.auto_deploy != "off"
            if package is None or needs_look:
                lookups.append(service.name)
            elif why := await why_not(self._store, service, package.tag, package.digest):
                reasons.append(f"{service.name}: {why}")
            else:
                actor = f"delivery:{delivery}"
                wanted.append(wish(service, package.tag, package.digest, actor, delivery, package.commit))
        accepted = tuple(w.service for w in wanted) + tuple(lookups)
        unused = package if package and not accepted and not reasons else None
        if unused:
            reasons.append(f"no service uses {unused.image}")
        row = Delivery.model_validate({
            "id": delivery, "event": event, "received_at": now(), "body_digest": hashlib.sha256(body).hexdigest(),
            "verdict": "accepted" if accepted else "ignored", "accepted": accepted, "ignored": tuple(reasons),
            "image": package.image if package else "", "tag": package.tag if package else "",
            "processed_at": None if lookups else now(),
        })  # fmt: skip
        if await self._store.receive(row, body, tuple(wanted), unused) is None:
            return Verdict("duplicate", (), ())
        for each in wanted:
            self._worker.notice(each.service)
        for name in set(unlearned) - set(lookups):
            self._follower.learn_soon(name)
        if lookups:
            self._follower.look_soon(row.model_copy(update={"accepted": tuple(lookups)}))
        return Verdict(row.verdict if row.verdict != "failed" else "ignored", accepted, row.ignored)
