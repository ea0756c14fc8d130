"""When a deployment runs: one at a time per service, a few at a time over all, the newest wish first.

A deployment holds one of the global places up to the switch; draining and watching hold none.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

from bot import environment
from bot.authority import Authority
from bot.deployer import Deployer
from bot.errors import Conflict, O8Error, StoreUnavailable
from bot.models import Deployment, State, Wanted
from bot.run import Run
from bot.store import Store
from bot.vault import Vault

QUEUE_LIMIT_S = 1800.0
_log = logging.getLogger(__name__)


class Worker:
    """Every entry point ends in `want`. Call `start` once the engine and nginx can be reached."""

    def __init__(self, store: Store, deployer: Deployer, vault: Vault, authority: Authority, places: int) -> None:
        self._store = store
        self._authority = authority
        self._deployer = deployer
        self._vault = vault
        self._places = asyncio.Semaphore(places)
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._lanes: dict[str, asyncio.Task[None]] = {}
        self._runs: dict[str, Run] = {}
        self._woken: set[str] = set()
        self._is_started = False

    async def start(self) -> None:
        """Goes on with what the last o8 left, then takes the queue."""
        self._is_started = True
        for deployment in await self._store.unfinished():
            self._wake(deployment.service)

    async def stop(self) -> None:
        """Leaves running deployments as they are: the next start picks them up, as after a kill."""
        self._is_started = False
        for lane in self._lanes.values():
            lane.cancel()
        await asyncio.gather(*self._lanes.values(), return_exceptions=True)

    async def want(self, wanted: Wanted) -> Deployment:
        """Records a wanted deployment and wakes the service's lane. Raises as `Store.want`."""
        deployment = await self._store.want(wanted)
        if deployment.state is State.QUEUED:
            self._wake(deployment.service)
        return deployment

    def notice(self, service: str) -> None:
        """Something was queued for `service` in the store directly (by a delivery)."""
        self._wake(service)

    async def approve(self, id: int, by: str) -> Deployment:
        """Lets a waiting deployment run; raises `Conflict` when it does not wait."""
        deployment = await self._store.approve(id, by)
        self._wake(deployment.service)
        return deployment

    async def cancel(self, id: int, reason: str) -> Deployment:
        """Cancels what has not switched yet; raises `Conflict` afterwards."""
        if not await self._store.cancel_pending(id, reason):
            run = next((run for run in self._runs.values() if run.deployment.id == id), None)
            if run is None or run.has_switched or not (await self._store.deployment(id)).state.can_be_cancelled:
                state = (await self._store.deployment(id)).state
                raise Conflict(f"Deployment {id} cannot be cancelled: it is {state}.", "`o8 rollback` undoes one.")
            run.cancelled.set()
        return await self._store.deployment(id)

    async def outcome(self, id: int) -> Deployment:
        """Deployment `id` once it serves, has ended or waits for a person's approval."""
        while True:
            seen = await self._store.committed()
            found = await self._store.deployment(id)
            if found.has_ended or found.switched_at or found.state is State.WAITING:
                return found
            await self._store.committed(seen)

    def running(self, service: str) -> Run | None:
        """The deployment at work for `service`, for people who watch it."""
        return self._runs.get(service)

    @asynccontextmanager
    async def turn(self, service: str) -> AsyncIterator[None]:
        """Nothing is deployed to `service` meanwhile; a watch is ended. Raises `Conflict` while one is coming up."""
        run = self._runs.get(service)
        # The database knows of a switch a moment before the run does, and so may whoever asks.
        if run and not run.has_switched and not (await self._store.deployment(run.deployment.id)).switched_at:
            raise Conflict(
                f"Deployment {run.deployment.id} of {service} is running.", f"`o8 cancel {run.deployment.id}` ends it."
            )
        if run:
            run.newer.set()
        async with self._turns[service]:
            yield

    def is_busy(self, service: str) -> bool:
        return self._turns[service].locked()

    def _wake(self, service: str) -> None:
        if run := self._runs.get(service):
            run.newer.set()
        self._woken.add(service)
        if self._is_started and (service not in self._lanes or self._lanes[service].done()):
            self._lanes[service] = asyncio.create_task(self._lane(service), name=f"lane {service}")

    async def _lane(self, service: str) -> None:
        """Works until nothing is left for `service`; a wake during the last look is not lost."""
        while service in self._woken:
            self._woken.discard(service)
            try:
                while await self._has_work(service):
                    await self._next(service)
            except StoreUnavailable as trouble:
                _log.warning("Deployments of %s wait for the database: %s", service, trouble)
                await asyncio.sleep(1)
                self._woken.add(service)

    async def _has_work(self, service: str) -> bool:
        unfinished = await self._store.unfinished()
        return any(deployment.service == service for deployment in unfinished)

    async def _next(self, service: str) -> None:
        """Goes on with an interrupted deployment of `service`, or runs the queued one."""
        try:
            async with asyncio.timeout(QUEUE_LIMIT_S):
                await self._places.acquire()
        except TimeoutError:
            await self._store.expire_queued(service, f"Waited {QUEUE_LIMIT_S / 60:.0f} minutes for a place.")
            return
        place = ExitStack()
        place.callback(self._places.release)
        with place:
            async with self._turns[service]:
                try:
                    run = await self._begin(service)
                    if run is not None:
                        await (self._deployer.pick_up(run) if run.is_interrupted else self._deployer.bring_up(run))
                    place.close()  # the next one may come up; draining and watching hold no place
                    if run is not None and run.has_switched:
                        await self._deployer.settle(run)
                except StoreUnavailable:
                    raise
                except Exception as error:
                    # A fault of o8 itself, or of a value it could not read: recorded, never repeated in a loop.
                    _log.exception("Deployment of %s ended by a fault inside o8", service)
                    await self._give_up(service, error)
                finally:
                    self._runs.pop(service, None)

    async def _begin(self, service: str) -> Run | None:
        """The next deployment with everything it needs; None when it was cancelled or superseded meanwhile."""
        unfinished = [d for d in await self._store.unfinished() if d.service == service]
        interrupted = next((d for d in unfinished if d.state is not State.QUEUED), None)
        found = await self._store.service(service)
        deployment = interrupted or await self._store.claim(service)
        if deployment is None or (interrupted is None and await self._is_refused(deployment)):
            return None
        # Known from the moment it was claimed, so that a cancel never falls between the two.
        run = self._runs[service] = Run(deployment, found, None, is_interrupted=interrupted is not None)
        run.live = await self._store.deployment(deployment.previous) if deployment.previous else None
        run.environment = await read_environment(self._store, self._vault, deployment)
        if any(d.id > deployment.id for d in unfinished):
            run.newer.set()
        return run

    async def _is_refused(self, deployment: Deployment) -> bool:
        """Rights were checked when it was asked for. Those of who asked, or approved, may be gone by now."""
        actor = deployment.approved_by or deployment.actor
        why = await self._authority.may_run(actor, deployment.kind, deployment.service)
        if why:
            await self._store.finish(
                deployment.id, State.CANCELLED, error_code="forbidden", error=why,
                next_step="Somebody who may can ask for it again.",
            )  # fmt: skip
        return bool(why)

    async def _give_up(self, service: str, error: Exception) -> None:
        text = error.message if isinstance(error, O8Error) else f"A fault inside o8: {type(error).__name__}."
        for deployment in await self._store.unfinished():
            if deployment.service == service and deployment.state is not State.QUEUED:
                await self._store.finish(
                    deployment.id, State.NEEDS_ATTENTION, error_code="internal", error=text,
                    next_step="o8's own log has the details; `o8 status` shows what serves.",
                )  # fmt: skip


async def read_environment(store: Store, vault: Vault, deployment: Deployment) -> dict[str, str]:
    """The environment a deployment runs with; raises `Sealed` when it cannot be opened."""
    sealed = await store.environment(deployment.service, deployment.environment_revision)
    row = environment_row(deployment.service, deployment.environment_revision)
    return environment.parse(vault.open(sealed, row)) if sealed else {}


def environment_row(service: str, revision: int) -> str:
    """What a sealed environment is bound to."""
    return f"environment/{service}/{revision}"
