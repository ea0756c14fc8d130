"""What Slack sends, handed to the desk: commands, buttons, forms, menus, mentions, direct messages, the App Home.

A listener only understands, checks and acknowledges. The work is done beside it, in tasks that the end of o8 waits for.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any

from aiohttp import web

from bot.chat import Ask, Place
from bot.errors import O8Error, StoreUnavailable
from bot.notifiers.slack.client import Identity, SlackClient
from bot.services import Services
from handlers.access import public
from handlers.chatops import verbs as verbs  # fills the registry
from handlers.chatops.desk import Desk, Heard
from handlers.chatops.grammar import completed
from handlers.chatops.reply import Reply
from handlers.slack.answers import Answers
from handlers.slack.door import PATH, Door
from handlers.slack.forms import Filled
from handlers.slack.home import home_of
from handlers.slack.listeners import Transport
from handlers.slack.menus import choices

SOON_S = 0.1  # an acknowledgement waits so long for the database, then goes out before it
END_S = 5.0
AT_ONCE = 8  # commands that are carried out together; more would hold up acknowledgements
REMEMBERED = 5_000
Taken = Reply | tuple[Heard, Ask | None] | None  # an answer, what is to be carried out, or nothing: taken before
_log = logging.getLogger(__name__)


class Chat:
    """`identity` says who we are in Slack, once that is known."""

    def __init__(self, services: Services, client: SlackClient, identity: Callable[[], Identity | None]) -> None:
        settings = services.settings
        self._services = services
        self._client = client
        self._identity = identity
        self._places = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._keys: OrderedDict[str, None] = OrderedDict()
        self._answers = Answers(client, self.spawn)
        self._desk = Desk(services, self._answers.stage)
        self._transport = Transport(self, client, identity, settings.slack_app_token.get_secret_value())
        self._door = Door(settings.slack_signing_secret.get_secret_value().encode(), self._transport.dispatch)

    def routes(self) -> list[web.RouteDef]:
        """None in Socket Mode: then nothing comes in over HTTP."""
        return [] if self._transport.is_socket else [web.post(PATH, public(self._door.receive))]

    async def start(self) -> None:
        """Takes up what a kill has left; in Socket Mode connects."""
        self.spawn(self._take_up())
        self.spawn(self._transport.connect())

    async def close(self) -> None:
        """Lets what is being done come to its end, for a moment."""
        await self._transport.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=END_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs something beside the request; its faults are logged, its end is waited for."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    # -- what listeners call

    def hear(self, user: str, team: str, text: str, place: Place, key: str, trigger: str = "", about: str = "") -> None:
        """A command whose acknowledgement carries no answer."""
        self.spawn(self._answer(user, team, text, place, key, trigger, about))

    async def hear_at_once(self, user: str, team: str, text: str, place: Place, key: str, trigger: str) -> Reply | None:
        """A command whose acknowledgement may carry the answer, if that is known very soon; the rest follows."""
        taking = asyncio.create_task(self._take(user, team, text, place, key))
        await asyncio.wait({taking}, timeout=SOON_S)
        if taking.done() and isinstance(reply := taking.result(), Reply):
            return reply
        self.spawn(self._finish(taking, place, trigger))
        return None

    def submit(self, user: str, team: str, filled: Filled) -> None:
        self.spawn(self._submit(user, team, filled))

    async def choices(self, user: str, team: str, source: str, query: str, view: dict[str, Any]) -> list[str]:
        """What a menu offers to this person."""
        if self._is_foreign(team):
            return []
        return await choices(self._services, f"slack:{team}:{user}", source, query, view)

    def home_opened(self, user: str, team: str) -> None:
        if not self._is_foreign(team):
            self.spawn(self._publish_home(user, team))

    def account_changed(self, user: str, team: str, *, is_active: bool) -> None:
        """Slack says that somebody has left, or is back."""
        self.spawn(self._set_active(user, team, is_active=is_active))

    def is_new(self, key: str) -> bool:
        """False when the same thing was heard before: Slack sends again what it thinks was not received."""
        if key in self._keys:
            return False
        self._keys[key] = None
        if len(self._keys) > REMEMBERED:
            self._keys.popitem(last=False)
        return True

    # -- how it is done

    async def _answer(self, user: str, team: str, text: str, place: Place, key: str, trigger: str, about: str) -> None:
        if about and (card := await self._services.store.card_at(place.channel, about)) and card.service:
            text = completed(text, card.service)
        await self._do(await self._take(user, team, text, place, key), place, trigger)

    async def _take(self, user: str, team: str, text: str, place: Place, key: str) -> Taken:
        """Why it is refused, or what is to be carried out; None when it was taken before."""
        if self._is_foreign(team):
            return Reply("o8 answers people of its own workspace only.", is_refusal=True)
        heard = Heard(text, f"slack:{team}:{user}", place, key)
        asked = await self._desk.check(heard)
        if isinstance(asked, Reply):
            return asked
        if not asked.verb.writes:
            return heard, None
        try:
            ask = await self._desk.write_down(heard)
        except StoreUnavailable as trouble:
            return Reply(f"This could not be written down, so it is not done: {trouble}", is_refusal=True)
        return (heard, ask) if ask else None

    async def _finish(self, taking: asyncio.Task[Taken], place: Place, trigger: str) -> None:
        await self._do(await taking, place, trigger)

    async def _do(self, taken: Taken, place: Place, trigger: str) -> None:
        if taken is None:
            return
        async with self._places:
            reply = taken if isinstance(taken, Reply) else await self._desk.carry_out(*taken)
            await self._answers.give(place, reply, trigger)

    async def _submit(self, user: str, team: str, filled: Filled) -> None:
        if self._is_foreign(team):
            return
        actor = f"slack:{team}:{user}"
        reply = await self._desk.submit(filled.verb, filled.fixed, filled.values, actor, filled.place)
        await self._answers.give(filled.place, reply)

    async def _publish_home(self, user: str, team: str) -> None:
        await self._client.publish_home(user, await home_of(self._services, f"slack:{team}:{user}"))

    async def _set_active(self, user: str, team: str, *, is_active: bool) -> None:
        if await self._services.store.set_slack_active(team, user, is_active):
            what = "slack activate" if is_active else "slack deactivate"
            await self._services.store.record("slack", what, f"{team}:{user}", {})

    async def _take_up(self) -> None:
        for heard, ask, reply in await self._desk.left_behind():
            found = reply or await self._desk.carry_out(heard, ask)
            await self._answers.give(heard.place, found)

    def _is_foreign(self, team: str) -> bool:
        """Whether somebody is of another workspace, as in channels that two share. Unknown until Slack was reached."""
        identity = self._identity()
        return identity is None or team != identity.team

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (trouble := task.exception()) is None:
            return
        if isinstance(trouble, O8Error):
            _log.warning("Something for Slack was not done: %s", trouble)
        else:
            _log.error("Something for Slack failed inside o8", exc_info=trouble)
