"""Slack's Web API over real TCP, as strict as Slack: tokens, membership, limits, trigger and response addresses."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from lab.slack.limits import check_message
from lab.slack.workspace import SlackMessage, Workspace

Body = dict[str, Any]
UPDATES_PER_MIN, POSTS_BURST = 50, 3
TRIGGER_S, RESPONSE_S, RESPONSES = 3.0, 1800.0, 5


class Refused(Exception):
    """An answer `ok: false`; `more` goes with it."""

    def __init__(self, error: str, **more: Any) -> None:
        super().__init__(error)
        self.error = error
        self.more = more


@dataclass
class Call:
    """One request as it came, and what was answered."""

    at: float
    method: str
    body: Body
    status: int = 200
    error: str = ""


@dataclass
class Response:
    """A response_url: where it answers to, and how often it was used."""

    user: str
    channel: str
    made_at: float
    uses: int = 0


class FakeSlack(Workspace):
    """Started by `fake_slack()`. `url` is the Web API's base; `bodies` is every byte that was ever received."""

    def __init__(self, clock: Callable[[], float] = time.time, *, enforces_rates: bool = True) -> None:
        super().__init__(clock)
        self.url = ""
        self.origin = ""
        self.signing_secret = secrets.token_hex(16)
        self.bot_token = f"xoxb-{secrets.token_hex(12)}"
        self.app_token = f"xapp-{secrets.token_hex(12)}"
        self.calls: list[Call] = []
        self.bodies: list[bytes] = []
        self.enforces_rates = enforces_rates
        self.at_end: list[Callable[[], Awaitable[None]]] = []  # what drivers have opened
        self.triggers: dict[str, float] = {}
        self.trigger_users: dict[str, str] = {}
        self.responses: dict[str, Response] = {}
        self.sockets: list[web.WebSocketResponse] = []
        self.acks: dict[str, asyncio.Future[Any]] = {}
        self._faults: defaultdict[str, deque[str]] = defaultdict(deque)
        self._limited: dict[str, float] = {}
        self._updates: deque[float] = deque()
        self._posts: defaultdict[str, deque[float]] = defaultdict(deque)
        self._is_down = False
        self._slow_s = 0.0
        self._drops = 0
        self._is_revoked = False
        self.missing_scopes: set[str] = set()  # methods for which the app lacks the scope

    # -- what a test looks at

    @property
    def environ(self) -> dict[str, str]:
        """Settings for an o8 of this workspace."""
        return {
            "SLACK_API_URL": self.url, "SLACK_BOT_TOKEN": self.bot_token,
            "SLACK_SIGNING_SECRET": self.signing_secret, "SLACK_CHANNEL": "#deployments",
        }  # fmt: skip

    def messages(self, channel: str) -> list[SlackMessage]:
        """What everybody sees in a channel, in order; threads too."""
        found = self.channel(channel)
        return [m for m in found.messages if not m.ephemeral_to and not m.is_deleted] if found else []

    def thread(self, channel: str, ts: str) -> list[SlackMessage]:
        return [m for m in self.messages(channel) if m.thread_ts == ts]

    def ephemerals(self, user: str) -> list[SlackMessage]:
        """What only `user` sees, in all channels, in order; direct messages of the bot too."""
        everything = [m for c in self.channels.values() for m in c.messages if m.ephemeral_to == user]
        return sorted([*everything, *self.dms(user)], key=lambda m: m.ts)

    def dms(self, user: str) -> list[SlackMessage]:
        return [m for c in self.channels.values() if c.direct_to == user for m in c.messages if m.user == self.bot_user]

    def home(self, user: str) -> Body | None:
        return self.homes.get(user)

    # -- what goes wrong

    def down(self) -> None:
        """Connections end without an answer, and nothing is carried out."""
        self._is_down = True

    def up(self) -> None:
        self._is_down = False

    def slow(self, seconds: float) -> None:
        self._slow_s = seconds

    def rate_limit(self, seconds: float, method: str = "") -> None:
        """429 for `seconds` of the clock, to one method or all."""
        self._limited[method] = self.clock() + seconds

    def drop_answers(self, count: int) -> None:
        """Carries out the next posts, then closes the connection without an answer."""
        self._drops = count

    def fail(self, method: str, error: str, times: int = 1) -> None:
        self._faults[method].extend([error] * times)

    def revoke_token(self) -> None:
        self._is_revoked = True

    def restore_token(self) -> None:
        self._is_revoked = False

    def archive(self, channel: str) -> None:
        if found := self.channel(channel):
            found.is_archived = True

    def remove_bot(self, channel: str) -> None:
        if found := self.channel(channel):
            found.has_bot = False

    def delete_message(self, message: SlackMessage) -> None:
        message.is_deleted = True

    def new_trigger(self, user: str) -> str:
        """Opens one view within three seconds."""
        trigger = f"{secrets.token_hex(6)}.{secrets.token_hex(6)}"
        self.triggers[trigger] = self.clock()
        self.trigger_users[trigger] = user
        return trigger

    def new_response_url(self, user: str, channel: str) -> str:
        key = secrets.token_hex(8)
        self.responses[key] = Response(user, channel, self.clock())
        return f"{self.origin}/response/{key}"

    # -- HTTP

    def application(self) -> web.Application:
        application = web.Application(client_max_size=64 * 1024 * 1024)
        application.add_routes([
            web.post("/api/{method}", self._answer), web.get("/api/{method}", self._answer),
            web.post("/response/{key}", self._respond), web.post("/upload/{key}", self._upload),
            web.get("/socket", self._socket),
        ])  # fmt: skip
        return application

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        self.bodies.append(raw)
        if self._is_down:
            return _cut(request)
        if self._slow_s:
            await asyncio.sleep(self._slow_s)
        method = request.match_info["method"]
        call = Call(self.clock(), method, await _body(request, raw))
        self.calls.append(call)
        if retry := self._is_limited(call):
            call.status = 429
            headers = {"Retry-After": str(retry)}
            return web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers=headers)
        try:
            self._check_token(method, request)
            if self._faults[method]:
                raise Refused(self._faults[method].popleft())
            answer = await METHODS[method](self, call.body) if method in METHODS else _unknown()
        except Refused as refusal:
            call.error = refusal.error
            answer = {"ok": False, "error": refusal.error, **refusal.more}
        if self._drops and method in ("chat.postMessage", "chat.update") and not call.error:
            self._drops -= 1
            return _cut(request)
        return web.json_response({"ok": True, **answer})

    def _is_limited(self, call: Call) -> int:
        """Seconds to wait, 0 when the call is in time."""
        for method in ("", call.method):
            if (until := self._limited.get(method, 0)) > call.at:
                return int(until - call.at) + 1
        if not self.enforces_rates:
            return 0
        if call.method == "chat.update":
            return _over(self._updates, call.at, 60, UPDATES_PER_MIN)
        if call.method == "chat.postMessage":
            channel = self.channel(str(call.body.get("channel", "")))
            return _over(self._posts[channel.id if channel else ""], call.at, POSTS_BURST, POSTS_BURST)
        return 0

    def _check_token(self, method: str, request: web.Request) -> None:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        expected = self.app_token if method == "apps.connections.open" else self.bot_token
        if not given:
            raise Refused("not_authed")
        if given != expected:
            raise Refused("invalid_auth")
        if self._is_revoked:
            raise Refused("token_revoked")
        if method in self.missing_scopes:
            raise Refused("missing_scope", needed=f"the scope of {method}", provided="")

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        self.bodies.append(raw)
        if self._is_down:
            return _cut(request)
        found = self.responses.get(request.match_info["key"])
        if found is None or found.uses >= RESPONSES or self.clock() > found.made_at + RESPONSE_S:
            return web.Response(status=404, text="expired_url" if found is None else "used_url")
        found.uses += 1
        body = json.loads(raw)
        if problems := check_message(body):
            return web.json_response({"ok": False, "error": "invalid_blocks", "problems": problems})
        channel = self.channel(found.channel) or self.direct(found.user)
        to = "" if body.get("response_type") == "in_channel" else found.user
        channel.messages.append(SlackMessage(
            channel.id, self.new_ts(), body.get("text", ""), body.get("blocks") or [], self.bot_user, ephemeral_to=to
        ))  # fmt: skip
        return web.Response(text="ok")

    async def _upload(self, request: web.Request) -> web.Response:
        raw = await request.read()
        self.bodies.append(raw)
        content = raw
        if request.content_type.startswith("multipart/"):
            _, _, rest = raw.partition(b"\r\n\r\n")
            content = rest.rpartition(b"\r\n--")[0]
        self.files[request.match_info["key"]].content = content
        return web.Response(text="OK")

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        """Socket Mode: envelopes out, acknowledgements in."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "hello", "num_connections": 1, "connection_info": {"app_id": "A0LAB"}})
        self.sockets.append(socket)
        async for message in socket:
            if message.type == web.WSMsgType.TEXT:
                answer = json.loads(message.data)
                if waiting := self.acks.pop(answer.get("envelope_id", ""), None):
                    waiting.set_result(answer.get("payload"))
        self.sockets.remove(socket)
        return socket


@asynccontextmanager
async def fake_slack(
    clock: Callable[[], float] = time.time, *, enforces_rates: bool = True
) -> AsyncIterator[FakeSlack]:
    """Serves on 127.0.0.1, with a channel #deployments, until the block ends."""
    slack = FakeSlack(clock, enforces_rates=enforces_rates)
    slack.add_channel("deployments")
    runner = web.AppRunner(slack.application(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    slack.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
    slack.url = f"{slack.origin}/api/"
    try:
        yield slack
    finally:
        for end in slack.at_end:
            await end()
        await runner.cleanup()


async def _body(request: web.Request, raw: bytes) -> Body:
    """JSON, form or query, with the JSON that forms carry as text read."""
    if request.content_type == "application/json":
        return dict(json.loads(raw or b"{}"))
    found: Body = dict(request.query) | (dict(await request.post()) if raw else {})
    for name in ("blocks", "view", "metadata", "files"):
        if isinstance(found.get(name), str):
            found[name] = json.loads(found[name])
    return found


def _over(times: deque[float], now: float, seconds: float, most: int) -> int:
    while times and times[0] <= now - seconds:
        times.popleft()
    if len(times) >= most:
        return int(times[0] + seconds - now) + 1
    times.append(now)
    return 0


def _cut(request: web.Request) -> web.Response:
    if request.transport:
        request.transport.abort()
    return web.Response()


def _unknown() -> Body:
    raise Refused("unknown_method")


# -- the methods: https://docs.slack.dev/reference/methods

METHODS: dict[str, Callable[[FakeSlack, Body], Any]] = {}


def method(name: str) -> Callable[[Callable[[FakeSlack, Body], Any]], Callable[[FakeSlack, Body], Any]]:
    def register(handler: Callable[[FakeSlack, Body], Any]) -> Callable[[FakeSlack, Body], Any]:
        METHODS[name] = handler
        return handler

    return register
