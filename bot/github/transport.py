"""One bounded call of GitHub's REST API, and what can go wrong with it: limits, rights, silence."""

from __future__ import annotations

import re
import time
from typing import Any, NamedTuple

import aiohttp
import orjson
from yarl import URL

from bot.errors import GitHubError, GitHubRefused, GitHubUnavailable
from bot.github.login import Login
from bot.version import version

TIMEOUT_S = 20.0
_TIMEOUT = aiohttp.ClientTimeout(total=TIMEOUT_S)
LARGEST_BODY = 16 * 1024 * 1024
# https://docs.github.com/en/rest/about-the-rest-api/api-versions
_HEADERS = {
    "Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28",
    "User-Agent": f"orchestr8/{version()}",
}  # fmt: skip
_LATE_S = (
    60.0  # where GitHub names no time: https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
)
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
        url = URL(path if path.startswith(("https://", "http://")) else self._base + path, encoded=True)
        if url.origin() != URL(self._base).origin():
            raise GitHubError("GitHub named a next page that is not its own.", "Check GITHUB_API_URL.")
        authorization = await login.authorization(self)
        sent = _HEADERS | (headers or {}) | ({"Authorization": authorization} if authorization else {})
        data = None if body is None else orjson.dumps(body)
        try:
            async with self._session.request(
                method, url, headers=sent, data=data, timeout=_TIMEOUT, allow_redirects=False
            ) as response:
                return await _read(response, f"{method} {url.path}")
        except TimeoutError:
            raise GitHubUnavailable(f"GitHub gave no answer within {TIMEOUT_S:g} s.") from None
        except aiohttp.ClientError as error:  # cut off: its own text may hold the request's headers
            raise GitHubUnavailable(f"GitHub cannot be reached: {type(error).__name__}.") from None


async def _read(response: aiohttp.ClientResponse, what: str) -> Answer:
    raw = await response.content.read(LARGEST_BODY + 1)
    if len(raw) > LARGEST_BODY:
        raise GitHubError(f"GitHub's answer to {what} is longer than {LARGEST_BODY // 2**20} MiB.")
    status, headers = response.status, response.headers
    if status == 304:
        return Answer(status, None, headers.get("ETag", ""), "")
    if status in (403, 429) and (wait := _wait(headers, raw)):
        raise GitHubUnavailable(f"GitHub's rate limit is used up for {wait:.0f} s.", retry_after=wait)
    if status >= 500:
        raise GitHubUnavailable(f"GitHub answered {status} to {what}.")
    try:
        body = orjson.loads(raw) if raw else None
    except orjson.JSONDecodeError:
        raise GitHubError(f"GitHub's answer to {what} is not JSON.", "Check GITHUB_API_URL.") from None
    if not 200 <= status < 300:
        raise GitHubRefused(status, what, str(body.get("message", ""))[:200] if isinstance(body, dict) else "")
    found = _NEXT.search(headers.get("Link", ""))
    return Answer(status, body, headers.get("ETag", ""), found[1] if found else "", _scopes(headers))


# https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/scopes-for-oauth-apps
def _scopes(headers: Any) -> frozenset[str] | None:
    found = headers.get("X-OAuth-Scopes")
    return None if found is None else frozenset(part.strip() for part in found.split(",") if part.strip())


def _wait(headers: Any, raw: bytes) -> float:
    """Seconds until GitHub listens again; 0 when the refusal is not about a limit."""
    after = headers.get("Retry-After", "")
    if after.isdecimal():
        return max(float(after), 1.0)
    if headers.get("X-RateLimit-Remaining") == "0":
        reset = headers.get("X-RateLimit-Reset", "")
        return max(float(reset) - time.time(), 1.0) if reset.isdecimal() else _LATE_S
    return _LATE_S if b"secondary rate limit" in raw.lower() else 0.0
