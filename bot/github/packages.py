"""Packages of an owner and their versions. Lenient: real items lack fields that GitHub's schema calls needed.

https://docs.github.com/en/rest/packages/packages
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

from bot.github.login import Login
from bot.github.transport import GitHub

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_NAME = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*")
Kind = Literal["orgs", "users"]


class Package(NamedTuple):
    """`name` as GitHub spells it; `image` as Docker needs it. `versions`: how many there are, 0 when not told."""

    owner: str
    kind: Kind
    name: str
    image: str
    repository: str
    updated_at: str
    versions: int


class Version(NamedTuple):
    """A pushed image with at least one tag."""

    id: int
    digest: str
    tags: tuple[str, ...]
    created_at: datetime | None


class Page(NamedTuple):
    """A page of the API with what is needed to ask for it again for nothing. `items` None: nothing has changed."""

    url: str
    etag: str
    items: tuple[Any, ...] | None
    next_page: str


class Packages:
    def __init__(self, github: GitHub, login: Login, registry: str) -> None:
        """`registry`: the host of images, such as `ghcr.io`."""
        self._github = github
        self._login = login
        self._registry = registry

    async def kind_of(self, owner: str) -> Kind:
        """Raises `GitHubRefused` 404 when there is nobody of that name."""
        found = await self._github.get(f"/users/{quote(owner, safe='')}", self._login)
        return "orgs" if found.body.get("type") == "Organization" else "users"

    async def of(self, owner: str, kind: Kind, page: str = "", etag: str = "") -> Page:
        """A page of the packages of `owner`; `page`: its address, empty for the first."""
        url = page or f"/{kind}/{quote(owner, safe='')}/packages?package_type=container&per_page=100"
        answer = await self._github.get(url, self._login, etag=etag)
        if answer.status == 304:
            return Page(url, etag, None, "")
        found = (self._package(owner, kind, item) for item in _items(answer.body))
        return Page(url, answer.etag, tuple(filter(None, found)), answer.next_page)

    async def versions(self, package: Package, page: str = "", etag: str = "") -> Page:
        """A page of the tagged versions, the newest first; children of an index have no tags and are left out."""
        name = quote(package.name, safe="")
        url = page or (
            f"/{package.kind}/{quote(package.owner, safe='')}/packages/container/{name}/versions?per_page=100"
        )
        answer = await self._github.get(url, self._login, etag=etag)
        if answer.status == 304:
            return Page(url, etag, None, "")
        found = (_version(item) for item in _items(answer.body))
        return Page(url, answer.etag, tuple(filter(None, found)), answer.next_page)

    def _package(self, owner: str, kind: Kind, item: dict[str, Any]) -> Package | None:
        name = item.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name.lower()):
            return None
        repository = item.get("repository") if isinstance(item.get("repository"), dict) else {}
        return Package(
            owner=owner, kind=kind, name=name, image=f"{self._registry}/{owner.lower()}/{name.lower()}",
            repository=str((repository or {}).get("full_name") or ""), updated_at=str(item.get("updated_at") or ""),
            versions=item["version_count"] if isinstance(item.get("version_count"), int) else 0,
        )  # fmt: skip


def _version(item: dict[str, Any]) -> Version | None:
    metadata = item.get("metadata") if isinstance(item.get("metadata"), dict) else {}
    container = (metadata or {}).get("container")
    tags = container.get("tags") if isinstance(container, dict) else None
    good = tuple(tag for tag in tags or () if isinstance(tag, str) and _TAG.fullmatch(tag))
    digest = item.get("name")
    if not good or not isinstance(digest, str) or not _DIGEST.fullmatch(digest) or not isinstance(item.get("id"), int):
        return None
    return Version(item["id"], digest, good, _time(item.get("created_at")))


def _items(body: Any) -> list[dict[str, Any]]:
    return [item for item in body if isinstance(item, dict)] if isinstance(body, list) else []


def _time(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None


async def every_version(packages: Packages, package: Package) -> AsyncIterator[Version]:
    """All pages, without conditions."""
    page = ""
    while True:
        found = await packages.versions(package, page)
        for version in found.items or ():
            yield version
        if not (page := found.next_page):
            return
