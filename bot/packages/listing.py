"""What people are shown of images: those that could be installed, and what there is of a service's own.

All of it is at hand: GitHub is never asked meanwhile, and the registry and Docker only for so long.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from bot import tags
from bot.chat import Package, lasting
from bot.engines import Engine
from bot.errors import EngineError, InvalidInput, NotFound
from bot.follower import Follower
from bot.models import Model, Service
from bot.packages.catalogue import Catalogue
from bot.packages.versions import Fact, Known, Version, arranged
from bot.settings import Settings
from bot.store import Store
from bot.store.catalogue import Listed
from bot.webhooks import is_signature

PATIENCE_S = 0.7  # with Docker
NO_TOKEN = "GitHub's packages are not listed: set `GITHUB_PAT`, a classic token with `read:packages`."  # noqa: S105
NO_OWNER = "o8 does not know whose packages to list: set `GITHUB_OWNERS`, such as `acme`."
UNDER_WAY = "o8 is looking at GitHub now, for the first time since it was started."


class Versions(Model):
    """The images of a service, the newest first. `note` says for people where that is from, and how old it is."""

    service: str
    image: str
    source: Literal["github", "registry"]
    looked_at: datetime | None
    note: str
    versions: tuple[Version, ...]

    def page(self, limit: int, before: str = "") -> tuple[tuple[Version, ...], str]:
        """So many of them, and the `before` of the page after it; empty when there is none. Raises `NotFound`."""
        names = [each.reference for each in self.versions]
        if before and before not in names:
            raise NotFound(f"{self.service} has no version {before!r:.140} any more.", "Begin at the first page.")
        start = names.index(before) + 1 if before else 0
        part = self.versions[start : start + limit]
        return part, part[-1].reference if start + limit < len(names) else ""


class Available(Model):
    """What could be installed, the newest push first. `trouble`: why the last look at GitHub failed."""

    packages: tuple[Package, ...]
    looked_at: datetime | None
    trouble: str
    note: str

    def page(self, limit: int, before: str = "") -> tuple[tuple[Package, ...], str]:
        """As of `Versions`; what is pushed meanwhile moves nothing. Raises `InvalidInput`."""
        edge = _read_place(before) if before else None
        rest = [each for each in self.packages if edge is None or _place(each) < edge]
        part = tuple(rest[:limit])
        return part, "{:%Y-%m-%dT%H:%M:%S.%fZ} {}".format(*_place(part[-1])) if len(rest) > limit else ""


class _Source(NamedTuple):
    name: Literal["github", "registry"]
    known: list[Known]
    looked_at: datetime | None
    note: str


class Listing:
    def __init__(
        self, settings: Settings, store: Store, follower: Follower, catalogue: Catalogue, engine: Engine
    ) -> None:
        self._settings = settings
        self._store = store
        self._follower = follower
        self._catalogue = catalogue
        self._engine = engine

    async def available(self) -> Available:
        """Packages that no service uses, from webhooks and from the catalogue; without those that were dismissed."""
        found, known = await self._store.available(), self._catalogue
        return Available(
            packages=found, looked_at=known.looked_at, trouble=known.trouble, note=self._note(is_whole=True)
        )

    async def versions(self, name: str) -> Versions:
        """From the catalogue where it has the image, else from the tags of the registry. Raises `NotFound`."""
        service = await self._store.service(name)
        image = service.configuration.image
        listed = (await self._store.listed(image.split("/")[1])).get(image)
        source = await self._of_catalogue(listed) if listed else None
        if source is None or not source.known:  # listed, but GitHub does not show its versions to this token
            source = await self._of_registry(service, is_listed=listed is not None)
        found, sizes = await self._arranged(service, source), await self._sizes(image)
        note = source.note if sizes is not None else f"{source.note} Docker does not answer: what is here is not known."
        return Versions(
            service=name, image=image, source=source.name, looked_at=source.looked_at, note=note,
            versions=tuple(
                each.model_copy(update={"bytes": sizes[each.digest], "is_here": True}) if each.digest in sizes else each
                for each in found
            ) if sizes else found,
        )  # fmt: skip

    async def _of_catalogue(self, listed: Listed) -> _Source:
        rows = await self._store.listed_versions(listed.image)
        known = [Known(row.tags, row.digest, row.created_at) for row in rows]
        return _Source("github", known, self._catalogue.looked_at or listed.seen_at, self._note(listed.seen_at))

    async def _of_registry(self, service: Service, *, is_listed: bool) -> _Source:
        found, age_s = await self._follower.tags_with_age(service.name)
        in_order = tags.newest_first(service.configuration.follow, (tag for tag in found if not is_signature(tag)))
        looked_at = datetime.now(UTC) - timedelta(seconds=age_s) if age_s < float("inf") else None
        words = "These are the registry's tags; it does not say when they were pushed."
        if looked_at is None:
            words = "The registry does not answer at once; ask again in a moment."
        elif age_s >= 1:
            words += f" Read {lasting(looked_at, datetime.now(UTC))} ago."
        is_githubs = service.configuration.image.split("/")[0] == self._settings.docker_server_address
        if is_githubs:
            words += f" {self._why_not_github(service.configuration.image, is_listed=is_listed)}"
        return _Source("registry", [Known((tag,)) for tag in in_order], looked_at, words)

    async def _arranged(self, service: Service, source: _Source) -> tuple[Version, ...]:
        live = await self._store.deployment(service.live) if service.live else None
        if live and live.image != service.configuration.image:  # its next deployment brings another one
            live = None
        newest = (await self._store.newest_tags()).get(service.name)
        if newest and source.name == "github" and source.looked_at and newest.looked_at < source.looked_at:
            is_known = any(newest.tag in row.tags for row in source.known)
            newest = None if is_known else newest
        return arranged(
            source.known, service.configuration.follow, Fact(live.tag, live.digest) if live else None,
            Fact(newest.tag, newest.digest) if newest else None, is_serving=not service.is_stopped,
            is_in_order=source.name == "github",
        )  # fmt: skip

    async def _sizes(self, image: str) -> dict[str, int] | None:
        """In bytes, of what is on this machine, by digest; None when Docker does not say."""
        digests = sorted(await self._store.images_had(image))
        try:
            async with asyncio.timeout(PATIENCE_S):
                found = await asyncio.gather(*(self._engine.image_size(image, digest) for digest in digests))
        except (TimeoutError, EngineError):
            return None
        return {digest: size for digest, size in zip(digests, found, strict=True) if size is not None}

    def _note(self, read_at: datetime | None = None, *, is_whole: bool = False) -> str:
        """How true the catalogue is, and what to do when it is not. `read_at`: before o8 was started, when so.

        `is_whole`: with why a look failed. That may name packages, which not everybody may know who sees one service.
        """
        known = self._catalogue
        at = known.looked_at or read_at
        shown = f" What is shown was read {lasting(at, datetime.now(UTC))} ago." if at else ""
        if known.trouble:
            why = f": {known.trouble}" if is_whole else "; `o8 available` says why."
            return f"The last look at GitHub failed{why}{shown}"
        if not self._settings.github_pat.get_secret_value():
            return f"{NO_TOKEN}{shown}"
        if not known.looked_at:
            return f"{UNDER_WAY}{shown}"
        return (
            f"GitHub's list was read {lasting(known.looked_at, datetime.now(UTC))} ago."
            if known.seen_owners
            else NO_OWNER
        )

    def _why_not_github(self, image: str, *, is_listed: bool) -> str:
        known, owner = self._catalogue, image.split("/")[1]
        if not self._settings.github_pat.get_secret_value() or not known.looked_at or known.trouble:
            return self._note()
        if is_listed:
            return "GitHub shows this token no version of it that has a tag."
        if owner in {each.lower() for each in known.seen_owners}:
            return f"GitHub lists no {image}."
        if self._settings.owners:
            return f"`GITHUB_OWNERS` does not name {owner}."
        return f"The next look at GitHub is also at {owner}."


def _place(package: Package) -> tuple[datetime, str]:
    """In the order of the list."""
    return (package.pushed_at or package.first_seen).astimezone(UTC), package.image


def _read_place(before: str) -> tuple[datetime, str]:
    time, _, image = before.partition(" ")
    try:
        return datetime.fromisoformat(time).astimezone(UTC), image
    except (ValueError, OverflowError):
        raise InvalidInput(f"{before!r:.140} is not where a page ends.", "Begin at the first page.") from None
