"""Where commands of chat are taken: understood, allowed, written down, carried out, answered. Knows no Slack."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from bot.chat import Ask, Place
from bot.errors import Forbidden, NotFound, O8Error
from bot.permissions import Action, Person
from bot.services import Services
from handlers.chatops import grammar
from handlers.chatops.grammar import Asked, Misunderstood
from handlers.chatops.registry import FORMS, Verb
from handlers.chatops.reply import Button, Reply
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
        try:
            asked = grammar.parse(heard.text)
            await self._allowed(asked.verb, asked.values, heard.actor)
        except O8Error as error:
            return refusal(error)
        except Exception:
            return _fault()
        return asked

    async def write_down(self, heard: Heard) -> Ask | None:
        """None when it was written down before: the chat has sent it twice. Raises `StoreUnavailable`."""
        return await self._store.ask(heard.key, heard.actor, heard.text, heard.place)

    async def carry_out(self, heard: Heard, ask: Ask | None) -> Reply:
        """Runs a command with the rights of this moment. One that was written down is run once and crossed off."""
        if ask and not await self._store.begin_ask(ask.id):
            return Reply("This is being done already.")
        reply = await self._guarded(self._run(heard))
        if ask:
            await self._store.end_ask(ask.id)
        return reply

    async def submit(self, verb: str, fixed: dict[str, str], values: dict[str, str], actor: str, place: Place) -> Reply:
        """A form that was filled in. Its values are neither written down nor logged: they may be secret."""
        handler = FORMS.get(verb)
        if handler is None:
            return refusal(Misunderstood("This form is too old.", "Give the command again."))

        async def run() -> Reply:
            service = fixed.get("svc") or values.get("svc", "")
            person = await self._services.authority.who(actor)
            if handler.action:
                person = await self._services.authority.require(actor, handler.action, service)
            return await handler.run(self._talk(person, place), **fixed, **values)

        return await self._guarded(run())

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
        asked = grammar.parse(heard.text)
        person = await self._allowed(asked.verb, asked.values, heard.actor)
        return await asked.verb.run(self._talk(person, heard.place), **asked.values)

    async def _allowed(self, verb: Verb, values: dict[str, Any], actor: str) -> Person:
        """The person, if they may. Raises `Forbidden`; `NotFound` for what they may not even see."""
        authority = self._services.authority
        if verb.is_open:
            try:
                return await authority.who(actor)
            except Forbidden:
                return Person(actor=actor, username="")
        person = await authority.who(actor)
        if verb.action is None:
            return person
        if service := str(values.get("svc", "")):
            return await authority.require(actor, verb.action, service)
        if "id" in values:
            deployment = await self._store.deployment(values["id"])
            return await authority.require(actor, verb.action, deployment.service)
        only_asks = verb.writes and "[SVC]" in verb.usage  # without the service it opens a form, which is checked
        if verb.action is Action.VIEW_STATUS or only_asks:
            return person  # about all services: the verb shows, and offers, only what this person may
        return await authority.require(actor, verb.action)

    def _talk(self, person: Person, place: Place) -> Talk:
        commands = Commands(self._services, person.actor)
        return Talk(self._services, commands, person, place, self._stage_for(place))

    async def _guarded(self, work: Any) -> Reply:
        try:
            found = await work
        except O8Error as error:
            return refusal(error)
        except Exception:
            return _fault()
        assert isinstance(found, Reply)  # noqa: S101 - for mypy
        return found


def _fault() -> Reply:
    """For the exception that is being handled: its text may hold anything, so it goes into the log alone."""
    reference = secrets.token_hex(6)
    _log.exception("A command failed, reference %s", reference)
    words = f"Something unexpected went wrong inside o8. Its log has the details under the reference {reference}."
    return Reply(words, is_refusal=True)


def refusal(error: O8Error) -> Reply:
    """An error in words, with buttons for what can be done about it."""
    buttons: list[Button] = []
    if isinstance(error, Misunderstood):
        buttons = [Button(f"Did you mean: {text}"[:75], text) for text in error.suggestions]
    elif isinstance(error, NotFound):
        buttons = [Button(name, f"status {name}") for name in error.suggestions]
    elif isinstance(error, Forbidden) and error.action and error.scope:
        wish = f"request {error.action} {error.scope} -- asked from a refusal"
        buttons = [Button(f"Ask for {error.action}", wish)]
    return Reply(str(error), buttons=tuple(buttons), is_refusal=True)
