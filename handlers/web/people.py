"""Users and what they may; for admins of everything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from aiohttp import web

from bot.errors import InvalidInput
from bot.permissions import ALLOWS, GLOBAL_ONLY, Action
from handlers.access import globally
from handlers.web.routing import Route, Visit

_HOURS = {"": None, "8": 8, "24": 24, "168": 168, "720": 720}


async def everyone(visit: Visit) -> web.Response:
    return visit.render("users.html", users=await visit.services.store.users())


async def add(visit: Visit) -> web.Response:
    sent = await visit.form()
    user = await visit.commands.add_user(sent.get("username", "").strip().lower(), sent.get("password", ""))
    return visit.go(f"/ui/users/{user.username}", f"{user.username} is added. Now give them rights.")


async def one(visit: Visit) -> web.Response:
    store = visit.services.store
    user = await store.user(visit.name)
    return visit.render("user.html", user=user, services=await store.service_names(), allows=ALLOWS,
                        global_only=GLOBAL_ONLY)  # fmt: skip


async def grant(visit: Visit) -> web.Response:
    sent = await visit.form()
    hours = _HOURS.get(sent.get("hours", ""))
    until = datetime.now(UTC) + timedelta(hours=hours) if hours else None
    await visit.commands.grant(visit.name, _action(sent), sent.get("scope", ""), until)
    return visit.go(f"/ui/users/{visit.name}", "Given.")


async def revoke(visit: Visit) -> web.Response:
    sent = await visit.form()
    await visit.commands.revoke(visit.name, _action(sent), sent.get("scope", ""))
    return visit.go(f"/ui/users/{visit.name}", "Taken away.")


async def set_password(visit: Visit) -> web.Response:
    sent = await visit.form()
    await visit.commands.set_password(visit.name, sent.get("password", ""))
    return visit.go(f"/ui/users/{visit.name}", f"{visit.name} has a new password, and is logged out everywhere.")


async def remove(visit: Visit) -> web.Response:
    await visit.form()
    await visit.commands.remove_user(visit.name)
    return visit.go("/ui/users", f"{visit.name} is removed with all their rights.")


def _action(sent: dict[str, str]) -> Action:
    action = sent.get("action", "")
    if action not in set(Action):
        raise InvalidInput(f"There is no right {action!r:.40}.", "Choose one of the list.")
    return Action(action)


ROUTES = (
    Route("GET", "/ui/users", everyone, globally(Action.ADMIN)),
    Route("POST", "/ui/users", add, globally(Action.ADMIN)),
    Route("GET", "/ui/users/{name}", one, globally(Action.ADMIN)),
    Route("POST", "/ui/users/{name}/grant", grant, globally(Action.ADMIN)),
    Route("POST", "/ui/users/{name}/revoke", revoke, globally(Action.ADMIN)),
    Route("POST", "/ui/users/{name}/password", set_password, globally(Action.ADMIN)),
    Route("POST", "/ui/users/{name}/remove", remove, globally(Action.ADMIN)),
)
