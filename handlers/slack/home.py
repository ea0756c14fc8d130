"""The App Home: your services, what waits for your approval, your locks and rights."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from bot.errors import Forbidden
from bot.models import State
from bot.notifiers.slack.blocks import Block, actions, divider, header, section
from bot.notifiers.slack.text import code, escaped, named
from bot.permissions import Action, Person
from bot.services import Services
from handlers.chatops import names
from handlers.chatops.refusals import in_chat
from handlers.chatops.reply import Button
from handlers.slack.replies import beginning, buttons_of, table

MOST, MOST_APPROVALS = 30, 10


async def home_of(services: Services, actor: str) -> dict[str, Any]:
    """The view for one person; a stranger is told how to be let in."""
    try:
        person = await services.authority.who(actor)
    except Forbidden as stranger:
        return _view([section(escaped(in_chat(str(stranger))))])
    blocks: list[Block] = [
        *await _approvals(services, person),
        *await _services(services, person),
        *await _locks(services, person),
        *_rights(person),
    ]
    return _view(_told_apart(blocks))


async def _services(services: Services, person: Person) -> list[Block]:
    all_of_them = await services.store.services()
    seen = [s for s in all_of_them if person.may(Action.VIEW_STATUS, s.name)]
    found = [header("Your services")]
    if any(person.may(Action.DEPLOY, s.name) for s in seen):
        found += actions(buttons_of([Button("Deploy…", "deploy", "primary")]))
    for service in seen[:MOST]:
        live = await services.store.deployment(service.live) if service.live else None
        state = "stopped" if service.is_stopped else f"{live.release} is live" if live else "never deployed"
        is_locked = service.lock and service.lock.until > datetime.now(UTC)
        marks = [mark for mark, is_so in (("on hold", service.hold), ("locked", is_locked)) if is_so]
        block = section(f"*{named(service.name)}* {' · '.join([named(state), *marks])}")
        block["accessory"] = buttons_of([Button("Open", f"status {service.name}")])[0]
        found.append(block)
    if not seen:
        found.append(section("You see none yet. `/o8 request view_status global -- why` asks for it."))
    more = len(seen) - MOST
    return [*found, section(f"And {more} more: `/o8 status NAME`.")] if more > 0 else found


async def _approvals(services: Services, person: Person) -> list[Block]:
    """What this person can let run: not what they asked for themselves."""
    waiting = [
        d for d in await services.store.pending()
        if d.state is State.WAITING and person.may(Action.DEPLOY, d.service)
        and not await services.authority.is_same_person(d.actor, person.actor)
    ]  # fmt: skip
    found: list[Block] = []
    for deployment in waiting[:MOST_APPROVALS]:
        what = f"*{named(deployment.service)} {named(deployment.release)}*"
        by = await names.person(services.authority, deployment.actor)
        why = f": {escaped(deployment.reason, 500)}" if deployment.reason else ""
        found.append(section(f"{what} by {named(by)}, waits for {names.ago(deployment.created_at)}{why}"))
        choices = [
            Button("Approve", f"approve {deployment.id}", "primary"),
            Button("Reject", f"reject {deployment.id}", "danger"),
        ]
        found += actions(buttons_of(choices))
    more = len(waiting) - MOST_APPROVALS
    found += [section(f"And {more} more: `/o8 queue`.")] if more > 0 else []
    return [header("Waits for your approval"), *found, divider()] if found else []


async def _locks(services: Services, person: Person) -> list[Block]:
    rows = [
        (s.name, names.when(s.lock.until), s.lock.reason)
        for s in await services.store.services()
        if s.lock and s.lock.until > datetime.now(UTC)
        and await services.authority.is_same_person(s.lock.actor, person.actor)
    ]  # fmt: skip
    return _listed("Your locks", ("service", "until", "why"), rows, "`/o8 locks`") if rows else []


def _rights(person: Person) -> list[Block]:
    rows = [(g.action.value, g.scope, names.when(g.expires_at) if g.expires_at else "") for g in person.grants]
    if not rows:
        return [divider(), header("Your rights"), section("None yet. `/o8 request ACTION SCOPE -- why` asks for one.")]
    return _listed("Your rights", ("may", "in", "until"), rows, "`/o8 whoami`")


def _listed(title: str, heading: tuple[str, ...], rows: Sequence[tuple[str, ...]], all_of_them: str) -> list[Block]:
    shown, is_cut = beginning(table([heading, *rows]))
    more = [section(f"And more: {all_of_them}.")] if is_cut else []
    return [divider(), header(title), section(code(shown)), *more]


def _told_apart(blocks: list[Block]) -> list[Block]:
    """Slack wants every button of a view to have an id of its own."""
    number = 0
    for block in blocks:
        for element in [*block.get("elements", []), *([block["accessory"]] if "accessory" in block else [])]:
            if element.get("type") == "button":
                element["action_id"] = f"o8:run:{number}"
                number += 1
    return blocks


def _view(blocks: list[Block]) -> dict[str, Any]:
    return {"type": "home", "blocks": blocks[:100]}
