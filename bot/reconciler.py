"""What should be against what is: at start, on the engine's changes, on a timer.

What should be is in the database: for each service the live deployment, its slot, its site. A service that is being
deployed is left to its deployment. Repairs that need new replicas are ordinary deployments with the actor `o8`.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta

from bot.engines import Engine, Replica
from bot.errors import Conflict, O8Error
from bot.models import Deployment, Kind, Service, State, Wanted, other
from bot.nginx import Nginx
from bot.run import wait_for
from bot.store import Store
from bot.traffic import Traffic
from bot.worker import Worker

INTERVAL_S = 60.0
NGINX_INTERVAL_S = 2.0
SETTLING_S = 0.5  # changes come in bursts: die, stop, destroy
REPAIR_PAUSE = timedelta(minutes=10)  # after a repair that failed
REPAIRER = "o8"
_IDLE = ("created", "exited", "dead")  # a replica that does not run has no address
_log = logging.getLogger(__name__)


class Reconciler:
    def __init__(self, store: Store, engine: Engine, nginx: Nginx, traffic: Traffic, worker: Worker) -> None:
        self._store = store
        self._engine = engine
        self._nginx = nginx
        self._traffic = traffic
        self._worker = worker
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Endless: everything on a timer and soon after the engine reports a change, nginx's life more often."""
        async with asyncio.TaskGroup() as parts:
            for work in (self._look(), self._listen(), self._attend_nginx()):
                parts.create_task(work)

    async def reconcile(self) -> None:
        """One look at everything. What cannot be repaired now is logged and met again at the next look."""
        try:
            replicas = await self._engine.observe()
            services = await self._store.services()
        except O8Error as trouble:
            _log.warning("Cannot compare what runs with what should: %s", trouble)
            return
        for service in services:
            if not self._worker.is_busy(service.name):
                try:
                    async with self._worker.turn(service.name):
                        await self._reconcile(service.name)
                except Conflict:
                    continue  # a deployment has begun: it sees to its service
                except O8Error as trouble:
                    _log.warning("%s: not as it should be, and cannot be repaired now: %s", service.name, trouble)
        known = {service.name for service in services}
        for name, slot in {(r.service, r.slot) for r in replicas if r.service not in known}:
            _log.warning("%s: removing replicas in slot %s of a service that was removed", name, slot)
            await self._quietly_clear(name, slot)

    def notice(self) -> None:
        """Something else has changed: everything is looked at soon."""
        self._changed.set()

    async def _look(self) -> None:
        while True:
            await self.reconcile()
            if await wait_for(self._changed, INTERVAL_S):
                await asyncio.sleep(SETTLING_S)
            self._changed.clear()

    async def _attend_nginx(self) -> None:
        """All sites are down together with nginx, and no engine reports it."""
        while True:
            await asyncio.sleep(NGINX_INTERVAL_S)
            try:
                if await self._nginx.revive():
                    _log.warning("nginx had died and was started again")
            except O8Error as trouble:
                _log.warning("nginx has died and does not start: %s", trouble)

    async def _listen(self) -> None:
        async for change in self._engine.changes():
            if change.what not in ("start", "create", "exec_create", "exec_start"):
                self._changed.set()

    async def _reconcile(self, name: str) -> None:
        if any(d.service == name and d.state is not State.QUEUED for d in await self._store.unfinished()):
            return  # what a killed o8 left: the worker goes on with it, and it knows which slot is whose
        service = await self._store.service(name)
        replicas = await self._engine.observe(name)
        live = await self._store.deployment(service.live) if service.live else None
        if live is None or live.slot is None:
            for slot in {r.slot for r in replicas}:
                await self._engine.clear(name, slot)
            return
        here, spare = ([r for r in replicas if (r.slot == live.slot) is is_here] for is_here in (True, False))
        if self._serves_something_else(service, live, here, spare):
            await self._repair(live, "visitors get what was deployed after the backup that was restored")
            return
        await self._correct_site(service, live)
        await self._correct_spare(service, live, spare)
        await self._correct_live(service, live, here)

    def _serves_something_else(
        self, service: Service, live: Deployment, here: list[Replica], spare: list[Replica]
    ) -> bool:
        """A backup was restored beside what came later: that goes on until the release of then is healthy. Set back at
        once, the flag would name a slot where nothing of it runs."""
        runs = _is_whole(live, here) and all(r.state == "running" for r in here)
        return (
            not service.is_stopped and not runs and self._nginx.serving(service.name) != live.slot
            and any(r.state == "running" for r in spare)
        )  # fmt: skip

    async def _correct_site(self, service: Service, live: Deployment) -> None:
        if live.slot is None:
            return
        previous = await self._store.deployment(live.previous) if live.previous else None
        text = self._traffic.site(service.block, live, live.slot, previous)
        if await self._nginx.publish(service.name, text):
            _log.warning("%s: its nginx site was written again", service.name)
        if self._nginx.serving(service.name) != live.slot:
            _log.warning("%s: nginx served slot %s, is set back to %s", service.name, other(live.slot), live.slot)
            await self._nginx.point(service.name, live.slot)
        await self._nginx.maintenance(service.name, service.is_stopped)

    async def _correct_spare(self, service: Service, live: Deployment, replicas: list[Replica]) -> None:
        """The other slot holds the release before, stopped; anything else there goes."""
        if not replicas:
            return
        slot = replicas[0].slot
        kept = {release.id for release in await self._store.releases(service.name)}
        if any(replica.deployment not in kept for replica in replicas):
            await self._engine.clear(service.name, slot)
        elif any(replica.state in ("running", "restarting", "paused") for replica in replicas):
            await self._engine.settle(service.name, slot, "no")
            await self._engine.stop(service.name, slot, live.configuration.stop_timeout)

    async def _correct_live(self, service: Service, live: Deployment, replicas: list[Replica]) -> None:
        if service.is_stopped or live.slot is None:
            return
        is_whole = _is_whole(live, replicas)
        idle = [r for r in replicas if r.state in _IDLE]
        if is_whole and not idle:
            return
        if is_whole and live.configuration.restart in ("no", "on-failure") and all(r.state == "exited" for r in idle):
            return  # its owner wants it to stay down
        if is_whole:
            _log.warning("%s: starting %s again", service.name, ", ".join(r.name for r in idle))
            await self._engine.settle(service.name, live.slot, live.configuration.restart)
            await self._engine.resume(service.name, live.slot)
        else:
            await self._repair(live, "replicas were missing or at another address")

    async def _repair(self, live: Deployment, reason: str) -> None:
        if await self._may_repair(live.service):
            _log.warning("%s: %s; making those of %s again", live.service, reason, live.release)
            await self._worker.want(
                Wanted(service=live.service, kind=Kind.RESTART, actor=REPAIRER, is_repair=True, reason=reason)
            )

    async def _may_repair(self, service: str) -> bool:
        """Not at once again after a repair that failed."""
        last = await self._store.deployments(service, limit=1)
        if not last or last[0].actor != REPAIRER or last[0].state is State.SUCCEEDED:
            return True
        return last[0].finished_at is not None and datetime.now(UTC) - last[0].finished_at > REPAIR_PAUSE

    async def _quietly_clear(self, service: str, slot: str) -> None:
        try:
            await self._engine.clear(service, "a" if slot == "a" else "b")
        except O8Error as trouble:
            _log.warning("%s: %s", service, trouble)


def _is_whole(live: Deployment, replicas: list[Replica]) -> bool:
    """As many as there should be, all of the live release, each with its address unless it does not run."""
    return len(replicas) == live.configuration.replicas and all(
        replica.deployment in (live.id, live.target) and (replica.address or replica.state in _IDLE)
        for replica in replicas
    )
