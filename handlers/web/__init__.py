"""The dashboard: pages made here, no build step, nothing from other hosts.

To add a page: a handler and a `Route` in the module of its subject, a template that extends `base.html`, and a test in
tests/browser (one holds that every page is visited).
"""

from __future__ import annotations

import functools
from importlib.resources import files

from aiohttp import web

from bot.services import Services
from handlers import access
from handlers.web import deployments, environment, login, machine, packages, people, services
from handlers.web.routing import HOME, LOGIN, SAFE, Desk, Route, bound

ROUTES: tuple[Route, ...] = (
    *services.ROUTES, *environment.ROUTES, *deployments.ROUTES, *people.ROUTES, *login.ROUTES, *machine.ROUTES,
    *packages.ROUTES,
)  # fmt: skip
_TYPES = {"o8.css": "text/css", "o8.js": "text/javascript", "o8.svg": "image/svg+xml"}


def routes(of: Services) -> list[web.RouteDef]:
    """All pages, and what they need before anybody has logged in."""
    desk = Desk(of)
    show, log_in = functools.partial(login.show_login, desk), functools.partial(login.log_in, desk)
    return [
        web.get("/", access.public(_home), allow_head=False),
        web.get("/ui", access.public(_home), allow_head=False),
        web.get(LOGIN, access.public(show, "page"), allow_head=False),
        web.post(LOGIN, access.public(log_in, "page")),
        web.get("/ui/static/{file}", access.public(_static), allow_head=False),
        *(bound(route, desk) for route in ROUTES),
    ]


async def _home(request: web.Request) -> web.StreamResponse:
    return web.Response(status=303, headers={"Location": HOME})


async def _static(request: web.Request) -> web.StreamResponse:
    name = request.match_info["file"]
    if name not in _TYPES:
        raise web.HTTPNotFound
    headers = SAFE | {"Cache-Control": "public, max-age=3600"}
    return web.Response(body=_file(name), content_type=_TYPES[name], charset="utf-8", headers=headers)


@functools.cache
def _file(name: str) -> bytes:
    return (files("handlers.web") / "static" / name).read_bytes()
