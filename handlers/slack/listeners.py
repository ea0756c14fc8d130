"""Bolt: one listener for each kind of thing that Slack sends, each with a catch-all, over HTTP or Socket Mode.

To add a kind: a listener in `_listen`, a method of `Chat`.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import aiohttp
from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_sdk.errors import SlackClientError

from bot.chat import Place
from bot.notifiers.slack.client import Identity, SlackClient
from handlers.chatops.reply import Reply
from handlers.slack.forms import CALLBACK, PICK, Filled, options, read
from handlers.slack.replies import message_of

ANY = re.compile(r".*", re.DOTALL)
RUN = re.compile(r"o8:run:\d+")
PICKED = re.compile(rf"{PICK}.+")
SHORTCUT = "o8_deploy"
RETRY_S = 5.0
Body = dict[str, Any]
_log = logging.getLogger(__name__)
# Bolt says at each start that it ignores SLACK_BOT_TOKEN, as it is `authorize` that gives it the token.
logging.getLogger("slack_bolt.AsyncApp").addFilter(lambda record: "will be ignored" not in record.getMessage())


class Ears(Protocol):
    """What listeners tell, and to whom: `handlers.slack.chat.Chat`. None of it takes long."""

    def is_new(self, key: str) -> bool: ...

    def hear(
        self, user: str, team: str, text: str, place: Place, key: str, trigger: str = "", about: str = ""
    ) -> None: ...

    async def hear_at_once(
        self, user: str, team: str, text: str, place: Place, key: str, trigger: str
    ) -> Reply | None: ...

    def submit(self, user: str, team: str, filled: Filled) -> None: ...

    async def choices(self, user: str, team: str, source: str, query: str, view: Body) -> list[str]: ...

    def home_opened(self, user: str, team: str) -> None: ...

    def account_changed(self, user: str, team: str, *, is_active: bool) -> None: ...


class Transport:
    """The bolt app in front of `chat`. With an `app_token` it speaks Socket Mode."""

    def __init__(
        self, chat: Ears, client: SlackClient, identity: Callable[[], Identity | None], app_token: str
    ) -> None:
        self._chat = chat
        # Bolt's own check is off: ours is stricter, and was made already. Who we are is asked once, not here.
        self._app = AsyncApp(
            client=client.web, authorize=_authorizing(client.web.token or "", identity),
            request_verification_enabled=False, signing_secret="checked at the door",  # noqa: S106
        )  # fmt: skip
        self._socket = AsyncSocketModeHandler(self._app, app_token, web_client=client.web) if app_token else None
        self._listen()

    @property
    def is_socket(self) -> bool:
        return self._socket is not None

    async def dispatch(self, payload: Body) -> web.Response:
        """The answer to what a genuine request says. Bolt sees none of its headers, so it can believe none."""
        return await to_aiohttp_response(
            await self._app.async_dispatch(AsyncBoltRequest(body=payload, mode="socket_mode"))
        )

    async def connect(self) -> None:
        """Socket Mode: tries until the WebSocket stands; the library keeps it up from then on."""
        while self._socket:
            try:
                await self._socket.connect_async()  # type: ignore[no-untyped-call]
                return
            except (SlackClientError, aiohttp.ClientError, OSError, TimeoutError) as trouble:
                _log.warning("Slack's socket cannot be opened: %s", trouble)
                await asyncio.sleep(RETRY_S)

    async def close(self) -> None:
        if self._socket:
            await self._socket.close_async()  # type: ignore[no-untyped-call]

    def _listen(self) -> None:
        app = self._app
        app.command(ANY)(self._command)
        app.action(RUN)(self._button)
        app.action(ANY)(self._stale)
        app.view(CALLBACK)(self._form)
        app.view(ANY)(self._ignored)
        app.view_closed(ANY)(self._ignored)
        app.options(PICKED)(self._menu)
        app.options(ANY)(self._no_choices)
        app.shortcut(SHORTCUT)(self._deploy_form)
        app.shortcut(ANY)(self._ignored)
        app.event("app_mention")(self._mention)
        app.event("message")(self._message)
        app.event("app_home_opened")(self._home)
        app.event("user_change")(self._account)
        app.event(ANY)(self._ignored)

    async def _command(self, ack: AsyncAck, body: Body) -> None:
        user, team, trigger = body.get("user_id", ""), body.get("team_id", ""), body.get("trigger_id", "")
        place = Place(
            team=team, user=user, channel=body.get("channel_id", ""), response_url=body.get("response_url", "")
        )
        reply = None
        if self._chat.is_new(trigger):
            reply = await self._chat.hear_at_once(user, team, body.get("text", ""), place, trigger, trigger)
        if reply is None:
            await ack()
            return
        found = message_of(reply)
        await ack(response_type="ephemeral", text=found.text, blocks=found.blocks)

    async def _button(self, ack: AsyncAck, body: Body, action: Body) -> None:
        key = f"{body.get('trigger_id', '')}:{action.get('action_id', '')}"
        if self._chat.is_new(key):
            user, team = _who(body)
            self._chat.hear(user, team, action.get("value", ""), _place(body), key, body.get("trigger_id", ""))
        await ack()

    async def _stale(self, ack: AsyncAck, body: Body) -> None:
        """A button of an older o8, or a menu of a form, which needs no answer."""
        if body.get("message"):
            user, team = _who(body)
            self._chat.hear(user, team, "help", _place(body), f"{body.get('trigger_id', '')}:stale")
        await ack()

    async def _form(self, ack: AsyncAck, body: Body, view: Body) -> None:
        try:
            filled = read(view)
        except ValueError:
            _log.warning("A form came back that o8 did not make")
            await ack()
            return
        if self._chat.is_new(body.get("trigger_id") or view.get("id", "")):
            user, team = _who(body)
            self._chat.submit(user, team, filled)
        await ack()

    async def _menu(self, ack: AsyncAck, body: Body) -> None:
        user, team = _who(body)
        source = body.get("action_id", "").removeprefix(PICK)
        found = await self._chat.choices(user, team, source, body.get("value", ""), body.get("view") or {})
        await ack(**options(found))

    async def _no_choices(self, ack: AsyncAck) -> None:
        await ack(options=[])

    async def _deploy_form(self, ack: AsyncAck, body: Body) -> None:
        user, team = _who(body)
        trigger = body.get("trigger_id", "")
        if self._chat.is_new(trigger):
            self._chat.hear(user, team, "deploy", Place(team=team, user=user), trigger, trigger)
        await ack()

    async def _mention(self, ack: AsyncAck, body: Body, event: Body) -> None:
        self._say(body, event)
        await ack()

    async def _message(self, ack: AsyncAck, body: Body, event: Body) -> None:
        """Only what people write to o8 alone; never its own words, edits and the like."""
        if event.get("channel_type") == "im" and not event.get("subtype"):
            self._say(body, event)
        await ack()

    async def _home(self, ack: AsyncAck, body: Body, event: Body) -> None:
        if event.get("tab", "home") == "home":
            self._chat.home_opened(event.get("user", ""), body.get("team_id", ""))
        await ack()

    async def _account(self, ack: AsyncAck, body: Body, event: Body) -> None:
        user = event.get("user") or {}
        is_active = not user.get("deleted", False)
        team = user.get("team_id") or body.get("team_id") or ""
        self._chat.account_changed(user.get("id", ""), team, is_active=is_active)
        await ack()

    async def _ignored(self, ack: AsyncAck) -> None:
        await ack()

    def _say(self, body: Body, event: Body) -> None:
        user = event.get("user", "")
        if not user or event.get("bot_id") or not self._chat.is_new(body.get("event_id", "")):
            return
        team = event.get("user_team") or event.get("team") or body.get("team_id", "")
        thread = event.get("thread_ts", "")
        place = Place(
            team=team, user=user, channel=event.get("channel", ""), thread=thread,
            is_direct=event.get("channel_type") == "im",
        )  # fmt: skip
        self._chat.hear(user, team, event.get("text", ""), place, body.get("event_id", ""), about=thread)


def _authorizing(token: str, identity: Callable[[], Identity | None]) -> Callable[..., Awaitable[AuthorizeResult]]:
    """What bolt asks before each listener: answered from what is known, without a call to Slack."""

    async def authorize(enterprise_id: str | None, team_id: str | None) -> AuthorizeResult:
        found = identity()
        team, bot_user = (found.team, found.bot_user) if found else (team_id, None)
        return AuthorizeResult(enterprise_id=enterprise_id, team_id=team, bot_token=token, bot_user_id=bot_user)

    return authorize


def _who(body: Body) -> tuple[str, str]:
    """User and their workspace, of a button, form, menu or shortcut."""
    user = body.get("user") or {}
    return user.get("id", ""), user.get("team_id") or (body.get("team") or {}).get("id", "")


def _place(body: Body) -> Place:
    user, team = _who(body)
    message = body.get("message") or {}
    return Place(
        team=team, user=user, channel=(body.get("channel") or {}).get("id", ""), thread=message.get("thread_ts") or "",
        response_url=body.get("response_url", ""),
    )  # fmt: skip
