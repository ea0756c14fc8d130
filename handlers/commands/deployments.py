"""Deploy, roll back, restart, start; approve, reject and cancel what was asked for."""

from __future__ import annotations

import re
from typing import Any

from bot.errors import Conflict, Forbidden, InvalidInput
from bot.models import Deployment, Kind, Service, State, Wanted
from bot.operations import release_named
from bot.permissions import Action
from handlers.commands.guard import Actor, checks_itself, needs, needs_globally

_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class DeploymentCommands(Actor):
    @needs(Action.DEPLOY)
    async def deploy(self, service: str, release: str = "", *, bypass: bool = False, reason: str = "") -> Deployment:
        """Deploys a tag or digest; without one, the newest tag that the policy follows.

        Where pushes wait for approval (`auto_deploy = "approve"`) this does too, unless somebody who may manage the
        service says `bypass`.
        """
        if bypass:
            await self._require(Action.MANAGE, service)
        named = _named(release)
        found = await self._store.service(service)
        waits = found.configuration.follow.auto_deploy == "approve" and not bypass
        return await self._want(self._wanted(service, Kind.DEPLOY, reason=reason, needs_approval=waits, **named))

    @checks_itself(Action.ADD_NEW_SERVICE)
    async def first_deployment(self, service: str, release: str = "") -> Deployment:
        """Deploys a service that never was: whoever may add services may see theirs run."""
        await self._require(Action.ADD_NEW_SERVICE)
        if (await self._store.service(service)).live is not None:
            raise Conflict(f"{service} runs already.", f"`o8 deploy {service}` deploys its newest tag.")
        return await self._want(self._wanted(service, Kind.DEPLOY, **_named(release)))

    @needs(Action.DEPLOY)
    async def rollback(self, service: str, release: str = "", *, reason: str = "") -> Deployment:
        """Returns to an earlier release, with its configuration and environment, and sets a hold."""
        target = await self.rollback_target(service, release)
        return await self._want(self._wanted(service, Kind.ROLLBACK, target=target.id, reason=reason))

    @needs(Action.DEPLOY)
    async def restart(self, service: str, *, reason: str = "") -> Deployment:
        """Replaces the containers by new ones of the same release, without losing a request."""
        await self._require_live(service)
        return await self._want(self._wanted(service, Kind.RESTART, reason=reason))

    @needs(Action.MANAGE)
    async def start(self, service: str) -> Deployment:
        """Starts a stopped service again, with the configuration of now."""
        if not (await self._require_live(service)).is_stopped:
            raise Conflict(f"{service} is not stopped.", f"`o8 restart {service}` replaces its containers.")
        return await self._want(self._wanted(service, Kind.START))

    @needs(Action.DEPLOY)
    async def cancel(self, deployment: int) -> Deployment:
        """Cancels a deployment that has not switched yet."""
        cancelled = await self._worker.cancel(deployment, f"Cancelled by {await self._name()}.")
        await self._record("cancel", cancelled.service, {"deployment": deployment})
        return cancelled

    @needs(Action.DEPLOY)
    async def approve(self, deployment: int) -> Deployment:
        """Lets a deployment run that waits for approval; never one's own."""
        await self._refuse_own(deployment)
        approved = await self._worker.approve(deployment, by=self._actor)
        await self._record("approve", approved.service, {"deployment": deployment})
        return approved

    @needs(Action.DEPLOY)
    async def reject(self, deployment: int, reason: str) -> Deployment:
        """Ends a deployment that waits for approval; never one's own, which can be cancelled."""
        await self._refuse_own(deployment)
        found = await self._store.deployment(deployment)
        if found.state is not State.WAITING:
            raise Conflict(f"Deployment {deployment} does not wait for approval: it is {found.state}.")
        why = f"Rejected by {await self._name()}: {stated(reason)}"
        rejected = await self._worker.cancel(deployment, why)
        await self._record("reject", rejected.service, {"deployment": deployment, "reason": reason})
        return rejected

    @needs_globally(Action.DEPLOY)
    async def run_again(self, delivery: str) -> dict[str, str]:
        """Looks again for what a delivery brought; what came of it, by service."""
        found = await self._store.delivery(delivery)
        services = await self._store.services_of_image(found.image) if found.image else ()
        if not services:
            raise Conflict(f"No service uses what delivery {delivery!r:.80} is about.", "`o8 service apply` adds one.")
        follower = self._services.follower
        outcomes = {s.name: await follower.look(s.name, actor=self._actor, delivery=found.id) for s in services}
        await self._record("run again", delivery, {"outcomes": outcomes})
        return outcomes

    @needs(Action.VIEW_STATUS)
    async def rollback_target(self, service: str, release: str = "") -> Deployment:
        """The release that a rollback would return to."""
        found = await self._require_live(service)
        live = await self._store.deployment(found.live or 0)
        releases = await self._store.releases(service)
        others = tuple(r for r in releases if r.identity != live.identity)
        if release:
            target = release_named(releases, release, service)
            if target not in others:
                raise Conflict(f"{target.release} is live already.", f"`o8 restart {service}` renews it.")
            return target
        base = live.target or live.id
        earlier = next((r for r in others if r.id < base), None)
        if earlier is None:
            raise Conflict(f"{service} has no earlier release.", "`o8 deployments` shows its history.")
        return earlier

    async def _refuse_own(self, deployment: int) -> None:
        found = await self._store.deployment(deployment)
        if await self._services.authority.is_same_person(found.actor, self._actor):
            raise Forbidden(
                f"Deployment {deployment} is your own; somebody else has to decide about it.",
                f"`o8 cancel {deployment}` takes it back.", action=Action.DEPLOY,
            )  # fmt: skip

    async def _require_live(self, service: str) -> Service:
        found = await self._store.service(service)
        if found.live is None:
            raise Conflict(f"{service} has never been deployed.", f"`o8 deploy {service}` deploys the newest tag.")
        return found

    async def _name(self) -> str:
        return (await self._services.authority.who(self._actor)).username

    def _wanted(self, service: str, kind: Kind, **more: Any) -> Wanted:
        return Wanted(service=service, kind=kind, actor=self._actor, **more)

    async def _want(self, wanted: Wanted) -> Deployment:
        deployment = await self._worker.want(wanted)
        detail = {"deployment": deployment.id, "release": deployment.release} | (
            {"reason": wanted.reason} if wanted.reason else {}
        )
        await self._record(wanted.kind, wanted.service, detail)
        return deployment


def _named(release: str) -> dict[str, str]:
    """What `release` is; raises `InvalidInput` when it can be neither a tag nor a digest."""
    if _DIGEST.fullmatch(release):
        return {"digest": release}
    if release and not _TAG.fullmatch(release):
        raise InvalidInput(f"{release!r:.140} is neither a tag nor a digest.", "Such as `0005`.")
    return {"tag": release}


def stated(reason: str) -> str:
    """A reason as it is kept; raises `InvalidInput` without one."""
    reason = reason.strip()
    if not reason or len(reason) > 500:
        raise InvalidInput("A reason of 1 to 500 characters is needed.", "Say it after `--`, or with --reason.")
    return reason
