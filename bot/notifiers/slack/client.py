"""Slack's Web API, one call at a time, with every answer named. Nothing is tried again here: the outbox decides.

https://docs.slack.dev/apis/web-api
"""

from __future__ import annotations

from typing import Any, NamedTuple

import aiohttp
from slack_sdk.errors import SlackApiError, SlackObjectFormationError, SlackRequestError
from slack_sdk.web.async_client import AsyncWebClient

from bot.errors import O8Error
from bot.notifiers.slack.blocks import Message

PATIENCE_S = 10
METADATA = "o8_card"  # marks our messages, so that they are found again


class SlackError(O8Error):
    """Slack refused. `reason` is its own word, such as `not_in_channel`."""

    code = "slack"

    def __init__(self, reason: str, message: str = "", next_step: str = "") -> None:
        super().__init__(message or f"Slack refused: {reason}.", next_step)
        self.reason = reason


class RateLimited(SlackError):
    """Not now, but after `retry_after` seconds."""

    is_transient = True

    def __init__(self, retry_after: float) -> None:
        super().__init__("ratelimited", f"Slack asks for {retry_after:g} s of silence.")
        self.retry_after = retry_after


class Unsent(SlackError):
    """Slack could not be reached, or said itself that it did nothing."""

    is_transient = True


class Uncertain(SlackError):
    """The request went out and no answer came: it may have been carried out."""

    is_transient = True


class ChannelGone(SlackError):
    pass


class TokenGone(SlackError):
    pass


class MessageGone(SlackError):
    pass


class TooLong(SlackError):
    pass


_KINDS: dict[type[SlackError], str] = {
    ChannelGone: "not_in_channel channel_not_found is_archived restricted_action no_permission",
    TokenGone: "invalid_auth not_authed token_revoked token_expired account_inactive org_login_required",
    MessageGone: "message_not_found cant_update_message edit_window_closed thread_not_found",
    TooLong: "msg_too_long invalid_blocks msg_blocks_too_long too_many_attachments",
    Uncertain: "internal_error fatal_error service_unavailable request_timeout",
}
_NAMED = {reason: kind for kind, reasons in _KINDS.items() for reason in reasons.split()}


class Posted(NamedTuple):
    """Where a message is: the channel's id, and the message's."""

    channel: str
    ts: str


class Identity(NamedTuple):
    """Who we are in Slack."""

    team: str
    bot_user: str
    workspace: str


class SlackClient:
    """Every method raises `SlackError`s. `url` is the Web API's base."""

    def __init__(self, token: str, url: str, session: aiohttp.ClientSession) -> None:
        self.web = AsyncWebClient(token=token, base_url=url, timeout=PATIENCE_S, session=session, retry_handlers=[])
        self._session = session

    async def identity(self) -> Identity:
        found = await self._call("auth.test")
        return Identity(found["team_id"], found["user_id"], found.get("team", ""))

    async def post(
        self, channel: str, message: Message, *, thread: str = "", is_broadcast: bool = False, card: str = ""
    ) -> Posted:
        """A new message; `card` marks it as the one of that card."""
        body: dict[str, Any] = {"channel": channel, "text": message.text, "blocks": message.blocks}
        body |= {"unfurl_links": False, "unfurl_media": False}
        if thread:
            body |= {"thread_ts": thread, "reply_broadcast": is_broadcast}
        if card:
            body["metadata"] = {"event_type": METADATA, "event_payload": {"card": card}}
        found = await self._call("chat.postMessage", body)
        return Posted(found["channel"], found["ts"])

    async def update(self, at: Posted, message: Message, *, card: str = "") -> None:
        body: dict[str, Any] = {"channel": at.channel, "ts": at.ts, "text": message.text, "blocks": message.blocks}
        if card:
            body["metadata"] = {"event_type": METADATA, "event_payload": {"card": card}}
        await self._call("chat.update", body)

    async def find(self, channel: str, card: str, *, oldest: float, thread: str = "") -> Posted | None:
        """Our message of that card, if it was posted since `oldest` (seconds since 1970)."""
        body: dict[str, Any] = {"channel": channel, "oldest": f"{oldest:.6f}", "limit": 200}
        body["include_all_metadata"] = True
        if thread:
            body["ts"] = thread
        method = "conversations.replies" if thread else "conversations.history"
        for _ in range(20):  # pages
            found = await self._ask(method, body)
            for message in found["messages"]:
                metadata = message.get("metadata") or {}
                is_ours = metadata.get("event_type") == METADATA and message.get("bot_id")
                if is_ours and metadata.get("event_payload", {}).get("card") == card:
                    return Posted(channel, message["ts"])
            body["cursor"] = (found.get("response_metadata") or {}).get("next_cursor", "")
            if not body["cursor"]:
                break
        return None

    async def ephemeral(self, channel: str, user: str, message: Message, *, thread: str = "") -> None:
        """A message that only `user` sees."""
        body: dict[str, Any] = {"channel": channel, "user": user, "text": message.text, "blocks": message.blocks}
        await self._call("chat.postEphemeral", body | ({"thread_ts": thread} if thread else {}))

    async def respond(self, response_url: str, message: Message, *, is_public: bool = False) -> None:
        """An answer to a command or a button: five within 30 minutes. Raises `SlackError` when they are used up."""
        body = {
            "response_type": "in_channel" if is_public else "ephemeral", "replace_original": False,
            "text": message.text, "blocks": message.blocks,
        }  # fmt: skip
        try:
            timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
            async with self._session.post(response_url, json=body, timeout=timeout) as answer:
                text = await answer.text()
        except (aiohttp.ClientError, TimeoutError, OSError) as trouble:
            raise Uncertain(type(trouble).__name__) from trouble
        if answer.status != 200 or text.strip() not in ("ok", '{"ok":true}', '{"ok": true}', ""):
            raise SlackError("response_url", f"Slack takes no answer there: {answer.status} {text[:100]!r}.")

    async def open_view(self, trigger: str, view: dict[str, Any]) -> str:
        """A modal; its id."""
        found = await self._call("views.open", {"trigger_id": trigger, "view": view})
        return str((found.get("view") or {}).get("id", ""))

    async def update_view(self, id: str, view: dict[str, Any]) -> None:
        """Another view in a modal that is open. Slack keeps what was typed into inputs that both have."""
        await self._call("views.update", {"view_id": id, "view": view})

    async def publish_home(self, user: str, view: dict[str, Any]) -> None:
        await self._call("views.publish", {"user_id": user, "view": view})

    async def upload(self, channel: str, name: str, text: str, *, title: str = "", thread: str = "") -> None:
        """A text file in a channel (by id) or in its thread."""
        try:
            await self.web.files_upload_v2(
                channel=channel, filename=name, content=text, title=title or name, thread_ts=thread or None
            )
        except SlackApiError as refusal:
            raise _named(refusal) from refusal
        except (aiohttp.ClientError, TimeoutError, OSError, SlackRequestError) as trouble:
            raise Uncertain(type(trouble).__name__) from trouble

    async def user(self, slack_user: str) -> dict[str, Any]:
        """Slack's record of somebody."""
        return dict((await self._ask("users.info", {"user": slack_user}))["user"])

    async def direct(self, slack_user: str) -> str:
        """The id of the direct conversation with somebody."""
        return str((await self._call("conversations.open", {"users": slack_user}))["channel"]["id"])

    async def channel_id(self, channel: str) -> str:
        """The id of a channel that may be given by its name; empty when there is none that we can see."""
        if not channel.startswith("#"):
            return channel
        body: dict[str, Any] = {"types": "public_channel,private_channel", "exclude_archived": True, "limit": 1000}
        for _ in range(20):  # pages
            found = await self._ask("conversations.list", body)
            for one in found["channels"]:
                if one["name"] == channel.lstrip("#"):
                    return str(one["id"])
            body["cursor"] = (found.get("response_metadata") or {}).get("next_cursor", "")
            if not body["cursor"]:
                break
        return ""

    async def join(self, channel: str) -> None:
        """Joins a public channel, given by its id."""
        await self._call("conversations.join", {"channel": channel})

    async def _ask(self, method: str, values: dict[str, Any]) -> dict[str, Any]:
        """A method that only reads: those take no JSON."""
        return await self._sent(method, params=values)

    async def _call(self, method: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return await self._sent(method, json=body or {})

    async def _sent(self, method: str, **how: Any) -> dict[str, Any]:
        try:
            answer = await self.web.api_call(method, **how)
        except SlackApiError as refusal:
            raise _named(refusal) from refusal
        except aiohttp.ClientConnectorError as trouble:
            raise Unsent("unreachable", f"Slack cannot be reached: {trouble}.") from trouble
        except (aiohttp.ClientError, TimeoutError, OSError, SlackRequestError) as trouble:
            raise Uncertain(type(trouble).__name__) from trouble
        except SlackObjectFormationError as fault:
            raise TooLong("invalid_blocks") from fault
        return dict(answer.data) if isinstance(answer.data, dict) else {}


def _named(refusal: SlackApiError) -> SlackError:
    response: Any = refusal.response
    status = getattr(response, "status_code", 200)
    if status == 429:
        return RateLimited(float(response.headers.get("Retry-After", 30)))
    data = getattr(response, "data", None)  # broken JSON comes as the bare answer of aiohttp, which has none
    if status >= 500 or not isinstance(data, dict) or "error" not in data:
        return Uncertain(f"status {status}")  # some proxy's words, not Slack's
    reason = str(data["error"])
    if reason in ("ratelimited", "rate_limited"):
        return RateLimited(30)
    needed = f"the scope {data['needed']} is missing" if data.get("needed") else ""
    return _NAMED.get(reason, SlackError)(reason, f"Slack refused: {reason}{'; ' + needed if needed else ''}.")
