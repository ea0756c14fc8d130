"""Packages of an owner and their versions. Lenient: real items lack fields that GitHub's schema calls needed.

https://docs.github.com/en/rest/packages/packages
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, TypeGuard
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError
from yarl import URL

from bot.configuration import ImageName
from bot.errors import GitHubError, GitHubRefused
from bot.github.login import Login
from bot.github.transport import GitHub
from bot.webhooks import is_signature

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_IMAGE: TypeAdapter[str] = TypeAdapter(ImageName)
_LARGEST_NUMBER = 2**63 - 1  # that the database can hold
PAGE_SIZE = 100  # the most that GitHub gives
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
        return "orgs" if isinstance(found.body, dict) and found.body.get("type") == "Organization" else "users"

    async def of(self, owner: str, kind: Kind, page: str = "", etag: str = "") -> Page:
        """A page of the packages of `owner`; `page`: its address, empty for the first."""
        url = page or f"/{kind}/{quote(owner, safe='')}/packages?package_type=container&per_page={PAGE_SIZE}"
        answer = await self._github.get(url, self._login, etag=etag)
        if answer.status == 304:
            return Page(url, etag, None, "")
        items = _items(answer.body)
        found = (self._package(owner, kind, item) for item in items)
        # A full page stays as it is when the next package comes, and so may its etag: the page after it is asked for.
        next_page = answer.next_page or (_after(url) if len(items) >= PAGE_SIZE else "")
        return Page(url, answer.etag, tuple(filter(None, found)), next_page)

    async def has(self, owner: str, kind: Kind, name: str) -> bool:
        """Whether GitHub shows that package. `name` as GitHub spells it."""
        try:
            await self._github.get(_path(owner, kind, name), self._login)
        except GitHubRefused as refusal:
            if refusal.status != 404:
                raise
            return False
        return True

    async def versions(self, package: Package, page: str = "", etag: str = "") -> Page:
        """A page of the tagged versions, the newest first; children of an index have no tags and are left out."""
        url = page or f"{_path(package.owner, package.kind, package.name)}/versions?per_page={PAGE_SIZE}"
        answer = await self._github.get(url, self._login, etag=etag)
        if answer.status == 304:
            return Page(url, etag, None, "")
        found = (_version(item) for item in _items(answer.body))
        return Page(url, answer.etag, tuple(filter(None, found)), answer.next_page)

    def _package(self, owner: str, kind: Kind, item: dict[str, Any]) -> Package | None:
        name = item.get("name")
        if not isinstance(name, str):
            return None
        try:
            image = _IMAGE.validate_python(f"{self._registry}/{owner.lower()}/{name.lower()}")
        except ValidationError:
            return None
        repository, count = item.get("repository"), item.get("version_count")
        return Package(
            owner=owner, kind=kind, name=name, image=image,
            repository=str(repository.get("full_name") or "") if isinstance(repository, dict) else "",
            updated_at=str(item.get("updated_at") or ""), versions=count if _is_number(count) else 0,
        )  # fmt: skip


def _version(item: dict[str, Any]) -> Version | None:
    metadata, id, digest = item.get("metadata"), item.get("id"), item.get("name")
    container = metadata.get("container") if isinstance(metadata, dict) else None
    tags = container.get("tags") if isinstance(container, dict) else None
    found = tags if isinstance(tags, list) else ()
    good = tuple(tag for tag in found if isinstance(tag, str) and _TAG.fullmatch(tag) and not is_signature(tag))
    if not good or not isinstance(digest, str) or not _DIGEST.fullmatch(digest) or not _is_number(id):
        return None
    return Version(id, digest, good, _time(item.get("created_at")))


def _is_number(found: Any) -> TypeGuard[int]:
    return isinstance(found, int) and 0 <= found <= _LARGEST_NUMBER


def _path(owner: str, kind: Kind, name: str) -> str:
    return f"/{kind}/{quote(owner, safe='')}/packages/container/{quote(name, safe='')}"


def _after(page: str) -> str:
    url = URL(page, encoded=True)
    return str(url.update_query(page=int(url.query.get("page", "1")) + 1))


def _items(body: Any) -> list[dict[str, Any]]:
    """Raises `GitHubError` for what is no list: read as an empty one, it would make o8 forget all."""
    if not isinstance(body, list):
        raise GitHubError("GitHub's answer is not the list that it should be.", "Check GITHUB_API_URL.")
    return [item for item in body if isinstance(item, dict)]


def _time(text: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return found.replace(tzinfo=found.tzinfo or UTC) if found else None
