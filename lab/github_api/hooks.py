"""Webhooks and their deliveries, which are really sent. https://docs.github.com/en/rest/orgs/webhooks"""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from lab import github
from lab.github_api.server import CALLER, LARGEST_PAGE, Body, Part, links, refusal

KEPT = timedelta(days=3)
HIDDEN = "********"
# What a token needs: https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/scopes-for-oauth-apps
SCOPES = {"orgs": {"admin:org_hook"}, "repos": {"admin:repo_hook", "repo"}}
# https://docs.github.com/en/webhooks/testing-and-troubleshooting-webhooks/troubleshooting-webhooks
UNREACHABLE, TIMED_OUT = (502, "failed to connect to host"), (504, "timed out")


@dataclass
class Try:
    """One try to deliver; `response` is the text that came back."""

    id: int
    guid: str
    event: str
    raw: bytes
    at: datetime
    is_redelivery: bool = False
    status: str = ""
    status_code: int = 0
    response: str = ""


@dataclass
class StoredHook:
    """`place` such as `orgs/acme`, `repos/acme/web`, or `app`. `tries`: the oldest first."""

    id: int
    place: str
    config: dict[str, str]
    events: list[str]
    active: bool = True
    tries: list[Try] = field(default_factory=list)

    @property
    def content_type(self) -> str:
        return github.JSON if self.config.get("content_type") == "json" else github.FORM


class Hooks(Part):
    """`hooks` has those of all organizations and repositories, `app_hook` is the App's, for `app_events`.

    `pushed` is what GitHub does for a push: it tells each hook that has a right to hear of it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.hooks: list[StoredHook] = []
        self.app_hook = StoredHook(1, "app", {"url": "", "content_type": "form", "insecure_ssl": "0"}, [])
        self.refuses_redelivery = False  # to who may only read
        self._hook_ids, self._tries = itertools.count(321_104_258), itertools.count(9_007_199_254_740_993)
        self._sending: set[asyncio.Task[None]] = set()

    def add_hook(self, place: str, url: str, secret: str = "", **more: Any) -> StoredHook:
        """A hook as a person makes it; `more`: `events`, `active`, `content_type`, `insecure_ssl`."""
        config = {"url": url, "content_type": more.pop("content_type", "json"),
                  "insecure_ssl": more.pop("insecure_ssl", "0")} | ({"secret": secret} if secret else {})  # fmt: skip
        hook = StoredHook(next(self._hook_ids), place, config, more.pop("events", ["package"]), **more)
        self.hooks.append(hook)
        return hook

    async def pushed(self, body: Body, repository: str = "", at: datetime | None = None) -> list[Try]:
        """Tells who listens of a push; `body` as `lab.github.push` makes it, `repository`: what it is linked to."""
        owner = str(body["organization"]["login"])
        places = {f"orgs/{owner}".lower(), f"repos/{repository}".lower() if repository else ""}
        sent = [
            await self.deliver(hook, "package", body, at)
            for hook in self.hooks
            if hook.active and hook.place.lower() in places and {"package", "*"} & set(hook.events)
        ]
        if "registry_package" in self.app_events and self.app_hook.config["url"]:
            told = {"registry_package" if key == "package" else key: value for key, value in body.items()}
            sent.append(await self.deliver(self.app_hook, "registry_package", told, at))
        return sent

    async def deliver(self, hook: StoredHook, event: str, body: Body, at: datetime | None = None) -> Try:
        """One delivery, sent once. `at`: when that is said to have been."""
        raw = github.encode(body, hook.content_type)
        made = Try(next(self._tries), str(uuid.uuid4()), event, raw, at or datetime.now(UTC))
        await _send(hook, made)
        hook.tries.append(made)
        return made

    def routes(self) -> Sequence[web.RouteDef]:
        hooks = "/{kind:orgs}/{owner}/hooks", "/{kind:repos}/{owner}/{repository}/hooks"
        ones = *(f"{path}/{{id}}" for path in hooks), "/app/hook"
        return [
            *super().routes(),
            *(web.get(path, self._list_hooks) for path in hooks),
            *(web.post(path, self._create_hook) for path in hooks),
            *(web.patch(path, self._change_hook) for path in ones[:2]),
            *(web.post(f"{path}/pings", self._ping_hook) for path in ones[:2]),
            web.get("/app/hook/config", self._app_config),
            web.patch("/app/hook/config", self._change_app),
            *(web.get(f"{path}/deliveries", self._deliveries) for path in ones),
            *(web.get(f"{path}/deliveries/{{delivery}}", self._delivery) for path in ones),
            *(web.post(f"{path}/deliveries/{{delivery}}/attempts", self._attempt) for path in ones),
        ]

    async def _list_hooks(self, request: web.Request) -> web.Response:
        place = self._hooks_place(request)
        shown = [_shown(hook) for hook in self.hooks if hook.place.lower() == place.lower()]
        return web.json_response(shown)

    # https://docs.github.com/en/rest/orgs/webhooks#create-an-organization-webhook
    async def _create_hook(self, request: web.Request) -> web.Response:
        place, body = self._hooks_place(request), await request.json()
        if body.get("name") != "web" or not str(body.get("config", {}).get("url", "")).startswith("http"):
            return refusal(422, "Validation Failed")
        same = (hook for hook in self.hooks if hook.place.lower() == place.lower())
        if any(hook.config["url"] == body["config"]["url"] for hook in same):
            return refusal(422, "Validation Failed: Hook already exists on this organization")
        hook = self.add_hook(place, **{"secret": ""} | body["config"], events=body["events"], active=body["active"])
        self._send_later(self.deliver(hook, "ping", _ping_of(hook)))
        return web.json_response(_shown(hook), status=201)

    async def _change_hook(self, request: web.Request) -> web.Response:
        hook, body = self._hook(request), await request.json()
        if "config" in body:  # replaced as a whole: one without a secret takes the secret away
            hook.config = dict(body["config"])
        hook.events = body.get("events", hook.events)
        hook.active = body.get("active", hook.active)
        return web.json_response(_shown(hook))

    async def _ping_hook(self, request: web.Request) -> web.Response:
        hook = self._hook(request)
        self._send_later(self.deliver(hook, "ping", _ping_of(hook)))
        return web.Response(status=204)

    # https://docs.github.com/en/rest/apps/webhooks
    async def _app_config(self, request: web.Request) -> web.Response:
        return web.json_response(_hidden(self._hook(request).config))

    async def _change_app(self, request: web.Request) -> web.Response:
        hook = self._hook(request)
        hook.config |= await request.json()
        return web.json_response(_hidden(hook.config))

    # https://docs.github.com/en/rest/orgs/webhooks#list-deliveries-for-an-organization-webhook
    async def _deliveries(self, request: web.Request) -> web.Response:
        found = [each for each in reversed(self._hook(request).tries) if datetime.now(UTC) - each.at < KEPT]
        wanted = {"success": range(200, 400), "failure": range(400, 600)}.get(request.query.get("status", ""))
        found = [each for each in found if wanted is None or each.status_code in wanted]
        if cursor := request.query.get("cursor"):
            found = [each for each in found if each.id <= int(cursor.removeprefix("v1_"))]
        size = min(int(request.query.get("per_page", "30")), LARGEST_PAGE)
        headers = links(request, self.url, {"next": f"cursor=v1_{found[size].id}"}) if len(found) > size else {}
        shown = orjson.dumps([_sent(each) for each in found[:size]])
        return web.Response(body=shown, content_type="application/json", headers=headers)

    async def _delivery(self, request: web.Request) -> web.Response:
        hook = self._hook(request)
        found = _try(request, hook)
        return web.json_response(_sent(found) | {
            "url": hook.config["url"], "request": {"headers": {}, "payload": orjson.loads(found.raw)}
            if hook.content_type == github.JSON else {}, "response": {"headers": {}, "payload": found.response},
        })  # fmt: skip

    async def _attempt(self, request: web.Request) -> web.Response:
        """The same body and id, with a signature by the secret of now."""
        hook = self._hook(request)
        found = _try(request, hook)
        if self.refuses_redelivery:
            raise web.HTTPNotFound
        self._send_later(self._deliver_again(hook, found))
        return web.json_response({}, status=202)

    async def _deliver_again(self, hook: StoredHook, found: Try) -> None:
        made = Try(next(self._tries), found.guid, found.event, found.raw, datetime.now(UTC), is_redelivery=True)
        await _send(hook, made)
        hook.tries.append(made)

    def _send_later(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    def _hooks_place(self, request: web.Request) -> str:
        """Raises 404 for who may not see its hooks, as GitHub does."""
        kind, owner = request.match_info["kind"], request.match_info["owner"]
        if request[CALLER].kind != "person" or not SCOPES[kind] & self.scopes:
            raise web.HTTPNotFound
        if kind == "orgs" and owner.lower() in {name.lower() for name in self.users}:
            raise web.HTTPNotFound
        return "/".join(filter(None, (kind, owner, request.match_info.get("repository"))))

    def _hook(self, request: web.Request) -> StoredHook:
        if "kind" not in request.match_info:
            if request[CALLER].kind != "app":
                raise web.HTTPUnauthorized
            return self.app_hook
        place, id = self._hooks_place(request), request.match_info["id"]
        for hook in self.hooks:
            if (hook.place.lower(), str(hook.id)) == (place.lower(), id):
                return hook
        raise web.HTTPNotFound


def _try(request: web.Request, hook: StoredHook) -> Try:
    for each in hook.tries:
        if str(each.id) == request.match_info["delivery"] and datetime.now(UTC) - each.at < KEPT:
            return each
    raise web.HTTPNotFound


# https://docs.github.com/en/webhooks/using-webhooks/best-practices-for-using-webhooks#respond-within-10-seconds
async def _send(hook: StoredHook, made: Try) -> None:
    secret = hook.config.get("secret", "")
    headers = github.headers(secret, made.raw, event=made.event, delivery=made.guid, content_type=hook.content_type)
    headers |= {"X-GitHub-Hook-ID": str(hook.id)}
    if not secret:
        del headers["X-Hub-Signature-256"]
    timeout = aiohttp.ClientTimeout(total=github.TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(hook.config["url"], data=made.raw, headers=headers, allow_redirects=False) as answer,
        ):
            made.status_code, made.response = answer.status, await answer.text()
            is_good = 200 <= answer.status < 300
            made.status = "OK" if is_good else f"Invalid HTTP Response: {answer.status}"
    except TimeoutError:
        made.status_code, made.status = TIMED_OUT
    except (aiohttp.ClientError, OSError, ValueError):
        made.status_code, made.status = UNREACHABLE


def _ping_of(hook: StoredHook) -> Body:
    return github.sample("ping") | {"hook_id": hook.id, "at": time.time_ns()}


def _shown(hook: StoredHook) -> Body:
    return {
        "id": hook.id, "name": "web", "type": "Organization" if hook.place.startswith("orgs") else "Repository",
        "active": hook.active, "events": hook.events, "config": _hidden(hook.config),
    }  # fmt: skip


def _hidden(config: dict[str, str]) -> dict[str, str]:
    return config | ({"secret": HIDDEN} if config.get("secret") else {})


def _sent(found: Try) -> Body:
    at = found.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "id": found.id, "guid": found.guid, "delivered_at": at, "redelivery": found.is_redelivery, "duration": 0.2,
        "status": found.status, "status_code": found.status_code, "event": found.event,
        "action": None if found.event == "ping" else "published", "installation_id": None, "repository_id": None,
    }  # fmt: skip
