"""Where commands of chat are taken: understood, allowed, written down, carried out, answered. Knows no Slack."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from bot.chat import Ask, Place
from bot.errors import Forbidden, Locked, O8Error, StoreUnavailable
from bot.permissions import Action, Person
from bot.services import Services
from handlers.chatops import grammar
from handlers.chatops.grammar import Asked, Misunderstood, service_of
from handlers.chatops.refusals import locked, refusal
from handlers.chatops.registry import FORMS
from handlers.chatops.reply import Reply
from handlers.chatops.talk import Stage, Talk
from handlers.commands import Commands

FRESH = timedelta(minutes=5)  # an ask that a kill left behind is carried out when it is not older
_log = logging.getLogger(__name__)


class Heard(NamedTuple):
    """A command as somebody gave it. `key` is the same when the chat sends the same one again."""

    text: str
    actor: str
    place: Place
    key: str


class Desk:
    """`stage_for` gives what only the chat can do, for a place in it."""

    def __init__(self, services: Services, stage_for: Callable[[Place], Stage]) -> None:
        self._services = services
        self._store = services.store
        self._stage_for = stage_for

    async def check(self, heard: Heard) -> Reply | Asked:
        """What was asked for, or why it is refused at once. Reads only."""
        asked = None
        try:
            asked = grammar.parse(heard.text)
            await self._allowed(asked, heard.actor)
        except O8Error as error:
            return refusal(error, asked)
        except Exception:
            return _fault()
        return asked

    async def write_down(self, heard: Heard) -> Ask | None:
        """None when it was written down before: the chat has sent it twice. Raises `StoreUnavailable`."""
        return await self._store.ask(heard.key, heard.actor, heard.text, heard.place)

    async def carry_out(self, heard: Heard, ask: Ask | None) -> Reply:
        """Runs a command with the rights of this moment. One that was written down is run once and crossed off."""
        try:
            if ask and not await self._store.begin_ask(ask.id):
                return Reply("This is being done already.")
        except StoreUnavailable as trouble:  # it stays written down: `left_behind` finds it
            later = "o8 does it if it is started again within 5 minutes. Look at `/o8 status` before you ask again."
            return Reply(f"{trouble.message} It is not done now; {later}", is_refusal=True)
        reply = await self._run(heard)
        if ask:
            await self._cross_off(ask)
        return reply

    async def submit(self, verb: str, fixed: dict[str, str], values: dict[str, str], actor: str, place: Place) -> Reply:
        """A form that was filled in. Its values are neither written down nor logged: they may be secret."""
        handler = FORMS.get(verb)
        if handler is None:
            return refusal(Misunderstood("This form is too old.", "Give the command again."))
        service = fixed.get("svc") or values.get("svc", "")

        async def allowed() -> Person:
            if handler.action:
                return await self._services.authority.require(actor, handler.action, service)
            return await self._services.authority.who(actor)

        return await self._guarded(allowed, lambda person: handler.run(self._talk(person, place), **fixed, **values))

    async def left_behind(self) -> list[tuple[Heard, Ask, Reply | None]]:
        """What a kill has left: with a reply where it must not be run any more, else to be carried out."""
        found: list[tuple[Heard, Ask, Reply | None]] = []
        for ask in await self._store.open_asks():
            heard = Heard(ask.text, ask.actor, ask.place, ask.key)
            is_fresh = ask.created_at > datetime.now(UTC) - FRESH
            if ask.state == "asked" and is_fresh:
                found.append((heard, ask, None))
                continue
            when = "while it was doing this" if ask.state == "running" else "before it came to this"
            words = f"o8 was restarted {when}: `{ask.text:.200}`."
            found.append((heard, ask, Reply(f"{words} Look at `/o8 status`, and ask again if it is needed.")))
            await self._store.end_ask(ask.id)
        return found

    async def _run(self, heard: Heard) -> Reply:
        try:
            asked = grammar.parse(heard.text)
        except Misunderstood as error:
            return refusal(error)
        return await self._guarded(
            lambda: self._allowed(asked, heard.actor),
            lambda person: asked.verb.run(self._talk(person, heard.place), **asked.values),
            asked,
        )

    async def _allowed(self, asked: Asked, actor: str) -> Person:
        """The person, if they may. Raises `Forbidden`; `NotFound` for what they may not even see."""
        verb, values = asked
        authority = self._services.authority
        if verb.is_open:
            try:
                return await authority.who(actor)
            except Forbidden:
                return Person(actor=actor, username="")
        person = await authority.who(actor)
        if verb.action is None:
            return person
        if service := service_of(asked):
            return await authority.require(actor, verb.action, service)
        if "id" in values:
            return await authority.require_for(actor, verb.action, values["id"])
        only_asks = verb.writes and "[SVC]" in verb.usage  # without the service it opens a form, which is checked
        if verb.action is Action.VIEW_STATUS or only_asks:
            return person  # about all services: the verb shows, and offers, only what this person may
        return await authority.require(actor, verb.action)

    async def _cross_off(self, ask: Ask) -> None:
        try:
            await self._store.end_ask(ask.id)
        except StoreUnavailable as trouble:  # it is done, and its answer matters more
            _log.warning("Command %s could not be crossed off: %s", ask.id, trouble)

    def _talk(self, person: Person, place: Place) -> Talk:
        commands = Commands(self._services, person.actor)
        return Talk(self._services, commands, person, place, self._stage_for(place))

    async def _guarded(
        self, allowed: Callable[[], Awaitable[Person]], run: Callable[[Person], Awaitable[Reply]],
        asked: Asked | None = None,
    ) -> Reply:  # fmt: skip
        """What `run` answers for the person who is `allowed`; every failure as an answer, too."""
        try:
            person = await allowed()
            try:
                reply = await run(person)
            except Locked as error:
                return await locked(self._services, person, error)
            if later := reply.later:
                return replace(reply, later=lambda: self._guarded(allowed, lambda _: later(), asked))
            return reply
        except O8Error as error:
            return refusal(error, asked)
        except Exception:
            return _fault()


def _fault() -> Reply:
    """For the exception that is being handled: its text may hold anything, so it goes into the log alone."""
    reference = secrets.token_hex(6)
    _log.exception("A command failed, reference %s", reference)
    words = f"Something unexpected went wrong inside o8. Its log has the details under the reference {reference}."
    return Reply(words, is_refusal=True)
