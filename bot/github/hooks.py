"""Webhooks at GitHub and their deliveries: of an organization, of a repository, of the App.

https://docs.github.com/en/rest/orgs/webhooks, https://docs.github.com/en/rest/repos/webhooks,
https://docs.github.com/en/rest/apps/webhooks
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from yarl import URL

from bot.errors import GitHubError
from bot.github.login import Login
from bot.github.transport import Answer, GitHub

MOST_PAGES = 30  # of 100 deliveries: 3,000 in three days
KEPT_PAGES = 1_000  # answers that are asked for by their etag next time
APP = "app"  # the place of the App's hook, beside such as `orgs/acme` and `repos/acme/web`


class Hook(NamedTuple):
    """`path` of its calls, such as `/orgs/acme/hooks/7`; the App's own hook is `/app/hook`.

    `has_secret`: which one is not told by GitHub. `checks_tls`: whether GitHub wants a valid certificate.
    """

    path: str
    url: str
    events: tuple[str, ...]
    content_type: str
    is_active: bool
    has_secret: bool
    checks_tls: bool


class Sent(NamedTuple):
    """One try to deliver. `guid` is the delivery's, the same for every try; `status_code` 0: no answer.

    `status` is GitHub's own word for it, such as `OK` or `failed to connect to host`.
    """

    id: int
    guid: str
    event: str
    at: datetime
    is_redelivery: bool
    status: str
    status_code: int

    @property
    def has_arrived(self) -> bool:
        return 200 <= self.status_code < 300


class Hooks:
    """As `login` may see them. All raise as `GitHub.get` does; `GitHubRefused` 404 without the right."""

    def __init__(self, github: GitHub, login: Login) -> None:
        self._github = github
        self._login = login
        self._known: dict[str, Answer] = {}

    async def of(self, place: str) -> list[Hook]:
        """All of `orgs/acme` or `repos/acme/web`, or the one of `app`."""
        if place == APP:
            return [await self._of_app()]
        found: list[Hook] = []
        page = f"/{place}/hooks?per_page=100"
        while page:
            answer = await self._get(page)
            found += [_hook(f"/{place}/hooks/{each['id']}", each) for each in _items(answer.body)]
            page = answer.next_page
        return found

    async def create(self, place: str, url: str, secret: str) -> Hook:
        """Signed JSON, for package events only. GitHub sends a `ping` by itself."""
        body = {"name": "web", "active": True, "events": ["package"], "config": _config(url, secret)}
        found = (await self._github.call("POST", f"/{place}/hooks", self._login, body)).body
        if not isinstance(found, dict) or "id" not in found:
            raise GitHubError("GitHub did not say which webhook it has made.")
        return _hook(f"/{place}/hooks/{found['id']}", found)

    async def repair(self, hook: Hook, url: str, secret: str) -> None:
        """Makes it as `create` would. The events of an App's hook are those of the App, which cannot be set here."""
        if hook.path == "/app/hook":
            await self._github.call("PATCH", "/app/hook/config", self._login, _config(url, secret))
            return
        body = {"active": True, "events": ["package"], "config": _config(url, secret)}
        await self._github.call("PATCH", hook.path, self._login, body)

    async def ping(self, hook: Hook) -> None:
        """GitHub sends a `ping`; there is none for an App's hook."""
        await self._github.call("POST", f"{hook.path}/pings", self._login)

    async def deliveries(self, path: str, since: datetime) -> AsyncIterator[Sent]:
        """Tries younger than `since`, the newest first; `path` of a hook. What is unchanged costs no counted call."""
        page = f"{path}/deliveries?per_page=100"
        for _ in range(MOST_PAGES):
            answer = await self._get(page)
            for each in map(_sent, _items(answer.body)):
                if each is None:
                    continue
                if each.at < since:
                    return
                yield each
            if not (page := answer.next_page):
                return

    async def answer(self, path: str, id: int) -> str:
        """What the receiver answered to one try, as text; empty when nothing came."""
        found = (await self._github.get(f"{path}/deliveries/{id}", self._login)).body
        response = found.get("response") if isinstance(found, dict) else None
        return str((response or {}).get("payload") or "")

    async def redeliver(self, path: str, id: int) -> None:
        """The same body, id and a signature with the secret of now."""
        await self._github.call("POST", f"{path}/deliveries/{id}/attempts", self._login)

    async def _of_app(self) -> Hook:
        """https://docs.github.com/en/rest/apps/apps#get-the-authenticated-app names the events."""
        config, app = (await self._get("/app/hook/config")).body, (await self._get("/app")).body
        return _hook("/app/hook", {"config": config, "events": app.get("events"), "active": True})

    async def _get(self, page: str) -> Answer:
        before = self._known.get(page)
        answer = await self._github.get(page, self._login, etag=before.etag if before else "")
        if answer.status == 304 and before:
            return before
        if len(self._known) >= KEPT_PAGES:
            self._known.clear()
        if answer.etag:
            self._known[page] = answer
        return answer


def is_same_address(one: str, two: str) -> bool:
    """Whether two addresses lead to the same place, however they are written."""
    first, second = _parts(one), _parts(two)
    return first == second and first is not None


def _parts(address: str) -> tuple[str, str, int, str] | None:
    """None for what is no address."""
    try:
        url = URL(address)
        # With the port that is meant where none is written.
        return (url.scheme, url.host, url.port, url.path.rstrip("/")) if url.host and url.port else None
    except ValueError:
        return None


def _config(url: str, secret: str) -> dict[str, str]:
    return {"url": url, "content_type": "json", "secret": secret, "insecure_ssl": "0"}


def _hook(path: str, found: dict[str, Any]) -> Hook:
    config = found.get("config") or {}
    return Hook(
        path=path, url=str(config.get("url", "")), events=tuple(found.get("events") or ()),
        content_type=str(config.get("content_type", "")), is_active=bool(found.get("active")),
        has_secret=bool(config.get("secret")), checks_tls=str(config.get("insecure_ssl", "0")) == "0",
    )  # fmt: skip


def _sent(found: dict[str, Any]) -> Sent | None:
    """None for one that cannot be read."""
    try:
        return Sent(
            id=int(found["id"]), guid=str(found["guid"]), event=str(found.get("event", "")),
            at=datetime.fromisoformat(str(found["delivered_at"])).astimezone(UTC),
            is_redelivery=bool(found.get("redelivery")),
            status=str(found.get("status", "")), status_code=int(found.get("status_code") or 0),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError):
        return None


def _items(body: Any) -> list[dict[str, Any]]:
    return [item for item in body if isinstance(item, dict)] if isinstance(body, list) else []
