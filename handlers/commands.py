"""The ChatOps verbs: what people can ask of o8, whatever they ask it with. Knows no Slack, no aiohttp, no terminal.

To add one: a method here; its docstring is its help. Every write is recorded in the audit with its actor.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.configuration import Configuration, read
from bot.errors import Conflict, InvalidInput
from bot.models import Deployment, Hold, Kind, Lock, Service, Wanted
from bot.operations import Applied, release_named
from bot.services import Services

LONGEST_LOCK = timedelta(days=30)
DEFAULT_LOCK = timedelta(hours=4)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Commands:
    """The verbs for one actor, such as `cli:root` or `slack:T1:U1`."""

    def __init__(self, services: Services, actor: str) -> None:
        self._services = services
        self._store = services.store
        self._worker = services.worker
        self._actor = actor

    async def apply(self, configuration: Configuration) -> Applied:
        """Adds a service, or changes its configuration and deploys the change."""
        applied = await self._services.operations.apply(configuration, self._actor)
        await self._record("apply", configuration.name, configuration.model_dump(mode="json"))
        return applied

    async def remove(self, service: str) -> None:
        """Removes a service from nginx and Docker; volumes and history stay."""
        await self._services.operations.remove(service)
        await self._record("remove", service)

    async def deploy(self, service: str, release: str = "") -> Deployment:
        """Deploys a tag or digest; without one, the newest tag that the policy follows."""
        part = "digest" if _DIGEST.fullmatch(release) else "tag"
        if release and part == "tag" and not _TAG.fullmatch(release):
            raise InvalidInput(f"{release!r:.140} is neither a tag nor a digest.", "Such as `0005`.")
        return await self._want(self._wanted(service, Kind.DEPLOY, **{part: release}))

    async def rollback(self, service: str, release: str = "") -> Deployment:
        """Returns to an earlier release, with its configuration and environment, and sets a hold."""
        found = await self._store.service(service)
        if found.live is None:
            raise Conflict(f"{service} has never been deployed.", f"`o8 deploy {service}` deploys the newest tag.")
        live = await self._store.deployment(found.live)
        target = await self._rollback_target(live, release)
        return await self._want(self._wanted(service, Kind.ROLLBACK, target=target.id))

    async def restart(self, service: str) -> Deployment:
        """Replaces the containers by new ones of the same release, without losing a request."""
        await self._require_live(service)
        return await self._want(self._wanted(service, Kind.RESTART))

    async def stop(self, service: str) -> Service:
        """Stops a service; its site shows the maintenance page."""
        await self._services.operations.stop(service)
        await self._record("stop", service)
        return await self._store.service(service)

    async def start(self, service: str) -> Deployment:
        """Starts a stopped service again, with the configuration of now."""
        if not (await self._require_live(service)).is_stopped:
            raise Conflict(f"{service} is not stopped.", f"`o8 restart {service}` replaces its containers.")
        return await self._want(self._wanted(service, Kind.START))

    async def scale(self, service: str, replicas: int) -> Applied:
        """Changes how many replicas run."""
        found = await self._store.service(service)
        values = found.configuration.model_dump() | {"replicas": replicas}
        return await self.apply(read(values))

    async def cancel(self, deployment: int) -> Deployment:
        """Cancels a deployment that has not switched yet; rejects one that waits for approval."""
        cancelled = await self._worker.cancel(deployment, f"Cancelled by {self._actor}.")
        await self._record("cancel", cancelled.service, {"deployment": deployment})
        return cancelled

    async def approve(self, deployment: int) -> Deployment:
        """Lets a deployment run that waits for approval."""
        approved = await self._worker.approve(deployment)
        await self._record("approve", approved.service, {"deployment": deployment})
        return approved

    async def hold(self, service: str, reason: str) -> Service:
        """Automatic deployments are recorded but not run, until `resume`."""
        hold = Hold(reason=_reason(reason), actor=self._actor, since=datetime.now(UTC))
        await self._store.set_hold(service, hold)
        await self._record("hold", service, {"reason": reason})
        return await self._store.service(service)

    async def resume(self, service: str) -> str:
        """Lifts a hold and looks for the newest tag at once; returns what came of it."""
        await self._store.set_hold(service, None)
        await self._record("resume", service)
        return await self._services.follower.look(service, actor=self._actor)

    async def lock(self, service: str, reason: str, duration: timedelta = DEFAULT_LOCK) -> Service:
        """Nobody deploys until the lock is lifted or expires."""
        found = await self._store.service(service)
        now = datetime.now(UTC)
        if not timedelta(minutes=1) <= duration <= LONGEST_LOCK:
            raise InvalidInput(f"A lock lasts from one minute to {LONGEST_LOCK.days} days.", "Such as `--for 2h`.")
        if found.lock and found.lock.until > now:
            raise Conflict(
                f"{service} is locked by {found.lock.actor} until {found.lock.until:%Y-%m-%d %H:%M} UTC: "
                f"{found.lock.reason}.",
                f"`o8 unlock {service}` lifts it.",
            )
        lock = Lock(reason=_reason(reason), actor=self._actor, since=now, until=now + duration)
        await self._store.set_lock(service, lock)
        await self._record("lock", service, {"reason": reason, "until": lock.until.isoformat()})
        return await self._store.service(service)

    async def unlock(self, service: str) -> Service:
        """Lifts a lock."""
        if (await self._store.service(service)).lock is None:
            raise Conflict(f"{service} is not locked.")
        await self._store.set_lock(service, None)
        await self._record("unlock", service)
        return await self._store.service(service)

    async def set_environment(self, service: str, values: dict[str, str]) -> Deployment | None:
        """Sets environment values and deploys them."""
        deployment = await self._services.operations.set_environment(service, values, self._actor)
        await self._record("env set", service, {"names": sorted(values)})
        return deployment

    async def unset_environment(self, service: str, names: list[str]) -> Deployment | None:
        """Removes environment values and deploys that."""
        deployment = await self._services.operations.unset_environment(service, names, self._actor)
        await self._record("env unset", service, {"names": sorted(names)})
        return deployment

    async def change_environment(self, service: str, values: dict[str, str], removed: list[str]) -> Deployment | None:
        """Sets and removes environment values and deploys that, all of it or nothing."""
        deployment = await self._services.operations.change_environment(service, values, removed, self._actor)
        await self._record("env change", service, {"set": sorted(values), "unset": sorted(removed)})
        return deployment

    async def read_environment(self, service: str) -> str:
        """The `.env` text with its values; recorded, as it shows secrets."""
        text = await self._services.operations.environment(service)
        await self._record("env read", service)
        return text

    async def write_environment(self, service: str, text: str) -> Deployment | None:
        """Replaces the whole `.env` text, kept as written, and deploys it."""
        deployment = await self._services.operations.write_environment(service, text, self._actor)
        await self._record("env write", service)
        return deployment

    async def _rollback_target(self, live: Deployment, release: str) -> Deployment:
        releases = await self._store.releases(live.service)
        others = tuple(r for r in releases if r.identity != live.identity)
        if release:
            target = release_named(releases, release, live.service)
            if target not in others:
                raise Conflict(f"{target.release} is live already.", f"`o8 restart {live.service}` renews it.")
            return target
        base = live.target or live.id
        earlier = next((r for r in others if r.id < base), None)
        if earlier is None:
            raise Conflict(f"{live.service} has no earlier release.", "`o8 deployments` shows its history.")
        return earlier

    async def _require_live(self, service: str) -> Service:
        found = await self._store.service(service)
        if found.live is None:
            raise Conflict(f"{service} has never been deployed.", f"`o8 deploy {service}` deploys the newest tag.")
        return found

    def _wanted(self, service: str, kind: Kind, **more: Any) -> Wanted:
        return Wanted(service=service, kind=kind, actor=self._actor, **more)

    async def _want(self, wanted: Wanted) -> Deployment:
        deployment = await self._worker.want(wanted)
        await self._record(wanted.kind, wanted.service, {"deployment": deployment.id, "release": deployment.release})
        return deployment

    async def _record(self, action: str, subject: str, detail: dict[str, Any] | None = None) -> None:
        await self._store.record(self._actor, action, subject, detail or {})


def _reason(text: str) -> str:
    text = text.strip()
    if not text or len(text) > 500:
        raise InvalidInput("A reason of 1 to 500 characters is needed.", "Say it after `--`, or with --reason.")
    return text
