"""What a visit of the dashboard is: who came, the page that is rendered, the form that was sent.

Pages work without scripts; `static/o8.js` keeps them true while they are looked at.
"""

from __future__ import annotations

import functools
import re
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal, NamedTuple
from urllib.parse import quote, urlsplit

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from bot.accounts import Session
from bot.errors import Forbidden, InvalidInput, LoginRefused, O8Error
from bot.permissions import Action, Person
from bot.services import Services
from bot.version import version
from handlers import access, auth
from handlers.access import Access
from handlers.commands import Commands
from handlers.errors import Refusal, status_of
from handlers.web import words
from handlers.web.sent import fields

HOME = "/ui/"
LOGIN = "/ui/login"
REFRESH = "X-O8-Refresh"  # `static/o8.js` asks for the same page again: nobody reads the notices of that answer
_NEVER_BACK = ("csrf", "password", "current", "again", "content")  # what nobody gets back into a form
# https://developer.mozilla.org/docs/Web/HTTP/Headers/Content-Security-Policy: nothing from elsewhere, nothing inline.
SAFE = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # after an error people get back to the form they came from
}  # fmt: skip


MOST_WAITING = 1000  # sessions whose next page has something to say


class Notice(NamedTuple):
    """Said once, on the next page."""

    kind: Literal["done", "trouble"]
    text: str


class Typed(NamedTuple):
    """What somebody sent to `action` that was refused; the form has it again on the next page."""

    action: str
    values: dict[str, str]


@dataclass
class Desk:
    """What all pages share. Notices and refused forms wait here, by session, for the next page of it."""

    services: Services
    templates: Environment = field(default_factory=lambda: _templates())
    notices: defaultdict[str, deque[Notice]] = field(default_factory=lambda: defaultdict(lambda: deque(maxlen=5)))
    typed: dict[str, Typed] = field(default_factory=dict)

    def say(self, session: Session, notice: Notice) -> None:
        """On the next page of that session."""
        self.notices[session.id].append(notice)
        while len(self.notices) > MOST_WAITING:
            self.notices.pop(next(iter(self.notices)))
        while len(self.typed) > MOST_WAITING:
            self.typed.pop(next(iter(self.typed)))


@dataclass
class Visit:
    """One request of somebody who is logged in."""

    desk: Desk
    request: web.Request
    person: Person
    session: Session | None
    commands: Commands

    @property
    def services(self) -> Services:
        return self.desk.services

    @property
    def name(self) -> str:
        """The service or user in the path."""
        return self.request.match_info["name"]

    async def form(self) -> dict[str, str]:
        """What was sent. Raises 403 when it does not come from o8's own page."""
        values = await fields(self.request)
        if self.session is not None:
            auth.require_csrf(self.session, values.pop("csrf", ""))
        if any("\0" in value for value in values.values()):
            raise InvalidInput("A field holds a zero byte.", "Type it anew.")
        return values

    def render(self, template: str, status: int = HTTPStatus.OK, **values: Any) -> web.Response:
        """A page, with what waited to be said on it."""
        notices: tuple[Notice, ...] = ()
        sent = Typed("", {})
        if self.session and REFRESH not in self.request.headers:
            notices = tuple(self.desk.notices.pop(self.session.id, ()))
            sent = self.desk.typed.pop(self.session.id, sent)

        def typed(action: str) -> dict[str, str]:
            return sent.values if action == sent.action else {}

        return page(self.desk, template, status, person=self.person, csrf=self.session.csrf if self.session else "",
                    notices=notices, typed=typed, path=self.request.path, **values)  # fmt: skip

    def go(self, url: str, notice: str = "") -> web.Response:
        """To another page, where `notice` is said."""
        if notice:
            self.say(Notice("done", notice))
        return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": url})

    def say(self, notice: Notice) -> None:
        if self.session:
            self.desk.say(self.session, notice)

    def may(self, action: str, service: str = "") -> bool:
        return self.person.may(Action(action), service)


Handler = Callable[[Visit], Awaitable[web.StreamResponse]]


class Route(NamedTuple):
    """One page, or what a form on one does."""

    method: str
    path: str
    handler: Handler
    access: Access


def bound(route: Route, desk: Desk) -> web.RouteDef:
    async def visit(request: web.Request) -> web.StreamResponse:
        caller = access.caller_of(request)
        commands = Commands(desk.services, caller.actor)
        return await route.handler(Visit(desk, request, access.person_of(request), caller.session, commands))

    inner = access.guarded(desk.services, route.access, visit, "page")

    @functools.wraps(inner)  # what it declares, too
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await inner(request)
        except O8Error as error:
            return await _told(desk, request, error)

    return web.route(route.method, route.path, handle)


def page(desk: Desk, template: str, status: int, **values: Any) -> web.Response:
    text = desk.templates.get_template(template).render(**values)
    return web.Response(text=text, status=status, content_type="text/html", headers=SAFE)


def own(url: str) -> str:
    """`url` when it is a page of the dashboard, else the first one: nobody is sent elsewhere."""
    if not re.fullmatch(r"[!-~]+", url) or "\\" in url:  # a line end would begin another header
        return HOME
    try:
        parts = urlsplit(url)
    except ValueError:
        return HOME
    is_own = not parts.scheme and not parts.netloc and parts.path.startswith(HOME)
    return url if is_own and not url.startswith(LOGIN) else HOME


async def _told(desk: Desk, request: web.Request, error: O8Error) -> web.StreamResponse:
    """An error as people want it: the login, the page they came from, or a page of its own."""
    if isinstance(error, LoginRefused):
        back = quote(request.path_qs if request.method == "GET" else HOME, safe="")
        return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": f"{LOGIN}?next={back}"})
    found = await auth.caller(request, desk.services)
    session = found.session if found else None
    came_from = _came_from(request)
    if request.method == "POST" and session and came_from and not isinstance(error, Refusal | Forbidden):
        with suppress(InvalidInput):  # what cannot be read is not shown again
            values = await fields(request)
            again = {name: value[:5000] for name, value in values.items() if name not in _NEVER_BACK}
            desk.typed[session.id] = Typed(request.path, again)
        desk.say(session, Notice("trouble", str(error)))
        return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": came_from})
    person = None
    with suppress(O8Error):  # who has no account any more still gets a page
        person = await desk.services.authority.who(found.actor) if found else None
    return page(desk, "error.html", status_of(error), person=person, notices=[], error=error,
                csrf=session.csrf if session else "", path=request.path)  # fmt: skip


def _came_from(request: web.Request) -> str:
    """The page that the form was on; empty when the browser does not say, or it is none of ours."""
    try:
        parts = urlsplit(request.headers.get("Referer", ""))
    except ValueError:
        return ""
    url = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return url if parts.netloc == request.host and own(url) == url else ""


def _templates() -> Environment:
    found = Environment(loader=PackageLoader("handlers.web"), undefined=StrictUndefined, autoescape=True,
                        trim_blocks=True, lstrip_blocks=True)  # fmt: skip
    found.globals.update(version=version(), Action=Action)
    found.filters.update(words.FILTERS)
    return found
