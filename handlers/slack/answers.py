"""Answers to where a command came from, and what else only Slack can do for one: forms, threads, direct messages."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from typing import Any

from bot.chat import Place
from bot.notifiers.slack.blocks import Message, message, section
from bot.notifiers.slack.client import SlackClient, SlackError
from bot.notifiers.slack.text import escaped
from handlers.chatops.reply import Form, Reply
from handlers.slack.following import Following
from handlers.slack.forms import view_of
from handlers.slack.replies import message_of

_log = logging.getLogger(__name__)


class Answers:
    """`spawn` runs something beside the request and sees to its end."""

    def __init__(self, client: SlackClient, spawn: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self._client = client
        self._spawn = spawn

    async def give(self, place: Place, reply: Reply, trigger: str = "") -> None:
        """Shows a reply to the one who asked; a form where there is a `trigger` to open it with."""
        try:
            if reply.form and trigger:
                view = await self._client.open_view(trigger, view_of(reply.form, place))
                if reply.later:
                    self._spawn(self._replace(view, place, reply.form, reply.later))
                return
            if reply.form:
                words = f"{reply.text} Give it as a slash command, `/o8 ...`, which can open a form."
                reply = Reply(words, is_refusal=True)
            await self._say(place, message_of(reply), is_public=reply.is_public)
        except SlackError as trouble:
            if reply.form:
                await self._late(place, trouble)
            _log.warning("An answer to %s did not reach Slack: %s", place.user, trouble)

    def stage(self, place: Place) -> Stage:
        return Stage(place, self._client, self._spawn)

    async def _say(self, place: Place, found: Message, *, is_public: bool) -> None:
        try:
            await self._to_place(place, found, is_public=is_public)
        except SlackError as trouble:
            if trouble.is_transient:
                raise
            # Used up, too late, or a channel that o8 is not in: the person can always be written to.
            await self._client.post(await self._client.direct(place.user), found)
        if found.file:
            name, text = found.file
            await self._client.upload(await self._client.direct(place.user), name, text)

    async def _to_place(self, place: Place, found: Message, *, is_public: bool) -> None:
        if place.response_url:
            await self._client.respond(place.response_url, found, is_public=is_public)
        elif place.is_direct:
            await self._client.post(place.channel, found, thread=place.thread)
        elif not place.channel:
            await self._client.post(await self._client.direct(place.user), found)
        elif is_public:
            await self._client.post(place.channel, found, thread=place.thread)
        else:
            await self._client.ephemeral(place.channel, place.user, found, thread=place.thread)

    async def _replace(self, view: str, place: Place, shown: Form, later: Callable[[], Awaitable[Reply]]) -> None:
        """Puts what took a while into the modal that waits for it: a form, or why there is none."""
        reply = await later()
        found = reply.form or Form(shown.verb, shown.title, "", (), about=reply.text)
        try:
            await self._client.update_view(view, view_of(found, place))
        except SlackError as trouble:
            if trouble.reason != "not_found":  # somebody has closed it
                await self._late(place, trouble)

    async def _late(self, place: Place, trouble: SlackError) -> None:
        words = f"The form could not be opened ({trouble.reason}). Please give the command again."
        try:
            await self._say(place, message_of(Reply(words, is_refusal=True)), is_public=False)
        except SlackError as more:
            _log.warning("Nor did that: %s", more)


class Stage:
    """See `handlers.chatops.talk.Stage`."""

    def __init__(self, place: Place, client: SlackClient, spawn: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self._place = place
        self._client = client
        self._spawn = spawn

    async def follow(self, lines: AsyncGenerator[str, None], title: str, seconds: float) -> None:
        """In a direct message: a log may hold what not everybody in the channel may see."""
        channel = await self._client.direct(self._place.user)
        first = message(escaped(title), [section(f"*{escaped(title)}* for {seconds / 60:.0f} min, in this thread")])
        head = await self._client.post(channel, first)
        self._spawn(Following(self._client, head).show(lines, seconds))

    async def name_of(self, slack_user: str) -> str:
        """Of Slack's own name for somebody, what a username of o8 may hold."""
        try:
            name = str((await self._client.user(slack_user)).get("name", ""))
        except SlackError:
            name = ""
        return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._")[:63] or slack_user.lower()

    async def tell(self, slack_user: str, text: str) -> None:
        found = message_of(Reply(text))
        try:
            await self._client.post(await self._client.direct(slack_user), found)
        except SlackError as trouble:
            _log.warning("%s was not told: %s", slack_user, trouble)
