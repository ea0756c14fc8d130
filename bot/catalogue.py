"""What an owner has at GitHub, read in the background: nobody who looks waits for GitHub.

An unchanged catalogue costs no counted request: pages are asked for by their etag, and the versions of a package only
when its entry in the list has changed.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime

from bot import tags
from bot.configuration import Follow
from bot.errors import GitHubUnavailable, O8Error
from bot.github.packages import Kind, Package, Packages, Version
from bot.run import wait_for
from bot.store import Store
from bot.store.catalogue import KnownPage, Listed, ListedVersion

INTERVAL_S = 600.0
FOLLOWS_S = 5.0  # GitHub's list follows the webhook a little later
LONGEST_PAUSE_S = 3600.0  # GitHub's limits are per hour
ENOUGH = 50  # tagged versions that are kept of each package
MOST_PAGES = 10  # of versions: a push for many platforms leaves many without a tag
_log = logging.getLogger(__name__)


class Catalogue:
    def __init__(self, store: Store, packages: Packages, owners: tuple[str, ...], registry: str) -> None:
        """`owners` empty: those of the images that services use at `registry`."""
        self._store = store
        self._packages = packages
        self._owners = owners
        self._registry = registry
        self._wanted = asyncio.Event()
        self.looked_at: datetime | None = None  # when all of `seen_owners` were last read; None: not since o8 started
        self.seen_owners: tuple[str, ...] = owners
        self.trouble = ""  # why the last look failed; empty when it did not

    def look_soon(self) -> None:
        """Something was pushed."""
        self._wanted.set()

    async def run(self) -> None:
        """Endless. Waits as long as GitHub wants when its limit is used up."""
        while True:
            pause = INTERVAL_S
            try:
                await self.refresh()
            except GitHubUnavailable as trouble:
                _log.warning("The catalogue is not up to date: %s", trouble)
                pause = min(max(trouble.retry_after, INTERVAL_S / 10), LONGEST_PAUSE_S)
                await asyncio.sleep(pause)  # asking sooner would only make it longer
                continue
            except O8Error as trouble:
                _log.warning("The catalogue is not up to date: %s", trouble)
            self._wanted.clear()
            if await wait_for(self._wanted, pause):
                await asyncio.sleep(FOLLOWS_S)

    async def refresh(self) -> None:
        """Brings the catalogue up to date. What was read before an error stays."""
        try:
            self.seen_owners = self._owners or await self._owners_in_use()
            for owner in self.seen_owners:
                await self._refresh_owner(owner)
        except O8Error as trouble:
            self.trouble = str(trouble)
            raise
        self.looked_at, self.trouble = datetime.now(UTC), ""

    async def _refresh_owner(self, owner: str) -> None:
        known, listed, page = await self._store.listed(owner), list[str](), ""
        kind = await self._kind(owner, known)
        while True:
            found = await self._page(owner, kind, page, known)
            listed += found.images
            if not (page := found.next_page):
                break
        await self._store.unlist(owner, listed)

    async def _kind(self, owner: str, known: dict[str, Listed]) -> Kind:
        first = next(iter(known.values()), None)
        if first is not None:
            return "orgs" if first.kind == "orgs" else "users"
        return await self._packages.kind_of(owner)

    async def _page(self, owner: str, kind: Kind, url: str, known: dict[str, Listed]) -> KnownPage:
        before = await self._store.known_page(url or f"{kind}/{owner}")
        page = await self._packages.of(owner, kind, url, before.etag if before else "")
        if page.items is None and before is not None:
            return before
        for package in page.items or ():
            if _has_changed(package, known.get(package.image)):
                await self._read(package)
        found = KnownPage(page.etag, tuple(package.image for package in page.items or ()), page.next_page)
        # After its packages: a kill in between reads them again, and none is left out for ever.
        await self._store.keep_page(url or f"{kind}/{owner}", found)
        return found

    async def _read(self, package: Package) -> None:
        found: list[Version] = []
        page = ""
        for _ in range(MOST_PAGES):
            part = await self._packages.versions(package, page)
            found += part.items or ()
            page = part.next_page
            if not page or len(found) >= ENOUGH:
                break
        versions = tuple(
            ListedVersion(image=package.image, id=v.id, digest=v.digest, tags=v.tags, created_at=v.created_at)
            for v in found[:ENOUGH]
        )
        tag, digest = newest(found)
        await self._store.list_package(Listed.model_validate(package._asdict()), versions, tag, digest)

    async def _owners_in_use(self) -> tuple[str, ...]:
        names = (service.configuration.image.split("/") for service in await self._store.services())
        return tuple(sorted({name[1] for name in names if name[0] == self._registry}))


def newest(versions: list[Version]) -> tuple[str, str]:
    """Tag and digest of what would be installed: the highest number where tags are numbers, else the newest push."""
    by_tag = {tag: version.digest for version in versions for tag in version.tags}
    tag = tags.newest(Follow(), by_tag) or next((v.tags[0] for v in versions), "")
    return tag, by_tag.get(tag, "")


def _has_changed(package: Package, before: Listed | None) -> bool:
    return before is None or (package.updated_at, package.versions) != (before.updated_at, before.versions)
