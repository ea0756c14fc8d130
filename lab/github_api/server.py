"""What every answer of the stand-in has in common: who asks, limits, etags, refusals."""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import orjson
from aiohttp import web

TOKEN = "ghp_correcthorsebatterystaple"  # noqa: S105 - of nobody
ACCEPT, API_VERSION = "application/vnd.github+json", "2022-11-28"
LARGEST_PAGE = 100
LIMIT_PATH = "/rate_limit"  # free
Body = dict[str, Any]
Handler = Callable[[web.Request], Any]


class Reply(NamedTuple):
    """What is answered instead of the truth; `raw` where that is no JSON."""

    status: int
    body: Any = None
    headers: dict[str, str] = {}
    raw: bytes | None = None


class Caller(NamedTuple):
    """`owner`: whose installation, for an App's token of one."""

    kind: Literal["person", "app", "installation"]
    owner: str = ""


CALLER = web.RequestKey("caller", Caller)


class Part:
    """The ground of every part. `replies` are answered first, one to a request; None among them: the truth.

    `asked` has every request as `GET /path?query`; `counted` how many of them the rate limit counts: a 304 is free.
    More than `burst` requests within `burst_s` seconds are refused (0: none is); `limit_status` is 403 or 429.
    While `is_frozen` nothing is answered. `users` are no organizations, as every other owner is.
    https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api
    """

    def __init__(self) -> None:
        self.address = ""
        self.tokens = {TOKEN}
        self.scopes = {"read:packages"}  # of those tokens
        self.replies: deque[Reply | None] = deque()
        self.asked: list[str] = []
        self.counted = 0
        self.remaining = 5000
        self.resets_at = time.time() + 3600
        self.limit_status = 403
        self.burst, self.burst_s = 0, 1.0
        self._recent: deque[float] = deque()
        self.answers: Counter[int] = Counter()  # by status
        self.is_frozen = False
        self.users: set[str] = set()
        self.app_events = ["registry_package"]  # what the App hears of

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def routes(self) -> Sequence[web.RouteDef]:
        """Of this part and those before it."""
        return [web.get(LIMIT_PATH, self._limits)]

    def is_kind(self, request: web.Request) -> bool:
        """Whether the owner is what the path says."""
        owner = request.match_info["owner"]
        is_user = owner.lower() in {name.lower() for name in self.users}
        return is_user == (request.match_info["kind"] == "users")

    def application(self) -> web.Application:
        application = web.Application(middlewares=[self._guard])
        application.add_routes(self.routes())
        return application

    def caller(self, authorization: str) -> Caller | str:
        """Who that is; a sentence when it is nobody."""
        return Caller("person") if authorization.removeprefix("Bearer ") in self.tokens else "Bad credentials"

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.raw_path}")
        while self.is_frozen:  # noqa: ASYNC110 - set from another thread
            await asyncio.sleep(0.02)
        answer: web.StreamResponse = await self._answer(request, handler)
        self.answers[answer.status] += 1
        limits = {
            "x-ratelimit-limit": "5000", "x-ratelimit-remaining": str(max(self.remaining, 0)),
            "x-ratelimit-reset": str(math.ceil(self.resets_at)), "x-ratelimit-resource": "core",
        }  # fmt: skip
        # https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/scopes-for-oauth-apps
        if request.get(CALLER) == Caller("person"):
            limits["X-OAuth-Scopes"] = ", ".join(sorted(self.scopes))
        for name, value in limits.items():
            answer.headers.setdefault(name, value)
        return answer

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        reply = self.replies.popleft() if self.replies else None
        if reply and reply.raw is not None:
            return web.Response(body=reply.raw, status=reply.status, headers=reply.headers, content_type="text/html")
        if reply:
            return web.json_response(reply.body, status=reply.status, headers=reply.headers)
        is_free = request.path == LIMIT_PATH
        if not is_free and self.remaining <= 0 and time.time() < self.resets_at:
            return refusal(self.limit_status, "API rate limit exceeded for user ID 1.")
        if self._is_too_fast():
            text = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
            return refusal(self.limit_status, text, {"retry-after": str(math.ceil(self.burst_s))})
        if self.remaining <= 0 and time.time() >= self.resets_at:
            self.remaining, self.resets_at = 5000, time.time() + 3600
        if wrong := _wrong_headers(request):
            return refusal(400, wrong)
        caller = self.caller(request.headers["Authorization"])
        if isinstance(caller, str):
            self._count()
            return refusal(401, caller)
        request[CALLER] = caller
        try:
            answer: web.Response = await handler(request)
        except web.HTTPException as missing:  # no such route
            answer = refusal(missing.status, missing.reason)
        if request.method == "GET" and answer.status == 200 and isinstance(answer.body, bytes):
            # Of the body, not of Link: a page stays the same when only the next one is new. And of the token: another
            # one, such as an App's new one each hour, gets another etag. https://github.com/github/docs/issues/34689
            etag = f'"{hashlib.sha256(request.headers["Authorization"].encode() + answer.body).hexdigest()}"'
            if request.headers.get("If-None-Match") == etag:
                return web.Response(status=304, headers={"ETag": etag})
            answer.headers["ETag"] = etag
        if not is_free:
            self._count()
        return answer

    async def _limits(self, request: web.Request) -> web.Response:
        """https://docs.github.com/en/rest/rate-limit/rate-limit"""
        core = {"limit": 5000, "remaining": max(self.remaining, 0), "reset": math.ceil(self.resets_at)}
        return web.json_response({"resources": {"core": core}, "rate": core})

    def _is_too_fast(self) -> bool:
        """https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#about-secondary-rate-limits"""
        now = time.monotonic()
        while self._recent and self._recent[0] < now - self.burst_s:
            self._recent.popleft()
        if 0 < self.burst <= len(self._recent):
            return True
        self._recent.append(now)
        return False

    def _count(self) -> None:
        self.counted += 1
        self.remaining -= 1


def refusal(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    body = {"message": message, "documentation_url": "https://docs.github.com/rest", "status": str(status)}
    return web.json_response(body, status=status, headers=headers)


def paged(request: web.Request, base: str, items: Sequence[Any], build: Callable[[int, Any], Body]) -> web.Response:
    """The page that is asked for. `build`: the item's number and the item, as GitHub shows it.

    https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api
    """
    size = min(int(request.query.get("per_page", "30")), LARGEST_PAGE)
    page, pages = int(request.query.get("page", "1")), max(math.ceil(len(items) / size), 1)
    first = (page - 1) * size
    shown = [build(first + at, item) for at, item in enumerate(items[first : first + size])]
    targets = {"prev": page - 1, "next": page + 1, "last": pages, "first": 1}
    if page <= 1:
        del targets["prev"], targets["first"]
    if page >= pages:
        targets = {name: number for name, number in targets.items() if name not in ("next", "last")}
    headers = links(request, base, {name: f"page={number}" for name, number in targets.items()})
    return web.Response(body=orjson.dumps(shown), content_type="application/json", headers=headers)


def links(request: web.Request, base: str, targets: dict[str, str]) -> dict[str, str]:
    """The header `Link`; each of `targets` is a relation and the part of the query that leads there."""
    path = request.raw_path.partition("?")[0]
    kept = [f"{name}={value}" for name, value in request.query.items() if name not in ("page", "cursor")]
    found = [f'<{base}{path}?{"&".join([*kept, query])}>; rel="{name}"' for name, query in targets.items()]
    return {"Link": ", ".join(found)} if found else {}


def _wrong_headers(request: web.Request) -> str:
    expected = {"Accept": ACCEPT, "X-GitHub-Api-Version": API_VERSION}
    for name, value in expected.items():
        if request.headers.get(name) != value:
            return f"{name} is not {value}"
    if not request.headers.get("Authorization", "").startswith("Bearer "):
        return "Authorization is not a bearer token"
    return "" if request.headers.get("User-Agent") else "User-Agent is missing"
