"""A stand-in for GitHub's REST API over TCP: packages and their versions, git references, limits, refusals.

It is strict where GitHub forgives, so that a client that works here keeps to the documentation. To add a route: a
method, and a line in `application`. https://docs.github.com/en/rest/packages/packages
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from aiohttp import web

from lab.http_server import serving

TOKEN = "ghp_correcthorsebatterystaple"  # noqa: S105 - of nobody
ACCEPT, API_VERSION = "application/vnd.github+json", "2022-11-28"
LARGEST_PAGE = 100
Body = dict[str, Any]
Handler = Callable[[web.Request], Any]


class Reply(NamedTuple):
    """What is answered instead of the truth."""

    status: int
    body: Any = None
    headers: dict[str, str] = {}


class FakeGitHub:
    """`packages` has the tags of each version by owner and name, newest first; `()` is an untagged child.

    `commits` and `references` are those of every repository. `replies` are answered first, one to a request.
    """

    def __init__(self) -> None:
        self.address = ""
        self.tokens = {TOKEN}
        self.users: set[str] = set()  # every other owner is an organization
        self.packages: dict[tuple[str, str], list[Sequence[str]]] = {}
        self.versions_of: Callable[[str, str], list[Sequence[str]] | None] | None = None
        self.commits: set[str] = set()
        self.references: dict[str, str] = {}
        self.may_write_contents = True
        self.replies: deque[Reply | None] = deque()  # None: the truth
        self.asked: list[str] = []
        self.remaining = 5000

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def application(self) -> web.Application:
        application = web.Application(middlewares=[self._guard])
        application.router.add_get("/{kind:users|orgs}/{owner}/packages/container/{name}/versions", self._versions)
        application.router.add_post("/repos/{owner}/{repository}/git/refs", self._create_reference)
        return application

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.raw_path}")
        reply = self.replies.popleft() if self.replies else None
        if reply:
            return web.json_response(reply.body, status=reply.status, headers=reply.headers)
        if self.remaining <= 0:
            limits = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(time.time()) + 600)}
            return _refusal(403, "API rate limit exceeded for user ID 1.", limits)
        self.remaining -= 1
        if wrong := self._wrong_headers(request):
            return _refusal(400, wrong)
        if request.headers["Authorization"].removeprefix("Bearer ") not in self.tokens:
            return _refusal(401, "Bad credentials")
        answer: web.StreamResponse = await handler(request)
        return answer

    def _wrong_headers(self, request: web.Request) -> str:
        expected = {"Accept": ACCEPT, "X-GitHub-Api-Version": API_VERSION}
        for name, value in expected.items():
            if request.headers.get(name) != value:
                return f"{name} is not {value}"
        if not request.headers.get("Authorization", "").startswith("Bearer "):
            return "Authorization is not a bearer token"
        return "" if request.headers.get("User-Agent") else "User-Agent is missing"

    async def _versions(self, request: web.Request) -> web.Response:
        """https://docs.github.com/en/rest/packages/packages#list-package-versions-for-a-package-owned-by-a-user"""
        kind, owner, name = (request.match_info[part] for part in ("kind", "owner", "name"))
        if (owner in self.users) != (kind == "users"):
            return _refusal(404, "Not Found")
        found = self.versions_of(owner, name) if self.versions_of else self.packages.get((owner, name))
        if found is None:
            return _refusal(404, "Package not found.")
        size = min(int(request.query.get("per_page", "30")), LARGEST_PAGE)
        page = int(request.query.get("page", "1"))
        items = [_version(number, tags) for number, tags in enumerate(found)][(page - 1) * size : page * size]
        pages = max(-(-len(found) // size), 1)
        return web.json_response(items, headers=_link(request, self.url, page, pages))

    async def _create_reference(self, request: web.Request) -> web.Response:
        """https://docs.github.com/en/rest/git/refs#create-a-reference"""
        if not self.may_write_contents:
            return _refusal(403, "Resource not accessible by integration")
        body = await request.json()
        name, commit = body["ref"], body["sha"]
        if not name.startswith("refs/") or name.count("/") < 2:
            return _refusal(422, "Reference name must start with 'refs/' and have at least two slashes")
        if commit not in self.commits:
            return _refusal(422, "Object does not exist")
        if name in self.references:
            return _refusal(422, "Reference already exists")
        self.references[name] = commit
        return web.json_response({"ref": name, "object": {"type": "commit", "sha": commit}}, status=201)


@contextmanager
def fake_github() -> Iterator[FakeGitHub]:
    """A `FakeGitHub` that answers at its `url` until the block ends."""
    github = FakeGitHub()
    with serving(github.application()) as address:
        github.address = address
        yield github


def _version(number: int, tags: Sequence[str]) -> Body:
    digest = "sha256:" + hashlib.sha256(f"{number} {tags}".encode()).hexdigest()
    return {
        "id": 700_000_000 - number, "name": digest, "url": "", "package_html_url": "",
        "created_at": "2026-03-01T12:00:00Z", "updated_at": "2026-03-01T12:00:00Z", "html_url": "",
        "metadata": {"package_type": "container", "container": {"tags": list(tags)}},
    }  # fmt: skip


def _link(request: web.Request, base: str, page: int, pages: int) -> dict[str, str]:
    """https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api"""
    targets = {"prev": page - 1, "next": page + 1, "last": pages, "first": 1}
    if page <= 1:
        del targets["prev"], targets["first"]
    if page >= pages:
        targets = {name: number for name, number in targets.items() if name not in ("next", "last")}
    path = request.raw_path.partition("?")[0]
    kept = [f"{name}={value}" for name, value in request.query.items() if name != "page"]
    links = [f'<{base}{path}?{"&".join([*kept, f"page={number}"])}>; rel="{name}"' for name, number in targets.items()]
    return {"Link": ", ".join(links)} if links else {}


def _refusal(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    body = {"message": message, "documentation_url": "https://docs.github.com/rest", "status": str(status)}
    return web.json_response(body, status=status, headers=headers)
