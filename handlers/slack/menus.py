"""What menus offer while somebody types: only what they may choose."""

from __future__ import annotations

from typing import Any

from bot.errors import O8Error
from bot.permissions import Action
from bot.services import Services
from handlers.slack.forms import chosen

MOST = 100


async def choices(services: Services, actor: str, source: str, query: str, view: dict[str, Any]) -> list[str]:
    """`services` to deploy, or `releases` of the one that is chosen in the form; those with `query` in them."""
    try:
        person = await services.authority.who(actor)
        if source == "services":
            found = [s.name for s in await services.store.services() if person.may(Action.DEPLOY, s.name)]
        elif source == "releases":
            name = chosen(view, "svc")
            await services.authority.require(actor, Action.VIEW_STATUS, name)
            known = [r.tag for r in await services.store.releases(name) if r.tag]
            found = list(dict.fromkeys([*reversed(await services.follower.tags(name)), *known]))
        else:
            found = []
    except O8Error:  # a menu cannot say why; the form is checked again when it is sent
        found = []
    return [one for one in found if query.lower() in one.lower()][:MOST]
