"""Packages of owners and their versions. https://docs.github.com/en/rest/packages/packages"""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from collections.abc import Callable, Sequence

from aiohttp import web

from lab.github_api.server import CALLER, Body, Part, paged, refusal


class Packages(Part):
    """`packages` has the tags of each version by owner and name, newest first; `()` is an untagged child.

    `repositories`: which one a package is linked to.
    `hidden`: packages whose versions the token may not see.
    Installation tokens get 400 for the list of an organization, as GitHub does it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.packages: dict[tuple[str, str], list[Sequence[str]]] = {}
        self.repositories: dict[tuple[str, str], str] = {}
        self.hidden: set[tuple[str, str]] = set()
        self.versions_of: Callable[[str, str], list[Sequence[str]] | None] | None = None
        self.changes: Counter[tuple[str, str]] = Counter()  # of a package that was pushed again

    def publish(self, owner: str, name: str, *tags: str, children: int = 0) -> None:
        """A push: a new version in front, and its untagged children before it."""
        known = self.packages.setdefault((owner, name), [])
        known[:0] = [*([()] * children), tags]
        self.changes[owner, name] += 1

    def routes(self) -> Sequence[web.RouteDef]:
        return [
            *super().routes(),
            web.get("/users/{owner}", self._owner),
            web.get("/{kind:users|orgs}/{owner}/packages", self._packages),
            web.get("/{kind:users|orgs}/{owner}/packages/container/{name}", self._one),
            web.get("/{kind:users|orgs}/{owner}/packages/container/{name}/versions", self._versions),
        ]

    async def _owner(self, request: web.Request) -> web.Response:
        owner = request.match_info["owner"]
        known = self.users | {name for name, _ in self.packages}
        found = next((name for name in known if name.lower() == owner.lower()), "")
        if not found:
            return refusal(404, "Not Found")
        return web.json_response({"login": found, "type": "User" if found in self.users else "Organization"})

    async def _packages(self, request: web.Request) -> web.Response:
        """https://docs.github.com/en/rest/packages/packages#list-packages-for-an-organization"""
        owner = request.match_info["owner"]
        if request.query.get("package_type") != "container":
            return refusal(400, "Package type is missing")
        if request[CALLER].kind == "installation":
            return refusal(400, "Invalid argument.")
        if "read:packages" not in self.scopes:
            return refusal(403, "You need at least read:packages scope to list packages.")
        if not self.is_kind(request):
            return refusal(404, "Not Found")
        names = sorted(name for known, name in self.packages if known.lower() == owner.lower())
        return paged(request, self.url, names, lambda _, name: self._package(owner, name))

    async def _one(self, request: web.Request) -> web.Response:
        """https://docs.github.com/en/rest/packages/packages#get-a-package-for-an-organization"""
        owner, name = self._spelled(request)
        if not self.is_kind(request) or (owner, name) not in self.packages:
            return refusal(404, "Package not found.")
        return web.json_response(self._package(owner, name))

    async def _versions(self, request: web.Request) -> web.Response:
        """https://docs.github.com/en/rest/packages/packages#list-package-versions-for-a-package-owned-by-a-user"""
        owner, name = self._spelled(request)
        if not self.is_kind(request) or (owner, name) in self.hidden:
            return refusal(404, "Not Found")
        found = self.versions_of(owner, name) if self.versions_of else self.packages.get((owner, name))
        if found is None:
            return refusal(404, "Package not found.")
        count = len(found)
        return paged(request, self.url, found, lambda number, tags: _version(count - number, tags))

    def _spelled(self, request: web.Request) -> tuple[str, str]:
        """Owner and name as they were created: GitHub takes owners in any case."""
        owner, name = request.match_info["owner"], request.match_info["name"]
        return next(
            (each for each in self.packages if (each[0].lower(), each[1]) == (owner.lower(), name)), (owner, name)
        )

    def _package(self, owner: str, name: str) -> Body:
        owner = next(known for known, each in self.packages if (known.lower(), each) == (owner.lower(), name))
        pushed, repository = self.changes[owner, name], self.repositories.get((owner, name))
        return {
            "id": zlib.crc32(f"{owner}/{name}".encode()), "name": name, "owner": {"login": owner},
            "package_type": "container", "visibility": "private", "version_count": len(self.packages[owner, name]),
            "updated_at": f"2026-03-{1 + pushed // 1440 % 28:02}T{pushed // 60 % 24:02}:{pushed % 60:02}:00Z",
            **({"repository": {"full_name": repository}} if repository else {}),
        }  # fmt: skip


def _version(number: int, tags: Sequence[str]) -> Body:
    """`number`: how many there were when it was pushed."""
    digest = "sha256:" + hashlib.sha256(f"{number} {tags}".encode()).hexdigest()
    at = f"2026-03-01T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}Z"
    return {
        "id": 700_000_000 + number, "name": digest, "url": "", "package_html_url": "",
        "created_at": at, "updated_at": at, "html_url": "",
        "metadata": {"package_type": "container", "container": {"tags": list(tags)}},
    }  # fmt: skip
