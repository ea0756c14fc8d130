"""What an owner has at GitHub, read in the background: nobody who looks waits for GitHub.

An unchanged catalogue costs no counted request: pages are asked for by their etag, and the versions of a package only
when its entry in the list has changed, when it was pushed, or, by their etag, once a day.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from bot import tags
from bot.configuration import Follow
from bot.errors import GitHubError, GitHubRefused, GitHubUnavailable, O8Error
from bot.github.packages import Kind, Package, Packages, Version
from bot.run import wait_for
from bot.store import Store
from bot.store.catalogue import KnownPage, Listed, ListedVersion

INTERVAL_S = 600.0
FOLLOWS_S = 5.0  # GitHub's list follows the webhook a little later
SOONEST_S = 30.0  # from one look to the next: many pushes must not use up the limit
LONGEST_PAUSE_S = 3600.0  # GitHub's limits are per hour
ENOUGH = 100  # tagged versions that are kept of each package
MOST_PAGES = 10  # of versions: a push for many platforms leaves many without a tag
MOST_LIST_PAGES = 200  # of 100 packages
OLD = timedelta(days=1)  # a tag that was moved to an older version need not change the entry of its package
MOST_OLD = 100  # packages that are read again for that in one look
MOST_PUSHED = 1000
_log = logging.getLogger(__name__)


class Catalogue:
    def __init__(self, store: Store, packages: Packages, owners: tuple[str, ...], registry: str) -> None:
        """`owners` empty: those of the images that services use at `registry`."""
        self._store = store
        self._packages = packages
        self._owners = tuple({owner.lower(): owner for owner in owners}.values())
        self._registry = registry
        self._is_running = False
        self._wanted = asyncio.Event()
        self._pushed: set[str] = set()
        self.looked_at: datetime | None = None  # when a look at all of `seen_owners` ended; None: not since o8 started
        self.seen_owners: tuple[str, ...] = self._owners
        self.trouble = ""  # what the last look could not read, and why; empty when it read all

    def look_soon(self, image: str) -> None:
        """`image` was pushed: its versions are read although GitHub's list may not show that yet."""
        if self._is_running:
            if len(self._pushed) < MOST_PUSHED:
                self._pushed.add(image)
            self._wanted.set()

    async def run(self) -> None:
        """Endless. Waits as long as GitHub wants when its limit is used up."""
        self._is_running = True
        while True:
            begun = time.monotonic()
            try:
                await self.refresh()
            except GitHubUnavailable as trouble:
                _log.warning("The catalogue is not up to date: %s", trouble)
                # Asking sooner would only make it longer.
                await asyncio.sleep(min(max(trouble.retry_after, SOONEST_S), LONGEST_PAUSE_S))
                continue
            except O8Error as trouble:
                _log.warning("The catalogue is not up to date: %s", trouble)
            if await wait_for(self._wanted, INTERVAL_S):
                await asyncio.sleep(max(FOLLOWS_S, begun + SOONEST_S - time.monotonic()))

    async def refresh(self) -> None:
        """Brings the catalogue up to date. What was read before an error stays; one owner's error is not another's.

        Raises `GitHubUnavailable` and `StoreUnavailable`; what GitHub refuses is in `trouble`.
        """
        pushed, self._pushed = self._pushed, set()
        self._wanted.clear()
        refused: list[str] = []
        try:
            self.seen_owners = await self.owners()
            for owner in self.seen_owners:
                try:
                    await self._refresh_owner(owner, pushed)
                except GitHubUnavailable:
                    raise
                except GitHubError as trouble:
                    _log.warning("The catalogue of %s is not up to date: %s", owner, trouble)
                    refused.append(f"{owner}: {trouble}")
            if self._owners:
                await self._store.keep_owners(self._owners)
        except O8Error as trouble:
            self._pushed |= pushed
            self.trouble = str(trouble)
            raise
        self.looked_at, self.trouble = datetime.now(UTC), " ".join(refused)

    async def owners(self) -> tuple[str, ...]:
        """Whose packages are looked at."""
        return self._owners or await self._owners_in_use()

    async def _refresh_owner(self, owner: str, pushed: set[str]) -> None:
        known = await self._store.listed(owner)
        fresh: set[str] = set()  # whose versions were read this time
        listed = await self._read_list(owner, known, fresh)
        due = [image for image in listed if image in known and image not in fresh]
        for image in _to_read_again({image: known[image] for image in due}, pushed):
            await self._read(_package(known[image]), known)
        # A list that changes while its pages are read can leave one out.
        kept = [i for i, entry in known.items() if i not in set(listed) and await self._is_there(entry)]
        await self._store.unlist(owner, [*listed, *kept])

    async def _read_list(self, owner: str, known: Mapping[str, Listed], fresh: set[str]) -> list[str]:
        """Images in the order of GitHub's list; those whose versions were read are put into `fresh`."""
        kind = await self._kind(owner)
        images: list[str] = []
        page = ""
        for _ in range(MOST_LIST_PAGES):
            try:
                found = await self._page(owner, kind, page, known, fresh)
            except GitHubRefused as refusal:
                if refusal.status == 404:  # a user who became an organization, or nobody's any more
                    await self._store.forget_page(_of_kind(owner))
                raise
            images += found.images
            if not (page := found.next_page):
                break
        return images

    async def _kind(self, owner: str) -> Kind:
        known = await self._store.known_page(_of_kind(owner))
        if known is not None:
            return "orgs" if known.images == ("orgs",) else "users"
        kind = await self._packages.kind_of(owner)
        await self._store.keep_page(_of_kind(owner), KnownPage("", (kind,), ""))
        return kind

    async def _page(self, owner: str, kind: Kind, url: str, known: Mapping[str, Listed], fresh: set[str]) -> KnownPage:
        key = url or f"{kind}/{owner.lower()}"
        before = await self._store.known_page(key)
        if before is not None and not known.keys() >= set(before.images):
            before = None  # its packages were forgotten: unchanged would not bring them back
        page = await self._packages.of(owner, kind, url, before.etag if before else "")
        if page.items is None and before is not None:
            return before
        for package in page.items or ():
            if _has_changed(package, known.get(package.image)):
                await self._read(package, known)
                fresh.add(package.image)
        found = KnownPage(page.etag, tuple(package.image for package in page.items or ()), page.next_page)
        # After its packages: a kill in between reads them again, and none is left out for ever.
        await self._store.keep_page(key, found)
        return found

    async def _read(self, package: Package, known: Mapping[str, Listed]) -> None:
        entry = Listed.model_validate(package._asdict())
        before = await self._store.known_page(_of_versions(package.image)) if package.image in known else None
        try:
            part = await self._packages.versions(package, etag=before.etag if before else "")
        except GitHubRefused as refusal:
            if refusal.status not in (403, 404):
                raise
            _log.info("The versions of %s are not shown to o8: %s", package.image, refusal)  # one must not hide all
            await self._store.list_package(entry, (), "", "")
            return
        if part.items is None:
            await self._store.list_again(entry)
            return
        first, found = part, list[Version](part.items)
        for _ in range(1, MOST_PAGES):
            if not part.next_page or len(found) >= ENOUGH:
                break
            part = await self._packages.versions(package, part.next_page)
            found += part.items or ()
        versions = tuple(
            ListedVersion(image=package.image, id=v.id, digest=v.digest, tags=v.tags, created_at=v.created_at)
            for v in found[:ENOUGH]
        )
        tag, digest = newest(found)
        await self._store.list_package(entry, versions, tag, digest)
        await self._store.keep_page(_of_versions(package.image), KnownPage(first.etag, (), ""))

    async def _is_there(self, entry: Listed) -> bool:
        return await self._packages.has(entry.owner, _kind(entry), entry.name)

    async def _owners_in_use(self) -> tuple[str, ...]:
        """Of services, and those that were read before: who removes the last service can install it again."""
        names = [service.configuration.image.split("/") for service in await self._store.services()]
        used = {name[1] for name in names if name[0] == self._registry and len(name) > 2}
        return tuple(sorted(used | {entry.owner for entry in (await self._store.listed()).values()}))


def newest(versions: Sequence[Version]) -> tuple[str, str]:
    """Tag and digest of what would be installed: the highest number, else the highest version, else the newest push.

    `versions`: the newest push first. Empty without one.
    """
    by_tag: dict[str, str] = {}
    for version in versions:
        for each in version.tags:
            by_tag.setdefault(each, version.digest)
    tag = tags.newest(Follow(), by_tag) or tags.newest(Follow(policy="semver"), by_tag) or next(iter(by_tag), "")
    return tag, by_tag.get(tag, "")


def _has_changed(package: Package, before: Listed | None) -> bool:
    """Also when GitHub says nothing by which a change could be seen."""
    if before is None or not (package.updated_at or package.versions):
        return True
    return (package.updated_at, package.versions, package.kind) != (before.updated_at, before.versions, before.kind)


def _to_read_again(unchanged: Mapping[str, Listed], pushed: set[str]) -> Iterable[str]:
    """Images that were pushed, then the ones that were longest not read, when that is long ago."""
    limit = datetime.now(UTC) - OLD
    old = [(entry.seen_at, image) for image, entry in unchanged.items() if entry.seen_at and entry.seen_at < limit]
    late = [image for _, image in sorted(old)[:MOST_OLD]]
    return dict.fromkeys([*(image for image in unchanged if image in pushed), *late])


def _package(entry: Listed) -> Package:
    return Package(
        owner=entry.owner, kind=_kind(entry), name=entry.name, image=entry.image, repository=entry.repository,
        updated_at=entry.updated_at, versions=entry.versions,
    )  # fmt: skip


def _kind(entry: Listed) -> Kind:
    return "orgs" if entry.kind == "orgs" else "users"


def _of_kind(owner: str) -> str:
    """The key under which the kind of an owner is remembered, beside the pages."""
    return f"kind/{owner.lower()}"


def _of_versions(image: str) -> str:
    """The key of the first page of its versions."""
    return f"versions/{image}"
