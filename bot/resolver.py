"""From what was wanted to one image digest. Tags are looked up when it runs, never trusted from a delivery."""

from __future__ import annotations

import re
from typing import Any

from bot import tags
from bot.errors import ImageNotFound, RegistryError
from bot.models import Deployment, Kind, State
from bot.registry import DELAYS_S, Registry, resolve_patiently
from bot.run import Ended, Run

PERSONS_TRIES = 3  # 12 seconds
# https://specs.opencontainers.org/image-spec/annotations/
_REPOSITORY = re.compile(
    r"https://github\.com/([A-Za-z0-9-]{1,39}/(?=\.*[A-Za-z0-9_-])[A-Za-z0-9._-]{1,100}?)(?:\.git)?/?"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")


class Resolver:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def resolve(self, run: Run) -> dict[str, Any]:
        """`tag` and `digest` to deploy. Raises `Ended` when that is what runs already; `RegistryError`s."""
        deployment = run.deployment
        if deployment.kind is Kind.ROLLBACK:
            return {"tag": deployment.tag, "digest": deployment.digest}  # known, and perhaps gone from the registry
        if _is_same_image(deployment, run.live):
            live: Deployment = run.live  # type: ignore[assignment]
            found = {"tag": live.tag, "digest": live.digest, "commit": live.commit, "repository": live.repository}
        elif deployment.digest and not deployment.tag:
            origin = await run.unless_cancelled(self._origin(deployment.image, deployment.digest))
            found = {"tag": "", "digest": deployment.digest, **origin}
        else:
            found = await run.unless_cancelled(self._look_up(deployment))
        _stop_if_pointless(run, found)
        return found

    async def _look_up(self, deployment: Deployment) -> dict[str, Any]:
        image, follow = deployment.image, deployment.configuration.follow
        tag = deployment.tag or tags.newest(follow, await self._registry.tags(image))
        if not tag:
            raise ImageNotFound(
                f"{image} has no tag that policy {follow.policy!r} of {deployment.service} follows.",
                "Push one, name one (`o8 deploy SERVICE TAG`), or change `[follow]`.",
            )
        # A delivery may be faster than the registry; a person has looked, or has mistyped it, and waits for the answer.
        delays = DELAYS_S if deployment.is_automatic else DELAYS_S[:PERSONS_TRIES]
        resolved = await resolve_patiently(self._registry, image, tag, delays=delays)
        origin = await self._origin(image, resolved.digest)
        return {"tag": tag, "digest": resolved.digest, "bytes": resolved.size, **origin}

    async def _origin(self, image: str, digest: str) -> dict[str, str]:
        """Commit and repository at GitHub, where the image says so. It is known well enough without."""
        try:
            labels = (await self._registry.about(image, digest)).labels
        except RegistryError:
            return {}
        source = _REPOSITORY.fullmatch(labels.get("org.opencontainers.image.source", ""))
        commit = labels.get("org.opencontainers.image.revision", "")
        found = {"repository": source[1] if source else "", "commit": commit if _COMMIT.fullmatch(commit) else ""}
        return {key: value for key, value in found.items() if value}


def _is_same_image(deployment: Deployment, live: Deployment | None) -> bool:
    """Restart, start and new configuration keep the live image unless another one was named."""
    keeps = deployment.kind in (Kind.RESTART, Kind.START, Kind.CONFIGURE) and not deployment.tag
    return keeps and live is not None and live.image == deployment.image


def _stop_if_pointless(run: Run, found: dict[str, Any]) -> None:
    deployment, live = run.deployment, run.live
    if live is None or deployment.kind not in (Kind.DEPLOY, Kind.CONFIGURE):
        return
    wanted = deployment.model_copy(update={"digest": found["digest"]})
    if wanted.identity == live.identity and not run.service.is_stopped:
        raise Ended(State.UNCHANGED, f"{live.release} with this configuration is live already.")
    follow, tag = deployment.configuration.follow, found["tag"]
    if deployment.is_automatic and tag != live.tag and live.tag and not tags.is_newer(follow, tag, live.tag):
        raise Ended(State.SUPERSEDED, f"{live.release} is live by now and {tag} is not newer.")
