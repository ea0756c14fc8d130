"""The API of the program that o8 replaces, so that its front end works unchanged. docs/original-api.md lists the calls.

New things belong into /api/v1 (`handlers.api`); here only what that front end calls.
"""

from __future__ import annotations

from aiohttp import web

from bot.services import Services
from handlers.orchestr8 import flows, people, services
from handlers.orchestr8.routing import Route, bound

ROUTES: tuple[Route, ...] = (*services.ROUTES, *flows.ROUTES, *people.ROUTES)


def routes(of: Services) -> list[web.RouteDef]:
    return [bound(route, of) for route in ROUTES]
