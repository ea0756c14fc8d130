"""What people do in Slack, sent to o8 as Slack sends it: signed over the raw bytes, or through Socket Mode."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import secrets
import time
from typing import Any, NamedTuple
from urllib.parse import urlencode

import aiohttp

from lab.slack.screen import buttons
from lab.slack.server import FakeSlack
from lab.slack.workspace import SlackChannel, SlackMessage, SlackView

PATH = "/slack/events"
PATIENCE_S = 3.0  # Slack shows the person an error after that


class Answer(NamedTuple):
    """What o8 answered, and how many seconds it took. Later than `PATIENCE_S` is an error in Slack's eyes."""

    status: int
    body: str
    seconds: float

    @property
    def message(self) -> dict[str, Any]:
        """The answer of a command, which is shown to who gave it."""
        return dict(json.loads(self.body)) if self.body.startswith("{") else {"text": self.body}

    @property
    def is_in_time(self) -> bool:
        return self.status == 200 and self.seconds < PATIENCE_S


class SlackDriver:
    """`url` is where o8 listens; with `by_socket` the same goes through the WebSocket that o8 has opened."""

    def __init__(self, slack: FakeSlack, url: str = "", *, by_socket: bool = False) -> None:
        self.slack = slack
        self._url = url
        self._by_socket = by_socket
        self._session: aiohttp.ClientSession | None = None

    async def command(self, user: str, command: str, text: str, channel: str = "deployments", **more: str) -> Answer:
        """A slash command."""
        place = self._place(channel)
        return await self._form({
            "token": "unused", "team_id": self._team(user), "team_domain": "lab", "channel_id": place.id,
            "channel_name": place.name, "user_id": user, "user_name": self.slack.users[user].name, "command": command,
            "text": text, "api_app_id": "A0LAB", "is_enterprise_install": "false",
            "response_url": self.slack.new_response_url(user, place.id), "trigger_id": self.slack.new_trigger(user),
        } | more, "slash_commands")  # fmt: skip

    async def click(self, user: str, message: SlackMessage, label: str = "", *, value: str = "") -> Answer:
        """Presses a button that the message really has, found by its label or value."""
        found = next(
            (b for b in buttons(message.blocks) if label == b["text"]["text"] or value == b.get("value")), None
        )
        if found is None:
            raise LookupError(f"no button {label or value!r} in {message.blocks}")
        return await self.press(user, message, {"action_id": found["action_id"], "value": found.get("value", "")})

    async def press(self, user: str, message: SlackMessage, action: dict[str, str]) -> Answer:
        """Any action on a message, also one that it does not have (any more)."""
        return await self._interaction("block_actions", user, {
            "channel": {"id": message.channel, "name": "x"},
            "message": {"ts": message.ts, "text": message.text, "blocks": message.blocks,
                        "thread_ts": message.thread_ts},
            "container": {"type": "message", "message_ts": message.ts, "channel_id": message.channel},
            "actions": [{"type": "button", "block_id": "b", "action_ts": self.slack.new_ts(), **action}],
            "response_url": self.slack.new_response_url(user, message.channel),
        })  # fmt: skip

    async def press_home(self, user: str, label: str) -> Answer:
        """A button of the App Home."""
        view = self.slack.homes[user]
        found = next(b for b in buttons(view["blocks"]) if b["text"]["text"] == label)
        action = {"type": "button", "action_id": found["action_id"], "value": found.get("value", ""), "block_id": "b"}
        return await self._interaction(
            "block_actions",
            user,
            {"view": {"id": "V0HOME", **view}, "container": {"type": "view"}, "actions": [action]},
        )

    async def submit(self, user: str, view: SlackView, values: dict[str, str]) -> Answer:
        """Fills a modal in, by the names of its inputs, and sends it."""
        state = {
            block["block_id"]: {block["element"]["action_id"]: entered(block["element"], values[block["block_id"]])}
            for block in view.view["blocks"]
            if block["type"] == "input" and block["block_id"] in values
        }
        unknown = set(values) - set(state)
        if unknown:
            raise LookupError(f"the modal has no {unknown}")
        answer = await self._interaction("view_submission", user, {
            "view": {"id": view.id, **view.view, "state": {"values": state}}, "response_urls": [],
        })  # fmt: skip
        view.is_open = bool(answer.body) and "errors" in answer.body
        return answer

    async def options(self, user: str, action_id: str, query: str = "", view: SlackView | None = None) -> Answer:
        """Type-ahead in a menu."""
        return await self._interaction("block_suggestion", user, {
            "action_id": action_id, "block_id": "b", "value": query,
            "view": {"id": view.id, **view.view} if view else {"id": "V0", "type": "modal", "blocks": []},
        })  # fmt: skip

    async def shortcut(self, user: str, callback_id: str) -> Answer:
        return await self._interaction("shortcut", user, {"callback_id": callback_id})

    async def mention(self, user: str, channel: str, text: str, thread: str = "", **more: Any) -> Answer:
        """Speaks to the bot in a channel or thread. As in Slack the message is there before o8 hears of it."""
        place = self._place(channel)
        ts = self._say(place, user, f"<@{self.slack.bot_user}> {text}", thread)
        event = {"type": "app_mention", "user": user, "text": f"<@{self.slack.bot_user}> {text}", "ts": ts,
                 "channel": place.id, "event_ts": ts} | ({"thread_ts": thread} if thread else {})  # fmt: skip
        return await self.event(event, user, **more)

    async def direct(self, user: str, text: str, **more: Any) -> Answer:
        """Writes to the bot alone."""
        place = self.slack.direct(user)
        ts = self._say(place, user, text, "")
        event = {"type": "message", "channel_type": "im", "user": user, "text": text, "ts": ts, "channel": place.id}
        return await self.event(event | {"event_ts": ts}, user, **more)

    async def home_opened(self, user: str) -> Answer:
        return await self.event({"type": "app_home_opened", "user": user, "tab": "home", "channel": "D0"}, user)

    async def event(self, event: dict[str, Any], user: str = "", *, id: str = "", headers: Any = None) -> Answer:
        """Any event of the Events API. The same `id` is how Slack tries again."""
        body = {
            "type": "event_callback", "team_id": self._team(user), "api_app_id": "A0LAB", "event": event,
            "event_id": id or f"Ev{secrets.token_hex(6)}", "event_time": int(time.time()),
            "authorizations": [{"team_id": self.slack.team, "user_id": self.slack.bot_user, "is_bot": True}],
        }  # fmt: skip
        if self._by_socket:
            return await self._envelope("events_api", body)
        return await self.raw(json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})})

    async def url_verification(self, challenge: str) -> Answer:
        body = json.dumps({"type": "url_verification", "challenge": challenge, "token": "unused"}).encode()
        return await self.raw(body, {"Content-Type": "application/json"})

    async def raw(self, body: bytes, headers: dict[str, str] | None = None, *, signs: bool = True) -> Answer:
        """Any bytes; `headers` replace ours, so that forged ones can be tried."""
        stamp = str(int(time.time()))
        given = {"Content-Type": "application/x-www-form-urlencoded"}
        if signs:
            given |= {
                "X-Slack-Request-Timestamp": stamp,
                "X-Slack-Signature": sign(self.slack.signing_secret, stamp, body),
            }
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0)
            self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=30))
            self.slack.at_end.append(self._session.close)
        begun = time.monotonic()
        async with self._session.post(self._url + PATH, data=body, headers=given | (headers or {})) as answer:
            text = await answer.text()
            return Answer(answer.status, text, time.monotonic() - begun)

    async def _interaction(self, kind: str, user: str, fields: dict[str, Any]) -> Answer:
        team = self._team(user)
        payload = {
            "type": kind, "team": {"id": team, "domain": "lab"}, "token": "unused", "api_app_id": "A0LAB",
            "user": {"id": user, "username": self.slack.users[user].name, "name": "x", "team_id": team},
            "trigger_id": self.slack.new_trigger(user), "is_enterprise_install": False, "enterprise": None,
        } | fields  # fmt: skip
        if self._by_socket:
            return await self._envelope("interactive", payload)
        return await self.raw(urlencode({"payload": json.dumps(payload)}).encode())

    async def _form(self, fields: dict[str, str], kind: str) -> Answer:
        return await (self._envelope(kind, fields) if self._by_socket else self.raw(urlencode(fields).encode()))

    async def _envelope(self, kind: str, payload: dict[str, Any]) -> Answer:
        id, begun = secrets.token_hex(8), time.monotonic()
        waiting: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.slack.acks[id] = waiting
        envelope = {"envelope_id": id, "type": kind, "payload": payload, "accepts_response_payload": True}
        await self.slack.sockets[-1].send_json(envelope)
        answer = await asyncio.wait_for(waiting, 30)
        body = answer if isinstance(answer, str) else json.dumps(answer) if answer else ""
        return Answer(200, body, time.monotonic() - begun)

    def _place(self, channel: str) -> SlackChannel:
        found = self.slack.channel(channel)
        if found is None:
            raise LookupError(f"no channel {channel!r}")
        return found

    def _team(self, user: str) -> str:
        return self.slack.users[user].team if user in self.slack.users else self.slack.team

    def _say(self, place: SlackChannel, user: str, text: str, thread: str) -> str:
        ts = self.slack.new_ts()
        place.messages.append(SlackMessage(place.id, ts, text, [], user, thread))
        return ts


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """https://docs.slack.dev/authentication/verifying-requests-from-slack"""
    base = b"v0:" + timestamp.encode() + b":" + body
    return f"v0={hmac.new(secret.encode(), base, hashlib.sha256).hexdigest()}"


def entered(element: dict[str, Any], value: str) -> dict[str, Any]:
    """The state of an input in which somebody entered or chose `value`."""
    if element["type"] in ("static_select", "external_select"):
        option = {"text": {"type": "plain_text", "text": value}, "value": value}
        return {"type": element["type"], "selected_option": option}
    return {"type": element["type"], "value": value}
