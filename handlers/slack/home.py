"""The App Home: your services, what waits for your approval, your locks and rights."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from bot.errors import Forbidden
from bot.models import State
from bot.notifiers.slack.blocks import Block, actions, divider, header, section
from bot.notifiers.slack.text import code, escaped
from bot.permissions import Action, Person
from bot.services import Services
from handlers.chatops import names
from handlers.chatops.reply import Button
from handlers.slack.replies import buttons_of, table

MOST = 30


async def home_of(services: Services, actor: str) -> dict[str, Any]:
    """The view for one person; a stranger is told how to be let in."""
    try:
        person = await services.authority.who(actor)
    except Forbidden as stranger:
        return _view([section(escaped(str(stranger)))])
    blocks: list[Block] = [header("Your services")]
    blocks += await _services(services, person)
    blocks += await _approvals(services, person)
    blocks += await _locks(services, person)
    blocks += [divider(), header("Your rights")]
    rows = [(g.action.value, g.scope, names.when(g.expires_at) if g.expires_at else "") for g in person.grants]
    blocks.append(section(code(table([("may", "in", "until"), *rows])) if rows else "None yet."))
    return _view(_told_apart(blocks))


async def _services(services: Services, person: Person) -> list[Block]:
    seen = [s for s in await services.store.services() if person.may(Action.VIEW_STATUS, s.name)]
    found: list[Block] = []
    for service in seen[:MOST]:
        live = await services.store.deployment(service.live) if service.live else None
        state = "stopped" if service.is_stopped else f"{live.release} is live" if live else "never deployed"
        block = section(f"*{escaped(service.name)}* {escaped(state)}{' · on hold' if service.hold else ''}")
        block["accessory"] = buttons_of([Button("Open", f"status {service.name}")])[0]
        found.append(block)
    more = len(seen) - MOST
    found += [section(f"And {more} more: `/o8 status`.")] if more > 0 else []
    return found or [section("You see none yet.")]


async def _approvals(services: Services, person: Person) -> list[Block]:
    found: list[Block] = []
    for deployment in await services.store.pending():
        if deployment.state is State.WAITING and person.may(Action.DEPLOY, deployment.service):
            what = escaped(f"{deployment.service} {deployment.release}")
            found.append(section(f"*{what}* waits for {names.ago(deployment.created_at)}"))
            choices = [
                Button("Approve", f"approve {deployment.id}", "primary"),
                Button("Reject", f"reject {deployment.id}", "danger"),
            ]
            found += actions(buttons_of(choices))
    return [divider(), header("Waits for approval"), *found[:20]] if found else []


async def _locks(services: Services, person: Person) -> list[Block]:
    rows = [
        (s.name, names.when(s.lock.until), s.lock.reason)
        for s in await services.store.services()
        if s.lock and s.lock.until > datetime.now(UTC) and s.lock.actor == person.actor
    ]
    return [divider(), header("Your locks"), section(code(table([("service", "until", "why"), *rows])))] if rows else []


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
