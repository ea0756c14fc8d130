"""Webhooks at GitHub and their deliveries: of an organization, of a repository, of the App.

https://docs.github.com/en/rest/orgs/webhooks, https://docs.github.com/en/rest/repos/webhooks,
https://docs.github.com/en/rest/apps/webhooks
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, NamedTuple

from bot.github.login import Login
from bot.github.transport import GitHub

KEPT_PAGES = 10  # of 100 deliveries


class Hook(NamedTuple):
    """`path` of its calls, such as `/orgs/acme/hooks/7`; the App's own hook is `/app/hook`."""

    path: str
    url: str
    events: tuple[str, ...]
    content_type: str
    is_active: bool


class Sent(NamedTuple):
    """One try to deliver. `guid` is the delivery's, the same for every try; `status_code` 0: no answer."""

    id: int
    guid: str
    event: str
    at: datetime
    is_redelivery: bool
    status: str
    status_code: int


class Hooks:
    def __init__(self, github: GitHub, login: Login) -> None:
        self._github = github
        self._login = login

    async def of(self, place: str) -> list[Hook]:
        """All of `orgs/acme` or `repos/acme/web`. Raises `GitHubRefused` 404 without the right to see them."""
        found: list[Hook] = []
        page = f"/{place}/hooks?per_page=100"
        while page:
            answer = await self._github.get(page, self._login)
            found += [_hook(f"/{place}/hooks/{each['id']}", each) for each in answer.body]
            page = answer.next_page
        return found

    async def create(self, place: str, url: str, secret: str) -> Hook:
        """Signed JSON, for package events only."""
        body = {"name": "web", "active": True, "events": ["package"], "config": _config(url, secret)}
        found = (await self._github.call("POST", f"/{place}/hooks", self._login, body)).body
        return _hook(f"/{place}/hooks/{found['id']}", found)

    async def repair(self, hook: Hook, url: str, secret: str) -> None:
        """Makes it as `create` would."""
        body = {"active": True, "events": ["package"], "config": _config(url, secret)}
        await self._github.call("PATCH", hook.path, self._login, body)

    async def ping(self, hook: Hook) -> None:
        """GitHub sends a `ping`."""
        await self._github.call("POST", f"{hook.path}/pings", self._login)

    async def deliveries(self, path: str, since: datetime) -> AsyncIterator[Sent]:
        """Tries younger than `since`, the newest first; `path` of a hook."""
        page = f"{path}/deliveries?per_page=100"
        for _ in range(KEPT_PAGES):
            answer = await self._github.get(page, self._login)
            for each in answer.body:
                sent = _sent(each)
                if sent.at < since:
                    return
                yield sent
            if not (page := answer.next_page):
                return

    async def redeliver(self, path: str, id: int) -> None:
        """The same body, id and a signature with the secret of now."""
        await self._github.call("POST", f"{path}/deliveries/{id}/attempts", self._login)


def _config(url: str, secret: str) -> dict[str, str]:
    return {"url": url, "content_type": "json", "secret": secret, "insecure_ssl": "0"}


def _hook(path: str, found: dict[str, Any]) -> Hook:
    config = found.get("config") or {}
    return Hook(path, str(config.get("url", "")), tuple(found.get("events") or ()), str(config.get("content_type", "")),
                bool(found.get("active")))  # fmt: skip


def _sent(found: dict[str, Any]) -> Sent:
    return Sent(
        id=int(found["id"]), guid=str(found["guid"]), event=str(found.get("event", "")),
        at=datetime.fromisoformat(str(found["delivered_at"])), is_redelivery=bool(found.get("redelivery")),
        status=str(found.get("status", "")), status_code=int(found.get("status_code") or 0),
    )  # fmt: skip
