"""One bounded call of GitHub's REST API, and what can go wrong with it: limits, rights, silence."""

from __future__ import annotations

import os
import re
import time
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import aiohttp
import orjson
from yarl import URL

from bot.errors import GitHubError, GitHubRefused, GitHubUnavailable
from bot.github.login import Login
from bot.version import version

TIMEOUT_S = 20.0
LARGEST_BODY = 16 * 1024 * 1024
_MOST_REDIRECTS = 3
_KEEP_METHOD = (307, 308)
# https://docs.github.com/en/rest/about-the-rest-api/api-versions
_HEADERS = {
    "Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28",
    "User-Agent": f"orchestr8/{version()}",
}  # fmt: skip
# Where GitHub names no time: https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
_LATE_S = 60.0
_NEXT = re.compile(r'<([^>]+)>\s*;\s*rel="next"')


class Answer(NamedTuple):
    """`status` 304: nothing has changed since `etag`, and `body` is None. `next_page`: "" on the last page.

    `scopes`: what a classic token may do; None for every other login.
    """

    status: int
    body: Any
    etag: str
    next_page: str
    scopes: frozenset[str] | None = None


class _Raw(NamedTuple):
    """An answer as it came, whatever its status; `what` was asked, for people."""

    what: str
    status: int
    headers: Any
    body: bytes


class GitHub:
    """Calls of the API at `base`, such as `https://api.github.com`."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self._session = session
        self._base = base.rstrip("/")

    async def get(self, path: str, login: Login, *, etag: str = "") -> Answer:
        """`path` with its query, or the whole URL of a next page. A 304 costs nothing of the rate limit.

        Raises `GitHubUnavailable` (with `retry_after`) for limits, 5xx and silence; `GitHubRefused` for every other
        answer that is no success; `GitHubError` for one that is not JSON.
        """
        return await self.call("GET", path, login, headers={"If-None-Match": etag} if etag else {})

    async def call(self, method: str, path: str, login: Login, body: object = None,
                   headers: dict[str, str] | None = None) -> Answer:  # fmt: skip
        """As `get`, with any method; `body` is sent as JSON."""
        url = self._own(path if path.startswith(("https://", "http://")) else self._base + path)
        data = None if body is None else orjson.dumps(body)
        attempt = 1
        while True:
            authorization = await login.authorization(self)
            sent = _HEADERS | (headers or {}) | ({"Authorization": authorization} if authorization else {})
            try:
                return _understood(await self._followed(method, url, sent, data))
            except GitHubRefused as refusal:
                if refusal.status != 401 or not await login.may_try_again(authorization, attempt):
                    raise
            attempt += 1

    async def _followed(self, method: str, url: URL, headers: dict[str, str], data: bytes | None) -> _Raw:
        """https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#follow-redirects"""
        for _ in range(_MOST_REDIRECTS):
            answer = await self._once(method, url, headers, data)
            target = answer.headers.get("Location", "")
            is_moved = answer.status in _KEEP_METHOD or (method == "GET" and answer.status in (301, 302))
            if not (is_moved and target):
                return answer
            url = self._own(target if "//" in target else str(url.join(URL(target, encoded=True))))
        raise GitHubError(f"GitHub's answer to {answer.what} leads in circles.", "Check GITHUB_API_URL.")

    async def _once(self, method: str, url: URL, headers: dict[str, str], data: bytes | None) -> _Raw:
        what, limit = f"{method} {url.path}", aiohttp.ClientTimeout(total=TIMEOUT_S)
        try:
            async with self._session.request(
                method, url, headers=headers, data=data, timeout=limit, allow_redirects=False
            ) as response:
                return _Raw(what, response.status, response.headers, await _whole(response, what))
        except TimeoutError:
            raise GitHubUnavailable(f"GitHub gave no whole answer within {TIMEOUT_S:g} s.") from None
        except aiohttp.ClientError as error:  # cut off: its own text may hold the request's headers
            raise GitHubUnavailable(f"GitHub cannot be reached: {_reason(error)}.") from None

    def _own(self, text: str) -> URL:
        """Raises `GitHubError` for an address of another host: it would get the token."""
        try:
            url = URL(text, encoded=True)
            is_own = url.origin() == URL(self._base).origin()
        except ValueError:
            is_own = False
        if not is_own:
            raise GitHubError("GitHub named an address that is not its own.", "Check GITHUB_API_URL.")
        return url


def _reason(error: aiohttp.ClientError) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name is not known"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return "its certificate is not trusted"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return "the connection broke off"


async def _whole(response: aiohttp.ClientResponse, what: str) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise GitHubError(f"GitHub's answer to {what} is longer than {LARGEST_BODY // 2**20} MiB.")
    return bytes(body)


def _understood(raw: _Raw) -> Answer:
    status, headers = raw.status, raw.headers
    if status == 304:
        return Answer(status, None, headers.get("ETag", ""), "", _scopes(headers))
    if status in (403, 429) and (wait := _wait(raw)):
        raise GitHubUnavailable(f"GitHub's rate limit is used up for {wait:.0f} s.", retry_after=wait)
    if status >= 500:
        raise GitHubUnavailable(
            f"GitHub answered {status} to {raw.what}.", retry_after=_seconds(headers, "Retry-After")
        )
    try:
        body = orjson.loads(raw.body) if raw.body else None
    except orjson.JSONDecodeError:
        if not 200 <= status < 300:  # a proxy's own page, with a status that says enough
            raise GitHubRefused(status, raw.what, "") from None
        raise GitHubError(f"GitHub's answer to {raw.what} is not JSON.", "Check GITHUB_API_URL.") from None
    if not 200 <= status < 300:
        raise GitHubRefused(status, raw.what, str(body.get("message", ""))[:200] if isinstance(body, dict) else "")
    found = _NEXT.search(headers.get("Link", ""))
    return Answer(status, body, headers.get("ETag", ""), found[1] if found else "", _scopes(headers))


# https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/scopes-for-oauth-apps
def _scopes(headers: Any) -> frozenset[str] | None:
    found = headers.get("X-OAuth-Scopes")
    return None if found is None else frozenset(part.strip() for part in found.split(",") if part.strip())


def _wait(raw: _Raw) -> float:
    """Seconds until GitHub listens again; 0 when the refusal is not about a limit."""
    if after := _seconds(raw.headers, "Retry-After"):
        return max(after, 1.0)
    if raw.headers.get("X-RateLimit-Remaining") == "0":
        reset = _seconds(raw.headers, "X-RateLimit-Reset")
        return max(reset - _now(raw.headers), 1.0) if reset else _LATE_S
    is_limited = raw.status == 429 or b"rate limit" in raw.body[:10_000].lower()
    return _LATE_S if is_limited else 0.0


def _seconds(headers: Any, name: str) -> float:
    text = headers.get(name, "")
    return float(text) if text.isascii() and text.isdigit() and len(text) <= 12 else 0.0


def _now(headers: Any) -> float:
    """GitHub's clock, which its reset is told by; ours where it does not say."""
    try:
        return parsedate_to_datetime(headers["Date"]).timestamp()
    except (KeyError, ValueError):
        return time.time()
