"""Which right each route needs. A route that does not say so is refused when o8 starts.

`guarded` finds out who is calling, asks `bot.authority` whether they may, and only then calls the handler.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

from aiohttp import web

from bot.errors import LoginRefused, NotFound, O8Error
from bot.permissions import Action, Person
from bot.services import Services
from handlers import auth
from handlers.auth import Caller

CALLER = web.RequestKey("caller", Caller)
PERSON = web.RequestKey("person", Person)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Style = Literal["problem", "original", "page"]


@dataclass(frozen=True)
class Access:
    """`subject`: what the right is about. `named`: what the body names; the command that is run asks for it.

    `action` None: any account will do.
    """

    subject: Literal["everybody", "account", "global", "service", "deployment", "named"]
    action: Action | None = None


EVERYBODY = Access("everybody")
ACCOUNT = Access("account")


def globally(action: Action) -> Access:
    return Access("global", action)


def on_service(action: Action) -> Access:
    """The service whose name is `{name}` in the path."""
    return Access("service", action)


def on_deployment(action: Action) -> Access:
    """The service of the deployment whose number is `{id}` in the path."""
    return Access("deployment", action)


def named(action: Action) -> Access:
    return Access("named", action)


class Undeclared(O8Error):
    """A route has no declared permission."""

    code = "undeclared"


def guarded(services: Services, access: Access, handler: Handler, style: Style = "problem") -> Handler:
    """`handler` for those who may. Raises `LoginRefused`, `Forbidden`; `NotFound` for what they may not see."""

    async def handle(request: web.Request) -> web.StreamResponse:
        found = await auth.caller(request, services)
        if found is None:
            raise LoginRefused("Who are you?", "Send a token, or a name and password.")
        auth.refuse_foreign(request, found, by_form=style == "page")
        request[CALLER] = found
        request[auth.LOGIN] = auth.Login(services, found)
        request[PERSON] = await _person(request, services, access, found.actor)
        return await handler(request)

    return _declared(handle, access, style)


def public(handler: Handler, style: Style = "problem") -> Handler:
    """For routes that everybody may use, or that look themselves at who is calling."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return await handler(request)

    return _declared(handle, EVERYBODY, style)


def caller_of(request: web.Request) -> Caller:
    """Who was let in."""
    return request[CALLER]


def person_of(request: web.Request) -> Person:
    """The one who was let in, with their rights of this moment."""
    return request[PERSON]


def access_of(handler: object) -> Access | None:
    return getattr(handler, "access", None)


def refuse_undeclared(application: web.Application) -> None:
    """Raises `Undeclared` with the routes that say nothing about who may use them."""
    open_ones = [
        f"{route.method} {route.resource.canonical if route.resource else '?'}"
        for route in application.router.routes()
        if access_of(route.handler) is None
    ]
    if open_ones:
        raise Undeclared(f"Routes without a declared permission: {', '.join(open_ones)}.", "See handlers/access.py.")


async def _person(request: web.Request, services: Services, access: Access, actor: str) -> Person:
    authority = services.authority
    if access.action is None or access.subject == "named":
        return await authority.who(actor)
    if access.subject == "deployment":
        return await authority.require_for(actor, access.action, _number(request.match_info["id"]))
    service = request.match_info["name"] if access.subject == "service" else ""
    return await authority.require(actor, access.action, service)


def _number(text: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) < 20 and 0 < int(text) < 2**63:
        return int(text)
    raise NotFound(f"There is no deployment {text!r:.40}.", "`o8 deployments` lists them.")


def _declared(handler: Any, access: Access, style: Style) -> Handler:
    handler.access, handler.style = access, style
    return cast("Handler", handler)
