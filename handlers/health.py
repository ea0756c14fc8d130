"""GET /healthz: o8 itself is alive. GET /readyz: it can do its work, too; what hinders it is named."""

from __future__ import annotations

from http import HTTPStatus
from typing import Protocol

from aiohttp import web

from handlers.access import public

VITAL = ("database", "docker", "nginx")  # without Slack o8 works on; it only cannot tell


class Doctor(Protocol):
    async def readiness(self) -> dict[str, str]:
        """Why each part is not there; empty where it is."""


class Services(Protocol):
    @property
    def doctor(self) -> Doctor: ...


def routes(services: Services) -> list[web.RouteDef]:
    """`/healthz` needs no service, so it answers whatever else is broken."""

    async def ready(request: web.Request) -> web.Response:
        parts = await services.doctor.readiness()
        is_ready = not any(parts[name] for name in VITAL)
        status = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
        body = {"status": "ready" if is_ready else "not ready", **{name: why or "ok" for name, why in parts.items()}}
        return web.json_response(body, status=status)

    return [web.get("/healthz", public(_alive)), web.get("/readyz", public(ready))]


async def _alive(request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})
