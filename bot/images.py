"""Fetches an image that a person names, without deploying it."""

from __future__ import annotations

import re

from bot.engines import Credentials, Engine, Progress
from bot.errors import InvalidInput
from bot.pruning import Pruner
from bot.registry import Registry

_REFERENCE = re.compile(
    r"(?P<image>[^@]+?)(:(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_NAME = re.compile(r"[a-z0-9.-]+(:[0-9]{1,5})?(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)+")


class Images:
    def __init__(self, registry: Registry, engine: Engine, pruner: Pruner, credentials: Credentials) -> None:
        self._registry = registry
        self._engine = engine
        self._pruner = pruner
        self._credentials = credentials

    async def pull(self, reference: str, progress: Progress) -> str:
        """The digest of what `reference` names, which is on this machine then. `progress` is called in the event loop.

        Raises `InvalidInput`, the `RegistryError`s, `PullFailed`, `DiskFull`.
        """
        image, tag, digest = split(reference)
        digest = digest or (await self._registry.resolve(image, tag)).digest
        await self._pruner.pull(image, digest, "", self._credentials, progress, lambda: False)
        return digest

    async def of_strangers(self) -> dict[str, str]:
        """Image of each container on this machine that is not o8's, by the container's name."""
        return await self._engine.foreign_images()


def split(reference: str) -> tuple[str, str, str]:
    """Image, tag and digest of a reference such as `ghcr.io/acme/web:0005`; a tag or a digest must be there.

    Raises `InvalidInput`. An empty tag is never read as `latest`.
    """
    found = _REFERENCE.fullmatch(reference)
    if not found or not _NAME.fullmatch(found["image"]) or len(found["image"]) > 255:
        raise InvalidInput(f"{reference!r:.140} is no image.", "Such as `ghcr.io/acme/web:0005`, in lower case.")
    if not (found["tag"] or found["digest"]):
        raise InvalidInput(f"{reference!r:.140} names no tag.", f"Such as `{reference:.100}:0005`.")
    return found["image"], found["tag"] or "", found["digest"] or ""
