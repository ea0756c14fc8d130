"""Errors in the words of chat, with buttons for what can be done about them."""

from __future__ import annotations

import re

from bot.errors import Forbidden, Locked, NotFound, O8Error
from bot.permissions import Action, Person
from bot.services import Services
from handlers.chatops import names
from handlers.chatops.grammar import Asked, Misunderstood, canonical, service_of
from handlers.chatops.registry import VERBS
from handlers.chatops.reply import Button, Reply

# Errors name commands of the terminal. Where chat has the same one by another name:
_TERMINAL = {
    "`o8 service list`": "`/o8 services`",
    "`o8 service apply FILE.toml` makes the first one.": "`/o8 available` shows what could be one.",
    "`o8 deployments` shows its history.": "",
    "`o8 deployments` lists them.": "`/o8 queue` lists what waits.",
    "`o8 user list`": "`/o8 access`",
    "`o8 env list`": "`/o8 env SERVICE`",
    "Say it after `--`, or with --reason.": "Say it after `--`.",
}
_COMMAND = re.compile(r"`o8 ([a-z-]+)")


def refusal(error: O8Error, asked: Asked | None = None) -> Reply:
    """Why something is not done; `asked` is what was not."""
    return Reply(in_chat(str(error)), buttons=tuple(_ways_out(error, asked)), is_refusal=True)


async def locked(services: Services, person: Person, error: Locked) -> Reply:
    """Who has locked a service, since when, until when and why; a button for who may lift that."""
    name = error.service
    lock = (await services.store.service(name)).lock
    if lock is None:  # lifted a moment ago
        return refusal(error)
    by = await names.person(services.authority, lock.actor)
    span = f"since {names.when(lock.since)} until {names.when(lock.until)}"
    words = f"{name} is locked by {by} {span}: {lock.reason.rstrip('.')}."
    if await services.authority.is_same_person(lock.actor, person.actor):
        return Reply(words, buttons=(Button("Unlock", f"unlock {name}"),), is_refusal=True)
    if person.may(Action.MANAGE, name):
        take = Button("Take over", f"unlock {name} --steal", "danger", f"Lift the lock of {by}? They are told.")
        return Reply(words, buttons=(take,), is_refusal=True)
    return Reply(words, (f"Somebody who may `manage` {name} can take it over.",), is_refusal=True)


def in_chat(text: str) -> str:
    """Commands as they are given in chat."""
    for terminal, chat in _TERMINAL.items():
        text = text.replace(terminal, chat)
    return _COMMAND.sub(lambda found: f"`/o8 {found[1]}" if found[1] in VERBS else found[0], text).strip()


def _ways_out(error: O8Error, asked: Asked | None) -> list[Button]:
    if isinstance(error, Misunderstood):
        return [_meant(text) for text in error.suggestions]
    if isinstance(error, NotFound) and asked and service_of(asked):
        return [_meant(canonical(_with_service(asked, name))) for name in error.suggestions]
    if isinstance(error, Forbidden) and error.action and error.scope:
        wish = f"request {error.action} {error.scope} -- asked from a refusal"
        return [Button(f"Ask for {error.action}", wish)]
    return []


def _with_service(asked: Asked, name: str) -> Asked:
    return asked._replace(values=asked.values | {"svc": name})


def _meant(text: str) -> Button:
    return Button(f"Did you mean: {text}"[:75], text)
