"""/api/v1 for people and programs on this machine, over the Unix socket whose mode says who may call.

To add a call: a handler and a `Route` in the module of its noun; its docstring is its help.
"""

from __future__ import annotations

from aiohttp import web

from bot.services import Services
from handlers.api import deployments, environment, logs, machine, people, services
from handlers.api.routing import Route, bound

ROUTES: tuple[Route, ...] = (
    *services.ROUTES, *deployments.ROUTES, *environment.ROUTES, *logs.ROUTES, *people.ROUTES, *machine.ROUTES
)  # fmt: skip


def routes(of: Services) -> list[web.RouteDef]:
    """The whole table, bound to the parts it works with."""
    return [bound(route, of) for route in ROUTES]
