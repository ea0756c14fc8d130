"""/api/v1: everything o8 does, for programs. Over TCP with a login; over the Unix socket its mode says who may call.

To add a call: a handler and a `Route` in the module of its noun; its docstring is its help, its `access` the right that
it needs, its `answer` what OpenAPI says of it.
"""

from __future__ import annotations

from functools import cache

import orjson
from aiohttp import web

from bot.services import Services
from handlers import access
from handlers.api import (
    deployments,
    environment,
    events,
    github,
    importing,
    installing,
    logins,
    logs,
    machine,
    openapi,
    packages,
    people,
    services,
)
from handlers.api.routing import PREFIX, Route, bound

ROUTES: tuple[Route, ...] = (
    *services.ROUTES, *installing.ROUTES, *deployments.ROUTES, *events.ROUTES, *environment.ROUTES, *logs.ROUTES,
    *people.ROUTES, *logins.ROUTES, *machine.ROUTES, *importing.ROUTES, *packages.ROUTES, *github.ROUTES,
)  # fmt: skip


def routes(of: Services) -> list[web.RouteDef]:
    """The whole table, bound to the parts it works with, and its description."""
    return [
        web.get(f"{PREFIX}/openapi.json", access.public(_described), allow_head=False),
        *(bound(route, of) for route in ROUTES),
    ]


async def _described(request: web.Request) -> web.Response:
    return web.Response(body=_document(), content_type="application/json")


@cache
def _document() -> bytes:
    return orjson.dumps(openapi.document(ROUTES))
