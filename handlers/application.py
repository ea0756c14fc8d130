"""The servers of o8: for the world, for this machine over its socket, for Prometheus. Each route says who may."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from aiohttp import web
from aiohttp.http import HttpProcessingError

from bot.services import Services
from handlers import access, api, cors, errors, github, health, metrics, orchestr8, streams
from handlers import web as dashboard
from handlers.api import safekeeping

LARGEST_BODY = 2 * 1024 * 1024  # an environment of 256 KiB, however JSON writes it
LARGEST_IMPORT = 32 * 1024 * 1024  # over the socket: all environments of the original at once


def public(services: Services, more: Iterable[web.RouteDef] = ()) -> web.Application:
    """For everybody who knows the address; `more`: such as Slack's. Raises `Undeclared`."""
    application = _application(services)
    for part in (github, health, metrics, api, orchestr8, dashboard):
        application.add_routes(part.routes(services))
    application.add_routes(more)
    access.refuse_undeclared(application)
    return application


def private(services: Services) -> web.Application:
    """For whoever may open the socket, and so is admin of everything. Raises `Undeclared`."""
    application = _application(services, LARGEST_IMPORT)
    for part in (health, metrics, api, safekeeping):
        application.add_routes(part.routes(services))
    access.refuse_undeclared(application)
    return application


def metrics_only(services: Services) -> web.Application:
    """For Prometheus at METRICS_BIND, without a login. Raises `Undeclared`."""
    application = web.Application(middlewares=[errors.middleware])
    application.add_routes(metrics.open_routes(services))
    access.refuse_undeclared(application)
    return application


def _is_a_fault(record: logging.LogRecord) -> bool:
    """aiohttp logs each request that is no HTTP, with what was in it: that may be a secret, and fills the log."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


def _application(services: Services, largest_body: int = LARGEST_BODY) -> web.Application:
    application = web.Application(middlewares=[errors.middleware], client_max_size=largest_body)
    cors.allow(application, services.settings.origins)
    streams.prepare(application)
    logging.getLogger("aiohttp.server").addFilter(_is_a_fault)  # once, however often
    return application
