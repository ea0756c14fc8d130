"""The two servers of o8: over TCP for the world, over the Unix socket for this machine. Each route says who may."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from bot.services import Services
from handlers import access, api, cors, errors, github, health, orchestr8, streams

LARGEST_BODY = 2 * 1024 * 1024  # an environment of 256 KiB, however JSON writes it


def public(services: Services, more: Iterable[web.RouteDef] = ()) -> web.Application:
    """For everybody who knows the address; `more`: such as Slack's. Raises `Undeclared`."""
    application = _application(services)
    for part in (github, health, api, orchestr8):
        application.add_routes(part.routes(services))
    application.add_routes(more)
    access.refuse_undeclared(application)
    return application


def private(services: Services) -> web.Application:
    """For whoever may open the socket, and so is admin of everything. Raises `Undeclared`."""
    application = _application(services)
    application.add_routes([*health.routes(services), *api.routes(services)])
    access.refuse_undeclared(application)
    return application


def _application(services: Services) -> web.Application:
    application = web.Application(middlewares=[errors.middleware], client_max_size=LARGEST_BODY)
    cors.allow(application, services.settings.origins)
    streams.prepare(application)
    return application
